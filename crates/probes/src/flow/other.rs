//! UDP and the other protocols.

use std::collections::HashMap;

use libbpf_rs::{Link, MapHandle};
use model::{Counters, Direction, Flow, Observation, Process, Protocol, Subject};

use crate::clock::Clock;
use crate::context::Context;
use crate::skel::flow::types::{bss, flow_counters, flow_event, flow_peer, flow_peer_key};
use crate::{Batch, epoch, iterator, plain, socket};

/// Sockets of one read whose owner is remembered for their further peers.
const MAX_OWNERS: usize = 4_096;

/// Which iterator the kernel lets us read sockets with.
pub enum Reader {
    /// `flow_other`
    Storage(Link),
    /// `flow_other_files`
    Files(Link),
}

/// By socket cookie.
pub type Owners = HashMap<u64, Process>;

/// Delivers a flow for each socket whose first peer and it moved something since the last read. Their owners: what they
/// moved with further peers may have been counted before an owner was known (the kernel's own sockets have no maker).
pub fn read(ctx: &Context, reader: &Reader, bss: &mut bss, clock: Clock) -> Owners {
    let mut owners = Owners::new();
    let (program, link) = match reader {
        Reader::Storage(link) => ("flow_other", link),
        Reader::Files(link) => {
            if plain::load(&bss.other_news) == 0 {
                return owners;
            }
            // What is counted from here on, and not read now, is news for the next read.
            plain::store(&mut bss.other_news, 0);
            ("flow_other_files", link)
        }
    };
    let mut batch = Vec::new();
    let read = iterator::run(link, |event: flow_event| {
        let observation = observation(&event, clock);
        if owners.len() < MAX_OWNERS {
            owners.insert(observation.cookie, observation.process);
        }
        batch.push(observation);
        if batch.len() >= 1024 {
            ctx.send(Batch::Observations(std::mem::take(&mut batch)));
        }
    });
    if let Err(error) = read {
        ctx.health.failed(program, &format!("read: {error}"));
    }
    ctx.send(Batch::Observations(batch));
    owners
}

/// Delivers, and deletes, what sockets moved with their further peers in the past epoch.
pub fn read_peers(ctx: &Context, peers: &MapHandle, past: u32, clock: Clock, owners: &Owners) {
    if !ctx.wait(epoch::GRACE) && !ctx.cancelled() {
        return;
    }
    let mut batch = Vec::new();
    let entries = epoch::take(
        peers,
        |key: &flow_peer_key| key.epoch == past,
        |key, peer: flow_peer| {
            let mut observation = peer_observation(&key, &peer, clock);
            if observation.process.netns == 0
                && let Some(owner) = owners.get(&observation.cookie)
            {
                observation.process = *owner;
            }
            batch.push(observation);
            if batch.len() >= 1024 {
                ctx.send(Batch::Observations(std::mem::take(&mut batch)));
            }
        },
    );
    ctx.health.entries("flow_peers", entries);
    ctx.send(Batch::Observations(batch));
}

pub fn observation(event: &flow_event, clock: Clock) -> Observation {
    let owner = &event.owner;
    Observation {
        time: clock.wall(event.time_ns),
        process: socket::process(&owner.comm, owner.pid, owner.cgroup_id, owner.netns),
        protocol: Protocol(event.protocol),
        direction: direction(event.incoming),
        local: socket::address(event.ends.local, event.ends.local_port),
        remote: socket::address(event.ends.remote, event.ends.remote_port),
        cookie: event.cookie,
        subject: Subject::Flow(Flow {
            deltas: counters(&event.counters),
            interval_ns: event.interval_ns,
            age_ns: 0,
        }),
    }
}

fn peer_observation(key: &flow_peer_key, peer: &flow_peer, clock: Clock) -> Observation {
    let owner = &peer.owner;
    let now = clock.monotonic_now();
    let process: Process = socket::process(&owner.comm, owner.pid, owner.cgroup_id, owner.netns);
    let interval_ns = now.saturating_sub(peer.started_ns);
    Observation {
        time: clock.wall(now),
        process,
        protocol: Protocol(peer.protocol),
        direction: direction(peer.incoming),
        local: socket::address(peer.local, peer.local_port),
        remote: socket::address(key.remote, key.remote_port as u16),
        cookie: key.cookie,
        subject: Subject::Flow(Flow { deltas: counters(&peer.counters), interval_ns, age_ns: 0 }),
    }
}

fn direction(incoming: u8) -> Direction {
    if incoming != 0 { Direction::Ingress } else { Direction::Egress }
}

fn counters(counters: &flow_counters) -> Counters {
    Counters {
        bytes_sent: counters.bytes_sent,
        bytes_received: counters.bytes_received,
        packets_sent: counters.packets_sent,
        packets_received: counters.packets_received,
        retransmits: 0,
        rtt_us: 0,
    }
}
