//! The newest changes, numbered.

use std::collections::VecDeque;
use std::time::Duration;

use model::Timestamp;

use super::key::Key;

/// Each change has a number, one more than the one before it. The numbers of another epoch count another life.
#[derive(Debug)]
pub struct Log {
    /// Drawn when the hub starts; never 0.
    pub epoch: u64,
    sequence: u64,
    keys: VecDeque<Key>,
    /// Moments from the first change that is kept to the last: the number of the change before each.
    moments: VecDeque<(Timestamp, u64)>,
    limit: usize,
    remember_ns: u64,
}

/// Into so many parts the time is divided for which changes are remembered.
const PARTS: u64 = 16;

impl Log {
    /// Of at most `limit` changes, and none that is much older than `remember`.
    pub fn new(epoch: u64, limit: usize, remember: Duration) -> Self {
        Self {
            epoch,
            sequence: 0,
            keys: VecDeque::new(),
            moments: VecDeque::new(),
            limit,
            remember_ns: u64::try_from(remember.as_nanos()).unwrap_or(u64::MAX),
        }
    }

    /// The last change's number; 0 before the first.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    pub fn push(&mut self, key: Key, now: Timestamp) {
        if self.keys.len() >= self.limit {
            self.keys.pop_front();
        }
        let part_ns = self.remember_ns / PARTS;
        if self.moments.back().is_none_or(|(then, _)| now.0 > then.0.saturating_add(part_ns)) {
            self.moments.push_back((now, self.sequence));
        }
        self.sequence += 1;
        self.keys.push_back(key);
        self.forget(now);
    }

    /// Two for each that comes are enough to get rid of all.
    fn forget(&mut self, now: Timestamp) {
        for _ in 0..2 {
            let Some((then, _)) = self.moments.front() else { return };
            let last = then.0.saturating_add(self.remember_ns / PARTS);
            if now.0 <= last.saturating_add(self.remember_ns) {
                return;
            }
            // What came until then is too old.
            let end = self.moments.get(1).map_or(self.sequence, |(_, before)| *before);
            if self.sequence - (self.keys.len() as u64) < end {
                self.keys.pop_front();
            } else {
                self.moments.pop_front();
            }
        }
    }

    /// So many changes that nobody can have missed: nobody has been told anything yet.
    pub fn skip(&mut self, changes: usize) {
        self.sequence += changes as u64;
    }

    /// What changed after `sequence` of `epoch`, oldest first; `None` where that is no longer known, or never was.
    pub fn since(&self, epoch: u64, sequence: u64) -> Option<impl Iterator<Item = &Key>> {
        let behind = self.sequence.checked_sub(sequence).filter(|_| epoch == self.epoch)?;
        let behind = usize::try_from(behind).ok().filter(|it| *it <= self.keys.len())?;
        Some(self.keys.range(self.keys.len() - behind..))
    }

    pub fn len(&self) -> usize {
        self.keys.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(last: u8) -> Key {
        Key::Address([10, 0, 0, last].into())
    }

    #[test]
    fn what_was_missed_is_known_as_far_back_as_the_log_goes() {
        let mut log = Log::new(7, 3, Duration::MAX);
        let since = |log: &Log, epoch, sequence| -> Option<Vec<Key>> {
            Some(log.since(epoch, sequence)?.cloned().collect())
        };
        assert_eq!(since(&log, 7, 0), Some(vec![]));
        assert_eq!(since(&log, 7, 1), None, "ahead: of another life");
        (1..=4).for_each(|last| log.push(key(last), Timestamp(0)));
        assert_eq!((log.sequence(), log.len()), (4, 3));
        assert_eq!(since(&log, 7, 4), Some(vec![]));
        assert_eq!(since(&log, 7, 2), Some(vec![key(3), key(4)]));
        assert_eq!(since(&log, 7, 1), Some(vec![key(2), key(3), key(4)]));
        assert_eq!(since(&log, 7, 0), None, "the first is forgotten");
        assert_eq!(since(&log, 8, 4), None);
    }

    #[test]
    fn what_is_long_past_is_forgotten() {
        let mut log = Log::new(7, 1 << 20, Duration::from_secs(3600));
        let second = |it: u64| Timestamp(it * 1_000_000_000);
        (0..10_000).for_each(|at| log.push(key(at as u8), second(at)));
        let part = 3600 / PARTS as usize;
        assert!((3600..3600 + 2 * part).contains(&log.len()), "{}", log.len());
        assert!(log.moments.len() <= PARTS as usize + 2, "{}", log.moments.len());
        let last = |log: &Log| log.since(7, 9_999).map(|it| it.cloned().collect::<Vec<Key>>());
        assert_eq!(last(&log), Some(vec![key(9_999_u64 as u8)]));
        assert!(log.since(7, 10_000 - 3600).is_some());
        assert!(log.since(7, 10_000 - 3600 - 2 * part as u64).is_none());
        // A burst after a long rest: all before it goes while it comes.
        (0..5_000).for_each(|_| log.push(key(1), second(20_000)));
        assert_eq!(log.len(), 5_000);
        assert_eq!(last(&log).map(|it| it.len()), None, "too far behind");
    }
}
