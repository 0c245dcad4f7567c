//! Gathers what nobody outside can predict, and makes a seed of it.
//!
//! Two sources are mixed: the processor's own generator, where there is one, and the jitter of
//! its timing. Each is tested for health first, and counts only when it passes. With neither, an
//! image does not start: keys that can be guessed are worse than no service.

use crate::cpu::{Features, ticks_in_order};
use crate::health::{Claim, HealthTest};
use core::arch::x86_64::{_mm_clflush, _mm_mfence, _rdrand64_step, _rdseed64_step};
use sha2::{Digest, Sha256};

/// Words drawn from the processor's generator: one window of the health test.
const WORDS: usize = 64;
/// How often a generator that has nothing ready is asked again.
const RETRIES: usize = 16;
/// Jitter samples beside a generator that works.
const SAMPLES_BESIDE: usize = 512;
/// Jitter samples that make a seed alone: at half a bit each, eight times what it takes.
const SAMPLES_ALONE: usize = 4096;
/// Samples taken before any is looked at.
const BATCH: usize = 256;
/// Bytes that samples walk over.
const WALK: usize = 4096;
/// Ways to memory per sample.
const STEPS: usize = 4;

/// A seed of 256 bits and what it was made of; `None` when there is no source of entropy.
pub(crate) fn seed(features: &Features) -> Option<([u8; 32], &'static str)> {
    let mut hash = Sha256::new();
    let generator = draw_generator(features, &mut hash);
    let samples = if generator { SAMPLES_BESIDE } else { SAMPLES_ALONE };
    let jitter = draw_jitter(samples, &mut hash);
    let sources = match (generator, jitter) {
        (true, true) => "the processor's generator and timing jitter",
        (true, false) => "the processor's generator",
        (false, true) => "timing jitter",
        (false, false) => return None,
    };
    Some((hash.finalize().into(), sources))
}

/// Draws from the processor's generator; whether it is there and healthy.
fn draw_generator(features: &Features, hash: &mut Sha256) -> bool {
    if !features.rdseed && !features.rdrand {
        return false;
    }
    let mut health = HealthTest::new(Claim::FOUR_BITS);
    for _ in 0..WORDS {
        let Some(word) = random_word(features) else { return false };
        let bytes = word.to_le_bytes();
        bytes.iter().for_each(|byte| health.sample(*byte));
        hash.update(bytes);
    }
    health.passes()
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

/// Draws from the time that the way to memory takes; whether it varies as it should.
///
/// Every sample does the same work, and nothing else is done between two of them. So where time
/// itself is emulated, all samples are equal and the health test fails, instead of taking the
/// work's own pattern for noise.
fn draw_jitter(samples: usize, hash: &mut Sha256) -> bool {
    let mut health = HealthTest::new(Claim::HALF_BIT);
    let mut memory = [0u8; WALK];
    let mut deltas = [0u64; BATCH];
    for _ in 0..samples / BATCH {
        // The first sample of a batch would see what was done between batches.
        let mut last = sample(&mut memory, 0);
        for (index, delta) in deltas.iter_mut().enumerate() {
            let now = sample(&mut memory, index * 67 % WALK);
            *delta = now.wrapping_sub(last);
            last = now;
        }
        for delta in deltas {
            health.sample(delta as u8);
            hash.update(delta.to_le_bytes());
        }
    }
    health.passes()
}

/// Goes to memory past the caches, a few times, and tells when it came back.
fn sample(memory: &mut [u8; WALK], position: usize) -> u64 {
    for step in 0..STEPS {
        let byte = &mut memory[(position + step * 1021) % WALK];
        *byte = byte.wrapping_add(1);
        // SAFETY: every 64-bit processor has both; the line belongs to `memory`.
        unsafe {
            _mm_clflush(byte);
            _mm_mfence();
        }
    }
    ticks_in_order()
}
