//! Who talks to whom.

use std::ops::Range;
use std::sync::Arc;

use hashbrown::hash_map::Entry;
use hashbrown::{Equivalent, HashMap};
use model::row::{End, Values};
use model::{Direction, Measure, Protocol};

use super::{Answered, Ends, Query, Select, Way, is_apart};
use crate::store::Error;

/// What is one node of the graph.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Group {
    #[default]
    Workload,
    Namespace,
    Zone,
}

impl std::str::FromStr for Group {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "workload" => Ok(Self::Workload),
            "namespace" => Ok(Self::Namespace),
            "zone" => Ok(Self::Zone),
            _ => Err(()),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Graph {
    pub nodes: Vec<GraphNode>,
    /// The busiest first.
    pub edges: Vec<GraphEdge>,
    pub truncated: bool,
}

/// Empty texts: there is none, or it is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphNode {
    pub namespace: Arc<str>,
    pub kind: Arc<str>,
    pub name: Arc<str>,
    /// By which it was addressed.
    pub services: Vec<Arc<str>>,
    /// `None`: not known; empty where it is in more than one.
    pub zone: Option<Arc<str>>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct GraphEdge {
    /// Indices of nodes.
    pub source: usize,
    pub destination: usize,
    pub protocol: Protocol,
    pub port: u16,
    pub values: Values,
}

/// At most `limit` edges.
///
/// # Errors
/// The store cannot be read.
pub fn graph(
    query: &Query,
    times_s: Range<u64>,
    select: &Select,
    group: Group,
    limit: usize,
) -> Result<Answered<Graph>, Error> {
    let [mut nodes, mut workloads] = [group, Group::Workload].map(Nodes::new);
    // Else several pairs of workloads may show as one.
    let whole = group == Group::Workload && select.scope.is_all();
    // Who calls a service may know its workload, but not the zone of the pod that answers.
    let (ends, zones) = match group {
        Group::Zone => (Ends::Both, true),
        Group::Workload | Group::Namespace => (Ends::Source, false),
    };
    let mut observed = Observed::default();
    let answered = query.sums(times_s, select, ends, |key, values| {
        let shown = select.shown(key);
        let source = nodes.number(&shown.source);
        let destination = nodes.number(&shown.destination);
        if group == Group::Workload && !shown.service.is_empty() {
            let services = &mut nodes.nodes[destination].services;
            if !services.contains(&shown.service) {
                services.push(shown.service.clone());
            }
        }
        let way = Way { source, destination, protocol: key.protocol, port: key.port };
        let pair = match whole {
            true => way,
            false => Way {
                source: workloads.number(&key.source),
                destination: workloads.number(&key.destination),
                ..way
            },
        };
        let whole = !zones || !shown.destination.zone.is_empty();
        observed.add(pair, key.direction, whole, way, values);
    })?;
    let edges = observed.ways().into_iter().map(|(way, values)| GraphEdge {
        source: way.source,
        destination: way.destination,
        protocol: way.protocol,
        port: way.port,
        values,
    });
    let mut edges: Vec<GraphEdge> = edges.collect();
    edges.sort_by_cached_key(|edge| {
        (std::cmp::Reverse(weight(&edge.values)), edge.source, edge.destination, edge.port)
    });
    let truncated = edges.len() > limit;
    edges.truncate(limit);
    let mut graph = Graph { nodes: nodes.nodes, edges, truncated };
    graph.nodes.iter_mut().for_each(|node| node.services.sort());
    if truncated {
        graph.drop_unused();
    }
    let Answered { times_s, step_s, missing, .. } = answered;
    Ok(Answered { times_s, step_s, missing, answer: graph })
}

/// Rows, of which those of the destination's end count where the source's was not observed, or does not tell the whole.
/// That is decided for each pair of workloads, whatever they are grouped by. Of the end that does not count there is what
/// ends tell apart.
#[derive(Default)]
struct Observed {
    workloads: HashMap<Way, usize>,
    pairs: Vec<Pair>,
    rows: Vec<(usize, Direction, Way, Values)>,
}

/// What was observed between two workloads.
#[derive(Clone, Copy, Default)]
struct Pair {
    /// The source's end, the destination's.
    egress: bool,
    ingress: bool,
    /// The source's end does not tell of each row what it is grouped by.
    partly: bool,
}

impl Pair {
    /// Whose rows count.
    fn end(self) -> Direction {
        let ingress = self.ingress && (self.partly || !self.egress);
        if ingress { Direction::Ingress } else { Direction::Egress }
    }
}

impl Observed {
    /// `pair`: between workloads, and `way`: between what they are grouped by, if the row tells the `whole` of that.
    fn add(&mut self, pair: Way, direction: Direction, whole: bool, way: Way, values: Values) {
        let next = self.pairs.len();
        let number = *self.workloads.entry(pair).or_insert(next);
        if number == next {
            self.pairs.push(Pair::default());
        }
        let pair = &mut self.pairs[number];
        match direction {
            Direction::Egress => {
                pair.egress = true;
                pair.partly |= !whole;
            }
            Direction::Ingress => pair.ingress = true,
        }
        self.rows.push((number, direction, way, values));
    }

    fn ways(self) -> HashMap<Way, Values> {
        let mut ways: HashMap<Way, Values> = HashMap::new();
        for (pair, direction, way, values) in self.rows {
            let counts = direction == self.pairs[pair].end();
            let values = if counts { values } else { values.only(is_apart) };
            if values.is_empty() {
                continue;
            }
            match ways.entry(way) {
                Entry::Occupied(mut sum) => sum.get_mut().merge(&values),
                Entry::Vacant(place) => drop(place.insert(values)),
            }
        }
        ways
    }
}

/// What goes wrong first, then what is busy.
fn weight(values: &Values) -> (bool, u64) {
    let sum = |measure| values.sum(measure).unwrap_or(0);
    let bad = Measure::ALL.into_iter().any(|it| it.declaration().bad && sum(it) > 0);
    let bytes = sum(Measure::BYTES_SENT) + sum(Measure::BYTES_RECEIVED);
    (bad, bytes + sum(Measure::CONNECTIONS) + sum(Measure::LOOKUPS))
}

impl Graph {
    fn drop_unused(&mut self) {
        let mut numbers = vec![usize::MAX; self.nodes.len()];
        let mut used = Vec::new();
        for edge in &mut self.edges {
            for end in [&mut edge.source, &mut edge.destination] {
                if numbers[*end] == usize::MAX {
                    numbers[*end] = used.len();
                    used.push(self.nodes[*end].clone());
                }
                *end = numbers[*end];
            }
        }
        self.nodes = used;
    }
}

impl GraphNode {
    fn is_in(&mut self, zone: &Arc<str>) {
        match &self.zone {
            _ if zone.is_empty() => {}
            None => self.zone = Some(zone.clone()),
            Some(known) if known == zone => {}
            Some(_) => self.zone = Some(Arc::default()),
        }
    }
}

/// To be looked up without a copy.
#[derive(Hash)]
struct Known<'a>([&'a str; 3]);

impl Equivalent<[Arc<str>; 3]> for Known<'_> {
    fn equivalent(&self, key: &[Arc<str>; 3]) -> bool {
        self.0.iter().zip(key).all(|(known, text)| **known == **text)
    }
}

struct Nodes {
    group: Group,
    numbers: HashMap<[Arc<str>; 3], usize>,
    nodes: Vec<GraphNode>,
}

impl Nodes {
    fn new(group: Group) -> Self {
        Self { group, numbers: HashMap::new(), nodes: Vec::new() }
    }

    fn number(&mut self, end: &End) -> usize {
        if self.group == Group::Workload {
            let known = self.numbers.get(&Known([&end.namespace, &end.kind, &end.name])).copied();
            if let Some(number) = known {
                self.nodes[number].is_in(&end.zone);
                return number;
            }
        }
        let known = |text: &Arc<str>| match text.is_empty() {
            true => Arc::from("unknown"),
            false => text.clone(),
        };
        let [namespace, kind, name] = match self.group {
            Group::Workload => [end.namespace.clone(), end.kind.clone(), end.name.clone()],
            // What is in no namespace stays what it is.
            Group::Namespace if end.namespace.is_empty() => {
                [Arc::default(), end.kind.clone(), kind_or_name(end)]
            }
            Group::Namespace => [end.namespace.clone(), "Namespace".into(), end.namespace.clone()],
            Group::Zone => [Arc::default(), "Zone".into(), known(&end.zone)],
        };
        let key = [namespace, kind, name];
        if let Some(number) = self.numbers.get(&key) {
            self.nodes[*number].is_in(&end.zone);
            return *number;
        }
        let number = self.nodes.len();
        let [namespace, kind, name] = key.clone();
        let zone = Some(end.zone.clone()).filter(|it| !it.is_empty());
        self.nodes.push(GraphNode { namespace, kind, name, services: Vec::new(), zone });
        self.numbers.insert(key, number);
        number
    }
}

/// Everything outside is one where namespaces are.
fn kind_or_name(end: &End) -> Arc<str> {
    match &*end.kind {
        End::EXTERNAL => "world".into(),
        _ => end.name.clone(),
    }
}
