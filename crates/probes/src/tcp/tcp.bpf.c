/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* The life of TCP sockets. A connection is an entry from SYN_SENT or ESTABLISHED to CLOSE; the kernel's own counters
 * are read when it closes, so that no program runs per packet. */
#include "tcp.h"
#include "ring.h"
#include <stddef.h>

#define E2BIG 7
#define EEXIST 17
#define EADDRNOTAVAIL 99
#define ECANCELED 125

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* bpf_get_socket_cookie can be called here (5.12), and with it bpf_get_current_task_btf (5.11). */
const volatile bool have_cookie = false;
/* The program tcp_accept runs, so `accepted` waits for it. */
const volatile bool have_accept = false;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 262144);
	__type(key, __u64);
	__type(value, struct tcp_socket);
} sockets SEC(".maps");

/* A socket found no room: user space makes some where it can. */
__u32 sockets_full = 0;

/* Who listens. The kernel does not say which listener a new connection came from; these three do. */
struct listener_key {
	__u64 cgroup_id;
	__u32 netns;
	__u32 port;
};

struct listener {
	__u8 comm[TASK_COMM_LEN];
	__u32 pid;
	/* Sockets that share the key (SO_REUSEPORT, one per address). */
	__u32 sockets;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, struct listener_key);
	__type(value, struct listener);
} listeners SEC(".maps");

/* Makes the event's type part of the skeleton. */
struct tcp_event tcp_event_type SEC(".rodata.types");

static __always_inline __u64 cookie_of(struct sock *sk)
{
	return have_cookie ? bpf_get_socket_cookie(sk) : sk->__sk_common.skc_cookie.counter;
}

static __always_inline void socket_owner(struct owner *owner, struct sock *sk)
{
	owner->cgroup_id = sk_cgroup_id(sk);
	owner->netns = sk->__sk_common.skc_net.net->ns.inum;
}

/* The process whose call leads here. */
static __always_inline void calling_owner(struct owner *owner)
{
	if (!have_cookie) {
		current_owner(owner);
		return;
	}
	/* Loads instead of helpers. */
	struct task_struct *task = bpf_get_current_task_btf();
	owner->pid = task->tgid;
	__builtin_memcpy(owner->comm, task->group_leader->comm, TASK_COMM_LEN);
}

static __always_inline void read_ends(struct ends *ends, struct sock *sk, __u16 local_port)
{
	if (sk->__sk_common.skc_family == AF_INET6) {
		for (int i = 0; i < 4; i++) {
			ends->local[i] = sk->__sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[i];
			ends->remote[i] = sk->__sk_common.skc_v6_daddr.in6_u.u6_addr32[i];
		}
	} else {
		map_ipv4(ends->local, sk->__sk_common.skc_rcv_saddr);
		map_ipv4(ends->remote, sk->__sk_common.skc_daddr);
	}
	ends->local_port = local_port;
	ends->remote_port = bpf_ntohs(sk->__sk_common.skc_dport);
}

#define DIRECT(pointer, member) ((pointer)->member)

static __always_inline void describe(struct tcp_event *event, struct sock *sk, struct tcp_socket *socket, __u32 kind,
				     __u64 now)
{
	event->time_ns = now;
	event->cookie = socket->cookie;
	event->socket = (__u64)sk;
	event->connect_ns = socket->connect_ns;
	event->duration_ns = socket->flags & SOCKET_OLDER ? 0 : now - socket->start_ns;
	event->interval_ns = socket->reported_ns ? now - socket->reported_ns : 0;
	event->owner = socket->owner;
	read_ends(&event->ends, sk, socket->local_port);
	event->kind = kind;
	event->role = socket->role;
	event->error = 0;
}

/* Everything but the end, without counters. `what` is a kind, with the errno in the bits above. */
#define WITH_ERROR(kind, error) ((kind) | (__u32)(error) << 8)

static __noinline int report(struct sock *sk, struct tcp_socket *socket, __u32 what, __u64 now)
{
	struct tcp_event *event = bpf_ringbuf_reserve(&events, offsetof(struct tcp_event, totals), 0);
	if (!event) {
		count_loss(LOSS_RING_FULL);
		return 0;
	}
	describe(event, sk, socket, (__u8)what, now);
	event->error = what >> 8;
	bpf_ringbuf_submit(event, ring_flags());
	return 0;
}

static __always_inline void describe_closed(struct tcp_event *event, struct sock *sk, struct tcp_sock *tp,
					    struct tcp_socket *socket, __u64 now)
{
	describe(event, sk, socket, TCP_CLOSED, now);
	event->error = sk->sk_err;
	READ_TCP_COUNTERS(&event->totals, tp, DIRECT);
}

static __always_inline void report_older_closed(struct sock *sk, struct tcp_sock *tp, struct tcp_socket *socket, __u64 now)
{
	struct tcp_event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		count_loss(LOSS_RING_FULL);
		return;
	}
	describe_closed(event, sk, tp, socket, now);
	subtract_counters(&event->since, &event->totals, &socket->before);
	bpf_ringbuf_submit(event, ring_flags());
}

static __noinline int report_closed(struct sock *sk, struct tcp_sock *tp, struct tcp_socket *socket, __u64 now)
{
	if (socket->flags & SOCKET_OLDER) {
		report_older_closed(sk, tp, socket, now);
		return 0;
	}
	struct tcp_event *event = bpf_ringbuf_reserve(&events, offsetof(struct tcp_event, since), 0);
	if (!event) {
		count_loss(LOSS_RING_FULL);
		return 0;
	}
	describe_closed(event, sk, tp, socket, now);
	bpf_ringbuf_submit(event, ring_flags());
	return 0;
}

/* The entry of the socket, unless it is left from another that was at this address. */
static __always_inline struct tcp_socket *find(struct sock *sk)
{
	__u64 key = (__u64)sk;
	struct tcp_socket *socket = bpf_map_lookup_elem(&sockets, &key);
	return socket && socket->state != STATE_FREE ? socket : NULL;
}

/* The kernel gives the memory of a socket to the next one soon, and so do we with its entry: making one and deleting it
 * costs more than all else, since memory goes from the processor that frees to the one that allocates. */
static __always_inline void fill(struct tcp_socket *entry, struct tcp_socket *socket)
{
	__u8 state = socket->state;
	*(volatile __u8 *)&entry->state = STATE_FREE;
	barrier();
	socket->state = STATE_FREE;
	*entry = *socket;
	barrier();
	*(volatile __u8 *)&entry->state = state;
}

/* `replace`: an entry that says otherwise is of an earlier socket, whose end was not shown. */
static __always_inline void keep(struct sock *sk, struct tcp_socket *socket, bool replace)
{
	__u64 key = (__u64)sk;
	struct tcp_socket *entry = bpf_map_lookup_elem(&sockets, &key);
	if (entry) {
		if (replace || entry->state == STATE_FREE)
			fill(entry, socket);
		return;
	}
	/* Before 6.4 it returns an int, and the upper half of the register is anything. */
	int error = (int)bpf_map_update_elem(&sockets, &key, socket, replace ? BPF_ANY : BPF_NOEXIST);
	if (!error || error == -EEXIST)
		return;
	count_loss(error == -E2BIG ? LOSS_MAP_FULL : LOSS_MAP_BUSY);
	if (error == -E2BIG)
		sockets_full = 1;
}

/* User space deletes what stays free. */
static __always_inline void forget(struct tcp_socket *socket, __u64 now)
{
	socket->start_ns = now;
	barrier();
	*(volatile __u8 *)&socket->state = STATE_FREE;
}

/* connect() */
static __always_inline void on_syn_sent(struct sock *sk)
{
	struct tcp_socket socket = {
		.cookie = cookie_of(sk),
		.start_ns = bpf_ktime_get_ns(),
		.role = ROLE_ACTIVE,
		.state = TCP_SYN_SENT,
	};
	socket_owner(&socket.owner, sk);
	calling_owner(&socket.owner);
	keep(sk, &socket, true);
}

static __always_inline void listening_owner(struct owner *owner, __u16 port)
{
	struct listener_key key = { .cgroup_id = owner->cgroup_id, .netns = owner->netns, .port = port };
	struct listener *listener = bpf_map_lookup_elem(&listeners, &key);
	if (!listener)
		return;
	owner->pid = listener->pid;
	__builtin_memcpy(owner->comm, listener->comm, TASK_COMM_LEN);
}

/* What is known of a socket that a handshake made. */
static __always_inline void describe_passive(struct sock *sk, struct tcp_socket *socket)
{
	socket->role = ROLE_PASSIVE;
	socket->state = TCP_SYN_RECV;
	socket->local_port = sk->__sk_common.skc_num;
	socket_owner(&socket->owner, sk);
	listening_owner(&socket->owner, socket->local_port);
}

static __always_inline void establish(struct sock *sk, struct tcp_socket *socket, __u64 now)
{
	socket->start_ns = now;
	socket->reported_ns = now;
	socket->local_port = sk->__sk_common.skc_num;
	socket->state = TCP_ESTABLISHED;
	if (socket->role == ROLE_PASSIVE && have_accept && !(socket->flags & SOCKET_ACCEPTED))
		return;
	socket->flags |= SOCKET_REPORTED;
	report(sk, socket, socket->role == ROLE_ACTIVE ? TCP_OPENED : TCP_ACCEPTED, now);
}

static __always_inline void on_established(struct sock *sk, int old)
{
	__u64 now = bpf_ktime_get_ns();
	struct tcp_socket *socket = NULL;
	/* Most passive ones begin here, before anybody holds them: there is nothing to look for. */
	if (old != TCP_SYN_RECV || sk->sk_socket)
		socket = find(sk);
	/* Any other state is of an earlier socket, whose end was not shown. */
	if (socket && (socket->state == TCP_SYN_SENT || socket->state == TCP_SYN_RECV)) {
		if (socket->role == ROLE_ACTIVE)
			socket->connect_ns = now - socket->start_ns;
		else
			socket->cookie = cookie_of(sk);
		establish(sk, socket, now);
		return;
	}
	if (old != TCP_SYN_RECV)
		return;
	struct tcp_socket passive = { .cookie = cookie_of(sk) };
	describe_passive(sk, &passive);
	establish(sk, &passive, now);
	keep(sk, &passive, true);
}

static __always_inline __u16 local_port_of(struct tcp_sock *tp)
{
	/* skc_num is already 0 when a socket closes. */
	return bpf_ntohs(tp->inet_conn.icsk_inet.inet_sport);
}

/* A connection that neither the iterator nor the map had: it waited in an accept queue, or found the map full. */
static __noinline int describe_unknown(struct sock *sk, struct tcp_sock *tp, struct tcp_socket *socket)
{
	socket->cookie = cookie_of(sk);
	socket->flags = SOCKET_OLDER | SOCKET_REPORTED;
	socket->local_port = local_port_of(tp);
	socket_owner(&socket->owner, sk);
	struct listener_key key = {
		.cgroup_id = socket->owner.cgroup_id,
		.netns = socket->owner.netns,
		.port = socket->local_port,
	};
	socket->role = bpf_map_lookup_elem(&listeners, &key) ? ROLE_PASSIVE : ROLE_ACTIVE;
	return 0;
}

/* Only close() and shutdown() lead here, so the running task is the socket's user. Among processes that share a
 * listener this tells which one had the connection. */
static __always_inline void on_closing(struct sock *sk, int old, int state)
{
	struct tcp_socket *socket = find(sk);
	if (!socket) {
		struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);
		struct tcp_socket unknown = {};
		if (!tp)
			return;
		describe_unknown(sk, tp, &unknown);
		unknown.state = state;
		if (old == TCP_SYN_RECV) { /* TCP fast open: never established, and yet used */
			unknown.role = ROLE_PASSIVE;
			unknown.flags = 0;
			unknown.start_ns = bpf_ktime_get_ns();
		}
		calling_owner(&unknown.owner);
		keep(sk, &unknown, false);
		return;
	}
	socket->state = state;
	if ((socket->role == ROLE_PASSIVE && !(socket->flags & SOCKET_ACCEPTED)) || !socket->owner.pid)
		calling_owner(&socket->owner);
}

static __always_inline void close_socket(struct sock *sk, struct tcp_sock *tp, struct tcp_socket *socket, __u64 now)
{
	if (!(socket->flags & SOCKET_REPORTED))
		report(sk, socket, socket->role == ROLE_ACTIVE ? TCP_OPENED : TCP_ACCEPTED, now);
	report_closed(sk, tp, socket, now);
	forget(socket, now);
}

static __always_inline void stop_listening(struct tcp_socket *socket)
{
	struct listener_key key = {
		.cgroup_id = socket->owner.cgroup_id,
		.netns = socket->owner.netns,
		.port = socket->local_port,
	};
	struct listener *listener = bpf_map_lookup_elem(&listeners, &key);
	if (listener) {
		/* 5.10 has no atomic operation that returns a value; two last sockets at once just delete twice. */
		__sync_fetch_and_add(&listener->sockets, -1);
		if (*(volatile __u32 *)&listener->sockets == 0)
			bpf_map_delete_elem(&listeners, &key);
	}
	forget(socket, bpf_ktime_get_ns());
}

static __always_inline void fail(struct sock *sk, struct tcp_sock *tp, struct tcp_socket *socket, int error)
{
	__u64 now = bpf_ktime_get_ns();
	socket->local_port = local_port_of(tp);
	report(sk, socket, WITH_ERROR(TCP_FAILED, error), now);
	forget(socket, now);
}

static __always_inline void on_close(struct sock *sk, int old)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);
	if (!tp)
		return;
	struct tcp_socket *socket = find(sk);
	if (!socket) {
		if (old == TCP_SYN_SENT || old == TCP_SYN_RECV || old == TCP_LISTEN || old == TCP_CLOSE)
			return;
		struct tcp_socket unknown = {};
		describe_unknown(sk, tp, &unknown);
		report_closed(sk, tp, &unknown, bpf_ktime_get_ns());
		return;
	}
	if (socket->role == ROLE_LISTENER) {
		stop_listening(socket);
		return;
	}
	if (old == TCP_SYN_SENT) {
		/* Without an error on the socket the program itself gave up, or found no free port. */
		int error = sk->sk_err;
		if (!error)
			error = local_port_of(tp) ? ECANCELED : EADDRNOTAVAIL;
		fail(sk, tp, socket, error);
		return;
	}
	if (old == TCP_SYN_RECV && socket->role == ROLE_PASSIVE && !(socket->flags & SOCKET_REPORTED)) {
		/* No handshake, no connection: nobody could have accepted it. */
		forget(socket, bpf_ktime_get_ns());
		return;
	}
	if (socket->role == ROLE_PASSIVE && have_accept && !(socket->flags & SOCKET_ACCEPTED)) {
		/* Reset before accept: still to be accepted, or dropped with its listener. */
		socket->flags |= SOCKET_CLOSED;
		socket->state = TCP_CLOSE;
		return;
	}
	close_socket(sk, tp, socket, bpf_ktime_get_ns());
}

static __always_inline void add_listener(struct owner *owner, __u16 port)
{
	struct listener_key key = { .cgroup_id = owner->cgroup_id, .netns = owner->netns, .port = port };
	struct listener listener = { .pid = owner->pid, .sockets = 1 };
	__builtin_memcpy(listener.comm, owner->comm, TASK_COMM_LEN);
	struct listener *known = bpf_map_lookup_elem(&listeners, &key);
	if (known) {
		__sync_fetch_and_add(&known->sockets, 1);
		known->pid = listener.pid;
		__builtin_memcpy(known->comm, listener.comm, TASK_COMM_LEN);
	} else if (bpf_map_update_elem(&listeners, &key, &listener, BPF_ANY)) {
		count_loss(LOSS_MAP_FULL);
	}
}

static __always_inline void on_listen(struct sock *sk)
{
	struct tcp_socket socket = {
		.cookie = cookie_of(sk),
		.start_ns = bpf_ktime_get_ns(),
		.role = ROLE_LISTENER,
		.flags = SOCKET_REPORTED,
		.state = TCP_LISTEN,
		.local_port = sk->__sk_common.skc_num,
	};
	socket_owner(&socket.owner, sk);
	calling_owner(&socket.owner);
	keep(sk, &socket, true);
	add_listener(&socket.owner, socket.local_port);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(tcp_set_state, struct sock *sk, int old, int new)
{
	/* Half of all transitions interest nobody. */
	if (new == TCP_SYN_RECV || new == TCP_FIN_WAIT2 || new == TCP_CLOSE_WAIT || new == TCP_CLOSING ||
	    new == TCP_TIME_WAIT)
		return 0;
	if (sk->sk_protocol != IPPROTO_TCP)
		return 0;
	if (new == TCP_SYN_SENT) {
		on_syn_sent(sk);
		return 0;
	}
	if (new == TCP_LISTEN) {
		on_listen(sk);
		return 0;
	}
	if (new == TCP_FIN_WAIT1 || new == TCP_LAST_ACK)
		on_closing(sk, old, new);
	else if (new == TCP_ESTABLISHED)
		on_established(sk, old);
	else if (new == TCP_CLOSE)
		on_close(sk, old);
	return 0;
}

/* After CLOSE, and the last moment of the socket: what is still kept was reset before accept, or lost its CLOSE. */
SEC("tp_btf/tcp_destroy_sock")
int BPF_PROG(tcp_destroy, struct sock *sk)
{
	struct tcp_socket *socket = find(sk);
	if (!socket)
		return 0;
	if (socket->role == ROLE_LISTENER) {
		stop_listening(socket);
		return 0;
	}
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);
	if (!tp || (socket->role == ROLE_PASSIVE && socket->state == TCP_SYN_RECV)) {
		forget(socket, bpf_ktime_get_ns());
		return 0;
	}
	if (socket->state == TCP_SYN_SENT) {
		fail(sk, tp, socket, sk->sk_err);
		return 0;
	}
	close_socket(sk, tp, socket, bpf_ktime_get_ns());
	return 0;
}

/* With TCP fast open a socket can be accepted before it is established. */
static __always_inline void accept_early(struct sock *sk)
{
	struct tcp_socket early = { .cookie = cookie_of(sk), .flags = SOCKET_ACCEPTED };
	describe_passive(sk, &early);
	calling_owner(&early.owner);
	keep(sk, &early, false);
}

/* Every way to accept: the system calls, io_uring, the kernel itself. */
SEC("fexit/inet_csk_accept")
int tcp_accept(__u64 *ctx)
{
	/* The returned socket comes after the arguments, whose number changed in 6.10. The barriers keep the compiler
	 * from computing one address for both, which not every verifier takes ("modified ctx ptr"). */
	struct sock *sk;
	if (bpf_core_type_exists(struct proto_accept_arg)) {
		sk = (void *)ctx[2];
		barrier_var(sk);
	} else {
		sk = (void *)ctx[4];
		barrier_var(sk);
	}
	if (!sk)
		return 0;
	struct tcp_socket *socket = find(sk);
	if (!socket && sk->__sk_common.skc_state == TCP_SYN_RECV) {
		accept_early(sk);
		return 0;
	}
	if (!socket || socket->role != ROLE_PASSIVE || socket->flags & SOCKET_ACCEPTED)
		return 0;
	calling_owner(&socket->owner);
	socket->flags |= SOCKET_ACCEPTED;
	if (socket->flags & SOCKET_REPORTED)
		return 0;
	socket->flags |= SOCKET_REPORTED;
	report(sk, socket, TCP_ACCEPTED, bpf_ktime_get_ns());
	return 0;
}

#define S_IFMT 0170000
#define S_IFSOCK 0140000

/* First the listeners (0), then, when they can tell the direction, the connections (1). */
int older_pass = 0;

/* Sockets that are older than the agent, in every network namespace, with the process that holds them. The file
 * holds the socket while the program runs, so an entry cannot be made after its end. */
SEC("iter/task_file")
int tcp_older(struct bpf_iter__task_file *ctx)
{
	struct file *file = ctx->file;
	struct task_struct *task = ctx->task;
	if (!file || !task)
		return 0;
	if ((BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return 0;
	struct socket *holder = BPF_CORE_READ(file, private_data);
	struct sock *sk = BPF_CORE_READ(holder, sk);
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);
	if (!sk || (family != AF_INET && family != AF_INET6) || BPF_CORE_READ(sk, sk_protocol) != IPPROTO_TCP)
		return 0;

	__u8 state = BPF_CORE_READ(sk, __sk_common.skc_state);
	__u16 port = bpf_ntohs(BPF_CORE_READ((struct inet_sock *)sk, inet_sport));
	struct tcp_socket socket = {
		.cookie = BPF_CORE_READ(sk, __sk_common.skc_cookie.counter),
		.flags = SOCKET_OLDER | SOCKET_REPORTED | SOCKET_ACCEPTED,
		.local_port = port,
		.state = state,
	};
	socket.owner.cgroup_id = sk_cgroup_id_probed(sk);
	socket.owner.netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	socket.owner.pid = BPF_CORE_READ(task, tgid);
	BPF_CORE_READ_INTO(&socket.owner.comm, task, group_leader, comm);

	if (older_pass == 0) {
		if (state != TCP_LISTEN)
			return 0;
		__u64 key = (__u64)sk;
		socket.role = ROLE_LISTENER;
		socket.seen.packets_received = BPF_CORE_READ(sk, sk_drops.counter);
		socket.seen.cookie = socket.cookie;
		if (!bpf_map_update_elem(&sockets, &key, &socket, BPF_NOEXIST))
			add_listener(&socket.owner, port);
		return 0;
	}
	if (state != TCP_ESTABLISHED && state != TCP_CLOSE_WAIT && state != TCP_FIN_WAIT1 && state != TCP_FIN_WAIT2)
		return 0;
	struct listener_key listener = {
		.cgroup_id = socket.owner.cgroup_id,
		.netns = socket.owner.netns,
		.port = port,
	};
	socket.role = bpf_map_lookup_elem(&listeners, &listener) ? ROLE_PASSIVE : ROLE_ACTIVE;
	/* What was moved before is not part of any interval. */
	struct tcp_sock *tp = (void *)sk;
	READ_TCP_COUNTERS(&socket.before, tp, BPF_CORE_READ);
	socket.reported_ns = bpf_ktime_get_ns();
	keep(sk, &socket, false);
	return 0;
}
