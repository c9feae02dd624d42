//! Records that wait for a name: bounded, in order of arrival, woken by what they wait for or by time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashMap;
use model::Observation;

use super::clock::Moment;
use super::peers::Tuple;
use crate::backend::Dial;

/// What a record waits for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    Cgroup(u64),
    /// A network namespace, by its inode number.
    Namespace(u32),
    Pod(Arc<str>),
    Address(IpAddr),
    Peer(Tuple),
    /// The name of an address outside, to a network namespace.
    Lookup(u32, IpAddr),
    /// Where the kernel sent a connection to a service.
    Backend(Dial),
}

#[derive(Debug)]
pub struct Parked {
    pub observation: Observation,
    /// When it came.
    pub since: Moment,
    /// Order of arrival.
    sequence: u64,
    /// What it waits for and until when; `None` once it was woken.
    wait: Option<(Key, Moment)>,
}

#[derive(Debug, Default)]
pub struct Pending {
    parked: BTreeMap<u64, Parked>,
    deadlines: BTreeSet<(Moment, u64)>,
    keys: HashMap<Key, BTreeSet<u64>>,
    ready: BTreeSet<u64>,
    sequence: u64,
}

impl Pending {
    pub fn len(&self) -> usize {
        self.parked.len()
    }

    pub fn park(&mut self, observation: Observation, since: Moment, key: Key, deadline: Moment) {
        self.sequence += 1;
        self.insert(
            Parked { observation, since, sequence: self.sequence, wait: None },
            key,
            deadline,
        );
    }

    /// Parks again what was taken, in its old place.
    pub fn put_back(&mut self, parked: Parked, key: Key, deadline: Moment) {
        self.insert(parked, key, deadline);
    }

    fn insert(&mut self, mut parked: Parked, key: Key, deadline: Moment) {
        self.deadlines.insert((deadline, parked.sequence));
        self.keys.entry(key.clone()).or_default().insert(parked.sequence);
        parked.wait = Some((key, deadline));
        self.parked.insert(parked.sequence, parked);
    }

    /// Makes ready all that wait for `key`.
    pub fn wake(&mut self, key: &Key) {
        let Some(sequences) = self.keys.remove(key) else { return };
        for sequence in sequences {
            if let Some(parked) = self.parked.get_mut(&sequence)
                && let Some((_, deadline)) = parked.wait.take()
            {
                self.deadlines.remove(&(deadline, sequence));
                self.ready.insert(sequence);
            }
        }
    }

    /// Makes ready all that wait for what `of` chooses.
    pub fn wake_all(&mut self, of: impl Fn(&Key) -> bool) {
        let keys: Vec<Key> = self.keys.keys().filter(|key| of(key)).cloned().collect();
        for key in keys {
            self.wake(&key);
        }
    }

    /// The earliest of the woken.
    pub fn take_ready(&mut self) -> Option<Parked> {
        let sequence = self.ready.pop_first()?;
        self.parked.remove(&sequence)
    }

    /// The earliest deadline.
    pub fn due(&self) -> Option<Moment> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// The next whose deadline has come.
    pub fn take_due(&mut self, at: Moment) -> Option<Parked> {
        let &(deadline, sequence) = self.deadlines.first()?;
        if deadline > at {
            return None;
        }
        self.take(sequence)
    }

    /// The one that came first of all.
    pub fn take_oldest(&mut self) -> Option<Parked> {
        let (&sequence, _) = self.parked.first_key_value()?;
        self.take(sequence)
    }

    fn take(&mut self, sequence: u64) -> Option<Parked> {
        let mut parked = self.parked.remove(&sequence)?;
        self.ready.remove(&sequence);
        if let Some((key, deadline)) = parked.wait.take() {
            self.deadlines.remove(&(deadline, sequence));
            if let Some(sequences) = self.keys.get_mut(&key) {
                sequences.remove(&sequence);
                if sequences.is_empty() {
                    self.keys.remove(&key);
                }
            }
        }
        Some(parked)
    }

    #[cfg(test)]
    pub fn is_clear(&self) -> bool {
        self.parked.is_empty()
            && self.deadlines.is_empty()
            && self.keys.is_empty()
            && self.ready.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::directory::observation;
    use super::*;

    #[test]
    fn order_is_kept_and_nothing_stays_behind() {
        let (mut pending, start) = (Pending::default(), Moment::default());
        let late = start.after(Duration::from_secs(1));
        let see = |port: u16| observation(&format!("0@0 10.0.0.1:{port} > 10.0.0.2:1 opened"));
        pending.park(see(1), start, Key::Cgroup(1), late);
        pending.park(see(2), start, Key::Cgroup(2), late);
        pending.park(see(3), start, Key::Cgroup(1), late);
        pending.park(see(4), start, Key::Address([10, 0, 0, 9].into()), start);
        assert_eq!(pending.due(), Some(start));
        let port = |parked: Option<Parked>| parked.map(|parked| parked.observation.local.port());
        assert_eq!(port(pending.take_ready()), None);
        pending.wake(&Key::Cgroup(1));
        // Woken, and still the first of all.
        let first = pending.take_ready().unwrap();
        pending.put_back(first, Key::Cgroup(2), late);
        assert_eq!(port(pending.take_due(start)), Some(4));
        assert_eq!(port(pending.take_due(start)), None);
        assert_eq!(pending.due(), Some(late));
        pending.wake(&Key::Cgroup(2));
        assert_eq!(port(pending.take_oldest()), Some(1));
        assert_eq!(port(pending.take_ready()), Some(2));
        assert_eq!(port(pending.take_ready()), Some(3));
        assert!(pending.is_clear());
    }
}
