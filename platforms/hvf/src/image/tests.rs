//! Images that are sound, and many that are not.

use super::*;
use crate::memory::plain;

const RAM: u64 = 0x4000_0000;

fn linux(offset: u64, size: u64, flags: u64) -> Vec<u8> {
    let mut bytes = vec![0xd5; 100];
    bytes[8..16].copy_from_slice(&offset.to_le_bytes());
    bytes[16..24].copy_from_slice(&size.to_le_bytes());
    bytes[24..32].copy_from_slice(&flags.to_le_bytes());
    bytes[MAGIC].copy_from_slice(b"ARM\x64");
    bytes
}

#[test]
fn linux_images_lie_where_their_header_says() {
    let memory = plain(RAM, 4 << 20);
    let loaded = load(&linux(0x1000, 0x2000, 0xa), &memory, RAM).unwrap();
    let start = RAM + 0x1000;
    assert_eq!(loaded, Loaded { entry: start, start, end: start + 0x2000 });
    assert_eq!(memory.array(start), Ok([0xd5u8]));
    let old = load(&linux(1, 0, 0), &memory, RAM).unwrap();
    assert_eq!((old.start, old.end), (RAM + 0x8_0000, RAM + 0x8_0000 + 100));
    for (offset, size, flags) in [(0, 5 << 20, 0), (4 << 20, 1, 0), (u64::MAX, 1, 0), (0, 1, 1)] {
        assert!(load(&linux(offset, size, flags), &memory, RAM).is_err());
    }
}

/// An ELF file with one segment.
fn elf(kind: u16, machine: u16, paddr: u64, memsz: u64, entry: u64) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(16, 0);
    bytes.extend(kind.to_le_bytes());
    bytes.extend(machine.to_le_bytes());
    bytes.extend(1u32.to_le_bytes());
    for word in [entry, 64, 0] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend([0; 4]);
    for half in [64u16, 56, 1, 64, 0, 0] {
        bytes.extend(half.to_le_bytes());
    }
    bytes.extend([1u32.to_le_bytes(), 5u32.to_le_bytes()].concat());
    for word in [120, paddr, paddr, 8, memsz, 0x1000] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(b"segment!");
    bytes
}

#[test]
fn elf_files_lie_where_they_are_linked_or_anywhere() {
    let memory = plain(RAM, 4 << 20);
    let at = RAM + 0x20_0000;
    let fixed = elf(2, 183, at, 64, at + 4);
    assert_eq!(load(&fixed, &memory, RAM), Ok(Loaded { entry: at + 4, start: at, end: at + 64 }));
    assert_eq!(memory.array(at), Ok(*b"segment!"));
    let loose = elf(3, 183, 0x1000, 64, 0x1004);
    let start = at + 0x1000;
    let expected = Loaded { entry: start + 4, start, end: start + 64 };
    assert_eq!(load(&loose, &memory, RAM), Ok(expected));
}

#[test]
fn what_is_no_image_or_does_not_fit_is_refused() {
    let memory = plain(RAM, 4 << 20);
    let at = RAM + 0x20_0000;
    for (bytes, why) in [
        (elf(2, 62, at, 64, at), "another architecture"),
        (elf(1, 183, at, 64, at), "no program"),
        (elf(2, 183, 0x1000, 64, 0x1000), "outside of the memory"),
        (elf(2, 183, at, u64::MAX, at), "outside of the memory"),
        (elf(2, 183, at, 64, at + 64), "its entry"),
        (b"\x7fELF".to_vec(), "no sound ELF"),
        (b"#!/bin/sh".to_vec(), "neither"),
        (Vec::new(), "neither"),
    ] {
        let error = load(&bytes, &memory, RAM).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
    let whole = elf(3, 183, 0, 64, 0);
    for length in 0..whole.len() {
        assert!(load(&whole[..length], &memory, RAM).is_err(), "{length}");
    }
}
