//! The driver against a device in software, an obedient one and many that are not.

extern crate std;

mod cores;
mod model;

use super::*;
use crate::queue::Queue;
use crate::wire::feature;
use model::{ADDRESS, ALL, Pair, Registers, arm, deadline, start};
use std::boxed::Box;
use std::cell::Cell;
use std::vec;
use std::vec::Vec;
use waitless::device::Platform;
use waitless::packet::{CAPACITY, ChecksumState};
use waitless::{BATCH, testing};

static CONFIG: Config = Config {
    queue_size: 256,
    checksum_offload: true,
    segmentation_offload: true,
    event_index: true,
};
static PLAIN: Config = Config {
    queue_size: 256,
    checksum_offload: false,
    segmentation_offload: false,
    event_index: false,
};
static SMALL: Config = Config { queue_size: 8, ..CONFIG };
static SMALL_PLAIN: Config = Config { queue_size: 8, ..PLAIN };

/// A device's header without anything to say, and a frame of `length` bytes of `fill`.
fn arrival(length: usize, fill: u8) -> Vec<u8> {
    let mut bytes = vec![0; 12];
    bytes.resize(12 + length, fill);
    bytes
}

#[test]
fn frames_go_both_ways_untouched() {
    for config in [&CONFIG, &PLAIN] {
        let mut pair = Pair::new(config, Registers::default(), 64);
        assert_eq!(pair.net.mac(), Mac(ADDRESS));
        assert!(pair.net.link_up() && pair.registers.live);
        assert!(pair.arrive(&arrival(60, 1)) && pair.arrive(&arrival(1514, 2)));
        let frames = pair.sweep();
        assert_eq!(frames[0].bytes(), [1; 60]);
        assert_eq!(frames[1].bytes(), [2; 1514]);
        assert_eq!(frames[0].info().checksum, ChecksumState::Unknown);

        let frame = pair.packet(&[3; 100]);
        pair.net.send(frame).unwrap();
        assert_eq!(pair.depart(), 0, "not before the downward half");
        pair.transmit();
        assert_eq!((pair.registers.rung, pair.depart()), ([pair.registers.rung[0], 1], 1));
        assert_eq!(pair.sent[0][..12], [0; 12]);
        assert_eq!(pair.sent[0][12..], [3; 100]);
    }
}

#[test]
fn what_is_behind_the_ethernet_header_is_aligned() {
    let mut pair = Pair::new(&CONFIG, Registers::default(), 64);
    pair.arrive(&arrival(60, 1));
    let frame = pair.sweep().remove(0);
    assert_eq!((frame.bytes().as_ptr() as usize + 14) % 4, 0);
    assert!(frame.headroom() >= 12, "it can be sent again as it is");
}

#[test]
fn a_received_frame_can_be_sent_again() {
    let mut pair = Pair::new(&CONFIG, Registers::default(), 64);
    pair.arrive(&arrival(60, 9));
    let frame = pair.receive().remove(0);
    pair.net.send(frame).unwrap();
    pair.transmit();
    pair.depart();
    assert_eq!(pair.sent[0][12..], [9; 60]);
}

#[test]
fn every_index_wraps() {
    for config in [&SMALL, &SMALL_PLAIN] {
        let mut pair = Pair::started_at(config, Registers::default(), 64, 65_530);
        for turn in 0..40u8 {
            for _ in 0..3 {
                assert!(pair.arrive(&arrival(64, turn)));
                let frame = pair.packet(&[turn; 64]);
                pair.net.send(frame).unwrap();
            }
            let frames = pair.sweep();
            assert!(frames.len() == 3 && frames.iter().all(|frame| frame.bytes() == [turn; 64]));
            assert_eq!(pair.depart(), 3, "turn {turn}");
        }
        assert_eq!(pair.receive.used_index(), 65_530u16.wrapping_add(120));
        assert_eq!((pair.receive.interrupts, pair.transmit.interrupts), (0, 0));
        assert_eq!(pair.sent.len(), 120);
    }
}

#[test]
fn all_indices_are_passed_without_an_interrupt_while_polling() {
    let mut pair = Pair::new(&CONFIG, Registers::default(), 256);
    for _ in 0..70_000 / 16 {
        for _ in 0..16 {
            assert!(pair.arrive(&arrival(14, 0)));
        }
        assert_eq!(pair.sweep().len(), 16);
    }
    assert_eq!(pair.receive.interrupts, 0);
}

#[test]
fn packets_wait_for_frames_up_to_a_share_of_the_pool() {
    for (packets, size, posted) in [(64, 256, 16), (4096, 256, 256), (4096, 8, 8), (2, 8, 1)] {
        let registers = Registers { queue_sizes: [size; 2], ..Registers::default() };
        let mut pair = Pair::new(&CONFIG, registers, packets);
        assert_eq!(usize::from(pair.card().receive.held()), posted);
        assert_eq!(pair.cx.pool().available(), packets - posted);
        assert_eq!(pair.net.counters.posted.get(), posted as u64);
    }
}

#[test]
fn packets_are_posted_again_in_batches() {
    let mut pair = Pair::new(&CONFIG, Registers::default(), 256);
    for taken in 1..=16u16 {
        pair.arrive(&arrival(60, 0));
        pair.sweep();
        assert_eq!(pair.card().receive.held(), if taken < 16 { 64 - taken } else { 64 });
    }
}

#[test]
fn a_full_queue_gives_the_frame_back_untouched() {
    let mut pair = Pair::new(&SMALL, Registers::default(), 64);
    for _ in 0..8 {
        let frame = pair.packet(&[1; 60]);
        pair.net.send(frame).unwrap();
    }
    assert_eq!(pair.net.room(), 0);
    let frame = pair.packet(&[2; 60]);
    let frame = pair.net.send(frame).unwrap_err();
    assert_eq!(frame.bytes(), [2; 60]);
    pair.transmit();
    assert_eq!(pair.depart(), 8);
    assert_eq!(pair.net.room(), 0, "taken back in the next sweep");
    pair.sweep();
    assert_eq!(pair.net.room(), 8);
    pair.net.send(frame).unwrap();
}

#[test]
fn without_packets_it_waits_and_recovers() {
    let mut pair = Pair::new(&SMALL, Registers::default(), 32);
    let hoard: Vec<Packet> = core::iter::from_fn(|| pair.cx.packet()).collect();
    let mut frames = Vec::new();
    while pair.arrive(&arrival(60, 0)) {
        frames.extend(pair.sweep());
    }
    assert_eq!((frames.len(), pair.card().receive.held()), (8, 0));
    assert!(pair.net.counters.starved.get() > 0);
    assert!(pair.arm(), "no packet is free: nothing can be done");
    assert!(pair.deadline() <= pair.cx.now() + POLL);
    drop(hoard);
    assert!(!pair.arm(), "there is something to post");
    pair.sweep();
    assert_eq!(pair.card().receive.held(), 8);
    assert!(pair.arrive(&arrival(60, 0)));
}

#[test]
fn doorbells_ring_only_when_the_device_wants_to_hear() {
    for config in [&CONFIG, &PLAIN] {
        let mut pair = Pair::new(config, Registers::default(), 64);
        let send = |pair: &mut Pair, count| {
            for _ in 0..count {
                let frame = pair.packet(&[0; 60]);
                pair.net.send(frame).unwrap();
            }
            pair.transmit();
            core::mem::take(&mut pair.registers.rung[1])
        };
        assert_eq!(send(&mut pair, 5), 1, "one for all of a sweep");
        pair.transmit.want_doorbell(false);
        assert_eq!(send(&mut pair, 5), 0, "the device is at work");
        assert_eq!(send(&mut pair, 0), 0);
        assert_eq!(pair.depart(), 10, "and finds them");
        assert_eq!(send(&mut pair, 1), 1, "now it sleeps");
    }
}

/// The notification that was suppressed once too often is the one that hangs a guest: in every
/// order of steps, each side is told of what the other did while it slept.
#[test]
fn nobody_sleeps_over_news() {
    for config in [&CONFIG, &PLAIN, &SMALL, &SMALL_PLAIN] {
        let mut pair = Pair::started_at(config, Registers::default(), 64, 65_500);
        let (mut asleep, mut sleeps, mut sent) = (false, 0, 0);
        for _ in 0..30_000 {
            let seen = pair.receive.interrupts;
            let chance = pair.cx.random.u64();
            if chance & 3 == 0 && pair.registers.rung[1] > 0 {
                pair.depart();
            }
            let arrived = chance & 0x30 == 0 && pair.arrive(&arrival(60, 0));
            let woken = asleep && pair.receive.interrupts != seen;
            assert_eq!(woken, asleep && arrived, "a frame wakes, and nothing else does");
            if asleep && !woken && chance & 0x700 != 0 {
                continue;
            }
            pair.receive();
            if chance & 0x3000 == 0 && pair.net.room() > 0 {
                let frame = pair.packet(&[0; 60]);
                pair.net.send(frame).unwrap();
                sent += 1;
            }
            pair.transmit();
            assert!(pair.registers.rung[1] > 0 || !pair.transmit.has_news(), "it was told");
            asleep = chance & 0x1_0000 == 0 && pair.arm();
            sleeps += u32::from(asleep);
        }
        pair.depart();
        assert_eq!(pair.sent.len(), sent);
        assert!(sent > 1000 && sleeps > 1000, "{sent} sent, {sleeps} sleeps");
    }
}

#[test]
fn an_armed_queue_interrupts_once_and_news_keep_the_core_awake() {
    for config in [&CONFIG, &PLAIN] {
        let mut pair = Pair::new(config, Registers::default(), 256);
        pair.arrive(&arrival(60, 0));
        assert_eq!(pair.receive.interrupts, 0);
        assert!(!pair.arm(), "a frame is there");
        assert_eq!(pair.sweep().len(), 1);
        assert!(pair.arm());
        pair.arrive(&arrival(60, 0));
        assert_eq!(pair.receive.interrupts, 1);
        pair.sweep();
        pair.arrive(&arrival(60, 0));
        assert_eq!(pair.receive.interrupts, 1, "polled again");
    }
}

#[test]
fn the_transmit_queue_interrupts_only_for_room_or_packets() {
    for config in [&CONFIG, &PLAIN] {
        let mut pair = Pair::new(config, Registers::default(), 1024);
        let send = |pair: &mut Pair, count| {
            for _ in 0..count {
                let frame = pair.packet(&[0; 60]);
                pair.net.send(frame).unwrap();
            }
            pair.transmit();
        };
        send(&mut pair, 10);
        assert!(pair.arm());
        pair.depart();
        assert_eq!(pair.transmit.interrupts, 0, "nobody waits");
        pair.sweep();
        send(&mut pair, 240);
        assert!(pair.arm());
        pair.depart();
        assert!(pair.transmit.interrupts > 0, "somebody may wait for room");
        assert!(!pair.arm(), "and has it now");
        pair.sweep();
        let seen = pair.transmit.interrupts;
        send(&mut pair, 100);
        pair.depart();
        assert_eq!(pair.transmit.interrupts, seen, "polled again");
        pair.sweep();
        send(&mut pair, 2);
        let hoard: Vec<Packet> = core::iter::from_fn(|| pair.cx.packet()).collect();
        assert!(pair.arm());
        pair.depart();
        assert!(pair.transmit.interrupts > seen, "somebody may wait for a packet");
        drop(hoard);
    }
}

#[test]
fn checksums_are_taken_from_the_device_where_that_was_agreed() {
    // (flags, start, offset) of a frame of 60 bytes → what is known then; `None`: dropped. What
    // has no sum yet says so, at its place in the buffer.
    let partial = |start, offset| Some(ChecksumState::Partial { start, offset });
    let cases = [
        (0, 0, 0, Some(ChecksumState::Unknown)),
        (2, 0, 0, Some(ChecksumState::Verified)),
        (1, 34, 16, partial(34, 16)),
        (1, 34, 24, partial(34, 24)),
        (1, 34, 25, None),
        (1, u16::MAX, u16::MAX, None),
        (4, 0, 0, Some(ChecksumState::Unknown)),
    ];
    let mut pair = Pair::new(&CONFIG, Registers::default(), 64);
    let mut plain = Pair::new(&PLAIN, Registers::default(), 64);
    for (flags, start, offset, expected) in cases {
        let mut bytes = arrival(60, 0);
        bytes[0] = flags;
        bytes[6..8].copy_from_slice(&u16::to_le_bytes(start));
        bytes[8..10].copy_from_slice(&u16::to_le_bytes(offset));
        pair.arrive(&bytes);
        let state = pair.sweep().pop().map(|frame| match frame.info().checksum {
            ChecksumState::Partial { start, offset } => {
                ChecksumState::Partial { start: start - frame.headroom() as u16, offset }
            }
            state => state,
        });
        assert_eq!(state, expected, "{flags} {start}");
        plain.arrive(&bytes);
        let frame = plain.sweep().pop();
        assert_eq!(frame.unwrap().info().checksum, ChecksumState::Unknown, "not agreed");
    }
    assert_eq!(pair.net.counters.bad_header.get(), 2);
}

/// A TCP segment over IPv4 in an Ethernet frame, its checksum left to be completed.
fn segment(pair: &mut Pair, payload: usize, flags: u8) -> Packet {
    let mut packet = pair.packet(&vec![0x55; payload]);
    let mut tcp = [0; 32];
    (tcp[12], tcp[13]) = (8 << 4, flags);
    packet.prepend(tcp).unwrap();
    packet.request_checksum(0, 16);
    packet.prepend([0x45; 20]).unwrap();
    let mut ethernet = [0; 14];
    ethernet[12] = 8;
    packet.prepend(ethernet).unwrap();
    packet
}

#[test]
fn a_checksum_is_left_to_the_device_or_completed() {
    let mut pair = Pair::new(&CONFIG, Registers::default(), 64);
    let frame = segment(&mut pair, 100, 0x10);
    assert!(pair.net.offloads().checksum);
    pair.net.send(frame).unwrap();
    pair.transmit();
    pair.depart();
    assert_eq!(pair.sent[0][..12], [1, 0, 0, 0, 0, 0, 34, 0, 16, 0, 0, 0]);
    assert_eq!(pair.sent[0][12 + 34 + 16..][..2], [0, 0]);

    let mut pair = Pair::new(&PLAIN, Registers::default(), 64);
    let frame = segment(&mut pair, 100, 0x10);
    assert!(!pair.net.offloads().checksum);
    pair.net.send(frame).unwrap();
    pair.transmit();
    pair.depart();
    assert_eq!(pair.sent[0][..12], [0; 12]);
    let sum = waitless::checksum::Checksum::new().add(&pair.sent[0][12 + 34..]);
    assert!(sum.is_valid());
}

/// A chain whose payload is `parts` packets of 1400 bytes.
fn large(pair: &mut Pair, parts: usize, flags: u8) -> Packet {
    let mut frame = segment(pair, 1400, flags);
    let tail = (1..parts).fold(None, |tail, _| {
        let mut packet = pair.packet(&[0x66; 1400]);
        packet.set_next(tail);
        Some(packet)
    });
    frame.set_next(tail);
    frame.info_mut().segment = 1400;
    frame
}

#[test]
fn a_chain_of_packets_is_one_large_segment() {
    let mut pair = Pair::new(&CONFIG, Registers::default(), 64);
    assert_eq!(pair.net.offloads().segmentation, 65_415);
    let before = pair.cx.pool().available();
    let frame = large(&mut pair, 4, 0x10);
    pair.net.send(frame).unwrap();
    assert_eq!(pair.net.room(), 252);
    pair.transmit();
    pair.depart();
    // NEEDS_CSUM, TCPv4, 66 bytes of headers, segments of 1400, checksum from 34, at 16.
    assert_eq!(pair.sent[0][..12], [1, 1, 66, 0, 0x78, 5, 34, 0, 16, 0, 0, 0]);
    let lengths: Vec<_> = pair.pieces[0].iter().map(|piece| piece.length).collect();
    assert_eq!(lengths, [12 + 66 + 1400, 1400, 1400, 1400]);
    assert_eq!(pair.sent[0][12 + 66 + 1400..], [0x66; 4200]);
    pair.sweep();
    assert_eq!((pair.net.room(), pair.cx.pool().available()), (256, before));
    assert_eq!(pair.net.counters.segmented.get(), 1);

    let frame = large(&mut pair, 2, 0x90);
    pair.net.send(frame).unwrap();
    pair.transmit();
    pair.depart();
    assert_eq!(pair.sent[1][1], 0x81, "with CWR");
}

#[test]
fn a_chain_is_cut_into_segments_that_are_shorter_than_the_link_takes() {
    let mut pair = Pair::new(&CONFIG, Registers::default(), 64);
    for (segment, gso) in [(536, 1), (1199, 1), (1200, 0)] {
        let mut frame = self::segment(&mut pair, 600, 0x10);
        let tail = pair.packet(&[0x66; 600]);
        frame.set_next(Some(tail));
        frame.info_mut().segment = segment;
        pair.net.send(frame).unwrap();
        pair.transmit();
        pair.depart();
        let sent = pair.sent.pop().unwrap();
        assert_eq!((sent[0], sent[1], sent.len()), (1, gso, 12 + 66 + 1200), "{segment}");
        pair.sweep();
    }
    assert_eq!(pair.net.counters.segmented.get(), 2);
}

#[test]
fn a_chain_waits_for_room_and_one_that_never_fits_is_dropped() {
    let mut pair = Pair::new(&SMALL, Registers::default(), 64);
    for _ in 0..6 {
        let frame = pair.packet(&[0; 60]);
        pair.net.send(frame).unwrap();
    }
    let chain = large(&mut pair, 3, 0);
    let chain = pair.net.send(chain).unwrap_err();
    assert_eq!((chain.parts().count(), pair.net.room()), (3, 2));
    pair.transmit();
    pair.depart();
    pair.sweep();
    pair.net.send(chain).unwrap();
    let chain = large(&mut pair, 9, 0);
    pair.net.send(chain).unwrap();
    assert_eq!(pair.net.counters.refused.get(), 1);
}

#[test]
fn chains_give_all_their_entries_back() {
    let mut pair = Pair::new(&SMALL, Registers::default(), 64);
    for _ in 0..20 {
        for _ in 0..2 {
            let mut chain = large(&mut pair, 2, 0);
            // An empty packet in between takes no entry.
            let mut empty = pair.packet(&[]);
            empty.set_next(chain.take_next());
            chain.set_next(Some(empty));
            pair.net.send(chain).unwrap();
        }
        assert_eq!(pair.net.room(), 8 - 4);
        let whole = large(&mut pair, 4, 0);
        pair.net.send(whole).unwrap();
        pair.transmit();
        pair.depart();
        pair.sweep();
        assert_eq!(pair.net.room(), 8);
    }
    assert_eq!(pair.sent.len(), 60);
}

#[test]
fn a_chain_as_long_as_the_queue_waits_until_it_is_empty() {
    let mut pair = Pair::new(&SMALL, Registers::default(), 64);
    let frame = pair.packet(&[0; 60]);
    pair.net.send(frame).unwrap();
    let chain = large(&mut pair, 8, 0);
    let chain = pair.net.send(chain).unwrap_err();
    pair.transmit();
    pair.depart();
    pair.sweep();
    pair.net.send(chain).unwrap();
}

#[test]
fn what_the_device_cannot_do_is_not_asked_of_it() {
    type Case = (&'static str, fn(&mut Packet));
    let cases: [Case; 6] = [
        ("a TCP header that ends elsewhere", |frame| {
            let mut tail = frame.take_next().unwrap();
            frame.truncate(34 + 31);
            tail.extend(100).unwrap();
            frame.set_next(Some(tail));
        }),
        ("not IPv4", |frame| frame.bytes_mut()[12] = 0x86),
        ("a TCP header too short", |frame| frame.bytes_mut()[34 + 12] = 4 << 4),
        ("no room for the header", |frame| {
            frame.grow_front(frame.headroom() - 4).unwrap();
        }),
        ("a checksum outside", |frame| frame.request_checksum(100, u16::MAX.into())),
        ("a checksum in front", |frame| {
            frame.info_mut().checksum = ChecksumState::Partial { start: 0, offset: 0 };
        }),
    ];
    for (what, change) in cases {
        let mut pair = Pair::new(&CONFIG, Registers::default(), 64);
        let mut frame = large(&mut pair, 2, 0);
        change(&mut frame);
        pair.net.send(frame).unwrap();
        pair.transmit();
        assert_eq!((pair.depart(), pair.net.counters.refused.get()), (0, 1), "{what}");
    }
    let mut pair = Pair::new(&PLAIN, Registers::default(), 64);
    let frame = large(&mut pair, 2, 0);
    pair.net.send(frame).unwrap();
    assert_eq!(pair.net.counters.refused.get(), 1, "not agreed");
    let frame = pair.packet(&[0; 1519]);
    pair.net.send(frame).unwrap();
    assert_eq!(pair.net.counters.oversized.get(), 1);
}

#[test]
fn features_need_each_other() {
    use feature::*;
    let least = VERSION_1 | MAC | MTU | STATUS;
    let only_segments = Config { checksum_offload: false, ..CONFIG };
    let cases: [(Config, u128, u128); 6] = [
        (CONFIG, ALL, ALL & !(1 << 15 | 1 << 99)),
        (PLAIN, ALL, least),
        (only_segments, ALL, least | EVENT_IDX),
        (CONFIG, ALL & !CSUM, least | EVENT_IDX | GUEST_CSUM),
        (CONFIG, ALL & !HOST_TSO4, least | EVENT_IDX | GUEST_CSUM | CSUM),
        (PLAIN, VERSION_1 | ACCESS_PLATFORM, VERSION_1 | ACCESS_PLATFORM),
    ];
    for (config, offered, expected) in cases {
        let mut registers = Registers { offered, ..Registers::default() };
        start(Box::leak(Box::new(config)), &mut registers, 64);
        assert_eq!(registers.accepted, expected, "{config:?}");
    }
}

#[test]
fn an_address_is_made_up_where_there_is_none() {
    let mut registers = Registers { offered: feature::VERSION_1, ..Registers::default() };
    let (net, _) = start(&CONFIG, &mut registers, 64);
    assert!(!net.mac().is_multicast() && net.mac().0[0] & 2 != 0);
    assert_eq!((net.mtu(), net.link_up()), (1500, true));
}

#[test]
fn a_device_that_cannot_be_used_leaves_the_image_running() {
    type Case = (&'static str, fn(&mut Registers));
    let cases: [Case; 7] = [
        ("no device", |it| it.present = false),
        ("legacy", |it| it.offered &= !feature::VERSION_1),
        ("does not agree", |it| it.agrees = false),
        ("no receive queue", |it| it.queue_sizes[0] = 0),
        ("no transmit queue", |it| it.queue_sizes[1] = 0),
        ("an odd size", |it| it.queue_sizes[1] = 100),
        ("a tiny MTU", |it| it.mtu = 67),
    ];
    for (what, change) in cases {
        let mut registers = Registers::default();
        change(&mut registers);
        let (mut net, mut cx) = start(&CONFIG, &mut registers, 64);
        assert!(!net.link_up() && !registers.live, "{what}");
        assert_eq!(registers.failed, what != "no device", "{what}");
        net.receive(&mut registers, &mut cx);
        assert!(net.recv().is_none());
        net.send(cx.packet().unwrap()).unwrap();
        net.transmit(&mut registers, &mut cx);
        assert!(arm(&mut net) && net.room() > 0 && deadline(&net) == Instant::NEVER);
        assert_eq!((net.counters.no_device.get(), cx.pool().available()), (1, 64), "{what}");
    }
}

#[test]
fn a_small_mtu_is_kept() {
    let mut pair = Pair::new(&CONFIG, Registers { mtu: 1400, ..Registers::default() }, 64);
    assert_eq!(pair.net.mtu(), 1400);
    let frame = pair.packet(&[0; 1419]);
    pair.net.send(frame).unwrap();
    assert_eq!(pair.net.counters.oversized.get(), 1);
    assert_ne!(pair.registers.accepted & feature::MTU, 0);
    let pair = Pair::new(&CONFIG, Registers { mtu: 9000, ..Registers::default() }, 64);
    assert_eq!(pair.net.mtu(), 1500);
    assert_eq!(pair.registers.accepted & feature::MTU, 0, "there are no buffers for it");
}

#[test]
fn a_device_that_does_not_tell_of_changes_is_asked() {
    let mut pair = Pair::new(&CONFIG, Registers::default(), 64);
    pair.sweep();
    assert_eq!(pair.deadline(), Instant::NEVER);
    let mut pair = Pair::new(&CONFIG, Registers { tells: false, ..Registers::default() }, 64);
    for _ in 0..2 {
        pair.sweep();
        assert_eq!(pair.deadline(), pair.net.check_at);
    }
    (pair.registers.status, pair.registers.changed) = (0, true);
    pair.net.check_at = Instant::ZERO;
    pair.sweep();
    assert!(!pair.net.link_up() && pair.deadline() == pair.net.check_at);
}

/// A frame that makes no sense is dropped; the device goes on.
#[test]
fn frames_that_make_no_sense_are_dropped() {
    let mut coalesced = arrival(60, 0);
    coalesced[1] = 1;
    let room = (CAPACITY - 54) as u32;
    let cases = [
        (arrival(60, 0), 0, 1, 0),
        (arrival(60, 0), 11, 1, 0),
        (arrival(60, 0), room + 1, 1, 0),
        (arrival(60, 0), u32::MAX, 1, 0),
        (coalesced, 72, 0, 1),
    ];
    for (bytes, length, bad_length, bad_header) in cases {
        let mut pair = Pair::new(&CONFIG, Registers::default(), 64);
        pair.arrive_as(&bytes, length);
        assert!(pair.sweep().is_empty());
        let counters = pair.net.counters;
        let counted = (counters.bad_length.get(), counters.bad_header.get());
        assert_eq!(counted, (bad_length, bad_header), "{length}");
        pair.arrive(&arrival(60, 4));
        assert_eq!(pair.sweep().len(), 1, "the next one is good");
    }
    let mut pair = Pair::new(&CONFIG, Registers::default(), 64);
    pair.arrive_as(&arrival(0, 0), 12);
    assert_eq!(pair.sweep()[0].len(), 0, "an empty frame is for the layer above to judge");
    pair.arrive_as(&arrival(60, 0), room);
    assert_eq!(pair.sweep()[0].len(), CAPACITY - 66);
}

/// A device that returns what it does not have is stopped, on the receiving and on the sending
/// side, whether it resets or not.
#[test]
fn a_hostile_device_is_stopped() {
    type Case = (&'static str, fn(&mut model::Side));
    let cases: [Case; 7] = [
        ("an entry out of range", |side| side.give_back(256, 60)),
        ("an entry far out of range", |side| side.give_back(u32::MAX, 60)),
        ("an entry whose low half is good", |side| side.give_back(0x1_0000, 60)),
        ("an entry that it does not have", |side| side.give_back(200, 60)),
        ("an entry twice", |side| {
            side.give_back(0, 60);
            side.give_back(0, 60);
        }),
        ("an index beyond what it has", |side| side.set_used(17)),
        ("an index that goes back", |side| side.set_used(u16::MAX)),
    ];
    for (what, act) in cases {
        for (receiving, resets) in [(true, true), (true, false), (false, true), (false, false)] {
            let registers = Registers { resets, ..Registers::default() };
            let mut pair = Pair::new(&CONFIG, registers, 64);
            for _ in 0..16 {
                let frame = pair.packet(&[0; 60]);
                pair.net.send(frame).unwrap();
            }
            pair.transmit();
            act(if receiving { &mut pair.receive } else { &mut pair.transmit });
            pair.receive();
            pair.transmit();
            assert!(pair.deadline() != Instant::NEVER || pair.net.card.is_none());
            pair.receive();
            assert!(pair.registers.failed && !pair.net.link_up(), "{what}, {receiving}");
            assert_eq!(pair.net.counters.failures.get(), 1);
            let back = pair.cx.pool().available();
            assert!(if resets { back == 64 } else { back <= 64 - 30 }, "{what}: {back} packets");
            pair.sweep();
            assert!(pair.arm() && pair.deadline() == Instant::NEVER);
        }
    }
}

/// Whatever stands in the queues: nothing panics, no packet is lost or comes back twice.
#[test]
fn random_queues_do_no_harm() {
    let (mut failures, mut frames) = (0, 0);
    for seed in 0..200u32 {
        let config = if seed & 1 == 0 { &SMALL } else { &SMALL_PLAIN };
        let index = seed.wrapping_mul(9973) as u16;
        let mut pair = Pair::started_at(config, Registers::default(), 64, index);
        for _ in 0..seed {
            pair.cx.random.u64();
        }
        for _ in 0..200 {
            let (kind, place) = (pair.cx.random.u64(), pair.cx.random.u64());
            let side = if kind & 1 == 0 { &mut pair.receive } else { &mut pair.transmit };
            let rare = kind & 0x1f00 == 0;
            match kind >> 1 & 7 {
                0 if rare => side.set_used(side.used_index().wrapping_add(1)),
                1 if rare => side.give_back((kind >> 16 & 9) as u32, place as u32),
                2 if rare => side.set_used(place as u16),
                3 if rare => side.scribble(place, (kind >> 32) as u32),
                4 if kind & 0x300 == 0 => drop(pair.arm()),
                5 => {
                    let frame = pair.packet(&[0; 60]);
                    drop(pair.net.send(frame));
                }
                6 => {
                    // What an obedient device does.
                    if let Some(head) = side.next_head() {
                        side.give_back(head.into(), 72);
                    }
                }
                _ => frames += pair.sweep().len(),
            }
        }
        pair.sweep();
        pair.receive();
        failures += pair.net.counters.failures.get();
        if let Some(card) = &mut pair.net.card {
            let lent = card.receive.lent().count() + card.transmit.lent().count();
            assert_eq!(pair.cx.pool().available(), 64 - lent);
        } else {
            assert_eq!(pair.cx.pool().available(), 64);
        }
    }
    assert!(failures > 100 && frames > 100, "{failures} failures, {frames} frames");
}

#[test]
fn a_chain_is_returned_by_its_head_only() {
    let mut pair = Pair::new(&CONFIG, Registers::default(), 64);
    let frame = large(&mut pair, 3, 0);
    pair.net.send(frame).unwrap();
    pair.transmit();
    let (head, _) = pair.transmit.next().unwrap();
    pair.transmit.give_back(u32::from(head) + 1, 0);
    pair.sweep();
    assert!(pair.registers.failed);
}

#[test]
fn a_device_that_needs_a_reset_is_stopped() {
    let mut pair = Pair::new(&CONFIG, Registers::default(), 64);
    pair.sweep();
    pair.registers.needs_reset = true;
    pair.sweep();
    assert!(!pair.registers.failed, "not looked at in every sweep");
    assert_eq!(pair.deadline(), pair.net.check_at);
    pair.cx.set_now(pair.net.check_at);
    pair.sweep();
    assert!(pair.registers.failed && pair.cx.pool().available() == 64);
}

#[test]
fn the_link_goes_down_and_comes_up() {
    let mut pair = Pair::new(&CONFIG, Registers::default(), 64);
    pair.sweep();
    for (status, link_up) in [(0, false), (1, true), (2, false)] {
        (pair.registers.status, pair.registers.changed) = (status, true);
        pair.sweep();
        let check = pair.deadline();
        assert!(check <= pair.cx.now() + CHECK);
        pair.cx.set_now(check);
        pair.sweep();
        assert_eq!(pair.net.link_up(), link_up);
        assert_eq!(pair.net.counters.link_up.get(), u64::from(link_up));
        assert_eq!(pair.deadline(), Instant::NEVER);
    }
    assert_eq!(pair.net.counters.link_changes.get(), 3);
}

#[test]
fn a_device_without_interrupts_is_polled() {
    let registers = Registers { interrupts: false, ..Registers::default() };
    let mut pair = Pair::new(&CONFIG, registers, 64);
    pair.sweep();
    assert_eq!(pair.deadline(), pair.cx.now() + POLL);
}

#[test]
fn a_queue_is_made_only_of_what_fits() {
    use waitless::device::Dma;
    let dma = |length: usize| {
        let cells = (0..length.div_ceil(8)).map(|_| Cell::new(0)).collect::<Box<[_]>>();
        Dma::over(Box::leak(cells), 0)
    };
    for size in [4, 8, 256, 1024] {
        assert!(Queue::new(dma(Queue::bytes(size)), size, true).is_some());
        assert!(Queue::new(dma(Queue::bytes(size) - 8), size, true).is_none());
    }
    for size in [0, 3, 100, 2048] {
        assert!(Queue::new(dma(1 << 16), size, true).is_none(), "{size}");
    }
}
