//! What a connection sends: decided in `transmit`, after the services above have run, so that
//! acknowledgements ride on what they say.

use crate::queue::{Data, NIL, Side};
use crate::seq::Seq;
use crate::state::{Conn, Env, State, effect, flag, scale_for, segment_limit};
use crate::wire::{Flags, Options, Segment, Stamps, field};
use waitless::packet::{Info, NoRoom};
use waitless::{Instant, IpPort, Packet, Protocol};

/// Segments that one connection sends before the next one has its turn.
const QUANTUM: usize = 8;

/// Headers below and our own, at most: the device's (12), Ethernet (18), IPv6 (40), TCP (60).
pub const HEADERS_MAX: usize = 130;

/// What could be sent next.
enum Plan {
    /// Nothing is left to send.
    Done,
    /// Something is, but the other side or the network must make room first.
    Wait,
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
        let special =
            flag::RESET_DUE | flag::SYN_DUE | flag::RESEND | flag::PROBE_DUE | flag::KEEP_ALIVE_DUE;
        let mut blocked = self.flags.has(special) && self.output_special(ip, env, budget).is_err();
        let mut more = false;
        if self.is_synchronized() {
            let mut turns = QUANTUM;
            loop {
                let plan = self.plan(env);
                more = matches!(plan, Plan::Data(_) | Plan::Fin);
                if more && (*budget == 0 || turns == 0) {
                    break;
                }
                let before = self.next;
                let result = match plan {
                    Plan::Data(size) if self.may_burst(env, size) => {
                        self.send_burst(ip, env, budget)
                    }
                    Plan::Data(size) => self.send_next(ip, env, budget, size),
                    Plan::Fin => self.send_fin(ip, env, budget),
                    Plan::Done => break,
                    Plan::Wait => {
                        self.arm_persist(env);
                        break;
                    }
                };
                if result.is_err() {
                    blocked = true;
                    break;
                }
                // Nearly segments: a burst counts as what is in it.
                let segments = self.next.since(before) as usize / 1024;
                turns = turns.saturating_sub(segments.max(1));
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

    /// Comes back soon by timer, not in the next sweep.
    #[cold]
    fn retry(&mut self, env: &mut Env) -> bool {
        self.flags.set(flag::RETRY);
        env.effects |= effect::RETRY;
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
            self.emit_alone(ip, env, budget, packet, self.sent, flags);
            self.flags.clear(flag::RESET_DUE | flag::ACK_NOW | flag::ACK_PENDING);
            env.counters.resets_sent.add(1);
        }
        if self.flags.has(flag::SYN_DUE) {
            self.send_syn(ip, env, budget)?;
        }
        if self.flags.has(flag::RESEND) {
            self.resend_first(ip, env, budget)?;
        }
        if self.flags.has(flag::PROBE_DUE) {
            self.probe(ip, env, budget)?;
        }
        if self.flags.has(flag::KEEP_ALIVE_DUE) {
            let packet = env.pool.packet().ok_or(Busy)?;
            //= RFC 9293 3.8.4 SHLD-12: a keep-alive has no data and SEQ=SND.NXT-1
            self.emit_alone(ip, env, budget, packet, self.sent - 1, Flags::ACK);
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
        let mut allowed = self.congestion.window();
        if self.duplicates > 0 && !self.flags.has(flag::RECOVERY) {
            //= RFC 3042 2: the first two duplicates let one segment out each
            allowed += u32::from(self.duplicates.min(2)) * mss;
        }
        if under_way + size > allowed {
            return Plan::Wait;
        }
        //= RFC 9293 3.8.6 MUST-34: a window that shrank below what is under way leaves nothing
        let offered = self.window.saturating_sub(under_way);
        if size > offered {
            //= RFC 9293 3.8.6.2.1 MUST-38: no silly segments: half the largest window at least
            let worth = offered > 0 && offered >= self.window_max / 2;
            return if worth { Plan::Data(offered) } else { Plan::Wait };
        }
        //= RFC 9293 3.7.4 SHLD-7, MUST-17: Nagle's algorithm, where the manifest wants it
        let short = size < mss && under_way > 0 && self.next + size == self.queued;
        if short && env.config.nagle && !self.flags.has(flag::FIN_QUEUED) {
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
        self.send_next(ip, env, budget, size)
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
        let end = self.send_node(ip, env, budget, id, self.next, size)?;
        self.next = end;
        self.sent = self.sent.max(end);
        self.cursor = env.nodes.next(id);
        self.start_timer(env);
        Ok(())
    }

    /// Takes note that `size` bytes are about to be sent from `next` on.
    #[inline]
    pub fn begin_sending(&mut self, env: &Env, size: u32) {
        if self.flight() == 0 {
            let idle = env.millis.wrapping_sub(self.sent_at);
            if u64::from(idle) * 1_000 > self.rtt.timeout_micros() {
                self.congestion.idled(u32::from(self.mss));
            }
            self.progress_at = env.millis;
        }
        self.sent_at = env.millis;
        if self.next.before(self.sent) {
            env.counters.retransmitted.add(1);
        } else if !self.flags.has(flag::STAMPS | flag::TIMED) {
            //= RFC 6298 4: one measurement per round trip
            self.flags.set(flag::TIMED);
            self.timed_seq = self.next + size;
            self.timed_at = env.micros;
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
        //= RFC 9293 3.9.1.2 MUST-61: PSH with the last segment that is queued
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
        env.nodes.insert(&mut self.send, id, rest);
        env.nodes.get_mut(id).len = size as u16;
        packet.truncate(size);
        Ok(packet)
    }

    /// Sends the first unacknowledged segment again.
    #[cold]
    fn resend_first<I: IpPort>(
        &mut self,
        ip: &mut I,
        env: &mut Env,
        budget: &mut usize,
    ) -> Result<(), Busy> {
        let id = self.send.head;
        if self.flight() == 0 {
            self.flags.clear(flag::RESEND);
            return Ok(());
        }
        env.counters.retransmitted.add(1);
        if id == NIL || env.nodes.get(id).len == 0 {
            let packet = env.pool.packet().ok_or(Busy)?;
            let flags = Flags::FIN.and(Flags::ACK);
            self.emit_alone(ip, env, budget, packet, self.queued, flags);
        } else {
            let left = env.nodes.get(id).end().since(self.unacked);
            let size = left.min(u32::from(self.mss));
            let end = self.send_node(ip, env, budget, id, self.unacked, size)?;
            self.sent = self.sent.max(end);
            if self.next.before(end) {
                self.next = end;
                self.cursor = env.nodes.next(id);
            }
        }
        self.flags.clear(flag::RESEND);
        self.start_timer(env);
        Ok(())
    }

    /// Probes a window that is closed, or too small for what is to be sent.
    #[cold]
    fn probe<I: IpPort>(
        &mut self,
        ip: &mut I,
        env: &mut Env,
        budget: &mut usize,
    ) -> Result<(), Busy> {
        self.flags.clear(flag::PROBE_DUE);
        self.resend_at = env.now + self.rtt.timeout();
        let id = self.send.head;
        // A retransmission in the same sweep is a probe already, and has moved the cursor on.
        if id == NIL || self.cursor != id || env.nodes.get(id).len == 0 {
            self.flags.clear(flag::PERSIST);
            return Ok(());
        }
        env.counters.probes.add(1);
        let size = env.nodes.get(id).end().since(self.unacked).min(u32::from(self.mss));
        if self.window > 0 {
            //= RFC 9293 3.8.6.2.1: the override: after a while the silly segment is sent
            self.flags.clear(flag::PERSIST);
            let size = size.min(self.window);
            return self.send_next_rarely(ip, env, budget, size);
        }
        //= RFC 9293 3.8.6.1 MUST-36: a probe is one octet of new data
        let packet = take_packet(env, id)?;
        let skip = self.unacked.since(env.nodes.get(id).seq) as usize;
        let octet = packet.bytes().get(skip).copied();
        env.nodes.get_mut(id).data = Data::Packet(packet);
        let mut probe = env.pool.packet().ok_or(Busy)?;
        probe.append(&[octet.ok_or(Busy)?]).map_err(|_| Busy)?;
        self.emit_alone(ip, env, budget, probe, self.unacked, Flags::ACK);
        self.sent = self.sent.max(self.unacked + 1);
        Ok(())
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
        self.sent = self.sent.max(self.next);
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
        self.emit_alone(ip, env, budget, packet, self.sent, Flags::ACK);
        Ok(())
    }

    //= RFC 6298 5.1: start the timer when something is sent and it does not run
    #[inline]
    pub fn start_timer(&mut self, env: &Env) {
        if (self.resend_at == Instant::NEVER || self.flags.has(flag::PERSIST)) && self.flight() > 0
        {
            self.flags.clear(flag::PERSIST);
            self.resend_at = env.now + self.rtt.timeout();
        }
    }

    /// Something waits for the other side's window. Unless the retransmission timer runs, the
    /// persist timer must.
    //= RFC 9293 3.8.6.1 SHLD-29: the first probe is sent after a retransmission timeout
    #[inline]
    fn arm_persist(&mut self, env: &Env) {
        if self.resend_at == Instant::NEVER {
            self.flags.set(flag::PERSIST);
            self.resend_at = env.now + self.rtt.timeout();
            self.progress_at = env.millis;
        }
    }

    /// The same as [`emit`](Self::emit), for segments that no data goes with as a rule.
    #[inline(never)]
    pub fn emit_alone<I: IpPort>(
        &mut self,
        ip: &mut I,
        env: &mut Env,
        budget: &mut usize,
        packet: Packet,
        seq: Seq,
        flags: Flags,
    ) {
        self.emit(ip, env, budget, packet, seq, flags);
    }

    /// Prepends the header and hands the packet down.
    #[inline(always)]
    fn emit<I: IpPort>(
        &mut self,
        ip: &mut I,
        env: &mut Env,
        budget: &mut usize,
        mut packet: Packet,
        seq: Seq,
        flags: Flags,
    ) {
        let segment = Segment {
            source: self.tuple.local_port,
            destination: self.tuple.remote_port,
            seq,
            ack: self.expected,
            flags,
            window: self.offer(env),
            ..Segment::default()
        };
        let prepended = if !self.early.is_empty() && self.flags.has(flag::SACK) {
            self.prepend_sacks(env, &segment, &mut packet)
        } else if self.flags.has(flag::STAMPS) {
            //= RFC 7323 3.2: once agreed, in every segment but a RST
            let stamps = Stamps { value: self.stamp(env), echo: self.stamp_recent };
            packet.prepend(segment.header_stamped(stamps))
        } else {
            packet.prepend(segment.header_plain())
        };
        if prepended.is_ok() {
            self.hand_down(ip, env, budget, packet);
        }
        //= RFC 9293 3.8.6.3 MUST-58: what has arrived is acknowledged by every segment
        self.flags.clear(flag::ACK_NOW | flag::ACK_PENDING);
        self.ack_at = Instant::NEVER;
        self.last_ack = self.expected;
    }

    /// Prepends a header that says what has arrived early, unless there is no space for that.
    //= RFC 2018 4: ranges are reported in every ACK that does not acknowledge all there is;
    // deviation: in those without data, so that a segment's size does not change
    #[cold]
    fn prepend_sacks(
        &self,
        env: &Env,
        segment: &Segment,
        packet: &mut Packet,
    ) -> Result<(), NoRoom> {
        let stamped = self.flags.has(flag::STAMPS);
        let stamps = Stamps { value: self.stamp(env), echo: self.stamp_recent };
        let stamps = stamped.then_some(stamps);
        let (ranges, count) = self.early_ranges(env);
        let (header, length) = match packet.is_empty() && count > 0 {
            true => segment.header_sacks(stamps, ranges.get(..count).unwrap_or_default()),
            false => {
                let options = Options { stamps, ..Options::default() };
                Segment { options, ..*segment }.header_full()
            }
        };
        let header = header.get(..length).unwrap_or_default();
        let room = packet.grow_front(length)?.get_mut(..length).ok_or(NoRoom)?;
        room.copy_from_slice(header);
        Ok(())
    }

    /// Completes the checksum and the addresses.
    #[inline(always)]
    fn hand_down<I: IpPort>(
        &self,
        ip: &mut I,
        env: &mut Env,
        budget: &mut usize,
        mut packet: Packet,
    ) {
        // Only a chain is longer than a segment, and the device cuts it.
        let length = if env.burst == 0 { packet.len() } else { packet.chain_len() };
        *packet.info_mut() = Info {
            remote: self.tuple.remote,
            local: self.tuple.local,
            segment: if length == packet.len() { 0 } else { self.mss },
            class: env.config.traffic_class,
            ..Info::default()
        };
        //= RFC 9293 3.1 MUST-2: the checksum covers the pseudo header
        let sum = self.pseudo.word(length as u16);
        let sum = match env.offload {
            true => sum.folded(),
            false => sum.add(packet.bytes()).finish(),
        };
        if let Some(room) = packet.bytes_mut().get_mut(field::CHECKSUM) {
            room.copy_from_slice(&sum.to_be_bytes());
        }
        if env.offload {
            packet.request_checksum(0, field::CHECKSUM.start);
        }
        env.counters.sent.add(1);
        *budget = budget.saturating_sub(1);
        if ip.send(Protocol::TCP, packet).is_err() {
            // Room was checked before: a broken promise below is like a loss on the wire.
            env.counters.dropped_below.add(1);
            *budget = 0;
        }
    }

    /// The window to offer, as it goes into the header.
    #[inline]
    fn offer(&mut self, env: &Env) -> u16 {
        let buffer = env.config.receive_buffer as u32;
        let edge = self.edge(env);
        //= RFC 9293 3.8.6.2.2 MUST-39: the edge moves by a segment or half the buffer at least
        //= RFC 9293 3.8.6 SHLD-14: and never back
        let step = (buffer / 2).min(u32::from(self.mss));
        if edge.after(self.offered) && edge.since(self.offered) >= step {
            self.offered = edge;
        }
        //= RFC 7323 2.4: rounded up, so that scaling does not shrink it either
        let window = self.receive_window();
        let round_up = (1 << self.receive_scale) - 1;
        let scaled = ((window + round_up) >> self.receive_scale).min(u32::from(u16::MAX));
        self.offered = self.expected + (scaled << self.receive_scale);
        scaled as u16
    }

    /// The byte after the window that could be offered. Little more than a segment when the
    /// memory of all connections runs short.
    #[inline]
    fn edge(&self, env: &Env) -> Seq {
        let buffer = match env.nodes.is_relaxed(Side::Receive) {
            true => env.config.receive_buffer as u32,
            false => (env.config.receive_buffer as u32).min(2 * u32::from(self.mss)),
        };
        self.expected + buffer.saturating_sub(self.waiting)
    }

    /// Whether so much was consumed that the other side should hear of it at once.
    #[inline]
    pub fn owes_window_update(&self, env: &Env) -> bool {
        // Without a scale, no more than 64 KiB can be offered, whatever the buffer.
        let most = u32::from(u16::MAX) << self.receive_scale;
        let buffer = (env.config.receive_buffer as u32).min(most);
        // The usual case, seen first.
        if self.receive_window() >= buffer / 2 {
            return false;
        }
        let edge = self.expected + self.edge(env).since(self.expected).min(most);
        let step = (buffer / 2).min(2 * u32::from(self.mss));
        edge.after(self.offered) && edge.since(self.offered) >= step
    }

    /// Sends the SYN, or the SYN that acknowledges one.
    #[cold]
    fn send_syn<I: IpPort>(
        &mut self,
        ip: &mut I,
        env: &mut Env,
        budget: &mut usize,
    ) -> Result<(), Busy> {
        let answers = self.state == State::SynReceived;
        let mut packet = env.pool.packet().ok_or(Busy)?;
        let wants = |agreed: u32| !answers || self.flags.has(agreed);
        let stamps = Stamps { value: self.stamp(env), echo: self.stamp_recent };
        //= RFC 9293 3.7.1 MUST-14, MUST-65, MAY-3: the MSS option, always, and only here
        let options = Options {
            mss: segment_limit(self.tuple.remote, ip.mtu(self.tuple.remote)),
            scale: wants(flag::SCALE).then(|| scale_for(env.config.receive_buffer)),
            // Offered as soon as the scoreboard is there to use it.
            sack_permitted: false,
            stamps: (env.config.timestamps && wants(flag::STAMPS)).then_some(stamps),
        };
        //= RFC 7323 2.2: the window of a segment with SYN is not scaled
        let window = env.config.receive_buffer.min(u64::from(u16::MAX)) as u16;
        let segment = Segment {
            source: self.tuple.local_port,
            destination: self.tuple.remote_port,
            seq: self.unacked,
            ack: self.expected,
            flags: if answers { Flags::SYN.and(Flags::ACK) } else { Flags::SYN },
            window,
            options,
            ..Segment::default()
        };
        let (header, length) = segment.header_full();
        packet.append(header.get(..length).unwrap_or_default()).map_err(|_| Busy)?;
        self.hand_down(ip, env, budget, packet);
        self.offered = self.expected + u32::from(window);
        self.next = self.unacked + 1;
        self.sent = self.next;
        if !self.flags.has(flag::SYN_LOST | flag::TIMED) {
            self.flags.set(flag::TIMED);
            self.timed_seq = self.next;
            self.timed_at = env.micros;
        }
        self.last_ack = self.expected;
        self.flags.clear(flag::SYN_DUE | flag::ACK_NOW | flag::ACK_PENDING);
        self.resend_at = env.now + self.rtt.timeout();
        Ok(())
    }
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
