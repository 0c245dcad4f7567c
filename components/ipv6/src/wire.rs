//! The IPv6 header (RFC 8200 section 3).

use core::net::Ipv6Addr;

/// Bytes of the header.
pub(crate) const HEADER: usize = 40;

/// Where in the header the payload's length, the next header's number and the addresses stand.
pub(crate) const LENGTH: usize = 4;
pub(crate) const NEXT: usize = 6;

/// A header's meaning. Having one proves that the version is right and that the packet's bytes
/// reach to `total`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub source: Ipv6Addr,
    pub destination: Ipv6Addr,
    /// The number of what follows.
    pub next: u8,
    /// Bytes of header and payload.
    pub total: usize,
    pub hops: u8,
    pub class: u8,
}

/// What is wrong with a header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Malformed {
    /// Fewer bytes than a header has.
    Short,
    /// Another version.
    Version,
    /// The packet says to be longer than it is.
    Length,
}

impl Header {
    /// What `bytes` mean. Behind the packet's end there may be padding of the link.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let (fixed, rest) = bytes.split_first_chunk::<HEADER>().ok_or(Malformed::Short)?;
        let [v, c, _, _, l0, l1, next, hops, addresses @ ..] = *fixed;
        //= RFC 8200 3: version and length are checked; a hop limit of 0 is nothing to its receiver
        if v >> 4 != 6 {
            return Err(Malformed::Version);
        }
        let payload = usize::from(u16::from_be_bytes([l0, l1]));
        if payload > rest.len() {
            return Err(Malformed::Length);
        }
        let mut halves = addresses.as_chunks::<16>().0.iter();
        let mut address = || halves.next().map_or(Ipv6Addr::UNSPECIFIED, |it| (*it).into());
        Ok(Self {
            source: address(),
            destination: address(),
            next,
            total: HEADER + payload,
            hops,
            class: v << 4 | c >> 4,
        })
    }
}

/// What a header to send says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing {
    pub source: Ipv6Addr,
    pub destination: Ipv6Addr,
    /// The number of what follows.
    pub next: u8,
    /// Bytes behind the header.
    pub payload: u16,
    pub hops: u8,
    pub class: u8,
    /// 20 bits that packets of a flow have in common (RFC 6437).
    pub flow: u32,
}

impl Outgoing {
    #[inline]
    pub fn bytes(&self) -> [u8; HEADER] {
        let first = 6 << 28 | u32::from(self.class) << 20 | self.flow & 0xf_ffff;
        let [l0, l1] = self.payload.to_be_bytes();
        let mut header = [0; HEADER];
        let (numbers, addresses) = header.split_at_mut(8);
        let [a, b, c, d] = first.to_be_bytes();
        numbers.copy_from_slice(&[a, b, c, d, l0, l1, self.next, self.hops]);
        let both = [self.source.octets(), self.destination.octets()];
        for (room, octets) in addresses.as_chunks_mut::<16>().0.iter_mut().zip(both) {
            *room = octets;
        }
        header
    }
}
