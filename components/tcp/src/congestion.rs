//! Congestion control: how much may be under way (RFC 5681), grown by CUBIC (RFC 9438) or Reno, or
//! what BBR's model of the path says.
//!
//! When to retransmit is decided in `recovery.rs`; this is told what was delivered and what was
//! lost. CUBIC and Reno differ in two places only, how the window grows in congestion avoidance
//! and how much of it a loss takes, so they are the variants of one enum and a connection of
//! either is a few words. BBR sets the window itself, in `paced.rs`, and is the variant for which
//! nothing happens here but after a timeout.

mod bbr;
mod cubic;
mod delivery;
mod hystart;
mod pacer;
mod prr;

#[cfg(test)]
pub use bbr::State;
pub use bbr::{Bbr, View};
pub use delivery::{Sent, Stamp};
pub use hystart::HyStart;
pub use pacer::Pacer;
pub use prr::Prr;

use cubic::Cubic;

/// Which algorithm grows the window.
//= RFC 9293 3.8.2 MAY-18: others than that of RFC 5681
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Algorithm {
    /// RFC 9438: fast on paths with a large product of bandwidth and delay.
    #[default]
    Cubic,
    /// RFC 5681: a segment for each round trip.
    Reno,
    /// draft-ietf-ccwg-bbr: by a model of the path, of which losses are one part. Paced.
    Bbr,
}

/// The congestion window. In bytes.
#[derive(Clone, Copy, Debug)]
pub struct Congestion {
    window: u32,
    threshold: u32,
    growth: Growth,
    /// What to go back to when a loss turns out to be none.
    prior: Prior,
    /// Slow start's exit before a loss.
    pub hystart: HyStart,
}

#[derive(Clone, Copy, Debug)]
enum Growth {
    Cubic(Cubic),
    /// Counts bytes acknowledged in congestion avoidance since the window last grew.
    Reno(u32),
    /// By a model that is kept elsewhere: it is larger than all else that is kept of a connection.
    Model,
}

#[derive(Clone, Copy, Debug)]
struct Prior {
    window: u32,
    threshold: u32,
    /// CUBIC's.
    peaks: (u32, u32),
}

/// What an acknowledgement says.
#[derive(Clone, Copy, Debug)]
pub struct Acked {
    /// Bytes that were delivered.
    pub count: u32,
    /// Bytes of a full segment.
    pub mss: u32,
    /// The clock, in milliseconds.
    pub millis: u32,
    /// The smoothed round-trip time, in microseconds.
    pub rtt: u32,
}

/// What a round trip is taken for before one was measured, in microseconds.
const UNMEASURED: u32 = 1_000;
/// Where growing stops: no receive window is larger.
const MAX: u32 = 1 << 30;

impl Congestion {
    /// At a connection's begin.
    pub fn new(algorithm: Algorithm, mss: u32) -> Self {
        let growth = match algorithm {
            Algorithm::Cubic => Growth::Cubic(Cubic::new()),
            Algorithm::Reno => Growth::Reno(0),
            Algorithm::Bbr => Growth::Model,
        };
        //= RFC 5681 3.1: the threshold starts arbitrarily high
        Self {
            window: initial(mss),
            threshold: MAX,
            growth,
            prior: Prior { window: 0, threshold: 0, peaks: (0, 0) },
            hystart: HyStart::new(),
        }
    }

    /// How many bytes may be under way.
    #[inline]
    pub fn window(&self) -> u32 {
        self.window
    }

    /// Where slow start ends, and what recovery aims at.
    #[inline]
    pub fn threshold(&self) -> u32 {
        self.threshold
    }

    /// Bytes in a second at which a paced connection sends, with round trips of `smoothed`
    /// microseconds: more than the window passes by, so that it is the window that limits.
    pub fn rate(&self, smoothed: u32) -> u64 {
        // In slow start the window doubles in the round trip that is sent in now.
        let gain = if self.window < self.threshold / 2 { 200 } else { 120 };
        let round_trip = if smoothed == 0 { UNMEASURED } else { smoothed };
        u64::from(self.window) * gain * 10_000 / u64::from(round_trip)
    }

    /// Whether no loss has ended slow start yet.
    #[inline]
    pub fn is_starting(&self) -> bool {
        self.window < self.threshold
    }

    /// Sets the window as recovery computes it.
    pub fn set_window(&mut self, window: u32) {
        self.window = window.min(MAX);
    }

    /// The window is not used in full.
    //= RFC 7661 4.1: a window that the application does not fill says nothing of the path
    //= RFC 9438 5.8: and time in which it does not fill it counts for nothing
    #[inline]
    pub fn pause(&mut self) {
        if let Growth::Cubic(cubic) = &mut self.growth {
            cubic.pause();
        }
    }

    /// Bytes were acknowledged outside of fast recovery, and the window was what kept from
    /// sending more.
    pub fn acknowledged(&mut self, acked: Acked) {
        let Acked { count, mss, .. } = acked;
        //= RFC 9293 3.8.2 MUST-19: slow start and congestion avoidance
        if self.is_starting() {
            //= RFC 5681 3.1: slow start adds at most what was acknowledged
            //= RFC 9406 4.2: at most L = 8 segments for one acknowledgement, a quarter in CSS
            let most = count.min(8 * mss);
            let growth = most / self.hystart.divisor();
            self.window = (self.window + growth).min(self.threshold.max(self.window)).min(MAX);
            return;
        }
        match &mut self.growth {
            Growth::Model => {}
            Growth::Cubic(cubic) => {
                self.window = cubic.grow(self.window, acked).min(MAX);
            }
            Growth::Reno(acked) => {
                //= RFC 5681 3.1: congestion avoidance adds at most SMSS per round trip
                *acked += count;
                if *acked >= self.window {
                    *acked -= self.window;
                    self.window = (self.window + mss).min(MAX);
                }
            }
        }
    }

    /// Slow start found the path's limit before a loss did.
    //= RFC 9406 4.2, RFC 9438 4.10: conservative slow start ends after some rounds
    pub fn end_slow_start(&mut self) {
        self.threshold = self.window;
    }

    /// A loss was noticed, or a mark of congestion, with `flight` bytes under way. Sets the
    /// threshold; recovery lets the window follow.
    pub fn lost(&mut self, flight: u32, mss: u32) {
        self.save();
        self.reduce(flight, mss);
    }

    /// The window is at the threshold: recovery is over, or there was none to do.
    pub fn settle(&mut self, mss: u32) {
        if matches!(self.growth, Growth::Model) {
            return;
        }
        self.window = self.threshold.max(mss);
    }

    /// The retransmission timer expired with `flight` bytes under way of which `pipe` are still
    /// on their way; `again` when it had expired for the same data before.
    pub fn timed_out(&mut self, flight: u32, pipe: u32, mss: u32, again: bool) {
        //= RFC 5681 3.1: the threshold falls once for the same data
        if !again {
            self.save();
            self.reduce(flight, mss);
            if let Growth::Cubic(cubic) = &mut self.growth {
                cubic.timed_out();
            }
        }
        //= RFC 5681 3.1, RFC 9438 4.8: one segment, above what is still on its way
        self.window = pipe.saturating_add(mss).min(MAX);
    }

    fn save(&mut self) {
        let peaks = match &self.growth {
            Growth::Cubic(cubic) => cubic.peaks(),
            Growth::Reno(_) | Growth::Model => (0, 0),
        };
        self.prior = Prior { window: self.window, threshold: self.threshold, peaks };
    }

    fn reduce(&mut self, flight: u32, mss: u32) {
        let left = match &mut self.growth {
            // It decides by itself what a loss says.
            Growth::Model => return,
            Growth::Cubic(cubic) => {
                cubic.lost(self.window);
                //= RFC 9438 4.6: ssthresh = flight * beta, at least two segments
                cubic::beta(flight)
            }
            //= RFC 5681 3.1: ssthresh = max(FlightSize / 2, 2 * SMSS)
            Growth::Reno(acked) => {
                *acked = 0;
                flight / 2
            }
        };
        self.threshold = left.max(2 * mss);
        self.hystart.end();
    }

    /// What was taken for a loss was none.
    //= RFC 4015 3.2, RFC 9438 4.9.1, 4.9.2: back to what was before
    pub fn undo(&mut self) {
        if matches!(self.growth, Growth::Model) {
            return;
        }
        self.window = self.window.max(self.prior.window);
        self.threshold = self.threshold.max(self.prior.threshold);
        if let Growth::Cubic(cubic) = &mut self.growth {
            cubic.restore(self.prior.peaks);
        }
    }

    /// Nothing was sent for longer than a timeout.
    //= RFC 5681 4.1: restart from at most the initial window
    pub fn idled(&mut self, mss: u32) {
        // The model paces what is sent after a pause.
        if !matches!(self.growth, Growth::Model) {
            self.window = self.window.min(initial(mss));
        }
        self.pause();
    }

    /// The handshake is over, and its segment had to be sent again.
    //= RFC 5681 3.1: then the initial window is one segment
    pub fn syn_was_lost(&mut self, mss: u32) {
        self.window = mss;
    }
}

//= RFC 6928 2: the initial window is min(10*MSS, max(2*MSS, 14600))
fn initial(mss: u32) -> u32 {
    (10 * mss).min((2 * mss).max(14_600))
}

#[cfg(test)]
mod tests;
