//! What the cluster says of itself: the interface that feeds the agent's identities. The hub's stream and
//! the simulated cluster both speak it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::{Identity, Timestamp, Workload};

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

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub name: Arc<str>,
    /// Internal and external ones.
    pub ips: Vec<IpAddr>,
    pub zone: Option<Arc<str>>,
}

/// Whose an address is: the answer to a question about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub ip: IpAddr,
    pub holder: Holder,
    /// Without a container.
    pub identity: Arc<Identity>,
    /// What happened before this was another one's; 0 where the begin is not known.
    pub since: Timestamp,
}

/// What an address belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    Pod {
        uid: Arc<str>,
    },
    Service {
        namespace: Arc<str>,
        name: Arc<str>,
    },
    /// Also for pods in its network: several have its address.
    Node {
        name: Arc<str>,
    },
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
    /// New or changed, keyed by name.
    Node(Node),
    NodeGone {
        name: Arc<str>,
    },
    /// The address is known; it is told again whenever that changes, until it is no longer wanted.
    Address(Address),
    /// The address is nobody's; whoever gets it will be told.
    AddressUnknown {
        ip: IpAddr,
    },
    /// It was somebody's until then, and now is nobody's.
    AddressGone {
        ip: IpAddr,
        until: Timestamp,
    },
    /// A complete account follows: what is not told between this and [`Change::Synced`] is gone.
    Begin,
    /// All that existed when the feed (or the account) began has been sent.
    Synced,
    /// The source is out of reach: what is known stays, and may be out of date.
    Stale,
    /// It is in reach again, and what was missed has been sent.
    Fresh,
}
