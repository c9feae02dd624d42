//! What the hub answers is what its own description says, and what an agent told.

// A test fails where something is wrong.
#![allow(clippy::unwrap_used, clippy::panic)]

mod fixture;
mod fuzz;

use std::io::{BufRead, BufReader};
use std::time::Duration;

use model::Measure;
use proto::TelemetryClient;
use proto::telemetry::{self as wire, observed, question};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use self::fixture::{hub, introduction, tell};

/// Whether `value` is what `schema` says: as much of JSON Schema as the document uses.
fn check(document: &Value, schema: &Value, value: &Value, place: &str) {
    if let Some(name) = schema["$ref"].as_str() {
        return check(document, document.pointer(&name[1..]).unwrap(), value, place);
    }
    let is = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("{other}"),
    };
    let kinds = match &schema["type"] {
        Value::String(kind) => vec![kind.as_str()],
        Value::Array(kinds) => kinds.iter().map(|it| it.as_str().unwrap()).collect(),
        other => panic!("{place}: {other}"),
    };
    assert!(kinds.iter().any(|kind| is(kind)), "{place}: {value} is none of {kinds:?}");
    if let Some(known) = schema["enum"].as_array() {
        assert!(known.contains(value), "{place}: {value} is none of {known:?}");
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        assert!(!value[name.as_str().unwrap()].is_null(), "{place}: no {name} in {value}");
    }
    for (name, value) in value.as_object().into_iter().flatten() {
        let properties = &schema["properties"];
        if properties.is_object() {
            assert!(!properties[name].is_null(), "{place}: {name} is not described");
            check(document, &properties[name], value, &format!("{place}.{name}"));
        }
    }
    for item in value.as_array().into_iter().flatten() {
        check(document, &schema["items"], item, &format!("{place}[]"));
    }
}

#[test]
fn answers_are_as_described_and_have_what_was_told() {
    let hub = hub();
    let _told = tell(&hub);
    let document = hub.json("/api/v1/openapi.json");
    let series = "/api/v1/series?measure=connect&measure=active&step=10s&workload=shop/Deployment/workload-1";
    let asked = [
        ("/api/v1/measures", "/api/v1/measures"),
        ("/api/v1/graph", "/api/v1/graph?namespace=shop&group=workload"),
        ("/api/v1/graph", "/api/v1/graph?group=zone&since=-1h"),
        ("/api/v1/series", series),
        ("/api/v1/workloads", "/api/v1/workloads?search=LOAD-1"),
        (
            "/api/v1/workloads/{namespace}/{kind}/{name}",
            "/api/v1/workloads/shop/Deployment/workload-1",
        ),
        ("/api/v1/graph", "/api/v1/graph?compare=1h"),
        ("/api/v1/series", "/api/v1/series?measure=rtt&compare=previous"),
        ("/api/v1/workloads", "/api/v1/workloads?compare=7d"),
        (
            "/api/v1/workloads/{namespace}/{kind}/{name}",
            "/api/v1/workloads/shop/Deployment/workload-1?compare=2026-01-31T12:00:00Z",
        ),
        ("/api/v1/nodes", "/api/v1/nodes"),
        ("/api/v1/status", "/api/v1/status"),
    ];
    for (path, asked) in asked {
        let get = &document["paths"][path]["get"];
        let schema = &get["responses"]["200"]["content"]["application/json"]["schema"];
        check(&document, schema, &hub.json(asked), asked);
    }
    let described = document["paths"].as_object().unwrap().keys();
    assert!(
        described
            .clone()
            .all(|path| path.ends_with("/records") || asked.iter().any(|(it, _)| it == path)),
        "{described:?}"
    );

    let graph = hub.json("/api/v1/graph");
    assert_eq!((&graph["complete"], &graph["missing"][0]["rows"]), (&false.into(), &3.into()));
    let edges = graph["edges"].as_array().unwrap();
    assert_eq!(edges.len(), 1, "both ends are one");
    let values = &edges[0]["values"];
    assert_eq!(
        (&values["connections"], &values["connect"]["count"]),
        (&10.into(), &1.into()),
        "once"
    );
    let all: Vec<&str> = values.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(all.len(), Measure::ALL.len(), "{all:?}");
    let compared = hub.json("/api/v1/graph?since=-1m&compare=1h");
    assert_eq!(compared["edges"].as_array().unwrap().len(), 1);
    assert_eq!(compared["earlier"]["edges"], serde_json::json!([]));
    let page = hub.json("/api/v1/workloads/shop/Deployment/workload-2");
    assert_eq!(
        (&page["peers"][0]["direction"], &page["peers"][0]["name"]),
        (&"in".into(), &"workload-1".into())
    );
    let node = &hub.json("/api/v1/nodes")["nodes"][0];
    assert_eq!(
        (&node["rows"], &node["lost"], &node["probes"][0]["state"]),
        (&2.into(), &5.into(), &"active".into())
    );
    hub.app.shutdown().unwrap();
}

#[test]
fn what_cannot_be_asked_is_told() {
    let hub = hub();
    for (path, status, detail) in [
        ("/api/v1/graph?group=pod", 400, "group = \\\"pod\\\": expected workload, namespace, zone"),
        ("/api/v1/graph?limit=0", 400, "limit = \\\"0\\\": expected a whole number from 1"),
        ("/api/v1/graph?colour=red", 400, "unknown parameter \\\"colour\\\"; known are since"),
        ("/api/v1/graph?since=now", 400, "since"),
        ("/api/v1/graph?since=-9999999d", 400, "400 days"),
        ("/api/v1/series", 400, "measure: expected at least one"),
        ("/api/v1/series?measure=bytes", 400, "unknown measure"),
        ("/api/v1/series?measure=rtt&step=7s", 400, "step"),
        (
            "/api/v1/series?measure=rtt&source=cart",
            400,
            "source: \\\"cart\\\": expected NAMESPACE/KIND/NAME",
        ),
        (
            "/api/v1/graph?compare=yesterday",
            400,
            "compare = \\\"yesterday\\\": expected how long before",
        ),
        ("/api/v1/graph?since=-1h&until=-10m&compare=now", 400, "compare"),
        (
            "/api/v1/graph?compare=deploy:shop/Deployment/nobody",
            404,
            "no deploy of shop/Deployment/nobody",
        ),
        ("/api/v1/workloads/shop/Deployment/nobody", 404, "shop/Deployment/nobody"),
        ("/api/v1/records?port=x", 400, "filter port"),
        ("/api/v1/records?label=a=b=c", 400, "filter label: \\\"a=b=c\\\" is not allowed"),
        (
            "/api/v1/records?follow=maybe",
            400,
            "follow = \\\"maybe\\\": expected 0, 1, false, true\"",
        ),
        ("/api/v1/nothing", 404, "no such path"),
    ] {
        let (found, body) = hub.get(path);
        assert_eq!(found, status, "{path}: {body}");
        assert!(body.contains(detail), "{path}: {body}");
    }
    for path in ["/healthz", "/api/v1/graph", "/api/v1/records", "/api/v1/session"] {
        let (head, body) = hub.ask("POST", path);
        let head = head.to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 405 "), "{path}: {head}");
        assert!(head.contains("content-type: application/problem+json"), "{path}: {head}");
        assert!(head.contains("allow: get,head"), "{path}: {head}");
        assert!(body.contains("this method is not served here"), "{path}: {body}");
    }
    hub.app.shutdown().unwrap();
}

#[test]
fn records_are_asked_of_agents_for_as_long_as_somebody_listens() {
    let hub = hub();
    let (out, mut questions) = hub.runtime.block_on(async {
        let (out, answers) = mpsc::channel(4);
        let kind = Some(observed::Kind::Introduction(introduction()));
        out.send(wire::Observed { kind }).await.unwrap();
        let mut client = TelemetryClient::new(hub.channel().await);
        let questions = client.observe(ReceiverStream::new(answers)).await.unwrap().into_inner();
        (out, questions)
    });
    let mut next = || {
        let next = hub.runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(30), questions.message()).await
        });
        let wire::Question { question, kind } = next.unwrap().unwrap().unwrap();
        (question, kind.unwrap())
    };
    let silent = r#"{"lost":0,"node":"n1","reason":"no_answer"}"#;
    // The agent may not be known at once.
    while !hub.get("/metrics").1.contains("amphipod_hub_observed_agents 1") {}
    let (_, body) = hub.get("/api/v1/records?last=5");
    assert!(body.contains(silent), "{body}");
    assert!(matches!(next(), (_, question::Kind::Ask(_))));
    assert!(matches!(next(), (_, question::Kind::Cancel(_))));
    let reader = loop {
        let stream = hub.open("/api/v1/records?follow=1&pod=cart&verdict=failed");
        let asked = hub.get("/metrics").1;
        if asked.contains("amphipod_hub_observed_agents 1") {
            break stream;
        }
        drop(stream);
    };
    let (question, kind) = loop {
        match next() {
            (question, question::Kind::Ask(ask)) => break (question, ask),
            (_, question::Kind::Cancel(_)) => {}
        }
    };
    let filters: Vec<_> =
        kind.filters.iter().map(|it| (it.key.as_str(), it.value.as_str())).collect();
    assert_eq!(
        (kind.follow, kind.last, filters),
        (true, None, vec![("pod", "cart"), ("verdict", "failed")])
    );
    let lines = wire::Lines { question, lines: "{\"time\":\"t\"}\n".into(), lost: 2 };
    let answer = wire::Observed { kind: Some(observed::Kind::Lines(lines)) };
    hub.runtime.block_on(out.send(answer)).unwrap();
    let read = BufReader::new(reader).lines().map(|line| line.unwrap());
    let lines: Vec<String> = read.filter(|line| line.starts_with('{')).take(2).collect();
    assert_eq!(lines, [r#"{"lost":2,"node":"n1"}"#, r#"{"time":"t"}"#]);
    // The reader is gone.
    assert_eq!(next(), (question, question::Kind::Cancel(question::Cancel {})));
    hub.app.shutdown().unwrap();
}
