//! The router, lent fake layers. A test reads like a trace: what passes a layer, and where it goes.

extern crate std;

use super::*;
use core::net::{Ipv4Addr, Ipv6Addr};
use std::boxed::Box;
use std::collections::VecDeque;
use std::vec::Vec;
use waitless::checksum::{Checksum, checksum};
use waitless::{
    ClaimState, IpPort, Ipv4Configuration, Mac, Offloads, PathError, Protocol, network, testing,
};

const INSIDE: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 9);
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 5);

/// A layer with one network.
struct Ip {
    settings: Ipv4Configuration,
    transit: VecDeque<Packet>,
    sent: Vec<Packet>,
    turned: Vec<(Packet, Reject)>,
    mtu: u16,
    /// What is known of the path to anywhere.
    path: u16,
    room: usize,
    forwards: bool,
    /// Whether what goes to its own address turns back on the link.
    turns: bool,
    /// A network of IPv6, and its bits.
    v6: Option<(Ipv6Addr, u8)>,
    /// An address of IPv6.
    own: Option<Ipv6Addr>,
}

impl Ip {
    fn new(address: [u8; 4], prefix: u8, gateway: Option<[u8; 4]>) -> Self {
        let settings = Ipv4Configuration {
            address: address.into(),
            prefix,
            gateway: gateway.map(Ipv4Addr::from),
            dns: [Ipv4Addr::UNSPECIFIED; 3],
            mtu: 0,
            routes: &[],
        };
        let (transit, sent, turned) = (VecDeque::new(), Vec::new(), Vec::new());
        Self {
            settings,
            transit,
            sent,
            turned,
            mtu: 1500,
            path: u16::MAX,
            room: 24,
            forwards: true,
            turns: false,
            v6: None,
            own: None,
        }
    }
}

impl IpPort for Ip {
    fn recv(&mut self, _: Protocol) -> Option<Packet> {
        None
    }

    fn send(&mut self, _: Protocol, packet: Packet) -> Result<(), Packet> {
        Err(packet)
    }

    fn room(&self) -> usize {
        0
    }

    fn source_for(&self, remote: IpAddr) -> Option<IpAddr> {
        network::source_for(Some(&self.settings), remote)
    }

    fn is_local(&self, address: IpAddr) -> bool {
        self.own.is_some_and(|own| address == own)
            || network::is_local(Some(&self.settings), address)
    }

    fn is_broadcast(&self, address: IpAddr) -> bool {
        network::is_broadcast(Some(&self.settings), address)
    }

    fn mtu(&self, _: IpAddr) -> u16 {
        self.mtu.min(self.path)
    }

    fn link_mtu(&self) -> u16 {
        self.mtu
    }

    fn offloads(&self) -> Offloads {
        Offloads::default()
    }

    fn reject(&mut self, _: Protocol, _: Packet, _: Reject) {}

    fn rejected(&mut self) -> Option<(Packet, Reject)> {
        None
    }

    fn report(&mut self, _: Protocol, _: PathError) {}

    fn path_error(&mut self, _: Protocol) -> Option<PathError> {
        None
    }

    fn wants_address(&self) -> bool {
        false
    }

    fn configure(&mut self, _: Option<Ipv4Configuration>) {}

    fn configuration(&self) -> Option<&Ipv4Configuration> {
        Some(&self.settings)
    }

    fn claim_state(&self) -> ClaimState {
        ClaimState::Owned
    }

    fn generation(&self) -> u32 {
        0
    }

    fn mac(&self) -> Mac {
        Mac::default()
    }

    fn route_bits(&self, remote: IpAddr) -> Option<u8> {
        let IpAddr::V6(remote) = remote else {
            return network::route_bits(Some(&self.settings), remote);
        };
        let (prefix, bits) = self.v6?;
        network::v6::has_prefix(remote, prefix, bits).then_some(bits)
    }

    fn forwards(&self) -> bool {
        self.forwards
    }

    fn transit(&mut self) -> Option<Packet> {
        self.transit.pop_front()
    }

    fn forward(&mut self, packet: Packet) -> Result<(), Packet> {
        if self.sent.len() >= self.room {
            return Err(packet);
        }
        self.sent.push(packet);
        Ok(())
    }

    fn turn_away(&mut self, packet: Packet, why: Reject) {
        self.turned.push((packet, why));
    }

    fn turns_back(&self) -> bool {
        self.turns
    }
}

struct Bench {
    router: Forward,
    wan: Ip,
    lan: Ip,
    cx: Context,
}

impl Bench {
    fn new() -> Self {
        Self::with(Config { reverse_path: true })
    }

    fn with(config: Config) -> Self {
        let mut cx = testing::context(256, 1);
        let mut router = Forward::new(Box::leak(Box::new(config)), &mut cx);
        let mut wan = Ip::new([198, 51, 100, 2], 24, Some([198, 51, 100, 1]));
        let mut lan = Ip::new([192, 168, 1, 1], 24, None);
        router.init(&mut (&mut wan, &mut lan), &mut cx).unwrap();
        Self { router, wan, lan, cx }
    }

    fn sweep(&mut self) {
        self.router.receive(&mut (&mut self.wan, &mut self.lan), &mut self.cx);
        self.router.transmit(&mut (&mut self.wan, &mut self.lan), &mut self.cx);
    }

    fn packet(&self, bytes: &[u8]) -> Packet {
        let mut packet = self.cx.packet().unwrap();
        packet.append(bytes).unwrap();
        let address = |at: usize| <[u8; 4]>::try_from(&bytes[at..at + 4]).unwrap().into();
        packet.info_mut().remote = IpAddr::V4(address(12));
        packet.info_mut().local = IpAddr::V4(address(16));
        packet
    }

    /// A packet from inside that passes.
    fn out(&mut self, bytes: &[u8]) {
        let packet = self.packet(bytes);
        self.lan.transit.push_back(packet);
        self.sweep();
    }
}

/// A UDP datagram with `length` bytes behind the header, and `options` in it.
fn datagram(ttl: u8, fragment: u16, options: &[u8], length: usize) -> Vec<u8> {
    let header = HEADER + options.len();
    let mut bytes = std::vec![0; header + length];
    bytes[0] = 0x40 | (header / 4) as u8;
    let total = bytes.len() as u16;
    bytes[2..4].copy_from_slice(&total.to_be_bytes());
    bytes[4..6].copy_from_slice(&[0x12, 0x34]);
    bytes[6..8].copy_from_slice(&fragment.to_be_bytes());
    (bytes[8], bytes[9]) = (ttl, 17);
    bytes[12..16].copy_from_slice(&INSIDE.octets());
    bytes[16..20].copy_from_slice(&OUTSIDE.octets());
    bytes[20..header].copy_from_slice(options);
    let sum = checksum(&bytes[..header]).to_be_bytes();
    bytes[10..12].copy_from_slice(&sum);
    for (index, byte) in bytes[header..].iter_mut().enumerate() {
        *byte = (index * 7) as u8;
    }
    bytes
}

#[test]
fn a_packet_goes_out_where_the_route_leads_with_one_hop_less() {
    let mut bench = Bench::new();
    for ttl in 2..=255 {
        let bytes = datagram(ttl, 0x4000, &[], 8);
        bench.out(&bytes);
        let packet = bench.wan.sent.pop().unwrap();
        assert_eq!(packet.bytes()[8], ttl - 1);
        assert!(Checksum::new().add(&packet.bytes()[..HEADER]).is_valid(), "{ttl}");
        assert_eq!(packet.bytes()[12..], bytes[12..]);
    }
    assert_eq!(bench.router.counters.forwarded.get(), 254);
}

#[test]
fn a_header_that_was_wrong_stays_wrong() {
    let mut bench = Bench::new();
    let mut bytes = datagram(9, 0, &[], 8);
    bytes[1] ^= 4;
    bench.out(&bytes);
    let packet = bench.wan.sent.pop().unwrap();
    assert!(!Checksum::new().add(&packet.bytes()[..HEADER]).is_valid());
}

#[test]
fn a_packet_whose_time_is_over_is_answered() {
    let mut bench = Bench::new();
    for ttl in [0, 1] {
        let bytes = datagram(ttl, 0, &[], 8);
        bench.out(&bytes);
        let (packet, why) = bench.lan.turned.pop().unwrap();
        assert_eq!((packet.bytes(), why), (&bytes[..], Reject::HopLimit));
    }
    assert!(bench.wan.sent.is_empty());
}

#[test]
fn a_packet_to_nowhere_is_answered() {
    let mut bench = Bench::new();
    bench.wan.settings.gateway = None;
    bench.out(&datagram(9, 0, &[], 8));
    assert_eq!(bench.lan.turned.pop().unwrap().1, Reject::Route);
}

#[test]
fn a_packet_that_comes_from_the_wrong_side_is_dropped() {
    for (reverse_path, dropped) in [(true, 1), (false, 0)] {
        let mut bench = Bench::with(Config { reverse_path });
        let spoofed = bench.packet(&datagram(9, 0, &[], 8));
        bench.wan.transit.push_back(spoofed);
        bench.sweep();
        assert_eq!(bench.router.counters.reverse_path.get(), dropped);
        assert!(bench.lan.turned.is_empty() && bench.wan.sent.is_empty());
        assert_eq!(bench.wan.turned.len() as u64, 1 - dropped, "it would go back");
    }
}

#[test]
fn what_was_turned_back_may_come_from_an_address_of_the_layer() {
    let mut bench = Bench::new();
    let mut bytes = datagram(9, 0, &[], 8);
    bytes[12..16].copy_from_slice(&[198, 51, 100, 2]);
    bytes[16..20].copy_from_slice(&INSIDE.octets());
    let packet = bench.packet(&bytes);
    bench.wan.transit.push_back(packet);
    bench.sweep();
    assert_eq!(bench.lan.sent.len(), 1);
}

#[test]
fn a_broadcast_into_a_network_is_not_forwarded() {
    let mut bench = Bench::new();
    let mut bytes = datagram(9, 0, &[], 8);
    bytes[12..16].copy_from_slice(&OUTSIDE.octets());
    bytes[16..20].copy_from_slice(&[192, 168, 1, 255]);
    let packet = bench.packet(&bytes);
    bench.wan.transit.push_back(packet);
    bench.sweep();
    assert_eq!(bench.router.counters.broadcasts.get(), 1);
    assert!(bench.lan.sent.is_empty() && bench.wan.turned.is_empty());
}

#[test]
fn the_address_on_another_side_is_answered_where_the_packet_came_in() {
    let mut bench = Bench::new();
    let mut bytes = datagram(9, 0, &[], 8);
    bytes[16..20].copy_from_slice(&[198, 51, 100, 2]);
    bench.out(&bytes);
    let (packet, why) = bench.lan.turned.pop().unwrap();
    assert_eq!((packet.bytes(), why), (&bytes[..], Reject::Prohibited));
    assert!(bench.wan.sent.is_empty() && bench.router.counters.prohibited.get() == 1);
    bench.wan.turns = true;
    bench.out(&bytes);
    assert_eq!((bench.wan.sent.len(), bench.lan.turned.len()), (1, 0), "translation answers it");
}

#[test]
fn what_must_not_be_cut_is_answered_with_what_fits() {
    let mut bench = Bench::new();
    bench.wan.mtu = 1280;
    bench.out(&datagram(9, 0x4000, &[], 1260));
    assert_eq!(bench.wan.sent.len(), 1, "as long as the link takes");
    bench.out(&datagram(9, 0x4000, &[], 1261));
    let (packet, why) = bench.lan.turned.pop().unwrap();
    assert_eq!((packet.bytes()[8], why), (9, Reject::TooBig(1280)));
    assert_eq!(bench.router.counters.too_big.get(), 1);
}

/// Puts pieces together as a host does, and looks at each.
fn together(pieces: &[Packet], mtu: usize) -> (Vec<u8>, bool) {
    let (mut whole, mut more) = (Vec::new(), false);
    for packet in pieces {
        let bytes = packet.bytes();
        let header = usize::from(bytes[0] & 15) * 4;
        assert!(bytes.len() <= mtu && bytes.len() == usize::from(word(bytes, 2)));
        assert!(Checksum::new().add(&bytes[..header]).is_valid());
        assert_eq!((word(bytes, 4), bytes[8], bytes[9]), (0x1234, 8, 17));
        let place = word(bytes, 6);
        assert_eq!(usize::from(place & 0x1fff) * 8, whole.len() + 800, "each follows the last");
        whole.extend_from_slice(&bytes[header..]);
        more = place & 0x2000 != 0;
    }
    (whole, more)
}

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

#[test]
fn what_may_be_cut_arrives_in_pieces_that_fit() {
    // A fragment itself, in the middle of a datagram or at its end, and every MTU around its size.
    for more in [0, 0x2000] {
        for mtu in (68..1500).step_by(13) {
            let mut bench = Bench::new();
            (bench.wan.mtu, bench.wan.room) = (mtu, 100);
            let bytes = datagram(9, more | 100, &[], 1200);
            bench.out(&bytes);
            if mtu >= 1220 {
                assert_eq!(bench.wan.sent.len(), 1);
                continue;
            }
            let (whole, followed) = together(&bench.wan.sent, mtu.into());
            assert_eq!((&whole[..], followed), (&bytes[HEADER..], more != 0), "{mtu}");
            assert_eq!(bench.router.counters.fragmented.get(), 1);
        }
    }
}

#[test]
fn each_piece_has_the_options_that_are_to_be_copied() {
    let mut bench = Bench::new();
    (bench.wan.mtu, bench.wan.room) = (576, 100);
    // Record route, which stays with the first; nothing; a stream, which all have.
    let options = [7, 3, 4, 1, 0x88, 4, 0xab, 0xcd, 0, 0, 0, 0];
    let bytes = datagram(9, 100, &options, 1200);
    bench.out(&bytes);
    let (whole, _) = together(&bench.wan.sent, 576);
    assert_eq!(whole, bytes[32..]);
    assert_eq!(bench.wan.sent[0].bytes()[20..32], options);
    assert_eq!(bench.wan.sent[1].bytes()[..1], [0x46]);
    assert_eq!(bench.wan.sent[1].bytes()[20..24], [0x88, 4, 0xab, 0xcd]);
}

#[test]
fn a_packet_without_a_sum_gets_one_before_it_is_cut() {
    let mut bench = Bench::new();
    bench.wan.mtu = 576;
    let mut packet = bench.packet(&datagram(9, 0, &[], 1200));
    packet.request_checksum(HEADER, 6);
    packet.bytes_mut()[26..28].copy_from_slice(&[0; 2]);
    let sum = checksum(&packet.bytes()[HEADER..]);
    bench.lan.transit.push_back(packet);
    bench.sweep();
    assert_eq!(word(bench.wan.sent[0].bytes(), 26), sum);
}

#[test]
fn a_full_way_out_loses_packets_and_counts_them() {
    let mut bench = Bench::new();
    bench.wan.room = 1;
    for _ in 0..2 {
        bench.out(&datagram(9, 0, &[], 8));
    }
    bench.wan.mtu = 576;
    bench.out(&datagram(9, 0, &[], 1200));
    let counters = bench.router.counters;
    assert_eq!((counters.forwarded.get(), counters.congested.get()), (1, 2));
    assert_eq!(counters.fragmented.get(), 0);
    let taken = counters.taken.get();
    assert_eq!(taken, 3);
}

#[test]
fn it_starts_on_two_layers_of_ipv4_alone() {
    let mut cx = testing::context(8, 1);
    let mut router = Forward::new(&Config { reverse_path: true }, &mut cx);
    let (mut one, mut other) = (Ip::new([10, 0, 0, 1], 8, None), Ip::new([11, 0, 0, 1], 8, None));
    assert!(router.init(&mut (&mut one,), &mut cx).is_err());
    other.forwards = false;
    assert!(router.init(&mut (&mut one, &mut other), &mut cx).is_err());
    other.forwards = true;
    assert!(router.init(&mut (&mut one, &mut other), &mut cx).is_ok());
}

const INSIDE_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 1, 0, 0, 0, 9);
const OUTSIDE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 5);

/// A datagram of IPv6 with `length` bytes behind the header.
fn datagram_v6(hops: u8, length: usize) -> Vec<u8> {
    let mut bytes = std::vec![0; 40 + length];
    bytes[0] = 0x60;
    bytes[4..6].copy_from_slice(&(length as u16).to_be_bytes());
    (bytes[6], bytes[7]) = (17, hops);
    bytes[8..24].copy_from_slice(&INSIDE_V6.octets());
    bytes[24..40].copy_from_slice(&OUTSIDE_V6.octets());
    bytes
}

/// What becomes of it on its way out.
fn out_v6(bench: &mut Bench, bytes: &[u8]) {
    let mut packet = bench.cx.packet().unwrap();
    packet.append(bytes).unwrap();
    packet.info_mut().remote = INSIDE_V6.into();
    packet.info_mut().local = OUTSIDE_V6.into();
    bench.lan.transit.push_back(packet);
    bench.sweep();
}

#[test]
fn ipv6_is_forwarded_with_one_hop_less_and_whole() {
    let mut bench = Bench::new();
    (bench.wan.v6, bench.lan.v6) = (Some((OUTSIDE_V6, 0)), Some((INSIDE_V6, 64)));
    for hops in 2..=255 {
        let bytes = datagram_v6(hops, 8);
        out_v6(&mut bench, &bytes);
        let packet = bench.wan.sent.pop().unwrap();
        assert_eq!(packet.bytes()[7], hops - 1);
        assert_eq!((&packet.bytes()[..7], &packet.bytes()[8..]), (&bytes[..7], &bytes[8..]));
    }
    for hops in [0, 1] {
        out_v6(&mut bench, &datagram_v6(hops, 8));
        assert_eq!(bench.lan.turned.pop().unwrap().1, Reject::HopLimit);
    }
    // What is too long is never cut.
    bench.wan.mtu = 1280;
    out_v6(&mut bench, &datagram_v6(9, 1241));
    assert_eq!(bench.lan.turned.pop().unwrap().1, Reject::TooBig(1280));
    out_v6(&mut bench, &datagram_v6(9, 1240));
    assert_eq!(bench.wan.sent.len(), 1);
    // That less fits on this host's own way there is not for its sender to know.
    (bench.wan.mtu, bench.wan.path) = (1500, 1280);
    out_v6(&mut bench, &datagram_v6(9, 1460));
    assert_eq!(bench.wan.sent.len(), 2);
    out_v6(&mut bench, &datagram_v6(9, 1461));
    assert_eq!(bench.lan.turned.pop().unwrap().1, Reject::TooBig(1500));
    // What a layer gives back is told of where it came from.
    let mut packet = bench.cx.packet().unwrap();
    packet.append(&datagram_v6(9, 8)).unwrap();
    let info = packet.info_mut();
    (info.remote, info.local, info.looped) = (INSIDE_V6.into(), OUTSIDE_V6.into(), true);
    bench.wan.transit.push_back(packet);
    bench.sweep();
    let (packet, why) = bench.lan.turned.pop().unwrap();
    assert!(!packet.info().looped && why == Reject::Neighbour);
    // An address of this router on its other side.
    bench.wan.own = Some(OUTSIDE_V6);
    out_v6(&mut bench, &datagram_v6(9, 8));
    assert_eq!(bench.lan.turned.pop().unwrap().1, Reject::Prohibited);
    bench.wan.own = None;
    // From the wrong side, and to nowhere.
    bench.lan.v6 = None;
    out_v6(&mut bench, &datagram_v6(9, 8));
    assert_eq!(bench.router.counters.reverse_path.get(), 1);
    (bench.wan.v6, bench.lan.v6) = (None, Some((INSIDE_V6, 64)));
    out_v6(&mut bench, &datagram_v6(9, 8));
    assert_eq!(bench.lan.turned.pop().unwrap().1, Reject::Route);
}

#[test]
fn what_came_from_everywhere_else_does_not_go_back_there() {
    let mut bench = Bench::new();
    let mut bytes = datagram(9, 0, &[], 8);
    bytes[12..16].copy_from_slice(&OUTSIDE.octets());
    bytes[16..20].copy_from_slice(&[192, 168, 2, 9]);
    let packet = bench.packet(&bytes);
    bench.wan.transit.push_back(packet);
    bench.sweep();
    assert!(bench.wan.sent.is_empty(), "the router there would send it here again");
    assert_eq!(bench.wan.turned.pop().unwrap().1, Reject::Route);
    assert_eq!(bench.router.counters.no_route.get(), 1);
}

#[test]
fn arbitrary_packets_of_both_versions_go_one_way_or_are_accounted_for() {
    let mut random = waitless::Random::new([6; 32]);
    let mut bench = Bench::new();
    (bench.wan.v6, bench.lan.v6) = (Some((OUTSIDE_V6, 0)), Some((INSIDE_V6, 64)));
    let before = bench.cx.pool().available();
    for round in 0..20_000u64 {
        let six = random.below(2) == 0;
        let hops = random.u32() as u8;
        let length = random.below(1_560) as usize;
        let mut bytes =
            if six { datagram_v6(hops, length) } else { datagram(hops, 0, &[], length) };
        for _ in 0..random.below(4) {
            let at = random.below(bytes.len().min(60) as u64) as usize;
            bytes[at] = random.u32() as u8;
        }
        let Some(mut packet) = bench.cx.packet() else { panic!("packets are lost") };
        packet.append(&bytes).unwrap();
        // What layers have checked.
        let inside = random.below(4) > 0;
        let info = packet.info_mut();
        (info.remote, info.local) = match (six, inside) {
            (true, true) => (INSIDE_V6.into(), OUTSIDE_V6.into()),
            (true, false) => (OUTSIDE_V6.into(), INSIDE_V6.into()),
            (false, true) => (INSIDE.into(), OUTSIDE.into()),
            (false, false) => (OUTSIDE.into(), INSIDE.into()),
        };
        info.looped = random.below(16) == 0;
        (bench.wan.room, bench.wan.mtu) =
            (random.below(3) as usize, 1280 + random.below(300) as u16);
        let layer = if inside { &mut bench.lan } else { &mut bench.wan };
        layer.transit.push_back(packet);
        bench.sweep();
        for layer in [&mut bench.wan, &mut bench.lan] {
            layer.sent.clear();
            layer.turned.clear();
        }
        let c = bench.router.counters;
        let fates = [
            &c.forwarded,
            &c.fragmented,
            &c.reverse_path,
            &c.broadcasts,
            &c.expired,
            &c.no_route,
            &c.prohibited,
            &c.unanswered,
            &c.too_big,
            &c.congested,
        ];
        assert_eq!(fates.iter().map(|it| it.get()).sum::<u64>(), round + 1, "{bytes:02x?}");
        assert_eq!(c.taken.get(), round + 1);
    }
    assert_eq!(bench.cx.pool().available(), before);
}
