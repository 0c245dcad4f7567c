//! Connections that share a path with one narrow place, in virtual time: what congestion control
//! makes of it.

use super::config;
use super::fake::{Ip, LOCAL, REMOTE};
use crate::{Config, Tcp};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::vec::Vec;
use waitless::packet::{CAPACITY, ChecksumState};
use waitless::testing::context;
use waitless::{
    Component, Context, Duration, Instant, Offloads, Random, Service, Stream, StreamPort,
};

const PORT: u16 = 7;
/// Headers that a segment has on the wire and not here: Ethernet, IPv4.
const BELOW: usize = 34;

/// The narrow place, and how far it is.
#[derive(Clone, Copy)]
pub struct Path {
    /// Bits in a second.
    pub rate: u64,
    /// Milliseconds there and back.
    pub rtt: u64,
    /// Bytes that wait before it at most.
    pub buffer: u64,
    /// Segments lost of a thousand, besides.
    pub loss: u64,
    /// Longer packets than this, in bytes, are swallowed.
    pub mtu: usize,
    /// The most that receivers offer.
    pub window: u64,
    /// Whether it is one of IPv6.
    pub six: bool,
}

impl Path {
    /// With room for as much as is under way in `times` round trips.
    pub fn buffered(rate: u64, rtt: u64, times: f64) -> Self {
        let product = rate / 8 * rtt / 1_000;
        Self {
            rate,
            rtt,
            buffer: (product as f64 * times) as u64,
            loss: 0,
            mtu: 1_500,
            window: 16 << 20,
            six: false,
        }
    }

    /// The addresses of sender and receiver.
    fn hosts(&self) -> [IpAddr; 2] {
        let six = |last| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last));
        if self.six { [six(1), six(2)] } else { [LOCAL, REMOTE] }
    }

    /// Bytes of the header below.
    fn header(&self) -> usize {
        if self.six { 40 } else { 20 }
    }
}

/// One host.
pub struct End {
    cx: Context,
    pub tcp: Tcp,
    ip: Ip,
    service: Service,
    stream: Option<Stream>,
}

/// A connection, from its sender to its receiver.
pub struct Flow {
    pub ends: [End; 2],
    begins: Instant,
    /// Bytes in a second that there are to send; `None` for all that can be.
    supply: Option<u64>,
    supplied: u64,
    /// Bytes that arrived since they are counted.
    pub arrived: u64,
}

/// What is on the way, and what waits.
pub struct World {
    pub path: Path,
    pub flows: Vec<Flow>,
    flying: BTreeMap<(Instant, u64), (usize, usize, Vec<u8>)>,
    count: u64,
    /// When the narrow place has passed all that waits.
    busy_until: Instant,
    random: Random,
    pub now: Instant,
    /// Bytes that waited when segments came: their sum, how many there were, and the most.
    waited: (u64, u64, u64),
    /// Segments dropped for want of room.
    pub dropped: u64,
}

impl End {
    fn new(local: IpAddr, config: &'static Config, packets: usize, seed: u8) -> Self {
        let mut cx = context(packets, seed);
        let mut tcp = Tcp::new(config, &mut cx);
        let service = tcp.attach().unwrap();
        let mut ip = Ip::new(local);
        ip.offloads = Offloads { checksum: true, segmentation: 0 };
        tcp.init(&mut ip, &mut cx).unwrap();
        Self { cx, tcp, ip, service, stream: None }
    }

    fn is_due(&self, now: Instant) -> bool {
        !self.ip.inbox.is_empty() || Component::<Ip>::deadline(&self.tcp) <= now
    }
}

impl World {
    pub fn new(path: Path) -> Self {
        Self {
            path,
            flows: Vec::new(),
            flying: BTreeMap::new(),
            count: 0,
            busy_until: Instant::ZERO,
            random: Random::new([7; 32]),
            now: Instant::ZERO,
            waited: (0, 0, 0),
            dropped: 0,
        }
    }

    /// A connection that begins at second `begins`, whose sender is configured by `change`.
    pub fn add(&mut self, begins: f64, supply: Option<u64>, change: impl FnOnce(&mut Config)) {
        let product = (self.path.rate / 8 * self.path.rtt / 1_000 + self.path.buffer) as usize;
        let packets = product / 1_400 * 8 + 600;
        let seed = self.flows.len() as u8 * 2 + 1;
        let (window, hosts) = (self.path.window, self.path.hosts());
        let mut ends = [
            End::new(hosts[0], config(change), packets, seed),
            End::new(
                hosts[1],
                config(|it| it.receive_buffer = window),
                product / 1_400 * 3 + 600,
                seed + 1,
            ),
        ];
        let [_, receiver] = &mut ends;
        receiver.tcp.listen(receiver.service, PORT).unwrap();
        let begins = Instant::ZERO + Duration::from_micros((begins * 1e6) as u64);
        self.flows.push(Flow { ends, begins, supply, supplied: 0, arrived: 0 });
    }

    /// Lets time pass until second `until`; `look` is called each time something happens.
    pub fn run(&mut self, until: f64, mut look: impl FnMut(&Self)) {
        let until = Instant::ZERO + Duration::from_micros((until * 1e6) as u64);
        while self.now < until {
            self.give();
            for flow in 0..self.flows.len() {
                self.sweep(flow);
            }
            look(self);
            let flying = self.flying.first_key_value().map_or(until, |(key, _)| key.0);
            let next = self.flows.iter().map(|flow| flow.next(self.now)).fold(flying, Instant::min);
            self.now = self.now.max(next.min(until));
        }
    }

    /// From now on connection `index` has `supply` bytes in a second to send.
    pub fn supply(&mut self, index: usize, supply: u64) {
        let flow = &mut self.flows[index];
        (flow.supply, flow.supplied, flow.begins) = (Some(supply), 0, self.now);
    }

    /// Forgets what was counted.
    pub fn reset(&mut self) {
        (self.waited, self.dropped) = ((0, 0, 0), 0);
        self.flows.iter_mut().for_each(|flow| flow.arrived = 0);
    }

    /// Bits that each connection brought in a second, counted since `seconds`.
    pub fn rates(&self, seconds: f64) -> Vec<f64> {
        self.flows.iter().map(|flow| flow.arrived as f64 * 8.0 / seconds).collect()
    }

    /// Bytes that waited on average, and at most.
    pub fn waited(&self) -> (u64, u64) {
        (self.waited.0 / self.waited.1.max(1), self.waited.2)
    }

    fn sweep(&mut self, index: usize) {
        let (now, remote) = (self.now, self.path.hosts()[1]);
        for side in 0..2 {
            let flow = &mut self.flows[index];
            flow.serve(side, now, remote);
            let end = &mut flow.ends[side];
            if !end.is_due(now) {
                continue;
            }
            end.cx.set_now(now);
            end.tcp.receive(&mut end.ip, &mut end.cx);
            flow.serve(side, now, remote);
            let end = &mut flow.ends[side];
            end.tcp.transmit(&mut end.ip, &mut end.cx);
            while let Some(packet) = self.flows[index].ends[side].ip.sent.pop_front() {
                let bytes = packet.bytes().to_vec();
                drop(packet);
                self.carry(index, side, bytes);
            }
        }
    }

    fn carry(&mut self, flow: usize, side: usize, bytes: Vec<u8>) {
        let delay = Duration::from_micros(self.path.rtt * 500);
        let mut at = self.now + delay;
        if side == 0 {
            if self.random.below(1_000) < self.path.loss
                || bytes.len() + self.path.header() > self.path.mtu
            {
                return;
            }
            let waits = self.busy_until.since(self.now).as_nanos();
            let waiting = (u128::from(waits) * u128::from(self.path.rate) / 8_000_000_000) as u64;
            let size = (bytes.len() + BELOW) as u64;
            self.waited = (self.waited.0 + waiting, self.waited.1 + 1, self.waited.2.max(waiting));
            if waiting + size > self.path.buffer.max(3_100) {
                self.dropped += 1;
                return;
            }
            let takes = Duration::from_nanos(size * 8_000_000_000 / self.path.rate);
            self.busy_until = self.busy_until.max(self.now) + takes;
            at = self.busy_until + delay;
        }
        self.count += 1;
        self.flying.insert((at, self.count), (flow, 1 - side, bytes));
    }

    /// Gives hosts what has reached them.
    fn give(&mut self) {
        while let Some(entry) = self.flying.first_entry().filter(|it| it.key().0 <= self.now) {
            let (flow, to, bytes) = entry.remove();
            let end = &mut self.flows[flow].ends[to];
            let Some(mut packet) = end.cx.packet() else { continue };
            packet.reset(CAPACITY - bytes.len());
            packet.append(&bytes).unwrap();
            packet.info_mut().local = self.path.hosts()[to];
            packet.info_mut().remote = self.path.hosts()[1 - to];
            packet.info_mut().checksum = ChecksumState::Verified;
            end.ip.inbox.push_back(packet);
        }
    }
}

impl Flow {
    /// When one of its ends wants to be swept.
    fn next(&self, now: Instant) -> Instant {
        let due = self.ends.iter().map(|end| Component::<Ip>::deadline(&end.tcp));
        let mut next = due.fold(Instant::NEVER, Instant::min);
        if self.ends[0].stream.is_none() {
            next = next.min(self.begins);
        } else if self.supply.is_some() {
            next = next.min(now + Duration::from_millis(1));
        }
        next
    }

    fn serve(&mut self, side: usize, now: Instant, remote: IpAddr) {
        let end = &mut self.ends[side];
        while let Some(stream) = end.tcp.news(end.service) {
            end.stream.get_or_insert(stream);
        }
        if side == 1 {
            let Some(stream) = end.stream else { return };
            while let Some(packet) = end.tcp.recv(stream) {
                self.arrived += packet.len() as u64;
            }
            return;
        }
        if end.stream.is_none() && now >= self.begins {
            end.cx.set_now(now);
            end.stream = end.tcp.connect(end.service, SocketAddr::new(remote, PORT)).ok();
        }
        let Some(stream) = end.stream else { return };
        let most = self
            .supply
            .map_or(u64::MAX, |supply| supply * now.since(self.begins).as_millis() / 1_000);
        while self.supplied < most {
            let room = end.tcp.writable(stream).len() as u64;
            let count = room.min(most - self.supplied);
            if count == 0 {
                break;
            }
            end.tcp.commit(stream, count as usize);
            self.supplied += count;
        }
    }
}
