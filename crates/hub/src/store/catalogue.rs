//! Edges: keys of rows, each with a number. The numbers are what is stored with the rows.
//!
//! Workloads come and go, and so do names outside: an edge of which nothing is stored any more is forgotten. Its number is
//! not given to another one in this life of the hub, because streams of agents may hold it.

use std::sync::{Arc, PoisonError, RwLock};

use hashbrown::HashMap;
use model::row::{End, Key};
use model::{Direction, Protocol};

use crate::inventory::Shared;

/// All edges at one moment, by their numbers.
pub type Edges = Arc<Vec<Option<Arc<Key>>>>;

pub struct Catalogue {
    inner: RwLock<Inner>,
    most: usize,
}

#[derive(Default)]
struct Inner {
    edges: Edges,
    /// The day on which rows of each came last, since 1970.
    seen: Vec<u32>,
    numbers: HashMap<Arc<Key>, u32>,
    /// How often edges were forgotten.
    generation: u64,
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

    /// `day`: today, since 1970. When rows of each came last is not stored.
    pub fn restore(&self, edges: Vec<(u32, Arc<Key>)>, day: u32) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        for (number, key) in edges {
            inner.insert(number, key);
        }
        inner.seen.fill(day);
    }

    /// Rows of these came today.
    pub fn see(&self, numbers: impl Iterator<Item = u32>, day: u32) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        for number in numbers {
            if let Some(seen) = inner.seen.get_mut(number as usize) {
                *seen = day;
            }
        }
    }

    /// Forgets those of which no rows came since `day`: their numbers. Who holds numbers must ask for them again.
    pub fn forget(&self, day: u32) -> Vec<u32> {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let Inner { edges, seen, numbers, generation, .. } = &mut *inner;
        let idle = seen.iter().enumerate().filter(|(_, seen)| **seen < day).map(|(place, _)| place);
        let idle: Vec<usize> = idle.filter(|place| edges[*place].is_some()).collect();
        if !idle.is_empty() {
            let edges = Arc::make_mut(edges);
            for place in &idle {
                if let Some(key) = edges[*place].take() {
                    numbers.remove(&key);
                }
            }
            *generation += 1;
        }
        idle.into_iter().map(|place| place as u32).collect()
    }

    /// Another one: numbers that were given before may be void.
    pub fn generation(&self) -> u64 {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).generation
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
        if self.numbers.len() >= most {
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
            // Seen as soon as its first rows are stored.
            self.seen.resize(number as usize + 1, u32::MAX);
        }
        edges[number as usize] = Some(key.clone());
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
        again.restore(new, 5);
        assert_eq!(again.numbers(vec![key(2), key(9)]), [1, 3]);
        assert_eq!(again.edges().len(), 4);
    }

    #[test]
    fn what_was_not_seen_for_long_is_forgotten() {
        let catalogue = Catalogue::new(2);
        let key = |number| sample_key(number, 0, Direction::Egress);
        assert_eq!(catalogue.numbers(vec![key(1), key(2)]), [0, 1]);
        catalogue.see([0, 1].into_iter(), 10);
        catalogue.see([1].into_iter(), 12);
        assert_eq!((catalogue.forget(10), catalogue.generation()), (vec![], 0));
        assert_eq!((catalogue.forget(11), catalogue.generation()), (vec![0], 1));
        assert_eq!(catalogue.edges()[0], None);
        assert_eq!(
            catalogue.numbers(vec![key(2), key(3), key(1)]),
            [1, 2, 3],
            "there is room again"
        );
        assert_eq!(&*catalogue.edges()[3].as_ref().unwrap().source.kind, End::OVERFLOW);
        assert!(catalogue.forget(12).is_empty(), "what is new has not been seen yet");
    }
}
