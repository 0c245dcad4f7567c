//! Neighbour discovery, autoconfiguration and groups, as traces.

use super::*;
use crate::message::{GROUP_REPORT, NEIGHBOUR_ADVERTISEMENT, NEIGHBOUR_SOLICITATION};
use crate::message::{Message, ROUTER_SOLICITATION};
use std::format;
use std::string::String;
use waitless::network::v6::Leased;

const NET: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 7, 7, 0, 0, 0, 0);
const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xaa);
const ROUTER_STATION: Mac = Mac([2, 0, 0, 0, 0, 0xaa]);

/// Nothing in the manifest: everything comes from routers.
const AUTOMATIC: Config = Config { addresses: &[], gateway: None, ..CONFIG };

struct Advertised {
    lifetime: u16,
    valid: u32,
    preferred: u32,
    hops: u8,
    mtu: u32,
}

const GOOD: Advertised =
    Advertised { lifetime: 1800, valid: 86_400, preferred: 14_400, hops: 64, mtu: 1500 };

/// A router advertisement with its station, an MTU and a prefix.
fn advertisement(it: &Advertised) -> Vec<u8> {
    let mut bytes = vec![134, 0, 0, 0, it.hops, 0];
    bytes.extend(it.lifetime.to_be_bytes());
    bytes.extend([0; 8]);
    bytes.extend([1, 1]);
    bytes.extend(ROUTER_STATION.0);
    bytes.extend([5, 1, 0, 0]);
    bytes.extend(it.mtu.to_be_bytes());
    bytes.extend([3, 4, 64, 0xc0]);
    bytes.extend(it.valid.to_be_bytes());
    bytes.extend(it.preferred.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(NET.octets());
    message(ROUTER, ALL_NODES, &bytes)
}

/// The host's address in `NET`.
fn automatic(bench: &Bench) -> Option<Ipv6Addr> {
    let mut used = bench.used().into_iter();
    used.find(|it| it.to_bits() >> 64 == NET.to_bits() >> 64)
}

/// What was sent, in short: what, and from whom to whom.
fn short(sent: &[Sent]) -> Vec<String> {
    let line = |it: &Sent| {
        let payload = if it.header.next == 0 { &it.payload[8..] } else { &it.payload[..] };
        let what = match payload[0] {
            ROUTER_SOLICITATION => "RS",
            NEIGHBOUR_SOLICITATION => "NS",
            NEIGHBOUR_ADVERTISEMENT => "NA",
            GROUP_REPORT => "report",
            _ => "other",
        };
        format!("{what} {} {}", it.header.source, it.header.destination)
    };
    sent.iter().map(line).collect()
}

#[test]
fn a_start_joins_asks_for_duplicates_and_then_for_routers() {
    let mut bench = Bench::start(AUTOMATIC);
    assert_eq!(bench.used(), [] as [Ipv6Addr; 0], "nothing is used yet");
    assert_eq!(bench.ip.source_for(GATEWAY.into()), None);
    bench.run_to(1);
    let early = bench.sent();
    let group = solicited_node(LOCAL);
    assert_eq!(short(&early)[..2], [String::from("report :: ff02::16"), format!("NS :: {group}")]);
    // What a report says, and how it is sent (RFC 3810 section 5.2).
    assert_eq!((early[0].header.hops, early[0].mac), (1, Mac([0x33, 0x33, 0, 0, 0, 0x16])));
    assert_eq!(early[0].payload[..8], [58, 0, 5, 2, 0, 0, 1, 0]);
    assert_eq!(early[0].payload[14..20], [0, 1, 4, 0, 0, 0]);
    assert_eq!(early[0].payload[20..], group.octets());
    // A question for duplicates (RFC 4862 section 5.4.2).
    assert_eq!((early[1].header.hops, early[1].mac), (255, multicast_mac(group)));
    assert_eq!(early[1].payload.len(), 24, "it does not say who asks");
    assert_eq!(bench.used(), [LOCAL]);
    bench.run_to(2);
    let asked = bench.sent();
    assert!(short(&asked).contains(&format!("RS {LOCAL} ff02::2")), "{:?}", short(&asked));
    bench.run_to(4);
    let all = [early, asked, bench.sent()].concat();
    let reports = all.iter().filter(|it| it.header.next == 0 && it.payload[8] == GROUP_REPORT);
    let local = reports.clone().filter(|it| it.header.source == LOCAL).count();
    assert_eq!((local, reports.count() <= 4), (2, true), "two more, which routers believe");
}

#[test]
fn a_router_is_enough_to_have_an_address_and_a_way_out() {
    let mut bench = Bench::start(AUTOMATIC);
    bench.run_to(3);
    bench.sent();
    bench.arrive(&advertisement(&GOOD));
    assert_eq!(automatic(&bench), None, "it is asked for first");
    bench.run_to(6);
    let address = automatic(&bench).unwrap();
    let asked = short(&bench.sent());
    assert!(asked.contains(&format!("NS :: {}", solicited_node(address))), "{asked:?}");
    bench.send(Protocol::UDP, FAR, b"12345678");
    let [sent] = &bench.sent()[..] else { panic!("one packet") };
    assert_eq!((sent.mac, sent.header.source), (ROUTER_STATION, address));
    // Two more questions for routers would have come by now.
    let before = bench.ip.counters.routers_asked.get();
    bench.run_to(600);
    assert_eq!(bench.ip.counters.routers_asked.get(), before);
    // Nobody renewed it.
    bench.run_to(1804);
    assert_eq!(bench.ip.source_for(FAR.into()), None);
    assert!(automatic(&bench).is_some());
    bench.run_to(14_404);
    assert!(bench.ip.network.addresses.iter().any(|it| it.deprecated));
    bench.run_to(86_404);
    assert_eq!(bench.used(), [LOCAL]);
}

#[test]
fn what_a_router_says_of_dhcp_holds_until_it_says_otherwise_or_nothing() {
    let mut bench = Bench::start(AUTOMATIC);
    bench.run_to(3);
    let other = Ipv6Addr::from_bits(ROUTER.to_bits() + 1);
    let says = |bench: &mut Bench, from: Ipv6Addr, flags: u8| {
        // A router to everywhere for an hour and ten minutes.
        let head = [134, 0, 0, 0, 64, flags, 16, 104, 0, 0, 0, 0, 0, 0, 0, 0];
        bench.arrive(&message(from, ALL_NODES, &head));
        bench.ip.network().unwrap().managed
    };
    assert_eq!(says(&mut bench, ROUTER, 0x80), Managed::Addresses);
    assert_eq!(says(&mut bench, other, 0), Managed::Addresses, "another one need not know");
    assert_eq!(says(&mut bench, ROUTER, 0x40), Managed::Other);
    assert_eq!(says(&mut bench, other, 0x80), Managed::Addresses);
    assert_eq!(says(&mut bench, ROUTER, 0), Managed::Addresses);
    bench.run_to(4_190);
    assert_eq!(says(&mut bench, ROUTER, 0), Managed::Addresses);
    bench.run_to(4_210);
    assert_eq!(says(&mut bench, ROUTER, 0), Managed::No, "the other one is gone");
    assert_eq!(says(&mut bench, ROUTER, 0x80), Managed::Addresses);
    // Another link, perhaps.
    bench.link.up = false;
    bench.sweep();
    bench.link.up = true;
    bench.sweep();
    assert_eq!(bench.ip.network().unwrap().managed, Managed::No);
}

#[test]
fn routers_say_who_knows_names_and_whether_there_is_dhcp() {
    let mut bench = Bench::start(AUTOMATIC);
    bench.run_to(3);
    // Flags M and O, and no router to everywhere.
    let head = [134, 0, 0, 0, 64, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let server = |last: u8| [&NET.octets()[..15], &[last]].concat();
    let servers = |lifetime: u8, servers: &[u8]| {
        let addresses: Vec<u8> = servers.iter().flat_map(|last| server(*last)).collect();
        let length = 1 + 2 * servers.len() as u8;
        [&[25, length, 0, 0, 0, 0, 0, lifetime][..], &addresses].concat()
    };
    let domains =
        [&[31, 4, 0, 0, 0, 0, 0, 120][..], b"\x01a\x07example\0\x03lan\0\0\0\0\0\0\0\0\0"];
    let before = bench.ip.generation();
    let all = [&head[..], &servers(60, &[1, 2]), &domains.concat()].concat();
    bench.arrive(&message(ROUTER, ALL_NODES, &all));
    let network = bench.ip.network().unwrap();
    let named = |last: u8| Ipv6Addr::from_bits(NET.to_bits() | u128::from(last));
    assert_eq!(network.servers, [named(1), named(2)]);
    assert_eq!((network.search.as_str(), network.managed), ("a.example lan", Managed::Addresses));
    assert_ne!(bench.ip.generation(), before);
    // A lifetime of zero takes one back, and the other ends.
    let all = [&head[..], &servers(0, &[1])].concat();
    bench.arrive(&message(ROUTER, ALL_NODES, &all));
    assert_eq!(bench.ip.network().unwrap().servers, [named(2)]);
    bench.run_to(64);
    let network = bench.ip.network().unwrap();
    assert!(network.servers.is_empty() && !network.search.is_empty());
    bench.run_to(124);
    assert!(bench.ip.network().unwrap().search.is_empty());
    // What makes no sense is skipped: half an address, a group, a name without an end.
    let wrong = [
        &head[..],
        &[25, 2, 0, 0, 0, 0, 0, 60, 1, 2, 3, 4, 5, 6, 7, 8],
        &[&[25, 3, 0, 0, 0, 0, 0, 60][..], &ALL_NODES.octets()].concat(),
        &[31, 1, 0, 0, 0, 0, 0, 60],
        b"\x1f\x02\0\0\0\0\0\x3c\x07abcdefg",
    ];
    bench.arrive(&message(ROUTER, ALL_NODES, &wrong.concat()));
    let network = bench.ip.network().unwrap();
    assert!(network.servers.is_empty() && network.search.is_empty());
}

#[test]
fn what_dhcp_gives_is_asked_for_used_and_given_up() {
    let mut bench = Bench::start(AUTOMATIC);
    bench.run_to(3);
    bench.sent();
    let given = Ipv6Addr::from_bits(NET.to_bits() | 0x50);
    let mut lease = Ipv6Lease::default();
    let (preferred, valid) = (bench.cx.now() + Duration::from_secs(60), Instant::NEVER);
    let _ = lease.addresses.push(Leased { address: given, preferred, valid });
    let _ = lease.servers.push(given);
    let _ = lease.search.push_str("lan");
    bench.ip.configure_v6(&lease);
    bench.run_to(3);
    let asked = short(&bench.sent());
    assert!(asked.contains(&format!("NS :: {}", solicited_node(given))), "{asked:?}");
    assert!(!bench.used().contains(&given));
    bench.run_to(6);
    assert!(bench.used().contains(&given));
    let network = bench.ip.network().unwrap();
    assert_eq!((&network.servers[..], network.search.as_str()), (&[given][..], "lan"));
    // It says nothing of what is on the link.
    let next = Ipv6Addr::from_bits(given.to_bits() + 1);
    assert_eq!(bench.ip.source_for(next.into()), None);
    bench.run_to(70);
    assert!(bench.ip.network().unwrap().addresses.iter().any(|it| it.deprecated));
    bench.ip.configure_v6(&Ipv6Lease::default());
    bench.run_to(71);
    assert!(!bench.used().contains(&given) && bench.ip.network().unwrap().servers.is_empty());
    // Another host has it.
    bench.ip.configure_v6(&lease);
    bench.run_to(71);
    let taken = Draft::advertisement(given, false, false, ROUTER_STATION);
    let claim = written(&bench, taken, PEER, ALL_NODES);
    bench.arrive(&claim);
    bench.run_to(75);
    assert!(!bench.used().contains(&given));
    assert_eq!(bench.ip.network().unwrap().duplicates, [given]);
    bench.ip.configure_v6(&Ipv6Lease::default());
    assert!(bench.ip.network().unwrap().duplicates.is_empty());
}

#[test]
fn what_dhcp_gives_on_one_core_is_used_on_all() {
    let mut all = testing::contexts(2, &testing::Nothing, 256, 1);
    let mut first = Bench::start_on(all.next().unwrap(), AUTOMATIC);
    let mut second = Bench::start_on(all.next().unwrap(), AUTOMATIC);
    let given = Ipv6Addr::from_bits(NET.to_bits() | 0x50);
    let mut lease = Ipv6Lease::default();
    let valid = Instant::NEVER;
    let _ = lease.addresses.push(Leased { address: given, preferred: valid, valid });
    first.ip.configure_v6(&lease);
    first.sweep();
    assert!(!Component::<Link>::arm(&mut second.ip), "not without having heard of it");
    second.run_to(5);
    assert!(second.used().contains(&given) && Component::<Link>::arm(&mut second.ip));
}

#[test]
fn an_advertisement_is_believed_only_from_the_link_and_when_it_is_right() {
    let good = advertisement(&GOOD);
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        bytes
    };
    let spoiled = [
        ("hop limit 254", with(&|it| it[7] = 254)),
        ("a router's global address", {
            let mut bytes = good[40..].to_vec();
            bytes[2..4].fill(0);
            message(PEER, ALL_NODES, &bytes)
        }),
        ("a wrong checksum", with(&|it| it[50] ^= 1)),
        ("code 1", message(ROUTER, ALL_NODES, &with(&|it| it[41] = 1)[40..])),
        ("an option of no length", message(ROUTER, ALL_NODES, &with(&|it| it[57] = 0)[40..])),
        ("an option that is too long", message(ROUTER, ALL_NODES, &with(&|it| it[73] = 9)[40..])),
        ("15 bytes", message(ROUTER, ALL_NODES, &good[40..55])),
    ];
    for (name, bytes) in spoiled {
        let mut bench = Bench::start(AUTOMATIC);
        bench.run_to(3);
        bench.arrive(&bytes);
        bench.run_to(6);
        assert_eq!((automatic(&bench), bench.ip.routers.len()), (None, 0), "{name}");
        assert_eq!(bench.ip.counters.control_bad.get(), 1, "{name}");
    }
    let mut bench = Bench::start(Config { autoconfigure: false, ..AUTOMATIC });
    bench.run_to(3);
    bench.arrive(&good);
    bench.run_to(6);
    assert_eq!((automatic(&bench), bench.ip.counters.routers_asked.get()), (None, 0));
}

#[test]
fn what_a_router_says_of_the_link_has_limits() {
    for (mtu, expected) in
        [(1280, 1280), (1400, 1400), (1279, 1500), (9000, 1500), (u32::MAX, 1500)]
    {
        let mut bench = Bench::start(AUTOMATIC);
        bench.arrive(&advertisement(&Advertised { mtu, ..GOOD }));
        assert_eq!(bench.ip.mtu(FAR.into()), expected);
    }
    for (hops, expected) in [(0, 64), (1, 64), (255, 255)] {
        let mut bench = Bench::start(AUTOMATIC);
        bench.arrive(&advertisement(&Advertised { hops, ..GOOD }));
        assert_eq!(bench.ip.hop_limit(), expected);
    }
    let mut bench = Bench::start(Config { hop_limit: Some(9), ..AUTOMATIC });
    bench.arrive(&advertisement(&GOOD));
    assert_eq!(bench.ip.hop_limit(), 9);
}

#[test]
fn whoever_asks_for_our_address_is_answered() {
    let mut bench = Bench::new(CONFIG);
    let asker = Ipv6Addr::from_bits(PEER.to_bits() + 7);
    let group = solicited_node(OURS);
    let question = written(&bench, Draft::solicitation(OURS, Some(ROUTER_STATION)), asker, group);
    bench.arrive(&question);
    let [sent] = &bench.sent()[..] else { panic!("one answer") };
    assert_eq!(
        (sent.mac, sent.header.source, sent.header.destination),
        (ROUTER_STATION, OURS, asker)
    );
    assert_eq!(sent.header.hops, 255);
    let Some(Message::Advertisement(answer, options)) = Message::parse(&sent.payload) else {
        panic!("an advertisement: {sent:?}")
    };
    assert!(answer.solicited && answer.replaces && !answer.router);
    assert_eq!((answer.target, options.target()), (OURS, Some(MAC)));
    // Whoever wants to know whether it is taken is told before all.
    let question = written(&bench, Draft::solicitation(OURS, None), Ipv6Addr::UNSPECIFIED, group);
    bench.arrive(&question);
    let sent = bench.sent();
    assert_eq!(short(&sent), [format!("NA {OURS} ff02::1")]);
    assert_eq!(sent[0].payload[4], 0x20, "not solicited, and it replaces");
    // Others' addresses are none of our business.
    let question = written(&bench, Draft::solicitation(PEER, Some(STATION)), asker, group);
    bench.arrive(&question);
    assert!(bench.sent().is_empty());
}

#[test]
fn questions_that_cannot_be_right_are_dropped() {
    let group = solicited_node(OURS);
    let question = |bench: &Bench, target, mac, from, to| {
        written(bench, Draft::solicitation(target, mac), from, to)
    };
    let nobody = Ipv6Addr::UNSPECIFIED;
    let mut bench = Bench::new(CONFIG);
    let mut far = question(&bench, OURS, Some(STATION), PEER, group);
    far[7] = 64;
    let spoiled = [
        far,
        question(&bench, group, Some(STATION), PEER, group),
        question(&bench, OURS, Some(STATION), nobody, group),
        question(&bench, OURS, None, nobody, OURS),
        question(&bench, OURS, Some(STATION), PEER, group)[..60].to_vec(),
    ];
    for bytes in &spoiled {
        bench.arrive(bytes);
    }
    assert!(bench.sent().is_empty());
    let c = bench.ip.counters;
    assert_eq!(c.control_bad.get() + c.bad_length.get(), spoiled.len() as u64);
    assert_eq!(c.solicitations.get(), 0);
}

#[test]
fn answers_that_cannot_be_right_are_dropped() {
    let group = solicited_node(OURS);
    let nobody = Ipv6Addr::UNSPECIFIED;
    let moved = |target, asked| Draft::advertisement(target, false, asked, ROUTER_STATION);
    let mut bench = Bench::new(CONFIG);
    let mut far = written(&bench, moved(PEER, true), PEER, OURS);
    far[7] = 64;
    let mut code = written(&bench, moved(PEER, true), PEER, OURS)[40..].to_vec();
    code[1] = 1;
    let spoiled = [
        far,
        message(PEER, OURS, &code),
        written(&bench, moved(PEER, true), PEER, ALL_NODES),
        written(&bench, moved(PEER, false), nobody, ALL_NODES),
        written(&bench, moved(group, false), PEER, ALL_NODES),
        written(&bench, moved(PEER, true), PEER, OURS)[..60].to_vec(),
    ];
    for bytes in &spoiled {
        bench.arrive(bytes);
    }
    let c = bench.ip.counters;
    assert_eq!(c.control_bad.get() + c.bad_length.get(), spoiled.len() as u64);
    bench.send(Protocol::UDP, PEER, b"12345678");
    assert_eq!(bench.sent()[0].mac, STATION, "it has not moved");
}

#[test]
fn an_address_that_another_host_has_is_not_used() {
    for wants_it_too in [false, true] {
        let mut bench = Bench::start(CONFIG);
        let bytes = if wants_it_too {
            let draft = Draft::solicitation(OURS, None);
            written(&bench, draft, Ipv6Addr::UNSPECIFIED, solicited_node(OURS))
        } else {
            written(&bench, Draft::advertisement(OURS, false, false, STATION), OURS, ALL_NODES)
        };
        bench.arrive(&bytes);
        bench.run_to(10);
        assert_eq!(bench.used(), [LOCAL]);
        assert_eq!(bench.ip.counters.duplicates.get(), 1);
        // Once it is in use, others can not take it away.
        let mut bench = Bench::new(CONFIG);
        bench.arrive(&bytes);
        bench.run_to(20);
        assert_eq!(bench.used(), [LOCAL, OURS]);
    }
}

#[test]
fn a_stable_identifier_gives_way_to_another() {
    let mut bench = Bench::start(Config { identifiers: Identifiers::Stable, ..AUTOMATIC });
    bench.run_to(0);
    let first = bench.ip.addresses.iter().next().unwrap().address;
    assert_ne!(first, LOCAL);
    bench.arrive(&written(
        &bench,
        Draft::advertisement(first, false, false, STATION),
        first,
        ALL_NODES,
    ));
    bench.run_to(3);
    let [second] = bench.used()[..] else { panic!("one address") };
    assert!(second.is_unicast_link_local() && second != first);
}

#[test]
fn a_neighbour_is_asked_for_and_what_waits_goes_to_it() {
    let mut bench = Bench::new(CONFIG);
    let other = Ipv6Addr::from_bits(PEER.to_bits() + 1);
    for payload in [b"8 bytes1", b"8 bytes2"] {
        bench.send(Protocol::UDP, other, payload);
    }
    bench.sweep();
    let sent = bench.sent();
    assert_eq!(short(&sent), [format!("NS {OURS} {}", solicited_node(other))]);
    let Some(Message::Solicitation(target, options)) = Message::parse(&sent[0].payload) else {
        panic!("a solicitation")
    };
    assert_eq!((target, options.source()), (other, Some(MAC)));
    let answer =
        written(&bench, Draft::advertisement(other, false, true, ROUTER_STATION), other, OURS);
    bench.arrive(&answer);
    let sent = bench.sent();
    let went: Vec<_> = sent.iter().map(|it| (it.mac, &it.payload[..])).collect();
    assert_eq!(went, [(ROUTER_STATION, &b"8 bytes1"[..]), (ROUTER_STATION, b"8 bytes2")]);
    // And the next ones at once, by the fast path.
    bench.send(Protocol::UDP, other, b"8 bytes3");
    assert_eq!(bench.sent().len(), 1);
}

#[test]
fn a_neighbour_that_does_not_answer_is_told_to_the_transport() {
    let mut bench = Bench::new(CONFIG);
    let other = Ipv6Addr::from_bits(PEER.to_bits() + 1);
    bench.send(Protocol::TCP, other, b"8 bytes and more");
    bench.run_to(12);
    assert!(bench.ip.path_error(Protocol::TCP).is_none());
    bench.run_to(14);
    let expected = PathError {
        kind: PathErrorKind::Unreachable(3),
        local: OURS.into(),
        remote: other.into(),
        header: *b"8 bytes ",
    };
    assert_eq!(bench.ip.path_error(Protocol::TCP), Some(expected));
    assert_eq!(bench.cx.pool().available() + bench.sent().len(), bench.cx.pool().count());
}

#[test]
fn a_router_that_vanishes_is_replaced_by_another() {
    let mut bench = Bench::start(AUTOMATIC);
    bench.run_to(3);
    bench.arrive(&advertisement(&GOOD));
    bench.run_to(6);
    bench.ip.routers.heard(GATEWAY, 1800, 0, bench.ip.now);
    bench.ip.neighbours.spoke(GATEWAY, STATION, true, bench.ip.now);
    bench.ip.refresh();
    bench.sent();
    let mut stations = Vec::new();
    for second in 7..60 {
        bench.run_to(second);
        bench.send(Protocol::UDP, FAR, b"12345678");
        stations
            .extend(bench.sent().into_iter().filter(|it| it.header.next == 17).map(|it| it.mac));
        // The second one answers questions, the first one does not.
        let answer =
            written(&bench, Draft::advertisement(GATEWAY, false, true, STATION), GATEWAY, LOCAL);
        let mut router = answer[40..].to_vec();
        router[4] |= 0x80;
        bench.arrive(&message(GATEWAY, LOCAL, &router));
        bench.sent();
    }
    assert_eq!(stations.first(), Some(&ROUTER_STATION));
    assert_eq!(stations.last(), Some(&STATION));
    let changes = stations.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert_eq!(changes, 1, "{stations:?}");
}

#[test]
fn redirects_are_followed_only_from_the_router_that_is_used() {
    let redirect = |from: Ipv6Addr, target: Ipv6Addr, destination: Ipv6Addr| {
        let mut bytes = vec![137, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend(target.octets());
        bytes.extend(destination.octets());
        bytes.extend([2, 1]);
        bytes.extend(ROUTER_STATION.0);
        message(from, OURS, &bytes)
    };
    let global = Ipv6Addr::new(0x2001, 0xdb8, 5, 5, 0, 0, 0, 5);
    let cases = [
        ("another router", redirect(GATEWAY, ROUTER, FAR), true),
        ("the destination itself", redirect(GATEWAY, FAR, FAR), true),
        ("not from our router", redirect(ROUTER, ROUTER, FAR), false),
        ("a hop that is not on the link", redirect(GATEWAY, global, FAR), false),
        ("a group", redirect(GATEWAY, ROUTER, ALL_NODES), false),
    ];
    for (name, bytes, followed) in cases {
        let mut bench = Bench::new(CONFIG);
        bench.arrive(&bytes);
        bench.send(Protocol::UDP, FAR, b"12345678");
        let sent = bench.sent();
        let expected = if followed { ROUTER_STATION } else { STATION };
        assert_eq!(sent[0].mac, expected, "{name}");
        assert_eq!(bench.ip.counters.redirects.get(), u64::from(followed), "{name}");
    }
    let mut bench = Bench::new(Config { redirects: false, ..CONFIG });
    bench.arrive(&redirect(GATEWAY, ROUTER, FAR));
    bench.send(Protocol::UDP, FAR, b"12345678");
    assert_eq!(bench.sent()[0].mac, STATION);
}

/// What `router` says when it is one no longer, while it has its address still.
fn retired(router: Ipv6Addr) -> Vec<u8> {
    let mut bytes = vec![136, 0, 0, 0, 0x60, 0, 0, 0];
    bytes.extend(router.octets());
    message(router, OURS, &bytes)
}

#[test]
fn a_router_is_one_whether_it_names_its_station_or_not_until_it_says_so() {
    // An advertisement without options.
    let mut bench = Bench::new(CONFIG);
    bench.ip.neighbours.spoke(ROUTER, ROUTER_STATION, false, bench.ip.now);
    let bytes = [134, 0, 0, 0, 64, 0, 0, 99, 0, 0, 0, 0, 0, 0, 0, 0];
    bench.arrive(&message(ROUTER, ALL_NODES, &bytes));
    let before = bench.ip.routers.len();
    bench.arrive(&retired(ROUTER));
    assert_eq!(bench.ip.routers.len(), before - 1);
    // A redirect without options.
    let mut bench = Bench::new(CONFIG);
    bench.ip.neighbours.spoke(ROUTER, ROUTER_STATION, false, bench.ip.now);
    let mut bytes = vec![137, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend(ROUTER.octets());
    bytes.extend(FAR.octets());
    bench.arrive(&message(GATEWAY, OURS, &bytes));
    assert_eq!(bench.ip.routers.redirected(FAR), Some(ROUTER));
    bench.arrive(&retired(ROUTER));
    assert_eq!(bench.ip.routers.redirected(FAR), None);
}

#[test]
fn a_time_for_answers_is_read_as_it_is_meant() {
    for (code, delay) in
        [(0, 0), (1000, 1000), (0x7fff, 32_767), (0x8000, 32_768), (0xffff, 8_387_584)]
    {
        let [c0, c1] = u16::to_be_bytes(code);
        let head = [130, 0, 0, 0, c0, c1, 0, 0];
        let query: Vec<u8> = head.into_iter().chain([0; 20]).collect();
        let Some(Message::Query(query)) = Message::parse(&query) else { panic!("{code}") };
        assert_eq!((query.delay, query.old), (delay, false), "{code:x}");
    }
}

#[test]
fn a_question_for_groups_is_answered_with_ours() {
    let mut bench = Bench::new(CONFIG);
    let query = [130, 0, 0, 0, 3, 232, 0, 0].into_iter().chain([0; 16]).chain([2, 125, 0, 0]);
    let query: Vec<u8> = query.collect();
    let mut bytes = message(ROUTER, ALL_NODES, &query);
    // Hop limit 1, and a router alert in a hop-by-hop header.
    bytes.splice(40..40, [58, 0, 5, 2, 0, 0, 1, 0]);
    (bytes[5], bytes[6], bytes[7]) = (bytes[5] + 8, 0, 1);
    for (hops, answers) in [(2, 0), (1, 1)] {
        bytes[7] = hops;
        bench.arrive(&bytes);
        let second = bench.cx.now().as_nanos() / 1_000_000_000;
        bench.run_to(second + 2);
        let reports: Vec<_> = bench.sent().into_iter().filter(|it| it.header.next == 0).collect();
        assert_eq!(reports.len(), answers, "hop limit {hops}");
        if let Some(report) = reports.first() {
            assert_eq!(report.header.source, LOCAL);
            // Both addresses end alike, so they have one group.
            assert_eq!(report.payload[14..17], [0, 1, 2], "one group, all sources");
        }
    }
}

#[test]
fn a_link_that_comes_back_is_asked_everything_anew() {
    let mut bench = Bench::new(CONFIG);
    bench.link.up = false;
    bench.sweep();
    assert_eq!(bench.deadline(), Instant::NEVER);
    bench.run_to(20);
    assert!(bench.sent().is_empty());
    bench.link.up = true;
    bench.sweep();
    bench.run_to(20);
    assert_eq!(bench.used(), [] as [Ipv6Addr; 0], "others may have them now");
    bench.run_to(25);
    assert_eq!(bench.used(), [LOCAL, OURS]);
    let asked = bench.sent();
    assert!(short(&asked).iter().any(|line| line.starts_with("RS")));
}

#[test]
fn without_a_link_at_the_start_nothing_is_said() {
    let mut cx = testing::context(64, 1);
    let mut link =
        Link { arriving: VecDeque::new(), sent: VecDeque::new(), room: 9, up: false, leads: true };
    let mut ip = Ipv6::new(&CONFIG, &mut cx);
    ip.init(&mut link, &mut cx).unwrap();
    let mut bench = Bench { ip, link, cx };
    bench.run_to(10);
    assert!(bench.sent().is_empty());
    bench.link.up = true;
    bench.sweep();
    bench.run_to(20);
    assert_eq!(bench.used(), [LOCAL, OURS]);
}

#[test]
fn a_manifest_that_cannot_be_right_is_refused() {
    let refuse = |config: Config| {
        let mut cx = testing::context(8, 1);
        let mut link = Link {
            arriving: VecDeque::new(),
            sent: VecDeque::new(),
            room: 9,
            up: true,
            leads: true,
        };
        let mut ip = Ipv6::new(Box::leak(Box::new(config)), &mut cx);
        ip.init(&mut link, &mut cx).is_err()
    };
    assert!(!refuse(CONFIG));
    assert!(refuse(Config { addresses: &[(ALL_NODES, 64)], ..CONFIG }));
    assert!(refuse(Config { addresses: &[(OURS, 0)], ..CONFIG }));
    assert!(refuse(Config { addresses: &[(OURS, 64); 9], ..CONFIG }));
    assert!(refuse(Config { gateway: Some(OURS), ..CONFIG }));
    assert!(refuse(Config { gateway: Some(ALL_NODES), ..CONFIG }));
}

#[test]
fn while_there_is_no_packet_nothing_is_lost() {
    let mut bench = Bench::start(AUTOMATIC);
    let all: Vec<_> = core::iter::from_fn(|| bench.cx.packet()).collect();
    bench.run_to(3);
    bench.link.sent.clear();
    drop(all);
    bench.run_to(6);
    assert_eq!(bench.used(), [LOCAL]);
}

#[test]
fn on_several_cores_the_first_one_speaks_and_all_know_the_same() {
    let config = || Config { identifiers: Identifiers::Stable, ..AUTOMATIC };
    let mut contexts = testing::contexts(2, &testing::Nothing, 256, 1);
    let mut cores = [(); 2].map(|()| Bench::start_on(contexts.next().unwrap(), config()));
    let first = cores[0].ip.addresses.iter().next().unwrap().address;
    let theirs =
        written(&cores[0], Draft::advertisement(first, false, false, STATION), first, ALL_NODES);
    for bench in &mut cores {
        bench.arrive(&theirs);
        bench.run_to(3);
        bench.arrive(&advertisement(&GOOD));
        bench.run_to(6);
    }
    let used = cores[0].used();
    assert_eq!((used.len(), cores[1].used()), (2, used.clone()));
    assert!(!used.contains(&first));
    let question = Draft::solicitation(used[0], Some(STATION));
    let question = written(&cores[0], question, PEER, solicited_node(used[0]));
    for bench in &mut cores {
        bench.arrive(&question);
    }
    assert!(!cores[0].sent().is_empty());
    assert_eq!(cores[1].sent(), [], "the other one says nothing");
    // But both find their way.
    for bench in &mut cores {
        bench.send(Protocol::UDP, FAR, b"12345678");
        assert_eq!(bench.sent().first().map(|it| it.mac), Some(ROUTER_STATION));
    }
}
