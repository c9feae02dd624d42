//! What an agent is told equals what the cluster is, however it came to be.

mod any_order;
mod behind;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use model::{Change, Holder, Workload};
use prost::Message;
use reflector::{Event, Object, ObjectKey, OwnerReference, Phase, Resource};

use super::member::{Hello, Member};
use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn ip(last: u8) -> IpAddr {
    [10, 0, 0, last].into()
}

fn pod(name: &str, node: &str, ips: &[IpAddr]) -> reflector::Pod {
    reflector::Pod {
        uid: format!("uid-{name}").into(),
        namespace: "shop".into(),
        name: name.into(),
        node: node.into(),
        ips: ips.to_vec(),
        host_network: false,
        phase: Phase::Running,
        containers: vec![],
        owner: None,
        labels: vec![],
        annotations: vec![],
        ports: vec![],
        started_at: Some(1),
        deleted: false,
    }
}

fn owned(mut pod: reflector::Pod, kind: &str, group: &str, name: &str) -> reflector::Pod {
    pod.owner = Some(OwnerReference {
        kind: kind.into(),
        name: name.into(),
        uid: format!("uid-{name}").into(),
        controller: true,
        api_group: group.into(),
    });
    pod
}

fn replica_set(name: &str, deployment: &str) -> Object {
    Object::Owner(reflector::Owner {
        resource: Resource::ReplicaSets,
        uid: format!("uid-{name}").into(),
        kind: "ReplicaSet".into(),
        namespace: "shop".into(),
        name: name.into(),
        controller: Some(OwnerReference {
            kind: "Deployment".into(),
            name: deployment.into(),
            uid: "uid-d".into(),
            controller: true,
            api_group: "apps".into(),
        }),
        created_at: None,
        revision: None,
    })
}

fn service(name: &str, ips: &[IpAddr]) -> Object {
    Object::Service(reflector::Service {
        uid: format!("uid-{name}").into(),
        namespace: "shop".into(),
        name: name.into(),
        cluster_ips: ips.to_vec(),
        external_ips: vec![],
        ports: vec![],
        kind: reflector::ServiceKind::ClusterIp,
        labels: vec![],
    })
}

fn slice(namespace: &str, name: &str, service: &str, ips: &[IpAddr]) -> Object {
    let endpoint = |ip: &IpAddr| reflector::Endpoint {
        ips: vec![*ip],
        pod: None,
        pod_uid: None,
        node: None,
        zone: None,
        ready: true,
    };
    Object::EndpointSlice(reflector::EndpointSlice {
        uid: format!("uid-{name}").into(),
        namespace: namespace.into(),
        name: name.into(),
        service: service.into(),
        endpoints: ips.iter().map(endpoint).collect(),
        ports: vec![],
    })
}

fn node(name: &str, zone: Option<&str>, ips: &[IpAddr]) -> Object {
    Object::Node(reflector::Node {
        uid: format!("uid-{name}").into(),
        name: name.into(),
        addresses: ips.to_vec(),
        hostnames: vec![],
        zone: zone.map(Into::into),
        region: None,
        provider: None,
        instance_type: None,
        labels: vec![],
    })
}

/// What an agent makes of what it is told.
#[derive(Debug, Default, PartialEq, Clone)]
struct View {
    epoch: u64,
    sequence: u64,
    pods: BTreeMap<String, model::Pod>,
    nodes: BTreeMap<String, model::Node>,
    addresses: BTreeMap<IpAddr, Change>,
    batches: usize,
    items: usize,
}

impl View {
    /// Takes everything that is there to be taken; tells whether an account was complete.
    fn read(&mut self, member: &mut Member) -> bool {
        let (mut synced, mut old) = (false, None);
        while let Some(Outgoing { mut batch, .. }) = member.outgoing() {
            self.batches += 1;
            if batch.begin {
                old = Some(std::mem::take(self));
            }
            self.epoch = batch.epoch;
            for bytes in proto::items(&mut batch).unwrap() {
                self.items += 1;
                let item = proto::wire::Item::decode(bytes).unwrap();
                self.take(proto::change(item).unwrap());
            }
            if batch.sequence > 0 {
                self.sequence = batch.sequence;
            }
            synced |= batch.synced;
        }
        assert!(old.is_none() || synced);
        synced
    }

    fn take(&mut self, change: Change) {
        match change {
            Change::Pod(it) => drop(self.pods.insert(it.uid.to_string(), it)),
            Change::PodGone { uid } => drop(self.pods.remove(&*uid)),
            Change::Node(it) => drop(self.nodes.insert(it.name.to_string(), it)),
            Change::NodeGone { name } => drop(self.nodes.remove(&*name)),
            Change::Address(ref it) => drop(self.addresses.insert(it.ip, change)),
            Change::AddressUnknown { ip } | Change::AddressGone { ip, .. } => {
                self.addresses.insert(ip, change);
            }
            other => panic!("{other:?} is not sent"),
        }
    }

    fn hello(&self, node: &str, wanted: &[IpAddr]) -> Hello {
        let is_answered = |ip: &&IpAddr| self.addresses.contains_key(ip);
        Hello {
            node: node.into(),
            epoch: self.epoch,
            sequence: self.sequence,
            answered: wanted.iter().filter(is_answered).copied().collect(),
            wanted: wanted.iter().filter(|ip| !is_answered(ip)).copied().collect(),
            // As some do.
            unpacks: wanted.len().is_multiple_of(2),
        }
    }

    #[track_caller]
    fn workload(&self, ip: IpAddr) -> (String, String) {
        match &self.addresses[&ip] {
            Change::Address(it) => {
                let workload = it.identity.workload.as_ref().unwrap();
                (workload.kind.to_string(), workload.name.to_string())
            }
            other => panic!("{other:?}"),
        }
    }
}

fn inventory() -> Arc<Inventory> {
    let inventory = Inventory::new(1 << 10, HOUR, false);
    inventory.apply(Resource::ALL.into_iter().map(Event::Listed));
    assert!(inventory.is_complete());
    inventory
}

fn apply(inventory: &Inventory, objects: impl IntoIterator<Item = Object>) {
    inventory.apply(objects.into_iter().map(Event::Applied));
}

fn delete(inventory: &Inventory, resource: Resource, namespace: &str, name: &str) {
    let key = ObjectKey { resource, namespace: namespace.into(), name: name.into() };
    inventory.apply([Event::Deleted(key)].into_iter());
}

fn join(inventory: &Arc<Inventory>, view: &View, node: &str, wanted: &[IpAddr]) -> Member {
    Member::join(inventory, view.hello(node, wanted), 100)
}

#[test]
fn an_agent_is_told_of_its_node_and_of_what_it_asks_for_and_nothing_else() {
    let inventory = inventory();
    apply(
        &inventory,
        [
            node("n1", Some("a"), &[ip(1)]),
            node("n2", Some("b"), &[ip(2)]),
            Object::Pod(pod("own", "n1", &[ip(11)])),
            Object::Pod(pod("other", "n2", &[ip(12)])),
            Object::Pod(pod("unseen", "n2", &[ip(13)])),
            service("cart", &[ip(100)]),
            service("unseen", &[ip(101)]),
        ],
    );
    let mut view = View::default();
    let wanted = [ip(12), ip(2), ip(99), ip(100)];
    let mut member = join(&inventory, &view, "n1", &wanted);
    assert!(view.read(&mut member));
    assert_eq!(view.pods.keys().collect::<Vec<_>>(), ["uid-own"]);
    assert_eq!(view.pods["uid-own"].zone.as_deref(), Some("a"));
    assert_eq!(view.nodes.keys().collect::<Vec<_>>(), ["n1"]);
    assert_eq!((view.items, view.addresses.len()), (6, 4));
    let Change::Address(it) = &view.addresses[&ip(100)] else { panic!() };
    let cart = Holder::Service { namespace: "shop".into(), name: "cart".into() };
    assert_eq!((&it.holder, it.identity.service.as_deref()), (&cart, Some("cart")));
    assert_eq!(view.workload(ip(12)), ("Pod".into(), "other".into()));
    assert_eq!(view.workload(ip(2)), ("Host".into(), "n2".into()));
    assert_eq!(view.addresses[&ip(99)], Change::AddressUnknown { ip: ip(99) });
    let Change::Address(it) = &view.addresses[&ip(12)] else { panic!() };
    assert_eq!(it.identity.zone.as_deref(), Some("b"));

    // What concerns others is not sent.
    let before = view.items;
    apply(&inventory, [Object::Pod(pod("third", "n2", &[ip(14)])), service("unseen", &[ip(102)])]);
    delete(&inventory, Resource::Services, "shop", "unseen");
    view.read(&mut member);
    assert_eq!(view.items, before);
    // A service takes another address, and goes.
    apply(&inventory, [service("cart", &[ip(103)])]);
    view.read(&mut member);
    assert!(matches!(view.addresses[&ip(100)], Change::AddressGone { .. }));
    apply(&inventory, [service("cart", &[ip(100)])]);
    view.read(&mut member);
    assert!(matches!(view.addresses[&ip(100)], Change::Address(_)));
    delete(&inventory, Resource::Services, "shop", "cart");
    view.read(&mut member);
    assert!(matches!(view.addresses[&ip(100)], Change::AddressGone { .. }));
    // What was unknown is told as soon as it is known.
    apply(&inventory, [Object::Pod(pod("late", "n2", &[ip(99)]))]);
    view.read(&mut member);
    assert_eq!(view.workload(ip(99)), ("Pod".into(), "late".into()));
    delete(&inventory, Resource::Pods, "shop", "late");
    view.read(&mut member);
    assert!(matches!(view.addresses[&ip(99)], Change::AddressGone { .. }));
    // No longer wanted.
    let before = view.items;
    member.forget([ip(99)].into_iter());
    apply(&inventory, [Object::Pod(pod("late", "n2", &[ip(99)]))]);
    view.read(&mut member);
    assert_eq!((view.items, inventory.totals().wanted_addresses), (before, 3));
    drop(member);
    let totals = inventory.totals();
    assert_eq!((totals.agents, totals.wanted_addresses, totals.waiting), (0, 0, 0));
}

#[test]
fn who_comes_back_is_told_the_difference_deletions_included() {
    let inventory = inventory();
    apply(&inventory, (1..=50).map(|n| Object::Pod(pod(&format!("p{n}"), "n1", &[ip(n)]))));
    let mut view = View::default();
    let mut member = join(&inventory, &view, "n1", &[ip(1), ip(2)]);
    view.read(&mut member);
    drop(member);
    assert_eq!((view.pods.len(), inventory.counters.accounts.load(Ordering::Relaxed)), (50, 1));

    delete(&inventory, Resource::Pods, "shop", "p1");
    apply(&inventory, [Object::Pod(pod("p2", "n1", &[ip(60)])), service("cart", &[ip(100)])]);
    let items = view.items;
    let mut member = join(&inventory, &view, "n1", &[ip(1), ip(2), ip(60), ip(100)]);
    assert!(view.read(&mut member));
    assert_eq!(inventory.counters.resumes.load(Ordering::Relaxed), 1);
    // A pod gone, its address; a pod changed, its old address; two addresses that are new to the agent.
    assert_eq!((view.items - items, view.pods.len()), (6, 49));
    assert!(matches!(view.addresses[&ip(1)], Change::AddressGone { .. }));
    assert!(matches!(view.addresses[&ip(2)], Change::AddressGone { .. }));
    assert_eq!(view.workload(ip(60)).1, "p2");
    drop(member);

    // Too long away: a complete account, in which what is gone is missing.
    for _ in 0..1 << 10 {
        apply(&inventory, [Object::Pod(pod("busy", "n2", &[]))]);
        delete(&inventory, Resource::Pods, "shop", "busy");
    }
    delete(&inventory, Resource::Pods, "shop", "p3");
    let mut member = join(&inventory, &view, "n1", &[ip(60)]);
    assert!(view.read(&mut member));
    assert_eq!(inventory.counters.accounts.load(Ordering::Relaxed), 2);
    assert_eq!((view.pods.len(), view.addresses.len()), (48, 1));
}

#[test]
fn a_pod_is_called_by_its_owners_owner_whichever_is_told_first() {
    let inventory = inventory();
    let cart = || owned(pod("cart-1", "n1", &[ip(1)]), "ReplicaSet", "apps", "cart-5d4");
    apply(&inventory, [Object::Pod(cart())]);
    let mut view = View::default();
    let mut member = join(&inventory, &view, "n2", &[ip(1), ip(2)]);
    view.read(&mut member);
    assert_eq!(view.workload(ip(1)), ("ReplicaSet".into(), "cart-5d4".into()));
    apply(&inventory, [replica_set("cart-5d4", "cart")]);
    view.read(&mut member);
    assert_eq!(view.workload(ip(1)), ("Deployment".into(), "cart".into()));
    // Adopted by another one.
    apply(&inventory, [replica_set("cart-5d4", "basket")]);
    view.read(&mut member);
    assert_eq!(view.workload(ip(1)), ("Deployment".into(), "basket".into()));
    // The owner may go first.
    delete(&inventory, Resource::ReplicaSets, "shop", "cart-5d4");
    let mut pod = cart();
    pod.deleted = true;
    apply(&inventory, [Object::Pod(pod)]);
    view.read(&mut member);
    assert_eq!(view.workload(ip(1)), ("Deployment".into(), "basket".into()));
    // Who waits for nobody's sake any more is forgotten.
    assert_eq!(inventory.totals().orphans, 1);
    delete(&inventory, Resource::Pods, "shop", "cart-1");
    assert_eq!(inventory.totals().orphans, 0);
    let db = owned(self::pod("db-0", "n1", &[ip(2)]), "StatefulSet", "apps", "db");
    apply(&inventory, [Object::Pod(db)]);
    view.read(&mut member);
    assert_eq!(view.workload(ip(2)), ("StatefulSet".into(), "db".into()));
}

#[test]
fn of_several_who_claim_an_address_the_most_credible_has_it() {
    let inventory = inventory();
    let mut view = View::default();
    let mut member = join(&inventory, &view, "n9", &[ip(1), ip(2), ip(3), ip(4)]);
    let mut old = pod("old", "n1", &[ip(1)]);
    old.deleted = true;
    old.started_at = Some(9);
    let mut host = pod("host", "n1", &[ip(2)]);
    host.host_network = true;
    let mut done = pod("done", "n1", &[ip(3)]);
    done.phase = Phase::Succeeded;
    let liar = Object::Pod(pod("liar", "n1", &[ip(2)]));
    apply(
        &inventory,
        [
            Object::Pod(old),
            Object::Pod(pod("new", "n1", &[ip(1)])),
            Object::Pod(host),
            Object::Pod(done),
            node("n1", None, &[ip(2)]),
            liar,
            slice("shop", "cart-1", "cart", &[ip(1)]),
            slice("shop", "cart-2", "basket", &[ip(1)]),
            slice("default", "kubernetes", "kubernetes", &[ip(2), ip(4)]),
        ],
    );
    view.read(&mut member);
    assert_eq!(view.workload(ip(1)).1, "new");
    assert_eq!(view.workload(ip(2)), ("Host".into(), "n1".into()));
    assert_eq!(view.addresses[&ip(3)], Change::AddressUnknown { ip: ip(3) });
    assert_eq!(view.workload(ip(4)), ("External".into(), "kube-apiserver".into()));
    let Change::Address(it) = &view.addresses[&ip(1)] else { panic!() };
    assert_eq!(it.identity.service.as_deref(), Some("basket"), "the first of both by name");
    let Change::Address(it) = &view.addresses[&ip(2)] else { panic!() };
    assert_eq!(
        (&*it.identity.names[0], &it.holder),
        ("kube-apiserver", &Holder::Node { name: "n1".into() })
    );
    assert_eq!(inventory.totals().store.duplicates, 1);
    // The service goes, the pod stays.
    delete(&inventory, Resource::EndpointSlices, "shop", "cart-2");
    view.read(&mut member);
    let Change::Address(it) = &view.addresses[&ip(1)] else { panic!() };
    assert_eq!(it.identity.service.as_deref(), Some("cart"));
}

#[test]
fn a_list_removes_what_it_leaves_out_and_repeats_nothing() {
    let inventory = inventory();
    let objects = || (1..=9).map(|n| Object::Pod(pod(&format!("p{n}"), "n1", &[ip(n)])));
    apply(&inventory, objects());
    let mut view = View::default();
    let mut member = join(&inventory, &view, "n1", &[]);
    view.read(&mut member);
    let (items, sequence) = (view.items, inventory.totals().sequence);
    inventory.apply([Event::Relisting(Resource::Pods)].into_iter());
    apply(&inventory, objects().skip(1));
    inventory.apply([Event::Listed(Resource::Pods)].into_iter());
    view.read(&mut member);
    assert_eq!((view.items - items, view.pods.len()), (1, 8));
    assert_eq!(inventory.totals().sequence, sequence + 2, "a pod and its address");
    assert_eq!(inventory.totals().store.unchanged, 8);
}

#[test]
fn a_pod_made_anew_under_its_name_is_another_one() {
    let inventory = inventory();
    let mut view = View::default();
    let mut member = join(&inventory, &view, "n1", &[ip(1)]);
    apply(&inventory, [Object::Pod(pod("db-0", "n1", &[ip(1)]))]);
    view.read(&mut member);
    let mut again = pod("db-0", "n1", &[ip(1)]);
    again.uid = "uid-again".into();
    apply(&inventory, [Object::Pod(again)]);
    view.read(&mut member);
    assert_eq!(view.pods.keys().collect::<Vec<_>>(), ["uid-again"]);
    let Change::Address(it) = &view.addresses[&ip(1)] else { panic!() };
    assert_eq!(it.holder, Holder::Pod { uid: "uid-again".into() });
    assert!(it.since.0 > 1_000_000_000, "not before the other one let it go");
    // To another node.
    let mut moved = pod("db-0", "n2", &[ip(1)]);
    moved.uid = "uid-again".into();
    apply(&inventory, [Object::Pod(moved)]);
    view.read(&mut member);
    assert!(view.pods.is_empty());
    assert_eq!(view.workload(ip(1)).1, "db-0");
}

#[test]
fn a_slow_agent_gets_the_newest_state_and_batches_are_bounded() {
    let inventory = inventory();
    let many = 3_000_u32;
    let all = |started: i64| {
        (0..many).map(move |n| {
            let [_, _, a, b] = n.to_be_bytes();
            let mut pod = pod(&format!("p{n}"), "n1", &[[10, 1, a, b].into()]);
            pod.started_at = Some(started);
            Object::Pod(pod)
        })
    };
    let mut view = View::default();
    let mut member = join(&inventory, &view, "n1", &[]);
    view.read(&mut member);
    for started in 1..=5 {
        apply(&inventory, all(started));
    }
    let before = (view.items, view.batches);
    view.read(&mut member);
    assert_eq!(view.items - before.0, many as usize);
    let batches = view.batches - before.1;
    assert!((12..40).contains(&batches), "{batches} batches");
    assert_eq!(inventory.counters.coalesced.load(Ordering::Relaxed), u64::from(4 * many));
    assert_eq!(view.sequence, inventory.totals().sequence);
}

#[test]
fn addresses_beyond_the_limit_are_refused_and_counted() {
    let inventory = inventory();
    let wanted: Vec<IpAddr> = (0..=150).map(ip).collect();
    let mut view = View::default();
    let mut member = join(&inventory, &view, "n1", &wanted);
    view.read(&mut member);
    assert_eq!(view.addresses.len(), 100);
    assert_eq!(inventory.counters.refused_addresses.load(Ordering::Relaxed), 51);
}

#[test]
fn deploys_are_the_newest_replica_sets() {
    let inventory = Inventory::new(16, HOUR, false);
    let set = |name: &str, created_at: i64, revision: u64| match replica_set(name, "cart") {
        Object::Owner(owner) => Object::Owner(reflector::Owner {
            created_at: Some(created_at),
            revision: Some(revision),
            ..owner
        }),
        other => other,
    };
    let told = |inventory: &Inventory| -> Vec<(String, u64)> {
        let deploys = inventory.deploys_of("shop", "Deployment", "cart").into_iter();
        deploys.map(|it| (it.name.to_string(), it.revision)).collect()
    };
    let sets = (1..=12).map(|it| set(&format!("cart-{it:02}"), 1000 + it, it as u64));
    apply(&inventory, sets.chain([replica_set("other", "web")]));
    let all = told(&inventory);
    assert_eq!(
        (all.len(), &all[0], &all[9]),
        (10, &("cart-12".into(), 12), &("cart-03".into(), 3))
    );
    assert_eq!(inventory.deploys_of("shop", "Deployment", "cart")[0].time_s, 1012);
    // Rolled back: the old one is the newest from now on, and stays so when it is told again.
    apply(&inventory, [set("cart-11", 1011, 13)]);
    apply(&inventory, [set("cart-11", 1011, 13)]);
    assert_eq!(told(&inventory)[0], ("cart-11".into(), 13));
    assert!(inventory.deploys_of("shop", "Deployment", "cart")[0].time_s > 1_700_000_000);
    assert!(inventory.deploys_of("shop", "Deployment", "web").is_empty(), "when is not known");
}
