//! The driver against a device in software that gives noise, or misbehaves on order.

extern crate std;

use super::*;
use std::boxed::Box;
use std::cell::Cell;
use std::thread_local;
use std::vec::Vec;
use waitless::device::{Dma, Platform};
use waitless::{QueueMemory, Random, VirtioDevice, testing};

/// How the device differs from a good one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    None,
    /// It gives a byte at a time.
    Stingy,
    /// It gives five bytes at a time: every kind of boundary.
    Fives,
    Legacy,
    /// It works as the platform says, or not at all.
    Insists,
    Disagrees,
    NoQueue,
    /// It never answers.
    Silent,
    /// It fails after the first request.
    Dies,
    /// It says that it wrote nothing.
    WritesNothing,
    /// It says that it wrote more than it was given.
    WritesMore,
    /// It returns a descriptor that it does not have.
    OtherEntry,
    /// It returns two buffers for one.
    ReturnsTwo,
    /// All its bytes are equal.
    Stuck,
    NoReset,
}

const WORDS: usize = 128;
const ADDRESS: u64 = 0x10_0000;

thread_local! {
    static MEMORY: Cell<Option<&'static [Cell<u64>]>> = const { Cell::new(None) };
}

/// A platform whose memory the device model can reach.
struct Board;

impl Platform for Board {
    fn name(&self) -> &'static str {
        "test"
    }

    fn dma(&self, length: usize) -> Option<Dma> {
        assert!(length <= 8 * WORDS);
        MEMORY.get().map(|memory| Dma::over(memory, ADDRESS))
    }
}

/// An entropy source, and the registers behind the port.
struct Model {
    fault: Fault,
    present: bool,
    memory: Dma,
    queue: Option<QueueMemory>,
    noise: Random,
    live: bool,
    failed: bool,
    answered: u16,
    looks: u32,
    lengths: Vec<usize>,
}

impl Model {
    fn new(fault: Fault) -> Self {
        let cells: &'static [Cell<u64>] = Box::leak((0..WORDS).map(|_| Cell::new(0)).collect());
        MEMORY.set(Some(cells));
        Self {
            fault,
            present: true,
            memory: Dma::over(cells, ADDRESS),
            queue: None,
            noise: Random::new([3; 32]),
            live: false,
            failed: false,
            answered: 0,
            looks: 0,
            lengths: Vec::new(),
        }
    }

    fn answer(&mut self) {
        let queue = self.queue.expect("a queue");
        let at = |address: u64| (address - ADDRESS) as usize;
        assert_eq!(self.memory.read16(at(queue.available)), 1, "no interrupts wanted");
        let index = self.memory.read16(at(queue.available) + 2);
        assert_eq!(index, self.answered.wrapping_add(1), "one buffer at a time");
        let entry = usize::from(self.answered % queue.size);
        let descriptor = self.memory.read16(at(queue.available) + 4 + 2 * entry);
        let place = at(queue.descriptors) + 16 * usize::from(descriptor);
        let (buffer, rest) = (self.memory.read64(place), self.memory.read64(place + 8));
        let length = rest as u32 as usize;
        assert_eq!(rest >> 32, 2, "writable, and no chain");
        let count = match self.fault {
            Fault::Stingy => 1,
            Fault::Fives => length.min(5),
            _ => length,
        };
        self.lengths.push(length);
        for offset in (0..count).step_by(2) {
            let pair = if self.fault == Fault::Stuck { 0x0707 } else { self.noise.u32() as u16 };
            self.memory.write16(at(buffer) + offset, pair);
        }
        let (id, said) = match self.fault {
            Fault::WritesNothing => (0, 0),
            Fault::WritesMore => (0, length as u32 + 1),
            Fault::OtherEntry => (1, count as u32),
            _ => (0, count as u32),
        };
        self.memory.write32(at(queue.used) + 4 + 8 * entry, id);
        self.memory.write32(at(queue.used) + 8 + 8 * entry, said);
        self.answered = index.wrapping_add(u16::from(self.fault == Fault::ReturnsTwo));
        self.memory.publish16(at(queue.used) + 2, self.answered);
    }
}

impl VirtioPort for Model {
    fn take(&mut self, kind: u16) -> Option<VirtioDevice> {
        (kind == 4 && core::mem::take(&mut self.present)).then_some(VirtioDevice(0))
    }
    fn features(&mut self, _: VirtioDevice) -> u128 {
        match self.fault {
            Fault::Legacy => 1 << 28,
            Fault::Insists => 1 << 33 | 1 << 32 | 1 << 29,
            _ => 1 << 32 | 1 << 29,
        }
    }
    fn accept(&mut self, _: VirtioDevice, features: u128) -> bool {
        let insists = self.fault == Fault::Insists;
        assert_eq!(features & !(1 << 33), 1 << 32);
        (features & 1 << 33 != 0) == insists && self.fault != Fault::Disagrees
    }
    fn queues(&mut self, _: VirtioDevice) -> u16 {
        1
    }
    fn queue_size(&mut self, _: VirtioDevice, queue: u16) -> u16 {
        if queue == 0 && self.fault != Fault::NoQueue { 64 } else { 0 }
    }
    fn enable_queue(&mut self, _: VirtioDevice, _: u16, memory: QueueMemory) -> bool {
        assert!(memory.descriptors.is_multiple_of(16) && memory.used.is_multiple_of(4));
        self.queue = Some(memory);
        true
    }
    fn start(&mut self, _: VirtioDevice) -> bool {
        self.live = true;
        false
    }
    fn fail(&mut self, _: VirtioDevice) -> bool {
        (self.live, self.failed) = (false, true);
        self.fault != Fault::NoReset
    }
    fn interrupts(&self, _: VirtioDevice) -> bool {
        false
    }
    fn needs_reset(&mut self, _: VirtioDevice) -> bool {
        self.looks += 1;
        self.fault == Fault::Dies
    }
    fn config8(&mut self, _: VirtioDevice, _: usize) -> u8 {
        panic!("an entropy source has no configuration")
    }
    fn config16(&mut self, _: VirtioDevice, _: usize) -> u16 {
        panic!("an entropy source has no configuration")
    }
    fn config32(&mut self, _: VirtioDevice, _: usize) -> u32 {
        panic!("an entropy source has no configuration")
    }
    fn notify(&mut self, _: VirtioDevice, queue: u16) {
        assert!(self.live && queue == 0);
        if !matches!(self.fault, Fault::Silent | Fault::Dies) {
            self.answer();
        }
    }
    fn config_changed(&mut self, _: VirtioDevice) -> bool {
        false
    }
}

/// Starts the component on a device with `fault`. What the generator gives then, and the device.
fn started(fault: Fault) -> (VirtioRng, Option<u64>, Model) {
    let mut model = Model::new(fault);
    let mut cx = testing::context_on(&Board, 0, 9);
    cx.random = Random::unseeded();
    let mut rng = VirtioRng::new(&Config {}, &mut cx);
    assert_eq!(rng.init(&mut model, &mut cx), Ok(()), "an image starts without");
    let number = cx.random.is_seeded().then(|| cx.random.u64());
    (rng, number, model)
}

#[test]
fn what_the_device_gives_seeds_the_generator() {
    let (rng, number, model) = started(Fault::None);
    assert!(number.is_some() && model.failed && !model.live, "it is reset afterwards");
    assert_eq!((rng.counters.seeds.get(), rng.counters.drawn.get()), (1, BYTES as u64));
    assert_eq!(model.lengths, [256; BYTES / 256]);
    // The same noise gives the same seed, another gives another.
    assert_eq!(started(Fault::None).1, number);
    assert_ne!(started(Fault::Fives).1, number);
}

#[test]
fn a_device_may_give_little_at_a_time() {
    for fault in [Fault::Stingy, Fault::Fives] {
        let (rng, number, model) = started(fault);
        assert!(number.is_some(), "{fault:?}");
        assert_eq!(rng.counters.drawn.get(), BYTES as u64);
        let least = if fault == Fault::Fives { BYTES % 5 } else { 1 };
        assert_eq!(model.lengths.last(), Some(&least), "no more than is missing");
    }
}

#[test]
fn a_device_may_insist_on_the_platform_s_access() {
    assert!(started(Fault::Insists).1.is_some());
}

#[test]
fn a_device_that_does_not_obey_seeds_nothing_and_is_reset() {
    for fault in [
        Fault::Legacy,
        Fault::Disagrees,
        Fault::NoQueue,
        Fault::Silent,
        Fault::Dies,
        Fault::WritesNothing,
        Fault::WritesMore,
        Fault::OtherEntry,
        Fault::ReturnsTwo,
        Fault::Stuck,
    ] {
        let (rng, number, model) = started(fault);
        assert_eq!((number, model.failed), (None, true), "{fault:?}");
        assert_eq!((rng.counters.seeds.get(), rng.counters.failures.get()), (0, 1), "{fault:?}");
        assert!(model.looks <= 200_000, "bounded");
    }
}

#[test]
fn a_device_that_does_not_reset_has_seeded_all_the_same() {
    assert!(started(Fault::NoReset).1.is_some());
}

#[test]
fn without_a_device_nothing_is_seeded() {
    let mut model = Model::new(Fault::None);
    model.present = false;
    let mut cx = testing::context_on(&Board, 0, 9);
    cx.random = Random::unseeded();
    let mut rng = VirtioRng::new(&Config {}, &mut cx);
    assert_eq!(rng.init(&mut model, &mut cx), Ok(()));
    assert!(!cx.random.is_seeded() && !model.failed);
}
