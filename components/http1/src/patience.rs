//! How long a client may take: a time that runs while it is waited for, and that it wins back
//! with every byte that it takes or sends.
//!
//! So a client that does nothing is given up after that time, and so is, a little later, one that
//! does so little that it would hold its exchange for ever. One that is waited for now and then,
//! and otherwise keeps up, has all of the time each time.

use waitless::{Duration, Instant};

/// The time that a client has left, in one direction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// What was left at `since`, or is left while the client is not waited for.
    left: Duration,
    /// Since when it is waited for; [`Instant::NEVER`] while it is not.
    since: Instant,
}

/// What bytes win.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// Nanoseconds for each byte.
    nanos: u64,
}

impl Rate {
    /// At least so many bytes in a second, on average; any byte will do where there is no floor.
    pub(crate) fn at_least(floor: Option<u64>) -> Self {
        // Rounded down, so that a floor of no more than 1 GB/s is one.
        Self { nanos: floor.map_or(u64::MAX, |floor| 1_000_000_000 / floor.max(1)) }
    }

    /// The same with a floor that is so many times as high.
    pub(crate) fn raised(self, times: u64) -> Self {
        match self.nanos {
            u64::MAX => self,
            nanos => Self { nanos: nanos / times },
        }
    }
}

impl Patience {
    /// With nobody to wait for.
    pub(crate) const NONE: Self = Self { left: Duration::ZERO, since: Instant::NEVER };

    /// With `left` to begin with.
    #[inline]
    pub(crate) fn new(left: Duration) -> Self {
        Self { left, since: Instant::NEVER }
    }

    /// The client is waited for from now on.
    #[inline]
    pub(crate) fn wait(&mut self, now: Instant) {
        if self.since == Instant::NEVER {
            self.since = now;
        }
    }

    /// The client is not waited for any more.
    #[inline]
    pub(crate) fn pause(&mut self, now: Instant) {
        if self.since != Instant::NEVER {
            self.left = self.left(now);
            self.since = Instant::NEVER;
        }
    }

    /// The client has moved `bytes`; it never has more than `most` left.
    #[inline]
    pub(crate) fn earn(&mut self, now: Instant, bytes: usize, rate: Rate, most: Duration) {
        let won = Duration::from_nanos(rate.nanos.saturating_mul(bytes as u64));
        self.left = (self.left(now) + won).min(most);
        if self.since != Instant::NEVER {
            self.since = now;
        }
    }

    /// When the client is given up; [`Instant::NEVER`] while it is not waited for.
    #[inline]
    pub(crate) fn deadline(&self) -> Instant {
        self.since + self.left
    }

    /// Whether the client is waited for.
    pub(crate) fn is_waiting(&self) -> bool {
        self.since != Instant::NEVER
    }

    /// What is left now.
    #[inline]
    pub(crate) fn left(&self, now: Instant) -> Duration {
        self.left.minus(now.since(self.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_secs(30);

    fn at(secs: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(secs)
    }

    #[test]
    fn time_runs_only_while_the_client_is_waited_for() {
        let mut patience = Patience::new(MOST);
        assert_eq!(patience.deadline(), Instant::NEVER);
        patience.wait(at(5));
        patience.wait(at(9));
        assert_eq!(patience.deadline(), at(35));
        patience.pause(at(15));
        assert_eq!(
            (patience.deadline(), patience.left(at(99))),
            (Instant::NEVER, MOST.minus(Duration::from_secs(10)))
        );
        patience.wait(at(100));
        assert_eq!(patience.deadline(), at(120));
    }

    #[test]
    fn bytes_win_time_but_no_more_than_there_is() {
        let rate = Rate::at_least(Some(100));
        let mut patience = Patience::new(MOST);
        patience.wait(at(0));
        patience.earn(at(10), 500, rate, MOST);
        assert_eq!(patience.deadline(), at(35));
        patience.earn(at(20), 1_000_000, rate, MOST);
        assert_eq!(patience.deadline(), at(50));
        // Four times the floor: four times the bytes for the same.
        patience.earn(at(40), 400, rate.raised(4), MOST);
        assert_eq!(patience.deadline(), at(51));
        // No floor: any byte will do.
        patience.earn(at(50), 1, Rate::at_least(None).raised(4), MOST);
        assert_eq!(patience.deadline(), at(80));
        patience.earn(at(99), 1, Rate::at_least(Some(1_000_000_000)), MOST);
        assert_eq!(patience.left(at(99)), Duration::from_nanos(1));
    }
}
