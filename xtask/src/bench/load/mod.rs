//! Loads of the bench's own. They run in processes of their own, inside the namespaces and cgroups of a site, and are
//! told what to do line by line: one request, one reply, both JSON.

mod bulk;
mod churn;
mod datagrams;
mod held;

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// Accept TCP connections at `address` on `listeners` ports; answer each and close it. Replies with the ports.
    Serve { address: Ipv4Addr, listeners: usize },
    /// Connect to `targets` in turn, send, receive, close. `per_second` connections, or as many as possible.
    Connect { targets: Vec<SocketAddr>, threads: usize, seconds: f64, per_second: Option<f64> },
    /// Receive datagrams.
    Receive { address: Ipv4Addr },
    /// Send datagrams of 64 bytes from `sockets` sockets in turn.
    Send { target: SocketAddr, sockets: usize, seconds: f64, per_second: Option<f64> },
    /// Accept TCP connections and read what comes.
    Sink { address: Ipv4Addr },
    /// Send as much as possible through one TCP connection.
    Flood { target: SocketAddr, seconds: f64 },
    /// Open connections to this process itself until there are so many, or no more descriptors.
    Hold { connections: usize },
    /// Send something through each held connection.
    Touch,
    /// What the servers have counted so far.
    Count,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Reply {
    Addresses(Vec<SocketAddr>),
    Counts(Counts),
    Failed(String),
}

/// Payload, as the program itself sent and received it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    pub connections: u64,
    pub failed: u64,
    pub datagrams: u64,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    pub seconds: f64,
}

/// Counted by several threads.
#[derive(Default)]
struct Totals {
    connections: AtomicU64,
    failed: AtomicU64,
    datagrams: AtomicU64,
    bytes_sent: AtomicU64,
    bytes_received: AtomicU64,
}

impl Totals {
    fn counts(&self, seconds: f64) -> Counts {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            connections: load(&self.connections),
            failed: load(&self.failed),
            datagrams: load(&self.datagrams),
            bytes_sent: load(&self.bytes_sent),
            bytes_received: load(&self.bytes_received),
            seconds,
        }
    }
}

fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

/// Times events evenly, or not at all.
struct Pace {
    begin: Instant,
    interval: Option<Duration>,
    events: u32,
}

impl Pace {
    fn new(per_second: Option<f64>) -> Self {
        let interval = per_second.map(|rate| Duration::from_secs_f64(1.0 / rate.max(0.001)));
        Self { begin: Instant::now(), interval, events: 0 }
    }

    /// Waits until the next event is due.
    fn wait(&mut self) {
        let Some(interval) = self.interval else { return };
        let due = interval * self.events;
        self.events += 1;
        if let Some(early) = due.checked_sub(self.begin.elapsed()) {
            std::thread::sleep(early);
        }
    }
}

/// The process of a load: serves requests until its stdin ends, which it does when the bench does.
pub fn run() -> Result<ExitCode> {
    raise_files();
    let totals = Arc::new(Totals::default());
    let begin = Instant::now();
    let mut held = held::Held::default();
    for line in std::io::stdin().lines() {
        let request: Request = serde_json::from_str(&line.context("stdin")?).context("request")?;
        let answer = match request {
            Request::Serve { address, listeners } => {
                churn::serve(address, listeners, &totals).map(Reply::Addresses)
            }
            Request::Connect { targets, threads, seconds, per_second } => {
                churn::connect(&targets, threads, seconds, per_second).map(Reply::Counts)
            }
            Request::Receive { address } => {
                datagrams::receive(address, &totals).map(Reply::Addresses)
            }
            Request::Send { target, sockets, seconds, per_second } => {
                datagrams::send(target, sockets, seconds, per_second).map(Reply::Counts)
            }
            Request::Sink { address } => bulk::sink(address, &totals).map(Reply::Addresses),
            Request::Flood { target, seconds } => bulk::flood(target, seconds).map(Reply::Counts),
            Request::Hold { connections } => held.grow(connections).map(Reply::Counts),
            Request::Touch => held.touch().map(Reply::Counts),
            Request::Count => Ok(Reply::Counts(totals.counts(begin.elapsed().as_secs_f64()))),
        };
        let reply = answer.unwrap_or_else(|error| Reply::Failed(format!("{error:#}")));
        let mut out = std::io::stdout().lock();
        serde_json::to_writer(&mut out, &reply).context("stdout")?;
        writeln!(out).and_then(|()| out.flush()).context("stdout")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Tens of thousands of connections need as many descriptors. Where that is not allowed, it takes more processes.
pub fn raise_files() {
    let most = std::fs::read_to_string("/proc/sys/fs/nr_open");
    let most = most.ok().and_then(|text| text.trim().parse().ok());
    let limit = Rlimit { current: most, maximum: most };
    if most.is_none() || setrlimit(Resource::Nofile, limit).is_err() {
        let limit = getrlimit(Resource::Nofile);
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    }
}

/// The only one where one is asked for.
fn first(addresses: &[SocketAddr]) -> Result<SocketAddr> {
    match addresses {
        [address, ..] => Ok(*address),
        [] => bail!("no target"),
    }
}
