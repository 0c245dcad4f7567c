//! The UDP header (RFC 768).

/// Bytes of the header.
pub(crate) const HEADER: usize = 8;

/// Where the checksum stands in it.
pub(crate) const CHECKSUM: usize = 6;

/// What a header says. Having one proves nothing but that there were 8 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub source: u16,
    pub destination: u16,
    /// Bytes of header and payload.
    pub length: u16,
    /// Zero: there is none.
    pub checksum: u16,
}

impl Header {
    #[inline]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let [s0, s1, d0, d1, l0, l1, c0, c1] = *bytes.first_chunk::<HEADER>()?;
        Some(Self {
            source: u16::from_be_bytes([s0, s1]),
            destination: u16::from_be_bytes([d0, d1]),
            length: u16::from_be_bytes([l0, l1]),
            checksum: u16::from_be_bytes([c0, c1]),
        })
    }

    #[inline]
    pub fn bytes(self) -> [u8; HEADER] {
        let [s0, s1] = self.source.to_be_bytes();
        let [d0, d1] = self.destination.to_be_bytes();
        let [l0, l1] = self.length.to_be_bytes();
        let [c0, c1] = self.checksum.to_be_bytes();
        [s0, s1, d0, d1, l0, l1, c0, c1]
    }
}
