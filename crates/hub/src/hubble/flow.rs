//! A record as a flow of Hubble's. What is not known is left out; docs/hubble.md says what becomes what.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::line::{End, Event, Kind, Line, Way};
use model::{Timestamp, dns};
use proto::hubble::flow as wire;
use ring::digest::{SHA256, digest};

use super::{reason, summary};

/// Cilium's message types (`pkg/monitor/api`), of which clients ask for some by number.
pub const DROP: i32 = 1;
pub const TRACE: i32 = 4;
pub const ACCESS_LOG: i32 = 129;
/// Cilium's trace points, as sub-types of [`TRACE`].
const TO_ENDPOINT: i32 = 0;
const FROM_ENDPOINT: i32 = 5;
/// A sub-type of [`DROP`] that Cilium has no name for: 0 would read as success.
const OTHER_DROP: i32 = 255;

/// Cilium's reserved identities.
const HOST: u32 = 1;
const WORLD: u32 = 2;
const REMOTE_NODE: u32 = 6;
/// Numbers beyond all that Cilium gives.
const WORKLOADS: u32 = 1 << 31;

/// `line`, which was read from `text`.
pub fn flow(line: &Line, text: &[u8]) -> wire::Flow {
    let time: Option<Timestamp> = line.time.parse().ok();
    let [source, destination] = [&line.source, &line.destination];
    let verdict = verdict(line);
    let ingress = line.direction == Some(Way::Ingress);
    let drop_reason = line.reason.as_deref().map_or(0, reason::number);
    let (point, point_number) = match ingress {
        true => (wire::TraceObservationPoint::ToEndpoint, TO_ENDPOINT),
        false => (wire::TraceObservationPoint::FromEndpoint, FROM_ENDPOINT),
    };
    let (r#type, sub_type, point) = match line.kind {
        Kind::Connection | Kind::Flow => (TRACE, point_number, point),
        Kind::Drop if drop_reason == 0 => (DROP, OTHER_DROP, Default::default()),
        Kind::Drop => (DROP, drop_reason, Default::default()),
        Kind::Dns => (ACCESS_LOG, 0, Default::default()),
    };
    let emitter =
        wire::Emitter { name: "Amphipod".into(), version: env!("CARGO_PKG_VERSION").into() };
    wire::Flow {
        time: time.map(timestamp),
        uuid: uuid(text),
        emitter: Some(emitter),
        verdict: verdict.into(),
        drop_reason: drop_reason.unsigned_abs(),
        ip: Some(ip(source, destination)),
        l4: l4(line),
        source: Some(endpoint(source, &line.node)),
        destination: Some(endpoint(destination, &line.node)),
        r#type: flow_type(line).into(),
        node_name: line.node.to_string(),
        source_names: source.names.iter().map(ToString::to_string).collect(),
        destination_names: destination.names.iter().map(ToString::to_string).collect(),
        l7: line.dns.as_ref().map(l7),
        event_type: Some(wire::EventType { r#type, sub_type }),
        source_service: service(source),
        destination_service: service(destination),
        traffic_direction: match line.direction {
            Some(Way::Ingress) => wire::TrafficDirection::Ingress.into(),
            Some(Way::Egress) => wire::TrafficDirection::Egress.into(),
            None => 0,
        },
        trace_observation_point: point.into(),
        drop_reason_desc: drop_reason,
        // The source is who began; of a discarded packet it is not known to which way it belonged.
        is_reply: (line.kind != Kind::Drop).then_some(false),
        socket_cookie: line.cookie.unwrap_or(0),
        cgroup_id: line.process.as_ref().and_then(|it| it.cgroup_id).unwrap_or(0),
        summary: summary::of(line),
    }
}

pub fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: (time.0 / 1_000_000_000) as i64,
        nanos: (time.0 % 1_000_000_000) as i32,
    }
}

fn verdict(line: &Line) -> wire::Verdict {
    let failed = match (line.kind, &line.dns) {
        (Kind::Drop, _) => return wire::Verdict::Dropped,
        (Kind::Dns, Some(dns)) => !matches!(dns.code.as_deref(), Some("NOERROR" | "NXDOMAIN")),
        (Kind::Dns, None) => return wire::Verdict::Unknown,
        (Kind::Connection | Kind::Flow, _) => {
            line.event == Some(Event::Failed) || line.error.is_some()
        }
    };
    if failed { wire::Verdict::Error } else { wire::Verdict::Forwarded }
}

fn flow_type(line: &Line) -> wire::FlowType {
    if line.dns.is_some() { wire::FlowType::L7 } else { wire::FlowType::L3L4 }
}

/// Where it went: of what was sent to a service's address, the pod behind it, as Hubble tells it.
pub fn place(end: &End) -> (Option<IpAddr>, u16) {
    match end.backend {
        Some(backend) => (Some(backend.ip), backend.port),
        None => (end.ip, end.port),
    }
}

/// Always there: without it clients do not even show the names. The unspecified address stands for one that is not known.
fn ip(source: &End, destination: &End) -> wire::Ip {
    let [source, destination] =
        [source, destination].map(|it| place(it).0.map(|ip| ip.to_canonical()));
    let (none, version) = match source.or(destination) {
        Some(IpAddr::V4(_)) => (Some(Ipv4Addr::UNSPECIFIED.into()), wire::IpVersion::IPv4),
        Some(IpAddr::V6(_)) => (Some(Ipv6Addr::UNSPECIFIED.into()), wire::IpVersion::IPv6),
        None => (None, wire::IpVersion::IpNotUsed),
    };
    let text = |ip: Option<IpAddr>| ip.or(none).map(|it| it.to_string()).unwrap_or_default();
    wire::Ip { source: text(source), destination: text(destination), ip_version: version.into() }
}

fn l4(line: &Line) -> Option<wire::Layer4> {
    use wire::layer4::Protocol;
    let ports = wire::Ports {
        source_port: place(&line.source).1.into(),
        destination_port: place(&line.destination).1.into(),
    };
    let protocol = match &*line.protocol {
        "TCP" => Protocol::Tcp(ports),
        "UDP" => Protocol::Udp(ports),
        "SCTP" => Protocol::Sctp(ports),
        "ICMP" => Protocol::IcmPv4(wire::Icmp {}),
        "ICMPv6" => Protocol::IcmPv6(wire::Icmp {}),
        _ => return None,
    };
    Some(wire::Layer4 { protocol: Some(protocol) })
}

fn l7(dns: &model::line::Dns) -> wire::Layer7 {
    let answered = dns.code.is_some();
    let code = dns.code.as_deref().and_then(dns::code_of);
    let record = wire::Dns {
        // As Hubble writes names: from the root.
        query: format!("{}.", dns.query),
        ips: dns.answers.iter().map(ToString::to_string).collect(),
        cnames: dns.aliases.iter().map(|it| format!("{it}.")).collect(),
        observation_source: "socket".into(),
        rcode: code.unwrap_or(0).into(),
        qtypes: vec![dns.kind.to_string()],
    };
    let r#type = if answered { wire::L7FlowType::Response } else { wire::L7FlowType::Request };
    wire::Layer7 {
        r#type: r#type.into(),
        latency_ns: dns.duration_us.filter(|_| answered).unwrap_or(0).saturating_mul(1000),
        record: Some(wire::layer7::Record::Dns(record)),
    }
}

fn service(end: &End) -> Option<wire::Service> {
    let name = end.service.as_ref()?.to_string();
    Some(wire::Service { name, namespace: text(&end.namespace) })
}

fn endpoint(end: &End, node: &str) -> wire::Endpoint {
    let (identity, reserved) = identity(end, node);
    let mut labels: Vec<String> = reserved.map(|it| format!("reserved:{it}")).into_iter().collect();
    labels.extend(end.labels.iter().map(|(key, value)| format!("k8s:{key}={value}")));
    if let Some(namespace) = end.namespace.as_ref().filter(|_| end.pod.is_some()) {
        labels.push(format!("k8s:io.kubernetes.pod.namespace={namespace}"));
    }
    let workload = match (&end.workload, &end.workload_kind) {
        (Some(name), Some(kind)) if !matches!(&**kind, model::row::End::EXTERNAL | "Host") => {
            Some(wire::Workload { name: name.to_string(), kind: kind.to_string() })
        }
        _ => None,
    };
    wire::Endpoint {
        identity,
        namespace: text(&end.namespace),
        labels,
        pod_name: text(&end.pod),
        workloads: workload.into_iter().collect(),
    }
}

/// A number for each workload, and Cilium's name for what is none. Clients only compare it: Hubble's UI draws one box for
/// each number.
fn identity(end: &End, node: &str) -> (u32, Option<&'static str>) {
    let name = end.workload.as_deref().or(end.pod.as_deref()).or(end.service.as_deref());
    match (end.workload_kind.as_deref(), name) {
        (Some(model::row::End::EXTERNAL), _) => (WORLD, Some("world")),
        (Some("Host"), Some(name)) if name == node => (HOST, Some("host")),
        (Some("Host"), _) => (REMOTE_NODE, Some("remote-node")),
        // What runs beside pods is the host to Hubble's users; the workload says what it is.
        (Some("Process" | "SystemdUnit" | "Session"), _) => (HOST, Some("host")),
        (kind, Some(name)) => {
            let parts = [end.namespace.as_deref(), kind, Some(name)];
            let bytes: Vec<u8> =
                parts.iter().flat_map(|part| part.unwrap_or_default().bytes().chain([0])).collect();
            let [a, b, c, d, ..] = hash(&bytes);
            (WORKLOADS | u32::from_be_bytes([a, b, c, d]), None)
        }
        // A name that somebody looked up is one outside.
        (None, None) if !end.names.is_empty() => (WORLD, Some("world")),
        (_, None) => (0, Some("unknown")),
    }
}

fn hash(bytes: &[u8]) -> [u8; 16] {
    let mut out = [0; 16];
    out.copy_from_slice(&digest(&SHA256, bytes).as_ref()[..16]);
    out
}

/// RFC 9562, version 8.
fn uuid(text: &[u8]) -> String {
    let mut bytes = hash(text);
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let number = u128::from_be_bytes(bytes);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        number >> 96,
        (number >> 80) & 0xffff,
        (number >> 64) & 0xffff,
        (number >> 48) & 0xffff,
        number & 0xffff_ffff_ffff
    )
}

fn text(text: &Option<std::sync::Arc<str>>) -> String {
    text.as_deref().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_not_known_is_unspecified() {
        let check = |source: Option<&str>, destination: Option<&str>, expected: [&str; 2]| {
            let [source, destination] = [source, destination]
                .map(|it| End { ip: it.map(|ip| ip.parse().unwrap()), ..End::default() });
            let ip = ip(&source, &destination);
            assert_eq!([&*ip.source, &*ip.destination], expected);
            ip.ip_version()
        };
        let v6 = check(None, Some("ff02::16"), ["::", "ff02::16"]);
        let v4 = check(Some("10.0.0.1"), None, ["10.0.0.1", "0.0.0.0"]);
        let none = check(None, None, ["", ""]);
        use wire::IpVersion::{IPv4, IPv6, IpNotUsed};
        assert_eq!([v6, v4, none], [IPv6, IPv4, IpNotUsed]);
    }

    #[test]
    fn what_runs_beside_pods_is_the_host() {
        let check = |kind: &str, name: &str, label: &str, workloads: usize| {
            let end = End {
                workload_kind: Some(kind.into()),
                workload: Some(name.into()),
                ..End::default()
            };
            let endpoint = endpoint(&end, "n1");
            assert_eq!(
                (&endpoint.labels[..], endpoint.workloads.len()),
                (&[label.to_owned()][..], workloads)
            );
        };
        check("SystemdUnit", "sshd.service", "reserved:host", 1);
        check("Process", "curl", "reserved:host", 1);
        check("Host", "n1", "reserved:host", 0);
        check("Host", "n2", "reserved:remote-node", 0);
        check(model::row::End::EXTERNAL, "example.org", "reserved:world", 0);
    }
}
