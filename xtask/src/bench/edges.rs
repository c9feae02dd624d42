//! Pairs of workloads and what both of their ends tell of them, interval by interval.
//!
//! One course of events, and two who count it. Each agent reads sockets at moments of its own, so that the two intervals
//! are cut elsewhere; connections are counted when they are made; retransmissions and round trips are each end's own.

use model::row::{Key, Values};
use model::{Direction, Measure};
use proto::columns::{Writer, compress};

use hub::store::sample_key;

/// Pairs: each is observed at both ends, so that there are twice as many rows.
pub const EDGES: u32 = 5_000;
pub const NODES: u32 = 100;
/// Different intervals of ten seconds; they are told again and again.
pub const VARIANTS: usize = 12;
/// Requests are drawn for so much time at once.
const SLOTS_PER_SECOND: usize = 2;
const SLOTS: usize = VARIANTS * 10 * SLOTS_PER_SECOND;
/// An agent reads its sockets so often in an interval.
const READS: u64 = 2;

/// One direction's rows: those of one node are told by its agent.
pub struct Side {
    pub id: u32,
    pub node: u32,
    pub key: Key,
    /// By interval.
    pub values: Vec<Option<Values>>,
}

/// Both sides of pair `number`.
pub fn sides(number: u32) -> [Side; 2] {
    let random = &mut fastrand::Rng::with_seed(number.into());
    let course = Course::new(random);
    // Nodes that talk to each other are not the same.
    let nodes = [number % NODES, (number + 1 + number / NODES) % NODES];
    [Direction::Egress, Direction::Ingress].map(|direction| {
        let node = nodes[direction as usize];
        let shift = node as usize % (5 * SLOTS_PER_SECOND);
        let values = (0..VARIANTS).map(|at| course.values(at, shift, direction, random));
        Side {
            id: number * 2 + direction as u32,
            node,
            key: sample_key(number % 1000, 1000 + number % 997, direction),
            values: values.collect(),
        }
    })
}

/// What happened between two workloads.
struct Course {
    /// By slot: bytes sent and received, packets sent and received.
    moved: Vec<[u64; 4]>,
    /// By interval.
    connections: Vec<u64>,
    /// Connections that last.
    pool: u64,
    /// Of the path.
    rtt_us: f64,
}

impl Course {
    /// Between 0.1 and 1,000 requests a second, of which one connection takes between 1 and 1,000.
    fn new(random: &mut fastrand::Rng) -> Self {
        let rate = 10_f64.powf(random.f64() * 4.0 - 1.0);
        let reuse = 10_f64.powf(random.f64() * 3.0);
        let sent = 300.0 + 900.0 * random.f64();
        let received = 500.0 * 40_f64.powf(random.f64());
        let slot = |random: &mut fastrand::Rng| {
            let mean = rate / SLOTS_PER_SECOND as f64 * (0.7 + 0.6 * random.f64());
            let requests = poisson(mean, random);
            let bytes = |each: f64, random: &mut fastrand::Rng| {
                (requests as f64 * each * (0.8 + 0.4 * random.f64())) as u64
            };
            let (sent, received) = (bytes(sent, random), bytes(received, random));
            let acknowledged = received / 2800;
            [sent, received, requests + sent / 1400 + acknowledged, requests + received / 1400]
        };
        Self {
            moved: (0..SLOTS).map(|_| slot(random)).collect(),
            connections: (0..VARIANTS).map(|_| poisson(rate * 10.0 / reuse, random)).collect(),
            pool: 1 + random.u64(..4),
            rtt_us: 150.0 * (normal(random) * 0.5).exp(),
        }
    }

    /// What the end of `direction` tells of the interval `at`, whose agent reads `shift` slots later than others.
    fn values(
        &self,
        at: usize,
        shift: usize,
        direction: Direction,
        random: &mut fastrand::Rng,
    ) -> Option<Values> {
        let slots = (0..10 * SLOTS_PER_SECOND)
            .map(|slot| self.moved[(at * 10 * SLOTS_PER_SECOND + slot + shift) % SLOTS]);
        let [sent, received, packets_sent, packets_received] =
            slots.fold([0; 4], |sum, slot| std::array::from_fn(|it| sum[it] + slot[it]));
        let mut values = Values::default();
        let egress = direction == Direction::Egress;
        if packets_sent > 0 {
            values.add(Measure::BYTES_SENT, sent);
            values.add(Measure::BYTES_RECEIVED, received);
            values.add(Measure::PACKETS_SENT, packets_sent);
            values.add(Measure::PACKETS_RECEIVED, packets_received);
            let own = if egress { packets_sent } else { packets_received };
            values.add(Measure::RETRANSMITS, poisson(own as f64 * 2e-4, random));
            // One of each connection when it is read, and when it ends.
            let reads = (READS * self.pool).min(packets_sent);
            for _ in 0..self.connections[at] + reads {
                values.observe(Measure::RTT, 1000 * spread(self.rtt_us, random) as u64);
            }
        }
        values.add(Measure::ACTIVE, 10 * self.pool);
        if egress && random.u16(..) < 200 {
            values.add(Measure::FAILURES, 1);
        }
        if self.connections[at] > 0 {
            values.add(Measure::CONNECTIONS, self.connections[at]);
            for _ in 0..self.connections[at] * u64::from(egress) {
                values.observe(Measure::CONNECT, spread(2300.0 * self.rtt_us, random) as u64);
            }
        }
        (!values.is_empty()).then_some(values)
    }
}

/// Around `middle`, seldom far from it.
fn spread(middle: f64, random: &mut fastrand::Rng) -> f64 {
    let near = random.f64() + random.f64() + random.f64() - 1.5;
    middle * (near * 0.6).exp() * if random.u8(..) < 5 { 8.0 } else { 1.0 }
}

/// Knuth's way where few are expected, else as the normal distribution has it.
fn poisson(mean: f64, random: &mut fastrand::Rng) -> u64 {
    if mean > 30.0 {
        return (mean + mean.sqrt() * normal(random)).round().max(0.0) as u64;
    }
    let (limit, mut product, mut count) = ((-mean).exp(), random.f64(), 0);
    while product > limit {
        product *= random.f64();
        count += 1;
    }
    count
}

/// The sum of twelve has the variance 1.
fn normal(random: &mut fastrand::Rng) -> f64 {
    (0..12).map(|_| random.f64()).sum::<f64>() - 6.0
}

/// What an agent sends of an interval: the edges, their columns compressed, and how many bytes these had before.
pub fn interval(sides: &[Side], at: usize) -> (Vec<u32>, Vec<u8>, u32) {
    let mut writer = Writer::default();
    let mut ids = Vec::new();
    for side in sides {
        if let Some(values) = &side.values[at] {
            writer.push(side.id, values);
            ids.push(side.id);
        }
    }
    let columns = writer.finish();
    (ids, compress(&columns, 3).unwrap_or_default(), columns.len() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_nearly_agree() {
        let (mut differ, mut all) = (0, 0);
        for number in 0..100 {
            let [source, destination] = sides(number);
            assert_ne!(source.node, destination.node);
            let sum = |side: &Side, measure| -> u64 {
                side.values.iter().flatten().filter_map(|it| it.sum(measure)).sum()
            };
            // All intervals together are the same for both.
            for measure in [Measure::BYTES_SENT, Measure::PACKETS_RECEIVED, Measure::CONNECTIONS] {
                assert_eq!(sum(&source, measure), sum(&destination, measure));
            }
            for (source, destination) in source.values.iter().zip(&destination.values) {
                let bytes = |it: &Option<Values>| it.as_ref()?.sum(Measure::BYTES_SENT);
                differ += usize::from(bytes(source) != bytes(destination));
                all += 1;
            }
        }
        assert!(differ > all / 2, "{differ} of {all} differ");
    }

    #[test]
    fn rates_are_spread_over_four_orders_of_magnitude() {
        let packets = |number| -> u64 {
            let [source, _] = sides(number);
            source.values.iter().flatten().filter_map(|it| it.sum(Measure::PACKETS_SENT)).sum()
        };
        let mut sent: Vec<u64> = (0..500).map(packets).collect();
        sent.sort_unstable();
        assert!(sent[480] > 2_000 * sent[20].max(1), "{} to {}", sent[20], sent[480]);
    }
}
