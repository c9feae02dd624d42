//! A directory on a made-up host: a hierarchy and a procfs of plain files, and time that passes when told.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, symlink};
use std::sync::Arc;
use std::time::Duration;

use model::{
    Change, Comm, Connection, ConnectionEvent, Container, Counters as Totals, Direction, Drop,
    Endpoint, Flow, Identity, Observation, Pod, Process, Protocol, Record, Subject, Timestamp,
    Workload,
};
use tempfile::TempDir;

use super::super::super::{Config, Counters, Feed, Mode, Wish};
use super::Directory;

pub const C: &str = "3f4bb2c0e9d1a7568f0c1d2e3b4a59687786950413223140afbecd0918273645";
pub const D: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
/// The host's address, as `fib_trie` has it. The host's network namespace is 1.
pub const NODE_IP: &str = "192.168.7.7";

/// The path of a pod's container.
pub fn scope(pod: &str, container: &str) -> String {
    format!("{}/cri-containerd-{container}.scope", slice(pod))
}

pub struct Bench {
    pub directory: Directory,
    pub now: Timestamp,
    pub out: Vec<Record>,
    /// Ids of the cgroups that were there at the start.
    pub seeded: Vec<u64>,
    /// What [`Self::delivered`] took.
    last: Vec<Record>,
    cookie: u64,
    root: TempDir,
}

/// A uid made of a name.
pub fn uid(name: &str) -> String {
    let digits: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
    let digits = format!("{digits:0<32.32}");
    format!(
        "{}-{}-{}-{}-{}",
        &digits[..8],
        &digits[8..12],
        &digits[12..16],
        &digits[16..20],
        &digits[20..]
    )
}

pub fn slice(name: &str) -> String {
    format!("/kubepods.slice/kubepods-pod{}.slice", uid(name).replace('-', "_"))
}

/// A pod in `shop` on this node.
pub struct PodOf(Pod);

pub fn pod(name: &str, ip: &str) -> PodOf {
    PodOf(Pod {
        uid: uid(name).into(),
        namespace: "shop".into(),
        name: name.into(),
        node: "node".into(),
        ips: ip.parse().into_iter().collect(),
        host_network: false,
        workload: Some(Workload { kind: "Deployment".into(), name: name.into() }),
        containers: Vec::new(),
        labels: BTreeMap::new(),
        zone: None,
    })
}

impl PodOf {
    pub fn container(mut self, id: &str, name: &str) -> Self {
        self.0.containers.push(Container { id: id.into(), name: name.into() });
        self
    }

    pub fn elsewhere(mut self) -> Self {
        self.0.node = "other".into();
        self
    }

    pub fn host_network(mut self) -> Self {
        self.0.host_network = true;
        self
    }
}

impl From<PodOf> for Change {
    fn from(pod: PodOf) -> Self {
        Self::Pod(pod.0)
    }
}

impl Bench {
    pub fn new() -> Self {
        Self::with(|_| {}, &[])
    }

    pub fn with(set: impl FnOnce(&mut Config), cgroups: &[&str]) -> Self {
        let mut bench = Self::start(set, cgroups);
        bench.change(Change::Synced);
        bench
    }

    /// A directory that asks for addresses.
    pub fn asking(set: impl FnOnce(&mut Config)) -> Self {
        let with = |config: &mut Config| {
            config.feed = Feed::OnDemand;
            set(config);
        };
        Self::with(with, &[])
    }

    /// What is newly asked for, and with a `-` what no longer is.
    pub fn wishes(&mut self) -> Vec<String> {
        let show = |wish| match wish {
            Wish::Want(ip) => ip.to_string(),
            Wish::Drop(ip) => format!("-{ip}"),
        };
        self.directory.take_wishes().map(show).collect()
    }

    pub fn unsynced() -> Self {
        Self::start(|_| {}, &[])
    }

    fn start(set: impl FnOnce(&mut Config), cgroups: &[&str]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let proc_root = root.path().join("proc");
        fs::create_dir_all(proc_root.join("1/ns")).unwrap();
        fs::create_dir_all(proc_root.join("1/net")).unwrap();
        fs::create_dir_all(proc_root.join("self")).unwrap();
        symlink("pid:[4026531836]", proc_root.join("1/ns/pid")).unwrap();
        symlink("net:[1]", proc_root.join("1/ns/net")).unwrap();
        fs::write(proc_root.join("1/net/fib_trie"), trie(&["127.0.0.1", NODE_IP])).unwrap();
        fs::write(proc_root.join("self/mountinfo"), "1 1 0:1 / /x rw - cgroup cgroup rw,pids\n")
            .unwrap();
        let hierarchy = root.path().join("cgroup");
        fs::create_dir(&hierarchy).unwrap();
        let seeded = cgroups.iter().map(|path| make(&hierarchy, path)).collect();
        let mut config = Config::new("node".into(), Mode::Kubernetes);
        config.proc_root = proc_root;
        config.cgroup_root = Some(hierarchy);
        set(&mut config);
        let mut directory = Directory::new(config).unwrap();
        let now = Timestamp(1_700_000_000_000_000_000);
        directory.cgroup(probes::Cgroup::Created { id: 1, path: "/".into() }, now);
        Self { directory, now, out: Vec::new(), seeded, last: Vec::new(), cookie: 0, root }
    }

    pub fn directory_in_hierarchy(&self, path: &str) -> u64 {
        make(&self.root.path().join("cgroup"), path)
    }

    pub fn process(&self, pid: u32, cgroup: &str) {
        let directory = self.root.path().join("proc").join(pid.to_string());
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("cgroup"), cgroup).unwrap();
    }

    pub fn processes_in(&self, path: &str, processes: &str) {
        let hierarchy = self.root.path().join("cgroup").join(path.trim_start_matches('/'));
        fs::write(hierarchy.join("cgroup.procs"), processes).unwrap();
    }

    /// A process in the cgroup at `path` and in the network namespace.
    pub fn process_in(&self, pid: u32, path: &str, netns: u32) {
        self.processes_in(path, &format!("{pid}\n"));
        let namespaces = self.root.path().join("proc").join(pid.to_string()).join("ns");
        fs::create_dir_all(&namespaces).unwrap();
        symlink(format!("net:[{netns}]"), namespaces.join("net")).unwrap();
    }

    /// The inode number of a network namespace that has a name.
    pub fn named_namespace(&self, name: &str) -> u64 {
        let directory = self.root.path().join("proc/1/root/run/netns");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(name), "").unwrap();
        fs::metadata(directory.join(name)).unwrap().ino()
    }

    pub fn host_address(&self, ip: &str) {
        fs::write(self.root.path().join("proc/1/net/fib_trie"), trie(&[NODE_IP, ip])).unwrap();
    }

    pub fn change(&mut self, change: impl Into<Change>) {
        self.directory.change(change.into(), self.now);
    }

    pub fn cgroup(&mut self, id: u64, path: &str) {
        self.directory.cgroup(probes::Cgroup::Created { id, path: path.into() }, self.now);
    }

    pub fn created(&mut self, id: u64, pod: &str, container: &str) {
        self.cgroup(id, &scope(pod, container));
    }

    pub fn removed(&mut self, id: u64) {
        self.directory.cgroup(probes::Cgroup::Removed { id }, self.now);
    }

    pub fn wait_ms(&mut self, milliseconds: u64) {
        self.now.0 += Duration::from_millis(milliseconds).as_nanos() as u64;
        self.directory.tick(self.now, &mut |record| self.out.push(record));
    }

    /// The cookie of what is seen next.
    pub fn number(&mut self, cookie: u64) {
        self.cookie = cookie;
    }

    /// `CGROUP@NETNS[#PID][!COMM] LOCAL >|< REMOTE EVENT`; `flow+SECONDS`: of a connection of that age.
    pub fn see(&mut self, text: &str) {
        self.now.0 += 1;
        self.see_at(self.now, text);
    }

    pub fn see_at(&mut self, time: Timestamp, text: &str) {
        let observation = Observation { cookie: self.cookie, ..observation(time, text) };
        self.directory.identify(observation, self.now, &mut |record| self.out.push(record));
    }

    /// Compares and takes what was delivered.
    #[track_caller]
    pub fn delivered(&mut self, expected: &[&str]) {
        let found: Vec<String> = self.out.iter().map(show).collect();
        assert_eq!(found, expected);
        self.last = std::mem::take(&mut self.out);
    }

    /// The source ports of what was delivered, by which records can be told apart.
    pub fn ports(&mut self) -> Vec<u16> {
        let last = std::mem::take(&mut self.last);
        last.iter().chain(&std::mem::take(&mut self.out)).map(|record| record.source.port).collect()
    }

    pub fn counters(&self) -> Counters {
        self.directory.counters()
    }

    pub fn unattributed(&self) -> Vec<(&'static str, u64)> {
        let counts = self.counters().unattributed;
        counts
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(cause, count)| (cause.name(), count))
            .collect()
    }
}

fn trie(ips: &[&str]) -> String {
    ips.iter().map(|ip| format!("  |-- {ip}\n     /32 host LOCAL\n")).collect()
}

fn make(root: &std::path::Path, path: &str) -> u64 {
    let directory = root.join(path.trim_start_matches('/'));
    fs::create_dir_all(&directory).unwrap();
    fs::metadata(directory).unwrap().ino()
}

pub fn observation(time: Timestamp, text: &str) -> Observation {
    let words: Vec<&str> = text.split(' ').collect();
    let &[owner, local, way, remote, event] = words.as_slice() else { panic!("{text}") };
    let (owner, comm) = owner.split_once('!').unwrap_or((owner, ""));
    let (owner, pid) = owner.split_once('#').unwrap_or((owner, "0"));
    let (cgroup, netns) = owner.split_once('@').unwrap();
    let connection = |event| {
        let duration_ns = if event == ConnectionEvent::Closed { 1_000 } else { 0 };
        Subject::Connection(Connection {
            event,
            errno: 0,
            connect_ns: 0,
            duration_ns,
            totals: Totals::default(),
        })
    };
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    Observation {
        time,
        process: Process {
            pid: pid.parse().unwrap(),
            comm: Comm::from(comm),
            cgroup_id: cgroup.parse().unwrap(),
            netns: netns.parse().unwrap(),
        },
        protocol: Protocol::TCP,
        direction: if way == ">" { Direction::Egress } else { Direction::Ingress },
        local: address(local),
        remote: address(remote),
        cookie: 0,
        subject: match event {
            "opened" => connection(ConnectionEvent::Opened),
            "accepted" => connection(ConnectionEvent::Accepted),
            "failed" => connection(ConnectionEvent::Failed),
            "closed" => connection(ConnectionEvent::Closed),
            flow if flow.starts_with("flow") => Subject::Flow(Flow {
                deltas: Totals::default(),
                interval_ns: 1_000,
                age_ns: flow.strip_prefix("flow+").map_or(0, |it| it.parse::<u64>().unwrap())
                    * 1_000_000_000,
            }),
            "drop" => Subject::Drop(Drop {
                reason: "NO_SOCKET".into(),
                packets: 1,
                bytes: 1,
                interval_ns: 1,
            }),
            other => panic!("{other}"),
        },
    }
}

fn show(record: &Record) -> String {
    format!("{} > {}", end(&record.source), end(&record.destination))
}

fn end(endpoint: &Endpoint) -> String {
    let or = |text: &Option<Arc<str>>| text.as_deref().unwrap_or("-").to_string();
    match endpoint.identity.as_deref() {
        None => "-".into(),
        Some(identity @ Identity { pod: Some(pod), .. }) => {
            format!("{}/{pod}/{}", or(&identity.namespace), or(&identity.container))
        }
        Some(identity @ Identity { service: Some(service), .. }) => {
            format!("service {}/{service}", or(&identity.namespace))
        }
        Some(Identity { workload: Some(workload), .. }) => {
            format!("{} {}", workload.kind, workload.name)
        }
        Some(identity) => format!("uid {}/{}", or(&identity.pod_uid), or(&identity.container)),
    }
}
