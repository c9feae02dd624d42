//! From an object's JSON to its protobuf. One source, so that the two never differ.

use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};
use serde_json::Value;

use super::schema::{Field, Kind, Message, Schema};

/// Bytes (the text U+F8FE in JSON) that become invalid UTF-8 in protobuf.
pub const BROKEN_TEXT: char = '\u{F8FE}';
const BROKEN_BYTES: [u8; 3] = [0xff, 0xfe, 0xc0];

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("message {0} is not in proto/kubernetes.proto; add it")]
    NoMessage(String),
    #[error(
        "{message} has no field {field:?} in proto/kubernetes.proto; add it, or leave it out of the object"
    )]
    NoField { message: String, field: String },
    #[error("{message}.{field}: expected {expected}, found {found}")]
    Type { message: String, field: String, expected: &'static str, found: Value },
}

/// `value` as the message `name`, without any envelope.
pub fn message(name: &str, value: &Value) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    encode_message(name, value, &mut out)?;
    Ok(out)
}

/// Only some members of the message `name`.
pub fn members<'a>(
    name: &str,
    object: impl IntoIterator<Item = (&'a String, &'a Value)>,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let schema = Schema::get();
    let message = schema.message(name).ok_or_else(|| Error::NoMessage(name.to_owned()))?;
    let mut nested = vec![Vec::new(); message.inline.len()];
    for (key, value) in object {
        if let Some(field) = message.fields.get(key) {
            encode_field(message, key, field, value, out)?;
            continue;
        }
        let home = message.inline.iter().position(|(_, inner)| {
            schema.message(inner).is_some_and(|inner| inner.fields.contains_key(key))
        });
        match home {
            Some(index) => nested[index].push((key, value)),
            None => return Err(Error::NoField { message: name.to_owned(), field: key.clone() }),
        }
    }
    for ((number, inner), object) in message.inline.iter().zip(nested) {
        if !object.is_empty() {
            let mut body = Vec::new();
            members(inner, object, &mut body)?;
            bytes(*number, &body, out);
        }
    }
    Ok(())
}

/// A field of bytes, text or a message.
pub fn bytes(number: u32, content: &[u8], out: &mut Vec<u8>) {
    header(number, content.len(), out);
    out.extend_from_slice(content);
}

/// What stands before a field of `length` bytes.
pub fn header(number: u32, length: usize, out: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(length as u64, out);
}

/// Bytes of a field with a content of `length` bytes.
pub fn field_length(number: u32, length: usize) -> usize {
    encoded_len_varint(u64::from(number) << 3) + encoded_len_varint(length as u64) + length
}

fn encode_message(name: &str, value: &Value, out: &mut Vec<u8>) -> Result<(), Error> {
    match (name, value) {
        ("Time", Value::String(text)) => {
            let time: jiff::Timestamp =
                text.parse().map_err(|_| mismatch(name, "", "a date and time", value))?;
            integer(1, time.as_second(), out);
            if time.subsec_nanosecond() != 0 {
                integer(2, time.subsec_nanosecond().into(), out);
            }
        }
        ("Quantity", Value::String(text)) => bytes(1, text.as_bytes(), out),
        ("IntOrString", Value::String(text)) => {
            integer(1, 1, out);
            bytes(3, text.as_bytes(), out);
        }
        ("IntOrString", Value::Number(number)) => {
            integer(2, number.as_i64().unwrap_or_default(), out);
        }
        ("FieldsV1", value) => bytes(1, value.to_string().as_bytes(), out),
        ("ExtraValue", Value::Array(items)) => {
            for item in items {
                bytes(1, item.as_str().unwrap_or_default().as_bytes(), out);
            }
        }
        (_, Value::Object(object)) => return members(name, object, out),
        _ => return Err(mismatch(name, "", "an object", value)),
    }
    Ok(())
}

fn encode_field(
    message: &Message,
    key: &str,
    field: &Field,
    value: &Value,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let mismatch = |expected| mismatch(&message.name, key, expected, value);
    match (value, &field.kind) {
        (Value::Null, _) => Ok(()),
        (Value::Object(entries), Kind::Map(kind)) => {
            for (entry, value) in entries {
                let mut body = Vec::new();
                text(1, entry, &mut body);
                encode_value(2, kind, value, &mut body).ok_or_else(|| mismatch("a map"))??;
                bytes(field.number, &body, out);
            }
            Ok(())
        }
        (Value::Array(items), kind) if field.repeated => {
            for item in items {
                encode_value(field.number, kind, item, out).ok_or_else(|| mismatch("a list"))??;
            }
            Ok(())
        }
        (value, kind) if !field.repeated => {
            encode_value(field.number, kind, value, out).ok_or_else(|| mismatch("another type"))?
        }
        _ => Err(mismatch("a list")),
    }
}

/// None if `value` is of another kind.
fn encode_value(
    number: u32,
    kind: &Kind,
    value: &Value,
    out: &mut Vec<u8>,
) -> Option<Result<(), Error>> {
    match (kind, value) {
        (Kind::Bool, Value::Bool(value)) => integer(number, (*value).into(), out),
        (Kind::Integer, Value::Number(value)) => integer(number, value.as_i64()?, out),
        (Kind::Text | Kind::Bytes, Value::String(value)) => text(number, value, out),
        (Kind::Message(name), value) => {
            let mut body = Vec::new();
            if let Err(error) = encode_message(name, value, &mut body) {
                return Some(Err(error));
            }
            bytes(number, &body, out);
        }
        _ => return None,
    }
    Some(Ok(()))
}

fn text(number: u32, value: &str, out: &mut Vec<u8>) {
    let start = out.len();
    bytes(number, value.as_bytes(), out);
    if value.contains(BROKEN_TEXT) {
        let mut mark = [0; 4];
        let mark = BROKEN_TEXT.encode_utf8(&mut mark).as_bytes();
        for index in start..=out.len() - mark.len() {
            if out[index..].starts_with(mark) {
                out[index..index + mark.len()].copy_from_slice(&BROKEN_BYTES);
            }
        }
    }
}

fn integer(number: u32, value: i64, out: &mut Vec<u8>) {
    encode_key(number, WireType::Varint, out);
    encode_varint(value.cast_unsigned(), out);
}

fn mismatch(message: &str, field: &str, expected: &'static str, found: &Value) -> Error {
    Error::Type {
        message: message.to_owned(),
        field: field.to_owned(),
        expected,
        found: found.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(name: &str, value: Value, expected: &[u8]) {
        assert_eq!(message(name, &value).unwrap(), expected, "{name} {value}");
    }

    #[test]
    fn json_becomes_protobuf() {
        check("Address", json!({"ip": "::1"}), b"\x0a\x03::1");
        check("Address", json!({"ip": null}), b"");
        check(
            "PodSpec",
            json!({"hostNetwork": true, "priority": -1}),
            b"\x58\x01\xc8\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        );
        check(
            "ContainerStateRunning",
            json!({"startedAt": "1970-01-01T00:00:05Z"}),
            b"\x0a\x02\x08\x05",
        );
        check("LabelSelector", json!({"matchLabels": {"a": "b"}}), b"\x0a\x06\x0a\x01a\x12\x01b");
        check(
            "ResourceRequirements",
            json!({"limits": {"c": "1"}}),
            b"\x0a\x08\x0a\x01c\x12\x03\x0a\x011",
        );
        check("TCPSocketAction", json!({"port": 80}), b"\x0a\x02\x10\x50");
        check("TCPSocketAction", json!({"port": "x"}), b"\x0a\x05\x08\x01\x1a\x01x");
        check(
            "ManagedFieldsEntry",
            json!({"fieldsV1": {"f:a": {}}}),
            b"\x3a\x0c\x0a\x0a{\"f:a\":{}}",
        );
        check("UserInfo", json!({"extra": {"k": ["v"]}}), b"\x22\x08\x0a\x01k\x12\x03\x0a\x01v");
        // Nested in protobuf only.
        check("KeySelector", json!({"name": "n", "key": "k"}), b"\x12\x01k\x0a\x03\x0a\x01n");
        check("Volume", json!({"name": "v", "emptyDir": {}}), b"\x0a\x01v\x12\x02\x12\x00");
        // Hostile.
        check("Address", json!({"ip": "\u{F8FE}"}), b"\x0a\x03\xff\xfe\xc0");
    }

    #[test]
    fn what_is_not_described_is_refused() {
        let check = |name: &str, value: Value, expected: &str| {
            assert!(message(name, &value).unwrap_err().to_string().contains(expected), "{value}");
        };
        check("Nothing", json!({}), "Nothing");
        check("Pod", json!({"spec": {"colour": "red"}}), "PodSpec has no field \"colour\"");
        check("Address", json!({"ip": 5}), "Address.ip");
        check("PodSpec", json!({"volumes": {}}), "PodSpec.volumes: expected a list");
        check("ContainerStateRunning", json!({"startedAt": "soon"}), "a date and time");
    }
}
