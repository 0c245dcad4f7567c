//! Reading: every length is checked once, and nothing panics.

use crate::alert::Fault;

/// Bytes of a message that are read from the front.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether nothing is left.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(Fault::Truncated)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], Fault> {
        let (bytes, rest) = self.0.split_first_chunk::<N>().ok_or(Fault::Truncated)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// A number of one byte.
    pub fn u8(&mut self) -> Result<u8, Fault> {
        self.array::<1>().map(|bytes| bytes[0])
    }

    /// A number of two bytes.
    pub fn u16(&mut self) -> Result<u16, Fault> {
        self.array().copied().map(u16::from_be_bytes)
    }

    /// A number of three bytes.
    pub fn u24(&mut self) -> Result<usize, Fault> {
        let [a, b, c] = *self.array()?;
        Ok(u32::from_be_bytes([0, a, b, c]) as usize)
    }

    /// A number of four bytes.
    pub fn u32(&mut self) -> Result<u32, Fault> {
        self.array().copied().map(u32::from_be_bytes)
    }

    /// A vector of `range` bytes whose length takes one byte.
    pub fn vector8(&mut self, range: core::ops::RangeInclusive<usize>) -> Result<&'a [u8], Fault> {
        let length = usize::from(self.u8()?);
        self.vector(length, &range)
    }

    /// A vector of `range` bytes whose length takes two bytes.
    pub fn vector16(&mut self, range: core::ops::RangeInclusive<usize>) -> Result<&'a [u8], Fault> {
        let length = usize::from(self.u16()?);
        self.vector(length, &range)
    }

    /// A vector of `range` bytes whose length takes three bytes.
    pub fn vector24(&mut self, range: core::ops::RangeInclusive<usize>) -> Result<&'a [u8], Fault> {
        let length = self.u24()?;
        self.vector(length, &range)
    }

    /// What is left.
    pub const fn rest(self) -> &'a [u8] {
        self.0
    }

    /// Nothing may follow.
    pub fn end(self) -> Result<(), Fault> {
        if self.is_empty() { Ok(()) } else { Err(Fault::TrailingBytes) }
    }

    fn vector(
        &mut self,
        length: usize,
        range: &core::ops::RangeInclusive<usize>,
    ) -> Result<&'a [u8], Fault> {
        let bytes = self.bytes(length)?;
        if range.contains(&length) { Ok(bytes) } else { Err(Fault::VectorLength) }
    }
}

/// A list of code points, two bytes each. Having one proves that no half of one is in it.
#[derive(Clone, Copy, Debug)]
pub struct List<'a>(&'a [u8]);

impl<'a> List<'a> {
    /// The list in `bytes`.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Fault> {
        match bytes.len() % 2 {
            0 if !bytes.is_empty() => Ok(Self(bytes)),
            _ => Err(Fault::VectorLength),
        }
    }

    /// All of them, in order.
    pub fn iter(self) -> impl Iterator<Item = u16> + 'a {
        let (codes, _) = self.0.as_chunks::<2>();
        codes.iter().map(|code| u16::from_be_bytes(*code))
    }

    /// Whether `code` is among them.
    pub fn contains(self, code: u16) -> bool {
        self.iter().any(|other| other == code)
    }

    /// The bytes as they came.
    pub const fn bytes(self) -> &'a [u8] {
        self.0
    }
}
