//! How the source of names fares, for metrics and status.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use daemon::tls;

use crate::config::Source;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Nothing was heard of it yet.
    #[default]
    Connecting,
    /// Connected; what exists is being sent.
    Syncing,
    /// What is known is what the source knows.
    Fresh,
    /// Out of reach: what is known may be out of date.
    Stale,
}

impl State {
    pub const ALL: [Self; 4] = [Self::Connecting, Self::Syncing, Self::Fresh, Self::Stale];

    /// The value of the label `state`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Syncing => "syncing",
            Self::Fresh => "fresh",
            Self::Stale => "stale",
        }
    }
}

/// What can be said of the source at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    pub state: State,
    /// Which hub or server is connected; empty: none.
    pub peer: String,
    /// The number of the last change, and the life of the hub's log in which it is one.
    pub epoch: u64,
    pub sequence: u64,
    /// Since the source was last known to be complete; 0 while it is.
    pub stale_seconds: f64,
    /// Why it is out of reach; empty: it is not.
    pub error: String,
    pub reconnects: u64,
    pub bytes_received: u64,
    /// Complete accounts received, the first included.
    pub resyncs: u64,
    /// Items that could not be understood.
    pub malformed: u64,
    /// Of the files for TLS, where it is spoken.
    pub certificates: Option<tls::Facts>,
}

pub struct Link {
    source: Source,
    facts: Mutex<(Facts, Instant)>,
    bytes: AtomicU64,
    tls: Mutex<Option<tls::Client>>,
}

impl Link {
    pub fn new(source: Source) -> Self {
        let facts = Mutex::new((Facts::default(), Instant::now()));
        Self { source, facts, bytes: AtomicU64::new(0), tls: Mutex::default() }
    }

    pub fn source(&self) -> Source {
        self.source
    }

    pub fn facts(&self) -> Facts {
        let (mut facts, since) = self.lock().clone();
        if facts.state != State::Fresh && self.source != Source::None {
            facts.stale_seconds = since.elapsed().as_secs_f64();
        }
        facts.bytes_received = self.bytes.load(Ordering::Relaxed);
        let tls = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        facts.certificates = tls.as_ref().map(|tls| tls.facts());
        facts
    }

    pub fn received(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Whose facts are told with the others.
    pub(super) fn certificates(&self, tls: &tls::Client) {
        *self.tls.lock().unwrap_or_else(PoisonError::into_inner) = Some(tls.clone());
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Facts)) {
        let (facts, since) = &mut *self.lock();
        let before = facts.state;
        change(facts);
        if before == State::Fresh && facts.state != State::Fresh {
            *since = Instant::now();
        }
    }

    fn lock(&self) -> MutexGuard<'_, (Facts, Instant)> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
