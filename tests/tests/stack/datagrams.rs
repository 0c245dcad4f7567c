//! UDP, ICMP and addresses.

use waitless::{ClaimState, Duration, IpPort, UdpPort};
use waitless_tests::corpus;
use waitless_tests::graphs;
use waitless_tests::peer::{self, Peer};
use waitless_tests::wires;
use waitless_tests::world::World;

#[test]
fn datagrams_come_back_whole_or_not_at_all() {
    for (name, wire) in wires::ALL {
        println!("{name}");
        let mut world = World::new(graphs::client(256, 1), graphs::server(256, 2, wire(3)));
        world.run_for(Duration::from_secs(3));
        let socket = world.a.graph.udp.bind(0).expect("a free port");
        let mut back = 0;
        for number in 0..200_u32 {
            let mut datagram = world.a.cx.packet().expect("a buffer");
            let text = number.to_be_bytes().repeat(1 + number as usize % 300);
            datagram.append(&text).expect("room");
            datagram.info_mut().remote = std::net::Ipv4Addr::new(10, 0, 0, 2).into();
            datagram.info_mut().remote_port = 7;
            assert!(world.a.graph.udp.send(socket, datagram).is_ok(), "room for one");
            world.run_for(Duration::from_millis(20));
            while let Some(answer) = world.a.graph.udp.recv(socket) {
                let (number, rest) = answer.bytes().split_first_chunk::<4>().expect("a number");
                assert!(rest.chunks(4).all(|part| part == number), "a damaged datagram");
                back += 1;
            }
        }
        println!("  {back} came back");
        assert!(back > 50, "{name}: only {back} of 200 came back");
        if *name == "clean" {
            assert_eq!(back, 200);
        }
        for _ in 0..60 {
            world.run_for(Duration::from_secs(2));
            while world.a.graph.udp.recv(socket).is_some() {}
        }
        assert_eq!((world.a.buffers_out(), world.b.buffers_out()), (0, 0), "buffers out");
    }
}

#[test]
fn a_ping_is_answered_and_a_closed_port_too() {
    let mut peer = Peer::of(graphs::server(128, 1, wires::ALL[0].1(1)));
    peer.keep_frames = true;
    peer.pass(Duration::from_secs(5));
    peer.frames.clear();
    let echo = [&[8, 0, 0, 0, 0, 1, 0, 1][..], &[0x33; 100]].concat();
    let packet = corpus::ipv4(peer::ADDRESS, peer::HOST_ADDRESS, 1, &echo);
    let mut frame = corpus::ethernet(peer::HOST_STATION, peer::STATION, 0x800, &packet);
    corpus::repair_frame(&mut frame);
    peer.send(&frame);
    let answer = peer.frames.iter().find(|frame| frame[23] == 1).expect("an answer");
    assert_eq!((answer[34], answer[35]), (0, 0), "an echo reply");
    assert_eq!(answer[38..142], echo[4..], "the same bytes");
    peer.frames.clear();
    peer.send(&peer::datagram(1000, 4321, b"nobody"));
    let answer = peer.frames.iter().find(|frame| frame[23] == 1).expect("an answer");
    assert_eq!((answer[34], answer[35]), (3, 3), "port unreachable");
    peer.pass(Duration::from_secs(100));
    assert_eq!(peer.host.buffers_out(), 0);
}

#[test]
fn an_address_that_another_host_has_is_not_used() {
    let mut peer = Peer::of(graphs::server(128, 1, wires::ALL[0].1(1)));
    let theirs = (peer::STATION, peer::HOST_ADDRESS);
    for _ in 0..40 {
        peer.pass(Duration::from_millis(100));
        let announce = corpus::arp(1, theirs, ([0; 6], peer::HOST_ADDRESS));
        peer.send(&corpus::ethernet([0xff; 6], peer::STATION, 0x806, &announce));
    }
    let state = peer.host.graph.ip4.claim_state();
    assert!(matches!(state, ClaimState::Conflict(_)), "{state:?}");
}
