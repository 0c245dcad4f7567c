//! RACK-TLP (RFC 8985): what was sent before something that has arrived, and for long enough, is
//! lost; and a silence after the last segment is broken by a probe before the timeout.

use crate::seq::Seq;

/// What is known of the order in which segments arrive. Times in microseconds modulo 2^32.
#[derive(Clone, Copy, Debug)]
pub struct Rack {
    /// When the segment that was sent last, of those that arrived, was sent: RACK.xmit_ts.
    sent_at: u32,
    /// The number behind it: RACK.end_seq.
    end: Seq,
    /// Its round-trip time.
    rtt: u32,
    /// The shortest round-trip time.
    min_rtt: u32,
    /// The number behind the furthest that arrived: RACK.fack.
    furthest: Seq,
    /// What had been sent when a D-SACK last widened the reordering window.
    round: Seq,
    /// By how many quarters of the shortest round trip: RACK.reo_wnd_mult.
    quarters: u8,
    /// For how many more recoveries: RACK.reo_wnd_persist.
    persist: u8,
    /// Whether segments have overtaken each other: RACK.reordering_seen.
    reordered: bool,
    /// Whether anything has arrived.
    started: bool,
}

//= RFC 8985 6.2: a widened reordering window is kept for 16 recoveries
const PERSIST: u8 = 16;

/// A segment that was sent.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// When it was last sent.
    pub at: u32,
    /// The number behind it.
    pub end: Seq,
    /// Whether it was sent more than once.
    pub again: bool,
}

/// What is to be made of a segment that has not arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Nothing yet: nothing that was sent after it has arrived.
    Unknown,
    /// It is lost if it does not arrive within so many microseconds.
    Late(u32),
    /// It is lost.
    Lost,
}

impl Rack {
    /// Nothing was sent before `start`.
    pub fn new(start: Seq) -> Self {
        Self {
            sent_at: 0,
            end: start,
            rtt: 0,
            min_rtt: u32::MAX,
            furthest: start,
            round: start,
            quarters: 1,
            persist: 0,
            reordered: false,
            started: false,
        }
    }

    /// The shortest round-trip time; `None` before the first.
    pub fn min_rtt(&self) -> Option<u32> {
        (self.min_rtt != u32::MAX).then_some(self.min_rtt)
    }

    /// Whether segments are known to overtake each other.
    #[cfg(test)]
    pub fn is_reordered(&self) -> bool {
        self.reordered
    }

    /// The handshake took `rtt`.
    pub fn opened(&mut self, rtt: u32) {
        self.min_rtt = self.min_rtt.min(rtt);
    }

    /// The usual case: everything up to and with `sent` was acknowledged in order.
    #[inline]
    pub fn arrived_in_order(&mut self, sent: Sent, now: u32) {
        let rtt = now.wrapping_sub(sent.at);
        self.rtt = rtt;
        self.min_rtt = self.min_rtt.min(rtt);
        (self.sent_at, self.end, self.furthest) = (sent.at, sent.end, sent.end);
        self.started = true;
    }

    /// A segment has arrived, acknowledged selectively or not. `early` when the acknowledgement
    /// echoes a timestamp from before the segment was last sent.
    pub fn arrived(&mut self, sent: Sent, now: u32, early: bool) {
        let rtt = now.wrapping_sub(sent.at);
        //= RFC 8985 6.2: reordering: behind what has arrived, and it was sent only once
        if sent.end.after(self.furthest) {
            self.furthest = sent.end;
        } else if !sent.again && sent.end.before(self.furthest) {
            self.reordered = true;
        }
        //= RFC 8985 6.2: what was sent again and arrives too soon was the first transmission
        if sent.again && (early || rtt < self.min_rtt) {
            return;
        }
        self.min_rtt = self.min_rtt.min(rtt);
        if !self.started || self.is_after(sent) {
            (self.sent_at, self.end, self.rtt) = (sent.at, sent.end, rtt);
            self.started = true;
        }
    }

    //= RFC 8985 5.2: later by time, or by sequence number at the same time
    fn is_after(&self, sent: Sent) -> bool {
        let later = sent.at.wrapping_sub(self.sent_at) as i32;
        later > 0 || (later == 0 && sent.end.after(self.end))
    }

    /// Judges a segment that has not arrived; `window` is the reordering window.
    //= RFC 8985 6.2: RACK_detect_loss
    #[inline]
    pub fn judge(&self, sent: Sent, now: u32, window: u32) -> Verdict {
        let newest = (sent.at, sent.end) == (self.sent_at, self.end);
        if newest || self.is_after(sent) || !self.started {
            return Verdict::Unknown;
        }
        let left = self.rtt.saturating_add(window).saturating_sub(now.wrapping_sub(sent.at));
        if left == 0 { Verdict::Lost } else { Verdict::Late(left) }
    }

    /// How long a segment may be overtaken before it is lost. `sacked` segments have arrived
    /// out of order.
    //= RFC 8985 6.2: RACK_update_reo_wnd
    pub fn window(&self, smoothed: u32, sacked: u32, recovering: bool) -> u32 {
        //= RFC 6675 4: without reordering, three segments that arrived are enough
        if !self.reordered && (recovering || sacked >= 3) {
            return 0;
        }
        let quarter = self.min_rtt().unwrap_or(0) / 4;
        quarter.saturating_mul(u32::from(self.quarters)).min(smoothed)
    }

    /// The other side got something twice, when `acked` was acknowledged and `sent` was sent.
    //= RFC 8985 6.2: once a round trip, the window grows by a quarter
    pub fn got_twice(&mut self, acked: Seq, sent: Seq) {
        if acked.before(self.round) {
            return;
        }
        self.round = sent;
        self.quarters = self.quarters.saturating_add(1);
        self.persist = PERSIST;
    }

    /// A recovery is over.
    //= RFC 8985 6.2: after 16 recoveries the reordering window is what it was at first
    pub fn recovered(&mut self) {
        self.persist = self.persist.saturating_sub(1);
        if self.persist == 0 {
            self.quarters = 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(at: u32, end: u32) -> Sent {
        Sent { at, end: Seq(end), again: false }
    }

    #[test]
    fn what_was_sent_before_what_has_arrived_is_lost_after_the_window() {
        let mut rack = Rack::new(Seq(0));
        rack.arrived(sent(u32::MAX - 99, 300), 900, false);
        assert_eq!(rack.judge(sent(0, 400), 900, 0), Verdict::Unknown);
        assert_eq!(rack.judge(sent(u32::MAX - 99, 300), 900, 0), Verdict::Unknown);
        assert_eq!(rack.judge(sent(u32::MAX - 99, 200), 900, 0), Verdict::Lost);
        assert_eq!(rack.judge(sent(u32::MAX - 109, 200), 900, 250), Verdict::Late(240));
        assert_eq!(rack.judge(sent(u32::MAX - 109, 200), 1_140, 250), Verdict::Lost);
    }

    #[test]
    fn the_window_is_nothing_until_segments_overtake_each_other() {
        let mut rack = Rack::new(Seq(0));
        rack.arrived(sent(0, 300), 1_000, false);
        assert_eq!(rack.window(5_000, 2, false), 250);
        assert_eq!(rack.window(5_000, 3, false), 0);
        assert_eq!(rack.window(5_000, 1, true), 0);
        rack.arrived(Sent { again: true, ..sent(10, 100) }, 2_000, false);
        assert!(!rack.is_reordered(), "that one was sent again");
        rack.arrived(sent(0, 200), 1_100, false);
        assert!(rack.is_reordered());
        assert_eq!((rack.window(5_000, 3, true), rack.window(200, 3, true)), (250, 200));
    }

    #[test]
    fn doubles_widen_it_once_a_round_trip_and_for_16_recoveries() {
        let mut rack = Rack::new(Seq(0));
        rack.arrived(sent(0, 300), 1_000, false);
        rack.got_twice(Seq(300), Seq(500));
        rack.got_twice(Seq(400), Seq(600));
        assert_eq!(rack.window(5_000, 0, false), 500);
        rack.got_twice(Seq(500), Seq(700));
        for _ in 0..15 {
            rack.recovered();
            assert_eq!(rack.window(5_000, 0, false), 750);
        }
        rack.recovered();
        assert_eq!(rack.window(5_000, 0, false), 250);
    }

    #[test]
    fn what_was_sent_again_and_arrives_too_soon_says_nothing() {
        let mut rack = Rack::new(Seq(0));
        rack.arrived(sent(0, 300), 1_000, false);
        let again = Sent { again: true, ..sent(2_000, 400) };
        rack.arrived(again, 2_500, false);
        rack.arrived(again, 4_000, true);
        assert_eq!(rack.judge(sent(1_000, 350), 9_000, 0), Verdict::Unknown);
        rack.arrived(again, 4_000, false);
        assert_eq!(rack.judge(sent(1_000, 350), 9_000, 0), Verdict::Lost);
    }
}
