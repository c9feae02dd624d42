//! What makes pods: Deployments, Rollouts, StatefulSets, DaemonSets and CronJobs, and the objects between.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::{Value, json};

use super::random::Random;
use super::template;
use super::time;
use crate::apiserver::error::Error;
use crate::apiserver::object::Shared;
use crate::apiserver::resource::Resource;

/// ReplicaSets without pods that are kept, as a Deployment does unless it is told otherwise.
const HISTORY: usize = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Deployment,
    /// Of Argo: owns ReplicaSets as a Deployment does.
    Rollout,
    StatefulSet,
    DaemonSet,
    CronJob,
}

#[derive(Debug)]
pub struct Workload {
    pub kind: Kind,
    pub namespace: String,
    pub name: String,
    pub host_network: bool,
    /// Number of its service, by which it has an address.
    pub service: Option<u32>,
    /// Ids of its pods.
    pub pods: Vec<usize>,
    uid: String,
    /// Of its present ReplicaSet.
    owner_uid: String,
    /// Of the template, in names of ReplicaSets and in labels.
    hash: String,
    /// Names of its former ReplicaSets, the oldest first.
    former: VecDeque<String>,
    /// Pods or Jobs made so far.
    count: u32,
    pub shared: Arc<Shared>,
    /// Of its ReplicaSets or Jobs.
    owner_shared: Option<Arc<Shared>>,
}

/// Who is in a pod's owner references.
#[derive(Clone, Debug)]
pub struct Owner {
    pub api_version: &'static str,
    pub kind: &'static str,
    pub name: String,
    pub uid: String,
}

impl Owner {
    pub fn reference(&self) -> Value {
        json!([{
            "apiVersion": self.api_version,
            "kind": self.kind,
            "name": self.name,
            "uid": self.uid,
            "controller": true,
            "blockOwnerDeletion": true,
        }])
    }
}

impl Workload {
    pub fn new(
        kind: Kind,
        namespace: String,
        name: String,
        host_network: bool,
        random: &mut Random,
    ) -> Result<Self, Error> {
        let template = template::pod(&name, kind, host_network, random);
        let owner_shared = match kind {
            Kind::Deployment | Kind::Rollout => Some(Resource::ReplicaSets),
            Kind::CronJob => Some(Resource::Jobs),
            Kind::StatefulSet | Kind::DaemonSet => None,
        };
        Ok(Self {
            shared: template::shared(Resource::Pods, &name, &template)?,
            owner_shared: owner_shared
                .map(|resource| template::owner(resource, &name, &template))
                .transpose()?,
            kind,
            namespace,
            name,
            host_network,
            service: None,
            pods: Vec::new(),
            uid: random.uid(),
            owner_uid: random.uid(),
            hash: random.suffix(10),
            former: VecDeque::new(),
            count: 0,
        })
    }

    /// The objects between it and its pods that are there from the start: ReplicaSets, of which the older have no pods any more.
    pub fn replica_sets(&mut self, random: &mut Random) -> Vec<(Value, Arc<Shared>)> {
        let old: Vec<_> = (0..2)
            .map(|_| (format!("{}-{}", self.name, random.suffix(10)), random.uid(), 0))
            .collect();
        let current = (self.owner().name, self.owner().uid, self.pods.len());
        let sets = std::iter::once(current).chain(old.iter().cloned());
        let sets =
            sets.filter_map(|(name, uid, replicas)| self.replica_set(&name, &uid, replicas, 0));
        let sets = sets.collect();
        self.former = old.into_iter().map(|(name, ..)| name).collect();
        sets
    }

    fn replica_set(
        &self,
        name: &str,
        uid: &str,
        replicas: usize,
        created_s: u64,
    ) -> Option<(Value, Arc<Shared>)> {
        if !matches!(self.kind, Kind::Deployment | Kind::Rollout) {
            return None;
        }
        let value = json!({
            "metadata": {
                "name": name,
                "namespace": self.namespace,
                "uid": uid,
                "creationTimestamp": time(created_s),
                "generation": 1,
                "labels": self.labels(),
                "ownerReferences": self.controller().reference(),
            },
            "spec": { "replicas": replicas },
            "status": { "replicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas, "observedGeneration": 1 },
        });
        Some((value, Arc::clone(self.owner_shared.as_ref()?)))
    }

    /// Another template: pods to come belong to a new ReplicaSet, which is given with the name of an old one that goes.
    pub fn roll(
        &mut self,
        random: &mut Random,
        now_s: u64,
    ) -> Option<(Value, Arc<Shared>, Option<String>)> {
        let before = self.owner().name;
        (self.hash, self.owner_uid) = (random.suffix(10), random.uid());
        let Owner { name, uid, .. } = self.owner();
        let (value, shared) = self.replica_set(&name, &uid, self.pods.len(), now_s)?;
        self.former.push_back(before);
        let gone = if self.former.len() > HISTORY { self.former.pop_front() } else { None };
        Some((value, shared, gone))
    }

    /// Name and owner of the next pod. `replaced`: name of the one whose place it takes.
    pub fn next(
        &mut self,
        random: &mut Random,
        node: &str,
        replaced: Option<String>,
    ) -> (String, Owner) {
        self.count += 1;
        let owner = self.owner();
        match self.kind {
            Kind::Deployment | Kind::Rollout => {
                (format!("{}-{}", owner.name, random.suffix(5)), owner)
            }
            // Its pods keep their names, with another uid.
            Kind::StatefulSet => {
                let name = replaced.unwrap_or_else(|| format!("{}-{}", self.name, self.count - 1));
                (name, owner)
            }
            Kind::DaemonSet => {
                // Five letters alone would meet each other on thousands of nodes.
                let tail: String = node.chars().filter(char::is_ascii_alphanumeric).collect();
                (format!("{}-{tail}-{}", self.name, random.suffix(5)), owner)
            }
            Kind::CronJob => {
                let name = format!("{}-{}", self.name, 29_000_000 + self.count);
                let owner = Owner { api_version: "batch/v1", kind: "Job", name, uid: random.uid() };
                (format!("{}-{}", owner.name, random.suffix(5)), owner)
            }
        }
    }

    /// The Job that owns a pod of a CronJob.
    pub fn job(&self, owner: &Owner, created_s: u64) -> Option<(Value, &Arc<Shared>)> {
        if self.kind != Kind::CronJob {
            return None;
        }
        let value = json!({
            "metadata": {
                "name": owner.name,
                "namespace": self.namespace,
                "uid": owner.uid,
                "creationTimestamp": time(created_s),
                "labels": self.labels(),
                "ownerReferences": self.controller().reference(),
            },
            "spec": { "parallelism": 1, "completions": 1, "backoffLimit": 6, "completionMode": "NonIndexed" },
            "status": { "active": 1, "startTime": time(created_s) },
        });
        Some((value, self.owner_shared.as_ref()?))
    }

    /// Who owns its pods directly.
    fn owner(&self) -> Owner {
        match self.kind {
            Kind::Deployment | Kind::Rollout => Owner {
                api_version: "apps/v1",
                kind: "ReplicaSet",
                name: format!("{}-{}", self.name, self.hash),
                uid: self.owner_uid.clone(),
            },
            _ => self.controller(),
        }
    }

    fn controller(&self) -> Owner {
        let (api_version, kind) = match self.kind {
            Kind::Deployment => ("apps/v1", "Deployment"),
            Kind::Rollout => ("argoproj.io/v1alpha1", "Rollout"),
            Kind::StatefulSet => ("apps/v1", "StatefulSet"),
            Kind::DaemonSet => ("apps/v1", "DaemonSet"),
            Kind::CronJob => ("batch/v1", "CronJob"),
        };
        Owner { api_version, kind, name: self.name.clone(), uid: self.uid.clone() }
    }

    pub fn labels(&self) -> Value {
        let mut labels = json!({
            "app.kubernetes.io/name": self.name,
            "app.kubernetes.io/instance": format!("{}-{}", self.namespace, self.name),
            "app.kubernetes.io/part-of": self.namespace,
            "app.kubernetes.io/managed-by": "Helm",
            "app.kubernetes.io/version": "1.4.2",
        });
        match self.kind {
            Kind::Deployment => labels["pod-template-hash"] = json!(self.hash),
            Kind::Rollout => labels["rollouts-pod-template-hash"] = json!(self.hash),
            Kind::StatefulSet | Kind::DaemonSet => {
                labels["controller-revision-hash"] = json!(self.hash);
            }
            Kind::CronJob => {}
        }
        labels
    }
}
