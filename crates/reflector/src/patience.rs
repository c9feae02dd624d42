//! When to try again.

use std::time::Duration;

use crate::error::Remedy;
use crate::options::Patience;

/// What went well for so long is not what failed: the pause starts small again.
const HEALTHY: Duration = Duration::from_secs(5);

/// No API server keeps anybody away for longer.
const RETRY_AFTER: Duration = Duration::from_secs(120);

#[derive(Debug)]
pub struct Tries {
    patience: Patience,
    /// The last one; zero: it goes well.
    length: Duration,
}

impl Tries {
    pub fn new(patience: Patience) -> Self {
        Self { patience, length: Duration::ZERO }
    }

    pub fn went_well_for(&mut self, length: Duration) {
        if length >= HEALTHY {
            self.length = Duration::ZERO;
        }
    }

    pub fn pause(&mut self, remedy: Remedy, asked: Option<Duration>) -> Duration {
        let most = match remedy {
            Remedy::Soon => self.patience.unreachable,
            Remedy::Later => self.patience.busy,
            Remedy::Somebody => self.patience.refused,
        };
        let whole = if remedy == Remedy::Somebody { most } else { self.doubled(most) };
        let pause = whole.mul_f64(0.5 + fastrand::f64() / 2.0);
        pause.max(asked.unwrap_or_default().min(RETRY_AFTER))
    }

    fn doubled(&mut self, most: Duration) -> Duration {
        self.length = self.length.saturating_mul(2).max(self.patience.first).min(most);
        self.length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        first: Duration::from_millis(100),
        unreachable: Duration::from_secs(1),
        busy: Duration::from_secs(8),
        refused: Duration::from_secs(30),
    };

    fn check(remedy: Remedy, millis: &[u64]) {
        let mut tries = Tries::new(PATIENCE);
        for whole in millis {
            let pause = tries.pause(remedy, None).as_millis() as u64;
            assert!((whole / 2..=*whole).contains(&pause), "{remedy:?}: {pause} of {whole} ms");
        }
    }

    #[test]
    fn pauses_double_up_to_their_end() {
        check(Remedy::Soon, &[100, 200, 400, 800, 1000, 1000]);
        check(Remedy::Later, &[100, 200, 400, 800, 1600, 3200, 6400, 8000, 8000]);
        check(Remedy::Somebody, &[30_000, 30_000]);
        // A server that was out of reach for long is not therefore busy.
        let mut back = Tries::new(PATIENCE);
        for _ in 0..100 {
            back.pause(Remedy::Soon, None);
        }
        assert!(back.pause(Remedy::Later, None) <= PATIENCE.unreachable * 2);
        let mut tries = Tries::new(PATIENCE);
        for _ in 0..100 {
            tries.pause(Remedy::Later, None);
        }
        assert!(tries.pause(Remedy::Later, None) <= PATIENCE.busy);
        tries.went_well_for(HEALTHY);
        assert!(tries.pause(Remedy::Later, None) <= PATIENCE.first);
    }

    #[test]
    fn the_api_server_may_ask_for_more_within_reason() {
        let mut tries = Tries::new(PATIENCE);
        let seconds = Duration::from_secs;
        assert_eq!(tries.pause(Remedy::Later, Some(seconds(7))), seconds(7));
        assert_eq!(tries.pause(Remedy::Later, Some(seconds(86_400))), RETRY_AFTER);
    }
}
