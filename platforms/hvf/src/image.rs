//! Images: Linux's arm64 `Image` format, and ELF.

use crate::memory::Memory;
use object::elf::{EM_AARCH64, ET_DYN, ET_EXEC, FileHeader64, PT_LOAD};
use object::endian::LittleEndian;
use object::read::elf::{FileHeader, ProgramHeader};

/// An image in the guest's memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Loaded {
    /// Its first instruction.
    pub entry: u64,
    /// Where it lies, to the first byte behind it, what it zeroes itself included.
    pub start: u64,
    /// See `start`.
    pub end: u64,
}

/// What images are placed at multiples of.
const ALIGNMENT: u64 = 2 << 20;
/// Where the header of Linux's format says `ARM\x64`.
const MAGIC: std::ops::Range<usize> = 56..60;
/// How far behind an aligned address an image begins that does not tell its size (before Linux
/// 3.17).
const OLD_OFFSET: u64 = 0x8_0000;

/// Loads an image into the memory that begins at `ram`, a multiple of 2 MiB.
///
/// # Errors
/// One line, when it is no image or does not fit.
pub fn load(bytes: &[u8], memory: &Memory, ram: u64) -> Result<Loaded, String> {
    if bytes.starts_with(b"\x7fELF") {
        load_elf(bytes, memory, ram)
    } else if bytes.get(MAGIC) == Some(b"ARM\x64") {
        load_linux(bytes, memory, ram)
    } else {
        Err("it is neither an ELF file nor in Linux's arm64 format".into())
    }
}

fn load_linux(bytes: &[u8], memory: &Memory, ram: u64) -> Result<Loaded, String> {
    let field = |at: usize| {
        let field = bytes.get(at..).and_then(|rest| rest.first_chunk());
        field.map_or(0, |field| u64::from_le_bytes(*field))
    };
    let (offset, size, flags) = (field(8), field(16), field(24));
    if flags & 1 != 0 {
        return Err("it is big-endian".into());
    }
    let offset = if size == 0 { OLD_OFFSET } else { offset };
    let length = size.max(bytes.len() as u64);
    let start = ram.checked_add(offset).ok_or("its offset is beyond all memory")?;
    put(memory, start, bytes, length)?;
    Ok(Loaded { entry: start, start, end: start + length })
}

fn load_elf(bytes: &[u8], memory: &Memory, ram: u64) -> Result<Loaded, String> {
    let wrong = |why: object::Error| format!("it is no sound ELF file: {why}");
    let header = FileHeader64::<LittleEndian>::parse(bytes).map_err(wrong)?;
    let endian = header.endian().map_err(wrong)?;
    if header.e_machine(endian) != EM_AARCH64 {
        return Err("it is for another architecture than aarch64".into());
    }
    let segments = header.program_headers(endian, bytes).map_err(wrong)?;
    let segments = segments.iter().filter(|segment| segment.p_type(endian) == PT_LOAD);
    let first = segments.clone().map(|segment| segment.p_paddr(endian)).min();
    let first = first.ok_or("it has nothing to load")?;
    let bias = match header.e_type(endian) {
        ET_EXEC => 0,
        // It can lie anywhere.
        ET_DYN => (ram + ALIGNMENT).wrapping_sub(first / ALIGNMENT * ALIGNMENT),
        _ => return Err("it is no program".into()),
    };
    let (mut start, mut end) = (u64::MAX, 0);
    for segment in segments {
        let at = segment.p_paddr(endian).wrapping_add(bias);
        let bytes = segment.data(endian, bytes).map_err(|()| "it is cut off")?;
        let length = segment.p_memsz(endian);
        put(memory, at, bytes, length)?;
        start = start.min(at);
        end = end.max(at + length);
    }
    let entry = header.e_entry(endian).wrapping_add(bias);
    if !(start..end).contains(&entry) {
        return Err(format!("its entry, {entry:#x}, is not part of it"));
    }
    Ok(Loaded { entry, start, end })
}

/// Puts bytes where there is room for `length`. What is behind them is zero already.
fn put(memory: &Memory, at: u64, bytes: &[u8], length: u64) -> Result<(), String> {
    let fits = usize::try_from(length).is_ok_and(|length| memory.check(at, length).is_ok());
    if !fits || memory.write(at, bytes).is_err() {
        let end = at.saturating_add(length);
        return Err(format!("its part at {at:#x} to {end:#x} is outside of the memory"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
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
        for (offset, size, flags) in [(0, 5 << 20, 0), (4 << 20, 1, 0), (u64::MAX, 1, 0), (0, 1, 1)]
        {
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
        assert_eq!(
            load(&fixed, &memory, RAM),
            Ok(Loaded { entry: at + 4, start: at, end: at + 64 })
        );
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
}
