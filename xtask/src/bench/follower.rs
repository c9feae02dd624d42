//! What an agent knows of the cluster, kept as the agent keeps it, without probes and in a time of its own: a process,
//! told what to do line by line as [`load`](super::load) is.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use agent::identity::{self, Directory, Feed, Mode};
use agent::kube::{self, Link, Wanted};
use anyhow::{Context, Result, bail};
use daemon::Supervisor;
use model::{
    Change, Connection, ConnectionEvent, Counters, Direction, Observation, Process, Protocol,
    Subject, Timestamp,
};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Between looks at what the hub told.
const TICK: Duration = Duration::from_millis(20);
/// What the agent is told and waits for comes within this.
const PATIENCE: Duration = Duration::from_secs(60);
/// As the agent has it.
const MAPPED_BYTES: u32 = 1 << 20;

#[derive(Debug, Serialize, Deserialize)]
pub enum Order {
    /// Follow a hub as the agent of a node. Replies when everything has been told.
    Follow { hub: SocketAddr, node: String },
    /// Connect to each of these as far as the agent sees it. Replies when it is known whose they are.
    Meet { addresses: Vec<IpAddr> },
    /// So many seconds pass at once.
    Pass { seconds: u64 },
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    Knows(Knowledge),
    Failed(String),
}

/// Entries of the directory's tables.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Knowledge {
    /// Of the node, those included that have gone a short while ago.
    pub pods: u64,
    pub addresses: u64,
    /// Addresses elsewhere that the hub is asked for.
    pub wanted: u64,
}

struct Follower {
    directory: Directory,
    changes: Receiver<Change>,
    wanted: Arc<Wanted>,
    /// As far as the directory knows, and when that was.
    now: (Timestamp, Instant),
    synced: bool,
    _supervisor: Supervisor,
    _stop: DropGuard,
    _runtime: Runtime,
}

pub fn run() -> Result<ExitCode> {
    probes::share_heap(MAPPED_BYTES);
    let (sender, orders) = mpsc::channel();
    // Ends with its input.
    thread::spawn(move || {
        let lines = std::io::stdin().lines().map_while(Result::ok);
        lines.map(|line| sender.send(line)).take_while(Result::is_ok).for_each(drop);
    });
    let mut follower = None;
    loop {
        match orders.recv_timeout(TICK) {
            Ok(line) => {
                let answer = serde_json::from_str(&line)
                    .context("order")
                    .and_then(|order| obey(&mut follower, order));
                let answer = match answer {
                    Ok(knowledge) => Answer::Knows(knowledge),
                    Err(error) => Answer::Failed(format!("{error:#}")),
                };
                let mut out = std::io::stdout().lock();
                serde_json::to_writer(&mut out, &answer).context("stdout")?;
                writeln!(out).and_then(|()| out.flush()).context("stdout")?;
            }
            Err(RecvTimeoutError::Timeout) => {
                if let Some(follower) = &mut follower {
                    follower.hear();
                }
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(ExitCode::SUCCESS),
        }
    }
}

fn obey(follower: &mut Option<Follower>, order: Order) -> Result<Knowledge> {
    match (order, follower.as_mut()) {
        (Order::Follow { hub, node }, None) => {
            let started = follower.insert(Follower::start(hub, &node)?);
            started.until("all was told", |it| it.synced)?;
            Ok(started.knowledge())
        }
        (Order::Meet { addresses }, Some(follower)) => {
            addresses.into_iter().for_each(|ip| follower.meet(ip));
            follower
                .until("each address was answered", |it| it.directory.counters().parked == 0)?;
            Ok(follower.knowledge())
        }
        (Order::Pass { seconds }, Some(follower)) => {
            follower.now.0.0 += seconds * 1_000_000_000;
            follower.hear();
            Ok(follower.knowledge())
        }
        (Order::Follow { .. }, Some(_)) => bail!("follows already"),
        (_, None) => bail!("follows nobody"),
    }
}

impl Follower {
    fn start(hub: SocketAddr, node: &str) -> Result<Self> {
        let text = format!("[metadata]\nsource = \"hub\"\nhubs = [\"http://{hub}\"]\n");
        let config = agent::Config::parse(&text, Some(node))?;
        let names = identity::Config::new(config.node.clone(), Mode::Kubernetes);
        // Nothing of this host belongs to the node.
        let names =
            identity::Config { feed: Feed::OnDemand, proc_root: "/nowhere".into(), ..names };
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.context("a runtime")?;
        let cancel = CancellationToken::new();
        let mut supervisor = Supervisor::new(runtime.handle().clone(), cancel.clone());
        let link = Arc::new(Link::new(config.metadata.source));
        let wanted = Arc::new(Wanted::default());
        let (node, metadata) = (&config.node, &config.metadata);
        Ok(Self {
            directory: Directory::new(names).context("the directory")?,
            changes: kube::start(&mut supervisor, node, metadata, &link, &wanted, None),
            wanted,
            now: (Timestamp::now(), Instant::now()),
            synced: false,
            _supervisor: supervisor,
            _stop: cancel.drop_guard(),
            _runtime: runtime,
        })
    }

    /// Takes what was told, as the pipeline does.
    fn hear(&mut self) {
        let Self { directory, changes, now: (now, since), .. } = self;
        now.0 += since.elapsed().as_nanos() as u64;
        *since = Instant::now();
        for change in changes.try_iter() {
            self.synced |= change == Change::Synced;
            directory.change(change, *now);
        }
        directory.tick(*now, &mut |_| {});
        self.wanted.apply(directory.take_wishes());
    }

    fn until(&mut self, what: &str, enough: impl Fn(&Self) -> bool) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            self.hear();
            if enough(self) {
                return Ok(());
            }
            if Instant::now() >= end {
                bail!("not before {} s had passed: {what}", PATIENCE.as_secs());
            }
            thread::sleep(TICK);
        }
    }

    fn meet(&mut self, ip: IpAddr) {
        let (now, _) = self.now;
        let observation = Observation {
            time: now,
            process: Process::default(),
            protocol: Protocol::TCP,
            direction: Direction::Egress,
            local: ([192, 0, 2, 1], 40_000).into(),
            remote: (ip, 80).into(),
            cookie: 0,
            subject: Subject::Connection(Connection {
                event: ConnectionEvent::Opened,
                errno: 0,
                connect_ns: 1,
                duration_ns: 0,
                totals: Counters::default(),
            }),
        };
        self.directory.identify(observation, now, &mut |_| {});
        self.wanted.apply(self.directory.take_wishes());
    }

    fn knowledge(&self) -> Knowledge {
        let counters = self.directory.counters();
        let entries = |name: &str| {
            counters.tables.iter().find(|it| it.name == name).map_or(0, |table| table.entries)
        };
        Knowledge {
            pods: entries("pods"),
            addresses: entries("addresses"),
            wanted: counters.interest.wanted,
        }
    }
}
