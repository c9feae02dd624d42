//! What probes deliver.

use model::Observation;
use model::status::{Loss, MapStatus, ProgramStatus};

/// What one turn of a probe's loop produced.
#[derive(Debug)]
pub enum Batch {
    Observations(Vec<Observation>),
    Cgroups(Vec<Cgroup>),
}

/// A change in the unified cgroup hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cgroup {
    /// `path` starts with `/` and is relative to the hierarchy's root.
    Created {
        id: u64,
        path: String,
    },
    Removed {
        id: u64,
    },
}

/// The health of all probes at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    pub programs: Vec<ProgramStatus>,
    pub maps: Vec<MapStatus>,
    pub losses: Vec<Loss>,
}
