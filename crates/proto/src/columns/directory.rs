//! What a block has, and where.

use model::Measure;

use super::number::{byte, take};
use super::{MAX_ROWS, Malformed, OWN_TABLE_BYTES, VERSION, of_distribution};

pub struct Directory {
    pub paired: bool,
    pub rows: usize,
    /// Bytes of the ids.
    pub ids: usize,
    pub columns: Vec<Lengths>,
}

/// Of a column, in bytes.
pub struct Lengths {
    pub code: u64,
    pub presence: usize,
    pub count: usize,
    pub streams: [usize; of_distribution::STREAMS],
}

impl Directory {
    /// Takes it from the beginning of a block.
    ///
    /// # Errors
    /// This is no block.
    pub fn take(head: &mut &[u8]) -> Result<Self, Malformed> {
        if byte(head)? != VERSION {
            return Err(Malformed("of another version"));
        }
        let paired = byte(head)? != 0;
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
        let mut all = Vec::with_capacity(columns.min(Measure::ALL.len()));
        for _ in 0..columns {
            let (code, presence, count) = (take(head)?, length(head)?, length(head)?);
            if count > of_distribution::STREAMS {
                return Err(Malformed("too many streams"));
            }
            let mut streams = [0; of_distribution::STREAMS];
            for stream in &mut streams[..count] {
                *stream = length(head)?;
            }
            all.push(Lengths { code, presence, count, streams });
        }
        Ok(Self { paired, rows, ids, columns: all })
    }

    /// The lengths of parts of a block that are alike within, of some size each; none of what is no block.
    pub fn parts(block: &[u8]) -> Vec<usize> {
        let mut rest = block;
        let Ok(it) = Self::take(&mut rest) else { return Vec::new() };
        let columns = it.columns.iter().flat_map(|column| {
            std::iter::once(column.presence).chain(column.streams[..column.count].iter().copied())
        });
        let mut parts = Vec::new();
        let mut part = block.len() - rest.len();
        for length in std::iter::once(it.ids).chain(columns) {
            if length >= OWN_TABLE_BYTES && part > 0 {
                parts.push(std::mem::take(&mut part));
            }
            part = part.saturating_add(length);
        }
        parts
    }
}

fn length(bytes: &mut &[u8]) -> Result<usize, Malformed> {
    usize::try_from(take(bytes)?).map_err(|_| Malformed("a length"))
}
