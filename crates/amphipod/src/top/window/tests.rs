use model::line::End;

use super::super::party::Group;
use super::super::snapshot::{Rates, Snapshot, Sort};
use super::*;

const SPAN: Duration = Duration::from_secs(10);

fn pod(name: &str, ip: &str) -> End {
    let workload = name.split('-').next().unwrap_or(name);
    End {
        ip: Some(ip.parse().unwrap()),
        port: 80,
        namespace: Some("shop".into()),
        pod: Some(name.into()),
        workload: Some(workload.into()),
        workload_kind: Some("Deployment".into()),
        ..End::default()
    }
}

fn flow(direction: Way, source: End, destination: End, sent: u64, received: u64) -> Line {
    Line {
        kind: Kind::Flow,
        direction: Some(direction),
        source,
        destination,
        bytes_sent: Some(sent),
        bytes_received: Some(received),
        retransmits: Some(1),
        rtt_us: Some(100),
        ..Line::default()
    }
}

fn step(event: Event, direction: Way, source: End, destination: End) -> Line {
    Line {
        kind: Kind::Connection,
        event: Some(event),
        direction: Some(direction),
        source,
        destination,
        ..Line::default()
    }
}

fn filled(lines: &[Line]) -> (Window, Instant) {
    let now = Instant::now();
    let mut window = Window::new(SPAN, now);
    for line in lines {
        window.add(line, now);
    }
    (window, now + SPAN - Duration::from_millis(1))
}

#[track_caller]
fn check(lines: &[Line], expected: Counts) {
    let (window, _) = filled(lines);
    let mut sum = window.others();
    for (.., counts) in window.pairs() {
        sum += counts;
    }
    assert_eq!(sum, expected);
}

#[test]
fn a_connection_with_both_ends_here_counts_once() {
    let (cart, redis) = (pod("cart-1", "10.0.0.1"), pod("redis-0", "10.0.0.2"));
    let lines = [
        step(Event::Opened, Way::Egress, cart.clone(), redis.clone()),
        step(Event::Accepted, Way::Ingress, cart.clone(), redis.clone()),
        flow(Way::Egress, cart.clone(), redis.clone(), 10, 20),
        flow(Way::Ingress, cart.clone(), redis.clone(), 20, 10),
        step(Event::Closed, Way::Egress, cart.clone(), redis.clone()),
        step(Event::Closed, Way::Ingress, cart, redis),
    ];
    // Each end had a retransmission of its own.
    check(
        &lines,
        Counts {
            bytes: 30,
            connections: 1,
            failures: 0,
            drops: 0,
            retransmits: 2,
            rtt_us: 200,
            rtt_samples: 2,
        },
    );
}

#[test]
fn a_source_elsewhere_counts_at_the_destination() {
    let lines = [
        step(Event::Accepted, Way::Ingress, pod("cart-9", "10.9.0.1"), pod("redis-0", "10.0.0.2")),
        flow(Way::Ingress, pod("cart-9", "10.9.0.1"), pod("redis-0", "10.0.0.2"), 20, 10),
    ];
    check(
        &lines,
        Counts {
            bytes: 30,
            connections: 1,
            failures: 0,
            drops: 0,
            retransmits: 1,
            rtt_us: 100,
            rtt_samples: 1,
        },
    );
    // Unless older records have told that it is here, too.
    let (mut window, _) = filled(&[]);
    let cart = pod("cart-9", "10.9.0.1");
    window.learn(&step(Event::Opened, Way::Egress, cart, pod("pay-1", "10.0.0.3")));
    assert_eq!(window.count(&lines[0]), Counts::default());
    // Loopback is here even before its source has spoken.
    let loopback = End { ip: Some([127, 0, 0, 1].into()), ..End::default() };
    check(&[step(Event::Accepted, Way::Ingress, loopback.clone(), loopback)], Counts::default());
}

#[test]
fn failures_and_drops_count_wherever_they_are_seen() {
    let (cart, redis) = (pod("cart-1", "10.0.0.1"), pod("redis-0", "10.0.0.2"));
    let failed = Line {
        error: Some("ECONNREFUSED".into()),
        ..step(Event::Failed, Way::Egress, cart.clone(), redis.clone())
    };
    let drop = Line {
        kind: Kind::Drop,
        reason: Some("NO_SOCKET".into()),
        packets: Some(3),
        ..step(Event::Failed, Way::Ingress, cart, redis)
    };
    let routine = |reason: &str, to: &str| {
        let destination = End { ip: Some(to.parse().unwrap()), ..drop.destination.clone() };
        Line { reason: Some(reason.into()), destination, ..drop.clone() }
    };
    let flooded = routine("OTHERHOST", "10.0.0.2");
    let lines = [failed.clone(), failed, flooded, routine("NO_SOCKET", "ff02::16"), drop];
    check(&lines, Counts { failures: 2, drops: 3, ..Counts::default() });
    let (window, end) = filled(&lines);
    let snapshot = Snapshot::new(&window, end, Group::Workload, Sort::Failures, "");
    let shown: Vec<_> = snapshot.failures.iter().map(|failure| failure.text()).collect();
    assert_eq!(
        shown,
        [
            "2x  shop/cart -> shop/redis:80  ECONNREFUSED (connection refused: nobody listens)",
            "3x  shop/cart -> shop/redis:80  dropped: NO_SOCKET",
        ]
    );
}

#[test]
fn groups_add_up_sort_and_search() {
    let redis = pod("redis-0", "10.0.0.2");
    let outside = End {
        ip: Some("::ffff:8.8.8.8".parse().unwrap()),
        workload: Some("x".into()),
        workload_kind: Some("External".into()),
        ..End::default()
    };
    let lines = [
        flow(Way::Egress, pod("cart-1", "10.0.0.1"), redis.clone(), 1000, 0),
        flow(Way::Egress, pod("cart-2", "10.0.0.3"), redis, 4000, 0),
        flow(Way::Egress, pod("front-1", "10.0.0.4"), outside.clone(), 2000, 0),
        step(Event::Opened, Way::Egress, pod("front-1", "10.0.0.4"), outside),
    ];
    let (window, end) = filled(&lines);
    let names = |group, sort, search| {
        let rows = Snapshot::new(&window, end, group, sort, search).pairs;
        rows.into_iter()
            .map(|row| {
                format!("{}>{} {:.0}", row.source, row.destination, row.rates.bytes_per_second)
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(Group::Workload, Sort::Bytes, ""),
        ["shop/cart>shop/redis 500", "shop/front>8.8.8.8 200"]
    );
    assert_eq!(
        names(Group::Workload, Sort::Connections, ""),
        ["shop/front>8.8.8.8 200", "shop/cart>shop/redis 500"]
    );
    assert_eq!(
        names(Group::Pod, Sort::Bytes, "REDIS"),
        ["shop/cart-2>shop/redis-0 400", "shop/cart-1>shop/redis-0 100"]
    );
    assert_eq!(names(Group::Namespace, Sort::Bytes, ""), ["shop>shop 500", "shop>(outside) 200"]);
}

#[test]
fn rates_cover_what_has_passed() {
    let now = Instant::now();
    let mut window = Window::new(SPAN, now);
    window.add(&flow(Way::Egress, pod("a-1", "10.0.0.1"), pod("b-1", "10.0.0.2"), 1000, 0), now);
    let bytes = |window: &Window, after_ms| {
        let at = now + Duration::from_millis(after_ms);
        let snapshot = Snapshot::new(window, at, Group::Pod, Sort::Bytes, "");
        snapshot.pairs.first().map(|row| row.rates.bytes_per_second)
    };
    assert_eq!(bytes(&window, 0), Some(1000.0));
    assert_eq!(bytes(&window, 2000), Some(500.0));
    window.slide(now + Duration::from_millis(9999));
    assert!(bytes(&window, 9999).is_some_and(|rate| (99.0..101.0).contains(&rate)));
    window.slide(now + SPAN);
    assert_eq!(bytes(&window, 10_000), None);
}

#[test]
fn what_finds_no_room_is_summed_up() {
    let now = Instant::now();
    let mut window = Window::new(SPAN, now);
    for number in 0..MAX_PAIRS + 7 {
        let name = format!("pod{number}");
        let mut line =
            step(Event::Failed, Way::Egress, pod(&name, "10.0.0.1"), pod("b-1", "10.0.0.2"));
        line.error = Some("ETIMEDOUT".into());
        window.add(&line, now);
    }
    window.lose(3);
    assert_eq!(window.pairs().count(), MAX_PAIRS);
    assert_eq!(window.failures().count(), MAX_FAILURES);
    let end = now + SPAN - Duration::from_millis(1);
    let snapshot = Snapshot::new(&window, end, Group::Namespace, Sort::Bytes, "");
    assert_eq!(window.others().failures, 7);
    assert!(
        snapshot.others.is_some_and(|Rates { failures_per_second, .. }| failures_per_second > 0.69)
    );
    assert_eq!(snapshot.records_lost, 3);
    // Room comes back when pairs fall silent.
    window
        .add(&flow(Way::Egress, pod("new", "10.0.0.1"), pod("b-1", "10.0.0.2"), 1, 1), now + SPAN);
    assert_eq!(window.pairs().count(), 1);
}

#[test]
fn text_for_scripts() {
    let failed = Line {
        error: Some("ECONNREFUSED".into()),
        ..step(Event::Failed, Way::Egress, pod("cart-1", "10.0.0.1"), pod("pay-1", "10.0.0.3"))
    };
    let (mut window, _) = filled(&[
        flow(Way::Egress, pod("cart-1", "10.0.0.1"), pod("redis-0", "10.0.0.2"), 12_340, 0),
        failed,
    ]);
    window.lose(2);
    let end = window.began + SPAN;
    let snapshot = Snapshot::new(&window, end, Group::Workload, Sort::Bytes, "");
    assert_eq!(
        snapshot.text(),
        "\
SOURCE     DESTINATION  BYTES/s  CONN/s  FAIL/s  DROP/s      RTT  RETX/s
shop/cart  shop/redis     1.2kB       0       0       0   0.10ms     0.1
shop/cart  shop/pay          0B       0     0.1       0        -       0
1x  shop/cart -> shop/pay:80  ECONNREFUSED (connection refused: nobody listens)
... 2 records lost: reader too slow
"
    );
    let json = serde_json::to_value(&snapshot).unwrap();
    assert_eq!(json["group"], "workload");
    assert_eq!(json["pairs"][0]["destination"], "shop/redis");
    assert_eq!(json["pairs"][0]["bytes_per_second"], 1234.0);
    assert_eq!(json["pairs"][0]["rtt_us"], 100);
    assert_eq!(json["failures"][0]["error"], "ECONNREFUSED");
}

#[test]
fn text_is_a_screenful() {
    let lines: Vec<Line> = (0..25)
        .map(|n| {
            let to = pod(&format!("b{n:02}-1"), "10.0.0.2");
            let failed = step(Event::Failed, Way::Egress, pod("a-1", "10.0.0.1"), to);
            Line { error: Some("ETIMEDOUT".into()), ..failed }
        })
        .collect();
    let (window, end) = filled(&lines);
    let snapshot = Snapshot::new(&window, end, Group::Workload, Sort::Failures, "");
    let text = snapshot.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 1 + 20 + 1 + 10 + 1, "{text}");
    assert_eq!(lines[21], "... and 5 more pairs; -o json has all");
    assert_eq!(lines[32], "... and 15 more failures; -o json has all");
    assert_eq!(snapshot.pairs.len(), 25);
}
