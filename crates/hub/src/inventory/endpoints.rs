//! Slices by the service that they are a part of. The names themselves are the slices'.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::object::Slice;
use super::table::{Id, Table};

#[derive(Debug, Default)]
pub struct Endpoints {
    ids: HashTable<Id>,
    hasher: DefaultHashBuilder,
}

impl Endpoints {
    pub fn of<'a>(
        &'a self,
        namespace: &'a str,
        service: &'a str,
        slices: &'a Table<Slice>,
    ) -> impl Iterator<Item = &'a Slice> {
        let ids = self.ids.iter_hash(self.hasher.hash_one((namespace, service)));
        let slices = ids.filter_map(|id| slices.get(*id));
        slices.filter(move |it| (&*it.namespace, &*it.service) == (namespace, service))
    }

    /// Adds the slice of this id, which is in the table, and not yet here.
    pub fn insert(&mut self, id: Id, slices: &Table<Slice>) {
        let Self { ids, hasher } = self;
        let hash = |id: &Id| slices.get(*id).map_or(0, |slice| hash(hasher, slice));
        ids.insert_unique(hash(&id), id, hash);
    }

    /// `slice`: as it was when it was added.
    pub fn remove(&mut self, id: Id, slice: &Slice) {
        if let Ok(entry) = self.ids.find_entry(hash(&self.hasher, slice), |other| *other == id) {
            entry.remove();
        }
    }
}

fn hash(hasher: &DefaultHashBuilder, slice: &Slice) -> u64 {
    hasher.hash_one((&*slice.namespace, &*slice.service))
}
