/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* DNS messages in UDP. The programs of `flow`, which see every datagram anyway, go on to these for the ports that
 * matter: no other packet meets them. */
#include "../flow/flow.h"
#include "dns.h"
#include "ring.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct dns_event dns_event_type SEC(".rodata.types");

/* Kept by `flow`: whose the socket is. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct flow_socket);
} flow_sockets SEC(".maps");

#define IPV4_HEADER 20
#define IPV6_HEADER 40
#define UDP_HEADER 8
#define DNS_HEADER 12

/* Where the UDP header begins; 0 if the packet is something else. */
static __always_inline __u32 read_ends(struct __sk_buff *skb, bool sent, struct ends *ends)
{
	__be32 *local = sent ? ends->local : ends->remote;
	__be32 *remote = sent ? ends->remote : ends->local;
	__be32 ip[IPV6_HEADER / 4];
	__be16 ports[2];
	__u32 header;

	if (skb->protocol == bpf_htons(0x0800)) {
		if (bpf_skb_load_bytes(skb, 0, ip, IPV4_HEADER))
			return 0;
		if (((__u8 *)ip)[9] != IPPROTO_UDP)
			return 0;
		header = (((__u8 *)ip)[0] & 0xf) * 4;
		map_ipv4(local, ip[3]);
		map_ipv4(remote, ip[4]);
	} else {
		if (bpf_skb_load_bytes(skb, 0, ip, IPV6_HEADER))
			return 0;
		/* Nobody puts extension headers before DNS. */
		if (((__u8 *)ip)[6] != IPPROTO_UDP)
			return 0;
		header = IPV6_HEADER;
		for (int i = 0; i < 4; i++) {
			local[i] = ip[2 + i];
			remote[i] = ip[6 + i];
		}
	}
	if (bpf_skb_load_bytes(skb, header, ports, sizeof(ports)))
		return 0;
	ends->local_port = bpf_ntohs(ports[sent ? 0 : 1]);
	ends->remote_port = bpf_ntohs(ports[sent ? 1 : 0]);
	return header;
}

static __always_inline void fill(struct dns_event *event, struct __sk_buff *skb, struct bpf_sock *sk,
				 const struct ends *ends, bool sent)
{
	event->time_ns = bpf_ktime_get_ns();
	event->cookie = bpf_get_socket_cookie(skb);
	event->ends = *ends;
	event->sent = sent;
	struct flow_socket *socket = bpf_sk_storage_get(&flow_sockets, sk, NULL, 0);
	if (socket)
		event->owner = socket->owner;
	else
		__builtin_memset(&event->owner, 0, sizeof(event->owner));
	if (!event->owner.cgroup_id)
		event->owner.cgroup_id = bpf_skb_cgroup_id(skb);
}

/* Delivers the `length` bytes at `from`, 1 to `most`, with room for `most`, a power of two. Masked where they are used:
 * older verifiers forget what was compared before. */
#define DELIVER(most)                                                                                          \
	do {                                                                                                   \
		struct dns_event *event =                                                                      \
			bpf_ringbuf_reserve(&events, offsetof(struct dns_event, bytes) + (most), 0);           \
		if (!event) {                                                                                  \
			count_loss(LOSS_RING_FULL);                                                            \
			return 1;                                                                              \
		}                                                                                              \
		fill(event, skb, sk, &ends, sent);                                                             \
		event->length = length;                                                                        \
		__u64 last = length - 1;                                                                       \
		barrier_var(last);                                                                             \
		last &= (most) - 1;                                                                            \
		if (bpf_skb_load_bytes(skb, from, event->bytes, last + 1)) {                                   \
			count_loss(LOSS_UNREADABLE);                                                           \
			bpf_ringbuf_discard(event, 0);                                                         \
			return 1;                                                                              \
		}                                                                                              \
		bpf_ringbuf_submit(event, ring_flags());                                                       \
	} while (0)

static __always_inline int see(struct __sk_buff *skb, bool sent)
{
	struct bpf_sock *sk = skb->sk;
	if (!sk)
		return 1;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return 1;
	struct ends ends = {};
	__u32 from = read_ends(skb, sent, &ends);
	if (!from)
		return 1;
	from += UDP_HEADER;
	__u32 length = skb->len;
	/* Too short to be DNS. */
	if (length < from + DNS_HEADER)
		return 1;
	length -= from;
	if (length > DNS_MAX_BYTES)
		length = DNS_MAX_BYTES;
	if (length <= DNS_FEW_BYTES)
		DELIVER(DNS_FEW_BYTES);
	else
		DELIVER(DNS_MAX_BYTES);
	return 1;
}

SEC("cgroup_skb/egress")
int dns_egress(struct __sk_buff *skb)
{
	return see(skb, true);
}

SEC("cgroup_skb/ingress")
int dns_ingress(struct __sk_buff *skb)
{
	return see(skb, false);
}
