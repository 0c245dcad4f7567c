//! What a connection sends: decided in `transmit`, after the services above have run, so that
//! acknowledgements ride on what they say.

use crate::queue::{Data, NIL, Side, mark};
use crate::recovery::Probe;
use crate::seq::Seq;
use crate::state::{Conn, Env, RETRY, flag};
use crate::wire::Flags;
use waitless::{Instant, IpPort, Packet};

/// Segments that one connection sends before the next one has its turn.
const QUANTUM: usize = 8;

/// Headers below and our own, at most: the device's (12), Ethernet (18), IPv6 (40), TCP (60).
pub const HEADERS_MAX: usize = 130;

/// What is sent besides the stream.
const SPECIAL: u64 = flag::RESET_DUE
    | flag::SYN_DUE
    | flag::RESEND_FIN
    | flag::PROBE_DUE
    | flag::KEEP_ALIVE_DUE
    | flag::TAIL_DUE;

/// What could be sent next.
enum Plan {
    /// Nothing is left to send.
    Done,
    /// Something is, but the other side must make room first.
    Wait,
    /// Something is, but the network must make room first.
    Crowded,
    /// So many bytes of the packet at the cursor.
    Data(u32),
    /// The FIN alone.
    Fin,
}

/// A packet could not be sent now: the device still has it, or none is free.
pub struct Busy;

impl Conn {
    /// Sends what may be sent, at most `budget` packets, of which it takes off what it used.
    /// Whether the connection wants another turn.
    #[inline]
    pub fn output<I: IpPort>(&mut self, ip: &mut I, env: &mut Env, budget: &mut usize) -> bool {
        let mut blocked = self.flags.has(SPECIAL) && self.output_special(ip, env, budget).is_err();
        let mut more = false;
        if self.is_synchronized() {
            let rare = self.flags.has(flag::TROUBLE | flag::DETECT | flag::PACED | flag::SHORT);
            let sent = match rare {
                true => self.output_rarely(ip, env, budget),
                false => self.output_fresh(ip, env, budget),
            };
            match sent {
                Ok(wants) => more = wants,
                Err(Busy) => blocked = true,
            }
        }
        if self.flags.has(flag::ACK_NOW | flag::ACK_PENDING) {
            if *budget == 0 {
                return true;
            }
            blocked |= self.output_ack(ip, env, budget).is_err();
        }
        if blocked {
            return self.retry(env);
        }
        more
    }

    /// Sends what may be sent where something was lost or the connection is paced.
    #[cold]
    fn output_rarely<I: IpPort>(
        &mut self,
        ip: &mut I,
        env: &mut Env,
        budget: &mut usize,
    ) -> Result<bool, Busy> {
        match self.flags.has(flag::PACED) {
            true => self.output_paced(ip, env, budget),
            false => self.output_any(ip, env, budget),
        }
    }

    /// What was lost, then what is new. Whether there is more that may be sent.
    #[inline(never)]
    pub fn output_any<I: IpPort>(
        &mut self,
        ip: &mut I,
        env: &mut Env,
        budget: &mut usize,
    ) -> Result<bool, Busy> {
        let lost = self.recovery.lost > 0 || self.flags.has(flag::DETECT);
        if lost && self.output_lost(ip, env, budget)? {
            return Ok(true);
        }
        if self.flags.has(flag::SHORT) && self.search(ip, env, budget)? {
            return Ok(false);
        }
        self.output_fresh(ip, env, budget)
    }

    /// Sends for the first time what may be sent, and sees to the probe that follows.
    #[inline(always)]
    fn output_fresh<I: IpPort>(
        &mut self,
        ip: &mut I,
        env: &mut Env,
        budget: &mut usize,
    ) -> Result<bool, Busy> {
        let before = self.next;
        let sent = self.output_next(ip, env, budget);
        if self.flags.has(flag::SACK) && self.next != before {
            self.sent_more(env);
        }
        sent
    }

    /// More is under way than when the timer was set.
    //= RFC 8985 7.2: the probe is scheduled when new data was sent
    fn sent_more(&mut self, env: &Env) {
        if !self.flags.has(flag::TROUBLE | flag::PERSIST) && self.resend_at != Instant::NEVER {
            self.set_probe_timer(env);
        }
    }

    /// Sends for the first time what may be sent. Whether there is more that may be.
    #[inline(always)]
    fn output_next<I: IpPort>(
        &mut self,
        ip: &mut I,
        env: &mut Env,
        budget: &mut usize,
    ) -> Result<bool, Busy> {
        let mut turns = QUANTUM;
        loop {
            let plan = self.plan(env);
            if matches!(plan, Plan::Data(_) | Plan::Fin) && (*budget == 0 || turns == 0) {
                return Ok(true);
            }
            let before = self.next;
            match plan {
                Plan::Data(size) if self.may_burst(env, size) => {
                    self.send_burst(ip, env, budget, size)?;
                }
                Plan::Data(size) => self.send_next(ip, env, budget, size)?,
                Plan::Fin => self.send_fin(ip, env, budget)?,
                Plan::Done => {
                    self.not_crowded();
                    return Ok(false);
                }
                Plan::Crowded => {
                    self.flags.set(flag::CROWDED);
                    self.arm_persist(env);
                    return Ok(false);
                }
                Plan::Wait => {
                    self.not_crowded();
                    self.arm_persist(env);
                    return Ok(false);
                }
            }
            // Nearly segments: a burst counts as what is in it.
            let segments = self.next.since(before) as usize / 1024;
            turns = turns.saturating_sub(segments.max(1));
        }
    }

    /// Whether nothing is left to send, but perhaps a FIN.
    pub fn is_all_sent(&self, env: &Env) -> bool {
        self.cursor == NIL || env.nodes.get(self.cursor).len == 0
    }

    /// Whether something is to be sent for which both windows have room.
    pub fn may_send(&self, env: &Env) -> bool {
        let lost = self.recovery.lost > 0 && self.pipe() < self.congestion.window();
        lost || matches!(self.plan(env), Plan::Data(_) | Plan::Fin)
    }

    /// It is not the network that keeps from sending more, unless that is something lost.
    #[inline]
    fn not_crowded(&mut self) {
        if !self.flags.has(flag::TROUBLE) {
            self.flags.clear(flag::CROWDED);
        }
    }

    /// Finds out what was lost, and sends it again as far as it may be. Whether there is more
    /// that may be sent.
    //= RFC 6675 4: NextSeg, rule 1: what is lost comes before what is new
    #[cold]
    fn output_lost<I: IpPort>(
        &mut self,
        ip: &mut I,
        env: &mut Env,
        budget: &mut usize,
    ) -> Result<bool, Busy> {
        if self.flags.has(flag::DETECT) {
            self.recover(env);
        }
        let mut turns = QUANTUM;
        while let Some(id) = self.next_lost(env) {
            let node = env.nodes.get(id);
            let from = node.seq.max(self.unacked);
            let mut size = node.end().since(from).min(u32::from(self.mss));
            if self.pipe() + size > self.congestion.window() {
                self.flags.set(flag::CROWDED);
                break;
            }
            //= RFC 9293 3.8.6 SHLD-16: within a window that shrank it is sent again
            //= RFC 9293 3.8.6 SHLD-17, MAY-7: what lies behind that waits for the window
            let room = self.window.saturating_sub(from.since(self.unacked));
            if size > room && (from != self.unacked || room == 0) {
                break;
            }
            size = size.min(room);
            if *budget == 0 || turns == 0 {
                return Ok(true);
            }
            self.send_lost(ip, env, budget, id, from, size)?;
            turns -= 1;
        }
        Ok(false)
    }

    /// Sends again what is lost.
    fn send_lost<I: IpPort>(
        &mut self,
        ip: &mut I,
        env: &mut Env,
        budget: &mut usize,
        id: u32,
        from: Seq,
        size: u32,
    ) -> Result<(), Busy> {
        let node = env.nodes.get_mut(id);
        let (behind, first) = (node.end(), from == self.unacked);
        self.recovery.lost -= u32::from(node.len);
        node.marks &= !mark::LOST;
        let sent = self.send_node(ip, env, budget, id, from, size);
        let node = env.nodes.get_mut(id);
        if sent.is_err() {
            self.mark_lost(env, id);
            return Err(Busy);
        }
        node.marks |= mark::AGAIN;
        if node.end() != behind {
            // It was cut; the rest is lost as well.
            let rest = env.nodes.next(id);
            self.mark_lost(env, rest);
        }
        self.note_resent(env);
        env.counters.retransmitted.add(1);
        self.note_sending(env, size);
        if self.flags.has(flag::MODELLED) {
            self.note_sent(env, id);
        }
        if first || self.resend_at == Instant::NEVER {
            self.set_timer(env);
        }
        Ok(())
    }

    /// Comes back soon by timer, not in the next sweep.
    #[cold]
    fn retry(&mut self, env: &mut Env) -> bool {
        self.flags.set(flag::RETRY);
        env.come_back(env.now + RETRY);
        self.start_timer(env);
        false
    }

    /// What is sent besides the stream: rare.
    #[cold]
    fn output_special<I: IpPort>(
        &mut self,
        ip: &mut I,
        env: &mut Env,
        budget: &mut usize,
    ) -> Result<(), Busy> {
        if self.flags.has(flag::RESET_DUE) {
            let packet = env.pool.packet().ok_or(Busy)?;
            //= RFC 9293 3.10.5: <SEQ=SND.NXT><CTL=RST>
            let flags = Flags::RST.and(Flags::ACK);
            self.emit_alone(ip, env, budget, packet, self.next, flags);
            self.flags.clear(flag::RESET_DUE | flag::ACK_NOW | flag::ACK_PENDING);
            env.counters.resets_sent.add(1);
        }
        if self.flags.has(flag::SYN_DUE) {
            self.send_syn(ip, env, budget)?;
        }
        if self.flags.has(flag::RESEND_FIN) {
            self.resend_fin(ip, env, budget)?;
        }
        if self.flags.has(flag::TAIL_DUE) {
            self.probe_tail(ip, env, budget)?;
        }
        if self.flags.has(flag::PROBE_DUE) {
            self.probe(ip, env, budget)?;
        }
        if self.flags.has(flag::KEEP_ALIVE_DUE) {
            let packet = env.pool.packet().ok_or(Busy)?;
            //= RFC 9293 3.8.4 SHLD-12: a keep-alive has no data and SEQ=SND.NXT-1
            self.emit_alone(ip, env, budget, packet, self.next - 1, Flags::ACK);
            self.flags.clear(flag::KEEP_ALIVE_DUE);
        }
        Ok(())
    }

    /// What may be sent next.
    #[inline]
    fn plan(&self, env: &Env) -> Plan {
        let id = self.cursor;
        let under_way = self.next.since(self.unacked);
        if id == NIL || env.nodes.get(id).len == 0 {
            let fin = self.flags.has(flag::FIN_QUEUED) && self.next == self.queued;
            return if fin { Plan::Fin } else { Plan::Done };
        }
        let mss = u32::from(self.mss);
        let node = env.nodes.get(id);
        let size = node.end().since(self.next).min(mss);
        //= RFC 5681 3.1: no more under way than the congestion window
        if self.pipe() + size > self.congestion.window() {
            return Plan::Crowded;
        }
        //= RFC 9293 3.8.6 MUST-34, SHLD-15: a window that shrank leaves nothing
        let offered = self.window.saturating_sub(under_way);
        if size > offered {
            //= RFC 9293 3.8.6.2.1 MUST-38: no silly segments: half the largest window at least
            let worth = offered > 0 && offered >= self.window_max / 2;
            return if worth { Plan::Data(offered) } else { Plan::Wait };
        }
        //= RFC 9293 3.7.4 SHLD-7, MUST-17: Nagle's algorithm, where the manifest wants it
        let short = size < mss && under_way > 0 && self.next + size == self.queued;
        if short && self.flags.has(flag::NAGLE) && !self.flags.has(flag::FIN_QUEUED) {
            return Plan::Wait;
        }
        Plan::Data(size)
    }

    /// The same as [`send_next`](Self::send_next), away from the usual path.
    #[cold]
    pub fn send_next_rarely<I: IpPort>(
        &mut self,
        ip: &mut I,
        env: &mut Env,
        budget: &mut usize,
        size: u32,
    ) -> Result<(), Busy> {
        let id = self.cursor;
        self.send_next(ip, env, budget, size)?;
        if self.flags.has(flag::MODELLED) {
            self.note_sent(env, id);
        }
        Ok(())
    }

    /// Sends `size` bytes from the cursor.
    #[inline(always)]
    fn send_next<I: IpPort>(
        &mut self,
        ip: &mut I,
        env: &mut Env,
        budget: &mut usize,
        size: u32,
    ) -> Result<(), Busy> {
        self.begin_sending(env, size);
        let id = self.cursor;
        let sent = self.send_node(ip, env, budget, id, self.next, size);
        self.next = sent.map_err(|busy| not_sent(env, busy))?;
        self.cursor = env.nodes.next(id);
        self.start_timer(env);
        Ok(())
    }

    /// Takes note that `size` bytes are about to be sent from `next` on.
    #[inline]
    pub fn begin_sending(&mut self, env: &mut Env, size: u32) {
        if self.flight() == 0 {
            let idle = env.millis.wrapping_sub(self.sent_at);
            if u64::from(idle) * 1_000 > self.rtt.timeout_micros() {
                self.congestion.idled(u32::from(self.mss));
            }
            self.progress_at = env.millis;
            self.lengthen_segments(env);
        }
        //= RFC 3168 6.1.4, 6.1.5, 6.1.6: what is new may be marked, and nothing else
        env.capable = self.flags.has(flag::ECN);
        self.sent_at = env.millis;
        if self.flags.has(flag::TROUBLE | flag::PACED) {
            self.note_sending(env, size);
        }
    }

    /// Recovery and the pacer want to know of every byte.
    #[cold]
    fn note_sending(&mut self, env: &mut Env, size: u32) {
        if self.flags.has(flag::TROUBLE) {
            self.recovery.prr.sends(size);
        }
        if self.flags.has(flag::PACED) {
            self.take_pace(env, size);
        }
    }

    /// Sends `size` bytes of node `id` that begin at `seq`, with the FIN when it follows. Gives
    /// the sequence number after that.
    #[inline(always)]
    fn send_node<I: IpPort>(
        &mut self,
        ip: &mut I,
        env: &mut Env,
        budget: &mut usize,
        id: u32,
        seq: Seq,
        size: u32,
    ) -> Result<Seq, Busy> {
        let mut packet = take_packet(env, id)?;
        let node = env.nodes.get_mut(id);
        let skip = seq.since(node.seq) as usize;
        packet.trim_front(skip);
        node.seq = seq;
        node.len = packet.len() as u16;
        if size < packet.len() as u32 {
            packet = self.split(env, id, packet, size as usize)?;
        }
        let node = env.nodes.get_mut(id);
        node.sent_at = env.micros;
        let packet = match packet.hold() {
            Some(held) => {
                node.data = Data::Held(held);
                packet
            }
            // Somebody above keeps a handle of their own: send a copy.
            None => {
                let copy = packet.duplicate();
                node.data = Data::Packet(packet);
                copy.ok_or(Busy)?
            }
        };
        let (flags, end) = self.flags_up_to(seq + size);
        self.emit(ip, env, budget, packet, seq, flags);
        Ok(end)
    }

    /// The flags of a segment with data up to `end`, and the number behind it.
    #[inline]
    pub fn flags_up_to(&self, end: Seq) -> (Flags, Seq) {
        //= RFC 9293 3.9.1.2 MUST-60, MUST-61, SHLD-27: PSH with the last segment that is queued
        match (end == self.queued, self.flags.has(flag::FIN_QUEUED)) {
            (false, _) => (Flags::ACK, end),
            (true, false) => (Flags::ACK.and(Flags::PSH), end),
            (true, true) => (Flags::ACK.and(Flags::PSH).and(Flags::FIN), end + 1),
        }
    }

    /// Cuts a packet after `size` bytes; what is behind becomes a node of its own.
    #[cold]
    fn split(
        &mut self,
        env: &mut Env,
        id: u32,
        mut packet: Packet,
        size: usize,
    ) -> Result<Packet, Busy> {
        // A peer that wants tiny segments does not get everybody's memory. What is acknowledged
        // next is cut in any case, so that memory comes free.
        let allowed = env.nodes.has_room(Side::Send) || env.nodes.get(id).seq == self.unacked;
        let fresh = if allowed { env.pool.packet() } else { None };
        let rest = fresh.and_then(|mut rest| {
            // As little as `StreamPort::send` accepts, so that the rest of any packet fits.
            rest.reset(HEADERS_MAX);
            rest.append(packet.bytes().get(size..)?).ok()?;
            let seq = env.nodes.get(id).seq + size as u32;
            Some(env.nodes.add_anyway(Side::Send, seq, rest))
        });
        let Some(rest) = rest else {
            env.nodes.get_mut(id).data = Data::Packet(packet);
            return Err(Busy);
        };
        // Both were sent when the whole was.
        let whole = env.nodes.get(id);
        let (sent_at, again) = (whole.sent_at, whole.marks & mark::AGAIN);
        let node = env.nodes.get_mut(rest);
        node.sent_at = sent_at;
        node.marks |= again;
        env.nodes.insert(&mut self.send, id, rest);
        env.paced.split(id, rest);
        env.nodes.get_mut(id).len = size as u16;
        packet.truncate(size);
        Ok(packet)
    }

    /// Sends the FIN again that went out alone. The timer runs already.
    #[cold]
    pub fn resend_fin<I: IpPort>(
        &mut self,
        ip: &mut I,
        env: &mut Env,
        budget: &mut usize,
    ) -> Result<(), Busy> {
        if self.unacked.after(self.queued) || self.next != self.queued + 1 {
            self.flags.clear(flag::RESEND_FIN);
            return Ok(());
        }
        let packet = env.pool.packet().ok_or(Busy)?;
        env.counters.retransmitted.add(1);
        self.note_resent(env);
        self.emit_alone(ip, env, budget, packet, self.queued, Flags::FIN.and(Flags::ACK));
        self.flags.clear(flag::RESEND_FIN);
        Ok(())
    }

    /// Breaks the silence after the last segment: with the next one if there is one, otherwise
    /// with the last one again.
    //= RFC 8985 7.3: TLP_send_probe; one probe at a time
    #[cold]
    fn probe_tail<I: IpPort>(
        &mut self,
        ip: &mut I,
        env: &mut Env,
        budget: &mut usize,
    ) -> Result<(), Busy> {
        self.flags.clear(flag::TAIL_DUE);
        if self.flight() == 0 || self.flags.has(flag::TROUBLE) {
            return Ok(());
        }
        env.counters.tail_probes.add(1);
        self.recovery.stamp = self.stamp(env);
        let flight = self.next.since(self.unacked);
        let fresh = match self.cursor {
            // A FIN may have been sent behind room that was lent and not used.
            id if id != NIL && env.nodes.get(id).len > 0 => {
                env.nodes.get(id).end().since(self.next).min(u32::from(self.mss))
            }
            _ => 0,
        };
        if fresh > 0 && flight + fresh <= self.window {
            self.send_next_rarely(ip, env, budget, fresh)?;
            self.recovery.probe = Probe::Fresh;
        } else if let Some(id) = self.last_sent(env) {
            let node = env.nodes.get(id);
            let (from, size) = (node.seq.max(self.unacked), node.end().since(self.unacked));
            let size = size.min(u32::from(node.len)).min(u32::from(self.mss));
            self.send_node(ip, env, budget, id, from, size)?;
            env.nodes.get_mut(id).marks |= mark::AGAIN;
            env.counters.retransmitted.add(1);
            self.note_resent(env);
            if self.flags.has(flag::MODELLED) {
                self.note_sent(env, id);
            }
            self.recovery.probe = Probe::Again;
        } else {
            self.flags.set(flag::RESEND_FIN);
            self.resend_fin(ip, env, budget)?;
            self.recovery.probe = Probe::Again;
        }
        self.recovery.probe_end = self.next;
        //= RFC 8985 7.3: no other probe before a round trip was measured; in trouble there is none
        self.recovery.unmeasured = true;
        self.flags.set(flag::TROUBLE);
        Ok(())
    }

    /// The node that was sent last.
    fn last_sent(&self, env: &Env) -> Option<u32> {
        let (mut last, mut id) = (None, self.send.head);
        // Ends: the queue's length is limited.
        while id != NIL && id != self.cursor {
            last = Some(id);
            id = env.nodes.next(id);
        }
        last
    }

    fn send_fin<I: IpPort>(
        &mut self,
        ip: &mut I,
        env: &mut Env,
        budget: &mut usize,
    ) -> Result<(), Busy> {
        let packet = env.pool.packet().ok_or(Busy)?;
        if self.flight() == 0 {
            self.progress_at = env.millis;
        }
        self.emit_alone(ip, env, budget, packet, self.queued, Flags::FIN.and(Flags::ACK));
        self.next = self.queued + 1;
        self.start_timer(env);
        Ok(())
    }

    /// Acknowledges at once what must be, and starts the timer for what may wait.
    #[inline]
    fn output_ack<I: IpPort>(
        &mut self,
        ip: &mut I,
        env: &mut Env,
        budget: &mut usize,
    ) -> Result<(), Busy> {
        if !self.flags.has(flag::ACK_NOW) {
            if self.quick_acks == 0 {
                //= RFC 9293 3.8.6.3 SHLD-18, MUST-40: delayed by less than 0.5 s
                if self.ack_at == Instant::NEVER {
                    self.ack_at = env.now + env.config.delayed_ack;
                }
                return Ok(());
            }
            self.quick_acks -= 1;
        }
        let packet = env.pool.packet().ok_or(Busy)?;
        self.emit_alone(ip, env, budget, packet, self.next, Flags::ACK);
        Ok(())
    }

    //= RFC 6298 5.1: start the timer when something is sent and it does not run
    #[inline]
    pub fn start_timer(&mut self, env: &Env) {
        if (self.resend_at == Instant::NEVER || self.flags.has(flag::PERSIST)) && self.flight() > 0
        {
            self.flags.clear(flag::PERSIST);
            self.set_timer(env);
        }
    }
}

/// What was to be new data was not sent: what is sent instead may be anything.
#[cold]
fn not_sent(env: &mut Env, busy: Busy) -> Busy {
    env.capable = false;
    busy
}

/// The packet of node `id`, to send it; it must be put back or held.
#[inline]
pub fn take_packet(env: &mut Env, id: u32) -> Result<Packet, Busy> {
    let node = env.nodes.get_mut(id);
    match core::mem::replace(&mut node.data, Data::Nothing) {
        Data::Packet(mut packet) => {
            // A service may have been lent more room than it committed.
            packet.truncate(usize::from(node.len));
            Ok(packet)
        }
        Data::Held(held) => held.reclaim().map_err(|held| {
            node.data = Data::Held(held);
            Busy
        }),
        Data::Nothing => Err(Busy),
    }
}
