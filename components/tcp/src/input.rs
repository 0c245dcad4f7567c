//! A segment arrives for a connection (RFC 9293 section 3.10.7), in that section's order.

use crate::queue::NIL;
use crate::seq::Seq;
use crate::state::{CHALLENGE_INTERVAL, Conn, Env, State, effect, flag};
use crate::wire::{Flags, Segment};
use waitless::{Packet, Phase};

/// After so many seconds without a segment, TS.Recent is not believed any more: 24 days.
const STAMP_LIFE: u32 = 24 * 24 * 3600;

impl Conn {
    /// Handles a segment. What comes back is to be answered with a RST.
    #[inline(always)]
    pub fn arrive(&mut self, env: &mut Env, segment: &Segment, packet: Packet) -> Option<Packet> {
        self.heard_at = env.millis;
        self.probes = 0;
        if self.state == State::SynSent {
            return self.arrive_in_syn_sent(env, segment, packet);
        }
        //= RFC 9293 3.10.7.4: first, check the sequence number
        if !self.is_acceptable(env, segment) {
            return None;
        }
        if segment.flags.any(Flags::RST) {
            self.arrive_reset(env, segment);
            return None;
        }
        //= RFC 9293 3.10.7.4: fourth, check the SYN bit
        //= RFC 5961 4.2: a SYN in a synchronized state is answered with a challenge
        if segment.flags.any(Flags::SYN) {
            if self.state == State::SynReceived && self.flags.has(flag::PASSIVE) {
                self.end(env, Phase::Reset);
            } else {
                self.challenge(env);
            }
            return None;
        }
        //= RFC 9293 3.10.7.4: fifth, if the ACK bit is off, drop the segment
        if !segment.flags.any(Flags::ACK) {
            env.counters.dropped_no_ack.add(1);
            return None;
        }
        if self.state == State::SynReceived {
            //= RFC 9293 3.10.7.4: SYN-RECEIVED: an unacceptable ACK is answered with a RST
            if !segment.ack.after(self.unacked) || segment.ack.after(self.sent) {
                env.counters.dropped_ack.add(1);
                return Some(packet);
            }
            self.take_window(segment);
            self.establish(env);
        }
        if !self.acknowledge(env, segment) || self.fin_acknowledged(env) {
            return None;
        }
        //= RFC 9293 3.8.5 MUST-30: urgent data is delivered in line; the pointer is ignored
        if segment.payload != 0 || segment.flags.any(Flags::FIN) {
            self.text(env, segment, packet);
        }
        None
    }

    //= RFC 9293 3.10.7.3: SYN-SENT
    #[cold]
    fn arrive_in_syn_sent(
        &mut self,
        env: &mut Env,
        segment: &Segment,
        packet: Packet,
    ) -> Option<Packet> {
        let acked = segment.flags.any(Flags::ACK);
        let reset = segment.flags.any(Flags::RST);
        if acked && (!segment.ack.after(self.unacked) || segment.ack.after(self.sent)) {
            env.counters.dropped_ack.add(1);
            return (!reset).then_some(packet);
        }
        if reset {
            if acked {
                env.counters.resets_received.add(1);
                self.end(env, Phase::Reset);
            }
            return None;
        }
        if !segment.flags.any(Flags::SYN) {
            return None;
        }
        self.agree(segment, env);
        if !acked {
            //= RFC 9293 3.5 MUST-10: simultaneous open
            self.state = State::SynReceived;
            self.next = self.unacked;
            self.flags.set(flag::SYN_DUE);
            env.effects |= effect::OUTPUT;
            return None;
        }
        self.unacked = segment.ack;
        self.measure(env, segment);
        self.establish(env);
        self.flags.set(flag::ACK_NOW);
        None
    }

    /// Whether the segment belongs into the window. Answers it when it does not.
    #[inline]
    fn is_acceptable(&mut self, env: &mut Env, segment: &Segment) -> bool {
        let reset = segment.flags.any(Flags::RST);
        if self.flags.has(flag::STAMPS) && !reset {
            let Some(stamps) = segment.options.stamps else {
                //= RFC 7323 3.2: a segment that lacks the option is dropped silently
                env.counters.dropped_stamps.add(1);
                return false;
            };
            let age = stamps.value.wrapping_sub(self.stamp_recent) as i32;
            //= RFC 7323 5.3 R1: PAWS; 5.5: unless TS.Recent is older than 24 days
            if age < 0 && env.seconds().wrapping_sub(self.stamp_recent_at) < STAMP_LIFE {
                env.counters.dropped_stamps.add(1);
                self.answer_unacceptable(env, segment);
                return false;
            }
        }
        let window = self.receive_window();
        let first = segment.seq.since(self.expected);
        let length = segment.len();
        //= RFC 9293 3.10.7.4: deviation: a segment without text exactly behind the window
        // passes, because its acknowledgement counts when segments before it are missing.
        // Text at the left edge of a closed window passes too, to be thrown away later:
        //= RFC 9293 3.10.7.4 MUST-66: ACK, RST and URG count even then
        let fits = first == 0
            || first < window
            || (length == 0 && first == window)
            || (length > 0 && window > 0 && first.wrapping_add(length).wrapping_sub(1) < window);
        if !fits {
            env.counters.dropped_window.add(1);
            if !reset {
                self.answer_unacceptable(env, segment);
            }
            return false;
        }
        if let (false, Some(stamps)) = (reset, segment.options.stamps) {
            //= RFC 7323 5.3 R3: TS.Recent follows segments that begin at or before Last.ACK.sent
            if !segment.seq.after(self.last_ack) {
                self.stamp_recent = stamps.value;
                self.stamp_recent_at = env.seconds();
            }
        }
        true
    }

    //= RFC 9293 3.10.7.4: an unacceptable segment is answered with an ACK
    #[cold]
    fn answer_unacceptable(&mut self, env: &mut Env, segment: &Segment) {
        let syn = segment.flags.any(Flags::SYN) && !segment.flags.any(Flags::ACK);
        if self.state == State::SynReceived && syn && segment.seq + 1 == self.expected {
            // The SYN again: the SYN-ACK was lost.
            self.flags.set(flag::SYN_DUE);
            env.effects |= effect::OUTPUT;
        } else if segment.len() > 0 {
            self.acknowledge_now(env);
        } else {
            // Without text, two confused ends would answer each other for ever.
            self.challenge(env);
        }
    }

    //= RFC 9293 3.10.7.4: second, check the RST bit
    //= RFC 5961 3.2: only an exact sequence number resets; in the window it is challenged
    #[cold]
    fn arrive_reset(&mut self, env: &mut Env, segment: &Segment) {
        if segment.seq != self.expected {
            return self.challenge(env);
        }
        env.counters.resets_received.add(1);
        let phase = match self.state {
            //= RFC 9293 3.10.7.4: in CLOSING and LAST-ACK the connection just ends
            State::Closing | State::LastAck => Phase::Closed,
            _ => Phase::Reset,
        };
        self.end(env, phase);
    }

    /// Asks the other side whether it meant that.
    //= RFC 5961 7: challenge ACKs are throttled, per connection so that nothing is told
    #[cold]
    fn challenge(&mut self, env: &mut Env) {
        if env.millis.wrapping_sub(self.challenged_at) < CHALLENGE_INTERVAL {
            env.counters.challenges_throttled.add(1);
            return;
        }
        self.challenged_at = env.millis;
        env.counters.challenges.add(1);
        self.acknowledge_now(env);
    }

    /// Has an acknowledgement sent in this sweep.
    #[inline]
    pub fn acknowledge_now(&mut self, env: &mut Env) {
        self.flags.set(flag::ACK_NOW);
        env.effects |= effect::OUTPUT;
    }

    /// Handles the acknowledgement and the window. Whether the segment is to be looked at on.
    #[inline]
    fn acknowledge(&mut self, env: &mut Env, segment: &Segment) -> bool {
        let ack = segment.ack;
        //= RFC 9293 3.10.7.4: an ACK of something not yet sent is answered and dropped
        //= RFC 5961 5.2: so is one older than the largest window ever seen
        if ack.after(self.sent) || ack.before(self.unacked - self.window_max) {
            env.counters.dropped_ack.add(1);
            self.challenge(env);
            return false;
        }
        if ack.after(self.unacked) {
            self.take_window(segment);
            self.advance(env, segment);
        } else if ack == self.unacked {
            let before = self.window;
            self.take_window(segment);
            if self.window != before || self.flags.has(flag::PERSIST) {
                self.window_moved(env, before);
            } else if self.flight() > 0 && segment.payload == 0 && !segment.flags.any(Flags::FIN) {
                self.duplicate(env);
            }
        }
        true
    }

    //= RFC 9293 3.10.7.4: SND.WL1 < SEG.SEQ, or equal and SND.WL2 <= SEG.ACK
    #[inline]
    fn take_window(&mut self, segment: &Segment) {
        let newer = self.window_seq.before(segment.seq)
            || (self.window_seq == segment.seq && !self.window_ack.after(segment.ack));
        if newer {
            self.window = u32::from(segment.window) << self.send_scale;
            self.window_max = self.window_max.max(self.window);
            self.window_seq = segment.seq;
            self.window_ack = segment.ack;
        }
    }

    /// The window changed and nothing was acknowledged.
    fn window_moved(&mut self, env: &mut Env, before: u32) {
        if self.window > before {
            env.effects |= effect::OUTPUT;
        }
        if self.flags.has(flag::PERSIST) {
            //= RFC 9293 3.8.6.1 MUST-37: while probes are answered, the connection stays open,
            // as long as it has a service
            if !self.flags.has(flag::ORPHAN) {
                self.progress_at = env.millis;
            }
            if self.window > 0 {
                self.rtt.relax();
            }
        }
    }

    /// Something new was acknowledged.
    #[inline]
    fn advance(&mut self, env: &mut Env, segment: &Segment) {
        let (ack, flight) = (segment.ack, self.flight());
        let count = ack.since(self.unacked);
        self.unacked = ack;
        self.next = self.next.max(ack);
        self.measure(env, segment);
        self.progress_at = env.millis;
        let old = flag::RECOVERY | flag::TIMED_OUT | flag::PERSIST;
        if self.flags.has(old) || self.duplicates > 0 {
            self.advance_after_loss(env, count, flight);
        } else {
            self.rtt.relax();
            self.congestion.acknowledged(count, flight, u32::from(self.mss), false);
            //= RFC 6298 5.2, 5.3: stop the timer when all is acknowledged, otherwise restart it
            self.restart_timer(env);
        }
        self.release_acknowledged(env);
        if self.cursor != NIL || self.flags.has(flag::FIN_QUEUED) {
            env.effects |= effect::OUTPUT;
        }
    }

    #[inline]
    fn restart_timer(&mut self, env: &Env) {
        self.resend_at = match self.unacked == self.sent {
            true => waitless::Instant::NEVER,
            false => env.now + self.rtt.timeout(),
        };
    }

    #[cold]
    fn advance_after_loss(&mut self, env: &mut Env, count: u32, flight: u32) {
        let mss = u32::from(self.mss);
        self.duplicates = 0;
        self.flags.clear(flag::PERSIST);
        //= RFC 6298 3: Karn: without timestamps the back-off ends with what was sent once
        if self.flags.has(flag::STAMPS) || !self.flags.has(flag::TIMED_OUT) {
            self.rtt.relax();
        }
        if !self.flags.has(flag::RECOVERY) {
            let recovering = self.flags.has(flag::TIMED_OUT);
            self.congestion.acknowledged(count, flight, mss, recovering);
            self.restart_timer(env);
        } else if self.unacked.before(self.recover) {
            //= RFC 6582 3.2: a partial acknowledgement: the next segment is lost too
            self.congestion.partial(count, mss);
            self.flags.set(flag::RESEND);
            env.effects |= effect::OUTPUT;
            //= RFC 6582 3.2: only the first partial acknowledgement restarts the timer
            if !self.flags.has(flag::PARTIAL) {
                self.flags.set(flag::PARTIAL);
                self.restart_timer(env);
            }
        } else {
            self.congestion.recovered(self.flight(), mss);
            self.flags.clear(flag::RECOVERY | flag::PARTIAL | flag::RESEND);
            self.restart_timer(env);
        }
        if !self.unacked.before(self.recover) {
            self.flags.clear(flag::TIMED_OUT);
        }
        if self.unacked == self.sent {
            self.resend_at = waitless::Instant::NEVER;
        }
    }

    /// Measures the round trip that the segment ends.
    #[inline(always)]
    fn measure(&mut self, env: &Env, segment: &Segment) {
        if let (true, Some(stamps)) = (self.flags.has(flag::STAMPS), segment.options.stamps) {
            //= RFC 7323 4.1: the echo of what this side sent, when something new is acknowledged
            let millis = self.stamp(env).wrapping_sub(stamps.echo);
            if stamps.echo != 0 && millis < 1 << 20 {
                self.rtt.sample(millis * 1_000, env.retransmit_min);
            }
        } else if self.flags.has(flag::TIMED) && !self.timed_seq.after(segment.ack) {
            //= RFC 6298 3: Karn's algorithm: what was sent twice is not measured
            self.flags.clear(flag::TIMED);
            let micros = env.micros.wrapping_sub(self.timed_at);
            self.rtt.sample(micros, env.retransmit_min);
        }
    }

    /// Gives back the packets that are acknowledged as a whole.
    #[inline]
    fn release_acknowledged(&mut self, env: &mut Env) {
        while self.send.head != NIL {
            let id = self.send.head;
            if env.nodes.get(id).end().after(self.unacked) {
                break;
            }
            drop(env.nodes.take_first(&mut self.send));
            if self.cursor == id {
                self.cursor = self.send.head;
            }
        }
        if self.flags.has(flag::WANTS_ROOM)
            && env.send_room(self.unacknowledged()) >= env.send_limit() / 4
        {
            self.flags.clear(flag::WANTS_ROOM);
            env.effects |= effect::NEWS;
        }
    }

    /// The same byte was acknowledged again.
    //= RFC 5681 2: what counts as a duplicate acknowledgement was checked by the caller
    #[cold]
    fn duplicate(&mut self, env: &mut Env) {
        let mss = u32::from(self.mss);
        self.duplicates = self.duplicates.saturating_add(1);
        env.effects |= effect::OUTPUT;
        if self.flags.has(flag::RECOVERY) {
            return self.congestion.inflate(mss);
        }
        //= RFC 3042 2: the first two let a new segment out each; see `Conn::plan`
        //= RFC 6582 3.2: no second recovery for losses of the same window
        if self.duplicates != 3 || !self.unacked.after(self.recover) {
            return;
        }
        env.counters.fast_retransmits.add(1);
        self.congestion.lost(self.flight(), mss);
        self.recover = self.sent;
        self.flags.clear(flag::PARTIAL | flag::TIMED);
        self.flags.set(flag::RECOVERY | flag::RESEND);
    }

    /// Follows up when this side's FIN is acknowledged. Whether the connection has ended.
    #[inline]
    fn fin_acknowledged(&mut self, env: &mut Env) -> bool {
        if self.state < State::FinWait1 || !self.unacked.after(self.queued) {
            return false;
        }
        match self.state {
            State::FinWait1 => {
                self.state = State::FinWait2;
                self.arm_idle(env);
                false
            }
            State::Closing => {
                self.time_wait(env);
                true
            }
            State::LastAck => {
                self.end(env, Phase::Closed);
                true
            }
            _ => false,
        }
    }

    /// Both sides have ended, this one first or at the same time.
    pub fn time_wait(&mut self, env: &mut Env) {
        self.end(env, Phase::Closed);
        env.effects |= effect::TIME_WAIT;
    }

    /// What an ICMP message says of a segment that began at `sequence` (RFC 5461, RFC 5927).
    pub fn path_error(&mut self, env: &mut Env, kind: waitless::PathErrorKind, sequence: Seq) {
        use waitless::PathErrorKind::{TooBig, Unreachable};
        //= RFC 5927 4.1: what it quotes must be under way
        if sequence.before(self.unacked) || !sequence.before(self.sent) {
            env.counters.path_errors_ignored.add(1);
            return;
        }
        env.counters.path_errors.add(1);
        match kind {
            TooBig(mtu) => self.shrink_segments(env, mtu),
            //= RFC 9293 3.9.2.2 SHLD-26: hard errors end what is not open yet;
            // an open connection survives them (RFC 5461 section 4.1)
            Unreachable(2..=4) if self.state == State::SynSent => {
                self.end(env, Phase::Unreachable);
            }
            //= RFC 9293 3.9.2.2 MUST-56: soft errors do not end a connection
            _ => self.flags.set(flag::SOFT_ERROR),
        }
    }

    //= RFC 1191 6.5, RFC 8201 5.4: smaller segments from now on, and again what was too long
    fn shrink_segments(&mut self, env: &mut Env, mtu: u16) {
        let options = if self.flags.has(flag::STAMPS) { crate::state::STAMPS_LENGTH } else { 0 };
        let now = self.mss + options + if self.tuple.remote.is_ipv4() { 40 } else { 60 };
        let mtu = match mtu {
            //= RFC 1191 7.1: plateaus, where an old router does not tell
            0 => PLATEAUS.into_iter().find(|&plateau| plateau < now).unwrap_or(MTU_MIN),
            mtu => mtu.max(MTU_MIN),
        };
        if mtu >= now {
            return;
        }
        self.mss = crate::state::segment_limit(self.tuple.remote, mtu) - options;
        if self.is_synchronized() {
            self.next = self.unacked;
            self.cursor = self.send.head;
            self.flags.clear(flag::TIMED);
            env.effects |= effect::OUTPUT;
        }
    }
}

/// No router's word makes packets shorter than this: it would only slow a connection down.
const MTU_MIN: u16 = 552;
const PLATEAUS: [u16; 5] = [4352, 2002, 1492, 1006, 576];
