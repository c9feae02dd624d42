//! What the cluster is, and who is told what of it.
//!
//! One writer ([`Inventory::apply`]), many readers. A change costs its numbers in the log, and a key in the mailbox of each
//! agent that it concerns; values are looked up and encoded when they are sent.

mod addresses;
mod answer;
mod behind;
mod container;
mod endpoints;
mod interests;
mod key;
mod log;
mod mailbox;
mod member;
mod object;
mod orphans;
mod place;
mod store;
mod strings;
mod table;
mod template;
#[cfg(test)]
mod tests;
mod uid;
mod uids;
mod wanted;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use model::Timestamp;
use proto::wire;
use reflector::{Event, Resource};
use tokio::sync::watch;

pub use key::{Key, Str};
pub use member::{Hello, Member, Outgoing};
pub use place::{Deploy, Place, Places, PodPlace};
pub use store::State;
pub(crate) use strings::Shared;

use interests::Interests;
use store::Store;

/// Of a batch, before it is packed: about a third of it waits with the stream.
const BATCH_BYTES: usize = 4 << 10;

pub struct Inventory {
    store: RwLock<Store>,
    // Locked after the store, if both are.
    interests: Mutex<Interests>,
    complete: watch::Sender<bool>,
    broadcast: bool,
    pub counters: Counters,
}

/// What was done so far.
#[derive(Debug, Default)]
pub struct Counters {
    /// Events of watches.
    pub events: AtomicU64,
    /// Changes that somebody had to be told of, once for each that was.
    pub marked: AtomicU64,
    /// Changes that were not sent, because the agent is told a newer state of the same.
    pub coalesced: AtomicU64,
    /// Agents that were told the difference to what they had.
    pub resumes: AtomicU64,
    /// Agents that were told everything that they want.
    pub accounts: AtomicU64,
    pub batches: AtomicU64,
    pub items: AtomicU64,
    /// Encoded items that were sent, before compression.
    pub item_bytes: AtomicU64,
    /// Addresses that agents asked for beyond their limit.
    pub refused_addresses: AtomicU64,
}

/// How much of everything there is.
#[derive(Clone, Debug)]
pub struct Totals {
    pub epoch: u64,
    pub sequence: u64,
    pub log_entries: usize,
    /// Objects of each resource, and how its watch fares.
    pub resources: Vec<(Resource, usize, State)>,
    pub addresses: usize,
    pub strings: usize,
    /// Pods whose owner's owner is not known.
    pub orphans: usize,
    pub agents: usize,
    pub wanted_addresses: usize,
    /// Keys in all mailboxes.
    pub waiting: usize,
    pub store: store::Counters,
}

impl Inventory {
    /// `remember`: for how long it is known who had an address before. `broadcast`: every agent is told of everything, to
    /// measure what that costs.
    pub fn new(log_entries: usize, remember: Duration, broadcast: bool) -> Arc<Self> {
        let epoch = fastrand::u64(1..);
        Arc::new(Self {
            store: RwLock::new(Store::new(epoch, log_entries, remember)),
            interests: Mutex::default(),
            complete: watch::Sender::new(false),
            broadcast,
            counters: Counters::default(),
        })
    }

    /// Takes what the watches told. Only one thread may do so.
    pub fn apply(&self, events: impl Iterator<Item = Event>) {
        let now = Timestamp::now();
        let mut touched = Vec::new();
        let mut store = self.store.write().unwrap_or_else(PoisonError::into_inner);
        let mut taken = 0;
        for event in events {
            store.take(event, now, &mut touched);
            taken += 1;
        }
        store.settle(&mut touched, now);
        self.counters.events.fetch_add(taken, Ordering::Relaxed);
        let interests = self.interests();
        let marked: usize = touched.iter().map(|key| interests.mark(key)).sum();
        self.counters.marked.fetch_add(marked as u64, Ordering::Relaxed);
        let complete = store.is_complete();
        self.complete.send_if_modified(|now| complete && !std::mem::replace(now, true));
    }

    /// Everything of every resource has been told at least once.
    pub fn is_complete(&self) -> bool {
        *self.complete.borrow()
    }

    /// Returns once that is so.
    pub async fn completed(&self) {
        // The sender lives as long as this.
        let _ = self.complete.subscribe().wait_for(|complete| *complete).await;
    }

    /// Agents of this node.
    pub fn agents_of(&self, node: &str) -> usize {
        self.interests().of_node(node)
    }

    /// The node on which a pod runs.
    pub fn node_of_pod(&self, uid: &str) -> Option<Str> {
        self.store().pod_by_uid(&uid.into()).map(|pod| pod.node.clone())
    }

    pub fn totals(&self) -> Totals {
        let store = self.store();
        let interests = self.interests();
        let resources = Resource::ALL.into_iter();
        Totals {
            epoch: store.log.epoch,
            sequence: store.log.sequence(),
            log_entries: store.log.len(),
            resources: resources.map(|it| (it, store.count(it), store.state(it).clone())).collect(),
            addresses: store.addresses.len(),
            strings: store.strings.len(),
            orphans: store.orphans.len(),
            agents: interests.agents(),
            wanted_addresses: interests.addresses(),
            waiting: interests.mailboxes().map(|mailbox| mailbox.len()).sum(),
            store: store.counters,
        }
    }

    fn store(&self) -> RwLockReadGuard<'_, Store> {
        self.store.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn interests(&self) -> MutexGuard<'_, Interests> {
        self.interests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The newest state of what `key` names.
fn item(store: &Store, key: &Key) -> wire::Item {
    // Keys name what travels, never a mark.
    proto::item(&store.change(key)).unwrap_or_default()
}
