//! One agent that is told what it wants.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use proto::{Parcel, wire};

use super::interests::Id;
use super::key::{Key, Str};
use super::mailbox::{Letters, Mailbox};
use super::wanted::{Wanted, ordered};
use super::{BATCH_BYTES, Inventory, item};

/// Of one batch, unless it has as many bytes as it may before.
const BATCH_ITEMS: usize = 256;

/// What an agent has, and what it wants.
#[derive(Clone, Debug, Default)]
pub struct Hello {
    pub node: String,
    /// Of the last batch that it applied.
    pub epoch: u64,
    pub sequence: u64,
    /// Wanted addresses that were answered up to then, and others.
    pub answered: Vec<IpAddr>,
    pub wanted: Vec<IpAddr>,
    /// It reads packed batches.
    pub unpacks: bool,
}

/// Dropping it ends what the agent is told.
pub struct Member {
    inventory: Arc<Inventory>,
    mailbox: Arc<Mailbox>,
    id: Id,
    wanted: Wanted,
    max_addresses: usize,
    unpacks: bool,
    /// The account has not begun, or is not complete yet.
    begins: bool,
    syncs: bool,
}

/// The next thing to send.
#[derive(Debug)]
pub struct Outgoing {
    pub batch: wire::Batch,
    /// When the oldest change in it happened; `None` in an account.
    pub since: Option<Instant>,
}

impl Member {
    /// From now on every change that concerns the agent is kept for it.
    pub fn join(inventory: &Arc<Inventory>, hello: Hello, max_addresses: usize) -> Self {
        let node: Str = hello.node.into();
        let mailbox = Arc::new(Mailbox::new(node, inventory.broadcast));
        let id = inventory.interests().add(&mailbox);
        let mut member = Self {
            inventory: inventory.clone(),
            mailbox,
            id,
            wanted: Wanted::default(),
            max_addresses,
            unpacks: hello.unpacks,
            begins: false,
            syncs: true,
        };
        member.register(hello.answered.iter().copied());
        let new = member.register(hello.wanted.into_iter());
        let store = inventory.store();
        match store.log.since(hello.epoch, hello.sequence) {
            Some(changes) if !inventory.broadcast => {
                inventory.counters.resumes.fetch_add(1, Ordering::Relaxed);
                let missed = changes.filter(|key| member.is_told_of(key)).cloned();
                member.mailbox.fill(missed.chain(new.into_iter().map(Key::Address)));
            }
            _ => {
                inventory.counters.accounts.fetch_add(1, Ordering::Relaxed);
                member.begins = true;
                let node = &member.mailbox.node;
                let key = |pod: &super::object::Pod| Key::Pod {
                    uid: pod.uid.clone(),
                    node: pod.node.clone(),
                };
                let itself = store.nodes.find("", node).map(|_| Key::Node { name: node.clone() });
                let addresses = member.wanted.iter().map(Key::Address);
                member.mailbox.fill(itself.into_iter().chain(addresses));
                if inventory.broadcast {
                    member.mailbox.fill(store.pods.iter().map(|(_, pod)| key(pod)));
                } else {
                    member.mailbox.fill(store.pods_on(node).map(key));
                }
            }
        }
        drop(store);
        member
    }

    pub fn node(&self) -> &Str {
        &self.mailbox.node
    }

    fn is_told_of(&self, key: &Key) -> bool {
        match key {
            Key::Pod { node, .. } => *node == self.mailbox.node,
            Key::Node { name } => *name == self.mailbox.node,
            Key::Address(ip) => self.wanted.contains(*ip),
        }
    }

    /// The agent wants these addresses, too.
    pub fn want(&mut self, addresses: impl Iterator<Item = IpAddr>) {
        let new = self.register(addresses);
        self.mailbox.fill(new.into_iter().map(Key::Address));
    }

    /// Those that were not wanted before.
    fn register(&mut self, addresses: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
        let mut new = ordered(addresses.filter(|ip| !self.wanted.contains(*ip)));
        let room = self.max_addresses.saturating_sub(self.wanted.len());
        if new.len() > room {
            let refused = (new.len() - room) as u64;
            self.inventory.counters.refused_addresses.fetch_add(refused, Ordering::Relaxed);
            new.truncate(room);
        }
        self.wanted.extend(&new);
        let mut interests = self.inventory.interests();
        new.iter().for_each(|ip| interests.want(*ip, self.id));
        new
    }

    /// The agent no longer wants these.
    pub fn forget(&mut self, addresses: impl Iterator<Item = IpAddr>) {
        let gone = ordered(addresses.filter(|ip| self.wanted.contains(*ip)));
        self.wanted.retain(|ip| gone.binary_search(&ip).is_err());
        let mut interests = self.inventory.interests();
        gone.into_iter().for_each(|ip| interests.forget(ip, self.id));
    }

    /// The next thing to send, once there is something. Nothing is lost if it is not waited for.
    pub async fn next(&mut self) -> Outgoing {
        loop {
            if let Some(outgoing) = self.outgoing() {
                return outgoing;
            }
            self.mailbox.filled().await;
        }
    }

    /// What is to be sent now; nothing if the agent knows everything.
    pub fn outgoing(&mut self) -> Option<Outgoing> {
        // No writer may come between what is taken and the number that stands for all before it.
        let store = self.inventory.store();
        let Letters { keys, mut all, since, coalesced } = self.mailbox.take(BATCH_ITEMS);
        if keys.is_empty() && !self.begins && !self.syncs {
            return None;
        }
        let mut parcel = Parcel::default();
        let mut keys = keys.into_iter();
        while parcel.bytes() < BATCH_BYTES {
            let Some(key) = keys.next() else { break };
            // What the agent no longer wants may still have been in its mailbox.
            if matches!(&key, Key::Address(ip) if !self.wanted.contains(*ip)) {
                continue;
            }
            parcel.push(&item(&store, &key));
        }
        if keys.len() > 0 {
            self.mailbox.fill(keys);
            all = false;
        }
        let synced = self.syncs && all;
        let since = since.filter(|_| !self.syncs);
        self.syncs &= !synced;
        let mut batch = wire::Batch {
            epoch: store.log.epoch,
            sequence: if all { store.log.sequence() } else { 0 },
            begin: std::mem::take(&mut self.begins),
            synced,
            ..wire::Batch::default()
        };
        drop(store);
        self.inventory.counters.coalesced.fetch_add(coalesced, Ordering::Relaxed);
        self.count(&parcel);
        parcel.fill(&mut batch, self.unpacks);
        Some(Outgoing { batch, since })
    }

    /// A batch.
    fn count(&self, parcel: &Parcel) {
        let counters = &self.inventory.counters;
        counters.batches.fetch_add(1, Ordering::Relaxed);
        counters.items.fetch_add(parcel.len() as u64, Ordering::Relaxed);
        counters.item_bytes.fetch_add(parcel.bytes() as u64, Ordering::Relaxed);
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.inventory.interests().remove(self.id, self.wanted.iter());
    }
}
