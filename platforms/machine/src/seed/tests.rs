use super::*;
use core::cell::Cell;

/// A clock whose steps vary by up to `jitter` ticks.
fn clock(jitter: u64) -> impl Fn() -> u64 {
    let state = Cell::new((0u64, 1u64));
    move || {
        let (now, seed) = state.get();
        let seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let now = now + 100 + (seed >> 33) % jitter;
        state.set((now, seed));
        now
    }
}

#[test]
fn no_source_that_counts_is_no_seed() {
    let mut seeding = Seeding::default();
    seeding.draw_jitter(4, |_| (), clock(1));
    seeding.draw_generator(|| Some(0x0101_0101_0101_0101));
    seeding.mix(b"what a loader says is random");
    assert_eq!(seeding.finish(), None);
}

#[test]
fn either_source_makes_a_seed_and_the_rest_changes_it() {
    let noise = || {
        let clock = clock(1 << 31);
        move || Some(clock().wrapping_mul(0x9e37_79b9_7f4a_7c15))
    };
    let seed = |generator: bool, jitter: bool, extra: &[u8]| {
        let mut seeding = Seeding::default();
        if generator {
            seeding.draw_generator(noise());
        }
        if jitter {
            seeding.draw_jitter(4, |_| (), clock(8));
        }
        seeding.mix(extra);
        seeding.finish()
    };
    let jitter = seed(false, true, b"");
    assert_eq!(jitter.map(|(_, sources)| sources), Some("timing jitter"));
    assert_eq!(
        seed(true, false, b"").map(|(_, sources)| sources),
        Some("the processor's generator")
    );
    assert!(seed(true, true, b"").is_some());
    assert_ne!(jitter, seed(false, true, b"more"));
}

#[test]
fn a_generator_that_runs_dry_does_not_count() {
    let mut seeding = Seeding::default();
    let left = Cell::new(WORDS as u64 - 1);
    seeding.draw_generator(|| {
        left.set(left.get().checked_sub(1)?);
        Some(left.get().wrapping_mul(0x9e37_79b9_7f4a_7c15))
    });
    assert_eq!(seeding.finish(), None);
}
