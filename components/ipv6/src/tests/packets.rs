//! Packets of transports: validation, extension headers, fragments, sending.

use super::*;
use waitless::packet::ChecksumState;

const UDP: [u8; 12] = *b"\0\x07\0\x07\0\x0c\0\0abcd";

/// An extension header of `length` bytes: what follows, then `options`, padded.
fn extension(next: u8, options: &[u8]) -> Vec<u8> {
    let mut header = vec![next, 0];
    header.extend_from_slice(options);
    header.resize(header.len().next_multiple_of(8), 0);
    header[1] = (header.len() / 8 - 1) as u8;
    header
}

fn fragment(next: u8, offset: usize, more: bool, number: u32, payload: &[u8]) -> Vec<u8> {
    let field = (offset as u16 | u16::from(more)).to_be_bytes();
    [&[next, 0][..], &field, &number.to_be_bytes(), payload].concat()
}

fn from_peer(next: u8, payload: &[u8]) -> Vec<u8> {
    datagram(PEER, OURS, next, 64, payload)
}

#[test]
fn packets_are_taken_or_dropped_for_a_reason() {
    let good = || from_peer(17, &UDP);
    let from = |from: Ipv6Addr| datagram(from, OURS, 17, 64, &UDP);
    let to = |to: Ipv6Addr| datagram(PEER, to, 17, 64, &UDP);
    let set = |at: usize, byte: u8| {
        let mut bytes = good();
        bytes[at] = byte;
        bytes
    };
    let mapped = core::net::Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped();
    let behind = |header: Vec<u8>| [header, UDP.to_vec()].concat();
    let cases: [(&str, Vec<u8>, Reason); 28] = [
        ("right", good(), |c| &c.delivered),
        ("padded", [good(), vec![0; 9]].concat(), |c| &c.delivered),
        ("to the link-local address", to(LOCAL), |c| &c.delivered),
        ("to all nodes", to(ALL_NODES), |c| &c.delivered),
        ("to our group", to(solicited_node(OURS)), |c| &c.delivered),
        ("without hops", set(7, 0), |c| &c.delivered),
        ("nothing", vec![], |c| &c.short),
        ("39 bytes", good()[..39].to_vec(), |c| &c.short),
        ("version 4", set(0, 0x45), |c| &c.bad_version),
        ("longer than it is", set(5, 13), |c| &c.bad_length),
        ("from a group", from(ALL_NODES), |c| &c.bad_source),
        ("from us", from(OURS), |c| &c.bad_source),
        ("from our link-local address", from(LOCAL), |c| &c.bad_source),
        ("from loopback", from(Ipv6Addr::LOCALHOST), |c| &c.bad_source),
        ("from IPv4", from(mapped), |c| &c.bad_source),
        ("from nobody", from(Ipv6Addr::UNSPECIFIED), |c| &c.bad_source),
        ("to another", to(FAR), |c| &c.foreign),
        ("to nobody", to(Ipv6Addr::UNSPECIFIED), |c| &c.foreign),
        ("to loopback", to(Ipv6Addr::LOCALHOST), |c| &c.foreign),
        ("to another's group", to(solicited_node(PEER)), |c| &c.foreign),
        ("no next header", from_peer(59, b"anything"), |c| &c.empty),
        ("another protocol", from_peer(132, &UDP), |c| &c.unknown_protocol),
        ("padding", from_peer(0, &behind(extension(17, &[1, 4, 0, 0, 0, 0]))), |c| &c.delivered),
        ("for the destination", from_peer(60, &behind(extension(17, &[]))), |c| &c.delivered),
        ("a route at its end", from_peer(43, &behind(extension(17, &[0, 0]))), |c| &c.delivered),
        ("a route", from_peer(43, &behind(extension(17, &[0, 1]))), |c| &c.bad_extensions),
        ("cut short", from_peer(60, &extension(17, &[])[..5]), |c| &c.bad_extensions),
        ("whole in a fragment", from_peer(44, &fragment(17, 0, false, 1, &UDP)), |c| &c.delivered),
    ];
    for (name, bytes, reason) in cases {
        let mut bench = Bench::new(CONFIG);
        let before = (reason(bench.ip.counters).get(), bench.accounted());
        bench.arrive(&bytes);
        assert_eq!(reason(bench.ip.counters).get(), before.0 + 1, "{name}");
        assert_eq!(bench.accounted(), before.1 + 1, "{name}");
    }
}

#[test]
fn a_packet_says_where_it_comes_from_and_its_headers_stand_in_front() {
    let mut bench = Bench::new(CONFIG);
    let extension = extension(17, &[1, 4, 0, 0, 0, 0]);
    let bytes = from_peer(60, &[&extension[..], &UDP].concat());
    bench.arrive(&bytes);
    let mut packet = bench.ip.recv(Protocol::UDP).unwrap();
    let info = *packet.info();
    assert_eq!((info.remote, info.local), (PEER.into(), OURS.into()));
    assert_eq!((info.hops, info.ip_header, info.broadcast), (64, 48, false));
    assert_eq!(packet.bytes(), UDP);
    assert_eq!(packet.grow_front(48).unwrap(), bytes);
    bench.arrive(&datagram(PEER, ALL_NODES, 17, 64, &UDP));
    assert!(bench.ip.recv(Protocol::UDP).unwrap().info().broadcast);
}

#[test]
fn what_is_not_understood_is_told_or_not_as_rfc_8200_says() {
    use Reject::Parameter;
    let option = |kind: u8| [&extension(17, &[kind, 4, 0, 0, 0, 0])[..], &UDP].concat();
    let late = [extension(0, &[]), extension(17, &[]), UDP.to_vec()].concat();
    let cut = |next: u8| fragment(next, 0, true, 1, &extension(17, &[0; 22])[..16]);
    let icmp = fragment(60, 0, true, 1, &extension(58, &[]));
    let cases = [
        ("an option to skip", OURS, 60, option(0x1e), None),
        ("an option that drops", OURS, 60, option(0x5e), None),
        ("an option that tells", OURS, 60, option(0x9e), Some(Parameter(2, 42))),
        ("an option that tells one", OURS, 60, option(0xde), Some(Parameter(2, 42))),
        ("the same to a group", ALL_NODES, 60, option(0x9e), Some(Parameter(2, 42))),
        ("the other to a group", ALL_NODES, 60, option(0xde), None),
        ("a header", OURS, 200, UDP.to_vec(), Some(Parameter(1, 6))),
        ("a header to a group", ALL_NODES, 200, UDP.to_vec(), None),
        ("behind a header", OURS, 60, extension(200, &[]), Some(Parameter(1, 40))),
        ("hop by hop, but late", OURS, 60, late, Some(Parameter(1, 40))),
        ("a route", OURS, 43, extension(17, &[2, 1]), Some(Parameter(0, 42))),
        (
            "a fragment of 7 bytes",
            OURS,
            44,
            fragment(17, 0, true, 1, b"7 bytes"),
            Some(Parameter(0, 4)),
        ),
        (
            "a fragment too far",
            OURS,
            44,
            fragment(17, 65_528, false, 1, &UDP),
            Some(Parameter(0, 42)),
        ),
        ("headers in two fragments", OURS, 44, cut(60), Some(Parameter(3, 0))),
        ("the same to a group", ALL_NODES, 44, cut(60), None),
        ("a transport's header in two", OURS, 44, cut(6), Some(Parameter(3, 0))),
        ("what may be an error in two", OURS, 44, icmp, None),
    ];
    for (name, to, next, payload, expected) in cases {
        let mut bench = Bench::new(CONFIG);
        let bytes = datagram(PEER, to, next, 64, &payload);
        bench.arrive(&bytes);
        let rejected = bench.ip.rejected();
        assert_eq!(rejected.as_ref().map(|(_, why)| *why), expected, "{name}");
        if let Some((packet, _)) = rejected {
            assert_eq!(packet.bytes(), bytes, "{name}: as it arrived");
        }
    }
}

#[test]
fn chains_have_a_bound() {
    for (count, taken) in [(1, true), (8, true), (9, false), (100, false)] {
        let mut bench = Bench::new(CONFIG);
        let mut chain: Vec<u8> = (1..count).flat_map(|_| extension(60, &[])).collect();
        chain.extend(extension(17, &[]));
        chain.extend(UDP);
        bench.arrive(&from_peer(60, &chain));
        assert_eq!(bench.ip.recv(Protocol::UDP).is_some(), taken, "{count} headers");
    }
    for (count, taken) in [(8, true), (9, false)] {
        let mut bench = Bench::new(CONFIG);
        let options = [0x1e, 1, 0].repeat(count);
        bench.arrive(&from_peer(60, &[&extension(17, &options)[..], &UDP].concat()));
        assert_eq!(bench.ip.recv(Protocol::UDP).is_some(), taken, "{count} options");
    }
}

#[test]
fn errors_and_what_many_got_are_not_rejected_aloud() {
    let error = message(PEER, OURS, &[1, 4, 0, 0, 0, 0, 0, 0]);
    let mut bench = Bench::new(CONFIG);
    bench.arrive(&error);
    let packet = bench.ip.recv(Protocol::ICMPV6).unwrap();
    bench.ip.reject(Protocol::ICMPV6, packet, Reject::Protocol);
    bench.arrive(&datagram(PEER, ALL_NODES, 17, 64, &UDP));
    let packet = bench.ip.recv(Protocol::UDP).unwrap();
    bench.ip.reject(Protocol::UDP, packet, Reject::Port);
    assert!(bench.ip.rejected().is_none());
    bench.arrive(&from_peer(17, &UDP));
    let packet = bench.ip.recv(Protocol::UDP).unwrap();
    bench.ip.reject(Protocol::UDP, packet, Reject::Port);
    assert_eq!(bench.ip.rejected().unwrap().0.bytes(), from_peer(17, &UDP));
}

/// A UDP datagram of `length` bytes, cut into fragments of `size`.
fn cut(length: usize, size: usize, number: u32) -> (Vec<u8>, Vec<Vec<u8>>) {
    let whole: Vec<u8> = (0..length).map(|at| (at * 7) as u8).collect();
    let pieces = whole.chunks(size).enumerate().map(|(index, piece)| {
        let more = (index + 1) * size < length;
        from_peer(44, &fragment(17, index * size, more, number, piece))
    });
    let pieces = pieces.collect();
    (whole, pieces)
}

#[test]
fn fragments_in_any_order_become_the_packet_that_was_cut() {
    let (whole, pieces) = cut(1460, 200, 7);
    for rotation in 0..pieces.len() {
        let mut bench = Bench::new(CONFIG);
        let before = bench.accounted();
        for index in 0..pieces.len() {
            assert!(bench.ip.recv(Protocol::UDP).is_none());
            bench.arrive(&pieces[(index * 3 + rotation) % pieces.len()]);
        }
        let mut packet = bench.ip.recv(Protocol::UDP).unwrap();
        assert_eq!(packet.bytes(), whole);
        assert_eq!(packet.info().checksum, ChecksumState::Unknown);
        assert_eq!(packet.grow_front(40).unwrap(), from_peer(17, &whole));
        assert_eq!(bench.accounted() - before, pieces.len() as u64);
    }
}

#[test]
fn fragments_that_overlap_lose_the_packet() {
    let (_, pieces) = cut(600, 200, 7);
    let overlap = from_peer(44, &fragment(17, 192, true, 7, &[0; 16]));
    let mut bench = Bench::new(CONFIG);
    for piece in [&pieces[0], &overlap, &pieces[1], &pieces[2]] {
        bench.arrive(piece);
    }
    assert!(bench.ip.recv(Protocol::UDP).is_none());
    assert_eq!(bench.ip.counters.bad_fragments.get(), 1);
    // The same bytes again are no overlap.
    let mut bench = Bench::new(CONFIG);
    for piece in [&pieces[0], &pieces[0], &pieces[1], &pieces[2]] {
        bench.arrive(piece);
    }
    assert!(bench.ip.recv(Protocol::UDP).is_some());
}

#[test]
fn a_whole_packet_in_a_fragment_has_nothing_to_do_with_others() {
    // RFC 6946 section 4.
    let (whole, pieces) = cut(400, 200, 7);
    let mut bench = Bench::new(CONFIG);
    bench.arrive(&pieces[0]);
    bench.arrive(&from_peer(44, &fragment(17, 0, false, 7, &UDP)));
    bench.arrive(&pieces[1]);
    assert_eq!(bench.ip.recv(Protocol::UDP).unwrap().bytes(), UDP);
    assert_eq!(bench.ip.recv(Protocol::UDP).unwrap().bytes(), whole);
}

#[test]
fn fragments_that_hide_something_are_dropped() {
    let mut bench = Bench::new(CONFIG);
    // A first fragment without the transport's header (RFC 7112).
    bench.arrive(&from_peer(44, &fragment(6, 0, true, 1, &[0; 16])));
    // A chain that ends in the second fragment.
    let chain = extension(17, &[0; 22]);
    bench.arrive(&from_peer(44, &fragment(60, 0, true, 2, &chain[..16])));
    // A fragment in a fragment.
    let inner = fragment(17, 0, true, 4, &UDP);
    bench.arrive(&from_peer(44, &fragment(44, 0, false, 3, &inner)));
    assert_eq!(bench.ip.counters.bad_fragments.get(), 2);
    assert_eq!(bench.ip.counters.bad_extensions.get(), 1);
    // Neighbour discovery (RFC 6980).
    let draft = written(&bench, Draft::solicitation(OURS, Some(STATION)), PEER, OURS);
    let (first, second) = draft[40..].split_at(24);
    for (offset, more, bytes) in [(0, true, first), (24, false, second)] {
        bench.arrive(&datagram(PEER, OURS, 44, 255, &fragment(58, offset, more, 5, bytes)));
    }
    assert_eq!(bench.ip.counters.control_bad.get(), 1);
    // The same in a fragment that is the whole.
    bench.arrive(&datagram(PEER, OURS, 44, 255, &fragment(58, 0, false, 6, &draft[40..])));
    assert_eq!(bench.ip.counters.control_bad.get(), 2);
    assert!(bench.sent().is_empty());
}

#[test]
fn what_is_missing_for_a_minute_is_given_up_and_its_sender_told() {
    let (_, pieces) = cut(600, 200, 7);
    for (arrive, told) in [(&pieces[..2], true), (&pieces[1..], false)] {
        let mut bench = Bench::new(CONFIG);
        arrive.iter().for_each(|piece| bench.arrive(piece));
        bench.run_to(69);
        assert!(bench.ip.rejected().is_none());
        bench.run_to(71);
        let rejected = bench.ip.rejected();
        assert_eq!(rejected.as_ref().map(|(_, why)| *why), told.then_some(Reject::Reassembly));
        if let Some((packet, _)) = rejected {
            assert_eq!(packet.bytes(), pieces[0], "the first fragment, as it arrived");
        }
        bench.link.sent.clear();
        assert_eq!(bench.cx.pool().available(), bench.cx.pool().count());
    }
}

#[test]
fn reassembly_is_bounded() {
    let mut bench = Bench::new(CONFIG);
    for number in 0..1_000 {
        let source = Ipv6Addr::from_bits(PEER.to_bits() + u128::from(number % 7));
        let piece = fragment(17, 0, true, number, &[0; 16]);
        bench.arrive(&datagram(source, OURS, 44, 64, &piece));
    }
    assert_eq!(bench.ip.reassembly.under_way(), 16);
    assert!(bench.cx.pool().available() >= bench.cx.pool().count() - 16);
    bench.arrive(&from_peer(44, &fragment(17, 1800, false, 5_000, &UDP)));
    assert_eq!(bench.ip.counters.long_fragments.get(), 1);
}

#[test]
fn packets_go_to_the_neighbour_or_to_the_router() {
    let mut bench = Bench::new(CONFIG);
    for (to, from) in [(PEER, OURS), (FAR, OURS), (GATEWAY, LOCAL)] {
        bench.send(Protocol::UDP, to, &UDP);
        let [sent] = &bench.sent()[..] else { panic!("one packet to {to}") };
        assert_eq!((sent.mac, sent.header.source, sent.header.destination), (STATION, from, to));
        assert_eq!((sent.header.next, sent.header.hops), (17, 64));
        assert_eq!(sent.payload, UDP);
    }
    bench.send(Protocol::UDP, ALL_NODES, &UDP);
    let [sent] = &bench.sent()[..] else { panic!("one packet to the group") };
    assert_eq!((sent.mac, sent.header.source), (multicast_mac(ALL_NODES), LOCAL));
}

#[test]
fn what_cannot_be_sent_is_counted() {
    let mut bench = Bench::new(Config { gateway: None, autoconfigure: false, ..CONFIG });
    let mut send = |to: IpAddr, from: IpAddr, length: usize, reason: Reason| {
        let mut packet = bench.packet(&vec![0; length]);
        (packet.info_mut().remote, packet.info_mut().local) = (to, from);
        let before = reason(bench.ip.counters).get();
        assert!(bench.ip.send(Protocol::UDP, packet).is_ok());
        assert_eq!(reason(bench.ip.counters).get(), before + 1, "{to} {from} {length}");
    };
    let ours = IpAddr::V6(OURS);
    send(FAR.into(), ours, 10, |c| &c.no_route);
    send(core::net::Ipv4Addr::LOCALHOST.into(), ours, 10, |c| &c.no_route);
    send(PEER.into(), FAR.into(), 10, |c| &c.not_ours);
    send(PEER.into(), ours, 1461, |c| &c.too_long);
    assert!(bench.sent().is_empty());
    while bench.ip.room() > 0 {
        bench.link.room = 0;
        bench.send(Protocol::UDP, PEER, &UDP);
    }
    let mut packet = bench.packet(&UDP);
    packet.info_mut().remote = PEER.into();
    assert!(bench.ip.send(Protocol::UDP, packet).is_err(), "it comes back");
}

#[test]
fn a_packet_to_ourselves_comes_back() {
    let mut bench = Bench::new(CONFIG);
    bench.send(Protocol::UDP, OURS, &UDP);
    assert!(bench.sent().is_empty());
    let packet = bench.ip.recv(Protocol::UDP).unwrap();
    assert_eq!((packet.info().remote, packet.info().local), (OURS.into(), OURS.into()));
    assert_eq!(packet.bytes(), UDP);
}

#[test]
fn what_is_for_inside_never_leaves_and_never_comes_from_outside() {
    let mut bench = Bench::new(CONFIG);
    let inside = Ipv6Addr::LOCALHOST;
    bench.send(Protocol::UDP, inside, &UDP);
    assert!(bench.sent().is_empty());
    let packet = bench.ip.recv(Protocol::UDP).unwrap();
    assert_eq!((packet.info().remote, packet.info().local), (inside.into(), inside.into()));
    assert!(bench.ip.is_local(inside.into()));
    // RFC 4291 section 2.5.3.
    bench.arrive(&datagram(PEER, inside, 17, 64, &UDP));
    bench.arrive(&datagram(inside, OURS, 17, 64, &UDP));
    assert!(bench.ip.recv(Protocol::UDP).is_none());
}

#[test]
fn flows_have_labels_of_their_own() {
    let mut bench = Bench::new(CONFIG);
    let mut labels = std::collections::BTreeSet::new();
    for port in 0..64_u8 {
        for _ in 0..2 {
            let mut packet = bench.packet(&[port, 0, 0, 80, 0, 0, 0, 0]);
            packet.info_mut().remote = PEER.into();
            bench.ip.send(Protocol::TCP, packet).unwrap();
            bench.sweep();
            let (_, packet) = bench.link.sent.pop_front().unwrap();
            let word = u32::from_be_bytes(*packet.bytes().first_chunk().unwrap());
            labels.insert(word & 0xf_ffff);
        }
    }
    assert!(labels.len() > 60, "{labels:?}");
}

#[test]
fn a_path_that_takes_less_is_remembered_and_one_that_takes_nothing_is_not_believed() {
    let mut bench = Bench::new(CONFIG);
    let report = |bench: &mut Bench, mtu| {
        let kind = PathErrorKind::TooBig(mtu);
        let error = PathError { kind, local: OURS.into(), remote: FAR.into(), header: [0; 8] };
        bench.ip.report(Protocol::TCP, error);
        bench.ip.path_error(Protocol::TCP).map(|error| error.kind)
    };
    assert_eq!(bench.ip.mtu(FAR.into()), 1500);
    assert_eq!(report(&mut bench, 600), None);
    assert_eq!(bench.ip.mtu(FAR.into()), 1500);
    assert_eq!(report(&mut bench, 1300), Some(PathErrorKind::TooBig(1300)));
    assert_eq!((bench.ip.mtu(FAR.into()), bench.ip.mtu(PEER.into())), (1300, 1500));
    report(&mut bench, 9000);
    bench.send(Protocol::UDP, FAR, &[0; 1261]);
    assert_eq!((bench.sent().len(), bench.ip.counters.too_long.get()), (0, 1));
    bench.send(Protocol::UDP, FAR, &[0; 1260]);
    assert_eq!(bench.sent().len(), 1);
}

#[test]
fn no_packet_panics_and_every_packet_is_accounted_for() {
    let mut bench = Bench::new(CONFIG);
    let solicitation = written(&bench, Draft::solicitation(OURS, Some(STATION)), PEER, OURS);
    let seeds = [
        from_peer(17, &UDP),
        from_peer(
            0,
            &[&extension(60, &[5, 2, 0, 0])[..], &extension(17, &[0x1e, 0]), &UDP].concat(),
        ),
        from_peer(44, &fragment(17, 0, true, 3, &[0; 16])),
        from_peer(44, &fragment(17, 16, false, 3, &UDP)),
        from_peer(43, &[&extension(44, &[])[..], &fragment(17, 0, false, 3, &UDP)].concat()),
        solicitation,
    ];
    let start = bench.accounted();
    for round in 0..20_000usize {
        let mut bytes = seeds[round % seeds.len()].clone();
        for _ in 0..bench.cx.random.below(4) {
            let at = bench.cx.random.below(bytes.len() as u64) as usize;
            bytes[at] = bench.cx.random.u32() as u8;
        }
        if bench.cx.random.below(4) == 0 {
            bytes.truncate(bench.cx.random.below(bytes.len() as u64 + 1) as usize);
        }
        let later = bench.cx.now() + Duration::from_millis(bench.cx.random.below(300));
        bench.cx.set_now(later);
        bench.arrive(&bytes);
        bench.link.sent.clear();
        for protocol in [Protocol::TCP, Protocol::UDP, Protocol::ICMPV6] {
            while bench.ip.recv(protocol).is_some() {}
        }
        while bench.ip.rejected().is_some() {}
        assert_eq!(bench.accounted(), start + round as u64 + 1, "{bytes:02x?}");
    }
    let out = bench.ip.reassembly.under_way() + bench.ip.neighbours.waiting();
    assert_eq!(bench.cx.pool().available() + out, bench.cx.pool().count());
}
