//! One thing that a filter asks of a record.

use super::network::Network;
use super::{Error, refused};
use crate::{ConnectionEvent, Endpoint, Identity, Protocol, Record, Subject, Workload, dns};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Term {
    End(Side, Trait),
    Port(Side, u16),
    Protocol(Protocol),
    Kind(Kind),
    Verdict(Verdict),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Source,
    Destination,
    Either,
}

/// What an end is asked to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trait {
    Namespace(Box<str>),
    Pod {
        namespace: Option<Box<str>>,
        prefix: Box<str>,
    },
    Service {
        namespace: Option<Box<str>>,
        prefix: Box<str>,
    },
    Workload {
        kind: Option<Box<str>>,
        name: Box<str>,
    },
    /// All must hold.
    Labels(Vec<Label>),
    Ip(Network),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Label {
    key: Box<str>,
    /// `None`: any value.
    value: Option<Box<str>>,
    /// The label must be absent, or have another value.
    not: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Connection,
    Flow,
    Drop,
    Dns,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Event(ConnectionEvent),
    /// Traffic that got through.
    Forwarded,
    Dropped,
    /// Carries an errno: failed, or closed by an error such as a reset. Of a lookup, any code but NOERROR, or none.
    Error,
}

impl Term {
    /// `key` is one of [`super::KEYS`]. More than one term where the value is a list; they are alternatives.
    pub(super) fn parse(key: &'static str, value: &str) -> Result<Vec<Self>, Error> {
        let (side, plain) = match (key.strip_prefix("from_"), key.strip_prefix("to_")) {
            (Some(plain), _) => (Side::Source, plain),
            (_, Some(plain)) => (Side::Destination, plain),
            _ => (Side::Either, key),
        };
        let list = |one: &dyn Fn(&str) -> Option<Self>, allowed| {
            value
                .split(',')
                .map(|part| one(part.trim()).ok_or_else(|| refused(key, value, allowed)))
                .collect()
        };
        match plain {
            "port" => list(&|part| Some(Self::Port(side, port(part)?)), "a port from 1 to 65535"),
            "protocol" => list(
                &|part| Some(Self::Protocol(protocol(part)?)),
                "tcp, udp, icmp, icmpv6, sctp or a number from 0 to 255",
            ),
            "kind" => list(&|part| Some(Self::Kind(kind(part)?)), "connection, flow, drop or dns"),
            "verdict" => list(
                &|part| Some(Self::Verdict(verdict(part)?)),
                "opened, accepted, failed, closed, forwarded, dropped or error",
            ),
            _ => Ok(vec![Self::End(side, Trait::parse(key, plain, value)?)]),
        }
    }

    pub(super) fn matches(&self, record: &Record) -> bool {
        match self {
            Self::End(side, asked) => side.any(record, |end| asked.holds(end)),
            Self::Port(side, port) => side.any(record, |end| {
                // What went to a service's port is found by the port of the pod behind it, too.
                end.port == *port || end.backend.as_ref().is_some_and(|it| it.port() == *port)
            }),
            Self::Protocol(protocol) => record.protocol == *protocol,
            Self::Kind(kind) => *kind == Kind::of(&record.subject),
            Self::Verdict(verdict) => verdict.holds(&record.subject),
        }
    }

    /// For a term of either end: whether it holds of this one.
    pub(super) fn matches_end(&self, end: &Endpoint) -> bool {
        matches!(self, Self::End(_, asked) if asked.holds(end))
    }
}

impl Side {
    fn any(self, record: &Record, holds: impl Fn(&Endpoint) -> bool) -> bool {
        (self != Self::Destination && holds(&record.source))
            || (self != Self::Source && holds(&record.destination))
    }
}

impl Trait {
    fn parse(key: &'static str, plain: &str, value: &str) -> Result<Self, Error> {
        let name = "[NAMESPACE/]PREFIX";
        let parsed = match plain {
            "namespace" => {
                (!value.is_empty() && !value.contains('/')).then(|| Self::Namespace(value.into()))
            }
            "pod" => namespaced(value).map(|(namespace, prefix)| Self::Pod { namespace, prefix }),
            "service" => {
                namespaced(value).map(|(namespace, prefix)| Self::Service { namespace, prefix })
            }
            "workload" => workload(value),
            "label" => value
                .split(',')
                .map(|part| Label::parse(part.trim()))
                .collect::<Option<_>>()
                .map(Self::Labels),
            "ip" => Network::parse(value).map(Self::Ip),
            _ => return Err(Error::Key { key: key.to_owned() }),
        };
        parsed.ok_or_else(|| {
            let allowed = match plain {
                "namespace" => "the name of a namespace",
                "workload" => "[KIND/]NAME, such as cart or Deployment/cart",
                "label" => "KEY, KEY=VALUE, KEY!=VALUE or !KEY, several joined by commas",
                "ip" => "an address or a network: 10.1.2.3, 10.0.0.0/8, fd00::/8",
                _ => name,
            };
            refused(key, value, allowed)
        })
    }

    fn holds(&self, end: &Endpoint) -> bool {
        if let Self::Ip(network) = self {
            let backend = end.backend.as_ref().map(|backend| backend.ip());
            return end.ip.into_iter().chain(backend).any(|ip| network.contains(&ip));
        }
        let Some(identity) = &end.identity else {
            return false;
        };
        match self {
            Self::Namespace(namespace) => identity.namespace.as_deref() == Some(namespace),
            Self::Pod { namespace, prefix } => {
                named(identity, identity.pod.as_deref(), namespace, prefix)
            }
            Self::Service { namespace, prefix } => {
                named(identity, identity.service.as_deref(), namespace, prefix)
            }
            Self::Workload { kind, name } => {
                identity.workload.as_ref().is_some_and(|Workload { kind: its, name: called }| {
                    **called == **name
                        && kind.as_ref().is_none_or(|kind| its.eq_ignore_ascii_case(kind))
                })
            }
            Self::Labels(labels) => labels.iter().all(|label| label.holds(identity)),
            Self::Ip(_) => false,
        }
    }
}

fn named(
    identity: &Identity,
    name: Option<&str>,
    namespace: &Option<Box<str>>,
    prefix: &str,
) -> bool {
    name.is_some_and(|name| name.starts_with(prefix))
        && namespace
            .as_deref()
            .is_none_or(|namespace| identity.namespace.as_deref() == Some(namespace))
}

/// `shop/cart`, `cart`, or `shop/` for all of a namespace.
fn namespaced(value: &str) -> Option<(Option<Box<str>>, Box<str>)> {
    match value.split_once('/') {
        Some((namespace, prefix)) if !namespace.is_empty() && !prefix.contains('/') => {
            Some((Some(namespace.into()), prefix.into()))
        }
        Some(_) => None,
        None => (!value.is_empty()).then(|| (None, value.into())),
    }
}

fn workload(value: &str) -> Option<Trait> {
    let (kind, name) = match value.split_once('/') {
        Some((kind, name)) => (Some(kind), name),
        None => (None, value),
    };
    if name.is_empty() || kind.is_some_and(str::is_empty) {
        return None;
    }
    Some(Trait::Workload { kind: kind.map(|kind| long_kind(kind).into()), name: name.into() })
}

/// The kind behind kubectl's short names and plurals.
fn long_kind(kind: &str) -> &str {
    match kind.to_ascii_lowercase().as_str() {
        "deploy" | "deployments" => "Deployment",
        "sts" | "statefulsets" => "StatefulSet",
        "ds" | "daemonsets" => "DaemonSet",
        "rs" | "replicasets" => "ReplicaSet",
        "cj" | "cronjobs" => "CronJob",
        "jobs" => "Job",
        "po" | "pods" => "Pod",
        _ => kind,
    }
}

/// Whether a label can have this key and any of these values, by what Kubernetes allows: `a=b=c` and `app in (a)` never hold.
pub fn is_label<'a>(key: &str, values: impl IntoIterator<Item = &'a str>) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte);
    !key.is_empty()
        && key.bytes().all(allowed)
        && values.into_iter().all(|value| !value.contains('='))
}

impl Label {
    fn parse(text: &str) -> Option<Self> {
        let (key, value, not) = if let Some((key, value)) = text.split_once("!=") {
            (key, Some(value), true)
        } else if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
            (key, Some(value), false)
        } else if let Some(key) = text.strip_prefix('!') {
            (key, None, true)
        } else {
            (text, None, false)
        };
        is_label(key, value).then(|| Self { key: key.into(), value: value.map(Into::into), not })
    }

    fn holds(&self, identity: &Identity) -> bool {
        let found = identity.labels.get(&*self.key);
        let same =
            found.is_some_and(|found| self.value.as_deref().is_none_or(|value| &**found == value));
        same != self.not
    }
}

impl Kind {
    fn of(subject: &Subject) -> Self {
        match subject {
            Subject::Connection(_) => Self::Connection,
            Subject::Flow(_) => Self::Flow,
            Subject::Drop(_) => Self::Drop,
            Subject::Dns(_) => Self::Dns,
        }
    }
}

impl Verdict {
    fn holds(self, subject: &Subject) -> bool {
        match (self, subject) {
            (Self::Event(event), Subject::Connection(connection)) => connection.event == event,
            (Self::Forwarded, Subject::Connection(connection)) => {
                connection.event != ConnectionEvent::Failed
            }
            (Self::Forwarded, Subject::Flow(_)) | (Self::Dropped, Subject::Drop(_)) => true,
            (Self::Error, Subject::Connection(connection)) => connection.errno != 0,
            (Self::Event(ConnectionEvent::Failed), Subject::Dns(lookup)) => lookup.failed(),
            (Self::Forwarded, Subject::Dns(lookup)) => !lookup.failed(),
            (Self::Error, Subject::Dns(lookup)) => lookup.code != Some(dns::NOERROR),
            _ => false,
        }
    }
}

fn port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|&port| port != 0)
}

fn protocol(text: &str) -> Option<Protocol> {
    Some(match text.to_ascii_lowercase().as_str() {
        "tcp" => Protocol::TCP,
        "udp" => Protocol::UDP,
        "icmp" | "icmpv4" => Protocol::ICMP,
        "icmpv6" => Protocol::ICMPV6,
        "sctp" => Protocol::SCTP,
        number => Protocol(number.parse().ok()?),
    })
}

fn kind(text: &str) -> Option<Kind> {
    Some(match text.to_ascii_lowercase().as_str() {
        "connection" => Kind::Connection,
        "flow" => Kind::Flow,
        "drop" => Kind::Drop,
        "dns" => Kind::Dns,
        _ => return None,
    })
}

fn verdict(text: &str) -> Option<Verdict> {
    Some(match text.to_ascii_lowercase().as_str() {
        "opened" => Verdict::Event(ConnectionEvent::Opened),
        "accepted" => Verdict::Event(ConnectionEvent::Accepted),
        "failed" => Verdict::Event(ConnectionEvent::Failed),
        "closed" => Verdict::Event(ConnectionEvent::Closed),
        "forwarded" => Verdict::Forwarded,
        "dropped" => Verdict::Dropped,
        "error" => Verdict::Error,
        _ => return None,
    })
}
