//! Address translation (NAPT, RFC 4787, 5382 and 5508): many hosts behind one IPv4 address.
//!
//! It goes into the edge between a router's outer IPv4 layer and the link, `under = "wan4"`. What
//! the layer forwards from inside goes out from the layer's own address, and from a port that
//! stands for the host's; what comes back is given the host's address again before the layer sees
//! it. So the layer, what forwards, and a firewall in between know hosts inside by their own
//! addresses, and this host's own packets pass untouched:
//!
//! ```toml
//! [wall]
//! is = "firewall"
//! under = "wan4"
//!
//! [nat]
//! is = "nat44"
//! under = "wan4"
//! port-forward = ["tcp 8080 to 192.168.1.10:80"]
//! ```
//!
//! A port inside has one port outside, whomever it talks to; the same number where that is free.
//! Who may send to it from outside is chosen by `filtering`. A packet from inside to the address
//! outside turns back here, translated twice (hairpinning). ICMP errors are translated with what
//! they quote. Fragments follow the first one of their datagram, and wait a little for it.
//!
//! Ports outside from `first-port` to `last-port` are for hosts inside: what is sent to one that
//! stands for none is dropped without an answer. So a service of this host listens below, or there
//! by `port-forward` alone.
//!
//! All tables have a size and never grow. What does not fit is dropped, counted by reason; nothing
//! gives way before its time, and one host inside cannot use up all.
//!
//! Not here: other transports than TCP, UDP and ICMP's questions, protocols that carry addresses
//! in their data (FTP, SIP), port control (PCP), several addresses outside, several cores, and
//! unique identifications for fragments of several hosts (RFC 6864 section 5.3.1).

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod chains;
mod packet;
mod pieces;
mod service;
mod table;
#[cfg(test)]
mod tests;

use core::net::Ipv4Addr;
use packet::{Flags, Kind, Quote, Seen, Side, is_intact, rewrite, rewrite_quote, see};
use pieces::{Pieces, Way};
use service::Service;
use table::{End, Limits, Refusal, Table};
use waitless::relay::{LinkRelay, Relay, RelayOver, Relaying};
use waitless::{
    BATCH, Component, Context, Counter, CounterSet, Duration, EtherType, InitError, Inspect,
    Instant, NextHop, Packet, Protocol, error,
};

/// What the manifest may set.
#[derive(Debug)]
pub struct Config {
    /// Services inside that are reached from outside.
    pub port_forward: &'static [&'static str],
    /// Whose packets come in.
    pub filtering: Filtering,
    /// The first port that hosts inside may have outside.
    pub first_port: u16,
    /// The last one.
    pub last_port: u16,
    /// How many mappings, and how many sessions of them, are remembered.
    pub flows: u32,
    /// How many of both a host inside may have.
    pub host_flows: u32,
    /// How long an established connection is remembered without a packet.
    pub tcp_timeout: Duration,
    /// How long a port of UDP is remembered without a packet from inside.
    pub udp_timeout: Duration,
    /// How long a number of echo requests is remembered without a packet from inside.
    pub icmp_timeout: Duration,
}

/// Whose packets come in for a host inside that has sent some (RFC 4787 section 5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Filtering {
    /// Those of addresses that it has sent to.
    AddressDependent,
    /// Everybody's.
    EndpointIndependent,
}

/// The translation. Provides a `LinkPort`, stands on one.
pub struct Nat44 {
    relay: LinkRelay,
    config: &'static Config,
    table: Table,
    pieces: Pieces,
    /// The address outside.
    outside: Option<Ipv4Addr>,
    counters: &'static Counters,
}

waitless::counters! {
    /// What the translation counts. Packets seen are those translated, turned back, and passed,
    /// and those dropped for one of the reasons.
    pub(crate) struct Counters {
        /// Packets from inside that went out translated.
        counter translated_out: packets,
        /// Packets from outside that came in translated.
        counter translated_in: packets,
        /// Packets from inside that turned back, translated twice.
        counter hairpinned: packets,
        /// Packets of this host or for it, which pass as they are.
        counter passed: packets,
        /// ICMP errors translated, which are counted above too.
        counter errors: messages,
        /// Packets whose headers make no sense.
        counter malformed: packets,
        /// Packets from inside while there is no address outside.
        counter no_address: packets,
        /// Packets from inside of a protocol that cannot be translated.
        counter unsupported: packets,
        /// Packets from inside for which the table had no room.
        counter full: packets,
        /// Packets of hosts inside that have as many flows as they may.
        counter host_full: packets,
        /// Packets from inside for which no free port was found.
        counter no_port: packets,
        /// Packets from inside that end or answer what is not known.
        counter stray: packets,
        /// Packets from outside to a port that stands for none.
        counter unsolicited: packets,
        /// Packets from outside for a host that has not sent to where they come from, or that
        /// would begin more connections with it than others may.
        counter filtered: packets,
        /// Packets from outside to an address inside.
        counter foreign: packets,
        /// ICMP errors about what is not known, or with a wrong checksum.
        counter bad_errors: messages,
        /// Fragments whose first one did not come, or that were too many to wait.
        counter fragments: packets,
        /// Packets that turned back for which there was no room.
        counter no_room: packets,
        /// Ports inside that stand for one outside.
        gauge mappings: ports,
        /// Those that they talk to, as far as that is remembered.
        gauge sessions: sessions,
    }
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// It goes on as it is.
    Pass,
    /// It goes on, translated.
    Translated,
    /// It waits for the first fragment.
    Wait,
    Drop(&'static Counter),
}

/// Services that there may be.
const SERVICES: usize = 64;

impl Nat44 {
    /// A translation that remembers nothing yet.
    pub fn new(config: &'static Config, _: &mut Context) -> Self {
        let limits = Limits {
            flows: config.flows,
            host_flows: config.host_flows,
            ports: (config.first_port, config.last_port.max(config.first_port)),
            tcp: config.tcp_timeout,
            udp: config.udp_timeout,
            icmp: config.icmp_timeout,
        };
        Self {
            relay: LinkRelay::default(),
            config,
            table: Table::new(limits),
            pieces: Pieces::new(),
            outside: None,
            counters: Counters::leak(),
        }
    }

    fn check_services(&mut self, cx: &Context) -> Result<(), InitError> {
        let wrong = InitError("a port-forward is not understood: the line above says why");
        if self.config.port_forward.len() > SERVICES {
            return Err(InitError("there are more than 64 port-forwards"));
        }
        for (number, text) in self.config.port_forward.iter().enumerate() {
            let service = Service::parse(text).map_err(|why| {
                error!(cx, "port-forward {} `{text}`: {why}", number + 1);
                wrong
            })?;
            if self.table.fix(&service).is_err() {
                error!(cx, "port-forward {} `{text}`: one of its ends has another", number + 1);
                return Err(wrong);
            }
        }
        Ok(())
    }

    /// Whether those that a host talks to are remembered beside its ports.
    fn has_sessions(&self) -> bool {
        self.config.filtering == Filtering::AddressDependent
    }

    /// Forgets what stood for the address outside, when that is another.
    fn watch_address(&mut self) {
        let claimed = self.relay.claimed();
        if claimed != self.outside {
            self.outside = claimed;
            self.table.forget();
            self.pieces.clear();
        }
    }

    /// Looks at what time it is.
    fn age(&mut self, now: Instant) {
        self.table.expire(now);
        while self.pieces.give_up(now).is_some() {
            self.counters.fragments.add(1);
        }
        let (mappings, sessions) = self.table.counts();
        self.counters.mappings.set(mappings as u64);
        self.counters.sessions.set(sessions as u64);
    }

    /// Translates a packet that goes out.
    fn outward(&mut self, packet: &mut Packet, cx: &mut Context) -> Fate {
        let Some(seen) = see(packet.bytes()) else { return Fate::Drop(&self.counters.malformed) };
        let own = seen.source.is_unspecified() || self.outside == Some(seen.source);
        if let Kind::Error(quote) = seen.kind {
            return self.error_outward(packet, &seen, &quote, own);
        }
        if own {
            return Fate::Pass;
        }
        let Some(outside) = self.outside else { return Fate::Drop(&self.counters.no_address) };
        let (from, to, flags) = match seen.kind {
            Kind::Flow((from, to), flags) => (from, to, flags),
            //= RFC 5508 3.1 REQ-1: questions from inside pass
            Kind::Question(number) => (number, 0, Flags::default()),
            Kind::Later => match self.pieces.address(&seen, false, cx.now()) {
                Some(address) => {
                    rewrite(packet.bytes_mut(), &seen, Side::Source, address, None);
                    return Fate::Translated;
                }
                None => return Fate::Wait,
            },
            Kind::Answer(_) | Kind::Message => return Fate::Drop(&self.counters.stray),
            Kind::Error(_) | Kind::Other => return Fate::Drop(&self.counters.unsupported),
        };
        let ends: (End, End) = ((seen.source, from), (seen.destination, to));
        let (sessions, clock) = (self.has_sessions(), (cx.now(), &mut cx.random));
        match self.table.goes_out(seen.protocol, ends, flags, sessions, clock) {
            Ok(port) => {
                packet.complete_checksum();
                rewrite(packet.bytes_mut(), &seen, Side::Source, outside, Some(port));
                self.pieces.remember(&seen, false, outside, cx.now());
                Fate::Translated
            }
            Err(refusal) => Fate::Drop(self.refused(refusal)),
        }
    }

    /// Translates an ICMP error about a packet that came in: of a host inside, or this one's own
    /// about what it did not forward.
    fn error_outward(
        &mut self,
        packet: &mut Packet,
        seen: &Seen,
        quote: &Quote,
        own: bool,
    ) -> Fate {
        if own && (self.outside.is_none() || self.outside == Some(quote.destination)) {
            return Fate::Pass;
        }
        let inside = (quote.destination, quote.ports.1);
        let known = self.table.inside(quote.protocol, inside);
        //= RFC 5508 4.2 REQ-5: an error about what is not known is dropped
        let (Some(mapping), Some(outside), true) =
            (known, self.outside, is_intact(packet.bytes(), seen))
        else {
            return Fate::Drop(&self.counters.bad_errors);
        };
        let port = self.table.outside_of(mapping);
        rewrite(packet.bytes_mut(), seen, Side::Source, outside, None);
        rewrite_quote(packet.bytes_mut(), seen, quote, Side::Destination, outside, port);
        self.counters.errors.add(1);
        Fate::Translated
    }

    /// Translates a packet that comes in.
    fn inward(&mut self, packet: &mut Packet, cx: &Context) -> Fate {
        let Some(outside) = self.outside else { return Fate::Pass };
        let Some(seen) = see(packet.bytes()) else { return Fate::Drop(&self.counters.malformed) };
        if seen.destination != outside {
            let all = seen.destination.is_multicast() || seen.destination.is_broadcast();
            if all || packet.info().broadcast {
                return Fate::Pass;
            }
            return Fate::Drop(&self.counters.foreign);
        }
        let fate = match seen.kind {
            Kind::Flow(ports, flags) => self.flow_inward(packet, &seen, ports, flags, cx.now()),
            Kind::Answer(number) => {
                let ports = (0, number);
                self.flow_inward(packet, &seen, ports, Flags::default(), cx.now())
            }
            Kind::Error(quote) => return self.error_inward(packet, &seen, &quote),
            Kind::Later => match self.pieces.address(&seen, true, cx.now()) {
                Some(address) if address == outside => Fate::Pass,
                Some(address) => {
                    rewrite(packet.bytes_mut(), &seen, Side::Destination, address, None);
                    Fate::Translated
                }
                None => Fate::Wait,
            },
            Kind::Question(_) | Kind::Message | Kind::Other => Fate::Pass,
        };
        if let Fate::Pass = fate {
            // Of this datagram, the other fragments are for this host, too.
            self.pieces.remember(&seen, true, outside, cx.now());
        }
        fate
    }

    fn flow_inward(
        &mut self,
        packet: &mut Packet,
        seen: &Seen,
        (from, to): (u16, u16),
        flags: Flags,
        now: Instant,
    ) -> Fate {
        let Some(mapping) = self.table.outside(seen.protocol, to) else {
            return self.nobodys(seen.protocol, to);
        };
        let remote = (seen.source, from);
        let sessions = self.has_sessions();
        if !self.table.comes_in(mapping, remote, flags, sessions, now) {
            return Fate::Drop(&self.counters.filtered);
        }
        let (address, port) = self.table.inside_of(mapping);
        packet.complete_checksum();
        rewrite(packet.bytes_mut(), seen, Side::Destination, address, Some(port));
        self.pieces.remember(seen, true, address, now);
        Fate::Translated
    }

    /// What is sent to a port outside that stands for none inside.
    fn nobodys(&self, protocol: u8, port: u16) -> Fate {
        let ours = (self.config.first_port..=self.config.last_port).contains(&port);
        //= RFC 5382 4.3 REQ-4: who opens a connection to nobody is not refused at once
        if Protocol(protocol) != Protocol::ICMP && ours {
            return Fate::Drop(&self.counters.unsolicited);
        }
        Fate::Pass
    }

    /// Translates an ICMP error about a packet that went out.
    //= RFC 5382 7.3 REQ-9: the host inside hears of it
    //= RFC 5382 7.3 REQ-10: and its connection is remembered as before
    //= RFC 4787 9 REQ-12: as is its port
    //= RFC 5508 4.2 REQ-6: and the number of its question
    fn error_inward(&mut self, packet: &mut Packet, seen: &Seen, quote: &Quote) -> Fate {
        if self.outside != Some(quote.source) {
            return Fate::Drop(&self.counters.bad_errors);
        }
        let Some(mapping) = self.table.outside(quote.protocol, quote.ports.0) else {
            return match self.nobodys(quote.protocol, quote.ports.0) {
                Fate::Pass => Fate::Pass,
                _ => Fate::Drop(&self.counters.bad_errors),
            };
        };
        //= RFC 5508 4.1 REQ-3: an error with a wrong checksum is dropped
        if !is_intact(packet.bytes(), seen) {
            return Fate::Drop(&self.counters.bad_errors);
        }
        let (address, port) = self.table.inside_of(mapping);
        rewrite(packet.bytes_mut(), seen, Side::Destination, address, None);
        rewrite_quote(packet.bytes_mut(), seen, quote, Side::Source, address, port);
        self.counters.errors.add(1);
        Fate::Translated
    }

    fn refused(&self, refusal: Refusal) -> &'static Counter {
        match refusal {
            Refusal::Full => &self.counters.full,
            Refusal::Host => &self.counters.host_full,
            Refusal::Port => &self.counters.no_port,
            Refusal::Stray => &self.counters.stray,
        }
    }

    /// Takes a packet from outside: for the layer above, unless it vanishes or waits.
    fn arrive(&mut self, mut packet: Packet, cx: &Context) {
        match self.inward(&mut packet, cx) {
            Fate::Pass => self.counters.passed.add(1),
            Fate::Translated => self.counters.translated_in.add(1),
            Fate::Wait => return self.wait(Way::In, packet, cx.now()),
            Fate::Drop(why) => return why.add(1),
        }
        if self.relay.deliver(EtherType::IPV4, packet).is_err() {
            self.counters.no_room.add(1);
        }
    }

    fn wait(&mut self, way: Way, packet: Packet, now: Instant) {
        let seen = see(packet.bytes());
        if seen.is_none_or(|seen| self.pieces.keep(&seen, way, packet, now).is_err()) {
            self.counters.fragments.add(1);
        }
    }

    /// Translates a packet of the layer above; what goes to the link.
    fn leave(&mut self, hop: NextHop, mut packet: Packet, cx: &mut Context) -> Option<Packet> {
        let fate = self.outward(&mut packet, cx);
        match fate {
            Fate::Pass => self.counters.passed.add(1),
            Fate::Wait => {
                self.wait(Way::Out(hop), packet, cx.now());
                return None;
            }
            Fate::Drop(why) => {
                why.add(1);
                return None;
            }
            Fate::Translated if destination(&packet) == self.outside => {
                self.turn_back(packet, cx);
                return None;
            }
            Fate::Translated => self.counters.translated_out.add(1),
        }
        Some(packet)
    }

    /// Brings a packet from inside, which has an address and a port outside by now, to the host
    /// inside that it is for.
    //= RFC 4787 6 REQ-9: hosts inside reach each other by their ports outside, and see those
    //= RFC 5382 7.2 REQ-8: with connections, too
    //= RFC 5508 5 REQ-7: and tell each other of errors
    fn turn_back(&mut self, mut packet: Packet, cx: &Context) {
        match self.inward(&mut packet, cx) {
            Fate::Translated => {}
            Fate::Drop(why) => return why.add(1),
            // What is for this host has its address inside.
            Fate::Pass | Fate::Wait => return self.counters.unsolicited.add(1),
        }
        let info = packet.info_mut();
        (info.looped, info.broadcast, info.ip_header) = (true, false, 0);
        match self.relay.deliver(EtherType::IPV4, packet) {
            Ok(()) => self.counters.hairpinned.add(1),
            Err(_) => self.counters.no_room.add(1),
        }
    }
}

/// Where a packet goes to.
fn destination(packet: &Packet) -> Option<Ipv4Addr> {
    let [a, b, c, d] = *packet.bytes().get(16..)?.first_chunk()?;
    Some(Ipv4Addr::new(a, b, c, d))
}

impl<Below> Component<Below> for Nat44
where
    LinkRelay: RelayOver<Below, Up = EtherType, Down = (EtherType, NextHop)>,
{
    fn init(&mut self, below: &mut Below, cx: &mut Context) -> Result<(), InitError> {
        if cx.cores().count() > 1 {
            return Err(InitError("addresses are translated on one core only: say `cores = 1`"));
        }
        if self.config.first_port > self.config.last_port {
            return Err(InitError("first-port comes after last-port"));
        }
        self.table.seed(&mut cx.random);
        self.check_services(cx)?;
        self.relay.set_turns_back();
        self.relay.refresh(below, cx);
        Ok(())
    }

    fn receive(&mut self, below: &mut Below, cx: &mut Context) {
        self.relay.refresh(below, cx);
        self.watch_address();
        self.age(cx.now());
        while self.relay.has_room(EtherType::IPV4)
            && let Some((_, packet)) = self.pieces.next(true)
        {
            self.arrive(packet, cx);
        }
        for _ in 0..BATCH {
            // Whoever has no room is not pulled for.
            let Some((_, packet)) = self.relay.pull(below) else { break };
            self.arrive(packet, cx);
        }
    }

    fn transmit(&mut self, below: &mut Below, cx: &mut Context) {
        self.relay.refresh(below, cx);
        self.watch_address();
        while self.relay.is_ready(below) {
            let next = match self.pieces.next(false) {
                Some((Way::Out(hop), packet)) => Some(((EtherType::IPV4, hop), packet)),
                _ => self.relay.take(),
            };
            let Some((to, packet)) = next else { break };
            if let Some(packet) = self.leave(to.1, packet, cx) {
                self.relay.hand_down(below, to, packet);
            }
        }
    }

    fn deadline(&self) -> Instant {
        if !self.relay.is_idle() || self.pieces.has_next() {
            return Instant::ZERO;
        }
        self.table.deadline().min(self.pieces.deadline())
    }
}

impl Relaying for Nat44 {
    type Relay = LinkRelay;

    #[inline]
    fn relay(&self) -> &LinkRelay {
        &self.relay
    }

    #[inline]
    fn relay_mut(&mut self) -> &mut LinkRelay {
        &mut self.relay
    }
}

impl Inspect for Nat44 {
    fn counters(&self) -> &'static dyn CounterSet {
        self.counters
    }
}
