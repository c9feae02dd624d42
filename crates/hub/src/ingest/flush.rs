//! From what waits to the store, and from each level to the next.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use model::Timestamp;
use model::row::Values;
use tokio_util::sync::CancellationToken;

use super::{Flushing, Ingest, Open, day};
use crate::store::{Block, Commit, Error, FOLD_AFTER_S, Level, blocks};

/// How long after the end of an interval it is stored: agents tell of it at once.
pub const FLUSH_AFTER_S: u64 = 3;
/// So long after the start there is a flush each second: agents have waited for a hub that stores what they have.
const EAGER: Duration = Duration::from_secs(10);
/// How soon a store that failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Flushes after each interval, until cancelled, and then once more.
pub async fn flush_regularly(ingest: Arc<Ingest>, cancel: CancellationToken) {
    // The store may be away from the beginning.
    let mut failing = ingest.failing().is_some();
    let began = Instant::now();
    loop {
        let now = Timestamp::now();
        let step = Level::TenSeconds.seconds();
        let now_s = now.0 / 1_000_000_000;
        let next_s =
            Level::TenSeconds.floor(now_s.saturating_sub(FLUSH_AFTER_S)) + step + FLUSH_AFTER_S;
        let wait = Timestamp(next_s * 1_000_000_000).since(now).max(Duration::from_millis(100));
        let wait = if began.elapsed() < EAGER { wait.min(EAGER / 10) } else { wait };
        let wait = if failing { wait.min(AGAIN) } else { wait };
        let wait = async {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                // Not again and again while the store fails.
                () = ingest.many.notified(), if !failing => {}
            }
        };
        let last = cancel.run_until_cancelled(wait).await.is_none();
        let flushing = ingest.clone();
        let flush = move || flushing.flush(Timestamp::now().0 / 1_000_000_000);
        match tokio::task::spawn_blocking(flush).await {
            Ok(Ok(())) if failing => {
                failing = false;
                tracing::info!("history is stored again");
            }
            Ok(Ok(())) => {}
            Ok(Err(_)) if failing => {}
            Ok(Err(error)) => {
                failing = true;
                tracing::error!(%error, "cannot store history; agents keep what they can");
            }
            // It panicked, or the runtime ends.
            Err(error) => tracing::error!(%error, "a flush broke off"),
        }
        if last {
            return;
        }
    }
}

impl Ingest {
    /// Stores what has come, makes coarser levels of what is over, and forgets what is too old. Blocks.
    ///
    /// # Errors
    /// The store fails: everything is kept for the next try.
    pub fn flush(&self, now_s: u64) -> Result<(), Error> {
        let mut flushing = self.flushing.lock().unwrap_or_else(PoisonError::into_inner);
        let flushed = self.flush_all(&mut flushing, now_s);
        drop(flushing);
        *self.trouble() = flushed.as_ref().err().map(ToString::to_string);
        if flushed.is_err() {
            self.counters.flush_failures.fetch_add(1, Ordering::Relaxed);
        }
        flushed
    }

    fn flush_all(&self, flushing: &mut Flushing, now_s: u64) -> Result<(), Error> {
        if !flushing.restored {
            self.restore(self.store.restore()?, now_s)?;
            flushing.restored = true;
        }
        if let Some(commit) = flushing.unsaved.take() {
            self.save(flushing, commit)?;
        }
        let commit = self.next(now_s);
        if !commit.is_empty() {
            self.save(flushing, commit)?;
        }
        for level in [Level::Minute, Level::Hour] {
            self.fold(level, now_s)?;
        }
        self.store.expire(now_s, self.retention_s)?;
        self.forget(flushing, now_s)
    }

    /// Once a day.
    fn forget(&self, flushing: &mut Flushing, now_s: u64) -> Result<(), Error> {
        if day(now_s) == flushing.day {
            return Ok(());
        }
        flushing.day = day(now_s);
        let longest_s = self.retention_s.into_iter().max().unwrap_or(0);
        // A day more: an hour of the last one may just have begun.
        let before = day(now_s.saturating_sub(longest_s)).saturating_sub(1);
        let forgotten = self.catalogue.forget(before);
        if forgotten.is_empty() {
            return Ok(());
        }
        tracing::info!(edges = forgotten.len(), "forgot edges of which nothing is kept any more");
        self.store.commit(&Commit { forgotten, ..Commit::default() })
    }

    fn save(&self, flushing: &mut Flushing, commit: Commit) -> Result<(), Error> {
        if let Err(error) = self.store.commit(&commit) {
            flushing.unsaved = Some(commit);
            return Err(error);
        }
        self.open().nodes.store(&commit.positions);
        self.flushed.send_modify(|flushes| *flushes += 1);
        Ok(())
    }

    fn next(&self, now_s: u64) -> Commit {
        let mut open = self.open();
        let Open { intervals, batches, rows, losses, nodes } = &mut *open;
        *rows = 0;
        let intervals = std::mem::take(intervals);
        let losses = std::mem::take(losses);
        let batches = std::mem::take(batches);
        let positions = nodes.positions();
        drop(open);
        let mut commit = Commit { losses, positions, ..Commit::default() };
        // After the rows: whatever they name is among these or stored.
        commit.edges = self.catalogue.take_new();
        let folded = self.folded();
        let mut late: BTreeMap<(Level, u64), HashMap<u32, Values>> = BTreeMap::new();
        for (time_s, rows) in intervals {
            self.catalogue.see(rows.keys().copied(), day(now_s));
            for level in [Level::Minute, Level::Hour] {
                if time_s < folded[level as usize] {
                    let sum = late.entry((level, level.floor(time_s))).or_default();
                    for (edge, values) in &rows {
                        sum.entry(*edge).or_default().merge(values);
                    }
                }
            }
            commit.blocks.extend(sorted(Level::TenSeconds, time_s, rows));
        }
        for ((level, time_s), rows) in late {
            commit.blocks.extend(sorted(level, time_s, rows));
        }
        for batch in &batches {
            self.catalogue.see(batch.rows.iter().map(|(edge, _)| *edge), day(now_s));
        }
        commit.batches = batches;
        commit
    }

    /// Makes the intervals of `level` that are over.
    fn fold(&self, level: Level, now_s: u64) -> Result<(), Error> {
        let Some(finer) = level.finer() else { return Ok(()) };
        let mut over_s = level.floor(now_s.saturating_sub(FOLD_AFTER_S));
        if finer != Level::TenSeconds {
            over_s = level.floor(over_s.min(self.folded()[finer as usize]));
        }
        let mut made_s = self.folded()[level as usize];
        while made_s < over_s {
            self.store.fold(level, made_s)?;
            made_s += level.seconds();
            self.made(level, made_s);
        }
        Ok(())
    }
}

fn sorted(level: Level, time_s: u64, rows: HashMap<u32, Values>) -> Vec<Arc<Block>> {
    let mut rows: Vec<(u32, Values)> = rows.into_iter().collect();
    rows.sort_unstable_by_key(|(edge, _)| *edge);
    blocks(level, time_s, rows).into_iter().map(Arc::new).collect()
}
