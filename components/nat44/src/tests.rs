//! The translation, lent a fake link. A test reads like a trace: what goes out, what comes in, and
//! as what.

extern crate std;

mod errors;
mod fragments;

use super::*;
use std::boxed::Box;
use std::collections::{BTreeSet, VecDeque};
use std::string::ToString;
use std::vec::Vec;
use waitless::checksum::{Checksum, checksum};
use waitless::{ClaimState, LinkPort, Mac, Offloads, testing};

const EXT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
const A: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 9);
const B: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 10);
const PEER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 5);
const OTHER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 6);
const GATEWAY: NextHop = NextHop::Ipv4(Ipv4Addr::new(198, 51, 100, 1));

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const SYN: u8 = 2;
const ACK: u8 = 16;
const FIN: u8 = 17;
const RST: u8 = 4;

const CONFIG: Config = Config {
    port_forward: &["tcp 8080 to 192.168.1.10:80"],
    filtering: Filtering::AddressDependent,
    first_port: 1024,
    last_port: 49_151,
    flows: 256,
    host_flows: 128,
    tcp_timeout: Duration::from_secs(7440),
    udp_timeout: Duration::from_secs(300),
    icmp_timeout: Duration::from_secs(60),
};
const OPEN: Config = Config { filtering: Filtering::EndpointIndependent, ..CONFIG };

#[derive(Default)]
struct Link {
    arrived: VecDeque<Packet>,
    sent: VecDeque<Packet>,
    claimed: Option<Ipv4Addr>,
}

impl LinkPort for Link {
    fn mac(&self) -> Mac {
        Mac([2, 0, 0, 0, 0, 1])
    }

    fn mtu(&self) -> u16 {
        1500
    }

    fn offloads(&self) -> Offloads {
        Offloads::default()
    }

    fn link_up(&self) -> bool {
        true
    }

    fn claim(&mut self, address: Option<Ipv4Addr>) {
        self.claimed = address;
    }

    fn claim_state(&self) -> ClaimState {
        self.claimed.map_or(ClaimState::None, |_| ClaimState::Owned)
    }

    fn recv(&mut self, _: EtherType) -> Option<Packet> {
        self.arrived.pop_front()
    }

    fn send(&mut self, _: EtherType, to: NextHop, packet: Packet) -> Result<(), Packet> {
        assert_eq!(to, GATEWAY);
        self.sent.push_back(packet);
        Ok(())
    }

    fn room(&self) -> usize {
        100
    }
}

struct Bench {
    nat: Nat44,
    link: Link,
    cx: Context,
}

impl Bench {
    fn new(config: Config) -> Self {
        let mut bench = Self::unaddressed(config);
        bench.nat.claim(Some(EXT));
        bench.sweep();
        bench
    }

    fn unaddressed(config: Config) -> Self {
        let mut cx = testing::context(256, 1);
        let mut link = Link::default();
        let mut nat = Nat44::new(Box::leak(Box::new(config)), &mut cx);
        nat.init(&mut link, &mut cx).unwrap();
        assert!(nat.recv(EtherType::IPV4).is_none());
        Self { nat, link, cx }
    }

    fn sweep(&mut self) {
        self.nat.receive(&mut self.link, &mut self.cx);
        self.nat.transmit(&mut self.link, &mut self.cx);
    }

    fn run_to(&mut self, secs: u64) {
        self.cx.set_now(Instant::ZERO + Duration::from_secs(secs));
        // Whatever ends, some of it in each sweep.
        for _ in 0..10 {
            self.sweep();
        }
    }

    fn packet(&self, bytes: &[u8]) -> Packet {
        let mut packet = self.cx.packet().unwrap();
        packet.append(bytes).unwrap();
        packet
    }

    /// What becomes of a packet of the layer above on the link.
    fn out(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let packet = self.packet(bytes);
        self.nat.send(EtherType::IPV4, GATEWAY, packet).unwrap();
        self.sweep();
        self.link.sent.pop_front().map(|packet| packet.bytes().to_vec())
    }

    /// What becomes of a packet from the link for the layer above.
    fn come(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let packet = self.packet(bytes);
        self.link.arrived.push_back(packet);
        self.sweep();
        self.up().map(|packet| packet.bytes().to_vec())
    }

    fn up(&mut self) -> Option<Packet> {
        self.nat.recv(EtherType::IPV4)
    }

    /// The port outside of a datagram of UDP that goes out.
    #[track_caller]
    fn port_of(&mut self, from: End, to: End) -> u16 {
        let sent = self.out(&udp(from, to)).expect("it goes out");
        assert_eq!(address(&sent, 12), EXT);
        word(&sent, 20)
    }

    /// Whether a datagram comes in at a port outside, for `inside`.
    #[track_caller]
    fn comes_for(&mut self, from: End, port: u16, inside: End) -> bool {
        let Some(bytes) = self.come(&udp(from, (EXT, port))) else { return false };
        assert_eq!((address(&bytes, 16), word(&bytes, 22)), inside);
        intact(&bytes);
        true
    }

    /// Whether a segment goes out, and then in, for a connection of `A` to `PEER`.
    fn goes(&mut self, flags: u8) -> bool {
        self.out(&tcp((A, 5000), (PEER, 80), flags)).is_some()
    }

    fn returns(&mut self, flags: u8) -> bool {
        self.come(&tcp((PEER, 80), (EXT, 5000), flags)).is_some()
    }
}

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn address(bytes: &[u8], at: usize) -> Ipv4Addr {
    let [a, b, c, d] = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
    Ipv4Addr::new(a, b, c, d)
}

/// A packet with checksums that are right.
fn ip(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = std::vec![0x45, 0, 0, 0, 0x12, 0x34, 0, 0, 60, protocol, 0, 0];
    bytes.extend(from.octets().into_iter().chain(to.octets()).chain(payload.iter().copied()));
    let total = bytes.len() as u16;
    bytes[2..4].copy_from_slice(&total.to_be_bytes());
    seal(&mut bytes);
    bytes
}

/// Sums the header anew.
fn seal(bytes: &mut [u8]) {
    bytes[10..12].copy_from_slice(&[0; 2]);
    let sum = checksum(&bytes[..20]).to_be_bytes();
    bytes[10..12].copy_from_slice(&sum);
}

fn transport(from: End, to: End, protocol: u8, mut payload: Vec<u8>, sum_at: usize) -> Vec<u8> {
    payload[0..2].copy_from_slice(&from.1.to_be_bytes());
    payload[2..4].copy_from_slice(&to.1.to_be_bytes());
    let length = payload.len() as u16;
    let sum = Checksum::new().pseudo(from.0.into(), to.0.into(), protocol, length);
    let sum = sum.add(&payload).finish().to_be_bytes();
    payload[sum_at..sum_at + 2].copy_from_slice(&sum);
    ip(from.0, to.0, protocol, &payload)
}

fn udp(from: End, to: End) -> Vec<u8> {
    let payload = [&[0, 0, 0, 0, 0, 13, 0, 0][..], b"hello"].concat();
    transport(from, to, UDP, payload, 6)
}

fn tcp(from: End, to: End, flags: u8) -> Vec<u8> {
    let mut payload = std::vec![0; 24];
    (payload[12], payload[13]) = (0x50, flags);
    transport(from, to, TCP, payload, 16)
}

/// An ICMP message; `rest` is what stands behind its checksum.
fn icmp(from: Ipv4Addr, to: Ipv4Addr, kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
    let mut payload = [&[kind, code, 0, 0][..], rest].concat();
    let sum = checksum(&payload).to_be_bytes();
    payload[2..4].copy_from_slice(&sum);
    ip(from, to, ICMP, &payload)
}

fn echo(from: Ipv4Addr, to: Ipv4Addr, kind: u8, number: u16) -> Vec<u8> {
    let [a, b] = number.to_be_bytes();
    icmp(from, to, kind, 0, &[a, b, 0, 1, 1, 2, 3])
}

/// All checksums of a whole packet are right.
#[track_caller]
fn intact(bytes: &[u8]) {
    assert!(Checksum::new().add(&bytes[..20]).is_valid(), "the header's");
    let payload = &bytes[20..];
    let sum = match bytes[9] {
        ICMP => Checksum::new(),
        protocol => {
            let ends = (address(bytes, 12).into(), address(bytes, 16).into());
            Checksum::new().pseudo(ends.0, ends.1, protocol, payload.len() as u16)
        }
    };
    assert!(sum.add(payload).is_valid(), "the transport's");
}

#[test]
fn what_goes_out_has_the_address_outside_and_what_returns_the_host_s() {
    let mut bench = Bench::new(CONFIG);
    let sent = bench.out(&udp((A, 5000), (PEER, 53))).unwrap();
    assert_eq!((address(&sent, 12), address(&sent, 16)), (EXT, PEER));
    assert_eq!((word(&sent, 20), word(&sent, 22)), (5000, 53), "its port is free outside");
    intact(&sent);
    assert!(bench.comes_for((PEER, 53), 5000, (A, 5000)));
    let sent = bench.out(&tcp((A, 5000), (PEER, 80), SYN)).unwrap();
    intact(&sent);
    let back = bench.come(&tcp((PEER, 80), (EXT, 5000), SYN | ACK)).unwrap();
    intact(&back);
    assert_eq!((address(&back, 16), word(&back, 22)), (A, 5000));
    let counters = bench.nat.counters;
    assert_eq!((counters.translated_out.get(), counters.translated_in.get()), (2, 2));
    assert_eq!((counters.mappings.get(), counters.passed.get()), (3, 0));
}

#[test]
fn a_port_inside_has_one_outside_whomever_it_talks_to() {
    let mut bench = Bench::new(CONFIG);
    for to in [(PEER, 53), (PEER, 54), (OTHER, 53)] {
        assert_eq!(bench.port_of((A, 5000), to), 5000);
    }
    // The same number of another host is another port, of the same parity, and stays so.
    for (number, odd) in [(5000, 0), (5001, 1)] {
        bench.port_of((A, number), (PEER, 53));
        let port = bench.port_of((B, number), (PEER, 53));
        assert!(port != number && port % 2 == odd, "{port}");
        assert_eq!(bench.port_of((B, number), (OTHER, 9)), port);
        assert!(bench.comes_for((OTHER, 9), port, (B, number)));
    }
}

#[test]
fn no_port_is_given_twice_and_none_outside_the_range() {
    let config = Config { first_port: 2000, last_port: 2063, ..CONFIG };
    let mut bench = Bench::new(config);
    let mut given = BTreeSet::new();
    for number in 1..=64 {
        if let Some(sent) = bench.out(&udp((A, number), (PEER, 53))) {
            let port = word(&sent, 20);
            assert!((2000..=2063).contains(&port) && given.insert(port), "{port}");
        }
    }
    let refused = bench.nat.counters.no_port.get();
    assert_eq!(given.len() as u64 + refused, 64);
    assert!(given.len() > 60, "{} found one", given.len());
}

#[test]
fn only_those_that_were_sent_to_may_send_in() {
    let mut bench = Bench::new(CONFIG);
    bench.port_of((A, 5000), (PEER, 53));
    assert!(bench.comes_for((PEER, 99), 5000, (A, 5000)), "another port of the same");
    assert!(!bench.comes_for((OTHER, 53), 5000, (A, 5000)));
    assert_eq!(bench.nat.counters.filtered.get(), 1);
    let mut open = Bench::new(OPEN);
    open.port_of((A, 5000), (PEER, 53));
    assert!(open.comes_for((OTHER, 53), 5000, (A, 5000)));
}

#[test]
fn who_was_connected_to_may_connect_and_others_may_not() {
    let mut bench = Bench::new(CONFIG);
    assert!(bench.goes(SYN));
    assert!(bench.come(&tcp((PEER, 9), (EXT, 5000), SYN)).is_some());
    assert!(bench.come(&tcp((OTHER, 9), (EXT, 5000), SYN)).is_none());
    assert!(bench.come(&tcp((PEER, 10), (EXT, 5000), ACK)).is_none(), "it begins nothing");
    let mut open = Bench::new(OPEN);
    assert!(open.goes(SYN));
    assert!(open.come(&tcp((OTHER, 9), (EXT, 5000), SYN)).is_some());
    assert!(open.come(&tcp((OTHER, 10), (EXT, 5000), ACK)).is_none());
}

#[test]
fn what_nobody_asked_for_is_dropped_or_this_host_s() {
    let mut bench = Bench::new(CONFIG);
    for bytes in [udp((PEER, 53), (EXT, 5000)), tcp((PEER, 80), (EXT, 1024), SYN)] {
        assert!(bench.come(&bytes).is_none());
    }
    assert_eq!(bench.nat.counters.unsolicited.get(), 2);
    // Below and above the range: services and connections of this host.
    let own = [
        udp((PEER, 67), (EXT, 68)),
        tcp((PEER, 80), (EXT, 443), SYN),
        udp((PEER, 53), (EXT, 49_152)),
        echo(PEER, EXT, 8, 7),
        echo(PEER, EXT, 0, 7),
        ip(PEER, EXT, 47, &[0; 8]),
        ip(PEER, Ipv4Addr::new(224, 0, 0, 1), 2, &[0; 8]),
        udp((PEER, 67), (Ipv4Addr::BROADCAST, 68)),
    ];
    for bytes in &own {
        assert_eq!(bench.come(bytes).as_ref(), Some(bytes));
    }
    assert!(bench.come(&udp((PEER, 53), (A, 5000))).is_none(), "an address inside");
    assert_eq!(bench.nat.counters.foreign.get(), 1);
}

#[test]
fn packets_of_this_host_pass_untouched() {
    let mut bench = Bench::unaddressed(CONFIG);
    let discover = udp((Ipv4Addr::UNSPECIFIED, 68), (PEER, 67));
    assert_eq!(bench.out(&discover), Some(discover));
    assert!(bench.out(&udp((A, 5000), (PEER, 53))).is_none());
    assert_eq!(bench.nat.counters.no_address.get(), 1);
    let offer = udp((PEER, 67), (EXT, 68));
    assert_eq!(bench.come(&offer), Some(offer));
    bench.nat.claim(Some(EXT));
    bench.sweep();
    let own = tcp((EXT, 50_000), (PEER, 80), SYN);
    assert_eq!(bench.out(&own), Some(own));
}

#[test]
fn pings_are_told_apart_by_their_number() {
    let mut bench = Bench::new(CONFIG);
    for host in [A, B] {
        let sent = bench.out(&echo(host, PEER, 8, 7)).unwrap();
        intact(&sent);
        let number = word(&sent, 24);
        assert_eq!(number == 7, host == A);
        let back = bench.come(&echo(PEER, EXT, 0, number)).unwrap();
        intact(&back);
        assert_eq!((address(&back, 16), word(&back, 24)), (host, 7));
    }
    assert!(bench.out(&echo(A, PEER, 0, 9)).is_none(), "an answer to nothing");
    assert_eq!(bench.nat.counters.stray.get(), 1);
    bench.run_to(59);
    assert!(bench.come(&echo(PEER, EXT, 0, 7)).is_some_and(|bytes| address(&bytes, 16) == A));
    bench.run_to(62);
    assert_eq!(bench.nat.counters.mappings.get(), 1, "the manifest's");
    assert!(bench.come(&echo(PEER, EXT, 0, 7)).is_some_and(|bytes| address(&bytes, 16) == EXT));
}

#[test]
fn a_port_of_udp_lives_as_long_as_something_goes_out() {
    let mut bench = Bench::new(CONFIG);
    bench.port_of((A, 5000), (PEER, 53));
    for secs in [200, 299] {
        bench.run_to(secs);
        assert!(bench.comes_for((PEER, 53), 5000, (A, 5000)), "{secs}");
    }
    // What came in has not made it any longer.
    bench.run_to(302);
    assert!(!bench.comes_for((PEER, 53), 5000, (A, 5000)));
    bench.port_of((A, 5000), (PEER, 53));
    bench.run_to(500);
    bench.port_of((A, 5000), (OTHER, 53));
    bench.run_to(700);
    assert!(bench.comes_for((OTHER, 53), 5000, (A, 5000)));
    assert!(!bench.comes_for((PEER, 53), 5000, (A, 5000)), "to that it is silent for longer");
    bench.run_to(2000);
    let counters = bench.nat.counters;
    assert_eq!((counters.mappings.get(), counters.sessions.get()), (1, 0));
    let deadline = Component::<Link>::deadline(&bench.nat);
    assert_eq!(deadline, Instant::NEVER, "nothing is left to end");
}

#[test]
fn an_established_connection_lives_for_two_hours_and_others_for_four_minutes() {
    let mut bench = Bench::new(CONFIG);
    assert!(bench.goes(SYN));
    bench.run_to(239);
    assert!(bench.returns(SYN | ACK));
    bench.run_to(470);
    assert!(bench.goes(ACK));
    bench.run_to(470 + 7439);
    assert!(bench.returns(ACK), "established");
    // Reset, and gone on with.
    assert!(bench.returns(RST));
    bench.run_to(8100);
    assert!(bench.goes(ACK));
    bench.run_to(9000);
    assert!(bench.returns(ACK), "nobody believed the reset");
    assert!(bench.goes(FIN));
    bench.run_to(10_000);
    assert!(bench.returns(ACK), "half-closed");
    assert!(bench.returns(FIN));
    bench.run_to(10_239);
    assert!(bench.goes(ACK));
    bench.run_to(10_500);
    assert!(!bench.returns(ACK));
    assert_eq!(bench.nat.counters.mappings.get(), 1, "its port went with it");
}

#[test]
fn who_opens_connections_from_outside_does_not_use_up_what_a_host_may_have() {
    let mut bench = Bench::new(CONFIG);
    assert!(bench.goes(SYN));
    bench.returns(SYN | ACK);
    bench.goes(ACK);
    let mut opened = 0;
    for port in 1000..1200 {
        opened += usize::from(bench.come(&tcp((PEER, port), (EXT, 5000), SYN)).is_some());
    }
    assert_eq!((opened, bench.nat.counters.filtered.get()), (8, 192));
    for port in 6000..6040 {
        assert!(bench.out(&tcp((A, port), (OTHER, 80), SYN)).is_some(), "{port}");
        for from in 1..10 {
            bench.come(&tcp((OTHER, from), (EXT, port), SYN));
        }
    }
    let counters = bench.nat.counters;
    assert_eq!(counters.host_full.get(), 0);
    assert_eq!(counters.sessions.get(), 1 + 40 + 256 / 8, "those from outside have an end, too");
    // One that the host takes part in lives, and others do not, whoever goes on asking.
    assert!(bench.out(&tcp((A, 5000), (PEER, 1000), SYN | ACK)).is_some());
    for secs in [100, 200] {
        bench.run_to(secs);
        bench.come(&tcp((PEER, 1000), (EXT, 5000), ACK));
        bench.come(&tcp((PEER, 1001), (EXT, 5000), SYN));
        bench.out(&tcp((A, 5000), (PEER, 1001), RST | ACK));
        bench.come(&tcp((OTHER, 1), (EXT, 6000), SYN));
    }
    bench.run_to(250);
    assert_eq!((counters.mappings.get(), counters.sessions.get()), (2, 2));
    bench.run_to(20_000);
    assert_eq!((counters.mappings.get(), counters.sessions.get()), (1, 0), "and all is given back");
    for port in 0..64 {
        assert!(bench.out(&tcp((A, 7000 + port), (OTHER, 80), SYN)).is_some(), "{port}");
    }
    assert!(bench.out(&tcp((A, 8000), (OTHER, 80), SYN)).is_none());
}

#[test]
fn a_forged_beginning_does_not_shorten_an_established_connection() {
    let mut bench = Bench::new(CONFIG);
    for (ours, flags) in [(true, SYN), (false, SYN | ACK), (true, ACK), (false, SYN)] {
        assert!(if ours { bench.goes(flags) } else { bench.returns(flags) });
    }
    bench.run_to(7000);
    assert!(bench.returns(ACK));
    // What the host inside begins anew is new.
    assert!(bench.goes(SYN));
    bench.run_to(7300);
    assert!(!bench.returns(ACK));
}

#[test]
fn the_end_of_what_is_not_known_is_dropped() {
    let mut bench = Bench::new(CONFIG);
    assert!(!bench.goes(RST));
    assert!(bench.goes(ACK), "a connection from before a restart goes on");
    assert!(bench.out(&tcp((A, 5000), (OTHER, 80), RST)).is_none());
    assert_eq!(bench.nat.counters.stray.get(), 2);
    assert_eq!(bench.nat.counters.sessions.get() + 1, bench.nat.counters.mappings.get());
}

#[test]
fn a_service_inside_is_reached_from_outside() {
    let mut bench = Bench::new(CONFIG);
    for from in [PEER, OTHER] {
        let syn = bench.come(&tcp((from, 9), (EXT, 8080), SYN)).unwrap();
        assert_eq!((address(&syn, 16), word(&syn, 22)), (B, 80));
        intact(&syn);
        let answer = bench.out(&tcp((B, 80), (from, 9), SYN | ACK)).unwrap();
        assert_eq!((address(&answer, 12), word(&answer, 20)), (EXT, 8080));
        intact(&answer);
    }
    bench.run_to(100_000);
    assert!(bench.come(&tcp((PEER, 9), (EXT, 8080), ACK)).is_some(), "it never ends");
    // A host inside that wants the same number gets another.
    let sent = bench.out(&tcp((A, 8080), (PEER, 9), SYN)).unwrap();
    assert_ne!(word(&sent, 20), 8080);
}

#[test]
fn hosts_inside_reach_each_other_by_their_ports_outside() {
    let mut bench = Bench::new(CONFIG);
    assert!(bench.nat.turns_back());
    assert!(bench.out(&tcp((A, 5000), (EXT, 8080), SYN)).is_none(), "nothing leaves");
    let packet = bench.up().unwrap();
    assert!(packet.info().looped);
    let bytes = packet.bytes();
    assert_eq!((address(bytes, 12), word(bytes, 20)), (EXT, 5000), "seen as outside");
    assert_eq!((address(bytes, 16), word(bytes, 22)), (B, 80));
    intact(bytes);
    drop(packet);
    assert!(bench.out(&tcp((B, 80), (EXT, 5000), SYN | ACK)).is_none());
    let packet = bench.up().unwrap();
    let bytes = packet.bytes();
    assert_eq!((address(bytes, 12), word(bytes, 20)), (EXT, 8080));
    assert_eq!((address(bytes, 16), word(bytes, 22)), (A, 5000));
    intact(bytes);
    assert_eq!(bench.nat.counters.hairpinned.get(), 2);
    // This host itself is not reached so.
    assert!(bench.out(&tcp((A, 5001), (EXT, 22), SYN)).is_none());
    assert!(bench.up().is_none());
    assert_eq!(bench.nat.counters.unsolicited.get(), 1);
}

#[test]
fn a_full_table_refuses_and_counts_and_what_is_there_stays() {
    let config = Config { flows: 64, host_flows: 65_536, port_forward: &[], ..OPEN };
    let mut bench = Bench::new(config);
    for number in 0..70 {
        let sent = bench.out(&udp((A, 3000 + number), (PEER, 53)));
        assert_eq!(sent.is_some(), number < 64, "{number}");
    }
    assert_eq!(bench.nat.counters.full.get(), 6);
    assert!(bench.comes_for((PEER, 53), 3000, (A, 3000)));
    bench.run_to(400);
    assert_eq!(bench.port_of((A, 3069), (PEER, 53)), 3069, "there is room again");
}

#[test]
fn one_host_does_not_use_up_all() {
    let config = Config { host_flows: 8, ..CONFIG };
    let mut bench = Bench::new(config);
    let sent = (0..20).filter(|number| bench.out(&udp((A, 3000 + number), (PEER, 53))).is_some());
    assert_eq!(sent.count(), 4, "a port and a session for each");
    assert_eq!(bench.nat.counters.host_full.get(), 16);
    assert_eq!(bench.nat.counters.sessions.get(), 4);
    bench.port_of((B, 3000), (PEER, 53));
    // Many sessions of one port count, too.
    let ends = (1..20).filter(|host| {
        let to = Ipv4Addr::new(203, 0, 113, *host);
        bench.out(&udp((B, 3000), (to, 53))).is_some()
    });
    assert!(ends.count() < 8);
    bench.run_to(400);
    assert!(bench.out(&udp((A, 3019), (PEER, 53))).is_some());
}

#[test]
fn another_address_outside_is_another_beginning() {
    let mut bench = Bench::new(CONFIG);
    bench.port_of((A, 5000), (PEER, 53));
    assert!(bench.goes(SYN));
    bench.nat.claim(Some(OTHER));
    bench.sweep();
    bench.sweep();
    let counters = bench.nat.counters;
    assert_eq!((counters.mappings.get(), counters.sessions.get()), (1, 0), "the manifest's stay");
    let sent = bench.out(&udp((A, 5000), (PEER, 53))).unwrap();
    assert_eq!(address(&sent, 12), OTHER);
}

#[test]
fn sums_that_are_missing_stay_so_and_those_left_to_a_card_are_made() {
    let mut bench = Bench::new(CONFIG);
    let mut none = udp((A, 5000), (PEER, 53));
    none[26..28].copy_from_slice(&[0; 2]);
    let sent = bench.out(&none).unwrap();
    assert_eq!(word(&sent, 26), 0);
    // From a neighbour in the same machine, whose card would have summed.
    let whole = udp((PEER, 53), (EXT, 5000));
    let mut packet = bench.packet(&whole);
    packet.bytes_mut()[26..28].copy_from_slice(&[0; 2]);
    let sum = Checksum::new().pseudo(PEER.into(), EXT.into(), UDP, 13).folded();
    packet.bytes_mut()[26..28].copy_from_slice(&sum.to_be_bytes());
    packet.request_checksum(20, 6);
    bench.link.arrived.push_back(packet);
    bench.sweep();
    intact(bench.up().unwrap().bytes());
    // What is wrong stays wrong.
    let mut wrong = udp((A, 5000), (PEER, 53));
    wrong[30] ^= 1;
    let sent = bench.out(&wrong).unwrap();
    let sum = Checksum::new().pseudo(EXT.into(), PEER.into(), UDP, 13).add(&sent[20..]);
    assert!(!sum.is_valid());
}

#[test]
fn what_makes_no_sense_or_cannot_be_translated_is_dropped() {
    let mut bench = Bench::new(CONFIG);
    let good = udp((A, 5000), (PEER, 53));
    for (at, value) in [(0, 0x55), (0, 0x44), (0, 0x4f), (2, 9), (3, 12)] {
        let mut bytes = good.clone();
        bytes[at] = value;
        assert!(bench.out(&bytes).is_none(), "{at} {value}");
        let mut bytes = udp((PEER, 53), (EXT, 5000));
        bytes[at] = value;
        assert!(bench.come(&bytes).is_none(), "{at} {value}");
    }
    for length in 0..28 {
        assert!(bench.out(&good[..length]).is_none());
    }
    assert!(bench.out(&ip(A, PEER, 47, &[0; 20])).is_none());
    assert_eq!(bench.nat.counters.unsupported.get(), 1);
    assert_eq!(bench.nat.counters.malformed.get(), 10 + 28);
    assert_eq!(bench.nat.counters.sessions.get(), 0);
}

#[test]
fn services_that_are_not_understood_say_why() {
    for (text, expected) in [
        ("", "begins with `tcp` or `udp`, not ``"),
        ("icmp 7 to 10.0.0.1:7", "begins with `tcp` or `udp`, not `icmp`"),
        ("tcp 0 to 10.0.0.1:7", "the port outside comes second, not `0`"),
        ("tcp 65536 to 10.0.0.1:7", "the port outside comes second, not `65536`"),
        ("tcp 80 10.0.0.1:7", "`to` comes third, not `10.0.0.1:7`"),
        ("tcp 80 to 10.0.0.1", "`10.0.0.1` is no address with a port: write 192.168.1.10:80"),
        ("tcp 80 to 127.0.0.1:1", "`127.0.0.1:1` is no address with a port: write 192.168.1.10:80"),
        ("tcp 80 to 10.0.0.1:7 now", "`now` is one word too many"),
    ] {
        assert_eq!(Service::parse(text).unwrap_err().to_string(), expected);
    }
    let inside = (Ipv4Addr::new(10, 0, 0, 1), 7);
    let expected = Service { protocol: UDP, port: 53, inside };
    assert_eq!(Service::parse(" udp 53  to 10.0.0.1:7"), Ok(expected));
    let twice = ["tcp 80 to 10.0.0.1:7", "tcp 80 to 10.0.0.2:7"];
    let many = ["tcp 80 to 10.0.0.1:7"; 65];
    for services in [&["tcp 80"][..], &twice, &many] {
        let port_forward = Box::leak(services.to_vec().into_boxed_slice());
        let config = Box::leak(Box::new(Config { port_forward, ..CONFIG }));
        let mut cx = testing::context(8, 1);
        assert!(Nat44::new(config, &mut cx).init(&mut Link::default(), &mut cx).is_err());
    }
}
