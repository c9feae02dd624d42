//! Hubs that are killed again and again while an agent reports: nothing that was acknowledged is lost, and nothing counts
//! twice.

// A test fails where something is wrong.
#![allow(clippy::unwrap_used, clippy::panic)]

mod clickhouse;
mod fixture;

use std::time::Duration;

use fixture::{Agent, Place, wait};

const KILLS: u64 = 6;

#[test]
fn a_killed_hub_loses_nothing_and_counts_nothing_twice() {
    let place = Place::new("[history]\npath = \"FOLDER/history.db\"");
    let mut agent = Agent::start(&place, "web");
    let mut acknowledged = Vec::new();
    let mut hub = place.hub();
    for round in 0..KILLS {
        // Some die before they have stored anything, some just when they do.
        agent.tell_for(Duration::from_millis(1500 + 1700 * round));
        drop(hub);
        acknowledged.push(agent.acknowledged());
        hub = place.hub();
    }
    assert!(acknowledged.last() > acknowledged.first(), "something was stored: {acknowledged:?}");
    agent.tell();
    wait("all to be stored", || agent.spool.facts().batches == 0);
    assert_eq!(place.failures("web"), agent.told);
    drop(hub);
}
