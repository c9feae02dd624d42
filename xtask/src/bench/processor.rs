//! Time that processors were busy, as the kernel counts it.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// What the processes in a cgroup, and below it, have used so far.
pub fn used_by(cgroup: &Path) -> Result<Duration> {
    let path = cgroup.join("cpu.stat");
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let used = parse_usage(&text)
        .with_context(|| format!("{}: no usage_usec in its first column", path.display()))?;
    Ok(Duration::from_micros(used))
}

fn parse_usage(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("usage_usec "))?.trim().parse().ok()
}

/// Of the whole machine: all processors together.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    at: Instant,
    busy: Duration,
}

impl Machine {
    pub fn now() -> Result<Self> {
        let text = fs::read_to_string("/proc/stat").context("read /proc/stat")?;
        let ticks = parse_busy(&text).context("/proc/stat: no line `cpu`")?;
        let per_second = rustix::param::clock_ticks_per_second().max(1);
        let busy = Duration::from_secs_f64(ticks as f64 / per_second as f64);
        Ok(Self { at: Instant::now(), busy })
    }

    /// Processor time, and time on the clock, from `earlier` to now.
    pub fn since(&self, earlier: &Self) -> (Duration, Duration) {
        (self.busy.saturating_sub(earlier.busy), self.at.duration_since(earlier.at))
    }
}

/// user, nice, system, irq and softirq; not idle, not iowait, not what a hypervisor took, and guests are in user.
fn parse_busy(stat: &str) -> Option<u64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let fields: Vec<u64> = line.split_whitespace().map_while(|field| field.parse().ok()).collect();
    Some([0, 1, 2, 5, 6].iter().filter_map(|index| fields.get(*index)).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found() {
        assert_eq!(parse_usage("usage_usec 1234\nuser_usec 1000\n"), Some(1234));
        assert_eq!(parse_usage("user_usec 1000\n"), None);
        let stat = "cpu  1 20 300 4000 50000 600000 7000000 8 9 10\ncpu0 5 5 5 5\n";
        assert_eq!(parse_busy(stat), Some(7_600_321));
        assert_eq!(parse_busy("intr 5\n"), None);
    }
}
