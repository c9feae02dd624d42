//! Agents that report rows, by the hundred: each a connection and a stream of its own, with what real ones send at the end
//! of every interval, and with what no hub has stored yet. Part of the process of [`fleet`](super::fleet).

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use model::Timestamp;
use proto::telemetry::report::Kind;
use proto::telemetry::{Ack, Batch, Introduction, Report};
use proto::{Dictionary, TelemetryClient};
use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;

use super::edges::{self, EDGES, Side, VARIANTS};

const INTERVAL_S: u64 = 10;
/// A row is of one agent in so many: each reports 2,000 of the 10,000 sides.
const GROUPS: usize = 5;
/// Rows of a batch at most, as agents have it.
const ROWS: usize = 128;
/// Batches that wait for a hub at most.
const SPOOL: usize = 960;
/// Agents come back after a random part of this, as real ones do.
const PAUSE: Duration = Duration::from_millis(500);

/// Of all agents, since this was last asked.
#[derive(Clone, Copy, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Told {
    pub streams: u64,
    pub rows_sent: u64,
    pub rows_stored: u64,
    /// When the first batch was acknowledged, in nanoseconds since 1970; 0: none was.
    pub first_ns: u64,
}

pub struct Reporters {
    hub: SocketAddr,
    life: u64,
    groups: Vec<Group>,
    told: Mutex<Told>,
    stored: Notify,
    streams: AtomicU64,
}

/// What several agents have in common.
struct Group {
    /// What a batch has.
    parts: Vec<Part>,
}

struct Part {
    sides: Vec<Side>,
    variants: Vec<Interval>,
}

struct Interval {
    ids: Vec<u32>,
    columns: bytes::Bytes,
    columns_bytes: u32,
}

/// A batch that no hub has stored yet.
struct Waiting {
    sequence: u64,
    start_s: u64,
}

impl Reporters {
    pub fn new(hub: SocketAddr) -> Arc<Self> {
        let mut groups: Vec<Vec<Side>> = (0..GROUPS).map(|_| Vec::new()).collect();
        for side in (0..EDGES).flat_map(edges::sides) {
            groups[side.id as usize % GROUPS].push(side);
        }
        Arc::new(Self {
            hub,
            life: Timestamp::now().0,
            groups: groups.into_iter().map(Group::new).collect(),
            told: Mutex::default(),
            stored: Notify::new(),
            streams: AtomicU64::new(0),
        })
    }

    pub fn take(&self) -> Told {
        let streams = self.streams.load(Relaxed);
        Told { streams, ..std::mem::take(&mut *self.told()) }
    }

    /// Until a batch has been acknowledged since [`Self::take`], or the time is up.
    pub async fn acknowledged(&self, seconds: f64) {
        let first = async {
            loop {
                let stored = self.stored.notified();
                if self.told().first_ns > 0 {
                    return;
                }
                stored.await;
            }
        };
        let _ = timeout(Duration::from_secs_f64(seconds), first).await;
    }

    /// Reports for as long as it is polled.
    pub async fn report(self: Arc<Self>, agent: usize) {
        let mut waiting = VecDeque::new();
        let mut next = Timestamp::now().0 / 1_000_000_000 / INTERVAL_S;
        loop {
            self.streams.fetch_add(1, Relaxed);
            // Whatever ended it, it is tried again.
            let _ = self.stream(agent, &mut waiting, &mut next).await;
            self.streams.fetch_sub(1, Relaxed);
            sleep(PAUSE.mul_f64(fastrand::f64())).await;
        }
    }

    async fn stream(
        &self,
        agent: usize,
        waiting: &mut VecDeque<Waiting>,
        next: &mut u64,
    ) -> Result<()> {
        let channel = Endpoint::from_shared(format!("http://{}", self.hub))?.connect().await?;
        let (out, messages) = mpsc::channel(1);
        let node = format!("node-{agent}");
        let introduction = Introduction { node, agent_version: "bench".into(), life: self.life };
        out.send(Report { kind: Some(Kind::Introduction(introduction)) }).await?;
        let mut client = TelemetryClient::new(channel);
        let mut acks = client.report(ReceiverStream::new(messages)).await?.into_inner();
        let Ack { sequence } = acks.message().await?.context("no first word")?;
        self.acknowledge(agent, waiting, sequence);
        let group = &self.groups[agent % GROUPS];
        let (mut dictionary, mut sent) = (Dictionary::default(), sequence);
        loop {
            if let Some(it) = waiting.iter().find(|it| it.sequence > sent) {
                sent = it.sequence;
                let batch = group.batch(&mut dictionary, it);
                self.told().rows_sent += u64::from(batch.rows);
                out.send(Report { kind: Some(Kind::Batch(batch)) }).await?;
                continue;
            }
            let end = Timestamp((*next + 1) * INTERVAL_S * 1_000_000_000);
            tokio::select! {
                ack = acks.message() => {
                    let Ack { sequence } = ack?.context("the hub ended it")?;
                    self.acknowledge(agent, waiting, sequence);
                }
                () = sleep(end.since(Timestamp::now())) => {
                    waiting.extend(group.waiting(*next));
                    waiting.drain(..waiting.len().saturating_sub(SPOOL));
                    *next += 1;
                }
            }
        }
    }

    fn acknowledge(&self, agent: usize, waiting: &mut VecDeque<Waiting>, sequence: u64) {
        let mut told = self.told();
        while waiting.front().is_some_and(|it| it.sequence <= sequence) {
            if let Some(it) = waiting.pop_front() {
                told.rows_stored += self.groups[agent % GROUPS].interval(&it).ids.len() as u64;
            }
            if told.first_ns == 0 {
                told.first_ns = Timestamp::now().0;
                self.stored.notify_one();
            }
        }
    }

    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part {
    fn new(sides: Vec<Side>) -> Self {
        let variants = (0..VARIANTS).map(|at| {
            let (ids, columns, columns_bytes) = edges::interval(&sides, at);
            Interval { ids, columns: columns.into(), columns_bytes }
        });
        Self { variants: variants.collect(), sides }
    }
}

impl Group {
    fn new(mut sides: Vec<Side>) -> Self {
        let mut parts = Vec::new();
        while !sides.is_empty() {
            let rest = sides.split_off(ROWS.min(sides.len()));
            parts.push(Part::new(std::mem::replace(&mut sides, rest)));
        }
        Self { parts }
    }

    /// The batches of an interval, by its number.
    fn waiting(&self, interval: u64) -> impl Iterator<Item = Waiting> {
        let parts = self.parts.len() as u64;
        let first = interval * parts;
        (first..first + parts)
            .map(move |sequence| Waiting { sequence, start_s: interval * INTERVAL_S })
    }

    fn part(&self, it: &Waiting) -> (&Part, &Interval) {
        let part = &self.parts[it.sequence as usize % self.parts.len()];
        (part, &part.variants[it.sequence as usize / self.parts.len() % VARIANTS])
    }

    fn interval(&self, it: &Waiting) -> &Interval {
        self.part(it).1
    }

    fn batch(&self, dictionary: &mut Dictionary, it: &Waiting) -> Batch {
        let (Part { sides, .. }, Interval { ids, columns, columns_bytes }) = self.part(it);
        let keys = sides.iter().filter(|side| ids.binary_search(&side.id).is_ok());
        Batch {
            sequence: it.sequence,
            start_s: it.start_s,
            length_s: INTERVAL_S as u32,
            definitions: dictionary.define(keys.map(|side| (side.id, &side.key))),
            rows: ids.len() as u32,
            columns: columns.clone(),
            columns_bytes: *columns_bytes,
            losses: Vec::new(),
        }
    }
}
