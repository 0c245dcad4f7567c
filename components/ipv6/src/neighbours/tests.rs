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
    match table.lookup(host(1), Owner::Host, now) {
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
    let Lookup::Unknown(index) = table.lookup(host(1), Owner::Host, at(0)) else {
        panic!("it is unknown")
    };
    for _ in 0..2 {
        assert_eq!(table.wait(index, cx.packet().unwrap(), Owner::Host), 0);
    }
    let expected = ["0 everybody", "1000 everybody", "2000 everybody", "3000 lost", "3000 lost"];
    assert_eq!(trace(&mut table, 100_000), expected);
    assert_eq!((table.waiting(), table.len(), cx.pool().available()), (0, 0, 8));
    // The next packet asks anew.
    assert!(matches!(table.lookup(host(1), Owner::Host, at(9_000)), Lookup::Unknown(_)));
    assert_eq!(trace(&mut table, 9_000), ["9000 everybody"]);
}

#[test]
fn an_answer_lets_go_what_waits_in_order_and_the_oldest_had_given_way() {
    let cx = testing::context(8, 1);
    let mut table = table(4);
    let Lookup::Unknown(index) = table.lookup(host(1), Owner::Host, at(0)) else {
        panic!("it is unknown")
    };
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
    table.lookup(host(1), Owner::Host, at(0));
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
    table.lookup(host(1), Owner::Host, at(0));
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
    table.lookup(host(0), Owner::Host, at(100));
    table.spoke(host(100), TWO, false, at(101));
    assert_eq!(table.len(), 8);
    assert!(table.may_be_reachable(host(0)) && table.may_be_reachable(host(100)));
    assert!(!table.may_be_reachable(host(1)));
    // Those being asked for fill the table, and then no more can be asked for.
    let asked = (200..300)
        .filter(|it| matches!(table.lookup(host(*it), Owner::Host, at(200)), Lookup::Unknown(_)));
    assert_eq!(asked.count(), 8);
    assert_eq!(table.lookup(host(500), Owner::Host, at(201)), Lookup::Full);
    assert_eq!(table.len(), 8);
}

#[test]
fn who_is_asked_for_others_has_a_share_and_nobody_in_use_gives_way() {
    let mut table = table(64);
    let learn = |table: &mut Neighbours, number, now| {
        table.lookup(host(number), Owner::Host, now);
        table.advertised(&answer(host(number), true, true), Some(ONE), now);
    };
    // Half of the table is in use, and a scan begins.
    (0..32).for_each(|number| learn(&mut table, number, at(0)));
    let scan = |table: &mut Neighbours, from: u128, now| {
        let scanned = from..from + 1_000;
        let asked = scanned.filter(|number| {
            matches!(table.lookup(host(*number), Owner::Transit, now), Lookup::Unknown(_))
        });
        asked.count()
    };
    assert_eq!(scan(&mut table, 1_000, at(1)), 16);
    assert_eq!(scan(&mut table, 2_000, at(2)), 0);
    // This host's own packets still find a way, and what is known is told.
    assert!(matches!(table.lookup(host(40), Owner::Host, at(3)), Lookup::Unknown(_)));
    assert!(matches!(table.lookup(host(7), Owner::Transit, at(3)), Lookup::Known(..)));
    // Those that do not answer are forgotten, and others are asked for in their places.
    trace(&mut table, 4_000);
    assert_eq!((table.len(), scan(&mut table, 3_000, at(4_000))), (32, 16));
    // Two who answer make room for two.
    table.advertised(&answer(host(3_000), true, true), Some(TWO), at(4_001));
    table.spoke(host(3_001), TWO, false, at(4_001));
    assert_eq!(scan(&mut table, 4_000, at(4_001)), 2);
    trace(&mut table, 8_000);
    // A full table of neighbours in use.
    (100..130).for_each(|number| learn(&mut table, number, at(8_000)));
    assert_eq!(table.len(), 64);
    for second in 8..300 {
        for number in (0..32).chain(100..130).chain([3_000, 3_001]) {
            let found = table.lookup(host(number), Owner::Transit, at(second * 1_000));
            assert!(matches!(found, Lookup::Known(..)), "{second} s: {number}");
            // It shows that it is there.
            table.advertised(&answer(host(number), true, true), None, at(second * 1_000));
        }
        assert_eq!(scan(&mut table, 5_000, at(second * 1_000)), 0, "{second} s");
        trace(&mut table, second * 1_000);
    }
    // One that nobody needs any more does give way.
    for number in (1..32).chain(100..130).chain([3_000, 3_001]) {
        table.lookup(host(number), Owner::Transit, at(359_000));
    }
    assert_eq!(scan(&mut table, 6_000, at(360_000)), 1);
    assert!(!table.may_be_reachable(host(0)) && table.may_be_reachable(host(1)));
}

#[test]
fn who_speaks_during_a_scan_finds_a_place() {
    let mut table = table(256);
    (0..192).for_each(|number| table.spoke(host(number), ONE, false, at(0)));
    let scanned = (1_000..2_000).filter(|number| {
        matches!(table.lookup(host(*number), Owner::Transit, at(1)), Lookup::Unknown(_))
    });
    assert_eq!(scanned.count(), 64);
    for number in 3_000..4_000 {
        table.spoke(host(number), TWO, false, at(2));
        assert!(table.may_be_reachable(host(number)), "{number}");
    }
    assert_eq!((table.len(), table.asked), (256, 64));
}

#[test]
fn packets_of_others_leave_half_of_the_room_for_those_that_wait() {
    let cx = testing::context(32, 1);
    let mut table = table(64);
    let mut wait = |number, owner| {
        let Lookup::Unknown(index) = table.lookup(host(number), owner, at(0)) else {
            panic!("it is unknown")
        };
        table.wait(index, cx.packet().unwrap(), owner)
    };
    let dropped: u64 = (0..16).map(|number| wait(number, Owner::Transit)).sum();
    assert_eq!(dropped, 12);
    let dropped: u64 = (20..26).map(|number| wait(number, Owner::Host)).sum();
    assert_eq!((dropped, table.waiting()), (2, 8));
}

/// The counts that the table keeps are what its entries say, and each entry is where it is found.
fn is_sound(table: &Neighbours) {
    let asked = |entry: &&Neighbour| matches!(entry.state, State::Incomplete(_));
    assert_eq!(table.asked, table.entries.iter().filter(asked).count());
    let waiting: usize = table.entries.iter().map(|entry| entry.pending.len()).sum();
    assert_eq!(table.waiting, waiting);
    for (index, entry) in table.entries.iter().enumerate() {
        let found = table.find(entry.address) == Some(Index(index as u16));
        let is_free = table.free.contains(&(index as u16));
        assert_eq!((entry.state == State::Free, found), (is_free, !is_free), "{}", entry.address);
    }
    assert!(table.entries.len() <= table.limit);
}

#[test]
fn whatever_happens_the_table_is_sound() {
    let cx = testing::context(32, 1);
    let mut random = Random::new([9; 32]);
    let mut table = table(16);
    let mut now = 0;
    for _ in 0..50_000 {
        let address = host(random.below(40) as u128);
        let owner = [Owner::Host, Owner::Transit][random.below(2) as usize];
        let mac = [None, Some(ONE), Some(TWO)][random.below(3) as usize];
        let yes = random.below(2) == 1;
        match random.below(8) {
            0..=2 => {
                if let Lookup::Unknown(index) = table.lookup(address, owner, at(now)) {
                    table.wait(index, cx.packet().unwrap(), owner);
                }
            }
            3 => table.spoke(address, ONE, yes, at(now)),
            4 => _ = table.advertised(&answer(address, yes, !yes), mac, at(now)),
            5 => drop(table.answered()),
            _ => {
                now += random.below(400);
                drop(table.due(at(now), yes));
            }
        }
        is_sound(&table);
    }
    // Where a station answers nobody and nobody asks, all is over in the end.
    (0..200_000).for_each(|step| drop(table.due(at(now + step), true)));
    while table.answered().is_some() {}
    is_sound(&table);
    assert_eq!((table.asked, table.waiting(), cx.pool().available()), (0, 0, 32));
}

#[test]
fn packets_that_wait_have_a_bound_for_all_together() {
    let cx = testing::context(32, 1);
    let mut table = table(64);
    let mut dropped = 0;
    for number in 0..16 {
        let Lookup::Unknown(index) = table.lookup(host(number), Owner::Host, at(0)) else {
            panic!("unknown")
        };
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
                let Lookup::Known(known, _) = table.lookup(host(number), Owner::Host, at(step))
                else {
                    panic!("it may be reachable")
                };
                assert_eq!(model.get(&number), Some(&known));
            }
            _ => {}
        }
        assert!(table.len() <= 16);
    }
}
