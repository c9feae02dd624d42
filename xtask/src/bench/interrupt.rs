//! The user's wish to stop. Every wait heeds it, so that what was made is removed on the way out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// How soon a wait notices an interruption, and how often something is asked that cannot be waited for.
const PAUSE: Duration = Duration::from_millis(20);

pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From now on SIGINT, SIGTERM and SIGHUP interrupt.
    pub fn watch() -> Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, flag.clone()).context("watch for signals")?;
        }
        Ok(Self(flag))
    }

    /// # Errors
    /// After an interruption.
    pub fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        Ok(())
    }

    /// Lets time pass during which something is measured.
    pub fn pass(&self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        loop {
            self.check()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(PAUSE));
        }
    }

    /// The next message; `None` when there will be no other.
    ///
    /// # Errors
    /// Interrupted, or nothing came within `limit`.
    pub fn receive<T>(&self, messages: &Receiver<T>, limit: Duration) -> Result<Option<T>> {
        let end = Instant::now() + limit;
        loop {
            self.check()?;
            match messages.recv_timeout(PAUSE) {
                Ok(message) => return Ok(Some(message)),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) if Instant::now() >= end => {
                    bail!("no answer within {} s", limit.as_secs());
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Asks again and again until there is an answer; `None` when there is none within `limit`.
    pub fn poll<T>(
        &self,
        limit: Duration,
        mut ask: impl FnMut() -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let end = Instant::now() + limit;
        loop {
            self.check()?;
            if let Some(answer) = ask()? {
                return Ok(Some(answer));
            }
            if Instant::now() >= end {
                return Ok(None);
            }
            thread::sleep(PAUSE);
        }
    }
}
