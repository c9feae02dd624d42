//! Edges: keys of rows, each with a number. The numbers are what is stored with the rows.
//!
//! What both ends of an edge saw lies side by side, so that it takes little room ([`proto::columns`]): what the source's
//! end saw has an even number, and what the destination's saw the odd one behind it.
//!
//! Workloads come and go, and so do names outside: an edge of which nothing is stored any more is forgotten. Its number is
//! not given to another one in this life of the hub, because streams of agents may hold it.

use std::hash::BuildHasher;
use std::sync::{Arc, PoisonError, RwLock};

use hashbrown::{DefaultHashBuilder, HashMap};
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
    /// Numbers that are kept for the other end of an edge, by [`Inner::between`].
    free: HashMap<(u64, Direction), u32>,
    hasher: DefaultHashBuilder,
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
        for (number, key) in &edges {
            inner.insert(*number, key.clone());
        }
        for (number, key) in edges {
            inner.keep_other(number, &key);
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
        let Inner { edges, seen, numbers, free, generation, .. } = &mut *inner;
        let idle = seen.iter().enumerate().filter(|(_, seen)| **seen < day).map(|(place, _)| place);
        let idle: Vec<usize> = idle.filter(|place| edges[*place].is_some()).collect();
        if !idle.is_empty() {
            let edges = Arc::make_mut(edges);
            for place in &idle {
                if let Some(key) = edges[*place].take() {
                    numbers.remove(&key);
                }
            }
            free.retain(|_, number| edges[(*number ^ 1) as usize].is_some());
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
        let place = (self.between(&key), key.direction);
        let number = self.free.remove(&place).unwrap_or_else(|| {
            let end = self.edges.len() as u32;
            end + end % 2 + key.direction as u32
        });
        let key = Arc::new(self.shared(key));
        self.new.push((number, key.clone()));
        self.insert(number, key.clone());
        self.keep_other(number, &key);
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

    /// The number beside `number` is for the other end of `key`, unless somebody has it.
    fn keep_other(&mut self, number: u32, key: &Key) {
        let (other, direction) = match key.direction {
            Direction::Egress => (number + 1, Direction::Ingress),
            Direction::Ingress => (number.saturating_sub(1), Direction::Egress),
        };
        let sides = number % 2 == key.direction as u32;
        if sides && self.edges.get(other as usize).is_none_or(Option::is_none) {
            self.free.insert((self.between(key), direction), other);
        }
    }

    /// Between whom. The destination's end does not know by which service it was addressed. Two that are the same are
    /// stored in a few bytes more.
    fn between(&self, key: &Key) -> u64 {
        self.hasher.hash_one((&key.source, &key.destination, key.protocol, key.port))
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

/// `None`: it was forgotten.
pub fn key(edges: &Edges, number: u32) -> Option<&Arc<Key>> {
    edges.get(number as usize)?.as_ref()
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
        assert_eq!(catalogue.numbers(vec![key(1), key(2), key(1)]), [0, 2, 0]);
        assert_eq!(catalogue.numbers(vec![key(3), key(4), key(2)]), [4, 4, 2]);
        assert_eq!(catalogue.overflow(), 2);
        let new = catalogue.take_new();
        assert_eq!(new.len(), 3);
        assert_eq!(&*new[2].1.source.kind, End::OVERFLOW);
        assert!(catalogue.take_new().is_empty());

        let again = Catalogue::new(10);
        again.restore(new, 5);
        assert_eq!(again.numbers(vec![key(2), key(9)]), [2, 6]);
        assert_eq!(again.edges().len(), 7);
    }

    #[test]
    fn texts_of_many_edges_are_held_once() {
        let catalogue = Catalogue::new(10);
        catalogue.numbers(vec![sample_key(1, 2, Direction::Egress)]);
        catalogue.numbers(vec![sample_key(3, 2, Direction::Egress)]);
        let edges = catalogue.edges();
        let ends: Vec<&End> = edges.iter().flatten().map(|key| &key.destination).collect();
        assert!(Arc::ptr_eq(&ends[0].namespace, &ends[1].namespace));
        assert!(Arc::ptr_eq(&ends[0].name, &ends[1].name));
    }

    #[test]
    fn what_was_not_seen_for_long_is_forgotten() {
        let catalogue = Catalogue::new(2);
        let key = |number| sample_key(number, 0, Direction::Egress);
        assert_eq!(catalogue.numbers(vec![key(1), key(2)]), [0, 2]);
        catalogue.see([0, 2].into_iter(), 10);
        catalogue.see([2].into_iter(), 12);
        assert_eq!((catalogue.forget(10), catalogue.generation()), (vec![], 0));
        assert_eq!((catalogue.forget(11), catalogue.generation()), (vec![0], 1));
        assert_eq!(catalogue.edges()[0], None);
        assert_eq!(
            catalogue.numbers(vec![key(2), key(3), key(1)]),
            [2, 4, 6],
            "there is room again"
        );
        assert_eq!(&*catalogue.edges()[6].as_ref().unwrap().source.kind, End::OVERFLOW);
        assert!(catalogue.forget(12).is_empty(), "what is new has not been seen yet");
    }

    #[test]
    fn both_ends_lie_side_by_side() {
        let catalogue = Catalogue::new(100);
        let key = |number, direction| sample_key(number, 0, direction);
        let (egress, ingress) = (Direction::Egress, Direction::Ingress);
        let known_by = |service: &str, it: Key| Key { service: service.into(), ..it };
        let first = vec![key(1, ingress), key(2, egress), known_by("cart", key(1, egress))];
        assert_eq!(catalogue.numbers(first), [1, 2, 0]);
        let more = vec![known_by("other", key(1, egress)), key(3, egress), key(2, ingress)];
        assert_eq!(catalogue.numbers(more), [4, 6, 3]);
        // Also after a restart.
        let again = Catalogue::new(100);
        again.restore(catalogue.take_new(), 5);
        assert_eq!(again.numbers(vec![key(3, ingress), key(4, ingress)]), [7, 9]);
    }

    #[test]
    fn no_number_is_given_to_two() {
        let catalogue = Catalogue::new(10_000);
        let random = &mut fastrand::Rng::with_seed(3);
        let mut given = HashMap::new();
        for day in 1..60 {
            for _ in 0..50 {
                let direction = [Direction::Egress, Direction::Ingress][random.usize(..2)];
                let mut key = sample_key(random.u32(..40), random.u32(..2), direction);
                key.service = ["", "a", "b"][random.usize(..3)].into();
                let number = catalogue.numbers(vec![key.clone()])[0];
                assert_eq!(given.entry(number).or_insert_with(|| key.clone()), &key);
                catalogue.see([number].into_iter(), day);
            }
            catalogue.forget(day.saturating_sub(3));
        }
        let edges = catalogue.edges();
        let both = edges.chunks(2).filter(|pair| pair.iter().flatten().count() == 2).count();
        assert!(both > 20, "{both} pairs");
    }
}
