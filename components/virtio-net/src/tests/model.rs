//! A network card in software: the other side of the queues, and the registers behind the port.
//!
//! It knows of packets only what descriptors tell: an address and a length, which it looks up
//! among the packets that it was lent. So it touches nothing that a device might not.

use super::*;
use crate::queue::Queue;
use crate::wire::{config, feature};
use std::vec::Vec;
use waitless::device::Dma;
use waitless::{QueueMemory, VirtioDevice};

/// Everything that QEMU's card offers on a tap, and a bit that nobody knows.
pub const ALL: u128 = feature::VERSION_1
    | feature::EVENT_IDX
    | feature::CSUM
    | feature::GUEST_CSUM
    | feature::HOST_TSO4
    | feature::HOST_ECN
    | feature::MAC
    | feature::MTU
    | feature::STATUS
    | 1 << 15
    | 1 << 99;

/// The registers.
pub struct Registers {
    pub present: bool,
    pub offered: u128,
    pub accepted: u128,
    pub agrees: bool,
    pub queue_sizes: [u16; 2],
    pub queues: [Option<QueueMemory>; 2],
    pub live: bool,
    pub needs_reset: bool,
    pub resets: bool,
    pub failed: bool,
    pub interrupts: bool,
    /// Whether changes of the configuration interrupt.
    pub tells: bool,
    pub changed: bool,
    pub status: u16,
    pub mtu: u16,
    /// Doorbells that rang and were not answered yet, for each queue.
    pub rung: [u32; 2],
}

impl Default for Registers {
    fn default() -> Self {
        Self {
            present: true,
            offered: ALL,
            accepted: 0,
            agrees: true,
            queue_sizes: [256, 256],
            queues: [None; 2],
            live: false,
            needs_reset: false,
            resets: true,
            failed: false,
            interrupts: true,
            tells: true,
            changed: false,
            status: 1,
            mtu: 1500,
            rung: [0; 2],
        }
    }
}

pub const ADDRESS: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

impl VirtioPort for Registers {
    fn take(&mut self, kind: u16) -> Option<VirtioDevice> {
        (kind == 1 && core::mem::take(&mut self.present)).then_some(VirtioDevice(0))
    }
    fn features(&mut self, _: VirtioDevice) -> u128 {
        self.offered
    }
    fn accept(&mut self, _: VirtioDevice, features: u128) -> bool {
        assert_eq!(features & !self.offered, 0, "more than was offered");
        self.accepted = features;
        self.agrees
    }
    fn queues(&mut self, _: VirtioDevice) -> u16 {
        2
    }
    fn queue_size(&mut self, _: VirtioDevice, queue: u16) -> u16 {
        self.queue_sizes[usize::from(queue)]
    }
    fn enable_queue(&mut self, _: VirtioDevice, queue: u16, memory: QueueMemory) -> bool {
        assert!(memory.descriptors.is_multiple_of(16) && memory.used.is_multiple_of(4));
        assert!(memory.available.is_multiple_of(2));
        assert!(!self.live);
        self.queues[usize::from(queue)] = Some(memory);
        true
    }
    fn start(&mut self, _: VirtioDevice) -> bool {
        self.live = true;
        self.tells
    }
    fn fail(&mut self, _: VirtioDevice) -> bool {
        self.live = false;
        self.failed = true;
        self.resets
    }
    fn interrupts(&self, _: VirtioDevice) -> bool {
        self.interrupts
    }
    fn needs_reset(&mut self, _: VirtioDevice) -> bool {
        self.needs_reset
    }
    fn config8(&mut self, _: VirtioDevice, offset: usize) -> u8 {
        ADDRESS[offset - config::MAC]
    }
    fn config16(&mut self, _: VirtioDevice, offset: usize) -> u16 {
        match offset {
            config::STATUS => self.status,
            config::MTU => self.mtu,
            _ => panic!("no such field: {offset}"),
        }
    }
    fn config32(&mut self, _: VirtioDevice, offset: usize) -> u32 {
        panic!("no such field: {offset}")
    }
    fn notify(&mut self, _: VirtioDevice, queue: u16) {
        assert!(self.live, "a doorbell before the device is live, or after it failed");
        self.rung[usize::from(queue)] += 1;
    }
    fn config_changed(&mut self, _: VirtioDevice) -> bool {
        core::mem::take(&mut self.changed)
    }
}

/// The device's side of one queue.
pub struct Side {
    memory: Dma,
    place: QueueMemory,
    event_index: bool,
    /// The next chain to take.
    available: u16,
    used: u16,
    /// Interrupts that the driver asked for and got.
    pub interrupts: u32,
}

/// A buffer as the device sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    pub address: u64,
    pub length: u32,
    pub writable: bool,
}

impl Side {
    pub fn new(queue: &Queue, place: QueueMemory, event_index: bool) -> Self {
        Self::over(queue.memory().part(0, queue.memory().length()).unwrap(), place, event_index)
    }

    /// Of a queue that lies in `memory`.
    pub fn over(memory: Dma, place: QueueMemory, event_index: bool) -> Self {
        let used = memory.read16(Self::at(&memory, place.used) + 2);
        Self { memory, place, event_index, available: used, used, interrupts: 0 }
    }

    /// Whether there are chains that the device did not take.
    pub fn has_news(&self) -> bool {
        self.available != self.memory.acquire16(self.available(2))
    }

    fn at(memory: &Dma, address: u64) -> usize {
        (address - memory.address()) as usize
    }

    fn available(&self, offset: usize) -> usize {
        Self::at(&self.memory, self.place.available) + offset
    }

    fn used(&self, offset: usize) -> usize {
        Self::at(&self.memory, self.place.used) + offset
    }

    /// Where the next chain starts that the driver made available.
    pub fn next_head(&mut self) -> Option<u16> {
        if !self.has_news() {
            return None;
        }
        let slot = usize::from(self.available % self.place.size);
        self.available = self.available.wrapping_add(1);
        Some(self.memory.read16(self.available(4 + 2 * slot)))
    }

    /// The next chain that the driver made available: its head and its pieces.
    pub fn next(&mut self) -> Option<(u16, Vec<Piece>)> {
        let head = self.next_head()?;
        let (mut pieces, mut at) = (Vec::new(), head);
        loop {
            assert!(at < self.place.size && pieces.len() < usize::from(self.place.size));
            let base = 16 * usize::from(at);
            let flags = self.memory.read16(base + 12);
            pieces.push(Piece {
                address: self.memory.read64(base),
                length: self.memory.read32(base + 8),
                writable: flags & 2 != 0,
            });
            if flags & 1 == 0 {
                return Some((head, pieces));
            }
            at = self.memory.read16(base + 14);
        }
    }

    /// Returns a chain, and interrupts if the driver wants it.
    pub fn give_back(&mut self, id: u32, length: u32) {
        let slot = 4 + 8 * usize::from(self.used % self.place.size);
        self.memory.write32(self.used(slot), id);
        self.memory.write32(self.used(slot + 4), length);
        let old = self.used;
        self.set_used(old.wrapping_add(1));
        let wants = if self.event_index {
            let event = self.memory.read16(self.available(4 + 2 * usize::from(self.place.size)));
            self.used.wrapping_sub(event).wrapping_sub(1) < self.used.wrapping_sub(old)
        } else {
            self.memory.read16(self.available(0)) & 1 == 0
        };
        self.interrupts += u32::from(wants);
    }

    /// Moves the used index, rightly or wrongly.
    pub fn set_used(&mut self, index: u16) {
        self.used = index;
        self.memory.publish16(self.used(2), index);
    }

    /// Writes anywhere into the queue's memory, as a device can.
    pub fn scribble(&self, place: u64, value: u32) {
        let words = self.memory.length() as u64 / 4;
        self.memory.write32((place % words * 4) as usize, value);
    }

    pub fn used_index(&self) -> u16 {
        self.used
    }

    /// Says whether the driver should ring, as a device does before it sleeps (`true`) and while
    /// it works (`false`).
    pub fn want_doorbell(&mut self, wanted: bool) {
        if self.event_index {
            if wanted {
                let place = self.used(4 + 8 * usize::from(self.place.size));
                self.memory.write16(place, self.available);
            }
        } else {
            self.memory.write16(self.used(0), u16::from(!wanted));
        }
    }
}

/// A driver and a device with each other.
pub struct Pair {
    pub net: VirtioNet,
    pub registers: Registers,
    pub cx: Context,
    pub receive: Side,
    pub transmit: Side,
    /// What the device sent, header included.
    pub sent: Vec<Vec<u8>>,
    /// The pieces of what the device sent.
    pub pieces: Vec<Vec<Piece>>,
}

impl Pair {
    /// A driver that was started on the device.
    pub fn new(config: &'static Config, registers: Registers, packets: usize) -> Self {
        Self::started_at(config, registers, packets, 0)
    }

    /// The same, with all indices starting at `index`.
    pub fn started_at(
        config: &'static Config,
        mut registers: Registers,
        packets: usize,
        index: u16,
    ) -> Self {
        let (mut net, cx) = start(config, &mut registers, packets);
        let card = net.card.as_mut().expect("the device is usable");
        if index != 0 {
            card.receive.start_at(index);
            card.transmit.start_at(index);
            card.post(cx.pool(), net.counters);
            card.receive.publish();
        }
        let event_index = registers.accepted & feature::EVENT_IDX != 0;
        let receive = Side::new(&card.receive, registers.queues[0].unwrap(), event_index);
        let transmit = Side::new(&card.transmit, registers.queues[1].unwrap(), event_index);
        Self { net, registers, cx, receive, transmit, sent: Vec::new(), pieces: Vec::new() }
    }

    pub fn card(&mut self) -> &mut Card {
        self.net.card.as_mut().expect("the device did not fail")
    }

    /// The upward half of a sweep, and what came up.
    pub fn receive(&mut self) -> Vec<Packet> {
        self.net.receive(&mut self.registers, &mut self.cx);
        (0..BATCH).map_while(|_| self.net.recv()).collect()
    }

    /// The downward half of a sweep.
    pub fn transmit(&mut self) {
        self.net.transmit(&mut self.registers, &mut self.cx);
    }

    pub fn sweep(&mut self) -> Vec<Packet> {
        let frames = self.receive();
        self.transmit();
        frames
    }

    pub fn arm(&mut self) -> bool {
        arm(&mut self.net)
    }

    pub fn deadline(&self) -> Instant {
        deadline(&self.net)
    }

    /// A packet with `bytes`.
    pub fn packet(&mut self, bytes: &[u8]) -> Packet {
        let mut packet = self.cx.packet().unwrap();
        packet.append(bytes).unwrap();
        packet
    }

    /// The device writes `bytes`, header included, into the next buffer, and returns it. `false`
    /// when it has none.
    pub fn arrive(&mut self, bytes: &[u8]) -> bool {
        self.arrive_as(bytes, bytes.len() as u32)
    }

    /// The same, with a wrong length.
    pub fn arrive_as(&mut self, bytes: &[u8], length: u32) -> bool {
        let Some((head, pieces)) = self.receive.next() else { return false };
        let [piece] = pieces[..] else { panic!("one piece: {pieces:?}") };
        assert!(piece.writable && piece.length as usize >= bytes.len());
        let queue = &mut self.net.card.as_mut().unwrap().receive;
        let packet = queue.lent().find(|packet| packet.dma_address() == piece.address);
        let packet = packet.expect("a packet of the driver");
        assert_eq!(packet.len(), piece.length as usize, "no more and no less than lent");
        packet.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
        self.receive.give_back(head.into(), length);
        true
    }

    /// The device sends all that was made available, and wants to hear of more.
    pub fn depart(&mut self) -> usize {
        self.registers.rung[1] = 0;
        let mut count = 0;
        while let Some((head, pieces)) = self.transmit.next() {
            let bytes = self.collect(&pieces);
            self.sent.push(bytes);
            self.pieces.push(pieces);
            self.transmit.give_back(head.into(), 0);
            count += 1;
        }
        self.transmit.want_doorbell(true);
        count
    }

    /// The bytes of a chain that the device reads.
    fn collect(&mut self, pieces: &[Piece]) -> Vec<u8> {
        assert!(pieces.iter().all(|piece| !piece.writable));
        let queue = &mut self.net.card.as_mut().unwrap().transmit;
        let chain = queue.lent().find(|packet| packet.dma_address() == pieces[0].address);
        let chain = chain.expect("a packet of the driver");
        let parts = chain.parts().filter(|&(_, length)| length != 0);
        let expected: Vec<_> = parts.map(|(at, length)| (at, length as u32)).collect();
        let got: Vec<_> = pieces.iter().map(|piece| (piece.address, piece.length)).collect();
        assert_eq!(got, expected);
        let mut bytes = chain.bytes().to_vec();
        let mut rest = Vec::new();
        let mut next = chain.take_next();
        while let Some(mut packet) = next {
            bytes.extend_from_slice(packet.bytes());
            next = packet.take_next();
            rest.push(packet);
        }
        let tail = rest.into_iter().rev().fold(None, |tail, mut packet| {
            packet.set_next(tail);
            Some(packet)
        });
        chain.set_next(tail);
        bytes
    }
}

/// Whether the driver lets the core sleep.
pub fn arm(net: &mut VirtioNet) -> bool {
    Component::<Registers>::arm(net)
}

/// When the driver wants to be swept again.
pub fn deadline(net: &VirtioNet) -> Instant {
    Component::<Registers>::deadline(net)
}

/// A driver after its init.
pub fn start(
    config: &'static Config,
    registers: &mut Registers,
    packets: usize,
) -> (VirtioNet, Context) {
    let mut cx = testing::context_on(&Memory, packets, 7);
    let mut net = VirtioNet::new(config, &mut cx);
    net.init(registers, &mut cx).unwrap();
    (net, cx)
}

/// A platform that has memory for devices, and nothing else.
struct Memory;

impl Platform for Memory {
    fn name(&self) -> &'static str {
        "test"
    }

    fn dma(&self, length: usize) -> Option<Dma> {
        let cells = (0..length.div_ceil(8)).map(|_| Cell::new(0)).collect::<Box<[_]>>();
        Some(Dma::over(Box::leak(cells), 0x1_2345_6000))
    }
}
