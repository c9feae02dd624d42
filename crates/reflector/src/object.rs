//! What is kept of each object of the cluster.
//!
//! A text is as the API server has it, but never longer than the limits of the watch allow; an address that cannot be
//! read is left out and counted. An unknown text is empty only where the API server has no object without it.

use std::net::IpAddr;
use std::sync::Arc;

use crate::Resource;

pub type Str = Arc<str>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    Pod(Pod),
    Node(Node),
    Service(Service),
    EndpointSlice(EndpointSlice),
    Namespace(Namespace),
    /// A ReplicaSet or a Job: it only names the workload of its pods.
    Owner(Owner),
}

/// Names one object of the cluster at one time: an object made anew under the same name has another uid.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    pub resource: Resource,
    /// Empty for what belongs to no namespace.
    pub namespace: Str,
    pub name: Str,
}

/// Of an object's owners the one that controls it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OwnerReference {
    /// `ReplicaSet`, `StatefulSet`, `Rollout` ...
    pub kind: Str,
    pub name: Str,
    pub uid: Str,
    pub controller: bool,
    /// `apps`, `argoproj.io` ...; empty for the core group.
    pub api_group: Str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// With dashes, or 32 hex digits for a static pod.
    pub uid: Str,
    pub namespace: Str,
    pub name: Str,
    /// Empty before the pod is scheduled.
    pub node: Str,
    /// `podIPs`, each once, IPv4-mapped ones as IPv4; the node's own for a pod in the host's network.
    pub ips: Vec<IpAddr>,
    pub host_network: bool,
    pub phase: Phase,
    /// Init containers and ephemeral ones too.
    pub containers: Vec<Container>,
    pub owner: Option<OwnerReference>,
    /// The allowed ones, in order of their keys.
    pub labels: Vec<(Str, Str)>,
    /// The allowed ones, in order of their keys.
    pub annotations: Vec<(Str, Str)>,
    /// The ports that its containers name or declare.
    pub ports: Vec<Port>,
    /// Seconds since 1970.
    pub started_at: Option<i64>,
    /// Its deletion has been asked for; it may still run for a while.
    pub deleted: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Phase {
    Pending,
    Running,
    Succeeded,
    Failed,
    #[default]
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Container {
    /// Without the runtime's prefix; none before the container has been made.
    pub id: Option<Str>,
    pub name: Str,
    pub image: Str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Port {
    /// Often empty.
    pub name: Str,
    pub number: u16,
    pub protocol: Protocol,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    #[default]
    Tcp,
    Udp,
    Sctp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub uid: Str,
    pub name: Str,
    /// Internal and external ones, each once.
    pub addresses: Vec<IpAddr>,
    pub hostnames: Vec<Str>,
    /// `topology.kubernetes.io/zone`.
    pub zone: Option<Str>,
    /// `topology.kubernetes.io/region`.
    pub region: Option<Str>,
    /// `spec.providerID`.
    pub provider: Option<Str>,
    /// `node.kubernetes.io/instance-type`.
    pub instance_type: Option<Str>,
    /// The allowed ones, in order of their keys.
    pub labels: Vec<(Str, Str)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    pub uid: Str,
    pub namespace: Str,
    pub name: Str,
    /// Empty for a headless service.
    pub cluster_ips: Vec<IpAddr>,
    /// `externalIPs` and the load balancer's.
    pub external_ips: Vec<IpAddr>,
    pub ports: Vec<ServicePort>,
    pub kind: ServiceKind,
    /// The allowed ones, in order of their keys.
    pub labels: Vec<(Str, Str)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ServiceKind {
    #[default]
    ClusterIp,
    NodePort,
    LoadBalancer,
    ExternalName,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServicePort {
    /// Often empty.
    pub name: Str,
    pub number: u16,
    /// The port on each node, where the service has one.
    pub node_port: Option<u16>,
    pub protocol: Protocol,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSlice {
    pub uid: Str,
    pub namespace: Str,
    pub name: Str,
    /// `kubernetes.io/service-name`; empty for a slice that belongs to no service.
    pub service: Str,
    pub endpoints: Vec<Endpoint>,
    pub ports: Vec<Port>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    pub ips: Vec<IpAddr>,
    /// Name of the pod behind it, in the slice's namespace.
    pub pod: Option<Str>,
    /// Uid of that pod.
    pub pod_uid: Option<Str>,
    pub node: Option<Str>,
    pub zone: Option<Str>,
    /// True where the API server does not say.
    pub ready: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    pub uid: Str,
    pub name: Str,
    /// The allowed ones, in order of their keys.
    pub labels: Vec<(Str, Str)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub resource: Resource,
    pub uid: Str,
    /// `ReplicaSet` or `Job`.
    pub kind: Str,
    pub namespace: Str,
    pub name: Str,
    /// Who controls it: a Deployment, a Rollout, a CronJob ...
    pub controller: Option<OwnerReference>,
    /// Seconds since 1970.
    pub created_at: Option<i64>,
    /// Of a ReplicaSet: which of its Deployment's it is. It grows when an old one is taken up again.
    pub revision: Option<u64>,
}

impl Object {
    pub fn resource(&self) -> Resource {
        match self {
            Self::Pod(_) => Resource::Pods,
            Self::Node(_) => Resource::Nodes,
            Self::Service(_) => Resource::Services,
            Self::EndpointSlice(_) => Resource::EndpointSlices,
            Self::Namespace(_) => Resource::Namespaces,
            Self::Owner(owner) => owner.resource,
        }
    }

    pub fn uid(&self) -> &Str {
        match self {
            Self::Pod(pod) => &pod.uid,
            Self::Node(node) => &node.uid,
            Self::Service(service) => &service.uid,
            Self::EndpointSlice(slice) => &slice.uid,
            Self::Namespace(namespace) => &namespace.uid,
            Self::Owner(owner) => &owner.uid,
        }
    }

    pub fn name(&self) -> &Str {
        match self {
            Self::Pod(pod) => &pod.name,
            Self::Node(node) => &node.name,
            Self::Service(service) => &service.name,
            Self::EndpointSlice(slice) => &slice.name,
            Self::Namespace(namespace) => &namespace.name,
            Self::Owner(owner) => &owner.name,
        }
    }

    pub fn key(&self) -> ObjectKey {
        let namespace = match self {
            Self::Pod(pod) => pod.namespace.clone(),
            Self::Service(service) => service.namespace.clone(),
            Self::EndpointSlice(slice) => slice.namespace.clone(),
            Self::Owner(owner) => owner.namespace.clone(),
            Self::Node(_) | Self::Namespace(_) => Str::default(),
        };
        ObjectKey { resource: self.resource(), namespace, name: self.name().clone() }
    }
}
