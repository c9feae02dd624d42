//! A hub with something to answer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use hub::store::sample_key;
use hub::{App, Config};
use model::row::Values;
use model::{Direction, Measure, Timestamp};
use proto::columns::{Writer, compress};
use proto::telemetry::{self as wire, report};
use proto::{Dictionary, TelemetryClient};
use serde_json::Value;
use sim::apiserver::{ApiServer, Options};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

/// A hub of a simulated cluster, in this process.
pub struct Hub {
    pub app: App,
    pub runtime: Runtime,
    _server: ApiServer,
    _folder: TempDir,
}

pub fn hub() -> Hub {
    let folder = tempfile::tempdir().unwrap();
    let server = ApiServer::start(Options::default()).unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, server.kubeconfig()).unwrap();
    let config = format!(
        "[hub]\nlisten = \"127.0.0.1:0\"\n[kube]\nkubeconfig = {kubeconfig:?}\n[inventory]\nlisten = \"127.0.0.1:0\"\n"
    );
    let app = App::start(Config::parse(&config).unwrap()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    Hub { app, runtime, _server: server, _folder: folder }
}

impl Hub {
    pub fn open(&self, path: &str) -> TcpStream {
        self.send("GET", path)
    }

    fn send(&self, method: &str, path: &str) -> TcpStream {
        let address: SocketAddr = self.app.address().unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .unwrap();
        stream
    }

    pub fn get(&self, path: &str) -> (u16, String) {
        let (head, body) = self.ask("GET", path);
        (head[9..12].parse().unwrap(), body)
    }

    /// Head and body of the answer.
    pub fn ask(&self, method: &str, path: &str) -> (String, String) {
        let mut text = String::new();
        self.send(method, path).read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }

    pub fn json(&self, path: &str) -> Value {
        let (status, body) = self.get(path);
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    pub async fn channel(&self) -> Channel {
        let address = format!("http://{}", self.app.agents_address());
        Endpoint::from_shared(address).unwrap().connect().await.unwrap()
    }
}

pub fn introduction() -> wire::Introduction {
    wire::Introduction { node: "n1".into(), agent_version: "9".into(), life: 7 }
}

/// An agent that has been told what is stored.
pub async fn reporter(hub: &Hub) -> (mpsc::Sender<wire::Report>, Streaming<wire::Ack>) {
    let (out, reports) = mpsc::channel(4);
    let first = wire::Report { kind: Some(report::Kind::Introduction(introduction())) };
    out.send(first).await.unwrap();
    let mut client = TelemetryClient::new(hub.channel().await);
    let acks = client.report(ReceiverStream::new(reports)).await.unwrap().into_inner();
    (out, acks)
}

pub fn batch(sequence: u64) -> wire::Batch {
    let keys = [Direction::Egress, Direction::Ingress].map(|it| sample_key(1, 2, it));
    let mut writer = Writer::default();
    for id in 0..2 {
        let mut values = Values::default();
        for measure in Measure::ALL {
            match measure.is_distribution() {
                true => values.observe(measure, 1_000_000),
                false => values.add(measure, 10),
            }
        }
        writer.push(id, &values);
    }
    let columns = writer.finish();
    let now_s = Timestamp::now().0 / 1_000_000_000;
    wire::Batch {
        sequence,
        start_s: now_s - now_s % 10,
        length_s: 10,
        definitions: Dictionary::default().define((0..).zip(&keys).take(2)),
        rows: 2,
        columns: compress(&columns, 3).unwrap().into(),
        columns_bytes: columns.len() as u32,
        losses: vec![wire::Loss {
            cause: "spool_full".into(),
            rows: 3,
            since_s: now_s - 60,
            until_s: now_s - 50,
        }],
    }
}

/// Lets `hub` store what an agent tells; the stream that is returned must be held.
pub fn tell(hub: &Hub) -> (mpsc::Sender<wire::Report>, Streaming<wire::Ack>) {
    let (out, mut acks) = hub.runtime.block_on(async {
        let (out, mut acks) = reporter(hub).await;
        assert_eq!(acks.message().await.unwrap().unwrap().sequence, 0);
        let program = wire::Program {
            probe: "tcp".into(),
            program: "p".into(),
            state: "active".into(),
            reason: "".into(),
        };
        let health = wire::Health { programs: vec![program], lost: 5 };
        for kind in [
            report::Kind::Health(health),
            report::Kind::Batch(batch(1)),
            report::Kind::Batch(batch(1)),
        ] {
            out.send(wire::Report { kind: Some(kind) }).await.unwrap();
        }
        (out, acks)
    });
    let ack = hub
        .runtime
        .block_on(async { tokio::time::timeout(Duration::from_secs(30), acks.message()).await });
    assert_eq!(ack.unwrap().unwrap().unwrap().sequence, 1);
    (out, acks)
}
