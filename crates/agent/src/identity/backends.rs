//! What stands behind the services' addresses that records meet: each connection is asked for once, and remembered while
//! its records come.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use model::{Connection, ConnectionEvent, Identity, Observation, Protocol, Subject, Timestamp};

use super::clock::Moment;
use super::counters::Table;
use super::names::began;
use crate::backend::{Answer, Choice, Dial, Finding, Question};

/// How long a connection is remembered after its last record; several flow intervals.
const IDLE: Duration = Duration::from_secs(60);
/// How long after it closed, for records that come later.
const ENDED: Duration = Duration::from_secs(10);
/// How long an answer holds where nothing tells the end of one connection from the next: less than the 30 s after which
/// the kernel forgets an idle one of UDP, and chooses anew.
const CONNECTIONLESS: Duration = Duration::from_secs(10);
/// Pairs of a service and a backend whose identity is kept.
const MAX_JOINED: usize = 4_096;

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Asked,
    /// Asked, and no longer waited for.
    Overdue,
    Answered(Option<Known>),
}

#[derive(Debug)]
struct Entry {
    /// Of the socket; 0 if unknown.
    cookie: u64,
    /// When the record that asked says that this began.
    began: Timestamp,
    /// Of the question.
    number: u64,
    asked: Moment,
    seen: Moment,
    ended: bool,
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub choice: Choice,
    /// The backend's, for the records.
    pub address: Arc<SocketAddr>,
}

/// What is known of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Behind {
    /// An answer is on its way since then.
    Awaited {
        dial: Dial,
        asked: Moment,
    },
    Known(Known),
    Unknown,
}

/// What asking has led to: one of them for each question that is no longer open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackendCounters {
    pub found: u64,
    /// The kernel knows no such connection, or did not translate it.
    pub none: u64,
    /// The answer came too late or not at all, there was no room to ask, or the address is another connection's by now.
    pub late: u64,
    /// The kernel cannot be asked.
    pub unavailable: u64,
}

#[derive(Debug)]
pub struct Backends {
    entries: HashMap<Dial, Entry>,
    /// One place for each entry; it may have been seen since.
    order: VecDeque<(Moment, Dial)>,
    questions: Vec<Question>,
    asked: u64,
    joined: HashMap<(usize, usize), Joined>,
    limit: usize,
    evicted: u64,
    counters: BackendCounters,
}

/// The identity of a service with that of one backend. The two that it is made of are kept alive, because their addresses
/// are the key.
#[derive(Debug)]
struct Joined {
    whole: Arc<Identity>,
    _parts: [Arc<Identity>; 2],
}

impl Backends {
    pub fn new(limit: usize) -> Self {
        Self {
            entries: HashMap::new(),
            order: VecDeque::new(),
            questions: Vec::new(),
            asked: 0,
            joined: HashMap::new(),
            limit,
            evicted: 0,
            counters: BackendCounters::default(),
        }
    }

    /// Where the kernel sent what `observation` tells of. Asks where it `may`, unless that was done for this connection.
    pub fn find(&mut self, observation: &Observation, may: bool, at: Moment) -> Behind {
        let Some(dial) = Dial::new(observation) else { return Behind::Unknown };
        let began = began(observation);
        if let Some(entry) = self.entries.get_mut(&dial) {
            if entry.is_of(observation, began) {
                entry.seen = at;
                entry.ended |= ends(observation);
                match &entry.state {
                    State::Asked => return Behind::Awaited { dial, asked: entry.asked },
                    State::Overdue => return Behind::Unknown,
                    State::Answered(choice) if !entry.is_stale(dial.protocol, at) => {
                        return choice.clone().map_or(Behind::Unknown, Behind::Known);
                    }
                    State::Answered(_) => {}
                }
            } else if observation.time < entry.began {
                // The kernel knows the later one by now.
                self.counters.late += 1;
                return Behind::Unknown;
            }
        }
        // A dropped packet may have been dropped before the kernel tracked it.
        if !may || matches!(observation.subject, Subject::Drop(_)) {
            return Behind::Unknown;
        }
        self.ask(dial, observation, began, at);
        Behind::Awaited { dial, asked: at }
    }

    fn ask(&mut self, dial: Dial, observation: &Observation, began: Timestamp, at: Moment) {
        self.asked += 1;
        let entry = Entry {
            cookie: observation.cookie,
            began,
            number: self.asked,
            asked: at,
            seen: at,
            ended: ends(observation),
            state: State::Asked,
        };
        self.questions.push(Question { number: self.asked, dial });
        match self.entries.insert(dial, entry) {
            Some(before) => self.give_up(&before),
            None => self.order.push_back((at, dial)),
        }
        while self.entries.len() > self.limit {
            let Some((_, oldest)) = self.order.pop_front() else { break };
            if let Some(entry) = self.entries.remove(&oldest) {
                self.give_up(&entry);
            }
            self.evicted += 1;
        }
    }

    fn give_up(&mut self, entry: &Entry) {
        self.counters.late += u64::from(entry.state == State::Asked);
    }

    /// Takes in an answer; false if nobody waits for it.
    pub fn answer(&mut self, answer: &Answer) -> bool {
        let Answer { number, dial, finding } = *answer;
        let Some(entry) = self.entries.get_mut(&dial).filter(|entry| entry.number == number) else {
            return false;
        };
        let awaited = entry.state == State::Asked;
        let (choice, count) = match finding {
            Finding::Found(choice) => (Some(choice), &mut self.counters.found),
            Finding::None => (None, &mut self.counters.none),
            Finding::Unavailable => (None, &mut self.counters.unavailable),
            Finding::NoRoom => (None, &mut self.counters.late),
        };
        *count += u64::from(awaited);
        let known = |choice: Choice| Known { choice, address: Arc::new(choice.backend) };
        entry.state = State::Answered(choice.map(known));
        awaited
    }

    /// Called when the wait for the answer was in vain.
    pub fn despair_of(&mut self, dial: &Dial) {
        if let Some(entry) = self.entries.get_mut(dial)
            && entry.state == State::Asked
        {
            entry.state = State::Overdue;
            self.counters.late += 1;
        }
    }

    /// The service's identity with the backend's pod and workload; the service's alone where the backend's name is not
    /// known, or could not stand beside the service's namespace. Not even with the workload that the cluster says is behind
    /// it: the kernel went elsewhere.
    pub fn join(&mut self, service: &Arc<Identity>, backend: &Arc<Identity>) -> Arc<Identity> {
        let outside = backend.workload.as_ref().is_some_and(|it| &*it.kind == "External");
        let elsewhere = backend.namespace.is_some() && backend.namespace != service.namespace;
        let alone = outside || elsewhere;
        if alone && service.workload.is_none() {
            return service.clone();
        }
        let parts = [service, backend].map(|part| Arc::as_ptr(part).addr());
        if let Some(joined) = self.joined.get(&(parts[0], parts[1])) {
            return joined.whole.clone();
        }
        let behind = if alone { Identity::default() } else { Identity::clone(backend) };
        let whole = Arc::new(Identity {
            namespace: service.namespace.clone(),
            service: service.service.clone(),
            names: service.names.clone(),
            ..behind
        });
        if self.joined.len() >= MAX_JOINED {
            self.joined.clear();
        }
        let joined = Joined { whole: whole.clone(), _parts: [service.clone(), backend.clone()] };
        self.joined.insert((parts[0], parts[1]), joined);
        whole
    }

    pub fn take_questions(&mut self) -> std::vec::Drain<'_, Question> {
        self.questions.drain(..)
    }

    pub fn expire(&mut self, at: Moment) {
        for _ in 0..self.order.len() {
            let Some(&(moment, dial)) = self.order.front() else { return };
            if at.since(moment) < ENDED {
                return;
            }
            self.order.pop_front();
            let Some(entry) = self.entries.get(&dial) else { continue };
            let patience = if entry.ended { ENDED } else { IDLE };
            if at.since(entry.seen) < patience {
                self.order.push_back((at, dial));
            } else if let Some(entry) = self.entries.remove(&dial) {
                self.give_up(&entry);
            }
        }
    }

    pub fn counters(&self) -> BackendCounters {
        self.counters
    }

    pub fn table(&self) -> Table {
        Table {
            name: "backends",
            entries: self.entries.len() as u64,
            max_entries: self.limit as u64,
            evicted: self.evicted,
        }
    }
}

impl Entry {
    /// Whether a record is about this connection, and not another one between the same ends.
    fn is_of(&self, observation: &Observation, began: Timestamp) -> bool {
        let Observation { protocol, cookie, subject, .. } = observation;
        if !matches!(*protocol, Protocol::TCP) {
            return true;
        }
        if *cookie != 0 && self.cookie != 0 {
            return *cookie == self.cookie;
        }
        let opens = matches!(
            subject,
            Subject::Connection(Connection {
                event: ConnectionEvent::Opened | ConnectionEvent::Accepted,
                ..
            })
        );
        !opens || began == self.began
    }

    fn is_stale(&self, protocol: Protocol, at: Moment) -> bool {
        protocol != Protocol::TCP && at.since(self.asked) >= CONNECTIONLESS
    }
}

/// Whether a record is a connection's last.
fn ends(observation: &Observation) -> bool {
    matches!(
        observation.subject,
        Subject::Connection(Connection {
            event: ConnectionEvent::Closed | ConnectionEvent::Failed,
            ..
        })
    )
}
