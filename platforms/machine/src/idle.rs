//! Decides how long a core without work looks for more before it halts.
//!
//! A halt and the interrupt that ends it cost many microseconds, most of all in a virtual machine,
//! and a busy peer's next request is often sooner there. So the core goes on looking for a while,
//! if that would have paid lately; a core whose work comes seldom halts at once.

use waitless::{Duration, Instant};

/// The longest that a core looks.
const MOST: Duration = Duration::from_micros(200);
/// How long it looks first, once a halt turned out too short.
const FIRST: Duration = Duration::from_micros(25);

/// What a core remembers of its last pauses.
#[derive(Clone, Copy, Debug, Default)]
pub struct Idle {
    /// How long to look.
    patience: Duration,
    /// When there was work last.
    worked: Instant,
    /// Whether the core halted since then.
    halted: bool,
}

impl Idle {
    /// There was work at `now`.
    #[inline]
    pub fn worked(&mut self, now: Instant) {
        if self.halted {
            self.learn(now.since(self.worked));
        }
        self.worked = now;
        self.halted = false;
    }

    /// Whether the core should look again, at `now`, instead of halting.
    #[inline]
    pub fn looks(&self, now: Instant) -> bool {
        !self.halted && now.since(self.worked) < self.patience
    }

    /// The core halts.
    pub fn halts(&mut self) {
        self.halted = true;
    }

    /// Adapts to a pause that looking did not bridge.
    fn learn(&mut self, pause: Duration) {
        self.patience = if pause > MOST {
            let half = self.patience.divided_by(2);
            if half < FIRST { Duration::ZERO } else { half }
        } else {
            self.patience.times(2).clamp(FIRST, MOST)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(micros: u64) -> Instant {
        Instant::from_nanos(micros * 1_000)
    }

    /// Work every `gap` microseconds; whether the core halts in the last of `times` pauses.
    fn halts(idle: &mut Idle, now: &mut u64, gap: u64, times: u32) -> bool {
        let mut halted = false;
        for _ in 0..times {
            idle.worked(at(*now));
            halted = !idle.looks(at(*now + gap - 1));
            if halted {
                idle.halts();
            }
            *now += gap;
        }
        halted
    }

    #[test]
    fn short_pauses_are_soon_bridged() {
        let (mut idle, mut now) = (Idle::default(), 0);
        assert!(halts(&mut idle, &mut now, 150, 1), "nothing is known yet");
        assert!(!halts(&mut idle, &mut now, 150, 5));
        assert!(!idle.looks(at(now - 150 + 200)), "not for ever");
    }

    #[test]
    fn long_pauses_are_slept_through_at_once() {
        let (mut idle, mut now) = (Idle::default(), 0);
        halts(&mut idle, &mut now, 100, 10);
        assert!(halts(&mut idle, &mut now, 1_000, 10));
        idle.worked(at(now));
        assert!(!idle.looks(at(now)));
    }

    #[test]
    fn who_halted_and_found_nothing_halts_again() {
        let (mut idle, mut now) = (Idle::default(), 0);
        halts(&mut idle, &mut now, 100, 10);
        idle.worked(at(now));
        assert!(idle.looks(at(now + 10)));
        idle.halts();
        assert!(!idle.looks(at(now + 20)));
    }
}
