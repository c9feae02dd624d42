//! What the agent's own memory is with many live connections. A process of its own: nothing else counts.

// The exception of clippy.toml for tests does not reach their helpers.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use agent::{App, Config, Feed};
use model::{
    Connection, ConnectionEvent, Counters, Direction, Flow, Observation, Process, Protocol,
    Subject, Timestamp,
};
use probes::{Batch, Report};

const CONNECTIONS: u32 = 50_000;
const INTERVALS: u64 = 5;
/// Of anonymous memory, which is what the agent keeps of connections. The budget of the whole agent is 40 MB, which the
/// benchmark holds it to; the rest is for the probes' rings and the program's own pages, of which a build for tests has
/// more with each dependency, used or not.
const BUDGET_BYTES: u64 = 20 << 20;

/// Plays the probes on a thread of its own, and ends when it has told everything.
struct Player(Option<JoinHandle<()>>);

impl Feed for Player {
    fn report(&self) -> Report {
        Report::default()
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.0.take().map(JoinHandle::join);
    }
}

fn observation(connection: u32, subject: Subject) -> Observation {
    let [_, a, b, c] = connection.to_be_bytes();
    Observation {
        time: Timestamp::now(),
        process: Process::default(),
        protocol: Protocol::TCP,
        direction: Direction::Ingress,
        local: "127.0.0.1:80".parse().unwrap(),
        remote: SocketAddr::from(([203, a, b, c], 40_000)),
        cookie: u64::from(connection) + 1,
        subject,
    }
}

fn play(batches: &SyncSender<Batch>) {
    let opened = |connection| {
        let totals = Counters::default();
        let event = ConnectionEvent::Accepted;
        observation(
            connection,
            Subject::Connection(Connection {
                event,
                errno: 0,
                connect_ns: 0,
                duration_ns: 0,
                totals,
            }),
        )
    };
    let flow = |connection| {
        let deltas =
            Counters { bytes_sent: 100, packets_sent: 1, rtt_us: 90, ..Counters::default() };
        observation(
            connection,
            Subject::Flow(Flow { deltas, interval_ns: 5_000_000_000, age_ns: 0 }),
        )
    };
    let send = |all: &dyn Fn(u32) -> Observation| {
        for from in (0..CONNECTIONS).step_by(1000) {
            batches.send(Batch::Observations((from..from + 1000).map(all).collect())).unwrap();
        }
    };
    send(&opened);
    (0..INTERVALS).for_each(|_| send(&flow));
}

/// Samples this process's anonymous memory until it is told to stop; the most that it saw.
struct Meter {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Meter {
    fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut peak = 0;
            while !stopped.load(Ordering::Relaxed) {
                peak = peak.max(anonymous_bytes());
                std::thread::sleep(Duration::from_millis(1));
            }
            peak.max(anonymous_bytes())
        });
        Self { stop, thread }
    }

    fn peak(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn anonymous_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    anonymous.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn fifty_thousand_live_connections_fit_the_budget() {
    let meter = Meter::start();
    let directory = tempfile::tempdir().unwrap();
    let mut config = Config::parse(
        "[agent]\nmode = \"standalone\"\nlisten = \"off\"\ndrain = \"60s\"",
        Some("n"),
    )
    .unwrap();
    config.socket = directory.path().join("agent.sock");
    let (_changes, feed) = channel();
    let app = App::start_with(config, feed, |batches| {
        Ok(Box::new(Player(Some(std::thread::spawn(move || play(&batches))))))
    })
    .unwrap();
    let shared = app.shared().clone();
    app.shutdown().unwrap();
    let total = shared.total.load(Ordering::Relaxed);
    assert_eq!(total, u64::from(CONNECTIONS) * (1 + INTERVALS));
    let active: u64 =
        shared.aggregate().snapshot().traffic.iter().filter_map(|it| it.values.active).sum();
    assert_eq!(active, u64::from(CONNECTIONS));
    let peak = meter.peak();
    println!("peak anonymous memory: {:.1} MiB", peak as f64 / f64::from(1 << 20));
    assert!(peak < BUDGET_BYTES, "{peak} bytes");
}
