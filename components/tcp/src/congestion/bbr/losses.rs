//! What losses do to the model: section 5.5.10 of the draft. In the short term, to what is sent
//! until the next probe; in the long term, to what probes dare.

use super::super::delivery::{Sample, Sent};
use super::{Bbr, NONE, State, View};
use crate::seq::Seq;

/// What is known of losses.
pub struct Losses {
    /// Bytes in a second that are safe until the next probe: BBR.bw_shortterm.
    pub rate: u64,
    /// Bytes under way that are: BBR.inflight_shortterm.
    pub short: u32,
    /// Bytes under way that a probe has found safe: BBR.inflight_longterm.
    pub long: u32,
    /// The largest rate of this round trip: BBR.bw_latest.
    latest_rate: u64,
    /// The most that was delivered: BBR.inflight_latest.
    latest: u32,
    /// What had been delivered when the next round begins: BBR.loss_round_delivered.
    next_round: u32,
    /// Whether the last acknowledgement began one: BBR.loss_round_start.
    round_start: bool,
    /// Whether something was lost in this one: BBR.is_loss_in_round.
    in_round: bool,
    /// How many ranges were, and where the last one ended.
    ranges: u8,
    last: Seq,
}

/// What to go back to when losses turn out to be none.
pub struct Undo {
    /// What they ended: BBR.undo_state.
    pub state: Option<State>,
    rate: u64,
    short: u32,
    long: u32,
}

/// BBRStartupFullLossCnt.
const RANGES: u8 = 6;

impl Losses {
    pub fn new() -> Self {
        Self {
            rate: u64::MAX,
            short: NONE,
            long: NONE,
            latest_rate: 0,
            latest: 0,
            next_round: 0,
            round_start: false,
            in_round: false,
            ranges: 0,
            last: Seq(0),
        }
    }

    /// ResetShortTermModel.
    pub fn reset_short(&mut self) {
        (self.rate, self.short) = (u64::MAX, NONE);
    }

    /// ResetCongestionSignals.
    pub fn reset_signals(&mut self) {
        (self.in_round, self.latest_rate, self.latest) = (false, 0, 0);
    }
}

impl Undo {
    pub fn new() -> Self {
        Self { state: None, rate: 0, short: 0, long: 0 }
    }
}

/// IsInflightTooHigh: more than 2 % of what was under way.
pub fn is_too_much(lost: u32, in_flight: u32, sacks: bool) -> bool {
    u64::from(lost) * 100 > u64::from(in_flight) * 2 || (lost > 0 && !sacks)
}

impl Bbr {
    /// A packet is taken for lost: HandleLostPacket.
    pub fn lost(&mut self, sent: &Sent, view: View) {
        self.note_loss(view);
        if sent.end - sent.size != self.losses.last {
            self.losses.ranges = self.losses.ranges.saturating_add(1);
        }
        self.losses.last = sent.end;
        let lost = self.delivery.loses(sent);
        if !self.cycle.is_sampling || !is_too_much(lost, sent.stamp.in_flight, view.sacks) {
            return;
        }
        // InflightAtLoss: how much of what was under way fitted, up to the permitted share.
        let before = sent.stamp.in_flight.saturating_sub(sent.size);
        let permitted = u64::from(before) * 2 / 100;
        let fitted = permitted.saturating_sub(u64::from(lost.saturating_sub(sent.size))) * 100 / 98;
        self.probed_too_much(before.saturating_add(fitted as u32), sent.stamp.limited, view);
    }

    /// A mark of congestion: as for one lost segment.
    pub fn marked(&mut self, view: View) {
        self.note_loss(view);
    }

    /// NoteLoss.
    fn note_loss(&mut self, view: View) {
        if !self.losses.in_round {
            self.losses.next_round = self.delivery.delivered();
            self.save(view.recovering);
        }
        self.losses.in_round = true;
    }

    /// HandleInflightTooHigh.
    fn probed_too_much(&mut self, in_flight: u32, limited: bool, view: View) {
        self.cycle.too_much = true;
        self.cycle.is_sampling = false;
        if !limited {
            let least = u64::from(self.wanted()) * 7 / 10;
            self.losses.long = in_flight.max(least as u32);
        }
        if self.state == State::Up {
            self.undo.state = Some(State::Up);
            self.start_down(view);
        }
    }

    /// A recovery begins: OnEnterFastRecovery.
    pub fn begin_recovery(&mut self) {
        self.save(false);
    }

    /// The retransmission timer expired: OnEnterRTO.
    pub fn timed_out(&mut self, view: View) {
        self.save(view.recovering);
        self.window = view.in_flight.saturating_add(view.mss);
    }

    /// A recovery is over.
    pub fn end_recovery(&mut self) {
        self.restore_window();
    }

    /// SaveStateUponLoss.
    fn save(&mut self, recovering: bool) {
        self.save_window(recovering);
        let Losses { rate, short, long, .. } = self.losses;
        self.undo = Undo { state: None, rate, short, long };
    }

    /// What was taken for a loss was none: HandleSpuriousLossDetection.
    pub fn undo(&mut self) {
        self.restore_window();
        self.losses.in_round = false;
        self.reset_plateau(0);
        self.losses.rate = self.losses.rate.max(self.undo.rate);
        self.losses.short = self.losses.short.max(self.undo.short);
        self.losses.long = self.losses.long.max(self.undo.long);
        let probing = self.state == State::ProbeRtt;
        match self.undo.state.take() {
            Some(State::Startup) if self.state != State::Startup => {
                self.full.reached = false;
                if !probing {
                    self.state = State::Startup;
                }
            }
            Some(State::Up) if self.state != State::Up && !probing => self.start_refill(),
            _ => {}
        }
    }

    /// UpdateLatestDeliverySignals.
    pub(super) fn note_latest(&mut self, sample: &Sample) {
        let it = &mut self.losses;
        it.latest_rate = it.latest_rate.max(sample.rate.unwrap_or(0));
        it.latest = it.latest.max(sample.delivered);
        it.round_start = sample.prior_delivered.wrapping_sub(it.next_round) as i32 >= 0;
        if it.round_start {
            it.next_round = self.delivery.delivered();
        }
    }

    /// AdvanceLatestDeliverySignals.
    pub(super) fn advance_latest(&mut self, sample: &Sample) {
        if self.losses.round_start {
            self.losses.latest_rate = sample.rate.unwrap_or(0);
            self.losses.latest = sample.delivered;
            self.losses.ranges = 0;
        }
    }

    /// AdaptLowerBoundsFromCongestion: once in a round with losses, unless probing.
    pub(super) fn adapt_to_losses(&mut self) {
        if !self.losses.round_start {
            return;
        }
        let probing = matches!(self.state, State::Startup | State::Refill | State::Up);
        if core::mem::take(&mut self.losses.in_round) && !probing {
            let most = self.most();
            let it = &mut self.losses;
            let rate = if it.rate == u64::MAX { most } else { it.rate };
            let short = if it.short == NONE { self.window } else { it.short };
            it.rate = it.latest_rate.max(rate * 7 / 10);
            it.short = it.latest.max((u64::from(short) * 7 / 10) as u32);
        }
    }

    /// CheckStartupHighLoss: a whole round of a recovery with many losses ends startup.
    pub(super) fn leave_startup_by_losses(&mut self, sample: &Sample, view: View) {
        if self.state != State::Startup || self.full.reached || !view.recovering {
            return;
        }
        let many = self.losses.round_start && self.losses.ranges >= RANGES;
        let many = many && is_too_much(sample.lost, sample.in_flight, view.sacks);
        if many || (!view.sacks && sample.newly_lost > 0) {
            self.undo.state = Some(State::Startup);
            self.full.reached = true;
            let fitting = self.product(self.bandwidth, 100);
            self.losses.long = fitting.max(self.losses.latest);
        }
    }
}
