//! Network namespaces, learnt from sockets whose cgroup told whose they are. The containers of a pod share one;
//! the host's is nobody's, however many hostNetwork pods live in it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::clock::Moment;
use super::counters::Table;

/// An inode number that was not seen for so long may be another namespace's by now.
const IDLE: Duration = Duration::from_secs(600);

#[derive(Debug)]
struct Entry {
    /// `None`: pods contradict each other (one entered the other's namespace, or the number was reused).
    pod: Option<Arc<str>>,
    seen: Moment,
}

#[derive(Debug)]
pub struct Namespaces {
    host: Option<u32>,
    entries: HashMap<u32, Entry>,
    limit: usize,
    evicted: u64,
}

impl Namespaces {
    pub fn new(host: Option<u32>, limit: usize) -> Self {
        Self { host, entries: HashMap::new(), limit, evicted: 0 }
    }

    pub fn is_host(&self, netns: u32) -> bool {
        netns != 0 && self.host == Some(netns)
    }

    /// Known, and not the host's.
    pub fn is_private(&self, netns: u32) -> bool {
        netns != 0 && self.host.is_some_and(|host| host != netns)
    }

    /// A hostNetwork pod was seen in it.
    pub fn learn_host(&mut self, netns: u32) {
        if netns != 0 && self.host.is_none() {
            self.host = Some(netns);
            self.entries.remove(&netns);
        }
    }

    /// A pod with a network of its own was seen in it.
    pub fn learn(&mut self, netns: u32, uid: &Arc<str>, at: Moment) {
        if netns == 0 || self.is_host(netns) {
            return;
        }
        if let Some(entry) = self.entries.get_mut(&netns) {
            match &entry.pod {
                Some(known) if Arc::ptr_eq(known, uid) || known == uid => entry.seen = at,
                Some(_) => *entry = Entry { pod: None, seen: at },
                None => {}
            }
            return;
        }
        if self.entries.len() >= self.limit {
            self.evicted += 1;
            return;
        }
        self.entries.insert(netns, Entry { pod: Some(uid.clone()), seen: at });
    }

    pub fn pod(&self, netns: u32) -> Option<&Arc<str>> {
        self.entries.get(&netns)?.pod.as_ref()
    }

    /// The pod is gone: its namespace's number is free, and so are those it quarrelled about.
    pub fn forget(&mut self, uid: &str) {
        self.entries.retain(|_, entry| entry.pod.as_deref().is_some_and(|pod| pod != uid));
    }

    pub fn expire(&mut self, at: Moment) {
        self.entries.retain(|_, entry| at.since(entry.seen) < IDLE);
    }

    pub fn table(&self) -> Table {
        Table {
            name: "network_namespaces",
            entries: self.entries.len() as u64,
            max_entries: self.limit as u64,
            evicted: self.evicted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_is_nobodys_and_a_quarrel_is_not_settled_by_guessing() {
        let (one, two): (Arc<str>, Arc<str>) = ("one".into(), "two".into());
        let mut namespaces = Namespaces::new(Some(1), 2);
        let start = Moment::default();
        namespaces.learn(1, &one, start);
        assert!(namespaces.pod(1).is_none());
        namespaces.learn(5, &one, start);
        assert_eq!(namespaces.pod(5), Some(&one));
        namespaces.learn(5, &two, start);
        assert_eq!(namespaces.pod(5), None);
        namespaces.forget("one");
        namespaces.learn(5, &two, start);
        assert_eq!(namespaces.pod(5), Some(&two));
        namespaces.learn(6, &one, start);
        namespaces.learn(7, &one, start);
        assert_eq!((namespaces.pod(7), namespaces.table().evicted), (None, 1));
        namespaces.expire(start.after(IDLE));
        assert_eq!(namespaces.table().entries, 0);
    }

    #[test]
    fn a_host_learnt_late_drops_what_was_believed() {
        let mut namespaces = Namespaces::new(None, 2);
        assert!(!namespaces.is_private(9));
        namespaces.learn(9, &"one".into(), Moment::default());
        namespaces.learn_host(9);
        assert!(namespaces.pod(9).is_none() && namespaces.is_host(9) && namespaces.is_private(8));
    }
}
