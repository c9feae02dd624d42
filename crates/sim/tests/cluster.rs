//! The simulated cluster: real processes, a feed that tells of them, and no leftovers even after SIGKILL. Needs root.

// Functions that tests share are tests, too.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant, SystemTime};

use model::{Change, Container, Pod};
use sim::{Cluster, Config, Lag, Node};

const PATIENCE: Duration = Duration::from_secs(30);

fn config(churn: bool) -> Config {
    Config {
        program: PathBuf::from(env!("CARGO_BIN_EXE_sim-shop")),
        arguments: vec!["shop".to_owned()],
        node: "node-1".to_owned(),
        zone: "zone-a".to_owned(),
        rate: 20.0,
        churn,
        lag: Lag::default(),
    }
}

/// Receives until `done`, or fails naming what was awaited.
fn follow(changes: &Receiver<Change>, what: &str, mut done: impl FnMut(Change) -> bool) {
    let end = Instant::now() + PATIENCE;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        match changes.recv_timeout(left) {
            Ok(change) if done(change.clone()) => return,
            Ok(_) => {}
            Err(e) => panic!("waiting for {what}: {e}"),
        }
    }
}

fn workload(pod: &Pod) -> &str {
    pod.workload.as_ref().map_or("", |workload| &workload.name)
}

fn request(address: impl Into<std::net::SocketAddr>, head: &str) -> String {
    let mut stream = TcpStream::connect(address.into()).unwrap();
    write!(stream, "{head} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_purchase_passes_through_the_whole_shop() {
    let (cluster, changes) = Cluster::start(config(false)).unwrap();
    let mut services = BTreeMap::new();
    let mut pods = BTreeMap::new();
    follow(&changes, "Synced", |change| {
        match change {
            Change::Service(service) => drop(services.insert(service.name.clone(), service)),
            Change::Pod(pod) => drop(pods.insert(pod.uid.clone(), pod)),
            Change::Synced => return true,
            change => panic!("nothing ends at the start: {change:?}"),
        }
        false
    });
    assert!(pods.len() >= 15, "{}", pods.len());
    assert_eq!(services["frontend"].ips, [cluster.frontend().ip()]);
    let node: Vec<&Pod> = pods.values().filter(|pod| pod.host_network).collect();
    assert_eq!(node.len(), 1);
    assert_eq!(node[0].ips, cluster.node().ips());
    let namespaces: BTreeSet<&str> = pods.values().map(|pod| &*pod.namespace).collect();
    assert_eq!(
        namespaces.into_iter().collect::<Vec<_>>(),
        ["kube-system", "load", "monitoring", "shop"]
    );

    // The first request may come before the last server listens.
    let end = Instant::now() + PATIENCE;
    loop {
        let page = request(cluster.frontend(), "GET /");
        let bought = request(cluster.frontend(), "POST /checkout");
        if page.starts_with("HTTP/1.1 200 ") && bought.contains("\"succeeded\"") {
            break;
        }
        assert!(Instant::now() < end, "{page}\n{bought}");
    }
    // Each process is where its pod is said to be, and its name is its role.
    let mount = sim::cgroup_mount().unwrap();
    let mut checked = 0;
    for pod in cluster.pods() {
        let Some(container) = pod.containers.first() else { continue };
        let Some(directory) = find(cluster.node().instance().cgroup(), &container.id) else {
            continue;
        };
        let uid = pod.uid.replace('-', "_");
        let path = directory.strip_prefix(&mount).unwrap().to_str().unwrap();
        assert!(path.contains(&uid) || path.contains(&*pod.uid), "{path}");
        for pid in fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default().lines() {
            let process = Path::new("/proc").join(pid);
            let (Ok(comm), Ok(netns)) =
                (fs::read_to_string(process.join("comm")), fs::metadata(process.join("ns/net")))
            else {
                continue;
            };
            let own = fs::metadata("/proc/self/ns/net").unwrap().ino();
            assert_eq!(netns.ino() == own, pod.host_network, "{}", pod.name);
            if workload(&pod) != "email" {
                assert_eq!(comm.trim(), workload(&pod));
                checked += 1;
            }
        }
    }
    assert!(checked >= 14, "{checked}");
    cluster.stop();
}

/// The directory of a container, by the id in its name.
fn find(directory: &Path, id: &str) -> Option<PathBuf> {
    fs::read_dir(directory).ok()?.flatten().filter(|entry| entry.path().is_dir()).find_map(
        |entry| {
            let named = entry.file_name().to_str().is_some_and(|name| name.contains(id));
            if named { Some(entry.path()) } else { find(&entry.path(), id) }
        },
    )
}

#[test]
fn pods_come_and_go_and_crash_and_the_feed_tells_of_it_later() {
    let (cluster, changes) = Cluster::start(config(true)).unwrap();
    let mut announced: BTreeSet<Arc<str>> = BTreeSet::new();
    let mut crashed = 0;
    let mut jobs: BTreeMap<Arc<str>, Option<IpAddr>> = BTreeMap::new();
    let mut gone = 0;
    let mut late = 0;
    follow(&changes, "crashes, jobs gone, an address used twice, late notices", |change| {
        let unknown = |container: &Container| !announced.contains(&container.id);
        late +=
            cluster.pods().iter().flat_map(|pod| &pod.containers).filter(|c| unknown(c)).count();
        match change {
            Change::Pod(pod) => {
                let new = pod.containers.iter().any(unknown);
                crashed += usize::from(new && workload(&pod) == "email");
                if new && workload(&pod) == "invoice" {
                    jobs.insert(pod.uid.clone(), pod.ips.first().copied());
                }
                announced.extend(pod.containers.into_iter().map(|container| container.id));
            }
            Change::PodGone { uid } => gone += usize::from(jobs.contains_key(&uid)),
            _ => {}
        }
        let addresses: BTreeSet<_> = jobs.values().collect();
        crashed >= 3 && gone >= 3 && addresses.len() < jobs.len() && late >= 3
    });
}

#[test]
fn what_a_killed_cluster_left_is_removed_by_the_next_start() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sim-shop"))
        .arg("cluster")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let place = lines.next().unwrap().unwrap();
    // Names, and even inodes, can be taken again at once by another test.
    let mark = |path: PathBuf| {
        let metadata = fs::metadata(&path).ok()?;
        Some((path, metadata.ino(), metadata.created().ok()))
    };
    let marks: Vec<_> = [
        PathBuf::from(format!("/run/netns/amph-{place}-net")),
        PathBuf::from(format!("/run/amphipod/demo/{place}/owner")),
        sim::cgroup_mount().unwrap().join(format!("amphipod-{place}")),
        PathBuf::from(format!("/sys/class/net/amph{place}")),
    ]
    .map(|path| mark(path).unwrap())
    .into();
    let there =
        |known: &(PathBuf, u64, Option<SystemTime>)| mark(known.0.clone()).as_ref() == Some(known);
    let cgroup = marks[2].0.clone();
    // Some crash as they should, and come back.
    let end = Instant::now() + PATIENCE;
    while processes(&cgroup) < 15 {
        assert!(Instant::now() < end, "{} processes", processes(&cgroup));
        std::thread::yield_now();
    }

    // A live one is left alone.
    drop(Node::start().unwrap());
    assert!(marks.iter().all(there));

    child.kill().unwrap();
    child.wait().unwrap();
    let end = Instant::now() + PATIENCE;
    while there(&marks[2]) && processes(&cgroup) > 0 {
        assert!(Instant::now() < end, "processes outlive their parent");
        std::thread::yield_now();
    }
    drop(Node::start().unwrap());
    let left: Vec<_> = marks.iter().filter(|mark| there(mark)).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// How many processes are in `cgroup` and below.
fn processes(cgroup: &Path) -> usize {
    let own =
        fs::read_to_string(cgroup.join("cgroup.procs")).map_or(0, |pids| pids.lines().count());
    let entries = fs::read_dir(cgroup).into_iter().flatten().flatten();
    own + entries
        .filter(|entry| entry.path().is_dir())
        .map(|entry| processes(&entry.path()))
        .sum::<usize>()
}
