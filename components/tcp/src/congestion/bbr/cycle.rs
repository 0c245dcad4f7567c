//! The cycle of probes for more bandwidth: section 5.3.3 of the draft.

use super::super::delivery::Sample;
use super::{Bbr, NONE, State, View};

/// Where it stands in the cycle.
pub struct Cycle {
    /// What acknowledgements say of the last probe: BBR.ack_phase.
    phase: AckPhase,
    /// Whether they are about what was sent in one: BBR.is_bw_probe_sample.
    pub is_sampling: bool,
    /// Whether the last probe lost too much: BBR.prev_probe_too_high.
    pub too_much: bool,
    /// Whether it went only as far as that: BBR.prev_probe_precautionary.
    careful: bool,
    /// Rounds since the last probe: BBR.rounds_since_probe_up.
    pub rounds: u32,
    /// When the cycle began: BBR.cycle_stamp.
    since: u32,
    /// How long it lasts at most: BBR.bw_probe_wait.
    wait: u32,
    /// Bytes acknowledged since the limit was raised: BBR.bw_probe_up_acked.
    acked: u32,
    /// For how many it is raised by a segment: BBR.probe_up_acked_per_inc.
    acked_each: u32,
    /// For how many rounds it was raised: BBR.bw_probe_up_rounds.
    raised: u8,
    /// Where the next random number comes from; never 0.
    random: u32,
}

/// BBR.ack_phase.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AckPhase {
    /// ACKS_INIT.
    Quiet,
    /// ACKS_REFILLING.
    Refilling,
    /// ACKS_PROBE_STARTING.
    Starting,
    /// ACKS_PROBE_FEEDBACK.
    Feedback,
    /// ACKS_PROBE_STOPPING.
    Stopping,
}

/// Rounds after which Reno or CUBIC would have regained what a probe takes, at most.
const ROUNDS_MAX: u32 = 63;
/// In microseconds, and up to a second more.
const WAIT_LEAST: u32 = 2_000_000;

impl Cycle {
    pub fn new(seed: u32) -> Self {
        Self {
            phase: AckPhase::Quiet,
            is_sampling: false,
            too_much: false,
            careful: false,
            rounds: 0,
            since: 0,
            wait: 0,
            acked: 0,
            acked_each: NONE,
            raised: 0,
            random: seed | 1,
        }
    }

    /// Marsaglia's xorshift: for waits that differ between connections, not for secrets.
    fn random(&mut self) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        self.random
    }
}

impl Bbr {
    /// StartProbeBW_DOWN.
    pub(super) fn start_down(&mut self, view: View) {
        self.losses.reset_signals();
        let it = &mut self.cycle;
        it.acked_each = NONE;
        // PickProbeWait.
        it.rounds = it.random() >> 31;
        it.wait = WAIT_LEAST + it.random() % 1_000_000;
        it.since = view.now;
        self.stop_probing();
        self.state = State::Down;
    }

    /// What is acknowledged from the next round on is not of a probe any more.
    pub(super) fn stop_probing(&mut self) {
        self.cycle.phase = AckPhase::Stopping;
        self.start_round();
    }

    /// StartProbeBW_CRUISE.
    pub(super) fn start_cruise(&mut self) {
        self.state = State::Cruise;
    }

    /// StartProbeBW_REFILL.
    pub(super) fn start_refill(&mut self) {
        self.losses.reset_short();
        self.cycle.raised = 0;
        self.cycle.acked = 0;
        self.cycle.careful = false;
        self.cycle.phase = AckPhase::Refilling;
        self.start_round();
        self.state = State::Refill;
    }

    /// StartProbeBW_UP.
    fn start_up(&mut self, sample: &Sample, view: View) {
        self.cycle.phase = AckPhase::Starting;
        self.start_round();
        self.reset_plateau(sample.rate.unwrap_or(0));
        self.state = State::Up;
        self.raise_faster(view);
    }

    /// UpdateProbeBWCyclePhase.
    pub(super) fn advance_cycle(&mut self, sample: &Sample, view: View) {
        if !self.full.reached || self.adapt_long(sample, view) {
            return;
        }
        let state = self.state;
        match state {
            State::Down | State::Cruise if self.is_time_to_probe(view) => self.start_refill(),
            State::Down if self.is_time_to_cruise(view) => self.start_cruise(),
            State::Refill if self.round_start => {
                self.cycle.is_sampling = true;
                self.start_up(sample, view);
            }
            State::Up if self.is_time_to_go_down(sample, view) => {
                self.cycle.too_much = false;
                self.start_down(view);
            }
            _ => {}
        }
    }

    /// IsTimeToProbeBW, IsRenoCoexistenceProbeTime.
    fn is_time_to_probe(&self, view: View) -> bool {
        let segments = self.wanted() / view.mss.max(1);
        view.now.wrapping_sub(self.cycle.since) > self.cycle.wait
            || self.cycle.rounds >= segments.min(ROUNDS_MAX)
    }

    /// TargetInflight.
    pub(super) fn wanted(&self) -> u32 {
        self.product(self.bandwidth, 100).min(self.window)
    }

    /// IsTimeToCruise.
    fn is_time_to_cruise(&self, view: View) -> bool {
        view.in_flight <= self.with_headroom(view.mss)
            && view.in_flight <= self.target(self.most(), 100, view.mss)
    }

    /// IsTimeToGoDown.
    fn is_time_to_go_down(&mut self, sample: &Sample, view: View) -> bool {
        if self.cycle.too_much && view.in_flight >= self.losses.long {
            self.cycle.careful = true;
            return true;
        }
        if self.is_crowded() && self.window >= self.losses.long {
            self.reset_plateau(sample.rate.unwrap_or(0));
            return false;
        }
        self.full.now
    }

    /// C.is_cwnd_limited.
    fn is_crowded(&self) -> bool {
        self.crowded[0] || self.crowded[1]
    }

    /// AdaptLongTermModel. Whether that decided what is done next.
    fn adapt_long(&mut self, sample: &Sample, view: View) -> bool {
        if self.cycle.phase == AckPhase::Starting && self.round_start {
            self.cycle.phase = AckPhase::Feedback;
        }
        if self.cycle.phase == AckPhase::Stopping && self.round_start {
            self.cycle.is_sampling = false;
            self.cycle.phase = AckPhase::Quiet;
            // AdvanceMaxBwFilter, unless this cycle has measured nothing.
            if self.is_cycling() && !sample.limited && self.rates[0] > 0 {
                self.rates = [0, self.rates[0]];
            }
            if self.is_cycling() && self.cycle.careful && !self.cycle.too_much {
                self.start_refill();
                return true;
            }
        }
        if !super::losses::is_too_much(sample.lost, sample.in_flight, view.sacks)
            && self.losses.long != NONE
        {
            self.losses.long = self.losses.long.max(sample.in_flight);
            if self.state == State::Up {
                self.raise(sample, view);
            }
        }
        false
    }

    /// ProbeInflightLongtermUpward.
    fn raise(&mut self, sample: &Sample, view: View) {
        if !self.is_crowded() || self.window < self.losses.long {
            return;
        }
        let it = &mut self.cycle;
        it.acked = it.acked.saturating_add(sample.acked);
        if it.acked >= it.acked_each {
            let steps = it.acked / it.acked_each.max(1);
            it.acked -= steps * it.acked_each;
            let more = steps.saturating_mul(view.mss);
            self.losses.long = self.losses.long.saturating_add(more).min(super::super::MAX);
        }
        if self.round_start {
            self.raise_faster(view);
        }
    }

    /// RaiseInflightLongtermSlope.
    fn raise_faster(&mut self, view: View) {
        let it = &mut self.cycle;
        it.acked_each = (self.window >> it.raised).max(view.mss);
        it.raised = (it.raised + 1).min(30);
    }
}
