//! The service of a workload, and the slices that list its pods.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::{Value, json};

use super::place::Place;
use super::pod::{Pod, Stage};
use super::time;
use super::workload::Workload;

/// Endpoints in one slice, as the real controller does it.
const SLICE: usize = 100;

pub fn object(workload: &Workload, number: u32, uid: &str) -> Value {
    let [_, high, middle, low] = number.to_be_bytes();
    let v4 = Ipv4Addr::new(10, 32 + high, middle, low);
    let v6 = Ipv6Addr::new(
        0xfd00,
        0x96,
        0,
        0,
        0,
        0,
        u16::from_be_bytes([0, high]),
        u16::from_be_bytes([middle, low]),
    );
    json!({
        "metadata": {
            "name": workload.name, "namespace": workload.namespace, "uid": uid,
            "creationTimestamp": time(0), "labels": workload.labels(),
        },
        "spec": {
            "type": "ClusterIP",
            "clusterIP": v4, "clusterIPs": [v4, v6],
            "ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "PreferDualStack",
            "selector": { "app.kubernetes.io/name": workload.name },
            "ports": [
                { "name": "http", "protocol": "TCP", "port": 80, "targetPort": "http" },
                { "name": "metrics", "protocol": "TCP", "port": 9090, "targetPort": 8081 },
            ],
            "sessionAffinity": "None", "internalTrafficPolicy": "Cluster",
        },
        "status": { "loadBalancer": {} },
    })
}

/// Of both families; at least one of each, so that a service without pods has an empty one.
pub fn slices(workload: &Workload, uid: &str, pods: &[(&Pod, &Place)]) -> Vec<Value> {
    let mut slices = Vec::new();
    for (family, name) in [(0, "IPv4"), (1, "IPv6")] {
        for part in 0..pods.len().div_ceil(SLICE).max(1) {
            let end = pods.len().min((part + 1) * SLICE);
            let endpoints: Vec<Value> = pods[part * SLICE..end]
                .iter()
                .map(|(pod, place)| {
                    let (ready, leaving) =
                        (pod.stage == Stage::Ready, pod.stage == Stage::Terminating);
                    json!({
                        "addresses": [pod.ips(place)[family]],
                        "conditions": { "ready": ready, "serving": ready || leaving, "terminating": leaving },
                        "targetRef": { "kind": "Pod", "namespace": workload.namespace, "name": pod.name, "uid": pod.uid },
                        "nodeName": place.name,
                        "zone": place.zone,
                    })
                })
                .collect();
            slices.push(json!({
                "metadata": {
                    "name": format!("{}-{}-{part}", workload.name, name.to_lowercase()),
                    "namespace": workload.namespace,
                    "uid": format!("{:04x}{part:04x}{}", family, &uid[8..]),
                    "creationTimestamp": time(0),
                    "labels": {
                        "kubernetes.io/service-name": workload.name,
                        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                    },
                    "ownerReferences": [{ "apiVersion": "v1", "kind": "Service", "name": workload.name, "uid": uid, "controller": true, "blockOwnerDeletion": true }],
                },
                "addressType": name,
                "endpoints": endpoints,
                "ports": [
                    { "name": "http", "protocol": "TCP", "port": 8080 },
                    { "name": "metrics", "protocol": "TCP", "port": 8081 },
                ],
            }));
        }
    }
    slices
}
