//! Workloads, and what each has to do with others.

use std::ops::Range;
use std::sync::Arc;

use hashbrown::HashMap;
use model::row::{End, Values};
use model::{Protocol, Scope};

use super::{Answered, Ends, Name, Query, Select, Sides, Way};
use crate::store::Error;

/// Its values as its own end was observed, else as others' were.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Workload {
    pub namespace: Arc<str>,
    pub kind: Arc<str>,
    pub name: Arc<str>,
    /// As destination, and as source.
    pub incoming: Values,
    pub outgoing: Values,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Peer {
    /// The peer is the source.
    pub incoming: bool,
    pub namespace: Arc<str>,
    pub kind: Arc<str>,
    pub name: Arc<str>,
    pub protocol: Protocol,
    pub port: u16,
    pub values: Values,
}

/// One workload, and its peers by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    pub incoming: Values,
    pub outgoing: Values,
    pub peers: Vec<Peer>,
}

#[derive(Default)]
struct Found {
    numbers: HashMap<[Arc<str>; 3], usize>,
    ends: Vec<[Arc<str>; 3]>,
    ways: HashMap<Way, Sides>,
}

impl Found {
    fn number(&mut self, end: &End) -> usize {
        let name = [end.namespace.clone(), end.kind.clone(), end.name.clone()];
        if let Some(number) = self.numbers.get(&name) {
            return *number;
        }
        self.ends.push(name.clone());
        self.numbers.insert(name, self.ends.len() - 1);
        self.ends.len() - 1
    }

    fn ask(
        query: &Query,
        times_s: Range<u64>,
        select: &Select,
    ) -> Result<(Self, Answered<()>), Error> {
        let mut found = Self::default();
        let answered = query.sums(times_s, select, Ends::Both, |key, values| {
            let key = select.shown(key);
            let source = found.number(&key.source);
            let destination = found.number(&key.destination);
            let way = Way { source, destination, protocol: key.protocol, port: key.port };
            found.ways.entry(way).or_default().merge(key.direction, &values);
        })?;
        Ok((found, answered))
    }
}

/// All for which `wanted` holds, by name.
///
/// # Errors
/// The store cannot be read.
pub fn workloads(
    query: &Query,
    times_s: Range<u64>,
    select: &Select,
    wanted: impl Fn(&Workload) -> bool,
) -> Result<Answered<Vec<Workload>>, Error> {
    let (found, answered) = Found::ask(query, times_s, select)?;
    let workload = |[namespace, kind, name]: [Arc<str>; 3]| Workload {
        namespace,
        kind,
        name,
        ..Workload::default()
    };
    let mut all: Vec<Workload> = found.ends.into_iter().map(workload).collect();
    for (way, sides) in found.ways {
        all[way.source].outgoing.merge(&sides.clone().of_source());
        all[way.destination].incoming.merge(&sides.of_destination());
    }
    all.retain(|it| wanted(it));
    all.sort_by(|a, b| (&a.namespace, &a.name, &a.kind).cmp(&(&b.namespace, &b.name, &b.kind)));
    let Answered { times_s, step_s, missing, .. } = answered;
    Ok(Answered { times_s, step_s, missing, answer: all })
}

/// The rows that [`page`] is made of.
pub fn of_page(name: &Name, scope: Scope) -> Select {
    Select { scope, workload: Some(name.clone()), ..Select::default() }
}

/// One workload; `None`: nothing is known of it in that time.
///
/// # Errors
/// The store cannot be read.
pub fn page(
    query: &Query,
    times_s: Range<u64>,
    name: &Name,
    scope: Scope,
) -> Result<Answered<Option<Page>>, Error> {
    let (found, answered) = Found::ask(query, times_s, &of_page(name, scope))?;
    let own = [&name.namespace, &name.kind, &name.name].map(|it| Arc::<str>::from(it.as_str()));
    let own = found.numbers.get(&own).copied();
    let page = own.map(|own| {
        let mut page = Page::default();
        for (way, sides) in found.ways {
            // What it says to itself is both.
            if way.source == own {
                let values = sides.clone().of_source();
                page.outgoing.merge(&values);
                page.peers.push(peer(&found.ends[way.destination], false, &way, values));
            }
            if way.destination == own {
                let values = sides.of_destination();
                page.incoming.merge(&values);
                page.peers.push(peer(&found.ends[way.source], true, &way, values));
            }
        }
        page.peers.sort_by(|a, b| {
            let place = |it: &Peer| {
                (it.incoming, it.namespace.clone(), it.name.clone(), it.kind.clone(), it.port)
            };
            place(a).cmp(&place(b))
        });
        page
    });
    let Answered { times_s, step_s, missing, .. } = answered;
    Ok(Answered { times_s, step_s, missing, answer: page })
}

fn peer(
    [namespace, kind, name]: &[Arc<str>; 3],
    incoming: bool,
    way: &Way,
    values: Values,
) -> Peer {
    Peer {
        incoming,
        namespace: namespace.clone(),
        kind: kind.clone(),
        name: name.clone(),
        protocol: way.protocol,
        port: way.port,
        values,
    }
}
