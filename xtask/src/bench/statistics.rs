//! What several measurements of the same thing say together.

use serde::Serialize;

/// Median and spread. Empty without samples; then every figure is NaN.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    pub median: f64,
    pub min: f64,
    pub max: f64,
    /// In the order in which they were measured.
    pub samples: Vec<f64>,
}

impl Summary {
    pub fn of(samples: impl IntoIterator<Item = f64>) -> Self {
        let samples: Vec<f64> = samples.into_iter().collect();
        let mut sorted = samples.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
        let half = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            1 => at(half),
            _ => (at(half.wrapping_sub(1)) + at(half)) / 2.0,
        };
        Self { median, min: at(0), max: at(sorted.len().wrapping_sub(1)), samples }
    }

    /// One measurement, without a spread.
    pub fn one(value: f64) -> Self {
        Self::of([value])
    }
}

/// The same measured without the subject and with it, right after each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair<T> {
    pub off: T,
    pub on: T,
}

/// `on / off` of each pair: what is common to both, as a slow machine, cancels out.
pub fn ratios<T>(pairs: &[Pair<T>], value: impl Fn(&T) -> f64) -> Summary {
    Summary::of(pairs.iter().map(|pair| value(&pair.on) / value(&pair.off)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(samples: &[f64], median: f64, min: f64, max: f64) {
        let summary = Summary::of(samples.iter().copied());
        assert_eq!((summary.median, summary.min, summary.max), (median, min, max));
        assert_eq!(summary.samples, samples);
    }

    #[test]
    fn a_median_is_in_the_middle() {
        check(&[3.0], 3.0, 3.0, 3.0);
        check(&[9.0, 1.0, 2.0], 2.0, 1.0, 9.0);
        check(&[9.0, 1.0, 2.0, 4.0], 3.0, 1.0, 9.0);
        check(&[-1.0, 0.0], -0.5, -1.0, 0.0);
    }

    #[test]
    fn nothing_measured_is_no_number() {
        let nothing = Summary::of([]);
        assert!(nothing.median.is_nan() && nothing.min.is_nan() && nothing.max.is_nan());
    }

    #[test]
    fn ratios_are_of_neighbours() {
        // The machine became ten times slower in the second round; the ratio did not.
        let pairs = [Pair { off: 100.0, on: 90.0 }, Pair { off: 10.0, on: 9.0 }];
        assert_eq!(ratios(&pairs, |value| *value).samples, [0.9, 0.9]);
    }
}
