use std::time::Duration;

use model::{
    Connection, Counters as Moved, Direction, Endpoint, Flow, Identity, Process, Protocol, Workload,
};
use proto::columns::{Reader, decompress, merge};

use super::*;

const SECOND: u64 = 1_000_000_000;

fn at(s: u64) -> Timestamp {
    Timestamp(s * SECOND)
}

fn interval(max_keys: usize) -> Interval {
    let config = config::Report {
        enabled: true,
        interval: Duration::from_secs(10),
        max_keys,
        spool_bytes: 1 << 20,
    };
    Interval::new(&config, 100, at(1003))
}

fn end(name: &str) -> Endpoint {
    let workload = Some(Workload { kind: "Deployment".into(), name: name.into() });
    let identity = Identity { workload, ..Identity::default() };
    Endpoint { ip: None, port: 80, identity: Some(identity.into()), backend: None }
}

fn record(source: &str, cookie: u64, subject: Subject) -> Record {
    Record {
        time: at(0),
        node: "n1".into(),
        source: end(source),
        destination: end("db"),
        direction: Direction::Egress,
        protocol: Protocol::TCP,
        process: Process::default(),
        cookie,
        subject,
    }
}

fn connection(event: ConnectionEvent) -> Subject {
    let totals = Moved::default();
    Subject::Connection(Connection { event, errno: 0, connect_ns: 0, duration_ns: 0, totals })
}

fn flow(bytes_sent: u64) -> Subject {
    let deltas = Moved { bytes_sent, ..Moved::default() };
    Subject::Flow(Flow { deltas, interval_ns: 1, age_ns: 0 })
}

/// Source, and the sums that are asked for.
fn rows(batches: &[Batch], measure: Measure) -> Vec<(String, Option<u64>)> {
    let mut rows = Vec::new();
    for batch in batches {
        let columns = decompress(&batch.columns, batch.columns_bytes as usize).unwrap();
        let mut keys = batch.keys.iter();
        merge(
            vec![Reader::new(&columns).unwrap()],
            |_| true,
            |id, sum| {
                let key = keys.next().unwrap();
                assert_eq!(key.id, id);
                rows.push((key.key.source.name.to_string(), sum.take().sum(measure)));
            },
        )
        .unwrap();
    }
    rows
}

#[test]
fn an_interval_is_aligned_and_holds_what_was_added() {
    let mut interval = interval(10);
    for source in ["b", "a", "b"] {
        interval.add(&record(source, 0, flow(5)));
    }
    assert!(!interval.is_over(at(1009)) && interval.is_over(at(1010)));
    let batches = interval.close(at(1010));
    assert_eq!((batches.len(), batches[0].start_s, batches[0].length_s), (1, 1000, 10));
    let expected = [("b".to_owned(), Some(10)), ("a".to_owned(), Some(5))];
    assert_eq!(rows(&batches, Measure::BYTES_SENT), expected);
    assert!(interval.close(at(1020)).is_empty(), "nothing happened");
    interval.add(&record("a", 0, flow(1)));
    let batches = interval.close(at(1030));
    assert_eq!((batches[0].start_s, batches[0].keys[0].id), (1020, 1), "the id stays");
}

#[test]
fn open_connections_are_told_until_they_close() {
    let mut interval = interval(10);
    let active = |interval: &mut Interval, now| {
        rows(&interval.close(at(now)), Measure::ACTIVE).first().and_then(|(_, active)| *active)
    };
    interval.add(&record("a", 1, connection(ConnectionEvent::Opened)));
    interval.add(&record("a", 2, connection(ConnectionEvent::Opened)));
    assert_eq!(active(&mut interval, 1010), Some(20), "two for ten seconds");
    for now in (1020..2000).step_by(10) {
        assert_eq!(active(&mut interval, now), Some(20), "it does not expire");
    }
    interval.add(&record("a", 1, connection(ConnectionEvent::Closed)));
    interval.add(&record("a", 1, connection(ConnectionEvent::Closed)));
    assert_eq!(active(&mut interval, 2000), Some(10));
    interval.add(&record("a", 2, connection(ConnectionEvent::Closed)));
    assert_eq!(active(&mut interval, 2010), None);
}

#[test]
fn what_has_no_room_is_added_up_in_one_row() {
    let mut interval = interval(2);
    for source in ["a", "b", "c", "d", "a", "c"] {
        interval.add(&record(source, 0, flow(1)));
    }
    let found = rows(&interval.close(at(1010)), Measure::BYTES_SENT);
    let expected = [("a", 2), ("b", 1), ("__overflow__", 3)];
    assert_eq!(found, expected.map(|(name, sum)| (name.to_owned(), Some(sum))));
    assert_eq!(interval.counters.overflow.load(Ordering::Relaxed), 3);
    // Once the others have been idle for long enough there is room.
    for now in 0..u64::from(IDLE) {
        interval.close(at(1020 + now * 10));
    }
    interval.add(&record("c", 0, flow(4)));
    assert_eq!(rows(&interval.close(at(2000)), Measure::BYTES_SENT), [("c".to_owned(), Some(4))]);
}

#[test]
fn large_intervals_are_told_in_parts() {
    let mut interval = interval(20_000);
    for source in 0..MOST_ROWS + 10 {
        interval.add(&record(&source.to_string(), 0, flow(1)));
    }
    let batches = interval.close(at(1010));
    let counts: Vec<usize> = batches.iter().map(|batch| batch.keys.len()).collect();
    assert_eq!(counts, [MOST_ROWS, 10]);
    assert_eq!(rows(&batches, Measure::BYTES_SENT).len(), MOST_ROWS + 10);
}
