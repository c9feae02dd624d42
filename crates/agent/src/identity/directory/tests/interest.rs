//! Addresses that the feed is asked for.

use std::collections::BTreeMap;
use std::net::IpAddr;

use model::{Address, Change, Holder, Identity, Timestamp};
use proptest::prelude::*;

use super::super::super::Feed;
use super::bench::{Bench, C, D, NODE_IP, pod};

const SECOND: u64 = 1_000_000_000;

fn bench() -> Bench {
    let mut bench = Bench::asking(|_| {});
    bench.change(pod("cart", "10.1.0.1").container(C, "app"));
    bench.created(7, "cart", C);
    bench
}

pub fn answer(ip: &str, name: &str, since: Timestamp) -> Change {
    let identity = Identity {
        namespace: Some("far".into()),
        pod: Some(name.into()),
        pod_uid: Some(name.into()),
        ..Identity::default()
    };
    Change::Address(Address {
        ip: ip.parse().unwrap(),
        holder: Holder::Pod { uid: name.into() },
        identity: identity.into(),
        since,
    })
}

fn service(ip: &str, name: &str) -> Change {
    let namespace: std::sync::Arc<str> = "far".into();
    let identity = Identity {
        namespace: Some(namespace.clone()),
        service: Some(name.into()),
        ..Identity::default()
    };
    Change::Address(Address {
        ip: ip.parse().unwrap(),
        holder: Holder::Service { namespace, name: name.into() },
        identity: identity.into(),
        since: Timestamp(0),
    })
}

fn unknown(ip: &str) -> Change {
    Change::AddressUnknown { ip: ip.parse().unwrap() }
}

fn to(ip: &str) -> String {
    format!("7@9 10.1.0.1:4000 > {ip}:80 opened")
}

#[test]
fn a_record_waits_for_the_answer() {
    let mut bench = bench();
    bench.see(&to("10.2.0.1"));
    bench.see(&to("10.2.0.1"));
    bench.see(&to("10.1.0.1"));
    assert_eq!(bench.wishes(), ["10.2.0.1"], "each once, and nothing that is known");
    bench.delivered(&["shop/cart/app > shop/cart/-"]);
    bench.change(answer("10.2.0.1", "web", Timestamp(0)));
    bench.see(&to("10.2.0.1"));
    bench.delivered(&["shop/cart/app > far/web/-"; 3]);
    let counters = bench.counters();
    assert_eq!((counters.parked_total, counters.patched, counters.given_up), (2, 2, 0));
    assert_eq!((counters.interest.misses, counters.interest.known), (1, 1));
}

/// As IPVS needs it, a service's address is on a link of the node.
#[test]
fn an_address_on_a_link_of_the_node_may_be_a_services() {
    let mut bench = bench();
    bench.host_address("10.96.0.10");
    bench.wait_ms(60_000);
    bench.see(&to("10.96.0.10"));
    assert_eq!(bench.wishes(), ["10.96.0.10"]);
    bench.change(service("10.96.0.10", "web"));
    bench.wait_ms(1);
    bench.delivered(&["shop/cart/app > service far/web"]);
    // What is nobody's in the cluster is this node's.
    bench.see(&to(NODE_IP));
    assert_eq!(bench.wishes(), [NODE_IP]);
    bench.change(unknown(NODE_IP));
    bench.wait_ms(200);
    bench.see(&to(NODE_IP));
    bench.wait_ms(200);
    bench.delivered(&["shop/cart/app > Host node"; 2]);
    // Nobody can be asked: nobody is waited for.
    bench.change(Change::Stale);
    bench.host_address("10.96.0.11");
    bench.wait_ms(60_000);
    bench.see(&to("10.96.0.11"));
    bench.wait_ms(200);
    bench.delivered(&["shop/cart/app > Host node"]);
}

/// Where a service's address leads to the pod itself, its own socket shows that address, perhaps before the feed tells of
/// the pod.
#[test]
fn a_pod_seen_at_an_address_may_have_it_for_a_service() {
    let mut bench = bench();
    bench.created(8, "web", D);
    for address in ["10.1.0.2", "10.96.0.20", "10.1.0.3"] {
        bench.see(&format!("8@10 {address}:80 < 10.1.0.1:4000 accepted"));
    }
    bench.change(pod("web", "10.1.0.2").container(D, "app"));
    bench.wait_ms(1);
    bench.delivered(&["shop/cart/- > shop/web/app"; 3]);
    assert!(bench.wishes().is_empty());
    bench.see(&to("10.1.0.2"));
    bench.see(&to("10.96.0.20"));
    assert_eq!(bench.wishes(), ["10.96.0.20"], "the other is its own");
    bench.delivered(&["shop/cart/app > shop/web/-"]);
    bench.change(service("10.96.0.20", "web"));
    bench.wait_ms(1);
    bench.see(&to("10.96.0.20"));
    bench.delivered(&["shop/cart/app > service far/web"; 2]);
    // Nobody's as far as the feed knows: then it is the pod's.
    bench.see(&to("10.1.0.3"));
    bench.change(unknown("10.1.0.3"));
    bench.wait_ms(1);
    bench.see(&to("10.1.0.3"));
    bench.delivered(&["shop/cart/app > shop/web/-"; 2]);
    // Nobody can be asked: nobody is waited for.
    bench.change(Change::Stale);
    bench.see(&to("10.1.0.3"));
    bench.delivered(&["shop/cart/app > shop/web/-"]);
}

#[test]
fn a_service_outlives_all_pods_that_are_seen_at_its_address() {
    let mut bench = bench();
    bench.see(&to("10.96.0.20"));
    bench.change(service("10.96.0.20", "web"));
    bench.wait_ms(1);
    for (number, id) in (20..30).zip('0'..='9') {
        let (name, container) = (format!("web-{id}"), id.to_string().repeat(64));
        bench.created(number, &name, &container);
        bench.see(&format!("{number}@{number} 10.96.0.20:80 < 10.1.0.1:4000 accepted"));
        bench.change(pod(&name, &format!("10.1.1.{id}")).container(&container, "app"));
    }
    bench.wait_ms(1);
    let seen = (0..10).map(|number| format!("shop/cart/- > shop/web-{number}/app"));
    let expected: Vec<String> =
        ["shop/cart/app > service far/web".to_owned()].into_iter().chain(seen).collect();
    bench.delivered(&expected.iter().map(String::as_str).collect::<Vec<_>>());
    bench.see(&to("10.96.0.20"));
    bench.delivered(&["shop/cart/app > service far/web"]);
}

/// An old connection is not of the pod that has the address by now.
#[test]
fn who_had_an_address_before_its_holder_is_not_guessed() {
    let mut bench = bench();
    let start = bench.now;
    bench.see("7@9 10.1.0.1:80 < 10.2.0.1:4000 accepted");
    bench.change(answer("10.2.0.1", "web", start));
    bench.wait_ms(600_000);
    bench.delivered(&["far/web/- > shop/cart/app"]);
    bench.change(answer("10.2.0.1", "next", bench.now));
    bench.wait_ms(300_000);
    bench.see("7@9 10.1.0.1:80 < 10.2.0.1:4000 flow+900");
    bench.see("7@9 10.1.0.1:80 < 10.2.0.1:5000 flow+200");
    bench.delivered(&["- > shop/cart/app", "far/next/- > shop/cart/app"]);
}

#[test]
fn a_negative_answer_holds_until_another_comes() {
    let mut bench = bench();
    bench.see(&to("1.1.1.1"));
    bench.change(unknown("1.1.1.1"));
    bench.wait_ms(1);
    bench.delivered(&["shop/cart/app > External world"]);
    bench.see(&to("1.1.1.1"));
    bench.delivered(&["shop/cart/app > External world"]);
    assert_eq!(bench.counters().parked_total, 1, "not again");
    bench.change(answer("1.1.1.1", "web", Timestamp(0)));
    bench.see(&to("1.1.1.1"));
    bench.delivered(&["shop/cart/app > far/web/-"]);
    assert_eq!(bench.wishes(), ["1.1.1.1"]);
}

#[test]
fn an_answer_that_does_not_come_is_waited_for_once() {
    let mut bench = bench();
    bench.see(&to("10.2.0.1"));
    bench.wait_ms(1_999);
    bench.delivered(&[]);
    bench.wait_ms(1);
    bench.delivered(&["shop/cart/app > External world"]);
    bench.see(&to("10.2.0.1"));
    bench.delivered(&["shop/cart/app > External world"]);
    // Late is better than never.
    bench.change(answer("10.2.0.1", "web", Timestamp(0)));
    bench.see(&to("10.2.0.1"));
    bench.delivered(&["shop/cart/app > far/web/-"]);
    assert_eq!(bench.counters().parked_total, 1);
}

#[test]
fn an_answer_holds_only_in_its_interval() {
    let mut bench = bench();
    let start = bench.now;
    let at = |seconds: u64| Timestamp(start.0 + seconds * SECOND);
    bench.wait_ms(60_000);
    bench.see_at(at(5), &to("10.2.0.1"));
    bench.change(answer("10.2.0.1", "old", at(10)));
    bench.wait_ms(1);
    // Somebody's of the cluster, and nobody knows whose.
    bench.delivered(&["shop/cart/app > -"]);
    bench.see_at(at(20), &to("10.2.0.1"));
    bench.change(Change::AddressGone { ip: "10.2.0.1".parse().unwrap(), until: at(30) });
    bench.see_at(at(40), &to("10.2.0.1"));
    bench.see_at(at(29), &to("10.2.0.1"));
    bench.delivered(&[
        "shop/cart/app > far/old/-",
        "shop/cart/app > External world",
        "shop/cart/app > far/old/-",
    ]);
    // The next pod has it within the minute in which the last is remembered.
    bench.change(answer("10.2.0.1", "new", at(35)));
    for time in [20, 34, 50] {
        bench.see_at(at(time), &to("10.2.0.1"));
    }
    bench.delivered(&[
        "shop/cart/app > far/old/-",
        "shop/cart/app > far/new/-",
        "shop/cart/app > far/new/-",
    ]);
    // Without word of the first one's end.
    bench.change(answer("10.2.0.1", "third", at(55)));
    bench.see_at(at(50), &to("10.2.0.1"));
    bench.see_at(at(56), &to("10.2.0.1"));
    bench.delivered(&["shop/cart/app > far/new/-", "shop/cart/app > far/third/-"]);
}

#[test]
fn nobody_waits_while_the_feed_is_away() {
    let mut bench = bench();
    bench.see(&to("10.2.0.1"));
    bench.change(answer("10.2.0.1", "web", Timestamp(0)));
    bench.see(&to("10.2.0.2"));
    bench.created(8, "late", C);
    bench.see("8@10 10.1.0.9:1 > 10.2.0.1:80 opened");
    bench.delivered(&["shop/cart/app > far/web/-"]);
    bench.change(Change::Stale);
    bench.see(&to("10.2.0.1"));
    bench.see(&to("10.2.0.3"));
    bench.delivered(&[
        "shop/cart/app > External world",
        &format!("uid {}/{C} > far/web/-", super::bench::uid("late")),
        "shop/cart/app > far/web/-",
        "shop/cart/app > External world",
    ]);
    assert_eq!(bench.counters().stale_records, 4);
    assert_eq!(bench.wishes(), ["10.2.0.1", "10.2.0.2", "10.2.0.3"], "asked for later");
    bench.change(answer("10.2.0.3", "db", Timestamp(0)));
    bench.change(Change::Fresh);
    bench.see(&to("10.2.0.3"));
    bench.delivered(&["shop/cart/app > far/db/-"]);
    // What was not answered before may be waited for again.
    bench.see(&to("10.2.0.2"));
    bench.delivered(&[]);
    bench.change(unknown("10.2.0.2"));
    bench.wait_ms(1);
    bench.delivered(&["shop/cart/app > External world"]);
}

#[test]
fn nobody_waits_where_no_feed_is() {
    let mut bench = Bench::with(|config| config.feed = Feed::None, &[]);
    bench.created(7, "cart", C);
    bench.see(&to("10.2.0.1"));
    bench.see(&to("10.1.0.2"));
    let line = format!("uid {}/{C} > External world", super::bench::uid("cart"));
    bench.delivered(&[&line, &line]);
    assert_eq!(bench.counters().parked_total, 0);
    assert!(bench.wishes().is_empty());
}

#[test]
fn an_account_replaces_all_that_was_told() {
    let mut bench = bench();
    bench.change(pod("db", "10.1.0.2"));
    bench.see(&to("10.2.0.1"));
    bench.see(&to("10.2.0.2"));
    let now = bench.now;
    bench.change(answer("10.2.0.1", "web", Timestamp(0)));
    bench.change(answer("10.2.0.2", "api", Timestamp(0)));
    bench.wait_ms(1);
    bench.delivered(&["shop/cart/app > far/web/-", "shop/cart/app > far/api/-"]);
    bench.change(Change::Begin);
    bench.change(pod("cart", "10.1.0.1").container(C, "app"));
    bench.change(answer("10.2.0.2", "api", Timestamp(0)));
    bench.see(&to("10.2.0.1"));
    bench.delivered(&["shop/cart/app > far/web/-"]);
    bench.wait_ms(5_000);
    bench.change(Change::Synced);
    bench.wait_ms(5_000);
    bench.see(&to("10.2.0.1"));
    bench.see(&to("10.2.0.2"));
    bench.see_at(now, &to("10.2.0.1"));
    bench.delivered(&[
        "shop/cart/app > External world",
        "shop/cart/app > far/api/-",
        "shop/cart/app > far/web/-",
    ]);
    assert!(bench.directory.names.pods.is_gone(&super::bench::uid("db")));
    assert!(!bench.directory.names.pods.is_gone(&super::bench::uid("cart")));
}

#[test]
fn what_is_not_met_for_long_is_dropped_with_its_answer() {
    let mut bench = bench();
    bench.see(&to("10.2.0.1"));
    bench.change(answer("10.2.0.1", "web", Timestamp(0)));
    bench.wishes();
    let before = bench.counters().tables;
    for _ in 0..20 {
        bench.wait_ms(60_000);
    }
    assert_eq!(bench.wishes(), ["-10.2.0.1"]);
    assert_eq!(bench.counters().interest.wanted, 0);
    let addresses = |tables: &[super::Table]| {
        tables.iter().find(|table| table.name == "addresses").unwrap().entries
    };
    assert_eq!(addresses(&bench.counters().tables), addresses(&before) - 1);
    // An answer that crossed the farewell on its way is not kept.
    bench.change(answer("10.2.0.1", "web", Timestamp(0)));
    assert_eq!(bench.counters().interest.unasked, 1);
}

#[test]
fn what_is_asked_for_is_bounded() {
    let mut bench = Bench::asking(|config| config.limits.interest = 4);
    bench.created(7, "cart", C);
    bench.change(pod("cart", "10.1.0.1").container(C, "app"));
    for last in 0..50 {
        bench.see(&to(&format!("10.2.0.{last}")));
        bench.change(answer(&format!("10.2.0.{last}"), "web", Timestamp(0)));
    }
    let counters = bench.counters();
    assert_eq!(counters.interest.wanted, 4);
    let table = counters.tables.iter().find(|table| table.name == "interest").unwrap();
    assert_eq!((table.entries, table.max_entries, table.evicted), (4, 4, 46));
    let wishes = bench.wishes();
    assert_eq!(wishes.iter().filter(|wish| wish.starts_with('-')).count(), 46);
    let answered: Vec<_> = (0..=255)
        .map(|last| IpAddr::from([10, 2, 0, last]))
        .filter(|ip| held(&bench, *ip))
        .collect();
    assert_eq!(answered.len(), 4, "forgotten with the interest");
}

fn held(bench: &Bench, ip: IpAddr) -> bool {
    use super::super::super::address::Found;
    matches!(
        bench.directory.names.addresses.lookup(ip, bench.now),
        Found::Held { answered: true, .. }
    )
}

#[derive(Clone, Debug)]
enum Step {
    See(u8),
    /// The cluster gives the address to a pod, or to nobody.
    Give(u8, Option<u8>),
    /// The stream breaks; what happens is not told until it is back.
    Break,
    /// Back with the difference, or with an account of everything.
    Back(bool),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..6u8).prop_map(Step::See),
        4 => (0..6u8, prop::option::of(0..4u8)).prop_map(|(ip, pod)| Step::Give(ip, pod)),
        1 => Just(Step::Break),
        2 => any::<bool>().prop_map(Step::Back),
        1 => (0..5_000u64).prop_map(Step::Wait),
    ]
}

/// What a hub would do, in few lines.
#[derive(Default)]
struct Cluster {
    holders: BTreeMap<u8, (u8, Timestamp)>,
    wanted: BTreeMap<IpAddr, Option<(u8, Timestamp)>>,
    connected: bool,
}

impl Cluster {
    fn tell(&mut self, bench: &mut Bench, account: bool) {
        for wish in bench.wishes() {
            match wish.strip_prefix('-') {
                Some(ip) => drop(self.wanted.remove(&ip.parse::<IpAddr>().unwrap())),
                None => drop(self.wanted.insert(wish.parse().unwrap(), Some((255, Timestamp(0))))),
            }
        }
        if !self.connected {
            return;
        }
        if account {
            bench.change(Change::Begin);
            bench.change(pod("cart", "10.1.0.1").container(C, "app"));
        }
        for (ip, told) in &mut self.wanted {
            let IpAddr::V4(address) = ip else { continue };
            let now = self.holders.get(&address.octets()[3]).copied();
            let text = ip.to_string();
            match (now, *told) {
                (Some((name, since)), _) if account || now != *told => {
                    bench.change(answer(&text, &format!("p{name}"), since));
                }
                (None, Some((255, _))) => bench.change(unknown(&text)),
                (None, Some(_)) if !account => {
                    bench.change(Change::AddressGone { ip: *ip, until: bench.now });
                }
                _ => {}
            }
            *told = now;
        }
        if account {
            bench.change(Change::Synced);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_view_equals_the_clusters(
        steps in prop::collection::vec(step(), 0..100),
        limit in 2..8usize,
    ) {
        let mut bench = Bench::asking(|config| config.limits.interest = limit);
        bench.change(pod("cart", "10.1.0.1").container(C, "app"));
        bench.created(7, "cart", C);
        let mut cluster = Cluster { connected: true, ..Cluster::default() };
        let mut seen = 0;
        for step in steps.into_iter().chain([Step::Back(true), Step::Wait(5_000)]) {
            let mut account = false;
            match step {
                Step::See(ip) => {
                    seen += 1;
                    bench.see(&to(&format!("10.2.0.{ip}")));
                }
                Step::Give(ip, holder) => {
                    // Longer than clocks may differ.
                    bench.wait_ms(2_000);
                    match holder {
                        Some(holder) => drop(cluster.holders.insert(ip, (holder, bench.now))),
                        None => drop(cluster.holders.remove(&ip)),
                    }
                }
                Step::Break => {
                    cluster.connected = false;
                    bench.change(Change::Stale);
                }
                Step::Back(whole) if !cluster.connected => {
                    cluster.connected = true;
                    account = whole;
                }
                Step::Back(_) => {}
                Step::Wait(milliseconds) => bench.wait_ms(milliseconds),
            }
            cluster.tell(&mut bench, account);
            if cluster.connected {
                bench.change(Change::Fresh);
                bench.wait_ms(1_100);
                for (ip, told) in &cluster.wanted {
                    let found = bench.directory.names.addresses.lookup(*ip, bench.now);
                    let found = match found {
                        super::super::Found::Held { identity, .. } => identity.pod.clone(),
                        _ => None,
                    };
                    prop_assert_eq!(
                        found.as_deref().map(str::to_owned),
                        told.map(|(name, _)| format!("p{name}")),
                        "{}", ip
                    );
                }
                prop_assert_eq!(bench.counters().parked, 0, "all are answered");
            }
            prop_assert!(bench.counters().interest.wanted as usize <= limit);
            prop_assert_eq!(cluster.wanted.len() as u64, bench.counters().interest.wanted);
        }
        prop_assert_eq!(bench.out.len() as u64, seen);
        prop_assert_eq!(bench.counters().parked_total, bench.counters().patched + bench.counters().given_up);
    }
}
