//! Why probes cannot start.

/// Each message names the object and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("needs {0}; run as root or grant it (container: securityContext.capabilities.add)")]
    Capability(&'static str),
    #[error(
        "this kernel has no BTF at /sys/kernel/btf/vmlinux; use a kernel built with CONFIG_DEBUG_INFO_BTF=y"
    )]
    NoBtf,
    #[error("Linux {0} is too old; 5.10 or newer is needed")]
    Kernel(String),
    #[error(
        "no cgroup2 mount found in /proc/self/mountinfo; mount one: mount -t cgroup2 none /sys/fs/cgroup"
    )]
    NoCgroup2,
    #[error("probe {probe}: {source}")]
    Probe { probe: &'static str, source: libbpf_rs::Error },
    #[error("probe {probe}: cannot start its thread: {source}")]
    Thread { probe: &'static str, source: std::io::Error },
}
