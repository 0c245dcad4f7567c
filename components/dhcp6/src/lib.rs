//! DHCPv6 client (RFC 8415): gets IPv6 addresses, name servers and domains to search, where a
//! router says that a server gives them.
//!
//! Routers say that by two flags of their advertisements: with M it asks for an address, of the
//! server that is offered with the greatest preference, and keeps it renewed, also when that flag
//! falls in the meantime; with O alone it asks for the rest, and again when that is out of date. An
//! address that another host has is declined. Where nobody answers, or gives what is of no use, it
//! keeps asking, ever more seldom.
//!
//! An address from here says nothing of the network around it: what is on the link and where
//! routers are is theirs to say.
//!
//! Not here: delegated prefixes, temporary addresses, releasing an address at the end, being
//! reconfigured by a server, authentication, and relays.

#![no_std]
#![forbid(unsafe_code)]

mod lease;
mod retry;
#[cfg(test)]
mod tests;
mod wire;

use core::net::{IpAddr, Ipv6Addr};
use heapless::Vec;
use lease::Lease;
use retry::Retry;
use waitless::network::v6::{Ipv6Lease, LEASED, Managed};
use waitless::{
    Component, Context, CounterSet, Duration, InitError, Inspect, Instant, IpPort, Packet, Socket,
    UdpPort, info, warn,
};
use wire::{Answer, Ask, CLIENT_PORT, Kind, NoAnswer, Question, SERVER_PORT, SERVERS_AND_RELAYS};

/// What the manifest may set.
#[derive(Debug)]
pub struct Config {
    /// What to ask for.
    pub mode: Mode,
    /// Whether a server may give an address at once.
    pub rapid: bool,
}

/// What to ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// What routers say that there is.
    Auto,
    /// An address, and the rest with it.
    Addresses,
    /// What is no address.
    Information,
}

/// The client of one IP layer. Stands on a [`UdpPort`] and the [`IpPort`] that it configures.
pub struct Dhcp6 {
    config: &'static Config,
    socket: Option<Socket>,
    state: State,
    /// When the state has something to do next.
    at: Instant,
    retry: Retry,
    /// The best offer so far.
    offer: Option<Answer>,
    /// What was given, as long as it holds.
    lease: Option<Lease>,
    /// Times that a server took back what it had offered, or that another host had it, since a
    /// lease was last renewed.
    failures: u8,
    /// What another host has of it, until its server was told.
    declined: Vec<Ipv6Addr, LEASED>,
    transaction: u32,
    /// The longest waits that servers have set.
    solicit_max: Duration,
    inform_max: Duration,
    wanted: Managed,
    link_up: bool,
    counters: &'static Counters,
}

/// Where an exchange is (section 18.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Nothing is wanted.
    Idle,
    /// Asked who offers an address.
    Soliciting,
    /// Asked for what was offered.
    Requesting,
    /// Nothing to do until the lease is to be renewed.
    Bound,
    /// Asked the lease's server to go on.
    Renewing,
    /// Asked all servers to go on.
    Rebinding,
    /// The link was down: asked whether the addresses fit the link that came up.
    Confirming,
    /// Another host has the address: the server is being told.
    Declining,
    /// Asked for what is no address.
    Informing,
    /// Nothing to do until that is out of date.
    Informed,
}

waitless::counters! {
    /// What the client counts. Messages received are those of the reasons up to `unexpected`.
    pub(crate) struct Counters {
        /// Messages taken from UDP.
        counter received: messages,
        /// Offers heard.
        counter offers: messages,
        /// Answers taken.
        counter replies: messages,
        /// Answers that say that the server cannot or will not.
        counter refusals: messages,
        /// Messages for other clients, or of earlier exchanges.
        counter foreign: messages,
        /// Messages that make no sense.
        counter malformed: messages,
        /// Messages that came when nobody had asked for them, or from another server.
        counter unexpected: messages,
        /// Messages sent.
        counter sent: messages,
        /// Messages that could not be sent at once.
        counter delayed: messages,
        /// Addresses that another host has.
        counter declined: addresses,
        /// Leases that ended before they were renewed.
        counter expired: leases,
    }
}

/// How long to wait at first, at most, so that many that start together do not ask together
/// (section 7.6: SOL_MAX_DELAY, CNF_MAX_DELAY, INF_MAX_DELAY).
const DELAY_MAX: Duration = Duration::from_secs(1);
/// How long to wait until a message is sent again for which there was no packet or no room.
const DELAY: Duration = Duration::from_millis(10);
/// The longest waits, unless a server says otherwise.
const SOLICIT_MAX: Duration = Duration::from_secs(3600);
const INFORM_MAX: Duration = Duration::from_secs(3600);
/// When what is no address is asked for again, where the server does not say, and at least
/// (section 21.23).
const REFRESH: u32 = 86_400;
const REFRESH_MIN: u32 = 600;
/// A preference that ends the search (section 18.2.1).
const PREFERENCE_MAX: u8 = 255;
/// How often the pause after a failure doubles, from a second on.
const PAUSE_DOUBLINGS: u8 = 10;
/// Messages taken in one sweep.
const MESSAGES: usize = 8;
/// The address is not right for the link (section 21.13).
const NOT_ON_LINK: u16 = 4;
/// The server does not know the addresses.
const NO_BINDING: u16 = 3;

impl Dhcp6 {
    /// A client that has not asked yet.
    pub fn new(config: &'static Config, _: &mut Context) -> Self {
        Self {
            config,
            socket: None,
            state: State::Idle,
            at: Instant::NEVER,
            retry: Retry::solicit(SOLICIT_MAX),
            offer: None,
            lease: None,
            failures: 0,
            declined: Vec::new(),
            transaction: 0,
            solicit_max: SOLICIT_MAX,
            inform_max: INFORM_MAX,
            wanted: Managed::No,
            link_up: false,
            counters: Counters::leak(),
        }
    }

    /// Begins an exchange; its first message is sent at `at`.
    fn begin(&mut self, state: State, at: Instant, cx: &mut Context) {
        self.retry = match state {
            State::Soliciting => Retry::solicit(self.solicit_max),
            State::Requesting => Retry::REQUEST,
            State::Renewing | State::Rebinding => Retry::RENEW,
            State::Confirming => Retry::CONFIRM,
            State::Declining => Retry::DECLINE,
            State::Informing => Retry::inform(self.inform_max),
            State::Idle | State::Bound | State::Informed => Retry::REQUEST,
        };
        self.transaction = cx.random.u32() & 0xff_ffff;
        (self.state, self.at) = (state, at);
        if state != State::Requesting {
            self.offer = None;
        }
    }

    /// Begins to look for a server, or stops, as routers say.
    fn want(&mut self, wanted: Managed, cx: &mut Context) {
        self.wanted = wanted;
        // What was given is used, and renewed, until it ends.
        if self.lease.is_none() {
            self.seek(soon(cx), cx);
        }
    }

    /// Asks for what is wanted, from `at` on.
    fn seek(&mut self, at: Instant, cx: &mut Context) {
        match self.wanted {
            Managed::No => (self.state, self.at) = (State::Idle, Instant::NEVER),
            Managed::Other => self.begin(State::Informing, at, cx),
            Managed::Addresses => self.begin(State::Soliciting, at, cx),
        }
    }

    /// What was given is not used any more.
    fn lose<I: IpPort>(&mut self, ip: &mut I) {
        self.lease = None;
        ip.configure_v6(&Ipv6Lease::default());
    }

    fn accept<I: IpPort>(&mut self, packet: &Packet, ip: &mut I, cx: &mut Context) {
        self.counters.received.add(1);
        let answer = match Answer::parse(packet.bytes(), self.transaction, ip.mac()) {
            Ok(answer) => answer,
            Err(NoAnswer::Foreign) => return self.counters.foreign.add(1),
            Err(NoAnswer::Malformed) => return self.counters.malformed.add(1),
        };
        self.take_limits(&answer);
        match (self.state, answer.kind) {
            (State::Soliciting, Kind::Advertise) => self.offered(answer, cx),
            //= RFC 8415 21.14: only where both want that
            (State::Soliciting, Kind::Reply) if answer.rapid && self.config.rapid => {
                self.given(&answer, ip, cx);
            }
            (State::Requesting, Kind::Reply) if !self.is_of_offer(&answer) => {
                self.counters.unexpected.add(1);
            }
            (State::Requesting | State::Renewing | State::Rebinding, Kind::Reply) => {
                self.given(&answer, ip, cx);
            }
            (State::Confirming, Kind::Reply) => self.confirmed(&answer, ip, cx),
            (State::Declining, Kind::Reply) => {
                self.counters.replies.add(1);
                self.keep(cx);
            }
            (State::Informing, Kind::Reply) => self.informed(&answer, ip, cx),
            _ => self.counters.unexpected.add(1),
        }
    }

    /// Takes the longest waits that a server sets, whatever else it says (sections 18.2.9 and
    /// 18.2.10). They count at once: else a server that wants to be asked more often than once an
    /// hour would have to wait for that hour.
    //= RFC 8415 21.24: the longest wait of a search is the server's to set, at once
    //= RFC 8415 21.25: so is that between two questions for the rest
    fn take_limits(&mut self, answer: &Answer) {
        self.solicit_max = answer.solicit_max.map_or(self.solicit_max, secs);
        self.inform_max = answer.inform_max.map_or(self.inform_max, secs);
        match self.state {
            State::Soliciting => self.at = self.retry.shorten(self.solicit_max, self.at),
            State::Informing => self.at = self.retry.shorten(self.inform_max, self.at),
            _ => {}
        }
    }

    fn is_of_offer(&self, answer: &Answer) -> bool {
        self.offer.as_ref().is_some_and(|offer| offer.server == answer.server)
    }

    /// A server offers something: the best offer of the first wait is taken (section 18.2.9).
    //= RFC 8415 18.2.9: offers without addresses are none, and the most preferred is taken
    fn offered(&mut self, answer: Answer, cx: &mut Context) {
        if answer.status != 0 || answer.addresses.is_empty() {
            return self.counters.refusals.add(1);
        }
        self.counters.offers.add(1);
        let better = |best: &Answer| answer.preference > best.preference;
        let best = answer.preference == PREFERENCE_MAX;
        if self.offer.as_ref().is_none_or(better) {
            self.offer = Some(answer);
        }
        // Behind the first wait any offer will do.
        //= RFC 8415 18.2.1: the first wait is for all offers, but for the best one there can be
        if best || self.retry.sent() > 1 {
            self.begin(State::Requesting, cx.now(), cx);
        }
    }

    /// A server gives addresses, or gives them again (section 18.2.10.1).
    //= RFC 8415 18.2.10.1: addresses begin, go on and end as the answer says
    fn given<I: IpPort>(&mut self, answer: &Answer, ip: &mut I, cx: &mut Context) {
        let before = self.lease.as_ref().filter(|_| self.state != State::Requesting);
        let ends = before.is_some() && !answer.gone.is_empty();
        if answer.status != 0 || (answer.addresses.is_empty() && !ends) {
            self.counters.refusals.add(1);
            match (self.state, answer.status) {
                // It does not know them: it is asked for just these.
                (State::Renewing | State::Rebinding, NO_BINDING) => {
                    self.offer = Some(answer.clone());
                    self.begin(State::Requesting, cx.now(), cx);
                }
                (State::Requesting, _) => {
                    self.lose(ip);
                    self.seek_again(cx);
                }
                // Others may do better, in time.
                _ => {}
            }
            return;
        }
        self.counters.replies.add(1);
        let lease = Lease::new(answer, before, self.retry.asked());
        if lease.given.addresses.is_empty() {
            self.lose(ip);
            return self.seek(cx.now(), cx);
        }
        if self.state == State::Renewing || self.state == State::Rebinding {
            self.failures = 0;
        }
        let is_new = |old: &Lease| !old.has_the_same(&lease);
        if self.lease.as_ref().is_none_or(is_new) {
            for it in &lease.given.addresses {
                info!(cx, "given {}", it.address);
            }
        }
        ip.configure_v6(&lease.given);
        (self.state, self.at) = (State::Bound, lease.renew);
        (self.offer, self.lease) = (None, Some(lease));
    }

    /// A server says whether the addresses fit the link (section 18.2.10.1).
    fn confirmed<I: IpPort>(&mut self, answer: &Answer, ip: &mut I, cx: &mut Context) {
        self.counters.replies.add(1);
        if answer.status == NOT_ON_LINK {
            self.lose(ip);
            return self.seek(cx.now(), cx);
        }
        self.keep(cx);
    }

    /// What was given holds on, if there is anything left of it.
    fn keep(&mut self, cx: &mut Context) {
        match &self.lease {
            Some(lease) if !lease.given.addresses.is_empty() => {
                (self.state, self.at) = (State::Bound, lease.renew);
            }
            _ => {
                self.lease = None;
                self.seek_again(cx);
            }
        }
    }

    /// Looks for a server anew, as what one gave was of no use: later each time. What a server
    /// does wrong it does again (section 14.1).
    //= RFC 8415 14.1: what goes wrong again and again does so ever more seldom
    fn seek_again(&mut self, cx: &mut Context) {
        let pause = Duration::from_secs(1 << self.failures.min(PAUSE_DOUBLINGS));
        self.failures = self.failures.saturating_add(1);
        self.seek(cx.now() + pause, cx);
    }

    fn informed<I: IpPort>(&mut self, answer: &Answer, ip: &mut I, cx: &Context) {
        if answer.status != 0 {
            return self.counters.refusals.add(1);
        }
        self.counters.replies.add(1);
        let (servers, search) = (answer.dns.clone(), answer.search.clone());
        ip.configure_v6(&Ipv6Lease { servers, search, ..Ipv6Lease::default() });
        //= RFC 8415 21.23: not sooner than in ten minutes
        let again = secs(answer.refresh.unwrap_or(REFRESH).max(REFRESH_MIN));
        (self.state, self.at) = (State::Informed, cx.now() + again);
    }

    /// What the state has to do now, its time having come.
    fn act<U: UdpPort, I: IpPort>(&mut self, udp: &mut U, ip: &mut I, cx: &mut Context) {
        let now = cx.now();
        let rebind = self.lease.as_ref().map_or(Instant::ZERO, |lease| lease.rebind);
        match self.state {
            State::Idle => self.at = Instant::NEVER,
            State::Soliciting if self.offer.is_some() => self.begin(State::Requesting, now, cx),
            State::Bound => self.begin(State::Renewing, now, cx),
            State::Informed => self.begin(State::Informing, now, cx),
            State::Renewing if now >= rebind => self.begin(State::Rebinding, now, cx),
            // Whoever did not know them says nothing more: perhaps another does.
            State::Requesting if self.retry.is_over(now) && self.lease.is_some() => {
                self.begin(State::Rebinding, now, cx);
            }
            State::Requesting if self.retry.is_over(now) => self.begin(State::Soliciting, now, cx),
            // Section 18.2.3: nobody says that they do not fit.
            State::Confirming | State::Declining if self.retry.is_over(now) => self.keep(cx),
            _ => self.ask(udp, ip, cx),
        }
    }

    /// Sends the state's message, and sets the time of the next one.
    fn ask<U: UdpPort, I: IpPort>(&mut self, udp: &mut U, ip: &mut I, cx: &mut Context) {
        let now = cx.now();
        // Nothing goes out before there is an address on the link to be answered at.
        let ready = ip.source_for(IpAddr::V6(SERVERS_AND_RELAYS)).is_some();
        if !ready || self.send(udp, ip.mac(), cx).is_none() {
            self.counters.delayed.add(1);
            self.at = now + if ready { DELAY } else { DELAY_MAX };
            return;
        }
        self.counters.sent.add(1);
        let next = self.retry.next(now, &mut cx.random);
        let limit = match (self.state, &self.lease) {
            (State::Renewing, Some(lease)) => lease.rebind,
            (State::Rebinding, Some(lease)) => lease.end,
            _ => Instant::NEVER,
        };
        self.at = next.min(limit);
        if self.state == State::Soliciting && self.retry.sent() == SILENT_TRIES {
            warn!(cx, "no DHCPv6 server answers yet, keep trying");
        }
    }

    /// Sends the state's message; `None` when that is not possible now.
    fn send<U: UdpPort>(&self, udp: &mut U, mac: waitless::Mac, cx: &Context) -> Option<()> {
        let socket = self.socket?;
        let own: Vec<Ipv6Addr, LEASED> = match (&self.lease, &self.offer) {
            _ if self.state == State::Declining => self.declined.clone(),
            (Some(lease), _) => lease.given.addresses.iter().map(|it| it.address).collect(),
            (None, Some(offer)) => offer.addresses.iter().map(|it| it.address).collect(),
            (None, None) => Vec::new(),
        };
        let offered = self.offer.as_ref().map(|offer| &offer.server);
        let leased = self.lease.as_ref().map(|lease| &lease.server);
        let (ask, server) = match self.state {
            State::Idle | State::Bound | State::Informed => return None,
            State::Soliciting => (Ask::Solicit, None),
            //= RFC 8415 18.2.2: the chosen server is asked for what it offers
            State::Requesting => (Ask::Request, offered),
            //= RFC 8415 18.2.4: the server of the lease is asked to go on
            State::Renewing => (Ask::Renew, leased),
            //= RFC 8415 18.2.5: all servers are asked to go on
            State::Rebinding => (Ask::Rebind, None),
            State::Confirming => (Ask::Confirm, None),
            State::Declining => (Ask::Decline, leased),
            //= RFC 8415 18.2.6: what is no address is asked for alone
            State::Informing => (Ask::Inform, None),
        };
        let question = Question {
            ask,
            transaction: self.transaction,
            elapsed: self.retry.elapsed(cx.now()),
            mac,
            server,
            addresses: (ask != Ask::Inform).then_some(&own[..]),
            rapid: ask == Ask::Solicit && self.config.rapid,
        };
        let mut packet = cx.packet()?;
        question.write(&mut packet).ok()?;
        packet.info_mut().remote = IpAddr::V6(SERVERS_AND_RELAYS);
        packet.info_mut().remote_port = SERVER_PORT;
        udp.send(socket, packet).ok()
    }

    /// Follows what routers say, and whether the link is up.
    fn watch<I: IpPort>(&mut self, ip: &mut I, cx: &mut Context) {
        let before = core::mem::replace(&mut self.link_up, ip.link_up());
        let back = self.link_up && !before;
        // One that another host has is not confirmed.
        self.lease.take_if(|lease| back && lease.given.addresses.is_empty());
        if back && self.lease.is_some() {
            //= RFC 8415 18.2.3: it is asked whether they fit, a random time later
            return self.begin(State::Confirming, soon(cx), cx);
        }
        let said = ip.network().map_or(Managed::No, |network| network.managed);
        let wanted = match self.config.mode {
            Mode::Auto => said,
            Mode::Addresses => Managed::Addresses,
            Mode::Information => Managed::Other,
        };
        //= RFC 8415 18.2.12: what is known is asked for anew on a link that came up
        if wanted != self.wanted || (back && wanted != Managed::No) {
            self.want(wanted, cx);
        }
        let Some(lease) = self.lease.as_mut().filter(|_| self.state != State::Declining) else {
            return;
        };
        let Some(network) = ip.network() else { return };
        let given = lease.given.addresses.iter().map(|it| it.address);
        self.declined = given.filter(|it| network.duplicates.contains(it)).collect();
        if !self.declined.is_empty() {
            self.counters.declined.add(self.declined.len() as u64);
            warn!(cx, "another host has an address that DHCPv6 gave");
            // The lease stays until its server was told.
            lease.given.addresses.retain(|it| !self.declined.contains(&it.address));
            ip.configure_v6(&lease.given);
            //= RFC 8415 18.2.8: the server is told of an address that another host has
            self.begin(State::Declining, cx.now(), cx);
        }
    }
}

/// Discoveries after which the operator is told.
const SILENT_TRIES: u8 = 4;

/// A time within the first second from now.
fn soon(cx: &mut Context) -> Instant {
    cx.now() + Duration::from_nanos(cx.random.below(DELAY_MAX.as_nanos()))
}

fn secs(secs: u32) -> Duration {
    Duration::from_secs(secs.into())
}

impl<U: UdpPort, I: IpPort> Component<(&mut U, &mut I)> for Dhcp6 {
    fn init(&mut self, (udp, ip): &mut (&mut U, &mut I), _: &mut Context) -> Result<(), InitError> {
        let taken = InitError("UDP port 546 can not be bound: is there a second DHCPv6 client?");
        self.socket = Some(udp.bind(CLIENT_PORT).map_err(|_| taken)?);
        self.link_up = ip.link_up();
        Ok(())
    }

    fn receive(&mut self, (udp, ip): &mut (&mut U, &mut I), cx: &mut Context) {
        let Some(socket) = self.socket else { return };
        self.watch(*ip, cx);
        for _ in 0..MESSAGES {
            let Some(packet) = udp.recv(socket) else { break };
            self.accept(&packet, *ip, cx);
        }
    }

    fn transmit(&mut self, (udp, ip): &mut (&mut U, &mut I), cx: &mut Context) {
        if let Some(lease) = &self.lease
            && cx.now() >= lease.end
        {
            self.counters.expired.add(1);
            warn!(cx, "what DHCPv6 had given has ended");
            self.lose(*ip);
            self.seek(cx.now(), cx);
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
        let end = self.lease.as_ref().map_or(Instant::NEVER, |lease| lease.end);
        if self.link_up { self.at.min(end) } else { end }
    }
}

impl Inspect for Dhcp6 {
    fn counters(&self) -> &'static dyn CounterSet {
        self.counters
    }
}
