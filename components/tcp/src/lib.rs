//! TCP (RFC 9293) over any IP port: reliable byte streams for the services above.
//!
//! Received payload stays in the packet that the network card wrote it to and is lent to the
//! service from there. What a service sends is queued as packets; a segment is one packet with
//! its headers prepended in place, and a dormant handle to it is kept until it is acknowledged.
//! So nothing is copied, unless segments are tiny or a window cuts a packet in two.
//!
//! Principles:
//!
//! * Only what has something to do is visited: connections with news, with something to send, or
//!   with an expired timer are in lists; everything else costs nothing in a sweep.
//! * An idle connection is one [`state::Conn`] of a few cache lines and its slots in the
//!   connection table and the timer wheel; packets are held only for data that is under way or
//!   unread. A connection in TIME-WAIT is smaller still.
//! * What to send is decided in `transmit`, after the services above have run, so that an
//!   acknowledgement rides on the response that the same sweep produced.
//! * Every clause of an RFC is cited at the line that obeys it: `//= RFC 9293 3.5 MUST-10: …`.
//!
//! Not done: Fast Open, urgent data as such (it is delivered in line), text in a SYN
//! (it is acknowledged when it is sent again).

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod burst;
mod config;
mod congestion;
mod cookies;
mod counters;
mod ecn;
mod emit;
mod flags;
mod input;
mod open;
mod output;
mod paced;
mod persist;
mod port;
mod queue;
mod rack;
mod reassembly;
mod recovery;
mod rtt;
mod scoreboard;
mod search;
mod secret;
mod seq;
mod state;
mod table;
mod timers;
mod tuning;
mod wait;
mod wire;

#[cfg(test)]
mod tests;

pub use config::Config;
pub use congestion::Algorithm;
pub use counters::Counters;

use alloc::vec::Vec;
use cookies::Pressure;
use core::net::IpAddr;
use open::Listener;
use paced::PacedList;
use queue::{NIL, Nodes};
use secret::Secret;
use seq::Seq;
use state::{Conn, Env, State, effect, flag};
use table::{Table, Tuple};
use wait::{Verdict, Wait, Waits};
use waitless::checksum::Checksum;
use waitless::packet::{ChecksumState, Info};
use waitless::{
    BATCH, Component, Context, CounterSet, Duration, InitError, Inspect, Instant, IpPort, Mailbox,
    Packet, PathError, Phase, Pool, Protocol, Random, Wheel,
};
use wire::{Flags, Segment};

/// The component. See the crate's documentation.
pub struct Tcp {
    conns: Vec<Conn>,
    env: Env,
    table: Table,
    secret: Secret,
    wheel: Wheel,
    waits: Waits,
    listeners: Vec<Listener>,
    /// One list of connections with news for each service.
    services: Vec<List>,
    /// Connections with something to send.
    output: List,
    /// Half-open connections, the oldest first; see `open.rs`.
    half_open: List,
    /// Free places, linked like the output list.
    free: u32,
    /// Answers to segments that belong to no connection.
    answers: Mailbox,
    /// What RFC 6056 counts up.
    next_port: u32,
    /// Who opens many connections and finishes none.
    pressure: Pressure,
    /// The generation of the IP layer's addresses that all connections were checked against.
    addresses: u32,
    /// The place from which on connections are still to be checked against a newer one.
    unchecked: u32,
    /// Sweeps in a row that left timers that were due, because segments were arriving.
    put_off: u8,
}

/// Connections, linked through one of their fields.
#[derive(Clone, Copy)]
struct List {
    head: u32,
    tail: u32,
}

const EMPTY: List = List { head: NIL, tail: NIL };

/// How late a timer may be.
const GRANULARITY: Duration = Duration::from_millis(1);
/// Connections that one sweep visits for output at most.
const VISITS: usize = 4 * BATCH;
/// How many sweeps in a row look at what arrives and not at timers: a card's queue, emptied.
const PUT_OFF_MAX: u8 = 32;
/// Connections that one sweep checks against changed addresses.
const CHECKS: u32 = 256;
/// Places of remembered connections in the table have this bit.
const WAIT: u32 = 1 << 31;

impl Tcp {
    /// An instance without connections.
    pub fn new(config: &'static Config, cx: &mut Context) -> Self {
        let pool = cx.pool();
        let buffers = match config.memory {
            Some(bytes) => (bytes / Pool::BUFFER_SIZE as u64) as usize,
            None => pool.count() / 4 * 3,
        };
        let env = Env {
            now: cx.now(),
            millis: cx.now().as_millis() as u32,
            micros: (cx.now().as_nanos() / 1_000) as u32,
            retransmit_min: config.retransmit_min.as_micros() as u32,
            receive_max: tuning::most(config.receive_buffer, buffers),
            send_max: tuning::most(config.send_buffer, buffers),
            capable: false,
            config,
            counters: Counters::leak(),
            home: cx.home(),
            nodes: Nodes::new((buffers / 2).max(2) as u32),
            pool,
            offload: false,
            burst: 0,
            effects: 0,
            retry_at: Instant::NEVER,
            paced: PacedList::new(),
            early_order: 0,
        };
        Self {
            conns: Vec::new(),
            env,
            table: Table::default(),
            // Both are set once there is entropy.
            secret: Secret::new(&mut Random::new([0; 32])),
            wheel: Wheel::new(GRANULARITY),
            waits: Waits::new(),
            listeners: Vec::new(),
            services: Vec::new(),
            output: EMPTY,
            half_open: EMPTY,
            free: NIL,
            answers: Mailbox::new(),
            next_port: 0,
            pressure: Pressure::new(),
            addresses: 0,
            unchecked: NIL,
            put_off: 0,
        }
    }

    /// What it counts.
    pub fn counters(&self) -> &'static Counters {
        self.env.counters
    }

    /// Packets that it keeps, of both directions.
    pub fn kept(&self) -> usize {
        self.env.nodes.len()
    }
}

impl<I: IpPort> Component<I> for Tcp {
    fn init(&mut self, ip: &mut I, cx: &mut Context) -> Result<(), InitError> {
        self.set_time(cx);
        self.secret = Secret::new(&mut cx.random);
        self.next_port = cx.random.u32();
        let offloads = ip.offloads();
        self.env.offload = offloads.checksum;
        self.env.burst = if offloads.checksum { offloads.segmentation } else { 0 };
        self.addresses = ip.generation();
        Ok(())
    }

    fn receive(&mut self, ip: &mut I, cx: &mut Context) {
        self.set_time(cx);
        //= RFC 9293 3.8.6.3 MUST-59: all queued segments are processed before any ACK is sent
        let mut quiet = true;
        for _ in 0..BATCH * I::LAYERS {
            let Some(packet) = ip.recv(Protocol::TCP) else { break };
            quiet = false;
            self.arrive(ip, packet);
        }
        for _ in 0..BATCH {
            let Some(error) = ip.path_error(Protocol::TCP) else { break };
            self.path_error(error);
        }
        // After a time in which the machine stood still, what timers wait for has arrived, but
        // perhaps lies further behind than one sweep gets.
        if self.wheel.deadline() > self.env.now {
            self.put_off = 0;
        } else if quiet || self.put_off == PUT_OFF_MAX {
            self.expire();
            self.put_off = 0;
        } else {
            self.put_off += 1;
        }
        self.forget_late();
        self.check_addresses(ip);
    }

    fn transmit(&mut self, ip: &mut I, cx: &mut Context) {
        self.set_time(cx);
        let mut budget = ip.room().min(BATCH);
        while budget > 0 {
            let Some(packet) = self.answers.pop_front() else { break };
            budget -= 1;
            if ip.send(Protocol::TCP, packet).is_err() {
                self.env.counters.dropped_below.add(1);
            }
        }
        for _ in 0..VISITS {
            if budget == 0 || self.output.head == NIL {
                break;
            }
            let index = self.output.head;
            let conn = &mut self.conns[index as usize];
            self.output.head = conn.next_output;
            conn.flags.clear(flag::IN_OUTPUT);
            if conn.state == State::Opening {
                self.open_active(ip, index);
            }
            let conn = &mut self.conns[index as usize];
            if conn.output(ip, &mut self.env, &mut budget) {
                self.env.effects |= effect::OUTPUT;
            }
            self.settle_here(index);
        }
    }

    fn deadline(&self) -> Instant {
        if self.output.head != NIL || !self.answers.is_empty() || self.unchecked != NIL {
            return Instant::ZERO;
        }
        self.wheel.deadline().min(self.waits.deadline())
    }
}

impl Inspect for Tcp {
    fn counters(&self) -> &'static dyn CounterSet {
        self.env.counters
    }
}

impl Tcp {
    #[inline]
    fn set_time(&mut self, cx: &Context) {
        if self.env.now != cx.now() {
            self.env.now = cx.now();
            self.env.millis = cx.now().as_millis() as u32;
            self.env.micros = (cx.now().as_nanos() / 1_000) as u32;
        }
    }

    /// A segment arrives.
    #[inline]
    fn arrive<I: IpPort>(&mut self, ip: &mut I, packet: Packet) {
        let counters = self.env.counters;
        let info = packet.info();
        //= RFC 9293 3.9.2.3 MUST-57: a segment to a broadcast or multicast address is dropped
        if info.broadcast {
            return counters.dropped_address.add(1);
        }
        let Ok(segment) = Segment::parse(packet.bytes()) else {
            return counters.dropped_malformed.add(1);
        };
        //= RFC 9293 3.1 MUST-3: the checksum is verified
        if info.checksum != ChecksumState::Verified {
            let length = packet.len() as u16;
            let sum = Checksum::new().pseudo(info.remote, info.local, Protocol::TCP.0, length);
            if !sum.add(packet.bytes()).is_valid() {
                return counters.dropped_checksum.add(1);
            }
        }
        counters.received.add(1);
        let (hash, place) = self.find_for(info, &segment);
        match place {
            Some(place) if place & WAIT == 0 => {
                let conn = &mut self.conns[place as usize];
                if let Some(packet) = conn.arrive(&mut self.env, &segment, packet) {
                    let tuple = conn.tuple;
                    self.refuse(&tuple, &segment.apart(), packet);
                }
                self.settle_here(place);
            }
            place => self.arrive_elsewhere(ip, place, hash, segment.apart(), packet),
        }
    }

    /// A segment arrives for what is no connection, or none any more.
    #[inline(never)]
    fn arrive_elsewhere<I: IpPort>(
        &mut self,
        ip: &mut I,
        place: Option<u32>,
        hash: u32,
        segment: Segment,
        packet: Packet,
    ) {
        if let Some(place) = place {
            return self.arrive_late(ip, place, hash, &segment, packet);
        }
        let tuple = Tuple::of(packet.info(), &segment);
        self.arrive_new(ip, &tuple, hash, &segment, packet, None);
    }

    /// The place of what a segment is for, if there is such, and the hash.
    #[inline]
    fn find_for(&self, info: &Info, segment: &Segment) -> (u32, Option<u32>) {
        let (local_port, remote_port) = (segment.destination, segment.source);
        // Most are these; compared field by field, they need not be put together first.
        let (IpAddr::V4(local), IpAddr::V4(remote)) = (info.local, info.remote) else {
            let tuple = Tuple::of(info, segment);
            let hash = self.secret.table.hash(&tuple);
            return (hash, self.find(hash, &tuple));
        };
        let hash = self.secret.table.hash_v4(local, remote, local_port, remote_port);
        let place = self.table.find(hash, |place| {
            let tuple = match place & WAIT {
                0 => &self.conns[place as usize].tuple,
                _ => &self.waits.get(place & !WAIT).tuple,
            };
            tuple.local_port == local_port
                && tuple.remote_port == remote_port
                && tuple.remote == IpAddr::V4(remote)
                && tuple.local == IpAddr::V4(local)
        });
        (hash, place)
    }

    #[inline(never)]
    fn find(&self, hash: u32, tuple: &Tuple) -> Option<u32> {
        self.table.find(hash, |place| match place & WAIT {
            0 => self.conns[place as usize].tuple == *tuple,
            _ => self.waits.get(place & !WAIT).tuple == *tuple,
        })
    }

    /// A segment arrives for a connection in TIME-WAIT.
    fn arrive_late<I: IpPort>(
        &mut self,
        ip: &mut I,
        place: u32,
        hash: u32,
        segment: &Segment,
        packet: Packet,
    ) {
        let id = place & !WAIT;
        let verdict = self.waits.get(id).judge(segment, self.env.config.timestamps);
        match verdict {
            Verdict::Drop => return,
            Verdict::Reopen => {
                let Wait { tuple, next, .. } = *self.waits.get(id);
                self.forget(id);
                return self.arrive_new(ip, &tuple, hash, segment, packet, Some(next));
            }
            Verdict::Restart => self.waits.restart(id, self.env.now + self.env.config.time_wait),
            Verdict::Answer => {}
        }
        let millis = self.env.millis;
        let wait = self.waits.get_mut(id);
        let since = millis.wrapping_sub(wait.answered_at);
        if segment.len() == 0 && since < state::CHALLENGE_INTERVAL {
            return self.env.counters.challenges_throttled.add(1);
        }
        wait.answered_at = millis;
        let (tuple, answer) = (wait.tuple, wait.answer(millis));
        self.answer(&tuple, &answer, packet);
    }

    /// Answers a segment that nobody wants with a RST.
    //= RFC 9293 3.10.7.1: <SEQ=SEG.ACK><CTL=RST>, or <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>
    #[cold]
    fn refuse(&mut self, tuple: &Tuple, segment: &Segment, packet: Packet) {
        if segment.flags.any(Flags::RST) {
            return;
        }
        let (seq, ack, flags) = match segment.flags.any(Flags::ACK) {
            true => (segment.ack, Seq(0), Flags::RST),
            false => (Seq(0), segment.seq + segment.len(), Flags::RST.and(Flags::ACK)),
        };
        let reset = Segment {
            source: tuple.local_port,
            destination: tuple.remote_port,
            seq,
            ack,
            flags,
            ..Segment::default()
        };
        self.env.counters.resets_sent.add(1);
        self.answer(tuple, &reset, packet);
    }

    /// Queues a segment that belongs to no connection, in the packet that it answers.
    #[cold]
    pub(crate) fn answer(&mut self, tuple: &Tuple, segment: &Segment, mut packet: Packet) {
        packet.reset(waitless::packet::HEADROOM);
        let (header, length) = segment.header_full();
        if packet.append(header.get(..length).unwrap_or_default()).is_err() {
            return self.env.counters.dropped_answer.add(1);
        }
        let sum = Checksum::new()
            .pseudo(tuple.local, tuple.remote, Protocol::TCP.0, length as u16)
            .add(packet.bytes())
            .finish();
        if let Some(room) = packet.bytes_mut().get_mut(wire::field::CHECKSUM) {
            room.copy_from_slice(&sum.to_be_bytes());
        }
        packet.info_mut().local = tuple.local;
        packet.info_mut().remote = tuple.remote;
        packet.info_mut().class = self.env.config.traffic_class;
        if self.answers.push_back(packet).is_err() {
            self.env.counters.dropped_answer.add(1);
        }
    }

    #[cold]
    fn path_error(&mut self, error: PathError) {
        //= RFC 9293 3.9.2.2 MUST-54: ICMP errors are matched to the connection
        let [l0, l1, r0, r1, q0, q1, q2, q3] = error.header;
        let tuple = Tuple {
            local: error.local,
            remote: error.remote,
            local_port: u16::from_be_bytes([l0, l1]),
            remote_port: u16::from_be_bytes([r0, r1]),
        };
        let sequence = Seq(u32::from_be_bytes([q0, q1, q2, q3]));
        match self.find(self.secret.table.hash(&tuple), &tuple) {
            Some(place) if place & WAIT == 0 => {
                let conn = &mut self.conns[place as usize];
                conn.path_error(&mut self.env, error.kind, sequence);
                self.settle(place);
            }
            _ => self.env.counters.path_errors_ignored.add(1),
        }
    }

    /// Visits what has expired, at most a batch for each sweep since the last time.
    #[inline]
    fn expire(&mut self) {
        for _ in 0..BATCH * (1 + usize::from(self.put_off)) {
            let Some(index) = self.wheel.pop(self.env.now) else { break };
            let conn = &mut self.conns[index as usize];
            conn.armed_at = Instant::NEVER;
            conn.expire(&mut self.env);
            self.settle(index);
        }
    }

    /// Forgets what was remembered for long enough, at most a batch.
    #[inline]
    fn forget_late(&mut self) {
        for _ in 0..BATCH {
            if self.waits.deadline() > self.env.now {
                break;
            }
            let Some(id) = self.waits.first() else { break };
            self.forget(id);
        }
    }

    /// Forgets a connection in TIME-WAIT.
    fn forget(&mut self, id: u32) {
        let hash = self.secret.table.hash(&self.waits.get(id).tuple);
        self.table.remove(hash, id | WAIT);
        self.waits.remove(id);
        self.env.counters.time_waits.set(u64::from(self.waits.len()));
    }

    /// Ends connections whose local address has gone, some in each sweep.
    #[inline]
    fn check_addresses<I: IpPort>(&mut self, ip: &I) {
        if self.addresses != ip.generation() {
            self.addresses = ip.generation();
            self.unchecked = 0;
        }
        if self.unchecked == NIL {
            return;
        }
        let from = self.unchecked;
        let to = (from + CHECKS).min(self.conns.len() as u32);
        for index in from..to {
            let conn = &mut self.conns[index as usize];
            if conn.state > State::Opening && !ip.is_local(conn.tuple.local) {
                conn.end(&mut self.env, Phase::Unreachable);
                self.settle(index);
            }
        }
        self.unchecked = if to == self.conns.len() as u32 { NIL } else { to };
    }

    /// Follows up what was done to a connection.
    #[inline(never)]
    fn settle(&mut self, index: u32) {
        self.settle_here(index);
    }

    /// The same, for what is done for every segment.
    #[inline(always)]
    fn settle_here(&mut self, index: u32) {
        let effects = core::mem::take(&mut self.env.effects);
        if effects & (effect::OPENED | effect::ENDED) != 0 {
            self.settle_life(index, effects);
        }
        let conn = &mut self.conns[index as usize];
        let mut at = conn.deadline();
        if effects & effect::RETRY != 0 {
            at = at.min(self.env.retry_at);
        }
        // The wheel may be set too early, never too late: a timer that moves on costs nothing
        // until it would have expired.
        let sooner = at < conn.armed_at;
        if sooner {
            conn.armed_at = at;
        }
        let closed = conn.state == State::Closed;
        let output = effects & effect::OUTPUT != 0 && conn.begin_output();
        let news = effects & effect::NEWS != 0 && conn.begin_news();
        let service = conn.service;
        if output {
            self.output_behind(index);
        }
        if news {
            self.news_behind(index, service);
        }
        if sooner {
            self.wheel.set(index, at);
        }
        if closed {
            self.free_if_done(index);
        }
    }

    /// Puts a connection on the list of those with something to send.
    #[inline]
    fn queue_output(&mut self, index: u32) {
        if self.conns[index as usize].begin_output() {
            self.output_behind(index);
        }
    }

    /// Puts a connection that said so at the end of those with something to send.
    #[inline]
    fn output_behind(&mut self, index: u32) {
        let tail = core::mem::replace(&mut self.output.tail, index);
        match self.output.head {
            NIL => self.output.head = index,
            _ => self.conns[tail as usize].next_output = index,
        }
    }

    /// The same of those with news for `service`.
    #[inline]
    fn news_behind(&mut self, index: u32, service: u16) {
        let list = &mut self.services[usize::from(service)];
        let tail = core::mem::replace(&mut list.tail, index);
        match list.head {
            NIL => list.head = index,
            _ => self.conns[tail as usize].next_news = index,
        }
    }

    /// Follows up that a connection has opened or ended.
    #[cold]
    fn settle_life(&mut self, index: u32, effects: u8) {
        let counters = self.env.counters;
        let never_open = self.conns[index as usize].flags.has(flag::HALF_OPEN);
        if never_open {
            self.unlink_half_open(index);
        }
        let conn = &mut self.conns[index as usize];
        if effects & effect::OPENED != 0 {
            let passive = conn.flags.has(flag::PASSIVE);
            if passive { &counters.accepted } else { &counters.connected }.add(1);
        }
        if effects & effect::ENDED == 0 {
            return;
        }
        if never_open && effects & effect::OPENED == 0 {
            // No service has heard of it.
            conn.flags.set(flag::ORPHAN);
        }
        counters.open.sub(1);
        self.wheel.cancel(index);
        conn.armed_at = Instant::NEVER;
        if conn.flags.has(flag::HASHED) {
            conn.flags.clear(flag::HASHED);
            let hash = self.secret.table.hash(&conn.tuple);
            if effects & effect::TIME_WAIT == 0 {
                return self.table.remove(hash, index);
            }
            let id = self.remember(index);
            self.table.replace(hash, index, id | WAIT);
        }
    }

    /// Makes an ended connection one in TIME-WAIT.
    //= RFC 9293 3.6 MUST-13: a connection that closed actively lingers for 2 MSL
    fn remember(&mut self, index: u32) -> u32 {
        if self.waits.len() >= self.env.config.time_waits
            && let Some(oldest) = self.waits.first()
        {
            self.env.counters.time_waits_recycled.add(1);
            self.forget(oldest);
        }
        let conn = &self.conns[index as usize];
        let expires = self.env.now + self.env.config.time_wait;
        let mut wait = Wait::new(conn.tuple, conn.next, conn.expected, expires);
        if conn.flags.has(flag::STAMPS) {
            wait.stamp_recent = Some(conn.stamp_recent);
            wait.stamp_offset = conn.stamp_offset;
        }
        wait.answered_at = self.env.millis.wrapping_sub(state::CHALLENGE_INTERVAL);
        let id = self.waits.add(wait);
        self.env.counters.time_waits.set(u64::from(self.waits.len()));
        id
    }

    /// A place for a connection; `None` when there are too many.
    fn allocate(&mut self, conn: Conn) -> Option<u32> {
        let counters = self.env.counters;
        if self.free != NIL {
            let index = self.free;
            let place = &mut self.conns[index as usize];
            self.free = place.next_output;
            let generation = place.generation;
            *place = Conn { generation, ..conn };
            counters.open.add(1);
            return Some(index);
        }
        if self.conns.len() >= self.env.config.connections as usize {
            return None;
        }
        self.conns.push(conn);
        counters.open.add(1);
        Some(self.conns.len() as u32 - 1)
    }

    /// Frees the place of a connection that has ended, was given up and is in no list.
    #[cold]
    fn free_if_done(&mut self, index: u32) {
        let conn = &mut self.conns[index as usize];
        let busy = flag::IN_OUTPUT | flag::IN_NEWS;
        if conn.state != State::Closed || !conn.flags.has(flag::ORPHAN) || conn.flags.has(busy) {
            return;
        }
        conn.discard(&mut self.env);
        conn.state = State::Free;
        conn.generation = conn.generation.wrapping_add(1);
        conn.next_output = self.free;
        self.free = index;
        // A retry may have set it.
        self.wheel.cancel(index);
    }
}
