//! Which pods a workload has, and where.

use std::net::IpAddr;

use hashbrown::{HashMap, HashSet};
use serde::Serialize;

use super::Inventory;
use super::key::Str;

/// How many pods, and on which nodes.
#[derive(Clone, Debug, Default)]
pub struct Place {
    pub pods: usize,
    pub nodes: HashSet<Str>,
}

/// A pod of a workload.
#[derive(Clone, Debug, Serialize)]
pub struct PodPlace {
    pub name: Str,
    pub node: Str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<Str>,
    pub ips: Vec<IpAddr>,
}

/// A ReplicaSet whose pods began to be the newest of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deploy {
    pub name: Str,
    /// 0: not known.
    pub revision: u64,
    /// Since 1970.
    pub time_s: u64,
}

/// The newest of one workload.
const MOST_DEPLOYS: usize = 10;
/// More pods of one workload are not listed.
const MOST_PODS: usize = 10_000;

/// By namespace, kind and name of the workload.
pub type Places = HashMap<(Str, Str, Str), Place>;

impl Inventory {
    pub fn places(&self) -> Places {
        let mut places = Places::new();
        for pod in self.store().live_pods() {
            let workload = &pod.workload;
            let name =
                (pod.template.namespace.clone(), workload.kind.clone(), workload.name.clone());
            let place = places.entry(name).or_default();
            place.pods += 1;
            place.nodes.insert(pod.node.clone());
        }
        places
    }

    /// In the order of their names.
    pub fn pods_of(&self, namespace: &str, kind: &str, name: &str) -> Vec<PodPlace> {
        let store = self.store();
        let pods = store.live_pods().filter(|pod| {
            let workload = &pod.workload;
            *pod.template.namespace == *namespace
                && *workload.kind == *kind
                && *workload.name == *name
        });
        let pods = pods.take(MOST_PODS).map(|pod| PodPlace {
            name: pod.name.clone(),
            node: pod.node.clone(),
            zone: store.zone(&pod.node).cloned(),
            ips: pod.ips.to_vec(),
        });
        let mut pods: Vec<PodPlace> = pods.collect();
        pods.sort_by(|a, b| a.name.cmp(&b.name));
        pods
    }

    /// The newest first, as far as the cluster still has their ReplicaSets.
    pub fn deploys_of(&self, namespace: &str, kind: &str, name: &str) -> Vec<Deploy> {
        let store = self.store();
        let owners = store.owners.iter().map(|(_, owner)| owner).filter(|owner| {
            let workload = &owner.workload;
            *owner.namespace == *namespace && *workload.kind == *kind && *workload.name == *name
        });
        let deploys = owners.filter(|owner| owner.deployed_at > 0).map(|owner| Deploy {
            name: owner.name.clone(),
            revision: owner.revision,
            time_s: owner.deployed_at as u64,
        });
        let mut deploys: Vec<Deploy> = deploys.collect();
        deploys.sort_by(|a, b| b.time_s.cmp(&a.time_s).then_with(|| b.revision.cmp(&a.revision)));
        deploys.truncate(MOST_DEPLOYS);
        deploys
    }

    /// Nodes of the cluster.
    pub fn nodes(&self) -> Vec<Str> {
        self.store().nodes.iter().map(|(_, node)| node.name.clone()).collect()
    }

    /// All of the cluster, in the order of their names.
    pub fn namespaces(&self) -> Vec<Str> {
        let store = self.store();
        let mut names: Vec<Str> = store.namespaces.iter().map(|(_, it)| it.name.clone()).collect();
        names.sort();
        names
    }

    /// Where pods of these namespaces are.
    pub fn nodes_within(&self, scope: &model::Scope) -> HashSet<Str> {
        let store = self.store();
        let pods = store.live_pods().filter(|pod| scope.has(&pod.template.namespace));
        pods.map(|pod| pod.node.clone()).collect()
    }

    pub fn zone_of(&self, node: &str) -> Option<Str> {
        self.store().zone(node).cloned()
    }
}
