//! One connection: what it is doing, and what of its bytes was not used up.

use alloc::boxed::Box;
use alloc::vec::Vec;
use waitless::http::HeadBytes;
use waitless::{Instant, Packet, Pool, Stream};

use crate::exchange::{NoPacket, copy};

/// The state of one connection. An idle one has nothing beside this.
pub(crate) struct Connection {
    pub(crate) stream: Stream,
    /// The place of its exchange; [`NONE`] between two of them.
    pub(crate) exchange: u32,
    pub(crate) phase: Phase,
    pub(crate) receive_queued: bool,
    pub(crate) transmit_queued: bool,
    /// Something has arrived that was not asked for yet.
    pub(crate) unread: bool,
    /// Bytes that were read and thrown away.
    pub(crate) discarded: u32,
    pub(crate) input: Input,
    /// When something must have happened.
    pub(crate) deadline: Instant,
    /// When the timer fires: not after `deadline`.
    pub(crate) armed: Instant,
}

/// What a connection is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Phase {
    /// There is none in this place.
    #[default]
    Free,
    /// It waits for a head, or for the rest of one.
    Head,
    /// An exchange is going on.
    Exchange,
    /// The response was sent; what is left of the request's body is thrown away.
    Drain,
    /// It is closed on our side, and listens until the client has closed its own.
    Linger,
    /// It will be reset, once what was sent has had the time to arrive.
    CutOff,
    /// It must be reset.
    Abort,
}

/// Bytes that have arrived and were not used up.
#[derive(Default)]
pub(crate) enum Input {
    /// None.
    #[default]
    Empty,
    /// In a packet.
    Packet(Packet),
    /// More than a packet holds: a long head.
    Memory(Vec<u8>),
}

impl Connection {
    pub(crate) fn new(stream: Stream) -> Self {
        Self {
            stream,
            exchange: NONE,
            phase: Phase::Head,
            receive_queued: false,
            transmit_queued: false,
            unread: false,
            discarded: 0,
            input: Input::Empty,
            deadline: Instant::NEVER,
            armed: Instant::NEVER,
        }
    }
}

impl Input {
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Empty => &[],
            Self::Packet(packet) => packet.bytes(),
            Self::Memory(memory) => memory,
        }
    }

    /// Adds a packet behind what there is.
    pub(crate) fn append(&mut self, packet: Packet) {
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
    #[inline]
    pub(crate) fn take_head(&mut self, length: usize, pool: Pool) -> Result<HeadBytes, NoPacket> {
        match core::mem::take(self) {
            // The usual case: the packet is the head.
            Self::Packet(packet) if packet.len() <= length => Ok(HeadBytes::Packet(packet)),
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

    /// Takes the bytes as a packet; what is left of a head always is one.
    #[inline]
    pub(crate) fn take_packet(&mut self) -> Option<Packet> {
        match core::mem::take(self) {
            Self::Packet(packet) => Some(packet),
            Self::Empty | Self::Memory(_) => None,
        }
    }
}

/// No exchange.
pub(crate) const NONE: u32 = u32::MAX;

/// What an idle connection costs here, beside its four bytes in each queue and its timer.
const _: () = assert!(size_of::<Connection>() <= 80);
