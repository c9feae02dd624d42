//! Live TCP sockets, read out.

use std::sync::Arc;

use libbpf_rs::{Link, MapCore, MapHandle, ProgramInput, ProgramMut};
use model::{Connection, ConnectionEvent, Counters, Drop, Flow, Observation, Subject};

use crate::clock::Clock;
use crate::context::Context;
use crate::skel::flow::types::bss;
use crate::skel::tcp::types::{tcp_event, tcp_kind};
use crate::tcp::sockets::{Walk, entry};
use crate::tcp::{Ledger, counters, key, observation};
use crate::{Batch, iterator, plain};

/// `TCP_GROUP` of `readout.h`.
const GROUP: usize = 8;

/// What the kernel lets us read sockets with.
pub enum Reader<'a> {
    /// Chunk by chunk: user space takes keys from the map, `flow_tcp` reads the sockets behind them.
    Keys(&'a ProgramMut<'a>),
    /// The iterator `flow_tcp_walk`.
    Walk(Link),
}

/// Delivers a flow for each socket that moved something since the last read; returns how many sockets there are.
pub fn read(
    ctx: &Context,
    reader: &Reader<'_>,
    bss: &mut bss,
    sockets: &MapHandle,
    clock: Clock,
) -> u64 {
    let mut sorter = Sorter {
        ctx,
        clock,
        overflow: "TCP_LISTEN_OVERFLOW".into(),
        batch: Vec::new(),
        stale: Vec::new(),
    };
    let ledger = &ctx.shared.ledger;
    ledger.begin();
    let read = match reader {
        Reader::Keys(program) => read_keys(program, bss, sockets, |event| sorter.take(event)),
        Reader::Walk(link) => {
            plain::store(&mut bss.tcp_entries, 0);
            iterator::run(link, |event| sorter.take(event)).map(|()| plain::load(&bss.tcp_entries))
        }
    };
    let entries = read.unwrap_or_else(|error| {
        let program = if matches!(reader, Reader::Keys(_)) { "flow_tcp" } else { "flow_tcp_walk" };
        ctx.health.failed(program, &format!("read: {error}"));
        0
    });
    let stale = sorter.stale.iter().filter_map(|event| reconcile(event, sockets, ledger, clock));
    sorter.batch.extend(stale);
    ctx.send(Batch::Observations(sorter.batch));
    ledger.finish(entries, |(address, life)| {
        entry(sockets, address).is_some_and(|it| it.cookie == life || it.start_ns == life)
    });
    entries
}

/// Takes the keys in chunks, and hands over what the program says of the sockets behind each.
fn read_keys(
    program: &ProgramMut<'_>,
    bss: &mut bss,
    sockets: &MapHandle,
    mut each: impl FnMut(tcp_event),
) -> std::io::Result<u64> {
    let mut walk = Walk::new(sockets, bss.tcp_keys.len());
    let mut entries = 0;
    while let Some(count) = walk.next(&mut bss.tcp_keys, false)? {
        if count == 0 {
            continue;
        }
        // The program works in groups.
        bss.tcp_keys[count..].iter_mut().take(GROUP - 1).for_each(|key| *key = 0);
        entries += count as u64;
        plain::store(&mut bss.tcp_key_count, count as u32);
        program.test_run(ProgramInput::default()).map_err(std::io::Error::other)?;
        let told = plain::load(&bss.tcp_event_count) as usize;
        bss.tcp_events
            .iter()
            .take(told)
            .filter_map(|words| plain::read_words(words))
            .for_each(&mut each);
    }
    Ok(entries)
}

struct Sorter<'a> {
    ctx: &'a Context,
    clock: Clock,
    overflow: Arc<str>,
    batch: Vec<Observation>,
    stale: Vec<tcp_event>,
}

impl Sorter<'_> {
    fn take(&mut self, event: tcp_event) {
        match event.kind {
            tcp_kind::TCP_FLOW => {
                let deltas = self.ctx.shared.ledger.read(key(&event), counters(&event.since));
                self.batch.extend(deltas.map(|deltas| flow(&event, deltas, self.clock)));
            }
            tcp_kind::TCP_OVERFLOW => {
                self.batch.push(overflowed(&event, self.clock, self.overflow.clone()));
            }
            tcp_kind::TCP_STALE => self.stale.push(event),
            _ => self.ctx.health.malformed(),
        }
        if self.batch.len() >= 1024 {
            self.ctx.send(Batch::Observations(std::mem::take(&mut self.batch)));
        }
    }
}

fn flow(event: &tcp_event, deltas: Counters, clock: Clock) -> Observation {
    let flow = Flow { deltas, interval_ns: event.interval_ns, age_ns: event.duration_ns };
    observation(event, clock, Subject::Flow(flow))
}

fn overflowed(event: &tcp_event, clock: Clock, reason: Arc<str>) -> Observation {
    let packets = event.since.packets_received.into();
    let drop = Drop { reason, packets, bytes: 0, interval_ns: event.interval_ns };
    observation(event, clock, Subject::Drop(drop))
}

/// The socket is gone and its end was never shown (a program already running on the CPU is not run again). The last
/// read stands for the totals. Whoever deletes the entry reports it: nothing is reported twice.
fn reconcile(
    event: &tcp_event,
    sockets: &MapHandle,
    ledger: &Ledger,
    clock: Clock,
) -> Option<Observation> {
    // Meanwhile another socket may live at the same address.
    if entry(sockets, event.socket)?.suspect == 0 {
        return None;
    }
    sockets.delete(&event.socket.to_ne_bytes()).ok()?;
    let told = ledger.forget(key(event));
    let before = counters(&event.totals);
    let totals = Counters {
        bytes_sent: before.bytes_sent + told.bytes_sent,
        bytes_received: before.bytes_received + told.bytes_received,
        packets_sent: before.packets_sent + told.packets_sent,
        packets_received: before.packets_received + told.packets_received,
        retransmits: before.retransmits + told.retransmits,
        rtt_us: told.rtt_us,
    };
    let connection = Connection {
        event: ConnectionEvent::Closed,
        errno: 0,
        connect_ns: event.connect_ns,
        duration_ns: 0,
        totals,
    };
    Some(observation(event, clock, Subject::Connection(connection)))
}
