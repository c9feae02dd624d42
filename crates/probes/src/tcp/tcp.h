/* SPDX-License-Identifier: Apache-2.0 */
/* A live TCP socket as the probes `tcp` (which keeps it) and `flow` (which reads it out) see it. */
#pragma once

#include "probe.h"

enum role {
	ROLE_ACTIVE = 1,  /* connect() */
	ROLE_PASSIVE,     /* accept() */
	ROLE_LISTENER,
};

enum socket_flags {
	/* `accepted` (or `opened`) has been reported. */
	SOCKET_REPORTED = 1,
	/* The owner is the process that accepted, not only the one that listens. */
	SOCKET_ACCEPTED = 2,
	/* Reached CLOSE before anybody accepted it. */
	SOCKET_CLOSED = 4,
	/* Older than the agent: when it was established is not known. */
	SOCKET_OLDER = 8,
};

struct tcp_counters {
	__u32 packets_sent;
	__u32 packets_received;
	__u32 retransmits;
	__u32 rtt_us;
	__u64 bytes_sent;
	__u64 bytes_received;
};

/* Keyed by the address of the struct sock, which alone identifies it while it lives. Kept small: it decides what
 * a connection costs in kernel memory. */
struct tcp_socket {
	/* What a read of an idle socket needs comes first: one cache line. */
	__u8 state;
	__u8 role;
	__u8 flags;
	__u8 suspect;         /* reads in which the socket behind the key looked like another one */
	__u16 local_port;
	__u32 version;        /* of what has been reported, one more with each report */
	__u32 closing;        /* not 0: the closing event is being made, and has what no report has yet */
	__u32 used;           /* the version from which the closing event goes on, and one; 0: not known yet */
	struct tcp_counters reported[2]; /* the newest is at version % 2 */
	__u64 reported_ns;    /* when that was read */
	__u64 cookie;
	__u64 start_ns;       /* SYN for active, ESTABLISHED once established */
	__u64 connect_ns;
	struct owner owner;
};

static __always_inline struct tcp_counters *last_report(struct tcp_socket *socket)
{
	return socket->version & 1 ? &socket->reported[1] : &socket->reported[0];
}

/* A socket may close while it is read. Both ends of this agree on whether what was read has been reported: the reader
 * says what it read, then looks whether the socket closes; who closes it says so, then takes what was said last, and says
 * which that was. Adding is a full barrier where it is one instruction with a lock (x86); other processors may still
 * reorder within nanoseconds. */
#define SOON 64 /* looks at `used`, which is set a few instructions after `closing` */

/* By the reader, of which there is one. False: the closing event has it, and it must not be reported here. */
static __always_inline bool settle_read(struct tcp_socket *socket, const struct tcp_counters *read, __u64 now)
{
	__u32 version = socket->version + 1;
	if (version & 1)
		socket->reported[1] = *read;
	else
		socket->reported[0] = *read;
	socket->reported_ns = now;
	barrier();
	__sync_fetch_and_add(&socket->version, 1);
	if (!*(volatile __u32 *)&socket->closing)
		return true;
	for (int i = 0; i < SOON; i++) {
		__u32 used = *(volatile __u32 *)&socket->used;
		if (used)
			return used == version + 1;
	}
	return false;
}

/* By who closes it: what has been reported. */
static __always_inline void settle_closing(struct tcp_socket *socket, struct tcp_counters *reported)
{
	__sync_fetch_and_add(&socket->closing, 1);
	__u32 version = *(volatile __u32 *)&socket->version;
	if (version & 1)
		*reported = socket->reported[1];
	else
		*reported = socket->reported[0];
	*(volatile __u32 *)&socket->used = version + 1;
}

#define SK_FLAG_DONE 1 /* enum sock_flags, SOCK_DONE: a FIN was received */

/* bytes_received counts the FIN as a byte. `READ` is a direct load or BPF_CORE_READ. */
#define READ_TCP_COUNTERS(to, tp, READ)                                                          \
	do {                                                                                     \
		__u64 flags = READ(tp, inet_conn.icsk_inet.sk.__sk_common.skc_flags);            \
		__u64 received = READ(tp, bytes_received);                                       \
		(to)->bytes_sent = READ(tp, bytes_sent) - READ(tp, bytes_retrans);               \
		(to)->bytes_received = received - (received && (flags >> SK_FLAG_DONE & 1));     \
		(to)->packets_sent = READ(tp, segs_out);                                         \
		(to)->packets_received = READ(tp, segs_in);                                      \
		(to)->retransmits = READ(tp, total_retrans);                                     \
		(to)->rtt_us = READ(tp, srtt_us) >> 3;                                           \
	} while (0)

enum tcp_kind {
	TCP_OPENED = 1,
	TCP_ACCEPTED,
	TCP_FAILED,
	TCP_CLOSED,
	TCP_FLOW,      /* only the deltas mean something */
	TCP_OVERFLOW,  /* deltas.packets_received connections found the accept queue full */
	TCP_STALE,     /* the socket is gone though nobody said so */
};

/* What reaches user space, through the ring buffer or a read of the iterator. Only TCP_CLOSED, and what the iterator
 * writes, has the counters; other events end before them. */
struct tcp_event {
	__u64 time_ns;
	__u64 cookie;
	__u64 socket;         /* key of the socket's entry */
	__u64 connect_ns;
	__u64 duration_ns;
	__u64 interval_ns;    /* of the deltas; 0 if unknown */
	struct owner owner;
	struct ends ends;
	enum tcp_kind kind;
	enum role role;
	__u32 error;          /* errno */
	struct tcp_counters totals;
	struct tcp_counters deltas; /* since the last report; rtt_us is a gauge */
};

static __always_inline void subtract_counters(struct tcp_counters *to, const struct tcp_counters *now,
					      const struct tcp_counters *then)
{
	to->bytes_sent = now->bytes_sent - then->bytes_sent;
	to->bytes_received = now->bytes_received - then->bytes_received;
	to->packets_sent = now->packets_sent - then->packets_sent;
	to->packets_received = now->packets_received - then->packets_received;
	to->retransmits = now->retransmits - then->retransmits;
	to->rtt_us = now->rtt_us;
}
