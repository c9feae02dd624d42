//! A whole agent in this process, fed with batches in the probes' stead, seen through its HTTP interface.

// The exception of clippy.toml for tests does not reach their helpers.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

use agent::config::Mode;
use agent::{App, Config, Feed};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use model::line::{Kind, Line};
use model::status::{Lost, ProgramState, ProgramStatus, Status};
use model::{
    Change, Connection, ConnectionEvent, Counters, Direction, Flow, Lookup, Observation, Process,
    Protocol, Subject, Timestamp,
};
use probes::{Batch, Report};
use tokio::net::{TcpStream, UnixStream};

const SOON: Duration = Duration::from_secs(20);

/// Stands for the probes: the test holds another sender, which [`Agent::stop`] drops.
struct Synthetic(#[allow(dead_code)] SyncSender<Batch>);

impl Feed for Synthetic {
    fn report(&self) -> Report {
        let program = ProgramStatus {
            probe: "tcp".into(),
            program: "set_state".into(),
            state: ProgramState::Active,
            reason: String::new(),
            runs: 10,
            run_time_ns: 5000,
            recursion_misses: 1,
        };
        Report { programs: vec![program], ..Report::default() }
    }
}

struct Agent {
    app: App,
    batches: SyncSender<Batch>,
    changes: Sender<Change>,
    socket: PathBuf,
    _directory: tempfile::TempDir,
}

impl Agent {
    fn start(mode: Mode, adapt: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::parse("", Some("node-1")).unwrap();
        config.mode = mode;
        config.socket = directory.path().join("run/agent.sock");
        config.listen = Some("127.0.0.1:0".parse().unwrap());
        adapt(&mut config);
        let (changes, feed) = channel();
        let (tell, told) = sync_channel(1);
        let socket = config.socket.clone();
        let app = App::start_with(config, feed, |batches| {
            tell.send(batches.clone()).unwrap();
            Ok(Box::new(Synthetic(batches)))
        })
        .unwrap();
        Self { app, batches: told.recv().unwrap(), changes, socket, _directory: directory }
    }

    fn send(&self, observations: Vec<Observation>) {
        self.batches.send(Batch::Observations(observations)).unwrap();
    }

    fn address(&self) -> SocketAddr {
        self.app.address().unwrap()
    }

    /// As the binary does: what is queued is delivered, and everything ends in time.
    async fn stop(self) {
        let Self { app, batches, .. } = self;
        drop(batches);
        tokio::task::spawn_blocking(move || app.shutdown()).await.unwrap().unwrap();
    }
}

fn observation(port: u16, subject: Subject) -> Observation {
    Observation {
        time: Timestamp::now(),
        process: Process::default(),
        protocol: Protocol::TCP,
        direction: Direction::Egress,
        local: SocketAddr::from(([127, 0, 0, 1], port)),
        remote: "192.0.2.7:443".parse().unwrap(),
        cookie: u64::from(port),
        subject,
    }
}

fn flow(port: u16, sent: u64) -> Observation {
    let deltas = Counters { bytes_sent: sent, packets_sent: 1, rtt_us: 80, ..Counters::default() };
    observation(port, Subject::Flow(Flow { deltas, interval_ns: 5_000_000_000, age_ns: 0 }))
}

fn connection(port: u16, event: ConnectionEvent) -> Observation {
    let totals = Counters { bytes_sent: 1000, ..Counters::default() };
    let connect_ns = if event == ConnectionEvent::Opened { 90_000 } else { 0 };
    observation(
        port,
        Subject::Connection(Connection { event, errno: 0, connect_ns, duration_ns: 0, totals }),
    )
}

/// A request on a connection of its own.
async fn request(
    stream: impl hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
    request: Request<Empty<Bytes>>,
) -> Response<Incoming> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    tokio::time::timeout(SOON, sender.send_request(request)).await.unwrap().unwrap()
}

fn get(path: &str) -> Request<Empty<Bytes>> {
    Request::get(path).header("host", "agent").body(Empty::new()).unwrap()
}

async fn local(socket: &Path, path: &str) -> Response<Incoming> {
    request(TokioIo::new(UnixStream::connect(socket).await.unwrap()), get(path)).await
}

async fn open(address: SocketAddr, path: &str) -> Response<Incoming> {
    request(TokioIo::new(TcpStream::connect(address).await.unwrap()), get(path)).await
}

fn kind(response: &Response<Incoming>) -> String {
    response.headers()["content-type"].to_str().unwrap().to_owned()
}

async fn text(response: Response<Incoming>) -> String {
    let body = tokio::time::timeout(SOON, response.into_body().collect()).await.unwrap().unwrap();
    String::from_utf8(body.to_bytes().to_vec()).unwrap()
}

/// The next `count` lines of a stream.
async fn lines(body: &mut Incoming, count: usize) -> Vec<String> {
    let mut read = Vec::new();
    while read.iter().filter(|byte| **byte == b'\n').count() < count {
        let frame = tokio::time::timeout(SOON, body.frame()).await.expect("lines in time");
        match frame {
            Some(frame) => read.extend(frame.unwrap().into_data().unwrap()),
            None => break,
        }
    }
    String::from_utf8(read).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_become_records_metrics_and_status() {
    let agent = Agent::start(Mode::Standalone, |_| {});
    let mut stream =
        local(&agent.socket, "/api/v1/records?follow=1&kind=flow&from_port=7").await.into_body();
    agent.send(vec![
        connection(7, ConnectionEvent::Opened),
        flow(7, 700),
        flow(8, 800),
        flow(7, 300),
        connection(7, ConnectionEvent::Closed),
        connection(8, ConnectionEvent::Opened),
    ]);
    let lines = lines(&mut stream, 2).await;
    let sent: Vec<_> = lines
        .iter()
        .map(|line| serde_json::from_str::<Line>(line).unwrap())
        .map(|line| (line.kind, line.source.port, line.bytes_sent, line.node.to_string()))
        .collect();
    let node = || "node-1".to_owned();
    assert_eq!(sent, [(Kind::Flow, 7, Some(700), node()), (Kind::Flow, 7, Some(300), node())]);

    let kept = local(&agent.socket, "/api/v1/records?last=2").await;
    assert_eq!(kind(&kept), "application/x-ndjson");
    let kept = text(kept).await;
    let events: Vec<_> =
        kept.lines().map(|line| serde_json::from_str::<Line>(line).unwrap().source.port).collect();
    assert_eq!(events, [7, 8]);

    let status: Status =
        serde_json::from_str(&text(open(agent.address(), "/api/v1/status").await).await).unwrap();
    assert_eq!(
        (status.node.as_str(), status.mode.as_str(), status.ready),
        ("node-1", "standalone", true)
    );
    assert_eq!((status.records.total, status.records.readers, status.records.buffered), (6, 1, 6));
    assert_eq!(status.programs.len(), 1);
    assert_eq!(status.pid, std::process::id());
    assert!(status.cost.rss_bytes > 0, "{:?}", status.cost);

    let metrics = open(agent.address(), "/metrics").await;
    assert_eq!(kind(&metrics), "text/plain; version=0.0.4; charset=utf-8");
    let metrics = text(metrics).await;
    // The deltas of a connection's flows are its bytes: its totals are not counted again.
    let value = |name: &str| -> f64 {
        let samples = metrics
            .lines()
            .filter(|line| line.starts_with(name) && line.contains("direction=\"egress\""));
        samples.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    };
    assert_eq!(value("amphipod_flow_bytes_total{"), 1800.0, "{metrics}");
    assert_eq!(value("amphipod_active_connections{"), 1.0, "{metrics}");
    assert_eq!(value("amphipod_connections_total{"), 2.0, "{metrics}");
    assert_eq!(value("amphipod_tcp_rtt_seconds_count{"), 3.0, "{metrics}");
    assert!(metrics.contains(
        "amphipod_program_run_seconds_total{probe=\"tcp\",program=\"set_state\"} 0.000005\n"
    ));
    agent.stop().await;
    // The stream has ended, with nothing more in it.
    assert!(stream.frame().await.is_none());
}

/// Of `name` to the address that all observations here have at their other end.
fn lookup(name: &str, code: Option<u16>, direction: Direction) -> Observation {
    let lookup = Lookup {
        name: name.into(),
        kind: 1,
        code,
        answers: 1,
        addresses: code
            .filter(|code| *code == 0)
            .map(|_| [192, 0, 2, 7].into())
            .into_iter()
            .collect(),
        duration_ns: 3_000_000,
        ..Lookup::default()
    };
    let subject = Subject::Dns(lookup.into());
    let remote = "192.0.2.53:53".parse().unwrap();
    Observation { protocol: Protocol::UDP, direction, remote, ..observation(4000, subject) }
}

#[tokio::test(flavor = "multi_thread")]
async fn lookups_are_records_and_series_and_name_what_they_found() {
    let agent = Agent::start(Mode::Standalone, |_| {});
    let mut stream =
        local(&agent.socket, "/api/v1/records?follow=1&kind=connection,dns").await.into_body();
    // The connection comes first, as it may: threads race. It waits for its name.
    agent.send(vec![connection(7, ConnectionEvent::Opened)]);
    agent.send(vec![
        lookup("nothing.example", Some(3), Direction::Egress),
        lookup("api.payments.example", Some(0), Direction::Egress),
        lookup("silent.example", None, Direction::Egress),
        lookup("served.example", Some(0), Direction::Ingress),
        lookup("odd.example", Some(3000), Direction::Ingress),
    ]);
    let lines = lines(&mut stream, 6).await;
    let lines: Vec<Line> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let opened = lines.iter().find(|line| line.kind == Kind::Connection).unwrap();
    assert_eq!(opened.destination.names, ["api.payments.example".into()]);
    assert_eq!(opened.destination.workload.as_deref(), Some("world"));
    let told: Vec<_> = lines
        .iter()
        .filter_map(|line| line.dns.as_ref())
        .map(|dns| (&*dns.query, dns.code.as_deref(), dns.error.as_deref(), dns.duration_us))
        .collect();
    assert_eq!(
        told,
        [
            ("nothing.example", Some("NXDOMAIN"), None, Some(3000)),
            ("api.payments.example", Some("NOERROR"), None, Some(3000)),
            ("silent.example", None, Some("timeout"), Some(3000)),
            ("served.example", Some("NOERROR"), None, Some(3000)),
            ("odd.example", Some("RCODE3000"), None, Some(3000)),
        ]
    );
    let metrics = text(open(agent.address(), "/metrics").await).await;
    for (rcode, direction) in [
        ("NXDOMAIN", "egress"),
        ("NOERROR", "egress"),
        ("timeout", "egress"),
        ("NOERROR", "ingress"),
        ("other", "ingress"),
    ] {
        let labels = [format!("rcode=\"{rcode}\""), format!("direction=\"{direction}\"")];
        let counts: Vec<_> = metrics
            .lines()
            .filter(|line| line.starts_with("dns_lookup_duration_seconds_count{"))
            .filter(|line| labels.iter().all(|label| line.contains(label)))
            .collect();
        assert!(matches!(counts[..], [line] if line.ends_with(" 1")), "{labels:?}: {metrics}");
    }
    // Names are no labels: there may be any number of them.
    assert!(!metrics.contains("payments.example"));
    let failed = text(local(&agent.socket, "/api/v1/records?last=9&kind=dns&verdict=failed").await);
    assert_eq!(failed.await.lines().count(), 2);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_queued_at_the_end_is_delivered() {
    let agent = Agent::start(Mode::Standalone, |_| {});
    let socket = agent.socket.clone();
    let mut stream = local(&socket, "/api/v1/records?follow=1").await.into_body();
    for batch in 0..10 {
        agent.send((0..100).map(|port| flow(port, batch)).collect());
    }
    let (read, ()) = tokio::join!(lines(&mut stream, usize::MAX), agent.stop());
    assert_eq!(read.len(), 1000);
    assert_eq!(
        std::fs::read_dir(socket.parent().unwrap()).map_or(0, Iterator::count),
        0,
        "something is left over"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_reader_is_told_what_it_lost() {
    const BATCHES: u64 = 60;
    let agent = Agent::start(Mode::Standalone, |config| {
        config.records.buffer = 100;
        config.records.backlog = 1000;
    });
    let stalled = local(&agent.socket, "/api/v1/records?follow=1").await;
    let mut quick = local(&agent.socket, "/api/v1/records?follow=1").await.into_body();
    for batch in 0..BATCHES {
        agent.send((0..500).map(|port| flow(port, batch)).collect());
        // The stalled one must not hold up the other.
        assert_eq!(lines(&mut quick, 500).await.len(), 500);
    }
    let metrics = text(open(agent.address(), "/metrics").await).await;
    let counted = metrics
        .lines()
        .find_map(|line| {
            line.strip_prefix(
                "amphipod_lost_total{probe=\"records\",stage=\"stream\",cause=\"slow_reader\"} ",
            )
        })
        .expect("a counter of what was lost")
        .parse::<u64>()
        .unwrap();
    assert!(counted > 0);
    let mut body = stalled.into_body();
    let (read, ()) = tokio::join!(lines(&mut body, usize::MAX), agent.stop());
    let lost: u64 = read
        .iter()
        .filter_map(|line| serde_json::from_str::<Lost>(line).ok())
        .map(|line| line.lost)
        .sum();
    let records =
        read.iter().filter(|line| serde_json::from_str::<Lost>(line).is_err()).count() as u64;
    assert_eq!((lost, lost + records), (counted, BATCHES * 500));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_ready_when_the_metadata_is_complete() {
    let agent = Agent::start(Mode::Kubernetes, |_| {});
    let before = open(agent.address(), "/readyz").await;
    assert_eq!(before.status(), 503);
    assert!(text(before).await.contains("the first complete list of pods and services"));
    assert_eq!(open(agent.address(), "/healthz").await.status(), 200);
    agent.changes.send(Change::Synced).unwrap();
    let ready = async {
        while open(agent.address(), "/readyz").await.status() != 200 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON, ready).await.expect("ready after Synced");
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_cannot_be_served_say_why() {
    let agent = Agent::start(Mode::Standalone, |config| config.records.max_readers = 1);
    let check = async |path: &str, status: u16, detail: &str| {
        let response = local(&agent.socket, path).await;
        assert_eq!(
            (response.status().as_u16(), kind(&response)),
            (status, "application/problem+json".into()),
            "{path}"
        );
        let problem: serde_json::Value = serde_json::from_str(&text(response).await).unwrap();
        assert_eq!(problem["status"], status);
        assert!(problem["detail"].as_str().unwrap().contains(detail), "{path}: {problem}");
    };
    check("/nothing", 404, "no such path").await;
    check("/api/v1/records?last=many", 400, "last=many: expected a whole number").await;
    check("/api/v1/records?follow=maybe", 400, "follow=maybe: expected 1 or 0").await;
    check("/api/v1/records?from_pot=7", 400, "unknown filter \"from_pot\"").await;
    let _reader = local(&agent.socket, "/api/v1/records?follow=1").await;
    check("/api/v1/records?follow=1", 503, "1 readers of records are connected").await;

    // Records are for those who may use the socket.
    assert_eq!(open(agent.address(), "/api/v1/records").await.status(), 404);
    for path in ["/metrics", "/api/v1/status"] {
        let post = Request::builder().method(Method::POST).uri(path).header("host", "agent");
        let stream = TokioIo::new(TcpStream::connect(agent.address()).await.unwrap());
        let answer = request(stream, post.body(Empty::new()).unwrap()).await;
        assert_eq!((answer.status().as_u16(), &*kind(&answer)), (405, "application/problem+json"));
        assert!(text(answer).await.contains("only GET is served here"), "{path}");
    }
    let long = Request::get("/healthz")
        .header("host", "agent")
        .header("x", "y".repeat(64 << 10))
        .body(Empty::new());
    let stream = TokioIo::new(TcpStream::connect(agent.address()).await.unwrap());
    assert_eq!(request(stream, long.unwrap()).await.status(), 431);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_agent_names_the_first() {
    let agent = Agent::start(Mode::Standalone, |_| {});
    let mut config = agent.app.config().clone();
    config.listen = None;
    let error = App::start_with(config.clone(), channel().1, |_| panic!("must not be attached"))
        .err()
        .unwrap();
    assert!(error.to_string().contains(&format!("pid {}", std::process::id())), "{error}");
    // The first one is unharmed, and its address is taken.
    assert_eq!(local(&agent.socket, "/healthz").await.status(), 200);
    config.socket.set_file_name("other.sock");
    config.listen = Some(agent.address());
    let error =
        App::start_with(config, channel().1, |_| panic!("must not be attached")).err().unwrap();
    assert!(error.to_string().starts_with(&format!("listen on {}", agent.address())), "{error}");
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_probes_is_the_end_of_the_agent() {
    let (_changes, feed) = channel();
    let directory = tempfile::tempdir().unwrap();
    let mut config = Config::parse("[agent]\nlisten = \"off\"", Some("node-1")).unwrap();
    config.socket = directory.path().join("agent.sock");
    struct Deaf;
    impl Feed for Deaf {
        fn report(&self) -> Report {
            Report::default()
        }
    }
    // The sender of batches is dropped at once.
    let app = App::start_with(config, feed, |_| Ok(Box::new(Deaf))).unwrap();
    let ended =
        tokio::task::spawn_blocking(move || app.run_until(Default::default())).await.unwrap();
    assert_eq!(ended.unwrap_err().to_string(), "pipeline stopped: ended unasked");
}
