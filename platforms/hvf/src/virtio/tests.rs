//! The devices with a driver that does what no driver may do. What real drivers do is tested with
//! the real ones, in `tests/tests/hvf/`.

use super::mmio::{Effect, Transport, status};
use super::net::{FRAMES_MAX, HEADER, Net, feature as net_feature};
use super::queue::{Fault, SIZE_MAX};
use super::rng::Rng;
use super::*;
use crate::memory::{Outside, plain};

const BASE: u64 = 0x1000;
const SIZE: u16 = 8;
/// Where the parts of the first queue lie, each queue having a page, and where buffers do.
const DESCRIPTORS: u64 = BASE;
const AVAILABLE: u64 = BASE + 0x400;
const USED: u64 = BASE + 0x800;
const PAGE: u64 = 0x1000;
const BUFFERS: u64 = BASE + 0x4000;
const END: u64 = BASE + 0x40000;

const MAGIC: u64 = 0x00;
const QUEUE_SELECT: u64 = 0x30;
const STATUS: u64 = 0x70;

/// A guest that writes registers and rings by hand.
struct Guest<D> {
    memory: Memory,
    transport: Transport<D>,
    /// Chains made available in each queue.
    available: [u16; 2],
}

impl<D: Device> Guest<D> {
    /// A device that is live with the features wanted.
    fn new(device: D, features: u64) -> Self {
        let memory = plain(BASE, (END - BASE) as usize);
        let mut guest = Self { memory, transport: Transport::new(device), available: [0; 2] };
        assert!(guest.bring_up(features), "the device agrees");
        guest
    }

    fn write(&mut self, offset: u64, value: u32) -> Effect {
        self.transport.write(&self.memory, offset, 4, value.into())
    }

    fn read(&mut self, offset: u64) -> u32 {
        self.transport.read(offset, 4) as u32
    }

    /// As section 3.1.1 has it. Whether the device agreed.
    fn bring_up(&mut self, features: u64) -> bool {
        self.write(STATUS, 0);
        self.write(STATUS, 3);
        let features = features | feature::VERSION_1;
        for (select, half) in [(0, features as u32), (1, (features >> 32) as u32)] {
            self.write(0x24, select);
            self.write(0x20, half);
        }
        self.write(STATUS, 11);
        if self.read(STATUS) & status::FEATURES_OK == 0 {
            return false;
        }
        for queue in 0..D::QUEUES as u64 {
            let page = queue * PAGE;
            self.place(queue as u32, SIZE, [DESCRIPTORS + page, AVAILABLE + page, USED + page]);
            assert_eq!(self.read(0x44), 1);
        }
        self.write(STATUS, 15);
        true
    }

    fn place(&mut self, queue: u32, size: u16, addresses: [u64; 3]) {
        self.write(QUEUE_SELECT, queue);
        self.write(0x38, size.into());
        for (offset, address) in [0x80, 0x90, 0xa0].into_iter().zip(addresses) {
            self.write(offset, address as u32);
            self.write(offset + 4, (address >> 32) as u32);
        }
        self.write(0x44, 1);
    }

    /// Writes descriptor `index` of a queue.
    fn describe(&self, queue: u64, index: u16, address: u64, length: u32, flags: u16, next: u16) {
        let at = DESCRIPTORS + queue * PAGE + 16 * u64::from(index);
        let rest = u64::from(length) | u64::from(flags) << 32 | u64::from(next) << 48;
        self.memory.write(at, &address.to_le_bytes()).unwrap();
        self.memory.write(at + 8, &rest.to_le_bytes()).unwrap();
    }

    /// Makes the chain that begins at `head` available.
    fn offer(&mut self, queue: usize, head: u16) {
        let index = self.available[queue];
        let ring = AVAILABLE + queue as u64 * PAGE;
        let slot = u64::from(index % SIZE);
        self.memory.write(ring + 4 + 2 * slot, &head.to_le_bytes()).unwrap();
        self.available[queue] = index.wrapping_add(1);
        self.memory.publish(ring + 2, index.wrapping_add(1)).unwrap();
    }

    fn used(&self, queue: u64) -> u16 {
        self.memory.acquire(USED + queue * PAGE + 2).unwrap()
    }

    fn serve(&mut self) -> Result<bool, Fault> {
        self.transport.serve(&self.memory)
    }

    /// The device is stopped, says so, and works again after a reset.
    fn expect_stopped(&mut self, fault: Fault) {
        assert_eq!(self.transport.fault(), Some(fault));
        assert_ne!(self.read(STATUS) & status::NEEDS_RESET, 0);
        assert_eq!(self.read(0x60) & 2, 2, "the driver is told");
        assert!(self.transport.line());
        assert_eq!(self.serve(), Ok(false), "stopped");
        self.write(STATUS, 15);
        assert_ne!(self.read(STATUS) & status::NEEDS_RESET, 0, "only a reset helps");
        assert!(self.bring_up(0));
        assert_eq!((self.transport.fault(), self.transport.line()), (None, false));
    }
}

fn sevens(bytes: &mut [u8]) -> bool {
    bytes.fill(7);
    true
}

fn net() -> Guest<Net> {
    Guest::new(Net::new([2; 6]), net_feature::CSUM | net_feature::HOST_TSO4)
}

fn rng() -> Guest<Rng> {
    Guest::new(Rng::new(sevens), 0)
}

#[test]
fn a_device_says_what_it_is_and_what_it_offers() {
    let mut guest = net();
    assert_eq!((guest.read(MAGIC), guest.read(4), guest.read(8)), (0x7472_6976, 2, 1));
    guest.write(0x14, 0);
    let low = guest.read(0x10);
    guest.write(0x14, 1);
    assert_eq!((low, guest.read(0x10)), (0x2001_0823, 1));
    guest.write(0x14, 2);
    assert_eq!(guest.read(0x10), 0);
    assert_eq!((guest.read(0xb0), guest.read(0xbc)), (u32::MAX, u32::MAX), "nothing is shared");
    assert_eq!(guest.transport.read(0x100, 1), 2);
    assert_eq!(guest.transport.read(0x106, 2), 1, "the link is up");
    assert_eq!(guest.transport.read(0x1f8, 8), 0);
    assert_eq!(guest.transport.read(MAGIC, 2), 0, "registers are 32 bits wide");
    assert_eq!(guest.transport.write(&guest.memory, STATUS, 1, 0), Effect::None);
    assert_eq!(guest.read(STATUS), 15);
}

#[test]
fn what_was_not_offered_is_not_agreed_to() {
    let mut guest = net();
    assert!(!guest.bring_up(1 << 15));
    guest.write(STATUS, 0);
    guest.write(STATUS, 3);
    guest.write(STATUS, 11);
    assert_eq!(guest.read(STATUS) & status::FEATURES_OK, 0, "nothing older than virtio 1.0");
}

#[test]
fn queues_are_enabled_only_where_they_can_be() {
    let mut guest = rng();
    let sound = [DESCRIPTORS, AVAILABLE, USED];
    for (size, addresses, ready) in [
        (SIZE, sound, 1),
        (SIZE_MAX, [BUFFERS, BUFFERS + 0x8000, BUFFERS + 0x10000], 1),
        (0, sound, 0),
        (3, sound, 0),
        (SIZE_MAX * 2, sound, 0),
        (SIZE, [DESCRIPTORS + 8, AVAILABLE, USED], 0),
        (SIZE, [DESCRIPTORS, AVAILABLE + 1, USED], 0),
        (SIZE, [DESCRIPTORS, AVAILABLE, USED + 2], 0),
        (SIZE, [0, AVAILABLE, USED], 0),
        (SIZE, [DESCRIPTORS, END - 8, USED], 0),
        (SIZE, [DESCRIPTORS, AVAILABLE, u64::MAX - 3], 0),
    ] {
        guest.write(0x44, 0);
        guest.place(0, size, addresses);
        assert_eq!(guest.read(0x44), ready, "{size} {addresses:x?}");
    }
    guest.place(0, SIZE, sound);
    guest.write(0x38, 4);
    guest.describe(0, 5, BUFFERS, 16, 2, 0);
    guest.offer(0, 5);
    assert_eq!(guest.serve(), Ok(false), "a queue in use keeps its size");
    assert_eq!(guest.used(0), 1);
    guest.write(QUEUE_SELECT, 1);
    assert_eq!((guest.read(0x34), guest.read(0x44)), (0, 0), "there is one queue only");
    assert_eq!(guest.write(0x50, 1), Effect::None);
    assert_eq!(guest.write(0x50, 0), Effect::Serve);
}

#[test]
fn random_bytes_are_given_and_counted() {
    let mut guest = rng();
    guest.describe(0, 0, BUFFERS, 10, 3, 1);
    guest.describe(0, 1, BUFFERS + 100, 5000, 2, 0);
    guest.offer(0, 0);
    assert_eq!(guest.serve(), Ok(false));
    assert_eq!(guest.used(0), 1);
    let [id, length] = [4, 8].map(|at| u32::from_le_bytes(guest.memory.array(USED + at).unwrap()));
    assert_eq!((id, length), (0, 4096), "no more than one request gets");
    assert_eq!(guest.memory.array(BUFFERS + 9), Ok([7, 0]));
    assert_eq!(guest.memory.array(BUFFERS + 100), Ok([7]));
    assert!(guest.transport.line());
    guest.write(0x64, 1);
    assert!(!guest.transport.line());
    // A driver that wants no interrupts gets none.
    guest.memory.publish(AVAILABLE, 1).unwrap();
    guest.offer(0, 0);
    guest.serve().unwrap();
    assert!(!guest.transport.line() && guest.used(0) == 2);
}

#[test]
fn a_source_that_fails_gives_nothing() {
    let mut guest = Guest::new(Rng::new(|_| false), 0);
    guest.describe(0, 0, BUFFERS, 10, 2, 0);
    guest.offer(0, 0);
    guest.serve().unwrap();
    assert_eq!(guest.used(0), 1);
    assert_eq!(guest.memory.array(USED + 8), Ok(0u32.to_le_bytes()));
}

/// What a driver does wrong, and what the device says of it.
type Lie = (fn(&mut Guest<Rng>), Fault);

#[test]
fn a_driver_that_lies_about_its_rings_stops_its_device() {
    let lies: [Lie; 4] = [
        (
            |guest| guest.memory.publish(AVAILABLE + 2, SIZE + 1).unwrap(),
            Fault::Available { count: SIZE + 1 },
        ),
        (|guest| guest.offer(0, SIZE), Fault::Descriptor { index: SIZE }),
        (
            |guest| {
                guest.describe(0, 0, BUFFERS, 1, 3, 1);
                guest.describe(0, 1, BUFFERS, 1, 3, 0);
                guest.offer(0, 0);
            },
            Fault::Ring,
        ),
        (
            |guest| {
                guest.describe(0, 0, BUFFERS, 1, 3, 99);
                guest.offer(0, 0);
            },
            Fault::Descriptor { index: 99 },
        ),
    ];
    expect_stopped(&lies);
}

#[test]
fn a_driver_that_lies_about_its_buffers_stops_its_device() {
    let lies: [Lie; 4] = [
        (
            |guest| {
                guest.describe(0, 0, END - 4, 5, 2, 0);
                guest.offer(0, 0);
            },
            Fault::Outside(Outside { address: END - 4, length: 5 }),
        ),
        (
            |guest| {
                guest.describe(0, 0, u64::MAX, u32::MAX, 2, 0);
                guest.offer(0, 0);
            },
            Fault::Outside(Outside { address: u64::MAX, length: u32::MAX as usize }),
        ),
        (
            |guest| {
                guest.describe(0, 0, BUFFERS, 64, 4, 0);
                guest.offer(0, 0);
            },
            Fault::Chain("of indirect descriptors, which it did not agree to"),
        ),
        (
            |guest| {
                guest.describe(0, 0, BUFFERS, 64, 0, 0);
                guest.offer(0, 0);
            },
            Fault::Chain("to be read, of a device that only writes"),
        ),
    ];
    expect_stopped(&lies);
}

fn expect_stopped(lies: &[Lie]) {
    for (lie, fault) in lies {
        let mut guest = rng();
        lie(&mut guest);
        assert_eq!(guest.serve(), Err(*fault));
        guest.memory.publish(AVAILABLE + 2, 0).unwrap();
        guest.expect_stopped(*fault);
    }
}

#[test]
fn chains_of_the_wrong_kind_stop_the_card() {
    for (queue, flags, length, why) in [
        (1, 2, 100, "to be written, among frames to send"),
        (1, 0, HEADER as u32 - 1, "that is no frame: too short or too long"),
        (1, 0, 70_000, "that is no frame: too short or too long"),
        (0, 0, 2000, "to be read, among buffers for frames"),
    ] {
        let mut guest = net();
        guest.transport.device.deliver(vec![0; 60]);
        guest.describe(queue, 0, BUFFERS, length, flags, 0);
        guest.offer(queue as usize, 0);
        assert_eq!(guest.serve(), Err(Fault::Chain(why)));
    }
}

/// The guest sends a frame behind `header`; what arrives.
fn send(guest: &mut Guest<Net>, header: [u8; HEADER], frame: &[u8]) -> Option<Vec<u8>> {
    guest.memory.write(BUFFERS, &header).unwrap();
    guest.memory.write(BUFFERS + 0x100, frame).unwrap();
    guest.describe(1, 0, BUFFERS, HEADER as u32, 1, 1);
    guest.describe(1, 1, BUFFERS + 0x100, frame.len() as u32, 0, 0);
    guest.offer(1, 0);
    guest.serve().unwrap();
    guest.transport.device.sent()
}

/// A header that asks for a checksum or for segments.
fn header(flags: u8, kind: u8, start: u16, offset: u16) -> [u8; HEADER] {
    let ([a, b], [c, d]) = (start.to_le_bytes(), offset.to_le_bytes());
    [flags, kind, 0, 0, 0, 0, a, b, c, d, 0, 0]
}

#[test]
fn checksums_are_completed() {
    let mut guest = net();
    let frame: Vec<u8> = (0..61).collect();
    assert_eq!(send(&mut guest, header(0, 0, 0, 0), &frame), Some(frame.clone()));
    let summed = send(&mut guest, header(1, 0, 34, 16), &frame).unwrap();
    // The part is summed with its checksum, and what had been in the checksum's place stands for
    // what is summed beside; that is all ones then (RFC 1071). The odd byte is padded.
    let words = summed[34..].chunks(2).map(|word| match *word {
        [high, low] => u32::from(high) << 8 | u32::from(low),
        _ => u32::from(word[0]) << 8,
    });
    let sum = words.sum::<u32>() + (50 << 8 | 51);
    assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
}

#[test]
fn what_was_not_agreed_or_is_not_there_is_not_summed() {
    let mut guest = net();
    let frame: Vec<u8> = (0..61).collect();
    let cases = [
        (header(1, 0, 34, 26), 61),
        (header(1, 0, u16::MAX, u16::MAX), 61),
        (header(0, 1, 0, 0), 61),
        (header(1, 3, 34, 6), 61),
        (header(1, 4, 34, 16), 61),
        (header(0, 0, 0, 0), 13),
    ];
    for (dropped, (header, length)) in (1..).zip(cases) {
        assert_eq!(send(&mut guest, header, &frame[..length]), None, "{header:?}");
        assert_eq!(guest.transport.device.counters().bad_header, dropped);
    }
    assert!(send(&mut guest, header(1, 0x81, 34, 16), &frame).is_some(), "segments are whole");
    let mut plain = Guest::new(Net::new([2; 6]), 0);
    assert_eq!(send(&mut plain, header(1, 0, 34, 16), &frame), None, "not agreed");
    assert_eq!(send(&mut plain, header(1, 1, 34, 16), &frame), None, "not agreed");
}

#[test]
fn frames_wait_for_buffers_and_those_that_do_not_fit_are_dropped() {
    let mut guest = Guest::new(Net::new([2; 6]), net_feature::GUEST_CSUM);
    for byte in 0..3 {
        guest.transport.device.deliver(vec![byte; 1000]);
    }
    guest.serve().unwrap();
    assert_eq!((guest.used(0), guest.transport.line()), (0, false));
    // The first fits into a chain, and no other into what is left.
    guest.describe(0, 0, BUFFERS, 500, 3, 1);
    guest.describe(0, 1, BUFFERS + 500, 512, 2, 0);
    guest.describe(0, 2, BUFFERS + 0x1000, 1011, 2, 0);
    guest.offer(0, 0);
    guest.offer(0, 2);
    guest.serve().unwrap();
    assert_eq!(guest.used(0), 1);
    let header: [u8; HEADER] = guest.memory.array(BUFFERS).unwrap();
    assert_eq!(header, [2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0], "checked, in one buffer");
    let frame: [u8; 1000] = guest.memory.array(BUFFERS + HEADER as u64).unwrap();
    assert_eq!(frame, [0; 1000]);
    let counters = guest.transport.device.counters();
    assert_eq!((counters.received, counters.too_long), (1, 2));
    assert!(guest.transport.line());
}

#[test]
fn a_network_that_does_not_take_frames_stops_the_guest_from_sending() {
    let mut guest = net();
    guest.describe(1, 0, BUFFERS, 100, 0, 0);
    for _ in 0..FRAMES_MAX + 3 {
        guest.offer(1, 0);
        guest.serve().unwrap();
    }
    assert_eq!(guest.used(1), FRAMES_MAX as u16);
    assert_eq!(guest.memory.acquire(USED + PAGE), Ok(1), "no doorbells while it is full");
    while guest.transport.device.sent().is_some() {}
    guest.serve().unwrap();
    assert_eq!(guest.used(1), FRAMES_MAX as u16 + 3);
    assert_eq!(guest.memory.acquire(USED + PAGE), Ok(0));
}

#[test]
fn a_reset_forgets_what_was_on_its_way() {
    let mut guest = net();
    guest.transport.device.deliver(vec![0; 60]);
    guest.describe(1, 0, BUFFERS, 100, 0, 0);
    guest.offer(1, 0);
    guest.serve().unwrap();
    guest.write(STATUS, 0);
    assert!(guest.transport.device.sent().is_none());
    guest.available = [0; 2];
    guest.memory.publish(AVAILABLE + PAGE + 2, 0).unwrap();
    guest.describe(0, 0, BUFFERS, 2000, 2, 0);
    assert!(guest.bring_up(0));
    guest.offer(0, 0);
    guest.serve().unwrap();
    assert_eq!(guest.transport.device.counters().received, 0);
}

#[test]
fn no_memory_disturbs_the_devices() {
    let mut random = vec![0; 1 << 16];
    getrandom::fill(&mut random).unwrap();
    let mut random = random.into_iter().cycle();
    let mut next = || u16::from(random.next().unwrap());
    let (mut stopped, mut served) = (0, 0);
    for _ in 0..3000 {
        let mut guest = net();
        for queue in 0..2 {
            for index in 0..SIZE {
                // Mostly sound, so that the wrong ones are met late.
                let wild = next() < 8;
                let address = BUFFERS + u64::from(next()) * if wild { 1 << 20 } else { 64 };
                let flags = next() & if wild { 7 } else { 3 - 2 * queue as u16 };
                guest.describe(queue, index, address, next().into(), flags, next() % (SIZE + 1));
            }
            for _ in 0..next() % 9 {
                guest.offer(queue as usize, next() % SIZE);
            }
            guest.transport.device.deliver(vec![0; 60]);
        }
        match guest.serve() {
            Ok(_) => served += 1,
            Err(_) => stopped += 1,
        }
    }
    assert!(stopped > 300 && served > 30, "{stopped} stopped, {served} served");
}
