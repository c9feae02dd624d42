//! Clusters of realistic objects, the same for the same seed, and the changes that go on in them.

mod churn;
mod place;
mod plan;
mod pod;
mod random;
mod service;
mod template;
mod workload;

use std::sync::Arc;

use serde_json::json;

pub use churn::Churn;
use place::Place;
use pod::{Pod, Stage};
use random::Random;
use workload::Workload;

use super::error::Error;
use super::object::Shared;
use super::resource::Resource;
use super::server::ApiServer;

/// How large a cluster shall be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// At least so many; more if the pods would not find room (200 on each).
    pub nodes: u32,
    /// About 20 KB of JSON each.
    pub pods: u32,
    pub zones: u32,
    pub seed: u64,
}

impl Default for Shape {
    fn default() -> Self {
        Self { nodes: 3, pods: 60, zones: 3, seed: 1 }
    }
}

/// A cluster's nodes, workloads and pods. Once [created](Self::create), it is what the server has.
#[derive(Debug)]
pub struct Population {
    random: Random,
    namespaces: Vec<String>,
    places: Vec<Place>,
    workloads: Vec<Workload>,
    /// By id; None: gone, and the id is free.
    pods: Vec<Option<Pod>>,
    free: Vec<usize>,
    /// Seconds since the cluster began, for times in objects.
    now_s: u64,
    lanes: churn::Lanes,
}

/// A day at which made-up clusters begin.
const BEGINNING_S: i64 = 1_767_225_600;

/// So many seconds after the cluster began, as the API writes it.
fn time(after_s: u64) -> String {
    let second = BEGINNING_S.saturating_add_unsigned(after_s);
    jiff::Timestamp::from_second(second).map(|time| time.to_string()).unwrap_or_default()
}

impl Population {
    /// Puts everything there is. Returns how many objects that were.
    ///
    /// # Errors
    /// An object that the server refuses: a fault of the generator.
    pub fn create(&mut self, server: &ApiServer) -> Result<usize, Error> {
        let mut count = 0;
        let bare = Arc::new(Shared::default());
        for name in &self.namespaces {
            let namespace = json!({
                "metadata": {
                    "name": name, "uid": self.random.uid(), "creationTimestamp": time(0),
                    "labels": { "kubernetes.io/metadata.name": name },
                },
                "spec": { "finalizers": ["kubernetes"] },
                "status": { "phase": "Active" },
            });
            server.apply_shared(Resource::Namespaces, &namespace, &bare)?;
            count += 1;
        }
        for place in &self.places {
            server.apply_shared(Resource::Nodes, &place.object(&mut self.random), &bare)?;
            count += 1;
        }
        for index in 0..self.workloads.len() {
            for (value, shared) in self.workloads[index].replica_sets(&mut self.random) {
                server.apply_shared(Resource::ReplicaSets, &value, &shared)?;
                count += 1;
            }
            if let Some(number) = self.workloads[index].service {
                let workload = &self.workloads[index];
                let service = service::object(workload, number, &service_uid(number));
                server.apply_shared(Resource::Services, &service, &bare)?;
                count += 1 + self.put_slices(server, index)?;
            }
        }
        for id in 0..self.pods.len() {
            count += self.put_job(server, id)? + self.put_pod(server, id)?;
        }
        Ok(count)
    }

    /// Pods that exist.
    pub fn pods(&self) -> usize {
        self.pods.len() - self.free.len()
    }

    pub fn nodes(&self) -> usize {
        self.places.len()
    }

    fn put_pod(&self, server: &ApiServer, id: usize) -> Result<usize, Error> {
        let Some(pod) = &self.pods[id] else { return Ok(0) };
        let workload = &self.workloads[pod.workload];
        let value = pod.object(workload, &self.places[pod.place]);
        server.apply_shared(Resource::Pods, &value, &workload.shared)?;
        Ok(1)
    }

    /// The Job of a pod that has one.
    fn put_job(&self, server: &ApiServer, id: usize) -> Result<usize, Error> {
        let Some(pod) = &self.pods[id] else { return Ok(0) };
        let job = self.workloads[pod.workload].job(&pod.owner, pod.created_s);
        let Some((value, shared)) = job else { return Ok(0) };
        server.apply_shared(Resource::Jobs, &value, shared)?;
        Ok(1)
    }

    fn put_slices(&self, server: &ApiServer, workload: usize) -> Result<usize, Error> {
        let workload = &self.workloads[workload];
        let Some(number) = workload.service else { return Ok(0) };
        let pods: Vec<(&Pod, &Place)> = workload
            .pods
            .iter()
            .filter_map(|&id| self.pods[id].as_ref())
            .filter(|pod| pod.stage != Stage::Scheduled)
            .map(|pod| (pod, &self.places[pod.place]))
            .collect();
        let slices = service::slices(workload, &service_uid(number), &pods);
        let bare = Arc::new(Shared::default());
        for slice in &slices {
            server.apply_shared(Resource::EndpointSlices, slice, &bare)?;
        }
        Ok(slices.len())
    }
}

fn service_uid(number: u32) -> String {
    format!("5e2f1ce0-0000-4000-a000-{number:012x}")
}
