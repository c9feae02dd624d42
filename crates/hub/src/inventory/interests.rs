//! Who wants to be told of what.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::key::{Key, Str};
use super::mailbox::Mailbox;

/// What one agent wants.
#[derive(Debug)]
struct Wish {
    mailboxes: Vec<Arc<Mailbox>>,
    /// The newest answer as it travels: made once for all who want it.
    answer: Option<Bytes>,
}

#[derive(Debug, Default)]
pub struct Interests {
    by_node: HashMap<Str, Vec<Arc<Mailbox>>>,
    by_address: HashMap<IpAddr, Wish>,
    /// Services concern everybody.
    all: HashMap<u64, Arc<Mailbox>>,
    /// Those who want to be told of everything.
    broadcast: Vec<Arc<Mailbox>>,
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

    pub fn add(&mut self, mailbox: &Arc<Mailbox>) {
        self.by_node.entry(mailbox.node.clone()).or_default().push(mailbox.clone());
        self.all.insert(mailbox.id, mailbox.clone());
        if mailbox.broadcast {
            self.broadcast.push(mailbox.clone());
        }
    }

    pub fn remove(&mut self, mailbox: &Mailbox, addresses: impl Iterator<Item = IpAddr>) {
        addresses.for_each(|ip| self.forget(ip, mailbox));
        let others = |it: &Arc<Mailbox>| it.id != mailbox.id;
        if let Entry::Occupied(mut entry) = self.by_node.entry(mailbox.node.clone()) {
            entry.get_mut().retain(others);
            if entry.get().is_empty() {
                entry.remove();
            }
        }
        self.all.remove(&mailbox.id);
        self.broadcast.retain(others);
    }

    pub fn want(&mut self, ip: IpAddr, mailbox: &Arc<Mailbox>) {
        let none = || Wish { mailboxes: Vec::with_capacity(1), answer: None };
        self.by_address.entry(ip).or_insert_with(none).mailboxes.push(mailbox.clone());
    }

    pub fn forget(&mut self, ip: IpAddr, mailbox: &Mailbox) {
        if let Entry::Occupied(mut entry) = self.by_address.entry(ip) {
            let mailboxes = &mut entry.get_mut().mailboxes;
            if let Some(at) = mailboxes.iter().position(|it| it.id == mailbox.id) {
                mailboxes.swap_remove(at);
            }
            if mailboxes.is_empty() {
                entry.remove();
            }
        }
    }

    /// The answer for an address, made by `make` unless it is there.
    pub fn answer(&mut self, ip: IpAddr, make: impl FnOnce() -> Bytes) -> Bytes {
        match self.by_address.get_mut(&ip) {
            Some(wish) => wish.answer.get_or_insert_with(make).clone(),
            None => make(),
        }
    }

    /// Puts `key`, whose state has changed, into the mailboxes that it concerns; tells how many.
    pub fn mark(&mut self, key: &Key) -> usize {
        if let Key::Service { .. } = key {
            self.all.values().for_each(|mailbox| mailbox.put(key.clone()));
            return self.all.len();
        }
        let concerned = match key {
            Key::Pod { node, .. } => self.by_node.get(node),
            Key::Node { name } => self.by_node.get(name),
            Key::Address(ip) => self.by_address.get_mut(ip).map(|wish| {
                wish.answer = None;
                &wish.mailboxes
            }),
            Key::Service { .. } => None,
        };
        let concerned = concerned.into_iter().flatten().chain(&self.broadcast);
        concerned.map(|mailbox| mailbox.put(key.clone())).count()
    }

    pub fn mailboxes(&self) -> impl Iterator<Item = &Arc<Mailbox>> {
        self.all.values()
    }
}
