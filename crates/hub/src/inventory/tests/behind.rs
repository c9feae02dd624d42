//! What an agent is told of a service's address.

use model::{Protocol, TargetPort};

use super::super::behind::Doubt;
use super::*;

const CART: u8 = 100;

/// A slice as Kubernetes writes it: of pods.
pub fn of_pods(slice: Object) -> Object {
    match slice {
        Object::EndpointSlice(mut slice) => {
            slice.endpoints.iter_mut().for_each(|it| it.pod = Some("some".into()));
            Object::EndpointSlice(slice)
        }
        other => other,
    }
}

/// What is kept of each service is what is found when everything is looked through.
pub fn assert_settled(inventory: &Inventory) {
    let mut store = inventory.store.write().unwrap();
    let ids: Vec<_> = store.services.iter().map(|(id, _)| id).collect();
    for id in ids {
        let found = store.behind(id, Doubt::Whole);
        let service = store.services.get(id).unwrap();
        assert_eq!(service.behind, found, "{}", service.name);
    }
}

fn of(deployment: &str, name: &str, last: u8) -> Object {
    let set = format!("{deployment}-5d4");
    Object::Pod(owned(pod(name, "n1", &[ip(last)]), "ReplicaSet", "apps", &set))
}

fn cart(ips: &[u8]) -> Object {
    let ips: Vec<IpAddr> = ips.iter().copied().map(ip).collect();
    of_pods(slice("shop", "cart-1", "cart", &ips))
}

struct Told {
    inventory: Arc<Inventory>,
    member: Member,
    view: View,
}

impl Told {
    fn new() -> Self {
        let (inventory, view) = (inventory(), View::default());
        let member = join(&inventory, &view, "n9", &[ip(CART)]);
        let mut told = Self { inventory, member, view };
        told.view.read(&mut told.member);
        told
    }

    /// The workload that is behind the service, and how often anything was told since.
    fn check(&mut self, objects: impl IntoIterator<Item = Object>, expected: (&str, usize)) {
        apply(&self.inventory, objects);
        self.check_now(expected);
    }

    #[track_caller]
    fn check_now(&mut self, (expected, items): (&str, usize)) {
        let before = self.view.items;
        self.view.read(&mut self.member);
        let Change::Address(address) = &self.view.addresses[&ip(CART)] else { panic!() };
        let identity = &address.identity;
        let workload = identity.workload.as_ref().map(|it| format!("{}/{}", it.kind, it.name));
        assert_eq!(workload.unwrap_or_else(|| "none".into()), expected);
        assert_eq!(self.view.items - before, items, "items");
        assert_eq!((&identity.pod, &identity.pod_uid), (&None, &None));
        assert_eq!(identity.service.as_deref(), Some("cart"));
        assert_settled(&self.inventory);
    }
}

#[test]
fn a_service_names_the_workload_that_all_of_its_endpoints_are() {
    let mut told = Told::new();
    let sets = || ["cart", "other"].map(|it| replica_set(&format!("{it}-5d4"), it));
    told.check(sets().into_iter().chain([service("cart", &[ip(CART)])]), ("none", 1));
    // In whatever order they are told.
    told.check([cart(&[1, 2])], ("none", 0));
    told.check([of("cart", "a", 1)], ("Deployment/cart", 1));
    told.check([of("cart", "b", 2)], ("Deployment/cart", 0));
    // A pod that restarts, and one that comes.
    let mut restarted = owned(pod("a", "n1", &[ip(1)]), "ReplicaSet", "apps", "cart-5d4");
    restarted.started_at = Some(9);
    told.check([Object::Pod(restarted)], ("Deployment/cart", 0));
    told.check([service("cart", &[ip(CART)])], ("Deployment/cart", 0));
    told.check([of("cart", "c", 3), cart(&[1, 2, 3])], ("Deployment/cart", 0));
    // Somebody else's beside them, for a while.
    told.check([of("other", "o", 4), cart(&[1, 2, 3, 4])], ("none", 1));
    told.check([cart(&[1, 2, 3])], ("Deployment/cart", 1));
    // Its address is another pod's by now.
    told.check([Object::Pod(pod("b", "n1", &[ip(2)]))], ("none", 1));
    told.check([of("cart", "b", 2)], ("Deployment/cart", 1));
    // The pods go before the slice says so.
    for name in ["a", "b"] {
        delete(&told.inventory, Resource::Pods, "shop", name);
        told.check_now(("Deployment/cart", 0));
    }
    delete(&told.inventory, Resource::Pods, "shop", "c");
    told.check_now(("none", 1));
    told.check([of("cart", "a", 1)], ("Deployment/cart", 1));
    // All of them are others within one batch.
    told.check([cart(&[4])], ("Deployment/other", 1));
    delete(&told.inventory, Resource::EndpointSlices, "shop", "cart-1");
    told.check_now(("none", 1));
}

#[test]
fn endpoints_in_several_slices_are_those_of_one_service() {
    let mut told = Told::new();
    let second = |ips: &[IpAddr]| of_pods(slice("shop", "cart-2", "cart", ips));
    let pods = [of("cart", "a", 1), of("cart", "b", 2), of("other", "o", 4)];
    told.check(
        [service("cart", &[ip(CART)]), cart(&[1])].into_iter().chain(pods),
        ("ReplicaSet/cart-5d4", 1),
    );
    told.check([second(&[ip(2)])], ("ReplicaSet/cart-5d4", 0));
    told.check([second(&[ip(2), ip(4)])], ("none", 1));
    // The slice is another service's.
    told.check([of_pods(slice("shop", "cart-2", "others", &[ip(4)]))], ("ReplicaSet/cart-5d4", 1));
    told.check([second(&[ip(4)])], ("none", 1));
    delete(&told.inventory, Resource::EndpointSlices, "shop", "cart-2");
    told.check_now(("ReplicaSet/cart-5d4", 1));
    // The owner comes late.
    told.check([replica_set("cart-5d4", "cart")], ("Deployment/cart", 1));
    told.check([replica_set("cart-5d4", "basket")], ("Deployment/basket", 1));
    // The service is made anew.
    delete(&told.inventory, Resource::Services, "shop", "cart");
    told.check([service("cart", &[ip(CART)])], ("Deployment/basket", 1));
}

#[test]
fn an_endpoint_that_is_no_pod_of_the_namespace_is_nobodys_workload() {
    let known = [replica_set("cart-5d4", "cart"), service("cart", &[ip(CART)]), of("cart", "a", 1)];
    let mut elsewhere = pod("e", "n1", &[ip(5)]);
    elsewhere.namespace = "bank".into();
    let others = [node("n1", None, &[ip(6)]), Object::Pod(elsewhere), service("other", &[ip(8)])];
    let mut told = Told::new();
    told.check(known.into_iter().chain(others).chain([cart(&[1])]), ("Deployment/cart", 1));
    for other in [5, 6, 8] {
        told.check([cart(&[1, other])], ("none", 1));
        told.check([cart(&[1])], ("Deployment/cart", 1));
    }
    // Of an address that nobody knows it counts whether it is said to be a pod's.
    let by_hand = |ips: &[IpAddr]| slice("shop", "cart-1", "cart", ips);
    told.check([cart(&[1, 7])], ("Deployment/cart", 0));
    told.check([by_hand(&[ip(1), ip(7)])], ("none", 1));
    told.check([cart(&[1, 7])], ("Deployment/cart", 1));
    told.check([by_hand(&[ip(1)])], ("Deployment/cart", 0));
}

#[test]
fn a_port_is_told_with_the_one_that_it_leads_to() {
    let port =
        |name: &str, number, protocol| reflector::Port { name: name.into(), number, protocol };
    let (tcp, udp) = (reflector::Protocol::Tcp, reflector::Protocol::Udp);
    let with = |object: Object, ports: &[reflector::Port]| match object {
        Object::EndpointSlice(it) => {
            Object::EndpointSlice(reflector::EndpointSlice { ports: ports.to_vec(), ..it })
        }
        Object::Service(it) => {
            let port = |it: &reflector::Port| reflector::ServicePort {
                name: it.name.clone(),
                number: it.number,
                node_port: None,
                protocol: it.protocol,
            };
            Object::Service(reflector::Service { ports: ports.iter().map(port).collect(), ..it })
        }
        other => other,
    };
    let mut told = Told::new();
    let mut check = |objects: Vec<Object>, items: usize, expected: &[(Protocol, u16, u16)]| {
        let workload = told.view.items;
        apply(&told.inventory, objects);
        told.view.read(&mut told.member);
        let Change::Address(address) = &told.view.addresses[&ip(CART)] else { panic!() };
        let expected: Vec<TargetPort> = expected
            .iter()
            .map(|(protocol, port, target)| TargetPort {
                protocol: *protocol,
                port: *port,
                target: *target,
            })
            .collect();
        assert_eq!(address.identity.target_ports, expected);
        assert_eq!(told.view.items - workload, items);
        assert_settled(&told.inventory);
    };
    let ports = [
        port("http", 80, tcp),
        port("same", 9090, tcp),
        port("dns", 53, udp),
        port("none", 1, tcp),
    ];
    let targets = [port("http", 8080, tcp), port("same", 9090, tcp), port("dns", 5353, udp)];
    let http = (Protocol::TCP, 80, 8080);
    let dns = (Protocol::UDP, 53, 5353);
    check(vec![with(service("cart", &[ip(CART)]), &ports), with(cart(&[1]), &targets)], 1, &[]);
    check(vec![of("cart", "a", 1), of("cart", "b", 2)], 1, &[http, dns]);
    // A slice without endpoints has no ports.
    let second = |ips: &[IpAddr]| of_pods(slice("shop", "cart-2", "cart", ips));
    check(vec![second(&[])], 0, &[http, dns]);
    // Pods may give a number to a name, and not all the same.
    let other = [port("http", 8081, tcp), targets[2].clone()];
    check(vec![with(second(&[ip(2)]), &other)], 1, &[dns]);
    check(vec![with(second(&[ip(2)]), &targets)], 1, &[http, dns]);
    check(vec![with(service("cart", &[ip(CART)]), &ports[..1])], 1, &[http]);
    // Not beside a workload that is not known.
    check(vec![with(cart(&[1, 4]), &targets), Object::Pod(pod("o", "n1", &[ip(4)]))], 1, &[]);
}
