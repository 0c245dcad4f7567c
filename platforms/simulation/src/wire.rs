//! The wire between all hosts: what it does to frames, decided by a seed.

use crate::options::Options;
use std::collections::BTreeMap;
use waitless::{Duration, Instant, Random};

/// A wire with a port for each host, numbered from 1.
pub struct Wire {
    options: Options,
    random: Random,
    /// Frames under way: when they arrive, in which order they were sent; for whom.
    under_way: BTreeMap<(Instant, u64), (u8, Vec<u8>)>,
    sequence: u64,
    /// When the last bit of each host's last frame has passed.
    free_at: Vec<Instant>,
    /// When the last frame in order arrives, from and to each host.
    latest: BTreeMap<(u8, u8), Instant>,
    /// Whether nothing is done to frames any more.
    pub healed: bool,
}

/// Frames under way at most; a router drops the rest.
const UNDER_WAY_MAX: usize = 4_096;
/// Bytes of Ethernet's header.
const HEADER: usize = 14;
/// How long a frame is held back that others overtake.
const HELD_BACK: Duration = Duration::from_millis(5);

impl Wire {
    pub fn new(options: &Options, seed: u64) -> Self {
        let mut bytes = [0x77; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Self {
            options: options.clone(),
            random: Random::new(bytes),
            under_way: BTreeMap::new(),
            sequence: 0,
            free_at: vec![Instant::ZERO; usize::from(options.hosts) + 1],
            latest: BTreeMap::new(),
            healed: false,
        }
    }

    /// Host `from` sends `frame`.
    pub fn push(&mut self, from: u8, frame: &[u8], now: Instant) {
        let group = frame.first().is_some_and(|byte| byte & 1 == 1);
        let to = frame.get(5).copied().unwrap_or(0);
        for host in 1..=self.options.hosts {
            if host != from && (group || host == to) {
                self.push_to(from, host, frame, now);
            }
        }
    }

    fn push_to(&mut self, from: u8, to: u8, frame: &[u8], now: Instant) {
        let parted = self.options.partition.is_some_and(|(begin, end)| {
            let since = now.since(Instant::ZERO);
            (from == 1 || to == 1) && since >= begin && since < end
        });
        if !self.healed && (parted || self.happens(self.options.loss)) {
            return;
        }
        let twice = self.happens(self.options.duplicate);
        for _ in 0..1 + usize::from(twice) {
            let mut frame = frame.to_vec();
            // Links notice what they break. What a router's memory breaks, checksums must.
            let is_ip = frame.get(12..14) == Some(&[8, 0]) && frame.len() > HEADER;
            if is_ip && self.happens(self.options.corrupt) {
                let bit = self.random.below((frame.len() - HEADER) as u64 * 8) as usize;
                frame[HEADER + bit / 8] ^= 1 << (bit % 8);
            }
            self.enqueue(from, to, frame, now);
        }
    }

    fn enqueue(&mut self, from: u8, to: u8, frame: Vec<u8>, now: Instant) {
        if self.under_way.len() >= UNDER_WAY_MAX {
            return;
        }
        let free_at = &mut self.free_at[usize::from(from)];
        *free_at = (*free_at).max(now);
        if let Some(rate) = self.options.rate {
            *free_at += Duration::from_nanos((frame.len() as u64 * 8_000_000_000).div_ceil(rate));
        }
        let passed = *free_at;
        let jitter = self.options.jitter.as_nanos();
        let jitter = if jitter == 0 { 0 } else { self.random.below(2 * jitter + 1) };
        let delay = self.options.delay.as_nanos().saturating_sub(self.options.jitter.as_nanos());
        let latest = self.latest.get(&(from, to)).copied().unwrap_or(Instant::ZERO);
        let mut at = (passed + Duration::from_nanos(delay + jitter)).max(latest);
        if self.happens(self.options.reorder) {
            at += HELD_BACK;
        } else {
            self.latest.insert((from, to), at);
        }
        self.sequence += 1;
        self.under_way.insert((at, self.sequence), (to, frame));
    }

    /// The next frame that has arrived, and for whom.
    pub fn pop(&mut self, now: Instant) -> Option<(u8, Vec<u8>)> {
        let first = self.under_way.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(first.remove())
    }

    /// When the next one arrives.
    pub fn deadline(&self) -> Instant {
        self.under_way.first_key_value().map_or(Instant::NEVER, |(key, _)| key.0)
    }

    fn happens(&mut self, per_mille: u16) -> bool {
        per_mille > 0 && !self.healed && self.random.below(1000) < u64::from(per_mille)
    }
}
