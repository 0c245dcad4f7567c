//! Reads what a Multiboot2 loader leaves: a list of tags.

use crate::acpi;
use crate::loader::{BootInfo, LoaderError, Physical, u32_at, u64_at};
use crate::memory::{Entry, Kind, Range};

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
        tag::COMMAND_LINE => info.set_command_line(body),
        tag::MODULE => {
            let start = u32_at(body, 0).ok_or(LoaderError::Short)?;
            let end = u32_at(body, 4).ok_or(LoaderError::Short)?;
            let range = Range::new(start.into(), end.into());
            // More modules than are kept track of would be written over: better not to start.
            info.taken.push(range).map_err(|_| LoaderError::Short)?;
        }
        tag::MEMORY_MAP => {
            let size = u32_at(body, 0).ok_or(LoaderError::Short)? as usize;
            for entry in body.get(8..).unwrap_or(&[]).chunks_exact(size.max(20)) {
                let range = Range::sized(
                    u64_at(entry, 0).ok_or(LoaderError::Short)?,
                    u64_at(entry, 8).ok_or(LoaderError::Short)?,
                );
                let kind = Kind::from_e820(u32_at(entry, 16).ok_or(LoaderError::Short)?);
                if info.memory.push(Entry { range, kind }).is_err() {
                    break;
                }
            }
        }
        // The newer one comes second where a loader gives both.
        tag::RSDP_OLD | tag::RSDP_NEW => info.root = acpi::parse_rsdp(body).or(info.root),
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::loader::Root;
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
        let module =
            [&0x40_0000_u32.to_le_bytes()[..], &0x40_1000_u32.to_le_bytes(), b"m\0"].concat();
        let memory =
            info(&[(1, b"log=debug\0"), (2, b"GRUB\0"), (3, &module), (6, &map), (14, &rsdp())]);
        let info = parse(&memory, 16).unwrap();
        assert_eq!(info.option("log"), Some("debug"));
        assert_eq!(info.memory.len(), 3);
        assert_eq!(info.memory[2].kind, Kind::Reserved);
        assert_eq!(info.taken.as_slice(), &[Range::new(0x40_0000, 0x40_1000)]);
        assert_eq!(info.root, Some(Root::Rsdt(0x7fe_0000)));
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
}
