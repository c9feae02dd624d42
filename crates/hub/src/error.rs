//! Why a hub cannot start or go on.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Each message is one line: what, which object, what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("listen on {address}: {source}; choose another address ({flag})")]
    Listen { address: SocketAddr, flag: &'static str, source: io::Error },
    #[error("cannot start {name}: {source}")]
    Start { name: &'static str, source: io::Error },
    #[error(
        "listen on {address}: anybody could ask there who talks to whom; say who may (access.tokens, or oidc.issuer), choose a loopback address (hub.listen), or allow it (hub.open_api = true)"
    )]
    Open { address: SocketAddr },
    #[error(
        "listen on {address}: tokens and sessions would travel as plain text; give hub.certificate and hub.key, or set access.url to the https:// address of what ends TLS in front of the hub"
    )]
    Plain { address: SocketAddr },
    #[error("{name}: {}: {reason}", path.display())]
    Secret { path: PathBuf, name: &'static str, reason: String },
    #[error(transparent)]
    Kube(#[from] reflector::Error),
    #[error(transparent)]
    History(#[from] crate::store::Error),
    #[error(transparent)]
    Tls(#[from] daemon::tls::Error),
    #[error(transparent)]
    Supervise(#[from] daemon::supervise::Error),
}
