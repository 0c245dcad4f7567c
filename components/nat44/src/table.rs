//! What is remembered: which port outside stands for which inside, and with whom each talks.

use crate::chains::Chains;
use crate::packet::Flags;
use crate::service::Service;
use alloc::boxed::Box;
use alloc::vec;
use core::hash::Hasher;
use core::net::Ipv4Addr;
use siphasher::sip::SipHasher13;
use waitless::{Duration, Instant, Protocol, Random, Wheel};

/// An address with a port, or with the number that an echo request has.
pub(crate) type End = (Ipv4Addr, u16);

/// How long things are remembered without a packet, and how many of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub flows: u32,
    pub host_flows: u32,
    pub ports: (u16, u16),
    pub tcp: Duration,
    pub udp: Duration,
    pub icmp: Duration,
}

/// Why a flow is not let through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// The table is full.
    Full,
    /// The host inside has as many as it may have.
    Host,
    /// No port outside was found.
    Port,
    /// It is the end of a connection that is not known.
    Stray,
}

/// Ports inside and outside that stand for each other.
#[derive(Clone, Copy)]
struct Mapping {
    protocol: u8,
    inside: End,
    outside: u16,
    /// How many sessions it has.
    sessions: u32,
    /// How many of them began outside.
    strangers: u32,
    /// It is the manifest's: it never ends, and everybody may use it.
    fixed: bool,
    /// The host's place.
    host: u32,
}

/// A host outside that a mapping has to do with: for TCP a connection, for others an address.
#[derive(Clone, Copy)]
struct Session {
    mapping: u32,
    remote: End,
    /// It began outside, and does not count among the host's.
    stranger: bool,
    /// For TCP, what both sides have said.
    tcp: Tcp,
}

/// How far a connection is, as far as one in the middle can tell.
#[derive(Clone, Copy, Default)]
struct Tcp {
    acknowledged: [bool; 2],
    finished: [bool; 2],
    reset: bool,
}

/// A host inside.
#[derive(Clone, Copy)]
struct Host {
    address: Ipv4Addr,
    /// How many mappings it has, and sessions that it began.
    uses: u32,
}

/// The table. It never grows.
pub(crate) struct Table {
    limits: Limits,
    mappings: Slab<Mapping>,
    sessions: Slab<Session>,
    hosts: Slab<Host>,
    /// How many sessions began outside.
    strangers: u32,
    by_inside: Chains,
    by_outside: Chains,
    by_remote: Chains,
    by_address: Chains,
    /// Mappings by their place, and sessions behind them.
    timers: Wheel,
    keys: (u64, u64),
}

/// Places, and which of them are free.
struct Slab<T> {
    places: Box<[Option<T>]>,
    free: Box<[u32]>,
    count: usize,
}

/// How long a connection is remembered that is not established, or at its end.
//= RFC 5382 5 REQ-5: a connection that is not established is remembered for 4 minutes
const TRANSITORY: Duration = Duration::from_secs(4 * 60);

/// How many connections to one port inside are remembered that began outside: few services that a
/// host has told others of in this way have more at a time.
const STRANGERS: u32 = 8;

/// The part of all sessions that may have begun outside.
const STRANGERS_PART: u32 = 8;

/// How late something may end.
const GRANULARITY: Duration = Duration::from_millis(250);

/// How many ports are looked at to find a free one.
const TRIES: usize = 256;

/// Ends in one sweep.
const ENDS: usize = 64;

impl Table {
    pub fn new(limits: Limits) -> Self {
        let flows = limits.flows as usize;
        let mut timers = Wheel::new(GRANULARITY);
        timers.reserve(limits.flows * 2);
        Self {
            limits,
            mappings: Slab::new(flows),
            sessions: Slab::new(flows),
            hosts: Slab::new(flows),
            strangers: 0,
            by_inside: Chains::new(flows),
            by_outside: Chains::new(flows),
            by_remote: Chains::new(flows),
            by_address: Chains::new(flows),
            timers,
            keys: (0, 0),
        }
    }

    /// What hashes depend on, so that nobody outside can aim at a chain.
    pub fn seed(&mut self, random: &mut Random) {
        self.keys = (random.u64(), random.u64());
    }

    /// How many mappings and sessions there are.
    pub fn counts(&self) -> (usize, usize) {
        (self.mappings.count, self.sessions.count)
    }

    pub fn deadline(&self) -> Instant {
        self.timers.deadline()
    }

    /// Forgets all but the manifest's mappings: the address outside is another.
    pub fn forget(&mut self) {
        for place in 0..self.limits.flows {
            self.end_session(place);
        }
        for place in 0..self.limits.flows {
            if self.mappings.get(place).is_some_and(|mapping| !mapping.fixed) {
                self.end_mapping(place);
            }
        }
    }

    /// Forgets what nobody has used for long enough, some of it in a sweep.
    pub fn expire(&mut self, now: Instant) {
        for _ in 0..ENDS {
            let Some(key) = self.timers.pop(now) else { return };
            match key.checked_sub(self.limits.flows) {
                Some(session) => self.end_session(session),
                None if self.mappings.get(key).is_some_and(|it| it.sessions > 0) => {
                    self.timers.set(key, now + TRANSITORY);
                }
                None => self.end_mapping(key),
            }
        }
    }

    /// The mapping of a port inside.
    pub fn inside(&self, protocol: u8, inside: End) -> Option<u32> {
        let hash = self.hash(protocol, inside, 0);
        self.by_inside.find(hash, |place| {
            self.mappings
                .get(place)
                .is_some_and(|it| it.protocol == protocol && it.inside == inside)
        })
    }

    /// The mapping of a port outside.
    pub fn outside(&self, protocol: u8, port: u16) -> Option<u32> {
        let hash = self.hash(protocol, (Ipv4Addr::UNSPECIFIED, port), 1);
        self.by_outside.find(hash, |place| {
            self.mappings.get(place).is_some_and(|it| it.protocol == protocol && it.outside == port)
        })
    }

    /// The port outside of a mapping.
    pub fn outside_of(&self, mapping: u32) -> u16 {
        self.mappings.get(mapping).map_or(0, |mapping| mapping.outside)
    }

    /// The port inside of a mapping.
    pub fn inside_of(&self, mapping: u32) -> End {
        self.mappings.get(mapping).map_or((Ipv4Addr::UNSPECIFIED, 0), |mapping| mapping.inside)
    }

    /// Makes a mapping of the manifest.
    // It gets a reference: what it got by value were zeroes where LLVM 22 optimized without the
    // whole program, since it took the two bytes behind a pair of 6 for the worth of all 8.
    #[inline(never)]
    pub fn fix(&mut self, service: &Service) -> Result<(), Refusal> {
        let Service { protocol, port, inside } = *service;
        if self.outside(protocol, port).is_some() || self.inside(protocol, inside).is_some() {
            return Err(Refusal::Port);
        }
        self.insert(protocol, inside, port, true).map(drop)
    }

    /// A packet goes out from a port inside to `remote`; the port outside that it comes from.
    /// `sessions`: whether those that it is sent to count.
    //= RFC 4787 4.1 REQ-1: the same port outside, whomever the host inside talks to
    //= RFC 4787 8 REQ-11: always, and not just until another host wants the port
    //= RFC 5382 4.1 REQ-1: for connections, too
    pub fn goes_out(
        &mut self,
        protocol: u8,
        (inside, remote): (End, End),
        flags: Flags,
        sessions: bool,
        (now, random): (Instant, &mut Random),
    ) -> Result<u16, Refusal> {
        let known = self.inside(protocol, inside);
        if known.is_none() && flags.reset {
            return Err(Refusal::Stray);
        }
        let place = match known {
            Some(place) => place,
            None => self.map(protocol, inside, random)?,
        };
        let used = self.use_outwards(place, remote, flags, sessions, now);
        if used.is_err() && known.is_none() {
            self.end_mapping(place);
        }
        used.map(|()| self.outside_of(place))
    }

    /// Makes a mapping for a port inside.
    fn map(&mut self, protocol: u8, inside: End, random: &mut Random) -> Result<u32, Refusal> {
        if self.mappings.is_full() {
            return Err(Refusal::Full);
        }
        if self.uses(inside.0) >= self.limits.host_flows {
            return Err(Refusal::Host);
        }
        let port = self.free_port(protocol, inside.1, random).ok_or(Refusal::Port)?;
        self.insert(protocol, inside, port, false)
    }

    /// A port that nobody has: the one inside where that is free, else one of the same parity.
    //= RFC 4787 4.2.1 REQ-3: no port stands for two
    //= RFC 5382 7.1 REQ-7: for connections, too
    //= RFC 4787 4.2.2 REQ-4: even ports stay even, and odd ones odd
    fn free_port(&self, protocol: u8, wanted: u16, random: &mut Random) -> Option<u16> {
        let (first, last) = match Protocol(protocol) {
            Protocol::ICMP => (0, u16::MAX),
            _ => self.limits.ports,
        };
        let free =
            |port: &u16| (first..=last).contains(port) && self.outside(protocol, *port).is_none();
        if free(&wanted) {
            return Some(wanted);
        }
        let places = u64::from(last - first) + 1;
        (0..TRIES).find_map(|_| {
            let port = first + random.below(places) as u16;
            let port = port & !1 | wanted & 1;
            Some(port).filter(free)
        })
    }

    fn insert(
        &mut self,
        protocol: u8,
        inside: End,
        outside: u16,
        fixed: bool,
    ) -> Result<u32, Refusal> {
        let host = self.use_host(inside.0)?;
        let mapping = Mapping { protocol, inside, outside, sessions: 0, strangers: 0, fixed, host };
        let Some(place) = self.mappings.insert(mapping) else {
            self.leave_host(host);
            return Err(Refusal::Full);
        };
        self.by_inside.insert(self.hash(protocol, inside, 0), place);
        let hash = self.hash(protocol, (Ipv4Addr::UNSPECIFIED, outside), 1);
        self.by_outside.insert(hash, place);
        Ok(place)
    }

    fn use_outwards(
        &mut self,
        place: u32,
        remote: End,
        flags: Flags,
        sessions: bool,
        now: Instant,
    ) -> Result<(), Refusal> {
        let Some(mapping) = self.mappings.get(place) else { return Ok(()) };
        if mapping.fixed {
            return Ok(());
        }
        let protocol = Protocol(mapping.protocol);
        if protocol == Protocol::TCP {
            if flags.reset && self.session(place, remote).is_none() {
                return Err(Refusal::Stray);
            }
            return self.use_session(place, remote, Some((0, flags)), now);
        }
        if sessions {
            self.use_session(place, (remote.0, 0), None, now)?;
        }
        //= RFC 4787 4.3 REQ-6: a packet from inside refreshes the mapping
        // A little later than its sessions, so that they are gone by then.
        let until = now + self.lifetime(protocol) + GRANULARITY.times(2);
        self.timers.set(place, until);
        Ok(())
    }

    /// Whether a packet from `remote` comes in for a mapping.
    pub fn comes_in(
        &mut self,
        place: u32,
        remote: End,
        flags: Flags,
        sessions: bool,
        now: Instant,
    ) -> bool {
        let Some(mapping) = self.mappings.get(place).copied() else { return false };
        if mapping.fixed {
            return true;
        }
        let tcp = Protocol(mapping.protocol) == Protocol::TCP;
        let exact = if tcp { remote } else { (remote.0, 0) };
        if self.session(place, exact).is_some() {
            let used = tcp.then(|| self.use_session(place, remote, Some((1, flags)), now));
            return used.is_none_or(|used| used.is_ok());
        }
        //= RFC 4787 5 REQ-8: who may send in is known by the address, or anybody may
        //= RFC 5382 4.3 REQ-3: for connections, too
        let allowed = !sessions || (tcp && self.knows(place, remote.0));
        match tcp {
            false => allowed,
            // A connection that somebody outside opens.
            //= RFC 5382 4.2 REQ-2: both sides may open it, one after the other or at once
            true => {
                allowed
                    && flags.is_first()
                    && self.use_session(place, remote, Some((1, flags)), now).is_ok()
            }
        }
    }

    /// The session of a mapping with `remote`.
    fn session(&self, mapping: u32, remote: End) -> Option<u32> {
        self.by_remote.find(self.hash_remote(mapping, remote.0), |place| {
            self.sessions.get(place).is_some_and(|it| it.mapping == mapping && it.remote == remote)
        })
    }

    /// Whether a port inside has begun a session with this address.
    fn knows(&self, mapping: u32, address: Ipv4Addr) -> bool {
        let found = self.by_remote.find(self.hash_remote(mapping, address), |place| {
            self.sessions
                .get(place)
                .is_some_and(|it| it.mapping == mapping && it.remote.0 == address && !it.stranger)
        });
        found.is_some()
    }

    /// Goes on with a session, or begins it. `segment` is whose segment of TCP it is, 0 for the
    /// side inside, and its flags.
    fn use_session(
        &mut self,
        mapping: u32,
        remote: End,
        segment: Option<(usize, Flags)>,
        now: Instant,
    ) -> Result<(), Refusal> {
        let outside = matches!(segment, Some((1, _)));
        let known = self.session(mapping, remote);
        let place = match known {
            Some(place) => place,
            None => self.begin_session(mapping, remote, outside)?,
        };
        let lifetime = match (self.sessions.get_mut(place), segment) {
            (Some(session), Some((side, flags))) => {
                session.tcp.hear(side, flags);
                // Nobody outside keeps alive what the host inside does not take part in: that it
                // refuses each SYN does not count.
                if known.is_some() && session.stranger && !session.tcp.acknowledged[0] {
                    return Ok(());
                }
                if session.tcp.is_established() { self.limits.tcp } else { TRANSITORY }
            }
            _ => self
                .mappings
                .get(mapping)
                .map_or(TRANSITORY, |mapping| self.lifetime(Protocol(mapping.protocol))),
        };
        self.timers.set(self.limits.flows + place, now + lifetime);
        Ok(())
    }

    /// `stranger`: it begins outside. Such ones have a limit of their own, so that nobody outside
    /// uses up what the host inside may have, nor the table.
    fn begin_session(&mut self, mapping: u32, remote: End, stranger: bool) -> Result<u32, Refusal> {
        let Some(of) = self.mappings.get(mapping).copied() else { return Err(Refusal::Full) };
        let uses = self.hosts.get(of.host).map_or(0, |host| host.uses);
        let is_full = match stranger {
            true => {
                of.strangers >= STRANGERS || self.strangers >= self.limits.flows / STRANGERS_PART
            }
            false => uses >= self.limits.host_flows,
        };
        if is_full {
            return Err(Refusal::Host);
        }
        let session = Session { mapping, remote, stranger, tcp: Tcp::default() };
        let place = self.sessions.insert(session).ok_or(Refusal::Full)?;
        self.by_remote.insert(self.hash_remote(mapping, remote.0), place);
        if let Some(of) = self.mappings.get_mut(mapping) {
            of.sessions += 1;
            of.strangers += u32::from(stranger);
        }
        self.strangers += u32::from(stranger);
        if let Some(host) = self.hosts.get_mut(of.host)
            && !stranger
        {
            host.uses += 1;
        }
        Ok(place)
    }

    fn end_session(&mut self, place: u32) {
        let Some(session) = self.sessions.remove(place) else { return };
        self.timers.cancel(self.limits.flows + place);
        self.by_remote.remove(self.hash_remote(session.mapping, session.remote.0), place);
        self.strangers -= u32::from(session.stranger);
        let Some(mapping) = self.mappings.get_mut(session.mapping) else { return };
        mapping.sessions = mapping.sessions.saturating_sub(1);
        mapping.strangers -= u32::from(session.stranger);
        let mapping = *mapping;
        if !session.stranger {
            self.leave_host(mapping.host);
        }
        // One of TCP is there for its connections.
        let over = Protocol(mapping.protocol) == Protocol::TCP && mapping.sessions == 0;
        if over && !mapping.fixed {
            self.end_mapping(session.mapping);
        }
    }

    fn end_mapping(&mut self, place: u32) {
        let Some(mapping) = self.mappings.remove(place) else { return };
        self.timers.cancel(place);
        self.by_inside.remove(self.hash(mapping.protocol, mapping.inside, 0), place);
        let outside = (Ipv4Addr::UNSPECIFIED, mapping.outside);
        self.by_outside.remove(self.hash(mapping.protocol, outside, 1), place);
        self.leave_host(mapping.host);
    }

    fn lifetime(&self, protocol: Protocol) -> Duration {
        match protocol {
            //= RFC 5508 3.2 REQ-2: a number of echo requests is remembered for 60 seconds at least
            Protocol::ICMP => self.limits.icmp,
            //= RFC 4787 4.3 REQ-5: a port of UDP is remembered for 2 minutes at least
            _ => self.limits.udp,
        }
    }

    fn host(&self, address: Ipv4Addr) -> Option<u32> {
        self.by_address.find(self.hash(0, (address, 0), 2), |place| {
            self.hosts.get(place).is_some_and(|host| host.address == address)
        })
    }

    fn uses(&self, address: Ipv4Addr) -> u32 {
        self.host(address).and_then(|place| self.hosts.get(place)).map_or(0, |host| host.uses)
    }

    fn use_host(&mut self, address: Ipv4Addr) -> Result<u32, Refusal> {
        let place = match self.host(address) {
            Some(place) => place,
            None => {
                let place = self.hosts.insert(Host { address, uses: 0 }).ok_or(Refusal::Full)?;
                self.by_address.insert(self.hash(0, (address, 0), 2), place);
                place
            }
        };
        if let Some(host) = self.hosts.get_mut(place) {
            host.uses += 1;
        }
        Ok(place)
    }

    fn leave_host(&mut self, place: u32) {
        let Some(host) = self.hosts.get_mut(place) else { return };
        host.uses = host.uses.saturating_sub(1);
        let Host { address, uses } = *host;
        if uses == 0 {
            self.hosts.remove(place);
            self.by_address.remove(self.hash(0, (address, 0), 2), place);
        }
    }

    fn hash(&self, protocol: u8, (address, port): End, kind: u8) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.keys.0, self.keys.1);
        hasher.write_u32(address.to_bits());
        let word = u32::from(port) << 16 | u32::from(protocol) << 8 | u32::from(kind);
        hasher.write_u32(word);
        hasher.finish()
    }

    fn hash_remote(&self, mapping: u32, address: Ipv4Addr) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.keys.0, self.keys.1);
        hasher.write_u32(address.to_bits());
        hasher.write_u32(mapping);
        hasher.finish()
    }
}

impl Tcp {
    /// Takes a segment of the side inside (0) or outside (1).
    fn hear(&mut self, side: usize, flags: Flags) {
        if flags.is_first() {
            // One from outside may be forged: the host inside knows whether it has the connection
            // still, and what it says counts.
            if side == 0 || !self.is_established() {
                *self = Self::default();
            }
            return;
        }
        self.reset = flags.reset;
        let (Some(acknowledged), Some(finished)) =
            (self.acknowledged.get_mut(side), self.finished.get_mut(side))
        else {
            return;
        };
        *acknowledged |= flags.acknowledges && !flags.reset;
        *finished |= flags.finishes;
    }

    /// Whether both sides have agreed to a connection, and neither to its end.
    //= RFC 5382 5 REQ-5: an established one is remembered for 2 hours and 4 minutes
    //= RFC 7857 2.2: one that was reset, for 4 minutes, unless it goes on
    fn is_established(&self) -> bool {
        self.acknowledged == [true; 2] && self.finished != [true; 2] && !self.reset
    }
}

impl<T: Copy> Slab<T> {
    fn new(count: usize) -> Self {
        let free = (0..count as u32).rev().collect();
        Self { places: vec![None; count].into_boxed_slice(), free, count: 0 }
    }

    fn is_full(&self) -> bool {
        self.count == self.places.len()
    }

    fn get(&self, place: u32) -> Option<&T> {
        self.places.get(place as usize)?.as_ref()
    }

    fn get_mut(&mut self, place: u32) -> Option<&mut T> {
        self.places.get_mut(place as usize)?.as_mut()
    }

    fn insert(&mut self, thing: T) -> Option<u32> {
        let left = self.free.len().checked_sub(self.count + 1)?;
        let place = *self.free.get(left)?;
        *self.places.get_mut(place as usize)? = Some(thing);
        self.count += 1;
        Some(place)
    }

    fn remove(&mut self, place: u32) -> Option<T> {
        let thing = self.places.get_mut(place as usize)?.take()?;
        self.count -= 1;
        let left = self.free.len() - self.count - 1;
        if let Some(free) = self.free.get_mut(left) {
            *free = place;
        }
        Some(thing)
    }
}
