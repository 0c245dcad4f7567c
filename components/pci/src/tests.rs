//! The bus against configuration spaces made up by hand, most of them wrong.

extern crate std;

use super::*;
use std::boxed::Box;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Mutex;
use waitless::device::MessageInterrupt;
use waitless::testing;

/// A function's configuration space: what it holds, and which bits of it can be set.
#[derive(Clone)]
struct Space {
    values: [u32; 64],
    writable: [u32; 64],
}

impl Space {
    fn device(vendor: u16, device: u16) -> Self {
        let mut space = Self { values: [0; 64], writable: [0; 64] };
        space.values[0] = u32::from(device) << 16 | u32::from(vendor);
        space.writable[1] = 0xffff;
        space
    }

    fn bridge(secondary: u8) -> Self {
        let mut space = Self::device(0x1b36, 1);
        space.values[3] = 1 << 16;
        space.values[6] = u32::from(secondary) << 8;
        space
    }

    fn with(mut self, offset: usize, value: u32, writable: u32) -> Self {
        self.values[offset / 4] = value;
        self.writable[offset / 4] = writable;
        self
    }

    /// Capabilities as (offset, id, next).
    fn capabilities(mut self, first: u8, list: &[(u8, u8, u8)]) -> Self {
        self.values[1] |= 1 << 20;
        self.values[0x34 / 4] = first.into();
        for &(at, id, next) in list {
            self.values[usize::from(at) / 4] |= u32::from(next) << 8 | u32::from(id);
        }
        self
    }
}

#[derive(Default)]
struct Machine {
    spaces: Mutex<BTreeMap<PciAddress, Space>>,
    window: Option<(u64, u64)>,
    mapped: Mutex<Vec<(u64, usize)>>,
    reads: Mutex<usize>,
}

impl Machine {
    fn put(&self, bus: u8, device: u8, function: u8, space: Space) {
        let address = PciAddress { bus, device, function };
        self.spaces.lock().unwrap().insert(address, space);
    }

    fn value(&self, device: u8, offset: usize) -> u32 {
        let address = PciAddress { bus: 0, device, function: 0 };
        self.spaces.lock().unwrap()[&address].values[offset / 4]
    }
}

impl Platform for Machine {
    fn name(&self) -> &'static str {
        "test"
    }

    fn pci_read(&self, function: PciAddress, offset: u16) -> Option<u32> {
        *self.reads.lock().unwrap() += 1;
        let spaces = self.spaces.lock().unwrap();
        Some(spaces.get(&function).map_or(u32::MAX, |space| space.values[usize::from(offset) / 4]))
    }

    fn pci_write(&self, function: PciAddress, offset: u16, value: u32) {
        if let Some(space) = self.spaces.lock().unwrap().get_mut(&function) {
            let index = usize::from(offset) / 4;
            let writable = space.writable[index];
            space.values[index] = space.values[index] & !writable | value & writable;
        }
    }

    fn pci_window(&self) -> Option<(u64, u64)> {
        self.window
    }

    fn map(&self, address: u64, length: usize) -> Option<Registers> {
        self.mapped.lock().unwrap().push((address, length));
        let memory = (0..length.min(1 << 14).div_ceil(8)).map(|_| Cell::new(0)).collect();
        Some(Registers::over(Box::leak(memory)))
    }
}

fn started(machine: Machine) -> (Pci, &'static Machine) {
    let machine: &'static Machine = Box::leak(Box::new(machine));
    let mut cx = testing::context_on(machine, 0, 0);
    let mut pci = Pci::new(&Config {}, &mut cx);
    pci.init(&mut (), &mut cx).unwrap();
    (pci, machine)
}

fn only(space: Space) -> (Pci, &'static Machine, PciFunction) {
    let machine = Machine { window: Some((0xc000_0000, 0x1000_0000)), ..Machine::default() };
    machine.put(0, 3, 0, space);
    let (mut pci, machine) = started(machine);
    let function = pci.take(&mut |_| true).unwrap();
    (pci, machine, function)
}

fn addresses(pci: &Pci) -> Vec<(u8, u8, u8)> {
    let address = |found: &Function| found.address;
    pci.functions.iter().map(address).map(|a| (a.bus, a.device, a.function)).collect()
}

#[test]
fn functions_are_found_behind_bridges_in_the_order_of_their_addresses() {
    let machine = Machine::default();
    machine.put(0, 4, 0, Space::bridge(7));
    machine.put(7, 1, 0, Space::bridge(9));
    machine.put(9, 0, 0, Space::device(1, 1));
    machine.put(0, 5, 0, Space::device(1, 1));
    machine.put(7, 31, 0, Space::device(1, 1));
    machine.put(8, 0, 0, Space::device(1, 1));
    let (pci, _) = started(machine);
    assert_eq!(addresses(&pci), [(0, 5, 0), (7, 31, 0), (9, 0, 0)]);
}

#[test]
fn only_devices_that_say_so_have_more_functions() {
    let machine = Machine::default();
    machine.put(0, 1, 0, Space::device(1, 1).with(0x0c, 1 << 23, 0));
    machine.put(0, 1, 5, Space::device(1, 2));
    machine.put(0, 2, 0, Space::device(1, 1));
    machine.put(0, 2, 1, Space::device(1, 2));
    machine.put(0, 3, 1, Space::device(1, 2));
    let (pci, _) = started(machine);
    assert_eq!(addresses(&pci), [(0, 1, 0), (0, 1, 5), (0, 2, 0)]);
}

#[test]
fn bridges_in_a_ring_and_odd_headers_end() {
    let machine = Machine::default();
    machine.put(0, 0, 0, Space::bridge(1));
    machine.put(1, 0, 0, Space::bridge(0));
    machine.put(1, 1, 0, Space::bridge(1));
    machine.put(0, 1, 0, Space::device(1, 1).with(0x0c, 0x7f << 16, 0));
    let (pci, machine) = started(machine);
    assert!(pci.functions.is_empty());
    assert!(*machine.reads.lock().unwrap() < 100);
}

#[test]
fn a_bus_full_of_everything_is_bounded() {
    let machine = Machine::default();
    for bus in 0..=255u8 {
        for device in 0..32 {
            let space =
                if device == 0 { Space::bridge(bus.wrapping_add(1)) } else { Space::device(1, 1) };
            machine.put(bus, device, 0, space);
        }
    }
    let (pci, _) = started(machine);
    assert_eq!(pci.functions.len(), FUNCTIONS_MAX);
    assert_eq!(pci.counters.ignored.get(), 256 * 31 - FUNCTIONS_MAX as u64);
}

#[test]
fn no_bus_is_no_error() {
    let mut cx = testing::context(0, 0);
    let mut pci = Pci::new(&Config {}, &mut cx);
    assert_eq!(pci.init(&mut (), &mut cx), Ok(()));
    assert_eq!(pci.take(&mut |_| true), None);
    assert_eq!(pci.read(PciFunction(0), 0), u32::MAX);
}

#[test]
fn a_function_is_taken_once_and_switched_on() {
    let space = Space::device(0x1af4, 0x1041).with(0x08, 0x0200_0001, 0).with(0x2c, 0x1100_1af4, 0);
    let (mut pci, machine, function) = only(space);
    let expected = PciIdentity {
        vendor: 0x1af4,
        device: 0x1041,
        class: 0x02_0000,
        revision: 1,
        subsystem_vendor: 0x1af4,
        subsystem: 0x1100,
    };
    assert_eq!(pci.functions[function.0].identity, expected);
    assert_eq!(machine.value(3, 4), 1 << 10 | 1 << 2 | 1 << 1);
    assert_eq!(pci.take(&mut |_| true), None);
}

#[test]
fn registers_are_sized_by_what_can_be_set() {
    // (BAR 0, its settable bits, BAR 1, its settable bits) → what is mapped for BAR 0.
    let cases = [
        ((0xfeb0_0000, 0xffff_f000, 0, 0), Some((0xfeb0_0000, 0x1000))),
        ((0xfeb0_0008, 0xffff_c000, 0, 0), Some((0xfeb0_0000, 0x4000))),
        ((0x0000_000c, 0xffff_c000, 0x38, u32::MAX), Some((0x38_0000_0000, 0x4000))),
        ((0x0000_0004, 0, 0x10, 0xffff_fffe), Some((0x10_0000_0000, 0x2_0000_0000))),
        ((0x0000_c001, 0xffff_ffe0, 0, 0), None),
        ((0, 0, 0, 0), None),
        ((0xffff_ffff, u32::MAX, 0, 0), None),
        ((0xfeb0_0006, 0xffff_f000, 0, 0), None),
    ];
    for ((low, low_set, high, high_set), mapped) in cases {
        let space = Space::device(1, 1).with(0x10, low, low_set).with(0x14, high, high_set);
        let (mut pci, machine, function) = only(space);
        assert_eq!(pci.bar(function, 0).is_some(), mapped.is_some(), "{low:x}");
        assert_eq!(pci.bar(function, 0).is_some(), mapped.is_some(), "again");
        assert_eq!(machine.mapped.lock().unwrap().first().copied(), mapped, "{low:x}");
        assert!(machine.mapped.lock().unwrap().len() <= 1, "mapped once");
        assert_eq!((machine.value(3, 0x10), machine.value(3, 0x14)), (low, high), "restored");
    }
}

#[test]
fn a_64_bit_register_at_the_end_has_no_upper_half() {
    let (mut pci, _, function) = only(Space::device(1, 1).with(0x24, 0xfeb0_0004, 0xffff_f000));
    assert!(pci.bar(function, 5).is_none());
    assert!(pci.bar(function, 6).is_none());
    assert!(pci.bar(function, 255).is_none());
}

#[test]
fn registers_without_an_address_get_one_from_the_window() {
    let space = Space::device(1, 1)
        .with(0x10, 0, 0xffff_f000)
        .with(0x14, 4, 0xffff_c000)
        .with(0x18, 0, u32::MAX)
        .with(0x1c, 0, 0xe000_0000);
    let (mut pci, machine, function) = only(space);
    assert!(pci.bar(function, 0).is_some() && pci.bar(function, 1).is_some());
    let mapped = [(0xc000_0000, 0x1000), (0xc000_4000, 0x4000)];
    assert_eq!(*machine.mapped.lock().unwrap(), mapped);
    assert_eq!(machine.value(3, 0x14), 0xc000_4004);
    assert!(pci.bar(function, 3).is_none(), "larger than the window");
    assert_eq!(pci.counters.unmapped.get(), 2, "at assignment and when it was wanted");
}

#[test]
fn capabilities_are_found_in_order_and_lists_without_an_end_end() {
    let list = [(0x40, 9, 0x50), (0x50, 5, 0x60), (0x60, 9, 0)];
    let (pci, _, function) = only(Space::device(1, 1).capabilities(0x40, &list));
    assert_eq!(pci.capability(function, 9, 0), 0x40);
    assert_eq!(pci.capability(function, 9, 0x40), 0x60);
    assert_eq!(pci.capability(function, 9, 0x60), 0);
    assert_eq!(pci.capability(function, 7, 0), 0);

    // Each: where the list starts, and its members.
    type List = &'static [(u8, u8, u8)];
    let endless: [(u8, List); 5] = [
        (0x40, &[(0x40, 1, 0x40)]),
        (0x40, &[(0x40, 1, 0x44), (0x44, 1, 0x40)]),
        (0x10, &[]),
        (0xff, &[(0xfc, 1, 0xff)]),
        (0x43, &[(0x40, 1, 0x3f)]),
    ];
    for (first, list) in endless {
        let (pci, _, function) = only(Space::device(1, 1).capabilities(first, list));
        assert_eq!(pci.capability(function, 9, 0), 0, "{list:x?}");
    }
    let (pci, _, function) = only(Space::device(1, 1).with(0x34, 0x40, 0).with(0x40, 9, 0));
    assert_eq!(pci.capability(function, 9, 0), 0, "the status says that there is no list");
}

/// A function with an MSI-X table of three vectors at `place` of a BAR 1 of 4 KiB.
fn with_vectors(place: u32) -> Space {
    Space::device(1, 1)
        .with(0x14, 0xfeb0_0000, 0xffff_f000)
        .with(0x40, 2 << 16, 0xc000_0000)
        .with(0x44, place, 0)
        .capabilities(0x40, &[(0x40, 0x11, 0)])
}

#[test]
fn vectors_start_masked_and_are_routed_one_by_one() {
    let (mut pci, machine, function) = only(with_vectors(0x100 | 1));
    let vectors = pci.vectors(function).unwrap();
    assert_eq!(vectors.count(), 3);
    assert_eq!(machine.value(3, 0x40) >> 30, 0b10, "on, not masked as a whole");
    let table = pci.bar(function, 1).unwrap().part(0x100, 48).unwrap();
    let masks = |table: &Registers| [12, 28, 44].map(|offset| table.read32(offset));
    assert_eq!(masks(&table), [1, 1, 1]);

    let message = MessageInterrupt { address: 0x1_fee0_1000, data: 0x41 };
    assert!(vectors.route(1, message));
    assert!(!vectors.route(3, message));
    assert_eq!([16, 20, 24].map(|at| table.read32(at)), [0xfee0_1000, 1, 0x41]);
    assert_eq!(masks(&table), [1, 0, 1]);
    vectors.mask(1, true);
    vectors.mask(9, false);
    assert_eq!(masks(&table), [1, 1, 1]);
}

#[test]
fn a_table_that_is_not_inside_its_registers_is_refused() {
    for place in [0xff8 | 1, 0xffff_fff8 | 1, 2, 7] {
        let (mut pci, machine, function) = only(with_vectors(place));
        assert!(pci.vectors(function).is_none(), "{place:x}");
        assert_eq!(machine.value(3, 0x40) >> 30, 0, "left off");
    }
    let (mut pci, _, function) = only(Space::device(1, 1));
    assert!(pci.vectors(function).is_none());
}

/// Whatever configuration space holds: everything ends, soon, and nothing panics.
#[test]
fn random_configuration_spaces_do_no_harm() {
    let mut random = waitless::Random::new([9; 32]);
    for _ in 0..60 {
        let machine = Machine { window: Some((0xc000_0000, 0x1000_0000)), ..Machine::default() };
        for _ in 0..20 {
            let mut space = Space::device(1, random.u64() as u16);
            for index in 1..64 {
                let small = random.u64() & 1 == 0;
                space.values[index] = random.u64() as u32 & if small { 0xff_40fc } else { !0 };
                space.writable[index] = random.u64() as u32 | random.u64() as u32;
            }
            let place = random.u64();
            machine.put((place & 3) as u8, (place >> 8) as u8 & 31, (place >> 16) as u8 & 7, space);
        }
        let (mut pci, machine) = started(machine);
        for _ in 0..32 {
            let Some(function) = pci.take(&mut |_| true) else { break };
            let mut after = 0;
            for _ in 0..60 {
                after = pci.capability(function, 9, after);
            }
            pci.vectors(function);
            for bar in 0..7 {
                pci.bar(function, bar);
            }
        }
        assert!(*machine.reads.lock().unwrap() < 2_000_000);
    }
}
