extern crate std;
use super::*;
use crate::loader::MODULES;
use crate::loader::Root;
use platform_machine::memory::Kind;
use std::vec::Vec;

struct Memory(Vec<u8>);

impl Physical for Memory {
    fn bytes(&self, address: u64, length: usize) -> Option<&[u8]> {
        let at = usize::try_from(address).ok()?;
        self.0.get(at..at.checked_add(length)?)
    }
}

/// Boot information of `tags`, at address 16.
fn info(tags: &[(u32, &[u8])]) -> Memory {
    let mut bytes = std::vec![0; 24];
    for (kind, body) in tags {
        bytes.extend(kind.to_le_bytes());
        bytes.extend((body.len() as u32 + 8).to_le_bytes());
        bytes.extend(*body);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
    }
    bytes.extend([0, 0, 0, 0, 8, 0, 0, 0]);
    let length = bytes.len() as u32 - 16;
    bytes[16..20].copy_from_slice(&length.to_le_bytes());
    Memory(bytes)
}

fn map(entries: &[(u64, u64, u32)]) -> Vec<u8> {
    let mut bytes = Vec::from([24, 0, 0, 0, 0, 0, 0, 0]);
    for (base, length, kind) in entries {
        bytes.extend(base.to_le_bytes());
        bytes.extend(length.to_le_bytes());
        bytes.extend(u64::from(*kind).to_le_bytes());
    }
    bytes
}

fn rsdp() -> Vec<u8> {
    let mut bytes = Vec::from(*b"RSD PTR \0OEM   \0");
    bytes.extend(0x7fe_0000_u32.to_le_bytes());
    let sum = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    bytes[8] = sum.wrapping_neg();
    bytes
}

#[test]
fn tags_of_any_length_are_walked() {
    let map = map(&[(0, 0xa_0000, 1), (0x10_0000, 0x7f0_0000, 1), (0xfff0_0000, 0x10_0000, 2)]);
    let module = [&0x40_0000_u32.to_le_bytes()[..], &0x40_1000_u32.to_le_bytes(), b"m\0"].concat();
    let memory =
        info(&[(1, b"log=debug\0"), (2, b"GRUB\0"), (3, &module), (6, &map), (14, &rsdp())]);
    let info = parse(&memory, 16).unwrap();
    assert_eq!(info.command_line.as_str(), "log=debug");
    assert_eq!(info.memory.len(), 3);
    assert_eq!(info.memory[2].kind, Kind::Reserved);
    assert_eq!(info.taken.as_slice(), &[Range::new(0x40_0000, 0x40_1000)]);
    assert_eq!(info.root, Some(Root::Rsdt(0x7fe_0000)));
}

#[test]
fn more_modules_than_are_kept_track_of_are_refused_by_that_cause() {
    let map = map(&[(0x10_0000, 0x7f0_0000, 1)]);
    let module = [0x40_0000_u32.to_le_bytes(), 0x40_1000_u32.to_le_bytes()].concat();
    let with = |count| {
        let mut tags = Vec::from([(6, &map[..])]);
        tags.extend((0..count).map(|_| (3, &module[..])));
        parse(&info(&tags), 16)
    };
    assert_eq!(with(MODULES).unwrap().taken.len(), MODULES);
    assert_eq!(with(MODULES + 1).unwrap_err(), LoaderError::Modules);
}

#[test]
fn what_cannot_be_read_is_refused_by_cause() {
    assert_eq!(parse(&info(&[(1, b"x\0")]), 16).unwrap_err(), LoaderError::NoMemoryMap);
    let mut memory = info(&[(6, &map(&[(0, 0x1000, 1)]))]);
    memory.0[28..32].copy_from_slice(&4000u32.to_le_bytes());
    assert_eq!(parse(&memory, 16).unwrap_err(), LoaderError::Short);
    // A tag shorter than its own head would be walked for ever.
    memory.0[28..32].copy_from_slice(&3u32.to_le_bytes());
    assert_eq!(parse(&memory, 16).unwrap_err(), LoaderError::Short);
    memory.0[16..20].copy_from_slice(&0xffff_ffff_u32.to_le_bytes());
    assert_eq!(parse(&memory, 16).unwrap_err(), LoaderError::Magic(0xffff_ffff));
}
