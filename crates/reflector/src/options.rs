//! What is watched, how, and with what patience.

use std::sync::Arc;
use std::time::Duration;

use crate::{Allowed, Counters, Limits};

#[derive(Clone, Debug)]
pub struct Options {
    pub limits: Limits,
    /// Labels that are kept.
    pub labels: Allowed,
    /// Annotations that are kept, of pods only.
    pub annotations: Allowed,
    /// A field selector such as `spec.nodeName=n1`; all objects without one.
    pub selector: Option<String>,
    /// Whether to ask for the list as the beginning of the watch. An API server that does not offer that is asked for pages.
    pub streamed: bool,
    /// Objects per page; 0 asks for all at once.
    pub page: u32,
    /// Whether to ask for protobuf. An API server that does not offer that is asked for JSON.
    pub protobuf: bool,
    /// What may pass before an answer begins.
    pub answer_within: Duration,
    /// What may pass without a byte of a list.
    pub list_silence: Duration,
    /// What may pass without an event; the API server sends a bookmark about every minute.
    pub watch_silence: Duration,
    /// How long the API server should keep a watch open; the half of it at least.
    pub watch_for: Duration,
    pub patience: Patience,
    pub counters: Arc<Counters>,
}

/// Pauses before another try: each between the half and the whole of a length that doubles from the first to the last. What
/// failed otherwise before counts for no more than its own last length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    pub first: Duration,
    /// At most, while the API server cannot be reached. Only the hub's replicas come back, not every node.
    pub unreachable: Duration,
    /// At most, while the API server refuses for now.
    pub busy: Duration,
    /// Always, while somebody has to grant or to configure something.
    pub refused: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            unreachable: Duration::from_millis(500),
            busy: Duration::from_secs(30),
            refused: Duration::from_secs(30),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            labels: Allowed::default(),
            annotations: Allowed::default(),
            selector: None,
            streamed: true,
            page: 500,
            protobuf: true,
            answer_within: Duration::from_secs(30),
            list_silence: Duration::from_secs(30),
            watch_silence: Duration::from_secs(150),
            watch_for: Duration::from_secs(600),
            patience: Patience::default(),
            counters: Arc::default(),
        }
    }
}
