//! A split virtqueue (virtio 1.2 section 2.7) whose buffers are packets.
//!
//! The driver's own record of what is where is never read back from memory that the device can
//! write: a packet comes back only for an entry that was given to the device and not yet
//! returned, whatever the device claims.
//!
//! Two full barriers make notifications reliable, one on each side of a race that both sides run:
//! between publishing entries and reading whether the device wants to hear of them
//! ([`Queue::publish`]), and between asking for an interrupt and looking whether it came too late
//! ([`Queue::arm`]). Without them each side may miss the other's news, and both sleep for ever.

use alloc::boxed::Box;
use core::fmt;
use waitless::device::{Dma, full_barrier};
use waitless::{Packet, QueueMemory};

/// The most entries of a queue here. Far below 2^15, so that an index that lies 2^15 behind is
/// not reached by any number of entries that come back at once.
pub(crate) const SIZE_MAX: u16 = 1024;

/// What a device did that no device may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Misbehaviour {
    /// It returned more entries than it has.
    UsedIndex {
        /// Entries that it has.
        outstanding: u16,
        /// Entries that it says it returned.
        returned: u16,
    },
    /// It returned an entry that it does not have.
    UsedEntry {
        /// The entry.
        id: u32,
    },
}

impl fmt::Display for Misbehaviour {
    /// What it did, behind "it".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UsedIndex { outstanding, returned } => {
                write!(f, "has {outstanding} entries and returned {returned}")
            }
            Self::UsedEntry { id } => write!(f, "returned entry {id}, which it does not have"),
        }
    }
}

/// A queue of packets that a device reads, or writes.
pub(crate) struct Queue {
    memory: Dma,
    places: Places,
    /// Entries less one: what turns an index into a place.
    mask: u16,
    event_index: bool,
    entries: Box<[Entry]>,
    /// The first entry of those that are free, which their `next` joins.
    free: u16,
    free_count: u16,
    /// Where the next chain is made available; those from `published` on are not yet visible.
    available: u16,
    published: u16,
    /// The next returned chain to take back, and how far the device was when last seen.
    used: u16,
    used_seen: u16,
    /// Whether the device is asked to interrupt.
    armed: bool,
    /// With the event index: where the device was told to interrupt.
    event: u16,
}

/// What the driver knows of a descriptor.
struct Entry {
    /// The chain that starts here, while the device has it.
    packet: Option<Packet>,
    /// Descriptors of the chain that starts here.
    count: u16,
    /// The next descriptor of the same chain, or the next free one.
    next: u16,
}

/// Offsets into the queue's memory.
#[derive(Clone, Copy)]
pub(crate) struct Places {
    pub(crate) available_flags: usize,
    pub(crate) available_index: usize,
    pub(crate) available_ring: usize,
    /// Where the driver says when it wants to be interrupted.
    used_event: usize,
    pub(crate) used_flags: usize,
    pub(crate) used_index: usize,
    used_ring: usize,
    /// Where the device says when it wants to be notified.
    available_event: usize,
    pub(crate) end: usize,
}

impl Places {
    /// Of a queue of `size` entries.
    pub(crate) fn new(size: u16) -> Self {
        let size = usize::from(size);
        let available = 16 * size;
        // The two rings are written by different sides: no cache line in common.
        let used = (available + 6 + 2 * size).next_multiple_of(64);
        Self {
            available_flags: available,
            available_index: available + 2,
            available_ring: available + 4,
            used_event: available + 4 + 2 * size,
            used_flags: used,
            used_index: used + 2,
            used_ring: used + 4,
            available_event: used + 4 + 8 * size,
            end: used + 6 + 8 * size,
        }
    }
}

/// Descriptor flag: the chain goes on.
const NEXT: u64 = 1;
/// Descriptor flag: the device writes.
const WRITE: u64 = 2;
/// In the available ring's flags: no interrupts wanted.
const NO_INTERRUPT: u16 = 1;
/// In the used ring's flags: no notifications wanted.
const NO_NOTIFY: u16 = 1;

/// Half of all indices: an event that far behind does not happen while anybody looks.
const FAR: u16 = 0x8000;

impl Queue {
    /// Bytes of memory that a queue of `size` entries takes.
    pub(crate) fn bytes(size: u16) -> usize {
        Places::new(size).end
    }

    /// An empty queue of `size` entries in zeroed memory. `None` unless the size is a power of
    /// two, at most [`SIZE_MAX`], and the memory is large enough.
    pub(crate) fn new(memory: Dma, size: u16, event_index: bool) -> Option<Self> {
        let places = Places::new(size);
        if !size.is_power_of_two() || size > SIZE_MAX || memory.length() < places.end {
            return None;
        }
        let entry = |index| Entry { packet: None, count: 0, next: index + 1 };
        let mut queue = Self {
            memory,
            places,
            mask: size - 1,
            event_index,
            entries: (0..size).map(entry).collect(),
            free: 0,
            free_count: size,
            available: 0,
            published: 0,
            used: 0,
            used_seen: 0,
            armed: true,
            event: 0,
        };
        queue.disarm();
        Some(queue)
    }

    /// Where a device finds it; its interrupts go to `core`.
    pub(crate) fn place(&self, core: usize) -> QueueMemory {
        let address = self.memory.address();
        QueueMemory {
            size: self.size(),
            descriptors: address,
            available: address + self.places.available_flags as u64,
            used: address + self.places.used_flags as u64,
            core,
        }
    }

    /// Entries, used and free.
    pub(crate) fn size(&self) -> u16 {
        self.mask + 1
    }

    /// Entries that are free.
    #[inline]
    pub(crate) fn room(&self) -> u16 {
        self.free_count
    }

    /// Entries that hold packets, whether the device knows of them yet or not.
    #[inline]
    pub(crate) fn held(&self) -> u16 {
        self.size() - self.free_count
    }

    /// Chains that the device has and did not return, as far as is known.
    pub(crate) fn outstanding(&self) -> u16 {
        self.published.wrapping_sub(self.used)
    }

    /// Lets the device read the packets of a chain, from the next [`publish`](Self::publish) on.
    /// `Err` when they are more than there is room for.
    #[inline]
    pub(crate) fn lend_to_read(&mut self, chain: Packet) -> Result<(), Packet> {
        self.lend(chain, 0)
    }

    /// Lets the device write into the packet, from the next [`publish`](Self::publish) on. `Err`
    /// when there is no room.
    #[inline]
    pub(crate) fn lend_to_write(&mut self, packet: Packet) -> Result<(), Packet> {
        self.lend(packet, WRITE)
    }

    /// The memory that it lies in.
    pub(crate) fn into_memory(self) -> Dma {
        self.memory
    }

    #[inline]
    fn lend(&mut self, packet: Packet, flags: u64) -> Result<(), Packet> {
        let head = self.free;
        // The usual case: a packet alone, which takes one descriptor.
        let Some((address, length @ 1..)) = packet.only_part() else {
            return self.lend_chain(packet, flags);
        };
        let Some(entry) = self.entries.get_mut(usize::from(head)).filter(|_| self.free_count > 0)
        else {
            return Err(packet);
        };
        describe(&self.memory, head, (address, length), flags, entry.next);
        self.free = entry.next;
        self.free_count -= 1;
        entry.packet = Some(packet);
        entry.count = 1;
        self.make_available(head);
        Ok(())
    }

    /// The same for several packets that stand behind each other.
    fn lend_chain(&mut self, chain: Packet, flags: u64) -> Result<(), Packet> {
        let head = self.free;
        let (mut count, mut at) = (0, head);
        let mut parts = chain.parts().filter(|&(_, length)| length != 0).peekable();
        while let Some((address, length)) = parts.next() {
            // Descriptors are written before it is known that there are enough: what is free
            // may be scribbled on.
            if count == self.free_count {
                drop(parts);
                return Err(chain);
            }
            let Some(entry) = self.entries.get(usize::from(at)) else { break };
            let more = if parts.peek().is_some() { NEXT } else { 0 };
            describe(&self.memory, at, (address, length), flags | more, entry.next);
            at = entry.next;
            count += 1;
        }
        drop(parts);
        let Some(entry) = self.entries.get_mut(usize::from(head)) else { return Err(chain) };
        entry.packet = Some(chain);
        entry.count = count;
        self.free = at;
        self.free_count -= count;
        self.make_available(head);
        Ok(())
    }

    /// Adds the chain that starts at `head` to what the next [`publish`](Self::publish) shows.
    #[inline]
    fn make_available(&mut self, head: u16) {
        let place = self.places.available_ring + 2 * usize::from(self.available & self.mask);
        self.memory.write16(place, head);
        self.available = self.available.wrapping_add(1);
    }

    /// Makes visible to the device what was lent since the last time. Whether it wants to be
    /// notified.
    #[inline]
    pub(crate) fn publish(&mut self) -> bool {
        let (old, new) = (self.published, self.available);
        if old == new {
            return false;
        }
        self.published = new;
        self.memory.publish16(self.places.available_index, new);
        // The index must be out before the device's wish is read: a device about to sleep states
        // its wish and then looks at the index (section 2.7.13.4.1).
        full_barrier();
        if self.event_index {
            passed(self.memory.read16(self.places.available_event), old, new)
        } else {
            self.memory.read16(self.places.used_flags) & NO_NOTIFY == 0
        }
    }

    /// Takes the next chain that the device returned, and how many bytes it says it wrote.
    #[inline]
    pub(crate) fn take(&mut self) -> Result<Option<(Packet, u32)>, Misbehaviour> {
        if self.used == self.used_seen && !self.look()? {
            return Ok(None);
        }
        let place = self.places.used_ring + 8 * usize::from(self.used & self.mask);
        let (id, length) = (self.memory.read32(place), self.memory.read32(place + 4));
        let packet = self.reclaim(id).ok_or(Misbehaviour::UsedEntry { id })?;
        self.used = self.used.wrapping_add(1);
        Ok(Some((packet, length)))
    }

    /// Looks how far the device is. Whether it returned anything new.
    #[inline]
    fn look(&mut self) -> Result<bool, Misbehaviour> {
        let index = self.memory.acquire16(self.places.used_index);
        let returned = index.wrapping_sub(self.used);
        let outstanding = self.outstanding();
        if returned > outstanding {
            return Err(Misbehaviour::UsedIndex { outstanding, returned });
        }
        self.used_seen = index;
        Ok(returned != 0)
    }

    /// The chain that starts at descriptor `id`, whose descriptors become free. `None` when none
    /// starts there.
    #[inline]
    fn reclaim(&mut self, id: u32) -> Option<Packet> {
        let head = u16::try_from(id).ok()?;
        let entry = self.entries.get_mut(usize::from(head))?;
        let packet = entry.packet.take()?;
        let count = entry.count;
        let mut last = head;
        for _ in 1..count {
            last = self.entries.get(usize::from(last))?.next;
        }
        self.entries.get_mut(usize::from(last))?.next = self.free;
        self.free = head;
        self.free_count += count;
        Some(packet)
    }

    /// Asks for an interrupt once the device has returned more than `behind` chains that were
    /// not taken yet. `false` when it has already.
    pub(crate) fn arm(&mut self, behind: u16) -> bool {
        self.armed = true;
        if self.event_index {
            self.event = self.used.wrapping_add(behind);
            self.memory.write16(self.places.used_event, self.event);
        } else {
            self.memory.write16(self.places.available_flags, 0);
        }
        // The wish must be out before the index is read: a device returns entries and then looks
        // at the wish (section 2.7.7.1).
        full_barrier();
        let index = self.memory.acquire16(self.places.used_index);
        index.wrapping_sub(self.used) <= behind
    }

    /// Asks for no interrupts. A few may still come. Cheap when there is nothing to ask.
    #[inline]
    pub(crate) fn disarm(&mut self) {
        if self.event_index {
            // The event moves along, so that the index never comes round to it.
            let distance = self.used.wrapping_sub(self.event);
            if self.armed || distance.wrapping_sub(FAR / 2) > FAR {
                self.event = self.used.wrapping_sub(FAR);
                self.memory.write16(self.places.used_event, self.event);
            }
        } else if self.armed {
            self.memory.write16(self.places.available_flags, NO_INTERRUPT);
        }
        self.armed = false;
    }
}

/// Writes descriptor `at`: a part of a packet, and the descriptor behind it.
#[inline]
fn describe(memory: &Dma, at: u16, (address, length): (u64, usize), flags: u64, next: u16) {
    let rest = length as u64 | flags << 32 | u64::from(next) << 48;
    memory.write64(16 * usize::from(at), address);
    memory.write64(16 * usize::from(at) + 8, rest);
}

#[cfg(test)]
impl Queue {
    /// The memory, for a device model.
    pub(crate) fn memory(&self) -> &Dma {
        &self.memory
    }

    /// The chains that the device may reach, for a model of it.
    pub(crate) fn lent(&mut self) -> impl Iterator<Item = &mut Packet> {
        self.entries.iter_mut().filter_map(|entry| entry.packet.as_mut())
    }

    /// Takes everything back and starts again, at `index` instead of 0, on both sides.
    pub(crate) fn start_at(&mut self, index: u16) {
        for (number, entry) in (0..).zip(&mut self.entries) {
            (entry.packet, entry.next) = (None, number + 1);
        }
        (self.free, self.free_count) = (0, self.size());
        (self.available, self.published, self.used, self.used_seen) = (index, index, index, index);
        self.memory.write16(self.places.available_index, index);
        self.memory.write16(self.places.used_index, index);
        self.memory.write16(self.places.available_event, index);
        self.armed = true;
        self.disarm();
    }
}

/// Whether an index that moves from `old` to `new` passes `event` (section 2.7.10).
#[inline]
fn passed(event: u16, old: u16, new: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}
