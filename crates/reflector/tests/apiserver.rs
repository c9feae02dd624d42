//! The view of a receiver equals what the simulated API server has, whatever happens in between.

// A test fails where something is wrong.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use reflector::{
    Access, Allowed, Cause, Client, Counters, Event, Object, Options, Patience, Resource, watch,
};
use sim::apiserver::{ApiServer, Fault, Hostile, Population, Shape, Versions, WatchList};
use tempfile::TempDir;
use tokio::sync::mpsc::{Receiver, channel};
use tokio_util::sync::{CancellationToken, DropGuard};

const SOON: Duration = Duration::from_secs(30);

/// What a receiver knows of one resource: by namespace and name, the uid.
#[derive(Default)]
struct View {
    objects: BTreeMap<String, Object>,
    /// What was not applied since the list began.
    old: BTreeMap<String, Object>,
    listed: bool,
}

impl View {
    fn take(&mut self, event: Event) {
        match event {
            Event::Relisting(_) => {
                let mut known = std::mem::take(&mut self.objects);
                known.extend(std::mem::take(&mut self.old));
                self.old = known;
            }
            Event::Applied(object) => {
                let key = name(&object.key());
                self.old.remove(&key);
                self.objects.insert(key, object);
            }
            Event::Deleted(key) => {
                self.old.remove(&name(&key));
                self.objects.remove(&name(&key));
            }
            Event::Listed(_) => {
                self.old.clear();
                self.listed = true;
            }
            Event::Failed { .. } | Event::Resumed(_) => {}
        }
    }
}

fn name(key: &reflector::ObjectKey) -> String {
    match &*key.namespace {
        "" => key.name.to_string(),
        namespace => format!("{namespace}/{}", key.name),
    }
}

struct Cluster {
    server: ApiServer,
    population: Population,
    views: Vec<(Resource, View, Receiver<Event>)>,
    counters: Arc<Counters>,
    _folder: TempDir,
    _stop: DropGuard,
}

fn options() -> Options {
    let millis = Duration::from_millis;
    let patience = Patience {
        first: millis(5),
        unreachable: millis(50),
        busy: millis(50),
        refused: millis(50),
    };
    Options {
        labels: Allowed::new(["*"]),
        patience,
        // Long enough for a busy machine, and a partition ends by it.
        list_silence: millis(1000),
        watch_silence: millis(1000),
        answer_within: millis(1000),
        ..Options::default()
    }
}

impl Cluster {
    async fn start(pods: u32, options: Options) -> Self {
        let server = ApiServer::start(sim::apiserver::Options {
            bookmark_interval: Duration::from_millis(200),
            ..<_>::default()
        })
        .unwrap();
        let mut population = Population::new(Shape { nodes: 3, pods, ..Shape::default() });
        population.create(&server).unwrap();
        Self::watching(server, population, options).await
    }

    async fn watching(server: ApiServer, population: Population, options: Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("config");
        std::fs::write(&kubeconfig, server.kubeconfig()).unwrap();
        let access = Access { kubeconfig: Some(kubeconfig), context: None };
        let client = Client::new(access).await.unwrap();
        let cancel = CancellationToken::new();
        let counters = options.counters.clone();
        let views = Resource::ALL.map(|resource| {
            let (out, events) = channel(64);
            let watch = watch(client.clone(), resource, options.clone(), out, cancel.clone());
            tokio::spawn(watch);
            (resource, View::default(), events)
        });
        let _stop = cancel.drop_guard();
        Self { server, population, views: views.into(), counters, _folder: folder, _stop }
    }

    fn truth(&self, resource: Resource) -> BTreeMap<String, String> {
        let same = sim::apiserver::Resource::ALL.into_iter().find(|r| r.name() == resource.name());
        let objects = self.server.objects(same.unwrap());
        // What has no uid is no object of an API server, and is left out.
        let objects = objects.iter().filter(|object| !object.uid.is_empty());
        objects.map(|object| (object.key(), object.uid.to_string())).collect()
    }

    /// Takes events until every view equals the truth.
    async fn agree(&mut self, when: &str) {
        let until = Instant::now() + SOON;
        loop {
            for (_, view, events) in &mut self.views {
                while let Ok(event) = events.try_recv() {
                    view.take(event);
                }
            }
            let differs = self.views.iter().find_map(|(resource, view, _)| {
                let truth = self.truth(*resource);
                let seen: BTreeMap<_, _> = view
                    .objects
                    .iter()
                    .map(|(key, object)| (key.clone(), object.uid().to_string()))
                    .collect();
                let same = view.listed && view.old.is_empty() && seen == truth;
                (!same).then(|| {
                    let missing = truth.keys().filter(|key| !seen.contains_key(*key)).count();
                    let extra = seen.keys().filter(|key| !truth.contains_key(*key)).count();
                    format!("{resource}: {missing} missing, {extra} extra, listed {}", view.listed)
                })
            });
            let Some(differs) = differs else { return };
            assert!(Instant::now() < until, "{when}: {differs}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn churn(&mut self, changes: usize) {
        self.population.churn(&self.server, changes).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_view_is_the_cluster() {
    let mut cluster = Cluster::start(60, options()).await;
    cluster.agree("at first").await;
    cluster.churn(500);
    cluster.agree("after changes").await;
    let (_, view, _) = &cluster.views[0];
    let Some(Object::Pod(pod)) = view.objects.values().find(
        |object| matches!(object, Object::Pod(pod) if !pod.ips.is_empty() && !pod.host_network),
    ) else {
        panic!("no pod has an address")
    };
    assert!(!pod.node.is_empty() && !pod.containers.is_empty() && !pod.labels.is_empty());
    assert!(pod.owner.is_some() && pod.containers.iter().any(|container| container.id.is_some()));
    let counters = &cluster.counters;
    assert_eq!(counters.malformed.load(Ordering::Relaxed), 0);
    assert_eq!(counters.failures.load(Ordering::Relaxed), 0);
    assert_eq!(Cause::ALL.map(|cause| counters.hostile(cause)), [0; Cause::ALL.len()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_and_json_are_the_same() {
    for (streamed, json) in [(false, false), (false, true), (true, true)] {
        let options = Options { streamed, page: 7, ..options() };
        let server = ApiServer::start(<_>::default()).unwrap();
        server.fault(Fault::JsonOnly(json));
        let mut population = Population::new(Shape { nodes: 3, pods: 30, ..Shape::default() });
        population.create(&server).unwrap();
        let mut cluster = Cluster::watching(server, population, options).await;
        cluster.agree("at first").await;
        cluster.churn(100);
        cluster.agree("after changes").await;
        assert_eq!(cluster.counters.malformed.load(Ordering::Relaxed), 0, "{streamed} {json}");
    }
}

/// Objects are read to the same whether they come in protobuf or in JSON.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn protobuf_and_json_say_the_same() {
    let server = ApiServer::start(<_>::default()).unwrap();
    let shape = Shape { nodes: 3, pods: 60, ..Shape::default() };
    Population::new(shape).create(&server).unwrap();
    for hostile in [Hostile::AbsurdAddresses, Hostile::NoStatus, Hostile::Owners] {
        server.fault(Fault::Hostile(hostile));
    }
    let mut views = Vec::new();
    for protobuf in [true, false] {
        let population = Population::new(shape);
        let options = Options { protobuf, ..options() };
        let mut cluster = Cluster::watching(server.clone(), population, options).await;
        cluster.agree("at first").await;
        let taken = cluster.views.drain(..).map(|(_, view, _)| view.objects).collect::<Vec<_>>();
        let hostile = Cause::ALL.map(|cause| cluster.counters.hostile(cause));
        views.push((taken, hostile));
    }
    for (protobuf, json) in views[0].0.iter().zip(&views[1].0) {
        for (key, object) in protobuf {
            assert_eq!(Some(object), json.get(key), "{key}");
        }
    }
    assert_eq!(views[0].1, views[1].1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_view_is_the_cluster_after_any_fault() {
    let seed = match std::env::var("SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => fastrand::u64(..),
    };
    println!("SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut cluster = Cluster::start(60, options()).await;
    cluster.agree("at first").await;
    let (short, long) = (Duration::from_millis(20), Duration::from_millis(300));
    for step in 0..25 {
        let fault = match random.u32(..13) {
            0 => Fault::DropWatches { abrupt: true },
            1 => Fault::DropWatches { abrupt: false },
            2 => Fault::SlowLists(short),
            3 => Fault::Compact,
            4 => Fault::Restart { down: long, versions: Versions::Continue },
            5 => Fault::Restart { down: long, versions: Versions::Forget },
            6 => Fault::Flap { times: 3, every: short },
            7 => Fault::Partition(long),
            8 => Fault::Replay { events: 50, reversed: random.bool() },
            9 => Fault::WatchList([WatchList::Served, WatchList::Refused][random.usize(..2)]),
            10 => Fault::GoneByStatus(random.bool()),
            11 => Fault::JsonOnly(random.bool()),
            _ => Fault::Overload { requests: 3, retry_after_s: 0 },
        };
        println!("step {step}: {fault:?}");
        cluster.churn(random.usize(..200));
        cluster.server.fault(fault);
        cluster.churn(random.usize(..200));
        if random.bool() {
            cluster.server.fault(Fault::DropWatches { abrupt: random.bool() });
            cluster.churn(random.usize(..50));
        }
        if random.u32(..3) > 0 {
            cluster.agree(&format!("SEED={seed}, step {step}, {fault:?}")).await;
        }
    }
    cluster.agree(&format!("SEED={seed}, at the end")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_memory_that_was_restored_is_listed_anew() {
    let mut cluster = Cluster::start(60, options()).await;
    cluster.churn(500);
    cluster.agree("at first").await;
    let versions = Versions::Reset;
    cluster.server.fault(Fault::Restart { down: Duration::from_millis(50), versions });
    cluster.agree("after the restart").await;
    let until = Instant::now() + SOON;
    while cluster.counters.expired.load(Ordering::Relaxed) < 7 {
        assert!(Instant::now() < until, "every watch finds out");
        cluster.agree("meanwhile").await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    cluster.churn(100);
    cluster.agree("after changes").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_streamed_list_without_an_end_is_asked_for_in_pages() {
    let server = ApiServer::start(<_>::default()).unwrap();
    server.fault(Fault::WatchList(WatchList::Ignored));
    let mut population = Population::new(Shape { nodes: 3, pods: 30, ..Shape::default() });
    population.create(&server).unwrap();
    let options = Options { list_silence: Duration::from_millis(200), ..options() };
    let mut cluster = Cluster::watching(server, population, options).await;
    cluster.agree("at first").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_objects_harm_nothing() {
    let mut cluster = Cluster::start(30, options()).await;
    cluster.agree("at first").await;
    for hostile in Hostile::ALL {
        cluster.server.fault(Fault::Hostile(hostile));
    }
    // Behind all of them in the same stream.
    let last = serde_json::json!({
        "kind": "Pod", "metadata": { "name": "last", "namespace": "hostile", "uid": "last" },
    });
    cluster.server.apply(&last).unwrap();
    let (_, view, events) = &mut cluster.views[0];
    while !view.objects.contains_key("hostile/last") {
        let event = tokio::time::timeout(SOON, events.recv()).await;
        view.take(event.expect("the watch goes on").expect("the watch lives"));
    }
    let Some(Object::Pod(pod)) = view.objects.get("hostile/many-labels") else { panic!() };
    assert_eq!(pod.labels.len(), 64);
    let Some(Object::Pod(pod)) = view.objects.get("hostile/huge-annotation") else { panic!() };
    assert!(pod.annotations.is_empty() && pod.ips.len() == 1);
    let counters = &cluster.counters;
    assert_eq!(counters.reconnects.load(Ordering::Relaxed), 0);
    for cause in [Cause::BadAddress, Cause::RepeatedAddress, Cause::TooManyLabels, Cause::Nameless]
    {
        assert!(counters.hostile(cause) > 0, "{cause:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_right_is_named_and_used_once_granted() {
    let server = ApiServer::start(<_>::default()).unwrap();
    let token = "reader";
    let reader = sim::apiserver::User::service_account("amphipod", "hub", token, &[]);
    let allowed = sim::apiserver::User::service_account("amphipod", "hub", token, &["jobs.batch"]);
    server.add_user(reader);
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("config");
    std::fs::write(&kubeconfig, server.kubeconfig_for(token)).unwrap();
    let access = Access { kubeconfig: Some(kubeconfig), context: None };
    let client = Client::new(access).await.unwrap();
    let (out, mut events) = channel(8);
    let cancel = CancellationToken::new();
    let _stop = cancel.clone().drop_guard();
    tokio::spawn(watch(client, Resource::Jobs, options(), out, cancel));
    let event = tokio::time::timeout(SOON, events.recv()).await.unwrap().unwrap();
    let Event::Failed { error, .. } = event else { panic!("{event:?}") };
    let text = error.to_string();
    assert!(text.contains("watch jobs") && text.contains("API group \"batch\""), "{text}");
    server.add_user(allowed);
    let until = Instant::now() + SOON;
    while Instant::now() < until {
        match tokio::time::timeout(SOON, events.recv()).await.unwrap().unwrap() {
            Event::Listed(Resource::Jobs) => return,
            Event::Failed { .. } | Event::Relisting(_) | Event::Applied(_) => {}
            event => panic!("{event:?}"),
        }
    }
    panic!("the right that was granted is not used");
}
