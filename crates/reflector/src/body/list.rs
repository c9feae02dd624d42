//! A list in protobuf: four bytes, then `runtime.Unknown`, whose field 2 is the list, whose field 1 is its metadata and
//! each field 2 an object.

use super::{Input, METADATA_BYTES, Part};
use crate::wire::{Malformed, Varint, split_key};

const MAGIC: [u8; 4] = *b"k8s\0";

#[derive(Debug)]
pub struct List {
    pub(super) input: Input,
    object_bytes: usize,
    number: Varint,
    /// Bytes of the list that are still to come, while it is being read.
    inside: Option<u64>,
    /// Whether the list has been read.
    read: bool,
    step: Step,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Magic(usize),
    Key {
        first: bool,
    },
    /// The value of a number.
    Number,
    /// The length of a field of this number.
    Length(u32),
    Skip(u64),
    Item(usize),
    Metadata(usize),
    Failed(Malformed),
}

impl List {
    pub fn new(object_bytes: usize) -> Self {
        Self {
            input: Input::default(),
            object_bytes,
            number: Varint::default(),
            inside: None,
            read: false,
            step: Step::Magic(0),
        }
    }

    pub fn complete(&self) -> bool {
        self.read && self.inside.is_none() && matches!(self.step, Step::Key { first: true })
    }

    pub fn next(&mut self) -> Result<Option<Part<'_>>, Malformed> {
        loop {
            match self.advance() {
                Ok(Some(Found::Item)) => return Ok(Some(Part::Item(self.input.taken()))),
                Ok(Some(Found::Metadata)) => return Ok(Some(Part::Metadata(self.input.taken()))),
                Ok(Some(Found::TooLarge)) => return Ok(Some(Part::TooLarge)),
                Ok(Some(Found::Nothing)) => {}
                Ok(None) => return Ok(None),
                Err(error) => {
                    self.step = Step::Failed(error);
                    return Err(error);
                }
            }
        }
    }

    /// One step; none if a byte for it is missing.
    fn advance(&mut self) -> Result<Option<Found>, Malformed> {
        let mut found = Found::Nothing;
        self.step = match self.step {
            Step::Magic(at) => {
                let Some(byte) = self.input.byte() else { return Ok(None) };
                if byte != MAGIC[at] {
                    return Err(Malformed::Magic);
                }
                if at + 1 < MAGIC.len() { Step::Magic(at + 1) } else { KEY }
            }
            Step::Key { first: true } if self.inside == Some(0) => {
                (self.inside, self.read) = (None, true);
                KEY
            }
            Step::Key { .. } => match self.varint()? {
                None => {
                    return Ok(None);
                }
                Some(None) => Step::Key { first: false },
                Some(Some(key)) => match split_key(key)? {
                    (_, 0) => Step::Number,
                    (_, 1) => self.skip(8)?,
                    (number, 2) => Step::Length(number),
                    (_, 5) => self.skip(4)?,
                    _ => return Err(Malformed::Field),
                },
            },
            Step::Number => match self.varint()? {
                None => return Ok(None),
                Some(None) => Step::Number,
                Some(Some(_)) => KEY,
            },
            Step::Length(number) => match self.varint()? {
                None => return Ok(None),
                Some(None) => Step::Length(number),
                Some(Some(length)) => {
                    let (step, what) = self.field(number, length)?;
                    found = what;
                    step
                }
            },
            Step::Skip(mut left) => {
                if !self.input.skip(&mut left) {
                    self.step = Step::Skip(left);
                    return Ok(None);
                }
                KEY
            }
            Step::Item(length) | Step::Metadata(length) => {
                if !self.input.take(length) {
                    return Ok(None);
                }
                found = match self.step {
                    Step::Item(_) => Found::Item,
                    _ => Found::Metadata,
                };
                KEY
            }
            Step::Failed(error) => return Err(error),
        };
        Ok(Some(found))
    }

    fn field(&mut self, number: u32, length: u64) -> Result<(Step, Found), Malformed> {
        if self.inside.is_none() {
            if number == 2 && !self.read {
                self.inside = Some(length);
                return Ok((KEY, Found::Nothing));
            }
            return Ok((self.skip(length)?, Found::Nothing));
        }
        let known = usize::try_from(length).unwrap_or(usize::MAX);
        match number {
            1 if known > METADATA_BYTES => Err(Malformed::TooLong(METADATA_BYTES)),
            1 => self.skip(length).map(|_| (Step::Metadata(known), Found::Nothing)),
            2 if known > self.object_bytes => Ok((self.skip(length)?, Found::TooLarge)),
            2 => self.skip(length).map(|_| (Step::Item(known), Found::Nothing)),
            _ => Ok((self.skip(length)?, Found::Nothing)),
        }
    }

    /// Takes what follows off the list's length.
    fn skip(&mut self, length: u64) -> Result<Step, Malformed> {
        if let Some(inside) = &mut self.inside {
            *inside = inside.checked_sub(length).ok_or(Malformed::Truncated)?;
        }
        Ok(Step::Skip(length))
    }

    /// None without a byte, else the number if that byte was its last.
    fn varint(&mut self) -> Result<Option<Option<u64>>, Malformed> {
        let Some(byte) = self.input.byte() else { return Ok(None) };
        self.skip(1)?;
        self.number.push(byte).map(Some)
    }
}

const KEY: Step = Step::Key { first: true };

enum Found {
    Nothing,
    Item,
    Metadata,
    TooLarge,
}
