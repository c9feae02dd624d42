//! What sockets move, interval by interval: payload bytes, packets, retransmissions, round-trip time.
//! Hooks: for TCP none but an iterator over the sockets that `tcp` keeps; for the rest cgroup_skb, cgroup/sock_create,
//! cgroup/sock_release, iter/bpf_sk_storage_map, iter/task_file.
//! Delivers: [`Flow`]; connections whose end the kernel never showed, as `Closed`; overflows of listen queues.

mod other;
mod tcp;

use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use libbpf_rs::MapHandle;
use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use model::status::ProgramState;

use crate::clock::Clock;
use crate::context::Context;
use crate::probe::Probe;
use crate::skel::flow::{FlowSkel, FlowSkelBuilder};
use crate::{Batch, Error, cgroupfs, iterator, plain};

pub const PROBE: Probe = Probe {
    name: "flow",
    programs: &[
        "flow_tcp",
        "flow_egress",
        "flow_ingress",
        "flow_create",
        "flow_release",
        "flow_other",
        "flow_older",
    ],
    enabled: |settings| settings.flow.enabled,
    // What was read is gone from the kernel; but the next interval comes.
    patience: Duration::from_secs(1),
    run,
};

/// The names under which the storage of sockets is shared, and the places for programs that look into DNS messages.
pub const SOCKETS: &str = "flow_sockets";
pub const EGRESS_TAP: &str = "dns_egress_tap";
pub const INGRESS_TAP: &str = "dns_ingress_tap";

fn run(ctx: &Context) -> Result<(), Error> {
    let sockets = ctx.shared.get(crate::tcp::SOCKETS);
    let mut storage = MaybeUninit::uninit();
    let mut open =
        FlowSkelBuilder::default().open(&mut storage).map_err(|error| ctx.error(error))?;
    open.progs.flow_older.set_autoload(ctx.features.sock_from_file);
    open.progs.flow_tcp.set_autoload(sockets.is_some());
    if let (Some(rodata), true) = (&mut open.maps.rodata_data, ctx.settings.dns.enabled) {
        for (to, from) in rodata.dns_ports.iter_mut().zip(&ctx.settings.dns.ports) {
            *to = *from;
        }
    }
    open.maps
        .flow_peers
        .set_max_entries(ctx.settings.flow.max_peers)
        .map_err(|error| ctx.error(error))?;
    let mut skel = open.load().map_err(|error| ctx.error(error))?;
    ctx.register(&skel);
    let root = cgroupfs::mount().and_then(|path| File::open(path).map_err(|_| Error::NoCgroup2))?;
    let _owners = [
        ctx.attach_cgroup(&skel.progs.flow_create, root.as_raw_fd()),
        ctx.attach_cgroup(&skel.progs.flow_release, root.as_raw_fd()),
    ];
    // Before the first packet is counted: further peers copy the owner.
    name_older(ctx, &skel);
    let _counters = [
        ctx.attach_cgroup(&skel.progs.flow_egress, root.as_raw_fd()),
        ctx.attach_cgroup(&skel.progs.flow_ingress, root.as_raw_fd()),
    ];
    share(ctx, &skel)?;
    let readers = Readers {
        tcp: attach_tcp(ctx, &skel, sockets),
        other: ctx.attach_map_iterator(&skel.progs.flow_other, &skel.maps.flow_sockets),
    };
    ctx.ready();
    follow(ctx, &mut skel, &readers)
}

/// With the probe that looks into DNS messages.
fn share(ctx: &Context, skel: &FlowSkel<'_>) -> Result<(), Error> {
    let maps = [
        (SOCKETS, MapHandle::try_from(&skel.maps.flow_sockets)),
        (EGRESS_TAP, MapHandle::try_from(&skel.maps.dns_egress_tap)),
        (INGRESS_TAP, MapHandle::try_from(&skel.maps.dns_ingress_tap)),
    ];
    for (name, map) in maps {
        ctx.shared.publish(name, map.map_err(|error| ctx.error(error))?, ctx.health.clone());
    }
    Ok(())
}

struct Readers {
    tcp: Option<(libbpf_rs::Link, MapHandle)>,
    other: Option<libbpf_rs::Link>,
}

/// Alternates between what closing sockets leave in the ring buffer and, each interval, a read of all live ones.
fn follow(ctx: &Context, skel: &mut FlowSkel<'_>, readers: &Readers) -> Result<(), Error> {
    let interval = ctx.settings.flow.interval;
    let peers = MapHandle::try_from(&skel.maps.flow_peers).map_err(|error| ctx.error(error))?;
    let events = MapHandle::try_from(&skel.maps.events).map_err(|error| ctx.error(error))?;
    let mut bss = skel.maps.bss_data.take();
    let mut read_at = Instant::now() + interval;
    let turn = || {
        let now = Instant::now();
        if now < read_at && !ctx.cancelled() {
            return;
        }
        // Keeps the pace; reads that were missed altogether are not made up for.
        read_at = (read_at + interval).max(now);
        let clock = Clock::now();
        if let Some((link, sockets)) = &readers.tcp {
            let begun = clock.monotonic_now();
            if let Some(bss) = &mut bss {
                plain::store(&mut bss.tcp_entries, 0);
            }
            tcp::read(ctx, link, sockets, clock);
            if let Some(bss) = &mut bss {
                ctx.shared.entries(crate::tcp::SOCKETS, plain::load(&bss.tcp_entries));
                plain::store(&mut bss.tcp_read_ns, begun);
            }
        }
        let owners = readers.other.as_ref().map(|link| other::read(ctx, link, clock));
        if let Some(bss) = &mut bss {
            let past = bss.epoch;
            plain::store(&mut bss.epoch, past.wrapping_add(1));
            other::read_peers(ctx, &peers, past, clock, &owners.unwrap_or_default());
        }
    };
    ctx.deliver(&events, Batch::Observations, turn, |event, out| {
        out.push(other::observation(event, Clock::now()))
    })
}

fn attach_tcp(
    ctx: &Context,
    skel: &FlowSkel<'_>,
    sockets: Option<MapHandle>,
) -> Option<(libbpf_rs::Link, MapHandle)> {
    let Some(sockets) = sockets else {
        ctx.health.set(
            "flow_tcp",
            ProgramState::Degraded,
            "needs the probe tcp: no flows of TCP connections",
        );
        return None;
    };
    let link = ctx.attach_map_iterator(&skel.progs.flow_tcp, &sockets)?;
    Some((link, sockets))
}

fn name_older(ctx: &Context, skel: &FlowSkel<'_>) {
    if !ctx.features.sock_from_file {
        let reason = "needs Linux 5.11: UDP sockets older than the agent have no process";
        ctx.health.set("flow_older", ProgramState::Degraded, reason);
        return;
    }
    let Some(link) = ctx.attach_iterator(&skel.progs.flow_older) else { return };
    if let Err(error) = iterator::run::<u64>(&link, |_| ()) {
        ctx.health.failed("flow_older", &format!("read: {error}"));
    }
}
