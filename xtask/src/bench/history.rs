//! What history costs: rows a second, a processor's time for them, bytes on disk, and how long answers take.
//!
//! In this process, without the network: batches as agents send them are understood, taken, stored and rolled up by what
//! the hub runs. Values are drawn for each edge around a rate of its own, over four orders of magnitude.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use hub::config::{Config, History};
use hub::ingest::{Ingest, Understood};
use hub::query::{Group, Query, Select, graph};
use hub::store::{Block, Commit, Level, Sqlite, Store, sample_key};
use model::row::{Key, Values};
use model::{Direction, Measure};
use proto::Dictionary;
use proto::columns::{Writer, compress};
use proto::telemetry::Batch;
use rustix::time::{ClockId, clock_gettime};

use super::lab::Lab;
use super::report::Findings;
use super::row::{Goal, Row, Unit};
use super::statistics::Summary;

const NAME: &str = "history";
/// Pairs of workloads: each is observed at both ends, so that there are twice as many rows.
const EDGES: u32 = 5_000;
const NODES: u32 = 100;
/// Different intervals; they are told again and again.
const VARIANTS: usize = 12;
const INTERVALS: u64 = 360;
const DAYS: u64 = 7;
/// The beginning of an hour.
const START_S: u64 = 1_800_000_000;
const ASKED: usize = 9;

pub fn run(lab: &Lab) -> Result<Findings> {
    let mut findings = Findings::default();
    let folder = std::env::temp_dir().join(format!("amphipod-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let measured = measure(lab, &folder.join("history.db"), &mut findings);
    std::fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    measured.map(|()| findings)
}

fn measure(lab: &Lab, path: &std::path::Path, findings: &mut Findings) -> Result<()> {
    lab.say(&format!("history: {} rows an interval, of {NODES} nodes", 2 * EDGES));
    let config = Config::parse("")?.history;
    let History { memory_bytes, keep_s, .. } = config;
    let store = Arc::new(Sqlite::open(path, memory_bytes, keep_s)?);
    let ingest = Ingest::new(store.clone(), &config, START_S)?;
    let mut nodes: Vec<Node> = (0..NODES).map(Node::new).collect();

    let (began, before) = (Instant::now(), cpu_seconds());
    let mut longest: f64 = 0.0;
    for interval in 0..INTERVALS {
        let start_s = START_S + interval * 10;
        for node in &mut nodes {
            let batch = node.batch(interval, start_s);
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
    let rows = (INTERVALS * u64::from(2 * EDGES)) as f64;
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

    let facts = store.facts();
    // Each edge is two rows, one of each end.
    let each = |level: Level| {
        2.0 * facts.bytes[level as usize] as f64 / (facts.rows[level as usize] as f64).max(1.0)
    };
    findings.rows.push(
        row("bytes on disk per edge and minute, of both ends", Unit::Count, each(Level::Minute))
            .goal(Goal::AtMost(40.0))
            .peers("140"),
    );
    findings.rows.push(row("the same for ten seconds", Unit::Count, each(Level::TenSeconds)));
    findings.rows.push(row("the same for an hour", Unit::Count, each(Level::Hour)));

    days(&*store)?;
    let query = Query::new(ingest);
    let now_s = START_S + 3600;
    let (_, hour) = ask(&query, now_s - 3590..now_s)?;
    findings.rows.push(
        Row::new(NAME, "graph of an hour, 5,000 edges, warm", Unit::Microseconds, hour)
            .goal(Goal::AtMost(50_000.0)),
    );
    let (_, whole) = ask(&query, now_s - 3600..now_s)?;
    findings.rows.push(Row::new(NAME, "the same of a whole hour", Unit::Microseconds, whole));
    let (first, week) = ask(&query, now_s - DAYS * 86_400 + 10..now_s)?;
    findings.rows.push(
        row("graph of 7 days, 5,000 edges, asked first", Unit::Microseconds, first)
            .goal(Goal::AtMost(500_000.0)),
    );
    findings.rows.push(Row::new(NAME, "the same again", Unit::Microseconds, week));
    let memory = store.facts().window.bytes as f64 / (1 << 20) as f64;
    findings.rows.push(row("blocks in memory", Unit::Megabytes, memory));
    Ok(())
}

/// The days before, of the hour that was made.
fn days(store: &dyn Store) -> Result<()> {
    let hour = store.blocks(Level::Hour, START_S..START_S + 3600)?;
    for hours in 1..DAYS * 24 {
        let earlier = |block: &Arc<Block>| {
            Arc::new(Block { time_s: block.time_s - hours * 3600, ..Block::clone(block) })
        };
        let blocks = hour.iter().map(earlier).collect();
        store.commit(&Commit { blocks, ..Commit::default() })?;
    }
    Ok(())
}

/// Microseconds: the first time, and the others.
fn ask(query: &Query, times_s: std::ops::Range<u64>) -> Result<(f64, Summary)> {
    let mut samples = Vec::new();
    for _ in 0..=ASKED {
        let began = Instant::now();
        let answered = graph(query, times_s.clone(), &Select::default(), Group::Workload, 100_000)?;
        let edges = answered.answer.edges.len();
        anyhow::ensure!(edges == EDGES as usize, "{edges} edges");
        samples.push(began.elapsed().as_secs_f64() * 1e6);
    }
    let first = samples.remove(0);
    Ok((first, Summary::of(samples)))
}

struct Node {
    name: Arc<str>,
    keys: Vec<(u32, Key)>,
    /// Compressed, and their size before.
    variants: Vec<(Vec<u8>, u32)>,
    dictionary: Dictionary,
    understood: Understood,
    sequence: u64,
}

impl Node {
    fn new(number: u32) -> Self {
        let random = &mut fastrand::Rng::with_seed(number.into());
        let own = (0..EDGES).filter(|edge| edge % NODES == number);
        let keys = own.flat_map(|edge| {
            [Direction::Egress, Direction::Ingress].map(|direction| {
                let id = edge * 2 + direction as u32;
                (id, sample_key(edge % 1000, 1000 + edge % 997, direction))
            })
        });
        let keys: Vec<(u32, Key)> = keys.collect();
        let rates: Vec<f64> = keys.iter().map(|_| 10_f64.powf(random.f64() * 4.0 - 1.0)).collect();
        let variants = (0..VARIANTS).map(|_| {
            let mut writer = Writer::default();
            for ((id, key), rate) in keys.iter().zip(&rates) {
                writer.push(*id, &values(*rate, key.direction, random));
            }
            let columns = writer.finish();
            (compress(&columns, 3).unwrap_or_default(), columns.len() as u32)
        });
        Self {
            name: format!("node-{number}").into(),
            variants: variants.collect(),
            keys,
            dictionary: Dictionary::default(),
            understood: Understood::default(),
            sequence: 0,
        }
    }

    fn batch(&mut self, interval: u64, start_s: u64) -> Batch {
        self.sequence += 1;
        let (columns, columns_bytes) = &self.variants[interval as usize % VARIANTS];
        Batch {
            sequence: self.sequence,
            start_s,
            length_s: 10,
            definitions: self.dictionary.define(self.keys.iter().map(|(id, key)| (*id, key))),
            rows: self.keys.len() as u32,
            columns: columns.clone().into(),
            columns_bytes: *columns_bytes,
            losses: Vec::new(),
        }
    }
}

/// Of ten seconds of an edge with `rate` requests a second, ten of them on each connection.
fn values(rate: f64, direction: Direction, random: &mut fastrand::Rng) -> Values {
    let mut values = Values::default();
    let requests = (rate * 10.0 * (0.7 + 0.6 * random.f64())).round() as u64;
    let connections = (requests / 10).min(200);
    let sent = (requests as f64 * (300.0 + 900.0 * random.f64())) as u64;
    let received = (requests as f64 * (500.0 + 20_000.0 * random.f64())) as u64;
    values.add(Measure::BYTES_SENT, sent);
    values.add(Measure::BYTES_RECEIVED, received);
    values.add(Measure::PACKETS_SENT, requests + sent / 1400);
    values.add(Measure::PACKETS_RECEIVED, requests + received / 1400);
    values.add(Measure::RETRANSMITS, u64::from(random.u8(..) < 4));
    values.add(Measure::ACTIVE, 10 * (1 + random.u64(..4)));
    if random.u16(..) < 200 {
        values.add(Measure::FAILURES, 1);
    }
    // One sample of each connection and report, as the flow probe has it.
    for _ in 0..=connections.min(8) {
        values.observe(Measure::RTT, 1000 * spread(150.0, random) as u64);
    }
    if connections > 0 {
        values.add(Measure::CONNECTIONS, connections);
        for _ in 0..connections {
            if direction == Direction::Egress {
                values.observe(Measure::CONNECT, spread(350_000.0, random) as u64);
            }
        }
    }
    values
}

/// Around `middle`, seldom far from it.
fn spread(middle: f64, random: &mut fastrand::Rng) -> f64 {
    let near = random.f64() + random.f64() + random.f64() - 1.5;
    middle * (near * 0.6).exp() * if random.u8(..) < 5 { 8.0 } else { 1.0 }
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
