//! Two IP layers as one, for what stands on both: those of both versions, or of two networks.
//!
//! Between versions, the address's family chooses: one comparison, known at compile time on one
//! side. Between two of one version it is the address that a packet goes out from, where that is
//! settled (the strong model of RFC 1122 section 3.3.4.2), else the more specific route, and the
//! first of two that are alike. Nothing is kept in between, so standing on two costs what asking
//! two costs. What arrives is taken from the first before the second; that starves nobody, as
//! whoever stands above takes a batch for each layer.

use super::{ClaimState, IpPort, Ipv4Configuration, Mac, Offloads, PathError, Protocol, Reject};
use crate::Packet;
use crate::network::v6::{Ipv6Lease, Ipv6Network};
use core::net::IpAddr;

/// Whether the first of two layers is the one for packets between these addresses.
#[inline]
fn is_first<A: IpPort, B: IpPort>(a: &A, b: &B, local: Option<IpAddr>, remote: IpAddr) -> bool {
    if !b.carries(remote) {
        return true;
    }
    a.carries(remote) && suits(a, b, local, remote)
}

/// The same for two layers of one version.
#[inline(never)]
fn suits<A: IpPort, B: IpPort>(a: &A, b: &B, local: Option<IpAddr>, remote: IpAddr) -> bool {
    match local.map(|local| (a.is_local(local), b.is_local(local))) {
        Some((true, false)) => true,
        Some((false, true)) => false,
        _ => a.route_bits(remote) >= b.route_bits(remote),
    }
}

impl<A: IpPort, B: IpPort> IpPort for (&mut A, &mut B) {
    const LAYERS: usize = A::LAYERS + B::LAYERS;

    #[inline]
    fn recv(&mut self, protocol: Protocol) -> Option<Packet> {
        self.0.recv(protocol).or_else(|| self.1.recv(protocol))
    }

    #[inline]
    fn send(&mut self, protocol: Protocol, packet: Packet) -> Result<(), Packet> {
        let (local, remote) = (packet.info().local, packet.info().remote);
        if is_first(self.0, self.1, Some(local), remote) {
            self.0.send(protocol, packet)
        } else {
            self.1.send(protocol, packet)
        }
    }

    /// What either would take in any case.
    #[inline]
    fn room(&self) -> usize {
        self.0.room().min(self.1.room())
    }

    fn source_for(&self, remote: IpAddr) -> Option<IpAddr> {
        if is_first(self.0, self.1, None, remote) {
            self.0.source_for(remote)
        } else {
            self.1.source_for(remote)
        }
    }

    #[inline]
    fn is_local(&self, address: IpAddr) -> bool {
        // Nobody has an address of the other version.
        self.0.is_local(address) || self.1.is_local(address)
    }

    fn is_broadcast(&self, address: IpAddr) -> bool {
        self.0.is_broadcast(address) || self.1.is_broadcast(address)
    }

    fn mtu(&self, remote: IpAddr) -> u16 {
        if is_first(self.0, self.1, None, remote) { self.0.mtu(remote) } else { self.1.mtu(remote) }
    }

    /// What the cards of both do.
    #[inline]
    fn offloads(&self) -> Offloads {
        let (first, second) = (self.0.offloads(), self.1.offloads());
        Offloads {
            checksum: first.checksum && second.checksum,
            segmentation: first.segmentation.min(second.segmentation),
        }
    }

    fn reject(&mut self, protocol: Protocol, packet: Packet, why: Reject) {
        let (local, remote) = (packet.info().local, packet.info().remote);
        if is_first(self.0, self.1, Some(local), remote) {
            self.0.reject(protocol, packet, why);
        } else {
            self.1.reject(protocol, packet, why);
        }
    }

    fn rejected(&mut self) -> Option<(Packet, Reject)> {
        self.0.rejected().or_else(|| self.1.rejected())
    }

    fn report(&mut self, protocol: Protocol, error: PathError) {
        if is_first(self.0, self.1, Some(error.local), error.remote) {
            self.0.report(protocol, error);
        } else {
            self.1.report(protocol, error);
        }
    }

    #[inline]
    fn path_error(&mut self, protocol: Protocol) -> Option<PathError> {
        self.0.path_error(protocol).or_else(|| self.1.path_error(protocol))
    }

    fn wants_address(&self) -> bool {
        self.0.wants_address() || self.1.wants_address()
    }

    fn configure(&mut self, configuration: Option<Ipv4Configuration>) {
        // The one of IPv6 has no use for it.
        self.0.configure(configuration);
        self.1.configure(configuration);
    }

    fn configure_v6(&mut self, lease: &Ipv6Lease) {
        // The one of IPv4 has no use for it.
        self.0.configure_v6(lease);
        self.1.configure_v6(lease);
    }

    fn configuration(&self) -> Option<&Ipv4Configuration> {
        self.0.configuration().or_else(|| self.1.configuration())
    }

    fn claim_state(&self) -> ClaimState {
        self.0.claim_state()
    }

    /// Grows when one of them does.
    #[inline]
    fn generation(&self) -> u32 {
        self.0.generation().wrapping_add(self.1.generation())
    }

    fn mac(&self) -> Mac {
        self.0.mac()
    }

    fn link_up(&self) -> bool {
        self.0.link_up() || self.1.link_up()
    }

    fn route_bits(&self, remote: IpAddr) -> Option<u8> {
        self.0.route_bits(remote).max(self.1.route_bits(remote))
    }

    #[inline]
    fn carries(&self, address: IpAddr) -> bool {
        self.0.carries(address) || self.1.carries(address)
    }

    fn network(&self) -> Option<&Ipv6Network> {
        self.0.network().or_else(|| self.1.network())
    }
}
