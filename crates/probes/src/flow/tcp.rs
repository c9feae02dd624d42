//! Live TCP sockets, read out.

use std::sync::Arc;

use libbpf_rs::{Link, MapCore, MapHandle};
use model::{Connection, ConnectionEvent, Drop, Flow, Observation, Subject};

use crate::clock::Clock;
use crate::context::Context;
use crate::skel::tcp::types::{tcp_event, tcp_kind};
use crate::tcp::{counters, observation};
use crate::{Batch, iterator};

/// Delivers a flow for each socket that moved something since the last read.
pub fn read(ctx: &Context, link: &Link, sockets: &MapHandle, clock: Clock) {
    let overflow: Arc<str> = "TCP_LISTEN_OVERFLOW".into();
    let mut batch = Vec::new();
    let mut stale = Vec::new();
    let read = iterator::run(link, |event: tcp_event| {
        match event.kind {
            tcp_kind::TCP_FLOW => batch.push(flow(&event, clock)),
            tcp_kind::TCP_OVERFLOW => batch.push(overflowed(&event, clock, overflow.clone())),
            tcp_kind::TCP_STALE => stale.push(event),
            _ => ctx.health.malformed(),
        }
        if batch.len() >= 1024 {
            ctx.send(Batch::Observations(std::mem::take(&mut batch)));
        }
    });
    if let Err(error) = read {
        ctx.health.failed("flow_tcp", &format!("read: {error}"));
    }
    batch.extend(stale.iter().filter_map(|event| reconcile(event, sockets, clock)));
    ctx.send(Batch::Observations(batch));
}

fn flow(event: &tcp_event, clock: Clock) -> Observation {
    let flow = Flow { deltas: counters(&event.deltas), interval_ns: event.interval_ns };
    observation(event, clock, Subject::Flow(flow))
}

fn overflowed(event: &tcp_event, clock: Clock, reason: Arc<str>) -> Observation {
    let packets = event.deltas.packets_received.into();
    let drop = Drop { reason, packets, bytes: 0, interval_ns: event.interval_ns };
    observation(event, clock, Subject::Drop(drop))
}

/// The socket is gone and its end was never shown (a program already running on the CPU is not run again). The last
/// read stands for the totals. Whoever deletes the entry reports it: nothing is reported twice.
fn reconcile(event: &tcp_event, sockets: &MapHandle, clock: Clock) -> Option<Observation> {
    sockets.delete(&event.socket.to_ne_bytes()).ok()?;
    let connection = Connection {
        event: ConnectionEvent::Closed,
        errno: 0,
        connect_ns: event.connect_ns,
        duration_ns: 0,
        totals: counters(&event.totals),
    };
    Some(observation(event, clock, Subject::Connection(connection)))
}
