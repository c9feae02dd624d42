//! Sums over a sliding window.

use std::ops::AddAssign;

/// Parts of the window; it slides by one of them at a time.
pub const SLOTS: usize = 10;

/// One sum for each part of the window.
#[derive(Clone, Debug, Default)]
pub struct Slots<T> {
    sums: [T; SLOTS],
    /// Number of the newest part; numbers count from the start of the window's clock.
    newest: u64,
}

impl<T: Copy + Default + AddAssign> Slots<T> {
    /// Adds to the part `now`, which must not be older than the newest.
    pub fn add(&mut self, now: u64, value: T) {
        self.slide(now);
        self.sums[now as usize % SLOTS] += value;
    }

    /// The sum of the window that ends with the part `now`, which must not be older than the newest.
    pub fn sum(&self, now: u64) -> T {
        let mut sum = T::default();
        for part in now.saturating_sub(SLOTS as u64 - 1)..=now.min(self.newest) {
            sum += self.sums[part as usize % SLOTS];
        }
        sum
    }

    /// Nothing was added within the window that ends with the part `now`.
    pub fn stale(&self, now: u64) -> bool {
        self.newest + SLOTS as u64 <= now
    }

    fn slide(&mut self, now: u64) {
        let steps = now.saturating_sub(self.newest);
        for step in 1..=steps.min(SLOTS as u64) {
            self.sums[(self.newest + step) as usize % SLOTS] = T::default();
        }
        self.newest = self.newest.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_the_window_is_forgotten() {
        let mut slots = Slots::<u64>::default();
        slots.add(0, 1);
        slots.add(3, 10);
        slots.add(9, 100);
        assert_eq!(slots.sum(9), 111);
        assert_eq!(slots.sum(10), 110);
        assert_eq!(slots.sum(13), 100);
        assert_eq!(slots.sum(19), 0);
        slots.add(13, 1000);
        assert_eq!(slots.sum(13), 1100);
        assert!(!slots.stale(22) && slots.stale(23));
        slots.add(1_000_000, 1);
        assert_eq!(slots.sum(1_000_000), 1);
    }
}
