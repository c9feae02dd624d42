//! A hub that lets people in, its API server, and what an agent told it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use hub::{App, Config};
use model::row::{End, Key, Values};
use model::{Direction, Measure, Protocol, Timestamp};
use proto::columns::{Writer, compress};
use proto::telemetry::{self as wire, observed, report};
use proto::{Dictionary, TelemetryClient};
use serde_json::{Value, json};
use sim::apiserver::{ApiServer, Options, User};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

pub const SOON: Duration = Duration::from_secs(30);
/// May list pods in `shop`.
pub const KIM: &str = "token-of-kim";
/// May nothing.
pub const NOBODY: &str = "token-of-nobody";
/// Meant for somebody else.
pub const OTHER: &str = "token-for-other";
pub const ALL: &str = sim::apiserver::ADMIN_TOKEN;

pub struct Cluster {
    pub app: App,
    pub runtime: Runtime,
    pub server: ApiServer,
    _folder: TempDir,
}

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn header<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.headers(name).next()
    }

    pub fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let pairs = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        pairs.filter(move |(its, _)| its.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// As a browser would send it back.
    pub fn cookie(&self) -> String {
        self.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

pub fn cluster(access: &str) -> Cluster {
    let folder = tempfile::tempdir().unwrap();
    let users = vec![
        User::named("kim", KIM).allowed_in("shop", "list", "pods"),
        User::named("nobody", NOBODY),
        User::named("other", OTHER).for_audiences(&["other"]).allowed("list", "pods"),
        // A group of the provider's.
        User::named("sellers", "no-token").allowed_in("shop", "list", "pods"),
    ];
    let server = ApiServer::start(Options { users, ..Options::default() }).unwrap();
    for name in ["shop", "bank"] {
        let object = json!({ "kind": "Namespace", "apiVersion": "v1", "metadata": { "name": name, "uid": name } });
        server.apply(&object).unwrap();
    }
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, server.kubeconfig()).unwrap();
    let access = access.replace("FOLDER", folder.path().to_str().unwrap());
    let config = format!(
        "[kube]\nkubeconfig = {kubeconfig:?}\n[inventory]\nlisten = \"127.0.0.1:0\"\n{access}"
    );
    let mut config = Config::parse(&config).unwrap();
    config.listen = Some("127.0.0.1:0".parse().unwrap());
    let app = App::start(config).unwrap();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let completed = async { tokio::time::timeout(SOON, app.inventory().completed()).await };
    runtime.block_on(completed).unwrap();
    Cluster { app, runtime, server, _folder: folder }
}

impl Cluster {
    pub fn origin(&self) -> String {
        format!("http://{}", self.app.address().unwrap())
    }

    pub fn open(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> TcpStream {
        let mut stream = TcpStream::connect(self.app.address().unwrap()).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let host = self.app.address().unwrap();
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "Host") {
            head += &format!("Host: {host}\r\n");
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        stream
    }

    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut text = String::new();
        self.open(method, path, headers, body).read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        Answer { status: head[9..12].parse().unwrap(), head: head.into(), body: body.into() }
    }

    pub fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask("GET", path, headers, "")
    }

    pub fn get_as(&self, token: &str, path: &str) -> Answer {
        self.get(path, &[("Authorization", &format!("Bearer {token}"))])
    }

    async fn channel(&self) -> Channel {
        channel(self.app.agents_address()).await
    }

    /// One interval of every pair of workloads, of which 3 rows are missing.
    #[must_use = "the node is not connected any more when it is dropped"]
    pub fn tell(&self) -> (mpsc::Sender<wire::Report>, Streaming<wire::Ack>) {
        let acknowledged = async {
            let (out, reports) = mpsc::channel(4);
            for kind in [report::Kind::Introduction(introduction()), report::Kind::Batch(batch())] {
                out.send(wire::Report { kind: Some(kind) }).await.unwrap();
            }
            let mut client = TelemetryClient::new(self.channel().await);
            let acks = client.report(ReceiverStream::new(reports)).await.unwrap();
            let mut acks = acks.into_inner();
            while acks.message().await.unwrap().unwrap().sequence < 1 {}
            (out, acks)
        };
        self.runtime.block_on(async { tokio::time::timeout(SOON, acknowledged).await }).unwrap()
    }

    /// An agent that can be asked for records.
    pub fn observed(&self) -> (mpsc::Sender<wire::Observed>, Streaming<wire::Question>) {
        self.runtime.block_on(async {
            let (out, answers) = mpsc::channel(4);
            let kind = Some(observed::Kind::Introduction(introduction()));
            out.send(wire::Observed { kind }).await.unwrap();
            let mut client = TelemetryClient::new(self.channel().await);
            let questions = client.observe(ReceiverStream::new(answers)).await.unwrap();
            (out, questions.into_inner())
        })
    }
}

pub async fn channel(address: std::net::SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

fn introduction() -> wire::Introduction {
    wire::Introduction { node: "n1".into(), agent_version: "9".into(), life: 7 }
}

fn batch() -> wire::Batch {
    let end = |namespace: &str, name: &str| End {
        namespace: namespace.into(),
        kind: if namespace.is_empty() { End::EXTERNAL } else { "Deployment" }.into(),
        name: name.into(),
        zone: "".into(),
    };
    let (cart, db) = (end("shop", "cart"), end("shop", "db"));
    let (ledger, vault) = (end("bank", "ledger"), end("bank", "vault"));
    let far = end("", "example.org");
    let pairs = [
        (&cart, &db),
        (&cart, &ledger),
        (&ledger, &cart),
        (&ledger, &vault),
        (&cart, &far),
        (&ledger, &far),
    ];
    let keys = pairs.map(|(source, destination)| Key {
        source: source.clone(),
        destination: destination.clone(),
        service: format!("svc-{}", destination.name).into(),
        protocol: Protocol::TCP,
        port: 80,
        direction: Direction::Egress,
    });
    let mut writer = Writer::default();
    for id in 0..keys.len() as u32 {
        let mut values = Values::default();
        values.add(Measure::CONNECTIONS, 10 + u64::from(id));
        writer.push(id, &values);
    }
    let columns = writer.finish();
    let now_s = Timestamp::now().0 / 1_000_000_000;
    let loss = wire::Loss {
        cause: "spool_full".into(),
        rows: 3,
        since_s: now_s - 60,
        until_s: now_s - 50,
    };
    wire::Batch {
        sequence: 1,
        start_s: now_s - now_s % 10,
        length_s: 10,
        definitions: Dictionary::default().define((0..).zip(&keys).take(keys.len())),
        rows: keys.len() as u32,
        columns: compress(&columns, 3).unwrap().into(),
        columns_bytes: columns.len() as u32,
        losses: vec![loss],
    }
}
