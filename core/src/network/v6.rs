//! An IPv6 host's place in the network: its addresses, and what it reaches from which of them.
//!
//! Pure functions of an [`Ipv6Network`], which an IP layer and whoever stands in for it share, so
//! that both answer alike.

use super::names::SEARCH_MAX;
use crate::{Instant, Mac};
use core::net::Ipv6Addr;
use heapless::{String, Vec};

/// Addresses that a host has at most.
pub const ADDRESSES: usize = 16;

/// Prefixes that are known to be on the link at most.
pub const PREFIXES: usize = 16;

/// Name servers that are remembered of what routers say.
pub const SERVERS: usize = 4;

/// What an IPv6 host knows of its network.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ipv6Network {
    /// The addresses in use: each is known to be nobody else's.
    pub addresses: Vec<Ipv6Address, ADDRESSES>,
    /// Prefixes whose addresses are on the link, with their lengths; that of link-local
    /// addresses, which always are, aside.
    pub prefixes: Vec<(Ipv6Addr, u8), PREFIXES>,
    /// Whether there is a router to everywhere else.
    pub router: bool,
    /// The longest packet that the link takes, in bytes.
    pub mtu: u16,
    /// Who knows the addresses of names (RFC 8106), the best first.
    pub servers: Vec<Ipv6Addr, SERVERS>,
    /// The domains in which names without a dot are looked for, with a space between each two.
    pub search: String<SEARCH_MAX>,
    /// Whether routers say that there are servers of DHCPv6, and for what.
    pub managed: Managed,
    /// Addresses that DHCPv6 gave and another host has.
    pub duplicates: Vec<Ipv6Addr, LEASED>,
}

/// Addresses that DHCPv6 gives at most.
pub const LEASED: usize = 4;

/// What DHCPv6 gave (RFC 8415).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ipv6Lease {
    /// Addresses, none of which says what is on the link.
    pub addresses: Vec<Leased, LEASED>,
    /// Who knows the addresses of names, the best first.
    pub servers: Vec<Ipv6Addr, SERVERS>,
    /// The domains in which names without a dot are looked for, with a space between each two.
    pub search: String<SEARCH_MAX>,
}

/// An address that was given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leased {
    /// The address.
    pub address: Ipv6Addr,
    /// Until when new connections may begin at it.
    pub preferred: Instant,
    /// Until when it may be used.
    pub valid: Instant,
}

/// What routers say of DHCPv6 (RFC 4861 section 4.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, PartialOrd, Ord)]
pub enum Managed {
    /// Nothing.
    #[default]
    No,
    /// It gives what is not an address (the flag O).
    Other,
    /// It gives addresses too (the flag M).
    Addresses,
}

/// One of a host's addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ipv6Address {
    /// The address.
    pub address: Ipv6Addr,
    /// Bits of the network's part.
    pub prefix: u8,
    /// Whether new connections should rather begin at another one (RFC 4862 section 5.5.4).
    pub deprecated: bool,
}

impl Ipv6Network {
    /// Whether `address` is one of the host's own on the link.
    #[inline]
    pub fn is_local(&self, address: Ipv6Addr) -> bool {
        self.addresses.iter().any(|own| own.address == address)
    }

    /// Whether `address` is reached without a router (RFC 4861 section 5.2, RFC 5942).
    pub fn is_on_link(&self, address: Ipv6Addr) -> bool {
        let within = |&(prefix, length): &(Ipv6Addr, u8)| has_prefix(address, prefix, length);
        address.is_unicast_link_local() || self.prefixes.iter().any(within)
    }

    /// The address that a packet to `remote` goes out from (RFC 6724 section 5); `None` when
    /// there is no route, or no address that could be answered.
    pub fn source_for(&self, remote: Ipv6Addr) -> Option<Ipv6Addr> {
        if remote.is_loopback() {
            return Some(remote);
        }
        let on_link = remote.is_multicast() || self.is_on_link(remote) || self.is_local(remote);
        if !on_link && (!self.router || !is_host(remote)) {
            return None;
        }
        let better = |one, other| if is_better(one, other, remote) { one } else { other };
        let best = self.addresses.iter().reduce(better)?;
        // No router passes on what a link-local address has sent (RFC 4291 section 2.5.6).
        (on_link || scope(best.address) >= scope(remote)).then_some(best.address)
    }
}

/// Whether `one` is the better source than `other` for packets to `remote`, by the rules of
/// RFC 6724 section 5 that can differ on one interface without temporary and home addresses.
fn is_better(one: &Ipv6Address, other: &Ipv6Address, remote: Ipv6Addr) -> bool {
    // Rule 1: the same address.
    if one.address == remote || other.address == remote {
        return one.address == remote;
    }
    // Rule 2: the smallest scope that reaches.
    let (first, second, wanted) = (scope(one.address), scope(other.address), scope(remote));
    if first != second {
        let smaller_reaches = first.min(second) >= wanted;
        return (first < second) == smaller_reaches;
    }
    // Rule 3: not deprecated.
    if one.deprecated != other.deprecated {
        return other.deprecated;
    }
    // Rule 6: the same kind of address.
    let alike = |it: &Ipv6Address| label(it.address) == label(remote);
    if alike(one) != alike(other) {
        return alike(one);
    }
    // Rule 8: the longest common prefix, within the address's own prefix (section 2.2).
    let common = |it: &Ipv6Address| {
        let differing = (it.address.to_bits() ^ remote.to_bits()).leading_zeros();
        differing.min(u32::from(it.prefix))
    };
    common(one) >= common(other)
}

/// The scope of an address (RFC 4291 section 2.7, RFC 6724 section 3.1): 2 is the link, 14 is
/// everywhere.
pub fn scope(address: Ipv6Addr) -> u8 {
    let [first, second, ..] = address.octets();
    match (first, second) {
        (0xff, flags_and_scope) => flags_and_scope & 15,
        (0xfe, 0x80..=0xbf) => 2,
        (0xfe, 0xc0..) => 5,
        _ if address.is_loopback() => 2,
        _ => 14,
    }
}

/// The label in the policy table (RFC 6724 section 2.1).
fn label(address: Ipv6Addr) -> u8 {
    const V6: fn([u16; 8]) -> Ipv6Addr = |it| {
        let [a, b, c, d, e, f, g, h] = it;
        Ipv6Addr::new(a, b, c, d, e, f, g, h)
    };
    // The longest prefixes first.
    let table = [
        (Ipv6Addr::LOCALHOST, 128, 0),
        (V6([0, 0, 0, 0, 0, 0xffff, 0, 0]), 96, 4),
        (Ipv6Addr::UNSPECIFIED, 96, 3),
        (V6([0x2001, 0, 0, 0, 0, 0, 0, 0]), 32, 5),
        (V6([0x2002, 0, 0, 0, 0, 0, 0, 0]), 16, 2),
        (V6([0x3ffe, 0, 0, 0, 0, 0, 0, 0]), 16, 12),
        (V6([0xfec0, 0, 0, 0, 0, 0, 0, 0]), 10, 11),
        (V6([0xfc00, 0, 0, 0, 0, 0, 0, 0]), 7, 13),
    ];
    let found = table.iter().find(|(prefix, length, _)| has_prefix(address, *prefix, *length));
    found.map_or(1, |(.., label)| *label)
}

/// Whether `address` begins with the first `length` bits of `prefix`.
#[inline]
pub fn has_prefix(address: Ipv6Addr, prefix: Ipv6Addr, length: u8) -> bool {
    (address.to_bits() ^ prefix.to_bits()) & mask(length) == 0
}

/// The first `length` bits.
#[inline]
pub fn mask(length: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(length.min(128))).unwrap_or(0)
}

/// Whether `address` can be that of one host on a network: not unspecified, loopback, multicast,
/// or one that holds an IPv4 address for the inside of a host (RFC 4291 section 2.5.5).
#[inline]
pub fn is_host(address: Ipv6Addr) -> bool {
    let bits = address.to_bits();
    // ::/96, in which unspecified, loopback and IPv4-compatible addresses are, and
    // ::ffff:0:0/96, the mapped ones.
    let embedded = bits >> 32;
    embedded != 0 && embedded != 0xffff && !address.is_multicast()
}

/// The group in which a host is asked for `address` (RFC 4291 section 2.7.1).
pub fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let base = 0xff02_0000_0000_0000_0000_0001_ff00_0000;
    Ipv6Addr::from_bits(base | address.to_bits() & 0xff_ffff)
}

/// The station that frames to the group go to (RFC 2464 section 7).
pub fn multicast_mac(group: Ipv6Addr) -> Mac {
    let [.., a, b, c, d] = group.octets();
    Mac([0x33, 0x33, a, b, c, d])
}

#[cfg(test)]
mod tests;
