//! The two ends of an edge: what one of them saw tells what to expect of the other.

use model::Measure;

/// The row that is written or read, and the one of its other end before it.
#[derive(Clone, Debug, Default)]
pub struct Neighbours {
    now: Seen,
    before: Seen,
}

/// By code.
#[derive(Clone, Debug, Default)]
struct Seen {
    present: u64,
    /// The sum, or how many values a distribution has.
    values: [u64; Measure::ALL.len()],
    /// A distribution's first bucket.
    firsts: [u8; Measure::ALL.len()],
}

/// What a measure goes with: packets with their bytes, and durations with what took so long.
pub fn guide(measure: Measure) -> Option<Measure> {
    match measure {
        Measure::PACKETS_SENT => Some(Measure::BYTES_SENT),
        Measure::PACKETS_RECEIVED => Some(Measure::BYTES_RECEIVED),
        Measure::CONNECT | Measure::RTT => Some(Measure::CONNECTIONS),
        Measure::LOOKUP => Some(Measure::LOOKUPS),
        _ => None,
    }
}

impl Neighbours {
    /// The next row: `beside` the one that has been, or alone.
    #[inline]
    pub fn step(&mut self, beside: bool) {
        std::mem::swap(&mut self.now, &mut self.before);
        if !beside {
            self.before.present = 0;
        }
        self.now.present = 0;
    }

    #[inline]
    pub fn see(&mut self, measure: Measure, value: u64) {
        let code = measure.code() as usize;
        self.now.present |= 1 << code;
        self.now.values[code] = value;
    }

    #[inline]
    pub fn see_first(&mut self, measure: Measure, first: u8) {
        self.now.firsts[measure.code() as usize] = first;
    }

    /// What the other end's row leads to expect; `None`: it has nothing of it.
    #[inline]
    pub fn expected(&self, measure: Measure) -> Option<u64> {
        let before = self.before.get(measure)?;
        if measure.is_distribution() {
            return Some(before);
        }
        let part = guide(measure).and_then(|it| Some((self.now.get(it)?, self.before.get(it)?)));
        Some(match part {
            Some((now, then)) if then > 0 => {
                let expected = u128::from(before) * u128::from(now) / u128::from(then);
                u64::try_from(expected).unwrap_or(u64::MAX)
            }
            _ => before,
        })
    }

    /// How many values to expect of a distribution alone.
    #[inline]
    pub fn guess(&self, measure: Measure) -> u64 {
        guide(measure).and_then(|it| self.now.get(it)).unwrap_or(0)
    }

    /// The other end's first bucket.
    #[inline]
    pub fn first(&self, measure: Measure) -> u8 {
        self.before.firsts[measure.code() as usize]
    }
}

impl Seen {
    #[inline]
    fn get(&self, measure: Measure) -> Option<u64> {
        let code = measure.code() as usize;
        (self.present & 1 << code != 0).then(|| self.values[code])
    }
}

/// The difference, small where the numbers are near, whichever is greater.
#[inline]
pub fn difference(value: u64, expected: u64) -> u64 {
    let difference = value.wrapping_sub(expected) as i64;
    (difference << 1 ^ difference >> 63) as u64
}

/// The value again.
#[inline]
pub fn apply(expected: u64, difference: u64) -> u64 {
    expected.wrapping_add(difference >> 1 ^ (difference & 1).wrapping_neg())
}
