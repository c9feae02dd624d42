//! What each of them sees, by the token that they show.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::time::Instant;

use model::line::{End, Line, Way};
use proto::telemetry::{self as wire, observed, question};
use sim::apiserver::Fault;

use super::cluster::{ALL, Cluster, KIM, NOBODY, OTHER, SOON, cluster};
use super::log;

const TOKENS: &str = "[access]\ntokens = true\n";

#[test]
fn nobody_comes_in_without_a_token_that_counts() {
    let cluster = cluster(TOKENS);
    let check = |headers: &[(&str, &str)], path: &str, status: u16, detail: &str| {
        let answer = cluster.get(path, headers);
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        assert!(answer.body.contains(detail), "{path}: {}", answer.body);
        assert_eq!(answer.header("www-authenticate").is_some(), status == 401);
        for (name, expected) in [
            ("content-security-policy", "default-src 'none'; script-src 'self'"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "same-origin"),
        ] {
            assert!(answer.header(name).unwrap().starts_with(expected), "{path}: {name}");
        }
    };
    let all = [
        "graph",
        "series?measure=rtt",
        "workloads",
        "workloads/shop/Deployment/cart",
        "records",
        "nodes",
        "status",
        "openapi.json",
        "measures",
        "nothing",
    ];
    for path in all {
        check(&[], &format!("/api/v1/{path}"), 401, "sign in at /auth/sign-in");
    }
    check(&[], "/", 401, "sign in");
    let graph = "/api/v1/graph";
    check(&[("Authorization", "Bearer wrong")], graph, 401, "the token is not accepted");
    check(
        &[("Authorization", &format!("Bearer {OTHER}"))],
        graph,
        401,
        "the token is not accepted",
    );
    check(&[("Authorization", "Basic a2ltOng=")], graph, 401, "expected a bearer token");
    check(&[("Authorization", "Bearer")], graph, 401, "expected a bearer token");
    check(&[("Cookie", "amphipod=forged")], graph, 401, "sign in");
    check(&[("Authorization", &format!("bearer {KIM}"))], graph, 200, "\"hidden\":true");
    // For orchestration, and to find out how one signs in.
    for path in ["/healthz", "/readyz", "/metrics", "/auth/sign-in", "/auth/style.css"] {
        check(&[], path, 200, "");
    }
    check(&[], "/api/v1/session", 200, r#"{"all":false,"open":false,"ways":["token"]}"#);
    let seen = cluster.get_as(KIM, "/api/v1/session").json();
    assert_eq!((&seen["user"], &seen["namespaces"][0]), (&"kim".into(), &"shop".into()));
    let metrics = cluster.get("/metrics", &[]).body;
    assert!(metrics.contains("amphipod_hub_access_total{outcome=\"refused\"} "), "{metrics}");
    cluster.app.shutdown().unwrap();
}

fn edges(cluster: &Cluster, token: &str, path: &str) -> BTreeSet<String> {
    let answer = cluster.get_as(token, path);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let graph = answer.json();
    let name = |it: &serde_json::Value| {
        graph["nodes"][it.as_u64().unwrap() as usize]["name"].as_str().unwrap().to_owned()
    };
    let edges = graph["edges"].as_array().unwrap().iter();
    edges.map(|it| format!("{} {}", name(&it["source"]), name(&it["destination"]))).collect()
}

#[test]
fn everybody_sees_the_namespaces_whose_pods_they_may_list() {
    log::keep();
    let cluster = cluster(TOKENS);
    let _agent = cluster.tell();
    let set = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect::<BTreeSet<_>>();
    let of_kim = set(&["cart db", "cart hidden", "hidden cart", "cart example.org"]);
    assert_eq!(edges(&cluster, KIM, "/api/v1/graph"), of_kim);
    assert_eq!(edges(&cluster, KIM, "/api/v1/graph?namespace=shop"), of_kim);
    // What has no namespace shows what kim may see of it.
    assert_eq!(
        edges(&cluster, KIM, "/api/v1/graph?namespace=-"),
        set(&["cart hidden", "hidden cart", "cart example.org"])
    );
    assert_eq!(edges(&cluster, NOBODY, "/api/v1/graph"), set(&[]));
    let whole = set(&[
        "cart db",
        "cart ledger",
        "ledger cart",
        "ledger vault",
        "cart example.org",
        "ledger example.org",
    ]);
    assert_eq!(edges(&cluster, ALL, "/api/v1/graph"), whole);
    for group in ["workload", "namespace", "zone"] {
        let told = cluster.get_as(KIM, &format!("/api/v1/graph?group={group}")).body;
        assert!(["bank", "ledger", "vault", "n1"].iter().all(|it| !told.contains(it)), "{told}");
    }

    // That something is missing is said, but not where.
    let graph = |token| cluster.get_as(token, "/api/v1/graph").json();
    let missing = serde_json::json!([{ "node": "hidden", "reason": "spool_full" }]);
    let of_kim = graph(KIM);
    assert_eq!(
        (&of_kim["missing"], &of_kim["hidden"], &of_kim["complete"]),
        (&missing, &true.into(), &false.into())
    );
    let of_all = graph(ALL);
    assert_eq!(
        (&of_all["missing"][0]["rows"], &of_all["hidden"]),
        (&3.into(), &serde_json::Value::Null)
    );

    let connections = |token, select: &str| {
        let path = format!("/api/v1/series?measure=connections&step=1h&since=-1h&{select}");
        let series = cluster.get_as(token, &path).json();
        let values = series["series"][0]["values"].as_array().unwrap().iter();
        values.filter_map(serde_json::Value::as_f64).sum::<f64>()
    };
    assert_eq!(connections(ALL, ""), 75.0);
    assert_eq!(connections(KIM, ""), 47.0);
    assert_eq!(connections(NOBODY, ""), 0.0);
    assert_eq!(connections(KIM, "source=shop/Deployment/cart&destination=-/Hidden/hidden"), 11.0);

    let names = |token| {
        let told = cluster.get_as(token, "/api/v1/workloads").json();
        let all = told["workloads"].as_array().unwrap().iter();
        all.map(|it| it["name"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    assert_eq!(names(KIM), set(&["cart", "db", "hidden", "example.org"]));
    assert_eq!(names(ALL), set(&["cart", "db", "ledger", "vault", "example.org"]));
    let page = cluster.get_as(KIM, "/api/v1/workloads/shop/Deployment/cart");
    assert!(
        page.status == 200 && !page.body.contains("ledger") && page.body.contains("\"hidden\""),
        "{}",
        page.body
    );

    let nodes = |token| cluster.get_as(token, "/api/v1/nodes").json();
    assert_eq!(
        (nodes(KIM)["nodes"].as_array().unwrap().len(), &nodes(KIM)["hidden"]),
        (0, &true.into())
    );
    assert_eq!(nodes(ALL)["nodes"][0]["name"], "n1");
    let status = |token| cluster.get_as(token, "/api/v1/status").json();
    assert!(status(KIM)["agents"].is_null() && status(KIM)["resources"][0]["objects"].is_null());
    assert!(status(ALL)["agents"].is_u64() && status(ALL)["hidden"].is_null());

    // What is asked for by name is refused by name, whether or not it exists.
    for path in [
        "graph?namespace=bank",
        "graph?namespace=shop&namespace=bank",
        "graph?namespace=nowhere",
        "workloads?namespace=bank",
        "workloads/bank/Deployment/ledger",
        "series?measure=rtt&workload=bank/Deployment/ledger",
        "series?measure=rtt&source=shop/Deployment/cart&destination=bank/Deployment/ledger",
        "series?measure=rtt&namespace=bank",
        "records?namespace=bank",
        "records?from_pod=bank/x",
        "records?to-service=bank/",
        "records?not=1&to_namespace=bank",
    ] {
        let answer = cluster.get_as(KIM, &format!("/api/v1/{path}"));
        assert!(
            answer.status == 403 && answer.body.contains("you may not see it"),
            "{path}: {}",
            answer.body
        );
    }

    let lines = log::audit();
    let asked = |user: &str, what: &str| {
        lines.iter().find(|it| it["user"] == user && it["what"] == what).unwrap()
    };
    let line = asked("kim", "/api/v1/graph?namespace=bank");
    assert_eq!(
        (&line["status"], &line["namespaces"], &line["method"]),
        (&403.into(), &"shop".into(), &"GET".into())
    );
    let line = asked("kubernetes-admin", "/api/v1/graph");
    assert_eq!((&line["status"], &line["namespaces"]), (&200.into(), &"all".into()));
    let text = log::text();
    assert!([KIM, ALL, NOBODY].iter().all(|it| !text.contains(it)), "a token is in the log");
    cluster.app.shutdown().unwrap();
}

pub fn line(way: Way, source: &str, destination: &str) -> String {
    let end = |namespace: &str| End {
        namespace: Some(namespace.into()),
        pod: Some(format!("{namespace}-pod").into()),
        ..End::default()
    };
    let line = Line {
        time: "2026-01-01T00:00:00.000000000Z".into(),
        node: "n1".into(),
        direction: Some(way),
        source: end(source),
        destination: end(destination),
        ..Line::default()
    };
    serde_json::to_string(&line).unwrap() + "\n"
}

#[test]
fn records_are_told_as_far_as_they_may_be_seen_whatever_agents_tell() {
    let cluster = cluster(TOKENS);
    let (out, mut questions) = cluster.observed();
    let authorization = format!("Bearer {KIM}");
    // The agent may not be known at once.
    let reader = loop {
        let stream = cluster.open(
            "GET",
            "/api/v1/records?follow=1",
            &[("Authorization", &authorization)],
            "",
        );
        let metrics = cluster.get("/metrics", &[]).body;
        if metrics.contains("amphipod_hub_observed_agents 1") {
            break stream;
        }
    };
    let (question, ask) = cluster.runtime.block_on(async {
        loop {
            let next =
                tokio::time::timeout(SOON, questions.message()).await.unwrap().unwrap().unwrap();
            if let Some(question::Kind::Ask(ask)) = next.kind {
                break (next.question, ask);
            }
        }
    });
    assert_eq!(ask.scope.unwrap().namespaces, ["shop"]);
    let told = [
        line(Way::Egress, "bank", "bank"),
        line(Way::Ingress, "shop", "bank"),
        "no line\n".to_owned(),
        line(Way::Egress, "shop", "bank"),
    ];
    let lines = wire::Lines { question, lines: told.concat().into(), lost: 0 };
    // A question that was cancelled meanwhile is answered for nothing.
    let answer = wire::Observed { kind: Some(observed::Kind::Lines(lines)) };
    cluster.runtime.block_on(out.send(answer)).unwrap();
    let mut read = BufReader::new(reader).lines().map(|line| line.unwrap());
    let shown = read.find(|line| line.starts_with('{')).unwrap();
    // Who follows holds up the hub's end.
    drop(read);
    assert!(
        shown.contains("shop-pod") && shown.contains("\"hidden\":true") && !shown.contains("bank"),
        "{shown}"
    );
    cluster.app.shutdown().unwrap();
}

#[test]
fn the_api_servers_word_holds_for_a_moment_and_its_silence_is_no_permission() {
    let cluster = cluster(&format!("{TOKENS}holds = \"1s\"\n"));
    let reviews = || {
        let all = cluster.server.requests().into_iter();
        all.filter(|it| it.path.contains("reviews")).map(|it| it.count).sum::<u64>()
    };
    assert_eq!(cluster.get_as(KIM, "/api/v1/graph").status, 200);
    // A token, the whole cluster, and each of two namespaces.
    assert_eq!(reviews(), 4);
    cluster.server.revoke(KIM);
    let since = Instant::now();
    let mut status = 200;
    while status == 200 && since.elapsed() < SOON {
        status = cluster.get_as(KIM, "/api/v1/graph").status;
    }
    assert_eq!(status, 401);
    assert!(since.elapsed().as_millis() > 500, "it is asked again for each request");
    cluster.server.fault(Fault::Overload { requests: 1000, retry_after_s: 1 });
    let answer = cluster.get_as(ALL, "/api/v1/graph");
    assert!(answer.status == 503 && answer.body.contains("cannot be found out"), "{}", answer.body);
    cluster.app.shutdown().unwrap();
}

#[test]
fn an_open_hub_answers_on_this_host_but_no_website() {
    let cluster = cluster("");
    assert_eq!(cluster.get("/api/v1/graph", &[]).status, 200);
    assert_eq!(cluster.get("/api/v1/graph", &[("Host", "localhost:7171")]).status, 200);
    assert_eq!(cluster.get("/api/v1/graph", &[("Host", "evil.example")]).status, 421);
    let session = cluster.get("/api/v1/session", &[]).json();
    assert_eq!((&session["open"], &session["all"]), (&true.into(), &true.into()));
    assert_eq!(cluster.get("/auth/sign-in", &[]).status, 404);
    cluster.app.shutdown().unwrap();
}
