//! The demo's Kubernetes: a simulated API server that has the shop's pods, and a hub that watches it for the agent.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::thread::{self, JoinHandle};

use ::agent::config::{Hub, Source};
use anyhow::Context;
use model::Change;
use sim::apiserver::{ApiServer, Mirror, Options};

/// A port that is free.
pub const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

pub struct ControlPlane {
    hub: hub::App,
    kubeconfig: PathBuf,
    mirror: JoinHandle<()>,
}

impl ControlPlane {
    /// Told of pods and services by `changes`, until its end. Leaves its kubeconfig in `directory`. The hub serves people
    /// at `listen`, and Hubble's clients at `hubble`.
    pub fn start(
        changes: Receiver<Change>,
        directory: &Path,
        listen: SocketAddr,
        hubble: SocketAddr,
    ) -> anyhow::Result<Self> {
        let server = ApiServer::start(Options::default())?;
        let kubeconfig = directory.join("kubeconfig");
        write_secret(&kubeconfig, &server.kubeconfig())
            .with_context(|| format!("write {}", kubeconfig.display()))?;
        let mut config = hub::Config::parse("")?;
        config.kube.kubeconfig = Some(kubeconfig.clone());
        config.listen = Some(listen);
        config.inventory.listen = LOOPBACK;
        config.hubble = Some(hub::config::Hubble { listen: hubble, tls: None });
        let hub = hub::App::start(config)?;
        let mut mirror = Mirror::new(server);
        let mirror = thread::Builder::new()
            .name("mirror".to_owned())
            .spawn(move || {
                for change in changes {
                    if let Err(error) = mirror.apply(&change) {
                        tracing::warn!(%error, "the simulated API server does not know all pods");
                    }
                }
            })
            .context("cannot start a thread")?;
        Ok(Self { hub, kubeconfig, mirror })
    }

    /// Where the agent learns of names.
    pub fn tell(&self, metadata: &mut ::agent::config::Metadata) {
        let address = self.hub.agents_address();
        metadata.source = Source::Hub;
        metadata.hubs =
            vec![Hub { tls: false, host: address.ip().to_string(), port: address.port() }];
    }

    /// For kubectl.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Where the hub serves its API.
    pub fn hub(&self) -> Option<SocketAddr> {
        self.hub.address()
    }

    /// Where it serves Hubble's clients.
    pub fn hubble(&self) -> Option<SocketAddr> {
        self.hub.hubble_address()
    }

    /// Once the changes have ended.
    pub fn stop(self) -> anyhow::Result<()> {
        let _ = self.mirror.join();
        self.hub.shutdown()?;
        Ok(())
    }
}

/// Its token may do everything, if only in the simulation.
fn write_secret(path: &Path, text: &str) -> std::io::Result<()> {
    let _ = fs::remove_file(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}
