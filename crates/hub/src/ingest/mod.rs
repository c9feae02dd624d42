//! What agents tell: taken in once, added up by interval, and stored with how far each agent has come.
//!
//! Rows wait in memory until the next flush, a few seconds after their interval has ended; only then are they
//! acknowledged. A hub that dies before has not acknowledged them, and the agents send them again; what was stored and is
//! sent again is known by its node, life and sequence.

mod flush;
mod nodes;
mod service;
mod session;
#[cfg(test)]
mod tests;
mod understood;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;
use model::row::Values;
use tokio::sync::{Notify, watch};

use crate::config;
use crate::store::{
    self, Catalogue, Commit, Error, Level, Loss, PerLevel, Position, Restored, Store,
};

pub use flush::{FLUSH_AFTER_S, flush_regularly};
pub use nodes::{Kept, Node, Program};
pub use service::Service;
pub(crate) use session::introduced;
pub use understood::{Misunderstood, Understood};

use nodes::Nodes;

/// Rows that may wait for the next flush: beyond it agents are not read, and keep what they have. A row takes some 500
/// bytes until it is stored.
const MOST_WAITING: usize = 400_000;
/// With so many there is a flush at once.
const MANY_WAITING: usize = MOST_WAITING / 2;
/// How far ahead of the hub's clock an interval may be.
const AHEAD_S: u64 = 300;

pub struct Ingest {
    pub catalogue: Arc<Catalogue>,
    store: Arc<dyn Store>,
    retention_s: PerLevel<u64>,
    open: Mutex<Open>,
    /// Of the one who flushes.
    flushing: Mutex<Flushing>,
    /// Up to when each level has been made of the finer one.
    folded: Mutex<PerLevel<u64>>,
    /// Why the store does not take what waits.
    trouble: Mutex<Option<String>>,
    /// How many flushes there were.
    flushed: watch::Sender<u64>,
    /// Many rows wait.
    many: Notify,
    pub counters: Counters,
}

#[derive(Debug, Default)]
pub struct Counters {
    pub batches: AtomicU64,
    pub rows: AtomicU64,
    /// Batches that had been taken before.
    pub duplicates: AtomicU64,
    /// Messages that could not be understood, or batches of which a part could not.
    pub malformed: AtomicU64,
    /// Rows of a time that cannot be.
    pub untimely: AtomicU64,
    /// Rows that agents told to be lost.
    pub lost: AtomicU64,
    pub flush_failures: AtomicU64,
    pub refused: AtomicU64,
}

/// What has been taken since the last flush.
#[derive(Default)]
struct Open {
    /// By the interval's beginning, then by edge.
    intervals: BTreeMap<u64, HashMap<u32, Values>>,
    /// Instead of these, if the store is shared.
    batches: Vec<store::Batch>,
    rows: usize,
    losses: Vec<Loss>,
    nodes: Nodes,
}

#[derive(Default)]
struct Flushing {
    /// What could not be stored, and is tried again.
    unsaved: Option<Commit>,
    /// What there was before is known.
    restored: bool,
    /// On which edges were forgotten last.
    day: u32,
}

/// A batch, understood.
#[derive(Debug, Default)]
pub struct Batch {
    pub sequence: u64,
    pub start_s: u64,
    pub length_s: u64,
    pub rows: Vec<(u32, Values)>,
    pub losses: Vec<Loss>,
    /// How often the node had been handed over when its stream began.
    pub given: u64,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    New,
    /// It had been taken before.
    Duplicate,
    /// Another replica takes what the node tells.
    Given,
}

/// Since 1970.
fn day(time_s: u64) -> u32 {
    (time_s / 86_400) as u32
}

impl Ingest {
    /// Goes on where `store` ended.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn new(
        store: Arc<dyn Store>,
        catalogue: Arc<Catalogue>,
        history: &config::History,
        now_s: u64,
    ) -> Result<Arc<Self>, Error> {
        // What is older and comes late is added to the coarser levels when it comes.
        let folded = Level::ALL.map(|level| level.floor(now_s));
        let ingest = Self {
            catalogue,
            store,
            retention_s: history.keep_s,
            open: Mutex::default(),
            flushing: Mutex::new(Flushing { day: day(now_s), ..Flushing::default() }),
            folded: Mutex::new(folded),
            trouble: Mutex::default(),
            flushed: watch::Sender::new(0),
            many: Notify::new(),
            counters: Counters::default(),
        };
        match ingest.store.restore() {
            Ok(restored) => {
                ingest.restore(restored, now_s)?;
                ingest.flushing.lock().unwrap_or_else(PoisonError::into_inner).restored = true;
            }
            // Until it is there agents keep what they have.
            Err(error) if ingest.store.is_shared() => {
                tracing::error!(%error, "history cannot be reached yet");
                *ingest.trouble() = Some(error.to_string());
            }
            Err(error) => return Err(error),
        }
        Ok(Arc::new(ingest))
    }

    fn restore(&self, restored: Restored, now_s: u64) -> Result<(), Error> {
        self.catalogue.restore(restored.edges, day(now_s));
        if restored.folded.is_empty() && !self.store.is_shared() {
            // Another life must make what this one does not come to.
            let folded = self.folded();
            let begin = Level::ALL.map(|level| (level, folded[level as usize]));
            self.store.commit(&Commit { folded: begin.into(), ..Commit::default() })?;
        }
        for (level, until) in restored.folded {
            self.made(level, until);
        }
        self.open().nodes.restore(restored.positions);
        Ok(())
    }

    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Takes a batch of `node` in its `life`, unless it has been taken.
    pub fn take(&self, node: &Arc<str>, life: u64, mut batch: Batch, now_s: u64) -> Taken {
        let mut open = self.open();
        if open.nodes.given(node) != batch.given {
            return Taken::Given;
        }
        if !open.nodes.take(node, life, batch.sequence) {
            drop(open);
            self.counters.duplicates.fetch_add(1, Ordering::Relaxed);
            return Taken::Duplicate;
        }
        let rows = batch.rows.len() as u64;
        self.counters.batches.fetch_add(1, Ordering::Relaxed);
        let lost = batch.losses.iter().map(|loss| loss.rows).sum();
        self.counters.lost.fetch_add(lost, Ordering::Relaxed);
        open.nodes.lose(node, lost);
        let kept_s = self.retention_s[Level::TenSeconds as usize];
        if batch.start_s > now_s + AHEAD_S || batch.start_s.saturating_add(kept_s) < now_s {
            self.counters.untimely.fetch_add(rows, Ordering::Relaxed);
            open.nodes.lose(node, rows);
            batch.losses.push(Loss {
                node: node.clone(),
                reason: "clock".into(),
                rows,
                since_s: now_s.saturating_sub(Level::TenSeconds.seconds()),
                until_s: now_s,
            });
            batch.rows.clear();
        } else {
            self.counters.rows.fetch_add(rows, Ordering::Relaxed);
            open.nodes.count(node, rows, batch.start_s + batch.length_s);
        }
        if self.store.is_shared() {
            self.keep(&mut open, node, life, batch);
            return Taken::New;
        }
        open.losses.extend(batch.losses);
        if batch.rows.is_empty() {
            return Taken::New;
        }
        let before = open.rows;
        let interval = open.intervals.entry(Level::TenSeconds.floor(batch.start_s)).or_default();
        let mut added = 0;
        for (edge, values) in batch.rows {
            match interval.entry(edge) {
                hashbrown::hash_map::Entry::Occupied(mut entry) => entry.get_mut().merge(&values),
                hashbrown::hash_map::Entry::Vacant(entry) => {
                    entry.insert(values);
                    added += 1;
                }
            }
        }
        open.rows = before + added;
        if open.rows >= MANY_WAITING {
            self.many.notify_one();
        }
        Taken::New
    }

    /// As it came, for a store that knows rows by their batch.
    fn keep(&self, open: &mut Open, node: &Arc<str>, life: u64, batch: Batch) {
        let Batch { sequence, start_s, mut rows, losses, .. } = batch;
        if rows.is_empty() && losses.is_empty() {
            return;
        }
        // What had no room has one number.
        rows.sort_unstable_by_key(|(edge, _)| *edge);
        rows.dedup_by(|(edge, values), (first, sum)| {
            let same = edge == first;
            if same {
                sum.merge(values);
            }
            same
        });
        open.rows += rows.len();
        let (node, time_s) = (node.clone(), Level::TenSeconds.floor(start_s));
        open.batches.push(store::Batch { node, life, sequence, time_s, rows, losses });
        if open.rows >= MANY_WAITING {
            self.many.notify_one();
        }
    }

    /// Whether agents should wait with what they have.
    pub fn is_full(&self) -> bool {
        self.open().rows >= MOST_WAITING
    }

    /// A node's agent has gone to another replica: how far it has come here. Nothing more is taken from its streams.
    pub fn hand_over(&self, node: &str) -> Option<(Position, u64)> {
        self.open().nodes.hand_over(node)
    }

    /// Returns when what it told up to this is stored, for which it does not wait for the next interval.
    pub async fn stored_up_to(&self, it: &Position) {
        let mut flushes = self.flushes();
        while self.stored(&it.node, it.life) < it.sequence {
            self.many.notify_one();
            // Who flushes lives as long.
            let _ = flushes.changed().await;
        }
    }

    /// Up to which of its batches the node's are stored.
    pub fn stored(&self, node: &str, life: u64) -> u64 {
        self.open().nodes.stored(node, life)
    }

    /// Tells when there was a flush.
    pub fn flushes(&self) -> watch::Receiver<u64> {
        self.flushed.subscribe()
    }

    /// Rows that wait for the next flush.
    pub fn waiting(&self) -> usize {
        self.open().rows
    }

    /// All nodes that were heard of.
    pub fn nodes(&self) -> Vec<Node> {
        self.open().nodes.all()
    }

    /// Up to when each level has been made.
    pub fn folded(&self) -> PerLevel<u64> {
        *self.folded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn made(&self, level: Level, until_s: u64) {
        self.folded.lock().unwrap_or_else(PoisonError::into_inner)[level as usize] = until_s;
    }

    /// Why what comes cannot be stored; `None`: it can.
    pub fn failing(&self) -> Option<String> {
        self.trouble().clone()
    }

    fn trouble(&self) -> MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
