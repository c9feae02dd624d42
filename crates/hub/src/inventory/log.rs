//! The newest changes, numbered.

use std::collections::VecDeque;

use super::key::Key;

/// Each change has a number, one more than the one before it. The numbers of another epoch count another life.
#[derive(Debug)]
pub struct Log {
    /// Drawn when the hub starts; never 0.
    pub epoch: u64,
    sequence: u64,
    keys: VecDeque<Key>,
    limit: usize,
}

impl Log {
    pub fn new(epoch: u64, limit: usize) -> Self {
        Self { epoch, sequence: 0, keys: VecDeque::new(), limit }
    }

    /// The last change's number; 0 before the first.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    pub fn push(&mut self, key: Key) {
        if self.keys.len() >= self.limit {
            self.keys.pop_front();
        }
        self.sequence += 1;
        self.keys.push_back(key);
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
        let mut log = Log::new(7, 3);
        let since = |log: &Log, epoch, sequence| -> Option<Vec<Key>> {
            Some(log.since(epoch, sequence)?.cloned().collect())
        };
        assert_eq!(since(&log, 7, 0), Some(vec![]));
        assert_eq!(since(&log, 7, 1), None, "ahead: of another life");
        (1..=4).for_each(|last| log.push(key(last)));
        assert_eq!((log.sequence(), log.len()), (4, 3));
        assert_eq!(since(&log, 7, 4), Some(vec![]));
        assert_eq!(since(&log, 7, 2), Some(vec![key(3), key(4)]));
        assert_eq!(since(&log, 7, 1), Some(vec![key(2), key(3), key(4)]));
        assert_eq!(since(&log, 7, 0), None, "the first is forgotten");
        assert_eq!(since(&log, 8, 4), None);
    }
}
