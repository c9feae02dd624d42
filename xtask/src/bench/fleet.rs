//! Agents by the thousand, as a hub sees them: each a connection and a stream of its own, that takes what it is told and
//! keeps nothing but its place. A process of its own, told what to do line by line as [`load`](super::load) is.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use proto::wire::to_agent::Kind as Telling;
use proto::wire::to_hub::Kind as Asking;
use proto::wire::{Batch, Hello, ToHub};
use proto::{InventoryClient, ip_bytes};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codec::CompressionEncoding;
use tonic::transport::Endpoint;

use super::load;
use super::reporters::{Reporters, Told};

/// Agents come back after a random part of this, as real ones do.
const PAUSE: Duration = Duration::from_millis(500);
const MOST_BYTES: usize = 64 << 20;

#[derive(Debug, Serialize, Deserialize)]
pub enum Order {
    /// Connect all at once, and stay connected. Replies when each has been told everything, or after so many seconds.
    Connect { hub: SocketAddr, agents: Vec<Agent>, seconds: f64 },
    /// Replies when each has been told everything since it last lost its stream; times are since the first loss.
    Await { seconds: f64 },
    /// What came since this was last asked.
    Count,
    /// So many agents report rows from now on.
    Report { hub: SocketAddr, agents: usize },
    /// What they did since this was last asked, when a batch has been acknowledged, or after so many seconds.
    Reported { seconds: f64 },
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Agent {
    pub node: String,
    pub wanted: Vec<IpAddr>,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    Synced(Synced),
    Told { batches: u64, items: u64 },
    Reported(Told),
    Failed(String),
}

/// Of all agents.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Synced {
    pub agents: usize,
    /// How many of them have been told everything, and after how many seconds the median and the last one were.
    pub complete: usize,
    pub median_s: f64,
    pub last_s: f64,
}

struct Fleet {
    hub: SocketAddr,
    begin: Mutex<Instant>,
    /// Seconds until each was told everything; none while it was not.
    synced: Mutex<Vec<Option<f64>>>,
    changed: Notify,
    batches: AtomicU64,
    items: AtomicU64,
}

pub fn run() -> Result<ExitCode> {
    load::raise_files();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("a runtime")?;
    let (mut fleet, mut reporters) = (None, None);
    for line in std::io::stdin().lines() {
        let order: Order = serde_json::from_str(&line.context("stdin")?).context("order")?;
        let answer = obey(&runtime, &mut fleet, &mut reporters, order)
            .unwrap_or_else(|error| Answer::Failed(format!("{error:#}")));
        let mut out = std::io::stdout().lock();
        serde_json::to_writer(&mut out, &answer).context("stdout")?;
        writeln!(out).and_then(|()| out.flush()).context("stdout")?;
    }
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}

fn obey(
    runtime: &Runtime,
    fleet: &mut Option<Arc<Fleet>>,
    reporters: &mut Option<Arc<Reporters>>,
    order: Order,
) -> Result<Answer> {
    match (order, &fleet) {
        (Order::Report { hub, agents }, _) => {
            let started = reporters.get_or_insert_with(|| Reporters::new(hub));
            for agent in 0..agents {
                runtime.spawn(started.clone().report(agent));
            }
            Ok(Answer::Reported(started.take()))
        }
        (Order::Reported { seconds }, _) => {
            let reporters = reporters.as_ref().context("nobody reports")?;
            runtime.block_on(reporters.acknowledged(seconds));
            Ok(Answer::Reported(reporters.take()))
        }
        (Order::Connect { hub, agents, seconds }, None) => {
            let started = Fleet::new(hub, agents.len());
            for (at, agent) in agents.into_iter().enumerate() {
                runtime.spawn(started.clone().follow(at, agent));
            }
            *fleet = Some(started.clone());
            Ok(Answer::Synced(runtime.block_on(started.complete(seconds))))
        }
        (Order::Await { seconds }, Some(fleet)) => {
            Ok(Answer::Synced(runtime.block_on(fleet.complete(seconds))))
        }
        (Order::Count, Some(fleet)) => Ok(Answer::Told {
            batches: fleet.batches.swap(0, Ordering::Relaxed),
            items: fleet.items.swap(0, Ordering::Relaxed),
        }),
        (Order::Connect { .. }, Some(_)) => bail!("connected already"),
        (_, None) => bail!("not connected"),
    }
}

impl Fleet {
    fn new(hub: SocketAddr, agents: usize) -> Arc<Self> {
        Arc::new(Self {
            hub,
            begin: Mutex::new(Instant::now()),
            synced: Mutex::new(vec![None; agents]),
            changed: Notify::new(),
            batches: AtomicU64::new(0),
            items: AtomicU64::new(0),
        })
    }

    /// Until all are, or the time is up.
    async fn complete(&self, seconds: f64) -> Synced {
        let all = async {
            loop {
                let changed = self.changed.notified();
                if self.count().complete == self.count().agents {
                    return;
                }
                changed.await;
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs_f64(seconds), all).await;
        self.count()
    }

    fn count(&self) -> Synced {
        let synced = self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        let mut times: Vec<f64> = synced.iter().filter_map(|it| *it).collect();
        times.sort_by(f64::total_cmp);
        let at = |index: usize| times.get(index).copied().unwrap_or(f64::NAN);
        Synced {
            agents: synced.len(),
            complete: times.len(),
            median_s: at(times.len() / 2),
            last_s: at(times.len().wrapping_sub(1)),
        }
    }

    fn told_all(&self, agent: usize) {
        let since = self.begin.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
        let mut synced = self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        synced[agent].get_or_insert(since.as_secs_f64());
        // With a permit kept where nobody waits at the moment.
        self.changed.notify_one();
    }

    fn lost(&self, agent: usize) {
        let mut synced = self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        if synced.iter().all(Option::is_some) {
            *self.begin.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
        synced[agent] = None;
    }

    async fn follow(self: Arc<Self>, at: usize, agent: Agent) {
        let mut place = Place::default();
        loop {
            // Whatever ended it, it is tried again.
            let _ = self.stream(at, &agent, &mut place).await;
            self.lost(at);
            tokio::time::sleep(PAUSE.mul_f64(fastrand::f64())).await;
        }
    }

    async fn stream(&self, at: usize, agent: &Agent, place: &mut Place) -> Result<()> {
        let channel = Endpoint::from_shared(format!("http://{}", self.hub))?.connect().await?;
        let mut client = InventoryClient::new(channel)
            .accept_compressed(CompressionEncoding::Zstd)
            .max_decoding_message_size(MOST_BYTES);
        let (out, messages) = tokio::sync::mpsc::channel(1);
        let hello = Asking::Hello(place.hello(agent));
        out.send(ToHub { kind: Some(hello) }).await?;
        let mut told = client.follow(ReceiverStream::new(messages)).await?.into_inner();
        while let Some(message) = told.message().await? {
            let Some(Telling::Batch(mut batch)) = message.kind else { return Ok(()) };
            let items = proto::items(&mut batch)?.len();
            self.batches.fetch_add(1, Ordering::Relaxed);
            self.items.fetch_add(items as u64, Ordering::Relaxed);
            if place.take(&batch) {
                self.told_all(at);
            }
        }
        Ok(())
    }
}

/// What an agent has applied completely.
#[derive(Default)]
struct Place {
    epoch: u64,
    sequence: u64,
    /// An account has begun, and is not complete yet.
    partial: bool,
}

impl Place {
    fn hello(&mut self, agent: &Agent) -> Hello {
        if std::mem::take(&mut self.partial) {
            *self = Self::default();
        }
        let addresses: Vec<_> = agent.wanted.iter().copied().map(ip_bytes).collect();
        let none = Vec::new();
        let (answered, wanted) =
            if self.sequence == 0 { (none, addresses) } else { (addresses, none) };
        let (epoch, sequence) = (self.epoch, self.sequence);
        Hello {
            node: agent.node.clone(),
            epoch,
            sequence,
            answered,
            wanted,
            unpacks: true,
            ..Hello::default()
        }
    }

    /// Whether everything has been told with this.
    fn take(&mut self, batch: &Batch) -> bool {
        self.partial |= batch.begin;
        self.epoch = batch.epoch;
        self.sequence = self.sequence.max(batch.sequence);
        if batch.begin {
            self.sequence = batch.sequence;
        }
        self.partial &= !batch.synced;
        batch.synced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_goes_on_where_it_was_and_not_from_half_an_account() {
        let agent = Agent { node: "n".into(), wanted: vec![IpAddr::from([10, 0, 0, 1])] };
        let batch = |sequence, begin, synced| Batch {
            epoch: 7,
            sequence,
            begin,
            synced,
            ..Batch::default()
        };
        let mut place = Place::default();
        assert!(!place.take(&batch(0, true, false)) && place.take(&batch(5, false, true)));
        place.take(&batch(6, false, false));
        let hello = place.hello(&agent);
        assert_eq!((hello.epoch, hello.sequence, hello.answered.len()), (7, 6, 1));
        place.take(&batch(9, true, false));
        let hello = place.hello(&agent);
        assert_eq!((hello.epoch, hello.sequence, hello.wanted.len()), (0, 0, 1));
    }
}
