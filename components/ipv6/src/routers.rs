//! What routers have said: themselves, the networks on the link, better first hops, and how they
//! are asked (RFC 4861 section 6.3, RFC 4191, RFC 7559).

use crate::addresses::until;
use crate::message::Prefix;
use crate::neighbours::Neighbours;
use core::net::Ipv6Addr;
use heapless::Vec;
use waitless::network::v6::{PREFIXES, has_prefix, mask};
use waitless::{Duration, Instant, Random};

/// Routers that are remembered.
const ROUTERS: usize = 8;

/// Destinations with a better first hop.
const REDIRECTS: usize = 32;

/// How long to wait before the second question for routers, and at most (RFC 7559 section 2).
const SOLICIT: Duration = Duration::from_secs(4);
const SOLICIT_MAX: Duration = Duration::from_secs(3600);

/// What is known of the link's routers.
pub(crate) struct Routers {
    list: Vec<Router, ROUTERS>,
    prefixes: Vec<OnLink, PREFIXES>,
    redirects: Vec<Redirect, REDIRECTS>,
    /// The router among those that do not answer that is tried next.
    turn: usize,
    /// When to ask for routers next, and how long after that again.
    ask_at: Instant,
    ask_again: Duration,
    /// Nothing ends before this.
    next: Instant,
}

struct Router {
    address: Ipv6Addr,
    preference: i8,
    until: Instant,
}

struct OnLink {
    prefix: Ipv6Addr,
    length: u8,
    until: Instant,
}

struct Redirect {
    destination: Ipv6Addr,
    hop: Ipv6Addr,
    at: Instant,
}

impl Routers {
    pub fn new() -> Self {
        Self {
            list: Vec::new(),
            prefixes: Vec::new(),
            redirects: Vec::new(),
            turn: 0,
            ask_at: Instant::NEVER,
            ask_again: SOLICIT,
            next: Instant::NEVER,
        }
    }

    /// Begins to ask at `at`.
    pub fn ask_from(&mut self, at: Instant) {
        (self.ask_at, self.ask_again) = (at, SOLICIT);
    }

    /// Whether to ask now; the next time is up to a tenth earlier or later than twice as late
    /// (RFC 8415 section 15, which RFC 7559 refers to).
    pub fn ask(&mut self, now: Instant, random: &mut Random) -> bool {
        if now < self.ask_at {
            return false;
        }
        let tenth = self.ask_again.divided_by(10);
        let spread = Duration::from_nanos(random.below(2 * tenth.as_nanos()));
        self.ask_at = now + self.ask_again.minus(tenth) + spread;
        self.ask_again = self.ask_again.times(2).min(SOLICIT_MAX);
        true
    }

    /// A router is one for `lifetime` seconds. Whether that changes anything now.
    pub fn heard(
        &mut self,
        address: Ipv6Addr,
        lifetime: u16,
        preference: i8,
        now: Instant,
    ) -> bool {
        let until = now + Duration::from_secs(lifetime.into());
        self.set(address, until, preference, now)
    }

    /// A router until then. Whether that changes anything now.
    pub fn set(&mut self, address: Ipv6Addr, until: Instant, preference: i8, now: Instant) -> bool {
        let known = self.list.iter().position(|it| it.address == address);
        if until <= now {
            return known.map(|index| self.list.swap_remove(index)).is_some();
        }
        // RFC 7559 section 2.1: a router to everywhere else ends the questions.
        self.ask_at = Instant::NEVER;
        self.next = self.next.min(until);
        if let Some(router) = known.and_then(|index| self.list.get_mut(index)) {
            (router.until, router.preference) = (until, preference);
            return false;
        }
        self.list.push(Router { address, preference, until }).is_ok()
    }

    /// It is a router no longer, by its own word. Whether that changes anything.
    pub fn lost(&mut self, address: Ipv6Addr) -> bool {
        let known = self.list.iter().position(|it| it.address == address);
        self.redirects.retain(|it| it.hop != address);
        known.map(|index| self.list.swap_remove(index)).is_some()
    }

    /// A router says whether, and how long, a network is on the link. Whether that changes
    /// anything now (RFC 4861 section 6.3.4).
    pub fn announced(&mut self, prefix: &Prefix, now: Instant) -> bool {
        if has_prefix(prefix.prefix, crate::addresses::LINK_LOCAL, 10) {
            return false;
        }
        self.set_prefix(prefix.prefix, prefix.length, until(now, prefix.valid), now)
    }

    /// The network is on the link until then.
    pub fn set_prefix(
        &mut self,
        prefix: Ipv6Addr,
        length: u8,
        until: Instant,
        now: Instant,
    ) -> bool {
        let prefix = Ipv6Addr::from_bits(prefix.to_bits() & mask(length));
        let same = |it: &OnLink| it.prefix == prefix && it.length == length;
        let known = self.prefixes.iter().position(same);
        if until <= now {
            return known.map(|index| self.prefixes.swap_remove(index)).is_some();
        }
        self.next = self.next.min(until);
        if let Some(known) = known.and_then(|index| self.prefixes.get_mut(index)) {
            known.until = until;
            return false;
        }
        self.prefixes.push(OnLink { prefix, length, until }).is_ok()
    }

    /// Forgets what has ended. Whether that was anything.
    pub fn expire(&mut self, now: Instant) -> bool {
        if now < self.next {
            return false;
        }
        let before = self.list.len() + self.prefixes.len();
        //= RFC 4861 6.3.5: routers and networks end when their time is over
        self.list.retain(|it| it.until > now);
        self.prefixes.retain(|it| it.until > now);
        let ends = self.list.iter().map(|it| it.until);
        self.next =
            ends.chain(self.prefixes.iter().map(|it| it.until)).min().unwrap_or(Instant::NEVER);
        self.list.len() + self.prefixes.len() != before
    }

    /// When something is to be asked, or ends.
    pub fn deadline(&self) -> Instant {
        self.ask_at.min(self.next)
    }

    /// The networks that are on the link.
    pub fn prefixes(&self) -> impl Iterator<Item = (Ipv6Addr, u8)> {
        self.prefixes.iter().map(|it| (it.prefix, it.length))
    }

    /// How many routers there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// The first hop to `destination`, where that is not on the link: of the routers that may be
    /// reachable the most preferred; where there is none, each in turn, so that all are tried.
    //= RFC 4861 6.3.6: who may be reachable comes first
    pub fn first_hop(
        &mut self,
        destination: Ipv6Addr,
        neighbours: &Neighbours,
    ) -> Option<Ipv6Addr> {
        if let Some(hop) = self.redirected(destination) {
            return Some(hop);
        }
        let best = |known: bool| {
            let fits =
                self.list.iter().filter(|it| !known || neighbours.may_be_reachable(it.address));
            fits.reduce(|one, other| if other.preference > one.preference { other } else { one })
        };
        if let Some(router) = best(true) {
            return Some(router.address);
        }
        let count = self.list.len();
        let router = self.list.get(self.turn % count.max(1))?;
        self.turn = self.turn.wrapping_add(1);
        Some(router.address)
    }

    /// The better first hop to `destination`, where a router named one.
    pub fn redirected(&self, destination: Ipv6Addr) -> Option<Ipv6Addr> {
        let redirect = self.redirects.iter().find(|it| it.destination == destination)?;
        Some(redirect.hop)
    }

    /// Notes that `hop` is the better first hop to `destination`; the oldest such note gives way.
    pub fn redirect(&mut self, destination: Ipv6Addr, hop: Ipv6Addr, now: Instant) {
        let redirect = Redirect { destination, hop, at: now };
        let known = self.redirects.iter().position(|it| it.destination == destination);
        let oldest = || self.redirects.iter().enumerate().min_by_key(|(_, it)| it.at);
        let full = self.redirects.is_full();
        let place = known.or_else(|| oldest().filter(|_| full).map(|(at, _)| at));
        match place.and_then(|at| self.redirects.get_mut(at)) {
            Some(old) => *old = redirect,
            None => drop(self.redirects.push(redirect)),
        }
    }

    /// `hop` does not answer: it is the first hop of nothing (RFC 4861 section 7.3.3).
    pub fn unreachable(&mut self, hop: Ipv6Addr) {
        self.redirects.retain(|it| it.hop != hop);
    }

    /// The link was down, and may be another now.
    pub fn forget_redirects(&mut self) {
        self.redirects.clear();
    }
}

#[cfg(test)]
mod tests;
