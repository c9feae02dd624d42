//! Where rows are added up: distributions lie open, so that a bucket is one addition.

use model::Measure;
use model::row::{BUCKETS, Distribution, Values};

pub struct Sum {
    present: u64,
    sums: [u64; Measure::ALL.len()],
    /// By code; those of sums stay empty.
    distributions: Vec<Open>,
}

/// A distribution with all its buckets.
pub struct Open {
    counts: [u64; BUCKETS],
    /// The buckets from the first to before the second have been touched.
    touched: (u8, u8),
    sum_ns: u64,
    /// The last bucket and where in it the greatest value is: it orders as the value.
    greatest: Option<(u8, u8)>,
}

impl Default for Open {
    fn default() -> Self {
        Self { counts: [0; BUCKETS], touched: (u8::MAX, 0), sum_ns: 0, greatest: None }
    }
}

impl Default for Sum {
    fn default() -> Self {
        let distributions = Measure::ALL.iter().map(|_| Open::default()).collect();
        Self { present: 0, sums: [0; Measure::ALL.len()], distributions }
    }
}

impl Sum {
    #[inline]
    pub fn add(&mut self, measure: Measure, value: u64) {
        let code = measure.code() as usize;
        self.present |= 1 << code;
        self.sums[code] = self.sums[code].saturating_add(value);
    }

    #[inline]
    pub(super) fn distribution(&mut self, measure: Measure) -> &mut Open {
        self.present |= 1 << measure.code();
        &mut self.distributions[measure.code() as usize]
    }

    pub fn is_empty(&self) -> bool {
        self.present == 0
    }

    /// The values, and it is empty again.
    pub fn take(&mut self) -> Values {
        let mut values = Values::default();
        let present = std::mem::take(&mut self.present);
        for measure in Measure::ALL {
            let code = measure.code() as usize;
            if present & 1 << code == 0 {
                continue;
            }
            if !measure.is_distribution() {
                values.add(measure, std::mem::take(&mut self.sums[code]));
            } else if let Some(it) = values.distribution_mut(measure) {
                *it = self.distributions[code].take();
            }
        }
        values
    }
}

impl Open {
    /// `index`: below [`BUCKETS`].
    #[inline]
    pub fn add(&mut self, index: u8, count: u64) {
        self.touched = (self.touched.0.min(index), self.touched.1.max(index + 1));
        let sum = &mut self.counts[index as usize];
        *sum = sum.saturating_add(count);
    }

    /// `last`: the last bucket of what has been added, and where in it the greatest value is.
    #[inline]
    pub fn end(&mut self, sum_ns: u64, last: Option<u8>, step: u8) {
        self.sum_ns = self.sum_ns.saturating_add(sum_ns);
        self.greatest = self.greatest.max(last.map(|last| (last, step)));
    }

    fn take(&mut self) -> Distribution {
        let (from, until) = std::mem::replace(&mut self.touched, (u8::MAX, 0));
        let buckets = (from..until).filter_map(|index| {
            let count = std::mem::take(&mut self.counts[index as usize]);
            (count > 0).then_some((index, count))
        });
        let buckets: Vec<(u8, u64)> = buckets.collect();
        Distribution::from_parts(
            std::mem::take(&mut self.sum_ns),
            self.greatest.take().map_or(0, |(last, step)| Distribution::max_ns_of(last, step)),
            buckets,
        )
    }
}
