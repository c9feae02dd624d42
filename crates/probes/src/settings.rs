//! What can be set for each probe. Validated by the agent's configuration; these are the final values.

use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Settings {
    pub tcp: Tcp,
    pub flow: Flow,
    pub dns: Dns,
    pub drop: Drop,
    pub cgroup: Cgroup,
    /// Let the kernel measure every BPF program's run time (costs about 30 ns per run).
    pub run_time: bool,
}

#[derive(Clone, Debug)]
pub struct Tcp {
    pub enabled: bool,
    /// Live sockets that can be followed at once.
    pub max_sockets: u32,
    /// Size of the ring buffer to user space; a power of two.
    pub ring_bytes: u32,
}

#[derive(Clone, Debug)]
pub struct Flow {
    pub enabled: bool,
    /// How often counters are read and flows reported.
    pub interval: Duration,
    /// Peers of unconnected sockets, beyond each socket's first, that can be followed at once.
    pub max_peers: u32,
}

#[derive(Clone, Debug)]
pub struct Dns {
    pub enabled: bool,
    /// UDP ports of name servers; what exceeds [`Dns::MAX_PORTS`] is not looked at.
    pub ports: Vec<u16>,
    /// Queries that can wait for their answer at once.
    pub max_lookups: u32,
    /// Size of the ring buffer to user space; a power of two.
    pub ring_bytes: u32,
}

impl Dns {
    /// `DNS_PORTS` in `flow.h`.
    pub const MAX_PORTS: usize = 8;
}

#[derive(Clone, Debug)]
pub struct Drop {
    pub enabled: bool,
    pub interval: Duration,
    /// Distinct (reason, ends) that can be counted within one interval.
    pub max_entries: u32,
}

#[derive(Clone, Debug)]
pub struct Cgroup {
    pub enabled: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tcp: Tcp { enabled: true, max_sockets: 262_144, ring_bytes: 4 << 20 },
            flow: Flow { enabled: true, interval: Duration::from_secs(5), max_peers: 65_536 },
            dns: Dns { enabled: true, ports: vec![53], max_lookups: 16_384, ring_bytes: 1 << 20 },
            drop: Drop { enabled: true, interval: Duration::from_secs(5), max_entries: 16_384 },
            cgroup: Cgroup { enabled: true },
            run_time: false,
        }
    }
}
