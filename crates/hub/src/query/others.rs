//! What other replicas say to the same question.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashSet;
use model::row::{Key, Values};
use tokio::sync::oneshot::{Receiver, Sender};

use super::Steps;
use crate::replica::Gathered;
use crate::store::Loss;

/// Sums of one replica.
#[derive(Clone, Debug, Default)]
pub struct Share {
    pub times_s: Range<u64>,
    pub step_s: u64,
    pub missing: Vec<Loss>,
    pub rows: Vec<(Arc<Key>, Values)>,
}

/// The shares of one question, when they are there.
#[derive(Clone, Default)]
pub struct Others(Arc<Mutex<Option<Receiver<Gathered<Share>>>>>);

impl Others {
    pub fn new(shares: Receiver<Gathered<Share>>) -> Self {
        Self(Arc::new(Mutex::new(Some(shares))))
    }

    /// Blocks until they are there, which whoever asks for them bounds. They are given once.
    pub(super) fn wait(&self) -> Gathered<Share> {
        let shares = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        shares.and_then(|it| it.blocking_recv().ok()).unwrap_or_default()
    }
}

/// The two halves of a series, with others.
pub struct Along {
    /// Who is told what was observed here.
    pub own: Sender<HashSet<u64>>,
    /// What anybody observed.
    pub all: Receiver<HashSet<u64>>,
    pub steps: Receiver<Gathered<Steps>>,
}
