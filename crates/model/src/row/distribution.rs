//! Durations in exponential buckets, of which only those that hold something are kept.

/// Two buckets for each doubling: bucket `i` holds `2^(i/2) <= ns < 2^((i+1)/2)`, and 0 ns counts as 1. That is the base
/// of OpenTelemetry's exponential histograms at scale 1 (a value is at most 19 % from its bucket's middle, and a quantile
/// is interpolated within it), and all of `u64` has 128 buckets: an index is a byte.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    /// Of all values, in nanoseconds.
    pub sum_ns: u64,
    pub max_ns: u64,
    /// Index and count, in the order of the indices; no count is 0.
    buckets: Vec<(u8, u64)>,
}

/// Indices are below it.
pub const BUCKETS: usize = 128;
/// 2^(1/2), with 63 bits behind the point.
const HALF: u64 = 0xB504_F333_F9DE_6484;
/// A bucket's width, of its least value.
const WIDTH: f64 = std::f64::consts::SQRT_2 - 1.0;
/// In how many steps a bucket is divided to say where in it the greatest value is: steps of 1.3 %.
const MAX_STEPS: f64 = 31.0;
/// In how many steps what the sum of all values may be is divided, to say what it is: steps of 0.7 %.
const SUM_STEPS: f64 = 63.0;

fn bucket(ns: u64) -> u8 {
    let ns = ns.max(1);
    let zeros = ns.leading_zeros();
    ((63 - zeros) * 2 + u32::from(ns << zeros >= HALF)) as u8
}

/// The least that is in the bucket.
fn lower(bucket: u8) -> f64 {
    let doublings = (1_u64 << (bucket / 2).min(63)) as f64;
    if bucket.is_multiple_of(2) { doublings } else { doublings * std::f64::consts::SQRT_2 }
}

fn width(bucket: u8) -> f64 {
    lower(bucket) * WIDTH
}

/// Which of `steps` is nearest to `part` of all.
fn step(part: f64, steps: f64) -> u8 {
    (part * steps).round().clamp(0.0, steps) as u8
}

impl Distribution {
    pub fn observe(&mut self, ns: u64) {
        self.sum_ns = self.sum_ns.saturating_add(ns);
        self.max_ns = self.max_ns.max(ns);
        self.add(bucket(ns), 1);
    }

    /// From what [`Self::buckets`] gave.
    pub fn from_parts(
        sum_ns: u64,
        max_ns: u64,
        buckets: impl IntoIterator<Item = (u8, u64)>,
    ) -> Self {
        let mut distribution = Self { sum_ns, max_ns, buckets: Vec::new() };
        buckets.into_iter().for_each(|(index, count)| distribution.add(index, count));
        distribution
    }

    pub fn merge(&mut self, other: &Self) {
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
        self.max_ns = self.max_ns.max(other.max_ns);
        other.buckets.iter().for_each(|(index, count)| self.add(*index, *count));
    }

    pub fn add(&mut self, index: u8, count: u64) {
        if count == 0 {
            return;
        }
        // New values are near the ones before.
        let place = self.buckets.partition_point(|(other, _)| *other < index);
        match self.buckets.get_mut(place) {
            Some((other, sum)) if *other == index => *sum = sum.saturating_add(count),
            _ => self.buckets.insert(place, (index, count)),
        }
    }

    /// Where in the last bucket the greatest value is: all of it in one byte.
    pub fn max_step(&self) -> u8 {
        let Some((last, _)) = self.buckets.last() else { return 0 };
        step((self.max_ns as f64 - lower(*last)) / width(*last), MAX_STEPS)
    }

    /// The value of which [`Self::max_step`] told.
    pub fn max_ns_of(last: u8, step: u8) -> u64 {
        (lower(last) + width(last) * f64::from(step) / MAX_STEPS).round() as u64
    }

    /// Where the sum is between what it is if all values were their buckets' least, and their greatest.
    pub fn sum_step(&self) -> u8 {
        let least = self.least_sum_ns();
        if least > 0.0 { step((self.sum_ns as f64 / least - 1.0) / WIDTH, SUM_STEPS) } else { 0 }
    }

    /// The sum of which [`Self::sum_step`] told. `least_ns`: [`Self::least_ns`] of each bucket, times its count.
    pub fn sum_ns_of(least_ns: f64, step: u8) -> u64 {
        (least_ns * (1.0 + WIDTH * f64::from(step) / SUM_STEPS)).round() as u64
    }

    /// The least value of a bucket.
    pub fn least_ns(bucket: u8) -> f64 {
        lower(bucket)
    }

    fn least_sum_ns(&self) -> f64 {
        self.buckets.iter().map(|(index, count)| lower(*index) * *count as f64).sum()
    }

    /// With its sum and its greatest value as steps tell them.
    pub fn told(&self) -> Self {
        let (sum, max) = (self.sum_step(), self.max_step());
        Self {
            sum_ns: Self::sum_ns_of(self.least_sum_ns(), sum),
            max_ns: self.buckets.last().map_or(0, |(last, _)| Self::max_ns_of(*last, max)),
            buckets: self.buckets.clone(),
        }
    }

    pub fn buckets(&self) -> &[(u8, u64)] {
        &self.buckets
    }

    pub fn count(&self) -> u64 {
        self.buckets.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// At most the greatest: both come in steps.
    pub fn mean_ns(&self) -> Option<f64> {
        let count = self.count();
        (count > 0).then(|| (self.sum_ns as f64 / count as f64).min(self.max_ns as f64))
    }

    /// The value below which the part `quantile` of all values lies, from 0 to 1; at most the greatest.
    pub fn quantile_ns(&self, quantile: f64) -> Option<f64> {
        let count = self.count();
        let rank = quantile.clamp(0.0, 1.0) * count as f64;
        let mut before = 0_u64;
        for (index, count) in &self.buckets {
            let upto = before.saturating_add(*count);
            if upto as f64 >= rank {
                // Evenly spread on the logarithmic scale within the bucket.
                let part = (rank - before as f64) / *count as f64;
                let ns = lower(*index) * (part.clamp(0.0, 1.0) / 2.0).exp2();
                return Some(ns.min(self.max_ns as f64));
            }
            before = upto;
        }
        (count > 0).then_some(self.max_ns as f64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bounds_belong_to_the_upper_bucket() {
        let check = |ns, expected| assert_eq!(bucket(ns), expected, "{ns}");
        check(0, 0);
        check(1, 0);
        check(2, 2);
        check(3, 3);
        check(1024, 20);
        check(1448, 20);
        check(1449, 21);
        check(u64::MAX, 127);
    }

    #[test]
    fn quantiles_are_within_a_bucket_of_the_truth() {
        let mut distribution = Distribution::default();
        (1..=1000_u64).for_each(|ms| distribution.observe(ms * 1_000_000));
        for quantile in [0.5, 0.95, 0.99] {
            let found = distribution.quantile_ns(quantile).unwrap();
            let truth = quantile * 1e9;
            assert!((found / truth - 1.0).abs() < 0.09, "{quantile}: {found}");
        }
        assert_eq!(distribution.quantile_ns(1.0), Some(1e9));
        assert_eq!(distribution.mean_ns(), Some(500_500_000.0));
        assert_eq!(Distribution::default().quantile_ns(0.5), None);
    }

    proptest! {
        #[test]
        fn a_bucket_holds_what_falls_into_it(ns: u64) {
            let index = bucket(ns);
            // A double has 53 bits.
            prop_assert!(lower(index) <= ns.max(1) as f64 * (1.0 + 1e-12));
            prop_assert!(index == 127 || ns as f64 <= lower(index + 1) * (1.0 + 1e-12));
        }

        #[test]
        fn the_greatest_value_is_told_in_a_byte(ns in 1_u64..1 << 50) {
            let mut it = Distribution::default();
            it.observe(ns);
            let last = it.buckets()[0].0;
            let told = Distribution::max_ns_of(last, it.max_step());
            let least = (ns as f64 * 7e-3).max(0.5);
            prop_assert!((told as f64 - ns as f64).abs() <= least, "{} for {}", told, ns);
            // Told once more it stays what it is.
            let again = Distribution::from_parts(ns, told, [(last, 1)]);
            prop_assert_eq!(Distribution::max_ns_of(last, again.max_step()), told);
        }

        #[test]
        fn the_sum_is_told_in_a_byte(all in proptest::collection::vec(1_u64..1 << 50, 1..40)) {
            let mut it = Distribution::default();
            all.iter().for_each(|ns| it.observe(*ns));
            let told = it.told();
            let most = (it.sum_ns as f64 * 3.5e-3).max(0.5);
            prop_assert!((told.sum_ns as f64 - it.sum_ns as f64).abs() <= most, "{told:?} for {it:?}");
            // Told once more it stays what it is.
            prop_assert_eq!(told.told(), told);
        }

        #[test]
        fn merging_is_observing_both(a: Vec<u64>, b: Vec<u64>) {
            let of = |all: &[u64]| {
                let mut it = Distribution::default();
                all.iter().for_each(|ns| it.observe(*ns));
                it
            };
            let mut merged = of(&a);
            merged.merge(&of(&b));
            prop_assert_eq!(merged, of(&[a, b].concat()));
        }
    }
}
