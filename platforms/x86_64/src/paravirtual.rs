//! Makes time of what a hypervisor writes into the page of its clock. The layout is KVM's
//! (`pvclock_vcpu_time_info` and `pvclock_wall_clock`), which others have taken over.

/// A clock: what it showed when the processor's counter was somewhere, and how it goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Clock {
    /// Where the counter was.
    ticks: u64,
    /// Nanoseconds since the machine started, then.
    nanos: u64,
    /// Nanoseconds of a tick, times 2^32, once the ticks are shifted.
    pub scale: u32,
    /// How far ticks are shifted before: to the left, or to the right when it is negative.
    pub shift: i8,
}

impl Clock {
    /// What a page of words says, which starts with its version.
    pub fn read(words: [u32; 8]) -> Self {
        let pair = |low: u32, high: u32| low as u64 | (high as u64) << 32;
        Self {
            ticks: pair(words[2], words[3]),
            nanos: pair(words[4], words[5]),
            scale: words[6],
            shift: words[7] as i8,
        }
    }

    /// Nanoseconds since the machine started, when the counter is at `ticks`. `None` when that is
    /// more than a number holds: what says so is damaged.
    pub fn nanos(&self, ticks: u64) -> Option<u64> {
        // The counter of another core may lie behind.
        let since = u128::from(ticks.saturating_sub(self.ticks));
        let distance = u32::from(self.shift.unsigned_abs());
        let shifted = match self.shift {
            0..=31 => since << distance,
            -63..=-1 => since >> distance,
            _ => return None,
        };
        let nanos = (shifted * u128::from(self.scale)) >> 32;
        u64::try_from(nanos).ok()?.checked_add(self.nanos)
    }

    /// Seconds since 1970, when the counter is at `ticks`. `wall` is what the time of day was when
    /// the machine started: a version, seconds, nanoseconds.
    pub fn wall_clock(&self, wall: [u32; 8], ticks: u64) -> Option<u64> {
        let nanos = self.nanos(ticks)?.checked_add(u64::from(wall[2]))?;
        Some(u64::from(wall[1]) + nanos / 1_000_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2.8 GHz, as KVM writes it: half a nanosecond and more a tick, doubled.
    const PAGE: [u32; 8] = [2, 0, 1_000, 1, 5_000, 0, 3_067_833_783, (-1i8) as u8 as u32];

    #[test]
    fn a_page_is_read_as_it_is_laid_out() {
        let clock = Clock::read(PAGE);
        let expected =
            Clock { ticks: 1 << 32 | 1_000, nanos: 5_000, scale: 3_067_833_783, shift: -1 };
        assert_eq!(clock, expected);
        // What stands behind the shift is another field.
        let flags = Clock::read([2, 0, 1_000, 1, 5_000, 0, 3_067_833_783, 0x01ff]);
        assert_eq!(flags.shift, -1);
    }

    #[test]
    fn time_goes_on_from_where_it_was() {
        let clock = Clock::read(PAGE);
        let start = 1 << 32 | 1_000;
        assert_eq!(clock.nanos(start), Some(5_000));
        assert_eq!(clock.nanos(start - 7), Some(5_000), "it never goes back");
        let second = clock.nanos(start + 2_800_000_000).unwrap() - 5_000;
        assert!(second.abs_diff(1_000_000_000) < 10, "{second}");
        // A slow counter: 500 MHz, where ticks are doubled before.
        let slow = Clock { ticks: 0, nanos: 0, scale: 1 << 31, shift: 2 };
        assert_eq!(slow.nanos(500_000_000), Some(1_000_000_000));
        // 73 years of ticks do not overflow on the way.
        assert!(clock.nanos(start + (1 << 62)).is_some());
    }

    #[test]
    fn a_wall_clock_is_the_start_and_what_passed_since() {
        let clock = Clock::read(PAGE);
        let wall = [2, 1_700_000_000, 999_999_999, 0, 0, 0, 0, 0];
        let start = 1 << 32 | 1_000;
        assert_eq!(clock.wall_clock(wall, start), Some(1_700_000_001), "5 µs carry over");
        let minute = clock.wall_clock(wall, start + 60 * 2_800_000_000);
        assert_eq!(minute, Some(1_700_000_061));
    }

    #[test]
    fn a_damaged_page_tells_no_time() {
        for shift in [32, 127, -64, -128] {
            let clock = Clock { ticks: 0, nanos: 0, scale: u32::MAX, shift };
            assert_eq!(clock.nanos(1), None, "{shift}");
        }
        let full = Clock { ticks: 0, nanos: u64::MAX, scale: 1 << 31, shift: 1 };
        assert_eq!((full.nanos(0), full.nanos(1)), (Some(u64::MAX), None));
        assert_eq!(full.wall_clock([0, 0, 1, 0, 0, 0, 0, 0], 0), None);
        let fast = Clock { ticks: 0, nanos: 0, scale: u32::MAX, shift: 31 };
        assert_eq!(fast.nanos(u64::MAX), None);
    }
}
