//! Bytes into packets, as many as it takes, without the machinery of `core::fmt`.

use super::Body;
use crate::{Packet, Pool};
use core::fmt;

/// Writes a body into packets. What does not fit, or finds no packet, spoils the whole.
pub struct Writer {
    pool: Pool,
    full: heapless::Vec<Packet, MAX_FULL>,
    last: Option<Packet>,
    spoilt: bool,
}

impl Writer {
    /// The most bytes that a body written by this may have, about.
    pub const LIMIT: usize = (MAX_FULL + 1) * PIECE;

    /// A writer without any bytes as yet.
    #[inline]
    pub fn new(pool: Pool) -> Self {
        Self { pool, full: heapless::Vec::new(), last: pool.packet(), spoilt: false }
    }

    /// Adds `bytes`.
    #[inline]
    pub fn write(&mut self, bytes: &[u8]) {
        match &mut self.last {
            Some(last) if last.len() + bytes.len() <= PIECE => {
                self.spoilt |= last.append(bytes).is_err();
            }
            _ => self.write_pieces(bytes),
        }
    }

    /// Adds `bytes` between double quotes.
    #[inline]
    pub(super) fn write_quoted(&mut self, bytes: &[u8]) {
        match &mut self.last {
            Some(last) if last.len() + bytes.len() + 2 <= PIECE => {
                match last.extend(bytes.len() + 2) {
                    Ok([open, between @ .., close]) => {
                        (*open, *close) = (b'"', b'"');
                        between.copy_from_slice(bytes);
                    }
                    _ => self.spoilt = true,
                }
            }
            _ => [b"\"".as_slice(), bytes, b"\""].iter().for_each(|part| self.write_pieces(part)),
        }
    }

    /// Adds `value` in decimal.
    #[inline]
    pub fn write_integer(&mut self, value: u64) {
        self.write(Integer::new(value).bytes());
    }

    /// What was written; `None` when it was too long, or when there were not enough packets.
    #[inline]
    pub fn into_body(mut self) -> Option<Body> {
        if self.spoilt {
            return None;
        }
        let mut body = self.last.take()?;
        // Where they are: to move the list would be most of the work for a small body.
        while let Some(mut packet) = self.full.pop() {
            packet.set_next(Some(body));
            body = packet;
        }
        Some(Body::Packet(body))
    }

    fn write_pieces(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.spoilt {
            let Some(last) = &mut self.last else {
                self.spoilt = true;
                return;
            };
            let room = PIECE.saturating_sub(last.len()).min(bytes.len());
            let (piece, rest) = bytes.split_at(room);
            self.spoilt |= last.append(piece).is_err();
            bytes = rest;
            if !bytes.is_empty() {
                let full = self.last.take();
                self.spoilt |= full.is_some_and(|full| self.full.push(full).is_err());
                self.last = self.pool.packet();
            }
        }
    }
}

impl fmt::Write for Writer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.write(text.as_bytes());
        if self.spoilt { Err(fmt::Error) } else { Ok(()) }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("spoilt", &self.spoilt).finish_non_exhaustive()
    }
}

/// A number in decimal.
#[derive(Clone, Copy, Debug)]
pub struct Integer {
    digits: [u8; 20],
    start: usize,
}

impl Integer {
    /// The digits of `value`.
    #[inline(never)]
    pub const fn new(mut value: u64) -> Self {
        let mut digits = [b'0'; 20];
        let mut start = 20;
        loop {
            start -= 1;
            digits[start] = b'0' + (value % 10) as u8;
            value /= 10;
            if value == 0 {
                return Self { digits, start };
            }
        }
    }

    /// The digits, without leading zeros.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        self.digits.get(self.start..).unwrap_or(&[])
    }

    /// The same as text.
    pub fn text(&self) -> &str {
        core::str::from_utf8(self.bytes()).unwrap_or("")
    }
}

/// Bytes of a body that one packet takes: what a segment has room for on common paths.
pub(super) const PIECE: usize = 1440;

const MAX_FULL: usize = 31;
