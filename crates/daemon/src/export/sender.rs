//! The task of one way.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::answer::{Verdict, verdict};
use super::facts::{Fate, Outcome};
use super::parcel::{Parcel, Span, pack};
use super::queue::Queue;
use super::request::request;
use super::{Origin, Way};
use crate::metrics::View;

/// Between two tries of the same: doubles, and is never the same for two of a thousand agents.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// What a stop may take here: the last is sent without a second try.
const LAST: Duration = Duration::from_secs(2);

pub struct Sender<F> {
    way: Way,
    origin: Arc<Origin>,
    collect: Arc<F>,
    /// Since when counters count.
    since: SystemTime,
    queue: Queue,
    pause: Duration,
}

impl<V: View, F: Fn() -> V + Send + Sync + 'static> Sender<F> {
    pub fn new(way: Way, origin: Arc<Origin>, collect: Arc<F>, since: SystemTime) -> Self {
        let queue = Queue::new(way.target.queue_bytes);
        Self { way, origin, collect, since, queue, pause: Duration::ZERO }
    }

    pub async fn run(mut self, cancel: CancellationToken) {
        let every = self.way.target.interval;
        // Agents that started together need not send together.
        let mut ticks = interval_at(Instant::now() + every.mul_f64(fastrand::f64()), every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut next = Instant::now();
        loop {
            tokio::select! {
                () = cancel.cancelled() => break,
                _ = ticks.tick() => self.collect().await,
                () = sleep_until(next), if !self.queue.is_empty() => {
                    let Some(pause) = cancel.run_until_cancelled(self.send()).await else { break };
                    next = Instant::now() + pause;
                }
            }
        }
        self.collect().await;
        let last = async { while !self.queue.is_empty() && self.send().await.is_zero() {} };
        // What is left is not the daemon's any more.
        let _ = timeout(LAST, last).await;
    }

    /// Puts what is measured now into the queue.
    async fn collect(&mut self) {
        let (target, origin) = (self.way.target.clone(), self.origin.clone());
        let (collect, since) = (self.collect.clone(), self.since);
        let packed = tokio::task::spawn_blocking(move || {
            let mut parcels = Vec::new();
            let span = Span { since, now: SystemTime::now() };
            pack(&target, &origin, &collect(), span, &mut |parcel| parcels.push(parcel));
            parcels
        });
        // It panics or is cancelled with the runtime only.
        let parcels: Vec<Parcel> = packed.await.unwrap_or_default();
        for parcel in parcels {
            let lost = self.queue.push(parcel);
            self.way.ledger.samples(Fate::Evicted, lost);
        }
        self.way.ledger.waits(self.queue.bytes());
    }

    /// Sends the oldest parcel once. Returns how long to wait before anything else is sent.
    async fn send(&mut self) -> Duration {
        let Some(parcel) = self.queue.front() else { return Duration::ZERO };
        let samples = parcel.samples;
        let (ledger, target) = (self.way.ledger.clone(), self.way.target.clone());
        let later = |reason| Verdict::Later { reason, after: None };
        let said = match request(&target, parcel).await {
            Ok(request) => match self.way.fetch.send(request).await {
                Ok(answer) => verdict(target.protocol, &answer),
                Err(reason) => later(reason),
            },
            Err(reason) => later(reason),
        };
        let (outcome, reason, after) = match said {
            Verdict::Accepted { rejected, reason } => {
                let rejected = rejected.min(samples);
                ledger.samples(Fate::Sent, samples - rejected);
                ledger.samples(Fate::Rejected, rejected);
                // Without samples left out it is a word of advice.
                let reason = if rejected > 0 {
                    format!("{rejected} left out: {reason}")
                } else {
                    String::new()
                };
                (Outcome::Accepted, reason, None)
            }
            Verdict::Refused { reason } => {
                ledger.samples(Fate::Refused, samples);
                (Outcome::Refused, reason, None)
            }
            Verdict::Later { reason, after } => (Outcome::Failed, reason, after),
        };
        let news = ledger.request(outcome, &reason);
        let exporter = target.protocol.name();
        match reason.as_str() {
            "" if news => tracing::info!(exporter, to = %target.shown, "metrics are taken"),
            "" => {}
            reason if news => {
                tracing::warn!(exporter, to = %target.shown, reason, "metrics are not taken");
            }
            reason => tracing::debug!(exporter, reason, "metrics are not taken"),
        }
        if outcome == Outcome::Failed {
            self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
            let pause = self.pause.mul_f64(fastrand::f64().mul_add(0.5, 0.5));
            return pause.max(after.unwrap_or_default());
        }
        self.pause = Duration::ZERO;
        self.queue.pop();
        ledger.waits(self.queue.bytes());
        Duration::ZERO
    }
}
