//! The label set of a series: workloads, not pods, unless asked for.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use hashbrown::Equivalent;
use model::line::protocol_name;
use model::{Direction, Endpoint, Protocol};

/// The value of the workload labels on the series that takes what has no room in the others.
pub const OVERFLOW: &str = "__overflow__";

/// The ends of one direction of traffic, borrowed from a record.
#[derive(Clone, Copy)]
pub struct Ends<'a> {
    pub source: End<'a>,
    pub destination: End<'a>,
    pub protocol: Protocol,
    pub direction: Direction,
    /// Why a packet was dropped; empty where that is no label.
    pub reason: &'a str,
    /// How a lookup ended; empty where that is no label.
    pub rcode: &'a str,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct End<'a> {
    namespace: &'a str,
    workload: &'a str,
    /// Empty unless pods are labels.
    pod: &'a str,
    service: &'a str,
}

impl<'a> End<'a> {
    pub fn new(endpoint: &'a Endpoint, pods: bool) -> Self {
        let Some(identity) = &endpoint.identity else { return Self::default() };
        Self {
            namespace: identity.namespace.as_deref().unwrap_or_default(),
            workload: identity
                .workload
                .as_ref()
                .map(|workload| &*workload.name)
                .unwrap_or_default(),
            pod: if pods { identity.pod.as_deref().unwrap_or_default() } else { "" },
            service: identity.service.as_deref().unwrap_or_default(),
        }
    }
}

impl<'a> Ends<'a> {
    /// Where this is counted when its own series has no room.
    pub fn overflow(self) -> Self {
        let end = End { workload: OVERFLOW, ..End::default() };
        Self {
            source: end,
            destination: end,
            reason: if self.reason.is_empty() { "" } else { OVERFLOW },
            rcode: if self.rcode.is_empty() { "" } else { OVERFLOW },
            ..self
        }
    }

    fn texts(&self) -> [&'a str; NAMES.len()] {
        let Self { source, destination, .. } = self;
        [
            source.namespace,
            source.workload,
            source.pod,
            destination.namespace,
            destination.workload,
            destination.pod,
            destination.service,
            self.reason,
            self.rcode,
        ]
    }
}

/// Owned [`Ends`]. `""` is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    texts: [Arc<str>; NAMES.len()],
    protocol: Protocol,
    direction: Direction,
}

const NAMES: [&str; 9] = [
    "source_namespace",
    "source_workload",
    "source_pod",
    "destination_namespace",
    "destination_workload",
    "destination_pod",
    "destination_service",
    "reason",
    "rcode",
];

impl Labels {
    /// Names and values; what is unknown is absent, as Prometheus does not tell an empty label from none.
    pub fn pairs(&self) -> Vec<(&'static str, Cow<'_, str>)> {
        let direction = match self.direction {
            Direction::Egress => "egress",
            Direction::Ingress => "ingress",
        };
        NAMES
            .into_iter()
            .zip(self.texts.iter().map(|text| Cow::Borrowed(&**text)))
            .filter(|(_, text)| !text.is_empty())
            .chain([("protocol", protocol_name(self.protocol)), ("direction", direction.into())])
            .collect()
    }
}

impl From<&Ends<'_>> for Labels {
    fn from(ends: &Ends<'_>) -> Self {
        Self {
            texts: ends.texts().map(Arc::from),
            protocol: ends.protocol,
            direction: ends.direction,
        }
    }
}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.texts.each_ref().map(|text| &**text).hash(state);
        (self.protocol, self.direction).hash(state);
    }
}

impl Hash for Ends<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.texts().hash(state);
        (self.protocol, self.direction).hash(state);
    }
}

impl Equivalent<Labels> for Ends<'_> {
    fn equivalent(&self, labels: &Labels) -> bool {
        (self.protocol, self.direction) == (labels.protocol, labels.direction)
            && self.texts().iter().zip(&labels.texts).all(|(a, b)| **a == **b)
    }
}
