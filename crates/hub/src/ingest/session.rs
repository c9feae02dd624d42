//! One agent's stream of batches, from its introduction to its end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::Timestamp;
use proto::telemetry::report::Kind;
use proto::telemetry::{Ack, Introduction, Report};
use tokio::sync::mpsc::Sender;
use tonic::{Status, Streaming};

use super::{Ingest, Kept, Program, Service, Taken, Understood};
use crate::store::Position;

/// How long the introduction may take.
const GREETING: Duration = Duration::from_secs(10);
/// Streams of one node at once: one that is not known to be dead yet, and those that follow it.
const STREAMS_OF_NODE: usize = 4;
/// Programs of which one agent may tell, and bytes of each text.
const MOST_PROGRAMS: usize = 256;
const MOST_TEXT_BYTES: usize = 1024;

type Out = Sender<Result<Ack, Status>>;

/// `proven` is the node that the agent is on; `None` where it may say so itself.
pub async fn run(service: Service, proven: Option<String>, reports: Streaming<Report>, out: Out) {
    let cancelled = service.agents.cancelled();
    let served = serve(&service, proven, reports, &out);
    let ended = tokio::select! {
        ended = served => ended,
        () = cancelled => Err(Status::unavailable("the hub stops")),
    };
    if let Err(status) = ended {
        tracing::debug!(reason = status.message(), "an agent's reports ended");
        // The agent may not be reading any more.
        let _ = tokio::time::timeout(Duration::from_secs(1), out.send(Err(status))).await;
    }
}

async fn serve(
    service: &Service,
    proven: Option<String>,
    mut reports: Streaming<Report>,
    out: &Out,
) -> Result<(), Status> {
    let ingest = &service.ingest;
    let refuse = |status: Status| {
        ingest.counters.refused.fetch_add(1, Ordering::Relaxed);
        status
    };
    let introduction = introduction(proven, &mut reports).await.map_err(refuse)?;
    // Before anything is taken: what another replica has taken must not count twice.
    if let Some(it) = service.replicas.hand_over(&introduction).await {
        let node: Arc<str> = introduction.node.as_str().into();
        let position = Position { node: node.clone(), life: it.life, sequence: it.sequence };
        ingest.open().nodes.adopt(&node, &position, it.until_s);
    }
    let presence = Presence::new(ingest, introduction, service.agents.max_agents());
    let presence = presence.map_err(refuse)?;
    Session {
        ingest,
        presence: &presence,
        understood: Understood::default(),
        generation: ingest.catalogue.generation(),
        acked: 0,
    }
    .run(&mut reports, out)
    .await
}

async fn introduction(
    proven: Option<String>,
    reports: &mut Streaming<Report>,
) -> Result<Introduction, Status> {
    let first = tokio::time::timeout(GREETING, reports.message()).await;
    let first = first.map_err(|_| unknown("no message came"))??;
    match first.and_then(|it| it.kind) {
        Some(Kind::Introduction(it)) => introduced(proven, Some(it)),
        _ => introduced(proven, None),
    }
}

/// Nobody is served whose name is not known.
fn unknown(why: &str) -> Status {
    Status::invalid_argument(format!(
        "{why}: the first message must be an Introduction with the node's name"
    ))
}

/// The introduction, if it is one of the node that the agent proves to be.
pub(crate) fn introduced(
    proven: Option<String>,
    introduction: Option<Introduction>,
) -> Result<Introduction, Status> {
    let it = introduction.ok_or_else(|| unknown("this is none"))?;
    if it.node.is_empty() || it.node.len() > 253 || it.life == 0 {
        return Err(unknown("the node has no name, or one of more than 253 bytes, or no life"));
    }
    match proven.filter(|proven| *proven != it.node) {
        Some(proven) => Err(Status::permission_denied(format!(
            "the agent says that it is on node {:?}, but its certificate or token is of {proven:?}",
            it.node
        ))),
        None => Ok(it),
    }
}

/// A node that reports for as long as this lives.
struct Presence<'a> {
    ingest: &'a Ingest,
    node: Arc<str>,
    life: u64,
    given: u64,
}

impl<'a> Presence<'a> {
    fn new(ingest: &'a Ingest, it: Introduction, max_agents: usize) -> Result<Self, Status> {
        let mut open = ingest.open();
        if open.nodes.streams(&it.node) >= STREAMS_OF_NODE {
            let text = format!("node {:?} has {STREAMS_OF_NODE} streams already", it.node);
            return Err(Status::resource_exhausted(text));
        }
        if open.nodes.all_streams() >= max_agents {
            let text = format!("{max_agents} agents report already (inventory.max_agents)");
            return Err(Status::resource_exhausted(text));
        }
        let node: Arc<str> = it.node.into();
        let version = it.agent_version.chars().take(64).collect();
        let lost = open.nodes.join(&node, version, it.life);
        open.losses.extend(lost);
        let given = open.nodes.given(&node);
        Ok(Self { ingest, node, life: it.life, given })
    }
}

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        self.ingest.open().nodes.leave(&self.node);
    }
}

struct Session<'a> {
    ingest: &'a Ingest,
    presence: &'a Presence<'a>,
    understood: Understood,
    /// Of the numbers in it.
    generation: u64,
    acked: u64,
}

impl Session<'_> {
    async fn run(&mut self, reports: &mut Streaming<Report>, out: &Out) -> Result<(), Status> {
        let mut flushes = self.ingest.flushes();
        // What was stored in a stream before: it need not be sent again.
        self.acked = self.ingest.stored(&self.presence.node, self.presence.life);
        let mut ack = Some(self.acked);
        loop {
            let room = !self.ingest.is_full();
            tokio::select! {
                report = reports.message(), if room => match report? {
                    Some(report) => self.hear(report)?,
                    None => return Ok(()),
                },
                place = out.reserve(), if ack.is_some() => {
                    let (Ok(place), Some(sequence)) = (place, ack.take()) else { return Ok(()) };
                    place.send(Ok(Ack { sequence }));
                }
                _ = flushes.changed() => {
                    let stored = self.ingest.stored(&self.presence.node, self.presence.life);
                    if stored > self.acked {
                        self.acked = stored;
                        ack = Some(stored);
                    }
                }
                () = out.closed() => return Ok(()),
            }
        }
    }

    fn hear(&mut self, report: Report) -> Result<(), Status> {
        match report.kind {
            Some(Kind::Batch(batch)) => self.batch(batch),
            Some(Kind::Health(health)) => {
                let text = |text: String| text.chars().take(MOST_TEXT_BYTES).collect();
                let programs = health.programs.into_iter().take(MOST_PROGRAMS);
                let programs = programs.map(|it| Program {
                    probe: text(it.probe),
                    program: text(it.program),
                    state: text(it.state),
                    reason: text(it.reason),
                });
                let programs = programs.collect();
                self.ingest.open().nodes.health(&self.presence.node, programs, health.lost);
                Ok(())
            }
            Some(Kind::Kept(it)) => {
                let records = Kept { kept: it.records, most: it.most, seen: it.seen };
                self.ingest.open().nodes.keep(&self.presence.node, records);
                Ok(())
            }
            Some(Kind::Introduction(_)) => Err(Status::invalid_argument("a second Introduction")),
            // Of a newer agent.
            None => {
                self.ingest.counters.malformed.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    fn batch(&mut self, it: proto::telemetry::Batch) -> Result<(), Status> {
        let sequence = it.sequence;
        let node = &self.presence.node;
        if self.ingest.catalogue.generation() != self.generation {
            return Err(Status::unavailable("edges were forgotten; begin anew"));
        }
        let mut batch =
            self.understood.batch(&self.ingest.catalogue, node, it).map_err(|error| {
                self.ingest.counters.malformed.fetch_add(1, Ordering::Relaxed);
                Status::invalid_argument(format!("batch {sequence}: {error}"))
            })?;
        let now_s = Timestamp::now().0 / 1_000_000_000;
        batch.given = self.presence.given;
        match self.ingest.take(node, self.presence.life, batch, now_s) {
            Taken::Given => Err(Status::aborted("the agent reports to another replica")),
            Taken::New | Taken::Duplicate => Ok(()),
        }
    }
}
