//! Reads a file that QEMU hands over by its firmware configuration device.
//!
//! The device is a selector and a stream of the bytes of what is selected (QEMU's
//! `docs/specs/fw_cfg.rst`); an architecture knows how to reach both. What comes from there is
//! the host's, and is not believed: lengths are bounded, and what makes no sense is missing.

use crate::options::{COMMAND_LINE, CommandLine};

/// The file of words `instance.key=value`: `-fw_cfg name=opt/org.waitless/set,string=http.port=81`.
pub const FILE: &str = "opt/org.waitless/set";

/// A firmware configuration device.
pub trait Device {
    /// Selects an item, from its first byte on.
    fn select(&mut self, item: u16);

    /// Reads the next bytes of what is selected; zeroes behind its end.
    fn read(&mut self, room: &mut [u8]);
}

mod item {
    pub const SIGNATURE: u16 = 0;
    pub const DIRECTORY: u16 = 0x19;
}

/// An entry of the directory: a size and an item in big-endian order, two bytes of nothing, and a
/// name that ends with a zero byte.
const ENTRY: usize = 64;
const NAME: usize = 8;
/// More files are no directory.
const FILES_MAX: u32 = 1024;

/// The words of the file called `name`. `None` when there is no such device or no such file.
pub fn words(device: &mut impl Device, name: &str) -> Option<CommandLine> {
    device.select(item::SIGNATURE);
    if take::<4>(device) != *b"QEMU" {
        return None;
    }
    device.select(item::DIRECTORY);
    let count = u32::from_be_bytes(take(device)).min(FILES_MAX);
    let mut entries = (0..count).map(|_| take::<ENTRY>(device));
    let entry = entries.find(|entry| {
        let name_of = entry[NAME..].split(|byte| *byte == 0).next();
        name_of == Some(name.as_bytes())
    })?;
    let [a, b, c, d, e, f, ..] = entry;
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    device.select(u16::from_be_bytes([e, f]));
    // One byte more than fits shows that there is more.
    let mut bytes = [0; COMMAND_LINE + 1];
    let bytes = &mut bytes[..length.min(COMMAND_LINE + 1)];
    device.read(bytes);
    Some(CommandLine::list(bytes))
}

fn take<const N: usize>(device: &mut impl Device) -> [u8; N] {
    let mut bytes = [0; N];
    device.read(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests;
