//! Reads protobuf in place: fields of a message one after the other, without a copy and without memory of its own.

/// The bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("a field ends after its message")]
    Truncated,
    #[error("a number is longer than ten bytes")]
    Number,
    #[error("a field has a wire type or a number that does not exist")]
    Field,
    #[error("the body does not begin with the four bytes of Kubernetes' protobuf")]
    Magic,
    #[error("the body is not the JSON of a list or of an event")]
    Json,
    #[error("the object has no name or no uid")]
    Nameless,
    #[error("what is not an object exceeds {0} bytes")]
    TooLong(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    pub number: u32,
    pub value: Value<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    Number(u64),
    /// Text, bytes or a message.
    Bytes(&'a [u8]),
    /// Of fixed width: nothing that is kept is of that kind.
    Fixed,
}

impl<'a> Field<'a> {
    /// Empty for a field of another kind.
    pub fn bytes(&self) -> &'a [u8] {
        match self.value {
            Value::Bytes(bytes) => bytes,
            Value::Number(_) | Value::Fixed => &[],
        }
    }

    /// Zero for a field of another kind.
    pub fn number(&self) -> u64 {
        match self.value {
            Value::Number(number) => number,
            Value::Bytes(_) | Value::Fixed => 0,
        }
    }
}

/// The fields of a message; ends at the first error.
#[derive(Clone, Debug)]
pub struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub fn of(message: &'a [u8]) -> Self {
        Self(message)
    }

    fn field(&mut self) -> Result<Field<'a>, Malformed> {
        let (number, kind) = split_key(varint(&mut self.0)?)?;
        let value = match kind {
            0 => Value::Number(varint(&mut self.0)?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = varint(&mut self.0)?;
                let length = usize::try_from(length).map_err(|_| Malformed::Truncated)?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return Err(Malformed::Field),
        };
        Ok(Field { number, value })
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

/// The number of the field, and its wire type.
pub fn split_key(key: u64) -> Result<(u32, u8), Malformed> {
    match u32::try_from(key >> 3) {
        Ok(number @ 1..=0x1fff_ffff) => Ok((number, (key & 7) as u8)),
        _ => Err(Malformed::Field),
    }
}

#[inline]
fn varint(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    let mut number = Varint::default();
    loop {
        let (first, rest) = bytes.split_first().ok_or(Malformed::Truncated)?;
        *bytes = rest;
        if let Some(number) = number.push(*first)? {
            return Ok(number);
        }
    }
}

/// A number whose bytes may come apart.
#[derive(Clone, Copy, Debug, Default)]
pub struct Varint {
    value: u64,
    bits: u32,
}

impl Varint {
    /// The number, once `byte` was its last.
    #[inline]
    pub fn push(&mut self, byte: u8) -> Result<Option<u64>, Malformed> {
        let low = u64::from(byte & 0x7f);
        if self.bits > 63 || (self.bits == 63 && low > 1) {
            return Err(Malformed::Number);
        }
        self.value |= low << self.bits;
        self.bits += 7;
        if byte & 0x80 != 0 {
            return Ok(None);
        }
        let value = self.value;
        *self = Self::default();
        Ok(Some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: &[u8], expected: &[Result<Field<'_>, Malformed>]) {
        assert_eq!(Fields::of(message).collect::<Vec<_>>(), expected, "{message:02x?}");
    }

    fn number(number: u32, value: u64) -> Result<Field<'static>, Malformed> {
        Ok(Field { number, value: Value::Number(value) })
    }

    fn bytes(number: u32, value: &[u8]) -> Result<Field<'_>, Malformed> {
        Ok(Field { number, value: Value::Bytes(value) })
    }

    #[test]
    fn fields_of_every_kind() {
        check(&[], &[]);
        check(&[0x08, 0x96, 0x01], &[number(1, 150)]);
        check(&[0x12, 2, b'h', b'i', 0x18, 1], &[bytes(2, b"hi"), number(3, 1)]);
        let fixed = Ok(Field { number: 1, value: Value::Fixed });
        check(&[0x09, 1, 2, 3, 4, 5, 6, 7, 8, 0x10, 7], &[fixed, number(2, 7)]);
        check(&[0x0d, 1, 2, 3, 4, 0x10, 7], &[fixed, number(2, 7)]);
        // Field 34 of a pod's spec.
        check(&[0x92, 0x02, 0], &[bytes(34, b"")]);
        let most = [0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        check(&most, &[number(1, u64::MAX)]);
    }

    #[test]
    fn what_is_no_message_ends_in_an_error() {
        check(&[0x08], &[Err(Malformed::Truncated)]);
        check(&[0x12, 3, b'h', b'i'], &[Err(Malformed::Truncated)]);
        check(&[0x08, 1, 0x12, 0xff], &[number(1, 1), Err(Malformed::Truncated)]);
        check(
            &[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            &[Err(Malformed::Truncated)],
        );
        check(&[0x0b], &[Err(Malformed::Field)]);
        check(&[0x00, 0], &[Err(Malformed::Field)]);
        check(&[0x09, 1, 2], &[Err(Malformed::Truncated)]);
        check(&[0xff; 12], &[Err(Malformed::Number)]);
    }
}
