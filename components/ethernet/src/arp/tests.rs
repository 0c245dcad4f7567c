//! ARP as seen on the wire.

extern crate std;

use crate::tests::{ADDRESS, Bench, CONFIG, GATEWAY, OTHER, OURS, PEER, framed};
use crate::{Config, Defence};
use core::net::Ipv4Addr;
use std::vec;
use std::vec::Vec;
use waitless::{ClaimState, Context, EtherType, LinkPort, Mac};

const NONE: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const ALL: Mac = Mac::BROADCAST;

fn message(operation: u8, from: (Mac, Ipv4Addr), to: (Mac, Ipv4Addr)) -> Vec<u8> {
    let (from_mac, to_mac) = (from.0.0, to.0.0);
    let head = [0, 1, 8, 0, 6, 4, 0, operation];
    [&head[..], &from_mac, &from.1.octets(), &to_mac, &to.1.octets()].concat()
}

/// A request, from a station and host, for a host.
pub(crate) fn ask(mac: Mac, sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    message(1, (mac, sender), (Mac::default(), target))
}

/// A reply, from a station and host, to our station and a host.
pub(crate) fn reply(mac: Mac, sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    message(2, (mac, sender), (OURS, target))
}

/// A frame with ARP that we send.
fn arp(to: Mac, message: Vec<u8>) -> Vec<u8> {
    [&to.0[..], &OURS.0, &[8, 6], &message].concat()
}

fn asks(target: Ipv4Addr) -> Vec<u8> {
    arp(ALL, ask(OURS, ADDRESS, target))
}

fn announces() -> Vec<u8> {
    arp(ALL, ask(OURS, ADDRESS, ADDRESS))
}

fn probes() -> Vec<u8> {
    arp(ALL, ask(OURS, NONE, ADDRESS))
}

impl Bench {
    fn hear(&mut self, to: Mac, from: Mac, message: &[u8]) {
        self.frame(to, from, 0x0806, message);
    }

    fn answer(&mut self) {
        self.hear(OURS, PEER, &reply(PEER, GATEWAY, ADDRESS));
    }
}

#[test]
fn a_packet_waits_for_its_neighbour() {
    let mut bench = Bench::announced();
    bench.send(GATEWAY, b"one");
    bench.send(GATEWAY, b"two");
    assert_eq!(bench.sent(), [asks(GATEWAY)], "one question for both");
    bench.answer();
    assert_eq!(bench.sent(), [framed(PEER, b"one"), framed(PEER, b"two")]);
    bench.send(GATEWAY, b"three");
    assert_eq!(bench.sent(), [framed(PEER, b"three")]);
}

#[test]
fn a_neighbour_is_asked_three_times_a_second_apart_and_then_given_up() {
    let mut bench = Bench::announced();
    bench.send(GATEWAY, b"one");
    assert_eq!(bench.sent(), [asks(GATEWAY)]);
    for (millis, expected) in [(5_999, 0), (6_000, 1), (6_999, 0), (7_000, 1), (7_999, 0)] {
        bench.run_to(millis);
        assert_eq!(bench.sent(), vec![asks(GATEWAY); expected], "at {millis}");
    }
    assert_eq!(bench.link.counters.unreachable.get(), 0);
    bench.run_to(8_000);
    assert_eq!(bench.link.counters.unreachable.get(), 1);
    bench.send(GATEWAY, b"two");
    assert_eq!(bench.link.counters.unreachable.get(), 2, "known not to answer");
    assert!(bench.sent().is_empty());
    bench.run_to(9_000);
    bench.send(GATEWAY, b"three");
    assert_eq!(bench.sent(), [asks(GATEWAY)], "and asked again a second later");
    bench.answer();
    assert_eq!(bench.sent(), [framed(PEER, b"three")]);
}

#[test]
fn a_stale_neighbour_is_asked_alone_while_it_is_used() {
    let mut bench = Bench::announced();
    bench.hear(OURS, PEER, &ask(PEER, GATEWAY, ADDRESS));
    bench.sent();
    bench.run_to(64_900);
    bench.send(GATEWAY, b"fresh");
    assert_eq!(bench.sent(), [framed(PEER, b"fresh")]);
    bench.run_to(65_000);
    assert!(bench.sent().is_empty(), "a neighbour that is not used is not asked");
    bench.send(GATEWAY, b"stale");
    let again = arp(PEER, ask(OURS, ADDRESS, GATEWAY));
    assert_eq!(bench.sent(), [framed(PEER, b"stale"), again.clone()]);
    bench.answer();
    bench.run_to(70_000);
    bench.send(GATEWAY, b"fresh");
    assert_eq!(bench.sent(), [framed(PEER, b"fresh")]);
    bench.run_to(126_000);
    bench.send(GATEWAY, b"stale");
    bench.run_to(129_000);
    assert_eq!(bench.sent()[1..], vec![again; 3], "no answer");
    bench.send(GATEWAY, b"lost");
    assert_eq!(bench.sent(), [asks(GATEWAY)], "so everybody is asked");
}

#[test]
fn the_latest_packets_wait_and_no_more_than_the_limits() {
    let mut bench = Bench::announced();
    for number in 0..10 {
        bench.send(GATEWAY, &[number]);
    }
    assert_eq!(bench.link.counters.pending_full.get(), 2);
    bench.sent();
    bench.answer();
    let expected: Vec<_> = (2..10).map(|number| framed(PEER, &[number])).collect();
    assert_eq!(bench.sent(), expected);
    for number in 0..70 {
        bench.send(Ipv4Addr::new(10, 0, 1, number), b"packet");
    }
    assert_eq!(bench.link.counters.pending_full.get(), 2 + 6);
    assert_eq!(bench.link.arp.waiting(), 64);
    bench.run_to(10_000);
    assert_eq!((bench.link.arp.waiting(), bench.link.counters.unreachable.get()), (0, 64));
}

#[test]
fn the_table_is_bounded_and_gives_up_what_is_not_used() {
    let mut bench = Bench::new(Config { neighbours: 4, ..CONFIG });
    bench.link.claim(Some(ADDRESS));
    bench.run_to(5_000);
    let host = |number| Ipv4Addr::new(10, 0, 2, number);
    for number in 1..=4 {
        bench.hear(
            OURS,
            Mac([2, 0, 0, 0, 1, number]),
            &ask(Mac([2, 0, 0, 0, 1, number]), host(number), ADDRESS),
        );
    }
    bench.run_to(6_000);
    for number in [1, 3, 4] {
        bench.send(host(number), b"in use");
    }
    bench.run_to(7_000);
    bench.sent();
    bench.send(host(5), b"new");
    assert_eq!(bench.sent(), [asks(host(5))]);
    assert_eq!(bench.link.arp.neighbours(), 4);
    for number in [1, 3, 4] {
        bench.send(host(number), b"known");
    }
    assert!(bench.sent().iter().all(|frame| frame.ends_with(b"known")));
    bench.send(host(2), b"forgotten");
    assert!(!bench.sent().iter().any(|frame| frame.ends_with(b"forgotten")));
    for number in 10..16 {
        bench.send(host(number), b"many");
    }
    assert!(bench.link.counters.neighbours_full.get() > 0, "those asked for longest give way");
    assert_eq!(bench.link.arp.neighbours(), 4);
}

#[test]
fn who_makes_it_ask_for_many_takes_no_neighbour_in_use_away() {
    let mut bench = Bench::announced();
    bench.send(GATEWAY, b"one");
    bench.answer();
    // Some 200 a second that do not answer, whom nobody can ask for all at once.
    for number in 0..3_000_u32 {
        bench.run_to(5_000 + 5 * u64::from(number));
        bench.send(Ipv4Addr::from(0x0a01_0000 + number), b"many");
        bench.sent();
        if number % 100 == 99 {
            bench.send(GATEWAY, b"used");
            assert_eq!(bench.sent(), [framed(PEER, b"used")], "{number}");
            let host = Ipv4Addr::from(0x0a02_0000 + number);
            bench.send(host, b"new");
            bench.hear(OURS, OTHER, &reply(OTHER, host, ADDRESS));
            assert_eq!(bench.sent().pop(), Some(framed(OTHER, b"new")), "{number}");
        }
    }
    let counters = bench.link.counters;
    assert!(bench.link.arp.neighbours() <= usize::from(CONFIG.neighbours));
    bench.run_to(60_000);
    assert_eq!(bench.link.arp.waiting(), 0);
    let lost = [&counters.neighbours_full, &counters.pending_full, &counters.unreachable];
    assert_eq!(lost.map(waitless::Counter::get).iter().sum::<u64>(), 3_000, "all are counted");
}

#[test]
fn only_our_own_address_is_answered_for() {
    let mut bench = Bench::announced();
    bench.hear(ALL, PEER, &ask(PEER, GATEWAY, ADDRESS));
    let answer = message(2, (OURS, ADDRESS), (PEER, GATEWAY));
    assert_eq!(bench.sent(), [arp(PEER, answer)]);
    bench.hear(ALL, PEER, &ask(PEER, GATEWAY, Ipv4Addr::new(10, 0, 0, 2)));
    assert!(bench.sent().is_empty());
    bench.link.claim(None);
    bench.hear(ALL, PEER, &ask(PEER, GATEWAY, ADDRESS));
    assert!(bench.sent().is_empty());
    assert_eq!(bench.link.claim_state(), ClaimState::None);
}

#[test]
fn what_nobody_asked_for_changes_only_what_is_known() {
    let mut bench = Bench::announced();
    bench.hear(OURS, PEER, &reply(PEER, GATEWAY, Ipv4Addr::new(10, 0, 0, 7)));
    bench.hear(ALL, PEER, &ask(PEER, GATEWAY, GATEWAY));
    assert_eq!(bench.link.arp.neighbours(), 0);
    bench.hear(ALL, PEER, &ask(PEER, GATEWAY, ADDRESS));
    bench.sent();
    bench.send(GATEWAY, b"one");
    assert_eq!(bench.sent(), [framed(PEER, b"one")]);
    bench.hear(ALL, OTHER, &ask(OTHER, GATEWAY, GATEWAY));
    assert_eq!(bench.sent(), [asks(GATEWAY)]);
    bench.send(GATEWAY, b"two");
    assert_eq!(bench.sent(), [framed(OTHER, b"two")], "the neighbour has moved");
    bench.hear(OURS, OTHER, &reply(OTHER, GATEWAY, ADDRESS));
    bench.run_to(60_000);
    bench.send(GATEWAY, b"three");
    assert_eq!(bench.sent(), [framed(OTHER, b"three")]);
}

#[test]
fn a_forged_address_lasts_until_its_owner_is_asked() {
    let mut bench = Bench::announced();
    bench.send(GATEWAY, b"one");
    bench.answer();
    bench.sent();
    bench.hear(OURS, OTHER, &reply(OTHER, GATEWAY, ADDRESS));
    assert_eq!(bench.sent(), [asks(GATEWAY)]);
    bench.answer();
    bench.send(GATEWAY, b"two");
    assert_eq!(bench.sent(), [framed(PEER, b"two")]);
    // Nobody makes it ask more often than once a second.
    for _ in 0..5 {
        bench.hear(OURS, OTHER, &reply(OTHER, GATEWAY, ADDRESS));
        bench.answer();
    }
    assert!(bench.sent().is_empty());
    bench.run_to(6_000);
    assert_eq!(bench.sent(), [asks(GATEWAY)]);
    bench.answer();
    bench.run_to(50_000);
    bench.send(GATEWAY, b"three");
    assert_eq!(bench.sent(), [framed(PEER, b"three")]);
    // A forger whom nobody contradicts is asked like everybody, and forgotten.
    bench.hear(OURS, OTHER, &reply(OTHER, GATEWAY, ADDRESS));
    bench.run_to(53_000);
    assert_eq!(bench.sent(), vec![asks(GATEWAY); 3]);
    bench.send(GATEWAY, b"four");
    assert_eq!(bench.sent(), [asks(GATEWAY)]);
    bench.answer();
    assert_eq!(bench.sent(), [framed(PEER, b"four")]);
}

#[test]
fn an_address_is_announced_twice_and_used_at_once() {
    let mut bench = Bench::new(CONFIG);
    bench.link.claim(Some(ADDRESS));
    assert_eq!(bench.link.claim_state(), ClaimState::Owned);
    bench.sweep();
    assert_eq!(bench.sent(), [announces()]);
    bench.link.claim(Some(ADDRESS));
    bench.run_to(60_000);
    assert_eq!(bench.sent(), [announces()]);
}

#[test]
fn an_address_is_announced_again_when_the_link_comes_back() {
    let mut bench = Bench::announced();
    bench.answer();
    bench.hear(ALL, PEER, &ask(PEER, GATEWAY, ADDRESS));
    bench.nic.up = false;
    bench.sweep();
    bench.sent();
    bench.send(GATEWAY, b"lost");
    assert_eq!(bench.link.counters.link_down.get(), 1);
    bench.nic.up = true;
    bench.sweep();
    assert_eq!(bench.sent(), [announces()]);
    bench.send(GATEWAY, b"stale");
    assert_eq!(bench.sent().len(), 2, "the packet, and the question whether it is right");
}

#[test]
fn with_probe_an_address_is_asked_for_first() {
    let mut bench = Bench::new(Config { probe: true, ..CONFIG });
    bench.link.claim(Some(ADDRESS));
    let mut times = vec![];
    for millis in 0..12_000 {
        bench.run_to(millis);
        let frames = bench.sent();
        assert!(frames.iter().all(|frame| *frame == probes() || *frame == announces()));
        times.extend(frames.into_iter().map(|frame| (millis, frame == probes())));
        let owned = times.iter().any(|(_, probe)| !probe);
        assert_eq!(bench.link.claim_state() == ClaimState::Owned, owned);
    }
    let order: Vec<_> = times.iter().map(|(_, probe)| *probe).collect();
    assert_eq!(order, [true, true, true, false, false]);
    let gaps: Vec<_> = times.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert!(times[0].0 <= 1_000, "PROBE_WAIT");
    assert!(gaps[..2].iter().all(|gap| (1_000..=2_001).contains(gap)), "PROBE_MIN, PROBE_MAX");
    assert!(gaps[2..].iter().all(|gap| (2_000..=2_001).contains(gap)), "ANNOUNCE_…");
}

#[test]
fn with_probe_whoever_has_or_wants_the_address_gets_it() {
    for message in
        [reply(PEER, ADDRESS, NONE), ask(PEER, ADDRESS, GATEWAY), ask(PEER, NONE, ADDRESS)]
    {
        let mut bench = Bench::new(Config { probe: true, ..CONFIG });
        bench.link.claim(Some(ADDRESS));
        bench.run_to(1_500);
        assert_eq!(bench.link.claim_state(), ClaimState::Probing);
        bench.hear(ALL, PEER, &message);
        assert_eq!(bench.link.claim_state(), ClaimState::Conflict(PEER));
        bench.sent();
        bench.run_to(20_000);
        assert!(bench.sent().is_empty());
    }
}

#[test]
fn after_ten_conflicts_probing_slows_down() {
    let mut bench = Bench::new(Config { probe: true, ..CONFIG });
    for _ in 0..10 {
        bench.link.claim(Some(ADDRESS));
        bench.sweep();
        bench.hear(ALL, PEER, &ask(PEER, ADDRESS, ADDRESS));
        bench.link.claim(None);
    }
    bench.sent();
    bench.link.claim(Some(ADDRESS));
    bench.run_to(59_000);
    assert!(bench.sent().is_empty());
    bench.run_to(61_000);
    assert_eq!(bench.sent()[0], probes());
}

#[test]
fn an_address_is_defended_once_in_ten_seconds() {
    for (defend, after, lost) in [
        (Defence::Once, 5_000, true),
        (Defence::Once, 500_000, true),
        (Defence::Settled, 5_000, true),
        (Defence::Settled, 42_000, false),
        (Defence::Always, 5_000, false),
    ] {
        let mut bench = Bench::new(Config { defend, ..CONFIG });
        bench.link.claim(Some(ADDRESS));
        bench.run_to(after);
        bench.sent();
        let theirs = ask(OTHER, ADDRESS, ADDRESS);
        bench.hear(ALL, OTHER, &theirs);
        assert_eq!(bench.sent(), [announces()]);
        bench.run_to(after + 10_000);
        bench.hear(ALL, OTHER, &theirs);
        assert_eq!(bench.sent(), [announces()], "ten seconds later it is defended again");
        bench.run_to(after + 19_000);
        bench.hear(ALL, OTHER, &theirs);
        assert!(bench.sent().is_empty());
        let expected = if lost { ClaimState::Conflict(OTHER) } else { ClaimState::Owned };
        assert_eq!(bench.link.claim_state(), expected);
        bench.hear(ALL, PEER, &ask(PEER, GATEWAY, ADDRESS));
        assert_eq!(bench.sent().len(), usize::from(!lost), "what is lost is not answered for");
    }
}

#[test]
fn a_probe_for_our_address_is_answered() {
    let mut bench = Bench::announced();
    bench.hear(ALL, PEER, &ask(PEER, NONE, ADDRESS));
    assert_eq!(bench.sent(), [arp(PEER, message(2, (OURS, ADDRESS), (PEER, NONE)))]);
    assert_eq!(bench.link.arp.neighbours(), 0);
}

#[test]
fn what_makes_no_sense_is_dropped() {
    let good = ask(PEER, GATEWAY, ADDRESS);
    let change = |at: usize, value| {
        let mut bytes = good.clone();
        bytes[at] = value;
        bytes
    };
    let cases = [
        ("hardware type", change(1, 6)),
        ("protocol type", change(3, 6)),
        ("hardware length", change(4, 8)),
        ("protocol length", change(5, 16)),
        ("operation", change(7, 3)),
        ("sender's station a group", change(8, 1)),
        ("sender a group", change(14, 224)),
        ("sender a loopback", change(14, 127)),
        ("short", good[..27].to_vec()),
    ];
    for (what, bytes) in cases {
        let mut bench = Bench::announced();
        bench.hear(ALL, PEER, &bytes);
        assert_eq!(bench.link.counters.arp_malformed.get(), 1, "{what}");
        assert!(bench.sent().is_empty(), "{what}");
    }
}

#[test]
fn our_own_announcement_that_comes_back_is_no_conflict() {
    let mut bench = Bench::announced();
    bench.hear(ALL, PEER, &ask(OURS, ADDRESS, ADDRESS));
    assert_eq!(bench.link.counters.arp_own.get(), 1);
    assert_eq!(bench.link.claim_state(), ClaimState::Owned);
}

#[test]
fn without_a_packet_a_question_waits() {
    let mut bench = Bench::announced();
    let packet = bench.packet(b"last");
    let taken: Vec<_> = core::iter::from_fn(|| Context::packet(&bench.cx)).collect();
    bench.link.send(EtherType::IPV4, waitless::NextHop::Ipv4(GATEWAY), packet).unwrap();
    bench.sweep();
    assert!(bench.sent().is_empty());
    drop(taken);
    bench.run_to(5_020);
    assert_eq!(bench.sent(), [asks(GATEWAY)]);
}
