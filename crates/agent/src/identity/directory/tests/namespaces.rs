//! What carries only a network namespace, and pods of other agents.

use model::Change;

use super::bench::{Bench, C, D, pod, scope, slice, uid};

const DROP: &str = "0@9 0.0.0.0:0 < 1.1.1.1:0 drop";

#[test]
fn a_pod_that_showed_no_socket_is_found_by_its_process() {
    let path = scope("cart", C);
    let mut bench = Bench::with(|_| {}, &[&path]);
    bench.process_in(41, &path, 9);
    bench.change(pod("cart", "10.1.0.1").container(C, "app"));
    bench.see(DROP);
    bench.see(DROP);
    bench.delivered(&["External world > shop/cart/-"; 2]);
    let counters = bench.counters();
    assert_eq!((counters.namespace_reads, counters.parked_total), (1, 0));
    assert_eq!(counters.unattributed_total(), 0);
}

#[test]
fn the_process_comes_late() {
    let mut bench = Bench::new();
    let path = scope("cart", C);
    bench.directory_in_hierarchy(&path);
    bench.processes_in(&path, "");
    bench.created(7, "cart", C);
    bench.change(pod("cart", "10.1.0.1").container(C, "app"));
    bench.see(DROP);
    bench.wait_ms(300);
    bench.delivered(&[]);
    bench.process_in(41, &path, 9);
    bench.wait_ms(500);
    bench.delivered(&["External world > shop/cart/-"]);
    assert_eq!(bench.unattributed(), []);
}

#[test]
fn a_socket_shows_the_namespace_first() {
    let mut bench = Bench::new();
    bench.change(pod("cart", "10.1.0.1").container(C, "app"));
    bench.created(7, "cart", C);
    bench.see(DROP);
    bench.delivered(&[]);
    bench.see("7@9 10.1.0.1:4000 > 1.1.1.1:443 opened");
    bench.wait_ms(1);
    let mut found = bench.ports();
    found.sort_unstable();
    assert_eq!(found, [0, 4000]);
    let counters = bench.counters();
    assert_eq!((counters.patched, counters.unattributed_total()), (1, 0));
}

#[test]
fn a_namespace_that_is_nobodys_is_given_up_and_not_waited_for_again() {
    let mut bench = Bench::new();
    bench.see(DROP);
    bench.wait_ms(2_000);
    bench.delivered(&["External world > -"]);
    assert_eq!(bench.unattributed(), [("no_owner", 1)]);
    bench.wait_ms(30_000);
    bench.see(DROP);
    bench.delivered(&["External world > -"]);
    // The address is the last resort.
    bench.change(pod("cart", "10.1.0.1"));
    bench.see("0@9 10.1.0.1:80 < 1.1.1.1:443 drop");
    bench.delivered(&["External world > shop/cart/-"]);
}

#[test]
fn a_namespace_of_no_container_goes_by_its_name() {
    let mut bench = Bench::new();
    let netns = bench.named_namespace("vpn");
    bench.change(pod("cart", "10.1.0.1"));
    let drop = |local: &str| format!("0@{netns} {local} < 1.1.1.1:0 drop");
    bench.see(&drop("0.0.0.0:0"));
    bench.delivered(&[]);
    bench.wait_ms(2_000);
    bench.delivered(&["External world > NetworkNamespace vpn"]);
    bench.see(&drop("10.1.0.1:80"));
    bench.wait_ms(2_000);
    bench.delivered(&["External world > shop/cart/-"]);
    assert_eq!(bench.unattributed(), []);
}

#[test]
fn what_is_told_after_the_pod_is_gone_is_still_its_own() {
    let mut bench = Bench::new();
    bench.change(pod("cart", "10.1.0.1").container(C, "app"));
    bench.change(pod("db", "10.1.0.2").container(D, "sql"));
    bench.created(7, "cart", C);
    bench.see("7@9 10.1.0.1:4000 > 1.1.1.1:443 opened");
    bench.change(Change::PodGone { uid: uid("cart").into() });
    bench.removed(7);
    bench.see(DROP);
    bench.delivered(&["shop/cart/app > External world", "External world > shop/cart/-"]);
    // The number is the next one's as soon as a process of that shows it; late sockets do not take it back.
    let path = scope("db", D);
    bench.directory_in_hierarchy(&path);
    bench.process_in(42, &path, 9);
    bench.created(8, "db", D);
    bench.wait_ms(100);
    bench.see(DROP);
    bench.see("7@9 10.1.0.1:4000 > 1.1.1.1:443 closed");
    bench.see(DROP);
    bench.delivered(&[
        "External world > shop/db/-",
        "shop/cart/app > External world",
        "External world > shop/db/-",
    ]);
}

#[test]
fn pods_out_of_scope_are_left_out_and_counted() {
    let mine = format!("/mine{}", scope("cart", C));
    let theirs = format!("/theirs{}", scope("db", D));
    let silent = format!("/theirs{}", scope("web", D));
    let mut bench = Bench::with(|config| config.scope = "/mine".into(), &[&mine, &theirs, &silent]);
    let [mine, theirs, _] = bench.seeded[..] else { panic!("{:?}", bench.seeded) };
    bench.change(pod("cart", "10.1.0.1").container(C, "app"));
    bench.process_in(42, &silent, 11);
    bench.see(&format!("{mine}@9 10.1.0.1:1 > 1.1.1.1:443 opened"));
    bench.see(&format!("{theirs}@10 10.2.0.1:2 > 1.1.1.1:443 opened"));
    bench.see("0@10 10.2.0.1:0 < 1.1.1.1:0 drop");
    bench.see("0@11 10.2.0.2:0 < 1.1.1.1:0 drop");
    // The other end of such a pod's connection to the host is the host's, and stays.
    bench.see("99@1!sshd 192.168.7.7:22 < 10.2.0.1:3 accepted");
    bench.cgroup(99, "/system.slice/ssh.service");
    bench.wait_ms(3_000);
    bench
        .delivered(&["shop/cart/app > External world", "External world > SystemdUnit ssh.service"]);
    let counters = bench.counters();
    assert_eq!((counters.out_of_scope, counters.records), (3, 2));
    assert_eq!(counters.unattributed_total(), 0);
}

#[test]
fn a_cgroup_out_of_scope_may_come_late() {
    let mut bench = Bench::with(|config| config.scope = "/mine".into(), &[]);
    bench.see("7@9 10.1.0.1:1 > 1.1.1.1:443 opened");
    bench.delivered(&[]);
    bench.cgroup(7, &format!("/theirs{}", slice("db")));
    bench.wait_ms(1);
    bench.delivered(&[]);
    let counters = bench.counters();
    assert_eq!((counters.out_of_scope, counters.patched, counters.parked), (1, 1, 0));
    assert_eq!(counters.unattributed_total(), 0);
}
