//! What Amphipod costs, and what it takes from others: measured, against the goals.

mod agent;
mod child;
mod crowd;
mod exposition;
mod host;
mod http;
mod interrupt;
mod lab;
mod load;
mod options;
mod processor;
mod programs;
mod report;
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
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::repository;
use host::Tool;
use interrupt::Interrupt;
use lab::Lab;
use options::Options;
use processor::Machine;
use report::{Findings, Report};
use site::Site;

/// A bench's name, what it needs, and what it does.
struct Bench {
    name: &'static str,
    tools: &'static [Tool],
    run: fn(&Lab) -> Result<Findings>,
}

const IP: Tool = ("ip", "iproute2");
const WEB: &[Tool] = &[IP, ("wrk", "wrk"), ("nginx", "nginx")];

const SIDECAR: &[Tool] = &[IP, ("wrk", "wrk"), ("nginx", "nginx"), ("haproxy", "haproxy")];

/// In the order in which they run.
const BENCHES: [Bench; 5] = [
    Bench { name: "programs", tools: &[IP], run: programs::run },
    Bench { name: "http", tools: WEB, run: http::run },
    Bench { name: "agent", tools: WEB, run: agent::run },
    Bench { name: "sidecar", tools: SIDECAR, run: sidecar::run },
    Bench { name: "scale", tools: &[IP], run: scale::run },
];

/// The process of a load, which a bench starts itself.
const LOAD: &str = "load";

/// `bench [NAME...] [--json FILE] [--seconds N] [--rounds N]`
pub fn run(arguments: &[String]) -> Result<ExitCode> {
    if arguments == [LOAD] {
        return load::run();
    }
    let names: Vec<&str> = BENCHES.iter().map(|bench| bench.name).collect();
    let options = Options::parse(arguments, &names)?;
    let wanted: Vec<&Bench> = BENCHES.iter().filter(|bench| options.wants(bench.name)).collect();
    let tools: Vec<Tool> = wanted.iter().flat_map(|bench| bench.tools.iter().copied()).collect();
    host::check(&tools)?;
    let binary = repository::target().join("release/amphipod");
    if !binary.is_file() {
        bail!("{}: no such file; build it: ./x build", binary.display());
    }
    let lab = Lab { interrupt: Interrupt::watch()?, site: Site::build()?, options, binary };
    for holder in host::holders()? {
        lab.say(&format!("{holder} has BPF programs in the kernel: its cost is in every figure"));
    }

    let begin = Disturbance::begin(&lab)?;
    let mut findings = Findings::default();
    for bench in wanted {
        let found = (bench.run)(&lab).with_context(|| format!("bench {}", bench.name))?;
        findings.add(found);
    }
    let report = Report {
        machine: host::machine(),
        seconds: lab.options.seconds,
        rounds: lab.options.rounds,
        disturbance_percent: begin.percent(&lab)?,
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

/// What others use of the processors while the benches run.
struct Disturbance {
    machine: Machine,
    own: Duration,
}

impl Disturbance {
    fn begin(lab: &Lab) -> Result<Self> {
        Ok(Self { machine: Machine::now()?, own: own(lab)? })
    }

    /// Of the whole machine.
    fn percent(&self, lab: &Lab) -> Result<f64> {
        let now = Self::begin(lab)?;
        let (busy, time) = now.machine.since(&self.machine);
        let others = busy.saturating_sub(now.own.saturating_sub(self.own));
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(100.0 * others.as_secs_f64() / time.as_secs_f64() / processors as f64)
    }
}

/// What everything that belongs to the benches has used.
fn own(lab: &Lab) -> Result<Duration> {
    let site = processor::used_by(lab.site.instance.cgroup())?;
    let this = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Ok(site + Duration::try_from(this).unwrap_or_default())
}
