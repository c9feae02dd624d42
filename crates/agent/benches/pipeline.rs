//! What one record costs the agent in user space, the probes excluded: `cargo bench -p agent`.
//!
//! Plays the probes to a whole agent: twenty workloads whose clients make a connection for each request, then 50,000
//! live connections that report each interval. Nobody listens, or one reader follows and gets JSON lines. CPU time of
//! the process without that of player and reader, so that a busy machine does not show.

// A measurement prints, and ends where something is wrong.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use agent::{App, Config, Feed};
use model::{
    Change, Comm, Connection, ConnectionEvent, Container, Counters, Direction, Flow, Observation,
    Pod, Process, Protocol, Subject, Timestamp, Workload,
};
use probes::{Batch, Cgroup, Report};
use rustix::time::{ClockId, clock_gettime};

const WORKLOADS: u32 = 20;
const REQUESTS: u32 = 60_000;
const LIVE: u32 = 50_000;
const INTERVALS: u32 = 6;
const BATCH: usize = 1_000;
/// Records that a reader may be behind: less than the agent keeps for it.
const AHEAD: u64 = 30_000;

type Play = fn(&mut dyn FnMut(Observation));

fn main() {
    for (name, play) in
        [("connection per request", requests as Play), ("50,000 live connections", flows)]
    {
        let alone = measure(play, false);
        println!("{name}: {alone:.0} ns per record; memory {} at most", peak());
        println!("{name}: {:.0} ns per record with one reader of JSON", measure(play, true));
    }
}

/// Nanoseconds of CPU time for each record.
fn measure(play: Play, read: bool) -> f64 {
    let directory = tempfile::tempdir().unwrap();
    let text = "[agent]\nlisten = \"off\"\ndrain = \"60s\"";
    let mut config = Config::parse(text, Some("bench")).unwrap();
    config.socket = directory.path().join("agent.sock");
    let socket = config.socket.clone();
    let (changes, feed) = channel();
    (0..WORKLOADS).for_each(|number| changes.send(Change::Pod(pod(number))).unwrap());
    changes.send(Change::Synced).unwrap();
    let lines = Arc::new(AtomicU64::new(0));
    let (go, wait) = channel();
    let (done, cost) = channel();
    let followed = read.then(|| lines.clone());
    let app = App::start_with(config, feed, |batches| {
        let player = thread::spawn(move || {
            wait.recv().unwrap();
            let before = cpu(ClockId::ThreadCPUTime);
            player(play, &batches, followed.as_deref());
            done.send(cpu(ClockId::ThreadCPUTime) - before).unwrap();
            batches
        });
        Ok(Box::new(Player(Some(player))))
    })
    .unwrap();
    let reader = read.then(|| follow(&socket, lines.clone()));
    let shared = app.shared().clone();
    while read && shared.records.readers() == 0 {
        thread::yield_now();
    }
    let before = cpu(ClockId::ProcessCPUTime);
    go.send(()).unwrap();
    let mut others = cost.recv().unwrap();
    app.shutdown().unwrap();
    others += reader.map(|reader| reader.join().unwrap()).unwrap_or_default();
    let took = cpu(ClockId::ProcessCPUTime) - before - others;
    let records = shared.total.load(Ordering::Relaxed);
    assert_eq!(shared.identity().unattributed_total(), 0);
    assert!(!read || lines.load(Ordering::Relaxed) == records, "a line for each record");
    took.as_nanos() as f64 / records as f64
}

fn cpu(clock: ClockId) -> Duration {
    clock_gettime(clock).try_into().unwrap()
}

/// As the kernel counts it, the player's part included.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim().to_owned()
}

/// Plays the probes on a thread of its own. What it returns ends the pipeline when it is dropped.
struct Player(Option<JoinHandle<SyncSender<Batch>>>);

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

fn player(play: Play, batches: &SyncSender<Batch>, followed: Option<&AtomicU64>) {
    let created = |number| Cgroup::Created { id: cgroup(number), path: path(number) };
    batches.send(Batch::Cgroups((0..WORKLOADS).map(created).collect())).unwrap();
    let (mut batch, mut sent) = (Vec::with_capacity(BATCH), 0);
    let mut send = |batch: &mut Vec<Observation>| {
        sent += batch.len() as u64;
        let full = std::mem::replace(batch, Vec::with_capacity(BATCH));
        batches.send(Batch::Observations(full)).unwrap();
        while followed.is_some_and(|lines| sent - lines.load(Ordering::Relaxed) > AHEAD) {
            thread::sleep(Duration::from_millis(1));
        }
    };
    play(&mut |observation| {
        batch.push(observation);
        if batch.len() >= BATCH {
            send(&mut batch);
        }
    });
    send(&mut batch);
}

/// Counts the lines that follow; the CPU time that this took.
fn follow(socket: &Path, lines: Arc<AtomicU64>) -> JoinHandle<Duration> {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(b"GET /api/v1/records?follow=1 HTTP/1.1\r\nHost: agent\r\n\r\n").unwrap();
    thread::spawn(move || {
        let mut buffer = vec![0; 1 << 18];
        let mut last = 0;
        loop {
            let count = stream.read(&mut buffer).unwrap();
            // A line ends in `}\n`; headers and sizes of chunks do not.
            let mut ends = 0;
            for &byte in &buffer[..count] {
                ends += u64::from(byte == b'\n' && last == b'}');
                last = byte;
            }
            lines.fetch_add(ends, Ordering::Relaxed);
            if count == 0 || buffer[..count].ends_with(b"0\r\n\r\n") {
                return cpu(ClockId::ThreadCPUTime);
            }
        }
    })
}

fn uid(number: u32) -> String {
    format!("0a1b2c3d-4e5f-6071-8293-{number:012x}")
}

fn container(number: u32) -> String {
    format!("{number:064x}")
}

fn cgroup(number: u32) -> u64 {
    (1 << 40) + u64::from(number)
}

fn path(number: u32) -> String {
    format!("/kubepods/burstable/pod{}/{}", uid(number), container(number))
}

fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::new(10, 1, 0, number as u8 + 1)
}

fn pod(number: u32) -> Pod {
    let name = format!("workload-{number}");
    let label = |key: &str, value: &str| (key.into(), value.into());
    Pod {
        uid: uid(number).into(),
        namespace: "shop".into(),
        name: format!("{name}-5d9c7b4f6-x2x{number}").into(),
        node: "bench".into(),
        ips: vec![address(number).into()],
        host_network: false,
        workload: Some(Workload { kind: "Deployment".into(), name: name.as_str().into() }),
        containers: vec![Container { id: container(number).into(), name: "app".into() }],
        labels: [
            label("app", &name),
            label("app.kubernetes.io/name", &name),
            label("pod-template-hash", "5d9c7b4f6"),
        ]
        .into(),
        zone: Some("zone-a".into()),
    }
}

/// One end of a connection from one workload to the next.
fn end(connection: u32, direction: Direction, subject: Subject) -> Observation {
    let (client, server) = (connection % WORKLOADS, (connection + 1) % WORKLOADS);
    let port = 10_000 + (connection / WORKLOADS % 50_000) as u16;
    let there = SocketAddr::from((address(client), port));
    let here = SocketAddr::from((address(server), 8080));
    let (number, local, remote) = match direction {
        Direction::Egress => (client, there, here),
        Direction::Ingress => (server, here, there),
    };
    Observation {
        time: Timestamp::now(),
        process: Process {
            pid: 1_000 + number,
            comm: Comm::from("app"),
            cgroup_id: cgroup(number),
            netns: 4_026_600_000 + number,
        },
        protocol: Protocol::TCP,
        direction,
        local,
        remote,
        cookie: 1 + 2 * u64::from(connection) + u64::from(direction == Direction::Egress),
        subject,
    }
}

const MOVED: Counters = Counters {
    bytes_sent: 120,
    bytes_received: 1_400,
    packets_sent: 5,
    packets_received: 4,
    retransmits: 0,
    rtt_us: 73,
};

fn step(event: ConnectionEvent) -> Subject {
    let totals = if event == ConnectionEvent::Closed { MOVED } else { Counters::default() };
    let connect_ns = 90_000;
    Subject::Connection(Connection { event, errno: 0, connect_ns, duration_ns: 900_000, totals })
}

fn flow() -> Subject {
    Subject::Flow(Flow { deltas: MOVED, interval_ns: 5_000_000_000, age_ns: 0 })
}

fn requests(see: &mut dyn FnMut(Observation)) {
    for connection in 0..REQUESTS {
        see(end(connection, Direction::Egress, step(ConnectionEvent::Opened)));
        see(end(connection, Direction::Ingress, step(ConnectionEvent::Accepted)));
        for direction in [Direction::Egress, Direction::Ingress] {
            see(end(connection, direction, flow()));
            see(end(connection, direction, step(ConnectionEvent::Closed)));
        }
    }
}

fn flows(see: &mut dyn FnMut(Observation)) {
    for connection in 0..LIVE {
        see(end(connection, Direction::Ingress, step(ConnectionEvent::Accepted)));
    }
    for _ in 0..INTERVALS {
        (0..LIVE).for_each(|connection| see(end(connection, Direction::Ingress, flow())));
    }
}
