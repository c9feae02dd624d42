use prost::Message;
use serde_json::{Value, json};
use sim::apiserver::{ApiServer, Options, Resource, User};

use super::client::{Client, JSON, PROTOBUF};
use super::wire::{self, open};
use super::{pod, soon, start};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const PARTIAL: &str =
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
const PARTIAL_PROTOBUF: &str =
    "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

fn names(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().unwrap();
    items.iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn one_object_has_many_forms() {
    let server = start();
    server.apply(&pod("shop", "cart", "cart")).unwrap();
    let client = Client::new(&server);

    let list = client.json("/api/v1/pods").await;
    assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("PodList"), &json!("v1")));
    assert_eq!(list["metadata"]["resourceVersion"], server.version().to_string());
    assert_eq!(list["items"][0]["status"]["podIPs"][1]["ip"], "fd00::1");
    assert!(list["items"][0].get("kind").is_none(), "items of a list say no kind");

    let reply = client.get("/api/v1/pods", PROTOBUF).await;
    assert_eq!(reply.content_type, PROTOBUF);
    let (kind, list) = open::<wire::PodList>(&reply.body);
    assert_eq!(kind, "v1 PodList");
    assert_eq!(list.metadata.unwrap().resource_version, server.version().to_string());
    let [pod] = &list.items[..] else { panic!("one pod") };
    let metadata = pod.metadata.as_ref().unwrap();
    assert_eq!(
        (&*metadata.namespace, &*metadata.name, &*metadata.uid),
        ("shop", "cart", "uid-cart")
    );
    assert_eq!(metadata.resource_version, server.version().to_string());
    assert_eq!(metadata.labels["app"], "cart");
    assert!(metadata.owners[0].controller && metadata.owners[0].kind == "ReplicaSet");
    let (spec, status) = (pod.spec.as_ref().unwrap(), pod.status.as_ref().unwrap());
    assert_eq!((&*spec.node, &*spec.containers[0].image), ("n1", "x"));
    assert_eq!(spec.volumes[0].source.as_ref().unwrap().secret.as_ref().unwrap().name, "s");
    assert_eq!(status.started.as_ref().unwrap().seconds, 1_767_225_600);
    assert_eq!(status.containers[0].id, "containerd://abc");
    assert_eq!(status.ips[1].ip, "fd00::1");

    let path = "/api/v1/namespaces/shop/pods/cart";
    let single = client.json(path).await;
    assert_eq!((&single["kind"], &single["spec"]["nodeName"]), (&json!("Pod"), &json!("n1")));
    let (kind, single) = open::<wire::Pod>(&client.get(path, PROTOBUF).await.body);
    assert_eq!((&*kind, &*single.status.unwrap().phase), ("v1 Pod", "Running"));

    let partial = client.get("/api/v1/pods", PARTIAL).await.json();
    assert_eq!(partial["kind"], "PartialObjectMetadataList");
    assert_eq!(partial["items"][0]["metadata"]["labels"]["app"], "cart");
    assert!(partial["items"][0].get("spec").is_none());
    let (kind, list) =
        open::<wire::PodList>(&client.get("/api/v1/pods", PARTIAL_PROTOBUF).await.body);
    assert_eq!(kind, "meta.k8s.io/v1 PartialObjectMetadataList");
    assert!(list.items[0].spec.is_none() && list.items[0].metadata.is_some());

    let table = client.get("/api/v1/pods", TABLE).await.json();
    assert_eq!(table["columnDefinitions"][1]["name"], "Ready");
    assert_eq!(table["rows"][0]["cells"].as_array().unwrap()[..3], ["cart", "1/1", "Running"]);
}

#[tokio::test]
async fn lists_are_selected() {
    let server = start();
    for (namespace, name, app) in [("a", "1", "x"), ("a", "2", "y"), ("b", "3", "x")] {
        server.apply(&pod(namespace, name, app)).unwrap();
    }
    server.apply(&json!({"kind": "Node", "metadata": {"name": "n1"}, "spec": {}})).unwrap();
    let client = Client::new(&server);
    let check = async |path: &str, expected: &[&str]| {
        assert_eq!(names(&client.json(path).await), expected, "{path}");
    };
    check("/api/v1/pods", &["1", "2", "3"]).await;
    check("/api/v1/namespaces/a/pods", &["1", "2"]).await;
    check("/api/v1/namespaces/c/pods", &[]).await;
    check("/api/v1/pods?labelSelector=app%3Dx", &["1", "3"]).await;
    check("/api/v1/pods?fieldSelector=spec.nodeName%3Dn1,metadata.name!%3D2", &["1", "3"]).await;
    check("/api/v1/pods?fieldSelector=metadata.namespace%3Db", &["3"]).await;
    check("/api/v1/nodes", &["n1"]).await;
    check("/apis/apps/v1/replicasets", &[]).await;
    let failed = async |path: &str, code: u16, text: &str| {
        let reply = client.get(path, JSON).await;
        let status = reply.json();
        assert_eq!((reply.code, &status["kind"]), (code, &json!("Status")), "{path}");
        assert_eq!(status["code"], code);
        assert!(status["message"].as_str().unwrap().contains(text), "{status}");
    };
    failed("/api/v1/pods?fieldSelector=spec.colour%3Dred", 400, "field label not supported").await;
    failed("/api/v1/namespaces/a/pods/9", 404, "pods \"9\" not found").await;
    failed("/apis/apps/v1/namespaces/a/replicasets/9", 404, "replicasets.apps \"9\" not found")
        .await;
    failed("/api/v1/secrets", 404, "could not find the requested resource").await;
    failed("/api/v1/pods?resourceVersion=999999", 504, "Too large resource version").await;
    failed("/api/v1/pods?resourceVersionMatch=Exact", 422, "is invalid").await;
    failed("/api/v1/pods?continue=nonsense", 400, "continue key is not valid").await;
    let (_, status) = open::<wire::Failure>(&client.get("/api/v1/secrets", PROTOBUF).await.body);
    assert_eq!((status.code, &*status.reason), (404, "NotFound"));
}

#[tokio::test]
async fn a_paged_list_is_of_one_moment() {
    // What was listed is kept even when the changes since are forgotten.
    let server = ApiServer::start(Options { history: 1, ..Options::default() }).unwrap();
    for index in 0..10 {
        server.apply(&pod("a", &format!("p{index}"), "x")).unwrap();
    }
    let client = Client::new(&server);
    let version = server.version();
    let mut seen = Vec::new();
    let mut path = "/api/v1/pods?limit=4".to_owned();
    let mut remaining = Vec::new();
    loop {
        let page = client.json(&path).await;
        seen.extend(names(&page));
        assert_eq!(page["metadata"]["resourceVersion"], version.to_string());
        remaining.push(page["metadata"]["remainingItemCount"].as_u64());
        let Some(next) = page["metadata"]["continue"].as_str() else { break };
        path = format!("/api/v1/pods?limit=4&continue={next}");
        // What happens meanwhile is not in it.
        server.delete(Resource::Pods, "a", "p9");
        server.apply(&pod("a", "p55", "x")).unwrap();
    }
    assert_eq!(seen, (0..10).map(|index| format!("p{index}")).collect::<Vec<_>>());
    assert_eq!(remaining, [Some(6), Some(2), None]);
    // From its cache the real server pages nothing.
    let page = client.json("/api/v1/pods?limit=4&resourceVersion=0").await;
    assert_eq!(names(&page).len(), 10);
    let old = format!("/api/v1/pods?resourceVersion={version}&resourceVersionMatch=Exact");
    assert!(names(&client.json(&old).await).contains(&"p9".to_owned()));
}

#[tokio::test]
async fn a_watch_tells_every_change_of_what_it_selects() {
    let server = start();
    server.apply(&pod("a", "old", "x")).unwrap();
    let client = Client::new(&server);
    let from = server.version();
    let path = format!("/api/v1/pods?watch=1&labelSelector=app%3Dx&resourceVersion={from}");
    let mut watch = client.watch(&path, JSON).await;
    let mut binary = client.watch(&path, &format!("{PROTOBUF};stream=watch")).await;
    let mut everything = client.watch("/api/v1/pods?watch=true", JSON).await;
    assert_eq!(soon(everything.brief()).await, ("ADDED".into(), "old".into(), from));
    server.apply(&pod("a", "new", "x")).unwrap();
    server.apply(&pod("a", "other", "y")).unwrap();
    server.apply(&pod("a", "other", "x")).unwrap();
    server.apply(&pod("a", "other", "y")).unwrap();
    server.delete(Resource::Pods, "a", "new");
    for (kind, name, step) in
        [("ADDED", "new", 1), ("ADDED", "other", 3), ("DELETED", "other", 4), ("DELETED", "new", 5)]
    {
        let expected = (kind.to_owned(), name.to_owned(), from + step);
        assert_eq!(soon(watch.brief()).await, expected);
        let event = soon(binary.next()).await;
        let (type_meta, object) = open::<wire::Pod>(&event.raw);
        let metadata = object.metadata.unwrap();
        let version = metadata.resource_version.parse().unwrap();
        assert_eq!((event.kind, metadata.name, version), expected);
        assert_eq!(type_meta, "v1 Pod");
        assert_eq!(metadata.labels["app"], "x", "as it was when it was last seen");
    }
    let kinds: Vec<String> = [
        soon(everything.next()).await.kind,
        soon(everything.next()).await.kind,
        soon(everything.next()).await.kind,
    ]
    .into();
    assert_eq!(kinds, ["ADDED", "ADDED", "MODIFIED"]);
    // It ends when its time is up, in order.
    let mut short =
        client.watch(&format!("{path}&timeoutSeconds=1&allowWatchBookmarks=true"), JSON).await;
    while let Some(event) = soon(short.try_next()).await {
        assert!(["ADDED", "DELETED", "BOOKMARK"].contains(&&*event.unwrap().kind));
    }
}

#[tokio::test]
async fn tables_are_watched() {
    let server = start();
    let client = Client::new(&server);
    let mut watch = client.watch("/api/v1/pods?watch=1", TABLE).await;
    server.apply(&pod("a", "one", "x")).unwrap();
    server.apply(&pod("a", "two", "x")).unwrap();
    let (first, second) = (soon(watch.next()).await.object, soon(watch.next()).await.object);
    assert_eq!(first["rows"][0]["cells"][0], "one");
    assert!(first["columnDefinitions"].is_array() && second["columnDefinitions"].is_null());
}

#[tokio::test]
async fn only_those_who_may_are_answered() {
    let server = start();
    server.add_user(User::service_account("amphipod", "hub", "hub-token", &["pods"]));
    let agent = User::service_account("amphipod", "agent", "agent-token", &[]).on_node("n1", "p1");
    server.add_user(agent.for_audiences(&["hub"]));
    let mut client = Client::new(&server);
    client.token = "hub-token".to_owned();
    assert_eq!(client.get("/api/v1/pods", JSON).await.code, 200);
    let check = async |client: &Client, path: &str, code: u16, message: &str| {
        let reply = client.get(path, JSON).await;
        assert_eq!((reply.code, reply.json()["message"].as_str().unwrap()), (code, message));
    };
    check(&client, "/api/v1/nodes", 403, "nodes is forbidden: User \"system:serviceaccount:amphipod:hub\" cannot list resource \"nodes\" in API group \"\" at the cluster scope").await;
    check(&client, "/apis/apps/v1/namespaces/a/replicasets?watch=1", 403, "replicasets.apps is forbidden: User \"system:serviceaccount:amphipod:hub\" cannot watch resource \"replicasets\" in API group \"apps\" in the namespace \"a\"").await;
    for token in ["nobody's", "agent-token"] {
        client.token = token.to_owned();
        check(&client, "/api/v1/pods", 401, "Unauthorized").await;
    }
    assert_eq!(client.get("/readyz", JSON).await.body, "ok");
    assert_eq!(client.json("/version").await["minor"], "36");

    client.token = "hub-token".to_owned();
    let path = "/apis/authentication.k8s.io/v1/tokenreviews";
    let review = json!({
        "kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1",
        "spec": { "token": "agent-token", "audiences": ["hub"] },
    });
    let refused = client.post(path, JSON, review.to_string().into(), JSON).await;
    assert_eq!(refused.code, 403);
    let hub = User::service_account("amphipod", "hub", "hub-token", &["pods"]);
    server.add_user(hub.allowed("create", "tokenreviews.authentication.k8s.io"));
    let reply = client.post(path, JSON, review.to_string().into(), JSON).await;
    let answer = reply.json();
    assert_eq!((reply.code, &answer["status"]["authenticated"]), (201, &json!(true)));
    assert_eq!(answer["status"]["user"]["username"], "system:serviceaccount:amphipod:agent");
    let spec = wire::ReviewSpec { token: "agent-token".into(), audiences: vec!["hub".into()] };
    let raw = wire::Review { spec: Some(spec), status: None }.encode_to_vec();
    let body = [b"k8s\0", &wire::Unknown { type_meta: None, raw }.encode_to_vec()[..]].concat();
    let reply = client.post(path, PROTOBUF, body, PROTOBUF).await;
    let (kind, review) = open::<wire::Review>(&reply.body);
    let status = review.status.unwrap();
    assert!(status.authenticated && kind == "authentication.k8s.io/v1 TokenReview");
    let extra = &status.user.unwrap().extra["authentication.kubernetes.io/node-name"];
    assert_eq!(extra.items, ["n1"]);
}

#[tokio::test]
async fn what_somebody_may_do_is_told_to_who_may_ask() {
    let server = start();
    server.add_user(User::named("kim", "kim-token").allowed_in("shop", "list", "pods"));
    server.add_user(User::named("sellers", "no-token").allowed_in("bank", "list", "pods"));
    let mut client = Client::new(&server);
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let review = |groups: &[&str], verb: &str, namespace: &str| {
        let asked = json!({ "verb": verb, "resource": "pods", "namespace": namespace });
        let spec = json!({ "user": "kim", "groups": groups, "resourceAttributes": asked });
        json!({ "kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "spec": spec })
    };
    for (groups, verb, namespace, expected) in [
        (&[][..], "list", "shop", true),
        (&[], "get", "shop", false),
        (&[], "list", "bank", false),
        (&["sellers"], "list", "bank", true),
        (&["sellers"], "list", "", false),
    ] {
        let review = review(groups, verb, namespace);
        let reply = client.post(path, JSON, review.to_string().into(), JSON).await;
        assert_eq!(
            (reply.code, &reply.json()["status"]["allowed"]),
            (201, &json!(expected)),
            "{review}"
        );
    }
    let reply = client.post(path, JSON, "{}".into(), JSON).await;
    assert_eq!(reply.code, 400);
    client.token = "kim-token".to_owned();
    let reply = client.post(path, JSON, review(&[], "list", "shop").to_string().into(), JSON).await;
    assert_eq!(reply.code, 403);
}

#[tokio::test]
async fn requests_are_counted() {
    let server = start();
    server.apply(&pod("a", "one", "x")).unwrap();
    let client = Client::new(&server);
    let bytes = client.get("/api/v1/pods?limit=1", JSON).await.body.len() as u64;
    client.get("/api/v1/pods", JSON).await;
    let mut watch = client.watch("/api/v1/pods?watch=1", JSON).await;
    soon(watch.next()).await;
    let requests = server.requests();
    let find = |verb| requests.iter().find(|request| request.verb == verb).unwrap();
    let list = find("list");
    assert_eq!((list.count, list.objects, list.open, list.failed), (2, 2, 0, 0));
    assert_eq!((&*list.path, &*list.user), ("/api/v1/pods", "kubernetes-admin"));
    assert_eq!(list.bytes, 2 * bytes);
    assert_eq!((find("watch").count, find("watch").open, find("watch").objects), (1, 1, 1));
}

#[tokio::test]
async fn a_kubelet_lists_its_pods() {
    let server = start();
    server.apply(&pod("a", "here", "x")).unwrap();
    let mut there = pod("a", "there", "x");
    there["spec"]["nodeName"] = json!("n2");
    server.apply(&there).unwrap();
    let client = Client::to(&server.kubelet("n1").unwrap(), &server);
    assert_eq!(names(&client.json("/pods").await), ["here"]);
    assert_eq!(client.get("/api/v1/pods", JSON).await.code, 404);
    let proxied = Client::new(&server).json("/api/v1/nodes/n2/proxy/pods").await;
    assert_eq!(names(&proxied), ["there"]);
}

#[tokio::test]
async fn any_request_has_an_answer() {
    let server = start();
    server.apply(&pod("a", "one", "x")).unwrap();
    let client = Client::new(&server);
    let paths = [
        "/",
        "/api",
        "/api/v1",
        "/api/v1/pods",
        "/api/v1/namespaces/a/pods/one",
        "/apis",
        "/apis/apps",
        "/apis/apps/v1",
        "/apis/batch/v1/jobs",
        "//",
        "/api/v1/namespaces/%2e%2e/pods",
        "/api/v1/nodes/one/proxy/pods",
        "/sim",
        "/api/v1/pods/",
        "/apis/authentication.k8s.io/v1/tokenreviews",
        "/apis/authorization.k8s.io/v1/subjectaccessreviews",
    ];
    let keys = [
        "limit",
        "continue",
        "resourceVersion",
        "resourceVersionMatch",
        "labelSelector",
        "fieldSelector",
        "timeoutSeconds",
        "sendInitialEvents",
        "allowWatchBookmarks",
        "x",
    ];
    // The second token says `{"v":"meta.k8s.io/v1","rv":1,"start":"z"}`.
    let values = [
        "",
        "0",
        "1",
        "-1",
        "18446744073709551615",
        "99999999999999999999",
        "true",
        "Exact",
        "NotOlderThan",
        "%00",
        "%",
        "a%3Db",
        "a%20in%20(",
        "a%20in%20()",
        ",,,",
        "!",
        "!=",
        "((((",
        ")",
        "%FF%FE",
        "metadata.name%3D",
        "e30",
        "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJ6In0",
        "metadata.name!%3Done",
    ];
    let accepts =
        [JSON, PROTOBUF, TABLE, PARTIAL, "", ";;;,q=;", "application/json;q=-1;as=Table", "*/*"];
    let seed = 42;
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..400 {
        let mut path = (*random.choice(&paths).unwrap()).to_owned() + "?";
        for _ in 0..random.usize(..4) {
            path +=
                &format!("{}={}&", random.choice(&keys).unwrap(), random.choice(&values).unwrap());
        }
        let accept = random.choice(&accepts).unwrap();
        let reply = soon(client.get(&path, accept)).await;
        let expected = [200, 400, 403, 404, 405, 406, 410, 422, 504];
        assert!(expected.contains(&reply.code), "{path} {accept}: {} (seed {seed})", reply.code);
    }
    assert_eq!(client.get("/api/v1/pods", JSON).await.code, 200);
}
