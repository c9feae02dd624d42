//! Who an endpoint is.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::Protocol;

/// All that is known of one end. Shared: one value per container, service or address, however many records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    pub namespace: Option<Arc<str>>,
    pub pod: Option<Arc<str>>,
    pub pod_uid: Option<Arc<str>>,
    /// Name of the container; its id where the name is not known (yet).
    pub container: Option<Arc<str>>,
    pub workload: Option<Workload>,
    pub service: Option<Arc<str>>,
    /// Of a service whose workload is known, but not the pod.
    pub target_ports: Vec<TargetPort>,
    /// DNS names by which the address was looked up.
    pub names: Vec<Arc<str>>,
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    pub zone: Option<Arc<str>>,
    pub host_network: bool,
}

/// Where a port of a service leads, if that is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TargetPort {
    pub protocol: Protocol,
    pub port: u16,
    pub target: u16,
}

impl Identity {
    /// Where what is sent to `port` arrives.
    pub fn target_port(&self, protocol: Protocol, port: u16) -> u16 {
        let is = |it: &&TargetPort| (it.protocol, it.port) == (protocol, port);
        self.target_ports.iter().find(is).map_or(port, |it| it.target)
    }
}

/// What a person would name as the cause of a pod: a Deployment, a CronJob, a systemd unit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Workload {
    /// `Deployment`, `StatefulSet`, `Pod`, ...; outside Kubernetes `SystemdUnit`, `Container`, `Session`, `Process`;
    /// for ends that are no workload `Host`, `External`.
    pub kind: Arc<str>,
    pub name: Arc<str>,
}
