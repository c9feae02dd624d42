//! The simulated API server, seen by a client.

// Functions that tests share are tests, too.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "apiserver/client.rs"]
mod client;
#[path = "apiserver/faults.rs"]
mod faults;
#[path = "apiserver/generator.rs"]
mod generator;
#[path = "apiserver/kubectl.rs"]
mod kubectl;
#[path = "apiserver/protocol.rs"]
mod protocol;
#[path = "apiserver/wire.rs"]
mod wire;

use std::time::Duration;

use serde_json::{Value, json};
use sim::apiserver::{ApiServer, Options};

pub fn start() -> ApiServer {
    ApiServer::start(Options::default()).unwrap()
}

pub fn pod(namespace: &str, name: &str, app: &str) -> Value {
    json!({
        "kind": "Pod",
        "metadata": {
            "namespace": namespace, "name": name, "uid": format!("uid-{name}"), "labels": { "app": app },
            "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": app, "uid": "u", "controller": true }],
        },
        "spec": {
            "nodeName": "n1", "containers": [{ "name": "main", "image": "x" }],
            "volumes": [{ "name": "v", "secret": { "secretName": "s" } }],
        },
        "status": {
            "phase": "Running", "podIP": "10.0.0.1", "podIPs": [{ "ip": "10.0.0.1" }, { "ip": "fd00::1" }],
            "startTime": "2026-01-01T00:00:00Z",
            "containerStatuses": [{ "name": "main", "containerID": "containerd://abc", "ready": true, "restartCount": 0, "image": "x", "imageID": "y" }],
        },
    })
}

/// Fails what hangs.
pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), what).await.expect("nothing came within 10 s")
}
