//! Packets of others: what goes up to who forwards them, and what comes down again.
//!
//! Whoever forwards sees to the TTL, to the length, and to which layer a packet goes out of. Here
//! is what depends on this layer's network: which addresses may pass, and the next hop.

use crate::Ipv4;
use crate::wire::{BadOption, HEADER, Header, check_options};
use core::net::{IpAddr, Ipv4Addr};
use waitless::network::{is_host, is_within, next_hop};
use waitless::{BATCH, EtherType, LinkPort, Mailbox, NextHop, Packet, Protocol, Reject};

/// What the layer has of packets that are not its own.
#[derive(Default)]
pub(crate) struct Transit {
    packets: Mailbox,
    /// Whether somebody forwards.
    wanted: bool,
    /// What was forwarded, on its way to the link. It has room for two batches: two cards may
    /// bring one each in a sweep.
    down: Mailbox<(NextHop, Packet), { 2 * BATCH }>,
    /// Where the packet before went, and how.
    way: Option<(Ipv4Addr, NextHop)>,
    /// Whether the link sends packets back that go to our own address.
    pub turns_back: bool,
}

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

    /// Forgets what was derived from the settings.
    pub fn forget_way(&mut self) {
        self.way = None;
    }
}

impl Ipv4 {
    /// Takes a packet from an address that no other host has. Address translation makes such of
    /// what one host behind it sends to another.
    #[cold]
    pub(crate) fn accept_looped(&mut self, header: &Header, packet: Packet) {
        let back = packet.info().looped && self.active && header.source == self.own.address;
        if back && header.destination != self.own.address {
            return self.accept_foreign(header, packet);
        }
        self.counters.bad_source.add(1);
    }

    /// Takes a packet that is for another host.
    pub(crate) fn accept_foreign(&mut self, header: &Header, mut packet: Packet) {
        if !self.transit.wanted || !self.active {
            return self.counters.foreign.add(1);
        }
        //= RFC 1812 5.3.4: what came in a frame to all stations is not forwarded
        if packet.info().broadcast || !may_pass(header.source) || !may_pass(header.destination) {
            return self.counters.martians.add(1);
        }
        let options = packet.bytes().get(HEADER..header.length).unwrap_or_default();
        if let Err(why) = check_options(options) {
            self.counters.bad_options.add(1);
            if let BadOption::Malformed(at) = why {
                packet.truncate(header.total);
                packet.info_mut().remote = IpAddr::V4(header.source);
                self.refuse_transit(packet, Reject::Parameter(0, at));
            }
            return;
        }
        // Cut into smaller pieces, one would begin anew where the others end.
        if header.offset + header.total > usize::from(u16::MAX) {
            return self.counters.bad_fragments.add(1);
        }
        packet.truncate(header.total);
        let info = packet.info_mut();
        info.remote = IpAddr::V4(header.source);
        info.local = IpAddr::V4(header.destination);
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
        let IpAddr::V4(destination) = packet.info().local else {
            self.counters.no_route.add(1);
            return Ok(());
        };
        let way = self.transit.way.filter(|(to, _)| *to == destination);
        let Some((_, hop)) = way.or_else(|| self.find_way(destination)) else {
            self.refuse_transit(packet, Reject::Prohibited);
            return Ok(());
        };
        self.counters.passed.add(1);
        self.transit.down.push_back((hop, packet)).map_err(|(_, packet)| packet)
    }

    /// Gives the link what was forwarded, and leaves half of its room to this host's own packets.
    pub(crate) fn transmit_transit<L: LinkPort>(&mut self, link: &mut L) {
        let share = if self.down.is_empty() { usize::MAX } else { link.room() / 2 };
        for _ in 0..share {
            let Some((hop, packet)) = self.transit.down.pop_front() else { return };
            if let Err(packet) = link.send(EtherType::IPV4, hop, packet) {
                let _ = self.transit.down.push_front((hop, packet));
                return;
            }
            self.counters.sent.add(1);
        }
    }

    /// The way to a destination that has a route. To our own address there is one only where the
    /// link turns packets back: another layer's packets do not end here (the strong model).
    #[inline(never)]
    fn find_way(&mut self, destination: Ipv4Addr) -> Option<(Ipv4Addr, NextHop)> {
        let own = destination == self.own.address;
        if own && !self.transit.turns_back {
            return None;
        }
        let way = (destination, next_hop(self.active(), destination)?);
        self.transit.way = Some(way);
        Some(way)
    }

    /// Leaves a packet of another host for ICMP to answer, where it may be. Its addresses are those
    /// of single hosts, and it did not come in a frame to all.
    #[cold]
    pub(crate) fn refuse_transit(&mut self, mut packet: Packet, why: Reject) {
        //= RFC 1812 4.3.2.7: nothing is said about an error, or a fragment that is not the first
        let error = is_error_or_fragment(packet.bytes());
        if error || !self.rejects_wanted || self.rejects.is_full() || !self.active {
            return self.counters.rejects_silent.add(1);
        }
        //= RFC 1812 4.3.2.4: it comes from the address of where the packet came in
        packet.info_mut().local = IpAddr::V4(self.own.address);
        let _ = self.rejects.push_back((packet, why));
        self.counters.rejected.add(1);
    }
}

/// Whether packets from or to `address` may leave their network.
//= RFC 1812 5.3.7: what no host of another network can have is not forwarded
//= RFC 3927 7: nor is what is of one link alone
fn may_pass(address: Ipv4Addr) -> bool {
    is_host(address) && !is_within(address, Ipv4Addr::new(169, 254, 0, 0), 16)
}

/// Whether a packet is an ICMP error, or a fragment that is not the first.
fn is_error_or_fragment(bytes: &[u8]) -> bool {
    const INFORMATIONAL: [u8; 8] = [0, 8, 13, 14, 15, 16, 17, 18];
    let Some([first, .., f0, f1, _, protocol, _, _]) = bytes.first_chunk::<12>() else {
        return true;
    };
    let later = u16::from_be_bytes([*f0, *f1]) & 0x1fff != 0;
    let kind = bytes.get(usize::from(first & 15) * 4);
    let error = Protocol(*protocol) == Protocol::ICMP
        && kind.is_none_or(|kind| !INFORMATIONAL.contains(kind));
    later || error
}
