//! The transport against a device in software that obeys, or misbehaves on order.

extern crate std;

use super::*;
use std::boxed::Box;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::thread_local;
use std::vec;
use waitless::device::{Model, Registers};
use waitless::testing;
use wire::{register, status};

/// How the model differs from a good device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    None,
    /// It never comes out of a reset.
    StuckReset,
    /// It takes back FEATURES_OK.
    RefusesFeatures,
    /// It never enables a queue.
    NeverReady,
    /// Its generation changes with every look.
    Restless,
    /// Its configuration changes while it is told that an interrupt was seen.
    ChangesMeanwhile,
    /// It interrupts for ever.
    NeverQuiet,
    /// It is gone: all ones.
    Gone,
}

/// A device's registers.
#[derive(Debug)]
struct Card {
    fault: Cell<Fault>,
    values: RefCell<BTreeMap<usize, u32>>,
    offered: u128,
    accepted: Cell<u128>,
    /// Queues: those that were enabled, with what they were given.
    ready: RefCell<BTreeMap<u32, [u32; 7]>>,
    rung: RefCell<vec::Vec<u32>>,
    /// The configuration's first word, and the ones that it takes after the next reads.
    config: RefCell<vec::Vec<u32>>,
}

const QUEUES: u32 = 3;

impl Card {
    fn new(fault: Fault) -> &'static Self {
        Self::holding(fault, [wire::MAGIC, 2, 1])
    }

    /// A device whose first registers hold this: magic, version and type.
    fn holding(fault: Fault, [magic, version, kind]: [u32; 3]) -> &'static Self {
        let values =
            [(register::MAGIC, magic), (register::VERSION, version), (register::DEVICE, kind)];
        Box::leak(Box::new(Self {
            fault: Cell::new(fault),
            values: RefCell::new(values.into()),
            offered: 1 << 32 | 1 << 5,
            accepted: Cell::new(0),
            ready: RefCell::default(),
            rung: RefCell::default(),
            config: RefCell::new(vec![0x0403_0207]),
        }))
    }

    fn device(&'static self) -> Device {
        Device::new(Registers::modelled(self, 0x200))
    }

    fn value(&self, offset: usize) -> u32 {
        self.values.borrow().get(&offset).copied().unwrap_or(0)
    }

    fn set(&self, offset: usize, value: u32) {
        self.values.borrow_mut().insert(offset, value);
    }

    fn interrupt(&self, reasons: u32) {
        self.set(register::INTERRUPT_STATUS, self.value(register::INTERRUPT_STATUS) | reasons);
    }

    /// Which word of features is selected: as in QEMU, all above the first are the second.
    fn word(&self, select: usize) -> u32 {
        self.value(select).min(1)
    }

    fn config(&self) -> u32 {
        let mut config = self.config.borrow_mut();
        let value = config[0];
        if config.len() > 1 {
            config.remove(0);
            self.set(register::GENERATION, self.value(register::GENERATION) + 1);
        }
        if self.fault.get() == Fault::Restless {
            config[0] += 1;
            self.set(register::GENERATION, self.value(register::GENERATION) + 1);
        }
        value
    }

    fn enable(&self, on: u32) {
        if on == 0 || self.fault.get() == Fault::NeverReady {
            return;
        }
        let given = [0x38, 0x80, 0x84, 0x90, 0x94, 0xa0, 0xa4].map(|at| self.value(at));
        self.ready.borrow_mut().insert(self.value(register::QUEUE_SELECT), given);
    }
}

impl Model for Card {
    fn read(&self, offset: usize, size: usize) -> u64 {
        assert!(size == 4 || offset >= register::CONFIG, "registers have 32 bits");
        let selected = self.value(register::QUEUE_SELECT);
        let value = match offset {
            _ if self.fault.get() == Fault::Gone => return u64::MAX,
            register::DEVICE_FEATURES => {
                (self.offered >> (32 * self.word(register::DEVICE_FEATURES_SELECT))) as u32
            }
            register::QUEUE_SIZE_MAX if selected < QUEUES => 256,
            register::QUEUE_SIZE_MAX => 0,
            register::QUEUE_READY => self.ready.borrow().contains_key(&selected).into(),
            register::CONFIG.. => self.config() >> (8 * (offset % 4)),
            _ => self.value(offset),
        };
        value.into()
    }

    fn write(&self, offset: usize, size: usize, value: u64) {
        assert_eq!(size, 4, "registers have 32 bits");
        let value = value as u32;
        match (offset, self.fault.get()) {
            (register::STATUS, Fault::StuckReset) if value == 0 => {}
            (register::STATUS, Fault::RefusesFeatures) => {
                self.set(offset, value & !status::FEATURES_OK);
            }
            (register::STATUS, _) if value == 0 => {
                self.ready.borrow_mut().clear();
                self.set(register::INTERRUPT_STATUS, 0);
                self.set(offset, 0);
            }
            (register::DRIVER_FEATURES, _) => {
                let shift = 32 * self.word(register::DRIVER_FEATURES_SELECT);
                let others = self.accepted.get() & !(u128::from(u32::MAX) << shift);
                self.accepted.set(others | u128::from(value) << shift);
            }
            (register::QUEUE_READY, _) => self.enable(value),
            (register::QUEUE_NOTIFY, _) => self.rung.borrow_mut().push(value),
            (register::INTERRUPT_ACKNOWLEDGE, _) => {
                let left = self.value(register::INTERRUPT_STATUS) & !value;
                let more = match self.fault.get() {
                    Fault::ChangesMeanwhile => {
                        self.fault.set(Fault::None);
                        2
                    }
                    Fault::NeverQuiet => 3,
                    _ => 0,
                };
                self.set(register::INTERRUPT_STATUS, left | more);
            }
            _ => self.set(offset, value),
        }
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
    let card = Card::new(Fault::None);
    let mut device = card.device();
    card.set(register::STATUS, 0x0f);
    assert_eq!(device.found(), Found::Device(1));
    assert!(device.reset());
    device.acknowledge();
    assert_eq!(card.value(register::STATUS), 3);
    assert_eq!(device.features(), card.offered);
    assert!(device.accept(1 << 32 | 1 << 5));
    assert_eq!(card.accepted.get(), 1 << 32 | 1 << 5, "no word overwrites another");
    assert_eq!((device.queues(), device.queue_size(1), device.queue_size(3)), (3, 256, 0));
    assert!(device.enable_queue(1, MEMORY));
    assert_eq!(card.ready.borrow()[&1], [128, 0x1000, 1, 0x1800, 1, 0x1c00, 1]);
    assert!(!device.enable_queue(1, MEMORY), "it is in use");
    device.start();
    assert_eq!(card.value(register::STATUS), 0x0f);
    assert!(!device.needs_reset());
    device.notify(1);
    device.doorbell(2).unwrap().ring();
    assert_eq!(*card.rung.borrow(), [1, 2]);
}

#[test]
fn a_device_that_does_not_obey_is_refused_in_bounded_time() {
    let stuck = Card::new(Fault::StuckReset);
    stuck.set(register::STATUS, 1);
    assert!(!stuck.device().reset());
    assert!(!Card::new(Fault::RefusesFeatures).device().accept(1 << 32));
    assert!(!Card::new(Fault::NeverReady).device().enable_queue(0, MEMORY));
    let gone = Card::new(Fault::Gone);
    assert!(!gone.device().reset() && !gone.device().accept(1 << 32));
    assert!(gone.device().needs_reset() && !gone.device().fail());
    assert_eq!((gone.device().queues(), gone.device().queue_size(0)), (0, 0));
    let larger = QueueMemory { size: 512, ..MEMORY };
    assert!(!Card::new(Fault::None).device().enable_queue(0, larger));
    assert!(!Card::new(Fault::None).device().enable_queue(3, MEMORY));
    assert_eq!(Card::new(Fault::None).device().queue_size(u16::MAX), 0);
}

#[test]
fn only_devices_of_version_2_are_devices() {
    let cases = [
        ([wire::MAGIC, 2, 4], Found::Device(4)),
        ([wire::MAGIC, 2, 0], Found::Empty),
        ([wire::MAGIC, 1, 0], Found::Empty),
        ([wire::MAGIC, 1, 1], Found::Version(1)),
        ([wire::MAGIC, 3, 1], Found::Version(3)),
        ([wire::MAGIC, 2, 0x1_0001], Found::Empty),
        ([0, 0, 0], Found::Stranger(0)),
    ];
    for (holds, found) in cases {
        assert_eq!(Card::holding(Fault::None, holds).device().found(), found);
    }
    assert_eq!(Card::new(Fault::Gone).device().found(), Found::Stranger(u32::MAX));
}

#[test]
fn what_the_status_tells_is_noticed() {
    for (status, needs) in [(0x0f, false), (0x4f, true), (0, true), (0x0b, true)] {
        let card = Card::new(Fault::None);
        card.set(register::STATUS, status);
        assert_eq!(card.device().needs_reset(), needs, "{status:x}");
    }
}

#[test]
fn configuration_is_read_until_it_stands_still() {
    let card = Card::new(Fault::None);
    *card.config.borrow_mut() = vec![1, 2, 3];
    assert_eq!(card.device().config32(0), 3);
    assert_eq!((card.device().config16(2), card.device().config8(0)), (0, 3));
    let card = Card::new(Fault::Restless);
    assert!(card.device().config16(0) >= 7, "bounded");
    // Outside of the region there is nothing.
    assert_eq!(card.device().config32(0x100), u32::MAX);
    assert_eq!(card.device().config8(usize::MAX), u8::MAX);
}

#[test]
fn changes_are_told_by_the_generation_or_by_an_interrupt() {
    let card = Card::new(Fault::None);
    let mut device = card.device();
    device.start();
    assert!(!device.config_changed());
    card.set(register::GENERATION, 1);
    assert!(device.config_changed() && !device.config_changed());
    card.interrupt(1);
    assert!(!device.config_changed(), "a queue's interrupt is no change");
    card.interrupt(3);
    device.release_line();
    assert_eq!(card.value(register::INTERRUPT_STATUS), 0);
    assert!(device.config_changed() && !device.config_changed());
}

thread_local! {
    /// What is at 0x1000, 0x2000, …
    static PLACES: RefCell<vec::Vec<&'static Card>> = const { RefCell::new(vec::Vec::new()) };
    static ROUTED: RefCell<vec::Vec<(u32, usize)>> = const { RefCell::new(vec::Vec::new()) };
}

/// A platform with a card at each place, and a line for all but those of type 4.
struct Board;

impl Platform for Board {
    fn name(&self) -> &'static str {
        "test"
    }

    fn mmio_device(&self, index: usize) -> Option<MmioDevice> {
        let card = PLACES.with_borrow(|places| places.get(index).copied())?;
        let line = 5 + index as u32;
        Some(MmioDevice {
            address: (index as u64 + 1) << 12,
            length: 0x200,
            line: (card.value(register::DEVICE) != 4).then_some(line),
        })
    }

    fn map(&self, address: u64, length: usize) -> Option<Registers> {
        let index = (address >> 12) as usize - 1;
        let card = PLACES.with_borrow(|places| places[index]);
        (card.value(register::DEVICE) != 9).then(|| Registers::modelled(card, length))
    }

    fn route_line(&self, line: u32, core: usize) -> bool {
        ROUTED.with_borrow_mut(|routed| routed.push((line, core)));
        core < 2
    }
}

fn started(places: &[&'static Card]) -> VirtioMmio {
    PLACES.with_borrow_mut(|all| *all = places.to_vec());
    ROUTED.with_borrow_mut(vec::Vec::clear);
    let mut cx = testing::context_on(&Board, 0, 0);
    let mut virtio = VirtioMmio::new(&Config {}, &mut cx);
    virtio.init(&mut (), &mut cx).unwrap();
    virtio
}

#[test]
fn devices_are_found_by_their_type_at_every_place() {
    let at = |version, kind| Card::holding(Fault::None, [wire::MAGIC, version, kind]);
    let nothing = Card::holding(Fault::None, [0; 3]);
    let mut virtio = started(&[at(2, 0), nothing, at(1, 1), at(2, 9), at(2, 1), at(2, 4)]);
    assert_eq!((virtio.counters.found.get(), virtio.counters.unusable.get()), (2, 1));
    assert_eq!(virtio.take(2), None);
    assert!(virtio.take(1).is_some() && virtio.take(4).is_some());
    assert_eq!((virtio.take(1), virtio.take(4)), (None, None), "taken once");
}

#[test]
fn a_line_goes_to_the_core_of_the_first_queue_and_other_cores_poll() {
    let mut virtio = started(&[Card::new(Fault::None)]);
    let device = virtio.take(1).unwrap();
    assert!(virtio.enable_queue(device, 0, QueueMemory { core: 1, ..MEMORY }));
    assert!(virtio.enable_queue(device, 1, QueueMemory { core: 1, ..MEMORY }));
    assert!(virtio.interrupts(device));
    assert_eq!(ROUTED.with_borrow(vec::Vec::clone), [(5, 1)]);
    assert!(virtio.enable_queue(device, 2, MEMORY));
    assert!(!virtio.interrupts(device));
    assert_eq!(virtio.counters.silent_queues.get(), 1);
}

#[test]
fn a_device_whose_line_leads_nowhere_is_polled() {
    let without_line = Card::holding(Fault::None, [wire::MAGIC, 2, 4]);
    let mut virtio = started(&[Card::new(Fault::None), without_line]);
    for (kind, core) in [(1, 2), (4, 0)] {
        let device = virtio.take(kind).unwrap();
        assert!(virtio.enable_queue(device, 0, QueueMemory { core, ..MEMORY }));
        assert!(!virtio.interrupts(device));
    }
}

#[test]
fn a_line_is_let_go_before_the_core_sleeps() {
    let (card, idle) = (Card::new(Fault::None), Card::new(Fault::None));
    let mut virtio = started(&[card, idle]);
    let device = virtio.take(1).unwrap();
    assert!(virtio.enable_queue(device, 0, MEMORY));
    virtio.start(device);
    card.interrupt(3);
    idle.interrupt(1);
    assert!(!Component::<()>::arm(&mut virtio), "somebody is to look at what changed");
    assert_eq!(card.value(register::INTERRUPT_STATUS), 0);
    assert_eq!(idle.value(register::INTERRUPT_STATUS), 1, "nobody uses it");
    assert!(Component::<()>::arm(&mut virtio), "once");
    assert!(virtio.config_changed(device), "and what it told is not forgotten");
}

#[test]
fn a_line_is_let_go_also_when_another_reason_comes_meanwhile() {
    let card = Card::new(Fault::None);
    let mut virtio = started(&[card]);
    let device = virtio.take(1).unwrap();
    assert!(virtio.enable_queue(device, 0, MEMORY));
    virtio.start(device);
    card.fault.set(Fault::ChangesMeanwhile);
    card.interrupt(1);
    assert!(!Component::<()>::arm(&mut virtio));
    assert_eq!(card.value(register::INTERRUPT_STATUS), 0);
    assert!(virtio.config_changed(device));
    card.fault.set(Fault::NeverQuiet);
    card.interrupt(1);
    assert!(Component::<()>::arm(&mut virtio), "it is not asked for ever");
    card.fault.set(Fault::Gone);
    assert!(Component::<()>::arm(&mut virtio), "nor is one that is gone");
}

#[test]
fn what_was_never_taken_answers_nothing() {
    let mut virtio = started(&[]);
    let nobody = VirtioDevice(3);
    virtio.notify(nobody, 0);
    virtio.start(nobody);
    assert!(!virtio.accept(nobody, 0) && !virtio.enable_queue(nobody, 0, MEMORY));
    assert!(!virtio.fail(nobody) && !virtio.interrupts(nobody) && virtio.needs_reset(nobody));
    assert_eq!((virtio.features(nobody), virtio.queues(nobody)), (0, 0));
}
