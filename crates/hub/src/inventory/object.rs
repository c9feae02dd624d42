//! What is kept of each object, as small as it can be.

use std::net::IpAddr;
use std::sync::Arc;

use model::Workload;
use reflector::{OwnerReference, Phase, Protocol};

use super::key::Str;
use super::strings::Strings;
use super::table::{Id, Named};

pub type Pairs = Arc<[(Str, Str)]>;

#[derive(Clone, Debug, PartialEq)]
pub struct Pod {
    pub uid: Str,
    pub namespace: Str,
    pub name: Str,
    /// Empty before the pod is scheduled.
    pub node: Str,
    pub ips: Box<[IpAddr]>,
    pub containers: Box<[Container]>,
    /// Who controls it directly.
    pub owner: Option<Arc<Owned>>,
    pub workload: Arc<Workload>,
    pub labels: Pairs,
    pub annotations: Pairs,
    pub ports: Arc<[Port]>,
    /// Seconds since 1970; 0: not known.
    pub started_at: i64,
    pub host_network: bool,
    /// It has ended, and has its addresses no longer.
    pub over: bool,
    /// Its deletion has been asked for.
    pub deleted: bool,
}

/// An owner's kind and uid.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owned {
    pub kind: Str,
    pub api_group: Str,
    pub uid: Str,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Container {
    pub id: ContainerId,
    pub kind: Arc<ContainerKind>,
}

/// 64 hex digits take half of their length.
#[derive(Clone, Debug, PartialEq)]
pub enum ContainerId {
    Hex([u8; 32]),
    Other(Str),
}

/// What the containers of a workload have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ContainerKind {
    pub name: Str,
    pub image: Str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Port {
    pub name: Str,
    pub number: u16,
    pub protocol: Protocol,
}

#[derive(Debug, PartialEq)]
pub struct Service {
    pub uid: Str,
    pub namespace: Str,
    pub name: Str,
    pub cluster_ips: Box<[IpAddr]>,
    pub external_ips: Box<[IpAddr]>,
}

#[derive(Debug, PartialEq)]
pub struct Node {
    pub uid: Str,
    pub name: Str,
    pub ips: Box<[IpAddr]>,
    pub zone: Option<Str>,
}

/// A part of the addresses behind a service.
#[derive(Debug, PartialEq)]
pub struct Slice {
    pub uid: Str,
    pub namespace: Str,
    pub name: Str,
    pub service: Str,
    /// In order.
    pub ips: Box<[IpAddr]>,
}

#[derive(Debug, PartialEq)]
pub struct Namespace {
    pub name: Str,
    pub labels: Pairs,
}

/// A ReplicaSet or a Job, and what its pods are called by.
#[derive(Debug, PartialEq)]
pub struct Owner {
    pub uid: Str,
    pub namespace: Str,
    pub name: Str,
    pub workload: Arc<Workload>,
    /// Which of its Deployment's it is; 0: not known.
    pub revision: u64,
    /// When its pods began to be the newest, in seconds since 1970; 0: not known.
    pub deployed_at: i64,
}

impl ContainerId {
    pub fn parse(text: &str) -> Self {
        let mut bytes = [0; 32];
        let pairs = text.as_bytes().chunks_exact(2);
        if text.len() != 64 || text.bytes().any(|it| !matches!(it, b'0'..=b'9' | b'a'..=b'f')) {
            return Self::Other(text.into());
        }
        let digit = |digit: u8| if digit < b'a' { digit - b'0' } else { digit - b'a' + 10 };
        for (byte, pair) in bytes.iter_mut().zip(pairs) {
            *byte = digit(pair[0]) << 4 | digit(pair[1]);
        }
        Self::Hex(bytes)
    }

    pub fn text(&self) -> Str {
        match self {
            Self::Hex(bytes) => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                let digits = bytes.iter().flat_map(|it| [it >> 4, it & 15]);
                digits.map(|it| char::from(DIGITS[usize::from(it)])).collect::<String>().into()
            }
            Self::Other(text) => text.clone(),
        }
    }
}

impl Pod {
    /// Its workload is that of its direct owner until somebody knows better.
    pub fn new(pod: reflector::Pod, strings: &mut Strings) -> Self {
        let containers = pod.containers.into_iter().filter_map(|it| {
            let kind = ContainerKind { name: strings.text(it.name), image: strings.text(it.image) };
            let kind = strings.containers.share(kind.into());
            Some(Container { id: ContainerId::parse(&it.id?), kind })
        });
        let containers = containers.collect();
        let workload = workload(&pod.name, &pod.node, pod.owner.as_ref());
        let owner = pod.owner.map(|it| {
            let (kind, api_group) = (strings.text(it.kind), strings.text(it.api_group));
            strings.owners.share(Arc::new(Owned {
                kind,
                api_group,
                uid: strings.texts.share(it.uid),
            }))
        });
        let ports = pod.ports.into_iter().map(|it| Port {
            name: strings.texts.share(it.name),
            number: it.number,
            protocol: it.protocol,
        });
        let ports: Arc<[Port]> = ports.collect();
        Self {
            uid: pod.uid,
            namespace: strings.text(pod.namespace),
            name: pod.name,
            node: strings.text(pod.node),
            ips: pod.ips.into(),
            containers,
            owner,
            workload: strings.workloads.share(workload.into()),
            labels: pairs(pod.labels, strings),
            annotations: pairs(pod.annotations, strings),
            ports: strings.ports.share(ports),
            started_at: pod.started_at.unwrap_or(0),
            host_network: pod.host_network,
            over: matches!(pod.phase, Phase::Succeeded | Phase::Failed),
            deleted: pod.deleted,
        }
    }

    /// The addresses that are its own: not those of its node, and none once it has ended.
    pub fn own_ips(&self) -> &[IpAddr] {
        if self.over || self.host_network { &[] } else { &self.ips }
    }
}

/// By the direct owner.
fn workload(pod: &str, node: &str, owner: Option<&OwnerReference>) -> Workload {
    let named = |kind: &str, name: &str| Workload { kind: kind.into(), name: name.into() };
    match owner {
        None => named("Pod", pod),
        // The mirror of a static pod: the kubelet appends its node's name.
        Some(owner) if &*owner.kind == "Node" && owner.api_group.is_empty() => {
            let name = pod.strip_suffix(node).and_then(|name| name.strip_suffix('-'));
            named("StaticPod", name.unwrap_or(pod))
        }
        Some(owner) => Workload { kind: owner.kind.clone(), name: owner.name.clone() },
    }
}

fn pairs(pairs: Vec<(Str, Str)>, strings: &mut Strings) -> Pairs {
    let pairs = pairs
        .into_iter()
        .map(|(key, value)| (strings.texts.share(key), strings.texts.share(value)));
    let pairs: Pairs = pairs.collect();
    strings.pairs.share(pairs)
}

impl Service {
    pub fn new(service: reflector::Service, strings: &mut Strings) -> Self {
        Self {
            uid: service.uid,
            namespace: strings.text(service.namespace),
            name: strings.text(service.name),
            cluster_ips: service.cluster_ips.into(),
            external_ips: service.external_ips.into(),
        }
    }
}

impl Node {
    pub fn new(node: reflector::Node, strings: &mut Strings) -> Self {
        Self {
            uid: node.uid,
            name: strings.text(node.name),
            ips: node.addresses.into(),
            zone: node.zone.map(|zone| strings.text(zone)),
        }
    }
}

impl Slice {
    pub fn new(slice: reflector::EndpointSlice, strings: &mut Strings) -> Self {
        let mut ips: Vec<IpAddr> = slice.endpoints.into_iter().flat_map(|it| it.ips).collect();
        ips.sort_unstable();
        ips.dedup();
        Self {
            uid: slice.uid,
            namespace: strings.text(slice.namespace),
            name: slice.name,
            service: strings.text(slice.service),
            ips: ips.into(),
        }
    }
}

impl Namespace {
    pub fn new(namespace: reflector::Namespace, strings: &mut Strings) -> Self {
        Self { name: strings.text(namespace.name), labels: pairs(namespace.labels, strings) }
    }
}

impl Owner {
    pub fn new(owner: reflector::Owner, strings: &mut Strings) -> Self {
        let workload = match owner.controller {
            Some(controller) => Workload { kind: controller.kind, name: controller.name },
            None => Workload { kind: owner.kind, name: owner.name.clone() },
        };
        Self {
            uid: strings.text(owner.uid),
            namespace: strings.text(owner.namespace),
            name: owner.name,
            workload: strings.workloads.share(workload.into()),
            revision: owner.revision.unwrap_or(0),
            deployed_at: owner.created_at.unwrap_or(0),
        }
    }
}

/// Where what belongs to no namespace is.
fn nowhere() -> &'static Str {
    static NOWHERE: std::sync::LazyLock<Str> = std::sync::LazyLock::new(Str::default);
    &NOWHERE
}

macro_rules! named {
    ($($type:ident),*) => { $(impl Named for $type {
        fn name(&self) -> (&Str, &Str) {
            (&self.namespace, &self.name)
        }
    })* };
}
named!(Pod, Service, Slice, Owner);

impl Named for Node {
    fn name(&self) -> (&Str, &Str) {
        (nowhere(), &self.name)
    }
}

impl Named for Namespace {
    fn name(&self) -> (&Str, &Str) {
        (nowhere(), &self.name)
    }
}

/// Who says that an address is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    Node(Id),
    Pod(Id),
    ClusterIp(Id),
    /// `externalIPs` or a load balancer's: a service's author may write anything there.
    ExternalIp(Id),
    /// Behind the service of this slice.
    Slice(Id),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_id_comes_back_as_it_was() {
        let hex = "0123456789abcdef".repeat(4);
        assert!(matches!(ContainerId::parse(&hex), ContainerId::Hex(_)));
        for text in [&*hex, &hex[1..], &hex.to_uppercase(), "", &"é".repeat(32)] {
            assert_eq!(&*ContainerId::parse(text).text(), text);
        }
        assert!(size_of::<Pod>() <= 216, "{}", size_of::<Pod>());
        assert!(size_of::<Container>() <= 48, "{}", size_of::<Container>());
    }

    #[test]
    fn a_pod_without_a_workload_is_called_by_what_it_is() {
        let owner = |kind: &str, api_group: &str, name: &str| OwnerReference {
            kind: kind.into(),
            name: name.into(),
            uid: "u".into(),
            controller: true,
            api_group: api_group.into(),
        };
        let check = |pod, node, owner: Option<OwnerReference>, kind: &str, name: &str| {
            let expected = Workload { kind: kind.into(), name: name.into() };
            assert_eq!(workload(pod, node, owner.as_ref()), expected);
        };
        check("debug", "n1", None, "Pod", "debug");
        check("etcd-n1", "n1", Some(owner("Node", "", "n1")), "StaticPod", "etcd");
        check("etcd", "n1", Some(owner("Node", "", "n1")), "StaticPod", "etcd");
        check("db-0", "n1", Some(owner("StatefulSet", "apps", "db")), "StatefulSet", "db");
    }
}
