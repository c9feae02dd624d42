//! Batches that no hub has stored yet, bounded by bytes: the oldest make room, and that is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::pipeline::Batch;

/// Kept until a hub says that it has it.
#[derive(Debug)]
pub struct Spooled {
    pub sequence: u64,
    pub batch: Batch,
    /// What had to make room when it came.
    pub lost: Option<Lost>,
}

/// Rows that no hub will be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    pub rows: u64,
    /// Seconds since 1970.
    pub since_s: u64,
    pub until_s: u64,
}

pub struct Spool {
    inner: Mutex<Inner>,
    /// The last sequence.
    news: watch::Sender<u64>,
    end: watch::Sender<End>,
}

/// Whether all has been handed to a hub's stream, at the end.
#[derive(Clone, Copy, Debug, Default)]
struct End {
    /// Nothing more will be put in.
    closed: bool,
    /// There is a stream, and the last batch that it took.
    sent: Option<u64>,
}

#[derive(Default)]
struct Inner {
    batches: VecDeque<Arc<Spooled>>,
    facts: Facts,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub batches: u64,
    pub bytes: u64,
    pub most_bytes: u64,
    /// Rows that were put in.
    pub rows: u64,
    /// Rows that had to make room.
    pub lost_rows: u64,
    /// The last batch, and the last that a hub has stored.
    pub sequence: u64,
    pub acknowledged: u64,
}

impl Spool {
    pub fn new(most_bytes: usize) -> Self {
        let facts = Facts { most_bytes: most_bytes as u64, ..Facts::default() };
        Self {
            inner: Mutex::new(Inner { batches: VecDeque::new(), facts }),
            news: watch::Sender::new(0),
            end: watch::Sender::default(),
        }
    }

    pub fn push(&self, batch: Batch) {
        let mut inner = self.inner();
        let size = bytes(&batch);
        let mut lost = None;
        while inner.facts.bytes + size > inner.facts.most_bytes
            && let Some(gone) = inner.pop()
        {
            inner.facts.lost_rows += gone.batch.keys.len() as u64;
            let own = Lost {
                rows: gone.batch.keys.len() as u64,
                since_s: gone.batch.start_s,
                until_s: gone.batch.start_s + u64::from(gone.batch.length_s),
            };
            lost = together(together(lost, gone.lost), Some(own));
        }
        inner.facts.sequence += 1;
        inner.facts.rows += batch.keys.len() as u64;
        inner.facts.bytes += size;
        inner.facts.batches += 1;
        let sequence = inner.facts.sequence;
        inner.batches.push_back(Arc::new(Spooled { sequence, batch, lost }));
        drop(inner);
        self.news.send_replace(sequence);
    }

    /// The first batch after `sequence` that is still here.
    pub fn after(&self, sequence: u64) -> Option<Arc<Spooled>> {
        let inner = self.inner();
        let place = inner.batches.partition_point(|it| it.sequence <= sequence);
        inner.batches.get(place).cloned()
    }

    /// A hub has stored all up to `sequence`.
    pub fn acknowledge(&self, sequence: u64) {
        let mut inner = self.inner();
        while inner.batches.front().is_some_and(|it| it.sequence <= sequence) {
            inner.pop();
        }
        let known = sequence.min(inner.facts.sequence);
        inner.facts.acknowledged = inner.facts.acknowledged.max(known);
    }

    /// Nothing more will be put in.
    pub fn close(&self) {
        self.end.send_modify(|end| end.closed = true);
    }

    /// A stream has taken all up to `sequence`; `None`: there is no stream.
    pub fn sent(&self, sequence: Option<u64>) {
        self.end.send_modify(|end| end.sent = sequence);
    }

    /// Returns once it is closed and a stream has taken all, or there is none that could.
    pub async fn told(&self) {
        let last = |end: &End| {
            let sequence = self.inner().facts.sequence;
            end.closed && end.sent.is_none_or(|sent| sent >= sequence)
        };
        // The sender lives as long as this.
        let _ = self.end.subscribe().wait_for(last).await;
    }

    /// Tells when there is a new batch.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    pub fn facts(&self) -> Facts {
        self.inner().facts
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn pop(&mut self) -> Option<Arc<Spooled>> {
        let gone = self.batches.pop_front()?;
        self.facts.bytes -= bytes(&gone.batch);
        self.facts.batches -= 1;
        Some(gone)
    }
}

/// What it takes in memory. Keys are shared with the pipeline, as a rule.
fn bytes(batch: &Batch) -> u64 {
    (batch.columns.len() + batch.keys.len() * size_of::<usize>() + size_of::<Spooled>()) as u64
}

fn together(a: Option<Lost>, b: Option<Lost>) -> Option<Lost> {
    match (a, b) {
        (Some(a), Some(b)) => Some(Lost {
            rows: a.rows + b.rows,
            since_s: a.since_s.min(b.since_s),
            until_s: a.until_s.max(b.until_s),
        }),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(start_s: u64, bytes: usize) -> Batch {
        let columns = vec![0; bytes];
        Batch { start_s, length_s: 10, keys: Vec::new(), columns, columns_bytes: 0 }
    }

    fn sequences(spool: &Spool) -> Vec<u64> {
        let next = |it: &Arc<Spooled>| spool.after(it.sequence);
        std::iter::successors(spool.after(0), next).map(|it| it.sequence).collect()
    }

    #[test]
    fn what_was_stored_goes_and_the_rest_stays() {
        let spool = Spool::new(1 << 20);
        (0..5).for_each(|n| spool.push(batch(n * 10, 100)));
        spool.acknowledge(2);
        assert_eq!(sequences(&spool), [3, 4, 5]);
        spool.acknowledge(1);
        assert_eq!(sequences(&spool), [3, 4, 5]);
        assert_eq!(spool.after(3).unwrap().sequence, 4);
        // Of a hub that knows this node from another life.
        spool.acknowledge(u64::MAX);
        let facts = spool.facts();
        assert_eq!((facts.batches, facts.bytes, facts.acknowledged), (0, 0, 5));
    }

    #[tokio::test]
    async fn the_end_is_when_all_was_taken_or_nobody_takes_it() {
        let spool = Spool::new(1 << 20);
        let told = |spool: &Spool| futures_util::FutureExt::now_or_never(spool.told()).is_some();
        spool.push(batch(0, 1));
        assert!(!told(&spool), "there may be more");
        spool.close();
        assert!(told(&spool), "there is no stream");
        spool.sent(Some(0));
        assert!(!told(&spool));
        spool.sent(Some(1));
        assert!(told(&spool));
    }

    #[test]
    fn the_oldest_make_room_and_that_is_told_with_what_came() {
        let size = bytes(&batch(0, 100));
        let spool = Spool::new(3 * size as usize);
        (0..3).for_each(|n| spool.push(batch(n * 10, 100)));
        assert_eq!(spool.after(2).unwrap().lost, None);
        spool.push(batch(30, 100));
        assert_eq!(sequences(&spool), [2, 3, 4]);
        let lost = |since_s, until_s| Some(Lost { rows: 0, since_s, until_s });
        assert_eq!(spool.after(3).unwrap().lost, lost(0, 10));
        // One that is larger than all: what the others told of goes with it.
        spool.push(batch(40, 4 * size as usize));
        assert_eq!(sequences(&spool), [5]);
        assert_eq!(spool.after(0).unwrap().lost, lost(0, 40));
    }
}
