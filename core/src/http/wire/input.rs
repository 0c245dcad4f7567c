//! What has arrived on a connection and was not used up.

use super::body::{NoPacket, copy};
use super::memory::{Budget, Memory};
use crate::http::HeadBytes;
use crate::{Packet, Pool};

/// Bytes that have arrived and were not used up.
#[derive(Default, Debug)]
pub enum Input {
    /// None.
    #[default]
    Empty,
    /// In a packet.
    Packet(Packet),
    /// In memory: a head that is long, or was not complete for a while.
    Memory(Memory),
}

/// There was no memory to copy to, or none that may be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoMemory;

impl Input {
    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// The bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Empty => &[],
            Self::Packet(packet) => packet.bytes(),
            Self::Memory(memory) => memory,
        }
    }

    /// The bytes, to change them where they are.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Empty => &mut [],
            Self::Packet(packet) => packet.bytes_mut(),
            Self::Memory(memory) => memory,
        }
    }

    /// Adds `bytes` behind what there is: in its packet, where they fit, else in memory that
    /// counts against `budget`.
    ///
    /// # Errors
    /// When there is no memory for them. Nothing has changed then.
    pub fn extend(&mut self, bytes: &[u8], budget: &'static Budget) -> Result<(), NoMemory> {
        if let Self::Memory(memory) = self {
            return memory.extend(bytes);
        }
        if let Self::Packet(packet) = self
            && packet.append(bytes).is_ok()
        {
            return Ok(());
        }
        let mut memory = Memory::copy(self.bytes(), budget)?;
        memory.extend(bytes)?;
        *self = Self::Memory(memory);
        Ok(())
    }

    /// Copies what is in a packet into memory of its size, and gives the packet back.
    ///
    /// # Errors
    /// When there is no memory for it. Nothing has changed then.
    pub fn settle(&mut self, budget: &'static Budget) -> Result<(), NoMemory> {
        if let Self::Packet(packet) = self {
            *self = Self::Memory(Memory::copy(packet.bytes(), budget)?);
        }
        Ok(())
    }

    /// Takes the first `length` bytes, a head, off. Nothing changes when there is no packet for
    /// what must be copied.
    #[inline(always)]
    pub fn take_head(&mut self, length: usize, pool: Pool) -> Result<HeadBytes, NoPacket> {
        // The usual case: the packet is the head.
        if let Self::Packet(packet) = self
            && packet.len() <= length
            && let Some(packet) = self.take_packet()
        {
            return Ok(HeadBytes::Packet(packet));
        }
        self.take_some(length, pool)
    }

    #[inline(never)]
    fn take_some(&mut self, length: usize, pool: Pool) -> Result<HeadBytes, NoPacket> {
        match core::mem::take(self) {
            Self::Packet(mut packet) => {
                let head = copy(packet.bytes().get(..length).unwrap_or(&[]), pool);
                if head.is_ok() {
                    packet.trim_front(length);
                }
                *self = Self::Packet(packet);
                head.map(HeadBytes::Packet)
            }
            Self::Memory(memory) => {
                if let Some(behind) = memory.get(length..).filter(|behind| !behind.is_empty()) {
                    match copy(behind, pool) {
                        Ok(rest) => *self = Self::Packet(rest),
                        Err(NoPacket) => {
                            *self = Self::Memory(memory);
                            return Err(NoPacket);
                        }
                    }
                }
                // What stands behind the head there is not looked at any more.
                Ok(HeadBytes::Memory(memory))
            }
            Self::Empty => Ok(HeadBytes::Memory(Memory::default())),
        }
    }

    /// Drops the first `length` bytes.
    pub fn consume(&mut self, length: usize) {
        match self {
            Self::Packet(packet) if packet.len() > length => packet.trim_front(length),
            Self::Memory(memory) if memory.len() > length => memory.trim_front(length),
            _ => *self = Self::Empty,
        }
    }

    /// Takes the bytes as a packet; what is left of a head always is one.
    #[inline]
    pub fn take_packet(&mut self) -> Option<Packet> {
        match core::mem::take(self) {
            Self::Packet(packet) => Some(packet),
            Self::Empty | Self::Memory(_) => None,
        }
    }
}
