//! Between a link and IP.

use super::{cx, packet, receive, transmit};
use crate::relay::{LinkRelay, Relay, RelayOver};
use crate::{BATCH, ClaimState, EtherType, LinkPort, Mac, NextHop, Offloads, Packet};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

const OURS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const THEIRS: Mac = Mac([2, 0, 0, 0, 0, 9]);

#[derive(Default)]
struct Link {
    ip4: VecDeque<Packet>,
    ip6: VecDeque<Packet>,
    asked: Vec<u16>,
    claims: Vec<Option<Ipv4Addr>>,
    sent: Vec<(EtherType, NextHop, Packet)>,
    room: usize,
    taken: bool,
}

impl LinkPort for Link {
    fn mac(&self) -> Mac {
        Mac([2, 0, 0, 0, 0, 1])
    }

    fn mtu(&self) -> u16 {
        1400
    }

    fn offloads(&self) -> Offloads {
        Offloads { checksum: true, segmentation: 65_535 }
    }

    fn link_up(&self) -> bool {
        true
    }

    fn claim(&mut self, address: Option<Ipv4Addr>) {
        self.claims.push(address);
    }

    fn claim_state(&self) -> ClaimState {
        match self.claims.last() {
            Some(Some(_)) if self.taken => ClaimState::Conflict(THEIRS),
            Some(Some(_)) => ClaimState::Owned,
            _ => ClaimState::None,
        }
    }

    fn recv(&mut self, protocol: EtherType) -> Option<Packet> {
        self.asked.push(protocol.0);
        match protocol {
            EtherType::IPV4 => self.ip4.pop_front(),
            EtherType::IPV6 => self.ip6.pop_front(),
            _ => None,
        }
    }

    fn send(&mut self, protocol: EtherType, to: NextHop, packet: Packet) -> Result<(), Packet> {
        if self.room() == 0 {
            return Err(packet);
        }
        self.sent.push((protocol, to, packet));
        Ok(())
    }

    fn room(&self) -> usize {
        self.room - self.sent.len()
    }
}

#[test]
fn what_the_link_says_shows_through_but_not_its_segmentation() {
    let (mut cx, mut link, mut relay) = (cx(), Link::default(), LinkRelay::default());
    relay.refresh(&mut link, &mut cx);
    assert_eq!((relay.mac(), relay.mtu(), relay.link_up()), (link.mac(), 1400, true));
    assert_eq!(relay.offloads(), Offloads { checksum: true, segmentation: 0 });
    assert!(relay.is_idle());
}

#[test]
fn only_what_is_asked_for_is_taken_and_that_in_order() {
    let (mut cx, mut link, mut relay) = (cx(), Link::default(), LinkRelay::default());
    for number in 0..3 {
        link.ip4.push_back(packet(&cx, &[number]));
        link.ip6.push_back(packet(&cx, &[number]));
    }
    receive(&mut relay, &mut link, &mut cx);
    assert!(link.asked.is_empty(), "nobody has asked yet");
    assert!(relay.recv(EtherType::IPV4).is_none());
    // The link hears in the same sweep that somebody asks.
    transmit(&mut relay, &mut link, &mut cx);
    assert_eq!(link.asked, [EtherType::IPV4.0]);
    assert!(!relay.is_idle(), "what came with that needs another sweep");
    receive(&mut relay, &mut link, &mut cx);
    for number in 0..3 {
        assert_eq!(relay.recv(EtherType::IPV4).unwrap().bytes(), [number]);
    }
    assert!(relay.recv(EtherType::IPV4).is_none());
    assert_eq!(link.ip6.len(), 3);
    assert!(relay.is_idle());
}

#[test]
fn a_reader_that_does_not_pull_leaves_packets_below() {
    let (mut cx, mut link, mut relay) = (cx(), Link::default(), LinkRelay::default());
    relay.recv(EtherType::IPV4);
    link.ip4.extend((0..100).map(|number| packet(&cx, &[number])));
    for _ in 0..5 {
        receive(&mut relay, &mut link, &mut cx);
    }
    assert_eq!(link.ip4.len(), 100 - BATCH);
    for number in 0..100 {
        assert_eq!(relay.recv(EtherType::IPV4).unwrap().bytes(), [number]);
        receive(&mut relay, &mut link, &mut cx);
    }
}

#[test]
fn packets_go_down_to_their_hops_as_far_as_there_is_room() {
    let (mut cx, mut link, mut relay) = (cx(), Link::default(), LinkRelay::default());
    link.room = 2;
    let hops = [NextHop::Broadcast, NextHop::Mac(THEIRS), NextHop::Ipv4(OURS)];
    for hop in hops {
        assert!(relay.send(EtherType::IPV4, hop, packet(&cx, b"x")).is_ok());
    }
    assert_eq!(LinkPort::room(&relay), BATCH - 3);
    transmit(&mut relay, &mut link, &mut cx);
    assert_eq!((link.sent.len(), relay.is_idle()), (2, false));
    link.room = 3;
    transmit(&mut relay, &mut link, &mut cx);
    assert!(link.sent.iter().map(|(_, hop, _)| *hop).eq(hops));
    assert!(relay.is_idle());
}

#[test]
fn a_full_relay_gives_packets_back() {
    let (cx, mut relay) = (cx(), LinkRelay::default());
    let send = |relay: &mut LinkRelay| {
        relay.send(EtherType::IPV4, NextHop::Broadcast, packet(&cx, b"x")).is_ok()
    };
    assert!((0..BATCH).all(|_| send(&mut relay)));
    assert_eq!(LinkPort::room(&relay), 0);
    assert!(!send(&mut relay));
}

#[test]
fn a_claim_is_passed_on_once_and_not_known_before() {
    let (mut cx, mut link, mut relay) = (cx(), Link::default(), LinkRelay::default());
    relay.refresh(&mut link, &mut cx);
    assert_eq!(relay.claim_state(), ClaimState::None);
    relay.claim(Some(OURS));
    assert_eq!(relay.claim_state(), ClaimState::Probing);
    assert!(!relay.is_idle());
    relay.refresh(&mut link, &mut cx);
    assert_eq!(relay.claim_state(), ClaimState::Owned);
    relay.claim(Some(OURS));
    assert_eq!(relay.claim_state(), ClaimState::Owned, "it is claimed already");
    relay.refresh(&mut link, &mut cx);
    assert_eq!(link.claims, [Some(OURS)]);
    link.taken = true;
    relay.refresh(&mut link, &mut cx);
    assert_eq!(relay.claim_state(), ClaimState::Conflict(THEIRS));
}

#[test]
fn an_address_that_is_given_up_and_claimed_again_is_given_up_below_too() {
    let (mut cx, mut link, mut relay) = (cx(), Link::default(), LinkRelay::default());
    relay.claim(Some(OURS));
    relay.refresh(&mut link, &mut cx);
    for _ in 0..5 {
        relay.claim(None);
        assert_eq!(relay.claim_state(), ClaimState::None);
        relay.claim(Some(OURS));
    }
    relay.refresh(&mut link, &mut cx);
    assert_eq!(link.claims, [Some(OURS), None, Some(OURS)]);
}
