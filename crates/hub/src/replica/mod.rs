//! The other replicas of this hub: each holds what its agents told it, and an answer is made of all.
//!
//! Who is asked by somebody asks the others the same ([`Replicas::gather`]), each for a bounded time; what does not answer is
//! named in the answer as missing. [`service`] is the other side of that.

mod ask;
mod node;
mod peer;
mod service;
mod told;
mod translate;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use daemon::tls;
use futures_util::future::join_all;
use model::Timestamp;
use proto::replica::What;
use reflector::Resolver;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::config;
use crate::ingest::{Ingest, Node};
use crate::store::{Level, Loss, PerLevel};
use peer::{Peer, Replica};

use node::merged;
pub use service::Service;
use told::follow;

/// Replicas at most: each is asked by each.
const MOST: usize = 32;
/// How often names are looked up, and what has no answer is asked again.
const LOOK_UP: Duration = Duration::from_secs(5);
/// How long an answer may take that is made of history, and one that is at hand.
pub const HISTORY: Duration = Duration::from_secs(5);
pub const AT_HAND: Duration = Duration::from_secs(1);
/// How long one that has left is named where its time is asked for.
const REMEMBERED: Duration = Duration::from_secs(3600);
pub const UNREACHABLE: &str = "replica_unreachable";

/// What all who answer say, and which do not.
#[derive(Debug)]
pub struct Gathered<T> {
    pub answers: Vec<T>,
    pub missing: Vec<Arc<str>>,
}

impl<T> Default for Gathered<T> {
    fn default() -> Self {
        Self { answers: Vec::new(), missing: Vec::new() }
    }
}

impl<T> Gathered<T> {
    /// As what is missing of an answer.
    pub fn losses(&self) -> Vec<Loss> {
        let loss = |name: &Arc<str>| Loss {
            node: name.clone(),
            reason: UNREACHABLE.into(),
            rows: 0,
            since_s: 0,
            until_s: 0,
        };
        self.missing.iter().map(loss).collect()
    }
}

/// What is known of each at one moment.
pub struct Fact {
    pub name: Arc<str>,
    /// Why it cannot be asked; empty: it can.
    pub error: String,
}

pub struct Replicas {
    /// Of this process: an address may be our own.
    id: u64,
    name: String,
    hosts: Vec<config::Peer>,
    tls: Option<tls::Client>,
    /// All use one store: what one has, all have.
    shared: bool,
    resolver: Resolver,
    known: Mutex<Known>,
    pub counters: Counters,
}

#[derive(Debug, Default)]
pub struct Counters {
    pub asked: AtomicU64,
    /// Answers that did not come, or too late.
    pub unanswered: AtomicU64,
    /// Agents that came while a replica could not be asked how far it had heard them: what it stored may count twice.
    pub unsure: AtomicU64,
}

#[derive(Default)]
struct Known {
    peers: BTreeMap<SocketAddr, Arc<Peer>>,
    /// By name, since when: seconds since 1970.
    gone: BTreeMap<Arc<str>, u64>,
}

impl Replicas {
    /// # Errors
    /// A file cannot be used.
    pub fn new(config: &crate::Config) -> Result<Arc<Self>, tls::Error> {
        let files = config.inventory.tls.as_ref().filter(|_| config.peers.iter().any(|it| it.tls));
        let client = files.and_then(|it| {
            let own = tls::Files { certificate: it.certificate.clone(), key: it.key.clone() };
            let authority = it.client_ca.clone()?;
            Some(tls::Client::new(authority, Some(own), &[tls::HTTP2]))
        });
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let name = format!("{}:{}", host.trim(), config.inventory.listen.port());
        Ok(Arc::new(Self {
            id: fastrand::u64(1..),
            name,
            hosts: config.peers.clone(),
            tls: client.transpose()?,
            shared: config.history.clickhouse.is_some(),
            resolver: Resolver::default(),
            known: Mutex::default(),
            counters: Counters::default(),
        }))
    }

    pub fn are_none(&self) -> bool {
        self.hosts.is_empty()
    }

    /// Whether others have history that is not here.
    pub fn have_history(&self) -> bool {
        !self.shared && !self.are_none()
    }

    /// The certificates' names of those who may ask.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        self.hosts.iter().map(|it| it.host.as_str())
    }

    pub fn tls(&self) -> Option<&tls::Client> {
        self.tls.as_ref()
    }

    /// Looks for replicas, and finds out which answer, until cancelled.
    pub async fn run(self: Arc<Self>, cancel: CancellationToken) {
        loop {
            for host in &self.hosts {
                let found = match host.host.parse::<IpAddr>() {
                    Ok(ip) => Ok(vec![ip]),
                    Err(_) => self.resolver.addresses(&host.host).await,
                };
                match found {
                    Ok(ips) => self.see(host, &ips, &cancel),
                    // Whom it named before is asked on.
                    Err(error) => tracing::debug!(%host, error, "a replica's name is not known"),
                }
            }
            let wait = tokio::time::sleep(LOOK_UP);
            if cancel.run_until_cancelled(wait).await.is_none() {
                return;
            }
        }
    }

    fn see(self: &Arc<Self>, host: &config::Peer, ips: &[IpAddr], cancel: &CancellationToken) {
        let mut known = self.known();
        let known = &mut *known;
        let now_s = Timestamp::now().0 / 1_000_000_000;
        known.gone.retain(|_, since_s| *since_s + REMEMBERED.as_secs() > now_s);
        known.peers.retain(|address, peer| {
            let named = peer.host != *host || ips.contains(&address.ip());
            if !named {
                let name = peer.name().filter(|_| !peer.is_self());
                known.gone.extend(name.map(|name| (name, now_s)));
            }
            named
        });
        while known.gone.len() > MOST {
            known.gone.pop_first();
        }
        for ip in ips {
            let address = SocketAddr::new(*ip, host.port);
            if known.peers.contains_key(&address) || known.peers.len() >= MOST {
                continue;
            }
            let peer = Peer::new(host.clone(), address, self.tls.clone());
            let run = peer.clone().run(self.id, Arc::downgrade(self));
            let (cancel, gone) = (cancel.clone(), peer.gone.clone());
            tokio::spawn(async move {
                let until = gone.run_until_cancelled(run);
                cancel.run_until_cancelled(until).await;
            });
            known.peers.insert(address, peer);
        }
    }

    /// One that was gone has come back, maybe elsewhere.
    fn back(&self, name: &str) {
        self.known().gone.remove(name);
    }

    /// Those that left after this moment: what they were told before is gone with them, or comes back with them.
    fn gone_since(&self, time_s: u64) -> Vec<Arc<str>> {
        let known = self.known();
        let gone = known.gone.iter().filter(|(_, since_s)| **since_s > time_s);
        gone.map(|(name, _)| name.clone()).collect()
    }

    /// All but this one.
    fn others(&self) -> Vec<Arc<Peer>> {
        self.known().peers.values().filter(|it| !it.is_self()).cloned().collect()
    }

    /// Asks all that can be asked at the same time.
    pub async fn gather<T, F: Future<Output = Result<T, Status>>>(
        &self,
        within: Duration,
        ask: impl Fn(Replica) -> F,
    ) -> Gathered<T> {
        let others = self.others().into_iter();
        let asked: Vec<_> = others.map(|peer| (peer.replica().map(&ask), peer)).collect();
        let asked = asked.into_iter().map(|(asked, peer)| self.answer(asked, peer, within));
        let mut gathered = Gathered::default();
        for answer in join_all(asked).await {
            match answer {
                Ok(answer) => gathered.answers.push(answer),
                Err(name) => gathered.missing.push(name),
            }
        }
        gathered
    }

    /// # Errors
    /// The name of who does not answer.
    async fn answer<T>(
        &self,
        asked: Option<impl Future<Output = Result<T, Status>>>,
        peer: Arc<Peer>,
        within: Duration,
    ) -> Result<T, Arc<str>> {
        let Some(asked) = asked else { return Err(peer.shown()) };
        self.counters.asked.fetch_add(1, Ordering::Relaxed);
        let error = match tokio::time::timeout(within, asked).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(status)) => status.message().to_owned(),
            Err(_) => format!("no answer within {within:?}"),
        };
        self.counters.unanswered.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(replica = %peer.shown(), error, "a replica does not answer");
        Err(peer.shown())
    }

    /// Nodes as the others know them, and how far back they reach.
    pub async fn describe(&self, nodes: bool, programs: bool) -> Gathered<(Vec<Node>, Oldest)> {
        let ask = |mut replica: Replica| async move {
            let told = replica.describe(What { nodes, programs }).await?.into_inner();
            let mut oldest = Oldest::default();
            for (oldest, told) in oldest.iter_mut().zip(told.oldest_s) {
                *oldest = Some(told).filter(|it| *it > 0);
            }
            Ok((told.nodes.into_iter().map(node::of_wire).collect(), oldest))
        };
        self.gather(AT_HAND, ask).await
    }

    /// All nodes that any replica has heard of, and which replicas do not answer.
    pub async fn nodes(&self, own: &Ingest, programs: bool) -> (Vec<Node>, Vec<Arc<str>>) {
        if self.are_none() {
            return (own.nodes(), Vec::new());
        }
        let Gathered { answers, missing } = self.describe(true, programs).await;
        let others = answers.into_iter().map(|(nodes, _)| nodes);
        (merged([own.nodes()].into_iter().chain(others)), missing)
    }

    pub fn facts(&self) -> Vec<Fact> {
        let known = self.known();
        let others = known.peers.values().filter(|it| !it.is_self());
        let mut facts: Vec<Fact> =
            others.map(|it| Fact { name: it.shown(), error: it.error() }).collect();
        let gone = |name: &Arc<str>| Fact { name: name.clone(), error: "it has left".into() };
        facts.extend(known.gone.keys().map(gone));
        facts
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The beginning of what each level has.
pub type Oldest = PerLevel<Option<u64>>;

/// The earlier of each.
pub fn earlier(a: Oldest, b: &Oldest) -> Oldest {
    Level::ALL.map(|it| match (a[it as usize], b[it as usize]) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    })
}
