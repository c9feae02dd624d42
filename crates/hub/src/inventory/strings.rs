//! Texts that many objects have in common, each held once.

use std::hash::Hash;
use std::sync::Arc;

use hashbrown::HashSet;
use reflector::Protocol;

use super::container::ContainerKind;
use super::template::{Owned, Port, Template};

/// Holds each value once for as long as anybody uses it.
#[derive(Debug)]
pub struct Shared<T: ?Sized> {
    values: HashSet<Arc<T>>,
    /// When so many are held, those that nobody uses are looked for.
    sweep_at: usize,
}

const FIRST_SWEEP: usize = 1024;

impl<T: ?Sized> Default for Shared<T> {
    fn default() -> Self {
        Self { values: HashSet::new(), sweep_at: FIRST_SWEEP }
    }
}

impl<T: ?Sized + Eq + Hash> Shared<T> {
    /// The one that equals `value`.
    pub fn share(&mut self, value: Arc<T>) -> Arc<T> {
        if let Some(held) = self.values.get(&value) {
            return held.clone();
        }
        if self.values.len() >= self.sweep_at {
            self.values.retain(|held| Arc::strong_count(held) > 1);
            // A quarter at most is held for nobody.
            self.sweep_at = FIRST_SWEEP.max(self.values.len() + self.values.len() / 4);
            self.values.shrink_to(self.sweep_at);
        }
        self.values.insert(value.clone());
        value
    }

    pub fn len(&self) -> usize {
        self.values.len()
    }
}

/// Labels or annotations.
pub type Pairs = Arc<[(Arc<str>, Arc<str>)]>;

/// Of each kind of value that repeats.
#[derive(Debug, Default)]
pub struct Strings {
    pub texts: Shared<str>,
    pairs: Shared<[(Arc<str>, Arc<str>)]>,
    pub workloads: Shared<model::Workload>,
    pub owners: Shared<Owned>,
    pub containers: Shared<ContainerKind>,
    pub kinds: Shared<[Arc<ContainerKind>]>,
    ports: Shared<[Port]>,
    pub targets: Shared<[model::TargetPort]>,
    pub templates: Shared<Template>,
}

impl Strings {
    pub fn text(&mut self, text: Arc<str>) -> Arc<str> {
        self.texts.share(text)
    }

    pub fn pairs(&mut self, pairs: Vec<(Arc<str>, Arc<str>)>) -> Pairs {
        let pairs = pairs.into_iter().map(|(key, value)| (self.text(key), self.text(value)));
        let pairs: Pairs = pairs.collect();
        self.pairs.share(pairs)
    }

    /// By name, number and protocol.
    pub fn ports(&mut self, ports: impl Iterator<Item = (Arc<str>, u16, Protocol)>) -> Arc<[Port]> {
        let ports: Arc<[Port]> = ports
            .map(|(name, number, protocol)| Port { name: self.texts.share(name), number, protocol })
            .collect();
        self.ports.share(ports)
    }

    pub fn len(&self) -> usize {
        self.texts.len()
            + self.pairs.len()
            + self.workloads.len()
            + self.owners.len()
            + self.containers.len()
            + self.kinds.len()
            + self.ports.len()
            + self.targets.len()
            + self.templates.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one_and_unused_ones_go() {
        let mut texts = Shared::<str>::default();
        let first = texts.share("shop".into());
        assert!(Arc::ptr_eq(&first, &texts.share("shop".into())));
        for number in 0..10 * FIRST_SWEEP {
            texts.share(number.to_string().into());
        }
        assert!(texts.len() <= FIRST_SWEEP, "{}", texts.len());
        assert!(Arc::ptr_eq(&first, &texts.share("shop".into())), "in use");
    }
}
