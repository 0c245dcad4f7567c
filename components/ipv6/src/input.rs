//! From the link to the transports.

use crate::Ipv6;
use crate::extension::{
    self, CODE_CHAIN, CODE_FIELD, CODE_NEXT, Chain, Fault, Fragment, icmp_kind,
};
use crate::message;
use crate::reassembly::{self, Arrived, Nonsense};
use crate::wire::{HEADER, Header, Malformed};
use core::net::{IpAddr, Ipv6Addr};
use waitless::network::fragments::{Outcome, Reason};
use waitless::network::v6::is_host;
use waitless::packet::ChecksumState;
use waitless::{Context, Counter, Packet, Protocol, Reject};

impl Ipv6 {
    /// Takes a packet from the link.
    #[inline]
    pub(crate) fn accept(&mut self, packet: Packet, cx: &mut Context) {
        self.counters.received.add(1);
        self.accept_whole(packet, false, cx);
    }

    /// Takes a packet, which was perhaps put together from fragments.
    fn accept_whole(&mut self, mut packet: Packet, reassembled: bool, cx: &mut Context) {
        let header = match Header::parse(packet.bytes()) {
            Ok(header) => header,
            Err(why) => return self.malformed(why).add(1),
        };
        let unspecified = header.source.is_unspecified();
        if !unspecified && !self.is_other_host(header.source) {
            return self.counters.bad_source.add(1);
        }
        let Some(group) = self.takes(header.destination, packet.info().broadcast) else {
            return self.accept_foreign(&header, packet);
        };
        packet.truncate(header.total);
        let info = packet.info_mut();
        info.broadcast |= group;
        info.remote = IpAddr::V6(header.source);
        info.local = IpAddr::V6(header.destination);
        info.hops = header.hops;
        info.class = header.class;
        info.ip_header = HEADER as u16;
        if let ChecksumState::Partial { .. } = info.checksum {
            // It never left this machine.
            info.checksum = ChecksumState::Verified;
        }
        let plain = matches!(header.next, 6 | 17 | 58);
        let chain = if plain {
            Chain::of(header.next)
        } else {
            match extension::walk(packet.bytes(), group, reassembled) {
                Ok(chain) => chain,
                Err(fault) => return self.faulty(fault, packet),
            }
        };
        if let Some(fragment) = chain.fragment {
            return self.accept_fragment(&header, &chain, fragment, packet, cx);
        }
        packet.info_mut().ip_header = chain.end as u16;
        packet.trim_front(chain.end);
        let protocol = Protocol(chain.protocol);
        let kind = packet.bytes().first().copied().unwrap_or(0);
        if protocol == Protocol::ICMPV6 && message::is_control(kind) {
            self.counters.control.add(1);
            //= RFC 6980 5: fragments hide from filters what they carry, and so does their header
            if reassembled || chain.atomic {
                return self.counters.control_bad.add(1);
            }
            return self.control(&header, &chain, packet, cx);
        }
        if unspecified {
            return self.counters.bad_source.add(1);
        }
        self.deliver(&chain, packet);
    }

    /// Leaves a packet for its transport.
    #[inline]
    fn deliver(&mut self, chain: &Chain, packet: Packet) {
        // In the first sweep nobody above has asked yet.
        let settled = self.sweeps > 1;
        let protocol = Protocol(chain.protocol);
        let known = self.transport(protocol).filter(|transport| transport.wanted || !settled);
        let Some(transport) = known else {
            self.counters.unknown_protocol.add(1);
            //= RFC 8200 4: senders are told of a header that is not understood
            let why = Reject::Parameter(CODE_NEXT, chain.field as u16);
            return self.refuse(protocol, packet, why);
        };
        match transport.packets.push_back(packet) {
            Ok(()) => self.counters.delivered.add(1),
            Err(_) => self.counters.mailbox_full.add(1),
        }
    }

    fn accept_fragment(
        &mut self,
        header: &Header,
        chain: &Chain,
        fragment: Fragment,
        packet: Packet,
        cx: &mut Context,
    ) {
        let (at, field) = (chain.end, chain.field);
        let arrived = Arrived { header, fragment, packet: &packet, at, field };
        let piece = match arrived.piece() {
            Ok(piece) => piece,
            Err(nonsense) => {
                self.counters.bad_fragments.add(1);
                self.reassembly.forget(&arrived.key());
                self.counters.reassembling.set(self.reassembly.under_way() as u64);
                return self.nonsensical(nonsense, packet);
            }
        };
        //= RFC 8200 4.5: packets in fragments are put together
        let (outcome, evicted) = self.reassembly.add(&piece, &packet, self.now);
        self.counters.reassembly_evicted.add(evicted);
        match outcome {
            Outcome::Kept => self.counters.fragments.add(1),
            Outcome::Complete(assembled) => {
                self.counters.fragments.add(1);
                match reassembly::whole(assembled) {
                    Some(packet) => {
                        self.counters.reassembled.add(1);
                        self.accept_whole(packet, true, cx);
                    }
                    None => self.counters.bad_fragments.add(1),
                }
            }
            //= RFC 5722 4: those that overlap lose the packet
            Outcome::Dropped(Reason::Bad) => self.counters.bad_fragments.add(1),
            Outcome::Dropped(Reason::TooLong) => self.counters.long_fragments.add(1),
            Outcome::Dropped(Reason::Full) => self.counters.fragments_full.add(1),
        }
        self.counters.reassembling.set(self.reassembly.under_way() as u64);
    }

    /// Gives up the packets whose fragments did not all arrive in time, and has their senders
    /// told where the first fragment did (RFC 8200 section 4.5).
    pub(crate) fn expire(&mut self) {
        while let Some(first) = self.reassembly.expire(self.now) {
            self.counters.reassembly_late.add(1);
            if let Some(packet) = first.and_then(|(_, assembled)| assembled.into_packet()) {
                //= RFC 4443 3.3: where the first fragment came, its sender is told
                self.refuse_whole(packet, Reject::Reassembly);
            }
        }
        self.counters.reassembling.set(self.reassembly.under_way() as u64);
    }

    #[cold]
    fn faulty(&mut self, fault: Fault, packet: Packet) {
        match fault {
            Fault::Empty => self.counters.empty.add(1),
            Fault::Silent => self.counters.bad_extensions.add(1),
            Fault::Problem(code, at) => {
                self.counters.bad_extensions.add(1);
                self.refuse_whole(packet, Reject::Parameter(code, at));
            }
        }
    }

    #[cold]
    fn nonsensical(&mut self, nonsense: Nonsense, packet: Packet) {
        match nonsense {
            Nonsense::Silent => {}
            Nonsense::Field(at) => self.refuse_whole(packet, Reject::Parameter(CODE_FIELD, at)),
            Nonsense::Headers => self.refuse_headers(packet, Reject::Parameter(CODE_CHAIN, 0)),
        }
    }

    /// Leaves a packet whose headers are not stripped for ICMP to answer.
    fn refuse_whole(&mut self, packet: Packet, why: Reject) {
        if is_error(icmp_kind(packet.bytes())) {
            return self.counters.rejects_silent.add(1);
        }
        self.refuse_headers(packet, why);
    }

    /// The same for one that is known to be no error, or to hide what it is: nobody sends errors
    /// in such a way.
    fn refuse_headers(&mut self, mut packet: Packet, why: Reject) {
        const NONE: Protocol = Protocol(59);
        packet.trim_front(HEADER);
        packet.info_mut().ip_header = HEADER as u16;
        self.refuse(NONE, packet, why);
    }

    /// Leaves a packet, whose IP headers still stand in front of it, for ICMP to answer.
    pub(crate) fn refuse(&mut self, protocol: Protocol, mut packet: Packet, why: Reject) {
        let headers = usize::from(packet.info().ip_header);
        let answer = self.rejects_wanted
            && !self.rejects.is_full()
            && headers >= HEADER
            && self.may_answer(protocol, &packet, why)
            && packet.grow_front(headers).is_ok();
        if answer {
            let _ = self.rejects.push_back((packet, why));
            self.counters.rejected.add(1);
        } else {
            self.counters.rejects_silent.add(1);
        }
    }

    /// Whether an ICMP error may be sent about a packet: its source is one host, it is not an error
    /// itself, and it was sent to us alone, unless it asks even then to be told of an option that
    /// is not understood.
    //= RFC 4443 2.4.e: nothing is said about an error, to a group, or to nobody
    fn may_answer(&self, protocol: Protocol, packet: &Packet, why: Reject) -> bool {
        const OPTION: u8 = 2;
        let info = packet.info();
        let IpAddr::V6(source) = info.remote else { return false };
        let kind = packet.bytes().first().copied();
        let error = protocol == Protocol::ICMPV6 && (kind.is_none() || is_error(kind));
        let even_to_groups = matches!(why, Reject::Parameter(OPTION, _));
        is_host(source) && !error && (!info.broadcast || even_to_groups)
    }

    /// Whether `source` can be the address of another host.
    #[inline]
    fn is_other_host(&self, source: Ipv6Addr) -> bool {
        is_host(source) && !self.network.is_local(source)
    }

    /// Whether a packet is for this host, and then whether it is for others too. `link_broadcast`
    /// says that of its frame.
    #[inline]
    fn takes(&self, to: Ipv6Addr, link_broadcast: bool) -> Option<bool> {
        if self.network.is_local(to) {
            // An address of one host in a frame to many is a mistake, or worse.
            return (!link_broadcast).then_some(false);
        }
        (to.is_multicast() && self.groups.has(to)).then_some(true)
    }

    fn malformed(&self, why: Malformed) -> &'static Counter {
        match why {
            Malformed::Short => &self.counters.short,
            Malformed::Version => &self.counters.bad_version,
            Malformed::Length => &self.counters.bad_length,
        }
    }
}

/// Whether a message of ICMPv6 of this kind is an error or a redirect: then nothing is said about
/// it (RFC 4443 section 2.4 (e)).
pub(crate) fn is_error(kind: Option<u8>) -> bool {
    const FIRST_INFORMATIONAL: u8 = 128;
    kind.is_some_and(|kind| kind < FIRST_INFORMATIONAL || kind == message::REDIRECT)
}
