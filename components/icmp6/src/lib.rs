//! ICMP for IPv6 (RFC 4443): answers echo requests, tells senders and transports what went wrong.
//!
//! An echo request becomes its reply in place. Errors about packets that nobody here wants are
//! limited by a token bucket; IP has left out those that may not be answered. An error that
//! arrives goes to its transport when the packet that it quotes is one of ours; the transport
//! checks whether it really sent that.
//!
//! Not here: neighbour discovery and group membership, which are IP's own; echo requests of our
//! own; node information queries.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
mod tests;
mod wire;

use core::net::IpAddr;
use waitless::checksum::Checksum;
use waitless::network::answer::{Budget, quote, turn_back};
use waitless::network::v6::is_host;
use waitless::packet::ChecksumState;
use waitless::{
    BATCH, Component, Context, CounterSet, Inspect, Instant, IpPort, Mailbox, Packet, PathError,
    PathErrorKind, Protocol, Reject,
};
use wire::{ERROR_MAX, HEADER, IP_HEADER, Message, Quote};

/// What the manifest may set.
#[derive(Debug)]
pub struct Config {
    /// Whether echo requests are answered.
    pub echo: bool,
    /// Whether those that were sent to a group are, too.
    pub echo_multicast: bool,
    /// How many errors are sent a second on average; 0 sends none.
    pub errors_per_second: u32,
    /// How many errors are sent at once, 1 to 1000.
    pub errors_burst: u16,
}

/// ICMPv6 on one IP layer. Stands on an [`IpPort`].
pub struct Icmp6 {
    config: &'static Config,
    /// Whole messages on their way to IP, their checksums still to be made.
    down: Mailbox,
    errors: Budget,
    counters: &'static Counters,
}

waitless::counters! {
    /// What ICMP counts. Messages received are those of the reasons up to `unknown`.
    pub(crate) struct Counters {
        /// Messages taken from IP.
        counter received: messages,
        /// Echo requests answered.
        counter echoes: messages,
        /// Echo requests not answered, by configuration, because there was no room, or because the
        /// reply is longer than a packet to there may be.
        counter echoes_dropped: messages,
        /// Errors passed on to a transport.
        counter errors_reported: messages,
        /// Errors about packets that are not ours, or that make no sense.
        counter errors_foreign: messages,
        /// Echo replies, which nobody here has asked for.
        counter replies: messages,
        /// Messages too short to have a header.
        counter short: messages,
        /// Messages whose checksum is wrong.
        counter bad_checksum: messages,
        /// Messages of an unknown kind.
        counter unknown: messages,
        /// Errors sent about packets that nobody here wants.
        counter errors_sent: messages,
        /// Errors not sent, because there were too many.
        counter errors_limited: messages,
        /// Messages not sent, because there was no room or no address to send them from.
        counter dropped: messages,
    }
}

/// The class without its ECN bits, which an answer does not inherit.
const DSCP: u8 = 0xfc;

impl Icmp6 {
    /// ICMP with a full bucket.
    pub fn new(config: &'static Config, cx: &mut Context) -> Self {
        let errors = Budget::new(config.errors_per_second, config.errors_burst, cx.now());
        Self { config, down: Mailbox::new(), errors, counters: Counters::leak() }
    }

    fn accept<I: IpPort>(&mut self, packet: Packet, ip: &mut I) {
        self.counters.received.add(1);
        let Some(header) = packet.bytes().first_chunk::<HEADER>() else {
            return self.counters.short.add(1);
        };
        let message = Message::parse(*header);
        let info = packet.info();
        let verified = info.checksum == ChecksumState::Verified;
        //= RFC 4443 2.3: the checksum covers the addresses
        if !verified && !sum(&packet, info.remote, info.local).is_valid() {
            return self.counters.bad_checksum.add(1);
        }
        match message {
            Message::EchoRequest => self.echo(packet, ip),
            Message::EchoReply => self.counters.replies.add(1),
            Message::Error(kind) => self.pass_on(kind, &packet, ip),
            Message::UnknownError | Message::Unknown => self.counters.unknown.add(1),
        }
    }

    /// Answers an echo request.
    //= RFC 4443 4.2: from the address that was asked, with all of its data
    fn echo<I: IpPort>(&mut self, mut packet: Packet, ip: &I) {
        let group = packet.info().broadcast;
        let wanted = self.config.echo && (!group || self.config.echo_multicast);
        // Where the request came in fragments, the reply would have to go in such.
        let fits = packet.len() + IP_HEADER <= usize::from(ip.mtu(packet.info().remote));
        if !wanted || !fits || self.down.is_full() {
            return self.counters.echoes_dropped.add(1);
        }
        wire::reply(packet.bytes_mut());
        let class = packet.info().class & DSCP;
        turn_back(&mut packet, class);
        let _ = self.down.push_back(packet);
        self.counters.echoes.add(1);
    }

    /// Tells a transport of an error, when it is about a packet that may be ours.
    fn pass_on<I: IpPort>(&mut self, kind: PathErrorKind, packet: &Packet, ip: &mut I) {
        let quote = packet.bytes().get(HEADER..).and_then(Quote::parse);
        let ours = quote.filter(|quote| {
            let to_us = !packet.info().broadcast && ip.is_local(IpAddr::V6(quote.source));
            to_us && is_host(quote.destination)
        });
        let Some(quote) = ours else {
            return self.counters.errors_foreign.add(1);
        };
        let error = PathError {
            kind,
            local: IpAddr::V6(quote.source),
            remote: IpAddr::V6(quote.destination),
            header: quote.transport,
        };
        //= RFC 4443 2.4.d: the transport whose packet is quoted is told
        ip.report(quote.protocol, error);
        self.counters.errors_reported.add(1);
    }

    /// Tells a sender why its packet, whose IP header is restored, was rejected.
    fn tell(&mut self, packet: Packet, why: Reject, cx: &Context) {
        //= RFC 4443 2.4.f: errors are limited in their rate
        if !self.errors.take(cx.now()) {
            return self.counters.errors_limited.add(1);
        }
        let error = quote(packet, ERROR_MAX - IP_HEADER - HEADER, cx)
            .filter(|_| !self.down.is_full())
            .and_then(|mut packet| {
                packet.prepend(wire::error(why)).ok()?;
                turn_back(&mut packet, 0);
                self.down.push_back(packet).ok()
            });
        match error {
            Some(()) => self.counters.errors_sent.add(1),
            None => self.counters.dropped.add(1),
        }
    }

    /// Completes a message, whose checksum covers the addresses, and gives it to IP, which has
    /// room.
    fn emit<I: IpPort>(&mut self, mut packet: Packet, ip: &mut I) {
        let info = packet.info();
        let local = Some(info.local).filter(|local| !local.is_unspecified());
        //= RFC 4443 2.2: what was sent to a group is answered from an address of ours
        let Some(local) = local.or_else(|| ip.source_for(info.remote)) else {
            return self.counters.dropped.add(1);
        };
        packet.info_mut().local = local;
        let sum = sum(&packet, local, packet.info().remote).finish();
        wire::set_checksum(packet.bytes_mut(), sum);
        if ip.send(Protocol::ICMPV6, packet).is_err() {
            self.counters.dropped.add(1);
        }
    }
}

/// The sum of a message with its pseudo header (RFC 8200 section 8.1).
fn sum(packet: &Packet, source: IpAddr, destination: IpAddr) -> Checksum {
    let length = packet.len() as u16;
    let pseudo = Checksum::new().pseudo(source, destination, Protocol::ICMPV6.0, length);
    pseudo.add(packet.bytes())
}

impl<I: IpPort> Component<I> for Icmp6 {
    fn receive(&mut self, ip: &mut I, cx: &mut Context) {
        for _ in 0..BATCH {
            let Some(packet) = ip.recv(Protocol::ICMPV6) else { break };
            self.accept(packet, ip);
        }
        for _ in 0..BATCH {
            let Some((packet, why)) = ip.rejected() else { break };
            self.tell(packet, why, cx);
        }
    }

    fn transmit(&mut self, ip: &mut I, cx: &mut Context) {
        // What the transports have rejected in this sweep.
        for _ in 0..BATCH {
            let Some((packet, why)) = ip.rejected() else { break };
            self.tell(packet, why, cx);
        }
        while ip.room() > 0
            && let Some(packet) = self.down.pop_front()
        {
            self.emit(packet, ip);
        }
    }

    fn deadline(&self) -> Instant {
        if self.down.is_empty() { Instant::NEVER } else { Instant::ZERO }
    }
}

impl Inspect for Icmp6 {
    fn counters(&self) -> &'static dyn CounterSet {
        self.counters
    }
}
