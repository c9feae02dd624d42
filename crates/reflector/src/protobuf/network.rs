use super::{Fields, int32};
use crate::counters::Cause;
use crate::meta::Meta;
use crate::trim::{Trim, protocol};
use crate::wire::Malformed;
use crate::{Endpoint, EndpointSlice, Port, Service, ServiceKind, ServicePort};

pub fn service(meta: Meta, message: &[u8], trim: &mut Trim) -> Result<Service, Malformed> {
    let mut service = bare_service(meta);
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            2 => service_spec(&mut service, field.bytes(), trim)?,
            // `ServiceStatus`, its `LoadBalancerStatus`, each `LoadBalancerIngress`, its ip
            3 => nested(field.bytes(), &[1, 1, 1], &mut |ip| {
                trim.address(&mut service.external_ips, ip);
            })?,
            _ => {}
        }
    }
    Ok(service)
}

pub fn bare_service(meta: Meta) -> Service {
    Service {
        uid: meta.uid,
        namespace: meta.namespace,
        name: meta.name,
        cluster_ips: Vec::new(),
        external_ips: Vec::new(),
        ports: Vec::new(),
        kind: ServiceKind::default(),
        labels: meta.labels,
    }
}

/// `ServiceSpec`.
fn service_spec(service: &mut Service, message: &[u8], trim: &mut Trim) -> Result<(), Malformed> {
    let mut first: &[u8] = &[];
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            1 => service_port(service, field.bytes(), trim)?,
            3 => first = field.bytes(),
            4 => service.kind = service_kind(field.bytes()),
            5 => trim.address(&mut service.external_ips, field.bytes()),
            18 if field.bytes() != b"None" => {
                trim.address(&mut service.cluster_ips, field.bytes());
            }
            _ => {}
        }
    }
    if service.cluster_ips.is_empty() && first != b"None" {
        trim.address(&mut service.cluster_ips, first);
    }
    Ok(())
}

pub fn service_kind(text: &[u8]) -> ServiceKind {
    match text {
        b"NodePort" => ServiceKind::NodePort,
        b"LoadBalancer" => ServiceKind::LoadBalancer,
        b"ExternalName" => ServiceKind::ExternalName,
        _ => ServiceKind::ClusterIp,
    }
}

/// `ServicePort`.
fn service_port(service: &mut Service, message: &[u8], trim: &mut Trim) -> Result<(), Malformed> {
    let (mut name, mut kind): (&[u8], &[u8]) = (b"", b"");
    let (mut number, mut node_port) = (0, 0);
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            1 => name = field.bytes(),
            2 => kind = field.bytes(),
            3 => number = int32(field.number()),
            5 => node_port = int32(field.number()),
            _ => {}
        }
    }
    if trim.fits(&service.ports)
        && let Some(number) = trim.port(number)
    {
        let (name, node_port) = (trim.shared_or_empty(name), trim.port(node_port));
        service.ports.push(ServicePort { name, number, node_port, protocol: protocol(kind) });
    }
    Ok(())
}

pub fn endpoint_slice(
    meta: Meta,
    message: &[u8],
    trim: &mut Trim,
) -> Result<EndpointSlice, Malformed> {
    let mut slice = bare_slice(meta, trim);
    // `addressType`, which comes after the addresses.
    let names = Fields::of(message)
        .any(|field| field.is_ok_and(|field| field.number == 4 && field.bytes() == b"FQDN"));
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            2 if names => {}
            2 if slice.endpoints.len() >= trim.limits.endpoints => trim.count(Cause::TooManyParts),
            2 => slice.endpoints.push(endpoint(field.bytes(), trim)?),
            3 => endpoint_port(&mut slice.ports, field.bytes(), trim)?,
            _ => {}
        }
    }
    slice.endpoints.shrink_to_fit();
    Ok(slice)
}

pub fn bare_slice(meta: Meta, trim: &Trim) -> EndpointSlice {
    EndpointSlice {
        uid: meta.uid,
        namespace: meta.namespace,
        name: meta.name,
        service: meta.service.unwrap_or_else(|| trim.empty()),
        endpoints: Vec::new(),
        ports: Vec::new(),
    }
}

pub fn bare_endpoint() -> Endpoint {
    Endpoint { ips: Vec::new(), pod: None, pod_uid: None, node: None, zone: None, ready: true }
}

/// `Endpoint`.
fn endpoint(message: &[u8], trim: &mut Trim) -> Result<Endpoint, Malformed> {
    let mut endpoint = bare_endpoint();
    for field in Fields::of(message) {
        let field = field?;
        let bytes = field.bytes();
        match field.number {
            1 => trim.address(&mut endpoint.ips, bytes),
            // `EndpointConditions`
            2 => {
                for field in Fields::of(bytes) {
                    let field = field?;
                    if field.number == 1 {
                        endpoint.ready = field.number() != 0;
                    }
                }
            }
            4 => target(&mut endpoint, bytes, trim)?,
            6 => endpoint.node = trim.shared(bytes),
            7 => endpoint.zone = trim.shared(bytes),
            _ => {}
        }
    }
    endpoint.ips.shrink_to_fit();
    Ok(endpoint)
}

/// `ObjectReference`.
fn target(endpoint: &mut Endpoint, message: &[u8], trim: &mut Trim) -> Result<(), Malformed> {
    let (mut kind, mut name, mut uid): (&[u8], &[u8], &[u8]) = (b"", b"", b"");
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            1 => kind = field.bytes(),
            3 => name = field.bytes(),
            4 => uid = field.bytes(),
            _ => {}
        }
    }
    if kind == b"Pod" {
        endpoint.pod = trim.own(name);
        endpoint.pod_uid = trim.own(uid);
    }
    Ok(())
}

/// `EndpointPort`.
fn endpoint_port(ports: &mut Vec<Port>, message: &[u8], trim: &mut Trim) -> Result<(), Malformed> {
    let (mut name, mut kind): (&[u8], &[u8]) = (b"", b"");
    let mut number = 0;
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            1 => name = field.bytes(),
            2 => kind = field.bytes(),
            3 => number = int32(field.number()),
            _ => {}
        }
    }
    if trim.fits(ports)
        && let Some(number) = trim.port(number)
    {
        ports.push(Port { name: trim.shared_or_empty(name), number, protocol: protocol(kind) });
    }
    Ok(())
}

/// Calls `found` with the bytes at the end of a path of field numbers.
fn nested(message: &[u8], path: &[u32], found: &mut impl FnMut(&[u8])) -> Result<(), Malformed> {
    let Some((number, rest)) = path.split_first() else {
        found(message);
        return Ok(());
    };
    for field in Fields::of(message) {
        let field = field?;
        if field.number == *number {
            nested(field.bytes(), rest, found)?;
        }
    }
    Ok(())
}
