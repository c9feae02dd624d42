//! Objects from JSON, for an API server or a proxy before it that has no protobuf.

mod raw;
mod value;

use jiff::Timestamp;

use crate::counters::Cause;
use crate::meta::Meta;
use crate::object::{Container, Port, ServicePort};
use crate::protobuf::{self, Change};
use crate::refusal::Refusal;
use crate::trim::{Trim, api_group, protocol};
use crate::wire::Malformed;
use crate::{EndpointSlice, Node, Object, OwnerReference, Pod, Resource, Service};
use value::List;

/// [`protobuf::object`] in JSON.
pub fn object(
    resource: Resource,
    text: &[u8],
    trim: &mut Trim,
) -> Result<(Object, String), Malformed> {
    match resource {
        Resource::Pods => {
            let raw: raw::Pod<'_> = parse(text)?;
            let (meta, version) = checked(raw.metadata.as_ref(), trim)?;
            Ok((Object::Pod(pod(meta, &raw, trim)), version))
        }
        Resource::Nodes => {
            let raw: raw::Node<'_> = parse(text)?;
            let (meta, version) = checked(raw.metadata.as_ref(), trim)?;
            Ok((Object::Node(node(meta, &raw, trim)), version))
        }
        Resource::Services => {
            let raw: raw::Service<'_> = parse(text)?;
            let (meta, version) = checked(raw.metadata.as_ref(), trim)?;
            Ok((Object::Service(service(meta, &raw, trim)), version))
        }
        Resource::EndpointSlices => {
            let raw: raw::EndpointSlice<'_> = parse(text)?;
            let (meta, version) = checked(raw.metadata.as_ref(), trim)?;
            Ok((Object::EndpointSlice(slice(meta, &raw, trim)), version))
        }
        Resource::Namespaces | Resource::ReplicaSets | Resource::Jobs => {
            let raw: raw::Named<'_> = parse(text)?;
            let (meta, version) = checked(raw.metadata.as_ref(), trim)?;
            Ok((meta.whole(resource), version))
        }
    }
}

/// The metadata of an object that has a name, and its resource version.
fn checked(raw: Option<&raw::Meta<'_>>, trim: &mut Trim) -> Result<(Meta, String), Malformed> {
    let mut meta = trimmed(raw, trim).checked(trim)?;
    let version = std::mem::take(&mut meta.version);
    Ok((meta, version))
}

fn parse<'a, T: serde::Deserialize<'a>>(text: &'a [u8]) -> Result<T, Malformed> {
    serde_json::from_slice(text).map_err(|_| Malformed::Json)
}

/// [`protobuf::metadata_of`] in JSON.
pub fn metadata_of(text: &[u8], trim: &mut Trim) -> Result<Meta, Malformed> {
    let named: raw::Named<'_> = parse(text)?;
    Ok(trimmed(named.metadata.as_ref(), trim))
}

fn trimmed(raw: Option<&raw::Meta<'_>>, trim: &mut Trim) -> Meta {
    let mut meta = Meta::default();
    let Some(raw) = raw else { return meta };
    meta.name = trim.own(raw.name.bytes()).unwrap_or_default();
    meta.namespace = trim.shared_or_empty(raw.namespace.bytes());
    meta.uid = trim.own(raw.uid.bytes()).unwrap_or_default();
    meta.created_at = seconds(raw.creation_timestamp.text());
    meta.deleted = !raw.deletion_timestamp.bytes().is_empty();
    meta.set_version(raw.resource_version.bytes());
    for (key, value) in &raw.labels.0 {
        meta.label(trim, key.bytes(), value.bytes());
    }
    for (key, value) in &raw.annotations.0 {
        meta.annotation(trim, key.bytes(), value.bytes());
    }
    for owner in raw.owner_references.items.iter().filter(|owner| owner.controller == Some(true)) {
        meta.owner(OwnerReference {
            kind: trim.shared_or_empty(owner.kind.bytes()),
            name: trim.shared_or_empty(owner.name.bytes()),
            uid: trim.shared_or_empty(owner.uid.bytes()),
            controller: true,
            api_group: trim.shared_or_empty(api_group(owner.api_version.bytes())),
        });
    }
    meta
}

/// The whole seconds of a time.
fn seconds(text: &str) -> Option<i64> {
    let time = text.parse::<Timestamp>().ok();
    time.map(Timestamp::as_second).filter(|seconds| *seconds > 0)
}

/// [`protobuf::list_meta`] in JSON.
pub fn list_meta(text: &[u8]) -> Result<(String, String), Malformed> {
    let named: raw::Named<'_> = parse(text)?;
    let meta = named.metadata.unwrap_or_default();
    Ok((meta.resource_version.text().to_owned(), meta.next.text().to_owned()))
}

/// [`protobuf::event`] in JSON.
pub fn event(text: &[u8]) -> Result<(Change, &[u8]), Malformed> {
    let event: raw::Event<'_> = parse(text)?;
    Ok((Change::named(event.kind.bytes()), event.object.get().as_bytes()))
}

/// [`protobuf::status`] in JSON.
pub fn status(text: &[u8]) -> Result<Refusal, Malformed> {
    let status: raw::Status<'_> = parse(text)?;
    let mut refusal = Refusal { code: status.code, ..Refusal::default() };
    refusal.set_message(status.message.bytes());
    refusal.set_reason(status.reason.bytes());
    let details = status.details.unwrap_or_default();
    details.causes.items.iter().for_each(|cause| refusal.set_cause(cause.reason.bytes()));
    refusal.retry_after_s = details.retry_after_seconds.unwrap_or(0);
    Ok(refusal)
}

fn whole<'a, T, const MOST: usize>(
    list: &'a List<T, MOST>,
    trim: &Trim,
) -> impl Iterator<Item = &'a T> + use<'a, T, MOST> {
    if list.more {
        trim.count(Cause::TooManyParts);
    }
    list.items.iter()
}

fn pod(meta: Meta, raw: &raw::Pod<'_>, trim: &mut Trim) -> Pod {
    let mut pod = protobuf::pod::bare(meta, trim);
    if let Some(spec) = &raw.spec {
        pod.node = trim.shared_or_empty(spec.node_name.bytes());
        pod.host_network = spec.host_network.unwrap_or(false);
        for list in [&spec.containers, &spec.init_containers, &spec.ephemeral_containers] {
            for container in whole(list, trim) {
                if trim.fits(&pod.containers) {
                    let (name, image) = (container.name.bytes(), container.image.bytes());
                    let (name, image) = (trim.shared_or_empty(name), trim.shared_or_empty(image));
                    pod.containers.push(Container { id: None, name, image });
                    ports(&mut pod.ports, &container.ports, trim);
                }
            }
        }
    }
    let Some(status) = &raw.status else { return pod };
    pod.phase = protobuf::pod::phase(status.phase.bytes());
    pod.started_at = seconds(status.start_time.text());
    for ip in whole(&status.pod_ips, trim) {
        trim.address(&mut pod.ips, ip.ip.bytes());
    }
    if pod.ips.is_empty() {
        trim.address(&mut pod.ips, status.pod_ip.bytes());
    }
    for list in [
        &status.container_statuses,
        &status.init_container_statuses,
        &status.ephemeral_container_statuses,
    ] {
        for container in whole(list, trim) {
            let (name, image) = (container.name.bytes(), container.image.bytes());
            let id = container.container_id.bytes();
            protobuf::pod::identify(&mut pod, name, image, id, trim);
        }
    }
    pod
}

fn ports(ports: &mut Vec<Port>, raw: &List<raw::Port<'_>>, trim: &mut Trim) {
    for port in whole(raw, trim) {
        if trim.fits(ports)
            && let Some(number) = trim.port(port.port.unwrap_or(0))
        {
            let name = trim.shared_or_empty(port.name.bytes());
            ports.push(Port { name, number, protocol: protocol(port.protocol.bytes()) });
        }
    }
}

fn node(meta: Meta, raw: &raw::Node<'_>, trim: &mut Trim) -> Node {
    let mut node = protobuf::node::bare(meta);
    if let Some(spec) = &raw.spec {
        node.provider = trim.own(spec.provider_id.bytes());
    }
    if let Some(status) = &raw.status {
        for address in whole(&status.addresses, trim) {
            let (kind, address) = (address.kind.bytes(), address.address.bytes());
            protobuf::node::named(&mut node, kind, address, trim);
        }
    }
    node
}

fn service(meta: Meta, raw: &raw::Service<'_>, trim: &mut Trim) -> Service {
    let mut service = protobuf::network::bare_service(meta);
    if let Some(spec) = &raw.spec {
        let headless = |ip: &[u8]| ip == b"None";
        for ip in whole(&spec.cluster_ips, trim).filter(|ip| !headless(ip.bytes())) {
            trim.address(&mut service.cluster_ips, ip.bytes());
        }
        if service.cluster_ips.is_empty() && !headless(spec.cluster_ip.bytes()) {
            trim.address(&mut service.cluster_ips, spec.cluster_ip.bytes());
        }
        for ip in whole(&spec.external_ips, trim) {
            trim.address(&mut service.external_ips, ip.bytes());
        }
        service.kind = protobuf::network::service_kind(spec.kind.bytes());
        for port in whole(&spec.ports, trim) {
            if trim.fits(&service.ports)
                && let Some(number) = trim.port(port.port.unwrap_or(0))
            {
                let name = trim.shared_or_empty(port.name.bytes());
                let node_port = trim.port(port.node_port.unwrap_or(0));
                let protocol = protocol(port.protocol.bytes());
                service.ports.push(ServicePort { name, number, node_port, protocol });
            }
        }
    }
    let balancer = raw.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    for ingress in balancer.into_iter().flat_map(|balancer| whole(&balancer.ingress, trim)) {
        trim.address(&mut service.external_ips, ingress.ip.bytes());
    }
    service
}

fn slice(meta: Meta, raw: &raw::EndpointSlice<'_>, trim: &mut Trim) -> EndpointSlice {
    let mut slice = protobuf::network::bare_slice(meta, trim);
    ports(&mut slice.ports, &raw.ports, trim);
    if raw.address_type.bytes() == b"FQDN" {
        return slice;
    }
    for from in whole(&raw.endpoints, trim) {
        if slice.endpoints.len() >= trim.limits.endpoints {
            trim.count(Cause::TooManyParts);
            continue;
        }
        let mut endpoint = protobuf::network::bare_endpoint();
        for ip in whole(&from.addresses, trim) {
            trim.address(&mut endpoint.ips, ip.bytes());
        }
        endpoint.ready = from.conditions.as_ref().and_then(|c| c.ready).unwrap_or(true);
        endpoint.node = trim.shared(from.node_name.bytes());
        endpoint.zone = trim.shared(from.zone.bytes());
        if let Some(target) = from.target_ref.as_ref().filter(|t| t.kind.bytes() == b"Pod") {
            endpoint.pod = trim.own(target.name.bytes());
            endpoint.pod_uid = trim.own(target.uid.bytes());
        }
        slice.endpoints.push(endpoint);
    }
    slice
}
