//! Ten minutes of load and faults at once, in virtual time: everybody is answered, nothing leaks.
//!
//! `make soak` does the like with a whole image, for as long as asked.

use crate::web::request;
use waitless::{Duration, NicPort, Phase, Service, Stream, StreamPort};
use waitless_tests::mutate::Mutator;
use waitless_tests::world::{OnCard, World};
use waitless_tests::{corpus, graphs};

const WEATHER: netem::Config =
    netem::Config { loss: 20, duplicate: 20, reorder: 20, ..netem::Config::CLEAN };
const SERVER: std::net::Ipv4Addr = std::net::Ipv4Addr::new(10, 0, 0, 2);
const CLIENT: std::net::Ipv4Addr = std::net::Ipv4Addr::new(10, 0, 0, 1);

#[test]
fn after_ten_minutes_of_everything_at_once_all_is_as_before() {
    let mut world = World::new(graphs::client(8192, 1), graphs::server(512, 2, WEATHER));
    world.run_for(Duration::from_secs(3));
    let (mut chance, seeds) = (Mutator::new(5), corpus::frames());
    let guest = world.b.graph.card().mac().0;
    let get = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";
    let body = b"0123456789".repeat(1_000);
    let head = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\n\r\n";
    let post = [head.as_bytes(), &body].concat();
    let crowds = world.a.graph.tcp.attach().expect("room for a service");
    for minute in 0..10 {
        let end = world.now + Duration::from_secs(60);
        let crowd: Vec<Stream> = (0..8).map(|_| ask_and_forget(&mut world, crowds)).collect();
        for _ in 0..10 {
            let hello = request(&mut world, get, |got| got.ends_with(b"hello"));
            assert!(hello.ends_with(b"hello"), "minute {minute}: {hello:?}");
            let echo = request(&mut world, &post, |got| got.ends_with(b"\r\n0\r\n\r\n"));
            let whole = echo.ends_with(b"\r\n0\r\n\r\n");
            assert!(whole, "minute {minute}: {} bytes\n{}", echo.len(), world.b.counters());
            assert!(crate::web::unchunked(&echo) == body, "minute {minute}: the echo differs");
            for _ in 0..40 {
                let mut frame = chance.pick(&seeds).clone();
                corpus::readdress(&mut frame, guest, SERVER);
                chance.mutate(&mut frame, 1514);
                if chance.below(2) == 0 {
                    corpus::repair_frame(&mut frame);
                }
                if !claims_to_be_the_client(&frame) {
                    world.b.put(&frame);
                }
            }
        }
        while world.now < end {
            world.step();
        }
        for stream in crowd {
            world.a.graph.tcp.abort(stream);
            world.a.graph.tcp.release(stream);
        }
    }
    world.run_for(Duration::from_secs(1_000));
    assert_eq!((world.a.buffers_out(), world.b.buffers_out()), (0, 0), "{}", world.b.counters());
    let again = world.b.counter("tcp", "retransmitted");
    assert!(again > 50, "the weather was too fine: {again} segments were sent again");
    let hello = request(&mut world, get, |got| got.ends_with(b"hello"));
    assert!(hello.starts_with(b"HTTP/1.1 200"));
}

/// Whether a frame takes the client's place by ARP, which nothing protects from.
fn claims_to_be_the_client(frame: &[u8]) -> bool {
    frame.get(12..14) == Some(&[8, 6]) && frame.get(28..32) == Some(&CLIENT.octets())
}

/// A client that asks for more than it will ever read.
fn ask_and_forget<B: OnCard>(
    world: &mut World<graphs::client::Graph, B>,
    service: Service,
) -> Stream {
    let stream = world.a.graph.tcp.connect(service, (SERVER, 80).into()).expect("a route");
    world.run_until(Duration::from_secs(120), |world| {
        world.a.graph.tcp.status(stream).phase == Phase::Open
    });
    let get = b"GET /bytes?count=10000000 HTTP/1.1\r\nHost: x\r\n\r\n";
    let room = world.a.graph.tcp.writable(stream);
    room[..get.len()].copy_from_slice(get);
    world.a.graph.tcp.commit(stream, get.len());
    stream
}
