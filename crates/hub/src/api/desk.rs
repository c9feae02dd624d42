//! Where queries are asked.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use daemon::http::Problem;
use tokio::sync::Semaphore;

use crate::query::Query;
use crate::store::Error;

/// Queries at once: each may read the whole history.
const QUERIES: usize = 2;
/// How long one waits for its turn.
const TURN: Duration = Duration::from_secs(10);

pub struct Desk {
    query: Query,
    turns: Semaphore,
}

impl Desk {
    pub fn new(query: Query) -> Self {
        Self { query, turns: Semaphore::new(QUERIES) }
    }

    pub fn query(&self) -> &Query {
        &self.query
    }

    /// The answer, encoded where it was made: an async task has no time for that.
    pub async fn answer<T: Send + 'static>(
        &self,
        ask: impl FnOnce() -> Result<T, Error> + Send + 'static,
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
        let unread = move |error: Error| match error {
            Error::ClickHouse { ref url, .. } => {
                tracing::error!(%error, "a query failed");
                let detail = format!(
                    "history is in ClickHouse at {url}, which does not answer as it should; try again later"
                );
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
            }
            error => failed(&error),
        };
        let answered = tokio::task::spawn_blocking(move || ask().map_err(unread).and_then(encode));
        let body = answered.await.map_err(|error| failed(&error))??;
        let kind = [(axum::http::header::CONTENT_TYPE, "application/json")];
        Ok((kind, body).into_response())
    }
}
