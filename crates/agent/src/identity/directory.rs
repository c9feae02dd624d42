//! Names both ends of each observation, or parks it until they can be named or nothing more is to be hoped for.

mod behind;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use model::{Change, Direction, Endpoint, Identity, Observation, Record, Subject, Timestamp};

use super::address::Found;
use super::clock::Moment;
use super::local::Local;
use super::names::Names;
use super::netns::Holder;
use super::pending::{Key, Parked, Pending};
use super::remote::Remote;
use super::{Cause, Config, Counters, Table, Wish};
use crate::backend::{Answer, Question};

/// How often the tables are looked through for what is gone.
const EXPIRE: Duration = Duration::from_secs(1);

pub struct Directory {
    names: Names,
    pending: Pending,
    limit: usize,
    patience: Duration,
    expired: Moment,
    unattributed: [u64; Cause::ALL.len()],
    records: u64,
    out_of_scope: u64,
    parked_total: u64,
    patched: u64,
    given_up: u64,
    pushed_out: u64,
    unresolved_remotes: u64,
    stale_records: u64,
}

/// The answer for one observation.
enum Outcome {
    Wait {
        key: Key,
        deadline: Moment,
    },
    Done(Ends),
    /// Nothing of ours.
    OutOfScope,
}

#[derive(Default)]
struct Ends {
    local: Option<Arc<Identity>>,
    remote: Option<Arc<Identity>>,
    /// Where the kernel sent what went to a service.
    backend: Option<Arc<SocketAddr>>,
    /// Why the local end has no name.
    cause: Option<Cause>,
    /// Something was waited for in vain.
    vain: bool,
    /// The remote end has a pod's neighbours and no name.
    unresolved: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Haste {
    No,
    /// There is no room to wait.
    Full,
    /// There is no time to wait.
    Leaving,
}

impl Directory {
    /// Reads the cgroup hierarchy. Fails only if [`Config::cgroup_root`] is given and cannot be read.
    pub fn new(config: Config) -> io::Result<Self> {
        Ok(Self {
            limit: config.limits.parked,
            patience: config.patience,
            names: Names::new(config)?,
            pending: Pending::default(),
            expired: Moment::default(),
            unattributed: Default::default(),
            records: 0,
            out_of_scope: 0,
            parked_total: 0,
            patched: 0,
            given_up: 0,
            pushed_out: 0,
            unresolved_remotes: 0,
            stale_records: 0,
        })
    }

    /// A cgroup came or went.
    pub fn cgroup(&mut self, event: probes::Cgroup, now: Timestamp) {
        self.names.advance(now);
        self.names.cgroup(event);
        self.hear();
    }

    /// The metadata feed says something.
    pub fn change(&mut self, change: Change, now: Timestamp) {
        self.names.advance(now);
        self.names.change(change);
        self.hear();
    }

    /// Names both ends. Calls `out` at once or, if something must be waited for, in a later call of this or of
    /// [`Self::tick`]; before it for those that are ready now.
    pub fn identify(
        &mut self,
        observation: Observation,
        now: Timestamp,
        out: &mut impl FnMut(Record),
    ) {
        self.names.advance(now);
        self.names.meet(&observation);
        self.settle_ready(out);
        let since = self.names.at;
        match self.settle(&observation, since, Haste::No) {
            Outcome::Done(ends) => self.deliver(observation, ends, out),
            Outcome::OutOfScope => self.out_of_scope += 1,
            Outcome::Wait { key, deadline } => {
                self.parked_total += 1;
                self.pending.park(observation, since, key, deadline);
                while self.pending.len() > self.limit {
                    let Some(oldest) = self.pending.take_oldest() else { break };
                    self.pushed_out += 1;
                    self.settle_parked(oldest, Haste::Full, out);
                }
            }
        }
        self.settle_ready(out);
    }

    /// Delivers what waited long enough and forgets what is gone.
    pub fn tick(&mut self, now: Timestamp, out: &mut impl FnMut(Record)) {
        self.names.advance(now);
        self.names.look_for_namespaces();
        self.settle_ready(out);
        while let Some(parked) = self.pending.take_due(self.names.at) {
            self.settle_parked(parked, Haste::No, out);
            self.settle_ready(out);
        }
        if self.names.at.since(self.expired) >= EXPIRE {
            self.expired = self.names.at;
            self.names.expire();
            self.settle_ready(out);
        }
    }

    /// How long after the last call the next record has waited long enough: then [`Self::tick`] gives it. `None`: none
    /// waits.
    pub fn due_in(&self) -> Option<Duration> {
        self.pending.due().map(|due| due.since(self.names.at))
    }

    /// The addresses to ask the feed for, and those not to ask for any longer, since the last call. Take them after
    /// each batch of observations and each tick: until then they are kept.
    pub fn take_wishes(&mut self) -> impl Iterator<Item = Wish> {
        self.names.interest.take_wishes()
    }

    /// The backends to ask the kernel for, as [`Self::take_wishes`].
    pub fn take_questions(&mut self) -> impl Iterator<Item = Question> {
        self.names.backends.take_questions()
    }

    /// The kernel says where it sent a connection to a service.
    pub fn answer(&mut self, answer: &Answer, now: Timestamp) {
        self.names.advance(now);
        if self.names.backends.answer(answer) {
            self.names.news.push(Key::Backend(answer.dial));
            self.hear();
        }
    }

    /// Delivers what needs to wait no longer: it is not to wait for the next observation.
    pub fn deliver_ready(&mut self, now: Timestamp, out: &mut impl FnMut(Record)) {
        self.names.advance(now);
        self.settle_ready(out);
    }

    /// Delivers everything that still waits.
    pub fn flush(&mut self, now: Timestamp, out: &mut impl FnMut(Record)) {
        self.names.advance(now);
        while let Some(parked) = self.pending.take_oldest() {
            self.settle_parked(parked, Haste::Leaving, out);
        }
    }

    pub fn counters(&self) -> Counters {
        let parked = Table {
            name: "parked",
            entries: self.pending.len() as u64,
            max_entries: self.limit as u64,
            evicted: self.pushed_out,
        };
        Counters {
            unattributed: Cause::ALL.into_iter().zip(self.unattributed).collect(),
            records: self.records,
            out_of_scope: self.out_of_scope,
            parked: self.pending.len() as u64,
            parked_total: self.parked_total,
            patched: self.patched,
            given_up: self.given_up,
            unresolved_remotes: self.unresolved_remotes,
            stale_records: self.stale_records,
            interest: self.names.interest.counters(),
            backends: self.names.backends.counters(),
            rescans: self.names.rescans,
            process_reads: self.names.processes.reads(),
            namespace_reads: self.names.unseen.reads(),
            tables: std::iter::once(parked).chain(self.names.tables()).collect(),
        }
    }

    /// Wakes those who waited for what became known.
    fn hear(&mut self) {
        while let Some(key) = self.names.news.pop() {
            self.pending.wake(&key);
        }
        if std::mem::take(&mut self.names.all_addresses) {
            self.pending.wake_all(|key| matches!(key, Key::Address(_)));
        }
        if std::mem::take(&mut self.names.no_more) {
            self.pending.wake_all(|key| matches!(key, Key::Address(_) | Key::Pod(_)));
        }
    }

    fn settle_ready(&mut self, out: &mut impl FnMut(Record)) {
        loop {
            self.hear();
            let Some(parked) = self.pending.take_ready() else { return };
            self.settle_parked(parked, Haste::No, out);
        }
    }

    fn settle_parked(&mut self, parked: Parked, haste: Haste, out: &mut impl FnMut(Record)) {
        match self.settle(&parked.observation, parked.since, haste) {
            Outcome::Wait { key, deadline } => self.pending.put_back(parked, key, deadline),
            Outcome::OutOfScope => {
                self.patched += 1;
                self.out_of_scope += 1;
            }
            Outcome::Done(ends) => {
                match ends.vain {
                    true => self.given_up += 1,
                    false => self.patched += 1,
                }
                self.deliver(parked.observation, ends, out);
            }
        }
    }

    /// Names both ends of what came at `since`, or says what to wait for.
    fn settle(&mut self, observation: &Observation, since: Moment, haste: Haste) -> Outcome {
        let at = self.names.at;
        let mut ends = Ends::default();
        let mut ownerless = false;
        match self.names.local(&observation.process, observation.time, haste == Haste::No) {
            Local::Named(named) => {
                if named.sure {
                    self.names.sight(observation, &named.identity, named.addressed);
                }
                ends.local = Some(named.identity);
            }
            Local::Missing { key, patient, known, cause } => {
                if let Some(named) = known.as_ref().filter(|named| named.sure) {
                    self.names.sight(observation, &named.identity, named.addressed);
                }
                let deadline = since.after(self.patience);
                let hopeful = patient && self.names.hopeful(&key);
                if haste == Haste::No && hopeful && at < deadline {
                    return Outcome::Wait { key, deadline };
                }
                ownerless = cause == Some(Cause::NoOwner);
                ends.vain = true;
                ends.local = known.map(|named| named.identity);
                ends.cause =
                    cause.map(|cause| if haste == Haste::Full { Cause::ParkFull } else { cause });
            }
            Local::Nobody => {
                ownerless = true;
                ends.cause = Some(Cause::NoOwner);
            }
            Local::Foreign(uid) => {
                let netns = observation.process.netns;
                if !self.names.namespaces.confirm(netns, &uid, at) {
                    self.names.learn_namespace(netns, &Holder::Foreign(uid));
                }
                return Outcome::OutOfScope;
            }
        }
        if ownerless {
            let addressed = self.by_address(observation);
            let pod = addressed.as_ref().is_some_and(|identity| identity.pod.is_some());
            if pod || ends.local.is_none() {
                ends.local = addressed;
            }
            ends.cause = ends.cause.filter(|_| ends.local.is_none());
        }
        match self.names.remote(observation, ends.local.as_ref()) {
            Remote::Known(identity) => ends.remote = identity,
            Remote::Missing { key, patience, known, near } => {
                let deadline = since.after(patience);
                let hopeful = haste == Haste::No && self.names.hopeful(&key);
                if hopeful && at < deadline {
                    return Outcome::Wait { key, deadline };
                }
                if hopeful && patience > Duration::ZERO {
                    self.names.despair_of(key);
                }
                ends.vain = true;
                ends.remote = known;
                ends.unresolved = near;
            }
        }
        if let Some(wait) = self.look_up(observation, since, haste, &mut ends) {
            return wait;
        }
        match self.look_behind(observation, since, haste, &mut ends) {
            Some(wait) => wait,
            None => Outcome::Done(ends),
        }
    }

    /// What an end outside was called when it was looked up.
    fn look_up(
        &mut self,
        observation: &Observation,
        since: Moment,
        haste: Haste,
        ends: &mut Ends,
    ) -> Option<Outcome> {
        match self.names.called(observation, ends.remote.take()?) {
            Remote::Known(identity) => ends.remote = identity,
            Remote::Missing { key, patience, known, .. } => {
                let deadline = since.after(patience);
                // Strangers by the thousands must not take the room of those who wait for more.
                let room = self.pending.len() < self.limit / 8;
                if haste == Haste::No && room && self.names.at < deadline {
                    return Some(Outcome::Wait { key, deadline });
                }
                self.names.despair_of(key);
                ends.remote = known;
            }
        }
        None
    }

    /// For a packet dropped before it found a socket: the address is all there is.
    fn by_address(&mut self, observation: &Observation) -> Option<Arc<Identity>> {
        if !matches!(observation.subject, Subject::Drop(_)) {
            return None;
        }
        match self.names.addresses.lookup(observation.local.ip().to_canonical(), observation.time) {
            Found::Held { identity, .. } | Found::Former(identity) => Some(identity),
            Found::Own | Found::Unclaimed => Some(self.names.this_host.clone()),
            Found::Earlier | Found::Near | Found::Stranger => None,
        }
    }

    fn deliver(&mut self, observation: Observation, ends: Ends, out: &mut impl FnMut(Record)) {
        self.records += 1;
        self.unresolved_remotes += u64::from(ends.unresolved);
        self.stale_records += u64::from(self.names.stale);
        if let Some(cause) = ends.cause {
            self.unattributed[cause as usize] += 1;
        }
        let local = endpoint(observation.local, ends.local);
        let remote =
            Endpoint { backend: ends.backend, ..endpoint(observation.remote, ends.remote) };
        let (source, destination) = match observation.direction {
            Direction::Egress => (local, remote),
            Direction::Ingress => (remote, local),
        };
        out(Record {
            time: observation.time,
            node: self.names.config.node.clone(),
            source,
            destination,
            direction: observation.direction,
            protocol: observation.protocol,
            process: observation.process,
            cookie: observation.cookie,
            subject: observation.subject,
        });
    }
}

/// IPv4-mapped addresses as IPv4: both ends of a connection then agree.
fn endpoint(socket: SocketAddr, identity: Option<Arc<Identity>>) -> Endpoint {
    let ip = Some(socket.ip().to_canonical()).filter(|ip| !ip.is_unspecified());
    Endpoint { ip, port: socket.port(), identity, backend: None }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(super) fn observation(text: &str) -> Observation {
    tests::observation(Timestamp::default(), text)
}
