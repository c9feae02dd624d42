/* SPDX-License-Identifier: Apache-2.0 */
/* Live TCP connections: the sockets that the probe `tcp` keeps, read out. Two programs can do it: `flow_tcp` reads
 * those whose keys user space hands it, with direct loads; `flow_tcp_walk` is for kernels that cannot (before 6.2). */
#pragma once

#include "../tcp/tcp.h"

/* When the read before this one began: deltas of a socket that was idle until then are not older. */
__u64 tcp_read_ns = 0;

#define DIRECT_LOAD(pointer, member) ((pointer)->member)
#define LOAD(pointer, member) (cast ? DIRECT_LOAD(pointer, member) : BPF_CORE_READ(pointer, member))

static __always_inline bool is_seen(struct tcp_socket *socket)
{
	return socket->seen.cookie == (__u32)socket->cookie;
}

/* Open, nothing sent, nothing received: most connections, most of the time. The kernel counts a segment when it comes, and
 * its bytes when the socket takes it: a read may have seen the one and not yet the other. */
static __always_inline bool is_idle(struct tcp_sock *tp, struct tcp_socket *socket, const bool cast)
{
	struct tcp_glance *seen = &socket->seen;
	return LOAD(tp, inet_conn.icsk_inet.sk.__sk_common.skc_state) == TCP_ESTABLISHED &&
	       LOAD(tp, segs_in) == seen->packets_received && LOAD(tp, segs_out) == seen->packets_sent &&
	       LOAD(tp, bytes_received) == seen->bytes_received && is_seen(socket);
}

/* The memory behind the key may already be another socket's, or nobody's. `cookie` is what the entry says. */
static __always_inline bool same_socket(struct tcp_sock *tp, struct tcp_socket *socket, __u64 cookie, const bool cast)
{
	/* Before 5.12 a socket may have no cookie yet. */
	return (!cookie || LOAD(tp, inet_conn.icsk_inet.sk.__sk_common.skc_cookie.counter) == (__s64)cookie) &&
	       LOAD(tp, inet_conn.icsk_inet.sk.__sk_common.skc_state) != TCP_CLOSE &&
	       bpf_ntohs(LOAD(tp, inet_conn.icsk_inet.inet_sport)) == socket->local_port;
}

static __always_inline void load_ends(struct ends *ends, struct tcp_sock *tp, const bool cast)
{
	if (LOAD(tp, inet_conn.icsk_inet.sk.__sk_common.skc_family) == AF_INET6) {
		for (int i = 0; i < 4; i++) {
			ends->local[i] = LOAD(tp, inet_conn.icsk_inet.sk.__sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[i]);
			ends->remote[i] = LOAD(tp, inet_conn.icsk_inet.sk.__sk_common.skc_v6_daddr.in6_u.u6_addr32[i]);
		}
	} else {
		map_ipv4(ends->local, LOAD(tp, inet_conn.icsk_inet.sk.__sk_common.skc_rcv_saddr));
		map_ipv4(ends->remote, LOAD(tp, inet_conn.icsk_inet.sk.__sk_common.skc_daddr));
	}
	ends->local_port = bpf_ntohs(LOAD(tp, inet_conn.icsk_inet.inet_sport));
	ends->remote_port = bpf_ntohs(LOAD(tp, inet_conn.icsk_inet.sk.__sk_common.skc_dport));
}

static __always_inline void describe(struct tcp_event *event, __u64 key, struct tcp_socket *socket, __u32 kind, __u64 now)
{
	__u64 since = socket->reported_ns > tcp_read_ns ? socket->reported_ns : tcp_read_ns;
	event->time_ns = now;
	event->cookie = socket->cookie;
	event->socket = key;
	event->connect_ns = socket->connect_ns;
	event->duration_ns = socket->flags & SOCKET_OLDER ? 0 : now - socket->start_ns;
	event->owner = socket->owner;
	event->kind = kind;
	event->role = socket->role;
	/* `now` may be a little older than a socket that was just made. */
	event->interval_ns = since ? (now > since ? now - since : 1) : 0;
}

/* What `event` says is told: a socket that stays like this is idle. */
static __always_inline void mark_seen(struct tcp_socket *socket, const struct tcp_event *event)
{
	if (event->kind == TCP_STALE)
		return;
	if (event->kind == TCP_FLOW) {
		socket->seen.bytes_received = event->totals.bytes_received;
		socket->seen.packets_sent = event->totals.packets_sent;
		socket->seen.packets_received = event->totals.packets_received;
	} else {
		socket->seen.packets_received += event->since.packets_received;
	}
	socket->seen.cookie = event->cookie;
	socket->reported_ns = event->time_ns;
}

static __always_inline bool read_listener(struct tcp_event *event, __u64 key, struct tcp_sock *tp,
					  struct tcp_socket *socket, __u64 now, const bool cast)
{
	__u32 drops = LOAD(tp, inet_conn.icsk_inet.sk.sk_drops.counter);
	__u32 known = is_seen(socket) ? socket->seen.packets_received : 0;
	if (drops == known)
		return false;
	socket->seen.packets_received = known;
	event->since.packets_received = drops - known;
	load_ends(&event->ends, tp, cast);
	describe(event, key, socket, TCP_OVERFLOW, now);
	return true;
}

/* A transition that the kernel never showed us. Believed when seen twice, because an entry can be reused while it is
 * read. */
static __always_inline bool read_stale(struct tcp_event *event, __u64 key, struct tcp_socket *socket, __u64 now)
{
	if (socket->suspect == 0) {
		socket->suspect = 1;
		return false;
	}
	event->totals = socket->before;
	__builtin_memset(&event->ends, 0, sizeof(event->ends));
	event->ends.local_port = socket->local_port;
	describe(event, key, socket, TCP_STALE, now);
	return true;
}

/* What there is to say of a socket that is not idle. False: nothing. */
static __always_inline bool read_socket(struct tcp_event *event, __u64 key, struct tcp_sock *tp, struct tcp_socket *socket,
					__u64 now, const bool cast)
{
	__u64 cookie = *(volatile __u64 *)&socket->cookie;
	if (!same_socket(tp, socket, cookie, cast))
		return read_stale(event, key, socket, now);
	socket->suspect = 0;
	if (socket->role == ROLE_LISTENER)
		return read_listener(event, key, tp, socket, now, cast);
	READ_TCP_COUNTERS(&event->totals, tp, LOAD);
	if (is_seen(socket) && event->totals.packets_sent == socket->seen.packets_sent &&
	    event->totals.packets_received == socket->seen.packets_received &&
	    event->totals.bytes_received == socket->seen.bytes_received)
		return false;
	subtract_counters(&event->since, &event->totals, &socket->before);
	load_ends(&event->ends, tp, cast);
	describe(event, key, socket, TCP_FLOW, now);
	/* Closed while it was read, and the memory of both perhaps another's: the closing event has the rest. */
	return same_socket(tp, socket, cookie, cast) && *(volatile __u64 *)&socket->cookie == cookie;
}

/* Those that have not begun, or have ended already, have nothing to read. */
static __always_inline bool is_live(struct tcp_socket *socket)
{
	return socket->state != STATE_FREE && socket->state != TCP_SYN_SENT && socket->state != TCP_SYN_RECV && !(socket->flags & SOCKET_CLOSED);
}

/* ---- by keys ---- */

/* Keys of one run. While it runs, its processor does nothing else. */
#define TCP_CHUNK 512
/* Sockets whose memory is asked for at once, before any of them is read: a cache miss takes as long as all of them. */
#define TCP_GROUP 8

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, struct tcp_socket);
} sockets SEC(".maps");

/* Zeros fill the last group: nobody has that key. Repeating one would show its socket to one read twice, and read_stale
 * would believe what it saw. */
__u64 tcp_keys[TCP_CHUNK];
__u32 tcp_key_count = 0;
/* Each a struct tcp_event: a type of the probe `tcp` for user space, too. */
__u64 tcp_events[TCP_CHUNK][sizeof(struct tcp_event) / 8];
__u32 tcp_event_count = 0;

/* A number as a kernel pointer whose loads give 0 where there is nothing. */
extern void *bpf_rdonly_cast(const void *object, __u32 type) __ksym __weak;

static __always_inline struct tcp_sock *tcp_sock_at(__u64 key)
{
	return bpf_rdonly_cast((void *)key, bpf_core_type_id_kernel(struct tcp_sock));
}

/* These two are global functions, which the verifier looks at once; a static one it would follow from each call, for
 * each group of sockets that may be busy: a second at every start. */
__noinline int is_busy_at(__u64 key)
{
	struct tcp_socket *socket = bpf_map_lookup_elem(&sockets, &key);
	return socket && is_live(socket) && !is_idle(tcp_sock_at(key), socket, true);
}

__noinline int read_at(__u64 key, __u64 now)
{
	struct tcp_socket *socket = bpf_map_lookup_elem(&sockets, &key);
	__u32 count = tcp_event_count;
	if (!socket || count >= TCP_CHUNK)
		return 0;
	struct tcp_event *event = (struct tcp_event *)tcp_events[count];
	if (read_socket(event, key, tcp_sock_at(key), socket, now, true)) {
		mark_seen(socket, event);
		tcp_event_count = count + 1;
	}
	return 0;
}

#define TOUCH(key, member) (touched += (__u64)tcp_sock_at(key)->member)

static long read_group(__u32 group, void *context)
{
	__u64 touched = 0, busy = 0;
	/* In 64 bits, so that the verifier follows the bound from the comparison to the address. */
	__u64 first = (__u64)group * TCP_GROUP;
	if (first > TCP_CHUNK - TCP_GROUP)
		return 1;
	barrier_var(first);
#pragma unroll
	for (int i = 0; i < TCP_GROUP; i++) {
		__u64 key = tcp_keys[first + i];
		TOUCH(key, inet_conn.icsk_inet.sk.__sk_common.skc_state);
		TOUCH(key, segs_out);
		TOUCH(key, segs_in);
	}
	barrier_var(touched);
	for (int i = 0; i < TCP_GROUP; i++)
		busy |= (__u64)(is_busy_at(tcp_keys[first + i]) & 1) << i;
	if (!busy)
		return 0;
#pragma unroll
	for (int i = 0; i < TCP_GROUP; i++) {
		__u64 key = tcp_keys[first + i];
		if (!(busy >> i & 1))
			continue;
		TOUCH(key, inet_conn.icsk_inet.sk.__sk_common.skc_cookie.counter);
		TOUCH(key, inet_conn.icsk_inet.inet_sport);
		TOUCH(key, srtt_us);
		TOUCH(key, total_retrans);
	}
	barrier_var(touched);
	__u64 now = bpf_ktime_get_ns();
	for (int i = 0; i < TCP_GROUP; i++) {
		if (busy >> i & 1)
			read_at(tcp_keys[first + i], now);
	}
	return 0;
}

SEC("syscall")
int flow_tcp(void *ctx)
{
	tcp_event_count = 0;
	bpf_loop((tcp_key_count + TCP_GROUP - 1) / TCP_GROUP, read_group, NULL, 0);
	return 0;
}

/* ---- by a walk over the map ---- */

/* Entries seen in this read, for the map's fill level. */
__u64 tcp_entries = 0;

SEC("iter/bpf_map_elem")
int flow_tcp_walk(struct bpf_iter__bpf_map_elem *ctx)
{
	__u64 *key = ctx->key;
	struct tcp_socket *socket = ctx->value;
	if (!key || !socket)
		return 0;
	if (socket->state == STATE_FREE)
		return 0;
	tcp_entries++;
	struct tcp_sock *tp = (void *)*key;
	if (!is_live(socket) || is_idle(tp, socket, false))
		return 0;
	struct seq_file *seq = ctx->meta->seq;
	struct tcp_event event = {};
	/* For an entry whose event finds the buffer full the kernel comes again: it must not be seen before. */
	if (seq->count + sizeof(event) >= seq->size) {
		bpf_seq_write(seq, &event, sizeof(event));
		return 0;
	}
	if (read_socket(&event, *key, tp, socket, bpf_ktime_get_ns(), false)) {
		mark_seen(socket, &event);
		bpf_seq_write(seq, &event, sizeof(event));
	}
	return 0;
}
