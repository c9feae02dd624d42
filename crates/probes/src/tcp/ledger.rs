//! What of each live connection has been told: a byte is told by a read or by the connection's end, and by one of them
//! only, whichever this side hears of first.

use std::sync::{Mutex, MutexGuard, PoisonError};

use hashbrown::{HashMap, HashSet};
use model::Counters;

/// A connection: the address of its socket, which is reused, and its cookie; without one (before Linux 5.12) when it
/// began.
pub type Key = (u64, u64);

#[derive(Default)]
pub struct Ledger(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// Of connections that were read while they lived.
    told: HashMap<Key, Counters>,
    /// While sockets are read: those that ended since that began. What was read of them before is void.
    ended: Option<HashSet<Key>>,
}

impl Ledger {
    /// A read of all sockets begins. Only one may at a time.
    pub fn begin(&self) {
        self.lock().ended = Some(HashSet::new());
    }

    /// The read is over. `lives` tells which connections still do: of others the end was lost.
    pub fn finish(&self, sockets: u64, lives: impl Fn(Key) -> bool) {
        let mut inner = self.lock();
        inner.ended = None;
        if inner.told.len() as u64 > sockets + 1024 {
            inner.told.retain(|&key, _| lives(key));
        }
    }

    /// A read found that the connection has moved `now` since it is known. What of that is new; `None` if nothing is, if
    /// the connection has ended, or if the kernel was counting: it takes retransmits and the FIN out of the bytes after
    /// it has put them in. The next read has it right.
    pub fn read(&self, key: Key, now: Counters) -> Option<Counters> {
        let mut inner = self.lock();
        if inner.ended.as_ref().is_some_and(|ended| ended.contains(&key)) {
            return None;
        }
        let told = inner.told.entry(key).or_default();
        let counts = |it: &Counters| {
            [it.bytes_sent, it.bytes_received, it.packets_sent, it.packets_received]
        };
        let (before, after) = (counts(told), counts(&now));
        if before == after || before.iter().zip(&after).any(|(before, after)| after < before) {
            return None;
        }
        let new = rest(&now, told);
        *told = now;
        Some(new)
    }

    /// The connection ended, having moved `now` since it is known. What of that no read has told.
    pub fn end(&self, key: Key, now: Counters) -> Counters {
        let mut inner = self.lock();
        if let Some(ended) = &mut inner.ended {
            ended.insert(key);
        }
        rest(&now, &inner.told.remove(&key).unwrap_or_default())
    }

    /// The connection ended without a word. What reads have told of it.
    pub fn forget(&self, key: Key) -> Counters {
        self.lock().told.remove(&key).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn rest(now: &Counters, told: &Counters) -> Counters {
    Counters {
        bytes_sent: now.bytes_sent.saturating_sub(told.bytes_sent),
        bytes_received: now.bytes_received.saturating_sub(told.bytes_received),
        packets_sent: now.packets_sent.saturating_sub(told.packets_sent),
        packets_received: now.packets_received.saturating_sub(told.packets_received),
        retransmits: now.retransmits.saturating_sub(told.retransmits),
        rtt_us: now.rtt_us,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = (0xffff_8000_0000_1000, 7);

    fn sent(bytes_sent: u64) -> Counters {
        Counters { bytes_sent, packets_sent: bytes_sent, ..Counters::default() }
    }

    #[test]
    fn each_byte_is_told_once() {
        let ledger = Ledger::default();
        ledger.begin();
        assert_eq!(ledger.read(KEY, sent(5)), Some(sent(5)));
        assert_eq!(ledger.read(KEY, sent(5)), None);
        assert_eq!(ledger.read(KEY, sent(4)), None, "read while the kernel counted");
        assert_eq!(ledger.read(KEY, sent(9)), Some(sent(4)));
        ledger.finish(1, |_| true);
        assert_eq!(ledger.end(KEY, sent(10)), sent(1));
        assert_eq!(ledger.end((1, 1), sent(3)), sent(3), "never read");
    }

    #[test]
    fn what_was_read_of_a_connection_that_has_ended_is_void() {
        let ledger = Ledger::default();
        ledger.begin();
        assert_eq!(ledger.end(KEY, sent(10)), sent(10));
        assert_eq!(ledger.read(KEY, sent(8)), None);
        ledger.finish(0, |_| true);
        // The same memory, in a kernel without cookies.
        assert_eq!(ledger.read(KEY, sent(2)), Some(sent(2)));
    }

    #[test]
    fn connections_whose_end_was_lost_are_forgotten() {
        let ledger = Ledger::default();
        for cookie in 1..=2000 {
            ledger.read((0, cookie), sent(1));
        }
        ledger.finish(2000, |_| panic!("not asked for what may well live"));
        ledger.finish(900, |(_, cookie)| cookie <= 900);
        assert_eq!(ledger.forget((0, 900)), sent(1));
        assert_eq!(ledger.forget((0, 901)), Counters::default());
    }
}
