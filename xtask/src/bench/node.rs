//! What an agent takes of a node's memory to know the cluster: as much as its own pods and its peers need, however large the
//! cluster is.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sim::Cgroup;

use super::child::Child;
use super::cluster::Cluster;
use super::follower::{Answer, Knowledge, Order};
use super::hub::Hub;
use super::lab::Lab;
use super::report::{Findings, Grid};
use super::row::{Goal, Row, Unit};
use super::statistics::Summary;

const NAME: &str = "node";
/// Pods and nodes of each cluster: a hundred pods on each node.
const SIZES: [(usize, usize); 3] = [(1_000, 10), (10_000, 100), (100_000, 1_000)];
/// Pods elsewhere that the agent meets, and services.
const PEERS: usize = 200;
const SERVICES: usize = 20;
/// More than any answer takes.
const ANSWER: Duration = Duration::from_secs(120);

/// An agent's knowledge in a process of its own.
pub struct Node<'a> {
    child: Child,
    _cgroup: Cgroup,
    lab: &'a Lab,
}

impl<'a> Node<'a> {
    pub fn start(lab: &'a Lab) -> Result<Self> {
        let cgroup = lab.site.container("node")?;
        let program = std::env::current_exe().context("find this program")?;
        let arguments = ["bench".to_owned(), super::FOLLOWER.to_owned()];
        let child = Child::start(program, &arguments, &cgroup, None, lab.site.file("node.log"))?;
        Ok(Self { child, _cgroup: cgroup, lab })
    }

    pub fn follow(&mut self, hub: SocketAddr, node: &str) -> Result<Knowledge> {
        self.ask(&Order::Follow { hub, node: node.to_owned() })
    }

    pub fn meet(&mut self, addresses: Vec<IpAddr>) -> Result<Knowledge> {
        self.ask(&Order::Meet { addresses })
    }

    pub fn pass(&mut self, seconds: u64) -> Result<Knowledge> {
        self.ask(&Order::Pass { seconds })
    }

    /// In bytes, without what its program's file has.
    pub fn memory(&self) -> Result<f64> {
        Ok(self.child.memory()? as f64)
    }

    fn ask(&mut self, order: &Order) -> Result<Knowledge> {
        self.child.tell(&serde_json::to_string(order).context("order")?)?;
        let line = self.child.line(&self.lab.interrupt, ANSWER)?;
        match serde_json::from_str(&line).with_context(|| format!("the node said {line}"))? {
            Answer::Knows(knowledge) => Ok(knowledge),
            Answer::Failed(error) => bail!("node: {error}"),
        }
    }
}

pub fn run(lab: &Lab) -> Result<Findings> {
    let columns = [
        ("services", Unit::Count),
        ("own pods", Unit::Count),
        ("addresses", Unit::Count),
        ("idle", Unit::Kilobytes),
        ("after sync", Unit::Kilobytes),
        ("with its peers", Unit::Kilobytes),
    ];
    let title = format!("anonymous memory of an agent's names; {PEERS} peers, {SERVICES} services");
    let mut grid = Grid::new(NAME, title, "pods / nodes", &columns);
    let mut ends = Vec::new();
    for (pods, nodes) in SIZES {
        lab.say(&format!("{NAME}: {pods} pods"));
        let cluster = Cluster::start(lab, nodes, pods, 0)?;
        let hub = Hub::start(lab, &cluster, None, false)?;
        let mut samples = Vec::new();
        for _ in 0..lab.options.rounds {
            samples.push(look(lab, &cluster, &hub)?);
        }
        hub.stop()?;
        cluster.stop()?;
        grid.medians(format!("{pods} / {nodes}"), &samples);
        let taken = samples.iter().map(|it| it[5] - it[3]);
        ends.push(Summary::of(taken));
    }
    let names = ["1,000 pods", "10,000 pods", "100,000 pods"];
    let row = |(name, summary): (&str, &Summary)| {
        let name = format!("an agent's names in a cluster of {name}");
        Row::new(NAME, name, Unit::Kilobytes, summary.clone())
    };
    let mut findings = Findings::default();
    findings.rows.extend(names.into_iter().zip(&ends).map(row));
    let ratio = ends[2].median / ends[0].median;
    let name = "the last over the first";
    let row = Row::new(NAME, name, Unit::Ratio, Summary::one(ratio)).goal(Goal::AtMost(1.05));
    findings.rows.push(row);
    findings.grids.push(grid);
    Ok(findings)
}

/// One agent's life: the cells of a line.
fn look(lab: &Lab, cluster: &Cluster<'_>, hub: &Hub<'_>) -> Result<Vec<f64>> {
    let first = &cluster.pods.first().context("a cluster without pods")?.node;
    let mut random = fastrand::Rng::with_seed(1);
    let elsewhere = cluster.pods.iter().filter(|pod| pod.node != *first);
    let mut met: Vec<IpAddr> =
        random.choose_multiple(elsewhere, PEERS).into_iter().map(|pod| pod.ip).collect();
    met.extend((1..=SERVICES as u8).map(service));
    let mut node = Node::start(lab)?;
    let idle = settled(lab, &node)?;
    node.follow(hub.agents, first)?;
    let synced = settled(lab, &node)?;
    let knowledge = node.meet(met)?;
    let whole = settled(lab, &node)?;
    let services = hub.metrics()?.sum("amphipod_hub_objects", &[("resource", "services")]);
    let kilobytes = |bytes: f64| bytes / 1024.0;
    Ok(vec![
        services,
        knowledge.pods as f64,
        knowledge.addresses as f64,
        kilobytes(idle),
        kilobytes(synced),
        kilobytes(whole),
    ])
}

/// Where the simulated cluster has its service of this number.
pub fn service(number: u8) -> IpAddr {
    [10, 32, 0, number].into()
}

/// The memory once nothing is under way.
fn settled(lab: &Lab, node: &Node<'_>) -> Result<f64> {
    lab.interrupt.pass(Duration::from_millis(500))?;
    node.memory()
}
