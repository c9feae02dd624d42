use std::time::Duration;

use model::{Counters, Direction, Endpoint, Flow, Process, Protocol, Subject, Timestamp};

use super::*;

const LIMITS: config::Records = config::Records { buffer: 4, backlog: 8, max_readers: 2 };

fn record(number: u64) -> Record {
    let end = Endpoint { ip: None, port: (number % 2) as u16, identity: None, backend: None };
    Record {
        time: Timestamp(number),
        node: "n".into(),
        source: end.clone(),
        destination: end,
        direction: Direction::Egress,
        protocol: Protocol::TCP,
        process: Process::default(),
        cookie: 0,
        subject: Subject::Flow(Flow { deltas: Counters::default(), interval_ns: 0, age_ns: 0 }),
    }
}

fn publish(records: &Records, numbers: std::ops::Range<u64>) {
    records.publish(&mut numbers.map(record).collect());
}

/// Numbers read, records lost, state.
fn look(reader: &mut Reader) -> (Vec<u64>, u64, State) {
    let mut out = Vec::new();
    let Look { lost, state } = reader.look(&mut out);
    (out.iter().map(|record| record.time.0).collect(), lost, state)
}

fn all() -> Filter {
    Filter::default()
}

#[test]
fn readers_begin_where_they_ask() {
    let records = Arc::new(Records::new(LIMITS));
    publish(&records, 0..10);
    assert_eq!(records.buffered(), 4);
    let odd = || Filter::parse([("from_port", "1")]).unwrap();
    let check = |start, filter, expected: &[u64]| {
        let mut reader = records.subscribe(start, filter).unwrap();
        assert_eq!(look(&mut reader), (expected.to_vec(), 0, State::Idle), "{start:?}");
    };
    check(Start::Oldest, all(), &[6, 7, 8, 9]);
    check(Start::Now, all(), &[]);
    check(Start::Last(0), all(), &[]);
    check(Start::Last(2), all(), &[8, 9]);
    check(Start::Last(99), all(), &[6, 7, 8, 9]);
    check(Start::Last(1), odd(), &[9]);
    check(Start::Last(2), odd(), &[7, 9]);
    assert_eq!(records.lost(), 0);
}

#[test]
fn a_slow_reader_loses_the_oldest_and_is_told_and_another_does_not() {
    let records = Arc::new(Records::new(LIMITS));
    let mut slow = records.subscribe(Start::Now, all()).unwrap();
    let mut quick = records.subscribe(Start::Now, all()).unwrap();
    for from in (0..20).step_by(5) {
        publish(&records, from..from + 5);
        assert_eq!(look(&mut quick), ((from..from + 5).collect(), 0, State::Idle));
    }
    assert_eq!(records.backlog(), (8, 8));
    assert_eq!(records.lost(), 12);
    assert_eq!(look(&mut slow), ((12..20).collect(), 12, State::Idle));
    assert_eq!(look(&mut slow), (vec![], 0, State::Idle));
    // The backlog goes when nobody needs it any more.
    publish(&records, 20..21);
    assert_eq!(records.buffered(), 4);
    drop(slow);
    drop(quick);
    publish(&records, 21..40);
    assert_eq!((records.buffered(), records.lost()), (4, 12));
}

#[test]
fn more_than_one_look_is_needed_for_much() {
    let limits = config::Records { buffer: 5000, backlog: 5000, max_readers: 1 };
    let records = Arc::new(Records::new(limits));
    publish(&records, 0..3000);
    let mut reader = records.subscribe(Start::Oldest, all()).unwrap();
    let mut read = Vec::new();
    for state in [State::More, State::More, State::Idle] {
        let (numbers, lost, was) = look(&mut reader);
        assert_eq!((lost, was), (0, state));
        read.extend(numbers);
    }
    assert_eq!(read, (0..3000).collect::<Vec<_>>());
}

#[test]
fn readers_are_bounded_and_places_are_freed() {
    let records = Arc::new(Records::new(LIMITS));
    let first = records.subscribe(Start::Now, all()).unwrap();
    let _second = records.subscribe(Start::Now, all()).unwrap();
    assert_eq!(records.subscribe(Start::Now, all()).err(), Some(TooManyReaders(2)));
    drop(first);
    assert_eq!(records.readers(), 1);
    records.subscribe(Start::Now, all()).unwrap();
}

#[tokio::test]
async fn a_waiting_reader_wakes_for_records_and_for_the_end() {
    let records = Arc::new(Records::new(LIMITS));
    let mut reader = records.subscribe(Start::Now, all()).unwrap();
    let waits = tokio::spawn(async move {
        let mut seen = Vec::new();
        loop {
            match look(&mut reader) {
                (numbers, _, State::Closed) => {
                    seen.extend(numbers);
                    return seen;
                }
                (numbers, ..) => seen.extend(numbers),
            }
            reader.changed().await;
        }
    });
    tokio::task::yield_now().await;
    publish(&records, 0..2);
    tokio::task::yield_now().await;
    publish(&records, 2..3);
    records.close();
    let seen = tokio::time::timeout(Duration::from_secs(10), waits).await.unwrap().unwrap();
    assert_eq!(seen, [0, 1, 2]);
}
