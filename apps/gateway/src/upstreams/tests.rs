//! Who is asked next.

use super::*;
use alloc::vec::Vec;

const PAUSE: Duration = Duration::from_secs(10);

fn at(secs: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(secs)
}

#[test]
fn turns_go_round_within_a_route() {
    let upstreams = Upstreams::new(5, Balance::RoundRobin, 1, PAUSE);
    let picked: Vec<_> = (0..6).map(|_| upstreams.pick(2, 3, 0, at(0)).unwrap().index).collect();
    assert_eq!(picked, [2, 3, 4, 2, 3, 4]);
    assert_eq!(upstreams.pick(2, 3, 0b101, at(0)).unwrap().index, 3);
    assert!(upstreams.pick(2, 3, 0b111, at(0)).is_none());
}

#[test]
fn the_one_with_the_fewest_requests_is_taken() {
    let upstreams = Upstreams::new(2, Balance::LeastBusy, 1, PAUSE);
    let first = upstreams.pick(0, 2, 0, at(0)).unwrap();
    let second = upstreams.pick(0, 2, 0, at(0)).unwrap();
    assert_ne!(first.index, second.index);
    let free = first.index;
    drop(first);
    for _ in 0..4 {
        assert_eq!(upstreams.pick(0, 2, 0, at(0)).unwrap().index, free);
    }
    drop(second);
}

#[test]
fn one_that_fails_is_left_alone_for_a_while() {
    let upstreams = Upstreams::new(2, Balance::RoundRobin, 2, PAUSE);
    let fail = |now| {
        let ticket = upstreams.pick(0, 2, 0b10, now).unwrap();
        ticket.fail(now);
    };
    fail(at(0));
    upstreams.pick(0, 2, 0b10, at(0)).unwrap().succeed();
    fail(at(0));
    assert!(upstreams.pick(0, 2, 0b10, at(0)).is_some(), "not twice in a row");
    fail(at(0));
    assert!(upstreams.pick(0, 2, 0b10, at(9)).is_none());
    for _ in 0..3 {
        assert_eq!(upstreams.pick(0, 2, 0, at(9)).unwrap().index, 1);
    }
    // The first one after the pause decides.
    fail(at(10));
    assert!(upstreams.pick(0, 2, 0b10, at(19)).is_none());
    upstreams.pick(0, 2, 0b10, at(20)).unwrap().succeed();
    fail(at(20));
    assert!(upstreams.pick(0, 2, 0b10, at(20)).is_some());
}

/// Requests that fail for a reason of their own must not take a route away from all others.
#[test]
fn where_none_is_well_they_are_asked_nevertheless() {
    let upstreams = Upstreams::new(3, Balance::RoundRobin, 1, PAUSE);
    upstreams.pick(0, 1, 0, at(0)).unwrap().fail(at(0));
    assert_eq!(upstreams.pick(0, 1, 0, at(1)).unwrap().index, 0, "the only one");
    assert!(upstreams.pick(0, 1, 0b1, at(1)).is_none(), "which was asked already");
    for tried in [0b10, 0b01] {
        upstreams.pick(1, 2, tried, at(0)).unwrap().fail(at(0));
    }
    assert_eq!(upstreams.pick(1, 2, 0b01, at(1)).unwrap().index, 2);
    // The first one that has rested is well again.
    assert!(upstreams.pick(1, 2, 0, at(10)).is_some());
}
