//! What it costs to know the cluster: the hub at its start, agents that come all at once, one change, many changes; and
//! beside it the same hub telling everybody everything.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result};

use super::agents::Agents;
use super::cluster::Cluster;
use super::fleet::{Agent, Order, Synced};
use super::hub::Hub;
use super::lab::Lab;
use super::report::{Findings, Grid};
use super::row::{Goal, Row, Unit};
use super::statistics::Summary;

const NAME: &str = "inventory";
const MEGABYTE: f64 = (1 << 20) as f64;
/// The cluster that most figures are of.
const PODS: usize = 20_000;
const NODES: usize = 200;
/// The largest.
const MANY_PODS: usize = 100_000;
const MANY_NODES: usize = 5_000;
/// Addresses elsewhere that each agent wants to know.
const PEERS: usize = 200;
/// Agents that are told when the first pod changes: its own node's, and others that want its address.
const INTERESTED: usize = 3;
const CHANGES_PER_SECOND: u32 = 1000;
/// A first account may take so long in any mode.
const SYNC_SECONDS: f64 = 300.0;
/// How long a batch that should not come is waited for.
const SILENCE: Duration = Duration::from_millis(700);

pub fn run(lab: &Lab) -> Result<Findings> {
    let mut findings = Findings::default();
    let columns = [
        ("hub at start", Unit::Megabytes),
        ("CPU to list, ms", Unit::Count),
        ("all synced, ms", Unit::Count),
        ("CPU for agents, ms", Unit::Count),
        ("hub at most", Unit::Megabytes),
        ("bytes to an agent", Unit::Count),
    ];
    let mut grid = Grid::new(NAME, "size, all agents at once", "pods / agents", &columns);
    for (pods, nodes) in [(1_000, 10), (10_000, 100)] {
        lab.say(&format!("inventory: {pods} pods, {nodes} agents"));
        let mut cluster = Cluster::start(lab, nodes, pods, 0)?;
        let sample = lab.undisturbed(|| look(lab, &mut cluster, false))?;
        grid.line(format!("{pods} / {nodes}"), sample.line());
        cluster.stop()?;
    }
    let told = compare(lab, &mut findings)?;
    grid.line(format!("{PODS} / {NODES}"), told.line());
    churn(lab, &mut findings)?;
    let many = many(lab, &mut findings)?;
    grid.line(format!("{MANY_PODS} / {MANY_NODES}"), many.line());
    findings.grids.push(grid);
    Ok(findings)
}

/// One hub's life.
#[derive(Clone, Copy)]
struct Sample {
    start_memory: f64,
    start_cpu_s: f64,
    synced: Synced,
    agents_cpu_s: f64,
    memory: f64,
    bytes_of_agent: f64,
    /// Batches that were sent because one pod changed.
    sends: f64,
}

impl Sample {
    fn line(&self) -> Vec<f64> {
        vec![
            self.start_memory / MEGABYTE,
            self.start_cpu_s * 1e3,
            self.synced.last_s * 1e3,
            self.agents_cpu_s * 1e3,
            self.memory / MEGABYTE,
            self.bytes_of_agent,
        ]
    }
}

fn look(lab: &Lab, cluster: &mut Cluster<'_>, broadcast: bool) -> Result<Sample> {
    let hub = Hub::start(lab, cluster, None, broadcast)?;
    let (start_memory, start_cpu_s) = (hub.peak_memory()?, hub.cpu()?);
    let mut agents = Agents::start(lab)?;
    let crowd = crowd(cluster)?;
    let count = crowd.len();
    let order = Order::Connect { hub: hub.agents, agents: crowd, seconds: SYNC_SECONDS };
    let synced = agents.synced(&order)?;
    let agents_cpu_s = hub.cpu()? - start_cpu_s;
    let memory = hub.peak_memory()?;
    let sent = hub.metrics()?.sum("amphipod_hub_sent_bytes_total", &[]);
    agents.batches()?;
    cluster.touch(0)?;
    let mut sends = 0;
    let expected = if broadcast { count } else { INTERESTED };
    lab.interrupt.poll(Duration::from_secs(30), || {
        sends += agents.batches()?;
        Ok((sends >= expected as u64).then_some(()))
    })?;
    lab.interrupt.pass(SILENCE)?;
    sends += agents.batches()?;
    drop(agents);
    hub.stop()?;
    Ok(Sample {
        start_memory,
        start_cpu_s,
        synced,
        agents_cpu_s,
        memory,
        bytes_of_agent: sent / count as f64,
        sends: sends as f64,
    })
}

/// An agent on each node that has pods. The first pod's address is wanted by as many as are to hear of it.
pub fn crowd(cluster: &Cluster<'_>) -> Result<Vec<Agent>> {
    let pods = &cluster.pods;
    let first = pods.first().context("a cluster without pods")?;
    let nodes: BTreeSet<&str> = pods.iter().map(|pod| pod.node.as_str()).collect();
    let mut random = fastrand::Rng::with_seed(1);
    let mut askers = INTERESTED - 1;
    let agent = |node: &str| {
        let mut wanted: BTreeSet<IpAddr> = BTreeSet::new();
        let elsewhere = pods.iter().skip(1).filter(|pod| pod.node != node).count();
        while wanted.len() < PEERS.min(elsewhere) {
            let pod = &pods[random.usize(1..pods.len())];
            if pod.node != node {
                wanted.insert(pod.ip);
            }
        }
        if node != first.node && askers > 0 {
            askers -= 1;
            wanted.insert(first.ip);
        }
        Agent { node: node.to_owned(), wanted: wanted.into_iter().collect() }
    };
    Ok(nodes.into_iter().map(agent).collect())
}

/// The table of goals, and the broadcast beside it.
fn compare(lab: &Lab, findings: &mut Findings) -> Result<Sample> {
    lab.say(&format!("inventory: {PODS} pods"));
    let mut cluster = Cluster::start(lab, NODES, PODS, 0)?;
    let (mut told, mut broadcast) = (Vec::new(), Vec::new());
    cluster.load()?;
    let mut bytes = Vec::new();
    for round in 1..=lab.options.rounds {
        lab.say(&format!("inventory: round {round} of {}", lab.options.rounds));
        let sample = lab.undisturbed(|| look(lab, &mut cluster, false))?;
        told.push(sample);
        bytes.push(cluster.load()?.0 / MEGABYTE);
        broadcast.push(lab.undisturbed(|| look(lab, &mut cluster, true))?);
        cluster.load()?;
    }
    cluster.stop()?;
    let of = |value: fn(&Sample) -> f64| Summary::of(told.iter().map(value));
    let ratio = |value: fn(&Sample) -> f64| {
        Summary::of(told.iter().zip(&broadcast).map(|(told, all)| value(all) / value(told)))
    };
    let row = |name: &str, unit, measured| Row::new(NAME, name, unit, measured);
    findings.rows.extend([
        row("hub at start, 20,000 pods", Unit::Megabytes, of(|it| it.start_memory / MEGABYTE))
            .peers("266 to 290 MB")
            .goal(Goal::AtMost(45.0)),
        row("CPU to list them, ms", Unit::Count, of(|it| it.start_cpu_s * 1e3))
            .peers("2500 to 3800")
            .goal(Goal::AtMost(1200.0)),
        row(
            "200 agents at once: the last is synced, ms",
            Unit::Count,
            of(|it| it.synced.last_s * 1e3),
        )
        .peers("64000 to 86000")
        .goal(Goal::AtMost(2000.0)),
        row("their CPU at the hub, ms", Unit::Count, of(|it| it.agents_cpu_s * 1e3))
            .peers("91000")
            .goal(Goal::AtMost(1500.0)),
        row("hub at most", Unit::Megabytes, of(|it| it.memory / MEGABYTE))
            .peers("1.4 GB")
            .goal(Goal::AtMost(90.0)),
        row(
            "bytes to one agent (100 own pods, 200 peers)",
            Unit::Count,
            of(|it| it.bytes_of_agent),
        )
        .peers("37.5 MB")
        .goal(Goal::AtMost(150_000.0)),
        row("sends after one change, 3 interested", Unit::Count, of(|it| it.sends))
            .peers("200")
            .goal(Goal::AtMost(3.0)),
        row("bytes from the API server to a hub", Unit::Megabytes, Summary::of(bytes)),
        row("broadcast / told: the last is synced", Unit::Ratio, ratio(|it| it.synced.last_s)),
        row("broadcast / told: CPU at the hub", Unit::Ratio, ratio(|it| it.agents_cpu_s)),
        row("broadcast / told: bytes to one agent", Unit::Ratio, ratio(|it| it.bytes_of_agent)),
        row("broadcast / told: sends after one change", Unit::Ratio, ratio(|it| it.sends)),
    ]);
    told.last().copied().context("no rounds")
}

/// A cluster that changes all the time.
fn churn(lab: &Lab, findings: &mut Findings) -> Result<()> {
    lab.say(&format!("inventory: {CHANGES_PER_SECOND} changes a second"));
    let cluster = Cluster::start(lab, NODES, PODS, CHANGES_PER_SECOND)?;
    let hub = Hub::start(lab, &cluster, None, false)?;
    let mut agents = Agents::start(lab)?;
    let crowd = crowd(&cluster)?;
    agents.synced(&Order::Connect { hub: hub.agents, agents: crowd, seconds: SYNC_SECONDS })?;
    let (mut cpu, mut lag, mut sent) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..lab.options.rounds {
        let sample = lab.undisturbed(|| {
            let (cpu, metrics) = (hub.cpu()?, hub.metrics()?);
            lab.interrupt.pass(Duration::from_secs_f64(lab.options.seconds))?;
            let (cpu, later) = (hub.cpu()? - cpu, hub.metrics()?);
            let grown = |name: &str| later.sum(name, &[]) - metrics.sum(name, &[]);
            let lag =
                grown("amphipod_hub_lag_seconds_sum") / grown("amphipod_hub_lag_seconds_count");
            Ok((cpu, lag, grown("amphipod_hub_sent_bytes_total")))
        })?;
        cpu.push(100.0 * sample.0 / lab.options.seconds);
        lag.push(sample.1 * 1e6);
        sent.push(sample.2 / lab.options.seconds / 200.0);
    }
    findings.rows.extend([
        Row::new(NAME, "hub at 1,000 changes a second, of a core", Unit::Percent, Summary::of(cpu)),
        Row::new(
            NAME,
            "a change on its way through it, mean",
            Unit::Microseconds,
            Summary::of(lag),
        ),
        Row::new(NAME, "bytes to one agent meanwhile", Unit::PerSecond, Summary::of(sent)),
        Row::new(
            NAME,
            "hub at most, after that",
            Unit::Megabytes,
            Summary::one(hub.peak_memory()? / MEGABYTE),
        ),
    ]);
    drop(agents);
    hub.stop()?;
    cluster.stop()
}

/// The largest cluster: all agents at once, and then a hub that starts anew under them.
fn many(lab: &Lab, findings: &mut Findings) -> Result<Sample> {
    lab.say(&format!("inventory: {MANY_PODS} pods, {MANY_NODES} agents"));
    let cluster = Cluster::start(lab, MANY_NODES, MANY_PODS, 0)?;
    let hub = Hub::start(lab, &cluster, None, false)?;
    let (start_memory, start_cpu_s) = (hub.peak_memory()?, hub.cpu()?);
    let mut agents = Agents::start(lab)?;
    let crowd = crowd(&cluster)?;
    let count = crowd.len();
    let order = Order::Connect { hub: hub.agents, agents: crowd, seconds: SYNC_SECONDS };
    let synced = agents.synced(&order)?;
    let sample = Sample {
        start_memory,
        start_cpu_s,
        synced,
        agents_cpu_s: hub.cpu()? - start_cpu_s,
        memory: hub.peak_memory()?,
        bytes_of_agent: hub.metrics()?.sum("amphipod_hub_sent_bytes_total", &[]) / count as f64,
        sends: f64::NAN,
    };
    let address = hub.agents;
    hub.stop()?;
    let hub = Hub::start(lab, &cluster, Some(address), false)?;
    let again = agents.synced(&Order::Await { seconds: SYNC_SECONDS })?;
    let one = |value| Summary::one(value);
    findings.rows.extend([
        Row::new(
            NAME,
            "100,000 pods, 5,000 agents: hub at most",
            Unit::Megabytes,
            one(sample.memory / MEGABYTE),
        )
        .goal(Goal::AtMost(250.0)),
        Row::new(NAME, "the last of them is synced, ms", Unit::Count, one(synced.last_s * 1e3))
            .goal(Goal::AtMost(60_000.0)),
        Row::new(
            NAME,
            "a hub starts anew under them: the last is synced, ms",
            Unit::Count,
            one(again.last_s * 1e3),
        ),
        Row::new(NAME, "that hub at most", Unit::Megabytes, one(hub.peak_memory()? / MEGABYTE)),
    ]);
    drop(agents);
    hub.stop()?;
    cluster.stop()?;
    Ok(sample)
}
