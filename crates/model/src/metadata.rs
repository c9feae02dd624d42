//! What the cluster says of itself: the interface that feeds the agent's identities. The hub's stream and
//! the simulated cluster both speak it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::Workload;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// As the API server prints it: with dashes, or 32 hex digits for a static pod.
    pub uid: Arc<str>,
    pub namespace: Arc<str>,
    pub name: Arc<str>,
    /// The node it runs on.
    pub node: Arc<str>,
    /// All its addresses (`podIPs`); the node's own for a pod in the host's network.
    pub ips: Vec<IpAddr>,
    pub host_network: bool,
    pub workload: Option<Workload>,
    pub containers: Vec<Container>,
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    pub zone: Option<Arc<str>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// 64 hex digits, without the runtime's prefix.
    pub id: Arc<str>,
    pub name: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    pub namespace: Arc<str>,
    pub name: Arc<str>,
    pub ips: Vec<IpAddr>,
}

/// One step from the receiver's view of the cluster to the cluster's present state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// New or changed, keyed by uid.
    Pod(Pod),
    PodGone {
        uid: Arc<str>,
    },
    /// New or changed, keyed by namespace and name.
    Service(Service),
    ServiceGone {
        namespace: Arc<str>,
        name: Arc<str>,
    },
    /// All that existed when the feed began has been sent.
    Synced,
}
