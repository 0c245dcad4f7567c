//! Page tables: which memory may be read, written and executed.
//!
//! All memory is mapped to itself. The largest pages that fit are used, and a large page is
//! split when a part of it needs something else. Nothing is ever both writable and executable:
//! there is no [`Access`] that says so.

use crate::memory::{PAGE, Range};

/// What may be done with a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Read.
    Read,
    /// Read and write.
    ReadWrite,
    /// Read and execute.
    ReadExecute,
    /// Read and write past all caches: device registers.
    Device,
}

/// A table of one level.
pub type Table = [u64; 512];

/// Where tables come from and how they are reached.
pub trait Tables {
    /// The physical address of a new table full of zeroes; `None` when memory is out.
    fn allocate(&mut self) -> Option<u64>;
    /// The table at a physical address that [`allocate`](Self::allocate) gave.
    fn table(&mut self, address: u64) -> &mut Table;
}

/// Why a range cannot be mapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PagingError {
    /// There is no memory left for tables.
    OutOfMemory,
    /// The range does not consist of whole pages, or reaches beyond what four levels map.
    OutOfReach,
}

/// The tables of an address space of four levels, where every address means itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AddressSpace {
    root: u64,
    huge: bool,
}

/// The first address that the lower half of four levels does not reach.
pub const LIMIT: u64 = 1 << 47;

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const WRITE_THROUGH: u64 = 1 << 3;
const UNCACHED: u64 = 1 << 4;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

impl Access {
    const fn bits(self) -> u64 {
        PRESENT
            | match self {
                Self::Read => NO_EXECUTE,
                Self::ReadWrite => WRITABLE | NO_EXECUTE,
                Self::ReadExecute => 0,
                Self::Device => WRITABLE | NO_EXECUTE | UNCACHED | WRITE_THROUGH,
            }
    }
}

impl AddressSpace {
    /// An address space with nothing in it. `huge` says whether pages of 1 GiB may be used.
    pub fn new(tables: &mut impl Tables, huge: bool) -> Result<Self, PagingError> {
        let root = tables.allocate().ok_or(PagingError::OutOfMemory)?;
        Ok(Self { root, huge })
    }

    /// The root table's address, for the processor.
    pub fn root(self) -> u64 {
        self.root
    }

    /// Maps `range`, which consists of whole pages, to itself.
    pub fn map(
        self,
        tables: &mut impl Tables,
        range: Range,
        access: Access,
    ) -> Result<(), PagingError> {
        self.change(tables, range, access.bits())
    }

    /// Takes `range`, which consists of whole pages, away: an access to it faults.
    pub fn unmap(self, tables: &mut impl Tables, range: Range) -> Result<(), PagingError> {
        self.change(tables, range, 0)
    }

    /// Whether `address` is mapped, with the rights that it has.
    pub fn access(self, tables: &mut impl Tables, address: u64) -> Option<Access> {
        let mut table = self.root;
        for level in (0..4).rev() {
            let entry = tables.table(table)[index(address, level)];
            if entry & PRESENT == 0 {
                return None;
            }
            if level == 0 || entry & LARGE != 0 {
                return Some(match entry & (WRITABLE | UNCACHED | NO_EXECUTE) {
                    0 => Access::ReadExecute,
                    NO_EXECUTE => Access::Read,
                    bits if bits & UNCACHED != 0 => Access::Device,
                    _ => Access::ReadWrite,
                });
            }
            table = entry & ADDRESS;
        }
        None
    }

    fn change(self, tables: &mut impl Tables, range: Range, bits: u64) -> Result<(), PagingError> {
        if range.end() > LIMIT || !(range.start() | range.end()).is_multiple_of(PAGE) {
            return Err(PagingError::OutOfReach);
        }
        let mut at = range.start();
        while at < range.end() {
            let level = self.level(at, range.end() - at);
            self.set(tables, at, level, bits)?;
            at += size(level);
        }
        Ok(())
    }

    /// The level of the largest page that may start at `address` and ends within `left` bytes.
    fn level(self, address: u64, left: u64) -> u32 {
        let fits = |level| address.is_multiple_of(size(level)) && size(level) <= left;
        match () {
            () if self.huge && fits(2) => 2,
            () if fits(1) => 1,
            () => 0,
        }
    }

    /// Makes the page at `address` of this level what `bits` say.
    fn set(
        self,
        tables: &mut impl Tables,
        address: u64,
        level: u32,
        bits: u64,
    ) -> Result<(), PagingError> {
        let mut table = self.root;
        for above in (level + 1..4).rev() {
            table = descend(tables, table, index(address, above), above)?;
        }
        let large = if level == 0 { 0 } else { LARGE };
        let entry = if bits == 0 { 0 } else { address | bits | large };
        tables.table(table)[index(address, level)] = entry;
        Ok(())
    }
}

/// The table that `table[index]` of this level leads to: made when missing, split off when the
/// entry is a large page.
fn descend(
    tables: &mut impl Tables,
    table: u64,
    index: usize,
    level: u32,
) -> Result<u64, PagingError> {
    let entry = tables.table(table)[index];
    if entry & PRESENT != 0 && entry & LARGE == 0 {
        return Ok(entry & ADDRESS);
    }
    let below = tables.allocate().ok_or(PagingError::OutOfMemory)?;
    if entry & PRESENT != 0 {
        let step = size(level - 1);
        let large = if level == 1 { LARGE } else { 0 };
        for (part, child) in tables.table(below).iter_mut().enumerate() {
            *child = (entry & !large) + part as u64 * step;
        }
    }
    // Rights are settled by the last level, so the way there allows everything.
    tables.table(table)[index] = below | PRESENT | WRITABLE;
    Ok(below)
}

/// Bytes of a page of this level.
const fn size(level: u32) -> u64 {
    PAGE << (9 * level)
}

const fn index(address: u64, level: u32) -> usize {
    (address >> (12 + 9 * level)) as usize % 512
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Default)]
    struct Memory {
        tables: BTreeMap<u64, Table>,
        limit: Option<usize>,
    }

    impl Tables for Memory {
        fn allocate(&mut self) -> Option<u64> {
            if self.limit == Some(self.tables.len()) {
                return None;
            }
            let address = (self.tables.len() as u64 + 1) * PAGE;
            self.tables.insert(address, [0; 512]);
            Some(address)
        }

        fn table(&mut self, address: u64) -> &mut Table {
            self.tables.get_mut(&address).unwrap()
        }
    }

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    #[test]
    fn large_memory_takes_few_tables() {
        for (huge, expected) in [(true, 2), (false, 2 + 64)] {
            let mut memory = Memory::default();
            let space = AddressSpace::new(&mut memory, huge).unwrap();
            space.map(&mut memory, Range::new(0, 64 * GIB), Access::ReadWrite).unwrap();
            assert_eq!(memory.tables.len(), expected);
            assert_eq!(space.access(&mut memory, 64 * GIB - 1), Some(Access::ReadWrite));
            assert_eq!(space.access(&mut memory, 64 * GIB), None);
        }
    }

    #[test]
    fn a_part_of_a_large_page_gets_its_own_rights() {
        for huge in [true, false] {
            let mut memory = Memory::default();
            let space = AddressSpace::new(&mut memory, huge).unwrap();
            space.map(&mut memory, Range::new(0, 2 * GIB), Access::ReadWrite).unwrap();
            let text = Range::sized(2 * MIB + PAGE, 2 * PAGE);
            space.map(&mut memory, text, Access::ReadExecute).unwrap();
            space.unmap(&mut memory, Range::new(0, PAGE)).unwrap();
            let mut at = |address| space.access(&mut memory, address);
            assert_eq!(at(0), None);
            assert_eq!(at(PAGE), Some(Access::ReadWrite));
            assert_eq!(at(2 * MIB), Some(Access::ReadWrite));
            assert_eq!(at(2 * MIB + PAGE), Some(Access::ReadExecute));
            assert_eq!(at(2 * MIB + 3 * PAGE), Some(Access::ReadWrite));
            assert_eq!(at(GIB + 5), Some(Access::ReadWrite));
        }
    }

    #[test]
    fn every_split_page_still_maps_to_itself() {
        let mut memory = Memory::default();
        let space = AddressSpace::new(&mut memory, true).unwrap();
        space.map(&mut memory, Range::new(0, GIB), Access::ReadWrite).unwrap();
        space.map(&mut memory, Range::sized(4 * MIB, PAGE), Access::Read).unwrap();
        let leaves = |table: &Table| table.iter().map(|entry| entry & ADDRESS & !0x1fff).collect();
        let all: std::vec::Vec<std::vec::Vec<u64>> = memory.tables.values().map(leaves).collect();
        assert_eq!(all[2][3], 6 * MIB);
        assert_eq!(all[3][4], 4 * MIB + 4 * PAGE);
    }

    #[test]
    fn what_cannot_be_mapped_says_why() {
        let mut memory = Memory { limit: Some(2), ..Memory::default() };
        let space = AddressSpace::new(&mut memory, false).unwrap();
        let mut map = |range| space.map(&mut memory, range, Access::Device);
        assert_eq!(map(Range::new(1, PAGE)), Err(PagingError::OutOfReach));
        assert_eq!(map(Range::new(LIMIT - PAGE, LIMIT + PAGE)), Err(PagingError::OutOfReach));
        assert_eq!(map(Range::new(0, PAGE)), Err(PagingError::OutOfMemory));
    }

    #[test]
    fn nothing_is_both_writable_and_executable() {
        for access in [Access::Read, Access::ReadWrite, Access::ReadExecute, Access::Device] {
            assert!(access.bits() & WRITABLE == 0 || access.bits() & NO_EXECUTE != 0);
        }
    }
}
