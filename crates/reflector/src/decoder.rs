//! Objects one by one, without a watch around them: for benchmarks and fuzzing.

use crate::trim::Trim;
use crate::{Malformed, Object, Options, Resource, json, protobuf};

/// Reads objects as a watch with the same options does.
pub struct Decoder {
    resource: Resource,
    trim: Trim,
}

impl Decoder {
    pub fn new(resource: Resource, options: &Options) -> Self {
        Self { resource, trim: Trim::of(options, resource) }
    }

    /// A bare message, without the envelope that a body has; also its resource version.
    pub fn protobuf(&mut self, message: &[u8]) -> Result<(Object, String), Malformed> {
        protobuf::object(self.resource, message, &mut self.trim)
    }

    pub fn json(&mut self, text: &[u8]) -> Result<(Object, String), Malformed> {
        json::object(self.resource, text, &mut self.trim)
    }
}
