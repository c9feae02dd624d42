//! `/metrics`.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use super::exposition::{self, Format};
use super::problem::Problem;
use crate::metrics::View;

/// Scrapes at once: each holds a copy of all series.
const SCRAPES: usize = 2;
/// How long a scrape waits for its turn, and how long it may take then: a stalled scraper must not keep others out.
const TURN: Duration = Duration::from_secs(5);
const SCRAPE: Duration = Duration::from_secs(30);

/// The places for scrapes.
pub struct Scrapes(Arc<Semaphore>);

impl Default for Scrapes {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(SCRAPES)))
    }
}

impl Scrapes {
    /// What `collect` gives, as a stream: ten thousand histograms would be 40 MB of text.
    ///
    /// # Errors
    /// All places are taken.
    pub async fn answer<V: View>(
        &self,
        headers: &HeaderMap,
        collect: impl FnOnce() -> V + Send + 'static,
    ) -> Result<Response, Problem> {
        let turn = tokio::time::timeout(TURN, self.0.clone().acquire_owned()).await;
        let Ok(permit) = turn else {
            let detail = format!("{SCRAPES} scrapes are in progress; try again later");
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail));
        };
        let accept = headers.get_all(header::ACCEPT).iter().filter_map(|it| it.to_str().ok());
        let format = Format::negotiate(accept);
        let (chunks, body) = mpsc::channel::<Result<Bytes, std::fmt::Error>>(2);
        let runtime = tokio::runtime::Handle::current();
        let deadline = tokio::time::Instant::now() + SCRAPE;
        tokio::task::spawn_blocking(move || {
            let send = |chunk: String| {
                let sent = async {
                    tokio::time::timeout_at(deadline, chunks.send(Ok(chunk.into()))).await
                };
                let sent = runtime.block_on(sent);
                if matches!(sent, Ok(Ok(()))) { Ok(()) } else { Err(std::fmt::Error) }
            };
            // A scraper that goes away is no failure of ours; it sees a body that breaks off.
            if exposition::write(format, collect(), send).is_err() {
                let _ = chunks.try_send(Err(std::fmt::Error));
            }
            drop(permit);
        });
        let kind = HeaderValue::from_static(format.content_type());
        let body = Body::from_stream(ReceiverStream::new(body));
        Ok(([(header::CONTENT_TYPE, kind)], body).into_response())
    }
}
