//! ICMPv6, lent a fake IP layer. A test reads like a trace: what arrives, what is sent.

extern crate std;

use super::*;
use core::net::Ipv6Addr;
use std::boxed::Box;
use std::collections::VecDeque;
use std::vec::Vec;
use waitless::{ClaimState, Duration, Ipv4Configuration, Mac, Offloads, testing};

const OURS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const PEER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
const GROUP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

const CONFIG: Config =
    Config { echo: true, echo_multicast: false, errors_per_second: 10, errors_burst: 5 };

/// An IP layer with one address.
#[derive(Default)]
struct Ip {
    arriving: VecDeque<Packet>,
    rejects: VecDeque<(Packet, Reject)>,
    sent: VecDeque<Packet>,
    reports: Vec<(Protocol, PathError)>,
    full: bool,
}

impl IpPort for Ip {
    fn recv(&mut self, protocol: Protocol) -> Option<Packet> {
        assert_eq!(protocol, Protocol::ICMPV6);
        self.arriving.pop_front()
    }

    fn send(&mut self, protocol: Protocol, packet: Packet) -> Result<(), Packet> {
        assert_eq!(protocol, Protocol::ICMPV6);
        self.sent.push_back(packet);
        Ok(())
    }

    fn room(&self) -> usize {
        if self.full { 0 } else { 32 }
    }

    fn source_for(&self, _: IpAddr) -> Option<IpAddr> {
        Some(OURS.into())
    }

    fn is_local(&self, address: IpAddr) -> bool {
        address == OURS
    }

    fn is_broadcast(&self, address: IpAddr) -> bool {
        address.is_multicast()
    }

    fn mtu(&self, _: IpAddr) -> u16 {
        1500
    }

    fn offloads(&self) -> Offloads {
        Offloads::default()
    }

    fn reject(&mut self, _: Protocol, _: Packet, _: Reject) {}

    fn rejected(&mut self) -> Option<(Packet, Reject)> {
        self.rejects.pop_front()
    }

    fn report(&mut self, protocol: Protocol, error: PathError) {
        self.reports.push((protocol, error));
    }

    fn path_error(&mut self, _: Protocol) -> Option<PathError> {
        None
    }

    fn wants_address(&self) -> bool {
        false
    }

    fn configure(&mut self, _: Option<Ipv4Configuration>) {}

    fn configuration(&self) -> Option<&Ipv4Configuration> {
        None
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
}

struct Bench {
    icmp: Icmp6,
    ip: Ip,
    cx: Context,
}

impl Bench {
    fn new(config: Config) -> Self {
        let mut cx = testing::context(128, 1);
        let icmp = Icmp6::new(Box::leak(Box::new(config)), &mut cx);
        Self { icmp, ip: Ip::default(), cx }
    }

    fn packet(&self, bytes: &[u8]) -> Packet {
        let mut packet = self.cx.packet().unwrap();
        packet.append(bytes).unwrap();
        let info = packet.info_mut();
        (info.remote, info.local, info.hops, info.class) = (PEER.into(), OURS.into(), 63, 0x23);
        packet
    }

    fn arrive(&mut self, bytes: &[u8]) {
        let packet = self.packet(bytes);
        self.ip.arriving.push_back(packet);
        self.sweep();
    }

    fn reject(&mut self, bytes: &[u8], why: Reject) {
        let packet = self.packet(bytes);
        self.ip.rejects.push_back((packet, why));
        self.sweep();
    }

    fn sweep(&mut self) {
        self.icmp.receive(&mut self.ip, &mut self.cx);
        self.icmp.transmit(&mut self.ip, &mut self.cx);
    }

    fn accounted(&self) -> u64 {
        let c = self.icmp.counters;
        let reasons = [
            &c.echoes,
            &c.echoes_dropped,
            &c.errors_reported,
            &c.errors_foreign,
            &c.replies,
            &c.short,
            &c.bad_checksum,
            &c.unknown,
        ];
        reasons.iter().map(|counter| counter.get()).sum()
    }
}

/// A message with a right checksum, from `from` to `to`.
fn sealed(from: Ipv6Addr, to: Ipv6Addr, mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.len() >= 4 {
        wire::set_checksum(&mut bytes, 0);
        let length = bytes.len() as u16;
        let pseudo = Checksum::new().pseudo(from.into(), to.into(), 58, length);
        let sum = pseudo.add(&bytes).finish();
        wire::set_checksum(&mut bytes, sum);
    }
    bytes
}

fn message(kind: u8, code: u8, rest: [u8; 4], payload: &[u8]) -> Vec<u8> {
    sealed(PEER, OURS, [&[kind, code, 0, 0][..], &rest, payload].concat())
}

/// A packet of ours to the peer, as an error quotes it: `headers` stand in front of TCP.
fn quote(next: u8, headers: &[u8]) -> Vec<u8> {
    let mut bytes = std::vec![0x60, 0, 0, 0, 0, 20, next, 1];
    bytes.extend(OURS.octets());
    bytes.extend(PEER.octets());
    bytes.extend(headers);
    bytes.extend([0, 80, 4, 0, 1, 2, 3, 4]);
    bytes
}

#[test]
fn an_echo_request_is_answered_from_the_address_that_was_asked() {
    for payload in [&b""[..], b"odd", b"abcdefgh", &[0xff; 1452]] {
        let mut bench = Bench::new(CONFIG);
        bench.arrive(&message(128, 0, [1, 2, 3, 4], payload));
        let packet = bench.ip.sent.pop_front().unwrap();
        let expected = [&[129, 0, 0, 0, 1, 2, 3, 4][..], payload].concat();
        assert_eq!(packet.bytes(), sealed(OURS, PEER, expected));
        let info = packet.info();
        assert_eq!((info.remote, info.local), (PEER.into(), OURS.into()));
        assert_eq!((info.hops, info.class), (0, 0x20), "without ECN");
    }
}

#[test]
fn a_reply_that_no_packet_can_carry_is_not_sent_in_part() {
    for (length, answered) in [(1452, 1), (1453, 0), (1500, 0)] {
        let mut bench = Bench::new(CONFIG);
        bench.arrive(&message(128, 0, [1, 2, 3, 4], &[7; 1500][..length]));
        let counted = bench.icmp.counters.echoes.get();
        assert_eq!((bench.ip.sent.len(), counted), (answered, answered as u64), "{length}");
        assert_eq!(bench.accounted(), 1);
    }
}

#[test]
fn an_echo_request_to_a_group_is_answered_where_that_is_wanted_from_an_address_of_ours() {
    for wanted in [false, true] {
        let mut bench = Bench::new(Config { echo_multicast: wanted, ..CONFIG });
        let bytes = sealed(PEER, GROUP, [128, 0, 0, 0, 1, 2, 3, 4].to_vec());
        let mut packet = bench.packet(&bytes);
        (packet.info_mut().local, packet.info_mut().broadcast) = (GROUP.into(), true);
        bench.ip.arriving.push_back(packet);
        bench.sweep();
        let sent = bench.ip.sent.pop_front();
        assert_eq!(sent.is_some(), wanted);
        if let Some(packet) = sent {
            assert_eq!(packet.info().local, IpAddr::V6(OURS));
            let expected = [129, 0, 0, 0, 1, 2, 3, 4].to_vec();
            assert_eq!(packet.bytes(), sealed(OURS, PEER, expected));
        }
    }
    let mut bench = Bench::new(Config { echo: false, ..CONFIG });
    bench.arrive(&message(128, 0, [1, 2, 3, 4], b""));
    assert!(bench.ip.sent.is_empty());
}

#[test]
fn errors_about_our_packets_reach_their_transport() {
    use PathErrorKind::{Parameter, TimeExceeded, TooBig, Unreachable};
    let fragment = [6, 0, 0, 1, 0, 0, 0, 9];
    let options = [44, 0, 1, 4, 0, 0, 0, 0];
    let both = [&options[..], &fragment].concat();
    let cases = [
        (message(1, 4, [0; 4], &quote(6, &[])), Unreachable(4)),
        (message(2, 0, [0, 0, 5, 0], &quote(6, &[])), TooBig(1280)),
        (message(2, 0, [0, 1, 0, 0], &quote(44, &fragment)), TooBig(u16::MAX)),
        (message(3, 0, [0; 4], &quote(60, &both)), TimeExceeded(0)),
        (message(4, 1, [0, 0, 0, 6], &quote(6, &[])), Parameter(6)),
    ];
    for (bytes, kind) in cases {
        let mut bench = Bench::new(CONFIG);
        bench.arrive(&bytes);
        let expected = PathError {
            kind,
            local: OURS.into(),
            remote: PEER.into(),
            header: [0, 80, 4, 0, 1, 2, 3, 4],
        };
        assert_eq!(bench.ip.reports, [(Protocol::TCP, expected)]);
    }
}

#[test]
fn what_is_no_error_about_a_packet_of_ours_is_dropped_for_a_reason() {
    let mut theirs = quote(6, &[]);
    theirs[8..24].copy_from_slice(&PEER.octets());
    let mut to_group = quote(6, &[]);
    to_group[24..40].copy_from_slice(&GROUP.octets());
    let later = [6, 0, 1, 0, 0, 0, 0, 9];
    let endless = [60, 0, 1, 4, 0, 0, 0, 0].repeat(20);
    let mut wrong = message(1, 4, [0; 4], &quote(6, &[]));
    wrong[9] ^= 1;
    type Reason = fn(&Counters) -> &waitless::Counter;
    let cases: [(&str, Vec<u8>, Reason); 12] = [
        ("another's", message(1, 4, [0; 4], &theirs), |c| &c.errors_foreign),
        ("to a group", message(1, 4, [0; 4], &to_group), |c| &c.errors_foreign),
        ("a later fragment", message(1, 4, [0; 4], &quote(44, &later)), |c| &c.errors_foreign),
        ("endless headers", message(1, 4, [0; 4], &quote(60, &endless)), |c| &c.errors_foreign),
        ("cut", message(1, 4, [0; 4], &quote(6, &[])[..47]), |c| &c.errors_foreign),
        ("IPv4", message(1, 4, [0; 4], &[0x45; 60]), |c| &c.errors_foreign),
        ("7 bytes", message(128, 0, [0; 4], b"")[..7].to_vec(), |c| &c.short),
        ("a wrong checksum", wrong, |c| &c.bad_checksum),
        ("a reply", message(129, 0, [0; 4], b""), |c| &c.replies),
        ("an unknown error", message(100, 0, [0; 4], &quote(6, &[])), |c| &c.unknown),
        ("an unknown question", message(200, 0, [0; 4], b""), |c| &c.unknown),
        ("an echo request", message(128, 0, [0; 4], b""), |c| &c.echoes),
    ];
    for (name, bytes, reason) in cases {
        let mut bench = Bench::new(CONFIG);
        bench.arrive(&bytes);
        assert_eq!(reason(bench.icmp.counters).get(), 1, "{name}");
        assert_eq!(bench.accounted(), 1, "{name}");
        assert!(bench.ip.reports.is_empty(), "{name}");
    }
}

#[test]
fn senders_are_told_what_went_wrong() {
    let cases = [
        (Reject::Port, [1, 4, 0, 0]),
        (Reject::Reassembly, [3, 1, 0, 0]),
        (Reject::Protocol, [4, 1, 0, 6]),
        (Reject::Parameter(2, 0x123), [4, 2, 1, 0x23]),
        (Reject::Route, [1, 0, 0, 0]),
        (Reject::Neighbour, [1, 3, 0, 0]),
        (Reject::Prohibited, [1, 1, 0, 0]),
        (Reject::HopLimit, [3, 0, 0, 0]),
        (Reject::TooBig(1500), [2, 0, 5, 0xdc]),
    ];
    for (why, [kind, code, p0, p1]) in cases {
        for length in [40, 48, 1500] {
            let rejected: Vec<u8> = (0..length).map(|it| it as u8).collect();
            let mut bench = Bench::new(CONFIG);
            bench.reject(&rejected, why);
            let packet = bench.ip.sent.pop_front().unwrap();
            assert_eq!((packet.info().remote, packet.info().local), (PEER.into(), OURS.into()));
            let quoted = &rejected[..rejected.len().min(1280 - 48)];
            let expected = [&[kind, code, 0, 0, 0, 0, p0, p1][..], quoted].concat();
            assert_eq!(packet.bytes(), sealed(OURS, PEER, expected), "{why:?} {length}");
        }
    }
}

#[test]
fn a_flood_of_rejected_packets_is_answered_at_the_rate_that_was_set() {
    let mut bench = Bench::new(CONFIG);
    let mut sent = 0;
    for _ in 0..10_000 {
        let later = bench.cx.now() + Duration::from_millis(1);
        bench.cx.set_now(later);
        bench.reject(&[0x60; 60], Reject::Port);
        sent += bench.ip.sent.drain(..).count();
    }
    // 10 a second for 10 seconds, and a burst of 5.
    assert!((100..=105).contains(&sent), "{sent}");
    let counters = bench.icmp.counters;
    assert_eq!(counters.errors_limited.get() + counters.errors_sent.get(), 10_000);
}

#[test]
fn a_packet_without_headroom_is_quoted_in_another() {
    let mut bench = Bench::new(CONFIG);
    let mut packet = bench.packet(&[0x60; 100]);
    packet.reset(10);
    packet.append(&[0x60; 100]).unwrap();
    (packet.info_mut().remote, packet.info_mut().local) = (PEER.into(), OURS.into());
    bench.ip.rejects.push_back((packet, Reject::Port));
    bench.sweep();
    assert_eq!(bench.ip.sent.pop_front().unwrap().bytes()[8..], [0x60; 100]);
}

#[test]
fn while_ip_has_no_room_answers_wait_within_limits() {
    let mut bench = Bench::new(CONFIG);
    bench.ip.full = true;
    for _ in 0..100 {
        bench.arrive(&message(128, 0, [1, 2, 3, 4], b""));
    }
    assert_eq!(bench.icmp.counters.echoes.get(), 32);
    assert_eq!(bench.icmp.counters.echoes_dropped.get(), 68);
    assert_eq!(Component::<Ip>::deadline(&bench.icmp), Instant::ZERO);
    bench.ip.full = false;
    bench.sweep();
    assert_eq!((bench.ip.sent.len(), bench.accounted()), (32, 100));
}

#[test]
fn no_message_panics_and_every_message_is_accounted_for() {
    let mut bench = Bench::new(CONFIG);
    let fragment = [6, 0, 0, 1, 0, 0, 0, 9];
    let seeds = [
        message(128, 0, [1, 2, 3, 4], b"payload"),
        message(1, 4, [0; 4], &quote(6, &[])),
        message(2, 0, [0, 0, 5, 0], &quote(44, &fragment)),
        message(4, 0, [0; 4], &quote(60, &[6, 0, 1, 4, 0, 0, 0, 0])),
    ];
    for round in 0..20_000u64 {
        let mut bytes = seeds[round as usize % seeds.len()].clone();
        for _ in 0..bench.cx.random.below(4) {
            let at = bench.cx.random.below(bytes.len() as u64) as usize;
            bytes[at] = bench.cx.random.u32() as u8;
        }
        if bench.cx.random.below(4) == 0 {
            bytes.truncate(bench.cx.random.below(bytes.len() as u64 + 1) as usize);
        }
        // With a right checksum it gets further.
        let bytes = if round % 2 == 0 { sealed(PEER, OURS, bytes) } else { bytes };
        bench.arrive(&bytes);
        bench.ip.sent.clear();
        bench.ip.reports.clear();
        assert_eq!(bench.accounted(), round + 1);
    }
    assert_eq!(bench.cx.pool().available(), bench.cx.pool().count());
}
