//! The agent's HTTP interface.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use super::cost::Meter;
use super::exposition::Format;
use super::problem::Problem;
use super::{exposition, metrics, status, stream};
use crate::Config;
use crate::kube::Link;
use crate::pipeline::Shared;

/// Scrapes at once: each holds a copy of all series.
const SCRAPES: usize = 2;
/// How long a scrape waits for its turn, and how long it may take then: a stalled scraper must not keep others out.
const TURN: Duration = Duration::from_secs(5);
const SCRAPE: Duration = Duration::from_secs(30);

/// Everything that can be shown.
pub struct Sources {
    pub config: Config,
    pub shared: Arc<Shared>,
    /// Where names come from.
    pub link: Arc<Link>,
    /// Asks the probes; may take some milliseconds.
    pub report: Box<dyn Fn() -> probes::Report + Send + Sync>,
    pub meter: Meter,
    scrapes: Arc<Semaphore>,
}

impl Sources {
    pub fn new(
        config: Config,
        shared: Arc<Shared>,
        link: Arc<Link>,
        report: Box<dyn Fn() -> probes::Report + Send + Sync>,
    ) -> Self {
        Self {
            config,
            shared,
            link,
            report,
            meter: Meter::new(),
            scrapes: Arc::new(Semaphore::new(SCRAPES)),
        }
    }

    /// What is still missing; `None` when ready.
    pub(super) fn waiting_for(&self) -> Option<&'static str> {
        (!self.shared.synced.load(Ordering::Relaxed))
            .then_some("the first complete list of pods and services")
    }
}

/// What may be seen by anybody who reaches the TCP port.
pub fn router(sources: Arc<Sources>) -> Router {
    open_routes().route("/api/v1/status", get(show_status)).with_state(sources)
}

/// The same and the records: who may use the local socket.
pub fn local_router(sources: Arc<Sources>) -> Router {
    open_routes()
        .route("/api/v1/status", get(measure_status))
        .route("/api/v1/records", get(stream::records))
        .with_state(sources)
}

fn open_routes() -> Router<Arc<Sources>> {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
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

/// Streams: ten thousand histograms would be 40 MB of text.
async fn scrape(
    State(sources): State<Arc<Sources>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let turn = tokio::time::timeout(TURN, sources.scrapes.clone().acquire_owned()).await;
    let Ok(permit) = turn else {
        let detail = format!("{SCRAPES} scrapes are in progress; try again later");
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail));
    };
    let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let format = Format::negotiate(accept);
    let (chunks, body) = mpsc::channel::<Result<Bytes, std::fmt::Error>>(2);
    let runtime = tokio::runtime::Handle::current();
    let deadline = tokio::time::Instant::now() + SCRAPE;
    tokio::task::spawn_blocking(move || {
        let send = |chunk: String| {
            let sent =
                async { tokio::time::timeout_at(deadline, chunks.send(Ok(chunk.into()))).await };
            let sent = runtime.block_on(sent);
            if matches!(sent, Ok(Ok(()))) { Ok(()) } else { Err(std::fmt::Error) }
        };
        let view = metrics::View::collect(&sources);
        // A scraper that goes away is no failure of ours; it sees a body that breaks off.
        if exposition::write(format, view, send).is_err() {
            let _ = chunks.try_send(Err(std::fmt::Error));
        }
        drop(permit);
    });
    let kind = HeaderValue::from_static(format.content_type());
    Ok(([(header::CONTENT_TYPE, kind)], Body::from_stream(ReceiverStream::new(body)))
        .into_response())
}
