use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::super::party::Group;
use super::super::snapshot::{Failures, Row};
use super::*;

fn snapshot(rows: usize) -> Snapshot {
    let rates = Rates {
        bytes_per_second: 12_340.0,
        connections_per_second: 1.5,
        failures_per_second: 0.2,
        drops_per_second: 3.0,
        retransmits_per_second: 0.0,
        rtt_us: Some(340),
    };
    let pairs = (0..rows)
        .map(|number| Row {
            source: format!("shop/cart{number}"),
            destination: "shop/redis".to_owned(),
            rates,
        })
        .collect();
    Snapshot {
        seconds: 10.0,
        pairs,
        group: Group::Workload,
        records_per_second: Some(17.0),
        ..Snapshot::default()
    }
}

#[track_caller]
fn check(snapshot: &Snapshot, state: &State, (width, height): (u16, u16), expected: &str) {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, snapshot, state)).unwrap();
    let buffer = terminal.backend().buffer();
    let shown: Vec<_> = (0..height)
        .map(|y| {
            let line: String = (0..width).map(|x| buffer[(x, y)].symbol()).collect();
            line.trim_end().to_owned()
        })
        .collect();
    assert_eq!(shown.join("\n"), expected.trim_matches('\n'));
}

#[test]
fn pairs_failures_and_keys() {
    let failure = Failures {
        source: "shop/cart0".to_owned(),
        destination: "shop/pay".to_owned(),
        port: 81,
        dropped: false,
        error: "ECONNREFUSED".to_owned(),
        count: 2,
    };
    let snapshot = Snapshot { failures: vec![failure], records_lost: 5, ..snapshot(2) };
    let state = State { paused: true, ..State::default() };
    check(
        &snapshot,
        &state,
        (90, 9),
        "
amphipod top  last 10s  by workload  2 pairs  17 records/s  5 records lost  PAUSED
SOURCE                  DESTINATION            BYTES/s CONN/s FAIL/s DROP/s     RTT RETX/s
shop/cart0              shop/redis              12.3kB    1.5    0.2    3.0  0.34ms      0
shop/cart1              shop/redis              12.3kB    1.5    0.2    3.0  0.34ms      0


FAILURES in the last 10s
2x  shop/cart0 -> shop/pay:81  ECONNREFUSED (connection refused: nobody listens)
q quit  b c f d r n sort  g group  / search  space pause  ? help",
    );
}

#[test]
fn scrolling_ends_with_the_last_row() {
    let state = State { offset: 1000, search: "cart".to_owned(), ..State::default() };
    check(
        &snapshot(9),
        &state,
        (80, 5),
        "
amphipod top  last 10s  by workload  9 pairs  17 records/s
SOURCE             DESTINATION       BYTES/s CONN/s FAIL/s DROP/s     RTT RETX/s
shop/cart7         shop/redis         12.3kB    1.5    0.2    3.0  0.34ms      0
shop/cart8         shop/redis         12.3kB    1.5    0.2    3.0  0.34ms      0
showing \"cart\" (Esc: all)  q quit  b c f d r n sort  g group  / search  space pa",
    );
}

#[test]
fn nothing_yet() {
    let state = State { typing: true, search: "ca".to_owned(), ..State::default() };
    check(
        &snapshot(0),
        &State::default(),
        (80, 4),
        "
amphipod top  last 10s  by workload  0 pairs  17 records/s
SOURCE             DESTINATION       BYTES/s CONN/s FAIL/s DROP/s     RTT RETX/s
waiting for traffic ...
q quit  b c f d r n sort  g group  / search  space pause  ? help",
    );
    check(
        &snapshot(0),
        &state,
        (80, 4),
        "
amphipod top  last 10s  by workload  0 pairs  17 records/s
SOURCE             DESTINATION       BYTES/s CONN/s FAIL/s DROP/s     RTT RETX/s
no pair has such a name
/ca_   Enter keep  Esc clear",
    );
}

#[test]
fn any_size_can_be_drawn() {
    let state = State { help: true, ..State::default() };
    for (width, height) in [(1, 1), (2, 3), (10, 2), (300, 100)] {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, &snapshot(50), &state)).unwrap();
    }
}
