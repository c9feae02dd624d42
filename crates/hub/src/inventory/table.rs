//! Objects of one resource, by namespace and name.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use slab::Slab;

use super::key::Str;

pub trait Named {
    /// Namespace (empty for what has none) and name.
    fn name(&self) -> (&Str, &Str);
}

/// Names an object for as long as it is in its table.
pub type Id = u32;

#[derive(Debug)]
struct Entry<T> {
    /// The list that told of it last.
    list: u32,
    object: T,
}

#[derive(Debug)]
pub struct Table<T> {
    entries: Slab<Entry<T>>,
    names: HashTable<Id>,
    hasher: DefaultHashBuilder,
    /// Lists that were begun; an object of an earlier one is gone when the last is complete.
    list: u32,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            entries: Slab::new(),
            names: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            list: 0,
        }
    }
}

impl<T: Named> Table<T> {
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn get(&self, id: Id) -> Option<&T> {
        Some(&self.entries.get(id as usize)?.object)
    }

    pub fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        Some(&mut self.entries.get_mut(id as usize)?.object)
    }

    pub fn find(&self, namespace: &str, name: &str) -> Option<Id> {
        let hash = self.hasher.hash_one((namespace, name));
        let same = |id: &Id| self.get(*id).is_some_and(|it| is(it, namespace, name));
        self.names.find(hash, same).copied()
    }

    /// The object of this name as a list or a watch has it now.
    pub fn touch(&mut self, id: Id) {
        if let Some(entry) = self.entries.get_mut(id as usize) {
            entry.list = self.list;
        }
    }

    /// Adds an object of a name that is not in the table.
    pub fn insert(&mut self, object: T) -> Id {
        let hash = self.hasher.hash_one(names(&object));
        let id = self.entries.insert(Entry { list: self.list, object }) as Id;
        let Self { entries, names: table, hasher, .. } = self;
        table.insert_unique(hash, id, |id| {
            entries.get(*id as usize).map_or(0, |it| hasher.hash_one(names(&it.object)))
        });
        id
    }

    pub fn remove(&mut self, id: Id) -> Option<T> {
        let hash = self.hasher.hash_one(names(self.get(id)?));
        if let Ok(found) = self.names.find_entry(hash, |other| *other == id) {
            found.remove();
        }
        self.entries.try_remove(id as usize).map(|entry| entry.object)
    }

    pub fn iter(&self) -> impl Iterator<Item = (Id, &T)> {
        self.entries.iter().map(|(id, entry)| (id as Id, &entry.object))
    }

    /// A list begins.
    pub fn begin(&mut self) {
        self.list = self.list.wrapping_add(1);
    }

    /// A list is complete: those of which it did not tell.
    pub fn stale(&self) -> Vec<Id> {
        let stale = self.entries.iter().filter(|(_, entry)| entry.list != self.list);
        stale.map(|(id, _)| id as Id).collect()
    }
}

fn names<T: Named>(object: &T) -> (&str, &str) {
    let (namespace, name) = object.name();
    (namespace, name)
}

fn is<T: Named>(object: &T, namespace: &str, name: &str) -> bool {
    names(object) == (namespace, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Named for (Str, Str) {
        fn name(&self) -> (&Str, &Str) {
            (&self.0, &self.1)
        }
    }

    #[test]
    fn what_a_list_leaves_out_is_stale() {
        let mut table = Table::default();
        let ids: Vec<Id> =
            (0..100).map(|name| table.insert(("ns".into(), name.to_string().into()))).collect();
        assert_eq!(table.find("ns", "42"), Some(ids[42]));
        assert_eq!(table.find("ns", "100"), None);
        assert!(table.stale().is_empty());
        table.begin();
        ids.iter().skip(2).for_each(|id| table.touch(*id));
        assert_eq!(table.stale(), ids[..2]);
        assert_eq!(table.remove(ids[0]), Some(("ns".into(), "0".into())));
        assert_eq!((table.find("ns", "0"), table.len()), (None, 99));
        let again = table.insert(("ns".into(), "0".into()));
        assert_eq!(table.find("ns", "0"), Some(again));
    }
}
