//! Reads the few firmware tables that an image needs: where interrupt controllers, PCI's
//! configuration space, the power switch and a clock of known speed are.

use crate::loader::{Physical, Root, u16_at, u32_at, u64_at};
use crate::mmio;
use heapless::Vec;

/// How many processors are listed.
pub const PROCESSORS: usize = 64;

/// How many controllers of interrupt lines are listed.
pub const IO_APICS: usize = 8;

/// What the tables say. Whatever is missing from them is missing here.
#[derive(Clone, Debug, Default)]
pub struct Acpi {
    /// The local interrupt controllers' registers, where they are in memory.
    pub local_apic: Option<u64>,
    /// The interrupt ids of the processors that can be used, first the one the firmware lists
    /// first.
    pub processors: Vec<u32, PROCESSORS>,
    /// The controllers that interrupt lines end at.
    pub io_apics: Vec<IoApic, IO_APICS>,
    /// Virtio devices that are on no bus.
    pub devices: mmio::Devices,
    /// PCI's configuration space in memory.
    pub ecam: Option<Ecam>,
    /// How to switch the machine off.
    pub power: Option<Power>,
    /// How to reset the machine.
    pub reset: Option<(Register, u8)>,
    /// The button that asks for an end.
    pub button: Option<Button>,
    /// In which register the battery-backed clock has its century.
    pub century: Option<u8>,
    /// A clock of 3.579545 MHz, and whether it has 32 bits instead of 24.
    pub timer: Option<(Register, bool)>,
}

/// A controller that interrupt lines end at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IoApic {
    /// Where its registers are.
    pub address: u64,
    /// The global number of its first line.
    pub first: u32,
}

/// PCI's configuration space in memory: 1 MiB for each bus of segment 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ecam {
    /// Where bus 0 is, or would be.
    pub base: u64,
    /// The first bus.
    pub first: u8,
    /// The last bus.
    pub last: u8,
}

/// A register, as the tables name one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Register {
    /// An I/O port.
    Port(u16),
    /// Memory.
    Memory(u64),
}

/// How to switch the machine off: what to write where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Power {
    /// 16 bits to the control register of the fixed hardware.
    Control(Register, u16),
    /// 8 bits to the sleep control register of hardware without the fixed parts.
    Sleep(Register, u8),
}

/// The power button, an event of the fixed hardware.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Button {
    /// Which events have happened; behind it, in the second half of `length` bytes, which are
    /// noted.
    pub status: Register,
    /// See `status`.
    pub length: u8,
    /// The control register, which says whether the firmware still has the hardware.
    pub control: Register,
    /// The port and the value by which the firmware is told to let go, if it must be.
    pub take_over: Option<(u16, u8)>,
}

/// Byte offsets into the tables. Each table starts with a header of 36 bytes.
mod field {
    pub const LENGTH: usize = 4;
    pub const HEADER: usize = 36;

    pub const RSDP_REVISION: usize = 15;
    pub const RSDP_RSDT: usize = 16;
    pub const RSDP_XSDT: usize = 24;
    pub const RSDP_OLD: usize = 20;
    pub const RSDP_NEW: usize = 36;

    pub const MADT_LOCAL: usize = 36;
    pub const MADT_ENTRIES: usize = 44;

    pub const MCFG_ENTRIES: usize = 44;

    pub const FADT_DSDT: usize = 40;
    pub const FADT_COMMAND: usize = 48;
    pub const FADT_TAKE_OVER: usize = 52;
    pub const FADT_EVENTS: usize = 56;
    pub const FADT_CONTROL: usize = 64;
    pub const FADT_TIMER: usize = 76;
    pub const FADT_CENTURY: usize = 108;
    pub const FADT_EVENTS_LENGTH: usize = 88;
    pub const FADT_FLAGS: usize = 112;
    pub const FADT_RESET: usize = 116;
    pub const FADT_RESET_VALUE: usize = 128;
    pub const FADT_X_DSDT: usize = 140;
    pub const FADT_X_EVENTS: usize = 148;
    pub const FADT_X_CONTROL: usize = 172;
    pub const FADT_X_TIMER: usize = 208;
    pub const FADT_SLEEP: usize = 244;
}

/// Flags of the FADT.
mod flag {
    pub const BUTTON_ELSEWHERE: u32 = 1 << 4;
    pub const TIMER_32_BITS: u32 = 1 << 8;
    pub const RESET: u32 = 1 << 10;
    pub const HARDWARE_REDUCED: u32 = 1 << 20;
}

/// No table is longer: what says it is, is damaged.
const TABLE_MAX: usize = 1 << 20;

/// Reads all tables that the list at `root` names. Damaged ones count as missing.
pub fn parse(memory: &impl Physical, root: Root) -> Acpi {
    let mut acpi = Acpi::default();
    let root = match root {
        Root::Pointer(address) => {
            let pointer = memory.bytes(address, field::RSDP_NEW);
            let pointer = pointer.or_else(|| memory.bytes(address, field::RSDP_OLD));
            match pointer.and_then(parse_rsdp) {
                Some(root) => root,
                None => return acpi,
            }
        }
        list => list,
    };
    let (list, width) = match root {
        Root::Xsdt(address) => (table(memory, address, b"XSDT"), 8),
        Root::Rsdt(address) | Root::Pointer(address) => (table(memory, address, b"RSDT"), 4),
    };
    let entries = list.and_then(|list| list.get(field::HEADER..)).unwrap_or(&[]);
    for entry in entries.chunks_exact(width) {
        let address = u64_at(entry, 0).or(u32_at(entry, 0).map(u64::from));
        let Some(address) = address else { continue };
        let Some(signature) = memory.bytes(address, 4) else { continue };
        match signature {
            b"APIC" => _ = table(memory, address, b"APIC").map(|t| parse_madt(&mut acpi, t)),
            b"MCFG" => acpi.ecam = table(memory, address, b"MCFG").and_then(parse_mcfg),
            b"FACP" => {
                _ = table(memory, address, b"FACP").map(|t| parse_fadt(&mut acpi, memory, t))
            }
            _ => {}
        }
    }
    acpi
}

/// Looks for the RSDP where old firmware keeps it: in the BIOS's memory, on 16-byte boundaries.
pub fn search(memory: &impl Physical) -> Option<Root> {
    let bios = memory.bytes(0xe_0000, 0x2_0000)?;
    let lines = (0..bios.len()).step_by(16);
    lines.filter_map(|at| parse_rsdp(&bios[at..])).next()
}

/// Reads an RSDP at the start of `bytes`; `None` where there is none or its sum is wrong.
pub fn parse_rsdp(bytes: &[u8]) -> Option<Root> {
    let old = bytes.get(..field::RSDP_OLD)?;
    if !old.starts_with(b"RSD PTR ") || !sums_up(old) {
        return None;
    }
    if old[field::RSDP_REVISION] >= 2 {
        let new = bytes.get(..field::RSDP_NEW).filter(|new| sums_up(new));
        if let Some(address) = new.and_then(|new| u64_at(new, field::RSDP_XSDT))
            && address != 0
        {
            return Some(Root::Xsdt(address));
        }
    }
    Some(Root::Rsdt(u32_at(old, field::RSDP_RSDT)?.into()))
}

/// The table at `address`, whole, when it has this signature and adds up.
fn table<'a>(memory: &'a impl Physical, address: u64, signature: &[u8; 4]) -> Option<&'a [u8]> {
    let header = memory.bytes(address, field::HEADER)?;
    let length = u32_at(header, field::LENGTH)? as usize;
    if !header.starts_with(signature) || !(field::HEADER..=TABLE_MAX).contains(&length) {
        return None;
    }
    memory.bytes(address, length).filter(|table| sums_up(table))
}

fn sums_up(bytes: &[u8]) -> bool {
    bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)) == 0
}

/// Interrupt controllers and processors.
fn parse_madt(acpi: &mut Acpi, table: &[u8]) {
    acpi.local_apic = u32_at(table, field::MADT_LOCAL).map(u64::from);
    let mut entries = table.get(field::MADT_ENTRIES..).unwrap_or(&[]);
    // Each round takes two bytes or more.
    while let [kind, length @ 2..=u8::MAX, ..] = *entries {
        let Some((entry, rest)) = entries.split_at_checked(length.into()) else { break };
        entries = rest;
        let (id, flags) = match kind {
            1 if length >= 12 => {
                if let (Some(address), Some(first)) = (u32_at(entry, 4), u32_at(entry, 8)) {
                    // More controllers than the list holds are left alone.
                    let _ = acpi.io_apics.push(IoApic { address: address.into(), first });
                }
                continue;
            }
            0 if length >= 8 => (Some(u32::from(entry[3])), u32_at(entry, 4)),
            5 => {
                acpi.local_apic = u64_at(entry, 4).or(acpi.local_apic);
                continue;
            }
            9 => (u32_at(entry, 4), u32_at(entry, 8)),
            _ => continue,
        };
        // Bit 0: the processor is there.
        if let (Some(id), Some(flags)) = (id, flags)
            && flags & 1 != 0
            && !acpi.processors.contains(&id)
        {
            // More processors than the list holds are left alone.
            let _ = acpi.processors.push(id);
        }
    }
}

/// PCI's configuration space: the entry of segment 0.
fn parse_mcfg(table: &[u8]) -> Option<Ecam> {
    let entries = table.get(field::MCFG_ENTRIES..)?.chunks_exact(16);
    let of_segment_0 = |entry: &&[u8]| u16_at(entry, 8) == Some(0);
    let entry = entries.into_iter().find(of_segment_0)?;
    Some(Ecam { base: u64_at(entry, 0)?, first: entry[10], last: entry[11] })
}

/// The fixed hardware: power, reset and a timer.
fn parse_fadt(acpi: &mut Acpi, memory: &impl Physical, table: &[u8]) {
    let flags = u32_at(table, field::FADT_FLAGS).unwrap_or(0);
    if flags & flag::RESET != 0 {
        let value = table.get(field::FADT_RESET_VALUE).copied();
        acpi.reset = register(table, field::FADT_RESET).zip(value);
    }
    acpi.century = table.get(field::FADT_CENTURY).copied().filter(|register| *register != 0);
    if flags & flag::HARDWARE_REDUCED == 0 {
        let timer = fixed(table, field::FADT_X_TIMER, field::FADT_TIMER);
        acpi.timer = timer.map(|timer| (timer, flags & flag::TIMER_32_BITS != 0));
        acpi.button = button(table).filter(|_| flags & flag::BUTTON_ELSEWHERE == 0);
    }
    let long = u64_at(table, field::FADT_X_DSDT).filter(|&address| address != 0);
    let dsdt = long.or(u32_at(table, field::FADT_DSDT).map(u64::from));
    let dsdt = dsdt.and_then(|address| self::table(memory, address, b"DSDT"));
    acpi.devices = dsdt.map(mmio::from_dsdt).unwrap_or_default();
    let Some(sleep_type) = dsdt.and_then(find_s5) else { return };
    acpi.power = if flags & flag::HARDWARE_REDUCED == 0 {
        let control = fixed(table, field::FADT_X_CONTROL, field::FADT_CONTROL);
        control.map(|control| Power::Control(control, u16::from(sleep_type) << 10 | 1 << 13))
    } else {
        let sleep = register(table, field::FADT_SLEEP);
        sleep.map(|sleep| Power::Sleep(sleep, sleep_type << 2 | 1 << 5))
    };
}

fn button(table: &[u8]) -> Option<Button> {
    let command = u16::try_from(u32_at(table, field::FADT_COMMAND)?).ok();
    let value = *table.get(field::FADT_TAKE_OVER)?;
    Some(Button {
        status: fixed(table, field::FADT_X_EVENTS, field::FADT_EVENTS)?,
        length: table.get(field::FADT_EVENTS_LENGTH).copied().filter(|length| *length >= 4)?,
        control: fixed(table, field::FADT_X_CONTROL, field::FADT_CONTROL)?,
        take_over: command.filter(|port| *port != 0 && value != 0).map(|port| (port, value)),
    })
}

/// A register of the fixed hardware: the newer, longer field, or else the older port number.
fn fixed(table: &[u8], long: usize, short: usize) -> Option<Register> {
    let port = || u16::try_from(u32_at(table, short)?).ok().filter(|&port| port != 0);
    register(table, long).or_else(|| port().map(Register::Port))
}

/// A generic address: space, width, offset, access size, address.
fn register(table: &[u8], at: usize) -> Option<Register> {
    let address = u64_at(table, at + 4).filter(|&address| address != 0)?;
    match table[at] {
        0 => Some(Register::Memory(address)),
        1 => u16::try_from(address).ok().map(Register::Port),
        _ => None,
    }
}

/// The number that means "off" to this machine: the first element of the package `_S5_`.
///
/// Its definition is bytecode. Running that for one constant would be absurd, so the name is
/// looked for, followed by a package: 0x12, a length of one to four bytes, a count, a number.
fn find_s5(dsdt: &[u8]) -> Option<u8> {
    let names = dsdt.windows(5).enumerate().filter(|(_, name)| *name == b"_S5_\x12");
    names.filter_map(|(at, _)| first_number(&dsdt[at + 5..])).next()
}

/// The first element of a package whose length starts `bytes`.
fn first_number(bytes: &[u8]) -> Option<u8> {
    let more = usize::from(bytes.first()? >> 6);
    // Behind the length: the count of elements, then the first of them.
    match *bytes.get(more + 2..)? {
        [0x0a, number, ..] => Some(number),   // a byte follows
        [number @ 0..=1, ..] => Some(number), // zero and one stand for themselves
        _ => None,
    }
}

#[cfg(test)]
mod tests;
