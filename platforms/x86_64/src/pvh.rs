//! Reads what a loader that speaks PVH leaves: `hvm_start_info` and what it points to.

use crate::loader::{BootInfo, LoaderError, Physical, Root, kind_of, u32_at, u64_at};
use platform_machine::memory::{Entry, Range};

/// The first word of the start information.
pub const MAGIC: u32 = 0x336e_c578;

/// Byte offsets into the start information and into what it points to.
mod field {
    pub const MAGIC: usize = 0;
    pub const VERSION: usize = 4;
    pub const MODULES: usize = 12;
    pub const MODULE_LIST: usize = 16;
    pub const COMMAND_LINE: usize = 24;
    pub const RSDP: usize = 32;
    pub const MEMORY_MAP: usize = 40;
    pub const MEMORY_ENTRIES: usize = 48;
    pub const LENGTH: usize = 56;

    pub const MODULE_LENGTH: usize = 32;
    pub const ENTRY_LENGTH: usize = 24;
}

/// A map of more pieces is no map: what says so is damaged.
const PIECES_MAX: u32 = 4096;

/// Reads the start information at `address`.
pub fn parse(memory: &impl Physical, address: u64) -> Result<BootInfo, LoaderError> {
    // Version 0 is shorter, and useless here: it has no memory map.
    let start = memory.bytes(address, field::LENGTH).ok_or(LoaderError::Short)?;
    let word = |offset| u32_at(start, offset).ok_or(LoaderError::Short);
    let long = |offset| u64_at(start, offset).ok_or(LoaderError::Short);
    let magic = word(field::MAGIC)?;
    if magic != MAGIC {
        return Err(LoaderError::Magic(magic));
    }
    if word(field::VERSION)? == 0 {
        return Err(LoaderError::NoMemoryMap);
    }
    let mut info = BootInfo::default();
    info.read_command_line(memory, long(field::COMMAND_LINE)?);
    if long(field::RSDP)? != 0 {
        info.root = Some(Root::Pointer(long(field::RSDP)?));
    }
    let map = long(field::MEMORY_MAP)?;
    for index in 0..u64::from(word(field::MEMORY_ENTRIES)?.min(PIECES_MAX)) {
        let at = map.saturating_add(index * field::ENTRY_LENGTH as u64);
        let entry = memory.bytes(at, field::ENTRY_LENGTH).ok_or(LoaderError::Short)?;
        let range = Range::sized(
            u64_at(entry, 0).ok_or(LoaderError::Short)?,
            u64_at(entry, 8).ok_or(LoaderError::Short)?,
        );
        let kind = kind_of(u32_at(entry, 16).ok_or(LoaderError::Short)?);
        info.add(Entry { range, kind });
    }
    for index in 0..u64::from(word(field::MODULES)?) {
        let at = long(field::MODULE_LIST)?.saturating_add(index * field::MODULE_LENGTH as u64);
        let module = memory.bytes(at, field::MODULE_LENGTH).ok_or(LoaderError::Short)?;
        let start = u64_at(module, 0).ok_or(LoaderError::Short)?;
        let length = u64_at(module, 8).ok_or(LoaderError::Short)?;
        // Those that are not kept track of would be written over: better not to start.
        info.taken.push(Range::sized(start, length)).map_err(|_| LoaderError::Modules)?;
    }
    if info.memory.is_empty() { Err(LoaderError::NoMemoryMap) } else { Ok(info) }
}

#[cfg(test)]
mod tests;
