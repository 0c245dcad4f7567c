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
mod tests;
