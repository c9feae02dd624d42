//! Why the kernel cannot be asked where connections went.

use std::io;
use std::path::PathBuf;

/// Each message is one line: what, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    #[error(
        "nf_conntrack is not loaded: services' addresses are not translated by connection tracking here"
    )]
    Untracked,
    #[error(
        "the host's network namespace {path}: {source}; needs hostPID: true and CAP_SYS_PTRACE"
    )]
    Hidden { path: PathBuf, source: io::Error },
    #[error(
        "cannot enter the host's network namespace: {0}; run there (hostNetwork: true) or grant CAP_SYS_ADMIN"
    )]
    Locked(io::Error),
    #[error("connection tracking tells nothing without CAP_NET_ADMIN in the host's network")]
    Denied,
    #[error("this kernel has no ctnetlink (nf_conntrack_netlink)")]
    Unsupported,
    #[error("asking connection tracking: {0}")]
    Failed(io::Error),
    #[error("connection tracking answered {answers} of {questions} questions")]
    Silent { answers: usize, questions: usize },
}
