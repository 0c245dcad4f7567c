//! The shortest round trip, and the probe for it: sections 5.3.4 and 5.5.7 of the draft.

use super::super::delivery::Sample;
use super::{Bbr, LEAST_SEGMENTS, State, View};

/// What is known of round trips. Times in microseconds modulo 2^32.
pub struct RoundTrips {
    /// The shortest of ten seconds: BBR.min_rtt.
    shortest: Option<u32>,
    /// When that was measured: BBR.min_rtt_stamp.
    measured_at: u32,
    /// The shortest of five seconds: BBR.probe_rtt_min_delay.
    recent: Option<u32>,
    /// When that was measured: BBR.probe_rtt_min_stamp.
    recent_at: u32,
    /// Whether that is too old: BBR.probe_rtt_expired.
    expired: bool,
    /// When the probe may end: BBR.probe_rtt_done_stamp.
    held_since: Option<u32>,
    /// Whether a round trip of it is over: BBR.probe_rtt_round_done.
    round_done: bool,
}

/// BBR.MinRTTFilterLen.
const KEPT: u32 = 10_000_000;
/// BBR.ProbeRTTInterval.
const INTERVAL: u32 = 5_000_000;
/// BBR.ProbeRTTDuration.
const LENGTH: u32 = 200_000;

impl RoundTrips {
    pub fn new(smoothed: u32, now: u32) -> Self {
        let shortest = (smoothed != 0).then_some(smoothed);
        Self {
            shortest,
            measured_at: now,
            recent: shortest,
            recent_at: now,
            expired: false,
            held_since: None,
            round_done: false,
        }
    }

    /// The shortest of late; `None` before the first.
    pub fn shortest(&self) -> Option<u32> {
        self.shortest
    }

    /// What no interval of a sample is shorter than.
    pub fn filter(&self) -> u32 {
        self.shortest.unwrap_or(0)
    }
}

impl Bbr {
    /// UpdateMinRTT.
    pub(super) fn note_round_trip(&mut self, sample: &Sample, view: View) {
        let it = &mut self.round_trips;
        it.expired = view.now.wrapping_sub(it.recent_at) > INTERVAL;
        if let Some(rtt) = sample.rtt
            && (it.expired || it.recent.is_none_or(|recent| rtt < recent))
        {
            (it.recent, it.recent_at) = (Some(rtt), view.now);
        }
        let Some(recent) = it.recent else { return };
        let old = view.now.wrapping_sub(it.measured_at) > KEPT;
        if old || it.shortest.is_none_or(|shortest| recent < shortest) {
            (it.shortest, it.measured_at) = (Some(recent), it.recent_at);
        }
    }

    /// CheckProbeRTT.
    pub(super) fn probe_round_trip(&mut self, sample: &Sample, view: View) {
        if self.state != State::ProbeRtt && self.round_trips.expired && !self.restarts {
            self.save_window(view.recovering);
            self.state = State::ProbeRtt;
            self.round_trips.held_since = None;
            self.stop_probing();
        }
        if self.state == State::ProbeRtt {
            self.hold_probe(view);
        }
        if sample.delivered > 0 {
            self.restarts = false;
        }
    }

    /// HandleProbeRTT.
    fn hold_probe(&mut self, view: View) {
        // What is delivered meanwhile says nothing of the path.
        self.delivery.limit(view.in_flight);
        if self.round_trips.held_since.is_some() {
            self.round_trips.round_done |= self.round_start;
            if self.round_trips.round_done {
                self.end_probe_rtt(view);
            }
        } else if view.in_flight <= self.probe_window(view.mss) {
            self.round_trips.held_since = Some(view.now);
            self.round_trips.round_done = false;
            self.start_round();
        }
    }

    /// CheckProbeRTTDone, ExitProbeRTT.
    pub(super) fn end_probe_rtt(&mut self, view: View) {
        let Some(since) = self.round_trips.held_since else { return };
        if view.now.wrapping_sub(since) <= LENGTH {
            return;
        }
        self.round_trips.recent_at = view.now;
        self.restore_window();
        self.losses.reset_short();
        if self.full.reached {
            self.start_down(view);
            self.start_cruise();
        } else {
            self.state = State::Startup;
        }
    }

    /// ProbeRTTCwnd: half of what fits the path.
    pub(super) fn probe_window(&self, mss: u32) -> u32 {
        self.product(self.bandwidth, 50).max(LEAST_SEGMENTS * mss)
    }
}
