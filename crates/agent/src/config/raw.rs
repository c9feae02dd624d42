//! The file as it is written. The defaults here are the one list of valid keys and the reference.

use daemon::export::{Otlp, RemoteWrite};
use daemon::{section, sections};

sections! {
    /// The agent as a whole.
    agent: Agent,
    /// Connections: opened, accepted, failed, closed.
    tcp: Tcp,
    /// Bytes, packets, round trips and retransmissions of live sockets.
    flow: Flow,
    /// DNS lookups over UDP (not over TCP), and the names of addresses outside the cluster, which come from them.
    dns: Dns,
    /// Packets that the kernel discards.
    drop: Drop,
    /// Containers that come and go.
    cgroup: Cgroup,
    /// Who names pods, services and other nodes' addresses.
    metadata: Metadata,
    /// Prometheus.
    metrics: Metrics,
    /// Live records, for `amphipod observe` and `top`.
    records: Records,
    /// Between the probes and everything else.
    pipeline: Pipeline,
    /// What the hub is told, where names come from one.
    report: Report,
    /// Metrics to an OpenTelemetry receiver, under OpenTelemetry's names.
    otlp: Otlp,
    /// Metrics to Prometheus, or what takes its remote write.
    remote_write: RemoteWrite,
}

section!(Agent {
    /// Name of this node; empty: the environment's NODE_NAME, else the host's name.
    node: String = "",
    /// "kubernetes", or "standalone" for a host without it: cgroups, containers and systemd units instead of pods.
    mode: String = "kubernetes",
    /// Only pods below this cgroup are this agent's, as /proc/PID/cgroup has it; "/": all pods. What others do is
    /// left out, and counted in amphipod_out_of_scope_total.
    cgroup: String = "/",
    /// Address and port of /metrics, /healthz, /readyz and /api/v1/status; "off": nowhere.
    listen: String = "127.0.0.1:7172",
    /// Socket of the local command line: who may use it sees all records.
    socket: String = super::Config::SOCKET,
    /// How long a stop may take.
    drain: String = "5s",
    /// Let the kernel measure the run time of BPF programs; costs about 30 ns for each run, of every program on the
    /// host.
    run_time: bool = false,
});
section!(Tcp {
    /// Whether the probe runs.
    enabled: bool = true,
    /// Live sockets that can be followed at once.
    max_sockets: u64 = 262_144_u32,
    /// Size of the ring buffer from the kernel: a power of two.
    ring_bytes: String = "4MiB",
});
section!(Flow {
    /// Whether the probe runs.
    enabled: bool = true,
    /// How often counters are read and flows reported.
    interval: String = "5s",
    /// Peers of unconnected UDP sockets, beyond the first of each, that can be followed at once.
    max_peers: u64 = 65_536_u32,
});
section!(Dns {
    /// Whether the probe runs; it needs the probe flow.
    enabled: bool = true,
    /// Ports of name servers, at most 8.
    ports: Vec<u16> = vec![53],
    /// Queries that can wait for their answer at once.
    max_lookups: u64 = 16_384_u32,
    /// Size of the ring buffer from the kernel: a power of two.
    ring_bytes: String = "1MiB",
});
section!(Drop {
    /// Whether the probe runs.
    enabled: bool = true,
    /// How often counters are read and drops reported.
    interval: String = "5s",
    /// Different reasons and ends that can be counted within one interval.
    max_entries: u64 = 16_384_u32,
});
section!(Cgroup {
    /// Whether the probe runs. Without it new containers are found by walking the hierarchy.
    enabled: bool = true,
});
section!(Metadata {
    /// "hub": pods of this node, services, and the addresses that its pods talk to, from a hub; "kube": this node's pods
    /// and all services, from the API server; "kubelet": this node's pods, from its kubelet; "none": pods go by the uid in
    /// their cgroup's path.
    source: String = "none",
    /// Hubs, tried in turn: https://HOST:PORT; http:// only to this host, unless insecure is set.
    hubs: Vec<String> = vec!["https://amphipod-hub.amphipod.svc:7173".to_owned()],
    /// PEM file with the authorities that may vouch for the hub (for source = "kubelet": for the kubelet). All these
    /// files are read again when they change.
    ca: String = "",
    /// PEM file with this agent's certificate, and the chain below it; empty: none is shown. A hub takes the node's name
    /// from it: a URI spiffe://DOMAIN/.../node/NAME among its alternative names, or the common name system:node:NAME.
    certificate: String = "",
    /// PEM file with the certificate's key.
    key: String = "",
    /// File with a token to show, such as a projected service account's; empty: none.
    token: String = "",
    /// Allow http:// to other hosts: names and tokens then travel in the clear.
    insecure: bool = false,
    /// How long a record waits for the name of one of its ends.
    patience: String = "2s",
    /// Addresses that can be asked for at once.
    max_addresses: u64 = 16_384_u32,
    /// After so long without a record an address is no longer asked for.
    address_expiry: String = "10m",
    /// For source = "kube": the kubeconfig; empty: KUBECONFIG, ~/.kube/config or the pod's service account.
    kubeconfig: String = "",
    /// Its context; empty: the current one.
    context: String = "",
    /// For source = "kubelet": its URL, with a host that its certificate names. The token or certificate must be allowed
    /// to get nodes/proxy.
    kubelet: String = "https://127.0.0.1:10250",
    /// How often the kubelet is asked.
    kubelet_interval: String = "10s",
});
section!(Metrics {
    /// Label sets that one metric can have; what comes beyond is counted under the workload __overflow__.
    max_series: u64 = 10_000_u32,
    /// After so long without a change a series is forgotten, unless it counts live connections.
    expiry: String = "15m",
    /// Add the labels source_pod and destination_pod: many more series.
    pod_labels: bool = false,
});
section!(Records {
    /// Newest records, kept for `observe --last`.
    buffer: u64 = 8_192_u32,
    /// Records kept at most for a reader that falls behind; beyond it loses the oldest and is told how many.
    backlog: u64 = 65_536_u32,
    /// Readers at once.
    max_readers: u64 = 64_u32,
});
section!(Pipeline {
    /// Batches of at most about a thousand observations that can wait; what has no room is shed and counted.
    queue: u64 = 16_u32,
    /// Live connections that amphipod_active_connections can count.
    max_connections: u64 = 262_144_u32,
});
section!(Report {
    /// Whether the hub is told; it must be metadata.source.
    enabled: bool = true,
    /// How often: records are added up for so long. Whole seconds.
    interval: String = "10s",
    /// Different pairs of workloads, ports and protocols that are told apart; what is beyond is added up as one.
    max_keys: u64 = 16_384_u32,
    /// Memory for what no hub has stored yet: 16MiB are an hour of a busy node. The oldest makes room, and is counted.
    spool: String = "16MiB",
});
