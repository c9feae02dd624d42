/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "probe.h"

/* Kubernetes nested in a node that is itself a container makes paths of some 500 bytes. */
#define CGROUP_PATH_LEN 1024

struct cgroup_event {
	__u64 id;
	__u16 length;
	__u8 created;
	__u8 padding[5];
	__u8 path[CGROUP_PATH_LEN];
};
