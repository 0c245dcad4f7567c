extern crate std;
use super::*;
use std::boxed::Box;
use std::cell::Cell;

const fn at(bus: u8, device: u8, function: u8) -> PciAddress {
    PciAddress { bus, device, function }
}

#[test]
fn what_lies_outside_reads_as_nothing_and_takes_nothing() {
    let cells: &'static [Cell<u64>] =
        Box::leak((0..BUS / 8).map(|_| Cell::new(0)).collect::<Box<[_]>>());
    let map = |start, length| {
        assert_eq!((start, length), (0x1000_0000 + 2 * BUS as u64, BUS));
        Some(Registers::over(cells))
    };
    let ecam = Ecam::new(0x1000_0000, 2, 2, map).expect("a bus");
    ecam.write(at(2, 1, 3), 0x10, 0x1234_5678);
    for other in [at(1, 1, 3), at(3, 1, 3)] {
        ecam.write(other, 0x10, 9);
        assert_eq!(ecam.read(other, 0x10), u32::MAX);
    }
    assert_eq!(ecam.read(at(2, 1, 3), 0x13), 0x1234_5678, "whole words");
    assert_eq!(cells[(1 << 15 | 3 << 12 | 0x10) / 8].get(), 0x1234_5678);
    assert!(Ecam::new(0, 3, 2, map).is_none());
    assert!(Ecam::new(u64::MAX, 2, 2, map).is_none());
}

#[test]
fn one_function_with_memory_tells_that_firmware_was_there() {
    let with = |bar: u32| {
        has_addresses(1, |function, offset| {
            let there = function == at(1, 4, 0) || function == at(1, 4, 1);
            Some(match (there, offset, function.function) {
                (false, 0, _) => u32::MAX,
                (true, 0x14, 1) => bar,
                _ => 0,
            })
        })
    };
    assert!(with(0xfe00_0004));
    assert!(!with(0xc001), "ports are none");
    assert!(!with(0xc), "kinds are no addresses");
    assert!(!has_addresses(0, |_, _| None));
}
