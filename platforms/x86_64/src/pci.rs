//! PCI's configuration space: in memory where the firmware says so, else through two ports.

use crate::acpi;
use platform_machine::ecam::{self, Ecam};
use spinning_top::Spinlock;
use waitless::device::{PciAddress, Registers};
use x86_64::instructions::port::Port;

/// How configuration space is reached.
pub(crate) enum Configuration {
    /// There is no PCI.
    None,
    /// One register at a time, the first 256 bytes of each function.
    Ports(Spinlock<()>),
    /// All of it.
    Memory(Ecam),
}

const ADDRESS: u16 = 0xcf8;
const DATA: u16 = 0xcfc;
const ENABLE: u32 = 1 << 31;

impl Configuration {
    /// Finds configuration space. `map` makes it reachable where it is in memory.
    pub(crate) fn find(
        ecam: Option<acpi::Ecam>,
        map: impl FnOnce(u64, usize) -> Option<Registers>,
    ) -> Self {
        let in_memory = ecam.and_then(|it| Ecam::new(it.base, it.first, it.last, map));
        if let Some(ecam) = in_memory {
            return Self::Memory(ecam);
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
        let first = if let Self::Memory(ecam) = self { ecam.first() } else { 0 };
        ecam::has_addresses(first, |function, offset| self.read(function, offset))
    }

    /// Reads a register; all ones where there is no function. `None` without PCI.
    pub(crate) fn read(&self, function: PciAddress, offset: u16) -> Option<u32> {
        match self {
            Self::None => None,
            Self::Memory(ecam) => Some(ecam.read(function, offset)),
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
            Self::Memory(ecam) => ecam.write(function, offset, value),
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

fn selector(function: PciAddress, offset: u16) -> Option<u32> {
    (offset < 256).then(|| {
        ENABLE
            | u32::from(function.bus) << 16
            | u32::from(function.device & 31) << 11
            | u32::from(function.function & 7) << 8
            | u32::from(offset & 0xfc)
    })
}
