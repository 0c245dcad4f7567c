//! Packets of others, and what a router says of itself.

use super::*;
use crate::advertise::Advertiser;
use crate::message::{Advertisement, Message, Prefix};
use crate::neighbours::Heard;
use waitless::network::v6::Managed;

/// A host behind another router.
const AWAY: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 3, 3, 0, 0, 0, 3);
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// A layer whose packets for others somebody takes.
fn router() -> Bench {
    let mut bench = Bench::new(CONFIG);
    assert!(bench.ip.transit().is_none());
    bench
}

/// What a router that `AWAY` is behind sends here, for somebody else.
fn foreign(to: Ipv6Addr, next: u8, payload: &[u8]) -> Vec<u8> {
    datagram(AWAY, to, next, 9, payload)
}

#[test]
fn what_is_for_others_waits_for_who_forwards() {
    let mut bench = Bench::new(CONFIG);
    bench.arrive(&foreign(FAR, 17, b"datagram"));
    assert_eq!(bench.ip.counters.foreign.get(), 1, "nobody forwards");
    let mut bench = router();
    bench.arrive(&foreign(FAR, 17, b"datagram"));
    let packet = bench.ip.transit().unwrap();
    assert_eq!(packet.bytes(), foreign(FAR, 17, b"datagram"));
    let ends = (packet.info().remote, packet.info().local);
    assert_eq!(ends, (AWAY.into(), FAR.into()));
    assert!(bench.ip.transit().is_none());
    // What is for this host goes up as before.
    bench.arrive(&datagram(AWAY, OURS, 17, 9, b"datagram"));
    assert_eq!((bench.ip.counters.delivered.get(), bench.ip.counters.transit.get()), (1, 1));
    assert_eq!(bench.ip.counters.received.get(), bench.accounted());
}

#[test]
fn what_may_not_leave_its_link_is_dropped() {
    let mut bench = router();
    let local = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 5);
    for (from, to) in [
        (local, FAR),
        (AWAY, local),
        (AWAY, Ipv6Addr::LOCALHOST),
        (Ipv6Addr::UNSPECIFIED, FAR),
        (AWAY, Ipv6Addr::UNSPECIFIED),
    ] {
        bench.arrive(&datagram(from, to, 17, 9, b"datagram"));
    }
    assert_eq!(bench.ip.counters.martians.get(), 5);
    for kind in 133..=137 {
        bench.arrive(&datagram(AWAY, FAR, 58, 64, &[kind, 0, 0, 0, 0, 0, 0, 0]));
    }
    assert_eq!(bench.ip.counters.martians.get(), 10, "what finds neighbours");
    let behind = [58, 0, 1, 4, 0, 0, 0, 0, 135, 0, 0, 0, 0, 0, 0, 0];
    bench.arrive(&datagram(AWAY, FAR, 60, 64, &behind));
    assert_eq!(bench.ip.counters.martians.get(), 11, "behind options");
    bench.arrive(&datagram(AWAY, ALL_ROUTERS, 17, 9, b"datagram"));
    assert_eq!(bench.ip.counters.foreign.get(), 1);
    let mut packet = bench.packet(&foreign(FAR, 17, b"datagram"));
    packet.info_mut().broadcast = true;
    bench.link.arriving.push_back(packet);
    bench.sweep();
    assert_eq!(bench.ip.counters.martians.get(), 12, "in a frame to all");
    assert!(bench.ip.transit().is_none());
    assert_eq!(bench.ip.counters.received.get(), bench.accounted());
}

/// Has the layer send on a packet to `to`.
fn forward(bench: &mut Bench, to: Ipv6Addr) -> Result<(), Packet> {
    let mut packet = bench.packet(&foreign(to, 17, b"datagram"));
    packet.info_mut().remote = AWAY.into();
    packet.info_mut().local = to.into();
    bench.ip.forward(packet)
}

#[test]
fn a_packet_goes_on_to_its_next_hop() {
    let mut bench = router();
    for to in [PEER, FAR] {
        forward(&mut bench, to).unwrap();
        bench.sweep();
        let sent = bench.sent();
        assert_eq!(sent.len(), 1);
        assert_eq!((sent[0].mac, sent[0].header.source), (STATION, AWAY));
        assert_eq!((sent[0].header.destination, sent[0].header.hops), (to, 9));
    }
    for (to, bits) in [(PEER, Some(64)), (FAR, Some(0)), (Ipv6Addr::LOCALHOST, Some(0))] {
        assert_eq!(bench.ip.route_bits(to.into()), bits, "{to}");
    }
    assert_eq!(bench.ip.route_bits([10, 0, 0, 1].into()), None);
    // One batch and another find room, not more.
    let taken = (0..100).take_while(|_| forward(&mut bench, PEER).is_ok()).count();
    assert_eq!(taken, 2 * BATCH);
    bench.sweep();
    assert_eq!(bench.sent().len(), 2 * BATCH);
}

#[test]
fn a_next_hop_that_does_not_answer_is_told_of() {
    let mut bench = router();
    let nobody = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 0x99);
    forward(&mut bench, nobody).unwrap();
    for _ in 0..4 {
        bench.cx.set_now(bench.deadline().max(bench.cx.now()));
        bench.sweep();
    }
    let packet = bench.ip.transit().unwrap();
    assert!(packet.info().looped, "it is given back");
    assert_eq!((packet.info().remote, packet.info().local), (AWAY.into(), nobody.into()));
    assert_eq!(packet.bytes(), foreign(nobody, 17, b"datagram"));
    // One that does answer is sent what waits.
    forward(&mut bench, nobody).unwrap();
    bench.sweep();
    bench.sent();
    bench.ip.neighbours.spoke(nobody, STATION, false, bench.ip.now);
    bench.sweep();
    assert_eq!(bench.sent().len(), 1);
}

#[test]
fn a_scan_from_outside_leaves_neighbours_their_service() {
    let mut bench = Bench::new(Config { gateway: None, neighbours: 64, ..CONFIG });
    assert!(bench.ip.transit().is_none());
    let inside = |number: u32| Ipv6Addr::from_bits(OURS.to_bits() & !0xffff | u128::from(number));
    for number in 0x100..0x120 {
        bench.ip.neighbours.spoke(inside(number), STATION, false, bench.ip.now);
    }
    for second in 11..100 {
        bench.cx.set_now(Instant::ZERO + Duration::from_secs(second));
        // All of these are scanned, and then those who are there are sent something.
        for number in 0x1000..0x1200 {
            forward(&mut bench, inside(number)).unwrap();
            if number % 16 == 0 {
                bench.sweep();
            }
        }
        bench.sweep();
        while bench.ip.transit().is_some() {}
        bench.sent();
        for number in 0x100..0x120 {
            forward(&mut bench, inside(number)).unwrap();
        }
        bench.sweep();
        let sent = bench.sent();
        let forwarded = sent.iter().filter(|it| it.header.next == 17).count();
        assert_eq!(forwarded, 32, "{second} s");
        for number in 0x100..0x120 {
            let answer = Draft::advertisement(inside(number), false, true, STATION);
            bench.arrive(&written(&bench, answer, inside(number), OURS));
        }
        assert!(bench.ip.neighbours.len() <= 64);
    }
    let counters = bench.ip.counters;
    assert!(counters.transit_unasked.get() > 40_000);
    assert_eq!(counters.neighbours_full.get(), 0);
    // This host's own packets find somebody new.
    bench.send(Protocol::UDP, inside(0x9999), b"datagram");
    bench.sweep();
    let asked = bench.sent().iter().any(|it| {
        matches!(Message::parse(&it.payload), Some(Message::Solicitation(target, _))
            if target == inside(0x9999))
    });
    assert!(asked);
}

#[test]
fn the_way_to_a_router_is_found_during_a_scan() {
    let mut bench = Bench::start(Config { neighbours: 16, ..CONFIG });
    assert!(bench.ip.transit().is_none());
    bench.run_to(10);
    bench.sent();
    for number in 0..100 {
        let nobody = Ipv6Addr::from_bits(OURS.to_bits() & !0xffff | (0x1000 + number));
        forward(&mut bench, nobody).unwrap();
    }
    assert_eq!(bench.ip.counters.transit_unasked.get(), 96);
    forward(&mut bench, FAR).unwrap();
    bench.sweep();
    let asked = bench
        .sent()
        .into_iter()
        .any(|it| matches!(Message::parse(&it.payload), Some(Message::Solicitation(GATEWAY, _))));
    assert!(asked);
}

#[test]
fn what_this_host_refuses_is_answered_unless_it_is_an_error() {
    let mut bench = Bench::new(CONFIG);
    // An option that nobody knows, which is to be told of.
    let unknown = [58, 0, 0x80, 4, 0, 0, 0, 0];
    for (kind, told) in [(1, false), (137, false), (128, true)] {
        let payload = [&unknown[..], &[kind, 0, 0, 0, 0, 0, 0, 0]].concat();
        bench.arrive(&datagram(AWAY, OURS, 60, 64, &payload));
        assert_eq!(bench.ip.rejected().is_some(), told, "{kind}");
    }
    assert_eq!(bench.ip.counters.rejects_silent.get(), 2);
}

#[test]
fn the_links_length_counts_for_others_whatever_this_host_has_learned() {
    let mut bench = router();
    let kind = PathErrorKind::TooBig(1280);
    let error = PathError { kind, local: OURS.into(), remote: FAR.into(), header: [0; 8] };
    bench.ip.report(Protocol::UDP, error);
    assert_eq!((bench.ip.mtu(FAR.into()), bench.ip.link_mtu()), (1280, 1500));
}

#[test]
fn senders_are_told_unless_that_is_forbidden() {
    let mut bench = router();
    let options = [58, 0, 1, 4, 0, 0, 0, 0];
    let fragment = |offset: u16, next: u8| {
        let [o0, o1] = (offset << 3).to_be_bytes();
        [&[next, 0, o0, o1, 0, 0, 0, 1][..], &[3, 0, 0, 0]].concat()
    };
    for (next, payload, told) in [
        (17, b"datagram".to_vec(), true),
        (58, vec![128, 0, 0, 0], true),
        (58, vec![3, 0, 0, 0], false),
        (58, vec![137, 0, 0, 0], false),
        (58, vec![], false),
        // Behind options.
        (0, vec![58, 0, 1, 4, 0, 0, 0, 0, 1, 0, 0, 0], false),
        (60, vec![58, 0, 1, 4, 0, 0, 0, 0, 128, 0, 0, 0], true),
        (60, vec![58], false),
        // In fragments.
        (44, fragment(0, 58), false),
        (44, fragment(9, 58), false),
        (44, fragment(9, 17), true),
        (44, fragment(9, 60), false),
        // In fragments, behind options.
        (44, [&[60, 0, 0, 0, 0, 0, 0, 1][..], &options, &[1, 0, 0, 0]].concat(), false),
        (44, [&[60, 0, 0, 0, 0, 0, 0, 1][..], &options, &[128, 0, 0, 0]].concat(), true),
        // Behind a routing header.
        (43, [&[60, 0, 0, 0, 0, 0, 0, 0][..], &options, &[137, 0, 0, 0]].concat(), false),
        // Behind more than anybody looks at.
        (60, [60, 0, 1, 4, 0, 0, 0, 0].repeat(9), false),
    ] {
        let mut packet = bench.packet(&foreign(FAR, next, &payload));
        packet.info_mut().remote = AWAY.into();
        bench.ip.turn_away(packet, Reject::HopLimit);
        assert_eq!(bench.ip.rejected().is_some(), told, "{next} {payload:?}");
    }
    let mut packet = bench.packet(&foreign(FAR, 17, b"datagram"));
    packet.info_mut().remote = AWAY.into();
    bench.ip.turn_away(packet, Reject::TooBig(1280));
    let (packet, why) = bench.ip.rejected().unwrap();
    assert_eq!(why, Reject::TooBig(1280));
    // From an address of where it came in.
    assert_eq!((packet.info().remote, packet.info().local), (AWAY.into(), OURS.into()));
}

/// A router that says so.
const ADVERTISING: Config =
    Config { gateway: None, autoconfigure: false, advertise: true, ..CONFIG };

/// When it has advertised itself up to `secs`, in whole seconds.
fn advertised(bench: &mut Bench, secs: u64) -> Vec<u64> {
    let mut times = vec![];
    for second in bench.ip.now.since(Instant::ZERO).as_secs()..secs {
        bench.run_to(second + 1);
        let sent = bench.sent();
        times.extend(sent.iter().filter(|it| it.payload[0] == 134).map(|_| second + 1));
    }
    times
}

#[test]
fn a_router_says_what_is_on_its_link() {
    let mut bench = Bench::start(ADVERTISING);
    assert!(bench.ip.transit().is_none());
    bench.run_to(5);
    let sent = bench.sent();
    let said = sent.iter().find(|it| it.payload[0] == 134).unwrap();
    assert_eq!((said.mac, said.header.hops), (multicast_mac(ALL_NODES), 255));
    assert_eq!((said.header.source, said.header.destination), (LOCAL, ALL_NODES));
    let Some(Message::RouterAdvertisement(head, options)) = Message::parse(&said.payload) else {
        panic!("{said:?}");
    };
    assert_eq!((head.hops, head.lifetime, head.managed), (64, 1_800, Managed::No));
    assert_eq!((options.source(), options.mtu()), (Some(MAC), Some(1500)));
    let network = Prefix {
        prefix: Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 0),
        length: 64,
        on_link: true,
        autonomous: true,
        valid: 2_592_000,
        preferred: 604_800,
    };
    assert_eq!(options.prefixes().collect::<Vec<_>>(), [network]);
    assert!(bench.ip.groups.has(ALL_ROUTERS), "it listens to who asks");
}

#[test]
fn a_router_says_so_soon_at_first_then_seldom_and_when_it_is_asked() {
    let mut bench = Bench::start(ADVERTISING);
    let times = advertised(&mut bench, 3_600);
    let gaps: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(times[0] <= 3, "{times:?}");
    assert!(gaps[..2].iter().all(|gap| *gap <= 17), "{gaps:?}");
    assert!(gaps[3..].iter().all(|gap| (199..=601).contains(gap)), "{gaps:?}");
    // However many ask, one advertisement answers them, and none comes sooner than three seconds
    // after another.
    for _ in 0..5 {
        bench.arrive(&message(GATEWAY, ALL_ROUTERS, &[133, 0, 0, 0, 0, 0, 0, 0]));
    }
    assert_eq!(advertised(&mut bench, 3_602).len(), 1);
    bench.arrive(&message(GATEWAY, ALL_ROUTERS, &[133, 0, 0, 0, 0, 0, 0, 0]));
    let again = advertised(&mut bench, 3_610);
    assert!(again.len() == 1 && again[0] >= 3_603, "{again:?}");
    // Who is nobody has no station (RFC 4861 section 6.1.1).
    let station = [133, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 9];
    bench.arrive(&message(Ipv6Addr::UNSPECIFIED, ALL_ROUTERS, &station));
    assert!(advertised(&mut bench, 3_615).is_empty());
    assert_eq!(bench.ip.counters.control_bad.get(), 1);
    bench.arrive(&message(Ipv6Addr::UNSPECIFIED, ALL_ROUTERS, &station[..8]));
    bench.arrive(&message(GATEWAY, ALL_ROUTERS, &station));
    assert_eq!(advertised(&mut bench, 3_617).len(), 1);
    // From behind a router nobody asks.
    let mut far = message(GATEWAY, ALL_ROUTERS, &[133, 0, 0, 0, 0, 0, 0, 0]);
    far[7] = 254;
    bench.arrive(&far);
    assert!(advertised(&mut bench, 3_630).is_empty());
}

#[test]
fn where_who_asks_for_routers_is_found_is_remembered_and_that_it_is_none() {
    let mut bench = Bench::start(ADVERTISING);
    bench.run_to(10);
    let moved = Mac([2, 0, 0, 0, 0, 9]);
    let draft = || Draft::router_solicitation(Some(moved));
    let new = Ipv6Addr::from_bits(PEER.to_bits() + 1);
    bench.ip.neighbours.spoke(PEER, STATION, true, bench.ip.now);
    bench.sent();
    bench.arrive(&written(&bench, draft(), PEER, ALL_ROUTERS));
    let none = Advertisement { target: PEER, router: false, solicited: true, replaces: true };
    let heard = bench.ip.neighbours.advertised(&none, Some(STATION), bench.ip.now);
    assert_eq!(heard, Heard::Updated, "it was no router any more");
    for host in [PEER, new] {
        bench.arrive(&written(&bench, draft(), host, ALL_ROUTERS));
        bench.send(Protocol::UDP, host, b"12345678");
        assert_eq!(bench.sent()[0].mac, moved, "{host}");
        // Stale: it is asked whether it is still there.
        let second = bench.cx.now().as_nanos() / 1_000_000_000;
        bench.run_to(second + 6);
        assert!(bench.sent().iter().any(|it| it.payload[0] == 135 && it.mac == moved), "{host}");
    }
}

/// The lifetimes that it says.
fn lifetimes(bench: &mut Bench) -> Vec<u16> {
    let said = bench.sent().into_iter().filter_map(|it| match Message::parse(&it.payload) {
        Some(Message::RouterAdvertisement(head, _)) => Some(head.lifetime),
        _ => None,
    });
    said.collect()
}

#[test]
fn who_does_not_forward_is_no_router_to_anywhere() {
    let mut bench = Bench::start(ADVERTISING);
    bench.run_to(5);
    assert_eq!(lifetimes(&mut bench), [0]);
    assert!(bench.ip.transit().is_none());
    bench.run_to(25);
    assert_eq!(lifetimes(&mut bench), [1_800]);
}

#[test]
fn a_router_says_once_that_it_ends() {
    let mut bench = Bench::start(ADVERTISING);
    assert!(bench.ip.transit().is_none());
    bench.run_to(5);
    assert_eq!(lifetimes(&mut bench), [1_800]);
    // Just after it has said that it is there.
    bench.run_to(18);
    bench.sent();
    bench.cx.system().shut_down();
    bench.sweep();
    assert_eq!(lifetimes(&mut bench), [0]);
    bench.arrive(&message(GATEWAY, ALL_ROUTERS, &[133, 0, 0, 0, 0, 0, 0, 0]));
    bench.run_to(2_000);
    assert_eq!(lifetimes(&mut bench), [0; 0], "nobody is answered any more");
    // One that advertises nothing says nothing.
    let mut bench = router();
    bench.cx.system().shut_down();
    bench.sweep();
    assert_eq!(lifetimes(&mut bench), [0; 0]);
}

#[test]
fn answers_to_who_asks_for_routers_come_at_random_and_apart() {
    let mut random = waitless::Random::new([3; 32]);
    let at = |millis| Instant::ZERO + Duration::from_millis(millis);
    let mut times = vec![];
    for _ in 0..200 {
        let mut advertiser = Advertiser::default();
        advertiser.start(at(0));
        assert!(advertiser.due(at(0), &mut random));
        advertiser.asked(at(1_000), &mut random);
        let first = advertiser.deadline();
        assert!((at(3_000)..at(3_500)).contains(&first), "{first:?}");
        // Whoever asks then is answered with the others.
        (1_001..1_100).for_each(|millis| advertiser.asked(at(millis), &mut random));
        assert_eq!(advertiser.deadline(), first);
        times.push(first);
        assert!(advertiser.due(first, &mut random));
        advertiser.asked(at(10_000), &mut random);
        assert!((at(10_000)..at(10_500)).contains(&advertiser.deadline()));
        // The link goes and comes back.
        assert!(advertiser.due(at(10_500), &mut random));
        advertiser.start(at(11_000));
        assert_eq!(advertiser.deadline(), at(13_500));
    }
    times.sort_unstable();
    times.dedup();
    assert!(times.len() > 190, "{} of 200 differ", times.len());
    assert!(times[times.len() - 1].since(times[0]) > Duration::from_millis(450));
}

#[test]
fn neighbours_hear_that_it_is_a_router() {
    for router in [false, true] {
        let mut bench = Bench::new(CONFIG);
        if router {
            assert!(bench.ip.transit().is_none());
        }
        let asks = Draft::solicitation(OURS, Some(STATION));
        bench.arrive(&written(&bench, asks, PEER, solicited_node(OURS)));
        let sent = bench.sent();
        let Some(Message::Advertisement(said, _)) = Message::parse(&sent[0].payload) else {
            panic!("{sent:?}");
        };
        assert_eq!(said.router, router);
    }
}

#[test]
fn who_advertises_needs_networks_of_64_bits() {
    for addresses in [&[][..], &[(OURS, 48)]] {
        let mut cx = testing::context(16, 1);
        let config = Config { addresses, ..ADVERTISING };
        let ip = Ipv6::new(Box::leak(Box::new(config)), &mut cx);
        assert!(ip.check().is_err());
    }
}

#[test]
fn what_waited_over_a_change_of_the_link_is_the_hosts_own_still() {
    let mut bench = Bench::new(CONFIG);
    let before = bench.cx.pool().available();
    let nobody = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 0x99);
    bench.send(Protocol::UDP, nobody, b"datagram");
    for _ in 1..3 {
        bench.cx.set_now(bench.deadline().max(bench.cx.now()));
        bench.sweep();
        bench.sent();
    }
    // Whether its address is still its own is not known again for a while.
    bench.link.up = false;
    bench.sweep();
    bench.cx.set_now(bench.cx.now() + Duration::from_secs(1));
    bench.link.up = true;
    bench.sweep();
    assert!(!bench.ip.network.is_local(OURS));
    assert!(bench.ip.transit.is_empty(), "nobody would take it");
    let error = bench.ip.path_error(Protocol::UDP).unwrap();
    assert_eq!((error.local, error.remote), (OURS.into(), nobody.into()));
    bench.run_to(60);
    bench.sent();
    assert!(bench.deadline() > bench.cx.now());
    assert_eq!(bench.cx.pool().available(), before);
}

#[test]
fn a_router_takes_no_redirects() {
    let mut bench = router();
    let other = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xfe);
    let body = [&[137, 0, 0, 0, 0, 0, 0, 0][..], &other.octets(), &FAR.octets()].concat();
    bench.arrive(&message(GATEWAY, OURS, &body));
    let counters = bench.ip.counters;
    assert_eq!((counters.redirects.get(), counters.control_ignored.get()), (0, 1));
    assert_eq!(bench.ip.routers.redirected(FAR), None);
}

#[test]
fn a_network_of_the_manifest_is_here_before_its_address_is_in_use() {
    let mut bench = Bench::start(CONFIG);
    assert!(!bench.ip.network.is_local(OURS));
    assert_eq!(bench.ip.route_bits(PEER.into()), Some(64));
    forward(&mut bench, PEER).unwrap();
    assert_eq!(bench.ip.counters.no_route.get(), 1, "not sent, and nowhere else either");
}

#[test]
fn whatever_a_router_is_sent_its_tables_are_bounded_and_no_packet_is_lost() {
    let mut bench = Bench::new(Config { neighbours: 32, pending: 16, ..ADVERTISING });
    assert!(bench.ip.transit().is_none());
    let inside = |number: u8| Ipv6Addr::from_bits(OURS.to_bits() & !0xff | u128::from(number));
    let options = [58, 0, 1, 4, 0, 0, 0, 0];
    let nested = [&options[..], &[1, 0, 0, 0, 0, 0, 0, 0]].concat();
    let part = [&[58, 0, 0, 1, 0, 0, 0, 1][..], &[0; 8]].concat();
    let station = [133, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 9];
    let seeds = [
        foreign(PEER, 17, b"datagram"),
        foreign(FAR, 6, &[0; 20]),
        foreign(PEER, 60, &nested),
        foreign(PEER, 44, &part),
        message(GATEWAY, ALL_ROUTERS, &station),
        written(&bench, Draft::solicitation(OURS, Some(STATION)), PEER, solicited_node(OURS)),
        written(&bench, Draft::advertisement(PEER, false, true, STATION), PEER, OURS),
        written(&bench, Draft::report_v1(131, ALL_ROUTERS), GATEWAY, ALL_ROUTERS),
    ];
    let mut random = waitless::Random::new([5; 32]);
    for round in 0..20_000 {
        let mut bytes = seeds[random.below(seeds.len() as u64) as usize].clone();
        // Another of the hosts inside is meant, or says something.
        let number = random.u32() as u8;
        let at = [23, 39][random.below(2) as usize];
        bytes[at] = number;
        for _ in 0..random.below(3) {
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] = random.u32() as u8;
        }
        bench.cx.set_now(bench.cx.now() + Duration::from_millis(random.below(100)));
        bench.arrive(&bytes);
        while let Some(packet) = bench.ip.transit() {
            match random.below(4) {
                0 => bench.ip.turn_away(packet, Reject::Route),
                1 => bench.ip.turn_away(packet, Reject::TooBig(1280)),
                _ => drop(bench.ip.forward(packet)),
            }
        }
        // Some of them answer.
        if number < 16 {
            let answer = Draft::advertisement(inside(number), false, true, STATION);
            bench.arrive(&written(&bench, answer, inside(number), OURS));
        }
        for protocol in [Protocol::TCP, Protocol::UDP, Protocol::ICMPV6] {
            while bench.ip.recv(protocol).is_some() {}
            while bench.ip.path_error(protocol).is_some() {}
        }
        while let Some((packet, _)) = bench.ip.rejected() {
            let kind = crate::extension::icmp_kind(packet.bytes());
            assert!(kind.is_none_or(|kind| kind >= 128 && kind != 137), "{round}: an error");
        }
        bench.link.sent.clear();
        let (known, waiting) = (bench.ip.neighbours.len(), bench.ip.neighbours.waiting());
        assert!(known <= 32 && waiting <= 16, "{round}: {known} {waiting}");
    }
    assert!(bench.ip.counters.transit_unasked.get() > 100);
    assert_eq!(bench.ip.counters.received.get(), bench.accounted());
    let kept = bench.ip.reassembly.under_way() + bench.ip.neighbours.waiting();
    assert_eq!(bench.cx.pool().available() + kept, bench.cx.pool().count());
}
