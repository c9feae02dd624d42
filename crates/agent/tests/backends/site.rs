//! The place: a client, a node that sends on, and two backends.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use agent::backend::{Choice, Conntrack, Dial, Kernel};
use model::Protocol;
use rustix::net::sockopt::{set_socket_linger, set_socket_reuseaddr};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use sim::Netns;

/// Port of the service, of the same service where the client is translated as well, and of the backends.
pub const PORT: u16 = 80;
pub const MASQUERADED: u16 = 81;
pub const BACKEND: u16 = 8080;

const TRANSLATION: &str = "
table inet amphipod {
  chain prerouting {
    type nat hook prerouting priority -100
    ip daddr 10.96.0.10 meta l4proto { tcp, udp } th dport { 80, 81 } \
      dnat ip addr . port to numgen inc mod 2 map { 0 : 10.201.1.2 . 8080, 1 : 10.201.2.2 . 8080 }
    ip6 daddr fd96::10 meta l4proto { tcp, udp } th dport { 80, 81 } \
      dnat ip6 addr . port to numgen inc mod 2 map { 0 : fd01::2 . 8080, 1 : fd02::2 . 8080 }
  }
}
";
const MASQUERADE: &str = "
table inet amphipod {
  chain postrouting {
    type nat hook postrouting priority 100
    meta l4proto { tcp, udp } ct original proto-dst 81 masquerade
  }
}
";

/// Who sends connections to a service on to its backends, as kube-proxy sets it up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Proxy {
    Nftables,
    Ipvs,
}

pub struct Site {
    pub node: Netns,
    pub client: Netns,
    _backends: [Netns; 2],
}

impl Site {
    /// `name` tells the tests of one run apart.
    pub fn new(name: &str, proxy: Proxy) -> Self {
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
        match proxy {
            Proxy::Nftables => {
                // Only for the route: what goes there is translated before.
                node.ip(&[
                    "route add 10.96.0.0/16 dev leaf1".into(),
                    "route add fd96::/64 dev leaf1".into(),
                ])
                .unwrap();
                translate(&node, &format!("{TRANSLATION}{MASQUERADE}"));
            }
            Proxy::Ipvs => {
                balance(&node);
                translate(&node, MASQUERADE);
            }
        }
        let [client, one, two] = leaves;
        for backend in [&one, &two] {
            backend.run(serve).unwrap();
        }
        Self { node, client, _backends: [one, two] }
    }

    pub fn conntrack(&self) -> Kernel {
        Kernel::of_namespace(self.node.path())
    }
}

fn translate(node: &Netns, rules: &str) {
    feed(node, Command::new("nft").args(["-f", "-"]), rules);
}

/// The services' addresses are the node's own, on a link that leads nowhere, and connections to them are tracked.
fn balance(node: &Netns) {
    node.ip(&[
        "link add kube-ipvs0 type dummy".into(),
        "addr add 10.96.0.10/32 dev kube-ipvs0".into(),
        "addr add fd96::10/128 dev kube-ipvs0 nodad".into(),
        "link set kube-ipvs0 up".into(),
    ])
    .unwrap();
    let rules = |(service, backends): (&str, [&str; 2])| {
        let ports = [PORT, MASQUERADED].into_iter().flat_map(|port| [("-t", port), ("-u", port)]);
        let of_port = move |(protocol, port)| {
            let service = format!("{protocol} {service}:{port}");
            let to = backends.map(|ip| format!("-a {service} -r {ip}:{BACKEND} -m\n")).concat();
            format!("-A {service} -s rr\n{to}")
        };
        ports.map(of_port).collect::<String>()
    };
    let services =
        [("10.96.0.10", ["10.201.1.2", "10.201.2.2"]), ("[fd96::10]", ["[fd01::2]", "[fd02::2]"])];
    let rules: String = services.into_iter().map(rules).collect();
    feed(node, Command::new("ipvsadm").arg("-R"), &rules);
    node.sysctl("ipv4/vs/conntrack", "1").unwrap();
}

fn feed(node: &Netns, command: &mut Command, input: &str) {
    let name = command.get_program().to_owned();
    let mut child = node.spawn(command.stdin(Stdio::piped())).expect("the command");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{name:?}");
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

pub fn call(service: SocketAddr) -> (TcpStream, Dial, Choice) {
    converse(TcpStream::connect_timeout(&service, Duration::from_secs(10)).unwrap(), service)
}

pub fn converse(mut stream: TcpStream, service: SocketAddr) -> (TcpStream, Dial, Choice) {
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
pub fn call_from(client: SocketAddr, service: SocketAddr) -> (TcpStream, Dial, Choice) {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    set_socket_reuseaddr(socket.as_fd(), true).unwrap();
    set_socket_linger(socket.as_fd(), Some(Duration::ZERO)).unwrap();
    bind(&socket, &client).unwrap();
    connect(&socket, &service).unwrap();
    converse(TcpStream::from(socket), service)
}

pub fn ask(service: SocketAddr) -> (Dial, Choice) {
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

pub fn look_up(conntrack: &mut Kernel, dials: &[Dial]) -> Vec<Option<Choice>> {
    let mut found = Vec::new();
    conntrack.look_up(dials, &mut found).unwrap();
    found
}
