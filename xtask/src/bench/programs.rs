//! What Amphipod's programs cost in the kernel, as the kernel itself measures it.

use anyhow::{Result, bail};

use super::crowd::Crowd;
use super::lab::{Lab, RUN_TIME};
use super::load::{Counts, Request};
use super::report::{Findings, Grid};
use super::row::{Goal, Row, Unit};
use super::statistics::Summary;
use super::subject::{Programs, Subject};
use super::worker::Worker;

const NAME: &str = "programs";
/// Clients at once, and as many listeners: fewer than would fill the machine, because a program that is interrupted for
/// another process's sake measures that process.
const CLIENTS: usize = 2;
const CONNECTIONS_PER_SECOND: f64 = 10_000.0;

/// Everything that runs because of a TCP connection as such.
pub fn is_connection(program: &str) -> bool {
    program.starts_with("tcp_") || matches!(program, "flow_create" | "flow_release")
}

/// Everything that runs because of a packet.
pub fn is_packet(program: &str) -> bool {
    matches!(program, "flow_egress" | "flow_ingress")
}

pub fn run(lab: &Lab) -> Result<Findings> {
    let mut findings = Findings::default();
    connections(lab, &mut findings)?;
    datagrams(lab, &mut findings)?;
    live(lab, &mut findings)?;
    Ok(findings)
}

/// What `load` made the programs do.
fn watch(
    subject: &Subject<'_>,
    load: impl FnOnce() -> Result<Counts>,
) -> Result<(Counts, Programs)> {
    let before = subject.programs()?;
    let counts = load()?;
    Ok((counts, subject.programs()?.since(&before)))
}

/// Short connections: each of these figures is for both ends together.
fn connections(lab: &Lab, findings: &mut Findings) -> Result<()> {
    for (place, linked) in [("loopback", false), ("two namespaces", true)] {
        let mut server = if linked { Worker::server(lab)? } else { Worker::neighbour(lab)? };
        let mut client = Worker::client(lab)?;
        let address = if linked { lab.site.server.address } else { std::net::Ipv4Addr::LOCALHOST };
        let targets = server.listen(&Request::Serve { address, listeners: CLIENTS })?;
        let mut samples = Vec::new();
        for round in 1..=lab.options.rounds {
            lab.say(&format!("connections, {place}: round {round} of {}", lab.options.rounds));
            let (seconds, targets) = (lab.options.seconds, targets.clone());
            let per_second = Some(CONNECTIONS_PER_SECOND);
            let request = Request::Connect { targets, threads: CLIENTS, seconds, per_second };
            samples.push(lab.undisturbed(|| {
                let subject = lab.subject(RUN_TIME)?;
                let (counts, programs) = watch(&subject, || client.run(&request))?;
                check_seen(lab, &subject, &counts)?;
                subject.stop()?;
                Ok((counts, programs))
            })?);
        }
        let each = |value: &dyn Fn(&Counts, &Programs) -> f64| {
            Summary::of(samples.iter().map(|(counts, programs)| value(counts, programs)))
        };
        let per_connection = |choose: fn(&str) -> bool| {
            each(&|counts, programs| programs.sum(choose).1 as f64 / counts.connections as f64)
        };
        let row = |what: &str, measured| {
            Row::new(NAME, format!("{what}, {place}"), Unit::Nanoseconds, measured)
        };
        findings.rows.extend([
            row("TCP connection, both ends", per_connection(is_connection))
                .goal(Goal::AtMost(3000.0)),
            row("TCP connection with all its packets, every program", per_connection(|_| true)),
            // An empty program measures about 60 ns this way: the kernel's clock, read twice.
            row(
                "TCP packet and end, immediate exit",
                each(&|_, programs| programs.per_run(is_packet)),
            )
            .peers("253..375 + 254..279; OBI 349..606"),
        ]);
        findings.grids.push(each_program(place, &samples));
    }
    Ok(())
}

fn each_program(place: &str, samples: &[(Counts, Programs)]) -> Grid {
    let mut grid = Grid::new(
        NAME,
        format!("each program, short TCP connections, {place}"),
        "program",
        &[("runs per connection", Unit::Ratio), ("per run", Unit::Nanoseconds)],
    );
    let names = samples.iter().take(1).flat_map(|(_, programs)| programs.names());
    for name in names {
        let only = |program: &str| program == name;
        let figures: Vec<Vec<f64>> = samples
            .iter()
            .filter(|(_, programs)| programs.sum(only).0 > 0)
            .map(|(counts, programs)| {
                vec![
                    programs.sum(only).0 as f64 / counts.connections as f64,
                    programs.per_run(only),
                ]
            })
            .collect();
        if !figures.is_empty() {
            grid.medians(name, &figures);
        }
    }
    grid
}

/// The agent must have seen nearly all of it; how nearly, the bench `agent` tells.
fn check_seen(lab: &Lab, subject: &Subject<'_>, counts: &Counts) -> Result<()> {
    let workload = lab.site.client.workload.as_str();
    let labels =
        [("outcome", "established"), ("direction", "egress"), ("source_workload", workload)];
    let expected = counts.connections as f64 * 0.99;
    let seen = subject
        .await_value(expected, |metrics| metrics.sum("amphipod_connections_total", &labels))?;
    if counts.connections == 0 || seen < expected {
        bail!("the agent saw {seen} of {} connections", counts.connections);
    }
    Ok(())
}

fn datagrams(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let mut server = Worker::server(lab)?;
    let mut client = Worker::client(lab)?;
    let address = lab.site.server.address;
    let Some(&target) = server.listen(&Request::Receive { address })?.first() else {
        bail!("a load listens nowhere");
    };
    let mut samples = Vec::new();
    for round in 1..=lab.options.rounds {
        lab.say(&format!("datagrams: round {round} of {}", lab.options.rounds));
        let seconds = lab.options.seconds;
        let request = Request::Send { target, sockets: 1, seconds, per_second: None };
        samples.push(lab.undisturbed(|| {
            let subject = lab.subject(RUN_TIME)?;
            let (counts, programs) = watch(&subject, || client.run(&request))?;
            let (runs, _) = programs.sum(|name| name == "flow_egress");
            if runs < counts.datagrams {
                bail!("{} datagrams were sent, and flow_egress ran {runs} times", counts.datagrams);
            }
            subject.stop()?;
            Ok(programs)
        })?);
    }
    let per_run = |choose: fn(&str) -> bool| {
        Summary::of(samples.iter().map(|programs| programs.per_run(choose)))
    };
    let row = |what: &str, measured| Row::new(NAME, what, Unit::Nanoseconds, measured);
    findings.rows.extend([
        row("UDP packet and end", per_run(is_packet))
            .peers("253..375 + 254..279; OBI 349..606")
            .goal(Goal::AtMost(120.0)),
        row("UDP packet, sent", per_run(|name| name == "flow_egress")),
        row("UDP packet, received", per_run(|name| name == "flow_ingress")),
    ]);
    Ok(())
}

/// Reading out live connections: idle ones, and such that moved something since.
fn live(lab: &Lab, findings: &mut Findings) -> Result<()> {
    const CONNECTIONS: usize = 25_000;
    let mut crowd = Crowd::new(lab);
    let subject = lab.subject(&format!("{RUN_TIME}[flow]\ninterval = \"1s\"\n"))?;
    lab.say(&format!("{CONNECTIONS} live connections, both ends here"));
    crowd.grow(CONNECTIONS)?;
    await_reads(lab, &subject, 1, CONNECTIONS)?;
    let (mut idle, mut active) = (Vec::new(), Vec::new());
    for _ in 0..lab.options.rounds {
        idle.push(lab.undisturbed(|| await_reads(lab, &subject, 2, CONNECTIONS))?);
        active.push(lab.undisturbed(|| {
            crowd.touch()?;
            await_reads(lab, &subject, 1, CONNECTIONS)
        })?);
    }
    subject.stop()?;
    let row = |what: &str, measured: Vec<f64>| {
        Row::new(NAME, what, Unit::Nanoseconds, Summary::of(measured)).goal(Goal::AtMost(500.0))
    };
    findings.rows.extend([
        row("live TCP connection, idle, per interval and end", idle),
        row("live TCP connection, active, per interval and end", active),
    ]);
    Ok(())
}

/// What reads out live TCP connections.
pub fn is_read(program: &str) -> bool {
    matches!(program, "flow_tcp" | "flow_tcp_walk")
}

/// Waits until all live ends were read so many times more; nanoseconds for each.
fn await_reads(lab: &Lab, subject: &Subject<'_>, times: u64, connections: usize) -> Result<f64> {
    // A read is many runs in a row, and no others follow for most of a second.
    let (mut last, mut before, mut reading, mut reads) = (None, None, false, 0);
    let limit = std::time::Duration::from_secs(10 * (times + 1));
    let read = lab.interrupt.poll(limit, || {
        let now = subject.programs()?;
        let runs = now.sum(is_read).0;
        let resting = last.replace(runs) == Some(runs);
        if resting && reading {
            reads += 1;
        }
        reading = !resting;
        let Some(before) = &before else {
            (before, reading, reads) = (resting.then_some(now), false, 0);
            return Ok(None);
        };
        Ok((reads >= times).then(|| now.since(before).sum(is_read)))
    })?;
    let ends = (2 * connections) as u64;
    match read {
        Some((runs, time_ns)) if runs > 0 => Ok(time_ns as f64 / (times * ends) as f64),
        _ => bail!("{reads} reads of {ends} live ends where {times} were to be"),
    }
}
