//! An agent's reports to a real hub: what a node saw is what the hub tells, whatever breaks in between.

// A test fails where something is wrong.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
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
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(60);

struct Node {
    interval: Interval,
    spool: Arc<Spool>,
    _supervisor: Supervisor,
    _stop: tokio_util::sync::DropGuard,
    _runtime: Runtime,
}

impl Node {
    /// Reports to `hub`.
    fn start(hub: SocketAddr, spool_bytes: usize) -> Self {
        let mut config = Config::parse("", Some("n1")).unwrap();
        config.metadata.source = Source::Hub;
        config.metadata.hubs =
            vec![Hub { tls: false, host: hub.ip().to_string(), port: hub.port() }];
        let runtime = Runtime::new().unwrap();
        let cancel = CancellationToken::new();
        let mut supervisor = Supervisor::new(runtime.handle().clone(), cancel.clone());
        let spool = Arc::new(Spool::new(spool_bytes));
        let reporter = Reporter {
            node: config.node.clone(),
            life: Reporter::new_life(),
            spool: spool.clone(),
            records: Arc::new(agent::export::Records::new(config.records.clone())),
            health: Box::new(Health::default),
        };
        let changes = kube::start(
            &mut supervisor,
            &config.node,
            &config.metadata,
            &Arc::new(Link::new(Source::Hub)),
            &Arc::new(Wanted::default()),
            Some(Arc::new(reporter)),
        );
        std::thread::spawn(move || changes.into_iter().for_each(drop));
        Self {
            interval: Interval::new(&config.report, 1000, Timestamp::now()),
            spool,
            _supervisor: supervisor,
            _stop: cancel.drop_guard(),
            _runtime: runtime,
        }
    }

    /// An interval that is over in which `count` connections were opened.
    fn observe(&mut self, count: usize) {
        (0..count).for_each(|_| self.interval.add(&record()));
        for batch in self.interval.close(Timestamp::now()) {
            self.spool.push(batch);
        }
    }

    fn wait_stored(&self) {
        wait("all batches to be stored", || self.spool.facts().batches == 0);
    }
}

fn end(name: &str, port: u16) -> Endpoint {
    let workload = Some(Workload { kind: "Deployment".into(), name: name.into() });
    let identity = Identity { namespace: Some("shop".into()), workload, ..Identity::default() };
    Endpoint { ip: None, port, identity: Some(Arc::new(identity)), backend: None }
}

fn record() -> Record {
    Record {
        time: Timestamp::now(),
        node: "n1".into(),
        source: end("web", 40_000),
        destination: end("cart", 8080),
        direction: Direction::Egress,
        protocol: Protocol::TCP,
        process: Process::default(),
        cookie: 0,
        subject: Subject::Connection(Connection {
            event: ConnectionEvent::Failed,
            errno: 111,
            connect_ns: 0,
            duration_ns: 0,
            totals: Counters::default(),
        }),
    }
}

fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < until, "waited for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

struct Cluster {
    server: ApiServer,
    folder: tempfile::TempDir,
    agents: SocketAddr,
    http: SocketAddr,
}

impl Cluster {
    fn new() -> Self {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (agents, http) = (free(), free());
        let server = ApiServer::start(Options::default()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("kubeconfig"), server.kubeconfig()).unwrap();
        Self { server, folder, agents, http }
    }

    fn path(&self, name: &str) -> String {
        let path: &Path = &self.folder.path().join(name);
        path.to_str().unwrap().to_owned()
    }

    fn hub(&self) -> hub::App {
        let config = format!(
            "[hub]\nlisten = \"{}\"\n[kube]\nkubeconfig = {:?}\n[inventory]\nlisten = \"{}\"\n[history]\npath = {:?}",
            self.http,
            self.path("kubeconfig"),
            self.agents,
            self.path("history.db"),
        );
        hub::App::start(hub::Config::parse(&config).unwrap()).unwrap()
    }

    fn get(&self, path: &str) -> serde_json::Value {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(self.http).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{text}");
        serde_json::from_str(body).unwrap()
    }

    fn failures(&self) -> u64 {
        let graph = self.get("/api/v1/graph?since=-10m");
        assert!(graph["edges"].as_array().unwrap().len() <= 1, "{graph}");
        graph["edges"][0]["values"]["failures"].as_u64().unwrap_or(0)
    }
}

#[test]
fn what_was_not_stored_is_told_again_and_counts_once() {
    let cluster = Cluster::new();
    let hub = cluster.hub();
    let mut node = Node::start(cluster.agents, 1 << 20);
    (0..3).for_each(|_| node.observe(7));
    node.wait_stored();
    assert_eq!(cluster.failures(), 21);
    let nodes = cluster.get("/api/v1/nodes");
    assert_eq!(
        (&nodes["nodes"][0]["name"], &nodes["nodes"][0]["connected"]),
        (&"n1".into(), &true.into())
    );

    hub.shutdown().unwrap();
    (0..5).for_each(|_| node.observe(2));
    assert_eq!(node.spool.facts().batches, 5);
    let hub = cluster.hub();
    node.wait_stored();
    assert_eq!(cluster.failures(), 31);
    let graph = cluster.get("/api/v1/graph?since=-10m");
    assert_eq!(graph["complete"], true, "{graph}");
    assert_eq!(graph["nodes"].as_array().unwrap().len(), 2);
    hub.shutdown().unwrap();
    drop(cluster.server);
}

#[test]
fn what_had_no_room_is_told_as_missing() {
    let cluster = Cluster::new();
    let mut node = Node::start(cluster.agents, 2000);
    (0..100).for_each(|_| node.observe(1));
    let facts = node.spool.facts();
    assert!(facts.lost_rows > 50 && facts.lost_rows + facts.batches == 100, "{facts:?}");
    let hub = cluster.hub();
    node.wait_stored();
    assert_eq!(cluster.failures(), 100 - facts.lost_rows);
    let graph = cluster.get("/api/v1/graph?since=-10m");
    assert_eq!(graph["complete"], false);
    let missing =
        serde_json::json!([{ "node": "n1", "reason": "spool_full", "rows": facts.lost_rows }]);
    assert_eq!(graph["missing"], missing);
    hub.shutdown().unwrap();
}
