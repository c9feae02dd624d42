//! The agent's status in words.

use model::status::{BackendStatus, ExportStatus, MapStatus, ProgramState, ProgramStatus, Status};

use super::table::{odd, table};
use crate::paint::{Paint, Tone};
use crate::units::{bytes, count, plural, rate, span_us};

/// A map is worth a look from here on.
const FULL: f64 = 0.9;

pub fn text(status: &Status, colour: bool) -> String {
    let mut paint = Paint::new(colour);
    head(status, &mut paint);
    metadata(status, &mut paint);
    backends(&status.backends, &mut paint);
    exports(&status.exports, &mut paint);
    programs(&status.programs, &mut paint);
    maps(&status.maps, &mut paint);
    queues(status, &mut paint);
    missing(status, &mut paint);
    paint.text().to_owned()
}

fn head(status: &Status, paint: &mut Paint) {
    let uptime = span_us((status.uptime_seconds * 1e6) as u64);
    let cost = &status.cost;
    let records = &status.records;
    paint.plain(&format!(
        "amphipod {} on {} ({}, Linux {}), pid {}, up {uptime}",
        status.version, status.node, status.mode, status.kernel, status.pid
    ));
    paint.line_feed();
    match (status.ready, status.waiting_for.as_str()) {
        (true, _) => paint.put(Tone::Good, "ready"),
        (false, "") => paint.put(Tone::Odd, "not ready"),
        (false, waiting) => paint.put(Tone::Odd, &format!("not ready: waiting for {waiting}")),
    }
    paint.line_feed();
    paint.plain(&format!(
        "cost     CPU {:.1}% of a core now, {} in all; memory {} now, {} at most; maps {}",
        cost.cpu_percent,
        span_us((cost.cpu_seconds * 1e6) as u64),
        bytes(cost.rss_bytes),
        bytes(cost.peak_rss_bytes),
        bytes(cost.map_memory_bytes),
    ));
    paint.line_feed();
    paint.plain(&format!(
        "records  {} in all, {}/s now, {} kept, {}",
        count(records.total),
        rate(records.per_second),
        count(records.buffered),
        plural(records.readers, "reader"),
    ));
    if records.out_of_scope > 0 {
        paint.plain(&format!(", {} left out (agent.cgroup)", count(records.out_of_scope)));
    }
    paint.line_feed();
}

fn programs(programs: &[ProgramStatus], paint: &mut Paint) {
    let rows = programs.iter().map(|program| {
        let (tone, state) = match program.state {
            ProgramState::Active => (Tone::Good, "active"),
            ProgramState::Disabled => (Tone::Faint, "disabled"),
            ProgramState::Unsupported => (Tone::Faint, "unsupported"),
            ProgramState::Degraded => (Tone::Odd, "degraded"),
            ProgramState::Failed => (Tone::Bad, "failed"),
        };
        let (runs, per_run) = match program.runs {
            0 => ("-".to_owned(), "-".to_owned()),
            runs => (count(runs), (program.run_time_ns / runs).to_string()),
        };
        vec![
            (Tone::Plain, program.probe.clone()),
            (Tone::Plain, program.program.clone()),
            (tone, state.to_owned()),
            (Tone::Plain, runs),
            (Tone::Plain, per_run),
            (odd(program.recursion_misses > 0), count(program.recursion_misses)),
            (Tone::Plain, program.reason.clone()),
        ]
    });
    table(["PROBE", "PROGRAM", "STATE", "RUNS", "NS/RUN", "MISSED", "REASON"], rows, paint);
    if !programs.is_empty() && programs.iter().all(|program| program.runs == 0) {
        paint.put(
            Tone::Faint,
            "no program ran while it was measured; measure longer: --measure 5000",
        );
        paint.line_feed();
    }
}

fn maps(maps: &[MapStatus], paint: &mut Paint) {
    let rows = maps.iter().map(|map| {
        let fill =
            if map.max_entries == 0 { 0.0 } else { map.entries as f64 / map.max_entries as f64 };
        vec![
            (Tone::Plain, map.probe.clone()),
            (Tone::Plain, map.map.clone()),
            (Tone::Plain, count(map.entries)),
            (Tone::Plain, count(map.max_entries)),
            (odd(fill >= FULL), format!("{:.1}%", fill * 100.0)),
            (Tone::Plain, bytes(map.memory_bytes)),
        ]
    });
    table(["PROBE", "MAP", "ENTRIES", "MAX", "FULL", "MEMORY"], rows, paint);
}

fn queues(status: &Status, paint: &mut Paint) {
    let rows = status.queues.iter().map(|queue| {
        let full = queue.capacity > 0 && queue.depth as f64 / queue.capacity as f64 >= FULL;
        vec![
            (Tone::Plain, queue.queue.clone()),
            (odd(full), count(queue.depth)),
            (Tone::Plain, count(queue.capacity)),
        ]
    });
    table(["QUEUE", "WAITING", "CAPACITY"], rows, paint);
    let rows = status.series.iter().map(|series| {
        vec![
            (Tone::Plain, series.metric.clone()),
            (Tone::Plain, count(series.series)),
            (odd(series.overflow > 0), count(series.overflow)),
        ]
    });
    table(["METRIC", "SERIES", "OVERFLOWED"], rows, paint);
}

/// Where names come from.
fn metadata(status: &Status, paint: &mut Paint) {
    let it = &status.metadata;
    if it.state.is_empty() {
        return;
    }
    paint.plain("names    ");
    let fresh = it.state == "fresh";
    paint.put(
        if fresh { Tone::Good } else { Tone::Odd },
        &format!("{} from {}", it.state, it.source),
    );
    if !it.peer.is_empty() {
        paint.plain(&format!(" {}", it.peer));
    }
    if it.sequence > 0 {
        paint.plain(&format!(", change {} of epoch {}", it.sequence, it.epoch));
    }
    if it.interest > 0 {
        paint.plain(&format!(", {} addresses asked for", count(it.interest)));
    }
    if !fresh {
        paint.put(Tone::Odd, &format!(", since {:.0}s", it.stale_seconds));
    }
    if !it.error.is_empty() {
        paint.put(Tone::Odd, &format!(": {}", it.error));
    }
    paint.line_feed();
}

/// Whether what stands behind services is known.
fn backends(it: &BackendStatus, paint: &mut Paint) {
    let counts = [
        (Tone::Plain, it.found, "found"),
        (Tone::Plain, it.none, "not translated"),
        (Tone::Odd, it.late, "too late"),
        (Tone::Odd, it.unavailable, "could not be asked for"),
    ];
    let told: Vec<_> = counts.into_iter().filter(|(_, number, _)| *number > 0).collect();
    if told.is_empty() {
        return;
    }
    paint.plain("backends ");
    for (index, (tone, number, what)) in told.into_iter().enumerate() {
        paint.plain(if index == 0 { "" } else { ", " });
        paint.put(tone, &format!("{} {what}", count(number)));
    }
    if !it.obstacle.is_empty() {
        paint.put(Tone::Odd, &format!(": {}", it.obstacle));
    }
    paint.line_feed();
}

/// Where metrics are sent.
pub fn exports(all: &[ExportStatus], paint: &mut Paint) {
    for it in all {
        paint.plain("metrics  ");
        let tone = if it.up { Tone::Good } else { Tone::Odd };
        let fares = match (it.up, it.error.as_str()) {
            (true, _) => "sent",
            (false, "") => "not sent yet",
            (false, _) => "not taken",
        };
        paint.put(tone, &format!("{} {fares}", it.exporter));
        paint.plain(&format!(" to {}, {} samples", it.to, count(it.sent)));
        if it.lost > 0 {
            paint.put(Tone::Odd, &format!(", {} lost", count(it.lost)));
        }
        if !it.error.is_empty() {
            paint.plain(&format!(", {} wait", bytes(it.queue_bytes)));
            paint.put(Tone::Odd, &format!(": {}", it.error));
        }
        paint.line_feed();
    }
}

/// What a number that leaves the agent may lack.
fn missing(status: &Status, paint: &mut Paint) {
    let lost = status.losses.iter().filter(|loss| loss.count > 0).map(|loss| {
        vec![
            (Tone::Plain, loss.probe.clone()),
            (Tone::Plain, loss.stage.clone()),
            (Tone::Plain, loss.cause.clone()),
            (Tone::Odd, loss.count.to_string()),
        ]
    });
    let nothing = lost.clone().next().is_none();
    table(["PROBE", "STAGE", "CAUSE", "LOST"], lost, paint);
    let evicted =
        status.evictions.iter().filter(|table| table.count > 0).map(|table| {
            vec![(Tone::Plain, table.name.clone()), (Tone::Plain, count(table.count))]
        });
    table(["NAMES FULL", "EVICTED"], evicted, paint);
    let unattributed =
        status.unattributed.iter().filter(|cause| cause.count > 0).map(|cause| {
            vec![(Tone::Plain, cause.name.clone()), (Tone::Odd, cause.count.to_string())]
        });
    let complete = nothing && unattributed.clone().next().is_none();
    table(["UNATTRIBUTED BECAUSE OF", "RECORDS"], unattributed, paint);
    paint.line_feed();
    match (nothing, complete) {
        (true, true) => paint.put(Tone::Good, "nothing lost, every record attributed"),
        (true, false) => paint.put(Tone::Good, "nothing lost"),
        _ => paint.put(Tone::Odd, "incomplete: see what was lost above"),
    }
    paint.line_feed();
}

#[cfg(test)]
mod tests {
    use model::status::{Cost, Count, Loss, MetadataStatus, RecordsStatus};

    use super::*;

    fn program(name: &str, state: ProgramState, reason: &str, runs: u64) -> ProgramStatus {
        ProgramStatus {
            probe: "tcp".to_owned(),
            program: name.to_owned(),
            state,
            reason: reason.to_owned(),
            runs,
            run_time_ns: runs * 420,
            recursion_misses: 0,
        }
    }

    fn status() -> Status {
        Status {
            version: "0.1.0".to_owned(),
            node: "node-1".to_owned(),
            mode: "standalone".to_owned(),
            kernel: "6.18.5".to_owned(),
            pid: 7,
            uptime_seconds: 3723.0,
            ready: true,
            programs: vec![
                program("set_state", ProgramState::Active, "", 1200),
                program("accept", ProgramState::Degraded, "no cookie before Linux 5.12", 0),
            ],
            maps: vec![MapStatus {
                probe: "tcp".to_owned(),
                map: "sockets".to_owned(),
                entries: 250_000,
                max_entries: 262_144,
                memory_bytes: 64_000_000,
            }],
            records: RecordsStatus {
                total: 12_345,
                per_second: 17.25,
                buffered: 4096,
                readers: 1,
                out_of_scope: 0,
            },
            cost: Cost {
                cpu_percent: 0.42,
                cpu_seconds: 12.5,
                rss_bytes: 12_000_000,
                peak_rss_bytes: 20_000_000,
                map_memory_bytes: 64_000_000,
            },
            ..Status::default()
        }
    }

    #[track_caller]
    fn check(status: &Status, expected: &str) {
        assert_eq!(text(status, false).trim_end(), expected.trim_matches('\n'));
    }

    #[test]
    fn reads_top_to_bottom() {
        check(
            &status(),
            "
amphipod 0.1.0 on node-1 (standalone, Linux 6.18.5), pid 7, up 1h02m
ready
cost     CPU 0.4% of a core now, 12.50s in all; memory 12.0MB now, 20.0MB at most; maps 64.0MB
records  12.3k in all, 17/s now, 4.1k kept, 1 reader

PROBE  PROGRAM    STATE     RUNS  NS/RUN  MISSED  REASON
tcp    set_state  active    1.2k  420     0
tcp    accept     degraded  -     -       0       no cookie before Linux 5.12

PROBE  MAP      ENTRIES  MAX   FULL   MEMORY
tcp    sockets  250k     262k  95.4%  64.0MB

nothing lost, every record attributed
",
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        let loss = Loss {
            probe: "tcp".to_owned(),
            stage: "kernel".to_owned(),
            cause: "ring_full".to_owned(),
            count: 1_234_567,
        };
        let lossless = Loss { count: 0, ..loss.clone() };
        let status = Status {
            programs: Vec::new(),
            maps: Vec::new(),
            ready: false,
            waiting_for: "pods".to_owned(),
            losses: vec![lossless, loss],
            evictions: vec![
                Count { name: "peers".to_owned(), count: 12 },
                Count { name: "pods".to_owned(), count: 0 },
            ],
            metadata: MetadataStatus {
                source: "hub".to_owned(),
                state: "stale".to_owned(),
                epoch: 3,
                sequence: 7,
                stale_seconds: 61.2,
                error: "connection refused".to_owned(),
                ..MetadataStatus::default()
            },
            backends: BackendStatus {
                found: 1200,
                unavailable: 2,
                obstacle: "nf_conntrack is not loaded".to_owned(),
                ..BackendStatus::default()
            },
            exports: vec![ExportStatus {
                exporter: "otlp".to_owned(),
                to: "http://c:4317/".to_owned(),
                up: false,
                sent: 12,
                lost: 3,
                queue_bytes: 2_000_000,
                queue_max_bytes: 8 << 20,
                error: "Unavailable: later".to_owned(),
            }],
            unattributed: vec![Count { name: "no_cgroup".to_owned(), count: 3 }],
            records: RecordsStatus { out_of_scope: 17, ..status().records },
            ..status()
        };
        let shown = text(&status, false);
        for part in [
            "not ready: waiting for pods\n",
            ", 1 reader, 17 left out (agent.cgroup)\n",
            "PROBE  STAGE   CAUSE      LOST\ntcp    kernel  ring_full  1234567\n\n",
            "NAMES FULL  EVICTED\npeers       12\n",
            "UNATTRIBUTED BECAUSE OF  RECORDS\nno_cgroup                3\n",
            "\nnames    stale from hub, change 7 of epoch 3, since 61s: connection refused\n",
            "\nbackends 1.2k found, 2 could not be asked for: nf_conntrack is not loaded\n",
            "\nmetrics  otlp not taken to http://c:4317/, 12 samples, 3 lost, 2.0MB wait: Unavailable: later\n",
            "\nincomplete: see what was lost above\n",
        ] {
            assert!(shown.contains(part), "{part:?} in\n{shown}");
        }
    }

    #[test]
    fn colours_only_where_wanted_and_no_control_characters() {
        let mut status = status();
        status.programs[1].reason = "bad \x1b[31m".to_owned();
        assert!(!text(&status, false).contains('\x1b'));
        assert!(text(&status, true).contains("\x1b[32mactive\x1b[0m"));
        assert!(text(&status, true).contains("bad \u{fffd}[31m"));
    }
}
