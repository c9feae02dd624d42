use std::net::IpAddr;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::encode::{Message, message};
use crate::{
    Allowed, Cause, Container, Counters, Endpoint, Limits, OwnerReference, Phase, Port, Protocol,
    ServiceKind, ServicePort, json,
};

fn trim() -> Trim {
    let labels = Allowed::new(["app", "team.example/*"]);
    let annotations = Allowed::new(["example.com/owner"]);
    Trim::new(Limits::default(), labels, annotations, Arc::new(Counters::default()))
}

fn check(resource: Resource, message: &Message, expected: Object) {
    let (object, version) = object(resource, &message.0, &mut trim()).unwrap();
    assert_eq!((object, version.as_str()), (expected, "4711"));
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn pair(key: &str, value: &str) -> (crate::Str, crate::Str) {
    (key.into(), value.into())
}

/// With all that an object has and nobody here asks for.
fn full_meta(name: &str) -> Message {
    let managed = message().bytes(1, "kubelet").message(7, message().bytes(1, "x".repeat(8000)));
    let owner = |name: &str, controller| {
        message()
            .bytes(1, "ReplicaSet")
            .bytes(3, name)
            .bytes(4, "owner-uid")
            .bytes(5, "apps/v1")
            .number(6, controller)
            .number(7, 1)
    };
    message()
        .bytes(1, name)
        .bytes(2, "generated-")
        .bytes(3, "shop")
        .bytes(4, "/self/link")
        .bytes(5, "uid-1")
        .bytes(6, "4711")
        .number(7, 3)
        .message(8, message().number(1, 1_700_000_000))
        .pair(11, "pod-template-hash", "5d8c")
        .pair(11, "team.example/name", "payments")
        .pair(11, "app", "cart")
        .pair(12, "kubectl.kubernetes.io/last-applied-configuration", "{}".repeat(4000))
        .pair(12, "example.com/owner", "somebody")
        .message(13, owner("not-the-controller", 0))
        .message(13, owner("cart-5d8c", 1))
        .bytes(14, "finalizer")
        .message(17, managed)
}

fn owner() -> Option<OwnerReference> {
    Some(OwnerReference {
        kind: "ReplicaSet".into(),
        name: "cart-5d8c".into(),
        uid: "owner-uid".into(),
        controller: true,
        api_group: "apps".into(),
    })
}

#[test]
fn a_whole_pod() {
    let port = |name: &str, number, kind: &str| {
        message().bytes(1, name).number(2, 31000).number(3, number).bytes(4, kind).bytes(5, "")
    };
    let container = |name: &str| {
        message()
            .bytes(1, name)
            .bytes(2, "registry/cart:1")
            .bytes(3, "run")
            .message(7, message().bytes(1, "SECRET").bytes(2, "hidden"))
    };
    let main = container("main")
        .message(6, port("http", 8080, "TCP"))
        .message(6, port("dns", 53, "UDP"))
        .message(6, port("", 0, "TCP"));
    let spec = message()
        .message(1, message().bytes(1, "volume"))
        .message(2, main)
        .number(4, 30)
        .bytes(10, "node-1")
        .number(11, 1)
        .message(20, container("init"))
        .message(20, container("waiting"))
        .message(34, message().message(1, container("debug")).bytes(2, "main"));
    let status = |name: &str, id: &str| {
        message().bytes(1, name).number(4, 1).bytes(6, "resolved").bytes(8, id)
    };
    let status = message()
        .bytes(1, "Running")
        .message(2, message().bytes(1, "Ready"))
        .bytes(6, "10.1.2.3")
        .message(7, message().number(1, 1_700_000_007).number(2, 0))
        .message(8, status("main", "containerd://abc"))
        .message(10, status("init", "cri-o://def"))
        .message(10, status("waiting", ""))
        .message(12, message().bytes(1, "10.1.2.3"))
        .message(12, message().bytes(1, "fd00::7"))
        .message(13, status("debug", "docker://123"));
    let pod = message().message(1, full_meta("cart-5d8c-x")).message(2, spec).message(3, status);
    let container = |name: &str, id: Option<&str>| Container {
        id: id.map(Into::into),
        name: name.into(),
        image: "registry/cart:1".into(),
    };
    let expected = crate::Pod {
        uid: "uid-1".into(),
        namespace: "shop".into(),
        name: "cart-5d8c-x".into(),
        node: "node-1".into(),
        ips: vec![ip("10.1.2.3"), ip("fd00::7")],
        host_network: true,
        phase: Phase::Running,
        containers: vec![
            container("main", Some("abc")),
            container("init", Some("def")),
            container("waiting", None),
            container("debug", Some("123")),
        ],
        owner: owner(),
        labels: vec![pair("app", "cart"), pair("team.example/name", "payments")],
        annotations: vec![pair("example.com/owner", "somebody")],
        ports: vec![
            Port { name: "http".into(), number: 8080, protocol: Protocol::Tcp },
            Port { name: "dns".into(), number: 53, protocol: Protocol::Udp },
        ],
        started_at: Some(1_700_000_007),
        deleted: false,
    };
    check(Resource::Pods, &pod, Object::Pod(expected));
}

#[test]
fn a_pod_before_it_has_anything() {
    let going = full_meta("new").message(9, message().number(1, 1_700_000_000));
    let (object, _) = object(Resource::Pods, &message().message(1, going).0, &mut trim()).unwrap();
    let Object::Pod(pod) = object else { panic!("{object:?}") };
    assert!(pod.deleted && pod.ips.is_empty() && pod.containers.is_empty());
    assert_eq!((pod.phase, pod.started_at, &*pod.node), (Phase::Unknown, None, ""));
}

#[test]
fn a_whole_node() {
    let address = |kind: &str, text: &str| message().bytes(1, kind).bytes(2, text);
    let meta = full_meta("node-1")
        .pair(11, "topology.kubernetes.io/zone", "z1")
        .pair(11, "topology.kubernetes.io/region", "r1")
        .pair(11, "node.kubernetes.io/instance-type", "m5");
    let status = message()
        .pair(1, "cpu", "4")
        .message(5, address("InternalIP", "192.168.0.1"))
        .message(5, address("ExternalIP", "203.0.113.1"))
        .message(5, address("Hostname", "node-1"))
        .message(5, address("InternalDNS", "node-1"))
        .message(5, address("ExternalDNS", "node-1.example.com"));
    let spec = message().bytes(1, "10.0.0.0/24").bytes(3, "aws:///i-1");
    let node = message().message(1, meta).message(2, spec).message(3, status);
    let expected = crate::Node {
        uid: "uid-1".into(),
        name: "node-1".into(),
        addresses: vec![ip("192.168.0.1"), ip("203.0.113.1")],
        hostnames: vec!["node-1".into(), "node-1.example.com".into()],
        zone: Some("z1".into()),
        region: Some("r1".into()),
        provider: Some("aws:///i-1".into()),
        instance_type: Some("m5".into()),
        labels: vec![pair("app", "cart"), pair("team.example/name", "payments")],
    };
    check(Resource::Nodes, &node, Object::Node(expected));
}

#[test]
fn a_whole_service() {
    let port = message()
        .bytes(1, "http")
        .bytes(2, "TCP")
        .number(3, 80)
        .message(4, message().number(1, 0).number(2, 8080))
        .number(5, 30080);
    let spec = message()
        .message(1, port)
        .pair(2, "app", "cart")
        .bytes(3, "10.96.0.7")
        .bytes(4, "LoadBalancer")
        .bytes(5, "198.51.100.1")
        .bytes(18, "10.96.0.7")
        .bytes(18, "fd00:96::7");
    let ingress = message().message(1, message().bytes(1, "198.51.100.2").bytes(2, "lb.example"));
    let service = message()
        .message(1, full_meta("cart"))
        .message(2, spec)
        .message(3, message().message(1, ingress));
    let expected = crate::Service {
        uid: "uid-1".into(),
        namespace: "shop".into(),
        name: "cart".into(),
        cluster_ips: vec![ip("10.96.0.7"), ip("fd00:96::7")],
        external_ips: vec![ip("198.51.100.1"), ip("198.51.100.2")],
        ports: vec![ServicePort {
            name: "http".into(),
            number: 80,
            node_port: Some(30080),
            protocol: Protocol::Tcp,
        }],
        kind: ServiceKind::LoadBalancer,
        labels: vec![pair("app", "cart"), pair("team.example/name", "payments")],
    };
    check(Resource::Services, &service, Object::Service(expected));
}

#[test]
fn a_headless_service_has_no_address_and_nothing_is_counted() {
    let spec = message().bytes(3, "None").bytes(18, "None");
    let service = message().message(1, full_meta("cart")).message(2, spec);
    let mut trim = trim();
    let (object, _) = object(Resource::Services, &service.0, &mut trim).unwrap();
    assert!(matches!(&object, Object::Service(s) if s.cluster_ips.is_empty()), "{object:?}");
    assert_eq!(trim.counters.hostile(Cause::BadAddress), 0);
}

#[test]
fn a_whole_slice() {
    let target = message().bytes(1, "Pod").bytes(2, "shop").bytes(3, "cart-x").bytes(4, "uid-x");
    let unready = message()
        .bytes(1, "10.1.0.2")
        .message(2, message().number(1, 0).number(2, 1))
        .bytes(3, "cart-x")
        .message(4, target)
        .bytes(6, "node-1")
        .bytes(7, "z1");
    let port = message().bytes(1, "http").bytes(2, "TCP").number(3, 8080);
    let slice = message()
        .message(1, full_meta("cart-1").pair(11, "kubernetes.io/service-name", "cart"))
        .message(2, message().bytes(1, "10.1.0.1"))
        .message(2, unready)
        .message(3, port)
        .bytes(4, "IPv4");
    let bare = network::bare_endpoint();
    let expected = crate::EndpointSlice {
        uid: "uid-1".into(),
        namespace: "shop".into(),
        name: "cart-1".into(),
        service: "cart".into(),
        endpoints: vec![
            Endpoint { ips: vec![ip("10.1.0.1")], ..bare },
            Endpoint {
                ips: vec![ip("10.1.0.2")],
                pod: Some("cart-x".into()),
                pod_uid: Some("uid-x".into()),
                node: Some("node-1".into()),
                zone: Some("z1".into()),
                ready: false,
            },
        ],
        ports: vec![Port { name: "http".into(), number: 8080, protocol: Protocol::Tcp }],
    };
    check(Resource::EndpointSlices, &slice, Object::EndpointSlice(expected));
}

#[test]
fn what_only_has_metadata() {
    let meta = full_meta("cart-5d8c").pair(12, "deployment.kubernetes.io/revision", "7");
    let object = message().message(1, meta);
    let owner = |resource: Resource, kind: &str| crate::Owner {
        resource,
        uid: "uid-1".into(),
        kind: kind.into(),
        namespace: "shop".into(),
        name: "cart-5d8c".into(),
        controller: owner(),
        created_at: Some(1_700_000_000),
        revision: Some(7),
    };
    let set = owner(Resource::ReplicaSets, "ReplicaSet");
    check(Resource::ReplicaSets, &object, Object::Owner(set));
    check(Resource::Jobs, &object, Object::Owner(owner(Resource::Jobs, "Job")));
    let namespace = crate::Namespace {
        uid: "uid-1".into(),
        name: "cart-5d8c".into(),
        labels: vec![pair("app", "cart"), pair("team.example/name", "payments")],
    };
    check(Resource::Namespaces, &object, Object::Namespace(namespace));
}

#[test]
fn what_is_hostile_is_left_out_and_counted() {
    let meta = (0..10_000).fold(full_meta("p"), |meta, n| meta.pair(11, format!("l{n}"), "v"));
    let meta = meta.pair(12, "example.com/owner", "x".repeat(1 << 20));
    let address = |text: &[u8]| message().bytes(1, text);
    let mut status = message().bytes(1, "Running");
    for text in ["999.1.1.1", "0.0.0.0", "127.0.0.1", "::1", "224.0.0.1", "1.2.3.4/24", "x"] {
        status = status.message(12, address(text.as_bytes()));
    }
    status = status.message(12, address(&[0xff, 0xfe])).message(12, address(b"10.0.0.1"));
    status = status.message(12, address(b"::ffff:10.0.0.1"));
    let spec = (0..1000).fold(message().bytes(10, [0xff, 0xfe]), |spec, n| {
        spec.message(2, message().bytes(1, format!("c{n}")).bytes(2, "i".repeat(5000)))
    });
    let port = message().message(6, message().number(3, 70_000));
    let pod = message().message(1, meta).message(2, spec.message(2, port)).message(3, status);
    let mut trim = trim();
    let (object, _) = object(Resource::Pods, &pod.0, &mut trim).unwrap();
    let Object::Pod(pod) = object else { panic!("{object:?}") };
    assert_eq!(pod.ips, [ip("10.0.0.1")]);
    assert_eq!((pod.containers.len(), &*pod.node, pod.labels.len()), (256, "", 2));
    let counted = |cause| trim.counters.hostile(cause);
    assert_eq!(counted(Cause::BadAddress), 8);
    assert_eq!(counted(Cause::RepeatedAddress), 1);
    assert_eq!(counted(Cause::NotUtf8), 1);
    assert_eq!(counted(Cause::TooManyParts), 745);
    assert_eq!(counted(Cause::TooManyLabels), 1);
    assert_eq!(counted(Cause::TextTooLong), 256);
}

#[test]
fn an_object_without_a_name_is_none() {
    for meta in [message(), message().bytes(1, "p"), message().bytes(1, [0xff]).bytes(5, "uid")] {
        let mut trim = trim();
        let read = object(Resource::Pods, &message().message(1, meta).0, &mut trim);
        assert_eq!(read, Err(Malformed::Nameless));
        assert_eq!(trim.counters.hostile(Cause::Nameless), 1);
    }
}

#[test]
fn an_event_bare_and_in_an_envelope() {
    let pod = crate::encode::pod("p", 7);
    let frame = crate::encode::event("MODIFIED", "Pod", &pod);
    assert_eq!(event(&frame[4..]), Ok((Change::Applied, &pod.0[..])));
    let wrapped = crate::encode::enveloped("WatchEvent", &Message(frame[4..].to_vec()));
    assert_eq!(event(&wrapped), Ok((Change::Applied, &pod.0[..])));
    assert_eq!(event(b"k8x"), Err(Malformed::Field));
}

proptest! {
    #[test]
    fn garbage_is_never_more_than_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut trim = trim();
        for resource in Resource::ALL {
            let _ = object(resource, &bytes, &mut trim);
            let _ = json::object(resource, &bytes, &mut trim);
        }
        let _ = (event(&bytes), status(&bytes), list_meta(&bytes), envelope(&bytes));
        let _ = (json::event(&bytes), json::status(&bytes), json::list_meta(&bytes));
    }

    #[test]
    fn an_object_with_a_changed_byte_is_never_more_than_an_error(
        at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>(),
    ) {
        let spec = message().message(2, message().bytes(1, "main").message(6, message().number(3, 80)));
        let mut bytes = message().message(1, full_meta("p")).message(2, spec).0;
        let place = at.index(bytes.len());
        bytes[place] = byte;
        bytes.truncate(cut.index(bytes.len()) + 1);
        let mut trim = trim();
        for resource in Resource::ALL {
            let _ = object(resource, &bytes, &mut trim);
        }
    }
}
