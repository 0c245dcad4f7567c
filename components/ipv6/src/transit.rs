//! Packets of others: what goes up to who forwards them, and what comes down again.
//!
//! Whoever forwards sees to the hop limit, to the length, and to which layer a packet goes out of.
//! Here is what depends on this layer's network: which addresses may pass, and the next hop.

use crate::Ipv6;
use crate::extension::icmp_kind;
use crate::input::is_error;
use crate::message;
use crate::neighbours::Owner;
use crate::output::Hop;
use crate::wire::Header;
use core::net::{IpAddr, Ipv6Addr};
use waitless::network::v6::{has_prefix, is_host, scope};
use waitless::{BATCH, EtherType, LinkPort, Mac, Mailbox, NextHop, Packet, Reject};

/// What the layer has of packets that are not its own.
#[derive(Default)]
pub(crate) struct Transit {
    packets: Mailbox,
    /// Whether somebody forwards.
    pub wanted: bool,
    /// What was forwarded, on its way to the link. It has room for two batches: two cards may
    /// bring one each in a sweep.
    down: Mailbox<(Mac, Packet), { 2 * BATCH }>,
}

/// The scope of what does not leave its link (RFC 4291 section 2.7).
const LINK: u8 = 2;

impl Transit {
    #[inline]
    pub fn next(&mut self) -> Option<Packet> {
        self.wanted = true;
        self.packets.pop_front()
    }

    /// Whether nothing waits, neither for who forwards nor for the link.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty() && self.down.is_empty()
    }

    /// Whether nothing waits for the link.
    #[inline]
    pub fn is_sent(&self) -> bool {
        self.down.is_empty()
    }
}

/// Whether a packet solicits or advertises routers or neighbours, or redirects: these are for one
/// link, which hosts know by a hop limit that nobody has decremented (RFC 4861 section 7.1).
fn finds_neighbours(packet: &Packet) -> bool {
    let kinds = message::ROUTER_SOLICITATION..=message::REDIRECT;
    icmp_kind(packet.bytes()).is_some_and(|kind| kinds.contains(&kind))
}

impl Ipv6 {
    /// Takes a packet that is for another host.
    pub(crate) fn accept_foreign(&mut self, header: &Header, mut packet: Packet) {
        if !self.transit.wanted || header.destination.is_multicast() {
            return self.counters.foreign.add(1);
        }
        // RFC 4291 sections 2.5.2, 2.5.6: what is nobody's or of one link alone is not forwarded
        let passes = may_pass(header.source) && may_pass(header.destination);
        if packet.info().broadcast || !passes || finds_neighbours(&packet) {
            return self.counters.martians.add(1);
        }
        packet.truncate(header.total);
        let info = packet.info_mut();
        info.remote = IpAddr::V6(header.source);
        info.local = IpAddr::V6(header.destination);
        info.ip_header = 0;
        match self.transit.packets.push_back(packet) {
            Ok(()) => self.counters.transit.add(1),
            Err(_) => self.counters.mailbox_full.add(1),
        }
    }

    /// Queues a packet of another host for the next hop.
    #[inline]
    pub(crate) fn pass(&mut self, packet: Packet) -> Result<(), Packet> {
        if self.transit.down.is_full() {
            return Err(packet);
        }
        let IpAddr::V6(destination) = packet.info().local else {
            self.counters.no_route.add(1);
            return Ok(());
        };
        let Some(flow) = self.flow_to(destination, Owner::Transit) else {
            self.counters.no_route.add(1);
            return Ok(());
        };
        match flow.hop {
            Hop::Station(mac) => {
                self.counters.passed.add(1);
                return self.transit.down.push_back((mac, packet)).map_err(|(_, packet)| packet);
            }
            Hop::Unknown(index) => {
                self.counters.passed.add(1);
                let dropped = self.neighbours.wait(index, packet, Owner::Transit);
                self.counters.pending_full.add(dropped);
            }
            // Another layer's packets do not end here (the strong model): who forwards sees to
            // that.
            Hop::Loop => self.counters.no_route.add(1),
        }
        Ok(())
    }

    /// Gives the link what was forwarded, and leaves half of its room to this host's own packets.
    pub(crate) fn transmit_transit<L: LinkPort>(&mut self, link: &mut L) {
        let share = if self.down.is_empty() { usize::MAX } else { link.room() / 2 };
        for _ in 0..share {
            let Some((mac, packet)) = self.transit.down.pop_front() else { return };
            if let Err(packet) = link.send(EtherType::IPV6, NextHop::Mac(mac), packet) {
                // There is room: one was taken.
                let _ = self.transit.down.push_front((mac, packet));
                return;
            }
            self.counters.sent.add(1);
        }
    }

    /// Gives a packet whose next hop does not answer back to who forwards, who knows the layer
    /// where its sender is to be told. It says that it is from this host itself.
    #[cold]
    pub(crate) fn give_back(&mut self, mut packet: Packet) {
        packet.info_mut().looped = true;
        if self.transit.packets.push_back(packet).is_err() {
            self.counters.rejects_silent.add(1);
        }
    }

    /// Leaves a packet of another host for ICMP to answer, where it may be. Its addresses are those
    /// of single hosts, and it did not come in a frame to all.
    #[cold]
    pub(crate) fn refuse_transit(&mut self, mut packet: Packet, why: Reject) {
        let IpAddr::V6(source) = packet.info().remote else { return };
        let silent =
            is_error(icmp_kind(packet.bytes())) || !self.rejects_wanted || self.rejects.is_full();
        // It comes from an address of where the packet came in.
        let local = self.network.source_for(source).filter(|_| !silent);
        let Some(local) = local else {
            return self.counters.rejects_silent.add(1);
        };
        packet.info_mut().local = IpAddr::V6(local);
        let _ = self.rejects.push_back((packet, why));
        self.counters.rejected.add(1);
    }

    /// How well a packet to `remote` goes out here: the bits of the most specific network that is
    /// on the link, or 0 for a router to everywhere else. The manifest's networks are there from
    /// the start, whether or not an address is in use: what is for them goes nowhere else.
    pub(crate) fn bits_to(&self, remote: Ipv6Addr) -> Option<u8> {
        let within = |&&(prefix, length): &&(Ipv6Addr, u8)| has_prefix(remote, prefix, length);
        let own = self.config.addresses.iter().filter(|(_, length)| *length < 128);
        let networks = own.chain(&self.network.prefixes).filter(within);
        let bits = networks.map(|(_, length)| *length).max();
        bits.or_else(|| self.network.source_for(remote).map(|_| 0))
    }
}

/// Whether packets from or to `address` may leave their link.
fn may_pass(address: Ipv6Addr) -> bool {
    is_host(address) && scope(address) > LINK
}
