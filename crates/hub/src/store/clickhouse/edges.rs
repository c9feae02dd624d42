//! Edges as all replicas know them: by a hash of what they are. Each replica has numbers of its own for them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;
use model::row::{End, Key};
use model::{Direction, Protocol};
use ring::digest::{Context, SHA256};

use super::binary::{self, Short};
use crate::store::{Catalogue, key};

pub struct Edges {
    pub catalogue: Arc<Catalogue>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// By number: its id, and the day on which the server was told of it last.
    known: Vec<Option<(u64, u32)>>,
    numbers: HashMap<u64, u32>,
}

/// An edge of which the server has to be told: its number here, its id there.
pub type Untold = (u32, u64, Arc<Key>);

impl Edges {
    pub fn new(catalogue: Arc<Catalogue>) -> Self {
        Self { catalogue, inner: Mutex::default() }
    }

    /// The ids of `numbers`, by number, and those that the server has to be told of on this day.
    pub fn ids(
        &self,
        numbers: impl Iterator<Item = u32>,
        day: u32,
    ) -> (HashMap<u32, u64>, Vec<Untold>) {
        let edges = self.catalogue.edges();
        let mut inner = self.inner();
        let (mut ids, mut untold) = (HashMap::new(), Vec::new());
        for number in numbers {
            if ids.contains_key(&number) {
                continue;
            }
            let Some(key) = key(&edges, number) else { continue };
            let (id, told) = inner.know(number, key);
            ids.insert(number, id);
            if told != day {
                untold.push((number, id, key.clone()));
            }
        }
        (ids, untold)
    }

    /// The server knows them.
    pub fn told(&self, numbers: impl Iterator<Item = u32>, day: u32) {
        let mut inner = self.inner();
        for number in numbers {
            if let Some(Some((_, told))) = inner.known.get_mut(number as usize) {
                *told = day;
            }
        }
    }

    /// Of those that are known here; the others' ids.
    pub fn numbers(&self, ids: impl Iterator<Item = u64>) -> (HashMap<u64, u32>, Vec<u64>) {
        let edges = self.catalogue.edges();
        let inner = self.inner();
        let (mut numbers, mut unknown) = (HashMap::new(), Vec::new());
        for id in ids {
            let number = inner.numbers.get(&id).copied();
            match number.filter(|it| key(&edges, *it).is_some()) {
                Some(number) => drop(numbers.insert(id, number)),
                None => unknown.push(id),
            }
        }
        unknown.sort_unstable();
        unknown.dedup();
        (numbers, unknown)
    }

    /// Numbers for what another replica told the server, or this one in another life.
    pub fn learn(&self, found: Vec<(u64, Key)>, day: u32) -> Vec<(u64, u32)> {
        let (ids, keys): (Vec<u64>, Vec<Key>) = found.into_iter().unzip();
        let numbers = self.catalogue.numbers(keys);
        self.catalogue.see(numbers.iter().copied(), day);
        let edges = self.catalogue.edges();
        let mut inner = self.inner();
        for number in &numbers {
            if let Some(key) = key(&edges, *number) {
                inner.know(*number, key);
            }
        }
        ids.into_iter().zip(numbers).collect()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn know(&mut self, number: u32, it: &Key) -> (u64, u32) {
        let place = number as usize;
        if self.known.len() <= place {
            self.known.resize(place + 1, None);
        }
        *self.known[place].get_or_insert_with(|| {
            let id = id(it);
            self.numbers.insert(id, number);
            (id, u32::MAX)
        })
    }
}

/// The same in all versions: it is stored. Two of 262,144 edges have the same with a chance of 2 in a billion.
fn id(key: &Key) -> u64 {
    let mut context = Context::new(&SHA256);
    for text in texts(key) {
        context.update(text.as_bytes());
        context.update(&[0]);
    }
    context.update(&[key.protocol.0, key.direction as u8]);
    context.update(&key.port.to_be_bytes());
    let hash = context.finish();
    hash.as_ref().iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

fn texts(key: &Key) -> [&Arc<str>; 9] {
    let (a, b) = (&key.source, &key.destination);
    [&a.namespace, &a.kind, &a.name, &a.zone, &b.namespace, &b.kind, &b.name, &b.zone, &key.service]
}

/// In the order of `schema::EDGE`.
pub fn put(out: &mut Vec<u8>, id: u64, key: &Key) {
    binary::put_u64(out, id);
    texts(key).into_iter().for_each(|text| binary::put_text(out, text));
    out.push(key.protocol.0);
    out.extend(key.port.to_le_bytes());
    out.push(u8::from(key.direction == Direction::Ingress));
}

pub fn read(bytes: &mut &[u8]) -> Result<(u64, Key), Short> {
    let id = binary::u64(bytes)?;
    let mut text = || binary::text(bytes).map(|it| Arc::<str>::from(&*it));
    let mut end = || Ok(End { namespace: text()?, kind: text()?, name: text()?, zone: text()? });
    let (source, destination) = (end()?, end()?);
    let service = text()?;
    let protocol = Protocol(binary::u8(bytes)?);
    let port = binary::u16(bytes)?;
    let direction = match binary::u8(bytes)? {
        0 => Direction::Egress,
        _ => Direction::Ingress,
    };
    Ok((id, Key { source, destination, service, protocol, port, direction }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sample_key;

    #[test]
    fn an_edge_is_the_same_for_all_replicas_whatever_its_number() {
        let key = |n| sample_key(n, 7, Direction::Egress);
        let [a, b] = [0, 1].map(|_| Edges::new(Arc::new(Catalogue::new(100))));
        assert_eq!(a.catalogue.numbers(vec![key(1), key(2)]), [0, 2]);
        assert_eq!(b.catalogue.numbers(vec![key(2), key(1)]), [0, 2]);
        let (ids, untold) = a.ids([0, 2, 2].into_iter(), 5);
        assert_eq!(untold.len(), 2);
        a.told([0].into_iter(), 5);
        assert_eq!(a.ids([0, 2].into_iter(), 5).1.len(), 1);
        assert_eq!(a.ids([0, 2].into_iter(), 6).1.len(), 2, "on the next day again");
        assert_eq!(b.ids([0, 2].into_iter(), 5).0[&2], ids[&0]);

        let mut bytes = Vec::new();
        put(&mut bytes, ids[&0], &key(1));
        let found = read(&mut &bytes[..]).unwrap();
        assert_eq!(found, (ids[&0], key(1)));
        let c = Edges::new(Arc::new(Catalogue::new(100)));
        assert_eq!(c.numbers([ids[&0]].into_iter()), (HashMap::new(), vec![ids[&0]]));
        assert_eq!(c.learn(vec![found], 5), [(ids[&0], 0)]);
        assert_eq!(c.numbers([ids[&0]].into_iter()).0[&ids[&0]], 0);
        // What it is stored by, in all versions.
        assert_eq!(ids[&0], 13_477_601_147_618_150_077);
    }
}
