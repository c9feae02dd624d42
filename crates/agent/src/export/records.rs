//! The newest records, kept for readers that come and go. Publishing never waits for a reader.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::Record;
use model::filter::Filter;
use tokio::sync::watch;

use crate::config;

/// Records a reader looks at while it holds the lock.
const LOOK: usize = 1024;

/// Room for what is published at once, so that a full ring need not grow to take it.
const SLACK: usize = 1024;

/// One ring, any number of readers up to a limit. Without readers a record costs one move.
pub struct Records {
    limits: config::Records,
    ring: Mutex<Ring>,
    /// Number of the next record; tells readers that there is something new.
    head: watch::Sender<u64>,
}

#[derive(Default)]
struct Ring {
    records: VecDeque<Record>,
    /// Number of the first record in the ring; numbers only grow.
    first: u64,
    readers: Vec<Option<Place>>,
    /// Records that readers lost, all together.
    lost: u64,
    closed: bool,
}

/// Where one reader is.
#[derive(Clone, Copy)]
struct Place {
    next: u64,
    /// Lost and not yet told.
    lost: u64,
}

/// Where a reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With what comes next.
    Now,
    /// With everything that is kept.
    Oldest,
    /// With the last so many records that match.
    Last(usize),
}

/// All places for readers are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} readers of records are connected, the most that records.max_readers allows; end one or raise it"
)]
pub struct TooManyReaders(pub usize);

impl Records {
    pub fn new(limits: config::Records) -> Self {
        let records = VecDeque::with_capacity(limits.buffer + SLACK);
        Self {
            limits,
            ring: Mutex::new(Ring { records, ..Ring::default() }),
            head: watch::Sender::new(0),
        }
    }

    /// Takes all of `records`.
    pub fn publish(&self, records: &mut Vec<Record>) {
        if records.is_empty() {
            return;
        }
        let mut ring = self.ring();
        ring.records.extend(records.drain(..));
        ring.trim(&self.limits);
        let head = ring.head();
        drop(ring);
        self.head.send_replace(head);
    }

    /// Readers get what is left, and then their end.
    pub fn close(&self) {
        let mut ring = self.ring();
        ring.closed = true;
        let head = ring.head();
        drop(ring);
        self.head.send_replace(head);
    }

    pub fn subscribe(
        self: &Arc<Self>,
        start: Start,
        filter: Filter,
    ) -> Result<Reader, TooManyReaders> {
        let mut ring = self.ring();
        let next = match start {
            Start::Now => ring.head(),
            Start::Oldest => ring.first,
            Start::Last(0) => ring.head(),
            Start::Last(count) => {
                let matching = ring
                    .records
                    .iter()
                    .enumerate()
                    .rev()
                    .filter(|(_, record)| filter.matches(record));
                let oldest = matching.take(count).last().map(|(index, _)| index as u64);
                oldest.map_or(ring.head(), |index| ring.first + index)
            }
        };
        let place = Some(Place { next, lost: 0 });
        let free = ring.readers.iter().position(Option::is_none);
        let index = match free {
            Some(index) => {
                ring.readers[index] = place;
                index
            }
            None if ring.readers.len() < self.limits.max_readers => {
                ring.readers.push(place);
                ring.readers.len() - 1
            }
            None => return Err(TooManyReaders(self.limits.max_readers)),
        };
        Ok(Reader { records: self.clone(), head: self.head.subscribe(), index, filter })
    }

    /// Records that are kept now.
    pub fn buffered(&self) -> usize {
        self.ring().records.len()
    }

    /// Records that are kept, how many at most, and how many there have been.
    pub fn kept(&self) -> [u64; 3] {
        let ring = self.ring();
        [ring.records.len() as u64, self.limits.buffer as u64, ring.head()]
    }

    pub fn readers(&self) -> usize {
        self.ring().readers.iter().flatten().count()
    }

    /// Records that readers lost because they were too slow, since the start.
    pub fn lost(&self) -> u64 {
        self.ring().lost
    }

    /// The furthest that a reader is behind, and how far it may be.
    pub fn backlog(&self) -> (u64, u64) {
        let ring = self.ring();
        let head = ring.head();
        let most = ring.readers.iter().flatten().map(|place| head - place.next).max();
        (most.unwrap_or(0), self.limits.backlog as u64)
    }

    /// A thread that panicked while it held the lock leaves a ring that is still whole.
    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn head(&self) -> u64 {
        self.first + self.records.len() as u64
    }

    /// Keeps `buffer` records, more for a reader that is behind, `backlog` at most.
    fn trim(&mut self, limits: &config::Records) {
        let unread =
            self.readers.iter().flatten().map(|place| self.head() - place.next).max().unwrap_or(0);
        let keep = limits.buffer.max((unread as usize).min(limits.backlog));
        let surplus = self.records.len().saturating_sub(keep);
        self.records.drain(..surplus);
        self.first += surplus as u64;
        for place in self.readers.iter_mut().flatten() {
            let missed = self.first.saturating_sub(place.next);
            place.next += missed;
            place.lost += missed;
            self.lost += missed;
        }
        let room = limits.buffer + SLACK;
        if keep == limits.buffer && self.records.capacity() > 2 * room {
            self.records.shrink_to(room);
        }
    }
}

/// One reader, at its own position. Dropping it frees its place.
pub struct Reader {
    records: Arc<Records>,
    head: watch::Receiver<u64>,
    index: usize,
    filter: Filter,
}

/// What one look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Records lost just before those that were read.
    pub lost: u64,
    pub state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There may be more at once.
    More,
    /// Everything has been read.
    Idle,
    /// Everything has been read, and nothing will follow.
    Closed,
}

impl Reader {
    /// Copies some of the records that follow and match to `out`.
    pub fn look(&mut self, out: &mut Vec<Record>) -> Look {
        let mut ring = self.records.ring();
        let Some(mut place) = ring.readers[self.index] else {
            return Look { lost: 0, state: State::Closed };
        };
        let lost = std::mem::take(&mut place.lost);
        let from = (place.next - ring.first) as usize;
        let until = ring.records.len().min(from + LOOK);
        out.extend(
            ring.records.range(from..until).filter(|record| self.filter.matches(record)).cloned(),
        );
        place.next = ring.first + until as u64;
        ring.readers[self.index] = Some(place);
        let state = match () {
            () if until < ring.records.len() => State::More,
            () if ring.closed => State::Closed,
            () => State::Idle,
        };
        Look { lost, state }
    }

    /// Waits until something has been published since the last call.
    pub async fn changed(&mut self) {
        // The sender lives as long as `self.records`.
        let _ = self.head.changed().await;
    }

    pub fn filter(&self) -> &Filter {
        &self.filter
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.records.ring().readers[self.index] = None;
    }
}

#[cfg(test)]
mod tests;
