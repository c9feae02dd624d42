//! Edges: keys of rows, each with a number. The numbers are what is stored with the rows.

use std::sync::{Arc, PoisonError, RwLock};

use hashbrown::HashMap;
use model::row::{End, Key};
use model::{Direction, Protocol};

use crate::inventory::Shared;

/// All edges at one moment, by their numbers.
pub type Edges = Arc<Vec<Option<Edge>>>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    pub key: Arc<Key>,
}

pub struct Catalogue {
    inner: RwLock<Inner>,
    most: usize,
}

#[derive(Default)]
struct Inner {
    edges: Edges,
    numbers: HashMap<Arc<Key>, u32>,
    texts: Shared<str>,
    /// Not stored yet.
    new: Vec<(u32, Arc<Key>)>,
    /// Edges for which there was no room, once for each time they were asked for.
    overflow: u64,
}

impl Catalogue {
    /// Of at most so many edges, besides those of what has no room.
    pub fn new(most: usize) -> Self {
        Self { inner: RwLock::default(), most }
    }

    pub fn restore(&self, edges: Vec<(u32, Arc<Key>)>) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        for (number, key) in edges {
            inner.insert(number, key);
        }
    }

    pub fn edges(&self) -> Edges {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).edges.clone()
    }

    pub fn overflow(&self) -> u64 {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).overflow
    }

    /// The numbers of keys; of the overflow where there is no room.
    pub fn numbers(&self, keys: Vec<Key>) -> Vec<u32> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let known: Vec<Option<u32>> =
            keys.iter().map(|key| inner.numbers.get(key).copied()).collect();
        drop(inner);
        if let Some(known) = known.iter().copied().collect::<Option<Vec<u32>>>() {
            return known;
        }
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        keys.into_iter().map(|key| inner.number(key, self.most)).collect()
    }

    /// What must be stored before the rows that have it.
    pub fn take_new(&self) -> Vec<(u32, Arc<Key>)> {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut inner.new)
    }
}

impl Inner {
    fn number(&mut self, key: Key, most: usize) -> u32 {
        if let Some(number) = self.numbers.get(&key) {
            return *number;
        }
        let mut key = key;
        if self.edges.len() >= most {
            self.overflow += 1;
            key = Key::overflow(key.protocol, key.direction);
            if let Some(number) = self.numbers.get(&key) {
                return *number;
            }
        }
        let number = self.edges.len() as u32;
        let key = Arc::new(self.shared(key));
        self.new.push((number, key.clone()));
        self.insert(number, key);
        number
    }

    fn insert(&mut self, number: u32, key: Arc<Key>) {
        let edges = Arc::make_mut(&mut self.edges);
        if edges.len() <= number as usize {
            edges.resize(number as usize + 1, None);
        }
        edges[number as usize] = Some(Edge { key: key.clone() });
        self.numbers.insert(key, number);
    }

    fn shared(&mut self, key: Key) -> Key {
        let mut end = |end: End| End {
            namespace: self.texts.share(end.namespace),
            kind: self.texts.share(end.kind),
            name: self.texts.share(end.name),
            zone: self.texts.share(end.zone),
        };
        let (source, destination) = (end(key.source), end(key.destination));
        Key { source, destination, service: self.texts.share(key.service), ..key }
    }
}

/// A key for tests and benchmarks: from workload `source` to workload `destination` of namespace `shop`.
#[doc(hidden)]
pub fn sample_key(source: u32, destination: u32, direction: Direction) -> Key {
    let end = |number: u32| End {
        namespace: "shop".into(),
        kind: "Deployment".into(),
        name: format!("workload-{number}").into(),
        zone: "zone-a".into(),
    };
    Key {
        source: end(source),
        destination: end(destination),
        service: "".into(),
        protocol: Protocol::TCP,
        port: 8080,
        direction,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_one_number_and_what_has_no_room_shares_one() {
        let catalogue = Catalogue::new(2);
        let key = |number| sample_key(number, 0, Direction::Egress);
        assert_eq!(catalogue.numbers(vec![key(1), key(2), key(1)]), [0, 1, 0]);
        assert_eq!(catalogue.numbers(vec![key(3), key(4), key(2)]), [2, 2, 1]);
        assert_eq!(catalogue.overflow(), 2);
        let new = catalogue.take_new();
        assert_eq!(new.len(), 3);
        assert_eq!(&*new[2].1.source.kind, End::OVERFLOW);
        assert!(catalogue.take_new().is_empty());

        let again = Catalogue::new(10);
        again.restore(new);
        assert_eq!(again.numbers(vec![key(2), key(9)]), [1, 3]);
        assert_eq!(again.edges().len(), 4);
    }
}
