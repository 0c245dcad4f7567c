//! What every loader tells an image, whatever its format.

use crate::memory::{ENTRIES, Entry, Range};
use heapless::{String, Vec};

/// How much of a command line is kept.
pub const COMMAND_LINE: usize = 1024;

/// What the loader said. Nothing in it refers to the loader's memory.
#[derive(Clone, Debug, Default)]
pub struct BootInfo {
    /// The command line, cut off at [`COMMAND_LINE`] bytes or at the first that is not UTF-8.
    pub command_line: String<COMMAND_LINE>,
    /// The memory map.
    pub memory: Vec<Entry, ENTRIES>,
    /// What lies in RAM and must stay: modules.
    pub taken: Vec<Range, 16>,
    /// Where the list of firmware tables is, where the loader says.
    pub root: Option<Root>,
}

/// Where the list of firmware tables starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Root {
    /// The RSDP's address: it is still to be read.
    Pointer(u64),
    /// The address of the RSDT, whose entries have 32 bits.
    Rsdt(u64),
    /// The address of the XSDT, whose entries have 64 bits.
    Xsdt(u64),
}

/// Why what a loader left cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LoaderError {
    /// Its first word is not the format's. Carries what was found there.
    Magic(u32),
    /// It ends before its own lengths say, or points where there is nothing.
    Short,
    /// It says nothing of memory.
    NoMemoryMap,
}

impl core::fmt::Display for LoaderError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Magic(found) => write!(f, "the loader's information begins with {found:#x}"),
            Self::Short => f.write_str("the loader's information is cut short"),
            Self::NoMemoryMap => f.write_str("the loader gives no memory map"),
        }
    }
}

/// Memory as a parser sees it. Images read physical memory, tests read what they made up.
pub trait Physical {
    /// The `length` bytes at `address`; `None` where they cannot be read.
    fn bytes(&self, address: u64, length: usize) -> Option<&[u8]>;
}

impl BootInfo {
    /// Keeps as much of `bytes` as is text, up to the first zero byte.
    pub(crate) fn set_command_line(&mut self, bytes: &[u8]) {
        let text = bytes.split(|&byte| byte == 0).next().unwrap_or(&[]);
        let text = text.get(..COMMAND_LINE).unwrap_or(text);
        let valid = match core::str::from_utf8(text) {
            Ok(text) => text,
            Err(error) => core::str::from_utf8(&text[..error.valid_up_to()]).unwrap_or(""),
        };
        self.command_line.clear();
        // It was cut to the capacity above.
        let _ = self.command_line.push_str(valid);
    }

    /// The value of the last word `name=value` on the command line.
    pub fn option(&self, name: &str) -> Option<&str> {
        let words = self.command_line.split_ascii_whitespace();
        let mut pairs = words.rev().filter_map(|word| word.split_once('='));
        pairs.find_map(|(key, value)| (key == name).then_some(value))
    }
}

/// The little-endian number at `offset`.
pub(crate) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}

/// The little-endian number at `offset`.
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}

/// The little-endian number at `offset`.
pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(line: &[u8]) -> BootInfo {
        let mut info = BootInfo::default();
        info.set_command_line(line);
        info
    }

    #[test]
    fn the_last_word_of_a_name_counts() {
        let info = with(b"kernel log=info  quiet log=debug logs=x\0 log=trace");
        assert_eq!(info.option("log"), Some("debug"));
        assert_eq!(info.option("logs"), Some("x"));
        assert_eq!(info.option("quiet"), None);
    }

    #[test]
    fn what_is_no_text_ends_the_command_line() {
        assert_eq!(with(b"log=debug \xff x").command_line.as_str(), "log=debug ");
        assert_eq!(with(&[b'a'; 3000]).command_line.len(), COMMAND_LINE);
    }
}
