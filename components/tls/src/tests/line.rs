//! Streams in a test's hands, and a server or a client that stands on them.

use crate::client::{self, Client};
use crate::handshake::Server;
use crate::role::Role;
use crate::{Config, Tls};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::SocketAddr;
use waitless::{
    Component, ConnectError, Context, Duration, Instant, ListenError, Packet, Phase, Pool, Random,
    Service, Status, Stream, StreamPort, testing,
};

/// All streams.
pub struct Line {
    pool: Pool,
    pub wires: Vec<Wire>,
    pub listening: Vec<u16>,
    news: VecDeque<u32>,
}

/// One stream.
#[derive(Default)]
pub struct Wire {
    arrived: VecDeque<Packet>,
    /// It does not open.
    pub opening: bool,
    /// What the component sent.
    pub sent: Vec<u8>,
    /// Bytes that the component may still send.
    pub room: usize,
    pub client_finished: bool,
    pub closed: bool,
    pub aborted: bool,
    pub released: bool,
    tag: Option<u32>,
    in_news: bool,
}

impl Line {
    fn wire(&self, stream: Stream) -> Option<&Wire> {
        self.wires.get(stream.index as usize).filter(|wire| !wire.released)
    }

    fn wire_mut(&mut self, stream: Stream) -> Option<&mut Wire> {
        self.wires.get_mut(stream.index as usize).filter(|wire| !wire.released)
    }

    /// A packet arrives.
    pub fn arrive(&mut self, wire: usize, packet: Packet) {
        self.wires[wire].arrived.push_back(packet);
        self.report(wire);
    }

    fn report(&mut self, index: usize) {
        if !core::mem::replace(&mut self.wires[index].in_news, true) {
            self.news.push_back(index as u32);
        }
    }
}

impl StreamPort for Line {
    fn attach(&mut self) -> Option<Service> {
        Some(Service(0))
    }

    fn listen(&mut self, _: Service, port: u16) -> Result<(), ListenError> {
        self.listening.push(port);
        Ok(())
    }

    fn connect(&mut self, _: Service, remote: SocketAddr) -> Result<Stream, ConnectError> {
        if remote.port() == 1 {
            return Err(ConnectError::NoRoute);
        }
        let opening = remote.port() == 2;
        self.wires.push(Wire { room: usize::MAX, opening, ..Wire::default() });
        let index = self.wires.len() - 1;
        self.report(index);
        Ok(Stream { index: index as u32, generation: 0 })
    }

    fn news(&mut self, _: Service) -> Option<Stream> {
        let index = self.news.pop_front()?;
        self.wires[index as usize].in_news = false;
        Some(Stream { index, generation: 0 })
    }

    fn status(&self, stream: Stream) -> Status {
        let Some(wire) = self.wire(stream) else { return Status::default() };
        let both = wire.client_finished && wire.closed;
        Status {
            phase: match wire.opening {
                true => Phase::Opening,
                false if both || wire.aborted => Phase::Closed,
                false => Phase::Open,
            },
            readable: wire.arrived.iter().map(Packet::len).sum(),
            writable: wire.room,
            unacknowledged: 0,
            finished: wire.client_finished,
            segment: 1448,
        }
    }

    fn tag(&self, stream: Stream) -> Option<u32> {
        self.wire(stream)?.tag
    }

    fn set_tag(&mut self, stream: Stream, tag: u32) {
        if let Some(wire) = self.wire_mut(stream) {
            wire.tag = Some(tag);
        }
    }

    fn peer(&self, _: Stream) -> Option<SocketAddr> {
        Some(([10, 0, 0, 2], 50_000).into())
    }

    fn local(&self, _: Stream) -> Option<SocketAddr> {
        Some(([10, 0, 0, 1], 443).into())
    }

    fn readable(&self, _: Stream) -> &[u8] {
        &[]
    }

    fn consume(&mut self, _: Stream, _: usize) {}

    fn recv(&mut self, stream: Stream) -> Option<Packet> {
        self.wire_mut(stream)?.arrived.pop_front()
    }

    fn writable(&mut self, _: Stream) -> &mut [u8] {
        &mut []
    }

    fn commit(&mut self, _: Stream, _: usize) {}

    fn send(&mut self, stream: Stream, packet: Packet) -> Result<(), Packet> {
        let Some(wire) = self.wire_mut(stream) else { return Err(packet) };
        assert!(!wire.closed, "data behind the end");
        if wire.room < packet.len() {
            return Err(packet);
        }
        assert!(packet.headroom() >= 100, "no room for the headers below");
        wire.room -= packet.len();
        wire.sent.extend_from_slice(packet.bytes());
        Ok(())
    }

    fn close(&mut self, stream: Stream) {
        if let Some(wire) = self.wire_mut(stream) {
            wire.closed = true;
        }
    }

    fn abort(&mut self, stream: Stream) {
        if let Some(wire) = self.wire_mut(stream) {
            wire.aborted = true;
            wire.arrived.clear();
        }
    }

    fn release(&mut self, stream: Stream) {
        if let Some(wire) = self.wire_mut(stream) {
            wire.aborted |= !wire.arrived.is_empty();
            wire.closed = true;
            wire.released = true;
            wire.arrived.clear();
        }
    }
}

/// A server or a client on streams in the test's hands, for one service.
pub struct World<R: Role = Server> {
    pub cx: Context,
    pub line: Line,
    pub tls: Tls<R>,
    pub service: Service,
}

impl World {
    pub fn new(config: Config) -> Self {
        Self::with(config, 256)
    }

    pub fn with(config: Config, packets: usize) -> Self {
        Self::serving(config, packets, None)
    }
}

impl World<Server<true>> {
    /// A server that asks its clients who they are, and for which it is so many seconds after
    /// 1970, if it knows.
    pub fn asking(config: Config, now: Option<u64>) -> Self {
        Self::serving(config, 256, now)
    }
}

impl World<Server<false, true>> {
    /// A server that accepts early data, for a service that can tell it.
    pub fn early(config: Config) -> Self {
        let mut world = Self::serving(config, 256, None);
        world.tls.take_early(world.service);
        world
    }
}

impl<const ASKS: bool, const EARLY: bool> World<Server<ASKS, EARLY>> {
    pub fn serving(config: Config, packets: usize, now: Option<u64>) -> Self {
        let mut cx = testing::context(packets, 1);
        if let Some(now) = now {
            cx.set_wall_clock(now * 1_000_000_000);
        }
        // A device may bring entropy when the graph starts, and not before.
        let seeded = core::mem::replace(&mut cx.random, Random::unseeded());
        let mut tls = Tls::new(Box::leak(Box::new(config)), &mut cx);
        cx.random = seeded;
        let mut line = Line {
            pool: cx.pool(),
            wires: Vec::new(),
            listening: Vec::new(),
            news: VecDeque::new(),
        };
        tls.init(&mut line, &mut cx).unwrap();
        let service = tls.attach().unwrap();
        tls.listen(service, 443).unwrap();
        let mut world = Self { cx, line, tls, service };
        world.sweep();
        assert_eq!(world.line.listening, [443]);
        world
    }
}

/// What time it is for clients: in 2026.
pub const NOW: u64 = 1_790_000_000;

impl World<Client> {
    /// A client that knows the time.
    pub fn client(config: client::Config) -> Self {
        Self::client_at(config, Some(NOW))
    }

    /// A client for which it is so many seconds after 1970, if it knows.
    pub fn client_at(config: client::Config, now: Option<u64>) -> Self {
        let mut cx = testing::context(256, 2);
        if let Some(now) = now {
            cx.set_wall_clock(now * 1_000_000_000);
        }
        let mut tls = Tls::new(Box::leak(Box::new(config)), &mut cx);
        let mut line = Line {
            pool: cx.pool(),
            wires: Vec::new(),
            listening: Vec::new(),
            news: VecDeque::new(),
        };
        tls.init(&mut line, &mut cx).unwrap();
        let service = tls.attach().unwrap();
        let mut world = Self { cx, line, tls, service };
        world.sweep();
        world
    }

    /// Begins a connection to `name`; the number of its wire comes with it.
    #[track_caller]
    pub fn dial(&mut self, name: &str) -> (Stream, usize) {
        let remote = ([10, 0, 0, 1], 443).into();
        let stream = self.tls.connect_to(self.service, remote, name).unwrap();
        self.tls.set_tag(stream, 7);
        self.settle();
        (stream, self.line.wires.len() - 1)
    }

    pub fn role(&mut self) -> &mut Client {
        &mut self.tls.shared.as_mut().unwrap().role
    }
}

impl<R: Role> World<R> {
    /// A client connects.
    pub fn connect(&mut self) -> usize {
        self.line.wires.push(Wire { room: usize::MAX, ..Wire::default() });
        let index = self.line.wires.len() - 1;
        self.line.report(index);
        self.settle();
        index
    }

    /// The other end says `bytes`, in packets of `piece` bytes.
    pub fn say_in(&mut self, wire: usize, bytes: &[u8], piece: usize) {
        for part in bytes.chunks(piece) {
            let mut packet = self.line.pool.packet().unwrap();
            packet.append(part).unwrap();
            self.line.wires[wire].arrived.push_back(packet);
        }
        self.line.report(wire);
        self.settle();
    }

    pub fn say(&mut self, wire: usize, bytes: &[u8]) {
        self.say_in(wire, bytes, 1400);
    }

    /// The other end sends nothing more.
    pub fn finish(&mut self, wire: usize) {
        self.line.wires[wire].client_finished = true;
        self.line.report(wire);
        self.settle();
    }

    /// The stream has room for so many bytes more.
    pub fn make_room(&mut self, wire: usize, bytes: usize) {
        self.line.wires[wire].room = bytes;
        self.line.report(wire);
        self.settle();
    }

    /// What was sent since it was asked last.
    pub fn heard(&mut self, wire: usize) -> Vec<u8> {
        core::mem::take(&mut self.line.wires[wire].sent)
    }

    pub fn sweep(&mut self) {
        self.tls.receive(&mut self.line, &mut self.cx);
        self.tls.transmit(&mut self.line, &mut self.cx);
    }

    /// Sweeps until nothing is left to do now.
    pub fn settle(&mut self) {
        self.sweep();
        for _ in 0..1000 {
            let quiet = self.line.news.is_empty()
                && <Tls<R> as Component<Line>>::deadline(&self.tls) > self.cx.now();
            if quiet {
                return;
            }
            self.sweep();
            if !self.tls.services[0].news.is_empty() && self.line.news.is_empty() {
                // It waits for the service, which is the test.
                self.sweep();
                self.sweep();
                return;
            }
        }
        panic!("it is busy with nothing");
    }

    pub fn pass(&mut self, time: Duration) {
        let now: Instant = self.cx.now() + time;
        self.cx.set_now(now);
        self.settle();
    }

    /// The service's next connection with news.
    pub fn news(&mut self) -> Option<Stream> {
        self.tls.news(self.service)
    }

    /// The service's next connection that is new.
    #[track_caller]
    pub fn accept(&mut self) -> Stream {
        while let Some(stream) = self.news() {
            if self.tls.tag(stream).is_none() {
                return stream;
            }
        }
        panic!("no handshake was completed");
    }

    /// Everything that the service can read of a connection.
    pub fn read(&mut self, stream: Stream) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..1000 {
            while let Some(packet) = self.tls.recv(stream) {
                bytes.extend_from_slice(packet.bytes());
            }
            self.settle();
            if self.tls.status(stream).readable == 0 {
                return bytes;
            }
        }
        panic!("there is no end to it");
    }

    /// The service sends `bytes`.
    pub fn write(&mut self, stream: Stream, bytes: &[u8]) {
        for part in bytes.chunks(1440) {
            let mut packet = self.cx.packet().unwrap();
            packet.append(part).unwrap();
            assert!(self.tls.send(stream, packet).is_ok(), "no room");
        }
        self.settle();
    }

    /// Buffers that are in use.
    pub fn buffers_out(&self) -> usize {
        self.cx.pool().count() - self.cx.pool().available()
    }
}
