//! What is kept of each object, as small as it can be.

use std::net::IpAddr;
use std::sync::Arc;

use model::Workload;
use reflector::{OwnerReference, Phase};

use super::behind::Behind;
use super::container::{ContainerId, ContainerKind};
use super::key::Str;
use super::strings::{Pairs, Strings};
use super::table::{Id, Named};
use super::template::{Owned, Port, Template};
use super::uid::Uid;

#[derive(Clone, Debug, PartialEq)]
pub struct Pod {
    pub uid: Uid,
    pub name: Str,
    /// Empty before the pod is scheduled.
    pub node: Str,
    pub ips: Box<[IpAddr]>,
    /// As many as its template has.
    pub containers: Box<[ContainerId]>,
    pub template: Arc<Template>,
    pub workload: Arc<Workload>,
    /// Seconds since 1970; 0: not known.
    pub started_at: i64,
    pub host_network: bool,
    /// It has ended, and has its addresses no longer.
    pub over: bool,
    /// Its deletion has been asked for.
    pub deleted: bool,
}

#[derive(Debug, PartialEq)]
pub struct Service {
    pub namespace: Str,
    pub name: Str,
    pub cluster_ips: Box<[IpAddr]>,
    pub external_ips: Box<[IpAddr]>,
    pub ports: Arc<[Port]>,
    /// Not from the API server: see [`Store::settle`](super::store::Store::settle).
    pub behind: Option<Behind>,
}

#[derive(Debug, PartialEq)]
pub struct Node {
    pub name: Str,
    pub ips: Box<[IpAddr]>,
    pub zone: Option<Str>,
}

/// A part of the addresses behind a service.
#[derive(Debug, PartialEq)]
pub struct Slice {
    pub namespace: Str,
    pub name: Str,
    pub service: Str,
    /// In order.
    pub ips: Box<[IpAddr]>,
    pub ports: Arc<[Port]>,
    /// All of its endpoints are said to be pods.
    pub of_pods: bool,
}

#[derive(Debug, PartialEq)]
pub struct Namespace {
    pub name: Str,
    pub labels: Pairs,
}

/// A ReplicaSet or a Job, and what its pods are called by.
#[derive(Debug, PartialEq)]
pub struct Owner {
    pub uid: Uid,
    pub namespace: Str,
    pub name: Str,
    pub workload: Arc<Workload>,
    /// Which of its Deployment's it is; 0: not known.
    pub revision: u64,
    /// When its pods began to be the newest, in seconds since 1970; 0: not known.
    pub deployed_at: i64,
}

impl Pod {
    /// Its workload is that of its direct owner until somebody knows better.
    pub fn new(pod: reflector::Pod, strings: &mut Strings) -> Self {
        let (mut ids, mut kinds) = (Vec::new(), Vec::new());
        for container in pod.containers {
            let Some(id) = container.id else { continue };
            ids.push(ContainerId::parse(&id));
            let (name, image) = (strings.text(container.name), strings.text(container.image));
            kinds.push(strings.containers.share(ContainerKind { name, image }.into()));
        }
        let workload = workload(&pod.name, &pod.node, pod.owner.as_ref());
        let owner = pod.owner.map(|it| {
            let (kind, api_group) = (strings.text(it.kind), strings.text(it.api_group));
            strings.owners.share(Arc::new(Owned { kind, api_group, uid: Uid::from(&*it.uid) }))
        });
        let template = Template {
            namespace: strings.text(pod.namespace),
            owner,
            labels: strings.pairs(pod.labels),
            annotations: strings.pairs(pod.annotations),
            ports: strings.ports(pod.ports.into_iter().map(|it| (it.name, it.number, it.protocol))),
            containers: strings.kinds.share(kinds.into()),
        };
        Self {
            uid: Uid::from(&*pod.uid),
            name: pod.name,
            node: strings.text(pod.node),
            ips: pod.ips.into(),
            containers: ids.into(),
            template: strings.templates.share(template.into()),
            workload: strings.workloads.share(workload.into()),
            started_at: pod.started_at.unwrap_or(0),
            host_network: pod.host_network,
            over: matches!(pod.phase, Phase::Succeeded | Phase::Failed),
            deleted: pod.deleted,
        }
    }

    pub fn containers(&self) -> impl Iterator<Item = (&ContainerId, &Arc<ContainerKind>)> {
        self.containers.iter().zip(&*self.template.containers)
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

impl Service {
    pub fn new(service: reflector::Service, strings: &mut Strings) -> Self {
        Self {
            namespace: strings.text(service.namespace),
            name: strings.text(service.name),
            cluster_ips: service.cluster_ips.into(),
            external_ips: service.external_ips.into(),
            ports: strings
                .ports(service.ports.into_iter().map(|it| (it.name, it.number, it.protocol))),
            behind: None,
        }
    }

    /// Those that lead to what is behind it.
    pub fn ips(&self) -> impl Iterator<Item = IpAddr> {
        self.cluster_ips.iter().chain(&self.external_ips).copied()
    }
}

impl Node {
    pub fn new(node: reflector::Node, strings: &mut Strings) -> Self {
        Self {
            name: strings.text(node.name),
            ips: node.addresses.into(),
            zone: node.zone.map(|zone| strings.text(zone)),
        }
    }
}

impl Slice {
    pub fn new(slice: reflector::EndpointSlice, strings: &mut Strings) -> Self {
        let of_pods = slice.endpoints.iter().all(|it| it.pod.is_some());
        let mut ips: Vec<IpAddr> = slice.endpoints.into_iter().flat_map(|it| it.ips).collect();
        ips.sort_unstable();
        ips.dedup();
        Self {
            namespace: strings.text(slice.namespace),
            name: slice.name,
            service: strings.text(slice.service),
            ips: ips.into(),
            ports: strings
                .ports(slice.ports.into_iter().map(|it| (it.name, it.number, it.protocol))),
            of_pods,
        }
    }
}

impl Namespace {
    pub fn new(namespace: reflector::Namespace, strings: &mut Strings) -> Self {
        Self { name: strings.text(namespace.name), labels: strings.pairs(namespace.labels) }
    }
}

impl Owner {
    pub fn new(owner: reflector::Owner, strings: &mut Strings) -> Self {
        let workload = match owner.controller {
            Some(controller) => Workload { kind: controller.kind, name: controller.name },
            None => Workload { kind: owner.kind, name: owner.name.clone() },
        };
        Self {
            uid: Uid::from(&*owner.uid),
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
named!(Service, Slice, Owner);

impl Named for Pod {
    fn name(&self) -> (&Str, &Str) {
        (&self.template.namespace, &self.name)
    }
}

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
    fn a_pod_takes_no_more_than_it_must() {
        assert!(size_of::<Pod>() <= 120, "{}", size_of::<Pod>());
    }

    #[test]
    fn pods_of_a_workload_have_one_template() {
        let mut strings = Strings::default();
        let mut pod = |name: &str, set: &str, app: &str| {
            let container = |name: &str| reflector::Container {
                name: name.into(),
                image: "registry/app:1".into(),
                id: Some(format!("{name}-id").into()),
            };
            let told = reflector::Pod {
                uid: name.into(),
                namespace: "shop".into(),
                name: name.into(),
                owner: Some(OwnerReference {
                    kind: "ReplicaSet".into(),
                    name: set.into(),
                    uid: set.into(),
                    controller: true,
                    api_group: "apps".into(),
                }),
                labels: vec![("app".into(), app.into())],
                containers: vec![container("app"), container("sidecar")],
                node: "n1".into(),
                ips: vec![],
                host_network: false,
                phase: Phase::Running,
                annotations: vec![],
                ports: vec![],
                started_at: None,
                deleted: false,
            };
            Pod::new(told, &mut strings)
        };
        let (one, two) = (pod("web-a", "web-1", "web"), pod("web-b", "web-1", "web"));
        assert!(Arc::ptr_eq(&one.template, &two.template));
        let kinds: Vec<&str> = one.containers().map(|(_, kind)| &*kind.name).collect();
        assert_eq!(kinds, ["app", "sidecar"]);
        for other in [pod("web-c", "web-2", "web"), pod("web-d", "web-1", "api")] {
            assert!(one.template != other.template);
        }
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
