//! Live questions: somebody wants to see records, each agent that is connected is asked, and what they send is handed on
//! as it comes. Nobody waits for a slow listener: what has no room is left out, and that is told.

mod session;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hashbrown::{HashMap, HashSet};
use model::Scope;
use proto::telemetry::question::{Cancel, Kind};
use proto::telemetry::{Ask, Question};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use session::run;

/// Listeners at once: each is a reader at each agent.
const LISTENERS: usize = 32;
/// Messages of agents that one listener may leave unread.
const UNREAD: usize = 256;
/// Questions that may wait until an agent takes them.
const ASKED: usize = 2 * LISTENERS;

#[derive(Default)]
pub struct Observers {
    inner: Mutex<Inner>,
    next: AtomicU64,
    /// Lines that were not handed on because their listener was too slow.
    pub lost: AtomicU64,
    /// The hub stops: who follows would hold that up.
    stopping: CancellationToken,
}

#[derive(Default)]
struct Inner {
    /// By a number of their own.
    agents: HashMap<u64, Agent>,
    listeners: HashMap<u64, Told>,
}

struct Agent {
    node: Arc<str>,
    questions: mpsc::Sender<Question>,
}

struct Told {
    ask: Ask,
    out: mpsc::Sender<Event>,
    /// Lines of each node that the listener was too slow for, and was not told yet.
    lost: HashMap<Arc<str>, u64>,
}

/// What an agent says to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Lines of JSON, and how many records are missing before them.
    Lines { node: Arc<str>, lines: Bytes, lost: u64 },
    /// Nothing more comes from there; why, if it could not answer.
    End { node: Arc<str>, error: String },
    /// Another replica has asked these.
    Joined { replica: Arc<str>, nodes: Vec<Arc<str>> },
    /// Nothing comes from another replica's agents, or not for now.
    Left { replica: Arc<str>, error: String },
}

/// Too many want to see records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{LISTENERS} others look at records already; try again later")]
pub struct TooMany;

/// One question to all agents. Dropping it cancels it everywhere.
pub struct Listener {
    observers: Arc<Observers>,
    question: u64,
    /// Whose agents were asked here at first.
    pub nodes: Vec<Arc<str>>,
    /// Nodes that have not said all, by who asked them; and replicas that have not said whom they asked.
    waiting: HashMap<Arc<str>, Option<Arc<str>>>,
    expected: HashSet<Arc<str>>,
    out: mpsc::Sender<Event>,
    events: mpsc::Receiver<Event>,
    /// They end with it.
    pub tasks: JoinSet<()>,
}

/// What another replica's agents say to a listener.
pub struct Telling {
    pub replica: Arc<str>,
    out: mpsc::Sender<Event>,
}

impl Telling {
    /// Waits for room.
    pub async fn tell(&self, event: Event) {
        // Without a listener this ends, too.
        let _ = self.out.send(event).await;
    }
}

/// What agents are told of who asks, so that they compare only what is shown.
pub fn within(scope: &Scope) -> Option<proto::telemetry::ask::Scope> {
    let Scope::Namespaces(all) = scope else { return None };
    let namespaces = all.iter().map(|it| it.to_string()).collect();
    Some(proto::telemetry::ask::Scope { namespaces })
}

impl Observers {
    /// Listeners hear an end once `stopping` is cancelled.
    pub fn new(stopping: CancellationToken) -> Self {
        Self { stopping, ..Self::default() }
    }

    /// Agents that can be asked.
    pub fn agents(&self) -> usize {
        self.inner().agents.len()
    }

    pub fn listeners(&self) -> usize {
        self.inner().listeners.len()
    }

    /// Asks all agents; those that come later, too, if it follows.
    ///
    /// # Errors
    /// Too many others ask.
    pub fn ask(self: &Arc<Self>, ask: Ask) -> Result<Listener, TooMany> {
        let question = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let mut inner = self.inner();
        if inner.listeners.len() >= LISTENERS {
            return Err(TooMany);
        }
        let (out, events) = mpsc::channel(UNREAD);
        let message = Question { question, kind: Some(Kind::Ask(ask.clone())) };
        // One whose queue is full does not get on, and its stream will end.
        let asked = inner.agents.values();
        let asked = asked.filter(|agent| agent.questions.try_send(message.clone()).is_ok());
        let nodes: Vec<Arc<str>> = asked.map(|agent| agent.node.clone()).collect();
        let told = Told { ask, out: out.clone(), lost: HashMap::new() };
        inner.listeners.insert(question, told);
        drop(inner);
        Ok(Listener {
            observers: self.clone(),
            question,
            waiting: nodes.iter().map(|node| (node.clone(), None)).collect(),
            nodes,
            expected: HashSet::new(),
            out,
            events,
            tasks: JoinSet::new(),
        })
    }

    /// An agent can be asked from now on; what others want to follow it is asked at once.
    fn join(&self, node: Arc<str>) -> (u64, mpsc::Receiver<Question>) {
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let (questions, asked) = mpsc::channel(ASKED);
        let mut inner = self.inner();
        for (question, told) in inner.listeners.iter().filter(|(_, told)| told.ask.follow) {
            // What is kept was not asked of it when the others were.
            let ask = Ask { last: Some(0), ..told.ask.clone() };
            let _ =
                questions.try_send(Question { question: *question, kind: Some(Kind::Ask(ask)) });
        }
        inner.agents.insert(id, Agent { node, questions });
        (id, asked)
    }

    fn leave(&self, id: u64) {
        let mut inner = self.inner();
        let Some(agent) = inner.agents.remove(&id) else { return };
        for told in inner.listeners.values_mut() {
            let end = Event::End { node: agent.node.clone(), error: "the agent has gone".into() };
            let _ = told.out.try_send(end);
        }
    }

    /// Hands on what an agent says. What nobody listens to any more is dropped.
    fn hand_on(&self, question: u64, event: Event) {
        let mut inner = self.inner();
        let Some(told) = inner.listeners.get_mut(&question) else { return };
        let event = match event {
            Event::Lines { node, lines, mut lost } => {
                lost += told.lost.remove(&node).unwrap_or(0);
                Event::Lines { node, lines, lost }
            }
            end => end,
        };
        if let Err(mpsc::error::TrySendError::Full(Event::Lines { node, lines, lost })) =
            told.out.try_send(event)
        {
            let count = lines.iter().filter(|byte| **byte == b'\n').count() as u64;
            *told.lost.entry(node).or_default() += lost + count;
            self.lost.fetch_add(count, Ordering::Relaxed);
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener {
    /// `None`: the hub stops.
    pub async fn next(&mut self) -> Option<Event> {
        let stopping = &self.observers.stopping;
        let event = stopping.run_until_cancelled(self.events.recv()).await.flatten()?;
        match &event {
            Event::Lines { .. } => {}
            Event::End { node, .. } => drop(self.waiting.remove(node)),
            Event::Joined { replica, nodes } => {
                if self.expected.remove(replica) {
                    let by = || Some(replica.clone());
                    self.waiting.extend(nodes.iter().map(|node| (node.clone(), by())));
                }
            }
            Event::Left { replica, .. } => {
                self.expected.remove(replica);
                self.waiting.retain(|_, by| by.as_ref() != Some(replica));
            }
        }
        Some(event)
    }

    /// Something will come from the agents of this replica.
    pub fn expect(&mut self, replica: &Arc<str>) -> Telling {
        self.expected.insert(replica.clone());
        Telling { replica: replica.clone(), out: self.out.clone() }
    }

    /// Whether all that were asked have said all. Who follows hears no end.
    pub fn is_answered(&self) -> bool {
        self.waiting.is_empty() && self.expected.is_empty()
    }

    /// Nodes and replicas that have not.
    pub fn unanswered(&self) -> impl Iterator<Item = &Arc<str>> {
        self.waiting.keys().chain(&self.expected)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut inner = self.observers.inner();
        inner.listeners.remove(&self.question);
        let cancel = Question { question: self.question, kind: Some(Kind::Cancel(Cancel {})) };
        for agent in inner.agents.values() {
            let _ = agent.questions.try_send(cancel.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(follow: bool) -> Ask {
        Ask { filters: Vec::new(), follow, last: None, scope: None }
    }

    fn kind(questions: &mut mpsc::Receiver<Question>) -> Option<(u64, Kind)> {
        questions.try_recv().ok().map(|it| (it.question, it.kind.unwrap()))
    }

    fn lines(node: &str, text: &str, lost: u64) -> Event {
        Event::Lines { node: node.into(), lines: Bytes::copy_from_slice(text.as_bytes()), lost }
    }

    #[test]
    fn each_agent_is_asked_and_told_when_nobody_listens() {
        let observers = Arc::new(Observers::default());
        let (first, mut of_first) = observers.join("n1".into());
        let mut listener = observers.ask(ask(true)).unwrap();
        assert_eq!(listener.nodes, ["n1".into()]);
        let (question, _) = kind(&mut of_first).unwrap();
        // Who comes later is asked as well.
        let (_, mut of_second) = observers.join("n2".into());
        assert!(matches!(kind(&mut of_second), Some((_, Kind::Ask(Ask { last: Some(0), .. })))));
        observers.hand_on(question, lines("n1", "{}\n", 0));
        observers.hand_on(question + 100, lines("n1", "of nobody\n", 0));
        assert_eq!(listener.events.try_recv(), Ok(lines("n1", "{}\n", 0)));
        observers.leave(first);
        assert!(matches!(listener.events.try_recv(), Ok(Event::End { .. })));
        drop(listener);
        assert_eq!(kind(&mut of_second), Some((question, Kind::Cancel(Cancel {}))));
        assert_eq!(observers.listeners(), 0);
        drop(observers.ask(ask(false)).unwrap());
    }

    #[test]
    fn a_slow_listener_is_told_what_it_missed() {
        let observers = Arc::new(Observers::default());
        let (_, mut questions) = observers.join("n1".into());
        let mut listener = observers.ask(ask(true)).unwrap();
        let (question, _) = kind(&mut questions).unwrap();
        (0..UNREAD + 3).for_each(|_| observers.hand_on(question, lines("n1", "a\nb\n", 1)));
        while listener.events.try_recv().is_ok() {}
        observers.hand_on(question, lines("n1", "c\n", 0));
        assert_eq!(listener.events.try_recv(), Ok(lines("n1", "c\n", 9)));
        assert_eq!(observers.lost.load(Ordering::Relaxed), 6);
    }

    #[tokio::test]
    async fn who_follows_hears_an_end_when_the_hub_stops() {
        let stopping = CancellationToken::new();
        let observers = Arc::new(Observers::new(stopping.clone()));
        let mut listener = observers.ask(ask(true)).unwrap();
        stopping.cancel();
        assert_eq!(listener.next().await, None);
    }

    #[test]
    fn there_is_room_for_so_many() {
        let observers = Arc::new(Observers::default());
        let all: Vec<Listener> =
            (0..LISTENERS).map(|_| observers.ask(ask(true)).unwrap()).collect();
        assert_eq!(observers.ask(ask(true)).err(), Some(TooMany));
        drop(all);
        assert!(observers.ask(ask(true)).is_ok());
    }
}
