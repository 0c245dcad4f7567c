//! Between IP and a transport. That it answers like IPv4 is tested with IPv4.

use super::{count, cx, packet, receive, transmit};
use crate::relay::{IpRelay, Relay, RelayOver};
use crate::{
    ClaimState, IpPort, Ipv4Configuration, Mac, Offloads, Packet, PathError, PathErrorKind,
    Protocol, Reject, network,
};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

const SETTINGS: Ipv4Configuration = Ipv4Configuration {
    address: Ipv4Addr::new(10, 0, 0, 1),
    prefix: 24,
    gateway: None,
    dns: [Ipv4Addr::UNSPECIFIED; 3],
    mtu: 0,
    routes: &[],
};
const OURS: IpAddr = IpAddr::V4(SETTINGS.address);
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

const ERROR: PathError =
    PathError { kind: PathErrorKind::Unreachable(1), local: OURS, remote: PEER, header: [0; 8] };

#[derive(Default)]
struct Ip {
    arrived: [VecDeque<Packet>; 3],
    errors: VecDeque<(Protocol, PathError)>,
    rejects: VecDeque<(Packet, Reject)>,
    sent: Vec<Protocol>,
    refuses: bool,
    rejected: Vec<(Protocol, Reject)>,
    reported: Vec<Protocol>,
    configured: Vec<Option<Ipv4Configuration>>,
    settings: Option<Ipv4Configuration>,
    /// Whether the address may be used.
    active: bool,
    generation: u32,
}

impl Ip {
    fn arrived(&mut self, protocol: Protocol) -> &mut VecDeque<Packet> {
        let at = [Protocol::ICMP, Protocol::TCP, Protocol::UDP].iter().position(|p| *p == protocol);
        &mut self.arrived[at.unwrap()]
    }

    fn active(&self) -> Option<&Ipv4Configuration> {
        self.settings.as_ref().filter(|_| self.active)
    }
}

impl IpPort for Ip {
    fn recv(&mut self, protocol: Protocol) -> Option<Packet> {
        self.arrived(protocol).pop_front()
    }

    fn send(&mut self, protocol: Protocol, packet: Packet) -> Result<(), Packet> {
        if self.refuses {
            return Err(packet);
        }
        self.sent.push(protocol);
        Ok(())
    }

    fn room(&self) -> usize {
        1000
    }

    fn source_for(&self, remote: IpAddr) -> Option<IpAddr> {
        network::source_for(self.active(), remote)
    }

    fn is_local(&self, address: IpAddr) -> bool {
        network::is_local(self.active(), address)
    }

    fn is_broadcast(&self, address: IpAddr) -> bool {
        network::is_broadcast(self.active(), address)
    }

    fn mtu(&self, _: IpAddr) -> u16 {
        1280
    }

    fn offloads(&self) -> Offloads {
        Offloads { checksum: true, segmentation: 65_535 }
    }

    fn reject(&mut self, protocol: Protocol, _: Packet, why: Reject) {
        self.rejected.push((protocol, why));
    }

    fn rejected(&mut self) -> Option<(Packet, Reject)> {
        self.rejects.pop_front()
    }

    fn report(&mut self, protocol: Protocol, _: PathError) {
        self.reported.push(protocol);
    }

    fn path_error(&mut self, protocol: Protocol) -> Option<PathError> {
        let at = self.errors.iter().position(|(of, _)| *of == protocol)?;
        self.errors.remove(at).map(|(_, error)| error)
    }

    fn wants_address(&self) -> bool {
        true
    }

    fn configure(&mut self, configuration: Option<Ipv4Configuration>) {
        self.configured.push(configuration);
        self.settings = configuration;
    }

    fn configuration(&self) -> Option<&Ipv4Configuration> {
        self.settings.as_ref()
    }

    fn claim_state(&self) -> ClaimState {
        if self.active { ClaimState::Owned } else { ClaimState::None }
    }

    fn generation(&self) -> u32 {
        self.generation
    }

    fn mac(&self) -> Mac {
        Mac([2, 0, 0, 0, 0, 1])
    }
}

#[test]
fn what_ip_says_shows_through_but_not_the_cards_segmentation() {
    let (mut cx, mut relay) = (cx(), IpRelay::default());
    let mut ip = Ip { settings: Some(SETTINGS), active: true, generation: 7, ..Ip::default() };
    relay.refresh(&mut ip, &mut cx);
    assert_eq!((relay.mac(), relay.mtu(PEER), relay.generation()), (ip.mac(), 1280, 7));
    assert_eq!(relay.offloads(), Offloads { checksum: true, segmentation: 0 });
    assert_eq!((relay.claim_state(), relay.link_up()), (ClaimState::Owned, true));
    assert!(relay.wants_address() && relay.is_local(OURS) && !relay.is_local(PEER));
    assert_eq!(relay.source_for(PEER), Some(OURS));
    assert!(relay.is_broadcast(Ipv4Addr::new(10, 0, 0, 255).into()));
}

#[test]
fn under_one_transport_the_packets_of_others_stay_below() {
    let (mut cx, mut ip, mut relay) = (cx(), Ip::default(), IpRelay::default());
    relay.recv(Protocol::TCP);
    relay.path_error(Protocol::TCP);
    for protocol in [Protocol::ICMP, Protocol::TCP, Protocol::UDP] {
        ip.arrived(protocol).push_back(packet(&cx, &[protocol.0]));
        ip.errors.push_back((protocol, ERROR));
        ip.rejects.push_back((packet(&cx, b"x"), Reject::Port));
    }
    receive(&mut relay, &mut ip, &mut cx);
    assert_eq!(relay.recv(Protocol::TCP).unwrap().bytes(), [6]);
    assert_eq!(relay.path_error(Protocol::TCP), Some(ERROR));
    assert_eq!(ip.arrived(Protocol::UDP).len() + ip.arrived(Protocol::ICMP).len(), 2);
    assert_eq!((ip.errors.len(), ip.rejects.len()), (2, 3));
    assert!(relay.is_idle());
}

#[test]
fn under_icmp_rejects_come_up_and_reports_go_down() {
    let (mut cx, mut ip, mut relay) = (cx(), Ip::default(), IpRelay::default());
    assert!(relay.rejected().is_none());
    ip.rejects.push_back((packet(&cx, b"x"), Reject::Port));
    receive(&mut relay, &mut ip, &mut cx);
    assert!(!relay.is_idle());
    assert_eq!(relay.rejected().map(|(_, why)| why), Some(Reject::Port));
    relay.report(Protocol::TCP, ERROR);
    relay.reject(Protocol::ICMP, packet(&cx, b"x"), Reject::Protocol);
    assert!(!relay.is_idle());
    transmit(&mut relay, &mut ip, &mut cx);
    assert_eq!(ip.reported, [Protocol::TCP]);
    assert_eq!(ip.rejected, [(Protocol::ICMP, Reject::Protocol)]);
    for _ in 0..20 {
        relay.report(Protocol::TCP, ERROR);
        relay.reject(Protocol::ICMP, packet(&cx, b"x"), Reject::Protocol);
    }
    assert_eq!((count(&relay, "reports_dropped"), count(&relay, "rejects_dropped")), (12, 4));
    transmit(&mut relay, &mut ip, &mut cx);
    drop(ip);
    assert_eq!(cx.pool().available(), cx.pool().count());
}

#[test]
fn path_errors_of_two_protocols_keep_apart() {
    let (mut cx, mut ip, mut relay) = (cx(), Ip::default(), IpRelay::default());
    relay.path_error(Protocol::TCP);
    relay.path_error(Protocol::UDP);
    let of = |code| PathError { kind: PathErrorKind::Unreachable(code), ..ERROR };
    ip.errors.extend([(Protocol::TCP, of(0)), (Protocol::UDP, of(1)), (Protocol::TCP, of(2))]);
    relay.refresh(&mut ip, &mut cx);
    assert_eq!(relay.path_error(Protocol::UDP), Some(of(1)));
    assert_eq!(relay.path_error(Protocol::UDP), None);
    assert_eq!(relay.path_error(Protocol::TCP), Some(of(0)));
    assert_eq!(relay.path_error(Protocol::TCP), Some(of(2)));
}

#[test]
fn a_configuration_is_passed_on_and_its_address_not_used_before() {
    let (mut cx, mut ip, mut relay) = (cx(), Ip::default(), IpRelay::default());
    relay.refresh(&mut ip, &mut cx);
    assert_eq!(relay.source_for(Ipv4Addr::BROADCAST.into()), Some(Ipv4Addr::UNSPECIFIED.into()));
    assert_eq!(relay.source_for(PEER), None);
    relay.configure(Some(SETTINGS));
    assert_eq!(relay.configuration(), Some(&SETTINGS));
    assert!(!relay.is_local(OURS) && !relay.is_idle());
    transmit(&mut relay, &mut ip, &mut cx);
    assert_eq!(ip.configured, [Some(SETTINGS)]);
    ip.active = true;
    relay.refresh(&mut ip, &mut cx);
    assert!(relay.is_local(OURS));
    // A renewed lease does not take the address away.
    relay.configure(Some(Ipv4Configuration { mtu: 1400, ..SETTINGS }));
    assert!(relay.is_local(OURS));
    relay.configure(None);
    assert!(!relay.is_local(OURS));
    relay.configure(Some(SETTINGS));
    transmit(&mut relay, &mut ip, &mut cx);
    assert_eq!(ip.configured[1..], [None, Some(SETTINGS)]);
}

#[test]
fn what_ip_refuses_although_it_has_room_waits_and_keeps_its_place() {
    let (mut cx, mut ip, mut relay) = (cx(), Ip::default(), IpRelay::default());
    ip.refuses = true;
    assert!(relay.send(Protocol::TCP, packet(&cx, b"1")).is_ok());
    assert!(relay.send(Protocol::UDP, packet(&cx, b"2")).is_ok());
    transmit(&mut relay, &mut ip, &mut cx);
    assert!(ip.sent.is_empty() && !relay.is_idle());
    ip.refuses = false;
    transmit(&mut relay, &mut ip, &mut cx);
    assert_eq!(ip.sent, [Protocol::TCP, Protocol::UDP]);
    assert!(relay.is_idle());
}

/// A relay on a relay: what the upper one asks for reaches the layer below in the first sweep.
#[test]
fn relays_stand_on_each_other() {
    let (mut cx, mut ip) = (cx(), Ip::default());
    let (mut lower, mut upper) = (IpRelay::default(), IpRelay::default());
    ip.arrived(Protocol::TCP).push_back(packet(&cx, b"x"));
    for _ in 0..2 {
        receive(&mut lower, &mut ip, &mut cx);
        receive(&mut upper, &mut lower, &mut cx);
        if let Some(packet) = upper.recv(Protocol::TCP) {
            assert_eq!(packet.bytes(), b"x");
            return;
        }
        transmit(&mut upper, &mut lower, &mut cx);
        transmit(&mut lower, &mut ip, &mut cx);
        assert!(ip.arrived(Protocol::TCP).is_empty(), "asked for in the first sweep");
    }
    panic!("nothing came");
}
