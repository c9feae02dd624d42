/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* Packets that the kernel discarded, counted by its own reason and the packet's ends. Runs only when one is. */
#include "drop.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* User space moves on to the next epoch, lets writers finish, then reads and deletes what the last one left. */
__u32 epoch = 0;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, struct drop_key);
	__type(value, struct drop_count);
} drops SEC(".maps");

#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd
#define IPV6_HEADER 40

/* Nothing here is certain: the packet may be dropped before anything set its headers. */
static __always_inline void read_packet(struct drop_key *key, struct sk_buff *skb)
{
	__u16 offset = BPF_CORE_READ(skb, network_header);
	unsigned char *ip = BPF_CORE_READ(skb, head) + offset;
	__u16 type = bpf_ntohs(BPF_CORE_READ(skb, protocol));
	__u8 first = 0;
	__u32 header;
	if (!offset || offset == 0xffff || bpf_probe_read_kernel(&first, 1, ip))
		return;
	if (type == ETH_P_IP && first >> 4 == 4) {
		__be32 addresses[2] = {};
		bpf_probe_read_kernel(addresses, sizeof(addresses), ip + 12);
		bpf_probe_read_kernel(&key->protocol, 1, ip + 9);
		map_ipv4(key->source, addresses[0]);
		map_ipv4(key->destination, addresses[1]);
		header = (first & 0xf) * 4;
	} else if (type == ETH_P_IPV6 && first >> 4 == 6) {
		bpf_probe_read_kernel(key->source, sizeof(key->source), ip + 8);
		bpf_probe_read_kernel(key->destination, sizeof(key->destination), ip + 24);
		bpf_probe_read_kernel(&key->protocol, 1, ip + 6);
		header = IPV6_HEADER;
	} else {
		return;
	}
	if (key->protocol == IPPROTO_TCP || key->protocol == IPPROTO_UDP) {
		__be16 ports[2] = {};
		bpf_probe_read_kernel(ports, sizeof(ports), ip + header);
		key->source_port = bpf_ntohs(ports[0]);
		key->destination_port = bpf_ntohs(ports[1]);
		/* One row per client would fill the map: of the two, the ephemeral port says least. */
		if (key->source_port > key->destination_port)
			key->source_port = 0;
		else
			key->destination_port = 0;
	}
}

/* Since 6.11 the kernel tells the socket that a packet was meant for, when the packet itself has forgotten it. */
const volatile bool have_receiver = false;

static __always_inline void read_socket(struct drop_key *key, struct sk_buff *skb, struct sock *receiver)
{
	struct sock *sk = BPF_CORE_READ(skb, sk);
	sk = sk ?: receiver;
	/* Time-wait and request sockets are shorter than a struct sock. */
	__u8 state = sk ? BPF_CORE_READ(sk, __sk_common.skc_state) : TCP_NEW_SYN_RECV;
	if (state != TCP_NEW_SYN_RECV && state != TCP_TIME_WAIT) {
		key->cgroup_id = sk_cgroup_id_probed(sk);
		key->netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
		return;
	}
	key->netns = BPF_CORE_READ(skb, dev, nd_net.net, ns.inum);
}

/* The probe `flow` reads overflows from the listening sockets, whose owner it knows. */
const volatile bool have_listeners = false;

#define IS_REASON(reason, name)                                      \
	(bpf_core_enum_value_exists(enum skb_drop_reason, name) &&   \
	 (reason) == bpf_core_enum_value(enum skb_drop_reason, name))

/* What a socket still held when it was closed was not dropped on its way: every closed connection has some. */
static __always_inline bool is_ignored(__u64 reason)
{
	return IS_REASON(reason, SKB_DROP_REASON_QUEUE_PURGE) ||
	       (have_listeners && IS_REASON(reason, SKB_DROP_REASON_TCP_LISTEN_OVERFLOW));
}

SEC("tp_btf/kfree_skb")
int drop_packet(__u64 *ctx)
{
	if (bpf_core_type_exists(enum skb_drop_reason) && is_ignored(ctx[2]))
		return 0;
	struct sk_buff *skb = (void *)ctx[0];
	struct drop_key key = { .epoch = epoch, .incoming = BPF_CORE_READ(skb, skb_iif) != 0 };
	__u32 bytes = BPF_CORE_READ(skb, len);

	/* The kernel gives reasons since 5.17; before, the place in its code is the best there is. */
	if (bpf_core_type_exists(enum skb_drop_reason))
		key.reason = ctx[2];
	else
		key.location = ctx[1];
	read_packet(&key, skb);
	read_socket(&key, skb, have_receiver ? (void *)ctx[3] : NULL);

	struct drop_count *count = bpf_map_lookup_elem(&drops, &key);
	if (!count) {
		struct drop_count new = {};
		bpf_map_update_elem(&drops, &key, &new, BPF_NOEXIST);
		count = bpf_map_lookup_elem(&drops, &key);
		if (!count) {
			count_loss(LOSS_MAP_FULL);
			return 0;
		}
	}
	__sync_fetch_and_add(&count->packets, 1);
	__sync_fetch_and_add(&count->bytes, bytes);
	return 0;
}
