//! A token bucket: so many a second on average, so many at once.

use waitless::{Duration, Instant};

/// What may still be sent, as time that has been saved up.
pub(crate) struct Bucket {
    /// The time that one costs; zero when there is never one.
    cost: Duration,
    saved: Duration,
    most: Duration,
    last: Instant,
}

impl Bucket {
    /// A full bucket.
    pub fn new(per_second: u32, burst: u16, now: Instant) -> Self {
        let cost = match per_second {
            0 => Duration::ZERO,
            _ => Duration::from_secs(1).divided_by(u64::from(per_second)),
        };
        let most = cost.times(u64::from(burst));
        Self { cost, saved: most, most, last: now }
    }

    /// Takes one, where there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        self.saved = (self.saved + now.since(self.last)).min(self.most);
        self.last = now;
        let taken = self.cost > Duration::ZERO && self.saved >= self.cost;
        if taken {
            self.saved = self.saved.minus(self.cost);
        }
        taken
    }
}
