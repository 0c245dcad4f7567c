//! The service, lent a fake TCP of a few connections.

extern crate std;

use super::*;
use core::net::SocketAddr;
use std::boxed::Box;
use std::collections::VecDeque;
use std::vec::Vec;
use waitless::{ConnectError, testing};

const CONFIG: Config = Config { port: 7, connections: 2 };

#[derive(Default)]
struct Peer {
    tag: Option<u32>,
    phase: Phase,
    arriving: VecDeque<Packet>,
    finished: bool,
    sent: Vec<u8>,
    room: usize,
    closed: bool,
    aborted: bool,
    released: bool,
}

#[derive(Default)]
struct Tcp {
    peers: Vec<Peer>,
    news: VecDeque<Stream>,
    refuse: Option<ListenError>,
}

impl Tcp {
    fn peer(&self, stream: Stream) -> &Peer {
        &self.peers[stream.index as usize]
    }

    fn peer_mut(&mut self, stream: Stream) -> &mut Peer {
        &mut self.peers[stream.index as usize]
    }
}

impl StreamPort for Tcp {
    fn attach(&mut self) -> Option<Service> {
        Some(Service(4))
    }

    fn listen(&mut self, service: Service, port: u16) -> Result<(), ListenError> {
        assert_eq!((service, port), (Service(4), 7));
        self.refuse.map_or(Ok(()), Err)
    }

    fn connect(&mut self, _: Service, _: SocketAddr) -> Result<Stream, ConnectError> {
        Err(ConnectError::NoRoute)
    }

    fn news(&mut self, service: Service) -> Option<Stream> {
        assert_eq!(service, Service(4));
        self.news.pop_front()
    }

    fn status(&self, stream: Stream) -> Status {
        let peer = self.peer(stream);
        let readable = peer.arriving.iter().map(Packet::len).sum();
        Status { phase: peer.phase, readable, finished: peer.finished, ..Status::default() }
    }

    fn tag(&self, stream: Stream) -> Option<u32> {
        self.peer(stream).tag
    }

    fn set_tag(&mut self, stream: Stream, tag: u32) {
        self.peer_mut(stream).tag = Some(tag);
    }

    fn peer(&self, _: Stream) -> Option<SocketAddr> {
        None
    }

    fn local(&self, _: Stream) -> Option<SocketAddr> {
        None
    }

    fn readable(&self, _: Stream) -> &[u8] {
        &[]
    }

    fn consume(&mut self, _: Stream, _: usize) {}

    fn recv(&mut self, stream: Stream) -> Option<Packet> {
        self.peer_mut(stream).arriving.pop_front()
    }

    fn writable(&mut self, _: Stream) -> &mut [u8] {
        &mut []
    }

    fn commit(&mut self, _: Stream, _: usize) {}

    fn send(&mut self, stream: Stream, packet: Packet) -> Result<(), Packet> {
        let peer = self.peer_mut(stream);
        assert!(!peer.closed);
        if peer.room < packet.len() {
            return Err(packet);
        }
        peer.room -= packet.len();
        peer.sent.extend_from_slice(packet.bytes());
        Ok(())
    }

    fn close(&mut self, stream: Stream) {
        assert!(!self.peer(stream).closed);
        self.peer_mut(stream).closed = true;
    }

    fn abort(&mut self, stream: Stream) {
        self.peer_mut(stream).aborted = true;
    }

    fn release(&mut self, stream: Stream) {
        assert!(!self.peer(stream).released);
        self.peer_mut(stream).released = true;
    }
}

struct Bench {
    echo: Echo,
    tcp: Tcp,
    cx: Context,
}

impl Bench {
    fn new() -> Self {
        let mut cx = testing::context(64, 1);
        let mut tcp = Tcp::default();
        let mut echo = Echo::new(Box::leak(Box::new(CONFIG)), &mut cx);
        echo.init(&mut tcp, &mut cx).unwrap();
        Self { echo, tcp, cx }
    }

    /// A new connection with room for `room` bytes.
    fn connect(&mut self, room: usize) -> Stream {
        let stream = Stream { index: self.tcp.peers.len() as u32, generation: 0 };
        self.tcp.peers.push(Peer { phase: Phase::Open, room, ..Peer::default() });
        self.change(stream, |_| {});
        stream
    }

    /// Something happens on a connection, and the service sweeps.
    fn change(&mut self, stream: Stream, change: impl FnOnce(&mut Peer)) {
        change(self.tcp.peer_mut(stream));
        self.tcp.news.push_back(stream);
        self.echo.receive(&mut self.tcp, &mut self.cx);
    }

    fn arrive(&mut self, stream: Stream, bytes: &[u8]) {
        let mut packet = self.cx.packet().unwrap();
        packet.append(bytes).unwrap();
        self.change(stream, |peer| peer.arriving.push_back(packet));
    }

    fn sent(&self, stream: Stream) -> &[u8] {
        &self.tcp.peer(stream).sent
    }
}

#[test]
fn bytes_come_back_until_the_other_side_has_finished() {
    let mut bench = Bench::new();
    let (one, two) = (bench.connect(100), bench.connect(100));
    bench.arrive(one, b"hello ");
    bench.arrive(two, b"other");
    bench.arrive(one, b"world");
    assert_eq!((bench.sent(one), bench.sent(two)), (&b"hello world"[..], &b"other"[..]));
    assert!(!bench.tcp.peer(one).closed);
    bench.change(one, |peer| peer.finished = true);
    bench.change(one, |_| {});
    assert!(bench.tcp.peer(one).closed && !bench.tcp.peer(one).released);
    bench.change(one, |peer| peer.phase = Phase::Closed);
    assert!(bench.tcp.peer(one).released);
    assert_eq!(bench.echo.counters.open.get(), 1);
    assert_eq!(bench.echo.counters.answered.get(), 16);
    assert_eq!(bench.echo.counters.broken.get(), 0);
}

#[test]
fn without_room_nothing_is_lost_and_the_end_waits() {
    let mut bench = Bench::new();
    let stream = bench.connect(4);
    bench.arrive(stream, b"1234");
    bench.arrive(stream, b"5678");
    bench.arrive(stream, b"9");
    bench.change(stream, |peer| peer.finished = true);
    assert_eq!(bench.sent(stream), b"1234");
    assert!(!bench.tcp.peer(stream).closed);
    bench.change(stream, |peer| peer.room = 4);
    assert_eq!(bench.sent(stream), b"12345678");
    bench.change(stream, |peer| peer.room = 4);
    assert_eq!(bench.sent(stream), b"123456789");
    assert!(bench.tcp.peer(stream).closed);
}

#[test]
fn connections_are_bounded_and_places_are_used_again() {
    let mut bench = Bench::new();
    let (one, two) = (bench.connect(100), bench.connect(100));
    let three = bench.connect(100);
    assert!(bench.tcp.peer(three).aborted && bench.tcp.peer(three).released);
    bench.change(one, |peer| peer.phase = Phase::Reset);
    let four = bench.connect(100);
    bench.arrive(four, b"four");
    assert_eq!((bench.sent(four), bench.sent(two)), (&b"four"[..], &b""[..]));
    let counters = bench.echo.counters;
    assert_eq!((counters.accepted.get(), counters.refused.get()), (3, 1));
    assert_eq!((counters.open.get(), counters.broken.get()), (2, 1));
}

#[test]
fn what_waits_goes_when_the_connection_breaks() {
    let mut bench = Bench::new();
    let stream = bench.connect(0);
    bench.arrive(stream, b"waits");
    assert_eq!(bench.cx.pool().available(), 63);
    bench.change(stream, |peer| peer.phase = Phase::TimedOut);
    assert_eq!(bench.cx.pool().available(), 64);
}

#[test]
fn a_port_that_is_not_to_be_had_keeps_the_image_from_starting() {
    for error in [ListenError::Taken, ListenError::Full, ListenError::Refused] {
        let mut bench = Bench::new();
        bench.tcp.refuse = Some(error);
        assert!(bench.echo.init(&mut bench.tcp, &mut bench.cx).is_err());
    }
}
