//! Who talked to whom during the last seconds. Bounded: what finds no room is summed up as `others`.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::ops::AddAssign;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::line::{Event, Kind, Line, Way};
use model::row::is_routine;

use super::party::Party;
use super::slots::{SLOTS, Slots};

/// Pairs of pods that are followed at once.
const MAX_PAIRS: usize = 2000;
/// Distinct failures that are followed at once.
const MAX_FAILURES: usize = 500;
/// Addresses of this node that are remembered.
const MAX_LOCAL: usize = 4096;

/// What a pair did, summed up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Payload bytes, both ways.
    pub bytes: u64,
    pub connections: u64,
    /// Failed connections.
    pub failures: u64,
    /// Packets that the kernel discarded.
    pub drops: u64,
    pub retransmits: u64,
    pub rtt_us: u64,
    pub rtt_samples: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.connections += other.connections;
        self.failures += other.failures;
        self.drops += other.drops;
        self.retransmits += other.retransmits;
        self.rtt_us += other.rtt_us;
        self.rtt_samples += other.rtt_samples;
    }
}

/// A way to fail, of one pair: a connection's or a packet's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Failure {
    pub source: Party,
    pub destination: Party,
    pub port: u16,
    pub dropped: bool,
    /// Name of the errno, or the kernel's reason of a drop.
    pub what: Arc<str>,
}

pub struct Window {
    began: Instant,
    span: Duration,
    /// When it was last slid; in parts of the window.
    part: u64,
    pairs: HashMap<(Party, Party), Slots<Counts>>,
    others: Slots<Counts>,
    failures: HashMap<Failure, Slots<u64>>,
    /// Addresses that local ends had: what they do is counted at the source.
    local: HashSet<IpAddr>,
    records: Slots<u64>,
    lost: u64,
}

impl Window {
    /// Covers the `span` before now, at least a millisecond.
    pub fn new(span: Duration, now: Instant) -> Self {
        Self {
            began: now,
            span: span.max(Duration::from_millis(1)),
            part: 0,
            pairs: HashMap::new(),
            others: Slots::default(),
            failures: HashMap::new(),
            local: HashSet::new(),
            records: Slots::default(),
            lost: 0,
        }
    }

    pub fn lose(&mut self, records: u64) {
        self.lost += records;
    }

    /// Takes in a record that arrived at `now`.
    pub fn add(&mut self, line: &Line, now: Instant) {
        self.slide(now);
        self.records.add(self.part, 1);
        let counts = self.count(line);
        if counts == Counts::default() {
            return;
        }
        let pair = (Party::from(&line.source), Party::from(&line.destination));
        let failures = counts.failures + counts.drops;
        if failures > 0 {
            self.fail(line, &pair, failures);
        }
        let full = self.pairs.len() >= MAX_PAIRS;
        match self.pairs.get_mut(&pair) {
            Some(slots) => slots.add(self.part, counts),
            None if full => self.others.add(self.part, counts),
            None => self.pairs.entry(pair).or_default().add(self.part, counts),
        }
    }

    /// Both ends of a connection may be on this node, and then each tells of it. Traffic and connections count where
    /// the source tells; where it lives elsewhere, the destination does. Failures, drops and retransmissions are told
    /// only by the end that had them.
    fn count(&mut self, line: &Line) -> Counts {
        let first = match line.direction {
            Some(Way::Ingress) => !line.source.ip.is_some_and(|ip| self.is_local(ip)),
            _ => true,
        };
        self.learn(line);
        let mut counts = Counts::default();
        match (line.kind, line.event) {
            (Kind::Flow, _) => {
                if first {
                    counts.bytes = line.bytes_sent.unwrap_or(0) + line.bytes_received.unwrap_or(0);
                }
                counts.retransmits = line.retransmits.unwrap_or(0).into();
                counts.rtt_us = line.rtt_us.unwrap_or(0).into();
                counts.rtt_samples = line.rtt_us.is_some().into();
            }
            (Kind::Connection, Some(Event::Failed)) => counts.failures = 1,
            (Kind::Connection, Some(Event::Opened | Event::Accepted)) => {
                counts.connections = first.into()
            }
            (Kind::Connection, _) => {}
            // Told by the connections and flows that follow.
            (Kind::Dns, _) => {}
            (Kind::Drop, _) => {
                let reason = line.reason.as_deref().unwrap_or_default();
                if !is_routine(reason, line.destination.ip) {
                    counts.drops = line.packets.unwrap_or(1);
                }
            }
        }
        counts
    }

    /// Which addresses are this node's: also from records older than the window.
    pub fn learn(&mut self, line: &Line) {
        let local = match line.direction {
            Some(Way::Egress) => line.source.ip,
            Some(Way::Ingress) => line.destination.ip,
            None => None,
        };
        if let Some(ip) = local {
            // Pods that have gone leave their addresses behind; the live ones are soon back.
            if self.local.len() >= MAX_LOCAL {
                self.local.clear();
            }
            self.local.insert(ip.to_canonical());
        }
    }

    fn is_local(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        ip.is_loopback() || self.local.contains(&ip)
    }

    fn fail(&mut self, line: &Line, pair: &(Party, Party), count: u64) {
        let what = match (&line.error, &line.reason) {
            (Some(error), _) => error.as_ref().into(),
            (None, Some(reason)) => reason.clone(),
            (None, None) => "failed".into(),
        };
        let (source, destination) = pair.clone();
        let (port, dropped) = (line.destination.port, line.kind == Kind::Drop);
        let failure = Failure { source, destination, port, dropped, what };
        // A failure without room is still counted in its pair.
        if self.failures.len() < MAX_FAILURES || self.failures.contains_key(&failure) {
            self.failures.entry(failure).or_default().add(self.part, count);
        }
    }

    /// Moves the window's end to `now` and forgets what has left it.
    pub fn slide(&mut self, now: Instant) {
        let slot = self.span / SLOTS as u32;
        let part =
            (now.saturating_duration_since(self.began).as_nanos() / slot.as_nanos().max(1)) as u64;
        if part > self.part {
            self.part = part;
            self.pairs.retain(|_, slots| !slots.stale(part));
            self.failures.retain(|_, slots| !slots.stale(part));
        }
    }

    pub fn pairs(&self) -> impl Iterator<Item = (&Party, &Party, Counts)> {
        self.pairs
            .iter()
            .map(|((source, destination), slots)| (source, destination, slots.sum(self.part)))
    }

    /// Pairs that found no room.
    pub fn others(&self) -> Counts {
        self.others.sum(self.part)
    }

    pub fn failures(&self) -> impl Iterator<Item = (&Failure, u64)> {
        self.failures.iter().map(|(failure, slots)| (failure, slots.sum(self.part)))
    }

    pub fn records(&self) -> u64 {
        self.records.sum(self.part)
    }

    /// Records that did not arrive, since the start.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Seconds that the sums cover at `now`; at least one part of the window.
    pub fn seconds(&self, now: Instant) -> f64 {
        let slot = self.span / SLOTS as u32;
        now.saturating_duration_since(self.began).clamp(slot, self.span).as_secs_f64()
    }
}

#[cfg(test)]
mod tests;
