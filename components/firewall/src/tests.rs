//! The filter, lent a fake link. A test reads like a trace: what goes out, what comes in, what
//! passes.

extern crate std;

use super::*;
use core::net::{Ipv4Addr, Ipv6Addr};
use std::boxed::Box;
use std::collections::VecDeque;
use std::string::ToString;
use std::vec::Vec;
use waitless::{ClaimState, Duration, LinkPort, Mac, NextHop, Offloads, testing};

const US: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);
const FAR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);
const US6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
const PEER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9);

const CONFIG: Config =
    Config { rules: &[], incoming: Policy::Drop, outgoing: Policy::Accept, flows: 64 };

const TCP: u8 = 6;
const UDP: u8 = 17;
const SYN: u8 = 2;
const ACK: u8 = 16;
const FIN: u8 = 17;

#[derive(Default)]
struct Link {
    arrived: VecDeque<(EtherType, Packet)>,
    sent: Vec<Packet>,
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

    fn claim(&mut self, _: Option<Ipv4Addr>) {}

    fn claim_state(&self) -> ClaimState {
        ClaimState::Owned
    }

    fn recv(&mut self, protocol: EtherType) -> Option<Packet> {
        let at = self.arrived.iter().position(|(kind, _)| *kind == protocol)?;
        self.arrived.remove(at).map(|(_, packet)| packet)
    }

    fn send(&mut self, _: EtherType, _: NextHop, packet: Packet) -> Result<(), Packet> {
        self.sent.push(packet);
        Ok(())
    }

    fn room(&self) -> usize {
        32
    }
}

struct Bench {
    wall: Firewall,
    link: Link,
    cx: Context,
}

impl Bench {
    fn new(config: Config) -> Self {
        let mut cx = testing::context(64, 1);
        let mut wall = Firewall::new(Box::leak(Box::new(config)), &mut cx);
        let mut link = Link::default();
        wall.init(&mut link, &mut cx).unwrap();
        let mut bench = Self { wall, link, cx };
        // IP above asks for its packets.
        for protocol in [EtherType::IPV4, EtherType::IPV6] {
            assert!(bench.wall.recv(protocol).is_none());
        }
        bench.wall.receive(&mut bench.link, &mut bench.cx);
        bench
    }

    fn rules(rules: &'static [&'static str]) -> Self {
        Self::new(Config { rules, ..CONFIG })
    }

    fn packet(&self, bytes: &[u8]) -> (EtherType, Packet) {
        let mut packet = self.cx.packet().unwrap();
        packet.append(bytes).unwrap();
        let six = bytes.first().is_some_and(|first| first >> 4 == 6);
        (if six { EtherType::IPV6 } else { EtherType::IPV4 }, packet)
    }

    /// Whether a packet from another host gets here.
    fn comes(&mut self, bytes: &[u8]) -> bool {
        let packet = self.packet(bytes);
        let protocol = packet.0;
        self.link.arrived.push_back(packet);
        self.wall.receive(&mut self.link, &mut self.cx);
        let up = self.wall.recv(protocol);
        assert!(up.as_ref().is_none_or(|up| up.bytes() == bytes), "unchanged");
        up.is_some()
    }

    /// Whether a packet of this host goes out.
    fn goes(&mut self, bytes: &[u8]) -> bool {
        let (protocol, packet) = self.packet(bytes);
        self.wall.send(protocol, NextHop::Broadcast, packet).unwrap();
        self.wall.transmit(&mut self.link, &mut self.cx);
        let sent = self.link.sent.pop();
        assert!(sent.as_ref().is_none_or(|sent| sent.bytes() == bytes), "unchanged");
        sent.is_some()
    }

    fn pass(&mut self, secs: u64) {
        self.cx.set_now(self.cx.now() + Duration::from_secs(secs));
    }
}

fn v4(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet =
        std::vec![0x45, 0, 0, 20 + payload.len() as u8, 0, 7, 0, 0, 64, protocol, 0, 0];
    packet.extend(from.octets());
    packet.extend(to.octets());
    packet.extend(payload);
    packet
}

fn v6(from: Ipv6Addr, to: Ipv6Addr, next: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = std::vec![0x60, 0, 0, 0, 0, payload.len() as u8, next, 64];
    packet.extend(from.octets());
    packet.extend(to.octets());
    packet.extend(payload);
    packet
}

fn udp(from: u16, to: u16) -> Vec<u8> {
    [&from.to_be_bytes()[..], &to.to_be_bytes(), &[0, 8, 0, 0]].concat()
}

fn tcp(from: u16, to: u16, flags: u8) -> Vec<u8> {
    let ports = [from.to_be_bytes(), to.to_be_bytes()].concat();
    [&ports[..], &[0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 1, 0, 0, 0, 0, 0]].concat()
}

#[test]
fn answers_pass_and_what_nobody_asked_for_does_not() {
    let mut bench = Bench::new(CONFIG);
    let answer = v4(FAR, US, UDP, &udp(53, 5000));
    assert!(!bench.comes(&answer));
    assert!(bench.goes(&v4(US, FAR, UDP, &udp(5000, 53))));
    assert!(bench.comes(&answer));
    for other in [
        v4(PEER, US, UDP, &udp(53, 5000)),
        v4(FAR, US, UDP, &udp(54, 5000)),
        v4(FAR, US, UDP, &udp(53, 5001)),
        v4(FAR, US, TCP, &tcp(53, 5000, SYN)),
    ] {
        assert!(!bench.comes(&other), "{other:?}");
    }
    let c = bench.wall.counters;
    assert_eq!((c.accepted_in.get(), c.accepted_out.get(), c.dropped_in_policy.get()), (1, 1, 5));
    // Five minutes after the last packet it is over.
    bench.pass(299);
    assert!(bench.comes(&answer));
    bench.pass(301);
    assert!(!bench.comes(&answer));
}

#[test]
fn the_first_rule_that_fits_decides() {
    let mut bench = Bench::rules(&[
        "drop in tcp port 80 from 10.0.0.9",
        "accept in tcp port 80-81",
        "accept in icmp from 10.0.0.0/8",
        "drop out udp to 192.0.2.0/24 port 53",
        "accept in 89",
    ]);
    let cases = [
        (v4(PEER, US, TCP, &tcp(4000, 80, SYN)), false),
        (v4(PEER, US, TCP, &tcp(4000, 81, SYN)), true),
        (v4(FAR, US, TCP, &tcp(4000, 80, SYN)), true),
        (v4(FAR, US, TCP, &tcp(4000, 82, SYN)), false),
        (v4(FAR, US, UDP, &udp(4000, 80)), false),
        (v4(PEER, US, 1, &[8, 0, 0, 0, 0, 1, 0, 1]), true),
        (v4(FAR, US, 1, &[8, 0, 0, 0, 0, 1, 0, 1]), false),
        (v4(FAR, US, 89, b""), true),
    ];
    for (packet, passes) in cases {
        assert_eq!(bench.comes(&packet), passes, "{packet:?}");
    }
    assert!(!bench.goes(&v4(US, FAR, UDP, &udp(5000, 53))));
    assert!(bench.goes(&v4(US, FAR, UDP, &udp(5000, 54))));
    assert!(bench.goes(&v4(US, PEER, UDP, &udp(5000, 53))));
    let c = bench.wall.counters;
    assert_eq!((c.dropped_in_rule.get(), c.dropped_out_rule.get()), (1, 1));
}

#[test]
fn with_everything_dropped_answers_still_pass() {
    let rules = &["accept in tcp port 80"];
    let mut bench = Bench::new(Config { rules, outgoing: Policy::Drop, ..CONFIG });
    let answer = v4(US, FAR, TCP, &tcp(80, 4000, SYN | ACK));
    assert!(!bench.goes(&answer));
    assert!(bench.comes(&v4(FAR, US, TCP, &tcp(4000, 80, SYN))));
    assert!(bench.goes(&answer));
    // An error about it, too: its quote is what had come.
    let quoted = v4(FAR, US, TCP, &tcp(4000, 80, ACK));
    let error = [&[3, 3, 0, 0, 0, 0, 0, 0][..], &quoted[..28]].concat();
    assert!(bench.goes(&v4(US, FAR, 1, &error)));
    assert!(!bench.goes(&v4(US, FAR, 1, &[8, 0, 0, 0, 0, 1, 0, 1])));
    assert_eq!(bench.wall.counters.related.get(), 1);
}

#[test]
fn a_connection_is_remembered_as_long_as_it_may_be_silent() {
    let mut bench = Bench::new(CONFIG);
    let (out, back) = (tcp(5000, 443, SYN), tcp(443, 5000, SYN | ACK));
    assert!(bench.goes(&v4(US, FAR, TCP, &out)));
    bench.pass(239);
    assert!(bench.comes(&v4(FAR, US, TCP, &back)));
    bench.pass(2 * 3600 + 200);
    assert!(bench.comes(&v4(FAR, US, TCP, &tcp(443, 5000, ACK))));
    assert!(bench.goes(&v4(US, FAR, TCP, &tcp(5000, 443, FIN))));
    bench.pass(239);
    assert!(bench.comes(&v4(FAR, US, TCP, &tcp(443, 5000, FIN))));
    bench.pass(241);
    assert!(!bench.comes(&v4(FAR, US, TCP, &tcp(443, 5000, ACK))));
    // An unanswered one is forgotten sooner.
    assert!(bench.goes(&v4(US, FAR, TCP, &out)));
    bench.pass(241);
    assert!(!bench.comes(&v4(FAR, US, TCP, &back)));
}

#[test]
fn a_connection_ends_when_both_sides_have_said_so_and_goes_on_behind_a_forged_reset() {
    const RST: u8 = 4;
    let open = || {
        let mut bench = Bench::new(CONFIG);
        assert!(bench.goes(&v4(US, FAR, TCP, &tcp(5000, 443, SYN))));
        assert!(bench.comes(&v4(FAR, US, TCP, &tcp(443, 5000, SYN | ACK))));
        assert!(bench.goes(&v4(US, FAR, TCP, &tcp(5000, 443, ACK))));
        bench
    };
    let data = v4(FAR, US, TCP, &tcp(443, 5000, ACK));
    // One side has said everything; the other takes an hour for its answer.
    let mut bench = open();
    assert!(bench.goes(&v4(US, FAR, TCP, &tcp(5000, 443, FIN))));
    bench.pass(3600);
    assert!(bench.comes(&data));
    assert!(!bench.comes(&v4(FAR, US, TCP, &tcp(443, 5000, SYN))));
    bench.pass(3600);
    assert!(bench.comes(&data), "nor does a forged beginning end it");
    assert!(bench.comes(&v4(FAR, US, TCP, &tcp(443, 5000, FIN))));
    bench.pass(239);
    assert!(bench.comes(&data));
    bench.pass(241);
    assert!(!bench.comes(&data));
    // Behind a reset it is over, unless it goes on.
    let mut bench = open();
    assert!(bench.comes(&v4(FAR, US, TCP, &tcp(443, 5000, RST))));
    bench.pass(241);
    assert!(!bench.comes(&data));
    let mut bench = open();
    assert!(bench.comes(&v4(FAR, US, TCP, &tcp(443, 5000, RST))));
    bench.pass(100);
    assert!(bench.goes(&v4(US, FAR, TCP, &tcp(5000, 443, ACK))));
    bench.pass(3600);
    assert!(bench.comes(&data));
}

#[test]
fn the_other_side_cannot_begin_anew_on_a_connection_that_ends() {
    let mut bench = Bench::new(CONFIG);
    assert!(bench.goes(&v4(US, FAR, TCP, &tcp(5000, 443, SYN))));
    assert!(bench.comes(&v4(FAR, US, TCP, &tcp(443, 5000, SYN | ACK))));
    assert!(bench.goes(&v4(US, FAR, TCP, &tcp(5000, 443, FIN))));
    assert!(!bench.comes(&v4(FAR, US, TCP, &tcp(443, 5000, SYN))), "judged by the rules");
    assert!(bench.goes(&v4(US, FAR, TCP, &tcp(5000, 443, SYN))));
    assert!(bench.comes(&v4(FAR, US, TCP, &tcp(443, 5000, SYN | ACK))));
}

#[test]
fn errors_about_a_flow_pass_and_others_do_not() {
    let mut bench = Bench::new(CONFIG);
    assert!(bench.goes(&v4(US, FAR, UDP, &udp(5000, 53))));
    let error =
        |quoted: &[u8]| v4(PEER, US, 1, &[&[3, 3, 0, 0, 0, 0, 0, 0][..], &quoted[..28]].concat());
    assert!(bench.comes(&error(&v4(US, FAR, UDP, &udp(5000, 53)))));
    assert!(!bench.comes(&error(&v4(US, FAR, UDP, &udp(5000, 54)))));
    assert!(!bench.comes(&error(&v4(FAR, US, UDP, &udp(53, 5000)))), "that was not sent by us");
    // A ping's answer and an error about it.
    assert!(bench.goes(&v4(US, FAR, 1, &[8, 0, 0, 0, 0, 9, 0, 1])));
    assert!(bench.comes(&v4(FAR, US, 1, &[0, 0, 0, 0, 0, 9, 0, 1])));
    assert!(bench.comes(&error(&v4(US, FAR, 1, &[8, 0, 0, 0, 0, 9, 0, 1]))));
    assert!(!bench.comes(&v4(FAR, US, 1, &[0, 0, 0, 0, 0, 8, 0, 1])));
    assert_eq!(bench.wall.counters.related.get(), 2);
}

#[test]
fn what_is_asked_of_everybody_is_answered_by_whoever_does() {
    let mut bench = Bench::new(CONFIG);
    let none = Ipv4Addr::UNSPECIFIED;
    let offer = v4(PEER, US, UDP, &udp(67, 68));
    assert!(!bench.comes(&offer));
    assert!(bench.goes(&v4(none, Ipv4Addr::BROADCAST, UDP, &udp(68, 67))));
    assert!(bench.comes(&offer));
    assert!(!bench.comes(&v4(PEER, US, UDP, &udp(66, 68))));
    assert!(!bench.comes(&v4(PEER, US, TCP, &tcp(67, 68, SYN))));
    // Asked again, it is the same flow.
    for _ in 0..100 {
        assert!(bench.goes(&v4(none, Ipv4Addr::BROADCAST, UDP, &udp(68, 67))));
    }
    let c = bench.wall.counters;
    assert_eq!((c.flows.get(), c.evicted.get()), (1, 0));
    // DHCPv6.
    let all = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
    assert!(bench.goes(&v6(US6, all, UDP, &udp(546, 547))));
    assert!(bench.comes(&v6(PEER6, US6, UDP, &udp(547, 546))));
}

#[test]
fn what_goes_to_many_is_judged_by_where_it_goes() {
    let mut bench = Bench::rules(&["drop out udp to 239.2.2.2/32"]);
    let to = |host| v4(US, Ipv4Addr::new(239, host, host, host), UDP, &udp(5000, 5000));
    assert!(bench.goes(&to(1)) && bench.goes(&to(3)));
    assert!(!bench.goes(&to(2)));
    assert_eq!(bench.wall.counters.flows.get(), 1, "answers come from anybody");
}

#[test]
fn ipv6_is_filtered_through_its_extension_headers() {
    let mut bench = Bench::rules(&["accept in tcp port 80", "accept in icmp from 2001:db8::/32"]);
    let syn = tcp(4000, 80, SYN);
    let options = [&[TCP, 0, 1, 4, 0, 0, 0, 0][..], &syn].concat();
    assert!(bench.comes(&v6(PEER6, US6, 60, &options)));
    let other = [&[TCP, 0, 1, 4, 0, 0, 0, 0][..], &tcp(4000, 81, SYN)].concat();
    assert!(!bench.comes(&v6(PEER6, US6, 60, &other)));
    assert!(bench.comes(&v6(PEER6, US6, 58, &[128, 0, 0, 0, 0, 1, 0, 1])), "ICMP of its version");
    // Headers without an end.
    let many = [60, 0, 1, 4, 0, 0, 0, 0].repeat(9);
    assert!(!bench.comes(&v6(PEER6, US6, 60, &many)));
    assert_eq!(bench.wall.counters.malformed.get(), 1);
}

#[test]
fn what_says_how_the_link_works_passes_only_from_there() {
    let mut bench = Bench::new(Config { outgoing: Policy::Drop, ..CONFIG });
    let local = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 9);
    let packet = |from, hops, next, payload: &[u8]| {
        let mut packet = v6(from, US6, next, payload);
        packet[7] = hops;
        packet
    };
    let none = Ipv6Addr::UNSPECIFIED;
    let alert = [58, 0, 5, 2, 0, 0, 1, 0];
    for kind in 120..150u8 {
        let message = [kind, 0, 0, 0, 0, 0, 0, 0];
        let (finds, groups) = ((133..=137).contains(&kind), matches!(kind, 130..=132 | 143));
        for hops in [0, 1, 2, 64, 254, 255] {
            let passes = (finds && hops == 255) || (groups && hops == 1);
            for from in [local, none] {
                assert_eq!(bench.comes(&packet(from, hops, 58, &message)), passes, "{kind} {hops}");
            }
            let behind = packet(local, hops, 0, &[alert, message].concat());
            assert_eq!(bench.comes(&behind), passes, "{kind} {hops} behind an option");
            let mut own = packet(local, hops, 58, &message);
            own[24..40].copy_from_slice(&PEER6.octets());
            assert_eq!(bench.goes(&own), passes, "{kind} {hops} of this host");
            // A router on the way can make the hop limit 1, but not the source link-local.
            assert_eq!(bench.comes(&packet(PEER6, hops, 58, &message)), passes && finds);
            // The first of several fragments, and the only one.
            for flags in [1, 0] {
                let part = [&[58, 0, 0, flags, 0, 0, 0, 5][..], &message].concat();
                assert!(!bench.comes(&packet(local, hops, 44, &part)), "{kind} {hops} in part");
            }
            let mut old = v4(PEER, US, 58, &message);
            old[8] = hops;
            assert!(!bench.comes(&old), "{kind} {hops} in a packet of IPv4");
        }
    }
    // Otherwise the rules and the flows decide.
    let mut bench = Bench::rules(&["accept in icmp from 2001:db8::/32"]);
    assert!(bench.comes(&packet(PEER6, 64, 58, &[135, 0, 0, 0, 0, 0, 0, 0])));
    assert!(!bench.comes(&packet(local, 64, 58, &[135, 0, 0, 0, 0, 0, 0, 0])));
}

#[test]
fn one_versions_icmp_is_nothing_in_particular_in_the_other() {
    let mut bench = Bench::rules(&["accept in icmp"]);
    assert!(bench.comes(&v4(PEER, US, 1, &[8, 0, 0, 0, 0, 1, 0, 1])));
    assert!(!bench.comes(&v4(PEER, US, 58, &[128, 0, 0, 0, 0, 1, 0, 1])));
    assert!(!bench.comes(&v6(PEER6, US6, 1, &[8, 0, 0, 0, 0, 1, 0, 1])));
    // So it says nothing about a flow.
    assert!(bench.goes(&v4(US, FAR, UDP, &udp(5000, 53))));
    let quoted = v4(US, FAR, UDP, &udp(5000, 53));
    let error = [&[1, 3, 0, 0, 0, 0, 0, 0][..], &quoted].concat();
    assert!(!bench.comes(&v4(PEER, US, 58, &error)));
    assert_eq!(bench.wall.counters.related.get(), 0);
}

#[test]
fn fragments_pass_when_their_first_one_did() {
    let mut bench = Bench::rules(&["accept in udp port 7"]);
    let part = |flags: u16, number: u8, payload: &[u8]| {
        let mut packet = v4(PEER, US, UDP, payload);
        packet[5] = number;
        packet[6..8].copy_from_slice(&flags.to_be_bytes());
        packet
    };
    assert!(!bench.comes(&part(1, 1, b"12345678")), "before the first one");
    assert!(bench.comes(&part(0x2000, 1, &udp(4000, 7))));
    assert!(bench.comes(&part(0x2001, 1, b"12345678")));
    assert!(bench.comes(&part(2, 1, b"12345678")));
    assert!(!bench.comes(&part(1, 2, b"12345678")), "of another packet");
    assert!(!bench.comes(&part(0x2000, 3, &udp(4000, 8))));
    assert!(!bench.comes(&part(1, 3, b"12345678")), "its first one did not pass");
    let part = |offset: u8, payload: &[u8]| {
        v6(PEER6, US6, 44, &[&[UDP, 0, 0, offset, 0, 0, 0, 5][..], payload].concat())
    };
    assert!(bench.comes(&part(1, &udp(4000, 7))));
    assert!(bench.comes(&part(8, b"12345678")));
    assert_eq!(bench.wall.counters.fragments.get(), 3);
}

#[test]
fn the_table_does_not_grow_and_who_ends_first_gives_way() {
    let mut bench = Bench::new(CONFIG);
    assert!(bench.goes(&v4(US, FAR, TCP, &tcp(5000, 443, SYN))));
    assert!(bench.comes(&v4(FAR, US, TCP, &tcp(443, 5000, SYN | ACK))));
    for port in 1..2_000 {
        assert!(bench.goes(&v4(US, FAR, UDP, &udp(6000, port))));
    }
    assert!(bench.wall.counters.evicted.get() > 1_900);
    // The connection lasts longer than what floods.
    assert!(bench.comes(&v4(FAR, US, TCP, &tcp(443, 5000, ACK))));
}

#[test]
fn rules_that_are_not_understood_say_why() {
    let cases = [
        ("", "begins with `accept` or `drop`, not ``"),
        ("allow in", "begins with `accept` or `drop`, not `allow`"),
        ("accept", "`in` or `out` comes second, not ``"),
        ("accept tcp", "`in` or `out` comes second, not `tcp`"),
        ("accept in tpc", "`tpc` is not expected"),
        ("accept in tcp udp", "`udp` is not expected"),
        ("accept in tcp port 0x50", "`0x50` is no port"),
        ("accept in tcp port 90-80", "`90-80` is no port"),
        ("accept in tcp port", "`` is no port"),
        ("accept in port 80", "only `tcp` and `udp` have ports"),
        ("accept in icmp port 80", "only `tcp` and `udp` have ports"),
        ("accept in from 10.0.0.0/33", "`10.0.0.0/33` is no prefix"),
        ("accept in from example.org", "`example.org` is no prefix"),
        ("accept in to 10.0.0.0/8", "`to` does not go with the direction"),
        ("accept out from 10.0.0.0/8", "`from` does not go with the direction"),
    ];
    for (text, expected) in cases {
        let why = Rule::parse(text).unwrap_err().to_string();
        assert!(why.contains(expected), "{text:?}: {why}");
    }
    let mut cx = testing::context(4, 1);
    let rules: &[&str] = &["accept in", "nonsense"];
    let config = Box::leak(Box::new(Config { rules, ..CONFIG }));
    assert!(Firewall::new(config, &mut cx).init(&mut Link::default(), &mut cx).is_err());
}

#[test]
fn arbitrary_bytes_do_no_harm() {
    let mut random = waitless::Random::new([4; 32]);
    let mut bench = Bench::new(CONFIG);
    let quoted = v4(US, FAR, UDP, &udp(5000, 53));
    let good = [
        v4(PEER, US, TCP, &tcp(1, 2, SYN)),
        v4(PEER, US, 1, &[&[3, 3, 0, 0, 0, 0, 0, 0][..], &quoted].concat()),
        v6(
            PEER6,
            US6,
            60,
            &[&[44, 0, 1, 4, 0, 0, 0, 0][..], &[17, 0, 0, 1, 0, 0, 0, 1], &udp(1, 2)].concat(),
        ),
        v6(
            PEER6,
            US6,
            58,
            &[&[1, 0, 0, 0, 0, 0, 0, 0][..], &v6(US6, PEER6, 17, &udp(1, 2))].concat(),
        ),
    ];
    for _ in 0..100_000 {
        let mut bytes = good[random.below(good.len() as u64) as usize].clone();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] = random.u32() as u8;
        }
        bytes.truncate(1 + random.below(bytes.len() as u64 * 2) as usize);
        for protocol in [EtherType::IPV4, EtherType::IPV6] {
            for way in [Way::In, Way::Out] {
                let (_, packet) = bench.packet(&bytes);
                let now = bench.cx.now();
                bench.wall.judge(protocol, &packet, way, now);
            }
        }
    }
}
