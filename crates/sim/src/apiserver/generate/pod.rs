//! One pod, and its object in each stage of its life.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::place::Place;
use super::random::Random;
use super::time;
use super::workload::{Owner, Workload};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// On a node, without an address.
    Scheduled,
    Ready,
    /// Still with its address.
    Terminating,
}

#[derive(Debug)]
pub struct Pod {
    pub workload: usize,
    pub place: usize,
    /// None in the host's network.
    pub host: Option<u8>,
    pub name: String,
    pub uid: String,
    pub owner: Owner,
    pub stage: Stage,
    /// Seconds since the cluster began.
    pub created_s: u64,
    /// Counts changes of its labels.
    pub relabelled: u32,
    /// By which its containers' ids follow.
    pub seed: u64,
}

impl Pod {
    pub fn ips(&self, place: &Place) -> [IpAddr; 2] {
        self.host.map_or_else(|| place.ips(), |host| place.pod_ips(host))
    }

    /// What is its own; the rest is in the workload's [`Shared`](crate::apiserver::Shared).
    pub fn object(&self, workload: &Workload, place: &Place) -> Value {
        let mut labels = workload.labels();
        if self.relabelled > 0 {
            labels["example.com/generation"] = json!(self.relabelled.to_string());
        }
        let created = time(self.created_s);
        let mut metadata = json!({
            "name": self.name,
            "namespace": workload.namespace,
            "uid": self.uid,
            "generateName": format!("{}-", self.owner.name),
            "creationTimestamp": created,
            "generation": 1,
            "labels": labels,
            "ownerReferences": self.owner.reference(),
        });
        if self.stage == Stage::Terminating {
            metadata["deletionTimestamp"] = json!(time(self.created_s + 60));
            metadata["deletionGracePeriodSeconds"] = json!(30);
        }
        json!({
            "metadata": metadata,
            "spec": { "nodeName": place.name },
            "status": self.status(workload, place),
        })
    }

    fn status(&self, workload: &Workload, place: &Place) -> Value {
        let (created, ready) = (time(self.created_s), time(self.created_s + 5));
        let is_ready = self.stage != Stage::Scheduled;
        let truth = |is: bool| if is { "True" } else { "False" };
        let condition = |kind: &str, status: bool, at: &str| {
            json!({
                "type": kind, "status": truth(status), "lastProbeTime": null, "lastTransitionTime": at,
                "observedGeneration": 1,
            })
        };
        let mut status = json!({
            "phase": if is_ready { "Running" } else { "Pending" },
            "conditions": [
                condition("PodReadyToStartContainers", is_ready, &ready),
                condition("Initialized", true, &created),
                condition("Ready", is_ready, &ready),
                condition("ContainersReady", is_ready, &ready),
                condition("PodScheduled", true, &created),
            ],
            "observedGeneration": 1,
        });
        let mut ids = Random::new(self.seed);
        let containers: &[&str] =
            if workload.host_network { &[&workload.name] } else { &[&workload.name, "proxy"] };
        let statuses = containers.iter().map(|name| {
            let image = format!("registry.example.com/platform/{name}:v1");
            let mut container = json!({
                "name": name, "image": image, "imageID": "", "ready": is_ready, "started": is_ready, "restartCount": 0,
                "lastState": {},
                "state": { "waiting": { "reason": "ContainerCreating" } },
            });
            if is_ready {
                container["imageID"] = json!(format!("{image}@sha256:{}", ids.hex(64)));
                container["containerID"] = json!(format!("containerd://{}", ids.hex(64)));
                container["state"] = json!({ "running": { "startedAt": ready } });
                container["volumeMounts"] = json!([
                    { "name": "config", "mountPath": "/etc/config", "readOnly": true, "recursiveReadOnly": "Disabled" },
                    { "name": "tmp", "mountPath": "/tmp" },
                ]);
            }
            container
        });
        status["containerStatuses"] = statuses.collect();
        let list = |ips: [IpAddr; 2]| json!([{ "ip": ips[0] }, { "ip": ips[1] }]);
        status["hostIP"] = json!(place.ips()[0]);
        status["hostIPs"] = list(place.ips());
        status["startTime"] = json!(created);
        if is_ready {
            let ips = self.ips(place);
            status["podIP"] = json!(ips[0]);
            status["podIPs"] = list(ips);
        }
        status
    }
}
