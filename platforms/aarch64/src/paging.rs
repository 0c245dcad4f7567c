//! The entries of page tables as the processor reads them: stage 1, a granule of 4 KiB.

use platform_machine::paging::{Access, Entry, Format};

/// Four levels over pages of 4 KiB.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stage1;

const VALID: u64 = 1 << 0;
/// A table, or at the last level a page; without it, a block.
const TABLE: u64 = 1 << 1;
/// Which attribute of `MAIR_EL1`: 1 is a device's, 0 memory's.
const DEVICE: u64 = 1 << 2;
const READ_ONLY: u64 = 1 << 7;
const INNER_SHAREABLE: u64 = 3 << 8;
/// Without it, the first access faults.
const ACCESSED: u64 = 1 << 10;
const NO_EXECUTE: u64 = 1 << 53;
const NO_EXECUTE_BELOW: u64 = 1 << 54;

/// `MAIR_EL1`: memory that is cached and written back; devices whose writes may be acknowledged
/// early.
pub const ATTRIBUTES: u64 = 0x04_ff;

impl Format for Stage1 {
    const ADDRESS: u64 = 0x0000_ffff_ffff_f000;

    fn page(address: u64, level: u32, access: Access) -> u64 {
        let kind = if level == 0 { TABLE } else { 0 };
        let rights = match access {
            Access::Read => READ_ONLY | NO_EXECUTE,
            Access::ReadWrite => NO_EXECUTE,
            Access::ReadExecute => READ_ONLY,
            Access::Device => NO_EXECUTE | DEVICE,
        };
        address | rights | kind | VALID | INNER_SHAREABLE | ACCESSED | NO_EXECUTE_BELOW
    }

    fn table(address: u64) -> u64 {
        address | TABLE | VALID
    }

    fn read(entry: u64, level: u32) -> Entry {
        if entry & VALID == 0 {
            return Entry::Nothing;
        }
        if level != 0 && entry & TABLE != 0 {
            return Entry::Table(entry & Self::ADDRESS);
        }
        Entry::Page(match entry & (DEVICE | READ_ONLY | NO_EXECUTE) {
            READ_ONLY => Access::ReadExecute,
            bits if bits & DEVICE != 0 => Access::Device,
            bits if bits & READ_ONLY != 0 => Access::Read,
            _ => Access::ReadWrite,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Access; 4] = [Access::Read, Access::ReadWrite, Access::ReadExecute, Access::Device];

    #[test]
    fn nothing_is_both_writable_and_executable() {
        for access in ALL {
            let entry = Stage1::page(0, 0, access);
            assert!(entry & READ_ONLY != 0 || entry & NO_EXECUTE != 0);
            assert!(entry & NO_EXECUTE_BELOW != 0);
        }
    }

    #[test]
    fn an_entry_means_what_was_written() {
        for (access, level) in ALL.into_iter().flat_map(|access| (0..3).map(move |l| (access, l))) {
            let entry = Stage1::page(3 << 30, level, access);
            assert_eq!(Stage1::read(entry, level), Entry::Page(access));
            assert_eq!(entry & Stage1::ADDRESS, 3 << 30);
        }
        assert_eq!(Stage1::read(Stage1::table(0x5000), 2), Entry::Table(0x5000));
        assert_eq!(Stage1::read(0, 0), Entry::Nothing);
    }
}
