//! The virtual LAN, lent a fake card.

extern crate std;

use super::*;
use std::boxed::Box;
use std::collections::VecDeque;
use std::vec::Vec;
use waitless::packet::ChecksumState;
use waitless::{Mac, NicPort, testing};

/// A card with frames to receive.
#[derive(Default)]
struct Nic {
    arrived: VecDeque<Packet>,
    sent: Vec<Packet>,
    room: usize,
}

impl NicPort for Nic {
    fn mac(&self) -> Mac {
        Mac([2, 0, 0, 0, 0, 1])
    }

    fn mtu(&self) -> u16 {
        1500
    }

    fn recv(&mut self) -> Option<Packet> {
        self.arrived.pop_front()
    }

    fn send(&mut self, frame: Packet) -> Result<(), Packet> {
        if self.sent.len() == self.room {
            return Err(frame);
        }
        self.sent.push(frame);
        Ok(())
    }

    fn room(&self) -> usize {
        self.room - self.sent.len()
    }
}

struct Bench {
    vlan: Vlan,
    nic: Nic,
    cx: Context,
}

impl Bench {
    fn new(id: u16, priority: u8) -> Self {
        let mut cx = testing::context(256, 1);
        let mut vlan = Vlan::new(Box::leak(Box::new(Config { id, priority })), &mut cx);
        let mut nic = Nic { room: 64, ..Nic::default() };
        vlan.init(&mut nic, &mut cx).unwrap();
        Self { vlan, nic, cx }
    }

    fn frame(&self, bytes: &[u8]) -> Packet {
        let mut frame = self.cx.packet().unwrap();
        frame.append(bytes).unwrap();
        frame
    }

    fn arrive(&mut self, bytes: &[u8]) {
        let frame = self.frame(bytes);
        self.nic.arrived.push_back(frame);
        self.vlan.receive(&mut self.nic, &mut self.cx);
    }

    fn deadline(&self) -> Instant {
        Component::<Nic>::deadline(&self.vlan)
    }
}

const ENDS: &[u8; 12] = b"toyouufromme";

fn frame(tag: &[u8], rest: &[u8]) -> Vec<u8> {
    [ENDS, tag, rest].concat()
}

#[test]
fn frames_lose_the_tag_on_their_way_up() {
    let mut bench = Bench::new(5, 0);
    // Whatever their priority is.
    bench.arrive(&frame(&[0x81, 0, 0xe0, 5], b"\x08\x00payload"));
    let up = bench.vlan.recv().unwrap();
    assert_eq!(up.bytes(), frame(b"", b"\x08\x00payload"));
    assert!(bench.vlan.recv().is_none() && bench.deadline() == Instant::NEVER);
}

#[test]
fn frames_get_the_tag_on_their_way_down() {
    let mut bench = Bench::new(0xabc, 5);
    let mut packet = bench.frame(&frame(b"", b"\x08\x00payload"));
    packet.request_checksum(14, 2);
    let ChecksumState::Partial { start, .. } = packet.info().checksum else { panic!() };
    bench.vlan.send(packet).unwrap();
    assert_eq!(bench.deadline(), Instant::ZERO);
    bench.vlan.transmit(&mut bench.nic, &mut bench.cx);
    let sent = &bench.nic.sent[0];
    assert_eq!(sent.bytes(), frame(&[0x81, 0, 0xaa, 0xbc], b"\x08\x00payload"));
    // What the card is to sum has not moved.
    assert_eq!(sent.info().checksum, ChecksumState::Partial { start, offset: 2 });
    assert_eq!((bench.deadline(), bench.vlan.mtu()), (Instant::NEVER, 1500));
}

#[test]
fn what_does_not_have_the_tag_is_dropped_and_counted() {
    let mut bench = Bench::new(5, 0);
    bench.arrive(&frame(b"", b"\x08\x00payload"));
    bench.arrive(b"short");
    bench.arrive(&frame(&[0x81, 0], b"\x00"));
    bench.arrive(&frame(&[0x88, 0xa8, 0, 5], b"\x08\x00payload"));
    bench.arrive(&frame(&[0x81, 0, 0, 6], b"\x08\x00payload"));
    bench.arrive(&frame(&[0x81, 0, 0, 0], b"\x08\x00payload"));
    let c = bench.vlan.counters;
    assert_eq!((c.untagged.get(), c.foreign.get(), c.received.get()), (4, 2, 0));
    let packet = bench.frame(b"too short");
    bench.vlan.send(packet).unwrap();
    bench.vlan.transmit(&mut bench.nic, &mut bench.cx);
    assert_eq!((bench.vlan.counters.no_room.get(), bench.nic.sent.len()), (1, 0));
    assert_eq!(bench.cx.pool().available(), bench.cx.pool().count());
}

#[test]
fn nothing_is_pulled_for_which_there_is_no_room() {
    let mut bench = Bench::new(5, 0);
    for _ in 0..40 {
        let frame = bench.frame(&frame(&[0x81, 0, 0, 5], b"\x08\x00"));
        bench.nic.arrived.push_back(frame);
    }
    bench.vlan.receive(&mut bench.nic, &mut bench.cx);
    bench.vlan.receive(&mut bench.nic, &mut bench.cx);
    assert_eq!(bench.nic.arrived.len(), 8);
    bench.nic.room = 1;
    for number in 0..3 {
        let packet = bench.frame(&frame(b"", &[8, 0, number]));
        bench.vlan.send(packet).unwrap();
    }
    bench.vlan.transmit(&mut bench.nic, &mut bench.cx);
    assert_eq!((bench.nic.sent.len(), bench.deadline()), (1, Instant::ZERO));
    bench.nic.room = 3;
    bench.vlan.transmit(&mut bench.nic, &mut bench.cx);
    let order: Vec<_> = bench.nic.sent.iter().map(|frame| frame.bytes()[18]).collect();
    assert_eq!(order, [0, 1, 2]);
}
