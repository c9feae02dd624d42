//! Scripts side by side.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::clock::{self, Passed};
use crate::script;

/// More than any script takes with all its waits.
const STUCK: Duration = Duration::from_secs(200);
/// How often a wait that nothing ends looks at the clock.
const LOOK: Duration = Duration::from_secs(1);

/// Of one script: its seed, and how long it took the agent or why it failed.
pub type Played = (u64, Result<Passed, String>);

/// One that fails ends no other; those that are stuck are given up.
pub fn play(seeds: &[u64], lanes: usize) -> Vec<Played> {
    // Of their own: threads that are stuck outlive this.
    let left = Arc::new(Mutex::new(Vec::from(seeds).into_iter()));
    let (out, played) = mpsc::channel();
    for _ in 0..lanes {
        let (left, out) = (left.clone(), out.clone());
        thread::spawn(move || {
            loop {
                let Some(seed) = left.lock().unwrap().next() else { return };
                let played = catch_unwind(AssertUnwindSafe(|| script::play(seed)));
                let why = |panic: Box<dyn std::any::Any + Send>| match panic.downcast::<String>() {
                    Ok(text) => *text,
                    Err(_) => "a panic; see above".to_owned(),
                };
                if out.send((seed, played.map_err(why).flatten())).is_err() {
                    return;
                }
            }
        });
    }
    drop(out);
    let mut all: Vec<Played> = Vec::new();
    let mut last = clock::now();
    loop {
        match played.recv_timeout(LOOK) {
            Ok(one) => {
                last = clock::now();
                if let (seed, Err(error)) = &one {
                    println!("FAILED seed {seed}: {error}");
                }
                all.push(one);
                if all.len().is_multiple_of(100) {
                    println!("{} scripts", all.len());
                }
            }
            Err(RecvTimeoutError::Disconnected) => return all,
            Err(RecvTimeoutError::Timeout) if clock::now().since(last).ran < STUCK => {}
            Err(RecvTimeoutError::Timeout) => {
                let begun = &seeds[..seeds.len() - left.lock().unwrap().len()];
                let done: BTreeSet<u64> = all.iter().map(|(seed, _)| *seed).collect();
                let stuck = begun.iter().filter(|seed| !done.contains(*seed));
                all.extend(stuck.map(|seed| (*seed, Err("it is stuck".to_owned()))));
                return all;
            }
        }
    }
}
