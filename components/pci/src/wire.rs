//! The configuration space of a PCI function (PCI 3.0 chapter 6): offsets and bits.

use waitless::PciIdentity;

/// Vendor and device. A vendor of all ones: there is no function.
pub(crate) const IDENTITY: u16 = 0x00;
/// Command and status.
pub(crate) const COMMAND: u16 = 0x04;
/// Revision and class.
pub(crate) const CLASS: u16 = 0x08;
/// The header's layout, among others.
pub(crate) const LAYOUT: u16 = 0x0c;
/// The first base address register.
pub(crate) const BAR: u16 = 0x10;
/// The bus numbers of a bridge: primary, secondary, subordinate.
pub(crate) const BUSES: u16 = 0x18;
/// Subsystem and its vendor.
pub(crate) const SUBSYSTEM: u16 = 0x2c;
/// The first capability.
pub(crate) const CAPABILITIES: u16 = 0x34;

/// The offset at which capabilities may start.
pub(crate) const HEADER_END: u8 = 0x40;
/// More capabilities of 4 bytes do not fit into 256 bytes behind the header.
pub(crate) const CAPABILITIES_MAX: usize = 48;

/// In [`COMMAND`]: answers accesses to its I/O ports.
pub(crate) const IO_ENABLE: u32 = 1 << 0;
/// In [`COMMAND`]: answers accesses to its memory.
pub(crate) const MEMORY_ENABLE: u32 = 1 << 1;
/// In [`COMMAND`]: may access memory itself.
pub(crate) const MASTER_ENABLE: u32 = 1 << 2;
/// In [`COMMAND`]: must not use its interrupt line.
pub(crate) const LINE_DISABLE: u32 = 1 << 10;
/// In [`COMMAND`], its upper half: has a list of capabilities.
pub(crate) const HAS_CAPABILITIES: u32 = 1 << 20;
/// The half of [`COMMAND`] that is the command; ones written to the other half clear errors.
pub(crate) const COMMAND_BITS: u32 = 0xffff;

/// The id of the MSI-X capability.
pub(crate) const MSIX: u8 = 0x11;
/// In the first register of MSI-X: on.
pub(crate) const MSIX_ENABLE: u32 = 1 << 31;
/// In the first register of MSI-X: every vector is masked.
pub(crate) const MSIX_MASK: u32 = 1 << 30;

/// What a function's header says of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Layout {
    /// A function with registers of its own.
    Device,
    /// A bridge to another bus.
    Bridge,
    /// Something else, without meaning here.
    Other,
}

impl Layout {
    /// The layout that the register at [`LAYOUT`] tells.
    pub(crate) fn of(register: u32) -> Self {
        match (register >> 16) & 0x7f {
            0 => Self::Device,
            1 => Self::Bridge,
            _ => Self::Other,
        }
    }
}

/// Whether, by its register at [`LAYOUT`], function 0 says that there are others.
pub(crate) fn has_more_functions(register: u32) -> bool {
    register & (1 << 23) != 0
}

/// The identity in the registers at [`IDENTITY`], [`CLASS`] and [`SUBSYSTEM`].
pub(crate) fn identity(id: u32, class: u32, subsystem: u32) -> PciIdentity {
    PciIdentity {
        vendor: id as u16,
        device: (id >> 16) as u16,
        class: class >> 8,
        revision: class as u8,
        subsystem_vendor: subsystem as u16,
        subsystem: (subsystem >> 16) as u16,
    }
}

/// What a base address register is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BarKind {
    /// I/O ports, which no driver here uses.
    Ports,
    /// Memory with a 32-bit address.
    Memory32,
    /// Memory with a 64-bit address, whose upper half the next register holds.
    Memory64,
    /// A reserved encoding.
    Reserved,
}

impl BarKind {
    /// The kind that the register's low bits tell.
    pub(crate) fn of(register: u32) -> Self {
        match (register & 1, (register >> 1) & 3) {
            (1, _) => Self::Ports,
            (_, 0 | 1) => Self::Memory32,
            (_, 2) => Self::Memory64,
            _ => Self::Reserved,
        }
    }
}
