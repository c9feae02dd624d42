//! What one agent has yet to be told: keys, not values, so that a slow agent gets the newest state and not the history.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use indexmap::IndexSet;
use tokio::sync::Notify;

use super::key::{Key, Str};

/// Keys for which there is room also when it is empty.
const KEPT: usize = 8;

#[derive(Debug)]
pub struct Mailbox {
    /// Where the agent runs.
    pub node: Str,
    /// Wants to be told of every object: only to measure what that costs.
    pub broadcast: bool,
    inner: Mutex<Inner>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    /// In the order in which they came. No more than the agent wants: each once.
    keys: IndexSet<Key>,
    /// When the oldest came.
    since: Option<Instant>,
    /// Changes that came for a key that was there already.
    coalesced: u64,
}

/// What was taken out of a mailbox.
#[derive(Debug)]
pub struct Letters {
    pub keys: Vec<Key>,
    /// Nothing is left in it.
    pub all: bool,
    /// When the oldest of them came.
    pub since: Option<Instant>,
    pub coalesced: u64,
}

impl Mailbox {
    pub fn new(node: Str, broadcast: bool) -> Self {
        Self { node, broadcast, inner: Mutex::default(), filled: Notify::new() }
    }

    pub fn put(&self, key: Key) {
        let mut inner = self.lock();
        if inner.keys.insert(key) {
            inner.since.get_or_insert_with(Instant::now);
        } else {
            inner.coalesced += 1;
        }
        drop(inner);
        self.filled.notify_one();
    }

    pub fn fill(&self, keys: impl Iterator<Item = Key>) {
        let mut inner = self.lock();
        inner.keys.extend(keys);
        inner.since.get_or_insert_with(Instant::now);
        drop(inner);
        self.filled.notify_one();
    }

    /// At most `most`, those that came first.
    pub fn take(&self, most: usize) -> Letters {
        let mut inner = self.lock();
        let most = most.min(inner.keys.len());
        let keys: Vec<Key> = inner.keys.drain(..most).collect();
        let all = inner.keys.is_empty();
        let since = if all { inner.since.take() } else { inner.since };
        if all && inner.keys.capacity() > KEPT {
            inner.keys = IndexSet::new();
        }
        let coalesced = std::mem::take(&mut inner.coalesced);
        Letters { keys, all, since, coalesced }
    }

    pub fn len(&self) -> usize {
        self.lock().keys.len()
    }

    /// Returns when there may be something to take.
    pub async fn filled(&self) {
        self.filled.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(last: u8) -> Key {
        Key::Address([10, 0, 0, last].into())
    }

    #[test]
    fn a_key_is_there_once_however_often_it_changed() {
        let mailbox = Mailbox::new("n".into(), false);
        [1, 2, 1, 3, 1].into_iter().for_each(|last| mailbox.put(key(last)));
        let letters = mailbox.take(2);
        assert_eq!((letters.keys.len(), letters.all, letters.coalesced), (2, false, 2));
        assert!(letters.since.is_some());
        let letters = mailbox.take(2);
        assert_eq!((letters.keys, letters.all, letters.coalesced), (vec![key(3)], true, 0));
        let letters = mailbox.take(2);
        assert!(letters.keys.is_empty() && letters.all && letters.since.is_none());
    }
}
