//! A network card (virtio 1.2 section 5.1) with one queue pair.
//!
//! It takes what the guest sends with checksums and segments left to it, and completes the
//! checksums. It keeps frames in two bounded lists, which whoever is the network empties and
//! fills; when the list of frames to the network is full, the guest's wait in their queue.

use super::queue::{Chain, Fault, Queue};
use super::{Device, Served};
use crate::memory::Memory;
use std::collections::VecDeque;

/// The queue of frames to the guest.
const RECEIVE: usize = 0;
/// The queue of frames from the guest.
const TRANSMIT: usize = 1;

/// Feature bits (section 5.1.3).
pub mod feature {
    /// The device completes checksums of what is sent.
    pub const CSUM: u64 = 1 << 0;
    /// The driver accepts frames that say that their checksum is right.
    pub const GUEST_CSUM: u64 = 1 << 1;
    /// The device tells its address.
    pub const MAC: u64 = 1 << 5;
    /// The device takes TCP segments over IPv4 that are too long for the wire.
    pub const HOST_TSO4: u64 = 1 << 11;
    /// The device tells whether the link is up.
    pub const STATUS: u64 = 1 << 16;
}

/// Header flag: the checksum must be completed.
const NEEDS_CSUM: u8 = 1;
/// Header flag: the checksum is right.
const DATA_VALID: u8 = 2;
/// Segmentation types, without the bit that says that congestion was heard of.
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;

/// Bytes of the header in front of each frame (section 5.1.6).
pub const HEADER: usize = 12;
/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;
/// The longest frame that a guest may send: the longest IPv4 packet.
const FRAME_MAX: usize = ETHERNET + 65_535;

/// Frames that wait in either list at most.
pub const FRAMES_MAX: usize = 256;

/// A network card.
#[derive(Debug)]
pub struct Net {
    address: [u8; 6],
    features: u64,
    chain: Chain,
    from_guest: VecDeque<Vec<u8>>,
    to_guest: VecDeque<Vec<u8>>,
    counters: Counters,
}

/// What a card counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Frames that the guest sent.
    pub sent: u64,
    /// Frames that the guest received.
    pub received: u64,
    /// Frames of the guest that were dropped: what their header asks for was not agreed, or is
    /// not inside of them.
    pub bad_header: u64,
    /// Frames to the guest that were dropped: longer than the guest's buffer.
    pub too_long: u64,
}

impl Net {
    /// A card with the Ethernet address `address`, connected to nothing.
    pub fn new(address: [u8; 6]) -> Self {
        Self {
            address,
            features: 0,
            chain: Chain::default(),
            from_guest: VecDeque::new(),
            to_guest: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// The next frame that the guest sent, its checksums complete.
    pub fn sent(&mut self) -> Option<Vec<u8>> {
        self.from_guest.pop_front()
    }

    /// Whether there is such a frame.
    pub fn has_sent(&self) -> bool {
        !self.from_guest.is_empty()
    }

    /// Whether there is room for one more frame to the guest.
    pub fn has_room(&self) -> bool {
        self.to_guest.len() < FRAMES_MAX
    }

    /// Sends a frame to the guest. It is lost when there is no room.
    pub fn deliver(&mut self, frame: Vec<u8>) {
        if self.has_room() {
            self.to_guest.push_back(frame);
        }
    }

    /// What was counted.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Takes what the guest sends, while there is room for it.
    fn transmit(&mut self, memory: &Memory, queue: &mut Queue) -> Result<Served, Fault> {
        queue.want_notify(memory, false)?;
        while self.from_guest.len() < FRAMES_MAX && queue.take(memory, &mut self.chain)? {
            if let Some(frame) = self.collect(memory)? {
                self.counters.sent += 1;
                self.from_guest.push_back(frame);
            }
            queue.give_back(memory, self.chain.head, 0)?;
        }
        // Who empties the list serves the queues again.
        let is_full = self.from_guest.len() >= FRAMES_MAX;
        let again = queue.want_notify(memory, !is_full)? && !is_full;
        Ok(Served { interrupt: queue.wants_interrupt(memory)?, again })
    }

    /// The frame in the chain; `None` when it was dropped.
    fn collect(&mut self, memory: &Memory) -> Result<Option<Vec<u8>>, Fault> {
        let (length, writable) = self.chain.lengths();
        if writable != 0 {
            return Err(Fault::Chain("to be written, among frames to send"));
        }
        if !(HEADER..=HEADER + FRAME_MAX).contains(&length) {
            return Err(Fault::Chain("that is no frame: too short or too long"));
        }
        let mut bytes = vec![0; length];
        let mut rest = &mut bytes[..];
        for piece in &self.chain.pieces {
            let (part, more) = rest.split_at_mut(piece.length as usize);
            memory.read(piece.address, part)?;
            rest = more;
        }
        let mut frame = bytes.split_off(HEADER);
        if !self.complete(&bytes, &mut frame) {
            self.counters.bad_header += 1;
            return Ok(None);
        }
        Ok(Some(frame))
    }

    /// Does what the header asks for. `false` when that was not agreed or is impossible.
    fn complete(&self, header: &[u8], frame: &mut [u8]) -> bool {
        let (flags, segmentation) = (header[0], header[1] & 0x7f);
        let agreed = |bit| self.features & bit != 0;
        let whole = match segmentation {
            GSO_NONE => true,
            // Nothing is cut: the network takes TCP segments of any length.
            GSO_TCPV4 => agreed(feature::HOST_TSO4) && flags & NEEDS_CSUM != 0,
            _ => false,
        };
        if !whole || frame.len() < ETHERNET {
            return false;
        }
        if flags & NEEDS_CSUM == 0 {
            return true;
        }
        let start = usize::from(u16::from_le_bytes([header[6], header[7]]));
        let offset = usize::from(u16::from_le_bytes([header[8], header[9]]));
        agreed(feature::CSUM) && checksum(frame, start, offset)
    }

    /// Gives the guest what there is, while it has buffers.
    fn receive(&mut self, memory: &Memory, queue: &mut Queue) -> Result<Served, Fault> {
        while let Some(frame) = self.to_guest.front() {
            if !queue.take(memory, &mut self.chain)? {
                break;
            }
            let (readable, room) = self.chain.lengths();
            if readable != 0 {
                return Err(Fault::Chain("to be read, among buffers for frames"));
            }
            if room < HEADER + frame.len() {
                queue.untake();
                self.counters.too_long += 1;
            } else {
                let written = self.scatter(memory, frame)?;
                queue.give_back(memory, self.chain.head, written)?;
                self.counters.received += 1;
            }
            self.to_guest.pop_front();
        }
        // More buffers are news only while there are frames for them.
        let waits = !self.to_guest.is_empty();
        let again = queue.want_notify(memory, waits)? && waits;
        Ok(Served { interrupt: queue.wants_interrupt(memory)?, again })
    }

    fn scatter(&self, memory: &Memory, frame: &[u8]) -> Result<u32, Fault> {
        let mut header = [0; HEADER];
        header[0] = if self.features & feature::GUEST_CSUM != 0 { DATA_VALID } else { 0 };
        header[10] = 1;
        let (mut header, mut frame) = (&header[..], frame);
        let total = header.len() + frame.len();
        for piece in &self.chain.pieces {
            let (mut address, mut room) = (piece.address, piece.length as usize);
            for part in [&mut header, &mut frame] {
                let (now, later) = part.split_at(part.len().min(room));
                memory.write(address, now)?;
                address += now.len() as u64;
                room -= now.len();
                *part = later;
            }
        }
        Ok(total as u32)
    }
}

impl Device for Net {
    const KIND: u32 = 1;
    const QUEUES: usize = 2;

    fn features(&self) -> u64 {
        feature::CSUM | feature::GUEST_CSUM | feature::MAC | feature::HOST_TSO4 | feature::STATUS
    }

    fn config(&self, offset: usize, bytes: &mut [u8]) {
        // The address and, behind it, the status: the link is up.
        let [a, b, c, d, e, f] = self.address;
        let config = [a, b, c, d, e, f, 1, 0];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = config.get(offset + index).copied().unwrap_or(0);
        }
    }

    fn start(&mut self, features: u64) {
        self.features = features;
    }

    fn reset(&mut self) {
        self.features = 0;
        self.from_guest.clear();
        self.to_guest.clear();
    }

    fn serve(&mut self, memory: &Memory, queues: &mut [Queue]) -> Result<Served, Fault> {
        let mut all = Served::default();
        if let Some(queue) = queues.get_mut(TRANSMIT).filter(|queue| queue.ready) {
            let served = self.transmit(memory, queue)?;
            all.interrupt |= served.interrupt;
            all.again |= served.again;
        }
        if let Some(queue) = queues.get_mut(RECEIVE).filter(|queue| queue.ready) {
            let served = self.receive(memory, queue)?;
            all.interrupt |= served.interrupt;
            all.again |= served.again;
        }
        Ok(all)
    }
}

/// Completes the Internet checksum (RFC 1071) from `start` to the end of the frame, whose place
/// `offset` bytes on holds the sum of what is summed beside. `false` when it is not inside.
fn checksum(frame: &mut [u8], start: usize, offset: usize) -> bool {
    let Some(summed) = frame.get_mut(start..).filter(|rest| rest.len() >= offset + 2) else {
        return false;
    };
    let words = summed.chunks(2).map(|word| match *word {
        [high, low] => u64::from(u16::from_be_bytes([high, low])),
        [high, ..] => u64::from(high) << 8,
        [] => 0,
    });
    let mut sum: u64 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let value = match !(sum as u16) {
        // Zero says that there is none, where UDP allows that (RFC 768).
        0 => 0xffff,
        value => value,
    };
    summed[offset..offset + 2].copy_from_slice(&value.to_be_bytes());
    true
}
