//! Which series or row a pair of ends has, found by identity instead of by comparing all names again.

use std::sync::Arc;

use hashbrown::HashMap;
use model::{Direction, Endpoint, Identity, Protocol};

/// Pairs at most; workloads talk with few others, and what is forgotten is only found more slowly.
const MAX: usize = 4096;

pub struct Memo<T> {
    known: HashMap<Pair, Known<T>>,
}

impl<T> Default for Memo<T> {
    fn default() -> Self {
        Self { known: HashMap::new() }
    }
}

/// The addresses of two identities, which [`Known`] keeps alive.
#[derive(PartialEq, Eq, Hash)]
pub struct Pair {
    source: usize,
    destination: usize,
    protocol: Protocol,
    direction: Direction,
    port: u16,
}

struct Known<T> {
    value: T,
    _ends: [Option<Arc<Identity>>; 2],
}

impl<T: Copy> Memo<T> {
    pub fn find(&self, pair: &Pair) -> Option<T> {
        Some(self.known.get(pair)?.value)
    }

    /// `ends` are those of which `pair` was made.
    pub fn keep(&mut self, pair: Pair, ends: [&Endpoint; 2], value: T) {
        if self.known.len() >= MAX {
            self.known.clear();
        }
        let ends = ends.map(|end| end.identity.clone());
        self.known.insert(pair, Known { value, _ends: ends });
    }

    /// To be called whenever a slot may change its series, or a full table may have room again.
    pub fn forget(&mut self) {
        self.known.clear();
    }
}

impl Pair {
    /// `port`: 0 where it does not matter.
    pub fn new(
        [source, destination]: [&Endpoint; 2],
        protocol: Protocol,
        direction: Direction,
        port: u16,
    ) -> Self {
        let (source, destination) = (address(source), address(destination));
        Self { source, destination, protocol, direction, port }
    }
}

fn address(end: &Endpoint) -> usize {
    end.identity.as_ref().map_or(0, |identity| Arc::as_ptr(identity).addr())
}
