//! Network namespaces, learnt from sockets whose cgroup told whose they are. The containers of a pod share one;
//! the host's is nobody's, however many hostNetwork pods live in it.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use model::Identity;

use super::clock::Moment;
use super::counters::Table;

/// An inode number that was not seen for so long may be another namespace's by now.
const IDLE: Duration = Duration::from_secs(600);
/// How long the namespace of a pod that is gone stays its own, for what is told only at the end of an interval.
const LINGER: Duration = Duration::from_secs(30);

/// Whose a network namespace is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// By uid.
    Pod(Arc<str>),
    /// What no feed names.
    Container(Arc<Identity>),
    /// By uid: a pod outside of the scope.
    Foreign(Arc<str>),
}

impl Holder {
    /// Its uid, or id: what its containers have in common.
    pub fn key(&self) -> &str {
        match self {
            Self::Pod(uid) | Self::Foreign(uid) => uid,
            Self::Container(identity) => {
                identity.pod_uid.as_ref().or(identity.container.as_ref()).map_or("", |key| key)
            }
        }
    }

    fn is_foreign(&self) -> bool {
        matches!(self, Self::Foreign(_))
    }
}

#[derive(Debug)]
struct Entry {
    /// `None`: pods contradict each other (one entered the other's namespace, or the number was reused).
    holder: Option<Holder>,
    seen: Moment,
    /// The pod is gone: whoever comes next takes it over.
    gone: bool,
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

    pub fn host(&self) -> Option<u32> {
        self.host
    }

    /// Whether a namespace of `key` is known.
    pub fn has(&self, key: &str) -> bool {
        let holders = self.entries.values().filter(|entry| !entry.gone);
        holders.filter_map(|entry| entry.holder.as_ref()).any(|holder| holder.key() == key)
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

    /// Whether `key` holds it; if so, it was seen again.
    pub fn confirm(&mut self, netns: u32, key: &str, at: Moment) -> bool {
        match self.entries.get_mut(&netns) {
            Some(Entry { holder: Some(holder), seen, gone: false }) if holder.key() == key => {
                *seen = at;
                true
            }
            _ => false,
        }
    }

    /// One with a network of its own was seen in it. True if that is news.
    pub fn learn(&mut self, netns: u32, holder: &Holder, at: Moment) -> bool {
        if netns == 0 || self.is_host(netns) {
            return false;
        }
        if let Some(entry) = self.entries.get_mut(&netns) {
            match &entry.holder {
                Some(known) if known.key() == holder.key() => {
                    (entry.seen, entry.gone) = (at, false);
                    return false;
                }
                // What other agents' pods do need not make sense here.
                Some(known) if entry.gone || known.is_foreign() || holder.is_foreign() => {}
                Some(_) => {
                    *entry = Entry { holder: None, seen: at, gone: false };
                    return false;
                }
                None => return false,
            }
        } else if self.entries.len() >= self.limit {
            self.evicted += 1;
            return false;
        }
        self.entries.insert(netns, Entry { holder: Some(holder.clone()), seen: at, gone: false });
        true
    }

    /// Who holds it, and whether that one is gone.
    pub fn holder(&self, netns: u32) -> Option<(&Holder, bool)> {
        let entry = self.entries.get(&netns)?;
        Some((entry.holder.as_ref()?, entry.gone))
    }

    /// The pod is gone: its namespace's number is free soon, and those it quarrelled about are now.
    pub fn end(&mut self, uid: &str, at: Moment) {
        self.entries.retain(|_, entry| {
            let Some(holder) = &entry.holder else { return false };
            if holder.key() == uid {
                (entry.gone, entry.seen) = (true, at);
            }
            true
        });
    }

    pub fn expire(&mut self, at: Moment) {
        self.entries
            .retain(|_, entry| at.since(entry.seen) < if entry.gone { LINGER } else { IDLE });
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

    fn pod(uid: &str) -> Holder {
        Holder::Pod(uid.into())
    }

    #[test]
    fn the_hosts_is_nobodys_and_a_quarrel_is_not_settled_by_guessing() {
        let (one, two) = (pod("one"), pod("two"));
        let mut namespaces = Namespaces::new(Some(1), 2);
        let start = Moment::default();
        assert!(!namespaces.learn(1, &one, start));
        assert!(namespaces.holder(1).is_none());
        assert!(namespaces.learn(5, &one, start));
        assert_eq!(namespaces.holder(5), Some((&one, false)));
        assert!(!namespaces.learn(5, &two, start));
        assert_eq!(namespaces.holder(5), None);
        namespaces.end("one", start);
        assert!(namespaces.learn(5, &two, start));
        assert_eq!(namespaces.holder(5), Some((&two, false)));
        namespaces.learn(6, &one, start);
        assert!(!namespaces.learn(7, &one, start));
        assert_eq!((namespaces.holder(7), namespaces.table().evicted), (None, 1));
        namespaces.expire(start.after(IDLE));
        assert_eq!(namespaces.table().entries, 0);
    }

    #[test]
    fn what_is_told_late_is_still_the_pods_until_another_takes_over() {
        let (one, two, foreign) = (pod("one"), pod("two"), Holder::Foreign("three".into()));
        let mut namespaces = Namespaces::new(Some(1), 8);
        let start = Moment::default();
        namespaces.learn(5, &one, start);
        namespaces.learn(6, &one, start);
        namespaces.learn(7, &foreign, start);
        namespaces.end("one", start);
        assert_eq!(namespaces.holder(5), Some((&one, true)));
        assert!(namespaces.learn(5, &two, start));
        assert_eq!(namespaces.holder(5), Some((&two, false)));
        assert!(namespaces.learn(7, &two, start), "numbers are reused across scopes");
        namespaces.expire(start.after(LINGER));
        assert_eq!(namespaces.holder(6), None);
        assert_eq!(namespaces.holder(5), Some((&two, false)));
    }

    #[test]
    fn a_host_learnt_late_drops_what_was_believed() {
        let mut namespaces = Namespaces::new(None, 2);
        assert!(!namespaces.is_private(9));
        namespaces.learn(9, &pod("one"), Moment::default());
        namespaces.learn_host(9);
        assert!(
            namespaces.holder(9).is_none() && namespaces.is_host(9) && namespaces.is_private(8)
        );
    }
}
