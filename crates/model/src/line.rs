//! A record as one line of JSON: the outward form, for `observe -o json`, the API and files.
//! An absent field is unknown; nothing is made up.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    ConnectionEvent, Counters, Direction, Endpoint, Identity, Lookup, Protocol, Record, Subject,
    dns, errno,
};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Line {
    /// RFC 3339, UTC, nanoseconds.
    pub time: String,
    pub node: Arc<str>,
    pub kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<Event>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<Way>,
    pub protocol: Cow<'static, str>,
    pub source: End,
    pub destination: End,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie: Option<u64>,
    /// Name of the errno.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Cow<'static, str>>,
    /// Drops: the kernel's reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Arc<str>>,
    /// Payload bytes. Totals for `closed`, deltas of one interval for a flow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_sent: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_received: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packets_sent: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packets_received: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retransmits: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_us: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval_ms: Option<u64>,
    /// Drops: what was discarded, headers included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packets: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns: Option<Dns>,
}

#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    #[default]
    Connection,
    Flow,
    Drop,
    Dns,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    Opened,
    Accepted,
    Failed,
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    Egress,
    Ingress,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct End {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "is_zero")]
    pub port: u16,
    /// Where the kernel sent what went to a service's address: the pod and the workload are those of this address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<Backend>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload_kind: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<Arc<str>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<Arc<str>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub host_network: bool,
    /// Whose it is may not be seen by who asks.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
}

/// A lookup.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dns {
    pub query: Arc<str>,
    /// `A`, `AAAA`, `SRV`, ...
    #[serde(rename = "type")]
    pub kind: Cow<'static, str>,
    /// `NOERROR`, `NXDOMAIN`, ...; absent without an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Cow<'static, str>>,
    /// Addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<IpAddr>,
    /// Names that the one asked for stands for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<Arc<str>>,
    /// Records in the answer, whatever they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_count: Option<u16>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// From the first query to the answer; with an error, to when it was given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_us: Option<u64>,
    /// `timeout`: no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Cow<'static, str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    pub ip: IpAddr,
    pub port: u16,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Process {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub comm: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub netns: Option<u32>,
}

impl From<&Record> for Line {
    fn from(record: &Record) -> Self {
        let mut line = Self {
            time: record.time.to_string(),
            node: record.node.clone(),
            direction: Some(record.direction.into()),
            protocol: protocol_name(record.protocol),
            source: (&record.source).into(),
            destination: (&record.destination).into(),
            process: process(&record.process),
            cookie: known(record.cookie),
            ..Self::default()
        };
        match &record.subject {
            Subject::Connection(connection) => {
                line.kind = Kind::Connection;
                line.event = Some(connection.event.into());
                line.error = error(connection.errno);
                match connection.event {
                    ConnectionEvent::Opened => {
                        line.connect_us = known(connection.connect_ns / 1000)
                    }
                    ConnectionEvent::Accepted => {}
                    ConnectionEvent::Failed => {
                        line.duration_us = known(connection.duration_ns / 1000)
                    }
                    ConnectionEvent::Closed => {
                        line.connect_us = known(connection.connect_ns / 1000);
                        line.duration_us = known(connection.duration_ns / 1000);
                        line.counters(&connection.totals, record.protocol);
                    }
                }
            }
            Subject::Flow(flow) => {
                line.kind = Kind::Flow;
                line.interval_ms = Some(flow.interval_ns / 1_000_000);
                line.counters(&flow.deltas, record.protocol);
            }
            Subject::Drop(drop) => {
                line.kind = Kind::Drop;
                line.reason = Some(drop.reason.clone());
                line.packets = Some(drop.packets);
                line.bytes = known(drop.bytes);
                line.interval_ms = known(drop.interval_ns / 1_000_000);
            }
            Subject::Dns(lookup) => {
                line.kind = Kind::Dns;
                line.dns = Some(lookup.as_ref().into());
            }
        }
        line
    }
}

impl Line {
    fn counters(&mut self, counters: &Counters, protocol: Protocol) {
        self.bytes_sent = Some(counters.bytes_sent);
        self.bytes_received = Some(counters.bytes_received);
        self.packets_sent = Some(counters.packets_sent);
        self.packets_received = Some(counters.packets_received);
        if protocol == Protocol::TCP {
            self.retransmits = Some(counters.retransmits);
            self.rtt_us = known(counters.rtt_us);
        }
    }
}

impl From<&Lookup> for Dns {
    fn from(lookup: &Lookup) -> Self {
        let code =
            |code| dns::code_name(code).map_or_else(|| format!("RCODE{code}").into(), Cow::from);
        Self {
            query: lookup.name.clone(),
            kind: dns::type_name(lookup.kind),
            code: lookup.code.map(code),
            answers: lookup.addresses.clone(),
            aliases: lookup.aliases.clone(),
            answer_count: lookup.code.map(|_| lookup.answers),
            truncated: lookup.truncated,
            retries: known(lookup.retries),
            duration_us: Some(lookup.duration_ns / 1000),
            error: lookup.code.is_none().then_some("timeout".into()),
        }
    }
}

impl From<&Endpoint> for End {
    fn from(endpoint: &Endpoint) -> Self {
        let backend =
            |address: &Arc<SocketAddr>| Backend { ip: address.ip(), port: address.port() };
        let backend = endpoint.backend.as_ref().map(backend);
        let mut end = Self { ip: endpoint.ip, port: endpoint.port, backend, ..Self::default() };
        if let Some(identity) = &endpoint.identity {
            let Identity {
                namespace,
                pod,
                pod_uid: _,
                container,
                workload,
                service,
                target_ports: _,
                names,
                labels,
                zone,
                host_network,
            } = identity.as_ref();
            end.namespace.clone_from(namespace);
            end.pod.clone_from(pod);
            end.container.clone_from(container);
            end.service.clone_from(service);
            end.names.clone_from(names);
            end.labels.clone_from(labels);
            end.zone.clone_from(zone);
            end.host_network = *host_network;
            if let Some(workload) = workload {
                end.workload = Some(workload.name.clone());
                end.workload_kind = Some(workload.kind.clone());
            }
        }
        end
    }
}

impl From<Direction> for Way {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Egress => Self::Egress,
            Direction::Ingress => Self::Ingress,
        }
    }
}

impl From<ConnectionEvent> for Event {
    fn from(event: ConnectionEvent) -> Self {
        match event {
            ConnectionEvent::Opened => Self::Opened,
            ConnectionEvent::Accepted => Self::Accepted,
            ConnectionEvent::Failed => Self::Failed,
            ConnectionEvent::Closed => Self::Closed,
        }
    }
}

/// `TCP`, `UDP`, ...; the number where the protocol has no name here.
pub fn protocol_name(protocol: Protocol) -> Cow<'static, str> {
    match protocol {
        Protocol::TCP => "TCP".into(),
        Protocol::UDP => "UDP".into(),
        Protocol::ICMP => "ICMP".into(),
        Protocol::ICMPV6 => "ICMPv6".into(),
        Protocol::SCTP => "SCTP".into(),
        Protocol(number) => number.to_string().into(),
    }
}

fn error(errno: u16) -> Option<Cow<'static, str>> {
    match errno {
        0 => None,
        errno => Some(errno::name(errno).map_or_else(|| errno.to_string().into(), Cow::Borrowed)),
    }
}

fn process(process: &crate::Process) -> Option<Process> {
    (*process != crate::Process::default()).then(|| Process {
        pid: known(process.pid),
        comm: process.comm.to_string(),
        cgroup_id: known(process.cgroup_id),
        netns: known(process.netns),
    })
}

fn known<T: Default + PartialEq>(value: T) -> Option<T> {
    (value != T::default()).then_some(value)
}

fn is_zero(port: &u16) -> bool {
    *port == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Comm, Connection, Timestamp, Workload};

    #[test]
    fn a_failed_connection_reads_as_the_contract_says() {
        let identity = Identity {
            namespace: Some("shop".into()),
            pod: Some("cart-1".into()),
            workload: Some(Workload { kind: "Deployment".into(), name: "cart".into() }),
            ..Identity::default()
        };
        let record = Record {
            time: Timestamp(1_700_000_000_000_000_001),
            node: "node-1".into(),
            source: Endpoint {
                ip: Some([10, 0, 0, 1].into()),
                port: 40000,
                identity: Some(identity.into()),
                backend: None,
            },
            destination: Endpoint {
                ip: Some([10, 0, 0, 2].into()),
                port: 81,
                identity: None,
                backend: Some(Arc::new(([10, 1, 0, 9], 8081).into())),
            },
            direction: Direction::Egress,
            protocol: Protocol::TCP,
            process: crate::Process { pid: 7, comm: Comm::from("cart"), cgroup_id: 9, netns: 0 },
            cookie: 3,
            subject: Subject::Connection(Connection {
                event: ConnectionEvent::Failed,
                errno: 111,
                connect_ns: 0,
                duration_ns: 250_000,
                totals: Counters::default(),
            }),
        };
        let line = Line::from(&record);
        let json = serde_json::to_string(&line).unwrap();
        assert_eq!(
            json,
            r#"{"time":"2023-11-14T22:13:20.000000001Z","node":"node-1","kind":"connection","event":"failed","direction":"egress","protocol":"TCP","source":{"ip":"10.0.0.1","port":40000,"namespace":"shop","pod":"cart-1","workload":"cart","workload_kind":"Deployment"},"destination":{"ip":"10.0.0.2","port":81,"backend":{"ip":"10.1.0.9","port":8081}},"process":{"pid":7,"comm":"cart","cgroup_id":9},"cookie":3,"error":"ECONNREFUSED","duration_us":250}"#
        );
        assert_eq!(serde_json::from_str::<Line>(&json).unwrap(), line);
    }

    #[test]
    fn lookups_with_and_without_an_answer() {
        let lookup = Lookup {
            name: "api.example".into(),
            kind: 1,
            code: Some(0),
            answers: 2,
            addresses: vec![[203, 0, 113, 10].into()],
            aliases: vec!["edge.example".into()],
            ttl_s: 30,
            truncated: false,
            duration_ns: 310_500,
            retries: 0,
        };
        let json = |lookup: &Lookup| {
            let dns = Dns::from(lookup);
            let json = serde_json::to_string(&dns).unwrap();
            assert_eq!(serde_json::from_str::<Dns>(&json).unwrap(), dns);
            json
        };
        assert_eq!(
            json(&lookup),
            r#"{"query":"api.example","type":"A","code":"NOERROR","answers":["203.0.113.10"],"aliases":["edge.example"],"answer_count":2,"duration_us":310}"#
        );
        let (name, kind) = (lookup.name.clone(), 65);
        let silent =
            Lookup { name, kind, retries: 2, duration_ns: 5_000_000_000, ..Lookup::default() };
        assert_eq!(
            json(&silent),
            r#"{"query":"api.example","type":"HTTPS","retries":2,"duration_us":5000000,"error":"timeout"}"#
        );
        assert!(json(&Lookup { code: Some(15), ..silent }).contains(r#""code":"RCODE15""#));
    }
}
