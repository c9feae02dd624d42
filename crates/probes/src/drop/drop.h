/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "probe.h"

struct drop_key {
	__u64 cgroup_id;  /* of the packet's socket; 0 if it had none */
	__u64 location;   /* address in the kernel's code, where it gives no reason */
	__u32 reason;
	__u32 epoch;
	__u32 netns;
	__be32 source[4];
	__be32 destination[4];
	__u16 source_port; /* the higher, ephemeral one of the two is 0 */
	__u16 destination_port;
	__u8 protocol;
	__u8 incoming;    /* came through a device, not from a socket here */
	__u8 padding[6];
};

struct drop_count {
	__u64 packets;
	__u64 bytes;
};
