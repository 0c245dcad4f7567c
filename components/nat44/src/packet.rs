//! What of a packet is looked at, and how it is rewritten in place.

use core::net::Ipv4Addr;
use waitless::Protocol;
use waitless::checksum::{Checksum, adjusted};

/// A packet, as far as address translation looks. Having one proves that version and lengths are
/// right; the header's checksum is for IP to check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    pub source: Ipv4Addr,
    pub destination: Ipv4Addr,
    pub protocol: u8,
    /// Bytes of the header, and of the whole packet.
    pub header: usize,
    pub total: usize,
    /// Of a fragment, the number that all of the datagram have in common.
    pub part: Option<u16>,
    pub kind: Kind,
}

/// What stands behind the header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// TCP or UDP, with source and destination port.
    Flow((u16, u16), Flags),
    /// An ICMP message that asks, with its number.
    Question(u16),
    /// One that answers.
    Answer(u16),
    /// An ICMP error.
    Error(Quote),
    /// Another message of ICMP.
    Message,
    /// A fragment that is not the first.
    Later,
    /// Another protocol.
    Other,
}

/// What TCP says of a connection's life.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Flags {
    pub begins: bool,
    pub acknowledges: bool,
    pub finishes: bool,
    pub reset: bool,
}

impl Flags {
    /// Whether it is the first segment of a connection.
    pub fn is_first(self) -> bool {
        self.begins && !self.acknowledges
    }
}

/// The packet that an ICMP error is about, as far as it is quoted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Quote {
    pub source: Ipv4Addr,
    pub destination: Ipv4Addr,
    pub protocol: u8,
    /// Source and destination port; a question's number, twice.
    pub ports: (u16, u16),
    /// Where in the packet its header begins, and where its transport's.
    at: usize,
    transport: usize,
}

/// Which end of a packet is rewritten.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    Source,
    Destination,
}

impl Side {
    /// Where in an IP header its address stands.
    const fn address(self) -> usize {
        match self {
            Self::Source => 12,
            Self::Destination => 16,
        }
    }

    /// Where in a transport's header its port stands.
    const fn port(self, protocol: u8) -> usize {
        match (self, Protocol(protocol)) {
            (_, Protocol::ICMP) => 4,
            (Self::Source, _) => 0,
            (Self::Destination, _) => 2,
        }
    }
}

/// Bytes of a header without options, and where its checksum stands.
const HEADER: usize = 20;
const CHECKSUM: usize = 10;

/// Bytes of an ICMP error in front of the packet that it quotes.
const ERROR: usize = 8;

/// What a packet is; `None` for one that makes no sense.
pub(crate) fn see(bytes: &[u8]) -> Option<Seen> {
    let (source, destination, protocol, header, place) = addresses(bytes)?;
    let total = usize::from(word(bytes, 2)?);
    let whole = bytes.get(..total).filter(|_| total >= header)?;
    let (offset, more) = (place & 0x1fff, place & 0x2000 != 0);
    let part = if more || offset != 0 { Some(word(bytes, 4)?) } else { None };
    let kind = if offset == 0 { kind(whole, header, protocol)? } else { Kind::Later };
    if part.is_some() && matches!(kind, Kind::Error(_)) {
        return None;
    }
    Some(Seen { source, destination, protocol, header, total, part, kind })
}

fn kind(bytes: &[u8], header: usize, protocol: u8) -> Option<Kind> {
    let rest = bytes.get(header..)?;
    let ports = || Some((word(rest, 0)?, word(rest, 2)?));
    Some(match Protocol(protocol) {
        Protocol::TCP => {
            // All that is rewritten, so that nothing of it is in a later fragment (RFC 3128).
            let flags = rest.first_chunk::<HEADER>()?[13];
            Kind::Flow(
                ports()?,
                Flags {
                    begins: flags & 2 != 0,
                    acknowledges: flags & 16 != 0,
                    finishes: flags & 1 != 0,
                    reset: flags & 4 != 0,
                },
            )
        }
        Protocol::UDP => {
            rest.first_chunk::<8>()?;
            Kind::Flow(ports()?, Flags::default())
        }
        Protocol::ICMP => match rest.first_chunk::<ERROR>()? {
            [8 | 13, ..] => Kind::Question(word(rest, 4)?),
            [0 | 14, ..] => Kind::Answer(word(rest, 4)?),
            [3 | 11 | 12, ..] => Kind::Error(quote(bytes, header + ERROR)?),
            _ => Kind::Message,
        },
        _ => Kind::Other,
    })
}

/// The packet that is quoted from `at` on.
fn quote(bytes: &[u8], at: usize) -> Option<Quote> {
    let quoted = bytes.get(at..)?;
    let (source, destination, protocol, header, place) = addresses(quoted)?;
    let rest = quoted.get(header..).filter(|_| place & 0x1fff == 0)?;
    rest.first_chunk::<8>()?;
    let ports = match Protocol(protocol) {
        Protocol::ICMP => (word(rest, 4)?, word(rest, 4)?),
        _ => (word(rest, 0)?, word(rest, 2)?),
    };
    Some(Quote { source, destination, protocol, ports, at, transport: at + header })
}

/// Source, destination, protocol, bytes of the header, and place in a datagram.
fn addresses(bytes: &[u8]) -> Option<(Ipv4Addr, Ipv4Addr, u8, usize, u16)> {
    let [first, .., protocol, _, _, s0, s1, s2, s3, d0, d1, d2, d3] =
        *bytes.first_chunk::<HEADER>()?;
    let header = usize::from(first & 15) * 4;
    let (source, destination) = (Ipv4Addr::new(s0, s1, s2, s3), Ipv4Addr::new(d0, d1, d2, d3));
    let sense = first >> 4 == 4 && header >= HEADER && header <= bytes.len();
    sense.then_some((source, destination, protocol, header, word(bytes, 6)?))
}

/// Gives one side of a packet another address and, where its transport's header is here, another
/// port. Checksums are adjusted (RFC 1624), so that what was wrong stays wrong.
pub(crate) fn rewrite(bytes: &mut [u8], seen: &Seen, side: Side, to: Ipv4Addr, port: Option<u16>) {
    let first = seen.kind != Kind::Later && !matches!(seen.kind, Kind::Error(_));
    let transport = first.then_some(seen.header);
    rewrite_at(bytes, (0, transport), seen.protocol, side, to, port);
}

/// The same for the packet that an error quotes, and the error's checksum.
//= RFC 5508 4.2 REQ-4: what an error quotes is as the host that is told has sent it
pub(crate) fn rewrite_quote(
    bytes: &mut [u8],
    seen: &Seen,
    quote: &Quote,
    side: Side,
    to: Ipv4Addr,
    port: u16,
) {
    let place = (quote.at, Some(quote.transport));
    rewrite_at(bytes, place, quote.protocol, side, to, Some(port));
    // What is quoted has an odd length at times, and no end to its sums: so it is summed anew.
    put(bytes, seen.header + 2, 0);
    if let Some(message) = bytes.get(seen.header..seen.total) {
        let sum = Checksum::new().add(message).finish();
        put(bytes, seen.header + 2, sum);
    }
}

/// Whether the checksum of an ICMP message is right.
pub(crate) fn is_intact(bytes: &[u8], seen: &Seen) -> bool {
    let message = bytes.get(seen.header..seen.total);
    message.is_some_and(|message| Checksum::new().add(message).is_valid())
}

fn rewrite_at(
    bytes: &mut [u8],
    (at, transport): (usize, Option<usize>),
    protocol: u8,
    side: Side,
    to: Ipv4Addr,
    port: Option<u16>,
) {
    let sum = transport.and_then(|transport| {
        let at = transport + sum_of(protocol)?;
        // A datagram may have none (RFC 768), and one that is quoted may end before it.
        let none = word(bytes, at)? == 0 && Protocol(protocol) == Protocol::UDP;
        (!none).then_some(at)
    });
    let icmp = Protocol(protocol) == Protocol::ICMP;
    let [a, b, c, d] = to.octets();
    for (offset, new) in [(0, [a, b]), (2, [c, d])] {
        let place = at + side.address() + offset;
        let (Some(old), new) = (word(bytes, place), u16::from_be_bytes(new)) else { return };
        put(bytes, place, new);
        adjust(bytes, at + CHECKSUM, old, new);
        // The pseudo header has the address; that of ICMP there is none of.
        if let Some(sum) = sum.filter(|_| !icmp) {
            adjust(bytes, sum, old, new);
        }
    }
    if let (Some(transport), Some(new)) = (transport, port) {
        let place = transport + side.port(protocol);
        let Some(old) = word(bytes, place) else { return };
        put(bytes, place, new);
        if let Some(sum) = sum {
            adjust(bytes, sum, old, new);
        }
    }
    if let Some(sum) = sum.filter(|_| Protocol(protocol) == Protocol::UDP)
        && word(bytes, sum) == Some(0)
    {
        // Zero would say that there is none.
        put(bytes, sum, 0xffff);
    }
}

/// Where in its header a transport has its checksum.
fn sum_of(protocol: u8) -> Option<usize> {
    match Protocol(protocol) {
        Protocol::TCP => Some(16),
        Protocol::UDP => Some(6),
        Protocol::ICMP => Some(2),
        _ => None,
    }
}

fn adjust(bytes: &mut [u8], at: usize, old: u16, new: u16) {
    if let Some(sum) = word(bytes, at) {
        put(bytes, at, adjusted(sum, old, new));
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|word| u16::from_be_bytes(*word))
}

fn put(bytes: &mut [u8], at: usize, word: u16) {
    if let Some(room) = bytes.get_mut(at..at + 2) {
        room.copy_from_slice(&word.to_be_bytes());
    }
}
