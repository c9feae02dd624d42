//! Pauses between attempts: none of a thousand agents at the same time as the others.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(200);
const MOST: Duration = Duration::from_secs(15);

#[derive(Debug, Default)]
pub struct Pause(Duration);

impl Pause {
    /// Between the half and the whole of a length that doubles.
    pub fn next(&mut self) -> Duration {
        self.0 = (self.0 * 2).clamp(FIRST, MOST);
        jitter(self.0)
    }

    pub fn reset(&mut self) {
        self.0 = Duration::ZERO;
    }
}

/// Between the half and the whole of `length`.
pub fn jitter(length: Duration) -> Duration {
    length.mul_f64(fastrand::f64().mul_add(0.5, 0.5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_within_bounds() {
        let mut pause = Pause::default();
        for expected in [200, 400, 800, 1600, 3200, 6400, 12_800, 15_000, 15_000] {
            let expected = Duration::from_millis(expected);
            let found = pause.next();
            assert!(found >= expected / 2 && found <= expected, "{found:?} {expected:?}");
        }
        pause.reset();
        assert!(pause.next() <= FIRST);
    }
}
