//! The demo, end to end: every record of a pod has its pod, and nothing is left behind. Needs root, BPF and `ip`.

// Functions that tests share are no tests for clippy.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Lines, Read};
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use model::line::{End, Event, Kind, Line, Way};
use model::status::Status;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

fn amphipod(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_amphipod"));
    command.args(args).env_remove("AMPHIPOD_LOG").env_remove("NODE_NAME").stdin(Stdio::null());
    command
}

/// A running demo. Killed if a test fails.
struct Demo {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// Number of its place on this host, which is in its names and addresses.
    place: String,
    socket: String,
    _directory: TempDir,
}

impl Demo {
    /// Starts it and reads until it has said how to see the pods.
    fn start(args: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("agent.sock").to_str().unwrap().to_owned();
        let own = ["demo", "--listen", "127.0.0.1:0", "--socket", &socket];
        let mut child = amphipod(&[&own, args].concat()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let place = loop {
            let line = lines.next().expect("the demo ended early; see its stderr above").unwrap();
            if let Some((_, rest)) = line.split_once("| grep amph-") {
                break rest.split('-').next().unwrap().to_owned();
            }
        };
        Self { child, lines, place, socket, _directory: directory }
    }

    /// Things of this demo on this host.
    fn traces(&self) -> Vec<Trace> {
        let place = &self.place;
        let mut paths = vec![
            PathBuf::from(format!("/run/netns/amph-{place}-net")),
            PathBuf::from(format!("/sys/class/net/amph{place}")),
            PathBuf::from(format!("/run/amphipod/demo/{place}")),
            sim::cgroup_mount().unwrap().join(format!("amphipod-{place}")),
        ];
        let prefix = format!("amph-{place}-");
        for entry in fs::read_dir("/run/netns").unwrap().flatten() {
            if entry.file_name().to_str().unwrap().starts_with(&prefix) {
                paths.push(entry.path());
            }
        }
        // A pod may end while we look.
        paths.into_iter().filter_map(Trace::of).collect()
    }

    /// Whether `ip` is of this demo's pods, services, or of its node.
    fn has_pod(&self, ip: IpAddr) -> bool {
        let place: u16 = self.place.parse().unwrap();
        match ip {
            IpAddr::V4(ip) => u16::from(ip.octets()[2]) == place && ip.octets()[3] >= 2,
            IpAddr::V6(ip) => ip.segments()[0] == 0xfd10 && ip.segments()[3] == place,
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file and when it was made: a name, and even an inode, can be taken again at once.
#[derive(Debug, PartialEq)]
struct Trace {
    path: PathBuf,
    inode: u64,
    made: Option<SystemTime>,
}

impl Trace {
    fn of(path: PathBuf) -> Option<Self> {
        let metadata = fs::metadata(&path).ok()?;
        Some(Self { path, inode: metadata.ino(), made: metadata.created().ok() })
    }
}

fn left(traces: &[Trace]) -> Vec<&Trace> {
    traces.iter().filter(|trace| Trace::of(trace.path.clone()).as_ref() == Some(trace)).collect()
}

/// The end on this node.
fn local(line: &Line) -> &End {
    match line.direction {
        Some(Way::Ingress) => &line.destination,
        _ => &line.source,
    }
}

fn remote(line: &Line) -> &End {
    match line.direction {
        Some(Way::Ingress) => &line.source,
        _ => &line.destination,
    }
}

/// What a demo is to show, each by the record that shows it.
fn shows(line: &Line) -> Vec<&'static str> {
    let (own, peer) = (local(line), remote(line));
    let is = |end: &End, name| end.workload.as_deref() == Some(name);
    let mut shown = Vec::new();
    let mut check = |name, is_shown| {
        if is_shown {
            shown.push(name);
        }
    };
    check("a crashing pod", is(own, "email"));
    check("a job", is(own, "invoice") && own.workload_kind.as_deref() == Some("CronJob"));
    check("a hostNetwork pod", is(own, "node-exporter") && own.host_network);
    check(
        "a refused connection",
        is(own, "recommender") && line.error.as_deref() == Some("ECONNREFUSED"),
    );
    check(
        "a call outside",
        is(own, "payment") && peer.port == 443 && line.event == Some(Event::Opened),
    );
    check(
        "IPv6",
        line.kind == Kind::Connection
            && own.ip.is_some_and(|ip| ip.is_ipv6())
            && peer.pod.is_some(),
    );
    check("UDP", line.kind == Kind::Flow && line.protocol == "UDP" && is(own, "statsd"));
    check(
        "a DNS query",
        line.protocol == "UDP" && peer.port == 53 && peer.service.as_deref() == Some("kube-dns"),
    );
    check(
        "a lookup",
        is(own, "payment")
            && line.dns.as_ref().is_some_and(|dns| {
                &*dns.query == sim::BANK && dns.code.as_deref() == Some("NOERROR")
            }),
    );
    check(
        "an outside name",
        is(own, "payment")
            && line.event == Some(Event::Opened)
            && peer.names.iter().any(|name| &**name == sim::BANK),
    );
    check("a service", is(own, "loadgen") && peer.service.as_deref() == Some("frontend"));
    check(
        "a long-lived connection",
        line.kind == Kind::Flow && is(own, "cart") && peer.service.as_deref() == Some("redis"),
    );
    shown
}

#[test]
fn every_record_of_a_pod_names_its_pod() {
    let mut demo = Demo::start(&["--seconds", "120"]);
    let mut observe = amphipod(&["observe", "-f", "--last", "100000", "-o", "json"]);
    let observe = observe.args(["--socket", &demo.socket]).stdout(Stdio::piped());
    let mut observe = observe.spawn().unwrap();
    let mut missing: BTreeSet<&str> = [
        "a crashing pod",
        "a job",
        "a hostNetwork pod",
        "a refused connection",
        "a call outside",
        "IPv6",
        "UDP",
        "a DNS query",
        "a lookup",
        "an outside name",
        "a service",
        "a long-lived connection",
    ]
    .into();
    let mut wrong = BTreeMap::new();
    let (mut records, mut short_lived) = (0, BTreeSet::new());
    let end = Instant::now() + PATIENCE;
    for text in BufReader::new(observe.stdout.take().unwrap()).lines() {
        let text = text.unwrap();
        let line: Line = serde_json::from_str(&text).unwrap();
        let own = local(&line);
        let known = line.process.as_ref().map_or("", |process| &process.comm);
        // Other demos may run on this host; drops have no process that could be asked for its name.
        if line.kind != Kind::Drop && !known.is_empty() && own.ip.is_some_and(|ip| demo.has_pod(ip))
        {
            records += 1;
            // The programs are called as their workloads are.
            if own.pod.is_none() || own.workload.as_deref() != Some(known) {
                wrong.insert(known.to_owned(), text.clone());
            }
            if matches!(known, "email" | "invoice") {
                short_lived.extend(own.pod.clone());
            }
        }
        for shown in shows(&line) {
            missing.remove(shown);
        }
        if missing.is_empty() && short_lived.len() >= 4 {
            break;
        }
        assert!(Instant::now() < end, "not shown: {missing:?}; short-lived: {short_lived:?}");
    }
    observe.kill().unwrap();
    observe.wait().unwrap();
    assert!(records >= 200, "{records}");
    assert!(wrong.is_empty(), "{} kinds of {records} records: {wrong:#?}", wrong.len());

    let first = demo.lines.find(|line| line.as_ref().unwrap().starts_with("The first record"));
    assert!(first.unwrap().unwrap().contains(" s: "));
    let traces = demo.traces();
    assert!(traces.len() >= 18, "{traces:?}");
    demo.signal(Signal::INT);
    let status = demo.child.wait().unwrap();
    assert!(status.success(), "{status}");
    assert!(left(&traces).is_empty(), "{:?}", left(&traces));
}

fn status(demo: &Demo) -> Status {
    let output = amphipod(&["status", "-o", "json", "--socket", &demo.socket]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Ids of the demos' cgroups and network namespaces, as far as they were looked at while they were there.
#[derive(Default)]
struct Ids {
    cgroups: BTreeSet<u64>,
    namespaces: BTreeSet<u64>,
}

impl Ids {
    fn add(&mut self, demo: &Demo) {
        let mut open = vec![sim::cgroup_mount().unwrap().join(format!("amphipod-{}", demo.place))];
        while let Some(directory) = open.pop() {
            self.cgroups.extend(fs::metadata(&directory).map(|it| it.ino()));
            let entries = fs::read_dir(directory).into_iter().flatten().flatten();
            open.extend(entries.filter(|it| it.file_type().unwrap().is_dir()).map(|it| it.path()));
        }
        let namespaces =
            demo.traces().into_iter().filter(|trace| trace.path.starts_with("/run/netns"));
        self.namespaces.extend(namespaces.map(|trace| trace.inode));
    }

    /// Sockets and namespaces of demos that ended before can live on for minutes.
    fn has(&self, line: &Line) -> bool {
        // Of a packet dropped from a queue the kernel may have forgotten everything but its addresses.
        let Some(process) = &line.process else { return line.kind != Kind::Drop };
        match process.cgroup_id {
            Some(id) => self.cgroups.contains(&id),
            None => self.namespaces.contains(&u64::from(process.netns.unwrap())),
        }
    }
}

#[test]
fn demos_side_by_side_do_not_mind_each_other() {
    let args = ["--seconds", "120", "--load", "50"];
    let demos = [Demo::start(&args), Demo::start(&args)];
    let mut ids = Ids::default();
    for (own, other) in [(0, 1), (1, 0)] {
        let (demo, other) = (&demos[own], &demos[other]);
        let mut observe = amphipod(&["observe", "-f", "--last", "100000", "-o", "json"]);
        let observe = observe.args(["--socket", &demo.socket]).stdout(Stdio::piped());
        let mut observe = observe.spawn().unwrap();
        let end = Instant::now() + PATIENCE;
        // Connections all the time, flows and drops of whole intervals.
        let (mut records, mut intervals) = (0, BTreeSet::new());
        for text in BufReader::new(observe.stdout.take().unwrap()).lines() {
            let line: Line = serde_json::from_str(&text.unwrap()).unwrap();
            if records % 500 == 0 {
                demos.iter().for_each(|demo| ids.add(demo));
            }
            records += 1;
            let end_here = local(&line);
            let named = end_here.pod.is_some() || end_here.workload.is_some();
            assert!(named || !ids.has(&line), "{line:?}");
            let theirs = end_here.ip.is_some_and(|ip| other.has_pod(ip));
            assert!(!theirs || end_here.pod.is_none(), "{line:?}");
            if line.interval_ms == Some(5_000) {
                intervals.insert(line.time[..19].to_owned());
            }
            if records > 1_000 && intervals.len() >= 3 {
                break;
            }
            assert!(Instant::now() < end, "{records} records, intervals {intervals:?}");
        }
        observe.kill().unwrap();
        observe.wait().unwrap();
        let status = status(demo);
        assert!(status.records.out_of_scope > 500, "{:?}", status.records);
        let unknown = status.unattributed.iter().find(|cause| cause.name == "unknown_pod");
        assert_eq!(unknown.unwrap().count, 0, "{:?}", status.unattributed);
    }
    for mut demo in demos {
        demo.signal(Signal::INT);
        assert!(demo.child.wait().unwrap().success());
    }
}

#[test]
fn a_killed_demo_is_cleaned_up_by_the_next() {
    let mut first = Demo::start(&[]);
    let traces = first.traces();
    // The next demo calls its namespaces the same: as long as these are open it cannot get their numbers, too.
    let namespaces = traces.iter().filter(|trace| trace.path.starts_with("/run/netns"));
    let _open: Vec<_> = namespaces.map(|trace| fs::File::open(&trace.path).unwrap()).collect();
    first.signal(Signal::KILL);
    first.child.wait().unwrap();
    assert!(!left(&traces).is_empty());
    let mut second = Demo::start(&["--seconds", "1"]);
    assert!(left(&traces).is_empty(), "{:?}", left(&traces));
    let traces = second.traces();
    let status = second.child.wait().unwrap();
    assert!(status.success(), "{status}");
    assert!(left(&traces).is_empty(), "{:?}", left(&traces));
}

#[track_caller]
fn check_error(command: &mut Command, code: i32, expected: &str) {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut error = String::new();
    child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
    assert_eq!((child.wait().unwrap().code(), error.trim_end()), (Some(code), expected));
}

#[test]
fn wrong_demos_end_with_one_line() {
    let demo =
        |args: &[&str]| amphipod(&[&["demo", "--seconds", "1", "--log", "error"], args].concat());
    let wrong = [
        (
            vec!["--listen", "7171"],
            "invalid value '7171' for '--listen <ADDRESS:PORT>': invalid socket address syntax",
        ),
        (
            vec!["--load", "0"],
            "invalid value '0' for '--load <RATE>': requests per second, more than 0 and at most 10000",
        ),
        (vec!["--socket", "x.sock"], "--socket x.sock: expected an absolute path"),
    ];
    for (args, expected) in wrong {
        let mut command = demo(&args);
        let expected = format!("amphipod: {expected}");
        check_error(&mut command, 2, expected.trim_end_matches(""));
    }
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("agent.sock");
    let socket = socket.to_str().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    check_error(
        &mut demo(&["--socket", socket, "--listen", &address]),
        1,
        &format!(
            "amphipod: listen on {address}: Address already in use (os error 98); choose another address (--listen)"
        ),
    );
    check_error(
        demo(&["--socket", socket]).env("PATH", directory.path()),
        1,
        "amphipod: the command `ip` was not found; install it: apt-get install iproute2",
    );
}
