extern crate std;

use super::*;
use std::collections::BTreeMap;
use std::vec::Vec;

/// Memory as a loader mapped it: words at addresses, and text.
struct Memory {
    words: BTreeMap<u64, [u8; 8]>,
    text: (u64, &'static [u8]),
}

impl Physical for Memory {
    fn bytes(&self, address: u64, length: usize) -> Option<&[u8]> {
        if let Some(at) = address.checked_sub(self.text.0)
            && let Some(bytes) = self.text.1.get(at as usize..at as usize + length)
        {
            return Some(bytes);
        }
        self.words.get(&address).map(|word| &word[..]).filter(|word| word.len() == length)
    }
}

const DIRECT: u64 = 0xffff_8000_0000_0000;

impl Memory {
    fn put(&mut self, at: u64, words: &[u64]) {
        for (index, word) in (0..).zip(words) {
            self.words.insert(DIRECT + at + 8 * index, word.to_le_bytes());
        }
    }

    /// All answers, and a map of the pieces given.
    fn example(pieces: &[[u64; 3]]) -> (Self, Answers) {
        let text = (DIRECT + 0x900, &b"log=debug\0rubbish"[..]);
        let mut memory = Self { words: BTreeMap::new(), text };
        memory.put(0x100, &[0, DIRECT + 0x900]);
        memory.put(0x180, &[0, DIRECT + 0x700]);
        memory.put(0x700, &[0, 0x1234, 99, 0x5678, DIRECT + 0x900]);
        memory.put(0x200, &[0, DIRECT]);
        memory.put(0x300, &[0, pieces.len() as u64, DIRECT + 0x1000]);
        memory.put(0x400, &[0, DIRECT + 0xf_5a90]);
        memory.put(0x500, &[0, 1_764_000_000]);
        memory.put(0x600, &[0, 0x7e0_0000, 0xffff_ffff_8020_0000]);
        for (index, piece) in (0..).zip(pieces) {
            let at = 0x2_0000 + 0x20 * index;
            memory.put(0x1000 + 8 * index, &[DIRECT + at]);
            memory.put(at, piece);
        }
        let at = |at| DIRECT + at;
        let answers = Answers {
            command_line: at(0x100),
            file: at(0x180),
            direct_map: at(0x200),
            memory_map: at(0x300),
            root: at(0x400),
            date: at(0x500),
            image: at(0x600),
        };
        (memory, answers)
    }
}

const PIECES: &[[u64; 3]] = &[
    [0x1000, 0x9_e000, 0],
    [0x10_0000, 0x70_0000, 0],
    [0x80_0000, 0x10_0000, 5],
    [0x7e0_0000, 0x20_0000, 6],
    [0x800_0000, 0x1000, 2],
    [0x900_0000, 0x1000, 8],
    [0xfd00_0000, 0x100_0000, 7],
    [0xfe00_0000, 0x1000, 99],
];

#[test]
fn the_answers_give_what_all_loaders_say_and_where_the_image_is() {
    let (memory, answers) = Memory::example(PIECES);
    let Loaded { info, direct, image } = parse(&memory, &answers).unwrap();
    assert_eq!((direct, image), (DIRECT, 0x7e0_0000));
    assert_eq!(info.command_line.as_str(), "log=debug");
    assert_eq!((info.root, info.date), (Some(Root::Pointer(0xf_5a90)), Some(1_764_000_000)));
    let kinds: Vec<_> = info.memory.iter().map(|entry| entry.kind).collect();
    let (ram, acpi, not) = (Kind::Ram, Kind::Acpi, Kind::Reserved);
    // The last two touch.
    assert_eq!(kinds, [ram, ram, Kind::Loader, ram, acpi, acpi, not]);
}

#[test]
fn the_list_of_tables_may_be_given_as_an_address_or_as_a_mapped_one() {
    let (mut memory, answers) = Memory::example(PIECES);
    memory.put(0x400, &[0, 0xf_5a90]);
    let loaded = parse(&memory, &answers).unwrap();
    assert_eq!(loaded.info.root, Some(Root::Pointer(0xf_5a90)));
}

#[test]
fn an_older_loader_says_the_command_line_with_the_file() {
    let (memory, answers) = Memory::example(PIECES);
    let older = Answers { command_line: 0, ..answers };
    assert_eq!(parse(&memory, &older).unwrap().info.command_line.as_str(), "log=debug");
}

#[test]
fn what_an_image_can_do_without_may_be_missing() {
    let (mut memory, answers) = Memory::example(PIECES);
    memory.put(0x500, &[0, u64::MAX]);
    let few = Answers { command_line: 0, file: 0, root: 0, ..answers };
    let info = parse(&memory, &few).unwrap().info;
    assert_eq!((info.root, info.date, info.command_line.as_str()), (None, None, ""));
}

#[test]
fn what_an_image_cannot_do_without_is_refused_by_cause() {
    let (memory, answers) = Memory::example(PIECES);
    let cause = |answers| parse(&memory, &answers).unwrap_err();
    assert_eq!(cause(Answers { direct_map: 0, ..answers }), LoaderError::Short);
    assert_eq!(cause(Answers { image: 0, ..answers }), LoaderError::Short);
    assert_eq!(cause(Answers { memory_map: 0, ..answers }), LoaderError::NoMemoryMap);
    assert_eq!(cause(Answers { image: u64::MAX, ..answers }), LoaderError::Short);
    let (memory, answers) = Memory::example(&[]);
    assert_eq!(parse(&memory, &answers).unwrap_err(), LoaderError::NoMemoryMap);
    let (mut memory, answers) = Memory::example(PIECES);
    memory.put(0x300, &[0, u64::MAX, DIRECT + 0x1000]);
    assert_eq!(parse(&memory, &answers).unwrap_err(), LoaderError::Short, "bounded");
}

#[test]
fn a_request_has_the_layout_of_the_protocol() {
    assert_eq!(core::mem::size_of::<Request>(), 48);
    assert_eq!(core::mem::offset_of!(Request, answer), 40);
    assert_eq!(MEMORY_MAP.id[..2], MAGIC);
}
