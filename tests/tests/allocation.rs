//! Once warmed up, the whole web graph allocates nothing: from the card to the handler and back.

use std::net::Ipv4Addr;
use waitless::Duration;
use waitless::http::Handler;
use waitless_tests::allocations::Counting;
use waitless_tests::corpus;
use waitless_tests::graphs::{self, server};
use waitless_tests::peer::{self, Peer, Side};
use waitless_tests::routed::{self, Routed, Way};
use waitless_tests::wires;

#[global_allocator]
static COUNTING: Counting = Counting;

const HELLO: &[u8] = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";
const BYTES: &[u8] = b"GET /bytes?count=100000 HTTP/1.1\r\nHost: x\r\n\r\n";
const HEAD: &[u8] = b"HEAD /hello HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n";
const MISSING: &[u8] = b"GET /missing HTTP/1.1\r\nHost: x\r\n\r\n";

/// Allocations in 200 rounds of `round`, after 50 that do not count.
#[track_caller]
fn steady<H: Handler>(
    peer: &mut Peer<server::Graph<H>>,
    mut round: impl FnMut(&mut Peer<server::Graph<H>>),
) -> u64 {
    for _ in 0..50 {
        round(peer);
    }
    peer.host.allocations = 0;
    for _ in 0..200 {
        round(peer);
    }
    peer.host.allocations
}

fn peer() -> Peer<server::Graph<impl Handler>> {
    let mut peer = Peer::of(graphs::server(512, 1, wires::ALL[0].1(1)));
    peer.pass(Duration::from_secs(5));
    peer
}

#[test]
fn the_count_counts() {
    let mut peer = peer();
    assert!(peer.host.allocations > 0, "tables are made while a host starts");
    peer.host.allocations = 0;
    let made = waitless_tests::allocations::counted(|| drop(std::hint::black_box(Box::new(1))));
    assert_eq!(made, 1);
}

#[test]
fn requests_on_a_connection_that_stays_open() {
    let mut peer = peer();
    let mut side = peer.connect(40_000, 80).expect("a connection");
    for request in [HELLO, HEAD, BYTES, MISSING] {
        let allocations = steady(&mut peer, |peer| {
            let answer = peer.exchange(&mut side, request);
            assert!(answer.starts_with(b"HTTP/1.1 "), "no answer");
        });
        assert_eq!(allocations, 0, "{}", request.escape_ascii());
    }
}

#[test]
fn requests_with_a_body_and_in_a_pipeline() {
    let mut peer = peer();
    let mut side = peer.connect(40_000, 80).expect("a connection");
    let head = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n";
    let post = [&head[..], &[b'x'; 20_000]].concat();
    let pipeline = [HELLO, HEAD, HELLO, MISSING, HELLO].concat();
    for bytes in [post, pipeline] {
        let allocations = steady(&mut peer, |peer| {
            assert!(!peer.exchange(&mut side, &bytes).is_empty(), "no answer");
        });
        assert_eq!(allocations, 0);
    }
}

#[test]
fn many_connections_at_once() {
    let mut peer = peer();
    let mut sides: Vec<Side> =
        (0..64).map(|n| peer.connect(41_000 + n, 80).expect("a connection")).collect();
    let allocations = steady(&mut peer, |peer| {
        for side in &mut sides {
            peer.exchange(side, HELLO);
        }
    });
    assert_eq!(allocations, 0);
}

#[test]
fn datagrams_and_pings() {
    let mut peer = peer();
    let echo = [&[8, 0, 0, 0, 0, 1, 0, 1][..], &[0x33; 100]].concat();
    let packet = corpus::ipv4(peer::ADDRESS, peer::HOST_ADDRESS, 1, &echo);
    let mut ping = corpus::ethernet(peer::HOST_STATION, peer::STATION, 0x800, &packet);
    corpus::repair_frame(&mut ping);
    let allocations = steady(&mut peer, |peer| {
        peer.send(&peer::datagram(5000, 7, b"there and back"));
        peer.send(&peer::datagram(1000, 9, b"nobody"));
        peer.send(&ping);
    });
    assert_eq!(allocations, 0);
}

#[test]
fn packets_that_a_router_translates_and_cuts() {
    let mut routed = Routed::new(512);
    let host = (Ipv4Addr::new(192, 168, 77, 9), 5000);
    let peer = (Ipv4Addr::new(203, 0, 113, 5), 53);
    let packet = |from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), length| {
        let mut packet = corpus::ipv4(from.0, to.0, 17, &corpus::udp(from, to, &vec![7; length]));
        // It may be fragmented.
        packet[6] = 0;
        corpus::repair(&mut packet);
        packet
    };
    let round = |routed: &mut Routed, number: u16| {
        let from = (host.0, host.1 + number);
        let sent = routed.send(Way::Out, &packet(from, peer, 100));
        assert_eq!(sent.len(), 1, "{}", routed.host.counters());
        let outside = &sent[0].bytes;
        let port = u16::from_be_bytes([outside[20], outside[21]]);
        for (length, pieces) in [(100, 1), (1400, 2)] {
            let answer = packet(peer, (routed::OUTSIDE, port), length);
            assert_eq!(routed.send(Way::In, &answer).len(), pieces);
        }
    };
    (0..20).for_each(|number| round(&mut routed, number));
    routed.host.allocations = 0;
    // Ports that are known, and some that are not.
    (10..60).for_each(|number| round(&mut routed, number));
    assert_eq!(routed.host.allocations, 0);
    routed.pass(Duration::from_secs(20_000));
    routed.expect_rest();
}
