//! From a record to the row that it belongs to: which values a record of each kind has.

use std::net::IpAddr;
use std::sync::Arc;

use super::{End, Key, Values};
use crate::{ConnectionEvent, Direction, Measure, Protocol, Record, Subject};

impl From<&Record> for Key {
    fn from(record: &Record) -> Self {
        let destination = &record.destination;
        let identity = destination.identity.as_deref();
        Self {
            source: (&record.source).into(),
            destination: destination.into(),
            service: identity.and_then(|it| it.service.clone()).unwrap_or_else(|| Arc::from("")),
            protocol: record.protocol,
            port: port(record),
            direction: record.direction,
        }
    }
}

/// Behind the service, as far as that is known, so that both ends tell the same one.
pub fn port(record: &Record) -> u16 {
    let destination = &record.destination;
    match (&destination.backend, &destination.identity) {
        (Some(backend), _) => backend.port(),
        (None, Some(identity)) => identity.target_port(record.protocol, destination.port),
        (None, None) => destination.port,
    }
}

impl Key {
    /// The row that takes what has no room of its own.
    pub fn overflow(protocol: Protocol, direction: Direction) -> Self {
        let end = End::overflow();
        Self {
            source: end.clone(),
            destination: end,
            service: "".into(),
            protocol,
            port: 0,
            direction,
        }
    }
}

/// Whether every healthy host discards such packets: frames that are another host's, what waits in a socket that is
/// closed, segments that were received before (each probe of a keepalive is one), multicast that nobody joined. They are
/// records, but no sign of anything between two workloads.
pub fn is_routine(reason: &str, destination: Option<IpAddr>) -> bool {
    matches!(reason, "OTHERHOST" | "SOCKET_CLOSE" | "TCP_OLD_SEQUENCE" | "TCP_OLD_DATA")
        || destination.is_none_or(|ip| ip.is_multicast())
}

impl Values {
    /// What `record` says. How many connections are open is the difference between what it says and what was said before,
    /// and is not told here.
    pub fn take(&mut self, record: &Record) {
        match &record.subject {
            Subject::Connection(it) => match it.event {
                ConnectionEvent::Opened | ConnectionEvent::Accepted => {
                    self.add(Measure::CONNECTIONS, 1);
                    if it.connect_ns > 0 {
                        self.observe(Measure::CONNECT, it.connect_ns);
                    }
                }
                ConnectionEvent::Failed => self.add(Measure::FAILURES, 1),
                // Its totals were told as flows.
                ConnectionEvent::Closed => {}
            },
            Subject::Flow(it) => {
                let (deltas, tcp) = (&it.deltas, record.protocol == Protocol::TCP);
                let sent = [deltas.bytes_sent, deltas.packets_sent];
                let received = [deltas.bytes_received, deltas.packets_received];
                // As the source sees it, whoever counted.
                let ([bytes_out, packets_out], [bytes_in, packets_in]) = match record.direction {
                    Direction::Egress => (sent, received),
                    Direction::Ingress => (received, sent),
                };
                self.add(Measure::BYTES_SENT, bytes_out);
                self.add(Measure::BYTES_RECEIVED, bytes_in);
                self.add(Measure::PACKETS_SENT, packets_out);
                self.add(Measure::PACKETS_RECEIVED, packets_in);
                if tcp {
                    self.add(Measure::RETRANSMITS, deltas.retransmits.into());
                }
                if tcp && deltas.rtt_us > 0 {
                    self.observe(Measure::RTT, u64::from(deltas.rtt_us) * 1000);
                }
            }
            Subject::Drop(it) if is_routine(&it.reason, record.destination.ip) => {}
            Subject::Drop(it) => self.add(Measure::DROPS, it.packets),
            Subject::Dns(it) => {
                self.add(Measure::LOOKUPS, 1);
                self.add(Measure::LOOKUP_FAILURES, it.failed().into());
                self.observe(Measure::LOOKUP, it.duration_ns);
            }
        }
    }
}
