//! What history costs: rows a second, a processor's time for them, bytes on disk, and how long answers take.
//!
//! In this process, without the network: batches as agents send them are understood, taken, stored and rolled up by what
//! the hub runs: see [`edges`](super::edges).

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use hub::config::{self, Config};
use hub::ingest::{Ingest, Understood};
use hub::query::{Group, Query, Select, graph};
use hub::store::{Block, Catalogue, Commit, Level, Sqlite, Store};
use proto::Dictionary;
use proto::telemetry::Batch;
use rustix::time::{ClockId, clock_gettime};

use super::clickhouse;
use super::edges::{self, EDGES, NODES, Side, VARIANTS};
use super::lab::Lab;
use super::report::Findings;
use super::row::{Goal, Row, Unit};
use super::statistics::Summary;

const NAME: &str = "history";
const INTERVALS: u64 = 360;
const DAYS: u64 = 7;
/// The beginning of an hour.
const START_S: u64 = 1_800_000_000;
pub const ASKED: usize = 9;
/// Minutes for which somebody looks on.
const LOOKS: u64 = 10;

pub fn run(lab: &Lab) -> Result<Findings> {
    let mut findings = Findings::default();
    let folder = std::env::temp_dir().join(format!("amphipod-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let measured = measure(lab, &folder.join("history.db"), &mut findings)
        .and_then(|()| clickhouse::measure(lab, &folder.join("clickhouse"), &mut findings));
    std::fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    measured.map(|()| findings)
}

fn measure(lab: &Lab, path: &std::path::Path, findings: &mut Findings) -> Result<()> {
    lab.say(&format!("history: {} rows an interval, of {NODES} nodes", 2 * EDGES));
    let config = Config::parse("")?.history;
    let store =
        Arc::new(Sqlite::open(path, config.disk_bytes, config.blocks_bytes(), config.keep_s)?);
    let ingest = Ingest::new(store.clone(), catalogue(&config), &config, START_S)?;
    let mut nodes = nodes();

    let (began, before) = (Instant::now(), cpu_seconds());
    let (mut longest, mut rows, mut sent) = (0.0_f64, 0, 0);
    for interval in 0..INTERVALS {
        lab.interrupt.check()?;
        let start_s = START_S + interval * 10;
        for node in &mut nodes {
            let batch = node.batch(interval, start_s);
            rows += u64::from(batch.rows);
            sent += batch.columns.len();
            let batch = node.understood.batch(&ingest.catalogue, &node.name, batch)?;
            ingest.take(&node.name, 1, batch, start_s + 10);
        }
        let flushing = Instant::now();
        ingest.flush(start_s + 13)?;
        longest = longest.max(flushing.elapsed().as_secs_f64());
    }
    let (seconds, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds() - before);
    // The last minute, and the hour.
    ingest.flush(START_S + 3616)?;
    let rows = rows as f64;
    let row = |name: &str, unit, value| Row::new(NAME, name, unit, Summary::one(value));
    findings.rows.push(
        row("rows into SQLite, with rollups", Unit::PerSecond, rows / seconds)
            .goal(Goal::AtLeast(200_000.0))
            .peers("200,000 (DeepFlow)"),
    );
    findings.rows.push(
        row("a core for 200,000 rows a second", Unit::Percent, 100.0 * cpu / rows * 2e5)
            .goal(Goal::AtMost(100.0))
            .peers("11 (DeepFlow, into ClickHouse)"),
    );
    findings.rows.push(row("longest flush", Unit::Microseconds, longest * 1e6));

    findings.rows.push(row("bytes from an agent per row", Unit::Count, sent as f64 / rows));
    for level in Level::ALL {
        let bytes = file_bytes(&*store, level, &path.with_extension(level.name()))?;
        let intervals = (3600 / level.seconds()) as f64;
        let name = format!("bytes on disk per edge and {}, of both ends", level.name());
        let row = row(&name, Unit::Count, bytes as f64 / intervals / f64::from(EDGES));
        findings.rows.push(match level {
            Level::Minute => row.goal(Goal::AtMost(40.0)).peers("140"),
            _ => row,
        });
    }

    days(&*store, START_S)?;
    let query = Query::new(ingest, config.sums_bytes());
    let now_s = START_S + 3600;
    let (asked_first, hour) = ask(&query, now_s - 3590..now_s)?;
    findings.rows.push(row(
        "graph of an hour, 5,000 edges, asked first",
        Unit::Microseconds,
        asked_first,
    ));
    findings.rows.push(
        Row::new(NAME, "graph of an hour, 5,000 edges, warm", Unit::Microseconds, hour)
            .goal(Goal::AtMost(50_000.0)),
    );
    findings.rows.push(row(
        "graph of half an hour, each time of another minute, mean",
        Unit::Microseconds,
        minute_by_minute(&query, now_s)?,
    ));
    let (_, whole) = ask(&query, now_s - 3600..now_s)?;
    findings.rows.push(Row::new(NAME, "the same of a whole hour", Unit::Microseconds, whole));
    let (first, week) = ask(&query, now_s - DAYS * 86_400 + 10..now_s)?;
    findings.rows.push(
        row("graph of 7 days, 5,000 edges, asked first", Unit::Microseconds, first)
            .goal(Goal::AtMost(500_000.0)),
    );
    findings.rows.push(Row::new(NAME, "the same again", Unit::Microseconds, week));
    for (name, facts) in
        [("blocks in memory", store.facts().window), ("sums in memory", query.sums_facts())]
    {
        findings.rows.push(row(name, Unit::Megabytes, facts.bytes as f64 / (1 << 20) as f64));
    }
    Ok(())
}

/// The size of a database that has nothing else: pages, index and all.
fn file_bytes(store: &dyn Store, level: Level, path: &std::path::Path) -> Result<u64> {
    let blocks = store.blocks(level, START_S..START_S + 3600)?;
    let alone = Sqlite::open(path, u64::MAX, 1 << 20, Config::parse("")?.history.keep_s)?;
    for block in blocks {
        alone.commit(&Commit { blocks: vec![block], ..Commit::default() })?;
    }
    // Whoever closes it last takes over what was written ahead.
    drop(alone);
    Ok(std::fs::metadata(path).with_context(|| format!("size of {}", path.display()))?.len())
}

/// The days before, of the hour that was made: hours of all of them.
fn days(store: &dyn Store, start_s: u64) -> Result<()> {
    copies(store, Level::Hour, start_s, 1..DAYS * 24)
}

fn copies(store: &dyn Store, level: Level, start_s: u64, hours: Range<u64>) -> Result<()> {
    let hour = store.blocks(level, start_s..start_s + 3600)?;
    for hours in hours {
        let earlier = |block: &Arc<Block>| {
            Arc::new(Block { time_s: block.time_s - hours * 3600, ..Block::clone(block) })
        };
        let blocks = hour.iter().map(earlier).collect();
        store.commit(&Commit { blocks, ..Commit::default() })?;
    }
    Ok(())
}

/// A database of seven days that are over when `now_s` is: of the last hour's ten seconds, the last day's minutes, and the
/// hours of all of them, as far as the defaults keep them.
pub fn fill(path: &std::path::Path, now_s: u64) -> Result<()> {
    let config = Config::parse("")?.history;
    let start_s = Level::Hour.floor(now_s) - 3600;
    let store =
        Arc::new(Sqlite::open(path, config.disk_bytes, config.blocks_bytes(), config.keep_s)?);
    let ingest = Ingest::new(store.clone(), catalogue(&config), &config, start_s)?;
    let mut nodes = nodes();
    for interval in 0..INTERVALS {
        let start_s = start_s + interval * 10;
        for node in &mut nodes {
            let batch = node.batch(interval, start_s);
            let batch = node.understood.batch(&ingest.catalogue, &node.name, batch)?;
            ingest.take(&node.name, 1, batch, start_s + 10);
        }
        ingest.flush(start_s + 13)?;
    }
    ingest.flush(start_s + 3616)?;
    copies(&*store, Level::Minute, start_s, 1..24)?;
    days(&*store, start_s)
}

fn catalogue(config: &config::History) -> Arc<Catalogue> {
    Arc::new(Catalogue::new(config.max_edges))
}

/// A question as somebody who looks on asks it, when another minute is over each time: microseconds.
fn minute_by_minute(query: &Query, now_s: u64) -> Result<f64> {
    let mut sum_us = 0.0;
    for minute in (1..=LOOKS).rev() {
        let now_s = now_s - 60 * minute;
        sum_us += ask_once(query, now_s - 1790..now_s)?;
    }
    Ok(sum_us / LOOKS as f64)
}

/// Microseconds: the first time, and the others.
fn ask(query: &Query, times_s: Range<u64>) -> Result<(f64, Summary)> {
    let mut samples = Vec::new();
    for _ in 0..=ASKED {
        samples.push(ask_once(query, times_s.clone())?);
    }
    let first = samples.remove(0);
    Ok((first, Summary::of(samples)))
}

/// Microseconds.
pub fn ask_once(query: &Query, times_s: Range<u64>) -> Result<f64> {
    let began = Instant::now();
    let answered = graph(query, times_s, &Select::default(), Group::Workload, 100_000)?;
    let edges = answered.answer.edges.len();
    anyhow::ensure!(edges == EDGES as usize, "{edges} edges");
    Ok(began.elapsed().as_secs_f64() * 1e6)
}

/// A node and what its agent tells.
pub struct Node {
    pub name: Arc<str>,
    sides: Vec<Side>,
    /// The ids, the columns compressed, and their size before.
    variants: Vec<(Vec<u32>, Vec<u8>, u32)>,
    dictionary: Dictionary,
    pub understood: Understood,
    sequence: u64,
}

/// All nodes, with what they see of all edges.
pub fn nodes() -> Vec<Node> {
    let mut sides: Vec<Vec<Side>> = (0..NODES).map(|_| Vec::new()).collect();
    for side in (0..EDGES).flat_map(edges::sides) {
        sides[side.node as usize].push(side);
    }
    (0..).zip(sides).map(|(number, sides)| Node::new(number, sides)).collect()
}

impl Node {
    fn new(number: u32, sides: Vec<Side>) -> Self {
        let variants = (0..VARIANTS).map(|at| edges::interval(&sides, at));
        Self {
            name: format!("node-{number}").into(),
            variants: variants.collect(),
            sides,
            dictionary: Dictionary::default(),
            understood: Understood::default(),
            sequence: 0,
        }
    }

    pub fn batch(&mut self, interval: u64, start_s: u64) -> Batch {
        self.sequence += 1;
        let (ids, columns, columns_bytes) = &self.variants[interval as usize % VARIANTS];
        let keys = self.sides.iter().filter(|side| ids.binary_search(&side.id).is_ok());
        Batch {
            sequence: self.sequence,
            start_s,
            length_s: 10,
            definitions: self.dictionary.define(keys.map(|side| (side.id, &side.key))),
            rows: ids.len() as u32,
            columns: columns.clone().into(),
            columns_bytes: *columns_bytes,
            losses: Vec::new(),
        }
    }
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
