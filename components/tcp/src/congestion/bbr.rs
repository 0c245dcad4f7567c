//! BBR, version 3, after draft-ietf-ccwg-bbr: the window and the rate follow a model of the path,
//! the rate at which it delivers and its shortest round trip, instead of losses.
//!
//! Each acknowledgement updates the model, in [`Bbr::update`], in the draft's order; the names of
//! its functions and variables stand beside ours. What a loss does to the model is in
//! `bbr/losses.rs`, the cycle of probes for more bandwidth in `bbr/cycle.rs`, that for shorter
//! round trips in `bbr/round_trips.rs`.
//!
//! Deviations: what arrives within one sweep is one acknowledgement. A mark of congestion counts
//! as one lost segment, which the draft leaves open. A round without a reliable sample does not
//! count as one in which the rate did not grow.

mod cycle;
mod losses;
mod round_trips;

use super::delivery::{Delivery, Sample};
use super::pacer::quantum;
use losses::Undo;
use round_trips::RoundTrips;

/// What is being done: BBR.state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// The rate doubles each round trip, until the path delivers no faster.
    Startup,
    /// The queue that this has made is let run dry.
    Drain,
    /// ProbeBW: slower than the path, so that what is queued runs dry.
    Down,
    /// ProbeBW: as fast as the path.
    Cruise,
    /// ProbeBW: as much under way as there may be, for a round trip.
    Refill,
    /// ProbeBW: faster, to see whether there is more.
    Up,
    /// Little under way, to measure the round trip without a queue.
    ProbeRtt,
}

/// What a connection looks like when the model is asked.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Now, in microseconds modulo 2^32.
    pub now: u32,
    /// Bytes under way: C.inflight.
    pub in_flight: u32,
    /// Bytes of a full segment: C.SMSS.
    pub mss: u32,
    /// Whether the other side reports ranges: C.has_selective_acks.
    pub sacks: bool,
    /// Whether a loss is being repaired.
    pub recovering: bool,
}

/// The model of one connection's path. Bytes, microseconds, bytes in a second.
pub struct Bbr {
    /// What its rates come from.
    pub delivery: Delivery,
    state: State,
    /// C.cwnd.
    window: u32,
    /// C.pacing_rate.
    rate: u64,
    /// The window before a recovery or a probe made it smaller: BBR.prior_cwnd.
    prior_window: u32,
    /// C.InitialCwnd.
    initial: u32,
    /// Whether the window was used in full, in this round trip and in the last one.
    crowded: [bool; 2],
    /// BBR.round_count, and whether the last acknowledgement began a round: BBR.round_start.
    rounds: u32,
    round_start: bool,
    /// What had been delivered when the next round trip begins: BBR.next_round_delivered.
    next_round: u32,
    /// When [`State::Drain`] began: BBR.drain_start_round.
    drained_from: u32,
    /// The largest rates of this cycle and of the last one: BBR.max_bw_filter.
    rates: [u64; 2],
    /// What the model says for now: BBR.bw.
    bandwidth: u64,
    round_trips: RoundTrips,
    aggregation: Aggregation,
    full: FullPipe,
    losses: losses::Losses,
    cycle: cycle::Cycle,
    undo: Undo,
    /// A connection that was idle sends again: BBR.idle_restart.
    restarts: bool,
}

/// How much more is acknowledged at once than the rate explains: section 5.5.9.
struct Aggregation {
    /// BBR.extra_acked_interval_start.
    since: u32,
    /// BBR.extra_acked_delivered.
    delivered: u32,
    /// The most of these rounds and of those before: BBR.extra_acked_filter.
    most: [u32; 2],
    rounds: u8,
}

/// Whether the path delivers as fast as it can: section 5.3.1.2.
struct FullPipe {
    /// BBR.full_bw_reached: ever.
    reached: bool,
    /// BBR.full_bw_now: since it was last looked for.
    now: bool,
    /// BBR.full_bw.
    rate: u64,
    /// BBR.full_bw_count.
    rounds: u8,
}

/// No limit.
const NONE: u32 = u32::MAX;
/// Bytes in a second that leave in any case.
const LEAST_RATE: u64 = 1_000;
/// In hundredths: BBR.StartupPacingGain.
const STARTUP_GAIN: u64 = 277;
/// In hundredths: BBR.DefaultCwndGain.
const WINDOW_GAIN: u64 = 200;
/// BBR.MinPipeCwnd, in segments.
const LEAST_SEGMENTS: u32 = 4;
/// BBR.ExtraAckedFilterLen, as rounds of each of two halves.
const AGGREGATION_ROUNDS: u8 = 5;

impl Bbr {
    /// A connection that has just opened, with a window of `window` bytes and round trips of
    /// `smoothed` microseconds, 0 when none was measured. `seed` is for random waits: OnInit.
    pub fn new(window: u32, smoothed: u32, seed: u32, now: u32) -> Self {
        let round_trip = if smoothed == 0 { super::UNMEASURED } else { smoothed };
        Self {
            delivery: Delivery::new(now),
            state: State::Startup,
            window,
            rate: u64::from(window) * 10_000 * STARTUP_GAIN / u64::from(round_trip),
            prior_window: 0,
            initial: window,
            crowded: [false; 2],
            rounds: 0,
            round_start: false,
            next_round: 0,
            drained_from: 0,
            rates: [0; 2],
            bandwidth: 0,
            round_trips: RoundTrips::new(smoothed, now),
            aggregation: Aggregation { since: now, delivered: 0, most: [0; 2], rounds: 0 },
            full: FullPipe { reached: false, now: false, rate: 0, rounds: 0 },
            losses: losses::Losses::new(),
            cycle: cycle::Cycle::new(seed),
            undo: Undo::new(),
            restarts: false,
        }
    }

    /// How many bytes may be under way.
    pub fn window(&self) -> u32 {
        self.window
    }

    /// How many bytes leave in a second.
    pub fn rate(&self) -> u64 {
        self.rate
    }

    /// What is being done.
    #[cfg(test)]
    pub fn state(&self) -> State {
        self.state
    }

    /// The largest rate of late: BBR.max_bw.
    pub fn most(&self) -> u64 {
        self.rates[0].max(self.rates[1])
    }

    /// The window was what kept from sending more.
    pub fn crowd(&mut self) {
        self.crowded[0] = true;
    }

    /// Something is about to be sent: HandleRestartFromIdle.
    pub fn sends(&mut self, view: View) {
        if view.in_flight > 0 || !self.delivery.is_limited() {
            return;
        }
        self.restarts = true;
        self.aggregation.since = view.now;
        if self.is_cycling() {
            self.set_rate(100);
        } else if self.state == State::ProbeRtt {
            self.end_probe_rtt(view);
        }
    }

    /// Takes in what acknowledgements have told: UpdateOnACK.
    pub fn update(&mut self, view: View) {
        let Some(sample) = self.delivery.sample(self.round_trips.filter()) else { return };
        self.note_latest(&sample);
        self.note_rate(&sample);
        self.adapt_to_losses();
        self.note_aggregation(&sample, view);
        self.look_for_plateau(&sample);
        self.leave_startup(&sample, view);
        if self.state == State::Drain {
            let long = self.rounds.wrapping_sub(self.drained_from) > 3;
            if long || view.in_flight <= self.target(self.bandwidth, 100, view.mss) {
                self.start_down(view);
            }
        }
        self.advance_cycle(&sample, view);
        self.note_round_trip(&sample, view);
        self.probe_round_trip(&sample, view);
        self.advance_latest(&sample);
        self.bandwidth = self.most().min(self.losses.rate);
        self.set_rate(self.rate_gain());
        self.set_window(&sample, view);
    }

    /// UpdateRound, UpdateMaxBw.
    fn note_rate(&mut self, sample: &Sample) {
        self.round_start = sample.prior_delivered.wrapping_sub(self.next_round) as i32 >= 0;
        if self.round_start {
            self.start_round();
            self.rounds = self.rounds.wrapping_add(1);
            self.cycle.rounds = self.cycle.rounds.saturating_add(1);
            self.crowded = [false, self.crowded[0]];
        }
        if let Some(rate) = sample.rate.filter(|&rate| rate >= self.most() || !sample.limited) {
            self.rates[0] = self.rates[0].max(rate);
        }
    }

    /// StartRound.
    fn start_round(&mut self) {
        self.next_round = self.delivery.delivered();
    }

    /// UpdateACKAggregation.
    fn note_aggregation(&mut self, sample: &Sample, view: View) {
        let rounds = if self.full.reached { AGGREGATION_ROUNDS } else { 1 };
        let expected = in_time(self.bandwidth, view.now.wrapping_sub(self.aggregation.since));
        let it = &mut self.aggregation;
        if self.round_start {
            it.rounds += 1;
            if it.rounds >= rounds {
                it.rounds = 0;
                it.most = [0, it.most[0]];
            }
        }
        let mut expected = expected;
        if it.delivered <= expected {
            (it.delivered, it.since, expected) = (0, view.now, 0);
        }
        it.delivered = it.delivered.saturating_add(sample.acked);
        it.most[0] = it.most[0].max((it.delivered - expected).min(self.window));
    }

    /// CheckFullBWReached.
    fn look_for_plateau(&mut self, sample: &Sample) {
        let Some(rate) = sample.rate else { return };
        if self.full.now || !self.round_start || sample.limited {
            return;
        }
        if rate >= self.full.rate + self.full.rate / 4 {
            return self.reset_plateau(rate);
        }
        self.full.rounds += 1;
        self.full.now = self.full.rounds >= 3;
        self.full.reached |= self.full.now;
    }

    /// ResetFullBW, with a rate to begin from.
    fn reset_plateau(&mut self, rate: u64) {
        self.full = FullPipe { reached: self.full.reached, now: false, rate, rounds: 0 };
    }

    /// CheckStartupDone, EnterDrain.
    fn leave_startup(&mut self, sample: &Sample, view: View) {
        self.leave_startup_by_losses(sample, view);
        if self.state == State::Startup && self.full.reached {
            self.state = State::Drain;
            self.drained_from = self.rounds;
        }
    }

    /// In hundredths: BBR.pacing_gain, the table of section 5.6.1.
    fn rate_gain(&self) -> u64 {
        match self.state {
            State::Startup => STARTUP_GAIN,
            State::Drain => 50,
            State::Down => 90,
            State::Cruise | State::Refill | State::ProbeRtt => 100,
            State::Up => 125,
        }
    }

    /// SetPacingRateWithGain: a hundredth below, so that queues run dry.
    fn set_rate(&mut self, gain: u64) {
        // A model that has seen next to nothing must not keep the next segment for an hour.
        let rate = (self.bandwidth * gain / 100 * 99 / 100).max(LEAST_RATE);
        if self.full.reached || rate > self.rate {
            self.rate = rate;
        }
    }

    /// SetCwnd.
    fn set_window(&mut self, sample: &Sample, view: View) {
        let gain = if self.state == State::Up { 225 } else { WINDOW_GAIN };
        let extra = self.aggregation.most[0].max(self.aggregation.most[1]);
        let most = self.product(self.bandwidth, gain).saturating_add(extra);
        let most = self.quantized(most, view.mss);
        let more = self.window.saturating_add(sample.acked);
        if self.full.reached {
            self.window = more.min(most);
        } else if self.window < most || self.delivery.delivered() < self.initial {
            self.window = more;
        }
        let least = LEAST_SEGMENTS * view.mss;
        self.window = self.window.max(least);
        if self.state == State::ProbeRtt {
            self.window = self.window.min(self.probe_window(view.mss));
        }
        self.window = self.window.min(self.bound(view.mss)).min(super::MAX);
    }

    /// BoundCwndForModel.
    fn bound(&self, mss: u32) -> u32 {
        let long = match self.state {
            State::Startup | State::Drain => NONE,
            State::Cruise | State::ProbeRtt => self.with_headroom(mss),
            State::Down | State::Refill | State::Up => self.losses.long,
        };
        long.min(self.losses.short).max(LEAST_SEGMENTS * mss)
    }

    /// InflightWithHeadroom.
    fn with_headroom(&self, mss: u32) -> u32 {
        let long = self.losses.long;
        if long == NONE {
            return NONE;
        }
        let headroom = (u64::from(long) * 15 / 100) as u32;
        (long - headroom.max(mss).min(long)).max(LEAST_SEGMENTS * mss)
    }

    /// BDPMultiple, with a gain in hundredths.
    fn product(&self, rate: u64, gain: u64) -> u32 {
        match self.round_trips.shortest() {
            Some(shortest) => in_time(rate.saturating_mul(gain) / 100, shortest),
            None => self.initial,
        }
    }

    /// Inflight.
    fn target(&self, rate: u64, gain: u64, mss: u32) -> u32 {
        self.quantized(self.product(rate, gain), mss)
    }

    /// QuantizationBudget: enough for a quantum here, one on its way and one that waits to be
    /// acknowledged.
    fn quantized(&self, bytes: u32, mss: u32) -> u32 {
        let bytes = bytes.max(3 * quantum(self.rate, mss)).max(LEAST_SEGMENTS * mss);
        if self.state == State::Up { bytes.saturating_add(2 * mss) } else { bytes }
    }

    /// SaveCwnd.
    fn save_window(&mut self, recovering: bool) {
        let before =
            if recovering || self.state == State::ProbeRtt { self.prior_window } else { 0 };
        self.prior_window = self.window.max(before);
    }

    /// RestoreCwnd.
    fn restore_window(&mut self) {
        self.window = self.window.max(self.prior_window);
    }

    /// IsInAProbeBWState.
    fn is_cycling(&self) -> bool {
        matches!(self.state, State::Down | State::Cruise | State::Refill | State::Up)
    }
}

/// Bytes that pass at `rate` bytes in a second within `micros` microseconds.
fn in_time(rate: u64, micros: u32) -> u32 {
    let bytes = u128::from(rate) * u128::from(micros) / 1_000_000;
    bytes.min(u128::from(super::MAX)) as u32
}

#[cfg(test)]
mod tests;
