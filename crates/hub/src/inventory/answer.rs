//! The newest state of what a key names, as an agent is told it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use model::{Address, Change, Container, Holder, Identity, Timestamp, Workload};

use super::container::{ContainerId, ContainerKind};
use super::key::{Key, Str};
use super::object::{Claim, Node, Pod, Service};
use super::store::Store;
use super::strings::Pairs;

/// Where the API server's own service is.
const KUBERNETES: (&str, &str) = ("default", "kubernetes");
const KUBE_APISERVER: &str = "kube-apiserver";

/// Who has an address, of those who claim it. What somebody may write into an object of his own comes last.
pub(super) enum Holding<'a> {
    Node(&'a Node),
    Pod(&'a Pod),
    Service(&'a Service),
}

impl Store {
    pub fn change(&self, key: &Key) -> Change {
        match key {
            Key::Pod { uid, node } => match self.pod_by_uid(uid) {
                Some(pod) if pod.node == *node => Change::Pod(self.pod_change(pod)),
                _ => Change::PodGone { uid: uid.text() },
            },
            Key::Node { name } => {
                match self.nodes.find("", name).and_then(|id| self.nodes.get(id)) {
                    Some(node) => Change::Node(model::Node {
                        name: node.name.clone(),
                        ips: node.ips.to_vec(),
                        zone: node.zone.clone(),
                    }),
                    None => Change::NodeGone { name: name.clone() },
                }
            }
            Key::Address(ip) => self.address(*ip),
        }
    }

    fn pod_change(&self, pod: &Pod) -> model::Pod {
        let container = |(id, kind): (&ContainerId, &Arc<ContainerKind>)| Container {
            id: id.text(),
            name: kind.name.clone(),
        };
        model::Pod {
            uid: pod.uid.text(),
            namespace: pod.template.namespace.clone(),
            name: pod.name.clone(),
            node: pod.node.clone(),
            // A pod that is over has its address no longer, whatever it says.
            ips: if pod.over { Vec::new() } else { pod.ips.to_vec() },
            host_network: pod.host_network,
            workload: Some((*pod.workload).clone()),
            containers: pod.containers().map(container).collect(),
            labels: labels(&pod.template.labels),
            zone: self.zone(&pod.node).cloned(),
        }
    }

    fn address(&self, ip: IpAddr) -> Change {
        let claims = self.addresses.of(ip);
        let slices = claims.iter().filter_map(|claim| match claim {
            Claim::Slice(id) => self.slices.get(*id).filter(|slice| !slice.service.is_empty()),
            _ => None,
        });
        let behind = slices.map(|it| (&it.namespace, &it.service)).min();
        let is_api_server =
            behind.is_some_and(|(namespace, service)| (&**namespace, &**service) == KUBERNETES);
        let released = self.addresses.released(ip);
        let (holder, identity, since) = match (self.holder(claims), behind) {
            (Some(Holding::Node(node)), _) => {
                let workload = Workload { kind: "Host".into(), name: node.name.clone() };
                let identity = Identity {
                    workload: Some(workload),
                    zone: node.zone.clone(),
                    ..Identity::default()
                };
                (Holder::Node { name: node.name.clone() }, identity, None)
            }
            (Some(Holding::Pod(pod)), _) => {
                // Of several services in front of a pod, the first by name.
                let service = behind.map(|(_, service)| service.clone());
                let started = u64::try_from(pod.started_at).unwrap_or(0) * 1_000_000_000;
                let since = released.map_or(started, |Timestamp(then)| started.max(then));
                let holder = Holder::Pod { uid: pod.uid.text() };
                (holder, self.pod_identity(pod, service), Some(Timestamp(since)))
            }
            (Some(Holding::Service(it)), _) => {
                let (namespace, name) = (it.namespace.clone(), it.name.clone());
                // Which of its pods is only known where the packet is sent.
                let behind = it.behind.as_ref();
                let identity = Identity {
                    namespace: Some(namespace.clone()),
                    service: Some(name.clone()),
                    workload: behind.map(|it| (*it.workload).clone()),
                    target_ports: behind.map_or(vec![], |it| it.target_ports.to_vec()),
                    ..Identity::default()
                };
                (Holder::Service { namespace, name }, identity, None)
            }
            (None, Some((namespace, service))) => {
                let (namespace, name) = (namespace.clone(), service.clone());
                let identity = Identity {
                    namespace: Some(namespace.clone()),
                    service: Some(name.clone()),
                    ..Identity::default()
                };
                (Holder::Service { namespace, name }, identity, None)
            }
            (None, None) => {
                return match released {
                    Some(until) => Change::AddressGone { ip, until },
                    None => Change::AddressUnknown { ip },
                };
            }
        };
        let identity = if is_api_server { as_api_server(identity) } else { identity };
        let since = since.unwrap_or_default();
        Change::Address(Address { ip, holder, identity: Arc::new(identity), since })
    }

    pub(super) fn holder(&self, claims: &[Claim]) -> Option<Holding<'_>> {
        let nodes = claims.iter().filter_map(|claim| match claim {
            Claim::Node(id) => self.nodes.get(*id),
            _ => None,
        });
        if let Some(node) = nodes.min_by_key(|node| &node.name) {
            return Some(Holding::Node(node));
        }
        let pods = claims.iter().filter_map(|claim| match claim {
            Claim::Pod(id) => self.pods.get(*id),
            _ => None,
        });
        // Of two that say so at the same time it is the one that does not go and began last.
        let newest = |pod: &&Pod| (!pod.deleted, pod.started_at, pod.uid.clone());
        if let Some(pod) = pods.max_by_key(newest) {
            return Some(Holding::Pod(pod));
        }
        let service = |claim: &Claim, external: bool| match claim {
            Claim::ClusterIp(id) if !external => self.services.get(*id),
            Claim::ExternalIp(id) if external => self.services.get(*id),
            _ => None,
        };
        let first = |external| {
            let services = claims.iter().filter_map(move |claim| service(claim, external));
            services.min_by_key(|it| (&it.namespace, &it.name)).map(Holding::Service)
        };
        first(false).or_else(|| first(true))
    }

    fn pod_identity(&self, pod: &Pod, service: Option<Str>) -> Identity {
        Identity {
            namespace: Some(pod.template.namespace.clone()),
            pod: Some(pod.name.clone()),
            pod_uid: Some(pod.uid.text()),
            workload: Some((*pod.workload).clone()),
            service,
            labels: labels(&pod.template.labels),
            zone: self.zone(&pod.node).cloned(),
            ..Identity::default()
        }
    }
}

fn as_api_server(identity: Identity) -> Identity {
    let (namespace, service) = KUBERNETES;
    let workload = Workload { kind: "External".into(), name: KUBE_APISERVER.into() };
    Identity {
        namespace: identity.namespace.or_else(|| Some(namespace.into())),
        service: Some(service.into()),
        workload: identity.workload.or(Some(workload)),
        names: vec![KUBE_APISERVER.into()],
        ..identity
    }
}

fn labels(pairs: &Pairs) -> BTreeMap<Str, Str> {
    pairs.iter().cloned().collect()
}
