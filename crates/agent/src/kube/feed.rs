//! The way from a source to the pipeline: bounded, and it knows whether the pipeline thinks that the source is in reach.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;

use model::Change;

use super::{Link, State};

/// Until the pipeline, which takes thousands at once, is asked again for room.
const PAUSE: Duration = Duration::from_millis(5);

/// The pipeline takes nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

pub struct Feed {
    out: SyncSender<Change>,
    pub link: Arc<Link>,
}

impl Feed {
    pub fn new(out: SyncSender<Change>, link: Arc<Link>) -> Self {
        Self { out, link }
    }

    /// Waits for room: then nothing more is read from the source either.
    pub async fn send(&self, mut change: Change) -> Result<(), Closed> {
        loop {
            match self.out.try_send(change) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Disconnected(_)) => return Err(Closed),
                Err(TrySendError::Full(back)) => change = back,
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The source is out of reach. Told once, however often it is tried.
    pub async fn lost(&self, error: String) -> Result<(), Closed> {
        let before = self.link.facts();
        if before.error != error {
            tracing::warn!(
                source = self.link.source().name(),
                error,
                "names may be out of date: their source is out of reach"
            );
        }
        self.link.change(|facts| {
            facts.state = State::Stale;
            facts.peer.clear();
            facts.error = error;
        });
        if before.state == State::Stale { Ok(()) } else { self.send(Change::Stale).await }
    }

    /// Everything that was missed has been sent.
    pub async fn fresh(&self) -> Result<(), Closed> {
        let before = self.link.facts();
        self.link.change(|facts| {
            facts.state = State::Fresh;
            facts.error.clear();
        });
        if before.state == State::Fresh {
            return Ok(());
        }
        tracing::info!(
            source = self.link.source().name(),
            peer = before.peer,
            "names are complete"
        );
        self.send(Change::Fresh).await
    }
}
