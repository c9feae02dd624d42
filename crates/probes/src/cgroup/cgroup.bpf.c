/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */
/* Creation and removal of cgroups in the unified hierarchy: containers come and go. */
#include "cgroup.h"
#include "ring.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct cgroup_event cgroup_event_type SEC(".rodata.types");

static __always_inline int report(struct cgroup *cgroup, const char *path, __u8 created)
{
	/* Version 1 hierarchies have other numbers. */
	if (BPF_CORE_READ(cgroup, root, hierarchy_id) != 0)
		return 0;
	struct cgroup_event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		count_loss(LOSS_RING_FULL);
		return 0;
	}
	event->id = BPF_CORE_READ(cgroup, kn, id);
	event->created = created;
	long length = bpf_probe_read_kernel_str(event->path, sizeof(event->path), path);
	event->length = length > 0 ? length - 1 : 0;
	if (length <= 0 || length == sizeof(event->path))
		count_loss(LOSS_UNREADABLE);
	/* Rare, and everything else waits for it. */
	bpf_ringbuf_submit(event, BPF_RB_FORCE_WAKEUP);
	return 0;
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(cgroup_created, struct cgroup *cgroup, const char *path)
{
	return report(cgroup, path, 1);
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(cgroup_removed, struct cgroup *cgroup, const char *path)
{
	return report(cgroup, path, 0);
}
