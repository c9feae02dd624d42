use std::time::{Duration, Instant};

use sim::apiserver::{ApiServer, Fault, Hostile, Options, Resource, Versions, WatchList};

use super::client::{Client, JSON, PROTOBUF};
use super::wire::{self, open};
use super::{pod, soon, start};

const LIST_BY_WATCH: &str = "/api/v1/pods?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";

#[tokio::test]
async fn compaction_is_410_in_each_form() {
    let server = start();
    for index in 0..4 {
        server.apply(&pod("a", &index.to_string(), "x")).unwrap();
    }
    let client = Client::new(&server);
    let old = server.version();
    let page = client.json("/api/v1/pods?limit=2").await;
    let token = page["metadata"]["continue"].as_str().unwrap().to_owned();
    let mut running =
        client.watch(&format!("/api/v1/pods?watch=1&resourceVersion={old}"), JSON).await;
    server.fault(Fault::Compact);
    server.apply(&pod("a", "5", "x")).unwrap();
    assert_eq!(soon(running.brief()).await.0, "ADDED", "a watch that runs goes on");

    let watch = format!("/api/v1/pods?watch=1&resourceVersion={old}");
    let mut json = client.watch(&watch, JSON).await;
    let event = soon(json.next()).await;
    assert_eq!((&*event.kind, event.object["code"].as_u64()), ("ERROR", Some(410)));
    assert_eq!(
        (&event.object["reason"], &event.object["kind"]),
        (&"Expired".into(), &"Status".into())
    );
    assert!(soon(json.try_next()).await.is_none(), "and ends");
    let mut binary = client.watch(&watch, PROTOBUF).await;
    let event = soon(binary.next()).await;
    let (kind, failure) = open::<wire::Failure>(&event.raw);
    assert_eq!((&*event.kind, &*kind, failure.code), ("ERROR", "v1 Status", 410));
    server.fault(Fault::GoneByStatus(true));
    assert_eq!(client.watch(&watch, JSON).await.code, 410);

    let reply = client.get(&format!("/api/v1/pods?limit=2&continue={token}"), JSON).await;
    assert_eq!((reply.code, &reply.json()["reason"]), (410, &"Expired".into()));
    let again = reply.json()["metadata"]["continue"].as_str().unwrap().to_owned();
    let page = client.json(&format!("/api/v1/pods?limit=9&continue={again}")).await;
    assert_eq!(page["items"].as_array().unwrap().len(), 3, "the rest as it is now");
    let exact = format!("/api/v1/pods?resourceVersion={old}&resourceVersionMatch=Exact");
    assert_eq!(client.get(&exact, JSON).await.code, 410);
}

#[tokio::test]
async fn lists_by_watching_are_served_refused_or_ignored() {
    let options = Options { bookmark_interval: Duration::from_millis(20), ..Options::default() };
    let server = ApiServer::start(options).unwrap();
    server.apply(&pod("a", "one", "x")).unwrap();
    let client = Client::new(&server);
    let mut watch = client.watch(LIST_BY_WATCH, JSON).await;
    assert_eq!(soon(watch.brief()).await.0, "ADDED");
    let end = soon(watch.next()).await;
    assert_eq!(end.kind, "BOOKMARK");
    let metadata = &end.object["metadata"];
    assert_eq!(metadata["annotations"]["k8s.io/initial-events-end"], "true");
    assert_eq!(metadata["resourceVersion"], server.version().to_string());
    // Changes of other resources move bookmarks on.
    server.apply(&serde_json::json!({"kind": "Namespace", "metadata": {"name": "a"}})).unwrap();
    soon(async {
        while watch.brief().await != ("BOOKMARK".into(), String::new(), server.version()) {}
    })
    .await;
    let mut binary = client.watch(LIST_BY_WATCH, PROTOBUF).await;
    soon(binary.next()).await;
    let (kind, bookmark) = open::<wire::Pod>(&soon(binary.next()).await.raw);
    assert_eq!(kind, "v1 Pod");
    assert_eq!(bookmark.metadata.unwrap().annotations["k8s.io/initial-events-end"], "true");

    server.fault(Fault::WatchList(WatchList::Refused));
    assert_eq!(client.watch(LIST_BY_WATCH, JSON).await.code, 422);
    server.fault(Fault::WatchList(WatchList::Ignored));
    let mut watch = client.watch(LIST_BY_WATCH, JSON).await;
    assert_eq!(soon(watch.brief()).await.0, "ADDED");
    let bookmark = soon(watch.next()).await;
    assert!(bookmark.object["metadata"].get("annotations").is_none());
}

#[tokio::test]
async fn watches_are_dropped_in_order_and_abruptly() {
    let server = start();
    let client = Client::new(&server);
    let mut watch = client.watch("/api/v1/pods?watch=1", JSON).await;
    server.fault(Fault::DropWatches { abrupt: false });
    assert!(soon(watch.try_next()).await.is_none());
    let mut watch = client.watch("/api/v1/pods?watch=1", JSON).await;
    server.fault(Fault::DropWatches { abrupt: true });
    assert!(soon(watch.try_next()).await.unwrap().is_err());
    let mut watch = client.watch("/api/v1/pods?watch=1", JSON).await;
    server.apply(&pod("a", "one", "x")).unwrap();
    assert_eq!(soon(watch.brief()).await.0, "ADDED", "later ones are not");
}

/// Waits until the server answers again.
async fn up(client: &Client) {
    soon(async {
        while client.try_send("/readyz", JSON, None).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_restart_kills_connections_and_what_it_is_told_to() {
    let server = start();
    server.apply(&pod("a", "one", "x")).unwrap();
    let client = Client::new(&server);
    let check = async |versions, next: &str| {
        let from = server.version();
        let path = format!("/api/v1/pods?watch=1&resourceVersion={from}");
        let mut watch = client.watch(&path, JSON).await;
        server.fault(Fault::Restart { down: Duration::from_millis(50), versions });
        assert!(soon(watch.try_next()).await.is_none_or(|next| next.is_err()));
        server.apply(&pod("a", "one", "x")).unwrap();
        up(&client).await;
        let mut watch = client.watch(&path, JSON).await;
        let text =
            if watch.code == 200 { soon(watch.next()).await.kind } else { watch.code.to_string() };
        assert_eq!(text, next, "{versions:?}");
    };
    check(Versions::Continue, "MODIFIED").await;
    check(Versions::Forget, "ERROR").await;
    for _ in 0..20 {
        server.apply(&pod("a", "one", "x")).unwrap();
    }
    check(Versions::Reset, "504").await;
    assert_eq!(client.json("/api/v1/pods").await["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn flapping_ends() {
    let server = start();
    let client = Client::new(&server);
    let mut watch = client.watch("/api/v1/pods?watch=1", JSON).await;
    server.fault(Fault::Flap { times: 3, every: Duration::from_millis(20) });
    assert!(soon(watch.try_next()).await.is_none_or(|next| next.is_err()));
    let mut watch = soon(async {
        loop {
            up(&client).await;
            // It may go down again before the request.
            let Ok(mut watch) = client.try_watch("/api/v1/pods?watch=1", JSON).await else {
                continue;
            };
            let quiet = Duration::from_millis(200);
            if tokio::time::timeout(quiet, watch.try_next()).await.is_err() {
                return watch;
            }
        }
    })
    .await;
    server.apply(&pod("a", "one", "x")).unwrap();
    assert_eq!(soon(watch.brief()).await.0, "ADDED");
}

#[tokio::test]
async fn a_partition_is_silent_and_ends() {
    let server = start();
    let client = Client::new(&server);
    let mut watch = client.watch("/api/v1/pods?watch=1", JSON).await;
    let time = Duration::from_millis(300);
    let start = Instant::now();
    server.fault(Fault::Partition(time));
    server.apply(&pod("a", "one", "x")).unwrap();
    // A new connection is accepted, and hears nothing; nor does the one that exists.
    let (new, old) = tokio::join!(client.get("/readyz", JSON), soon(watch.brief()));
    assert!(start.elapsed() >= time, "{:?}", start.elapsed());
    assert_eq!((new.code, &*old.0), (200, "ADDED"));
}

#[tokio::test]
async fn old_slow_and_busy_servers() {
    let server = start();
    server.apply(&pod("a", "one", "x")).unwrap();
    let client = Client::new(&server);
    server.fault(Fault::JsonOnly(true));
    assert_eq!(client.get("/api/v1/pods", PROTOBUF).await.code, 406);
    let either = client.get("/api/v1/pods", &format!("{PROTOBUF},{JSON}")).await;
    assert_eq!((either.code, &*either.content_type), (200, JSON));
    server.fault(Fault::JsonOnly(false));
    let time = Duration::from_millis(100);
    server.fault(Fault::SlowLists(time));
    let start = Instant::now();
    client.get("/api/v1/pods", JSON).await;
    assert!(start.elapsed() >= time);
    server.fault(Fault::SlowLists(Duration::ZERO));
    server.fault(Fault::Overload { requests: 1, retry_after_s: 7 });
    let busy = client.get("/api/v1/pods", JSON).await;
    assert_eq!((busy.code, busy.json()["details"]["retryAfterSeconds"].as_u64()), (429, Some(7)));
    assert_eq!(client.get("/api/v1/pods", JSON).await.code, 200);
}

#[tokio::test]
async fn a_resumed_watch_repeats_itself() {
    let server = start();
    for name in ["one", "two", "three"] {
        server.apply(&pod("a", name, "x")).unwrap();
    }
    server.delete(Resource::Pods, "a", "two");
    let client = Client::new(&server);
    let path = format!("/api/v1/pods?watch=1&resourceVersion={}", server.version());
    let check = async |reversed, expected: &[(&str, &str)]| {
        server.fault(Fault::Replay { events: 3, reversed });
        let mut watch = client.watch(&path, JSON).await;
        for (kind, name) in expected {
            let told = soon(watch.brief()).await;
            assert_eq!((&*told.0, &*told.1), (*kind, *name), "{reversed}");
        }
    };
    check(false, &[("ADDED", "two"), ("ADDED", "three"), ("DELETED", "two")]).await;
    check(true, &[("DELETED", "two"), ("ADDED", "three"), ("ADDED", "two")]).await;
}

#[tokio::test]
async fn a_slow_watcher_is_cut_off() {
    let server = ApiServer::start(Options { watch_buffer: 10, ..Options::default() }).unwrap();
    let client = Client::new(&server);
    let mut slow = client.watch("/api/v1/pods?watch=1", JSON).await;
    server.apply(&pod("a", "first", "x")).unwrap();
    assert_eq!(soon(slow.brief()).await.1, "first");
    // More than fits into the buffers between.
    let mut big = pod("a", "big", "x");
    big["metadata"]["annotations"] = serde_json::json!({ "a": "x".repeat(1 << 20) });
    for _ in 0..100 {
        server.apply(&big).unwrap();
    }
    let mut told = 0;
    while let Some(event) = soon(slow.try_next()).await {
        event.unwrap();
        told += 1;
    }
    assert!(told < 100, "{told}");
}

#[tokio::test]
async fn hostile_objects_are_served() {
    let server = start();
    for which in Hostile::ALL {
        server.fault(Fault::Hostile(which));
    }
    let client = Client::new(&server);
    let json = client.json("/api/v1/namespaces/hostile/pods").await;
    let pods = json["items"].as_array().unwrap();
    assert_eq!(pods.len(), server.objects(Resource::Pods).len());
    let has = |test: &dyn Fn(&serde_json::Value) -> bool| assert!(pods.iter().any(test));
    has(&|pod| pod["metadata"]["labels"].as_object().is_some_and(|labels| labels.len() == 10_000));
    has(&|pod| {
        pod["metadata"]["annotations"]["example.com/huge"]
            .as_str()
            .is_some_and(|text| text.len() == 1 << 20)
    });
    has(&|pod| pod.get("status").is_none());
    has(&|pod| pod["status"]["podIPs"][0]["ip"] == "999.1.2.3");
    let body = client.get("/api/v1/namespaces/hostile/pods", PROTOBUF).await.body;
    assert!(body.windows(3).any(|bytes| bytes == [0xff, 0xfe, 0xc0]), "invalid UTF-8");
    let unknown = <wire::Unknown as prost::Message>::decode(&body[4..]).unwrap();
    assert!(<wire::PodList as prost::Message>::decode(&*unknown.raw).is_err());
}
