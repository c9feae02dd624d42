//! A place in a message, which never leaves it.

#[derive(Clone, Debug)]
pub struct Reader<'a> {
    /// The message up to where this reader must stop; names may point back into it.
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub fn at(&self) -> usize {
        self.at
    }

    /// The same message from `at` on.
    pub fn back_to(&self, at: usize) -> Self {
        Self { at, ..self.clone() }
    }

    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    pub fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let bytes = self.rest().get(..length)?;
        self.at += length;
        Some(bytes)
    }

    /// A reader for the next `length` bytes only; this one goes on behind them.
    pub fn take(&mut self, length: usize) -> Option<Self> {
        let at = self.at;
        self.bytes(length)?;
        Some(Self { bytes: self.bytes.get(..self.at)?, at })
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.bytes(1)?.first().copied()
    }

    pub fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.bytes(2)?.try_into().ok()?))
    }

    pub fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.bytes(4)?.try_into().ok()?))
    }
}
