//! The link, lent a fake network card. A test reads like a trace: what arrives, what is sent.

extern crate std;

use super::*;
use crate::arp::tests::{ask, reply};
use std::collections::VecDeque;
use std::vec::Vec;
use waitless::testing;

pub(crate) const OURS: Mac = Mac([2, 0, 0, 0, 0, 1]);
pub(crate) const PEER: Mac = Mac([2, 0, 0, 0, 0, 2]);
pub(crate) const OTHER: Mac = Mac([2, 0, 0, 0, 0, 3]);
pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub(crate) const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 254);

pub(crate) const CONFIG: Config = Config {
    neighbours: 256,
    pending: 64,
    reachable: Duration::from_secs(60),
    probe: false,
    defend: Defence::Once,
};

/// A card whose wire is two queues.
pub(crate) struct Nic {
    pub arriving: VecDeque<Packet>,
    pub sent: VecDeque<Packet>,
    pub room: usize,
    pub up: bool,
    pub mac: Mac,
    pub leads: bool,
}

impl NicPort for Nic {
    fn mac(&self) -> Mac {
        self.mac
    }

    fn mtu(&self) -> u16 {
        1500
    }

    fn link_up(&self) -> bool {
        self.up
    }

    fn leads(&self) -> bool {
        self.leads
    }

    fn recv(&mut self) -> Option<Packet> {
        self.arriving.pop_front()
    }

    fn send(&mut self, frame: Packet) -> Result<(), Packet> {
        if self.room() == 0 {
            return Err(frame);
        }
        self.sent.push_back(frame);
        Ok(())
    }

    fn room(&self) -> usize {
        self.room - self.sent.len()
    }
}

/// A link on a card, and its surroundings.
pub(crate) struct Bench {
    pub link: Ethernet,
    pub nic: Nic,
    pub cx: Context,
}

impl Bench {
    pub fn new(config: Config) -> Self {
        Self::on(config, true)
    }

    /// A link on a core that speaks for the host, or that follows one which does.
    pub fn on(config: Config, leads: bool) -> Self {
        let mut cx = testing::context(1024, 1);
        let mut nic = Nic {
            arriving: VecDeque::new(),
            sent: VecDeque::new(),
            room: 256,
            up: true,
            mac: OURS,
            leads,
        };
        let mut link = Ethernet::new(std::boxed::Box::leak(std::boxed::Box::new(config)), &mut cx);
        link.init(&mut nic, &mut cx).unwrap();
        Self { link, nic, cx }
    }

    /// A link that has announced `ADDRESS`.
    pub fn announced() -> Self {
        let mut bench = Self::new(CONFIG);
        bench.link.claim(Some(ADDRESS));
        bench.run_to(5_000);
        bench.nic.sent.clear();
        bench
    }

    pub fn packet(&self, bytes: &[u8]) -> Packet {
        let mut packet = self.cx.packet().unwrap();
        packet.append(bytes).unwrap();
        packet
    }

    /// A frame arrives and the link sweeps.
    pub fn frame(&mut self, to: Mac, from: Mac, protocol: u16, payload: &[u8]) {
        let bytes = [&to.0[..], &from.0, &protocol.to_be_bytes(), payload].concat();
        let packet = self.packet(&bytes);
        self.nic.arriving.push_back(packet);
        self.sweep();
    }

    pub fn sweep(&mut self) {
        self.link.receive(&mut self.nic, &mut self.cx);
        self.link.transmit(&mut self.nic, &mut self.cx);
    }

    fn deadline(&self) -> Instant {
        Component::<Nic>::deadline(&self.link)
    }

    /// Sweeps at every deadline up to `millis`.
    pub fn run_to(&mut self, millis: u64) {
        let end = Instant::ZERO + Duration::from_millis(millis);
        self.sweep();
        while self.deadline() <= end {
            self.cx.set_now(self.deadline());
            self.sweep();
        }
        self.cx.set_now(end);
        self.sweep();
    }

    pub fn send(&mut self, to: Ipv4Addr, payload: &[u8]) {
        let packet = self.packet(payload);
        self.link.send(EtherType::IPV4, NextHop::Ipv4(to), packet).unwrap();
        self.link.transmit(&mut self.nic, &mut self.cx);
    }

    /// What was sent since the last call.
    pub fn sent(&mut self) -> Vec<Vec<u8>> {
        self.nic.sent.drain(..).map(|frame| frame.bytes().to_vec()).collect()
    }

    /// Frames that were dropped for a reason that receiving has.
    pub fn accounted(&self) -> u64 {
        let counters = self.link.counters;
        let reasons = [
            &counters.delivered,
            &counters.runts,
            &counters.foreign,
            &counters.bad_source,
            &counters.unknown_type,
            &counters.length_frames,
            &counters.arp_malformed,
            &counters.arp_own,
            &counters.arp_conflicts,
            &counters.arp_requests,
            &counters.arp_heard,
        ];
        reasons.iter().map(|counter| counter.get()).sum()
    }
}

pub(crate) fn framed(to: Mac, payload: &[u8]) -> Vec<u8> {
    [&to.0[..], &OURS.0, &[8, 0], payload].concat()
}

#[test]
fn frames_are_taken_or_dropped_for_a_reason() {
    let multicast = Mac([1, 0, 0x5e, 0, 0, 1]);
    type Reason = fn(&Counters) -> &waitless::Counter;
    let cases: [(Mac, Mac, u16, Reason); 9] = [
        (OURS, PEER, 0x0800, |c| &c.delivered),
        (Mac::BROADCAST, PEER, 0x0800, |c| &c.delivered),
        (multicast, PEER, 0x0800, |c| &c.delivered),
        (OTHER, PEER, 0x0800, |c| &c.foreign),
        (OURS, multicast, 0x0800, |c| &c.bad_source),
        (OURS, OURS, 0x0800, |c| &c.bad_source),
        (OURS, PEER, 0x86dd, |c| &c.unknown_type),
        (OURS, PEER, 0x0100, |c| &c.length_frames),
        (OURS, PEER, 0x0806, |c| &c.arp_malformed),
    ];
    for (to, from, protocol, reason) in cases {
        let mut bench = Bench::announced();
        bench.frame(to, from, protocol, b"payload");
        assert_eq!(reason(bench.link.counters).get(), 1, "{to} {from} {protocol:04x}");
        assert_eq!(bench.accounted(), 1);
        if let Some(packet) = bench.link.recv(EtherType::IPV4) {
            assert_eq!(packet.bytes(), b"payload");
            assert_eq!((packet.info().mac, packet.info().broadcast), (from, to != OURS));
        }
        assert!(bench.sent().is_empty());
    }
}

#[test]
fn a_runt_is_dropped() {
    for length in 0..HEADER {
        let mut bench = Bench::announced();
        let packet = bench.packet(&[0xff; HEADER][..length]);
        bench.nic.arriving.push_back(packet);
        bench.sweep();
        assert_eq!(bench.link.counters.runts.get(), 1);
    }
}

#[test]
fn ipv6_is_taken_once_somebody_asks_for_it() {
    let mut bench = Bench::announced();
    assert!(bench.link.recv(EtherType::IPV6).is_none());
    bench.frame(OURS, PEER, 0x86dd, b"six");
    assert_eq!(bench.link.recv(EtherType::IPV6).unwrap().bytes(), b"six");
}

#[test]
fn who_does_not_take_packets_stops_the_flow() {
    let mut bench = Bench::announced();
    for _ in 0..100 {
        bench.frame(OURS, PEER, 0x0800, b"payload");
    }
    assert_eq!(bench.nic.arriving.len(), 100 - bench.link.ip4.capacity());
    assert_eq!(bench.deadline(), Instant::ZERO);
}

#[test]
fn a_packet_to_a_station_or_to_all_needs_no_question() {
    let mut bench = Bench::announced();
    for (hop, to) in [(NextHop::Broadcast, Mac::BROADCAST), (NextHop::Mac(OTHER), OTHER)] {
        let packet = bench.packet(b"hello");
        bench.link.send(EtherType::IPV4, hop, packet).unwrap();
        bench.sweep();
        assert_eq!(bench.sent(), [framed(to, b"hello")]);
    }
}

#[test]
fn what_can_never_be_sent_is_dropped_and_what_can_not_be_sent_now_comes_back() {
    let mut bench = Bench::announced();
    bench.send(GATEWAY, &[0; 1501]);
    assert_eq!(bench.link.counters.too_long.get(), 1);
    let mut packet = bench.packet(b"no headroom");
    packet.reset(13);
    bench.link.send(EtherType::IPV4, NextHop::Broadcast, packet).unwrap();
    assert_eq!(bench.link.counters.no_room.get(), 1);
    while bench.link.room() > 0 {
        let packet = bench.packet(b"hello");
        bench.link.send(EtherType::IPV4, NextHop::Broadcast, packet).unwrap();
    }
    let packet = bench.packet(b"hello");
    let packet = bench.link.send(EtherType::IPV4, NextHop::Broadcast, packet).unwrap_err();
    assert_eq!(packet.bytes(), b"hello");
}

#[test]
fn frames_wait_in_order_while_the_card_is_full() {
    let mut bench = Bench::announced();
    bench.nic.room = 1;
    for text in [b"1", b"2", b"3"] {
        let packet = bench.packet(text);
        bench.link.send(EtherType::IPV4, NextHop::Broadcast, packet).unwrap();
    }
    for text in [b"1", b"2", b"3"] {
        bench.sweep();
        assert_eq!(bench.sent(), [framed(Mac::BROADCAST, text)]);
    }
}

#[test]
fn what_waits_for_the_card_goes_when_the_link_does() {
    let mut bench = Bench::announced();
    bench.nic.room = 0;
    let packet = bench.packet(b"hello");
    bench.link.send(EtherType::IPV4, NextHop::Broadcast, packet).unwrap();
    bench.sweep();
    assert_eq!(bench.deadline(), Instant::ZERO);
    bench.nic.up = false;
    bench.sweep();
    assert_eq!(bench.link.counters.link_down.get(), 1);
    assert_eq!(bench.deadline(), Instant::NEVER);
}

#[test]
fn no_frame_panics_and_every_frame_is_accounted_for() {
    let mut bench = Bench::announced();
    let seeds = [
        [&OURS.0[..], &PEER.0, &[8, 0], &[0x45; 40]].concat(),
        [&Mac::BROADCAST.0[..], &PEER.0, &[8, 6], &ask(PEER, GATEWAY, ADDRESS)].concat(),
        [&OURS.0[..], &PEER.0, &[8, 6], &reply(PEER, GATEWAY, ADDRESS)].concat(),
    ];
    for round in 0..20_000usize {
        let mut bytes = seeds[round % seeds.len()].clone();
        for _ in 0..bench.cx.random.below(4) {
            let at = bench.cx.random.below(bytes.len() as u64) as usize;
            bytes[at] = bench.cx.random.u32() as u8;
        }
        if bench.cx.random.below(4) == 0 {
            bytes.truncate(bench.cx.random.below(bytes.len() as u64 + 1) as usize);
        }
        let later = bench.cx.now() + Duration::from_millis(bench.cx.random.below(300));
        bench.cx.set_now(later);
        let packet = bench.packet(&bytes);
        bench.nic.arriving.push_back(packet);
        if round % 7 == 0 {
            let to = Ipv4Addr::from(0x0a00_0000 | bench.cx.random.below(512) as u32);
            bench.send(to, b"out");
        }
        bench.sweep();
        bench.nic.sent.clear();
        while bench.link.recv(EtherType::IPV4).is_some() {}
        assert_eq!(bench.link.counters.received.get(), round as u64 + 1);
        assert_eq!(bench.accounted(), round as u64 + 1);
        assert!(bench.link.arp.neighbours() <= 256);
    }
    let waiting = bench.link.arp.waiting();
    assert_eq!(bench.cx.pool().available() + waiting, bench.cx.pool().count());
}

#[test]
fn an_image_without_a_card_starts_and_one_with_a_broken_card_does_not() {
    let mut bench = Bench::new(CONFIG);
    bench.nic.mac = Mac::default();
    bench.nic.up = false;
    assert!(bench.link.init(&mut bench.nic, &mut bench.cx).is_ok());
    bench.link.claim(Some(ADDRESS));
    bench.run_to(5_000);
    assert!(bench.nic.sent.is_empty());
    bench.nic.up = true;
    assert!(bench.link.init(&mut bench.nic, &mut bench.cx).is_err());
    bench.nic.mac = Mac::BROADCAST;
    assert!(bench.link.init(&mut bench.nic, &mut bench.cx).is_err());
}

#[test]
fn a_link_that_follows_listens_and_asks_and_never_speaks_for_the_host() {
    let mut bench = Bench::on(CONFIG, false);
    assert!(!bench.link.leads());
    bench.link.claim(Some(ADDRESS));
    assert_eq!(bench.link.claim_state(), ClaimState::Owned);
    bench.run_to(10_000);
    assert!(bench.sent().is_empty(), "the address is not announced");

    // Another host asks for our address, and one insists on it: both are for the core that leads.
    bench.frame(Mac::BROADCAST, PEER, 0x0806, &ask(PEER, GATEWAY, ADDRESS));
    bench.frame(Mac::BROADCAST, OTHER, 0x0806, &ask(OTHER, ADDRESS, ADDRESS));
    assert!(bench.sent().is_empty() && bench.link.claim_state() == ClaimState::Owned);

    // Who asked is known, and who is not is asked for.
    bench.send(GATEWAY, b"known");
    assert_eq!(bench.sent()[0][..6], PEER.0);
    let far = Ipv4Addr::new(10, 0, 0, 77);
    bench.send(far, b"unknown");
    let asked = bench.sent();
    assert_eq!((&asked[0][..6], &asked[0][12..14]), (&[0xff; 6][..], &[8, 6][..]));
    bench.frame(OURS, OTHER, 0x0806, &reply(OTHER, far, ADDRESS));
    assert_eq!(bench.sent()[0][..6], OTHER.0);

    bench.nic.up = false;
    bench.sweep();
    bench.nic.up = true;
    bench.run_to(30_000);
    let told = bench.sent().into_iter().filter(|frame| frame[28..32] == frame[38..42]).count();
    assert_eq!((told, bench.link.claim_state()), (0, ClaimState::Owned));
}
