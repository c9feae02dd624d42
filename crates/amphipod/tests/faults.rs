//! Whatever happens to API server and hub, an agent knows in the end what the cluster is: random scripts of faults, over
//! real connections. `AMPHIPOD_FAULT_SEEDS=0..2000` plays those, `AMPHIPOD_FAULT_SEEDS=117` one again, and
//! `AMPHIPOD_FAULT_LANES=8` so many side by side.

// A test fails where something is wrong.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use agent::Config;
use agent::identity::Wish;
use agent::kube::{self, Link, Wanted};
use daemon::Supervisor;
use model::{Change, Holder, Identity, Workload};
use sim::apiserver::{ApiServer, Fault, Options, Population, Resource, Shape};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::{CancellationToken, DropGuard};

/// From the end of the last fault. The goal is 2 s; a busy machine that emulates others besides gets more.
const PATIENCE: Duration = Duration::from_secs(20);
/// Later than this is told of.
const GOAL: Duration = Duration::from_secs(2);
/// More than any script takes with all its waits.
const STUCK: Duration = Duration::from_secs(120);
/// Where nobody says which.
const SCRIPTS: u64 = 6;
/// Scripts mostly wait.
const LANES: usize = 3;
/// Addresses that services may take besides those that they have.
const SPARE: [&str; 3] = ["10.33.0.1", "10.33.0.2", "10.33.0.3"];

/// What an agent knows.
#[derive(Clone, Debug, Default, PartialEq)]
struct View {
    pods: BTreeMap<Arc<str>, model::Pod>,
    nodes: BTreeMap<Arc<str>, model::Node>,
    /// Holders of wanted addresses; none of those that nobody has.
    addresses: BTreeMap<IpAddr, Option<(Holder, Arc<Identity>)>>,
}

impl View {
    /// Between `Begin` and `Synced` what is told goes into another view, which then takes this one's place. Addresses that
    /// were not told are not known to anybody.
    fn take(&mut self, account: &mut Option<Self>, change: Change) {
        match change {
            Change::Begin => *account = Some(Self::default()),
            Change::Synced => {
                if let Some(account) = account.take() {
                    *self = account;
                }
            }
            Change::Stale | Change::Fresh => {}
            other => account.as_mut().unwrap_or(self).apply(other),
        }
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Pod(mut pod) => {
                pod.workload = pod.workload.map(of_controller);
                self.pods.insert(pod.uid.clone(), pod);
            }
            Change::PodGone { uid } => drop(self.pods.remove(&uid)),
            Change::Node(node) => drop(self.nodes.insert(node.name.clone(), node)),
            Change::NodeGone { name } => drop(self.nodes.remove(&name)),
            Change::Address(it) => {
                let mut identity = Arc::unwrap_or_clone(it.identity);
                identity.workload = identity.workload.map(of_controller);
                self.addresses.insert(it.ip, Some((it.holder, identity.into())));
            }
            Change::AddressUnknown { ip } | Change::AddressGone { ip, .. } => {
                self.addresses.insert(ip, None);
            }
            // Services are told by their addresses.
            other => panic!("{other:?} is not sent"),
        }
    }
}

/// A hub that comes when the Job of a pod that ends has gone cannot know whose the Job was.
fn of_controller(workload: Workload) -> Workload {
    match workload.name.rsplit_once('-') {
        Some((name, _)) if &*workload.kind == "Job" => {
            Workload { kind: "CronJob".into(), name: name.into() }
        }
        _ => workload,
    }
}

/// The agent's side of the stream.
struct Agent {
    known: Arc<(Mutex<Known>, Condvar)>,
    _supervisor: Supervisor,
    _stop: DropGuard,
    _runtime: Runtime,
}

struct Known {
    view: View,
    account: Option<View>,
    /// When the view last changed.
    changed: Instant,
}

impl Agent {
    fn start(hub: SocketAddr, node: &str, wanted: &[IpAddr]) -> Self {
        let config = format!("[metadata]\nsource = \"hub\"\nhubs = [\"http://{hub}\"]\n");
        let config = Config::parse(&config, Some(node)).unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        let cancel = CancellationToken::new();
        let mut supervisor = Supervisor::new(runtime.handle().clone(), cancel.clone());
        let link = Arc::new(Link::new(config.metadata.source));
        let asks = Arc::new(Wanted::default());
        asks.apply(wanted.iter().copied().map(Wish::Want));
        let (node, metadata) = (&config.node, &config.metadata);
        let changes = kube::start(&mut supervisor, node, metadata, &link, &asks, None);
        let known = Known { view: View::default(), account: None, changed: Instant::now() };
        let known = Arc::new((Mutex::new(known), Condvar::new()));
        let told = known.clone();
        // Ends with the source.
        std::thread::spawn(move || {
            for change in changes {
                let mut known = told.0.lock().unwrap();
                let Known { view, account, changed } = &mut *known;
                let before = view.clone();
                view.take(account, change);
                if *view != before {
                    *changed = Instant::now();
                }
                drop(known);
                told.1.notify_all();
            }
        });
        Self { known, _supervisor: supervisor, _stop: cancel.drop_guard(), _runtime: runtime }
    }

    /// When what is known became such that it is `enough`; `None` if that is not so at `until`.
    fn knows(&self, until: Instant, enough: impl Fn(&View) -> bool) -> Option<Instant> {
        let (known, changed) = &*self.known;
        let left = until.saturating_duration_since(Instant::now());
        let known = changed
            .wait_timeout_while(known.lock().unwrap(), left, |known| {
                known.account.is_some() || !enough(&known.view)
            })
            .unwrap()
            .0;
        (known.account.is_none() && enough(&known.view)).then_some(known.changed)
    }

    fn view(&self) -> View {
        self.known.0.lock().unwrap().view.clone()
    }
}

/// A cluster, and a hub that watches it at an address that stays the same.
struct World {
    server: ApiServer,
    population: Population,
    hub: Option<hub::App>,
    agents: SocketAddr,
    folder: TempDir,
    /// Services that have gone and may come back.
    gone: Vec<serde_json::Value>,
}

impl World {
    fn start(seed: u64) -> Self {
        let host = host(seed);
        let listen = SocketAddr::new(host, 0);
        let server = ApiServer::start(Options { listen, ..Options::default() }).unwrap();
        let shape = Shape { nodes: 3, pods: 60, seed, ..Shape::default() };
        let mut population = Population::new(shape);
        population.create(&server).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("kubeconfig"), server.kubeconfig()).unwrap();
        let hub = Self::hub(&folder, listen);
        let agents = hub.agents_address();
        Self { server, population, hub: Some(hub), agents, folder, gone: Vec::new() }
    }

    fn hub(folder: &TempDir, agents: SocketAddr) -> hub::App {
        let kubeconfig = folder.path().join("kubeconfig");
        let config = format!(
            "[hub]\nlisten = \"off\"\ndrain = \"1s\"\n[kube]\nkubeconfig = {kubeconfig:?}\n[inventory]\nlisten = \"{agents}\"\n"
        );
        hub::App::start(hub::Config::parse(&config).unwrap()).unwrap()
    }

    fn objects(&self, resource: Resource) -> Vec<serde_json::Value> {
        self.server.objects(resource).iter().map(|object| object.json()).collect()
    }

    /// A service goes, or comes back at an address that another may have had.
    fn serve(&mut self, random: &mut fastrand::Rng) -> String {
        if random.bool()
            && let Some(mut service) = self.gone.pop()
        {
            let ip = *random.choice(&SPARE).unwrap();
            service["metadata"]["uid"] = format!("again-{}", random.u64(..)).into();
            service["spec"]["clusterIP"] = ip.into();
            service["spec"]["clusterIPs"] = serde_json::json!([ip]);
            self.server.apply(&service).unwrap();
            return format!("service {} at {ip}", service["metadata"]["name"]);
        }
        let services = self.objects(Resource::Services);
        let Some(service) = random.choice(services) else { return "no service".to_owned() };
        let of = |key: &str| service["metadata"][key].as_str().unwrap().to_owned();
        self.server.delete(Resource::Services, &of("namespace"), &of("name"));
        let step = format!("without service {}", of("name"));
        self.gone.push(service);
        step
    }

    /// One step, and how long its fault lasts.
    fn step(&mut self, random: &mut fastrand::Rng) -> (String, Duration) {
        let ms = |ms| Duration::from_millis(ms);
        let fault = match random.u8(..12) {
            0..=2 => {
                let changes = random.usize(1..80);
                self.population.churn(&self.server, changes).unwrap();
                return (format!("churn {changes}"), ms(0));
            }
            3 => {
                let hub = self.hub.take().unwrap();
                hub.shutdown().unwrap();
                self.hub = Some(Self::hub(&self.folder, self.agents));
                return ("another hub".to_owned(), ms(0));
            }
            4 => "drop-watches".to_owned(),
            5 => "drop-watches abrupt".to_owned(),
            6 => "compact".to_owned(),
            7 => format!(
                "restart {} {}",
                random.u16(1..300),
                // Not "reset": a version that is used twice deceives whoever watches, here as in a restored etcd.
                random.choice(["continue", "forget"]).unwrap()
            ),
            8 => format!("flap {} {}", random.u8(1..4), random.u8(1..100)),
            9 => format!("partition {}", random.u16(1..500)),
            10 => format!(
                "replay {}{}",
                random.u8(1..50),
                if random.bool() { " reversed" } else { "" }
            ),
            _ => {
                let which = sim::apiserver::Hostile::ALL;
                format!("hostile {}", random.choice(which).unwrap().name())
            }
        };
        let parsed: Fault = fault.parse().unwrap();
        let lasts = match parsed {
            Fault::Restart { down, .. } => down,
            Fault::Flap { times, every } => every * times * 2,
            Fault::Partition(time) => time,
            _ => ms(0),
        };
        self.server.fault(parsed);
        (fault, lasts)
    }
}

/// Runs a script; how long after its end the agent knew everything.
fn script(seed: u64) -> Duration {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut services = fastrand::Rng::with_seed(!seed);
    let mut world = World::start(seed);
    let pods = world.objects(Resource::Pods);
    let node = pods[0]["spec"]["nodeName"].as_str().unwrap().to_owned();
    let wanted = wanted(&world, &pods);
    let agent = Agent::start(world.agents, &node, &wanted);
    let complete = |view: &View| view.addresses.len() == wanted.len();
    if random.bool() {
        let synced = agent.knows(Instant::now() + PATIENCE, complete);
        assert!(synced.is_some(), "seed {seed}: not even at the start");
    }
    let mut steps = Vec::new();
    let mut quiet = Instant::now();
    for _ in 0..random.usize(2..9) {
        let (step, lasts) = world.step(&mut random);
        steps.push(step);
        if services.u8(..3) == 0 {
            steps.push(world.serve(&mut services));
        }
        quiet = quiet.max(Instant::now() + lasts);
        // Time is part of the script: faults meet each other, or they do not.
        std::thread::sleep(Duration::from_millis(random.u64(..150)));
    }
    std::thread::sleep(quiet.saturating_duration_since(Instant::now()));

    // What a hub that has seen no fault tells an agent that has seen none.
    let own: BTreeSet<String> = world
        .objects(Resource::Pods)
        .iter()
        .filter(|pod| pod["spec"]["nodeName"] == *node)
        .map(|pod| pod["metadata"]["uid"].as_str().unwrap().to_owned())
        .collect();
    let witness = World::hub(&world.folder, SocketAddr::new(host(seed), 0));
    let fresh = Agent::start(witness.agents_address(), &node, &wanted);
    let witnessed = fresh.knows(Instant::now() + PATIENCE, complete);
    assert!(witnessed.is_some(), "seed {seed}: after {steps:?} no witness");
    let expected = fresh.view();
    let told: BTreeSet<String> = expected.pods.keys().map(|uid| uid.to_string()).collect();
    assert_eq!(own, told, "seed {seed}: the witness lies");
    let Some(equal) = agent.knows(Instant::now() + PATIENCE, |view| *view == expected) else {
        let differences = differences(&agent.view(), &expected);
        panic!("seed {seed}: after {steps:?} the agent does not know the cluster:\n{differences}");
    };
    let delay = equal.saturating_duration_since(quiet);
    if delay > GOAL {
        println!("seed {seed}: {delay:?} after {steps:?}");
    }
    delay
}

/// Where a script's servers listen: an address of the loopback that no client has. Else a client may be given the port of
/// a server that is down, as its own, and even reach itself there; the server then cannot come back.
fn host(seed: u64) -> IpAddr {
    let [.., a, b, c] = seed.to_be_bytes();
    [127, 1 + a % 100, b, c.clamp(1, 254)].into()
}

/// The addresses of all pods and services, and some that others may get.
fn wanted(world: &World, pods: &[serde_json::Value]) -> Vec<IpAddr> {
    let services = world.objects(Resource::Services);
    let pods = pods.iter().filter_map(|pod| pod["status"]["podIP"].as_str());
    let services = services.iter().filter_map(|it| it["spec"]["clusterIPs"].as_array());
    let services = services.flatten().filter_map(serde_json::Value::as_str);
    let all = pods.chain(services).chain(SPARE).chain(["10.255.255.1"]);
    all.map(|ip| ip.parse().unwrap()).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Where two views differ.
fn differences(left: &View, right: &View) -> String {
    let (a, b) = (format!("{left:#?}"), format!("{right:#?}"));
    let lines = a.lines().zip(b.lines()).filter(|(a, b)| a != b).take(20);
    lines.map(|(a, b)| format!("- {a}\n+ {b}\n")).collect()
}

/// Of one script: its seed, and how long it took the agent or why it failed.
type Played = (u64, Result<Duration, String>);

/// Plays scripts side by side. One that fails ends no other; those that are stuck are given up.
fn play(seeds: &[u64], lanes: usize) -> Vec<Played> {
    // Of their own: threads that are stuck outlive this.
    let left = Arc::new(Mutex::new(Vec::from(seeds).into_iter()));
    let (out, played) = mpsc::channel();
    for _ in 0..lanes {
        let (left, out) = (left.clone(), out.clone());
        std::thread::spawn(move || {
            loop {
                let Some(seed) = left.lock().unwrap().next() else { return };
                let result = catch_unwind(AssertUnwindSafe(|| script(seed)));
                let why = |panic: Box<dyn std::any::Any + Send>| match panic.downcast::<String>() {
                    Ok(text) => *text,
                    Err(_) => "a panic without a text".to_owned(),
                };
                if out.send((seed, result.map_err(why))).is_err() {
                    return;
                }
            }
        });
    }
    drop(out);
    let mut all: Vec<Played> = Vec::new();
    loop {
        match played.recv_timeout(STUCK) {
            Ok(one) => {
                if let (_, Err(error)) = &one {
                    println!("FAILED {error}");
                }
                all.push(one);
                if all.len().is_multiple_of(100) {
                    println!("{} scripts", all.len());
                }
            }
            Err(RecvTimeoutError::Disconnected) => return all,
            Err(RecvTimeoutError::Timeout) => {
                let begun = &seeds[..seeds.len() - left.lock().unwrap().len()];
                let done: BTreeSet<u64> = all.iter().map(|(seed, _)| *seed).collect();
                let stuck = begun.iter().filter(|seed| !done.contains(*seed));
                all.extend(stuck.map(|seed| (*seed, Err("it is stuck".to_owned()))));
                return all;
            }
        }
    }
}

/// Those that were asked for, or some at random.
fn seeds() -> Vec<u64> {
    let Ok(text) = std::env::var("AMPHIPOD_FAULT_SEEDS") else {
        let seeds = (0..SCRIPTS).map(|_| fastrand::u64(..1 << 32)).collect();
        println!("seeds {seeds:?}");
        return seeds;
    };
    println!("seeds {text}");
    match text.split_once("..") {
        Some((from, to)) => (from.parse().unwrap()..to.parse().unwrap()).collect(),
        None => vec![text.parse().unwrap()],
    }
}

#[test]
fn an_agent_knows_the_cluster_after_any_script_of_faults() {
    let lanes = std::env::var("AMPHIPOD_FAULT_LANES").ok().map(|text| text.parse().unwrap());
    let seeds = seeds();
    let played = play(&seeds, lanes.unwrap_or(LANES));
    let failed: Vec<&Played> = played.iter().filter(|(_, result)| result.is_err()).collect();
    let mut times: Vec<(Duration, u64)> =
        played.iter().filter_map(|(seed, result)| Some((*result.as_ref().ok()?, *seed))).collect();
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 100];
    if !times.is_empty() {
        let ((median, _), (p99, _), (last, seed)) = (at(50), at(99), at(100));
        let late = times.iter().filter(|(time, _)| *time > GOAL).count();
        println!(
            "{} scripts: median {median:?}, p99 {p99:?}, last {last:?} (seed {seed}), {late} later than {GOAL:?}",
            times.len()
        );
    }
    assert!(failed.is_empty(), "{} of {} failed: {failed:#?}", failed.len(), played.len());
}
