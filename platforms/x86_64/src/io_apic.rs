//! The interrupt controllers that wires end at: which line interrupts which core.

use crate::acpi::{self, Acpi};
use heapless::Vec;
use spinning_top::Spinlock;
use waitless::device::Registers;

/// All controllers of the machine.
pub(crate) struct IoApics(Spinlock<Vec<Controller, { acpi::IO_APICS }>>);

struct Controller {
    registers: Registers,
    /// The global number of its first line, and how many it has.
    first: u32,
    count: u32,
}

/// Where the only controller is when the firmware says nothing.
const USUAL: acpi::IoApic = acpi::IoApic { address: 0xfec0_0000, first: 0 };

/// Two registers lead to all others: a number is written to one, the value is in the other.
const SELECT: usize = 0x00;
const WINDOW: usize = 0x10;

/// Number of the register that holds the count of lines.
const VERSION: u32 = 1;
/// Number of the first line's lower half; the upper follows, then the next line's.
const LINES: u32 = 0x10;

const MASKED: u32 = 1 << 16;

impl IoApics {
    /// Finds them, and masks all lines. `map` makes a page of registers reachable.
    pub(crate) fn find(acpi: &Acpi, map: impl Fn(u64) -> Option<Registers>) -> Self {
        let told = acpi.io_apics.iter().copied();
        let usual = acpi.io_apics.is_empty().then_some(USUAL);
        let all = told.chain(usual);
        Self(Spinlock::new(all.filter_map(|at| Controller::new(at, &map)).collect()))
    }

    /// Lets `line`, when it rises, interrupt the core with the local controller `id`, with
    /// `vector`. Its level does not count: the handler does not know how to make a device let go,
    /// so it would be called again and again.
    pub(crate) fn route(&self, line: u32, id: u8, vector: u8) -> bool {
        let mut all = self.0.lock();
        let has =
            |controller: &&mut Controller| line.wrapping_sub(controller.first) < controller.count;
        let Some(controller) = all.iter_mut().find(has) else { return false };
        controller.set(line - controller.first, u32::from(id) << 24, vector.into());
        true
    }
}

impl Controller {
    fn new(at: acpi::IoApic, map: impl Fn(u64) -> Option<Registers>) -> Option<Self> {
        let registers = map(at.address)?.part(0, 0x20)?;
        registers.write32(SELECT, VERSION);
        let version = registers.read32(WINDOW);
        // All ones: there is none.
        if version == u32::MAX {
            return None;
        }
        let controller = Self { registers, first: at.first, count: (version >> 16 & 0xff) + 1 };
        for line in 0..controller.count {
            controller.set(line, 0, MASKED);
        }
        Some(controller)
    }

    /// The half that unmasks comes last.
    fn set(&self, line: u32, high: u32, low: u32) {
        for (number, value) in [(LINES + 2 * line + 1, high), (LINES + 2 * line, low)] {
            self.registers.write32(SELECT, number);
            self.registers.write32(WINDOW, value);
        }
    }
}
