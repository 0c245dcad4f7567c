//! Datagrams that arrive in fragments, put together within limits: what both versions of IP do
//! alike (RFC 791 section 3.2, RFC 8200 section 4.5).
//!
//! Each takes one buffer; a fragment's bytes are copied to their place and marked in a map of
//! 8-byte units. Overlapping fragments have no honest sender: the whole datagram is dropped
//! (RFC 5722, and RFC 8200 section 4.5). A repeated fragment with the same bytes is no overlap.
//!
//! How a fragment looks on the wire, and what makes it one that makes sense by itself, the layer
//! of each version knows.

use crate::packet::{CAPACITY, Info};
use crate::{Duration, Instant, Packet};
use alloc::vec::Vec;
use core::net::IpAddr;

/// Bytes of the longest headers in front of a fragment's payload.
pub const HEADERS_MAX: usize = 128;

/// Fragments of one datagram.
const FRAGMENTS_MAX: u8 = 64;

/// Datagrams of one source under way, as a part of all: a source can not take all the room.
const SHARE: usize = 4;

/// The ECN codepoint of congestion (RFC 3168 section 5), and that of a sender that knows no ECN.
const CONGESTION: u8 = 3;
const NOT_CAPABLE: u8 = 0;

/// The datagrams under way. `T` is what a layer keeps beside a first fragment's headers.
pub struct Fragments<T> {
    datagrams: Vec<Datagram<T>>,
    limit: usize,
    timeout: Duration,
    front: usize,
    next: Instant,
}

/// Fragments with the same belong together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Key {
    /// Who sent the datagram.
    pub source: IpAddr,
    /// Whom it is for.
    pub destination: IpAddr,
    /// The transport's number in IPv4; the same for all of IPv6, where it does not count.
    pub protocol: u8,
    /// The number that its sender gave it.
    pub identification: u32,
}

/// A fragment that makes sense on its own.
pub struct Piece<'a, T> {
    /// The datagram that it is of.
    pub key: Key,
    /// Where its payload belongs, in bytes, a multiple of 8.
    pub offset: usize,
    /// Whether another fragment follows; its payload is then a multiple of 8 bytes long.
    pub more: bool,
    /// The headers in front of its payload, at most [`HEADERS_MAX`] bytes.
    pub headers: &'a [u8],
    /// Its part of the datagram, at least one byte.
    pub payload: &'a [u8],
    /// The two bits of explicit congestion notification (RFC 3168 section 5), from 0 to 3.
    pub ecn: u8,
    /// What the datagram's packet will have, where this is the first fragment.
    pub info: Info,
    /// What the layer wants back with the first fragment's headers.
    pub tag: T,
}

struct Datagram<T> {
    key: Key,
    packet: Packet,
    /// A bit for each 8 bytes that have arrived.
    map: [u64; CAPACITY.div_ceil(8).div_ceil(64)],
    /// 8-byte units that have arrived.
    units: usize,
    /// Bytes up to the end of the last one that has arrived.
    end: usize,
    /// Bytes of the payload, once the last fragment has arrived.
    total: Option<usize>,
    first: Option<First<T>>,
    fragments: u8,
    /// Which ECN codepoints have arrived, a bit for each of the four.
    ecn: u8,
    deadline: Instant,
}

/// What the first fragment brought beside its bytes.
struct First<T> {
    headers: [u8; HEADERS_MAX],
    headers_length: usize,
    payload_length: usize,
    info: Info,
    tag: T,
}

/// A payload, and the headers of the fragment that it began with.
pub struct Assembled<T> {
    /// The payload alone, with the first fragment's info. There is room for the headers in front.
    pub packet: Packet,
    /// Whether a fragment met congestion: the datagram then did.
    pub congestion: bool,
    /// What the layer gave with the first fragment.
    pub tag: T,
    headers: [u8; HEADERS_MAX],
    headers_length: usize,
}

/// What became of a fragment.
pub enum Outcome<T> {
    /// It waits for the others.
    Kept,
    /// It was the last one that was missing.
    Complete(Assembled<T>),
    /// It, and whatever waited for it, was dropped.
    Dropped(Reason),
}

/// Why a datagram was dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// Its fragments contradict each other, or make no sense.
    Bad,
    /// It is longer than a buffer has room for, or comes in too many pieces.
    TooLong,
    /// There was no buffer for it, or no fragments are taken.
    Full,
}

impl<T: Copy> Fragments<T> {
    /// At most `limit` datagrams under way, each for at most `timeout`; with `front` bytes of
    /// room in front of a payload, for its headers and whatever an answer in the same buffer
    /// needs.
    pub fn new(limit: usize, timeout: Duration, front: usize) -> Self {
        let front = front.clamp(HEADERS_MAX, CAPACITY);
        let datagrams = Vec::with_capacity(limit);
        Self { datagrams, limit, timeout, front, next: Instant::NEVER }
    }

    /// Takes a fragment; `packet` is from the pool that the datagram's buffer will be. The second
    /// result counts datagrams that had to give way.
    pub fn add(
        &mut self,
        piece: &Piece<'_, T>,
        packet: &Packet,
        now: Instant,
    ) -> (Outcome<T>, u64) {
        let room = CAPACITY - self.front;
        if piece.offset + piece.payload.len() > room || piece.headers.len() > HEADERS_MAX {
            self.forget(&piece.key);
            return (Outcome::Dropped(Reason::TooLong), 0);
        }
        let found = self.datagrams.iter().position(|datagram| datagram.key == piece.key);
        let (index, evicted) = match found {
            Some(index) => (index, 0),
            None => match self.open(piece.key, packet, now) {
                Some(opened) => opened,
                None => return (Outcome::Dropped(Reason::Full), 0),
            },
        };
        let Some(datagram) = self.datagrams.get_mut(index) else {
            return (Outcome::Dropped(Reason::Full), evicted);
        };
        let outcome = match datagram.add(piece) {
            Ok(false) => Outcome::Kept,
            Ok(true) => match self.datagrams.swap_remove(index).finish() {
                Some(whole) => Outcome::Complete(whole),
                None => Outcome::Dropped(Reason::Bad),
            },
            Err(reason) => {
                self.datagrams.swap_remove(index);
                Outcome::Dropped(reason)
            }
        };
        (outcome, evicted)
    }

    /// Drops what has arrived of a datagram, because a fragment of it made no sense.
    pub fn forget(&mut self, key: &Key) {
        if let Some(index) = self.datagrams.iter().position(|datagram| datagram.key == *key) {
            self.datagrams.swap_remove(index);
        }
    }

    /// The next datagram whose time is over: its first fragment, and which datagram it was of,
    /// where that has arrived.
    pub fn expire(&mut self, now: Instant) -> Option<Option<(Key, Assembled<T>)>> {
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
        let key = datagram.key;
        Some(datagram.first_fragment().map(|first| (key, first)))
    }

    /// When [`expire`](Self::expire) next has something, or a moment before.
    #[inline]
    pub fn deadline(&self) -> Instant {
        self.next
    }

    /// Datagrams under way.
    pub fn under_way(&self) -> usize {
        self.datagrams.len()
    }

    /// A place for a new datagram, where needed the oldest's; of the same source where that one
    /// has more than its share.
    fn open(&mut self, key: Key, packet: &Packet, now: Instant) -> Option<(usize, u64)> {
        let mut fresh = packet.pool().packet().filter(|_| self.limit > 0)?;
        fresh.reset(self.front);
        fresh.extend(CAPACITY - self.front).ok()?;
        let same = |datagram: &Datagram<T>| datagram.key.source == key.source;
        let count = self.datagrams.iter().filter(|datagram| same(datagram)).count();
        let greedy = count >= self.limit.div_ceil(SHARE);
        let mut evicted = 0;
        if greedy || self.datagrams.len() >= self.limit {
            let candidates = self.datagrams.iter().enumerate();
            let candidates = candidates.filter(|(_, datagram)| !greedy || same(datagram));
            let (index, _) = candidates.min_by_key(|(_, datagram)| datagram.deadline)?;
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

impl<T: Copy> Datagram<T> {
    /// Takes a fragment that has room. `Ok(true)` when none is missing any more.
    fn add(&mut self, piece: &Piece<'_, T>) -> Result<bool, Reason> {
        self.fragments += 1;
        if self.fragments > FRAGMENTS_MAX {
            return Err(Reason::TooLong);
        }
        let (start, end) = (piece.offset, piece.offset + piece.payload.len());
        if !piece.more {
            if self.total.is_some_and(|total| total != end) || self.end > end {
                return Err(Reason::Bad);
            }
            self.total = Some(end);
        } else if self.total.is_some_and(|total| end >= total) {
            return Err(Reason::Bad);
        }
        let fresh = (start / 8..end.div_ceil(8)).filter(|&unit| self.mark(unit)).count();
        let place = self.packet.bytes_mut().get_mut(start..end).ok_or(Reason::TooLong)?;
        if fresh == 0 && place == piece.payload {
            return Ok(false); // a repetition
        }
        if fresh != (end - start).div_ceil(8) {
            return Err(Reason::Bad);
        }
        place.copy_from_slice(piece.payload);
        self.units += fresh;
        self.end = self.end.max(end);
        self.ecn |= 1 << (piece.ecn & CONGESTION);
        if start == 0 {
            let mut headers = [0; HEADERS_MAX];
            for (to, from) in headers.iter_mut().zip(piece.headers) {
                *to = *from;
            }
            self.first = Some(First {
                headers,
                headers_length: piece.headers.len(),
                payload_length: piece.payload.len(),
                info: piece.info,
                tag: piece.tag,
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
    fn finish(self) -> Option<Assembled<T>> {
        let congestion = self.ecn & 1 << CONGESTION != 0;
        if congestion && self.ecn & 1 << NOT_CAPABLE != 0 {
            return None;
        }
        let total = self.total?;
        Some(self.first?.with(self.packet, total, congestion))
    }

    /// The first fragment alone.
    fn first_fragment(self) -> Option<Assembled<T>> {
        let first = self.first?;
        let length = first.payload_length;
        Some(first.with(self.packet, length, false))
    }
}

impl<T> First<T> {
    fn with(self, mut packet: Packet, length: usize, congestion: bool) -> Assembled<T> {
        packet.truncate(length);
        *packet.info_mut() = self.info;
        let Self { headers, headers_length, tag, .. } = self;
        Assembled { packet, congestion, tag, headers, headers_length }
    }
}

impl<T> Assembled<T> {
    /// The headers of the fragment that the payload began with, as they arrived.
    pub fn headers_mut(&mut self) -> &mut [u8] {
        self.headers.get_mut(..self.headers_length).unwrap_or_default()
    }

    /// Leaves the last `count` bytes of the headers out.
    pub fn shorten_headers(&mut self, count: usize) {
        self.headers_length = self.headers_length.saturating_sub(count);
    }

    /// The payload behind its headers.
    pub fn into_packet(self) -> Option<Packet> {
        let mut packet = self.packet;
        let headers = self.headers.get(..self.headers_length)?;
        let place = packet.grow_front(headers.len()).ok()?.get_mut(..headers.len())?;
        place.copy_from_slice(headers);
        Some(packet)
    }
}

#[cfg(test)]
mod tests;
