//! The service that makes interrupts of what PCI devices write (GICv3 ITS).
//!
//! What a device writes is a number of its own: here, a core's. The service looks up the device,
//! then the number, and finds an interrupt and the core that takes it. It knows the functions that
//! are on the first bus at start-up, and each core from when a driver asks for its interrupt.

use crate::controller::Redistributor;
use crate::cpu;
use crate::gic::{FIRST_MESSAGE, PRIORITY, redistributor};
use heapless::Vec;
use waitless::device::{Dma, PciAddress, Registers};

/// How many functions are let interrupt.
pub(crate) const FUNCTIONS: usize = 32;

/// A service in use.
pub(crate) struct Service {
    /// Where devices write.
    target: u64,
    registers: Registers,
    /// Its commands, and where the next one goes.
    commands: Dma,
    next: usize,
    /// How it names redistributors: by address, or by number.
    by_address: bool,
    /// Which priorities messages have: what all redistributors share.
    properties: Dma,
    /// The functions that it knows, each of which may interrupt so many cores.
    functions: Vec<PciAddress, FUNCTIONS>,
    cores: usize,
    /// A bit for each core that takes messages.
    ready: u64,
}

// SAFETY: registers and memory of a device, which any core may use, under a lock.
unsafe impl Send for Service {}

mod register {
    pub const CONTROL: usize = 0x00;
    pub const TYPE: usize = 0x08;
    pub const COMMANDS: usize = 0x80;
    pub const WRITTEN: usize = 0x88;
    pub const READ: usize = 0x90;
    pub const TABLES: usize = 0x100;
    /// Where devices write.
    pub const TRANSLATER: u64 = 0x1_0040;
}

mod command {
    pub const SYNC: u64 = 0x05;
    pub const MAP_DEVICE: u64 = 0x08;
    pub const MAP_COLLECTION: u64 = 0x09;
    pub const MAP_EVENT: u64 = 0x0a;
    pub const INVALIDATE_ALL: u64 = 0x0d;
}

const VALID: u64 = 1 << 63;
/// Cached, written back, shared by all cores.
const CACHED: u64 = 7 << 59 | 1 << 10;
/// Pages of 64 KiB.
const PAGES_64K: u64 = 2 << 8;
const PAGE_64K: usize = 0x1_0000;
/// Bytes of the list of commands: one page.
const COMMANDS: usize = 4096;
/// What redistributors read: cached, written back, shared by all cores.
const MEMORY: u64 = 7 << 7 | 1 << 10;
/// No message is pending.
const EMPTY: u64 = 1 << 62;
/// Ids of 14 bits: as many messages again as there are other interrupts.
const ID_BITS: u64 = 13;
const MESSAGES: usize = 8192;
/// How often a register is read that says when something is done.
const PATIENCE: u32 = 1_000_000;

impl Service {
    /// Turns the service at `address` on, for `functions` of PCI and `cores` cores. `memory` gives
    /// zeroed memory that starts at a multiple of 64 KiB.
    pub(crate) fn new(
        address: u64,
        registers: Registers,
        functions: Vec<PciAddress, FUNCTIONS>,
        cores: usize,
        memory: impl Fn(usize) -> Option<Dma>,
    ) -> Option<Self> {
        registers.write32(register::CONTROL, 0);
        let kind = registers.read64(register::TYPE);
        for index in 0..8 {
            let at = register::TABLES + 8 * index;
            let table = registers.read64(at);
            // 1: devices; 4: collections, that is, cores.
            if matches!(table >> 56 & 7, 1 | 4) {
                let place = memory(PAGE_64K)?.address();
                registers.write64(at, VALID | CACHED | PAGES_64K | place);
            }
        }
        let (commands, properties) = (memory(COMMANDS)?, memory(MESSAGES)?);
        let each = u32::from_ne_bytes([PRIORITY | 1; 4]);
        for offset in (0..MESSAGES).step_by(4) {
            properties.write32(offset, each);
        }
        registers.write64(register::COMMANDS, VALID | CACHED | commands.address());
        registers.write64(register::WRITTEN, 0);
        registers.write32(register::CONTROL, 1);
        let by_address = kind >> 19 & 1 != 0;
        let target = address + register::TRANSLATER;
        let ready = 0;
        let mut service = Self {
            target,
            registers,
            commands,
            next: 0,
            by_address,
            properties,
            functions,
            cores,
            ready,
        };
        let entry = (kind >> 4 & 15) as usize + 1;
        let bits = cores.next_power_of_two().trailing_zeros().max(1);
        for at in service.functions.clone() {
            let table = memory((entry << bits).max(256))?.address();
            let words = [command::MAP_DEVICE | id(at) << 32, u64::from(bits - 1), VALID | table, 0];
            service.send(words);
        }
        service.is_done().then_some(service)
    }

    /// Lets what any function writes, the number `core`, interrupt the core with this
    /// redistributor, and gives where that is written.
    pub(crate) fn interrupt(
        &mut self,
        core: usize,
        redistributor: &Redistributor,
        memory: impl Fn(usize) -> Option<Dma>,
    ) -> Option<u64> {
        if core >= self.cores || !redistributor.whose.messages {
            return None;
        }
        if self.ready >> core & 1 != 0 {
            return Some(self.target);
        }
        let Redistributor { registers, address, whose } = redistributor;
        let pending = memory(PAGE_64K)?.address();
        let properties = self.properties.address() | MEMORY | ID_BITS;
        registers.write64(redistributor::PROPERTIES, properties);
        registers.write64(redistributor::PENDING, pending | EMPTY | MEMORY);
        let control = registers.read32(redistributor::CONTROL);
        registers.write32(redistributor::CONTROL, control | 1);
        let name = if self.by_address { *address } else { u64::from(whose.number) << 16 };
        let core = core as u64;
        self.send([command::MAP_COLLECTION, 0, VALID | name | core, 0]);
        for (index, at) in (0..).zip(self.functions.clone()) {
            let interrupt = u64::from(FIRST_MESSAGE) + index * self.cores as u64 + core;
            let event = core | interrupt << 32;
            self.send([command::MAP_EVENT | id(at) << 32, event, core, 0]);
        }
        self.send([command::INVALIDATE_ALL, 0, core, 0]);
        self.send([command::SYNC, 0, name, 0]);
        self.ready |= 1 << core;
        self.is_done().then_some(self.target)
    }

    /// Waits until all commands are done. Whether they are.
    fn is_done(&self) -> bool {
        let done = || self.registers.read32(register::READ) as usize == self.next * 32;
        (0..PATIENCE).any(|_| done())
    }

    /// Gives the service a command; waits while the list is full.
    fn send(&mut self, words: [u64; 4]) {
        let at = self.next * 32;
        for (index, word) in words.into_iter().enumerate() {
            self.commands.write64(at + 8 * index, word);
        }
        cpu::barrier();
        self.next = (self.next + 1) % (COMMANDS / 32);
        let full = || self.registers.read32(register::READ) as usize == self.next * 32;
        let _ = (0..PATIENCE).find(|_| !full());
        self.registers.write64(register::WRITTEN, self.next as u64 * 32);
    }
}

/// How the service names a function.
fn id(PciAddress { bus, device, function }: PciAddress) -> u64 {
    u64::from(bus) << 8 | u64::from(device) << 3 | u64::from(function)
}

/// The functions on the first bus, as `read` finds their registers.
pub(crate) fn functions(
    bus: u8,
    read: impl Fn(PciAddress, u16) -> u32,
) -> Vec<PciAddress, FUNCTIONS> {
    let all =
        (0..32).flat_map(|device| (0..8).map(move |function| PciAddress { bus, device, function }));
    all.filter(|at| !matches!(read(*at, 0) as u16, 0 | u16::MAX)).take(FUNCTIONS).collect()
}
