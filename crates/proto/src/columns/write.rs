//! From rows to a block.

use model::Measure;
use model::row::{Distribution, Values};

use super::neighbours::{Neighbours, difference};
use super::number::put;
use super::{VERSION, of_distribution, of_sum, streams};

/// Takes rows in the order of their ids.
#[derive(Debug, Default)]
pub struct Writer {
    paired: bool,
    rows: usize,
    last: u32,
    ids: Vec<u8>,
    columns: [Column; Measure::ALL.len()],
    neighbours: Neighbours,
}

#[derive(Debug, Default)]
struct Column {
    /// A bit for each row, and how many are set.
    presence: Vec<u8>,
    present: usize,
    streams: [Vec<u8>; of_distribution::STREAMS],
}

impl Writer {
    /// Of rows of which an odd id is what the other end of the id before it saw.
    pub fn paired() -> Self {
        Self { paired: true, ..Self::default() }
    }

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
        self.neighbours.step(self.paired && self.rows > 0 && step == 0 && id % 2 == 1);
        for measure in values.measures() {
            let column = &mut self.columns[measure.code() as usize];
            column.presence.resize(self.rows / 8 + 1, 0);
            column.presence[self.rows / 8] |= 1 << (self.rows % 8);
            column.present += 1;
            if let Some(sum) = values.sum(measure) {
                column.sum(measure, sum, &mut self.neighbours);
            } else if let Some(it) = values.distribution(measure) {
                column.distribution(measure, it, &mut self.neighbours);
            }
        }
        (self.rows, self.last) = (self.rows + 1, id);
        true
    }

    /// The block, and none where no row was.
    pub fn finish(self) -> Vec<u8> {
        let Self { paired, rows, ids, mut columns, .. } = self;
        let used = columns.iter().filter(|it| it.present > 0).count();
        let mut out = vec![VERSION, paired.into()];
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
            let streams = streams(*measure);
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

impl Column {
    fn sum(&mut self, measure: Measure, value: u64, neighbours: &mut Neighbours) {
        match neighbours.expected(measure) {
            Some(expected) => {
                put(&mut self.streams[of_sum::BESIDE], difference(value, expected));
            }
            None => put(&mut self.streams[of_sum::ALONE], value),
        }
        neighbours.see(measure, value);
    }

    fn distribution(&mut self, measure: Measure, it: &Distribution, neighbours: &mut Neighbours) {
        let Self { streams, .. } = self;
        let total = it.count();
        let first = it.buckets().first().map_or(0, |(index, _)| *index);
        if let Some(expected) = neighbours.expected(measure) {
            put(&mut streams[of_distribution::TOTAL_BESIDE], difference(total, expected));
            let before = neighbours.first(measure).into();
            let first = difference(first.into(), before);
            put(&mut streams[of_distribution::FIRST_BESIDE], first);
        } else {
            let total = difference(total, neighbours.guess(measure));
            put(&mut streams[of_distribution::TOTAL], total);
            streams[of_distribution::FIRST].push(first);
        }
        let (mut left, mut next) = (total, first);
        for (index, count) in it.buckets() {
            // More than there can be: their sum is at its end.
            let count = (*count).min(left);
            if count == 0 {
                break;
            }
            if *index > next {
                streams[of_distribution::counts(left)].push(0);
                put(&mut streams[of_distribution::EMPTY], u64::from(index - next - 1));
            }
            put(&mut streams[of_distribution::counts(left)], count);
            (left, next) = (left - count, index + 1);
        }
        streams[of_distribution::GREATEST].push(it.max_step());
        streams[of_distribution::SUM].push(it.sum_step());
        neighbours.see(measure, total);
        neighbours.see_first(measure, first);
    }
}
