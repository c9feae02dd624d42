//! Time in which this process could run. On a machine that is busy with others, or that stands still, a deadline in the
//! time of the wall would judge the machine.

use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A thread asks to be woken so often. It does nothing else: what it is late by, others wait for, too.
const TICK: Duration = Duration::from_millis(5);
/// What passes between two ticks beyond this does not count.
const MOST: Duration = Duration::from_millis(10);

static CLOCK: LazyLock<Mutex<Clock>> = LazyLock::new(|| {
    thread::spawn(|| {
        loop {
            thread::sleep(TICK);
            lock(&CLOCK).tick();
        }
    });
    Mutex::new(Clock { ran: Duration::ZERO, last: Instant::now() })
});

struct Clock {
    ran: Duration,
    /// The last tick.
    last: Instant,
}

impl Clock {
    fn now(&self) -> Duration {
        self.ran + self.last.elapsed().min(MOST)
    }

    fn tick(&mut self) {
        (self.ran, self.last) = (self.now(), Instant::now());
    }
}

fn lock(clock: &Mutex<Clock>) -> std::sync::MutexGuard<'_, Clock> {
    clock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A moment in both times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    ran: Duration,
    wall: Instant,
}

/// What passed between two moments; nothing if the second one is the earlier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Passed {
    pub ran: Duration,
    pub wall: Duration,
}

pub fn now() -> Moment {
    Moment { ran: lock(&CLOCK).now(), wall: Instant::now() }
}

impl Moment {
    pub fn since(self, earlier: Self) -> Passed {
        Passed {
            ran: self.ran.saturating_sub(earlier.ran),
            wall: self.wall.saturating_duration_since(earlier.wall),
        }
    }
}
