//! From the transports to the link.

use crate::Ipv4;
use crate::wire::{HEADER, Outgoing};
use core::net::{IpAddr, Ipv4Addr};
use waitless::network::{is_host, next_hop};
use waitless::packet::ChecksumState;
use waitless::{IpPort, Mac, NextHop, Packet, Protocol, Random};

/// Where packets to one destination go, and from which address.
#[derive(Clone, Copy)]
pub(crate) struct Flow {
    remote: Ipv4Addr,
    local: Ipv4Addr,
    way: Way,
    /// The longest packet that goes there, in bytes.
    mtu: u16,
}

/// A next hop as a number, which is moved at once: its address below, what kind it is above.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Way(u64);

impl Way {
    /// Back to ourselves: no next hop has this number.
    const LOOP: Self = Self(3 << 48);
    const MAC: u64 = 2 << 48;
    const BROADCAST: u64 = 1 << 48;

    pub fn to(hop: NextHop) -> Self {
        Self(match hop {
            NextHop::Ipv4(address) => u64::from(address.to_bits()),
            NextHop::Broadcast => Self::BROADCAST,
            NextHop::Mac(Mac([a, b, c, d, e, f])) => {
                Self::MAC | u64::from_be_bytes([0, 0, a, b, c, d, e, f])
            }
        })
    }

    #[inline]
    pub fn hop(self) -> NextHop {
        let [.., a, b, c, d, e, f] = self.0.to_be_bytes();
        match self.0 & (3 << 48) {
            0 => NextHop::Ipv4(Ipv4Addr::from_bits(self.0 as u32)),
            Self::MAC => NextHop::Mac(Mac([a, b, c, d, e, f])),
            _ => NextHop::Broadcast,
        }
    }
}

/// Numbers for packets that may be fragmented on their way: each of the 65,536 once before the
/// first one again, in an order that others can not guess (RFC 6864 section 4.3, RFC 7739).
pub(crate) struct Identifications {
    keys: [u16; 3],
    next: u16,
}

impl Ipv4 {
    /// Queues a packet of a transport.
    #[inline]
    pub(crate) fn output(&mut self, protocol: Protocol, packet: Packet) -> Result<(), Packet> {
        // The usual case, seen first: to where the last one went.
        if let Some(flow) = &self.flow
            && packet.info().remote == IpAddr::V4(flow.remote)
            && flow.way != Way::LOOP
            && flow.may_be_from(packet.info().local)
            && !self.down.is_full()
            && let Some(total) = flow.total(&packet)
        {
            self.output_to(&flow.apart(), protocol, total, packet);
            return Ok(());
        }
        self.output_elsewhere(protocol, packet)
    }

    /// Queues a packet to another destination than the last one, or one that may not go.
    #[inline(never)]
    fn output_elsewhere(&mut self, protocol: Protocol, packet: Packet) -> Result<(), Packet> {
        if self.down.is_full() {
            return Err(packet);
        }
        let IpAddr::V4(remote) = packet.info().remote else {
            self.counters.no_route.add(1);
            return Ok(());
        };
        let known = self.flow.filter(|flow| flow.remote == remote);
        let Some(flow) = known.or_else(|| self.find_flow(remote)) else {
            self.counters.no_route.add(1);
            return Ok(());
        };
        if !flow.may_be_from(packet.info().local) {
            self.counters.not_ours.add(1);
            return Ok(());
        }
        let Some(total) = flow.total(&packet) else {
            self.counters.too_long.add(1);
            return Ok(());
        };
        if flow.way == Way::LOOP {
            return self.output_loop(&flow, protocol, total, packet);
        }
        self.output_to(&flow, protocol, total, packet);
        Ok(())
    }

    #[inline]
    fn output_to(&mut self, flow: &Flow, protocol: Protocol, total: u16, mut packet: Packet) {
        let header = self.header(flow, protocol, total, &packet);
        match packet.prepend(header) {
            Ok(()) => drop(self.down.push_back((flow.way, packet))),
            Err(_) => self.counters.no_room.add(1),
        }
    }

    /// Leaves a packet to ourselves for its transport, as if it had arrived.
    #[cold]
    fn output_loop(
        &mut self,
        flow: &Flow,
        protocol: Protocol,
        total: u16,
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
        let header = self.header(flow, protocol, total, &packet);
        if packet.prepend(header).is_err() {
            self.counters.no_room.add(1);
            return Ok(());
        }
        packet.trim_front(HEADER);
        let info = packet.info_mut();
        info.local = IpAddr::V4(flow.remote);
        info.remote = IpAddr::V4(flow.local);
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
        &mut self,
        flow: &Flow,
        protocol: Protocol,
        total: u16,
        packet: &Packet,
    ) -> [u8; HEADER] {
        let info = packet.info();
        let identification = match protocol {
            // Its segments fit the path, and nobody on the way may fragment them.
            Protocol::TCP => None,
            _ => Some(self.identifications.next()),
        };
        // A received packet that is sent on says how it came, not how it goes.
        let (hops, class) = if info.ip_header == 0 { (info.hops, info.class) } else { (0, 0) };
        //= RFC 9293 3.9.2 MUST-49: the hop limit is that of the manifest unless a packet has one
        //= RFC 1122 3.2.1.7: nothing is sent with a time to live of 0
        let hops = if hops == 0 { self.config.ttl.max(1) } else { hops };
        Outgoing {
            source: flow.local,
            destination: flow.remote,
            protocol,
            total,
            identification,
            hops,
            class,
        }
        .bytes()
    }

    /// Finds the way to another destination than the last one.
    #[inline(never)]
    fn find_flow(&mut self, remote: Ipv4Addr) -> Option<Flow> {
        let settings = self.active();
        let ours = settings.is_some_and(|settings| settings.address == remote);
        // RFC 1122 section 3.2.1.3 (g): what goes to such an address never leaves the host.
        let inside = remote.is_loopback();
        let local = match settings {
            _ if inside => Ipv4Addr::LOCALHOST,
            Some(settings) => settings.address,
            None => Ipv4Addr::UNSPECIFIED,
        };
        let way = match ours || inside {
            true => Way::LOOP,
            //= RFC 1122 3.3.1.1: to a neighbour itself, otherwise to a router
            false => Way::to(next_hop(settings, remote)?),
        };
        debug_assert!(is_host(remote) || inside || way != Way::LOOP);
        let flow = Flow { remote, local, way, mtu: self.mtu(IpAddr::V4(remote)) };
        self.flow = Some(flow);
        Some(flow)
    }
}

impl Flow {
    /// Whether a packet may name this address of ours: none is one that the flow chooses.
    #[inline]
    fn may_be_from(&self, local: IpAddr) -> bool {
        local == IpAddr::V4(self.local) || local.is_unspecified()
    }

    /// The length of a packet with its header; `None` for one that is too long.
    #[inline]
    fn total(&self, packet: &Packet) -> Option<u16> {
        let total = HEADER + packet.chain_len();
        let limit = match packet.info().segment {
            0 => self.mtu,
            _ => u16::MAX, // the card cuts it up
        };
        //= RFC 1122 3.3.3: nothing longer than the link takes is sent
        (total <= usize::from(limit)).then_some(total as u16)
    }

    #[inline(always)]
    fn apart(&self) -> Self {
        *self
    }
}

impl Identifications {
    pub fn new(random: &mut Random) -> Self {
        let [first, second, third, next] = [(); 4].map(|()| random.u32() as u16);
        Self { keys: [first | 1, second | 1, third], next }
    }

    /// The next number: a counter, mixed by steps that can each be undone, so that every number
    /// comes exactly once.
    #[inline]
    fn next(&mut self) -> u16 {
        let [first, second, third] = self.keys;
        self.next = self.next.wrapping_add(1);
        let mixed = self.next.wrapping_mul(first);
        let mixed = (mixed ^ mixed >> 7).wrapping_mul(second);
        (mixed ^ mixed >> 9) ^ third
    }
}
