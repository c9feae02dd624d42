//! A simulated cluster, the hub that watches it, and agents that the hub tells of it: each a process of its own.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sim::Cgroup;

use super::child::Child;
use super::exposition::Exposition;
use super::fetch::{free_address, get};
use super::fleet::{Answer, Order, Synced};
use super::lab::Lab;
use super::processor;

/// Until the objects of the largest cluster are made.
const POPULATE: Duration = Duration::from_secs(300);
/// Until a hub has listed them.
const LIST: Duration = Duration::from_secs(120);
const STOP: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(60);

/// A simulated API server with a made-up cluster.
pub struct Cluster<'a> {
    child: Child,
    _cgroup: Cgroup,
    lab: &'a Lab,
    kubeconfig: String,
    /// With an address of their own.
    pub pods: Vec<Pod>,
}

#[derive(serde::Deserialize)]
pub struct Pod {
    pub namespace: String,
    pub name: String,
    pub node: String,
    pub ip: IpAddr,
}

impl<'a> Cluster<'a> {
    pub fn start(lab: &'a Lab, nodes: usize, pods: usize, changes_per_second: u32) -> Result<Self> {
        let cgroup = lab.site.container("apiserver")?;
        let kubeconfig = lab.site.file("kubeconfig").to_string_lossy().into_owned();
        let arguments = [
            "sim-apiserver".to_owned(),
            format!("--nodes={nodes}"),
            format!("--pods={pods}"),
            format!("--churn={changes_per_second}"),
            format!("--kubeconfig-out={kubeconfig}"),
        ];
        let log = lab.site.file("apiserver.log");
        let mut child = Child::start(lab.binary(), &arguments, &cgroup, None, log)?;
        child.line(&lab.interrupt, POPULATE)?;
        child.tell("pods")?;
        let pods = child.line(&lab.interrupt, POPULATE)?;
        let pods = serde_json::from_str(&pods).context("the pods of the simulated API server")?;
        Ok(Self { child, _cgroup: cgroup, lab, kubeconfig, pods })
    }

    /// Changes something of a pod that agents are told.
    pub fn touch(&mut self, pod: usize) -> Result<()> {
        let pod = self.pods.get(pod).context("no such pod")?;
        self.child.tell(&format!("touch {} {}", pod.namespace, pod.name))
    }

    /// Bytes that it sent, and watches that are open at it.
    pub fn load(&mut self) -> Result<(f64, f64)> {
        self.child.tell("requests")?;
        let line = self.child.line(&self.lab.interrupt, ANSWER)?;
        let requests: Vec<serde_json::Value> = serde_json::from_str(&line).context("requests")?;
        let sum = |key| requests.iter().filter_map(|it| it[key].as_f64()).sum();
        Ok((sum("bytes"), sum("open")))
    }

    pub fn stop(self) -> Result<()> {
        self.child.stop(&self.lab.interrupt, STOP)
    }
}

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
        let cgroup = lab.site.container("hub")?;
        let (http, agents) = (free_address()?, agents.map_or_else(free_address, Ok)?);
        let config = format!(
            "[hub]\nlisten = \"{http}\"\n[kube]\nkubeconfig = \"{}\"\n[inventory]\nlisten = \"{agents}\"\n",
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

    pub fn metrics(&self) -> Result<Exposition> {
        Ok(Exposition::parse(&get(self.http, "/metrics")?))
    }

    pub fn stop(self) -> Result<()> {
        self.child.stop(&self.lab.interrupt, STOP)
    }
}

/// Simulated agents.
pub struct Agents<'a> {
    child: Child,
    _cgroup: Cgroup,
    lab: &'a Lab,
}

impl<'a> Agents<'a> {
    pub fn start(lab: &'a Lab) -> Result<Self> {
        let cgroup = lab.site.container("agents")?;
        let program = std::env::current_exe().context("find this program")?;
        let arguments = ["bench".to_owned(), super::FLEET.to_owned()];
        let child = Child::start(program, &arguments, &cgroup, None, lab.site.file("agents.log"))?;
        Ok(Self { child, _cgroup: cgroup, lab })
    }

    /// Once all have been told everything.
    ///
    /// # Errors
    /// They have not, in time.
    pub fn synced(&mut self, order: &Order) -> Result<Synced> {
        match self.ask(order)? {
            Answer::Synced(synced) if synced.complete == synced.agents => Ok(synced),
            other => bail!("not all agents were told everything: {other:?}"),
        }
    }

    /// Batches that came since this was last asked.
    pub fn batches(&mut self) -> Result<u64> {
        match self.ask(&Order::Count)? {
            Answer::Told { batches, .. } => Ok(batches),
            other => bail!("agents answered {other:?}"),
        }
    }

    fn ask(&mut self, order: &Order) -> Result<Answer> {
        self.child.tell(&serde_json::to_string(order).context("order")?)?;
        let seconds = match order {
            Order::Connect { seconds, .. } | Order::Await { seconds } => *seconds,
            Order::Count => 0.0,
        };
        let limit = ANSWER + Duration::from_secs_f64(seconds);
        let line = self.child.line(&self.lab.interrupt, limit)?;
        match serde_json::from_str(&line).with_context(|| format!("agents said {line}"))? {
            Answer::Failed(error) => bail!("agents: {error}"),
            answer => Ok(answer),
        }
    }
}
