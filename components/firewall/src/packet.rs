//! What a packet is, as far as the filter looks.

use crate::flow::{Key, Signs};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use waitless::{EtherType, Protocol};

/// Which way a packet goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// From others to this host.
    In,
    /// From this host to others.
    Out,
}

/// A packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Seen {
    /// Of a flow, with what it says of the flow's life.
    Packet(Key, Signs),
    /// An ICMP error about a packet of this flow, and what it is itself.
    Error(Key, Key),
    /// A fragment without its transport's header.
    Fragment,
    /// Neighbour discovery and group membership.
    Link,
}

/// An IP packet's header, for both versions.
struct Header<'a> {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    /// How many routers it may still pass.
    hops: u8,
    /// A fragment that is not the first.
    later: bool,
    /// The number that all fragments of a packet have in common.
    part: Option<u32>,
    /// Behind all headers of IP.
    rest: &'a [u8],
}

/// Extension headers that are looked at (RFC 8200 section 4.1 knows of seven).
const EXTENSIONS: usize = 8;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION: u8 = 60;

/// Stands for the protocol in the key of all fragments of one packet.
const FRAGMENTS: u8 = FRAGMENT;

/// What the packet is and, for a fragment, what it has in common with the others of its packet.
/// `None` for one that makes no sense.
pub(crate) fn see(protocol: EtherType, bytes: &[u8], way: Way) -> Option<(Seen, Option<Key>)> {
    let header = match protocol {
        EtherType::IPV4 => Header::v4(bytes)?,
        EtherType::IPV6 => Header::v6(bytes)?,
        _ => return None,
    };
    let (local, remote) = match way {
        Way::In => (header.destination, header.source),
        Way::Out => (header.source, header.destination),
    };
    let part = header.part.map(|number| {
        let ports = ((number >> 16) as u16, number as u16);
        Key { protocol: FRAGMENTS, local, remote, ports }
    });
    let seen = if header.later { Seen::Fragment } else { whole(&header, local, remote, way)? };
    Some((seen, part))
}

/// What a packet with its transport's header is.
fn whole(header: &Header<'_>, local: IpAddr, remote: IpAddr, way: Way) -> Option<Seen> {
    let own = |ports: (u16, u16)| match way {
        Way::In => Key { protocol: header.protocol, local, remote, ports: (ports.1, ports.0) },
        Way::Out => Key { protocol: header.protocol, local, remote, ports },
    };
    let rest = header.rest;
    let six = header.source.is_ipv6();
    match Protocol(header.protocol) {
        Protocol::TCP => {
            let flags = *rest.get(13)?;
            let signs = Signs {
                begins: flags & 0x12 == 2,
                finishes: flags & 1 != 0,
                resets: flags & 4 != 0,
            };
            Some(Seen::Packet(own(ports(rest)?), signs))
        }
        Protocol::UDP => Some(Seen::Packet(own(ports(rest)?), Signs::NONE)),
        // One version's ICMP in a packet of the other is nothing in particular.
        protocol if protocol == icmp(six) => {
            let [kind, _, _, _, i0, i1, ..] = *rest else { return None };
            let message = match (six, kind) {
                (true, kind) if header.is_of_link(kind) => return Some(Seen::Link),
                (true, 1..=4) | (false, 3 | 11 | 12) => None,
                // Questions and answers have a number in common.
                (true, 128 | 129) | (false, 0 | 8 | 13 | 14) => Some(u16::from_be_bytes([i0, i1])),
                _ => Some(0),
            };
            let itself = own((message.unwrap_or(0), message.unwrap_or(0)));
            if message.is_some() {
                return Some(Seen::Packet(itself, Signs::NONE));
            }
            Some(Seen::Error(about(six, rest.get(8..)?, way)?, itself))
        }
        _ => Some(Seen::Packet(own((0, 0)), Signs::NONE)),
    }
}

/// The flow of the packet that an ICMP error quotes: one that went the other way than the error.
fn about(six: bool, quoted: &[u8], way: Way) -> Option<Key> {
    let header = if six { Header::v6(quoted)? } else { Header::v4(quoted)? };
    let (one, other) = match Protocol(header.protocol) {
        _ if header.later => return None,
        Protocol::TCP | Protocol::UDP => ports(header.rest)?,
        protocol if protocol == icmp(six) => {
            let number = u16::from_be_bytes(*header.rest.get(4..)?.first_chunk()?);
            (number, number)
        }
        _ => (0, 0),
    };
    let (source, destination) = (header.source, header.destination);
    let protocol = header.protocol;
    Some(match way {
        Way::In => Key { protocol, local: source, remote: destination, ports: (one, other) },
        Way::Out => Key { protocol, local: destination, remote: source, ports: (other, one) },
    })
}

/// The ICMP of a version of IP.
fn icmp(six: bool) -> Protocol {
    if six { Protocol::ICMPV6 } else { Protocol::ICMP }
}

/// Source and destination port.
fn ports(rest: &[u8]) -> Option<(u16, u16)> {
    let [s0, s1, d0, d1] = *rest.first_chunk()?;
    Some((u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1])))
}

impl<'a> Header<'a> {
    /// Whether a message of ICMPv6 of this kind says how the link works, and comes from there: of
    /// neighbour discovery what no router has passed on (RFC 4861 section 7.1), and of group
    /// membership what none may, as its hops are over and its source is link-local or none (RFC
    /// 2710 section 3, RFC 3590 section 4, RFC 3810 section 5). Neither comes in fragments (RFC
    /// 6980).
    fn is_of_link(&self, kind: u8) -> bool {
        const NEAR: u8 = 255;
        let IpAddr::V6(source) = self.source else { return false };
        let whole = self.part.is_none();
        match kind {
            133..=137 => whole && self.hops == NEAR,
            130..=132 | 143 => {
                let local = source.is_unicast_link_local() || source.is_unspecified();
                whole && self.hops == 1 && local
            }
            _ => false,
        }
    }

    fn v4(bytes: &'a [u8]) -> Option<Self> {
        let head = bytes.first_chunk::<20>()?;
        let [first, .., s0, s1, s2, s3, d0, d1, d2, d3] = *head;
        let length = usize::from(first & 15) * 4;
        let [i0, i1, f0, f1] = [head[4], head[5], head[6], head[7]];
        let offset = u16::from_be_bytes([f0, f1]);
        let number = u32::from(head[9]) << 16 | u32::from(u16::from_be_bytes([i0, i1]));
        if first >> 4 != 4 || length < 20 {
            return None;
        }
        Some(Self {
            source: Ipv4Addr::new(s0, s1, s2, s3).into(),
            destination: Ipv4Addr::new(d0, d1, d2, d3).into(),
            protocol: head[9],
            hops: head[8],
            later: offset & 0x1fff != 0,
            // More follow, or some came before.
            part: (offset & 0x3fff != 0).then_some(number),
            rest: bytes.get(length..)?,
        })
    }

    fn v6(bytes: &'a [u8]) -> Option<Self> {
        let (head, mut rest) = bytes.split_first_chunk::<40>()?;
        let [first, _, _, _, _, _, next, hops, addresses @ ..] = *head;
        let (source, destination) = addresses.split_at(16);
        let address = |octets: &[u8]| Some(Ipv6Addr::from(*octets.first_chunk::<16>()?).into());
        if first >> 4 != 6 {
            return None;
        }
        let (mut protocol, mut later, mut part) = (next, false, None);
        for _ in 0..EXTENSIONS {
            let length = match protocol {
                HOP_BY_HOP | ROUTING | DESTINATION => 8 + usize::from(*rest.get(1)?) * 8,
                FRAGMENT => {
                    let [_, _, o0, o1, number @ ..] = *rest.first_chunk::<8>()?;
                    later = u16::from_be_bytes([o0, o1]) & !7 != 0;
                    part = Some(u32::from_be_bytes(number));
                    8
                }
                _ => {
                    let (source, destination) = (address(source)?, address(destination)?);
                    return Some(Self { source, destination, protocol, hops, later, part, rest });
                }
            };
            protocol = *rest.first()?;
            rest = rest.get(length..)?;
            if later {
                // Whatever follows is in the first one.
                let (source, destination) = (address(source)?, address(destination)?);
                return Some(Self { source, destination, protocol, hops, later, part, rest });
            }
        }
        None
    }
}
