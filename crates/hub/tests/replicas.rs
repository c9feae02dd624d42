//! Two replicas of a hub answer as one that has all agents, and say what is missing when one is gone.

// A test fails where something is wrong.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use daemon::tls::{self, Files};
use hub::{App, Config};
use hyper_util::rt::TokioIo;
use model::row::{End, Key, Values};
use model::{Direction, Measure, Protocol, Timestamp};
use proto::columns::{Writer, compress};
use proto::replica::What;
use proto::replica::replica_client::ReplicaClient;
use proto::telemetry::{self as wire, observed, question, report};
use proto::{Dictionary, TelemetryClient};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use rustls_pki_types::ServerName;
use serde_json::Value;
use sim::apiserver::{ApiServer, Options};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

const SOON: Duration = Duration::from_secs(30);
const LIFE: u64 = 7;

struct Hubs {
    runtime: Runtime,
    apps: Vec<App>,
    _server: ApiServer,
    folder: TempDir,
}

/// `count` replicas that know each other.
fn hubs(count: usize) -> Hubs {
    hubs_as(count, "http", "")
}

/// With certificates.
fn secured() -> Hubs {
    let files = "certificate = \"FOLDER/hub.pem\"\nkey = \"FOLDER/hub.key\"\nclient_ca = \"FOLDER/ca.pem\"\n";
    hubs_as(2, "https", files)
}

fn hubs_as(count: usize, scheme: &str, files: &str) -> Hubs {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let files = files.replace("FOLDER", folder.path().to_str().unwrap());
    let server = ApiServer::start(Options::default()).unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, server.kubeconfig()).unwrap();
    let free: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let addresses: Vec<SocketAddr> = free.iter().map(|it| it.local_addr().unwrap()).collect();
    drop(free);
    let peers: Vec<String> = addresses.iter().map(|it| format!("{scheme}://{it}")).collect();
    let peers = if count > 1 { peers } else { Vec::new() };
    let app = |address: &SocketAddr| {
        let config = format!(
            "[hub]\nlisten = \"127.0.0.1:0\"\npeers = {peers:?}\n[kube]\nkubeconfig = {kubeconfig:?}\n\
             [inventory]\nlisten = \"{address}\"\n{files}"
        );
        App::start(Config::parse(&config).unwrap()).unwrap()
    };
    let apps = addresses.iter().map(app).collect();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let hubs = Hubs { runtime, apps, _server: server, folder };
    for hub in 0..count {
        let up = |metrics: &str| {
            let up = metrics.lines().filter(|it| it.starts_with("amphipod_hub_replica_up{"));
            up.filter(|it| it.ends_with(" 1")).count() == count - 1
        };
        hubs.until(|| up(&hubs.get(hub, "/metrics")), "replicas find each other");
    }
    hubs
}

impl Hubs {
    fn until(&self, mut holds: impl FnMut() -> bool, what: &str) {
        let end = Instant::now() + SOON;
        while !holds() {
            assert!(Instant::now() < end, "{what}");
            std::thread::yield_now();
        }
    }

    fn open(&self, hub: usize, path: &str) -> std::net::TcpStream {
        let address = self.apps[hub].address().unwrap();
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")
            .unwrap();
        stream
    }

    fn get(&self, hub: usize, path: &str) -> String {
        let mut text = String::new();
        self.open(hub, path).read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{path}: {text}");
        body.to_owned()
    }

    fn json(&self, hub: usize, path: &str) -> Value {
        serde_json::from_str(&self.get(hub, path)).unwrap()
    }

    fn report(&self, hub: usize, node: &str) -> Stream {
        let (out, reports) = mpsc::channel(16);
        let acks = self.runtime.block_on(async {
            let introduction = report::Kind::Introduction(introduction(node));
            out.send(wire::Report { kind: Some(introduction) }).await.unwrap();
            let mut client = TelemetryClient::new(channel(self.apps[hub].agents_address()).await);
            client.report(ReceiverStream::new(reports)).await.unwrap().into_inner()
        });
        Stream { out, acks }
    }

    /// Until all are stored up to there.
    fn tell(
        &self,
        stream: &mut Stream,
        batches: impl IntoIterator<Item = wire::Batch>,
        up_to: u64,
    ) {
        let told = async {
            for batch in batches {
                let kind = Some(report::Kind::Batch(batch));
                stream.out.send(wire::Report { kind }).await.unwrap();
            }
            while stream.acks.message().await.unwrap().unwrap().sequence < up_to {}
        };
        self.runtime.block_on(async { tokio::time::timeout(SOON, told).await }).unwrap();
    }

    fn stop(self) {
        self.apps.into_iter().for_each(|app| app.shutdown().unwrap());
    }
}

/// An authority, and certificates of it: of a hub, of node `n1`, and of something else.
fn certificates(folder: &Path) {
    let write = |name: &str, text: String| std::fs::write(folder.join(name), text).unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    write("ca.pem", params.self_signed(&key).unwrap().pem());
    let issuer = Issuer::new(params, key);
    for (name, is_for) in [
        ("hub", SanType::IpAddress([127, 0, 0, 1].into())),
        ("agent", SanType::URI("spiffe://cluster.local/node/n1".try_into().unwrap())),
        ("other", SanType::DnsName("other.test".try_into().unwrap())),
    ] {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![is_for];
        let key = KeyPair::generate().unwrap();
        write(&format!("{name}.pem"), params.signed_by(&key, &issuer).unwrap().pem());
        write(&format!("{name}.key"), key.serialize_pem());
    }
}

/// What somebody with this certificate is told of a hub.
async fn describe(address: SocketAddr, folder: &Path, own: &str) -> Result<String, Status> {
    let at = |name: String| folder.join(name);
    let own = Files { certificate: at(format!("{own}.pem")), key: at(format!("{own}.key")) };
    let tls = tls::Client::new(folder.join("ca.pem"), Some(own), &[tls::HTTP2]).unwrap();
    let connect = tower::service_fn(move |_| {
        let connector = TlsConnector::from(tls.config());
        async move {
            let stream = TcpStream::connect(address).await?;
            let name = ServerName::try_from("127.0.0.1").unwrap();
            Ok::<_, std::io::Error>(TokioIo::new(connector.connect(name, stream).await?))
        }
    });
    let channel = Endpoint::from_static("http://hub").connect_with_connector_lazy(connect);
    let described = ReplicaClient::new(channel).describe(What::default()).await?;
    Ok(described.into_inner().name)
}

#[test]
fn only_a_replica_is_answered() {
    // They have found each other by their certificates.
    let two = secured();
    let address = two.apps[0].agents_address();
    two.runtime.block_on(async {
        for own in ["agent", "other"] {
            let error = describe(address, two.folder.path(), own).await.unwrap_err();
            assert_eq!(error.code(), Code::PermissionDenied, "{own}: {error}");
        }
        let name = describe(address, two.folder.path(), "hub").await.unwrap();
        assert!(name.ends_with(&format!(":{}", address.port())), "{name}");
    });
    // Where no replicas are configured nobody is one.
    let one = hubs(1);
    one.runtime.block_on(async {
        let mut client = ReplicaClient::new(channel(one.apps[0].agents_address()).await);
        let error = client.describe(What::default()).await.unwrap_err();
        assert_eq!(error.code(), Code::PermissionDenied, "{error}");
    });
    one.stop();
    two.stop();
}

struct Stream {
    out: mpsc::Sender<wire::Report>,
    acks: tonic::Streaming<wire::Ack>,
}

async fn channel(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

fn introduction(node: &str) -> wire::Introduction {
    wire::Introduction { node: node.into(), agent_version: "9".into(), life: LIFE }
}

/// Source, destination, whose end it is, and connections.
type Row = (&'static str, &'static str, Direction, u64);

fn batch(sequence: u64, start_s: u64, rows: &[Row]) -> wire::Batch {
    let end = |name: &str| End {
        namespace: "shop".into(),
        kind: "Deployment".into(),
        name: name.into(),
        zone: "".into(),
    };
    let keys: Vec<Key> = rows
        .iter()
        .map(|(source, destination, direction, _)| Key {
            source: end(source),
            destination: end(destination),
            service: "".into(),
            protocol: Protocol::TCP,
            port: 80,
            direction: *direction,
        })
        .collect();
    let mut writer = Writer::default();
    for (id, (.., count)) in (0..).zip(rows) {
        let mut values = Values::default();
        values.add(Measure::CONNECTIONS, *count);
        values.observe(Measure::CONNECT, count * 1_000_000);
        writer.push(id, &values);
    }
    let columns = writer.finish();
    wire::Batch {
        sequence,
        start_s,
        length_s: 10,
        definitions: Dictionary::default().define((0..).zip(&keys)),
        rows: rows.len() as u32,
        columns: compress(&columns, 3).unwrap().into(),
        columns_bytes: columns.len() as u32,
        losses: Vec::new(),
    }
}

fn now_s() -> u64 {
    Timestamp::now().0 / 1_000_000_000
}

use Direction::{Egress, Ingress};

/// By node: both ends of a pair may be on nodes of different replicas, or on those of one, or only one end is observed.
const NODES: [(&str, &[Row]); 4] = [
    ("n1", &[("cart", "db", Egress, 10), ("web", "cart", Egress, 3), ("cart", "far", Egress, 7)]),
    ("n2", &[("cart", "db", Ingress, 11), ("web", "cart", Ingress, 3), ("near", "db", Ingress, 5)]),
    ("n3", &[("cart", "db", Egress, 100), ("job", "db", Egress, 1)]),
    ("n4", &[("job", "db", Ingress, 2), ("near", "cart", Ingress, 4)]),
];

fn tell_all(hubs: &Hubs, now_s: u64) -> Vec<Stream> {
    let tell = |(number, (node, rows)): (usize, &(&str, &[Row]))| {
        let mut stream = hubs.report(number % hubs.apps.len(), node);
        // A minute ago and now.
        let batches = [batch(1, now_s - 60, rows), batch(2, now_s, rows)];
        hubs.tell(&mut stream, batches, 2);
        stream
    };
    NODES.iter().enumerate().map(tell).collect()
}

/// Edges by the names of their ends.
fn edges(graph: &Value) -> BTreeMap<String, Value> {
    let name = |it: &Value| graph["nodes"][it.as_u64().unwrap() as usize]["name"].as_str().unwrap();
    let edges = graph["edges"].as_array().unwrap().iter();
    edges
        .map(|it| {
            let mut values = it["values"].clone();
            blur(&mut values);
            (format!("{} {}", name(&it["source"]), name(&it["destination"])), values)
        })
        .collect()
}

#[test]
fn replicas_answer_as_one_hub_that_has_all_agents() {
    let (one, two) = (hubs(1), hubs(2));
    let now_s = now_s() / 10 * 10 - 10;
    let _streams = (tell_all(&one, now_s), tell_all(&two, now_s));
    let times = format!("since={}&until={}", time(now_s - 120), time(now_s + 10));
    for hub in 0..2 {
        for select in ["", "&namespace=shop", "&group=namespace"] {
            let path = format!("/api/v1/graph?{times}{select}");
            let (expected, found) = (one.json(0, &path), two.json(hub, &path));
            assert_eq!(edges(&found), edges(&expected), "{path}");
            assert_eq!(found["complete"], true, "{found}");
        }
        let graph = two.json(hub, &format!("/api/v1/graph?{times}"));
        assert_eq!(edges(&graph)["cart db"]["connections"], 220);
        for path in [
            format!("/api/v1/series?measure=connections&measure=connect&step=10s&{times}"),
            format!(
                "/api/v1/series?measure=connections&step=10s&{times}&workload=shop/Deployment/db"
            ),
            format!("/api/v1/workloads?{times}"),
            format!("/api/v1/workloads/shop/Deployment/cart?{times}"),
        ] {
            assert_eq!(answer(two.json(hub, &path)), answer(one.json(0, &path)), "{path}");
        }
        let nodes = two.json(hub, "/api/v1/nodes");
        let names: Vec<&str> = nodes["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["n1", "n2", "n3", "n4"]);
        assert!(nodes["nodes"][1]["connected"].as_bool().unwrap() && nodes["missing"].is_null());
    }
    one.stop();
    two.stop();
}

/// Sums of durations are stored in steps: a mean depends a little on what was put together first.
fn blur(json: &mut Value) {
    match json {
        Value::Object(it) => {
            if it.get("statistic").is_some_and(|it| it == "mean") {
                it.remove("values");
            }
            it.remove("mean");
            it.values_mut().for_each(blur);
        }
        Value::Array(all) => all.iter_mut().for_each(blur),
        _ => {}
    }
}

/// Without what depends on when a hub began.
fn answer(mut json: Value) -> Value {
    blur(&mut json);
    let fields = json.as_object_mut().unwrap();
    fields.retain(|name, _| !["since", "until", "step_s"].contains(&name.as_str()));
    json
}

fn time(seconds: u64) -> String {
    Timestamp(seconds * 1_000_000_000).to_string()
}

#[test]
fn what_a_dead_replica_had_is_said_to_be_missing() {
    let mut two = hubs(2);
    let _streams = tell_all(&two, now_s() / 10 * 10 - 10);
    let address = two.apps[1].agents_address();
    two.apps.pop().unwrap().shutdown().unwrap();
    for path in ["graph", "workloads", "series?measure=connections", "nodes"] {
        let since = Instant::now();
        let answer = two.json(0, &format!("/api/v1/{path}"));
        assert!(since.elapsed() < Duration::from_secs(7), "{path}: {:?}", since.elapsed());
        let missing = answer["missing"].as_array().unwrap().iter();
        let replicas: Vec<_> = missing.filter(|it| it["reason"] == "replica_unreachable").collect();
        assert_eq!(replicas.len(), 1, "{path}: {answer}");
        let name = replicas[0]["node"].as_str().unwrap();
        assert!(name.ends_with(&format!(":{}", address.port())), "{name}");
        assert_ne!(answer["complete"], true, "{path}");
    }
    let graph = two.json(0, "/api/v1/graph");
    // What n3 and n1 told is there.
    assert_eq!(edges(&graph)["cart db"]["connections"], 220);
    let records = two.get(0, "/api/v1/records?last=5");
    assert!(records.contains("replica_unreachable"), "{records}");
    two.stop();
}

#[test]
fn a_batch_that_two_replicas_get_counts_once() {
    let two = hubs(2);
    let now_s = now_s() / 10 * 10 - 10;
    let rows: &[Row] = &[("cart", "db", Egress, 10)];
    let mut first = two.report(0, "n1");
    two.tell(&mut first, [batch(1, now_s, rows)], 1);
    // Taken, and not stored before the next interval's end unless somebody asks.
    let kind = Some(report::Kind::Batch(batch(2, now_s, rows)));
    two.runtime.block_on(first.out.send(wire::Report { kind })).unwrap();
    let rows_taken = |hub| {
        let metrics = two.get(hub, "/metrics");
        let line = metrics.lines().find(|it| it.starts_with("amphipod_hub_rows_total "));
        line.and_then(|it| it.rsplit_once(' ')?.1.parse::<u64>().ok()).unwrap_or(0)
    };
    two.until(|| rows_taken(0) == 2, "the second batch is taken");
    let mut second = two.report(1, "n1");
    let again = [batch(1, now_s, rows), batch(2, now_s, rows), batch(3, now_s, rows)];
    two.tell(&mut second, again, 3);
    // The old stream has more to say, which the agent says on the new one.
    let kind = Some(report::Kind::Batch(batch(3, now_s, rows)));
    let ended = async {
        let _ = first.out.send(wire::Report { kind }).await;
        while let Ok(Some(_)) = first.acks.message().await {}
    };
    two.runtime.block_on(async { tokio::time::timeout(SOON, ended).await }).unwrap();
    for hub in 0..2 {
        let graph = two.json(hub, "/api/v1/graph");
        assert_eq!(edges(&graph)["cart db"]["connections"], 30, "{hub}: {graph}");
    }
    assert_eq!([rows_taken(0), rows_taken(1)], [2, 1]);
    two.stop();
}

#[test]
fn live_records_come_from_agents_of_all_replicas() {
    let two = hubs(2);
    let (out, answers) = mpsc::channel(4);
    let kind = Some(observed::Kind::Introduction(introduction("n2")));
    let mut questions = two.runtime.block_on(async {
        out.send(wire::Observed { kind }).await.unwrap();
        let mut client = TelemetryClient::new(channel(two.apps[1].agents_address()).await);
        client.observe(ReceiverStream::new(answers)).await.unwrap().into_inner()
    });
    let reader = two.open(0, "/api/v1/records?follow=1");
    let question = two.runtime.block_on(async {
        loop {
            let next = tokio::time::timeout(SOON, questions.message()).await.unwrap();
            let next = next.unwrap().unwrap();
            if let Some(question::Kind::Ask(ask)) = next.kind {
                assert!(ask.follow);
                break next.question;
            }
        }
    });
    let line = "{\"time\":\"2026-01-01T00:00:00.000000000Z\",\"node\":\"n2\"}\n";
    let lines = wire::Lines { question, lines: line.into(), lost: 0 };
    let answer = wire::Observed { kind: Some(observed::Kind::Lines(lines)) };
    two.runtime.block_on(out.send(answer)).unwrap();
    let mut read = BufReader::new(reader).lines().map(|line| line.unwrap());
    let shown = read.find(|line| line.starts_with('{')).unwrap();
    assert_eq!(shown, line.trim());
    // Nobody listens any more: its agents hear of it.
    drop(read);
    let cancelled = async {
        while !matches!(
            questions.message().await.unwrap().unwrap().kind,
            Some(question::Kind::Cancel(_))
        ) {}
    };
    two.runtime.block_on(async { tokio::time::timeout(SOON, cancelled).await }).unwrap();
    two.stop();
}
