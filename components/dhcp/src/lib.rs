//! DHCP client (RFC 2131): gets the host's IPv4 address and keeps it.
//!
//! It asks as soon as the link is up, takes the first offer, and tells IP. From then on it renews
//! the lease in time; it gives the address up when the lease ends, when the server says so, or
//! when another host has it. Where nobody answers, it keeps asking, ever more slowly, and says so
//! once.
//!
//! It sleeps where the manifest gives an address.
//!
//! Not here: leases that survive a restart, INFORM, RELEASE, authentication, and routes other than
//! the default one.

#![no_std]
#![forbid(unsafe_code)]

mod lease;
#[cfg(test)]
mod tests;
mod wire;

use core::net::{IpAddr, Ipv4Addr};
use lease::{Lease, is_host};
use waitless::{
    ClaimState, Component, Context, CounterSet, Duration, InitError, Inspect, Instant, IpPort,
    Packet, Socket, UdpPort, info, warn,
};
use wire::{Answer, Ask, CLIENT_PORT, Kind, NoAnswer, Question, SERVER_PORT};

/// What the manifest may set.
#[derive(Debug)]
pub struct Config {
    /// The name that the server is told, at most 63 characters.
    pub hostname: Option<&'static str>,
    /// How long to wait for the first answer.
    pub retry: Duration,
}

/// The client of one IP layer. Stands on a [`UdpPort`] and the [`IpPort`] that it configures.
pub struct Dhcp {
    config: &'static Config,
    socket: Option<Socket>,
    state: State,
    /// When the state has something to do next.
    at: Instant,
    transaction: u32,
    /// When this transaction began.
    began: Instant,
    /// When the last message was sent.
    asked: Instant,
    /// Seconds from the beginning to the last discovery; requests say the same.
    secs: u16,
    /// Messages sent in this state.
    tries: u8,
    /// Times that a server took back what it had offered, since the last lease.
    refusals: u8,
    link_up: bool,
    /// Whether answers are wanted by broadcast, because none came otherwise.
    broadcast: bool,
    /// Whether "no answer" was said since the last lease.
    said: bool,
    counters: &'static Counters,
}

/// RFC 2131 figure 5. While there is a lease, its address is in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Nothing to do: IP has its address from the manifest.
    Asleep,
    /// Going to start.
    Init,
    /// Asked who offers an address.
    Selecting,
    /// Asked for the address that this server offers.
    Requesting(Ipv4Addr, Ipv4Addr),
    /// The link was down: asked whether the lease still holds.
    Rebooting(Lease),
    /// Nothing to do until the lease is to be renewed.
    Bound(Lease),
    /// Asked the lease's server to go on.
    Renewing(Lease),
    /// Asked all servers to go on.
    Rebinding(Lease),
    /// Another host has the lease's address: the server is to be told.
    Declining(Lease),
}

waitless::counters! {
    /// What the client counts. Messages received are those of the reasons up to `unexpected`.
    pub(crate) struct Counters {
        /// Messages taken from UDP.
        counter received: messages,
        /// Offers taken.
        counter offers: messages,
        /// Leases granted or renewed.
        counter acks: messages,
        /// Requests that a server refused.
        counter naks: messages,
        /// Messages for other clients, or of earlier transactions.
        counter foreign: messages,
        /// Messages that make no sense.
        counter malformed: messages,
        /// Messages that came when nobody had asked for them, or from another server.
        counter unexpected: messages,
        /// Messages sent.
        counter sent: messages,
        /// Messages that could not be sent at once.
        counter delayed: messages,
        /// Addresses given up because another host has them.
        counter declined: addresses,
        /// Leases that ended before they were renewed.
        counter expired: leases,
    }
}

/// The longest wait for an answer, as a part of the first one, and in any case (RFC 2131 section
/// 4.1).
const RETRY_FACTOR_MAX: u64 = 16;
const RETRY_MAX: Duration = Duration::from_secs(64);
/// The wait is this much shorter or longer.
const RETRY_SPREAD: Duration = Duration::from_secs(1);
/// Waits for renewal are at least this long (RFC 2131 section 4.4.5).
const RENEW_WAIT_MIN: Duration = Duration::from_secs(60);
/// How long to stay away after an address was declined (RFC 2131 section 3.1, 5).
const DECLINE_WAIT: Duration = Duration::from_secs(10);
/// How long to wait until a message is sent again for which there was no packet or no room.
const DELAY: Duration = Duration::from_millis(10);
/// Requests for one offer, and for one lease after the link was down.
const REQUESTS: u8 = 4;
const REBOOT_REQUESTS: u8 = 2;
/// Discoveries after which the operator is told.
const SILENT_TRIES: u8 = 3;
/// Messages without an answer after which answers are wanted by broadcast.
const UNICAST_TRIES: u8 = 2;
/// The longest host name (RFC 1035 section 2.3.4).
const HOSTNAME_MAX: usize = 63;
/// Messages taken in one sweep.
const MESSAGES: usize = 8;

impl Dhcp {
    /// A client that has not asked yet.
    pub fn new(config: &'static Config, _: &mut Context) -> Self {
        Self {
            config,
            socket: None,
            state: State::Asleep,
            at: Instant::NEVER,
            transaction: 0,
            began: Instant::ZERO,
            asked: Instant::ZERO,
            secs: 0,
            tries: 0,
            refusals: 0,
            link_up: false,
            broadcast: false,
            said: false,
            counters: Counters::leak(),
        }
    }

    fn enter(&mut self, state: State, at: Instant) {
        (self.state, self.at, self.tries) = (state, at, 0);
    }

    /// Uses a lease from now on.
    fn bind<I: IpPort>(&mut self, lease: Lease, ip: &mut I, cx: &Context) {
        let address = lease.configuration.address;
        if self.state.lease().is_none_or(|old| old.configuration.address != address) {
            info!(cx, "address {address}/{} from {}", lease.configuration.prefix, lease.server);
        }
        ip.configure(Some(lease.configuration));
        (self.refusals, self.said) = (0, false);
        self.enter(State::Bound(lease), lease.renew);
    }

    /// Starts over, without an address.
    fn restart<I: IpPort>(&mut self, ip: &mut I, at: Instant) {
        ip.configure(None);
        self.enter(State::Init, at);
    }

    fn accept<I: IpPort>(&mut self, packet: &Packet, ip: &mut I, cx: &mut Context) {
        self.counters.received.add(1);
        let answer = Answer::parse(packet.bytes(), self.transaction, ip.mac());
        let answer = match answer {
            Ok(answer) => answer,
            Err(NoAnswer::Foreign) => return self.counters.foreign.add(1),
            Err(NoAnswer::Malformed) => return self.counters.malformed.add(1),
        };
        match (self.state, answer.kind) {
            //= RFC 2131 3.1: an offer is taken, and asked for of its server
            (State::Selecting, Kind::Offer) => match answer.server {
                Some(server) if is_host(server) && is_host(answer.address) => {
                    self.counters.offers.add(1);
                    self.enter(State::Requesting(answer.address, server), cx.now());
                }
                _ => self.counters.malformed.add(1),
            },
            //= RFC 2131 3.1: another server's answer is not that of the one asked
            (State::Requesting(_, server), Kind::Ack | Kind::Nak)
                if answer.server.is_some_and(|other| other != server) =>
            {
                self.counters.unexpected.add(1);
            }
            (State::Requesting(_, server), Kind::Ack) => self.granted(&answer, server, ip, cx),
            (
                State::Rebooting(lease) | State::Renewing(lease) | State::Rebinding(lease),
                Kind::Ack,
            ) => self.granted(&answer, answer.server.unwrap_or(lease.server), ip, cx),
            (
                State::Requesting(..)
                | State::Rebooting(_)
                | State::Renewing(_)
                | State::Rebinding(_),
                Kind::Nak,
            ) => self.refused(ip, cx),
            _ => self.counters.unexpected.add(1),
        }
    }

    fn granted<I: IpPort>(
        &mut self,
        answer: &Answer,
        server: Ipv4Addr,
        ip: &mut I,
        cx: &mut Context,
    ) {
        //= RFC 2131 4.4.1: the lease counts from the request
        match Lease::new(answer, server, self.asked, &mut cx.random) {
            Some(lease) => {
                self.counters.acks.add(1);
                self.bind(lease, ip, cx);
            }
            None => self.counters.malformed.add(1),
        }
    }

    fn refused<I: IpPort>(&mut self, ip: &mut I, cx: &Context) {
        self.counters.naks.add(1);
        // At once, and ever more slowly when that happens again.
        let wait = match self.refusals {
            0 => Duration::ZERO,
            again => Duration::from_secs(1 << again.min(6)),
        };
        self.refusals = self.refusals.saturating_add(1);
        self.restart(ip, cx.now() + wait);
    }

    /// What the state has to do now, its time having come: perhaps another state, perhaps a
    /// message.
    fn act<U: UdpPort, I: IpPort>(&mut self, udp: &mut U, ip: &mut I, cx: &mut Context) {
        let now = cx.now();
        match self.state {
            State::Asleep => self.at = Instant::NEVER,
            State::Init => {
                (self.transaction, self.began) = (cx.random.u32(), now);
                self.enter(State::Selecting, now);
            }
            State::Requesting(..) if self.tries >= REQUESTS => self.enter(State::Init, now),
            State::Rebooting(lease) if self.tries >= REBOOT_REQUESTS => {
                //= RFC 2131 3.2: a lease is used for the rest of its time where nobody answers
                self.enter(State::Bound(lease), lease.renew);
            }
            State::Bound(lease) => {
                (self.transaction, self.began) = (cx.random.u32(), now);
                self.enter(State::Renewing(lease), now);
            }
            State::Renewing(lease) if now >= lease.rebind => {
                self.enter(State::Rebinding(lease), now);
            }
            _ => self.ask(udp, ip.mac(), cx),
        }
    }

    /// Sends the state's message, and sets the time of the next one.
    fn ask<U: UdpPort>(&mut self, udp: &mut U, mac: waitless::Mac, cx: &mut Context) {
        let now = cx.now();
        if self.send(udp, mac, cx).is_none() {
            self.counters.delayed.add(1);
            self.at = now + DELAY;
            return;
        }
        self.counters.sent.add(1);
        self.asked = now;
        self.tries = self.tries.saturating_add(1);
        // Perhaps what goes to an address that is not set yet does not get here.
        self.broadcast |= self.tries >= UNICAST_TRIES && self.state.lease().is_none();
        self.at = match self.state {
            State::Renewing(lease) => next_renewal(now, lease.rebind),
            State::Rebinding(lease) => next_renewal(now, lease.end),
            State::Declining(_) => {
                self.enter(State::Init, now + DECLINE_WAIT);
                self.at
            }
            _ => now + self.patience(cx),
        };
        if self.state == State::Selecting && self.tries == SILENT_TRIES && !self.said {
            self.said = true;
            warn!(cx, "no DHCP answer yet, keep trying");
        }
    }

    /// How long to wait for an answer to what was just sent (RFC 2131 section 4.1).
    //= RFC 2131 4.1: waits double up to 64 seconds, give or take one
    fn patience(&self, cx: &mut Context) -> Duration {
        let doublings = self.tries.saturating_sub(1).min(63);
        let factor = (1u64 << doublings).min(RETRY_FACTOR_MAX);
        let spread = Duration::from_nanos(cx.random.below(2 * RETRY_SPREAD.as_nanos()));
        self.config.retry.times(factor).min(RETRY_MAX).minus(RETRY_SPREAD) + spread
    }

    /// Sends the state's message; `None` when that is not possible now.
    fn send<U: UdpPort>(&mut self, udp: &mut U, mac: waitless::Mac, cx: &Context) -> Option<()> {
        let socket = self.socket?;
        if !matches!(self.state, State::Requesting(..)) {
            let waited = cx.now().since(self.began).as_secs();
            self.secs = u16::try_from(waited).unwrap_or(u16::MAX);
        }
        let mut question = Question {
            ask: Ask::Request,
            transaction: self.transaction,
            secs: self.secs,
            broadcast: self.broadcast,
            mac,
            current: Ipv4Addr::UNSPECIFIED,
            requested: None,
            server: None,
            hostname: self.config.hostname,
        };
        //= RFC 2131 4.4.4: to everybody, but to the server of a lease
        let mut to = Ipv4Addr::BROADCAST;
        match self.state {
            State::Asleep | State::Init | State::Bound(_) => return None,
            State::Selecting => {
                question.ask = Ask::Discover;
            }
            State::Requesting(address, server) => {
                question.requested = Some(address);
                question.server = Some(server);
            }
            //= RFC 2131 4.4.2: the address of a lease is asked for again
            State::Rebooting(lease) => question.requested = Some(lease.configuration.address),
            State::Renewing(lease) => {
                question.current = lease.configuration.address;
                question.broadcast = false;
                to = lease.server;
            }
            State::Rebinding(lease) => {
                question.current = lease.configuration.address;
                question.broadcast = false;
            }
            //= RFC 2131 4.4.1: there are zeros
            // As nobody answers it, it says neither since when nor how.
            State::Declining(lease) => {
                question.ask = Ask::Decline;
                (question.secs, question.broadcast) = (0, false);
                question.requested = Some(lease.configuration.address);
                question.server = Some(lease.server);
            }
        }
        let mut packet = cx.packet()?;
        question.write(&mut packet).ok()?;
        packet.info_mut().remote = IpAddr::V4(to);
        packet.info_mut().remote_port = SERVER_PORT;
        udp.send(socket, packet).ok()
    }

    /// Starts over, or asks whether the lease still holds, when the link comes back.
    fn watch_link(&mut self, up: bool, cx: &mut Context) {
        let back = up && !self.link_up;
        self.link_up = up;
        if !back || self.state == State::Asleep {
            return;
        }
        match self.state.lease() {
            Some(lease) => {
                (self.transaction, self.began) = (cx.random.u32(), cx.now());
                self.enter(State::Rebooting(lease), cx.now());
            }
            None => self.enter(State::Init, cx.now()),
        }
    }
}

impl State {
    /// The lease whose address is in use.
    fn lease(&self) -> Option<Lease> {
        match *self {
            Self::Rebooting(lease)
            | Self::Bound(lease)
            | Self::Renewing(lease)
            | Self::Rebinding(lease) => Some(lease),
            Self::Asleep
            | Self::Init
            | Self::Selecting
            | Self::Requesting(..)
            | Self::Declining(_) => None,
        }
    }
}

/// Half of what is left, at least a minute, at most until the end.
//= RFC 2131 4.4.5: half of what is left, at least a minute
fn next_renewal(now: Instant, end: Instant) -> Instant {
    (now + end.since(now).divided_by(2).max(RENEW_WAIT_MIN)).min(end)
}

impl<U: UdpPort, I: IpPort> Component<(&mut U, &mut I)> for Dhcp {
    fn init(
        &mut self,
        (udp, ip): &mut (&mut U, &mut I),
        cx: &mut Context,
    ) -> Result<(), InitError> {
        if !ip.wants_address() {
            return Ok(());
        }
        if self.config.hostname.is_some_and(|name| name.is_empty() || name.len() > HOSTNAME_MAX) {
            return Err(InitError("the hostname must have 1 to 63 characters"));
        }
        let taken = InitError("UDP port 68 can not be bound: is there a second DHCP client?");
        self.socket = Some(udp.bind(CLIENT_PORT).map_err(|_| taken)?);
        self.link_up = ip.link_up();
        self.enter(State::Init, cx.now());
        Ok(())
    }

    fn receive(&mut self, (udp, ip): &mut (&mut U, &mut I), cx: &mut Context) {
        let Some(socket) = self.socket else { return };
        self.watch_link(ip.link_up(), cx);
        if let (Some(lease), ClaimState::Conflict(mac)) = (self.state.lease(), ip.claim_state()) {
            warn!(cx, "{mac} has the address {} already", lease.configuration.address);
            self.counters.declined.add(1);
            ip.configure(None);
            self.enter(State::Declining(lease), cx.now());
        }
        for _ in 0..MESSAGES {
            let Some(packet) = udp.recv(socket) else { break };
            self.accept(&packet, *ip, cx);
        }
    }

    fn transmit(&mut self, (udp, ip): &mut (&mut U, &mut I), cx: &mut Context) {
        if let Some(lease) = self.state.lease()
            && cx.now() >= lease.end
        {
            self.counters.expired.add(1);
            warn!(cx, "the lease of {} has ended", lease.configuration.address);
            self.restart(*ip, cx.now());
        }
        // Bounded: a state follows another without a message at most twice.
        for _ in 0..4 {
            if cx.now() < self.at || !self.link_up {
                return;
            }
            self.act(*udp, *ip, cx);
        }
    }

    fn deadline(&self) -> Instant {
        let end = self.state.lease().map_or(Instant::NEVER, |lease| lease.end);
        if self.link_up { self.at.min(end) } else { end }
    }
}

impl Inspect for Dhcp {
    fn counters(&self) -> &'static dyn CounterSet {
        self.counters
    }
}
