//! Connections between two network namespaces, over a veth pair.

#![allow(clippy::unwrap_used)] // A failure here is a failed test.

mod harness;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc;

use harness::{Session, many, pid};
use model::{ConnectionEvent, Direction};

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().expect("the command ip");
    assert!(status.success(), "ip {arguments}");
}

/// Moves this thread, and what it starts, into a network namespace of its own.
fn enter_new_namespace() {
    // SAFETY: only this thread is moved, and no memory is touched.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0, "needs root");
}

fn namespace() -> u32 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/thread-self/ns/net").unwrap().ino() as u32
}

fn configure(device: &str, v4: Ipv4Addr, v6: Ipv6Addr) {
    std::fs::write(format!("/proc/sys/net/ipv6/conf/{device}/accept_dad"), "0").unwrap();
    ip(&format!("addr add {v4}/24 dev {device}"));
    ip(&format!("-6 addr add {v6}/64 dev {device}"));
    ip(&format!("link set {device} up"));
}

#[test]
fn both_ends_are_seen_each_in_its_namespace() {
    let count = many() / 2;
    let (v4, v6) = (["10.99.0.1", "10.99.0.2"], ["fd99::1", "fd99::2"]);
    let mut session = Session::start();
    let (ready, is_ready) = mpsc::channel();
    let (go, may_go) = mpsc::channel::<()>();

    // The namespaces, and with them the devices, end with the two threads.
    let server = std::thread::spawn(move || {
        enter_new_namespace();
        // SAFETY: gettid takes no pointer.
        ready.send((unsafe { libc::gettid() }, namespace(), 0)).unwrap();
        may_go.recv().unwrap();
        configure("amph1", v4[1].parse().unwrap(), v6[1].parse().unwrap());
        let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
        ready.send((0, 0, listener.local_addr().unwrap().port())).unwrap();
        for stream in listener.incoming().take(2 * count) {
            let mut stream = stream.unwrap();
            stream.read_exact(&mut [0; 4]).unwrap();
            stream.write_all(b"pong!").unwrap();
        }
    });
    let (server_tid, server_namespace, _) = is_ready.recv().unwrap();
    let client = std::thread::spawn(move || {
        enter_new_namespace();
        ip("link add amph0 type veth peer name amph1");
        ip(&format!("link set amph1 netns {server_tid}"));
        configure("amph0", v4[0].parse().unwrap(), v6[0].parse().unwrap());
        go.send(()).unwrap();
        let (_, _, port) = is_ready.recv().unwrap();
        for to in [
            SocketAddr::new(v4[1].parse().unwrap(), port),
            SocketAddr::new(v6[1].parse().unwrap(), port),
        ] {
            for _ in 0..count {
                let mut stream = TcpStream::connect(to).unwrap();
                stream.write_all(b"ping").unwrap();
                stream.read_to_end(&mut Vec::new()).unwrap();
            }
        }
        (namespace(), port)
    });
    let (client_namespace, port) = client.join().unwrap();
    server.join().unwrap();

    session.until("every end", |session| session.count(port, ConnectionEvent::Closed) >= 4 * count);
    let seen = session.finish();
    for (event, expected) in [
        (ConnectionEvent::Opened, 2),
        (ConnectionEvent::Accepted, 2),
        (ConnectionEvent::Failed, 0),
        (ConnectionEvent::Closed, 4),
    ] {
        seen.expect(port, event, expected * count);
    }
    let mut unique = std::collections::HashSet::new();
    for (observation, connection) in seen.attributed(port) {
        assert_eq!(observation.process.pid, pid(), "{observation:?}");
        let (namespace, local) = match observation.direction {
            Direction::Egress => (client_namespace, 0),
            Direction::Ingress => (server_namespace, 1),
        };
        assert_eq!(observation.process.netns, namespace, "{observation:?}");
        let ip = observation.local.ip().to_string();
        assert!(ip == v4[local] || ip == v6[local], "{observation:?}");
        let end = (observation.local, observation.remote, connection.event, observation.cookie);
        assert!(observation.cookie == 0 || unique.insert(end), "twice: {observation:?}");
        if connection.event == ConnectionEvent::Closed {
            let totals = connection.totals;
            let bytes = if local == 0 { (4, 5) } else { (5, 4) };
            assert_eq!((totals.bytes_sent, totals.bytes_received), bytes, "{observation:?}");
        }
    }
}
