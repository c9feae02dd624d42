//! What Amphipod costs, and what it takes from others: measured, against the goals.

mod agent;
mod agents;
mod child;
mod churn;
mod clickhouse;
mod cluster;
mod crowd;
mod disturbance;
mod edges;
mod exposition;
mod fetch;
mod fleet;
mod follower;
mod history;
mod host;
mod http;
mod hub;
mod interrupt;
mod inventory;
mod lab;
mod load;
mod node;
mod observe;
mod options;
mod processor;
mod programs;
mod report;
mod reporters;
mod reports;
mod row;
mod scale;
mod service;
mod sidecar;
mod site;
mod statistics;
mod subject;
mod traffic;
mod worker;
mod wrk;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::repository;
use host::Tool;
use interrupt::Interrupt;
use lab::Lab;
use options::Options;
use report::{Findings, Report};
use site::Site;

/// A bench's name, what it needs, and what it does.
struct Bench {
    name: &'static str,
    tools: &'static [Tool],
    /// It starts the program.
    binary: bool,
    run: fn(&Lab) -> Result<Findings>,
}

const IP: Tool = ("ip", "iproute2");
const WEB: &[Tool] = &[IP, ("wrk", "wrk"), ("nginx", "nginx")];

const SIDECAR: &[Tool] = &[IP, ("wrk", "wrk"), ("nginx", "nginx"), ("haproxy", "haproxy")];

/// In the order in which they run.
const BENCHES: [Bench; 11] = [
    Bench { name: "programs", tools: &[IP], binary: true, run: programs::run },
    Bench { name: "http", tools: WEB, binary: true, run: http::run },
    Bench { name: "agent", tools: WEB, binary: true, run: agent::run },
    Bench { name: "sidecar", tools: SIDECAR, binary: true, run: sidecar::run },
    Bench { name: "scale", tools: &[IP], binary: true, run: scale::run },
    Bench { name: "inventory", tools: &[IP], binary: true, run: inventory::run },
    Bench { name: "node", tools: &[IP], binary: true, run: node::run },
    Bench { name: "churn", tools: &[IP], binary: true, run: churn::run },
    Bench { name: "history", tools: &[], binary: false, run: history::run },
    Bench { name: "reports", tools: &[IP], binary: true, run: reports::run },
    Bench { name: "observe", tools: &[IP], binary: true, run: observe::run },
];

/// The processes of a load, of simulated agents, and of one agent's knowledge, which a bench starts itself.
const LOAD: &str = "load";
const FLEET: &str = "fleet";
const FOLLOWER: &str = "follower";

/// `bench [NAME...] [--json FILE] [--seconds N] [--rounds N]`
pub fn run(arguments: &[String]) -> Result<ExitCode> {
    if arguments == [LOAD] {
        return load::run();
    }
    if arguments == [FLEET] {
        return fleet::run();
    }
    if arguments == [FOLLOWER] {
        return follower::run();
    }
    let names: Vec<&str> = BENCHES.iter().map(|bench| bench.name).collect();
    let options = Options::parse(arguments, &names)?;
    let wanted: Vec<&Bench> = BENCHES.iter().filter(|bench| options.wants(bench.name)).collect();
    let tools: Vec<Tool> = wanted.iter().flat_map(|bench| bench.tools.iter().copied()).collect();
    host::check(&tools)?;
    let binary = repository::target().join("release/amphipod");
    if !binary.is_file() && wanted.iter().any(|bench| bench.binary) {
        bail!("{}: no such file; build it: ./x build", binary.display());
    }
    let lab = Lab::new(Site::build()?, Interrupt::watch()?, options, binary);
    for holder in host::holders()? {
        lab.say(&format!("{holder} has BPF programs in the kernel: its cost is in every figure"));
    }

    let mut findings = Findings::default();
    for bench in wanted {
        let found = (bench.run)(&lab).with_context(|| format!("bench {}", bench.name))?;
        findings.add(found);
    }
    let report = Report {
        machine: host::machine(),
        seconds: lab.options.seconds,
        rounds: lab.options.rounds,
        disturbance_percent: lab.disturbance(),
        findings,
    };
    print!("{}", report.text());
    if let Some(path) = &lab.options.json {
        let text = serde_json::to_string_pretty(&report).context("JSON")?;
        std::fs::write(path, text + "\n").with_context(|| format!("write {}", path.display()))?;
    }
    let (goals, missed) = report.goals();
    println!("bench: {goals} goals, {missed} missed");
    Ok(ExitCode::SUCCESS)
}
