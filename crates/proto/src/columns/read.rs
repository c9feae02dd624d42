//! A block, row by row.

use model::Measure;
use model::row::{BUCKETS, Distribution};

use super::directory::Directory;
use super::neighbours::{Neighbours, apply, guide};
use super::number::{byte, split, take};
use super::{Malformed, Sum, of_distribution, of_sum, streams};

/// Stands before the first row, at a row, or behind the last.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    paired: bool,
    rows: usize,
    /// Of the row after this one.
    next: usize,
    id: u32,
    ids: &'a [u8],
    columns: Vec<Column<'a>>,
    neighbours: Neighbours,
}

#[derive(Clone, Debug)]
struct Column<'a> {
    measure: Measure,
    /// Else it is read for what others are expected to be.
    wanted: bool,
    /// Empty: every row has it.
    presence: &'a [u8],
    /// What follows.
    streams: [&'a [u8]; of_distribution::STREAMS],
}

impl<'a> Reader<'a> {
    /// # Errors
    /// This is no block.
    pub fn new(block: &'a [u8]) -> Result<Self, Malformed> {
        Self::of(block, |_| true)
    }

    /// Of the `wanted` measures only.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn of(mut block: &'a [u8], wanted: impl Fn(Measure) -> bool) -> Result<Self, Malformed> {
        let head = &mut block;
        let Directory { paired, rows, ids, columns: directory } = Directory::take(head)?;
        let ids = split(head, ids)?;
        let needed = |measure| {
            let guides = |it: &Measure| wanted(*it) && guide(*it) == Some(measure);
            wanted(measure) || Measure::ALL.iter().any(guides)
        };
        let mut columns = Vec::with_capacity(directory.len().min(Measure::ALL.len()));
        for lengths in directory {
            let presence = split(head, lengths.presence)?;
            if !presence.is_empty() && presence.len() != rows.div_ceil(8) {
                return Err(Malformed("presence"));
            }
            let mut parts: [&[u8]; of_distribution::STREAMS] = [&[]; of_distribution::STREAMS];
            for (part, length) in parts.iter_mut().zip(lengths.streams) {
                *part = split(head, length)?;
            }
            let Some(measure) = Measure::from_code(lengths.code) else { continue };
            if lengths.count != streams(measure) {
                return Err(Malformed("a measure of another shape"));
            }
            if needed(measure) {
                columns.push(Column { measure, wanted: wanted(measure), presence, streams: parts });
            }
        }
        let neighbours = Neighbours::default();
        Ok(Self { paired, rows, next: 0, id: 0, ids, columns, neighbours })
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Goes to the next row: its id, or `None` behind the last. The values of the row before must have been read or
    /// skipped.
    ///
    /// # Errors
    /// The block is malformed.
    #[inline]
    pub fn advance(&mut self) -> Result<Option<u32>, Malformed> {
        if self.next == self.rows {
            return Ok(None);
        }
        let step = take(&mut self.ids)?;
        let id = match self.next {
            0 => step,
            _ => step.saturating_add(u64::from(self.id) + 1),
        };
        self.id = u32::try_from(id).map_err(|_| Malformed("an id"))?;
        self.neighbours.step(self.paired && self.next > 0 && step == 0 && self.id % 2 == 1);
        self.next += 1;
        Ok(Some(self.id))
    }

    /// Adds the row's values.
    ///
    /// # Errors
    /// The block is malformed.
    #[inline]
    pub fn add_to(&mut self, sum: &mut Sum) -> Result<(), Malformed> {
        self.read(Some(sum))
    }

    /// # Errors
    /// The block is malformed.
    #[inline]
    pub fn skip(&mut self) -> Result<(), Malformed> {
        self.read(None)
    }

    #[inline]
    fn read(&mut self, mut sum: Option<&mut Sum>) -> Result<(), Malformed> {
        let Self { next, columns, neighbours, .. } = self;
        for column in columns {
            if !column.has(*next - 1) {
                continue;
            }
            let sum = sum.as_deref_mut().filter(|_| column.wanted);
            match column.measure.is_distribution() {
                true => column.distribution(neighbours, sum)?,
                false => column.sum(neighbours, sum)?,
            }
        }
        Ok(())
    }
}

impl Column<'_> {
    #[inline]
    fn has(&self, row: usize) -> bool {
        self.presence.is_empty()
            || self.presence.get(row / 8).is_some_and(|byte| byte & 1 << (row % 8) != 0)
    }

    #[inline]
    fn sum(&mut self, neighbours: &mut Neighbours, sum: Option<&mut Sum>) -> Result<(), Malformed> {
        let value = match neighbours.expected(self.measure) {
            Some(expected) => apply(expected, take(&mut self.streams[of_sum::BESIDE])?),
            None => take(&mut self.streams[of_sum::ALONE])?,
        };
        neighbours.see(self.measure, value);
        if let Some(sum) = sum {
            sum.add(self.measure, value);
        }
        Ok(())
    }

    #[inline]
    fn distribution(
        &mut self,
        neighbours: &mut Neighbours,
        sum: Option<&mut Sum>,
    ) -> Result<(), Malformed> {
        let Self { measure, streams, .. } = self;
        let beside = neighbours.expected(*measure);
        let total = match beside {
            Some(expected) => apply(expected, take(&mut streams[of_distribution::TOTAL_BESIDE])?),
            None => apply(neighbours.guess(*measure), take(&mut streams[of_distribution::TOTAL])?),
        };
        let first = match beside {
            Some(_) => apply(
                neighbours.first(*measure).into(),
                take(&mut streams[of_distribution::FIRST_BESIDE])?,
            ),
            None => byte(&mut streams[of_distribution::FIRST])?.into(),
        };
        let mut to = sum.map(|it| it.distribution(*measure));
        let (mut left, mut next, mut least_ns) = (total, first, 0.0);
        while left > 0 {
            let count = take(&mut streams[of_distribution::counts(left)])?;
            if count == 0 {
                let more = take(&mut streams[of_distribution::EMPTY])?;
                next = next.saturating_add(more).saturating_add(1);
                continue;
            }
            let index = u8::try_from(next).ok().filter(|it| usize::from(*it) < BUCKETS);
            let index = index.ok_or(Malformed("a bucket"))?;
            left = left.checked_sub(count).ok_or(Malformed("a count"))?;
            if let Some(to) = &mut to {
                to.add(index, count);
                least_ns += Distribution::least_ns(index) * count as f64;
            }
            next += 1;
        }
        let greatest = byte(&mut streams[of_distribution::GREATEST])?;
        let step = byte(&mut streams[of_distribution::SUM])?;
        if let Some(to) = to {
            let last = (total > 0).then(|| next as u8 - 1);
            to.end(Distribution::sum_ns_of(least_ns, step), last, greatest);
        }
        neighbours.see(*measure, total);
        neighbours.see_first(*measure, first as u8);
        Ok(())
    }
}
