//! Fields that a handler adds to its response: lines in a packet of their own.

use super::{FieldValue, Integer, is_token};
use crate::packet::NoRoom;
use crate::{Packet, Pool};
use alloc::string::String;
use core::fmt::{Arguments, Write};

/// Field lines that are known to be well-formed.
#[derive(Debug)]
pub struct Fields(Packet);

/// Why a field cannot be added.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BadField {
    /// A name that is no token, or the port's, or a value with a control character.
    Malformed,
    /// There is no room for it.
    NoRoom,
}

impl Fields {
    pub(super) fn new(pool: Pool) -> Option<Self> {
        let mut packet = pool.packet()?;
        packet.reset(0);
        Some(Self(packet))
    }

    /// The lines, `name: value` with CR LF after each.
    pub fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    pub(super) fn add<V: FieldValue>(&mut self, name: &str, value: V) -> Result<(), BadField> {
        let before = self.0.len();
        let added = self.try_add(name, value);
        if added.is_err() {
            self.0.truncate(before);
        }
        added
    }

    fn try_add<V: FieldValue>(&mut self, name: &str, value: V) -> Result<(), BadField> {
        let is_ours = FRAMING.iter().any(|ours| name.eq_ignore_ascii_case(ours));
        if is_ours || !is_token(name.as_bytes()) {
            return Err(BadField::Malformed);
        }
        self.0.append(name.as_bytes())?;
        self.0.append(b": ")?;
        let start = self.0.len();
        value.write(&mut self.0)?;
        // A line break in a value would let it add fields, or a whole response.
        let value = self.0.bytes().get(start..).unwrap_or(&[]);
        if value.iter().any(|&byte| byte.is_ascii_control() && byte != b'\t') {
            return Err(BadField::Malformed);
        }
        Ok(self.0.append(b"\r\n")?)
    }
}

/// Names that the port alone uses: a second one could let a client see another end of the
/// response than the port does.
const FRAMING: [&str; 4] = ["Content-Length", "Transfer-Encoding", "Connection", "Date"];

impl From<NoRoom> for BadField {
    fn from(NoRoom: NoRoom) -> Self {
        Self::NoRoom
    }
}

impl FieldValue for &str {
    fn write(self, fields: &mut Packet) -> Result<(), NoRoom> {
        fields.append(self.as_bytes())
    }
}

impl FieldValue for String {
    fn write(self, fields: &mut Packet) -> Result<(), NoRoom> {
        fields.append(self.as_bytes())
    }
}

impl<const N: usize> FieldValue for heapless::String<N> {
    fn write(self, fields: &mut Packet) -> Result<(), NoRoom> {
        fields.append(self.as_bytes())
    }
}

impl FieldValue for u64 {
    fn write(self, fields: &mut Packet) -> Result<(), NoRoom> {
        fields.append(Integer::new(self).bytes())
    }
}

impl FieldValue for Arguments<'_> {
    fn write(self, fields: &mut Packet) -> Result<(), NoRoom> {
        fields.write_fmt(self).map_err(|_| NoRoom)
    }
}
