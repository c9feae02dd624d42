//! One agent's stream from its greeting to its end.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use proto::wire::to_agent::Kind as Said;
use proto::wire::to_hub::Kind as Asking;
use proto::wire::{Drain, ToAgent, ToHub};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::Sender;
use tonic::{Status, Streaming};

use super::{Agents, Refusal, STREAMS_OF_NODE, Telling};
use crate::inventory::{Hello, Member, Outgoing};

/// How long the greeting may take.
const GREETING: Duration = Duration::from_secs(10);
/// Agents that come back after a drain are spread over so much time for each of them, and over this at least.
const SPREAD_OF_ONE: Duration = Duration::from_millis(1);
const SPREAD: Duration = Duration::from_millis(500);

type Out = Sender<Telling>;

/// `proven` is the node that the agent is on; `None` where it may say so itself.
pub async fn run(agents: Arc<Agents>, proven: Option<String>, asks: Streaming<ToHub>, out: Out) {
    agents.counters.streams.fetch_add(1, Ordering::Relaxed);
    let served = serve(&agents, proven, asks, &out);
    let cancelled = agents.cancel.clone();
    let status = tokio::select! {
        ended = served => match ended {
            Ok(()) => return,
            Err(status) => Err(status),
        },
        () = cancelled.cancelled() => Ok(drain(&agents)),
    };
    // The agent may not be reading any more.
    let _ = tokio::time::timeout(Duration::from_secs(1), out.send(Box::new(status))).await;
}

fn drain(agents: &Agents) -> ToAgent {
    let all = u32::try_from(agents.inventory.totals().agents).unwrap_or(u32::MAX);
    let spread = SPREAD.max(SPREAD_OF_ONE.saturating_mul(all));
    let reconnect_after_ms = fastrand::u64(0..=spread.as_millis() as u64);
    ToAgent { kind: Some(Said::Drain(Drain { reconnect_after_ms })) }
}

async fn serve(
    agents: &Arc<Agents>,
    proven: Option<String>,
    mut asks: Streaming<ToHub>,
    out: &Out,
) -> Result<(), Status> {
    let hello = greeting(agents, proven, &mut asks).await?;
    let node = hello.node.clone();
    admit(agents, &node)?;
    let Some(permit) = turn(agents, out).await else { return Ok(()) };
    let member = Member::join(&agents.inventory, hello, agents.limits.max_addresses);
    tracing::debug!(node, "an agent came");
    let ended = Session { agents, member, permit: Some(permit) }.run(&mut asks, out).await;
    tracing::debug!(node, "an agent went");
    ended
}

async fn greeting(
    agents: &Agents,
    proven: Option<String>,
    asks: &mut Streaming<ToHub>,
) -> Result<Hello, Status> {
    let none = |why: &str| {
        let text = format!("{why}: the first message must be a Hello with the node's name");
        agents.refuse(Refusal::NoHello, Status::invalid_argument(text))
    };
    let first = tokio::time::timeout(GREETING, asks.message()).await;
    let first = first.map_err(|_| none("no message came"))??;
    let Some(Asking::Hello(hello)) = first.and_then(|it| it.kind) else {
        return Err(none("this is no greeting"));
    };
    let valid = |it: &str| !it.is_empty() && it.len() <= 253;
    if !valid(&hello.node) {
        return Err(none("the node has no name, or one of more than 253 bytes"));
    }
    if let Some(proven) = proven.filter(|proven| *proven != hello.node) {
        let text = format!(
            "the agent says that it is on node {:?}, but its certificate or token is of {proven:?}",
            hello.node
        );
        return Err(agents.refuse(Refusal::OtherNode, Status::permission_denied(text)));
    }
    Ok(Hello {
        node: hello.node,
        epoch: hello.epoch,
        sequence: hello.sequence,
        answered: addresses(agents, &hello.answered),
        wanted: addresses(agents, &hello.wanted),
        unpacks: hello.unpacks,
    })
}

fn addresses(agents: &Agents, all: &[Bytes]) -> Vec<IpAddr> {
    let read = all.iter().filter_map(|bytes| proto::ip(bytes).ok());
    let read: Vec<IpAddr> = read.collect();
    agents.counters.malformed.fetch_add((all.len() - read.len()) as u64, Ordering::Relaxed);
    read
}

fn admit(agents: &Agents, node: &str) -> Result<(), Status> {
    let all = agents.inventory.totals().agents;
    if all >= agents.limits.max_agents {
        let text = format!("{all} agents are connected already (inventory.max_agents)");
        let status = Status::resource_exhausted(text);
        return Err(agents.refuse(Refusal::TooManyAgents, status));
    }
    if agents.inventory.agents_of(node) >= STREAMS_OF_NODE {
        let text = format!("node {node:?} has {STREAMS_OF_NODE} streams already");
        return Err(agents.refuse(Refusal::TooManyOfNode, Status::resource_exhausted(text)));
    }
    Ok(())
}

/// The agent's turn to be told everything, once the hub knows everything; `None` if the agent has gone.
async fn turn(agents: &Agents, out: &Out) -> Option<OwnedSemaphorePermit> {
    agents.counters.waiting.fetch_add(1, Ordering::Relaxed);
    let turn = async {
        agents.inventory.completed().await;
        agents.syncs.clone().acquire_owned().await.ok()
    };
    let permit = tokio::select! {
        permit = turn => permit,
        () = out.closed() => None,
    };
    agents.counters.waiting.fetch_sub(1, Ordering::Relaxed);
    permit
}

struct Session<'a> {
    agents: &'a Agents,
    member: Member,
    /// Held until the agent knows everything.
    permit: Option<OwnedSemaphorePermit>,
}

impl Session<'_> {
    async fn run(&mut self, asks: &mut Streaming<ToHub>, out: &Out) -> Result<(), Status> {
        let mut next: Option<Outgoing> = None;
        loop {
            if next.is_none() {
                next = self.member.outgoing();
            }
            tokio::select! {
                // What the agent no longer wants is not sent.
                biased;
                asked = asks.message() => match asked? {
                    Some(asked) => self.hear(asked)?,
                    None => return Ok(()),
                },
                place = out.reserve(), if next.is_some() => {
                    let (Ok(place), Some(outgoing)) = (place, next.take()) else { return Ok(()) };
                    self.permit.take_if(|_| outgoing.batch.synced);
                    if let Some(since) = outgoing.since {
                        self.agents.counters.lag.add(since.elapsed());
                    }
                    let told = ToAgent { kind: Some(Said::Batch(outgoing.batch)) };
                    place.send(Box::new(Ok(told)));
                }
                () = self.member.news(), if next.is_none() => {}
                () = out.closed() => return Ok(()),
            }
        }
    }

    fn hear(&mut self, asked: ToHub) -> Result<(), Status> {
        match asked.kind {
            Some(Asking::Interest(interest)) => {
                self.member.forget(addresses(self.agents, &interest.drop).into_iter());
                self.member.want(addresses(self.agents, &interest.add).into_iter());
                Ok(())
            }
            Some(Asking::Hello(_)) => Err(Status::invalid_argument("a second Hello")),
            // Of a newer agent.
            None => {
                self.agents.counters.malformed.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
        }
    }
}
