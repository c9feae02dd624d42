//! A hub in this process, an agent that reports to it, and the built binary that asks.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent::config::Source;
use agent::export::Records;
use agent::kube::{self, Link, Wanted};
use agent::pipeline::Interval;
use agent::report::{Health, Reporter, Spool};
use daemon::Supervisor;
use model::status::{ProgramState, ProgramStatus};
use model::{
    Connection, ConnectionEvent, Counters, Direction, Endpoint, Identity, Process, Protocol,
    Record, Subject, Timestamp, Workload,
};
use serde_json::json;
use sim::apiserver::{ApiServer, Options, User};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(60);
/// May list pods in `shop` alone.
pub const KIM: &str = "token-of-kim";

pub struct Cluster {
    pub folder: TempDir,
    app: Option<hub::App>,
    url: String,
    _server: ApiServer,
}

impl Cluster {
    /// `settings`: of the hub; FOLDER in them is a folder of its own.
    pub fn start(settings: &str) -> Self {
        Self::within(tempfile::tempdir().unwrap(), settings)
    }

    pub fn within(folder: TempDir, settings: &str) -> Self {
        let users = vec![User::named("kim", KIM).allowed_in("shop", "list", "pods")];
        let server = ApiServer::start(Options { users, ..Options::default() }).unwrap();
        for name in ["shop", "bank"] {
            let metadata = json!({ "name": name, "uid": name });
            let object = json!({ "kind": "Namespace", "apiVersion": "v1", "metadata": metadata });
            server.apply(&object).unwrap();
        }
        let kubeconfig = folder.path().join("kubeconfig");
        std::fs::write(&kubeconfig, server.kubeconfig()).unwrap();
        let settings = settings.replace("FOLDER", folder.path().to_str().unwrap());
        let text = format!(
            "{settings}\n[kube]\nkubeconfig = {kubeconfig:?}\n[inventory]\nlisten = \"127.0.0.1:0\"\n"
        );
        let mut config = hub::Config::parse(&text).unwrap();
        config.listen = Some("127.0.0.1:0".parse().unwrap());
        let scheme = if config.tls.is_some() { "https" } else { "http" };
        let app = hub::App::start(config).unwrap();
        let completed = async { tokio::time::timeout(PATIENCE, app.inventory().completed()).await };
        Runtime::new().unwrap().block_on(completed).unwrap();
        let url = format!("{scheme}://{}", app.address().unwrap());
        Self { folder, app: Some(app), url, _server: server }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Asks this hub.
    pub fn ask(&self, args: &[&str]) -> (i32, String, String) {
        ended(amphipod(args).env("AMPHIPOD_HUB", &self.url).output().unwrap())
    }

    pub fn end(&mut self) {
        self.app.take().unwrap().shutdown().unwrap();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(app) = self.app.take() {
            let _ = app.shutdown();
        }
    }
}

/// As much of an agent as answers and reports.
pub struct Agent {
    records: Arc<Records>,
    cancel: CancellationToken,
    _supervisor: Supervisor,
    runtime: Option<Runtime>,
}

impl Agent {
    /// Of the node `n1`, where a program has this state. The hub has the failures of a minute ago, and can ask it.
    pub fn start(cluster: &Cluster, state: ProgramState) -> Self {
        let mut config = agent::Config::parse("", Some("n1")).unwrap();
        config.metadata.source = Source::Hub;
        let address = cluster.app.as_ref().unwrap().agents_address();
        let (host, port) = (address.ip().to_string(), address.port());
        config.metadata.hubs = vec![agent::config::Hub { tls: false, host, port }];
        let runtime = Runtime::new().unwrap();
        let cancel = CancellationToken::new();
        let mut supervisor = Supervisor::new(runtime.handle().clone(), cancel.clone());
        let records = Arc::new(Records::new(config.records.clone()));
        let spool = Arc::new(Spool::new(16 << 20));
        let before = |seconds: u64| Timestamp(Timestamp::now().0 - seconds * 1_000_000_000);
        let mut interval = Interval::new(&config.report, 1000, before(50));
        interval.add(&failure("cart", 81));
        interval.add(&failure("cart", 81));
        interval.close(before(40)).into_iter().for_each(|batch| spool.push(batch));
        let reporter = Reporter {
            node: config.node.clone(),
            life: Reporter::new_life(),
            spool: spool.clone(),
            records: records.clone(),
            health: Box::new(move || health(state)),
        };
        let (link, wanted) = (Arc::new(Link::new(Source::Hub)), Arc::new(Wanted::default()));
        let (node, metadata) = (&config.node, &config.metadata);
        let reporter = Some(Arc::new(reporter));
        let changes = kube::start(&mut supervisor, node, metadata, &link, &wanted, reporter);
        std::thread::spawn(move || changes.into_iter().for_each(drop));
        let agent = Self { records, cancel, _supervisor: supervisor, runtime: Some(runtime) };
        wait("the rows to be stored", || spool.facts().batches == 0);
        wait("the hub to be able to ask", || {
            let (_, metrics) = get(cluster, "/metrics");
            metrics.contains("amphipod_hub_observed_agents 1")
        });
        wait("the hub to know the programs", || {
            let (_, metrics) = get(cluster, "/api/v1/nodes");
            metrics.contains("accept")
        });
        agent
    }

    pub fn observe(&self, records: impl IntoIterator<Item = Record>) {
        self.records.publish(&mut records.into_iter().collect());
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

fn health(state: ProgramState) -> Health {
    let program = ProgramStatus {
        probe: "tcp".to_owned(),
        program: "accept".to_owned(),
        state,
        reason: "said the verifier".to_owned(),
        runs: 0,
        run_time_ns: 0,
        recursion_misses: 0,
    };
    Health { programs: vec![program], lost: 5 }
}

/// `shop/web` does not reach another workload.
pub fn failure(destination: &str, port: u16) -> Record {
    let end = |name: &str, port| {
        let workload = Some(Workload { kind: "Deployment".into(), name: name.into() });
        let identity = Identity { namespace: Some("shop".into()), workload, ..Identity::default() };
        Endpoint { ip: None, port, identity: Some(Arc::new(identity)), backend: None }
    };
    let (event, totals) = (ConnectionEvent::Failed, Counters::default());
    Record {
        time: Timestamp::now(),
        node: "n1".into(),
        source: end("web", 0),
        destination: end(destination, port),
        direction: Direction::Egress,
        protocol: Protocol::TCP,
        process: Process::default(),
        cookie: 0,
        subject: Subject::Connection(Connection {
            event,
            errno: 111,
            connect_ns: 0,
            duration_ns: 0,
            totals,
        }),
    }
}

/// The built binary, in an environment that names no hub.
pub fn amphipod(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_amphipod"));
    for variable in ["AMPHIPOD_LOG", "AMPHIPOD_HUB", "AMPHIPOD_TOKEN", "NODE_NAME"] {
        command.env_remove(variable);
    }
    command.args(args).env("TZ", "UTC").stdin(Stdio::null());
    command
}

pub fn ended(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn get(cluster: &Cluster, path: &str) -> (u16, String) {
    let address = cluster.app.as_ref().unwrap().address().unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let text = std::io::read_to_string(stream).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < until, "waited for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Something else that listens: it answers each request with this, and returns its URL.
pub fn other(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    url
}

/// A certificate for 127.0.0.1, its key, and what vouches for it: files in the folder.
pub fn certificates(folder: &TempDir) -> [PathBuf; 3] {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let authority = rcgen::CertifiedIssuer::self_signed(params, key).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    let files = ["tls.crt", "tls.key", "ca.crt"].map(|name| folder.path().join(name));
    let texts = [certificate.pem(), key.serialize_pem(), authority.pem()];
    for (file, text) in files.iter().zip(texts) {
        std::fs::write(file, text).unwrap();
    }
    files
}
