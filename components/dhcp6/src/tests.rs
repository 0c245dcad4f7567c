//! The client, lent a fake UDP and a fake IP layer. A test reads like a trace: what is asked, what
//! is answered, what IP is told.

extern crate std;

use super::*;
use std::boxed::Box;
use std::collections::VecDeque;
use std::vec;
use std::vec::Vec as List;
use waitless::network::v6::Ipv6Network;
use waitless::{
    BindError, ClaimState, Ipv4Configuration, Mac, Offloads, PathError, Protocol, Reject, testing,
};

const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
const LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const GIVEN: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x50);
const DNS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x53);

const SOLICIT: u8 = 1;
const ADVERTISE: u8 = 2;
const REQUEST: u8 = 3;
const CONFIRM: u8 = 4;
const RENEW: u8 = 5;
const REBIND: u8 = 6;
const REPLY: u8 = 7;
const DECLINE: u8 = 9;
const INFORM: u8 = 11;

const CONFIG: Config = Config { mode: Mode::Auto, rapid: true };

#[derive(Default)]
struct Udp {
    arrived: VecDeque<Packet>,
    sent: VecDeque<Packet>,
}

impl UdpPort for Udp {
    fn bind(&mut self, port: u16) -> Result<Socket, BindError> {
        assert_eq!(port, 546);
        Ok(Socket(1))
    }

    fn recv(&mut self, _: Socket) -> Option<Packet> {
        self.arrived.pop_front()
    }

    fn send(&mut self, _: Socket, datagram: Packet) -> Result<(), Packet> {
        self.sent.push_back(datagram);
        Ok(())
    }

    fn local_port(&self, _: Socket) -> u16 {
        546
    }
}

/// An IPv6 layer with a link-local address.
struct Ip {
    network: Ipv6Network,
    lease: Ipv6Lease,
    link_up: bool,
    ready: bool,
}

impl IpPort for Ip {
    fn recv(&mut self, _: Protocol) -> Option<Packet> {
        None
    }

    fn send(&mut self, _: Protocol, _: Packet) -> Result<(), Packet> {
        Ok(())
    }

    fn room(&self) -> usize {
        32
    }

    fn source_for(&self, _: IpAddr) -> Option<IpAddr> {
        self.ready.then_some(IpAddr::V6(LOCAL))
    }

    fn is_local(&self, address: IpAddr) -> bool {
        address == IpAddr::V6(LOCAL)
    }

    fn is_broadcast(&self, address: IpAddr) -> bool {
        address.is_multicast()
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
        false
    }

    fn configure(&mut self, _: Option<Ipv4Configuration>) {}

    fn configure_v6(&mut self, lease: &Ipv6Lease) {
        self.lease = lease.clone();
    }

    fn configuration(&self) -> Option<&Ipv4Configuration> {
        None
    }

    fn claim_state(&self) -> ClaimState {
        ClaimState::Owned
    }

    fn generation(&self) -> u32 {
        0
    }

    fn mac(&self) -> Mac {
        MAC
    }

    fn link_up(&self) -> bool {
        self.link_up
    }

    fn network(&self) -> Option<&Ipv6Network> {
        Some(&self.network)
    }
}

/// A question as a server sees it.
#[derive(Clone, Debug)]
struct Seen {
    kind: u8,
    transaction: [u8; 3],
    options: List<(u16, List<u8>)>,
}

impl Seen {
    fn parse(message: &[u8]) -> Self {
        let (mut options, mut rest) = (List::new(), &message[4..]);
        while let [o0, o1, l0, l1, behind @ ..] = rest {
            let length = usize::from(u16::from_be_bytes([*l0, *l1]));
            options.push((u16::from_be_bytes([*o0, *o1]), behind[..length].to_vec()));
            rest = &behind[length..];
        }
        let transaction = [message[1], message[2], message[3]];
        Self { kind: message[0], transaction, options }
    }

    fn option(&self, wanted: u16) -> Option<&[u8]> {
        self.options.iter().find(|(option, _)| *option == wanted).map(|(_, bytes)| &bytes[..])
    }

    /// The addresses that it is about.
    fn addresses(&self) -> List<Ipv6Addr> {
        let group = self.option(3).map_or(&[][..], |group| &group[12..]);
        let octets = |it: &[u8]| Ipv6Addr::from(<[u8; 16]>::try_from(&it[4..20]).unwrap());
        group.chunks(28).map(octets).collect()
    }
}

fn option(option: u16, bytes: &[u8]) -> List<u8> {
    [&option.to_be_bytes()[..], &(bytes.len() as u16).to_be_bytes(), bytes].concat()
}

/// A group with an address, and when it is to be renewed and ends.
fn group(address: Ipv6Addr, renew: u32, rebind: u32, preferred: u32, valid: u32) -> List<u8> {
    let times = [preferred.to_be_bytes(), valid.to_be_bytes()].concat();
    let address = option(5, &[&address.octets()[..], &times].concat());
    let head = [1_u32, renew, rebind].map(u32::to_be_bytes).concat();
    option(3, &[head, address].concat())
}

fn good() -> List<u8> {
    group(GIVEN, 100, 200, 300, 400)
}

fn status(code: u16) -> List<u8> {
    option(13, &code.to_be_bytes())
}

struct Bench {
    dhcp: Dhcp6,
    udp: Udp,
    ip: Ip,
    cx: Context,
}

impl Bench {
    fn new(managed: Managed) -> Self {
        Self::with(CONFIG, managed)
    }

    fn with(config: Config, managed: Managed) -> Self {
        let mut cx = testing::context(16, 5);
        let mut dhcp = Dhcp6::new(Box::leak(Box::new(config)), &mut cx);
        let network = Ipv6Network { managed, ..Ipv6Network::default() };
        let mut ip = Ip { network, lease: Ipv6Lease::default(), link_up: true, ready: true };
        let mut udp = Udp::default();
        dhcp.init(&mut (&mut udp, &mut ip), &mut cx).unwrap();
        let mut bench = Self { dhcp, udp, ip, cx };
        bench.sweep();
        bench
    }

    fn deadline(&self) -> Instant {
        Component::<(&mut Udp, &mut Ip)>::deadline(&self.dhcp)
    }

    fn sweep(&mut self) {
        let below = &mut (&mut self.udp, &mut self.ip);
        self.dhcp.receive(below, &mut self.cx);
        self.dhcp.transmit(below, &mut self.cx);
    }

    /// Lets `secs` pass, with the sweeps that the client asks for.
    fn pass(&mut self, secs: u64) {
        let end = self.cx.now() + Duration::from_secs(secs);
        while self.deadline() <= end {
            let due = self.deadline().max(self.cx.now());
            self.cx.set_now(due);
            self.sweep();
            assert!(self.deadline() > due, "busy with nothing");
        }
        self.cx.set_now(end);
        self.sweep();
    }

    /// The next message, which is of this kind.
    #[track_caller]
    fn sent(&mut self, kind: u8) -> Seen {
        let packet = self.udp.sent.pop_front().expect("a message");
        assert_eq!(packet.info().remote, IpAddr::V6(SERVERS_AND_RELAYS));
        assert_eq!(packet.info().remote_port, 547);
        let seen = Seen::parse(packet.bytes());
        assert_eq!(seen.kind, kind, "{seen:?}");
        assert_eq!(seen.option(1), Some(&wire::client(MAC)[..]));
        seen
    }

    /// A server, called by a letter, answers.
    fn answer(&mut self, seen: &Seen, kind: u8, server: u8, options: &[List<u8>]) {
        let mut message = vec![kind];
        message.extend(seen.transaction);
        message.extend(option(1, &wire::client(MAC)));
        message.extend(option(2, &[0, 2, server]));
        options.iter().for_each(|option| message.extend(option));
        self.deliver(547, &message);
    }

    fn deliver(&mut self, port: u16, message: &[u8]) {
        let mut packet = self.cx.packet().unwrap();
        packet.append(message).unwrap();
        packet.info_mut().remote_port = port;
        self.udp.arrived.push_back(packet);
        self.sweep();
    }

    fn addresses(&self) -> List<Ipv6Addr> {
        self.ip.lease.addresses.iter().map(|it| it.address).collect()
    }

    /// One that has an address, since now.
    fn bound() -> Self {
        let mut bench = Self::new(Managed::Addresses);
        bench.pass(1);
        let seen = bench.sent(SOLICIT);
        bench.answer(&seen, REPLY, b'a', &[option(14, b""), good()]);
        assert_eq!(bench.addresses(), [GIVEN]);
        bench
    }
}

#[test]
fn an_address_is_asked_for_where_routers_say_that_there_is_one() {
    let mut bench = Bench::new(Managed::No);
    bench.pass(1000);
    assert!(bench.udp.sent.is_empty() && bench.deadline() == Instant::NEVER);
    bench.ip.network.managed = Managed::Addresses;
    bench.sweep();
    bench.pass(1);
    let seen = bench.sent(SOLICIT);
    assert!(seen.option(14).is_some() && seen.option(2).is_none() && seen.addresses().is_empty());
    assert_eq!(seen.option(3), Some(&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0][..]));
    assert_eq!(seen.option(6), Some(&[0, 23, 0, 24, 0, 82][..]));
    // The better of two offers within the first second.
    bench.answer(&seen, ADVERTISE, b'a', &[good()]);
    let other = Ipv6Addr::from_bits(GIVEN.to_bits() + 1);
    bench.answer(&seen, ADVERTISE, b'b', &[option(7, &[9]), group(other, 100, 200, 300, 400)]);
    assert!(bench.udp.sent.is_empty());
    bench.pass(2);
    let seen = bench.sent(REQUEST);
    assert_eq!((seen.option(2), &seen.addresses()[..]), (Some(&[0, 2, b'b'][..]), &[other][..]));
    bench.answer(&seen, REPLY, b'a', &[good()]);
    assert!(bench.addresses().is_empty(), "of a server that was not asked");
    let names = [option(23, &DNS.octets()), option(24, b"\x01a\x07example\0\x03lan\0")];
    bench.answer(&seen, REPLY, b'b', &[&[group(other, 100, 200, 300, 400)][..], &names].concat());
    assert_eq!(bench.addresses(), [other]);
    assert_eq!(
        (&bench.ip.lease.servers[..], bench.ip.lease.search.as_str()),
        (&[DNS][..], "a.example lan")
    );
    bench.udp.sent.clear();
    assert_eq!(bench.cx.pool().available(), bench.cx.pool().count());
}

#[test]
fn the_greatest_preference_ends_the_search() {
    let mut bench = Bench::new(Managed::Addresses);
    bench.pass(1);
    let seen = bench.sent(SOLICIT);
    bench.answer(&seen, ADVERTISE, b'a', &[status(2)]);
    assert_eq!(bench.dhcp.counters.refusals.get(), 1, "it has no address");
    bench.answer(&seen, ADVERTISE, b'a', &[option(7, &[255]), good()]);
    assert_eq!(bench.sent(REQUEST).addresses(), [GIVEN]);
}

#[test]
fn a_lease_is_renewed_in_time() {
    let mut bench = Bench::bound();
    bench.pass(99);
    assert!(bench.udp.sent.is_empty());
    bench.pass(2);
    let seen = bench.sent(RENEW);
    assert_eq!((seen.option(2), &seen.addresses()[..]), (Some(&[0, 2, b'a'][..]), &[GIVEN][..]));
    bench.answer(&seen, REPLY, b'a', &[good()]);
    bench.pass(98);
    assert!(bench.udp.sent.is_empty(), "it counts anew");
    bench.pass(3);
    bench.sent(RENEW);
    // Nobody answers: from the second time on all are asked, and then it is over.
    bench.pass(96);
    bench.udp.sent.clear();
    bench.pass(4);
    let seen = bench.sent(REBIND);
    assert_eq!((seen.option(2), &seen.addresses()[..]), (None, &[GIVEN][..]));
    bench.pass(195);
    assert_eq!(bench.addresses(), [GIVEN]);
    bench.pass(6);
    assert!(bench.addresses().is_empty());
    bench.udp.sent.retain(|packet| packet.bytes()[0] == SOLICIT);
    assert_eq!(bench.dhcp.counters.expired.get(), 1);
    assert!(!bench.udp.sent.is_empty());
}

#[test]
fn a_short_lease_is_renewed_before_it_ends_and_a_long_one_not_all_the_time() {
    let mut bench = Bench::bound();
    for (given, renew, rebind) in [
        (group(GIVEN, 3, 5, 6, 8), 4, 5),
        (group(GIVEN, 0, 0, 6, 8), 4, 6),
        (group(GIVEN, 1, 2, 600, 800), 10, 405),
        (group(GIVEN, 0, 0, 0, 800), 10, 405),
        (group(GIVEN, 10, 10, 20, 30), 10, 20),
    ] {
        bench.udp.sent.clear();
        let at = bench.dhcp.lease.as_ref().unwrap().renew;
        bench.pass(at.since(bench.cx.now()).as_secs() + 1);
        let seen = bench.sent(RENEW);
        bench.answer(&seen, REPLY, b'a', &[given]);
        let lease = bench.dhcp.lease.as_ref().unwrap();
        let times = [lease.renew, lease.rebind].map(|it| it.since(bench.dhcp.retry.asked()));
        assert_eq!(times, [renew, rebind].map(Duration::from_secs));
    }
}

#[test]
fn any_server_may_go_on_with_a_lease() {
    let mut bench = Bench::bound();
    bench.pass(201);
    let last = bench.udp.sent.pop_back().unwrap();
    let seen = Seen::parse(last.bytes());
    assert_eq!(seen.kind, REBIND);
    drop(last);
    bench.udp.sent.clear();
    bench.answer(&seen, REPLY, b'b', &[good()]);
    bench.pass(101);
    assert_eq!(bench.sent(RENEW).option(2), Some(&[0, 2, b'b'][..]));
}

/// A group in which the server does not know the address.
fn unknown() -> List<u8> {
    option(3, &[&[0, 0, 0, 1][..], &[0; 8], &status(3)].concat())
}

/// Addresses in one group, each with how long it is valid.
fn several(addresses: &[(Ipv6Addr, u32)]) -> List<u8> {
    let head = [1_u32, 100, 200].map(u32::to_be_bytes).concat();
    let each = addresses.iter().map(|(address, valid)| {
        option(5, &[&address.octets()[..], &[valid.to_be_bytes(); 2].concat()].concat())
    });
    option(3, &each.fold(head, |all, one| [all, one].concat()))
}

const ANOTHER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x51);

#[test]
fn a_server_that_does_not_know_the_lease_is_asked_for_the_same() {
    let mut bench = Bench::bound();
    bench.pass(101);
    let seen = bench.sent(RENEW);
    bench.answer(&seen, REPLY, b'a', &[unknown()]);
    assert_eq!(bench.addresses(), [GIVEN], "nobody has refused it");
    let seen = bench.sent(REQUEST);
    assert_eq!((seen.option(2), &seen.addresses()[..]), (Some(&[0, 2, b'a'][..]), &[GIVEN][..]));
    bench.answer(&seen, REPLY, b'a', &[good()]);
    bench.pass(99);
    assert!(bench.udp.sent.is_empty() && bench.addresses() == [GIVEN]);
    // Refused, and another one is wanted.
    bench.pass(2);
    let seen = bench.sent(RENEW);
    bench.answer(&seen, REPLY, b'a', &[unknown()]);
    let seen = bench.sent(REQUEST);
    bench.answer(&seen, REPLY, b'a', &[status(2)]);
    assert!(bench.addresses().is_empty());
    bench.pass(2);
    assert!(bench.sent(SOLICIT).addresses().is_empty());
    // What it gives instead takes the place of what it did not know.
    let mut bench = Bench::bound();
    bench.pass(101);
    let seen = bench.sent(RENEW);
    bench.answer(&seen, REPLY, b'a', &[unknown()]);
    let seen = bench.sent(REQUEST);
    bench.answer(&seen, REPLY, b'a', &[several(&[(ANOTHER, 300)])]);
    assert_eq!(bench.addresses(), [ANOTHER]);
    // It says nothing more: the others are asked, until the lease ends.
    let mut bench = Bench::bound();
    bench.pass(101);
    let seen = bench.sent(RENEW);
    bench.answer(&seen, REPLY, b'a', &[unknown()]);
    bench.pass(290);
    assert_eq!(bench.addresses(), [GIVEN]);
    assert_eq!(bench.udp.sent.back().map(|packet| packet.bytes()[0]), Some(REBIND));
    bench.pass(10);
    assert_eq!((bench.addresses().len(), bench.dhcp.counters.expired.get()), (0, 1));
}

#[test]
fn a_message_that_succeeds_and_one_that_does_not_say_more_than_their_parts() {
    for (parts, kind) in [
        // The message is fine, its addresses are not: whatever comes first.
        ([unknown(), status(0)], REQUEST),
        ([status(0), unknown()], REQUEST),
        // The message is not: what it says of addresses does not matter.
        ([status(1), unknown()], RENEW),
        ([unknown(), status(1)], RENEW),
        ([good(), status(1)], RENEW),
    ] {
        let mut bench = Bench::bound();
        bench.pass(101);
        let seen = bench.sent(RENEW);
        bench.answer(&seen, REPLY, b'a', &parts);
        bench.pass(12);
        bench.sent(kind);
    }
}

#[test]
fn a_server_ends_addresses_by_a_lifetime_of_nothing() {
    let mut bench = Bench::bound();
    bench.pass(101);
    let seen = bench.sent(RENEW);
    bench.answer(&seen, REPLY, b'a', &[several(&[(ANOTHER, 1000)])]);
    assert_eq!(bench.addresses(), [ANOTHER, GIVEN], "what it does not speak of stays");
    bench.pass(101);
    let seen = bench.sent(RENEW);
    assert_eq!(seen.addresses(), [ANOTHER, GIVEN]);
    bench.answer(&seen, REPLY, b'a', &[several(&[(GIVEN, 0), (ANOTHER, 1000)])]);
    assert_eq!(bench.addresses(), [ANOTHER]);
    bench.pass(101);
    let seen = bench.sent(RENEW);
    bench.answer(&seen, REPLY, b'a', &[several(&[(ANOTHER, 0)])]);
    assert!(bench.addresses().is_empty());
    assert!(bench.sent(SOLICIT).addresses().is_empty(), "another one is wanted");
}

#[test]
fn an_address_that_another_host_has_is_declined() {
    let mut bench = Bench::bound();
    let _ = bench.ip.network.duplicates.push(GIVEN);
    bench.sweep();
    assert!(bench.addresses().is_empty());
    bench.ip.network.duplicates.clear();
    let seen = bench.sent(DECLINE);
    assert_eq!((seen.option(2), &seen.addresses()[..]), (Some(&[0, 2, b'a'][..]), &[GIVEN][..]));
    bench.answer(&seen, REPLY, b'a', &[status(0)]);
    assert!(bench.udp.sent.is_empty());
    bench.pass(1);
    let seen = bench.sent(SOLICIT);
    assert!(seen.addresses().is_empty(), "another one is wanted");
    assert_eq!(bench.dhcp.counters.declined.get(), 1);
}

#[test]
fn servers_that_give_what_is_of_no_use_are_asked_ever_more_seldom() {
    let mut bench = Bench::new(Managed::Addresses);
    let waits_for = |bench: &mut Bench| {
        let start = bench.cx.now();
        while bench.udp.sent.is_empty() {
            bench.pass(1);
        }
        (bench.sent(SOLICIT), bench.cx.now().since(start).as_secs())
    };
    let (mut seen, _) = waits_for(&mut bench);
    for wait in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1024] {
        if wait % 3 == 1 {
            // Refused.
            bench.answer(&seen, ADVERTISE, b'a', &[option(7, &[255]), good()]);
            let request = bench.sent(REQUEST);
            bench.answer(&request, REPLY, b'a', &[status(2)]);
        } else {
            // Given, and another host has it.
            bench.answer(&seen, REPLY, b'a', &[option(14, b""), good()]);
            let _ = bench.ip.network.duplicates.push(GIVEN);
            bench.sweep();
            bench.ip.network.duplicates.clear();
            let decline = bench.sent(DECLINE);
            bench.answer(&decline, REPLY, b'a', &[status(0)]);
        }
        let waited;
        (seen, waited) = waits_for(&mut bench);
        assert!((wait..=wait + 1).contains(&waited), "{waited} instead of {wait}");
    }
    // One that was good for long enough makes all good.
    bench.answer(&seen, REPLY, b'a', &[option(14, b""), good()]);
    bench.pass(101);
    let renew = bench.sent(RENEW);
    bench.answer(&renew, REPLY, b'a', &[good()]);
    assert_eq!(bench.dhcp.failures, 0);
}

#[test]
fn what_was_given_is_kept_as_long_as_its_server_wants_when_routers_do_not_say_so_any_more() {
    for (managed, kind) in [(Managed::No, None), (Managed::Other, Some(INFORM))] {
        let mut bench = Bench::bound();
        bench.ip.network.managed = managed;
        bench.pass(101);
        let seen = bench.sent(RENEW);
        bench.answer(&seen, REPLY, b'a', &[good()]);
        assert_eq!(bench.addresses(), [GIVEN]);
        bench.pass(399);
        bench.udp.sent.clear();
        bench.pass(3);
        assert!(bench.addresses().is_empty());
        let sent = bench.udp.sent.front().map(|packet| packet.bytes()[0]);
        assert_eq!(sent, kind, "nobody says that there is another");
        // And it is asked for again when they do.
        bench.udp.sent.clear();
        bench.ip.network.managed = Managed::Addresses;
        bench.sweep();
        bench.pass(1);
        bench.sent(SOLICIT);
    }
}

#[test]
fn only_the_address_that_another_host_has_is_declined() {
    let mut bench = Bench::bound();
    bench.pass(101);
    let seen = bench.sent(RENEW);
    bench.answer(&seen, REPLY, b'a', &[several(&[(GIVEN, 1000), (ANOTHER, 1000)])]);
    let _ = bench.ip.network.duplicates.push(GIVEN);
    bench.sweep();
    assert_eq!(bench.addresses(), [ANOTHER]);
    let seen = bench.sent(DECLINE);
    assert_eq!(seen.addresses(), [GIVEN]);
    bench.answer(&seen, REPLY, b'a', &[status(0)]);
    assert_eq!((bench.addresses(), bench.dhcp.counters.declined.get()), (vec![ANOTHER], 1));
    assert!(bench.udp.sent.is_empty());
    bench.pass(101);
    assert_eq!(bench.sent(RENEW).addresses(), [ANOTHER]);
    // Nobody answers, and nothing is left.
    let _ = bench.ip.network.duplicates.push(ANOTHER);
    bench.sweep();
    assert!(bench.addresses().is_empty());
    bench.ip.link_up = false;
    bench.sweep();
    bench.ip.link_up = true;
    bench.sweep();
    assert_eq!(bench.sent(DECLINE).addresses(), [ANOTHER]);
    bench.pass(20);
    bench.udp.sent.retain(|packet| packet.bytes()[0] == SOLICIT);
    assert!(bench.sent(SOLICIT).addresses().is_empty());
}

#[test]
fn a_link_that_comes_back_is_asked_whether_the_address_fits() {
    for (code, kept) in [(0, true), (4, false)] {
        let mut bench = Bench::bound();
        bench.ip.link_up = false;
        bench.sweep();
        assert!(bench.deadline() > bench.cx.now());
        bench.ip.link_up = true;
        bench.sweep();
        assert!(bench.udp.sent.is_empty(), "not all at once that were cut off together");
        bench.pass(1);
        let seen = bench.sent(CONFIRM);
        assert_eq!((seen.addresses(), seen.option(2)), (vec![GIVEN], None));
        bench.answer(&seen, REPLY, b'a', &[status(code)]);
        assert_eq!(bench.addresses().is_empty(), !kept);
        if !kept {
            bench.sent(SOLICIT);
        }
    }
    // Nobody says that it does not.
    let mut bench = Bench::bound();
    bench.ip.link_up = false;
    bench.sweep();
    bench.ip.link_up = true;
    bench.sweep();
    bench.pass(9);
    assert_eq!((bench.dhcp.state, bench.udp.sent.len()), (State::Confirming, 4));
    bench.pass(3);
    assert_eq!((bench.dhcp.state, bench.addresses()), (State::Bound, vec![GIVEN]));
    assert_eq!(bench.udp.sent.len(), 4);
}

#[test]
fn what_is_no_address_is_asked_for_alone_and_again_when_it_is_old() {
    let mut bench = Bench::new(Managed::Other);
    bench.pass(1);
    let seen = bench.sent(INFORM);
    bench.udp.sent.clear();
    assert!(seen.option(3).is_none() && seen.option(14).is_none());
    assert_eq!(seen.option(6), Some(&[0, 23, 0, 24, 0, 82, 0, 32, 0, 83][..]));
    let refresh = option(32, &700_u32.to_be_bytes());
    bench.answer(&seen, REPLY, b'a', &[option(23, &DNS.octets()), refresh]);
    assert_eq!(bench.ip.lease.servers, [DNS]);
    bench.pass(699);
    assert!(bench.udp.sent.is_empty());
    bench.pass(2);
    let seen = bench.sent(INFORM);
    bench.udp.sent.clear();
    // Less than ten minutes is not believed.
    bench.answer(&seen, REPLY, b'a', &[option(32, &1_u32.to_be_bytes())]);
    assert!(bench.ip.lease.servers.is_empty());
    bench.pass(590);
    assert!(bench.udp.sent.is_empty());
}

#[test]
fn nothing_is_asked_before_there_is_an_address_to_be_answered_at() {
    let mut bench = Bench::with(Config { mode: Mode::Addresses, rapid: false }, Managed::No);
    bench.ip.ready = false;
    bench.pass(5);
    assert!(bench.udp.sent.is_empty());
    bench.ip.ready = true;
    bench.pass(1);
    let seen = bench.sent(SOLICIT);
    assert!(seen.option(14).is_none());
    assert_eq!(seen.option(8), Some(&[0, 0][..]), "the time counts from the first message");
    bench.pass(2);
    let elapsed = bench.sent(SOLICIT).option(8).map(|it| u16::from_be_bytes([it[0], it[1]]));
    assert!(elapsed.is_some_and(|elapsed| (100..=110).contains(&elapsed)), "{elapsed:?}");
}

#[test]
fn what_is_no_answer_is_dropped_for_a_reason() {
    let mut bench = Bench::new(Managed::Addresses);
    bench.pass(1);
    let seen = bench.sent(SOLICIT);
    let [a, b, c] = seen.transaction;
    let ids = [option(1, &wire::client(MAC)), option(2, b"\0\x02a")].concat();
    let message = |kind: u8, options: &[u8]| [&[kind, a, b, c][..], options].concat();
    let offer = message(ADVERTISE, &[&ids[..], &good()].concat());
    bench.deliver(547, &[&[ADVERTISE, a, b, c ^ 1][..], &offer[4..]].concat());
    bench.deliver(547, &message(SOLICIT, &ids));
    bench.deliver(547, &message(ADVERTISE, &option(2, b"\0\x02a")));
    bench.deliver(547, &message(ADVERTISE, &option(1, &wire::client(MAC))));
    let other = wire::client(Mac([2, 0, 0, 0, 0, 2]));
    bench.deliver(547, &message(ADVERTISE, &[option(1, &other), option(2, b"x")].concat()));
    assert_eq!(bench.dhcp.counters.foreign.get(), 5);
    bench.deliver(547, &offer[..offer.len() - 1]);
    bench.deliver(547, b"\x02");
    bench.deliver(547, &message(ADVERTISE, &[&ids[..], &option(3, &[0, 0, 0, 1])].concat()));
    assert_eq!(bench.dhcp.counters.malformed.get(), 3);
    bench.deliver(547, &message(REPLY, &[&ids[..], &good()].concat()));
    assert_eq!(bench.dhcp.counters.unexpected.get(), 1, "it did not say that it is rapid");
    assert!(bench.addresses().is_empty());
    // Whichever port it comes from (section 7.2 fixes those that are sent to).
    bench.deliver(548, &message(REPLY, &[&ids[..], &good()].concat()));
    assert_eq!(bench.dhcp.counters.unexpected.get(), 2);
    // An address that is no host's, one that lasts longer than it is valid, and times that
    // contradict each other, are not taken.
    for wrong in [
        group(Ipv6Addr::LOCALHOST, 1, 2, 3, 4),
        group(GIVEN, 100, 200, 500, 400),
        group(GIVEN, 300, 200, 300, 400),
        group(GIVEN, 100, 200, 0, 0),
    ] {
        bench.answer(&seen, ADVERTISE, b'a', &[wrong]);
    }
    assert_eq!((bench.dhcp.counters.refusals.get(), bench.dhcp.counters.offers.get()), (4, 0));
}

#[test]
fn servers_set_the_longest_wait_within_limits() {
    let mut bench = Bench::new(Managed::Addresses);
    bench.pass(1);
    let seen = bench.sent(SOLICIT);
    bench.answer(&seen, ADVERTISE, b'a', &[option(82, &59_u32.to_be_bytes()), status(2)]);
    assert_eq!(bench.dhcp.solicit_max, SOLICIT_MAX);
    bench.answer(&seen, ADVERTISE, b'a', &[option(82, &60_u32.to_be_bytes()), status(2)]);
    assert_eq!(bench.dhcp.solicit_max, Duration::from_secs(60));
    // What is under way obeys, too: nobody offers anything, and the waits stay short.
    let mut times = List::new();
    for _ in 0..1000 {
        bench.pass(1);
        if bench.udp.sent.pop_front().is_some() {
            times.push(bench.cx.now().since(Instant::ZERO).as_secs());
        }
    }
    let waits: List<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits.iter().all(|wait| *wait <= 67) && waits.len() > 15, "{waits:?}");
    // Nor does a wait that has begun go on for longer.
    let mut bench = Bench::new(Managed::Addresses);
    bench.pass(3000);
    let seen = Seen::parse(bench.udp.sent.pop_back().unwrap().bytes());
    bench.udp.sent.clear();
    bench.answer(&seen, ADVERTISE, b'a', &[option(82, &60_u32.to_be_bytes()), status(2)]);
    bench.pass(66);
    bench.sent(SOLICIT);
}

#[test]
fn arbitrary_bytes_do_no_harm() {
    let mut random = waitless::Random::new([8; 32]);
    let mut bench = Bench::new(Managed::Addresses);
    bench.pass(1);
    let seen = bench.sent(SOLICIT);
    let [a, b, c] = seen.transaction;
    let parts =
        [option(1, &wire::client(MAC)), option(2, b"\0\x02a"), good(), option(24, b"\x01a\0")];
    let good = [&[ADVERTISE, a, b, c][..], &parts.concat()].concat();
    for _ in 0..100_000 {
        let mut message = good.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(message.len() as u64) as usize;
            message[at] = random.u32() as u8;
        }
        message.truncate(random.below(message.len() as u64 * 2) as usize);
        let number = u32::from_be_bytes([0, a, b, c]);
        let _ = Answer::parse(&message, number, MAC);
    }
}
