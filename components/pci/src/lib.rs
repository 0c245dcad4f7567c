//! The PCI bus: finds functions, maps their registers and switches their interrupts on.
//!
//! The bus is walked once at start-up, from bus 0 through the bridges that firmware numbered.
//! Nothing that configuration space holds can make a walk endless: buses are visited once, lists
//! of capabilities are cut at the most that fits, and what does not make sense is not there.
//! Memory registers that nobody gave an address get one, where the platform has a window for it.
//! Interrupt lines are switched off: drivers use MSI-X or poll.
//!
//! It does not: number buses behind bridges that firmware left alone, use I/O ports, MSI or
//! extended capabilities, nor handle functions that come and go.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod bars;
mod wire;

#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use bars::{Bar, Window};
use waitless::device::{PciAddress, Platform, Registers};
use waitless::{Component, Context, InitError, Inspect, debug, warn};
use waitless::{CounterSet, PciFunction, PciIdentity, PciPort, Vectors};
use wire::Layout;

/// The most functions that are kept; more are counted and left alone.
pub const FUNCTIONS_MAX: usize = 512;

/// There is nothing to configure.
#[derive(Clone, Copy, Debug)]
pub struct Config {}

/// The PCI bus and what was found on it.
pub struct Pci {
    platform: &'static dyn Platform,
    functions: Vec<Function>,
    window: Window,
    counters: &'static Counters,
}

waitless::counters! {
    /// What the bus counts.
    pub struct Counters {
        /// Functions found, bridges not among them.
        gauge found: functions,
        /// Functions that a driver took.
        gauge taken: functions,
        /// Functions left alone because there were too many.
        counter ignored: functions,
        /// Registers that no address could be found for, or that the platform could not map.
        counter unmapped: registers,
    }
}

struct Function {
    address: PciAddress,
    identity: PciIdentity,
    taken: bool,
    bars: [Bar; 6],
}

impl Pci {
    /// The bus, not yet walked.
    pub fn new(_: &'static Config, cx: &mut Context) -> Self {
        Self {
            platform: cx.platform(),
            functions: Vec::new(),
            window: Window::new(cx.platform().pci_window()),
            counters: Counters::leak(),
        }
    }

    /// Visits every bus that can be reached, each once.
    fn walk(&mut self) {
        let mut reached = [false; 256];
        let mut buses = Vec::from([0]);
        reached[0] = true;
        while let Some(bus) = buses.pop() {
            for device in 0..32 {
                self.visit(bus, device, |behind| {
                    if !core::mem::replace(&mut reached[usize::from(behind)], true) {
                        buses.push(behind);
                    }
                });
            }
        }
    }

    /// Looks at all functions of a device; `bridge` gets the bus behind each bridge among them.
    fn visit(&mut self, bus: u8, device: u8, mut bridge: impl FnMut(u8)) {
        for function in 0..8 {
            let address = PciAddress { bus, device, function };
            let id = self.config(address, wire::IDENTITY);
            // All ones: there is no such function. Zero: a device that is not ready.
            if matches!(id as u16, 0 | u16::MAX) {
                if function == 0 {
                    return;
                }
                continue;
            }
            let layout = self.config(address, wire::LAYOUT);
            match Layout::of(layout) {
                Layout::Device => self.add(address, id),
                Layout::Bridge => bridge((self.config(address, wire::BUSES) >> 8) as u8),
                Layout::Other => {}
            }
            if function == 0 && !wire::has_more_functions(layout) {
                return;
            }
        }
    }

    fn add(&mut self, address: PciAddress, id: u32) {
        if self.functions.len() == FUNCTIONS_MAX {
            self.counters.ignored.add(1);
            return;
        }
        let class = self.config(address, wire::CLASS);
        let subsystem = self.config(address, wire::SUBSYSTEM);
        let identity = wire::identity(id, class, subsystem);
        let bars = core::array::from_fn(|_| Bar::default());
        // In the order of their addresses, whatever the order of the buses is.
        let place = self.functions.partition_point(|found| found.address < address);
        self.functions.insert(place, Function { address, identity, taken: false, bars });
    }

    /// Gives the function's registers addresses and lets it answer to them and use memory.
    fn enable(&mut self, index: usize) {
        let Some(function) = self.functions.get_mut(index) else { return };
        let (platform, address) = (self.platform, function.address);
        let read = |offset| platform.pci_read(address, offset).unwrap_or(u32::MAX);
        let command = read(wire::COMMAND) & wire::COMMAND_BITS;
        // While its registers' sizes are probed, they must not answer anywhere.
        let quiet = command & !(wire::IO_ENABLE | wire::MEMORY_ENABLE | wire::MASTER_ENABLE);
        platform.pci_write(address, wire::COMMAND, quiet);
        function.bars = bars::probe(platform, address);
        for (number, bar) in (0..).zip(&mut function.bars) {
            if !bars::assign(platform, address, number, bar, &mut self.window) {
                self.counters.unmapped.add(1);
            }
        }
        let on = wire::MEMORY_ENABLE | wire::MASTER_ENABLE | wire::LINE_DISABLE;
        platform.pci_write(address, wire::COMMAND, quiet | on);
    }

    fn config(&self, address: PciAddress, offset: u16) -> u32 {
        self.platform.pci_read(address, offset).unwrap_or(u32::MAX)
    }
}

impl Component<()> for Pci {
    fn init(&mut self, (): &mut (), cx: &mut Context) -> Result<(), InitError> {
        if self.platform.pci_read(PciAddress::default(), wire::IDENTITY).is_none() {
            warn!(cx, "this machine has no PCI bus");
            return Ok(());
        }
        self.walk();
        self.counters.found.set(self.functions.len() as u64);
        debug!(cx, "functions found: {}", self.functions.len());
        if self.counters.ignored.get() > 0 {
            warn!(cx, "too many functions, left alone: {}", self.counters.ignored.get());
        }
        Ok(())
    }

    fn receive(&mut self, (): &mut (), _: &mut Context) {}
}

impl PciPort for Pci {
    fn take(&mut self, wanted: &mut dyn FnMut(&PciIdentity) -> bool) -> Option<PciFunction> {
        let free = |function: &Function| !function.taken && wanted(&function.identity);
        let index = self.functions.iter().position(free)?;
        if let Some(function) = self.functions.get_mut(index) {
            function.taken = true;
        }
        self.enable(index);
        self.counters.taken.add(1);
        Some(PciFunction(index))
    }

    fn read(&self, function: PciFunction, offset: u16) -> u32 {
        let Some(function) = self.functions.get(function.0) else { return u32::MAX };
        self.config(function.address, offset & !3)
    }

    fn write(&mut self, function: PciFunction, offset: u16, value: u32) {
        let Some(function) = self.functions.get(function.0) else { return };
        self.platform.pci_write(function.address, offset & !3, value);
    }

    fn bar(&mut self, function: PciFunction, bar: u8) -> Option<Registers> {
        let bar = self.functions.get_mut(function.0)?.bars.get_mut(usize::from(bar))?;
        let registers = bar.map(self.platform);
        if registers.is_none() {
            self.counters.unmapped.add(1);
        }
        registers
    }

    fn vectors(&mut self, function: PciFunction) -> Option<Vectors> {
        let at = u16::from(self.capability(function, wire::MSIX, 0));
        if at == 0 {
            return None;
        }
        let control = self.read(function, at);
        let count = usize::from((control >> 16) as u16 & 0x7ff) + 1;
        let place = self.read(function, at + 4);
        let registers = self.bar(function, (place & 7) as u8)?;
        let vectors = Vectors::new(registers.part((place & !7) as usize, count * 16)?);
        // On, but silent, until every vector is masked on its own.
        self.write(function, at, control | wire::MSIX_ENABLE | wire::MSIX_MASK);
        for vector in 0..vectors.count() {
            vectors.mask(vector, true);
        }
        self.write(function, at, (control | wire::MSIX_ENABLE) & !wire::MSIX_MASK);
        Some(vectors)
    }

    fn capability(&self, function: PciFunction, id: u8, after: u8) -> u8 {
        if self.read(function, wire::COMMAND) & wire::HAS_CAPABILITIES == 0 {
            return 0;
        }
        let next = |offset: u16, shift: u32| (self.read(function, offset) >> shift) as u8 & !3;
        let mut at = match after {
            0 => next(wire::CAPABILITIES, 0),
            after => next(u16::from(after), 8),
        };
        for _ in 0..wire::CAPABILITIES_MAX {
            if at < wire::HEADER_END {
                return 0;
            }
            if self.read(function, u16::from(at)) as u8 == id {
                return at;
            }
            at = next(u16::from(at), 8);
        }
        0
    }
}

impl Inspect for Pci {
    fn counters(&self) -> &'static dyn CounterSet {
        self.counters
    }
}
