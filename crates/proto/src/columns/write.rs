//! From rows to a block.

use model::Measure;
use model::row::Values;

use super::number::put;
use super::{DISTRIBUTION, VERSION};

/// Takes rows in the order of their ids.
#[derive(Debug, Default)]
pub struct Writer {
    rows: usize,
    last: u32,
    ids: Vec<u8>,
    columns: [Column; Measure::ALL.len()],
}

#[derive(Debug, Default)]
struct Column {
    /// A bit for each row, and how many are set.
    presence: Vec<u8>,
    present: usize,
    streams: [Vec<u8>; DISTRIBUTION],
}

impl Writer {
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The last row's id.
    pub fn last(&self) -> u32 {
        self.last
    }

    /// Ids must ascend: a row that does not is left out, and false.
    pub fn push(&mut self, id: u32, values: &Values) -> bool {
        if self.rows > 0 && id <= self.last {
            return false;
        }
        let step = if self.rows == 0 { id } else { id - self.last - 1 };
        put(&mut self.ids, step.into());
        for measure in values.measures() {
            let column = &mut self.columns[measure.code() as usize];
            column.presence.resize(self.rows / 8 + 1, 0);
            column.presence[self.rows / 8] |= 1 << (self.rows % 8);
            column.present += 1;
            let [first, counts, sums, greatest] = &mut column.streams;
            if let Some(sum) = values.sum(measure) {
                put(first, sum);
            } else if let Some(it) = values.distribution(measure) {
                put(first, it.buckets().len() as u64);
                let mut next = 0_u16;
                for (index, count) in it.buckets() {
                    // Buckets ascend.
                    put(first, (u16::from(*index) - next).into());
                    next = u16::from(*index) + 1;
                    put(counts, *count);
                }
                put(sums, it.sum_ns);
                greatest.push(it.max_step());
            }
        }
        (self.rows, self.last) = (self.rows + 1, id);
        true
    }

    /// The block, and none where no row was.
    pub fn finish(self) -> Vec<u8> {
        let Self { rows, ids, mut columns, .. } = self;
        let used = columns.iter().filter(|it| it.present > 0).count();
        let mut out = vec![VERSION];
        put(&mut out, rows as u64);
        put(&mut out, used as u64);
        put(&mut out, ids.len() as u64);
        for (measure, column) in Measure::ALL.iter().zip(&mut columns) {
            if column.present == 0 {
                continue;
            }
            if column.present == rows {
                column.presence.clear();
            } else {
                column.presence.resize(rows.div_ceil(8), 0);
            }
            put(&mut out, measure.code().into());
            put(&mut out, column.presence.len() as u64);
            let streams = if measure.is_distribution() { DISTRIBUTION } else { 1 };
            put(&mut out, streams as u64);
            column.streams[..streams].iter().for_each(|it| put(&mut out, it.len() as u64));
        }
        out.extend(ids);
        for column in columns.iter().filter(|it| it.present > 0) {
            out.extend(&column.presence);
            column.streams.iter().for_each(|it| out.extend(it));
        }
        out
    }
}
