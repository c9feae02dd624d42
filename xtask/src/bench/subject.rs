//! What is measured: the agent, as it is shipped.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use model::status::{ProgramState, Status};
use sim::Cgroup;

use super::child::Child;
use super::exposition::Exposition;
use super::fetch::{free_address, get};
use super::interrupt::Interrupt;
use super::processor;
use super::site::Site;

const START: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(10);
/// How long what the agent has seen may take to be shown: an interval, and some.
const SHOWN: Duration = Duration::from_secs(10);

/// A running agent. Dropping it kills it, and with it its programs are detached.
pub struct Subject<'a> {
    child: Child,
    cgroup: Cgroup,
    address: SocketAddr,
    interrupt: &'a Interrupt,
}

/// Runs of each program and their time in nanoseconds, by name.
#[derive(Clone, Debug, Default)]
pub struct Programs(BTreeMap<String, (u64, u64)>);

impl<'a> Subject<'a> {
    /// Starts the agent with `configuration` (TOML) and waits until its programs are attached.
    pub fn start(
        binary: &Path,
        site: &Site,
        interrupt: &'a Interrupt,
        configuration: &str,
    ) -> Result<Self> {
        let cgroup = site.container("agent")?;
        let address = free_address()?;
        let arguments = [
            "agent".to_owned(),
            "--standalone".to_owned(),
            format!("--listen={address}"),
            format!("--socket={}", site.file("agent.sock").display()),
            format!("--config={}", site.write("agent.toml", configuration)?),
        ];
        let child = Child::start(binary, &arguments, &cgroup, None, site.file("agent.log"))?;
        let mut subject = Self { child, cgroup, address, interrupt };
        subject.wait_until_ready()?;
        Ok(subject)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let Self { child, address, interrupt, .. } = self;
        let ready = interrupt.poll(START, || {
            child.check()?;
            Ok(get(*address, "/readyz").ok())
        })?;
        if ready.is_none() {
            bail!("the agent is not ready after {} s", START.as_secs());
        }
        let failed =
            self.status()?.programs.into_iter().find(|it| it.state == ProgramState::Failed);
        if let Some(program) = failed {
            bail!("the agent's program {} failed: {}", program.program, program.reason);
        }
        Ok(())
    }

    pub fn status(&self) -> Result<Status> {
        let text = get(self.address, "/api/v1/status")?;
        serde_json::from_str(&text).context("the agent's /api/v1/status")
    }

    pub fn metrics(&self) -> Result<Exposition> {
        Ok(Exposition::parse(&get(self.address, "/metrics")?))
    }

    /// Waits until `value` of the metrics has reached `expected`, at most one interval and some; returns it either way.
    pub fn await_value(&self, expected: f64, value: impl Fn(&Exposition) -> f64) -> Result<f64> {
        let mut last = 0.0;
        self.interrupt.poll(SHOWN, || {
            last = value(&self.metrics()?);
            Ok((last >= expected).then_some(()))
        })?;
        Ok(last)
    }

    /// Processor time of the process so far. What programs in the kernel take is the time of whoever runs them.
    pub fn cpu(&self) -> Result<Duration> {
        processor::used_by(self.cgroup.path())
    }

    pub fn programs(&self) -> Result<Programs> {
        let programs = self.status()?.programs;
        Ok(Programs(
            programs.into_iter().map(|it| (it.program, (it.runs, it.run_time_ns))).collect(),
        ))
    }

    pub fn stop(self) -> Result<()> {
        self.child.stop(self.interrupt, STOP)
    }
}

impl Programs {
    /// What was run since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |name: &str| earlier.0.get(name).copied().unwrap_or_default();
        let part = |(name, (runs, ns)): (&String, &(u64, u64))| {
            let (runs_before, ns_before) = before(name);
            (name.clone(), (runs.saturating_sub(runs_before), ns.saturating_sub(ns_before)))
        };
        Self(self.0.iter().map(part).collect())
    }

    /// Runs, and nanoseconds, of all programs that `choose` takes by their name.
    pub fn sum(&self, choose: impl Fn(&str) -> bool) -> (u64, u64) {
        let chosen = self.0.iter().filter(|(name, _)| choose(name));
        chosen.fold((0, 0), |(runs, ns), (_, (more, time))| (runs + more, ns + time))
    }

    /// Nanoseconds of one run; NaN without runs.
    pub fn per_run(&self, choose: impl Fn(&str) -> bool) -> f64 {
        let (runs, ns) = self.sum(choose);
        ns as f64 / runs as f64
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn programs(entries: &[(&str, u64, u64)]) -> Programs {
        let entry = |(name, runs, ns): &(&str, u64, u64)| ((*name).to_owned(), (*runs, *ns));
        Programs(entries.iter().map(entry).collect())
    }

    #[test]
    fn only_what_came_between_counts() {
        let before = programs(&[("tcp_a", 10, 1000), ("flow_b", 1, 1)]);
        let after = programs(&[("tcp_a", 30, 5000), ("flow_b", 1, 1), ("tcp_c", 20, 6000)]);
        let between = after.since(&before);
        assert_eq!(between.sum(|name| name.starts_with("tcp_")), (40, 10_000));
        assert_eq!(between.per_run(|name| name.starts_with("tcp_")), 250.0);
        assert!(between.per_run(|name| name == "flow_b").is_nan());
    }
}
