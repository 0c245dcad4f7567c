//! UDP, lent a fake IP layer. A test reads like a trace: what arrives, what is delivered, rejected
//! or sent.

extern crate std;

use super::*;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::boxed::Box;
use std::collections::VecDeque;
use std::vec::Vec;
use waitless::packet::CAPACITY;
use waitless::{ClaimState, Ipv4Configuration, Mac, Offloads, PathError, testing};

const OURS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
const ALL: IpAddr = IpAddr::V4(Ipv4Addr::BROADCAST);
const UNREACHABLE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

const CONFIG: Config = Config { sockets: 4, queue: 3 };

/// An IP layer with one address.
#[derive(Default)]
struct Ip {
    arriving: VecDeque<Packet>,
    errors: VecDeque<PathError>,
    sent: VecDeque<Packet>,
    rejected: VecDeque<(Packet, Reject)>,
    offload: bool,
    full: bool,
    settings: Option<Ipv4Configuration>,
    generation: u32,
}

impl IpPort for Ip {
    fn recv(&mut self, protocol: Protocol) -> Option<Packet> {
        assert_eq!(protocol, Protocol::UDP);
        self.arriving.pop_front()
    }

    fn send(&mut self, protocol: Protocol, packet: Packet) -> Result<(), Packet> {
        assert_eq!(protocol, Protocol::UDP);
        self.sent.push_back(packet);
        Ok(())
    }

    fn room(&self) -> usize {
        if self.full { 0 } else { 32 }
    }

    fn source_for(&self, remote: IpAddr) -> Option<IpAddr> {
        (remote != UNREACHABLE).then_some(OURS)
    }

    fn is_local(&self, address: IpAddr) -> bool {
        address == OURS
    }

    fn is_broadcast(&self, address: IpAddr) -> bool {
        address == ALL
    }

    fn mtu(&self, _: IpAddr) -> u16 {
        1500
    }

    fn offloads(&self) -> Offloads {
        Offloads { checksum: self.offload, ..Offloads::default() }
    }

    fn reject(&mut self, protocol: Protocol, packet: Packet, why: Reject) {
        assert_eq!(protocol, Protocol::UDP);
        self.rejected.push_back((packet, why));
    }

    fn rejected(&mut self) -> Option<(Packet, Reject)> {
        None
    }

    fn report(&mut self, _: Protocol, _: PathError) {}

    fn path_error(&mut self, _: Protocol) -> Option<PathError> {
        self.errors.pop_front()
    }

    fn wants_address(&self) -> bool {
        false
    }

    fn configure(&mut self, _: Option<Ipv4Configuration>) {}

    fn configuration(&self) -> Option<&Ipv4Configuration> {
        self.settings.as_ref()
    }

    fn claim_state(&self) -> ClaimState {
        ClaimState::Owned
    }

    fn generation(&self) -> u32 {
        self.generation
    }

    fn mac(&self) -> Mac {
        Mac::default()
    }
}

struct Bench {
    udp: Udp,
    ip: Ip,
    cx: Context,
}

impl Bench {
    fn new() -> Self {
        let mut cx = testing::context(128, 1);
        let mut udp = Udp::new(Box::leak(Box::new(CONFIG)), &mut cx);
        let mut ip = Ip::default();
        udp.init(&mut ip, &mut cx).unwrap();
        Self { udp, ip, cx }
    }

    fn packet(&self, bytes: &[u8]) -> Packet {
        let mut packet = self.cx.packet().unwrap();
        packet.append(bytes).unwrap();
        (packet.info_mut().remote, packet.info_mut().local) = (PEER, OURS);
        packet
    }

    fn arrive(&mut self, bytes: &[u8]) {
        let mut packet = self.packet(bytes);
        let info = packet.info_mut();
        (info.ip_header, info.hops, info.class) = (20, 63, 3);
        self.ip.arriving.push_back(packet);
        self.sweep();
    }

    fn sweep(&mut self) {
        self.udp.receive(&mut self.ip, &mut self.cx);
        self.udp.transmit(&mut self.ip, &mut self.cx);
    }

    fn deadline(&self) -> Instant {
        Component::<Ip>::deadline(&self.udp)
    }

    fn accounted(&self) -> u64 {
        let c = self.udp.counters;
        let reasons =
            [&c.delivered, &c.short, &c.bad_length, &c.bad_checksum, &c.unbound, &c.queue_full];
        reasons.iter().map(|counter| counter.get()).sum()
    }
}

/// A datagram from `PEER`'s port 1000 to our port 7, with a right checksum.
fn datagram(payload: &[u8]) -> Vec<u8> {
    let length = (HEADER + payload.len()) as u16;
    let mut header = Header { source: 1000, destination: 7, length, checksum: 0 };
    let sum = Checksum::new().pseudo(PEER, OURS, 17, length).add(&header.bytes()).add(payload);
    header.checksum = sum.finish();
    [&header.bytes()[..], payload].concat()
}

fn changed(mut bytes: Vec<u8>, at: usize, value: &[u8]) -> Vec<u8> {
    bytes[at..at + value.len()].copy_from_slice(value);
    bytes
}

#[test]
fn datagrams_are_taken_or_dropped_for_a_reason() {
    type Reason = fn(&Counters) -> &waitless::Counter;
    let good = datagram(b"payload");
    let cases: [(&str, Vec<u8>, Reason); 10] = [
        ("right", good.clone(), |c| &c.delivered),
        ("padded", [&good[..], &[9; 3]].concat(), |c| &c.delivered),
        ("empty payload", datagram(b""), |c| &c.delivered),
        ("no checksum", changed(good.clone(), 6, &[0, 0]), |c| &c.delivered),
        ("nothing", Vec::new(), |c| &c.short),
        ("short", good[..7].to_vec(), |c| &c.short),
        ("length below header", changed(good.clone(), 4, &[0, 7]), |c| &c.bad_length),
        ("length beyond packet", changed(good.clone(), 4, &[0, 16]), |c| &c.bad_length),
        ("wrong checksum", changed(good.clone(), 14, b"!"), |c| &c.bad_checksum),
        ("unbound", changed(good.clone(), 2, &[0, 8, 0, 15, 0, 0]), |c| &c.unbound),
    ];
    for (what, bytes, reason) in cases {
        let mut bench = Bench::new();
        let socket = bench.udp.bind(7).unwrap();
        bench.arrive(&bytes);
        assert_eq!(reason(bench.udp.counters).get(), 1, "{what}");
        assert_eq!(bench.accounted(), 1, "{what}");
        let Some(packet) = bench.udp.recv(socket) else { continue };
        let expected: &[u8] = if what == "empty payload" { b"" } else { b"payload" };
        assert_eq!(packet.bytes(), expected, "{what}");
        assert_eq!((packet.info().remote_port, packet.info().local_port), (1000, 7), "{what}");
    }
}

#[test]
fn a_datagram_to_an_unbound_port_is_rejected_whole() {
    let mut bench = Bench::new();
    bench.arrive(&datagram(b"payload"));
    let (packet, why) = bench.ip.rejected.pop_front().unwrap();
    assert_eq!((packet.bytes(), why), (&datagram(b"payload")[..], Reject::Port));
}

#[test]
fn over_ipv6_there_must_be_a_checksum() {
    let (ours, peer) = (Ipv6Addr::from_bits(1 << 64 | 1), Ipv6Addr::from_bits(1 << 64 | 2));
    let mut header = Header { source: 1000, destination: 7, length: 12, checksum: 0 };
    let pseudo = Checksum::new().pseudo(peer.into(), ours.into(), Protocol::UDP.0, 12);
    let right = pseudo.add(&header.bytes()).add(b"text").finish();
    for (checksum, taken) in [(right, true), (0, false), (right ^ 1, false)] {
        let mut bench = Bench::new();
        let socket = bench.udp.bind(7).unwrap();
        header.checksum = checksum;
        let mut packet = bench.packet(&[&header.bytes()[..], b"text"].concat());
        (packet.info_mut().remote, packet.info_mut().local) = (peer.into(), ours.into());
        bench.ip.arriving.push_back(packet);
        bench.sweep();
        assert_eq!(bench.udp.recv(socket).is_some(), taken, "{checksum:x}");
        assert_eq!(bench.udp.counters.bad_checksum.get(), u64::from(!taken));
    }
}

#[test]
fn a_checksum_that_the_card_has_checked_is_not_checked_again() {
    let mut bench = Bench::new();
    bench.udp.bind(7).unwrap();
    let mut packet = bench.packet(&changed(datagram(b"payload"), 6, &[1, 1]));
    packet.info_mut().checksum = ChecksumState::Verified;
    bench.ip.arriving.push_back(packet);
    bench.sweep();
    assert_eq!(bench.udp.counters.delivered.get(), 1);
}

#[test]
fn a_queue_is_bounded_and_others_do_not_suffer() {
    let mut bench = Bench::new();
    let (slow, fast) = (bench.udp.bind(7).unwrap(), bench.udp.bind(8).unwrap());
    for _ in 0..5 {
        bench.arrive(&datagram(b"payload"));
    }
    bench.arrive(&changed(datagram(b"payload"), 2, &[0, 8, 0, 15, 0, 0]));
    assert_eq!((bench.udp.counters.queue_full.get(), bench.udp.counters.delivered.get()), (2, 4));
    assert!(bench.udp.recv(fast).is_some());
    assert_eq!(bench.deadline(), Instant::ZERO);
    assert_eq!(core::iter::from_fn(|| bench.udp.recv(slow)).count(), 3);
    assert_eq!(bench.deadline(), Instant::NEVER);
}

#[test]
fn a_datagram_that_is_sent_back_goes_to_its_sender() {
    for local in [OURS, ALL] {
        let mut bench = Bench::new();
        let socket = bench.udp.bind(7).unwrap();
        bench.arrive(&datagram(b"payload"));
        let mut packet = bench.udp.recv(socket).unwrap();
        packet.info_mut().local = local;
        bench.udp.send(socket, packet).unwrap();
        bench.sweep();
        let packet = bench.ip.sent.pop_front().unwrap();
        let header = Header::parse(packet.bytes()).unwrap();
        assert_eq!((header.source, header.destination, header.length), (7, 1000, 15));
        assert_eq!(&packet.bytes()[HEADER..], b"payload");
        let info = packet.info();
        assert_eq!((info.remote, info.local, info.hops, info.class), (PEER, OURS, 0, 0));
        let sum = Checksum::new().pseudo(OURS, PEER, 17, 15).add(packet.bytes());
        assert!(sum.is_valid());
    }
}

#[test]
fn a_card_that_sums_finds_the_pseudo_header() {
    let mut bench = Bench::new();
    bench.ip.offload = true;
    let socket = bench.udp.bind(7).unwrap();
    let mut packet = bench.packet(b"payload");
    packet.info_mut().remote_port = 1000;
    bench.udp.send(socket, packet).unwrap();
    bench.sweep();
    let mut packet = bench.ip.sent.pop_front().unwrap();
    assert!(matches!(packet.info().checksum, ChecksumState::Partial { .. }));
    packet.complete_checksum();
    let sum = Checksum::new().pseudo(OURS, PEER, 17, 15).add(packet.bytes());
    assert!(sum.is_valid());
}

#[test]
fn a_checksum_of_zero_is_sent_as_all_ones() {
    let mut bench = Bench::new();
    let socket = bench.udp.bind(7).unwrap();
    for payload in 0..=u16::MAX {
        let mut packet = bench.packet(&payload.to_be_bytes());
        packet.info_mut().remote_port = 1000;
        bench.udp.send(socket, packet).unwrap();
        bench.sweep();
        let packet = bench.ip.sent.pop_front().unwrap();
        assert_ne!(Header::parse(packet.bytes()).unwrap().checksum, 0);
        let sum = Checksum::new().pseudo(OURS, PEER, 17, 10).add(packet.bytes());
        assert!(sum.is_valid());
    }
}

#[test]
fn what_can_never_be_sent_is_dropped_and_what_can_not_be_sent_now_comes_back() {
    let mut bench = Bench::new();
    let socket = bench.udp.bind(7).unwrap();
    let mut send = |change: fn(&mut Packet)| {
        let mut packet = bench.packet(b"payload");
        packet.info_mut().local = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        packet.info_mut().remote_port = 1000;
        change(&mut packet);
        bench.udp.send(socket, packet).unwrap();
        bench.sweep();
    };
    send(|packet| packet.info_mut().remote_port = 0);
    send(|packet| packet.info_mut().remote = UNREACHABLE);
    send(|packet| {
        let next = packet.duplicate();
        packet.set_next(next);
    });
    send(|packet| {
        let _ = packet.grow_front(packet.headroom());
    });
    let counters = bench.udp.counters;
    assert_eq!([&counters.no_port, &counters.no_route].map(waitless::Counter::get), [1, 1]);
    assert_eq!([&counters.too_long, &counters.no_room].map(waitless::Counter::get), [1, 1]);
    assert!(bench.ip.sent.is_empty());
    bench.ip.full = true;
    for _ in 0..32 {
        let packet = bench.packet(b"waits");
        bench.udp.send(socket, packet).unwrap();
    }
    bench.sweep();
    let packet = bench.packet(b"back");
    assert_eq!(bench.udp.send(socket, packet).unwrap_err().bytes(), b"back");
    assert_eq!(bench.deadline(), Instant::ZERO);
}

#[test]
fn a_port_is_bound_once_and_the_table_is_bounded() {
    let mut bench = Bench::new();
    let socket = bench.udp.bind(7).unwrap();
    assert_eq!(bench.udp.local_port(socket), 7);
    assert_eq!(bench.udp.bind(7), Err(BindError::Taken));
    let (one, two) = (bench.udp.bind(0).unwrap(), bench.udp.bind(0).unwrap());
    let ports = [one, two].map(|socket| bench.udp.local_port(socket));
    assert!(ports[0] != ports[1] && ports.iter().all(|port| *port >= 49_152));
    bench.udp.bind(9).unwrap();
    assert_eq!(bench.udp.bind(10), Err(BindError::Full));
    assert_eq!(bench.udp.bind(0), Err(BindError::Full));
}

#[test]
fn a_port_that_is_given_back_is_free_and_what_waited_for_it_gone() {
    let mut bench = Bench::new();
    let [seven, eight] = [7, 8].map(|port| bench.udp.bind(port).unwrap());
    bench.arrive(&datagram(b"late"));
    bench.udp.release(seven);
    assert_eq!((bench.udp.local_port(seven), bench.deadline()), (0, Instant::NEVER));
    assert!(bench.udp.recv(seven).is_none());
    bench.arrive(&datagram(b"nobody's"));
    assert_eq!(bench.udp.counters.unbound.get(), 1);
    bench.udp.release(seven);
    assert_eq!(bench.udp.bind(9), Ok(seven), "the same place, once");
    assert_eq!(bench.udp.bind(7).map(|socket| socket == eight), Ok(false));
    bench.ip.rejected.clear();
    assert_eq!(bench.cx.pool().available(), bench.cx.pool().count());
}

/// Against a list that is known to be right, with few places, so that ports meet.
#[test]
fn ports_come_and_go_and_all_that_are_bound_are_found() {
    let mut random = Random::new([5; 32]);
    let mut table = Table::new(40, 1);
    table.seed(Random::new([6; 32]));
    let mut model: Vec<(u16, Socket)> = Vec::new();
    for _ in 0..20_000 {
        if random.below(2) == 0 {
            let port = if random.below(3) == 0 { 0 } else { 1 + random.below(200) as u16 };
            match table.bind(port) {
                Ok(socket) => {
                    let port = table.port(socket);
                    assert!(port != 0 && model.iter().all(|it| it.0 != port && it.1 != socket));
                    model.push((port, socket));
                }
                Err(BindError::Taken) => assert!(model.iter().any(|it| it.0 == port)),
                Err(_) => assert_eq!(model.len(), 40),
            }
        } else if !model.is_empty() {
            let at = random.below(model.len() as u64) as usize;
            table.release(model.swap_remove(at).1);
        }
        for (port, socket) in &model {
            assert_eq!(table.find(*port), Some(*socket));
        }
        assert_eq!(table.find(201), None);
    }
}

#[test]
fn ports_towards_a_host_are_those_whose_answers_come_home() {
    let cores: &'static waitless::cores::Cores =
        Box::leak(Box::new(waitless::cores::Cores::new(4)));
    for core in 0..4 {
        let mut cx = testing::context_of(cores, core, &testing::Nothing, 16, 1);
        let mut udp = Udp::new(Box::leak(Box::new(Config { sockets: 64, queue: 1 })), &mut cx);
        let settings = Ipv4Configuration {
            address: Ipv4Addr::new(10, 0, 0, 1),
            prefix: 24,
            gateway: None,
            dns: [Ipv4Addr::new(10, 0, 0, 53), Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED],
            mtu: 0,
            routes: &[],
        };
        let mut ip = Ip { settings: Some(settings), ..Ip::default() };
        udp.init(&mut ip, &mut cx).unwrap();
        let remote = core::net::SocketAddr::new(PEER, 53);
        for _ in 0..64 {
            let socket = udp.bind_towards(remote).unwrap();
            let local = core::net::SocketAddr::new(OURS, udp.local_port(socket));
            assert!(cx.home().has(Protocol::UDP, local, remote));
        }
        let names = udp.name_servers().unwrap();
        assert_eq!(names.servers, [IpAddr::V4(settings.dns[0])]);
        // What changes is looked at once the layer says so.
        (ip.settings, ip.generation) = (None, 1);
        udp.receive(&mut ip, &mut cx);
        assert!(udp.name_servers().unwrap().servers.is_empty());
    }
}

#[test]
fn every_bound_port_is_found() {
    let mut table = Table::new(1024, 1);
    table.seed(Random::new([3; 32]));
    for number in 0..1024 {
        assert_eq!(table.bind(number * 64 + 1).unwrap().0, usize::from(number));
    }
    for port in 0..=u16::MAX {
        let expected = (port % 64 == 1).then_some(Socket(usize::from(port / 64)));
        assert_eq!(table.find(port), expected);
    }
}

#[test]
fn path_errors_are_counted_by_kind() {
    use PathErrorKind::{Parameter, TimeExceeded, TooBig, Unreachable};
    let mut bench = Bench::new();
    for kind in [Unreachable(3), TooBig(1400), TimeExceeded(0), Parameter(1)] {
        let error = PathError { kind, local: OURS, remote: PEER, header: [0; 8] };
        bench.ip.errors.push_back(error);
    }
    bench.sweep();
    let c = bench.udp.counters;
    assert_eq!((c.unreachable.get(), c.too_big.get(), c.other_errors.get()), (1, 1, 2));
}

#[test]
fn no_datagram_panics_and_every_datagram_is_accounted_for() {
    let mut bench = Bench::new();
    let socket = bench.udp.bind(7).unwrap();
    for round in 0..20_000u64 {
        let random = |bench: &mut Bench, limit: usize| bench.cx.random.below(limit as u64) as usize;
        let mut bytes = datagram(&[7; 40]);
        for _ in 0..random(&mut bench, 3) {
            let at = random(&mut bench, HEADER + 4);
            bytes[at] = bench.cx.random.u32() as u8;
        }
        if random(&mut bench, 4) == 0 {
            let length = random(&mut bench, bytes.len());
            bytes.truncate(length);
        }
        if random(&mut bench, 2) == 0 && bytes.len() >= HEADER {
            bytes = changed(bytes, CHECKSUM, &[0, 0]);
        }
        bench.arrive(&bytes);
        if random(&mut bench, 3) > 0 {
            while let Some(packet) = bench.udp.recv(socket) {
                bench.udp.send(socket, packet).unwrap();
            }
        }
        bench.sweep();
        bench.ip.sent.clear();
        bench.ip.rejected.clear();
        assert_eq!(bench.udp.counters.received.get(), round + 1);
        assert_eq!(bench.accounted(), round + 1);
    }
    while bench.udp.recv(socket).is_some() {}
    assert_eq!(bench.cx.pool().available(), 128);
    const { assert!(CAPACITY > 1500) };
}
