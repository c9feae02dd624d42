//! With a hub: one stream to one of its replicas, which tells this node's pods, and whose an address is that
//! records met: a pod's, a service's, a node's.
//!
//! Replicas are tried in turn, beginning anywhere. What was applied completely has a number, with which the next
//! stream goes on; see [`place`].

mod place;
mod stream;
mod witness;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use daemon::tls;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::connection::Connector;
use super::error::{Error, Peer};
use super::feed::{Closed, Feed};
use super::pause::Pause;
use super::{State, Wanted};
use crate::config::Metadata;
use crate::report::Reporter;
use place::Place;
use stream::End;

/// A stream that told all and lasted so long is followed by the next one at once.
const LASTED: Duration = Duration::from_secs(10);

/// What a stop waits for: the last rows to be taken, and to leave the process.
const LAST: Duration = Duration::from_secs(1);
const FLIGHT: Duration = Duration::from_millis(100);

/// Until cancelled.
pub async fn follow(
    node: Arc<str>,
    config: Metadata,
    feed: Feed,
    wanted: Arc<Wanted>,
    reporter: Option<Arc<Reporter>>,
    cancel: CancellationToken,
) {
    let mut follower = Follower {
        node,
        config,
        feed,
        wanted,
        reporter,
        place: Place::default(),
        pause: Pause::default(),
        streams: 0,
    };
    let spool = follower.reporter.as_ref().map(|it| it.spool.clone());
    let stopped = async {
        cancel.cancelled().await;
        // The interval in which a stop falls is told, too.
        if let Some(spool) = spool {
            let _ = tokio::time::timeout(LAST, spool.told()).await;
            sleep(FLIGHT).await;
        }
    };
    tokio::select! {
        () = stopped => {}
        _ = follower.run() => {}
    }
}

struct Follower {
    node: Arc<str>,
    config: Metadata,
    feed: Feed,
    wanted: Arc<Wanted>,
    /// Reports on the same connection.
    reporter: Option<Arc<Reporter>>,
    place: Place,
    pause: Pause,
    streams: u64,
}

/// How one try of all replicas went.
enum Round {
    /// One of them told all; then it ended.
    Served { hub: usize, address: SocketAddr, since: Instant, error: Error },
    /// None did; the last error.
    Failed(Error),
}

impl Follower {
    async fn run(&mut self) -> Result<Infallible, Closed> {
        let connector = loop {
            match Connector::new(&self.config, &[tls::HTTP2], &self.feed.link) {
                Ok(connector) => break connector,
                Err(error) => {
                    self.feed.lost(error.to_string()).await?;
                    sleep(self.pause.next(error.remedy())).await;
                }
            }
        };
        let mut first = fastrand::usize(..self.config.hubs.len().max(1));
        let mut last = None;
        loop {
            match self.round(&connector, first, last).await? {
                Round::Served { hub, address, since, error } => {
                    (first, last) = (hub + 1, Some(address));
                    if since.elapsed() >= LASTED {
                        self.pause.reset();
                    } else {
                        sleep(self.pause.next(error.remedy())).await;
                    }
                }
                Round::Failed(error) => {
                    self.feed.lost(error.to_string()).await?;
                    sleep(self.pause.next(error.remedy())).await;
                }
            }
        }
    }

    /// Tries each address of each hub until one has told all. `last`: served before, and tried only after the others
    /// of its name.
    async fn round(
        &mut self,
        connector: &Connector,
        first: usize,
        last: Option<SocketAddr>,
    ) -> Result<Round, Closed> {
        let hubs = self.config.hubs.clone();
        let mut failed = None;
        for offset in 0..hubs.len() {
            let hub = (first + offset) % hubs.len();
            let mut addresses = match connector.addresses(&hubs[hub]).await {
                Ok(addresses) => addresses,
                Err(error) => {
                    failed = Some(error);
                    continue;
                }
            };
            addresses.sort_by_key(|address| Some(*address) == last);
            for address in addresses {
                let peer = Peer { server: hubs[hub].clone(), address };
                let End { synced, again, error } = self.stream(connector, &peer).await?;
                tracing::debug!(%error, "a hub's stream ended");
                self.feed.link.change(|facts| {
                    facts.peer.clear();
                    if facts.state != State::Stale {
                        facts.state = State::Connecting;
                    }
                });
                if let Some(again) = again {
                    sleep_until(again).await;
                }
                match synced {
                    Some(since) => return Ok(Round::Served { hub, address, since, error }),
                    None => failed = Some(error),
                }
            }
        }
        let nowhere = || Error::Name {
            server: hubs[first % hubs.len()].clone(),
            reason: "there is none".to_owned(),
        };
        Ok(Round::Failed(failed.unwrap_or_else(nowhere)))
    }
}
