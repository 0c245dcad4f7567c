//! How long to wait for an answer, and when to give up (RFC 8415 section 15).

use waitless::{Duration, Random};

/// The waits of one exchange.
pub(crate) struct Retry {
    first: Duration,
    most: Duration,
    /// Messages after which it is over; 0 for never.
    limit: u8,
    /// Whether the first wait may not be shorter (section 18.2.1).
    patient: bool,
    last: Duration,
    sent: u8,
}

impl Retry {
    /// Section 7.6, each: REQ_TIMEOUT, REQ_MAX_RT, REQ_MAX_RC and so on.
    pub const REQUEST: Self = Self::new(1, 30, 10);
    pub const RENEW: Self = Self::new(10, 600, 0);
    /// It ends after ten seconds (CNF_MAX_RD): with the third message.
    pub const CONFIRM: Self = Self::new(1, 4, 3);
    pub const DECLINE: Self = Self::new(1, 30, 4);

    const fn new(first: u64, most: u64, limit: u8) -> Self {
        Self {
            first: Duration::from_secs(first),
            most: Duration::from_secs(most),
            limit,
            patient: false,
            last: Duration::ZERO,
            sent: 0,
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

    /// Whether enough were sent.
    pub fn is_over(&self) -> bool {
        self.limit != 0 && self.sent >= self.limit
    }

    /// A message was sent: how long to wait before the next. A tenth of the wait before is added
    /// or taken away (RAND), also where the wait is the longest.
    pub fn next(&mut self, random: &mut Random) -> Duration {
        let wait = match self.sent {
            0 if self.patient => self.first + part(self.first, random).divided_by(2),
            0 => spread(self.first, self.first, random),
            _ => spread(self.last.times(2), self.last, random),
        };
        self.last = if wait > self.most { spread(self.most, self.most, random) } else { wait };
        self.sent = self.sent.saturating_add(1);
        self.last
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
            let wait = retry.next(&mut random).as_millis();
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
            assert!(!retry.is_over(), "{number}");
            retry.next(&mut random);
        }
        assert!(retry.is_over());
    }
}
