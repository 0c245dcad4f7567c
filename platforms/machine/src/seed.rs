//! Makes a seed of what nobody outside can predict.
//!
//! Two kinds of sources count: a processor's own generator, and the jitter of its timing. Each is
//! tested for health first, and counts only when it passes. With neither, a component must bring
//! entropy, or the image does not start: keys that can be guessed are worse than no service. What
//! somebody outside hands over is mixed in, and counts for nothing.

use sha2::{Digest, Sha256};
use waitless::entropy::{Claim, HealthTest};

/// Words drawn from the processor's generator: one window of the health test.
const WORDS: usize = 64;
/// Jitter samples beside a generator that works.
const SAMPLES_BESIDE: usize = 512;
/// Jitter samples that make a seed alone: at half a bit each, eight times what it takes.
const SAMPLES_ALONE: usize = 4096;
/// Samples taken before any is looked at.
const BATCH: usize = 256;
/// Bytes that samples walk over.
const WALK: usize = 4096;

/// A seed in the making.
#[derive(Clone)]
pub struct Seeding {
    hash: Sha256,
    generator: bool,
    jitter: bool,
}

impl Default for Seeding {
    fn default() -> Self {
        Self { hash: Sha256::new(), generator: false, jitter: false }
    }
}

impl Seeding {
    /// Draws from the processor's generator. `word` gives the next 64 bits, `None` when it has
    /// none after some tries.
    pub fn draw_generator(&mut self, mut word: impl FnMut() -> Option<u64>) {
        let mut health = HealthTest::new(Claim::FOUR_BITS);
        for _ in 0..WORDS {
            let Some(word) = word() else { return };
            let bytes = word.to_le_bytes();
            bytes.iter().for_each(|byte| health.sample(*byte));
            self.hash.update(bytes);
        }
        self.generator = health.passes();
    }

    /// Draws from the time that `steps` ways to memory take. `reach` goes to memory past the
    /// caches; `ticks` reads the processor's counter once everything before is done.
    ///
    /// Every sample does the same work, and nothing else is done between two of them. So where
    /// time itself is emulated, all samples are equal and the health test fails, instead of
    /// taking the work's own pattern for noise.
    pub fn draw_jitter(&mut self, steps: usize, reach: impl Fn(&mut u8), ticks: impl Fn() -> u64) {
        let samples = if self.generator { SAMPLES_BESIDE } else { SAMPLES_ALONE };
        let mut health = HealthTest::new(Claim::HALF_BIT);
        let mut memory = [0u8; WALK];
        let mut deltas = [0u64; BATCH];
        let mut sample = |position: usize| {
            for step in 0..steps {
                let byte = &mut memory[(position + step * 1021) % WALK];
                *byte = byte.wrapping_add(1);
                reach(byte);
            }
            ticks()
        };
        for _ in 0..samples / BATCH {
            // The first sample of a batch would see what was done between batches.
            let mut last = sample(0);
            for (index, delta) in deltas.iter_mut().enumerate() {
                let now = sample(index * 67 % WALK);
                *delta = now.wrapping_sub(last);
                last = now;
            }
            for delta in deltas {
                health.sample(delta as u8);
                self.hash.update(delta.to_le_bytes());
            }
        }
        self.jitter = health.passes();
    }

    /// Mixes in what somebody outside gave.
    pub fn mix(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
    }

    /// A seed of 256 bits and what it was made of; `None` when no source counts.
    pub fn finish(self) -> Option<([u8; 32], &'static str)> {
        let sources = match (self.generator, self.jitter) {
            (true, true) => "the processor's generator and timing jitter",
            (true, false) => "the processor's generator",
            (false, true) => "timing jitter",
            (false, false) => return None,
        };
        Some((self.hash.finalize().into(), sources))
    }
}

#[cfg(test)]
mod tests;
