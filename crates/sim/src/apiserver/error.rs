use std::io;
use std::net::SocketAddr;

use super::transcode;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("simulated API server: cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("simulated API server: cannot start: {0}")]
    Start(#[source] io::Error),
    #[error("simulated API server: no certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("simulated API server: no TLS: {0}")]
    Tls(#[from] rustls::Error),
    #[error("{kind} {name:?}: {source}")]
    Object { kind: &'static str, name: String, source: Box<transcode::Error> },
    #[error("object of kind {0:?}: the simulated API server serves none of that kind")]
    Kind(String),
}
