//! The machine with cores of paper, and devices that a guest of paper drives.

use super::*;
use crate::devices::host_clock;
use crate::layout::{NET, RAM, RNG};
use crate::memory::plain;
use crate::network::Config;
use crate::power::Start;
use std::sync::Arc;

/// A core that runs nothing.
#[derive(Default)]
struct Paper {
    registers: [u64; 31],
    counter: u64,
    has_handler: bool,
    injected: Option<(u64, u64)>,
}

impl Core for Paper {
    fn register(&self, number: u8) -> u64 {
        self.registers[usize::from(number)]
    }

    fn set_register(&mut self, number: u8, value: u64) {
        self.registers[usize::from(number)] = value;
    }

    fn counter(&self) -> u64 {
        self.counter
    }

    fn set_counter(&mut self, address: u64) {
        self.counter = address;
    }

    fn inject(&mut self, syndrome: u64, address: u64) -> bool {
        self.injected = Some((syndrome, address));
        self.has_handler
    }
}

/// Remembers the levels that were set.
#[derive(Clone, Default)]
struct Levels(Arc<Mutex<Vec<(u32, bool)>>>);

impl Lines for Levels {
    fn set(&self, number: u32, level: bool) {
        self.0.lock().unwrap().push((number, level));
    }
}

fn machine() -> (Machine, UnixStream, Levels) {
    let levels = Levels::default();
    let parts = Parts {
        memory: plain(RAM, 1 << 20),
        cores: 2,
        console: Pl011::new(Box::new(Vec::new())),
        clock: Pl031::new(host_clock),
        net: Net::new([2; 6]),
        rng: Rng::new(|bytes| {
            bytes.fill(7);
            true
        }),
        lines: Box::new(levels.clone()),
    };
    let (machine, woken) = Machine::new(parts).unwrap();
    (machine, woken, levels)
}

const WRITE: u64 = 1 << 6;
const VALID: u64 = 0x24 << 26 | 1 << 25 | 1 << 24 | 7;

/// The syndrome of a 32-bit access with register `register`.
fn word(register: u64, write: bool) -> u64 {
    VALID | 2 << 22 | register << 16 | if write { WRITE } else { 0 }
}

#[test]
fn registers_of_devices_are_read_and_written() {
    let (machine, ..) = machine();
    let mut core = Paper { counter: 0x100, ..Paper::default() };
    core.registers[3] = u64::MAX;
    assert_eq!(machine.handle(0, &mut core, word(3, false), 0, NET), Next::Run);
    assert_eq!((core.registers[3], core.counter), (0x7472_6976, 0x104));
    assert_eq!(machine.handle(0, &mut core, word(31, false), 0, NET), Next::Run);
    core.registers[4] = 1;
    assert_eq!(machine.handle(0, &mut core, word(4, true), 0, RNG + 0x70), Next::Run);
    assert_eq!(machine.read(RNG + 0x70, 4), Some(1));
    assert_eq!(machine.handle(0, &mut core, word(31, true), 0, RNG + 0x70), Next::Run);
    assert_eq!(machine.read(RNG + 0x70, 4), Some(0));
    assert_eq!(core.counter, 0x110);
    assert!(machine.read(layout::CLOCK, 4).unwrap() > 1_700_000_000);
}

#[test]
fn the_guest_sees_its_own_mistakes_once_it_can() {
    for (syndrome, expected) in [
        (word(0, false), 0x25),
        (word(0, true), 0x25),
        (0x20 << 26, 0x21),
        (0x18 << 26 | 3 << 20, 0),
    ] {
        for has_handler in [false, true] {
            let (machine, ..) = machine();
            let mut core = Paper { has_handler, counter: 0x100, ..Paper::default() };
            let next = machine.handle(0, &mut core, syndrome, 0xffff_0000, 0x1234);
            assert_eq!(core.counter, 0x100);
            let (syndrome, address) = core.injected.unwrap();
            assert_eq!((syndrome >> 26, address), (expected, 0xffff_0000));
            assert_eq!(next, if has_handler { Next::Run } else { Next::Ended });
            assert_eq!(machine.power.is_over(), !has_handler);
        }
    }
}

#[test]
fn what_cannot_be_gone_on_with_ends_the_machine_and_says_why() {
    for (syndrome, part) in
        [(0x24 << 26, "accesses 0xa000000 by an instruction"), (0x3c << 26, "of class 0x3c")]
    {
        let (machine, ..) = machine();
        let mut core = Paper { has_handler: true, counter: 0x4008_0000, ..Paper::default() };
        assert_eq!(machine.handle(0, &mut core, syndrome, 0, NET), Next::Ended);
        let End::Broken(why) = machine.power.wait_for_end() else { panic!("not broken") };
        assert!(why.contains(part) && why.contains("at 0x40080000"), "{why}");
    }
}

#[test]
fn waiting_debug_registers_and_caches_are_no_events() {
    let (machine, ..) = machine();
    let mut core = Paper::default();
    core.registers[9] = 5;
    // `wfi`, `wfe`, `msr oslar_el1, x9`, `mrs x9, oslsr_el1`, and a cache line of a device.
    let lock = 0x18 << 26 | 2 << 20 | 4 << 17 | 1 << 10 | 9 << 5;
    let syndromes = [1 << 26, 1 << 26 | 1, lock, lock | 1 << 1 | 1, 0x24 << 26 | 1 << 8];
    for (count, syndrome) in (1..).zip(syndromes) {
        assert_eq!(machine.handle(0, &mut core, syndrome, 0, NET), Next::Run);
        assert_eq!(core.counter, 4 * count);
    }
    assert_eq!(core.registers[9], 0);
}

#[test]
fn firmware_is_called_either_way_and_the_counter_is_right() {
    let (machine, ..) = machine();
    for (class, counter) in [(0x16, 0x100), (0x17, 0x104)] {
        let mut core = Paper { counter: 0x100, ..Paper::default() };
        core.registers[0] = 0x8400_0000;
        assert_eq!(machine.handle(0, &mut core, class << 26, 0, 0), Next::Run);
        assert_eq!((core.registers[0], core.counter), (0x1_0001, counter));
    }
    let mut core = Paper::default();
    core.registers[..4].copy_from_slice(&[0xc400_0003, 1, RAM, 9]);
    assert_eq!(machine.handle(0, &mut core, 0x16 << 26, 0, 0), Next::Run);
    assert_eq!(core.registers[0], 0);
    assert_eq!(machine.power.wait_for_start(1), Some(Start { entry: RAM, context: 9 }));
    core.registers[0] = 0x8400_0002;
    assert_eq!(machine.handle(1, &mut core, 0x16 << 26, 0, 0), Next::Off);
    core.registers[0] = 0x8400_0008;
    assert_eq!(machine.handle(0, &mut core, 0x16 << 26, 0, 0), Next::Ended);
    assert_eq!(machine.power.wait_for_end(), End::Status(0));
}

#[test]
fn the_way_out_ends_the_machine_with_a_status() {
    let (machine, ..) = machine();
    let mut core = Paper::default();
    core.registers[1] = 3 << 16 | 0x3333;
    assert_eq!(machine.handle(0, &mut core, word(1, true), 0, layout::FINISHER), Next::Ended);
    assert_eq!(machine.power.wait_for_end(), End::Status(3));
}

/// Brings a device up whose queues lie behind each other from `RAM` on, 8 entries each.
fn bring_up(machine: &Machine, at: u64, queues: u32) {
    let write = |offset, value: u32| assert!(machine.write(at + offset, 4, value.into()));
    write(0x70, 3);
    write(0x24, 1);
    write(0x20, 1);
    write(0x70, 11);
    for queue in 0..queues {
        write(0x30, queue);
        write(0x38, 8);
        let page = RAM as u32 + queue * 0x1000;
        for (offset, part) in [(0x80, 0), (0x90, 0x400), (0xa0, 0x800)] {
            write(offset, page + part);
        }
        write(0x44, 1);
    }
    write(0x70, 15);
}

/// Makes descriptor 0 of a queue available for the first time.
fn offer(machine: &Machine, queue: u64, address: u64, length: u32, flags: u16) {
    let page = RAM + queue * 0x1000;
    machine.memory.write(page, &address.to_le_bytes()).unwrap();
    let rest = u64::from(length) | u64::from(flags) << 32;
    machine.memory.write(page + 8, &rest.to_le_bytes()).unwrap();
    machine.memory.publish(page + 0x402, 1).unwrap();
}

#[test]
fn entropy_comes_at_once_and_the_line_falls_when_that_was_seen() {
    let (machine, _, levels) = machine();
    bring_up(&machine, RNG, 1);
    offer(&machine, 0, RAM + 0x8000, 16, 2);
    assert!(machine.write(RNG + 0x50, 4, 0));
    assert_eq!(machine.memory.array(RAM + 0x8000), Ok([7; 16]));
    let number = layout::RNG_INTERRUPT;
    assert_eq!(levels.0.lock().unwrap().last(), Some(&(number, true)));
    assert_eq!(machine.read(RNG + 0x60, 4), Some(1));
    machine.write(RNG + 0x64, 4, 1);
    assert_eq!(levels.0.lock().unwrap().last(), Some(&(number, false)));
}

#[test]
fn the_network_sleeps_until_the_guest_sends_and_ends_with_the_machine() {
    let (machine, woken, levels) = machine();
    let mut network = Network::new(&Config::default()).unwrap();
    std::thread::scope(|scope| {
        let serving = scope.spawn(|| machine.serve_network(&mut network, woken));
        bring_up(&machine, NET, 2);
        offer(&machine, 0, RAM + 0x8000, 2000, 2);
        // An ARP request for the gateway.
        let mut request = vec![0; 12];
        request.extend([0xff; 6]);
        request.extend([2; 6]);
        request.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
        request.extend([2; 6]);
        request.extend([10, 0, 2, 15, 0, 0, 0, 0, 0, 0, 10, 0, 2, 2]);
        machine.memory.write(RAM + 0xa000, &request).unwrap();
        offer(&machine, 1, RAM + 0xa000, request.len() as u32, 0);
        machine.write(NET + 0x50, 4, 1);
        let late = Instant::now() + Duration::from_secs(30);
        while machine.memory.acquire(RAM + 0x802) != Ok(1) {
            assert!(Instant::now() < late, "no answer");
            std::thread::sleep(Duration::from_millis(1));
        }
        // Behind virtio's header: to the guest, from the gateway, ARP, an answer.
        let frame: [u8; 34] = machine.memory.array(RAM + 0x8000).unwrap();
        assert_eq!(frame[12..18], [2; 6]);
        assert_eq!(frame[24..34], [8, 6, 0, 1, 8, 0, 6, 4, 0, 2]);
        machine.end(End::Interrupted);
        serving.join().unwrap().unwrap();
    });
    assert!(levels.0.lock().unwrap().contains(&(layout::NET_INTERRUPT, true)));
}
