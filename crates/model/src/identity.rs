//! Who an endpoint is.

use std::collections::BTreeMap;
use std::sync::Arc;

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
    /// DNS names by which the address was looked up.
    pub names: Vec<Arc<str>>,
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    pub zone: Option<Arc<str>>,
    pub host_network: bool,
}

/// What a person would name as the cause of a pod: a Deployment, a CronJob, a systemd unit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Workload {
    /// `Deployment`, `StatefulSet`, `Pod`, ...; outside Kubernetes `SystemdUnit`, `Container`, `Session`, `Process`;
    /// for ends that are no workload `Host`, `External`.
    pub kind: Arc<str>,
    pub name: Arc<str>,
}
