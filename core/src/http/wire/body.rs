//! What of the bytes that arrive is a body, by how it is framed (RFC 9112, section 6).

use super::chunked::Decoder;
use crate::http::Length;
use crate::{Packet, Pool};
use alloc::vec::Vec;

/// How much of a body is still to come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// Nothing.
    Done,
    /// So many bytes, one at least.
    Length(u64),
    /// Chunks.
    Chunked(Decoder),
    /// Whatever comes up to the end of the connection: of a response that says no more, or of
    /// another protocol.
    UntilEnd,
}

/// What became of a part of the body.
#[derive(Debug)]
pub enum Taken {
    /// Bytes of the body, and those behind its end.
    Data(Option<Packet>, Option<Packet>),
    /// No packet for the rest: the part, unchanged.
    NoPacket(Packet),
    /// It breaks the rules of its coding.
    Malformed,
}

/// There was no packet to copy to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoPacket;

impl Framing {
    /// A body of `length` in a request: one of unknown length comes in chunks.
    pub fn of(length: Length) -> Self {
        match length {
            Length::None | Length::Known(0) => Self::Done,
            Length::Known(length) => Self::Length(length),
            Length::Unknown => Self::Chunked(Decoder::new()),
        }
    }

    /// Takes what belongs to the body off `part`, and adds lines of trailer fields to `trailers`.
    #[inline]
    pub fn take(&mut self, mut part: Packet, trailers: &mut Vec<u8>, pool: Pool) -> Taken {
        match self {
            Self::UntilEnd => Taken::Data(Some(part), None),
            Self::Done => Taken::Data(None, Some(part)),
            Self::Length(left) => {
                let length = part.len() as u64;
                if length < *left {
                    *left -= length;
                    return Taken::Data(Some(part), None);
                }
                let rest = match split_off(&mut part, *left as usize, pool) {
                    Ok(rest) => rest,
                    Err(NoPacket) => return Taken::NoPacket(part),
                };
                *self = Self::Done;
                Taken::Data(Some(part), rest)
            }
            Self::Chunked(decoder) => {
                // Decoding moves bytes and cannot be undone: the packet that what follows the
                // body may need is fetched before.
                let Some(spare) = pool.packet() else { return Taken::NoPacket(part) };
                let Ok(progress) = decoder.decode(part.bytes_mut()) else {
                    return Taken::Malformed;
                };
                if let Some(lines) = part.bytes().get(progress.trailers.clone()) {
                    // The decoder has a limit for them.
                    trailers.extend_from_slice(lines);
                }
                let behind = part.bytes().get(progress.used..).unwrap_or(&[]);
                let Ok(rest) = (match behind {
                    [] => Ok(None),
                    _ => copy_to(spare, behind).map(Some),
                }) else {
                    return Taken::Malformed;
                };
                part.truncate(progress.data);
                if progress.done {
                    *self = Self::Done;
                }
                Taken::Data((progress.data > 0).then_some(part), rest)
            }
        }
    }
}

/// Cuts what stands behind the first `length` bytes off `packet`, into a packet of its own.
#[inline]
pub fn split_off(
    packet: &mut Packet,
    length: usize,
    pool: Pool,
) -> Result<Option<Packet>, NoPacket> {
    let Some(behind) = packet.bytes().get(length..).filter(|behind| !behind.is_empty()) else {
        return Ok(None);
    };
    let rest = copy(behind, pool)?;
    packet.truncate(length);
    Ok(Some(rest))
}

/// A packet of its own for `bytes`, with as much headroom as there is room for.
pub fn copy(bytes: &[u8], pool: Pool) -> Result<Packet, NoPacket> {
    copy_to(pool.packet().ok_or(NoPacket)?, bytes)
}

fn copy_to(mut packet: Packet, bytes: &[u8]) -> Result<Packet, NoPacket> {
    if packet.tailroom() < bytes.len() {
        packet.reset(0);
    }
    packet.append(bytes).map_err(|_| NoPacket)?;
    Ok(packet)
}
