//! Rows as columns: how they travel from agents, and how they lie on disk.
//!
//! A block is a version, the number of rows and of columns, the columns' directory, and their bytes. Rows have ids, which
//! ascend; what an id stands for is said elsewhere. A column holds the values of one measure for the rows that have it (a
//! bit each, unless all have it): numbers of 7 bits a byte. A distribution is four of them: which buckets, how many in
//! each, the sum, and where in the last bucket the greatest value is.
//!
//! ```text
//! 01 ROWS COLUMNS IDS-BYTES { CODE PRESENCE-BYTES STREAMS { STREAM-BYTES } } ids { presence { stream } }
//! ```
//!
//! Measures that are not known are skipped. Bytes come from other hosts and from disks: nothing in them is trusted.

mod merge;
mod number;
mod read;
mod sum;
mod write;

pub use merge::merge;
pub use read::Reader;
pub use sum::Sum;
pub use write::Writer;

/// Bytes that are no block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed columns: {0}")]
pub struct Malformed(&'static str);

const VERSION: u8 = 1;
/// Of one block.
pub const MAX_ROWS: usize = 1 << 16;
/// Before compression; a row of everything takes some hundred bytes.
pub const MAX_BYTES: usize = 32 << 20;
/// Streams of a distribution's column.
const DISTRIBUTION: usize = 4;

/// With zstd at `level`.
///
/// # Errors
/// No memory.
pub fn compress(columns: &[u8], level: i32) -> std::io::Result<Vec<u8>> {
    zstd::bulk::compress(columns, level)
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
