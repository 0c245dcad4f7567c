//! Several cores on one card: its queue pairs, what the device is told, and what becomes of it all.

use super::model::{ADDRESS, ALL, Side};
use super::*;
use crate::pairs::Fate;
use crate::wire::{command, config};
use std::cell::RefCell;
use std::collections::BTreeMap;
use waitless::cores::flow::{FLOWS, KEY, flow};
use waitless::device::{Dma, Doorbell, Registers as Register};
use waitless::{QueueMemory, VirtioDevice};

std::thread_local! {
    /// The memory of all queues, as devices reach it.
    static MEMORY: RefCell<Vec<Dma>> = const { RefCell::new(Vec::new()) };
}

/// The memory around `address`.
fn memory_at(address: u64) -> Dma {
    MEMORY.with_borrow(|all| {
        let holds =
            |dma: &&Dma| (dma.address()..dma.address() + dma.length() as u64).contains(&address);
        let found = all.iter().find(holds).expect("memory that a driver was given");
        found.part(0, found.length()).unwrap()
    })
}

/// A platform whose memory other cores can have.
struct Shared;

impl Platform for Shared {
    fn name(&self) -> &'static str {
        "test"
    }

    fn dma(&self, length: usize) -> Option<Dma> {
        let memory = Dma::leak(length.next_multiple_of(64));
        MEMORY.with_borrow_mut(|all| all.push(memory.part(0, memory.length()).unwrap()));
        Some(memory)
    }
}

/// How a device takes commands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Yes,
    No,
    Never,
}

/// A device with several pairs.
struct Many {
    pairs: u16,
    offered: u128,
    answer: Answer,
    queues: BTreeMap<u16, QueueMemory>,
    bells: BTreeMap<u16, Register>,
    control: Option<Side>,
    commands: Vec<Vec<u8>>,
    failed: bool,
    /// From this queue on, doorbells are where no other core reaches them.
    hidden: u16,
    link_up: bool,
    changed: bool,
}

impl Many {
    fn new(pairs: u16, more: u128, answer: Answer) -> Self {
        Self {
            pairs,
            offered: ALL | feature::CTRL_VQ | feature::MQ | more,
            answer,
            queues: BTreeMap::new(),
            bells: BTreeMap::new(),
            control: None,
            commands: Vec::new(),
            failed: false,
            hidden: u16::MAX,
            link_up: true,
            changed: false,
        }
    }

    fn run_command(&mut self) {
        let place = self.queues[&(2 * self.pairs)];
        let memory = || memory_at(place.descriptors);
        let side = self.control.get_or_insert_with(|| Side::over(memory(), place, false));
        let Some((head, pieces)) = side.next().filter(|_| self.answer != Answer::Never) else {
            return;
        };
        let [asked, answer] = pieces[..] else { panic!("{pieces:?}") };
        assert!(!asked.writable && answer.writable && answer.length == 1);
        let memory = memory();
        let at = |address: u64| (address - memory.address()) as usize;
        let bytes = (0..asked.length as usize).map(|index| {
            let word = memory.read32(at(asked.address) + index / 4 * 4).to_le_bytes();
            word[index % 4]
        });
        self.commands.push(bytes.collect());
        memory.write32(at(answer.address), u32::from(self.answer == Answer::No));
        side.give_back(head.into(), 1);
    }
}

impl VirtioPort for Many {
    fn take(&mut self, kind: u16) -> Option<VirtioDevice> {
        (kind == 1).then_some(VirtioDevice(0))
    }
    fn features(&mut self, _: VirtioDevice) -> u128 {
        self.offered
    }
    fn accept(&mut self, _: VirtioDevice, features: u128) -> bool {
        features & !self.offered == 0
    }
    fn queues(&mut self, _: VirtioDevice) -> u16 {
        2 * self.pairs + 1
    }
    fn queue_size(&mut self, _: VirtioDevice, queue: u16) -> u16 {
        if queue <= 2 * self.pairs { 64 } else { 0 }
    }
    fn enable_queue(&mut self, _: VirtioDevice, queue: u16, memory: QueueMemory) -> bool {
        self.queues.insert(queue, memory).is_none()
    }
    fn start(&mut self, _: VirtioDevice) -> bool {
        true
    }
    fn fail(&mut self, _: VirtioDevice) -> bool {
        self.failed = true;
        true
    }
    fn interrupts(&self, _: VirtioDevice) -> bool {
        true
    }
    fn needs_reset(&mut self, _: VirtioDevice) -> bool {
        self.failed
    }
    fn config8(&mut self, _: VirtioDevice, offset: usize) -> u8 {
        if offset == config::KEY_LENGTH { 40 } else { ADDRESS[offset - config::MAC] }
    }
    fn config16(&mut self, _: VirtioDevice, offset: usize) -> u16 {
        match offset {
            config::STATUS => self.link_up.into(),
            config::MTU => 1500,
            config::PAIRS => self.pairs,
            config::TABLE_LENGTH => 128,
            _ => panic!("no such field: {offset}"),
        }
    }
    fn config32(&mut self, _: VirtioDevice, offset: usize) -> u32 {
        assert_eq!(offset, config::HASH_TYPES);
        0x3f
    }
    fn notify(&mut self, _: VirtioDevice, queue: u16) {
        if queue == 2 * self.pairs {
            self.run_command();
        }
    }
    fn doorbell(&mut self, _: VirtioDevice, queue: u16) -> Option<Doorbell> {
        if queue >= self.hidden {
            return None;
        }
        let register = Register::leak(8);
        self.bells.insert(queue, register.part(0, 8)?);
        Some(Doorbell::narrow(register, queue))
    }
    fn config_changed(&mut self, _: VirtioDevice) -> bool {
        core::mem::take(&mut self.changed)
    }
}

/// The driver on one core.
struct Core {
    net: VirtioNet,
    cx: Context,
}

impl Core {
    fn receive(&mut self, device: &mut Many) {
        self.net.receive(device, &mut self.cx);
    }

    fn transmit(&mut self, device: &mut Many) {
        self.net.transmit(device, &mut self.cx);
    }
}

/// All cores' drivers on `device`, the first one's first.
fn bring_up(device: &mut Many, cores: usize) -> Vec<Core> {
    let contexts = testing::contexts(cores, &Shared, PACKETS, 1);
    contexts
        .map(|mut cx| {
            let mut net = VirtioNet::new(&CONFIG, &mut cx);
            net.init(device, &mut cx).unwrap();
            Core { net, cx }
        })
        .collect()
}

const PACKETS: usize = 128;

fn sweep(cores: &mut [Core], device: &mut Many) {
    for core in cores {
        core.receive(device);
        core.transmit(device);
    }
}

fn posted(cores: &[Core]) -> Vec<u64> {
    cores.iter().map(|core| core.net.counters.posted.get()).collect()
}

#[test]
fn each_core_gets_a_pair_that_interrupts_it_and_rings_by_itself() {
    let mut device = Many::new(4, 0, Answer::Yes);
    let mut cores = bring_up(&mut device, 3);
    assert_eq!(device.commands, [[command::MQ, command::PAIRS_SET, 3, 0]]);
    let places: Vec<_> = device.queues.iter().map(|(queue, place)| (*queue, place.core)).collect();
    assert_eq!(places, [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2), (5, 2), (8, 0)]);
    assert!(posted(&cores).iter().all(|posted| *posted == 32), "{:?}", posted(&cores));
    for (number, core) in cores.iter_mut().enumerate() {
        assert_eq!((core.net.mac(), core.net.mtu()), (Mac(ADDRESS), 1500));
        assert!(core.net.link_up() && core.net.leads() == (number == 0));
        assert!(core.net.offloads().segmentation > 0, "it has a queue of its own");
        let mut frame = core.cx.packet().unwrap();
        frame.append(&[number as u8; 60]).unwrap();
        core.net.send(frame).unwrap();
    }
    sweep(&mut cores, &mut device);
    for (queue, place) in device.queues.iter().filter(|(queue, _)| **queue % 2 == 1) {
        let mut side = Side::over(memory_at(place.descriptors), *place, true);
        // The sides of the test begin where the driver's indices do.
        assert!(side.next().is_some(), "a frame in queue {queue}");
    }
    assert_eq!(device.bells[&3].read16(0), 3, "core 1 rang for itself");
    assert_eq!(device.bells[&5].read16(0), 5);
}

#[test]
fn a_device_that_can_spread_flows_is_told_how_the_cores_do() {
    let mut device = Many::new(2, feature::RSS, Answer::Yes);
    let cores = bring_up(&mut device, 3);
    let [asked] = &device.commands[..] else { panic!("one command") };
    assert_eq!(asked[..2], [command::MQ, command::RSS_CONFIG]);
    assert_eq!(asked[2..6], command::HASHES.to_le_bytes());
    assert_eq!(asked[6..10], [FLOWS as u8 - 1, 0, 0, 0]);
    for (number, entry) in asked[10..266].chunks(2).enumerate() {
        // Core 2 has no pair, and shares that of core 0.
        let home = cores[0].cx.cores().home(number as u8) % 2;
        assert_eq!(entry, [home as u8, 0]);
    }
    assert_eq!(asked[266..269], [2, 0, 40]);
    assert_eq!(asked[269..], KEY.to_be_bytes().repeat(20));
}

#[test]
fn a_device_that_does_not_obey_keeps_to_one_pair_and_all_cores_send_over_it() {
    for answer in [Answer::No, Answer::Never] {
        let mut device = Many::new(2, 0, answer);
        let mut cores = bring_up(&mut device, 2);
        assert_eq!(posted(&cores), [32, 0]);
        assert_eq!(cores[1].net.offloads().segmentation, 0, "no chain crosses cores");
        assert!(cores[1].net.link_up() && cores[1].net.room() > 0);
        let mut frame = cores[1].cx.packet().unwrap();
        frame.append(&[7; 60]).unwrap();
        cores[1].net.send(frame).unwrap();
        assert!(!Component::<Many>::arm(&mut cores[0].net), "there is something to send");
        assert_eq!(cores[1].cx.pool().available(), PACKETS - 1, "one is lent");
        sweep(&mut cores, &mut device);
        assert_eq!(cores[0].net.counters.sent.get(), 1);
        assert_eq!(cores[1].cx.pool().available(), PACKETS, "and given back");
    }
}

#[test]
fn pairs_whose_doorbells_nobody_else_can_ring_are_left_alone() {
    for hidden in [2, 5] {
        let mut device = Many::new(4, feature::RSS, Answer::Yes);
        device.hidden = hidden;
        let mut cores = bring_up(&mut device, 4);
        assert!(device.commands.is_empty(), "it keeps to the first pair");
        assert_eq!(posted(&cores), [32, 0, 0, 0]);
        let mut frame = cores[3].cx.packet().unwrap();
        frame.append(&[7; 60]).unwrap();
        cores[3].net.send(frame).unwrap();
        sweep(&mut cores, &mut device);
        assert_eq!(cores[0].net.counters.sent.get(), 1);
    }
}

/// A change reaches a core that is about to sleep, between its sweep and its last look.
#[test]
fn no_core_sleeps_over_a_change_of_the_link() {
    let mut device = Many::new(2, 0, Answer::Yes);
    let mut cores = bring_up(&mut device, 2);
    sweep(&mut cores, &mut device);
    for link_up in [false, true] {
        assert!(Component::<Many>::arm(&mut cores[1].net));
        (device.link_up, device.changed) = (link_up, true);
        cores[0].net.check_at = Instant::ZERO;
        cores[0].receive(&mut device);
        assert_eq!(cores[1].net.link_up(), link_up);
        assert!(!Component::<Many>::arm(&mut cores[1].net), "it has not seen that");
        sweep(&mut cores, &mut device);
    }
}

#[test]
fn one_core_or_one_pair_asks_for_nothing() {
    for (pairs, cores) in [(4, 1), (1, 4)] {
        let mut device = Many::new(pairs, feature::RSS, Answer::Yes);
        assert_eq!(bring_up(&mut device, cores).len(), cores);
        assert!(device.commands.is_empty());
        assert_eq!(device.queues.len(), 2);
    }
}

#[test]
fn frames_of_another_cores_flow_are_steered_to_it() {
    let mut device = Many::new(1, 0, Answer::Yes);
    let mut cores = bring_up(&mut device, 2);
    let mut frame = vec![0; 12];
    frame.extend([2; 12]);
    frame.extend([8, 0, 0x45, 0, 0, 48, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1]);
    let ends = |port| flow([10, 0, 0, 2].into(), port, [10, 0, 0, 1].into(), 7);
    let port = (0..).find(|port| cores[0].cx.cores().home(ends(*port)) == 1).unwrap();
    frame.extend([port.to_be_bytes(), 7u16.to_be_bytes(), [0, 8], [0, 0]].concat());
    let mut side = {
        let place = device.queues[&0];
        Side::over(memory_at(place.descriptors), place, true)
    };
    let mut arrive = |net: &mut VirtioNet| {
        let (head, pieces) = side.next().unwrap();
        let queue = &mut net.card.as_mut().unwrap().receive;
        let packet = queue.lent().find(|packet| packet.dma_address() == pieces[0].address).unwrap();
        packet.bytes_mut()[..frame.len()].copy_from_slice(&frame);
        side.give_back(head.into(), frame.len() as u32);
    };
    arrive(&mut cores[0].net);
    cores[0].receive(&mut device);
    assert!(cores[0].net.recv().is_none(), "it is not for this core");
    cores[0].transmit(&mut device);
    assert!(!Component::<Many>::arm(&mut cores[1].net), "it waits for that one");
    cores[1].receive(&mut device);
    let arrived = cores[1].net.recv().expect("steered");
    assert_eq!(arrived.bytes(), &frame[12..]);
    assert_eq!(cores[0].net.counters.received.get(), 1);
    // While the image ends, nothing is begun that another core might not finish.
    cores[0].cx.cores().end();
    arrive(&mut cores[0].net);
    cores[0].receive(&mut device);
    assert!(cores[0].net.recv().is_none());
    assert_eq!(cores[0].net.counters.received.get(), 1);
}

#[test]
fn a_device_that_is_stopped_is_stopped_for_all_cores() {
    let mut device = Many::new(2, 0, Answer::Yes);
    let mut cores = bring_up(&mut device, 2);
    // Core 1 sees an entry come back that the device does not have.
    let place = device.queues[&2];
    let mut side = Side::over(memory_at(place.descriptors), place, true);
    side.give_back(9_999, 60);
    cores[1].receive(&mut device);
    assert!(cores[1].net.recv().is_none());
    cores[1].receive(&mut device);
    assert!(!device.failed, "the first core is to stop it");
    assert!(!Component::<Many>::arm(&mut cores[0].net), "and must not sleep");
    cores[0].receive(&mut device);
    assert!(!Component::<Many>::arm(&mut cores[1].net), "nor must this one");
    assert!(device.failed && cores[1].net.shared.fate() == Fate::Stopped);
    sweep(&mut cores, &mut device);
    for core in &mut cores {
        assert!(core.net.card.is_none() && !core.net.link_up());
        assert_eq!(core.cx.pool().available(), PACKETS);
        let frame = core.cx.packet().unwrap();
        assert!(core.net.send(frame).is_ok() && Component::<Many>::arm(&mut core.net));
        assert_eq!(core.net.counters.no_device.get(), 1);
    }
}

#[test]
fn what_others_gave_a_device_to_send_that_fails_goes_back_to_them() {
    let mut device = Many::new(1, 0, Answer::Yes);
    let mut cores = bring_up(&mut device, 2);
    let mut frame = cores[1].cx.packet().unwrap();
    frame.append(&[7; 60]).unwrap();
    cores[1].net.send(frame).unwrap();
    device.failed = true;
    sweep(&mut cores, &mut device);
    sweep(&mut cores, &mut device);
    assert!(cores[0].net.card.is_none());
    for core in &mut cores {
        assert!(Component::<Many>::arm(&mut core.net));
        assert_eq!(core.cx.pool().available(), PACKETS);
    }
    assert_eq!(cores[0].net.counters.no_device.get(), 1);
}
