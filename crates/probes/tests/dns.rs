//! Lookups: real messages between real sockets, each seen once at either end, answered or not.

#![allow(clippy::unwrap_used)] // A failure here is a failed test.

mod harness;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use harness::{Session, many, pid};
use model::status::ProgramState;
use model::{Direction, Lookup, Observation, Protocol, Subject};

const A: u16 = 1;
const AAAA: u16 = 28;

/// A query for `www.NUMBER.example`.
fn query(id: u16, number: usize, kind: u16) -> Vec<u8> {
    let number = number.to_string();
    let mut message: Vec<u8> =
        [id, 0x0100, 1, 0, 0, 0].into_iter().flat_map(u16::to_be_bytes).collect();
    for label in ["WWW", &number, "example"] {
        message.push(label.len() as u8);
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
    message.extend([kind, 1].into_iter().flat_map(u16::to_be_bytes));
    message
}

/// The answer to `query`: as many times 10.1.2.3 as `records` says.
fn answer(query: &[u8], code: u8, records: u16) -> Vec<u8> {
    let mut message = query.to_vec();
    (message[2], message[3]) = (0x81, 0x80 | code);
    message[6..8].copy_from_slice(&records.to_be_bytes());
    for _ in 0..records {
        message.extend_from_slice(b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\x01\x02\x03");
    }
    message
}

/// A server and a client at `ip`, younger than the session, which takes the server's port for one of DNS.
fn scene(ip: impl Into<IpAddr>) -> (UdpSocket, UdpSocket, Session) {
    let ip = ip.into();
    let free = UdpSocket::bind((ip, 0)).unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let session = Session::with(|settings| settings.dns.ports = vec![54, port]);
    let server = UdpSocket::bind((ip, port)).unwrap();
    let client = UdpSocket::bind((ip, 0)).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    (server, client, session)
}

fn ask(client: &UdpSocket, server: &UdpSocket, query: &[u8], code: u8, records: u16) {
    let mut buffer = [0; 4096];
    client.send_to(query, server.local_addr().unwrap()).unwrap();
    let (length, from) = server.recv_from(&mut buffer).unwrap();
    server.send_to(&answer(&buffer[..length], code, records), from).unwrap();
    client.recv(&mut buffer).unwrap();
}

fn lookups(
    seen: &[Observation],
    port: u16,
    direction: Direction,
) -> impl Iterator<Item = (&Observation, &Lookup)> {
    seen.iter().filter(move |it| it.direction == direction).filter_map(move |observation| {
        match &observation.subject {
            Subject::Dns(lookup)
                if observation.local.port() == port || observation.remote.port() == port =>
            {
                Some((observation, lookup.as_ref()))
            }
            _ => None,
        }
    })
}

fn count(session: &Session, port: u16) -> usize {
    [Direction::Egress, Direction::Ingress]
        .into_iter()
        .map(|direction| lookups(&session.seen, port, direction).count())
        .sum()
}

fn check_exact(ip: impl Into<IpAddr>, kind: u16) {
    let (server, client, mut session) = scene(ip);
    let (here, there) = (client.local_addr().unwrap(), server.local_addr().unwrap());
    let number = many() / 10;
    for turn in 0..number {
        ask(&client, &server, &query(turn as u16, turn, kind), 0, 2);
    }
    session
        .until("both ends of every lookup", |session| count(session, there.port()) >= 2 * number);
    assert_eq!(session.losses(), []);
    let seen = session.finish();
    for direction in [Direction::Egress, Direction::Ingress] {
        let ends = if direction == Direction::Egress { (here, there) } else { (there, here) };
        let mut names = Vec::new();
        for (observation, lookup) in lookups(&seen.observations, there.port(), direction) {
            assert_eq!((observation.local, observation.remote), ends);
            assert_eq!((observation.protocol, observation.process.pid), (Protocol::UDP, pid()));
            let process = &observation.process;
            assert!(process.cgroup_id > 0 && process.netns > 0 && observation.cookie > 0);
            assert_eq!((lookup.kind, lookup.code, lookup.answers), (kind, Some(0), 2));
            assert_eq!(lookup.addresses, [IpAddr::from([10, 1, 2, 3]); 2]);
            assert_eq!((lookup.ttl_s, lookup.retries, lookup.truncated), (60, 0, false));
            assert!(lookup.duration_ns > 0 && lookup.duration_ns < 10_000_000_000, "{lookup:?}");
            names.push(lookup.name.to_string());
        }
        let mut expected: Vec<_> = (0..number).map(|turn| format!("www.{turn}.example")).collect();
        expected.sort();
        names.sort();
        assert!(names == expected, "{direction:?}: {} of {number}", names.len());
    }
}

#[test]
fn every_lookup_once_at_both_ends_v4() {
    check_exact(Ipv4Addr::LOCALHOST, A);
}

#[test]
fn every_lookup_once_at_both_ends_v6() {
    check_exact(Ipv6Addr::LOCALHOST, AAAA);
}

#[test]
fn what_is_not_answered_is_told_once_however_often_it_was_asked() {
    let (server, client, mut session) = scene(Ipv4Addr::LOCALHOST);
    let to = server.local_addr().unwrap();
    ask(&client, &server, &query(1, 1, A), 3, 0);
    for _ in 0..3 {
        client.send_to(&query(2, 2, A), to).unwrap();
    }
    session.until("both lookups at both ends", |session| count(session, to.port()) >= 4);
    for direction in [Direction::Egress, Direction::Ingress] {
        let mut told: Vec<_> = lookups(&session.seen, to.port(), direction)
            .map(|(_, it)| {
                (it.name.to_string(), it.code, it.retries, it.duration_ns / 1_000_000_000)
            })
            .collect();
        told.sort();
        let expected =
            [("www.1.example".to_owned(), Some(3), 0, 0), ("www.2.example".to_owned(), None, 2, 5)];
        assert_eq!(told, expected, "{direction:?}");
    }
}

#[test]
fn an_answer_longer_than_what_is_looked_at() {
    let (server, client, mut session) = scene(Ipv4Addr::LOCALHOST);
    let port = server.local_addr().unwrap().port();
    for (id, records) in [(1, 5), (2, 6), (3, 28), (4, 32), (5, 200)] {
        ask(&client, &server, &query(id, 1, A), 0, records);
    }
    session.until("all at both ends", |session| count(session, port) >= 10);
    for direction in [Direction::Egress, Direction::Ingress] {
        let told: Vec<_> = lookups(&session.seen, port, direction)
            .map(|(_, lookup)| (lookup.answers, lookup.addresses.len()))
            .collect();
        assert_eq!(told, [(5, 5), (6, 6), (28, 16), (32, 16), (200, 16)]);
    }
    assert_eq!(session.losses(), []);
}

#[test]
fn other_traffic_is_none_of_it() {
    let (server, client, mut session) = scene(Ipv4Addr::LOCALHOST);
    let to = server.local_addr().unwrap();
    // Another port, though it is DNS.
    let other = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    ask(&client, &other, &query(1, 1, A), 0, 1);
    // The port, though it is no DNS: too short to be, and something else.
    client.send_to(b"hello", to).unwrap();
    client.send_to(&[0xff; 40], to).unwrap();
    client.send_to(&[0; 40], to).unwrap();
    ask(&client, &server_without(&server, 3), &query(9, 9, A), 0, 1);
    session.until("the one lookup", |session| count(session, to.port()) >= 2);
    assert_eq!(count(&session, to.port()), 2);
    assert_eq!(count(&session, other.local_addr().unwrap().port()), 0);
    // One that cannot be read, at either end; another operation is none of ours.
    assert_eq!(session.losses(), [("dns/ring/malformed".to_owned(), 2)]);
}

/// `server`, after it has read so many messages.
fn server_without(server: &UdpSocket, messages: usize) -> UdpSocket {
    for _ in 0..messages {
        server.recv_from(&mut [0; 512]).unwrap();
    }
    server.try_clone().unwrap()
}

#[test]
fn the_usual_port_is_the_default() {
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    // Of an address of its own, so that nobody's name server is in the way.
    let server = UdpSocket::bind((Ipv4Addr::new(127, 53, 7, 1), 53)).unwrap();
    let port = client.local_addr().unwrap().port();
    let mut session = Session::start();
    ask(&client, &server, &query(1, 1, A), 2, 0);
    session.until("both ends", |session| count(session, port) >= 2);
    let (observation, lookup) = lookups(&session.seen, port, Direction::Egress).next().unwrap();
    assert_eq!(observation.remote, SocketAddr::from(([127, 53, 7, 1], 53)));
    assert!(lookup.code == Some(2) && lookup.failed());
}

#[test]
fn without_flows_there_are_no_lookups_and_that_is_said() {
    let session = Session::with(|settings| settings.flow.enabled = false);
    let programs = session.report().programs;
    for program in programs.iter().filter(|program| program.probe == "dns") {
        assert_eq!(program.state, ProgramState::Degraded, "{program:?}");
        assert!(program.reason.contains("needs the probe flow"), "{program:?}");
    }
}

#[test]
fn what_has_no_room_is_counted() {
    let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let to = server.local_addr().unwrap();
    let mut session = Session::with(|settings| {
        settings.dns.ports = vec![to.port()];
        settings.dns.max_lookups = 16;
    });
    for turn in 0..20 {
        client.send_to(&query(turn, 1, A), to).unwrap();
    }
    session.until("those that had room", |session| count(session, to.port()) >= 16);
    assert_eq!(count(&session, to.port()), 16);
    assert_eq!(session.losses(), [("dns/lookups/table_full".to_owned(), 24)]);
}
