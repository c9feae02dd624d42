//! What the hub is told of this node: rows of each interval, how the probes fare, and records while somebody asks.
//!
//! It goes over the connection on which names come. Rows wait in the [`Spool`] until a hub has stored them.

mod observe;
mod spool;
mod stream;

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use model::Timestamp;
use model::status::ProgramStatus;
use tokio::time::sleep;
use tonic::{Code, Status};

use crate::export::Records;

pub use spool::{Facts, Spool};
pub use stream::Opened;

/// Until the hub's first word.
const ANSWER: Duration = Duration::from_secs(15);
/// Between two streams on one connection.
const AGAIN: Duration = Duration::from_secs(5);

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

/// Holds one stream after the other, for as long as it is polled; none with a hub that does not know them.
async fn repeat<S: Future<Output = Result<(), Status>>>(
    what: &'static str,
    stream: impl Fn() -> S,
) -> Infallible {
    loop {
        let status = match stream().await {
            Ok(()) => Status::unavailable("the hub ended it"),
            Err(status) => status,
        };
        if status.code() == Code::Unimplemented {
            tracing::info!("this hub takes no {what}; it is of an older version");
            return pending().await;
        }
        tracing::debug!(reason = status.message(), "{what} to the hub broke off");
        sleep(AGAIN).await;
    }
}

impl Reporter {
    /// A number that is greater in each life.
    pub fn new_life() -> u64 {
        Timestamp::now().0
    }
}
