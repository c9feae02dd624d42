//! What every bench works with, and how it alternates.

use std::cell::Cell;
use std::path::PathBuf;
use std::time::Duration;

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
    /// The agent's program.
    binary: PathBuf,
    /// How many measurements of this bench may still be made again.
    repeats: Cell<usize>,
}

/// Statistics of programs: costs some nanoseconds for each run, so only where those are looked at.
pub const RUN_TIME: &str = "[agent]\nrun_time = true\n";
/// As it is shipped.
pub const DEFAULT: &str = "";
/// Measurements that a bench may make again, for each round.
const REPEATS: usize = 3;
/// How long another agent may still observe the host.
const ALONE: Duration = Duration::from_secs(60);

impl Lab {
    pub fn new(site: Site, interrupt: Interrupt, options: Options, binary: PathBuf) -> Self {
        Self { site, interrupt, options, binary, repeats: Cell::new(0) }
    }

    /// Another bench begins.
    pub fn begin(&self) {
        self.repeats.set(REPEATS * self.options.rounds);
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

    /// Measures, and measures again where others took too much of the machine meanwhile. Whether it counts does not
    /// depend on the figure. Where nobody else lets up, the figure is a noisy one, and the report says so.
    pub fn undisturbed<T>(&self, mut measure: impl FnMut() -> Result<T>) -> Result<T> {
        loop {
            self.check_off()?;
            let others = Disturbance::watch(&self.site)?;
            let figure = measure()?;
            let percent = others.percent()?;
            let left = self.repeats.get();
            if percent < NOISY_PERCENT || left == 0 {
                return Ok(figure);
            }
            self.repeats.set(left - 1);
            self.say(&format!("others took {percent:.0} % of the machine; once more"));
        }
    }

    /// Waits until nobody else observes this host, as tests do for a moment.
    ///
    /// # Errors
    /// Somebody goes on.
    pub fn check_off(&self) -> Result<()> {
        let mut other = None;
        let alone = self.interrupt.poll(ALONE, || {
            let found = host::holders()?.into_iter().find(Holder::is_agent);
            if let (Some(holder), None) = (&found, &other) {
                self.say(&format!("waiting for the agent of {holder} to end"));
            }
            let alone = found.is_none().then_some(());
            other = found;
            Ok(alone)
        })?;
        match (alone, other) {
            (None, Some(holder)) => {
                bail!("{holder} observes this host as well: stop it, its cost is in every figure")
            }
            _ => Ok(()),
        }
    }

    pub fn say(&self, text: &str) {
        eprintln!("bench: {text}");
    }
}
