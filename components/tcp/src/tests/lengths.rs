//! Paths that take shorter segments than both ends do, and say nothing of it, in virtual time.

use super::path::{Path, World};
use crate::Config;
use crate::state::flag;
use std::println;

/// A path that swallows what is longer than `mtu`.
fn path(mtu: usize) -> Path {
    Path { buffer: 30_000, mtu, ..Path::buffered(1_000_000, 40, 0.0) }
}

/// The longest segment, and the counter that `which` names.
fn look(world: &World) -> (u16, [u64; 4]) {
    let tcp = &world.flows[0].ends[0].tcp;
    let it = tcp.env.counters;
    let counts = [&it.black_holes, &it.length_probes, &it.lengthened, &it.fast_retransmits];
    (tcp.conns[0].mss, counts.map(|counter| counter.get()))
}

fn world(mtu: usize, change: fn(&mut Config)) -> World {
    let mut world = World::new(path(mtu));
    world.add(0.0, None, change);
    world
}

#[test]
fn what_a_black_hole_takes_is_found() {
    let four = [1_240, 1_300, 1_400, 1_420, 1_492].map(|mtu| (mtu, false));
    for (mtu, six) in four.into_iter().chain([(1_300, true), (1_480, true)]) {
        let mut world = World::new(Path { six, ..path(mtu) });
        world.add(0.0, None, |_| {});
        world.run(30.0, |_| {});
        let (mss, [holes, probes, longer, losses]) = look(&world);
        let most = mtu as u16 - if six { 72 } else { 52 };
        assert!(mss <= most && mss + 16 >= most, "{mtu}: {mss} of {most}");
        assert!(holes == 1 && longer > 0 && probes <= 20, "{mtu}: {holes} {longer} {probes}");
        println!("{mtu}: {probes} probes, {losses} recoveries, {} dropped", world.dropped);
        // And then it is left alone.
        world.run(50.0, |_| {});
        assert_eq!(look(&world).1[1], probes, "{mtu}");
        assert!(world.flows[0].arrived > 5_000_000, "{mtu}: {}", world.flows[0].arrived);
    }
}

#[test]
fn a_lost_probe_is_no_sign_of_congestion() {
    // The window is too small for a queue that overflows, so probes are all that is lost.
    let mut world = World::new(Path { buffer: 60_000, window: 30_000, ..path(1_400) });
    world.add(0.0, None, |_| {});
    world.run(30.0, |_| {});
    let (mss, [holes, probes, longer, losses]) = look(&world);
    assert!(mss > 1_332 && mss <= 1_348, "{mss}");
    assert!((holes, world.dropped) == (1, 0) && probes > longer, "{holes} {probes} {longer}");
    assert_eq!(losses, 0);
}

#[test]
fn a_router_that_names_a_size_bounds_the_search() {
    let mut world = world(1_300, |_| {});
    let mut told = false;
    while world.now.as_millis() < 30_000 && !told {
        let next = world.now.as_millis() as f64 / 1e3 + 0.01;
        world.run(next, |_| {});
        let tcp = &mut world.flows[0].ends[0].tcp;
        let conn = &mut tcp.conns[0];
        told = conn.flags.has(flag::SOUNDING) && conn.mss_high > 1_400;
        if told {
            let kind = waitless::PathErrorKind::TooBig(1_350);
            let sequence = conn.unacked;
            conn.path_error(&mut tcp.env, kind, sequence);
            assert_eq!((conn.mss, conn.mss_high), (1_148, 1_298));
        }
    }
    assert!(told, "it probed");
    world.run(40.0, |_| {});
    let (mss, [_, probes, ..]) = look(&world);
    assert!(mss <= 1_248 && mss > 1_232, "{mss}");
    assert!(probes <= 9, "{probes}");
}

#[test]
fn a_path_that_grows_is_noticed_after_ten_minutes() {
    let mut world = world(1_300, |_| {});
    world.run(30.0, |_| {});
    assert!(look(&world).0 < 1_250);
    world.path.mtu = 1_500;
    world.run(500.0, |_| {});
    assert!(look(&world).0 < 1_250, "not before");
    world.run(700.0, |_| {});
    assert_eq!(look(&world).0, 1_448);
    let conn = &world.flows[0].ends[0].tcp.conns[0];
    assert!(!conn.flags.has(flag::SHORT | flag::SOUNDING), "and the search is over");
}

/// The bounds meet again, however near they are to what both ends agreed on: each ten minutes cost
/// a few segments, and not one after the other.
#[test]
fn a_path_that_stays_short_is_asked_seldom() {
    for mtu in [1_492, 1_300] {
        let mut world = world(mtu, |_| {});
        world.run(30.0, |_| {});
        let before = look(&world).1[1];
        world.run(1_300.0, |_| {});
        let (mss, [_, probes, ..]) = look(&world);
        assert!(mss <= mtu as u16 - 52 && mss + 16 >= mtu as u16 - 52, "{mtu}: {mss}");
        assert!((6..=40).contains(&(probes - before)), "{mtu}: {} more", probes - before);
    }
}

/// The same where a router says each time how much it takes.
#[test]
fn a_router_is_asked_again_after_ten_minutes_only() {
    let mut world = world(1_300, |_| {});
    let mut told = 0;
    for step in 1..=130_000_u32 {
        world.run(f64::from(step) / 100.0, |_| {});
        let tcp = &mut world.flows[0].ends[0].tcp;
        let conn = &mut tcp.conns[0];
        if conn.flags.has(flag::SOUNDING) && conn.mss_high > 1_248 {
            let (kind, sequence) = (waitless::PathErrorKind::TooBig(1_300), conn.unacked);
            conn.path_error(&mut tcp.env, kind, sequence);
            told += 1;
        }
    }
    let probes = look(&world).1[1];
    assert!((2..=12).contains(&told) && probes <= 40, "told {told} times of {probes}");
}

#[test]
fn without_probing_segments_stay_short_for_ten_minutes() {
    let mut world = world(1_400, |config| config.probing = false);
    world.run(60.0, |_| {});
    let (mss, [holes, probes, ..]) = look(&world);
    assert_eq!((mss, holes, probes), (1_148, 1, 0));
}

#[test]
fn bbr_and_losses_do_not_disturb_the_search() {
    let mut world = World::new(Path { loss: 10, ..path(1_400) });
    world.add(0.0, None, |config| config.congestion = crate::Algorithm::Bbr);
    world.run(60.0, |_| {});
    let (mss, [holes, ..]) = look(&world);
    assert!(mss <= 1_348 && mss > 1_148 && holes == 1, "{mss} {holes}");
    assert!(world.flows[0].arrived > 5_000_000, "{}", world.flows[0].arrived);
}
