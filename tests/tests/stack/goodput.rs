//! How fast TCP is on paths that delay and lose. Time is virtual, so figures are exact and the
//! same on every machine.
//!
//! `cargo test -p waitless-tests --test stack -- --ignored --nocapture goodput` prints the table of
//! docs/performance.md.

use std::net::SocketAddr;
use tcp::{Algorithm, Config, Tcp};
use waitless::{Duration, Instant, Phase, Service, Stream, StreamPort};
use waitless_tests::graphs::{self, client, raw};
use waitless_tests::world::World;

const PORT: u16 = 9000;
const BUFFERS: usize = 8192;

/// A path, the same both ways.
#[derive(Clone, Copy)]
struct Path {
    /// Bits in a second.
    rate: u64,
    /// Milliseconds there and back.
    rtt: u64,
    /// Packets lost of a thousand.
    loss: u16,
}

/// Sends all it can.
pub fn fill(tcp: &mut Tcp, stream: Stream) {
    loop {
        let room = tcp.writable(stream).len();
        if room == 0 {
            return;
        }
        tcp.commit(stream, room);
    }
}

/// Reads all there is; how much that was.
fn drain(tcp: &mut Tcp, service: Service, stream: &mut Option<Stream>) -> u64 {
    while let Some(new) = tcp.news(service) {
        *stream = Some(new);
        tcp.set_tag(new, 1);
    }
    let mut read = 0;
    while let Some(packet) = stream.and_then(|stream| tcp.recv(stream)) {
        read += packet.len() as u64;
    }
    read
}

/// Two hosts on a path, of which one listens.
pub struct Ends {
    pub world: World<client::Graph, raw::Graph>,
    /// Who connects.
    pub here: Service,
    /// Who listens.
    pub there: Service,
    /// Where.
    pub remote: SocketAddr,
}

impl Ends {
    /// Those that `wire` joins, with randomness by its seed.
    pub fn over(wire: netem::Config) -> Self {
        Self::with(Algorithm::Cubic, wire)
    }

    /// The same, where who connects has that congestion control.
    fn with(congestion: Algorithm, wire: netem::Config) -> Self {
        let seed = wire.seed as u8;
        let config = Config { congestion, ..Config::DEFAULT };
        let client = graphs::client_with(BUFFERS, seed, config);
        let mut world: World<client::Graph, raw::Graph> =
            World::new(client, graphs::raw(BUFFERS, !seed, wire));
        world.run_for(Duration::from_secs(3));
        let here = world.a.graph.tcp.attach().expect("room for a service");
        let there = world.b.graph.tcp.attach().expect("room for a service");
        world.b.graph.tcp.listen(there, PORT).expect("a free port");
        let remote = (std::net::Ipv4Addr::new(10, 0, 0, 2), PORT).into();
        Self { world, here, there, remote }
    }
}

/// Bits that arrive in a second, of one connection, within the first `seconds` of its life.
fn goodput(congestion: Algorithm, path: Path, seconds: u64, seed: u64) -> u64 {
    let under_way = path.rate / 8 / 1_500 * path.rtt / 1_000;
    let wire = netem::Config {
        rate: Some(path.rate),
        delay: Duration::from_micros(path.rtt * 500),
        loss: path.loss,
        limit: (2 * under_way + 100) as u32,
        seed,
        ..netem::Config::CLEAN
    };
    let Ends { mut world, here, there, remote } = Ends::with(congestion, wire);
    let sender = world.a.graph.tcp.connect(here, remote).expect("a route");
    let (mut receiver, mut read) = (None, 0);
    let mut begun: Option<Instant> = None;
    loop {
        world.step();
        if world.a.graph.tcp.status(sender).phase == Phase::Open {
            let begun = *begun.get_or_insert(world.now);
            if world.now >= begun + Duration::from_secs(seconds) {
                return read * 8 / seconds;
            }
            fill(&mut world.a.graph.tcp, sender);
        }
        read += drain(&mut world.b.graph.tcp, there, &mut receiver);
    }
}

#[test]
fn a_clean_path_is_filled_and_a_bad_one_is_not_given_up() {
    for (rtt, loss, least) in [(1, 0, 18_000_000), (50, 0, 15_000_000), (25, 10, 4_000_000)] {
        let path = Path { rate: 20_000_000, rtt, loss };
        for congestion in [Algorithm::Cubic, Algorithm::Bbr] {
            let bits = goodput(congestion, path, 4, 1);
            let of = format!("{congestion:?}, {rtt} ms, {loss} of 1000 lost");
            assert!(bits >= least, "{of}: {bits} bits/s");
        }
    }
}

#[test]
#[ignore = "prints a table"]
fn goodput_of_each() {
    for congestion in [Algorithm::Cubic, Algorithm::Reno, Algorithm::Bbr] {
        println!("\n{congestion:?}\n");
        table(congestion);
    }
}

fn table(congestion: Algorithm) {
    println!("| round trip | 0 % lost | 0.1 % | 1 % | 3 % |\n|---|---|---|---|---|");
    for rtt in [1, 25, 100] {
        let cells = [0, 1, 10, 30].map(|loss| {
            let path = Path { rate: 50_000_000, rtt, loss };
            let mean = (1..=2).map(|seed| goodput(congestion, path, 6, seed)).sum::<u64>() / 2;
            format!("{:.1}", mean as f64 / 1e6)
        });
        println!("| {rtt} ms | {} |", cells.join(" | "));
    }
}
