/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* What this kernel can do, asked by trying: each program uses one feature and nothing else. */
#include "kernel.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* bpf_get_socket_cookie in tracing programs (5.12) */
SEC("tp_btf/tcp_destroy_sock")
int BPF_PROG(feature_cookie, struct sock *sk)
{
	return bpf_get_socket_cookie(sk) ? 0 : 0;
}

/* bpf_sock_from_file and storage of a socket in iterators (5.11) */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, int);
} storage SEC(".maps");

SEC("iter/task_file")
int feature_sock_from_file(struct bpf_iter__task_file *ctx)
{
	struct file *file = ctx->file;
	if (!file)
		return 0;
	struct socket *socket = bpf_sock_from_file(file);
	struct sock *sk = socket ? socket->sk : 0;
	if (sk)
		bpf_sk_storage_get(&storage, sk, 0, 0);
	return 0;
}

/* Programs at the exit of kernel functions: built with ftrace, and on arm64 since 6.4 */
SEC("fexit/inet_csk_accept")
int feature_fexit(__u64 *ctx)
{
	return 0;
}

/* Loops as calls (5.17), and numbers as kernel pointers (6.2), in programs that user space runs */
extern void *bpf_rdonly_cast(const void *object, __u32 type) __ksym;

static long feature_step(__u32 index, void *context)
{
	return 0;
}

SEC("syscall")
int feature_direct_loads(void *ctx)
{
	struct sock *sk = bpf_rdonly_cast(ctx, bpf_core_type_id_kernel(struct sock));
	bpf_loop(1, feature_step, NULL, 0);
	return sk->__sk_common.skc_state;
}

/* Iterators that can write what they walk over: some kernels refuse them */
SEC("iter/bpf_map_elem")
int feature_map_iterator(void *ctx)
{
	return 0;
}

SEC("iter/bpf_sk_storage_map")
int feature_storage_iterator(void *ctx)
{
	return 0;
}
