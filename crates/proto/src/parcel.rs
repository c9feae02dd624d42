//! Items that travel together.

use std::cell::RefCell;
use std::ops::Range;

use bytes::{Buf, Bytes};
use prost::Message;
use prost::encoding::decode_varint;
use zstd::bulk::{Compressor, decompress};

use crate::Malformed;
use crate::wire::{Batch, Item};

/// Of zstd: accounts are made by the thousand, and what goes to one agent is little.
const LEVEL: i32 = 1;
/// What a hub may have packed into one batch.
const MOST_BYTES: usize = 8 << 20;
/// Less is not worth its frame.
const LEAST_BYTES: usize = 256;

thread_local! {
    // A compressor takes some 100 KB: one for each thread that packs, and none for each stream.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> =
        RefCell::new(Compressor::new(LEVEL).ok());
}

/// Items that are put together for a batch.
#[derive(Clone, Debug, Default)]
pub struct Parcel {
    /// Each after its length.
    encoded: Vec<u8>,
    /// Where each is.
    items: Vec<Range<usize>>,
}

impl Parcel {
    pub fn with_capacity(bytes: usize) -> Self {
        Self { encoded: Vec::with_capacity(bytes), items: Vec::new() }
    }

    pub fn push(&mut self, item: &Item) {
        let bytes = item.encoded_len();
        // A Vec has always room.
        let _ = item.encode_length_delimited(&mut self.encoded);
        let end = self.encoded.len();
        self.items.push(end - bytes..end);
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Encoded.
    pub fn bytes(&self) -> usize {
        self.encoded.len()
    }

    /// Puts them into a batch, packed if that is allowed and of use.
    pub fn fill(self, batch: &mut Batch, pack: bool) {
        let Self { encoded, items } = self;
        let packed = if pack && encoded.len() >= LEAST_BYTES { compress(&encoded) } else { None };
        match packed {
            Some(packed) => {
                batch.packed = packed;
                batch.packed_bytes = u32::try_from(encoded.len()).unwrap_or(u32::MAX);
            }
            None => {
                let encoded = Bytes::from(encoded);
                batch.items.extend(items.into_iter().map(|range| encoded.slice(range)));
            }
        }
    }
}

/// `None` where it does not work: there are other ways to send it.
fn compress(bytes: &[u8]) -> Option<Bytes> {
    COMPRESSOR.with_borrow_mut(|compressor| {
        let packed = compressor.as_mut()?.compress(bytes).ok()?;
        // Without the room that was made for what cannot be compressed: it waits with its stream.
        Some(Bytes::copy_from_slice(&packed))
    })
}

/// What a batch says, in order: encoded items.
///
/// # Errors
/// A part cannot be unpacked, and nobody knows what was in it.
pub fn items(batch: &mut Batch) -> Result<Vec<Bytes>, Malformed> {
    let mut items = std::mem::take(&mut batch.items);
    let packed = std::mem::take(&mut batch.packed);
    if packed.is_empty() {
        return Ok(items);
    }
    let bytes = batch.packed_bytes as usize;
    if bytes > MOST_BYTES {
        return Err(Malformed::Parcel("too large"));
    }
    let unpacked = decompress(&packed, bytes).map_err(|_| Malformed::Parcel("not zstd's"))?;
    let mut rest = Bytes::from(unpacked);
    if rest.len() != bytes {
        return Err(Malformed::Parcel("of another size"));
    }
    while rest.has_remaining() {
        let length = decode_varint(&mut rest).ok().and_then(|it| usize::try_from(it).ok());
        let length = length.filter(|it| *it <= rest.len()).ok_or(Malformed::Parcel("cut off"))?;
        items.push(rest.split_to(length));
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::PodGone;
    use crate::wire::item::Kind;

    fn gone(number: usize) -> Item {
        Item { kind: Some(Kind::PodGone(PodGone { uid: format!("uid-{number}") })) }
    }

    fn batch(items: usize, pack: bool) -> Batch {
        let mut parcel = Parcel::with_capacity(16);
        (0..items).for_each(|number| parcel.push(&gone(number)));
        assert_eq!(parcel.len(), items);
        let mut batch = Batch::default();
        parcel.fill(&mut batch, pack);
        batch
    }

    fn read(mut batch: Batch) -> Vec<Item> {
        let all = items(&mut batch).unwrap().into_iter();
        all.map(|item| Item::decode(item).unwrap()).collect()
    }

    #[test]
    fn what_was_put_in_comes_out_packed_or_not() {
        for (count, pack, packed) in
            [(0, true, false), (1, true, false), (200, true, true), (200, false, false)]
        {
            let batch = batch(count, pack);
            assert_eq!(!batch.packed.is_empty(), packed, "{count}");
            assert_eq!(batch.items.len(), if packed { 0 } else { count });
            let expected: Vec<_> = (0..count).map(gone).collect();
            assert_eq!(read(batch), expected);
        }
        assert!(batch(200, true).encoded_len() * 2 < batch(200, false).encoded_len());
    }

    #[test]
    fn a_parcel_that_is_damaged_is_refused() {
        let whole = batch(200, true);
        let check = |change: fn(&mut Batch), expected: &'static str| {
            let mut batch = whole.clone();
            change(&mut batch);
            assert_eq!(items(&mut batch), Err(Malformed::Parcel(expected)));
        };
        check(|it| it.packed_bytes += 1, "of another size");
        check(|it| it.packed_bytes -= 1, "not zstd's");
        check(|it| it.packed_bytes = u32::MAX, "too large");
        check(|it| it.packed = Bytes::from_static(b"no"), "not zstd's");
        let cut = |it: &mut Batch| {
            it.packed = zstd::bulk::compress(&[2, 1, 1, 9, 1], 1).unwrap().into();
            it.packed_bytes = 5;
        };
        check(cut, "cut off");
    }
}
