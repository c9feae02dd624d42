//! Hubble's filters, each kept or refused by name: one that is left out would change the answer.

use model::filter::Network;
use model::line::{End, Line};
use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use proto::hubble::flow::{self as wire, FlowFilter};
use regex::{Regex, RegexBuilder};

use super::flow::place;
use super::pattern::{Node, Pattern};
use super::selector::Selector;

/// Of one request, and values of one of its fields.
const FILTERS: usize = 64;
const VALUES: usize = 256;
/// Of a regular expression when it is compiled.
const REGEX_BYTES: usize = 1 << 18;

/// What Hubble's clients may ask and no record can answer, by field number.
const NAMES: [(u32, &str); 15] = [
    (9, "http_status_code"),
    (21, "http_method"),
    (22, "http_path"),
    (23, "tcp_flags"),
    (28, "trace_id"),
    (31, "http_url"),
    (32, "http_header"),
    (34, "source_ip_xlated"),
    (35, "interface"),
    (36, "node_labels"),
    (37, "source_cluster_name"),
    (38, "destination_cluster_name"),
    (39, "ip_trace_id"),
    (40, "encrypted"),
    (999, "experimental.cel_expression"),
];

/// Why a request's filters cannot be honoured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("filter {0}: Amphipod's records have nothing to compare it with; leave it out")]
    Known(&'static str),
    #[error("filter field {0} is not known here; leave it out, or update the hub")]
    Unknown(u32),
    #[error("filter {field}: {value:?} is not allowed; give {expected}")]
    Value { field: &'static str, value: String, expected: String },
    #[error(
        "filters: more than {FILTERS}, or more than {VALUES} values of one field; ask for less"
    )]
    TooMany,
    #[error("filters: {0}")]
    Malformed(String),
}

/// A record in both its forms.
pub struct Seen<'a> {
    pub line: &'a Line,
    pub flow: &'a wire::Flow,
}

/// The whitelist and the blacklist of a request.
#[derive(Default)]
pub struct Filters {
    pub white: Vec<Filter>,
    pub black: Vec<Filter>,
}

impl Filters {
    pub fn parse<B: AsRef<[u8]>>(white: &[B], black: &[B]) -> Result<Self, Refused> {
        if white.len() + black.len() > FILTERS {
            return Err(Refused::TooMany);
        }
        let all = |list: &[B]| -> Result<Vec<Filter>, Refused> {
            list.iter().map(|it| Filter::decode(it.as_ref())).collect()
        };
        Ok(Self { white: all(white)?, black: all(black)? })
    }

    /// Those that are asked for by name.
    pub fn namespaces(&self) -> impl Iterator<Item = &str> {
        self.white.iter().flat_map(|it| &it.checks).flat_map(|check| {
            let named = match check {
                Check::Pods(_, all) | Check::Services(_, all) => &all[..],
                _ => &[],
            };
            named.iter().map(|(namespace, _)| &**namespace)
        })
    }

    pub fn hold(&self, seen: &Seen<'_>) -> bool {
        (self.white.is_empty() || self.white.iter().any(|it| it.holds(seen)))
            && !self.black.iter().any(|it| it.holds(seen))
    }
}

/// One filter: all checks must hold.
pub struct Filter {
    /// As it came.
    pub asked: FlowFilter,
    checks: Vec<Check>,
}

#[derive(Clone, Copy)]
enum Side {
    Source,
    Destination,
}

/// Any of the values must hold.
enum Check {
    Pods(Side, Vec<(String, String)>),
    Services(Side, Vec<(String, String)>),
    Workloads(Side, Vec<wire::Workload>),
    Names(Side, Vec<Pattern>),
    Labels(Side, Vec<Selector>),
    Networks(Side, Vec<Network>),
    Ports(Side, Vec<u16>),
    Identities(Side, Vec<u32>),
    Protocols(Vec<String>),
    Queries(Vec<Regex>),
    Nodes(Vec<Node>),
    Number(fn(&wire::Flow) -> i32, Vec<i32>),
    Events(Vec<wire::EventTypeFilter>),
    Reply(Vec<bool>),
    Uuids(Vec<String>),
}

impl Filter {
    fn decode(bytes: &[u8]) -> Result<Self, Refused> {
        refuse_unknown(bytes)?;
        let asked =
            FlowFilter::decode(bytes).map_err(|error| Refused::Malformed(error.to_string()))?;
        let checks = checks(&asked)?;
        Ok(Self { asked, checks })
    }

    pub fn holds(&self, seen: &Seen<'_>) -> bool {
        self.checks.iter().all(|it| it.holds(seen))
    }
}

/// Fields that decoding would drop.
fn refuse_unknown(mut bytes: &[u8]) -> Result<(), Refused> {
    let malformed = |error: prost::DecodeError| Refused::Malformed(error.to_string());
    while !bytes.is_empty() {
        let (field, kind) = decode_key(&mut bytes).map_err(malformed)?;
        let mut ahead = bytes;
        let empty = kind == WireType::LengthDelimited
            && decode_varint(&mut ahead).is_ok_and(|length| length == 0);
        match NAMES.iter().find(|(number, _)| *number == field) {
            // A group of fields of which none is set.
            Some((999, _)) if empty => {}
            Some((_, name)) => return Err(Refused::Known(name)),
            None if !(1..=33).contains(&field) => return Err(Refused::Unknown(field)),
            None => {}
        }
        skip_field(kind, field, &mut bytes, DecodeContext::default()).map_err(malformed)?;
    }
    Ok(())
}

fn checks(asked: &FlowFilter) -> Result<Vec<Check>, Refused> {
    use Side::{Destination, Source};
    let mut checks = Vec::new();
    let it = asked;
    add(&mut checks, &it.source_pod, |it| names("source_pod", it), |all| Check::Pods(Source, all))?;
    add(
        &mut checks,
        &it.destination_pod,
        |it| names("destination_pod", it),
        |all| Check::Pods(Destination, all),
    )?;
    let service = |it: &String| names("source_service", it);
    add(&mut checks, &it.source_service, service, |all| Check::Services(Source, all))?;
    let service = |it: &String| names("destination_service", it);
    add(&mut checks, &it.destination_service, service, |all| Check::Services(Destination, all))?;
    add(&mut checks, &it.source_workload, same, |all| Check::Workloads(Source, all))?;
    add(&mut checks, &it.destination_workload, same, |all| Check::Workloads(Destination, all))?;
    for (side, field, given) in [
        (Source, "source_fqdn", &it.source_fqdn),
        (Destination, "destination_fqdn", &it.destination_fqdn),
    ] {
        add(
            &mut checks,
            given,
            |it| parsed(field, it, Pattern::parse),
            |all| Check::Names(side, all),
        )?;
    }
    for (side, field, given) in [
        (Source, "source_label", &it.source_label),
        (Destination, "destination_label", &it.destination_label),
    ] {
        add(
            &mut checks,
            given,
            |it| parsed(field, it, Selector::parse),
            |all| Check::Labels(side, all),
        )?;
    }
    for (side, field, given) in
        [(Source, "source_ip", &it.source_ip), (Destination, "destination_ip", &it.destination_ip)]
    {
        let network = |text: &str| Network::parse(text).ok_or("an address, or one with /BITS");
        add(&mut checks, given, |it| parsed(field, it, network), |all| Check::Networks(side, all))?;
    }
    for (side, field, given) in [
        (Source, "source_port", &it.source_port),
        (Destination, "destination_port", &it.destination_port),
    ] {
        let port = |text: &str| text.parse::<u16>().map_err(|_| "a port from 0 to 65535");
        add(&mut checks, given, |it| parsed(field, it, port), |all| Check::Ports(side, all))?;
    }
    add(&mut checks, &it.source_identity, same, |all| Check::Identities(Source, all))?;
    add(&mut checks, &it.destination_identity, same, |all| Check::Identities(Destination, all))?;
    add(&mut checks, &it.protocol, |it| parsed("protocol", it, protocol), Check::Protocols)?;
    add(&mut checks, &it.dns_query, |it| query(it), Check::Queries)?;
    add(&mut checks, &it.node_name, |it| parsed("node_name", it, Node::parse), Check::Nodes)?;
    let version = |flow: &wire::Flow| flow.ip.as_ref().map_or(0, |it| it.ip_version);
    add(&mut checks, &it.ip_version, same, |all| Check::Number(version, all))?;
    add(&mut checks, &it.verdict, same, |all| Check::Number(|it| it.verdict, all))?;
    let direction = |flow: &wire::Flow| flow.traffic_direction;
    add(&mut checks, &it.traffic_direction, same, |all| Check::Number(direction, all))?;
    let reason = |flow: &wire::Flow| flow.drop_reason_desc;
    add(&mut checks, &it.drop_reason_desc, same, |all| Check::Number(reason, all))?;
    add(&mut checks, &it.event_type, same, Check::Events)?;
    add(&mut checks, &it.reply, same, Check::Reply)?;
    add(&mut checks, &it.uuid, same, Check::Uuids)?;
    Ok(checks)
}

/// A check for a field that has values.
fn add<G, T>(
    checks: &mut Vec<Check>,
    given: &[G],
    parse: impl Fn(&G) -> Result<T, Refused>,
    check: impl FnOnce(Vec<T>) -> Check,
) -> Result<(), Refused> {
    if given.len() > VALUES {
        return Err(Refused::TooMany);
    }
    if !given.is_empty() {
        let all: Result<Vec<T>, Refused> = given.iter().map(parse).collect();
        checks.push(check(all?));
    }
    Ok(())
}

fn same<T: Clone>(value: &T) -> Result<T, Refused> {
    Ok(value.clone())
}

fn parsed<T>(
    field: &'static str,
    text: &str,
    parse: impl FnOnce(&str) -> Result<T, &'static str>,
) -> Result<T, Refused> {
    parse(text).map_err(|expected| refused(field, text, expected))
}

fn refused(field: &'static str, value: &str, expected: impl Into<String>) -> Refused {
    let value = model::text::printable(value.as_bytes());
    Refused::Value { field, value, expected: expected.into() }
}

/// `NAMESPACE/PREFIX`, `NAMESPACE/`, `/PREFIX`; a bare prefix is one in the namespace `default`, as in Hubble.
fn names(field: &'static str, text: &str) -> Result<(String, String), Refused> {
    match text.split_once('/') {
        _ if text.is_empty() => Err(refused(field, text, "[NAMESPACE/]PREFIX")),
        Some((namespace, prefix)) => Ok((namespace.to_owned(), prefix.to_owned())),
        None => Ok(("default".to_owned(), text.to_owned())),
    }
}

fn protocol(text: &str) -> Result<String, &'static str> {
    let text = text.to_lowercase();
    // Of those that no record has, the answer is that there are none.
    let known =
        ["icmp", "icmpv4", "icmpv6", "tcp", "udp", "sctp", "dns", "http", "kafka", "vrrp", "igmp"];
    match known.contains(&&*text) {
        true => Ok(text),
        false => Err("tcp, udp, sctp, icmp, icmpv4, icmpv6 or dns"),
    }
}

fn query(text: &str) -> Result<Regex, Refused> {
    let regex = RegexBuilder::new(text).size_limit(REGEX_BYTES).build();
    regex.map_err(|_| refused("dns_query", text, "a regular expression (RE2), not too large"))
}

impl Check {
    fn holds(&self, Seen { line, flow }: &Seen<'_>) -> bool {
        match self {
            Self::Pods(side, all) => {
                let end = side.endpoint(flow);
                named(all, end.map(|it| (&*it.namespace, &*it.pod_name)))
            }
            Self::Services(side, all) => {
                let service = side.of(&flow.source_service, &flow.destination_service);
                named(all, service.as_ref().map(|it| (&*it.namespace, &*it.name)))
            }
            Self::Workloads(side, all) => {
                let known = side.endpoint(flow).map_or(&[][..], |it| &it.workloads[..]);
                let like = |asked: &str, found: &str| asked.is_empty() || asked == found;
                known.iter().any(|found| {
                    all.iter().any(|it| like(&it.name, &found.name) && like(&it.kind, &found.kind))
                })
            }
            Self::Names(side, all) => {
                let names = side.of(&flow.source_names, &flow.destination_names);
                names.iter().any(|name| all.iter().any(|it| it.holds(name)))
            }
            Self::Labels(side, all) => {
                let labels = side.endpoint(flow).map_or(&[][..], |it| &it.labels[..]);
                all.iter().any(|it| it.holds(labels))
            }
            Self::Networks(side, all) => {
                let end = side.end(line);
                let mut ips = end.ip.into_iter().chain(end.backend.map(|it| it.ip));
                ips.any(|ip| all.iter().any(|it| it.contains(&ip)))
            }
            Self::Ports(side, all) => {
                let end = side.end(line);
                let has_ports = matches!(&*line.protocol, "TCP" | "UDP" | "SCTP");
                has_ports && (all.contains(&end.port) || all.contains(&place(end).1))
            }
            Self::Identities(side, all) => {
                side.endpoint(flow).is_some_and(|it| all.contains(&it.identity))
            }
            Self::Protocols(all) => all.iter().any(|it| match &**it {
                "dns" => line.dns.is_some(),
                "icmp" => matches!(&*line.protocol, "ICMP" | "ICMPv6"),
                "icmpv4" => line.protocol == "ICMP",
                other => line.protocol.eq_ignore_ascii_case(other),
            }),
            Self::Queries(all) => {
                let Some(wire::layer7::Record::Dns(dns)) =
                    flow.l7.as_ref().and_then(|it| it.record.as_ref())
                else {
                    return false;
                };
                all.iter().any(|it| it.is_match(&dns.query))
            }
            Self::Nodes(all) => all.iter().any(|it| it.holds(&flow.node_name)),
            Self::Number(value, all) => all.contains(&value(flow)),
            Self::Events(all) => {
                let Some(event) = &flow.event_type else { return false };
                all.iter().any(|it| {
                    (it.r#type == 0 || it.r#type == event.r#type)
                        && (!it.match_sub_type || it.sub_type == event.sub_type)
                })
            }
            // A discarded packet counts as no reply, as in Hubble.
            Self::Reply(all) => all.contains(&flow.is_reply.unwrap_or(false)),
            Self::Uuids(all) => all.contains(&flow.uuid),
        }
    }
}

fn named(all: &[(String, String)], found: Option<(&str, &str)>) -> bool {
    let Some((namespace, name)) = found.filter(|it| *it != ("", "")) else { return false };
    all.iter().any(|(asked, prefix)| {
        (asked.is_empty() || asked == namespace) && name.starts_with(&**prefix)
    })
}

impl Side {
    fn of<'a, T>(self, source: &'a T, destination: &'a T) -> &'a T {
        match self {
            Self::Source => source,
            Self::Destination => destination,
        }
    }

    fn end(self, line: &Line) -> &End {
        self.of(&line.source, &line.destination)
    }

    fn endpoint(self, flow: &wire::Flow) -> Option<&wire::Endpoint> {
        self.of(&flow.source, &flow.destination).as_ref()
    }
}
