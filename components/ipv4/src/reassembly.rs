//! Datagrams that arrive in fragments (RFC 791 section 3.2, RFC 815), put together within limits.
//!
//! Each takes one buffer, so the longest payload is [`ROOM`] bytes; a fragment's bytes are copied
//! to their place and marked in a map of 8-byte units. Overlapping fragments have no honest
//! sender: the whole datagram is dropped (as RFC 5722 wants it for IPv6). A repeated fragment
//! with the same bytes is not an overlap.

use crate::wire::{HEADER_MAX, Header, defragment};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use waitless::packet::{CAPACITY, Info};
use waitless::{Duration, Instant, Packet, Protocol};

/// Bytes in front of a datagram's payload: its IP header, and whatever an answer that is made in
/// the same buffer needs.
const FRONT: usize = 128;

/// Bytes of the longest payload.
pub(crate) const ROOM: usize = CAPACITY - FRONT;

/// Fragments of one datagram.
const FRAGMENTS_MAX: u8 = 64;

/// Datagrams of one source under way, as a part of all: a source can not take all the room.
const SHARE: usize = 4;

/// Bytes of a transport header that its first fragment must have: all of TCP's (RFC 3128), and
/// what the others have at least.
const FIRST_MIN: usize = 8;
const FIRST_MIN_TCP: usize = 20;

/// The ECN bits of the traffic class (RFC 3168 section 5).
const ECN: u8 = 3;
const CONGESTION: u8 = 3;

/// The datagrams under way.
pub(crate) struct Reassembly {
    datagrams: Vec<Datagram>,
    limit: usize,
    timeout: Duration,
    next: Instant,
}

struct Datagram {
    key: Key,
    packet: Packet,
    /// A bit for each 8 bytes that have arrived.
    map: [u64; ROOM.div_ceil(8).div_ceil(64)],
    /// 8-byte units that have arrived.
    units: usize,
    /// Bytes up to the end of the last one that has arrived.
    end: usize,
    /// Bytes of the payload, once the last fragment has arrived.
    total: Option<usize>,
    first: Option<First>,
    fragments: u8,
    /// Which ECN bits have arrived, a bit for each of the four.
    ecn: u8,
    deadline: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: Protocol,
    identification: u16,
}

/// What the first fragment brought beside its bytes.
struct First {
    header: [u8; HEADER_MAX],
    header_length: usize,
    /// Bytes of its payload.
    length: usize,
    info: Info,
}

/// What became of a fragment.
pub(crate) enum Outcome {
    /// It waits for the others.
    Kept,
    /// It was the last one that was missing: the datagram, its IP header stripped.
    Complete(Packet),
    /// It, and whatever waited for it, was dropped.
    Dropped(Reason),
}

/// Why a datagram was dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reason {
    /// Its fragments contradict each other, or make no sense.
    Bad,
    /// It is longer than [`ROOM`], or comes in too many pieces.
    TooLong,
    /// There was no buffer for it, or no fragments are taken.
    Full,
}

impl Reassembly {
    pub fn new(limit: usize, timeout: Duration) -> Self {
        Self { datagrams: Vec::with_capacity(limit), limit, timeout, next: Instant::NEVER }
    }

    /// Takes a fragment. `info` is what the datagram's packet will have. The second result counts
    /// datagrams that had to give way.
    pub fn add(&mut self, header: &Header, packet: &Packet, now: Instant) -> (Outcome, u64) {
        let bytes = packet.bytes();
        let payload = bytes.get(header.length..header.total).unwrap_or_default();
        let key = Key {
            source: header.source,
            destination: header.destination,
            protocol: header.protocol,
            identification: header.identification,
        };
        let found = self.datagrams.iter().position(|datagram| datagram.key == key);
        if let Err(reason) = check(header, payload) {
            found.map(|index| self.datagrams.swap_remove(index));
            return (Outcome::Dropped(reason), 0);
        }
        let (index, evicted) = match found {
            Some(index) => (index, 0),
            None => match self.open(key, packet, now) {
                Some(opened) => opened,
                None => return (Outcome::Dropped(Reason::Full), 0),
            },
        };
        let Some(datagram) = self.datagrams.get_mut(index) else {
            return (Outcome::Dropped(Reason::Full), evicted);
        };
        let outcome = match datagram.add(header, bytes, payload, packet.info()) {
            Ok(false) => Outcome::Kept,
            Ok(true) => match self.datagrams.swap_remove(index).finish() {
                Some(packet) => Outcome::Complete(packet),
                None => Outcome::Dropped(Reason::Bad),
            },
            Err(reason) => {
                self.datagrams.swap_remove(index);
                Outcome::Dropped(reason)
            }
        };
        (outcome, evicted)
    }

    /// The next datagram whose time is over: its first fragment, IP header restored, where that
    /// has arrived.
    pub fn expire(&mut self, now: Instant) -> Option<Option<(Packet, Protocol)>> {
        if now < self.next {
            return None;
        }
        let late = self.datagrams.iter().position(|datagram| datagram.deadline <= now);
        let Some(index) = late else {
            let deadlines = self.datagrams.iter().map(|datagram| datagram.deadline);
            self.next = deadlines.min().unwrap_or(Instant::NEVER);
            return None;
        };
        let datagram = self.datagrams.swap_remove(index);
        let protocol = datagram.key.protocol;
        Some(datagram.first_fragment().map(|packet| (packet, protocol)))
    }

    /// When [`expire`](Self::expire) next has something, or a moment before.
    pub fn deadline(&self) -> Instant {
        self.next
    }

    /// Datagrams under way.
    pub fn len(&self) -> usize {
        self.datagrams.len()
    }

    /// A place for a new datagram, where needed the oldest's; of the same source where that one
    /// has more than its share.
    fn open(&mut self, key: Key, packet: &Packet, now: Instant) -> Option<(usize, u64)> {
        let mut fresh = packet.pool().packet().filter(|_| self.limit > 0)?;
        fresh.reset(FRONT);
        fresh.extend(ROOM).ok()?;
        let same = |datagram: &Datagram| datagram.key.source == key.source;
        let count = self.datagrams.iter().filter(|datagram| same(datagram)).count();
        let greedy = count >= self.limit.div_ceil(SHARE);
        let mut evicted = 0;
        if greedy || self.datagrams.len() >= self.limit {
            let candidates = self.datagrams.iter().enumerate();
            let candidates = candidates.filter(|(_, datagram)| !greedy || same(datagram));
            let oldest = candidates.min_by_key(|(_, datagram)| datagram.deadline);
            let (index, _) = oldest?;
            self.datagrams.swap_remove(index);
            evicted = 1;
        }
        let deadline = now + self.timeout;
        self.next = self.next.min(deadline);
        self.datagrams.push(Datagram {
            key,
            packet: fresh,
            map: [0; _],
            units: 0,
            end: 0,
            total: None,
            first: None,
            fragments: 0,
            ecn: 0,
            deadline,
        });
        Some((self.datagrams.len() - 1, evicted))
    }
}

/// Whether a fragment makes sense on its own.
fn check(header: &Header, payload: &[u8]) -> Result<(), Reason> {
    let first_min = if header.protocol == Protocol::TCP { FIRST_MIN_TCP } else { FIRST_MIN };
    let pieces = !payload.is_empty() && (!header.more || payload.len().is_multiple_of(8));
    let reaches = header.offset + payload.len() + header.length <= usize::from(u16::MAX);
    if !pieces || !reaches || (header.offset == 0 && payload.len() < first_min) {
        return Err(Reason::Bad);
    }
    if header.offset + payload.len() > ROOM {
        return Err(Reason::TooLong);
    }
    Ok(())
}

impl Datagram {
    /// Takes a fragment that [`check`] let through. `Ok(true)` when none is missing any more.
    fn add(
        &mut self,
        header: &Header,
        bytes: &[u8],
        payload: &[u8],
        info: &Info,
    ) -> Result<bool, Reason> {
        self.fragments += 1;
        if self.fragments > FRAGMENTS_MAX {
            return Err(Reason::TooLong);
        }
        let (start, end) = (header.offset, header.offset + payload.len());
        if !header.more {
            if self.total.is_some_and(|total| total != end) || self.end > end {
                return Err(Reason::Bad);
            }
            self.total = Some(end);
        } else if self.total.is_some_and(|total| end >= total) {
            return Err(Reason::Bad);
        }
        let fresh = (start / 8..end.div_ceil(8)).filter(|&unit| self.mark(unit)).count();
        let place = self.packet.bytes_mut().get_mut(start..end).ok_or(Reason::TooLong)?;
        if fresh == 0 && place == payload {
            return Ok(false); // a repetition
        }
        if fresh != (end - start).div_ceil(8) {
            return Err(Reason::Bad);
        }
        place.copy_from_slice(payload);
        self.units += fresh;
        self.end = self.end.max(end);
        self.ecn |= 1 << (header.class & ECN);
        if start == 0 {
            let mut copy = [0; HEADER_MAX];
            for (to, from) in copy.iter_mut().zip(bytes.iter().take(header.length)) {
                *to = *from;
            }
            self.first = Some(First {
                header: copy,
                header_length: header.length,
                length: payload.len(),
                info: describe(header, info),
            });
        }
        Ok(self.total.is_some_and(|total| self.units == total.div_ceil(8)))
    }

    /// Marks 8 bytes as arrived; whether they had not before.
    fn mark(&mut self, unit: usize) -> bool {
        let Some(word) = self.map.get_mut(unit / 64) else { return false };
        let bit = 1 << (unit % 64);
        let fresh = *word & bit == 0;
        *word |= bit;
        fresh
    }

    /// The whole datagram. `None` where some fragments say that congestion was met and others
    /// that their sender does not know of that (RFC 3168 section 5.3).
    fn finish(self) -> Option<Packet> {
        let total = self.total?;
        let mut first = self.first?;
        let congestion = self.ecn & 1 << CONGESTION != 0;
        if congestion && self.ecn & 1 != 0 {
            return None;
        }
        if congestion {
            first.info.class |= CONGESTION;
        }
        let mut packet = self.packet;
        packet.truncate(total);
        restore(&mut packet, &first, total)?;
        packet.trim_front(first.header_length);
        Some(packet)
    }

    /// The first fragment, its IP header restored.
    fn first_fragment(self) -> Option<Packet> {
        let first = self.first?;
        let mut packet = self.packet;
        packet.truncate(first.length);
        restore(&mut packet, &first, first.length)?;
        Some(packet)
    }
}

/// Puts the first fragment's header in front of `total` bytes of payload.
fn restore(packet: &mut Packet, first: &First, total: usize) -> Option<()> {
    let header = first.header.get(..first.header_length)?;
    let place = packet.grow_front(header.len()).ok()?.get_mut(..header.len())?;
    place.copy_from_slice(header);
    defragment(place, (total + header.len()) as u16);
    *packet.info_mut() = first.info;
    Some(())
}

/// What travels with a packet that has this header.
#[inline]
pub(crate) fn describe(header: &Header, info: &Info) -> Info {
    Info {
        remote: IpAddr::V4(header.source),
        local: IpAddr::V4(header.destination),
        hops: header.hops,
        class: header.class,
        ip_header: header.length as u16,
        checksum: if header.is_fragment() { Default::default() } else { info.checksum },
        ..*info
    }
}
