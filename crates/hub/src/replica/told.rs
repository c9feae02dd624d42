//! Live records of the agents that other replicas have.

use std::sync::Arc;
use std::time::Duration;

use proto::replica::{self as wire, told};
use proto::telemetry::Ask;
use tonic::Status;

use super::peer::Peer;
use super::{AT_HAND, Replicas};
use crate::observe::{Event, Listener, Telling};

/// Until one that broke off is asked again by somebody who follows.
const AGAIN: Duration = Duration::from_secs(2);

/// Asks all other replicas for what `listener` wants to see, for as long as it listens.
pub fn follow(replicas: &Replicas, ask: &Ask, listener: &mut Listener) {
    for peer in replicas.others() {
        let telling = listener.expect(&peer.shown());
        listener.tasks.spawn(hear_on(peer, ask.clone(), telling));
    }
}

async fn hear_on(peer: Arc<Peer>, mut ask: Ask, telling: Telling) {
    let mut error = String::new();
    loop {
        let ended = hear(&peer, &ask, &telling).await;
        let status = ended.err().unwrap_or_else(|| Status::unavailable("it has ended"));
        // Not again and again.
        if error != status.message() {
            error = status.message().to_owned();
            let replica = telling.replica.clone();
            tracing::debug!(%replica, error, "a replica does not tell records");
            telling.tell(Event::Left { replica, error: error.clone() }).await;
        }
        if !ask.follow {
            return;
        }
        // What it kept was asked for, or would come out of its order.
        ask.last = Some(0);
        tokio::time::sleep(AGAIN).await;
    }
}

async fn hear(peer: &Peer, ask: &Ask, telling: &Telling) -> Result<(), Status> {
    let gone = || Status::unavailable("it cannot be reached");
    let mut replica = peer.replica().ok_or_else(gone)?;
    let late = |_| Status::deadline_exceeded(format!("no answer within {AT_HAND:?}"));
    let asked = tokio::time::timeout(AT_HAND, replica.observe(ask.clone())).await.map_err(late)?;
    let mut events = asked?.into_inner();
    while let Some(wire::Told { kind }) = events.message().await? {
        let event = match kind {
            Some(told::Kind::Asked(it)) => Event::Joined {
                replica: telling.replica.clone(),
                nodes: it.nodes.into_iter().map(Arc::from).collect(),
            },
            Some(told::Kind::Lines(it)) => {
                Event::Lines { node: it.node.into(), lines: it.lines, lost: it.lost }
            }
            Some(told::Kind::End(it)) => Event::End { node: it.node.into(), error: it.error },
            // Of a newer hub.
            None => continue,
        };
        // While there is no room, the replica's own listener falls behind there, and is told of it.
        telling.tell(event).await;
    }
    Ok(())
}
