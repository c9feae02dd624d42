//! Answers from what is stored: sums over a time, by whatever groups are asked for.

mod graph;
mod others;
mod plan;
mod select;
mod series;
mod spans;
#[cfg(test)]
mod tests;
mod workloads;

use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::Arc;

use model::row::{End, Key, Values};
use model::{Direction, Measure, Protocol};
use proto::columns::{Reader, Sum, merge};

use crate::ingest::Ingest;
use crate::store::{Block, Edges, Error, Level, Loss, Want, WindowFacts, key};
use spans::Spans;

pub use graph::{Graph, GraphEdge, GraphNode, Group, graph};
pub use others::{Along, Others, Share};
pub use plan::{Part, plan, plan_from};
pub use select::{Name, Select};
pub use series::{
    Asked, Plan, Points, Series, Statistic, Steps, observed, series, series_along, steps,
};
pub use workloads::{Page, Peer, Workload, of_page, page, workloads};

/// A range of time, and what of it there is.
#[derive(Clone, Debug)]
pub struct Answered<T> {
    /// Seconds since 1970: as asked, but for the intervals' bounds.
    pub times_s: Range<u64>,
    /// Of the coarsest part.
    pub step_s: u64,
    pub missing: Vec<Loss>,
    pub answer: T,
}

impl<T> Answered<T> {
    /// How long the time is.
    pub fn seconds(&self) -> u64 {
        self.times_s.end.saturating_sub(self.times_s.start)
    }
}

/// Blocks that together are a time, each moment once, and the time that they are.
struct Covered {
    blocks: Vec<Arc<Block>>,
    times_s: Range<u64>,
    step_s: u64,
}

/// Which rows of an edge are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    Both,
    /// Not what the destination's end saw, where it lies beside what the source's did and has nothing that ends tell apart.
    Source,
}

/// A blocking view on all that is stored.
#[derive(Clone)]
pub struct Query {
    ingest: Arc<Ingest>,
    spans: Arc<Spans>,
    /// Of the question that is asked now.
    others: Others,
}

/// Values as both ends told them: egress and ingress.
#[derive(Clone, Debug, Default)]
pub struct Sides([Values; 2]);

impl Sides {
    pub fn merge(&mut self, direction: Direction, values: &Values) {
        self.0[direction as usize].merge(values);
    }

    /// As the source's end was observed; what was not observed there, as the destination's was.
    pub fn of_source(self) -> Values {
        let [mut egress, ingress] = self.0;
        egress.complete(&ingress);
        egress
    }

    /// The other way around.
    pub fn of_destination(self) -> Values {
        let [egress, mut ingress] = self.0;
        ingress.complete(&egress);
        ingress
    }
}

impl Query {
    /// What is added up for a question is kept for the next ones in at most `sums_bytes` of memory.
    pub fn new(ingest: Arc<Ingest>, sums_bytes: usize) -> Self {
        Self { ingest, spans: Arc::new(Spans::new(sums_bytes)), others: Others::default() }
    }

    /// Of what is kept for the next questions.
    pub fn sums_facts(&self) -> WindowFacts {
        self.spans.facts()
    }

    /// To ask what `others` have as well.
    pub fn with(&self, others: Others) -> Self {
        Self { others, ..self.clone() }
    }

    /// What is stored here alone.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn share(&self, times_s: Range<u64>, select: &Select) -> Result<Share, Error> {
        let mut rows = Vec::new();
        let give = |key: &Arc<Key>, values| rows.push((key.clone(), values));
        let own = self.own(times_s, select, Ends::Both, give)?;
        let Answered { times_s, step_s, missing, .. } = own;
        Ok(Share { times_s, step_s, missing, rows })
    }

    fn blocks(&self, times_s: Range<u64>, select: &Select) -> Result<Covered, Error> {
        let store = self.ingest.store();
        let oldest_s = store.oldest_s();
        let parts = plan(times_s, self.ingest.folded(), oldest_s);
        let mut blocks = Vec::new();
        for Part { level, times_s } in &parts {
            if store.is_shared() {
                let want = Want { select: Some(select), ..Want::default() };
                store.sums(*level, times_s.clone(), &want, &mut |block| blocks.push(block))?;
            } else {
                blocks.extend(self.spans.blocks(&**store, *level, times_s.clone())?);
            }
        }
        let start = parts.iter().map(|it| it.times_s.start).min().unwrap_or(0);
        let end = parts.iter().map(|it| it.times_s.end).max().unwrap_or(0);
        let step = parts.iter().map(|it| it.level).max().unwrap_or(Level::TenSeconds);
        Ok(Covered { blocks, times_s: start..end, step_s: step.seconds() })
    }

    /// The sums of all edges that match: an edge comes once from each replica that has it.
    fn sums(
        &self,
        times_s: Range<u64>,
        select: &Select,
        ends: Ends,
        mut give: impl FnMut(&Arc<Key>, Values),
    ) -> Result<Answered<()>, Error> {
        let mut sums = self.own(times_s, select, ends, &mut give)?;
        let others = self.others.wait();
        sums.missing.extend(others.losses());
        for part in others.answers {
            let Range { start, end } = part.times_s;
            sums.times_s = sums.times_s.start.min(start)..sums.times_s.end.max(end);
            sums.step_s = sums.step_s.max(part.step_s);
            sums.missing.extend(part.missing);
            part.rows.into_iter().for_each(|(key, values)| give(&key, values));
        }
        Ok(sums)
    }

    fn own(
        &self,
        times_s: Range<u64>,
        select: &Select,
        ends: Ends,
        mut give: impl FnMut(&Arc<Key>, Values),
    ) -> Result<Answered<()>, Error> {
        let Covered { blocks, times_s, step_s } = self.blocks(times_s, select)?;
        // After the blocks: a shared store may have edges that are new here.
        let edges = self.ingest.catalogue.edges();
        let seen = match ends {
            Ends::Source => seen(&blocks, edges.len()),
            Ends::Both => Vec::new(),
        };
        let is_needless = |edge: u32| {
            seen.get(edge as usize).is_some_and(|it| !it.apart) && is_second(&edges, &seen, edge)
        };
        let wanted = |edge: u32| {
            key(&edges, edge).is_some_and(|it| select.matches(it) && !is_needless(edge))
        };
        // Two halves at once where there is much to read; a hub has two threads for such work.
        let half = if blocks.len() >= MANY { blocks.len() / 2 } else { 0 };
        let (first, second) = blocks.split_at(half);
        let (first, second) = std::thread::scope(|scope| {
            let first = (half > 0).then(|| scope.spawn(|| rows(first, &wanted)));
            let second = rows(second, &wanted);
            let first = first.map(|it| it.join().unwrap_or_else(|panic| resume_unwind(panic)));
            (first.unwrap_or_default(), second)
        });
        for (edge, values) in both(first, second) {
            if let Some(key) = key(&edges, edge) {
                give(key, values);
            }
        }
        let missing = self.ingest.store().losses(times_s.clone())?;
        Ok(Answered { times_s, step_s, missing, answer: () })
    }
}

/// From so many blocks on they are read by two threads.
const MANY: usize = 6;

/// What there is of an edge.
#[derive(Clone, Copy, Default)]
struct Seen {
    rows: bool,
    /// Some have what ends tell apart.
    apart: bool,
}

/// Of each edge.
fn seen(blocks: &[Arc<Block>], edges: usize) -> Vec<Seen> {
    let mut seen = vec![Seen::default(); edges];
    let mut sum = Sum::default();
    for block in blocks {
        // What is damaged is told when it is read.
        let Ok(mut reader) = Reader::of(&block.columns, is_apart) else { continue };
        while let Ok(Some(edge)) = reader.advance() {
            if reader.add_to(&mut sum).is_err() {
                break;
            }
            let apart = !sum.is_empty();
            if apart {
                sum = Sum::default();
            }
            if let Some(seen) = seen.get_mut(edge as usize) {
                seen.rows = true;
                seen.apart |= apart;
            }
        }
    }
    seen
}

fn is_apart(measure: Measure) -> bool {
    measure.declaration().apart
}

/// Whether it is the destination's end of an edge whose source's end is among those `seen`.
fn is_second(edges: &Edges, seen: &[Seen], edge: u32) -> bool {
    let first = edge ^ 1;
    if edge.is_multiple_of(2) || !seen.get(first as usize).is_some_and(|seen| seen.rows) {
        return false;
    }
    let (Some(first), Some(second)) = (key(edges, first), key(edges, edge)) else { return false };
    first.direction == Direction::Egress
        && second.direction == Direction::Ingress
        && (first.protocol, first.port) == (second.protocol, second.port)
        && (second.service.is_empty() || second.service == first.service)
        && first.source == second.source
        && first.destination == second.destination
}

/// The sums of the edges that are wanted, in their order.
fn rows(blocks: &[Arc<Block>], wanted: &impl Fn(u32) -> bool) -> Vec<(u32, Values)> {
    let readers = blocks.iter().filter_map(|block| {
        let damaged = |error| {
            tracing::error!(%error, time_s = block.time_s, "a block of history is damaged");
        };
        block.read().map_err(damaged).ok()
    });
    let mut rows = Vec::new();
    let merged = merge(readers.collect(), wanted, |edge, sum| rows.push((edge, sum.take())));
    if let Err(error) = merged {
        tracing::error!(%error, "a block of history is damaged; the answer lacks what it had");
    }
    rows
}

/// Each edge once.
fn both(
    first: Vec<(u32, Values)>,
    second: Vec<(u32, Values)>,
) -> impl Iterator<Item = (u32, Values)> {
    let (mut first, mut second) = (first.into_iter().peekable(), second.into_iter().peekable());
    std::iter::from_fn(move || match (first.peek(), second.peek()) {
        (Some((a, _)), Some((b, _))) if a == b => {
            let ((edge, mut values), (_, more)) = (first.next()?, second.next()?);
            values.merge(&more);
            Some((edge, values))
        }
        (Some((a, _)), Some((b, _))) if a < b => first.next(),
        (Some(_), None) => first.next(),
        (_, _) => second.next(),
    })
}

/// What an edge of the graph is known by, whoever observed it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Way {
    source: usize,
    destination: usize,
    protocol: Protocol,
    port: u16,
}

/// Namespace, kind and name: a workload in whatever zone.
fn workload(end: &End) -> (&Arc<str>, &Arc<str>, &Arc<str>) {
    (&end.namespace, &end.kind, &end.name)
}
