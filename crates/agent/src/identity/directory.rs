//! The directory: all that is known of this node's cgroups, pods and addresses, and the records that wait for it.

use std::io;

use model::{Change, Direction, Endpoint, Observation, Record, Timestamp};

use super::{Config, Counters};

pub struct Directory {
    config: Config,
}

impl Directory {
    /// Reads the cgroup hierarchy. Fails only if [`Config::cgroup_root`] is given and cannot be read.
    pub fn new(config: Config) -> io::Result<Self> {
        Ok(Self { config })
    }

    /// A cgroup came or went.
    pub fn cgroup(&mut self, event: probes::Cgroup, now: Timestamp) {
        let _ = (event, now);
    }

    /// The metadata feed says something.
    pub fn change(&mut self, change: Change, now: Timestamp) {
        let _ = (change, now);
    }

    /// Names both ends; calls `out` at once or, if something must be waited for, in a later call of this or [`Self::tick`].
    pub fn identify(
        &mut self,
        observation: Observation,
        now: Timestamp,
        out: &mut impl FnMut(Record),
    ) {
        let _ = now;
        let local = Endpoint {
            ip: Some(observation.local.ip()),
            port: observation.local.port(),
            identity: None,
        };
        let remote = Endpoint {
            ip: Some(observation.remote.ip()),
            port: observation.remote.port(),
            identity: None,
        };
        let (source, destination) = match observation.direction {
            Direction::Egress => (local, remote),
            Direction::Ingress => (remote, local),
        };
        out(Record {
            time: observation.time,
            node: self.config.node.clone(),
            source,
            destination,
            direction: observation.direction,
            protocol: observation.protocol,
            process: observation.process,
            cookie: observation.cookie,
            subject: observation.subject,
        });
    }

    /// Delivers what waited long enough and forgets what is gone.
    pub fn tick(&mut self, now: Timestamp, out: &mut impl FnMut(Record)) {
        let _ = (now, out);
    }

    /// Delivers everything that still waits.
    pub fn flush(&mut self, now: Timestamp, out: &mut impl FnMut(Record)) {
        let _ = (now, out);
    }

    pub fn counters(&self) -> Counters {
        Counters::default()
    }
}
