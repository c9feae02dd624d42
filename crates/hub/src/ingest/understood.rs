//! From what travels to batches with the hub's own numbers.

use std::sync::Arc;

use model::row::Key;
use proto::columns::{Malformed, Reader, Sum, decompress, merge};
use proto::{Defined, Unsound};

use super::Batch;
use crate::store::{Catalogue, Loss};

/// An interval is at most so long.
const LONGEST_S: u32 = 60;
/// Losses of one batch, and characters of what they are called.
const MOST_LOSSES: usize = 64;
const MOST_CAUSE: usize = 64;

/// What one stream has defined: the numbers of its keys.
#[derive(Debug, Default)]
pub struct Understood(Defined<u32>);

/// A batch that cannot be understood; neither can be what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misunderstood {
    #[error(transparent)]
    Definitions(#[from] Unsound),
    #[error(transparent)]
    Columns(#[from] Malformed),
}

impl Understood {
    /// Rows whose key was not defined are lost, and told.
    ///
    /// # Errors
    /// See [`Misunderstood`].
    pub fn batch(
        &mut self,
        catalogue: &Catalogue,
        node: &Arc<str>,
        it: proto::telemetry::Batch,
    ) -> Result<Batch, Misunderstood> {
        let Self(defined) = self;
        if let Some(told) = it.definitions {
            let reset = told.reset;
            let (ids, keys): (Vec<u32>, Vec<Key>) = proto::defined(told)?.into_iter().unzip();
            defined.take(reset, ids.into_iter().zip(catalogue.numbers(keys)).collect())?;
        }
        let columns = decompress(&it.columns, it.columns_bytes as usize)?;
        let mut batch = Batch {
            sequence: it.sequence,
            start_s: it.start_s,
            length_s: it.length_s.clamp(1, LONGEST_S).into(),
            rows: Vec::with_capacity((it.rows as usize).min(columns.len())),
            ..Batch::default()
        };
        let mut undefined = 0;
        let take = |id, sum: &mut Sum| match defined.get(id) {
            Some(edge) => batch.rows.push((*edge, sum.take())),
            None => {
                sum.take();
                undefined += 1;
            }
        };
        merge(vec![Reader::new(&columns)?], |_| true, take)?;
        let until_s = batch.start_s.saturating_add(batch.length_s);
        if undefined > 0 {
            let (node, reason) = (node.clone(), "undefined".into());
            let loss = Loss { node, reason, rows: undefined, since_s: batch.start_s, until_s };
            batch.losses.push(loss);
        }
        batch.losses.extend(it.losses.into_iter().take(MOST_LOSSES).map(|loss| Loss {
            node: node.clone(),
            reason: loss.cause.chars().take(MOST_CAUSE).collect::<String>().into(),
            rows: loss.rows,
            since_s: loss.since_s,
            until_s: loss.until_s.max(loss.since_s.saturating_add(1)),
        }));
        Ok(batch)
    }
}
