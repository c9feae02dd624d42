//! What a probe is, and all of them.

use std::time::Duration;

use crate::context::Context;
use crate::{Error, Settings, cgroup, dns, drop, flow, tcp};

pub struct Probe {
    /// The folder, the configuration's section, and the label in metrics.
    pub name: &'static str,
    pub programs: &'static [&'static str],
    pub enabled: fn(&Settings) -> bool,
    /// How long a batch waits for room in the queue before it is shed: what matters least waits least.
    pub patience: Duration,
    /// Loads, attaches, calls [`Context::ready`], and delivers until [`Context::cancelled`]. What it attached is on
    /// its stack: returning detaches.
    pub run: fn(&Context) -> Result<(), Error>,
}

/// In the order in which they start. `cgroup` first, so that no container is missed; `flow` reads what `tcp` keeps,
/// `dns` sees what `flow` hands over.
pub const PROBES: &[Probe] = &[cgroup::PROBE, tcp::PROBE, flow::PROBE, dns::PROBE, drop::PROBE];
