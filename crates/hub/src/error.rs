//! Why a hub cannot start or go on.

use std::io;
use std::net::SocketAddr;

/// Each message is one line: what, which object, what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("listen on {address}: {source}; choose another address ({flag})")]
    Listen { address: SocketAddr, flag: &'static str, source: io::Error },
    #[error("cannot start {name}: {source}")]
    Start { name: &'static str, source: io::Error },
    #[error(transparent)]
    History(#[from] crate::store::Error),
    #[error(transparent)]
    Tls(#[from] daemon::tls::Error),
    #[error(transparent)]
    Supervise(#[from] daemon::supervise::Error),
}
