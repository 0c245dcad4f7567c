//! Where virtio devices are that are on no bus: from the command line, or from the firmware.
//!
//! QEMU's `microvm` and Firecracker add a word for each to the command line, in the form that
//! Linux takes: `virtio_mmio.device=512@0xfeb00e00:12`. Where there is ACPI, each is a device
//! with the id `LNRO0005` in the bytecode of the DSDT.

use crate::loader::u32_at;
use heapless::Vec;
use waitless::device::MmioDevice;

/// How many devices are listed.
pub const DEVICES: usize = 32;

/// The places of devices, in the order in which they were found.
pub type Devices = Vec<MmioDevice, DEVICES>;

/// The word of the command line.
const WORD: &str = "virtio_mmio.device=";

/// What the words of a command line say: `SIZE@ADDRESS:LINE`, and maybe `:ID`. Words that make
/// no sense are left out.
pub fn from_command_line(line: &str) -> Devices {
    let words = line.split_ascii_whitespace().filter_map(|word| word.strip_prefix(WORD));
    words.filter_map(device).take(DEVICES).collect()
}

fn device(text: &str) -> Option<MmioDevice> {
    let (length, rest) = text.split_once('@')?;
    let mut parts = rest.split(':');
    let (address, line) = (number(parts.next()?)?, number(parts.next()?)?);
    place(address, number(length)?, Some(u32::try_from(line).ok()?))
}

/// Registers reach to 0x100 at least, and lie inside the address space.
fn place(address: u64, length: u64, line: Option<u32>) -> Option<MmioDevice> {
    let fits = (0x100..=1 << 20).contains(&length) && address.checked_add(length).is_some();
    fits.then_some(MmioDevice { address, length: length as usize, line })
}

/// A number as Linux reads one: decimal or with `0x`, and `K` or `M` behind.
fn number(text: &str) -> Option<u64> {
    let (digits, shift) = match text.as_bytes().last()? {
        b'K' | b'k' => (&text[..text.len() - 1], 10),
        b'M' | b'm' => (&text[..text.len() - 1], 20),
        _ => (text, 0),
    };
    let number = match digits.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok()?,
        None => digits.parse().ok()?,
    };
    number.checked_mul(1 << shift)
}

/// The id of a virtio device in ACPI, as its bytecode has it.
const ID: &[u8] = b"LNRO0005\0";
/// How far behind its id a device's resources are looked for.
const REACH: usize = 256;
/// How a fixed range of memory starts: its tag, and 9 bytes that follow.
const MEMORY: &[u8] = &[0x86, 9, 0];
/// The tag of an interrupt.
const INTERRUPT: u8 = 0x89;

/// The devices of a DSDT. As for the power switch, its bytecode is not run but looked through:
/// for the id, a range of memory behind it, and an interrupt behind that.
pub fn from_dsdt(dsdt: &[u8]) -> Devices {
    let ids = dsdt.windows(ID.len()).enumerate().filter(|(_, bytes)| *bytes == ID);
    let behind = ids.map(|(at, _)| dsdt.get(at + ID.len()..).unwrap_or(&[]));
    behind.filter_map(resources).take(DEVICES).collect()
}

fn resources(bytes: &[u8]) -> Option<MmioDevice> {
    let bytes = bytes.get(..REACH).unwrap_or(bytes);
    // The next device's resources are not this one's.
    let end = bytes.windows(ID.len()).position(|window| window == ID).unwrap_or(bytes.len());
    let bytes = &bytes[..end];
    let memory = bytes.windows(MEMORY.len()).position(|window| window == MEMORY)?;
    let memory = bytes.get(memory + MEMORY.len()..)?;
    // Behind the tag: whether it can be written, the address, the length.
    let (address, length) = (u32_at(memory, 1)?, u32_at(memory, 5)?);
    let line = memory.get(9..).and_then(interrupt);
    place(address.into(), length.into(), line)
}

/// Tag, two bytes of length, flags, a count, and that many lines. The firmware tells edges from
/// levels, which does not matter to a line that is released; but one that others hold, too, or
/// that is up when nothing happens, never rises.
fn interrupt(bytes: &[u8]) -> Option<u32> {
    const UPSIDE_DOWN: u8 = 1 << 2;
    const SHARED: u8 = 1 << 3;
    let [INTERRUPT, _, _, flags, 1..=u8::MAX, ..] = *bytes else { return None };
    if flags & (UPSIDE_DOWN | SHARED) == 0 { u32_at(bytes, 5) } else { None }
}

#[cfg(test)]
mod tests;
