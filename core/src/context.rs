//! What a component is lent beside its neighbour: time, randomness, packets, the log.

use crate::device::Platform;
use crate::log::{Level, Log};
use crate::{Instant, Packet, Pool, Random, System};

/// One core's surroundings. Components hold no statics: whatever is not their own or their
/// neighbour's reaches them through this.
pub struct Context {
    now: Instant,
    core: usize,
    pool: Pool,
    /// Random numbers. Deterministic under test.
    pub random: Random,
    log: Log,
    platform: &'static dyn Platform,
    system: &'static System,
}

impl Context {
    /// What core number `core` lends to its components. Made by a platform or a test.
    pub fn new(
        core: usize,
        pool: Pool,
        random: Random,
        log: Log,
        platform: &'static dyn Platform,
        system: &'static System,
    ) -> Self {
        Self { now: Instant::ZERO, core, pool, random, log, platform, system }
    }

    /// The time at the start of this sweep. It does not move within one.
    #[inline]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Sets the time, which never goes back. Called by the platform before each sweep.
    #[inline]
    pub fn set_now(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// This core's number.
    pub fn core(&self) -> usize {
        self.core
    }

    /// This core's packets. The handle may be kept.
    #[inline]
    pub fn pool(&self) -> Pool {
        self.pool
    }

    /// An empty packet; `None`, counted, when all are in use.
    #[inline]
    pub fn packet(&self) -> Option<Packet> {
        self.pool.packet()
    }

    /// Seconds since 1970-01-01 00:00 UTC, where the platform knows.
    pub fn wall_clock(&self) -> Option<u64> {
        self.platform.wall_clock(self.now)
    }

    /// The hardware or host below, for the lowest components at start-up.
    pub fn platform(&self) -> &'static dyn Platform {
        self.platform
    }

    /// The image as a whole: its graph and the counters of its instances.
    pub fn system(&self) -> &'static System {
        self.system
    }

    /// Whether a message of `level` would be written.
    #[inline]
    pub fn logs(&self, level: Level) -> bool {
        level <= self.log.level()
    }

    /// The log, for a component that must say why a port's method, which is lent no context,
    /// failed.
    pub fn log(&self) -> Log {
        self.log
    }

    /// Writes a message. Use [`info!`](crate::info) and its siblings.
    #[cold]
    pub fn write_log(&self, level: Level, target: &'static str, text: core::fmt::Arguments<'_>) {
        self.log.write(self.now, level, target, text);
    }
}
