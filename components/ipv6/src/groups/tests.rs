//! Groups alone, in virtual time.

extern crate std;

use super::*;
use std::vec::Vec as List;

fn group(number: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, number)
}

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

fn run(groups: &mut Groups, end: u64) -> List<(Instant, Report)> {
    let (mut trace, mut random) = (List::new(), Random::new([3; 32]));
    while groups.deadline() <= at(end) {
        let now = groups.deadline();
        trace.extend(groups.due(now, &mut random).map(|report| (now, report)));
    }
    trace
}

fn records(records: &[(u8, u16)]) -> Report {
    Report::New(records.iter().map(|(kind, number)| (*kind, group(*number))).collect())
}

#[test]
fn joining_and_leaving_are_reported_twice() {
    let mut groups = Groups::new();
    groups.set([group(1), group(2)].into_iter(), at(0));
    assert!(groups.has(group(1)) && groups.has(ALL_NODES) && !groups.has(group(3)));
    let trace = run(&mut groups, 10_000);
    let joined = records(&[(TO_EXCLUDE, 1), (TO_EXCLUDE, 2)]);
    assert_eq!(
        trace.iter().map(|(_, it)| it.clone()).collect::<List<_>>(),
        [joined.clone(), joined]
    );
    assert!(trace[0].0 == at(0) && trace[1].0 < at(1_000));
    groups.set([group(2), group(2)].into_iter(), at(10_000));
    assert!(!groups.has(group(1)));
    let left = records(&[(TO_INCLUDE, 1)]);
    let trace: List<_> = run(&mut groups, 20_000).into_iter().map(|(_, it)| it).collect();
    assert_eq!(trace, [left.clone(), left]);
    assert_eq!(run(&mut groups, 100_000), []);
}

#[test]
fn questions_are_answered_once_in_time() {
    let mut random = Random::new([9; 32]);
    let mut groups = Groups::new();
    groups.set([group(1), group(2)].into_iter(), at(0));
    run(&mut groups, 10_000);
    let all = Query { group: Ipv6Addr::UNSPECIFIED, delay: 1_000, old: false };
    for _ in 0..5 {
        groups.asked(&all, at(20_000), &mut random);
    }
    let trace = run(&mut groups, 30_000);
    assert_eq!(trace.len(), 1);
    assert!(trace[0].0 >= at(20_000) && trace[0].0 <= at(21_000));
    assert_eq!(trace[0].1, records(&[(IS_EXCLUDE, 1), (IS_EXCLUDE, 2)]));
    groups.asked(&Query { group: group(2), ..all }, at(40_000), &mut random);
    assert_eq!(run(&mut groups, 50_000)[0].1, records(&[(IS_EXCLUDE, 2)]));
    groups.asked(&Query { group: group(9), ..all }, at(60_000), &mut random);
    assert_eq!(run(&mut groups, 70_000), [], "a group of others");
}

#[test]
fn old_routers_are_answered_in_their_language() {
    let mut random = Random::new([9; 32]);
    let mut groups = Groups::new();
    groups.set([group(1), group(2)].into_iter(), at(0));
    run(&mut groups, 10_000);
    let old = Query { group: Ipv6Addr::UNSPECIFIED, delay: 1_000, old: true };
    groups.asked(&old, at(20_000), &mut random);
    let trace: List<_> = run(&mut groups, 30_000).into_iter().map(|(_, it)| it).collect();
    assert_eq!(trace, [Report::Old(group(1)), Report::Old(group(2))]);
    assert_eq!(groups.deadline(), Instant::NEVER);
}

#[test]
fn changes_are_told_in_the_language_of_the_old_router_that_asked_last() {
    let mut random = Random::new([9; 32]);
    let mut groups = Groups::new();
    groups.set([group(1)].into_iter(), at(0));
    run(&mut groups, 10_000);
    let old = Query { group: Ipv6Addr::UNSPECIFIED, delay: 1_000, old: true };
    groups.asked(&old, at(20_000), &mut random);
    run(&mut groups, 30_000);
    groups.set([group(2), group(3)].into_iter(), at(100_000));
    let trace = run(&mut groups, 110_000);
    let reports: List<_> = trace.iter().map(|(_, it)| it.clone()).collect();
    let joined = [Report::Old(group(2)), Report::Old(group(3))];
    assert_eq!(reports[..3], [&[Report::Done(group(1))][..], &joined].concat());
    assert_eq!(reports[3..], joined, "again, but for what was left");
    assert!(trace[2].0 == at(100_000) && trace[4].0 < at(101_000));
    assert!(!groups.has(group(1)) && groups.deadline() == Instant::NEVER);
    // The link was away before a group was left that is gone by now: nothing is left to say.
    groups.set([group(2), group(3)].into_iter().take(0), at(200_000));
    groups.restart(at(200_000));
    assert_eq!((run(&mut groups, 200_100), groups.deadline()), (List::new(), Instant::NEVER));
    groups.set([group(2), group(3)].into_iter(), at(200_200));
    run(&mut groups, 210_000);
    // A question of MLDv2 does not end that, but its time does.
    groups.asked(&Query { old: false, ..old }, at(279_000), &mut random);
    assert_eq!(run(&mut groups, 280_000).len(), 2, "before 260 s are over");
    groups.asked(&Query { old: false, ..old }, at(290_000), &mut random);
    assert_eq!(run(&mut groups, 300_000)[0].1, records(&[(IS_EXCLUDE, 2), (IS_EXCLUDE, 3)]));
    groups.set([group(3)].into_iter(), at(310_000));
    assert_eq!(run(&mut groups, 320_000)[0].1, records(&[(TO_INCLUDE, 2)]));
}

#[test]
fn there_is_room_for_those_that_are_wanted_whatever_was_left() {
    let mut groups = Groups::new();
    for round in 0..10 {
        let wanted = (0..ADDRESSES as u16).map(|number| group(100 * round + number));
        groups.set(wanted.clone(), at(0));
        assert!(wanted.clone().all(|it| groups.has(it)), "{round}");
    }
}
