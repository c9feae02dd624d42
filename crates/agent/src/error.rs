//! Why an agent cannot start or go on.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Each message is one line: what, which object, what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Probes(#[from] probes::Error),
    #[error(
        "another agent (pid {pid}) runs on this node and holds {path}; stop it, or give this one another --socket"
    )]
    Running { pid: String, path: PathBuf },
    #[error(
        "socket {path}: {source}; give a path in a directory that this user may write (--socket)"
    )]
    Socket { path: PathBuf, source: io::Error },
    #[error("listen on {address}: {source}; choose another address (--listen)")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("cannot start {name}: {source}")]
    Start { name: &'static str, source: io::Error },
    #[error(transparent)]
    Tls(#[from] daemon::tls::Error),
    #[error(transparent)]
    Supervise(#[from] daemon::supervise::Error),
}
