//! Pods whose owner's owner is not known yet, and which are called by it once it is.

use hashbrown::HashMap;

use super::uid::Uid;

/// Of all owners together; beyond, pods keep the name that they have.
const MOST: usize = 262_144;

#[derive(Debug, Default)]
pub struct Orphans {
    /// Uids of pods by that of their owner.
    by_owner: HashMap<Uid, Vec<Uid>>,
    count: usize,
}

impl Orphans {
    pub fn add(&mut self, owner: &Uid, pod: &Uid) {
        if self.count >= MOST {
            return;
        }
        let pods = self.by_owner.entry_ref(owner).or_default();
        if !pods.contains(pod) {
            pods.push(pod.clone());
            self.count += 1;
        }
    }

    /// The owner has come: who waited for it.
    pub fn take(&mut self, owner: &Uid) -> Vec<Uid> {
        let pods = self.by_owner.remove(owner).unwrap_or_default();
        self.count -= pods.len();
        pods
    }

    /// The pod has gone. An owner that went first, as a collected Job does, never comes.
    pub fn forget(&mut self, owner: &Uid, pod: &Uid) {
        let Some(pods) = self.by_owner.get_mut(owner) else { return };
        let before = pods.len();
        pods.retain(|uid| uid != pod);
        self.count -= before - pods.len();
        if pods.is_empty() {
            self.by_owner.remove(owner);
        }
    }

    pub fn len(&self) -> usize {
        self.count
    }
}
