//! How long to wait for an answer, and when to give up (RFC 8415 section 15).

use waitless::{Duration, Instant, Random};

/// The waits of one exchange.
pub(crate) struct Retry {
    first: Duration,
    most: Duration,
    /// Messages after which it is over; 0 for never.
    limit: u8,
    /// How long after the first message it is over; zero for never.
    end: Duration,
    /// Whether the first wait may not be shorter (section 18.2.1).
    patient: bool,
    last: Duration,
    sent: u8,
    /// When the first and the latest message was sent.
    began: Instant,
    asked: Instant,
}

impl Retry {
    /// Section 7.6, each: REQ_TIMEOUT, REQ_MAX_RT, REQ_MAX_RC and so on.
    pub const REQUEST: Self = Self::new(1, 30, 10);
    pub const RENEW: Self = Self::new(10, 600, 0);
    /// It is over after a time (CNF_MAX_RD), however many messages that takes.
    pub const CONFIRM: Self = Self { end: Duration::from_secs(10), ..Self::new(1, 4, 0) };
    pub const DECLINE: Self = Self::new(1, 30, 4);

    const fn new(first: u64, most: u64, limit: u8) -> Self {
        Self {
            first: Duration::from_secs(first),
            most: Duration::from_secs(most),
            limit,
            end: Duration::ZERO,
            patient: false,
            last: Duration::ZERO,
            sent: 0,
            began: Instant::ZERO,
            asked: Instant::ZERO,
        }
    }

    /// For a server that offers an address, `most` apart at most.
    pub fn solicit(most: Duration) -> Self {
        Self { most, patient: true, ..Self::new(1, 0, 0) }
    }

    /// For what is no address.
    pub fn inform(most: Duration) -> Self {
        Self { most, ..Self::new(1, 0, 0) }
    }

    /// Messages sent so far.
    pub fn sent(&self) -> u8 {
        self.sent
    }

    /// When the latest message was sent.
    pub fn asked(&self) -> Instant {
        self.asked
    }

    /// Whether enough were sent, or for long enough.
    pub fn is_over(&self, now: Instant) -> bool {
        (self.limit != 0 && self.sent >= self.limit) || now >= self.end()
    }

    /// When it is over, however many were sent.
    fn end(&self) -> Instant {
        let ends = self.end > Duration::ZERO && self.sent > 0;
        if ends { self.began + self.end } else { Instant::NEVER }
    }

    /// Hundredths of a second between the first message and one that is sent now, which may be the
    /// first one itself (section 21.9).
    //= RFC 8415 21.9: the time counts from the first message of an exchange
    pub fn elapsed(&self, now: Instant) -> u16 {
        let passed = if self.sent == 0 { 0 } else { now.since(self.began).as_millis() / 10 };
        u16::try_from(passed).unwrap_or(u16::MAX)
    }

    /// Waits are not longer than this any more; when the next message is due, which would have been
    /// at `due`.
    pub fn shorten(&mut self, most: Duration, due: Instant) -> Instant {
        self.most = most;
        if self.sent == 0 { due } else { due.min(self.asked + most) }
    }

    /// A message was sent: when the next one is due. A tenth of the wait before is added or taken
    /// away (RAND), also where the wait is the longest.
    //= RFC 8415 15: waits double, give or take a tenth, up to a limit
    pub fn next(&mut self, now: Instant, random: &mut Random) -> Instant {
        let wait = match self.sent {
            0 if self.patient => self.first + part(self.first, random).divided_by(2),
            0 => spread(self.first, self.first, random),
            _ => spread(self.last.times(2), self.last, random),
        };
        self.last = if wait > self.most { spread(self.most, self.most, random) } else { wait };
        if self.sent == 0 {
            self.began = now;
        }
        self.asked = now;
        self.sent = self.sent.saturating_add(1);
        (now + self.last).min(self.end())
    }
}

/// `time`, give or take a tenth of `whole`.
fn spread(time: Duration, whole: Duration, random: &mut Random) -> Duration {
    time.minus(whole.divided_by(10)) + part(whole, random)
}

/// Up to two tenths of `whole`.
fn part(whole: Duration, random: &mut Random) -> Duration {
    Duration::from_nanos(random.below(2 * whole.divided_by(10).as_nanos() + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit_a_tenth_more_or_less() {
        let mut random = Random::new([1; 32]);
        let mut retry = Retry::solicit(Duration::from_secs(60));
        let mut last = 0;
        for number in 0..20 {
            let wait = retry.next(Instant::ZERO, &mut random).since(Instant::ZERO).as_millis();
            let (least, most) = match number {
                0 => (1000, 1100),
                _ if last * 21 / 10 > 60_000 => ((last * 19 / 10).min(54_000), 66_000),
                _ => (last * 19 / 10, last * 21 / 10 + 2),
            };
            assert!((least..=most).contains(&wait), "{number}: {wait} after {last}");
            last = wait;
        }
        let mut retry = Retry::REQUEST;
        for number in 0..10 {
            assert!(!retry.is_over(Instant::ZERO), "{number}");
            retry.next(Instant::ZERO, &mut random);
        }
        assert!(retry.is_over(Instant::ZERO));
    }
}
