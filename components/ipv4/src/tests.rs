//! The layer, lent a fake link. A test reads like a trace: what arrives, what comes up or goes
//! down.

extern crate std;

mod relay;
mod routes;
mod transit;

use super::*;
use crate::wire::{HEADER, Header, Outgoing};
use std::boxed::Box;
use std::collections::VecDeque;
use std::format;
use std::vec;
use std::vec::Vec;
use waitless::checksum::checksum;
use waitless::packet::ChecksumState;
use waitless::{NextHop, PathErrorKind, testing};

const OURS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 254);
const FAR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);
const NONE: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const ALL: Ipv4Addr = Ipv4Addr::BROADCAST;

const CONFIG: Config = Config {
    address: Some((OURS, 24)),
    gateway: Some(GATEWAY),
    routes: &[],
    dns: &[],
    ttl: 64,
    mtu: None,
    reassembly: 16,
    reassembly_timeout: Duration::from_secs(60),
};

/// A link whose wire is two queues.
struct Link {
    arriving: VecDeque<Packet>,
    sent: VecDeque<(NextHop, Packet)>,
    room: usize,
    claimed: Option<Ipv4Addr>,
    claims: usize,
    state: ClaimState,
    leads: bool,
    turns_back: bool,
}

impl LinkPort for Link {
    fn mac(&self) -> Mac {
        Mac([2, 0, 0, 0, 0, 1])
    }

    fn mtu(&self) -> u16 {
        1500
    }

    fn offloads(&self) -> Offloads {
        Offloads::default()
    }

    fn link_up(&self) -> bool {
        true
    }

    fn leads(&self) -> bool {
        self.leads
    }

    fn turns_back(&self) -> bool {
        self.turns_back
    }

    fn claim(&mut self, address: Option<Ipv4Addr>) {
        self.claimed = address;
        self.claims += 1;
        if self.state != ClaimState::Probing {
            self.state = address.map_or(ClaimState::None, |_| ClaimState::Owned);
        }
    }

    fn claim_state(&self) -> ClaimState {
        self.state
    }

    fn recv(&mut self, protocol: EtherType) -> Option<Packet> {
        assert_eq!(protocol, EtherType::IPV4);
        self.arriving.pop_front()
    }

    fn send(&mut self, _: EtherType, to: NextHop, packet: Packet) -> Result<(), Packet> {
        if self.room() == 0 {
            return Err(packet);
        }
        self.sent.push_back((to, packet));
        Ok(())
    }

    fn room(&self) -> usize {
        self.room - self.sent.len()
    }
}

struct Bench {
    ip: Ipv4,
    link: Link,
    cx: Context,
}

impl Bench {
    fn new(config: Config) -> Self {
        Self::on(config, testing::context(256, 1))
    }

    /// On one core of several, of which the first leads.
    fn on(config: Config, mut cx: Context) -> Self {
        let (arriving, sent) = (VecDeque::new(), VecDeque::new());
        let (state, leads) = (ClaimState::None, cx.core() == 0);
        let (claimed, claims, turns_back) = (None, 0, false);
        let mut link =
            Link { arriving, sent, room: 100, claimed, claims, state, leads, turns_back };
        let mut ip = Ipv4::new(Box::leak(Box::new(config)), &mut cx);
        ip.init(&mut link, &mut cx).unwrap();
        let mut bench = Self { ip, link, cx };
        for _ in 0..2 {
            bench.sweep();
        }
        bench
    }

    fn sweep(&mut self) {
        self.ip.receive(&mut self.link, &mut self.cx);
        for protocol in [Protocol::ICMP, Protocol::UDP, Protocol::TCP] {
            self.ip.path_error(protocol);
            // Asks, without taking anything.
            self.ip.transport(protocol).unwrap().wanted = true;
        }
        self.ip.rejects_wanted = true;
        self.ip.transmit(&mut self.link, &mut self.cx);
    }

    fn deadline(&self) -> Instant {
        Component::<Link>::deadline(&self.ip)
    }

    fn run_to(&mut self, secs: u64) {
        self.cx.set_now(Instant::ZERO + Duration::from_secs(secs));
        self.sweep();
    }

    fn packet(&self, bytes: &[u8]) -> Packet {
        let mut packet = self.cx.packet().unwrap();
        packet.append(bytes).unwrap();
        packet
    }

    fn arrive(&mut self, bytes: &[u8]) {
        let packet = self.packet(bytes);
        self.link.arriving.push_back(packet);
        self.sweep();
    }

    fn up(&mut self) -> Option<Packet> {
        self.ip.recv(Protocol::UDP)
    }

    fn send(&mut self, protocol: Protocol, to: Ipv4Addr, payload: &[u8]) {
        let mut packet = self.packet(payload);
        packet.info_mut().remote = to.into();
        self.ip.send(protocol, packet).unwrap();
        self.ip.transmit(&mut self.link, &mut self.cx);
    }

    fn sent(&mut self) -> Option<(NextHop, Header, Vec<u8>)> {
        let (hop, packet) = self.link.sent.pop_front()?;
        let header = Header::parse(packet.bytes()).unwrap();
        assert_eq!((header.length, header.total), (HEADER, packet.len()));
        Some((hop, header, packet.bytes()[HEADER..].to_vec()))
    }

    /// Packets that were kept or dropped for a reason, minus those reassembled.
    fn accounted(&self) -> u64 {
        let c = self.ip.counters;
        let reasons = [
            &c.delivered,
            &c.short,
            &c.bad_version,
            &c.bad_header_length,
            &c.bad_length,
            &c.bad_checksum,
            &c.bad_source,
            &c.foreign,
            &c.bad_options,
            &c.unknown_protocol,
            &c.mailbox_full,
            &c.fragments,
            &c.bad_fragments,
            &c.long_fragments,
            &c.fragments_full,
        ];
        reasons.iter().map(|counter| counter.get()).sum::<u64>() - c.reassembled.get()
    }
}

/// A packet as it arrives. Change what you like, then [`seal`](Self::seal) it.
struct Arriving(Vec<u8>);

impl Arriving {
    fn new(payload: &[u8]) -> Self {
        Self::with_options(&[], payload)
    }

    fn with_options(options: &[u8], payload: &[u8]) -> Self {
        let header = Outgoing {
            source: PEER,
            destination: OURS,
            protocol: Protocol::UDP,
            total: 0,
            identification: Some(7),
            hops: 63,
            class: 0,
        };
        let mut bytes = header.bytes().to_vec();
        bytes[0] += (options.len() / 4) as u8;
        bytes.extend_from_slice(options);
        bytes.extend_from_slice(payload);
        let total = bytes.len() as u16;
        bytes[2..4].copy_from_slice(&total.to_be_bytes());
        Self(bytes)
    }

    fn fragment(offset: usize, more: bool, payload: &[u8]) -> Self {
        let field = (offset / 8) as u16 | if more { 0x2000 } else { 0 };
        Self::new(payload).set(6, &field.to_be_bytes())
    }

    fn from(self, source: Ipv4Addr) -> Self {
        self.set(12, &source.octets())
    }

    fn to(self, destination: Ipv4Addr) -> Self {
        self.set(16, &destination.octets())
    }

    fn set(mut self, at: usize, bytes: &[u8]) -> Self {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    fn seal(mut self) -> Vec<u8> {
        let length = (usize::from(self.0[0] & 15) * 4).min(self.0.len());
        self.0[10..12].fill(0);
        let sum = checksum(&self.0[..length]).to_be_bytes();
        self.set(10, &sum).0
    }
}

type Reason = fn(&Counters) -> &waitless::Counter;

#[test]
fn packets_are_taken_or_dropped_for_a_reason() {
    let new = || Arriving::new(b"payload!");
    let options = |options: &[u8]| Arriving::with_options(options, b"payload!");
    let cases: [(&str, Vec<u8>, Reason); 30] = [
        ("right", new().seal(), |c| &c.delivered),
        ("padded", [new().seal(), vec![0; 18]].concat(), |c| &c.delivered),
        ("empty", new().seal()[..0].to_vec(), |c| &c.short),
        ("short", new().seal()[..19].to_vec(), |c| &c.short),
        ("cut", new().seal()[..27].to_vec(), |c| &c.bad_length),
        ("version 6", new().set(0, &[0x65]).seal(), |c| &c.bad_version),
        ("short header", new().set(0, &[0x44]).seal(), |c| &c.bad_header_length),
        ("header longer than packet", new().set(0, &[0x4f]).seal(), |c| &c.bad_header_length),
        ("total in header", new().set(2, &[0, 19]).seal(), |c| &c.bad_length),
        ("checksum", new().set(10, &[1, 2]).0, |c| &c.bad_checksum),
        ("hops 0", new().set(8, &[0]).seal(), |c| &c.delivered),
        ("from nobody", new().from(NONE).seal(), |c| &c.bad_source),
        ("from all", new().from(ALL).seal(), |c| &c.bad_source),
        ("from loopback", new().from(Ipv4Addr::LOCALHOST).seal(), |c| &c.bad_source),
        ("from a group", new().from(Ipv4Addr::new(224, 0, 0, 1)).seal(), |c| &c.bad_source),
        ("from class E", new().from(Ipv4Addr::new(240, 0, 0, 1)).seal(), |c| &c.bad_source),
        ("from the net", new().from(Ipv4Addr::new(10, 0, 0, 255)).seal(), |c| &c.bad_source),
        ("from us", new().from(OURS).seal(), |c| &c.bad_source),
        ("to another", new().to(PEER).seal(), |c| &c.foreign),
        ("to loopback", new().to(Ipv4Addr::LOCALHOST).seal(), |c| &c.foreign),
        ("to all", new().to(ALL).seal(), |c| &c.delivered),
        ("to the net", new().to(Ipv4Addr::new(10, 0, 0, 255)).seal(), |c| &c.delivered),
        ("to all hosts", new().to(input::ALL_HOSTS).seal(), |c| &c.delivered),
        ("to a group", new().to(Ipv4Addr::new(224, 0, 0, 5)).seal(), |c| &c.foreign),
        ("router alert", options(&[148, 4, 0, 0]).seal(), |c| &c.delivered),
        ("loose route", options(&[131, 3, 4, 0]).seal(), |c| &c.bad_options),
        ("strict route", options(&[1, 137, 3, 4]).seal(), |c| &c.bad_options),
        ("option too long", options(&[148, 5, 0, 0]).seal(), |c| &c.bad_options),
        ("option without length", options(&[1, 1, 1, 148]).seal(), |c| &c.bad_options),
        ("protocol 99", new().set(9, &[99]).seal(), |c| &c.unknown_protocol),
    ];
    for (what, bytes, reason) in cases {
        let mut bench = Bench::new(CONFIG);
        bench.arrive(&bytes);
        assert_eq!(reason(bench.ip.counters).get(), 1, "{what}");
        assert_eq!(bench.accounted(), 1, "{what}");
        if let Some(packet) = bench.up() {
            assert_eq!(packet.bytes(), b"payload!", "{what}");
            assert_eq!(packet.info().remote, IpAddr::V4(PEER), "{what}");
            assert_eq!(packet.info().broadcast, what.starts_with("to "), "{what}");
            let options = if what == "router alert" { 4 } else { 0 };
            assert_eq!(packet.info().ip_header, 20 + options, "{what}");
        }
    }
}

#[test]
fn an_address_of_one_host_in_a_frame_to_all_is_a_mistake() {
    let mut bench = Bench::new(CONFIG);
    let mut packet = bench.packet(&Arriving::new(b"payload!").seal());
    packet.info_mut().broadcast = true;
    bench.link.arriving.push_back(packet);
    bench.sweep();
    assert_eq!(bench.ip.counters.foreign.get(), 1);
}

#[test]
fn a_packet_goes_to_its_neighbour_or_to_the_gateway() {
    let group = Mac([1, 0, 0x5e, 0x7f, 1, 2]);
    let cases = [
        (PEER, NextHop::Ipv4(PEER)),
        (GATEWAY, NextHop::Ipv4(GATEWAY)),
        (FAR, NextHop::Ipv4(GATEWAY)),
        (ALL, NextHop::Broadcast),
        (Ipv4Addr::new(10, 0, 0, 255), NextHop::Broadcast),
        (Ipv4Addr::new(239, 255, 1, 2), NextHop::Mac(group)),
    ];
    for (to, expected) in cases {
        let mut bench = Bench::new(CONFIG);
        for _ in 0..2 {
            bench.send(Protocol::UDP, to, b"data");
            let (hop, header, payload) = bench.sent().unwrap();
            assert_eq!((hop, header.source, header.destination), (expected, OURS, to));
            assert_eq!((header.hops, header.protocol), (64, Protocol::UDP));
            assert_eq!(payload, b"data");
        }
        assert_eq!(bench.ip.source_for(to.into()), Some(OURS.into()));
    }
}

#[test]
fn what_no_route_leads_to_stays_here() {
    let mut bench = Bench::new(Config { gateway: None, ..CONFIG });
    for to in [NONE, Ipv4Addr::new(240, 0, 0, 1), FAR] {
        bench.send(Protocol::UDP, to, b"data");
        assert_eq!(bench.ip.source_for(to.into()), None);
    }
    assert_eq!(bench.ip.counters.no_route.get(), 3);
    assert!(bench.sent().is_none());
}

#[test]
fn a_network_of_one_reaches_all_through_its_gateway() {
    let gateway = Ipv4Addr::new(169, 254, 1, 1);
    let config = Config { address: Some((OURS, 32)), gateway: Some(gateway), ..CONFIG };
    let mut bench = Bench::new(config);
    for to in [PEER, FAR, gateway] {
        bench.send(Protocol::UDP, to, b"data");
        assert_eq!(bench.sent().unwrap().0, NextHop::Ipv4(gateway));
    }
    let mut bench = Bench::new(Config { address: Some((OURS, 31)), gateway: None, ..CONFIG });
    let neighbour = Ipv4Addr::new(10, 0, 0, 0);
    bench.send(Protocol::UDP, neighbour, b"data");
    assert_eq!(bench.sent().unwrap().0, NextHop::Ipv4(neighbour));
}

#[test]
fn without_an_address_only_everybody_can_be_reached() {
    let mut bench = Bench::new(Config { address: None, gateway: None, ..CONFIG });
    assert!(bench.ip.wants_address());
    bench.send(Protocol::UDP, ALL, b"discover");
    let (hop, header, _) = bench.sent().unwrap();
    assert_eq!((hop, header.source, header.destination), (NextHop::Broadcast, NONE, ALL));
    bench.send(Protocol::UDP, PEER, b"data");
    assert!(bench.sent().is_none());
    assert_eq!(bench.ip.source_for(ALL.into()), Some(NONE.into()));
    // The offer comes to the address that is offered, and nothing else does.
    bench.arrive(&Arriving::new(b"an offer").seal());
    assert_eq!(bench.up().unwrap().bytes(), b"an offer");
    bench.arrive(&Arriving::new(b"segments").set(9, &[6]).seal());
    assert_eq!(bench.ip.counters.foreign.get(), 1);
    let mut packet = bench.packet(&Arriving::new(b"an offer").seal());
    packet.info_mut().broadcast = true;
    bench.link.arriving.push_back(packet);
    bench.sweep();
    assert!(bench.up().unwrap().info().broadcast, "in a frame to all");
}

fn configuration(address: Ipv4Addr) -> Ipv4Configuration {
    let (gateway, dns) = (Some(GATEWAY), [NONE; 3]);
    Ipv4Configuration { address, prefix: 24, gateway, dns, mtu: 0, routes: &[] }
}

#[test]
fn an_address_is_claimed_and_used_once_it_is_ours() {
    let mut bench = Bench::new(Config { address: None, gateway: None, ..CONFIG });
    bench.link.state = ClaimState::Probing;
    let before = bench.ip.generation();
    bench.ip.configure(Some(configuration(OURS)));
    bench.ip.transmit(&mut bench.link, &mut bench.cx);
    assert_eq!(bench.link.claimed, Some(OURS));
    assert!(!bench.ip.is_local(OURS.into()), "still asking");
    assert_eq!(bench.ip.generation(), before);
    bench.link.state = ClaimState::Owned;
    bench.sweep();
    assert!(bench.ip.is_local(OURS.into()));
    assert_eq!(bench.ip.generation(), before + 1);
    let claims = bench.link.claims;
    bench.ip.configure(Some(configuration(OURS)));
    bench.sweep();
    assert_eq!((bench.link.claims, bench.ip.generation()), (claims, before + 1));
    bench.ip.configure(Some(configuration(PEER)));
    bench.sweep();
    assert!(bench.ip.is_local(PEER.into()) && !bench.ip.is_local(OURS.into()));
    assert_eq!(bench.ip.generation(), before + 3, "one went, one came");
    bench.ip.configure(None);
    bench.sweep();
    assert_eq!(bench.link.claimed, None);
    assert!(!bench.ip.is_local(PEER.into()));
}

#[test]
fn an_address_of_the_manifest_that_is_lost_is_tried_again_later() {
    let mut bench = Bench::new(CONFIG);
    bench.link.state = ClaimState::Conflict(Mac([2, 0, 0, 0, 0, 9]));
    bench.sweep();
    assert!(!bench.ip.is_local(OURS.into()));
    bench.send(Protocol::UDP, PEER, b"data");
    assert!(bench.sent().is_none());
    bench.run_to(59);
    assert_eq!(bench.link.claims, 1);
    assert_eq!(bench.deadline(), Instant::ZERO + Duration::from_secs(60));
    bench.run_to(60);
    assert_eq!((bench.link.claims, bench.link.claimed), (3, Some(OURS)));
    assert!(bench.ip.is_local(OURS.into()));
}

#[test]
fn a_wrong_manifest_is_refused() {
    let host = |a, b, c, d| Ipv4Addr::new(a, b, c, d);
    let cases = [
        (Some((host(10, 0, 0, 255), 24)), Some(GATEWAY)),
        (Some((host(127, 0, 0, 1), 8)), None),
        (Some((host(224, 0, 0, 1), 8)), None),
        (Some((host(0, 0, 0, 1), 8)), None),
        (Some((OURS, 33)), None),
        (Some((OURS, 24)), Some(OURS)),
        (Some((OURS, 24)), Some(ALL)),
    ];
    for (address, gateway) in cases {
        let mut bench = Bench::new(CONFIG);
        let config = Box::leak(Box::new(Config { address, gateway, ..CONFIG }));
        let mut ip = Ipv4::new(config, &mut bench.cx);
        assert!(ip.init(&mut bench.link, &mut bench.cx).is_err(), "{address:?} {gateway:?}");
    }
}

#[test]
fn only_datagrams_may_be_fragmented_on_their_way() {
    let mut bench = Bench::new(CONFIG);
    let mut seen = vec![false; 65_536];
    for _ in 0..65_536 {
        bench.send(Protocol::UDP, FAR, b"data");
        let (_, header, _) = bench.sent().unwrap();
        let twice = core::mem::replace(&mut seen[usize::from(header.identification)], true);
        assert!(!twice, "an identification comes back only after all others (RFC 6864)");
    }
    let mut packet = bench.packet(b"data");
    packet.info_mut().remote = FAR.into();
    bench.ip.send(Protocol::TCP, packet).unwrap();
    bench.sweep();
    let (_, packet) = bench.link.sent.pop_front().unwrap();
    assert_eq!(packet.bytes()[4..8], [0, 0, 0x40, 0], "DF, and no identification");
}

#[test]
fn what_can_never_be_sent_is_dropped_and_what_can_not_be_sent_now_comes_back() {
    let mut bench = Bench::new(Config { mtu: Some(1400), ..CONFIG });
    assert_eq!(bench.ip.mtu(FAR.into()), 1400);
    bench.send(Protocol::UDP, FAR, &[0; 1381]);
    assert_eq!(bench.ip.counters.too_long.get(), 1);
    bench.send(Protocol::UDP, FAR, &[0; 1380]);
    assert!(bench.sent().is_some());
    let mut packet = bench.packet(b"");
    packet.info_mut().remote = FAR.into();
    packet.info_mut().local = PEER.into();
    bench.ip.send(Protocol::UDP, packet).unwrap();
    assert_eq!(bench.ip.counters.not_ours.get(), 1);
    let mut packet = bench.packet(b"");
    packet.reset(19);
    packet.info_mut().remote = FAR.into();
    bench.ip.send(Protocol::UDP, packet).unwrap();
    assert_eq!(bench.ip.counters.no_room.get(), 1);
    bench.link.room = 0;
    for _ in 0..bench.ip.room() {
        bench.send(Protocol::UDP, FAR, b"waits");
    }
    let mut packet = bench.packet(b"back");
    packet.info_mut().remote = FAR.into();
    assert_eq!(bench.ip.send(Protocol::UDP, packet).unwrap_err().bytes(), b"back");
    assert_eq!(bench.deadline(), Instant::ZERO);
}

#[test]
fn a_packet_that_the_card_cuts_up_may_be_longer_than_the_link_takes() {
    let mut bench = Bench::new(CONFIG);
    let mut first = bench.packet(&[1; 1400]);
    first.info_mut().remote = FAR.into();
    first.info_mut().segment = 1400;
    first.set_next(Some(bench.packet(&[2; 1400])));
    bench.ip.send(Protocol::TCP, first).unwrap();
    bench.sweep();
    let (_, packet) = bench.link.sent.pop_front().unwrap();
    assert_eq!(packet.bytes()[2..4], 2820u16.to_be_bytes());
    assert_eq!(packet.chain_len(), 2820);
}

#[test]
fn a_packet_that_came_goes_out_like_a_new_one() {
    let mut bench = Bench::new(CONFIG);
    for (ip_header, expected) in [(0, (9, 0x2e)), (20, (64, 0))] {
        let mut packet = bench.packet(b"data");
        let info = packet.info_mut();
        (info.remote, info.hops, info.class, info.ip_header) = (FAR.into(), 9, 0x2e, ip_header);
        bench.ip.send(Protocol::UDP, packet).unwrap();
        bench.sweep();
        let (_, header, _) = bench.sent().unwrap();
        assert_eq!((header.hops, header.class), expected);
    }
}

#[test]
fn a_packet_to_ourselves_comes_back_at_once() {
    let mut bench = Bench::new(CONFIG);
    let mut packet = bench.packet(&[0x12, 0x34, 0, 0, 1, 2]);
    packet.request_checksum(0, 2);
    packet.info_mut().remote = OURS.into();
    (packet.info_mut().local_port, packet.info_mut().remote_port) = (1, 2);
    bench.ip.send(Protocol::UDP, packet).unwrap();
    let packet = bench.up().unwrap();
    assert_ne!(packet.bytes()[2..4], [0, 0]);
    let info = packet.info();
    assert_eq!((info.remote, info.local), (OURS.into(), OURS.into()));
    assert_eq!((info.remote_port, info.local_port), (1, 2));
    assert_eq!(info.checksum, ChecksumState::Verified);
    assert!(bench.sent().is_none());
}

#[test]
fn what_is_for_inside_never_leaves_and_never_comes_from_outside() {
    let inside = Ipv4Addr::new(127, 0, 0, 9);
    for config in [CONFIG, Config { address: None, ..CONFIG }] {
        let mut bench = Bench::new(config);
        bench.send(Protocol::UDP, inside, b"data");
        let packet = bench.up().unwrap();
        let info = packet.info();
        assert_eq!((info.remote, info.local), (Ipv4Addr::LOCALHOST.into(), inside.into()));
        assert!(bench.sent().is_none());
        assert!(bench.ip.is_local(inside.into()) && !bench.ip.is_broadcast(inside.into()));
        // On the link there are no such addresses (RFC 1122 section 3.2.1.3 (g)).
        bench.arrive(&Arriving::new(b"payload!").set(16, &inside.octets()).seal());
        bench.arrive(&Arriving::new(b"payload!").set(12, &inside.octets()).seal());
        assert!(bench.up().is_none());
    }
}

#[test]
fn a_rejected_packet_gets_its_header_back() {
    for options in [&[][..], &[148, 4, 0, 0, 1, 1, 1, 0]] {
        let mut bench = Bench::new(CONFIG);
        let bytes = Arriving::with_options(options, b"udp head and data").seal();
        bench.arrive(&bytes);
        let packet = bench.up().unwrap();
        bench.ip.reject(Protocol::UDP, packet, Reject::Port);
        let (packet, why) = bench.ip.rejected().unwrap();
        assert_eq!((packet.bytes(), why), (&bytes[..], Reject::Port));
    }
}

#[test]
fn an_unknown_protocol_is_rejected() {
    let mut bench = Bench::new(CONFIG);
    let bytes = Arriving::new(b"payload!").set(9, &[99]).seal();
    bench.arrive(&bytes);
    let (packet, why) = bench.ip.rejected().unwrap();
    assert_eq!((packet.bytes(), why), (&bytes[..], Reject::Protocol));
}

#[test]
fn what_arrived_before_anybody_asked_is_not_kept_for_nobody() {
    let mut cx = testing::context(8, 1);
    let mut bench = Bench::new(CONFIG);
    bench.ip = Ipv4::new(&CONFIG, &mut cx);
    bench.ip.init(&mut bench.link, &mut bench.cx).unwrap();
    for protocol in [Protocol::TCP, Protocol::UDP] {
        let packet = bench.packet(&Arriving::new(b"payload!").set(9, &[protocol.0]).seal());
        bench.link.arriving.push_back(packet);
    }
    bench.ip.receive(&mut bench.link, &mut bench.cx);
    assert_eq!(bench.ip.counters.delivered.get(), 2);
    assert!(bench.ip.rejected().is_none() && bench.up().is_some());
    bench.ip.receive(&mut bench.link, &mut bench.cx);
    assert_eq!(bench.ip.rejected().unwrap().1, Reject::Protocol);
    assert_eq!(bench.deadline(), Instant::NEVER);
}

#[test]
fn a_sender_is_told_of_options_that_make_no_sense() {
    let option = |options: &[u8]| Arriving::with_options(options, b"payload!");
    let all = Ipv4Addr::new(10, 0, 0, 255);
    let later = option(&[148, 1, 0, 0]).set(6, &[0, 3]).seal();
    let cases = [
        ("a length of 1", option(&[148, 1, 0, 0]).seal(), Some(20)),
        ("too long", option(&[1, 148, 4, 0]).seal(), Some(21)),
        ("no length", option(&[1, 1, 1, 148]).seal(), Some(23)),
        ("a route", option(&[131, 3, 4, 0]).seal(), None),
        ("to all", option(&[148, 1, 0, 0]).to(all).seal(), None),
        ("a later fragment", later, None),
    ];
    for (name, bytes, told) in cases {
        let mut bench = Bench::new(CONFIG);
        bench.arrive(&bytes);
        let rejected = bench.ip.rejected();
        let expected = told.map(|at| Reject::Parameter(0, at));
        assert_eq!(rejected.as_ref().map(|(_, why)| *why), expected, "{name}");
        assert_eq!(bench.ip.counters.bad_options.get(), 1, "{name}");
        if let Some((packet, _)) = rejected {
            assert_eq!((packet.bytes(), packet.info().remote), (&bytes[..], PEER.into()));
        }
    }
    // What is for another host, where its packets are forwarded.
    let mut bench = Bench::new(CONFIG);
    assert!(bench.ip.transit().is_none());
    bench.arrive(&option(&[148, 1, 0, 0]).to(FAR).seal());
    let (packet, why) = bench.ip.rejected().unwrap();
    assert_eq!((why, packet.info().remote), (Reject::Parameter(0, 20), PEER.into()));
    assert_eq!(packet.info().local, IpAddr::V4(OURS));
}

#[test]
fn what_may_not_be_answered_is_not_rejected() {
    let icmp = |kind| Arriving::fragment(0, true, &[kind; 16]).set(9, &[1]).seal();
    let cases = [
        ("to all", Arriving::new(b"payload!").to(ALL).set(9, &[99]).seal(), 0),
        ("to all hosts", Arriving::new(b"payload!").to(input::ALL_HOSTS).set(9, &[99]).seal(), 0),
        ("to us", Arriving::new(b"payload!").set(9, &[99]).seal(), 1),
        ("about an error", icmp(3), 0),
        ("about an echo", icmp(8), 1),
    ];
    for (what, bytes, expected) in cases {
        let mut bench = Bench::new(CONFIG);
        bench.arrive(&bytes);
        bench.run_to(100);
        assert_eq!(bench.ip.counters.rejected.get(), expected, "{what}");
        assert_eq!(bench.ip.counters.rejects_silent.get(), 1 - expected, "{what}");
    }
}

#[test]
fn rejected_packets_are_bounded() {
    let mut bench = Bench::new(CONFIG);
    for _ in 0..REJECTS + 3 {
        bench.arrive(&Arriving::new(b"payload!").set(9, &[99]).seal());
    }
    assert_eq!(bench.ip.counters.rejects_silent.get(), 3);
}

#[test]
fn a_path_error_reaches_its_transport() {
    let mut bench = Bench::new(CONFIG);
    let (local, remote) = (OURS.into(), FAR.into());
    let error = PathError { kind: PathErrorKind::TooBig(1400), local, remote, header: [1; 8] };
    bench.ip.report(Protocol::TCP, error);
    assert_eq!(bench.ip.path_error(Protocol::UDP), None);
    assert_eq!(bench.ip.path_error(Protocol::TCP), Some(error));
    bench.ip.report(Protocol(99), error);
    assert_eq!(bench.ip.counters.errors_dropped.get(), 1);
}

/// A fragment: where, whether more follow, its bytes.
type Piece = (usize, bool, &'static [u8]);

#[test]
fn fragments_become_the_datagram_in_any_order() {
    let pieces: [Piece; 3] = [(0, true, &[1; 16]), (16, true, &[2; 8]), (24, false, &[3; 5])];
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for order in orders {
        let mut bench = Bench::new(CONFIG);
        for (count, index) in order.into_iter().enumerate() {
            assert!(bench.up().is_none());
            let (offset, more, payload) = pieces[index];
            bench.arrive(&Arriving::fragment(offset, more, payload).seal());
            assert_eq!(bench.ip.counters.fragments.get(), count as u64 + 1);
        }
        let packet = bench.up().unwrap();
        assert_eq!(packet.bytes(), [&[1; 16][..], &[2; 8], &[3; 5]].concat());
        assert_eq!((packet.info().remote, packet.info().local), (PEER.into(), OURS.into()));
        bench.ip.reject(Protocol::UDP, packet, Reject::Port);
        let (packet, _) = bench.ip.rejected().unwrap();
        let header = Header::parse(packet.bytes()).unwrap();
        assert_eq!((header.total, header.is_fragment()), (49, false));
        assert_eq!(bench.ip.counters.reassembling.get(), 0);
    }
}

#[test]
fn hostile_fragments_are_dropped_with_all_that_waits_for_them() {
    let first: Piece = (0, true, &[1; 16]);
    let cases: [(&str, [Piece; 2], Reason); 10] = [
        ("overlap", [first, (8, true, &[2; 16])], |c| &c.bad_fragments),
        ("overlap at the end", [first, (8, false, &[2; 20])], |c| &c.bad_fragments),
        ("same place, other bytes", [first, (0, true, &[2; 16])], |c| &c.bad_fragments),
        ("shorter end", [(16, true, &[2; 8]), (8, false, &[1; 8])], |c| &c.bad_fragments),
        ("two ends", [(16, false, &[2; 8]), (32, false, &[1; 8])], |c| &c.bad_fragments),
        ("behind the end", [(16, false, &[2; 8]), (24, true, &[1; 8])], |c| &c.bad_fragments),
        ("length not of 8", [first, (16, true, &[2; 7])], |c| &c.bad_fragments),
        ("nothing", [first, (16, false, &[])], |c| &c.bad_fragments),
        ("longer than IP", [first, (65_528, false, &[2; 8])], |c| &c.bad_fragments),
        ("longer than we take", [first, (4_096, false, &[2; 8])], |c| &c.long_fragments),
    ];
    for (what, pieces, reason) in cases {
        let mut bench = Bench::new(CONFIG);
        for (offset, more, payload) in pieces {
            bench.arrive(&Arriving::fragment(offset, more, payload).seal());
        }
        assert_eq!(reason(bench.ip.counters).get(), 1, "{what}");
        assert_eq!(bench.ip.counters.reassembling.get(), 0, "{what}");
        assert_eq!(bench.accounted(), 2, "{what}");
        assert_eq!(bench.cx.pool().available(), 256, "{what}");
    }
}

#[test]
fn a_repeated_fragment_is_no_overlap() {
    let mut bench = Bench::new(CONFIG);
    for _ in 0..2 {
        bench.arrive(&Arriving::fragment(0, true, &[1; 16]).seal());
    }
    bench.arrive(&Arriving::fragment(16, false, &[2; 3]).seal());
    assert_eq!(bench.up().unwrap().len(), 19);
}

#[test]
fn a_tiny_first_fragment_of_tcp_is_dropped() {
    let mut bench = Bench::new(CONFIG);
    bench.arrive(&Arriving::fragment(0, true, &[1; 16]).set(9, &[6]).seal());
    assert_eq!(bench.ip.counters.bad_fragments.get(), 1);
}

#[test]
fn datagrams_in_fragments_are_bounded_and_one_source_gets_a_share() {
    let mut bench = Bench::new(CONFIG);
    let piece = |id: u16, source| {
        Arriving::fragment(0, true, &[1; 16]).set(4, &id.to_be_bytes()).from(source).seal()
    };
    for id in 0..10 {
        bench.arrive(&piece(id, PEER));
    }
    assert_eq!(bench.ip.counters.reassembling.get(), 4);
    assert_eq!(bench.ip.counters.reassembly_evicted.get(), 6);
    for host in 10..30 {
        bench.arrive(&piece(1, Ipv4Addr::new(10, 0, 1, host)));
    }
    assert_eq!(bench.ip.counters.reassembling.get(), 16);
    let mut bench = Bench::new(Config { reassembly: 0, ..CONFIG });
    bench.arrive(&piece(1, PEER));
    assert_eq!(bench.ip.counters.fragments_full.get(), 1);
}

#[test]
fn a_datagram_with_too_many_pieces_is_dropped() {
    let mut bench = Bench::new(CONFIG);
    for index in 0..65 {
        bench.arrive(&Arriving::fragment(index * 8, true, &[1; 8]).seal());
    }
    assert_eq!(bench.ip.counters.long_fragments.get(), 1);
    assert_eq!(bench.ip.counters.reassembling.get(), 0);
}

#[test]
fn a_late_datagram_is_reported_when_its_first_fragment_is_there() {
    for (offset, expected) in [(0, true), (16, false)] {
        let mut bench = Bench::new(CONFIG);
        bench.arrive(&Arriving::fragment(offset, true, &[1; 16]).seal());
        bench.run_to(59);
        assert_eq!(bench.ip.counters.reassembling.get(), 1);
        assert_eq!(bench.deadline(), Instant::ZERO + Duration::from_secs(60));
        bench.run_to(60);
        assert_eq!(bench.ip.counters.reassembly_late.get(), 1);
        assert_eq!(bench.ip.counters.reassembling.get(), 0);
        let rejected = bench.ip.rejected();
        assert_eq!(rejected.is_some(), expected);
        if let Some((packet, why)) = rejected {
            assert_eq!((packet.len(), why), (36, Reject::Reassembly));
            assert_eq!(packet.info().remote, IpAddr::V4(PEER));
        }
    }
}

#[test]
fn congestion_met_by_one_fragment_is_met_by_the_datagram() {
    for (class, expected) in [([2, 3], Some(3)), ([2, 2], Some(2)), ([0, 3], None)] {
        let mut bench = Bench::new(CONFIG);
        bench.arrive(&Arriving::fragment(0, true, &[1; 16]).set(1, &class[..1]).seal());
        bench.arrive(&Arriving::fragment(16, false, &[1; 16]).set(1, &class[1..]).seal());
        assert_eq!(bench.up().map(|packet| packet.info().class), expected);
    }
}

#[test]
fn no_packet_panics_and_every_packet_is_accounted_for() {
    let mut bench = Bench::new(CONFIG);
    let seeds = [
        Arriving::new(&[7; 40]),
        Arriving::with_options(&[148, 4, 0, 0, 7, 7, 4, 0, 0, 0, 0, 0], &[7; 40]),
        Arriving::fragment(0, true, &[1; 64]),
        Arriving::fragment(64, true, &[1; 640]),
        Arriving::fragment(704, false, &[1; 100]),
    ];
    for round in 0..20_000usize {
        let random = |bench: &mut Bench, limit: usize| bench.cx.random.below(limit as u64) as usize;
        let mut bytes = seeds[round % seeds.len()].0.clone();
        for _ in 0..random(&mut bench, 3) {
            let at = random(&mut bench, 24);
            bytes[at] = bench.cx.random.u32() as u8;
        }
        if random(&mut bench, 4) == 0 {
            let length = random(&mut bench, bytes.len());
            bytes.truncate(length);
        }
        // Most get past the checksum, so that what is behind it is reached.
        if bytes.len() >= HEADER && random(&mut bench, 10) > 0 {
            bytes = Arriving(bytes).seal();
        }
        let later = bench.cx.now() + Duration::from_millis(bench.cx.random.below(500));
        bench.cx.set_now(later);
        bench.arrive(&bytes);
        for protocol in [Protocol::ICMP, Protocol::UDP, Protocol::TCP] {
            if let Some(packet) = bench.ip.recv(protocol) {
                bench.ip.reject(protocol, packet, Reject::Port);
            }
        }
        if let Some((packet, _)) = bench.ip.rejected() {
            assert!(Header::parse(packet.bytes()).is_ok());
        }
        assert_eq!(bench.ip.counters.received.get(), round as u64 + 1);
        assert_eq!(bench.accounted(), round as u64 + 1);
    }
    assert!(bench.ip.counters.reassembled.get() > 100);
    let under_way = bench.ip.reassembly.under_way();
    assert!(under_way <= 16);
    assert_eq!(bench.cx.pool().available() + under_way, 256);
}

/// The header's checksum is summed from its numbers, not from its bytes: for all sums, also those
/// that carry into the next word.
#[test]
fn every_header_that_is_sent_has_a_right_checksum() {
    for total in (20..=u16::MAX).step_by(7) {
        for (source, class) in [(OURS, 0), (Ipv4Addr::new(255, 255, 255, 254), 255)] {
            let header = Outgoing {
                source,
                destination: PEER,
                protocol: Protocol::TCP,
                total,
                identification: (total % 2 == 0).then_some(!total),
                hops: 64,
                class,
            };
            assert_eq!(checksum(&header.bytes()), 0, "{header:?}");
        }
    }
}

#[test]
fn other_cores_use_the_address_when_and_as_long_as_the_first_does() {
    for config in [CONFIG, Config { address: None, ..CONFIG }] {
        let mut all = testing::contexts(2, &testing::Nothing, 256, 1);
        // Where the manifest gives the address, only the name server is new.
        let generation = if config.address.is_some() { 2 } else { 1 };
        let mut first = Bench::on(config, all.next().unwrap());
        let mut second =
            Bench::on(Config { address: Some((FAR, 8)), ..CONFIG }, all.next().unwrap());
        let settings = Ipv4Configuration {
            address: OURS,
            prefix: 24,
            gateway: Some(GATEWAY),
            dns: [PEER, NONE, NONE],
            mtu: 1400,
            routes: &[],
        };
        first.ip.configure(Some(settings));
        first.sweep();
        let sleeps = Component::<Link>::arm(&mut second.ip);
        assert!(!sleeps, "not without having heard of it");
        second.sweep();
        assert!(Component::<Link>::arm(&mut second.ip));
        assert_eq!(second.ip.configuration(), Some(&settings));
        assert_eq!(second.ip.source_for(PEER.into()), Some(OURS.into()));
        assert_eq!((second.link.claimed, second.ip.generation()), (Some(OURS), generation));

        // Nothing changes, so nothing is done.
        let claims = second.link.claims;
        first.sweep();
        second.sweep();
        assert_eq!((second.link.claims, second.ip.generation()), (claims, generation));

        // Another host insists on it: nobody here uses it any more.
        first.link.state = ClaimState::Conflict(Mac([2, 0, 0, 0, 0, 9]));
        first.sweep();
        second.sweep();
        assert_eq!(second.ip.source_for(PEER.into()), None);
        assert_eq!((second.ip.configuration(), second.link.claimed), (None, None));
    }
}

#[test]
fn fragments_meet_on_the_first_core_and_what_they_make_goes_to_the_core_of_its_flow() {
    let mut benches: Vec<_> =
        testing::contexts(4, &testing::Nothing, 256, 1).map(|cx| Bench::on(CONFIG, cx)).collect();
    for _ in 0..2 {
        benches.iter_mut().for_each(Bench::sweep);
    }
    let mut reached = [0; 4];
    for port in 0..32u16 {
        let udp = [&port.to_be_bytes()[..], &7u16.to_be_bytes(), &[0; 12]].concat();
        let home = benches[0].cx.cores().home(waitless::cores::flow::flow(
            PEER.into(),
            port,
            OURS.into(),
            7,
        ));
        for (at, part) in [(0, &udp[..8]), (8, &udp[8..])] {
            let last = at == 8;
            let fragment = Arriving::fragment(at, !last, part).set(4, &port.to_be_bytes());
            benches[0].arrive(&fragment.seal());
        }
        benches.iter_mut().for_each(Bench::sweep);
        for (core, bench) in benches.iter_mut().enumerate() {
            let packet = bench.up();
            assert_eq!(packet.is_some(), core == home, "port {port}");
            assert!(packet.is_none_or(|packet| packet.bytes() == udp));
        }
        reached[home] += 1;
    }
    assert!(reached.iter().all(|count| *count > 0), "{reached:?}");
    benches.iter_mut().for_each(Bench::sweep);
    for bench in benches.iter_mut().rev() {
        bench.sweep();
        assert_eq!(bench.cx.pool().available(), 256);
    }
}
