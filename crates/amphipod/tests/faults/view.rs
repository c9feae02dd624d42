//! What an agent knows.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use model::{Change, Holder, Identity, Workload};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    pub pods: BTreeMap<Arc<str>, model::Pod>,
    nodes: BTreeMap<Arc<str>, model::Node>,
    /// Holders of wanted addresses; none of those that nobody has.
    pub addresses: BTreeMap<IpAddr, Option<(Holder, Arc<Identity>)>>,
}

impl View {
    /// Between `Begin` and `Synced` what is told goes into another view, which then takes this one's place. Addresses that
    /// were not told are not known to anybody.
    pub fn take(&mut self, account: &mut Option<Self>, change: Change) {
        match change {
            Change::Begin => *account = Some(Self::default()),
            Change::Synced => {
                if let Some(account) = account.take() {
                    *self = account;
                }
            }
            Change::Stale | Change::Fresh => {}
            other => account.as_mut().unwrap_or(self).apply(other),
        }
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Pod(mut pod) => {
                pod.workload = pod.workload.map(of_controller);
                self.pods.insert(pod.uid.clone(), pod);
            }
            Change::PodGone { uid } => drop(self.pods.remove(&uid)),
            Change::Node(node) => drop(self.nodes.insert(node.name.clone(), node)),
            Change::NodeGone { name } => drop(self.nodes.remove(&name)),
            Change::Address(it) => {
                let mut identity = Arc::unwrap_or_clone(it.identity);
                identity.workload = identity.workload.map(of_controller);
                self.addresses.insert(it.ip, Some((it.holder, identity.into())));
            }
            Change::AddressUnknown { ip } | Change::AddressGone { ip, .. } => {
                self.addresses.insert(ip, None);
            }
            // Services are told by their addresses.
            other => panic!("{other:?} is not sent"),
        }
    }

    /// Where this one and `other` differ.
    pub fn differences(&self, other: &Self) -> String {
        let (a, b) = (format!("{self:#?}"), format!("{other:#?}"));
        let lines = a.lines().zip(b.lines()).filter(|(a, b)| a != b).take(20);
        lines.map(|(a, b)| format!("- {a}\n+ {b}\n")).collect()
    }
}

/// A hub that comes when the Job of a pod that ends has gone cannot know whose the Job was.
fn of_controller(workload: Workload) -> Workload {
    match workload.name.rsplit_once('-') {
        Some((name, _)) if &*workload.kind == "Job" => {
            Workload { kind: "CronJob".into(), name: name.into() }
        }
        _ => workload,
    }
}
