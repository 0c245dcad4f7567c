//! The device's side of a split virtqueue (virtio 1.2 section 2.7).
//!
//! The guest is not trusted. Each index, address and chain is checked; what no driver may do is a
//! [`Fault`], which stops the device until the guest resets it. A chain is followed for no more
//! steps than the queue has entries, so that a ring in it ends.

use crate::memory::{Memory, Outside};
use std::fmt;
use std::sync::atomic::{Ordering, fence};

/// The most entries that a queue has here.
pub const SIZE_MAX: u16 = 1024;

/// Descriptor flag: the chain goes on.
const NEXT: u16 = 1;
/// Descriptor flag: the device writes.
const WRITE: u16 = 2;
/// Descriptor flag: a table of descriptors, which was not agreed to.
const INDIRECT: u16 = 4;
/// In the available ring's flags: no interrupts wanted.
const NO_INTERRUPT: u16 = 1;
/// In the used ring's flags: no notifications wanted.
const NO_NOTIFY: u16 = 1;

/// What a driver did that no driver may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It named memory that it does not have.
    Outside(Outside),
    /// It made more entries available than there are.
    Available {
        /// Entries that it says are new.
        count: u16,
    },
    /// It named a descriptor that does not exist.
    Descriptor {
        /// Its number.
        index: u16,
    },
    /// A chain is longer than the queue, so it is a ring.
    Ring,
    /// A chain is of the wrong kind, or too short or too long.
    Chain(&'static str),
}

impl fmt::Display for Fault {
    /// What it did, behind "the driver".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outside(at) => write!(f, "named memory that it has not: {at}"),
            Self::Available { count } => write!(f, "made {count} entries available at once"),
            Self::Descriptor { index } => write!(f, "named descriptor {index}, which is none"),
            Self::Ring => write!(f, "made a chain that never ends"),
            Self::Chain(why) => write!(f, "made a chain {why}"),
        }
    }
}

impl From<Outside> for Fault {
    fn from(outside: Outside) -> Self {
        Self::Outside(outside)
    }
}

/// A buffer of a chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    /// Where it lies in the guest's memory, all of it.
    pub address: u64,
    /// How many bytes it has.
    pub length: u32,
    /// Whether the device writes it, or reads it.
    pub writable: bool,
}

/// A chain that the driver made available: having one proves that all of its pieces lie in the
/// guest's memory.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Chain {
    /// Its first descriptor.
    pub head: u16,
    /// Its pieces, those to read first (section 2.7.4.2).
    pub pieces: Vec<Piece>,
}

impl Chain {
    /// The bytes that the device may read, and those that it may write.
    pub fn lengths(&self) -> (usize, usize) {
        self.pieces.iter().fold((0, 0), |(read, write), piece| match piece.writable {
            false => (read + piece.length as usize, write),
            true => (read, write + piece.length as usize),
        })
    }
}

/// Where the guest put a queue, and how far the device is in it.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    /// Entries, a power of two.
    pub size: u16,
    /// Whether the guest has enabled it.
    pub ready: bool,
    /// The descriptor table's address.
    pub descriptors: u64,
    /// The available ring's address.
    pub available: u64,
    /// The used ring's address.
    pub used: u64,
    /// Whether each side says from which entry on it wants to be notified.
    pub event_index: bool,
    next_available: u16,
    next_used: u16,
    /// The used index when the driver's wish was last looked at.
    signalled: u16,
}

impl Queue {
    /// Whether the guest placed it soundly: its size, alignment and memory.
    pub fn is_sound(&self, memory: &Memory) -> bool {
        let size = usize::from(self.size);
        self.size.is_power_of_two()
            && self.size <= SIZE_MAX
            && self.descriptors.is_multiple_of(16)
            && self.available.is_multiple_of(2)
            && self.used.is_multiple_of(4)
            && memory.check(self.descriptors, 16 * size).is_ok()
            && memory.check(self.available, 6 + 2 * size).is_ok()
            && memory.check(self.used, 6 + 8 * size).is_ok()
    }

    /// Whether there are chains that were not taken.
    ///
    /// # Errors
    /// When the driver's index makes no sense.
    pub fn has_news(&self, memory: &Memory) -> Result<bool, Fault> {
        let index = memory.acquire(self.available + 2)?;
        let count = index.wrapping_sub(self.next_available);
        if count > self.size {
            return Err(Fault::Available { count });
        }
        Ok(count != 0)
    }

    /// Takes the next chain into `chain`. `false` when there is none.
    ///
    /// # Errors
    /// When the driver's index or chain makes no sense.
    pub fn take(&mut self, memory: &Memory, chain: &mut Chain) -> Result<bool, Fault> {
        if !self.ready || !self.has_news(memory)? {
            return Ok(false);
        }
        let slot = u64::from(self.next_available & (self.size - 1));
        chain.head = u16::from_le_bytes(memory.array(self.available + 4 + 2 * slot)?);
        chain.pieces.clear();
        let mut index = chain.head;
        loop {
            if index >= self.size {
                return Err(Fault::Descriptor { index });
            }
            if chain.pieces.len() == usize::from(self.size) {
                return Err(Fault::Ring);
            }
            let (piece, next) = self.piece(memory, index)?;
            let unordered = chain.pieces.last().is_some_and(|last| last.writable);
            if unordered && !piece.writable {
                return Err(Fault::Chain("that is read behind what is written"));
            }
            chain.pieces.push(piece);
            match next {
                Some(next) => index = next,
                None => break,
            }
        }
        self.next_available = self.next_available.wrapping_add(1);
        Ok(true)
    }

    fn piece(&self, memory: &Memory, index: u16) -> Result<(Piece, Option<u16>), Fault> {
        let bytes: [u8; 16] = memory.array(self.descriptors + 16 * u64::from(index))?;
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
        let address = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        let length = u32::from_le_bytes([i, j, k, l]);
        let flags = u16::from_le_bytes([m, n]);
        if flags & INDIRECT != 0 {
            return Err(Fault::Chain("of indirect descriptors, which it did not agree to"));
        }
        memory.check(address, length as usize)?;
        let next = (flags & NEXT != 0).then(|| u16::from_le_bytes([o, p]));
        Ok((Piece { address, length, writable: flags & WRITE != 0 }, next))
    }

    /// Puts the chain that was taken last back, to be taken again later.
    pub fn untake(&mut self) {
        self.next_available = self.next_available.wrapping_sub(1);
    }

    /// Returns a chain, into which `written` bytes were written.
    ///
    /// # Errors
    /// When the used ring is not in memory any more.
    pub fn give_back(&mut self, memory: &Memory, head: u16, written: u32) -> Result<(), Fault> {
        let slot = u64::from(self.next_used & (self.size - 1));
        let mut element = [0; 8];
        element[..4].copy_from_slice(&u32::from(head).to_le_bytes());
        element[4..].copy_from_slice(&written.to_le_bytes());
        memory.write(self.used + 4 + 8 * slot, &element)?;
        self.next_used = self.next_used.wrapping_add(1);
        memory.publish(self.used + 2, self.next_used)?;
        Ok(())
    }

    /// Whether the driver wants an interrupt for what was returned since this was last asked.
    ///
    /// # Errors
    /// When the available ring is not in memory any more.
    pub fn wants_interrupt(&mut self, memory: &Memory) -> Result<bool, Fault> {
        let (old, new) = (self.signalled, self.next_used);
        if old == new {
            return Ok(false);
        }
        self.signalled = new;
        // The index must be out before the wish is read: a driver that is about to sleep states
        // its wish and then looks at the index (section 2.7.7.2).
        fence(Ordering::SeqCst);
        if self.event_index {
            let event = memory.acquire(self.available + 4 + 2 * u64::from(self.size))?;
            Ok(passed(event, old, new))
        } else {
            Ok(memory.acquire(self.available)? & NO_INTERRUPT == 0)
        }
    }

    /// Tells the driver whether it should notify. Whether there are chains to take: having asked
    /// to be notified, a device sleeps only if there are none.
    ///
    /// # Errors
    /// When the rings are not in memory any more, or the driver's index makes no sense.
    pub fn want_notify(&mut self, memory: &Memory, wanted: bool) -> Result<bool, Fault> {
        if !self.ready {
            return Ok(false);
        }
        if !self.event_index {
            memory.publish(self.used, if wanted { 0 } else { NO_NOTIFY })?;
        } else if wanted {
            let place = self.used + 4 + 8 * u64::from(self.size);
            memory.publish(place, self.next_available)?;
        }
        // The wish must be out before the index is read, as above the other way round.
        fence(Ordering::SeqCst);
        self.has_news(memory)
    }
}

/// Whether an index that moves from `old` to `new` passes `event` (section 2.7.10).
fn passed(event: u16, old: u16, new: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}
