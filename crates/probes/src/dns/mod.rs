//! DNS lookups over UDP, at the client that asks and at the server that answers.
//! Hooks: none of its own. The programs of `flow` see every datagram, and hand over those of the configured ports.
//! Delivers: [`model::Lookup`], one for each question, once it is answered or was waited for in vain.

mod lookups;

use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use l7::dns::Error as Unreadable;
use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use libbpf_rs::{MapCore, MapFlags, MapHandle, ProgramMut};
use model::Observation;
use model::status::ProgramState;

use crate::clock::Clock;
use crate::context::Context;
use crate::probe::Probe;
use crate::skel::dns::DnsSkelBuilder;
use crate::skel::dns::types::dns_event;
use crate::{Batch, Error, flow};
use lookups::{Lookups, Seen};

pub const PROBE: Probe = Probe {
    name: "dns",
    programs: &["dns_egress", "dns_ingress"],
    enabled: |settings| settings.dns.enabled,
    patience: Duration::from_millis(200),
    run,
};

fn run(ctx: &Context) -> Result<(), Error> {
    let shared = (
        ctx.shared.get(flow::SOCKETS),
        ctx.shared.get(flow::EGRESS_TAP),
        ctx.shared.get(flow::INGRESS_TAP),
    );
    let (Some(sockets), Some(egress), Some(ingress)) = shared else {
        let reason = "needs the probe flow, whose programs see the packets: no lookups";
        ctx.health.all(ProgramState::Degraded, reason);
        ctx.ready();
        return Ok(());
    };
    let settings = &ctx.settings.dns;
    let mut storage = MaybeUninit::uninit();
    let mut open =
        DnsSkelBuilder::default().open(&mut storage).map_err(|error| ctx.error(error))?;
    if let Some(rodata) = &mut open.maps.rodata_data {
        rodata.wakeup_bytes = u64::from(settings.ring_bytes) / 4;
    }
    open.maps.flow_sockets.reuse_fd(sockets.as_fd()).map_err(|error| ctx.error(error))?;
    open.maps.events.set_max_entries(settings.ring_bytes).map_err(|error| ctx.error(error))?;
    let skel = open.load().map_err(|error| ctx.error(error))?;
    ctx.register(&skel);
    let _taps = [
        Tap::attach(ctx, &skel.progs.dns_egress, egress),
        Tap::attach(ctx, &skel.progs.dns_ingress, ingress),
    ];
    ctx.ready();

    let lookups = RefCell::new(Lookups::new(settings.max_lookups as usize));
    let turn = || {
        let clock = Clock::now();
        let mut silent = Vec::new();
        lookups.borrow_mut().expire(clock, &mut silent);
        ctx.send(Batch::Observations(silent));
    };
    ctx.deliver(&skel.maps.events, Batch::Observations, turn, |event, out| {
        observe(ctx, event, &mut lookups.borrow_mut(), out)
    })
}

fn observe(ctx: &Context, event: &dns_event, lookups: &mut Lookups, out: &mut Vec<Observation>) {
    let bytes = event.bytes.get(..event.length.into()).unwrap_or_default();
    match l7::dns::parse(bytes) {
        Ok(message) => {
            let seen = Seen::new(event);
            if !lookups.take(seen, message, Clock::now(), out) {
                ctx.health.lose("lookups", "table_full");
            }
        }
        Err(Unreadable::Operation(_)) => {}
        Err(_) => ctx.health.malformed(),
    }
}

/// A program in its place behind another one's. Dropping it takes it out.
struct Tap(MapHandle);

const SLOT: [u8; 4] = 0_u32.to_ne_bytes();

impl Tap {
    fn attach(ctx: &Context, program: &ProgramMut<'_>, place: MapHandle) -> Option<Self> {
        let name = program.name().to_string_lossy();
        let fd = program.as_fd().as_raw_fd().to_ne_bytes();
        match place.update(&SLOT, &fd, MapFlags::ANY) {
            Ok(()) => {
                ctx.health.active(&name);
                Some(Self(place))
            }
            Err(error) => {
                ctx.health.failed(&name, &format!("attach: {error}"));
                None
            }
        }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        // Gone with the array otherwise.
        self.0.delete(&SLOT).ok();
    }
}
