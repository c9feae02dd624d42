//! Provokes events in the running kernel and collects what the probes make of them.
// Shared by test programs that each use a part of it; a failure here is a failed test.
#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use model::{Connection, ConnectionEvent, Direction, Drop, Flow, Observation, Protocol, Subject};
use probes::{Batch, Cgroup, Report, Running, Settings};

/// How long an event may take to arrive before the test fails. Emulated kernels are slow.
const DEADLINE: Duration = Duration::from_secs(60);
/// How often a state that no event tells of is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// The probes, attached, and everything that they delivered so far.
pub struct Session {
    running: Running,
    batches: Receiver<Batch>,
    pub seen: Vec<Observation>,
    pub cgroups: Vec<Cgroup>,
}

impl Session {
    /// With flows every 200 ms, and everything else as by default.
    pub fn start() -> Self {
        Self::with(|_| ())
    }

    pub fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::with_queue(4096, change)
    }

    /// The probes stall once so many batches have not been collected.
    pub fn with_queue(queue: usize, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::default();
        settings.flow.interval = Duration::from_millis(200);
        settings.drop.interval = Duration::from_millis(200);
        change(&mut settings);
        let (sender, batches) = mpsc::sync_channel(queue);
        let running = probes::start(&settings, sender)
            .unwrap_or_else(|error| panic!("these tests need root and a kernel with BPF: {error}"));
        Self { running, batches, seen: Vec::new(), cgroups: Vec::new() }
    }

    pub fn report(&self) -> Report {
        self.running.report()
    }

    /// Collects until `enough` says so.
    pub fn until(&mut self, what: &str, enough: impl Fn(&Self) -> bool) {
        self.until_equal(what, true, enough);
    }

    /// Collects until what is `found` is as `expected`.
    pub fn until_equal<T: PartialEq + std::fmt::Debug>(
        &mut self,
        what: &str,
        expected: T,
        found: impl Fn(&Self) -> T,
    ) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let found = found(self);
            if found == expected {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{what}: not seen within {DEADLINE:?}: {found:?}, not {expected:?}; losses: {:?}",
                self.losses()
            );
            // Counters change without a batch, too.
            match self.batches.recv_timeout(LOOK) {
                Ok(batch) => self.take(batch),
                Err(mpsc::RecvTimeoutError::Timeout) => (),
                Err(error) => panic!("{what}: the probes have ended: {error}"),
            }
        }
    }

    /// Detaches the probes and collects what they still deliver.
    pub fn finish(mut self) -> Seen {
        let programs = self.report().programs;
        let missed = programs
            .iter()
            .filter(|program| program.probe == "tcp")
            .map(|program| program.recursion_misses as usize)
            .sum();
        drop(self.running);
        while let Ok(batch) = self.batches.try_recv() {
            match batch {
                Batch::Observations(observations) => self.seen.extend(observations),
                Batch::Cgroups(cgroups) => self.cgroups.extend(cgroups),
            }
        }
        Seen { observations: self.seen, missed }
    }

    pub fn losses(&self) -> Vec<(String, u64)> {
        let losses = self.report().losses.into_iter().filter(|loss| loss.count > 0);
        losses
            .map(|loss| (format!("{}/{}/{}", loss.probe, loss.stage, loss.cause), loss.count))
            .collect()
    }

    /// Connections seen so far at the end that listens on `port` or connects to it.
    pub fn connections(&self, port: u16) -> impl Iterator<Item = (&Observation, &Connection)> {
        connections(&self.seen, port)
    }

    pub fn count(&self, port: u16, event: ConnectionEvent) -> usize {
        self.connections(port).filter(|(_, connection)| connection.event == event).count()
    }

    /// Flows seen so far at the end that has `port` or talks to it. Sockets of another protocol may have the same number.
    pub fn flows(
        &self,
        protocol: Protocol,
        port: u16,
    ) -> impl Iterator<Item = (&Observation, &Flow)> {
        let concerned = move |observation: &&Observation| {
            observation.protocol == protocol && touches(observation, port)
        };
        self.seen.iter().filter(concerned).filter_map(|observation| match &observation.subject {
            Subject::Flow(flow) => Some((observation, flow)),
            _ => None,
        })
    }

    pub fn drops(&self, port: u16) -> impl Iterator<Item = (&Observation, &Drop)> {
        self.seen.iter().filter(move |observation| touches(observation, port)).filter_map(
            |observation| match &observation.subject {
                Subject::Drop(drop) => Some((observation, drop)),
                _ => None,
            },
        )
    }

    fn take(&mut self, batch: Batch) {
        match batch {
            Batch::Observations(observations) => self.seen.extend(observations),
            Batch::Cgroups(cgroups) => self.cgroups.extend(cgroups),
        }
    }
}

/// All that a session delivered.
pub struct Seen {
    pub observations: Vec<Observation>,
    /// Transitions that the kernel did not show, and counted: 7.x does not run a program that is already running on the
    /// processor. None elsewhere.
    missed: usize,
}

impl Seen {
    pub fn connections(&self, port: u16) -> impl Iterator<Item = (&Observation, &Connection)> {
        connections(&self.observations, port)
    }

    pub fn count(&self, port: u16, event: ConnectionEvent) -> usize {
        self.connections(port).filter(|(_, connection)| connection.event == event).count()
    }

    /// Fails unless exactly `expected` of these were seen. Each missed transition may cost one, but no end: what closed
    /// unseen is reported when the socket goes.
    pub fn expect(&self, port: u16, event: ConnectionEvent, expected: usize) {
        let missed = if event == ConnectionEvent::Closed { 0 } else { self.missed };
        let count = self.count(port, event);
        assert!(
            (expected.saturating_sub(missed)..=expected).contains(&count),
            "{event:?}: {count} of {expected}, {missed} missed"
        );
    }

    /// The connections to `port` whose process is known, which are all but those that a missed transition left without.
    pub fn attributed(&self, port: u16) -> impl Iterator<Item = (&Observation, &Connection)> {
        let strangers: Vec<_> = self
            .connections(port)
            .filter(|(observation, _)| observation.process.pid == 0)
            .collect();
        assert!(
            strangers.len() <= 2 * self.missed,
            "{} missed, yet without a process: {strangers:?}",
            self.missed
        );
        self.connections(port).filter(|(observation, _)| observation.process.pid != 0)
    }
}

fn connections(
    seen: &[Observation],
    port: u16,
) -> impl Iterator<Item = (&Observation, &Connection)> {
    seen.iter().filter(move |observation| touches(observation, port)).filter_map(|observation| {
        match &observation.subject {
            Subject::Connection(connection) => Some((observation, connection)),
            _ => None,
        }
    })
}

fn touches(observation: &Observation, port: u16) -> bool {
    observation.local.port() == port || observation.remote.port() == port
}

pub fn pid() -> u32 {
    std::process::id()
}

/// A listener on a free port of `ip`, with a queue that holds a burst.
pub fn listen(ip: impl Into<IpAddr>) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((ip.into(), 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Connects, accepts and closes `count` times: the client writes `bytes`, the server reads to the end, closes first
/// half of the time.
pub fn exchange(listener: &TcpListener, to: SocketAddr, count: usize, bytes: &[u8]) {
    use std::io::{Read, Write};
    let mut buffer = vec![0; bytes.len() + 1];
    for turn in 0..count {
        let mut client = TcpStream::connect(to).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(bytes).unwrap();
        let mut read = 0;
        while read < bytes.len() {
            read += server.read(&mut buffer).unwrap();
        }
        if turn % 2 == 0 {
            drop(server);
            client.read_to_end(&mut Vec::new()).unwrap();
        } else {
            drop(client);
            server.read_to_end(&mut Vec::new()).unwrap();
        }
    }
}

/// 10,000 on a real machine; the kernels of the matrix are emulated.
pub fn many() -> usize {
    std::env::var("AMPHIPOD_TEST_CONNECTIONS")
        .map_or(10_000, |count| count.parse().expect("a number"))
}

/// Runs `count` exchanges over `to` and checks that both ends of each were seen, once, complete and attributed.
pub fn check_exchange(listener: &TcpListener, to: SocketAddr, count: usize) {
    let mut session = Session::start();
    exchange(listener, to, count, b"hello");
    let port = to.port();
    session.until("every connection closed at both ends", |session| {
        session.count(port, ConnectionEvent::Closed) >= 2 * count
    });
    let seen = session.finish();
    for (event, ends) in [
        (ConnectionEvent::Opened, 1),
        (ConnectionEvent::Accepted, 1),
        (ConnectionEvent::Failed, 0),
        (ConnectionEvent::Closed, 2),
    ] {
        seen.expect(port, event, ends * count);
    }
    // Before 5.12 there is no cookie, and ports come back: there the counts must do.
    let mut unique = HashSet::new();
    for (observation, connection) in seen.attributed(port) {
        assert_eq!(observation.process.pid, pid(), "{observation:?}");
        assert!(
            !observation.process.comm.is_empty() && observation.process.netns != 0,
            "{observation:?}"
        );
        let incoming = observation.local.port() == port;
        assert_eq!(
            observation.direction,
            if incoming { Direction::Ingress } else { Direction::Egress }
        );
        assert_eq!(observation.local.ip(), to.ip().to_canonical());
        assert_eq!(observation.remote.ip(), to.ip().to_canonical());
        assert!(
            observation.cookie == 0
                || unique.insert((observation.cookie, observation.remote, connection.event)),
            "twice: {observation:?}"
        );
        match connection.event {
            ConnectionEvent::Opened => assert!(connection.connect_ns > 0),
            ConnectionEvent::Closed => {
                let totals = connection.totals;
                let bytes = if incoming { (0, 5) } else { (5, 0) };
                assert_eq!((totals.bytes_sent, totals.bytes_received), bytes, "{observation:?}");
                assert!(
                    totals.packets_sent > 1 && totals.packets_received > 1 && totals.rtt_us > 0
                );
                assert!(connection.duration_ns > 0);
            }
            _ => {}
        }
    }
}
