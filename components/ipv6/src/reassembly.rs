//! Packets that arrive in fragments (RFC 8200 section 4.5), put together within limits.
//!
//! Each takes one buffer, so what is in pieces is at most [`ROOM`] bytes long; a fragment's bytes
//! are copied to their place and marked in a map of 8-byte units. Where fragments overlap, the
//! whole packet is dropped (RFC 5722). A repeated fragment with the same bytes is no overlap.

use crate::extension::{FRAGMENT_HEADER, Fragment, is_complete};
use crate::wire::{HEADER, Header, LENGTH};
use alloc::vec::Vec;
use core::net::Ipv6Addr;
use waitless::packet::{CAPACITY, ChecksumState, Info};
use waitless::{Duration, Instant, Packet};

/// Bytes in front of what was in pieces: its headers, and whatever an answer that is made in the
/// same buffer needs.
const FRONT: usize = 256;

/// Bytes of the longest headers, the fragment's included.
const HEADERS_MAX: usize = 128;

/// Bytes of the longest packet without its headers. With them it is more than the 1,500 bytes
/// that every host takes (RFC 8200 section 5).
pub(crate) const ROOM: usize = CAPACITY - FRONT;

/// Fragments of one packet.
const FRAGMENTS_MAX: u8 = 64;

/// Packets of one source under way, as a part of all: a source can not take all the room.
const SHARE: usize = 4;

/// The ECN bits of the traffic class (RFC 3168 section 5).
const ECN: u8 = 3;
const CONGESTION: u8 = 3;

/// The packets under way.
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
    /// Bytes of what is in pieces, once the last fragment has arrived.
    total: Option<usize>,
    first: Option<First>,
    fragments: u8,
    /// Which ECN bits have arrived, a bit for each of the four.
    ecn: u8,
    deadline: Instant,
}

/// RFC 8200 section 4.5: fragments with the same of these belong together.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    source: Ipv6Addr,
    destination: Ipv6Addr,
    identification: u32,
}

/// What the first fragment brought beside its bytes.
struct First {
    headers: [u8; HEADERS_MAX],
    /// Bytes of these, the fragment header included.
    length: usize,
    /// Where in them the number of the fragment header stands.
    field: usize,
    next: u8,
    /// Bytes of its payload.
    payload: usize,
    info: Info,
}

/// A fragment as it arrived: `bytes` is the whole packet, the fragment header stands at `at`, and
/// its number at `field`.
pub(crate) struct Piece<'a> {
    pub header: &'a Header,
    pub fragment: Fragment,
    pub bytes: &'a [u8],
    pub at: usize,
    pub field: usize,
    pub info: &'a Info,
}

/// What became of a fragment.
pub(crate) enum Outcome {
    /// It waits for the others.
    Kept,
    /// It was the last one that was missing: the packet as it was before it was cut.
    Complete(Packet),
    /// It, and whatever waited for it, was dropped.
    Dropped(Reason),
}

/// Why a packet was dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reason {
    /// Its fragments contradict each other, or make no sense.
    Bad,
    /// The same, and its sender is to be told where in the fragment.
    Field(u16),
    /// It is longer than [`ROOM`], or comes in too many pieces.
    TooLong,
    /// There was no buffer for it, or no fragments are taken.
    Full,
}

impl Reassembly {
    pub fn new(limit: usize, timeout: Duration) -> Self {
        Self { datagrams: Vec::with_capacity(limit), limit, timeout, next: Instant::NEVER }
    }

    /// Takes a fragment. The second result counts packets that had to give way.
    pub fn add(&mut self, piece: &Piece<'_>, packet: &Packet, now: Instant) -> (Outcome, u64) {
        let key = Key {
            source: piece.header.source,
            destination: piece.header.destination,
            identification: piece.fragment.identification,
        };
        let found = self.datagrams.iter().position(|datagram| datagram.key == key);
        if let Err(reason) = piece.check() {
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
        let outcome = match datagram.add(piece) {
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

    /// The next packet whose time is over: its first fragment, where that has arrived.
    pub fn expire(&mut self, now: Instant) -> Option<Option<Packet>> {
        if now < self.next {
            return None;
        }
        let late = self.datagrams.iter().position(|datagram| datagram.deadline <= now);
        let Some(index) = late else {
            let deadlines = self.datagrams.iter().map(|datagram| datagram.deadline);
            self.next = deadlines.min().unwrap_or(Instant::NEVER);
            return None;
        };
        Some(self.datagrams.swap_remove(index).first_fragment())
    }

    /// When [`expire`](Self::expire) next has something, or a moment before.
    #[inline]
    pub fn deadline(&self) -> Instant {
        self.next
    }

    /// Packets under way.
    pub fn len(&self) -> usize {
        self.datagrams.len()
    }

    /// A place for a new packet, where needed the oldest's; of the same source where that one has
    /// more than its share.
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

impl<'a> Piece<'a> {
    fn payload(&self) -> &'a [u8] {
        self.bytes.get(self.at + FRAGMENT_HEADER..).unwrap_or_default()
    }

    /// Whether the fragment makes sense on its own.
    fn check(&self) -> Result<(), Reason> {
        let (payload, offset) = (self.payload(), self.fragment.offset);
        if self.fragment.more && !payload.len().is_multiple_of(8) {
            return Err(Reason::Field(LENGTH as u16));
        }
        let unfragmented = self.at - HEADER;
        if unfragmented + offset + payload.len() > usize::from(u16::MAX) {
            return Err(Reason::Field(self.at as u16 + 2));
        }
        if payload.is_empty() || (offset == 0 && !is_complete(payload, self.fragment.next)) {
            return Err(Reason::Bad);
        }
        let headers = self.at + FRAGMENT_HEADER;
        if offset + payload.len() > ROOM || headers > HEADERS_MAX {
            return Err(Reason::TooLong);
        }
        Ok(())
    }
}

impl Datagram {
    /// Takes a fragment that [`Piece::check`] let through. `Ok(true)` when none is missing.
    fn add(&mut self, piece: &Piece<'_>) -> Result<bool, Reason> {
        self.fragments += 1;
        if self.fragments > FRAGMENTS_MAX {
            return Err(Reason::TooLong);
        }
        let payload = piece.payload();
        let (start, end) = (piece.fragment.offset, piece.fragment.offset + payload.len());
        if !piece.fragment.more {
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
        self.ecn |= 1 << (piece.header.class & ECN);
        if start == 0 {
            let length = piece.at + FRAGMENT_HEADER;
            let mut headers = [0; HEADERS_MAX];
            for (to, from) in headers.iter_mut().zip(piece.bytes.iter().take(length)) {
                *to = *from;
            }
            let (field, next) = (piece.field, piece.fragment.next);
            let info = Info { checksum: ChecksumState::Unknown, ..*piece.info };
            self.first = Some(First { headers, length, field, next, payload: payload.len(), info });
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

    /// The whole packet. `None` where some fragments say that congestion was met and others that
    /// their sender does not know of that (RFC 3168 section 5.3).
    fn finish(self) -> Option<Packet> {
        let total = self.total?;
        let mut first = self.first?;
        let congestion = self.ecn & 1 << CONGESTION != 0;
        if congestion && self.ecn & 1 != 0 {
            return None;
        }
        if congestion {
            // The class's last four bits are the upper half of the second byte.
            *first.headers.get_mut(1)? |= CONGESTION << 4;
        }
        // Without the fragment header, whose number gives way to the one that it names.
        *first.headers.get_mut(first.field)? = first.next;
        first.length -= FRAGMENT_HEADER;
        let payload = (first.length - HEADER + total) as u16;
        first.headers.get_mut(LENGTH..LENGTH + 2)?.copy_from_slice(&payload.to_be_bytes());
        let mut packet = self.packet;
        packet.truncate(total);
        restore(&mut packet, &first)?;
        Some(packet)
    }

    /// The first fragment, as it arrived.
    fn first_fragment(self) -> Option<Packet> {
        let first = self.first?;
        let mut packet = self.packet;
        packet.truncate(first.payload);
        restore(&mut packet, &first)?;
        Some(packet)
    }
}

/// Puts the first fragment's headers in front.
fn restore(packet: &mut Packet, first: &First) -> Option<()> {
    let headers = first.headers.get(..first.length)?;
    let place = packet.grow_front(headers.len()).ok()?.get_mut(..headers.len())?;
    place.copy_from_slice(headers);
    *packet.info_mut() = first.info;
    Some(())
}
