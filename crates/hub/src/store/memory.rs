//! History in memory: all there is without a disk, gone with the process.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::window::Window;
use super::{Block, Commit, Edition, Error, Facts, Level, Loss, PerLevel, Restored, Store};

/// Losses that are remembered.
const MOST_LOSSES: usize = 4096;

pub struct Memory {
    inner: Mutex<Inner>,
    retention_s: PerLevel<u64>,
}

struct Inner {
    window: Window,
    losses: Vec<Loss>,
}

impl Memory {
    /// Blocks beyond `most_bytes` make room, the oldest first.
    pub fn new(most_bytes: usize, retention_s: PerLevel<u64>) -> Self {
        let inner = Inner { window: Window::new(most_bytes), losses: Vec::new() };
        Self { inner: Mutex::new(inner), retention_s }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Memory {
    fn restore(&self) -> Result<Restored, Error> {
        Ok(Restored::default())
    }

    fn commit(&self, commit: &Commit) -> Result<(), Error> {
        let mut inner = self.inner();
        for block in &commit.blocks {
            let number = inner.window.number();
            inner.window.insert(number, block.clone(), self.retention_s);
        }
        inner.losses.extend(commit.losses.iter().cloned());
        let surplus = inner.losses.len().saturating_sub(MOST_LOSSES);
        inner.losses.drain(..surplus);
        Ok(())
    }

    fn each(
        &self,
        level: Level,
        times_s: Range<u64>,
        give: &mut dyn FnMut(Arc<Block>),
    ) -> Result<(), Error> {
        let blocks: Vec<_> =
            self.inner().window.range(level, times_s).map(|(_, block)| block.clone()).collect();
        blocks.into_iter().for_each(give);
        Ok(())
    }

    fn edition(&self, level: Level, times_s: Range<u64>) -> Result<Edition, Error> {
        let inner = self.inner();
        let range = inner.window.range(level, times_s);
        let add = |edition: Edition, (number, _): (u64, &Arc<Block>)| Edition {
            blocks: edition.blocks + 1,
            last: edition.last.max(number),
        };
        Ok(range.fold(Edition::default(), add))
    }

    fn losses(&self, times_s: Range<u64>) -> Result<Vec<Loss>, Error> {
        let inner = self.inner();
        let concern = |it: &&Loss| it.since_s < times_s.end && it.until_s > times_s.start;
        let mut sums: Vec<Loss> = Vec::new();
        for loss in inner.losses.iter().filter(concern) {
            let same = |it: &&mut Loss| it.node == loss.node && it.reason == loss.reason;
            match sums.iter_mut().find(same) {
                Some(sum) => {
                    sum.rows += loss.rows;
                    sum.since_s = sum.since_s.min(loss.since_s);
                    sum.until_s = sum.until_s.max(loss.until_s);
                }
                None => sums.push(loss.clone()),
            }
        }
        sums.sort_by(|a, b| (&a.node, &a.reason).cmp(&(&b.node, &b.reason)));
        Ok(sums)
    }

    fn expire(&self, now_s: u64, retention_s: PerLevel<u64>) -> Result<u64, Error> {
        let mut inner = self.inner();
        let gone = Level::ALL.map(|level| {
            let before = now_s.saturating_sub(retention_s[level as usize]);
            inner.window.expire(level, before)
        });
        let longest = retention_s.into_iter().max().unwrap_or(0);
        inner.losses.retain(|it| it.until_s + longest > now_s);
        Ok(gone.iter().sum())
    }

    fn oldest_s(&self) -> PerLevel<Option<u64>> {
        let inner = self.inner();
        Level::ALL.map(|level| inner.window.level(level).map(|it| it.time_s).next())
    }

    fn facts(&self) -> Facts {
        let inner = self.inner();
        let of = |level| inner.window.level(level);
        Facts {
            disk_bytes: 0,
            disk_evicted: 0,
            blocks: Level::ALL.map(|level| of(level).count() as u64),
            rows: Level::ALL.map(|level| of(level).map(|it| u64::from(it.rows)).sum()),
            bytes: Level::ALL.map(|level| of(level).map(|it| it.bytes() as u64).sum()),
            oldest_s: Level::ALL.map(|level| of(level).map(|it| it.time_s).next()),
            window: inner.window.facts(),
        }
    }
}
