//! Packets of others: up to who forwards, and down again.

use super::*;

const AWAY: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 5);
const NETWORK: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 255);

fn packet(source: Ipv4Addr, destination: Ipv4Addr, protocol: Protocol, payload: &[u8]) -> Vec<u8> {
    let total = (HEADER + payload.len()) as u16;
    let (identification, hops, class) = (Some(7), 9, 0);
    let out = Outgoing { source, destination, protocol, total, identification, hops, class };
    [&out.bytes()[..], payload].concat()
}

/// A layer above which somebody forwards.
fn router() -> Bench {
    let mut bench = Bench::new(CONFIG);
    assert!(bench.ip.transit().is_none());
    bench
}

#[test]
fn without_a_router_packets_of_others_are_dropped() {
    let mut bench = Bench::new(CONFIG);
    bench.arrive(&packet(PEER, FAR, Protocol::UDP, &[0; 8]));
    assert_eq!(bench.ip.counters.foreign.get(), 1);
    assert!(bench.ip.transit().is_none());
}

#[test]
fn a_packet_of_others_goes_up_as_it_is_and_comes_down_to_the_next_hop() {
    let mut bench = router();
    let bytes = packet(PEER, FAR, Protocol::UDP, &[1, 2, 3, 4, 5, 6, 7, 8]);
    bench.arrive(&[&bytes[..], b"padding"].concat());
    let up = bench.ip.transit().unwrap();
    assert_eq!(up.bytes(), bytes, "whole, and without the link's padding");
    assert_eq!((up.info().remote, up.info().local), (PEER.into(), FAR.into()));
    assert!(bench.up().is_none());
    bench.ip.forward(up).unwrap();
    bench.sweep();
    let (hop, down) = bench.link.sent.pop_front().unwrap();
    assert_eq!((hop, down.bytes()), (NextHop::Ipv4(GATEWAY), &bytes[..]));
}

#[test]
fn what_is_for_this_host_stays_here() {
    let mut bench = router();
    bench.arrive(&packet(PEER, OURS, Protocol::UDP, &[0; 8]));
    assert!(bench.ip.transit().is_none());
    assert!(bench.up().is_some());
}

#[test]
fn martians_and_what_came_in_a_frame_to_all_are_dropped() {
    let mut bench = router();
    let link_local = Ipv4Addr::new(169, 254, 3, 4);
    for (source, destination) in [
        (PEER, Ipv4Addr::new(127, 0, 0, 1)),
        (PEER, Ipv4Addr::new(240, 0, 0, 1)),
        (PEER, Ipv4Addr::new(0, 1, 2, 3)),
        (PEER, Ipv4Addr::new(239, 1, 2, 3)),
        (PEER, link_local),
        (link_local, FAR),
    ] {
        bench.arrive(&packet(source, destination, Protocol::UDP, &[0; 8]));
    }
    let mut to_all = bench.packet(&packet(PEER, FAR, Protocol::UDP, &[0; 8]));
    to_all.info_mut().broadcast = true;
    bench.link.arriving.push_back(to_all);
    bench.sweep();
    assert_eq!(bench.ip.counters.martians.get(), 7);
    for source in [OURS, NETWORK, NONE, ALL, Ipv4Addr::LOCALHOST] {
        bench.arrive(&packet(source, FAR, Protocol::UDP, &[0; 8]));
    }
    assert_eq!(bench.ip.counters.bad_source.get(), 5);
    assert!(bench.ip.transit().is_none());
}

#[test]
fn a_fragment_beyond_the_longest_datagram_goes_no_further() {
    let mut bench = router();
    let longest = 65_535 - HEADER;
    for (length, passes) in [(longest % 8, true), (longest % 8 + 1, false)] {
        let mut bytes = packet(PEER, FAR, Protocol::UDP, &[0; 8][..length]);
        bytes[6..8].copy_from_slice(&((longest / 8) as u16).to_be_bytes());
        [bytes[10], bytes[11]] = [0; 2];
        let sum = checksum(&bytes[..HEADER]).to_be_bytes();
        bytes[10..12].copy_from_slice(&sum);
        bench.arrive(&bytes);
        assert_eq!(bench.ip.transit().is_some(), passes, "{length}");
    }
    assert_eq!(bench.ip.counters.bad_fragments.get(), 1);
}

#[test]
fn what_was_turned_back_comes_from_our_own_address() {
    let mut bench = router();
    let mut back = bench.packet(&packet(OURS, FAR, Protocol::UDP, &[0; 8]));
    back.info_mut().looped = true;
    bench.link.arriving.push_back(back);
    bench.sweep();
    assert!(bench.ip.transit().is_some());
}

#[test]
fn a_way_to_ourselves_is_only_where_the_link_turns_back() {
    let mut bench = router();
    for (turns, sent) in [(false, 0), (true, 1)] {
        bench.link.turns_back = turns;
        bench.sweep();
        let mut through = bench.packet(&packet(AWAY, OURS, Protocol::UDP, &[0; 8]));
        through.info_mut().remote = AWAY.into();
        through.info_mut().local = OURS.into();
        bench.ip.forward(through).unwrap();
        bench.sweep();
        assert_eq!(bench.link.sent.drain(..).count(), sent);
    }
    assert!(matches!(bench.ip.rejected(), Some((_, Reject::Prohibited))));
}

#[test]
fn senders_are_told_unless_that_is_forbidden() {
    let mut bench = router();
    let echo = [8, 0, 0, 0, 0, 0, 0, 0];
    let error = [3, 1, 0, 0, 0, 0, 0, 0];
    for (protocol, payload, offset, told) in [
        (Protocol::UDP, [0; 8], 0, true),
        (Protocol::ICMP, echo, 0, true),
        (Protocol::ICMP, error, 0, false),
        (Protocol::UDP, [0; 8], 3, false),
    ] {
        let mut bytes = packet(PEER, FAR, protocol, &payload);
        bytes[7] = offset;
        [bytes[10], bytes[11]] = [0; 2];
        let sum = checksum(&bytes[..HEADER]).to_be_bytes();
        bytes[10..12].copy_from_slice(&sum);
        bench.arrive(&bytes);
        let packet = bench.ip.transit().unwrap();
        bench.ip.turn_away(packet, Reject::HopLimit);
        let rejected = bench.ip.rejected();
        assert_eq!(rejected.is_some(), told, "{protocol:?} {payload:?} {offset}");
        if let Some((packet, why)) = rejected {
            assert_eq!((packet.bytes(), why), (&bytes[..], Reject::HopLimit));
            assert_eq!(packet.info().local, IpAddr::V4(OURS), "the answer is ours");
        }
    }
}

#[test]
fn packets_of_others_leave_room_for_those_of_this_host() {
    let mut bench = router();
    let mut taken = 0;
    while let Ok(()) = {
        let mut through = bench.packet(&packet(PEER, FAR, Protocol::UDP, &[0; 8]));
        through.info_mut().local = FAR.into();
        bench.ip.forward(through).map_err(drop)
    } {
        taken += 1;
    }
    assert_eq!((taken, bench.ip.room()), (64, 32), "two batches, and none of this host's room");
    // Of a link with little room, each has half.
    bench.link.room = 10;
    for _ in 0..8 {
        let mut own = bench.packet(b"datagram");
        own.info_mut().remote = FAR.into();
        bench.ip.send(Protocol::UDP, own).unwrap();
    }
    bench.sweep();
    let from = |source: Ipv4Addr| {
        let sent = bench.link.sent.iter();
        sent.filter(|(_, packet)| packet.bytes()[12..16] == source.octets()).count()
    };
    assert_eq!((from(PEER), from(OURS)), (5, 5));
    // What is left goes later, in its order.
    bench.link.sent.clear();
    bench.link.room = 100;
    bench.sweep();
    assert_eq!(bench.deadline(), Instant::ZERO);
    bench.sweep();
    assert_eq!(bench.link.sent.len(), 64 - 5 + 8 - 5);
    assert_eq!(bench.deadline(), Instant::NEVER);
}

#[test]
fn a_router_that_does_not_collect_loses_packets_and_counts_them() {
    let mut bench = router();
    for _ in 0..40 {
        bench.arrive(&packet(PEER, FAR, Protocol::UDP, &[0; 8]));
    }
    assert_eq!(bench.ip.counters.transit.get(), 32);
    assert_eq!(bench.ip.counters.mailbox_full.get(), 8);
}
