//! Places of devices, as they are listed, and as they are not.

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
