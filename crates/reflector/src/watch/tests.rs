use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::timeout;
use tokio_util::sync::DropGuard;

use super::server::{PROTOBUF, Reply, Server, configure, json, reply};
use super::*;
use crate::encode::{bookmark, event, list, message, pod};
use crate::{Counters, Object, Patience};

const SOON: Duration = Duration::from_secs(20);

fn quick() -> Options {
    let millis = Duration::from_millis;
    let patience =
        Patience { first: millis(1), unreachable: millis(5), busy: millis(5), refused: millis(5) };
    Options { patience, page: 2, ..Options::default() }
}

struct Watched {
    server: Server,
    events: Receiver<Event>,
    counters: Arc<Counters>,
    _stop: DropGuard,
}

impl Watched {
    async fn with(options: Options, resource: Resource, replies: Vec<Reply>) -> Self {
        let server = Server::start(replies).await;
        let (out, events) = channel(1);
        let (cancel, counters) = (CancellationToken::new(), options.counters.clone());
        let stop = cancel.clone().drop_guard();
        tokio::spawn(watch(server.client.clone(), resource, options, out, cancel));
        Self { server, events, counters, _stop: stop }
    }

    async fn start(replies: Vec<Reply>) -> Self {
        Self::with(quick(), Resource::Pods, replies).await
    }

    async fn event(&mut self) -> Event {
        timeout(SOON, self.events.recv()).await.expect("an event in time").expect("the watch lives")
    }

    /// Waits for these events.
    async fn tells(&mut self, expected: &[&str]) {
        for expected in expected {
            assert_eq!(summary(&self.event().await), *expected);
        }
    }

    /// Waits for the next request.
    async fn asks(&mut self, contains: &str) -> (String, String, String) {
        let asked = timeout(SOON, self.server.asked.recv()).await;
        let asked = asked.expect("a request in time").expect("the server lives");
        assert!(asked.0.contains(contains), "{} lacks {contains}", asked.0);
        asked
    }

    fn counted(&self, counter: impl Fn(&Counters) -> &std::sync::atomic::AtomicU64) -> u64 {
        counter(&self.counters).load(Ordering::Relaxed)
    }
}

fn summary(event: &Event) -> String {
    match event {
        Event::Relisting(resource) => format!("relisting {resource}"),
        Event::Applied(Object::Pod(pod)) => format!("applied {}", pod.name),
        Event::Applied(object) => format!("applied {:?}", object.key()),
        Event::Deleted(key) => format!("deleted {}", key.name),
        Event::Listed(resource) => format!("listed {resource}"),
        Event::Failed { error, .. } => format!("failed: {error}"),
        Event::Resumed(resource) => format!("resumed {resource}"),
    }
}

fn added(name: &str, version: u64) -> Vec<u8> {
    event("ADDED", "Pod", &pod(name, version))
}

fn deleted(name: &str, version: u64) -> Vec<u8> {
    event("DELETED", "Pod", &pod(name, version))
}

fn marked(version: u64, end: bool) -> Vec<u8> {
    event("BOOKMARK", "Pod", &bookmark(version, end))
}

/// A list of no pods, at version 5.
fn nothing() -> Vec<u8> {
    marked(5, true)
}

fn status(code: u64, reason: &str, text: &str) -> crate::encode::Message {
    message().bytes(2, "Failure").bytes(3, text).bytes(4, reason).number(6, code)
}

fn refusal(code: u16, reason: &str) -> Reply {
    let status = status(code.into(), reason, "the simulated reason");
    reply([crate::encode::enveloped("Status", &status)]).status(code)
}

#[tokio::test]
async fn the_list_is_the_beginning_of_the_watch() {
    let first = reply([added("a", 3), added("b", 4), nothing(), deleted("a", 6)]);
    let mut watched = Watched::start(vec![first, reply([]).hang()]).await;
    let expected = ["relisting pods", "applied a", "applied b", "listed pods", "deleted a"];
    watched.tells(&expected).await;
    let (path, accept, token) = watched.asks("sendInitialEvents=true").await;
    assert!(path.contains("allowWatchBookmarks=true"), "{path}");
    assert!(!path.contains("resourceVersion="), "{path}: the list is to be the newest");
    assert_eq!(accept, "application/vnd.kubernetes.protobuf,application/json");
    assert_eq!(token, "Bearer secret");
    watched.asks("&resourceVersion=6&").await;
    assert_eq!(watched.counted(|c| &c.reconnects), 1);
    assert_eq!(watched.counted(|c| &c.lists), 1);
    assert_eq!(watched.counted(|c| &c.applied), 2);
    assert_eq!(watched.counted(|c| &c.deleted), 1);
}

#[tokio::test]
async fn a_bookmark_moves_the_place() {
    let first = reply([nothing(), marked(90, false)]);
    let mut watched = Watched::start(vec![first, reply([]).hang()]).await;
    watched.tells(&["relisting pods", "listed pods"]).await;
    watched.asks("sendInitialEvents").await;
    watched.asks("resourceVersion=90&").await;
}

#[tokio::test]
async fn a_broken_watch_goes_on_where_it_was() {
    let cut = added("lost", 8);
    let first = reply([nothing(), added("a", 7), cut[..cut.len() / 2].to_vec()]).abort();
    let second = reply([added("lost", 8)]).hang();
    let mut watched = Watched::start(vec![first, second]).await;
    let expected = ["relisting pods", "listed pods", "applied a"];
    watched.tells(&expected).await;
    watched.asks("sendInitialEvents").await;
    watched.asks("resourceVersion=7&").await;
    // Silently: nothing is missing.
    watched.tells(&["applied lost"]).await;
    assert_eq!(watched.counted(|c| &c.failures), 0);
}

#[tokio::test]
async fn a_place_that_is_forgotten_means_a_new_list() {
    let gone = event("ERROR", "Status", &status(410, "Expired", "too old"));
    let begin = || reply([nothing()]);
    let replies = vec![
        begin(),
        refusal(410, "Gone"),
        begin(),
        reply([gone]).hang(),
        reply([added("a", 9), marked(9, true)]).hang(),
    ];
    let mut watched = Watched::start(replies).await;
    watched.tells(&["relisting pods", "listed pods", "relisting pods", "listed pods"]).await;
    watched.tells(&["relisting pods", "applied a", "listed pods"]).await;
    for contains in ["Initial", "Version=5&", "Initial", "Version=5&", "Initial"] {
        watched.asks(contains).await;
    }
    assert_eq!(watched.counted(|c| &c.expired), 2);
    assert_eq!(watched.counted(|c| &c.lists), 3);
}

#[tokio::test]
async fn what_was_told_before_is_not_told_again() {
    let first = reply([nothing(), added("a", 7), added("b", 8)]);
    let again = [added("b", 8), added("a", 7), deleted("old", 3), marked(8, false), added("c", 9)];
    let mut watched = Watched::start(vec![first, reply(again).hang()]).await;
    let expected = ["relisting pods", "listed pods", "applied a", "applied b", "applied c"];
    watched.tells(&expected).await;
    assert_eq!(watched.counted(|c| &c.stale), 3);
}

#[tokio::test]
async fn an_api_server_that_has_gone_back_means_a_new_list() {
    let cause = message().bytes(1, "ResourceVersionTooLarge");
    let ahead = status(504, "Timeout", "Too large resource version")
        .message(5, message().message(4, cause));
    let replies = vec![
        reply([nothing(), marked(4, false)]).hang(),
        reply([nothing()]),
        reply([crate::encode::enveloped("Status", &ahead)]).status(504),
        reply([nothing()]).hang(),
    ];
    let mut watched = Watched::start(replies).await;
    for _ in 0..3 {
        watched.tells(&["relisting pods", "listed pods"]).await;
    }
    assert_eq!(watched.counted(|c| &c.expired), 2);
}

#[tokio::test]
async fn pages_where_the_list_cannot_be_streamed() {
    let replies = vec![
        refusal(422, "Invalid"),
        reply([list("5", "page 2", &[pod("a", 1), pod("b", 2)])]),
        reply([list("5", "", &[pod("c", 3)])]),
        reply([added("d", 6)]).abort(),
        refusal(410, "Expired"),
        reply([list("9", "", &[])]),
    ];
    let mut watched = Watched::start(replies).await;
    let expected =
        ["relisting pods", "applied a", "applied b", "applied c", "listed pods", "applied d"];
    watched.tells(&expected).await;
    watched.tells(&["relisting pods", "listed pods"]).await;
    watched.asks("sendInitialEvents").await;
    assert_eq!(watched.asks("").await.0, "/api/v1/pods?limit=2");
    assert_eq!(watched.asks("").await.0, "/api/v1/pods?limit=2&continue=page+2");
    watched.asks("resourceVersion=5&").await;
    watched.asks("resourceVersion=6&").await;
    // Not asked again for what it does not have.
    assert_eq!(watched.asks("").await.0, "/api/v1/pods?limit=2");
    watched.asks("resourceVersion=9&").await;
}

#[tokio::test]
async fn pages_where_the_streamed_list_has_no_end() {
    let options = Options { list_silence: Duration::from_millis(50), ..quick() };
    let replies = vec![reply([added("a", 3)]).hang(), reply([list("5", "", &[pod("a", 3)])])];
    let mut watched = Watched::with(options, Resource::Pods, replies).await;
    let expected = ["relisting pods", "applied a", "relisting pods", "applied a", "listed pods"];
    watched.tells(&expected).await;
}

#[tokio::test]
async fn pages_that_expire_are_asked_for_all_at_once() {
    let options = Options { streamed: false, ..quick() };
    let replies = vec![
        reply([list("5", "more", &[pod("a", 1), pod("b", 2)])]),
        refusal(410, "Expired"),
        reply([list("7", "", &[pod("b", 2), pod("c", 7)])]),
    ];
    let mut watched = Watched::with(options, Resource::Pods, replies).await;
    watched.tells(&["relisting pods", "applied a", "applied b"]).await;
    watched.tells(&["relisting pods", "applied b", "applied c", "listed pods"]).await;
    watched.asks("limit=2").await;
    watched.asks("continue=more").await;
    assert_eq!(watched.asks("").await.0, "/api/v1/pods?");
    watched.asks("resourceVersion=7&").await;
}

#[tokio::test]
async fn a_list_that_breaks_off_begins_anew() {
    let options = Options { streamed: false, ..quick() };
    let whole = list("5", "", &[pod("a", 1), pod("b", 2)]);
    let cut = whole[..whole.len() / 2].to_vec();
    let replies = vec![reply([cut.clone()]), reply([cut]).abort(), reply([whole])];
    let mut watched = Watched::with(options, Resource::Pods, replies).await;
    watched.tells(&["relisting pods"]).await;
    assert!(summary(&watched.event().await).contains("list pods broke off"));
    watched.tells(&["relisting pods"]).await;
    assert!(summary(&watched.event().await).contains("list pods broke off"));
    watched.tells(&["relisting pods", "applied a", "applied b", "listed pods"]).await;
}

const JSON_POD: &str = r#"{"metadata":{"name":"a","namespace":"shop","uid":"u","resourceVersion":"3"},
    "spec":{"nodeName":"n1"},"status":{"podIP":"10.0.0.1","podIPs":[{"ip":"10.0.0.1"}]}}"#;

#[tokio::test]
async fn json_where_there_is_no_protobuf() {
    let options = Options { streamed: false, ..quick() };
    let text = format!(r#"{{"metadata":{{"resourceVersion":"5"}},"items":[{JSON_POD}]}}"#);
    let event = format!(r#"{{"type":"DELETED","object":{JSON_POD}}}"#).replace("\"3\"", "\"9\"");
    let replies = vec![refusal(406, "NotAcceptable"), json(text), json(event).hang()];
    let mut watched = Watched::with(options, Resource::Pods, replies).await;
    watched.tells(&["relisting pods", "applied a", "listed pods", "deleted a"]).await;
    let accepted = [watched.asks("").await.1, watched.asks("").await.1, watched.asks("").await.1];
    assert!(accepted[0].starts_with("application/vnd.kubernetes.protobuf"), "{accepted:?}");
    assert_eq!(accepted[1..], ["application/json", "application/json"]);
}

#[tokio::test]
async fn json_where_the_answer_says_so() {
    let end = r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"5",
        "annotations":{"k8s.io/initial-events-end":"true"}}}}"#;
    let event = format!(r#"{{"type":"ADDED","object":{JSON_POD}}}"#);
    let gone = r#"{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}"#;
    let first = json(format!("{event}\n{end}\n{gone}\n")).hang();
    let mut watched = Watched::start(vec![first, reply([nothing()]).hang()]).await;
    watched.tells(&["relisting pods", "applied a", "listed pods"]).await;
    watched.tells(&["relisting pods", "listed pods"]).await;
}

#[tokio::test]
async fn owners_are_asked_for_as_metadata() {
    let set = event("ADDED", "PartialObjectMetadata", &pod("set", 3));
    let replies = vec![reply([set, nothing()]).hang()];
    let mut watched = Watched::with(quick(), Resource::ReplicaSets, replies).await;
    watched.tells(&["relisting replicasets"]).await;
    let Event::Applied(Object::Owner(owner)) = watched.event().await else { panic!() };
    assert_eq!((&*owner.kind, &*owner.name, &*owner.namespace), ("ReplicaSet", "set", "shop"));
    let (_, accept, _) = watched.asks("/apis/apps/v1/replicasets?").await;
    let metadata =
        "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    assert!(accept.starts_with(metadata), "{accept}");
}

#[tokio::test]
async fn refusals_name_the_resource_and_the_remedy() {
    let text = r#"{"kind":"Status","code":403,"reason":"Forbidden","message":"user \"x\" cannot"}"#;
    let replies = vec![
        json(text).status(403),
        refusal(401, "Unauthorized"),
        refusal(404, "NotFound"),
        refusal(500, "InternalError"),
        Reply { kind: "text/plain", ..reply([b"up\nstream".to_vec()]) }.status(503),
        reply([nothing()]).hang(),
    ];
    let mut watched = Watched::with(quick(), Resource::EndpointSlices, replies).await;
    for contains in [
        "refuses to watch endpointslices: user \"x\" cannot; grant the verbs list and watch on \
         endpointslices in API group \"discovery.k8s.io\"",
        "does not accept the credentials with which to watch endpointslices",
        "does not know endpointslices at /apis/discovery.k8s.io/v1/endpointslices",
        "cannot watch endpointslices: 500 the simulated reason",
        "cannot watch endpointslices: 503 up stream",
    ] {
        let told = summary(&watched.event().await);
        assert!(told.starts_with("failed: ") && told.contains(contains), "{told}");
    }
    watched.tells(&["relisting endpointslices", "listed endpointslices"]).await;
    assert_eq!(watched.counted(|c| &c.failures), 5);
}

#[tokio::test]
async fn credentials_that_are_no_longer_accepted_are_read_anew() {
    let slow = Duration::from_millis(200);
    let patience = Patience { refused: slow, ..quick().patience };
    let options = Options { patience, ..quick() };
    let replies = vec![refusal(401, "Unauthorized"), reply([nothing()]).hang()];
    let mut watched = Watched::with(options, Resource::Pods, replies).await;
    // Before the first answer can be read, as a rule; the second try comes later in any case.
    configure(&watched.server.folder, watched.server.address, "renewed");
    assert!(summary(&watched.event().await).contains("does not accept the credentials"));
    watched.tells(&["relisting pods", "listed pods"]).await;
    assert_eq!(watched.asks("").await.2, "Bearer secret");
    assert_eq!(watched.asks("").await.2, "Bearer renewed");
}

#[tokio::test]
async fn who_asks_for_patience_gets_it() {
    let busy = refusal(429, "TooManyRequests").header("retry-after", "1");
    let mut watched = Watched::start(vec![busy, reply([nothing()]).hang()]).await;
    assert!(summary(&watched.event().await).contains("429"));
    let began = Instant::now();
    watched.tells(&["relisting pods"]).await;
    assert!(began.elapsed() >= Duration::from_millis(900), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_silent_watch_is_opened_again() {
    let options = Options { watch_silence: Duration::from_millis(50), ..quick() };
    let replies = vec![reply([nothing()]).hang(), reply([added("a", 6)]).hang()];
    let mut watched = Watched::with(options, Resource::Pods, replies).await;
    watched.tells(&["relisting pods", "listed pods", "applied a"]).await;
    watched.asks("Initial").await;
    watched.asks("resourceVersion=5&").await;
    assert!(watched.counted(|c| &c.silent) >= 1);
}

#[tokio::test]
async fn an_api_server_that_does_not_answer_is_told() {
    let options = Options { answer_within: Duration::from_millis(50), ..quick() };
    let mut watched = Watched::with(options, Resource::Pods, vec![]).await;
    let told = summary(&watched.event().await);
    assert!(told.contains("did not answer within 50ms when asked to watch pods"), "{told}");
}

#[tokio::test]
async fn what_cannot_be_read_does_not_end_the_watch() {
    let mut broken = pod("broken", 6);
    broken.0.extend_from_slice(&[0x12, 0x7f, 1]);
    let garbage = [&[0, 0, 0, 3][..], b"\xff\xff\xff"].concat();
    let huge = message().message(1, message().bytes(1, "huge")).bytes(2, vec![0; 5000]);
    // Known by its metadata, although the rest cannot be read.
    let mut gone = pod("gone", 7);
    gone.0.extend_from_slice(&[0x12, 4, 0x0a, 0x7f, 1, 1]);
    let nameless = event("ADDED", "Pod", &message());
    let strange = event("RENAMED", "Pod", &pod("strange", 7));
    let events = [
        nothing(),
        event("ADDED", "Pod", &broken),
        garbage,
        event("ADDED", "Pod", &huge),
        event("DELETED", "Pod", &gone),
        nameless,
        strange,
        added("a", 8),
    ];
    let limits = crate::Limits { object_bytes: 4000, ..quick().limits };
    let options = Options { limits, ..quick() };
    let mut watched = Watched::with(options, Resource::Pods, vec![reply(events).hang()]).await;
    watched.tells(&["relisting pods", "listed pods", "deleted gone", "applied a"]).await;
    assert_eq!(watched.counted(|c| &c.malformed), 2);
    assert_eq!(watched.counters.hostile(Cause::ObjectTooLarge), 1);
    assert_eq!(watched.counters.hostile(Cause::Nameless), 1);
    assert_eq!(watched.counted(|c| &c.reconnects), 0);
}

#[tokio::test]
async fn a_slow_receiver_holds_the_api_server_back() {
    let many = (0..20_000).map(|n| added(&format!("p{n}"), 100 + n));
    let first = reply(std::iter::once(nothing()).chain(many)).hang();
    let mut watched = Watched::start(vec![first]).await;
    watched.tells(&["relisting pods", "listed pods", "applied p0"]).await;
    tokio::task::yield_now().await;
    assert!(watched.counted(|c| &c.applied) < 10, "the channel has room for one");
    assert!(watched.counted(|c| &c.bytes) < 1 << 20, "and is not filled from elsewhere");
    for n in 1..20_000 {
        assert_eq!(summary(&watched.event().await), format!("applied p{n}"));
    }
}

#[tokio::test]
async fn it_ends_when_asked_and_when_nobody_listens() {
    let server = Server::start([reply([nothing()]).hang(), reply([nothing()]).hang()]).await;
    let (cancel, (out, mut events)) = (CancellationToken::new(), channel(8));
    let task = |out, cancel: &CancellationToken| {
        let client = server.client.clone();
        tokio::spawn(watch(client, Resource::Pods, quick(), out, cancel.clone()))
    };
    let cancelled = task(out, &cancel);
    assert!(events.recv().await.is_some());
    cancel.cancel();
    timeout(SOON, cancelled).await.unwrap().unwrap();

    let (out, events) = channel(1);
    drop(events);
    let unheard = task(out, &CancellationToken::new());
    timeout(SOON, unheard).await.unwrap().unwrap();
}

#[test]
fn the_type_of_a_watch_is_known_with_parameters() {
    assert!(PROTOBUF.contains(';'), "else the tests above do not show it");
}
