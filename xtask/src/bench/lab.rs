//! What every bench works with, and how it alternates.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};

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
    pub binary: PathBuf,
}

/// Statistics of programs: costs some nanoseconds for each run, so only where those are looked at.
pub const RUN_TIME: &str = "[agent]\nrun_time = true\n";
/// As it is shipped.
pub const DEFAULT: &str = "";
/// How long another agent may still observe the host.
const ALONE: Duration = Duration::from_secs(60);

impl Lab {
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
            self.check_off()?;
            let off = load(None)?;
            let subject = self.subject(DEFAULT)?;
            let on = load(Some(&subject))?;
            subject.stop()?;
            pairs.push(Pair { off, on });
        }
        Ok(pairs)
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
