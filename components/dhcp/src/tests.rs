//! The client, lent a fake UDP and a fake IP layer. A test reads like a trace: what is asked, what
//! is answered, what IP is told.

extern crate std;

use super::*;
use std::boxed::Box;
use std::collections::VecDeque;
use std::vec;
use std::vec::Vec;
use waitless::{BindError, Ipv4Configuration, Mac, Offloads, PathError, Protocol, Reject, testing};

const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 1);
const NONE: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const ALL: Ipv4Addr = Ipv4Addr::BROADCAST;

const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const DECLINE: u8 = 4;
const ACK: u8 = 5;
const NAK: u8 = 6;

const CONFIG: Config = Config { hostname: None, retry: Duration::from_secs(4) };

#[derive(Default)]
struct Udp {
    arriving: VecDeque<Packet>,
    sent: VecDeque<Packet>,
    full: bool,
    taken: bool,
}

impl UdpPort for Udp {
    fn bind(&mut self, port: u16) -> Result<Socket, BindError> {
        assert_eq!(port, 68);
        if self.taken { Err(BindError::Taken) } else { Ok(Socket(3)) }
    }

    fn recv(&mut self, socket: Socket) -> Option<Packet> {
        assert_eq!(socket, Socket(3));
        self.arriving.pop_front()
    }

    fn send(&mut self, socket: Socket, datagram: Packet) -> Result<(), Packet> {
        assert_eq!(socket, Socket(3));
        if self.full {
            return Err(datagram);
        }
        self.sent.push_back(datagram);
        Ok(())
    }

    fn local_port(&self, _: Socket) -> u16 {
        68
    }
}

struct Ip {
    settings: Option<Ipv4Configuration>,
    wants: bool,
    up: bool,
    conflict: bool,
}

impl IpPort for Ip {
    fn recv(&mut self, _: Protocol) -> Option<Packet> {
        None
    }

    fn send(&mut self, _: Protocol, packet: Packet) -> Result<(), Packet> {
        Err(packet)
    }

    fn room(&self) -> usize {
        0
    }

    fn source_for(&self, _: IpAddr) -> Option<IpAddr> {
        None
    }

    fn is_local(&self, _: IpAddr) -> bool {
        false
    }

    fn is_broadcast(&self, _: IpAddr) -> bool {
        false
    }

    fn mtu(&self, _: IpAddr) -> u16 {
        1500
    }

    fn offloads(&self) -> Offloads {
        Offloads::default()
    }

    fn reject(&mut self, _: Protocol, _: Packet, _: Reject) {}

    fn rejected(&mut self) -> Option<(Packet, Reject)> {
        None
    }

    fn report(&mut self, _: Protocol, _: PathError) {}

    fn path_error(&mut self, _: Protocol) -> Option<PathError> {
        None
    }

    fn wants_address(&self) -> bool {
        self.wants
    }

    fn configure(&mut self, configuration: Option<Ipv4Configuration>) {
        self.settings = configuration;
        self.conflict &= configuration.is_some();
    }

    fn configuration(&self) -> Option<&Ipv4Configuration> {
        self.settings.as_ref()
    }

    fn claim_state(&self) -> ClaimState {
        match (self.conflict, self.settings) {
            (true, _) => ClaimState::Conflict(Mac([2, 0, 0, 0, 0, 9])),
            (false, Some(_)) => ClaimState::Owned,
            (false, None) => ClaimState::None,
        }
    }

    fn generation(&self) -> u32 {
        0
    }

    fn mac(&self) -> Mac {
        MAC
    }

    fn link_up(&self) -> bool {
        self.up
    }
}

struct Bench {
    dhcp: Dhcp,
    udp: Udp,
    ip: Ip,
    cx: Context,
}

/// What the client asked: the kind, to whom, and what it says of addresses.
#[derive(PartialEq, Debug)]
struct Asked {
    kind: u8,
    to: Ipv4Addr,
    current: Ipv4Addr,
    requested: Option<Ipv4Addr>,
    server: Option<Ipv4Addr>,
}

const ASKED: Asked =
    Asked { kind: DISCOVER, to: ALL, current: NONE, requested: None, server: None };

/// A server's message: the options beside its kind, and where they stand.
struct Said {
    kind: u8,
    address: Ipv4Addr,
    server: Option<Ipv4Addr>,
    options: Vec<u8>,
    bytes: Vec<u8>,
}

impl Said {
    fn new(kind: u8) -> Self {
        Self { kind, address: ADDRESS, server: Some(SERVER), options: vec![], bytes: vec![] }
    }

    /// A grant for an hour in a /24 with a router.
    fn grant(kind: u8) -> Self {
        Self::new(kind)
            .with(1, &[255, 255, 255, 0])
            .with(3, &ROUTER.octets())
            .with(51, &3600u32.to_be_bytes())
    }

    fn address(self, address: Ipv4Addr) -> Self {
        Self { address, ..self }
    }

    fn server(self, server: Option<Ipv4Addr>) -> Self {
        Self { server, ..self }
    }

    fn with(mut self, code: u8, value: &[u8]) -> Self {
        self.options.extend_from_slice(&[code, value.len() as u8]);
        self.options.extend_from_slice(value);
        self
    }

    fn bytes(&self, transaction: u32) -> Vec<u8> {
        let mut bytes = vec![0; 240];
        bytes[..3].copy_from_slice(&[2, 1, 6]);
        bytes[4..8].copy_from_slice(&transaction.to_be_bytes());
        bytes[16..20].copy_from_slice(&self.address.octets());
        bytes[28..34].copy_from_slice(&MAC.0);
        bytes[236..].copy_from_slice(&[99, 130, 83, 99]);
        for (at, byte) in self.bytes.iter().enumerate() {
            bytes[108 + at] = *byte;
        }
        bytes.extend_from_slice(&[53, 1, self.kind]);
        if let Some(server) = self.server {
            bytes.extend_from_slice(&[54, 4]);
            bytes.extend_from_slice(&server.octets());
        }
        bytes.extend_from_slice(&self.options);
        bytes.push(255);
        bytes
    }
}

impl Bench {
    fn new() -> Self {
        let mut cx = testing::context(16, 1);
        let dhcp = Dhcp::new(&CONFIG, &mut cx);
        let ip = Ip { settings: None, wants: true, up: true, conflict: false };
        let mut bench = Self { dhcp, udp: Udp::default(), ip, cx };
        bench.init().unwrap();
        bench
    }

    fn init(&mut self) -> Result<(), InitError> {
        self.dhcp.init(&mut (&mut self.udp, &mut self.ip), &mut self.cx)
    }

    /// A client that has a lease for an hour, at instant zero.
    fn bound() -> Self {
        let mut bench = Self::new();
        bench.sweep();
        bench.say(Said::grant(OFFER));
        bench.say(Said::grant(ACK));
        bench.udp.sent.clear();
        assert!(matches!(bench.dhcp.state, State::Bound(_)));
        bench
    }

    fn sweep(&mut self) {
        self.dhcp.receive(&mut (&mut self.udp, &mut self.ip), &mut self.cx);
        self.dhcp.transmit(&mut (&mut self.udp, &mut self.ip), &mut self.cx);
    }

    fn say(&mut self, said: Said) {
        self.arrive(&said.bytes(self.dhcp.transaction));
    }

    fn arrive(&mut self, bytes: &[u8]) {
        let mut packet = self.cx.packet().unwrap();
        packet.append(bytes).unwrap();
        packet.info_mut().remote_port = 67;
        self.udp.arriving.push_back(packet);
        self.sweep();
    }

    fn deadline(&self) -> Instant {
        Component::<(&mut Udp, &mut Ip)>::deadline(&self.dhcp)
    }

    /// Goes on to the next deadline; how many seconds after the start that is.
    fn next(&mut self) -> f64 {
        self.cx.set_now(self.deadline());
        self.sweep();
        self.cx.now().as_nanos() as f64 / 1e9
    }

    fn run_to(&mut self, secs: u64) {
        let end = Instant::ZERO + Duration::from_secs(secs);
        while self.deadline() < end {
            self.cx.set_now(self.deadline());
            self.sweep();
        }
        self.cx.set_now(end);
        self.sweep();
    }

    fn message(&mut self) -> Vec<u8> {
        self.udp.sent.pop_front().unwrap().bytes().to_vec()
    }

    fn asked(&mut self) -> Asked {
        let packet = self.udp.sent.pop_front().expect("nothing was asked");
        assert_eq!(packet.info().remote_port, 67);
        let IpAddr::V4(to) = packet.info().remote else { panic!("IPv6") };
        let bytes = packet.bytes();
        assert!(bytes.len() >= 300);
        assert_eq!(bytes[..4], [1, 1, 6, 0]);
        assert_eq!(bytes[28..34], MAC.0);
        assert_eq!(option(bytes, 61).unwrap(), [&[1][..], &MAC.0].concat());
        let address = |code| {
            option(bytes, code).map(|value| Ipv4Addr::from(<[u8; 4]>::try_from(value).unwrap()))
        };
        let current = Ipv4Addr::new(bytes[12], bytes[13], bytes[14], bytes[15]);
        let (kind, requested, server) = (option(bytes, 53).unwrap()[0], address(50), address(54));
        Asked { kind, to, current, requested, server }
    }

    fn asks_nothing(&self) -> bool {
        self.udp.sent.is_empty()
    }

    fn accounted(&self) -> u64 {
        let c = self.dhcp.counters;
        let reasons = [&c.offers, &c.acks, &c.naks, &c.foreign, &c.malformed, &c.unexpected];
        reasons.iter().map(|counter| counter.get()).sum()
    }
}

fn option(bytes: &[u8], wanted: u8) -> Option<&[u8]> {
    let mut at = 240;
    while bytes[at] != 255 {
        let length = usize::from(bytes[at + 1]);
        if bytes[at] == wanted {
            return Some(&bytes[at + 2..at + 2 + length]);
        }
        at += 2 + length;
    }
    None
}

#[test]
fn an_address_is_asked_for_offered_requested_and_granted() {
    let mut bench = Bench::new();
    bench.sweep();
    assert_eq!(bench.asked(), ASKED);
    bench.say(Said::grant(OFFER));
    let request = Asked { kind: REQUEST, requested: Some(ADDRESS), server: Some(SERVER), ..ASKED };
    assert_eq!(bench.asked(), request);
    assert_eq!(bench.ip.settings, None, "an offer is no grant");
    bench.say(Said::grant(ACK).with(6, &[1, 1, 1, 1, 8, 8, 8, 8]).with(26, &[5, 180]));
    let dns = [Ipv4Addr::new(1, 1, 1, 1), Ipv4Addr::new(8, 8, 8, 8), NONE];
    let (gateway, routes) = (Some(ROUTER), &[][..]);
    let expected =
        Ipv4Configuration { address: ADDRESS, prefix: 24, gateway, dns, mtu: 1460, routes };
    assert_eq!(bench.ip.settings, Some(expected));
    assert_eq!(bench.cx.now(), Instant::ZERO, "without any waiting");
    assert!(bench.asks_nothing());
}

#[test]
fn it_sleeps_where_the_manifest_gives_the_address() {
    let mut bench = Bench::new();
    bench.ip.wants = false;
    bench.dhcp = Dhcp::new(&CONFIG, &mut bench.cx);
    bench.udp.taken = true; // is not even bound
    bench.init().unwrap();
    bench.sweep();
    assert!(bench.asks_nothing());
    assert_eq!(bench.deadline(), Instant::NEVER);
    bench.ip.wants = true;
    assert!(bench.init().is_err(), "somebody has the port");
}

#[test]
fn it_asks_ever_more_slowly_and_by_broadcast() {
    let mut bench = Bench::new();
    bench.sweep();
    let mut last = 0.0;
    for (number, wait) in [4.0, 8.0, 16.0, 32.0, 64.0, 64.0, 64.0].into_iter().enumerate() {
        let message = bench.message();
        let flags = u16::from_be_bytes([message[10], message[11]]);
        assert_eq!(flags, if number < 2 { 0 } else { 0x8000 });
        let secs = u16::from_be_bytes([message[8], message[9]]);
        assert_eq!(secs, last as u16);
        let now = bench.next();
        assert!((now - last - wait).abs() <= 1.0, "{} instead of {wait}", now - last);
        last = now;
    }
    assert!(bench.dhcp.said);
    bench.say(Said::grant(OFFER));
    bench.say(Said::grant(ACK));
    assert!(bench.ip.settings.is_some());
    let State::Bound(lease) = bench.dhcp.state else { panic!() };
    assert_eq!(lease.end, bench.cx.now() + Duration::from_secs(3600), "from the request on");
}

#[test]
fn an_offer_that_is_not_kept_is_given_up() {
    let mut bench = Bench::new();
    bench.sweep();
    bench.say(Said::grant(OFFER));
    let first = bench.dhcp.transaction;
    bench.run_to(90);
    let kinds: Vec<_> =
        core::iter::from_fn(|| (!bench.asks_nothing()).then(|| bench.asked().kind)).collect();
    assert_eq!(kinds[..6], [DISCOVER, REQUEST, REQUEST, REQUEST, REQUEST, DISCOVER]);
    assert_ne!(bench.dhcp.transaction, first);
}

#[test]
fn a_refused_request_starts_over_at_once_and_then_more_slowly() {
    let mut bench = Bench::new();
    bench.sweep();
    for (refusals, wait) in [0.0, 2.0, 4.0, 8.0].into_iter().enumerate() {
        assert_eq!(bench.asked(), ASKED, "{refusals}");
        bench.say(Said::grant(OFFER));
        assert_eq!(bench.asked().kind, REQUEST);
        let before = bench.cx.now().as_nanos() as f64 / 1e9;
        bench.say(Said::new(NAK));
        if wait > 0.0 {
            assert!(bench.asks_nothing());
            assert_eq!(bench.next(), before + wait);
        }
    }
    assert_eq!(bench.asked(), ASKED);
}

#[test]
fn a_lease_is_renewed_by_its_server() {
    let mut bench = Bench::bound();
    let at = bench.next();
    assert!((1687.0..=1800.0).contains(&at), "T1, less a little: {at}");
    let renew = Asked { kind: REQUEST, to: SERVER, current: ADDRESS, ..ASKED };
    assert_eq!(bench.asked(), renew);
    assert!(bench.ip.settings.is_some());
    bench.say(Said::grant(ACK).with(58, &600u32.to_be_bytes()).with(59, &900u32.to_be_bytes()));
    let later = bench.next();
    assert!((at + 562.0..=at + 600.0).contains(&later), "as the server wants it: {later}");
    assert_eq!(bench.asked(), renew);
}

#[test]
fn a_lease_that_nobody_renews_ends() {
    let mut bench = Bench::bound();
    let mut asked = vec![];
    loop {
        let at = bench.next();
        if bench.ip.settings.is_none() {
            break;
        }
        while !bench.asks_nothing() {
            let message = bench.asked();
            assert_eq!((message.kind, message.current), (REQUEST, ADDRESS));
            asked.push((at as u64, message.to));
        }
    }
    assert_eq!(bench.asked(), ASKED);
    assert_eq!(bench.cx.now(), Instant::ZERO + Duration::from_secs(3600));
    let patient = |pair: &[(u64, Ipv4Addr)]| pair[1].0 - pair[0].0 >= 60 || pair[0].1 != pair[1].1;
    assert!(asked.windows(2).all(patient), "{asked:?}");
    let rebinding: Vec<_> = asked.iter().filter(|(_, to)| *to == ALL).collect();
    assert_eq!(rebinding[0].0, 3150, "T2");
    assert_eq!(bench.dhcp.counters.expired.get(), 1);
}

#[test]
fn any_server_may_renew_when_its_own_is_gone() {
    let mut bench = Bench::bound();
    bench.run_to(3200);
    bench.udp.sent.clear();
    bench.say(Said::grant(ACK).server(Some(OTHER)));
    let State::Bound(lease) = bench.dhcp.state else { panic!() };
    assert_eq!(lease.server, OTHER);
    assert!(lease.end > Instant::ZERO + Duration::from_secs(6700));
}

#[test]
fn a_lease_without_end_is_never_renewed() {
    let mut bench = Bench::new();
    bench.sweep();
    bench.say(Said::grant(OFFER));
    bench.say(Said::new(ACK).with(51, &[0xff; 4]));
    assert!(bench.ip.settings.is_some());
    assert_eq!(bench.deadline(), Instant::NEVER);
}

#[test]
fn a_refused_renewal_takes_the_address_away() {
    let mut bench = Bench::bound();
    bench.next();
    bench.asked();
    bench.say(Said::new(NAK));
    assert_eq!(bench.ip.settings, None);
    assert_eq!(bench.asked(), ASKED);
}

#[test]
fn an_address_that_another_host_has_is_declined() {
    let mut bench = Bench::bound();
    bench.ip.conflict = true;
    bench.sweep();
    let decline = Asked { kind: DECLINE, requested: Some(ADDRESS), server: Some(SERVER), ..ASKED };
    assert_eq!(bench.asked(), decline);
    assert_eq!(bench.ip.settings, None);
    assert_eq!(bench.next(), 10.0);
    assert_eq!(bench.asked(), ASKED);
    // RFC 2131 table 5: neither the time nor how to answer, which nobody does.
    let mut bench = Bench::bound();
    bench.dhcp.broadcast = true;
    bench.cx.set_now(Instant::ZERO + Duration::from_secs(100));
    bench.ip.conflict = true;
    bench.sweep();
    assert_eq!(bench.message()[8..12], [0; 4]);
}

#[test]
fn a_server_may_answer_from_any_port_and_the_first_option_of_a_kind_counts() {
    let mut bench = Bench::new();
    bench.sweep();
    let mut packet = bench.cx.packet().unwrap();
    let offer = Said::grant(OFFER).with(53, &[ACK]).with(51, &[0, 0, 0, 1]);
    packet.append(&offer.bytes(bench.dhcp.transaction)).unwrap();
    packet.info_mut().remote_port = 40_000;
    bench.udp.arriving.push_back(packet);
    bench.sweep();
    assert!(matches!(bench.dhcp.state, State::Requesting(..)));
}

#[test]
fn a_long_first_wait_does_not_make_the_others_longer_than_they_may_be() {
    const SLOW: Config = Config { retry: Duration::from_secs(10), ..CONFIG };
    let mut bench = Bench::new();
    bench.dhcp.config = &SLOW;
    bench.sweep();
    let times: Vec<_> = (0..6).map(|_| bench.next()).collect();
    let waits = times.windows(2).map(|pair| pair[1] - pair[0]);
    for (wait, expected) in waits.zip([20.0, 40.0, 64.0, 64.0, 64.0]) {
        assert!((expected - 1.1..=expected + 1.1).contains(&wait), "{wait} {expected}");
    }
}

#[test]
fn when_the_link_comes_back_the_lease_is_checked() {
    let reboot = Asked { kind: REQUEST, requested: Some(ADDRESS), ..ASKED };
    let back = || {
        let mut bench = Bench::bound();
        bench.ip.up = false;
        bench.sweep();
        bench.ip.up = true;
        bench.sweep();
        assert_eq!(bench.asked(), reboot);
        assert!(bench.ip.settings.is_some());
        bench
    };
    let mut bench = back();
    bench.say(Said::grant(ACK));
    assert!(matches!(bench.dhcp.state, State::Bound(_)));
    let mut bench = back();
    bench.say(Said::new(NAK));
    assert_eq!(bench.ip.settings, None);
    let mut bench = back();
    bench.run_to(60);
    assert_eq!(bench.asked(), reboot);
    assert!(matches!(bench.dhcp.state, State::Bound(_)), "nobody objects");
}

#[test]
fn a_lease_ends_while_the_link_is_down_too() {
    let mut bench = Bench::bound();
    bench.ip.up = false;
    bench.sweep();
    assert_eq!(bench.next(), 3600.0);
    assert_eq!(bench.ip.settings, None);
    assert_eq!(bench.deadline(), Instant::NEVER);
    bench.ip.up = true;
    bench.sweep();
    assert_eq!(bench.asked(), ASKED);
}

#[test]
fn without_a_link_nothing_is_asked() {
    let mut bench = Bench::new();
    bench.ip.up = false;
    bench.sweep();
    assert!(bench.asks_nothing());
    assert_eq!(bench.deadline(), Instant::NEVER);
    bench.ip.up = true;
    bench.sweep();
    assert_eq!(bench.asked(), ASKED);
}

#[test]
fn without_room_it_tries_again_soon() {
    let mut bench = Bench::new();
    bench.udp.full = true;
    bench.sweep();
    assert_eq!(bench.dhcp.counters.delayed.get(), 1);
    bench.udp.full = false;
    assert_eq!(bench.next(), 0.01);
    assert_eq!(bench.asked(), ASKED);
}

#[test]
fn a_server_is_told_the_name_and_asked_for_what_we_need() {
    let mut bench = Bench::new();
    let config = Config { hostname: Some("guest"), ..CONFIG };
    bench.dhcp.config = Box::leak(Box::new(config));
    bench.sweep();
    let message = bench.message();
    assert_eq!(option(&message, 12).unwrap(), b"guest");
    assert_eq!(option(&message, 55).unwrap(), [1, 121, 3, 6, 26, 51, 58, 59]);
    let config = Config { hostname: Some(""), ..CONFIG };
    bench.dhcp.config = Box::leak(Box::new(config));
    assert!(bench.init().is_err());
}

#[test]
fn options_say_the_network() {
    let gce_router = Ipv4Addr::new(10, 128, 0, 1);
    let routes = [
        &[32, 10, 128, 0, 1, 0, 0, 0, 0][..],
        &[0, 10, 128, 0, 1],
        &[24, 192, 168, 7, 10, 0, 0, 9],
    ];
    let grant = || Said::new(ACK).with(51, &3600u32.to_be_bytes());
    let mask = |octets: [u8; 4]| grant().with(1, &octets);
    let cases = [
        (
            "a /32 and routes",
            mask([255; 4]).with(3, &ROUTER.octets()).with(121, &routes.concat()),
            Some((32, Some(gce_router))),
        ),
        (
            "routes without a default",
            mask([255, 255, 0, 0]).with(3, &ROUTER.octets()).with(121, &[8, 10, 1, 2, 3, 4]),
            Some((16, None)),
        ),
        (
            "two routers",
            mask([255, 255, 255, 0]).with(3, &[ROUTER.octets(), OTHER.octets()].concat()),
            Some((24, Some(ROUTER))),
        ),
        ("no router", mask([255, 255, 255, 224]), Some((27, None))),
        ("itself as router", mask([255, 255, 255, 0]).with(3, &ADDRESS.octets()), Some((24, None))),
        ("no mask, class A", grant(), Some((8, None))),
        ("no mask, class C", grant().address(Ipv4Addr::new(192, 168, 0, 9)), Some((24, None))),
        (
            "routes in parts that end within one",
            (0..routes.concat().len())
                .fold(mask([255; 4]).with(3, &ROUTER.octets()), |said, at| {
                    said.with(121, &routes.concat()[at..][..1])
                }),
            Some((32, Some(gce_router))),
        ),
        ("half an address of a router", mask([255; 4]).with(3, &[10, 0]), None),
        ("half a route", mask([255; 4]).with(121, &[0, 10, 128]), None),
        ("a mask with holes", mask([255, 0, 255, 0]), None),
        ("a mask of nothing", mask([0; 4]), None),
        (
            "the network's address",
            mask([255, 255, 255, 240]).address(Ipv4Addr::new(10, 0, 2, 16)),
            None,
        ),
        (
            "everybody's address",
            mask([255, 255, 255, 240]).address(Ipv4Addr::new(10, 0, 2, 31)),
            None,
        ),
        ("both of a network of two", mask([255, 255, 255, 254]), Some((31, None))),
        ("no lease time", Said::new(ACK), None),
        ("a lease of nothing", Said::new(ACK).with(51, &[0; 4]), None),
        ("no address", grant().address(NONE), None),
        ("a group's address", grant().address(Ipv4Addr::new(224, 0, 0, 9)), None),
    ];
    for (what, said, expected) in cases {
        let mut bench = Bench::new();
        bench.sweep();
        bench.say(Said::grant(OFFER));
        bench.say(said);
        let network = bench.ip.settings.map(|settings| (settings.prefix, settings.gateway));
        assert_eq!(network, expected, "{what}");
        assert_eq!(bench.dhcp.counters.malformed.get(), u64::from(expected.is_none()), "{what}");
    }
}

#[test]
fn options_may_go_on_in_the_place_of_the_file() {
    let mut bench = Bench::new();
    bench.sweep();
    bench.say(Said::grant(OFFER));
    let mut said = Said::new(ACK).with(52, &[1]).with(1, &[255, 255, 255, 0]);
    said.bytes = [&[51, 4][..], &3600u32.to_be_bytes(), &[3, 4], &ROUTER.octets(), &[255]].concat();
    bench.say(said);
    assert_eq!(bench.ip.settings.unwrap().gateway, Some(ROUTER));
}

#[test]
fn a_list_may_come_in_parts_that_are_cut_anywhere() {
    let mut bench = Bench::new();
    bench.sweep();
    bench.say(Said::grant(OFFER));
    let mut said = Said::grant(ACK).with(52, &[1]).with(6, &[10, 0]).with(6, &[2, 2, 10, 0, 2]);
    said.bytes = [&[0, 6, 6, 3][..], &ROUTER.octets(), &[10, 9, 255]].concat();
    bench.say(said);
    assert!(bench.ip.settings.is_none(), "the last is cut off");
    let mut said = Said::grant(ACK).with(52, &[1]).with(6, &[10, 0]).with(6, &[2, 2, 10, 0, 2]);
    said.bytes = [&[0, 6, 5, 3][..], &ROUTER.octets(), &[255]].concat();
    bench.say(said);
    assert_eq!(bench.ip.settings.unwrap().dns, [SERVER, OTHER, ROUTER]);
}

#[test]
fn a_lease_is_not_renewed_as_fast_as_the_server_answers() {
    for (t1, t2, lease, renewed) in
        [(0, 1000, 3600, 10), (9, 1000, 3600, 10), (0, 1, 3600, 1800), (0, 7, 8, 4)]
    {
        let mut bench = Bench::new();
        bench.sweep();
        bench.say(Said::grant(OFFER));
        let [t1, t2, lease] = [t1, t2, lease].map(u32::to_be_bytes);
        let granted = Said::new(ACK).with(1, &[255, 255, 255, 0]).with(51, &lease);
        bench.say(granted.with(58, &t1).with(59, &t2));
        let at = bench.next();
        let renewed = f64::from(renewed);
        assert!((renewed * 15.0 / 16.0..=renewed).contains(&at), "{at} instead of {renewed}");
    }
}

#[test]
fn times_out_of_order_are_not_believed() {
    for (t1, t2) in [(3000u32, 2000u32), (10, 4000), (0xffff_ffff, 0xffff_ffff)] {
        let mut bench = Bench::new();
        bench.sweep();
        bench.say(Said::grant(OFFER));
        let (t1, t2) = (t1.to_be_bytes(), t2.to_be_bytes());
        bench.say(Said::grant(ACK).with(58, &t1).with(59, &t2));
        let State::Bound(lease) = bench.dhcp.state else { panic!() };
        assert_eq!(lease.rebind, Instant::ZERO + Duration::from_secs(3150));
    }
}

#[test]
fn what_is_no_answer_is_dropped() {
    type Reason = fn(&Counters) -> &waitless::Counter;
    let good = |transaction| Said::grant(OFFER).bytes(transaction);
    type Change = fn(&mut Vec<u8>);
    let cases: [(&str, Change, Reason); 11] = [
        ("right", |_| {}, |c| &c.offers),
        ("a request", |bytes| bytes[0] = 1, |c| &c.malformed),
        ("not Ethernet", |bytes| bytes[1] = 6, |c| &c.malformed),
        ("no cookie", |bytes| bytes[239] = 0, |c| &c.malformed),
        ("another transaction", |bytes| bytes[7] ^= 1, |c| &c.foreign),
        ("another client", |bytes| bytes[33] ^= 1, |c| &c.foreign),
        ("short", |bytes| bytes.truncate(239), |c| &c.malformed),
        ("no options", |bytes| bytes.truncate(240), |c| &c.malformed),
        ("an option cut", |bytes| bytes.truncate(247), |c| &c.malformed),
        ("an option's length", |bytes| bytes[244] = 3, |c| &c.malformed),
        ("unknown kind", |bytes| bytes[242] = 9, |c| &c.malformed),
    ];
    for (what, change, reason) in cases {
        let mut bench = Bench::new();
        bench.sweep();
        let mut bytes = good(bench.dhcp.transaction);
        change(&mut bytes);
        bench.arrive(&bytes);
        assert_eq!(reason(bench.dhcp.counters).get(), 1, "{what}");
        assert_eq!(bench.accounted(), 1, "{what}");
    }
    let mut bench = Bench::new();
    bench.sweep();
    bench.say(Said::grant(OFFER).server(None));
    assert_eq!(bench.dhcp.counters.malformed.get(), 1, "an offer of nobody");
    bench.say(Said::grant(ACK));
    assert_eq!(bench.dhcp.counters.unexpected.get(), 1, "an answer to no request");
    bench.say(Said::grant(OFFER));
    bench.say(Said::grant(ACK).server(Some(OTHER)));
    assert_eq!(bench.dhcp.counters.unexpected.get(), 2, "an answer of another server");
    assert_eq!(bench.ip.settings, None);
}

#[test]
fn no_message_panics_and_every_message_is_accounted_for() {
    let mut bench = Bench::new();
    let routes = [32, 10, 128, 0, 1, 0, 0, 0, 0, 0, 10, 128, 0, 1];
    for round in 0..20_000u64 {
        let random = |bench: &mut Bench, limit: usize| bench.cx.random.below(limit as u64) as usize;
        let kind = match (bench.dhcp.state, random(&mut bench, 10)) {
            (_, 0) => NAK,
            (State::Selecting, 1..9) => OFFER,
            _ => ACK,
        };
        let said = Said::grant(kind).with(121, &routes).with(6, &[1; 12]).with(52, &[3]);
        let mut bytes = said.bytes(bench.dhcp.transaction);
        for _ in 0..random(&mut bench, 4) {
            // Mostly in the options, and what else can stop a message early rarely.
            let front = if random(&mut bench, 8) == 0 { 0 } else { 240 };
            let at = front + random(&mut bench, bytes.len() - front);
            bytes[at] = bench.cx.random.u32() as u8;
        }
        if random(&mut bench, 8) == 0 {
            let length = random(&mut bench, bytes.len());
            bytes.truncate(length);
        }
        bench.ip.conflict = random(&mut bench, 50) == 0 && bench.ip.settings.is_some();
        bench.ip.up = random(&mut bench, 50) > 0;
        let later = bench.cx.now() + Duration::from_secs(random(&mut bench, 100) as u64);
        bench.cx.set_now(later);
        bench.arrive(&bytes);
        bench.udp.sent.clear();
        assert_eq!(bench.dhcp.counters.received.get(), round + 1);
        assert_eq!(bench.accounted(), round + 1);
        assert!(bench.dhcp.state.lease().is_none() || bench.ip.settings.is_some());
    }
    let c = bench.dhcp.counters;
    let reached = [&c.offers, &c.acks, &c.naks, &c.declined].map(waitless::Counter::get);
    assert!(reached.iter().all(|&count| count > 50), "{reached:?}");
    assert_eq!(bench.cx.pool().available(), 16);
}

#[test]
fn once_answers_are_wanted_by_broadcast_that_stays_so() {
    let mut bench = Bench::new();
    bench.sweep();
    let flags = |message: Vec<u8>| u16::from_be_bytes([message[10], message[11]]);
    assert_eq!(flags(bench.message()), 0);
    bench.next();
    assert_eq!(flags(bench.message()), 0);
    bench.next();
    let discover = bench.message();
    assert_eq!(flags(discover.clone()), 0x8000);
    bench.cx.set_now(bench.cx.now() + Duration::from_secs(2));
    bench.say(Said::grant(OFFER));
    let request = bench.message();
    assert_eq!(request[8..10], discover[8..10], "the same secs");
    assert_eq!(flags(request), 0x8000);
    bench.say(Said::grant(ACK));
    bench.next();
    assert_eq!(flags(bench.message()), 0, "a renewal comes to our address");
}
