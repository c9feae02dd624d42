//! `/api/v1/status`: how the hub fares, for people.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use daemon::export::Facts;
use model::Scope;
use model::status::{Cost, ExportStatus};
use serde::Serialize;

use super::Sources;
use crate::inventory::Totals;

#[derive(Debug, Serialize)]
pub struct Status {
    pub version: &'static str,
    pub uptime_seconds: f64,
    pub ready: bool,
    pub resources: Vec<Resource>,
    /// Of the whole cluster; absent: who asks may not see all of it.
    #[serde(flatten)]
    pub whole: Option<Whole>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
}

#[derive(Debug, Serialize)]
pub struct Whole {
    pub pid: u32,
    /// The life of the hub's log of changes, and the last change's number. A text: in JavaScript numbers lose digits
    /// above 2^53.
    pub epoch: String,
    pub sequence: u64,
    pub log_entries: usize,
    /// Addresses that somebody has.
    pub addresses: usize,
    pub agents: usize,
    /// Agents that wait for their turn to be told everything.
    pub waiting_agents: u64,
    /// Addresses that some agent asked for.
    pub wanted_addresses: usize,
    /// Changes that have not been sent yet.
    pub waiting_changes: usize,
    /// Why what agents tell cannot be stored; absent: it can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history_error: Option<String>,
    /// What is held of history in memory, and the most that may be (history.memory).
    pub history_memory_bytes: u64,
    pub history_max_memory_bytes: u64,
    /// Of these, sums that were made for a question and serve the next ones.
    pub history_sums_bytes: u64,
    /// The other replicas of this hub.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub replicas: Vec<Replica>,
    pub items_sent: u64,
    pub items_per_second: f64,
    /// Where the hub's own metrics are sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exports: Vec<ExportStatus>,
    pub cost: Cost,
}

#[derive(Debug, Serialize)]
pub struct Replica {
    pub name: Arc<str>,
    /// Why it cannot be asked; absent: it can.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
}

#[derive(Debug, Serialize)]
pub struct Resource {
    pub name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objects: Option<usize>,
    pub listed: bool,
    /// Why its watch does not go on; absent: it does.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
}

pub fn collect(sources: &Sources, scope: &Scope) -> Status {
    let totals = sources.inventory.totals();
    let all = scope.is_all();
    let whole = all.then(|| whole(sources, &totals));
    let resources = totals.resources.into_iter().map(|(resource, objects, state)| Resource {
        name: resource.name(),
        objects: all.then_some(objects),
        listed: state.listed,
        error: state.error,
    });
    Status {
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: sources.meter.uptime().as_secs_f64(),
        ready: sources.inventory.is_complete(),
        resources: resources.collect(),
        whole,
        hidden: !all,
    }
}

fn whole(sources: &Sources, totals: &Totals) -> Whole {
    let blocks = sources.ingest.store().facts().window;
    let sums = sources.desk.query().sums_facts();
    let replicas = sources.replicas.facts().into_iter();
    let replicas = replicas.map(|it| Replica { name: it.name, error: it.error }).collect();
    Whole {
        pid: std::process::id(),
        epoch: totals.epoch.to_string(),
        sequence: totals.sequence,
        log_entries: totals.log_entries,
        addresses: totals.addresses,
        agents: totals.agents,
        waiting_agents: sources.agents.counters.waiting.load(Ordering::Relaxed),
        wanted_addresses: totals.wanted_addresses,
        waiting_changes: totals.waiting,
        history_error: sources.ingest.failing(),
        history_memory_bytes: blocks.bytes + sums.bytes,
        history_max_memory_bytes: blocks.most_bytes + sums.most_bytes,
        history_sums_bytes: sums.bytes,
        replicas,
        items_sent: sources.items(),
        items_per_second: sources.meter.records_per_second(),
        exports: sources.exports.facts().iter().map(Facts::status).collect(),
        cost: sources.meter.cost(),
    }
}
