//! The Ethernet II header (IEEE 802.3 section 3.2.6, RFC 894).

use waitless::{EtherType, Mac};

/// Bytes of the header.
pub(crate) const HEADER: usize = 14;

/// Values from this on are EtherTypes; below, the field is a length (IEEE 802.3 section 3.2.6).
const FIRST_TYPE: u16 = 0x600;

/// What a header to send says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub destination: Mac,
    pub source: Mac,
    pub protocol: EtherType,
}

/// What a header that was received says. Having one proves nothing but that there were 14 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Received {
    pub destination: Station,
    pub source: Station,
    pub protocol: EtherType,
}

/// A station's address as a number, which is compared at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Station(u64);

impl Station {
    const BITS: u64 = (1 << 48) - 1;

    pub fn of(Mac([a, b, c, d, e, f]): Mac) -> Self {
        Self(u64::from_le_bytes([a, b, c, d, e, f, 0, 0]))
    }

    #[inline]
    pub fn mac(self) -> Mac {
        let [a, b, c, d, e, f, ..] = self.0.to_le_bytes();
        Mac([a, b, c, d, e, f])
    }

    /// As [`Mac::is_multicast`] says.
    #[inline]
    pub fn is_multicast(self) -> bool {
        self.0 & 1 != 0
    }
}

impl Received {
    /// Two words have all of it.
    #[inline]
    pub fn parse(bytes: &[u8; HEADER]) -> Self {
        let [first, last] = [bytes.first_chunk(), bytes.last_chunk()]
            .map(|word| u64::from_le_bytes(*word.unwrap_or(&[0; 8])));
        Self {
            destination: Station(first & Station::BITS),
            source: Station(last & Station::BITS),
            protocol: EtherType(((last >> 48) as u16).swap_bytes()),
        }
    }

    /// Whether the frame says its length where Ethernet II has a type (IEEE 802.2 LLC).
    pub fn is_length(self) -> bool {
        self.protocol.0 < FIRST_TYPE
    }
}

impl Header {
    #[inline]
    pub fn bytes(self) -> [u8; HEADER] {
        let Mac([d0, d1, d2, d3, d4, d5]) = self.destination;
        let Mac([s0, s1, s2, s3, s4, s5]) = self.source;
        let [t0, t1] = self.protocol.0.to_be_bytes();
        [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1]
    }
}
