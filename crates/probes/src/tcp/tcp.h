/* SPDX-License-Identifier: Apache-2.0 */
/* A live TCP socket as the probes `tcp` (which keeps it) and `flow` (which reads it out) see it. */
#pragma once

#include "probe.h"

enum role {
	ROLE_ACTIVE = 1,  /* connect() */
	ROLE_PASSIVE,     /* accept() */
	ROLE_LISTENER,
} __attribute__((packed));

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

/* The state of an entry that waits for the next socket at its address. */
#define STATE_FREE 0

/* What a read saw of a socket. Of another life of the same memory if the cookie is another. */
struct tcp_glance {
	__u64 bytes_received;
	__u32 packets_sent;
	__u32 packets_received; /* of a listener: connections that found the queue full */
	__u32 cookie;           /* its low half */
};

/* Keyed by the address of the struct sock, which alone identifies it while it lives. Kept small: it decides what
 * a connection costs in kernel memory. Whoever reads it may find the memory to be another entry by now, so that what
 * must be exact is kept by user space. */
struct tcp_socket {
	/* What a read of an idle socket needs comes first: one cache line. */
	__u8 state;
	__u8 role;
	__u8 flags;
	__u8 suspect;         /* reads in which the socket behind the key looked like another one */
	__u16 local_port;
	struct tcp_glance seen;
	__u64 cookie;
	__u64 reported_ns;    /* when a read saw that something had moved */
	__u64 start_ns;       /* SYN for active, ESTABLISHED once established; of a free entry: its end */
	__u64 connect_ns;
	struct owner owner;
	struct tcp_counters before; /* of a socket older than the agent: what it moved until then */
};

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
	TCP_FLOW,      /* what it moved is more than at the last read */
	TCP_OVERFLOW,  /* since.packets_received connections found the accept queue full */
	TCP_STALE,     /* the socket is gone though nobody said so */
} __attribute__((packed));

/* What reaches user space, through the ring buffer or a read of live sockets. Events of the ring buffer end before the
 * members that they do not need: only TCP_CLOSED has counters, and only that of a socket older than the agent `since`.
 * The others fill two cache lines, with the 8 bytes that the kernel puts before them. */
struct tcp_event {
	__u64 time_ns;
	__u64 cookie;
	__u64 socket;         /* key of the socket's entry */
	__u64 connect_ns;
	__u64 duration_ns;    /* 0: older than the agent */
	__u64 interval_ns;    /* since the last read that saw something; 0 if unknown */
	struct owner owner;
	struct ends ends;
	enum tcp_kind kind;
	enum role role;
	__u16 error;          /* errno */
	struct tcp_counters totals;
	struct tcp_counters since;  /* the same without what was moved before the agent; rtt_us is a gauge */
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
