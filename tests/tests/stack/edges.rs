//! Something bad in each edge above the link: what can recover does, and no buffer stays behind.

use crate::web::{request, unchunked};
use std::net::Ipv4Addr;
use waitless::http::Handler;
use waitless::{Duration, IpPort, UdpPort};
use waitless_tests::corpus;
use waitless_tests::graphs::{self, client, edges, leased};
use waitless_tests::peer::{self, Peer};
use waitless_tests::wires;
use waitless_tests::world::World;

const SERVER: Ipv4Addr = peer::HOST_ADDRESS;

fn world(edge: &str, wire: netem::Config) -> World<client::Graph, edges::Graph<impl Handler>> {
    let mut world = World::new(graphs::client(512, 1), graphs::edges(512, 2, edge, wire));
    world.run_for(Duration::from_secs(3));
    world
}

/// Longer than everything that waits. All buffers are back then.
#[track_caller]
fn end<B: Handler>(mut world: World<client::Graph, edges::Graph<B>>) {
    world.run_for(Duration::from_secs(600));
    assert_eq!((world.a.buffers_out(), world.b.buffers_out()), (0, 0), "buffers out");
}

#[test]
fn requests_succeed_whatever_happens_between_ip_and_the_link_or_tcp() {
    for edge in ["ip4", "tcp"] {
        for (name, wire) in wires::ALL {
            println!("{edge}, {name}");
            let mut world = world(edge, wire(5));
            let get = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";
            let hello = request(&mut world, get, |got| got.ends_with(b"hello"));
            assert!(hello.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&hello));
            let body = b"0123456789".repeat(2_000);
            let head = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n";
            let post = [head.as_bytes(), &body].concat();
            let echo = request(&mut world, &post, |got| got.ends_with(b"\r\n0\r\n\r\n"));
            assert!(unchunked(&echo) == body, "the echo differs");
            let recorded = world.b.counter("trace", "received");
            assert!(recorded > 10, "{recorded} segments recorded");
            end(world);
        }
    }
}

#[test]
fn a_graph_that_traces_counts_the_cycles_of_every_instance() {
    let mut world = world("tcp", netem::Config::CLEAN);
    let sweeps = world.b.counter("sweep", "sweeps");
    let get = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";
    request(&mut world, get, |got| got.ends_with(b"hello"));
    assert!(world.b.counter("sweep", "sweeps") > sweeps);
    assert!(world.b.counter("sweep", "between") > 0);
    for name in ["nic", "eth", "ip4", "tcp", "trace", "http", "site", "udp", "echo"] {
        let both = ["sweep_receive", "sweep_transmit"].map(|part| world.b.counter(name, part));
        assert!(both.iter().all(|cycles| *cycles > 0), "{name}: {both:?}");
    }
    end(world);
}

/// Sends 100 datagrams to the server's echo service, and gives how many came back.
fn echoes<B: Handler>(world: &mut World<client::Graph, edges::Graph<B>>) -> usize {
    let socket = world.a.graph.udp.bind(0).expect("a free port");
    let mut back = 0;
    for number in 0..100_u32 {
        let mut datagram = world.a.cx.packet().expect("a buffer");
        datagram.append(&number.to_be_bytes().repeat(50)).expect("room");
        datagram.info_mut().remote = SERVER.into();
        datagram.info_mut().remote_port = 7;
        assert!(world.a.graph.udp.send(socket, datagram).is_ok(), "room for one");
        world.run_for(Duration::from_millis(20));
        while let Some(answer) = world.a.graph.udp.recv(socket) {
            assert_eq!(answer.len(), 200);
            back += 1;
        }
    }
    world.run_for(Duration::from_secs(1));
    while world.a.graph.udp.recv(socket).is_some() {
        back += 1;
    }
    back
}

#[test]
fn datagrams_come_back_or_not_whatever_happens_below_udp_or_the_service() {
    for edge in ["ip4", "udp", "echo"] {
        for (name, wire) in wires::ALL {
            let mut world = world(edge, wire(5));
            let back = echoes(&mut world);
            println!("{edge}, {name}: {back} came back");
            match (*name, edge) {
                ("clean" | "slow" | "reordering" | "narrow", _) => assert_eq!(back, 100),
                // Nobody above UDP notices.
                ("corrupting", "echo") => assert_eq!(back, 100),
                ("repeating", _) => assert!(back > 100),
                ("all at once", _) => assert!((50..150).contains(&back)),
                _ => assert!((30..100).contains(&back)),
            }
            end(world);
        }
    }
}

#[test]
fn what_is_under_one_transport_is_no_concern_of_the_others() {
    let dead = netem::Config { loss: 1_000, ..netem::Config::CLEAN };
    for edge in ["tcp", "icmp", "udp", "echo"] {
        let mut world = world(edge, dead);
        let expected = if ["udp", "echo"].contains(&edge) { 0 } else { 100 };
        assert_eq!(echoes(&mut world), expected, "{edge}");
        if edge != "tcp" {
            let get = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";
            request(&mut world, get, |got| got.ends_with(b"hello"));
        }
        end(world);
    }
}

/// A ping and a datagram to a closed port, which ICMP answers from what UDP rejects.
#[test]
fn icmp_works_through_its_edge() {
    let mut peer = Peer::of(graphs::edges(128, 1, "icmp", netem::Config::CLEAN));
    peer.keep_frames = true;
    peer.pass(Duration::from_secs(5));
    let station = station_of(&peer.frames);
    peer.frames.clear();
    let echo = [&[8, 0, 0, 0, 0, 1, 0, 1][..], &[0x33; 100]].concat();
    let packet = corpus::ipv4(peer::ADDRESS, SERVER, 1, &echo);
    let mut frame = corpus::ethernet(station, peer::STATION, 0x800, &packet);
    corpus::repair_frame(&mut frame);
    peer.send(&frame);
    let answer = peer.frames.iter().find(|frame| frame[23] == 1).expect("an answer");
    assert_eq!((answer[34], answer[35]), (0, 0), "an echo reply");
    peer.frames.clear();
    let datagram = corpus::udp((peer::ADDRESS, 1000), (SERVER, 4321), b"nobody");
    let packet = corpus::ipv4(peer::ADDRESS, SERVER, 17, &datagram);
    peer.send(&corpus::ethernet(station, peer::STATION, 0x800, &packet));
    let answer = peer.frames.iter().find(|frame| frame[23] == 1).expect("an answer");
    assert_eq!((answer[34], answer[35]), (3, 3), "port unreachable");
    assert_eq!(answer[42..62], packet[..20], "it quotes the header that was stripped");
    peer.pass(Duration::from_secs(100));
    assert_eq!(peer.host.buffers_out(), 0);
}

/// The station that the frames are from.
fn station_of(frames: &[Vec<u8>]) -> [u8; 6] {
    let frame = frames.first().expect("a frame, an announcement at least");
    frame[6..12].try_into().expect("six bytes")
}

#[test]
fn dhcp_finds_an_address_and_keeps_it_through_all_edges() {
    let mut peer = Peer::of(graphs::leased(256, 1));
    peer.keep_frames = true;
    for _ in 0..600 {
        peer.pass(Duration::from_millis(200));
        answer_dhcp(&mut peer);
    }
    let settings = *peer.host.graph.ip4.configuration().expect("an address");
    assert_eq!((settings.address, settings.gateway), (SERVER, Some(peer::ADDRESS)));
    assert!(peer.host.graph.addresses.is_local(SERVER.into()), "the relay says so, too");
    let station = station_of(&peer.frames);
    peer.frames.clear();
    for _ in 0..50 {
        let datagram = corpus::udp((peer::ADDRESS, 4000), (SERVER, 7), b"there and back");
        let packet = corpus::ipv4(peer::ADDRESS, SERVER, 17, &datagram);
        peer.send(&corpus::ethernet(station, peer::STATION, 0x800, &packet));
        peer.pass(Duration::from_millis(50));
    }
    let echoed = peer.frames.iter().filter(|frame| frame.ends_with(b"there and back")).count();
    assert!((10..50).contains(&echoed), "{echoed} of 50 came back");
    // Half of the lease is over several times.
    for _ in 0..2_000 {
        peer.pass(Duration::from_secs(1));
        answer_dhcp(&mut peer);
    }
    assert!(peer.host.counter("dhcp", "acks") > 2, "it was renewed");
    assert_eq!(peer.host.counter("dhcp", "expired"), 0);
    for instance in ["frames", "packets", "datagrams", "echoes"] {
        assert!(peer.host.counter(instance, "receive_lost") > 0, "{instance} lost nothing");
    }
    assert!(peer.host.counter("leases", "receive_seen") > 0);
    assert!(peer.host.graph.ip4.is_local(SERVER.into()));
    peer.pass(Duration::from_secs(20));
    assert_eq!(peer.host.buffers_out(), 0);
}

/// The neighbour is a DHCP server with one address, for 300 seconds (RFC 2131).
fn answer_dhcp(peer: &mut Peer<leased::Graph>) {
    const FRONT: usize = 14 + 20 + 8;
    let is_question = |frame: &Vec<u8>| {
        frame.get(23) == Some(&17) && frame.get(36..38) == Some(&67_u16.to_be_bytes())
    };
    let asked = peer.frames.iter().rfind(|frame| is_question(frame)).cloned();
    peer.frames.retain(|frame| !is_question(frame));
    let Some(asked) = asked else { return };
    let message = &asked[FRONT..];
    let kind = message[240..].windows(3).find(|window| window[..2] == [53, 1]);
    let answer = match kind.map(|window| window[2]) {
        Some(1) => 2, // an offer
        Some(3) => 5, // an acknowledgement
        _ => return,
    };
    let mut reply = vec![2, 1, 6, 0];
    reply.extend(&message[4..8]);
    reply.extend([0; 8]);
    reply.extend(SERVER.octets());
    reply.extend([0; 8]);
    reply.extend(&message[28..44]);
    reply.extend([0; 192]);
    reply.extend([99, 130, 83, 99, 53, 1, answer, 51, 4, 0, 0, 1, 44, 1, 4, 255, 255, 255, 0]);
    for option in [54, 3] {
        reply.extend([option, 4]);
        reply.extend(peer::ADDRESS.octets());
    }
    reply.push(255);
    // To the address that it offers, unless it was asked for a broadcast.
    let to = if message[10] & 0x80 == 0 { SERVER } else { Ipv4Addr::BROADCAST };
    let datagram = corpus::udp((peer::ADDRESS, 67), (to, 68), &reply);
    let packet = corpus::ipv4(peer::ADDRESS, to, 17, &datagram);
    let station: [u8; 6] = message[28..34].try_into().expect("six bytes");
    peer.send(&corpus::ethernet(station, peer::STATION, 0x800, &packet));
}
