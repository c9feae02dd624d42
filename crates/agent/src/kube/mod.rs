//! Where names come from: a hub's stream, the API server, or the kubelet. Each source is a task that sends
//! [`model::Change`]s to the pipeline; with a hub, the addresses that records meet go the other way through [`Wanted`], and
//! on the same connection what [`crate::report`] tells.
//!
//! A source that is out of reach is told as [`Change::Stale`]: names are kept, records go on without waiting, and
//! [`Change::Fresh`] follows once everything that was missed has been sent.

mod cluster;
mod connection;
mod error;
mod feed;
mod hub;
mod kubelet;
mod link;
mod pause;
mod pods;
mod wanted;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use daemon::{Backoff, Policy, Supervisor};
use model::Change;

use crate::config::{Metadata, Source};
use crate::report::Reporter;

pub use link::{Facts, Link, State};
pub use wanted::Wanted;

use feed::Feed;

/// Changes on their way to the pipeline.
const CHANGES: usize = 4096;

/// Starts the source that is configured. What it tells comes out of the receiver.
pub fn start(
    supervisor: &mut Supervisor,
    node: &Arc<str>,
    config: &Metadata,
    link: &Arc<Link>,
    wanted: &Arc<Wanted>,
    reporter: Option<Arc<Reporter>>,
) -> Receiver<Change> {
    let (out, changes) = sync_channel(CHANGES);
    let again = Policy::Restart(Backoff::default());
    let (node, config, link, wanted) = (node.clone(), config.clone(), link.clone(), wanted.clone());
    let source = config.source;
    if source == Source::None {
        // Complete as it is: nobody must wait for it.
        let _ = out.try_send(Change::Synced);
        return changes;
    }
    supervisor.task("metadata", again, move |cancel| {
        let feed = Feed::new(out.clone(), link.clone());
        let (node, config, wanted) = (node.clone(), config.clone(), wanted.clone());
        let reporter = reporter.clone();
        async move {
            match source {
                Source::Hub => hub::follow(node, config, feed, wanted, reporter, cancel).await,
                Source::Kube => cluster::follow(node, config, feed, cancel).await,
                Source::Kubelet => kubelet::follow(node, config, feed, cancel).await,
                Source::None => {}
            }
            Ok::<_, Infallible>(())
        }
    });
    changes
}
