use super::*;

#[test]
fn targets_are_a_host_and_a_port() {
    for (target, expected) in [
        ("example.org:80", Some(("example.org", 80))),
        ("192.0.2.1:65535", Some(("192.0.2.1", 65_535))),
        ("[2001:db8::1]:443", Some(("2001:db8::1", 443))),
        ("example.org", None),
        ("example.org:", None),
        ("example.org:0", None),
        ("example.org:65536", None),
        (":80", None),
        ("[]:80", None),
        ("[::1:80", None),
        ("::1:80", None),
    ] {
        assert_eq!(split(target), expected, "{target}");
    }
    let longest = "x".repeat(TARGET_MAX) + ":80";
    assert!(split(&longest).is_some() && split(&("x".to_string() + &longest)).is_none());
}

#[test]
fn lines_with_work_are_found_once_each() {
    let pool = Pool::new(4, 0).unwrap();
    let dialer = Dialer::leak(130, pool);
    assert!(!dialer.has_work() && dialer.next_work().is_none());
    for line in [129, 0, 64, 0, 129] {
        dialer.touch(line);
    }
    dialer.touch(192);
    let found: Vec<_> = std::iter::from_fn(|| dialer.next_work().map(Line::index)).collect();
    assert_eq!(found, [0, 64, 129]);
    assert!(!dialer.has_work());
}

/// Some of the first have something to do in each sweep.
#[test]
fn no_line_waits_for_as_long_as_others_have_work() {
    let dialer = Dialer::leak(70, Pool::new(4, 0).unwrap());
    dialer.touch(69);
    let mut found = Vec::new();
    for _ in 0..8 {
        (0..4).for_each(|line| dialer.touch(line));
        found.extend((0..2).filter_map(|_| dialer.next_work().map(Line::index)));
    }
    assert!(found.contains(&69) && found.contains(&3), "{found:?}");
}

extern crate std;
use std::string::ToString;
use std::vec::Vec;
