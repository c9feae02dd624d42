//! Rows of many blocks, each id once: what all of queries, rollups and compactions come down to.

use super::{Malformed, Reader, Sum};

/// Behind the last row.
const DONE: u64 = u64::MAX;

/// Gives each id for which `wanted` holds with the sum of its rows, in the order of ids.
///
/// # Errors
/// A block is malformed: what was given before that was right.
pub fn merge(
    mut readers: Vec<Reader<'_>>,
    mut wanted: impl FnMut(u32) -> bool,
    mut give: impl FnMut(u32, &mut Sum),
) -> Result<(), Malformed> {
    let next = |reader: &mut Reader<'_>| Ok(reader.advance()?.map_or(DONE, u64::from));
    let mut heads = readers.iter_mut().map(next).collect::<Result<Vec<u64>, Malformed>>()?;
    let mut sum = Sum::default();
    while let Some(id) = heads.iter().copied().min().filter(|it| *it != DONE) {
        let wants = wanted(id as u32);
        for (head, reader) in heads.iter_mut().zip(&mut readers) {
            if *head == id {
                match wants {
                    true => reader.add_to(&mut sum)?,
                    false => reader.skip()?,
                }
                *head = next(reader)?;
            }
        }
        if wants {
            give(id as u32, &mut sum);
        }
    }
    Ok(())
}

/// Adds the rows of all ids for which `wanted` holds to one `sum`.
///
/// # Errors
/// The block is malformed: what was added before that was right.
pub fn add_up(
    mut reader: Reader<'_>,
    wanted: impl Fn(u32) -> bool,
    sum: &mut Sum,
) -> Result<(), Malformed> {
    while let Some(id) = reader.advance()? {
        match wanted(id) {
            true => reader.add_to(sum)?,
            false => reader.skip()?,
        }
    }
    Ok(())
}
