//! ICMP, lent a fake IP layer. A test reads like a trace: what arrives, what is sent.

extern crate std;

use super::*;
use core::net::Ipv4Addr;
use std::boxed::Box;
use std::collections::VecDeque;
use std::vec::Vec;
use waitless::checksum::checksum;
use waitless::network::answer::ANSWER_HEADROOM;
use waitless::{ClaimState, Duration, Ipv4Configuration, Mac, Offloads, testing};

const OURS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
const ALL: IpAddr = IpAddr::V4(Ipv4Addr::BROADCAST);
const NONE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

const CONFIG: Config =
    Config { echo: true, echo_broadcast: false, errors_per_second: 10, errors_burst: 5 };

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
        assert_eq!(protocol, Protocol::ICMP);
        self.arriving.pop_front()
    }

    fn send(&mut self, protocol: Protocol, packet: Packet) -> Result<(), Packet> {
        assert_eq!(protocol, Protocol::ICMP);
        self.sent.push_back(packet);
        Ok(())
    }

    fn room(&self) -> usize {
        if self.full { 0 } else { 32 }
    }

    fn source_for(&self, _: IpAddr) -> Option<IpAddr> {
        Some(OURS)
    }

    fn is_local(&self, address: IpAddr) -> bool {
        address == OURS
    }

    fn is_broadcast(&self, address: IpAddr) -> bool {
        address == ALL
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
    icmp: Icmp,
    ip: Ip,
    cx: Context,
}

impl Bench {
    fn new(config: Config) -> Self {
        let mut cx = testing::context(128, 1);
        let icmp = Icmp::new(Box::leak(Box::new(config)), &mut cx);
        Self { icmp, ip: Ip::default(), cx }
    }

    fn packet(&self, bytes: &[u8]) -> Packet {
        let mut packet = self.cx.packet().unwrap();
        packet.append(bytes).unwrap();
        let info = packet.info_mut();
        (info.remote, info.local, info.hops, info.class) = (PEER, OURS, 63, 0x23);
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
            &c.ignored,
            &c.short,
            &c.bad_checksum,
            &c.unknown,
        ];
        reasons.iter().map(|counter| counter.get()).sum()
    }
}

/// A message with a right checksum.
fn message(kind: u8, code: u8, rest: [u8; 4], payload: &[u8]) -> Vec<u8> {
    seal([&[kind, code, 0, 0][..], &rest, payload].concat())
}

fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.len() >= 4 {
        bytes[2..4].fill(0);
        let sum = checksum(&bytes).to_be_bytes();
        bytes[2..4].copy_from_slice(&sum);
    }
    bytes
}

/// A packet of ours as an error quotes it: TCP from us to the peer.
fn quote() -> Vec<u8> {
    let mut bytes = [0x45, 0, 0, 40, 0, 0, 0x40, 0, 1, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2].to_vec();
    bytes.extend_from_slice(&[0, 80, 4, 0, 1, 2, 3, 4]);
    bytes
}

#[test]
fn an_echo_request_is_answered_from_the_address_that_was_asked() {
    for payload in [&b""[..], b"odd", b"abcdefgh", &[0xff; 1472]] {
        let mut bench = Bench::new(CONFIG);
        bench.arrive(&message(8, 0, [1, 2, 3, 4], payload));
        let packet = bench.ip.sent.pop_front().unwrap();
        assert_eq!(packet.bytes(), message(0, 0, [1, 2, 3, 4], payload));
        let info = packet.info();
        assert_eq!((info.remote, info.local), (PEER, OURS));
        assert_eq!((info.hops, info.class), (0, 0x20), "without ECN");
    }
}

#[test]
fn a_reply_that_came_in_fragments_is_cut_to_what_the_link_takes() {
    for (length, sent) in [(1471, 1471), (1472, 1472), (1473, 1472), (1500, 1472)] {
        let payload: Vec<u8> = (0..length).map(|at| at as u8).collect();
        let mut bench = Bench::new(CONFIG);
        bench.arrive(&message(8, 0, [1, 2, 3, 4], &payload));
        let packet = bench.ip.sent.pop_front().unwrap();
        assert_eq!(packet.bytes(), message(0, 0, [1, 2, 3, 4], &payload[..sent]), "{length}");
    }
}

#[test]
fn every_checksum_survives_becoming_a_reply() {
    for number in 0..=u16::MAX {
        let [a, b] = number.to_be_bytes();
        let mut bytes = message(8, 0, [a, b, 0, 0], b"");
        wire::reply(&mut bytes);
        assert!(Checksum::new().add(&bytes).is_valid(), "{number}");
    }
}

#[test]
fn an_echo_request_to_all_is_answered_only_by_configuration() {
    for (echo, echo_broadcast, expected) in [(true, false, 0), (true, true, 1), (false, true, 0)] {
        let mut bench = Bench::new(Config { echo, echo_broadcast, ..CONFIG });
        let mut packet = bench.packet(&message(8, 0, [0; 4], b"all"));
        (packet.info_mut().local, packet.info_mut().broadcast) = (ALL, true);
        bench.ip.arriving.push_back(packet);
        bench.sweep();
        assert_eq!(bench.ip.sent.len(), expected);
        assert_eq!(bench.icmp.counters.echoes_dropped.get(), 1 - expected as u64);
        if let Some(packet) = bench.ip.sent.pop_front() {
            assert_eq!(packet.info().local, NONE, "IP chooses");
        }
    }
}

#[test]
fn messages_are_taken_or_dropped_for_a_reason() {
    type Reason = fn(&Counters) -> &waitless::Counter;
    let cases: [(&str, Vec<u8>, Reason); 10] = [
        ("echo", message(8, 0, [0; 4], b"data"), |c| &c.echoes),
        ("reply", message(0, 0, [0; 4], b"data"), |c| &c.replies),
        ("quench", message(4, 0, [0; 4], &quote()), |c| &c.ignored),
        ("redirect", message(5, 1, [10, 0, 0, 9], &quote()), |c| &c.ignored),
        ("timestamp", message(13, 0, [0; 4], &[0; 12]), |c| &c.unknown),
        ("echo, code 1", message(8, 1, [0; 4], b"data"), |c| &c.unknown),
        ("unreachable, code 16", message(3, 16, [0; 4], &quote()), |c| &c.unknown),
        ("nothing", Vec::new(), |c| &c.short),
        ("short", message(8, 0, [0; 4], b"")[..7].to_vec(), |c| &c.short),
        ("checksum", [&message(8, 0, [0; 4], b"")[..], b"!"].concat(), |c| &c.bad_checksum),
    ];
    for (what, bytes, reason) in cases {
        let mut bench = Bench::new(CONFIG);
        bench.arrive(&bytes);
        assert_eq!(reason(bench.icmp.counters).get(), 1, "{what}");
        assert_eq!(bench.accounted(), 1, "{what}");
        assert_eq!(bench.ip.sent.len(), usize::from(what == "echo"), "{what}");
    }
}

#[test]
fn an_error_about_our_packet_reaches_its_transport() {
    use PathErrorKind::{Parameter, TimeExceeded, TooBig, Unreachable};
    let cases = [
        (3, 3, [0; 4], Unreachable(3)),
        (3, 4, [0, 0, 0x05, 0xdc], TooBig(1500)),
        (3, 4, [0; 4], TooBig(0)),
        (3, 15, [0; 4], Unreachable(15)),
        (11, 0, [0; 4], TimeExceeded(0)),
        (12, 0, [20, 0, 0, 0], Parameter(20)),
    ];
    for (code, subcode, rest, kind) in cases {
        let mut bench = Bench::new(CONFIG);
        bench.arrive(&message(code, subcode, rest, &quote()));
        let header = [0, 80, 4, 0, 1, 2, 3, 4];
        let expected = PathError { kind, local: OURS, remote: PEER, header };
        assert_eq!(bench.ip.reports, [(Protocol::TCP, expected)]);
        assert!(bench.ip.sent.is_empty());
    }
}

#[test]
fn an_error_about_what_is_not_ours_is_dropped() {
    let change = |at: usize, value: u8| {
        let mut bytes = quote();
        bytes[at] = value;
        bytes
    };
    let cases = [
        ("another source", change(15, 9)),
        ("to all", {
            let mut bytes = quote();
            bytes[16..20].fill(255);
            bytes
        }),
        ("version 6", change(0, 0x65)),
        ("short header", change(0, 0x44)),
        ("header too long", change(0, 0x48)),
        ("a later fragment", change(7, 1)),
        ("total length", change(3, 27)),
        ("cut", quote()[..27].to_vec()),
        ("nothing", Vec::new()),
    ];
    for (what, quote) in cases {
        let mut bench = Bench::new(CONFIG);
        bench.arrive(&message(3, 3, [0; 4], &quote));
        assert_eq!(bench.icmp.counters.errors_foreign.get(), 1, "{what}");
        assert!(bench.ip.reports.is_empty(), "{what}");
    }
    let mut bench = Bench::new(CONFIG);
    let mut packet = bench.packet(&message(3, 3, [0; 4], &quote()));
    packet.info_mut().broadcast = true;
    bench.ip.arriving.push_back(packet);
    bench.sweep();
    assert_eq!(bench.icmp.counters.errors_foreign.get(), 1, "sent to all");
}

#[test]
fn a_sender_is_told_why_its_packet_was_rejected() {
    let cases = [
        (Reject::Port, 3, 3),
        (Reject::Protocol, 3, 2),
        (Reject::Reassembly, 11, 1),
        (Reject::Route, 3, 0),
        (Reject::Neighbour, 3, 1),
        (Reject::HopLimit, 11, 0),
        (Reject::Prohibited, 3, 13),
    ];
    for (why, kind, code) in cases {
        let mut bench = Bench::new(CONFIG);
        bench.reject(&[7; 1400], why);
        let packet = bench.ip.sent.pop_front().unwrap();
        assert_eq!(packet.bytes(), message(kind, code, [0; 4], &[7; 548]));
        let info = packet.info();
        assert_eq!((info.remote, info.local, info.hops, info.class), (PEER, OURS, 0, 0xc0));
    }
}

#[test]
fn a_sender_is_told_where_its_packet_makes_no_sense() {
    let mut bench = Bench::new(CONFIG);
    bench.reject(&[7; 60], Reject::Parameter(0, 21));
    let packet = bench.ip.sent.pop_front().unwrap();
    assert_eq!(packet.bytes(), message(12, 0, [21, 0, 0, 0], &[7; 60]));
}

#[test]
fn a_rejected_packet_without_headroom_is_copied() {
    let mut bench = Bench::new(CONFIG);
    let mut packet = bench.packet(b"");
    let info = *packet.info();
    packet.reset(14);
    packet.append(&[7; 60]).unwrap();
    *packet.info_mut() = info;
    bench.ip.rejects.push_back((packet, Reject::Port));
    bench.sweep();
    let packet = bench.ip.sent.pop_front().unwrap();
    assert_eq!(packet.bytes(), message(3, 3, [0; 4], &[7; 60]));
    assert!(packet.headroom() > ANSWER_HEADROOM && packet.info().remote == PEER);
}

#[test]
fn errors_are_limited() {
    let mut bench = Bench::new(CONFIG);
    for _ in 0..20 {
        bench.reject(&[7; 60], Reject::Port);
    }
    let c = bench.icmp.counters;
    assert_eq!((c.errors_sent.get(), c.errors_limited.get()), (5, 15), "a burst");
    for tenth in 1..=10 {
        bench.cx.set_now(Instant::ZERO + Duration::from_millis(tenth * 100));
        bench.reject(&[7; 60], Reject::Port);
        bench.reject(&[7; 60], Reject::Port);
    }
    assert_eq!((c.errors_sent.get(), c.errors_limited.get()), (15, 25), "then ten a second");
    bench.cx.set_now(Instant::ZERO + Duration::from_secs(100));
    for _ in 0..20 {
        bench.reject(&[7; 60], Reject::Port);
    }
    assert_eq!(c.errors_sent.get(), 20, "no more than a burst is saved up");
    let mut bench = Bench::new(Config { errors_per_second: 0, ..CONFIG });
    bench.reject(&[7; 60], Reject::Port);
    assert_eq!(bench.icmp.counters.errors_limited.get(), 1);
}

#[test]
fn answers_wait_for_room_and_are_bounded() {
    let mut bench = Bench::new(CONFIG);
    bench.ip.full = true;
    for _ in 0..40 {
        bench.arrive(&message(8, 0, [0; 4], b"data"));
    }
    assert_eq!(bench.icmp.counters.echoes_dropped.get(), 8);
    bench.ip.full = false;
    bench.sweep();
    assert_eq!(bench.ip.sent.len(), 32);
    assert_eq!(Component::<Ip>::deadline(&bench.icmp), Instant::NEVER);
}

#[test]
fn no_message_panics_and_every_message_is_accounted_for() {
    let mut bench = Bench::new(CONFIG);
    let seeds = [
        message(8, 0, [1, 2, 3, 4], &[7; 40]),
        message(3, 3, [0; 4], &quote()),
        message(3, 4, [0, 0, 5, 0], &quote()),
        message(11, 0, [0; 4], &quote()),
    ];
    for round in 0..20_000usize {
        let random = |bench: &mut Bench, limit: usize| bench.cx.random.below(limit as u64) as usize;
        let mut bytes = seeds[round % seeds.len()].clone();
        for _ in 0..random(&mut bench, 3) {
            let at = random(&mut bench, bytes.len());
            bytes[at] = bench.cx.random.u32() as u8;
        }
        if random(&mut bench, 4) == 0 {
            let length = random(&mut bench, bytes.len());
            bytes.truncate(length);
        }
        if random(&mut bench, 10) > 0 {
            bytes = seal(bytes);
        }
        if random(&mut bench, 5) == 0 {
            bench.reject(&bytes, Reject::Port);
        }
        bench.arrive(&bytes);
        bench.ip.sent.clear();
        bench.ip.reports.clear();
        assert_eq!(bench.icmp.counters.received.get(), round as u64 + 1);
        assert_eq!(bench.accounted(), round as u64 + 1);
    }
    assert_eq!(bench.cx.pool().available(), 128);
}
