//! The entries of page tables as the processor reads them.

use platform_machine::paging::{Access, Entry, Format};

/// Four levels over pages of 4 KiB, with the bit that keeps data from being executed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Long;

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const WRITE_THROUGH: u64 = 1 << 3;
const UNCACHED: u64 = 1 << 4;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;

const fn rights(access: Access) -> u64 {
    match access {
        Access::Read => NO_EXECUTE,
        Access::ReadWrite => WRITABLE | NO_EXECUTE,
        Access::ReadExecute => 0,
        Access::Device => WRITABLE | NO_EXECUTE | UNCACHED | WRITE_THROUGH,
    }
}

impl Format for Long {
    const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

    fn page(address: u64, level: u32, access: Access) -> u64 {
        let large = if level == 0 { 0 } else { LARGE };
        address | large | PRESENT | rights(access)
    }

    fn table(address: u64) -> u64 {
        // Rights are settled by the last level, so the way there allows everything.
        address | PRESENT | WRITABLE
    }

    fn read(entry: u64, level: u32) -> Entry {
        if entry & PRESENT == 0 {
            return Entry::Nothing;
        }
        if level != 0 && entry & LARGE == 0 {
            return Entry::Table(entry & Self::ADDRESS);
        }
        Entry::Page(match entry & (WRITABLE | UNCACHED | NO_EXECUTE) {
            0 => Access::ReadExecute,
            NO_EXECUTE => Access::Read,
            bits if bits & UNCACHED != 0 => Access::Device,
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
            let entry = Long::page(0, 0, access);
            assert!(entry & WRITABLE == 0 || entry & NO_EXECUTE != 0);
        }
    }

    #[test]
    fn an_entry_means_what_was_written() {
        for (access, level) in ALL.into_iter().flat_map(|access| (0..3).map(move |l| (access, l))) {
            let entry = Long::page(3 << 30, level, access);
            assert_eq!(Long::read(entry, level), Entry::Page(access));
            assert_eq!(entry & Long::ADDRESS, 3 << 30);
        }
        assert_eq!(Long::read(Long::table(0x5000), 2), Entry::Table(0x5000));
        assert_eq!(Long::read(0, 0), Entry::Nothing);
    }
}
