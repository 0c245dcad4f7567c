//! What routers have said, in virtual time.

extern crate std;

use super::*;
use waitless::Mac;

fn ip(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

fn at(secs: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(secs)
}

fn neighbours() -> Neighbours {
    Neighbours::new(16, 8, &mut Random::new([1; 32]))
}

#[test]
fn they_are_asked_for_ever_more_slowly_until_one_answers() {
    let (mut routers, mut random) = (Routers::new(), Random::new([1; 32]));
    routers.ask_from(at(1));
    let mut times = std::vec::Vec::new();
    while times.len() < 16 {
        let now = routers.deadline();
        assert!(routers.ask(now, &mut random));
        assert!(!routers.ask(now, &mut random));
        times.push(now);
    }
    assert_eq!(times[0], at(1));
    for (index, pair) in times.windows(2).enumerate() {
        let expected = (4_u64 << index.min(20)).min(3600) as f64;
        let gap = pair[1].since(pair[0]).as_nanos() as f64 / 1e9;
        assert!((0.89 * expected..1.11 * expected).contains(&gap), "{index}: {gap}");
    }
    // One that is no router to everywhere does not end the questions.
    routers.heard(ip("fe80::1"), 0, 0, at(5));
    assert_ne!(routers.deadline(), Instant::NEVER);
    routers.heard(ip("fe80::1"), 1800, 0, at(5));
    assert_eq!(routers.deadline(), at(1805));
}

#[test]
fn one_that_answers_and_is_preferred_is_taken_and_else_each_in_turn() {
    let (mut routers, mut neighbours) = (Routers::new(), neighbours());
    for (address, preference) in [("fe80::1", 0), ("fe80::2", 1), ("fe80::3", -1)] {
        assert!(routers.heard(ip(address), 1800, preference, at(0)));
    }
    let far = ip("2001:db8::1");
    let mut tried: std::vec::Vec<_> =
        (0..3).map(|_| routers.first_hop(far, &neighbours).unwrap()).collect();
    tried.sort();
    assert_eq!(tried, ["fe80::1", "fe80::2", "fe80::3"].map(ip));
    for (number, answers) in
        [("fe80::3", "fe80::3"), ("fe80::1", "fe80::1"), ("fe80::2", "fe80::2")]
    {
        neighbours.spoke(ip(number), Mac([2, 0, 0, 0, 0, 1]), true, at(0));
        assert_eq!(routers.first_hop(far, &neighbours), Some(ip(answers)));
    }
    assert!(routers.lost(ip("fe80::2")) && !routers.lost(ip("fe80::2")));
    assert_eq!(routers.first_hop(far, &neighbours), Some(ip("fe80::1")));
}

#[test]
fn lifetimes_end_and_can_be_ended() {
    let mut routers = Routers::new();
    let prefix = |valid| Prefix {
        prefix: ip("2001:db8::77"),
        length: 64,
        on_link: true,
        autonomous: false,
        valid,
        preferred: 0,
    };
    routers.heard(ip("fe80::1"), 100, 0, at(0));
    assert!(routers.announced(&prefix(200), at(0)));
    assert!(routers.prefixes().eq([(ip("2001:db8::"), 64)]), "bits behind the prefix are ignored");
    assert!(!routers.expire(at(99)) && routers.expire(at(100)) && !routers.expire(at(100)));
    assert_eq!((routers.len(), routers.prefixes().count()), (0, 1));
    assert!(!routers.announced(&prefix(u32::MAX), at(150)));
    assert!(!routers.expire(at(100_000)));
    assert!(routers.announced(&prefix(0), at(100_000)), "zero ends it at once");
    assert_eq!(routers.prefixes().count(), 0);
    let link_local = Prefix { prefix: ip("fe80::"), ..prefix(100) };
    assert!(!routers.announced(&link_local, at(0)), "those always are on the link");
}

#[test]
fn tables_are_bounded() {
    let (mut routers, neighbours) = (Routers::new(), neighbours());
    for number in 1..1_000u16 {
        let address = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, number);
        routers.heard(address, 1800, 0, at(0));
        let prefix = Ipv6Addr::new(0x2001, 0xdb8, number, 0, 0, 0, 0, 0);
        routers.set_prefix(prefix, 64, at(1000), at(0));
        routers.redirect(prefix, address, at(number.into()));
    }
    assert_eq!((routers.len(), routers.prefixes().count()), (ROUTERS, PREFIXES));
    let remembered = (1..1_000u16).filter(|number| {
        routers.redirected(Ipv6Addr::new(0x2001, 0xdb8, *number, 0, 0, 0, 0, 0)).is_some()
    });
    assert!(remembered.eq(1_000 - REDIRECTS as u16..1_000), "the oldest give way");
    let last = Ipv6Addr::new(0x2001, 0xdb8, 999, 0, 0, 0, 0, 0);
    let hop = routers.first_hop(last, &neighbours).unwrap();
    assert_eq!(hop, Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 999));
    routers.unreachable(hop);
    assert_eq!(routers.redirected(last), None);
}
