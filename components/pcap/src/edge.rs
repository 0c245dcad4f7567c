//! What packets of an edge lack to be read by others: the headers that are stripped there.
//!
//! They are made again, from what travels with the packet, for the copy that is recorded. What
//! nobody knows there any more (identification, options, whether it came in fragments) is left
//! out.

use crate::wire::LinkType;
use core::net::{IpAddr, Ipv4Addr};
use waitless::checksum::{Checksum, checksum};
use waitless::relay::{IpRelay, LinkRelay, NicRelay, Relay, UdpRelay};
use waitless::{IpPort, Packet, Protocol, Socket, UdpPort};

/// A relay whose packets can be shown.
pub trait Edge: Relay {
    /// What the records start with.
    const LINK: LinkType;

    /// What goes in front of a packet on its way up; `None` when it cannot be shown.
    fn above(&self, to: Self::Up, packet: &Packet) -> Option<Head>;

    /// What goes in front of a packet on its way down.
    fn below(&self, to: Self::Down, packet: &Packet) -> Option<Head>;
}

/// Headers for the copy of a packet.
#[derive(Clone, Copy, Default)]
pub struct Head {
    bytes: [u8; IP + UDP],
    length: usize,
}

const IP: usize = 20;
const UDP: usize = 8;

/// What is shown where IP has not decided yet.
const HOPS: u8 = 64;

impl Head {
    /// The headers.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&[])
    }

    /// IPv4's header (RFC 791 section 3.1) in front of `length` bytes of `protocol`.
    fn ip(protocol: Protocol, length: usize, ends: Ends, packet: &Packet) -> Option<Self> {
        let info = packet.info();
        // A received packet that is sent on says how it came, not how it goes.
        let known = ends.inbound || info.ip_header == 0;
        let (hops, class) = if known { (info.hops, info.class) } else { (0, 0) };
        let hops = if hops == 0 { HOPS } else { hops };
        let [l0, l1] = u16::try_from(IP + length).ok()?.to_be_bytes();
        let [s0, s1, s2, s3] = ends.source.octets();
        let [d0, d1, d2, d3] = ends.destination.octets();
        let mut header = [
            0x45, class, l0, l1, 0, 0, 0x40, 0, // not to be fragmented
            hops, protocol.0, 0, 0, s0, s1, s2, s3, d0, d1, d2, d3,
        ];
        [header[10], header[11]] = checksum(&header).to_be_bytes();
        let mut head = Self { length: IP, ..Self::default() };
        *head.bytes.first_chunk_mut::<IP>()? = header;
        Some(head)
    }

    /// IPv4's and UDP's headers (RFC 768) in front of a datagram from the first port to the
    /// second.
    fn udp(ports: [u16; 2], ends: Ends, datagram: &Packet) -> Option<Self> {
        let length = u16::try_from(UDP + datagram.len()).ok()?;
        let mut head = Self::ip(Protocol::UDP, usize::from(length), ends, datagram)?;
        let [[s0, s1], [d0, d1]] = ports.map(u16::to_be_bytes);
        let [l0, l1] = length.to_be_bytes();
        let mut header = [s0, s1, d0, d1, l0, l1, 0, 0];
        let (source, destination) = (ends.source.into(), ends.destination.into());
        let sum = Checksum::new().pseudo(source, destination, Protocol::UDP.0, length);
        let sum = sum.add(&header).add(datagram.bytes()).finish();
        // Zero would say that there is none.
        [header[6], header[7]] = if sum == 0 { [0xff; 2] } else { sum.to_be_bytes() };
        *head.bytes.last_chunk_mut::<UDP>()? = header;
        head.length = IP + UDP;
        Some(head)
    }
}

/// Where a packet is from, and where it goes.
#[derive(Clone, Copy)]
struct Ends {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    inbound: bool,
}

impl Ends {
    /// Of a packet on its way up; `None` unless both addresses are IPv4's.
    fn of_received(packet: &Packet) -> Option<Self> {
        match (packet.info().remote, packet.info().local) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                Some(Self { source, destination, inbound: true })
            }
            _ => None,
        }
    }

    /// Of a packet on its way down from the address `local`.
    fn of_sent(packet: &Packet, local: IpAddr) -> Option<Self> {
        match (local, packet.info().remote) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                Some(Self { source, destination, inbound: false })
            }
            _ => None,
        }
    }
}

impl Edge for NicRelay {
    const LINK: LinkType = LinkType::Ethernet;

    fn above(&self, (): (), _: &Packet) -> Option<Head> {
        Some(Head::default())
    }

    fn below(&self, (): (), _: &Packet) -> Option<Head> {
        Some(Head::default())
    }
}

impl Edge for LinkRelay {
    const LINK: LinkType = LinkType::Raw;

    fn above(&self, _: Self::Up, _: &Packet) -> Option<Head> {
        Some(Head::default())
    }

    fn below(&self, _: Self::Down, _: &Packet) -> Option<Head> {
        Some(Head::default())
    }
}

impl Edge for IpRelay {
    const LINK: LinkType = LinkType::Raw;

    fn above(&self, protocol: Protocol, packet: &Packet) -> Option<Head> {
        Head::ip(protocol, packet.len(), Ends::of_received(packet)?, packet)
    }

    fn below(&self, protocol: Protocol, packet: &Packet) -> Option<Head> {
        let info = packet.info();
        let chosen = info.local.is_unspecified().then(|| self.source_for(info.remote)).flatten();
        let ends = Ends::of_sent(packet, chosen.unwrap_or(info.local))?;
        Head::ip(protocol, packet.len(), ends, packet)
    }
}

impl Edge for UdpRelay {
    const LINK: LinkType = LinkType::Raw;

    fn above(&self, _: Socket, datagram: &Packet) -> Option<Head> {
        let info = datagram.info();
        let ports = [info.remote_port, info.local_port];
        Head::udp(ports, Ends::of_received(datagram)?, datagram)
    }

    fn below(&self, socket: Socket, datagram: &Packet) -> Option<Head> {
        let info = datagram.info();
        let ports = [self.local_port(socket), info.remote_port];
        Head::udp(ports, Ends::of_sent(datagram, info.local)?, datagram)
    }
}
