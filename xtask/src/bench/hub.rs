//! A hub's process, measured.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, bail};
use sim::Cgroup;

use super::child::Child;
use super::cluster::Cluster;
use super::exposition::Exposition;
use super::fetch::{free_address, get};
use super::lab::Lab;
use super::processor;

/// Until it has listed the cluster.
const LIST: Duration = Duration::from_secs(120);
const STOP: Duration = Duration::from_secs(10);

/// A hub, as it is shipped. Dropping it kills it.
pub struct Hub<'a> {
    child: Child,
    cgroup: Cgroup,
    http: SocketAddr,
    pub agents: SocketAddr,
    lab: &'a Lab,
}

impl<'a> Hub<'a> {
    /// Starts it, and waits until it knows the whole cluster. `agents`: where it listens for them.
    pub fn start(
        lab: &'a Lab,
        cluster: &Cluster<'_>,
        agents: Option<SocketAddr>,
        broadcast: bool,
    ) -> Result<Self> {
        Self::start_with(lab, cluster, agents, broadcast, "")
    }

    /// The same with more `sections` of its configuration.
    pub fn start_with(
        lab: &'a Lab,
        cluster: &Cluster<'_>,
        agents: Option<SocketAddr>,
        broadcast: bool,
        sections: &str,
    ) -> Result<Self> {
        let cgroup = lab.site.container("hub")?;
        let (http, agents) = (free_address()?, agents.map_or_else(free_address, Ok)?);
        let config = format!(
            "[hub]\nlisten = \"{http}\"\n[kube]\nkubeconfig = \"{}\"\n[inventory]\nlisten = \"{agents}\"\n{sections}",
            cluster.kubeconfig
        );
        let mut arguments =
            vec!["hub".to_owned(), format!("--config={}", lab.site.write("hub.toml", &config)?)];
        arguments.extend(broadcast.then(|| "--broadcast".to_owned()));
        let log = lab.site.file("hub.log");
        let mut child = Child::start(lab.binary(), &arguments, &cgroup, None, log)?;
        let ready = lab.interrupt.poll(LIST, || {
            child.check()?;
            Ok(get(http, "/readyz").ok())
        })?;
        if ready.is_none() {
            bail!("the hub does not know the cluster after {} s", LIST.as_secs());
        }
        Ok(Self { child, cgroup, http, agents, lab })
    }

    /// Processor time so far, in seconds.
    pub fn cpu(&self) -> Result<f64> {
        Ok(processor::used_by(self.cgroup.path())?.as_secs_f64())
    }

    /// In bytes.
    pub fn peak_memory(&self) -> Result<f64> {
        Ok(self.child.peak_memory()? as f64)
    }

    /// What it answers.
    pub fn get(&self, path: &str) -> Result<String> {
        get(self.http, path)
    }

    /// In bytes, without what its program's file has.
    pub fn memory(&self) -> Result<f64> {
        Ok(self.child.memory()? as f64)
    }

    pub fn metrics(&self) -> Result<Exposition> {
        Ok(Exposition::parse(&self.get("/metrics")?))
    }

    pub fn stop(self) -> Result<()> {
        self.child.stop(&self.lab.interrupt, STOP)
    }
}
