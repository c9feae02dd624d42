//! TCP connections: opened, accepted, failed, closed.
//! Hooks: tp_btf/inet_sock_set_state, tp_btf/tcp_destroy_sock, fexit/inet_csk_accept, iter/task_file.
//! Delivers: [`Connection`], and the last [`Flow`] of each.

mod ledger;
pub mod sockets;

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::time::Duration;

use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use libbpf_rs::{Link, MapCore, MapHandle};
use model::status::ProgramState;
use model::{
    Connection, ConnectionEvent, Counters, Direction, Flow, Observation, Protocol, Subject,
};

use crate::clock::Clock;
use crate::context::Context;
use crate::probe::Probe;
use crate::skel::tcp::types::{role, tcp_counters, tcp_event, tcp_kind};
use crate::skel::tcp::{TcpSkel, TcpSkelBuilder};
use crate::{Batch, Error, iterator, plain, socket};

pub use ledger::Ledger;
use sockets::Sweeper;

pub const PROBE: Probe = Probe {
    name: "tcp",
    programs: &["tcp_set_state", "tcp_destroy", "tcp_accept", "tcp_older"],
    enabled: |settings| settings.tcp.enabled,
    // The ring buffer holds what waits meanwhile.
    patience: Duration::from_secs(60),
    run,
};

/// The name under which the map of live sockets is shared.
pub const SOCKETS: &str = "sockets";

fn run(ctx: &Context) -> Result<(), Error> {
    let settings = &ctx.settings.tcp;
    let mut storage = MaybeUninit::uninit();
    let mut open =
        TcpSkelBuilder::default().open(&mut storage).map_err(|error| ctx.error(error))?;
    if let Some(rodata) = &mut open.maps.rodata_data {
        rodata.have_cookie = ctx.features.cookie;
        rodata.have_accept = ctx.features.fexit;
        rodata.wakeup_bytes = u64::from(settings.ring_bytes) / 4;
    }
    open.progs.tcp_accept.set_autoload(ctx.features.fexit);
    open.maps.sockets.set_max_entries(settings.max_sockets).map_err(|error| ctx.error(error))?;
    open.maps.events.set_max_entries(settings.ring_bytes).map_err(|error| ctx.error(error))?;
    let mut skel = open.load().map_err(|error| ctx.error(error))?;
    ctx.register(&skel);
    let sockets = MapHandle::try_from(&skel.maps.sockets).map_err(|error| ctx.error(error))?;
    let shared = MapHandle::try_from(&skel.maps.sockets).map_err(|error| ctx.error(error))?;
    ctx.shared.publish(SOCKETS, shared, ctx.health.clone());

    let _links = (
        ctx.attach(&skel.progs.tcp_set_state),
        ctx.attach(&skel.progs.tcp_destroy),
        attach_accept(ctx, &skel),
    );
    read_older(ctx, &mut skel);
    ctx.ready();

    let clock = Cell::new(Clock::now());
    let mut bss = skel.maps.bss_data.take();
    let mut sweeper = Sweeper::new();
    let turn = || {
        clock.set(Clock::now());
        let Some(bss) = bss.as_deref_mut() else { return };
        let full = plain::load(&bss.sockets_full) != 0;
        if !sweeper.is_due(full) {
            return;
        }
        match sweeper.sweep(&sockets, full) {
            // Where most entries are of sockets that live, or have just ended, it is looked at again.
            Ok(kept) if kept > u64::from(sockets.max_entries()) / 2 => (),
            Ok(_) => plain::store(&mut bss.sockets_full, 0),
            Err(error) => tracing::warn!(%error, "sweep the map of sockets"),
        }
    };
    let flows = ctx.settings.flow.enabled.then(|| ctx.settings.flow.interval.as_nanos() as u64);
    ctx.deliver(&skel.maps.events, Batch::Observations, turn, |event, out| {
        observe(event, clock.get(), flows, &ctx.shared.ledger, out)
    })
}

fn attach_accept(ctx: &Context, skel: &TcpSkel<'_>) -> Option<Link> {
    if ctx.features.fexit {
        return ctx.attach(&skel.progs.tcp_accept);
    }
    let reason = "this kernel has no fexit on inet_csk_accept: until it closes, an accepted connection belongs to the \
                  process that listens, also where others accept from its socket";
    ctx.health.set("tcp_accept", ProgramState::Degraded, reason);
    None
}

/// Takes up the sockets that are older than the agent. The programs are attached already, so none falls between.
fn read_older(ctx: &Context, skel: &mut TcpSkel<'_>) {
    let Some(link) = ctx.attach_iterator(&skel.progs.tcp_older) else { return };
    for pass in [0, 1] {
        if let Some(bss) = &mut skel.maps.bss_data {
            plain::store(&mut bss.older_pass, pass);
        }
        if let Err(error) = iterator::run::<u64>(&link, |_| ()) {
            ctx.health.failed("tcp_older", &format!("read: {error}"));
        }
    }
}

/// `flows`: how often sockets are read, in nanoseconds, if they are.
fn observe(
    event: &tcp_event,
    clock: Clock,
    flows: Option<u64>,
    ledger: &Ledger,
    out: &mut Vec<Observation>,
) {
    let kind = match event.kind {
        tcp_kind::TCP_OPENED => ConnectionEvent::Opened,
        tcp_kind::TCP_ACCEPTED => ConnectionEvent::Accepted,
        tcp_kind::TCP_FAILED => ConnectionEvent::Failed,
        tcp_kind::TCP_CLOSED => ConnectionEvent::Closed,
        _ => return,
    };
    let closed = kind == ConnectionEvent::Closed;
    let connection = Connection {
        event: kind,
        errno: event.error,
        connect_ns: event.connect_ns,
        duration_ns: event.duration_ns,
        totals: if closed { counters(&event.totals) } else { Counters::default() },
    };
    let observation = observation(event, clock, Subject::Connection(connection));
    if let Some(interval_ns) = flows.filter(|_| closed) {
        let older = event.duration_ns == 0;
        let since = if older { &event.since } else { &event.totals };
        let deltas = ledger.end(key(event), counters(since));
        // Reads of an idle socket leave no mark: it moved nothing before the last of them.
        let interval_ns = event.interval_ns.min(interval_ns);
        if deltas.packets_sent != 0 || deltas.packets_received != 0 {
            let subject = Subject::Flow(Flow { deltas, interval_ns, age_ns: event.duration_ns });
            out.push(Observation { subject, ..observation.clone() });
        }
    }
    out.push(observation);
}

/// The observation that an event of `tcp.bpf.c`, or of the iterator that reads its sockets, stands for.
pub fn observation(event: &tcp_event, clock: Clock, subject: Subject) -> Observation {
    let local = socket::address(event.ends.local, event.ends.local_port);
    let remote = socket::address(event.ends.remote, event.ends.remote_port);
    let incoming = match event.role {
        role::ROLE_ACTIVE => false,
        role::ROLE_PASSIVE | role::ROLE_LISTENER => true,
        _ => socket::serves(local.port(), remote.port()),
    };
    Observation {
        time: clock.wall(event.time_ns),
        process: socket::process(
            &event.owner.comm,
            event.owner.pid,
            event.owner.cgroup_id,
            event.owner.netns,
        ),
        protocol: Protocol::TCP,
        direction: if incoming { Direction::Ingress } else { Direction::Egress },
        local,
        remote,
        cookie: event.cookie,
        subject,
    }
}

/// The connection that an event is of.
pub fn key(event: &tcp_event) -> ledger::Key {
    let begun = || match event.duration_ns {
        0 => 0,
        duration => event.time_ns.wrapping_sub(duration),
    };
    (event.socket, if event.cookie != 0 { event.cookie } else { begun() })
}

pub fn counters(counters: &tcp_counters) -> Counters {
    Counters {
        bytes_sent: counters.bytes_sent,
        bytes_received: counters.bytes_received,
        packets_sent: counters.packets_sent.into(),
        packets_received: counters.packets_received.into(),
        retransmits: counters.retransmits,
        rtt_us: counters.rtt_us,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_idle_connection_moved_at_its_end_belongs_to_the_last_interval() {
        let since = tcp_counters { bytes_sent: 7, packets_sent: 1, ..Default::default() };
        let kind = tcp_kind::TCP_CLOSED;
        let event = tcp_event { kind, since, interval_ns: 3_600_000_000_000, ..Default::default() };
        let mut out = Vec::new();
        let ledger = Ledger::default();
        observe(&event, Clock::now(), Some(5_000_000_000), &ledger, &mut out);
        let Subject::Flow(flow) = &out[0].subject else { panic!("no flow: {out:?}") };
        assert_eq!((flow.deltas.bytes_sent, flow.interval_ns), (7, 5_000_000_000));
        assert_eq!(out.len(), 2);
        out.clear();
        observe(&event, Clock::now(), None, &ledger, &mut out);
        assert!(matches!(out[..], [Observation { subject: Subject::Connection(_), .. }]));
    }
}
