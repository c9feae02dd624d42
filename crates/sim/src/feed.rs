//! The cluster's notices about itself, as late as those of a real API server: a container runs, and may be gone
//! again, before anybody is told of it. The order of things is kept.

use std::collections::VecDeque;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::{Duration, Instant};

use model::Change;

use crate::random;

/// Changes that a receiver may leave unread before more of them wait here.
pub(crate) const QUEUE: usize = 1024;
/// Waiting changes from which on the cluster should make no new ones.
const CROWDED: usize = 512;

#[derive(Debug)]
pub(crate) struct Feed {
    out: SyncSender<Change>,
    waiting: VecDeque<(Instant, Change)>,
    lag: Lag,
}

/// How long after the fact a notice comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    pub least: Duration,
    pub most: Duration,
}

impl Lag {
    /// Notices at once.
    pub const NONE: Self = Self { least: Duration::ZERO, most: Duration::ZERO };

    fn draw(self) -> Duration {
        let span = self.most.saturating_sub(self.least);
        self.least + span.mul_f64((random::number() % 1000) as f64 / 1000.0)
    }
}

impl Default for Lag {
    fn default() -> Self {
        Self { least: Duration::from_millis(20), most: Duration::from_millis(400) }
    }
}

impl Feed {
    pub fn new(out: SyncSender<Change>, lag: Lag) -> Self {
        Self { out, waiting: VecDeque::new(), lag }
    }

    /// Tells of `change` in a while, and not before what was to be told earlier.
    pub fn announce(&mut self, change: Change, now: Instant) {
        let due = now + self.lag.draw();
        let due = self.waiting.back().map_or(due, |(last, _)| due.max(*last));
        self.waiting.push_back((due, change));
    }

    /// Tells of `change` as soon as what was to be told earlier is told.
    pub fn announce_next(&mut self, change: Change, now: Instant) {
        let due = self.waiting.back().map_or(now, |(last, _)| *last);
        self.waiting.push_back((due, change));
    }

    /// Sends what is due, as far as the receiver takes it. False if there is no receiver any more.
    pub fn send_due(&mut self, now: Instant) -> bool {
        while self.waiting.front().is_some_and(|(due, _)| *due <= now) {
            let Some((due, change)) = self.waiting.pop_front() else { break };
            match self.out.try_send(change) {
                Ok(()) => {}
                Err(TrySendError::Full(change)) => {
                    self.waiting.push_front((due, change));
                    return true;
                }
                Err(TrySendError::Disconnected(_)) => {
                    self.waiting.clear();
                    return false;
                }
            }
        }
        true
    }

    /// Whether the receiver is far behind.
    pub fn is_crowded(&self) -> bool {
        self.waiting.len() > CROWDED
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    #[test]
    fn notices_come_late_but_in_order() {
        let (out, changes) = sync_channel(2);
        let second = Duration::from_secs(1);
        let mut feed = Feed::new(out, Lag { least: second, most: 2 * second });
        let start = Instant::now();
        let gone = |uid: &str| Change::PodGone { uid: uid.into() };
        feed.announce(gone("a"), start);
        feed.announce(gone("b"), start);
        feed.announce_next(gone("c"), start);
        assert!(feed.send_due(start + second / 2));
        assert!(changes.try_recv().is_err(), "too early");
        assert!(feed.send_due(start + 2 * second));
        assert!(feed.send_due(start + 2 * second), "a full queue is no end");
        assert_eq!(changes.try_iter().collect::<Vec<_>>(), [gone("a"), gone("b")]);
        assert!(feed.send_due(start + 2 * second));
        assert_eq!(changes.try_iter().collect::<Vec<_>>(), [gone("c")]);
        drop(changes);
        feed.announce(gone("d"), start);
        assert!(!feed.send_due(start + 4 * second));
    }
}
