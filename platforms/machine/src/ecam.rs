//! PCI's configuration space in memory.

use waitless::device::{PciAddress, Registers};

/// Bytes of configuration space per bus.
pub const BUS: usize = 1 << 20;

/// Configuration space in memory, from bus `first` to bus `last`.
#[derive(Debug)]
pub struct Ecam {
    registers: Registers,
    first: u8,
    last: u8,
}

impl Ecam {
    /// The space whose bus 0 is, or would be, at `base`. `map` makes it reachable. `None` where
    /// there is no bus, and where it cannot be mapped.
    pub fn new(
        base: u64,
        first: u8,
        last: u8,
        map: impl FnOnce(u64, usize) -> Option<Registers>,
    ) -> Option<Self> {
        let buses = usize::from(last.checked_sub(first)?) + 1;
        let start = base.checked_add(u64::from(first) * BUS as u64)?;
        Some(Self { registers: map(start, buses * BUS)?, first, last })
    }

    /// The first bus.
    pub fn first(&self) -> u8 {
        self.first
    }

    /// Reads a register; all ones where there is no function.
    pub fn read(&self, function: PciAddress, offset: u16) -> u32 {
        self.place(function, offset).map_or(u32::MAX, |at| self.registers.read32(at))
    }

    /// Writes a register.
    pub fn write(&self, function: PciAddress, offset: u16, value: u32) {
        if let Some(at) = self.place(function, offset) {
            self.registers.write32(at, value);
        }
    }

    fn place(&self, function: PciAddress, offset: u16) -> Option<usize> {
        let bus = usize::from(function.bus.checked_sub(self.first)?);
        (function.bus <= self.last).then_some(
            bus << 20
                | usize::from(function.device & 31) << 15
                | usize::from(function.function & 7) << 12
                | usize::from(offset & 0xffc),
        )
    }
}

/// Whether firmware gave addresses to the memory of any function on `bus`. `read` reads a
/// register of a function, as a platform does.
pub fn has_addresses(bus: u8, read: impl Fn(PciAddress, u16) -> Option<u32>) -> bool {
    // The functions of a device are taken to be numbered without gaps, which is true of what
    // firmware looks for first.
    let is_there = |at: &PciAddress| read(*at, 0).is_some_and(|identity| identity != u32::MAX);
    let has_address = |at: PciAddress| {
        let mut bars = (0x10..0x28).step_by(4).map(|offset| read(at, offset));
        // Bit 0 tells ports from memory; the four lowest bits are no address.
        bars.any(|bar| bar.is_some_and(|bar| bar & 1 == 0 && bar >> 4 != 0))
    };
    (0..32).any(|device| {
        let functions = (0..8).map(|function| PciAddress { bus, device, function });
        functions.take_while(is_there).any(has_address)
    })
}

#[cfg(test)]
mod tests;
