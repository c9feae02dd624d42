//! Rows as columns: how they travel from agents, and how they lie on disk.
//!
//! A block is a version, whether its rows come in pairs, the number of rows and of columns, the columns' directory, and
//! their bytes. Rows have ids, which ascend; what an id stands for is said elsewhere. A column holds the values of one
//! measure for the rows that have it (a bit each, unless all have it), in streams of numbers of 7 bits a byte.
//!
//! ```text
//! 02 PAIRED ROWS COLUMNS IDS-BYTES { CODE PRESENCE-BYTES STREAMS { STREAM-BYTES } } ids { presence { stream } }
//! ```
//!
//! In a block of pairs an odd id is what the other end of the id before it saw. Both mostly agree, so its values are told
//! as differences from what the other's lead to expect: see [`Neighbours`](neighbours::Neighbours).
//!
//! A sum is a number: of a row alone, or beside its other end. A distribution is how many values it has, the first bucket,
//! how many values are in it and in each that follows until all are there (what is like to be large lies together: a
//! stream for each size of what is still to come; after a 0 the number of further ones), where in the last bucket the
//! greatest value is, and the sum in as many steps.
//!
//! Measures that are not known are skipped. Bytes come from other hosts and from disks: nothing in them is trusted.

mod directory;
mod merge;
mod neighbours;
mod number;
mod read;
mod sum;
mod write;

pub use merge::{add_up, merge};
pub use read::Reader;
pub use sum::Sum;
pub use write::Writer;

use std::io::Write;

use directory::Directory;

/// Bytes that are no block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed columns: {0}")]
pub struct Malformed(&'static str);

const VERSION: u8 = 2;
/// Of one block.
pub const MAX_ROWS: usize = 1 << 16;
/// Before compression; a row of everything takes some hundred bytes.
pub const MAX_BYTES: usize = 32 << 20;
/// Streams of so many bytes are compressed by a table of their own.
const OWN_TABLE_BYTES: usize = 1024;

/// The streams of a sum: rows alone, and beside their other end.
mod of_sum {
    pub const ALONE: usize = 0;
    pub const BESIDE: usize = 1;
    pub const STREAMS: usize = 2;
}

/// The streams of a distribution.
mod of_distribution {
    pub const TOTAL: usize = 0;
    pub const TOTAL_BESIDE: usize = 1;
    pub const FIRST: usize = 2;
    pub const FIRST_BESIDE: usize = 3;
    /// How many empty buckets follow an empty one.
    pub const EMPTY: usize = 4;
    pub const GREATEST: usize = 5;
    pub const SUM: usize = 6;
    /// The first of those of counts.
    pub const COUNTS: usize = 7;
    pub const STREAMS: usize = 14;

    /// Which stream has the next count when so many values are still to come.
    #[inline]
    pub fn counts(left: u64) -> usize {
        let bits = (u64::BITS - left.leading_zeros()) as usize;
        COUNTS + (bits / 2).min(STREAMS - COUNTS - 1)
    }
}

fn streams(measure: model::Measure) -> usize {
    if measure.is_distribution() { of_distribution::STREAMS } else { of_sum::STREAMS }
}

/// With zstd at `level`.
///
/// # Errors
/// No memory.
pub fn compress(columns: &[u8], level: i32) -> std::io::Result<Vec<u8>> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), level)?;
    encoder.include_contentsize(true)?;
    encoder.set_pledged_src_size(Some(columns.len() as u64))?;
    let mut rest = columns;
    // A frame's blocks have a table each: one that ends with a stream is of like values.
    for length in Directory::parts(columns) {
        let Some((part, after)) = rest.split_at_checked(length) else { break };
        encoder.write_all(part)?;
        encoder.flush()?;
        rest = after;
    }
    encoder.write_all(rest)?;
    encoder.finish()
}

/// # Errors
/// These are no `bytes` bytes compressed, or more than [`MAX_BYTES`].
pub fn decompress(compressed: &[u8], bytes: usize) -> Result<Vec<u8>, Malformed> {
    if bytes > MAX_BYTES {
        return Err(Malformed("too large"));
    }
    let columns = zstd::bulk::decompress(compressed, bytes);
    let columns = columns.map_err(|_| Malformed("not what zstd made"))?;
    if columns.len() == bytes { Ok(columns) } else { Err(Malformed("of another size")) }
}

#[cfg(test)]
mod tests;
