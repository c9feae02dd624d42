//! One step of an agent's view of the cluster, as the model has it and as it travels.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use model::{
    Change, Container, Holder, Identity, Node, Pod, Protocol, Service, TargetPort, Timestamp,
    Workload,
};

use crate::wire;
use crate::wire::address::Holder as WireHolder;
use crate::wire::item::Kind;

/// What cannot be a step of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("an item of no known kind")]
    Kind,
    #[error("an address of {0} bytes: expected 4 or 16")]
    Address(usize),
    #[error("no {0}")]
    Missing(&'static str),
    #[error("packed items: {0}")]
    Parcel(&'static str),
}

/// 4 or 16 bytes.
pub fn ip_bytes(ip: IpAddr) -> Bytes {
    match ip {
        IpAddr::V4(ip) => Bytes::copy_from_slice(&ip.octets()),
        IpAddr::V6(ip) => Bytes::copy_from_slice(&ip.octets()),
    }
}

/// IPv4-mapped ones as IPv4.
///
/// # Errors
/// Neither 4 nor 16 bytes.
pub fn ip(bytes: &[u8]) -> Result<IpAddr, Malformed> {
    let wrong = Malformed::Address(bytes.len());
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).map(IpAddr::from).map_err(|_| wrong),
        16 => {
            let ip = <[u8; 16]>::try_from(bytes).map(IpAddr::from).map_err(|_| wrong)?;
            Ok(ip.to_canonical())
        }
        _ => Err(wrong),
    }
}

/// `None` for the marks [`Change::Begin`], [`Change::Synced`], [`Change::Stale`] and [`Change::Fresh`], which are
/// said by the batch or by the stream.
pub fn item(change: &Change) -> Option<wire::Item> {
    let kind = match change {
        Change::Pod(it) => Kind::Pod(pod_out(it)),
        Change::PodGone { uid } => Kind::PodGone(wire::PodGone { uid: uid.to_string() }),
        Change::Service(it) => Kind::Service(wire::Service {
            namespace: it.namespace.to_string(),
            name: it.name.to_string(),
            ips: it.ips.iter().copied().map(ip_bytes).collect(),
        }),
        Change::ServiceGone { namespace, name } => Kind::ServiceGone(wire::ServiceGone {
            namespace: namespace.to_string(),
            name: name.to_string(),
        }),
        Change::Node(it) => Kind::Node(wire::Node {
            name: it.name.to_string(),
            ips: it.ips.iter().copied().map(ip_bytes).collect(),
            zone: text_out(it.zone.as_ref()),
        }),
        Change::NodeGone { name } => Kind::NodeGone(wire::NodeGone { name: name.to_string() }),
        Change::Address(it) => Kind::Address(wire::Address {
            ip: ip_bytes(it.ip),
            holder: Some(match &it.holder {
                Holder::Pod { uid } => WireHolder::Pod(uid.to_string()),
                Holder::Service { name, .. } => WireHolder::Service(name.to_string()),
                Holder::Node { name } => WireHolder::Node(name.to_string()),
            }),
            identity: Some(identity_out(&it.identity)),
            since_ns: it.since.0,
        }),
        Change::AddressUnknown { ip } => {
            Kind::AddressUnknown(wire::AddressUnknown { ip: ip_bytes(*ip) })
        }
        Change::AddressGone { ip, until } => {
            Kind::AddressGone(wire::AddressGone { ip: ip_bytes(*ip), until_ns: until.0 })
        }
        Change::Begin | Change::Synced | Change::Stale | Change::Fresh => return None,
    };
    Some(wire::Item { kind: Some(kind) })
}

/// # Errors
/// The item lacks what its kind cannot be without.
pub fn change(item: wire::Item) -> Result<Change, Malformed> {
    Ok(match item.kind.ok_or(Malformed::Kind)? {
        Kind::Pod(it) => Change::Pod(pod_in(it)?),
        Kind::PodGone(it) => Change::PodGone { uid: named(it.uid, "uid")? },
        Kind::Service(it) => Change::Service(Service {
            namespace: it.namespace.into(),
            name: named(it.name, "name")?,
            ips: ips(&it.ips)?,
        }),
        Kind::ServiceGone(it) => {
            Change::ServiceGone { namespace: it.namespace.into(), name: named(it.name, "name")? }
        }
        Kind::Node(it) => Change::Node(Node {
            name: named(it.name, "name")?,
            ips: ips(&it.ips)?,
            zone: text_in(it.zone),
        }),
        Kind::NodeGone(it) => Change::NodeGone { name: named(it.name, "name")? },
        Kind::Address(it) => {
            let identity = it.identity.ok_or(Malformed::Missing("identity"))?;
            let namespace = identity.namespace.clone();
            let holder = match it.holder.ok_or(Malformed::Missing("holder"))? {
                WireHolder::Pod(uid) => Holder::Pod { uid: named(uid, "uid")? },
                WireHolder::Service(name) => {
                    Holder::Service { namespace: namespace.into(), name: named(name, "name")? }
                }
                WireHolder::Node(name) => Holder::Node { name: named(name, "name")? },
            };
            let uid = match &holder {
                Holder::Pod { uid } => Some(uid.clone()),
                Holder::Service { .. } | Holder::Node { .. } => None,
            };
            Change::Address(model::Address {
                ip: ip(&it.ip)?,
                holder,
                identity: Arc::new(Identity { pod_uid: uid, ..identity_in(identity) }),
                since: Timestamp(it.since_ns),
            })
        }
        Kind::AddressUnknown(it) => Change::AddressUnknown { ip: ip(&it.ip)? },
        Kind::AddressGone(it) => {
            Change::AddressGone { ip: ip(&it.ip)?, until: Timestamp(it.until_ns) }
        }
    })
}

fn pod_out(pod: &Pod) -> wire::Pod {
    let container =
        |it: &Container| wire::Container { id: it.id.to_string(), name: it.name.to_string() };
    wire::Pod {
        uid: pod.uid.to_string(),
        namespace: pod.namespace.to_string(),
        name: pod.name.to_string(),
        node: pod.node.to_string(),
        ips: pod.ips.iter().copied().map(ip_bytes).collect(),
        host_network: pod.host_network,
        workload: pod.workload.as_ref().map(workload_out),
        containers: pod.containers.iter().map(container).collect(),
        labels: labels_out(&pod.labels),
        zone: text_out(pod.zone.as_ref()),
    }
}

fn pod_in(pod: wire::Pod) -> Result<Pod, Malformed> {
    let container = |it: wire::Container| Container { id: it.id.into(), name: it.name.into() };
    Ok(Pod {
        uid: named(pod.uid, "uid")?,
        namespace: pod.namespace.into(),
        name: named(pod.name, "name")?,
        node: pod.node.into(),
        ips: ips(&pod.ips)?,
        host_network: pod.host_network,
        workload: pod.workload.map(workload_in),
        containers: pod.containers.into_iter().map(container).collect(),
        labels: labels_in(pod.labels),
        zone: text_in(pod.zone),
    })
}

fn identity_out(identity: &Identity) -> wire::Identity {
    wire::Identity {
        namespace: text_out(identity.namespace.as_ref()),
        pod: text_out(identity.pod.as_ref()),
        workload: identity.workload.as_ref().map(workload_out),
        service: text_out(identity.service.as_ref()),
        zone: text_out(identity.zone.as_ref()),
        host_network: identity.host_network,
        labels: labels_out(&identity.labels),
        names: identity.names.iter().map(ToString::to_string).collect(),
        target_ports: identity.target_ports.iter().map(target_port_out).collect(),
    }
}

fn identity_in(identity: wire::Identity) -> Identity {
    Identity {
        namespace: text_in(identity.namespace),
        pod: text_in(identity.pod),
        pod_uid: None,
        container: None,
        workload: identity.workload.map(workload_in),
        service: text_in(identity.service),
        // One that cannot be is left out: what it leads to has the port that was asked for.
        target_ports: identity.target_ports.iter().filter_map(target_port_in).collect(),
        names: identity.names.into_iter().map(Into::into).collect(),
        labels: labels_in(identity.labels),
        zone: text_in(identity.zone),
        host_network: identity.host_network,
    }
}

fn target_port_out(it: &TargetPort) -> wire::TargetPort {
    wire::TargetPort {
        protocol: it.protocol.0.into(),
        port: it.port.into(),
        target: it.target.into(),
    }
}

fn target_port_in(it: &wire::TargetPort) -> Option<TargetPort> {
    Some(TargetPort {
        protocol: Protocol(it.protocol.try_into().ok()?),
        port: it.port.try_into().ok()?,
        target: it.target.try_into().ok()?,
    })
}

fn workload_out(workload: &Workload) -> wire::Workload {
    wire::Workload { kind: workload.kind.to_string(), name: workload.name.to_string() }
}

fn workload_in(workload: wire::Workload) -> Workload {
    Workload { kind: workload.kind.into(), name: workload.name.into() }
}

type Labels = std::collections::BTreeMap<Arc<str>, Arc<str>>;

fn labels_out(labels: &Labels) -> Vec<wire::Label> {
    let label = |(key, value): (&Arc<str>, &Arc<str>)| wire::Label {
        key: key.to_string(),
        value: value.to_string(),
    };
    labels.iter().map(label).collect()
}

fn labels_in(labels: Vec<wire::Label>) -> Labels {
    labels.into_iter().map(|it| (it.key.into(), it.value.into())).collect()
}

fn ips(all: &[Bytes]) -> Result<Vec<IpAddr>, Malformed> {
    all.iter().map(|bytes| ip(bytes)).collect()
}

/// Absent is empty on the wire.
fn text_out(text: Option<&Arc<str>>) -> String {
    text.map(ToString::to_string).unwrap_or_default()
}

fn text_in(text: String) -> Option<Arc<str>> {
    (!text.is_empty()).then(|| text.into())
}

fn named(text: String, what: &'static str) -> Result<Arc<str>, Malformed> {
    text_in(text).ok_or(Malformed::Missing(what))
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    fn travels(change: &Change) {
        let bytes = item(change).unwrap().encode_to_vec();
        let arrived = super::change(wire::Item::decode(&*bytes).unwrap()).unwrap();
        assert_eq!(arrived, *change);
    }

    fn text(text: &str) -> Option<Arc<str>> {
        Some(text.into())
    }

    #[test]
    fn every_change_arrives_as_it_was() {
        let labels: Labels = [("app".into(), "cart".into()), ("tier".into(), "".into())].into();
        let workload = Some(Workload { kind: "Deployment".into(), name: "cart".into() });
        let ips: Vec<IpAddr> = vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()];
        let identity = |uid: Option<&str>| {
            Arc::new(Identity {
                namespace: text("shop"),
                pod: uid.and(text("cart-1")),
                pod_uid: uid.map(Into::into),
                workload: workload.clone(),
                service: text("cart"),
                target_ports: vec![TargetPort {
                    protocol: Protocol::TCP,
                    port: 80,
                    target: 65_535,
                }],
                names: vec!["cart.example".into()],
                labels: labels.clone(),
                zone: text("zone-a"),
                ..Identity::default()
            })
        };
        travels(&Change::Pod(Pod {
            uid: "u1".into(),
            namespace: "shop".into(),
            name: "cart-1".into(),
            node: "n1".into(),
            ips: ips.clone(),
            host_network: true,
            workload: workload.clone(),
            containers: vec![Container { id: "c".repeat(64).into(), name: "main".into() }],
            labels: labels.clone(),
            zone: None,
        }));
        travels(&Change::PodGone { uid: "u1".into() });
        let (namespace, name) = (Arc::from("shop"), Arc::from("cart"));
        travels(&Change::Service(Service {
            namespace: Arc::clone(&namespace),
            name: Arc::clone(&name),
            ips: ips.clone(),
        }));
        travels(&Change::ServiceGone {
            namespace: Arc::clone(&namespace),
            name: Arc::clone(&name),
        });
        travels(&Change::Node(Node { name: "n1".into(), ips: ips.clone(), zone: text("a") }));
        travels(&Change::NodeGone { name: "n1".into() });
        let holders = [
            (Holder::Pod { uid: "u1".into() }, identity(Some("u1"))),
            (Holder::Service { namespace, name }, identity(None)),
            (Holder::Node { name: "n1".into() }, identity(None)),
        ];
        for (holder, identity) in holders {
            let since = Timestamp(7);
            travels(&Change::Address(model::Address { ip: ips[0], holder, identity, since }));
        }
        travels(&Change::AddressUnknown { ip: ips[1] });
        travels(&Change::AddressGone { ip: ips[0], until: Timestamp(9) });
        assert_eq!(item(&Change::Begin), None);
    }

    #[test]
    fn what_cannot_be_is_named() {
        let check = |kind: Option<Kind>, expected: &str| {
            let error = change(wire::Item { kind }).unwrap_err();
            assert_eq!(error.to_string(), expected);
        };
        check(None, "an item of no known kind");
        check(Some(Kind::PodGone(wire::PodGone::default())), "no uid");
        check(Some(Kind::Node(wire::Node::default())), "no name");
        let ip = Bytes::from_static(b"12345");
        let unknown = wire::AddressUnknown { ip };
        check(Some(Kind::AddressUnknown(unknown)), "an address of 5 bytes: expected 4 or 16");
        check(Some(Kind::Address(wire::Address::default())), "no identity");
    }

    #[test]
    fn a_mapped_address_is_the_one_that_it_maps() {
        let mapped: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
        assert_eq!(ip(&ip_bytes(mapped)), Ok("10.0.0.1".parse().unwrap()));
    }
}
