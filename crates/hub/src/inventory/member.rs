//! One agent that is told what it wants.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;
use hashbrown::HashSet;
use proto::wire;

use super::key::{Key, Str};
use super::mailbox::{Letters, Mailbox};
use super::{Inventory, encode};

/// Of one batch, whichever is reached first. Each stream keeps buffers as large as its largest message, for good.
const BATCH_ITEMS: usize = 256;
const BATCH_BYTES: usize = 4 << 10;

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
}

/// Dropping it ends what the agent is told.
pub struct Member {
    inventory: Arc<Inventory>,
    mailbox: Arc<Mailbox>,
    wanted: HashSet<IpAddr>,
    max_addresses: usize,
    /// Services of the account that have not been sent yet.
    services: Option<(Arc<[Bytes]>, usize)>,
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
        let id = inventory.next.fetch_add(1, Ordering::Relaxed);
        let node: Str = hello.node.into();
        let mailbox = Arc::new(Mailbox::new(id, node, inventory.broadcast));
        inventory.interests().add(&mailbox);
        let mut member = Self {
            inventory: inventory.clone(),
            mailbox,
            wanted: HashSet::new(),
            max_addresses,
            services: None,
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
                member.services = Some((inventory.services(&store), 0));
                let node = &member.mailbox.node;
                let key = |pod: &super::object::Pod| Key::Pod {
                    uid: pod.uid.clone(),
                    node: pod.node.clone(),
                };
                let itself = store.nodes.find("", node).map(|_| Key::Node { name: node.clone() });
                let addresses = member.wanted.iter().copied().map(Key::Address);
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
            Key::Service { .. } => true,
            Key::Node { name } => *name == self.mailbox.node,
            Key::Address(ip) => self.wanted.contains(ip),
        }
    }

    /// The agent wants these addresses, too.
    pub fn want(&mut self, addresses: impl Iterator<Item = IpAddr>) {
        let new = self.register(addresses);
        self.mailbox.fill(new.into_iter().map(Key::Address));
    }

    /// Those that were not wanted before.
    fn register(&mut self, addresses: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
        let mut interests = self.inventory.interests();
        let mut new = Vec::new();
        for ip in addresses {
            if self.wanted.contains(&ip) {
                continue;
            }
            if self.wanted.len() >= self.max_addresses {
                self.inventory.counters.refused_addresses.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            self.wanted.insert(ip);
            interests.want(ip, &self.mailbox);
            new.push(ip);
        }
        new
    }

    /// The agent no longer wants these.
    pub fn forget(&mut self, addresses: impl Iterator<Item = IpAddr>) {
        let mut interests = self.inventory.interests();
        for ip in addresses.filter(|ip| self.wanted.remove(ip)) {
            interests.forget(ip, &self.mailbox);
        }
    }

    /// What is to be sent now; nothing if the agent knows everything.
    pub fn outgoing(&mut self) -> Option<Outgoing> {
        let mut items: Vec<Bytes> = Vec::new();
        let mut bytes = 0;
        let full = |items: &[Bytes], bytes| items.len() >= BATCH_ITEMS || bytes >= BATCH_BYTES;
        if let Some((services, at)) = &mut self.services {
            while let Some(service) = services.get(*at).filter(|_| !full(&items, bytes)) {
                bytes += service.len();
                items.push(service.clone());
                *at += 1;
            }
            if *at == services.len() {
                self.services = None;
            }
        }
        // No writer may come between what is taken and the number that stands for all before it.
        let store = self.inventory.store();
        let room = BATCH_ITEMS.saturating_sub(items.len());
        let Letters { keys, mut all, since, coalesced } = self.mailbox.take(room);
        if items.is_empty() && keys.is_empty() && !self.begins && !self.syncs {
            return None;
        }
        let mut keys = keys.into_iter();
        while !full(&items, bytes) {
            let Some(key) = keys.next() else { break };
            // What the agent no longer wants may still have been in its mailbox.
            if matches!(&key, Key::Address(ip) if !self.wanted.contains(ip)) {
                continue;
            }
            let item = match key {
                Key::Address(ip) => self.inventory.interests().answer(ip, || encode(&store, &key)),
                key => encode(&store, &key),
            };
            bytes += item.len();
            items.push(item);
        }
        if keys.len() > 0 {
            self.mailbox.fill(keys);
            all = false;
        }
        all &= self.services.is_none();
        let synced = self.syncs && all;
        let began = std::mem::take(&mut self.begins);
        let since = since.filter(|_| !self.syncs);
        self.syncs &= !synced;
        let counters = &self.inventory.counters;
        counters.coalesced.fetch_add(coalesced, Ordering::Relaxed);
        counters.batches.fetch_add(1, Ordering::Relaxed);
        counters.items.fetch_add(items.len() as u64, Ordering::Relaxed);
        counters.item_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        let batch = wire::Batch {
            epoch: store.log.epoch,
            sequence: if all { store.log.sequence() } else { 0 },
            begin: began,
            synced,
            items,
        };
        Some(Outgoing { batch, since })
    }

    /// Returns when there may be something to send.
    pub async fn news(&self) {
        self.mailbox.filled().await;
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.inventory.interests().remove(&self.mailbox, self.wanted.iter().copied());
    }
}
