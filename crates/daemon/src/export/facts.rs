//! What became of what was sent.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use model::status::ExportStatus;

use super::config::Target;
use crate::metrics::{Families, labels};

/// What became of samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The receiver has them.
    Sent,
    /// The receiver took their request and left them out (OTLP's partial success).
    Rejected,
    /// The receiver did not take their request, and would not when asked again.
    Refused,
    /// They had to make room for newer ones.
    Evicted,
}

impl Fate {
    const ALL: [Self; 4] = [Self::Sent, Self::Rejected, Self::Refused, Self::Evicted];

    fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Rejected => "rejected",
            Self::Refused => "refused",
            Self::Evicted => "evicted",
        }
    }
}

/// What became of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Accepted,
    Refused,
    /// Nobody answered, or was asked to come again.
    Failed,
}

impl Outcome {
    const ALL: [Self; 3] = [Self::Accepted, Self::Refused, Self::Failed];

    fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

#[derive(Debug, Default)]
pub struct Ledger {
    samples: [AtomicU64; Fate::ALL.len()],
    requests: [AtomicU64; Outcome::ALL.len()],
    queue_bytes: AtomicU64,
    most_bytes: u64,
    /// Why the last request failed; empty: it did not.
    error: Mutex<String>,
}

/// Those of one way at one moment.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub exporter: &'static str,
    pub to: String,
    /// By [`Fate`].
    samples: [u64; Fate::ALL.len()],
    /// By [`Outcome`].
    requests: [u64; Outcome::ALL.len()],
    pub queue_bytes: u64,
    pub most_bytes: u64,
    pub error: String,
}

impl Ledger {
    pub fn new(most_bytes: usize) -> Self {
        Self { most_bytes: most_bytes as u64, ..Self::default() }
    }

    pub fn samples(&self, fate: Fate, count: u64) {
        self.samples[fate as usize].fetch_add(count, Ordering::Relaxed);
    }

    /// `error`: why it was not accepted, or not all of it; empty: it was. Whether that is another one than before.
    pub fn request(&self, outcome: Outcome, error: &str) -> bool {
        self.requests[outcome as usize].fetch_add(1, Ordering::Relaxed);
        let mut last = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        let news = *last != error;
        error.clone_into(&mut last);
        news
    }

    pub fn waits(&self, bytes: usize) {
        self.queue_bytes.store(bytes as u64, Ordering::Relaxed);
    }

    pub fn facts(&self, target: &Target) -> Facts {
        let get = |it: &AtomicU64| it.load(Ordering::Relaxed);
        Facts {
            exporter: target.protocol.name(),
            to: target.shown.clone(),
            samples: self.samples.each_ref().map(get),
            requests: self.requests.each_ref().map(get),
            queue_bytes: get(&self.queue_bytes),
            most_bytes: self.most_bytes,
            error: self.error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

impl Facts {
    pub fn of(&self, fate: Fate) -> u64 {
        self.samples[fate as usize]
    }

    fn is_up(&self) -> bool {
        self.error.is_empty() && self.requests[Outcome::Accepted as usize] > 0
    }

    pub fn status(&self) -> ExportStatus {
        let lost = Fate::ALL.into_iter().filter(|it| *it != Fate::Sent).map(|it| self.of(it)).sum();
        ExportStatus {
            exporter: self.exporter.to_owned(),
            to: self.to.clone(),
            up: self.is_up(),
            sent: self.of(Fate::Sent),
            lost,
            queue_bytes: self.queue_bytes,
            queue_max_bytes: self.most_bytes,
            error: self.error.clone(),
        }
    }

    /// # Errors
    /// Where it is written takes no more.
    pub fn write(all: &[Self], out: &mut Families<'_>) -> fmt::Result {
        let named = |it: &Self| labels([("exporter", it.exporter)]);
        out.counter(
            "amphipod_export_samples_total",
            "Samples of metrics to be sent elsewhere: sent, rejected (left out by the receiver), refused (their whole request) or \
             evicted (they made room for newer ones).",
            all.iter().flat_map(|it| {
                Fate::ALL.map(|fate| {
                    (labels([("exporter", it.exporter), ("fate", fate.name())]), it.of(fate))
                })
            }),
        )?;
        out.counter(
            "amphipod_export_requests_total",
            "Requests with metrics: accepted, refused, or failed (tried again).",
            all.iter().flat_map(|it| {
                Outcome::ALL.map(|outcome| {
                    let labels = labels([("exporter", it.exporter), ("outcome", outcome.name())]);
                    (labels, it.requests[outcome as usize])
                })
            }),
        )?;
        out.gauge(
            "amphipod_export_up",
            "1 if the receiver of metrics took all of the last request.",
            all.iter().map(|it| (named(it), u64::from(it.is_up()))),
        )?;
        out.gauge(
            "amphipod_export_queue_bytes",
            "Metrics that could not be sent yet, compressed.",
            all.iter().map(|it| (named(it), it.queue_bytes)),
        )?;
        out.gauge(
            "amphipod_export_queue_max_bytes",
            "The most that may wait (otlp.queue, remote_write.queue).",
            all.iter().map(|it| (named(it), it.most_bytes)),
        )
    }
}
