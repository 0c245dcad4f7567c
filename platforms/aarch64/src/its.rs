//! The service that makes interrupts of what PCI devices write (GICv3 ITS).
//!
//! What a device writes is a number of its own: here, a core's. The service looks up the device,
//! then the number, and finds an interrupt and the core that takes it. All tables are made at
//! start-up, for the functions that are on the first bus then.

use crate::controller::{Interface, Redistributor};
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
    /// Bytes of an entry of a device's own table.
    entry: usize,
    /// Ids that are given out, from the first.
    given: u32,
}

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
/// Ids of 14 bits: as many messages again as there are other interrupts.
const ID_BITS: u64 = 13;
const MESSAGES: usize = 8192;
/// How often a register is read that says when something is done.
const PATIENCE: u32 = 1_000_000;

/// Memory for the service's tables, and what all redistributors share.
pub(crate) struct Shared {
    properties: Dma,
}

impl Service {
    /// Turns the service at `address` on. `memory` gives zeroed memory that starts at a multiple
    /// of 64 KiB.
    pub(crate) fn new(
        address: u64,
        registers: Registers,
        memory: &mut impl FnMut(usize) -> Option<Dma>,
    ) -> Option<Self> {
        registers.write32(register::CONTROL, 0);
        let kind = read64(&registers, register::TYPE);
        for index in 0..8 {
            let at = register::TABLES + 8 * index;
            let table = read64(&registers, at);
            // 1: devices; 4: collections, that is, cores.
            if matches!(table >> 56 & 7, 1 | 4) {
                let place = memory(PAGE_64K)?.address();
                write64(&registers, at, VALID | CACHED | PAGES_64K | place);
            }
        }
        let commands = memory(COMMANDS)?;
        write64(&registers, register::COMMANDS, VALID | CACHED | commands.address());
        write64(&registers, register::WRITTEN, 0);
        registers.write32(register::CONTROL, 1);
        let by_address = kind >> 19 & 1 != 0;
        let entry = (kind >> 4 & 15) as usize + 1;
        let target = address + register::TRANSLATER;
        Some(Self { target, registers, commands, next: 0, by_address, entry, given: 0 })
    }

    /// Where devices write.
    pub(crate) fn target(&self) -> u64 {
        self.target
    }

    /// Lets the core of `interface`, number `core`, take messages.
    pub(crate) fn add_core(
        &mut self,
        core: usize,
        interface: &Interface,
        shared: &Shared,
        memory: &mut impl FnMut(usize) -> Option<Dma>,
    ) -> Option<()> {
        let Interface::Three(Redistributor { registers, address, whose }) = interface else {
            return None;
        };
        if !whose.messages {
            return None;
        }
        let pending = memory(PAGE_64K)?.address();
        write64(
            registers,
            redistributor::PROPERTIES,
            shared.properties.address() | 0x780 | ID_BITS,
        );
        write64(registers, redistributor::PENDING, pending | 1 << 62 | 0x780);
        let control = registers.read32(redistributor::CONTROL);
        registers.write32(redistributor::CONTROL, control | 1);
        let name = if self.by_address { *address } else { u64::from(whose.number) << 16 };
        self.send([command::MAP_COLLECTION, 0, VALID | name | core as u64, 0]);
        self.send([command::SYNC, 0, name, 0]);
        Some(())
    }

    /// Lets what `function` writes, a core's number below `cores`, interrupt that core.
    pub(crate) fn add_function(
        &mut self,
        function: PciAddress,
        cores: usize,
        memory: &mut impl FnMut(usize) -> Option<Dma>,
    ) -> Option<()> {
        let PciAddress { bus, device, function } = function;
        let id = u64::from(bus) << 8 | u64::from(device) << 3 | u64::from(function);
        let bits = cores.next_power_of_two().trailing_zeros().max(1);
        let table = memory((self.entry << bits).max(256))?.address();
        self.send([command::MAP_DEVICE | id << 32, u64::from(bits - 1), VALID | table, 0]);
        for core in 0..cores as u64 {
            if self.given as usize == MESSAGES {
                return None;
            }
            let interrupt = u64::from(FIRST_MESSAGE + self.given);
            self.given += 1;
            self.send([command::MAP_EVENT | id << 32, core | interrupt << 32, core, 0]);
        }
        Some(())
    }

    /// Lets the cores see what was added.
    pub(crate) fn publish(&mut self, cores: usize) -> Option<()> {
        for core in 0..cores as u64 {
            self.send([command::INVALIDATE_ALL, 0, core, 0]);
        }
        let done = || self.registers.read32(register::READ) as usize == self.next * 32;
        (0..PATIENCE).find(|_| done()).map(|_| ())
    }

    /// Gives the service a command. The list is long enough for all that boot sends before it
    /// looks whether they are done; a full one waits.
    fn send(&mut self, words: [u64; 4]) {
        let at = self.next * 32;
        for (index, word) in words.into_iter().enumerate() {
            self.commands.write64(at + 8 * index, word);
        }
        cpu::barrier();
        self.next = (self.next + 1) % (COMMANDS / 32);
        let full = || self.registers.read32(register::READ) as usize == self.next * 32;
        let _ = (0..PATIENCE).find(|_| !full());
        write64(&self.registers, register::WRITTEN, self.next as u64 * 32);
    }
}

impl Shared {
    /// All messages let in, with the priority of every interrupt.
    pub(crate) fn new(memory: &mut impl FnMut(usize) -> Option<Dma>) -> Option<Self> {
        let properties = memory(MESSAGES)?;
        let each = u32::from_ne_bytes([PRIORITY | 1; 4]);
        for offset in (0..MESSAGES).step_by(4) {
            properties.write32(offset, each);
        }
        cpu::barrier();
        Some(Self { properties })
    }
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

fn read64(registers: &Registers, offset: usize) -> u64 {
    u64::from(registers.read32(offset)) | u64::from(registers.read32(offset + 4)) << 32
}

/// The half that makes it valid comes last.
fn write64(registers: &Registers, offset: usize, value: u64) {
    registers.write32(offset, value as u32);
    registers.write32(offset + 4, (value >> 32) as u32);
}
