//! One agent's stream of answers.

use std::sync::Arc;
use std::time::Duration;

use proto::telemetry::observed::Kind;
use proto::telemetry::{Observed, Question};
use tokio::sync::mpsc::Sender;
use tonic::{Status, Streaming};

use super::{Event, Observers};
use crate::ingest::introduced;

const GREETING: Duration = Duration::from_secs(10);

type Out = Sender<Result<Question, Status>>;

/// Until the agent goes, or `cancelled`.
pub async fn run(
    observers: Arc<Observers>,
    proven: Option<String>,
    answers: Streaming<Observed>,
    out: Out,
    cancelled: impl Future<Output = ()>,
) {
    let served = serve(&observers, proven, answers, &out);
    let ended = tokio::select! {
        ended = served => ended,
        () = cancelled => Err(Status::unavailable("the hub stops")),
    };
    if let Err(status) = ended {
        // The agent may not be reading any more.
        let _ = tokio::time::timeout(Duration::from_secs(1), out.send(Err(status))).await;
    }
}

/// An agent that can be asked for as long as this lives.
struct Present<'a>(&'a Observers, u64);

impl Drop for Present<'_> {
    fn drop(&mut self) {
        self.0.leave(self.1);
    }
}

async fn serve(
    observers: &Observers,
    proven: Option<String>,
    mut answers: Streaming<Observed>,
    out: &Out,
) -> Result<(), Status> {
    let first = tokio::time::timeout(GREETING, answers.message()).await;
    let first = first.map_err(|_| Status::invalid_argument("no message came"))??;
    let introduction = match first.and_then(|it| it.kind) {
        Some(Kind::Introduction(it)) => Some(it),
        _ => None,
    };
    let node: Arc<str> = introduced(proven, introduction)?.node.into();
    let (id, mut questions) = observers.join(node.clone());
    let _present = Present(observers, id);
    loop {
        tokio::select! {
            answer = answers.message() => match answer?.map(|it| it.kind) {
                Some(Some(Kind::Lines(it))) => {
                    let event = Event::Lines { node: node.clone(), lines: it.lines, lost: it.lost };
                    observers.hand_on(it.question, event);
                }
                Some(Some(Kind::End(it))) => {
                    let event = Event::End { node: node.clone(), error: it.error };
                    observers.hand_on(it.question, event);
                }
                // Of a newer agent, or a second introduction.
                Some(_) => {}
                None => return Ok(()),
            },
            question = questions.recv() => {
                let Some(question) = question else { return Ok(()) };
                if out.send(Ok(question)).await.is_err() {
                    return Ok(());
                }
            }
            () = out.closed() => return Ok(()),
        }
    }
}
