//! Datagrams in fragments, of which just the first has ports: where the others go.

use crate::packet::Seen;
use core::net::Ipv4Addr;
use heapless::Vec;
use waitless::{Duration, Instant, NextHop, Packet};

/// Which way a packet goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    In,
    /// To this neighbour on the link.
    Out(NextHop),
}

/// What the fragments of a datagram have in common, on the side where they come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Key {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: u8,
    part: u16,
    inward: bool,
}

/// What has become of first fragments, and later ones that came before theirs.
pub(crate) struct Pieces {
    known: Vec<(Key, Ipv4Addr, Instant), KNOWN>,
    /// The place that is used again next, once all are.
    oldest: usize,
    early: Vec<(Key, Way, Packet, Instant), EARLY>,
}

/// Datagrams that are known at once. A flood makes others lose fragments, and nothing else.
const KNOWN: usize = 64;

/// Fragments that wait for the first of theirs, and for how long.
const EARLY: usize = 16;
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a datagram's fragments may come after the first.
const LIFETIME: Duration = Duration::from_secs(30);

impl Pieces {
    pub const fn new() -> Self {
        Self { known: Vec::new(), oldest: 0, early: Vec::new() }
    }

    pub fn clear(&mut self) {
        self.known.clear();
        self.early.clear();
        self.oldest = 0;
    }

    /// Remembers the address that the first fragment of a datagram got.
    pub fn remember(&mut self, seen: &Seen, inward: bool, address: Ipv4Addr, now: Instant) {
        let Some(key) = key(seen, inward) else { return };
        let entry = (key, address, now + LIFETIME);
        let same = self.known.iter().position(|(known, ..)| *known == key);
        let dead = || self.known.iter().position(|(.., until)| *until <= now);
        if let Some(place) = same.or_else(dead) {
            if let Some(known) = self.known.get_mut(place) {
                *known = entry;
            }
        } else if let Err(entry) = self.known.push(entry) {
            self.oldest = (self.oldest + 1) % KNOWN;
            if let Some(known) = self.known.get_mut(self.oldest) {
                *known = entry;
            }
        }
    }

    /// The address that the first fragment got of the datagram that this one is of.
    pub fn address(&self, seen: &Seen, inward: bool, now: Instant) -> Option<Ipv4Addr> {
        let key = key(seen, inward)?;
        let mut found = self.known.iter().filter(|(known, _, until)| *known == key && *until > now);
        found.next().map(|(_, address, _)| *address)
    }

    //= RFC 4787 11 REQ-14: fragments come in any order; how many may wait is limited
    /// Keeps a fragment until the first one comes. `Err` when too many wait.
    pub fn keep(
        &mut self,
        seen: &Seen,
        way: Way,
        packet: Packet,
        now: Instant,
    ) -> Result<(), Packet> {
        let Some(key) = key(seen, way == Way::In) else { return Err(packet) };
        // What is known of it is too old.
        self.known.retain(|(known, ..)| *known != key);
        self.early.push((key, way, packet, now + PATIENCE)).map_err(|(_, _, packet, _)| packet)
    }

    /// A fragment that has waited long enough for its first one, in either direction.
    pub fn give_up(&mut self, now: Instant) -> Option<Packet> {
        let place = self.early.iter().position(|(.., until)| *until <= now)?;
        Some(self.early.swap_remove(place).2)
    }

    /// A fragment whose first one has come.
    pub fn next(&mut self, inward: bool) -> Option<(Way, Packet)> {
        let known = |key: &Key| self.known.iter().any(|(known, ..)| known == key);
        let mut waiting = self.early.iter();
        let place = waiting.position(|(key, ..)| key.inward == inward && known(key))?;
        let (_, way, packet, _) = self.early.remove(place);
        Some((way, packet))
    }

    pub fn deadline(&self) -> Instant {
        self.early.iter().map(|(.., until)| *until).min().unwrap_or(Instant::NEVER)
    }

    /// Whether a fragment can go on that has waited.
    pub fn has_next(&self) -> bool {
        self.early.iter().any(|(key, ..)| self.known.iter().any(|(known, ..)| known == key))
    }
}

fn key(seen: &Seen, inward: bool) -> Option<Key> {
    let Seen { source, destination, protocol, part, .. } = *seen;
    Some(Key { source, destination, protocol, part: part?, inward })
}
