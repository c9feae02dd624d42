/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "probe.h"

/* Of a message, so much is looked at: all of a query, and of an answer as much as fits without EDNS. */
#define DNS_MAX_BYTES 512

/* A message that fits into the first is sent to user space without room for the rest. */
#define DNS_FEW_BYTES 128

struct dns_event {
	__u64 time_ns;
	__u64 cookie;
	struct owner owner;
	struct ends ends;
	__u16 length; /* of `bytes` */
	__u8 sent;    /* by the local end */
	__u8 bytes[DNS_MAX_BYTES];
};
