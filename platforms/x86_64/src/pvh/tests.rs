use super::*;
use crate::loader::MODULES;
use platform_machine::memory::usable;

struct Memory([u8; 1024]);

impl Physical for Memory {
    fn bytes(&self, address: u64, length: usize) -> Option<&[u8]> {
        let at = usize::try_from(address).ok()?;
        self.0.get(at..at.checked_add(length)?)
    }
}

impl Memory {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Start information at 16, a map of two entries at 128, a command line at 256 and a
    /// module at 320.
    fn example() -> Self {
        let mut memory = Self([0; 1024]);
        memory.put(16, &MAGIC.to_le_bytes());
        memory.put(20, &1u32.to_le_bytes());
        memory.put(28, &1u32.to_le_bytes());
        memory.put(32, &320u64.to_le_bytes());
        memory.put(40, &256u64.to_le_bytes());
        memory.put(48, &0xf_5a90_u64.to_le_bytes());
        memory.put(56, &128u64.to_le_bytes());
        memory.put(64, &2u32.to_le_bytes());
        memory.put(136, &0xa_0000_u64.to_le_bytes());
        memory.put(144, &1u32.to_le_bytes());
        memory.put(152, &0x10_0000_u64.to_le_bytes());
        memory.put(160, &0x70_0000_u64.to_le_bytes());
        memory.put(168, &1u32.to_le_bytes());
        memory.put(256, b"kernel log=debug\0rubbish");
        memory.put(320, &0x40_0000_u64.to_le_bytes());
        memory.put(328, &0x1234_u64.to_le_bytes());
        memory
    }
}

#[test]
fn a_start_information_gives_map_modules_command_line_and_tables() {
    let info = parse(&Memory::example(), 16).unwrap();
    assert_eq!(info.command_line.as_str(), "kernel log=debug");
    assert_eq!(info.root, Some(Root::Pointer(0xf_5a90)));
    assert_eq!(info.memory[1].range, Range::new(0x10_0000, 0x80_0000));
    let free = usable(&info.memory).without(&info.taken);
    assert_eq!(free[1], Range::new(0x10_0000, 0x40_0000));
    assert_eq!(free[2], Range::new(0x40_2000, 0x80_0000));
}

#[test]
fn more_modules_than_are_kept_track_of_are_refused_by_that_cause() {
    let mut memory = Memory::example();
    for count in [14, 15, MODULES as u32] {
        memory.put(28, &count.to_le_bytes());
        assert_eq!(parse(&memory, 16).unwrap().taken.len(), count as usize);
    }
    memory.put(28, &(MODULES as u32 + 1).to_le_bytes());
    assert_eq!(parse(&memory, 16).unwrap_err(), LoaderError::Modules);
}

#[test]
fn what_cannot_be_read_is_refused_by_cause() {
    let mut memory = Memory::example();
    assert_eq!(parse(&memory, 1012).unwrap_err(), LoaderError::Short);
    memory.put(64, &99u32.to_le_bytes());
    assert_eq!(parse(&memory, 16).unwrap_err(), LoaderError::Short);
    memory.put(64, &0u32.to_le_bytes());
    assert_eq!(parse(&memory, 16).unwrap_err(), LoaderError::NoMemoryMap);
    memory.put(20, &0u32.to_le_bytes());
    assert_eq!(parse(&memory, 16).unwrap_err(), LoaderError::NoMemoryMap);
    memory.put(16, &7u32.to_le_bytes());
    assert_eq!(parse(&memory, 16).unwrap_err(), LoaderError::Magic(7));
}
