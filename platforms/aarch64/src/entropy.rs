//! The processor's own generator and the jitter of its timing, for a seed.

use crate::cpu;
use platform_machine::seed::Seeding;

/// How often a generator that has nothing ready is asked again.
const RETRIES: usize = 16;
/// Ticks that a jitter sample should take at least, and ways to memory that do for a fast counter.
const TICKS: u64 = 64;
const STEPS: usize = 4;
/// The most ways to memory per sample.
const STEPS_MAX: usize = 512;

/// A seed of 256 bits and what it was made of; `None` when there is no source of entropy. What
/// the loader says is random, `told`, is mixed in and does not count.
pub(crate) fn seed(told: &[u8]) -> Option<([u8; 32], &'static str)> {
    let mut seeding = Seeding::default();
    if cpu::has_generator() {
        seeding.draw_generator(|| (0..RETRIES).find_map(|_| cpu::random()));
    }
    seeding.draw_jitter(steps(), cpu::evict, cpu::ticks_in_order);
    seeding.mix(told);
    seeding.finish()
}

/// Counters differ a hundredfold in speed. A slow one sees jitter only in what takes long.
fn steps() -> usize {
    let mut byte = 0;
    let mut steps = STEPS;
    while steps < STEPS_MAX {
        let start = cpu::ticks_in_order();
        for _ in 0..steps {
            cpu::evict(&mut byte);
        }
        if cpu::ticks_in_order() - start >= TICKS {
            break;
        }
        steps *= 2;
    }
    steps
}
