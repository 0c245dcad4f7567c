//! Pacing: what may be sent leaves at a rate, not all at once for each acknowledgement.
//!
//! It leaves in quanta of a millisecond's worth, and what the timer was late by is made up for: so
//! neither the timer wheel nor a device that cuts segments is asked more often than that, however
//! high the rate, and the rate is kept.

use waitless::{Duration, Instant};

/// When a connection may send.
#[derive(Clone, Copy, Debug)]
pub struct Pacer {
    /// When the next quantum leaves.
    due: Instant,
}

/// What leaves at once is worth so much time.
const QUANTUM: Duration = Duration::from_millis(1);
/// But no more bytes than a device cuts at once.
const QUANTUM_MAX: u64 = 64 << 10;
/// Lateness beyond this is not made up for: that would be the burst that pacing is to avoid. The
/// timer wheel is late by half a millisecond, a sweep by less.
const LATE_MAX: Duration = Duration::from_millis(2);

/// Bytes that leave at once at `rate` bytes in a second: at least two segments.
pub fn quantum(rate: u64, mss: u32) -> u32 {
    let worth = in_time(rate, QUANTUM).min(QUANTUM_MAX);
    (worth as u32).max(2 * mss)
}

/// Bytes that pass in `time` at `rate` bytes in a second.
fn in_time(rate: u64, time: Duration) -> u64 {
    (u128::from(rate) * u128::from(time.as_nanos()) / 1_000_000_000) as u64
}

impl Pacer {
    /// The first quantum may leave at once.
    pub const fn new() -> Self {
        Self { due: Instant::ZERO }
    }

    /// When the next quantum leaves.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// Nothing is under way: time that has passed is not made up for.
    pub fn idled(&mut self, now: Instant) {
        self.due = self.due.max(now);
    }

    /// Bytes that may leave now; 0 before the next quantum is due.
    pub fn allowed(&self, now: Instant, rate: u64, mss: u32) -> u32 {
        if self.due > now {
            return 0;
        }
        let late = in_time(rate, now.since(self.due).min(LATE_MAX));
        (late.min(1 << 30) as u32).saturating_add(quantum(rate, mss))
    }

    /// `count` bytes leave.
    pub fn sends(&mut self, now: Instant, rate: u64, count: u32) {
        let taken = u64::from(count) * 1_000_000_000 / rate.max(1);
        let since =
            self.due.max(Instant::from_nanos(now.as_nanos().saturating_sub(LATE_MAX.as_nanos())));
        self.due = since + Duration::from_nanos(taken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1_448;

    fn at(micros: u64) -> Instant {
        Instant::ZERO + Duration::from_micros(micros)
    }

    #[test]
    fn a_quantum_is_a_millisecond_two_segments_and_no_more_than_a_device_cuts() {
        assert_eq!(quantum(10_000, MSS), 2 * MSS);
        assert_eq!(quantum(10_000_000, MSS), 10_000);
        assert_eq!(quantum(u64::from(u32::MAX) * 4, MSS), 65_536);
    }

    #[test]
    fn a_rate_is_kept_however_late_the_timer_is() {
        let rate = 12_500_000;
        for late in [0, 300, 900] {
            let (mut pacer, mut now, mut sent) = (Pacer::new(), at(1_000_000), 0_u64);
            pacer.idled(now);
            while now < at(2_000_000) {
                let count = pacer.allowed(now, rate, MSS);
                assert!(count > 0 && count <= quantum(rate, MSS) + 25_000, "{count}");
                pacer.sends(now, rate, count);
                sent += u64::from(count);
                now = pacer.due().max(now) + Duration::from_micros(late);
            }
            assert!(sent.abs_diff(rate) < rate / 100, "{sent} bytes, {late} us late");
        }
    }

    #[test]
    fn a_pause_is_not_made_up_for() {
        let mut pacer = Pacer::new();
        pacer.sends(at(1_000), 1_000_000, 50_000);
        assert_eq!(pacer.allowed(at(20_000), 1_000_000, MSS), 0);
        assert_eq!(pacer.allowed(at(900_000), 1_000_000, MSS), 2 * MSS + 2_000);
        pacer.idled(at(900_000));
        assert_eq!(pacer.allowed(at(900_000), 1_000_000, MSS), 2 * MSS);
    }
}
