//! Round-trip times and the retransmission timeout (RFC 6298).

use waitless::Duration;

/// What is known of a path's round-trip time. Times in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Rtt {
    smoothed: u32,
    variation: u32,
    timeout: u32,
    /// How often the timeout was doubled since the last acknowledgement.
    backoff: u8,
}

/// The clock's granularity: G of RFC 6298.
const GRANULARITY: u32 = 1_000;
const INITIAL: u32 = 1_000_000;
const AFTER_LOST_SYN: u32 = 3_000_000;
//= RFC 6298 2.5: a maximum of 60 s or more
const MAX: u32 = 120_000_000;

impl Rtt {
    /// Before the first measurement.
    //= RFC 6298 2.1: the timeout is one second until a round trip was measured
    pub const fn new() -> Self {
        Self { smoothed: 0, variation: 0, timeout: INITIAL, backoff: 0 }
    }

    //= RFC 9293 3.8.1 MUST-18: the timeout of RFC 6298, with Karn's algorithm by the caller
    /// Takes a measurement of `micros` microseconds into account. `min` is the shortest timeout,
    /// in microseconds too.
    #[inline(always)]
    pub fn sample(&mut self, micros: u32, min: u32) {
        let sample = micros.clamp(1, MAX);
        if self.smoothed == 0 {
            //= RFC 6298 2.2: the first measurement
            self.smoothed = sample;
            self.variation = sample / 2;
        } else {
            //= RFC 6298 2.3: alpha = 1/8, beta = 1/4, the variation first
            let error = self.smoothed.abs_diff(sample);
            self.variation = self.variation - self.variation / 4 + error / 4;
            self.smoothed = self.smoothed - self.smoothed / 8 + sample / 8;
        }
        let timeout = self.smoothed.saturating_add((4 * self.variation).max(GRANULARITY));
        //= RFC 6298 2.4: deviation: the minimum is configured, 200 ms instead of 1 s
        self.timeout = timeout.max(min).min(MAX);
    }

    /// The timeout now, backed off.
    #[inline]
    pub fn timeout(&self) -> Duration {
        Duration::from_nanos(self.timeout_micros() * 1_000)
    }

    /// The same in microseconds.
    #[inline]
    pub fn timeout_micros(&self) -> u64 {
        (u64::from(self.timeout) << self.backoff).min(u64::from(MAX))
    }

    /// Doubles the timeout.
    //= RFC 6298 5.5: back off the timer
    pub fn back_off(&mut self) {
        self.backoff = (self.backoff + 1).min(16);
    }

    /// Ends the backing off: something new was acknowledged.
    #[inline]
    pub fn relax(&mut self) {
        self.backoff = 0;
    }

    /// How often the timeout was doubled.
    #[inline]
    pub fn backoff(&self) -> u8 {
        self.backoff
    }

    /// The smoothed round-trip time in microseconds; 0 before the first measurement.
    #[inline]
    pub fn smoothed_micros(&self) -> u32 {
        self.smoothed
    }

    /// The same as a length of time; `None` before the first measurement.
    #[cfg(test)]
    pub fn smoothed(&self) -> Option<Duration> {
        (self.smoothed != 0).then(|| Duration::from_micros(u64::from(self.smoothed)))
    }

    /// The handshake is over, and its segment had to be sent again without being measured.
    //= RFC 6298 5.7: then the timeout is three seconds when data begins
    pub fn syn_was_lost(&mut self) {
        if self.smoothed == 0 {
            self.timeout = AFTER_LOST_SYN;
        }
    }
}

#[cfg(test)]
mod tests;
