//! The layer, lent a fake link. A test reads like a trace: what arrives, what comes up or goes
//! down.

extern crate std;

mod control;
mod packets;
mod relay;
mod transit;

use super::*;
use crate::message::Draft;
use crate::wire::{HEADER, Header, Outgoing};
use std::collections::VecDeque;
use std::vec;
use std::vec::Vec;
use waitless::network::v6::{multicast_mac, solicited_node};
use waitless::testing;

const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
const STATION: Mac = Mac([2, 0, 0, 0, 0, 2]);
const OURS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 1);
const PEER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 2);
const GATEWAY: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xff);
const FAR: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 9, 9, 0, 0, 0, 9);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Of the station's address.
const LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 1);

const CONFIG: Config = Config {
    addresses: &[(OURS, 64)],
    gateway: Some(GATEWAY),
    autoconfigure: true,
    identifiers: Identifiers::Eui64,
    secret: None,
    duplicate_probes: 1,
    redirects: true,
    hop_limit: None,
    mtu: None,
    neighbours: 64,
    pending: 32,
    reassembly: 16,
    reassembly_timeout: Duration::from_secs(60),
    advertise: false,
};

/// A link whose wire is two queues.
struct Link {
    arriving: VecDeque<Packet>,
    sent: VecDeque<(Mac, Packet)>,
    room: usize,
    up: bool,
    leads: bool,
}

impl LinkPort for Link {
    fn mac(&self) -> Mac {
        MAC
    }

    fn mtu(&self) -> u16 {
        1500
    }

    fn offloads(&self) -> Offloads {
        Offloads::default()
    }

    fn link_up(&self) -> bool {
        self.up
    }

    fn leads(&self) -> bool {
        self.leads
    }

    fn claim(&mut self, _: Option<core::net::Ipv4Addr>) {
        panic!("IPv6 claims nothing of the link");
    }

    fn claim_state(&self) -> ClaimState {
        ClaimState::None
    }

    fn recv(&mut self, protocol: EtherType) -> Option<Packet> {
        assert_eq!(protocol, EtherType::IPV6);
        self.arriving.pop_front()
    }

    fn send(&mut self, protocol: EtherType, to: NextHop, packet: Packet) -> Result<(), Packet> {
        assert_eq!(protocol, EtherType::IPV6);
        let NextHop::Mac(mac) = to else { panic!("IPv6 finds stations out itself") };
        if self.room() == 0 {
            return Err(packet);
        }
        self.sent.push_back((mac, packet));
        Ok(())
    }

    fn room(&self) -> usize {
        self.room - self.sent.len()
    }
}

struct Bench {
    ip: Ipv6,
    link: Link,
    cx: Context,
}

/// A packet that was sent.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Sent {
    mac: Mac,
    header: Header,
    payload: Vec<u8>,
}

impl Bench {
    fn start(config: Config) -> Self {
        Self::start_on(testing::context(256, 1), config)
    }

    fn start_on(mut cx: Context, config: Config) -> Self {
        let (arriving, sent) = (VecDeque::new(), VecDeque::new());
        let mut link = Link { arriving, sent, room: 200, up: true, leads: cx.core() == 0 };
        let mut ip = Ipv6::new(Box::leak(Box::new(config)), &mut cx);
        ip.init(&mut link, &mut cx).unwrap();
        let mut bench = Self { ip, link, cx };
        for _ in 0..2 {
            bench.sweep();
        }
        bench
    }

    /// One that uses its addresses, and whose neighbour and gateway are known.
    fn new(config: Config) -> Self {
        let mut bench = Self::start(config);
        bench.run_to(10);
        for address in [PEER, GATEWAY] {
            bench.ip.neighbours.spoke(address, STATION, address == GATEWAY, bench.ip.now);
        }
        bench.ip.changed();
        bench.link.sent.clear();
        bench
    }

    fn sweep(&mut self) {
        self.ip.receive(&mut self.link, &mut self.cx);
        for protocol in [Protocol::ICMPV6, Protocol::UDP, Protocol::TCP] {
            // Asks, without taking anything.
            let transport = self.ip.transport(protocol).unwrap();
            (transport.wanted, transport.errors_wanted) = (true, true);
        }
        self.ip.rejects_wanted = true;
        self.ip.transmit(&mut self.link, &mut self.cx);
    }

    fn deadline(&self) -> Instant {
        Component::<Link>::deadline(&self.ip)
    }

    /// Lets time pass up to `secs`, sweeping when the layer wants it.
    fn run_to(&mut self, secs: u64) {
        let end = Instant::ZERO + Duration::from_secs(secs);
        for _ in 0..10_000 {
            let due = self.deadline();
            if due > end || self.waits_for_others() {
                break;
            }
            self.cx.set_now(due);
            self.sweep();
        }
        assert!(self.deadline() > end || self.waits_for_others(), "it is busy with nothing");
        self.cx.set_now(end);
        self.sweep();
    }

    /// Whether something was left for those above.
    fn waits_for_others(&self) -> bool {
        let errors = [&self.ip.tcp, &self.ip.udp].into_iter().any(|it| !it.errors.is_empty());
        errors || !self.ip.rejects.is_empty()
    }

    fn packet(&self, bytes: &[u8]) -> Packet {
        let mut packet = self.cx.packet().unwrap();
        packet.append(bytes).unwrap();
        packet
    }

    fn arrive(&mut self, bytes: &[u8]) {
        let mut packet = self.packet(bytes);
        packet.info_mut().mac = STATION;
        self.link.arriving.push_back(packet);
        self.sweep();
    }

    fn send(&mut self, protocol: Protocol, to: Ipv6Addr, payload: &[u8]) {
        let mut packet = self.packet(payload);
        packet.info_mut().remote = to.into();
        self.ip.send(protocol, packet).unwrap();
        self.ip.transmit(&mut self.link, &mut self.cx);
    }

    fn sent(&mut self) -> Vec<Sent> {
        let sent = self.link.sent.drain(..).map(|(mac, packet)| {
            let header = Header::parse(packet.bytes()).unwrap();
            assert_eq!(header.total, packet.len());
            Sent { mac, header, payload: packet.bytes()[HEADER..].to_vec() }
        });
        sent.collect()
    }

    fn used(&self) -> Vec<Ipv6Addr> {
        self.ip.network.addresses.iter().map(|it| it.address).collect()
    }

    /// Packets that were kept or dropped for a reason, minus those reassembled.
    fn accounted(&self) -> u64 {
        let c = self.ip.counters;
        let reasons = [
            &c.delivered,
            &c.control,
            &c.short,
            &c.bad_version,
            &c.bad_length,
            &c.bad_source,
            &c.foreign,
            &c.transit,
            &c.martians,
            &c.bad_extensions,
            &c.empty,
            &c.unknown_protocol,
            &c.mailbox_full,
            &c.fragments,
            &c.bad_fragments,
            &c.long_fragments,
            &c.fragments_full,
        ];
        reasons.iter().map(|counter| counter.get()).sum::<u64>() - c.reassembled.get()
    }
}

/// A packet from `from` to `to`.
fn datagram(from: Ipv6Addr, to: Ipv6Addr, next: u8, hops: u8, payload: &[u8]) -> Vec<u8> {
    let header = Outgoing {
        source: from,
        destination: to,
        next,
        payload: payload.len() as u16,
        hops,
        class: 0,
        flow: 0,
    };
    [&header.bytes()[..], payload].concat()
}

/// A message of ICMPv6 with a right checksum.
fn message(from: Ipv6Addr, to: Ipv6Addr, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[2..4].fill(0);
    let sum = waitless::checksum::Checksum::new()
        .pseudo(from.into(), to.into(), 58, bytes.len() as u16)
        .add(&bytes)
        .finish();
    bytes[2..4].copy_from_slice(&sum.to_be_bytes());
    datagram(from, to, 58, 255, &bytes)
}

/// A message that this crate writes, as it arrives from another host.
fn written(bench: &Bench, draft: Draft, from: Ipv6Addr, to: Ipv6Addr) -> Vec<u8> {
    let mut packet = bench.cx.packet().unwrap();
    draft.write(&mut packet, from, to).unwrap();
    datagram(from, to, 58, 255, packet.bytes())
}

type Reason = fn(&Counters) -> &waitless::Counter;
