//! Pacing: how what is sent spreads over a round trip, in virtual time.

use super::path::{Path, World};
use super::trace::*;
use crate::Config;
use crate::state::flag;
use std::println;
use waitless::StreamPort;

/// Bits in a second, the most bytes that waited before the narrow place, and segments dropped
/// there, of a connection's first seconds.
fn first_seconds(path: Path, pacing: bool) -> (f64, u64, u64) {
    let mut world = World::new(path);
    world.add(0.0, None, |config| config.pacing = pacing);
    world.run(3.0, |_| {});
    (world.rates(3.0)[0], world.waited().1, world.dropped)
}

#[test]
fn slow_start_makes_a_quarter_of_the_queue_when_paced() {
    // A path that holds more than is sent in three seconds of slow start.
    let path = Path { buffer: 10_000_000, ..Path::buffered(100_000_000, 300, 0.0) };
    let (bursts, paced) = (first_seconds(path, false), first_seconds(path, true));
    println!("{bursts:?} {paced:?}");
    assert!(paced.1 < bursts.1 / 4, "{paced:?} against {bursts:?}");
    // A round trip of slow start takes a little longer, as its last segment leaves later.
    assert!(paced.0 > bursts.0 * 0.75, "{paced:?} against {bursts:?}");
}

#[test]
fn a_shallow_queue_passes_more_of_what_is_paced() {
    let path = Path::buffered(50_000_000, 40, 0.1);
    let (bursts, paced) = (first_seconds(path, false), first_seconds(path, true));
    println!("{bursts:?} {paced:?}");
    assert!(paced.0 > bursts.0 * 1.5, "{paced:?} against {bursts:?}");
    let of_each = |(rate, _, dropped): (f64, u64, u64)| dropped as f64 / rate;
    assert!(of_each(paced) < of_each(bursts), "{paced:?} against {bursts:?}");
}

#[test]
fn a_lossy_path_is_paced_to_the_end_and_forgotten() {
    let mut world = World::new(Path { loss: 20, ..Path::buffered(20_000_000, 20, 1.0) });
    world.add(0.0, Some(100_000), |config| config.pacing = true);
    world.run(1.0, |_| {});
    world.reset();
    world.run(6.0, |_| {});
    assert!(world.flows[0].arrived > 450_000, "{}", world.flows[0].arrived);
    let tcp = &mut world.flows[0].ends[0].tcp;
    assert!(tcp.conns[0].flags.has(flag::PACED));
    let conn = &mut tcp.conns[0];
    conn.end(&mut tcp.env, waitless::Phase::Closed);
    assert!(!conn.flags.has(flag::PACED));
}

/// The pacer waits, and then there is nothing that it could let through: the window's own timer
/// must run, or nobody would notice that the other side's next word was lost.
#[test]
fn a_closed_window_is_probed_by_who_is_paced() {
    let mut t = Trace::listening(Config { pacing: true, ..plain() });
    t.arrives(Seg { seq: 0, flags: SYN, options: MSS, ..SEG });
    t.pop().unwrap();
    t.after(1_000);
    t.arrives(SEG);
    t.stream = t.tcp.news(t.service).unwrap();
    t.put(&BYTES[..20_000]);
    t.sweep();
    let mut sent = 0;
    while let Some(segment) = t.pop() {
        sent += segment.data.len() as u32;
    }
    assert!(sent > 0 && sent < 10_000, "{sent}");
    t.arrives(Seg { ack: 1 + sent, window: Some(0), ..SEG });
    assert!(t.pop().is_none());
    t.after(10_000);
    assert_eq!(t.pop().expect("a probe").data.len(), 1);
}
