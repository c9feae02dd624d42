//! Why the source of names is out of reach.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use daemon::tls;

use crate::config::Hub;

/// A server at one of its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub server: Hub,
    pub address: SocketAddr,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.server.host.parse::<IpAddr>() {
            Ok(_) => self.server.fmt(f),
            Err(_) => write!(f, "{} at {}", self.server, self.address.ip()),
        }
    }
}

/// Each message is one line: which server, what, what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "{server}: its name has no address: {reason}; see the name, and this node's resolv.conf"
    )]
    Name { server: Hub, reason: String },
    #[error("{peer}: {reason}; see that it runs and that the network lets this node reach it")]
    Unreachable { peer: Peer, reason: String },
    #[error(
        "{peer}: TLS: {reason}; see metadata.ca, metadata.certificate and the server's own certificate"
    )]
    Tls { peer: Peer, reason: String },
    #[error("{peer}: no answer for {after:?}; see its log")]
    Silent { peer: Peer, after: Duration },
    #[error(
        "{peer} refuses: {reason}; see metadata.certificate and metadata.token: they must name this node, agent.node"
    )]
    Refused { peer: Peer, reason: String },
    #[error("{peer} has no room: {reason}")]
    Busy { peer: Peer, reason: String },
    #[error("{peer}: the connection broke: {reason}")]
    Broken { peer: Peer, reason: String },
    #[error(
        "{peer} says what cannot be: {reason}; see that it is an Amphipod hub of a version near this one's"
    )]
    Wrong { peer: Peer, reason: String },
    #[error("{peer} asks to come back later")]
    Later { peer: Peer },
    #[error("metadata.token = {path:?}: {reason}; give a file with one token")]
    Token { path: PathBuf, reason: String },
    #[error(
        "{peer} answers {status}; grant get on nodes/proxy (or nodes/pods) to the token or certificate, or read it from elsewhere: metadata.source"
    )]
    Kubelet { peer: Peer, status: http::StatusCode },
    #[error(transparent)]
    Certificates(#[from] tls::Error),
}

/// When another try makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// The network or the server comes back by itself, or has said when.
    Soon,
    /// It has too much to do, or somebody has to change something.
    Later,
}

impl Error {
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Unreachable { .. }
            | Self::Silent { .. }
            | Self::Broken { .. }
            | Self::Later { .. } => Remedy::Soon,
            Self::Name { .. }
            | Self::Tls { .. }
            | Self::Refused { .. }
            | Self::Busy { .. }
            | Self::Wrong { .. }
            | Self::Token { .. }
            | Self::Kubelet { .. }
            | Self::Certificates(_) => Remedy::Later,
        }
    }
}

/// An error with its causes, on one line; causes that the text before them has already are left out.
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text.replace(['\n', '\r'], " ")
}
