//! A connection: its state, its flags and everything else that is kept of it.

use crate::congestion::Congestion;
pub use crate::flags::{FlagSet, effect, flag};
use crate::paced::PacedList;
use crate::queue::{NIL, Nodes, Queue, Side};
use crate::recovery::Recovery;
use crate::rtt::Rtt;
use crate::seq::Seq;
use crate::table::Tuple;
use crate::wire::{Range, Segment};
use crate::{Config, Counters};
use core::net::IpAddr;
use waitless::checksum::Checksum;
use waitless::cores::Home;
use waitless::{Duration, Instant, Phase, Pool, Stream};

/// The states of RFC 9293 section 3.3.2. LISTEN and TIME-WAIT are kept elsewhere, smaller.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum State {
    /// The place is free, or was given up and is still in a list.
    Free,
    /// Ended; its service has not released it yet.
    Closed,
    /// An active open that has no local address and port yet.
    Opening,
    /// A SYN was sent, or is to be.
    SynSent,
    /// A SYN was received and answered, or is to be.
    SynReceived,
    /// Open both ways.
    Established,
    /// The other side has ended, this one has not.
    CloseWait,
    /// This side has ended, and its FIN is not acknowledged.
    FinWait1,
    /// This side has ended in agreement, the other one has not.
    FinWait2,
    /// Both have ended; only the other side's FIN was acknowledged.
    Closing,
    /// The other side ended first; this side's FIN is not acknowledged.
    LastAck,
}

/// What a connection is lent while it is worked on.
pub struct Env {
    /// The time.
    pub now: Instant,
    /// The time in milliseconds, modulo 2^32: the clock of the timestamps.
    pub millis: u32,
    /// The same in microseconds, modulo 2^32.
    pub micros: u32,
    /// The most bytes of one connection that wait for their service.
    pub receive_max: u32,
    /// The most bytes of one connection that are queued or not acknowledged.
    pub send_max: u32,
    /// Whether the segment that is made now may be marked instead of dropped.
    pub capable: bool,
    /// The shortest retransmission timeout in microseconds.
    pub retransmit_min: u32,
    /// The configuration.
    pub config: &'static Config,
    /// The counters.
    pub counters: &'static Counters,
    /// Which flows belong to this core.
    pub home: Home,
    /// The packets that are queued.
    pub nodes: Nodes,
    /// Where fresh packets come from.
    pub pool: Pool,
    /// Whether the device completes checksums.
    pub offload: bool,
    /// The most payload bytes of what the device cuts into segments itself; 0 when it does not.
    pub burst: u32,
    /// What the current call did; see [`effect`].
    pub effects: u8,
    /// When to come back, where that is one of them.
    pub retry_at: Instant,
    /// What is kept of connections that are paced.
    pub paced: PacedList,
    /// Counts the early packets of all connections, to know which came last.
    pub early_order: u32,
}

impl Env {
    /// The time in seconds, modulo 2^32.
    pub fn seconds(&self) -> u32 {
        (self.now.as_nanos() / 1_000_000_000) as u32
    }

    /// Has the connection visited again at `at`, although nothing happens.
    #[cold]
    pub fn come_back(&mut self, at: Instant) {
        let known = self.effects & effect::RETRY != 0;
        self.retry_at = if known { self.retry_at.min(at) } else { at };
        self.effects |= effect::RETRY;
    }

    /// Bytes of one connection that may be queued or not acknowledged now. Once half of the
    /// memory for what is sent is in use, that is no more than a quarter of the rest; of the last
    /// three eighths, each connection gets a packet, once all before it was acknowledged. So
    /// however many do not take what is sent to them, there is memory for the others.
    #[inline]
    pub fn send_limit(&self) -> u32 {
        let (room, limit) = self.nodes.room(Side::Send);
        if room > limit / 2 {
            return self.send_max;
        }
        let share = room.saturating_mul(SEGMENT_USUAL / 4);
        match room > limit / 8 * 3 {
            true => share.max(PACKET).min(self.send_max),
            false => PACKET,
        }
    }
}

/// When something that could not be had for want of a packet is tried again.
pub const RETRY: Duration = Duration::from_millis(1);

/// Bytes that a packet has at most.
pub const PACKET: u32 = waitless::packet::CAPACITY as u32;

/// Bytes that a packet to send usually has.
const SEGMENT_USUAL: u32 = 1440;

/// A connection. Kept small: this is all that an idle one costs, beside its slots in the
/// connection table and in the timer wheel.
pub struct Conn {
    /// Who talks to whom.
    pub tuple: Tuple,
    /// Its state.
    pub state: State,
    /// How it reads to its service once it is closed.
    pub phase: Phase,
    /// Its flags.
    pub flags: FlagSet,
    /// How often the place was used.
    pub generation: u32,
    /// The service's number for it.
    pub tag: u32,
    /// The service it belongs to.
    pub service: u16,
    /// The most payload bytes of a segment to send.
    pub mss: u16,
    /// The same before the path turned out to take less.
    pub mss_full: u16,
    /// The longest that may still pass, while the path is searched.
    pub mss_high: u16,
    /// How often in a row what is tried now was lost.
    pub probe_tries: u8,
    /// The longest payload received: what the other side's full segments look like.
    pub peer_mss: u16,
    /// How many acknowledgements are still sent at once, at the connection's begin.
    pub quick_acks: u8,
    /// Keep-alive probes in a row that were not answered.
    pub probes: u8,
    /// The shift of windows that the other side offers.
    pub send_scale: u8,
    /// The shift of windows that this side offers.
    pub receive_scale: u8,
    /// The traffic class of its segments.
    pub class: u8,

    /// The first byte that is not acknowledged: SND.UNA.
    pub unacked: Seq,
    /// The next byte to send for the first time: SND.NXT.
    pub next: Seq,
    /// The byte after the last one that is queued; a FIN has this number.
    pub queued: Seq,
    //= RFC 9293 3.1 MUST-1, REC-1: windows are unsigned numbers of 32 bits
    /// The window that the other side offers, scaled: SND.WND.
    pub window: u32,
    /// The largest that it ever offered.
    pub window_max: u32,
    /// The segment that last updated the window: SND.WL1 and SND.WL2.
    pub window_seq: Seq,
    /// See above.
    pub window_ack: Seq,
    /// Packets to send, and those sent that are not acknowledged.
    pub send: Queue,
    /// The first packet that was not sent; [`NIL`] when all were.
    pub cursor: u32,

    /// The next byte that is expected: RCV.NXT.
    pub expected: Seq,
    /// The byte after the window that was offered: RCV.NXT + RCV.WND.
    pub offered: Seq,
    /// The last acknowledgement that was sent.
    pub last_ack: Seq,
    /// Bytes that wait for the service.
    pub waiting: u32,
    /// How many of them may: grows with what passes in a round trip.
    pub buffer: u32,
    /// When that was last thought about, in microseconds modulo 2^32.
    pub tuned_at: u32,
    /// What the service had read by then.
    pub tuned: Seq,
    /// Packets that wait for the service.
    pub receive: Queue,
    /// Packets that wait for what is missing before them.
    pub early: Queue,
    /// How many these are.
    pub early_count: u32,
    /// Where the last one of these began that arrived.
    pub early_last: Seq,
    /// What arrived twice.
    pub twice: Range,

    /// Round-trip times.
    pub rtt: Rtt,
    /// When the SYN was sent, in microseconds modulo 2^32.
    pub syn_at: u32,
    /// The other side's clock to echo: TS.Recent.
    pub stamp_recent: u32,
    /// When that was taken, in seconds.
    pub stamp_recent_at: u32,
    /// What is added to this side's clock.
    pub stamp_offset: u32,

    /// The congestion window.
    pub congestion: Congestion,
    /// What is known of losses.
    pub recovery: Recovery,
    /// What had been sent when the window was last reduced, where congestion is marked.
    pub marked: Seq,
    /// When segments became shorter, in seconds.
    pub shrunk_at: u32,
    /// How long it may be silent before the other side is probed, in seconds; 0 for ever.
    pub keep_alive: u32,
    /// How long sent data may stay unacknowledged, in milliseconds.
    pub user_timeout: u32,
    /// Its place among those that are paced; [`NIL`] when it is not.
    pub paced: u32,

    /// When the retransmission or persist timer expires.
    pub resend_at: Instant,
    /// When a delayed acknowledgement is due.
    pub ack_at: Instant,
    /// When an idle connection is looked after: keep-alive, FIN-WAIT-2.
    pub idle_at: Instant,
    /// What the timer wheel is set to. Never later than any of the three.
    pub armed_at: Instant,
    /// When something was last acknowledged, or sent with nothing under way, in milliseconds.
    pub progress_at: u32,
    /// When something last arrived, in milliseconds.
    pub heard_at: u32,
    /// When data was last sent, in milliseconds.
    pub sent_at: u32,
    /// When the last challenge acknowledgement was sent, in milliseconds.
    pub challenged_at: u32,

    /// The next in the output list, or in the list of free places.
    pub next_output: u32,
    /// The next in the list of news.
    pub next_news: u32,
    /// The pseudo header's sum without the length.
    pub pseudo: Checksum,
}

const _: () = assert!(size_of::<Conn>() <= 512);

impl Conn {
    /// A connection in `state` that nothing has happened on.
    pub fn new(tuple: Tuple, state: State, service: u16, env: &Env) -> Self {
        Self {
            tuple,
            state,
            phase: Phase::Closed,
            flags: FlagSet(if env.config.nagle { flag::NAGLE } else { 0 }),
            generation: 0,
            tag: 0,
            service,
            mss: 536,
            mss_full: 536,
            mss_high: 536,
            probe_tries: 0,
            peer_mss: 0,
            quick_acks: QUICK_ACKS,
            probes: 0,
            send_scale: 0,
            receive_scale: 0,
            class: env.config.traffic_class,
            unacked: Seq(0),
            next: Seq(0),
            queued: BEFORE_SYN + 1,
            window: 0,
            window_max: 0,
            window_seq: Seq(0),
            window_ack: Seq(0),
            send: Queue::EMPTY,
            cursor: NIL,
            expected: Seq(0),
            offered: Seq(0),
            last_ack: Seq(0),
            waiting: 0,
            buffer: env.receive_max.min(BUFFER_START),
            tuned_at: env.micros,
            tuned: Seq(0),
            receive: Queue::EMPTY,
            early: Queue::EMPTY,
            early_count: 0,
            early_last: Seq(0),
            twice: Range::default(),
            rtt: Rtt::new(),
            syn_at: 0,
            stamp_recent: 0,
            stamp_recent_at: 0,
            stamp_offset: 0,
            congestion: Congestion::new(env.config.congestion, 536),
            recovery: Recovery::new(Seq(0)),
            marked: Seq(0),
            shrunk_at: 0,
            keep_alive: env.config.keep_alive.map_or(0, |after| after.as_millis() as u32 / 1_000),
            user_timeout: env.config.user_timeout.as_millis() as u32,
            paced: NIL,
            resend_at: Instant::NEVER,
            ack_at: Instant::NEVER,
            idle_at: Instant::NEVER,
            armed_at: Instant::NEVER,
            progress_at: env.millis,
            heard_at: env.millis,
            sent_at: env.millis,
            challenged_at: env.millis.wrapping_sub(CHALLENGE_INTERVAL),
            next_output: NIL,
            next_news: NIL,
            pseudo: Checksum::new(),
        }
    }

    /// Begins to send at `sequence`: SYN first, then what is queued already.
    pub fn begin(&mut self, sequence: Seq, mtu: u16, nodes: &mut Nodes) {
        let early = self.queued.since(BEFORE_SYN + 1);
        let mut at = self.send.head;
        while at != NIL {
            let node = nodes.get_mut(at);
            node.seq = sequence + node.seq.since(BEFORE_SYN);
            at = nodes.next(at);
        }
        self.unacked = sequence;
        self.next = sequence;
        self.queued = sequence + 1 + early;
        self.recovery = Recovery::new(sequence);
        self.marked = sequence;
        self.mss = segment_limit(self.tuple.remote, mtu);
        self.pseudo = Checksum::new().pseudo(self.tuple.local, self.tuple.remote, 6, 0);
        self.flags.set(flag::SYN_DUE);
    }

    /// What the other side's SYN says.
    pub fn agree(&mut self, segment: &Segment, env: &Env) {
        self.expected = segment.seq + 1;
        self.tuned = self.expected;
        self.last_ack = segment.seq;
        self.offered = self.expected;
        self.window = u32::from(segment.window);
        self.window_max = self.window;
        self.window_seq = segment.seq;
        self.window_ack = segment.ack;
        let options = &segment.options;
        //= RFC 9293 3.7.1 MUST-15: 536 (IPv4) or 1220 (IPv6) when the option is absent
        let theirs = match (options.mss, self.tuple.remote) {
            (0, IpAddr::V4(_)) => 536,
            (0, IpAddr::V6(_)) => 1220,
            (mss, _) => mss.max(MSS_MIN),
        };
        let mut mss = self.mss.min(theirs);
        match options.stamps {
            Some(stamps) if env.config.timestamps => {
                self.flags.set(flag::STAMPS);
                self.stamp_recent = stamps.value;
                self.stamp_recent_at = env.seconds();
                //= RFC 9293 3.7.1 MUST-16: options are deducted from what one segment carries
                mss -= STAMPS_LENGTH;
            }
            _ => self.flags.clear(flag::STAMPS),
        }
        //= RFC 2018 2: ranges are reported to those who say that they understand
        if options.sack_permitted {
            self.flags.set(flag::SACK);
        }
        //= RFC 7323 2.2, 2.3: both sides must send the option; a shift above 14 counts as 14
        match options.scale {
            Some(scale) => {
                self.flags.set(flag::SCALE);
                self.send_scale = scale.min(14);
                self.receive_scale = scale_for(env.config.receive_buffer);
            }
            None => (self.send_scale, self.receive_scale) = (0, 0),
        }
        self.mss = mss;
        self.mss_full = mss;
        self.agree_on_marks(segment, env);
        self.congestion = Congestion::new(env.config.congestion, u32::from(mss));
    }

    /// Whether it is the one that a service means, and not given up.
    #[inline]
    pub fn is(&self, stream: Stream) -> bool {
        // The flag stays while the place is free.
        self.generation == stream.generation && !self.flags.has(flag::ORPHAN)
    }

    /// Bytes that are under way, a SYN or FIN included.
    #[inline]
    pub fn flight(&self) -> u32 {
        self.next.since(self.unacked)
    }

    /// Bytes that are queued or not acknowledged.
    #[inline]
    pub fn unacknowledged(&self) -> u32 {
        if self.unacked.after(self.queued) { 0 } else { self.queued.since(self.unacked) }
    }

    /// Whether this side may queue data.
    #[inline]
    pub fn may_queue(&self) -> bool {
        let open = matches!(
            self.state,
            State::Opening
                | State::SynSent
                | State::SynReceived
                | State::Established
                | State::CloseWait
        );
        open && !self.flags.has(flag::FIN_QUEUED)
    }

    /// Whether both SYNs were acknowledged.
    #[inline]
    pub fn is_synchronized(&self) -> bool {
        self.state >= State::Established
    }

    /// Bytes that the window offers still.
    #[inline]
    pub fn receive_window(&self) -> u32 {
        self.offered.since(self.expected)
    }

    /// When the wheel must wake it.
    #[inline]
    pub fn deadline(&self) -> Instant {
        self.resend_at.min(self.ack_at).min(self.idle_at)
    }

    /// Notes that it is in the output list; whether it was not.
    #[inline]
    pub fn begin_output(&mut self) -> bool {
        if self.flags.has(flag::IN_OUTPUT) {
            return false;
        }
        self.flags.set(flag::IN_OUTPUT);
        self.next_output = NIL;
        true
    }

    /// Notes that it is in the list of news; whether it was not, and somebody listens.
    #[inline]
    pub fn begin_news(&mut self) -> bool {
        if self.flags.has(flag::IN_NEWS | flag::ORPHAN) {
            return false;
        }
        self.flags.set(flag::IN_NEWS);
        self.next_news = NIL;
        true
    }

    /// The clock that goes into this side's timestamps.
    #[inline]
    pub fn stamp(&self, env: &Env) -> u32 {
        env.millis.wrapping_add(self.stamp_offset)
    }

    /// Ends it. What has arrived stays readable unless it was reset.
    //= RFC 9293 3.6 MUST-12: the phase says whether it closed or was aborted
    pub fn end(&mut self, env: &mut Env, phase: Phase) {
        self.state = State::Closed;
        self.phase = phase;
        env.nodes.clear(&mut self.send);
        env.nodes.clear(&mut self.early);
        self.cursor = NIL;
        self.early_count = 0;
        if phase == Phase::Reset || self.flags.has(flag::ORPHAN) {
            self.discard(env);
        }
        self.resend_at = Instant::NEVER;
        self.ack_at = Instant::NEVER;
        self.idle_at = Instant::NEVER;
        if self.flags.has(flag::PACED) {
            self.end_pacing(env);
        }
        if phase != Phase::Closed {
            self.flags.clear(flag::ACK_NOW | flag::ACK_PENDING);
        }
        self.flags.clear(
            flag::SYN_DUE
                | flag::RESEND_FIN
                | flag::TAIL_DUE
                | flag::PROBE_DUE
                | flag::KEEP_ALIVE_DUE
                | flag::WANTS_ROOM
                | flag::STARVED,
        );
        env.effects |= effect::ENDED | effect::NEWS;
    }

    /// Ends it and tells the other side with a RST.
    pub fn reset(&mut self, env: &mut Env, phase: Phase) {
        //= RFC 9293 3.10.5: the states in which an ABORT sends a reset
        let tell = matches!(
            self.state,
            State::SynReceived
                | State::Established
                | State::FinWait1
                | State::FinWait2
                | State::CloseWait
        );
        self.end(env, phase);
        if tell {
            self.flags.set(flag::RESET_DUE);
            env.effects |= effect::OUTPUT;
        }
    }

    /// Throws away what has arrived.
    pub fn discard(&mut self, env: &mut Env) {
        env.nodes.clear(&mut self.receive);
        self.waiting = 0;
    }

    /// Both SYNs are acknowledged.
    pub fn establish(&mut self, env: &mut Env) {
        self.state = match self.flags.has(flag::FIN_QUEUED) {
            true => State::FinWait1,
            false => State::Established,
        };
        self.resend_at = Instant::NEVER;
        // It may be due once more: asked for again, or the timer expired in this very sweep.
        self.flags.clear(flag::SYN_DUE);
        if self.flags.has(flag::SYN_LOST) {
            self.congestion.syn_was_lost(u32::from(self.mss));
            self.rtt.syn_was_lost();
        }
        self.rtt.relax();
        self.begin_pacing(env);
        self.arm_idle(env);
        env.effects |= effect::OPENED | effect::NEWS | effect::OUTPUT;
    }

    /// Says that this side sends nothing more; the FIN follows what is queued.
    pub fn close(&mut self, env: &mut Env) {
        if self.flags.has(flag::FIN_QUEUED) {
            return;
        }
        match self.state {
            //= RFC 9293 3.10.4: CLOSE in SYN-SENT deletes the TCB
            State::Opening | State::SynSent => self.end(env, Phase::Closed),
            State::SynReceived => self.flags.set(flag::FIN_QUEUED),
            State::Established => {
                self.flags.set(flag::FIN_QUEUED);
                self.state = State::FinWait1;
            }
            State::CloseWait => {
                self.flags.set(flag::FIN_QUEUED);
                self.state = State::LastAck;
            }
            _ => return,
        }
        self.arm_idle(env);
        env.effects |= effect::OUTPUT;
    }
}

/// The receive buffer at first: what a window can say without a scale.
const BUFFER_START: u32 = 65_535;
/// What a connection that has no initial sequence number yet counts from.
const BEFORE_SYN: Seq = Seq(0);
/// How many acknowledgements are sent at once at the begin, so that the other side's window
/// opens quickly.
const QUICK_ACKS: u8 = 16;
/// The shortest time between two challenge acknowledgements of a connection, in milliseconds.
pub const CHALLENGE_INTERVAL: u32 = 500;
/// A smaller MSS than this is not believed.
pub const MSS_MIN: u16 = 48;
/// Bytes of the timestamps option with its padding.
pub const STAMPS_LENGTH: u16 = 12;

/// The most payload bytes of a segment to `remote` when an IP packet takes `mtu` bytes and no
/// options are used. A segment fits one packet of the pool.
//= RFC 9293 3.7.1 MUST-67: MMS_R minus the fixed header; options are not deducted
pub fn segment_limit(remote: IpAddr, mtu: u16) -> u16 {
    let headers = if remote.is_ipv4() { 40 } else { 60 };
    let most = (waitless::packet::CAPACITY - waitless::packet::HEADROOM) as u16;
    mtu.saturating_sub(headers).clamp(MSS_MIN + STAMPS_LENGTH, most)
}

/// The shift with which a window of `buffer` bytes can be offered.
pub fn scale_for(buffer: u64) -> u8 {
    let mut scale = 0;
    while scale < 14 && buffer >> scale > u64::from(u16::MAX) {
        scale += 1;
    }
    scale
}
