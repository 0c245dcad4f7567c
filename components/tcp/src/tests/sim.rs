//! Two instances on a simulated wire with virtual time: whatever the wire does, no byte is lost,
//! repeated or out of place, both ends agree, and all packets come back.

use super::config;
use super::fake::{Ip, LOCAL, REMOTE};
use crate::{Config, Tcp};
use std::collections::BTreeMap;
use std::format;
use std::net::SocketAddr;
use std::vec::Vec;
use waitless::checksum::Checksum;
use waitless::packet::{CAPACITY, ChecksumState};
use waitless::testing::context;
use waitless::{
    Component, Context, Duration, Instant, Offloads, Packet, Phase, Random, Service, Stream,
    StreamPort,
};

const PACKETS: usize = 600;
const PORT: u16 = 7;

/// What the wire does to packets, each in a thousand.
#[derive(Clone, Copy, Default)]
struct Faults {
    loss: u64,
    duplicate: u64,
    reorder: u64,
    corrupt: u64,
}

/// What one end does with its connection.
#[derive(Clone, Copy)]
struct Plan {
    /// Bytes to send in all.
    bytes: usize,
    /// Bytes to send only for each that has arrived; 0 for no such limit.
    answer: bool,
    /// Whether it ends its side only after the other side's end.
    last: bool,
    /// Pauses of the reader, each in a thousand polls.
    lazy: u64,
}

struct Host {
    cx: Context,
    tcp: Tcp,
    ip: Ip,
    service: Service,
    stream: Option<Stream>,
    plan: Plan,
    sent: usize,
    received: usize,
    finished: bool,
    closed: bool,
    ended: Option<Phase>,
    random: Random,
    side: usize,
    /// When the service comes back by itself.
    wake: Instant,
}

/// The byte at `position` of what `side` sends.
fn byte(side: usize, position: usize) -> u8 {
    (position.wrapping_mul(31) ^ (position >> 8).wrapping_mul(7) ^ side.wrapping_mul(101)) as u8
}

impl Host {
    fn new(side: usize, config: &'static Config, plan: Plan, seed: u8) -> Self {
        let mut cx = context(PACKETS, seed.wrapping_mul(2).wrapping_add(side as u8));
        let mut tcp = Tcp::new(config, &mut cx);
        let service = tcp.attach().unwrap();
        let mut ip = Ip::new([LOCAL, REMOTE][side]);
        if seed % 4 == 3 {
            ip.offloads = Offloads { checksum: true, segmentation: BURST as u32 };
        }
        tcp.init(&mut ip, &mut cx).unwrap();
        Self {
            cx,
            tcp,
            ip,
            service,
            stream: None,
            plan,
            sent: 0,
            received: 0,
            finished: false,
            closed: false,
            ended: None,
            random: Random::new([seed ^ 0x5a; 32]),
            side,
            wake: Instant::NEVER,
        }
    }

    fn sweep(&mut self, now: Instant) {
        self.cx.set_now(now);
        self.tcp.receive(&mut self.ip, &mut self.cx);
        self.serve(now);
        self.tcp.transmit(&mut self.ip, &mut self.cx);
    }

    fn serve(&mut self, now: Instant) {
        while let Some(stream) = self.tcp.news(self.service) {
            assert!(self.stream.is_none_or(|known| known == stream), "one connection only");
            self.stream = Some(stream);
            self.wake = now;
        }
        if self.wake > now || self.ended.is_some() {
            return;
        }
        self.wake = Instant::NEVER;
        let Some(stream) = self.stream else { return };
        if self.random.below(1000) < self.plan.lazy {
            self.wake = now + Duration::from_millis(self.random.below(300));
            return;
        }
        self.read(stream);
        self.write(stream);
        let status = self.tcp.status(stream);
        self.finished = status.finished && status.readable == 0;
        if self.sent == self.plan.bytes && !self.closed && (self.finished || !self.plan.last) {
            self.tcp.close(stream);
            self.closed = true;
        }
        if !matches!(status.phase, Phase::Opening | Phase::Open) {
            self.ended = Some(status.phase);
            self.tcp.release(stream);
        }
    }

    fn read(&mut self, stream: Stream) {
        let other = 1 - self.side;
        loop {
            if self.random.below(2) == 0 {
                let Some(packet) = self.tcp.recv(stream) else { break };
                for &got in packet.bytes() {
                    assert_eq!(got, byte(other, self.received), "at {}", self.received);
                    self.received += 1;
                }
            } else {
                let bytes = self.tcp.readable(stream);
                if bytes.is_empty() {
                    break;
                }
                let count = 1 + self.random.below(bytes.len() as u64) as usize;
                for &got in &bytes[..count] {
                    assert_eq!(got, byte(other, self.received), "at {}", self.received);
                    self.received += 1;
                }
                self.tcp.consume(stream, count);
            }
        }
    }

    fn write(&mut self, stream: Stream) {
        let most =
            if self.plan.answer { self.received.min(self.plan.bytes) } else { self.plan.bytes };
        while self.sent < most {
            let left = most - self.sent;
            if self.random.below(2) == 0 {
                let window = self.tcp.writable(stream);
                let count = window.len().min(left);
                if count == 0 {
                    break;
                }
                for (i, room) in window[..count].iter_mut().enumerate() {
                    *room = byte(self.side, self.sent + i);
                }
                self.tcp.commit(stream, count);
                self.sent += count;
            } else {
                let Some(mut packet) = self.cx.packet() else {
                    self.wake = self.cx.now() + Duration::from_millis(1);
                    break;
                };
                packet.reset(self.random.below(600) as usize);
                let count = 1 + self.random.below(packet.tailroom().min(left) as u64) as usize;
                for (i, room) in packet.extend(count).unwrap().iter_mut().enumerate() {
                    *room = byte(self.side, self.sent + i);
                }
                if self.tcp.send(stream, packet).is_err() {
                    break;
                }
                self.sent += count;
            }
        }
    }

    fn deadline(&self) -> Instant {
        Component::<Ip>::deadline(&self.tcp).min(self.wake)
    }
}

/// What a device makes of a packet: its checksum completed, a chain cut into segments.
fn segments(mut packet: Packet) -> Vec<Vec<u8>> {
    let segment = usize::from(packet.info().segment);
    if segment == 0 {
        assert_eq!(packet.chain_len(), packet.len());
        packet.complete_checksum();
        return Vec::from([packet.bytes().to_vec()]);
    }
    assert!(packet.chain_len() <= BURST + 60);
    let (local, remote) = (packet.info().local, packet.info().remote);
    let parsed = crate::wire::Segment::parse(packet.bytes()).unwrap();
    let mut payload = packet.bytes()[parsed.header..].to_vec();
    let header = packet.bytes()[..parsed.header].to_vec();
    let mut rest = packet.take_next();
    while let Some(mut packet) = rest {
        payload.extend_from_slice(packet.bytes());
        rest = packet.take_next();
    }
    let count = payload.len().div_ceil(segment);
    payload
        .chunks(segment)
        .enumerate()
        .map(|(index, piece)| {
            let mut bytes = header.clone();
            let seq = parsed.seq + (index * segment) as u32;
            bytes[4..8].copy_from_slice(&seq.0.to_be_bytes());
            if index + 1 < count {
                bytes[13] &= !0x09;
            }
            bytes[16..18].fill(0);
            bytes.extend_from_slice(piece);
            let sum = Checksum::new().pseudo(local, remote, 6, bytes.len() as u16);
            let sum = sum.add(&bytes).finish().to_be_bytes();
            bytes[16..18].copy_from_slice(&sum);
            bytes
        })
        .collect()
}

/// What the simulated device cuts at most.
const BURST: usize = 20_000;

struct Wire {
    faults: Faults,
    delay: Duration,
    flying: BTreeMap<(Instant, u64), (usize, Vec<u8>)>,
    count: u64,
    random: Random,
}

impl Wire {
    /// Takes what a host has sent.
    fn take(&mut self, host: &mut Host) {
        while let Some(packet) = host.ip.sent.pop_front() {
            for bytes in segments(packet) {
                self.carry(host, bytes);
            }
        }
    }

    fn carry(&mut self, host: &Host, bytes: Vec<u8>) {
        let now = host.cx.now();
        if self.random.below(1000) < self.faults.loss {
            return;
        }
        let copies = 1 + usize::from(self.random.below(1000) < self.faults.duplicate);
        for _ in 0..copies {
            let mut bytes = bytes.clone();
            let mut delay = self.delay;
            if self.random.below(1000) < self.faults.reorder {
                delay = delay + self.delay.times(self.random.below(4)).divided_by(2);
            }
            if self.random.below(1000) < self.faults.corrupt {
                let at = self.random.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << self.random.below(8);
            }
            self.count += 1;
            self.flying.insert((now + delay, self.count), (1 - host.side, bytes));
        }
    }

    /// Gives hosts what has reached them at `now`.
    fn give(&mut self, hosts: &mut [Host; 2], now: Instant) {
        while let Some(entry) = self.flying.first_entry().filter(|entry| entry.key().0 <= now) {
            let (to, bytes) = entry.remove();
            let host = &mut hosts[to];
            let Some(mut packet) = host.cx.packet() else { continue };
            packet.reset(CAPACITY - bytes.len());
            packet.append(&bytes).unwrap();
            packet.info_mut().local = [LOCAL, REMOTE][to];
            packet.info_mut().remote = [LOCAL, REMOTE][1 - to];
            packet.info_mut().checksum = ChecksumState::Unknown;
            host.ip.inbox.push_back(packet);
        }
    }
}

pub struct Outcome {
    /// When both services had seen the end.
    pub ended: Instant,
}

/// Runs a connection from its begin to when nothing of it is left.
fn run(seed: u8, config: &'static Config, plans: [Plan; 2], faults: Faults, delay: u64) -> Outcome {
    run_with(seed, config, plans, faults, delay, |_, _| {})
}

fn run_with(
    seed: u8,
    config: &'static Config,
    plans: [Plan; 2],
    faults: Faults,
    delay: u64,
    mut meddle: impl FnMut(&mut [Host; 2], &mut Random),
) -> Outcome {
    let mut hosts = [0, 1].map(|side| Host::new(side, config, plans[side], seed));
    let random = Random::new([seed ^ 0xc3; 32]);
    let mut meddler = Random::new([seed ^ 0x3c; 32]);
    let delay = Duration::from_millis(delay);
    let mut wire = Wire { faults, delay, flying: BTreeMap::new(), count: 0, random };
    hosts[1].tcp.listen(Service(0), PORT).unwrap();
    let remote = SocketAddr::new(REMOTE, PORT);
    let stream = hosts[0].tcp.connect(Service(0), remote).unwrap();
    hosts[0].stream = Some(stream);
    let mut now = Instant::ZERO;
    let mut ended = Instant::NEVER;
    let mut idle = 0;
    let limit = Duration::from_secs(4000);
    loop {
        wire.give(&mut hosts, now);
        meddle(&mut hosts, &mut meddler);
        for host in &mut hosts {
            host.sweep(now);
            wire.take(host);
        }
        if ended == Instant::NEVER && hosts.iter().all(|host| host.ended.is_some()) {
            ended = now;
        }
        let flying = wire.flying.first_key_value().map_or(Instant::NEVER, |(key, _)| key.0);
        let next = hosts.iter().map(Host::deadline).fold(flying, Instant::min);
        if next == Instant::NEVER {
            break;
        }
        idle = if next <= now { idle + 1 } else { 0 };
        assert!(idle < 10_000, "seed {seed}: spins at {now}");
        now = now.max(next);
        let state = |host: &Host| {
            format!("{} of {} sent, {} received", host.sent, host.plan.bytes, host.received)
        };
        assert!(
            now.since(Instant::ZERO) < limit,
            "seed {seed}: stuck: {} / {}",
            state(&hosts[0]),
            state(&hosts[1]),
        );
    }
    check(seed, &hosts);
    Outcome { ended }
}

fn check(seed: u8, hosts: &[Host; 2]) {
    for host in hosts {
        let other = &hosts[1 - host.side];
        let who = format!("seed {seed}, side {}", host.side);
        assert_eq!(host.ended, Some(Phase::Closed), "{who}");
        assert_eq!((host.sent, host.received), (host.plan.bytes, other.plan.bytes), "{who}");
        assert!(host.finished, "{who}");
        assert_eq!(host.tcp.kept(), 0, "{who}: queues are empty");
        assert_eq!(host.cx.pool().available(), PACKETS, "{who}: all packets are back");
        let counters = Tcp::counters(&host.tcp);
        let open = [counters.open.get(), counters.half_open.get(), counters.time_waits.get()];
        assert_eq!(open, [0; 3], "{who}");
    }
}

const BULK: Plan = Plan { bytes: 400_000, answer: false, last: false, lazy: 0 };
const SINK: Plan = Plan { bytes: 0, answer: false, last: true, lazy: 0 };
const CALL: Plan = Plan { bytes: 20_000, answer: false, last: false, lazy: 0 };
const ANSWER: Plan = Plan { bytes: 20_000, answer: true, last: true, lazy: 0 };

#[test]
fn bulk_over_a_clean_wire_takes_a_few_round_trips() {
    let config = config(|_| {});
    let outcome = run(1, config, [BULK, SINK], Faults::default(), 10);
    // 400 kB in slow start from ten segments: 14, 28, 56, ... and handshake, end and delays.
    assert!(outcome.ended < Instant::ZERO + Duration::from_millis(300), "{}", outcome.ended);
}

#[test]
fn a_wire_that_loses_a_fifth_is_not_taken_for_a_slow_one() {
    let config = config(|_| {});
    let latest = (0..60).map(|seed| {
        let faults = Faults { loss: 200, ..Faults::default() };
        let few = Plan { bytes: 20_000, ..BULK };
        run(seed, config, [few, SINK], faults, 2).ended
    });
    // Each way of an exchange is lost once in three; six in a row take 200 ms * (2^6 - 1).
    let latest = latest.max().unwrap();
    assert!(latest < Instant::ZERO + Duration::from_secs(40), "{latest}");
}

#[test]
fn bulk_survives_whatever_the_wire_does() {
    for seed in 0..60 {
        let config = config(|config| {
            config.timestamps = seed % 2 == 0;
            config.nagle = seed % 3 == 0;
        });
        let level = u64::from(seed) / 10;
        let faults = Faults {
            loss: [0, 10, 30, 60, 100, 150][level as usize],
            duplicate: level * 20,
            reorder: level * 50,
            corrupt: level * 3,
        };
        let bytes = BULK.bytes / (1 + level as usize);
        run(seed, config, [Plan { bytes, ..BULK }, SINK], faults, 5 + u64::from(seed % 7) * 10);
    }
}

#[test]
fn both_ways_at_once_with_lazy_readers_and_small_buffers() {
    for seed in 0..60 {
        let config = config(|config| {
            config.receive_buffer = 2048 << (seed % 5);
            config.send_buffer = 2048 << (seed % 6);
            config.timestamps = seed % 3 == 0;
        });
        let faults = Faults { loss: 20, duplicate: 20, reorder: 100, corrupt: 2 };
        let plan = Plan { bytes: 60_000, answer: false, last: false, lazy: 300 };
        run(seed, config, [plan, plan], faults, 8);
    }
}

#[test]
fn a_conversation_and_a_half_close() {
    for seed in 0..60 {
        let faults = Faults { loss: u64::from(seed), duplicate: 10, reorder: 30, corrupt: 2 };
        run(seed, config(|_| {}), [CALL, ANSWER], faults, 15);
    }
}

#[test]
fn both_close_at_once() {
    for seed in 0..60 {
        let plan = Plan { bytes: 100 * usize::from(seed % 3), answer: false, last: false, lazy: 0 };
        let faults = Faults { loss: u64::from(seed) * 2, ..Faults::default() };
        run(seed, config(|_| {}), [plan, plan], faults, 10);
    }
}

#[test]
fn little_memory_only_slows_down() {
    for seed in 0..20 {
        let config = config(|config| config.memory = Some(24 * 2176));
        let faults = Faults { loss: 10, ..Faults::default() };
        let plan = Plan { bytes: 50_000, answer: false, last: false, lazy: 100 };
        run(seed, config, [plan, plan], faults, 5);
    }
}

/// A transfer under attack by somebody who knows addresses and ports, and guesses the rest.
pub fn attacked(seed: u8) {
    let config = config(|config| config.timestamps = seed.is_multiple_of(2));
    let faults = Faults { loss: 10, reorder: 20, ..Faults::default() };
    let plan = Plan { bytes: 60_000, answer: false, last: false, lazy: 0 };
    run_with(seed, config, [plan, plan], faults, 10, |hosts, random| {
        let to = random.below(2) as usize;
        // In SYN-RECEIVED any SYN in the window ends it, and what is queued moves the window.
        let quiet = hosts[to].ip.inbox.is_empty();
        let Some(victim) = hosts[to].tcp.conns.first().filter(|_| quiet) else { return };
        if !victim.is_synchronized() {
            return;
        }
        let expected = victim.expected;
        let (source, destination) = (victim.tuple.remote_port, victim.tuple.local_port);
        let inside = random.below(4) == 0;
        // Inside the window only what RFC 5961 is about: a RST or SYN that is not exact.
        let (seq, flags) = match inside {
            true => (expected + 1 + random.below(60_000) as u32, [0x04, 0x14, 0x02, 0x06]),
            false => (expected + (1 << 30) + random.u32() / 2, [0x10, 0x11, 0x18, 0x12]),
        };
        let segment = crate::wire::Segment {
            source,
            destination,
            seq,
            ack: crate::seq::Seq(random.u32()),
            flags: crate::wire::Flags(flags[random.below(4) as usize]),
            window: random.u32() as u16,
            options: crate::wire::Options {
                stamps: Some(crate::wire::Stamps { value: random.u32(), echo: random.u32() }),
                ..Default::default()
            },
            ..Default::default()
        };
        let Some(mut packet) = hosts[to].cx.packet() else { return };
        let (header, length) = segment.header_full();
        packet.append(&header[..length]).unwrap();
        packet.append(&[0; 100]).unwrap();
        packet.info_mut().local = [LOCAL, REMOTE][to];
        packet.info_mut().remote = [LOCAL, REMOTE][1 - to];
        packet.info_mut().checksum = ChecksumState::Verified;
        hosts[to].ip.inbox.push_back(packet);
    });
}
