//! The head of a response: from what it says to bytes, right where they are sent from.

use crate::date::Date;
use crate::exchange::PIECE;
use waitless::http::{Integer, Status};
use waitless::packet::NoRoom;
use waitless::{Packet, Pool};

/// What a response's head says.
#[derive(Clone, Copy)]
pub(crate) struct Lines<'a> {
    pub(crate) status: Status,
    pub(crate) date: Option<&'a Date>,
    /// The `Server` field; empty for none.
    pub(crate) server: &'a str,
    pub(crate) media: Option<&'a str>,
    pub(crate) length: Announced,
    pub(crate) connection: Persistence,
    /// More lines, complete.
    pub(crate) fields: &'a [u8],
}

/// What a head says of the body's length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Announced {
    Nothing,
    Length(u64),
    Chunked,
}

/// What a head says of the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Persistence {
    /// What is usual for the version.
    Usual,
    /// It stays open, which an old client does not expect.
    Kept,
    /// It is closed after this.
    Closed,
}

impl Lines<'_> {
    /// Bytes of the head.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        let mut length = 0;
        self.each(|bytes| length += bytes.len());
        length
    }

    /// Puts the head, `length` bytes long, in front of what `packet` holds.
    #[inline]
    pub(crate) fn prepend(&self, length: usize, packet: &mut Packet) -> Result<(), NoRoom> {
        let mut room = packet.grow_front(length)?.get_mut(..length).unwrap_or(&mut []);
        self.each(|bytes| {
            if let Some((now, later)) = core::mem::take(&mut room).split_at_mut_checked(bytes.len())
            {
                now.copy_from_slice(bytes);
                room = later;
            }
        });
        Ok(())
    }

    /// The head in two packets, for one that is too long for one; `None` when there are none.
    #[cold]
    pub(crate) fn in_two(&self, pool: Pool) -> Option<[Packet; 2]> {
        let (mut first, mut second) = (pool.packet()?, pool.packet()?);
        self.each(|bytes| {
            let room = PIECE.saturating_sub(first.len()).min(bytes.len());
            let (now, later) = bytes.split_at(room);
            // There is room for what the caller lets through.
            let _ = first.append(now).and_then(|()| second.append(later));
        });
        Some([first, second])
    }

    /// Calls `put` with every piece, in order.
    #[inline]
    fn each(&self, mut put: impl FnMut(&[u8])) {
        if self.status == Status::OK {
            put(b"HTTP/1.1 200 OK\r\n");
        } else {
            put(b"HTTP/1.1 ");
            put(&self.status.digits());
            put(b" ");
            put(self.status.reason().as_bytes());
            put(b"\r\n");
        }
        if let Some(date) = self.date {
            put(b"Date: ");
            put(date);
            put(b"\r\n");
        }
        if !self.server.is_empty() {
            put(b"Server: ");
            put(self.server.as_bytes());
            put(b"\r\n");
        }
        if let Some(media) = self.media {
            put(b"Content-Type: ");
            put(media.as_bytes());
            put(b"\r\n");
        }
        match self.length {
            Announced::Nothing => {}
            Announced::Length(length) => {
                put(b"Content-Length: ");
                put(Integer::new(length).bytes());
                put(b"\r\n");
            }
            Announced::Chunked => put(b"Transfer-Encoding: chunked\r\n"),
        }
        match self.connection {
            Persistence::Usual => {}
            Persistence::Kept => put(b"Connection: keep-alive\r\n"),
            Persistence::Closed => put(b"Connection: close\r\n"),
        }
        put(self.fields);
        put(b"\r\n");
    }
}

/// What stands before a chunk of `length` bytes: the line break behind the chunk before, unless
/// this is the first, and the size in hexadecimal.
pub(crate) struct ChunkFrame {
    bytes: [u8; 20],
    start: usize,
}

impl ChunkFrame {
    #[inline]
    pub(crate) fn new(mut length: usize, first: bool) -> Self {
        let mut bytes = *b"                  \r\n";
        let mut start = 18;
        loop {
            start -= 1;
            bytes[start] = HEX[length & 15];
            length >>= 4;
            if length == 0 {
                break;
            }
        }
        if !first {
            bytes[start - 2..start].copy_from_slice(b"\r\n");
            start -= 2;
        }
        Self { bytes, start }
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or(&[])
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// What ends a chunked body: the last line break, unless there was no chunk, and a chunk of
/// nothing.
pub(crate) fn last_chunk(first: bool) -> &'static [u8] {
    if first { b"0\r\n\r\n" } else { b"\r\n0\r\n\r\n" }
}

/// The interim response that asks for the body; `None` when there is no packet.
pub(crate) fn continue_packet(pool: Pool) -> Option<Packet> {
    let mut packet = pool.packet()?;
    packet.append(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
    Some(packet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_framed_in_hexadecimal() {
        assert_eq!(ChunkFrame::new(1, true).bytes(), b"1\r\n");
        assert_eq!(ChunkFrame::new(0x5a0, false).bytes(), b"\r\n5a0\r\n");
        assert_eq!(ChunkFrame::new(usize::MAX, false).bytes().len(), 20);
    }
}
