//! Values over time.

use std::ops::Range;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use model::measure::Shape;
use model::row::{Distribution, Key, Values};
use model::{Direction, Measure};
use proto::columns::{Reader, Sum, add_up};
use ring::digest::{Context, SHA256};

use super::{Along, Answered, Query, Select, Way, is_apart, plan_from, workload};
use crate::store::{Block, Edges, Error, Level, Loss, PerLevel, Want, key};

/// Of a distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistic {
    Count,
    Mean,
    P50,
    P95,
    P99,
    Max,
}

impl Statistic {
    pub const ALL: [Self; 6] =
        [Self::Count, Self::Mean, Self::P50, Self::P95, Self::P99, Self::Max];

    /// As the API has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Mean => "mean",
            Self::P50 => "p50",
            Self::P95 => "p95",
            Self::P99 => "p99",
            Self::Max => "max",
        }
    }

    /// In seconds, but for the count.
    pub fn of(self, distribution: &Distribution) -> Option<f64> {
        let seconds = |ns: Option<f64>| ns.map(|ns| ns / 1e9);
        match self {
            Self::Count => Some(distribution.count() as f64),
            Self::Mean => seconds(distribution.mean_ns()),
            Self::P50 => seconds(distribution.quantile_ns(0.5)),
            Self::P95 => seconds(distribution.quantile_ns(0.95)),
            Self::P99 => seconds(distribution.quantile_ns(0.99)),
            Self::Max => seconds(Some(distribution.max_ns as f64)),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub measures: Vec<Measure>,
    pub select: Select,
    /// A multiple of 10; `None`: so that there are some hundred values at most.
    pub step_s: Option<u64>,
}

/// `None`: nothing was observed.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    pub measure: Measure,
    pub statistic: Option<Statistic>,
    pub values: Vec<Option<f64>>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Points {
    /// The steps' beginnings, in seconds since 1970: a value of each series for each.
    pub times: Vec<u64>,
    pub series: Vec<Series>,
}

/// Points of one series.
pub const MOST_POINTS: u64 = 2000;
const USUAL_POINTS: u64 = 360;

/// Which steps, made of which blocks: the same for all replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The coarsest that is read.
    pub level: Level,
    pub step_s: u64,
    /// Multiples of the step.
    pub times_s: Range<u64>,
}

impl Plan {
    /// A level that reaches back to the beginning, and a step that is a multiple of it.
    pub fn new(
        times_s: &Range<u64>,
        asked_s: Option<u64>,
        oldest_s: PerLevel<Option<u64>>,
    ) -> Self {
        let (level, step_s) = step(times_s, asked_s, oldest_s);
        let start = times_s.start - times_s.start % step_s;
        let end = times_s.end.max(times_s.start + 1).next_multiple_of(step_s);
        Self { level, step_s, times_s: start..end }
    }

    /// Whether it may be one of ours.
    pub fn is_sound(&self) -> bool {
        let Self { level, step_s, times_s } = self;
        let bounds = [times_s.start, times_s.end, *step_s];
        *step_s > 0
            && bounds.iter().all(|it| it.is_multiple_of(level.seconds()))
            && times_s.end.saturating_sub(times_s.start) / step_s <= MOST_POINTS + 2
    }

    /// The steps' beginnings.
    pub fn times(&self) -> Vec<u64> {
        self.times_s.clone().step_by(self.step_s as usize).collect()
    }

    /// Gives what there is, in the order of time: the end of the last interval in it.
    fn sums(
        &self,
        query: &Query,
        select: &Select,
        measures: &[Measure],
        give: &mut dyn FnMut(Arc<Block>),
    ) -> Result<Option<u64>, Error> {
        let (store, times_s) = (query.ingest.store(), self.times_s.clone());
        let (select, measures, step_s) = (Some(select), Some(measures), Some(self.step_s));
        let want = Want { select, measures, step_s };
        let mut until_s = None;
        for part in plan_from(self.level, times_s, query.ingest.folded(), store.oldest_s()) {
            until_s = until_s.max(store.sums(part.level, part.times_s, &want, give)?);
        }
        Ok(until_s)
    }

    /// Blocks of all edges that there are, and the end of the last interval if that is known.
    fn edges(
        &self,
        query: &Query,
        select: &Select,
        measures: &[Measure],
    ) -> Result<(Vec<Arc<Block>>, Option<u64>), Error> {
        // The coarsest level has the same edges in fewer blocks.
        if !query.ingest.store().is_shared() {
            return Ok((query.blocks(self.times_s.clone(), select)?.blocks, None));
        }
        let mut blocks = Vec::new();
        let until_s = self.sums(query, select, measures, &mut |block| blocks.push(block))?;
        Ok((blocks, until_s))
    }
}

/// The sums of one replica.
#[derive(Clone, Debug, Default)]
pub struct Steps {
    pub sums: Vec<Values>,
    /// The end of the last interval that there is.
    pub known_s: Option<u64>,
    pub missing: Vec<Loss>,
}

/// What is stored here alone. A distribution gives a series for each statistic.
///
/// # Errors
/// The store cannot be read.
pub fn series(
    query: &Query,
    times_s: Range<u64>,
    asked: &Asked,
) -> Result<Answered<Points>, Error> {
    let plan = Plan::new(&times_s, asked.step_s, query.ingest.store().oldest_s());
    series_along(query, &plan, asked, None)
}

/// The same with what other replicas have.
///
/// # Errors
/// The store cannot be read.
pub fn series_along(
    query: &Query,
    plan: &Plan,
    asked: &Asked,
    along: Option<Along>,
) -> Result<Answered<Points>, Error> {
    let Asked { measures, select, .. } = asked;
    let Some(Along { own, all, steps: others }) = along else {
        let own = steps(query, plan, measures, select, &HashSet::new())?;
        return Ok(points(plan, measures, vec![own], Vec::new()));
    };
    // Whoever is told of it may have gone.
    let _ = own.send(observed(query, plan, select)?);
    let all = all.blocking_recv().unwrap_or_default();
    let own = steps(query, plan, measures, select, &all)?;
    let others = others.blocking_recv().unwrap_or_default();
    let missing = others.losses();
    let all = std::iter::once(own).chain(others.answers).collect();
    Ok(points(plan, measures, all, missing))
}

/// Between whom the source's end was observed here, as [`way_hash`] has it.
///
/// # Errors
/// The store cannot be read.
pub fn observed(query: &Query, plan: &Plan, select: &Select) -> Result<HashSet<u64>, Error> {
    let (blocks, _) = plan.edges(query, select, &[])?;
    // After the blocks: a shared store may have edges that are new here.
    let edges = query.ingest.catalogue.edges();
    let mut ways = Ways::new(&edges, select);
    ways.see(&blocks);
    Ok(ways.hashes())
}

/// The sums of what is stored here. What the destination's end told does not count where somebody told of the source's:
/// here, or by `observed` elsewhere. Only what ends tell apart counts at both.
///
/// # Errors
/// The store cannot be read.
pub fn steps(
    query: &Query,
    plan: &Plan,
    measures: &[Measure],
    select: &Select,
    observed: &HashSet<u64>,
) -> Result<Steps, Error> {
    let (blocks, until_s) = plan.edges(query, select, measures)?;
    let edges = query.ingest.catalogue.edges();
    let mut ways = Ways::new(&edges, select);
    ways.see(&blocks);
    ways.see_others(observed);
    let mut adding = Adding::new(plan, measures, &ways);
    let known_s = match query.ingest.store().is_shared() {
        true => {
            blocks.iter().for_each(|block| adding.add(block));
            until_s
        }
        false => plan.sums(query, select, measures, &mut |block| adding.add(&block))?,
    };
    let sums = adding.finish();
    let missing = query.ingest.store().losses(plan.times_s.clone())?;
    Ok(Steps { sums, known_s, missing })
}

/// Blocks in the order of time, added up step by step: none is held.
struct Adding<'a> {
    plan: &'a Plan,
    measures: &'a [Measure],
    ways: &'a Ways<'a>,
    sums: Vec<Values>,
    /// Of the step at `place`.
    open: Sum,
    place: usize,
}

impl<'a> Adding<'a> {
    fn new(plan: &'a Plan, measures: &'a [Measure], ways: &'a Ways<'a>) -> Self {
        let sums = vec![Values::default(); plan.times().len()];
        Self { plan, measures, ways, sums, open: Sum::default(), place: 0 }
    }

    fn add(&mut self, block: &Block) {
        let Plan { step_s, times_s, .. } = self.plan;
        let place = (block.time_s.saturating_sub(times_s.start) / step_s) as usize;
        if place != self.place {
            self.close();
            self.place = place;
        }
        let (measures, ways) = (self.measures, self.ways);
        let added = Reader::of(&block.columns, |it| measures.contains(&it))
            .and_then(|reader| add_up(reader, |edge| ways.counts(edge), &mut self.open));
        let is_apart = |it| is_apart(it) && measures.contains(&it);
        let beside = |edge| ways.is_wanted(edge) && !ways.counts(edge);
        let added = added.and_then(|()| match measures.iter().any(|it| is_apart(*it)) {
            true => add_up(Reader::of(&block.columns, is_apart)?, beside, &mut self.open),
            false => Ok(()),
        });
        if let Err(error) = added {
            tracing::error!(%error, "a block of history is damaged; the answer lacks what it had");
        }
    }

    fn close(&mut self) {
        let sum = self.open.take();
        if let Some(step) = self.sums.get_mut(self.place) {
            step.merge(&sum);
        }
    }

    fn finish(mut self) -> Vec<Values> {
        self.close();
        self.sums
    }
}

/// Of all replicas together.
fn points(
    plan: &Plan,
    measures: &[Measure],
    replicas: Vec<Steps>,
    mut missing: Vec<Loss>,
) -> Answered<Points> {
    let times = plan.times();
    let mut sums = vec![Values::default(); times.len()];
    let mut known_s = None;
    for replica in replicas {
        sums.iter_mut().zip(&replica.sums).for_each(|(sum, values)| sum.merge(values));
        known_s = known_s.max(replica.known_s);
        missing.extend(replica.missing);
    }
    // The last step may not be over: a mean is of the time that is.
    let known_s = known_s.unwrap_or(plan.times_s.end);
    let lengths =
        times.iter().map(|time| (time + plan.step_s).min(known_s).saturating_sub(*time).max(1));
    let lengths: Vec<u64> = lengths.collect();
    let series = measures.iter().flat_map(|measure| of(*measure, &sums, &lengths)).collect();
    let (times_s, step_s) = (plan.times_s.clone(), plan.step_s);
    Answered { times_s, step_s, missing, answer: Points { times, series } }
}

/// What a way is called between replicas: the same in all versions.
fn way_hash(key: &Key) -> u64 {
    let mut context = Context::new(&SHA256);
    for end in [&key.source, &key.destination] {
        let (namespace, kind, name) = workload(end);
        for text in [namespace, kind, name] {
            context.update(text.as_bytes());
            context.update(&[0]);
        }
    }
    context.update(&[key.protocol.0]);
    context.update(&key.port.to_be_bytes());
    let hash = context.finish();
    hash.as_ref().iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

fn of(measure: Measure, sums: &[Values], lengths_s: &[u64]) -> Vec<Series> {
    if !measure.is_distribution() {
        let values = sums.iter().zip(lengths_s).map(|(sum, length_s)| {
            let value = sum.sum(measure)? as f64;
            Some(if measure.shape() == Shape::Gauge { value / *length_s as f64 } else { value })
        });
        return vec![Series { measure, statistic: None, values: values.collect() }];
    }
    let series = Statistic::ALL.map(|statistic| {
        let values = sums.iter().map(|sum| statistic.of(sum.distribution(measure)?));
        Series { measure, statistic: Some(statistic), values: values.collect() }
    });
    series.into()
}

fn step(
    times_s: &Range<u64>,
    asked_s: Option<u64>,
    oldest_s: PerLevel<Option<u64>>,
) -> (Level, u64) {
    let length_s = times_s.end.saturating_sub(times_s.start).max(1);
    let nice =
        [10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400];
    let usual = nice.into_iter().find(|step| length_s / step <= USUAL_POINTS);
    let fewest = length_s.div_ceil(MOST_POINTS);
    let mut step_s = asked_s.unwrap_or(usual.unwrap_or(86_400)).max(fewest).next_multiple_of(10);
    let fits = |level: &Level| step_s.is_multiple_of(level.seconds());
    let mut level = Level::ALL.into_iter().rev().find(fits).unwrap_or(Level::TenSeconds);
    while let Some(coarser) = Level::ALL.get(level as usize + 1).copied() {
        let oldest = oldest_s[..=level as usize].iter().flatten().min().copied();
        let older = oldest_s[coarser as usize];
        if oldest.is_none_or(|oldest| times_s.start >= oldest)
            || older.is_none_or(|it| Some(it) >= oldest)
        {
            break;
        }
        level = coarser;
        step_s = step_s.next_multiple_of(level.seconds());
    }
    (level, step_s)
}

/// Which edges count: of two ends that told of the same, the source's.
struct Ways<'a> {
    edges: &'a Edges,
    /// By edge; `None`: not wanted.
    wanted: Vec<Option<Way>>,
    egress: HashSet<Way>,
}

impl<'a> Ways<'a> {
    fn new(edges: &'a Edges, select: &Select) -> Self {
        let mut numbers: HashMap<_, usize> = HashMap::new();
        let wanted = (0..edges.len()).map(|edge| {
            let key = key(edges, edge as u32).filter(|key| select.matches(key))?;
            let mut number = |end| {
                let next = numbers.len();
                *numbers.entry(workload(end)).or_insert(next)
            };
            let (source, destination) = (number(&key.source), number(&key.destination));
            Some(Way { source, destination, protocol: key.protocol, port: key.port })
        });
        Self { edges, wanted: wanted.collect(), egress: HashSet::new() }
    }

    fn see(&mut self, blocks: &[Arc<Block>]) {
        let mut seen = vec![false; self.wanted.len()];
        for block in blocks {
            let Ok(mut reader) = Reader::of(&block.columns, |_| false) else { continue };
            while let Ok(Some(edge)) = reader.advance() {
                if let Some(seen) = seen.get_mut(edge as usize) {
                    *seen = true;
                }
            }
        }
        for (edge, _) in seen.iter().enumerate().filter(|(_, seen)| **seen) {
            let egress =
                key(self.edges, edge as u32).is_some_and(|it| it.direction == Direction::Egress);
            self.egress.extend(self.wanted[edge].filter(|_| egress));
        }
    }

    /// The source's end was observed elsewhere.
    fn see_others(&mut self, observed: &HashSet<u64>) {
        if observed.is_empty() {
            return;
        }
        for (edge, way) in self.wanted.iter().enumerate() {
            let Some(way) = way.filter(|it| !self.egress.contains(it)) else { continue };
            if key(self.edges, edge as u32).is_some_and(|it| observed.contains(&way_hash(it))) {
                self.egress.insert(way);
            }
        }
    }

    fn hashes(&self) -> HashSet<u64> {
        let ways = self.wanted.iter().enumerate();
        let seen = ways.filter(|(_, way)| way.is_some_and(|it| self.egress.contains(&it)));
        seen.filter_map(|(edge, _)| key(self.edges, edge as u32).map(|it| way_hash(it))).collect()
    }

    fn is_wanted(&self, edge: u32) -> bool {
        self.wanted.get(edge as usize).is_some_and(Option::is_some)
    }

    fn counts(&self, edge: u32) -> bool {
        let Some(Some(way)) = self.wanted.get(edge as usize) else { return false };
        let egress = key(self.edges, edge).is_some_and(|it| it.direction == Direction::Egress);
        egress || !self.egress.contains(way)
    }
}
