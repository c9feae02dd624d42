use super::Fields;
use crate::wire::Malformed;

const MAGIC: &[u8; 4] = b"k8s\0";

/// What an event of a watch says of its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Applied,
    Deleted,
    Bookmark,
    /// The object is a `Status`.
    Error,
    /// Of a newer API server.
    Unknown,
}

impl Change {
    pub fn named(name: &[u8]) -> Self {
        match name {
            b"ADDED" | b"MODIFIED" => Self::Applied,
            b"DELETED" => Self::Deleted,
            b"BOOKMARK" => Self::Bookmark,
            b"ERROR" => Self::Error,
            _ => Self::Unknown,
        }
    }
}

/// The message in `runtime.Unknown`'s field 2, after the four bytes that every body begins with.
pub fn envelope(body: &[u8]) -> Result<&[u8], Malformed> {
    let message = body.strip_prefix(MAGIC).ok_or(Malformed::Magic)?;
    let mut raw: &[u8] = &[];
    for field in Fields::of(message) {
        let field = field?;
        if field.number == 2 {
            raw = field.bytes();
        }
    }
    Ok(raw)
}

/// A frame of a watch: a `WatchEvent`, whose field 2 (`RawExtension`) has the object in an envelope in its field 1. The
/// event itself comes bare, but is known in an envelope, too.
pub fn event(frame: &[u8]) -> Result<(Change, &[u8]), Malformed> {
    let message = if frame.starts_with(MAGIC) { envelope(frame)? } else { frame };
    let (mut change, mut extension): (Change, &[u8]) = (Change::Unknown, &[]);
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            1 => change = Change::named(field.bytes()),
            2 => extension = field.bytes(),
            _ => {}
        }
    }
    let mut object: &[u8] = &[];
    for field in Fields::of(extension) {
        let field = field?;
        if field.number == 1 {
            object = field.bytes();
        }
    }
    Ok((change, envelope(object)?))
}
