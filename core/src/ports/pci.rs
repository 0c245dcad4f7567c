use crate::device::Registers;

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

    /// Makes vector `vector` of the function's MSI-X table interrupt core `core`, and switches
    /// MSI-X on. `false` when the function or the platform has no such thing.
    fn interrupt(&mut self, function: PciFunction, vector: u16, core: usize) -> bool;

    /// How many MSI-X vectors the function has; 0 when it has none.
    fn vectors(&self, function: PciFunction) -> u16;

    /// Keeps a vector from interrupting, or lets it interrupt again.
    fn mask(&mut self, function: PciFunction, vector: u16, masked: bool);

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
