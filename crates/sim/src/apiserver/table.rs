//! Tables: what `kubectl get` prints.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::object::Object;
use super::resource::Resource;
use super::wire::{self, Header};

/// Name, type, and whether it is shown only when asked for (`-o wide`).
type Column = (&'static str, &'static str, bool);

const NAME: Column = ("Name", "string", false);
const AGE: Column = ("Age", "string", false);

fn columns(resource: Resource) -> Vec<Column> {
    let text = |name| (name, "string", false);
    let number = |name| (name, "integer", false);
    let wide = |name| (name, "string", true);
    match resource {
        Resource::Pods => vec![
            NAME,
            text("Ready"),
            text("Status"),
            text("Restarts"),
            AGE,
            wide("IP"),
            wide("Node"),
            wide("Nominated Node"),
            wide("Readiness Gates"),
        ],
        Resource::Nodes => {
            vec![NAME, text("Status"), text("Roles"), AGE, text("Version"), wide("Internal-IP")]
        }
        Resource::Services => {
            vec![NAME, text("Type"), text("Cluster-IP"), text("External-IP"), text("Port(s)"), AGE]
        }
        Resource::Namespaces => vec![NAME, text("Status"), AGE],
        Resource::EndpointSlices => {
            vec![NAME, text("AddressType"), text("Ports"), text("Endpoints"), AGE]
        }
        Resource::ReplicaSets => {
            vec![NAME, number("Desired"), number("Current"), number("Ready"), AGE]
        }
        Resource::Jobs => vec![NAME, text("Status"), text("Completions"), AGE],
    }
}

/// `metadata`: that of the list.
pub fn list(resource: Resource, metadata: &Value, objects: &[Arc<Object>]) -> String {
    let rows: Vec<Value> = objects.iter().map(|object| cells(object)).collect();
    table(resource, metadata, &rows, true)
}

/// A table of one row, as watches tell of an object. Only the first has columns.
pub fn row(object: &Object, with_columns: bool) -> String {
    let metadata = json!({ "resourceVersion": object.version.to_string() });
    table(object.resource, &metadata, &[cells(object)], with_columns)
}

fn table(resource: Resource, metadata: &Value, rows: &[Value], with_columns: bool) -> String {
    let columns: Vec<Value> = columns(resource)
        .into_iter()
        .map(|(name, kind, is_wide)| {
            let format = if name == "Name" { "name" } else { "" };
            let priority = i32::from(is_wide);
            json!({ "name": name, "type": kind, "format": format, "description": "", "priority": priority })
        })
        .collect();
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": if with_columns { json!(columns) } else { Value::Null },
        "rows": rows,
    })
    .to_string()
}

fn cells(object: &Object) -> Value {
    let value = object.json();
    let text = |pointer: &str, otherwise: &str| {
        let text = value.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
        json!(text.unwrap_or(otherwise))
    };
    let number = |pointer: &str| value.pointer(pointer).and_then(Value::as_i64).unwrap_or(0);
    let items = |pointer: &str| {
        value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    };
    let joined = |items: &[Value], item: &dyn Fn(&Value) -> String| {
        let joined = items.iter().map(item).collect::<Vec<_>>().join(",");
        json!(if joined.is_empty() { "<none>".to_owned() } else { joined })
    };
    let name = json!(*object.name);
    let age = json!(age(&value));
    let cells = match object.resource {
        Resource::Pods => {
            let statuses = items("/status/containerStatuses");
            let ready = statuses.iter().filter(|status| status["ready"] == json!(true)).count();
            let restarts: i64 =
                statuses.iter().map(|status| status["restartCount"].as_i64().unwrap_or(0)).sum();
            let containers = items("/spec/containers").len();
            let leaving = value.pointer("/metadata/deletionTimestamp").is_some();
            vec![
                name,
                json!(format!("{ready}/{containers}")),
                if leaving { json!("Terminating") } else { text("/status/phase", "Unknown") },
                json!(restarts.to_string()),
                age,
                text("/status/podIP", "<none>"),
                text("/spec/nodeName", "<none>"),
                json!("<none>"),
                json!("<none>"),
            ]
        }
        Resource::Nodes => {
            let conditions = items("/status/conditions");
            let ready = conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True");
            let internal = items("/status/addresses").iter().find(|a| a["type"] == "InternalIP");
            vec![
                name,
                json!(if ready { "Ready" } else { "NotReady" }),
                json!("<none>"),
                age,
                text("/status/nodeInfo/kubeletVersion", ""),
                internal.map_or(json!("<none>"), |address| address["address"].clone()),
            ]
        }
        Resource::Services => {
            let port = |port: &Value| {
                let protocol = port["protocol"].as_str().unwrap_or("TCP");
                format!("{}/{protocol}", port["port"])
            };
            vec![
                name,
                text("/spec/type", "ClusterIP"),
                text("/spec/clusterIP", "None"),
                joined(items("/spec/externalIPs"), &|ip| ip.as_str().unwrap_or("").to_owned()),
                joined(items("/spec/ports"), &port),
                age,
            ]
        }
        Resource::Namespaces => vec![name, text("/status/phase", "Active"), age],
        Resource::EndpointSlices => {
            let address =
                |endpoint: &Value| endpoint["addresses"][0].as_str().unwrap_or_default().to_owned();
            vec![
                name,
                text("/addressType", ""),
                joined(items("/ports"), &|port| port["port"].to_string()),
                joined(items("/endpoints"), &address),
                age,
            ]
        }
        Resource::ReplicaSets => vec![
            name,
            json!(number("/spec/replicas")),
            json!(number("/status/replicas")),
            json!(number("/status/readyReplicas")),
            age,
        ],
        Resource::Jobs => {
            vec![name, json!("Running"), json!(format!("0/{}", number("/spec/completions"))), age]
        }
    };
    let mut partial = Vec::new();
    wire::json(object, Header::Partial, &mut partial);
    let partial: Value = serde_json::from_slice(&partial).unwrap_or_default();
    json!({ "cells": cells, "object": partial })
}

/// `5s`, `7m`, `3h`, `12d`.
fn age(value: &Value) -> String {
    let created = value.pointer("/metadata/creationTimestamp").and_then(Value::as_str);
    let Some(created) = created.and_then(|text| text.parse::<Timestamp>().ok()) else {
        return "<unknown>".to_owned();
    };
    let seconds = (Timestamp::now().as_second() - created.as_second()).max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}
