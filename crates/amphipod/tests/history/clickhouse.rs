//! The same with ClickHouse, which is killed as well, and so are agents.

use std::time::{Duration, Instant};

use sim::ClickHouse;

use crate::fixture::{Agent, Place, wait};

const ROUNDS: u64 = 12;
/// How long a store that is back may go without anything being acknowledged.
const RECOVERY: Duration = Duration::from_secs(5);

#[test]
#[ignore = "takes ClickHouse's engine from PyPI: ./x test runs it"]
fn whoever_is_killed_nothing_is_lost_or_counted_twice() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = ClickHouse::start(folder.path(), 0).unwrap();
    let port = store.port();
    let place = Place::new(&format!("[clickhouse]\nurl = \"{}\"", store.url()));
    let mut hub = place.hub();
    let mut agent = Agent::start(&place, "web-0");
    // Workload, what was acknowledged before its agent was killed, and what it had told.
    let mut killed = Vec::new();
    let mut away = 0;
    for round in 0..ROUNDS {
        agent.tell_for(Duration::from_millis(1500 + 900 * round));
        match round % 4 {
            0 => {
                drop(hub);
                hub = place.hub();
            }
            1 => {
                drop(store);
                wait("the hub to say so", || {
                    agent.tell();
                    place.status()["history_error"]
                        .as_str()
                        .is_some_and(|error| error.contains("ClickHouse"))
                });
                assert_eq!(place.get("/readyz").unwrap().0, 200, "names do not wait for history");
                let (status, body) = place.get("/api/v1/graph").unwrap();
                assert!(status == 503 && body.contains("ClickHouse"), "{status} {body}");
                let before = agent.acknowledged();
                store = ClickHouse::start(folder.path(), port).unwrap();
                let began = Instant::now();
                wait("the store to be used again", || agent.acknowledged() > before);
                let recovery = began.elapsed();
                eprintln!("acknowledged {recovery:?} after the store was back");
                assert!(recovery < RECOVERY, "{recovery:?}");
                away += 1;
            }
            2 => {
                let next = Agent::start(&place, &format!("web-{}", killed.len() + 1));
                let gone = std::mem::replace(&mut agent, next);
                killed.push((gone.source.clone(), gone.acknowledged(), gone.told));
            }
            // A hub that starts while the store is away.
            _ => {
                drop(store);
                drop(hub);
                hub = place.hub();
                wait("the hub to be there", || place.get("/healthz").is_some());
                store = ClickHouse::start(folder.path(), port).unwrap();
            }
        }
    }
    assert!(away > 0);
    agent.tell();
    wait("all to be stored", || agent.spool.facts().batches == 0);
    assert_eq!(place.failures(&agent.source), agent.told);
    assert!(killed.iter().any(|(_, acknowledged, _)| *acknowledged > 0), "{killed:?}");
    for (source, acknowledged, told) in killed {
        let found = place.failures(&source);
        assert!(
            (acknowledged..=told).contains(&found),
            "{source}: {acknowledged}, {found}, {told}"
        );
    }
    drop((hub, store));
}
