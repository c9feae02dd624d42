//! What was stored, asked for over HTTP.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use daemon::http::Problem;
use model::line::protocol_name;
use model::{Measure, Timestamp};
use serde::Serialize;
use tokio::sync::Semaphore;

use super::Sources;
use super::request::{Form, Pairs, Parameter, Request, SINCE, UNTIL, many, one};
use super::values::{Shown, Span, rounded};
use crate::access::{Asker, Person};
use crate::query::{self, Answered, Asked, Group, Name, Plan, Query, Select};
use crate::replica::earlier;
use crate::store::Error;

/// Queries at once: each may read the whole history.
const QUERIES: usize = 2;
/// How long one waits for its turn.
const TURN: Duration = Duration::from_secs(10);

const LIMIT_EDGES: Parameter =
    one("limit", Form::Limit { usual: 20_000, most: 100_000 }, "Edges at most, the busiest");
const LIMIT_WORKLOADS: Parameter =
    one("limit", Form::Limit { usual: 1000, most: 50_000 }, "Workloads at most");
const NAMESPACE: Parameter = many("namespace", Form::Text, "Either end in any of these namespaces");

pub const MEASURES: &[Parameter] = &[];
pub const GRAPH: &[Parameter] = &[
    SINCE,
    UNTIL,
    NAMESPACE,
    one(
        "group",
        Form::OneOf(&["workload", "namespace", "zone"]),
        "What is one node; default: workload",
    ),
    LIMIT_EDGES,
];
pub const SERIES: &[Parameter] = &[
    SINCE,
    UNTIL,
    many("measure", Form::Measure, "Which values; at least one"),
    one("step", Form::Step, "Time of one value; default: so that there are at most 360"),
    one("source", Form::Workload, "Only from this workload"),
    one("destination", Form::Workload, "Only to this workload"),
    one("workload", Form::Workload, "Only with this workload at either end"),
    NAMESPACE,
];
pub const WORKLOADS: &[Parameter] = &[
    SINCE,
    UNTIL,
    many("namespace", Form::Text, "In any of these namespaces"),
    one("search", Form::Text, "Whose name contains this, in any case"),
    LIMIT_WORKLOADS,
];
pub const WORKLOAD: &[Parameter] = &[SINCE, UNTIL];

/// Where queries are asked.
pub struct Desk {
    query: Query,
    turns: Semaphore,
}

impl Desk {
    pub fn new(query: Query) -> Self {
        Self { query, turns: Semaphore::new(QUERIES) }
    }

    /// The answer, encoded where it was made: an async task has no time for that.
    async fn answer<T: Send + 'static>(
        &self,
        query: Query,
        ask: impl FnOnce(&Query) -> Result<T, Error> + Send + 'static,
        encode: impl FnOnce(T) -> Result<Vec<u8>, Problem> + Send + 'static,
    ) -> Result<Response, Problem> {
        let Ok(Ok(_turn)) = tokio::time::timeout(TURN, self.turns.acquire()).await else {
            let detail = format!("{QUERIES} queries are being answered; try again later");
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail));
        };
        let failed = |error: &dyn std::fmt::Display| {
            tracing::error!(%error, "a query failed");
            Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "history cannot be read; see the hub's log",
            )
        };
        let answered = tokio::task::spawn_blocking(move || {
            ask(&query).map_err(|error| failed(&error)).and_then(encode)
        });
        let body = answered.await.map_err(|error| failed(&error))??;
        let kind = [(axum::http::header::CONTENT_TYPE, "application/json")];
        Ok((kind, body).into_response())
    }
}

impl Sources {
    /// A view on what this replica has, and on what the others have of what is selected: they are asked now.
    fn asked(&self, times_s: &Range<u64>, select: &Select) -> Query {
        self.desk.query.with(self.replicas.sums(times_s.clone(), select))
    }

    /// The steps of a series, of what the oldest replica has.
    async fn plan(&self, times_s: &Range<u64>, step_s: Option<u64>) -> Plan {
        let mut oldest_s = self.ingest.store().oldest_s();
        if !self.replicas.are_none() {
            let others = self.replicas.describe(false, false).await.answers;
            oldest_s = others.iter().fold(oldest_s, |oldest_s, (_, it)| earlier(oldest_s, it));
        }
        Plan::new(times_s, step_s, oldest_s)
    }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, Problem> {
    serde_json::to_vec(value)
        .map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error))
}

pub async fn measures(query: Pairs) -> Result<Json<serde_json::Value>, Problem> {
    Request::parse(query, MEASURES)?;
    let measures = Measure::ALL.map(|measure| {
        let it = measure.declaration();
        serde_json::json!({
            "name": it.name, "kind": it.kind, "unit": it.unit,
            "type": it.shape.name(), "title": it.title, "bad": it.bad,
        })
    });
    Ok(Json(serde_json::json!({ "measures": measures })))
}

fn text(text: &Arc<str>) -> Option<&str> {
    Some(&**text).filter(|text| !text.is_empty())
}

#[derive(Serialize)]
struct GraphOut<'a> {
    #[serde(flatten)]
    span: Span,
    nodes: Vec<NodeOut<'a>>,
    edges: Vec<EdgeOut<'a>>,
    truncated: bool,
}

#[derive(Serialize)]
struct NodeOut<'a> {
    id: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    kind: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    service: &'a [Arc<str>],
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<&'a str>,
}

#[derive(Serialize)]
struct EdgeOut<'a> {
    source: usize,
    destination: usize,
    protocol: String,
    port: u16,
    values: Shown<'a>,
}

pub async fn graph(
    State(sources): State<Arc<Sources>>,
    Asker(person): Asker,
    query: Pairs,
) -> Result<Response, Problem> {
    let request = Request::parse(query, GRAPH)?;
    let times_s = request.times_s(Timestamp::now())?;
    let group: Group = request.parsed("group").unwrap_or_default();
    let namespaces = namespaces(&request, &person)?;
    let select = Select { scope: person.scope.clone(), namespaces, ..Select::default() };
    let limit = request.limit(&LIMIT_EDGES);
    let sight = sources.sight(&person.scope, &times_s).await;
    let query = sources.asked(&times_s, &select);
    let ask = move |query: &Query| query::graph(query, times_s, &select, group, limit);
    let encode = |answered: Answered<query::Graph>| {
        let seconds = answered.seconds();
        let span = Span::new(&answered, sight);
        let query::Graph { nodes, edges, truncated } = &answered.answer;
        let nodes = nodes.iter().enumerate().map(|(id, node)| NodeOut {
            id,
            namespace: text(&node.namespace),
            kind: &node.kind,
            name: &node.name,
            service: &node.services,
            zone: text(&node.zone),
        });
        let edges = edges.iter().map(|edge| EdgeOut {
            source: edge.source,
            destination: edge.destination,
            protocol: protocol_name(edge.protocol).into_owned(),
            port: edge.port,
            values: Shown { values: &edge.values, seconds },
        });
        let (nodes, edges) = (nodes.collect(), edges.collect());
        json(&GraphOut { span, nodes, edges, truncated: *truncated })
    };
    sources.desk.answer(query, ask, encode).await
}

#[derive(Serialize)]
struct SeriesOut {
    #[serde(flatten)]
    span: Span,
    times: Vec<u64>,
    series: Vec<OneSeries>,
}

#[derive(Serialize)]
struct OneSeries {
    measure: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    statistic: Option<&'static str>,
    values: Vec<Option<f64>>,
}

pub async fn series(
    State(sources): State<Arc<Sources>>,
    Asker(person): Asker,
    query: Pairs,
) -> Result<Response, Problem> {
    let request = Request::parse(query, SERIES)?;
    let times_s = request.times_s(Timestamp::now())?;
    let mut measures: Vec<Measure> =
        request.all("measure").filter_map(|name| name.parse().ok()).collect();
    measures.sort();
    measures.dedup();
    if measures.is_empty() {
        return Err(super::request::bad("measure: expected at least one; see /api/v1/measures"));
    }
    let select = Select {
        scope: person.scope.clone(),
        namespaces: namespaces(&request, &person)?,
        source: request.parsed("source"),
        destination: request.parsed("destination"),
        workload: request.parsed("workload"),
    };
    for name in [&select.source, &select.destination, &select.workload].into_iter().flatten() {
        person.must_see(&name.namespace)?;
    }
    let asked = Asked { measures, select, step_s: request.step_s() };
    let plan = sources.plan(&times_s, asked.step_s).await;
    let along = sources.replicas.series(&plan, &asked.measures, &asked.select);
    let query = sources.desk.query.clone();
    let sight = sources.sight(&person.scope, &times_s).await;
    let ask = move |query: &Query| query::series_along(query, &plan, &asked, along);
    let encode = |answered: Answered<query::Points>| {
        let span = Span::new(&answered, sight);
        let query::Points { times, series } = answered.answer;
        let series = series.into_iter().map(|it| OneSeries {
            measure: it.measure.name(),
            statistic: it.statistic.map(|it| it.name()),
            values: it.values.into_iter().map(|value| value.map(rounded)).collect(),
        });
        json(&SeriesOut { span, times, series: series.collect() })
    };
    sources.desk.answer(query, ask, encode).await
}

#[derive(Serialize)]
struct WorkloadsOut<'a> {
    #[serde(flatten)]
    span: Span,
    workloads: Vec<WorkloadOut<'a>>,
    truncated: bool,
}

#[derive(Serialize)]
struct WorkloadOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    kind: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pods: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nodes: Option<usize>,
    incoming: Shown<'a>,
    outgoing: Shown<'a>,
}

pub async fn workloads(
    State(sources): State<Arc<Sources>>,
    Asker(person): Asker,
    query: Pairs,
) -> Result<Response, Problem> {
    let request = Request::parse(query, WORKLOADS)?;
    let times_s = request.times_s(Timestamp::now())?;
    let namespaces = namespaces(&request, &person)?;
    let search = request.one("search").unwrap_or_default().to_lowercase();
    let limit = request.limit(&LIMIT_WORKLOADS);
    let sight = sources.sight(&person.scope, &times_s).await;
    let places = sources.inventory.places();
    let scope = person.scope.clone();
    let select = Select { scope, namespaces: namespaces.clone(), ..Select::default() };
    let query = sources.asked(&times_s, &select);
    let ask = move |query: &Query| {
        query::workloads(query, times_s, &select, |it| {
            (namespaces.is_empty() || namespaces.iter().any(|name| **name == *it.namespace))
                && it.name.to_lowercase().contains(&search)
        })
    };
    let encode = move |answered: Answered<Vec<query::Workload>>| {
        let seconds = answered.seconds();
        let span = Span::new(&answered, sight);
        let workloads = answered.answer.iter().take(limit).map(|it| {
            let place = places.get(&(it.namespace.clone(), it.kind.clone(), it.name.clone()));
            WorkloadOut {
                namespace: text(&it.namespace),
                kind: &it.kind,
                name: &it.name,
                pods: place.map(|place| place.pods),
                nodes: place.map(|place| place.nodes.len()),
                incoming: Shown { values: &it.incoming, seconds },
                outgoing: Shown { values: &it.outgoing, seconds },
            }
        });
        let workloads = workloads.collect();
        json(&WorkloadsOut { span, workloads, truncated: answered.answer.len() > limit })
    };
    sources.desk.answer(query, ask, encode).await
}

#[derive(Serialize)]
struct PageOut<'a> {
    #[serde(flatten)]
    span: Span,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    kind: &'a str,
    name: &'a str,
    pods: Vec<crate::inventory::PodPlace>,
    incoming: Shown<'a>,
    outgoing: Shown<'a>,
    peers: Vec<PeerOut<'a>>,
    failures: Vec<serde_json::Value>,
}

#[derive(Serialize)]
struct PeerOut<'a> {
    direction: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    kind: &'a str,
    name: &'a str,
    protocol: String,
    port: u16,
    values: Shown<'a>,
}

pub async fn workload(
    State(sources): State<Arc<Sources>>,
    Asker(person): Asker,
    Path((namespace, kind, name)): Path<(String, String, String)>,
    query: Pairs,
) -> Result<Response, Problem> {
    let request = Request::parse(query, WORKLOAD)?;
    let times_s = request.times_s(Timestamp::now())?;
    let name = Name::new(&namespace, &kind, &name);
    person.must_see(&name.namespace)?;
    let pods = sources.inventory.pods_of(&name.namespace, &name.kind, &name.name);
    let sight = sources.sight(&person.scope, &times_s).await;
    let failures = sources.failures(&name, &person.scope).await;
    let (asked, scope) = (name.clone(), person.scope.clone());
    let query = sources.asked(&times_s, &query::of_page(&asked, scope.clone()));
    let ask = move |query: &Query| query::page(query, times_s, &asked, scope);
    let encode = move |answered: Answered<Option<query::Page>>| {
        let seconds = answered.seconds();
        let span = Span::new(&answered, sight);
        let Name { namespace, kind, name } = &name;
        if answered.answer.is_none() && pods.is_empty() {
            let detail = format!(
                "workload {namespace}/{kind}/{name}: it has no pods, and nothing was observed of it in this time"
            );
            return Err(Problem::new(StatusCode::NOT_FOUND, detail));
        }
        let page = answered.answer.unwrap_or_default();
        let peers = page.peers.iter().map(|it| PeerOut {
            direction: if it.incoming { "in" } else { "out" },
            namespace: text(&it.namespace),
            kind: &it.kind,
            name: &it.name,
            protocol: protocol_name(it.protocol).into_owned(),
            port: it.port,
            values: Shown { values: &it.values, seconds },
        });
        json(&PageOut {
            span,
            namespace: Some(namespace.as_str()).filter(|it| !it.is_empty()),
            kind,
            name,
            pods,
            incoming: Shown { values: &page.incoming, seconds },
            outgoing: Shown { values: &page.outgoing, seconds },
            peers: peers.collect(),
            failures,
        })
    };
    sources.desk.answer(query, ask, encode).await
}

/// Those that are asked for, all of which must be seen.
fn namespaces(request: &Request, person: &Person) -> Result<Vec<String>, Problem> {
    let asked = request.all("namespace").map(|it| if it == "-" { "" } else { it }.to_owned());
    let asked: Vec<String> = asked.collect();
    asked.iter().try_for_each(|it| person.must_see(it))?;
    Ok(asked)
}
