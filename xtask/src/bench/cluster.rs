//! A simulated cluster: an API server's process.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use sim::Cgroup;

use super::child::Child;
use super::lab::Lab;

/// Until the objects of the largest cluster are made.
const POPULATE: Duration = Duration::from_secs(300);
const STOP: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(60);
/// Until thousands of changes are made.
const CHURN: Duration = Duration::from_secs(300);

/// A simulated API server with a made-up cluster.
pub struct Cluster<'a> {
    child: Child,
    _cgroup: Cgroup,
    lab: &'a Lab,
    pub kubeconfig: String,
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

    /// Makes so many changes, or one or two more, as fast as they go; how many it made.
    pub fn churn(&mut self, changes: usize) -> Result<usize> {
        self.child.tell(&format!("churn {changes}"))?;
        let line = self.child.line(&self.lab.interrupt, CHURN)?;
        line.parse().with_context(|| format!("the simulated API server said {line}"))
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
