//! The names by which addresses were looked up, each for the network namespace that asked: what an address is called
//! depends on who calls it. Only addresses outside the cluster have a use for them.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use model::{Identity, Lookup};

use super::clock::Moment;
use super::counters::Table;

/// How long a name holds, whatever the answer says: a connection follows its lookup within seconds, and lives on.
const MIN_LIFE: Duration = Duration::from_secs(30);
const MAX_LIFE: Duration = Duration::from_secs(3600);
/// Names of one address; the oldest makes room.
const MAX_NAMES: usize = 4;
/// Entries looked at for one that may go.
const CHANCES: usize = 8;

/// The network namespace that asked (0: not known, any on this node), and the address that it was told.
type Key = (u32, IpAddr);

#[derive(Debug)]
struct Entry {
    /// Newest first, and until when.
    names: Vec<(Arc<str>, Moment)>,
    identity: Arc<Identity>,
    used: Moment,
}

#[derive(Debug)]
pub struct Lookups {
    entries: HashMap<Key, Entry>,
    /// One for each entry, and when it was queued.
    order: VecDeque<(Moment, Key)>,
    /// Who is behind an address outside, but for its names.
    world: Arc<Identity>,
    limit: usize,
    evicted: u64,
}

impl Lookups {
    pub fn new(world: Arc<Identity>, limit: usize) -> Self {
        Self { entries: HashMap::new(), order: VecDeque::new(), world, limit, evicted: 0 }
    }

    /// Takes in what an answer told; the addresses that got a name which they had not.
    pub fn learn(&mut self, netns: u32, lookup: &Lookup, at: Moment) -> Vec<IpAddr> {
        let life = Duration::from_secs(lookup.ttl_s.into()).clamp(MIN_LIFE, MAX_LIFE);
        let mut named = Vec::new();
        for ip in &lookup.addresses {
            let ip = ip.to_canonical();
            if self.insert((netns, ip), &lookup.name, at.after(life), at) {
                named.push(ip);
            }
        }
        named
    }

    fn insert(&mut self, key: Key, name: &Arc<str>, until: Moment, at: Moment) -> bool {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.used = at;
            if let Some((first, held)) = entry.names.first_mut()
                && first == name
            {
                *held = until.max(*held);
                return false;
            }
            entry.names.retain(|(known, held)| known != name && *held > at);
            entry.names.insert(0, (name.clone(), until));
            entry.names.truncate(MAX_NAMES);
            entry.identity = called(&self.world, &entry.names);
            return true;
        }
        if self.entries.len() >= self.limit {
            self.make_room(at);
        }
        let names = vec![(name.clone(), until)];
        let identity = called(&self.world, &names);
        self.entries.insert(key, Entry { names, identity, used: at });
        self.order.push_back((at, key));
        true
    }

    /// The least recently queued that was not used since then; else the last that was looked at.
    fn make_room(&mut self, at: Moment) {
        for chance in 1..=CHANCES {
            let Some((queued, key)) = self.order.pop_front() else { return };
            let used = self.entries.get(&key).is_some_and(|entry| entry.used > queued);
            if used && chance < CHANCES {
                self.order.push_back((at, key));
            } else {
                self.entries.remove(&key);
                self.evicted += 1;
                return;
            }
        }
    }

    /// Who `ip` is to the namespace, if it was looked up by name. A name in use holds on.
    pub fn find(&mut self, netns: u32, ip: IpAddr, at: Moment) -> Option<Arc<Identity>> {
        let entry = self.entries.get_mut(&(netns, ip))?;
        let (_, until) = entry.names.first_mut().filter(|(_, until)| *until > at)?;
        *until = (*until).max(at.after(MIN_LIFE));
        entry.used = at;
        Some(entry.identity.clone())
    }

    pub fn expire(&mut self, at: Moment) {
        while let Some((_, key)) =
            self.order.pop_front_if(|(queued, _)| at.since(*queued) >= MIN_LIFE)
        {
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            let before = entry.names.len();
            entry.names.retain(|(_, until)| *until > at);
            if entry.names.is_empty() {
                self.entries.remove(&key);
                continue;
            }
            if entry.names.len() < before {
                entry.identity = called(&self.world, &entry.names);
            }
            self.order.push_back((at, key));
        }
    }

    pub fn table(&self) -> Table {
        Table {
            name: "lookups",
            entries: self.entries.len() as u64,
            max_entries: self.limit as u64,
            evicted: self.evicted,
        }
    }
}

fn called(world: &Identity, names: &[(Arc<str>, Moment)]) -> Arc<Identity> {
    let names = names.iter().map(|(name, _)| name.clone()).collect();
    Arc::new(Identity { names, ..world.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str, ips: &[&str], ttl_s: u32) -> Lookup {
        let addresses = ips.iter().map(|ip| ip.parse().unwrap()).collect();
        Lookup { name: name.into(), code: Some(0), addresses, ttl_s, ..Lookup::default() }
    }

    fn second(seconds: u64) -> Moment {
        Moment::default().after(Duration::from_secs(seconds))
    }

    fn lookups(limit: usize) -> Lookups {
        Lookups::new(super::super::standalone::external("world"), limit)
    }

    #[track_caller]
    fn check(lookups: &mut Lookups, netns: u32, ip: &str, at: u64, expected: &[&str]) {
        let found = lookups.find(netns, ip.parse().unwrap(), second(at));
        let names: Vec<_> = found.iter().flat_map(|identity| &identity.names).collect();
        assert_eq!(names.iter().map(|name| &***name).collect::<Vec<_>>(), expected);
        if let Some(identity) = found {
            assert_eq!(&*identity.workload.as_ref().unwrap().name, "world");
        }
    }

    #[test]
    fn a_name_is_of_the_namespace_that_asked() {
        let mut lookups = lookups(10);
        let named = lookups.learn(1, &lookup("a", &["192.0.2.1", "fd00::1"], 60), second(0));
        assert_eq!(named.len(), 2);
        assert!(lookups.learn(1, &lookup("a", &["192.0.2.1"], 60), second(0)).is_empty());
        check(&mut lookups, 1, "192.0.2.1", 1, &["a"]);
        check(&mut lookups, 1, "fd00::1", 1, &["a"]);
        check(&mut lookups, 2, "192.0.2.1", 1, &[]);
        lookups.learn(1, &lookup("b", &["::ffff:192.0.2.1"], 60), second(2));
        check(&mut lookups, 1, "192.0.2.1", 2, &["b", "a"]);
    }

    #[test]
    fn names_end_within_limits_but_not_in_use() {
        let mut lookups = lookups(10);
        lookups.learn(1, &lookup("short", &["192.0.2.1"], 1), second(0));
        lookups.learn(1, &lookup("long", &["192.0.2.2"], 100_000), second(0));
        check(&mut lookups, 1, "192.0.2.1", 29, &["short"]);
        check(&mut lookups, 1, "192.0.2.1", 58, &["short"]);
        check(&mut lookups, 1, "192.0.2.1", 88, &[]);
        lookups.expire(second(3599));
        assert_eq!(lookups.table().entries, 1);
        lookups.expire(second(3700));
        assert_eq!((lookups.table().entries, lookups.order.len()), (0, 0));
        assert_eq!(lookups.table().evicted, 0);
    }

    #[test]
    fn a_full_table_keeps_what_is_used() {
        let mut lookups = lookups(3);
        for (name, ip) in [("a", "192.0.2.1"), ("b", "192.0.2.2"), ("c", "192.0.2.3")] {
            lookups.learn(1, &lookup(name, &[ip], 600), second(0));
        }
        check(&mut lookups, 1, "192.0.2.1", 1, &["a"]);
        lookups.learn(1, &lookup("d", &["192.0.2.4"], 600), second(2));
        check(&mut lookups, 1, "192.0.2.1", 3, &["a"]);
        check(&mut lookups, 1, "192.0.2.2", 3, &[]);
        assert_eq!((lookups.table().entries, lookups.table().evicted), (3, 1));
        // Names of one address are bounded as well.
        for number in 0..10 {
            lookups.learn(1, &lookup(&format!("n{number}"), &["192.0.2.1"], 600), second(4));
        }
        check(&mut lookups, 1, "192.0.2.1", 5, &["n9", "n8", "n7", "n6"]);
    }
}
