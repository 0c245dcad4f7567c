//! Both versions of IP at once: every service over each, whatever the wire does.

use crate::seeds;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use waitless::{Duration, Phase, Status, Stream, StreamPort, UdpPort};
use waitless_tests::graphs;
use waitless_tests::wires;
use waitless_tests::world::World;

const BUFFERS: usize = 1024;

/// The client's number is 1, the server's 2.
const SERVER: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)),
    IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 2)),
];

/// Two hosts on a wire: what a macro gives, since graphs with handlers have types without names.
macro_rules! world {
    ($wire:expr, $seed:expr) => {{
        let (seed, wire) = ($seed, $wire);
        let clean = wires::ALL[0].1(1);
        let client = graphs::dual(BUFFERS, 1, seed as u8, clean);
        let mut world = World::new(client, graphs::dual(BUFFERS, 2, !seed as u8, wire));
        // Until addresses are known to be nobody else's.
        world.run_for(Duration::from_secs(4));
        world
    }};
}

/// What has come, read from the connection's windows.
fn drain(tcp: &mut tcp::Tcp, stream: Stream, got: &mut Vec<u8>) -> Status {
    loop {
        let count = tcp.readable(stream).len();
        if count == 0 {
            return tcp.status(stream);
        }
        got.extend(tcp.readable(stream));
        tcp.consume(stream, count);
    }
}

/// The answer to a request that is sent to `$address` over a connection of its own; what became of
/// the connection where the other side gave it up.
macro_rules! ask {
    ($world:expr, $service:expr, $address:expr) => {{
        let (world, service) = (&mut $world, $service);
        let given_up = world.b.counter("tcp", "timed_out");
        let tcp = &mut world.a.graph.tcp;
        let stream = tcp.connect(service, ($address, 80).into()).expect("a route");
        tcp.set_tag(stream, 1);
        let request = b"GET /bytes?count=50000 HTTP/1.1\r\nHost: [fe80::2]\r\n\
            Connection: close\r\n\r\n";
        let (mut sent, mut got, mut fate) = (0, Vec::new(), None);
        world.run_until(Duration::from_secs(3600), |world| {
            let tcp = &mut world.a.graph.tcp;
            while tcp.news(service).is_some() {}
            let room = tcp.writable(stream);
            let count = room.len().min(request.len() - sent);
            room[..count].copy_from_slice(&request[sent..sent + count]);
            tcp.commit(stream, count);
            sent += count;
            let status = drain(tcp, stream, &mut got);
            if !matches!(status.phase, Phase::Opening | Phase::Open) {
                let fine = world.b.counter("tcp", "timed_out") > given_up;
                assert!(fine, "{status:?}\n{}", world.b.counters());
                fate = Some(status);
            }
            status.finished
        });
        let tcp = &mut world.a.graph.tcp;
        tcp.close(stream);
        tcp.release(stream);
        match fate {
            None => Ok(got),
            Some(status) => Err(status),
        }
    }};
}

#[test]
fn requests_are_answered_over_both_versions_and_every_wire() {
    for (name, wire) in wires::ALL {
        for seed in seeds() {
            let mut world = world!(wire(seed), seed);
            let service = world.a.graph.tcp.attach().expect("room for a service");
            for address in SERVER {
                println!("{name}, seed {seed}, {address}");
                // On the worst wire, seven retransmissions in a row may be lost: TCP has waited
                // longer than it must by then (RFC 9293 section 3.8.3), and one asks again.
                let attempts = if *name == "very lossy" { 3 } else { 1 };
                let mut answers = (0..attempts).map(|_| ask!(world, service, address));
                let got = answers.find_map(Result::ok).expect("an answer");
                drop(answers);
                assert!(got.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&got));
                assert!(got.len() > 50_000 && got.ends_with(b"."));
            }
            world.run_for(Duration::from_secs(600));
            assert_eq!((world.a.buffers_out(), world.b.buffers_out()), (0, 0), "buffers out");
        }
    }
}

#[test]
fn datagrams_come_back_over_both_versions() {
    for (name, wire) in wires::ALL {
        let mut world = world!(wire(3), 3);
        let socket = world.a.graph.udp.bind(0).expect("a free port");
        let mut back = [0; 2];
        for number in 0..200_usize {
            let mut datagram = world.a.cx.packet().expect("a buffer");
            datagram.append(&[number as u8; 300]).expect("room");
            datagram.info_mut().remote = SERVER[number % 2];
            datagram.info_mut().remote_port = 7;
            assert!(world.a.graph.udp.send(socket, datagram).is_ok(), "room for one");
            world.run_for(Duration::from_millis(20));
            while let Some(answer) = world.a.graph.udp.recv(socket) {
                let first = answer.bytes()[0];
                assert_eq!(answer.bytes(), [first; 300], "a damaged datagram");
                back[usize::from(answer.info().remote == SERVER[1])] += 1;
            }
        }
        println!("{name}: {back:?} came back");
        let least = if *name == "clean" { 100 } else { 25 };
        assert!(back.iter().all(|count| *count >= least), "{name}: {back:?} of 100 each");
        for _ in 0..60 {
            world.run_for(Duration::from_secs(2));
            while world.a.graph.udp.recv(socket).is_some() {}
        }
        assert_eq!((world.a.buffers_out(), world.b.buffers_out()), (0, 0), "buffers out");
    }
}

#[test]
fn what_nobody_listens_on_is_refused_over_both_versions() {
    let mut world = world!(wires::ALL[0].1(1), 1);
    for address in SERVER {
        let tcp = &mut world.a.graph.tcp;
        let service = tcp.attach().expect("room for a service");
        let stream = tcp.connect(service, (address, 9).into()).expect("a route");
        tcp.set_tag(stream, 1);
        world.run_until(Duration::from_secs(10), |world| {
            world.a.graph.tcp.status(stream).phase == Phase::Reset
        });
        // A datagram is answered by an error, which is counted.
        let socket = world.a.graph.udp.bind(0).expect("a free port");
        let before = world.a.counter("udp", "unreachable");
        let mut datagram = world.a.cx.packet().expect("a buffer");
        datagram.append(b"nobody").expect("room");
        (datagram.info_mut().remote, datagram.info_mut().remote_port) = (address, 4321);
        assert!(world.a.graph.udp.send(socket, datagram).is_ok(), "room for one");
        world.run_for(Duration::from_secs(1));
        assert_eq!(world.a.counter("udp", "unreachable"), before + 1, "{address}");
    }
}
