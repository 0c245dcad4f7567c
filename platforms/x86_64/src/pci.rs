//! PCI's configuration space: in memory where the firmware says so, else through two ports.

use crate::acpi::Ecam;
use spinning_top::Spinlock;
use waitless::device::{PciAddress, Registers};
use x86_64::instructions::port::Port;

/// How configuration space is reached.
pub(crate) enum Configuration {
    /// There is no PCI.
    None,
    /// One register at a time, the first 256 bytes of each function.
    Ports(Spinlock<()>),
    /// All of it, from bus `first` on.
    Memory { registers: Registers, first: u8, last: u8 },
}

const ADDRESS: u16 = 0xcf8;
const DATA: u16 = 0xcfc;
const ENABLE: u32 = 1 << 31;
/// Bytes of configuration space per bus.
const BUS: usize = 1 << 20;

impl Configuration {
    /// Finds configuration space. `map` makes it reachable where it is in memory.
    pub(crate) fn find(
        ecam: Option<Ecam>,
        map: impl FnOnce(u64, usize) -> Option<Registers>,
    ) -> Self {
        if let Some(Ecam { base, first, last }) = ecam
            && first <= last
        {
            let length = (usize::from(last - first) + 1) * BUS;
            let start = base.saturating_add(u64::from(first) * BUS as u64);
            if let Some(registers) = map(start, length) {
                return Self::Memory { registers, first, last };
            }
        }
        // SAFETY: a host bridge keeps what is written there; elsewhere nothing listens.
        let kept = unsafe {
            let mut address = Port::<u32>::new(ADDRESS);
            address.write(ENABLE);
            address.read()
        };
        if kept == ENABLE { Self::Ports(Spinlock::new(())) } else { Self::None }
    }

    /// Whether firmware gave addresses to the memory of any function on the first bus.
    pub(crate) fn has_addresses(&self) -> bool {
        let first = if let Self::Memory { first, .. } = self { *first } else { 0 };
        (0..32).any(|device| {
            let functions = (0..8).map(|function| PciAddress { bus: first, device, function });
            functions.take_while(|at| self.is_there(*at)).any(|at| self.has_address(at))
        })
    }

    /// Whether there is such a function. Those of a device are taken to be numbered without
    /// gaps, which is true of what firmware looks for first.
    fn is_there(&self, function: PciAddress) -> bool {
        self.read(function, 0).is_some_and(|identity| identity != u32::MAX)
    }

    fn has_address(&self, function: PciAddress) -> bool {
        let mut bars = (0x10..0x28).step_by(4).map(|offset| self.read(function, offset));
        // Bit 0 tells ports from memory; the four lowest bits are no address.
        bars.any(|bar| bar.is_some_and(|bar| bar & 1 == 0 && bar >> 4 != 0))
    }

    /// Reads a register; all ones where there is no function. `None` without PCI.
    pub(crate) fn read(&self, function: PciAddress, offset: u16) -> Option<u32> {
        match self {
            Self::None => None,
            Self::Memory { registers, first, last } => {
                let covered = (*first..=*last).contains(&function.bus);
                let at = place(function, offset, *first);
                Some(if covered { registers.read32(at) } else { u32::MAX })
            }
            Self::Ports(lock) => {
                let Some(selector) = selector(function, offset) else { return Some(u32::MAX) };
                let _guard = lock.lock();
                // SAFETY: there is a host bridge; the lock keeps the two accesses together, and
                // reading configuration space has no effect.
                Some(unsafe {
                    Port::new(ADDRESS).write(selector);
                    Port::new(DATA).read()
                })
            }
        }
    }

    /// Writes a register.
    pub(crate) fn write(&self, function: PciAddress, offset: u16, value: u32) {
        match self {
            Self::None => {}
            Self::Memory { registers, first, last } => {
                if (*first..=*last).contains(&function.bus) {
                    registers.write32(place(function, offset, *first), value);
                }
            }
            Self::Ports(lock) => {
                let Some(selector) = selector(function, offset) else { return };
                let _guard = lock.lock();
                // SAFETY: there is a host bridge, and the lock keeps the two accesses together.
                // What a driver makes its device do to memory is limited to what it got for
                // that from `Platform::dma` and the packet pool.
                unsafe {
                    Port::new(ADDRESS).write(selector);
                    Port::new(DATA).write(value);
                }
            }
        }
    }
}

fn place(function: PciAddress, offset: u16, first: u8) -> usize {
    usize::from(function.bus.saturating_sub(first)) << 20
        | usize::from(function.device & 31) << 15
        | usize::from(function.function & 7) << 12
        | usize::from(offset & 0xffc)
}

fn selector(function: PciAddress, offset: u16) -> Option<u32> {
    (offset < 256).then(|| {
        ENABLE
            | u32::from(function.bus) << 16
            | u32::from(function.device & 31) << 11
            | u32::from(function.function & 7) << 8
            | u32::from(offset & 0xfc)
    })
}
