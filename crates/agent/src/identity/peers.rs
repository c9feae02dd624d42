//! Sockets of this node whose address names nobody (the host's network, loopback), by their ends: the other end of
//! such a connection finds its peer here with the ends swapped.

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hashbrown::{DefaultHashBuilder, HashMap};
use model::{Process, Protocol, Timestamp};

use super::clock::Moment;
use super::counters::Table;

/// How long a socket is remembered after it was last seen; several flow intervals.
const IDLE: Duration = Duration::from_secs(60);
/// How long after it closed, for records of the other end that come later.
const ENDED: Duration = Duration::from_secs(10);

/// The ends of a socket, IPv4-mapped addresses as IPv4. Loopback addresses mean something only within `netns`;
/// it is 0 for all others, which are the same in each namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuple {
    local: (IpAddr, u16),
    remote: (IpAddr, u16),
    protocol: Protocol,
    netns: u32,
}

impl Tuple {
    pub fn new(local: SocketAddr, remote: SocketAddr, protocol: Protocol, netns: u32) -> Self {
        let local = (local.ip().to_canonical(), local.port());
        let remote = (remote.ip().to_canonical(), remote.port());
        let scoped = local.0.is_loopback() || remote.0.is_loopback();
        Self { local, remote, protocol, netns: if scoped { netns } else { 0 } }
    }

    /// The same connection from its other end.
    pub fn swapped(self) -> Self {
        Self { local: self.remote, remote: self.local, ..self }
    }
}

#[derive(Clone, Copy, Debug)]
struct Peer {
    process: Process,
    ended: Option<Timestamp>,
    seen: Moment,
}

/// Entries are kept by a hash of their tuple, which is as large as all the rest of an entry. It has 64 bits and a random
/// seed: that two of a full table's are the same has a chance of 1 in 30 billion.
#[derive(Debug)]
pub struct Peers {
    peers: HashMap<u64, Peer>,
    /// One entry for each peer; `seen` may have moved on since.
    order: VecDeque<(Moment, u64)>,
    hashes: DefaultHashBuilder,
    limit: usize,
    evicted: u64,
}

impl Peers {
    pub fn new(limit: usize) -> Self {
        Self {
            peers: HashMap::new(),
            order: VecDeque::new(),
            hashes: DefaultHashBuilder::default(),
            limit,
            evicted: 0,
        }
    }

    /// Takes in a socket from a record about the time from `began`. True if it was not known before, or is a new one
    /// between the same ends.
    pub fn insert(&mut self, tuple: Tuple, process: Process, began: Timestamp, at: Moment) -> bool {
        let key = self.hashes.hash_one(tuple);
        if let Some(peer) = self.peers.get_mut(&key) {
            let fresh = peer.ended.is_some_and(|ended| ended < began);
            if fresh || peer.ended.is_none() {
                *peer = Peer { process, ended: None, seen: at };
            }
            return fresh;
        }
        while self.peers.len() >= self.limit {
            let Some((_, oldest)) = self.order.pop_front() else { return false };
            self.peers.remove(&oldest);
            self.evicted += 1;
        }
        self.peers.insert(key, Peer { process, ended: None, seen: at });
        self.order.push_back((at, key));
        true
    }

    pub fn end(&mut self, tuple: &Tuple, time: Timestamp) {
        if let Some(peer) = self.peers.get_mut(&self.hashes.hash_one(tuple)) {
            peer.ended = Some(time);
        }
    }

    /// Who owns the socket `tuple`, seen by a record about the time from `began`: a socket that ended before is
    /// another connection's.
    pub fn find(&self, tuple: &Tuple, began: Timestamp) -> Option<Process> {
        let peer = self.peers.get(&self.hashes.hash_one(tuple))?;
        match peer.ended {
            Some(ended) if ended < began => None,
            _ => Some(peer.process),
        }
    }

    pub fn expire(&mut self, at: Moment) {
        for _ in 0..self.order.len() {
            let Some(&(moment, key)) = self.order.front() else { return };
            if at.since(moment) < ENDED {
                return;
            }
            self.order.pop_front();
            let Some(peer) = self.peers.get(&key) else { continue };
            let patience = if peer.ended.is_some() { ENDED } else { IDLE };
            if at.since(peer.seen) >= patience {
                self.peers.remove(&key);
            } else {
                // Not before `moment + ENDED`, and in order: it is looked at again then.
                self.order.push_back((at, key));
            }
        }
    }

    pub fn table(&self) -> Table {
        Table {
            name: "peers",
            entries: self.peers.len() as u64,
            max_entries: self.limit as u64,
            evicted: self.evicted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuple(port: u16) -> Tuple {
        let end = |port| SocketAddr::from(([10, 0, 0, 1], port));
        Tuple::new(end(port), end(80), Protocol::TCP, 7)
    }

    fn at(seconds: u64) -> Moment {
        Moment::default().after(Duration::from_secs(seconds))
    }

    #[test]
    fn loopback_is_scoped_and_mapped_addresses_are_not_special() {
        let mapped = |a: [u8; 4], port| {
            SocketAddr::from((std::net::Ipv4Addr::from(a).to_ipv6_mapped(), port))
        };
        let plain = |a: [u8; 4], port| SocketAddr::from((a, port));
        let tcp = Protocol::TCP;
        assert_eq!(
            Tuple::new(mapped([10, 0, 0, 1], 1), plain([10, 0, 0, 2], 2), tcp, 5),
            Tuple::new(plain([10, 0, 0, 2], 2), mapped([10, 0, 0, 1], 1), tcp, 6).swapped(),
        );
        let loopback =
            |netns| Tuple::new(plain([127, 0, 0, 1], 1), mapped([127, 0, 0, 1], 2), tcp, netns);
        assert_ne!(loopback(5), loopback(6));
        assert_eq!(loopback(5).swapped().swapped(), loopback(5));
    }

    #[test]
    fn an_ended_socket_is_not_the_next_ones_peer() {
        let mut peers = Peers::new(8);
        let process = |pid| Process { pid, ..Process::default() };
        assert!(peers.insert(tuple(1), process(1), Timestamp(1), at(0)));
        assert!(!peers.insert(tuple(1), process(1), Timestamp(2), at(1)));
        peers.end(&tuple(1), Timestamp(100));
        assert_eq!(peers.find(&tuple(1), Timestamp(100)).map(|found| found.pid), Some(1));
        assert!(peers.find(&tuple(1), Timestamp(101)).is_none());
        // A late record of the ended one does not revive it.
        assert!(!peers.insert(tuple(1), process(1), Timestamp(99), at(1)));
        assert!(peers.find(&tuple(1), Timestamp(101)).is_none());
        assert!(peers.insert(tuple(1), process(2), Timestamp(101), at(2)));
        assert_eq!(peers.find(&tuple(1), Timestamp(101)).map(|found| found.pid), Some(2));
    }

    #[test]
    fn the_oldest_leave_first_and_are_counted() {
        let mut peers = Peers::new(4);
        for port in 0..10 {
            peers.insert(tuple(port), Process::default(), Timestamp(0), at(u64::from(port)));
        }
        let table = peers.table();
        assert_eq!((table.entries, table.evicted), (4, 6));
        assert!(peers.find(&tuple(5), Timestamp(0)).is_none());
        assert!(peers.find(&tuple(6), Timestamp(0)).is_some());
        assert_eq!(peers.order.len(), 4);
    }

    #[test]
    fn the_idle_and_the_ended_expire() {
        let mut peers = Peers::new(8);
        for port in 0..3 {
            peers.insert(tuple(port), Process::default(), Timestamp(0), at(0));
        }
        peers.end(&tuple(0), Timestamp(1));
        peers.expire(at(11));
        assert_eq!(peers.table().entries, 2);
        peers.insert(tuple(1), Process::default(), Timestamp(0), at(50));
        peers.expire(at(70));
        assert_eq!(
            (peers.table().entries, peers.find(&tuple(1), Timestamp(0)).is_some()),
            (1, true)
        );
        peers.expire(at(200));
        assert_eq!((peers.table().entries, peers.order.len()), (0, 0));
    }
}
