//! Pods by uid. The uids themselves are the pods'.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::object::Pod;
use super::table::{Id, Table};
use super::uid::Uid;

#[derive(Debug, Default)]
pub struct Uids {
    ids: HashTable<Id>,
    hasher: DefaultHashBuilder,
}

impl Uids {
    pub fn get(&self, uid: &Uid, pods: &Table<Pod>) -> Option<Id> {
        let same = |id: &Id| pods.get(*id).is_some_and(|pod| pod.uid == *uid);
        self.ids.find(self.hasher.hash_one(uid), same).copied()
    }

    /// The pod of this id has this uid. Another one that says the same is no longer found by it.
    pub fn insert(&mut self, uid: &Uid, id: Id, pods: &Table<Pod>) {
        let Self { ids, hasher } = self;
        let hash = |uid: &Uid| hasher.hash_one(uid);
        let same = |other: &Id| pods.get(*other).is_some_and(|pod| pod.uid == *uid);
        match ids.find_mut(hash(uid), same) {
            Some(other) => *other = id,
            None => {
                let of = |id: &Id| pods.get(*id).map_or(0, |pod| hash(&pod.uid));
                ids.insert_unique(hash(uid), id, of);
            }
        }
    }

    /// The pod of this id no longer has this uid.
    pub fn remove(&mut self, uid: &Uid, id: Id) {
        if let Ok(entry) = self.ids.find_entry(self.hasher.hash_one(uid), |other| *other == id) {
            entry.remove();
        }
    }
}
