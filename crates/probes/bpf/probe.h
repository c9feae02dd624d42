/* SPDX-License-Identifier: Apache-2.0 */
/* What every probe shares: its loss counters, the owner and the ends of a socket. */
#pragma once

#include "kernel.h"

#define TASK_COMM_LEN 16

/* Why an event did not reach user space. The names are in src/health.rs. */
enum loss {
	LOSS_RING_FULL,
	LOSS_MAP_FULL,
	LOSS_MAP_BUSY, /* its lock was held by what this interrupts, or no memory was at hand */
	LOSS_UNREADABLE,
	LOSS_CAUSES,
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, LOSS_CAUSES);
	__type(key, __u32);
	__type(value, __u64);
} lost SEC(".maps");

static __always_inline void count_loss(__u32 cause)
{
	__u64 *count = bpf_map_lookup_elem(&lost, &cause);
	if (count)
		*count += 1;
}

/* The process behind a socket. */
struct owner {
	__u64 cgroup_id;
	__u32 netns;
	__u32 pid;
	__u8 comm[TASK_COMM_LEN];
};

/* Addresses in network order, IPv4 ones as IPv4-mapped IPv6; ports in host order. */
struct ends {
	__be32 local[4];
	__be32 remote[4];
	__u16 local_port;
	__u16 remote_port;
};

static __always_inline void map_ipv4(__be32 to[4], __be32 address)
{
	to[0] = 0;
	to[1] = 0;
	to[2] = bpf_htonl(0xffff);
	to[3] = address;
}

/* For programs that hold `sk` as a typed pointer. */
static __always_inline __u64 sk_cgroup_id(struct sock *sk)
{
	if (bpf_core_field_exists(struct sock_cgroup_data, cgroup)) {
		struct cgroup *cgroup = sk->sk_cgrp_data.cgroup;
		return cgroup ? cgroup->kn->id : 0;
	} else {
		struct sock_cgroup_data___v5_10 *data = (void *)&sk->sk_cgrp_data;
		struct cgroup *cgroup = (void *)BPF_CORE_READ(data, val);
		return !cgroup || ((unsigned long)cgroup & 1) ? 0 : BPF_CORE_READ(cgroup, kn, id);
	}
}

/* For programs that hold `sk` as a number that may be stale. */
static __always_inline __u64 sk_cgroup_id_probed(struct sock *sk)
{
	if (bpf_core_field_exists(struct sock_cgroup_data, cgroup))
		return BPF_CORE_READ(sk, sk_cgrp_data.cgroup, kn, id);
	struct sock_cgroup_data___v5_10 *data = (void *)&sk->sk_cgrp_data;
	struct cgroup *cgroup = (void *)BPF_CORE_READ(data, val);
	return !cgroup || ((unsigned long)cgroup & 1) ? 0 : BPF_CORE_READ(cgroup, kn, id);
}

/* The running process: named by its main thread, as ps does. An io_uring worker counts as the process it works for. */
static __always_inline void current_owner(struct owner *owner)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	owner->pid = bpf_get_current_pid_tgid() >> 32;
	BPF_CORE_READ_INTO(&owner->comm, task, group_leader, comm);
}
