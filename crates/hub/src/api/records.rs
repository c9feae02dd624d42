//! `/api/v1/records`: records of all nodes as JSON lines, kept ones and those that come.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use daemon::http::Problem;
use model::filter::KEYS;
use model::line::Line;
use model::status::Lost;
use model::{Filter, Scope, Timestamp};
use proto::telemetry::Ask;
use proto::telemetry::ask::Filter as Pair;
use tokio::time::{Instant, timeout_at};

use super::Sources;
use super::request::{Form, Pairs, Parameter, bad, few, many, one};
use crate::access::Asker;
use crate::observe::{Event, Listener, within};
use crate::query::Name;
use crate::replica::UNREACHABLE;

/// Records that are shown at most where nothing follows, and where nothing is said.
const MOST: usize = 10_000;
const USUAL: usize = 1000;
/// How long agents may take to tell what they have kept.
const PATIENCE: Duration = Duration::from_secs(3);
/// The same where one follows: what comes later is shown when it comes.
const GATHER: Duration = Duration::from_millis(400);
/// An agent waits so long for a record's names, and a while passes until it is here.
const LATE: Duration = Duration::from_secs(5);
/// Why records of a node are missing that was asked.
const NO_ANSWER: &str = "no_answer";
/// Failures on the page of a workload, and how long they may take.
const FAILURES: usize = 100;
const FAILURES_PATIENCE: Duration = Duration::from_millis(1000);

struct Request {
    follow: bool,
    last: Option<usize>,
    filters: Vec<Pair>,
    until: Option<Timestamp>,
}

const FOLLOW: Parameter = one(
    "follow",
    Form::OneOf(&["0", "1", "false", "true", ""]),
    "Go on with what comes, until the connection is closed",
);
const LAST: Parameter = one(
    "last",
    Form::UpTo(MOST),
    "So many of the newest that are kept; default: 1000, and none where what comes is followed",
);

/// What may be asked: besides these the filters, each of which must hold.
pub fn parameters() -> Vec<Parameter> {
    let filters = KEYS.iter().map(|it| many(it.name, Form::Text, it.help));
    [FOLLOW, LAST].into_iter().chain(filters).collect()
}

impl Request {
    fn parse(pairs: Vec<(String, String)>) -> Result<Self, Problem> {
        few(&pairs)?;
        let mut request = Self { follow: false, last: None, filters: Vec::new(), until: None };
        for (key, value) in pairs {
            match key.as_str() {
                "follow" => {
                    FOLLOW.check(&value)?;
                    request.follow = !matches!(value.as_str(), "0" | "false");
                }
                "last" => {
                    LAST.check(&value)?;
                    request.last = value.parse().ok();
                }
                _ => {
                    many("filter", Form::Text, "").check(&value)?;
                    request.filters.push(Pair { key, value });
                }
            }
        }
        let pairs = request.filters.iter().map(|it| (it.key.as_str(), it.value.as_str()));
        request.until = Filter::parse(pairs).map_err(bad)?.until();
        Ok(request)
    }
}

pub async fn records(
    State(sources): State<Arc<Sources>>,
    Asker(person): Asker,
    query: Pairs,
) -> Result<Response, Problem> {
    let pairs = query.map_err(bad)?.0;
    let Request { follow, last, filters, until } = Request::parse(pairs)?;
    let timed = filters.iter().any(|it| it.key == "since");
    let most = match last {
        Some(last) => last,
        None if follow && !timed => 0,
        None if follow => MOST,
        None => USUAL,
    };
    named(&filters).try_for_each(|namespace| person.must_see(namespace))?;
    let last = (last.is_some() || !follow).then_some(most as u64);
    let ask = Ask { filters, follow, last, scope: within(&person.scope) };
    let busy = |error| Problem::new(StatusCode::SERVICE_UNAVAILABLE, error);
    let listener = sources.replicas.observe(&sources.observers, ask).map_err(busy)?;
    let scope = person.scope.clone();
    let until = until.map(|until| Instant::now() + until.since(Timestamp::now()) + LATE);
    let stream = Lines { gathered: false, most, follow, until, listener, scope };
    let body = futures_util::stream::unfold(stream, |mut lines| async {
        lines.next().await.map(|chunk| (Ok::<_, Infallible>(chunk), lines))
    });
    let kind = HeaderValue::from_static("application/x-ndjson");
    Ok(([(header::CONTENT_TYPE, kind)], Body::from_stream(body)).into_response())
}

struct Lines {
    listener: Listener,
    scope: Scope,
    follow: bool,
    /// When a stream that follows ends.
    until: Option<Instant>,
    most: usize,
    /// What was kept has been told.
    gathered: bool,
}

impl Lines {
    async fn next(&mut self) -> Option<Bytes> {
        if !self.gathered {
            self.gathered = true;
            let patience = match (self.follow, self.most) {
                (true, 0) => Duration::ZERO,
                (true, _) => GATHER,
                (false, _) => PATIENCE,
            };
            let mut chunk = gather(&mut self.listener, &self.scope, self.most, patience).await;
            if !self.follow && self.most > 0 {
                for node in self.listener.unanswered() {
                    tell_missing(&mut chunk, node, NO_ANSWER);
                }
            }
            if !chunk.is_empty() {
                return Some(chunk.into());
            }
        }
        while self.follow {
            let mut chunk = Vec::new();
            let next = self.listener.next();
            let event = match self.until {
                None => next.await,
                Some(until) => timeout_at(until, next).await.ok()?,
            };
            match event? {
                Event::Lines { node, lines, lost } => {
                    tell_lost(&mut chunk, &node, lost);
                    chunk.extend(seen(&self.scope, lines));
                }
                Event::End { node, error } if !error.is_empty() => {
                    tracing::debug!(%node, error, "a node does not tell records");
                }
                Event::Left { replica, error } if !error.is_empty() => {
                    tell_missing(&mut chunk, &replica, UNREACHABLE);
                }
                Event::End { .. } | Event::Joined { .. } | Event::Left { .. } => {}
            }
            if !chunk.is_empty() {
                return Some(chunk.into());
            }
        }
        None
    }
}

fn tell_lost(chunk: &mut Vec<u8>, node: &str, lost: u64) {
    if lost > 0 {
        tell(chunk, &Lost { lost, node: node.to_owned(), reason: String::new() });
    }
}

/// That nobody knows how much is missing of a node, or of a replica's.
fn tell_missing(chunk: &mut Vec<u8>, node: &str, reason: &str) {
    tell(chunk, &Lost { lost: 0, node: node.to_owned(), reason: reason.to_owned() });
}

fn tell(chunk: &mut Vec<u8>, lost: &Lost) {
    // Writing to memory cannot fail.
    let _ = serde_json::to_writer(&mut *chunk, lost);
    chunk.push(b'\n');
}

/// The newest lines of all nodes that answer in time, oldest first.
async fn gather(
    listener: &mut Listener,
    scope: &Scope,
    most: usize,
    patience: Duration,
) -> Vec<u8> {
    let until = Instant::now() + patience;
    let mut out = Vec::new();
    let mut lines: Vec<Bytes> = Vec::new();
    while !listener.is_answered() && most > 0 {
        let Ok(Some(event)) = timeout_at(until, listener.next()).await else { break };
        match event {
            Event::Lines { node, lines: chunk, lost } => {
                tell_lost(&mut out, &node, lost);
                let chunk = seen(scope, chunk);
                let mut start = 0;
                for (end, _) in chunk.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
                    lines.push(chunk.slice(start..=end));
                    start = end + 1;
                }
                if lines.len() > 4 * most + 1024 {
                    newest(&mut lines, most);
                }
            }
            Event::Left { replica, error } if !error.is_empty() => {
                tell_missing(&mut out, &replica, UNREACHABLE);
            }
            Event::End { node, error } if !error.is_empty() => {
                tell_missing(&mut out, &node, &error);
            }
            Event::End { .. } | Event::Joined { .. } | Event::Left { .. } => {}
        }
    }
    newest(&mut lines, most);
    lines.iter().for_each(|line| out.extend_from_slice(line));
    out
}

/// Namespaces that filters name.
fn named(filters: &[Pair]) -> impl Iterator<Item = &str> {
    filters.iter().filter_map(|Pair { key, value }| {
        let end = key.rsplit(['_', '-']).next().unwrap_or(key);
        match end {
            "namespace" => Some(value.as_str()),
            "pod" | "service" => value.split_once('/').map(|(namespace, _)| namespace),
            _ => None,
        }
    })
}

/// As much of the lines as may be seen, whatever agents tell.
fn seen(scope: &Scope, lines: Bytes) -> Bytes {
    if scope.is_all() {
        return lines;
    }
    let mut out = Vec::with_capacity(lines.len());
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let line: Option<Line> = serde_json::from_slice(line).ok();
        if let Some(line) = line.and_then(|line| scope.line(line))
            && serde_json::to_writer(&mut out, &line).is_ok()
        {
            out.push(b'\n');
        }
    }
    out.into()
}

fn newest(lines: &mut Vec<Bytes>, most: usize) {
    lines.sort_by(|a, b| time(a).cmp(time(b)));
    lines.drain(..lines.len().saturating_sub(most));
}

/// Every line begins with it, and times in UTC with nine digits order as texts.
fn time(line: &Bytes) -> &[u8] {
    let rest = line.strip_prefix(br#"{"time":""#).unwrap_or_default();
    rest.split(|byte| *byte == b'"').next().unwrap_or_default()
}

impl Sources {
    /// The newest failures that a workload has part in, newest first, of nodes that answer soon.
    pub(super) async fn failures(&self, name: &Name, scope: &Scope) -> Vec<serde_json::Value> {
        let workload = format!("{}/{}", name.kind, name.name);
        let mut pairs = vec![("workload", workload.as_str()), ("verdict", "failed")];
        if !name.namespace.is_empty() {
            pairs.push(("namespace", &name.namespace));
        }
        if Filter::parse(pairs.iter().copied()).is_err() {
            return Vec::new();
        }
        let pair = |(key, value): (&str, &str)| Pair { key: key.into(), value: value.into() };
        let filters = pairs.into_iter().map(pair).collect();
        let last = Some(FAILURES as u64);
        let ask = Ask { filters, follow: false, last, scope: within(scope) };
        let asked = self.replicas.observe(&self.observers, ask);
        let Ok(mut listener) = asked else { return Vec::new() };
        let lines = gather(&mut listener, scope, FAILURES, FAILURES_PATIENCE).await;
        let lines = lines.split(|byte| *byte == b'\n').rev();
        let records = lines.filter_map(|line| serde_json::from_slice(line).ok());
        records.filter(|it: &serde_json::Value| it.get("time").is_some()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_checked_before_anybody_is_asked() {
        let check = |pairs: &[(&str, &str)],
                     expected: Result<(bool, Option<usize>, usize), &str>| {
            let pairs = pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
            match (Request::parse(pairs), expected) {
                (Ok(it), expected) => {
                    assert_eq!(Ok((it.follow, it.last, it.filters.len())), expected);
                }
                (Err(error), expected) => {
                    let error = format!("{error:?}");
                    assert!(error.contains(expected.unwrap_err()), "{error}");
                }
            }
        };
        check(&[], Ok((false, None, 0)));
        check(&[("follow", "1"), ("last", "5"), ("pod", "a")], Ok((true, Some(5), 1)));
        check(&[("last", "1000000")], Err("expected a whole number up to 10000"));
        check(&[("follow", "maybe")], Err("follow"));
        check(&[("pod", &"x".repeat(1025))], Err("at most 1024 characters"));
        check(&[("port", "x")], Err("filter port"));
        check(&[("pods", "x")], Err("unknown filter"));
    }

    #[test]
    fn the_newest_are_kept_in_the_order_of_time() {
        let line = |time: &str| Bytes::from(format!("{{\"time\":\"{time}\",\"node\":\"n\"}}\n"));
        let mut lines = vec![
            line("2026-01-01T00:00:02Z"),
            line("2026-01-01T00:00:01Z"),
            line("2026-01-01T00:00:03Z"),
        ];
        newest(&mut lines, 2);
        assert_eq!(lines, [line("2026-01-01T00:00:02Z"), line("2026-01-01T00:00:03Z")]);
    }
}
