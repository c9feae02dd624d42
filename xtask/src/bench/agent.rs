//! What the agent itself takes, processor and memory, and whether it lets anything slip.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::Result;
use model::status::{Loss, Status};

use super::crowd::Crowd;
use super::exposition::Exposition;
use super::lab::{DEFAULT, Lab};
use super::load::{Counts, Request};
use super::report::{Findings, Grid};
use super::row::{Goal, Row, Unit};
use super::statistics::Summary;
use super::subject::Subject;
use super::traffic::{Stage, Traffic};
use super::worker::Worker;

const NAME: &str = "agent";
/// New connections: so many a second, for so many times the length of another measurement.
const RATE: f64 = 12_000.0;
/// Clients at once, and as many listeners: enough to fill the machine.
const CLIENTS: usize = 4;
const LENGTHS: f64 = 15.0;
/// What the agent calls the part that finds names, among its losses.
const IDENTITY: &str = "identity";
/// Live connections, both ends on this host.
const LIVE: usize = 50_000;
/// The agent's default.
const INTERVAL: Duration = Duration::from_secs(5);
/// Over so many of them.
const INTERVALS: u32 = 2;

pub const COLUMNS: [(&str, Unit); 4] = [
    ("CPU of a core", Unit::Percent),
    ("peak memory", Unit::Megabytes),
    ("maps", Unit::Megabytes),
    ("lost", Unit::Count),
];

pub fn run(lab: &Lab) -> Result<Findings> {
    let mut findings = Findings::default();
    let mut grid = Grid::new(NAME, "the agent under load", "load", &COLUMNS);
    loads(lab, &mut grid)?;
    many_connections(lab, &mut findings, &mut grid)?;
    live_connections(lab, &mut findings, &mut grid)?;
    findings.grids.push(grid);
    Ok(findings)
}

/// Processor time from a moment on.
pub struct Meter<'a> {
    subject: &'a Subject<'a>,
    cpu: Duration,
    begin: Instant,
}

impl<'a> Meter<'a> {
    pub fn start(subject: &'a Subject<'a>) -> Result<Self> {
        Ok(Self { subject, cpu: subject.cpu()?, begin: Instant::now() })
    }

    /// Lets time pass until so long after the start.
    pub fn pass_until(&self, lab: &Lab, time: Duration) -> Result<()> {
        lab.interrupt.pass(time.saturating_sub(self.begin.elapsed()))
    }

    /// Percent of one core since the start.
    fn cpu_percent(&self) -> Result<f64> {
        let cpu = self.subject.cpu()?.saturating_sub(self.cpu);
        Ok(100.0 * cpu.as_secs_f64() / self.begin.elapsed().as_secs_f64())
    }

    /// The figures of [`COLUMNS`].
    pub fn figures(&self) -> Result<Vec<f64>> {
        let cpu = self.cpu_percent()?;
        let status = self.subject.status()?;
        let cost = &status.cost;
        let lost = lost(&status) as f64;
        Ok(vec![cpu, megabytes(cost.peak_rss_bytes), megabytes(cost.map_memory_bytes), lost])
    }
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// What did not get through, as the agent itself tells. Names that it forgot cost no record.
fn lost(status: &Status) -> u64 {
    let records = status.losses.iter().filter(|loss| loss.probe != IDENTITY);
    records.map(|loss| loss.count).sum()
}

/// Names that found their table full.
fn forgotten(status: &Status) -> u64 {
    let names = status.losses.iter().filter(|loss| loss.probe == IDENTITY);
    names.map(|loss| loss.count).sum()
}

fn loads(lab: &Lab, grid: &mut Grid) -> Result<()> {
    let mut stage = Stage::build(lab)?;
    for traffic in Traffic::ALL {
        let mut samples = Vec::new();
        for round in 1..=lab.options.rounds {
            lab.say(&format!("agent, {}: round {round} of {}", traffic.name(), lab.options.rounds));
            samples.push(lab.undisturbed(|| {
                let subject = lab.subject(DEFAULT)?;
                let meter = Meter::start(&subject)?;
                stage.measure(traffic, lab.options.seconds, Some(&subject))?;
                let figures = meter.figures()?;
                subject.stop()?;
                Ok(figures)
            })?);
        }
        grid.medians(traffic.name(), &samples);
    }
    Ok(())
}

/// As many short connections as the machine makes, and whether all of them are told, and every byte at both ends.
fn many_connections(lab: &Lab, findings: &mut Findings, grid: &mut Grid) -> Result<()> {
    let seconds = lab.options.seconds * LENGTHS;
    lab.say(&format!("new connections for {seconds} s"));
    let (asked, served, seen, figures, status) = lab.undisturbed(|| {
        let mut server = Worker::neighbour(lab)?;
        let mut client = Worker::client(lab)?;
        let address = Ipv4Addr::LOCALHOST;
        let targets = server.listen(&Request::Serve { address, listeners: CLIENTS })?;
        let subject = lab.subject(DEFAULT)?;
        let meter = Meter::start(&subject)?;
        let request = Request::Connect { targets, threads: CLIENTS, seconds, per_second: None };
        let asked = client.run(&request)?;
        let figures = meter.figures()?;
        let served = server.count()?;
        let seen = Seen::await_all(lab, &subject, &asked)?;
        let status = subject.status()?;
        subject.stop()?;
        Ok((asked, served, seen, figures, status))
    })?;
    let losses = status.losses.iter().filter(|loss| loss.count > 0);
    findings.notes.extend(losses.map(|loss| {
        let Loss { probe, stage, cause, count } = loss;
        format!("agent: new connections: lost {count}: {probe} {stage} {cause}")
    }));

    grid.line(
        format!("new connections, {:.0}/s", asked.connections as f64 / asked.seconds),
        figures,
    );
    findings.rows.extend(seen.rows(&asked, &served, &status));
    Ok(())
}

/// The same load as the agent counted it: connections and payload bytes, at either end.
struct Seen {
    opened: f64,
    accepted: f64,
    sent_by_client: f64,
    received_by_server: f64,
    sent_by_server: f64,
    received_by_client: f64,
}

impl Seen {
    fn read(lab: &Lab, metrics: &Exposition) -> Self {
        let (client, server) = (&*lab.site.client.workload, &*lab.site.server.workload);
        let connections = |labels: &[(&str, &str)]| {
            let established = [&[("outcome", "established")], labels].concat();
            metrics.sum("amphipod_connections_total", &established)
        };
        let sent = |by: &str| {
            let labels = [("direction", "egress"), ("source_workload", by)];
            metrics.sum("amphipod_flow_bytes_total", &labels)
        };
        let received = |by: &str| {
            let labels = [("direction", "ingress"), ("destination_workload", by)];
            metrics.sum("amphipod_flow_bytes_total", &labels)
        };
        Self {
            opened: connections(&[("direction", "egress"), ("source_workload", client)]),
            accepted: connections(&[("direction", "ingress"), ("destination_workload", server)]),
            sent_by_client: sent(client),
            received_by_server: received(server),
            sent_by_server: sent(server),
            received_by_client: received(client),
        }
    }

    /// What is on its way when the load ends arrives; what does not within an interval, never will.
    fn await_all(lab: &Lab, subject: &Subject<'_>, asked: &Counts) -> Result<Self> {
        let wanted = asked.connections as f64;
        subject.await_value(wanted, |metrics| Self::read(lab, metrics).opened)?;
        subject.await_value(wanted, |metrics| Self::read(lab, metrics).accepted)?;
        let bytes = asked.bytes_received as f64;
        subject.await_value(bytes, |metrics| Self::read(lab, metrics).received_by_client)?;
        subject.await_value(bytes, |metrics| Self::read(lab, metrics).sent_by_server)?;
        Ok(Self::read(lab, &subject.metrics()?))
    }

    fn rows(&self, asked: &Counts, served: &Counts, status: &Status) -> Vec<Row> {
        let count = |name: &str, value: f64| Row::new(NAME, name, Unit::Count, Summary::one(value));
        let lost = lost(status) as f64;
        let truth = asked.connections as f64;
        let missing =
            (truth - self.opened).abs() + (served.connections as f64 - self.accepted).abs();
        let off = |seen: f64, truth: u64| 100.0 * (seen - truth as f64).abs() / truth as f64;
        let client = off(self.sent_by_client, asked.bytes_sent)
            .max(off(self.received_by_client, asked.bytes_received));
        let server = off(self.received_by_server, served.bytes_received)
            .max(off(self.sent_by_server, served.bytes_sent));
        let bytes = |end: &str, value: f64| {
            Row::new(NAME, format!("bytes, {end}, off by"), Unit::Percent, Summary::one(value))
                .goal(Goal::AtMost(0.1))
        };
        vec![
            Row::new(NAME, "new connections", Unit::PerSecond, Summary::one(truth / asked.seconds))
                .goal(Goal::AtLeast(RATE)),
            count("connections made", truth),
            count("connections failed", asked.failed as f64 + served.failed as f64),
            count("connections missing or twice, both ends", missing),
            bytes("client", client).peers("76 % missing"),
            bytes("server", server).peers("76 % missing"),
            count("records lost, as counted", lost),
            count("names pushed out of full tables", forgotten(status) as f64),
            count("missing and not counted as lost", (missing - lost).max(0.0))
                .goal(Goal::AtMost(0.0)),
        ]
    }
}

/// Many connections that live.
fn live_connections(lab: &Lab, findings: &mut Findings, grid: &mut Grid) -> Result<()> {
    let mut crowd = Crowd::new(lab);
    let subject = lab.subject(DEFAULT)?;
    for connections in [LIVE / 2, LIVE] {
        lab.say(&format!("{connections} live connections, both ends here"));
        crowd.grow(connections)?;
        // What made them is not what keeps them.
        lab.interrupt.pass(2 * INTERVAL)?;
        let idle = lab.undisturbed(|| idle(lab, &subject))?;
        let active = lab.undisturbed(|| active(lab, &subject, &mut crowd))?;
        let ends = 2 * connections;
        let row = |what: &str, unit, value| {
            Row::new(NAME, format!("{ends} live ends, {what}"), unit, Summary::one(value))
        };
        let cpu = if ends == LIVE { Goal::AtMost(1.0) } else { Goal::None };
        findings.rows.extend([
            row("idle, CPU of a core", Unit::Percent, idle[0]).goal(cpu),
            row("active, CPU of a core", Unit::Percent, active[0]).goal(cpu),
            row("peak memory", Unit::Megabytes, active[1])
                .peers("58..118 MB; OBI 120..132")
                .goal(Goal::AtMost(40.0)),
            row("maps in the kernel", Unit::Megabytes, active[2]),
        ]);
        grid.line(format!("{ends} live ends, idle"), idle);
        grid.line(format!("{ends} live ends, active"), active);
    }
    subject.stop()
}

/// Over whole intervals in which nothing moves.
fn idle(lab: &Lab, subject: &Subject<'_>) -> Result<Vec<f64>> {
    let meter = Meter::start(subject)?;
    lab.interrupt.pass(INTERVALS * INTERVAL)?;
    meter.figures()
}

/// Over whole intervals in each of which every connection moves something.
fn active(lab: &Lab, subject: &Subject<'_>, crowd: &mut Crowd<'_>) -> Result<Vec<f64>> {
    let meter = Meter::start(subject)?;
    for interval in 1..=INTERVALS {
        crowd.touch()?;
        meter.pass_until(lab, interval * INTERVAL)?;
    }
    meter.figures()
}
