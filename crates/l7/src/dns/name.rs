//! Domain names: labels, and pointers to where the rest stands already.

use std::fmt::Write;

use super::Error;
use super::reader::Reader;

/// Octets of a name, the length of each label included (RFC 1035, 2.3.4).
const MAX_BYTES: usize = 255;

enum Part<'a> {
    Label(&'a [u8]),
    Pointer(usize),
    End,
}

impl<'a> Part<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let length = reader.u8().ok_or(Error::Short)?;
        match length {
            0 => Ok(Self::End),
            1..0x40 => reader.bytes(length.into()).map(Self::Label).ok_or(Error::Short),
            0xc0.. => {
                let low = reader.u8().ok_or(Error::Short)?;
                Ok(Self::Pointer(usize::from(length & 0x3f) << 8 | usize::from(low)))
            }
            _ => Err(Error::Name),
        }
    }
}

/// Reads a name as text: lower case, without the last dot; `.` for the root.
pub fn read(reader: &mut Reader<'_>) -> Result<String, Error> {
    let mut name = String::new();
    let mut bytes = 1;
    // Each pointer must point before the part in which it stands, so that there is an end to it.
    let mut begin = reader.at();
    let mut elsewhere = None;
    loop {
        let from = elsewhere.as_mut().unwrap_or(&mut *reader);
        match Part::read(from)? {
            Part::End if name.is_empty() => return Ok(".".to_owned()),
            Part::End => return Ok(name),
            Part::Pointer(to) if to < begin => {
                begin = to;
                elsewhere = Some(from.back_to(to));
            }
            Part::Pointer(_) => return Err(Error::Name),
            Part::Label(label) => {
                bytes += 1 + label.len();
                if bytes > MAX_BYTES {
                    return Err(Error::Name);
                }
                if !name.is_empty() {
                    name.push('.');
                }
                push_label(&mut name, label);
            }
        }
    }
}

/// Passes over a name without reading it.
pub fn skip(reader: &mut Reader<'_>) -> Option<()> {
    loop {
        match Part::read(reader).ok()? {
            Part::Label(_) => {}
            Part::Pointer(_) | Part::End => return Some(()),
        }
    }
}

/// Escapes what would be taken for something else, as zone files do (RFC 4343, 2.1).
fn push_label(name: &mut String, label: &[u8]) {
    for &byte in label {
        match byte {
            b'.' | b'\\' => name.extend(['\\', char::from(byte)]),
            0x21..=0x7e => name.push(char::from(byte.to_ascii_lowercase())),
            // A string takes whatever it is given.
            _ => write!(name, "\\{byte:03}").unwrap_or_default(),
        }
    }
}
