//! The host's own addresses: made, checked for duplicates, and given up in time (RFC 4862).

use crate::identifier::{BITS, Maker};
use crate::message::Prefix;
use core::net::Ipv6Addr;
use heapless::Vec;
use waitless::network::v6::{ADDRESSES, Ipv6Address, Leased, has_prefix};
use waitless::{Duration, Instant};

/// Addresses that routers can let the host make: a neighbour that poses as many routers can not
/// take the places of those of the manifest.
const AUTOMATIC_MAX: usize = 7;

/// How often an address is made anew after another host had it (RFC 7217 section 7).
const ATTEMPTS: u8 = 3;

/// A received lifetime shortens what is left of an address's to no less than this, so that one
/// forged advertisement does not end it (RFC 4862 section 5.5.3 (e)).
const LIFETIME_MIN: Duration = Duration::from_secs(2 * 60 * 60);

/// The link-local network.
pub(crate) const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0);

/// The addresses.
pub(crate) struct Addresses {
    list: Vec<Address, ADDRESSES>,
    maker: Maker,
    /// Questions before an address is used.
    probes: u8,
    /// Nothing has something to do before this.
    next: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Address {
    pub address: Ipv6Addr,
    pub prefix: u8,
    pub origin: Origin,
    pub state: State,
    /// When it becomes deprecated, and when it ends.
    pub preferred: Instant,
    pub valid: Instant,
    /// Whether the first of these has been noticed.
    deprecated: bool,
    /// How often it was made anew.
    attempt: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    LinkLocal,
    /// The manifest.
    Written,
    /// A prefix that a router announced.
    Automatic,
    /// DHCPv6.
    Leased,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// Not used yet: so many questions are still to be sent, the next, or the end of waiting for
    /// an answer to the last, is at that time.
    Tentative(u8, Instant),
    Used,
    /// Another host has it.
    Duplicate,
}

/// What is to be done for an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Due {
    /// Ask whether another host has it.
    Ask(Ipv6Addr),
    /// It is in use from now on, or deprecated, or gone.
    Changed,
}

/// What became of an address that another host has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Conflict {
    /// It is replaced by another.
    Replaced,
    /// It stays unused.
    GivenUp,
    /// So does IPv6 on the link: the host's part of all addresses is another host's (RFC 4862
    /// section 5.4.5).
    Disabled,
}

impl Addresses {
    pub fn new(maker: Maker, probes: u8) -> Self {
        Self { list: Vec::new(), maker, probes, next: Instant::NEVER }
    }

    /// Enters those that the host has whatever routers say, for the card `mac`.
    pub fn start(&mut self, mac: waitless::Mac, written: &[(Ipv6Addr, u8)], now: Instant) {
        self.maker.set_mac(mac);
        //= RFC 4862 5.3: every link has a link-local address
        let own = self.maker.address(LINK_LOCAL, 0);
        self.enter(own, BITS, Origin::LinkLocal, (Instant::NEVER, Instant::NEVER), now);
        for (address, prefix) in written {
            let forever = (Instant::NEVER, Instant::NEVER);
            self.enter(*address, *prefix, Origin::Written, forever, now);
        }
    }

    fn enter(
        &mut self,
        address: Ipv6Addr,
        prefix: u8,
        origin: Origin,
        (preferred, valid): (Instant, Instant),
        at: Instant,
    ) -> Option<Ipv6Addr> {
        //= RFC 4862 5.1: how often it is asked for, before it is used
        let state = State::Tentative(self.probes, at);
        let (deprecated, attempt) = (false, 0);
        let fresh =
            Address { address, prefix, origin, state, preferred, valid, deprecated, attempt };
        self.next = self.next.min(at);
        self.list.push(fresh).ok().map(|()| address)
    }

    /// All, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = &Address> + Clone {
        self.list.iter()
    }

    /// Those in use.
    pub fn used(&self) -> impl Iterator<Item = Ipv6Address> {
        let used = self.list.iter().filter(|it| it.state == State::Used);
        used.map(|it| Ipv6Address {
            address: it.address,
            prefix: it.prefix,
            deprecated: it.deprecated,
        })
    }

    /// The link-local address, once it is in use.
    pub fn link_local(&self) -> Option<Ipv6Addr> {
        let mut used = self.list.iter().filter(|it| it.state == State::Used);
        used.find(|it| it.origin == Origin::LinkLocal).map(|it| it.address)
    }

    /// Whether `address` is one of ours, in use or not yet.
    pub fn find(&self, address: Ipv6Addr) -> Option<&Address> {
        self.list.iter().find(|it| it.address == address && it.state != State::Duplicate)
    }

    /// Takes a prefix that a router lets hosts make addresses of; a new one is asked for at `at`.
    /// Gives an address that is new.
    pub fn announced(&mut self, prefix: &Prefix, now: Instant, at: Instant) -> Option<Ipv6Addr> {
        //= RFC 4862 5.5.3: which networks make an address
        let fits = prefix.length == 128 - BITS && !has_prefix(prefix.prefix, LINK_LOCAL, 10);
        if !fits || prefix.preferred > prefix.valid || prefix.prefix.is_multicast() {
            return None;
        }
        let (preferred, valid) = (until(now, prefix.preferred), until(now, prefix.valid));
        let same = |it: &&mut Address| {
            it.origin == Origin::Automatic && has_prefix(it.address, prefix.prefix, prefix.length)
        };
        if let Some(known) = self.list.iter_mut().find(same) {
            known.preferred = preferred;
            let left = known.valid.since(now);
            //= RFC 4862 5.5.3.e: the two-hour rule
            if valid.since(now) > LIFETIME_MIN || valid > known.valid {
                known.valid = valid;
            } else if left > LIFETIME_MIN {
                known.valid = now + LIFETIME_MIN;
            }
            self.next = now;
            return None;
        }
        let automatic = self.list.iter().filter(|it| it.origin == Origin::Automatic);
        if prefix.valid == 0 || automatic.count() >= AUTOMATIC_MAX {
            return None;
        }
        let address = self.maker.address(prefix.prefix, 0);
        if self.find(address).is_some() {
            return None;
        }
        self.enter(address, prefix.length, Origin::Automatic, (preferred, valid), at)
    }

    /// Takes what DHCPv6 gave, instead of what it gave before.
    pub fn lease(&mut self, leased: &[Leased], now: Instant) {
        let kept = |it: &Address| leased.iter().any(|leased| leased.address == it.address);
        self.list.retain(|it| it.origin != Origin::Leased || kept(it));
        for it in leased {
            let known = self.list.iter_mut().find(|known| known.address == it.address);
            match known {
                Some(known) if known.origin == Origin::Leased => {
                    (known.preferred, known.valid) = (it.preferred, it.valid);
                }
                // The host has it anyway.
                Some(_) => {}
                None => {
                    let times = (it.preferred, it.valid);
                    self.enter(it.address, 128, Origin::Leased, times, now);
                }
            }
        }
        self.next = now;
    }

    /// Addresses that DHCPv6 gave and another host has.
    pub fn duplicates(&self) -> impl Iterator<Item = Ipv6Addr> {
        let all = self.list.iter().filter(|it| it.origin == Origin::Leased);
        all.filter(|it| it.state == State::Duplicate).map(|it| it.address)
    }

    /// The next thing to do at `now`. `wait` is the time between two questions. With `send` false
    /// nothing is asked now.
    pub fn due(&mut self, now: Instant, wait: Duration, send: bool) -> Option<Due> {
        if now < self.next {
            return None;
        }
        let gone = self.list.iter().position(|it| it.valid <= now);
        if let Some(index) = gone {
            self.list.remove(index);
            return Some(Due::Changed);
        }
        let mut next = Instant::NEVER;
        for it in &mut self.list {
            match &mut it.state {
                State::Tentative(left, at) if *at <= now => match *left {
                    0 => {
                        it.state = State::Used;
                        return Some(Due::Changed);
                    }
                    _ if !send => next = next.min(now + RETRY),
                    _ => {
                        (*left, *at) = (*left - 1, now + wait);
                        return Some(Due::Ask(it.address));
                    }
                },
                State::Tentative(_, at) => next = next.min(*at),
                State::Used | State::Duplicate => {}
            }
            //= RFC 4862 5.5.4: it is deprecated, and ends
            if it.deprecated != (it.preferred <= now) {
                it.deprecated = !it.deprecated;
                return Some(Due::Changed);
            }
            let ends = if it.deprecated { it.valid } else { it.preferred.min(it.valid) };
            next = next.min(ends);
        }
        self.next = next;
        None
    }

    /// When [`due`](Self::due) next has something.
    pub fn deadline(&self) -> Instant {
        self.next
    }

    /// Another host has, or wants, a tentative address. `None` when it is none of ours, or one
    /// that is in use already: then it is the other's mistake (RFC 4862 section 5.4.3).
    pub fn conflict(&mut self, address: Ipv6Addr, now: Instant) -> Option<Conflict> {
        let again = self.maker.can_try_again();
        let it = self.list.iter_mut().find(|it| it.address == address)?;
        if !matches!(it.state, State::Tentative(..)) {
            return None;
        }
        let made = !matches!(it.origin, Origin::Written | Origin::Leased);
        if again && made && it.attempt < ATTEMPTS {
            it.attempt += 1;
            it.address = self.maker.address(it.address, it.attempt);
            it.state = State::Tentative(self.probes, now);
            self.next = now;
            return Some(Conflict::Replaced);
        }
        it.state = State::Duplicate;
        //= RFC 4862 5.4.5: what the card says is wrong for all addresses that are made of it
        if it.origin != Origin::LinkLocal || again {
            return Some(Conflict::GivenUp);
        }
        for it in &mut self.list {
            it.state = State::Duplicate;
        }
        Some(Conflict::Disabled)
    }

    /// The link was down: others may have the addresses now, and those that were another's may be
    /// free.
    pub fn restart(&mut self, now: Instant) {
        for it in &mut self.list {
            it.state = State::Tentative(self.probes, now);
        }
        self.next = now;
    }
}

/// How long to wait before a question that found no packet is asked again.
const RETRY: Duration = Duration::from_millis(10);

/// So many seconds from `now`; the largest number is for ever.
pub(crate) fn until(now: Instant, secs: u32) -> Instant {
    if secs == u32::MAX { Instant::NEVER } else { now + Duration::from_secs(secs.into()) }
}

#[cfg(test)]
mod tests;
