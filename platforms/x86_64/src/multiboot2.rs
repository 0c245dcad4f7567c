//! Reads what a Multiboot2 loader leaves: a list of tags.

use crate::acpi;
use crate::loader::{BootInfo, LoaderError, Physical, kind_of, u32_at, u64_at};
use platform_machine::memory::{Entry, Range};
use platform_machine::options::CommandLine;

/// What a Multiboot2 loader leaves in `eax`.
pub const MAGIC: u32 = 0x36d7_6289;

/// Tag numbers of the boot information.
mod tag {
    pub const END: u32 = 0;
    pub const COMMAND_LINE: u32 = 1;
    pub const MODULE: u32 = 3;
    pub const MEMORY_MAP: u32 = 6;
    pub const RSDP_OLD: u32 = 14;
    pub const RSDP_NEW: u32 = 15;
}

/// More than any loader writes: what says it is longer is not boot information.
const LENGTH_MAX: usize = 1 << 20;

/// Reads the boot information at `address`.
pub fn parse(memory: &impl Physical, address: u64) -> Result<BootInfo, LoaderError> {
    let head = memory.bytes(address, 8).ok_or(LoaderError::Short)?;
    let length = u32_at(head, 0).ok_or(LoaderError::Short)? as usize;
    if !(8..=LENGTH_MAX).contains(&length) {
        return Err(LoaderError::Magic(length as u32));
    }
    let all = memory.bytes(address, length).ok_or(LoaderError::Short)?;
    let mut info = BootInfo::default();
    let mut at = 8;
    // Each round moves on by 8 bytes or more.
    while let (Some(kind), Some(size)) = (u32_at(all, at), u32_at(all, at + 4)) {
        if kind == tag::END {
            break;
        }
        let size = size as usize;
        let body = at.checked_add(size).and_then(|end| all.get(at + 8..end));
        let body = body.ok_or(LoaderError::Short)?;
        read_tag(&mut info, kind, body)?;
        at += size.next_multiple_of(8);
    }
    if info.memory.is_empty() { Err(LoaderError::NoMemoryMap) } else { Ok(info) }
}

fn read_tag(info: &mut BootInfo, kind: u32, body: &[u8]) -> Result<(), LoaderError> {
    match kind {
        tag::COMMAND_LINE => info.command_line = CommandLine::new(body),
        tag::MODULE => {
            let start = u32_at(body, 0).ok_or(LoaderError::Short)?;
            let end = u32_at(body, 4).ok_or(LoaderError::Short)?;
            let range = Range::new(start.into(), end.into());
            // Those that are not kept track of would be written over: better not to start.
            info.taken.push(range).map_err(|_| LoaderError::Modules)?;
        }
        tag::MEMORY_MAP => {
            let size = u32_at(body, 0).ok_or(LoaderError::Short)? as usize;
            for entry in body.get(8..).unwrap_or(&[]).chunks_exact(size.max(20)) {
                let range = Range::sized(
                    u64_at(entry, 0).ok_or(LoaderError::Short)?,
                    u64_at(entry, 8).ok_or(LoaderError::Short)?,
                );
                let kind = kind_of(u32_at(entry, 16).ok_or(LoaderError::Short)?);
                info.add(Entry { range, kind });
            }
        }
        // The newer one comes second where a loader gives both.
        tag::RSDP_OLD | tag::RSDP_NEW => info.root = acpi::parse_rsdp(body).or(info.root),
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests;
