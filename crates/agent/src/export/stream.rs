//! `/api/v1/records`: records as JSON lines, kept ones and those that come.
//!
//! A reader that falls behind by more than `records.backlog` gets a line [`Lost`] in the place of what it missed.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State as Extract};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use daemon::http::Problem;
use model::filter::Filter;
use model::line::Line;
use model::status::Lost;
use model::{Record, Timestamp};
use tokio::time::Instant;

use super::http::Sources;
use super::records::{Reader, Records, Start, State};

/// A record may wait so long for a name: `until` has not passed for it before.
const LATE: Duration = Duration::from_secs(3);

/// `follow=1`, `last=N`, and the keys of [`model::filter::KEYS`].
pub(crate) struct Request {
    follow: bool,
    start: Start,
    filter: Filter,
}

pub(super) async fn records(
    Extract(sources): Extract<Arc<Sources>>,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(pairs) = query.map_err(|error| Problem::new(StatusCode::BAD_REQUEST, error))?;
    let request =
        Request::parse(&pairs).map_err(|detail| Problem::new(StatusCode::BAD_REQUEST, detail))?;
    let lines = request
        .lines(&sources.shared.records)
        .map_err(|error| Problem::new(StatusCode::SERVICE_UNAVAILABLE, error))?;
    let body = futures_util::stream::unfold(lines, |mut lines| async {
        lines.next().await.map(|chunk| (Ok::<_, Infallible>(chunk.with_lost()), lines))
    });
    let kind = HeaderValue::from_static("application/x-ndjson");
    Ok(([(header::CONTENT_TYPE, kind)], Body::from_stream(body)).into_response())
}

impl Request {
    fn parse(pairs: &[(String, String)]) -> Result<Self, String> {
        let (mut follow, mut last, mut filters) = (false, None, Vec::new());
        for (key, value) in pairs {
            match (key.as_str(), value.as_str()) {
                ("follow", "" | "1" | "true") => follow = true,
                ("follow", "0" | "false") => follow = false,
                ("follow", other) => return Err(format!("follow={other}: expected 1 or 0")),
                ("last", number) => {
                    let number = number
                        .parse()
                        .map_err(|_| format!("last={number}: expected a whole number"))?;
                    last = Some(number);
                }
                pair => filters.push(pair),
            }
        }
        Self::new(filters.into_iter(), follow, last)
    }

    pub(crate) fn new<'a>(
        filters: impl Iterator<Item = (&'a str, &'a str)>,
        follow: bool,
        last: Option<usize>,
    ) -> Result<Self, String> {
        let filter = Filter::parse(filters).map_err(|error| error.to_string())?;
        let start = match last {
            Some(last) => Start::Last(last),
            None if follow && filter.since().is_none() => Start::Now,
            None => Start::Oldest,
        };
        Ok(Self { follow, start, filter })
    }

    /// Only what may be seen is compared with what is asked.
    pub(crate) fn within(mut self, scope: model::Scope) -> Self {
        self.filter = self.filter.within(scope);
        self
    }

    pub(crate) fn lines(self, records: &Arc<Records>) -> Result<Lines, String> {
        let reader = records.subscribe(self.start, self.filter);
        let reader = reader.map_err(|error| error.to_string())?;
        let until = reader.filter().until().filter(|_| self.follow);
        let until = until.map(|until| Instant::now() + until.since(Timestamp::now()) + LATE);
        Ok(Lines { reader, follow: self.follow, until, records: Vec::new() })
    }
}

pub(crate) struct Lines {
    reader: Reader,
    follow: bool,
    /// When a stream that follows ends.
    until: Option<Instant>,
    /// Scratch.
    records: Vec<Record>,
}

/// Lines of JSON, and how many records the reader lost just before them.
#[derive(Default)]
pub(crate) struct Chunk {
    pub lost: u64,
    pub lines: Vec<u8>,
}

impl Chunk {
    /// The loss as a line of its own.
    fn with_lost(self) -> Bytes {
        if self.lost == 0 {
            return self.lines.into();
        }
        let mut lines = Vec::with_capacity(self.lines.len() + 32);
        push(&mut lines, &Lost { lost: self.lost, ..Lost::default() });
        lines.extend(self.lines);
        lines.into()
    }
}

impl Lines {
    /// What comes next; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Chunk> {
        loop {
            let look = self.reader.look(&mut self.records);
            let chunk = self.format(look.lost);
            match look.state {
                _ if chunk.lost > 0 || !chunk.lines.is_empty() => return Some(chunk),
                State::More => tokio::task::yield_now().await,
                State::Idle if self.follow => match self.until {
                    None => self.reader.changed().await,
                    Some(until) => {
                        tokio::time::timeout_at(until, self.reader.changed()).await.ok()?
                    }
                },
                State::Idle | State::Closed => return None,
            }
        }
    }

    fn format(&mut self, lost: u64) -> Chunk {
        let mut lines = Vec::new();
        for record in self.records.drain(..) {
            push(&mut lines, &Line::from(&record));
        }
        Chunk { lost, lines }
    }
}

fn push(chunk: &mut Vec<u8>, line: &impl serde::Serialize) {
    let before = chunk.len();
    match serde_json::to_writer(&mut *chunk, line) {
        Ok(()) => chunk.push(b'\n'),
        Err(error) => {
            chunk.truncate(before);
            tracing::error!(%error, "a record cannot be written as JSON");
        }
    }
}
