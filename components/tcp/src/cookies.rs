//! SYN cookies (RFC 4987 section 3.6) and half-open connections by source: a flood of SYNs costs
//! no memory, and who is not part of it still gets through.
//!
//! When too many connections are half open, or too many of them from about the same place, a
//! SYN is answered without keeping anything. What must be known later stands in the answer: the
//! initial sequence number is the time in 64 seconds, the segment size as one of eight, and a
//! keyed hash of both, the ends and the other side's number; and the low bits of the timestamp,
//! which comes back as an echo, are the other options. A lost answer is not sent again; the other
//! side sends its SYN again.

use crate::Tcp;
use crate::secret::Secret;
use crate::seq::Seq;
use crate::state::{Conn, Env, State, flag, scale_for, segment_limit};
use crate::table::Tuple;
use crate::wire::{Flags, Options, Segment, Stamps};
use core::net::IpAddr;
use waitless::{Instant, IpPort, Packet};

/// The segment sizes that a cookie can say.
const SIZES: [u16; 8] = [48, 256, 536, 1_024, 1_220, 1_360, 1_440, 1_460];
/// Seconds for which time stands still in a cookie. One is good for two of these at most.
const SLOT: u64 = 64;
/// The bits of a timestamp that say something: the scale, ranges understood, a scale at all.
const SAYS: u32 = 0x3f;
const RANGES: u32 = 1 << 4;
const SCALED: u32 = 1 << 5;

/// Half-open connections by source, roughly: each source counts in one of many places.
pub struct Pressure {
    sources: [u16; PLACES],
    /// Until when cookies are looked for in acknowledgements.
    until: Instant,
}

const PLACES: usize = 256;
/// Half-open connections that any network may have.
const SHARE_MIN: u64 = 16;

impl Pressure {
    /// None.
    pub fn new() -> Self {
        Self { sources: [0; PLACES], until: Instant::ZERO }
    }

    /// One more from `place`, or one less.
    pub fn count(&mut self, place: usize, more: bool) {
        if let Some(count) = self.sources.get_mut(place % PLACES) {
            *count = if more { count.saturating_add(1) } else { count.saturating_sub(1) };
        }
    }

    fn at(&self, place: usize) -> u32 {
        self.sources.get(place % PLACES).map_or(0, |&count| u32::from(count))
    }
}

/// The initial sequence number that says all that must be known of a SYN.
//= RFC 4987 3.6: it is a function of what the acknowledgement brings back, and of a secret
fn cookie(secret: &Secret, tuple: &Tuple, theirs: Seq, slot: u64, size: usize) -> Seq {
    let plain = (slot as u32 & 31) << 27 | (size as u32) << 24;
    Seq(plain | secret.cookie(tuple, theirs, slot, size as u8) & 0xff_ffff)
}

/// The index of the largest size that is not above `mss`.
fn size_for(mss: u16) -> usize {
    SIZES.iter().rposition(|&size| size <= mss).unwrap_or(0)
}

impl Tcp {
    /// Whether a SYN from `remote` is to be answered with a cookie.
    pub(crate) fn is_pressed(&self, remote: IpAddr) -> bool {
        let half_open = self.env.counters.half_open.get();
        let backlog = u64::from(self.env.config.backlog);
        //= RFC 4987 3.6: only under pressure, as cookies say less than a SYN
        // One network may have a quarter of what is half open, once it begins to matter.
        let share = (backlog / 4).max(SHARE_MIN);
        let greedy = half_open >= backlog / 2
            && u64::from(self.pressure.at(self.secret.place(remote))) >= share;
        half_open >= backlog || greedy
    }

    /// Answers a SYN and keeps nothing of it.
    #[cold]
    pub(crate) fn answer_with_cookie(
        &mut self,
        tuple: &Tuple,
        segment: &Segment,
        mtu: u16,
        packet: Packet,
    ) {
        let theirs = segment.options;
        let slot = self.slot();
        let wanted = theirs.mss.max(crate::state::MSS_MIN);
        let wanted = if theirs.mss == 0 { 536 } else { wanted };
        let stamps = theirs.stamps.filter(|_| self.env.config.timestamps);
        let scale = theirs.scale.filter(|_| stamps.is_some());
        let ranges = theirs.sack_permitted && stamps.is_some();
        let says = scale.map_or(0, |scale| u32::from(scale.min(14)) | SCALED)
            | if ranges { RANGES } else { 0 };
        // A clock that is a little slow is better than one that runs ahead of itself.
        let clock = self.env.millis.wrapping_add(self.secret.stamp_offset(tuple));
        let value = (clock.wrapping_sub(SAYS + 1) & !SAYS) | says;
        let answer = Segment {
            source: tuple.local_port,
            destination: tuple.remote_port,
            seq: cookie(&self.secret, tuple, segment.seq, slot, size_for(wanted)),
            ack: segment.seq + 1,
            flags: Flags::SYN.and(Flags::ACK),
            window: self.env.receive_max.min(u32::from(u16::MAX)) as u16,
            options: Options {
                mss: segment_limit(tuple.remote, mtu),
                scale: scale.map(|_| scale_for(self.env.config.receive_buffer)),
                sack_permitted: ranges,
                stamps: stamps.map(|stamps| Stamps { value, echo: stamps.value }),
                sacks: 0,
            },
            ..Segment::default()
        };
        self.env.counters.cookies_sent.add(1);
        self.pressure.until = self.env.now + waitless::Duration::from_secs(2 * SLOT);
        self.answer(tuple, &answer, packet);
    }

    /// The connection that an acknowledgement opens by the cookie that it brings back.
    #[cold]
    pub(crate) fn redeem_cookie<I: IpPort>(
        &mut self,
        ip: &mut I,
        tuple: &Tuple,
        service: u16,
        segment: &Segment,
    ) -> Option<Conn> {
        let plain = segment.flags.any(Flags::ACK) && !segment.flags.any(Flags::SYN);
        if !plain || self.env.now >= self.pressure.until {
            return None;
        }
        let (ours, theirs) = (segment.ack - 1, segment.seq - 1);
        let size = (ours.0 >> 24 & 7) as usize;
        let now = self.slot();
        let fits = |slot: u64| cookie(&self.secret, tuple, theirs, slot, size) == ours;
        if !fits(now) && !fits(now.saturating_sub(1)) {
            self.env.counters.cookies_refused.add(1);
            return None;
        }
        let mut conn = Conn::new(*tuple, State::SynReceived, service, &self.env);
        conn.stamp_offset = self.secret.stamp_offset(tuple);
        conn.begin(ours, ip.mtu(tuple.remote), &mut self.env.nodes);
        conn.agree(&remembered(&self.env, segment, theirs, size), &self.env);
        conn.next = ours + 1;
        conn.offered = conn.expected + u32::from(u16::MAX).min(self.env.receive_max);
        // The handshake's round trip is not known, but by an echo.
        conn.flags.set(flag::PASSIVE | flag::HASHED | flag::SYN_LOST);
        conn.measure_echo(&self.env, segment);
        conn.flags.clear(flag::SYN_DUE);
        self.env.counters.cookies_accepted.add(1);
        Some(conn)
    }

    fn slot(&self) -> u64 {
        self.env.now.as_nanos() / 1_000_000_000 / SLOT
    }
}

/// The SYN as the cookie remembers it.
fn remembered(env: &Env, segment: &Segment, theirs: Seq, size: usize) -> Segment {
    let stamps = segment.options.stamps.filter(|_| env.config.timestamps);
    let says = stamps.map_or(0, |stamps| stamps.echo);
    Segment {
        seq: theirs,
        window: segment.window,
        flags: Flags::SYN,
        options: Options {
            mss: SIZES.get(size).copied().unwrap_or(536),
            scale: (says & SCALED != 0).then_some((says & 15) as u8),
            sack_permitted: says & RANGES != 0,
            stamps,
            sacks: 0,
        },
        ..Segment::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_never_rounded_up() {
        for (mss, size) in
            [(0, 48), (48, 48), (535, 256), (536, 536), (1_459, 1_440), (9_000, 1_460)]
        {
            assert_eq!(SIZES[size_for(mss)], size, "{mss}");
        }
    }
}
