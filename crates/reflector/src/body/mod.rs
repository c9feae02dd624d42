//! Bodies of answers, taken apart while they arrive: at no time is more in memory than one chunk and one object.

mod frames;
mod json;
mod list;
#[cfg(test)]
mod tests;

use bytes::Bytes;

use crate::wire::Malformed;

/// How the API server wrote a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Protobuf,
    Json,
}

/// One part of a body.
#[derive(Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// An object of a list, or an event of a watch.
    Item(&'a [u8]),
    /// `ListMeta` in protobuf; in JSON the list without its items.
    Metadata(&'a [u8]),
    /// An item with more bytes than an object may have; it is skipped.
    TooLarge,
}

/// What is not an item may have so many bytes.
const METADATA_BYTES: usize = 64 << 10;

/// Room that is kept for the next item that does not come in one chunk.
const KEPT_BYTES: usize = 256 << 10;

/// A body of either kind. After an error it is at its end.
#[derive(Debug)]
pub enum Body {
    List(list::List),
    Watch(frames::Frames),
    Json(json::Values),
}

impl Body {
    pub fn list(format: Format, object_bytes: usize) -> Self {
        match format {
            Format::Protobuf => Self::List(list::List::new(object_bytes)),
            Format::Json => Self::Json(json::Values::items(object_bytes)),
        }
    }

    pub fn watch(format: Format, object_bytes: usize) -> Self {
        match format {
            Format::Protobuf => Self::Watch(frames::Frames::new(object_bytes)),
            Format::Json => Self::Json(json::Values::lines(object_bytes)),
        }
    }

    /// Gives it what came next. What [`Body::next`] has not told of the chunk before is still told.
    pub fn push(&mut self, chunk: Bytes) {
        match self {
            Self::List(list) => list.input.push(chunk),
            Self::Watch(frames) => frames.input.push(chunk),
            Self::Json(values) => values.push(chunk),
        }
    }

    /// The next part; none until there is another chunk.
    pub fn next(&mut self) -> Result<Option<Part<'_>>, Malformed> {
        match self {
            Self::List(list) => list.next(),
            Self::Watch(frames) => frames.next(),
            Self::Json(values) => values.next(),
        }
    }

    /// Whether it may end here.
    pub fn complete(&self) -> bool {
        match self {
            Self::List(list) => list.complete(),
            Self::Watch(frames) => frames.complete(),
            Self::Json(values) => values.complete(),
        }
    }
}

/// Bytes that come in chunks of any size.
#[derive(Debug, Default)]
pub struct Input {
    chunk: Bytes,
    /// What was last taken whole.
    taken: Bytes,
    /// What is being put together from several chunks.
    gathered: Vec<u8>,
    told: bool,
}

impl Input {
    pub fn push(&mut self, chunk: Bytes) {
        if self.chunk.is_empty() {
            self.chunk = chunk;
        } else if !chunk.is_empty() {
            self.chunk = [&self.chunk[..], &chunk[..]].concat().into();
        }
    }

    pub fn byte(&mut self) -> Option<u8> {
        let (first, _) = self.chunk.split_first()?;
        let first = *first;
        bytes::Buf::advance(&mut self.chunk, 1);
        Some(first)
    }

    /// Drops up to `left` bytes, and takes them off; whether none is left.
    pub fn skip(&mut self, left: &mut u64) -> bool {
        let now = usize::try_from(*left).unwrap_or(usize::MAX).min(self.chunk.len());
        bytes::Buf::advance(&mut self.chunk, now);
        *left -= now as u64;
        *left == 0
    }

    /// Readies the next `length` bytes for [`Input::taken`]; false until they are all there.
    pub fn take(&mut self, length: usize) -> bool {
        if self.told {
            self.told = false;
            self.gathered.clear();
            self.gathered.shrink_to(KEPT_BYTES);
        }
        if self.gathered.is_empty() && self.chunk.len() >= length {
            self.taken = self.chunk.split_to(length);
            return true;
        }
        let missing = length - self.gathered.len();
        // What is announced need not come: no more room than for what is there, doubled.
        let now = self.chunk.split_to(missing.min(self.chunk.len()));
        self.gathered.extend_from_slice(&now);
        self.taken = Bytes::new();
        self.told = self.gathered.len() == length;
        self.told
    }

    pub fn taken(&self) -> &[u8] {
        if self.told { &self.gathered } else { &self.taken }
    }
}
