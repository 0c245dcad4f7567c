//! BBR on paths with one narrow place, in virtual time.

use super::path::{Path, World};
use crate::congestion::{Bbr, State};
use crate::{Algorithm, Config};
use std::println;
use std::vec::Vec;

fn bbr(config: &mut Config) {
    config.congestion = Algorithm::Bbr;
}

fn cubic(config: &mut Config) {
    config.congestion = Algorithm::Cubic;
}

/// The model of the connection that was added first.
fn model(world: &mut World) -> &mut Bbr {
    let tcp = &mut world.flows[0].ends[0].tcp;
    tcp.env.paced.model(0).unwrap()
}

/// Bits in a second between second 2 and `until`, and bytes that waited on average.
fn alone(path: Path, until: f64, change: fn(&mut Config)) -> (f64, u64) {
    let mut world = World::new(path);
    world.add(0.0, None, change);
    world.run(2.0, |_| {});
    world.reset();
    world.run(until, |_| {});
    (world.rates(until - 2.0)[0], world.waited().0)
}

/// Jain's index: 1 when all have the same.
fn jain(rates: &[f64]) -> f64 {
    let sum: f64 = rates.iter().sum();
    let squares: f64 = rates.iter().map(|rate| rate * rate).sum();
    sum * sum / (rates.len() as f64 * squares)
}

/// Bits in a second that each of `changes` brings in `seconds`, when each began two seconds after
/// the one before.
fn together(path: Path, changes: &[fn(&mut Config)], seconds: f64) -> Vec<f64> {
    let mut world = World::new(path);
    for (index, &change) in changes.iter().enumerate() {
        world.add(2.0 * index as f64, None, change);
    }
    let begins = 2.0 * changes.len() as f64 + 10.0;
    world.run(begins, |_| {});
    world.reset();
    world.run(begins + seconds, |_| {});
    world.rates(seconds)
}

#[test]
fn a_gigabit_over_100_ms_is_filled() {
    let mut world = World::new(Path::buffered(1_000_000_000, 100, 1.0));
    world.add(0.0, None, bbr);
    world.run(2.0, |_| {});
    world.reset();
    world.run(2.5, |_| {});
    let rate = world.rates(0.5)[0];
    assert!(rate > 850e6, "{rate}");
}

#[test]
fn losses_without_congestion_cost_little() {
    let path = Path { loss: 10, ..Path::buffered(50_000_000, 40, 1.0) };
    let (bbr, cubic) = (alone(path, 12.0, bbr).0, alone(path, 12.0, cubic).0);
    println!("{bbr} {cubic}");
    assert!(bbr > 33e6 && bbr > 5.0 * cubic, "{bbr} against {cubic}");
}

#[test]
fn a_deep_queue_stays_nearly_empty() {
    let path = Path::buffered(50_000_000, 40, 4.0);
    let (bbr, cubic) = (alone(path, 12.0, bbr), alone(path, 12.0, cubic));
    println!("{bbr:?} {cubic:?}");
    assert!(bbr.1 < cubic.1 / 10, "{bbr:?} against {cubic:?}");
    assert!(bbr.0 > 45e6, "{bbr:?}");
}

#[test]
fn two_share_a_path_fairly() {
    let rates = together(Path::buffered(20_000_000, 40, 2.0), &[bbr, bbr], 30.0);
    println!("{rates:?}, Jain {}", jain(&rates));
    assert!(jain(&rates) >= 0.95, "{rates:?}");
    assert!(rates.iter().sum::<f64>() > 17e6, "{rates:?}");
}

#[test]
fn neither_bbr_nor_cubic_starves_the_other() {
    for times in [1.0, 4.0] {
        let rates = together(Path::buffered(20_000_000, 40, times), &[bbr, cubic], 20.0);
        println!("{times}: {rates:?}");
        assert!(rates.iter().all(|&rate| rate > 1e6), "{times}: {rates:?}");
    }
}

#[test]
fn the_shortest_round_trip_is_probed_for_while_a_queue_stands() {
    let mut world = World::new(Path::buffered(20_000_000, 40, 4.0));
    world.add(0.0, None, bbr);
    world.run(0.5, |_| {});
    let (mut probes, mut probing) = (0, false);
    while world.now.as_millis() < 21_000 {
        let until = world.now.as_millis() as f64 / 1e3 + 0.02;
        world.run(until, |_| {});
        let now = model(&mut world).state() == State::ProbeRtt;
        probes += u32::from(now && !probing);
        probing = now;
    }
    assert!((2..=4).contains(&probes), "{probes} probes in 20 s");
}

#[test]
fn an_application_that_sends_little_does_not_make_the_path_look_slow() {
    let mut world = World::new(Path::buffered(20_000_000, 40, 2.0));
    world.add(0.0, None, bbr);
    world.run(3.0, |_| {});
    let before = model(&mut world).most();
    assert!(before > 2_200_000, "{before} bytes/s");
    world.supply(0, 50_000);
    world.run(23.0, |_| {});
    let after = model(&mut world).most();
    assert!(after > before * 9 / 10, "{after} bytes/s, {before} before");
    // And when there is more to send again, it leaves as fast as before.
    world.supply(0, u64::MAX / 1_000_000);
    world.reset();
    world.run(24.0, |_| {});
    let rate = world.rates(1.0)[0];
    assert!(rate > 16e6, "{rate}");
}

#[test]
fn without_ranges_and_timestamps_it_gets_through() {
    let mut world = World::new(Path { loss: 20, ..Path::buffered(20_000_000, 40, 1.0) });
    world.add(0.0, Some(100_000), |config| {
        bbr(config);
        config.timestamps = false;
    });
    world.run(10.0, |_| {});
    assert!(world.flows[0].arrived > 900_000, "{}", world.flows[0].arrived);
}

#[test]
#[ignore = "prints a table"]
fn table_of_coexistence() {
    println!("| queue | BBR, Mbit/s | CUBIC, Mbit/s |\n|---|---|---|");
    for times in [0.5, 1.0, 2.0, 4.0, 8.0] {
        let rates = together(Path::buffered(20_000_000, 40, times), &[bbr, cubic], 60.0);
        println!("| {times} | {:.1} | {:.1} |", rates[0] / 1e6, rates[1] / 1e6);
    }
    for count in [2, 4] {
        let rates =
            together(Path::buffered(20_000_000, 40, 2.0), &[bbr as fn(&mut _)].repeat(count), 60.0);
        println!("{count} of BBR: Jain {:.3}", jain(&rates));
    }
}
