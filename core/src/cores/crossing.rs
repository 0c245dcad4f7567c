//! Packets that change cores, and buffers that come back for them.
//!
//! A packet belongs to its core's pool, and its handle never leaves the core. To cross, its buffer
//! is taken out of the pool as a [`Parcel`], moves over a ring, and is adopted by the pool of the
//! other core, whose packet it is from then on. For each buffer that comes, one that is free
//! goes back, so both pools keep their number of buffers. Nothing is copied, but a packet of which
//! a transport still holds a second handle, or that is a chain: its bytes cross, not its buffer.

use super::ring::{Receiver, Sender, ring};
use crate::packet::Parcel;
use crate::{Packet, Pool};

/// The end that packets go into.
#[derive(Debug)]
pub struct Outlet {
    core: usize,
    packets: Sender<Parcel>,
    buffers: Receiver<Parcel>,
    /// Buffers that the other core has or owes.
    lent: usize,
}

/// The end that packets come out of.
#[derive(Debug)]
pub struct Inlet {
    core: usize,
    packets: Receiver<Parcel>,
    buffers: Sender<Parcel>,
    /// Buffers that this core has or owes.
    borrowed: usize,
}

/// A crossing of packets from core `from` to core `to`, for at most `capacity`, a power of two,
/// under way or not yet given back.
pub fn crossing(from: usize, to: usize, capacity: usize) -> (Outlet, Inlet) {
    let (packets_in, packets_out) = ring(capacity);
    let (buffers_in, buffers_out) = ring(capacity);
    (
        Outlet { core: to, packets: packets_in, buffers: buffers_out, lent: 0 },
        Inlet { core: from, packets: packets_out, buffers: buffers_in, borrowed: 0 },
    )
}

impl Outlet {
    /// The core that packets go to.
    pub fn core(&self) -> usize {
        self.core
    }

    /// Sends a packet across; gives it back when there is no room, or no buffer for the copy that
    /// it takes.
    #[inline]
    pub fn send(&mut self, packet: Packet) -> Result<(), Packet> {
        if self.room() == 0 {
            return Err(packet);
        }
        let parcel = match packet.into_parcel() {
            Ok(parcel) => parcel,
            Err(packet) => match copy(&packet) {
                Some(parcel) => parcel,
                None => return Err(packet),
            },
        };
        // There is room: a ring that lends no more than its capacity is never full.
        let _ = self.packets.send(parcel);
        self.lent += 1;
        Ok(())
    }

    /// How many packets [`send`](Self::send) would take now.
    #[inline]
    pub fn room(&self) -> usize {
        self.packets.capacity() - self.lent
    }

    /// Takes buffers back.
    #[inline]
    pub fn reclaim(&mut self, pool: Pool) {
        while self.lent > 0
            && let Some(buffer) = self.buffers.recv()
        {
            pool.restock(buffer);
            self.lent -= 1;
        }
    }

    /// Buffers that the other core has or owes.
    pub fn lent(&self) -> usize {
        self.lent
    }

    /// Whether no buffer waits to be taken back.
    #[inline]
    pub fn is_settled(&self) -> bool {
        self.lent == 0 || self.buffers.is_empty()
    }
}

impl Inlet {
    /// The core that packets come from.
    pub fn core(&self) -> usize {
        self.core
    }

    /// The next packet, from now on one of `pool`.
    #[inline]
    pub fn recv(&mut self, pool: Pool) -> Option<Packet> {
        let parcel = self.packets.recv()?;
        self.borrowed += 1;
        Some(pool.adopt(parcel))
    }

    /// Whether no packet waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Gives back as many buffers as came, as far as `pool` has any that are free. Whether any
    /// went.
    #[inline]
    pub fn settle(&mut self, pool: Pool) -> bool {
        let before = self.borrowed;
        while self.borrowed > 0
            && let Some(buffer) = pool.spare()
        {
            // There is room: no more is owed than was lent.
            let _ = self.buffers.send(buffer);
            self.borrowed -= 1;
        }
        self.borrowed != before
    }
}

/// The bytes of a packet whose buffer cannot cross, in one that can.
#[cold]
fn copy(packet: &Packet) -> Option<Parcel> {
    if packet.chain_len() != packet.len() {
        return None;
    }
    packet.duplicate()?.into_parcel().ok()
}
