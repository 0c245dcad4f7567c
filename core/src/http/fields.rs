//! Fields that a handler adds to its response: lines in packets of their own.

use super::head::is_same_name;
use super::{Date, FieldValue, Integer, is_token};
use crate::packet::NoRoom;
use crate::{Packet, Pool};
use alloc::string::String;
use core::fmt::{self, Arguments, Write};

/// Field lines that are known to be well-formed.
#[derive(Debug)]
pub struct Fields {
    /// The last lines, and behind them, in the packets that stand there, those before them.
    last: Packet,
    /// What `Last-Modified` says, in seconds since 1970, where it was added as a date.
    modified: u32,
    length: u16,
    /// Whether a value had a control character in it.
    malformed: bool,
    /// Which of those are among them that a port adds where they are not.
    noted: Noted,
}

/// Names of fields that a response has once: a port adds its own line unless they are noted.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Noted(u8);

impl Noted {
    /// `Date`.
    pub const DATE: Self = Self(1 << 0);
    /// `Server`.
    pub const SERVER: Self = Self(1 << 1);
    /// `Content-Type`.
    pub const MEDIA: Self = Self(1 << 2);
    /// `Strict-Transport-Security`.
    pub const SECURE: Self = Self(1 << 3);
    /// `Last-Modified`, while its value is written.
    const MODIFIED: Self = Self(1 << 7);

    /// Whether `other` is among them.
    #[inline]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Which of them `name` is.
    fn of(name: &str) -> Self {
        let (known, noted) = match name.len() {
            4 => ("Date", Self::DATE),
            6 => ("Server", Self::SERVER),
            12 => ("Content-Type", Self::MEDIA),
            13 => ("Last-Modified", Self::MODIFIED),
            25 => ("Strict-Transport-Security", Self::SECURE),
            _ => return Self(0),
        };
        if is_same_name(name, known) { noted } else { Self(0) }
    }
}

/// Why a field cannot be added.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BadField {
    /// A name that is no token, or the port's, or a value with a control character.
    Malformed,
    /// There is no room for it, or no packet.
    NoRoom,
}

impl Fields {
    /// The most bytes that the lines of a response may have together.
    pub const LIMIT: usize = 60 << 10;

    pub(super) fn new(pool: Pool) -> Option<Self> {
        let mut last = pool.packet()?;
        last.reset(0);
        Some(Self { last, modified: 0, length: 0, malformed: false, noted: Noted(0) })
    }

    /// Bytes of all lines.
    #[inline]
    pub fn len(&self) -> usize {
        self.length.into()
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Which of those are among them that a port adds where they are not.
    #[inline]
    pub fn noted(&self) -> Noted {
        self.noted
    }

    /// What `Last-Modified` says, in seconds since 1970, where it was added as a [`Date`]; 0
    /// otherwise.
    #[inline]
    pub fn modified(&self) -> u32 {
        self.modified
    }

    /// Has `Last-Modified` say `now` instead, where it was added as a date.
    pub(super) fn cap_modified(&mut self, now: Date) {
        let (said, now) = (Date::from_unix(self.modified.into()).bytes(), now.bytes());
        // Ends: there are no more packets than `LIMIT` fills.
        let (mut before, mut behind) = (self.last.take_next(), None);
        replace(&mut self.last, &said, &now);
        while let Some(mut packet) = before {
            before = packet.take_next();
            replace(&mut packet, &said, &now);
            packet.set_next(behind);
            behind = Some(packet);
        }
        while let Some(mut packet) = behind {
            behind = packet.take_next();
            packet.set_next(before);
            before = Some(packet);
        }
        self.last.set_next(before);
    }

    /// Notes a date that is being written.
    pub(super) fn note(&mut self, date: Date) {
        if self.noted.has(Noted::MODIFIED) {
            self.modified = date.unix().try_into().unwrap_or(u32::MAX);
        }
    }

    /// The lines, `name: value` with CR LF after each, where one packet holds them all; those
    /// in the last packet otherwise.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        self.last.bytes()
    }

    /// The lines and an empty one behind them, in packets, each behind the one before.
    pub fn into_packets(self) -> Packet {
        let mut packet = self.last;
        // `put` has left room for this.
        let _ = packet.append(b"\r\n");
        let mut earlier = packet.take_next();
        // Ends: there are no more packets than `LIMIT` fills.
        while let Some(mut before) = earlier {
            earlier = before.take_next();
            before.set_next(Some(packet));
            packet = before;
        }
        packet
    }

    /// Adds bytes to the value that is being written.
    pub fn append(&mut self, value: &[u8]) -> Result<(), NoRoom> {
        // A line break in a value would let it add fields, or a whole response.
        self.malformed |= value.iter().any(|&byte| byte.is_ascii_control() && byte != b'\t');
        self.put(value)
    }

    /// The value that is being written is none.
    pub(super) fn spoil(&mut self) {
        self.malformed = true;
    }

    pub(super) fn is_spoilt(&self) -> bool {
        self.malformed
    }

    /// Adds all lines of `others` behind its own.
    pub(super) fn extend(&mut self, others: Self) -> Result<(), NoRoom> {
        if others.malformed {
            return Err(NoRoom);
        }
        self.noted.0 |= others.noted.0;
        self.modified = self.modified.max(others.modified);
        let whole = others.modified != 0;
        let mut left = others.len();
        let mut next = Some(others.into_packets());
        while let Some(mut packet) = next {
            next = packet.take_next();
            // Without the empty line at the end.
            let count = packet.len().min(left);
            if whole && self.last.tailroom() < count + 2 {
                // Their date is in one piece, so that it is found again.
                self.add_packet()?;
            }
            self.put(packet.bytes().get(..count).unwrap_or(&[]))?;
            left -= count;
        }
        Ok(())
    }

    pub(super) fn add<V: FieldValue>(&mut self, name: &str, value: V) -> Result<(), BadField> {
        self.begin(name)?;
        value.write(self)?;
        self.end()
    }

    // These three are once in an image, not once for each type of value.
    #[inline(never)]
    fn begin(&mut self, name: &str) -> Result<(), BadField> {
        let is_ours = FRAMING.iter().any(|ours| is_same_name(name, ours));
        if is_ours || !is_token(name.as_bytes()) {
            return Err(BadField::Malformed);
        }
        let noted = Noted::of(name);
        self.noted.0 |= noted.0;
        if noted == Noted::MODIFIED && self.last.tailroom() < MODIFIED.len() + 31 + 2 {
            // In one piece, so that it is found again.
            self.add_packet()?;
        }
        self.put(name.as_bytes())?;
        Ok(self.put(b": ")?)
    }

    #[inline(never)]
    fn end(&mut self) -> Result<(), BadField> {
        self.noted.0 &= !Noted::MODIFIED.0;
        match self.malformed {
            true => Err(BadField::Malformed),
            false => Ok(self.put(b"\r\n")?),
        }
    }

    #[inline(never)]
    fn put(&mut self, mut bytes: &[u8]) -> Result<(), NoRoom> {
        if self.len() + bytes.len() > Self::LIMIT {
            return Err(NoRoom);
        }
        self.length += bytes.len() as u16;
        loop {
            let room = self.last.tailroom().saturating_sub(2).min(bytes.len());
            let (now, later) = bytes.split_at(room);
            self.last.append(now)?;
            if later.is_empty() {
                return Ok(());
            }
            bytes = later;
            self.add_packet()?;
        }
    }

    fn add_packet(&mut self) -> Result<(), NoRoom> {
        let mut next = self.last.pool().packet().ok_or(NoRoom)?;
        next.reset(0);
        core::mem::swap(&mut self.last, &mut next);
        self.last.set_next(Some(next));
        Ok(())
    }
}

/// Writes text into the value that is being written.
impl Write for Fields {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.append(text.as_bytes()).map_err(|NoRoom| fmt::Error)
    }
}

/// Names that the port alone uses: a second one could let a client see another end of the
/// response than the port does.
pub(super) const FRAMING: [&str; 3] = ["Content-Length", "Transfer-Encoding", "Connection"];

const MODIFIED: &[u8] = b"Last-Modified: ";

const _: () = assert!(Fields::LIMIT <= u16::MAX as usize && size_of::<Fields>() == 16);

/// Has `Last-Modified` in `packet`, where it says `said`, say `now`.
#[cold]
#[inline(never)]
fn replace(packet: &mut Packet, said: &[u8; 29], now: &[u8; 29]) {
    let bytes = packet.bytes_mut();
    let at = bytes.windows(MODIFIED.len() + said.len()).position(|line| {
        let (name, value) = line.split_at(MODIFIED.len());
        name.eq_ignore_ascii_case(MODIFIED) && value == said
    });
    let value = at.and_then(|at| bytes.get_mut(at + MODIFIED.len()..)?.first_chunk_mut());
    if let Some(value) = value {
        *value = *now;
    }
}

impl From<NoRoom> for BadField {
    fn from(NoRoom: NoRoom) -> Self {
        Self::NoRoom
    }
}

impl FieldValue for &str {
    fn write(self, fields: &mut Fields) -> Result<(), NoRoom> {
        fields.append(self.as_bytes())
    }
}

/// Whatever a field may have, text or not.
impl FieldValue for &[u8] {
    fn write(self, fields: &mut Fields) -> Result<(), NoRoom> {
        fields.append(self)
    }
}

/// One behind the other.
impl<const N: usize> FieldValue for [&str; N] {
    fn write(self, fields: &mut Fields) -> Result<(), NoRoom> {
        self.into_iter().try_for_each(|part| fields.append(part.as_bytes()))
    }
}

impl FieldValue for String {
    fn write(self, fields: &mut Fields) -> Result<(), NoRoom> {
        fields.append(self.as_bytes())
    }
}

impl<const N: usize> FieldValue for heapless::String<N> {
    fn write(self, fields: &mut Fields) -> Result<(), NoRoom> {
        fields.append(self.as_bytes())
    }
}

impl FieldValue for u64 {
    fn write(self, fields: &mut Fields) -> Result<(), NoRoom> {
        fields.append(Integer::new(self).bytes())
    }
}

impl FieldValue for Arguments<'_> {
    fn write(self, fields: &mut Fields) -> Result<(), NoRoom> {
        fields.write_fmt(self).map_err(|_| NoRoom)
    }
}
