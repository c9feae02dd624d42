//! Which backends this kernel chose, asked of its connection tracking: a client, a node that translates as kube-proxy does,
//! and two backends, each in a network namespace of its own.

#![allow(clippy::unwrap_used)] // A failure here is a failed test.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use agent::backend::{Choice, Conntrack, Dial, Kernel, Unavailable};
use model::Protocol;
use rustix::net::sockopt::{set_socket_linger, set_socket_reuseaddr};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use sim::Netns;

/// Port of the service, of the same service where the client is translated as well, and of the backends.
const PORT: u16 = 80;
const MASQUERADED: u16 = 81;
const BACKEND: u16 = 8080;

const RULES: &str = "
table inet amphipod {
  chain prerouting {
    type nat hook prerouting priority -100
    ip daddr 10.96.0.10 meta l4proto { tcp, udp } th dport { 80, 81 } \
      dnat ip addr . port to numgen inc mod 2 map { 0 : 10.201.1.2 . 8080, 1 : 10.201.2.2 . 8080 }
    ip6 daddr fd96::10 meta l4proto { tcp, udp } th dport { 80, 81 } \
      dnat ip6 addr . port to numgen inc mod 2 map { 0 : fd01::2 . 8080, 1 : fd02::2 . 8080 }
  }
  chain postrouting {
    type nat hook postrouting priority 100
    meta l4proto { tcp, udp } ct original proto-dst 81 masquerade
  }
}
";

struct Site {
    node: Netns,
    client: Netns,
    _backends: [Netns; 2],
}

impl Site {
    /// `name` tells the tests of one run apart.
    fn new(name: &str) -> Self {
        let namespace = |what: &str| {
            Netns::create(&format!("amph-{name}-{}-{what}", std::process::id())).unwrap()
        };
        let node = namespace("node");
        let leaves = ["client", "b1", "b2"].map(namespace);
        node.sysctl("ipv4/ip_forward", "1").unwrap();
        node.sysctl("ipv6/conf/all/forwarding", "1").unwrap();
        for (number, leaf) in leaves.iter().enumerate() {
            let (v4, v6) = (format!("10.201.{number}"), format!("fd0{number}:"));
            let near = format!("leaf{number}");
            node.ip(&[
                format!("link add {near} type veth peer name eth0 netns {}", leaf.name()),
                format!("addr add {v4}.1/24 dev {near}"),
                format!("addr add {v6}:1/64 dev {near} nodad"),
                format!("link set {near} up"),
            ])
            .unwrap();
            leaf.ip(&[
                format!("addr add {v4}.2/24 dev eth0"),
                format!("addr add {v6}:2/64 dev eth0 nodad"),
                "link set eth0 up".to_owned(),
                format!("route add default via {v4}.1"),
                format!("route add default via {v6}:1"),
            ])
            .unwrap();
        }
        // Only for the route: what goes there is translated before.
        node.ip(&[
            "route add 10.96.0.0/16 dev leaf1".into(),
            "route add fd96::/64 dev leaf1".into(),
        ])
        .unwrap();
        translate(&node);
        let [client, one, two] = leaves;
        for backend in [&one, &two] {
            backend.run(serve).unwrap();
        }
        Self { node, client, _backends: [one, two] }
    }

    fn conntrack(&self) -> Kernel {
        Kernel::of_namespace(self.node.path())
    }
}

fn translate(node: &Netns) {
    let mut command = Command::new("nft");
    command.args(["-f", "-"]).stdin(Stdio::piped());
    let mut nft = node.spawn(&mut command).expect("the command nft");
    nft.stdin.take().unwrap().write_all(RULES.as_bytes()).unwrap();
    assert!(nft.wait().unwrap().success(), "nft");
}

/// Answers who answers and who asked, over TCP and UDP, until the test ends.
fn serve() {
    let listener = TcpListener::bind(("::", BACKEND)).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let ends = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
            thread::spawn(move || {
                let _ = stream.write_all(format!("{} {}\n", ends.0, ends.1).as_bytes());
                let _ = stream.read(&mut [0]);
            });
        }
    });
    // One for each address: a socket for all would not say at which it was asked.
    for own in own_addresses() {
        let socket = UdpSocket::bind((own, BACKEND)).unwrap();
        thread::spawn(move || {
            while let Ok((_, from)) = socket.recv_from(&mut [0; 8]) {
                let own = socket.local_addr().unwrap();
                let _ = socket.send_to(format!("{own} {from}\n").as_bytes(), from);
            }
        });
    }
}

/// By the way to the node.
fn own_addresses() -> [IpAddr; 2] {
    ["10.96.0.10:1", "[fd96::10]:1"].map(|to| {
        let any = if to.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
        let socket = UdpSocket::bind(any).unwrap();
        socket.connect(to).unwrap();
        socket.local_addr().unwrap().ip()
    })
}

/// What a backend said of a connection.
fn parse(text: &str) -> Choice {
    let plain = |text: &str| {
        let end: SocketAddr = text.parse().unwrap();
        SocketAddr::new(end.ip().to_canonical(), end.port())
    };
    let (backend, client) = text.trim().split_once(' ').unwrap();
    Choice { backend: plain(backend), client: plain(client) }
}

fn call(service: SocketAddr) -> (TcpStream, Dial, Choice) {
    converse(TcpStream::connect_timeout(&service, Duration::from_secs(10)).unwrap(), service)
}

fn converse(mut stream: TcpStream, service: SocketAddr) -> (TcpStream, Dial, Choice) {
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut text = Vec::new();
    let mut byte = [0];
    while stream.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
        text.push(byte[0]);
    }
    let client = stream.local_addr().unwrap();
    let dial = Dial { client, service, protocol: Protocol::TCP };
    (stream, dial, parse(std::str::from_utf8(&text).unwrap()))
}

/// A connection from this very port; its end is a reset, so that the port is free at once.
fn call_from(client: SocketAddr, service: SocketAddr) -> (TcpStream, Dial, Choice) {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    set_socket_reuseaddr(socket.as_fd(), true).unwrap();
    set_socket_linger(socket.as_fd(), Some(Duration::ZERO)).unwrap();
    bind(&socket, &client).unwrap();
    connect(&socket, &service).unwrap();
    converse(TcpStream::from(socket), service)
}

fn ask(service: SocketAddr) -> (Dial, Choice) {
    let any = if service.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).unwrap();
    socket.connect(service).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.send(b"?").unwrap();
    let mut buffer = [0; 200];
    let length = socket.recv(&mut buffer).unwrap();
    let dial = Dial { client: socket.local_addr().unwrap(), service, protocol: Protocol::UDP };
    (dial, parse(std::str::from_utf8(&buffer[..length]).unwrap()))
}

fn look_up(conntrack: &mut Kernel, dials: &[Dial]) -> Vec<Option<Choice>> {
    let mut found = Vec::new();
    conntrack.look_up(dials, &mut found).unwrap();
    found
}

#[test]
fn each_connection_has_the_backend_that_answered() {
    let site = Site::new("each");
    let services = ["10.96.0.10", "fd96::10"]
        .iter()
        .flat_map(|ip| [PORT, MASQUERADED].map(|port| SocketAddr::new(ip.parse().unwrap(), port)));
    let (open, closed, datagrams) = site
        .client
        .run(|| {
            let services: Vec<SocketAddr> = services.collect();
            let calls = || services.iter().flat_map(|to| (0..4).map(|_| call(*to)));
            let open: Vec<_> = calls().collect();
            let closed: Vec<_> = calls().map(|(_, dial, choice)| (dial, choice)).collect();
            let datagrams: Vec<_> =
                services.iter().flat_map(|to| (0..4).map(|_| ask(*to))).collect();
            (open, closed, datagrams)
        })
        .unwrap();
    let expected: Vec<(Dial, Choice)> = open
        .iter()
        .map(|(_, dial, choice)| (*dial, *choice))
        .chain(closed)
        .chain(datagrams)
        .collect();
    let dials: Vec<Dial> = expected.iter().map(|(dial, _)| *dial).collect();
    let choices: Vec<Option<Choice>> = expected.iter().map(|(_, choice)| Some(*choice)).collect();
    let mut conntrack = site.conntrack();
    for (dials, choices) in dials.chunks(32).zip(choices.chunks(32)) {
        assert_eq!(look_up(&mut conntrack, dials), choices);
    }
    let hidden = expected.iter().filter(|(dial, choice)| dial.client.ip() != choice.client.ip());
    assert_eq!(hidden.count(), expected.len() / 2, "the node translated the client as well");
    let backends: std::collections::BTreeSet<_> =
        choices.iter().flatten().map(|choice| choice.backend).collect();
    assert_eq!(backends.len(), 4, "both, in both families: {backends:?}");
}

#[test]
fn what_is_not_translated_is_not_found() {
    let site = Site::new("none");
    let direct = site.client.run(|| call(([10, 201, 1, 2], BACKEND).into())).unwrap();
    let (_, through, choice) = site.client.run(|| call(([10, 96, 0, 10], PORT).into())).unwrap();
    let never = Dial { client: ([10, 201, 0, 2], 1).into(), ..through };
    // The entry is there, by its other direction.
    let answers = Dial { client: choice.backend, service: choice.client, ..through };
    let found = look_up(&mut site.conntrack(), &[direct.1, never, through, answers]);
    assert_eq!(found, [None, None, Some(choice), None]);
}

#[test]
fn a_reused_port_has_its_own_backend() {
    let site = Site::new("reuse");
    let (client, service) = (([10, 201, 0, 2], 45_000).into(), ([10, 96, 0, 10], PORT).into());
    let mut conntrack = site.conntrack();
    let mut seen = Vec::new();
    for _ in 0..4 {
        let (stream, dial, choice) = site.client.run(|| call_from(client, service)).unwrap();
        assert_eq!(look_up(&mut conntrack, &[dial]), [Some(choice)]);
        drop(stream);
        // Also after its end, until the port is in use again.
        assert_eq!(look_up(&mut conntrack, &[dial]), [Some(choice)]);
        seen.push(choice.backend);
    }
    seen.dedup();
    assert_eq!(seen.len(), 4, "the two take turns");
}

#[test]
fn without_a_namespace_there_is_nothing_to_ask() {
    let dial = Dial {
        client: ([10, 201, 0, 2], 1).into(),
        service: ([10, 96, 0, 10], PORT).into(),
        protocol: Protocol::TCP,
    };
    let mut found = Vec::new();
    let mut kernel = Kernel::of_namespace("/run/netns/amphipod-has-none");
    let refused = kernel.look_up(&[dial], &mut found).unwrap_err();
    assert!(matches!(refused, Unavailable::Hidden { .. }), "{refused}");
    // The host's own can be asked, whatever it translates.
    let mut host = Kernel::of_host("/proc".into());
    assert_eq!(look_up(&mut host, &[dial]), [None]);
}
