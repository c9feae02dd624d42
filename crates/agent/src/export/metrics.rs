//! What `/metrics` shows, and what each metric means.

use std::fmt;
use std::sync::atomic::Ordering;

use daemon::metrics::{Distribution, Families, Labels, labels, with};
use daemon::tls;
use model::status::{ProgramState, Status};

use super::http::Sources;
use super::status;
use crate::pipeline::{Metric, Series, Snapshot, Traffic};
use crate::report::Facts;
use crate::{identity, kube};

/// Name, type and meaning of every metric, as `# HELP` and `# TYPE` lines: the reference.
pub fn metrics_reference() -> String {
    daemon::metrics::reference(View::default())
}

/// All values at one moment.
#[derive(Debug, Default)]
pub struct View {
    status: Status,
    identity: identity::Counters,
    snapshot: Snapshot,
    certificates: Option<tls::Facts>,
    told: Option<Told>,
    exports: Vec<daemon::export::Facts>,
}

/// What the hub is told.
#[derive(Debug)]
struct Told {
    keys: u64,
    overflow: u64,
    spool: Facts,
}

impl View {
    pub fn collect(sources: &Sources) -> Self {
        Self {
            status: status::collect(sources),
            identity: sources.shared.identity().clone(),
            snapshot: sources.shared.aggregate().snapshot(),
            certificates: sources.link.facts().certificates,
            exports: sources.exports.facts(),
            told: sources.told().map(|it| Told {
                keys: it.interval.keys.load(Ordering::Relaxed),
                overflow: it.interval.overflow.load(Ordering::Relaxed),
                spool: it.spool.facts(),
            }),
        }
    }
}

impl daemon::metrics::View for View {
    fn write(&self, out: &mut Families<'_>) -> fmt::Result {
        self.connections(out)?;
        self.flows(out)?;
        self.lookups(out)?;
        self.probes(out)?;
        self.metadata(out)?;
        tls::Facts::write(self.certificates.as_ref(), out)?;
        self.pipeline(out)?;
        self.report(out)?;
        daemon::export::Facts::write(&self.exports, out)?;
        self.process(out)
    }
}

impl View {
    fn traffic<'a, V>(
        &'a self,
        value: impl Fn(&'a Traffic) -> Option<V> + 'a,
    ) -> impl Iterator<Item = (Labels<'a>, V)> {
        self.snapshot.traffic.iter().filter_map(move |series: &Series<Traffic>| {
            value(&series.values).map(|value| (series.labels.pairs(), value))
        })
    }

    fn connections(&self, out: &mut Families<'_>) -> fmt::Result {
        let outcomes =
            self.snapshot.traffic.iter().flat_map(|Series { labels, values, .. }| {
                [("established", values.established), ("failed", values.failed)]
                    .into_iter()
                    .filter(|(_, count)| *count > 0)
                    .map(|(outcome, count)| (with(labels.pairs(), "outcome", outcome), count))
            });
        out.counter(
            Metric::Connections.name(),
            "TCP connections by outcome: established or failed. Source opened it; direction egress is counted at the \
             source, ingress at the destination.",
            outcomes,
        )?;
        out.histogram(
            Metric::ConnectSeconds.name(),
            "Time from SYN to ESTABLISHED of connections that this node opened.",
            self.traffic(|values| values.connect.as_deref().map(distribution)),
        )?;
        out.gauge(
            Metric::ActiveConnections.name(),
            "TCP connections established since the agent started and not closed yet. Older ones show in the flow metrics \
             only: an idle one moves nothing by which it could be counted.",
            self.traffic(|values| values.active),
        )
    }

    fn flows(&self, out: &mut Families<'_>) -> fmt::Result {
        out.counter(
            Metric::FlowBytes.name(),
            "Payload bytes (no headers, no retransmissions) from source to destination, whoever opened the \
             connection. Direction egress is counted at the sender, ingress at the receiver: choose one to count \
             each byte once.",
            self.traffic(|values| values.moved.map(|moved| moved.bytes)),
        )?;
        out.counter(
            Metric::FlowPackets.name(),
            "Packets (TCP: segments, pure ACKs included) from source to destination; direction as in \
             amphipod_flow_bytes_total.",
            self.traffic(|values| values.moved.map(|moved| moved.packets)),
        )?;
        out.counter(
            Metric::Retransmits.name(),
            "TCP segments that the source sent again.",
            self.traffic(|values| values.retransmits),
        )?;
        out.histogram(
            Metric::Rtt.name(),
            "The kernel's smoothed round-trip time: one sample for each report of a connection's counters. Source opened the connection.",
            self.traffic(|values| values.rtt.as_deref().map(distribution)),
        )?;
        out.counter(
            Metric::Drops.name(),
            "Packets that the kernel discarded, by its own name of the reason (TCP_LISTEN_OVERFLOW: connections that a \
             full accept queue turned away).",
            self.snapshot.drops.iter().map(|series| (series.labels.pairs(), series.values.packets)),
        )
    }

    fn lookups(&self, out: &mut Families<'_>) -> fmt::Result {
        out.histogram(
            Metric::Lookups.name(),
            "Time from a DNS query over UDP to its answer, by response code; timeout: no answer came, and that is how long \
             it was waited for. Source asked; direction egress is counted at the client, ingress at the server.",
            self.snapshot
                .lookups
                .iter()
                .map(|series| (series.labels.pairs(), distribution(&series.values.duration))),
        )
    }

    fn probes(&self, out: &mut Families<'_>) -> fmt::Result {
        let Status { programs, maps, losses, .. } = &self.status;
        let program = |probe, program| labels([("probe", probe), ("program", program)]);
        out.gauge(
            "amphipod_probe_state",
            "1: the BPF program is in this state (active, disabled, unsupported, degraded, failed), for this reason.",
            programs.iter().map(|it| {
                let labels = with(program(&it.probe, &it.program), "state", state(it.state));
                (with(labels, "reason", &it.reason), 1_u64)
            }),
        )?;
        let ran = || programs.iter().filter(|it| it.runs > 0);
        out.counter(
            "amphipod_program_run_seconds_total",
            "Time spent in the BPF program; absent unless the kernel measures it (agent.run_time).",
            ran().map(|it| (program(&it.probe, &it.program), it.run_time_ns as f64 / 1e9)),
        )?;
        out.counter(
            "amphipod_program_runs_total",
            "Runs of the BPF program; absent unless the kernel measures them (agent.run_time).",
            ran().map(|it| (program(&it.probe, &it.program), it.runs)),
        )?;
        out.counter(
            "amphipod_program_recursion_misses_total",
            "Runs that the kernel skipped because the program was running on that CPU already.",
            programs.iter().map(|it| (program(&it.probe, &it.program), it.recursion_misses)),
        )?;
        out.counter(
            "amphipod_lost_total",
            "What did not get through, by probe or part, stage and cause.",
            losses.iter().map(|loss| {
                (
                    labels([
                        ("probe", &loss.probe),
                        ("stage", &loss.stage),
                        ("cause", &loss.cause),
                    ]),
                    loss.count,
                )
            }),
        )?;
        let map = |probe, map| labels([("probe", probe), ("map", map)]);
        out.gauge(
            "amphipod_map_entries",
            "Entries in the BPF map.",
            maps.iter().map(|it| (map(&it.probe, &it.map), it.entries)),
        )?;
        out.gauge(
            "amphipod_map_max_entries",
            "Entries that the BPF map can hold.",
            maps.iter().map(|it| (map(&it.probe, &it.map), it.max_entries)),
        )?;
        out.gauge(
            "amphipod_map_pressure_ratio",
            "Part of the BPF map that is full, from 0 to 1.",
            maps.iter()
                .filter(|it| it.max_entries > 0)
                .map(|it| (map(&it.probe, &it.map), it.entries as f64 / it.max_entries as f64)),
        )?;
        out.gauge(
            "amphipod_map_memory_bytes",
            "Memory that the kernel charges for the BPF map.",
            maps.iter().map(|it| (map(&it.probe, &it.map), it.memory_bytes)),
        )
    }

    fn metadata(&self, out: &mut Families<'_>) -> fmt::Result {
        let Status { metadata, backends, evictions, .. } = &self.status;
        let source = || labels([("source", &metadata.source)]);
        let states = kube::State::ALL.into_iter().filter(|_| !metadata.state.is_empty());
        out.gauge(
            "amphipod_metadata_state",
            "1: the source of names is in this state: connecting, syncing, fresh (what is known is what it knows) or stale \
             (out of reach: names may be out of date).",
            states.map(|state| {
                let now = state.name() == metadata.state;
                (with(source(), "state", state.name()), u64::from(now))
            }),
        )?;
        out.gauge(
            "amphipod_metadata_stale_seconds",
            "Time since names were last known to be complete; 0 while they are.",
            [(source(), metadata.stale_seconds)],
        )?;
        out.gauge(
            "amphipod_metadata_interest",
            "Addresses that the hub is asked for: those that records met and metadata.address_expiry did not pass since.",
            [(vec![], metadata.interest)],
        )?;
        out.counter(
            "amphipod_metadata_misses_total",
            "Addresses that had to be asked for.",
            [(vec![], metadata.misses)],
        )?;
        out.counter(
            "amphipod_metadata_answers_total",
            "Answers for addresses: known (somebody's) or unknown (nobody's).",
            [("known", metadata.known), ("unknown", metadata.unknown)]
                .map(|(answer, count)| (labels([("answer", answer)]), count)),
        )?;
        out.counter(
            "amphipod_metadata_reconnects_total",
            "Connections to the source of names after the first.",
            [(vec![], metadata.reconnects)],
        )?;
        out.counter(
            "amphipod_metadata_received_bytes_total",
            "Bytes that the source of names sent, as they travelled.",
            [(vec![], metadata.bytes_received)],
        )?;
        out.counter(
            "amphipod_metadata_resyncs_total",
            "Complete accounts received instead of a difference, the first included.",
            [(vec![], metadata.resyncs)],
        )?;
        out.counter(
            "amphipod_metadata_malformed_total",
            "Items from the source of names that were left out: not understood, not asked for, or without room.",
            [(vec![], metadata.malformed)],
        )?;
        out.counter(
            "amphipod_metadata_stale_records_total",
            "Records that left while names may have been out of date.",
            [(vec![], metadata.stale_records)],
        )?;
        out.counter(
            "amphipod_backend_lookups_total",
            "Connections to services for which connection tracking was asked which backend it chose: found, none (not \
             tracked, or not translated), late (no answer in time, no room to ask, or the port in use again by then) or \
             unavailable (the kernel cannot be asked; amphipod status says why). Without found, the pod is unknown.",
            [
                ("found", backends.found),
                ("none", backends.none),
                ("late", backends.late),
                ("unavailable", backends.unavailable),
            ]
            .map(|(result, count)| (labels([("result", result)]), count)),
        )?;
        out.counter(
            "amphipod_evictions_total",
            "Entries that a table of names had no room for, or that had to make room. No record is lost by it, but records \
             may go without a name.",
            evictions.iter().map(|it| (labels([("table", &it.name)]), it.count)),
        )
    }

    fn pipeline(&self, out: &mut Families<'_>) -> fmt::Result {
        let Status { unattributed, queues, series, records, .. } = &self.status;
        out.counter("amphipod_records_total", "Records published.", [(vec![], records.total)])?;
        out.counter(
            "amphipod_unattributed_total",
            "Records whose local end has no name, by cause.",
            unattributed.iter().map(|it| (labels([("kind", &it.name)]), it.count)),
        )?;
        out.counter(
            "amphipod_out_of_scope_total",
            "Observations of pods outside agent.cgroup, left out: another agent's.",
            [(vec![], records.out_of_scope)],
        )?;
        out.counter(
            "amphipod_identity_parked_total",
            "Records that had to wait for a name.",
            [(vec![], self.identity.parked_total)],
        )?;
        out.counter(
            "amphipod_identity_patched_total",
            "Records that waited for a name and got it.",
            [(vec![], self.identity.patched)],
        )?;
        out.gauge(
            "amphipod_identity_entries",
            "Entries in a table of names.",
            self.identity.tables.iter().map(|it| (labels([("table", it.name)]), it.entries)),
        )?;
        out.gauge(
            "amphipod_queue_depth",
            "What waits in a queue: batches (pipeline), records that wait for a name (identity), records that the \
             slowest reader has not read (records), bytes that no hub has stored yet (report).",
            queues.iter().map(|it| (labels([("queue", &it.queue)]), it.depth)),
        )?;
        out.gauge(
            "amphipod_queue_capacity",
            "How much can wait in a queue before something is lost or held up.",
            queues.iter().map(|it| (labels([("queue", &it.queue)]), it.capacity)),
        )?;
        out.gauge(
            "amphipod_series",
            "Label sets of a metric.",
            series.iter().map(|it| (labels([("metric", &it.metric)]), it.series)),
        )?;
        out.counter(
            "amphipod_series_overflow_total",
            "Updates that found no room for a new label set and went to the workload __overflow__, so that sums stay \
             right.",
            series.iter().map(|it| (labels([("metric", &it.metric)]), it.overflow)),
        )?;
        out.gauge(
            "amphipod_record_readers",
            "Readers of live records.",
            [(vec![], records.readers)],
        )
    }

    fn report(&self, out: &mut Families<'_>) -> fmt::Result {
        let value = |value: fn(&Told) -> u64| self.told.iter().map(move |it| (vec![], value(it)));
        out.gauge(
            "amphipod_report_keys",
            "Pairs of workloads, ports and protocols that the hub is told apart.",
            value(|it| it.keys),
        )?;
        out.counter(
            "amphipod_report_overflow_total",
            "Records that found no room for a row of their own (report.max_keys) and were told in the overflow's.",
            value(|it| it.overflow),
        )?;
        out.counter(
            "amphipod_report_rows_total",
            "Rows of intervals made for the hub; those that had to make room are in amphipod_lost_total.",
            value(|it| it.spool.rows),
        )?;
        out.gauge(
            "amphipod_report_waiting_batches",
            "Batches of rows that no hub has stored yet.",
            value(|it| it.spool.batches),
        )
    }

    fn process(&self, out: &mut Families<'_>) -> fmt::Result {
        let Status { version, kernel, cost, uptime_seconds, ready, .. } = &self.status;
        out.gauge(
            "amphipod_build_info",
            "1: this version runs on this kernel.",
            [(labels([("version", version), ("kernel", kernel)]), 1_u64)],
        )?;
        out.gauge("amphipod_ready", "1 if the agent is ready.", [(vec![], u64::from(*ready))])?;
        out.gauge(
            "amphipod_uptime_seconds",
            "Time since the agent started.",
            [(vec![], *uptime_seconds)],
        )?;
        out.counter(
            "process_cpu_seconds_total",
            "User and system time of this process.",
            [(vec![], cost.cpu_seconds)],
        )?;
        out.gauge(
            "process_resident_memory_bytes",
            "Resident memory of this process.",
            [(vec![], cost.rss_bytes)],
        )?;
        out.gauge(
            "process_resident_memory_peak_bytes",
            "The most that its resident memory has been.",
            [(vec![], cost.peak_rss_bytes)],
        )
    }
}

fn distribution(it: &crate::pipeline::Histogram) -> Distribution {
    Distribution { sum: it.sum_seconds(), count: it.count(), buckets: it.buckets() }
}

fn state(state: ProgramState) -> &'static str {
    match state {
        ProgramState::Active => "active",
        ProgramState::Disabled => "disabled",
        ProgramState::Unsupported => "unsupported",
        ProgramState::Degraded => "degraded",
        ProgramState::Failed => "failed",
    }
}

#[cfg(test)]
mod tests;
