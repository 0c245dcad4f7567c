//! The transport against a device of cells that obeys, or misbehaves on order.

extern crate std;

use super::*;
use device::Access;
use std::boxed::Box;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::vec;
use waitless::PciIdentity;
use waitless::device::MessageInterrupt;
use waitless::testing;
use wire::{common, status};

/// How the model differs from a good device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    None,
    /// It never comes out of a reset.
    StuckReset,
    /// It takes back FEATURES_OK.
    RefusesFeatures,
    /// It keeps the queue size that it had.
    FixedSize,
    /// It has no vectors.
    NoVectors,
    /// It has no vector for changes of its configuration.
    NoConfigVector,
    /// It never enables a queue.
    NeverEnables,
    /// Its generation changes with every look.
    Restless,
    /// It is gone: all ones.
    Gone,
}

/// A device's registers, those that have side effects in code.
struct Model {
    fault: Fault,
    offered: u128,
    values: RefCell<BTreeMap<usize, u32>>,
    accepted: Cell<u128>,
    rung: RefCell<vec::Vec<(usize, u16)>>,
    /// The configuration's value, and the ones that it takes after the next reads.
    config: RefCell<vec::Vec<u32>>,
    isr: Cell<u8>,
}

impl Model {
    fn new(fault: Fault) -> Rc<Self> {
        let values = [(common::QUEUE_COUNT, 2), (common::QUEUE_SIZE, 256)];
        Rc::new(Self {
            fault,
            offered: 1 << 32 | 1 << 5 | 1 << 70,
            values: RefCell::new(values.into()),
            accepted: Cell::new(0),
            rung: RefCell::default(),
            config: RefCell::new(vec![7]),
            isr: Cell::new(0),
        })
    }

    fn device(self: &Rc<Self>) -> Device<Part> {
        let part = |base, length| Part { model: self.clone(), base, length };
        Device::new(Structures {
            common: part(0, common::LENGTH),
            notify: part(NOTIFY, 8),
            multiplier: 4,
            isr: Some(part(ISR, 1)),
            device: Some(part(CONFIG, 64)),
        })
    }

    fn value(&self, offset: usize) -> u32 {
        self.values.borrow().get(&offset).copied().unwrap_or(0)
    }

    fn read(&self, offset: usize) -> u32 {
        let selected = |register| 32 * self.value(register).min(4);
        match offset {
            _ if self.fault == Fault::Gone => u32::MAX,
            common::DEVICE_FEATURE => {
                self.offered.checked_shr(selected(common::DEVICE_FEATURE_SELECT)).unwrap_or(0)
                    as u32
            }
            common::QUEUE_NOTIFY_OFFSET => self.value(common::QUEUE_SELECT),
            common::QUEUE_VECTOR if self.fault == Fault::NoVectors => 0xffff,
            common::CONFIG_VECTOR if self.fault == Fault::NoConfigVector => 0xffff,
            ISR => self.isr.replace(0).into(),
            CONFIG => {
                let mut config = self.config.borrow_mut();
                let value = config[0];
                if config.len() > 1 {
                    config.remove(0);
                    self.set(common::GENERATION, self.value(common::GENERATION) + 1);
                }
                if self.fault == Fault::Restless {
                    config[0] += 1;
                    self.set(common::GENERATION, (self.value(common::GENERATION) + 1) & 0xff);
                }
                value
            }
            _ => self.value(offset),
        }
    }

    fn write(&self, offset: usize, value: u32) {
        let value = match (offset, self.fault) {
            (common::STATUS, Fault::StuckReset) if value == 0 => return,
            (common::STATUS, Fault::RefusesFeatures) => value & !u32::from(status::FEATURES_OK),
            (common::QUEUE_SIZE, Fault::FixedSize) => return,
            (common::QUEUE_ENABLE, Fault::NeverEnables) => return,
            (common::DRIVER_FEATURE, _) => {
                let word = u128::from(value) << (32 * self.value(common::DRIVER_FEATURE_SELECT));
                self.accepted.set(self.accepted.get() | word);
                return;
            }
            (NOTIFY.., _) if offset < ISR => {
                self.rung.borrow_mut().push((offset - NOTIFY, value as u16));
                return;
            }
            _ => value,
        };
        self.set(offset, value);
    }

    fn set(&self, offset: usize, value: u32) {
        self.values.borrow_mut().insert(offset, value);
    }
}

const NOTIFY: usize = 0x1000;
const ISR: usize = 0x2000;
const CONFIG: usize = 0x3000;

/// One of the model's structures.
struct Part {
    model: Rc<Model>,
    base: usize,
    length: usize,
}

impl Access for Part {
    fn length(&self) -> usize {
        self.length
    }
    fn read8(&self, offset: usize) -> u8 {
        self.model.read(self.base + offset) as u8
    }
    fn read16(&self, offset: usize) -> u16 {
        self.model.read(self.base + offset) as u16
    }
    fn read32(&self, offset: usize) -> u32 {
        self.model.read(self.base + offset)
    }
    fn write8(&self, offset: usize, value: u8) {
        self.model.write(self.base + offset, value.into());
    }
    fn write16(&self, offset: usize, value: u16) {
        self.model.write(self.base + offset, value.into());
    }
    fn write32(&self, offset: usize, value: u32) {
        self.model.write(self.base + offset, value);
    }
    fn register(&self, _: usize) -> Option<Registers> {
        None
    }
}

const MEMORY: QueueMemory = QueueMemory {
    size: 128,
    descriptors: 0x1_0000_1000,
    available: 0x1_0000_1800,
    used: 0x1_0000_1c00,
    core: 0,
};

#[test]
fn a_device_is_brought_up_in_the_order_of_the_standard() {
    let model = Model::new(Fault::None);
    let mut device = model.device();
    model.set(common::STATUS, 0x0f);
    assert!(device.reset());
    device.acknowledge();
    assert_eq!(model.value(common::STATUS), 3);
    assert_eq!(device.features(), model.offered);
    assert!(device.accept(1 << 32 | 1 << 70));
    assert_eq!(model.accepted.get(), 1 << 32 | 1 << 70);
    assert_eq!((device.queues(), device.queue_size(1), device.queue_size(2)), (2, 256, 0));
    assert_eq!(device.enable_queue(1, MEMORY, 1), Some(true));
    let set_up =
        [0x16, 0x18, 0x1a, 0x1c, 0x20, 0x24, 0x28, 0x2c, 0x30, 0x34].map(|at| model.value(at));
    assert_eq!(set_up, [1, 128, 1, 1, 0x1000, 1, 0x1800, 1, 0x1c00, 1]);
    device.start(0);
    assert_eq!((model.value(common::STATUS), model.value(common::CONFIG_VECTOR)), (0x0f, 0));
    assert!(!device.needs_reset());
    device.notify(1);
    device.notify(0);
    device.notify(u16::MAX);
    assert_eq!(*model.rung.borrow(), [(4, 1)], "only queues that are enabled");
}

#[test]
fn a_device_that_does_not_obey_is_refused_in_bounded_time() {
    assert!(!Model::new(Fault::StuckReset).device_with_status(1).reset());
    assert!(!Model::new(Fault::Gone).device().reset());
    assert!(!Model::new(Fault::RefusesFeatures).device().accept(1 << 32));
    assert!(!Model::new(Fault::Gone).device().accept(1 << 32));
    assert!(Model::new(Fault::Gone).device().needs_reset());
    for fault in [Fault::FixedSize, Fault::NeverEnables] {
        assert_eq!(Model::new(fault).device().enable_queue(0, MEMORY, 0), None, "{fault:?}");
    }
    let larger = QueueMemory { size: 512, ..MEMORY };
    assert_eq!(Model::new(Fault::None).device().enable_queue(0, larger, 0), None);
    assert_eq!(Model::new(Fault::None).device().enable_queue(2, MEMORY, 0), None);
}

impl Model {
    fn device_with_status(self: &Rc<Self>, status: u32) -> Device<Part> {
        self.set(common::STATUS, status);
        self.device()
    }
}

#[test]
fn a_doorbell_outside_its_structure_is_refused() {
    let model = Model::new(Fault::None);
    model.set(common::QUEUE_COUNT, 4);
    assert_eq!(model.device().enable_queue(1, MEMORY, 0), Some(true));
    assert_eq!(model.device().enable_queue(2, MEMORY, 0), None);
}

#[test]
fn a_queue_without_a_vector_is_silent() {
    assert_eq!(Model::new(Fault::NoVectors).device().enable_queue(0, MEMORY, 0), Some(false));
    assert_eq!(Model::new(Fault::None).device().enable_queue(0, MEMORY, NO_VECTOR), Some(false));
}

#[test]
fn a_device_without_a_vector_for_changes_is_live_and_says_so() {
    for (fault, vector, tells) in
        [(Fault::None, 1, true), (Fault::NoConfigVector, 1, false), (Fault::None, NO_VECTOR, false)]
    {
        let model = Model::new(fault);
        assert_eq!(model.device_with_status(0x0b).start(vector), tells, "{fault:?}");
        assert_eq!(model.value(common::STATUS), 0x0f);
    }
}

#[test]
fn what_the_status_tells_is_noticed() {
    for (status, needs) in [(0x0f, false), (0x4f, true), (0, true), (0x0b, true), (0xff, true)] {
        let device = Model::new(Fault::None).device_with_status(status);
        assert_eq!(device.needs_reset(), needs, "{status:x}");
    }
}

#[test]
fn giving_up_resets_and_says_so() {
    let model = Model::new(Fault::None);
    assert!(model.device_with_status(0x4f).fail());
    assert_eq!(model.value(common::STATUS), 0x81);
    assert!(!Model::new(Fault::Gone).device().fail());
}

#[test]
fn configuration_is_read_until_it_stands_still() {
    let model = Model::new(Fault::None);
    *model.config.borrow_mut() = vec![1, 2, 3];
    assert_eq!(model.device().config32(0), 3);
    let model = Model::new(Fault::Restless);
    assert!(model.device().config16(0) >= 7, "bounded");
    assert_eq!(model.device().config8(0), model.config.borrow()[0] as u8 - 1);
}

#[test]
fn changes_are_told_by_the_generation_or_by_the_isr() {
    let model = Model::new(Fault::None);
    let mut device = model.device();
    device.start(0);
    assert!(!device.config_changed());
    model.set(common::GENERATION, 1);
    assert!(device.config_changed());
    assert!(!device.config_changed());
    model.isr.set(3);
    assert!(device.config_changed());
    assert!(!device.config_changed());
    model.isr.set(1);
    assert!(!device.config_changed(), "a queue's interrupt is no change");
}

/// A bus with one function, whose base address registers are plain memory of 16 KiB.
struct Bus {
    identity: PciIdentity,
    taken: bool,
    /// (kind, bar, offset, length, capability's length), at 0x40, 0x54, …
    capabilities: &'static [(u8, u8, u32, u32, u8)],
    memory: &'static [Cell<u64>],
    table: Option<&'static [Cell<u64>]>,
    /// Bytes between doorbells.
    multiplier: u32,
}

const MODERN: PciIdentity = PciIdentity {
    vendor: 0x1af4,
    device: 0x1041,
    class: 0x02_0000,
    revision: 1,
    subsystem_vendor: 0x1af4,
    subsystem: 0x1100,
};

/// The layout of QEMU.
const GOOD: &[(u8, u8, u32, u32, u8)] = &[
    (5, 0, 0, 0, 20),
    (2, 4, 0x3000, 0x1000, 20),
    (4, 4, 0x2000, 0x1000, 16),
    (3, 4, 0x1000, 0x1000, 16),
    (1, 4, 0, 0x1000, 16),
];

impl Bus {
    fn new(identity: PciIdentity, capabilities: &'static [(u8, u8, u32, u32, u8)]) -> Self {
        let cells = |count| &*Box::leak((0..count).map(|_| Cell::new(0)).collect::<Box<[_]>>());
        let (memory, table) = (cells(2048), Some(cells(4)));
        Self { identity, taken: false, capabilities, memory, table, multiplier: 4 }
    }
}

impl PciPort for Bus {
    fn take(&mut self, wanted: &mut dyn FnMut(&PciIdentity) -> bool) -> Option<PciFunction> {
        let take = !self.taken && wanted(&self.identity);
        self.taken |= take;
        take.then_some(PciFunction(0))
    }

    fn read(&self, _: PciFunction, offset: u16) -> u32 {
        let at = usize::from(offset) - 0x40;
        let (kind, bar, offset, length, size) = self.capabilities[at / 20];
        match at % 20 {
            0 => u32::from_le_bytes([9, 0, size, kind]),
            4 => bar.into(),
            8 => offset,
            12 => length,
            _ => self.multiplier,
        }
    }

    fn write(&mut self, _: PciFunction, _: u16, _: u32) {}

    fn bar(&mut self, _: PciFunction, bar: u8) -> Option<Registers> {
        (bar == 4).then(|| Registers::over(self.memory))
    }

    fn vectors(&mut self, _: PciFunction) -> Option<Vectors> {
        self.table.map(|table| Vectors::new(Registers::over(table)))
    }

    fn capability(&self, _: PciFunction, _: u8, after: u8) -> u8 {
        let next = if after == 0 { 0 } else { (usize::from(after) - 0x40) / 20 + 1 };
        if next < self.capabilities.len() { 0x40 + 20 * next as u8 } else { 0 }
    }
}

struct Interrupting;

impl Platform for Interrupting {
    fn name(&self) -> &'static str {
        "test"
    }

    fn message_interrupt(&self, core: usize) -> Option<MessageInterrupt> {
        Some(MessageInterrupt { address: 0xfee0_0000 | (core as u64) << 12, data: 0x40 })
    }
}

fn started(bus: &mut Bus) -> VirtioPci {
    let mut cx = testing::context_on(&Interrupting, 0, 0);
    let mut virtio = VirtioPci::new(&Config {}, &mut cx);
    virtio.init(bus, &mut cx).unwrap();
    virtio
}

#[test]
fn modern_and_transitional_devices_are_found_by_their_type() {
    let cases = [
        (0x1af4, 0x1041, 0x1100, 1),
        (0x1af4, 0x1044, 0x1100, 4),
        (0x1af4, 0x1000, 1, 1),
        (0x1af4, 0x1005, 4, 4),
        (0x1af4, 0x1110, 1, 0),
        (0x8086, 0x1041, 1, 0),
    ];
    for (vendor, device, subsystem, kind) in cases {
        let identity = PciIdentity { vendor, device, subsystem, ..MODERN };
        let mut virtio = started(&mut Bus::new(identity, GOOD));
        assert_eq!(virtio.take(9), None);
        let found = virtio.take(kind);
        assert_eq!(found.is_some(), kind != 0, "{device:x}");
        assert_eq!(virtio.take(kind), None, "taken once");
    }
}

#[test]
fn the_first_usable_structure_of_each_type_is_used() {
    const MANY: &[(u8, u8, u32, u32, u8)] = &[
        (1, 6, 0, 0x38, 16),
        (1, 4, 0, 0x37, 16),
        (1, 4, 0x3fe0, 0x38, 16),
        (1, 4, 0x100, 0x38, 8),
        (9, 4, 0, 16, 16),
        (1, 4, 0x200, 0x38, 16),
        (1, 4, 0x300, 0x38, 16),
        (2, 4, 0x400, 4, 16),
        (2, 4, 0x500, 4, 20),
    ];
    let mut bus = Bus::new(MODERN, MANY);
    let device = started(&mut bus).take(1);
    assert!(device.is_some());
    let status = Registers::over(bus.memory).read8(0x200 + common::STATUS);
    assert_eq!(status, status::ACKNOWLEDGE | status::DRIVER);
}

#[test]
fn a_legacy_device_is_left_alone() {
    const NO_NOTIFY: &[(u8, u8, u32, u32, u8)] = &[(1, 4, 0, 0x38, 16), (2, 4, 0x1000, 1, 20)];
    for capabilities in [&[], NO_NOTIFY] {
        let mut virtio = started(&mut Bus::new(MODERN, capabilities));
        assert_eq!(virtio.take(1), None);
        assert_eq!((virtio.counters.found.get(), virtio.counters.unusable.get()), (0, 1));
    }
}

#[test]
fn a_device_whose_registers_cannot_be_mapped_is_not_called_legacy() {
    const ELSEWHERE: &[(u8, u8, u32, u32, u8)] = &[(1, 2, 0, 0x38, 16), (2, 2, 0x1000, 4, 20)];
    for (capabilities, reason) in
        [(&[][..], Some(LEGACY)), (ELSEWHERE, Some(UNMAPPED)), (GOOD, None)]
    {
        let mut bus = Bus::new(MODERN, capabilities);
        assert_eq!(structures(&mut bus, PciFunction(0)).err(), reason);
    }
}

#[test]
fn a_queue_interrupts_its_core_through_the_core_s_vector() {
    let mut bus = Bus::new(MODERN, GOOD);
    let mut virtio = started(&mut bus);
    let device = virtio.take(1).unwrap();
    let registers = Registers::over(bus.memory);
    registers.write16(common::QUEUE_COUNT, 3);
    registers.write16(common::QUEUE_SIZE, 256);
    assert!(virtio.enable_queue(device, 0, QueueMemory { core: 1, ..MEMORY }));
    assert_eq!(registers.read16(common::QUEUE_VECTOR), 1);
    assert_eq!(bus.table.unwrap()[2].get(), 0xfee0_1000);
    assert_eq!(bus.table.unwrap()[3].get(), 0x40, "not masked");
    assert!(virtio.interrupts(device));
    assert!(virtio.start(device));
    assert_eq!(registers.read16(common::CONFIG_VECTOR), 1);
    // The table has two entries, so core 2 gets nothing, and must poll.
    assert!(virtio.enable_queue(device, 2, QueueMemory { core: 2, size: 128, ..MEMORY }));
    assert!(!virtio.interrupts(device));
    virtio.notify(device, 2);
    assert_eq!(registers.read16(0x3000), 2);
}

#[test]
fn doorbells_may_be_two_bytes_apart() {
    const TWO: &[(u8, u8, u32, u32, u8)] = &[(1, 4, 0, 0x38, 16), (2, 4, 0x1002, 0x100, 20)];
    let mut bus = Bus { multiplier: 2, ..Bus::new(MODERN, TWO) };
    let mut virtio = started(&mut bus);
    let device = virtio.take(1).unwrap();
    let registers = Registers::over(bus.memory);
    registers.write16(common::QUEUE_COUNT, 3);
    registers.write16(common::QUEUE_SIZE, 256);
    registers.write16(common::QUEUE_NOTIFY_OFFSET, 2);
    assert!(virtio.enable_queue(device, 1, MEMORY));
    virtio.doorbell(device, 1).expect("a place of its own").ring();
    assert_eq!(registers.read16(0x1002 + 4), 1);
    registers.write16(common::QUEUE_NOTIFY_OFFSET, 0);
    assert!(virtio.enable_queue(device, 2, MEMORY));
    virtio.doorbell(device, 2).expect("not aligned to 4").ring();
    assert_eq!(registers.read16(0x1002), 2);
}

#[test]
fn what_was_never_taken_answers_nothing() {
    let mut virtio = started(&mut Bus::new(PciIdentity::default(), &[]));
    let nobody = VirtioDevice(3);
    virtio.notify(nobody, 0);
    assert!(!virtio.start(nobody));
    assert!(!virtio.accept(nobody, 0) && !virtio.enable_queue(nobody, 0, MEMORY));
    assert!(!virtio.fail(nobody) && !virtio.interrupts(nobody) && virtio.needs_reset(nobody));
    assert_eq!((virtio.features(nobody), virtio.queues(nobody)), (0, 0));
}
