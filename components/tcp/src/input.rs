//! A segment arrives for a connection (RFC 9293 section 3.10.7), in that section's order.

use crate::queue::{NIL, mark};
use crate::rack::Sent;
use crate::seq::Seq;
use crate::state::{CHALLENGE_INTERVAL, Conn, Env, State, effect, flag};
use crate::wire::{Flags, Segment};
use core::net::IpAddr;
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
            return self.arrive_in_syn_sent(env, &segment.apart(), packet);
        }
        //= RFC 9293 3.10.7.4: first, check the sequence number
        if !self.is_acceptable(env, segment) {
            return None;
        }
        if segment.flags.any(Flags::RST) {
            self.arrive_reset(env, &segment.apart());
            return None;
        }
        if segment.flags.any(Flags::SYN) {
            self.arrive_syn(env, &segment.apart());
            return None;
        }
        //= RFC 9293 3.10.7.4: fifth, if the ACK bit is off, drop the segment
        if !segment.flags.any(Flags::ACK) {
            env.counters.dropped_no_ack.add(1);
            return None;
        }
        if self.flags.has(flag::ECN) {
            self.take_marks(env, segment, &packet);
        }
        if self.state == State::SynReceived {
            //= RFC 9293 3.10.7.4: SYN-RECEIVED: an unacceptable ACK is answered with a RST
            if !segment.ack.after(self.unacked) || segment.ack.after(self.next) {
                env.counters.dropped_ack.add(1);
                return Some(packet);
            }
            self.take_window(segment);
            self.measure_syn(env);
            self.establish(env);
        }
        if !self.acknowledge(env, segment, &packet) || self.fin_acknowledged(env) {
            return None;
        }
        //= RFC 9293 3.8.5 MUST-30, MUST-31: urgent data is delivered in line
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
        if acked && (!segment.ack.after(self.unacked) || segment.ack.after(self.next)) {
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
            self.flags.set(flag::SYN_DUE);
            env.effects |= effect::OUTPUT;
            return None;
        }
        self.unacked = segment.ack;
        self.measure_syn(env);
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
            //= RFC 7323 5.3, 5.5: PAWS, unless TS.Recent is older than 24 days
            if age < 0 && env.seconds().wrapping_sub(self.stamp_recent_at) < STAMP_LIFE {
                env.counters.dropped_stamps.add(1);
                self.answer_unacceptable(env, &segment.apart());
                return false;
            }
        }
        let window = self.receive_window();
        let first = segment.seq.since(self.expected);
        let length = segment.len();
        //= RFC 9293 3.10.7.4: deviation: a segment without text exactly behind the window
        // passes unless it is a RST, because its acknowledgement counts when segments before it
        // are missing.
        // Text at the left edge of a closed window passes too, to be thrown away later:
        //= RFC 9293 3.10.7.4 MUST-66: ACK, RST and URG count even then
        //= RFC 5961 3.2: a RST's own number decides, wherever its text ends
        let reaches = |last: u32| length > 0 && window > 0 && last < window;
        let fits = first == 0
            || first < window
            || !reset
                && ((length == 0 && first == window)
                    || reaches(first.wrapping_add(length).wrapping_sub(1)));
        if !fits {
            env.counters.dropped_window.add(1);
            if !reset {
                self.answer_unacceptable(env, &segment.apart());
            }
            return false;
        }
        true
    }

    //= RFC 9293 3.10.7.4: an unacceptable segment is answered with an ACK
    #[cold]
    fn answer_unacceptable(&mut self, env: &mut Env, segment: &Segment) {
        if self.is_syn_again(segment) {
            self.answer_syn_again(env, segment);
        } else if segment.len() > 0 {
            let acks = segment.flags.any(Flags::ACK) && self.may_acknowledge(segment.ack);
            if acks && segment.seq + segment.len() == self.expected {
                self.echo_again(env, segment);
            }
            let end = segment.seq + segment.payload;
            if !end.after(self.expected) {
                self.note_double(segment.seq, segment.payload as usize);
            }
            self.acknowledge_now(env);
        } else {
            // Without text, two confused ends would answer each other for ever.
            self.challenge(env);
        }
    }

    /// Whether it is the SYN that began the connection.
    fn is_syn_again(&self, segment: &Segment) -> bool {
        let syn = segment.flags.any(Flags::SYN) && !segment.flags.any(Flags::ACK);
        self.state == State::SynReceived && syn && segment.seq + 1 == self.expected
    }

    /// The SYN again: the SYN-ACK was lost. Which of both is acknowledged will be unknown.
    fn answer_syn_again(&mut self, env: &mut Env, segment: &Segment) {
        self.flags.set(flag::SYN_DUE | flag::SYN_LOST);
        self.asked_again(segment.flags);
        self.echo_again(env, segment);
        env.effects |= effect::OUTPUT;
    }

    /// What arrived last has arrived again: its sender measures by the newer clock. Its number is
    /// exactly what is behind everything and its acknowledgement, but for a SYN's, is one that
    /// may be, so who guesses only one of them cannot set the clock so.
    //= RFC 7323 4.3: deviation: the text of 5.3 (R2) leaves what is outside of the window, and
    // with it the sender's doubt which one was answered
    fn echo_again(&mut self, env: &Env, segment: &Segment) {
        let is_newer = |value: u32| value.wrapping_sub(self.stamp_recent) as i32 >= 0;
        let stamps = segment.options.stamps.filter(|stamps| is_newer(stamps.value));
        if let Some(stamps) = stamps.filter(|_| self.flags.has(flag::STAMPS)) {
            self.stamp_recent = stamps.value;
            self.stamp_recent_at = env.seconds();
        }
    }

    //= RFC 9293 3.10.7.4 SHLD-2: second, check the RST bit; text in it does not matter
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

    //= RFC 9293 3.10.7.4: fourth, check the SYN bit
    //= RFC 5961 4.2: a SYN in a synchronized state is answered with a challenge
    #[cold]
    fn arrive_syn(&mut self, env: &mut Env, segment: &Segment) {
        if self.is_syn_again(segment) {
            // What follows it, text or a FIN, lies in the window.
            self.answer_syn_again(env, segment);
        } else if self.state == State::SynReceived && self.flags.has(flag::PASSIVE) {
            self.end(env, Phase::Reset);
        } else {
            self.challenge(env);
        }
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

    /// Whether `ack` is neither of something not yet sent nor older than a window ever was.
    #[inline(always)]
    fn may_acknowledge(&self, ack: Seq) -> bool {
        let probed = u32::from(self.flags.has(flag::PROBED));
        !(ack.after(self.next + probed) || ack.before(self.unacked - self.window_max))
    }

    /// Handles the acknowledgement and the window. Whether the segment is to be looked at on.
    #[inline]
    fn acknowledge(&mut self, env: &mut Env, segment: &Segment, packet: &Packet) -> bool {
        let ack = segment.ack;
        //= RFC 9293 3.10.7.4: an ACK of something not yet sent is answered and dropped
        //= RFC 5961 5.2, RFC 9293 3.10.7.4 MAY-12: so is one older than a window ever was
        if !self.may_acknowledge(ack) {
            env.counters.dropped_ack.add(1);
            self.challenge(env);
            return false;
        }
        if let Some(stamps) = segment.options.stamps {
            //= RFC 7323 4.3, 5.3: TS.Recent follows segments that begin at or before Last.ACK.sent.
            // Not those whose acknowledgement is wrong: who guesses one number must not set the
            // clock by which all that follows is dropped.
            if !segment.seq.after(self.last_ack) {
                self.stamp_recent = stamps.value;
                self.stamp_recent_at = env.seconds();
            }
        }
        if ack.after(self.unacked) {
            self.take_window(segment);
            self.advance(env, segment);
        } else if ack == self.unacked {
            let before = self.window;
            self.take_window(segment);
            if self.window != before || self.flags.has(flag::PERSIST) {
                self.window_moved(env, before);
            } else if segment.payload == 0 && !segment.flags.any(Flags::FIN) {
                self.acknowledged_again(env, &segment.apart());
            }
        }
        if segment.options.sacks != 0 && self.flags.has(flag::SACK) {
            self.selective(env, &segment.apart(), packet.bytes());
        }
        true
    }

    /// A segment without text acknowledges what was acknowledged before.
    fn acknowledged_again(&mut self, env: &mut Env, segment: &Segment) {
        if !self.flags.has(flag::SACK) {
            if self.flight() > 0 {
                self.duplicate(env);
            }
        } else if segment.options.sacks == 0 {
            self.probe_was_needless(segment.ack);
        }
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
            //= RFC 9293 3.8.6.1 MUST-37, MAY-8: while probes are answered, it stays open,
            // as long as it has a service
            if !self.flags.has(flag::ORPHAN) {
                self.progress_at = env.millis;
            }
            if self.window > 0 {
                self.rtt.relax();
            }
            if self.window > before {
                self.leave_persist(env);
            }
        }
    }

    /// Something new was acknowledged.
    #[inline]
    fn advance(&mut self, env: &mut Env, segment: &Segment) {
        let count = segment.ack.since(self.unacked);
        self.unacked = segment.ack;
        if segment.ack.after(self.next) {
            // An octet that probed the window was taken.
            self.next = segment.ack;
            self.flags.clear(flag::PROBED);
        }
        self.progress_at = env.millis;
        let trouble = self.flags.has(flag::TROUBLE | flag::PERSIST | flag::MODELLED | flag::SHORT);
        let sample = self.release_acknowledged(env, segment, trouble);
        if trouble {
            self.advance_in_trouble(env, &segment.apart(), count, sample != 0);
        } else {
            self.rtt.relax();
            self.grow_window(env, count, sample);
            self.restart_timer(env);
        }
        if self.cursor != NIL || self.flags.has(flag::FIN_QUEUED) {
            env.effects |= effect::OUTPUT;
        }
        if self.flags.has(flag::WANTS_ROOM) {
            self.report_room(env);
        }
    }

    #[cold]
    fn report_room(&mut self, env: &mut Env) {
        if self.send_room(env) >= self.send_limit(env) / 4 {
            self.flags.clear(flag::WANTS_ROOM);
            env.effects |= effect::NEWS;
        }
    }

    /// Gives back the packets that are acknowledged as a whole, and measures the round trip that
    /// the acknowledgement ends: in microseconds, 0 when it ends none.
    #[inline]
    fn release_acknowledged(&mut self, env: &mut Env, segment: &Segment, trouble: bool) -> u32 {
        let early = trouble && self.echoes_the_first(&segment.apart());
        let mut last = None;
        while let Some(node) = env.nodes.first(&self.send) {
            let id = self.send.head;
            let (at, end) = (node.sent_at, node.end());
            if end.after(self.unacked) {
                break;
            }
            //= RFC 6298 3: Karn's algorithm: what was sent twice, or had arrived, measures nothing
            if !node.has(mark::AGAIN | mark::SACKED) && node.len > 0 {
                last = Some(Sent { at, end, again: false });
            }
            if trouble {
                self.release_marked(env, id, early);
            }
            env.nodes.drop_first(&mut self.send);
            if self.cursor == id {
                self.cursor = self.send.head;
            }
        }
        //= RFC 6298 4: one measurement per round trip, or more: the last segment is timed
        match last {
            _ if trouble => self.measure_in_trouble(env, &segment.apart(), last),
            Some(sent) => {
                if self.flags.has(flag::SACK) {
                    self.recovery.rack.arrived_in_order(sent, env.micros);
                }
                let micros = env.micros.wrapping_sub(sent.at);
                self.rtt.sample(micros, env.retransmit_min);
                micros
            }
            None => self.measure_echo(env, &segment.apart()),
        }
    }

    /// The same where something was lost. `last` was sent once, and acknowledged now.
    #[cold]
    fn measure_in_trouble(&mut self, env: &Env, segment: &Segment, last: Option<Sent>) -> u32 {
        let again = core::mem::take(&mut self.recovery.resent_acked);
        // What is behind a loss has arrived long before it is acknowledged, and who lost
        // acknowledgements tells of it only when asked again.
        let sure = self.flags.has(flag::SACK) || !self.flags.has(flag::TROUBLE);
        let last = last.filter(|_| !again && sure);
        let Some(sent) = last else { return self.measure_echo(env, segment) };
        let micros = env.micros.wrapping_sub(sent.at);
        self.rtt.sample(micros, env.retransmit_min);
        micros
    }

    /// Measures a round trip by the other side's echo.
    //= RFC 7323 4.1: of what this side sent, when something new is acknowledged
    #[cold]
    pub fn measure_echo(&mut self, env: &Env, segment: &Segment) -> u32 {
        let Some(stamps) = segment.options.stamps.filter(|_| self.flags.has(flag::STAMPS)) else {
            return 0;
        };
        //= RFC 6298 3: Karn: whoever gets a segment twice echoes the first one's clock
        // (RFC 7323 section 5.3, R2), so an older echo than the last one sent again may have
        // waited for a timeout
        if self.flags.has(flag::TROUBLE)
            && (stamps.echo.wrapping_sub(self.recovery.resent) as i32) < 0
        {
            return 0;
        }
        let millis = self.stamp(env).wrapping_sub(stamps.echo);
        if stamps.echo == 0 || millis >= 1 << 20 {
            return 0;
        }
        // Within one tick of the clock it is less than that, and was measured all the same.
        let micros = millis.max(1) * 1_000;
        self.rtt.sample(micros, env.retransmit_min);
        micros
    }

    /// The handshake's round trip. An echo would not help where a SYN was sent again: either side
    /// may have waited for its timer, and what is measured first counts for long.
    //= RFC 6298 3: Karn: what was sent twice measures nothing
    fn measure_syn(&mut self, env: &Env) {
        if !self.flags.has(flag::SYN_LOST) {
            let micros = env.micros.wrapping_sub(self.syn_at);
            self.rtt.sample(micros, env.retransmit_min);
            self.recovery.rack.opened(micros);
        }
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
        if sequence.before(self.unacked) || !sequence.before(self.next) {
            env.counters.path_errors_ignored.add(1);
            return;
        }
        env.counters.path_errors.add(1);
        match kind {
            TooBig(mtu) => self.shrink_segments(env, mtu),
            //= RFC 9293 3.9.2.2 SHLD-26: hard errors end what is not open yet;
            // an open connection survives them (RFC 5461 section 4.1)
            Unreachable(code)
                if self.state == State::SynSent && is_hard(self.tuple.remote, code) =>
            {
                self.end(env, Phase::Unreachable);
            }
            //= RFC 9293 3.9.2.2 MUST-56: soft errors do not end a connection
            _ => self.flags.set(flag::SOFT_ERROR),
        }
    }

    //= RFC 1191 6.5, RFC 8201 5.4, RFC 9293 3.7.2 SHLD-6: smaller from now on
    fn shrink_segments(&mut self, env: &mut Env, mtu: u16) {
        let options = if self.flags.has(flag::STAMPS) { crate::state::STAMPS_LENGTH } else { 0 };
        let now = self.mss + options + if self.tuple.remote.is_ipv4() { 40 } else { 60 };
        let mtu = match mtu {
            //= RFC 1191 7.1: plateaus, where an old router does not tell
            0 => PLATEAUS.into_iter().find(|&plateau| plateau < now).unwrap_or(MTU_MIN),
            mtu => mtu.max(MTU_MIN),
        };
        let mss = crate::state::segment_limit(self.tuple.remote, mtu) - options;
        if mtu >= now {
            return self.bound_search(mss);
        }
        self.shorten(env, mss, mss);
        if self.is_synchronized() {
            self.lose_what_is_long(env);
        }
    }
}

/// No router's word makes packets shorter than this: it would only slow a connection down.
const MTU_MIN: u16 = 552;
const PLATEAUS: [u16; 5] = [4352, 2002, 1492, 1006, 576];

/// Whether `code`, of a destination unreachable from the path to `remote`, says that trying
/// again is in vain (RFC 5461 section 2): the protocol, the port or permission is missing. A
/// neighbour that has not answered yet is none of these.
pub(crate) fn is_hard(remote: IpAddr, code: u8) -> bool {
    match remote {
        IpAddr::V4(_) => (2..=4).contains(&code),
        IpAddr::V6(_) => code == 1 || code == 4,
    }
}
