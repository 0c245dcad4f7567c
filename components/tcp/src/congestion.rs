//! Congestion control: slow start, congestion avoidance and NewReno's windows (RFC 5681, 6582).
//!
//! When to retransmit is decided elsewhere; this decides how much may be under way.

/// The congestion window. In bytes.
#[derive(Clone, Copy, Debug)]
pub struct Congestion {
    window: u32,
    threshold: u32,
    /// Bytes acknowledged since the window last grew in congestion avoidance.
    acked: u32,
}

/// Where growing stops: no receive window is larger.
const MAX: u32 = 1 << 30;

impl Congestion {
    /// At a connection's begin.
    pub fn new(mss: u32) -> Self {
        //= RFC 5681 3.1: the threshold starts arbitrarily high
        Self { window: initial(mss), threshold: MAX, acked: 0 }
    }

    /// How many bytes may be under way.
    #[inline]
    pub fn window(&self) -> u32 {
        self.window
    }

    /// Where slow start ends.
    #[cfg(test)]
    pub fn threshold(&self) -> u32 {
        self.threshold
    }

    /// `count` bytes were newly acknowledged outside of recovery. `flight` were under way
    /// before. `recovering` while what a timeout gave up is not acknowledged.
    #[inline]
    pub fn acknowledged(&mut self, count: u32, flight: u32, mss: u32, recovering: bool) {
        //= RFC 7661 4.1: a window that the application does not fill says nothing of the path
        if flight < self.window / 2 {
            return;
        }
        if self.window < self.threshold {
            //= RFC 3465 2.2, 2.3: at most 2 SMSS per acknowledgement, 1 SMSS after a timeout
            let most = if recovering { mss } else { 2 * mss };
            self.window = (self.window + count.min(most)).min(MAX);
            return;
        }
        //= RFC 5681 3.1: congestion avoidance adds at most SMSS per round trip
        self.acked += count;
        if self.acked >= self.window {
            self.acked -= self.window;
            self.window = (self.window + mss).min(MAX);
        }
    }

    /// A loss was noticed by duplicate acknowledgements; `flight` bytes are under way.
    //= RFC 5681 3.2: ssthresh is halved, cwnd is that plus the three segments that left
    pub fn lost(&mut self, flight: u32, mss: u32) {
        self.threshold = (flight / 2).max(2 * mss);
        self.window = self.threshold + 3 * mss;
        self.acked = 0;
    }

    /// One more segment has left the network, as another duplicate acknowledgement says.
    //= RFC 5681 3.2: inflate the window
    pub fn inflate(&mut self, mss: u32) {
        self.window = (self.window + mss).min(MAX);
    }

    /// A partial acknowledgement of `count` bytes arrived.
    //= RFC 6582 3.2: deflate by what was acknowledged, add back one SMSS
    pub fn partial(&mut self, count: u32, mss: u32) {
        self.window = self.window.saturating_sub(count);
        if count >= mss {
            self.window += mss;
        }
        self.window = self.window.max(mss);
    }

    /// Recovery is over; `flight` bytes are under way.
    //= RFC 6582 3.2: min(ssthresh, max(FlightSize, SMSS) + SMSS) keeps from sending a burst
    pub fn recovered(&mut self, flight: u32, mss: u32) {
        self.window = self.threshold.min(flight.max(mss) + mss);
        self.acked = 0;
    }

    /// The retransmission timer expired with `flight` bytes under way; `again` when it had
    /// expired for the same data before.
    //= RFC 5681 3.1: ssthresh is halved once, the loss window is one segment
    pub fn timed_out(&mut self, flight: u32, mss: u32, again: bool) {
        if !again {
            self.threshold = (flight / 2).max(2 * mss);
        }
        self.window = mss;
        self.acked = 0;
    }

    /// Nothing was sent for longer than a timeout.
    //= RFC 5681 4.1: restart from at most the initial window
    pub fn idled(&mut self, mss: u32) {
        self.window = self.window.min(initial(mss));
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
