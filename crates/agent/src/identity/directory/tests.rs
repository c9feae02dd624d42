mod backends;
mod bench;
mod interest;
mod kernel;
mod namespaces;
mod properties;

pub use bench::observation;
use bench::{Bench, C, D, NODE_IP, pod};
use model::Change;

use super::*;

#[test]
fn both_ends_by_cgroup_and_address() {
    let mut bench = Bench::new();
    bench.change(pod("cart", "10.1.0.1").container(C, "app"));
    bench.change(pod("db", "10.1.0.2").elsewhere());
    bench.created(7, "cart", C);
    bench.see("7@9 10.1.0.1:4000 > 10.1.0.2:5432 opened");
    bench.see("7@9 10.1.0.1:80 < 10.1.0.2:4001 accepted");
    bench.see("7@9 10.1.0.1:4000 > 1.1.1.1:443 closed");
    bench.see("7@9 10.1.0.1:4000 > [fe80::1]:443 closed");
    bench.see("7@9 10.1.0.1:4000 > 224.0.0.251:5353 flow");
    bench.delivered(&[
        "shop/cart/app > shop/db/-",
        "shop/db/- > shop/cart/app",
        "shop/cart/app > External world",
        "shop/cart/app > -",
        "shop/cart/app > External multicast",
    ]);
    assert_eq!(bench.counters().parked_total, 0);
}

#[test]
fn the_pod_comes_late() {
    let mut bench = Bench::new();
    bench.created(7, "cart", C);
    bench.see("7@9 10.1.0.1:4000 > 1.1.1.1:443 opened");
    bench.see("7@9 10.1.0.1:4000 > 1.1.1.1:443 closed");
    bench.wait_ms(1_900);
    bench.delivered(&[]);
    bench.change(pod("cart", "10.1.0.1").container(C, "app"));
    bench.see("7@9 10.1.0.1:4001 > 1.1.1.1:443 opened");
    bench.delivered(&["shop/cart/app > External world"; 3]);
    assert_eq!(bench.ports(), [4000, 4000, 4001], "in order of arrival");
    let counters = bench.counters();
    assert_eq!((counters.patched, counters.given_up, counters.parked), (2, 0, 0));
    assert_eq!(counters.unattributed_total(), 0);
}

#[test]
fn the_pod_never_comes() {
    let mut bench = Bench::new();
    bench.created(7, "cart", C);
    bench.see("7@9 10.1.0.1:4000 > 1.1.1.1:443 opened");
    bench.wait_ms(1_999);
    bench.delivered(&[]);
    bench.wait_ms(1);
    bench.delivered(&[&format!("uid {}/{C} > External world", bench::uid("cart"))]);
    assert_eq!(bench.unattributed(), [("unknown_pod", 1)]);
    assert_eq!(bench.counters().given_up, 1);
    // Later it does, and then records are named again.
    bench.change(pod("cart", "10.1.0.1"));
    bench.see("7@9 10.1.0.1:4000 > 1.1.1.1:443 closed");
    bench.delivered(&[&format!("shop/cart/{C} > External world")]);
}

#[test]
fn the_cgroup_comes_late() {
    let mut bench = Bench::new();
    bench.change(pod("cart", "10.1.0.1").container(C, "app"));
    bench.see("7@9 10.1.0.1:4000 > 1.1.1.1:443 opened");
    bench.wait_ms(500);
    bench.delivered(&[]);
    bench.created(7, "cart", C);
    bench.wait_ms(1);
    bench.delivered(&["shop/cart/app > External world"]);
    // An id that never appears is given up, and counted.
    bench.see("8@10 10.1.0.1:4000 > 1.1.1.1:443 opened");
    bench.wait_ms(2_000);
    bench.delivered(&["- > External world"]);
    assert_eq!(bench.unattributed(), [("unknown_cgroup", 1)]);
    // After half a minute nobody waits for it any longer.
    bench.wait_ms(30_000);
    bench.see("8@10 10.1.0.1:4000 > 1.1.1.1:443 closed");
    bench.delivered(&["- > External world"]);
}

#[test]
fn cgroup_then_pod_is_one_wait() {
    let mut bench = Bench::new();
    bench.see("7@9 10.1.0.1:4000 > 1.1.1.1:443 opened");
    bench.wait_ms(500);
    bench.created(7, "cart", C);
    bench.wait_ms(500);
    bench.delivered(&[]);
    bench.change(pod("cart", "10.1.0.1").container(C, "app"));
    bench.wait_ms(1);
    bench.delivered(&["shop/cart/app > External world"]);
    let counters = bench.counters();
    assert_eq!((counters.parked_total, counters.patched), (1, 1));
}

#[test]
fn a_container_shorter_than_the_notice() {
    let mut bench = Bench::new();
    bench.created(7, "cart", C);
    bench.see("7@9 10.1.0.1:4000 > 1.1.1.1:443 opened");
    bench.removed(7);
    bench.wait_ms(300);
    bench.change(pod("cart", "10.1.0.1").container(C, "app"));
    bench.change(Change::PodGone { uid: bench::uid("cart").into() });
    bench.see("7@9 10.1.0.1:4000 > 1.1.1.1:443 closed");
    bench.delivered(&["shop/cart/app > External world"; 2]);
    assert_eq!(bench.counters().unattributed_total(), 0);
}

#[test]
fn the_sandbox_and_an_unlisted_container_are_the_pods() {
    let mut bench = Bench::new();
    bench.change(pod("cart", "10.1.0.1").container(C, "app"));
    bench.created(8, "cart", D);
    bench.see("8@9 10.1.0.1:4000 > 1.1.1.1:443 opened");
    bench.cgroup(9, &format!("{}/cri-containerd-{C}.scope/init.scope", bench::slice("cart")));
    bench.see("9@9 10.1.0.1:4000 > 1.1.1.1:443 opened");
    bench.cgroup(10, &bench::slice("cart"));
    bench.see("10@9 10.1.0.1:4000 > 1.1.1.1:443 opened");
    bench.delivered(&[
        &format!("shop/cart/{D} > External world"),
        "shop/cart/app > External world",
        "shop/cart/- > External world",
    ]);
}

#[test]
fn a_reused_cgroup_id() {
    let mut bench = Bench::new();
    bench.change(pod("cart", "10.1.0.1").container(C, "app"));
    bench.change(pod("db", "10.1.0.2").container(D, "sql"));
    bench.created(7, "cart", C);
    let before = bench.now;
    bench.wait_ms(10);
    bench.removed(7);
    bench.wait_ms(10);
    bench.created(7, "db", D);
    bench.wait_ms(10);
    bench.see("7@9 10.1.0.2:4000 > 1.1.1.1:443 opened");
    bench.see_at(before, "7@9 10.1.0.1:4000 > 1.1.1.1:443 closed");
    bench.delivered(&["shop/db/sql > External world", "shop/cart/app > External world"]);
}

#[test]
fn a_reused_address_within_a_second() {
    let mut bench = Bench::new();
    bench.change(pod("one", "10.1.0.1"));
    bench.change(pod("client", "10.1.0.9").container(D, "curl"));
    bench.created(7, "client", D);
    bench.see("7@9 10.1.0.9:1 > 10.1.0.1:80 opened");
    let before = bench.now;
    bench.wait_ms(100);
    bench.change(Change::PodGone { uid: bench::uid("one").into() });
    bench.wait_ms(100);
    // Between the two it may be the next one's already: that is waited for.
    bench.see("7@9 10.1.0.9:2 > 10.1.0.1:80 opened");
    bench.wait_ms(100);
    bench.change(pod("two", "10.1.0.1"));
    bench.see("7@9 10.1.0.9:3 > 10.1.0.1:80 opened");
    bench.see_at(before, "7@9 10.1.0.9:1 > 10.1.0.1:80 closed");
    bench.delivered(&[
        "shop/client/curl > shop/one/-",
        "shop/client/curl > shop/two/-",
        "shop/client/curl > shop/two/-",
        "shop/client/curl > shop/one/-",
    ]);
}

#[test]
fn a_reused_address_by_the_socket_before_the_feed() {
    let mut bench = Bench::new();
    bench.change(pod("one", "10.1.0.1"));
    bench.change(pod("client", "10.1.0.9").container(D, "curl"));
    bench.change(pod("two", "").container(C, "web"));
    bench.created(7, "client", D);
    bench.created(8, "two", C);
    bench.wait_ms(10);
    // The feed still says that the address is `one`'s.
    bench.see("8@10 10.1.0.1:80 < 10.1.0.9:1 accepted");
    bench.see("7@9 10.1.0.9:1 > 10.1.0.1:80 opened");
    bench.delivered(&["shop/client/- > shop/two/web", "shop/client/curl > shop/two/-"]);
}

#[test]
fn a_young_client_is_named_at_the_server() {
    let mut bench = Bench::new();
    bench.change(pod("web", "10.1.0.1").container(C, "nginx"));
    bench.created(7, "web", C);
    // Unknown, but next to a pod.
    bench.see("7@9 10.1.0.1:80 < 10.1.0.5:4000 accepted");
    bench.delivered(&[]);
    bench.created(8, "young", D);
    bench.see("8@10 10.1.0.5:4000 > 10.1.0.1:80 opened");
    bench.wait_ms(500);
    bench.delivered(&[]);
    bench.change(pod("young", "").container(D, "curl"));
    bench.wait_ms(1);
    bench.delivered(&["shop/young/- > shop/web/nginx", "shop/young/curl > shop/web/-"]);
    // One that never comes is waited for once.
    bench.see("7@9 10.1.0.1:80 < 10.1.0.77:1 accepted");
    bench.wait_ms(1_000);
    bench.see("7@9 10.1.0.1:80 < 10.1.0.77:2 accepted");
    bench.delivered(&[]);
    bench.wait_ms(1_000);
    bench.see("7@9 10.1.0.1:80 < 10.1.0.77:3 accepted");
    bench.delivered(&["External world > shop/web/nginx"; 3]);
    assert_eq!(bench.ports(), [1, 2, 3]);
    assert_eq!(bench.counters().unresolved_remotes, 3);
}

#[test]
fn records_from_before_the_first_list_wait_for_their_remote() {
    let mut bench = Bench::unsynced();
    bench.change(pod("cart", "10.1.0.1").container(C, "app"));
    bench.created(7, "cart", C);
    bench.see("7@9 10.1.0.1:4000 > 10.99.0.1:80 opened");
    bench.see("7@9 10.1.0.1:4000 > 1.1.1.1:80 opened");
    bench.delivered(&[]);
    bench.change(Change::Service(model::Service {
        namespace: "shop".into(),
        name: "db".into(),
        ips: vec!["10.99.0.1".parse().unwrap()],
    }));
    bench.change(Change::Synced);
    bench.wait_ms(1);
    bench.delivered(&["shop/cart/app > service shop/db", "shop/cart/app > External world"]);
    bench.change(Change::ServiceGone { namespace: "shop".into(), name: "db".into() });
    bench.wait_ms(120_000);
    bench.wait_ms(1);
    bench.see("7@9 10.1.0.1:4000 > 10.99.0.1:80 opened");
    bench.delivered(&["shop/cart/app > External world"]);
}

#[test]
fn host_network_pods_by_cgroup_never_by_address() {
    let mut bench = Bench::new();
    bench.change(pod("cart", "10.1.0.1").container(C, "app"));
    bench.change(pod("exporter", NODE_IP).container(D, "exporter").host_network());
    bench.change(pod("proxy", NODE_IP).host_network());
    bench.change(pod("far", "192.168.7.8").elsewhere().host_network());
    bench.created(7, "cart", C);
    bench.created(8, "exporter", D);
    bench.cgroup(11, "/system.slice/kubelet.service");
    // The peer's own record tells; here it comes second.
    bench.see("7@9 10.1.0.1:4000 > 192.168.7.7:9100 opened");
    bench.delivered(&[]);
    bench.see("8@1 192.168.7.7:9100 < 10.1.0.1:4000 accepted");
    bench.delivered(&[
        "shop/cart/app > shop/exporter/exporter",
        "shop/cart/- > shop/exporter/exporter",
    ]);
    // Here first.
    bench.see("11@1 192.168.7.7:5000 > 10.1.0.1:80 opened");
    bench.see("7@9 10.1.0.1:80 < 192.168.7.7:5000 accepted");
    bench.delivered(&[
        "SystemdUnit kubelet.service > shop/cart/-",
        "SystemdUnit kubelet.service > shop/cart/app",
    ]);
    // And here never: nobody listens, or it is forwarded.
    bench.see("7@9 10.1.0.1:4001 > 192.168.7.7:81 failed");
    bench.see("7@9 10.1.0.1:4002 > 192.168.7.8:81 opened");
    bench.see("7@9 10.1.0.1:4003 > 192.168.7.7:30080 opened");
    bench.wait_ms(250);
    bench.delivered(&[
        "shop/cart/app > Host node",
        "shop/cart/app > Host other",
        "shop/cart/app > Host node",
    ]);
    // The host's namespace is not the pod's, whoever is seen in it.
    bench.see("0@1 192.168.7.7:1 > 1.1.1.1:53 opened");
    bench.delivered(&["Host node > External world"]);
    assert_eq!(bench.counters().unattributed_total(), 0);
}

#[test]
fn a_nodes_address_is_let_go_with_its_last_pod() {
    let mut bench = Bench::new();
    bench.change(pod("cart", "10.1.0.1").container(C, "app"));
    bench.created(7, "cart", C);
    // The feed repeats itself: that holds the address no more than once.
    for _ in 0..3 {
        bench.change(pod("far", "192.168.9.9").elsewhere().host_network());
    }
    bench.change(pod("farther", "192.168.9.9").elsewhere().host_network());
    let mut expect = |gone: &str, expected: &str| {
        bench.change(Change::PodGone { uid: bench::uid(gone).into() });
        bench.wait_ms(61_000);
        bench.wait_ms(61_000);
        bench.see("7@9 10.1.0.1:1 > 192.168.9.9:1 opened");
        bench.delivered(&[expected]);
    };
    expect("far", "shop/cart/app > Host other");
    expect("farther", "shop/cart/app > External world");
}

#[test]
fn a_changed_pod_changes_its_records() {
    let mut bench = Bench::new();
    bench.change(pod("cart", "10.1.0.1"));
    bench.created(7, "cart", C);
    bench.see("7@9 10.1.0.1:1 > 10.1.0.2:1 failed");
    bench.change(pod("cart", "10.1.0.1").container(C, "app"));
    bench.change(pod("db", "10.1.0.2"));
    bench.see("7@9 10.1.0.1:1 > 10.1.0.2:1 failed");
    // It moves to another address, and the other end's becomes a node's.
    bench.change(pod("cart", "10.1.0.3").container(C, "app"));
    bench.change(pod("db", "10.1.0.2").elsewhere().host_network());
    bench.wait_ms(1);
    bench.see("7@9 10.1.0.3:1 > 10.1.0.2:1 failed");
    bench.see("7@9 10.1.0.3:1 > 10.1.0.3:2 failed");
    bench.delivered(&[
        "shop/cart/app > shop/db/-",
        "shop/cart/app > shop/db/-",
        "shop/cart/app > Host other",
        "shop/cart/app > shop/cart/-",
    ]);
}

#[test]
fn an_address_added_to_the_host_is_found() {
    let mut bench = Bench::new();
    bench.change(pod("cart", "10.1.0.1").container(C, "app"));
    bench.created(7, "cart", C);
    bench.cgroup(11, "/system.slice/dns.service");
    bench.host_address("10.1.0.254");
    bench.wait_ms(1_000);
    bench.see("7@9 10.1.0.1:1 > 10.1.0.254:53 opened");
    bench.delivered(&[]);
    bench.see("11@1 10.1.0.254:53 < 10.1.0.1:1 accepted");
    bench.delivered(&[
        "shop/cart/app > SystemdUnit dns.service",
        "shop/cart/- > SystemdUnit dns.service",
    ]);
}

#[test]
fn loopback() {
    let mut bench = Bench::new();
    bench.change(pod("cart", "10.1.0.1").container(C, "app").container(D, "sidecar"));
    bench.created(7, "cart", C);
    bench.created(8, "cart", D);
    bench.cgroup(11, "/system.slice/kubelet.service");
    bench.cgroup(12, "/system.slice/containerd.service");
    // In a pod the other end is the pod's, and once its socket is known its container's.
    bench.see("7@9 127.0.0.1:4000 > 127.0.0.1:15001 opened");
    bench.see("8@9 127.0.0.1:15001 < 127.0.0.1:4000 accepted");
    bench.see("7@9 127.0.0.1:4000 > 127.0.0.1:15001 closed");
    bench.delivered(&[
        "shop/cart/app > shop/cart/-",
        "shop/cart/app > shop/cart/sidecar",
        "shop/cart/app > shop/cart/sidecar",
    ]);
    // On the host it is whoever owns the socket; the same ports in a pod are other sockets.
    bench.see("11@1 [::1]:4000 > [::1]:15001 opened");
    bench.see("12@1 [::1]:15001 < [::1]:4000 accepted");
    bench.see("12@1 127.0.0.1:15001 < 127.0.0.1:4000 flow");
    bench.wait_ms(250);
    bench.delivered(&[
        "SystemdUnit kubelet.service > SystemdUnit containerd.service",
        "SystemdUnit kubelet.service > SystemdUnit containerd.service",
        "Host node > SystemdUnit containerd.service",
    ]);
}

#[test]
fn a_port_used_again_is_another_peer() {
    let mut bench = Bench::new();
    bench.cgroup(10, "/system.slice/one.service");
    bench.cgroup(11, "/system.slice/two.service");
    bench.cgroup(12, "/system.slice/server.service");
    bench.see("10@1 127.0.0.1:4000 > 127.0.0.1:80 opened");
    bench.see("12@1 127.0.0.1:80 < 127.0.0.1:4000 accepted");
    bench.wait_ms(10);
    bench.see("10@1 127.0.0.1:4000 > 127.0.0.1:80 closed");
    bench.see("12@1 127.0.0.1:80 < 127.0.0.1:4000 closed");
    bench.wait_ms(10);
    bench.see("12@1 127.0.0.1:80 < 127.0.0.1:4000 accepted");
    bench.see("11@1 127.0.0.1:4000 > 127.0.0.1:80 opened");
    let (one, two) = (
        "SystemdUnit one.service > SystemdUnit server.service",
        "SystemdUnit two.service > SystemdUnit server.service",
    );
    bench.delivered(&[one, one, one, one, two, two]);
}

#[test]
fn mapped_addresses_are_plain() {
    let mut bench = Bench::new();
    bench.change(pod("cart", "::ffff:10.1.0.1").container(C, "app"));
    bench.change(pod("db", "10.1.0.2"));
    bench.created(7, "cart", C);
    bench.see("7@9 [::ffff:10.1.0.1]:4000 > [::ffff:10.1.0.2]:80 opened");
    assert_eq!(bench.out[0].source.ip, Some("10.1.0.1".parse().unwrap()));
    bench.delivered(&["shop/cart/app > shop/db/-"]);
}

#[test]
fn namespace_then_process() {
    let mut bench = Bench::new();
    bench.change(pod("cart", "10.1.0.1").container(C, "app"));
    bench.change(pod("db", "10.1.0.2").container(D, "sql"));
    bench.created(7, "cart", C);
    bench.process(500, &format!("0::{}/cri-containerd-{D}.scope\n", bench::slice("db")));
    bench.process(501, &format!("3:pids:/kubepods/pod{}/{D}\n0::/\n", bench::uid("db")));
    bench.see("7@9 10.1.0.1:1 > 1.1.1.1:1 opened");
    // Without a cgroup, its namespace tells the pod, whatever its address.
    bench.see("0@9 10.200.0.1:2 > 1.1.1.1:1 opened");
    // Without either, the process, also where it is in a v1 hierarchy only.
    bench.see("0@10#500 10.1.0.2:3 > 1.1.1.1:1 opened");
    bench.see("1@10#501 10.1.0.2:4 > 1.1.1.1:1 opened");
    // Without any, its name, or nobody.
    bench.see("0@77#999!curl 10.1.0.2:5 > 1.1.1.1:1 opened");
    bench.see("0@10#999 10.1.0.2:5 > 1.1.1.1:1 opened");
    bench.wait_ms(2_000);
    // The namespace's number is free when the pod is gone and forgotten.
    bench.change(Change::PodGone { uid: bench::uid("cart").into() });
    bench.wait_ms(31_000);
    bench.see("0@9 10.200.0.1:2 > 1.1.1.1:1 opened");
    bench.wait_ms(2_000);
    bench.delivered(&[
        "shop/cart/app > External world",
        "shop/cart/- > External world",
        "shop/db/sql > External world",
        "shop/db/sql > External world",
        "Process curl > External world",
        "- > External world",
        "- > External world",
    ]);
    assert_eq!(bench.unattributed(), [("no_owner", 2)]);
    assert_eq!(bench.counters().process_reads, 4);
}

#[test]
fn an_unknown_id_is_looked_up_by_process_and_by_a_walk() {
    let mut bench = Bench::new();
    bench.change(pod("cart", "10.1.0.1").container(C, "app").container(D, "side"));
    let below = format!("{}/cri-containerd-{C}.scope", bench::slice("cart"));
    let id = bench.directory_in_hierarchy(&below);
    bench.process(500, &format!("0::{below}\n"));
    bench.see(&format!("{id}@9#500 10.1.0.1:1 > 1.1.1.1:1 opened"));
    bench.delivered(&["shop/cart/app > External world"]);
    assert_eq!(bench.counters().rescans, 0);
    let id =
        bench.directory_in_hierarchy(&format!("{}/cri-containerd-{D}.scope", bench::slice("cart")));
    bench.see(&format!("{id}@9 10.1.0.1:1 > 1.1.1.1:1 opened"));
    bench.delivered(&["shop/cart/side > External world"]);
    assert_eq!(bench.counters().rescans, 1);
    // Ids that are nowhere do not make it walk for each.
    for unknown in 1_000..1_100 {
        bench.see(&format!("{}@99 10.1.0.1:1 > 1.1.1.1:1 opened", u64::MAX - unknown));
        bench.wait_ms(100);
    }
    assert!((2..=5).contains(&bench.counters().rescans), "{}", bench.counters().rescans);
}

#[test]
fn the_hierarchy_is_read_at_the_start() {
    let mut bench = Bench::with(
        |_| {},
        &[&format!("{}/cri-containerd-{C}.scope", bench::slice("cart")), "/system.slice/a.service"],
    );
    bench.change(pod("cart", "10.1.0.1").container(C, "app"));
    for id in bench.seeded.clone() {
        bench.see(&format!("{id}@9 10.1.0.1:1 > 1.1.1.1:1 opened"));
    }
    bench.delivered(&["shop/cart/app > External world", "SystemdUnit a.service > External world"]);
    assert_eq!(bench.counters().rescans, 0);
}

#[test]
fn standalone() {
    let mut bench = Bench::with(|config| config.mode = super::super::Mode::Standalone, &[]);
    bench.cgroup(7, &format!("/system.slice/docker-{C}.scope"));
    bench.cgroup(8, &format!("/system.slice/docker-{D}.scope"));
    bench.cgroup(10, "/system.slice/nginx.service");
    bench.cgroup(11, "/user.slice/user-1000.slice/session-3.scope");
    bench.cgroup(12, "/");
    let (one, two) = (&C[..12], &D[..12]);
    // Containers learn of each other by their sockets.
    bench.see("7@20 172.17.0.2:1 > 172.17.0.3:80 opened");
    bench.see("8@21 172.17.0.3:80 < 172.17.0.2:1 accepted");
    bench.see("11@1 127.0.0.1:1 > 127.0.0.1:80 opened");
    bench.see("10@1 127.0.0.1:80 < 127.0.0.1:1 accepted");
    bench.see("12@1!curl 192.168.7.7:1 > 1.1.1.1:443 opened");
    bench.see("7@20 172.17.0.2:2 > 172.17.0.200:80 opened");
    bench.wait_ms(250);
    bench.delivered(&[
        &format!("Container {one} > Container {two}"),
        &format!("Container {one} > Container {two}"),
        "Session session-3 > SystemdUnit nginx.service",
        "Session session-3 > SystemdUnit nginx.service",
        "Process curl > External world",
        &format!("Container {one} > External world"),
    ]);
}

#[test]
fn a_dropped_packet_without_a_socket() {
    let mut bench = Bench::new();
    bench.change(pod("cart", "10.1.0.1"));
    bench.see("0@0 10.1.0.1:80 < 1.1.1.1:1 drop");
    bench.see("0@0 192.168.7.7:80 < 1.1.1.1:1 drop");
    bench.see("0@0 0.0.0.0:0 < 1.1.1.1:1 drop");
    bench.delivered(&[
        "External world > shop/cart/-",
        "External world > Host node",
        "External world > -",
    ]);
    assert_eq!(bench.unattributed(), [("no_owner", 1)]);
}

#[test]
fn the_park_is_bounded_and_the_oldest_leave() {
    let mut bench = Bench::with(|config| config.limits.parked = 10, &[]);
    bench.created(7, "cart", C);
    for port in 0..25 {
        bench.see(&format!("7@9 10.1.0.1:{port} > 1.1.1.1:443 opened"));
    }
    assert_eq!(bench.ports(), (0..15).collect::<Vec<_>>());
    assert_eq!(bench.unattributed(), [("park_full", 15)]);
    let counters = bench.counters();
    assert_eq!((counters.parked, counters.parked_total), (10, 25));
    assert_eq!(counters.tables.iter().find(|table| table.name == "parked").unwrap().evicted, 15);
    bench.change(pod("cart", "10.1.0.1"));
    bench.wait_ms(1);
    assert_eq!(bench.ports(), (15..25).collect::<Vec<_>>());
    assert_eq!(bench.counters().patched, 10);
}

#[test]
fn nothing_stays_behind_at_the_end_or_when_the_clock_steps() {
    let mut bench = Bench::new();
    bench.created(7, "cart", C);
    bench.see("7@9 10.1.0.1:1 > 1.1.1.1:443 opened");
    bench.now = Timestamp(bench.now.0 - 3_600_000_000_000);
    bench.wait_ms(0);
    bench.wait_ms(1_999);
    assert!(bench.ports().is_empty());
    bench.wait_ms(1);
    assert_eq!(bench.ports(), [1]);
    bench.see("7@9 10.1.0.1:2 > 1.1.1.1:443 opened");
    let now = bench.now;
    let Bench { directory, out, .. } = &mut bench;
    directory.flush(now, &mut |record| out.push(record));
    assert_eq!(bench.ports(), [2]);
    assert!(bench.directory.pending.is_clear());
}

#[test]
fn hostile_paths_reach_nobody() {
    let mut bench = Bench::new();
    bench.cgroup(7, &format!("/system.slice/{}\u{1b}[2J\n.service", "x".repeat(4_000)));
    bench.cgroup(8, &"/\u{fffd}".repeat(1_000));
    bench.see("7@1 192.168.7.7:1 > 1.1.1.1:443 opened");
    bench.see("8@1!ev\x1bil 192.168.7.7:1 > 1.1.1.1:443 opened");
    for record in &bench.out {
        let name = &record.local().identity.as_ref().unwrap().workload.as_ref().unwrap().name;
        assert!(!name.chars().any(char::is_control), "{name:?}");
    }
    assert_eq!(bench.out.len(), 2);
}
