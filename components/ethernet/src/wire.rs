//! The Ethernet II header (IEEE 802.3 section 3.2.6, RFC 894).

use waitless::{EtherType, Mac};

/// Bytes of the header.
pub(crate) const HEADER: usize = 14;

/// Values from this on are EtherTypes; below, the field is a length (IEEE 802.3 section 3.2.6).
const FIRST_TYPE: u16 = 0x600;

/// What a header says. Having one proves nothing but that there were 14 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub destination: Mac,
    pub source: Mac,
    pub protocol: EtherType,
}

impl Header {
    #[inline]
    pub fn parse(bytes: [u8; HEADER]) -> Self {
        let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1] = bytes;
        Self {
            destination: Mac([d0, d1, d2, d3, d4, d5]),
            source: Mac([s0, s1, s2, s3, s4, s5]),
            protocol: EtherType(u16::from_be_bytes([t0, t1])),
        }
    }

    #[inline]
    pub fn bytes(self) -> [u8; HEADER] {
        let Mac([d0, d1, d2, d3, d4, d5]) = self.destination;
        let Mac([s0, s1, s2, s3, s4, s5]) = self.source;
        let [t0, t1] = self.protocol.0.to_be_bytes();
        [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1]
    }

    /// Whether the frame says its length where Ethernet II has a type (IEEE 802.2 LLC).
    pub fn is_length(self) -> bool {
        self.protocol.0 < FIRST_TYPE
    }
}
