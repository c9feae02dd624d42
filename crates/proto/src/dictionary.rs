//! Keys as they travel: each text and end once in a message, each key once in a stream. So a receiver holds nothing but
//! what it makes of each key; a hub has thousands of such streams.

use std::hash::Hash;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use model::row::{End, Key};
use model::{Direction, Protocol};

use crate::telemetry as wire;

/// Keys of which one stream may hold the meaning; both sides have this limit.
const MAX_KEYS: usize = 1 << 17;
/// A text beyond this is cut short: names are shorter, whatever they come from.
const MAX_TEXT_BYTES: usize = 1024;

/// Definitions that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsound {
    #[error("a definition that names {0} that was not defined")]
    Undefined(&'static str),
    #[error("more than {MAX_KEYS} definitions: a stream must begin anew before that")]
    TooMany,
    #[error("a text of more than {MAX_TEXT_BYTES} bytes")]
    LongText,
}

/// Keys with all that they name.
pub fn define<'a>(keys: impl Iterator<Item = (u32, &'a Key)>) -> wire::Definitions {
    let mut message = Message::default();
    for (id, key) in keys {
        let key = wire::Key {
            id,
            source: message.end(&key.source),
            destination: message.end(&key.destination),
            service: message.text(&key.service),
            protocol: key.protocol.0.into(),
            port: key.port.into(),
            ingress: key.direction == Direction::Ingress,
        };
        message.definitions.keys.push(key);
    }
    message.definitions
}

/// What [`define`] was given.
///
/// # Errors
/// They name what is not there, or are too many.
pub fn defined(told: wire::Definitions) -> Result<Vec<(u32, Key)>, Unsound> {
    if told.keys.len() > MAX_KEYS {
        return Err(Unsound::TooMany);
    }
    if told.texts.iter().any(|it| it.len() > MAX_TEXT_BYTES) {
        return Err(Unsound::LongText);
    }
    let mut texts: Vec<Arc<str>> = Vec::with_capacity(told.texts.len() + 1);
    texts.push("".into());
    texts.extend(told.texts.into_iter().map(Arc::from));
    let text =
        |number: u32| texts.get(number as usize).cloned().ok_or(Unsound::Undefined("a text"));
    let end = |it: wire::End| {
        let (namespace, kind) = (text(it.namespace)?, text(it.kind)?);
        Ok(End { namespace, kind, name: text(it.name)?, zone: text(it.zone)? })
    };
    let ends = told.ends.into_iter().map(end).collect::<Result<Vec<End>, Unsound>>()?;
    let end = |number: u32| ends.get(number as usize).cloned().ok_or(Unsound::Undefined("an end"));
    let key = |it: wire::Key| {
        let key = Key {
            source: end(it.source)?,
            destination: end(it.destination)?,
            service: text(it.service)?,
            protocol: Protocol(it.protocol as u8),
            port: it.port as u16,
            direction: if it.ingress { Direction::Ingress } else { Direction::Egress },
        };
        Ok((it.id, key))
    };
    told.keys.into_iter().map(key).collect()
}

/// Definitions in the making.
#[derive(Default)]
struct Message {
    texts: HashMap<Arc<str>, u32>,
    ends: HashMap<End, u32>,
    definitions: wire::Definitions,
}

impl Message {
    fn end(&mut self, end: &End) -> u32 {
        if let Some(number) = self.ends.get(end) {
            return *number;
        }
        let told = wire::End {
            namespace: self.text(&end.namespace),
            kind: self.text(&end.kind),
            name: self.text(&end.name),
            zone: self.text(&end.zone),
        };
        self.definitions.ends.push(told);
        number(&mut self.ends, end.clone(), 0)
    }

    fn text(&mut self, text: &Arc<str>) -> u32 {
        if text.is_empty() {
            return 0;
        }
        if let Some(number) = self.texts.get(text) {
            return *number;
        }
        self.definitions.texts.push(text[..text.floor_char_boundary(MAX_TEXT_BYTES)].to_owned());
        number(&mut self.texts, text.clone(), 1)
    }
}

fn number<T: Hash + Eq>(table: &mut HashMap<T, u32>, value: T, first: u32) -> u32 {
    let number = table.len() as u32 + first;
    table.insert(value, number);
    number
}

/// Of which keys a stream has been told: the sender's side. Ids of keys are the sender's own.
#[derive(Debug, Default)]
pub struct Dictionary {
    keys: HashSet<u32>,
}

impl Dictionary {
    /// What must be told before rows with these keys can be understood; `None`: nothing.
    pub fn define<'a>(
        &mut self,
        keys: impl Iterator<Item = (u32, &'a Key)> + Clone,
    ) -> Option<wire::Definitions> {
        let new = keys.clone().filter(|(id, _)| !self.keys.contains(id)).count();
        let reset = self.keys.len() + new > MAX_KEYS;
        if reset {
            *self = Self::default();
        }
        let told = define(keys.filter(|(id, _)| self.keys.insert(*id)));
        (reset || !told.keys.is_empty()).then_some(wire::Definitions { reset, ..told })
    }
}

/// What the keys of a stream stand for: the receiver's side.
#[derive(Debug)]
pub struct Defined<T> {
    /// By id; no larger than it must be.
    keys: Vec<(u32, T)>,
}

impl<T> Default for Defined<T> {
    fn default() -> Self {
        Self { keys: Vec::new() }
    }
}

impl<T> Defined<T> {
    /// # Errors
    /// There are too many.
    pub fn take(&mut self, reset: bool, keys: Vec<(u32, T)>) -> Result<(), Unsound> {
        if reset {
            self.keys.clear();
        }
        if self.keys.len() + keys.len() > MAX_KEYS {
            return Err(Unsound::TooMany);
        }
        self.keys.extend(keys);
        self.keys.sort_by_key(|(id, _)| *id);
        // Of what is told twice the last holds.
        self.keys.dedup_by(|later, first| {
            let same = later.0 == first.0;
            if same {
                std::mem::swap(later, first);
            }
            same
        });
        self.keys.shrink_to_fit();
        Ok(())
    }

    pub fn get(&self, id: u32) -> Option<&T> {
        let at = self.keys.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        Some(&self.keys[at].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u16) -> Key {
        let end = |name: String| End {
            namespace: "shop".into(),
            kind: "Deployment".into(),
            name: name.into(),
            zone: "".into(),
        };
        Key {
            source: end(format!("w{}", number % 7)),
            destination: end("db".into()),
            service: "db".into(),
            protocol: Protocol::TCP,
            port: number,
            direction: Direction::Ingress,
        }
    }

    #[test]
    fn each_thing_is_told_once() {
        let (mut dictionary, mut known) = (Dictionary::default(), Defined::default());
        let keys: Vec<Key> = (0..20).map(key).collect();
        let numbered = || keys.iter().enumerate().map(|(id, key)| (id as u32, key));
        let told = dictionary.define(numbered().take(15)).unwrap();
        assert_eq!((told.texts.len(), told.ends.len(), told.keys.len()), (10, 8, 15));
        known.take(false, defined(told).unwrap()).unwrap();
        assert_eq!(known.get(15), None);
        let told = dictionary.define(numbered().rev()).unwrap();
        assert_eq!(told.keys.len(), 5, "only what is new");
        known.take(false, defined(told).unwrap()).unwrap();
        assert!(numbered().all(|(id, key)| known.get(id) == Some(key)));
        assert_eq!(dictionary.define(numbered()), None);
    }

    #[test]
    fn what_is_told_twice_is_what_it_was_told_last() {
        let mut known = Defined::default();
        known.take(false, vec![(3, 'a'), (1, 'b'), (3, 'c')]).unwrap();
        known.take(false, vec![(1, 'd'), (2, 'e')]).unwrap();
        assert_eq!(
            [1, 2, 3, 4].map(|id| known.get(id)),
            [Some(&'d'), Some(&'e'), Some(&'c'), None]
        );
        known.take(true, vec![(2, 'f')]).unwrap();
        assert_eq!([1, 2, 3].map(|id| known.get(id)), [None, Some(&'f'), None]);
    }

    #[test]
    fn a_full_dictionary_begins_anew() {
        let (mut dictionary, mut known) = (Dictionary::default(), Defined::default());
        let key = key(1);
        for from in (0..3 * MAX_KEYS as u32).step_by(50_000) {
            let told = dictionary.define((from..from + 50_000).map(|id| (id, &key))).unwrap();
            known.take(told.reset, defined(told).unwrap()).unwrap();
            assert!(known.get(from + 49_999).is_some());
        }
        assert!(known.get(0).is_none());
        let more = (0..=MAX_KEYS as u32).map(|id| (id, ())).collect();
        assert_eq!(Defined::default().take(false, more), Err(Unsound::TooMany));
    }

    #[test]
    fn what_was_not_defined_is_refused() {
        let check = |told: wire::Definitions, expected| {
            assert_eq!(defined(told), Err(expected));
        };
        let end = wire::End { name: 1, ..wire::End::default() };
        check(
            wire::Definitions { ends: vec![end], ..Default::default() },
            Unsound::Undefined("a text"),
        );
        let key = wire::Key::default();
        check(
            wire::Definitions { keys: vec![key], ..Default::default() },
            Unsound::Undefined("an end"),
        );
        let texts = vec!["x".repeat(MAX_TEXT_BYTES + 1)];
        check(wire::Definitions { texts, ..Default::default() }, Unsound::LongText);
        let keys = vec![wire::Key::default(); MAX_KEYS + 1];
        check(wire::Definitions { keys, ..Default::default() }, Unsound::TooMany);
    }
}
