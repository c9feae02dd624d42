//! `/api/v1/openapi.json`: the interface, described by what serves it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use model::Measure;
use serde_json::{Map, Value, json};

use super::request::{Form, Parameter};
use super::{Sources, history, nodes, records};

struct Endpoint {
    path: &'static str,
    summary: &'static str,
    parameters: Vec<Parameter>,
    /// Name of a schema below.
    answer: &'static str,
}

/// Lines of JSON, each of that schema; all others answer JSON.
const LINES: &str = "Record";

fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint {
            path: "/api/v1/measures",
            summary: "What is measured",
            parameters: history::MEASURES.to_vec(),
            answer: "Measures",
        },
        Endpoint {
            path: "/api/v1/graph",
            summary: "Who talks to whom: sums over a time",
            parameters: history::GRAPH.to_vec(),
            answer: "Graph",
        },
        Endpoint {
            path: "/api/v1/series",
            summary: "Values over time",
            parameters: history::SERIES.to_vec(),
            answer: "Series",
        },
        Endpoint {
            path: "/api/v1/workloads",
            summary: "Workloads, with what comes in and goes out",
            parameters: history::WORKLOADS.to_vec(),
            answer: "Workloads",
        },
        Endpoint {
            path: "/api/v1/workloads/{namespace}/{kind}/{name}",
            summary: "One workload, its pods and peers; its namespace is - where it has none",
            parameters: history::WORKLOAD.to_vec(),
            answer: "Workload",
        },
        Endpoint {
            path: "/api/v1/nodes",
            summary: "Nodes that report, and how their probes fare",
            parameters: nodes::NODES.to_vec(),
            answer: "Nodes",
        },
        Endpoint {
            path: "/api/v1/status",
            summary: "The hub itself",
            parameters: Vec::new(),
            answer: "Any",
        },
        Endpoint {
            path: "/api/v1/records",
            summary: "Records of all nodes, kept ones and those that come: JSON lines",
            parameters: records::parameters(),
            answer: LINES,
        },
    ]
}

pub async fn show(State(_): State<Arc<Sources>>) -> Json<Value> {
    Json(document())
}

pub fn document() -> Value {
    let paths =
        endpoints().into_iter().map(|it| (it.path.to_owned(), json!({ "get": operation(&it) })));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Amphipod hub",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths.collect::<Map<_, _>>(),
        "security": [{}, { "token": [] }],
        "components": {
            "schemas": schemas(),
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
    })
}

fn operation(endpoint: &Endpoint) -> Value {
    let of_path =
        endpoint.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let of_path = of_path.map(|name| {
        json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } })
    });
    let of_query = endpoint.parameters.iter().map(parameter);
    let problem = |description: &str| {
        let schema = json!({ "$ref": "#/components/schemas/Problem" });
        json!({ "description": description, "content": { "application/problem+json": { "schema": schema } } })
    };
    let schema = json!({ "$ref": format!("#/components/schemas/{}", endpoint.answer) });
    let media = if endpoint.answer == LINES { "application/x-ndjson" } else { "application/json" };
    json!({
        "summary": endpoint.summary,
        "parameters": of_path.chain(of_query).collect::<Vec<_>>(),
        "responses": {
            "200": { "description": "OK", "content": { media: { "schema": schema } } },
            "400": problem("A parameter is unknown, or has a value that cannot be"),
            "401": problem("Nobody is signed in, or the token is not accepted"),
            "403": problem("A namespace may not be seen by who asks"),
            "404": problem("There is no such thing"),
            // Told by what reads requests, before anything here sees them.
            "431": { "description": "The request without its body is longer than 32 KiB" },
            "503": problem("Too much is asked at once; try again later"),
        },
    })
}

fn parameter(it: &Parameter) -> Value {
    let one = match it.form {
        Form::Time => {
            let time = "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})";
            json!({
                "type": "string", "pattern": format!("^(now|-[0-9]{{1,6}}(ms|s|m|h|d)|{time})$"),
                "examples": ["-15m", "now", "2026-01-31T12:00:00Z"],
            })
        }
        Form::Text => json!({ "type": "string", "maxLength": 1024 }),
        Form::Step => {
            // Multiples of ten seconds, up to 31 days.
            let pattern = "^([1-9][0-9]{0,4}0s|[1-9][0-9]{0,3}m|[1-9][0-9]?h)$";
            json!({ "type": "string", "pattern": pattern, "examples": ["10s", "5m"] })
        }
        Form::Compare => json!({
            "type": "string", "maxLength": 1024,
            "examples": ["1d", "previous", "2026-01-31T12:00:00Z", "deploy:shop/Deployment/cart"],
        }),
        Form::OneOf(known) => json!({ "type": "string", "enum": known }),
        Form::Measure => json!({ "type": "string", "enum": Measure::ALL.map(Measure::name) }),
        Form::Workload => json!({
            "type": "string", "pattern": "^[^/]*/[^/]+/.+$", "examples": ["shop/Deployment/cart"],
        }),
        Form::UpTo(most) => json!({ "type": "integer", "minimum": 0, "maximum": most }),
        Form::Limit { usual, most } => {
            json!({ "type": "integer", "minimum": 1, "maximum": most, "default": usual })
        }
    };
    let schema = if it.repeated { json!({ "type": "array", "items": one }) } else { one };
    let required = it.form == Form::Measure;
    json!({
        "name": it.name, "in": "query", "description": it.help,
        "required": required, "explode": true, "schema": schema,
    })
}

fn object(required: &[&str], properties: Value) -> Value {
    json!({ "type": "object", "required": required, "properties": properties })
}

fn list(schema: &str) -> Value {
    json!({ "type": "array", "items": reference(schema) })
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

/// What every answer over a time begins with, and `more`.
fn span(required: &[&str], more: Value) -> Value {
    let own = ["since", "until", "step_s", "complete", "missing"];
    let mut properties = json!({
        "since": { "type": "string", "format": "date-time" },
        "until": { "type": "string", "format": "date-time" },
        "step_s": { "type": "integer" },
        "complete": { "type": "boolean" },
        "hidden": { "type": "boolean" },
        "missing": list("Missing"),
    });
    if let (Some(all), Value::Object(more)) = (properties.as_object_mut(), more) {
        all.extend(more);
    }
    let required: Vec<&str> = own.iter().chain(required).copied().collect();
    object(&required, properties)
}

/// What came into a workload and went out of it.
fn sums(required: &[&str], more: Value) -> Value {
    let mut properties = json!({
        "incoming": reference("Values"), "outgoing": reference("Values"), "peers": list("Peer"),
    });
    if let (Some(all), Value::Object(more)) = (properties.as_object_mut(), more) {
        all.extend(more);
    }
    let own = ["incoming", "outgoing", "peers"];
    let required: Vec<&str> = own.iter().chain(required).copied().collect();
    span(&required, properties)
}

fn schemas() -> Value {
    let (text, whole, number) =
        (json!({ "type": "string" }), json!({ "type": "integer" }), json!({ "type": "number" }));
    let truth = json!({ "type": "boolean" });
    let values = Measure::ALL.map(|measure| {
        let schema = match measure.shape() {
            model::measure::Shape::Sum => whole.clone(),
            model::measure::Shape::Gauge => number.clone(),
            model::measure::Shape::Distribution => reference("Distribution"),
        };
        (measure.name().to_owned(), schema)
    });
    json!({
        "Any": { "type": "object" },
        // As `amphipod observe -o json` prints it.
        "Record": { "type": "object" },
        "Problem": object(&["type", "title", "status", "detail"], json!({
            "type": text, "title": text, "status": whole, "detail": text,
        })),
        "Values": { "type": "object", "properties": Map::from_iter(values) },
        "Distribution": object(&["count"], json!({
            "count": whole, "mean": number, "p50": number, "p95": number, "p99": number, "max": number,
        })),
        "Missing": object(&["node", "reason"], json!({ "node": text, "reason": text, "rows": whole })),
        "Measures": object(&["measures"], json!({ "measures": { "type": "array", "items": object(
            &["name", "kind", "unit", "type", "title", "bad", "of"],
            json!({ "name": text, "kind": text, "unit": text, "title": text, "bad": truth,
                    // What is bad is a share of the sum of these.
                    "of": { "type": "array", "items": text },
                    "type": { "type": "string", "enum": ["sum", "gauge", "distribution"] } }),
        ) } })),
        "Graph": span(&["nodes", "edges", "truncated"], json!({
            "earlier": reference("Graph"),
            "nodes": { "type": "array", "items": object(&["id", "kind", "name"], json!({
                "id": whole, "namespace": text, "kind": text, "name": text,
                "service": { "type": "array", "items": text }, "zone": text,
            })) },
            "edges": { "type": "array", "items": object(
                &["source", "destination", "protocol", "port", "values"],
                json!({ "source": whole, "destination": whole, "protocol": text, "port": whole,
                        "values": reference("Values") }),
            ) },
            "truncated": truth,
        })),
        "Series": span(&["times", "series"], json!({
            "earlier": reference("Series"),
            "times": { "type": "array", "items": whole },
            "series": { "type": "array", "items": object(&["measure", "values"], json!({
                "measure": text,
                "statistic": { "type": "string", "enum": crate::query::Statistic::ALL.map(|it| it.name()) },
                "values": { "type": "array", "items": { "type": ["number", "null"] } },
            })) },
        })),
        "Workloads": span(&["workloads", "truncated"], json!({
            "earlier": reference("Workloads"),
            "workloads": { "type": "array", "items": object(&["kind", "name", "incoming", "outgoing"], json!({
                "namespace": text, "kind": text, "name": text, "pods": whole, "nodes": whole,
                "incoming": reference("Values"), "outgoing": reference("Values"),
            })) },
            "truncated": truth,
        })),
        "Workload": sums(&["kind", "name", "pods", "deploys", "failures"], json!({
            "namespace": text, "kind": text, "name": text,
            "pods": list("Pod"),
            "deploys": { "type": "array", "items": object(&["time", "name"], json!({
                "time": { "type": "string", "format": "date-time" }, "name": text, "revision": whole,
            })) },
            "failures": { "type": "array", "items": { "type": "object" } },
            "earlier": reference("WorkloadSums"),
        })),
        "WorkloadSums": sums(&[], json!({})),
        "Pod": object(&["name", "node", "ips"], json!({
            "name": text, "node": text, "zone": text, "ips": { "type": "array", "items": text },
        })),
        "Peer": object(&["direction", "kind", "name", "protocol", "port", "values"], json!({
            "direction": { "type": "string", "enum": ["in", "out"] },
            "namespace": text, "kind": text, "name": text, "protocol": text, "port": whole,
            "values": reference("Values"),
        })),
        "Nodes": object(&["nodes", "truncated"], json!({
            "nodes": { "type": "array", "items": object(
                &["name", "connected", "rows", "lost", "lost_rows", "probes"],
                json!({
                    "name": text, "zone": text, "version": text, "connected": truth,
                    "last_seen": { "type": "string", "format": "date-time" },
                    "rows": whole, "lost": whole, "lost_rows": whole,
                    "probes": { "type": "array", "items": object(&["probe", "program", "state"], json!({
                        "probe": text, "program": text, "state": text, "reason": text,
                    })) },
                }),
            ) },
            "truncated": truth, "hidden": truth, "missing": list("Missing"),
        })),
    })
}
