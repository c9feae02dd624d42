/* SPDX-License-Identifier: Apache-2.0 */
/* The way of an event to user space. */
#pragma once

#include "probe.h"

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} events SEC(".maps");

/* User space polls; waking it for each event would cost more than the event. It is woken when this much waits. */
const volatile __u64 wakeup_bytes = 64 * 1024;

static __always_inline __u64 ring_flags(void)
{
	return bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) >= wakeup_bytes ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
}
