//! How long segments may be (RFC 4821, RFC 8899): once something made them shorter than both ends
//! would take, longer ones are tried, with data that is to be sent anyway. One that is lost says
//! something of its length, and nothing of congestion.
//!
//! What is known lies between two bounds: what passes, `mss`, and the longest that may pass,
//! `mss_high`; each try lies halfway. When the bounds meet, nothing is tried for ten minutes, and
//! then all again, what both ends agreed on first: the path may have become another.

use crate::output::{Busy, take_packet};
use crate::queue::{Data, NIL, mark};
use crate::state::{Conn, Env, flag};
use waitless::IpPort;

/// Bounds that lie closer than this have met.
const STEP: u16 = 16;
//= RFC 8899 5.1.2: MAX_PROBES is 3
const TRIES: u8 = 3;
//= RFC 8899 5.1.1: the PMTU_RAISE_TIMER is ten minutes, in seconds
const RAISE_AFTER: u32 = 600;
/// Segments that must follow a probe at once, so that its loss is noticed without a timeout.
const FOLLOWERS: u32 = 3;

impl Conn {
    /// Segments are shorter from now on. Up to `high` bytes may still pass.
    #[cold]
    pub fn shorten(&mut self, env: &Env, mss: u16, high: u16) {
        self.mss = mss;
        self.mss_high = high.max(mss);
        self.probe_tries = 0;
        self.shrunk_at = env.seconds();
        // Without ranges, a lost probe could not be told from other losses.
        if env.config.probing && self.flags.has(flag::SACK) {
            self.flags.set(flag::SHORT);
        }
    }

    /// A router takes no more than `mss` bytes of a probe: nothing longer needs to be tried.
    //= RFC 8899 4.6.2: a message that names a size between what passes and the probe's bounds it
    pub fn bound_search(&mut self, mss: u16) {
        if self.flags.has(flag::SOUNDING) && mss >= self.mss && mss < self.mss_high {
            self.mss_high = mss;
            self.probe_tries = 0;
        }
    }

    /// Sends a longer segment than is known to pass, if it is time for that and there is enough to
    /// send. Whether nothing else is to be sent until the window has room for it.
    #[cold]
    pub fn search<I: IpPort>(
        &mut self,
        ip: &mut I,
        env: &mut Env,
        budget: &mut usize,
    ) -> Result<bool, Busy> {
        if self.flags.has(flag::SOUNDING | flag::TROUBLE | flag::PERSIST) || *budget == 0 {
            return Ok(false);
        }
        // What both ends agreed on is tried as often as anything, however near it is.
        if self.mss_high - self.mss < STEP && self.mss_high != self.mss_full {
            if env.seconds().wrapping_sub(self.shrunk_at) < RAISE_AFTER {
                return Ok(false);
            }
            (self.mss_high, self.probe_tries) = (self.mss_full, 0);
            // So that who says now how much passes ends this search, too.
            self.shrunk_at = env.seconds();
        }
        let size = self.candidate();
        let (long, follow) = (u32::from(size), FOLLOWERS * u32::from(self.mss));
        let enough = self.unacknowledged() >= self.flight() + long + follow
            && long + follow <= self.congestion.window().min(self.window);
        if !enough {
            return Ok(false);
        }
        if self.pipe() + long > self.congestion.window() || self.flight() + long > self.window {
            // What is under way makes room when it is acknowledged.
            return Ok(self.pipe() > 0);
        }
        if !self.gather(env, size) {
            return Ok(false);
        }
        let id = self.cursor;
        self.send_next_rarely(ip, env, budget, long)?;
        env.nodes.get_mut(id).marks |= mark::PROBE;
        self.flags.set(flag::SOUNDING);
        env.counters.length_probes.add(1);
        Ok(false)
    }

    /// The length to try: first what both ends agreed on, then what lies halfway.
    //= RFC 8899 5.3.2: any search that ends will do
    fn candidate(&self) -> u16 {
        match self.mss_high == self.mss_full {
            true => self.mss_full,
            false => self.mss + (self.mss_high - self.mss).div_ceil(2),
        }
    }

    /// A probe has arrived: segments may be as long.
    //= RFC 4821 7.6.1: then the search goes on above it
    #[cold]
    pub fn probe_arrived(&mut self, env: &mut Env, length: u16) {
        self.flags.clear(flag::SOUNDING);
        self.probe_tries = 0;
        if length <= self.mss || length > self.mss_full {
            return;
        }
        env.counters.lengthened.add(1);
        self.mss = length;
        self.mss_high = self.mss_high.max(length);
        self.shrunk_at = env.seconds();
        if self.mss == self.mss_full {
            self.flags.clear(flag::SHORT);
        }
    }

    /// A probe was lost.
    //= RFC 4821 7.6.2: after some tries, for its length
    #[cold]
    pub fn probe_lost(&mut self, env: &Env, length: u16) {
        self.flags.clear(flag::SOUNDING);
        self.probe_tries += 1;
        if self.probe_tries >= TRIES && length > self.mss {
            self.probe_tries = 0;
            self.mss_high = self.mss_high.min(length - 1);
            self.shrunk_at = env.seconds();
        }
    }

    /// Makes the packet at the cursor `size` bytes long, with what follows it. Whether it is.
    fn gather(&mut self, env: &mut Env, size: u16) -> bool {
        let (mut id, mut have) = (self.cursor, 0);
        // Ends: the queue's length is limited, and a probe is a few packets at most.
        while have < size {
            // Not the last one, which a service may be writing into.
            if id == NIL || id == self.send.tail {
                return false;
            }
            have = have.saturating_add(env.nodes.get(id).len);
            id = env.nodes.next(id);
        }
        let id = self.cursor;
        let Ok(mut packet) = take_packet(env, id) else { return false };
        // Ends: each turn takes something of what was counted above.
        while packet.len() < usize::from(size) {
            let next = env.nodes.next(id);
            let node = env.nodes.get_mut(next);
            let Data::Packet(more) = &mut node.data else { break };
            let count = (usize::from(size) - packet.len()).min(usize::from(node.len));
            let piece = more.bytes().get(..count).unwrap_or_default();
            if piece.is_empty() || packet.append(piece).is_err() {
                break;
            }
            more.trim_front(count);
            node.seq = node.seq + count as u32;
            node.len -= count as u16;
            if node.len == 0 {
                env.nodes.pop_after(&mut self.send, id);
                drop(env.nodes.remove(next));
            }
        }
        let node = env.nodes.get_mut(id);
        node.len = packet.len() as u16;
        let done = node.len >= size && node.seq == self.next;
        node.data = Data::Packet(packet);
        done
    }
}
