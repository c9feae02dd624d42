//! A block, row by row.

use model::Measure;

use super::number::{byte, split, take};
use super::{DISTRIBUTION, MAX_ROWS, Malformed, Sum, VERSION};

/// Stands before the first row, at a row, or behind the last.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rows: usize,
    /// Of the row after this one.
    next: usize,
    id: u32,
    ids: &'a [u8],
    columns: Vec<Column<'a>>,
}

#[derive(Clone, Debug)]
struct Column<'a> {
    measure: Measure,
    /// Empty: every row has it.
    presence: &'a [u8],
    /// What follows.
    streams: [&'a [u8]; DISTRIBUTION],
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
        if byte(head)? != VERSION {
            return Err(Malformed("of another version"));
        }
        let rows = length(head)?;
        if rows > MAX_ROWS {
            return Err(Malformed("too many rows"));
        }
        let columns = length(head)?;
        let ids = length(head)?;
        // Each is some bytes of the head: there can be no more than these.
        if columns > head.len() {
            return Err(Malformed("too many columns"));
        }
        let mut directory = Vec::with_capacity(columns.min(Measure::ALL.len()));
        for _ in 0..columns {
            let (code, presence, streams) = (take(head)?, length(head)?, length(head)?);
            if streams > DISTRIBUTION {
                return Err(Malformed("too many streams"));
            }
            let mut lengths = [0; DISTRIBUTION];
            for stream in &mut lengths[..streams] {
                *stream = length(head)?;
            }
            directory.push((code, presence, streams, lengths));
        }
        let ids = split(head, ids)?;
        let mut columns = Vec::with_capacity(directory.len().min(Measure::ALL.len()));
        for (code, presence, streams, lengths) in directory {
            let presence = split(head, presence)?;
            if !presence.is_empty() && presence.len() != rows.div_ceil(8) {
                return Err(Malformed("presence"));
            }
            let mut parts: [&[u8]; DISTRIBUTION] = [&[]; DISTRIBUTION];
            for (part, length) in parts.iter_mut().zip(lengths) {
                *part = split(head, length)?;
            }
            let Some(measure) = Measure::from_code(code) else { continue };
            if streams != if measure.is_distribution() { DISTRIBUTION } else { 1 } {
                return Err(Malformed("a measure of another shape"));
            }
            if wanted(measure) {
                columns.push(Column { measure, presence, streams: parts });
            }
        }
        Ok(Self { rows, next: 0, id: 0, ids, columns })
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
        self.next += 1;
        Ok(Some(self.id))
    }

    /// Adds the row's values.
    ///
    /// # Errors
    /// The block is malformed.
    #[inline]
    pub fn add_to(&mut self, sum: &mut Sum) -> Result<(), Malformed> {
        let row = self.next - 1;
        for column in &mut self.columns {
            if !column.has(row) {
                continue;
            }
            let [first, counts, sums, greatest] = &mut column.streams;
            if !column.measure.is_distribution() {
                sum.add(column.measure, take(first)?);
                continue;
            }
            let distribution = sum.distribution(column.measure);
            let mut next = 0_u64;
            for _ in 0..take(first)? {
                let index = next.saturating_add(take(first)?);
                let index = u8::try_from(index).map_err(|_| Malformed("a bucket"))?;
                distribution.add(index, take(counts)?);
                next = u64::from(index) + 1;
            }
            distribution.end(take(sums)?, next.checked_sub(1).map(|it| it as u8), byte(greatest)?);
        }
        Ok(())
    }

    /// # Errors
    /// The block is malformed.
    #[inline]
    pub fn skip(&mut self) -> Result<(), Malformed> {
        let row = self.next - 1;
        for column in &mut self.columns {
            if !column.has(row) {
                continue;
            }
            let [first, counts, sums, greatest] = &mut column.streams;
            if !column.measure.is_distribution() {
                take(first)?;
                continue;
            }
            for _ in 0..take(first)? {
                take(first)?;
                take(counts)?;
            }
            take(sums)?;
            byte(greatest)?;
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
}

fn length(bytes: &mut &[u8]) -> Result<usize, Malformed> {
    usize::try_from(take(bytes)?).map_err(|_| Malformed("a length"))
}
