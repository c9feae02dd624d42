//! What others use of the processors while something is measured.

use std::time::Duration;

use anyhow::Result;

use super::processor::{self, Machine};
use super::site::Site;

/// From here on, in percent of the machine, figures tell more of the others than of what is measured. Below is what the
/// kernel does for the benches in threads of its own.
pub const NOISY_PERCENT: f64 = 10.0;

pub struct Disturbance<'a> {
    site: &'a Site,
    machine: Machine,
    own: Duration,
}

impl<'a> Disturbance<'a> {
    /// Watches from now on.
    pub fn watch(site: &'a Site) -> Result<Self> {
        Ok(Self { site, machine: Machine::now()?, own: own(site)? })
    }

    /// Percent of the whole machine that others took so far.
    pub fn percent(&self) -> Result<f64> {
        let now = Self::watch(self.site)?;
        let (busy, time) = now.machine.since(&self.machine);
        let others = busy.saturating_sub(now.own.saturating_sub(self.own));
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(100.0 * others.as_secs_f64() / time.as_secs_f64() / processors as f64)
    }
}

/// What everything that belongs to the benches has used.
fn own(site: &Site) -> Result<Duration> {
    let this = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let this = Duration::try_from(this).unwrap_or_default();
    site.cgroups().iter().try_fold(this, |sum, cgroup| Ok(sum + processor::used_by(cgroup)?))
}
