//! What every loader tells an image, whatever its format.

use heapless::Vec;
use platform_machine::memory::{ENTRIES, Entry, Kind, Range};
use platform_machine::options::CommandLine;

/// What the loader said. Nothing in it refers to the loader's memory.
#[derive(Clone, Debug, Default)]
pub struct BootInfo {
    /// The command line.
    pub command_line: CommandLine,
    /// The memory map.
    pub memory: Vec<Entry, ENTRIES>,
    /// What lies in RAM and must stay: modules.
    pub taken: Vec<Range, 16>,
    /// Where the list of firmware tables is, where the loader says.
    pub root: Option<Root>,
}

/// Where the list of firmware tables starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Root {
    /// The RSDP's address: it is still to be read.
    Pointer(u64),
    /// The address of the RSDT, whose entries have 32 bits.
    Rsdt(u64),
    /// The address of the XSDT, whose entries have 64 bits.
    Xsdt(u64),
}

/// Why what a loader left cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LoaderError {
    /// Its first word is not the format's. Carries what was found there.
    Magic(u32),
    /// It ends before its own lengths say, or points where there is nothing.
    Short,
    /// It says nothing of memory.
    NoMemoryMap,
}

impl core::fmt::Display for LoaderError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Magic(found) => write!(f, "the loader's information begins with {found:#x}"),
            Self::Short => f.write_str("the loader's information is cut short"),
            Self::NoMemoryMap => f.write_str("the loader gives no memory map"),
        }
    }
}

/// Memory as a parser sees it. Images read physical memory, tests read what they made up.
pub trait Physical {
    /// The `length` bytes at `address`; `None` where they cannot be read.
    fn bytes(&self, address: u64, length: usize) -> Option<&[u8]>;
}

/// The meaning of a type number of an E820 map, which PVH and Multiboot2 share.
pub(crate) fn kind_of(number: u32) -> Kind {
    match number {
        1 => Kind::Ram,
        3 | 4 => Kind::Acpi,
        _ => Kind::Reserved,
    }
}

/// The little-endian number at `offset`.
pub(crate) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}

/// The little-endian number at `offset`.
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}

/// The little-endian number at `offset`.
pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}
