//! Cgroup id to owner. An id is an inode number, which the kernel gives again after a removal; what was removed
//! stays until its last records are through.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::{HashMap, HashSet};
use model::{Identity, Timestamp};

use super::clock::Moment;
use super::counters::Table;
use super::local::Named;

/// How long a removed cgroup is remembered after its last record: its sockets can outlive it.
const LINGER: Duration = Duration::from_secs(60);
/// Bytes of text that owners may hold together.
const TEXT_LIMIT: usize = 16 << 20;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    Pod {
        uid: Arc<str>,
        container: Option<Arc<str>>,
    },
    /// Needs no feed to be named: a unit, a session, a container outside Kubernetes.
    Named(Arc<Identity>),
    /// The root, or a group that no known software made.
    Nobody,
    /// A pod outside of this agent's scope.
    Foreign {
        uid: Arc<str>,
    },
}

impl Owner {
    fn text_bytes(&self) -> usize {
        match self {
            Self::Pod { uid, container } => uid.len() + container.as_ref().map_or(0, |id| id.len()),
            Self::Named(identity) => {
                size_of::<Identity>()
                    + identity.workload.as_ref().map_or(0, |workload| workload.name.len())
            }
            Self::Nobody => 0,
            Self::Foreign { uid } => uid.len(),
        }
    }
}

#[derive(Debug)]
pub struct Slot {
    pub owner: Owner,
    /// The answer last given and the version of the pods that it was made from.
    pub named: Option<(u64, Named)>,
    /// What is delivered while the feed does not know the pod.
    pub unnamed: Option<Arc<Identity>>,
    /// When a record first found the pod unknown.
    pub unknown_since: Option<Moment>,
    generation: u64,
    used: Moment,
    removed: Option<(Timestamp, Moment)>,
    /// Who had the id before, for records from before its removal.
    previous: Option<Box<Slot>>,
}

#[derive(Debug)]
pub struct Cgroups {
    slots: HashMap<u64, Slot>,
    /// In order of removal, or of the last look after it.
    fading: VecDeque<(Moment, u64, u64)>,
    generation: u64,
    text_bytes: usize,
    limit: usize,
    evicted: u64,
}

impl Cgroups {
    pub fn new(limit: usize) -> Self {
        Self {
            slots: HashMap::new(),
            fading: VecDeque::new(),
            generation: 0,
            text_bytes: 0,
            limit,
            evicted: 0,
        }
    }

    /// True if the id, or its owner, is new.
    pub fn insert(&mut self, id: u64, owner: Owner, now: Timestamp, at: Moment) -> bool {
        if self.slots.get(&id).is_some_and(|slot| slot.removed.is_none() && slot.owner == owner) {
            return false;
        }
        while self.slots.len() >= self.limit || self.text_bytes > TEXT_LIMIT {
            let Some((_, id, generation)) = self.fading.pop_front() else {
                self.evicted += 1;
                return false;
            };
            self.evicted += 1;
            self.drop(id, generation);
        }
        self.generation += 1;
        self.text_bytes += owner.text_bytes();
        let mut slot = Slot {
            owner,
            named: None,
            unnamed: None,
            unknown_since: None,
            generation: self.generation,
            used: at,
            removed: None,
            previous: None,
        };
        // A removal that was never told is made up for.
        self.remove(id, now, at);
        if let Some(mut previous) = self.slots.remove(&id) {
            if let Some(older) = previous.previous.take() {
                self.text_bytes -= older.owner.text_bytes();
            }
            slot.previous = Some(Box::new(previous));
        }
        self.slots.insert(id, slot);
        true
    }

    pub fn remove(&mut self, id: u64, now: Timestamp, at: Moment) {
        if let Some(slot) = self.slots.get_mut(&id).filter(|slot| slot.removed.is_none()) {
            slot.removed = Some((now, at));
            self.fading.push_back((at, id, slot.generation));
        }
    }

    /// Removes what a complete walk over the hierarchy did not find.
    pub fn keep(&mut self, present: &HashSet<u64>, now: Timestamp, at: Moment) {
        let gone: Vec<u64> =
            self.slots.keys().filter(|id| !present.contains(*id)).copied().collect();
        for id in gone {
            self.remove(id, now, at);
        }
    }

    /// Who had `id` at `time`.
    pub fn get(&mut self, id: u64, time: Timestamp, at: Moment) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(&id)?;
        let earlier = slot
            .previous
            .as_ref()
            .and_then(|previous| previous.removed)
            .is_some_and(|(gone, _)| time <= gone);
        let slot = if earlier { slot.previous.as_mut()? } else { slot };
        slot.used = at;
        Some(slot)
    }

    pub fn expire(&mut self, at: Moment) {
        for _ in 0..self.fading.len() {
            let Some(&(moment, id, generation)) = self.fading.front() else { return };
            if at.since(moment) < LINGER {
                return;
            }
            self.fading.pop_front();
            match self.used(id, generation) {
                Some(used) if at.since(used) < LINGER => {
                    self.fading.push_back((at, id, generation))
                }
                _ => self.drop(id, generation),
            }
        }
    }

    fn used(&self, id: u64, generation: u64) -> Option<Moment> {
        let slot = self.slots.get(&id)?;
        let slots = [Some(slot), slot.previous.as_deref()];
        slots.into_iter().flatten().find(|slot| slot.generation == generation).map(|slot| slot.used)
    }

    fn drop(&mut self, id: u64, generation: u64) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        if slot.generation == generation {
            let previous = slot.previous.take();
            self.text_bytes -=
                slot.owner.text_bytes() + previous.map_or(0, |slot| slot.owner.text_bytes());
            self.slots.remove(&id);
        } else if let Some(previous) =
            slot.previous.take_if(|previous| previous.generation == generation)
        {
            self.text_bytes -= previous.owner.text_bytes();
        }
    }

    pub fn table(&self) -> Table {
        Table {
            name: "cgroups",
            entries: self.slots.len() as u64,
            max_entries: self.limit as u64,
            evicted: self.evicted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(uid: &str) -> Owner {
        Owner::Pod { uid: uid.into(), container: None }
    }

    fn at(seconds: u64) -> Moment {
        Moment::default().after(Duration::from_secs(seconds))
    }

    #[track_caller]
    fn check(cgroups: &mut Cgroups, id: u64, time: u64, moment: Moment, expected: Option<&str>) {
        let found = cgroups.get(id, Timestamp(time), moment).map(|slot| slot.owner.clone());
        assert_eq!(found, expected.map(pod));
    }

    #[test]
    fn a_reused_id_tells_apart_by_time() {
        let mut cgroups = Cgroups::new(8);
        assert!(cgroups.insert(7, pod("a"), Timestamp(1), at(0)));
        assert!(!cgroups.insert(7, pod("a"), Timestamp(2), at(0)));
        cgroups.remove(7, Timestamp(100), at(1));
        check(&mut cgroups, 7, 150, at(1), Some("a"));
        assert!(cgroups.insert(7, pod("b"), Timestamp(200), at(2)));
        check(&mut cgroups, 7, 100, at(2), Some("a"));
        check(&mut cgroups, 7, 101, at(2), Some("b"));
        // Without word of the removal the new owner still takes over.
        assert!(cgroups.insert(7, pod("c"), Timestamp(300), at(3)));
        check(&mut cgroups, 7, 301, at(3), Some("c"));
        check(&mut cgroups, 7, 300, at(3), Some("b"));
        for seconds in 4..200 {
            cgroups.expire(at(seconds));
        }
        check(&mut cgroups, 7, 300, at(200), Some("c"));
        assert_eq!((cgroups.text_bytes, cgroups.fading.len()), (1, 0));
    }

    #[test]
    fn the_removed_linger_until_their_last_record_is_through() {
        let mut cgroups = Cgroups::new(8);
        cgroups.insert(7, pod("a"), Timestamp(1), at(0));
        cgroups.remove(7, Timestamp(2), at(0));
        check(&mut cgroups, 7, 3, at(50), Some("a"));
        cgroups.expire(at(60));
        check(&mut cgroups, 7, 3, at(61), Some("a"));
        cgroups.expire(at(120));
        cgroups.expire(at(180));
        check(&mut cgroups, 7, 3, at(180), None);
        assert_eq!(cgroups.text_bytes, 0);
    }

    #[test]
    fn room_is_made_by_the_removed_and_never_by_the_living() {
        let mut cgroups = Cgroups::new(2);
        cgroups.insert(1, pod("a"), Timestamp(1), at(0));
        cgroups.insert(2, pod("b"), Timestamp(1), at(0));
        assert!(!cgroups.insert(3, pod("c"), Timestamp(1), at(0)));
        cgroups.remove(1, Timestamp(2), at(0));
        assert!(cgroups.insert(3, pod("c"), Timestamp(3), at(0)));
        check(&mut cgroups, 1, 4, at(0), None);
        assert_eq!(cgroups.table().evicted, 2);
        cgroups.keep(&HashSet::from([3]), Timestamp(5), at(0));
        cgroups.expire(at(60));
        assert_eq!(cgroups.table().entries, 1);
    }
}
