//! What Amphipod takes from the throughput of others: the same load without it and with it.

use anyhow::Result;

use super::lab::Lab;
use super::report::{Findings, Grid};
use super::row::{Goal, Row, Unit};
use super::statistics::{Pair, Summary, ratios};
use super::traffic::{Sample, Stage, Traffic};

const NAME: &str = "http";

pub fn run(lab: &Lab) -> Result<Findings> {
    let mut stage = Stage::build(lab)?;
    let mut findings = Findings::default();
    let mut grid = Grid::new(
        NAME,
        "loads without Amphipod",
        "load",
        &[
            ("requests, datagrams or MB", Unit::PerSecond),
            ("p50", Unit::Microseconds),
            ("p99", Unit::Microseconds),
            ("CPU each", Unit::Microseconds),
            ("machine", Unit::Percent),
            ("client", Unit::Percent),
            ("server", Unit::Percent),
        ],
    );
    for traffic in Traffic::ALL {
        let seconds = lab.options.seconds;
        // Caches, neighbours and the server's first connections.
        stage.measure(traffic, seconds.min(1.0), None)?;
        let pairs =
            lab.alternate(traffic.name(), |subject| stage.measure(traffic, seconds, subject))?;
        findings.rows.extend(rows(traffic, &pairs));
        let off: Vec<Vec<f64>> = pairs.iter().map(|pair| figures(&pair.off)).collect();
        grid.medians(traffic.name(), &off);
    }
    findings.grids.push(grid);
    Ok(findings)
}

fn figures(sample: &Sample) -> Vec<f64> {
    let Sample { per_second, p50_us, p99_us, cpu_us, .. } = *sample;
    let Sample { machine_percent, client_percent, server_percent, .. } = *sample;
    vec![per_second, p50_us, p99_us, cpu_us, machine_percent, client_percent, server_percent]
}

fn rows(traffic: Traffic, pairs: &[Pair<Sample>]) -> Vec<Row> {
    let (peers, goal) = match traffic {
        Traffic::KeepAlive => ("0.923; OBI 0.926", Goal::AtLeast(0.985)),
        Traffic::PerRequest => ("OBI 0.824", Goal::AtLeast(0.93)),
        Traffic::Datagrams => ("0.892; OBI 0.853", Goal::AtLeast(0.96)),
        Traffic::Bulk => ("", Goal::None),
    };
    let row = |what: &str, measured: Summary| {
        Row::new(NAME, format!("{}, {what}, on/off", traffic.name()), Unit::Ratio, measured)
    };
    let mut rows = vec![
        row("throughput", ratios(pairs, |sample| sample.per_second)).peers(peers).goal(goal),
        row("CPU", ratios(pairs, |sample| sample.cpu_us)),
    ];
    if matches!(traffic, Traffic::KeepAlive | Traffic::PerRequest) {
        rows.push(row("p99", ratios(pairs, |sample| sample.p99_us)));
    }
    rows
}
