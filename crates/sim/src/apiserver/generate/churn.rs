//! What goes on in a cluster: pods end and others take their place and their addresses, labels change.

use std::collections::{HashSet, VecDeque};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::pod::Stage;
use super::{Population, time};
use crate::apiserver::error::Error;
use crate::apiserver::resource::Resource;
use crate::apiserver::server::ApiServer;

/// Things that go on at one time.
const LANES: usize = 16;
/// Of pods that are replaced, those with which their workload gets another template: one for a rollout of ten pods.
const ROLLED_PERCENT: usize = 10;
/// Between looks at the clock.
const TICK: Duration = Duration::from_millis(5);

#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: [VecDeque<Step>; LANES],
    /// Ids of pods that a lane has to do with.
    busy: HashSet<usize>,
}

#[derive(Debug)]
enum Step {
    Label(usize),
    Terminate(usize),
    Delete(usize),
    /// In the place of a pod with that name.
    Create {
        workload: usize,
        place: usize,
        replaced: String,
    },
    Ready(usize),
    Slices(usize),
    /// A workload gets another template.
    Roll(usize),
}

impl Population {
    /// Makes so many changes, or one or two more. Returns how many.
    ///
    /// # Errors
    /// An object that the server refuses: a fault of the generator.
    pub fn churn(&mut self, server: &ApiServer, changes: usize) -> Result<usize, Error> {
        let mut count = 0;
        // Steps without a change (a slice of a workload without a service) must not keep it for ever.
        for _ in 0..changes.saturating_mul(10) {
            if count >= changes {
                break;
            }
            let lane = self.random.below(LANES);
            if self.lanes.lanes[lane].is_empty() {
                self.plan(lane);
            }
            if let Some(step) = self.lanes.lanes[lane].pop_front() {
                count += self.step(server, lane, step)?;
            }
        }
        Ok(count)
    }

    fn plan(&mut self, lane: usize) {
        if self.pods.is_empty() {
            return;
        }
        let id = self.random.below(self.pods.len());
        let Some(pod) = &self.pods[id] else { return };
        if pod.stage == Stage::Terminating || !self.lanes.busy.insert(id) {
            return;
        }
        let lane = &mut self.lanes.lanes[lane];
        if self.random.percent(20) {
            lane.push_back(Step::Label(id));
        } else if pod.stage == Stage::Scheduled {
            lane.extend([Step::Ready(id), Step::Slices(pod.workload)]);
        } else {
            if self.random.percent(ROLLED_PERCENT) {
                lane.push_back(Step::Roll(pod.workload));
            }
            lane.extend([
                Step::Terminate(id),
                Step::Slices(pod.workload),
                Step::Delete(id),
                Step::Slices(pod.workload),
                Step::Create {
                    workload: pod.workload,
                    place: pod.place,
                    replaced: pod.name.clone(),
                },
            ]);
        }
    }

    fn step(&mut self, server: &ApiServer, lane: usize, step: Step) -> Result<usize, Error> {
        self.now_s += 1;
        match step {
            Step::Label(id) => {
                self.lanes.busy.remove(&id);
                if let Some(pod) = &mut self.pods[id] {
                    pod.relabelled += 1;
                }
                self.put_pod(server, id)
            }
            Step::Terminate(id) => {
                let Some(pod) = &mut self.pods[id] else { return Ok(0) };
                pod.stage = Stage::Terminating;
                let mut count = 0;
                // Its Job goes first: the garbage collector takes what belongs to nobody any more.
                if pod.owner.kind == "Job" {
                    let namespace = &self.workloads[pod.workload].namespace;
                    server.delete(Resource::Jobs, namespace, &pod.owner.name);
                    count = 1;
                }
                Ok(count + self.put_pod(server, id)?)
            }
            Step::Delete(id) => Ok(self.remove(server, id)),
            Step::Create { workload, place, replaced } => {
                let Some(id) = self.place(workload, place, Some(replaced)) else { return Ok(0) };
                self.lanes.busy.insert(id);
                self.lanes.lanes[lane].extend([Step::Ready(id), Step::Slices(workload)]);
                Ok(self.put_job(server, id)? + self.put_pod(server, id)?)
            }
            Step::Ready(id) => {
                self.lanes.busy.remove(&id);
                if let Some(pod) = &mut self.pods[id] {
                    pod.stage = Stage::Ready;
                }
                self.put_pod(server, id)
            }
            Step::Slices(workload) => self.put_slices(server, workload),
            Step::Roll(workload) => self.roll(server, workload),
        }
    }

    fn remove(&mut self, server: &ApiServer, id: usize) -> usize {
        self.lanes.busy.remove(&id);
        let Some(pod) = self.pods[id].take() else { return 0 };
        self.free.push(id);
        let workload = &mut self.workloads[pod.workload];
        workload.pods.retain(|other| *other != id);
        if let Some(host) = pod.host {
            self.places[pod.place].give(host);
        }
        server.delete(Resource::Pods, &workload.namespace, &pod.name);
        1
    }

    fn roll(&mut self, server: &ApiServer, workload: usize) -> Result<usize, Error> {
        let (workload, random) = (&mut self.workloads[workload], &mut self.random);
        let Some((set, shared, gone)) = workload.roll(random, self.now_s) else { return Ok(0) };
        server.apply_shared(Resource::ReplicaSets, &set, &shared)?;
        let Some(gone) = gone else { return Ok(1) };
        server.delete(Resource::ReplicaSets, &workload.namespace, &gone);
        Ok(2)
    }
}

/// Changes at a steady pace, by a thread of its own. Dropping it ends that.
#[derive(Debug)]
pub struct Churn {
    /// Dropping it is the signal.
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<Population>>,
}

impl Churn {
    /// `rate`: changes per second. A population that has been created on `server`.
    ///
    /// # Errors
    /// No thread.
    pub fn start(server: ApiServer, mut population: Population, rate: u32) -> Result<Self, Error> {
        let (stop, stopped) = sync_channel(0);
        let thread = thread::Builder::new()
            .name("sim-churn".to_owned())
            .spawn(move || {
                let start = Instant::now();
                let mut made = 0;
                while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                    let due = (start.elapsed().as_secs_f64() * f64::from(rate)) as usize;
                    match population.churn(&server, due.saturating_sub(made)) {
                        // As if it had made them, so that it never runs after what it could not do.
                        Ok(_) => made = due,
                        Err(error) => {
                            tracing::error!(%error, "no more changes");
                            break;
                        }
                    }
                }
                tracing::debug!(made, now = time(population.now_s), "changes end");
                population
            })
            .map_err(Error::Start)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }

    /// The population as the server has it now. None if its thread panicked.
    pub fn stop(mut self) -> Option<Population> {
        drop(self.stop.take());
        self.thread.take()?.join().ok()
    }
}

impl Drop for Churn {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
