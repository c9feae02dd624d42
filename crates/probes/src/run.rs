//! Starting, watching and ending the probes.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::thread::JoinHandle;
use std::time::Duration;

use libbpf_rs::PrintLevel;
use model::status::ProgramState;

use crate::context::{Context, Shared, Stop};
use crate::feature::Features;
use crate::health::Health;
use crate::probe::{PROBES, Probe};
use crate::run_time::RunTime;
use crate::{Batch, Error, Report, Settings, requirement};

/// Loading is the verifier's work: seconds at most, also under emulation.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// The probes at work. Dropping it detaches them all and waits for their threads.
pub struct Running {
    stop: Arc<Stop>,
    health: Vec<Arc<Health>>,
    threads: Vec<JoinHandle<()>>,
    _run_time: Option<RunTime>,
}

impl Running {
    /// What each program and map is doing now, and what was lost so far. Costs some system calls per map.
    pub fn report(&self) -> Report {
        let mut report = Report::default();
        for health in &self.health {
            health.report(&mut report);
        }
        report
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.set();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a probe's thread panicked");
            }
        }
    }
}

/// Loads and attaches every probe that `settings` enables. A probe that this kernel cannot carry does not fail
/// the call: its verdict is in [`Running::report`].
///
/// # Errors
/// What [`crate::check`] finds missing, or no thread for a probe.
pub fn start(settings: &Settings, out: SyncSender<Batch>) -> Result<Running, Error> {
    requirement::check()?;
    libbpf_rs::set_print(Some((PrintLevel::Warn, log)));
    let features = Features::detect();
    tracing::debug!(?features, "kernel features");
    let settings = Arc::new(settings.clone());
    let shared = Arc::new(Shared::default());
    let mut running = Running {
        stop: Arc::default(),
        health: Vec::new(),
        threads: Vec::new(),
        _run_time: settings.run_time.then(RunTime::measure).flatten(),
    };
    for probe in PROBES {
        let health = Arc::new(Health::new(probe.name, probe.programs));
        running.health.push(health.clone());
        if !(probe.enabled)(&settings) {
            health.all(ProgramState::Disabled, "switched off by the configuration");
            continue;
        }
        let (started, result) = mpsc::channel();
        let context = Context {
            probe: probe.name,
            settings: settings.clone(),
            features,
            health: health.clone(),
            patience: probe.patience,
            out: out.clone(),
            stop: running.stop.clone(),
            shared: shared.clone(),
            started,
        };
        running.threads.push(spawn(probe, context)?);
        let failure = match result.recv_timeout(START_DEADLINE) {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => error.to_string(),
            Err(RecvTimeoutError::Timeout) => {
                format!("not ready after {} s", START_DEADLINE.as_secs())
            }
            Err(RecvTimeoutError::Disconnected) => {
                "its thread ended before it was ready".to_owned()
            }
        };
        tracing::error!(probe = probe.name, failure, "probe failed");
        health.all(ProgramState::Failed, &failure);
    }
    Ok(running)
}

fn spawn(probe: &'static Probe, context: Context) -> Result<JoinHandle<()>, Error> {
    let thread = std::thread::Builder::new().name(format!("probe-{}", probe.name));
    let body = move || {
        if let Err(error) = (probe.run)(&context) {
            // Heard while the start waits; later it is the verdict that tells.
            context.health.all(ProgramState::Failed, &error.to_string());
            context.started.send(Err(error)).ok();
        }
    };
    thread.spawn(body).map_err(|source| Error::Thread { probe: probe.name, source })
}

fn log(_level: PrintLevel, message: String) {
    tracing::debug!(target: "libbpf", "{}", message.trim_end());
}
