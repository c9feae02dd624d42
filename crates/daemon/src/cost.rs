//! What this process costs, from `/proc/self`.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use model::status::Cost;
use tokio_util::sync::CancellationToken;

/// Rates are over this time.
const WINDOW: Duration = Duration::from_secs(2);

/// Watches CPU and the number of records, so that every reader of the status sees the same rates.
pub struct Meter {
    started: Instant,
    state: Mutex<State>,
}

struct State {
    at: Instant,
    cpu: Duration,
    records: u64,
    cpu_percent: f64,
    records_per_second: f64,
}

impl Meter {
    pub fn new() -> Self {
        let state = State {
            at: Instant::now(),
            cpu: cpu_time(),
            records: 0,
            cpu_percent: 0.0,
            records_per_second: 0.0,
        };
        Self { started: state.at, state: Mutex::new(state) }
    }

    /// Measures until cancelled. `records` reads the number of records so far.
    pub async fn run(&self, records: impl Fn() -> u64, cancel: CancellationToken) {
        let mut every = tokio::time::interval(WINDOW);
        every.tick().await;
        while cancel.run_until_cancelled(every.tick()).await.is_some() {
            self.sample(records());
        }
    }

    fn sample(&self, records: u64) {
        let (now, cpu) = (Instant::now(), cpu_time());
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = now.duration_since(state.at).as_secs_f64();
        if seconds > 0.0 {
            let used = cpu.saturating_sub(state.cpu).as_secs_f64();
            let seen = records.saturating_sub(state.records);
            *state = State {
                at: now,
                cpu,
                records,
                cpu_percent: 100.0 * used / seconds,
                records_per_second: seen as f64 / seconds,
            };
        }
    }

    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    pub fn records_per_second(&self) -> f64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).records_per_second
    }

    /// Without the maps, which [`probes`] knows.
    pub fn cost(&self) -> Cost {
        let cpu_percent = self.state.lock().unwrap_or_else(PoisonError::into_inner).cpu_percent;
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        Cost {
            cpu_percent,
            cpu_seconds: cpu_time().as_secs_f64(),
            rss_bytes: kib(&status, "VmRSS:") * 1024,
            peak_rss_bytes: kib(&status, "VmHWM:") * 1024,
            map_memory_bytes: 0,
        }
    }
}

impl Default for Meter {
    fn default() -> Self {
        Self::new()
    }
}

/// User and system time of this process so far.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// The value of a line such as `VmRSS:     1234 kB`.
fn kib(status: &str, name: &str) -> u64 {
    let value = status.lines().find_map(|line| line.strip_prefix(name));
    value.and_then(|value| value.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_over_the_last_window() {
        let meter = Meter::new();
        meter.sample(0);
        let before = Instant::now();
        while cpu_time() == Duration::ZERO || before.elapsed() < Duration::from_millis(20) {
            std::hint::spin_loop();
        }
        meter.sample(1_000_000);
        assert!(meter.records_per_second() > 1000.0);
        let cost = meter.cost();
        assert!(cost.cpu_percent > 0.0 && cost.cpu_seconds > 0.0, "{cost:?}");
        assert!(cost.rss_bytes > 0 && cost.peak_rss_bytes >= cost.rss_bytes / 2, "{cost:?}");
        assert_eq!(kib("Name:\tx\nVmRSS:\t   12 kB\n", "VmRSS:"), 12);
    }
}
