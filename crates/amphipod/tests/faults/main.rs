//! Whatever happens to API server, hub, agent and the network between them, an agent knows two seconds later what the
//! cluster is: random scripts of faults, over real connections in a network of their own.
//!
//! `AMPHIPOD_FAULT_SEEDS=0..2000` plays those, `AMPHIPOD_FAULT_SEEDS=117` one again, and `AMPHIPOD_FAULT_LANES=8` so many
//! side by side.

// A test fails where something is wrong.
#![allow(clippy::unwrap_used, clippy::panic)]

mod agent;
mod clock;
mod lanes;
mod network;
mod script;
mod view;
mod world;

use std::thread;
use std::time::{Duration, Instant};

use clock::Passed;
use lanes::Played;
use world::World;

/// From the last event to when the agent knows everything, in time in which this process could run.
const GOAL: Duration = Duration::from_secs(2);
/// Where nobody says which.
const SCRIPTS: u64 = 12;
/// Scripts mostly wait.
const LANES: usize = 3;

/// Those that were asked for, or some at random.
fn seeds() -> Vec<u64> {
    let Ok(text) = std::env::var("AMPHIPOD_FAULT_SEEDS") else {
        let seeds = (0..SCRIPTS).map(|_| fastrand::u64(..1 << 32)).collect();
        println!("seeds {seeds:?}");
        return seeds;
    };
    println!("seeds {text}");
    match text.split_once("..") {
        Some((from, to)) => (from.parse().unwrap()..to.parse().unwrap()).collect(),
        None => vec![text.parse().unwrap()],
    }
}

#[test]
fn an_agent_knows_the_cluster_after_any_script_of_faults() {
    network::own("an_agent_knows_the_cluster_after_any_script_of_faults", || {
        if std::env::var_os("AMPHIPOD_FAULT_LOG").is_some() {
            tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).init();
        }
        let lanes = std::env::var("AMPHIPOD_FAULT_LANES").ok().map(|text| text.parse().unwrap());
        let played = lanes::play(&seeds(), lanes.unwrap_or(LANES));
        tell(&played);
        let failed: Vec<&Played> = played.iter().filter(|(_, played)| played.is_err()).collect();
        let again = failed.first().map(|(seed, _)| format!("AMPHIPOD_FAULT_SEEDS={seed}"));
        assert!(
            failed.is_empty(),
            "{} of {} failed: {failed:#?}; to play one again: {} cargo test --workspace --test faults -- any_script --nocapture",
            failed.len(),
            played.len(),
            again.unwrap_or_default(),
        );
    });
}

fn tell(played: &[Played]) {
    let times = |of: fn(Passed) -> Duration| {
        let passed = |(seed, played): &Played| Some((of(*played.as_ref().ok()?), *seed));
        let mut times: Vec<(Duration, u64)> = played.iter().filter_map(passed).collect();
        times.sort_unstable();
        times
    };
    for (name, times) in [("running", times(|it| it.ran)), ("wall", times(|it| it.wall))] {
        let Some((last, seed)) = times.last() else { return };
        let at = |part: usize| times[(times.len() - 1) * part / 100].0;
        let (number, median, p99) = (times.len(), at(50), at(99));
        println!(
            "{number} scripts, {name} time: median {median:?}, p99 {p99:?}, last {last:?} (seed {seed})"
        );
    }
}

/// Longer than any connection lives that is cut off, and any pause between two tries.
const APART: Duration = Duration::from_secs(60);
/// Changes meanwhile, and between two of them.
const CHANGES: usize = 5;
const BETWEEN: Duration = Duration::from_millis(500);

#[test]
fn an_agent_knows_the_cluster_after_a_minute_apart() {
    network::own("an_agent_knows_the_cluster_after_a_minute_apart", || {
        let apart =
            [("API server", 1, true, false), ("hub", 2, false, true), ("both", 3, true, true)];
        let played = apart.map(|(name, seed, server, hub)| {
            (name, thread::spawn(move || minute_apart(seed, server, hub)))
        });
        for (name, played) in played {
            let passed = played.join().unwrap().unwrap_or_else(|error| panic!("{name}: {error}"));
            println!("{name} cut off: {passed:?}");
            // It was cut off, then: something was left to be told.
            assert!(passed.ran > Duration::ZERO, "{name} was never cut off");
            assert!(passed.ran <= GOAL, "{name} cut off: {passed:?}");
        }
    });
}

fn minute_apart(seed: u64, server: bool, hub: bool) -> Result<Passed, String> {
    let mut world = World::start(seed);
    world.sync();
    let cut = [(server, world.server.address().ip()), (hub, world.agents.ip())];
    let cut = || cut.iter().filter(|(cut, _)| *cut).map(|(_, address)| *address);
    cut().for_each(network::part);
    let until = Instant::now() + APART;
    while Instant::now() < until {
        world.population.churn(&world.server, CHANGES).unwrap();
        thread::sleep(BETWEEN);
    }
    cut().for_each(network::join);
    world.settle(clock::now())
}
