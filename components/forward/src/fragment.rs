//! Packets that are longer than a link takes, in pieces (RFC 791 section 3.2).

use crate::{CHECKSUM, FLAGS, HEADER};
use heapless::Vec;
use waitless::checksum::checksum;
use waitless::{Context, Packet};

/// Bytes of the longest header.
const HEADER_MAX: usize = 60;

/// Says that fragments follow, among the three bits before a fragment's offset.
const MORE: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;

/// The pieces of a packet, one after the other.
pub(crate) struct Fragments {
    /// Of the packet: bytes of its header, and what it says of its own place in a datagram.
    header: usize,
    place: u16,
    /// The header of all pieces but the first, which has all options.
    later: Vec<u8, HEADER_MAX>,
    /// Bytes of a piece, at most.
    mtu: usize,
    /// Where in the payload the next piece begins.
    at: usize,
}

impl Fragments {
    /// Cuts up `packet`, whose header was checked, into pieces of at most `mtu` bytes. `None` when
    /// a piece would have no room for any payload.
    pub fn new(packet: &Packet, mtu: usize) -> Option<Self> {
        let bytes = packet.bytes();
        let header = usize::from(bytes.first()? & 15) * 4;
        let place = u16::from_be_bytes([*bytes.get(FLAGS)?, *bytes.get(FLAGS + 1)?]);
        if mtu < header + 8 {
            return None;
        }
        let mut later = Vec::from_slice(bytes.get(..HEADER)?).ok()?;
        copied(bytes.get(HEADER..header)?, &mut later);
        Some(Self { header, place, later, mtu, at: 0 })
    }

    /// The next piece of the packet, which is the one that this was made of. `Some(None)` when
    /// there is no buffer for it.
    pub fn next(&mut self, packet: &Packet, cx: &Context) -> Option<Option<Packet>> {
        let payload = packet.bytes().get(self.header..)?;
        let rest = payload.get(self.at..).filter(|rest| !rest.is_empty())?;
        let header = match self.at {
            0 => packet.bytes().get(..self.header)?,
            _ => &self.later[..],
        };
        let room = self.mtu - header.len();
        let (piece, more) = match rest.get(..room - room % 8) {
            // What fits into the last one need not be a multiple of eight.
            Some(piece) if rest.len() > room => (piece, MORE),
            _ => (rest, self.place & MORE),
        };
        let offset = (self.place & OFFSET).wrapping_add((self.at / 8) as u16);
        self.at += piece.len();
        Some(fill(packet, header, piece, more | offset & OFFSET, cx))
    }
}

/// A piece in a buffer of its own.
fn fill(whole: &Packet, header: &[u8], piece: &[u8], place: u16, cx: &Context) -> Option<Packet> {
    let mut packet = cx.packet()?;
    packet.append(header).and_then(|()| packet.append(piece)).ok()?;
    let (length, total) = (header.len(), (header.len() + piece.len()) as u16);
    let bytes = packet.bytes_mut();
    if let Some(fixed) = bytes.first_chunk_mut::<HEADER>() {
        fixed[0] = fixed[0] & 0xf0 | (length / 4) as u8;
        [fixed[2], fixed[3]] = total.to_be_bytes();
        [fixed[FLAGS], fixed[FLAGS + 1]] = place.to_be_bytes();
        [fixed[CHECKSUM], fixed[CHECKSUM + 1]] = [0; 2];
    }
    let sum = checksum(bytes.get(..length)?).to_be_bytes();
    bytes.get_mut(CHECKSUM..CHECKSUM + 2)?.copy_from_slice(&sum);
    let (from, info) = (whole.info(), packet.info_mut());
    (info.remote, info.local, info.looped) = (from.remote, from.local, from.looped);
    Some(packet)
}

/// Adds those of `options` that each fragment has, whose highest bit says so (RFC 791 section
/// 3.1), and fills up to a multiple of four. They are well-formed.
fn copied(mut options: &[u8], to: &mut Vec<u8, HEADER_MAX>) {
    const COPIED: u8 = 0x80;
    const END: u8 = 0;
    const NOTHING: u8 = 1;
    while let [kind, rest @ ..] = options {
        options = match *kind {
            END => break,
            NOTHING => rest,
            kind => {
                let length = rest.first().map_or(0, |length| usize::from(*length));
                let (Some(option), Some(behind)) = (options.get(..length), options.get(length..))
                else {
                    break;
                };
                if length < 2 {
                    break;
                }
                if kind & COPIED != 0 {
                    let _ = to.extend_from_slice(option);
                }
                behind
            }
        };
    }
    while !to.len().is_multiple_of(4) {
        let _ = to.push(END);
    }
}
