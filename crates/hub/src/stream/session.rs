//! One agent's stream from its greeting to its end.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::ready;
use futures_util::stream::{self, Stream, StreamExt, TryStreamExt};
use proto::wire::to_agent::Kind as Said;
use proto::wire::to_hub::Kind as Asking;
use proto::wire::{Drain, ToAgent, ToHub};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tonic::{Status, Streaming};

use super::{Agents, Refusal, STREAMS_OF_NODE};
use crate::inventory::{Hello, Member, Outgoing};

/// How long the greeting may take.
const GREETING: Duration = Duration::from_secs(10);
/// Agents that come back after a drain are spread over so much time for each of them, and over this at least.
const SPREAD_OF_ONE: Duration = Duration::from_millis(1);
const SPREAD: Duration = Duration::from_millis(500);

/// What one agent is told, made as its connection takes it. `proven` is the node that the agent is on; `None` where it may
/// say so itself.
pub fn tell(
    agents: Arc<Agents>,
    proven: Option<String>,
    asks: Streaming<ToHub>,
) -> impl Stream<Item = Result<ToAgent, Status>> + Send + 'static {
    agents.counters.streams.fetch_add(1, Ordering::Relaxed);
    let cancelled = agents.cancel.clone().cancelled_owned();
    // Boxed: it takes more than all that follows, and only once.
    let begins = stream::once(Box::pin(Session::begin(agents.clone(), proven, asks)));
    let told = begins.map_ok(|session| stream::try_unfold(Box::new(session), Session::told));
    let told = told.try_flatten();
    let last = async move { agents.cancel.is_cancelled().then(|| Ok(drain(&agents))) };
    told.take_until(cancelled).chain(stream::once(last).filter_map(ready))
}

fn drain(agents: &Agents) -> ToAgent {
    let all = u32::try_from(agents.inventory.totals().agents).unwrap_or(u32::MAX);
    let spread = SPREAD.max(SPREAD_OF_ONE.saturating_mul(all));
    let reconnect_after_ms = fastrand::u64(0..=spread.as_millis() as u64);
    ToAgent { kind: Some(Said::Drain(Drain { reconnect_after_ms })) }
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

/// The agent's turn to be told everything, once the hub knows everything.
async fn turn(agents: &Agents) -> Result<OwnedSemaphorePermit, Status> {
    let _waits = Waits::new(&agents.counters.waiting);
    agents.inventory.completed().await;
    let permit = agents.syncs.clone().acquire_owned().await;
    permit.map_err(|_| Status::unavailable("the hub stops"))
}

/// Counts one who waits, until it is dropped.
struct Waits<'a>(&'a AtomicU64);

impl<'a> Waits<'a> {
    fn new(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Session {
    agents: Arc<Agents>,
    asks: Streaming<ToHub>,
    member: Member,
    /// Held until the agent knows everything.
    permit: Option<OwnedSemaphorePermit>,
    /// A stop waits for it.
    _token: TaskTrackerToken,
}

impl Session {
    async fn begin(
        agents: Arc<Agents>,
        proven: Option<String>,
        mut asks: Streaming<ToHub>,
    ) -> Result<Self, Status> {
        let token = agents.streams.token();
        let hello = greeting(&agents, proven, &mut asks).await?;
        let node = hello.node.clone();
        admit(&agents, &node)?;
        let permit = Some(turn(&agents).await?);
        let member = Member::join(&agents.inventory, hello, agents.limits.max_addresses);
        tracing::debug!(node, "an agent came");
        Ok(Self { agents, asks, member, permit, _token: token })
    }

    /// The next message; `None`: the agent has said that it is done.
    async fn told(mut self: Box<Self>) -> Result<Option<(ToAgent, Box<Self>)>, Status> {
        // The connection writes what was said before: it keeps a place for each frame that ever waited with it.
        tokio::task::yield_now().await;
        loop {
            tokio::select! {
                // What the agent no longer wants is not sent.
                biased;
                asked = self.asks.message() => match asked? {
                    Some(asked) => self.hear(asked)?,
                    None => return Ok(None),
                },
                outgoing = self.member.next() => return Ok(Some((self.say(outgoing), self))),
            }
        }
    }

    fn say(&mut self, outgoing: Outgoing) -> ToAgent {
        self.permit.take_if(|_| outgoing.batch.synced);
        if let Some(since) = outgoing.since {
            self.agents.counters.lag.add(since.elapsed());
        }
        ToAgent { kind: Some(Said::Batch(outgoing.batch)) }
    }

    fn hear(&mut self, asked: ToHub) -> Result<(), Status> {
        match asked.kind {
            Some(Asking::Interest(interest)) => {
                self.member.forget(addresses(&self.agents, &interest.drop).into_iter());
                self.member.want(addresses(&self.agents, &interest.add).into_iter());
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

impl Drop for Session {
    fn drop(&mut self) {
        tracing::debug!(node = &**self.member.node(), "an agent went");
    }
}
