//! Packets that the kernel drops, with its reason.

#![allow(clippy::unwrap_used)] // A failure here is a failed test.

mod harness;

use std::net::{Ipv4Addr, UdpSocket};

use harness::Session;
use model::{Direction, Protocol};

#[test]
fn a_datagram_that_nobody_waits_for() {
    let mut session = Session::start();
    let gone = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let to = gone.local_addr().unwrap();
    drop(gone);
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    for _ in 0..25 {
        client.send_to(&[0; 100], to).unwrap();
    }
    let client = client.local_addr().unwrap();
    // Of the two ports the higher one is left out.
    let port = to.port().min(client.port());
    let total = |session: &Session| {
        let of_ends = session.drops(port).filter(|(seen, _)| {
            seen.protocol == Protocol::UDP
                && seen.direction == Direction::Ingress
                && seen.local.ip() == to.ip()
        });
        of_ends
            .map(|(_, drop)| (drop.packets, drop.bytes))
            .fold((0, 0), |sum, each| (sum.0 + each.0, sum.1 + each.1))
    };
    session.until("every datagram", |session| total(session).0 >= 25);
    let (packets, bytes) = total(&session);
    assert_eq!(packets, 25);
    assert!((25 * 100..=25 * 142).contains(&bytes), "{bytes} bytes");
    let with_reasons = std::fs::read("/sys/kernel/btf/vmlinux").unwrap();
    let expected = if contains(&with_reasons, b"SKB_DROP_REASON_NO_SOCKET") {
        "NO_SOCKET"
    } else {
        "__udp4_lib_rcv"
    };
    for (observation, drop) in
        session.drops(port).filter(|(seen, _)| seen.protocol == Protocol::UDP)
    {
        assert_eq!(&*drop.reason, expected, "{observation:?}");
        assert!(observation.process.netns > 0);
    }
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

#[test]
fn closing_a_connection_is_no_drop() {
    let (listener, address) = harness::listen(Ipv4Addr::LOCALHOST);
    let mut session = Session::start();
    harness::exchange(&listener, address, 100, b"x");
    let port = address.port();
    session
        .until("every end", |session| session.count(port, model::ConnectionEvent::Closed) >= 200);
    // What would have been counted until now is delivered at the end.
    let seen = session.finish();
    let drops = seen.observations.iter().filter(|observation| {
        matches!(&observation.subject, model::Subject::Drop(drop) if &*drop.reason == "QUEUE_PURGE")
    });
    assert_eq!(drops.count(), 0);
}
