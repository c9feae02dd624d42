//! A hub that is killed again and again while an agent reports: nothing that it acknowledged is lost, and nothing counts
//! twice.

// A test fails where something is wrong.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent::config::{Config, Hub, Source};
use agent::kube::{self, Link, Wanted};
use agent::pipeline::Interval;
use agent::report::{Health, Reporter, Spool};
use daemon::Supervisor;
use model::{
    Connection, ConnectionEvent, Counters, Direction, Endpoint, Identity, Process, Protocol,
    Record, Subject, Timestamp, Workload,
};
use sim::apiserver::{ApiServer, Options};
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(90);
const KILLS: usize = 6;

struct Killed(Child);

impl Drop for Killed {
    /// With SIGKILL.
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(config: &PathBuf) -> Killed {
    let mut command = Command::new(env!("CARGO_BIN_EXE_amphipod"));
    command.args(["hub", "--log", "warn", "--config"]).arg(config).stdin(Stdio::null());
    Killed(command.spawn().unwrap())
}

fn end(name: &str) -> Endpoint {
    let workload = Some(Workload { kind: "Deployment".into(), name: name.into() });
    let identity = Identity { namespace: Some("shop".into()), workload, ..Identity::default() };
    Endpoint { ip: None, port: 80, identity: Some(Arc::new(identity)), backend: None }
}

fn record() -> Record {
    let (source, destination) = (end("web"), end("cart"));
    let totals = Counters::default();
    let event = ConnectionEvent::Failed;
    Record {
        time: Timestamp::now(),
        node: "n1".into(),
        source,
        destination,
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

fn get(address: SocketAddr, path: &str) -> Option<serde_json::Value> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    serde_json::from_str(text.split_once("\r\n\r\n")?.1).ok()
}

fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < until, "waited for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_killed_hub_loses_nothing_and_counts_nothing_twice() {
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (agents, http) = (free(), free());
    let server = ApiServer::start(Options::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("kubeconfig"), server.kubeconfig()).unwrap();
    let text = format!(
        "[hub]\nlisten = \"{http}\"\n[kube]\nkubeconfig = {:?}\n[inventory]\nlisten = \"{agents}\"\n[history]\npath = {:?}\n",
        path("kubeconfig"),
        path("history.db"),
    );
    std::fs::write(path("hub.toml"), text).unwrap();

    let mut config = Config::parse("", Some("n1")).unwrap();
    config.metadata.source = Source::Hub;
    config.metadata.hubs =
        vec![Hub { tls: false, host: agents.ip().to_string(), port: agents.port() }];
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let cancel = CancellationToken::new();
    let mut supervisor = Supervisor::new(runtime.handle().clone(), cancel.clone());
    let spool = Arc::new(Spool::new(1 << 20));
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
    let mut interval = Interval::new(&config.report, 1000, Timestamp::now());

    let (mut told, mut acknowledged) = (0, Vec::new());
    let mut tell = |spool: &Spool| {
        interval.add(&record());
        interval.close(Timestamp::now()).into_iter().for_each(|batch| spool.push(batch));
        told += 1;
    };
    let mut hub = start(&path("hub.toml"));
    for round in 0..KILLS {
        // Some die before they have stored anything, some just when they do.
        let until = Instant::now() + Duration::from_millis(1500 + 1700 * round as u64);
        while Instant::now() < until {
            tell(&spool);
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(hub);
        acknowledged.push(spool.facts().acknowledged);
        hub = start(&path("hub.toml"));
    }
    assert!(acknowledged.last() > acknowledged.first(), "something was stored: {acknowledged:?}");
    tell(&spool);
    wait("all to be stored", || spool.facts().batches == 0);
    let mut found = 0;
    wait("an answer", || {
        let graph = get(http, "/api/v1/graph?since=-30m");
        let Some(graph) = graph else { return false };
        found = graph["edges"][0]["values"]["failures"].as_u64().unwrap_or(0);
        true
    });
    assert_eq!(found, told);
    cancel.cancel();
    drop(hub);
}
