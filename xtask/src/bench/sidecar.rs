//! What seeing costs with a proxy beside each end, as sidecars stand, and with Amphipod.

use anyhow::Result;

use super::lab::{DEFAULT, Lab};
use super::report::{Findings, Grid};
use super::row::{Row, Unit};
use super::service;
use super::statistics::Summary;
use super::traffic::{Sample, Stage, Traffic};

const NAME: &str = "sidecar";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mesh {
    Plain,
    Proxies,
    Amphipod,
}

const MESHES: [(Mesh, &str); 3] = [
    (Mesh::Plain, "plain"),
    (Mesh::Proxies, "a proxy on each side"),
    (Mesh::Amphipod, "with Amphipod"),
];

pub fn run(lab: &Lab) -> Result<Findings> {
    let mut stage = Stage::build(lab)?;
    let mut findings = Findings::default();
    for traffic in [Traffic::KeepAlive, Traffic::PerRequest] {
        let mut samples = [const { Vec::new() }; MESHES.len()];
        stage.measure(traffic, lab.options.seconds.min(1.0), None)?;
        for round in 1..=lab.options.rounds {
            lab.say(&format!("{}: round {round} of {}", traffic.name(), lab.options.rounds));
            for ((mesh, _), samples) in MESHES.iter().zip(&mut samples) {
                samples.push(lab.undisturbed(|| measure(lab, &mut stage, traffic, *mesh))?);
            }
        }
        add(&mut findings, traffic, &samples);
    }
    Ok(findings)
}

fn measure(lab: &Lab, stage: &mut Stage<'_>, traffic: Traffic, mesh: Mesh) -> Result<Sample> {
    let seconds = lab.options.seconds;
    match mesh {
        Mesh::Plain => stage.measure(traffic, seconds, None),
        Mesh::Proxies => {
            let sidecars = service::sidecars(lab)?;
            let url = format!("http://{}/", sidecars.outbound.address);
            // Proxies open their connections to the next at the first requests.
            stage.measure_at(traffic, &url, 1.0, None)?;
            stage.measure_at(traffic, &url, seconds, None)
        }
        Mesh::Amphipod => {
            let subject = lab.subject(DEFAULT)?;
            let sample = stage.measure(traffic, seconds, Some(&subject))?;
            subject.stop()?;
            Ok(sample)
        }
    }
}

fn add(findings: &mut Findings, traffic: Traffic, samples: &[Vec<Sample>; MESHES.len()]) {
    let [plain, _, _] = samples;
    let mut grid = Grid::new(
        NAME,
        format!("{}, from one namespace to the other", traffic.name()),
        "",
        &[
            ("requests", Unit::PerSecond),
            ("p50", Unit::Microseconds),
            ("p99", Unit::Microseconds),
            ("CPU each", Unit::Microseconds),
            ("machine", Unit::Percent),
        ],
    );
    for ((mesh, name), samples) in MESHES.iter().zip(samples) {
        let figures: Vec<Vec<f64>> = samples
            .iter()
            .map(|it| vec![it.per_second, it.p50_us, it.p99_us, it.cpu_us, it.machine_percent])
            .collect();
        grid.medians(*name, &figures);
        if *mesh == Mesh::Plain {
            continue;
        }
        let times = |what: &str, value: fn(&Sample) -> f64| {
            let ratios = samples.iter().zip(plain).map(|(it, plain)| value(it) / value(plain));
            let name = format!("{}, {name}, {what}, times plain", traffic.name());
            Row::new(NAME, name, Unit::Ratio, Summary::of(ratios))
        };
        findings.rows.extend([
            times("p50", |it| it.p50_us),
            times("p99", |it| it.p99_us),
            times("CPU per request", |it| it.cpu_us),
        ]);
    }
    findings.grids.push(grid);
}
