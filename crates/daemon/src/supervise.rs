//! Owns every task and thread: each has a name, a policy, a stop and a deadline.

use std::fmt::Display;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// Each message is one line: what, which object.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot start {name}: {source}")]
    Start { name: &'static str, source: io::Error },
    #[error("{name} stopped: {reason}")]
    Stopped { name: &'static str, reason: String },
    #[error("{names} did not stop within {deadline:?}")]
    Drain { names: String, deadline: Duration },
}

/// What the end of a unit means while nobody asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The daemon cannot go on: everything stops.
    Critical,
    /// It is started again, after a pause that doubles up to a limit.
    Restart(Backoff),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    pub first: Duration,
    pub most: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(100), most: Duration::from_secs(30) }
    }
}

/// What a unit was doing for so long is not what made it fail: the pause starts small again.
const HEALTHY: Duration = Duration::from_secs(60);

/// Runs until the first critical failure or the end that is asked for.
pub struct Supervisor {
    runtime: Handle,
    cancel: CancellationToken,
    running: Vec<&'static str>,
    exits: Receiver<Exit>,
    exit: Sender<Exit>,
    failure: Option<Error>,
}

struct Exit {
    name: &'static str,
    failure: Option<String>,
}

impl Supervisor {
    /// Tasks run on `runtime`; `cancel` stops every unit.
    pub fn new(runtime: Handle, cancel: CancellationToken) -> Self {
        let (exit, exits) = channel();
        Self { runtime, cancel, running: Vec::new(), exits, exit, failure: None }
    }

    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Starts `run` on a thread of its own. It must return soon after its token is cancelled.
    pub fn thread<E: Display>(
        &mut self,
        name: &'static str,
        policy: Policy,
        mut run: impl FnMut(&CancellationToken) -> Result<(), E> + Send + 'static,
    ) -> Result<(), Error> {
        let (cancel, exit, runtime) =
            (self.cancel.clone(), self.exit.clone(), self.runtime.clone());
        let body = move || {
            let mut restarts = Restarts::new(name, policy);
            let failure = loop {
                let outcome = catch_unwind(AssertUnwindSafe(|| run(&cancel)));
                let failure = match outcome {
                    Ok(Ok(())) => None,
                    Ok(Err(error)) => Some(error.to_string()),
                    Err(payload) => Some(panicked(payload.as_ref())),
                };
                match restarts.next(failure, &cancel) {
                    Next::End(failure) => break failure,
                    Next::After(pause) => {
                        let _ = runtime.block_on(async {
                            tokio::time::timeout(pause, cancel.cancelled()).await
                        });
                    }
                }
            };
            // Whoever hears of the end may take what this held: an address, a file.
            drop(run);
            let _ = exit.send(Exit { name, failure });
        };
        thread::Builder::new()
            .name(name.into())
            .spawn(body)
            .map_err(|source| Error::Start { name, source })?;
        self.running.push(name);
        Ok(())
    }

    /// Starts the future that `make` returns as a task. It must end soon after its token is cancelled.
    pub fn task<F, E>(
        &mut self,
        name: &'static str,
        policy: Policy,
        mut make: impl FnMut(CancellationToken) -> F + Send + 'static,
    ) where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        let (cancel, exit) = (self.cancel.clone(), self.exit.clone());
        self.running.push(name);
        self.runtime.spawn(async move {
            let mut restarts = Restarts::new(name, policy);
            let failure = loop {
                let failure = match tokio::spawn(make(cancel.clone())).await {
                    Ok(Ok(())) => None,
                    Ok(Err(error)) => Some(error.to_string()),
                    Err(error) => Some(error.to_string()),
                };
                match restarts.next(failure, &cancel) {
                    Next::End(failure) => break failure,
                    Next::After(pause) => {
                        let _ = tokio::time::timeout(pause, cancel.cancelled()).await;
                    }
                }
            };
            drop(make); // As above.
            let _ = exit.send(Exit { name, failure });
        });
    }

    /// Blocks until everything has been cancelled or a critical unit has ended.
    pub fn wait(&mut self) {
        while !self.cancel.is_cancelled() && !self.running.is_empty() {
            // A cancel by somebody else shows within this time.
            if let Ok(exit) = self.exits.recv_timeout(Duration::from_millis(50)) {
                self.ended(exit);
            }
        }
    }

    /// Cancels everything and waits for all units to end, at most for `deadline`. The first failure is the result.
    pub fn drain(mut self, deadline: Duration) -> Result<(), Error> {
        self.cancel.cancel();
        let until = Instant::now() + deadline;
        while !self.running.is_empty() {
            match self.exits.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(exit) => self.ended(exit),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        match self.failure {
            Some(failure) => Err(failure),
            None if self.running.is_empty() => Ok(()),
            None => Err(Error::Drain { names: self.running.join(", "), deadline }),
        }
    }

    fn ended(&mut self, exit: Exit) {
        if let Some(index) = self.running.iter().position(|name| *name == exit.name) {
            self.running.swap_remove(index);
        }
        if let Some(reason) = exit.failure {
            tracing::error!(unit = exit.name, reason, "stopped");
            self.failure.get_or_insert(Error::Stopped { name: exit.name, reason });
            self.cancel.cancel();
        }
    }
}

/// What follows the end of one run.
enum Next {
    End(Option<String>),
    After(Duration),
}

struct Restarts {
    name: &'static str,
    policy: Policy,
    started: Instant,
    pause: Duration,
}

impl Restarts {
    fn new(name: &'static str, policy: Policy) -> Self {
        Self { name, policy, started: Instant::now(), pause: Duration::ZERO }
    }

    fn next(&mut self, failure: Option<String>, cancel: &CancellationToken) -> Next {
        match self.policy {
            // Asked to stop: an end is an end, but a failure on the way out is still told.
            _ if cancel.is_cancelled() => Next::End(failure),
            Policy::Critical => Next::End(Some(failure.unwrap_or_else(|| "ended unasked".into()))),
            Policy::Restart(backoff) => {
                let healthy = self.started.elapsed() >= HEALTHY;
                self.pause =
                    if healthy || self.pause.is_zero() { backoff.first } else { self.pause * 2 };
                self.pause = self.pause.min(backoff.most);
                self.started = Instant::now() + self.pause;
                let reason = failure.unwrap_or_else(|| "ended unasked".into());
                tracing::warn!(unit = self.name, reason, pause = ?self.pause, "restarts");
                Next::After(self.pause)
            }
        }
    }
}

fn panicked(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("no message"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const QUICK: Policy = Policy::Restart(Backoff {
        first: Duration::from_millis(1),
        most: Duration::from_millis(4),
    });
    const SOON: Duration = Duration::from_secs(10);

    fn supervisor() -> (tokio::runtime::Runtime, Supervisor) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let supervisor = Supervisor::new(runtime.handle().clone(), CancellationToken::new());
        (runtime, supervisor)
    }

    #[test]
    fn what_may_restart_does_so_until_cancelled() {
        let (runtime, mut supervisor) = supervisor();
        let runs = Arc::new(AtomicUsize::new(0));
        let (fifth, reached) = channel();
        let count = runs.clone();
        supervisor
            .thread("flaky", QUICK, move |cancel| match count.fetch_add(1, Ordering::Relaxed) {
                0 => panic!("at first"),
                4 => {
                    let _ = fifth.send(());
                    while !cancel.is_cancelled() {
                        thread::yield_now();
                    }
                    Ok(())
                }
                _ => Err("again"),
            })
            .unwrap();
        reached.recv_timeout(SOON).unwrap();
        supervisor.drain(SOON).unwrap();
        assert_eq!(runs.load(Ordering::Relaxed), 5);
        drop(runtime);
    }

    #[test]
    fn the_end_of_a_critical_unit_stops_the_others() {
        let (_runtime, mut supervisor) = supervisor();
        supervisor.task("waits", Policy::Critical, |cancel| async move {
            cancel.cancelled().await;
            Ok::<_, Error>(())
        });
        supervisor.task("ends", Policy::Critical, |_| async { Ok::<_, Error>(()) });
        supervisor.wait();
        let error = supervisor.drain(SOON).unwrap_err();
        assert_eq!(error.to_string(), "ends stopped: ended unasked");
    }

    #[test]
    fn what_units_hold_is_free_once_they_are_drained() {
        let held = Arc::new(());
        for _ in 0..200 {
            let (_runtime, mut supervisor) = supervisor();
            let [of_task, of_thread] = [held.clone(), held.clone()];
            supervisor.task("task", QUICK, move |cancel| {
                let _held = &of_task;
                async move {
                    cancel.cancelled().await;
                    Ok::<_, Error>(())
                }
            });
            supervisor
                .thread("thread", QUICK, move |cancel| {
                    let _held = &of_thread;
                    while !cancel.is_cancelled() {
                        thread::yield_now();
                    }
                    Ok::<_, Error>(())
                })
                .unwrap();
            supervisor.drain(SOON).unwrap();
            assert_eq!(Arc::strong_count(&held), 1);
        }
    }

    #[test]
    fn a_panic_is_named() {
        let (_runtime, mut supervisor) = supervisor();
        supervisor.thread::<Error>("bad", Policy::Critical, |_| panic!("of {}", 7)).unwrap();
        supervisor.wait();
        assert_eq!(supervisor.drain(SOON).unwrap_err().to_string(), "bad stopped: panicked: of 7");
    }

    #[test]
    fn a_drain_ends_at_its_deadline_and_names_what_hangs() {
        let (_runtime, mut supervisor) = supervisor();
        let (release, held) = channel::<()>();
        supervisor
            .thread::<Error>("hangs", Policy::Critical, move |_| {
                let _ = held.recv();
                Ok(())
            })
            .unwrap();
        let error = supervisor.drain(Duration::from_millis(20)).unwrap_err();
        assert_eq!(error.to_string(), "hangs did not stop within 20ms");
        drop(release);
    }

    #[test]
    fn pauses_double_up_to_the_limit() {
        let mut restarts = Restarts::new("x", QUICK);
        let cancel = CancellationToken::new();
        let pauses = [(); 4].map(|()| match restarts.next(Some("x".into()), &cancel) {
            Next::After(pause) => pause.as_millis(),
            Next::End(_) => 0,
        });
        assert_eq!(pauses, [1, 2, 4, 4]);
        cancel.cancel();
        assert!(matches!(restarts.next(None, &cancel), Next::End(None)));
    }
}
