//! `/api/v1/nodes`: who reports, and how that fares.

use std::ops::Range;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use daemon::http::Problem;
use hashbrown::HashSet;
use model::Scope;
use serde::Serialize;

use super::Sources;
use super::request::{Form, Pairs, Parameter, Request, one};
use super::values::{Missing, Sight, time};
use crate::access::Asker;
use crate::ingest::{Node as Reporting, Program};
use crate::replica::UNREACHABLE;

const LIMIT: Parameter = one("limit", Form::Limit { usual: 5000, most: 20_000 }, "Nodes at most");
pub const NODES: &[Parameter] = &[LIMIT];

#[derive(Debug, Serialize)]
pub struct Nodes {
    nodes: Vec<Node>,
    truncated: bool,
    /// Replicas that do not answer: nodes that report to them may lack.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing: Vec<Missing>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    hidden: bool,
}

#[derive(Debug, Serialize)]
struct Node {
    name: Arc<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<Arc<str>>,
    #[serde(skip_serializing_if = "String::is_empty")]
    version: String,
    connected: bool,
    /// Absent: not in this life of the hub.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen: Option<String>,
    /// In this life of the hub.
    rows: u64,
    /// Rows that the hub was not told, and what did not get through on the node itself.
    lost_rows: u64,
    lost: u64,
    probes: Vec<Probe>,
}

#[derive(Debug, Serialize)]
struct Probe {
    probe: String,
    program: String,
    state: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
}

impl Sources {
    /// Nodes that reported in this time and do not any more: their rows may be missing; and which somebody may know.
    pub(super) fn sight(&self, nodes: &[Reporting], scope: &Scope, times_s: &Range<u64>) -> Sight {
        let silent = nodes.iter().filter(|node| {
            let seen_s = node.last_seen.0 / 1_000_000_000;
            node.streams == 0 && times_s.contains(&seen_s)
        });
        let mut silent: Vec<Arc<str>> = silent.map(|node| node.name.clone()).collect();
        silent.sort();
        Sight { silent, nodes: self.nodes_shown(scope) }
    }

    /// Those with pods that somebody may see; `None`: all.
    fn nodes_shown(&self, scope: &Scope) -> Option<HashSet<Arc<str>>> {
        (!scope.is_all()).then(|| self.inventory.nodes_within(scope))
    }
}

pub async fn show(
    State(sources): State<Arc<Sources>>,
    Asker(person): Asker,
    query: Pairs,
) -> Result<Json<Nodes>, Problem> {
    let limit = Request::parse(query, NODES)?.limit(&LIMIT);
    let (mut all, missing) = sources.replicas.nodes(&sources.ingest, true).await;
    let shown = sources.nodes_shown(&person.scope);
    if let Some(shown) = &shown {
        all.retain(|it| shown.contains(&it.name));
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    let truncated = all.len() > limit;
    let nodes = all.into_iter().take(limit).map(|node| Node {
        zone: sources.inventory.zone_of(&node.name),
        version: node.version,
        connected: node.streams > 0,
        last_seen: Some(node.last_seen.0 / 1_000_000_000).filter(|it| *it > 0).map(time),
        rows: node.rows,
        lost_rows: node.lost_rows,
        lost: node.lost,
        probes: node.programs.into_iter().map(Probe::from).collect(),
        name: node.name,
    });
    let missing =
        missing.into_iter().map(|node| Missing { node, reason: UNREACHABLE.into(), rows: None });
    let (nodes, missing) = (nodes.collect(), missing.collect());
    Ok(Json(Nodes { nodes, truncated, missing, hidden: shown.is_some() }))
}

impl From<Program> for Probe {
    fn from(it: Program) -> Self {
        Self { probe: it.probe, program: it.program, state: it.state, reason: it.reason }
    }
}
