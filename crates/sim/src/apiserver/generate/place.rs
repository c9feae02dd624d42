//! Nodes and the addresses that they give to pods.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::{Map, Value, json};

use super::random::Random;
use super::time;

/// Pods with an address of their own that a node has room for.
pub const ROOM: usize = 250;
/// Numbers that the addresses have room for.
pub const MAX_NODES: u32 = 16_384;

/// Nodes in one network of theirs.
const NETWORK: u32 = 250;

#[derive(Debug)]
pub struct Place {
    pub index: u32,
    pub name: String,
    pub zone: String,
    /// Free host numbers; the one freed last is the next taken.
    free: Vec<u8>,
}

impl Place {
    pub fn new(index: u32, zones: u32) -> Self {
        let zone = char::from(b'a' + u8::try_from(index % zones.clamp(1, 26)).unwrap_or(0));
        let free = (2..=251).rev().collect();
        Self { index, name: format!("node-{index}"), zone: format!("eu-central-1{zone}"), free }
    }

    pub fn take(&mut self) -> Option<u8> {
        self.free.pop()
    }

    pub fn give(&mut self, host: u8) {
        self.free.push(host);
    }

    pub fn has_room(&self) -> bool {
        !self.free.is_empty()
    }

    /// Of both families.
    pub fn ips(&self) -> [IpAddr; 2] {
        let bytes = |number: u32| u8::try_from(number).unwrap_or(u8::MAX);
        let (network, host) = (bytes(self.index / NETWORK), bytes(self.index % NETWORK) + 2);
        let v6 = Ipv6Addr::new(0xfd00, 0x172, 0, 0, 0, 0, network.into(), host.into());
        [Ipv4Addr::new(172, 16, network, host).into(), v6.into()]
    }

    /// Of the pod with the host number.
    pub fn pod_ips(&self, host: u8) -> [IpAddr; 2] {
        let [.., high, low] = self.index.to_be_bytes();
        let network = u16::from_be_bytes([high, low]);
        let v6 = Ipv6Addr::new(0xfd00, 0x10, network, 0, 0, 0, 0, host.into());
        [Ipv4Addr::new(10, 64 + high, low, host).into(), v6.into()]
    }

    /// The Node object.
    pub fn object(&self, random: &mut Random) -> Value {
        let [v4, v6] = self.ips();
        let [cidr4, cidr6] = self.pod_ips(0);
        let (cidr4, cidr6) = (format!("{cidr4}/24"), format!("{cidr6}/64"));
        let resources = json!({ "cpu": "16", "memory": "65842136Ki", "pods": "250", "ephemeral-storage": "209702892Ki" });
        let condition = |kind: &str, status: &str, reason: &str| {
            json!({
                "type": kind, "status": status, "reason": reason, "message": format!("kubelet says {reason}"),
                "lastHeartbeatTime": time(60), "lastTransitionTime": time(0),
            })
        };
        let images: Vec<Value> = (0..30)
            .map(|_| {
                let (name, digest) = (random.suffix(12), random.hex(64));
                json!({
                    "names": [format!("registry.example.com/{name}@sha256:{digest}"), format!("registry.example.com/{name}:v1")],
                    "sizeBytes": 10_000_000 + random.below(500_000_000),
                })
            })
            .collect();
        let mut labels = Map::new();
        for (key, value) in [
            ("kubernetes.io/hostname", self.name.as_str()),
            ("kubernetes.io/os", "linux"),
            ("kubernetes.io/arch", "amd64"),
            ("node.kubernetes.io/instance-type", "m6i.4xlarge"),
            ("topology.kubernetes.io/region", "eu-central-1"),
            ("topology.kubernetes.io/zone", &self.zone),
        ] {
            labels.insert(key.to_owned(), json!(value));
        }
        json!({
            "metadata": {
                "name": self.name, "uid": random.uid(), "creationTimestamp": time(0), "labels": labels,
                "annotations": { "node.alpha.kubernetes.io/ttl": "0", "volumes.kubernetes.io/controller-managed-attach-detach": "true" },
            },
            "spec": {
                "podCIDR": cidr4, "podCIDRs": [cidr4, cidr6],
                "providerID": format!("aws:///{}/i-{}", self.zone, random.hex(17)),
            },
            "status": {
                "capacity": resources, "allocatable": resources,
                "conditions": [
                    condition("MemoryPressure", "False", "KubeletHasSufficientMemory"),
                    condition("DiskPressure", "False", "KubeletHasNoDiskPressure"),
                    condition("PIDPressure", "False", "KubeletHasSufficientPID"),
                    condition("Ready", "True", "KubeletReady"),
                ],
                "addresses": [
                    { "type": "InternalIP", "address": v4 },
                    { "type": "InternalIP", "address": v6 },
                    { "type": "Hostname", "address": self.name },
                ],
                "daemonEndpoints": { "kubeletEndpoint": { "Port": 10250 } },
                "nodeInfo": {
                    "machineID": random.hex(32), "systemUUID": random.uid(), "bootID": random.uid(),
                    "kernelVersion": "6.12.48-amd64", "osImage": "Debian GNU/Linux 13 (trixie)",
                    "containerRuntimeVersion": "containerd://2.1.4", "kubeletVersion": "v1.36.0", "kubeProxyVersion": "v1.36.0",
                    "operatingSystem": "linux", "architecture": "amd64",
                },
                "images": images,
            },
        })
    }
}
