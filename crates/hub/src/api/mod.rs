//! The hub's HTTP interface.

mod compare;
mod desk;
mod history;
mod metrics;
mod nodes;
mod openapi;
mod records;
mod request;
mod status;
mod values;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use daemon::export::Exports;
use daemon::http::{Problem, Scrapes};
use daemon::{Meter, tls};
use tower_http::compression::CompressionLayer;

use crate::Inventory;
use crate::access::{self, Access, Asker};
use crate::hubble::Hubble;
use crate::ingest::{self, Ingest};
use crate::kube::Watches;
use crate::observe::Observers;
use crate::query::Query;
use crate::replica::Replicas;
use crate::stream::Agents;
use crate::ui;
use desk::Desk;

pub(crate) use metrics::View as MetricsView;
pub use metrics::metrics_reference;

/// Everything that can be shown.
pub struct Sources {
    inventory: Arc<Inventory>,
    agents: Arc<Agents>,
    watches: Watches,
    tls: Option<tls::Server>,
    ingest: Arc<Ingest>,
    observers: Arc<Observers>,
    access: Arc<Access>,
    pub replicas: Arc<Replicas>,
    desk: Desk,
    pub exports: Exports,
    /// If it is served.
    pub hubble: Option<Arc<Hubble>>,
    pub meter: Meter,
    scrapes: Scrapes,
}

impl Sources {
    pub fn new(
        inventory: Arc<Inventory>,
        watches: Watches,
        tls: Option<tls::Server>,
        telemetry: ingest::Service,
        access: Arc<Access>,
        exports: Exports,
        query: Query,
    ) -> Self {
        let ingest::Service { ingest, observers, agents, replicas } = telemetry;
        let desk = Desk::new(query);
        let (meter, scrapes) = (Meter::new(), Scrapes::default());
        let hubble = None;
        Self {
            inventory,
            agents,
            watches,
            tls,
            ingest,
            observers,
            access,
            replicas,
            desk,
            exports,
            hubble,
            meter,
            scrapes,
        }
    }

    /// Items sent so far.
    pub fn items(&self) -> u64 {
        self.inventory.counters.items.load(Ordering::Relaxed)
    }
}

/// Everything passes the guard of `access`.
pub fn router(sources: Arc<Sources>, access: Arc<Access>) -> Router {
    told()
        .merge(itself())
        .with_state(sources)
        .merge(access::routes(access.clone()))
        // Of all routes that there are by now.
        .method_not_allowed_fallback(async || {
            let detail = "this method is not served here; the header Allow has those that are";
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
        })
        .layer(axum::middleware::from_fn_with_state(access, access::guard))
}

/// What agents told.
fn told() -> Router<Arc<Sources>> {
    Router::new()
        .route("/api/v1/graph", get(history::graph))
        .route("/api/v1/series", get(history::series))
        .route("/api/v1/workloads", get(history::workloads))
        .route("/api/v1/workloads/{namespace}/{kind}/{name}", get(history::workload))
        // Not what follows: it is told line by line.
        .layer(CompressionLayer::new())
        .route("/api/v1/records", get(records::records))
        .route("/api/v1/nodes", get(nodes::show))
}

/// What is to be known of the hub.
fn itself() -> Router<Arc<Sources>> {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .route("/api/v1/status", get(show_status))
        .route("/api/v1/openapi.json", get(openapi::show))
        .route("/api/v1/measures", get(history::measures))
        .route("/", get(ui::show))
        .route("/assets/{*path}", get(ui::show))
        .route("/licences.txt", get(ui::show))
        .layer(CompressionLayer::new())
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "no such path"))
}

/// Whether agents can be told names. Not whether history can be stored: all replicas may use one store, and names and
/// live records do not wait for it.
async fn ready(State(sources): State<Arc<Sources>>) -> Result<&'static str, Problem> {
    if sources.inventory.is_complete() {
        return Ok("ready\n");
    }
    let totals = sources.inventory.totals();
    let missing = totals.resources.iter().filter(|(_, _, state)| !state.listed);
    let missing = missing.map(|(resource, _, state)| match state.error.as_str() {
        "" => resource.to_string(),
        error => format!("{resource} ({error})"),
    });
    let missing: Vec<String> = missing.collect();
    let detail = format!("waiting for the first complete list of {}", missing.join(", "));
    Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail))
}

async fn show_status(
    State(sources): State<Arc<Sources>>,
    Asker(person): Asker,
) -> Json<status::Status> {
    Json(status::collect(&sources, &person.scope))
}

async fn scrape(
    State(sources): State<Arc<Sources>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let seen = sources.clone();
    sources.scrapes.answer(&headers, move || metrics::View::collect(&seen)).await
}
