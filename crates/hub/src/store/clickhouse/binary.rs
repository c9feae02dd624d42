//! Rows as ClickHouse's `RowBinary` has them: numbers with the least byte first, lengths with 7 bits a byte.

use model::Measure;
use model::row::{Distribution, Values};

/// What cannot be read: of another version, or no answer of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Short;

pub fn put_u32(out: &mut Vec<u8>, number: u32) {
    out.extend(number.to_le_bytes());
}

pub fn put_u64(out: &mut Vec<u8>, number: u64) {
    out.extend(number.to_le_bytes());
}

pub fn put_length(out: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

pub fn put_text(out: &mut Vec<u8>, text: &str) {
    put_length(out, text.len());
    out.extend(text.as_bytes());
}

/// In the order of `schema::values`.
pub fn put_values(out: &mut Vec<u8>, values: &Values) {
    let bit = |measure: Measure| 1_u64 << measure.code();
    put_u64(out, values.measures().map(bit).sum());
    for measure in Measure::ALL {
        if !measure.is_distribution() {
            put_u64(out, values.sum(measure).unwrap_or(0));
            continue;
        }
        let it = values.distribution(measure);
        let buckets = it.map_or(&[][..], Distribution::buckets);
        put_length(out, buckets.len());
        for (bucket, count) in buckets {
            out.push(*bucket);
            put_u64(out, *count);
        }
        put_u64(out, it.map_or(0, |it| it.sum_ns));
        put_u64(out, it.map_or(0, |it| it.max_ns));
    }
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Result<&'a [u8], Short> {
    let (taken, rest) = bytes.split_at_checked(count).ok_or(Short)?;
    *bytes = rest;
    Ok(taken)
}

pub fn u8(bytes: &mut &[u8]) -> Result<u8, Short> {
    Ok(take(bytes, 1)?[0])
}

pub fn u16(bytes: &mut &[u8]) -> Result<u16, Short> {
    take(bytes, 2)?.try_into().map(u16::from_le_bytes).map_err(|_| Short)
}

pub fn u32(bytes: &mut &[u8]) -> Result<u32, Short> {
    take(bytes, 4)?.try_into().map(u32::from_le_bytes).map_err(|_| Short)
}

pub fn u64(bytes: &mut &[u8]) -> Result<u64, Short> {
    take(bytes, 8)?.try_into().map(u64::from_le_bytes).map_err(|_| Short)
}

fn length(bytes: &mut &[u8]) -> Result<usize, Short> {
    let mut length = 0;
    for shift in (0..35).step_by(7) {
        let byte = u8(bytes)?;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(length);
        }
    }
    Err(Short)
}

pub fn text<'a>(bytes: &mut &'a [u8]) -> Result<std::borrow::Cow<'a, str>, Short> {
    let length = length(bytes)?;
    Ok(String::from_utf8_lossy(take(bytes, length)?))
}

/// Of those that were asked for; `None`: of all.
pub fn values(bytes: &mut &[u8], wanted: Option<&[Measure]>) -> Result<Values, Short> {
    let present = u64(bytes)?;
    let mut values = Values::default();
    for measure in Measure::ALL {
        if !wanted.is_none_or(|all| all.contains(&measure)) {
            continue;
        }
        let has = present & 1 << measure.code() != 0;
        if !measure.is_distribution() {
            let sum = u64(bytes)?;
            if has {
                values.add(measure, sum);
            }
            continue;
        }
        let mut buckets = Vec::new();
        for _ in 0..length(bytes)? {
            buckets.push((u8(bytes)?, u64(bytes)?));
        }
        let (sum_ns, max_ns) = (u64(bytes)?, u64(bytes)?);
        if has && let Some(it) = values.distribution_mut(measure) {
            *it = Distribution::from_parts(sum_ns, max_ns, buckets);
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_and_what_is_cut_off_is_an_error() {
        let mut values = Values::default();
        values.add(Measure::BYTES_SENT, u64::MAX - 1);
        values.add(Measure::FAILURES, 0);
        (0..300).for_each(|ns| values.observe(Measure::RTT, ns * ns * ns));
        let mut bytes = Vec::new();
        put_values(&mut bytes, &values);
        let mut rest = &bytes[..];
        assert_eq!(self::values(&mut rest, None), Ok(values));
        assert!(rest.is_empty());
        for end in 0..bytes.len() {
            assert_eq!(self::values(&mut &bytes[..end], None), Err(Short), "{end}");
        }
        let mut long = Vec::new();
        put_text(&mut long, &"x".repeat(300));
        assert_eq!(text(&mut &long[..]).unwrap().len(), 300);
    }
}
