//! A tap on the edges above the card: what it records is what would be on the wire.

extern crate std;

use super::{CONFIG, Record, records, tshark};
use crate::{PcapIp, PcapLink, PcapOn, PcapUdp};
use core::net::{IpAddr, Ipv4Addr};
use std::boxed::Box;
use std::collections::VecDeque;
use std::vec::Vec;
use waitless::checksum::Checksum;
use waitless::{
    BindError, ClaimState, Component, Context, EtherType, IpPort, Ipv4Configuration, LinkPort, Mac,
    NextHop, Offloads, Packet, PathError, Protocol, Reject, Socket, UdpPort, testing,
};

const OURS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

/// All three ports in one: what has arrived, and what was sent.
#[derive(Default)]
struct Below {
    arrived: VecDeque<Packet>,
    sent: Vec<Packet>,
}

const SETTINGS: Ipv4Configuration = Ipv4Configuration {
    address: OURS,
    prefix: 24,
    gateway: None,
    dns: [Ipv4Addr::UNSPECIFIED; 3],
    mtu: 0,
    routes: &[],
};

impl LinkPort for Below {
    fn mac(&self) -> Mac {
        Mac::default()
    }

    fn mtu(&self) -> u16 {
        1500
    }

    fn offloads(&self) -> Offloads {
        Offloads { checksum: true, segmentation: 0 }
    }

    fn link_up(&self) -> bool {
        true
    }

    fn claim(&mut self, _: Option<Ipv4Addr>) {}

    fn claim_state(&self) -> ClaimState {
        ClaimState::Owned
    }

    fn recv(&mut self, _: EtherType) -> Option<Packet> {
        self.arrived.pop_front()
    }

    fn send(&mut self, _: EtherType, _: NextHop, packet: Packet) -> Result<(), Packet> {
        self.sent.push(packet);
        Ok(())
    }

    fn room(&self) -> usize {
        9
    }
}

impl IpPort for Below {
    fn recv(&mut self, _: Protocol) -> Option<Packet> {
        self.arrived.pop_front()
    }

    fn send(&mut self, _: Protocol, packet: Packet) -> Result<(), Packet> {
        self.sent.push(packet);
        Ok(())
    }

    fn room(&self) -> usize {
        9
    }

    fn source_for(&self, remote: IpAddr) -> Option<IpAddr> {
        waitless::network::source_for(Some(&SETTINGS), remote)
    }

    fn is_local(&self, address: IpAddr) -> bool {
        address == IpAddr::V4(OURS)
    }

    fn is_broadcast(&self, _: IpAddr) -> bool {
        false
    }

    fn mtu(&self, _: IpAddr) -> u16 {
        1500
    }

    fn offloads(&self) -> Offloads {
        LinkPort::offloads(self)
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

    fn configuration(&self) -> Option<&Ipv4Configuration> {
        Some(&SETTINGS)
    }

    fn claim_state(&self) -> ClaimState {
        ClaimState::Owned
    }

    fn generation(&self) -> u32 {
        1
    }

    fn mac(&self) -> Mac {
        Mac::default()
    }
}

impl UdpPort for Below {
    fn bind(&mut self, _: u16) -> Result<Socket, BindError> {
        Ok(Socket(5))
    }

    fn recv(&mut self, _: Socket) -> Option<Packet> {
        self.arrived.pop_front()
    }

    fn send(&mut self, _: Socket, datagram: Packet) -> Result<(), Packet> {
        self.sent.push(datagram);
        Ok(())
    }

    fn local_port(&self, _: Socket) -> u16 {
        7
    }
}

/// Sweeps twice; the test plays the component above by `above`.
fn run<R>(
    cx: &mut Context,
    below: &mut Below,
    mut above: impl FnMut(&mut PcapOn<R>, &mut Context),
) -> Vec<u8>
where
    PcapOn<R>: Component<Below>,
    R: waitless::relay::Relay,
{
    let mut pcap = PcapOn::<R>::new(Box::leak(Box::new(CONFIG)), cx);
    pcap.init(below, cx).unwrap();
    for _ in 0..2 {
        pcap.receive(below, cx);
        above(&mut pcap, cx);
        pcap.transmit(below, cx);
    }
    let mut download = cx.system().capture(0).unwrap().download();
    let mut file = std::vec![0; download.left()];
    assert_eq!(download.read(&mut file), file.len());
    file
}

fn packet(cx: &Context, bytes: &[u8]) -> Packet {
    let mut packet = cx.packet().unwrap();
    packet.append(bytes).unwrap();
    packet
}

/// A packet that came from the peer's port 4000 to our port 7.
fn received(cx: &Context, bytes: &[u8]) -> Packet {
    let mut packet = packet(cx, bytes);
    let info = packet.info_mut();
    (info.remote, info.local) = (PEER.into(), OURS.into());
    (info.remote_port, info.local_port) = (4000, 7);
    (info.hops, info.class, info.ip_header) = (33, 0x2e << 2, 20);
    packet
}

/// Whether both checksums of a UDP packet are right.
fn is_intact(record: &Record) -> bool {
    let (ip, udp) = record.data.split_at(20);
    let [source, destination] = [12, 16].map(|at| {
        let octets: [u8; 4] = ip[at..at + 4].try_into().unwrap();
        IpAddr::from(octets)
    });
    let sum = Checksum::new().pseudo(source, destination, 17, udp.len() as u16).add(udp);
    Checksum::new().add(ip).is_valid() && sum.is_valid()
}

const FIELDS: [&str; 9] = [
    "ip.src",
    "ip.dst",
    "ip.ttl",
    "ip.dsfield.dscp",
    "ip.checksum.status",
    "udp.srcport",
    "udp.dstport",
    "udp.checksum.status",
    "udp.payload",
];

#[test]
fn above_udp_both_headers_are_made_again() {
    let (mut cx, mut below) = (testing::context(64, 1), Below::default());
    let mut socket = None;
    below.arrived.push_back(received(&cx, b"up"));
    let file = run(&mut cx, &mut below, |pcap: &mut PcapUdp, _| match socket {
        None => socket = pcap.bind(7).ok(),
        Some(socket) => {
            let datagram = pcap.recv(socket).unwrap();
            assert_eq!(datagram.bytes(), b"up");
            pcap.send(socket, datagram).unwrap();
        }
    });
    assert_eq!(below.sent[0].bytes(), b"up", "the packet itself is as it was");
    let records = records(&file);
    assert!(records.iter().all(is_intact));
    assert_eq!((records[0].outbound, records[1].outbound), (false, true));
    let Some(said) = tshark(&file, &FIELDS) else { return };
    assert_eq!(said[0], ["10.0.2.2", "10.0.2.15", "33", "46", "1", "4000", "7", "1", "7570"]);
    assert_eq!(said[1], ["10.0.2.15", "10.0.2.2", "64", "0", "1", "7", "4000", "1", "7570"]);
}

#[test]
fn above_ip_the_header_is_made_again_and_the_checksum_completed() {
    let (mut cx, mut below) = (testing::context(64, 1), Below::default());
    let ports = [0, 7, 0x0f, 0xa0, 0, 10, 0, 0, b'h', b'i'];
    let mut sent = false;
    let file = run(&mut cx, &mut below, |pcap: &mut PcapIp, cx| {
        if core::mem::replace(&mut sent, true) {
            return;
        }
        let mut datagram = packet(cx, &ports);
        // IP is left to choose the address, and the card to complete the checksum.
        let pseudo = Checksum::new().pseudo(OURS.into(), PEER.into(), 17, 10);
        datagram.bytes_mut()[6..8].copy_from_slice(&pseudo.folded().to_be_bytes());
        datagram.request_checksum(0, 6);
        datagram.info_mut().remote = PEER.into();
        assert!(pcap.send(Protocol::UDP, datagram).is_ok());
    });
    let records = records(&file);
    assert!(is_intact(&records[0]));
    assert_eq!((records[0].length, below.sent[0].len()), (30, 10));
    let Some(said) = tshark(&file, &FIELDS) else { return };
    assert_eq!(said[0], ["10.0.2.15", "10.0.2.2", "64", "0", "1", "7", "4000", "1", "6869"]);
}

#[test]
fn above_a_link_packets_are_whole() {
    let (mut cx, mut below) = (testing::context(64, 1), Below::default());
    let mut ip = [
        0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 2, 2, 10, 0, 2, 15, // IP
        8, 0, 0xf7, 0xff, 0, 0, 0, 0, // an echo request
    ];
    let sum = waitless::checksum::checksum(&ip[..20]);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    below.arrived.push_back(packet(&cx, &ip));
    let file = run(&mut cx, &mut below, |pcap: &mut PcapLink, _| {
        if let Some(packet) = pcap.recv(EtherType::IPV4) {
            pcap.send(EtherType::IPV4, NextHop::Ipv4(PEER), packet).unwrap();
        }
    });
    assert_eq!(below.sent[0].bytes(), ip);
    let records = records(&file);
    assert!(records.len() == 2 && records.iter().all(|record| record.data == ip));
    let Some(said) = tshark(&file, &["ip.src", "ip.checksum.status", "icmp.type"]) else { return };
    assert_eq!(said[0], ["10.0.2.2", "1", "8"]);
}
