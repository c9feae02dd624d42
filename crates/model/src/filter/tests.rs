use std::collections::BTreeMap;
use std::net::IpAddr;

use super::*;
use crate::{
    Connection, ConnectionEvent, Counters, Direction, Drop, Endpoint, Flow, Identity, Protocol,
    Subject, Workload,
};

const NOW: Timestamp = Timestamp(1_700_000_000_000_000_000);

fn pairs(query: &str) -> Vec<(&str, &str)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .collect()
}

fn pod(namespace: &str, name: &str, workload: &str, ip: &str, port: u16) -> Endpoint {
    let identity = Identity {
        namespace: Some(namespace.into()),
        pod: Some(name.into()),
        workload: Some(Workload { kind: "Deployment".into(), name: workload.into() }),
        service: Some(format!("{workload}-svc").into()),
        labels: BTreeMap::from([("app".into(), workload.into()), ("tier".into(), "web".into())]),
        ..Identity::default()
    };
    Endpoint { ip: Some(ip.parse().unwrap()), port, identity: Some(identity.into()), backend: None }
}

fn connection(event: ConnectionEvent, errno: u16) -> Subject {
    Subject::Connection(Connection {
        event,
        errno,
        connect_ns: 0,
        duration_ns: 0,
        totals: Counters::default(),
    })
}

/// shop/cart-7d9f at 10.1.0.5:41234 -> shop/redis-0 at ::ffff:10.1.0.9, port 6379.
fn record(subject: Subject) -> Record {
    Record {
        time: NOW,
        node: "node-1".into(),
        source: pod("shop", "cart-7d9f", "cart", "10.1.0.5", 41234),
        destination: pod("data", "redis-0", "redis", "::ffff:10.1.0.9", 6379),
        direction: Direction::Egress,
        protocol: Protocol::TCP,
        process: crate::Process::default(),
        cookie: 0,
        subject,
    }
}

#[track_caller]
fn check_record(record: &Record, query: &str, expected: bool) {
    let filter = Filter::parse_at(pairs(query), NOW).unwrap();
    assert_eq!(filter.matches(record), expected, "{query}");
}

#[track_caller]
fn check(query: &str, expected: bool) {
    check_record(&record(connection(ConnectionEvent::Opened, 0)), query, expected);
}

#[track_caller]
fn check_error(query: &str, expected: &str) {
    let error = Filter::parse_at(pairs(query), NOW).unwrap_err().to_string();
    assert_eq!(error, expected, "{query}");
}

#[test]
fn one_key() {
    check("", true);
    check("namespace=shop", true);
    check("namespace=data", true);
    check("namespace=sho", false);
    check("from_namespace=shop", true);
    check("from-namespace=data", false);
    check("to_namespace=data", true);
    check("pod=redis", true);
    check("pod=shop/cart", true);
    check("pod=data/cart", false);
    check("pod=shop/", true);
    check("from_pod=redis", false);
    check("to_pod=data/redis-0", true);
    check("to_pod=redis-01", false);
    check("workload=cart", true);
    check("workload=car", false);
    check("from_workload=deploy/cart", true);
    check("from_workload=deployment/cart", true);
    check("to_workload=sts/redis", false);
    check("service=cart", true);
    check("to_service=data/redis-svc", true);
    check("from_service=redis", false);
    check("label=app=cart", true);
    check("to_label=app=cart", false);
    check("from_label=app=cart,tier==web", true);
    check("from_label=app=cart,!tier", false);
    check("to_label=app!=cart,tier", true);
    check("label=absent!=x", true);
    check("port=6379", true);
    check("port=41234", true);
    check("from_port=6379", false);
    check("to_port=80,6379", true);
    check("protocol=tcp", true);
    check("protocol=6", true);
    check("protocol=udp", false);
    check("protocol=UDP,TCP", true);
}

#[test]
fn addresses_and_networks() {
    check("ip=10.1.0.5", true);
    check("ip=10.1.0.9", true);
    check("to_ip=::ffff:10.1.0.9", true);
    check("to_ip=10.1.0.8/31", true);
    check("to_ip=10.1.0.10/31", false);
    check("from_ip=10.0.0.0/8", true);
    check("from_ip=::ffff:10.0.0.0/104", true);
    check("from_ip=0.0.0.0/0", true);
    check("from_ip=::/0", false);
    let mut v6 = record(connection(ConnectionEvent::Opened, 0));
    v6.source.ip = Some("fd00:1::7".parse::<IpAddr>().unwrap());
    check_record(&v6, "from_ip=fd00::/15", true);
    check_record(&v6, "from_ip=fd00:2::/32", false);
    check_record(&v6, "from_ip=fd00:1::7/128", true);
    check_record(&v6, "ip=::/0", true);
    v6.source.ip = None;
    check_record(&v6, "from_ip=::/0", false);
}

#[test]
fn repeated_is_or_and_different_is_and() {
    check("pod=nobody&pod=cart", true);
    check("pod=nobody&pod=nothing", false);
    check("from_pod=cart&to_pod=redis", true);
    check("from_pod=cart&to_pod=cart", false);
    check("from_pod=cart&protocol=udp", false);
    check("from_pod=cart&protocol=udp&protocol=tcp", true);
}

#[test]
fn keys_of_either_end_hold_of_one_end() {
    check("pod=cart&namespace=shop", true);
    check("pod=cart&namespace=data", false);
    check("pod=cart&ip=10.1.0.9", false);
    check("pod=cart&pod=redis&namespace=data", true);
    // A port does not describe an end: cart's traffic to 6379.
    check("pod=cart&port=6379", true);
}

#[test]
fn not_inverts_the_next() {
    check("not&pod=cart", false);
    check("not=1&pod=nobody", true);
    check("not=true&from_pod=redis&to_pod=redis", true);
    check("not&from_pod=nobody&not&to_pod=redis", false);
    check("not=0&pod=cart", true);
    check("namespace=shop&not&port=6379", false);
    check("not&protocol=udp,tcp", false);
}

#[test]
fn verdicts_of_lookups() {
    let lookup =
        |code| record(Subject::Dns(crate::Lookup { code, ..crate::Lookup::default() }.into()));
    let lookups = [Some(0), Some(3), Some(2), None].map(lookup);
    for (query, expected) in [
        ("kind=dns", [true, true, true, true]),
        ("kind=flow", [false, false, false, false]),
        ("verdict=forwarded", [true, true, false, false]),
        ("verdict=failed", [false, false, true, true]),
        ("verdict=error", [false, true, true, true]),
        ("verdict=opened,accepted,closed,dropped", [false, false, false, false]),
    ] {
        lookups
            .iter()
            .zip(expected)
            .for_each(|(record, expected)| check_record(record, query, expected));
    }
}

#[test]
fn kinds_and_verdicts() {
    let opened = record(connection(ConnectionEvent::Opened, 0));
    let failed = record(connection(ConnectionEvent::Failed, 111));
    let reset = record(connection(ConnectionEvent::Closed, 104));
    let flow =
        record(Subject::Flow(Flow { deltas: Counters::default(), interval_ns: 1, age_ns: 0 }));
    let drop = record(Subject::Drop(Drop {
        reason: "NO_SOCKET".into(),
        packets: 1,
        bytes: 1,
        interval_ns: 1,
    }));
    let table = [
        ("kind=connection", [true, true, true, false, false]),
        ("kind=flow,drop", [false, false, false, true, true]),
        ("kind=Flow&kind=drop", [false, false, false, true, true]),
        ("verdict=opened", [true, false, false, false, false]),
        ("verdict=accepted", [false, false, false, false, false]),
        ("verdict=failed", [false, true, false, false, false]),
        ("verdict=closed", [false, false, true, false, false]),
        ("verdict=FORWARDED", [true, false, true, true, false]),
        ("verdict=dropped", [false, false, false, false, true]),
        ("verdict=error", [false, true, true, false, false]),
        ("verdict=failed,dropped", [false, true, false, false, true]),
        ("not&kind=flow", [true, true, true, false, true]),
    ];
    for (query, expected) in table {
        for (record, expected) in [&opened, &failed, &reset, &flow, &drop].into_iter().zip(expected)
        {
            check_record(record, query, expected);
        }
    }
}

#[test]
fn an_unknown_end_matches_nothing_but_its_address() {
    let mut record = record(connection(ConnectionEvent::Opened, 0));
    record.destination.identity = None;
    check_record(&record, "to_pod=redis", false);
    check_record(&record, "to_label=!app", false);
    check_record(&record, "not&to_pod=redis", true);
    check_record(&record, "to_ip=10.1.0.9", true);
}

#[test]
fn times() {
    check("since=5m", true);
    check("since=0s", true);
    check("until=5m", false);
    check("until=0s", true);
    check("until=1d2h3m4s5ms", false);
    check("since=2023-11-14T22:13:20Z", true);
    check("since=2023-11-14T22:13:20.000000001Z", false);
    check("since=2023-11-14T23:13:19%2B01:00".replace("%2B", "+").as_str(), true);
    let filter = Filter::parse_at(pairs("since=1h30m&until=90s"), NOW).unwrap();
    assert_eq!(filter.since(), Some(Timestamp(NOW.0 - 5_400_000_000_000)));
    assert_eq!(filter.until(), Some(Timestamp(NOW.0 - 90_000_000_000)));
}

#[test]
fn errors_name_key_value_and_what_is_allowed() {
    let known = known();
    check_error("from_pood=cart", &format!("unknown filter \"from_pood\"; known are {known}"));
    check_error("\x1b[31m=1", &format!("unknown filter \"\u{fffd}[31m\"; known are {known}"));
    check_error("port=http", r#"filter port: "http" is not allowed; give a port from 1 to 65535"#);
    check_error("to_port=0", r#"filter to_port: "0" is not allowed; give a port from 1 to 65535"#);
    check_error("port=80,", r#"filter port: "80," is not allowed; give a port from 1 to 65535"#);
    check_error(
        "from_ip=10.0.0.0/33",
        r#"filter from_ip: "10.0.0.0/33" is not allowed; give an address or a network: 10.1.2.3, 10.0.0.0/8, fd00::/8"#,
    );
    for wrong in ["10.0.0", "::/129", "10.0.0.0/", "::ffff:10.0.0.0/64", "cart", ""] {
        assert!(Filter::parse_at([("ip", wrong)], NOW).is_err(), "{wrong}");
    }
    check_error(
        "kind=request",
        r#"filter kind: "request" is not allowed; give connection, flow, drop or dns"#,
    );
    check_error(
        "verdict=ok",
        r#"filter verdict: "ok" is not allowed; give opened, accepted, failed, closed, forwarded, dropped or error"#,
    );
    check_error(
        "protocol=quic",
        r#"filter protocol: "quic" is not allowed; give tcp, udp, icmp, icmpv6, sctp or a number from 0 to 255"#,
    );
    check_error("pod=a/b/c", r#"filter pod: "a/b/c" is not allowed; give [NAMESPACE/]PREFIX"#);
    for (key, wrong) in [
        ("pod", ""),
        ("pod", "/cart"),
        ("namespace", ""),
        ("workload", "/x"),
        ("label", "=x"),
        ("label", "a,,b"),
        ("label", "a=b=c"),
        ("label", "a!=b==c"),
        ("label", "app in (a"),
    ] {
        assert!(Filter::parse_at([(key, wrong)], NOW).is_err(), "{key}={wrong}");
    }
    for wrong in ["5", "m", "5 m", "yesterday", "-5m", "99999999999999999999d", ""] {
        let error = Filter::parse_at([("since", wrong)], NOW).unwrap_err();
        assert!(matches!(error, Error::Value { key: "since", .. }), "{wrong}");
    }
    check_error("since=1m&since=2m", "filter since: given more than once; give it once");
    check_error(
        "not&not&pod=a",
        "filter not: given twice in a row; give it once before the filter that it inverts",
    );
    check_error(
        "pod=a&not",
        "filter not: nothing follows it; put it before the filter that it inverts",
    );
    check_error(
        "not&since=5m",
        "filter not: since and until cannot be inverted; use the other one",
    );
    check_error(
        "not=maybe&pod=a",
        r#"filter not: "maybe" is not allowed; give nothing, 1 or true"#,
    );
}

#[test]
fn behind_a_service_its_pod_is_found_by_address_and_port() {
    let mut record = record(connection(ConnectionEvent::Opened, 0));
    record.destination.backend = Some(std::sync::Arc::new("10.1.0.77:8080".parse().unwrap()));
    check_record(&record, "to_port=8080&to_ip=10.1.0.77", true);
    check_record(&record, "to_port=6379", true);
    check_record(&record, "from_port=8080", false);
}

#[test]
fn what_is_hidden_is_not_found_by_its_name() {
    let check = |namespace: &str, query: &str, expected: bool| {
        let filter = Filter::parse_at(pairs(query), NOW).unwrap().within(Scope::of([namespace]));
        let record = record(connection(ConnectionEvent::Opened, 0));
        assert_eq!(filter.matches(&record), expected, "{namespace}: {query}");
    };
    check("shop", "", true);
    check("shop", "from_pod=cart", true);
    for query in [
        "to_pod=redis",
        "workload=redis",
        "to_namespace=data",
        "to_label=app=redis",
        "service=redis",
    ] {
        check("shop", query, false);
        // What its own socket knows.
        check("shop", "to_ip=10.1.0.9&to_port=6379", true);
    }
    // Seen from the other end, whose process it is.
    check("data", "", false);
}
