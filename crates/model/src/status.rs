//! How the parts fare: the same facts for the log, `/metrics`, `/api/v1/status` and the terminal.

use serde::{Deserialize, Serialize};

/// What became of one BPF program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProgramState {
    /// Loaded and attached.
    Active,
    /// Switched off by the configuration, or not needed because a better program is active.
    Disabled,
    /// This kernel lacks what it needs, and another program does its work as well.
    Unsupported,
    /// This kernel lacks what it needs, and something is less exact for it: the reason says what.
    Degraded,
    /// It should work here and does not.
    Failed,
}

/// One BPF program: its verdict and what it costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProgramStatus {
    pub probe: String,
    pub program: String,
    pub state: ProgramState,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Runs and their total time in nanoseconds; both 0 unless the kernel collects them (`kernel.bpf_stats_enabled`).
    pub runs: u64,
    pub run_time_ns: u64,
    /// Runs that the kernel skipped because the program was already running on that CPU.
    pub recursion_misses: u64,
}

/// One BPF map of bounded size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapStatus {
    pub probe: String,
    pub map: String,
    pub entries: u64,
    pub max_entries: u64,
    /// Memory that the kernel charges for it.
    pub memory_bytes: u64,
}

/// Events that did not get through, by where and why. Only ever grows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    pub probe: String,
    /// `kernel` (in the BPF program), `queue` (to the pipeline), `stream` (to a reader) ...
    pub stage: String,
    /// `ring_full`, `map_full`, ...
    pub cause: String,
    pub count: u64,
}
