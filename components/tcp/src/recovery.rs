//! Loss recovery: what is taken for lost, when, and what follows from it. RACK-TLP (RFC 8985)
//! where the other side reports what it got, otherwise NewReno's rules (RFC 6582); the
//! retransmission timer (RFC 6298) for what neither finds out.
//!
//! Acknowledgements only note what they say, in `input.rs` and `scoreboard.rs`. What follows is
//! decided once a sweep, by [`Conn::recover`] right before something is sent, so that a batch of
//! acknowledgements costs one look at the queue.

use crate::congestion::{Acked, Prr};
use crate::paced::Told;
use crate::queue::{NIL, mark};
use crate::rack::{Rack, Sent, Verdict};
use crate::seq::Seq;
use crate::state::{Conn, Env, effect, flag};
use crate::wire::{RANGES_MAX, Range, Segment};
use waitless::{Duration, Instant};

/// What a connection knows of losses.
#[derive(Clone, Copy, Debug)]
pub struct Recovery {
    /// What is being repaired.
    pub stage: Stage,
    /// What became of the last tail loss probe.
    pub probe: Probe,
    /// What the retransmission timer is set for.
    pub timer: Timer,
    /// Whether what was taken for a loss may still turn out to be none.
    pub undoable: bool,
    /// Whether the window was reduced for it, and not before for a mark.
    pub reduced: bool,
    /// Whether no round trip was measured since the last tail loss probe.
    pub unmeasured: bool,
    /// Duplicate acknowledgements in a row, from who reports no ranges.
    pub duplicates: u8,
    /// What had been sent when the loss was noticed: RecoveryPoint.
    pub point: Seq,
    /// The number behind the probe.
    pub probe_end: Seq,
    /// Bytes that have arrived, but not all that is before them.
    pub sacked: u32,
    /// Segments of these.
    pub segments: u32,
    /// Bytes taken for lost and not sent again since.
    pub lost: u32,
    /// Bytes delivered since recovery was last thought about.
    pub delivered: u32,
    /// No node before this one is lost.
    pub first_lost: u32,
    /// The last node that was reported.
    pub last: u32,
    /// The ranges that were reported last.
    pub known: [Range; RANGES_MAX],
    /// This side's clock, as in timestamps, when a segment was first sent again.
    pub stamp: u32,
    /// The same when one was last sent again.
    pub resent: u32,
    /// Whether the acknowledgement that is being handled is of one of them.
    pub resent_acked: bool,
    /// The order in which segments arrive.
    pub rack: Rack,
    /// How much may be sent in fast recovery.
    pub prr: Prr,
}

/// What is being repaired.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// Nothing.
    Open,
    /// A loss that acknowledgements told of.
    Fast,
    /// A loss that only the timer told of.
    Timeout,
}

/// A tail loss probe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Probe {
    /// None is under way.
    None,
    /// One with new data.
    Fresh,
    /// One that was the last segment again.
    Again,
}

/// What the retransmission timer is set for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Timer {
    /// A retransmission, or the persist timer.
    Resend,
    /// A tail loss probe.
    Probe,
    /// A segment that may have been overtaken.
    Reorder,
}

/// Duplicate acknowledgements that are taken for a loss.
//= RFC 5681 3.2, RFC 6675 2: DupThresh is three
const DUPLICATES: u8 = 3;
//= RFC 8985 7.2: the longest that the other side may delay an acknowledgement
const ACK_DELAY_MAX: u32 = 200_000;

impl Recovery {
    /// Nothing was sent before `start`.
    pub fn new(start: Seq) -> Self {
        Self {
            stage: Stage::Open,
            probe: Probe::None,
            timer: Timer::Resend,
            undoable: false,
            reduced: false,
            unmeasured: false,
            duplicates: 0,
            point: start,
            probe_end: start,
            sacked: 0,
            segments: 0,
            lost: 0,
            delivered: 0,
            first_lost: NIL,
            last: NIL,
            known: [Range { from: Seq(0), to: Seq(0) }; RANGES_MAX],
            stamp: 0,
            resent: 0,
            resent_acked: false,
            rack: Rack::new(start),
            prr: Prr::new(0),
        }
    }

    /// Whether acknowledgements may take the short way again.
    fn is_quiet(&self) -> bool {
        self.stage == Stage::Open
            && self.probe == Probe::None
            && !self.undoable
            && !self.unmeasured
            && self.duplicates == 0
            && self.sacked == 0
            && self.lost == 0
    }
}

impl Conn {
    /// Something new was acknowledged while not everything is as it should be. `count` bytes
    /// more are acknowledged than before; `measured` when that has measured a round trip.
    #[cold]
    pub fn advance_in_trouble(
        &mut self,
        env: &mut Env,
        segment: &Segment,
        count: u32,
        measured: bool,
    ) {
        if self.flags.has(flag::PERSIST) {
            self.flags.clear(flag::PERSIST);
            self.lose_what_is_late(env);
        }
        self.flags.set(flag::DETECT | flag::ADVANCED);
        env.effects |= effect::OUTPUT;
        if !self.flags.has(flag::SACK) {
            self.advance_without_ranges(count);
        }
        self.recovery.duplicates = 0;
        if self.recovery.undoable {
            self.check_undo(env, segment);
        }
        self.end_probe(env, segment.ack);
        //= RFC 6298 5: the back-off is kept until a round trip was measured
        if measured {
            self.recovery.unmeasured = false;
            self.rtt.relax();
        }
        if self.recovery.stage != Stage::Fast && !self.flags.has(flag::MODELLED) {
            let count = core::mem::take(&mut self.recovery.delivered);
            self.recovery.prr.knows(0);
            //= RFC 3465 2.3: after a timeout, at most a segment for each acknowledgement
            let most = if self.recovery.stage == Stage::Timeout { self.mss } else { u16::MAX };
            self.grow_window(env, count.min(u32::from(most)), 0);
        }
        //= RFC 6675 5: recovery ends when everything that had been sent is acknowledged
        //= RFC 6582 3.2: step 3, a full acknowledgement
        if self.recovery.stage != Stage::Open && !self.unacked.before(self.recovery.point) {
            self.end_recovery(env);
        }
        self.restart_timer(env);
    }

    /// Acknowledgements without ranges say of each segment once that it left the network. Now
    /// these are acknowledged in full, and what is first is missing.
    //= RFC 6582 3.2: step 3, a partial acknowledgement: deflate by what was acknowledged
    fn advance_without_ranges(&mut self, count: u32) {
        self.recovery.delivered = self.recovery.delivered.max(count.min(u32::from(self.mss)));
        let behind = count.saturating_sub(u32::from(self.mss));
        self.recovery.sacked = self.recovery.sacked.saturating_sub(behind);
        if self.unacked == self.next || !self.unacked.before(self.recovery.point) {
            self.recovery.sacked = 0;
        }
    }

    /// The same was acknowledged again, by somebody who does not report ranges.
    //= RFC 5681 2: what counts as a duplicate acknowledgement was checked by the caller
    #[cold]
    pub fn duplicate(&mut self, env: &mut Env) {
        if self.recovery.stage == Stage::Timeout {
            return;
        }
        self.recovery.duplicates = self.recovery.duplicates.saturating_add(1);
        //= RFC 5681 3.2, RFC 3042 2: each says that a segment has left the network
        let segment = u32::from(self.mss).min(self.pipe());
        self.recovery.sacked += segment;
        self.recovery.delivered += segment;
        self.flags.set(flag::TROUBLE | flag::DETECT);
        env.effects |= effect::OUTPUT;
    }

    //= RFC 5681 4.3: with what is reported selectively where there is that
    /// Takes in what acknowledgements have told since the last time, right before something is
    /// sent.
    #[cold]
    pub fn recover(&mut self, env: &mut Env) {
        let advanced = self.flags.has(flag::ADVANCED);
        self.flags.clear(flag::DETECT | flag::ADVANCED);
        let lost = match self.flags.has(flag::SACK) {
            true => self.detect(env),
            false => self.detect_by_duplicates(env, advanced),
        };
        if lost && self.recovery.stage == Stage::Open {
            self.enter_recovery(env);
        } else if self.recovery.stage == Stage::Open {
            self.recovery.prr.knows(self.recovery.delivered);
        }
        if self.flags.has(flag::MODELLED) {
            self.update_model(env);
        } else if self.recovery.stage == Stage::Fast {
            self.reduce_rate(advanced && !lost);
        }
        if self.flags.has(flag::TROUBLE) && self.recovery.is_quiet() && !self.has_resent(env) {
            self.flags.clear(flag::TROUBLE);
            // From now on nobody keeps these up to date.
            (self.recovery.first_lost, self.recovery.last) = (NIL, NIL);
        }
    }

    /// Lets the window follow what is under way, down to the threshold.
    fn reduce_rate(&mut self, safe: bool) {
        let delivered = core::mem::take(&mut self.recovery.delivered);
        let (threshold, mss) = (self.congestion.threshold(), u32::from(self.mss));
        let pipe = self.pipe();
        let more = self.recovery.prr.allowed(delivered, pipe, threshold, mss, safe);
        // With nothing under way nothing would ever be delivered.
        let more = if pipe == 0 { more.max(mss) } else { more };
        self.congestion.set_window(pipe.saturating_add(more));
    }

    /// Looks for what is lost. Whether there is a sign of congestion in that.
    //= RFC 8985 6.2: RACK_detect_loss_and_arm_timer
    fn detect(&mut self, env: &mut Env) -> bool {
        if self.recovery.sacked == 0 && self.recovery.stage == Stage::Open {
            return false;
        }
        let mut congested = false;
        let recovering = self.recovery.stage != Stage::Open;
        let smoothed = self.rtt.smoothed_micros();
        let window = self.recovery.rack.window(smoothed, self.recovery.segments, recovering);
        let mut wait = 0;
        let mut id = self.send.head;
        // Ends: the queue's length is limited.
        while id != NIL && id != self.cursor {
            let node = env.nodes.get(id);
            if !node.has(mark::SACKED | mark::LOST) {
                let sent = Sent { at: node.sent_at, end: node.end(), again: false };
                match self.recovery.rack.judge(sent, env.micros, window) {
                    Verdict::Unknown => {}
                    Verdict::Late(micros) => wait = wait.max(micros),
                    Verdict::Lost => congested |= self.lose(env, id),
                }
            }
            id = env.nodes.next(id);
        }
        if wait > 0 {
            let at = env.now + Duration::from_micros(u64::from(wait));
            if at < self.resend_at {
                self.resend_at = at;
                self.recovery.timer = Timer::Reorder;
            }
        }
        congested
    }

    /// The same by duplicate acknowledgements.
    fn detect_by_duplicates(&mut self, env: &mut Env, advanced: bool) -> bool {
        let head = self.send.head;
        if head == NIL || head == self.cursor {
            return false;
        }
        let again = match self.recovery.stage {
            //= RFC 6582 3.2: step 2, no second recovery for losses of the same window
            // Counted from what was sent last, as the point may be far behind.
            Stage::Open => {
                let since = self.next.since(self.recovery.point);
                self.recovery.duplicates >= DUPLICATES && since > self.flight()
            }
            //= RFC 6582 3.2: step 3, a partial acknowledgement: the next segment is lost too
            Stage::Fast => advanced,
            Stage::Timeout => false,
        };
        again && self.lose(env, head)
    }

    //= RFC 5681 3.2, RFC 6675 5, RFC 6582 3.2: fast retransmit and fast recovery
    fn enter_recovery(&mut self, env: &mut Env) {
        env.counters.fast_retransmits.add(1);
        let reduced = self.has_reduced();
        self.recovery.reduced = !reduced;
        if !reduced {
            self.congestion.lost(self.next.since(self.unacked), u32::from(self.mss));
            self.note_reduced();
        }
        self.tell_model(env, Told::RecoveryBegins);
        self.recovery.stage = Stage::Fast;
        self.recovery.point = self.next;
        //= RFC 9937 6: what earlier acknowledgements told of is not delivered in recovery
        let news = self.recovery.delivered.saturating_sub(self.recovery.prr.known());
        let flight = self.next.since(self.unacked).saturating_sub(self.recovery.sacked);
        self.recovery.delivered = news;
        self.recovery.prr = Prr::new(flight.saturating_add(news));
        self.recovery.probe = Probe::None;
        // What a mark took is not given back.
        self.recovery.undoable = self.flags.has(flag::STAMPS) && !reduced;
        self.recovery.stamp = self.stamp(env);
    }

    fn end_recovery(&mut self, env: &mut Env) {
        if self.recovery.stage == Stage::Fast {
            //= RFC 9937 6: at the end of recovery cwnd is ssthresh
            self.congestion.settle(u32::from(self.mss));
            self.recovery.rack.recovered();
            self.recovery.prr = Prr::new(0);
        }
        self.tell_model(env, Told::RecoveryEnds);
        self.recovery.stage = Stage::Open;
        self.recovery.undoable = false;
    }

    /// Whether what was sent again had only been late: the acknowledgement is for the first
    /// transmission.
    //= RFC 3522 3.2: the Eifel algorithm, by timestamps
    //= RFC 4015 3.2: the response
    fn check_undo(&mut self, env: &mut Env, segment: &Segment) {
        self.recovery.undoable = false;
        if !self.echoes_the_first(segment) {
            return;
        }
        env.counters.spurious.add(1);
        self.clear_marks(env, mark::LOST);
        if !self.flags.has(flag::SACK) {
            self.recovery.sacked = 0;
        }
        self.congestion.undo();
        // What a mark took before is told as it was.
        if self.recovery.reduced {
            self.note_restored();
        }
        self.tell_model(env, Told::NothingWasLost);
        self.recovery.stage = Stage::Open;
        self.recovery.point = self.unacked;
        self.flags.clear(flag::CROWDED);
    }

    /// Whether something is under way that was sent again.
    fn has_resent(&self, env: &Env) -> bool {
        let mut id = self.send.head;
        // Ends: the queue's length is limited.
        while id != NIL && id != self.cursor {
            if env.nodes.get(id).has(mark::AGAIN) {
                return true;
            }
            id = env.nodes.next(id);
        }
        false
    }

    /// Something is sent again.
    pub fn note_resent(&mut self, env: &Env) {
        self.recovery.resent = self.stamp(env);
    }

    /// Judges the last tail loss probe by what is acknowledged.
    //= RFC 8985 7.4.2: TLP_process_ack
    fn end_probe(&mut self, env: &mut Env, ack: Seq) {
        if self.recovery.probe == Probe::None || ack.before(self.recovery.probe_end) {
            return;
        }
        if self.recovery.probe == Probe::Again {
            if ack == self.recovery.probe_end {
                // Perhaps the other side tells yet that it got something twice.
                return;
            }
            //= RFC 8985 7.4.2: the probe repaired a loss: the window is reduced as for one
            env.counters.fast_retransmits.add(1);
            if !self.has_reduced_since(self.recovery.probe_end) {
                self.congestion.lost(self.congestion.window(), u32::from(self.mss));
                self.congestion.settle(u32::from(self.mss));
                self.note_reduced();
            }
        }
        self.recovery.probe = Probe::None;
    }

    /// The probe was acknowledged, and then it was acknowledged again without a range.
    //= RFC 8985 7.4.2: then the other side had everything before
    pub fn probe_was_needless(&mut self, ack: Seq) {
        if self.recovery.probe == Probe::Again && ack == self.recovery.probe_end {
            self.recovery.probe = Probe::None;
        }
    }

    /// Tells congestion control of `count` bytes that were delivered, and of a round trip of
    /// `sample` microseconds; 0 when none was measured.
    #[inline]
    pub fn grow_window(&mut self, env: &Env, count: u32, sample: u32) {
        let starting = self.congestion.is_starting();
        // In slow start it is enough to use half of the window.
        let used = starting && 2 * (count + self.flight()) >= self.congestion.window();
        if used || self.flags.has(flag::CROWDED) {
            self.grow_window_now(env, count, sample);
        } else if !starting {
            self.congestion.pause();
        }
    }

    #[cold]
    fn grow_window_now(&mut self, env: &Env, count: u32, sample: u32) {
        self.congestion.acknowledged(Acked {
            count,
            mss: u32::from(self.mss),
            millis: env.millis,
            rtt: self.rtt.smoothed_micros(),
        });
        if sample == 0 || !self.congestion.is_starting() {
            return;
        }
        if self.congestion.hystart.acknowledged(self.unacked, self.next, sample) {
            self.congestion.end_slow_start();
        }
    }

    /// Sets the timer anew after something was acknowledged.
    //= RFC 6298 5.2, 5.3: stop the timer when all is acknowledged, otherwise restart it
    #[inline]
    pub fn restart_timer(&mut self, env: &Env) {
        match self.unacked == self.next {
            true => self.resend_at = Instant::NEVER,
            false => self.set_timer(env),
        }
    }

    /// Sets the timer for what is under way.
    #[inline]
    pub fn set_timer(&mut self, env: &Env) {
        self.recovery.timer = Timer::Resend;
        self.resend_at = env.now + self.rtt.timeout();
        if self.rtt.backoff() > 0 {
            self.bound_timer(env);
        }
        if self.flags.has(flag::SACK) && !self.flags.has(flag::TROUBLE) && self.is_synchronized() {
            self.set_probe_timer(env);
        }
    }

    /// A tail loss probe comes before the timeout, if it comes at all.
    //= RFC 8985 7.2: TLP_calc_PTO
    pub fn set_probe_timer(&mut self, env: &Env) {
        let smoothed = self.rtt.smoothed_micros();
        let mut micros = match smoothed {
            0 => 1_000_000,
            smoothed => 2 * smoothed,
        };
        if self.next.since(self.unacked) <= u32::from(self.mss) {
            micros += ACK_DELAY_MAX;
        }
        // Timers are no finer than this, and an answer may take its time.
        let at = env.now + Duration::from_micros(u64::from(micros) + 2_000);
        if at < self.resend_at {
            self.recovery.timer = Timer::Probe;
            self.resend_at = at;
        }
    }

    /// The timer has expired without anything acknowledged.
    //= RFC 6298 5.4, 5.5, 5.6: send the earliest again, back off, restart the timer
    pub fn time_out(&mut self, env: &mut Env) {
        let again = self.rtt.backoff() > 0 && self.recovery.stage == Stage::Timeout;
        let first = env.nodes.first(&self.send);
        //= RFC 2018 8: who reported what is first and does not acknowledge it, threw it away
        if first.is_some_and(|node| node.has(mark::SACKED)) {
            env.counters.reneged.add(1);
            self.clear_marks(env, mark::SACKED);
        }
        let flight = self.next.since(self.unacked);
        self.lose_what_is_late(env);
        if !self.flags.has(flag::SACK) {
            self.recovery.sacked = 0;
        }
        let mss = u32::from(self.mss);
        self.congestion.timed_out(flight, self.pipe(), mss, again);
        self.tell_model(env, Told::TimedOut);
        self.rtt.back_off();
        if !again {
            self.recovery.reduced = !self.has_reduced();
            if self.recovery.reduced {
                self.note_reduced();
            }
            self.recovery.undoable = self.flags.has(flag::STAMPS);
            self.recovery.stamp = self.stamp(env);
        }
        self.suspect_black_hole(env);
        //= RFC 6582 3.2: step 4, a timeout ends recovery and remembers what was sent
        self.recovery.stage = Stage::Timeout;
        self.recovery.point = self.next;
        self.recovery.probe = Probe::None;
        self.recovery.duplicates = 0;
        self.flags.set(flag::TROUBLE);
        self.recovery.timer = Timer::Resend;
        self.resend_at = env.now + self.rtt.timeout();
        self.bound_timer(env);
        if self.send.head == NIL || self.send.head == self.cursor {
            // Only the FIN is left.
            self.flags.set(flag::RESEND_FIN);
        }
    }

    /// What is longer than a segment may be now is to be sent again, shorter. That says nothing
    /// of congestion.
    //= RFC 1191 6.5: what was dropped for its length is sent again without slowing down
    pub fn lose_what_is_long(&mut self, env: &mut Env) {
        let mut id = self.send.head;
        // Ends: the queue's length is limited.
        while id != NIL && id != self.cursor {
            if env.nodes.get(id).len > self.mss {
                self.mark_lost(env, id);
            }
            id = env.nodes.next(id);
        }
        self.recovery.stamp = self.stamp(env);
        env.effects |= effect::OUTPUT;
    }

    /// The window opens again: what did not fit it was thrown away.
    pub fn leave_persist(&mut self, env: &mut Env) {
        self.flags.clear(flag::PERSIST | flag::PROBED);
        self.lose_what_is_late(env);
        if self.unacked == self.queued {
            // Only the FIN is left, if it was sent.
            self.flags.set(flag::RESEND_FIN);
        }
        self.restart_timer(env);
        env.effects |= effect::OUTPUT;
    }

    //= RFC 8985 6.3: the first segment is lost, and all that were sent long enough ago
    fn lose_what_is_late(&mut self, env: &mut Env) {
        let mut id = self.send.head;
        let smoothed = self.rtt.smoothed_micros();
        // Ends: the queue's length is limited.
        while id != NIL && id != self.cursor {
            let node = env.nodes.get(id);
            let age = env.micros.wrapping_sub(node.sent_at);
            let late = age >= smoothed + smoothed / 4 || !self.flags.has(flag::SACK);
            if late || id == self.send.head {
                self.lose(env, id);
            }
            id = env.nodes.next(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_kept_small() {
        assert!(size_of::<Recovery>() <= 152, "{}", size_of::<Recovery>());
    }
}
