//! Pods on a simulated node: their own network and cgroup, connected, and gone without a trace. Needs root.

// Functions that tests share are tests, too.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;
use std::thread;

use sim::{Cgroup, Layout, Netns, Node, OUTSIDE_V4, Pod, PodSpec, Qos, random};

/// Everything on this host by which one instance could be told.
fn traces(node: &Node) -> BTreeSet<String> {
    let instance = node.instance();
    let (netns, link) = (instance.netns_name(""), instance.host_link());
    let mut found = BTreeSet::new();
    let mut list = |directory: &Path, keep: &dyn Fn(&str) -> bool| {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let name = entry.file_name().into_string().unwrap_or_default();
            if keep(&name) {
                // A name can be taken again by another test; the inode tells them apart.
                let inode = fs::symlink_metadata(entry.path()).map(|m| m.ino()).unwrap_or_default();
                found.insert(format!("{} {inode}", entry.path().display()));
            }
        }
    };
    list(Path::new("/run/netns"), &|name| name.starts_with(&netns));
    list(Path::new("/sys/class/net"), &|name| name == link);
    list(instance.cgroup().parent().unwrap(), &|name| instance.cgroup().ends_with(name));
    list(instance.directory().parent().unwrap(), &|name| instance.directory().ends_with(name));
    found
}

#[test]
fn a_pod_has_its_own_network_and_cgroup() {
    let node = Node::start().unwrap();
    let spec = PodSpec { layout: Layout::Crio, qos: Qos::Guaranteed, ..PodSpec::new("a") };
    let pod = node.pod(spec).unwrap();
    let container = pod.container(random::container_id()).unwrap();
    // Reads a line before it ends: it lives until we have looked.
    let mut child = pod.spawn(container.command("/bin/cat").stdin(Stdio::piped())).unwrap();
    // The shell that joins the cgroup becomes the program only after it has joined.
    let comm = format!("/proc/{}/comm", child.id());
    while fs::read_to_string(&comm).unwrap().trim() != "cat" {
        thread::yield_now();
    }
    let netns = fs::metadata(format!("/proc/{}/ns/net", child.id())).unwrap().ino();
    assert_eq!(netns, pod.netns().unwrap().inode().unwrap());
    assert_ne!(netns, fs::metadata("/proc/self/ns/net").unwrap().ino());
    let groups = fs::read_to_string(format!("/proc/{}/cgroup", child.id())).unwrap();
    let path = groups.lines().find_map(|line| line.strip_prefix("0::")).unwrap();
    assert!(path.contains("/kubepods.slice/kubepods-pod"), "{path}");
    assert!(path.ends_with(&format!("/crio-{}.scope", container.id())), "{path}");
    let directory = sim::cgroup_mount().unwrap().join(path.trim_start_matches('/'));
    assert_eq!(fs::metadata(directory).unwrap().ino(), container.cgroup().id());

    drop(container);
    let status = child.wait().unwrap();
    assert!(!status.success(), "a container's end kills its processes: {status}");
}

#[test]
fn pods_reach_each_other_services_the_node_and_the_outside() {
    let node = Node::start().unwrap();
    let service = node.plan().service_v4(99);
    let server = PodSpec { service_ips: vec![service], ..PodSpec::new("server") };
    let pods = node.pods(vec![server, PodSpec::new("client")]).unwrap();
    let [server, client] = pods.as_slice() else { panic!("two pods were asked for") };
    node.route_services(&[(service, vec![server.v4().unwrap()])]).unwrap();
    let host = PodSpec { host_network: true, ..PodSpec::new("host") };
    let host = node.pod(host).unwrap();
    assert_eq!(host.ips(), node.ips());

    let answer = |listener: &TcpListener| {
        let (mut stream, peer) = listener.accept().unwrap();
        stream.write_all(b"hello").unwrap();
        peer.ip().to_canonical()
    };
    let ask = |address: SocketAddr| {
        let mut text = String::new();
        TcpStream::connect(address).unwrap().read_to_string(&mut text).unwrap();
        text
    };
    let check = |from: &Pod, to: IpAddr, expected: Option<IpAddr>| {
        let listen = |ip: IpAddr| TcpListener::bind((ip, 0)).unwrap();
        let listener = match to {
            IpAddr::V4(OUTSIDE_V4) => node.outside().run(|| listen(to)).unwrap(),
            to if node.ips().contains(&to) => listen(to),
            to => server.run(|| listen(to)).unwrap(),
        };
        let address = listener.local_addr().unwrap();
        let peer = thread::scope(|scope| {
            let served = scope.spawn(|| answer(&listener));
            assert_eq!(from.run(|| ask(address)).unwrap(), "hello", "to {to}");
            served.join().unwrap()
        });
        if let Some(expected) = expected {
            assert_eq!(peer, expected, "the peer of {to}");
        }
    };
    let v6 = server
        .v6()
        .expect("this test needs IPv6 on the host: sysctl net.ipv6.conf.all.disable_ipv6=0");
    check(client, server.v4().unwrap().into(), client.v4().map(IpAddr::V4));
    check(client, v6.into(), client.v6().map(IpAddr::V6));
    check(client, service.into(), client.v4().map(IpAddr::V4));
    check(client, OUTSIDE_V4.into(), client.v4().map(IpAddr::V4));
    check(client, node.plan().node_v4().into(), client.v4().map(IpAddr::V4));
    check(&host, server.v4().unwrap().into(), Some(node.plan().node_v4().into()));
    check(&host, service.into(), None);
}

#[test]
fn the_next_pod_gets_the_address_of_the_last() {
    let node = Node::start().unwrap();
    let witness = node.pod(PodSpec::new("witness")).unwrap();
    let reach = |pod: &Pod| {
        let address = pod.v4().unwrap();
        let listener = pod.run(|| TcpListener::bind((address, 80)).unwrap()).unwrap();
        let connected = witness.run(|| TcpStream::connect((address, 80)).map(drop)).unwrap();
        connected.unwrap();
        listener.accept().unwrap();
        address
    };
    let before = node.pod(PodSpec::new("before")).unwrap();
    let address = reach(&before);
    drop(before);
    let after = node.pod(PodSpec::new("after")).unwrap();
    assert_eq!(reach(&after), address);
}

#[test]
fn a_pod_that_ends_takes_everything_with_it() {
    let node = Node::start().unwrap();
    let pod = node.pod(PodSpec::new("brief")).unwrap();
    let container = pod.container(random::container_id()).unwrap();
    // A child that outlives its parent, as daemons do.
    let command = &mut container.command("/bin/sh");
    let command = command.args(["-c", "sleep 1000 >/dev/null & echo $!"]).stdout(Stdio::piped());
    let parent = pod.spawn(command).unwrap().wait_with_output().unwrap();
    let orphan = String::from_utf8(parent.stdout).unwrap();
    assert!(Path::new("/proc").join(orphan.trim()).join("exe").exists(), "{orphan} runs");
    let (netns, cgroup) = (pod.netns().unwrap().path(), pod.cgroup().path().to_owned());
    assert!(netns.exists() && cgroup.exists());
    drop(container);
    drop(pod);
    assert!(!netns.exists() && !cgroup.exists());
    // A zombie has no executable any more.
    assert!(
        !Path::new("/proc").join(orphan.trim()).join("exe").exists(),
        "process {orphan} lives on"
    );
}

#[test]
fn a_node_leaves_nothing() {
    let node = Node::start().unwrap();
    let pod = node.pod(PodSpec::new("a")).unwrap();
    let container = pod.container(random::container_id()).unwrap();
    let mut child = pod.spawn(container.command("/bin/sleep").arg("1000")).unwrap();
    let before = traces(&node);
    let kinds = ["/run/netns/", "/sys/class/net/", "/amphipod-", "/run/amphipod/demo/"];
    for kind in kinds {
        assert!(before.iter().any(|trace| trace.contains(kind)), "{kind} in {before:?}");
    }
    drop((container, pod, node));
    let left: Vec<_> = before.iter().filter(|trace| still_the_same(trace)).collect();
    assert!(left.is_empty(), "{left:?}");
    child.wait().unwrap();
}

/// Whether the thing in `trace` is there with the same inode.
fn still_the_same(trace: &str) -> bool {
    let (path, inode) = trace.split_once(' ').unwrap();
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.ino().to_string() == inode)
}

#[test]
fn two_nodes_live_side_by_side() {
    let (first, second) = (Node::start().unwrap(), Node::start().unwrap());
    assert_ne!(first.instance().place(), second.instance().place());
    let spec = || PodSpec::new("same");
    let (a, b) = (first.pod(spec()).unwrap(), second.pod(spec()).unwrap());
    assert_ne!(a.ips(), b.ips());
    let reach = |pod: &Pod| {
        let listener = pod.run(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, 80)).unwrap()).unwrap();
        TcpStream::connect((pod.v4().unwrap(), 80)).unwrap();
        listener.accept().unwrap();
    };
    reach(&a);
    drop((a, first));
    reach(&b);
}

#[test]
fn a_namespace_without_a_node() {
    let name = format!("sim-test-{}", random::suffix(6));
    let netns = Netns::create(&name).unwrap();
    let peer = Netns::create(&format!("{name}-peer")).unwrap();
    let lines = [
        format!("link add name east type veth peer name west netns {}", peer.name()),
        "addr add 192.0.2.1/24 dev east".to_owned(),
        "link set dev east up".to_owned(),
    ];
    netns.ip(&lines).unwrap();
    peer.ip(&["addr add 192.0.2.2/24 dev west".to_owned(), "link set dev west up".to_owned()])
        .unwrap();
    let listener = peer.run(|| TcpListener::bind("192.0.2.2:80").unwrap()).unwrap();
    netns.run(|| TcpStream::connect("192.0.2.2:80").unwrap()).unwrap();
    listener.accept().unwrap();
    let path = netns.path();
    drop(netns);
    assert!(!path.exists());
    let error = peer.ip(&["link set dev nowhere up".to_owned()]).unwrap_err().to_string();
    assert!(error.starts_with(&format!("ip -n {name}-peer link set dev nowhere up: ")), "{error}");
}

#[test]
fn a_cgroup_without_a_node() {
    let path = sim::cgroup_mount().unwrap().join(format!("sim-test-{}", random::suffix(6)));
    let cgroup = Cgroup::create(path.clone()).unwrap();
    let mut child = cgroup.command("/bin/cat").stdin(Stdio::piped()).spawn().unwrap();
    drop(cgroup);
    assert!(!path.exists());
    assert!(!child.wait().unwrap().success(), "either killed, or too late to join");
}
