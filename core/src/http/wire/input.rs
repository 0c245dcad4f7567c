//! What has arrived on a connection and was not used up.

use super::body::{NoPacket, copy};
use crate::http::HeadBytes;
use crate::{Packet, Pool};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// Bytes that have arrived and were not used up.
#[derive(Default, Debug)]
pub enum Input {
    /// None.
    #[default]
    Empty,
    /// In a packet.
    Packet(Packet),
    /// More than a packet holds: a long head.
    Memory(Vec<u8>),
}

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

    /// Adds a packet behind what there is.
    pub fn append(&mut self, packet: Packet) {
        *self = match core::mem::take(self) {
            Self::Empty => Self::Packet(packet),
            Self::Packet(mut first) => match first.append(packet.bytes()) {
                Ok(()) => Self::Packet(first),
                Err(_) => {
                    let mut memory = Vec::with_capacity(first.len() + packet.len());
                    memory.extend_from_slice(first.bytes());
                    memory.extend_from_slice(packet.bytes());
                    Self::Memory(memory)
                }
            },
            Self::Memory(mut memory) => {
                memory.extend_from_slice(packet.bytes());
                Self::Memory(memory)
            }
        };
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
            Self::Memory(mut memory) => {
                if let Some(behind) = memory.get(length..).filter(|behind| !behind.is_empty()) {
                    match copy(behind, pool) {
                        Ok(rest) => *self = Self::Packet(rest),
                        Err(NoPacket) => {
                            *self = Self::Memory(memory);
                            return Err(NoPacket);
                        }
                    }
                }
                memory.truncate(length);
                Ok(HeadBytes::Memory(Box::from(memory)))
            }
            Self::Empty => Ok(HeadBytes::Memory(Box::from([].as_slice()))),
        }
    }

    /// Drops the first `length` bytes.
    pub fn consume(&mut self, length: usize) {
        match self {
            Self::Packet(packet) if packet.len() > length => packet.trim_front(length),
            Self::Memory(memory) if memory.len() > length => drop(memory.drain(..length)),
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
