//! The table alone, in virtual time.

extern crate std;

use super::*;
use crate::message::Advertisement;
use std::format;
use std::string::String;
use waitless::testing;

const ONE: Mac = Mac([2, 0, 0, 0, 0, 1]);
const TWO: Mac = Mac([2, 0, 0, 0, 0, 2]);

fn host(number: u128) -> Ipv6Addr {
    Ipv6Addr::from_bits(0xfe80 << 112 | number)
}

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

fn table(limit: usize) -> Neighbours {
    Neighbours::new(limit, 8, &mut Random::new([1; 32]))
}

fn answer(target: Ipv6Addr, solicited: bool, replaces: bool) -> Advertisement {
    Advertisement { target, router: false, solicited, replaces }
}

fn known(table: &mut Neighbours, now: Instant) -> Option<Mac> {
    match table.lookup(host(1), now) {
        Lookup::Known(mac, until) => {
            assert!(until > now && until <= now + USE_INTERVAL);
            Some(mac)
        }
        _ => None,
    }
}

/// What the table wants at the instants at which it wants something, up to `end`.
fn trace(table: &mut Neighbours, end: u64) -> std::vec::Vec<String> {
    let mut trace = std::vec::Vec::new();
    while table.deadline() <= at(end) {
        let now = table.deadline();
        while let Some(due) = table.due(now, true) {
            let what = match due {
                Due::Multicast(_) => "everybody",
                Due::Unicast(..) => "station",
                Due::Failed(_, Some(_)) => "lost",
                Due::Failed(_, None) => "gone",
            };
            trace.push(format!("{} {what}", now.as_millis()));
        }
    }
    trace
}

#[test]
fn who_does_not_answer_is_asked_three_times_and_what_waits_is_lost() {
    let cx = testing::context(8, 1);
    let mut table = table(4);
    let Lookup::Unknown(index) = table.lookup(host(1), at(0)) else { panic!("it is unknown") };
    for _ in 0..2 {
        assert_eq!(table.wait(index, cx.packet().unwrap(), Owner::Host), 0);
    }
    let expected = ["0 everybody", "1000 everybody", "2000 everybody", "3000 lost", "3000 lost"];
    assert_eq!(trace(&mut table, 100_000), expected);
    assert_eq!((table.waiting(), table.len(), cx.pool().available()), (0, 0, 8));
    // The next packet asks anew.
    assert!(matches!(table.lookup(host(1), at(9_000)), Lookup::Unknown(_)));
    assert_eq!(trace(&mut table, 9_000), ["9000 everybody"]);
}

#[test]
fn an_answer_lets_go_what_waits_in_order_and_the_oldest_had_given_way() {
    let cx = testing::context(8, 1);
    let mut table = table(4);
    let Lookup::Unknown(index) = table.lookup(host(1), at(0)) else { panic!("it is unknown") };
    let mut dropped = 0;
    for number in 0..5u8 {
        let mut packet = cx.packet().unwrap();
        packet.append(&[number]).unwrap();
        dropped += table.wait(index, packet, Owner::Host);
    }
    assert_eq!(dropped, 2);
    assert_eq!(table.advertised(&answer(host(1), true, true), Some(ONE), at(5)), Heard::Updated);
    let order: std::vec::Vec<_> = core::iter::from_fn(|| table.answered())
        .map(|(mac, packet)| (mac, packet.bytes()[0]))
        .collect();
    assert_eq!(order, [(ONE, 2), (ONE, 3), (ONE, 4)]);
    assert_eq!((table.waiting(), table.has_answered()), (0, false));
}

#[test]
fn a_reachable_neighbour_becomes_stale_is_delayed_and_probed_and_given_up() {
    let mut table = table(4);
    table.lookup(host(1), at(0));
    table.advertised(&answer(host(1), true, true), Some(ONE), at(0));
    assert_eq!(trace(&mut table, 1_000_000), [""; 0], "an unused one is left alone");
    // Longer than one and a half times REACHABLE_TIME.
    assert_eq!(known(&mut table, at(50_000)), Some(ONE), "stale, and still used");
    let expected = ["55000 station", "56000 station", "57000 station", "58000 gone"];
    assert_eq!(trace(&mut table, 100_000), expected);
    assert_eq!(known(&mut table, at(60_000)), None);
}

#[test]
fn a_probe_that_is_answered_makes_it_reachable_again() {
    let mut table = table(4);
    table.spoke(host(1), ONE, false, at(0));
    assert_eq!(known(&mut table, at(1)), Some(ONE));
    assert_eq!(trace(&mut table, 5_500), ["5001 station"]);
    table.advertised(&answer(host(1), true, false), Some(ONE), at(5_600));
    assert_eq!(known(&mut table, at(6_000)), Some(ONE));
    assert_eq!(trace(&mut table, 20_000), [""; 0]);
}

/// RFC 4861 section 7.2.5 and appendix C, row by row: the state before, the advertisement's
/// station, whether it is solicited and replaces, and station and freshness after it.
#[test]
fn advertisements_change_what_the_table_of_rfc_4861_says() {
    let cases = [
        ("stale", Some(ONE), true, false, ONE, true),
        ("stale", Some(TWO), true, false, ONE, false),
        ("stale", Some(TWO), true, true, TWO, true),
        ("stale", Some(TWO), false, true, TWO, false),
        ("stale", None, true, false, ONE, true),
        ("reachable", Some(TWO), false, false, ONE, false),
        ("reachable", Some(TWO), true, false, ONE, false),
        ("reachable", Some(TWO), false, true, TWO, false),
        ("reachable", Some(ONE), false, true, ONE, true),
        ("reachable", Some(ONE), false, false, ONE, true),
    ];
    for (before, mac, solicited, replaces, station, fresh) in cases {
        let mut table = table(4);
        table.spoke(host(1), ONE, false, at(0));
        if before == "reachable" {
            table.advertised(&answer(host(1), true, false), Some(ONE), at(0));
        }
        table.advertised(&answer(host(1), solicited, replaces), mac, at(1));
        assert_eq!(known(&mut table, at(2)), Some(station), "{before} {mac:?}");
        // A fresh one needs no probe.
        let probed = !trace(&mut table, 6_000).is_empty();
        assert_eq!(probed, !fresh, "{before} {mac:?} {solicited} {replaces}");
    }
}

#[test]
fn who_was_not_asked_for_is_not_remembered_by_advertising() {
    let mut table = table(4);
    let heard = table.advertised(&answer(host(1), false, true), Some(ONE), at(0));
    assert_eq!((heard, table.len()), (Heard::Unknown, 0));
    // Nor does an answer without a station help.
    table.lookup(host(1), at(0));
    assert_eq!(table.advertised(&answer(host(1), true, true), None, at(0)), Heard::Unknown);
    assert_eq!(known(&mut table, at(0)), None);
}

#[test]
fn a_router_that_says_that_it_is_none_is_noticed_once() {
    let mut table = table(4);
    table.spoke(host(1), ONE, true, at(0));
    let router = Advertisement { router: true, ..answer(host(1), true, true) };
    assert_eq!(table.advertised(&router, Some(ONE), at(0)), Heard::Updated);
    let message = answer(host(1), true, true);
    assert_eq!(table.advertised(&message, Some(ONE), at(0)), Heard::NoRouter);
    assert_eq!(table.advertised(&message, Some(ONE), at(0)), Heard::Updated);
}

#[test]
fn a_full_table_gives_up_who_was_not_used_for_longest_and_never_who_is_asked_for() {
    let mut table = table(8);
    for number in 0..8 {
        table.spoke(host(number), ONE, false, at(number as u64));
    }
    table.lookup(host(0), at(100));
    table.spoke(host(100), TWO, false, at(101));
    assert_eq!(table.len(), 8);
    assert!(table.may_be_reachable(host(0)) && table.may_be_reachable(host(100)));
    assert!(!table.may_be_reachable(host(1)));
    // Those being asked for fill the table, and then no more can be asked for.
    let asked =
        (200..300).filter(|it| matches!(table.lookup(host(*it), at(200)), Lookup::Unknown(_)));
    assert_eq!(asked.count(), 8);
    assert_eq!(table.lookup(host(500), at(201)), Lookup::Full);
    assert_eq!(table.len(), 8);
}

#[test]
fn packets_that_wait_have_a_bound_for_all_together() {
    let cx = testing::context(32, 1);
    let mut table = table(64);
    let mut dropped = 0;
    for number in 0..16 {
        let Lookup::Unknown(index) = table.lookup(host(number), at(0)) else { panic!("unknown") };
        dropped += table.wait(index, cx.packet().unwrap(), Owner::Host);
    }
    assert_eq!((dropped, table.waiting()), (8, 8));
}

#[test]
fn a_model_agrees_with_whom_the_table_knows() {
    let mut table = table(16);
    let mut random = Random::new([7; 32]);
    let mut model = std::collections::BTreeMap::new();
    for step in 0..20_000u64 {
        let (number, mac) = (random.below(48) as u128, [ONE, TWO][random.below(2) as usize]);
        match random.below(3) {
            0 => {
                table.spoke(host(number), mac, false, at(step));
                model.insert(number, mac);
            }
            1 => {
                let message = answer(host(number), true, true);
                if table.advertised(&message, Some(mac), at(step)) == Heard::Updated {
                    model.insert(number, mac);
                }
            }
            // What it knows is what was last said; what it has forgotten it says.
            _ if table.may_be_reachable(host(number)) => {
                let Lookup::Known(known, _) = table.lookup(host(number), at(step)) else {
                    panic!("it may be reachable")
                };
                assert_eq!(model.get(&number), Some(&known));
            }
            _ => {}
        }
        assert!(table.len() <= 16);
    }
}
