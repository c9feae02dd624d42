//! The thread between the probes and everything that leaves the agent.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use model::{Change, Record, Timestamp};
use probes::Batch;

use super::{Aggregate, Interval};
use crate::Config;
use crate::backend::{Desk, Obstacle};
use crate::export::Records;
use crate::identity::{self, Directory, Mode};
use crate::kube::Wanted;
use crate::report::Spool;

/// How often records that wait for a name are looked at, at least.
const TICK: Duration = Duration::from_millis(100);
/// The same while the kernel has been asked for a backend: it answers within microseconds.
const ASKED: Duration = Duration::from_millis(2);
/// How often records are given up at most: who follows live must not wait for the next look.
const PACE: Duration = Duration::from_millis(10);
const EXPIRE: Duration = Duration::from_secs(5);
/// Changes taken between two batches: a flood of metadata must not hold up observations.
const CHANGES: usize = 4096;
/// Records between two publications: bounds memory and the time for which locks are held.
const CHUNK: usize = 512;

/// What the pipeline shares with those who show it.
pub struct Shared {
    pub aggregate: Mutex<Aggregate>,
    pub records: Arc<Records>,
    /// Of the directory, as of the last tick.
    pub identity: Mutex<identity::Counters>,
    /// Records published since the start.
    pub total: AtomicU64,
    /// Why the backends behind services stay unknown.
    pub obstacle: Arc<Obstacle>,
    /// The first metadata is complete.
    pub synced: AtomicBool,
    /// Batches taken from the channel that still wait, and how many may.
    pub waiting: AtomicUsize,
    pub max_waiting: usize,
}

impl Shared {
    pub fn new(config: &Config) -> Self {
        Self {
            aggregate: Mutex::new(Aggregate::new(&config.metrics, config.pipeline.max_connections)),
            records: Arc::new(Records::new(config.records.clone())),
            identity: Mutex::default(),
            total: AtomicU64::new(0),
            obstacle: Arc::default(),
            synced: AtomicBool::new(config.mode == Mode::Standalone),
            waiting: AtomicUsize::new(0),
            max_waiting: config.pipeline.queue.div_ceil(2),
        }
    }

    pub fn aggregate(&self) -> MutexGuard<'_, Aggregate> {
        self.aggregate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn identity(&self) -> MutexGuard<'_, identity::Counters> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Owns the directory and drives it.
pub struct Worker {
    directory: Directory,
    shared: Arc<Shared>,
    wanted: Arc<Wanted>,
    /// Where backends are asked for, if they are.
    desk: Option<Desk>,
    /// What the hub is told, if it is.
    report: Option<(Interval, Arc<Spool>)>,
    /// Records on their way to [`Records`].
    chunk: Vec<Record>,
}

impl Worker {
    /// `wanted` is told which addresses to ask for.
    pub fn new(directory: Directory, shared: Arc<Shared>, wanted: Arc<Wanted>) -> Self {
        Self {
            directory,
            shared,
            wanted,
            desk: None,
            report: None,
            chunk: Vec::with_capacity(CHUNK),
        }
    }

    /// Asks at `desk` for the backends behind services. The directory must be configured to ask.
    pub fn with_desk(self, desk: Desk) -> Self {
        Self { desk: Some(desk), ..self }
    }

    /// Adds records up by `interval`, too, and puts what is over into `spool`.
    pub fn report(&mut self, interval: Interval, spool: Arc<Spool>) {
        self.report = Some((interval, spool));
    }

    /// Works until every sender of `batches` is gone, then delivers what is left and ends all readers.
    pub fn run(mut self, batches: &Receiver<Batch>, changes: Receiver<Change>) {
        let mut changes = Some(changes);
        let mut waiting = VecDeque::new();
        let (mut ticked, mut expired) = (Instant::now(), Instant::now());
        loop {
            let due = self.directory.due_in().map(|due| Instant::now() + due.max(PACE));
            let more = self.receive(batches, &mut waiting, self.patience(ticked, due));
            self.take_changes(&mut changes);
            self.take_answers();
            let next = waiting.pop_front();
            self.shared.waiting.store(waiting.len(), Ordering::Relaxed);
            match next {
                Some(batch) => {
                    self.take(batch);
                    self.wanted.apply(self.directory.take_wishes());
                    self.ask();
                }
                None if !more => break,
                None => {}
            }
            if ticked.elapsed() >= TICK || due.is_some_and(|due| due <= Instant::now()) {
                ticked = Instant::now();
                self.tick();
            }
            if expired.elapsed() >= EXPIRE {
                expired = Instant::now();
                self.shared.aggregate().expire(expired);
            }
        }
        let Self { directory, chunk, .. } = &mut self;
        directory.flush(Timestamp::now(), &mut |record| chunk.push(record));
        self.publish();
        self.close_interval();
        if let Some((_, spool)) = &self.report {
            spool.close();
        }
        *self.shared.identity() = self.directory.counters();
        self.shared.records.close();
    }

    /// How long to wait for a batch. `due`: when a record will have waited long enough for its name.
    fn patience(&self, ticked: Instant, due: Option<Instant>) -> Duration {
        let asked = self.desk.as_ref().is_some_and(Desk::is_waiting);
        let due = due.map_or(TICK, |due| due.saturating_duration_since(Instant::now()));
        TICK.saturating_sub(ticked.elapsed()).min(if asked { ASKED } else { TICK }).min(due)
    }

    /// Takes what the channel holds, after a wait for the first. Its depth cannot be seen from outside; what is taken
    /// can. False when nothing will follow.
    fn receive(
        &self,
        batches: &Receiver<Batch>,
        waiting: &mut VecDeque<Batch>,
        wait: Duration,
    ) -> bool {
        if waiting.is_empty() {
            match batches.recv_timeout(wait) {
                Ok(batch) => waiting.push_back(batch),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
        waiting
            .extend(batches.try_iter().take(self.shared.max_waiting.saturating_sub(waiting.len())));
        true
    }

    fn take(&mut self, batch: Batch) {
        let now = Timestamp::now();
        match batch {
            Batch::Cgroups(events) => {
                events.into_iter().for_each(|event| self.directory.cgroup(event, now))
            }
            Batch::Observations(observations) => {
                for observation in observations {
                    let chunk = &mut self.chunk;
                    self.directory.identify(observation, now, &mut |record| chunk.push(record));
                    if self.chunk.len() >= CHUNK {
                        self.publish();
                    }
                }
                self.publish();
            }
        }
    }

    fn tick(&mut self) {
        let Self { directory, chunk, .. } = self;
        directory.tick(Timestamp::now(), &mut |record| chunk.push(record));
        self.publish();
        self.wanted.apply(self.directory.take_wishes());
        self.ask();
        *self.shared.identity() = self.directory.counters();
        if self.report.as_ref().is_some_and(|(interval, _)| interval.is_over(Timestamp::now())) {
            self.close_interval();
        }
    }

    fn close_interval(&mut self) {
        if let Some((interval, spool)) = &mut self.report {
            interval.close(Timestamp::now()).into_iter().for_each(|batch| spool.push(batch));
        }
    }

    /// Passes on the directory's questions for backends.
    fn ask(&mut self) {
        let Some(desk) = &mut self.desk else { return };
        let mut refused = Vec::new();
        for question in self.directory.take_questions() {
            refused.extend(desk.ask(question));
        }
        let now = Timestamp::now();
        refused.iter().for_each(|answer| self.directory.answer(answer, now));
    }

    fn take_answers(&mut self) {
        let Some(desk) = &mut self.desk else { return };
        let now = Timestamp::now();
        let mut answered = false;
        while let Some(answer) = desk.take() {
            self.directory.answer(&answer, now);
            answered = true;
        }
        if answered {
            let Self { directory, chunk, .. } = self;
            directory.deliver_ready(now, &mut |record| chunk.push(record));
            self.publish();
            // The backend's address may have to be asked for in its turn.
            self.wanted.apply(self.directory.take_wishes());
            self.ask();
        }
    }

    fn publish(&mut self) {
        if self.chunk.is_empty() {
            return;
        }
        let now = Instant::now();
        let mut aggregate = self.shared.aggregate();
        self.chunk.iter().for_each(|record| aggregate.add(record, now));
        drop(aggregate);
        if let Some((interval, _)) = &mut self.report {
            self.chunk.iter().for_each(|record| interval.add(record));
        }
        self.shared.total.fetch_add(self.chunk.len() as u64, Ordering::Relaxed);
        self.shared.records.publish(&mut self.chunk);
        // A flush of everything that waited must not leave its size behind.
        self.chunk.shrink_to(4 * CHUNK);
    }

    /// The end of the feed is not the end of what it told.
    fn take_changes(&mut self, changes: &mut Option<Receiver<Change>>) {
        let now = Timestamp::now();
        for _ in 0..CHANGES {
            match changes.as_ref().map(Receiver::try_recv) {
                Some(Ok(change)) => {
                    if change == Change::Synced {
                        self.shared.synced.store(true, Ordering::Relaxed);
                    }
                    self.directory.change(change, now);
                }
                Some(Err(TryRecvError::Disconnected)) => *changes = None,
                Some(Err(TryRecvError::Empty)) | None => break,
            }
        }
    }
}
