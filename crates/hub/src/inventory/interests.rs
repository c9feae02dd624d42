//! Who wants to be told of what.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use slab::Slab;

use super::addresses::mapped;
use super::key::{Key, Str};
use super::mailbox::Mailbox;

/// Names an agent for as long as it is here. Small: there is one for each address that each agent wants.
pub type Id = u32;

#[derive(Debug, Default)]
pub struct Interests {
    by_node: HashMap<Str, Vec<Id>>,
    /// By address, as [`mapped`] has it. Lists have little room to spare: there is one for nearly each address of the
    /// cluster.
    by_address: HashMap<Ipv6Addr, Vec<Id>>,
    all: Slab<Arc<Mailbox>>,
    /// Those who want to be told of everything.
    broadcast: Vec<Id>,
}

impl Interests {
    pub fn agents(&self) -> usize {
        self.all.len()
    }

    pub fn addresses(&self) -> usize {
        self.by_address.len()
    }

    pub fn of_node(&self, node: &str) -> usize {
        self.by_node.get(node).map_or(0, Vec::len)
    }

    pub fn add(&mut self, mailbox: &Arc<Mailbox>) -> Id {
        let id = self.all.insert(mailbox.clone()) as Id;
        // Nearly always the only one of its node.
        let none = || Vec::with_capacity(1);
        self.by_node.entry(mailbox.node.clone()).or_insert_with(none).push(id);
        if mailbox.broadcast {
            self.broadcast.push(id);
        }
        id
    }

    /// `addresses`: all that it wants.
    pub fn remove(&mut self, id: Id, addresses: impl Iterator<Item = IpAddr>) {
        addresses.for_each(|ip| self.forget(ip, id));
        let Some(mailbox) = self.all.try_remove(id as usize) else { return };
        if let Entry::Occupied(mut entry) = self.by_node.entry(mailbox.node.clone()) {
            entry.get_mut().retain(|other| *other != id);
            if entry.get().is_empty() {
                entry.remove();
            }
        }
        self.broadcast.retain(|other| *other != id);
    }

    pub fn want(&mut self, ip: IpAddr, id: Id) {
        let ids = self.by_address.entry(mapped(ip)).or_default();
        if ids.len() == ids.capacity() {
            ids.reserve_exact(1 + ids.len() / 8);
        }
        ids.push(id);
    }

    pub fn forget(&mut self, ip: IpAddr, id: Id) {
        let Entry::Occupied(mut entry) = self.by_address.entry(mapped(ip)) else { return };
        let ids = entry.get_mut();
        if let Some(at) = ids.iter().position(|other| *other == id) {
            ids.swap_remove(at);
        }
        if ids.is_empty() {
            entry.remove();
        }
    }

    /// Puts `key`, whose state has changed, into the mailboxes that it concerns; tells how many.
    pub fn mark(&self, key: &Key) -> usize {
        let mut marked = 0;
        let mut put = |id: &Id| {
            if let Some(mailbox) = self.all.get(*id as usize) {
                mailbox.put(key.clone());
                marked += 1;
            }
        };
        match key {
            Key::Pod { node, .. } | Key::Node { name: node } => {
                self.by_node.get(node).into_iter().flatten().for_each(&mut put);
            }
            Key::Address(ip) => {
                self.by_address.get(&mapped(*ip)).into_iter().flatten().for_each(&mut put);
            }
        }
        self.broadcast.iter().for_each(put);
        marked
    }

    pub fn mailboxes(&self) -> impl Iterator<Item = &Arc<Mailbox>> {
        self.all.iter().map(|(_, mailbox)| mailbox)
    }
}
