//! One way of a bad path: packets go in, and come out late, damaged, twice or never.

use crate::Config;
use alloc::collections::BinaryHeap;
use core::cmp::Ordering;
use waitless::packet::ChecksumState;
use waitless::{Counter, Duration, Instant, Packet, Random};

/// One way of a bad path. It knows no port and no clock: time is an argument, so it serves any
/// packet edge, and virtual time. With each packet goes what tells where it belongs, a `Tag`.
pub struct Line<Tag> {
    config: Config,
    random: Random,
    under_way: BinaryHeap<Entry<Tag>>,
    /// Packets that went in so far; it keeps the order of those that are due at once.
    sequence: u64,
    /// When the last bit of the last packet has passed, at the configured rate.
    free_at: Instant,
    /// When the last packet in order is due.
    latest: Instant,
    counters: LineCounters,
}

/// What a [`Line`] counts: packets.
#[derive(Clone, Copy, Debug)]
pub struct LineCounters {
    /// That went in.
    pub seen: &'static Counter,
    /// That were lost on purpose.
    pub lost: &'static Counter,
    /// That were doubled on purpose.
    pub duplicated: &'static Counter,
    /// Of which a bit was flipped on purpose.
    pub corrupted: &'static Counter,
    /// That were held back on purpose.
    pub reordered: &'static Counter,
    /// That were dropped because too many were under way.
    pub overflowed: &'static Counter,
    /// That were spared for want of a buffer for a copy.
    pub not_copied: &'static Counter,
    /// That are under way now.
    pub under_way: &'static Counter,
}

impl<Tag: Copy> Line<Tag> {
    /// A line that treats packets as `config` says, `config.direction` not regarded. Two lines
    /// with the same seed and a different `name` throw different dice.
    pub fn new(config: Config, name: &[u8], counters: LineCounters) -> Self {
        let mut seed = [0; 32];
        let (number, rest) = seed.split_at_mut(8);
        number.copy_from_slice(&config.seed.to_le_bytes());
        for (byte, letter) in rest.iter_mut().zip(name) {
            *byte = *letter;
        }
        Self {
            config,
            random: Random::new(seed),
            under_way: BinaryHeap::new(),
            sequence: 0,
            free_at: Instant::ZERO,
            latest: Instant::ZERO,
            counters,
        }
    }

    /// Puts a packet on the line at the time `now`.
    pub fn push(&mut self, tag: Tag, packet: Packet, now: Instant) {
        self.counters.seen.add(1);
        if self.happens(self.config.loss) {
            self.counters.lost.add(1);
            return;
        }
        let copy = if self.happens(self.config.duplicate) {
            let copy = packet.duplicate();
            let counters = &self.counters;
            let outcome = if copy.is_some() { counters.duplicated } else { counters.not_copied };
            outcome.add(1);
            copy
        } else {
            None
        };
        self.enqueue(tag, packet, now);
        if let Some(copy) = copy {
            self.enqueue(tag, copy, now);
        }
    }

    /// The next packet that is through at the time `now`.
    pub fn pop(&mut self, now: Instant) -> Option<(Tag, Packet)> {
        self.due(now)?;
        self.counters.under_way.sub(1);
        self.under_way.pop().map(|entry| (entry.tag, entry.packet))
    }

    /// The tag of the packet that [`pop`](Self::pop) would give.
    pub fn due(&self, now: Instant) -> Option<Tag> {
        self.under_way.peek().filter(|entry| entry.due <= now).map(|entry| entry.tag)
    }

    /// When the next packet is through; [`Instant::NEVER`] when none is under way.
    pub fn deadline(&self) -> Instant {
        self.under_way.peek().map_or(Instant::NEVER, |entry| entry.due)
    }

    fn enqueue(&mut self, tag: Tag, mut packet: Packet, now: Instant) {
        if self.under_way.len() >= self.config.limit as usize {
            self.counters.overflowed.add(1);
            return;
        }
        if self.happens(self.config.corrupt) {
            packet = self.corrupt(packet);
        }
        self.free_at = self.free_at.max(now) + self.passing_time(packet.len());
        let jitter = self.random_below(self.config.jitter);
        let mut due = (self.free_at + self.config.delay + jitter).max(self.latest);
        if self.happens(self.config.reorder) {
            self.counters.reordered.add(1);
            due += self.config.reorder_by;
        } else {
            self.latest = due;
        }
        self.sequence += 1;
        self.under_way.push(Entry { due, sequence: self.sequence, tag, packet });
        self.counters.under_way.add(1);
    }

    /// Flips a bit of a copy: a transport may hold the packet itself, to send it again unharmed.
    fn corrupt(&mut self, packet: Packet) -> Packet {
        let Some(mut copy) = packet.duplicate() else {
            self.counters.not_copied.add(1);
            return packet;
        };
        // Otherwise the device would sum over the damage, and the receiver could not see it.
        copy.complete_checksum();
        copy.info_mut().checksum = ChecksumState::Unknown;
        let bit = self.random.below(copy.len() as u64 * 8) as usize;
        if let Some(byte) = copy.bytes_mut().get_mut(bit / 8) {
            *byte ^= 1 << (bit % 8);
            self.counters.corrupted.add(1);
        }
        copy
    }

    /// How long `bytes` take at the configured rate, rounded up.
    fn passing_time(&self, bytes: usize) -> Duration {
        let Some(rate) = self.config.rate else { return Duration::ZERO };
        // At most 2048 bytes: the product stays below 2^44.
        Duration::from_nanos((bytes as u64 * 8 * 1_000_000_000).div_ceil(rate.max(1)))
    }

    /// Throws the dice, unless the outcome is certain.
    fn happens(&mut self, per_mille: u16) -> bool {
        per_mille > 0 && self.random.below(1000) < u64::from(per_mille)
    }

    fn random_below(&mut self, most: Duration) -> Duration {
        if most == Duration::ZERO {
            return most;
        }
        Duration::from_nanos(self.random.below(most.as_nanos().saturating_add(1)))
    }
}

/// A packet under way. The greatest in a heap is the one that is due first.
struct Entry<Tag> {
    due: Instant,
    sequence: u64,
    tag: Tag,
    packet: Packet,
}

impl<Tag> Ord for Entry<Tag> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.due, other.sequence).cmp(&(self.due, self.sequence))
    }
}

impl<Tag> PartialOrd for Entry<Tag> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<Tag> Eq for Entry<Tag> {}

impl<Tag> PartialEq for Entry<Tag> {
    fn eq(&self, other: &Self) -> bool {
        self.sequence == other.sequence
    }
}
