//! Health tests of noise, after NIST SP 800-90B, section 4.4: what fails them is not used as
//! entropy, wherever it comes from.

/// How much entropy a source claims, which fixes when a test fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claim {
    /// So many equal samples in a row fail the repetition count test.
    repetitions: u16,
    /// So many samples equal to a window's first fail the adaptive proportion test.
    proportion: u16,
}

impl Claim {
    /// Half a bit in each sample. For timing jitter.
    pub const HALF_BIT: Self = Self { repetitions: 41, proportion: 410 };
    /// Four bits in each sample of eight. For generators in hardware and of hypervisors, which
    /// promise more.
    pub const FOUR_BITS: Self = Self { repetitions: 6, proportion: 62 };
}

/// Samples in a window of the adaptive proportion test, for samples that are not binary.
pub const WINDOW: u16 = 512;

/// Both tests, running over the samples of one source. The false alarm rate is 2^-20: section
/// 4.4.1 gives `1 + 20/H` repetitions, and section 4.4.2 the binomial bound for the proportion.
#[derive(Clone, Debug)]
pub struct HealthTest {
    claim: Claim,
    last: Option<u8>,
    repetitions: u16,
    first: u8,
    equal: u16,
    position: u16,
    failed: bool,
}

impl HealthTest {
    /// Tests for a source that claims `claim`.
    pub const fn new(claim: Claim) -> Self {
        Self { claim, last: None, repetitions: 0, first: 0, equal: 0, position: 0, failed: false }
    }

    /// Takes the next sample into account.
    pub fn sample(&mut self, sample: u8) {
        if self.last == Some(sample) {
            self.repetitions = self.repetitions.saturating_add(1);
        } else {
            self.last = Some(sample);
            self.repetitions = 1;
        }
        if self.position == 0 {
            self.first = sample;
            self.equal = 0;
        }
        self.equal += u16::from(sample == self.first);
        self.position = (self.position + 1) % WINDOW;
        let stuck = self.repetitions >= self.claim.repetitions;
        self.failed |= stuck || self.equal >= self.claim.proportion;
    }

    /// Whether no test has failed so far.
    pub const fn passes(&self) -> bool {
        !self.failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(claim: Claim, samples: impl Iterator<Item = u8>) -> bool {
        let mut test = HealthTest::new(claim);
        samples.for_each(|sample| test.sample(sample));
        test.passes()
    }

    #[test]
    fn a_source_that_sticks_fails_by_repetition() {
        let stuck = |count| (0..100).chain(core::iter::repeat_n(7, count)).chain(0..100);
        assert!(passes(Claim::FOUR_BITS, stuck(5)));
        assert!(!passes(Claim::FOUR_BITS, stuck(6)));
        assert!(passes(Claim::HALF_BIT, stuck(40)));
        assert!(!passes(Claim::HALF_BIT, stuck(41)));
    }

    #[test]
    fn a_source_that_prefers_a_value_fails_by_proportion() {
        let every = |n: u16| (0..WINDOW).map(move |i| if i % n == 0 { 9 } else { i as u8 | 64 });
        assert!(!passes(Claim::FOUR_BITS, every(8)));
        assert!(passes(Claim::FOUR_BITS, every(9)));
        // Four of five equal, never more than 40 in a row.
        let mostly = (0..WINDOW).map(|i| if i % 6 == 5 { 1 } else { 0 });
        assert!(!passes(Claim::HALF_BIT, mostly));
    }

    #[test]
    fn a_counter_and_good_noise_pass() {
        // A counter passes: these tests find broken sources, and prove nothing.
        assert!(passes(Claim::FOUR_BITS, (0..100_000u32).map(|i| i as u8)));
        let mut state = 1u64;
        let noise = core::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        });
        assert!(passes(Claim::FOUR_BITS, noise.take(100_000)));
    }

    #[test]
    fn a_new_window_starts_its_count_anew() {
        let window = || core::iter::repeat_n(3, 5).chain((0..WINDOW - 5).map(|i| i as u8 | 64));
        assert!(passes(Claim::FOUR_BITS, window().chain(window()).chain(window())));
    }
}
