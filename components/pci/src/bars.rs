//! Base address registers: how large they are, where they answer, and how they are mapped.

use crate::wire::{BAR, BarKind};
use waitless::device::{PciAddress, Platform, Registers};

/// One base address register of a function that was taken.
#[derive(Debug)]
pub(crate) struct Bar {
    /// What it is for.
    kind: BarKind,
    /// Bytes behind it, a power of two; 0 when it is not there, or no memory.
    size: u64,
    /// Where it answers; 0 when nobody gave it an address.
    address: u64,
    mapped: Option<Registers>,
}

impl Default for Bar {
    fn default() -> Self {
        Self { kind: BarKind::Reserved, size: 0, address: 0, mapped: None }
    }
}

impl Bar {
    /// The registers behind it, mapped at the first call.
    pub(crate) fn map(&mut self, platform: &dyn Platform) -> Option<Registers> {
        if self.size == 0 || self.address == 0 {
            return None;
        }
        if self.mapped.is_none() {
            self.mapped = platform.map(self.address, usize::try_from(self.size).ok()?);
        }
        let registers = self.mapped.as_ref()?;
        registers.part(0, registers.length())
    }
}

/// Reads and sizes all base address registers of a function that answers to none of them now.
pub(crate) fn probe(platform: &dyn Platform, function: PciAddress) -> [Bar; 6] {
    let mut bars = core::array::from_fn(|_| Bar::default());
    let mut number = 0;
    while let Some(bar) = bars.get_mut(usize::from(number)) {
        *bar = probe_one(platform, function, number);
        // The register behind a 64-bit one is its upper half.
        number += if bar.kind == BarKind::Memory64 { 2 } else { 1 };
    }
    bars
}

/// Gives a memory register without an address one. `false` when it needs one and there is none.
pub(crate) fn assign(
    platform: &dyn Platform,
    function: PciAddress,
    number: u8,
    bar: &mut Bar,
    window: &mut Window,
) -> bool {
    if bar.size == 0 || bar.address != 0 {
        return true;
    }
    let limit = if bar.kind == BarKind::Memory64 { u64::MAX } else { u64::from(u32::MAX) };
    let Some(address) = window.take(bar.size, limit) else { return false };
    bar.address = address;
    platform.pci_write(function, offset(number), address as u32);
    if bar.kind == BarKind::Memory64 {
        platform.pci_write(function, offset(number + 1), (address >> 32) as u32);
    }
    true
}

fn probe_one(platform: &dyn Platform, function: PciAddress, number: u8) -> Bar {
    let (low, low_mask) = probe_register(platform, function, offset(number));
    let kind = BarKind::of(low);
    let (address, mask) = match kind {
        BarKind::Memory32 => (u64::from(low & !15), u64::from(low_mask & !15)),
        BarKind::Memory64 if number < 5 => {
            let (high, high_mask) = probe_register(platform, function, offset(number + 1));
            let join = |high, low| u64::from(high) << 32 | u64::from(low & !15);
            (join(high, low), join(high_mask, low_mask))
        }
        BarKind::Memory64 | BarKind::Ports | BarKind::Reserved => return Bar::default(),
    };
    // The bits that can be set are the address's, and the lowest of them is the size. A register
    // that is not there has none.
    let size = mask & mask.wrapping_neg();
    Bar { kind, size, address, mapped: None }
}

/// What a register holds, and which of its bits can be set.
fn probe_register(platform: &dyn Platform, function: PciAddress, offset: u16) -> (u32, u32) {
    let Some(value) = platform.pci_read(function, offset) else { return (0, 0) };
    platform.pci_write(function, offset, u32::MAX);
    let mask = platform.pci_read(function, offset).unwrap_or(0);
    platform.pci_write(function, offset, value);
    (value, mask)
}

fn offset(number: u8) -> u16 {
    BAR + 4 * u16::from(number)
}

/// Addresses that were not given to any register yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    next: u64,
    end: u64,
}

impl Window {
    /// All of the platform's window: its first address, and how many there are.
    pub(crate) fn new(window: Option<(u64, u64)>) -> Self {
        let (start, length) = window.unwrap_or((0, 0));
        Self { next: start, end: start.saturating_add(length) }
    }

    /// `size` addresses, aligned to it, none of them above `limit`. A page at least, so that no
    /// two functions share one.
    fn take(&mut self, size: u64, limit: u64) -> Option<u64> {
        let size = size.max(4096);
        let start = self.next.checked_next_multiple_of(size).filter(|&start| start != 0)?;
        let end = start.checked_add(size)?;
        if end > self.end || end - 1 > limit {
            return None;
        }
        self.next = end;
        Some(start)
    }
}
