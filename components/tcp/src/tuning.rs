//! Buffers that tune themselves: as large as the path needs, as small as it can do with.
//!
//! A window is a promise, not memory: packets are held only for what has arrived and was not
//! read, or was sent and not acknowledged. What all connections hold together is limited in
//! `queue.rs`; here one connection's share is.

use crate::state::{Conn, Env, PACKET, flag};

/// What a connection may queue to send at least.
const SEND_START: u32 = 64 << 10;
/// Payload bytes that a packet holds, roughly.
const PAYLOAD: u64 = 1_400;

/// The most bytes of one connection when the manifest allows `configured` and all connections
/// together have `packets`: half of one direction's memory.
pub fn most(configured: u64, packets: usize) -> u32 {
    let share = packets as u64 / 4 * PAYLOAD;
    configured.min(share.max(2 * PAYLOAD)).min(1 << 30) as u32
}

impl Conn {
    /// How many bytes may be queued or unacknowledged: two congestion windows, so that there is
    /// always something to send, as far as there is memory.
    #[inline]
    pub fn send_limit(&self, env: &Env) -> u32 {
        env.send_limit().min((2 * self.congestion.window()).max(SEND_START))
    }

    /// How many more bytes that are.
    #[inline]
    pub fn send_room(&self, env: &Env) -> u32 {
        let unacknowledged = self.unacknowledged();
        match self.send_limit(env) {
            // A whole packet or none, not what is missing of one.
            PACKET if unacknowledged > 0 && env.send_max > PACKET => 0,
            limit => limit.saturating_sub(unacknowledged),
        }
    }

    /// Text has arrived: looks once a round trip whether the window should be larger.
    #[inline]
    pub fn tune(&mut self, env: &Env) {
        if self.buffer < env.receive_max
            && env.micros.wrapping_sub(self.tuned_at) >= self.rtt.smoothed_micros()
        {
            self.grow_buffer(env);
        }
    }

    /// A sender in slow start sends twice as much in each round trip, and what it sends next is
    /// under way while this is being measured: so four times what the service has read.
    #[cold]
    fn grow_buffer(&mut self, env: &Env) {
        let read = self.expected - self.waiting;
        let wanted = read.since(self.tuned).saturating_mul(4);
        if wanted > self.buffer && env.nodes.is_relaxed(crate::queue::Side::Receive) {
            self.buffer = wanted.min(env.receive_max);
        }
        (self.tuned, self.tuned_at) = (read, env.micros);
    }

    /// Segments of this length have been lost so often that something on the path drops them
    /// for their length, and does not say so.
    //= RFC 4821 7.7, RFC 8899 4.3: a black hole is left by shorter segments
    #[cold]
    pub fn suspect_black_hole(&mut self, env: &mut Env) {
        let mtu = match self.rtt.backoff() {
            3 => BASE,
            5 => FLOOR,
            _ => return,
        };
        let options = if self.flags.has(flag::STAMPS) { crate::state::STAMPS_LENGTH } else { 0 };
        let mss = crate::state::segment_limit(self.tuple.remote, mtu) - options;
        let longest = env.nodes.first(&self.send).map_or(0, |node| node.len);
        if mss < self.mss && longest > mss {
            env.counters.black_holes.add(1);
            self.shorten(env, mss, self.mss - 1);
            self.lose_what_is_long(env);
        }
    }

    /// Tries long segments again some time after they became shorter, where the path is not
    /// searched.
    //= RFC 1191 6.3: not sooner than ten minutes after
    #[inline]
    pub fn lengthen_segments(&mut self, env: &Env) {
        if self.mss != self.mss_full
            && !self.flags.has(flag::SHORT)
            && env.seconds().wrapping_sub(self.shrunk_at) >= 600
        {
            self.mss = self.mss_full;
        }
    }
}

//= RFC 8899 5.1.2: BASE_PLPMTU
const BASE: u16 = 1_200;
/// What every path of today takes.
const FLOOR: u16 = 552;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_connection_gets_half_of_what_there_is_at_most() {
        assert_eq!(most(16 << 20, 100_000), 16 << 20);
        assert_eq!(most(16 << 20, 4_000), 1_400_000);
        assert_eq!(most(4_000, 4_000), 4_000);
        assert_eq!(most(16 << 20, 0), 2_800);
    }
}
