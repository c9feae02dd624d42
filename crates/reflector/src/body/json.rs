//! JSON, cut into the objects of a list's `items`, or into the values that follow each other in a watch. Only braces and
//! texts are looked at: whether it is right inside is for whoever reads an object.

use bytes::Bytes;

use super::{KEPT_BYTES, METADATA_BYTES, Part};
use crate::wire::Malformed;

/// Deeper is not nested what this reads.
const DEPTH: u32 = 1000;

#[derive(Debug)]
pub struct Values {
    chunk: Bytes,
    at: usize,
    object_bytes: usize,
    /// The depth at which an item begins.
    level: u32,
    depth: u32,
    text: Text,
    /// The last text at depth 1, as far as it can be `items`.
    key: Vec<u8>,
    /// Within the braces of an item.
    inside: bool,
    /// Within the brackets of `items`.
    listed: bool,
    /// The item that is being read is past its limit.
    skipped: bool,
    item: Vec<u8>,
    told: bool,
    /// What stands around the items.
    around: Vec<u8>,
    ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Text {
    Outside,
    Inside,
    Escaped,
}

impl Values {
    pub fn items(object_bytes: usize) -> Self {
        Self { level: 2, ..Self::lines(object_bytes) }
    }

    pub fn lines(object_bytes: usize) -> Self {
        Self {
            chunk: Bytes::new(),
            at: 0,
            object_bytes,
            level: 0,
            depth: 0,
            text: Text::Outside,
            key: Vec::new(),
            inside: false,
            listed: false,
            skipped: false,
            item: Vec::new(),
            told: false,
            around: Vec::new(),
            ended: false,
        }
    }

    pub fn push(&mut self, chunk: Bytes) {
        if self.at == self.chunk.len() {
            (self.chunk, self.at) = (chunk, 0);
        } else if !chunk.is_empty() {
            self.chunk = [&self.chunk[self.at..], &chunk[..]].concat().into();
            self.at = 0;
        }
    }

    pub fn complete(&self) -> bool {
        if self.level == 0 { self.depth == 0 && !self.inside } else { self.ended }
    }

    pub fn next(&mut self) -> Result<Option<Part<'_>>, Malformed> {
        if self.told {
            self.told = false;
            self.item.clear();
            self.item.shrink_to(KEPT_BYTES);
        }
        let chunk = self.chunk.clone();
        let mut begun = self.at;
        while let Some(byte) = chunk.get(self.at) {
            self.at += 1;
            match self.see(*byte)? {
                Seen::Nothing => {}
                Seen::Begin => begun = self.at - 1,
                Seen::End => {
                    self.keep(&chunk[begun..self.at]);
                    self.told = true;
                    let skipped = std::mem::take(&mut self.skipped);
                    return Ok(Some(if skipped { Part::TooLarge } else { Part::Item(&self.item) }));
                }
                Seen::Last => return Ok(Some(Part::Metadata(&self.around))),
            }
        }
        if self.inside {
            self.keep(&chunk[begun..]);
        }
        Ok(None)
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.skipped |= self.item.len() + bytes.len() > self.object_bytes;
        if self.skipped {
            self.item = Vec::new();
        } else {
            self.item.extend_from_slice(bytes);
        }
    }

    fn see(&mut self, byte: u8) -> Result<Seen, Malformed> {
        let in_items = self.listed && self.depth == self.level && self.text == Text::Outside;
        let mut seen = Seen::Nothing;
        let mut around = !self.inside && self.level > 0 && !(in_items && byte == b',');
        match (self.text, byte) {
            (Text::Escaped, _) => self.text = Text::Inside,
            (Text::Inside, b'\\') => self.text = Text::Escaped,
            (Text::Inside, b'"') => self.text = Text::Outside,
            (Text::Inside, _) => {
                if self.depth == 1 && self.key.len() < 8 {
                    self.key.push(byte);
                }
            }
            (Text::Outside, b'"') => {
                self.text = Text::Inside;
                if self.depth == 1 {
                    self.key.clear();
                }
            }
            (Text::Outside, b'{' | b'[') => {
                let begins = byte == b'{' && !self.inside && self.depth == self.level;
                if begins && (self.level == 0 || self.listed) {
                    (self.inside, around, seen) = (true, false, Seen::Begin);
                }
                self.depth += 1;
                if self.depth > DEPTH {
                    return Err(Malformed::Json);
                }
                if self.depth == 2 && byte == b'[' && self.key == b"items" {
                    self.listed = true;
                }
            }
            (Text::Outside, b'}' | b']') => {
                self.depth = self.depth.checked_sub(1).ok_or(Malformed::Json)?;
                if self.inside && self.depth == self.level {
                    (self.inside, seen) = (false, Seen::End);
                } else if self.depth < self.level {
                    self.listed = false;
                }
                if self.depth == 0 && self.level > 0 {
                    (self.ended, seen) = (true, Seen::Last);
                }
            }
            (Text::Outside, _) => {}
        }
        if around {
            if self.around.len() >= METADATA_BYTES {
                return Err(Malformed::TooLong(METADATA_BYTES));
            }
            self.around.push(byte);
        }
        Ok(seen)
    }
}

enum Seen {
    Nothing,
    Begin,
    End,
    /// The end of the list.
    Last,
}
