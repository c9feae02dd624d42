//! An observation whose ends have been identified: what leaves the agent.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::{Direction, Identity, Process, Protocol, Subject, Timestamp};

#[derive(Clone, Debug)]
pub struct Record {
    pub time: Timestamp,
    pub node: Arc<str>,
    pub source: Endpoint,
    pub destination: Endpoint,
    pub direction: Direction,
    pub protocol: Protocol,
    /// The process at the local end.
    pub process: Process,
    pub cookie: u64,
    pub subject: Subject,
}

#[derive(Clone, Debug)]
pub struct Endpoint {
    pub ip: Option<IpAddr>,
    /// 0 where the protocol has no ports.
    pub port: u16,
    pub identity: Option<Arc<Identity>>,
    /// Where the kernel sent what went to this address, where that is a service's and the kernel told. The identity is
    /// then the service's and the backend's. Shared by a connection's records.
    pub backend: Option<Arc<SocketAddr>>,
}

impl Record {
    /// The end on this node.
    pub fn local(&self) -> &Endpoint {
        match self.direction {
            Direction::Egress => &self.source,
            Direction::Ingress => &self.destination,
        }
    }

    pub fn remote(&self) -> &Endpoint {
        match self.direction {
            Direction::Egress => &self.destination,
            Direction::Ingress => &self.source,
        }
    }
}
