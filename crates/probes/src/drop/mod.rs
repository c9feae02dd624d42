//! Packets that the kernel discarded, by its own reason.
//! Hooks: tp_btf/kfree_skb.   Delivers: [`Drop`].

mod reason;

use std::mem::MaybeUninit;
use std::time::Duration;

use libbpf_rs::MapHandle;
use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use model::{Direction, Drop, Observation, Protocol, Subject};

use crate::clock::Clock;
use crate::context::Context;
use crate::probe::Probe;
use crate::skel::drop::DropSkelBuilder;
use crate::skel::drop::types::{drop_count, drop_key};
use crate::{Batch, Error, btf, epoch, plain, socket};
use reason::Reasons;

pub const PROBE: Probe = Probe {
    name: "drop",
    programs: &["drop_packet"],
    enabled: |settings| settings.drop.enabled,
    // The first to be shed.
    patience: Duration::ZERO,
    run,
};

fn run(ctx: &Context) -> Result<(), Error> {
    let settings = &ctx.settings.drop;
    let mut storage = MaybeUninit::uninit();
    let mut open =
        DropSkelBuilder::default().open(&mut storage).map_err(|error| ctx.error(error))?;
    if let Some(rodata) = &mut open.maps.rodata_data {
        rodata.have_listeners =
            ctx.shared.get(crate::tcp::SOCKETS).is_some() && ctx.settings.flow.enabled;
        rodata.have_receiver = btf::tracepoint_arguments("kfree_skb")? >= 4;
    }
    open.maps.drops.set_max_entries(settings.max_entries).map_err(|error| ctx.error(error))?;
    let mut skel = open.load().map_err(|error| ctx.error(error))?;
    ctx.register(&skel);
    let drops = MapHandle::try_from(&skel.maps.drops).map_err(|error| ctx.error(error))?;
    let mut reasons = Reasons::of_this_kernel()?;
    let _link = ctx.attach(&skel.progs.drop_packet);
    ctx.ready();
    loop {
        let last = !ctx.wait(settings.interval);
        if let Some(bss) = &mut skel.maps.bss_data {
            let past = bss.epoch;
            plain::store(&mut bss.epoch, past.wrapping_add(1));
            std::thread::sleep(epoch::GRACE);
            read(ctx, &drops, past, &mut reasons);
        }
        if last {
            return Ok(());
        }
    }
}

fn read(ctx: &Context, drops: &MapHandle, past: u32, reasons: &mut Reasons) {
    let clock = Clock::now();
    let time = clock.wall(clock.monotonic_now());
    let interval_ns = ctx.settings.drop.interval.as_nanos() as u64;
    let mut batch = Vec::new();
    let entries = epoch::take(
        drops,
        |key: &drop_key| key.epoch == past,
        |key, count: drop_count| {
            let reason = reasons.name(key.reason, key.location);
            let drop = Drop { reason, packets: count.packets, bytes: count.bytes, interval_ns };
            batch.push(Observation { time, ..observation(&key, drop) });
        },
    );
    ctx.health.entries("drops", entries);
    ctx.send(Batch::Observations(batch));
}

/// On its way out a packet's source is the local end, on its way in its destination.
fn observation(key: &drop_key, drop: Drop) -> Observation {
    let source = socket::address(key.source, key.source_port);
    let destination = socket::address(key.destination, key.destination_port);
    let incoming = key.incoming != 0;
    let (local, remote) = if incoming { (destination, source) } else { (source, destination) };
    Observation {
        time: model::Timestamp(0),
        process: model::Process {
            cgroup_id: key.cgroup_id,
            netns: key.netns,
            ..model::Process::default()
        },
        protocol: Protocol(key.protocol),
        direction: if incoming { Direction::Ingress } else { Direction::Egress },
        local,
        remote,
        cookie: 0,
        subject: Subject::Drop(drop),
    }
}
