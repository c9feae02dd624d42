//! What the hub is told of this node: rows of each interval, how the probes fare, and records while somebody asks.
//!
//! It goes over the connection on which names come. Rows wait in the [`Spool`] until a hub has stored them.

mod observe;
mod spool;
mod stream;

use std::convert::Infallible;
use std::sync::Arc;

use model::Timestamp;
use model::status::ProgramStatus;

use crate::export::Records;

pub use spool::{Facts, Spool};
pub use stream::Opened;

/// What a stream tells, shared by all that follow each other.
pub struct Reporter {
    pub node: Arc<str>,
    /// Of this process.
    pub life: u64,
    pub spool: Arc<Spool>,
    pub records: Arc<Records>,
    pub health: Box<dyn Fn() -> Health + Send + Sync>,
}

/// How this node's probes fare.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Health {
    pub programs: Vec<ProgramStatus>,
    /// What did not get through since the start.
    pub lost: u64,
}

/// Reports and answers for as long as it is polled.
pub async fn run(reporter: Arc<Reporter>, opened: Opened) -> Infallible {
    tokio::select! {
        never = stream::run(reporter.clone(), opened.clone()) => never,
        never = observe::run(reporter, opened) => never,
    }
}

impl Reporter {
    /// A number that is greater in each life.
    pub fn new_life() -> u64 {
        Timestamp::now().0
    }
}
