//! Names from a simulated API server, without a hub.

use std::fs;
use std::net::IpAddr;
use std::time::Duration;

use agent::kube::State;
use model::{Change, Service};
use serde_json::json;
use sim::apiserver::{ApiServer, Fault, Options, Resource, User, Versions};
use tempfile::TempDir;

use super::kubelet::pod;
use super::scripted::Follower;

const TOKEN: &str = "t1";

/// An API server with one user, who may read `reads`, and who follows it.
fn start(reads: &[&str], objects: &[serde_json::Value]) -> (ApiServer, TempDir, Follower) {
    let server = ApiServer::start(Options::default()).unwrap();
    server.add_user(User::service_account("amphipod", "agent", TOKEN, reads));
    for object in objects {
        server.apply(object).unwrap();
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kubeconfig");
    fs::write(&path, server.kubeconfig_for(TOKEN)).unwrap();
    let config = format!("[metadata]\nsource = \"kube\"\nkubeconfig = {path:?}");
    let follower = Follower::start(&config);
    (server, directory, follower)
}

fn service(name: &str, ip: &str) -> serde_json::Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "namespace": "shop", "name": name, "uid": format!("uid-of-{name}") },
        "spec": { "clusterIP": ip, "clusterIPs": [ip], "ports": [{ "port": 80 }] },
    })
}

/// What was told of a pod or a service: pods and services come side by side.
fn told(change: &Change) -> String {
    let ips = |ips: &[IpAddr]| ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    match change {
        Change::Pod(pod) => {
            let workload = pod.workload.as_ref().map_or("", |it| &it.name);
            format!("pod {} of {workload} at {}", pod.name, ips(&pod.ips))
        }
        Change::PodGone { uid } => format!("without {uid}"),
        Change::Service(Service { name, ips: at, .. }) => format!("service {name} at {}", ips(at)),
        Change::ServiceGone { name, .. } => format!("without service {name}"),
        other => format!("{other:?}"),
    }
}

/// Waits for as many changes as are expected, in any order, and after them for `last` in this order.
fn hears(follower: &Follower, expected: &[&str], last: &[Change]) {
    let mut found: Vec<String> = expected.iter().map(|_| told(&follower.next())).collect();
    found.sort_unstable();
    assert_eq!(found, expected);
    for last in last {
        assert_eq!(follower.next(), *last);
    }
}

#[test]
fn pods_of_the_node_and_all_services_come_change_and_go() {
    let objects = [
        pod("a", "n1", "10.0.0.1"),
        pod("b", "n1", "10.0.0.2"),
        pod("c", "n2", "10.0.1.1"),
        service("cart", "10.96.0.1"),
    ];
    let (server, _directory, follower) = start(&["pods", "services"], &objects);
    let all =
        ["pod a of cart at 10.0.0.1", "pod b of cart at 10.0.0.2", "service cart at 10.96.0.1"];
    hears(&follower, &all, &[Change::Synced, Change::Fresh]);
    let facts = follower.link.facts();
    assert_eq!((facts.state, facts.malformed), (State::Fresh, 0));
    // With a slash at its end.
    assert_eq!(facts.peer.trim_end_matches('/'), server.url());

    server.apply(&pod("d", "n2", "10.0.1.2")).unwrap();
    server.apply(&pod("a", "n1", "10.0.0.9")).unwrap();
    hears(&follower, &["pod a of cart at 10.0.0.9"], &[]);
    server.delete(Resource::Pods, "shop", "b").unwrap();
    hears(&follower, &["without uid-of-b"], &[]);
    server.apply(&service("pay", "10.96.0.2")).unwrap();
    hears(&follower, &["service pay at 10.96.0.2"], &[]);
    server.delete(Resource::Services, "shop", "cart").unwrap();
    hears(&follower, &["without service cart"], &[]);
    // Other nodes' pods would cost the API server as much for each node as there are pods in the cluster.
    let read = server.requests().into_iter().filter(|it| it.path == "/api/v1/pods");
    let objects: u64 = read.map(|it| it.objects).sum();
    assert!(objects <= 5, "{objects} of two pods, a bookmark and two changes");
}

/// Stops the server for a while, and returns once its follower knows.
fn restart(server: &ApiServer, follower: &Follower) {
    let down = Duration::from_secs(3);
    server.fault(Fault::Restart { down, versions: Versions::Continue });
    follower.hears([Change::Stale]);
}

#[test]
fn history_that_the_server_has_forgotten_is_made_up_for() {
    let objects =
        [pod("a", "n1", "10.0.0.1"), pod("b", "n1", "10.0.0.2"), service("cart", "10.96.0.1")];
    let (server, _directory, follower) = start(&["pods", "services"], &objects);
    let all =
        ["pod a of cart at 10.0.0.1", "pod b of cart at 10.0.0.2", "service cart at 10.96.0.1"];
    hears(&follower, &all, &[Change::Synced, Change::Fresh]);
    server.fault(Fault::GoneByStatus(true));
    server.forget_requests();
    restart(&server, &follower);
    server.delete(Resource::Pods, "shop", "a").unwrap();
    server.delete(Resource::Services, "shop", "cart").unwrap();
    server.apply(&pod("e", "n1", "10.0.0.3")).unwrap();
    server.fault(Fault::Compact);
    // Services may be back before it is known what pods there are.
    let again = [
        "Fresh",
        "pod b of cart at 10.0.0.2",
        "pod e of cart at 10.0.0.3",
        "without service cart",
        "without uid-of-a",
    ];
    hears(&follower, &again, &[]);
    let gone = |it: &sim::apiserver::Request| it.path == "/api/v1/pods" && it.failed > 0;
    assert!(server.requests().iter().any(gone), "nothing was asked for that is forgotten");
}

#[test]
fn a_server_that_comes_back_with_nothing_new_makes_names_fresh() {
    let objects = [pod("a", "n1", "10.0.0.1"), service("cart", "10.96.0.1")];
    let (server, _directory, follower) = start(&["pods", "services"], &objects);
    let all = ["pod a of cart at 10.0.0.1", "service cart at 10.96.0.1"];
    hears(&follower, &all, &[Change::Synced, Change::Fresh]);
    restart(&server, &follower);
    follower.hears([Change::Fresh]);
}

#[test]
fn a_right_that_is_missing_is_named_and_the_rest_is_told() {
    let objects = [pod("a", "n1", "10.0.0.1"), service("cart", "10.96.0.1")];
    let (_server, _directory, follower) = start(&["pods"], &objects);
    hears(&follower, &["Stale", "pod a of cart at 10.0.0.1"], &[]);
    let facts = follower.link.facts();
    assert_eq!(facts.state, State::Stale);
    for part in ["services", "grant the verbs list and watch on services in API group \"\""] {
        assert!(facts.error.contains(part), "{}", facts.error);
    }
}
