//! Connections: each exactly once, with its process, whatever becomes of it.

mod harness;

use std::collections::HashSet;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};

use harness::{Session, exchange, listen, pid};
use model::{ConnectionEvent, Direction};

/// 10,000 on a real machine; the kernels of the matrix are emulated.
fn many() -> usize {
    std::env::var("AMPHIPOD_TEST_CONNECTIONS")
        .map_or(10_000, |count| count.parse().expect("a number"))
}

/// Runs `count` exchanges over `to` and checks that both ends of each were seen, once, complete and attributed.
fn check_exchange(listener: &std::net::TcpListener, to: SocketAddr, count: usize) {
    let mut session = Session::start();
    exchange(listener, to, count, b"hello");
    let port = to.port();
    session.until("every connection closed at both ends", |session| {
        session.count(port, ConnectionEvent::Closed) >= 2 * count
    });
    let seen = session.finish();
    for (event, ends) in [
        (ConnectionEvent::Opened, 1),
        (ConnectionEvent::Accepted, 1),
        (ConnectionEvent::Failed, 0),
        (ConnectionEvent::Closed, 2),
    ] {
        assert_eq!(seen.count(port, event), ends * count, "{event:?}");
    }
    let mut unique = HashSet::new();
    for (observation, connection) in seen.connections(port) {
        assert_eq!(observation.process.pid, pid(), "{observation:?}");
        assert!(
            !observation.process.comm.is_empty() && observation.process.netns != 0,
            "{observation:?}"
        );
        let incoming = observation.local.port() == port;
        assert_eq!(
            observation.direction,
            if incoming { Direction::Ingress } else { Direction::Egress }
        );
        assert_eq!(observation.local.ip(), to.ip().to_canonical());
        assert_eq!(observation.remote.ip(), to.ip().to_canonical());
        let client = if incoming { observation.remote.port() } else { observation.local.port() };
        assert!(
            unique.insert((incoming, connection.event, client, observation.time)),
            "twice: {observation:?}"
        );
        match connection.event {
            ConnectionEvent::Opened => assert!(connection.connect_ns > 0),
            ConnectionEvent::Closed => {
                let totals = connection.totals;
                let bytes = if incoming { (0, 5) } else { (5, 0) };
                assert_eq!((totals.bytes_sent, totals.bytes_received), bytes, "{observation:?}");
                assert!(
                    totals.packets_sent > 1 && totals.packets_received > 1 && totals.rtt_us > 0
                );
                assert!(connection.duration_ns > 0);
            }
            _ => {}
        }
    }
}

#[test]
fn loopback_v4() {
    let (listener, address) = listen(Ipv4Addr::LOCALHOST);
    check_exchange(&listener, address, many());
}

#[test]
fn loopback_v6() {
    let (listener, address) = listen(Ipv6Addr::LOCALHOST);
    check_exchange(&listener, address, many());
}

#[test]
fn v4_mapped() {
    let (listener, address) = listen(Ipv6Addr::UNSPECIFIED);
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST.to_ipv6_mapped(), address.port()));
    check_exchange(&listener, to, 100);
}

#[test]
fn refused() {
    let (listener, address) = listen(Ipv4Addr::LOCALHOST);
    drop(listener);
    let mut session = Session::start();
    for _ in 0..1000 {
        TcpStream::connect(address).expect_err("nobody listens");
    }
    session.until("every refusal", |session| {
        session.count(address.port(), ConnectionEvent::Failed) >= 1000
    });
    let seen = session.finish();
    assert_eq!(seen.connections(address.port()).count(), 1000);
    for (observation, connection) in seen.connections(address.port()) {
        assert_eq!(
            (connection.event, connection.errno),
            (ConnectionEvent::Failed, libc::ECONNREFUSED as u16)
        );
        assert_eq!((observation.process.pid, observation.direction), (pid(), Direction::Egress));
        assert_eq!(observation.remote, address);
    }
}
