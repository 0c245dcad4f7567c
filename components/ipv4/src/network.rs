//! The host's place in the network: who is on the link, and who is behind the gateway.

use core::net::Ipv4Addr;
use waitless::{Ipv4Configuration, Mac, NextHop};

/// Every host on the link (RFC 1112 section 4).
pub(crate) const ALL_HOSTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);

/// Whether `address` can be that of one host, as far as one can tell without its network: not
/// "this" network, loopback, multicast, the reserved class E, or everybody.
#[inline]
pub(crate) fn is_host(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    // Class D and E, and 255.255.255.255, begin with 224 to 255.
    first != 0 && first != 127 && first < 224
}

/// Whether `address` is the broadcast address of the host's network. Networks of one or two
/// addresses have none (RFC 3021).
#[inline]
pub(crate) fn is_network_broadcast(settings: &Ipv4Configuration, address: Ipv4Addr) -> bool {
    settings.prefix < 31 && u32::from(address) == u32::from(settings.address) | !mask(settings)
}

/// Whether `address` is reached without a gateway.
#[inline]
pub(crate) fn is_on_link(settings: &Ipv4Configuration, address: Ipv4Addr) -> bool {
    (u32::from(address) ^ u32::from(settings.address)) & mask(settings) == 0
        || settings.gateway == Some(address)
}

/// Who a packet to `remote` goes to on the link. Without settings just everybody can be reached,
/// as DHCP needs it. `None` when there is no route.
pub(crate) fn next_hop(settings: Option<&Ipv4Configuration>, remote: Ipv4Addr) -> Option<NextHop> {
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
    if is_on_link(settings, remote) {
        return Some(NextHop::Ipv4(remote));
    }
    settings.gateway.map(NextHop::Ipv4)
}

/// RFC 1112 section 6.4.
fn multicast_mac(group: Ipv4Addr) -> Mac {
    let [_, a, b, c] = group.octets();
    Mac([0x01, 0x00, 0x5e, a & 0x7f, b, c])
}

#[inline]
fn mask(settings: &Ipv4Configuration) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(settings.prefix.min(32))).unwrap_or(0)
}
