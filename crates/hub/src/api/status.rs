//! `/api/v1/status`: how the hub fares, for people.

use std::sync::atomic::Ordering;

use model::status::Cost;
use serde::Serialize;

use super::Sources;

#[derive(Debug, Serialize)]
pub struct Status {
    pub version: &'static str,
    pub pid: u32,
    pub uptime_seconds: f64,
    pub ready: bool,
    /// The life of the hub's log of changes, and the last change's number.
    pub epoch: u64,
    pub sequence: u64,
    pub log_entries: usize,
    pub resources: Vec<Resource>,
    /// Addresses that somebody has.
    pub addresses: usize,
    pub agents: usize,
    /// Agents that wait for their turn to be told everything.
    pub waiting_agents: u64,
    /// Addresses that some agent asked for.
    pub wanted_addresses: usize,
    /// Changes that have not been sent yet.
    pub waiting_changes: usize,
    pub items_sent: u64,
    pub items_per_second: f64,
    pub cost: Cost,
}

#[derive(Debug, Serialize)]
pub struct Resource {
    pub name: &'static str,
    pub objects: usize,
    pub listed: bool,
    /// Why its watch does not go on; absent: it does.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
}

pub fn collect(sources: &Sources) -> Status {
    let totals = sources.inventory.totals();
    let resources = totals.resources.into_iter().map(|(resource, objects, state)| Resource {
        name: resource.name(),
        objects,
        listed: state.listed,
        error: state.error,
    });
    Status {
        version: env!("CARGO_PKG_VERSION"),
        pid: std::process::id(),
        uptime_seconds: sources.meter.uptime().as_secs_f64(),
        ready: sources.inventory.is_complete(),
        epoch: totals.epoch,
        sequence: totals.sequence,
        log_entries: totals.log_entries,
        resources: resources.collect(),
        addresses: totals.addresses,
        agents: totals.agents,
        waiting_agents: sources.agents.counters.waiting.load(Ordering::Relaxed),
        wanted_addresses: totals.wanted_addresses,
        waiting_changes: totals.waiting,
        items_sent: sources.items(),
        items_per_second: sources.meter.records_per_second(),
        cost: sources.meter.cost(),
    }
}
