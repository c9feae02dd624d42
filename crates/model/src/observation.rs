//! What a probe saw, in the kernel's terms: sockets, processes, cgroup ids. Nobody's name yet.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::{Comm, Lookup, Timestamp};

/// One thing that happened or was counted. Plain data, cheap to move; no allocation per event but for a lookup's.
#[derive(Clone, Debug)]
pub struct Observation {
    pub time: Timestamp,
    pub process: Process,
    pub protocol: Protocol,
    pub direction: Direction,
    /// The end that lives on this node.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// The kernel's socket cookie; 0 where the kernel does not give it (before 5.12).
    pub cookie: u64,
    pub subject: Subject,
}

/// Who owns the socket. Every field can be unknown (0 or empty).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Process id (thread group id) in the initial pid namespace.
    pub pid: u32,
    pub comm: Comm,
    /// Id of the socket's cgroup in the unified hierarchy.
    pub cgroup_id: u64,
    /// Inode number of the socket's network namespace.
    pub netns: u32,
}

/// IP protocol number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol(pub u8);

impl Protocol {
    pub const ICMP: Self = Self(1);
    pub const TCP: Self = Self(6);
    pub const UDP: Self = Self(17);
    pub const ICMPV6: Self = Self(58);
    pub const SCTP: Self = Self(132);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// The local end started it: source is local.
    Egress,
    /// The remote end started it: source is remote.
    Ingress,
}

#[derive(Clone, Debug)]
pub enum Subject {
    Connection(Connection),
    Flow(Flow),
    Drop(Drop),
    /// Of the client that asked (egress), or of the server that answered (ingress).
    Dns(Arc<Lookup>),
}

/// One step in the life of a TCP connection, seen from the local end.
#[derive(Clone, Debug)]
pub struct Connection {
    pub event: ConnectionEvent,
    /// For `Failed` the reason, for `Closed` the error on the socket: a positive errno, or 0.
    pub errno: u16,
    /// From SYN to ESTABLISHED, for connections that the local end opened; 0 if unknown.
    pub connect_ns: u64,
    /// From ESTABLISHED (`Failed`: from SYN) to now; 0 if unknown (older than the agent).
    pub duration_ns: u64,
    /// Totals over the connection's life.
    pub totals: Counters,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConnectionEvent {
    Opened,
    Accepted,
    Failed,
    Closed,
}

/// What a socket moved during one interval.
#[derive(Clone, Debug)]
pub struct Flow {
    pub deltas: Counters,
    /// How long the counters ran, in nanoseconds.
    pub interval_ns: u64,
    /// How long the connection had been there, in nanoseconds; 0 where there is none, or nobody knows.
    pub age_ns: u64,
}

/// Payload bytes (no headers, no retransmissions) and packets (TCP: segments, pure ACKs included).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub bytes_sent: u64,
    pub bytes_received: u64,
    pub packets_sent: u64,
    pub packets_received: u64,
    pub retransmits: u32,
    /// Smoothed round-trip time, a gauge; 0 if unknown.
    pub rtt_us: u32,
}

/// Packets that the kernel discarded, and connections that a full listen queue turned away (`TCP_LISTEN_OVERFLOW`).
#[derive(Clone, Debug)]
pub struct Drop {
    /// The kernel's own name of the reason, such as `NO_SOCKET`, or `TCP_LISTEN_OVERFLOW`.
    pub reason: Arc<str>,
    pub packets: u64,
    pub bytes: u64,
    pub interval_ns: u64,
}
