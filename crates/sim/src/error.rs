//! Why the simulated cluster cannot do what it was asked.

use std::io;
use std::path::PathBuf;

/// Each message names the object and, where there is one, the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("a simulated cluster needs root (network namespaces, cgroups); run it with sudo")]
    NotRoot,
    #[error("the command `ip` was not found; install it: apt-get install iproute2")]
    NoIp,
    #[error(
        "no cgroup2 mount found in /proc/self/mountinfo; mount one: mount -t cgroup2 none /sys/fs/cgroup"
    )]
    NoCgroup2,
    #[error("all {0} places for simulated clusters on this host are taken; stop one (see {1})")]
    NoPlace(u16, PathBuf),
    #[error("ip {args}: {message}")]
    Ip { args: String, message: String },
    #[error("{action} {path}: {source}", path = path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    #[error("network namespace {name}: {source}")]
    Netns { name: String, source: io::Error },
    #[error("network namespace {0} was not made; look into /run/netns")]
    NoNetns(String),
    #[error("pod {pod}: start {program}: {source}")]
    Spawn { pod: String, program: String, source: io::Error },
    #[error("simulated cluster: {0}")]
    Cluster(String),
    #[error("pod {pod}: {reason}")]
    Pod { pod: String, reason: String },
    #[error("start thread {name}: {source}")]
    Thread { name: &'static str, source: io::Error },
    #[error("shop {role}: {reason}")]
    Shop { role: String, reason: String },
}

impl Error {
    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}
