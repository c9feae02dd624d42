use std::net::IpAddr;

use model::line::{Backend, Dns, End, Event, Kind, Line, Process, Way};

use super::*;

fn pod(namespace: &str, name: &str, ip: &str, port: u16) -> End {
    End {
        ip: Some(ip.parse::<IpAddr>().unwrap()),
        port,
        namespace: Some(namespace.into()),
        pod: Some(name.into()),
        workload: Some(name.split('-').next().unwrap().into()),
        workload_kind: Some("Deployment".into()),
        ..End::default()
    }
}

fn address(ip: &str, port: u16) -> End {
    End { ip: Some(ip.parse().unwrap()), port, ..End::default() }
}

fn line() -> Line {
    Line {
        time: "2025-11-20T10:24:01.123456789Z".to_owned(),
        node: "node-1".into(),
        kind: Kind::Connection,
        event: Some(Event::Opened),
        direction: Some(Way::Egress),
        protocol: "TCP".into(),
        source: pod("shop", "cart-7d9f-x2x4z", "10.1.0.5", 41234),
        destination: pod("shop", "redis-0", "10.1.0.9", 6379),
        process: Some(Process {
            pid: Some(7),
            comm: "cart".to_owned(),
            cgroup_id: Some(99),
            netns: Some(4_026_531_840),
        }),
        cookie: Some(12),
        connect_us: Some(210),
        ..Line::default()
    }
}

fn closed() -> Line {
    Line {
        event: Some(Event::Closed),
        connect_us: Some(210),
        duration_us: Some(12_340_000),
        bytes_sent: Some(1234),
        bytes_received: Some(5_600_000),
        packets_sent: Some(20),
        packets_received: Some(400),
        retransmits: Some(2),
        rtt_us: Some(340),
        ..line()
    }
}

fn printer(format: Format, colour: bool) -> Printer {
    let today = "2025-11-20T23:59:00Z".parse().unwrap();
    Printer { clock: phrase::Clock::new(TimeZone::UTC, today), ..Printer::new(format, colour) }
}

fn json(line: &Line) -> String {
    serde_json::to_string(line).unwrap()
}

#[track_caller]
fn check(line: &Line, expected: &str) {
    let mut printer = printer(Format::Compact, false);
    assert_eq!(printer.show(&json(line)).unwrap(), format!("{expected}\n"));
}

#[test]
fn compact_connections() {
    check(
        &line(),
        "10:24:01.123  shop/cart-7d9f-x2x4z:41234 -> shop/redis-0:6379  TCP opened  0.21ms",
    );
    let accepted = Line {
        event: Some(Event::Accepted),
        direction: Some(Way::Ingress),
        connect_us: None,
        ..line()
    };
    check(&accepted, "10:24:01.123  shop/cart-7d9f-x2x4z:41234 -> shop/redis-0:6379  TCP accepted");
    let failed = Line {
        event: Some(Event::Failed),
        error: Some("ECONNREFUSED".into()),
        connect_us: None,
        duration_us: Some(250),
        ..line()
    };
    check(
        &failed,
        "10:24:01.123  shop/cart-7d9f-x2x4z:41234 -> shop/redis-0:6379  TCP failed  \
         ECONNREFUSED (connection refused: nobody listens)  after 0.25ms",
    );
    check(
        &Line { error: Some("ENOTNAM".into()), ..failed },
        "10:24:01.123  shop/cart-7d9f-x2x4z:41234 -> shop/redis-0:6379  TCP failed  ENOTNAM  after 0.25ms",
    );
    check(
        &closed(),
        "10:24:01.123  shop/cart-7d9f-x2x4z:41234 -> shop/redis-0:6379  TCP closed egress  after 12.34s  \
         sent 1.2kB received 5.6MB  rtt 0.34ms  2 retransmits",
    );
}

#[test]
fn compact_traffic_is_told_from_the_source_whichever_end_counted() {
    let ingress = Line {
        direction: Some(Way::Ingress),
        bytes_sent: closed().bytes_received,
        bytes_received: closed().bytes_sent,
        error: Some("ECONNRESET".into()),
        retransmits: Some(0),
        ..closed()
    };
    check(
        &ingress,
        "10:24:01.123  shop/cart-7d9f-x2x4z:41234 -> shop/redis-0:6379  TCP closed ingress  \
         ECONNRESET (reset by peer)  after 12.34s  sent 1.2kB received 5.6MB  rtt 0.34ms",
    );
}

#[test]
fn compact_flows_and_drops() {
    let flow = Line {
        kind: Kind::Flow,
        event: None,
        protocol: "UDP".into(),
        connect_us: None,
        bytes_sent: Some(640),
        bytes_received: Some(0),
        packets_sent: Some(10),
        packets_received: Some(0),
        interval_ms: Some(5000),
        destination: End {
            service: Some("kube-dns".into()),
            namespace: Some("kube-system".into()),
            ..address("10.96.0.10", 53)
        },
        ..line()
    };
    check(
        &flow,
        "10:24:01.123  shop/cart-7d9f-x2x4z:41234 -> kube-system/svc/kube-dns:53  UDP flow egress  in 5s  sent 640B received 0B",
    );
    let whole = End { workload: Some("coredns".into()), ..flow.destination.clone() };
    check(
        &Line { destination: whole, ..flow.clone() },
        "10:24:01.123  shop/cart-7d9f-x2x4z:41234 -> kube-system/svc/kube-dns:53 (coredns)  UDP flow egress  in 5s  \
         sent 640B received 0B",
    );
    let chosen = Some(Backend { ip: [10, 1, 0, 7].into(), port: 5353 });
    let unnamed =
        Line { destination: End { backend: chosen, ..flow.destination.clone() }, ..flow.clone() };
    check(
        &unnamed,
        "10:24:01.123  shop/cart-7d9f-x2x4z:41234 -> kube-system/svc/kube-dns:53 (10.1.0.7:5353)  UDP flow egress  \
         in 5s  sent 640B received 0B",
    );
    let end = End { pod: Some("coredns-5d78-x".into()), ..unnamed.destination.clone() };
    check(
        &Line { destination: end, ..flow },
        "10:24:01.123  shop/cart-7d9f-x2x4z:41234 -> kube-system/svc/kube-dns:53 (coredns-5d78-x:5353)  \
         UDP flow egress  in 5s  sent 640B received 0B",
    );
    let drop = Line {
        time: "2025-11-19T10:24:01Z".to_owned(),
        kind: Kind::Drop,
        event: None,
        reason: Some("NO_SOCKET".into()),
        packets: Some(1),
        bytes: Some(60),
        interval_ms: Some(1500),
        connect_us: None,
        destination: End { names: vec!["example.org".into()], ..address("93.184.216.34", 443) },
        ..line()
    };
    check(
        &drop,
        "2025-11-19 10:24:01.000  shop/cart-7d9f-x2x4z:41234 -> example.org:443  TCP dropped  \
         NO_SOCKET  1 packet  60B  in 1.50s",
    );
}

#[test]
fn compact_lookups() {
    let ip = |ip: &str| ip.parse::<IpAddr>().unwrap();
    let dns = Dns {
        query: "api.payments.example".into(),
        kind: "A".into(),
        code: Some("NOERROR".into()),
        answers: vec![ip("203.0.113.10")],
        answer_count: Some(2),
        duration_us: Some(310),
        ..Dns::default()
    };
    let lookup = |dns: Dns| Line {
        kind: Kind::Dns,
        event: None,
        protocol: "UDP".into(),
        connect_us: None,
        destination: End {
            service: Some("kube-dns".into()),
            namespace: Some("kube-system".into()),
            ..address("10.96.0.10", 53)
        },
        dns: Some(dns),
        ..line()
    };
    let begin =
        "10:24:01.123  shop/cart-7d9f-x2x4z:41234 -> kube-system/svc/kube-dns:53  UDP dns egress";
    let check = |dns: Dns, expected: &str| check(&lookup(dns), &format!("{begin}  {expected}"));
    check(dns.clone(), "A api.payments.example  NOERROR  203.0.113.10  0.31ms");
    let many = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"].map(ip).to_vec();
    check(
        Dns { answers: many, retries: Some(1), ..dns.clone() },
        "A api.payments.example  NOERROR  192.0.2.1, 192.0.2.2, 2 more  0.31ms  asked 2 times",
    );
    check(
        Dns { kind: "TXT".into(), answers: vec![], answer_count: Some(1), ..dns.clone() },
        "TXT api.payments.example  NOERROR  1 record  0.31ms",
    );
    let nothing = Dns { answers: vec![], answer_count: Some(0), ..dns };
    check(
        Dns { code: Some("NXDOMAIN".into()), ..nothing.clone() },
        "A api.payments.example  NXDOMAIN (no such name)  0.31ms",
    );
    check(
        Dns {
            code: None,
            answer_count: None,
            error: Some("timeout".into()),
            duration_us: Some(5_000_000),
            ..nothing
        },
        "A api.payments.example  timeout (no answer)  after 5.00s",
    );
    let outside = End {
        names: vec!["api.payments.example".into()],
        workload: Some("world".into()),
        workload_kind: Some("External".into()),
        ..address("203.0.113.10", 443)
    };
    super::tests::check(
        &Line { destination: outside, ..line() },
        "10:24:01.123  shop/cart-7d9f-x2x4z:41234 -> api.payments.example:443  TCP opened  0.21ms",
    );
}

#[test]
fn compact_names_the_process_where_no_pod_does() {
    let mut line = Line {
        source: address("::ffff:127.0.0.1", 41234),
        destination: address("fd00::9", 80),
        ..line()
    };
    check(&line, "10:24:01.123  127.0.0.1:41234 -> [fd00::9]:80  TCP opened  0.21ms  cart[7]");
    line.source = End {
        workload: Some("nginx.service".into()),
        workload_kind: Some("SystemdUnit".into()),
        ..address("10.0.0.1", 41234)
    };
    line.destination = End {
        workload: Some("external".into()),
        workload_kind: Some("External".into()),
        ..address("8.8.8.8", 0)
    };
    line.protocol = "ICMP".into();
    check(&line, "10:24:01.123  nginx.service:41234 -> 8.8.8.8  ICMP opened  0.21ms  cart[7]");
    line.source = End::default();
    line.protocol = "0".into();
    check(&line, "10:24:01.123  ? -> 8.8.8.8  ? opened  0.21ms  cart[7]");
    line.protocol = "ICMP".into();
    check(&line, "10:24:01.123  ? -> 8.8.8.8  ICMP opened  0.21ms  cart[7]");
}

#[test]
fn nothing_hostile_reaches_the_terminal() {
    let mut line = Line { source: address("127.0.0.1", 1), ..line() };
    line.process =
        Some(Process { comm: "\x1b]0;own\x07\u{9b}31m\u{7f}\n".to_owned(), ..Process::default() });
    line.destination.pod = Some("a\rb".into());
    for format in [Format::Compact, Format::Json, Format::Dict, Format::Table] {
        let mut printer = printer(format, false);
        let shown = printer.show(&json(&line)).unwrap();
        let hostile = |c: &char| c.is_control() && *c != '\n';
        assert!(!shown.chars().any(|c| hostile(&c)), "{format:?}: {shown:?}");
    }
    check(
        &line,
        "10:24:01.123  127.0.0.1:1 -> shop/a\u{fffd}b:6379  TCP opened  0.21ms  \u{fffd}]0;own\u{fffd}\u{fffd}31m\u{fffd}\u{fffd}",
    );
}

#[test]
fn json_is_as_the_server_sent_it() {
    let text = r#"{"time":"x","unknown":"of a newer agent"}"#;
    assert_eq!(printer(Format::Json, true).show(text).unwrap(), format!("{text}\n"));
    assert_eq!(printer(Format::Json, true).show(r#"{"lost":3}"#).unwrap(), "{\"lost\":3}\n");
}

#[test]
fn losses_are_shown() {
    for format in [Format::Compact, Format::Dict, Format::Table] {
        assert_eq!(
            printer(format, false).show(r#"{"lost":120}"#).unwrap(),
            "... 120 records lost: reader too slow\n"
        );
    }
    for (line, expected) in [
        (r#"{"lost":1,"node":"n1"}"#, "1 record of n1 lost: reader too slow"),
        (r#"{"lost":0,"node":"n1","reason":"no_answer"}"#, "records of n1 missing: no answer"),
        (
            r#"{"lost":0,"node":"hub-2","reason":"replica_unreachable"}"#,
            "records of hub-2 missing: this hub cannot be reached by the one that was asked",
        ),
        (r#"{"lost":2,"node":"n1","reason":"a\u001bb"}"#, "2 records of n1 lost: a\u{fffd}b"),
    ] {
        let shown = printer(Format::Compact, false).show(line).unwrap().to_owned();
        assert_eq!(shown, format!("... {expected}\n"));
    }
}

#[test]
fn a_line_that_is_no_record_is_an_error() {
    let error = printer(Format::Compact, false).show("<html>").unwrap_err();
    assert!(error.to_string().starts_with("record <html>: cannot be read"), "{error}");
}

#[test]
fn failures_are_red_on_a_terminal() {
    let failed = Line {
        event: Some(Event::Failed),
        error: Some("ETIMEDOUT".into()),
        connect_us: None,
        ..line()
    };
    assert_eq!(
        printer(Format::Compact, true).show(&json(&failed)).unwrap(),
        "\x1b[2m10:24:01.123\x1b[0m  shop/cart-7d9f-x2x4z:41234\x1b[2m -> \x1b[0mshop/redis-0:6379  TCP \
         \x1b[1;31mfailed\x1b[0m  \x1b[1;31mETIMEDOUT (timed out: no answer)\x1b[0m\n"
    );
}

#[test]
fn table_stays_aligned() {
    let mut printer = printer(Format::Table, false);
    let short = Line { source: address("1.1.1.1", 1), ..line() };
    let mut shown = printer.show(&json(&short)).unwrap().to_owned();
    let long = End { pod: Some("a-pod-with-a-name-of-some-length-0123".into()), ..line().source };
    shown += printer.show(&json(&Line { source: long, ..closed() })).unwrap();
    shown += printer.show(&json(&short)).unwrap();
    assert_eq!(
        shown,
        "\
TIME          SOURCE                                DESTINATION                           PROTOCOL  EVENT     DETAILS
10:24:01.123  1.1.1.1:1                             shop/redis-0:6379                     TCP       opened    0.21ms cart[7]
10:24:01.123  shop/a-pod-with-a-name-of-some-length-0123:41234  shop/redis-0:6379                     TCP       closed egress  after 12.34s sent 1.2kB received 5.6MB rtt 0.34ms 2 retransmits
10:24:01.123  1.1.1.1:1                                         shop/redis-0:6379                     TCP       opened         0.21ms cart[7]
"
    );
}

#[test]
fn dict_tells_all() {
    let mut line = closed();
    line.destination.labels = [("app".into(), "redis".into()), ("tier".into(), "db".into())].into();
    line.destination.service = Some("redis".into());
    assert_eq!(
        printer(Format::Dict, false).show(&json(&line)).unwrap(),
        "
         TIME: 2025-11-20T10:24:01.123456789Z
         NODE: node-1
       SOURCE: shop/cart-7d9f-x2x4z:41234 (10.1.0.5, Deployment/cart)
  DESTINATION: shop/redis-0:6379 (10.1.0.9, Deployment/redis, service redis)
       LABELS: app=redis,tier=db
     PROTOCOL: TCP
        EVENT: closed
    DIRECTION: egress
      DETAILS: after 12.34s, sent 1.2kB received 5.6MB, rtt 0.34ms, 2 retransmits
 CONNECTED IN: 0.21ms
      PACKETS: sent 20 received 400 (by the local end)
      PROCESS: cart[7]
       CGROUP: 99
        NETNS: 4026531840
       COOKIE: 12
------------
"
        .trim_start_matches('\n')
    );
}

#[test]
fn how_many_to_begin_with() {
    use clap::Parser;
    #[derive(Parser)]
    struct Test {
        #[command(flatten)]
        args: Args,
    }
    for (arguments, expected) in [
        ("", Some(20)),
        ("-f", Some(0)),
        ("--last 3", Some(3)),
        ("-f --last 3", Some(3)),
        ("--since 5m", None),
        ("--until 5m", None),
        ("-f --since 5m", None),
        ("-f --until 5m", Some(0)),
        ("--since 5m --last 7", Some(7)),
    ] {
        let test = Test::parse_from(["observe"].into_iter().chain(arguments.split_whitespace()));
        assert_eq!(last(&test.args), expected, "{arguments}");
    }
}
