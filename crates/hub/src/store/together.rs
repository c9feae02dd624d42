//! Blocks added up while they come, so that never more of them are held than some megabytes.

use std::sync::Arc;

use proto::columns::{Malformed, Reader};

use super::Level;
use super::block::{Block, sum};

/// What comes is held until it is so much, and no less than the sum is: who adds up again and again does so for twice the
/// work at most.
const HELD_BYTES: usize = 16 << 20;

/// Takes blocks and gives what they add up to.
pub struct Together {
    level: Level,
    time_s: u64,
    most_bytes: usize,
    held: Vec<Arc<Block>>,
    /// Of those that came after the last sum, and of that.
    new_bytes: usize,
    sum_bytes: usize,
    damaged: bool,
}

/// What there is of all that came.
pub struct Added {
    pub blocks: Vec<Arc<Block>>,
    /// A part could not be read: it was told, and its rest left out.
    pub damaged: bool,
}

impl Together {
    /// Blocks of `level`, whose time is to begin at `time_s`.
    pub fn new(level: Level, time_s: u64) -> Self {
        let (held, damaged, most_bytes) = (Vec::new(), false, HELD_BYTES);
        Self { level, time_s, most_bytes, held, new_bytes: 0, sum_bytes: 0, damaged }
    }

    pub fn push(&mut self, block: Arc<Block>) {
        self.new_bytes += block.bytes();
        self.held.push(block);
        if self.new_bytes > self.most_bytes.max(self.sum_bytes) && self.held.len() > 1 {
            self.add_up();
        }
    }

    /// What another one of the same time holds.
    pub fn take(&mut self, other: Self) {
        self.damaged |= other.damaged;
        other.held.into_iter().for_each(|block| self.push(block));
    }

    /// The sum of all that came.
    pub fn sum(mut self) -> Added {
        self.add_up();
        self.as_they_are()
    }

    /// The same in more blocks, if they are few: they need not be written only to be read once.
    pub fn as_they_are(self) -> Added {
        Added { blocks: self.held, damaged: self.damaged }
    }

    /// A block that cannot be read must not hold up those that can.
    fn add_up(&mut self) {
        let Self { level, time_s, .. } = *self;
        if matches!(&self.held[..], [one] if (one.level, one.time_s) == (level, time_s)) {
            return;
        }
        let mut damaged = false;
        let mut tell = |error: Malformed| {
            damaged = true;
            tracing::error!(%error, level = level.name(), time_s, "a block of history is damaged; its rest is left out");
        };
        let parts = std::mem::take(&mut self.held);
        let readers: Vec<Reader<'_>> =
            parts.iter().filter_map(|it| it.read().map_err(&mut tell).ok()).collect();
        let (blocks, merged) = sum(level, time_s, readers);
        merged.unwrap_or_else(tell);
        self.damaged |= damaged;
        self.held = blocks.into_iter().map(Arc::new).collect();
        self.sum_bytes = self.held.iter().map(|it| it.bytes()).sum();
        self.new_bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use model::Measure;
    use model::row::Values;

    use super::super::blocks;
    use super::*;

    fn block(time_s: u64, edges: std::ops::Range<u32>) -> Arc<Block> {
        let rows = edges.map(|edge| {
            let mut values = Values::default();
            values.add(Measure::BYTES_SENT, 1000 + u64::from(edge));
            values.observe(Measure::RTT, 1 << (edge % 30));
            (edge, values)
        });
        Arc::new(blocks(Level::Minute, time_s, rows).remove(0))
    }

    fn rows(blocks: &[Arc<Block>]) -> Vec<(u32, Values)> {
        let mut rows = Vec::new();
        let readers = blocks.iter().map(|it| it.read().unwrap()).collect();
        let give = |edge, sum: &mut proto::columns::Sum| rows.push((edge, sum.take()));
        proto::columns::merge(readers, |_| true, give).unwrap();
        rows
    }

    #[test]
    fn what_is_held_is_bounded_and_the_sum_is_that_of_all() {
        let all: Vec<_> =
            (0..200_u32).map(|at| block(60 * u64::from(at), at % 7..50 + at)).collect();
        let mut together = Together { most_bytes: 20_000, ..Together::new(Level::Hour, 0) };
        let mut most = 0;
        for block in &all {
            together.push(block.clone());
            most = most.max(together.held.iter().map(|it| it.bytes()).sum::<usize>());
        }
        let every: usize = all.iter().map(|it| it.bytes()).sum();
        let Added { blocks, damaged } = together.sum();
        let sum: usize = blocks.iter().map(|it| it.bytes()).sum();
        assert!(!damaged && every > 8 * most, "{most} of {every} bytes");
        assert!(most < 2 * sum.max(20_000) + 10_000, "{most} bytes, the sum has {sum}");
        assert_eq!(rows(&blocks), rows(&all));
        assert!(blocks.iter().all(|it| (it.level, it.time_s) == (Level::Hour, 0)));
    }

    #[test]
    fn what_is_damaged_does_not_take_the_rest_with_it() {
        let mut together = Together::new(Level::Hour, 0);
        together.push(block(0, 0..10));
        let whole = block(60, 0..10);
        let cut = whole.columns[..20].to_vec();
        together.push(Arc::new(Block { columns: cut, ..Block::clone(&whole) }));
        let Added { blocks, damaged } = together.sum();
        assert!(damaged);
        assert_eq!(rows(&blocks), rows(&[block(0, 0..10)]));
    }
}
