//! What is IPv6's own about packets in fragments (RFC 8200 section 4.5): which fragment makes
//! sense, and what the headers of the whole say. The core puts them together.

use crate::extension::{Beginning, FRAGMENT_HEADER, Fragment, beginning};
use crate::wire::{HEADER, Header, LENGTH};
use core::net::IpAddr;
use waitless::Packet;
use waitless::network::fragments::{Assembled, HEADERS_MAX, Key, Piece};
use waitless::packet::{ChecksumState, Info};

/// Bytes in front of what was in pieces: its headers, and whatever an answer that is made in the
/// same buffer needs. What is left is, with its headers, more than every host takes.
//= RFC 8200 5: that is 1,500 bytes
pub(crate) const FRONT: usize = 256;

const _: () = assert!(HEADERS_MAX <= FRONT);

/// The ECN bits of the traffic class (RFC 3168 section 5), and what they say where congestion was
/// met.
const ECN: u8 = 3;
const CONGESTION: u8 = 3;

/// What becomes of the fragment header once the packet is whole.
#[derive(Clone, Copy)]
pub(crate) struct Link {
    /// Where in the headers the number of the fragment header stands.
    field: usize,
    /// The number that takes its place.
    next: u8,
}

/// A fragment as it arrived: the fragment header stands at `at` of the packet, and its number at
/// `field`.
pub(crate) struct Arrived<'a> {
    pub header: &'a Header,
    pub fragment: Fragment,
    pub packet: &'a Packet,
    pub at: usize,
    pub field: usize,
}

/// Why a fragment makes no sense.
#[derive(Debug)]
pub(crate) enum Nonsense {
    /// Nobody is told.
    Silent,
    /// Its sender is to be told where in it.
    Field(u16),
    /// Its sender is to be told that there are more headers than it holds.
    Headers,
}

impl<'a> Arrived<'a> {
    /// The packet that it is of.
    pub fn key(&self) -> Key {
        Key {
            source: IpAddr::V6(self.header.source),
            destination: IpAddr::V6(self.header.destination),
            protocol: 0,
            identification: self.fragment.identification,
        }
    }

    /// The fragment, where it makes sense on its own.
    pub fn piece(&self) -> Result<Piece<'a, Link>, Nonsense> {
        let bytes = self.packet.bytes();
        let start = self.at + FRAGMENT_HEADER;
        let (headers, payload) = bytes.split_at_checked(start).ok_or(Nonsense::Silent)?;
        let offset = self.fragment.offset;
        if self.fragment.more && !payload.len().is_multiple_of(8) {
            return Err(Nonsense::Field(LENGTH as u16));
        }
        let unfragmented = self.at - HEADER;
        if unfragmented + offset + payload.len() > usize::from(u16::MAX) {
            return Err(Nonsense::Field(self.at as u16 + 2));
        }
        if payload.is_empty() {
            return Err(Nonsense::Silent);
        }
        if offset == 0 {
            match beginning(payload, self.fragment.next) {
                Beginning::Whole => {}
                Beginning::Cut => return Err(Nonsense::Headers),
                Beginning::Hidden => return Err(Nonsense::Silent),
            }
        }
        let info = Info { checksum: ChecksumState::Unknown, ..*self.packet.info() };
        Ok(Piece {
            key: self.key(),
            offset,
            more: self.fragment.more,
            headers,
            payload,
            ecn: self.header.class & ECN,
            info,
            tag: Link { field: self.field, next: self.fragment.next },
        })
    }
}

/// The packet as it was before it was cut: without the fragment header, whose number gives way to
/// the one that it names.
pub(crate) fn whole(mut assembled: Assembled<Link>) -> Option<Packet> {
    let Link { field, next } = assembled.tag;
    assembled.shorten_headers(FRAGMENT_HEADER);
    let (payload, congestion) = (assembled.packet.len(), assembled.congestion);
    let headers = assembled.headers_mut();
    let payload = u16::try_from(headers.len() - HEADER + payload).ok()?;
    if congestion {
        // The class's last four bits are the upper half of the second byte.
        *headers.get_mut(1)? |= CONGESTION << 4;
    }
    *headers.get_mut(field)? = next;
    headers.get_mut(LENGTH..LENGTH + 2)?.copy_from_slice(&payload.to_be_bytes());
    assembled.into_packet()
}
