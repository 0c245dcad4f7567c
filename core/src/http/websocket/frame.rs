//! Frames, from bytes to what they mean (RFC 6455, section 5). Clients' frames are masked.

use super::CloseCode;

/// What a frame's header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Header {
    pub(super) opcode: Opcode,
    /// Whether it is the last frame of its message.
    pub(super) last: bool,
    /// Bytes of payload.
    pub(super) length: u64,
    pub(super) mask: [u8; 4],
}

/// What a frame is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    const fn of(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    const fn number(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    pub(super) const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// A header that may still be incomplete.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Partial {
    bytes: [u8; LONGEST],
    have: usize,
}

/// The longest header: two bytes, eight of length, four of mask.
const LONGEST: usize = 14;

impl Partial {
    /// Takes what the header still lacks off `bytes`: how many, and the header once it is
    /// complete. `Err` says how the connection is to be closed.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(usize, Option<Header>), CloseCode> {
        let mut used = 0;
        loop {
            let needed = self.needed()?;
            if self.have == needed {
                let header = self.header()?;
                *self = Self::default();
                return Ok((used, Some(header)));
            }
            let Some(&byte) = bytes.get(used) else { return Ok((used, None)) };
            if let Some(place) = self.bytes.get_mut(self.have) {
                *place = byte;
            }
            self.have += 1;
            used += 1;
        }
    }

    /// How long the header is, as far as that is known. What is wrong with its first two bytes is
    /// said as soon as they are there.
    fn needed(&self) -> Result<usize, CloseCode> {
        if self.have < 2 {
            return Ok(2);
        }
        let [first, second, ..] = self.bytes;
        let opcode = Opcode::of(first & 0x0f).ok_or(CloseCode::PROTOCOL_ERROR)?;
        //= RFC 6455 5.1: clients mask all that they send
        if first & 0x70 != 0 || second & 0x80 == 0 {
            return Err(CloseCode::PROTOCOL_ERROR);
        }
        let short = second & 0x7f;
        //= RFC 6455 5.5: no more than 125 bytes, in one frame
        if opcode.is_control() && (short > 125 || first & 0x80 == 0) {
            return Err(CloseCode::PROTOCOL_ERROR);
        }
        Ok(match short {
            126 => 8,
            127 => 14,
            _ => 6,
        })
    }

    fn header(&self) -> Result<Header, CloseCode> {
        let [first, second, rest @ ..] = &self.bytes;
        let [a, b, c, d, e, f, g, h, ..] = *rest;
        let (length, least, mask) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes([a, b])), 126, [c, d, e, f]),
            127 => {
                let [.., i, j, k, l] = *rest;
                (u64::from_be_bytes([a, b, c, d, e, f, g, h]), 1 << 16, [i, j, k, l])
            }
            short => (u64::from(short), 0, [a, b, c, d]),
        };
        //= RFC 6455 5.2: the shortest form, and no more than 63 bits
        if length < least || length >> 63 != 0 {
            return Err(CloseCode::PROTOCOL_ERROR);
        }
        let opcode = Opcode::of(first & 0x0f).ok_or(CloseCode::PROTOCOL_ERROR)?;
        Ok(Header { opcode, last: first & 0x80 != 0, length, mask })
    }
}

/// Takes the mask off `bytes`, which stand `offset` bytes behind the payload's start.
pub(super) fn unmask(bytes: &mut [u8], mask: [u8; 4], offset: u64) {
    let turned = u32::from_le_bytes(mask).rotate_right(8 * (offset % 4) as u32);
    let word = u64::from(turned) << 32 | u64::from(turned);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for chunk in words {
        *chunk = (u64::from_le_bytes(*chunk) ^ word).to_le_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(turned.to_le_bytes().into_iter().cycle()) {
        *byte ^= mask;
    }
}

/// What stands before a payload of ours, which is never masked: the bytes and how many count.
pub(super) fn head(opcode: Opcode, length: usize) -> ([u8; 10], usize) {
    let mut head = [0; 10];
    head[0] = 0x80 | opcode.number();
    let count = match length {
        0..=125 => {
            head[1] = length as u8;
            2
        }
        126..=0xffff => {
            head[1] = 126;
            head[2..4].copy_from_slice(&(length as u16).to_be_bytes());
            4
        }
        _ => {
            head[1] = 127;
            head[2..10].copy_from_slice(&(length as u64).to_be_bytes());
            10
        }
    };
    (head, count)
}

/// Text that comes in pieces: whether it is UTF-8 so far.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Utf8 {
    /// The first bytes of a character whose last ones have not come.
    begun: [u8; 4],
    count: usize,
}

impl Utf8 {
    /// Looks at the next piece. `false` when it is no UTF-8, whatever follows.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> bool {
        while self.count > 0 {
            let Some((&byte, rest)) = bytes.split_first() else { return true };
            bytes = rest;
            if let Some(place) = self.begun.get_mut(self.count) {
                *place = byte;
            }
            self.count += 1;
            match core::str::from_utf8(self.begun.get(..self.count).unwrap_or(&[])) {
                Ok(_) => self.count = 0,
                Err(error) if error.error_len().is_none() && error.valid_up_to() == 0 => {}
                Err(_) => return false,
            }
        }
        let Err(error) = core::str::from_utf8(bytes) else { return true };
        if error.error_len().is_some() {
            return false;
        }
        let rest = bytes.get(error.valid_up_to()..).unwrap_or(&[]);
        for (place, byte) in self.begun.iter_mut().zip(rest) {
            *place = *byte;
        }
        self.count = rest.len();
        true
    }

    /// Whether it may end here.
    pub(super) fn is_complete(&self) -> bool {
        self.count == 0
    }
}
