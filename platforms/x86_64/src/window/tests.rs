use super::*;
use core::cell::Cell;

/// A machine of 3 GHz with a timer of 1 GHz, on which reading an old timer takes 3 µs. The
/// processor is taken away for `away` nanoseconds in each `every`-th reading from `first` on.
fn run(away: u64, first: u64, every: u64) -> Option<(u64, u64)> {
    let (now, reads) = (Cell::new(0), Cell::new(0));
    let pass = |nanos| {
        reads.set(reads.get() + 1);
        let is_away = reads.get() >= first && (reads.get() - first).is_multiple_of(every);
        now.set(now.get() + nanos + if is_away { away } else { 0 });
        now.get()
    };
    let old = || u64::from((pass(3_000) * 1_193_182 / 1_000_000_000) as u16);
    let reference = Reference { hertz: 1_193_182, mask: 0xffff, read: &old };
    compare(reference, &|| pass(500), &|| pass(10) * 3)
}

fn is_right((hertz, timer): (u64, u64)) -> bool {
    hertz.abs_diff(3_000_000_000) < 6_000_000 && timer.abs_diff(1_000_000_000) < 4_000_000
}

#[test]
fn frequencies_are_right_wherever_the_processor_is_taken_away() {
    for away in [0, 1_000_000, 54_925_000, 60_000_000, 200_000_000] {
        for first in 1..2_000 {
            let found = run(away, first, u64::MAX).unwrap();
            assert!(is_right(found), "{away} ns at {first}: {found:?}");
        }
    }
}

#[test]
fn a_processor_that_is_often_away_costs_windows_and_no_more() {
    // About 750 readings are a window.
    for every in [2_500, 4_000, 10_000] {
        for first in (1..every).step_by(7) {
            let found = run(60_000_000, first, every).unwrap();
            assert!(is_right(found), "every {every} from {first}: {found:?}");
        }
    }
    assert!(run(60_000_000, 1, 50).is_some(), "it ends in any case");
}

#[test]
fn a_clock_that_stands_still_tells_nothing() {
    let reference = Reference { hertz: 3_579_545, mask: 0xff_ffff, read: &|| 7 };
    assert_eq!(compare(reference, &|| 0, &|| 0), None);
}
