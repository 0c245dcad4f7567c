//! What a request costs in one process, from the frame that arrives to the frame that leaves,
//! beside smoltcp with a server that does the least, in the same run: `make bench` runs this.
//!
//! Both stacks get the same frames from the same client, and copy each frame once in and once
//! out. Only the time in [`client::Host::work`] counts. Under `valgrind --tool=callgrind
//! --toggle-collect=…::work` the same program counts instructions; `instructions` in the
//! command line runs fewer rounds for it. `allocations` and `connection` say how often our graph
//! allocates for 1,000 exchanges, and how many bytes it keeps for a connection that is idle.

mod client;
mod ours;
mod smol;

use client::{Client, Host};
use ours::ours;
use smol::{Service, Smol};
use std::time::{Duration, Instant};
use waitless_bench::Spread;
use waitless_tests::allocations::{self, Counting};

/// Counts for `allocations` and `connection`; where nothing is allocated it costs nothing.
#[global_allocator]
static COUNTING: Counting = Counting;

const HELLO: &[u8] = b"GET /hello HTTP/1.1\r\nHost: 10.0.0.1\r\nAccept: */*\r\n\r\n";
const LINE: &[u8] = b"sixty-four bytes of payload, as a small question would have, sent.";
/// The same answer as ours gives to [`HELLO`].
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 5\r\n\r\nhello";

const HTTP: u16 = 80;
const ECHO: u16 = 7;

fn main() {
    let mut words = std::env::args().skip(1);
    let Some(mode) = words.next() else { return compare() };
    let what = words.next().unwrap_or_default();
    let connections = words.next().and_then(|word| word.parse().ok()).unwrap_or(1);
    match mode.as_str() {
        // For callgrind: one stack, one exchange, so that the count is of that alone.
        "instructions" => instructions(&what, connections),
        "allocations" => allocations(&what, connections),
        "connection" => connection(&what),
        _ => panic!("instructions | allocations | connection, or nothing: all, beside smoltcp"),
    }
}

fn compare() {
    println!("nanoseconds for each exchange, median of {RUNS} runs (least to most):");
    for connections in [1, 32] {
        for (what, port) in [("HTTP request", HTTP), ("TCP echo", ECHO)] {
            let (mut mine, mut peers) = (Vec::new(), Vec::new());
            // Turn by turn, so that a busy machine hurts both alike.
            for _ in 0..RUNS {
                mine.push(time(&mut ours(), port, connections));
                peers.push(time(&mut smol(port, connections), port, connections));
            }
            let (mine, peers) = (Spread::of(mine), Spread::of(peers));
            let ratio = peers.median / mine.median;
            println!(
                "  {what}, {connections:2} connections: Waitless {mine}, smoltcp {peers}, \
                 {ratio:.2}×"
            );
        }
    }
}

fn smol(port: u16, connections: usize) -> Smol {
    let service = if port == HTTP { Service::Http(ANSWER) } else { Service::Echo };
    Smol::new(port, connections, service)
}

/// Nanoseconds of work for each exchange.
fn time(host: &mut impl Host, port: u16, connections: usize) -> f64 {
    let request = if port == HTTP { HELLO } else { LINE };
    let mut host = Timed { host, spent: Duration::ZERO };
    let mut client = Client::open(&mut host, port, connections);
    let expected = client.learn(&mut host, request);
    assert!(expected > 0, "no answer");
    for _ in 0..ROUNDS / 10 {
        client.round(&mut host, request, expected);
    }
    host.spent = Duration::ZERO;
    for _ in 0..ROUNDS {
        client.round(&mut host, request, expected);
    }
    host.spent.as_nanos() as f64 / (ROUNDS * connections) as f64
}

fn instructions(what: &str, connections: usize) {
    const COUNTED: usize = 1_000;
    let (port, mine) = match what {
        "http" => (HTTP, true),
        "echo" => (ECHO, true),
        "smoltcp-http" => (HTTP, false),
        "smoltcp-echo" => (ECHO, false),
        "idle" => return idle(COUNTED),
        _ => panic!("instructions {WORDS}, then connections"),
    };
    let request = if port == HTTP { HELLO } else { LINE };
    if mine {
        rounds(&mut ours(), port, connections, request, COUNTED);
    } else {
        rounds(&mut smol(port, connections), port, connections, request, COUNTED);
    }
}

/// How often our graph allocates for 1,000 exchanges, once it is warmed up.
fn allocations(what: &str, connections: usize) {
    const COUNTED: usize = 1_000;
    let (port, request) = exchange(what);
    let mut host = Allocating { host: ours(), count: 0 };
    let mut client = Client::open(&mut host, port, connections);
    let expected = client.learn(&mut host, request);
    for _ in 0..COUNTED.div_ceil(10) {
        client.round(&mut host, request, expected);
    }
    host.count = 0;
    for _ in 0..COUNTED.div_ceil(connections) {
        client.round(&mut host, request, expected);
    }
    println!("{}", host.count);
}

/// Bytes that our graph keeps for each of many connections on which nothing happens any more.
fn connection(what: &str) {
    const OPEN: usize = 20_000;
    let (port, request) = exchange(what);
    let mut host = ours();
    let mut client = Client::reserve(port, OPEN);
    let before = allocations::live();
    for _ in 0..OPEN {
        client.connect(&mut host);
        client.ask_once(&mut host, request);
    }
    println!("{}", (allocations::live() - before) / OPEN as i64);
}

fn exchange(what: &str) -> (u16, &'static [u8]) {
    match what {
        "http" => (HTTP, HELLO),
        "echo" => (ECHO, LINE),
        _ => panic!("http | echo"),
    }
}

/// Sweeps in which nothing happens.
fn idle(count: usize) {
    let mut host = ours();
    Client::open(&mut host, HTTP, 1);
    for turn in 0..count {
        host.work(turn as u64);
    }
    println!("{count}");
}

fn rounds(host: &mut impl Host, port: u16, connections: usize, request: &[u8], count: usize) {
    let mut client = Client::open(host, port, connections);
    let expected = client.learn(host, request);
    for _ in 0..count {
        client.round(host, request, expected);
    }
    println!("{}", count * connections);
}

/// A host whose work is timed.
struct Timed<'a, H> {
    host: &'a mut H,
    spent: Duration,
}

impl<H: Host> Host for Timed<'_, H> {
    fn deliver(&mut self, frame: &[u8]) {
        self.host.deliver(frame);
    }

    fn work(&mut self, now: u64) {
        let start = Instant::now();
        self.host.work(now);
        self.spent += start.elapsed();
    }

    fn sent(&mut self, into: &mut [u8]) -> Option<usize> {
        self.host.sent(into)
    }

    fn counters(&self) -> String {
        self.host.counters()
    }
}

/// A host whose allocations are counted.
struct Allocating<H> {
    host: H,
    count: u64,
}

impl<H: Host> Host for Allocating<H> {
    fn deliver(&mut self, frame: &[u8]) {
        self.host.deliver(frame);
    }

    fn work(&mut self, now: u64) {
        self.count += allocations::counted(|| self.host.work(now));
    }

    fn sent(&mut self, into: &mut [u8]) -> Option<usize> {
        self.host.sent(into)
    }

    fn counters(&self) -> String {
        self.host.counters()
    }
}

const WORDS: &str = "http | echo | idle | smoltcp-http | smoltcp-echo";
const RUNS: usize = 7;
const ROUNDS: usize = 2_000;
