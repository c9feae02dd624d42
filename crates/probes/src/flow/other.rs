//! UDP and the other protocols.

use libbpf_rs::{Link, MapHandle};
use model::{Counters, Direction, Flow, Observation, Process, Protocol, Subject};

use crate::clock::Clock;
use crate::context::Context;
use crate::skel::flow::types::{flow_counters, flow_event, flow_peer, flow_peer_key};
use crate::{Batch, epoch, iterator, socket};

/// Delivers a flow for each socket whose first peer and it moved something since the last read.
pub fn read(ctx: &Context, link: &Link, clock: Clock) {
    let mut batch = Vec::new();
    let read = iterator::run(link, |event: flow_event| {
        batch.push(observation(&event, clock));
        if batch.len() >= 1024 {
            ctx.send(Batch::Observations(std::mem::take(&mut batch)));
        }
    });
    if let Err(error) = read {
        ctx.health.failed("flow_other", &format!("read: {error}"));
    }
    ctx.send(Batch::Observations(batch));
}

/// Delivers, and deletes, what sockets moved with their further peers in the past epoch.
pub fn read_peers(ctx: &Context, peers: &MapHandle, past: u32, clock: Clock) {
    if !ctx.wait(epoch::GRACE) && !ctx.cancelled() {
        return;
    }
    let mut batch = Vec::new();
    let entries = epoch::take(
        peers,
        |key: &flow_peer_key| key.epoch == past,
        |key, peer: flow_peer| {
            batch.push(peer_observation(&key, &peer, clock));
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
        subject: Subject::Flow(Flow { deltas: counters(&peer.counters), interval_ns }),
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
