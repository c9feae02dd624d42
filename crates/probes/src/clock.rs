//! The kernel stamps with its monotonic clock; records bear wall-clock time.

use model::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// The wall clock as an offset to the monotonic one. Taken anew for every batch, so that a step of the wall clock
/// moves only what is stamped after it, and never a duration.
#[derive(Clone, Copy)]
pub struct Clock {
    offset_ns: i64,
}

impl Clock {
    pub fn now() -> Self {
        Self { offset_ns: read(ClockId::Realtime) - read(ClockId::Monotonic) }
    }

    pub fn wall(self, monotonic_ns: u64) -> Timestamp {
        Timestamp(monotonic_ns.saturating_add_signed(self.offset_ns))
    }

    /// The kernel's time of now, in nanoseconds.
    pub fn monotonic_now(self) -> u64 {
        read(ClockId::Monotonic) as u64
    }
}

fn read(id: ClockId) -> i64 {
    let time = clock_gettime(id);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_monotonic_stamp_becomes_wall_time() {
        let wall = Clock::now().wall(read(ClockId::Monotonic) as u64);
        assert!(
            Timestamp::now().since(wall).as_secs() < 5
                && wall.since(Timestamp::now()).as_secs() < 5
        );
    }

    #[test]
    fn a_clock_step_moves_the_stamp_and_nothing_else() {
        let before = Clock { offset_ns: 1_000 };
        let after = Clock { offset_ns: -500 };
        assert_eq!(before.wall(10_000).0, 11_000);
        assert_eq!(after.wall(10_000).0, 9_500);
    }
}
