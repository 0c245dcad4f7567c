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
mod tests {
    use super::*;

    #[test]
    fn the_command_line_lists_devices() {
        let found = from_command_line(
            "log=debug virtio_mmio.device=512@0xfeb00e00:12 quiet \
             virtio_mmio.device=4K@0xd0000000:5:7",
        );
        assert_eq!(
            found.as_slice(),
            &[
                MmioDevice { address: 0xfeb0_0e00, length: 512, line: Some(12) },
                MmioDevice { address: 0xd000_0000, length: 4096, line: Some(5) },
            ]
        );
    }

    #[test]
    fn words_that_make_no_sense_are_left_out() {
        for word in [
            "",
            "512",
            "512@",
            "512@0xfeb00000",
            "512@0xfeb00000:",
            "512@0xfeb00000:x",
            "512@:5",
            "0@0xfeb00000:5",
            "255@0xfeb00000:5",
            "512@0xfffffffffffffff0:5",
            "18446744073709551615M@0:5",
            "K@0xfeb00000:5",
            "512@0xfeb00000:4294967296",
        ] {
            let mut text = heapless::String::<64>::new();
            text.push_str(WORD).and_then(|()| text.push_str(word)).unwrap();
            assert_eq!(from_command_line(&text).len(), 0, "{word}");
        }
        let many = "virtio_mmio.device=1K@4096:5 ".repeat(100);
        assert_eq!(from_command_line(&many).len(), DEVICES);
    }

    extern crate std;
    use std::vec::Vec;

    /// A device's bytecode: its id, and a template of resources.
    fn device(address: u32, length: u32, interrupt: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x5b\x82\x30VR00\x08_HID\x0dLNRO0005\0\x08_UID\0\x08_CRS\x11".to_vec();
        bytes.extend(b"\x1a\x0a\x17\x86\x09\x00\x01");
        bytes.extend(address.to_le_bytes());
        bytes.extend(length.to_le_bytes());
        bytes.extend(interrupt);
        bytes.extend(b"\x79\x00");
        bytes
    }

    #[test]
    fn the_firmware_lists_devices() {
        let interrupt = |flags, line| [0x89, 6, 0, flags, 1, line, 0, 0, 0];
        let dsdt = [
            device(0xfeb0_0000, 512, &interrupt(0b0001, 24)),
            device(0xfeb0_0200, 512, &interrupt(0b0011, 5)),
            device(0xfeb0_0400, 512, &[]),
            b"LNRO0005\0".to_vec(),
            device(0xfeb0_0600, 16, &interrupt(0b0001, 6)),
            device(0xfeb0_0800, 512, &interrupt(0b1001, 7)),
            device(0xfeb0_0a00, 512, &interrupt(0b0101, 8)),
        ];
        let found = from_dsdt(&dsdt.concat());
        let lines: Vec<_> = found.iter().map(|found| (found.address, found.line)).collect();
        let expected = [
            (0xfeb0_0000, Some(24)),
            (0xfeb0_0200, Some(5)),
            (0xfeb0_0400, None),
            (0xfeb0_0800, None),
            (0xfeb0_0a00, None),
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn bytecode_that_is_cut_off_ends_the_search() {
        let whole = device(0xfeb0_0000, 512, &[0x89, 6, 0, 3, 1, 5, 0, 0, 0]);
        for end in 0..whole.len() {
            assert!(from_dsdt(&whole[..end]).len() <= 1);
        }
        assert_eq!(from_dsdt(&whole[..whole.len() - 4])[0].line, None);
    }
}
