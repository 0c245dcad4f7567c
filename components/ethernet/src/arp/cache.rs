//! Which station answers for which address: a bounded table with a hashed index.

use super::TRIES;
use alloc::vec;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use waitless::{Duration, Instant, Mac};

/// Requests to one target are at least this far apart.
//= RFC 1122 2.3.2.1: neighbours are not flooded, and those that went are found out
pub(crate) const REQUEST_INTERVAL: Duration = Duration::from_secs(1);

/// How often the time of use of a neighbour is brought up to date.
const USE_INTERVAL: Duration = Duration::from_secs(1);

/// How long to wait before a request that found no packet is tried again.
const RETRY: Duration = Duration::from_millis(10);

/// How many entries are looked at for the one to give up when the table is full.
const EVICTION_SCAN: usize = 16;

/// A known neighbour that was used within this time goes last.
const RECENT: Duration = Duration::from_secs(5);

/// The end of a chain.
const END: u16 = u16::MAX;

/// The neighbours. Entries are found through `heads` (a hash's first entry) and `next`.
pub(crate) struct Cache {
    entries: Vec<Neighbour>,
    heads: Vec<u16>,
    limit: usize,
    /// How many are being asked for that are not known: half of the limit at most, and those that
    /// did not answer before.
    asking: usize,
    key: u32,
    reachable: Duration,
    /// Where the search for an entry to give up goes on.
    hand: usize,
    /// No entry has something to do before this.
    next: Instant,
}

/// A place in the table. Valid until the table is changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Index(u16);

struct Neighbour {
    address: Ipv4Addr,
    mac: Mac,
    state: State,
    /// Reachable: stale from then on. Incomplete, Probing: the next request. Unreachable: the
    /// end of that.
    until: Instant,
    used: Instant,
    /// The next entry in the chain.
    next: u16,
    /// Packets that wait for this neighbour.
    pending: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// No longer in use, in no chain.
    Free,
    /// So many broadcast requests were sent, and none was answered yet.
    Incomplete(u8),
    /// It answers for its address; past `until` that is stale, and to be asked at the next use.
    Reachable,
    /// Stale and in use: so many unicast requests were sent, and none was answered yet.
    Probing(u8),
    /// Another station says that it has the address now, and is believed for a moment: so many
    /// broadcast requests were sent since. Whose address it is answers them; a forged message, or
    /// one that the wire changed, has nobody who does.
    Moved(u8),
    /// It did not answer.
    Unreachable,
}

impl State {
    fn is_incomplete(self) -> bool {
        matches!(self, Self::Incomplete(_))
    }

    /// Whether a station answers for the address, as far as is known.
    fn is_known(self) -> bool {
        matches!(self, Self::Reachable | Self::Probing(_) | Self::Moved(_))
    }
}

/// What is known of an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lookup {
    /// The station; the answer holds until then.
    Known(Mac, Instant),
    /// It is being asked for.
    Unknown(Index),
    /// It was asked for, and nobody answered.
    Unreachable,
    /// It can not be asked for: every entry is in use.
    Full,
}

/// What has to be done for a neighbour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Due {
    /// Ask everybody for this address.
    Broadcast(Ipv4Addr),
    /// Ask this station whether it still answers for this address.
    Unicast(Ipv4Addr, Mac),
    /// It was given up: what waits for it must go.
    Failed(Index),
}

impl Cache {
    /// An empty table for `limit` neighbours. `key` makes collisions unpredictable.
    pub fn new(limit: usize, reachable: Duration, key: u32) -> Self {
        let limit = limit.clamp(1, usize::from(END));
        Self {
            entries: Vec::with_capacity(limit),
            heads: vec![END; limit.next_power_of_two()],
            limit,
            asking: 0,
            key,
            reachable,
            hand: 0,
            next: Instant::NEVER,
        }
    }

    /// Changes the key of a table that is empty.
    pub fn set_key(&mut self, key: u32) {
        self.key = key;
    }

    /// Finds the station of `address` for a packet to send, and starts to ask where needed.
    pub fn lookup(&mut self, address: Ipv4Addr, now: Instant) -> Lookup {
        let Some(index) = self.find(address).or_else(|| self.insert(address, true, now)) else {
            return Lookup::Full;
        };
        let Some(entry) = self.entries.get_mut(usize::from(index.0)) else { return Lookup::Full };
        entry.used = now;
        match entry.state {
            State::Reachable if now < entry.until => {
                Lookup::Known(entry.mac, entry.until.min(now + USE_INTERVAL))
            }
            State::Reachable => {
                (entry.state, entry.until) = (State::Probing(0), now);
                self.next = now;
                Lookup::Known(entry.mac, now + USE_INTERVAL)
            }
            State::Probing(_) | State::Moved(_) => {
                Lookup::Known(entry.mac, entry.until.min(now + USE_INTERVAL))
            }
            State::Unreachable if now < entry.until => Lookup::Unreachable,
            State::Free | State::Unreachable => {
                (entry.state, entry.until) = (State::Incomplete(0), now);
                (self.next, self.asking) = (now, self.asking + 1);
                Lookup::Unknown(index)
            }
            State::Incomplete(_) => Lookup::Unknown(index),
        }
    }

    /// Notes that `mac` answers for `address`; only if it is known already, unless `learn`.
    /// Gives the entry when packets wait for it.
    pub fn heard(
        &mut self,
        address: Ipv4Addr,
        mac: Mac,
        learn: bool,
        now: Instant,
    ) -> Option<Index> {
        let known = self.find(address);
        let index = if learn { known.or_else(|| self.insert(address, false, now)) } else { known }?;
        let until = now + self.reachable;
        let entry = self.entries.get_mut(usize::from(index.0))?;
        let moved = entry.mac != mac;
        self.asking -= usize::from(entry.state.is_incomplete());
        match entry.state {
            State::Reachable | State::Probing(_) if moved => {
                (entry.state, entry.until) = (State::Moved(0), now);
                self.next = now;
            }
            // Whoever says so now, the next request goes out when it is due.
            State::Moved(_) if moved => {}
            _ => (entry.state, entry.until) = (State::Reachable, until),
        }
        entry.mac = mac;
        (entry.pending > 0).then_some(index)
    }

    /// The next thing to do at `now`. With `send` false, nothing is to be sent now: requests that
    /// are due wait a moment.
    pub fn due(&mut self, now: Instant, send: bool) -> Option<Due> {
        if now < self.next {
            return None;
        }
        let mut next = Instant::NEVER;
        for (index, entry) in self.entries.iter_mut().enumerate() {
            let (tries, known) = match entry.state {
                State::Incomplete(tries) => (tries, false),
                State::Probing(tries) | State::Moved(tries) => (tries, true),
                State::Free | State::Reachable | State::Unreachable => continue,
            };
            if now < entry.until {
                next = next.min(entry.until);
                continue;
            }
            if tries < TRIES && !send {
                next = next.min(now + RETRY);
                continue;
            }
            // What else is due is found by the next call, for which `next` stays as it is.
            entry.until = now + REQUEST_INTERVAL;
            if tries == TRIES && known {
                // RFC 1122 section 2.3.2.1 (2): forget it, and ask everybody at the next use.
                (entry.state, entry.until) = (State::Unreachable, now);
                continue;
            }
            if tries == TRIES {
                entry.state = State::Unreachable;
                self.asking -= 1;
                return Some(Due::Failed(Index(index as u16)));
            }
            if let State::Probing(_) = entry.state {
                entry.state = State::Probing(tries + 1);
                return Some(Due::Unicast(entry.address, entry.mac));
            }
            entry.state = match known {
                true => State::Moved(tries + 1),
                false => State::Incomplete(tries + 1),
            };
            return Some(Due::Broadcast(entry.address));
        }
        self.next = next;
        None
    }

    /// When [`due`](Self::due) next has something.
    pub fn deadline(&self) -> Instant {
        self.next
    }

    /// The station of an entry, once it has answered.
    pub fn station(&self, index: Index) -> Option<Mac> {
        let entry = self.entries.get(usize::from(index.0))?;
        entry.state.is_known().then_some(entry.mac)
    }

    /// How many packets wait for an entry, to change it.
    pub fn pending(&mut self, index: Index) -> Option<&mut u8> {
        self.entries.get_mut(usize::from(index.0)).map(|entry| &mut entry.pending)
    }

    /// The link was down, and may be another now: everything known is stale.
    pub fn age(&mut self) {
        for entry in &mut self.entries {
            if entry.state == State::Reachable {
                entry.until = Instant::ZERO;
            }
        }
    }

    /// How many neighbours are remembered.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    fn bucket(&self, address: Ipv4Addr) -> usize {
        let mixed = (u32::from(address) ^ self.key).wrapping_mul(0x9e37_79b1);
        // The high bits are mixed best; the table's length is a power of two.
        (mixed >> 16) as usize & (self.heads.len() - 1)
    }

    fn find(&self, address: Ipv4Addr) -> Option<Index> {
        let mut at = *self.heads.get(self.bucket(address))?;
        while let Some(entry) = self.entries.get(usize::from(at)) {
            if entry.address == address {
                return Some(Index(at));
            }
            at = entry.next;
        }
        None
    }

    /// A new entry: one that `asks`, for which the first request is due, or that is known.
    fn insert(&mut self, address: Ipv4Addr, asks: bool, now: Instant) -> Option<Index> {
        let bucket = self.bucket(address);
        let next = *self.heads.get(bucket)?;
        let entry = Neighbour {
            address,
            mac: Mac::default(),
            state: State::Free,
            until: now,
            used: now,
            next,
            pending: 0,
        };
        let many = asks && self.asking >= (self.limit / 2).max(1);
        if self.entries.len() < self.limit && !many {
            self.entries.push(entry);
            let index = (self.entries.len() - 1) as u16;
            *self.heads.get_mut(bucket)? = index;
            return Some(Index(index));
        }
        let index = self.evict(asks, many, now)?;
        // The chain may have changed.
        let next = *self.heads.get(bucket)?;
        *self.entries.get_mut(usize::from(index))? = Neighbour { next, ..entry };
        *self.heads.get_mut(bucket)? = index;
        Some(Index(index))
    }

    /// Takes the entry that is missed least out of its chain: one that does not answer, or else
    /// one not used for some time, or else the one longest asked for, for whom packets may wait
    /// where the new one `asks`, too. That alone where there are so `many`: whoever makes this
    /// host ask for addresses that nobody has takes no neighbour in use away.
    fn evict(&mut self, asks: bool, many: bool, now: Instant) -> Option<u16> {
        let mut best: Option<((u8, Instant), usize)> = None;
        for _ in 0..EVICTION_SCAN.min(self.entries.len()) {
            self.hand = if self.hand + 1 < self.entries.len() { self.hand + 1 } else { 0 };
            let entry = self.entries.get(self.hand)?;
            let class = match entry.state {
                State::Incomplete(_) if asks || entry.pending == 0 => 2,
                _ if many || entry.pending > 0 => continue,
                State::Free | State::Unreachable => 0,
                _ if now < entry.used + RECENT => 3,
                _ => 1,
            };
            let rank = (class, entry.used);
            if best.is_none_or(|(other, _)| rank < other) {
                best = Some((rank, self.hand));
            }
        }
        let (_, index) = best?;
        let entry = self.entries.get(index)?;
        self.asking -= usize::from(entry.state.is_incomplete());
        let (bucket, next, index) = (self.bucket(entry.address), entry.next, index as u16);
        let mut at = *self.heads.get(bucket)?;
        if at == index {
            *self.heads.get_mut(bucket)? = next;
            return Some(index);
        }
        while let Some(entry) = self.entries.get_mut(usize::from(at)) {
            if entry.next == index {
                entry.next = next;
                return Some(index);
            }
            at = entry.next;
        }
        None
    }
}
