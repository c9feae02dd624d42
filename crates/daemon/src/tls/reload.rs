//! What was made from files, made again when they change.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use super::Error;
use super::files::Stamp;
use crate::metrics::Families;

/// Between two looks at the files.
const INTERVAL: Duration = Duration::from_secs(2);

/// What has become of the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Times that changed files were taken in.
    pub reloads: u64,
    /// Times that changed files could not be, and what was read before stayed in use.
    pub failures: u64,
    /// When the certificate in use expires, in seconds since 1970; 0: there is none.
    pub expires: u64,
}

impl Facts {
    /// The families of whoever has certificates; without samples where TLS is not spoken.
    ///
    /// # Errors
    /// Of the encoder.
    pub fn write(facts: Option<&Self>, out: &mut Families<'_>) -> fmt::Result {
        out.gauge(
            "amphipod_certificate_expiry_seconds",
            "When the certificate in use expires, in seconds since 1970; absent if none is shown.",
            facts.filter(|it| it.expires > 0).map(|it| (vec![], it.expires)),
        )?;
        out.counter(
            "amphipod_certificate_reloads_total",
            "Times that certificates were read again because they had changed.",
            facts.map(|it| (vec![], it.reloads)),
        )?;
        out.counter(
            "amphipod_certificate_failures_total",
            "Times that changed certificates could not be used; the former ones stayed in use.",
            facts.map(|it| (vec![], it.failures)),
        )
    }
}

/// A configuration, and when the certificate in it expires, in seconds since 1970; 0: there is none in it.
pub type Made<T> = (Arc<T>, u64);

/// A configuration that follows its files.
pub struct Reload<T> {
    files: Vec<PathBuf>,
    make: Box<dyn Fn() -> Result<Made<T>, Error> + Send + Sync>,
    current: ArcSwap<Made<T>>,
    seen: Mutex<Seen>,
    reloads: AtomicU64,
    failures: AtomicU64,
}

#[derive(Default)]
struct Seen {
    stamps: Vec<Stamp>,
    /// Why what is there now is not in use; empty: it is.
    error: String,
}

impl<T: Send + Sync + 'static> Reload<T> {
    pub(super) fn new(
        files: Vec<PathBuf>,
        make: impl Fn() -> Result<Made<T>, Error> + Send + Sync + 'static,
    ) -> Result<Arc<Self>, Error> {
        // Before they are read: what changes while they are is then seen as a change.
        let stamps = files.iter().map(|path| Stamp::of(path)).collect();
        let current = ArcSwap::from_pointee(make()?);
        Ok(Arc::new(Self {
            files,
            make: Box::new(make),
            current,
            seen: Mutex::new(Seen { stamps, error: String::new() }),
            reloads: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        }))
    }

    /// For the next connection.
    pub fn config(&self) -> Arc<T> {
        self.current.load().0.clone()
    }

    pub fn facts(&self) -> Facts {
        Facts {
            reloads: self.reloads.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            expires: self.current.load().1,
        }
    }

    /// Looks at the files every two seconds.
    pub async fn watch(self: Arc<Self>, cancel: CancellationToken) {
        while tokio::time::timeout(INTERVAL, cancel.cancelled()).await.is_err() {
            let this = self.clone();
            // A mount that hangs must not hold up anything else.
            let _ = tokio::task::spawn_blocking(move || this.look()).await;
        }
    }

    /// Takes in what has changed. Reads files.
    pub fn look(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps: Vec<Stamp> = self.files.iter().map(|path| Stamp::of(path)).collect();
        if stamps == seen.stamps {
            return;
        }
        seen.stamps = stamps;
        match (self.make)() {
            Ok(made) => {
                seen.error.clear();
                self.current.store(Arc::new(made));
                self.reloads.fetch_add(1, Ordering::Relaxed);
                tracing::info!(files = ?self.files, "read certificates again");
            }
            Err(error) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                let error = error.to_string();
                if seen.error != error {
                    tracing::warn!(
                        error,
                        "changed certificates are of no use: the former ones stay in use"
                    );
                }
                seen.error = error;
            }
        }
    }
}
