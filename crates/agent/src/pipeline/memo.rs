//! Which series a pair of ends has, found by identity instead of by comparing all names again.

use std::sync::Arc;

use hashbrown::HashMap;
use model::{Direction, Endpoint, Identity, Protocol};

use super::table::Slot;

/// Pairs at most; workloads talk with few others, and what is forgotten is only found more slowly.
const MAX: usize = 4096;

#[derive(Default)]
pub struct Memo {
    known: HashMap<Pair, Known>,
}

/// The addresses of two identities, which [`Known`] keeps alive.
#[derive(PartialEq, Eq, Hash)]
struct Pair {
    source: usize,
    destination: usize,
    protocol: Protocol,
    direction: Direction,
}

struct Known {
    slot: Slot,
    overflow: bool,
    _ends: [Option<Arc<Identity>>; 2],
}

impl Memo {
    /// The slot, and whether it is the overflow's.
    pub fn find(
        &self,
        ends: [&Endpoint; 2],
        protocol: Protocol,
        direction: Direction,
    ) -> Option<(Slot, bool)> {
        let known = self.known.get(&Pair::new(ends, protocol, direction))?;
        Some((known.slot, known.overflow))
    }

    pub fn keep(
        &mut self,
        ends: [&Endpoint; 2],
        protocol: Protocol,
        direction: Direction,
        (slot, overflow): (Slot, bool),
    ) {
        if self.known.len() >= MAX {
            self.known.clear();
        }
        let known = Known { slot, overflow, _ends: ends.map(|end| end.identity.clone()) };
        self.known.insert(Pair::new(ends, protocol, direction), known);
    }

    /// To be called whenever a slot may change its series, or a full table may have room again.
    pub fn forget(&mut self) {
        self.known.clear();
    }
}

impl Pair {
    fn new(
        [source, destination]: [&Endpoint; 2],
        protocol: Protocol,
        direction: Direction,
    ) -> Self {
        Self { source: address(source), destination: address(destination), protocol, direction }
    }
}

fn address(end: &Endpoint) -> usize {
    end.identity.as_ref().map_or(0, |identity| Arc::as_ptr(identity).addr())
}
