//! What was stored, asked for over HTTP.

use std::ops::Range;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use daemon::http::Problem;
use model::Measure;
use model::line::protocol_name;
use serde::Serialize;

use super::Sources;
use super::compare::{Both, Moment};
use super::request::{COMPARE, Form, Pairs, Parameter, Request, SINCE, UNTIL, many, one};
use super::values::{Shown, Sight, Span, rounded, time};
use crate::access::{Asker, Person};
use crate::inventory::{Places, PodPlace};
use crate::query::{self, Along, Answered, Asked, Group, Name, Plan, Query, Select};
use crate::replica::earlier;

const LIMIT_EDGES: Parameter =
    one("limit", Form::Limit { usual: 20_000, most: 100_000 }, "Edges at most, the busiest");
const LIMIT_WORKLOADS: Parameter =
    one("limit", Form::Limit { usual: 1000, most: 50_000 }, "Workloads at most");
const NAMESPACE: Parameter = many("namespace", Form::Text, "Either end in any of these namespaces");

pub const MEASURES: &[Parameter] = &[];
pub const GRAPH: &[Parameter] = &[
    SINCE,
    UNTIL,
    COMPARE,
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
    COMPARE,
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
    COMPARE,
    many("namespace", Form::Text, "In any of these namespaces"),
    one("search", Form::Text, "Whose name contains this, in any case"),
    LIMIT_WORKLOADS,
];
pub const WORKLOAD: &[Parameter] = &[SINCE, UNTIL, COMPARE];

/// One time that is asked for, of what this replica and the others have.
struct View {
    query: Query,
    times_s: Range<u64>,
    sight: Sight,
}

/// The same for a series.
struct Course {
    query: Query,
    plan: Plan,
    along: Option<Along>,
    sight: Sight,
}

impl Sources {
    /// The other replicas are asked for what is selected now.
    fn views(&self, times: Both<Moment>, select: &Select) -> Both<View> {
        times.map(|Moment { times_s, sight }| {
            let others = self.replicas.sums(times_s.clone(), select);
            View { query: self.desk.query().with(others), times_s, sight }
        })
    }

    /// Its steps are of what the oldest replica has.
    async fn course(&self, Moment { times_s, sight }: Moment, asked: &Asked) -> Course {
        let mut oldest_s = self.ingest.store().oldest_s();
        if self.replicas.have_history() {
            let others = self.replicas.describe(false, false).await.answers;
            oldest_s = others.iter().fold(oldest_s, |oldest_s, (_, it)| earlier(oldest_s, it));
        }
        let plan = Plan::new(&times_s, asked.step_s, oldest_s);
        let along = self.replicas.series(&plan, &asked.measures, &asked.select);
        Course { query: self.desk.query().clone(), plan, along, sight }
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
            "of": it.of.iter().map(|whole| whole.name()).collect::<Vec<_>>(),
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
    let times = sources.times(&request, &person).await?;
    let group: Group = request.parsed("group").unwrap_or_default();
    let namespaces = namespaces(&request, &person)?;
    let select = Select { scope: person.scope.clone(), namespaces, ..Select::default() };
    let limit = request.limit(&LIMIT_EDGES);
    let views = sources.views(times, &select);
    let ask = move || {
        views.each(|View { query, times_s, sight }| {
            Ok((query::graph(&query, times_s, &select, group, limit)?, sight))
        })
    };
    sources
        .desk
        .answer(ask, |both| json(&both.show(|(answered, sight)| drawn(answered, sight))))
        .await
}

fn drawn<'a>(answered: &'a Answered<query::Graph>, sight: &Sight) -> GraphOut<'a> {
    let (span, seconds) = (Span::new(answered, sight), answered.seconds());
    let query::Graph { nodes, edges, truncated } = &answered.answer;
    let nodes = nodes.iter().enumerate().map(|(id, node)| NodeOut {
        id,
        namespace: text(&node.namespace),
        kind: &node.kind,
        name: &node.name,
        service: &node.services,
        zone: node.zone.as_deref().filter(|zone| !zone.is_empty()),
    });
    let edges = edges.iter().map(|edge| EdgeOut {
        source: edge.source,
        destination: edge.destination,
        protocol: protocol_name(edge.protocol).into_owned(),
        port: edge.port,
        values: Shown { values: &edge.values, seconds },
    });
    GraphOut { span, nodes: nodes.collect(), edges: edges.collect(), truncated: *truncated }
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
    let times = sources.times(&request, &person).await?;
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
    let now = sources.course(times.now, &asked).await;
    let earlier = match times.earlier {
        Some(earlier) => Some(sources.course(earlier, &asked).await),
        None => None,
    };
    let ask = move || {
        Both { now, earlier }.each(|Course { query, plan, along, sight }| {
            Ok((query::series_along(&query, &plan, &asked, along)?, sight))
        })
    };
    sources
        .desk
        .answer(ask, |both| json(&both.show(|(answered, sight)| plotted(answered, sight))))
        .await
}

fn plotted(answered: &Answered<query::Points>, sight: &Sight) -> SeriesOut {
    let query::Points { times, series } = &answered.answer;
    let series = series.iter().map(|it| OneSeries {
        measure: it.measure.name(),
        statistic: it.statistic.map(|it| it.name()),
        values: it.values.iter().map(|value| value.map(rounded)).collect(),
    });
    let span = Span::new(answered, sight);
    SeriesOut { span, times: times.clone(), series: series.collect() }
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
    let times = sources.times(&request, &person).await?;
    let namespaces = namespaces(&request, &person)?;
    let search = request.one("search").unwrap_or_default().to_lowercase();
    let limit = request.limit(&LIMIT_WORKLOADS);
    let places = sources.inventory.places();
    let scope = person.scope.clone();
    let select = Select { scope, namespaces: namespaces.clone(), ..Select::default() };
    let views = sources.views(times, &select);
    let ask = move || {
        views.each(|View { query, times_s, sight }| {
            let found = query::workloads(&query, times_s, &select, |it| {
                (namespaces.is_empty() || namespaces.iter().any(|name| **name == *it.namespace))
                    && it.name.to_lowercase().contains(&search)
            });
            Ok((found?, sight))
        })
    };
    let encode = move |both: Both<(Answered<Vec<query::Workload>>, Sight)>| {
        json(&both.show(|(answered, sight)| listed(answered, sight, &places, limit)))
    };
    sources.desk.answer(ask, encode).await
}

fn listed<'a>(
    answered: &'a Answered<Vec<query::Workload>>,
    sight: &Sight,
    places: &Places,
    limit: usize,
) -> WorkloadsOut<'a> {
    let seconds = answered.seconds();
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
    let (span, truncated) = (Span::new(answered, sight), answered.answer.len() > limit);
    WorkloadsOut { span, workloads: workloads.collect(), truncated }
}

#[derive(Serialize)]
struct PageOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    kind: &'a str,
    name: &'a str,
    pods: Vec<PodPlace>,
    deploys: Vec<DeployOut<'a>>,
    failures: Vec<serde_json::Value>,
    #[serde(flatten)]
    sums: Both<SumsOut<'a>>,
}

#[derive(Serialize)]
struct DeployOut<'a> {
    time: String,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
}

#[derive(Serialize)]
struct SumsOut<'a> {
    #[serde(flatten)]
    span: Span,
    incoming: Shown<'a>,
    outgoing: Shown<'a>,
    peers: Vec<PeerOut<'a>>,
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
    path: Result<Path<(String, String, String)>, PathRejection>,
    query: Pairs,
) -> Result<Response, Problem> {
    let Path((namespace, kind, name)) =
        path.map_err(|error| super::request::bad(error.body_text()))?;
    let request = Request::parse(query, WORKLOAD)?;
    let times = sources.times(&request, &person).await?;
    let name = Name::new(&namespace, &kind, &name);
    person.must_see(&name.namespace)?;
    let inventory = &sources.inventory;
    let pods = inventory.pods_of(&name.namespace, &name.kind, &name.name);
    let deploys = inventory.deploys_of(&name.namespace, &name.kind, &name.name);
    let failures = sources.failures(&name, &person.scope).await;
    let (asked, scope) = (name.clone(), person.scope.clone());
    let views = sources.views(times, &query::of_page(&asked, scope.clone()));
    let ask = move || {
        views.each(|View { query, times_s, sight }| {
            Ok((query::page(&query, times_s, &asked, scope.clone())?, sight))
        })
    };
    let encode = move |both: Both<(Answered<Option<query::Page>>, Sight)>| {
        let Name { namespace, kind, name } = &name;
        if both.now.0.answer.is_none() && pods.is_empty() {
            let detail = format!(
                "workload {namespace}/{kind}/{name}: it has no pods, and nothing was observed of it in this time"
            );
            return Err(Problem::new(StatusCode::NOT_FOUND, detail));
        }
        let nothing = query::Page::default();
        let deploys = deploys.iter().map(|it| DeployOut {
            time: time(it.time_s),
            name: &it.name,
            revision: Some(it.revision).filter(|it| *it > 0),
        });
        json(&PageOut {
            namespace: Some(namespace.as_str()).filter(|it| !it.is_empty()),
            kind,
            name,
            pods,
            deploys: deploys.collect(),
            failures,
            sums: both.show(|(answered, sight)| summed(answered, sight, &nothing)),
        })
    };
    sources.desk.answer(ask, encode).await
}

fn summed<'a>(
    answered: &'a Answered<Option<query::Page>>,
    sight: &Sight,
    nothing: &'a query::Page,
) -> SumsOut<'a> {
    let seconds = answered.seconds();
    let page = answered.answer.as_ref().unwrap_or(nothing);
    let peers = page.peers.iter().map(|it| PeerOut {
        direction: if it.incoming { "in" } else { "out" },
        namespace: text(&it.namespace),
        kind: &it.kind,
        name: &it.name,
        protocol: protocol_name(it.protocol).into_owned(),
        port: it.port,
        values: Shown { values: &it.values, seconds },
    });
    SumsOut {
        span: Span::new(answered, sight),
        incoming: Shown { values: &page.incoming, seconds },
        outgoing: Shown { values: &page.outgoing, seconds },
        peers: peers.collect(),
    }
}

/// Those that are asked for, all of which must be seen.
fn namespaces(request: &Request, person: &Person) -> Result<Vec<String>, Problem> {
    let asked = request.all("namespace").map(|it| if it == "-" { "" } else { it }.to_owned());
    let asked: Vec<String> = asked.collect();
    asked.iter().try_for_each(|it| person.must_see(it))?;
    Ok(asked)
}
