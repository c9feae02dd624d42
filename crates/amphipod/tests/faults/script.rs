//! Random scripts: what happens to a world, and when.

use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fastrand::Rng;
use sim::apiserver::{Fault, Hostile, Resource};

use crate::clock::{self, Moment, Passed};
use crate::network;
use crate::world::{SPARE, World};

/// A script that is being played.
struct Script {
    world: World,
    random: Rng,
    steps: Vec<String>,
    /// When the last event was, so far.
    quiet: Moment,
    /// Faults that last: each ends with the moment at which it was over.
    lasting: Vec<JoinHandle<Moment>>,
    /// The API server has restarted as often as it was told to: it does one after the other.
    restarted: Instant,
    /// Services that have gone and may come back.
    gone: Vec<serde_json::Value>,
}

/// Plays the script of a seed; how long after its last event the agent knew everything.
///
/// # Errors
/// It never did.
pub fn play(seed: u64) -> Result<Passed, String> {
    let (world, random) = (World::start(seed), Rng::with_seed(seed));
    let (steps, lasting, gone) = (Vec::new(), Vec::new(), Vec::new());
    let (quiet, restarted) = (clock::now(), Instant::now());
    let mut script = Script { world, random, steps, quiet, lasting, restarted, gone };
    if script.random.bool() {
        script.world.sync();
    }
    for _ in 0..script.random.usize(2..9) {
        let step = script.step();
        script.steps.push(step);
        if script.random.u8(..3) == 0 {
            let step = script.serve();
            script.steps.push(step);
        }
        script.quiet = clock::now();
        // Time is part of the script: faults meet each other, or they do not.
        thread::sleep(Duration::from_millis(script.random.u64(..150)));
    }
    let ends = script.lasting.into_iter().map(|fault| fault.join().unwrap());
    let quiet = ends.fold(script.quiet, Moment::max);
    let settled = script.world.settle(quiet);
    let told =
        |error| format!("after {:?} the agent does not know the cluster: {error}", script.steps);
    let passed = settled.map_err(told)?;
    if passed.ran > crate::GOAL {
        return Err(format!("{passed:?} after {:?}: later than {:?}", script.steps, crate::GOAL));
    }
    Ok(passed)
}

impl Script {
    fn step(&mut self) -> String {
        match self.random.u8(..20) {
            0..=3 => self.churn(),
            4 => self.hub(true),
            5 => self.hub(false),
            6 | 7 => {
                self.world.replace_agent();
                "another agent".to_owned()
            }
            8..=11 => self.partition(),
            12 => {
                let ms = self.length_ms();
                self.fault(format!("partition {ms}"), ms)
            }
            13 => self.fault("drop-watches".to_owned(), 0),
            14 => self.fault("drop-watches abrupt".to_owned(), 0),
            15 => self.fault("compact".to_owned(), 0),
            16 => {
                let ms = self.length_ms();
                // Not "reset": a version that is used twice deceives whoever watches, here as in a restored etcd.
                let versions = self.random.choice(["continue", "forget"]).unwrap();
                self.restarts(format!("restart {ms} {versions}"), ms)
            }
            17 => {
                let (times, every) = (self.random.u64(1..4), self.random.u64(1..100));
                self.restarts(format!("flap {times} {every}"), times * every * 2)
            }
            18 => {
                let reversed = if self.random.bool() { " reversed" } else { "" };
                let events = self.random.u8(1..50);
                self.fault(format!("replay {events}{reversed}"), 0)
            }
            _ => {
                let which = self.random.choice(Hostile::ALL).unwrap();
                self.fault(format!("hostile {}", which.name()), 0)
            }
        }
    }

    /// Mostly a moment, sometimes seconds.
    fn length_ms(&mut self) -> u64 {
        match self.random.u8(..4) {
            0 => self.random.u64(1000..6000),
            _ => self.random.u64(1..500),
        }
    }

    fn churn(&mut self) -> String {
        let changes = self.random.usize(1..80);
        self.world.population.churn(&self.world.server, changes).unwrap();
        format!("churn {changes}")
    }

    /// One of the API server itself.
    fn fault(&mut self, line: String, ms: u64) -> String {
        self.world.server.fault(line.parse::<Fault>().unwrap());
        self.lasts(ms, || {});
        line
    }

    fn restarts(&mut self, line: String, ms: u64) -> String {
        let now = Instant::now();
        self.restarted = self.restarted.max(now) + Duration::from_millis(ms);
        self.fault(line, (self.restarted - now).as_millis() as u64)
    }

    fn lasts(&mut self, ms: u64, end: impl FnOnce() + Send + 'static) {
        self.lasting.push(thread::spawn(move || {
            thread::sleep(Duration::from_millis(ms));
            end();
            clock::now()
        }));
    }

    /// There is no hub for a while, and the cluster goes on.
    fn hub(&mut self, killed: bool) -> String {
        let ms = self.length_ms();
        self.world.end_hub(killed);
        let churn = self.churn();
        thread::sleep(Duration::from_millis(ms));
        self.world.start_hub();
        let how = if killed { "killed" } else { "stopped" };
        format!("hub {how}, {churn}, another one after {ms} ms")
    }

    fn partition(&mut self) -> String {
        let ms = self.length_ms();
        let (server, hub) = (self.world.server.address().ip(), self.world.agents.ip());
        let (who, cut) = match self.random.u8(..5) {
            0 | 1 => ("API server", vec![server]),
            2 | 3 => ("hub from agent", vec![hub]),
            _ => ("API server, and hub from agent", vec![server, hub]),
        };
        cut.iter().copied().for_each(network::part);
        self.lasts(ms, move || cut.into_iter().for_each(network::join));
        format!("{who} cut off for {ms} ms")
    }

    /// A service goes, or comes back at an address that another may have had.
    fn serve(&mut self) -> String {
        let server = &self.world.server;
        if self.random.bool()
            && let Some(mut service) = self.gone.pop()
        {
            let ip = *self.random.choice(&SPARE).unwrap();
            service["metadata"]["uid"] = format!("again-{}", self.random.u64(..)).into();
            service["spec"]["clusterIP"] = ip.into();
            service["spec"]["clusterIPs"] = serde_json::json!([ip]);
            server.apply(&service).unwrap();
            return format!("service {} at {ip}", service["metadata"]["name"]);
        }
        let services = self.world.objects(Resource::Services);
        let Some(service) = self.random.choice(services) else { return "no service".to_owned() };
        let of = |key: &str| service["metadata"][key].as_str().unwrap().to_owned();
        server.delete(Resource::Services, &of("namespace"), &of("name"));
        let step = format!("without service {}", of("name"));
        self.gone.push(service);
        step
    }
}
