//! Addresses alone, in virtual time.

extern crate std;

use super::*;
use crate::Identifiers;
use std::vec::Vec as List;
use waitless::Mac;

const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
const NET: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 0);
const SECOND: Duration = Duration::from_secs(1);

fn at(secs: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(secs)
}

fn addresses(kind: Identifiers, probes: u8) -> Addresses {
    let maker = Maker::new(kind, None, [1; 16]);
    let mut addresses = Addresses::new(maker, probes);
    addresses.start(MAC, &[], at(0));
    addresses
}

fn prefix(valid: u32, preferred: u32) -> Prefix {
    Prefix { prefix: NET, length: 64, on_link: true, autonomous: true, valid, preferred }
}

/// Lets time pass up to `end`: when what was asked, and when something changed.
fn run(addresses: &mut Addresses, end: u64) -> List<(u64, bool)> {
    let mut trace = List::new();
    while addresses.deadline() <= at(end) {
        let now = addresses.deadline();
        while let Some(due) = addresses.due(now, SECOND, true) {
            trace.push((now.as_millis() / 1000, matches!(due, Due::Ask(_))));
        }
    }
    trace
}

/// One that routers let us make, when a day is left of it.
fn with_prefix(valid: u32) -> Addresses {
    let mut addresses = addresses(Identifiers::Stable, 0);
    assert!(addresses.announced(&prefix(valid, valid), at(0), at(0)).is_some());
    run(&mut addresses, 0);
    addresses
}

fn automatic(addresses: &Addresses) -> Option<Address> {
    addresses.iter().find(|it| it.origin == Origin::Automatic).copied()
}

#[test]
fn an_address_is_asked_for_and_used_a_second_after_the_last_question() {
    for probes in 0..3 {
        let mut addresses = addresses(Identifiers::Stable, probes);
        let mut expected: List<_> = (0..probes.into()).map(|second| (second, true)).collect();
        expected.push((probes.into(), false));
        assert_eq!(run(&mut addresses, 100), expected);
        assert!(addresses.link_local().is_some_and(|it| it.is_unicast_link_local()));
    }
}

#[test]
fn nobody_is_asked_while_nothing_can_be_sent() {
    let mut addresses = addresses(Identifiers::Stable, 1);
    assert_eq!(addresses.due(at(0), SECOND, false), None);
    assert_eq!(addresses.deadline(), at(0) + RETRY);
    assert!(matches!(addresses.due(at(1), SECOND, true), Some(Due::Ask(_))));
}

#[test]
fn a_duplicate_is_replaced_three_times_and_then_given_up() {
    let mut addresses = addresses(Identifiers::Stable, 1);
    let mut seen = List::new();
    for attempt in 0..=ATTEMPTS {
        let address = addresses.iter().next().unwrap().address;
        assert!(!seen.contains(&address));
        seen.push(address);
        let expected = if attempt < ATTEMPTS { Conflict::Replaced } else { Conflict::GivenUp };
        assert_eq!(addresses.conflict(address, at(0)), Some(expected));
    }
    assert_eq!(run(&mut addresses, 100), []);
    assert_eq!(addresses.link_local(), None);
}

#[test]
fn a_duplicate_of_the_cards_address_turns_everything_off() {
    let mut addresses = addresses(Identifiers::Eui64, 1);
    addresses.announced(&prefix(86_400, 86_400), at(0), at(0));
    let own = addresses.iter().next().unwrap().address;
    assert_eq!(addresses.conflict(own, at(0)), Some(Conflict::Disabled));
    run(&mut addresses, 100);
    assert_eq!(addresses.used().count(), 0);
    // Another link, another chance.
    addresses.restart(at(200));
    run(&mut addresses, 300);
    assert_eq!(addresses.used().count(), 2);
}

#[test]
fn an_address_in_use_is_not_given_up_because_another_host_wants_it() {
    let mut addresses = addresses(Identifiers::Stable, 1);
    run(&mut addresses, 10);
    let own = addresses.link_local().unwrap();
    assert_eq!(addresses.conflict(own, at(10)), None);
    assert_eq!(addresses.link_local(), Some(own));
}

#[test]
fn an_address_is_deprecated_and_ends_when_its_router_said() {
    let mut addresses = addresses(Identifiers::Stable, 0);
    addresses.announced(&prefix(100, 40), at(0), at(0));
    let state = |addresses: &Addresses| {
        let used = addresses.used().find(|it| !it.address.is_unicast_link_local());
        used.map(|it| it.deprecated)
    };
    run(&mut addresses, 39);
    assert_eq!(state(&addresses), Some(false));
    assert_eq!(run(&mut addresses, 99), [(40, false)]);
    assert_eq!(state(&addresses), Some(true));
    // Preferred again.
    addresses.announced(&prefix(100, 100), at(99), at(99));
    run(&mut addresses, 198);
    assert_eq!(state(&addresses), Some(false));
    // Both times end at once: what ends needs not be deprecated first.
    assert_eq!(run(&mut addresses, 500), [(199, false)]);
    assert_eq!(state(&addresses), None);
}

#[test]
fn the_two_hour_rule() {
    const HOUR: u32 = 3_600;
    // What was left, what is announced, what is left then.
    let cases = [
        (24 * HOUR, 48 * HOUR, 48 * HOUR),
        (24 * HOUR, 3 * HOUR, 3 * HOUR),
        (24 * HOUR, 10, 2 * HOUR),
        (24 * HOUR, 0, 2 * HOUR),
        (HOUR, 10, HOUR),
        (HOUR, 0, HOUR),
        (HOUR, 2 * HOUR - 1, 2 * HOUR - 1),
        (HOUR, u32::MAX, u32::MAX),
    ];
    for (left, announced, then) in cases {
        let mut addresses = with_prefix(left);
        addresses.announced(&prefix(announced, 0), at(0), at(0));
        let it = automatic(&addresses).unwrap();
        assert_eq!(it.valid, until(at(0), then), "{left} {announced}");
        assert_eq!(it.preferred, at(0), "the preferred lifetime is what was announced");
    }
}

#[test]
fn prefixes_that_make_no_address_are_ignored() {
    let good = prefix(100, 100);
    let link_local = Prefix { prefix: LINK_LOCAL, ..good };
    let multicast = Prefix { prefix: Ipv6Addr::new(0xff0e, 0, 0, 0, 0, 0, 0, 0), ..good };
    let long = Prefix { length: 80, ..good };
    let upside_down = Prefix { preferred: 101, ..good };
    let over = Prefix { valid: 0, preferred: 0, ..good };
    let mut addresses = addresses(Identifiers::Stable, 0);
    for bad in [link_local, multicast, long, upside_down, over] {
        assert_eq!(addresses.announced(&bad, at(0), at(0)), None, "{bad:?}");
    }
    assert!(addresses.announced(&good, at(0), at(0)).is_some());
}

#[test]
fn a_router_can_not_make_more_addresses_than_there_is_room_for() {
    let mut addresses = addresses(Identifiers::Stable, 0);
    let made = (0..100u16).filter(|number| {
        let net = Ipv6Addr::new(0x2001, 0xdb8, 1, *number, 0, 0, 0, 0);
        let prefix = Prefix { prefix: net, ..prefix(100, 100) };
        addresses.announced(&prefix, at(0), at(0)).is_some()
    });
    assert_eq!(made.count(), AUTOMATIC_MAX);
}
