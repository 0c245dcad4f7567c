//! Which station answers for which address, and whether it still does: the neighbour cache and
//! neighbour unreachability detection (RFC 4861 sections 5.1 and 7).
//!
//! A bounded table with a hashed index. Entries that are in use are kept before those that are
//! not, and packets wait for an answer within limits. Who scans a network through this router has
//! it ask for neighbours that are not there: for packets of others only so many are asked for at
//! once, and nobody in use gives way to them (RFC 6583 section 7.1).

use alloc::vec;
use alloc::vec::Vec;
use core::net::Ipv6Addr;
use heapless::Deque;
use waitless::{Duration, Instant, Mac, Packet, Random};

/// Questions to everybody, and to one station, before a neighbour is given up (RFC 4861 section
/// 10: MAX_MULTICAST_SOLICIT, MAX_UNICAST_SOLICIT).
//= RFC 4861 7.2.2: three questions, then whose packets wait is told
const TRIES: u8 = 3;

/// How long a stale neighbour in use is trusted to show by itself that it is still there
/// (DELAY_FIRST_PROBE_TIME).
const DELAY: Duration = Duration::from_secs(5);

/// How long a neighbour is reachable after it has shown that it is (REACHABLE_TIME), and what
/// routers may make of that.
const REACHABLE: Duration = Duration::from_secs(30);
const REACHABLE_MS_MAX: u32 = 3_600_000;

/// Between two questions (RETRANS_TIMER), and what routers may make of that.
const RETRANSMIT: Duration = Duration::from_secs(1);
const RETRANSMIT_MS: core::ops::RangeInclusive<u32> = 100..=60_000;

/// How often the time of use of a neighbour is brought up to date.
const USE_INTERVAL: Duration = Duration::from_secs(1);

/// How long to wait before a question that found no packet is asked again.
const RETRY: Duration = Duration::from_millis(10);

/// How many entries are looked at for the one to give up when the table is full.
const EVICTION_SCAN: usize = 16;

/// What part of the table may be asked for at once for packets of others: one in so many.
const FOREIGN_PART: usize = 4;

/// How long after its last use a neighbour gives way to one that packets of others are for.
const IN_USE: Duration = Duration::from_secs(60);

/// Packets that wait for one neighbour; then the oldest gives way (section 7.2.2).
const PENDING_EACH: usize = 3;

/// The end of a chain.
const END: u16 = u16::MAX;

/// The neighbours. Entries are found through `heads` (a hash's first entry) and `next`.
pub(crate) struct Neighbours {
    entries: Vec<Neighbour>,
    heads: Vec<u16>,
    /// Entries that are in no chain.
    free: Vec<u16>,
    limit: usize,
    /// Entries that are being asked for.
    asked: usize,
    key: u64,
    /// The base of `reachable`, which is drawn from it (section 6.3.2).
    base: Duration,
    reachable: Duration,
    retransmit: Duration,
    /// Where the search for an entry to give up goes on.
    hand: usize,
    /// Packets that wait for all neighbours, and how many may.
    waiting: usize,
    waiting_max: usize,
    /// Entries with packets that wait no longer: their stations have answered.
    answered: Vec<u16>,
    /// No entry has something to do before this.
    next: Instant,
}

/// A place in the table. Valid until the table is changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Index(u16);

struct Neighbour {
    address: Ipv6Addr,
    mac: Mac,
    state: State,
    /// Reachable: stale from then on. Incomplete, Delay, Probe: when to do something.
    until: Instant,
    used: Instant,
    /// The next entry in the chain.
    next: u16,
    router: bool,
    pending: Deque<Waiting, PENDING_EACH>,
}

/// A packet that waits for an answer.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub packet: Packet,
    pub owner: Owner,
}

/// Whose packet it is. Its source does not say: this host's own address may be in use no longer,
/// or not again yet, when the answer fails to come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    /// This host's.
    Host,
    /// Another host's, which is forwarded.
    Transit,
}

/// RFC 4861 section 7.3.2.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// New, or not in use. Everything else of the entry means nothing.
    Free,
    /// So many questions to everybody were sent, and none was answered yet.
    Incomplete(u8),
    /// It answers; past `until` that is stale.
    Reachable,
    /// It may have gone: to be looked after at the next use.
    Stale,
    /// In use since: asked soon, unless it shows before that it is there.
    Delay,
    /// So many questions to the station were sent, and none was answered yet.
    Probe(u8),
}

/// What is known of an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lookup {
    /// The station; the answer holds until then.
    Known(Mac, Instant),
    /// It is being asked for.
    Unknown(Index),
    /// It can not be asked for now: too many are, or every entry is in use.
    Full,
}

/// What has to be done for a neighbour.
#[derive(Debug)]
pub(crate) enum Due {
    /// Ask everybody for this address.
    Multicast(Ipv6Addr),
    /// Ask this station whether it still answers for this address.
    Unicast(Ipv6Addr, Mac),
    /// It does not answer: so the one of these that waited for longest will not reach it.
    Failed(Ipv6Addr, Option<Waiting>),
}

/// What an advertisement has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Heard {
    /// Nothing: nobody had asked.
    Unknown,
    Updated,
    /// It is a router no longer.
    NoRouter,
}

impl Neighbours {
    /// An empty table for `limit` neighbours, for all of which `pending` packets wait at most.
    pub fn new(limit: usize, pending: usize, random: &mut Random) -> Self {
        let limit = limit.clamp(1, usize::from(END));
        let mut neighbours = Self {
            entries: Vec::with_capacity(limit),
            heads: vec![END; limit.next_power_of_two()],
            free: Vec::with_capacity(limit),
            limit,
            asked: 0,
            key: random.u64() | 1,
            base: REACHABLE,
            reachable: REACHABLE,
            retransmit: RETRANSMIT,
            hand: 0,
            waiting: 0,
            waiting_max: pending,
            answered: Vec::with_capacity(limit),
            next: Instant::NEVER,
        };
        neighbours.draw_reachable(random);
        neighbours
    }

    /// What a router says of the link's times, in milliseconds; 0 says nothing.
    pub fn set_times(&mut self, reachable: u32, retransmit: u32, random: &mut Random) {
        let base = Duration::from_millis(reachable.into());
        if (1..=REACHABLE_MS_MAX).contains(&reachable) && base != self.base {
            self.base = base;
            self.draw_reachable(random);
        }
        if RETRANSMIT_MS.contains(&retransmit) {
            self.retransmit = Duration::from_millis(retransmit.into());
        }
    }

    /// Between half and one and a half times the base (section 10).
    fn draw_reachable(&mut self, random: &mut Random) {
        let half = self.base.divided_by(2);
        self.reachable = half + Duration::from_nanos(random.below(self.base.as_nanos()));
    }

    /// The time between two questions.
    pub fn retransmit(&self) -> Duration {
        self.retransmit
    }

    /// Finds the station of `address` for a packet of `owner` to send, and starts to ask where
    /// needed.
    pub fn lookup(&mut self, address: Ipv6Addr, owner: Owner, now: Instant) -> Lookup {
        let index = self.find(address).or_else(|| {
            let most = (self.limit / FOREIGN_PART).max(1);
            let taken = owner == Owner::Host || self.asked < most;
            taken.then(|| self.insert(address, owner, now)).flatten()
        });
        let Some(index) = index else { return Lookup::Full };
        let Some(entry) = self.entries.get_mut(usize::from(index.0)) else { return Lookup::Full };
        entry.used = now;
        let soon = now + USE_INTERVAL;
        match entry.state {
            State::Reachable if now < entry.until => {
                Lookup::Known(entry.mac, entry.until.min(soon))
            }
            //= RFC 4861 7.3.3: a stale neighbour in use is asked soon, unless it shows before
            State::Reachable | State::Stale => {
                (entry.state, entry.until) = (State::Delay, now + DELAY);
                self.next = self.next.min(entry.until);
                Lookup::Known(entry.mac, soon)
            }
            State::Delay | State::Probe(_) => Lookup::Known(entry.mac, soon),
            State::Free => {
                (entry.state, entry.until) = (State::Incomplete(0), now);
                self.asked += 1;
                self.next = now;
                Lookup::Unknown(index)
            }
            State::Incomplete(_) => Lookup::Unknown(index),
        }
    }

    /// Lets a packet wait for an answer. Gives how many gave way: an earlier one, or itself. Those
    /// of others leave half of the room to this host's own.
    pub fn wait(&mut self, index: Index, packet: Packet, owner: Owner) -> u64 {
        let Some(entry) = self.entries.get_mut(usize::from(index.0)) else { return 1 };
        let mut dropped = 0;
        if entry.pending.is_full() {
            entry.pending.pop_front();
            self.waiting -= 1;
            dropped = 1;
        }
        let waiting = Waiting { packet, owner };
        let most = match owner {
            Owner::Host => self.waiting_max,
            Owner::Transit => self.waiting_max.div_ceil(2),
        };
        if self.waiting >= most || entry.pending.push_back(waiting).is_err() {
            return dropped + 1;
        }
        self.waiting += 1;
        dropped
    }

    /// The next packet whose neighbour has answered, and the station that it goes to.
    pub fn answered(&mut self) -> Option<(Mac, Packet)> {
        while let Some(index) = self.answered.last() {
            if let Some(entry) = self.entries.get_mut(usize::from(*index))
                && !matches!(entry.state, State::Free | State::Incomplete(_))
                && let Some(waiting) = entry.pending.pop_front()
            {
                self.waiting -= 1;
                return Some((entry.mac, waiting.packet));
            }
            self.answered.pop();
        }
        None
    }

    /// Whether [`answered`](Self::answered) has something.
    #[inline]
    pub fn has_answered(&self) -> bool {
        !self.answered.is_empty()
    }

    /// The station `mac` says that it has `address`: a source's option in what it sent. It is
    /// remembered, as somebody who will be answered (sections 7.2.3, 6.2.6, 6.3.4 and 8.3).
    pub fn spoke(&mut self, address: Ipv6Addr, mac: Mac, router: bool, now: Instant) {
        let index = self.find(address).or_else(|| self.insert(address, Owner::Host, now));
        let Some(index) = index else { return };
        let Some(entry) = self.entries.get_mut(usize::from(index.0)) else { return };
        entry.router |= router;
        let asked = matches!(entry.state, State::Incomplete(_));
        self.asked -= usize::from(asked);
        if asked || entry.state == State::Free || entry.mac != mac {
            (entry.mac, entry.state, entry.until) = (mac, State::Stale, now);
        }
        self.release(index);
    }

    /// Notes whether `address`, where anything is known of it, is a router: it said so, or another
    /// one did, without an option that names its station (sections 6.2.6, 6.3.4 and 8.3).
    pub fn set_router(&mut self, address: Ipv6Addr, router: bool) {
        let index = self.find(address).map(|index| usize::from(index.0));
        if let Some(entry) = index.and_then(|index| self.entries.get_mut(index)) {
            entry.router = router;
        }
    }

    /// An advertisement of `address` arrived. Only answers to questions make
    /// entries, so who was never asked is not remembered.
    pub fn advertised(
        &mut self,
        message: &crate::message::Advertisement,
        mac: Option<Mac>,
        now: Instant,
    ) -> Heard {
        let Some(index) = self.find(message.target) else { return Heard::Unknown };
        let reachable = now + self.reachable;
        let Some(entry) = self.entries.get_mut(usize::from(index.0)) else {
            return Heard::Unknown;
        };
        //= RFC 4861 7.2.5: what it changes
        let router = core::mem::replace(&mut entry.router, message.router);
        let fresh = if message.solicited { State::Reachable } else { State::Stale };
        let until = if message.solicited { reachable } else { now };
        match (entry.state, mac) {
            (State::Free, _) => return Heard::Unknown,
            // Without a station there is nothing to send to.
            (State::Incomplete(_), None) => {
                entry.router = router;
                return Heard::Unknown;
            }
            (State::Incomplete(_), Some(mac)) => {
                self.asked -= 1;
                (entry.mac, entry.state, entry.until) = (mac, fresh, until);
            }
            // Another station, which does not insist.
            (state, Some(mac)) if mac != entry.mac && !message.replaces => {
                entry.router = router;
                if state == State::Reachable {
                    (entry.state, entry.until) = (State::Stale, now);
                }
                return Heard::Updated;
            }
            (_, mac) => {
                let other = mac.is_some_and(|mac| mac != entry.mac);
                entry.mac = mac.unwrap_or(entry.mac);
                if message.solicited || other {
                    (entry.state, entry.until) = (fresh, until);
                }
            }
        }
        self.release(index);
        if router && !message.router { Heard::NoRouter } else { Heard::Updated }
    }

    /// Whether `address` is known to have answered, and not known to have gone (section 6.3.6).
    pub fn may_be_reachable(&self, address: Ipv6Addr) -> bool {
        let entry = self.find(address).and_then(|index| self.entries.get(usize::from(index.0)));
        entry.is_some_and(|it| !matches!(it.state, State::Free | State::Incomplete(_)))
    }

    /// The next thing to do at `now`. With `send` false, nothing is to be sent now: questions that
    /// are due wait a moment.
    pub fn due(&mut self, now: Instant, send: bool) -> Option<Due> {
        if now < self.next {
            return None;
        }
        let mut next = Instant::NEVER;
        for (index, entry) in self.entries.iter_mut().enumerate() {
            let (tries, unicast) = match entry.state {
                State::Free | State::Reachable | State::Stale => continue,
                State::Incomplete(tries) => (tries, false),
                State::Delay => (0, true),
                State::Probe(tries) => (tries, true),
            };
            if now < entry.until {
                next = next.min(entry.until);
                continue;
            }
            if tries >= TRIES {
                // What else waits, and what else is due, is found by the next call.
                let waiting = entry.pending.pop_front();
                self.waiting -= usize::from(waiting.is_some());
                let (address, done) = (entry.address, entry.pending.is_empty());
                if done {
                    self.asked -= usize::from(!unicast);
                    entry.state = State::Free;
                    self.unlink(index);
                    self.free.push(index as u16);
                }
                return Some(Due::Failed(address, waiting));
            }
            if !send {
                next = next.min(now + RETRY);
                continue;
            }
            entry.until = now + self.retransmit;
            if unicast {
                entry.state = State::Probe(tries + 1);
                return Some(Due::Unicast(entry.address, entry.mac));
            }
            entry.state = State::Incomplete(tries + 1);
            return Some(Due::Multicast(entry.address));
        }
        self.next = next;
        None
    }

    /// When [`due`](Self::due) next has something.
    #[inline]
    pub fn deadline(&self) -> Instant {
        self.next
    }

    /// The link was down, and may be another now: everything known is stale.
    pub fn age(&mut self) {
        for entry in &mut self.entries {
            if entry.state == State::Reachable {
                entry.state = State::Stale;
            }
        }
    }

    /// How many neighbours are remembered.
    pub fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// How many packets wait.
    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Notes that the packets of an entry can go, if it has any.
    fn release(&mut self, index: Index) {
        let waits = |entry: &Neighbour| !entry.pending.is_empty();
        if self.entries.get(usize::from(index.0)).is_some_and(waits)
            && !self.answered.contains(&index.0)
        {
            self.answered.push(index.0);
        }
    }

    fn bucket(&self, address: Ipv6Addr) -> usize {
        let bits = address.to_bits();
        let mixed = (bits >> 64) as u64 ^ (bits as u64).wrapping_mul(self.key);
        // The high bits are mixed best; the table's length is a power of two.
        (mixed.wrapping_mul(self.key) >> 40) as usize & (self.heads.len() - 1)
    }

    fn find(&self, address: Ipv6Addr) -> Option<Index> {
        let mut at = *self.heads.get(self.bucket(address))?;
        while let Some(entry) = self.entries.get(usize::from(at)) {
            if entry.address == address {
                return Some(Index(at));
            }
            at = entry.next;
        }
        None
    }

    /// A new entry for a packet of `owner`, for which nothing is known.
    fn insert(&mut self, address: Ipv6Addr, owner: Owner, now: Instant) -> Option<Index> {
        let bucket = self.bucket(address);
        let place = match self.free.pop() {
            Some(place) => usize::from(place),
            None if self.entries.len() < self.limit => self.entries.len(),
            None => self.evict(owner, now)?,
        };
        let entry = Neighbour {
            address,
            mac: Mac::default(),
            state: State::Free,
            until: now,
            used: now,
            // Evicting may have changed the chain.
            next: *self.heads.get(bucket)?,
            router: false,
            pending: Deque::new(),
        };
        match self.entries.get_mut(place) {
            Some(old) => *old = entry,
            None => self.entries.push(entry),
        }
        *self.heads.get_mut(bucket)? = place as u16;
        Some(Index(place as u16))
    }

    /// Takes the entry not used for longest, of a few, out of its chain. Those that are being asked
    /// for or that packets wait for stay, and those in use where it is for a packet of others.
    fn evict(&mut self, owner: Owner, now: Instant) -> Option<usize> {
        let mut best: Option<(Instant, usize)> = None;
        let mut left = EVICTION_SCAN;
        for _ in 0..self.entries.len() {
            self.hand = if self.hand + 1 < self.entries.len() { self.hand + 1 } else { 0 };
            let entry = self.entries.get(self.hand)?;
            let used = entry.used;
            // These stand together in a scan: they are not of the few.
            if matches!(entry.state, State::Incomplete(_)) {
                continue;
            }
            let stays =
                !entry.pending.is_empty() || (owner == Owner::Transit && now.since(used) < IN_USE);
            if !stays && best.is_none_or(|(oldest, _)| used < oldest) {
                best = Some((used, self.hand));
            }
            left -= 1;
            if left == 0 {
                break;
            }
        }
        let (_, index) = best?;
        self.unlink(index);
        Some(index)
    }

    /// Takes an entry out of its chain.
    fn unlink(&mut self, index: usize) {
        let Some(entry) = self.entries.get(index) else { return };
        let (bucket, next) = (self.bucket(entry.address), entry.next);
        let Some(mut link) = self.heads.get_mut(bucket) else { return };
        loop {
            let at = usize::from(*link);
            if at == index {
                break;
            }
            let Some(entry) = self.entries.get_mut(at) else { return };
            link = &mut entry.next;
        }
        *link = next;
    }
}

#[cfg(test)]
mod tests;
