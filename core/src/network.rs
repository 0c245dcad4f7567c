//! An IPv4 host's place in the network: who is on the link, and who is behind the gateway. That
//! of an IPv6 host is [`v6`].
//!
//! Pure functions of an [`Ipv4Configuration`], which an IP layer and whoever stands in for it
//! share, so that both answer alike. `None` is a host without an address in use.

use crate::{Ipv4Configuration, Mac, NextHop};
use core::net::{IpAddr, Ipv4Addr};

pub mod answer;
pub mod fragments;
pub mod names;
pub mod v6;

/// Whether `address` can be that of one host, as far as one can tell without its network: not
/// "this" network, loopback, multicast, the reserved class E, or everybody.
#[inline]
pub fn is_host(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    // Class D and E, and 255.255.255.255, begin with 224 to 255.
    first != 0 && first != 127 && first < 224
}

/// Whether `address` is the broadcast address of the host's network. Networks of one or two
/// addresses have none (RFC 3021).
#[inline]
pub fn is_network_broadcast(settings: &Ipv4Configuration, address: Ipv4Addr) -> bool {
    network_broadcast(settings) == Some(address)
}

/// The broadcast address of the host's network, where it has one.
#[inline]
pub fn network_broadcast(settings: &Ipv4Configuration) -> Option<Ipv4Addr> {
    let address = u32::from(settings.address) | !mask(settings.prefix);
    (settings.prefix < 31).then_some(Ipv4Addr::from(address))
}

/// Whether `address` begins with the first `bits` bits of `network`.
#[inline]
pub fn is_within(address: Ipv4Addr, network: Ipv4Addr, bits: u8) -> bool {
    (address.to_bits() ^ network.to_bits()) & mask(bits) == 0
}

/// Whether `address` is that of a router which the settings name. One counts as on the link, also
/// outside the host's network.
fn is_router(settings: &Ipv4Configuration, address: Ipv4Addr) -> bool {
    settings.gateway == Some(address) || settings.routes.iter().any(|&(.., via)| via == address)
}

/// The most specific route to `remote` as to a single host: how many of its bits count, and who
/// comes next on the link. Of two alike, the first counts; what is on the link, before any.
pub fn route(settings: &Ipv4Configuration, remote: Ipv4Addr) -> Option<(u8, Ipv4Addr)> {
    if is_router(settings, remote) {
        return Some((32, remote));
    }
    let mut best = settings.gateway.map(|gateway| (0, gateway));
    for &(network, bits, via) in settings.routes {
        let better = best.is_none_or(|(least, _)| bits > least);
        if better && is_within(remote, network, bits) {
            best = Some((bits, via));
        }
    }
    let connected = is_within(remote, settings.address, settings.prefix);
    best.filter(|(bits, _)| !connected || *bits > settings.prefix)
        .or_else(|| connected.then_some((settings.prefix, remote)))
}

/// What [`IpPort::route_bits`](crate::IpPort::route_bits) says of a host with these settings.
pub fn route_bits(settings: Option<&Ipv4Configuration>, remote: IpAddr) -> Option<u8> {
    let IpAddr::V4(remote) = remote else { return None };
    if remote.is_broadcast() || remote.is_multicast() {
        return Some(if settings.is_none() { 32 } else { 0 });
    }
    let settings = settings?;
    if settings.address == remote || is_network_broadcast(settings, remote) {
        return Some(32);
    }
    is_host(remote).then(|| route(settings, remote))?.map(|(bits, _)| bits)
}

/// Who a packet to `remote` goes to on the link. Without settings just everybody can be reached,
/// as DHCP needs it. `None` when there is no route.
pub fn next_hop(settings: Option<&Ipv4Configuration>, remote: Ipv4Addr) -> Option<NextHop> {
    if remote.is_broadcast() {
        return Some(NextHop::Broadcast);
    }
    let settings = settings?;
    if remote.is_multicast() {
        return Some(NextHop::Mac(multicast_mac(remote)));
    }
    if !is_host(remote) {
        return None;
    }
    if is_network_broadcast(settings, remote) {
        return Some(NextHop::Broadcast);
    }
    route(settings, remote).map(|(_, next)| NextHop::Ipv4(next))
}

/// The address that a packet to `remote` goes out from; `None` when there is no route. Without
/// settings, everybody can be reached from no address (RFC 1122 section 3.2.1.3).
pub fn source_for(settings: Option<&Ipv4Configuration>, remote: IpAddr) -> Option<IpAddr> {
    let IpAddr::V4(remote) = remote else { return None };
    if remote.is_loopback() {
        return Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    if !is_local(settings, IpAddr::V4(remote)) {
        next_hop(settings, remote)?;
    }
    let address = settings.map_or(Ipv4Addr::UNSPECIFIED, |settings| settings.address);
    Some(IpAddr::V4(address))
}

/// Whether `address` is the host's own: also one of those that every host has for itself alone.
#[inline]
pub fn is_local(settings: Option<&Ipv4Configuration>, address: IpAddr) -> bool {
    settings.is_some_and(|settings| IpAddr::V4(settings.address) == address)
        || (address.is_ipv4() && address.is_loopback())
}

/// Whether `address` is a broadcast address, of the host's network too, or a multicast address.
#[inline]
pub fn is_broadcast(settings: Option<&Ipv4Configuration>, address: IpAddr) -> bool {
    let IpAddr::V4(address) = address else { return false };
    let network = |settings| is_network_broadcast(settings, address);
    address.is_broadcast() || address.is_multicast() || settings.is_some_and(network)
}

/// RFC 1112 section 6.4.
fn multicast_mac(group: Ipv4Addr) -> Mac {
    let [_, a, b, c] = group.octets();
    Mac([0x01, 0x00, 0x5e, a & 0x7f, b, c])
}

#[inline]
fn mask(bits: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(bits.min(32))).unwrap_or(0)
}

#[cfg(test)]
mod tests;
