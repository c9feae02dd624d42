//! Objects that a cluster may have although nobody expects them.

use serde_json::{Map, Value, json};

use super::transcode::BROKEN_TEXT;

/// All are in the namespace `hostile`, and replaced when put again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hostile {
    /// An annotation of 1 MB.
    HugeAnnotation,
    /// 10,000 labels.
    ManyLabels,
    /// Names, labels and addresses that are not UTF-8 in protobuf (in JSON they have a letter for private use).
    InvalidText,
    /// Addresses that are none, that belong to everybody, or are far too long.
    AbsurdAddresses,
    NoStatus,
    /// Two pods that run with the same address.
    DuplicateAddresses,
    /// Many pods with the address of their node.
    HostNetwork,
    /// Owners that do not exist, that own themselves, and a thousand of them.
    Owners,
}

impl Hostile {
    pub const ALL: [Self; 8] = [
        Self::HugeAnnotation,
        Self::ManyLabels,
        Self::InvalidText,
        Self::AbsurdAddresses,
        Self::NoStatus,
        Self::DuplicateAddresses,
        Self::HostNetwork,
        Self::Owners,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::HugeAnnotation => "huge-annotation",
            Self::ManyLabels => "many-labels",
            Self::InvalidText => "invalid-text",
            Self::AbsurdAddresses => "absurd-addresses",
            Self::NoStatus => "no-status",
            Self::DuplicateAddresses => "duplicate-addresses",
            Self::HostNetwork => "host-network",
            Self::Owners => "owners",
        }
    }
}

/// Where they live.
pub const NAMESPACE: &str = "hostile";

pub(super) fn objects(which: Hostile) -> Vec<Value> {
    let mut pods = Vec::new();
    match which {
        Hostile::HugeAnnotation => {
            let mut pod = pod("huge-annotation", &["10.66.0.1"]);
            pod["metadata"]["annotations"] = json!({ "example.com/huge": "x".repeat(1 << 20) });
            pods.push(pod);
        }
        Hostile::ManyLabels => {
            let mut pod = pod("many-labels", &["10.66.0.2"]);
            let labels: Map<String, Value> = (0..10_000)
                .map(|index| {
                    (format!("example.com/label-{index}"), json!(format!("value-{index}")))
                })
                .collect();
            pod["metadata"]["labels"] = Value::Object(labels);
            pods.push(pod);
        }
        Hostile::InvalidText => {
            let text = format!("not{BROKEN_TEXT}text");
            let mut pod = pod(&text, &["10.66.0.3"]);
            let mut labels = Map::new();
            labels.insert(text.clone(), json!(text));
            pod["metadata"]["labels"] = Value::Object(labels);
            pod["spec"]["nodeName"] = json!(text);
            pod["status"]["podIPs"] = json!([{ "ip": text }, { "ip": "10.66.0.3" }]);
            pod["status"]["containerStatuses"] =
                json!([{ "name": text, "containerID": text, "image": text, "ready": true }]);
            pods.push(pod);
        }
        Hostile::AbsurdAddresses => {
            let long = "1.".repeat(5000);
            let absurd = [
                "",
                "0.0.0.0",
                "::",
                "255.255.255.255",
                "127.0.0.1",
                "::1",
                "999.1.2.3",
                "10.0.0",
                "010.001.002.003",
                "::ffff:10.66.0.4",
                "fe80::1%eth0",
                "224.0.0.1",
                "10.66.0.4/24",
                "nowhere",
                "\u{0}",
                &long,
            ];
            pods.push(pod("absurd-addresses", &absurd));
            for (index, ip) in absurd.iter().enumerate() {
                pods.push(pod(&format!("absurd-address-{index}"), &[ip]));
            }
        }
        Hostile::NoStatus => {
            let mut without = pod("no-status", &[]);
            if let Some(pod) = without.as_object_mut() {
                pod.remove("status");
            }
            pods.push(without);
            pods.push(json!({
                "kind": "Pod",
                "metadata": { "namespace": NAMESPACE, "name": "metadata-alone" },
            }));
        }
        Hostile::DuplicateAddresses => {
            for index in 0..2 {
                pods.push(pod(&format!("duplicate-{index}"), &["10.66.0.5", "10.66.0.5"]));
            }
        }
        Hostile::HostNetwork => {
            for index in 0..20 {
                let mut pod = pod(&format!("host-network-{index}"), &["192.0.2.66"]);
                pod["spec"]["hostNetwork"] = json!(true);
                pod["status"]["hostIP"] = json!("192.0.2.66");
                pods.push(pod);
            }
        }
        Hostile::Owners => {
            let owner = |index: u32| {
                json!({
                    "apiVersion": "apps/v1", "kind": "ReplicaSet", "controller": true,
                    "name": format!("nobody-{index}"), "uid": format!("uid-{index}"),
                })
            };
            let mut pod = pod("many-owners", &["10.66.0.6"]);
            pod["metadata"]["ownerReferences"] = (0..1000).map(owner).collect();
            pods.push(pod);
            let mut circle = owner(0);
            circle["name"] = json!("circle");
            pods.push(json!({
                "kind": "ReplicaSet",
                "metadata": {
                    "namespace": NAMESPACE, "name": "circle", "uid": "uid-0",
                    "ownerReferences": [circle],
                },
            }));
        }
    }
    pods
}

fn pod(name: &str, ips: &[&str]) -> Value {
    let all: Vec<Value> = ips.iter().map(|ip| json!({ "ip": ip })).collect();
    json!({
        "kind": "Pod",
        "metadata": { "namespace": NAMESPACE, "name": name, "uid": format!("hostile-{name}") },
        "spec": { "nodeName": "node-0", "containers": [{ "name": "main", "image": "x" }] },
        "status": { "phase": "Running", "podIP": ips.first(), "podIPs": all },
    })
}
