//! Keys as they travel: each text, end and key is told once in a stream.

use std::hash::Hash;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use model::row::{End, Key};
use model::{Direction, Protocol};

use crate::telemetry as wire;

/// What a stream has been told: the sender's side. Ids of keys are the sender's own.
#[derive(Debug, Default)]
pub struct Dictionary {
    texts: HashMap<Arc<str>, u32>,
    ends: HashMap<End, u32>,
    keys: HashSet<u32>,
}

/// Keys of which one stream may hold the meaning; both sides have this limit.
const MAX_KEYS: usize = 1 << 17;
/// A text beyond this is cut short: names are shorter, whatever they come from.
const MAX_TEXT_BYTES: usize = 1024;

impl Dictionary {
    /// What must be told before rows with these keys can be understood; `None`: nothing.
    pub fn define<'a>(
        &mut self,
        keys: impl Iterator<Item = (u32, &'a Key)> + Clone,
    ) -> Option<wire::Definitions> {
        let mut out = wire::Definitions::default();
        let new = keys.clone().filter(|(id, _)| !self.keys.contains(id)).count();
        if self.keys.len() + new > MAX_KEYS {
            *self = Self::default();
            out.reset = true;
        }
        for (id, key) in keys {
            if self.keys.insert(id) {
                let key = wire::Key {
                    id,
                    source: self.end(&key.source, &mut out),
                    destination: self.end(&key.destination, &mut out),
                    service: self.text(&key.service, &mut out),
                    protocol: key.protocol.0.into(),
                    port: key.port.into(),
                    ingress: key.direction == Direction::Ingress,
                };
                out.keys.push(key);
            }
        }
        (out.reset || !out.keys.is_empty()).then_some(out)
    }

    fn end(&mut self, end: &End, out: &mut wire::Definitions) -> u32 {
        if let Some(number) = self.ends.get(end) {
            return *number;
        }
        let told = wire::End {
            namespace: self.text(&end.namespace, out),
            kind: self.text(&end.kind, out),
            name: self.text(&end.name, out),
            zone: self.text(&end.zone, out),
        };
        out.ends.push(told);
        number(&mut self.ends, end.clone(), 0)
    }

    fn text(&mut self, text: &Arc<str>, out: &mut wire::Definitions) -> u32 {
        if text.is_empty() {
            return 0;
        }
        if let Some(number) = self.texts.get(text) {
            return *number;
        }
        out.texts.push(text[..text.floor_char_boundary(MAX_TEXT_BYTES)].to_owned());
        number(&mut self.texts, text.clone(), 1)
    }
}

fn number<T: Hash + Eq>(table: &mut HashMap<T, u32>, value: T, first: u32) -> u32 {
    let number = table.len() as u32 + first;
    table.insert(value, number);
    number
}

/// What a stream has told: the receiver's side.
#[derive(Debug)]
pub struct Defined<T> {
    texts: Vec<Arc<str>>,
    /// Numbers of the texts of each: a hub has a thousand such streams, and ends are most of what they define.
    ends: Vec<[u32; 4]>,
    keys: HashMap<u32, T>,
}

impl<T> Default for Defined<T> {
    fn default() -> Self {
        Self { texts: vec!["".into()], ends: Vec::new(), keys: HashMap::new() }
    }
}

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

impl<T> Defined<T> {
    /// `make` gives what a key stands for.
    ///
    /// # Errors
    /// They name what was not defined, or are too many: the stream cannot go on.
    pub fn take(
        &mut self,
        told: wire::Definitions,
        make: impl FnMut(Key) -> T,
    ) -> Result<(), Unsound> {
        self.take_sharing(told, |texts| texts.into_iter().map(Arc::from).collect(), make)
    }

    /// The same where others have most of the texts, too: `share` gives theirs.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn take_sharing(
        &mut self,
        told: wire::Definitions,
        share: impl FnOnce(Vec<String>) -> Vec<Arc<str>>,
        mut make: impl FnMut(Key) -> T,
    ) -> Result<(), Unsound> {
        if told.reset {
            *self = Self::default();
        }
        let room = |held: usize, more: usize, most: usize| match held + more > most {
            true => Err(Unsound::TooMany),
            false => Ok(()),
        };
        room(self.texts.len(), told.texts.len(), 8 * MAX_KEYS)?;
        room(self.ends.len(), told.ends.len(), 2 * MAX_KEYS)?;
        room(self.keys.len(), told.keys.len(), MAX_KEYS)?;
        if told.texts.iter().any(|it| it.len() > MAX_TEXT_BYTES) {
            return Err(Unsound::LongText);
        }
        self.texts.extend(share(told.texts));
        for end in told.ends {
            let texts = [end.namespace, end.kind, end.name, end.zone];
            if texts.iter().any(|it| *it as usize >= self.texts.len()) {
                return Err(Unsound::Undefined("a text"));
            }
            self.ends.push(texts);
        }
        for key in told.keys {
            let end = |number: u32| {
                let end = self.ends.get(number as usize).ok_or(Unsound::Undefined("an end"))?;
                let [namespace, kind, name, zone] = end.map(|it| self.text(it));
                Ok(End { namespace: namespace?, kind: kind?, name: name?, zone: zone? })
            };
            let value = make(Key {
                source: end(key.source)?,
                destination: end(key.destination)?,
                service: self.text(key.service)?,
                protocol: Protocol(key.protocol as u8),
                port: key.port as u16,
                direction: if key.ingress { Direction::Ingress } else { Direction::Egress },
            });
            self.keys.insert(key.id, value);
        }
        // Most of it is told at once.
        self.texts.shrink_to_fit();
        self.ends.shrink_to_fit();
        Ok(())
    }

    /// Replaces what a key stands for, if it is defined.
    pub fn set(&mut self, id: u32, value: T) {
        if let Some(held) = self.keys.get_mut(&id) {
            *held = value;
        }
    }

    pub fn get(&self, id: u32) -> Option<&T> {
        self.keys.get(&id)
    }

    fn text(&self, number: u32) -> Result<Arc<str>, Unsound> {
        self.texts.get(number as usize).cloned().ok_or(Unsound::Undefined("a text"))
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
        let (mut dictionary, mut defined) = (Dictionary::default(), Defined::default());
        let keys: Vec<Key> = (0..20).map(key).collect();
        let numbered = || keys.iter().enumerate().map(|(id, key)| (id as u32, key));
        let told = dictionary.define(numbered()).unwrap();
        assert_eq!((told.texts.len(), told.ends.len(), told.keys.len()), (10, 8, 20));
        defined.take(told, |key| key).unwrap();
        assert!(numbered().all(|(id, key)| defined.get(id) == Some(key)));
        assert_eq!(dictionary.define(numbered()), None);
        assert_eq!(defined.get(20), None);
    }

    #[test]
    fn a_full_dictionary_begins_anew() {
        let (mut dictionary, mut defined) = (Dictionary::default(), Defined::default());
        let key = key(1);
        for from in (0..3 * MAX_KEYS as u32).step_by(50_000) {
            let told = dictionary.define((from..from + 50_000).map(|id| (id, &key))).unwrap();
            defined.take(told, drop).unwrap();
            assert!(defined.get(from + 49_999).is_some());
        }
        assert!(defined.get(0).is_none());
    }

    #[test]
    fn what_was_not_defined_is_refused() {
        let check = |told: wire::Definitions, expected| {
            assert_eq!(Defined::default().take(told, drop), Err(expected));
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
        let texts = vec![String::new(); 9 * MAX_KEYS];
        check(wire::Definitions { texts, ..Default::default() }, Unsound::TooMany);
    }
}
