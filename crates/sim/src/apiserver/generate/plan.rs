//! Which workloads a cluster has, and where their pods are.

use super::place::{MAX_NODES, Place, ROOM};
use super::pod::{Pod, Stage};
use super::random::Random;
use super::workload::{Kind, Workload};
use super::{Population, Shape, churn};
use crate::apiserver::error::Error;

/// Pods that one node is filled with, so that there is room for those that come while others go.
const FILLED: u32 = 200;
/// Name, and whether in the host's network.
const DAEMONS: [(&str, bool); 4] = [
    ("kube-proxy", true),
    ("network-agent", true),
    ("node-exporter", true),
    ("log-collector", false),
];
const NAMES: [&str; 12] = [
    "cart",
    "checkout",
    "catalogue",
    "payment",
    "search",
    "orders",
    "users",
    "pricing",
    "stock",
    "mail",
    "gateway",
    "ledger",
];

impl Population {
    /// The same for the same shape.
    pub fn new(shape: Shape) -> Self {
        let nodes = shape.nodes.max(shape.pods.div_ceil(FILLED)).clamp(1, MAX_NODES);
        let mut population = Self {
            random: Random::new(shape.seed),
            namespaces: vec!["default".to_owned(), "kube-system".to_owned()],
            places: (0..nodes).map(|index| Place::new(index, shape.zones)).collect(),
            workloads: Vec::new(),
            pods: Vec::new(),
            free: Vec::new(),
            now_s: 0,
            lanes: churn::Lanes::default(),
        };
        if let Err(error) = population.fill(shape) {
            // The descriptions in proto/ lack a field of the generator's; its tests find that.
            tracing::error!(%error, "the made-up cluster is not complete");
        }
        population
    }

    fn fill(&mut self, shape: Shape) -> Result<(), Error> {
        let nodes = self.places.len();
        let wanted = (shape.pods as usize).min(nodes * ROOM);
        for (name, host_network) in DAEMONS {
            if self.pods() + nodes > wanted / 4 {
                break;
            }
            let namespace = "kube-system".to_owned();
            let index = self.add(Kind::DaemonSet, namespace, name.to_owned(), host_network)?;
            for place in 0..nodes {
                self.place(index, place, None);
            }
        }
        while self.pods() < wanted {
            let number = self.workloads.len();
            let kind = match self.random.below(100) {
                0..62 => Kind::Deployment,
                62..74 => Kind::Rollout,
                74..86 => Kind::StatefulSet,
                _ => Kind::CronJob,
            };
            let size = match kind {
                Kind::StatefulSet => 1 + self.random.below(7),
                Kind::CronJob => 1 + self.random.below(4),
                _ => 1 + self.random.below(40),
            };
            let namespace = format!("team-{}", number / 10);
            if !self.namespaces.contains(&namespace) {
                self.namespaces.push(namespace.clone());
            }
            let name = format!("{}-{number}", NAMES[self.random.below(NAMES.len())]);
            let index = self.add(kind, namespace, name, false)?;
            for _ in 0..size.min(wanted - self.pods()) {
                let place = self.random.below(nodes);
                let place = (0..nodes)
                    .map(|step| (place + step) % nodes)
                    .find(|&place| self.places[place].has_room());
                if let Some(place) = place {
                    self.place(index, place, None);
                }
            }
        }
        for id in 0..self.pods.len() {
            if self.random.percent(99)
                && let Some(pod) = &mut self.pods[id]
            {
                pod.stage = Stage::Ready;
            }
        }
        Ok(())
    }

    fn add(
        &mut self,
        kind: Kind,
        namespace: String,
        name: String,
        host_network: bool,
    ) -> Result<usize, Error> {
        let index = self.workloads.len();
        let mut workload = Workload::new(kind, namespace, name, host_network, &mut self.random)?;
        if matches!(kind, Kind::Deployment | Kind::Rollout | Kind::StatefulSet) {
            workload.service = u32::try_from(index + 1).ok();
        }
        self.workloads.push(workload);
        Ok(index)
    }

    /// Makes a pod, scheduled and not ready. Returns its id; None if the node is full.
    pub(super) fn place(
        &mut self,
        workload: usize,
        place: usize,
        replaced: Option<String>,
    ) -> Option<usize> {
        let of = &mut self.workloads[workload];
        let host = if of.host_network { None } else { Some(self.places[place].take()?) };
        let (name, owner) = of.next(&mut self.random, &self.places[place].name, replaced);
        let pod = Pod {
            workload,
            place,
            host,
            name,
            uid: self.random.uid(),
            owner,
            stage: Stage::Scheduled,
            created_s: self.now_s,
            relabelled: 0,
            seed: self.random.number(),
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.pods[id] = Some(pod);
                id
            }
            None => {
                self.pods.push(Some(pod));
                self.pods.len() - 1
            }
        };
        self.workloads[workload].pods.push(id);
        Some(id)
    }
}
