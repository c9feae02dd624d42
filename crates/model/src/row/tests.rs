use std::sync::Arc;

use super::*;
use crate::{
    Connection, ConnectionEvent, Counters, Drop, Endpoint, Flow, Identity, Lookup, Process, Record,
    Subject, TargetPort, Timestamp, Workload,
};

fn end(identity: Identity, port: u16) -> Endpoint {
    Endpoint {
        ip: Some([10, 0, 0, 1].into()),
        port,
        identity: Some(identity.into()),
        backend: None,
    }
}

fn workload(kind: &str, name: &str) -> Identity {
    let workload = Some(Workload { kind: kind.into(), name: name.into() });
    Identity { namespace: Some("shop".into()), workload, ..Identity::default() }
}

fn record(direction: Direction, subject: Subject) -> Record {
    Record {
        time: Timestamp(0),
        node: "n1".into(),
        source: end(workload("Deployment", "web"), 40_000),
        destination: end(workload("StatefulSet", "db"), 5432),
        direction,
        protocol: Protocol::TCP,
        process: Process::default(),
        cookie: 1,
        subject,
    }
}

fn values(direction: Direction, subject: Subject) -> Vec<(&'static str, u64)> {
    let mut values = Values::default();
    values.take(&record(direction, subject));
    let value = |it: Measure| match it.is_distribution() {
        true => values.distribution(it).unwrap().sum_ns,
        false => values.sum(it).unwrap(),
    };
    values.measures().map(|it| (it.name(), value(it))).collect()
}

fn connection(event: ConnectionEvent) -> Subject {
    let totals = Counters { bytes_sent: 7, ..Counters::default() };
    Subject::Connection(Connection { event, errno: 0, connect_ns: 900, duration_ns: 1, totals })
}

#[test]
fn each_kind_of_record_has_its_values() {
    let check = |subject: Subject, expected: &[(&str, u64)]| {
        assert_eq!(values(Direction::Egress, subject.clone()), expected, "{subject:?}");
    };
    check(connection(ConnectionEvent::Opened), &[("connections", 1), ("connect", 900)]);
    check(connection(ConnectionEvent::Failed), &[("failures", 1)]);
    check(connection(ConnectionEvent::Closed), &[]);
    let reason = Arc::from("NO_SOCKET");
    let drop = Drop { reason, packets: 3, bytes: 9, interval_ns: 1 };
    check(Subject::Drop(drop.clone()), &[("drops", 3)]);
    check(Subject::Drop(Drop { reason: "OTHERHOST".into(), ..drop.clone() }), &[]);
    check(Subject::Drop(Drop { reason: "TCP_OLD_SEQUENCE".into(), ..drop.clone() }), &[]);
    let mut multicast = record(Direction::Egress, Subject::Drop(drop));
    multicast.destination.ip = Some("ff02::16".parse().unwrap());
    let mut none = Values::default();
    none.take(&multicast);
    assert!(none.is_empty());
    let lookup = Lookup { code: Some(2), duration_ns: 50, ..Lookup::default() };
    check(Subject::Dns(lookup.into()), &[("lookups", 1), ("lookup_failures", 1), ("lookup", 50)]);
}

#[test]
fn flows_are_told_as_the_source_sees_them() {
    let deltas = Counters {
        bytes_sent: 10,
        bytes_received: 20,
        packets_sent: 1,
        packets_received: 2,
        retransmits: 0,
        rtt_us: 5,
    };
    let flow = || Subject::Flow(Flow { deltas, interval_ns: 1, age_ns: 0 });
    let sent = |direction| values(direction, flow())[0].1;
    assert_eq!((sent(Direction::Egress), sent(Direction::Ingress)), (10, 20));
    assert_eq!(
        values(Direction::Egress, flow())[2..],
        [("packets_sent", 1), ("packets_received", 2), ("retransmits", 0), ("rtt", 5000)]
    );
}

#[test]
fn ends_are_what_a_person_would_name() {
    let check = |identity: Identity, expected: [&str; 3]| {
        let end = End::from(&end(identity, 1));
        assert_eq!([&*end.namespace, &*end.kind, &*end.name], expected);
    };
    check(workload("Deployment", "web"), ["shop", "Deployment", "web"]);
    let world = workload("External", "world");
    check(world.clone(), ["shop", "External", "world"]);
    check(
        Identity { names: vec!["example.org".into()], ..world },
        ["shop", "External", "example.org"],
    );
    check(
        Identity { service: Some("cache".into()), ..Identity::default() },
        ["", "Service", "cache"],
    );
    check(Identity { pod: Some("p".into()), ..Identity::default() }, ["", "Pod", "p"]);
    check(Identity::default(), ["", "Unknown", "unknown"]);
}

#[test]
fn the_port_is_the_one_behind_the_service() {
    let mut record = record(Direction::Egress, connection(ConnectionEvent::Opened));
    assert_eq!(Key::from(&record).port, 5432);
    let target = |protocol, target| TargetPort { protocol, port: 5432, target };
    let target_ports = vec![target(Protocol::UDP, 1), target(Protocol::TCP, 6432)];
    let service = Identity { target_ports, ..workload("StatefulSet", "db") };
    record.destination.identity = Some(service.into());
    assert_eq!(Key::from(&record).port, 6432);
    record.destination.port = 5433;
    assert_eq!(Key::from(&record).port, 5433, "another one");
    record.destination.port = 5432;
    record.destination.backend = Some(Arc::new("10.0.0.1:15432".parse().unwrap()));
    assert_eq!(Key::from(&record).port, 15_432);
}

#[test]
fn values_add_up_and_stay_absent() {
    let mut sum = Values::default();
    sum.add(Measure::DROPS, 2);
    let mut other = Values::default();
    other.add(Measure::DROPS, 3);
    other.add(Measure::FAILURES, 0);
    other.observe(Measure::RTT, 40);
    sum.merge(&other);
    assert_eq!(sum.sum(Measure::DROPS), Some(5));
    assert_eq!(sum.sum(Measure::FAILURES), Some(0), "observed, and none");
    assert_eq!(sum.sum(Measure::LOOKUPS), None);
    assert_eq!(sum.distribution(Measure::RTT).unwrap().count(), 1);
    assert_eq!(sum.distribution(Measure::CONNECT), None);
}
