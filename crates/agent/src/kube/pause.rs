//! Pauses between attempts: none of a thousand agents at the same time as the others.

use std::time::Duration;

use super::error::Remedy;

const FIRST: Duration = Duration::from_millis(200);
/// A try costs a server that is not there nothing.
const MOST_SOON: Duration = Duration::from_millis(500);
const MOST_LATER: Duration = Duration::from_secs(15);

#[derive(Debug, Default)]
pub struct Pause(Duration);

impl Pause {
    /// Between the half and the whole of a length that doubles.
    pub fn next(&mut self, remedy: Remedy) -> Duration {
        let most = match remedy {
            Remedy::Soon => MOST_SOON,
            Remedy::Later => MOST_LATER,
        };
        self.0 = (self.0 * 2).clamp(FIRST, most);
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

    fn check(pause: &mut Pause, remedy: Remedy, millis: &[u64]) {
        for expected in millis {
            let expected = Duration::from_millis(*expected);
            let found = pause.next(remedy);
            assert!(found >= expected / 2 && found <= expected, "{found:?} {expected:?}");
        }
    }

    #[test]
    fn grows_within_bounds() {
        let mut pause = Pause::default();
        check(
            &mut pause,
            Remedy::Later,
            &[200, 400, 800, 1600, 3200, 6400, 12_800, 15_000, 15_000],
        );
        // What it was like before says nothing about a server that is out of reach.
        check(&mut pause, Remedy::Soon, &[500, 500]);
        check(&mut pause, Remedy::Later, &[1000, 2000]);
        pause.reset();
        check(&mut pause, Remedy::Soon, &[200, 400, 500, 500]);
    }
}
