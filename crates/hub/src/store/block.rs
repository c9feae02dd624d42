//! Rows of one interval, by edge.

use std::ops::RangeInclusive;

use model::row::Values;
use proto::columns::{Malformed, Reader, Writer, merge};

use super::Level;

/// Of one block: so that who asks for one edge need not read all.
const MOST_ROWS: usize = 16_384;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    pub level: Level,
    /// The interval's beginning, in seconds since 1970.
    pub time_s: u64,
    pub rows: u32,
    /// The first edge and the last.
    pub edges: RangeInclusive<u32>,
    /// As [`proto::columns`] has them, not compressed.
    pub columns: Vec<u8>,
}

impl Block {
    /// # Errors
    /// It is none.
    pub fn read(&self) -> Result<Reader<'_>, Malformed> {
        Reader::new(&self.columns)
    }

    /// What it takes in memory.
    pub fn bytes(&self) -> usize {
        self.columns.len() + size_of::<Self>()
    }

    pub fn until_s(&self) -> u64 {
        self.time_s + self.level.seconds()
    }
}

/// Blocks of `rows`, which must ascend by edge.
pub fn blocks<V: std::borrow::Borrow<Values>>(
    level: Level,
    time_s: u64,
    rows: impl IntoIterator<Item = (u32, V)>,
) -> Vec<Block> {
    let mut building = Building::new(level, time_s);
    for (edge, values) in rows {
        building.push(edge, values.borrow());
    }
    building.finish()
}

/// Blocks of the sum of what `readers` have; and why it ends early, if one of them is damaged.
pub fn sum(
    level: Level,
    time_s: u64,
    readers: Vec<Reader<'_>>,
) -> (Vec<Block>, Result<(), Malformed>) {
    let mut building = Building::new(level, time_s);
    let merged = merge(readers, |_| true, |edge, sum| building.push(edge, &sum.take()));
    (building.finish(), merged)
}

/// Blocks in the making.
struct Building {
    level: Level,
    time_s: u64,
    first: u32,
    writer: Writer,
    done: Vec<Block>,
}

impl Building {
    fn new(level: Level, time_s: u64) -> Self {
        Self { level, time_s, first: 0, writer: Writer::paired(), done: Vec::new() }
    }

    fn push(&mut self, edge: u32, values: &Values) {
        if self.writer.rows() == 0 {
            self.first = edge;
        }
        self.writer.push(edge, values);
        if self.writer.rows() == MOST_ROWS {
            self.close();
        }
    }

    fn finish(mut self) -> Vec<Block> {
        self.close();
        self.done
    }

    fn close(&mut self) {
        let writer = std::mem::replace(&mut self.writer, Writer::paired());
        if writer.rows() == 0 {
            return;
        }
        self.done.push(Block {
            level: self.level,
            time_s: self.time_s,
            rows: writer.rows() as u32,
            edges: self.first..=writer.last(),
            columns: writer.finish(),
        });
    }
}
