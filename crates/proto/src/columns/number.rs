//! Numbers of 7 bits a byte, least first.

use super::Malformed;

pub fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[inline]
pub fn take(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    match bytes.split_first() {
        Some((first, rest)) if *first < 0x80 => {
            *bytes = rest;
            Ok(u64::from(*first))
        }
        _ => long(bytes),
    }
}

fn long(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = byte(bytes)?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            // The tenth byte has room for one bit.
            return if shift == 63 && byte > 1 { Err(Malformed("a number")) } else { Ok(number) };
        }
    }
    Err(Malformed("a number"))
}

#[inline]
pub fn byte(bytes: &mut &[u8]) -> Result<u8, Malformed> {
    let (first, rest) = bytes.split_first().ok_or(Malformed("it ends early"))?;
    *bytes = rest;
    Ok(*first)
}

pub fn split<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], Malformed> {
    let (part, rest) = bytes.split_at_checked(length).ok_or(Malformed("it ends early"))?;
    *bytes = rest;
    Ok(part)
}
