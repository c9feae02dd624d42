//! The hub's HTTP interface.

mod metrics;
mod status;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use daemon::http::{Problem, Scrapes};
use daemon::{Meter, tls};

use crate::Inventory;
use crate::kube::Watches;
use crate::stream::Agents;

pub use metrics::metrics_reference;

/// Everything that can be shown.
pub struct Sources {
    inventory: Arc<Inventory>,
    agents: Arc<Agents>,
    watches: Watches,
    tls: Option<tls::Server>,
    pub meter: Meter,
    scrapes: Scrapes,
}

impl Sources {
    pub fn new(
        inventory: Arc<Inventory>,
        agents: Arc<Agents>,
        watches: Watches,
        tls: Option<tls::Server>,
        meter: Meter,
    ) -> Self {
        Self { inventory, agents, watches, tls, meter, scrapes: Scrapes::default() }
    }

    /// Items sent so far.
    pub fn items(&self) -> u64 {
        self.inventory.counters.items.load(Ordering::Relaxed)
    }
}

pub fn router(sources: Arc<Sources>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .route("/api/v1/status", get(show_status))
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "no such path"))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "only GET is served here")
        })
        .with_state(sources)
}

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

async fn show_status(State(sources): State<Arc<Sources>>) -> Json<status::Status> {
    Json(status::collect(&sources))
}

async fn scrape(
    State(sources): State<Arc<Sources>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let seen = sources.clone();
    sources.scrapes.answer(&headers, move || metrics::View::collect(&seen)).await
}
