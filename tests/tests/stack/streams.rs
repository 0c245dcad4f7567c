//! TCP between two hosts: what is sent arrives, whatever the wire does.

use crate::seeds;
use tcp::Tcp;
use waitless::{Duration, Phase, Service, Stream, StreamPort};
use waitless_tests::graphs::{self, client, raw};
use waitless_tests::mutate::Mutator;
use waitless_tests::wires;
use waitless_tests::world::World;

const PORT: u16 = 9000;
const BUFFERS: usize = 1024;

type Pair = World<client::Graph, raw::Graph>;

/// One end of a connection, and what passes it.
struct End {
    service: Service,
    stream: Option<Stream>,
    to_send: Vec<u8>,
    sent: usize,
    received: Vec<u8>,
    closed: bool,
}

impl End {
    fn new(tcp: &mut Tcp, to_send: Vec<u8>) -> Self {
        let service = tcp.attach().expect("room for a service");
        Self { service, stream: None, to_send, sent: 0, received: Vec::new(), closed: false }
    }

    /// Reads and writes what it can.
    fn pump(&mut self, tcp: &mut Tcp) {
        while let Some(stream) = tcp.news(self.service) {
            if tcp.tag(stream).is_none() {
                tcp.set_tag(stream, 1);
                self.stream = Some(stream);
            }
        }
        let Some(stream) = self.stream else { return };
        while !tcp.readable(stream).is_empty() {
            let bytes = tcp.readable(stream);
            self.received.extend(bytes);
            let count = bytes.len();
            tcp.consume(stream, count);
        }
        let left = &self.to_send[self.sent..];
        let room = tcp.writable(stream);
        let count = room.len().min(left.len());
        room[..count].copy_from_slice(&left[..count]);
        tcp.commit(stream, count);
        self.sent += count;
        let open = tcp.status(stream).phase == Phase::Open;
        if open && self.sent == self.to_send.len() && !self.closed {
            tcp.close(stream);
            self.closed = true;
        }
    }

    fn phase(&self, tcp: &Tcp) -> Option<Phase> {
        self.stream.map(|stream| tcp.status(stream).phase)
    }

    fn release(&mut self, tcp: &mut Tcp) {
        if let Some(stream) = self.stream.take() {
            tcp.release(stream);
        }
    }
}

/// `count` bytes that `seed` decides.
fn bytes(count: usize, seed: u64) -> Vec<u8> {
    let mut source = Mutator::new(seed);
    (0..count).map(|_| source.draw() as u8).collect()
}

/// Sends bytes both ways over a new connection, and gives both ends once each has everything
/// and the connection is over.
#[track_caller]
fn exchange(world: &mut Pair, up: usize, down: usize, seed: u64) {
    let mut here = End::new(&mut world.a.graph.tcp, bytes(up, seed));
    let mut there = End::new(&mut world.b.graph.tcp, bytes(down, seed + 1));
    world.b.graph.tcp.listen(there.service, PORT).expect("a free port");
    world.run_for(Duration::from_secs(3));
    let remote = (std::net::Ipv4Addr::new(10, 0, 0, 2), PORT).into();
    let stream = world.a.graph.tcp.connect(here.service, remote).expect("a route");
    world.a.graph.tcp.set_tag(stream, 1);
    here.stream = Some(stream);
    world.run_until(Duration::from_secs(3600), |world| {
        here.pump(&mut world.a.graph.tcp);
        there.pump(&mut world.b.graph.tcp);
        let over = |phase| phase == Some(Phase::Closed);
        over(here.phase(&world.a.graph.tcp)) && over(there.phase(&world.b.graph.tcp))
    });
    assert!(there.received == here.to_send, "{} of {up} bytes", there.received.len());
    assert!(here.received == there.to_send, "{} of {down} bytes", here.received.len());
    here.release(&mut world.a.graph.tcp);
    there.release(&mut world.b.graph.tcp);
}

#[test]
fn bytes_arrive_in_order_over_every_wire() {
    for (name, wire) in wires::ALL {
        for seed in seeds() {
            println!("{name}, seed {seed}");
            let mut world = World::new(
                graphs::client(BUFFERS, seed as u8),
                graphs::raw(BUFFERS, !seed as u8, wire(seed)),
            );
            exchange(&mut world, 100_000, 60_000, seed);
            // Longer than TIME-WAIT and every retransmission.
            world.run_for(Duration::from_secs(600));
            assert_eq!((world.a.buffers_out(), world.b.buffers_out()), (0, 0), "buffers out");
        }
    }
}

/// What a wire does that `seed` decides on.
fn any_wire(seed: u64) -> netem::Config {
    let mut source = Mutator::new(seed);
    let mut share = |most: u64| (source.draw() % (most + 1)) as u16;
    netem::Config {
        loss: share(120),
        duplicate: share(100),
        corrupt: share(40),
        reorder: share(200),
        reorder_by: Duration::from_millis(u64::from(share(30))),
        delay: Duration::from_millis(u64::from(share(80))),
        jitter: Duration::from_millis(u64::from(share(20))),
        rate: (share(2) == 0).then_some(1_000_000 + 10_000 * u64::from(share(900))),
        limit: 20 + u32::from(share(100)),
        seed,
        ..netem::Config::CLEAN
    }
}

/// No byte is lost, doubled or out of place, no connection gets stuck, and every buffer comes
/// back, on any of these wires.
#[test]
fn bytes_arrive_in_order_over_wires_that_nobody_chose() {
    for seed in 1..=25 * *seeds().end() {
        println!("seed {seed}: {:?}", any_wire(seed));
        let mut world = World::new(
            graphs::client(BUFFERS, seed as u8),
            graphs::raw(BUFFERS, !seed as u8, any_wire(seed)),
        );
        let size = |salt: u64| ((seed * salt) % 40_000) as usize;
        exchange(&mut world, size(7_919), size(104_729), seed);
        world.run_for(Duration::from_secs(600));
        assert_eq!((world.a.buffers_out(), world.b.buffers_out()), (0, 0), "buffers out");
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let (_, wire) = wires::ALL[wires::ALL.len() - 1];
        let mut world = World::new(graphs::client(BUFFERS, 1), graphs::raw(BUFFERS, 2, wire(seed)));
        exchange(&mut world, 50_000, 50_000, 7);
        (world.carried, world.now)
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4), "another seed is another run");
}

#[test]
fn a_clean_wire_costs_no_retransmission() {
    let clean = wires::ALL[0].1(1);
    let mut world = World::new(graphs::client(BUFFERS, 1), graphs::raw(BUFFERS, 2, clean));
    let before = world.carried;
    exchange(&mut world, 1_000_000, 0, 5);
    let frames = world.carried - before;
    // 1,000,000 bytes are 685 segments of 1,460, and at most as many acknowledgements.
    assert!((685..=1_450).contains(&frames), "{frames} frames for 685 segments");
}

#[test]
fn a_peer_that_vanishes_times_out_and_leaks_nothing() {
    let clean = wires::ALL[0].1(1);
    let mut world = World::new(graphs::client(BUFFERS, 1), graphs::raw(BUFFERS, 2, clean));
    let mut here = End::new(&mut world.a.graph.tcp, bytes(2_000_000, 1));
    let there = End::new(&mut world.b.graph.tcp, Vec::new());
    world.b.graph.tcp.listen(there.service, PORT).expect("a free port");
    world.run_for(Duration::from_secs(3));
    let remote = (std::net::Ipv4Addr::new(10, 0, 0, 2), PORT).into();
    here.stream = world.a.graph.tcp.connect(here.service, remote).ok();
    for _ in 0..50 {
        here.pump(&mut world.a.graph.tcp);
        world.step();
    }
    // Nobody is there any more: what is sent falls off the wire.
    for _ in 0..100_000 {
        here.pump(&mut world.a.graph.tcp);
        world.a.sweep(world.now);
        while world.a.graph.nic.take().is_some() {}
        let due = waitless::Sweep::deadline(&world.a.graph);
        world.now = due.max(world.now + Duration::from_millis(1));
        if here.phase(&world.a.graph.tcp) == Some(Phase::TimedOut) {
            break;
        }
    }
    assert_eq!(here.phase(&world.a.graph.tcp), Some(Phase::TimedOut));
    here.release(&mut world.a.graph.tcp);
    world.run_for(Duration::from_secs(200));
    assert_eq!(world.a.buffers_out(), 0);
}

#[test]
fn a_port_where_nobody_listens_refuses() {
    let clean = wires::ALL[0].1(1);
    let mut world = World::new(graphs::client(BUFFERS, 1), graphs::raw(BUFFERS, 2, clean));
    let mut here = End::new(&mut world.a.graph.tcp, b"hello?".to_vec());
    world.run_for(Duration::from_secs(3));
    let remote = (std::net::Ipv4Addr::new(10, 0, 0, 2), 9).into();
    here.stream = world.a.graph.tcp.connect(here.service, remote).ok();
    world.run_until(Duration::from_secs(10), |world| {
        here.pump(&mut world.a.graph.tcp);
        here.phase(&world.a.graph.tcp) == Some(Phase::Reset)
    });
}
