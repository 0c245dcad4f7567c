//! Turns ticks of the processor's counter into nanoseconds.

/// A counter that ticks evenly, and what its ticks are worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Clock {
    start: u64,
    hertz: u64,
    /// Nanoseconds per tick, times 2^32.
    scale: u64,
}

/// Slower and faster counters are not believed: 1 MHz and 1 THz.
const HERTZ: core::ops::RangeInclusive<u64> = 1_000_000..=1_000_000_000_000;

impl Clock {
    /// A clock that is zero when the counter is at `start`; `None` for an absurd frequency.
    pub fn new(start: u64, hertz: u64) -> Option<Self> {
        let scale = (1_000_000_000u128 << 32) / u128::from(hertz.max(1));
        HERTZ.contains(&hertz).then_some(Self { start, hertz, scale: scale as u64 })
    }

    /// The counter's frequency.
    pub fn hertz(&self) -> u64 {
        self.hertz
    }

    /// Nanoseconds since the start, when the counter is at `ticks`.
    #[inline]
    pub fn nanos(&self, ticks: u64) -> u64 {
        let since = u128::from(ticks.saturating_sub(self.start));
        ((since * u128::from(self.scale)) >> 32) as u64
    }

    /// Where the counter is when [`nanos`](Self::nanos) first gives `nanos` or more.
    #[inline]
    pub fn ticks(&self, nanos: u64) -> u64 {
        // `since * scale >= nanos << 32`, solved for the smallest `since`.
        let since = (u128::from(nanos) << 32).div_ceil(u128::from(self.scale.max(1)));
        self.start.saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
    }
}

/// A frequency: `ticks` of it passed while `known` ticks of a clock of `hertz` did.
pub fn frequency(ticks: u64, known: u64, hertz: u64) -> Option<u64> {
    let exact = u128::from(ticks) * u128::from(hertz);
    u64::try_from(exact.checked_div(u128::from(known))?).ok()
}

/// The time of day that a clock shows, in seconds since 1970, unless nobody has set it: before
/// 2000, or after the year 9999. Without a clock, no Date is sent (RFC 9110 section 6.6.1).
pub fn time_of_day(seconds: u64) -> Option<u64> {
    const YEARS: core::ops::Range<u64> = 946_684_800..253_402_300_800;
    YEARS.contains(&seconds).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_and_nanoseconds_agree_over_years() {
        let year = 365 * 24 * 3600 * 1_000_000_000u64;
        for hertz in [1_000_000, 24_000_000, 999_999_937, 2_893_202_000, 6_000_000_000] {
            let clock = Clock::new(1 << 40, hertz).unwrap();
            for nanos in [0, 1, 999, 1_000_000, 3_600_000_000_001, 10 * year] {
                let ticks = clock.ticks(nanos);
                assert!(clock.nanos(ticks) >= nanos);
                assert!(ticks == 1 << 40 || clock.nanos(ticks - 1) < nanos);
            }
            // Rounding the scale costs less than a second in ten years.
            let wrong = clock.nanos((1 << 40) + 315_360_000 * hertz).abs_diff(10 * year);
            assert!(wrong < 1_000_000_000, "{hertz}: {wrong}");
        }
    }

    #[test]
    fn before_the_start_it_is_zero_and_never_is_never() {
        let clock = Clock::new(1000, 3_000_000_000).unwrap();
        assert_eq!(clock.nanos(999), 0);
        assert!(clock.ticks(u64::MAX) > u64::MAX / 2);
        assert_eq!(Clock::new(0, 0), None);
        assert_eq!(Clock::new(0, u64::MAX), None);
    }

    #[test]
    fn a_clock_that_nobody_set_tells_no_time() {
        let unset = [0, 1, 86_400, 315_532_800, 946_684_799, 253_402_300_800, u64::MAX];
        assert_eq!(unset.map(time_of_day), [None; 7]);
        for set in [946_684_800, 1_700_000_000, u64::from(u32::MAX), 253_402_300_799] {
            assert_eq!(time_of_day(set), Some(set));
        }
    }

    #[test]
    fn a_frequency_comes_out_of_another_clocks() {
        assert_eq!(frequency(12_000_000, 14_318, 3_579_545), Some(3_000_037_714));
        assert_eq!(frequency(1, 0, 1), None);
    }
}
