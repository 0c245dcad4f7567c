//! ICMP for IPv4: answers echo requests, tells senders and transports what went wrong.
//!
//! An echo request becomes its reply in place. Errors about packets that nobody here wants, or
//! that are not forwarded, are limited by a token bucket; IP has left out those that may not be
//! answered. An error that arrives goes to its transport when the packet that it quotes is one of
//! ours; the transport checks whether it really sent that.
//!
//! Not here: echo requests of our own, timestamps, address masks, router discovery. Redirects and
//! source quench are ignored.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
mod tests;
mod wire;

use core::net::IpAddr;
use waitless::checksum::Checksum;
use waitless::network::answer::{Budget, quote, turn_back};
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
    /// Whether those that were sent to everybody are, too.
    pub echo_broadcast: bool,
    /// How many errors are sent a second on average; 0 sends none.
    pub errors_per_second: u32,
    /// How many errors are sent at once, 1 to 1000.
    pub errors_burst: u16,
}

/// ICMP on one IP layer. Stands on an [`IpPort`].
pub struct Icmp {
    config: &'static Config,
    /// Whole messages on their way to IP.
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
        /// Echo requests not answered, by configuration or because there was no room.
        counter echoes_dropped: messages,
        /// Errors passed on to a transport.
        counter errors_reported: messages,
        /// Errors about packets that are not ours, or that make no sense.
        counter errors_foreign: messages,
        /// Echo replies, which nobody here has asked for.
        counter replies: messages,
        /// Messages that are ignored on purpose: source quench and redirects.
        counter ignored: messages,
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
        /// Errors not sent, because there was no room.
        counter errors_dropped: messages,
    }
}

/// Internetwork control, as RFC 1812 section 4.3.2.5 wants errors to be sent.
const ERROR_CLASS: u8 = 0xc0;

/// The class without its ECN bits, which an answer does not inherit.
const DSCP: u8 = 0xfc;

impl Icmp {
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
        let verified = packet.info().checksum == ChecksumState::Verified;
        if !verified && !Checksum::new().add(packet.bytes()).is_valid() {
            return self.counters.bad_checksum.add(1);
        }
        match message {
            Message::Echo => self.echo(packet, ip),
            Message::Error(kind) => self.pass_on(kind, &packet, ip),
            Message::Reply => self.counters.replies.add(1),
            Message::Ignored => self.counters.ignored.add(1),
            Message::Unknown => self.counters.unknown.add(1),
        }
    }

    /// Answers an echo request, from the address that was asked (RFC 1122 section 3.2.2.6).
    fn echo<I: IpPort>(&mut self, mut packet: Packet, ip: &I) {
        let broadcast = packet.info().broadcast;
        let wanted = self.config.echo && (!broadcast || self.config.echo_broadcast);
        if !wanted || self.down.is_full() {
            return self.counters.echoes_dropped.add(1);
        }
        wire::reply(packet.bytes_mut());
        let most = usize::from(ip.mtu(packet.info().remote)).saturating_sub(IP_HEADER);
        if packet.len() > most {
            shorten(&mut packet, most);
        }
        let class = packet.info().class & DSCP;
        turn_back(&mut packet, class);
        let _ = self.down.push_back(packet);
        self.counters.echoes.add(1);
    }

    /// Tells a transport of an error, when it is about a packet that may be ours.
    fn pass_on<I: IpPort>(&mut self, kind: PathErrorKind, packet: &Packet, ip: &mut I) {
        let quote = packet.bytes().get(HEADER..).and_then(Quote::parse);
        let ours = quote.filter(|quote| {
            let remote = IpAddr::V4(quote.destination);
            let host = !remote.is_unspecified() && !ip.is_broadcast(remote);
            !packet.info().broadcast && ip.is_local(IpAddr::V4(quote.source)) && host
        });
        let Some(quote) = ours else {
            return self.counters.errors_foreign.add(1);
        };
        let error = PathError {
            kind,
            local: IpAddr::V4(quote.source),
            remote: IpAddr::V4(quote.destination),
            header: quote.transport,
        };
        ip.report(quote.protocol, error);
        self.counters.errors_reported.add(1);
    }

    /// Tells a sender why its packet, whose IP header is restored, was rejected.
    fn tell(&mut self, packet: Packet, why: Reject, cx: &Context) {
        if !self.errors.take(cx.now()) {
            return self.counters.errors_limited.add(1);
        }
        match quote(packet, ERROR_MAX - HEADER - IP_HEADER, cx).filter(|_| !self.down.is_full()) {
            Some(mut packet) => {
                let mut header = wire::error(why);
                let sum = Checksum::new().add(&header).add(packet.bytes()).finish();
                [header[2], header[3]] = sum.to_be_bytes();
                if packet.prepend(header).is_ok() {
                    turn_back(&mut packet, ERROR_CLASS);
                    let _ = self.down.push_back(packet);
                    return self.counters.errors_sent.add(1);
                }
                self.counters.errors_dropped.add(1);
            }
            None => self.counters.errors_dropped.add(1),
        }
    }
}

/// Cuts a reply to its first `length` bytes: its request came in fragments, and nothing is sent in
/// such.
//= RFC 1122 3.2.2.6: a reply that would have to be fragmented is cut to what can be sent
#[cold]
fn shorten(packet: &mut Packet, length: usize) {
    packet.truncate(length);
    wire::seal(packet.bytes_mut());
}

impl<I: IpPort> Component<I> for Icmp {
    fn receive(&mut self, ip: &mut I, cx: &mut Context) {
        for _ in 0..BATCH {
            let Some(packet) = ip.recv(Protocol::ICMP) else { break };
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
            if let Err(packet) = ip.send(Protocol::ICMP, packet) {
                let _ = self.down.push_front(packet);
                return;
            }
        }
    }

    fn deadline(&self) -> Instant {
        if self.down.is_empty() { Instant::NEVER } else { Instant::ZERO }
    }
}

impl Inspect for Icmp {
    fn counters(&self) -> &'static dyn CounterSet {
        self.counters
    }
}
