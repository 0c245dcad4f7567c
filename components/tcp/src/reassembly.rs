//! The text of a segment (RFC 9293 section 3.10.7.4, seventh and eighth): packets are queued in
//! order for the service, and those that came early wait for what is missing.

use crate::queue::{Data, NIL, Side, mark};
use crate::seq::Seq;
use crate::state::{Conn, Env, State, effect, flag};
use crate::wire::{Flags, RANGES_MAX, Range, Segment};
use waitless::packet::CAPACITY;
use waitless::{Packet, Phase};

/// Payload up to this is copied into the packet before it, so that a flood of tiny segments
/// cannot keep a whole packet each.
const COPY_MAX: usize = 256;
/// Early packets that are kept at least, whatever the receive buffer.
const EARLY_MIN: u64 = 16;

impl Conn {
    /// Takes a segment's text and FIN. The segment is acceptable and has an acknowledgement.
    #[inline(always)]
    pub fn text(&mut self, env: &mut Env, segment: &Segment, mut packet: Packet) {
        if !matches!(self.state, State::Established | State::FinWait1 | State::FinWait2) {
            //= RFC 9293 3.10.7.4: after a FIN this should not occur; the text is ignored
            return self.acknowledge_now(env);
        }
        let mut fin = segment.flags.any(Flags::FIN);
        let mut seq = segment.seq;
        packet.trim_front(segment.header);
        self.peer_mss = self.peer_mss.max(segment.payload as u16);
        if seq.before(self.expected) {
            let old = self.expected.since(seq);
            if old >= segment.len() {
                env.counters.duplicates.add(1);
                self.note_double(seq, packet.len());
                return self.acknowledge_now(env);
            }
            self.note_part(seq, self.expected);
            packet.trim_front(old as usize);
            seq = self.expected;
        }
        let room = self.receive_window().saturating_sub(seq.since(self.expected));
        if packet.len() > room as usize {
            env.counters.truncated.add(1);
            packet.truncate(room as usize);
            fin = false;
            self.acknowledge_now(env);
        }
        if packet.is_empty() && !fin {
            return;
        }
        //= RFC 9293 3.6.1 SHLD-3: text after the service gave the connection up resets it
        if self.flags.has(flag::ORPHAN) && !packet.is_empty() {
            env.counters.resets_unread.add(1);
            return self.reset(env, Phase::Reset);
        }
        if seq != self.expected {
            //= RFC 9293 3.10.7.4 SHLD-31: out of order segments are queued
            //= RFC 5681 4.2, RFC 9293 3.8.6.3 MAY-13: and acknowledged at once
            self.acknowledge_now(env);
            return self.keep_early(env, seq, packet, fin);
        }
        if self.take(env, packet, fin) && !self.early.is_empty() {
            //= RFC 5681 4.2: so is a segment that fills a gap
            self.acknowledge_now(env);
            self.take_early(env);
        }
    }

    /// Remembers to report what arrived twice, to who takes ranges.
    //= RFC 2883 4: a duplicate is reported once, in the next acknowledgement
    #[cold]
    pub fn note_double(&mut self, from: Seq, length: usize) {
        if length > 0 && self.flags.has(flag::SACK) {
            self.twice = Range { from, to: from + length as u32 };
            self.flags.set(flag::TWICE);
        }
    }

    /// Remembers to report which part of a segment has arrived before: the first of several.
    //= RFC 2883 4.2: partial duplicates are reported, too, each segment's first one
    #[cold]
    fn note_part(&mut self, from: Seq, to: Seq) {
        self.flags.set(flag::ACK_NOW);
        if !self.flags.has(flag::TWICE) {
            self.note_double(from, to.since(from) as usize);
        }
    }

    /// Takes text that was expected next. Whether there was memory for it.
    #[inline(always)]
    fn take(&mut self, env: &mut Env, packet: Packet, fin: bool) -> bool {
        let length = packet.len();
        if length > 0 {
            if !self.store(env, packet) {
                env.counters.dropped_memory.add(1);
                self.acknowledge_now(env);
                return false;
            }
            self.expected = self.expected + length as u32;
            env.effects |= effect::NEWS | effect::OUTPUT;
            self.tune(env);
            //= RFC 9293 3.8.6.3 SHLD-19: an ACK at least for every second full-sized segment
            let now = self.expected.since(self.last_ack) >= 2 * u32::from(self.peer_mss);
            self.flags.set(if now { flag::ACK_NOW } else { flag::ACK_PENDING });
        }
        if fin {
            self.take_fin(env);
        }
        true
    }

    //= RFC 9293 3.10.7.4: eighth, check the FIN bit
    #[cold]
    fn take_fin(&mut self, env: &mut Env) {
        self.expected = self.expected + 1;
        self.offered = self.offered.max(self.expected);
        self.flags.set(flag::FIN_RECEIVED | flag::ACK_NOW);
        env.effects |= effect::NEWS | effect::OUTPUT;
        env.nodes.clear(&mut self.early);
        self.early_count = 0;
        match self.state {
            State::Established => self.state = State::CloseWait,
            State::FinWait1 => self.state = State::Closing,
            State::FinWait2 => self.time_wait(env),
            _ => {}
        }
    }

    #[inline(always)]
    fn store(&mut self, env: &mut Env, packet: Packet) -> bool {
        let length = packet.len();
        if length <= COPY_MAX
            && !self.receive.is_empty()
            && append(env, self.receive.tail, packet.bytes())
        {
            self.waiting += length as u32;
            return true;
        }
        if !env.nodes.has_room(Side::Receive) && !self.sacrifice_early(env) {
            return false;
        }
        env.nodes.append(&mut self.receive, Side::Receive, self.expected, packet);
        self.waiting += length as u32;
        true
    }

    /// Makes room for a packet: what is expected matters more than what came early, which was
    /// not promised. Whether there is some now.
    #[cold]
    fn sacrifice_early(&mut self, env: &mut Env) -> bool {
        env.counters.dropped_early.add(u64::from(self.early_count));
        env.nodes.clear(&mut self.early);
        self.early_count = 0;
        // A range of what is not there any more would say that it is.
        if self.twice.to.after(self.expected) {
            self.flags.clear(flag::TWICE);
        }
        env.nodes.has_room(Side::Receive)
    }

    /// Keeps text that came before its time, in order and without overlaps.
    #[cold]
    fn keep_early(&mut self, env: &mut Env, mut seq: Seq, mut packet: Packet, mut fin: bool) {
        env.counters.early.add(1);
        self.early_last = seq;
        env.early_order = env.early_order.wrapping_add(1);
        let end = seq + packet.len() as u32;
        let before = self.early_before(env, seq);
        if before != NIL {
            let node = env.nodes.get(before);
            if node.has(mark::FIN) {
                return;
            }
            let known = node.end();
            if !end.after(known) {
                // All of it is there, but perhaps the FIN.
                let node = env.nodes.get_mut(before);
                node.sent_at = env.early_order;
                if fin && end == known {
                    node.marks |= mark::FIN;
                }
                env.counters.duplicates.add(1);
                return self.note_double(seq, packet.len());
            }
            if known.after(seq) {
                self.note_part(seq, known);
                packet.trim_front(known.since(seq) as usize);
                seq = known;
            }
        }
        let mut replaces = false;
        loop {
            let after = match before {
                NIL => self.early.head,
                before => env.nodes.next(before),
            };
            if after == NIL || !env.nodes.get(after).seq.before(end) {
                break;
            }
            let node = env.nodes.get(after);
            self.note_part(node.seq, if node.end().after(end) { end } else { node.end() });
            if node.end().after(end) {
                packet.truncate(node.seq.since(seq) as usize);
                fin = false;
                break;
            }
            fin |= node.has(mark::FIN) && node.end() == end;
            if let Some(id) = env.nodes.pop_after(&mut self.early, before) {
                drop(env.nodes.remove(id));
                self.early_count -= 1;
                replaces = true;
            }
        }
        self.insert_early(env, before, seq, packet, fin, replaces);
    }

    /// Enters a packet behind the node `before`. One that replaces others needs no more memory
    /// than they did, and always finds it: what was reported is not thrown away.
    fn insert_early(
        &mut self,
        env: &mut Env,
        before: u32,
        seq: Seq,
        packet: Packet,
        fin: bool,
        replaces: bool,
    ) {
        let fins = if fin { mark::FIN } else { 0 };
        let adjacent = before != NIL && env.nodes.get(before).end() == seq;
        if adjacent && packet.len() <= COPY_MAX && append(env, before, packet.bytes()) {
            let node = env.nodes.get_mut(before);
            (node.marks, node.sent_at) = (fins, env.early_order);
            return;
        }
        let limit = EARLY_MIN + u64::from(self.buffer) / 1024;
        let is_full = u64::from(self.early_count) >= limit || !env.nodes.is_relaxed(Side::Receive);
        if is_full && !replaces {
            return env.counters.dropped_early.add(1);
        }
        let Ok(id) = env.nodes.add(Side::Receive, seq, packet) else {
            return env.counters.dropped_memory.add(1);
        };
        let node = env.nodes.get_mut(id);
        (node.marks, node.sent_at) = (fins, env.early_order);
        env.nodes.insert(&mut self.early, before, id);
        self.early_count += 1;
    }

    /// What has arrived early, as ranges for the other side, and how many there are: that which
    /// changed last comes first.
    //= RFC 2018 4: the first block has the segment that caused the acknowledgement
    //= RFC 2018 4: the others are those reported most recently, so that each is told several times
    #[cold]
    pub fn early_ranges(&self, env: &Env) -> ([Range; RANGES_MAX], usize) {
        let mut ranges = [Range::default(); RANGES_MAX];
        let mut ages = [u32::MAX; RANGES_MAX];
        let (mut first, mut count) = (0, 0);
        if self.flags.has(flag::TWICE) {
            //= RFC 2883 4: what arrived twice comes before what is missing
            ranges[0] = self.twice;
            (first, count) = (1, 1);
        }
        let mut at = self.early.head;
        // Ends: the queue's length is limited.
        while at != NIL {
            let mut range = Range { from: env.nodes.get(at).seq, to: behind(env, at) };
            let mut age = env.early_order.wrapping_sub(env.nodes.get(at).sent_at);
            at = env.nodes.next(at);
            while at != NIL && env.nodes.get(at).seq == range.to {
                range.to = behind(env, at);
                age = age.min(env.early_order.wrapping_sub(env.nodes.get(at).sent_at));
                at = env.nodes.next(at);
            }
            let is_last = !self.early_last.before(range.from) && self.early_last.before(range.to);
            let age = if is_last { 0 } else { age.saturating_add(1) };
            let newer = ages.get(first..count).unwrap_or_default();
            let place = first + newer.iter().filter(|other| **other <= age).count();
            if let (Some(ranges), Some(ages)) = (ranges.get_mut(place..), ages.get_mut(place..))
                && !ranges.is_empty()
            {
                ranges.rotate_right(1);
                ages.rotate_right(1);
                (ranges[0], ages[0]) = (range, age);
                count = (count + 1).min(RANGES_MAX);
            }
        }
        (ranges, count)
    }

    /// The last early packet that begins at or before `seq`.
    fn early_before(&self, env: &Env, seq: Seq) -> u32 {
        let tail = self.early.tail;
        if tail != NIL && !env.nodes.get(tail).seq.after(seq) {
            return tail;
        }
        let (mut before, mut at) = (NIL, self.early.head);
        // Ends: the queue's length is limited.
        while at != NIL && !env.nodes.get(at).seq.after(seq) {
            before = at;
            at = env.nodes.next(at);
        }
        before
    }

    /// Takes the early packets whose turn has come.
    #[cold]
    fn take_early(&mut self, env: &mut Env) {
        while self.early.head != NIL {
            let node = env.nodes.get(self.early.head);
            let (seq, end, fin) = (node.seq, node.end(), node.has(mark::FIN));
            if seq.after(self.expected) {
                return;
            }
            let Some(id) = env.nodes.pop(&mut self.early) else { return };
            self.early_count -= 1;
            let Data::Packet(mut packet) = env.nodes.remove(id) else { continue };
            if seq.before(self.expected) {
                self.note_part(seq, if end.after(self.expected) { self.expected } else { end });
            }
            if end.before(self.expected) {
                continue;
            }
            packet.trim_front(self.expected.since(seq) as usize);
            if !self.take(env, packet, fin) {
                return;
            }
        }
    }
}

/// The sequence number behind an early packet and its FIN.
fn behind(env: &Env, id: u32) -> Seq {
    let node = env.nodes.get(id);
    node.end() + u32::from(node.has(mark::FIN))
}

/// Copies `bytes` behind the packet of node `id`, where they fit.
#[inline(never)]
fn append(env: &mut Env, id: u32, bytes: &[u8]) -> bool {
    let node = env.nodes.get_mut(id);
    let Data::Packet(packet) = &mut node.data else { return false };
    if usize::from(node.len) + bytes.len() > CAPACITY || packet.append(bytes).is_err() {
        return false;
    }
    node.len += bytes.len() as u16;
    true
}
