//! What the other side has of what was sent: selective acknowledgements (RFC 2018, RFC 6675),
//! kept as marks on the packets themselves.

use crate::queue::{NIL, mark};
use crate::rack::Sent;
use crate::recovery::Probe;
use crate::seq::Seq;
use crate::state::{Conn, Env, effect, flag};
use crate::wire::{RANGES_MAX, Range, Segment};

impl Conn {
    /// Bytes that are on their way, as far as one can tell.
    //= RFC 6675 4: pipe: not acknowledged in any way, and not lost or sent again since
    #[inline]
    pub fn pipe(&self) -> u32 {
        let gone = self.recovery.sacked + self.recovery.lost;
        self.next.since(self.unacked).saturating_sub(gone)
    }

    /// Handles the ranges that a segment reports. Whether something was reported that was not
    /// known to have arrived.
    #[cold]
    pub fn selective(&mut self, env: &mut Env, segment: &Segment, bytes: &[u8]) -> bool {
        let mut ranges = segment.ranges(bytes);
        if is_double(&ranges, segment.ack) {
            let range = ranges.remove(0);
            self.got_twice(env, range);
        }
        //= RFC 2018 5: only what was sent and is not acknowledged counts
        let (from, to) = (self.unacked, self.next);
        ranges.retain(|range| {
            range.from.before(range.to) && !range.from.before(from) && !range.to.after(to)
        });
        let known = core::mem::take(&mut self.recovery.known);
        for (place, range) in self.recovery.known.iter_mut().zip(&ranges) {
            *place = *range;
        }
        // What was reported before needs no second look.
        ranges.retain(|range| !known.contains(range));
        // By insertion, as there are four at most.
        for end in 1..ranges.len() {
            let place = |range: &Range| range.from.since(from);
            let mut at = end;
            while let Some([before, after]) =
                at.checked_sub(1).and_then(|low| ranges.get_mut(low..=at))
                && place(after) < place(before)
            {
                core::mem::swap(before, after);
                at -= 1;
            }
        }
        let early = self.echoes_the_first(segment);
        let before = self.recovery.delivered;
        let mut at = NIL;
        for range in &ranges {
            at = self.mark_range(env, at, *range, early);
        }
        let new = self.recovery.delivered != before;
        if new {
            self.flags.set(flag::TROUBLE | flag::DETECT);
            env.effects |= effect::OUTPUT;
        }
        new
    }

    /// Marks what lies in `range`, from node `at` on or from the first one. Gives the node where
    /// the next range is looked for.
    fn mark_range(&mut self, env: &mut Env, at: u32, range: Range, early: bool) -> u32 {
        let mut id = if at == NIL { self.search_from(env, range.from) } else { at };
        // Ends: the queue's length is limited.
        while id != NIL && id != self.cursor {
            let now = env.micros;
            let next = env.nodes.next(id);
            let node = env.nodes.get_mut(id);
            if !node.seq.before(range.to) {
                break;
            }
            let inside = !node.seq.before(range.from) && !node.end().after(range.to);
            if inside && !node.has(mark::SACKED) {
                let length = u32::from(node.len);
                if node.has(mark::LOST) {
                    self.recovery.lost -= length;
                }
                let probe = node.has(mark::PROBE);
                let sent = Sent { at: node.sent_at, end: node.end(), again: node.has(mark::AGAIN) };
                node.marks = node.marks & !(mark::LOST | mark::PROBE) | mark::SACKED;
                if probe {
                    self.probe_arrived(env, length as u16);
                }
                if self.flags.has(flag::MODELLED) {
                    self.note_delivered(env, id);
                }
                self.recovery.sacked += length;
                self.recovery.segments += 1;
                self.recovery.delivered += length;
                self.recovery.rack.arrived(sent, now, early);
                self.recovery.last = id;
            }
            id = next;
        }
        id
    }

    /// A node at or before `from`. Most reports are about what lies behind the last one.
    fn search_from(&self, env: &Env, from: Seq) -> u32 {
        match self.recovery.last {
            NIL => self.send.head,
            last if env.nodes.get(last).seq.after(from) => self.send.head,
            last => last,
        }
    }

    /// The other side got something twice.
    //= RFC 2883 4: the first range is below the acknowledgement, or inside the second range
    fn got_twice(&mut self, env: &mut Env, range: Range) {
        env.counters.doubles.add(1);
        self.recovery.rack.got_twice(self.unacked, self.next);
        //= RFC 8985 7.4.2: the probe was not needed: nothing was lost
        if self.recovery.probe == Probe::Again && range.to == self.recovery.probe_end {
            self.recovery.probe = Probe::None;
        }
    }

    /// Whether the acknowledgement was caused by what was sent before it was sent again.
    //= RFC 3522 3.2: its echo is older than the first retransmission
    pub fn echoes_the_first(&self, segment: &Segment) -> bool {
        let Some(stamps) = segment.options.stamps.filter(|_| self.flags.has(flag::STAMPS)) else {
            return false;
        };
        (stamps.echo.wrapping_sub(self.recovery.stamp) as i32) < 0
    }

    /// A node is about to be freed that is not as most: takes it off the account.
    #[cold]
    pub fn release_marked(&mut self, env: &mut Env, id: u32, early: bool) {
        let now = env.micros;
        let node = env.nodes.get(id);
        let length = u32::from(node.len);
        let probe = node.has(mark::PROBE).then_some(node.len);
        self.recovery.resent_acked |= node.has(mark::AGAIN) && !node.has(mark::SACKED);
        if node.has(mark::LOST) {
            self.recovery.lost -= length;
        }
        if node.has(mark::SACKED) {
            self.recovery.sacked -= length;
            self.recovery.segments -= 1;
        } else {
            let sent = Sent { at: node.sent_at, end: node.end(), again: node.has(mark::AGAIN) };
            self.recovery.delivered += length;
            self.recovery.rack.arrived(sent, now, early);
            if self.flags.has(flag::MODELLED) {
                self.note_delivered(env, id);
            }
        }
        if let Some(length) = probe {
            self.probe_arrived(env, length);
        }
        if self.recovery.last == id {
            self.recovery.last = NIL;
        }
        if self.recovery.first_lost == id {
            self.recovery.first_lost = env.nodes.next(id);
        }
    }

    /// Takes a node for lost, and tells BBR. Whether that is a sign of congestion.
    //= RFC 4821 7.6.2, RFC 8899 3: a probe that is lost alone was too long
    pub fn lose(&mut self, env: &mut Env, id: u32) -> bool {
        let node = env.nodes.get_mut(id);
        if node.has(mark::SACKED | mark::LOST) {
            return false;
        }
        let (probe, length) = (node.has(mark::PROBE), node.len);
        node.marks &= !mark::PROBE;
        if probe {
            self.probe_lost(env, length);
        } else if self.flags.has(flag::MODELLED) {
            self.note_lost(env, id);
        }
        self.mark_lost(env, id);
        !probe
    }

    /// Marks a node lost, unless it has arrived or is marked already.
    pub fn mark_lost(&mut self, env: &mut Env, id: u32) {
        let node = env.nodes.get_mut(id);
        if node.has(mark::SACKED | mark::LOST) || node.len == 0 {
            return;
        }
        node.marks |= mark::LOST;
        let first = if self.recovery.lost == 0 { NIL } else { self.recovery.first_lost };
        self.recovery.lost += u32::from(node.len);
        self.flags.set(flag::TROUBLE);
        if first == NIL || env.nodes.get(id).seq.before(env.nodes.get(first).seq) {
            self.recovery.first_lost = id;
        }
    }

    /// The first node that is lost and not sent again.
    pub fn next_lost(&mut self, env: &Env) -> Option<u32> {
        if self.recovery.lost == 0 {
            return None;
        }
        let mut id = self.recovery.first_lost;
        // Ends: the queue's length is limited.
        while id != NIL && id != self.cursor {
            if env.nodes.get(id).has(mark::LOST) {
                self.recovery.first_lost = id;
                return Some(id);
            }
            id = env.nodes.next(id);
        }
        None
    }

    /// Forgets what was reported and what was taken for lost, of everything that was sent.
    pub fn clear_marks(&mut self, env: &mut Env, marks: u8) {
        let mut id = self.send.head;
        // Ends: the queue's length is limited.
        while id != NIL && id != self.cursor {
            env.nodes.get_mut(id).marks &= !marks;
            id = env.nodes.next(id);
        }
        if marks & mark::LOST != 0 {
            self.recovery.lost = 0;
            self.recovery.first_lost = NIL;
        }
        if marks & mark::SACKED != 0 {
            (self.recovery.sacked, self.recovery.segments) = (0, 0);
            self.recovery.known = Default::default();
            self.recovery.last = NIL;
        }
    }
}

/// Whether the first range reports something that arrived twice.
//= RFC 2883 4: below the cumulative acknowledgement, or contained in the second range
fn is_double(ranges: &heapless::Vec<Range, RANGES_MAX>, ack: Seq) -> bool {
    match ranges.as_slice() {
        [first, ..] if !first.to.after(ack) => true,
        [first, second, ..] => {
            !first.from.before(second.from) && !first.to.after(second.to) && first != second
        }
        _ => false,
    }
}
