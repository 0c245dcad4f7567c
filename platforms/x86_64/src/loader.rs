//! What every loader tells an image, whatever its format.

use heapless::Vec;
use platform_machine::memory::{self, Dropped, ENTRIES, Entry, Kind, Range};
use platform_machine::options::{COMMAND_LINE, CommandLine};

/// How many modules are kept track of.
pub const MODULES: usize = 16;

/// What the loader said. Nothing in it refers to the loader's memory.
#[derive(Clone, Debug, Default)]
pub struct BootInfo {
    /// The command line.
    pub command_line: CommandLine,
    /// The memory map. It holds the pieces that matter most; see [`add`](Self::add).
    pub memory: Vec<Entry, ENTRIES>,
    /// Pieces of RAM that the map had no room for, and how many bytes they have.
    pub dropped: Dropped,
    /// What lies in RAM and must stay: modules.
    pub taken: Vec<Range, MODULES>,
    /// Where the list of firmware tables is, where the loader says.
    pub root: Option<Root>,
    /// Seconds since 1970 when it entered the image, where it says.
    pub date: Option<u64>,
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
    /// It brings more modules than [`MODULES`].
    Modules,
}

impl core::fmt::Display for LoaderError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Magic(found) => write!(f, "the loader's information begins with {found:#x}"),
            Self::Short => f.write_str("the loader's information is cut short"),
            Self::NoMemoryMap => f.write_str("the loader gives no memory map"),
            Self::Modules => write!(f, "the loader brings more than {MODULES} modules"),
        }
    }
}

impl BootInfo {
    /// Adds a piece to the memory map, as [`memory::add`] does.
    pub(crate) fn add(&mut self, piece: Entry) {
        memory::add(&mut self.memory, piece, &mut self.dropped);
    }

    /// Frees what was the loader's own, and says where it is: what it left was read.
    pub fn release_loader(&mut self) -> Vec<Range, ENTRIES> {
        let own = self.memory.iter_mut().filter(|entry| entry.kind == Kind::Loader);
        own.map(|entry| {
            entry.kind = Kind::Ram;
            entry.range
        })
        .collect()
    }

    /// Reads the command line at `address`, where there is one. It is as long as its text, so it
    /// is read in steps that stay within a page.
    pub(crate) fn read_command_line(&mut self, memory: &impl Physical, address: u64) {
        if address == 0 {
            return;
        }
        // One byte more than is kept shows that there is more.
        let mut line = Vec::<u8, { COMMAND_LINE + 1 }>::new();
        for offset in 0..=COMMAND_LINE as u64 {
            match memory.bytes(address.saturating_add(offset), 1) {
                // As long as the loop, so it cannot be full.
                Some(&[byte]) if byte != 0 => _ = line.push(byte),
                _ => break,
            }
        }
        self.command_line = CommandLine::new(&line);
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

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn piece(start: u64, length: u64, kind: Kind) -> Entry {
        Entry { range: Range::sized(start, length), kind }
    }

    #[test]
    fn pieces_that_touch_are_one() {
        let mut info = BootInfo::default();
        info.add(piece(0, MIB, Kind::Ram));
        info.add(piece(2 * MIB, MIB, Kind::Ram));
        info.add(piece(MIB, MIB / 2, Kind::Acpi));
        info.add(piece(MIB, MIB / 4, Kind::Ram));
        info.add(piece(5 * MIB, 0, Kind::Ram));
        let ranges: std::vec::Vec<_> = info.memory.iter().map(|entry| entry.range).collect();
        let expected = [(0, MIB + MIB / 4), (2 * MIB, MIB), (MIB, MIB / 2)];
        assert_eq!(ranges, expected.map(|(start, length)| Range::sized(start, length)));
    }

    #[test]
    fn a_map_of_more_pieces_than_fit_loses_the_smallest_ram() {
        let mut info = BootInfo::default();
        for index in 0..ENTRIES as u64 + 40 {
            // The later, the larger.
            info.add(piece(index * 16 * MIB, MIB + index * 4096, Kind::Ram));
        }
        let claim = piece(3 * MIB, 4096, Kind::Reserved);
        info.add(claim);
        assert_eq!(info.memory.len(), ENTRIES);
        assert!(info.memory.contains(&claim), "what takes RAM away is never lost");
        let kept = info.memory.iter().filter(|entry| entry.kind == Kind::Ram);
        assert_eq!(kept.map(|entry| entry.range.start()).min(), Some(41 * 16 * MIB));
        let lost: u64 = (0..41).map(|index| MIB + index * 4096).sum();
        assert_eq!(info.dropped, (41, lost));
        info.add(piece(1 << 40, 4096, Kind::Ram));
        assert_eq!(info.dropped, (42, lost + 4096), "the new one can be the smallest");
    }

    #[test]
    fn what_was_the_loaders_is_free_later() {
        let mut info = BootInfo::default();
        info.add(piece(0, MIB, Kind::Loader));
        info.add(piece(MIB, MIB, Kind::Ram));
        let own = info.release_loader();
        assert_eq!(own.as_slice(), &[Range::sized(0, MIB)]);
        assert!(info.memory.iter().all(|entry| entry.kind == Kind::Ram));
    }

    extern crate std;
}
