//! The service, lent a fake UDP.

extern crate std;

use super::*;
use std::collections::VecDeque;
use std::vec::Vec;
use waitless::testing;

static CONFIG: Config = Config { port: 7, streak: Some(1000) };

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
    static HIGH: Config = Config { port: 7007, streak: None };
    let mut bench = Bench::new();
    bench.echo = Echo::new(&HIGH, &mut bench.cx);
    bench.echo.socket = Some(Socket(1));
    bench.arrive(b"loop", 7007, false);
    bench.arrive(b"hello", 7008, false);
    bench.sweep();
    assert_eq!(bench.udp.sent.len(), 1);
    assert_eq!(bench.echo.counters.from_services.get(), 1);
}

/// A network with one service on each of two ports that none would take for a service's.
#[test]
fn a_loop_of_two_services_on_high_ports_ends() {
    static CONFIGS: [Config; 2] =
        [Config { port: 7007, streak: Some(100) }, Config { port: 9009, streak: Some(100) }];
    let mut benches = [Bench::new(), Bench::new()];
    for (bench, config) in benches.iter_mut().zip(&CONFIGS) {
        bench.echo = Echo::new(config, &mut bench.cx);
        bench.echo.socket = Some(Socket(1));
        bench.udp.room = usize::MAX;
    }
    benches[0].arrive(b"forged", CONFIGS[1].port, false);
    let mut answers = 0;
    for turn in 0..1000 {
        let from = turn % 2;
        // A way of 50 ms: no budget of answers a second would end what goes to and fro on it.
        let now = Instant::ZERO + waitless::Duration::from_millis(50 * turn as u64);
        benches[from].cx.set_now(now);
        benches[from].sweep();
        let Some(answer) = benches[from].udp.sent.pop() else { break };
        answers += 1;
        benches[1 - from].arrive(answer.bytes(), CONFIGS[from].port, false);
    }
    assert_eq!(answers, 200, "each answered its share, and then one did not");
    let ended = benches.iter().map(|bench| bench.echo.counters.streaks_ended.get());
    assert_eq!(ended.sum::<u64>(), 1);
}

#[test]
fn a_source_that_pauses_or_goes_on_is_answered() {
    static SHORT: Config = Config { port: 7, streak: Some(3) };
    let mut bench = Bench::new();
    bench.echo = Echo::new(&SHORT, &mut bench.cx);
    bench.echo.socket = Some(Socket(1));
    let mut ask = |seconds: u64, port: u16| {
        bench.cx.set_now(Instant::ZERO + waitless::Duration::from_secs(seconds));
        bench.arrive(b"hello", port, false);
        bench.sweep();
        bench.udp.sent.pop().is_some()
    };
    // One that asks every second is never refused.
    assert!((1..10).all(|second| ask(second, 5000)));
    // Of one that does not pause, each fourth is left out, and no other source notices.
    let asked: Vec<_> = (0..8).map(|_| ask(20, 6000)).collect();
    assert_eq!(asked, [true, true, true, false, true, true, true, false]);
    assert!(ask(20, 6001));
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
