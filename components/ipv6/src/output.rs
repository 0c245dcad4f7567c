//! From the transports to the link.

use crate::Ipv6;
use crate::neighbours::{Index, Lookup, Owner};
use crate::wire::{HEADER, Outgoing};
use core::net::{IpAddr, Ipv6Addr};
use waitless::network::v6::multicast_mac;
use waitless::packet::ChecksumState;
use waitless::{Duration, Instant, Mac, Packet, Protocol};

/// Destinations whose way is remembered: the fast path of sending. A power of two.
pub(crate) const FLOWS: usize = 64;

/// How long a way that no neighbour limits is remembered.
const FLOW_LIFETIME: Duration = Duration::from_secs(1);

/// Where packets to one destination go, and from which address.
#[derive(Clone, Copy)]
pub(crate) struct Flow {
    remote: Ipv6Addr,
    /// The address that they go out from, when a transport does not say.
    local: Ipv6Addr,
    pub hop: Hop,
    /// The longest packet that goes there, in bytes.
    mtu: u16,
    /// What the layer's was when this was found.
    epoch: u32,
    until: Instant,
}

/// The first hop to a destination.
#[derive(Clone, Copy)]
pub(crate) enum Hop {
    /// A station that is known.
    Station(Mac),
    /// A neighbour that is being asked for.
    Unknown(Index),
    /// Back to ourselves.
    Loop,
}

impl Flow {
    /// To nowhere.
    pub const NONE: Self = Self {
        remote: Ipv6Addr::UNSPECIFIED,
        local: Ipv6Addr::UNSPECIFIED,
        hop: Hop::Loop,
        mtu: 0,
        epoch: 0,
        until: Instant::ZERO,
    };
}

impl Ipv6 {
    /// Queues a packet of a transport.
    #[inline]
    pub(crate) fn output(&mut self, protocol: Protocol, packet: Packet) -> Result<(), Packet> {
        if self.down.is_full() {
            return Err(packet);
        }
        let IpAddr::V6(remote) = packet.info().remote else {
            self.counters.no_route.add(1);
            return Ok(());
        };
        let Some(flow) = self.flow_to(remote, Owner::Host) else {
            self.counters.no_route.add(1);
            return Ok(());
        };
        let local = match packet.info().local {
            IpAddr::V6(local) if local == flow.local || self.network.is_local(local) => local,
            local if local.is_unspecified() => flow.local,
            _ => {
                self.counters.not_ours.add(1);
                return Ok(());
            }
        };
        let length = packet.chain_len();
        let limit = match packet.info().segment {
            0 => usize::from(flow.mtu),
            _ => usize::from(u16::MAX), // the card cuts it up
        };
        if HEADER + length > limit {
            self.counters.too_long.add(1);
            return Ok(());
        }
        self.output_to(&flow, local, protocol, length as u16, packet)
    }

    #[inline]
    fn output_to(
        &mut self,
        flow: &Flow,
        local: Ipv6Addr,
        protocol: Protocol,
        payload: u16,
        mut packet: Packet,
    ) -> Result<(), Packet> {
        if matches!(flow.hop, Hop::Loop) {
            return self.output_loop(local, flow.remote, protocol, packet);
        }
        let header = self.header(local, flow.remote, protocol, payload, &packet);
        if packet.prepend(header).is_err() {
            self.counters.no_room.add(1);
            return Ok(());
        }
        match flow.hop {
            Hop::Station(mac) => drop(self.down.push_back((mac, packet))),
            Hop::Unknown(index) => {
                let dropped = self.neighbours.wait(index, packet, Owner::Host);
                self.counters.pending_full.add(dropped);
            }
            Hop::Loop => {}
        }
        Ok(())
    }

    /// Leaves a packet to ourselves for its transport, as if it had arrived.
    #[cold]
    fn output_loop(
        &mut self,
        local: Ipv6Addr,
        remote: Ipv6Addr,
        protocol: Protocol,
        mut packet: Packet,
    ) -> Result<(), Packet> {
        let taken = self.transport(protocol).filter(|transport| transport.wanted);
        if taken.as_ref().is_some_and(|transport| transport.packets.is_full()) {
            return Err(packet);
        }
        if taken.is_none() || packet.info().segment != 0 {
            self.counters.no_route.add(1);
            return Ok(());
        }
        packet.complete_checksum();
        let header = self.header(local, remote, protocol, packet.len() as u16, &packet);
        if packet.prepend(header).is_err() {
            self.counters.no_room.add(1);
            return Ok(());
        }
        packet.trim_front(HEADER);
        let info = packet.info_mut();
        (info.local, info.remote) = (IpAddr::V6(remote), IpAddr::V6(local));
        core::mem::swap(&mut info.local_port, &mut info.remote_port);
        info.checksum = ChecksumState::Verified;
        info.ip_header = HEADER as u16;
        self.counters.looped.add(1);
        if let Some(transport) = self.transport(protocol) {
            let _ = transport.packets.push_back(packet);
        }
        Ok(())
    }

    #[inline]
    fn header(
        &self,
        source: Ipv6Addr,
        destination: Ipv6Addr,
        protocol: Protocol,
        payload: u16,
        packet: &Packet,
    ) -> [u8; HEADER] {
        let info = packet.info();
        // A received packet that is sent on says how it came, not how it goes.
        let (hops, class) =
            if info.ip_header == 0 { (info.hops, info.class) } else { (0, info.class) };
        let hops = if hops == 0 { self.hop_limit() } else { hops };
        let flow = self.flow_label(protocol, destination, packet.bytes());
        Outgoing { source, destination, next: protocol.0, payload, hops, class, flow }.bytes()
    }

    /// The same for packets of one flow, and not to be guessed (RFC 6437 section 3).
    #[inline]
    fn flow_label(&self, protocol: Protocol, remote: Ipv6Addr, bytes: &[u8]) -> u32 {
        if !matches!(protocol, Protocol::TCP | Protocol::UDP) {
            return 0;
        }
        //= RFC 8200 6: packets of one flow have a label in common
        let ports = bytes.first_chunk::<4>().map_or(0, |ports| u32::from_ne_bytes(*ports));
        let mixed = (remote.to_bits() as u64 ^ u64::from(ports) << 20).wrapping_mul(self.key);
        (mixed >> 44) as u32
    }

    /// Where the way to `remote` is remembered.
    #[inline]
    fn slot(&self, remote: Ipv6Addr) -> usize {
        let bits = remote.to_bits();
        let mixed = ((bits >> 64) as u64 ^ bits as u64).wrapping_mul(self.key);
        (mixed >> 48) as usize & (FLOWS - 1)
    }

    /// The way to a destination, for a packet of `owner`.
    #[inline]
    pub(crate) fn flow_to(&mut self, remote: Ipv6Addr, owner: Owner) -> Option<Flow> {
        let slot = self.slot(remote);
        let known =
            |it: &&Flow| it.remote == remote && it.epoch == self.epoch && self.now < it.until;
        match self.flows.get(slot).filter(known) {
            Some(flow) => Some(*flow),
            None => self.find_flow(remote, owner, slot),
        }
    }

    /// Finds the way to a destination that is not remembered.
    #[inline(never)]
    fn find_flow(&mut self, remote: Ipv6Addr, owner: Owner, slot: usize) -> Option<Flow> {
        let local = self.network.source_for(remote)?;
        let mtu = self.mtu_to(remote);
        let (epoch, lifetime) = (self.epoch, self.now + FLOW_LIFETIME);
        let flow = |hop, until| Flow { remote, local, hop, mtu, epoch, until };
        let flow = if self.network.is_local(remote) || remote.is_loopback() {
            flow(Hop::Loop, lifetime)
        } else if remote.is_multicast() {
            flow(Hop::Station(multicast_mac(remote)), lifetime)
        } else {
            // Routers are few: they are asked for whoever needs them.
            let (hop, owner) = if self.network.is_on_link(remote) {
                (remote, owner)
            } else {
                (self.routers.first_hop(remote, &self.neighbours)?, Owner::Host)
            };
            match self.neighbours.lookup(hop, owner, self.now) {
                Lookup::Known(mac, until) => flow(Hop::Station(mac), until),
                // Not remembered: soon it is known.
                Lookup::Unknown(index) => return Some(flow(Hop::Unknown(index), self.now)),
                Lookup::Full => {
                    match owner {
                        Owner::Host => self.counters.neighbours_full.add(1),
                        Owner::Transit => self.counters.transit_unasked.add(1),
                    }
                    return None;
                }
            }
        };
        if let Some(place) = self.flows.get_mut(slot) {
            *place = flow;
        }
        Some(flow)
    }
}
