//! A watch in protobuf: each event after four bytes that hold its length, the most significant one first.

use super::{Input, Part};
use crate::wire::Malformed;

/// What an event has besides its object.
const AROUND_BYTES: usize = 256;

#[derive(Debug)]
pub struct Frames {
    pub(super) input: Input,
    object_bytes: usize,
    step: Step,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Length { read: u32, length: u32 },
    Frame(usize),
    Skip(u64),
}

const BEGIN: Step = Step::Length { read: 0, length: 0 };

impl Frames {
    pub fn new(object_bytes: usize) -> Self {
        Self { input: Input::default(), object_bytes, step: BEGIN }
    }

    pub fn complete(&self) -> bool {
        matches!(self.step, Step::Length { read: 0, .. })
    }

    pub fn next(&mut self) -> Result<Option<Part<'_>>, Malformed> {
        loop {
            match self.step {
                Step::Length { read: 4, length } => {
                    let known = usize::try_from(length).unwrap_or(usize::MAX);
                    if known > self.object_bytes.saturating_add(AROUND_BYTES) {
                        self.step = Step::Skip(length.into());
                        return Ok(Some(Part::TooLarge));
                    }
                    self.step = Step::Frame(known);
                }
                Step::Length { read, length } => {
                    let Some(byte) = self.input.byte() else { return Ok(None) };
                    self.step =
                        Step::Length { read: read + 1, length: length << 8 | u32::from(byte) };
                }
                Step::Frame(length) => {
                    if !self.input.take(length) {
                        return Ok(None);
                    }
                    self.step = BEGIN;
                    return Ok(Some(Part::Item(self.input.taken())));
                }
                Step::Skip(mut left) => {
                    let done = self.input.skip(&mut left);
                    self.step = if done { BEGIN } else { Step::Skip(left) };
                    if !done {
                        return Ok(None);
                    }
                }
            }
        }
    }
}
