//! What is IPv4's own about datagrams in fragments (RFC 791 section 3.2): which fragment makes
//! sense, and what the header of the whole says. The core puts them together.

use crate::wire::{HEADER_MAX, Header, defragment};
use core::net::IpAddr;
use waitless::network::fragments::{Assembled, HEADERS_MAX, Key, Piece};
use waitless::packet::Info;
use waitless::{Packet, Protocol};

/// Bytes in front of a datagram's payload: its IP header, and whatever an answer that is made in
/// the same buffer needs.
pub(crate) const FRONT: usize = 128;

const _: () = assert!(HEADER_MAX <= HEADERS_MAX && HEADERS_MAX <= FRONT);

/// Bytes of a transport header that its first fragment must have: all of TCP's (RFC 3128), and
/// what the others have at least.
const FIRST_MIN: usize = 8;
const FIRST_MIN_TCP: usize = 20;

/// The ECN bits of the traffic class (RFC 3168 section 5), and what they say where congestion was
/// met.
const ECN: u8 = 3;
const CONGESTION: u8 = 3;

/// The datagram that a fragment is of.
pub(crate) fn key(header: &Header) -> Key {
    Key {
        source: IpAddr::V4(header.source),
        destination: IpAddr::V4(header.destination),
        protocol: header.protocol.0,
        identification: header.identification.into(),
    }
}

/// A fragment, where it makes sense on its own.
pub(crate) fn piece<'a>(header: &Header, packet: &'a Packet) -> Option<Piece<'a, ()>> {
    let bytes = packet.bytes();
    let payload = bytes.get(header.length..header.total)?;
    let first_min = if header.protocol == Protocol::TCP { FIRST_MIN_TCP } else { FIRST_MIN };
    let pieces = !payload.is_empty() && (!header.more || payload.len().is_multiple_of(8));
    let reaches = header.offset + payload.len() + header.length <= usize::from(u16::MAX);
    if !pieces || !reaches || (header.offset == 0 && payload.len() < first_min) {
        return None;
    }
    Some(Piece {
        key: key(header),
        offset: header.offset,
        more: header.more,
        headers: bytes.get(..header.length)?,
        payload,
        ecn: header.class & ECN,
        info: describe(header, packet.info()),
        tag: (),
    })
}

/// The datagram behind its IP header, which says that it is whole.
pub(crate) fn whole(mut assembled: Assembled<()>) -> Option<Packet> {
    let total = assembled.packet.len() + assembled.headers_mut().len();
    defragment(assembled.headers_mut(), u16::try_from(total).ok()?);
    let congestion = assembled.congestion;
    let mut packet = assembled.into_packet()?;
    if congestion {
        packet.info_mut().class |= CONGESTION;
    }
    Some(packet)
}

/// What travels with a packet that has this header.
#[inline]
pub(crate) fn describe(header: &Header, info: &Info) -> Info {
    Info {
        remote: IpAddr::V4(header.source),
        local: IpAddr::V4(header.destination),
        hops: header.hops,
        class: header.class,
        ip_header: header.length as u16,
        checksum: if header.is_fragment() { Default::default() } else { info.checksum },
        ..*info
    }
}
