//! `/api/v1/status`: the same facts as the self metrics, for people.

use std::sync::atomic::Ordering;

use daemon::export::Facts;
use model::status::{
    BackendStatus, Count, Loss, MetadataStatus, QueueStatus, RecordsStatus, SeriesStatus, Status,
};

use super::http::Sources;
use crate::config::{Mode, Source};
use crate::identity;

/// Reads everything anew; takes some milliseconds.
pub(super) fn collect(sources: &Sources) -> Status {
    let Sources { config, shared, meter, .. } = sources;
    let report = (sources.report)();
    let identity = shared.identity().clone();
    let mut cost = meter.cost();
    cost.map_memory_bytes = report.maps.iter().map(|map| map.memory_bytes).sum();
    let series = shared.aggregate().series().map(|(metric, series, overflow)| SeriesStatus {
        metric: metric.name().into(),
        series,
        overflow,
    });
    let waiting_for = sources.waiting_for();
    Status {
        version: env!("CARGO_PKG_VERSION").into(),
        node: config.node.to_string(),
        mode: match config.mode {
            Mode::Kubernetes => "kubernetes".into(),
            Mode::Standalone => "standalone".into(),
        },
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        pid: std::process::id(),
        uptime_seconds: meter.uptime().as_secs_f64(),
        ready: waiting_for.is_none(),
        waiting_for: waiting_for.unwrap_or_default().into(),
        losses: add_losses(sources, report.losses),
        evictions: evictions(&identity),
        metadata: metadata(sources, &identity),
        programs: report.programs,
        maps: report.maps,
        backends: backends(sources, &identity),
        unattributed: unattributed(&identity),
        queues: queues(sources, &identity),
        series: series.into(),
        records: RecordsStatus {
            total: shared.total.load(Ordering::Relaxed),
            per_second: meter.records_per_second(),
            buffered: shared.records.buffered() as u64,
            readers: shared.records.readers() as u64,
            out_of_scope: identity.out_of_scope,
        },
        exports: sources.exports.facts().iter().map(Facts::status).collect(),
        cost,
    }
}

/// Everything that was lost so far.
pub(super) fn losses(sources: &Sources) -> Vec<Loss> {
    add_losses(sources, (sources.report)().losses)
}

/// The probes' losses and those of the stages that follow.
fn add_losses(sources: &Sources, mut losses: Vec<Loss>) -> Vec<Loss> {
    let loss = |probe: &str, stage: &str, cause: &str, count| Loss {
        probe: probe.into(),
        stage: stage.into(),
        cause: cause.into(),
        count,
    };
    losses.push(loss(
        "pipeline",
        "active_connections",
        "table_full",
        sources.shared.aggregate().uncounted(),
    ));
    losses.push(loss("records", "stream", "slow_reader", sources.shared.records.lost()));
    if let Some(reports) = sources.told() {
        let uncounted = reports.interval.uncounted.load(Ordering::Relaxed);
        losses.push(loss("report", "report", "spool_full", reports.spool.facts().lost_rows));
        losses.push(loss("report", "active_connections", "table_full", uncounted));
    }
    losses
}

/// An entry that makes room for another one takes no record with it.
fn evictions(identity: &identity::Counters) -> Vec<Count> {
    let count = |table: &identity::Table| Count { name: table.name.into(), count: table.evicted };
    identity.tables.iter().map(count).collect()
}

fn metadata(sources: &Sources, identity: &identity::Counters) -> MetadataStatus {
    let (source, facts) = (sources.link.source(), sources.link.facts());
    let identity::InterestCounters { wanted, misses, known, unknown, .. } = identity.interest;
    let state = if source == Source::None { "" } else { facts.state.name() };
    MetadataStatus {
        source: source.name().into(),
        state: state.into(),
        peer: facts.peer,
        epoch: facts.epoch,
        sequence: facts.sequence,
        stale_seconds: facts.stale_seconds,
        error: facts.error,
        reconnects: facts.reconnects,
        bytes_received: facts.bytes_received,
        resyncs: facts.resyncs,
        malformed: facts.malformed + identity.interest.unasked,
        interest: wanted,
        misses,
        known,
        unknown,
        stale_records: identity.stale_records,
    }
}

fn backends(sources: &Sources, identity: &identity::Counters) -> BackendStatus {
    let identity::BackendCounters { found, none, late, unavailable } = identity.backends;
    BackendStatus { found, none, late, unavailable, obstacle: sources.shared.obstacle.get() }
}

fn unattributed(identity: &identity::Counters) -> Vec<Count> {
    identity
        .unattributed
        .iter()
        .map(|(cause, count)| Count { name: cause.name().into(), count: *count })
        .collect()
}

fn queues(sources: &Sources, identity: &identity::Counters) -> Vec<QueueStatus> {
    let shared = &sources.shared;
    let (backlog, max_backlog) = shared.records.backlog();
    let queue = |queue: &str, depth, capacity| QueueStatus { queue: queue.into(), depth, capacity };
    let mut queues = vec![
        queue("pipeline", shared.waiting.load(Ordering::Relaxed) as u64, shared.max_waiting as u64),
        queue("identity", identity.parked, identity::Limits::default().parked as u64),
        queue("records", backlog, max_backlog),
    ];
    if let Some(reports) = sources.told() {
        let facts = reports.spool.facts();
        queues.push(queue("report", facts.bytes, facts.most_bytes));
    }
    queues
}
