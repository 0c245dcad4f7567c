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

/// The plainest format: bit 0 for a table, bits 1 and 2 for a page's rights.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Plain;

const RIGHTS: [Access; 4] = [Access::Read, Access::ReadWrite, Access::ReadExecute, Access::Device];

impl Format for Plain {
    const ADDRESS: u64 = !(PAGE - 1);

    fn page(address: u64, _level: u32, access: Access) -> u64 {
        let rights = RIGHTS.iter().position(|it| *it == access).unwrap() as u64;
        address | rights << 1 | 8
    }

    fn table(address: u64) -> u64 {
        address | 1
    }

    fn read(entry: u64, _level: u32) -> Entry {
        match entry {
            0 => Entry::Nothing,
            _ if entry & 1 != 0 => Entry::Table(entry & Self::ADDRESS),
            _ => Entry::Page(RIGHTS[(entry >> 1 & 3) as usize]),
        }
    }
}

fn new(memory: &mut Memory, huge: bool) -> AddressSpace<Plain> {
    AddressSpace::new(memory, huge).unwrap()
}

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

#[test]
fn large_memory_takes_few_tables() {
    for (huge, expected) in [(true, 2), (false, 2 + 64)] {
        let mut memory = Memory::default();
        let space = new(&mut memory, huge);
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
        let space = new(&mut memory, huge);
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
    let space = new(&mut memory, true);
    space.map(&mut memory, Range::new(0, GIB), Access::ReadWrite).unwrap();
    space.map(&mut memory, Range::sized(4 * MIB, PAGE), Access::Read).unwrap();
    let leaves = |table: &Table| table.iter().map(|entry| entry & Plain::ADDRESS).collect();
    let all: std::vec::Vec<std::vec::Vec<u64>> = memory.tables.values().map(leaves).collect();
    assert_eq!(all[2][3], 6 * MIB);
    assert_eq!(all[3][4], 4 * MIB + 4 * PAGE);
}

#[test]
fn an_image_is_mapped_elsewhere_than_it_is() {
    let mut memory = Memory::default();
    let space = new(&mut memory, true);
    let at = 0xffff_ffff_8000_0000;
    let place = Range::sized(6 * MIB, 4 * MIB);
    space.map_at(&mut memory, at, place, Access::ReadWrite).unwrap();
    space.map_at(&mut memory, at + PAGE, Range::sized(6 * MIB + PAGE, PAGE), Access::Read).unwrap();
    let mut rights = |address| space.access(&mut memory, address);
    assert_eq!(rights(at), Some(Access::ReadWrite));
    assert_eq!(rights(at + PAGE), Some(Access::Read));
    assert_eq!(rights(at + 4 * MIB - 1), Some(Access::ReadWrite));
    assert_eq!((rights(at + 4 * MIB), rights(6 * MIB)), (None, None));
    space.unmap(&mut memory, Range::sized(at + 2 * PAGE, PAGE)).unwrap();
    assert_eq!(space.access(&mut memory, at + 2 * PAGE), None);
    // A large page only where both addresses are at the start of one.
    let odd = Range::sized(MIB, 4 * MIB);
    space.map_at(&mut memory, at + GIB, odd, Access::Read).unwrap();
    assert_eq!(space.access(&mut memory, at + GIB + 4 * MIB - 1), Some(Access::Read));
    for (at, length) in [(LIMIT - PAGE, 2 * PAGE), (1 << 48, PAGE), (!0 << 48, PAGE), (1, PAGE)] {
        let range = Range::sized(0, length);
        let result = space.map_at(&mut memory, at, range, Access::Read);
        assert_eq!(result, Err(PagingError::OutOfReach), "{at:#x}");
    }
    let top = 0u64.wrapping_sub(PAGE);
    assert_eq!(space.map_at(&mut memory, top, Range::sized(0, PAGE), Access::Read), Ok(()));
    let beyond = space.map_at(&mut memory, top, Range::sized(0, 2 * PAGE), Access::Read);
    assert_eq!(beyond, Err(PagingError::OutOfReach));
}

#[test]
fn what_cannot_be_mapped_says_why() {
    let mut memory = Memory { limit: Some(2), ..Memory::default() };
    let space = new(&mut memory, false);
    let mut map = |range| space.map(&mut memory, range, Access::Device);
    assert_eq!(map(Range::new(1, PAGE)), Err(PagingError::OutOfReach));
    assert_eq!(map(Range::new(LIMIT - PAGE, LIMIT + PAGE)), Err(PagingError::OutOfReach));
    assert_eq!(map(Range::new(0, PAGE)), Err(PagingError::OutOfMemory));
}

#[test]
fn what_has_the_rights_already_is_not_split() {
    let mut memory = Memory::default();
    let space = new(&mut memory, true);
    space.map(&mut memory, Range::new(0, GIB), Access::Device).unwrap();
    let before = memory.tables.clone();
    space.map(&mut memory, Range::sized(4 * MIB, PAGE), Access::Device).unwrap();
    assert_eq!(memory.tables, before);
}
