//! A real Prometheus scrapes an agent and a hub, and is written to by both.

// A test fails where something is wrong.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use agent::Feed;
use model::{
    Connection, ConnectionEvent, Counters, Direction, Observation, Process, Protocol, Subject,
    Timestamp,
};
use probes::{Batch, Report};
use serde_json::{Value, json};
use sim::apiserver::{ApiServer, Options};

const PATIENCE: Duration = Duration::from_secs(60);

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Stands for the probes.
struct Silent(#[allow(dead_code)] SyncSender<Batch>);

impl Feed for Silent {
    fn report(&self) -> Report {
        Report::default()
    }
}

fn exchange(address: SocketAddr, request: &str) -> Option<(String, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "{request}Host: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some((head.to_owned(), body.to_owned()))
}

/// What Prometheus answers.
fn ask(address: SocketAddr, path: &str) -> Option<Value> {
    let (_, body) = exchange(address, &format!("GET /api/v1/{path} HTTP/1.1\r\n"))?;
    let answer: Value = serde_json::from_str(&body).ok()?;
    (answer["status"] == "success").then(|| answer["data"].clone())
}

/// The value of each series that matches.
fn values(address: SocketAddr, query: &str) -> Vec<f64> {
    let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let data = ask(address, &format!("query?query={encoded}")).unwrap_or_default();
    let series = data["result"].as_array().cloned().unwrap_or_default();
    series.iter().filter_map(|it| it["value"][1].as_str()?.parse().ok()).collect()
}

fn wait(what: &str, log: &Path, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        let log = || std::fs::read_to_string(log).unwrap_or_default();
        assert!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}\n{}", log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn opened() -> Observation {
    Observation {
        time: Timestamp::now(),
        process: Process::default(),
        protocol: Protocol::TCP,
        direction: Direction::Egress,
        local: "127.0.0.1:40000".parse().unwrap(),
        remote: "192.0.2.7:443".parse().unwrap(),
        cookie: 1,
        subject: Subject::Connection(Connection {
            event: ConnectionEvent::Opened,
            errno: 0,
            connect_ns: 90_000,
            duration_ns: 0,
            totals: Counters::default(),
        }),
    }
}

/// A Prometheus that scrapes what stands in `targets.json`, where it listens, and its log.
fn prometheus(folder: &Path) -> (Killed, SocketAddr, PathBuf) {
    let targets = folder.join("targets.json");
    let config = format!(
        "global: {{ scrape_interval: 1s }}\n\
         scrape_configs: [{{ job_name: scraped, file_sd_configs: [{{ files: [{targets:?}] }}] }}]\n"
    );
    std::fs::write(folder.join("prometheus.yml"), config).unwrap();
    let log = folder.join("log");
    let file = File::create(&log).unwrap();
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
        .args(["--web.listen-address=127.0.0.1:0", "--web.enable-remote-write-receiver"])
        .stdin(Stdio::null())
        .stdout(file.try_clone().unwrap())
        .stderr(file);
    let child = command.spawn().expect("prometheus is installed (Debian: prometheus; ./x setup)");
    let running = Killed(child);
    let mut address = None;
    wait("Prometheus listens", &log, || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let line = text.lines().find(|line| line.contains("Listening on"));
        address = line.and_then(|it| it.rsplit_once("address=")?.1.trim().parse().ok());
        address.is_some()
    });
    (running, address.unwrap(), log)
}

/// What Prometheus finds odd about names, types and texts.
fn lint(address: SocketAddr) -> String {
    let (head, body) = exchange(address, "GET /metrics HTTP/1.0\r\n").unwrap();
    assert!(head.contains("200"), "{head}");
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("promtool is installed (Debian: prometheus; ./x setup)");
    child.stdin.take().unwrap().write_all(body.as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap()
}

#[test]
fn prometheus_scrapes_agent_and_hub_and_is_written_to_by_both() {
    let folder = tempfile::tempdir().unwrap();
    let (_running, at, log) = prometheus(folder.path());
    let written = format!(
        "[remote_write]\nurl = \"http://{at}/api/v1/write\"\ninterval = \"1s\"\nlabels = [\"cluster=blue\"]\n"
    );

    let server = ApiServer::start(Options::default()).unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, server.kubeconfig()).unwrap();
    let config = format!(
        "[hub]\nlisten = \"127.0.0.1:0\"\n[kube]\nkubeconfig = {kubeconfig:?}\n\
         [inventory]\nlisten = \"127.0.0.1:0\"\n{written}"
    );
    let hub = hub::App::start(hub::Config::parse(&config).unwrap()).unwrap();

    let socket = folder.path().join("agent.sock");
    let config = format!(
        "[agent]\nmode = \"standalone\"\nlisten = \"127.0.0.1:0\"\nsocket = {socket:?}\n{written}"
    );
    let config = agent::Config::parse(&config, Some("n1")).unwrap();
    let (tell, told) = sync_channel(1);
    let agent = agent::App::start_with(config, None, |batches| {
        tell.send(batches.clone()).unwrap();
        Ok(Box::new(Silent(batches)))
    });
    let agent = agent.unwrap();
    let batches = told.recv().unwrap();
    batches.send(Batch::Observations(vec![opened()])).unwrap();

    let [agent_at, hub_at] = [agent.address().unwrap(), hub.address().unwrap()];
    let targets = json!([{ "targets": [agent_at.to_string(), hub_at.to_string()] }]);
    // Whole from the first look on: Prometheus reads a file as soon as it is there.
    let unseen = folder.path().join("targets.new");
    std::fs::write(&unseen, targets.to_string()).unwrap();
    std::fs::rename(&unseen, folder.path().join("targets.json")).unwrap();

    let has = |query: &str, expected: &[f64]| {
        wait(query, &log, || values(at, query) == expected);
    };
    has("sum(up{job='scraped'})", &[2.0]);
    let connections = "amphipod_connections_total{outcome='established',direction='egress'";
    has(&format!("{connections},job='scraped'}}"), &[1.0]);
    has(&format!("{connections},job='amphipod-agent',instance='n1',cluster='blue'}}"), &[1.0]);
    // The same buckets both ways.
    has("count(amphipod_connect_seconds_bucket) by (le) != 2", &[]);
    has("count(count(amphipod_connect_seconds_bucket) by (le))", &[18.0]);
    has("amphipod_connect_seconds_bucket{le='0.0001',job='amphipod-agent'}", &[1.0]);
    has("amphipod_hub_ready{job='scraped'}", &[1.0]);
    has("amphipod_hub_ready{job='amphipod-hub',cluster='blue'}", &[1.0]);
    // Each family that is scraped is written, too.
    has(
        "count(count by (__name__) ({job='scraped',__name__=~'(amphipod|process)_.+'}) unless \
         count by (__name__) ({job=~'amphipod-.+'}))",
        &[],
    );
    has("min(amphipod_export_up)", &[1.0]);
    has("sum(amphipod_export_samples_total{fate!='sent'})", &[0.0]);
    let targets = ask(at, "targets").unwrap();
    for target in targets["activeTargets"].as_array().unwrap() {
        assert_eq!((&target["health"], &target["lastError"]), (&json!("up"), &json!("")));
    }
    // By the family, which OpenMetrics names without its ending.
    let metadata = ask(at, "metadata?metric=amphipod_connections").unwrap();
    assert_eq!(metadata["amphipod_connections"][0]["type"], "counter");
    for address in [agent_at, hub_at] {
        assert_eq!(lint(address), "", "{address}");
    }

    drop(batches);
    agent.shutdown().unwrap();
    hub.shutdown().unwrap();
    let log = std::fs::read_to_string(&log).unwrap();
    let complaints =
        log.lines().filter(|it| it.contains("level=warn") || it.contains("level=error"));
    assert_eq!(complaints.collect::<Vec<_>>(), Vec::<&str>::new());
}
