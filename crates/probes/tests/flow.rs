//! Flows: what every socket moved, to the byte, while it lives and when it closes.

#![allow(clippy::unwrap_used)] // A failure here is a failed test.

mod harness;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use harness::{Session, listen, pid};
use libbpf_rs::MapCore;
use model::{ConnectionEvent, Counters, Direction, Protocol, Subject};

fn sum<'a>(flows: impl Iterator<Item = &'a model::Flow>) -> Counters {
    flows.fold(Counters::default(), |sum, flow| Counters {
        bytes_sent: sum.bytes_sent + flow.deltas.bytes_sent,
        bytes_received: sum.bytes_received + flow.deltas.bytes_received,
        packets_sent: sum.packets_sent + flow.deltas.packets_sent,
        packets_received: sum.packets_received + flow.deltas.packets_received,
        retransmits: sum.retransmits + flow.deltas.retransmits,
        rtt_us: flow.deltas.rtt_us,
    })
}

/// The flows of the end that is `direction`, summed.
fn moved(session: &Session, protocol: Protocol, port: u16, direction: Direction) -> Counters {
    sum(session
        .flows(protocol, port)
        .filter(|(observation, _)| observation.direction == direction)
        .map(|(_, flow)| flow))
}

#[test]
fn a_long_lived_connection_reports_while_it_lives() {
    let (listener, address) = listen(Ipv4Addr::LOCALHOST);
    let port = address.port();
    let mut session = Session::start();
    let mut client = TcpStream::connect(address).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let mut buffer = vec![0; 100_000];
    for turn in 1..=3 {
        client.write_all(&buffer).unwrap();
        server.read_exact(&mut buffer).unwrap();
        server.write_all(b"ok").unwrap();
        client.read_exact(&mut [0; 2]).unwrap();
        session.until("the turn's bytes at both ends", |session| {
            moved(session, Protocol::TCP, port, Direction::Egress).bytes_sent == turn * 100_000
                && moved(session, Protocol::TCP, port, Direction::Ingress).bytes_received
                    == turn * 100_000
                && moved(session, Protocol::TCP, port, Direction::Egress).bytes_received == turn * 2
        });
    }
    assert_eq!(session.count(port, ConnectionEvent::Closed), 0);
    client.write_all(b"bye").unwrap();
    server.read_exact(&mut [0; 3]).unwrap();
    drop(client);
    drop(server);
    session.until("both ends", |session| session.count(port, ConnectionEvent::Closed) >= 2);
    for direction in [Direction::Egress, Direction::Ingress] {
        let (_, closed) = session
            .connections(port)
            .find(|(observation, connection)| {
                observation.direction == direction && connection.event == ConnectionEvent::Closed
            })
            .unwrap();
        let moved = moved(&session, Protocol::TCP, port, direction);
        assert_eq!(moved, Counters { rtt_us: moved.rtt_us, ..closed.totals }, "{direction:?}");
        assert!(moved.rtt_us > 0);
    }
    assert!(
        session
            .flows(Protocol::TCP, port)
            .all(|(observation, flow)| observation.process.pid == pid() && flow.interval_ns > 0)
    );
}

/// More at once than one buffer of an iterator and one chunk of keys hold: none falls between two of them.
#[test]
fn every_socket_of_a_large_read_is_told() {
    const SOCKETS: u64 = 700;
    let (listener, address) = listen(Ipv4Addr::LOCALHOST);
    let sink = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let to = sink.local_addr().unwrap();
    let mut session = Session::start();
    let mut pairs = Vec::new();
    let mut senders = Vec::new();
    for _ in 0..SOCKETS {
        let client = TcpStream::connect(address).unwrap();
        pairs.push((client, listener.accept().unwrap().0));
        senders.push(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    }
    for turn in 1..=3 {
        for (client, server) in &mut pairs {
            client.write_all(b"seven..").unwrap();
            server.read_exact(&mut [0; 7]).unwrap();
        }
        for sender in &senders {
            sender.send_to(b"five.", to).unwrap();
        }
        let expected = [7, 7, 5].map(|bytes| turn * SOCKETS * bytes);
        session.until_equal("TCP bytes sent and received, UDP bytes", expected, |session| {
            [
                moved(session, Protocol::TCP, address.port(), Direction::Egress).bytes_sent,
                moved(session, Protocol::TCP, address.port(), Direction::Ingress).bytes_received,
                moved(session, Protocol::UDP, to.port(), Direction::Egress).bytes_sent,
            ]
        });
    }
    assert_eq!(session.count(address.port(), ConnectionEvent::Closed), 0);
}

/// Exchanges datagrams between two sockets of `ip` and checks both ends' flows.
fn check_udp(ip: impl Into<IpAddr>, connected: bool) {
    let ip = ip.into();
    let mut session = Session::start();
    let server = UdpSocket::bind((ip, 0)).unwrap();
    let client = UdpSocket::bind((ip, 0)).unwrap();
    let to = server.local_addr().unwrap();
    let mut buffer = [0; 2000];
    for _ in 0..100 {
        if connected {
            client.connect(to).unwrap();
            client.send(&[0; 64]).unwrap();
        } else {
            client.send_to(&[0; 64], to).unwrap();
        }
        let (_, from) = server.recv_from(&mut buffer).unwrap();
        server.send_to(&[0; 1000], from).unwrap();
        assert_eq!(client.recv(&mut buffer).unwrap(), 1000);
    }
    let sent = Counters {
        bytes_sent: 6400,
        bytes_received: 100_000,
        packets_sent: 100,
        packets_received: 100,
        ..Counters::default()
    };
    let answered = Counters { bytes_sent: 100_000, bytes_received: 6400, ..sent };
    session.until("both ends", |session| {
        moved(session, Protocol::UDP, to.port(), Direction::Egress) == sent
            && moved(session, Protocol::UDP, to.port(), Direction::Ingress) == answered
    });
    let client = client.local_addr().unwrap();
    for (observation, _) in session.flows(Protocol::UDP, to.port()) {
        let ends =
            if observation.direction == Direction::Egress { (client, to) } else { (to, client) };
        assert_eq!((observation.local, observation.remote), ends);
        assert_eq!(
            (observation.protocol, observation.process.pid),
            (Protocol::UDP, pid()),
            "{observation:?}"
        );
        assert!(
            observation.process.cgroup_id > 0
                && observation.process.netns > 0
                && observation.cookie > 0
        );
    }
}

#[test]
fn udp_connected() {
    check_udp(Ipv4Addr::LOCALHOST, true);
}

#[test]
fn udp_unconnected() {
    check_udp(Ipv4Addr::LOCALHOST, false);
}

#[test]
fn udp_v6() {
    check_udp(Ipv6Addr::LOCALHOST, false);
}

#[test]
fn udp_with_many_peers() {
    let mut session = Session::start();
    let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let to = server.local_addr().unwrap();
    let clients: Vec<_> =
        (0..20).map(|_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
    let mut buffer = [0; 100];
    for _ in 0..10 {
        for client in &clients {
            client.send_to(&[0; 10], to).unwrap();
            let (_, from) = server.recv_from(&mut buffer).unwrap();
            server.send_to(&[0; 20], from).unwrap();
        }
    }
    let of_peer = |session: &Session, peer: SocketAddr| {
        sum(session
            .flows(Protocol::UDP, to.port())
            .filter(|(seen, _)| seen.local == to && seen.remote == peer)
            .map(|(_, flow)| flow))
    };
    let each = Counters {
        bytes_sent: 200,
        bytes_received: 100,
        packets_sent: 10,
        packets_received: 10,
        ..Counters::default()
    };
    session.until("every peer", |session| {
        clients.iter().all(|client| of_peer(session, client.local_addr().unwrap()) == each)
    });
    assert!(
        session
            .flows(Protocol::UDP, to.port())
            .all(|(observation, _)| observation.process.pid == pid())
    );
}

#[test]
fn udp_sockets_shorter_than_an_interval() {
    let mut session = Session::with(|settings| settings.flow.interval = Duration::from_secs(3600));
    let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let to = server.local_addr().unwrap();
    for _ in 0..50 {
        let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        client.send_to(&[0; 30], to).unwrap();
        server.recv_from(&mut [0; 100]).unwrap();
    }
    session.until("every socket's end", |session| {
        moved(session, Protocol::UDP, to.port(), Direction::Egress).bytes_sent == 1500
    });
    for (observation, _) in session.flows(Protocol::UDP, to.port()) {
        assert_eq!(observation.process.pid, pid());
        assert!(
            observation.process.cgroup_id > 0 && observation.process.netns > 0,
            "{observation:?}"
        );
    }
}

#[test]
fn udp_sockets_older_than_the_agent() {
    let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let to = server.local_addr().unwrap();
    let mut session = Session::start();
    client.send_to(&[0; 30], to).unwrap();
    server.recv_from(&mut [0; 100]).unwrap();
    session.until("both ends", |session| session.flows(Protocol::UDP, to.port()).count() >= 2);
    let named = session.report().programs.iter().any(|program| {
        program.program == "flow_older" && program.state == model::status::ProgramState::Active
    });
    for (observation, flow) in session.flows(Protocol::UDP, to.port()) {
        assert_eq!(flow.deltas.bytes_sent + flow.deltas.bytes_received, 30);
        assert_eq!(observation.process.pid, if named { pid() } else { 0 });
    }
}

#[test]
fn a_full_map_of_peers_is_counted() {
    let mut session = Session::with(|settings| settings.flow.max_peers = 4);
    let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let to = server.local_addr().unwrap();
    for _ in 0..50 {
        let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        client.send_to(&[0; 10], to).unwrap();
        server.recv_from(&mut [0; 100]).unwrap();
    }
    let lost = |session: &Session| {
        session
            .losses()
            .iter()
            .find(|(name, _)| name == "flow/kernel/map_full")
            .map_or(0, |&(_, count)| count)
    };
    assert!(lost(&session) > 0);
    session.until("seen and lost to add up", |session| {
        moved(session, Protocol::UDP, to.port(), Direction::Ingress).packets_received
            + lost(session)
            >= 50
    });
}

#[test]
fn sockets_that_close_while_they_are_read() {
    // Reads follow each other without a pause, so that many connections close in the middle of one.
    let mut session = Session::with(|settings| settings.flow.interval = Duration::from_millis(1));
    let (listener, address) = listen(Ipv4Addr::LOCALHOST);
    let port = address.port();
    let server = std::thread::spawn(move || {
        for stream in listener.incoming().take(3000) {
            let mut stream = stream.unwrap();
            stream.read_exact(&mut [0; 300]).unwrap();
            stream.write_all(&[0; 500]).unwrap();
        }
    });
    for turn in 0..3000 {
        let mut client = TcpStream::connect(address).unwrap();
        for part in [100, 100, 100] {
            client.write_all(&vec![0; part]).unwrap();
            if turn % 4 == 0 {
                std::thread::yield_now();
            }
        }
        client.read_exact(&mut [0; 500]).unwrap();
    }
    server.join().unwrap();
    session.until("every end", |session| session.count(port, ConnectionEvent::Closed) >= 6000);
    session.until("every byte", |session| {
        moved(session, Protocol::TCP, port, Direction::Egress).bytes_sent >= 900_000
    });
    // An update may interrupt another one: then only the end tells of the connection, and all of it.
    let mut losses = session.losses();
    losses.retain(|(name, _)| name != "tcp/kernel/map_busy");
    assert_eq!(losses, []);
    let seen = session.finish();
    let mut flows: HashMap<u64, Counters> = HashMap::new();
    let mut closed: HashMap<u64, Counters> = HashMap::new();
    let mut ends = 0;
    for observation in seen
        .observations
        .iter()
        .filter(|seen| seen.local.port() == port || seen.remote.port() == port)
    {
        match &observation.subject {
            Subject::Flow(flow) => add(flows.entry(key(observation)).or_default(), &flow.deltas),
            Subject::Connection(connection) if connection.event == ConnectionEvent::Closed => {
                ends += 1;
                add(closed.entry(key(observation)).or_default(), &connection.totals);
            }
            _ => {}
        }
    }
    assert_eq!(ends, 6000);
    // A read may meet a FIN in the bytes that is not yet marked as one.
    let is_same = |flow: &Counters, total: &Counters| {
        let fins = flow.bytes_received.saturating_sub(total.bytes_received);
        let corrected = Counters { bytes_received: flow.bytes_received - fins, ..*flow };
        // Without cookies these are sums of many.
        fins <= if closed.len() > 2 { 1 } else { 10 } && corrected == *total
    };
    for (key, total) in &closed {
        let flow = flows.get(key).unwrap_or_else(|| panic!("{key}: no flow, {total:?}"));
        assert!(is_same(flow, total), "{key}: flows of {flow:?}, moved {total:?}");
    }
    assert_eq!(flows.len(), closed.len());
    assert!(closed.len() == 6000 || closed.contains_key(&0), "closed twice");
}

fn add(sum: &mut Counters, counters: &Counters) {
    sum.bytes_sent += counters.bytes_sent;
    sum.bytes_received += counters.bytes_received;
    sum.packets_sent += counters.packets_sent;
    sum.packets_received += counters.packets_received;
    sum.retransmits += counters.retransmits;
}

/// The socket's cookie; on kernels that do not tell it, the sockets of one direction are taken together.
fn key(observation: &model::Observation) -> u64 {
    match (observation.cookie, observation.direction) {
        (0, Direction::Egress) => 0,
        (0, Direction::Ingress) => 1,
        (cookie, _) => cookie,
    }
}

#[test]
fn a_socket_whose_end_was_never_shown_is_reported_once() {
    // A size that no other map has finds this session's.
    let size = 54_321 + pid() % 1000;
    let (listener, to) = listen(Ipv4Addr::LOCALHOST);
    let mut client = TcpStream::connect(to).unwrap();
    let mut session = Session::with(|settings| settings.tcp.max_sockets = size);
    let sockets = libbpf_rs::query::MapInfoIter::default()
        .find(|map| map.name == "sockets" && map.max_entries == size)
        .map(|map| libbpf_rs::MapHandle::from_map_id(map.id).unwrap())
        .expect("the map of sockets");
    // An established socket at an address where there is none: its destruction must have gone unseen.
    let mut socket = vec![0_u8; sockets.value_size() as usize];
    let (established, active, reported) = (1, 1, 1);
    socket[..3].copy_from_slice(&[established, active, reported]);
    socket[4..6].copy_from_slice(&4242_u16.to_ne_bytes());
    let address = 0xffff_8000_0000_1000_u64.to_ne_bytes();
    // A single read must not be believed: the entry may be another socket's already. The read that tells of what was
    // written just before is the first that sees the entry, or came even before it.
    client.write_all(b"moved").unwrap();
    sockets.update(&address, &socket, libbpf_rs::MapFlags::ANY).unwrap();
    session.until("a read", |session| {
        session.flows(Protocol::TCP, to.port()).any(|(_, flow)| flow.deltas.bytes_sent == 5)
    });
    assert_eq!(session.count(4242, ConnectionEvent::Closed), 0, "believed at first sight");
    drop(listener);
    session.until("its end", |session| session.count(4242, ConnectionEvent::Closed) >= 1);
    assert_eq!(sockets.lookup(&address, libbpf_rs::MapFlags::ANY).unwrap(), None);
    assert_eq!(session.finish().count(4242, ConnectionEvent::Closed), 1);
}
