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
    /// `ring_full`, `map_full`, `map_busy`, ...
    pub cause: String,
    pub count: u64,
}

/// The agent's `/api/v1/status`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// Amphipod's own version.
    pub version: String,
    pub node: String,
    /// `kubernetes` or `standalone`.
    pub mode: String,
    /// Release of the running kernel.
    pub kernel: String,
    pub pid: u32,
    pub uptime_seconds: f64,
    /// Probes are attached and the first metadata is complete (standalone: always complete).
    pub ready: bool,
    /// Why not, if not.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub waiting_for: String,
    pub programs: Vec<ProgramStatus>,
    pub maps: Vec<MapStatus>,
    pub losses: Vec<Loss>,
    /// Entries that a table of names had no room for, by table: no record is lost, but some may go without a name.
    pub evictions: Vec<Count>,
    pub metadata: MetadataStatus,
    pub backends: BackendStatus,
    /// Records that name no workload at their local end, by cause.
    pub unattributed: Vec<Count>,
    pub queues: Vec<QueueStatus>,
    /// Live label sets by metric, and events counted under `__overflow__` for want of room.
    pub series: Vec<SeriesStatus>,
    pub records: RecordsStatus,
    /// Where metrics are sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exports: Vec<ExportStatus>,
    pub cost: Cost,
}

/// Where names come from, and how that fares.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MetadataStatus {
    /// `hub`, `kube`, `kubelet` or `none`.
    pub source: String,
    /// `connecting`, `syncing`, `fresh` or `stale`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub state: String,
    /// The hub or server that is connected.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub peer: String,
    /// The last change that was received, and the life of the hub's log in which it has this number.
    pub epoch: u64,
    pub sequence: u64,
    /// Since names were last known to be complete; 0 while they are.
    pub stale_seconds: f64,
    /// Why the source is out of reach.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
    pub reconnects: u64,
    pub bytes_received: u64,
    /// Complete accounts received, the first included.
    pub resyncs: u64,
    /// Items that could not be understood, or had no room.
    pub malformed: u64,
    /// Addresses asked for now.
    pub interest: u64,
    /// Addresses that had to be asked for so far, and the answers: somebody's or nobody's.
    pub misses: u64,
    pub known: u64,
    pub unknown: u64,
    /// Records that left while names may have been out of date.
    pub stale_records: u64,
}

/// What came of asking the kernel which backends it chose for connections to services.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BackendStatus {
    pub found: u64,
    /// The kernel knew of no such connection, or did not translate it.
    pub none: u64,
    /// No answer in time, no room to ask, or the port in use again by then.
    pub late: u64,
    /// The kernel could not be asked.
    pub unavailable: u64,
    /// Why it cannot be.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub obstacle: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    pub name: String,
    pub count: u64,
}

/// One bounded queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueStatus {
    pub queue: String,
    pub depth: u64,
    pub capacity: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeriesStatus {
    pub metric: String,
    pub series: u64,
    pub overflow: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RecordsStatus {
    /// Since the start.
    pub total: u64,
    /// Over the last few seconds.
    pub per_second: f64,
    /// Kept for `last=`.
    pub buffered: u64,
    /// Connected readers of live records.
    pub readers: u64,
    /// Observations that were left out: of pods outside `agent.cgroup`.
    #[serde(default)]
    pub out_of_scope: u64,
}

/// One way on which metrics are sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExportStatus {
    /// `otlp` or `remote_write`.
    pub exporter: String,
    pub to: String,
    /// Whether all of the last request was taken.
    pub up: bool,
    /// Samples that the receiver has, and those that it never will.
    pub sent: u64,
    pub lost: u64,
    pub queue_bytes: u64,
    pub queue_max_bytes: u64,
    /// Why the last request failed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
}

/// What Amphipod itself costs now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Of one core, over the last few seconds. This process: what BPF programs take is theirs, see `programs`.
    pub cpu_percent: f64,
    pub cpu_seconds: f64,
    pub rss_bytes: u64,
    pub peak_rss_bytes: u64,
    /// Charged by the kernel for the probes' maps.
    pub map_memory_bytes: u64,
}

/// A line among the records of a stream: so many are missing here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lost {
    /// 0: nobody knows how many.
    pub lost: u64,
    /// Whose; empty: of the only one that was asked. Of a replica's nodes where the replica is missing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub node: String,
    /// Empty: the reader was too slow.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}
