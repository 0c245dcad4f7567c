//! From the link to the transports.

use crate::Ipv4;
use crate::reassembly::{self, key, piece};
use crate::wire::{BadOption, HEADER, Header, Malformed, check_options};
use core::net::{IpAddr, Ipv4Addr};
use waitless::network::fragments::{Outcome, Reason};
use waitless::network::{is_host, is_network_broadcast};
use waitless::packet::ChecksumState;
use waitless::{Counter, Packet, Protocol, Reject};

/// Every host on the link (RFC 1112 section 4).
pub(crate) const ALL_HOSTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);

impl Ipv4 {
    /// Takes a packet from the link.
    #[inline]
    pub(crate) fn accept(&mut self, packet: Packet) {
        self.counters.received.add(1);
        let header = match Header::parse(packet.bytes()) {
            Ok(header) => header,
            Err(why) => return self.malformed(why).add(1),
        };
        let for_us_alone =
            self.active && header.destination == self.own.address && !packet.info().broadcast;
        let usual = for_us_alone
            && header.length == HEADER
            && !header.is_fragment()
            && self.is_other_host(header.source);
        match usual {
            true => self.accept_datagram(&header, packet),
            false => self.accept_unusual(packet),
        }
    }

    /// Takes a packet with options, a fragment, or one that is not for this host alone. Its header
    /// is parsed again, so that of most others not all of it must be kept.
    #[inline(never)]
    fn accept_unusual(&mut self, mut packet: Packet) {
        let header = match Header::parse(packet.bytes()) {
            Ok(header) => header,
            Err(why) => return self.malformed(why).add(1),
        };
        if !self.is_other_host(header.source) {
            return self.accept_looped(&header, packet);
        }
        let Some(broadcast) = self.takes(&header, packet.info().broadcast) else {
            return self.accept_foreign(&header, packet);
        };
        if header.length > HEADER {
            let options = packet.bytes().get(HEADER..header.length).unwrap_or_default();
            if let Err(why) = check_options(options) {
                packet.info_mut().broadcast |= broadcast;
                return self.refuse_options(&header, packet, why);
            }
        }
        packet.info_mut().broadcast |= broadcast;
        match header.is_fragment() {
            true => self.accept_fragment(&header, packet),
            false => self.accept_datagram(&header, packet),
        }
    }

    /// Takes a whole datagram for this host.
    #[inline(always)]
    fn accept_datagram(&mut self, header: &Header, mut packet: Packet) {
        strip(header, &mut packet);
        self.deliver(header.protocol, packet);
    }

    /// Drops a packet for its options, and has its sender told where that is a mistake of its own.
    //= RFC 1122 3.2.2.5: senders are told of options that make no sense
    #[cold]
    fn refuse_options(&mut self, header: &Header, mut packet: Packet, why: BadOption) {
        self.counters.bad_options.add(1);
        if let BadOption::Malformed(at) = why
            && header.offset == 0
        {
            strip(header, &mut packet);
            self.refuse(header.protocol, packet, Reject::Parameter(0, at));
        }
    }

    /// Leaves a packet for its transport.
    #[inline]
    pub(crate) fn deliver(&mut self, protocol: Protocol, packet: Packet) {
        // In the first sweep nobody above has asked yet.
        let settled = self.sweeps > 1;
        let known = self.transport(protocol).filter(|transport| transport.wanted || !settled);
        let Some(transport) = known else {
            self.counters.unknown_protocol.add(1);
            return self.refuse(protocol, packet, Reject::Protocol);
        };
        match transport.packets.push_back(packet) {
            Ok(()) => self.counters.delivered.add(1),
            Err(_) => self.counters.mailbox_full.add(1),
        }
    }

    fn accept_fragment(&mut self, header: &Header, packet: Packet) {
        let Some(piece) = piece(header, &packet) else {
            self.counters.bad_fragments.add(1);
            self.reassembly.forget(&key(header));
            return self.counters.reassembling.set(self.reassembly.under_way() as u64);
        };
        //= RFC 1122 3.2.1.4: datagrams in fragments are put together
        let (outcome, evicted) = self.reassembly.add(&piece, &packet, self.now);
        self.counters.reassembly_evicted.add(evicted);
        match outcome {
            Outcome::Kept => self.counters.fragments.add(1),
            Outcome::Complete(assembled) => {
                self.counters.fragments.add(1);
                match reassembly::whole(assembled) {
                    Some(packet) => self.accept_whole(header, packet),
                    None => self.counters.bad_fragments.add(1),
                }
            }
            Outcome::Dropped(Reason::Bad) => self.counters.bad_fragments.add(1),
            Outcome::Dropped(Reason::TooLong) => self.counters.long_fragments.add(1),
            Outcome::Dropped(Reason::Full) => self.counters.fragments_full.add(1),
        }
        self.counters.reassembling.set(self.reassembly.under_way() as u64);
    }

    /// A datagram that was in fragments, behind its IP header.
    fn accept_whole(&mut self, header: &Header, mut packet: Packet) {
        self.counters.reassembled.add(1);
        packet.trim_front(usize::from(packet.info().ip_header));
        let kept = match &mut self.handover {
            Some(handover) => handover.keep(header.protocol, packet),
            None => Ok(Some(packet)),
        };
        match kept {
            Ok(Some(packet)) => self.deliver(header.protocol, packet),
            Ok(None) => self.counters.handed_over.add(1),
            Err(()) => self.counters.mailbox_full.add(1),
        }
    }

    /// Gives up the datagrams whose fragments did not all arrive in time, and has their senders
    /// told where the first fragment did.
    //= RFC 1122 3.3.2: what is missing after a minute is given up
    pub(crate) fn expire(&mut self) {
        while let Some(first) = self.reassembly.expire(self.now) {
            self.counters.reassembly_late.add(1);
            let Some((key, assembled)) = first else { continue };
            if let Some(mut packet) = reassembly::whole(assembled) {
                packet.trim_front(usize::from(packet.info().ip_header));
                self.refuse(Protocol(key.protocol), packet, Reject::Reassembly);
            }
        }
        self.counters.reassembling.set(self.reassembly.under_way() as u64);
    }

    /// Leaves a packet, whose IP header still stands in front of it, for ICMP to answer.
    pub(crate) fn refuse(&mut self, protocol: Protocol, mut packet: Packet, why: Reject) {
        let header = usize::from(packet.info().ip_header);
        let answer = self.rejects_wanted
            && !self.rejects.is_full()
            && header >= HEADER
            && self.may_answer(protocol, &packet)
            && packet.grow_front(header).is_ok();
        if answer {
            let _ = self.rejects.push_back((packet, why));
            self.counters.rejected.add(1);
        } else {
            self.counters.rejects_silent.add(1);
        }
    }

    /// Whether an ICMP error may be sent about a packet: it was sent to us alone, and is not an
    /// ICMP error itself. That its source is one host, and that it is not a later fragment, is so
    /// for every packet that gets here.
    //= RFC 1122 3.2.2: nothing is said about an error, or about what went to all
    fn may_answer(&self, protocol: Protocol, packet: &Packet) -> bool {
        const INFORMATIONAL: [u8; 8] = [0, 8, 13, 14, 15, 16, 17, 18];
        let kind = packet.bytes().first();
        let error =
            protocol == Protocol::ICMP && kind.is_none_or(|kind| !INFORMATIONAL.contains(kind));
        let ours = self.active().is_some_and(|s| IpAddr::V4(s.address) == packet.info().local);
        ours && !packet.info().broadcast && !error
    }

    /// Whether `source` can be the address of another host.
    //= RFC 1122 3.2.1.3: who cannot be one host sends nothing
    #[inline]
    fn is_other_host(&self, source: Ipv4Addr) -> bool {
        is_host(source) && source != self.own.address && source != self.own.broadcast
    }

    /// Whether a packet is for this host, and then whether it is for others too. `link_broadcast`
    /// says that of its frame.
    fn takes(&self, header: &Header, link_broadcast: bool) -> Option<bool> {
        if self.active && header.destination == self.own.address {
            //= RFC 1122 3.3.6: an address of one host in a frame to all is a mistake
            return (!link_broadcast).then_some(false);
        }
        self.takes_for_others(header)
    }

    fn takes_for_others(&self, header: &Header) -> Option<bool> {
        let to = header.destination;
        if to.is_broadcast() || to == ALL_HOSTS {
            return Some(true);
        }
        match self.active() {
            Some(settings) => is_network_broadcast(settings, to).then_some(true),
            // DHCP's answers come to the address that they offer (RFC 2131 section 4.1), from some
            // servers in a frame to all.
            None => {
                let offer = header.protocol == Protocol::UDP && is_host(to);
                (offer && self.config.address.is_none()).then_some(false)
            }
        }
    }

    fn malformed(&self, why: Malformed) -> &'static Counter {
        match why {
            Malformed::Short => &self.counters.short,
            Malformed::Version => &self.counters.bad_version,
            Malformed::HeaderLength => &self.counters.bad_header_length,
            Malformed::TotalLength => &self.counters.bad_length,
            Malformed::Checksum => &self.counters.bad_checksum,
        }
    }
}

/// Takes the header off a packet, and whatever stands behind its end, and notes what it said.
#[inline(always)]
fn strip(header: &Header, packet: &mut Packet) {
    packet.truncate(header.total);
    packet.trim_front(header.length);
    let info = packet.info_mut();
    info.remote = IpAddr::V4(header.source);
    info.local = IpAddr::V4(header.destination);
    info.hops = header.hops;
    info.class = header.class;
    info.ip_header = header.length as u16;
    if let ChecksumState::Partial { .. } = info.checksum {
        // It never left this machine.
        info.checksum = ChecksumState::Verified;
    }
}
