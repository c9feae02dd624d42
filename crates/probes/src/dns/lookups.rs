//! Queries that wait for their answer.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use l7::dns::{Message, Question};
use model::{Direction, Lookup, Observation, Process, Protocol, Subject};

use crate::clock::Clock;
use crate::skel::dns::types::dns_event;
use crate::socket;

/// How long an answer is waited for after the last query. Most resolvers give up or ask again by then.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a message may be on its way to user space: until then an answer may have come in time.
const GRACE: Duration = Duration::from_millis(500);
/// After so long a question that is asked again and again counts as not answered.
const MAX_LIFE: Duration = Duration::from_secs(30);

/// The packet of a message.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub time_ns: u64,
    pub cookie: u64,
    pub process: Process,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    /// By the local end.
    pub sent: bool,
}

impl Seen {
    pub fn new(event: &dns_event) -> Self {
        let (owner, ends) = (&event.owner, &event.ends);
        Self {
            time_ns: event.time_ns,
            cookie: event.cookie,
            process: socket::process(&owner.comm, owner.pid, owner.cgroup_id, owner.netns),
            local: socket::address(ends.local, ends.local_port),
            remote: socket::address(ends.remote, ends.remote_port),
            sent: event.sent != 0,
        }
    }
}

/// What an answer has in common with its query. Of a server the socket that answers may be another one than that which
/// was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    netns: u32,
    local: SocketAddr,
    remote: SocketAddr,
    id: u16,
    /// At the server's end.
    server: bool,
}

#[derive(Debug)]
struct Query {
    seen: Seen,
    question: Question,
    last_ns: u64,
    retries: u32,
    /// Of its entry in [`Lookups::due`].
    due_ns: u64,
}

impl Query {
    fn deadline_ns(&self) -> u64 {
        let patience = self.last_ns.saturating_add(PATIENCE.as_nanos() as u64);
        patience.min(self.seen.time_ns.saturating_add(MAX_LIFE.as_nanos() as u64))
    }
}

pub struct Lookups {
    waiting: HashMap<Key, Query>,
    /// When to look at which query, earliest first: one entry for each that waits, and those of some that ended.
    due: VecDeque<(u64, Key)>,
    limit: usize,
}

impl Lookups {
    pub fn new(limit: usize) -> Self {
        Self { waiting: HashMap::new(), due: VecDeque::new(), limit }
    }

    /// Takes in a message; pushes the lookup that it ends. False if there was no room for its query. An answer that
    /// nobody waits for is one too many, too late, or to a query older than the probe: it ends no lookup.
    pub fn take(
        &mut self,
        seen: Seen,
        message: Message,
        clock: Clock,
        out: &mut Vec<Observation>,
    ) -> bool {
        let key = Key {
            netns: seen.process.netns,
            local: seen.local,
            remote: seen.remote,
            id: message.id,
            server: message.response == seen.sent,
        };
        if message.response {
            let asked = |query: &Query| {
                message.question.as_ref().is_none_or(|question| *question == query.question)
            };
            if self.waiting.get(&key).is_some_and(asked)
                && let Some(query) = self.waiting.remove(&key)
            {
                out.push(observation(query, key, seen.time_ns, Some(message), clock));
            }
            return true;
        }
        match message.question {
            Some(question) => self.ask(key, seen, question, clock, out),
            None => true,
        }
    }

    fn ask(
        &mut self,
        key: Key,
        seen: Seen,
        question: Question,
        clock: Clock,
        out: &mut Vec<Observation>,
    ) -> bool {
        if let Some(query) = self.waiting.get_mut(&key).filter(|query| query.question == question) {
            query.retries += 1;
            query.last_ns = seen.time_ns;
            return true;
        }
        // The number serves another question now: the answer to the former would not be believed any more.
        if let Some(former) = self.waiting.remove(&key) {
            out.push(observation(former, key, seen.time_ns, None, clock));
        }
        if self.waiting.len() >= self.limit {
            return false;
        }
        if self.due.len() > 2 * self.limit {
            let waiting = &self.waiting;
            let waits = |(due_ns, key): &(u64, Key)| {
                waiting.get(key).is_some_and(|query| query.due_ns == *due_ns)
            };
            self.due.retain(waits);
        }
        let mut query = Query { seen, question, last_ns: seen.time_ns, retries: 0, due_ns: 0 };
        query.due_ns = query.deadline_ns();
        self.due.push_back((query.due_ns, key));
        self.waiting.insert(key, query);
        true
    }

    /// Pushes the lookups that were waited for in vain.
    pub fn expire(&mut self, clock: Clock, out: &mut Vec<Observation>) {
        let now_ns = clock.monotonic_now().saturating_sub(GRACE.as_nanos() as u64);
        self.expire_at(now_ns, clock, out);
    }

    fn expire_at(&mut self, now_ns: u64, clock: Clock, out: &mut Vec<Observation>) {
        while let Some((due_ns, key)) = self.due.pop_front_if(|(due_ns, _)| *due_ns <= now_ns) {
            // Answered, or the number serves a later query, which has an entry of its own.
            let Some(query) = self.waiting.get_mut(&key).filter(|it| it.due_ns == due_ns) else {
                continue;
            };
            let deadline_ns = query.deadline_ns();
            if deadline_ns > now_ns {
                query.due_ns = deadline_ns;
                self.due.push_back((deadline_ns, key));
            } else if let Some(query) = self.waiting.remove(&key) {
                out.push(observation(query, key, deadline_ns, None, clock));
            }
        }
    }
}

fn observation(
    query: Query,
    key: Key,
    end_ns: u64,
    answer: Option<Message>,
    clock: Clock,
) -> Observation {
    let Query { seen, question, retries, .. } = query;
    let mut lookup = Lookup {
        name: question.name.into(),
        kind: question.kind,
        duration_ns: end_ns.saturating_sub(seen.time_ns),
        retries,
        ..Lookup::default()
    };
    if let Some(answer) = answer {
        lookup.code = Some(answer.code);
        lookup.answers = answer.answers;
        lookup.addresses = answer.addresses;
        lookup.aliases = answer.aliases.into_iter().map(Arc::from).collect();
        lookup.ttl_s = answer.ttl_s.unwrap_or(0);
        lookup.truncated = answer.truncated;
    }
    Observation {
        time: clock.wall(end_ns),
        process: seen.process,
        protocol: Protocol::UDP,
        direction: if key.server { Direction::Ingress } else { Direction::Egress },
        local: seen.local,
        remote: seen.remote,
        cookie: seen.cookie,
        subject: Subject::Dns(Arc::new(lookup)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// Messages between one client and its server at the client's end, and what comes of them.
    struct Scene {
        lookups: Lookups,
        out: Vec<Observation>,
    }

    impl Scene {
        fn new(limit: usize) -> Self {
            Self { lookups: Lookups::new(limit), out: Vec::new() }
        }

        /// A message with the number `id` about `name` at `time_ns`; `sent` by the local end, `code`: it is an answer.
        fn say(
            &mut self,
            time_ns: u64,
            id: u16,
            name: &str,
            sent: bool,
            code: Option<u16>,
        ) -> bool {
            let question = Some(Question { name: name.into(), kind: 1 });
            let message = Message {
                id,
                response: code.is_some(),
                truncated: false,
                code: code.unwrap_or(0),
                question: question.filter(|question| !question.name.is_empty()),
                answers: 0,
                addresses: Vec::new(),
                aliases: Vec::new(),
                ttl_s: None,
                complete: true,
            };
            let seen = Seen {
                time_ns,
                cookie: 1,
                process: Process { netns: 7, ..Process::default() },
                local: "10.0.0.1:4000".parse().expect("an address"),
                remote: "10.0.0.2:53".parse().expect("an address"),
                sent,
            };
            self.lookups.take(seen, message, Clock::now(), &mut self.out)
        }

        fn expire(&mut self, now_ns: u64) {
            self.lookups.expire_at(now_ns, Clock::now(), &mut self.out);
        }

        /// Each lookup that came of it since the last call: `name code ms retries`.
        fn ended(&mut self) -> Vec<String> {
            let show = |observation: Observation| match observation.subject {
                Subject::Dns(lookup) => {
                    let code = lookup.code.map_or("-".into(), |code| code.to_string());
                    let Lookup { name, duration_ns, retries, .. } = lookup.as_ref();
                    format!("{name} {code} {} {retries}", duration_ns / 1_000_000)
                }
                other => format!("{other:?}"),
            };
            self.out.drain(..).map(show).collect()
        }
    }

    #[test]
    fn an_answer_ends_its_query_once() {
        let mut scene = Scene::new(10);
        scene.say(SECOND, 1, "a", true, None);
        scene.say(SECOND, 2, "b", true, None);
        scene.say(2 * SECOND, 2, "b", false, Some(3));
        scene.say(3 * SECOND, 1, "a", false, Some(0));
        scene.say(3 * SECOND, 1, "a", false, Some(0));
        assert_eq!(scene.ended(), ["b 3 1000 0", "a 0 2000 0"]);
        assert_eq!(scene.out.len(), 0);
        scene.expire(100 * SECOND);
        assert_eq!((scene.ended(), scene.lookups.due.len()), (vec![], 0));
    }

    #[test]
    fn only_an_answer_to_the_question_counts() {
        let mut scene = Scene::new(10);
        scene.say(SECOND, 1, "a", true, None);
        scene.say(SECOND, 1, "b", false, Some(0));
        // In the wrong direction it is somebody else's.
        scene.say(SECOND, 1, "a", true, Some(0));
        assert_eq!(scene.ended(), [""; 0]);
        // Without a question the number must do.
        scene.say(SECOND, 1, "", false, Some(1));
        assert_eq!(scene.ended(), ["a 1 0 0"]);
    }

    #[test]
    fn what_is_asked_again_is_one_lookup() {
        let mut scene = Scene::new(10);
        scene.say(0, 1, "a", true, None);
        scene.say(4 * SECOND, 1, "a", true, None);
        scene.expire(6 * SECOND);
        scene.say(7 * SECOND, 1, "a", true, None);
        scene.say(8 * SECOND, 1, "a", false, Some(0));
        assert_eq!(scene.ended(), ["a 0 8000 2"]);
        // Without an answer it ends in any case.
        for second in 10..60 {
            scene.say(second * SECOND, 2, "b", true, None);
            scene.expire(second * SECOND);
            if !scene.out.is_empty() {
                assert_eq!(second, 40);
                assert_eq!(scene.ended(), ["b - 30000 30"]);
                return;
            }
        }
        unreachable!("it never ended");
    }

    #[test]
    fn silence_ends_after_five_seconds() {
        let mut scene = Scene::new(10);
        scene.say(SECOND, 1, "a", true, None);
        scene.expire(6 * SECOND - 1);
        assert_eq!(scene.ended(), [""; 0]);
        scene.expire(6 * SECOND);
        assert_eq!(scene.ended(), ["a - 5000 0"]);
        // Too late.
        scene.say(7 * SECOND, 1, "a", false, Some(0));
        assert_eq!(scene.ended(), [""; 0]);
    }

    #[test]
    fn a_number_that_is_used_again_gives_the_former_question_up() {
        let mut scene = Scene::new(10);
        scene.say(SECOND, 1, "a", true, None);
        scene.say(2 * SECOND, 1, "b", true, None);
        assert_eq!(scene.ended(), ["a - 1000 0"]);
        // The first one's deadline is not the second one's.
        scene.expire(6 * SECOND);
        assert_eq!(scene.ended(), [""; 0]);
        scene.expire(7 * SECOND);
        assert_eq!(scene.ended(), ["b - 5000 0"]);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut scene = Scene::new(2);
        assert!(scene.say(SECOND, 1, "a", true, None) && scene.say(SECOND, 2, "a", true, None));
        assert!(!scene.say(SECOND, 3, "a", true, None));
        assert!(scene.say(SECOND, 2, "a", true, None), "one that waits already");
        scene.say(SECOND, 1, "a", false, Some(0));
        assert!(scene.say(SECOND, 3, "a", true, None));
        // However many are answered at once, and those that wait still end.
        for turn in 0..1000 {
            scene.say(SECOND, 3, "a", false, Some(0));
            scene.say(SECOND + turn, 3, "a", true, None);
        }
        assert!(scene.lookups.due.len() <= 5, "{}", scene.lookups.due.len());
        scene.ended();
        scene.expire(10 * SECOND);
        assert_eq!(scene.ended(), ["a - 5000 1", "a - 5000 0"]);
    }
}
