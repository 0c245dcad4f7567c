//! A cable between a fake card and a test that plays the component above.

extern crate std;

use crate::{Config, Direction, Netem};
use std::boxed::Box;
use std::vec::Vec;
use waitless::packet::ChecksumState;
use waitless::{
    Component, Context, Duration, Inspect, Instant, Mac, NicPort, Offloads, Packet, testing,
};

#[derive(Default)]
struct FakeNic {
    incoming: std::collections::VecDeque<Packet>,
    sent: Vec<Packet>,
    full: bool,
}

impl NicPort for FakeNic {
    fn mac(&self) -> Mac {
        Mac([2, 0, 0, 0, 0, 1])
    }

    fn mtu(&self) -> u16 {
        1500
    }

    fn offloads(&self) -> Offloads {
        Offloads { checksum: true, segmentation: 65_535 }
    }

    fn recv(&mut self) -> Option<Packet> {
        self.incoming.pop_front()
    }

    fn send(&mut self, frame: Packet) -> Result<(), Packet> {
        if self.full {
            return Err(frame);
        }
        self.sent.push(frame);
        Ok(())
    }

    fn room(&self) -> usize {
        if self.full { 0 } else { 256 }
    }
}

struct Bench {
    cx: Context,
    nic: FakeNic,
    netem: Netem,
}

impl Bench {
    fn new(config: Config) -> Self {
        let mut cx = testing::context(4_096, 1);
        let netem = Netem::new(Box::leak(Box::new(config)), &mut cx);
        let mut bench = Self { cx, nic: FakeNic::default(), netem };
        bench.netem.init(&mut bench.nic, &mut bench.cx).unwrap();
        bench
    }

    fn packet(&self, number: u32) -> Packet {
        let mut packet = self.cx.packet().unwrap();
        packet.append(&number.to_be_bytes()).unwrap();
        packet.append(&[0; 96]).unwrap();
        packet
    }

    fn at(&mut self, now: Duration) -> &mut Self {
        self.cx.set_now(Instant::ZERO + now);
        self
    }

    /// One sweep; gives what came up.
    fn sweep(&mut self) -> Vec<u32> {
        self.netem.receive(&mut self.nic, &mut self.cx);
        let mut up = Vec::new();
        while let Some(packet) = self.netem.recv() {
            up.push(number(&packet));
        }
        self.netem.transmit(&mut self.nic, &mut self.cx);
        up
    }

    /// Sends packets in order, sweeping as often as it takes.
    fn send(&mut self, numbers: impl IntoIterator<Item = u32>) {
        for value in numbers {
            if self.netem.room() == 0 {
                self.sweep();
            }
            let packet = self.packet(value);
            self.netem.send(packet).unwrap();
        }
        self.sweep();
    }

    /// Lets virtual time pass until nothing is under way.
    fn settle(&mut self) {
        for _ in 0..100_000 {
            let deadline = self.netem_deadline();
            if deadline == Instant::NEVER {
                return;
            }
            self.cx.set_now(deadline);
            self.sweep();
        }
        panic!("packets stay under way");
    }

    fn netem_deadline(&self) -> Instant {
        Component::<FakeNic>::deadline(&self.netem)
    }

    fn sent(&self) -> Vec<u32> {
        self.nic.sent.iter().map(number).collect()
    }

    fn count(&self, name: &str) -> u64 {
        let counters = self.netem.counters();
        (0..counters.count())
            .filter_map(|index| counters.metric(index))
            .find(|metric| metric.name == name)
            .unwrap_or_else(|| panic!("no counter {name}"))
            .value
    }
}

fn number(packet: &Packet) -> u32 {
    u32::from_be_bytes(*packet.bytes().first_chunk().unwrap())
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn a_clean_line_passes_both_ways_in_one_sweep_and_needs_no_other() {
    let mut bench = Bench::new(Config::CLEAN);
    for value in 0..20 {
        let packet = bench.packet(value);
        bench.nic.incoming.push_back(packet);
        let packet = bench.packet(100 + value);
        bench.netem.send(packet).unwrap();
    }
    assert_eq!(bench.sweep(), (0..20).collect::<Vec<_>>());
    assert_eq!(bench.sent(), (100..120).collect::<Vec<_>>());
    assert_eq!(bench.netem_deadline(), Instant::NEVER);
}

#[test]
fn the_card_shows_through_but_not_its_segmentation() {
    let bench = Bench::new(Config::CLEAN);
    assert_eq!(NicPort::mac(&bench.netem), Mac([2, 0, 0, 0, 0, 1]));
    assert_eq!(NicPort::mtu(&bench.netem), 1500);
    assert_eq!(bench.netem.offloads(), Offloads { checksum: true, segmentation: 0 });
    assert!(bench.netem.link_up());
}

#[test]
fn a_share_is_lost_and_the_same_one_with_the_same_seed() {
    let run = |seed| {
        let mut bench = Bench::new(Config { loss: 200, seed, ..Config::CLEAN });
        bench.send(0..1_000);
        assert_eq!(bench.count("transmit_seen"), 1_000);
        assert_eq!(bench.count("transmit_lost") as usize, 1_000 - bench.nic.sent.len());
        bench.sent()
    };
    let survivors = run(1);
    assert!((700..900).contains(&survivors.len()), "{} of 1000", survivors.len());
    assert_eq!(survivors, run(1));
    assert_ne!(survivors, run(2));
}

#[test]
fn what_one_direction_suffers_does_not_depend_on_the_other() {
    let run = |incoming: u32| {
        let mut bench = Bench::new(Config { loss: 500, ..Config::CLEAN });
        for value in 0..incoming {
            let packet = bench.packet(value);
            bench.nic.incoming.push_back(packet);
        }
        bench.send(0..100);
        bench.sent()
    };
    assert_eq!(run(0), run(100));
}

#[test]
fn all_or_nothing_is_certain() {
    let mut bench = Bench::new(Config { loss: 1_000, ..Config::CLEAN });
    bench.send(0..100);
    assert!(bench.sent().is_empty());
}

#[test]
fn a_delay_is_kept_to_the_nanosecond_and_told_as_the_deadline() {
    let mut bench = Bench::new(Config { delay: millis(30), ..Config::CLEAN });
    bench.at(millis(5)).send([7]);
    assert_eq!(bench.netem_deadline(), Instant::ZERO + millis(35));
    bench.at(millis(35).minus(Duration::from_nanos(1))).sweep();
    assert!(bench.sent().is_empty());
    bench.at(millis(35)).sweep();
    assert_eq!(bench.sent(), [7]);
    assert_eq!(bench.netem_deadline(), Instant::NEVER);
}

#[test]
fn jitter_spreads_and_keeps_the_order() {
    let mut bench = Bench::new(Config { delay: millis(10), jitter: millis(50), ..Config::CLEAN });
    bench.send(0..200);
    let first = bench.netem_deadline();
    assert!(first >= Instant::ZERO + millis(10) && first <= Instant::ZERO + millis(60));
    bench.settle();
    assert_eq!(bench.sent(), (0..200).collect::<Vec<_>>());
}

#[test]
fn packets_are_overtaken_by_later_ones() {
    let mut bench = Bench::new(Config { reorder: 300, ..Config::CLEAN });
    bench.send(0..100);
    bench.settle();
    let mut sent = bench.sent();
    assert!(!sent.is_sorted());
    sent.sort_unstable();
    assert_eq!(sent, (0..100).collect::<Vec<_>>(), "none is lost");
    assert!((10..60).contains(&bench.count("transmit_reordered")));
}

#[test]
fn packets_arrive_twice() {
    let mut bench = Bench::new(Config { duplicate: 1_000, ..Config::CLEAN });
    bench.send(0..3);
    assert_eq!(bench.sent(), [0, 0, 1, 1, 2, 2]);
    assert_eq!(bench.count("transmit_duplicated"), 3);
}

#[test]
fn without_buffers_nothing_is_doubled_and_that_is_counted() {
    let mut bench = Bench::new(Config { duplicate: 1_000, ..Config::CLEAN });
    let packet = bench.packet(1);
    let mut hoard: Vec<Packet> = core::iter::from_fn(|| bench.cx.packet()).collect();
    bench.netem.send(packet).unwrap();
    bench.sweep();
    hoard.clear();
    assert_eq!(bench.sent(), [1]);
    assert_eq!(bench.count("transmit_not_copied"), 1);
}

#[test]
fn one_bit_flips_and_the_packet_counts_as_unchecked() {
    let mut bench = Bench::new(Config { corrupt: 1_000, ..Config::CLEAN });
    let mut packet = bench.packet(9);
    packet.info_mut().checksum = ChecksumState::Verified;
    let before = packet.bytes().to_vec();
    bench.nic.incoming.push_back(packet);
    bench.netem.receive(&mut bench.nic, &mut bench.cx);
    let packet = bench.netem.recv().unwrap();
    let flipped: u32 = before.iter().zip(packet.bytes()).map(|(a, b)| (a ^ b).count_ones()).sum();
    assert_eq!(flipped, 1);
    assert_eq!(packet.info().checksum, ChecksumState::Unknown);
    assert_eq!(bench.count("receive_corrupted"), 1);
}

/// A transport that keeps a packet must be able to send it again as it was.
#[test]
fn what_a_transport_holds_is_not_damaged() {
    let mut bench = Bench::new(Config { corrupt: 1_000, ..Config::CLEAN });
    let packet = bench.packet(9);
    let before = packet.bytes().to_vec();
    let held = packet.hold().unwrap();
    bench.netem.send(packet).unwrap();
    bench.sweep();
    assert_ne!(bench.nic.sent[0].bytes(), before);
    bench.nic.sent.clear();
    assert_eq!(held.reclaim().unwrap().bytes(), before);
}

#[test]
fn a_device_cannot_make_damage_good() {
    let mut bench = Bench::new(Config { corrupt: 1_000, ..Config::CLEAN });
    let mut packet = bench.packet(9);
    packet.request_checksum(0, 16);
    bench.netem.send(packet).unwrap();
    bench.sweep();
    let packet = &mut bench.nic.sent[0];
    packet.complete_checksum();
    assert!(!waitless::checksum::Checksum::new().add(packet.bytes()).is_valid());
}

#[test]
fn a_rate_spaces_packets_out() {
    // 100 bytes at 800,000 bit/s take one millisecond.
    let mut bench = Bench::new(Config { rate: Some(800_000), ..Config::CLEAN });
    bench.send(0..3);
    for (value, at) in [(0, 1), (1, 2), (2, 3)] {
        assert_eq!(bench.netem_deadline(), Instant::ZERO + millis(at));
        bench.at(millis(at)).sweep();
        assert_eq!(bench.sent().last(), Some(&value));
    }
}

#[test]
fn what_exceeds_the_limit_is_dropped_and_counted() {
    let mut bench = Bench::new(Config { delay: millis(1), limit: 10, ..Config::CLEAN });
    bench.send(0..25);
    assert_eq!(bench.count("transmit_overflowed"), 15);
    assert_eq!(bench.count("transmit_under_way"), 10);
    bench.settle();
    assert_eq!(bench.sent(), (0..10).collect::<Vec<_>>());
    assert_eq!(bench.count("transmit_under_way"), 0);
}

#[test]
fn a_card_without_room_is_waited_for() {
    let mut bench = Bench::new(Config { limit: 10, ..Config::CLEAN });
    bench.nic.full = true;
    bench.send(0..10);
    let mut accepted = 10;
    for value in 10..100 {
        bench.sweep();
        let packet = bench.packet(value);
        accepted += u32::from(bench.netem.send(packet).is_ok());
    }
    assert!(accepted < 60, "back-pressure reaches the sender");
    assert!(bench.netem_deadline() <= bench.cx.now());
    bench.nic.full = false;
    bench.settle();
    assert_eq!(bench.sent(), (0..accepted).collect::<Vec<_>>());
    assert_eq!(bench.count("transmit_overflowed"), 0);
}

#[test]
fn a_reader_that_does_not_pull_is_waited_for() {
    let mut bench = Bench::new(Config { limit: 40, ..Config::CLEAN });
    for value in 0..200 {
        let packet = bench.packet(value);
        bench.nic.incoming.push_back(packet);
    }
    for _ in 0..20 {
        bench.netem.receive(&mut bench.nic, &mut bench.cx);
    }
    let mut all = Vec::new();
    for _ in 0..20 {
        all.extend(bench.sweep());
    }
    assert_eq!(all, (0..200).collect::<Vec<_>>());
    assert_eq!(bench.count("receive_overflowed"), 0);
}

#[test]
fn one_direction_can_be_spared() {
    for (direction, up, down) in
        [(Direction::Receive, 0, 1), (Direction::Transmit, 1, 0), (Direction::Both, 0, 0)]
    {
        let mut bench = Bench::new(Config { loss: 1_000, direction, ..Config::CLEAN });
        let packet = bench.packet(1);
        bench.nic.incoming.push_back(packet);
        let packet = bench.packet(2);
        bench.netem.send(packet).unwrap();
        assert_eq!(bench.sweep().len(), up, "{direction:?}");
        assert_eq!(bench.sent().len(), down, "{direction:?}");
    }
}

#[test]
fn no_packet_stays_behind() {
    let mut bench = Bench::new(Config {
        loss: 100,
        duplicate: 100,
        corrupt: 100,
        reorder: 100,
        delay: millis(3),
        jitter: millis(2),
        rate: Some(10_000_000),
        limit: 50,
        ..Config::CLEAN
    });
    bench.send(0..500);
    bench.settle();
    let under_test = bench.nic.sent.len();
    bench.nic.sent.clear();
    assert!(under_test > 0);
    assert_eq!(bench.cx.pool().available(), bench.cx.pool().count());
}

#[test]
fn a_sender_that_holds_a_packet_gets_it_back_unharmed() {
    let mut bench = Bench::new(Config { corrupt: 1000, ..Config::CLEAN });
    let packet = bench.packet(7);
    let whole = packet.bytes().to_vec();
    let held = packet.hold().unwrap();
    bench.netem.send(packet).unwrap();
    bench.sweep();
    assert_ne!(bench.nic.sent.pop().unwrap().bytes(), whole, "one bit differs");
    assert_eq!(held.reclaim().unwrap().bytes(), whole);
}
