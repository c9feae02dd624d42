//! What sockets move, interval by interval: payload bytes, packets, retransmissions, round-trip time.
//! Hooks: for TCP none: a program that user space runs reads the sockets that `tcp` keeps, or iter/bpf_map_elem does; for
//! the rest cgroup_skb, cgroup/sock_create, cgroup/sock_release, iter/bpf_sk_storage_map, iter/task_file.
//! Delivers: [`Flow`]; connections whose end the kernel never showed, as `Closed`; overflows of listen queues.

mod other;
mod tcp;

use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use libbpf_rs::MapHandle;
use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use model::status::ProgramState;

use crate::clock::Clock;
use crate::context::Context;
use crate::probe::Probe;
use crate::skel::flow::types::bss;
use crate::skel::flow::{FlowSkel, FlowSkelBuilder, OpenFlowSkel};
use crate::{Batch, Error, cgroupfs, iterator, plain};

pub const PROBE: Probe = Probe {
    name: "flow",
    programs: &[
        "flow_tcp",
        "flow_tcp_walk",
        "flow_egress",
        "flow_ingress",
        "flow_create",
        "flow_release",
        "flow_other",
        "flow_other_files",
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
    let open = FlowSkelBuilder::default().open(&mut storage);
    let mut open = open.map_err(|error| ctx.error(error))?;
    choose(ctx, &mut open, sockets.as_ref()).map_err(|error| ctx.error(error))?;
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
    let bss = skel.maps.bss_data.take();
    let readers = Readers { tcp: attach_tcp(ctx, &skel, sockets), other: attach_other(ctx, &skel) };
    ctx.ready();
    follow(ctx, &skel, bss, &readers)
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

/// Loads what this kernel can carry, and what has something to do on it.
fn choose(
    ctx: &Context,
    open: &mut OpenFlowSkel<'_>,
    sockets: Option<&MapHandle>,
) -> libbpf_rs::Result<()> {
    let has = ctx.features;
    let keys = sockets.is_some() && has.direct_loads;
    match sockets {
        Some(sockets) if keys => open.maps.sockets.reuse_fd(sockets.as_fd())?,
        _ => open.maps.sockets.set_autocreate(false)?,
    }
    open.progs.flow_tcp.set_autoload(keys);
    open.progs.flow_tcp_walk.set_autoload(sockets.is_some() && !keys && has.map_iterator);
    open.progs.flow_other.set_autoload(has.storage_iterator);
    let files = !has.storage_iterator && has.sock_from_file;
    open.progs.flow_other_files.set_autoload(files);
    if let Some(rodata) = &mut open.maps.rodata_data {
        rodata.have_files = files;
        if ctx.settings.dns.enabled {
            for (to, from) in rodata.dns_ports.iter_mut().zip(&ctx.settings.dns.ports) {
                *to = *from;
            }
        }
    }
    open.progs.flow_older.set_autoload(has.sock_from_file);
    open.maps.flow_peers.set_max_entries(ctx.settings.flow.max_peers)
}

struct Readers<'a> {
    tcp: Option<(tcp::Reader<'a>, MapHandle)>,
    other: Option<other::Reader>,
}

/// Alternates between what closing sockets leave in the ring buffer and, each interval, a read of all live ones.
fn follow(
    ctx: &Context,
    skel: &FlowSkel<'_>,
    bss: Option<&mut bss>,
    readers: &Readers<'_>,
) -> Result<(), Error> {
    let interval = ctx.settings.flow.interval;
    let peers = MapHandle::try_from(&skel.maps.flow_peers).map_err(|error| ctx.error(error))?;
    let events = MapHandle::try_from(&skel.maps.events).map_err(|error| ctx.error(error))?;
    let mut read_at = Instant::now() + interval;
    let mut bss = bss;
    let turn = || {
        let now = Instant::now();
        if now < read_at && !ctx.cancelled() {
            return;
        }
        // Keeps the pace; reads that were missed altogether are not made up for.
        read_at = (read_at + interval).max(now);
        let Some(bss) = bss.as_deref_mut() else { return };
        let clock = Clock::now();
        if let Some((reader, sockets)) = &readers.tcp {
            let begun = clock.monotonic_now();
            let entries = tcp::read(ctx, reader, bss, sockets, clock);
            ctx.shared.entries(crate::tcp::SOCKETS, entries);
            plain::store(&mut bss.tcp_read_ns, begun);
        }
        let owners = readers.other.as_ref().map(|reader| other::read(ctx, reader, bss, clock));
        let past = bss.epoch;
        plain::store(&mut bss.epoch, past.wrapping_add(1));
        other::read_peers(ctx, &peers, past, clock, &owners.unwrap_or_default());
    };
    ctx.deliver(&events, Batch::Observations, turn, |event, out| {
        out.push(other::observation(event, Clock::now()))
    })
}

const NEEDS_TCP: &str = "needs the probe tcp: no flows of TCP connections";
const NO_READER: &str =
    "needs Linux 6.2, or a kernel that allows iterators over maps: no flows of TCP connections";
const NOT_NEEDED: &str = "not needed: this kernel has the better way";

fn attach_tcp<'a>(
    ctx: &Context,
    skel: &'a FlowSkel<'_>,
    sockets: Option<MapHandle>,
) -> Option<(tcp::Reader<'a>, MapHandle)> {
    let tell = |program, state, reason| ctx.health.set(program, state, reason);
    let Some(sockets) = sockets else {
        tell("flow_tcp", ProgramState::Degraded, NEEDS_TCP);
        tell("flow_tcp_walk", ProgramState::Disabled, NEEDS_TCP);
        return None;
    };
    if ctx.features.direct_loads {
        ctx.health.active("flow_tcp");
        tell("flow_tcp_walk", ProgramState::Disabled, NOT_NEEDED);
        return Some((tcp::Reader::Keys(&skel.progs.flow_tcp), sockets));
    }
    if !ctx.features.map_iterator {
        tell("flow_tcp", ProgramState::Degraded, NO_READER);
        tell("flow_tcp_walk", ProgramState::Unsupported, NO_READER);
        return None;
    }
    let reason = "needs Linux 6.2: flow_tcp_walk reads instead, at more cost";
    tell("flow_tcp", ProgramState::Unsupported, reason);
    let link = ctx.attach_map_iterator(&skel.progs.flow_tcp_walk, &sockets)?;
    Some((tcp::Reader::Walk(link), sockets))
}

fn attach_other(ctx: &Context, skel: &FlowSkel<'_>) -> Option<other::Reader> {
    let tell = |program, state, reason| ctx.health.set(program, state, reason);
    if ctx.features.storage_iterator {
        tell("flow_other_files", ProgramState::Disabled, NOT_NEEDED);
        let storage = &skel.maps.flow_sockets;
        return ctx
            .attach_map_iterator(&skel.progs.flow_other, storage)
            .map(other::Reader::Storage);
    }
    let reason = "this kernel refuses iterators over socket storage: sockets of UDP that no process holds open are \
                  reported when they close";
    tell("flow_other", ProgramState::Degraded, reason);
    if !ctx.features.sock_from_file {
        tell("flow_other_files", ProgramState::Unsupported, "needs Linux 5.11");
        return None;
    }
    ctx.attach_iterator(&skel.progs.flow_other_files).map(other::Reader::Files)
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
