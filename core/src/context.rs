//! What a component is lent beside its neighbour: time, randomness, packets, the log.

use crate::cores::{Cores, Home};
use crate::device::Platform;
use crate::log::{Level, Log};
use crate::{Instant, Packet, Pool, Random, System, boot};
use alloc::vec::Vec;
use core::any::{Any, TypeId};

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
    /// What was shared so far, to tell things of one type apart.
    shared: Vec<TypeId>,
}

/// Nanoseconds of a second.
const NANOS: u64 = 1_000_000_000;

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
        let shared = Vec::new();
        Self { now: Instant::ZERO, core, pool, random, log, platform, system, shared }
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

    /// Seconds since 1970-01-01 00:00 UTC, where somebody knows: who has
    /// [set](Self::set_wall_clock) the clock, or else the platform.
    pub fn wall_clock(&self) -> Option<u64> {
        match self.cores().wall_clock(self.now) {
            None => self.platform.wall_clock(self.now),
            Some(nanos) => Some(nanos / NANOS),
        }
    }

    /// The same in nanoseconds. What the platform knows are whole seconds.
    pub fn wall_nanos(&self) -> Option<u64> {
        let platform = || Some(self.platform.wall_clock(self.now)?.saturating_mul(NANOS));
        self.cores().wall_clock(self.now).or_else(platform)
    }

    /// Sets the clock of the whole image: it is `nanos` nanoseconds since 1970-01-01 00:00 UTC
    /// now. Called on one core only.
    pub fn set_wall_clock(&self, nanos: u64) {
        self.cores().set_wall_clock(nanos, self.now);
    }

    /// The hardware or host below, for the lowest components at start-up.
    pub fn platform(&self) -> &'static dyn Platform {
        self.platform
    }

    /// The image as a whole: its graph and the counters of its instances.
    pub fn system(&self) -> &'static System {
        self.system
    }

    /// All cores of the image.
    #[inline]
    pub fn cores(&self) -> &'static Cores {
        self.system.cores()
    }

    /// The flows that belong to this core. For `new`.
    pub fn home(&self) -> Home {
        Home::new(self.cores(), self.core, boot::pins(self, self.system.image().pins))
    }

    /// Something that the instance on each core has in common: what the first core made here, of
    /// which the others ask for as many as it did, in the same order. For `new` and `init`.
    ///
    /// A core that asks for more than the first core made gets one of its own.
    pub fn share<T: Any + Send + Sync>(&mut self, make: impl FnOnce() -> T) -> &'static T {
        let kind = TypeId::of::<T>();
        let number = self.shared.iter().filter(|shared| **shared == kind).count();
        self.shared.push(kind);
        self.cores().share(number, make)
    }

    /// Wakes those of the cores `sent` (bit n for core n) that sleep, because something was sent
    /// to them, and of `returned` those that wait for packets of theirs.
    #[inline]
    pub fn wake(&self, sent: u64, returned: u64) {
        let sleepers = self.cores().sleepers(sent, returned);
        if sleepers != 0 {
            self.interrupt(sleepers);
        }
    }

    /// Interrupts the cores `sleepers`. Apart from [`wake`](Self::wake), so that the one call
    /// through the platform has a name of its own.
    #[cold]
    #[inline(never)]
    fn interrupt(&self, mut sleepers: u64) {
        while sleepers != 0 {
            self.platform.wake(sleepers.trailing_zeros() as usize);
            sleepers &= sleepers - 1;
        }
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
