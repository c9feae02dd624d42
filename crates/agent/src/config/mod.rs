//! The agent's configuration: one TOML file, every key optional, read as [`raw::Raw`] and validated into [`Config`].

mod check;
mod metadata;
mod raw;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use crate::identity::Mode;
pub use daemon::config::Error;
pub use metadata::{Hub, Metadata, Source};

/// Valid values only. The command line's flags replace single fields.
#[derive(Clone, Debug)]
pub struct Config {
    /// The node's name: from the file, else `NODE_NAME`, else the host's name.
    pub node: Arc<str>,
    pub mode: Mode,
    /// Pods whose cgroup lies outside of this subtree of the cgroup2 hierarchy are left out; `/`: none are.
    pub cgroup: String,
    /// Where `/metrics`, `/healthz`, `/readyz` and `/api/v1/status` are served over TCP; `None`: nowhere.
    pub listen: Option<SocketAddr>,
    /// The socket of the local command line; live records are served here only.
    pub socket: PathBuf,
    /// How long a stop may take before what still runs is abandoned.
    pub drain: Duration,
    pub probes: probes::Settings,
    pub metadata: Metadata,
    pub metrics: Metrics,
    pub records: Records,
    pub pipeline: Pipeline,
    pub report: Report,
    /// Where metrics are sent.
    pub export: daemon::export::Config,
}

#[derive(Clone, Debug)]
pub struct Metrics {
    /// Label sets that one metric can have; what comes beyond is counted under `__overflow__`.
    pub max_series: usize,
    /// A series that did not change for so long, and counts nothing live, is forgotten.
    pub expiry: Duration,
    /// Add `source_pod` and `destination_pod`.
    pub pod_labels: bool,
}

#[derive(Clone, Debug)]
pub struct Records {
    /// Records kept for `last=`.
    pub buffer: usize,
    /// Records kept at most for a reader that falls behind; beyond it loses the oldest, and is told how many.
    pub backlog: usize,
    /// Readers served at once.
    pub max_readers: usize,
}

#[derive(Clone, Debug)]
pub struct Report {
    /// Where names come from a hub, it is told what goes on here.
    pub enabled: bool,
    /// Records are added up for so long.
    pub interval: Duration,
    /// What is told apart; the rest is added up as one.
    pub max_keys: usize,
    /// For what no hub has stored yet.
    pub spool_bytes: usize,
}

#[derive(Clone, Debug)]
pub struct Pipeline {
    /// Batches that can wait between the probes and the pipeline.
    pub queue: usize,
    /// Live TCP connections counted by `amphipod_active_connections`.
    pub max_connections: usize,
}

impl Config {
    /// Where the socket is unless configured.
    pub const SOCKET: &str = "/run/amphipod/agent.sock";
    pub const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7172);

    /// The file at `path`, or the defaults without one. Reads `NODE_NAME` from the environment.
    pub fn load(path: Option<&Path>) -> Result<Self, Error> {
        let text = daemon::config::read(path)?;
        Self::parse(&text, std::env::var("NODE_NAME").ok().as_deref())
    }

    /// A configuration from TOML. `node` is the node's name where the text does not give one; without both it is the
    /// host's name.
    pub fn parse(text: &str, node: Option<&str>) -> Result<Self, Error> {
        daemon::config::parse::<raw::Raw>(text)?.check(node)
    }

    /// Every key with its explanation and default: a file that is valid and changes nothing.
    pub fn reference() -> String {
        daemon::config::reference::<raw::Raw>()
    }
}

#[cfg(test)]
mod tests;
