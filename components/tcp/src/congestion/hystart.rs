//! HyStart++ (RFC 9406): slow start ends when round trips grow longer, before the path's queue
//! overflows.

use crate::seq::Seq;

/// What is known of this round trip and the last one. Times in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct HyStart {
    /// What was sent when the round began; its acknowledgement ends it.
    end: Seq,
    last_min: u32,
    now_min: u32,
    /// The shortest when conservative slow start began.
    baseline: u32,
    samples: u8,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Slow start.
    Slow,
    /// Conservative slow start, for so many rounds.
    Conservative(u8),
    /// Over.
    Over,
}

//= RFC 9406 4.3: the constants
const MIN_THRESHOLD: u32 = 4_000;
const MAX_THRESHOLD: u32 = 16_000;
const DIVISOR: u32 = 8;
const SAMPLES: u8 = 8;
const CONSERVATIVE_GROWTH: u32 = 4;
const CONSERVATIVE_ROUNDS: u8 = 5;

impl HyStart {
    pub const fn new() -> Self {
        Self {
            end: Seq(0),
            last_min: u32::MAX,
            now_min: u32::MAX,
            baseline: u32::MAX,
            samples: 0,
            state: State::Slow,
        }
    }

    /// By what slow start's growth is divided.
    #[inline]
    pub fn divisor(&self) -> u32 {
        match self.state {
            State::Conservative(_) => CONSERVATIVE_GROWTH,
            _ => 1,
        }
    }

    /// A loss has ended slow start.
    pub fn end(&mut self) {
        self.state = State::Over;
    }

    /// Everything before `acked` is acknowledged and everything before `sent` is sent; `rtt`
    /// was measured. Whether slow start is over.
    pub fn acknowledged(&mut self, acked: Seq, sent: Seq, rtt: u32) -> bool {
        if self.state == State::Over {
            return false;
        }
        self.now_min = self.now_min.min(rtt);
        self.samples = self.samples.saturating_add(1);
        if self.samples >= SAMPLES {
            self.judge();
        }
        if self.end == Seq(0) || acked.after(self.end) {
            return self.next_round(sent);
        }
        false
    }

    //= RFC 9406 4.2: longer by an eighth, but at least 4 ms and at most 16 ms, is too long
    fn judge(&mut self) {
        match self.state {
            State::Slow if self.last_min != u32::MAX => {
                let threshold = (self.last_min / DIVISOR).clamp(MIN_THRESHOLD, MAX_THRESHOLD);
                if self.now_min >= self.last_min.saturating_add(threshold) {
                    self.baseline = self.now_min;
                    self.state = State::Conservative(0);
                }
            }
            //= RFC 9406 4.2: if it becomes shorter again, that was jitter
            State::Conservative(_) if self.now_min < self.baseline => {
                self.baseline = u32::MAX;
                self.state = State::Slow;
            }
            _ => {}
        }
    }

    //= RFC 9406 4.2: a round ends when what was sent at its begin is acknowledged
    fn next_round(&mut self, sent: Seq) -> bool {
        self.end = sent;
        (self.last_min, self.now_min, self.samples) = (self.now_min, u32::MAX, 0);
        if let State::Conservative(rounds) = self.state {
            if rounds + 1 >= CONSERVATIVE_ROUNDS {
                self.state = State::Over;
                return true;
            }
            self.state = State::Conservative(rounds + 1);
        }
        false
    }
}

#[cfg(test)]
mod tests;
