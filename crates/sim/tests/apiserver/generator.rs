use std::collections::{BTreeMap, HashMap};

use model::{Change, Container, Service, Workload};
use sim::apiserver::{ApiServer, Churn, Mirror, Options, Population, Resource, Shape};

use super::client::{Client, JSON, PROTOBUF};
use super::wire::{self, open};
use super::{pod, soon, start};

const SHAPE: Shape = Shape { nodes: 5, pods: 200, zones: 3, seed: 7 };

fn create(server: &ApiServer, shape: Shape) -> Population {
    let mut population = Population::new(shape);
    population.create(server).unwrap();
    population
}

/// Names and versions: the same for the same history.
fn state(server: &ApiServer) -> Vec<(String, u64, String)> {
    let objects = Resource::ALL.into_iter().flat_map(|resource| server.objects(resource));
    objects.map(|object| (object.key(), object.version, object.uid.to_string())).collect()
}

#[test]
fn a_seed_makes_one_cluster() {
    let check = |seed| {
        let server = start();
        let mut population = create(&server, Shape { seed, ..SHAPE });
        population.churn(&server, 500).unwrap();
        state(&server)
    };
    let first = check(7);
    assert_eq!(first, check(7));
    assert_ne!(first, check(8));
}

#[tokio::test]
async fn pods_are_as_large_and_as_various_as_real_ones() {
    let server = start();
    let population = create(&server, SHAPE);
    assert_eq!(population.pods(), 200);
    let client = Client::new(&server);
    let list = client.get("/api/v1/pods", JSON).await;
    let mean = list.body.len() / 200;
    assert!((18_000..23_000).contains(&mean), "{mean} bytes of JSON each");
    let (_, pods) = open::<wire::PodList>(&client.get("/api/v1/pods", PROTOBUF).await.body);
    let mut owners = BTreeMap::<_, usize>::new();
    for pod in &pods.items {
        *owners.entry(pod.metadata.as_ref().unwrap().owners[0].kind.as_str()).or_default() += 1;
    }
    println!("{mean} bytes of JSON each; {owners:?}");
    for kind in ["ReplicaSet", "StatefulSet", "DaemonSet", "Job"] {
        assert!(owners.contains_key(kind), "{kind}");
    }
    // Each address is one pod's, but for those in the host's network.
    let mut ips = HashMap::<_, usize>::new();
    for pod in pods.items.iter().filter(|pod| !pod.spec.as_ref().unwrap().host_network) {
        for ip in &pod.status.as_ref().unwrap().ips {
            *ips.entry(ip.ip.clone()).or_default() += 1;
        }
    }
    assert!(ips.values().all(|&count| count == 1) && ips.len() > 300, "{}", ips.len());
    assert!(pods.items.iter().any(|pod| pod.spec.as_ref().unwrap().host_network));
    // Every owner that is served is there, and leads on to a workload.
    for pod in &pods.items {
        let metadata = pod.metadata.as_ref().unwrap();
        let owner = &metadata.owners[0];
        let resource = match &*owner.kind {
            "ReplicaSet" => Resource::ReplicaSets,
            "Job" => Resource::Jobs,
            _ => continue,
        };
        let owner = server.get(resource, &metadata.namespace, &owner.name).unwrap();
        let above =
            owner.json()["metadata"]["ownerReferences"][0]["kind"].as_str().unwrap().to_owned();
        assert!(["Deployment", "Rollout", "CronJob"].contains(&&*above), "{above}");
    }
    let slice = &server.objects(Resource::EndpointSlices)[0].json();
    assert!(
        slice["endpoints"][0]["targetRef"]["name"].is_string() && slice["addressType"] == "IPv4"
    );
    for resource in Resource::ALL {
        assert!(!server.objects(resource).is_empty(), "{}", resource.name());
    }
}

/// Names and versions of pods, as a client has them that only watches, once it has been told of `last`.
async fn follow(client: Client, last: &str) -> BTreeMap<String, u64> {
    let path = "/api/v1/pods?watch=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
    let mut watch = client.watch(path, PROTOBUF).await;
    let mut view = BTreeMap::new();
    while !view.contains_key(last) {
        let event = soon(watch.next()).await;
        let metadata = open::<wire::Pod>(&event.raw).1.metadata.unwrap();
        let version = metadata.resource_version.parse().unwrap();
        let key = format!("{}/{}", metadata.namespace, metadata.name);
        match &*event.kind {
            "ADDED" => assert!(view.insert(key, version).is_none(), "{}", metadata.name),
            "MODIFIED" => assert!(view.insert(key, version) < Some(version), "{}", metadata.name),
            "DELETED" => assert!(view.remove(&key).is_some(), "{}", metadata.name),
            kind => assert_eq!(kind, "BOOKMARK"),
        }
    }
    view
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_by_watching_is_the_truth() {
    let server = ApiServer::start(Options { watch_buffer: 100_000, ..Options::default() }).unwrap();
    let churn = Churn::start(server.clone(), create(&server, SHAPE), 2000).unwrap();
    let reach = async |version: u64| {
        while server.version() < version {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    soon(reach(server.version() + 200)).await;
    let following = tokio::spawn(follow(Client::new(&server), "a/last"));
    soon(reach(server.version() + 1000)).await;
    churn.stop().unwrap();
    server.apply(&pod("a", "last", "x")).unwrap();
    let view = following.await.unwrap();
    let pods = server.objects(Resource::Pods);
    let truth: BTreeMap<_, _> = pods.iter().map(|pod| (pod.key(), pod.version)).collect();
    assert!(view == truth, "{} of {}", view.len(), truth.len());
}

#[test]
fn churn_reuses_addresses_and_keeps_the_size() {
    let server = start();
    let mut population = create(&server, SHAPE);
    let ips = |server: &ApiServer| -> BTreeMap<String, String> {
        let pods = server.objects(Resource::Pods);
        pods.iter()
            .filter(|pod| pod.json()["spec"].get("hostNetwork").is_none())
            .filter_map(|pod| {
                let ip = pod.json()["status"]["podIP"].as_str()?.to_owned();
                Some((ip, pod.uid.to_string()))
            })
            .collect()
    };
    let before = ips(&server);
    let made = population.churn(&server, 400).unwrap();
    assert!((400..450).contains(&made), "{made}");
    let after = ips(&server);
    let reused = after.iter().filter(|(ip, uid)| before.get(*ip).is_some_and(|old| old != *uid));
    assert!(reused.count() > 10);
    assert!((180..=200).contains(&population.pods()), "{}", population.pods());
    assert_eq!(server.objects(Resource::Pods).len(), population.pods());
}

#[test]
fn a_mirror_makes_full_objects_of_changes() {
    let server = start();
    let mut mirror = Mirror::new(server.clone());
    let pod = |name: &str, kind: &str, workload: &str, ips: &[&str]| model::Pod {
        uid: format!("uid-{name}").into(),
        namespace: "shop".into(),
        name: name.into(),
        node: "n1".into(),
        ips: ips.iter().map(|ip| ip.parse().unwrap()).collect(),
        host_network: false,
        workload: Some(Workload { kind: kind.into(), name: workload.into() }),
        containers: vec![Container { id: "c0ffee".into(), name: "main".into() }],
        labels: [("app".into(), workload.into())].into(),
        zone: Some("zone-a".into()),
    };
    let service = Service {
        namespace: "shop".into(),
        name: "cart".into(),
        ips: vec!["10.96.0.1".parse().unwrap()],
    };
    let changes = [
        Change::Service(service),
        Change::Pod(pod("cart-7d9f-x2x4z", "Deployment", "cart", &["10.0.0.1", "fd00::1"])),
        Change::Pod(pod("invoice-29000001-abcde", "CronJob", "invoice", &["10.0.0.2"])),
        Change::Synced,
    ];
    for change in &changes {
        mirror.apply(change).unwrap();
    }
    let get = |resource, name: &str| server.get(resource, "shop", name).map(|object| object.json());
    let cart = get(Resource::Pods, "cart-7d9f-x2x4z").unwrap();
    assert_eq!(cart["metadata"]["ownerReferences"][0]["name"], "cart-7d9f");
    assert_eq!(cart["status"]["containerStatuses"][0]["containerID"], "containerd://c0ffee");
    assert_eq!(cart["status"]["startTime"], cart["metadata"]["creationTimestamp"]);
    let set = get(Resource::ReplicaSets, "cart-7d9f").unwrap();
    assert_eq!(set["metadata"]["uid"], cart["metadata"]["ownerReferences"][0]["uid"]);
    assert_eq!(set["metadata"]["ownerReferences"][0]["kind"], "Deployment");
    assert!(get(Resource::Jobs, "invoice-29000001").is_some());
    assert_eq!(
        get(Resource::EndpointSlices, "cart-ipv6").unwrap()["endpoints"][0]["addresses"][0],
        "fd00::1"
    );
    assert_eq!(get(Resource::Services, "cart").unwrap()["spec"]["clusterIP"], "10.96.0.1");
    let node = server.get(Resource::Nodes, "", "n1").unwrap().json();
    assert_eq!(node["metadata"]["labels"]["topology.kubernetes.io/zone"], "zone-a");
    assert_eq!(node["status"]["addresses"][0]["type"], "Hostname", "no other address is known");
    let exporter = pod("exporter-abcde", "DaemonSet", "exporter", &["192.0.2.1"]);
    mirror.apply(&Change::Pod(model::Pod { host_network: true, ..exporter })).unwrap();
    let node = server.get(Resource::Nodes, "", "n1").unwrap().json();
    assert_eq!(node["status"]["addresses"][0]["address"], "192.0.2.1");
    assert_eq!(get(Resource::Pods, "exporter-abcde").unwrap()["spec"]["hostNetwork"], true);
    mirror.apply(&Change::PodGone { uid: "uid-exporter-abcde".into() }).unwrap();
    let again =
        model::Pod { uid: "uid-again".into(), ..pod("redis-0", "StatefulSet", "redis", &[]) };
    mirror.apply(&Change::Pod(pod("redis-0", "StatefulSet", "redis", &[]))).unwrap();
    mirror.apply(&Change::Pod(again)).unwrap();
    mirror.apply(&Change::PodGone { uid: "uid-redis-0".into() }).unwrap();
    assert_eq!(get(Resource::Pods, "redis-0").unwrap()["metadata"]["uid"], "uid-again");
    mirror.apply(&Change::PodGone { uid: "uid-again".into() }).unwrap();
    mirror.apply(&Change::PodGone { uid: "uid-cart-7d9f-x2x4z".into() }).unwrap();
    mirror.apply(&Change::PodGone { uid: "uid-invoice-29000001-abcde".into() }).unwrap();
    assert!(server.objects(Resource::Pods).is_empty() && server.objects(Resource::Jobs).is_empty());
    assert_eq!(
        get(Resource::EndpointSlices, "cart-ipv6").unwrap()["endpoints"][0],
        serde_json::Value::Null
    );
}
