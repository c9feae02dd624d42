//! Who wants to be told of what.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use slab::Slab;

use super::key::{Key, Str};
use super::mailbox::Mailbox;

/// Names an agent for as long as it is here. Small: there is one for each address that each agent wants.
pub type Id = u32;

#[derive(Debug, Default)]
pub struct Interests {
    by_node: HashMap<Str, Vec<Id>>,
    /// Pairs take half of what a table of lists does: nearly all are IPv4, and many agents want each.
    by_v4: BTreeSet<(Ipv4Addr, Id)>,
    by_v6: BTreeSet<(Ipv6Addr, Id)>,
    all: Slab<Arc<Mailbox>>,
    /// Those who want to be told of everything.
    broadcast: Vec<Id>,
}

impl Interests {
    pub fn agents(&self) -> usize {
        self.all.len()
    }

    /// Addresses that agents want, once for each that does.
    pub fn wanted(&self) -> usize {
        self.by_v4.len() + self.by_v6.len()
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
        match ip {
            IpAddr::V4(ip) => self.by_v4.insert((ip, id)),
            IpAddr::V6(ip) => self.by_v6.insert((ip, id)),
        };
    }

    pub fn forget(&mut self, ip: IpAddr, id: Id) {
        match ip {
            IpAddr::V4(ip) => self.by_v4.remove(&(ip, id)),
            IpAddr::V6(ip) => self.by_v6.remove(&(ip, id)),
        };
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
            Key::Address(IpAddr::V4(ip)) => {
                self.by_v4.range((*ip, 0)..=(*ip, Id::MAX)).for_each(|(_, id)| put(id));
            }
            Key::Address(IpAddr::V6(ip)) => {
                self.by_v6.range((*ip, 0)..=(*ip, Id::MAX)).for_each(|(_, id)| put(id));
            }
        }
        self.broadcast.iter().for_each(put);
        marked
    }

    pub fn mailboxes(&self) -> impl Iterator<Item = &Arc<Mailbox>> {
        self.all.iter().map(|(_, mailbox)| mailbox)
    }
}
