//! What every bench works with, and how it alternates.

use std::cell::Cell;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::disturbance::{Disturbance, NOISY_PERCENT};
use super::host::{self, Holder};
use super::interrupt::Interrupt;
use super::options::Options;
use super::site::Site;
use super::statistics::Pair;
use super::subject::Subject;

pub struct Lab {
    pub site: Site,
    pub interrupt: Interrupt,
    pub options: Options,
    binary: PathBuf,
    /// How much longer than planned everything may take for the sake of quiet.
    patience: Cell<Duration>,
    /// What others took while figures were measured that count: percent times seconds, and seconds.
    disturbed: Cell<(f64, f64)>,
}

/// Statistics of programs: costs some nanoseconds for each run, so only where those are looked at.
pub const RUN_TIME: &str = "[agent]\nrun_time = true\n";
/// As it is shipped.
pub const DEFAULT: &str = "";
/// What all figures together may wait for quiet, and be measured again.
const PATIENCE: Duration = Duration::from_secs(120);
/// Quiet is when nobody did much for so long.
const QUIET: Duration = Duration::from_millis(500);
/// How long another agent may still observe the host.
const ALONE: Duration = Duration::from_secs(60);

impl Lab {
    pub fn new(site: Site, interrupt: Interrupt, options: Options, binary: PathBuf) -> Self {
        let patience = Cell::new(PATIENCE);
        Self { site, interrupt, options, binary, patience, disturbed: Cell::default() }
    }

    /// Percent of the machine that others took while figures were measured.
    pub fn disturbance(&self) -> f64 {
        let (sum, seconds) = self.disturbed.get();
        if seconds > 0.0 { sum / seconds } else { 0.0 }
    }

    /// The program that is measured.
    pub fn binary(&self) -> &std::path::Path {
        &self.binary
    }

    /// Starts the agent.
    pub fn subject(&self, configuration: &str) -> Result<Subject<'_>> {
        Subject::start(&self.binary, &self.site, &self.interrupt, configuration)
    }

    /// Runs `load` without the agent and with it, again and again. Where it is given the agent, it has to see that the
    /// agent saw the load.
    pub fn alternate<T>(
        &self,
        what: &str,
        mut load: impl FnMut(Option<&Subject<'_>>) -> Result<T>,
    ) -> Result<Vec<Pair<T>>> {
        let mut pairs = Vec::new();
        for round in 1..=self.options.rounds {
            self.say(&format!("{what}: round {round} of {}", self.options.rounds));
            pairs.push(self.undisturbed(|| {
                let off = load(None)?;
                let subject = self.subject(DEFAULT)?;
                let on = load(Some(&subject))?;
                subject.stop()?;
                Ok(Pair { off, on })
            })?);
        }
        Ok(pairs)
    }

    /// Measures, and where others took too much of the machine meanwhile, waits for quiet and measures again. Whether
    /// a figure counts does not depend on it. Where there is no quiet it is a noisy one, and the report says so.
    pub fn undisturbed<T>(&self, mut measure: impl FnMut() -> Result<T>) -> Result<T> {
        loop {
            self.check_off()?;
            let begin = Instant::now();
            let others = Disturbance::watch(&self.site)?;
            let figure = measure()?;
            let (percent, seconds) = (others.percent()?, begin.elapsed().as_secs_f64());
            if percent < NOISY_PERCENT || !self.wait_for_quiet(begin)? {
                let (sum, all) = self.disturbed.get();
                self.disturbed.set((sum + percent * seconds, all + seconds));
                return Ok(figure);
            }
            self.say(&format!("others took {percent:.0} % of the machine; once more"));
        }
    }

    /// Waits until others let up; false if they did not in the time that is left for it, of which all since `begin` is
    /// taken.
    fn wait_for_quiet(&self, begin: Instant) -> Result<bool> {
        let left = self.patience.get();
        loop {
            let others = Disturbance::watch(&self.site)?;
            self.interrupt.pass(QUIET)?;
            let taken = begin.elapsed();
            self.patience.set(left.saturating_sub(taken));
            if taken >= left {
                return Ok(false);
            }
            if others.percent()? < NOISY_PERCENT {
                return Ok(true);
            }
        }
    }

    /// Waits until nobody else observes this host, as tests do for a moment.
    ///
    /// # Errors
    /// Somebody goes on.
    fn check_off(&self) -> Result<()> {
        let is_other = |it: &Holder| !self.site.holds(&it.cgroup);
        let other = || Ok::<_, anyhow::Error>(host::agents()?.into_iter().find(is_other));
        while let Some(agent) = other()? {
            self.say(&format!("waiting for the agent of {agent} to end"));
            let ended = self
                .interrupt
                .poll(ALONE, || Ok((other()? != Some(agent.clone())).then_some(())))?;
            if ended.is_none() {
                bail!("{agent} observes this host as well: stop it, its cost is in every figure");
            }
        }
        Ok(())
    }

    pub fn say(&self, text: &str) {
        eprintln!("bench: {text}");
    }
}
