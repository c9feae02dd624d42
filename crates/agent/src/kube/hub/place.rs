//! How far the pipeline's view of the cluster has come: within one life of a hub's log, up to which change.
//!
//! While a complete account is being told the view is no state that ever was. If it breaks off, the next stream begins
//! with another one.

use prost::Message;
use proto::Malformed;
use proto::wire::{Batch, Item};

use model::Change;

use crate::kube::Wanted;
use crate::kube::feed::{Closed, Feed};

#[derive(Debug, Default)]
pub struct Place {
    epoch: u64,
    sequence: u64,
    /// Epoch and sequence of the account that is being told.
    account: Option<(u64, u64)>,
}

/// Why nobody knows what is missing from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Gap {
    #[error("a batch of epoch {found} after epoch {expected}, without a new account")]
    Epoch { expected: u64, found: u64 },
    #[error(transparent)]
    Items(#[from] Malformed),
}

impl Place {
    /// Epoch and sequence of what was applied completely; 0: nothing.
    pub fn reached(&self) -> (u64, u64) {
        if self.sequence == 0 { (0, 0) } else { (self.epoch, self.sequence) }
    }

    /// A new stream: an account that was not told to its end is void.
    pub fn start(&mut self) {
        self.account = None;
    }

    /// Sends what a batch says, in order; whether all that was missing has now been told.
    pub async fn apply(
        &mut self,
        mut batch: Batch,
        feed: &Feed,
        wanted: &Wanted,
    ) -> Result<Result<bool, Gap>, Closed> {
        let items = match proto::items(&mut batch) {
            Ok(items) => items,
            Err(error) => {
                *self = Self::default();
                return Ok(Err(error.into()));
            }
        };
        let Batch { epoch, sequence, begin, synced, .. } = batch;
        if begin {
            (self.epoch, self.sequence) = (0, 0);
            self.account = Some((epoch, 0));
            wanted.forget_answers();
            feed.send(Change::Begin).await?;
        }
        let expected = self.account.map_or(self.epoch, |(epoch, _)| epoch);
        if epoch != expected {
            *self = Self::default();
            return Ok(Err(Gap::Epoch { expected, found: epoch }));
        }
        for item in items {
            let change = Item::decode(item).ok().and_then(|item| proto::change(item).ok());
            let Some(change) = change else {
                feed.link.change(|facts| facts.malformed += 1);
                continue;
            };
            let answered = match &change {
                Change::Address(it) => Some(it.ip),
                Change::AddressUnknown { ip } | Change::AddressGone { ip, .. } => Some(*ip),
                _ => None,
            };
            feed.send(change).await?;
            if let Some(ip) = answered {
                wanted.answered(ip);
            }
        }
        let reached = self.account.as_mut().map_or(&mut self.sequence, |(_, sequence)| sequence);
        *reached = sequence.max(*reached);
        if synced {
            if let Some((epoch, sequence)) = self.account.take() {
                (self.epoch, self.sequence) = (epoch, sequence);
                feed.link.change(|facts| facts.resyncs += 1);
            }
            feed.send(Change::Synced).await?;
        }
        let (epoch, sequence) = self.reached();
        feed.link.change(|facts| (facts.epoch, facts.sequence) = (epoch, sequence));
        if synced {
            feed.fresh().await?;
        }
        Ok(Ok(synced))
    }
}
