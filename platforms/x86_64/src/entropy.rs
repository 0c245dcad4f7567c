//! The processor's own generator and the jitter of its timing, for a seed.

use crate::cpu::{Features, ticks_in_order};
use core::arch::x86_64::{_mm_clflush, _mm_mfence, _rdrand64_step, _rdseed64_step};
use platform_machine::seed::Seeding;

/// How often a generator that has nothing ready is asked again.
const RETRIES: usize = 16;
/// Ways to memory per jitter sample.
const STEPS: usize = 4;

/// A seed of 256 bits and what it was made of; `None` when there is no source of entropy.
pub(crate) fn seed(features: &Features) -> Option<([u8; 32], &'static str)> {
    let mut seeding = Seeding::default();
    if features.rdseed || features.rdrand {
        seeding.draw_generator(|| random_word(features));
    }
    let reach = |byte: &mut u8| {
        // SAFETY: every 64-bit processor has both; the line belongs to who lent the byte.
        unsafe {
            _mm_clflush(byte);
            _mm_mfence();
        }
    };
    seeding.draw_jitter(STEPS, reach, ticks_in_order);
    seeding.finish()
}

/// A word of the generator: of the noise itself where that is to be had, for it comes slowly.
fn random_word(features: &Features) -> Option<u64> {
    let mut word = 0;
    // SAFETY: the processor has the instruction.
    let seed = |word: &mut u64| features.rdseed && unsafe { rdseed(word) };
    // SAFETY: the processor has the instruction.
    let random = |word: &mut u64| features.rdrand && unsafe { rdrand(word) };
    let found = (0..RETRIES).any(|_| seed(&mut word)) || (0..RETRIES).any(|_| random(&mut word));
    found.then_some(word)
}

/// # Safety
/// The processor has RDSEED.
#[target_feature(enable = "rdseed")]
unsafe fn rdseed(word: &mut u64) -> bool {
    _rdseed64_step(word) == 1
}

/// # Safety
/// The processor has RDRAND.
#[target_feature(enable = "rdrand")]
unsafe fn rdrand(word: &mut u64) -> bool {
    _rdrand64_step(word) == 1
}
