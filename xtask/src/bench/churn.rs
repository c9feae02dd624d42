//! Two days of a busy cluster in some minutes: hub and agent must not remember what has gone.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result};

use super::agents::Agents;
use super::cluster::Cluster;
use super::fleet::Order;
use super::hub::Hub;
use super::inventory::crowd;
use super::lab::Lab;
use super::node::{Node, service};
use super::report::{Findings, Grid};
use super::row::{Goal, Row, Unit};
use super::statistics::Summary;

const NAME: &str = "churn";
const MEGABYTE: f64 = (1 << 20) as f64;
const PODS: usize = 10_000;
const NODES: usize = 100;
/// Changes of objects in a second of the days.
const RATE: usize = 10;
/// As many come before: a cluster that has just been made has no former ReplicaSets, and all pods of a workload are alike.
const HOURS: usize = 24;
/// On the first the heap gets its holes, and tables their size: the hub's clock is the machine's, so that what it remembers
/// for an hour fills up to its bound.
const DAYS: usize = 2;
/// A line of the table is of so many.
const SHOWN: usize = 2;
/// In so many parts an hour is played: what agents forget after minutes must have time to be forgotten.
const STEPS: usize = 12;
/// Addresses that the agent meets in each step: of pods, of services, and such as nobody has.
const MET: (usize, u8, usize) = (200, 20, 20);
const SYNC_SECONDS: f64 = 120.0;
/// The hub takes what the API server tells within this.
const CAUGHT_UP: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);

pub fn run(lab: &Lab) -> Result<Findings> {
    let columns = [
        ("changes", Unit::Count),
        ("objects", Unit::Count),
        ("hub", Unit::Megabytes),
        ("agent", Unit::Megabytes),
    ];
    let mut grid = Grid::new(NAME, "anonymous memory through two days", "hour", &columns);
    let mut cluster = Cluster::start(lab, NODES, PODS, 0)?;
    lab.say(&format!("{NAME}: the day before"));
    for _ in 0..HOURS {
        cluster.churn(RATE * 3600)?;
    }
    let hub = Hub::start(lab, &cluster, None, false)?;
    let mut agents = Agents::start(lab)?;
    let crowd = crowd(&cluster)?;
    agents.synced(&Order::Connect { hub: hub.agents, agents: crowd, seconds: SYNC_SECONDS })?;
    let mut node = Node::start(lab)?;
    let first = cluster.pods.first().context("a cluster without pods")?.node.clone();
    node.follow(hub.agents, &first)?;
    let mut random = fastrand::Rng::with_seed(1);
    let (mut changes, mut memory) = (0, Vec::new());
    for hour in 1..=HOURS * DAYS {
        lab.say(&format!("{NAME}: hour {hour} of {}", HOURS * DAYS));
        for _ in 0..STEPS {
            changes += cluster.churn(RATE * 3600 / STEPS)?;
            catch_up(lab, &hub)?;
            node.meet(met(&cluster, &mut random))?;
            node.pass((3600 / STEPS) as u64)?;
        }
        let sample = [hub.memory()?, node.memory()?].map(|bytes| bytes / MEGABYTE);
        let objects = hub.metrics()?.sum("amphipod_hub_objects", &[]);
        if hour % SHOWN == 0 {
            grid.line(hour.to_string(), [changes as f64, objects, sample[0], sample[1]]);
        }
        memory.push(sample);
    }
    drop((node, agents));
    hub.stop()?;
    cluster.stop()?;
    let mut findings = Findings::default();
    for (at, name) in ["hub", "agent"].into_iter().enumerate() {
        let memory: Vec<f64> = memory.iter().map(|sample| sample[at]).collect();
        let (first, second) = memory.split_at(HOURS);
        let row = |day: &str, memory: &[f64]| {
            let name = format!("{name}: last quarter of the {day} day over its first");
            Row::new(NAME, name, Unit::Ratio, growth(memory))
        };
        findings.rows.push(row("first", first));
        findings.rows.push(row("second", second).goal(Goal::AtMost(1.02)));
    }
    let name = "changes in both days";
    findings.rows.push(Row::new(NAME, name, Unit::Count, Summary::one(changes as f64)));
    findings.grids.push(grid);
    Ok(findings)
}

/// The median of the day's last quarter over that of its first.
fn growth(day: &[f64]) -> Summary {
    let quarter = day.len() / 4;
    let median = |part: &[f64]| Summary::of(part.iter().copied()).median;
    Summary::one(median(&day[day.len() - quarter..]) / median(&day[..quarter]))
}

/// Addresses as they come: most are somebody's.
fn met(cluster: &Cluster<'_>, random: &mut fastrand::Rng) -> Vec<IpAddr> {
    let (pods, services, nobodys) = MET;
    let pods = random.choose_multiple(&cluster.pods, pods).into_iter().map(|pod| pod.ip);
    let services = (1..=services).map(service);
    let [a, b] = [random.u8(..), random.u8(..)];
    let nobodys = (0..nobodys).map(|last| IpAddr::from([203, a, b, last as u8]));
    pods.chain(services).chain(nobodys).collect()
}

/// Until the hub has taken what there is.
fn catch_up(lab: &Lab, hub: &Hub<'_>) -> Result<()> {
    let mut before = f64::NAN;
    let caught_up = lab.interrupt.poll(CAUGHT_UP, || {
        lab.interrupt.pass(PAUSE)?;
        let taken = hub.metrics()?.sum("amphipod_hub_sequence", &[]);
        Ok((std::mem::replace(&mut before, taken) == taken).then_some(()))
    })?;
    caught_up.with_context(|| format!("the hub is not through after {} s", CAUGHT_UP.as_secs()))
}
