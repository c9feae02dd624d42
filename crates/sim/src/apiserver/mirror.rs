//! From what a simulated node says of itself (`model::Change`) to full objects of the API.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use model::{Change, Pod, Service};
use serde_json::{Value, json};

use super::error::Error;
use super::resource::Resource;
use super::server::ApiServer;

/// Keeps a server in line with the changes that it is told: pods with their node, namespace and owners, services with the
/// slices that list their pods (those with the label `app` of the service's name).
#[derive(Debug)]
pub struct Mirror {
    server: ApiServer,
    /// With the time at which each was first told of.
    pods: BTreeMap<Arc<str>, (Pod, String)>,
    services: BTreeMap<(Arc<str>, Arc<str>), Service>,
    /// Namespaces, nodes and owners that are put already.
    known: BTreeSet<(Resource, String)>,
}

impl Mirror {
    pub fn new(server: ApiServer) -> Self {
        let (pods, services, known) = Default::default();
        Self { server, pods, services, known }
    }

    /// # Errors
    /// A fault of this mirror: the server refuses what it made.
    pub fn apply(&mut self, change: &Change) -> Result<(), Error> {
        match change {
            Change::Pod(pod) => self.pod(pod),
            Change::PodGone { uid } => {
                if let Some((pod, _)) = self.pods.remove(uid) {
                    let now = self.server.get(Resource::Pods, &pod.namespace, &pod.name);
                    // Another pod may have its name by now.
                    if now.is_some_and(|now| now.uid == *uid) {
                        self.server.delete(Resource::Pods, &pod.namespace, &pod.name);
                    }
                    let job = (Resource::Jobs, format!("{}/{}", pod.namespace, stem(&pod)));
                    if self.known.remove(&job) {
                        self.server.delete(Resource::Jobs, &pod.namespace, stem(&pod));
                    }
                    self.slices_of(&pod)?;
                }
                Ok(())
            }
            Change::Service(service) => self.service(service),
            Change::ServiceGone { namespace, name } => {
                self.services.remove(&(Arc::clone(namespace), Arc::clone(name)));
                self.server.delete(Resource::Services, namespace, name);
                for family in ["ipv4", "ipv6"] {
                    let slice = format!("{name}-{family}");
                    self.server.delete(Resource::EndpointSlices, namespace, &slice);
                }
                Ok(())
            }
            // The simulated cluster tells of no others.
            _ => Ok(()),
        }
    }

    fn pod(&mut self, pod: &Pod) -> Result<(), Error> {
        self.namespace(&pod.namespace)?;
        self.node(pod)?;
        let owner = self.owner(pod)?;
        let since = match self.pods.get(&pod.uid) {
            Some((_, since)) => since.clone(),
            None => now(),
        };
        let has_address = !pod.ips.is_empty();
        let truth = if has_address { "True" } else { "False" };
        let ips: Vec<Value> = pod.ips.iter().map(|ip| json!({ "ip": ip })).collect();
        let containers: Vec<Value> =
            pod.containers.iter().map(|c| json!({ "name": c.name, "image": image(pod) })).collect();
        let statuses: Vec<Value> = pod
            .containers
            .iter()
            .map(|c| {
                json!({
                    "name": c.name, "image": image(pod), "imageID": image(pod), "ready": true, "restartCount": 0,
                    "containerID": format!("containerd://{}", c.id), "state": { "running": { "startedAt": since } },
                })
            })
            .collect();
        self.server.apply(&json!({
            "kind": "Pod",
            "metadata": {
                "name": pod.name, "namespace": pod.namespace, "uid": pod.uid, "labels": pod.labels, "creationTimestamp": since,
                "ownerReferences": owner.map(|owner| json!([owner])),
            },
            "spec": { "nodeName": pod.node, "hostNetwork": pod.host_network.then_some(true), "containers": containers },
            "status": {
                "startTime": since,
                "phase": if pod.containers.is_empty() { "Pending" } else { "Running" },
                "conditions": [{ "type": "Ready", "status": truth }, { "type": "PodScheduled", "status": "True" }],
                "podIP": pod.ips.first(), "podIPs": ips, "containerStatuses": statuses,
            },
        }))?;
        self.pods.insert(Arc::clone(&pod.uid), (pod.clone(), since));
        self.slices_of(pod)
    }

    fn service(&mut self, service: &Service) -> Result<(), Error> {
        self.namespace(&service.namespace)?;
        let first = service.ips.first().map_or("None".to_owned(), IpAddr::to_string);
        let all: Vec<String> = service.ips.iter().map(IpAddr::to_string).collect();
        self.server.apply(&json!({
            "kind": "Service",
            "metadata": {
                "name": service.name, "namespace": service.namespace,
                "uid": uid(&format!("service {}/{}", service.namespace, service.name)), "creationTimestamp": now(),
            },
            "spec": {
                "type": "ClusterIP", "clusterIP": first,
                "clusterIPs": if all.is_empty() { vec![first.clone()] } else { all },
                "selector": { "app": selected(&service.name) },
                "ports": [{ "name": "main", "protocol": "TCP", "port": 8080 }],
            },
            "status": { "loadBalancer": {} },
        }))?;
        let key = (Arc::clone(&service.namespace), Arc::clone(&service.name));
        self.services.insert(key, service.clone());
        self.slices(&service.namespace, &service.name)
    }

    /// Of the services that have `pod` behind them.
    fn slices_of(&self, pod: &Pod) -> Result<(), Error> {
        let Some(app) = pod.labels.get("app") else { return Ok(()) };
        for (namespace, name) in self.services.keys() {
            if *namespace == pod.namespace && selected(name) == &**app {
                self.slices(namespace, name)?;
            }
        }
        Ok(())
    }

    fn slices(&self, namespace: &str, name: &str) -> Result<(), Error> {
        let behind = |pod: &&Pod| {
            *pod.namespace == *namespace
                && pod.labels.get("app").is_some_and(|app| **app == *selected(name))
        };
        for (family, is_v4) in [("IPv4", true), ("IPv6", false)] {
            let endpoints: Vec<Value> = self
                .pods
                .values()
                .map(|(pod, _)| pod)
                .filter(behind)
                .filter_map(|pod| {
                    let ip = pod.ips.iter().find(|ip| ip.is_ipv4() == is_v4)?;
                    Some(json!({
                        "addresses": [ip],
                        "conditions": { "ready": true, "serving": true, "terminating": false },
                        "targetRef": { "kind": "Pod", "namespace": pod.namespace, "name": pod.name, "uid": pod.uid },
                        "nodeName": pod.node,
                        "zone": pod.zone,
                    }))
                })
                .collect();
            self.server.apply(&json!({
                "kind": "EndpointSlice",
                "metadata": {
                    "name": format!("{name}-{}", family.to_lowercase()), "namespace": namespace,
                    "uid": uid(&format!("slice {namespace}/{name} {family}")),
                    "labels": { "kubernetes.io/service-name": name },
                },
                "addressType": family,
                "endpoints": endpoints,
                "ports": [{ "name": "main", "protocol": "TCP", "port": 8080 }],
            }))?;
        }
        Ok(())
    }

    fn namespace(&mut self, name: &str) -> Result<(), Error> {
        if self.known.insert((Resource::Namespaces, name.to_owned())) {
            self.server.apply(&json!({
                "kind": "Namespace",
                "metadata": { "name": name, "uid": uid(&format!("namespace {name}")), "creationTimestamp": now() },
                "status": { "phase": "Active" },
            }))?;
        }
        Ok(())
    }

    /// With the addresses of the pods in its network, as soon as there is one.
    fn node(&mut self, pod: &Pod) -> Result<(), Error> {
        let addresses: &[IpAddr] = if pod.host_network { &pod.ips } else { &[] };
        let key = if addresses.is_empty() {
            pod.node.to_string()
        } else {
            format!("{}, addresses", pod.node)
        };
        let complete = (Resource::Nodes, format!("{}, addresses", pod.node));
        if self.known.contains(&complete) || !self.known.insert((Resource::Nodes, key)) {
            return Ok(());
        }
        let mut addresses: Vec<Value> =
            addresses.iter().map(|ip| json!({ "type": "InternalIP", "address": ip })).collect();
        addresses.push(json!({ "type": "Hostname", "address": pod.node }));
        self.server.apply(&json!({
            "kind": "Node",
            "metadata": {
                "name": pod.node, "uid": uid(&format!("node {}", pod.node)), "creationTimestamp": now(),
                "labels": { "kubernetes.io/hostname": pod.node, "topology.kubernetes.io/zone": pod.zone.as_deref().unwrap_or("unknown") },
            },
            "spec": {},
            "status": { "addresses": addresses, "conditions": [{ "type": "Ready", "status": "True" }] },
        }))?;
        Ok(())
    }

    /// The owner reference of a pod, after its ReplicaSet or Job is put.
    fn owner(&mut self, pod: &Pod) -> Result<Option<Value>, Error> {
        let Some(workload) = &pod.workload else { return Ok(None) };
        let reference = |kind: &str, version: &str, name: &str| {
            json!({
                "apiVersion": version, "kind": kind, "name": name, "controller": true,
                "uid": uid(&format!("{kind} {}/{name}", pod.namespace)),
            })
        };
        let controller = |version| reference(&workload.kind, version, &workload.name);
        let stem = stem(pod);
        let (resource, version, above) = match &*workload.kind {
            "Deployment" => (Resource::ReplicaSets, "apps/v1", controller("apps/v1")),
            "Rollout" => (Resource::ReplicaSets, "apps/v1", controller("argoproj.io/v1alpha1")),
            "CronJob" => (Resource::Jobs, "batch/v1", controller("batch/v1")),
            "Job" => return Ok(Some(controller("batch/v1"))),
            _ => return Ok(Some(controller("apps/v1"))),
        };
        let owner = reference(resource.kind(), version, stem);
        if self.known.insert((resource, format!("{}/{stem}", pod.namespace))) {
            self.server.apply(&json!({
                "kind": resource.kind(),
                "metadata": {
                    "name": stem, "namespace": pod.namespace, "uid": owner["uid"], "ownerReferences": [above],
                    "creationTimestamp": now(),
                },
            }))?;
        }
        Ok(Some(owner))
    }
}

/// To the second, as the API writes it.
fn now() -> String {
    let second = jiff::Timestamp::now().as_second();
    jiff::Timestamp::from_second(second).unwrap_or_default().to_string()
}

/// Name without the tail that is each pod's own: that of its ReplicaSet or Job.
fn stem(pod: &Pod) -> &str {
    pod.name.rsplit_once('-').map_or(&*pod.name, |(stem, _)| stem)
}

/// The same for the same thing, of the form that the real server gives.
fn uid(of: &str) -> String {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, of).hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    };
    let hex = half(0) + &half(1);
    format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
}

fn image(pod: &Pod) -> String {
    let name = pod.workload.as_ref().map_or(&*pod.name, |workload| &*workload.name);
    format!("registry.example.com/{name}:v1")
}

/// The label `app` of the pods behind a service: its name, but for the name server's.
fn selected(service: &str) -> &str {
    if service == "kube-dns" { "coredns" } else { service }
}
