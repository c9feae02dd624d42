//! A cluster, a hub that watches it at an address that stays the same, and an agent.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use sim::apiserver::{ApiServer, Options, Population, Resource, Shape};
use tempfile::TempDir;

use crate::agent::Agent;
use crate::clock::{Moment, Passed};

/// Much more than [`crate::GOAL`]: who is late is told from who never comes.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Between two tries to take back an address.
const PAUSE: Duration = Duration::from_millis(5);
/// Addresses that services may take besides those that they have.
pub const SPARE: [&str; 3] = ["10.33.0.1", "10.33.0.2", "10.33.0.3"];

pub struct World {
    pub server: ApiServer,
    pub population: Population,
    hub: Option<hub::App>,
    /// Where the hub serves agents.
    pub agents: SocketAddr,
    agent: Agent,
    node: String,
    wanted: Vec<IpAddr>,
    folder: TempDir,
}

impl World {
    pub fn start(seed: u64) -> Self {
        let listen = SocketAddr::new(host(1, seed), 0);
        let server = ApiServer::start(Options { listen, ..Options::default() }).unwrap();
        let shape = Shape { nodes: 3, pods: 60, seed, ..Shape::default() };
        let mut population = Population::new(shape);
        population.create(&server).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("kubeconfig"), server.kubeconfig()).unwrap();
        let hub = hub(&folder, SocketAddr::new(host(101, seed), 0)).unwrap();
        let agents = hub.agents_address();
        let pods = objects(&server, Resource::Pods);
        let node = pods[0]["spec"]["nodeName"].as_str().unwrap().to_owned();
        let wanted = wanted(&server, &pods);
        let agent = Agent::start(agents, &node, &wanted);
        Self { server, population, hub: Some(hub), agents, agent, node, wanted, folder }
    }

    pub fn objects(&self, resource: Resource) -> Vec<serde_json::Value> {
        objects(&self.server, resource)
    }

    /// Waits until the agent knows of each address.
    pub fn sync(&self) {
        let all = self.wanted.len();
        let synced = self.agent.knows(PATIENCE, |view| view.addresses.len() == all);
        assert!(synced.is_some(), "not even at the start");
    }

    /// With a word to its agents, or without.
    pub fn end_hub(&mut self, killed: bool) {
        match self.hub.take() {
            Some(hub) if !killed => hub.shutdown().unwrap(),
            hub => drop(hub),
        }
    }

    /// Another one, which knows nothing, at the same address.
    pub fn start_hub(&mut self) {
        let until = Instant::now() + PATIENCE;
        self.hub = loop {
            match hub(&self.folder, self.agents) {
                Ok(hub) => break Some(hub),
                // The one before has not let go yet.
                Err(error) => assert!(Instant::now() < until, "{error}"),
            }
            thread::sleep(PAUSE);
        };
    }

    /// Kills the agent; another one, which knows nothing, takes its place.
    pub fn replace_agent(&mut self) {
        self.agent = Agent::start(self.agents, &self.node, &self.wanted);
    }

    /// Waits until the agent knows what a hub that has seen no fault tells an agent that has seen none. What passed from
    /// `quiet` until it did.
    ///
    /// # Errors
    /// Where they differ.
    pub fn settle(&self, quiet: Moment) -> Result<Passed, String> {
        let own: BTreeSet<String> = self
            .objects(Resource::Pods)
            .iter()
            .filter(|pod| pod["spec"]["nodeName"] == *self.node)
            .map(|pod| pod["metadata"]["uid"].as_str().unwrap().to_owned())
            .collect();
        let at = SocketAddr::new(self.server.address().ip(), 0);
        let witness = hub(&self.folder, at).unwrap();
        let fresh = Agent::start(witness.agents_address(), &self.node, &self.wanted);
        let all = self.wanted.len();
        let witnessed = fresh.knows(PATIENCE, |view| view.addresses.len() == all);
        witnessed.ok_or("no witness")?;
        let expected = fresh.view();
        let told: BTreeSet<String> = expected.pods.keys().map(|uid| uid.to_string()).collect();
        assert_eq!(own, told, "the witness lies");
        match self.agent.knows(PATIENCE, |view| *view == expected) {
            Some(equal) => Ok(equal.since(quiet)),
            None => Err(self.agent.view().differences(&expected)),
        }
    }
}

fn hub(folder: &TempDir, agents: SocketAddr) -> Result<hub::App, hub::Error> {
    let kubeconfig = folder.path().join("kubeconfig");
    let config = format!(
        "[hub]\nlisten = \"off\"\ndrain = \"1s\"\n[kube]\nkubeconfig = {kubeconfig:?}\n[inventory]\nlisten = \"{agents}\"\n"
    );
    hub::App::start(hub::Config::parse(&config).unwrap())
}

fn objects(server: &ApiServer, resource: Resource) -> Vec<serde_json::Value> {
    server.objects(resource).iter().map(|object| object.json()).collect()
}

/// Where a script's servers listen, apart from those of its neighbours: addresses of the loopback that no client has, `first` for one server of all. Else a
/// client may be given the port of a server that is down, as its own, and even reach itself there; the server then cannot
/// come back.
fn host(first: u8, seed: u64) -> IpAddr {
    let digit = |of: u64, base: u64| (of % base) as u8;
    let (c, b, a) = (digit(seed, 254), digit(seed / 254, 256), digit(seed / 254 / 256, 100));
    [127, first + a, b, 1 + c].into()
}

/// The addresses of all pods and services, and some that others may get.
fn wanted(server: &ApiServer, pods: &[serde_json::Value]) -> Vec<IpAddr> {
    let services = objects(server, Resource::Services);
    let pods = pods.iter().filter_map(|pod| pod["status"]["podIP"].as_str());
    let services = services.iter().filter_map(|it| it["spec"]["clusterIPs"].as_array());
    let services = services.flatten().filter_map(serde_json::Value::as_str);
    let all = pods.chain(services).chain(SPARE).chain(["10.255.255.1"]);
    all.map(|ip| ip.parse().unwrap()).collect::<BTreeSet<_>>().into_iter().collect()
}
