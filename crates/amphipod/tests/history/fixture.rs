//! Hubs that can be killed, and agents that report to them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent::config::{Config, Source};
use agent::kube::{self, Link, Wanted};
use agent::pipeline::Interval;
use agent::report::{Health, Reporter, Spool};
use daemon::Supervisor;
use model::{
    Connection, ConnectionEvent, Counters, Direction, Endpoint, Identity, Process, Protocol,
    Record, Subject, Timestamp, Workload,
};
use sim::apiserver::{ApiServer, Options};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(90);
/// Workloads that an agent's workload fails to reach, each once at a time.
pub const DESTINATIONS: u64 = 20;

/// Where a hub is, and its files.
pub struct Place {
    pub http: SocketAddr,
    agents: SocketAddr,
    config: PathBuf,
    _folder: TempDir,
    _server: ApiServer,
}

impl Place {
    /// `settings`: of the hub's history; FOLDER in them is a folder of its own.
    pub fn new(settings: &str) -> Self {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (agents, http) = (free(), free());
        let server = ApiServer::start(Options::default()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        std::fs::write(&kubeconfig, server.kubeconfig()).unwrap();
        let settings = settings.replace("FOLDER", folder.path().to_str().unwrap());
        let text = format!(
            "[hub]\nlisten = \"{http}\"\n[kube]\nkubeconfig = {kubeconfig:?}\n[inventory]\nlisten = \"{agents}\"\n{settings}\n"
        );
        let config = folder.path().join("hub.toml");
        std::fs::write(&config, text).unwrap();
        Self { http, agents, config, _folder: folder, _server: server }
    }

    pub fn hub(&self) -> Killed {
        let mut command = Command::new(env!("CARGO_BIN_EXE_amphipod"));
        command.args(["hub", "--log", "warn", "--config"]).arg(&self.config).stdin(Stdio::null());
        Killed(command.spawn().unwrap())
    }

    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(self.http).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        Some((head.get(9..12)?.parse().ok()?, body.to_owned()))
    }

    /// `/api/v1/status`, or nothing while the hub does not answer.
    pub fn status(&self) -> serde_json::Value {
        let answer = self.get("/api/v1/status").filter(|(status, _)| *status == 200);
        answer.map(|(_, body)| serde_json::from_str(&body).unwrap()).unwrap_or_default()
    }

    /// The failures of a workload, once the hub answers.
    pub fn failures(&self, source: &str) -> u64 {
        let mut found = 0;
        wait("an answer", || {
            let Some((200, body)) = self.get("/api/v1/graph?since=-30m") else { return false };
            let graph: serde_json::Value = serde_json::from_str(&body).unwrap();
            let edges = graph["edges"].as_array().unwrap().iter();
            let own = edges.filter(|edge| {
                graph["nodes"][edge["source"].as_u64().unwrap() as usize]["name"] == source
            });
            found = own.filter_map(|edge| edge["values"]["failures"].as_u64()).sum();
            true
        });
        found
    }
}

pub struct Killed(Child);

impl Drop for Killed {
    /// With SIGKILL.
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < until, "waited for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// As much of an agent as reports; dropped, it is gone with what it had not told.
pub struct Agent {
    pub source: String,
    pub spool: Arc<Spool>,
    /// Failures.
    pub told: u64,
    interval: Interval,
    cancel: CancellationToken,
    _supervisor: Supervisor,
    runtime: Option<Runtime>,
}

impl Agent {
    /// In which the workload `source` fails.
    pub fn start(place: &Place, source: &str) -> Self {
        let mut config = Config::parse("", Some("n1")).unwrap();
        config.metadata.source = Source::Hub;
        let (host, port) = (place.agents.ip().to_string(), place.agents.port());
        config.metadata.hubs = vec![agent::config::Hub { tls: false, host, port }];
        let runtime = Runtime::new().unwrap();
        let cancel = CancellationToken::new();
        let mut supervisor = Supervisor::new(runtime.handle().clone(), cancel.clone());
        let spool = Arc::new(Spool::new(16 << 20));
        let reporter = Reporter {
            node: config.node.clone(),
            life: Reporter::new_life(),
            spool: spool.clone(),
            records: Arc::new(agent::export::Records::new(config.records.clone())),
            health: Box::new(Health::default),
        };
        let (link, wanted) = (Arc::new(Link::new(Source::Hub)), Arc::new(Wanted::default()));
        let reporter = Some(Arc::new(reporter));
        let (node, metadata) = (&config.node, &config.metadata);
        let changes = kube::start(&mut supervisor, node, metadata, &link, &wanted, reporter);
        std::thread::spawn(move || changes.into_iter().for_each(drop));
        let interval = Interval::new(&config.report, 1000, Timestamp::now());
        let (source, runtime) = (source.to_owned(), Some(runtime));
        Self { source, spool, told: 0, interval, cancel, _supervisor: supervisor, runtime }
    }

    pub fn tell(&mut self) {
        for destination in 0..DESTINATIONS {
            self.interval.add(&record(&self.source, &format!("cart-{destination}")));
        }
        let batches = self.interval.close(Timestamp::now());
        batches.into_iter().for_each(|batch| self.spool.push(batch));
        self.told += DESTINATIONS;
    }

    pub fn tell_for(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.tell();
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Failures of which a hub said that they are stored.
    pub fn acknowledged(&self) -> u64 {
        self.spool.facts().acknowledged * DESTINATIONS
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        self.cancel.cancel();
    }
}

fn end(name: &str) -> Endpoint {
    let workload = Some(Workload { kind: "Deployment".into(), name: name.into() });
    let identity = Identity { namespace: Some("shop".into()), workload, ..Identity::default() };
    Endpoint { ip: None, port: 80, identity: Some(Arc::new(identity)), backend: None }
}

fn record(source: &str, destination: &str) -> Record {
    let event = ConnectionEvent::Failed;
    let totals = Counters::default();
    Record {
        time: Timestamp::now(),
        node: "n1".into(),
        source: end(source),
        destination: end(destination),
        direction: Direction::Egress,
        protocol: Protocol::TCP,
        process: Process::default(),
        cookie: 0,
        subject: Subject::Connection(Connection {
            event,
            errno: 1,
            connect_ns: 0,
            duration_ns: 0,
            totals,
        }),
    }
}
