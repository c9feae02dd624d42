//! Questions of the hub: records, for as long as somebody looks.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use proto::TelemetryClient;
use proto::telemetry::observed::{End, Kind};
use proto::telemetry::question::Kind as Asked;
use proto::telemetry::{Ask, Lines, Observed, Question};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::stream::introduction;
use super::{ANSWER, Opened, Reporter, repeat};
use crate::export::{self, Records};

/// Messages that wait until the hub takes them: then readers fall behind, and are told how much they missed.
const MESSAGES: usize = 4;
/// Questions at once.
const QUESTIONS: usize = 64;

/// Answers for as long as it is polled.
pub async fn run(reporter: Arc<Reporter>, opened: Opened) -> Infallible {
    repeat("answers", || answer(&reporter, &opened)).await
}

async fn answer(reporter: &Reporter, opened: &Opened) -> Result<(), Status> {
    let (out, messages) = mpsc::channel(MESSAGES);
    // There is room: it is the first one.
    let _ = out.try_send(Observed { kind: Some(Kind::Introduction(introduction(reporter))) });
    let request = opened.request(ReceiverStream::new(messages))?;
    let mut client = TelemetryClient::new(opened.channel.clone());
    let silent = |_| Status::deadline_exceeded("the hub does not answer");
    let questions = timeout(ANSWER, client.observe(request)).await.map_err(silent)??;
    let mut questions = questions.into_inner();
    // Ends them all when it is dropped.
    let mut answers = JoinSet::new();
    let mut handles: HashMap<u64, AbortHandle> = HashMap::new();
    loop {
        let question = tokio::select! {
            question = questions.message() => question?,
            Some(ended) = answers.join_next(), if !answers.is_empty() => {
                if let Ok(question) = ended {
                    handles.remove(&question);
                }
                continue;
            }
        };
        let Some(Question { question, kind }) = question else { return Ok(()) };
        match kind {
            Some(Asked::Ask(ask)) if handles.len() < QUESTIONS => {
                let task = tell(reporter.records.clone(), question, ask, out.clone());
                handles.insert(question, answers.spawn(task));
            }
            Some(Asked::Ask(_)) => {
                let error = format!("{QUESTIONS} questions are being answered");
                let _ = out.send(end(question, error)).await;
            }
            Some(Asked::Cancel(_)) => {
                if let Some(handle) = handles.remove(&question) {
                    handle.abort();
                }
            }
            // Of a newer hub.
            None => {}
        }
    }
}

async fn tell(records: Arc<Records>, question: u64, ask: Ask, out: mpsc::Sender<Observed>) -> u64 {
    let lines = {
        let pairs = ask.filters.iter().map(|it| (it.key.as_str(), it.value.as_str()));
        export::Request::new(pairs, ask.follow, ask.last.map(|it| it as usize))
    };
    let scope = ask.scope.map_or(model::Scope::All, |it| model::Scope::of(it.namespaces));
    let lines = lines.and_then(|request| request.within(scope).lines(&records));
    let error = match lines {
        Ok(mut lines) => {
            while let Some(chunk) = lines.next().await {
                let lines = Lines { question, lines: chunk.lines.into(), lost: chunk.lost };
                if out.send(Observed { kind: Some(Kind::Lines(lines)) }).await.is_err() {
                    return question;
                }
            }
            String::new()
        }
        Err(error) => error,
    };
    let _ = out.send(end(question, error)).await;
    question
}

fn end(question: u64, error: String) -> Observed {
    Observed { kind: Some(Kind::End(End { question, error })) }
}
