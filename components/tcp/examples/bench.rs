//! Requests and responses between two instances: what a segment pair costs.
//!
//! `cargo run --release -p tcp --example bench [COUNT]` prints nanoseconds; run it under
//! `valgrind --tool=callgrind` for instructions.

#[path = "../tests/fake/mod.rs"]
mod fake;

use fake::{Ip, LOCAL, REMOTE};
use std::hint::black_box;
use std::net::SocketAddr;
use tcp::{Config, Tcp};
use waitless::packet::ChecksumState;
use waitless::testing::context;
use waitless::{Component, Context, Duration, Instant, Service, Stream, StreamPort};

static CONFIG: Config = Config::DEFAULT;

struct End {
    cx: Context,
    tcp: Tcp,
    ip: Ip,
    service: Service,
}

impl End {
    fn new(local: std::net::IpAddr, seed: u8) -> Self {
        let mut cx = context(256, seed);
        let mut tcp = Tcp::new(&CONFIG, &mut cx);
        let service = tcp.attach().expect("a service");
        Self { cx, tcp, ip: Ip::new(local), service }
    }
}

/// Hands over what `from` has sent. Both share this thread, so handles may change hands.
fn carry(from: &mut End, to: &mut End) {
    while let Some(packet) = from.ip.sent.pop_front() {
        // As if the card had written it: a copy in the receiver's own memory.
        let mut copy = to.cx.packet().expect("a packet");
        copy.append(packet.bytes()).expect("room");
        let (local, remote) = (packet.info().local, packet.info().remote);
        (copy.info_mut().local, copy.info_mut().remote) = (remote, local);
        copy.info_mut().checksum = ChecksumState::Unknown;
        to.ip.inbox.push_back(copy);
    }
}

#[inline(never)]
fn server(end: &mut End) {
    Component::receive(&mut end.tcp, &mut end.ip, &mut end.cx);
    while let Some(stream) = end.tcp.news(end.service) {
        let count = end.tcp.readable(stream).len();
        if count > 0 {
            end.tcp.consume(stream, count);
            let response = end.tcp.writable(stream);
            response[..200].fill(b'r');
            end.tcp.commit(stream, 200);
        }
    }
    Component::transmit(&mut end.tcp, &mut end.ip, &mut end.cx);
}

#[inline(never)]
fn client(end: &mut End, stream: Stream) {
    Component::receive(&mut end.tcp, &mut end.ip, &mut end.cx);
    while let Some(stream) = end.tcp.news(end.service) {
        let count = end.tcp.readable(stream).len();
        end.tcp.consume(stream, count);
    }
    let request = end.tcp.writable(stream);
    request[..100].fill(b'q');
    end.tcp.commit(stream, 100);
    Component::transmit(&mut end.tcp, &mut end.ip, &mut end.cx);
}

fn main() {
    let count: u64 = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let (mut one, mut two) = (End::new(LOCAL, 1), End::new(REMOTE, 2));
    two.tcp.listen(two.service, 80).expect("a free port");
    let stream = one.tcp.connect(one.service, SocketAddr::new(REMOTE, 80)).expect("a place");
    let mut now = Instant::ZERO;
    let start = std::time::Instant::now();
    for _ in 0..count {
        now += Duration::from_micros(20);
        one.cx.set_now(now);
        two.cx.set_now(now);
        client(&mut one, black_box(stream));
        carry(&mut one, &mut two);
        server(&mut two);
        carry(&mut two, &mut one);
    }
    let nanos = start.elapsed().as_nanos() as f64 / count as f64;
    let sent = Tcp::counters(&one.tcp).sent.get() + Tcp::counters(&two.tcp).sent.get();
    let segments = sent as f64 / count as f64;
    println!("{nanos:.1} ns and {segments:.2} segments per exchange, both ends together");
}
