/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets of protocols for which the kernel keeps no counters. */
#pragma once

#include "probe.h"

#define DNS_PORTS 8

/* Payload bytes: without IP and UDP headers. */
struct flow_counters {
	__u64 bytes_sent;
	__u64 bytes_received;
	__u64 packets_sent;
	__u64 packets_received;
};

/* In the socket's own storage: its owner, and the first peer that it talked with. */
struct flow_socket {
	struct flow_counters counters;
	struct flow_counters reported;
	__u64 reported_ns;
	__u64 cookie;
	struct owner owner;
	struct ends ends;
	__u32 claims;
	__u8 followed;
	__u8 incoming; /* the peer spoke first */
	__u8 protocol;
};

struct flow_peer_key {
	__u64 cookie;
	__be32 remote[4];
	__u32 remote_port;
	__u32 epoch;
};

struct flow_peer {
	struct flow_counters counters;
	struct owner owner;
	__u64 started_ns;
	__be32 local[4];
	__u16 local_port;
	__u8 protocol;
	__u8 incoming;
};

struct flow_event {
	__u64 time_ns;
	__u64 cookie;
	__u64 interval_ns;
	struct owner owner;
	struct ends ends;
	__u8 protocol;
	__u8 incoming;
	struct flow_counters counters; /* since the last report */
};
