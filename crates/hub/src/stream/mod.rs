//! The stream that each agent holds.

mod identity;
mod listener;
mod session;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proto::wire::{ToAgent, ToHub};
use tokio::sync::Semaphore;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};

use crate::Inventory;
use crate::config;

pub use identity::Reviewer;
pub use listener::listen;

use identity::Identify;

/// How long a stop waits for agents to take the last message.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Streams of one node at once: one that is not known to be dead yet, and those that follow it.
const STREAMS_OF_NODE: usize = 4;

/// Serves agents.
pub struct Agents {
    inventory: Arc<Inventory>,
    limits: config::Inventory,
    identify: Identify,
    /// Names of this hub's replicas.
    replicas: Vec<String>,
    syncs: Arc<Semaphore>,
    cancel: CancellationToken,
    sessions: TaskTracker,
    /// Those of [`session::tell`]: made as agents take what they are told, so that a stop waits for them only so long.
    streams: TaskTracker,
    pub counters: Counters,
}

#[derive(Debug, Default)]
pub struct Counters {
    pub streams: AtomicU64,
    /// Streams by why they were refused.
    pub refused: [AtomicU64; Refusal::ALL.len()],
    /// Messages of agents that could not be understood.
    pub malformed: AtomicU64,
    /// Agents that wait for their turn to be told everything.
    pub waiting: AtomicU64,
    /// From a change to when it was handed to the agent's connection: seconds.
    pub lag: Lag,
    pub handshake_failures: AtomicU64,
    pub bytes_sent: Arc<AtomicU64>,
}

/// Bounds in microseconds.
const LAG_BOUNDS_US: [u64; 10] =
    [100, 250, 1_000, 2_500, 10_000, 25_000, 100_000, 250_000, 1_000_000, 10_000_000];

#[derive(Debug, Default)]
pub struct Lag {
    counts: [AtomicU64; LAG_BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Lag {
    fn add(&self, lag: Duration) {
        let us = u64::try_from(lag.as_micros()).unwrap_or(u64::MAX);
        let bucket = LAG_BOUNDS_US.partition_point(|bound| *bound < us);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    pub fn distribution(&self) -> daemon::metrics::Distribution {
        let counts: Vec<u64> = self.counts.iter().map(|it| it.load(Ordering::Relaxed)).collect();
        let bounds = LAG_BOUNDS_US.iter().map(|us| *us as f64 / 1e6).chain([f64::INFINITY]);
        daemon::metrics::Distribution {
            sum: self.sum_us.load(Ordering::Relaxed) as f64 / 1e6,
            count: counts.iter().sum(),
            buckets: bounds.zip(counts).collect(),
        }
    }
}

/// Why an agent is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It does not prove which node it is on.
    Unproven,
    /// It says that it is on another node than it proves.
    OtherNode,
    /// Its first message is no greeting, or does not come.
    NoHello,
    TooManyAgents,
    TooManyOfNode,
}

impl Refusal {
    pub const ALL: [Self; 5] =
        [Self::Unproven, Self::OtherNode, Self::NoHello, Self::TooManyAgents, Self::TooManyOfNode];

    /// As the value of a metric's label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unproven => "unproven",
            Self::OtherNode => "other_node",
            Self::NoHello => "no_hello",
            Self::TooManyAgents => "too_many_agents",
            Self::TooManyOfNode => "too_many_of_node",
        }
    }
}

impl Agents {
    pub fn new(
        inventory: Arc<Inventory>,
        limits: config::Inventory,
        reviewer: Option<Reviewer>,
        replicas: Vec<String>,
        cancel: CancellationToken,
    ) -> Arc<Self> {
        let by_certificate = limits.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        let identify = Identify { by_certificate, reviewer };
        let syncs = Arc::new(Semaphore::new(limits.syncs));
        Arc::new(Self {
            inventory,
            limits,
            identify,
            replicas,
            syncs,
            cancel,
            sessions: TaskTracker::new(),
            streams: TaskTracker::new(),
            counters: Counters::default(),
        })
    }

    /// The node on which an agent proves to be; see [`Identify::node`].
    pub(crate) async fn prove<T>(&self, request: &Request<T>) -> Result<Option<String>, Status> {
        let proven = self.identify.node(request, &self.inventory).await;
        proven.map_err(|status| self.refuse(Refusal::Unproven, status))
    }

    /// # Errors
    /// Who asks does not prove to be another replica of this hub.
    pub(crate) fn prove_replica<T>(&self, request: &Request<T>) -> Result<(), Status> {
        // Where nothing is to be proven only this host can connect, or the configuration says so.
        let open = !self.identify.by_certificate && self.identify.reviewer.is_none();
        let peer = request.extensions().get::<Peer>();
        match open || peer.is_some_and(|it| it.is_replica) {
            true => Ok(()),
            false => Err(Status::permission_denied(
                "no certificate for a name in hub.peers: give inventory.client_ca here, and there inventory.certificate \
                 with that name, also for client authentication",
            )),
        }
    }

    /// Runs a session: a stop waits for its end.
    pub(crate) fn track(&self, session: impl Future<Output = ()> + Send + 'static) {
        self.sessions.spawn(session);
    }

    /// Returns when sessions are to end.
    pub(crate) fn cancelled(&self) -> impl Future<Output = ()> + Send + 'static {
        self.cancel.clone().cancelled_owned()
    }

    pub(crate) fn max_agents(&self) -> usize {
        self.limits.max_agents
    }

    /// Returns when the last session has ended.
    pub async fn drained(&self) {
        self.sessions.close();
        self.streams.close();
        self.sessions.wait().await;
        // An agent may not be reading any more.
        let _ = tokio::time::timeout(LAST_WORDS, self.streams.wait()).await;
    }

    fn refuse(&self, refusal: Refusal, status: Status) -> Status {
        self.counters.refused[refusal as usize].fetch_add(1, Ordering::Relaxed);
        tracing::info!(reason = status.message(), "refused an agent");
        status
    }
}

/// What is known of the other end of a connection.
#[derive(Clone, Debug)]
struct Peer {
    /// The node that the client's certificate names.
    node: Option<String>,
    /// It is for a name of this hub's replicas.
    is_replica: bool,
}

/// The gRPC service.
#[derive(Clone)]
pub struct Service(pub Arc<Agents>);

#[tonic::async_trait]
impl proto::Inventory for Service {
    type FollowStream = Pin<Box<dyn Stream<Item = Result<ToAgent, Status>> + Send>>;

    async fn follow(
        &self,
        request: Request<Streaming<ToHub>>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        let Self(agents) = self;
        let proven = agents.prove(&request).await?;
        // The greeting comes after the headers of the answer: an agent may wait for them first.
        let told = session::tell(agents.clone(), proven, request.into_inner());
        Ok(Response::new(Box::pin(told)))
    }
}
