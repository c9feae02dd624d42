//! The agent's HTTP interface.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use daemon::Meter;
use daemon::export::Exports;
use daemon::http::{Problem, Scrapes};
use model::status::ProgramStatus;

use super::{metrics, status, stream};
use crate::Config;
use crate::kube::Link;
use crate::pipeline::{IntervalCounters, Shared};
use crate::report::{Health, Spool};

/// Everything that can be shown.
pub struct Sources {
    pub config: Config,
    pub shared: Arc<Shared>,
    /// Where names come from.
    pub link: Arc<Link>,
    /// Asks the probes; may take some milliseconds.
    pub report: Box<dyn Fn() -> probes::Report + Send + Sync>,
    pub meter: Meter,
    /// Where metrics are sent.
    pub exports: Exports,
    scrapes: Scrapes,
    reports: OnceLock<Reports>,
}

/// What the hub is told, where it is.
pub(super) struct Reports {
    pub spool: Arc<Spool>,
    pub interval: Arc<IntervalCounters>,
}

impl Sources {
    pub fn new(
        config: Config,
        shared: Arc<Shared>,
        link: Arc<Link>,
        report: Box<dyn Fn() -> probes::Report + Send + Sync>,
        exports: Exports,
    ) -> Self {
        let (meter, scrapes, reports) = (Meter::new(), Scrapes::default(), OnceLock::new());
        Self { config, shared, link, report, meter, exports, scrapes, reports }
    }

    /// The hub is told from `spool` what `interval` counts. To be called once.
    pub fn reports(&self, spool: Arc<Spool>, interval: Arc<IntervalCounters>) {
        let _ = self.reports.set(Reports { spool, interval });
    }

    pub(super) fn told(&self) -> Option<&Reports> {
        self.reports.get()
    }

    /// How the probes fare, for the hub.
    pub fn health(&self) -> Health {
        let programs = (self.report)().programs;
        let programs = programs.into_iter().map(|program| ProgramStatus {
            // They change all the time, and the node's own metrics have them.
            runs: 0,
            run_time_ns: 0,
            recursion_misses: 0,
            ..program
        });
        let lost = status::losses(self).iter().map(|loss| loss.count).sum();
        Health { programs: programs.collect(), lost }
    }

    /// What is still missing; `None` when ready.
    pub(super) fn waiting_for(&self) -> Option<&'static str> {
        (!self.shared.synced.load(Ordering::Relaxed))
            .then_some("the first complete list of pods and services")
    }
}

/// What may be seen by anybody who reaches the TCP port.
pub fn router(sources: Arc<Sources>) -> Router {
    refused(open_routes().route("/api/v1/status", get(show_status))).with_state(sources)
}

/// The same and the records: who may use the local socket.
pub fn local_router(sources: Arc<Sources>) -> Router {
    let routes = open_routes()
        .route("/api/v1/status", get(measure_status))
        .route("/api/v1/records", get(stream::records));
    refused(routes).with_state(sources)
}

fn open_routes() -> Router<Arc<Sources>> {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
}

/// Of routes that there are: comes last.
fn refused(routes: Router<Arc<Sources>>) -> Router<Arc<Sources>> {
    routes
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "no such path"))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "only GET is served here")
        })
}

async fn ready(State(sources): State<Arc<Sources>>) -> Result<&'static str, Problem> {
    match sources.waiting_for() {
        None => Ok("ready\n"),
        Some(what) => {
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("waiting for {what}")))
        }
    }
}

/// Of `/api/v1/status` on the local socket.
#[derive(serde::Deserialize)]
struct StatusQuery {
    /// Let the kernel measure the programs' run time for so long before answering.
    #[serde(default)]
    measure_ms: u64,
}

/// Measuring costs every program some 30 ns per run: briefly, and because somebody looks.
const MEASURE: Duration = Duration::from_secs(10);

async fn measure_status(
    State(sources): State<Arc<Sources>>,
    query: Result<Query<StatusQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(query) =
        query.map_err(|error| Problem::new(StatusCode::BAD_REQUEST, error.body_text()))?;
    let measure = Duration::from_millis(query.measure_ms);
    if measure > MEASURE {
        let detail = format!("measure_ms is {}: at most {}", query.measure_ms, MEASURE.as_millis());
        return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
    }
    if !measure.is_zero() {
        let measuring = probes::RunTime::measure();
        tokio::time::sleep(measure).await;
        drop(measuring);
    }
    show_status(State(sources)).await
}

async fn show_status(State(sources): State<Arc<Sources>>) -> Result<Response, Problem> {
    let status = tokio::task::spawn_blocking(move || status::collect(&sources)).await;
    status
        .map(|status| Json(status).into_response())
        .map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error))
}

async fn scrape(
    State(sources): State<Arc<Sources>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let seen = sources.clone();
    sources.scrapes.answer(&headers, move || metrics::View::collect(&seen)).await
}
