//! Two IP layers as one, for what stands on both.
//!
//! A layer is chosen by the address's family: one comparison, known at compile time on one side.
//! Nothing is kept in between, so standing on two costs what asking two costs. What arrives is
//! taken from the first before the second; that starves nobody, as a link leaves one batch in a
//! sweep for both, and whoever stands above takes one batch.

use super::{ClaimState, IpPort, Ipv4Configuration, Mac, Offloads, PathError, Protocol, Reject};
use crate::Packet;
use crate::network::v6::{Ipv6Lease, Ipv6Network};
use core::net::IpAddr;

impl<A: IpPort, B: IpPort> IpPort for (&mut A, &mut B) {
    #[inline]
    fn recv(&mut self, protocol: Protocol) -> Option<Packet> {
        self.0.recv(protocol).or_else(|| self.1.recv(protocol))
    }

    #[inline]
    fn send(&mut self, protocol: Protocol, packet: Packet) -> Result<(), Packet> {
        if self.0.carries(packet.info().remote) {
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
        if self.0.carries(remote) { self.0.source_for(remote) } else { self.1.source_for(remote) }
    }

    #[inline]
    fn is_local(&self, address: IpAddr) -> bool {
        if self.0.carries(address) { self.0.is_local(address) } else { self.1.is_local(address) }
    }

    fn is_broadcast(&self, address: IpAddr) -> bool {
        if self.0.carries(address) {
            self.0.is_broadcast(address)
        } else {
            self.1.is_broadcast(address)
        }
    }

    fn mtu(&self, remote: IpAddr) -> u16 {
        if self.0.carries(remote) { self.0.mtu(remote) } else { self.1.mtu(remote) }
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
        if self.0.carries(packet.info().remote) {
            self.0.reject(protocol, packet, why);
        } else {
            self.1.reject(protocol, packet, why);
        }
    }

    fn rejected(&mut self) -> Option<(Packet, Reject)> {
        self.0.rejected().or_else(|| self.1.rejected())
    }

    fn report(&mut self, protocol: Protocol, error: PathError) {
        if self.0.carries(error.remote) {
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

    #[inline]
    fn carries(&self, address: IpAddr) -> bool {
        self.0.carries(address) || self.1.carries(address)
    }

    fn network(&self) -> Option<&Ipv6Network> {
        self.0.network().or_else(|| self.1.network())
    }
}
