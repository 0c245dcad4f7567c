//! The service, lent a fake UDP.

extern crate std;

use super::*;
use std::collections::VecDeque;
use std::vec::Vec;
use waitless::testing;

static CONFIG: Config = Config { port: 7 };

#[derive(Default)]
struct Udp {
    arriving: VecDeque<Packet>,
    sent: Vec<Packet>,
    room: usize,
    refuse: Option<BindError>,
}

impl UdpPort for Udp {
    fn bind(&mut self, port: u16) -> Result<Socket, BindError> {
        assert_eq!(port, 7);
        self.refuse.map_or(Ok(Socket(1)), Err)
    }

    fn recv(&mut self, socket: Socket) -> Option<Packet> {
        assert_eq!(socket, Socket(1));
        self.arriving.pop_front()
    }

    fn send(&mut self, socket: Socket, datagram: Packet) -> Result<(), Packet> {
        assert_eq!(socket, Socket(1));
        if self.sent.len() >= self.room {
            return Err(datagram);
        }
        self.sent.push(datagram);
        Ok(())
    }

    fn local_port(&self, _: Socket) -> u16 {
        7
    }
}

struct Bench {
    echo: Echo,
    udp: Udp,
    cx: Context,
}

impl Bench {
    fn new() -> Self {
        let mut cx = testing::context(128, 1);
        let mut udp = Udp { room: 100, ..Udp::default() };
        let mut echo = Echo::new(&CONFIG, &mut cx);
        echo.init(&mut udp, &mut cx).unwrap();
        Self { echo, udp, cx }
    }

    fn arrive(&mut self, payload: &[u8], port: u16, broadcast: bool) {
        let mut packet = self.cx.packet().unwrap();
        packet.append(payload).unwrap();
        packet.info_mut().remote_port = port;
        packet.info_mut().broadcast = broadcast;
        self.udp.arriving.push_back(packet);
    }

    fn sweep(&mut self) {
        self.echo.receive(&mut self.udp, &mut self.cx);
        self.echo.transmit(&mut self.udp, &mut self.cx);
    }
}

#[test]
fn a_datagram_comes_back() {
    let mut bench = Bench::new();
    for payload in [&b"hello"[..], b""] {
        bench.arrive(payload, 5000, false);
        bench.sweep();
        let packet = bench.udp.sent.pop().unwrap();
        assert_eq!((packet.bytes(), packet.info().remote_port), (payload, 5000));
    }
}

#[test]
fn services_and_broadcasts_are_not_answered() {
    let mut bench = Bench::new();
    for port in [0, 7, 19, 1023] {
        bench.arrive(b"loop", port, false);
    }
    bench.arrive(b"all", 5000, true);
    bench.sweep();
    assert!(bench.udp.sent.is_empty());
    let counters = bench.echo.counters;
    assert_eq!((counters.from_services.get(), counters.to_everybody.get()), (4, 1));
    assert_eq!(bench.cx.pool().available(), 128);
}

/// One forged datagram would otherwise go to and fro between two of them for ever.
#[test]
fn another_of_its_kind_on_a_high_port_is_not_answered() {
    static HIGH: Config = Config { port: 7007 };
    let mut bench = Bench::new();
    bench.echo = Echo::new(&HIGH, &mut bench.cx);
    bench.echo.socket = Some(Socket(1));
    bench.arrive(b"loop", 7007, false);
    bench.arrive(b"hello", 7008, false);
    bench.sweep();
    assert_eq!(bench.udp.sent.len(), 1);
    assert_eq!(bench.echo.counters.from_services.get(), 1);
}

#[test]
fn without_room_nothing_more_is_taken_and_nothing_is_lost() {
    let mut bench = Bench::new();
    bench.udp.room = 1;
    for number in 0..3 {
        bench.arrive(&[number], 5000, false);
    }
    bench.sweep();
    assert_eq!(bench.udp.arriving.len(), 1);
    assert_eq!(Component::<Udp>::deadline(&bench.echo), Instant::ZERO);
    bench.udp.room = 3;
    bench.sweep();
    let order: Vec<_> = bench.udp.sent.iter().map(|packet| packet.bytes()[0]).collect();
    assert_eq!(order, [0, 1, 2]);
    assert_eq!(Component::<Udp>::deadline(&bench.echo), Instant::NEVER);
}

#[test]
fn one_sweep_answers_one_batch() {
    let mut bench = Bench::new();
    for _ in 0..BATCH + 5 {
        bench.arrive(b"many", 5000, false);
    }
    bench.sweep();
    assert_eq!(bench.udp.sent.len(), BATCH);
}

#[test]
fn a_port_that_is_not_to_be_had_keeps_the_image_from_starting() {
    for error in [BindError::Taken, BindError::Full, BindError::Refused] {
        let mut bench = Bench::new();
        bench.udp.refuse = Some(error);
        assert!(bench.echo.init(&mut bench.udp, &mut bench.cx).is_err());
    }
}
