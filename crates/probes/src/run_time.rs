//! Measuring what BPF programs cost.

use std::os::fd::{FromRawFd, OwnedFd};

use libbpf_rs::libbpf_sys::{BPF_STATS_RUN_TIME, bpf_enable_stats};

/// While one exists, the kernel counts the runs of every BPF program on the host and their time, at some 30 ns per run.
pub struct RunTime {
    _open: OwnedFd,
}

impl RunTime {
    /// `None` if the kernel refuses: it needs Linux 5.8 and CAP_SYS_ADMIN.
    pub fn measure() -> Option<Self> {
        // SAFETY: the call takes no pointer, and a non-negative result is a new descriptor that nobody else owns.
        unsafe {
            let fd = bpf_enable_stats(BPF_STATS_RUN_TIME);
            (fd >= 0).then(|| Self { _open: OwnedFd::from_raw_fd(fd) })
        }
    }
}
