//! Explicit congestion notification (RFC 3168): a router that is about to drop marks instead, the
//! receiver says so until it is heard, and the sender slows down without having to repair.

use crate::paced::Told;
use crate::recovery::Stage;
use crate::seq::Seq;
use crate::state::{Conn, Env, effect, flag};
use crate::wire::{Flags, Segment};
use waitless::Packet;

/// The traffic class of a segment that may be marked: ECT(0).
pub const ECT: u8 = 0b10;
/// The bits of the traffic class that are for marks.
const MARKS: u8 = 0b11;

impl Conn {
    /// The flags of a SYN, or of the SYN that acknowledges one.
    //= RFC 3168 6.1.1: a SYN asks with ECE and CWR, its answer says yes with ECE alone
    pub fn syn_flags(&self, env: &Env, answers: bool) -> Flags {
        //= RFC 3168 6.1.1.1: what was not answered is asked again without
        let ask = env.config.ecn && !self.flags.has(flag::SYN_LOST);
        match answers {
            true if self.flags.has(flag::ECN) => Flags::SYN.and(Flags::ACK).and(Flags::ECE),
            true => Flags::SYN.and(Flags::ACK),
            false if ask => Flags::SYN.and(Flags::ECE).and(Flags::CWR),
            false => Flags::SYN,
        }
    }

    /// What the other side's SYN says of marks.
    //= RFC 3168 6.1.1: an answer with both flags is that of a host that reflects what it gets
    pub fn agree_on_marks(&mut self, segment: &Segment, env: &Env) {
        let (ece, cwr) = (segment.flags.any(Flags::ECE), segment.flags.any(Flags::CWR));
        let answer = segment.flags.any(Flags::ACK);
        let agreed = if answer { ece && !cwr } else { ece && cwr };
        self.flags.clear(flag::ECN | flag::MARKED | flag::REDUCED);
        if env.config.ecn && agreed {
            self.flags.set(flag::ECN);
            self.class &= !MARKS;
        }
    }

    /// The SYN arrives again, with `flags`.
    //= RFC 3168 6.1.1: after one that does not ask, nothing that is sent is capable
    pub fn asked_again(&mut self, flags: Flags) {
        if !(flags.any(Flags::ECE) && flags.any(Flags::CWR)) {
            self.flags.clear(flag::ECN);
        }
    }

    /// The flags of a segment on a connection that uses marks.
    pub fn mark_flags(&mut self, env: &Env, mut flags: Flags) -> Flags {
        if flags.any(Flags::RST) {
            return flags;
        }
        //= RFC 3168 6.1.3: every acknowledgement says so until the sender has reduced its window
        if self.flags.has(flag::MARKED) {
            flags = flags.and(Flags::ECE);
        }
        //= RFC 3168 6.1.2: the first new segment after a reduction says that
        if self.flags.has(flag::REDUCED) && env.capable {
            self.flags.clear(flag::REDUCED);
            flags = flags.and(Flags::CWR);
        }
        flags
    }

    /// Takes in what a segment says of congestion, either way: most say nothing.
    #[inline]
    pub fn take_marks(&mut self, env: &mut Env, segment: &Segment, packet: &Packet) {
        let class = packet.info().class;
        if segment.flags.any(Flags::CWR.and(Flags::ECE)) || class & MARKS == MARKS {
            self.take_a_mark(env, &segment.apart(), class);
        }
    }

    #[cold]
    fn take_a_mark(&mut self, env: &mut Env, segment: &Segment, class: u8) {
        //= RFC 3168 6.1.3: CWR ends the report, a new mark begins it
        if segment.flags.any(Flags::CWR) {
            self.flags.clear(flag::MARKED);
        }
        if class & MARKS == MARKS && segment.payload > 0 {
            env.counters.marks.add(1);
            self.flags.set(flag::MARKED);
        }
        if segment.flags.any(Flags::ECE) {
            self.slow_down(env, segment);
        }
    }

    /// The other side reports a mark.
    //= RFC 3168 6.1.2, RFC 9293 3.8.2 SHLD-8: as for one lost segment, once for a window of data
    fn slow_down(&mut self, env: &mut Env, segment: &Segment) {
        let again = self.has_reduced_since(segment.ack);
        if again || self.flight() == 0 || self.recovery.stage != Stage::Open {
            return;
        }
        env.counters.marks_reported.add(1);
        self.note_reduced();
        self.congestion.lost(self.flight(), u32::from(self.mss));
        self.congestion.settle(u32::from(self.mss));
        self.tell_model(env, Told::Marked);
        env.effects |= effect::OUTPUT;
    }

    /// The window is reduced, for a mark or a loss: what else is told of the data that is under
    /// way takes no more from it, and the other side hears that.
    //= RFC 3168 6.1.2: CWR follows a reduction for whatever reason
    pub fn note_reduced(&mut self) {
        if self.flags.has(flag::ECN) {
            self.marked = self.next;
            self.flags.set(flag::REDUCED);
        }
    }

    /// Whether it was since the first of what is under way was sent.
    //= RFC 3168 6.1.2: a loss in a window of data with a mark takes nothing more
    pub fn has_reduced(&self) -> bool {
        self.flags.has(flag::ECN) && self.next.since(self.marked) < self.flight()
    }

    /// Whether it was when all before `end` had been sent.
    // Counted from what was sent last, as the last reduction may be long ago.
    pub fn has_reduced_since(&self, end: Seq) -> bool {
        self.flags.has(flag::ECN) && self.next.since(self.marked) <= self.next.since(end)
    }

    /// It was for nothing, and is what it was before.
    pub fn note_restored(&mut self) {
        if self.flags.has(flag::ECN) {
            self.marked = self.unacked;
            self.flags.clear(flag::REDUCED);
        }
    }
}
