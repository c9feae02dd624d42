//! What the directory counts about itself.

use super::backends::BackendCounters;
use super::interest::InterestCounters;

/// Why a local end that should have a name has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// The cgroup id never appeared, neither as an event nor in the hierarchy.
    UnknownCgroup,
    /// The cgroup names a pod that the metadata feed did not; the record carries the pod's uid and container id.
    UnknownPod,
    /// The kernel gave neither cgroup nor process, and the network namespace is nobody's.
    NoOwner,
    /// Too many records were waiting; this one had to leave early.
    ParkFull,
}

impl Cause {
    pub const ALL: [Self; 4] =
        [Self::UnknownCgroup, Self::UnknownPod, Self::NoOwner, Self::ParkFull];

    /// The value of the label `cause`.
    pub fn name(self) -> &'static str {
        match self {
            Self::UnknownCgroup => "unknown_cgroup",
            Self::UnknownPod => "unknown_pod",
            Self::NoOwner => "no_owner",
            Self::ParkFull => "park_full",
        }
    }
}

/// A snapshot. Everything but `parked` and the tables' `entries` only grows, and
/// `parked_total == patched + given_up + parked`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Records delivered whose local end should have a name and has none.
    pub unattributed: Vec<(Cause, u64)>,
    /// Observations of pods out of scope: not delivered.
    pub out_of_scope: u64,
    /// Records delivered.
    pub records: u64,
    /// Records waiting now.
    pub parked: u64,
    pub parked_total: u64,
    /// Parked records that got what they waited for.
    pub patched: u64,
    /// Parked records that did not.
    pub given_up: u64,
    /// Records whose remote address looks like a pod's (same /24 or /64) and is nobody's.
    pub unresolved_remotes: u64,
    /// Records delivered while the feed's source was out of reach: their names may be out of date.
    pub stale_records: u64,
    pub interest: InterestCounters,
    pub backends: BackendCounters,
    /// Walks over the cgroup hierarchy because an id was unknown.
    pub rescans: u64,
    /// Reads of `/proc/PID/cgroup`.
    pub process_reads: u64,
    /// Containers read for their network namespace.
    pub namespace_reads: u64,
    pub tables: Vec<Table>,
}

impl Counters {
    pub fn unattributed_total(&self) -> u64 {
        self.unattributed.iter().map(|(_, count)| count).sum()
    }
}

/// One bounded table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    pub name: &'static str,
    pub entries: u64,
    pub max_entries: u64,
    /// Entries thrown out, or refused, for want of room.
    pub evicted: u64,
}
