//! Records summed by workload: what `/metrics` shows.

use std::hash::BuildHasher;
use std::time::{Duration, Instant};

use hashbrown::{DefaultHashBuilder, HashMap};
use model::{
    Connection, ConnectionEvent, Direction, Drop, Endpoint, Flow, Lookup, Protocol, Record,
    Subject, dns,
};

use super::histogram::Histogram;
use super::labels::{End, Ends};
use super::memo::{Memo, Pair};
use super::table::{Series, Slot, Table, Values};
use crate::config;

/// The metrics that come from records. Order of [`Aggregate::overflow`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    Connections,
    ConnectSeconds,
    ActiveConnections,
    FlowBytes,
    FlowPackets,
    Retransmits,
    Rtt,
    Drops,
    Lookups,
}

impl Metric {
    pub const ALL: [Self; 9] = [
        Self::Connections,
        Self::ConnectSeconds,
        Self::ActiveConnections,
        Self::FlowBytes,
        Self::FlowPackets,
        Self::Retransmits,
        Self::Rtt,
        Self::Drops,
        Self::Lookups,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Connections => "amphipod_connections_total",
            Self::ConnectSeconds => "amphipod_connect_seconds",
            Self::ActiveConnections => "amphipod_active_connections",
            Self::FlowBytes => "amphipod_flow_bytes_total",
            Self::FlowPackets => "amphipod_flow_packets_total",
            Self::Retransmits => "amphipod_tcp_retransmits_total",
            Self::Rtt => "amphipod_tcp_rtt_seconds",
            Self::Drops => "amphipod_drops_total",
            Self::Lookups => "dns_lookup_duration_seconds",
        }
    }
}

/// What one label set counts. An absent value was never observed: it has no series, rather than a zero.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    pub established: u64,
    pub failed: u64,
    pub active: Option<u64>,
    pub connect: Option<Box<Histogram>>,
    pub moved: Option<Moved>,
    /// Of TCP only.
    pub retransmits: Option<u64>,
    pub rtt: Option<Box<Histogram>>,
}

/// From source to destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    pub bytes: u64,
    pub packets: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Dropped {
    pub packets: u64,
}

impl Values for Traffic {
    fn is_live(&self) -> bool {
        self.active.is_some_and(|active| active > 0)
    }
}

impl Values for Dropped {}

#[derive(Clone, Debug, Default)]
pub struct Answered {
    pub duration: Histogram,
}

impl Values for Answered {}

pub struct Aggregate {
    expiry: Duration,
    pods: bool,
    traffic: Table<Traffic>,
    memo: Memo<(Slot, bool)>,
    drops: Table<Dropped>,
    lookups: Table<Answered>,
    /// Series of each live connection, by its key.
    live: HashMap<u64, Slot>,
    max_live: usize,
    keys: DefaultHashBuilder,
    /// Live connections that `amphipod_active_connections` lacks for want of room, ever.
    uncounted: u64,
    overflow: [u64; Metric::ALL.len()],
}

/// A copy of all series at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub traffic: Vec<Series<Traffic>>,
    pub drops: Vec<Series<Dropped>>,
    pub lookups: Vec<Series<Answered>>,
    pub overflow: [u64; Metric::ALL.len()],
}

impl Aggregate {
    /// Of at most `max_connections` live connections.
    pub fn new(metrics: &config::Metrics, max_connections: usize) -> Self {
        Self {
            expiry: metrics.expiry,
            pods: metrics.pod_labels,
            traffic: Table::new(metrics.max_series),
            memo: Memo::default(),
            drops: Table::new(metrics.max_series),
            lookups: Table::new(metrics.max_series),
            live: HashMap::new(),
            max_live: max_connections,
            keys: DefaultHashBuilder::default(),
            uncounted: 0,
            overflow: [0; Metric::ALL.len()],
        }
    }

    pub fn add(&mut self, record: &Record, now: Instant) {
        match &record.subject {
            Subject::Connection(connection) => self.connection(record, connection, now),
            Subject::Flow(flow) => self.flow(record, flow, now),
            Subject::Drop(Drop { reason, packets, .. }) => {
                let ends = Ends { reason, ..self.ends(record) };
                let (_, dropped, overflow) = self.drops.entry(&ends, now);
                dropped.packets += packets;
                count(&mut self.overflow, overflow, &[Metric::Drops]);
            }
            Subject::Dns(lookup) => {
                let ends = Ends { rcode: rcode(lookup), ..self.ends(record) };
                let (_, answered, overflow) = self.lookups.entry(&ends, now);
                answered.duration.observe(lookup.duration_ns);
                count(&mut self.overflow, overflow, &[Metric::Lookups]);
            }
        }
    }

    fn ends<'a>(&self, record: &'a Record) -> Ends<'a> {
        Ends {
            source: End::new(&record.source, self.pods),
            destination: End::new(&record.destination, self.pods),
            protocol: record.protocol,
            direction: record.direction,
            reason: "",
            rcode: "",
        }
    }

    /// The series of traffic between `ends`, source first, and whether it is the overflow's.
    fn slot(
        &mut self,
        ends: [&Endpoint; 2],
        protocol: Protocol,
        direction: Direction,
        now: Instant,
    ) -> (Slot, bool) {
        let pair = Pair::new(ends, protocol, direction, 0);
        if let Some(known) = self.memo.find(&pair) {
            return known;
        }
        let [source, destination] = ends.map(|end| End::new(end, self.pods));
        let labels = Ends { source, destination, protocol, direction, reason: "", rcode: "" };
        let (slot, _, full) = self.traffic.entry(&labels, now);
        self.memo.keep(pair, ends, (slot, full));
        (slot, full)
    }

    fn connection(&mut self, record: &Record, connection: &Connection, now: Instant) {
        // In the series where it was counted when it opened, whatever its ends are called by now.
        if connection.event == ConnectionEvent::Closed {
            if let Some(slot) = self.live.remove(&connection_key(&self.keys, record)) {
                leave(&mut self.traffic, slot, now);
            }
            return;
        }
        let ends = [&record.source, &record.destination];
        let (slot, full) = self.slot(ends, record.protocol, record.direction, now);
        let Self { traffic, overflow, live, .. } = self;
        let Some(series) = traffic.get_mut(slot, now) else { return };
        if connection.event == ConnectionEvent::Failed {
            series.failed += 1;
            count(overflow, full, &[Metric::Connections]);
            return;
        }
        series.established += 1;
        count(overflow, full, &[Metric::Connections, Metric::ActiveConnections]);
        if connection.connect_ns > 0 {
            series.connect.get_or_insert_default().observe(connection.connect_ns);
            count(overflow, full, &[Metric::ConnectSeconds]);
        }
        let active = series.active.get_or_insert_default();
        let key = connection_key(&self.keys, record);
        if live.len() >= self.max_live && !live.contains_key(&key) {
            self.uncounted += 1;
            return;
        }
        *active += 1;
        // Known already: its end was lost, or it was reported twice.
        if let Some(before) = live.insert(key, slot) {
            leave(traffic, before, now);
        }
    }

    /// Bytes flow from source to destination: what the local end sent and what it received are series of their own,
    /// the ends swapped. The round trip belongs to the one whose source opened the connection.
    fn flow(&mut self, record: &Record, flow: &Flow, now: Instant) {
        let tcp = record.protocol == Protocol::TCP;
        let deltas = &flow.deltas;
        let rtt_ns = if tcp { u64::from(deltas.rtt_us) * 1000 } else { 0 };
        let (sent_rtt_ns, received_rtt_ns) = match record.direction {
            Direction::Egress => (rtt_ns, 0),
            Direction::Ingress => (0, rtt_ns),
        };
        let sent = Way {
            ends: [record.local(), record.remote()],
            direction: Direction::Egress,
            moved: Moved { bytes: deltas.bytes_sent, packets: deltas.packets_sent },
            retransmits: tcp.then_some(u64::from(deltas.retransmits)),
            rtt_ns: sent_rtt_ns,
        };
        let received = Way {
            ends: [record.remote(), record.local()],
            direction: Direction::Ingress,
            moved: Moved { bytes: deltas.bytes_received, packets: deltas.packets_received },
            retransmits: None,
            rtt_ns: received_rtt_ns,
        };
        self.one_way(&sent, record.protocol, now);
        self.one_way(&received, record.protocol, now);
    }

    /// Nothing that is unknown or did not happen makes a series.
    fn one_way(&mut self, way: &Way<'_>, protocol: Protocol, now: Instant) {
        let Way { ends, direction, moved, retransmits, rtt_ns } = *way;
        let moves = moved != Moved::default() || retransmits.is_some_and(|count| count > 0);
        if !moves && rtt_ns == 0 {
            return;
        }
        let (slot, full) = self.slot(ends, protocol, direction, now);
        let Some(series) = self.traffic.get_mut(slot, now) else { return };
        let overflow = &mut self.overflow;
        if moves {
            let sum = series.moved.get_or_insert_default();
            sum.bytes += moved.bytes;
            sum.packets += moved.packets;
            count(overflow, full, &[Metric::FlowBytes, Metric::FlowPackets]);
            if let Some(retransmits) = retransmits {
                *series.retransmits.get_or_insert_default() += retransmits;
                count(overflow, full, &[Metric::Retransmits]);
            }
        }
        if rtt_ns > 0 {
            series.rtt.get_or_insert_default().observe(rtt_ns);
            count(overflow, full, &[Metric::Rtt]);
        }
    }

    /// Forgets what is idle.
    pub fn expire(&mut self, now: Instant) {
        self.traffic.expire(now, self.expiry);
        self.memo.forget();
        self.drops.expire(now, self.expiry);
        self.lookups.expire(now, self.expiry);
        if self.live.capacity() > 4096 && self.live.len() < self.live.capacity() / 4 {
            self.live.shrink_to(self.live.len() * 2);
        }
    }

    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            traffic: self.traffic.iter().cloned().collect(),
            drops: self.drops.iter().cloned().collect(),
            lookups: self.lookups.iter().cloned().collect(),
            overflow: self.overflow,
        }
    }

    /// Live connections that are counted in no `amphipod_active_connections`, for want of room.
    pub fn uncounted(&self) -> u64 {
        self.uncounted
    }

    /// Live label sets and overflow of each metric.
    pub fn series(&self) -> [(Metric, u64, u64); Metric::ALL.len()] {
        Metric::ALL.map(|metric| {
            let count = match metric {
                Metric::Drops => self.drops.iter().count(),
                Metric::Lookups => self.lookups.iter().count(),
                metric => self.traffic.iter().filter(|series| series.values.has(metric)).count(),
            };
            (metric, count as u64, self.overflow[metric as usize])
        })
    }
}

/// What went one way in one interval. `ends`: source first.
struct Way<'a> {
    ends: [&'a Endpoint; 2],
    direction: Direction,
    moved: Moved,
    retransmits: Option<u64>,
    rtt_ns: u64,
}

impl Traffic {
    fn has(&self, metric: Metric) -> bool {
        match metric {
            Metric::Connections => self.established + self.failed > 0,
            Metric::ConnectSeconds => self.connect.is_some(),
            Metric::ActiveConnections => self.active.is_some(),
            Metric::FlowBytes | Metric::FlowPackets => self.moved.is_some(),
            Metric::Retransmits => self.retransmits.is_some(),
            Metric::Rtt => self.rtt.is_some(),
            Metric::Drops | Metric::Lookups => false,
        }
    }
}

/// Codes without a name are one, so that a server cannot make labels up.
fn rcode(lookup: &Lookup) -> &'static str {
    match lookup.code {
        Some(code) => dns::code_name(code).unwrap_or("other"),
        None => "timeout",
    }
}

fn count(overflow: &mut [u64], full: bool, metrics: &[Metric]) {
    if full {
        for metric in metrics {
            overflow[*metric as usize] += 1;
        }
    }
}

/// One live connection fewer in the series at `slot`.
fn leave(traffic: &mut Table<Traffic>, slot: Slot, now: Instant) {
    if let Some(active) = traffic.get_mut(slot, now).and_then(|series| series.active.as_mut()) {
        *active = active.saturating_sub(1);
    }
}

/// What tells a connection from all others that live: its cookie and end; its addresses where the kernel gives none.
pub fn connection_key(keys: &DefaultHashBuilder, record: &Record) -> u64 {
    let local = record.local();
    match record.cookie {
        0 => keys.hash_one((
            record.process.netns,
            local.ip,
            local.port,
            record.remote().ip,
            record.remote().port,
        )),
        cookie => keys.hash_one(cookie),
    }
}

#[cfg(test)]
mod tests;
