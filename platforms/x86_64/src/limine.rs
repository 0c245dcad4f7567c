//! Reads what a loader that speaks Limine's protocol answers.
//!
//! It loads the image wherever there is room, maps it where it was linked, and maps memory at an
//! offset. All answers are addresses in that mapping. The image asks for the newest revision of
//! the protocol and takes any: what differs between them is undone by the entry code (the state of
//! the vector unit) or does not matter here (which firmware's memory is mapped), but for the
//! pointer to the firmware's tables, which is an address in some and a mapped address in others.

use crate::loader::{BootInfo, LoaderError, Physical, Root, u64_at};
use platform_machine::clock::time_of_day;
use platform_machine::memory::{Entry, Kind, Range};

/// The newest revision of the protocol that is known here.
pub const REVISION: u64 = 6;

/// What a request has in common with all others.
const MAGIC: [u64; 2] = [0xc7b1_dd30_df4c_8b88, 0x0a82_e883_a194_f07b];

/// How the loader finds what the image is about, and how it says that it did.
pub mod tag {
    /// In front of all requests.
    pub const START: [u64; 4] = [
        0xf6b8_f4b3_9de7_d1ae,
        0xfab9_1a69_40fc_b9cf,
        0x785c_6ed0_15d3_e316,
        0x181e_920a_7852_b9d9,
    ];
    /// Behind all requests.
    pub const END: [u64; 2] = [0xadc0_e053_1bb1_0d03, 0x9572_709f_3176_4c62];
    /// The revision, which stands in a third word.
    pub const REVISION: [u64; 2] = [0xf956_2b2d_5c95_a6c8, 0x6a7b_3849_4453_6bdc];
}

/// A question to the loader, which writes the address of its answer into the last word.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Request {
    id: [u64; 4],
    revision: u64,
    /// Where the answer is; zero when there is none.
    pub answer: u64,
}

impl Request {
    const fn new(id: [u64; 2]) -> Self {
        Self { id: [MAGIC[0], MAGIC[1], id[0], id[1]], revision: 0, answer: 0 }
    }
}

/// The command line.
pub const COMMAND_LINE: Request = Request::new([0x4b16_1536_e598_651e, 0xb390_ad4a_2f1f_303a]);
/// The image's file, which says the command line to loaders that do not know the former.
pub const FILE: Request = Request::new([0xad97_e90e_83f1_ed67, 0x31eb_5d1c_5ff2_3b69]);
/// At which offset memory is mapped.
pub const DIRECT_MAP: Request = Request::new([0x48dc_f1cb_8ad2_b852, 0x6398_4e95_9a98_244b]);
/// The memory map.
pub const MEMORY_MAP: Request = Request::new([0x67cf_3d9d_378a_806f, 0xe304_acdf_c50c_3c62]);
/// Where the list of firmware tables is.
pub const ROOT: Request = Request::new([0xc5e7_7b6b_397e_7b43, 0x2763_7845_accd_cf3c]);
/// What time it is.
pub const DATE: Request = Request::new([0x5027_46e1_84c0_88aa, 0xfbc5_ec83_e632_7893]);
/// Where the image was put.
pub const IMAGE: Request = Request::new([0x71ba_7686_3cc5_5f63, 0xb264_4a48_c516_a487]);
/// Where to enter. Its answer says nothing; the address follows the request.
pub const ENTRY: Request = Request::new([0x13d8_6c03_5a1c_d3e1, 0x2b0c_aa89_d8f3_026a]);

/// The addresses of the answers; zero where there is none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answers {
    /// To [`COMMAND_LINE`].
    pub command_line: u64,
    /// To [`FILE`].
    pub file: u64,
    /// To [`DIRECT_MAP`].
    pub direct_map: u64,
    /// To [`MEMORY_MAP`].
    pub memory_map: u64,
    /// To [`ROOT`].
    pub root: u64,
    /// To [`DATE`].
    pub date: u64,
    /// To [`IMAGE`].
    pub image: u64,
}

/// What a loader of this kind says besides what all say.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What all loaders say.
    pub info: BootInfo,
    /// The offset at which memory is mapped.
    pub direct: u64,
    /// The physical address of the image's first byte.
    pub image: u64,
}

/// A map of more pieces is no map: what says so is damaged.
const PIECES_MAX: u64 = 4096;

/// Reads the answers. `memory` is as the loader mapped it.
pub fn parse(memory: &impl Physical, answers: &Answers) -> Result<Loaded, LoaderError> {
    let word = |answer: u64, index: u64| long(memory, answer, 8 * index);
    let direct = word(answers.direct_map, 1)?;
    let image = word(answers.image, 1)?;
    let mut info = BootInfo::default();
    // The file's own words: a revision, address, size, path, command line.
    let file = || word(answers.file, 1).and_then(|file| word(file, 4));
    if let Ok(line) = word(answers.command_line, 1).or_else(|_| file()) {
        info.read_command_line(memory, line);
    }
    if let Ok(root) = word(answers.root, 1)
        && root != 0
    {
        info.root = Some(Root::Pointer(if root >= direct { root - direct } else { root }));
    }
    info.date = word(answers.date, 1).ok().and_then(time_of_day);
    let count = word(answers.memory_map, 1).map_err(|_| LoaderError::NoMemoryMap)?;
    let entries = word(answers.memory_map, 2)?;
    for index in 0..count.min(PIECES_MAX) {
        let entry = long(memory, entries, 8 * index)?;
        let range = Range::sized(long(memory, entry, 0)?, long(memory, entry, 8)?);
        info.add(Entry { range, kind: kind(long(memory, entry, 16)?) });
    }
    if info.memory.is_empty() {
        return Err(LoaderError::NoMemoryMap);
    }
    Ok(Loaded { info, direct, image })
}

/// The meaning of the protocol's types of memory.
fn kind(number: u64) -> Kind {
    match number {
        // The image's own pages, too: who takes memory knows where it is, and no modules were
        // asked for.
        0 | 6 => Kind::Ram,
        2 | 3 | 8 => Kind::Acpi,
        5 => Kind::Loader,
        _ => Kind::Reserved,
    }
}

/// The 64 bits at `offset` behind `address`.
fn long(memory: &impl Physical, address: u64, offset: u64) -> Result<u64, LoaderError> {
    let at = address.checked_add(offset).filter(|_| address != 0).ok_or(LoaderError::Short)?;
    let bytes = memory.bytes(at, 8).ok_or(LoaderError::Short)?;
    u64_at(bytes, 0).ok_or(LoaderError::Short)
}

#[cfg(test)]
mod tests;
