//! How objects, lists and watch events look on the wire, in JSON and in protobuf.

use super::object::{Object, Part};
use super::resource::Resource;
use super::transcode::{bytes, field_length, header};

/// Before every body in protobuf.
pub const MAGIC: &[u8; 4] = b"k8s\0";

/// Whether an object in JSON says its kind. In lists it does not, unless only its metadata is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    Typed,
    Untyped,
    /// `PartialObjectMetadata`: nothing but the metadata.
    Partial,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    Full,
    /// `PartialObjectMetadata`.
    Partial,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Added,
    Modified,
    Deleted,
    Bookmark,
    Error,
}

impl Event {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
            Self::Bookmark => "BOOKMARK",
            Self::Error => "ERROR",
        }
    }
}

impl View {
    /// What the objects are said to be: API version and kind.
    pub const fn kind(self, resource: Resource) -> (&'static str, &'static str) {
        match self {
            Self::Full => (resource.api_version(), resource.kind()),
            Self::Partial => ("meta.k8s.io/v1", "PartialObjectMetadata"),
        }
    }
}

pub fn json(object: &Object, head: Header, out: &mut Vec<u8>) {
    let (own, shared) = (&object.own, &object.shared.parts);
    out.push(b'{');
    if head != Header::Untyped {
        let view = if head == Header::Partial { View::Partial } else { View::Full };
        let (version, kind) = view.kind(object.resource);
        out.extend_from_slice(format!(r#""kind":"{kind}","apiVersion":"{version}","#).as_bytes());
    }
    let version = format!(r#""resourceVersion":"{}""#, object.version);
    out.extend_from_slice(br#""metadata":{"#);
    join(&[version.as_bytes(), &own.metadata.json, &shared.metadata.json], out);
    out.push(b'}');
    if head != Header::Partial {
        for (name, own, shared) in
            [("spec", &own.spec, &shared.spec), ("status", &own.status, &shared.status)]
        {
            if own.is_some() || shared.is_some() {
                out.extend_from_slice(format!(r#","{name}":{{"#).as_bytes());
                let part = |part: &Option<Part>| part.as_ref().map(|part| part.json.clone());
                join(&[&part(own).unwrap_or_default(), &part(shared).unwrap_or_default()], out);
                out.push(b'}');
            }
        }
        for top in [&own.top.json, &shared.top.json] {
            if !top.is_empty() {
                out.push(b',');
                out.extend_from_slice(top);
            }
        }
    }
    out.push(b'}');
}

/// Members, with commas between those that are not empty.
fn join(members: &[&[u8]], out: &mut Vec<u8>) {
    let mut first = true;
    for members in members.iter().filter(|members| !members.is_empty()) {
        if !first {
            out.push(b',');
        }
        first = false;
        out.extend_from_slice(members);
    }
}

/// Bytes that [`protobuf`] will write: a list says its length before its content.
pub fn protobuf_length(object: &Object, view: View) -> usize {
    let (own, shared) = (&object.own, &object.shared.parts);
    let mut length = field_length(1, metadata_length(object));
    if view == View::Full {
        for (number, own, shared) in
            [(2, &own.spec, &shared.spec), (3, &own.status, &shared.status)]
        {
            if own.is_some() || shared.is_some() {
                length += field_length(number, size(own) + size(shared));
            }
        }
        length += own.top.protobuf.len() + shared.top.protobuf.len();
    }
    length
}

/// The bare message.
pub fn protobuf(object: &Object, view: View, out: &mut Vec<u8>) {
    let (own, shared) = (&object.own, &object.shared.parts);
    header(1, metadata_length(object), out);
    out.extend_from_slice(&own.metadata.protobuf);
    bytes(6, object.version.to_string().as_bytes(), out);
    out.extend_from_slice(&shared.metadata.protobuf);
    if view == View::Full {
        for (number, own, shared) in
            [(2, &own.spec, &shared.spec), (3, &own.status, &shared.status)]
        {
            if own.is_some() || shared.is_some() {
                header(number, size(own) + size(shared), out);
                for part in [own, shared].into_iter().flatten() {
                    out.extend_from_slice(&part.protobuf);
                }
            }
        }
        out.extend_from_slice(&own.top.protobuf);
        out.extend_from_slice(&shared.top.protobuf);
    }
}

fn metadata_length(object: &Object) -> usize {
    let version = field_length(6, digits(object.version));
    object.own.metadata.protobuf.len() + version + object.shared.parts.metadata.protobuf.len()
}

fn digits(number: u64) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

fn size(part: &Option<Part>) -> usize {
    part.as_ref().map_or(0, |part| part.protobuf.len())
}

/// What stands before and after a message of `length` bytes to make it a body.
pub fn envelope(version: &str, kind: &str, length: usize) -> (Vec<u8>, &'static [u8]) {
    let mut head = MAGIC.to_vec();
    let mut type_meta = Vec::new();
    bytes(1, version.as_bytes(), &mut type_meta);
    bytes(2, kind.as_bytes(), &mut type_meta);
    bytes(1, &type_meta, &mut head);
    header(2, length, &mut head);
    // Empty encoding and type of content, which the real server writes as well.
    (head, &[0x1a, 0, 0x22, 0])
}

/// A body of one message.
pub fn enveloped(version: &str, kind: &str, message: &[u8]) -> Vec<u8> {
    let (mut body, tail) = envelope(version, kind, message.len());
    body.extend_from_slice(message);
    body.extend_from_slice(tail);
    body
}

/// One event of a watch in JSON. `object`: its JSON.
pub fn json_event(event: Event, object: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(format!(r#"{{"type":"{}","object":"#, event.name()).as_bytes());
    out.extend_from_slice(object);
    out.extend_from_slice(b"}\n");
}

/// One event of a watch in protobuf: four bytes of length, then a bare `WatchEvent` with an enveloped object.
/// `kind`: API version and kind of the object; `message`: writes the object's bare message of `length` bytes.
pub fn protobuf_event(
    event: Event,
    (version, kind): (&str, &str),
    length: usize,
    message: impl FnOnce(&mut Vec<u8>),
    out: &mut Vec<u8>,
) {
    let (head, tail) = envelope(version, kind, length);
    let body = head.len() + length + tail.len();
    let raw = field_length(1, body);
    let name = event.name();
    let frame = field_length(1, name.len()) + field_length(2, raw);
    out.extend_from_slice(&u32::try_from(frame).unwrap_or(u32::MAX).to_be_bytes());
    bytes(1, name.as_bytes(), out);
    header(2, raw, out);
    header(1, body, out);
    out.extend_from_slice(&head);
    message(out);
    out.extend_from_slice(tail);
}
