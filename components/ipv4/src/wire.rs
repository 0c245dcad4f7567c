//! The IPv4 header (RFC 791 section 3.1).

use core::net::Ipv4Addr;
use waitless::Protocol;
use waitless::checksum::{Checksum, checksum};

/// Bytes of a header without options.
pub(crate) const HEADER: usize = 20;

/// Bytes of the longest header.
pub(crate) const HEADER_MAX: usize = 60;

const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;

/// A header's meaning. Having one proves that version, lengths and checksum are right, and that
/// the packet's bytes reach to `total`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub source: Ipv4Addr,
    pub destination: Ipv4Addr,
    pub protocol: Protocol,
    /// Bytes of the header, 20 to 60.
    pub length: usize,
    /// Bytes of header and payload.
    pub total: usize,
    pub identification: u16,
    /// Whether fragments follow behind this one.
    pub more: bool,
    /// Where in the datagram's payload this fragment's starts, in bytes.
    pub offset: usize,
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
    /// The header says to be shorter than 20 bytes, or longer than the packet.
    HeaderLength,
    /// The packet says to be shorter than its header, or longer than it is.
    TotalLength,
    Checksum,
}

impl Header {
    /// What `bytes` mean. Behind the packet's end there may be padding of the link.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let fixed = bytes.first_chunk::<HEADER>().ok_or(Malformed::Short)?;
        let [version, class, l0, l1, i0, i1, f0, f1, hops, protocol, _, _, rest @ ..] = *fixed;
        let [s0, s1, s2, s3, d0, d1, d2, d3] = rest;
        //= RFC 1122 3.2.1.1: another version is dropped
        if version >> 4 != 4 {
            return Err(Malformed::Version);
        }
        let length = usize::from(version & 15) * 4;
        let sum = if length == HEADER {
            Checksum::new().add(fixed)
        } else {
            let whole = bytes.get(..length).filter(|_| length > HEADER);
            Checksum::new().add(whole.ok_or(Malformed::HeaderLength)?)
        };
        let total = usize::from(u16::from_be_bytes([l0, l1]));
        if total < length || total > bytes.len() {
            return Err(Malformed::TotalLength);
        }
        //= RFC 1122 3.2.1.2: a wrong checksum is dropped
        if !sum.is_valid() {
            return Err(Malformed::Checksum);
        }
        let fragment = u16::from_be_bytes([f0, f1]);
        Ok(Self {
            source: Ipv4Addr::new(s0, s1, s2, s3),
            destination: Ipv4Addr::new(d0, d1, d2, d3),
            protocol: Protocol(protocol),
            length,
            total,
            identification: u16::from_be_bytes([i0, i1]),
            more: fragment & MORE_FRAGMENTS != 0,
            offset: usize::from(fragment & OFFSET) * 8,
            hops,
            class,
        })
    }

    /// Whether this is a part of a datagram only.
    #[inline]
    pub fn is_fragment(&self) -> bool {
        self.more || self.offset != 0
    }
}

/// What a header to send says. The source and destination are the caller's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing {
    pub source: Ipv4Addr,
    pub destination: Ipv4Addr,
    pub protocol: Protocol,
    /// Bytes of header and payload.
    pub total: u16,
    /// `None`: must not be fragmented on its way, so that it needs no identification (RFC 6864
    /// section 4.1).
    pub identification: Option<u16>,
    pub hops: u8,
    pub class: u8,
}

impl Outgoing {
    #[inline]
    pub fn bytes(&self) -> [u8; HEADER] {
        let Protocol(protocol) = self.protocol;
        let (identification, flags) = match self.identification {
            Some(identification) => (identification, 0),
            None => (0, DONT_FRAGMENT),
        };
        let first = 0x4500_0000 | u32::from(self.class) << 16 | u32::from(self.total);
        let second = u32::from(identification) << 16 | u32::from(flags);
        let third = u32::from(self.hops) << 24 | u32::from(protocol) << 16;
        let (source, destination) = (self.source.to_bits(), self.destination.to_bits());
        // Numbers are summed as they are read, so the sum is not in the order of memory.
        let words = [first, second, third, source, destination];
        let sum = words.into_iter().map(u64::from).sum::<u64>();
        let sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
        let sum = (sum as u32).wrapping_add((sum as u32).rotate_left(16)) >> 16;
        let words = [first, second, third | u32::from(!(sum as u16)), source, destination];
        let mut header = [0; HEADER];
        for (room, word) in header.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *room = word.to_be_bytes();
        }
        header
    }
}

/// Makes the header of a first fragment that of the whole datagram of `total` bytes.
pub(crate) fn defragment(header: &mut [u8], total: u16) {
    if let Some(fixed) = header.first_chunk_mut::<HEADER>() {
        [fixed[2], fixed[3]] = total.to_be_bytes();
        [fixed[6], fixed[7], fixed[10], fixed[11]] = [0; 4];
    }
    let sum = checksum(header).to_be_bytes();
    if let Some(fixed) = header.first_chunk_mut::<HEADER>() {
        [fixed[10], fixed[11]] = sum;
    }
}

/// Why a packet with options is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BadOption {
    /// The sender chooses the route (LSRR and SSRR; RFC 7126 sections 4.3 and 4.4).
    Route,
    /// The one that stands here in the packet makes no sense.
    Malformed(u16),
}

/// Checks the options of a packet, behind the fixed part of its header. They are skipped
/// otherwise.
pub(crate) fn check_options(all: &[u8]) -> Result<(), BadOption> {
    const END: u8 = 0;
    const NOTHING: u8 = 1;
    const LOOSE_ROUTE: u8 = 131;
    const STRICT_ROUTE: u8 = 137;
    let mut options = all;
    loop {
        let malformed = BadOption::Malformed((HEADER + all.len() - options.len()) as u16);
        options = match *options {
            [] | [END, ..] => return Ok(()),
            [NOTHING, ref rest @ ..] => rest,
            //= RFC 1122 3.2.1.8: nobody chooses the route
            [LOOSE_ROUTE | STRICT_ROUTE, ..] => return Err(BadOption::Route),
            //= RFC 9293 3.9.2 MUST-50: others are skipped
            [_, length, ..] if length >= 2 => {
                options.get(usize::from(length)..).ok_or(malformed)?
            }
            _ => return Err(malformed),
        }
    }
}
