/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* What sockets move, interval by interval. TCP: the kernel counts, we read. UDP and the rest, for which it
 * keeps no counters: two cgroup programs count into the socket's own storage. */
#include "flow.h"
#include "readout.h"
#include "ring.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct flow_event flow_event_type SEC(".rodata.types");

/* ---- UDP and other protocols: count ---- */

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct flow_socket);
} flow_sockets SEC(".maps");

/* Peers of a socket beyond the one that its storage follows. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct flow_peer_key);
	__type(value, struct flow_peer);
} flow_peers SEC(".maps");

/* flow_other_files reads the sockets, and only if there is something to read. */
const volatile bool have_files = false;
__u32 other_news = 0;

/* User space moves on to the next epoch, lets writers finish, then reads and deletes what the last one left. */
__u32 epoch = 0;

struct packet {
	struct ends ends;
	__u32 bytes;
	__u32 packets;
};

/* include/linux/ip.h, include/linux/ipv6.h: enough of them */
#define IPV4_HEADER 20
#define IPV6_HEADER 40
#define UDP_HEADER 8

/* The addresses and ports of the packet at `skb`, seen from this end. False if its headers cannot be read. */
static __always_inline bool read_packet(struct __sk_buff *skb, __u32 protocol, bool egress, struct packet *packet)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	__u32 header;
	struct ends *ends = &packet->ends;
	__be32 *local = egress ? ends->local : ends->remote;
	__be32 *remote = egress ? ends->remote : ends->local;

	if (skb->protocol == bpf_htons(0x0800)) {
		if (data + IPV4_HEADER > end)
			return false;
		__be32 *ip = data;
		header = (*(__u8 *)data & 0xf) * 4;
		map_ipv4(local, ip[3]);
		map_ipv4(remote, ip[4]);
	} else {
		if (data + IPV6_HEADER > end)
			return false;
		__be32 *ip = data;
		header = IPV6_HEADER;
		for (int i = 0; i < 4; i++) {
			local[i] = ip[2 + i];
			remote[i] = ip[6 + i];
		}
	}
	ends->local_port = 0;
	ends->remote_port = 0;
	if (protocol == IPPROTO_UDP) {
		if (header > 60 || data + header + UDP_HEADER > end)
			return false;
		__be16 *ports = data + header;
		__u16 source = bpf_ntohs(ports[0]);
		__u16 destination = bpf_ntohs(ports[1]);
		ends->local_port = egress ? source : destination;
		ends->remote_port = egress ? destination : source;
		header += UDP_HEADER;
	}
	packet->bytes = skb->len > header ? skb->len - header : 0;
	/* With segmentation offload one buffer is many datagrams. */
	packet->packets = skb->gso_segs > 1 ? skb->gso_segs : 1;
	return true;
}

static __always_inline bool same_peer(const struct ends *a, const struct ends *b)
{
	return a->remote_port == b->remote_port && a->remote[3] == b->remote[3] && a->remote[2] == b->remote[2] &&
	       a->remote[1] == b->remote[1] && a->remote[0] == b->remote[0];
}

static __always_inline void add(struct flow_counters *counters, const struct packet *packet, bool egress)
{
	if (egress) {
		__sync_fetch_and_add(&counters->bytes_sent, packet->bytes);
		__sync_fetch_and_add(&counters->packets_sent, packet->packets);
	} else {
		__sync_fetch_and_add(&counters->bytes_received, packet->bytes);
		__sync_fetch_and_add(&counters->packets_received, packet->packets);
	}
	/* After it is counted: user space takes the mark away, and then reads. Looked at first, because a line that every
	 * processor writes would cost each of them. */
	if (have_files && !*(volatile __u32 *)&other_news)
		other_news = 1;
}

/* Inlined: before 6.0, arm64 cannot have both functions and tail calls in a program. */
static __always_inline void count_peer(struct flow_socket *socket, const struct packet *packet, __u64 cookie, bool egress)
{
	struct flow_peer_key key = { .cookie = cookie, .epoch = epoch };
	__builtin_memcpy(key.remote, packet->ends.remote, sizeof(key.remote));
	key.remote_port = packet->ends.remote_port;
	struct flow_peer *peer = bpf_map_lookup_elem(&flow_peers, &key);
	if (!peer) {
		struct flow_peer new = {
			.owner = socket->owner,
			.started_ns = bpf_ktime_get_ns(),
			.protocol = socket->protocol,
			.incoming = !egress,
			.local_port = packet->ends.local_port,
		};
		__builtin_memcpy(new.local, packet->ends.local, sizeof(new.local));
		bpf_map_update_elem(&flow_peers, &key, &new, BPF_NOEXIST);
		peer = bpf_map_lookup_elem(&flow_peers, &key);
		if (!peer) {
			count_loss(LOSS_MAP_FULL);
			return;
		}
	}
	add(&peer->counters, packet, egress);
}

/* The kernel's buffer behind a program's view of it (6.2). */
extern void *bpf_cast_to_kern_ctx(void *ctx) __ksym __weak;

/* The kernel's own sockets have no maker and no file: where the storage cannot be walked, their first packet tells. */
static __always_inline void own_by_packet(struct __sk_buff *skb, struct flow_socket *socket)
{
	if (!have_files || socket->owner.netns || !bpf_ksym_exists(bpf_cast_to_kern_ctx))
		return;
	struct sk_buff *buffer = bpf_cast_to_kern_ctx(skb);
	struct sock *sk = buffer->sk;
	if (!sk)
		return;
	socket->owner.cgroup_id = sk_cgroup_id(sk);
	socket->owner.netns = sk->__sk_common.skc_net.net->ns.inum;
}

static __always_inline void count_packet(struct __sk_buff *skb, struct flow_socket *socket, const struct packet *packet,
					 __u32 protocol, bool egress)
{
	if (socket->followed) {
		if (same_peer(&socket->ends, &packet->ends)) {
			add(&socket->counters, packet, egress);
			return;
		}
	} else {
		own_by_packet(skb, socket);
		/* The first peer is followed in the storage itself. Whoever loses the race to be first is counted as a peer. */
		__sync_fetch_and_add(&socket->claims, 1);
		if (socket->claims == 1) {
			socket->cookie = bpf_get_socket_cookie(skb);
			socket->ends = packet->ends;
			socket->protocol = protocol;
			socket->incoming = !egress;
			socket->reported_ns = bpf_ktime_get_ns();
			add(&socket->counters, packet, egress);
			barrier();
			socket->followed = 1;
			return;
		}
	}
	count_peer(socket, packet, bpf_get_socket_cookie(skb), egress);
}

/* Ports whose datagrams are DNS: those of the probe `dns`, up to the first 0. */
const volatile __u16 dns_ports[DNS_PORTS] = {};

/* Where that probe puts its programs. */
#define TAP(name)                                      \
	struct {                                       \
		__uint(type, BPF_MAP_TYPE_PROG_ARRAY); \
		__uint(max_entries, 1);                \
		__type(key, __u32);                    \
		__type(value, __u32);                  \
	} name SEC(".maps")

TAP(dns_egress_tap);
TAP(dns_ingress_tap);

static __always_inline bool is_dns(const struct ends *ends)
{
	for (int i = 0; i < DNS_PORTS; i++) {
		__u16 port = dns_ports[i];
		if (!port)
			return false;
		if (ends->remote_port == port || ends->local_port == port)
			return true;
	}
	return false;
}

static __always_inline int count(struct __sk_buff *skb, bool egress)
{
	struct bpf_sock *sk = skb->sk;
	if (!sk)
		return 1;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return 1;
	__u32 protocol = sk->protocol;
	if (protocol == IPPROTO_TCP)
		return 1;
	struct flow_socket *socket = bpf_sk_storage_get(&flow_sockets, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!socket) {
		count_loss(LOSS_MAP_FULL);
		return 1;
	}
	struct packet packet;
	if (!read_packet(skb, protocol, egress, &packet)) {
		count_loss(LOSS_UNREADABLE);
		return 1;
	}
	count_packet(skb, socket, &packet, protocol, egress);
	/* Does not come back, unless nobody put a program there. */
	if (is_dns(&packet.ends))
		bpf_tail_call(skb, egress ? (void *)&dns_egress_tap : (void *)&dns_ingress_tap, 0);
	return 1;
}

SEC("cgroup_skb/egress")
int flow_egress(struct __sk_buff *skb)
{
	return count(skb, true);
}

SEC("cgroup_skb/ingress")
int flow_ingress(struct __sk_buff *skb)
{
	return count(skb, false);
}

/* ---- UDP and other protocols: who owns the socket, and its end ---- */

SEC("cgroup/sock_create")
int flow_create(struct bpf_sock *sk)
{
	if (sk->protocol == IPPROTO_TCP)
		return 1;
	struct flow_socket *socket = bpf_sk_storage_get(&flow_sockets, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (socket) {
		struct task_struct *task = (void *)bpf_get_current_task();
		current_owner(&socket->owner);
		socket->owner.cgroup_id = bpf_get_current_cgroup_id();
		socket->owner.netns = BPF_CORE_READ(task, nsproxy, net_ns, ns.inum);
		socket->protocol = sk->protocol;
	}
	return 1;
}

/* Bytes count, too: a report made while a packet was counted may have the packet and not its bytes. */
static __always_inline bool has_news(const struct flow_socket *socket)
{
	return socket->counters.packets_sent != socket->reported.packets_sent ||
	       socket->counters.packets_received != socket->reported.packets_received ||
	       socket->counters.bytes_sent != socket->reported.bytes_sent ||
	       socket->counters.bytes_received != socket->reported.bytes_received;
}

/* What the socket moved since the last report, until `now`. */
static __always_inline void flow_report(struct flow_event *event, const struct flow_socket *socket,
					const struct flow_counters *now)
{
	event->time_ns = bpf_ktime_get_ns();
	event->cookie = socket->cookie;
	event->interval_ns = event->time_ns - socket->reported_ns;
	event->owner = socket->owner;
	event->ends = socket->ends;
	event->protocol = socket->protocol;
	event->incoming = socket->incoming;
	event->counters.bytes_sent = now->bytes_sent - socket->reported.bytes_sent;
	event->counters.bytes_received = now->bytes_received - socket->reported.bytes_received;
	event->counters.packets_sent = now->packets_sent - socket->reported.packets_sent;
	event->counters.packets_received = now->packets_received - socket->reported.packets_received;
}

SEC("cgroup/sock_release")
int flow_release(struct bpf_sock *sk)
{
	if (sk->protocol == IPPROTO_TCP)
		return 1;
	struct flow_socket *socket = bpf_sk_storage_get(&flow_sockets, sk, NULL, 0);
	if (!socket || !socket->followed || !has_news(socket))
		return 1;
	struct flow_event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		count_loss(LOSS_RING_FULL);
		return 1;
	}
	struct flow_counters now = socket->counters;
	flow_report(event, socket, &now);
	socket->reported = now;
	bpf_ringbuf_submit(event, ring_flags());
	return 1;
}

static __always_inline void read_other(struct seq_file *seq, struct sock *sk, struct flow_socket *socket)
{
	if (!socket->followed || !has_news(socket))
		return;
	if (!socket->owner.netns) {
		socket->owner.cgroup_id = sk_cgroup_id(sk);
		socket->owner.netns = sk->__sk_common.skc_net.net->ns.inum;
	}
	struct flow_counters now = socket->counters;
	struct flow_event event = {};
	flow_report(&event, socket, &now);
	/* For a socket whose event found the buffer full the kernel comes again. */
	if (bpf_seq_write(seq, &event, sizeof(event)))
		return;
	socket->reported = now;
	socket->reported_ns = event.time_ns;
}

SEC("iter/bpf_sk_storage_map")
int flow_other(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct flow_socket *socket = ctx->value;
	struct sock *sk = ctx->sk;
	if (sk && socket)
		read_other(ctx->meta->seq, sk, socket);
	return 0;
}

/* The socket behind an open file, unless TCP has it. */
static __always_inline struct sock *sock_of(struct file *file)
{
	struct socket *holder = bpf_sock_from_file(file);
	struct sock *sk = holder ? holder->sk : NULL;
	if (!sk)
		return NULL;
	__u16 family = sk->__sk_common.skc_family;
	return (family != AF_INET && family != AF_INET6) || sk->sk_protocol == IPPROTO_TCP ? NULL : sk;
}

/* The same where the kernel lets nobody walk the storage: by way of the files that processes hold open. */
SEC("iter/task_file")
int flow_other_files(struct bpf_iter__task_file *ctx)
{
	struct file *file = ctx->file;
	struct sock *sk = file ? sock_of(file) : NULL;
	if (!sk)
		return 0;
	struct flow_socket *socket = bpf_sk_storage_get(&flow_sockets, sk, NULL, 0);
	if (socket)
		read_other(ctx->meta->seq, sk, socket);
	return 0;
}

/* Owners of sockets that are older than the agent (5.11). */
SEC("iter/task_file")
int flow_older(struct bpf_iter__task_file *ctx)
{
	struct file *file = ctx->file;
	struct task_struct *task = ctx->task;
	if (!file || !task)
		return 0;
	struct sock *sk = sock_of(file);
	if (!sk)
		return 0;
	struct flow_socket *socket = bpf_sk_storage_get(&flow_sockets, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!socket || socket->owner.pid)
		return 0;
	socket->owner.pid = task->tgid;
	bpf_probe_read_kernel(socket->owner.comm, sizeof(socket->owner.comm), task->group_leader->comm);
	/* The first packets of further peers copy the owner before flow_other has walked this socket. */
	socket->owner.cgroup_id = sk_cgroup_id(sk);
	socket->owner.netns = sk->__sk_common.skc_net.net->ns.inum;
	socket->protocol = sk->sk_protocol;
	return 0;
}
