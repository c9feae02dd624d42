//! How Amphipod's cost grows with what there is to see: ten times as much, a hundred times as much.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sim::{Node, PodSpec};

use super::agent::{COLUMNS, Meter};
use super::crowd::Crowd;
use super::exposition::Exposition;
use super::lab::{Lab, RUN_TIME};
use super::load::Request;
use super::programs::{is_connection, is_packet, is_read};
use super::report::{Findings, Grid};
use super::row::Unit;
use super::subject::Subject;
use super::worker::Worker;

const NAME: &str = "scale";
const SIZES: [usize; 3] = [1, 10, 100];
/// Live connections for each step of size; both ends are here.
const CONNECTIONS: usize = 500;
/// UDP flows for each step of size, and what they move together, whatever the size.
const FLOWS: usize = 100;
const DATAGRAMS_PER_SECOND: f64 = 50_000.0;
/// What all pods together open a second, whatever their number.
const CONNECTIONS_PER_SECOND: f64 = 2_000.0;

pub fn run(lab: &Lab) -> Result<Findings> {
    let mut findings = Findings::default();
    findings.grids.push(connections(lab)?);
    findings.grids.push(flows(lab)?);
    findings.grids.push(pods(lab)?);
    Ok(findings)
}

fn grid(title: &str, over: &'static str, event: &'static str) -> Grid {
    let columns = [(event, Unit::Nanoseconds)];
    Grid::new(NAME, title, over, &[&columns[..], &COLUMNS[..]].concat())
}

/// What an event costs, and the agent's own figures.
fn line(event: f64, figures: Vec<f64>) -> Vec<f64> {
    [event].into_iter().chain(figures).collect()
}

/// Reads every second instead of every five, so that a short look holds some reads.
fn often() -> String {
    format!("{RUN_TIME}[flow]\ninterval = \"1s\"\n")
}

/// Live connections, each active in every interval.
fn connections(lab: &Lab) -> Result<Grid> {
    let title = "live connections, all active, read every second";
    let mut grid = grid(title, "live ends", "read-out of an end");
    for size in SIZES {
        let connections = size * CONNECTIONS;
        lab.say(&format!("scale: {connections} live connections"));
        let mut crowd = Crowd::new(lab);
        let subject = lab.subject(&often())?;
        crowd.grow(connections)?;
        lab.interrupt.pass(Duration::from_secs(2))?;
        let line = lab.undisturbed(|| {
            let (before, meter) = (subject.programs()?, Meter::start(&subject)?);
            let seconds = lab.options.seconds.ceil() as u64;
            for second in 1..=seconds {
                crowd.touch()?;
                meter.pass_until(lab, Duration::from_secs(second))?;
            }
            let figures = meter.figures()?;
            // One read a second.
            let (_, time_ns) = subject.programs()?.since(&before).sum(is_read);
            Ok(line(time_ns as f64 / (seconds * 2 * connections as u64) as f64, figures))
        })?;
        grid.line((2 * connections).to_string(), line);
        subject.stop()?;
    }
    Ok(grid)
}

/// UDP flows: so many sockets send to one that knows none of them.
fn flows(lab: &Lab) -> Result<Grid> {
    let title = format!("UDP flows, {DATAGRAMS_PER_SECOND} datagrams a second together");
    let mut grid = grid(&title, "flows", "packet and end");
    let mut server = Worker::server(lab)?;
    let address = lab.site.server.address;
    let target =
        *server.listen(&Request::Receive { address })?.first().context("a load listens nowhere")?;
    for size in SIZES {
        let sockets = size * FLOWS;
        lab.say(&format!("scale: {sockets} UDP flows"));
        let line = lab.undisturbed(|| {
            let mut client = Worker::client(lab)?;
            let subject = lab.subject(&often())?;
            let (before, meter) = (subject.programs()?, Meter::start(&subject)?);
            let (seconds, per_second) = (lab.options.seconds, Some(DATAGRAMS_PER_SECOND));
            let sent = client.run(&Request::Send { target, sockets, seconds, per_second })?;
            let figures = meter.figures()?;
            let programs = subject.programs()?.since(&before);
            if sent.failed > 0 || programs.sum(is_packet).0 < sent.datagrams {
                bail!("{} datagrams did not leave, {} were sent", sent.failed, sent.datagrams);
            }
            subject.stop()?;
            Ok(line(programs.per_run(is_packet), figures))
        })?;
        grid.line(sockets.to_string(), line);
    }
    Ok(grid)
}

/// Pods: network namespaces and cgroups of their own, each of which connects to the same server.
fn pods(lab: &Lab) -> Result<Grid> {
    let title = format!("pods, {CONNECTIONS_PER_SECOND} connections a second together");
    let mut grid = grid(&title, "pods", "connection, both ends");
    grid.columns.push(("series", Unit::Count));
    for size in SIZES {
        lab.say(&format!("scale: {size} pods"));
        let node = Node::start()?;
        let _guest = lab.site.invite(node.instance().cgroup());
        let server = node.pod(PodSpec::new("server"))?;
        let server_place = server.container("5".repeat(64))?;
        let inside = server.netns().context("a pod without a namespace")?;
        let mut serving = Worker::start(lab, server_place.cgroup(), inside, "pod-server")?;
        let address = server.v4().context("a pod without an address")?;
        let targets = serving.listen(&Request::Serve { address, listeners: 2 })?;

        let subject = lab.subject(RUN_TIME)?;
        // While the agent watches, as pods come in a cluster.
        let clients = node.pods((0..size).map(|at| PodSpec::new(format!("pod{at}"))).collect())?;
        let mut containers = Vec::new();
        let mut workers = Vec::new();
        for (at, pod) in clients.iter().enumerate() {
            let container = pod.container(format!("{at:0>12x}{:052}", 0))?;
            let inside = pod.netns().context("a pod without a namespace")?;
            workers.push(Worker::start(lab, container.cgroup(), inside, &format!("pod-{at}"))?);
            containers.push(container);
        }
        let line = lab.undisturbed(|| connect(lab, &subject, &mut workers, &targets))?;
        grid.line(size.to_string(), line);
        drop(workers);
        subject.stop()?;
    }
    Ok(grid)
}

/// Lets all workers connect at once; the line of the grid.
fn connect(
    lab: &Lab,
    subject: &Subject<'_>,
    workers: &mut [Worker<'_>],
    targets: &[SocketAddr],
) -> Result<Vec<f64>> {
    let opened = |metrics: &Exposition| {
        let labels = [("outcome", "established"), ("direction", "egress")];
        metrics.sum("amphipod_connections_total", &labels)
    };
    let opened_before = opened(&subject.metrics()?);
    let (before, meter) = (subject.programs()?, Meter::start(subject)?);
    let seconds = lab.options.seconds;
    let per_second = Some(CONNECTIONS_PER_SECOND / workers.len() as f64);
    for worker in workers.iter_mut() {
        let targets = targets.to_vec();
        worker.tell(&Request::Connect { targets, threads: 1, seconds, per_second })?;
    }
    let mut connections = 0;
    for worker in workers.iter_mut() {
        let counts = worker.counts()?;
        if counts.failed > 0 {
            bail!("{} connections of a pod failed", counts.failed);
        }
        connections += counts.connections;
    }
    let figures = meter.figures()?;
    let programs = subject.programs()?.since(&before);
    let expected = opened_before + connections as f64;
    let seen = subject.await_value(expected, opened)?;
    if seen < expected {
        bail!("the agent saw {} of {connections} connections", seen - opened_before);
    }
    let series: u64 = subject.status()?.series.iter().map(|it| it.series).sum();
    let event = programs.sum(is_connection).1 as f64 / connections as f64;
    Ok([event].into_iter().chain(figures).chain([series as f64]).collect())
}
