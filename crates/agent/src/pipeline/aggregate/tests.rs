use std::sync::Arc;

use model::{Counters, Endpoint, Identity, Process, Timestamp, Workload};

use super::*;
use crate::pipeline::OVERFLOW;

fn config(max_series: usize) -> config::Metrics {
    config::Metrics { max_series, expiry: Duration::from_secs(900), pod_labels: false }
}

fn end(workload: &str) -> Endpoint {
    let identity = Identity {
        namespace: Some("shop".into()),
        pod: Some(format!("{workload}-0").into()),
        workload: Some(Workload { kind: "Deployment".into(), name: workload.into() }),
        ..Identity::default()
    };
    Endpoint {
        ip: Some([10, 0, 0, 1].into()),
        port: 80,
        identity: Some(Arc::new(identity)),
        backend: None,
    }
}

fn record(ends: [&str; 2], direction: Direction, cookie: u64, subject: Subject) -> Record {
    Record {
        time: Timestamp(0),
        node: "n".into(),
        source: end(ends[0]),
        destination: end(ends[1]),
        direction,
        protocol: Protocol::TCP,
        process: Process::default(),
        cookie,
        subject,
    }
}

fn connection(event: ConnectionEvent, connect_ns: u64) -> Subject {
    Subject::Connection(Connection {
        event,
        errno: 0,
        connect_ns,
        duration_ns: 0,
        totals: Counters::default(),
    })
}

fn flow(sent: u64, received: u64, retransmits: u32, rtt_us: u32) -> Subject {
    let deltas = Counters {
        bytes_sent: sent,
        bytes_received: received,
        packets_sent: sent / 100,
        packets_received: received / 100,
        retransmits,
        rtt_us,
    };
    Subject::Flow(Flow { deltas, interval_ns: 5_000_000_000, age_ns: 0 })
}

/// Each series as one line, sorted.
fn lines(aggregate: &Aggregate) -> Vec<String> {
    let snapshot = aggregate.snapshot();
    let label = |labels: &crate::pipeline::Labels| {
        let text = |name| {
            labels
                .pairs()
                .into_iter()
                .find(|(key, _)| *key == name)
                .map_or("?".into(), |(_, it)| it.into_owned())
        };
        format!(
            "{}>{} {}",
            text("source_workload"),
            text("destination_workload"),
            text("direction")
        )
    };
    let mut lines: Vec<_> = snapshot
        .traffic
        .iter()
        .map(|Series { labels, values, .. }| {
            let mut line = label(labels);
            let mut add = |name: &str, value: Option<u64>| {
                if let Some(value) = value {
                    line.push_str(&format!(" {name}={value}"));
                }
            };
            add("established", Some(values.established).filter(|count| *count > 0));
            add("failed", Some(values.failed).filter(|count| *count > 0));
            add("active", values.active);
            add("connects", values.connect.as_ref().map(|it| it.count()));
            add("bytes", values.moved.map(|moved| moved.bytes));
            add("packets", values.moved.map(|moved| moved.packets));
            add("retransmits", values.retransmits);
            add("rtts", values.rtt.as_ref().map(|it| it.count()));
            line
        })
        .chain(
            snapshot
                .drops
                .iter()
                .map(|it| format!("{} dropped={}", label(&it.labels), it.values.packets)),
        )
        .collect();
    lines.sort();
    lines
}

use ConnectionEvent::{Accepted, Closed, Failed, Opened};
use Direction::{Egress, Ingress};

#[test]
fn both_ends_of_one_connection() {
    let mut aggregate = Aggregate::new(&config(100), 100);
    let now = Instant::now();
    let pair = ["web", "cart"];
    for record in [
        record(pair, Egress, 1, connection(Opened, 70_000)),
        record(pair, Ingress, 2, connection(Accepted, 0)),
        record(pair, Egress, 1, flow(300, 9000, 2, 150)),
        record(pair, Ingress, 2, flow(9000, 300, 0, 0)),
        record(pair, Ingress, 2, connection(Closed, 0)),
        record(pair, Egress, 5, connection(Failed, 0)),
    ] {
        aggregate.add(&record, now);
    }
    assert_eq!(
        lines(&aggregate),
        [
            // What cart sent, counted at cart and at web.
            "cart>web egress bytes=9000 packets=90 retransmits=0",
            "cart>web ingress bytes=9000 packets=90",
            "web>cart egress established=1 failed=1 active=1 connects=1 bytes=300 packets=3 retransmits=2 rtts=1",
            "web>cart ingress established=1 active=0 bytes=300 packets=3",
        ]
    );
}

#[test]
fn what_has_no_room_goes_to_the_overflow_and_sums_stay_right() {
    let mut aggregate = Aggregate::new(&config(3), 100);
    let now = Instant::now();
    for index in 0..10_u64 {
        let name = format!("w{index}");
        aggregate.add(&record([&name, "db"], Egress, index + 1, connection(Opened, 1000)), now);
        aggregate.add(&record([&name, "db"], Egress, index + 1, flow(100, 0, 0, 0)), now);
    }
    let snapshot = aggregate.snapshot();
    assert_eq!(snapshot.traffic.len(), 4);
    let total: u64 =
        snapshot.traffic.iter().filter_map(|it| it.values.moved).map(|moved| moved.bytes).sum();
    assert_eq!(total, 1000);
    let overflow = snapshot
        .traffic
        .iter()
        .find(|it| it.labels.pairs().contains(&("source_workload", OVERFLOW.into())))
        .unwrap();
    assert_eq!((overflow.values.established, overflow.values.active), (7, Some(7)));
    let of = |metric: Metric| aggregate.series()[metric as usize];
    assert_eq!(of(Metric::FlowBytes), (Metric::FlowBytes, 4, 7));
    assert_eq!(of(Metric::Connections), (Metric::Connections, 4, 7));
    assert_eq!(of(Metric::Drops), (Metric::Drops, 0, 0));
    // Only the overflow's workloads are replaced.
    let pairs = overflow.labels.pairs();
    assert!(
        pairs.contains(&("source_workload", OVERFLOW.into()))
            && pairs.contains(&("protocol", "TCP".into()))
    );
    assert!(!pairs.iter().any(|(name, _)| *name == "source_namespace"));
}

#[test]
fn idle_series_expire_and_live_ones_do_not() {
    let mut aggregate = Aggregate::new(&config(100), 100);
    let start = Instant::now();
    let later = start + Duration::from_secs(901);
    aggregate.add(&record(["a", "b"], Egress, 1, connection(Opened, 0)), start);
    aggregate.add(&record(["c", "d"], Egress, 2, flow(1, 0, 0, 0)), start);
    aggregate
        .add(&record(["e", "f"], Egress, 3, flow(2, 0, 0, 0)), start + Duration::from_secs(500));
    aggregate.expire(later);
    let kept = ["a>b egress established=1 active=1", "e>f egress bytes=2 packets=0 retransmits=0"];
    assert_eq!(lines(&aggregate), kept);
    // Its place is used again, and the end of the old connection still finds its own series.
    aggregate.add(&record(["g", "h"], Egress, 4, flow(3, 0, 0, 0)), later);
    aggregate.add(&record(["x", "y"], Egress, 1, connection(Closed, 0)), later);
    assert_eq!(
        lines(&aggregate),
        [
            "a>b egress established=1 active=0",
            "e>f egress bytes=2 packets=0 retransmits=0",
            "g>h egress bytes=3 packets=0 retransmits=0"
        ]
    );
    aggregate.expire(later + Duration::from_secs(901));
    assert_eq!(lines(&aggregate), [""; 0]);
}

#[test]
fn live_connections_are_bounded_and_counted() {
    let mut aggregate = Aggregate::new(&config(100), 2);
    let now = Instant::now();
    for cookie in [1, 2, 3, 2] {
        aggregate.add(&record(["a", "b"], Egress, cookie, connection(Opened, 0)), now);
    }
    assert_eq!(lines(&aggregate), ["a>b egress established=4 active=2"]);
    assert_eq!(aggregate.uncounted(), 1);
    for cookie in [3, 3, 1, 9] {
        aggregate.add(&record(["a", "b"], Egress, cookie, connection(Closed, 0)), now);
    }
    assert_eq!(lines(&aggregate), ["a>b egress established=4 active=1"]);
}

#[test]
fn without_cookies_addresses_tell_connections_apart() {
    let mut aggregate = Aggregate::new(&config(100), 100);
    let now = Instant::now();
    let with_port = |port, event| {
        let mut record = record(["a", "b"], Egress, 0, connection(event, 0));
        record.source.port = port;
        record
    };
    aggregate.add(&with_port(1, Opened), now);
    aggregate.add(&with_port(2, Opened), now);
    aggregate.add(&with_port(1, Closed), now);
    aggregate.add(&with_port(1, Closed), now);
    assert_eq!(lines(&aggregate), ["a>b egress established=2 active=1"]);
}

#[test]
fn drops_by_reason_and_pods_where_asked_for() {
    let mut aggregate = Aggregate::new(&config::Metrics { pod_labels: true, ..config(1) }, 100);
    let now = Instant::now();
    for reason in ["NO_SOCKET", "NO_SOCKET", "TCP_CSUM"] {
        let drop = Drop { reason: reason.into(), packets: 3, bytes: 100, interval_ns: 1 };
        aggregate.add(&record(["a", "b"], Ingress, 0, Subject::Drop(drop)), now);
    }
    let shown: Vec<_> = aggregate
        .snapshot()
        .drops
        .iter()
        .map(|it| (it.labels.pairs(), it.values.packets))
        .map(|(pairs, packets)| {
            let of = |name| {
                pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_string())
            };
            (of("reason"), of("source_pod"), packets)
        })
        .collect();
    assert_eq!(
        shown,
        [(Some("NO_SOCKET".into()), Some("a-0".into()), 6), (Some(OVERFLOW.into()), None, 3)]
    );
}
