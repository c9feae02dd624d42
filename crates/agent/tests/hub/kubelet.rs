//! Names from a simulated kubelet.

use std::fs;

use agent::kube::State;
use model::Change;
use serde_json::{Value, json};
use sim::apiserver::{ApiServer, Options, Resource, User};

use super::scripted::Follower;

pub fn pod(name: &str, node: &str, ip: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": "shop", "name": name, "uid": format!("uid-of-{name}"),
            "labels": { "app": "cart", "pod-template-hash": "abc" },
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "cart-abc", "uid": "r",
                "controller": true,
            }],
        },
        "spec": { "nodeName": node, "containers": [{ "name": "main", "image": "cart:1" }] },
        "status": { "phase": "Running", "podIP": ip, "podIPs": [{ "ip": ip }] },
    })
}

fn told(change: Change) -> (String, Vec<String>) {
    let Change::Pod(pod) = change else { panic!("{change:?}") };
    assert_eq!((&*pod.namespace, &*pod.node), ("shop", "n1"));
    let workload = pod.workload.unwrap();
    assert_eq!((&*workload.kind, &*workload.name), ("Deployment", "cart"));
    (pod.name.to_string(), pod.ips.iter().map(ToString::to_string).collect())
}

#[test]
fn pods_come_change_and_go() {
    let server = ApiServer::start(Options::default()).unwrap();
    server.add_user(User::service_account("amphipod", "agent", "t1", &["nodes/proxy"]));
    let url = server.kubelet("n1").unwrap();
    for (name, node, ip) in
        [("a", "n1", "10.0.0.1"), ("b", "n1", "10.0.0.2"), ("c", "n2", "10.0.1.1")]
    {
        server.apply(&pod(name, node, ip)).unwrap();
    }
    let directory = tempfile::tempdir().unwrap();
    let (ca, token) = (directory.path().join("ca.crt"), directory.path().join("token"));
    fs::write(&ca, server.authority()).unwrap();
    fs::write(&token, "wrong").unwrap();
    let follower = Follower::start(&format!(
        "[metadata]\nsource = \"kubelet\"\nkubelet = {url:?}\nkubelet_interval = \"1s\"\nca = {ca:?}\ntoken = {token:?}"
    ));
    follower.hears([Change::Stale]);
    let error = follower.link.facts().error;
    assert!(error.contains("answers 401") && error.contains("nodes/proxy"), "{error}");

    fs::write(&token, "t1").unwrap();
    let first = [told(follower.next()), told(follower.next())];
    assert_eq!(
        first,
        [("a".into(), vec!["10.0.0.1".into()]), ("b".into(), vec!["10.0.0.2".into()])]
    );
    follower.hears([Change::Synced, Change::Fresh]);
    let facts = follower.link.facts();
    assert_eq!((facts.state, &facts.peer, facts.malformed), (State::Fresh, &url, 0));
    assert!(facts.bytes_received > 0);

    server.apply(&pod("a", "n1", "10.0.0.9")).unwrap();
    assert_eq!(told(follower.next()), ("a".into(), vec!["10.0.0.9".into()]));
    server.delete(Resource::Pods, "shop", "b").unwrap();
    follower.hears([Change::PodGone { uid: "uid-of-b".into() }]);

    drop(server);
    follower.hears([Change::Stale]);
}
