//! The PCI bus, as drivers of its functions see it.

use crate::device::{MessageInterrupt, Registers};

/// The PCI bus, for drivers: finds a function and brings it up.
pub trait PciPort {
    /// Takes the first function that nobody took and that `wanted` accepts, switched on for
    /// memory access and bus mastering. At start-up only.
    fn take(&mut self, wanted: &mut dyn FnMut(&PciIdentity) -> bool) -> Option<PciFunction>;

    /// Reads a 32-bit register of the function's configuration space; `offset` is a multiple
    /// of 4. All ones where there is nothing.
    fn read(&self, function: PciFunction, offset: u16) -> u32;

    /// Writes a 32-bit register of the function's configuration space.
    fn write(&mut self, function: PciFunction, offset: u16, value: u32);

    /// The registers behind base address register `bar`, 0 to 5; `None` where the function has
    /// none there, or they are I/O ports.
    fn bar(&mut self, function: PciFunction, bar: u8) -> Option<Registers>;

    /// Switches the function's message interrupts (MSI-X) on, all of them masked, and gives
    /// their table. `None` when it has none.
    fn vectors(&mut self, function: PciFunction) -> Option<Vectors>;

    /// The offset of the function's next capability with the id `id` behind the one at `after`
    /// (0 starts at the front); 0 when there is none.
    fn capability(&self, function: PciFunction, id: u8, after: u8) -> u8;
}

/// What a PCI function says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PciIdentity {
    /// Who made it.
    pub vendor: u16,
    /// What it is, to its vendor.
    pub device: u16,
    /// Class, subclass and interface, in this order from the top.
    pub class: u32,
    /// The revision.
    pub revision: u8,
    /// Who made the board.
    pub subsystem_vendor: u16,
    /// What the board is, to its vendor.
    pub subsystem: u16,
}

/// A function that was taken, as its [`PciPort`] knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PciFunction(pub usize);

/// A function's MSI-X table (PCI 3.0 section 6.8.2): who has it may route its interrupts.
#[derive(Debug)]
pub struct Vectors {
    table: Registers,
}

impl Vectors {
    /// The vectors whose table of 16 bytes each is `table`.
    pub const fn new(table: Registers) -> Self {
        Self { table }
    }

    /// How many there are, at most 2048.
    pub fn count(&self) -> u16 {
        u16::try_from(self.table.length() / 16).unwrap_or(u16::MAX)
    }

    /// Makes vector `vector` send `message`, and unmasks it. `false` when there is none.
    pub fn route(&self, vector: u16, message: MessageInterrupt) -> bool {
        if vector >= self.count() {
            return false;
        }
        let entry = usize::from(vector) * 16;
        // An entry that changes must be masked (section 6.8.3.5).
        self.mask(vector, true);
        self.table.write32(entry, message.address as u32);
        self.table.write32(entry + 4, (message.address >> 32) as u32);
        self.table.write32(entry + 8, message.data);
        self.mask(vector, false);
        true
    }

    /// Keeps a vector from interrupting, or lets it interrupt again.
    pub fn mask(&self, vector: u16, masked: bool) {
        if vector < self.count() {
            self.table.write32(usize::from(vector) * 16 + 12, u32::from(masked));
        }
    }
}
