//! HTTP through the whole graph: from the card to a handler and back.

use crate::seeds;
use waitless::{Duration, Instant, Phase, Stream, StreamPort};
use waitless_tests::graphs;
use waitless_tests::mutate::Mutator;
use waitless_tests::peer::{Peer, flags};
use waitless_tests::wires;
use waitless_tests::world::{OnCard, World};

#[test]
fn requests_are_answered_over_every_wire() {
    for (name, wire) in wires::ALL {
        for seed in seeds() {
            println!("{name}, seed {seed}");
            let client = graphs::client(512, seed as u8);
            let mut world = World::new(client, graphs::server(512, !seed as u8, wire(seed)));
            world.run_for(Duration::from_secs(3));
            let get = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";
            let hello = request(&mut world, get, |got| got.ends_with(b"hello"));
            assert!(hello.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&hello));
            let get = b"GET /bytes?count=50000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
            let bytes = request(&mut world, get, |got| got.len() > 50_000 && got.ends_with(b"."));
            assert!(bytes.starts_with(b"HTTP/1.1 200"));
            let body = b"0123456789".repeat(2_000);
            let head = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n";
            let post = [head.as_bytes(), &body].concat();
            let echo = request(&mut world, &post, |got| got.ends_with(b"\r\n0\r\n\r\n"));
            assert!(unchunked(&echo) == body, "the echo differs");
            world.run_for(Duration::from_secs(600));
            assert_eq!((world.a.buffers_out(), world.b.buffers_out()), (0, 0), "buffers out");
        }
    }
}

/// The body of an answer in chunks (RFC 9112 section 7.1).
pub fn unchunked(answer: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(answer);
    // An interim answer is no answer yet.
    let text = text.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n").unwrap_or(&text);
    let (_, mut rest) = text.split_once("\r\n\r\n").expect("a head");
    let mut body = Vec::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a chunk's size");
        body.extend(&after.as_bytes()[..size]);
        rest = &after[size + 2..];
    }
    body
}

/// Sends `request` on a new connection and reads until `complete` or the server's end.
#[track_caller]
pub fn request<B: OnCard>(
    world: &mut World<graphs::client::Graph, B>,
    request: &[u8],
    complete: impl Fn(&[u8]) -> bool,
) -> Vec<u8> {
    paced_request(world, request, complete, |_| usize::MAX)
}

/// The same, with at most as many bytes at a time as `pace` says.
#[track_caller]
fn paced_request<B: OnCard>(
    world: &mut World<graphs::client::Graph, B>,
    request: &[u8],
    complete: impl Fn(&[u8]) -> bool,
    mut pace: impl FnMut(Instant) -> usize,
) -> Vec<u8> {
    let service = world.a.graph.tcp.attach().expect("room for a service");
    let remote = (std::net::Ipv4Addr::new(10, 0, 0, 2), 80).into();
    let stream: Stream = world.a.graph.tcp.connect(service, remote).expect("a route");
    world.a.graph.tcp.set_tag(stream, 1);
    let (mut sent, mut got) = (0, Vec::new());
    world.run_until(Duration::from_secs(600), |world| {
        let (now, tcp) = (world.now, &mut world.a.graph.tcp);
        while tcp.news(service).is_some() {}
        if tcp.status(stream).phase == Phase::Open {
            let room = tcp.writable(stream);
            let count = room.len().min(request.len() - sent).min(pace(now));
            room[..count].copy_from_slice(&request[sent..sent + count]);
            tcp.commit(stream, count);
            sent += count;
        }
        while !tcp.readable(stream).is_empty() {
            got.extend(tcp.readable(stream));
            let count = tcp.readable(stream).len();
            tcp.consume(stream, count);
        }
        complete(&got) || matches!(tcp.status(stream).phase, Phase::Closed | Phase::Reset)
    });
    world.a.graph.tcp.close(stream);
    world.a.graph.tcp.release(stream);
    got
}

#[test]
fn big_bodies_come_back() {
    let clean = wires::ALL[0].1(1);
    let mut world = World::new(graphs::client(2048, 1), graphs::server(2048, 2, clean));
    world.run_for(Duration::from_secs(3));
    for length in [3_000_000, 300_000, 299_999, 100_001, 65_524] {
        let body: Vec<u8> = (0..length).map(|n| b'a' + (n % 26) as u8).collect();
        let head = format!("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
        let plain = [head.as_bytes(), &body].concat();
        let mut chunked = POST_CHUNKED.to_vec();
        for chunk in body.chunks(65_524) {
            chunked.extend(format!("{:x}\r\n", chunk.len()).bytes().chain(chunk.iter().copied()));
            chunked.extend(b"\r\n");
        }
        chunked.extend(b"0\r\n\r\n");
        for post in [plain, chunked] {
            println!("{length} bytes, {} with framing", post.len());
            let echo = request(&mut world, &post, |got| got.ends_with(b"\r\n0\r\n\r\n"));
            assert!(unchunked(&echo) == body, "the echo differs");
        }
    }
}

/// Whatever pauses a client makes and in whatever pieces it sends, its body comes back.
#[test]
fn a_client_that_paces_itself_gets_its_body_back() {
    for seed in 1..=60 {
        let mut chance = Mutator::new(seed);
        let clean = wires::ALL[0].1(seed);
        let mut world = World::new(graphs::client(1024, 1), graphs::server(1024, 2, clean));
        world.run_for(Duration::from_secs(3));
        let body: Vec<u8> = (0..chance.below(200_000) + 1).map(|n| b'a' + (n % 26) as u8).collect();
        let asks = chance.below(2) == 0;
        let mut post = if asks { POST_EXPECTING } else { POST_CHUNKED }.to_vec();
        let head = post.len();
        for chunk in body.chunks(chance.below(70_000) + 1_000) {
            post.extend(format!("{:x}\r\n", chunk.len()).bytes().chain(chunk.iter().copied()));
            post.extend(b"\r\n");
        }
        post.extend(b"0\r\n\r\n");
        let most = *chance.pick(&[700, 1460, 3_000, 40_000]);
        let pause = *chance.pick(&[0, 10, 200, 3_000]);
        println!("seed {seed}: {asks}, {} bytes by at most {most}, {pause} us apart", body.len());
        let (mut allowed, mut begun) = (0, false);
        let echo = paced_request(
            &mut world,
            &post,
            |got| got.ends_with(b"\r\n0\r\n\r\n"),
            |now| {
                if asks && !begun {
                    // As curl does: the head, then a second's patience.
                    begun = true;
                    allowed = now.as_nanos() + 1_000_000_000;
                    return head;
                }
                if now.as_nanos() >= allowed {
                    allowed = now.as_nanos() + chance.below(pause + 1) as u64 * 1_000;
                    return chance.below(most) + 1;
                }
                0
            },
        );
        assert!(unchunked(&echo) == body, "the echo differs");
    }
}

const POST_EXPECTING: &[u8] = b"POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\
                               Transfer-Encoding: chunked\r\n\r\n";
const POST_CHUNKED: &[u8] = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";

/// However the client cuts its body, the end of it is seen at once and the response completed.
#[test]
fn the_end_of_a_body_is_always_seen() {
    let mut peer = Peer::of(graphs::server(1024, 1, wires::ALL[0].1(1)));
    peer.pass(Duration::from_secs(5));
    let mut side = peer.connect(40_000, 80).expect("a connection");
    for length in (1..4_000).step_by(61) {
        let body = vec![b'x'; length];
        let head = format!("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
        let chunk = format!("{length:x}\r\n");
        let plain = [head.as_bytes(), &body].concat();
        let chunks = [POST_CHUNKED, chunk.as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
        for (what, request) in [("plain", plain), ("chunked", chunks)] {
            // The head first, then the rest at once, as curl does it; then as it comes.
            let start = request.iter().position(|byte| *byte == b'x').unwrap_or(0);
            for cut in [0, start, request.len() - 1, request.len() - 5] {
                // Nothing but the request's bytes may be needed for the whole answer.
                let mut answer = Vec::new();
                for part in [&request[..cut], &request[cut..]] {
                    for piece in part.chunks(1400) {
                        peer.send_segment(&mut side, flags::ACK | flags::PSH, piece);
                        answer.extend(peer.take(&mut side));
                    }
                }
                let ended = answer.ends_with(b"\r\n0\r\n\r\n");
                assert!(ended, "{what}, {length} bytes, cut at {cut}: the end is missing");
                assert!(unchunked(&answer) == body, "{what}, {length} bytes: the echo differs");
            }
        }
    }
}

/// RFC 9110 section 10.1.1: a client that waits for 100 gets it at once.
#[test]
fn a_client_that_asks_first_is_told_to_go_on() {
    let mut peer = Peer::of(graphs::server(256, 1, wires::ALL[0].1(1)));
    peer.pass(Duration::from_secs(5));
    let mut side = peer.connect(40_000, 80).expect("a connection");
    for _ in 0..3 {
        let head = b"POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\
                     Content-Length: 5\r\n\r\n";
        peer.send_segment(&mut side, flags::ACK | flags::PSH, head);
        let go_on = peer.take(&mut side);
        assert!(go_on.starts_with(b"HTTP/1.1 100 "), "{}", go_on.escape_ascii());
        peer.send_segment(&mut side, flags::ACK | flags::PSH, b"hello");
        let answer = peer.take(&mut side);
        assert!(answer.ends_with(b"\r\n0\r\n\r\n"), "{}", answer.escape_ascii());
    }
}

#[test]
fn a_request_in_single_bytes_and_a_pipeline_are_answered_in_order() {
    let mut peer = Peer::of(graphs::server(256, 1, wires::ALL[0].1(1)));
    peer.pass(Duration::from_secs(5));
    let mut side = peer.connect(40_000, 80).expect("a connection");
    let request = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut got = Vec::new();
    for byte in request {
        got.extend(peer.exchange(&mut side, &[*byte]));
    }
    assert!(got.ends_with(b"hello"), "{}", String::from_utf8_lossy(&got));
    let pipeline = [&request[..], b"GET /bytes?count=10 HTTP/1.1\r\nHost: x\r\n\r\n"].concat();
    let got = peer.exchange(&mut side, &pipeline);
    let text = String::from_utf8_lossy(&got);
    assert!(text.find("hello") < text.find(".........."), "{text}");
    peer.reset(&mut side);
    peer.pass(Duration::from_secs(300));
    assert_eq!(peer.host.buffers_out(), 0);
}

/// Whatever others ask for and do not take, there is a task for a request, and memory for its
/// response.
#[test]
fn twenty_clients_that_read_nothing_keep_nobody_waiting() {
    readers_that_stop(20);
}

#[test]
fn hundreds_of_clients_that_read_nothing_keep_nobody_waiting() {
    readers_that_stop(400);
}

fn readers_that_stop(clients: u16) {
    let mut peer = Peer::of(graphs::server(1024, 1, wires::ALL[0].1(1)));
    peer.pass(Duration::from_secs(5));
    for n in 0..clients {
        let mut side = peer.connect(40_000 + n, 80).expect("a connection");
        let get = b"GET /bytes?count=10000000 HTTP/1.1\r\nHost: x\r\n\r\n";
        peer.send_segment(&mut side, flags::ACK | flags::PSH, get);
        peer.pass(Duration::from_millis(20));
    }
    for n in 0..50 {
        let mut side = peer.connect(50_000 + n, 80).expect("a connection");
        let get = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";
        peer.send_segment(&mut side, flags::ACK | flags::PSH, get);
        let mut answer = peer.take(&mut side);
        peer.pass(Duration::from_millis(2));
        answer.extend(peer.take(&mut side));
        let (text, counters) = (String::from_utf8_lossy(&answer), peer.host.counters());
        assert!(answer.ends_with(b"hello"), "{n}: {text}\n{counters}");
        peer.pass(Duration::from_millis(100));
    }
    peer.pass(Duration::from_secs(1200));
    assert_eq!(peer.host.buffers_out(), 0);
}

#[test]
fn connections_that_say_nothing_are_ended() {
    let mut peer = Peer::of(graphs::server(256, 1, wires::ALL[0].1(1)));
    peer.pass(Duration::from_secs(5));
    let sides: Vec<_> = (0..20).filter_map(|n| peer.connect(41_000 + n, 80)).collect();
    assert_eq!(sides.len(), 20);
    peer.pass(Duration::from_secs(900));
    assert_eq!(peer.host.buffers_out(), 0);
}
