//! Time for waiting: it never runs backwards, whatever the wall clock does.

use std::time::Duration;

use model::Timestamp;

/// Nanoseconds that the wall clock advanced since the directory began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.as_nanos().min(u128::from(u64::MAX)) as u64))
    }

    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

#[derive(Debug, Default)]
pub struct Clock {
    last: Timestamp,
    moment: Moment,
}

impl Clock {
    /// A step back counts as no time; the first call is moment 0.
    pub fn advance(&mut self, now: Timestamp) -> Moment {
        if self.last != Timestamp::default() {
            self.moment = self.moment.after(now.since(self.last));
        }
        self.last = now;
        self.moment
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_back_stops_nothing() {
        let mut clock = Clock::default();
        let start = clock.advance(Timestamp(1_000_000));
        assert_eq!(clock.advance(Timestamp(1_000_500)).since(start), Duration::from_nanos(500));
        assert_eq!(clock.advance(Timestamp(7)).since(start), Duration::from_nanos(500));
        assert_eq!(clock.advance(Timestamp(107)).since(start), Duration::from_nanos(600));
    }
}
