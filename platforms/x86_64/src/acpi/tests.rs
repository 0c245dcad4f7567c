extern crate std;

use super::*;
use std::collections::BTreeMap;
use std::vec::Vec;

/// Tables by address.
#[derive(Default)]
struct Memory(BTreeMap<u64, Vec<u8>>);

impl Physical for Memory {
    fn bytes(&self, address: u64, length: usize) -> Option<&[u8]> {
        let (start, bytes) = self.0.range(..=address).next_back()?;
        let at = (address - start) as usize;
        bytes.get(at..at.checked_add(length)?)
    }
}

/// A table whose length and sum are right.
fn table(signature: &[u8; 4], length: usize, fields: &[(usize, &[u8])]) -> Vec<u8> {
    let mut table = std::vec![0; length];
    table[..4].copy_from_slice(signature);
    table[4..8].copy_from_slice(&(length as u32).to_le_bytes());
    for (at, bytes) in fields {
        table[*at..*at + bytes.len()].copy_from_slice(bytes);
    }
    table[9] = table.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)).wrapping_neg();
    table
}

/// What QEMU's q35 has, more or less, in an XSDT.
fn example() -> Memory {
    let mut memory = Memory::default();
    let mut rsdp = Vec::from(*b"RSD PTR \0BOCHS \x02");
    rsdp.extend([0; 4]);
    rsdp[8] = rsdp.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)).wrapping_neg();
    rsdp.extend(36u32.to_le_bytes());
    rsdp.extend(0x1000u64.to_le_bytes());
    rsdp.extend([0; 4]);
    rsdp[32] = rsdp.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)).wrapping_neg();
    memory.0.insert(0xf_0010, rsdp);
    let list: Vec<u8> =
        [0x2000u64, 0x3000, 0x4000, 0x9999].iter().flat_map(|at| at.to_le_bytes()).collect();
    memory.0.insert(0x1000, table(b"XSDT", 68, &[(36, &list)]));
    let entries = [
        [0, 8, 0, 0, 1, 0, 0, 0].as_slice(),
        &[1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0],
        &[0, 8, 1, 1, 0, 0, 0, 0],
        &[9, 16, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0],
    ];
    let local = 0xfee0_0000_u32.to_le_bytes();
    memory.0.insert(0x2000, table(b"APIC", 88, &[(36, &local), (44, &entries.concat())]));
    let ecam = 0xb000_0000_u64.to_le_bytes();
    memory.0.insert(0x3000, table(b"MCFG", 60, &[(44, &ecam), (55, &[255])]));
    memory.0.insert(0x4000, fadt(&[]));
    memory.0.insert(0x5000, dsdt(b"_S5_\x12\x06\x04\x00\x00\x00\x00"));
    memory
}

fn fadt(more: &[(usize, &[u8])]) -> Vec<u8> {
    let reset = [1, 8, 0, 1, 0xf9, 0x0c, 0, 0, 0, 0, 0, 0];
    let mut fields: Vec<(usize, &[u8])> = std::vec![
        (40, &[0, 0x50, 0, 0]),
        (64, &[0x04, 0x06, 0, 0]),
        (76, &[0x08, 0x06, 0, 0]),
        (108, &[0x32]),
        (112, &[0, 0x05, 0, 0]),
        (116, &reset),
        (128, &[6]),
    ];
    fields.extend(more);
    table(b"FACP", 268, &fields)
}

fn dsdt(code: &[u8]) -> Vec<u8> {
    table(b"DSDT", 40 + code.len(), &[(38, code)])
}

#[test]
fn the_tables_of_a_machine_are_found_from_the_bios_memory() {
    let mut memory = example();
    let mut bios = std::vec![0; 0x2_0000];
    bios[0x1_0010..][..36].copy_from_slice(&memory.0[&0xf_0010]);
    memory.0.remove(&0xf_0010);
    memory.0.insert(0xe_0000, bios);
    let root = search(&memory).unwrap();
    assert_eq!(root, Root::Xsdt(0x1000));

    let acpi = parse(&memory, root);
    assert_eq!(acpi.local_apic, Some(0xfee0_0000));
    assert_eq!(acpi.processors.as_slice(), &[0, 0x100]);
    assert_eq!(acpi.ecam, Some(Ecam { base: 0xb000_0000, first: 0, last: 255 }));
    assert_eq!(acpi.power, Some(Power::Control(Register::Port(0x604), 0x2000)));
    assert_eq!(acpi.reset, Some((Register::Port(0xcf9), 6)));
    assert_eq!(acpi.timer, Some((Register::Port(0x608), true)));
    assert_eq!(acpi.century, Some(0x32));
    memory.0.insert(0x4000, fadt(&[(108, &[0])]));
    assert_eq!(parse(&memory, root).century, None, "register 0 holds the seconds");
}

#[test]
fn the_power_button_is_the_fixed_one_unless_it_is_said_to_be_elsewhere() {
    let button = |more: &[(usize, &[u8])]| {
        let mut memory = example();
        memory.0.insert(0x4000, fadt(more));
        parse(&memory, Root::Xsdt(0x1000)).button
    };
    let events: (usize, &[u8]) = (56, &[0x00, 0x06, 0, 0]);
    let length: (usize, &[u8]) = (88, &[4]);
    let there = Button {
        status: Register::Port(0x600),
        length: 4,
        control: Register::Port(0x604),
        take_over: None,
    };
    assert_eq!(button(&[events, length]), Some(there));
    let take_over: [(usize, &[u8]); 2] = [(48, &[0xb2, 0, 0, 0]), (52, &[0xf1])];
    let [command, value] = take_over;
    let taken = Button { take_over: Some((0xb2, 0xf1)), ..there };
    assert_eq!(button(&[events, length, command, value]), Some(taken));
    assert_eq!(button(&[events, length, command]), Some(there), "there is nothing to be told");
    assert_eq!(button(&[events]), None, "registers of no bytes");
    assert_eq!(button(&[length]), None);
    assert_eq!(button(&[events, length, (112, &[0x10, 0x05, 0, 0])]), None, "a button elsewhere");
    assert_eq!(button(&[events, length, (112, &[0, 0, 0x10, 0])]), None, "no fixed hardware");
}

#[test]
fn hardware_without_the_fixed_parts_sleeps_by_its_own_register() {
    let mut memory = example();
    let sleep = [0, 8, 0, 1, 0, 0, 0x10, 0xfe, 0, 0, 0, 0];
    let more: &[(usize, &[u8])] = &[(112, &[0, 0, 0x10, 0]), (244, &sleep)];
    memory.0.insert(0x4000, fadt(more));
    memory.0.insert(0x5000, dsdt(b"_S5_ _S5_\x12\x08\x04\x0a\x05\x0a\x05\x00\x00"));
    let acpi = parse(&memory, Root::Pointer(0xf_0010));
    assert_eq!(acpi.power, Some(Power::Sleep(Register::Memory(0xfe10_0000), 5 << 2 | 1 << 5)));
    assert_eq!((acpi.timer, acpi.reset), (None, None));
}

#[test]
fn damaged_tables_count_as_missing() {
    let mut memory = example();
    for address in [0x2000, 0x3000, 0x5000] {
        memory.0.get_mut(&address).unwrap()[20] ^= 1;
    }
    let acpi = parse(&memory, Root::Pointer(0xf_0010));
    assert_eq!((acpi.local_apic, acpi.ecam, acpi.power), (None, None, None));
    assert!(acpi.reset.is_some());

    memory.0.get_mut(&0xf_0010).unwrap()[3] = b'?';
    assert!(parse(&memory, Root::Pointer(0xf_0010)).reset.is_none());
    assert!(parse(&memory, Root::Pointer(u64::MAX)).reset.is_none());
}

#[test]
fn no_entry_of_a_madt_can_stop_the_walk_or_leave_it() {
    let mut memory = example();
    for tail in [[0, 0].as_slice(), &[0, 1], &[0, 200], &[0, 4, 0, 0], &[9, 3, 0], &[5, 4, 0, 0]] {
        let length = 44 + tail.len();
        memory.0.insert(0x2000, super::tests::table(b"APIC", length, &[(44, tail)]));
        assert!(parse(&memory, Root::Pointer(0xf_0010)).processors.is_empty());
    }
}

#[test]
fn the_controllers_of_interrupt_lines_are_listed() {
    let mut memory = example();
    let first = [1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0];
    let second = [1, 12, 1, 0, 0, 0x10, 0xc0, 0xfe, 24, 0, 0, 0];
    let madt = table(b"APIC", 68, &[(44, &first), (56, &second)]);
    memory.0.insert(0x2000, madt);
    let acpi = parse(&memory, Root::Pointer(0xf_0010));
    let expected = [(0xfec0_0000, 0), (0xfec0_1000, 24)];
    let expected = expected.map(|(address, first)| IoApic { address, first });
    assert_eq!(acpi.io_apics.as_slice(), &expected);
}

#[test]
fn an_old_firmware_has_a_list_of_32_bit_addresses() {
    let mut memory = example();
    memory.0.insert(0x1000, table(b"RSDT", 40, &[(36, &0x2000u32.to_le_bytes())]));
    assert_eq!(parse(&memory, Root::Rsdt(0x1000)).processors.len(), 2);
}
