//! Segments as packets: headers, checksums, options, and the window that is offered.

use crate::ecn::ECT;
use crate::output::Busy;
use crate::queue::Side;
use crate::recovery::Timer;
use crate::seq::Seq;
use crate::state::{Conn, Env, State, flag, scale_for, segment_limit};
use crate::wire::{Flags, Options, Segment, Stamps, field};
use waitless::packet::{ChecksumState, Info, NoRoom};
use waitless::{Instant, IpPort, Mac, Packet, Protocol};

impl Conn {
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
    pub fn emit<I: IpPort>(
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
            flags: if self.flags.has(flag::ECN) { self.mark_flags(env, flags) } else { flags },
            window: self.offer(env),
            ..Segment::default()
        };
        let reports = !self.early.is_empty() || self.flags.has(flag::TWICE);
        let prepended = if reports && self.flags.has(flag::SACK) {
            self.prepend_sacks(env, &segment.apart(), &mut packet)
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
        env.capable = false;
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
        &mut self,
        env: &Env,
        segment: &Segment,
        packet: &mut Packet,
    ) -> Result<(), NoRoom> {
        let stamped = self.flags.has(flag::STAMPS);
        let stamps = Stamps { value: self.stamp(env), echo: self.stamp_recent };
        let stamps = stamped.then_some(stamps);
        let (ranges, count) = self.early_ranges(env);
        //= RFC 2883 4: deviation: a duplicate is reported in the next acknowledgement, but not at
        // all when that goes with data
        self.flags.clear(flag::TWICE);
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
        let segment = if length == packet.len() { 0 } else { self.mss };
        // Field by field, so that it is not made elsewhere and copied here.
        let Info {
            remote,
            local,
            remote_port,
            local_port,
            mac,
            checksum,
            segment: cut,
            hops,
            class,
            broadcast,
            looped,
            ip_header,
        } = packet.info_mut();
        (*remote, *local) = (self.tuple.remote, self.tuple.local);
        (*remote_port, *local_port, *mac) = (0, 0, Mac::default());
        (*checksum, *cut) = (ChecksumState::Unknown, segment);
        (*hops, *class) = (0, self.class | if env.capable { ECT } else { 0 });
        (*broadcast, *looped, *ip_header) = (false, false, 0);
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
        let buffer = self.buffer;
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
            true => self.buffer,
            false => self.buffer.min(2 * u32::from(self.mss)),
        };
        self.expected + buffer.saturating_sub(self.waiting)
    }

    /// Whether so much was consumed that the other side should hear of it at once.
    #[inline]
    pub fn owes_window_update(&self, env: &Env) -> bool {
        // Without a scale, no more than 64 KiB can be offered, whatever the buffer.
        let most = u32::from(u16::MAX) << self.receive_scale;
        let buffer = self.buffer.min(most);
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
    pub fn send_syn<I: IpPort>(
        &mut self,
        ip: &mut I,
        env: &mut Env,
        budget: &mut usize,
    ) -> Result<(), Busy> {
        let answers = self.state == State::SynReceived;
        let mut packet = env.pool.packet().ok_or(Busy)?;
        let wants = |agreed: u64| !answers || self.flags.has(agreed);
        let stamps = Stamps { value: self.stamp(env), echo: self.stamp_recent };
        //= RFC 9293 3.7.1 MUST-14, MUST-65, SHLD-5, MAY-3: the MSS option, always, and only here
        let options = Options {
            mss: segment_limit(self.tuple.remote, ip.mtu(self.tuple.remote)),
            scale: wants(flag::SCALE).then(|| scale_for(env.config.receive_buffer)),
            sack_permitted: wants(flag::SACK),
            stamps: (env.config.timestamps && wants(flag::STAMPS)).then_some(stamps),
            sacks: 0,
        };
        //= RFC 7323 2.2: the window of a segment with SYN is not scaled
        let window = self.buffer.min(u32::from(u16::MAX)) as u16;
        let segment = Segment {
            source: self.tuple.local_port,
            destination: self.tuple.remote_port,
            seq: self.unacked,
            ack: self.expected,
            flags: self.syn_flags(env, answers),
            window,
            options,
            ..Segment::default()
        };
        let (header, length) = segment.header_full();
        packet.append(header.get(..length).unwrap_or_default()).map_err(|_| Busy)?;
        self.hand_down(ip, env, budget, packet);
        self.offered = self.expected + u32::from(window);
        self.next = self.unacked + 1;
        self.syn_at = env.micros;
        self.last_ack = self.expected;
        self.flags.clear(flag::SYN_DUE | flag::ACK_NOW | flag::ACK_PENDING);
        // Who asks again and again puts off neither the next attempt nor the end of all of them.
        if !answers || self.resend_at <= env.now || self.resend_at == Instant::NEVER {
            self.recovery.timer = Timer::Resend;
            self.resend_at = env.now + self.rtt.timeout();
            self.bound_timer(env);
        }
        Ok(())
    }
}
