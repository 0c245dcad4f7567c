//! What cores have in common, and all ways from one to another.
//!
//! Each core builds the same graph from the same code and shares nothing with the others while it
//! sweeps, but what is here: rings of typed things with one sender and one receiver ([`ring()`]),
//! crossings of packets on top of them ([`crossing()`]), small values that one core publishes
//! ([`Published`]), and what is handed over at start-up ([`Once`], [`Slot`]).
//!
//! The first core builds its graph first. What its instances make with
//! [`Context::share`](crate::Context::share) is there for the others when they build theirs.
//!
//! # Sleep
//!
//! A core about to sleep says so ([`Cores::falls_asleep`]) and then looks at everything once more
//! ([`Component::arm`](crate::Component::arm)). A core that has sent something looks whether the
//! other sleeps ([`Cores::sleepers`]). Each puts a full barrier between its store and its
//! look, so at least one of the two sees the other: the sleeper sees what was sent, or the sender
//! sees the sleeper and interrupts it. An interrupt that comes before the core has halted stays
//! pending, and ends the halt at once.

mod crossing;
pub mod flow;
mod once;
mod published;
mod ring;
mod steering;
#[cfg(test)]
mod tests;

pub use crossing::{Inlet, Outlet, crossing};
pub use once::{Once, Slot};
pub use published::Published;
pub use ring::{Receiver, Sender, ring};
pub use steering::{Pin, Steering, SteeringCounters};

use crate::device::full_barrier;
use crate::{CounterSet, Instant, Protocol};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::any::Any;
use core::fmt;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use flow::FLOWS;

/// The most cores of an image: as many as a set of them in one word holds.
pub const CORES_MAX: usize = 64;

/// All cores of an image.
pub struct Cores {
    states: Box<[State]>,
    /// The core of each flow.
    homes: [u8; FLOWS],
    shared: Shared,
    /// Whether all are to end.
    ending: AtomicBool,
    /// Whether nothing is to cross cores any more.
    closing: AtomicBool,
    /// How many have reached each stage of the end.
    reached: [AtomicUsize; 3],
    /// When the cores' clock began, in nanoseconds since 1970; 0 when nobody has set it.
    began: AtomicU64,
}

/// How far a core's end has come. All reach one before any goes to the next: only so is each core
/// given back what is its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// It sends nothing across any more.
    Closed,
    /// It has taken what had come to it, and given buffers back for that.
    Settled,
    /// Its graph is gone.
    Ended,
}

/// What other cores see of one.
#[derive(Default)]
#[repr(align(64))]
struct State {
    /// `AWAKE`, `ASLEEP` or `HUNGRY`.
    sleep: AtomicU8,
    counters: Once<Counters>,
}

/// The counters of a core's instances, by the instances' names.
type Counters = Vec<(&'static str, &'static dyn CounterSet)>;

const AWAKE: u8 = 0;
const ASLEEP: u8 = 1;
/// Asleep, and short of packets: to get some back is a reason to wake up.
const HUNGRY: u8 = 2;

impl Cores {
    /// `count` cores, at least 1 and at most [`CORES_MAX`].
    pub fn new(count: usize) -> Self {
        let count = count.clamp(1, CORES_MAX);
        Self {
            states: (0..count).map(|_| State::default()).collect(),
            homes: core::array::from_fn(|flow| (flow % count) as u8),
            shared: Shared::default(),
            ending: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            reached: Default::default(),
            began: AtomicU64::new(0),
        }
    }

    /// Asks all cores to end. Who asks wakes those that sleep.
    pub fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// Whether all cores are to end: nothing new is begun any more.
    #[inline]
    pub fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    /// From now on nothing crosses cores. What is under way arrives, and buffers go back.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// Whether what would cross cores is to be dropped.
    #[inline]
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// This core has reached `stage`. Called by the platform, once on each core.
    pub fn reach(&self, stage: Stage) {
        self.reached[stage as usize].fetch_add(1, Ordering::AcqRel);
    }

    /// Whether all cores have reached `stage`; what they did before is seen here.
    pub fn have_reached(&self, stage: Stage) -> bool {
        self.reached[stage as usize].load(Ordering::Acquire) >= self.count()
    }

    /// Nanoseconds since 1970-01-01 00:00 UTC at `now`, where somebody has set the clock.
    pub(crate) fn wall_clock(&self, now: Instant) -> Option<u64> {
        match self.began.load(Ordering::Relaxed) {
            0 => None,
            began => Some(began.saturating_add(now.as_nanos())),
        }
    }

    /// Sets the clock of all cores: it is `nanos` at `now`.
    pub(crate) fn set_wall_clock(&self, nanos: u64, now: Instant) {
        self.began.store(nanos.saturating_sub(now.as_nanos()), Ordering::Relaxed);
    }

    /// How many there are.
    #[inline]
    pub fn count(&self) -> usize {
        self.states.len()
    }

    /// The core that the flow numbered `flow` belongs to; see [`flow::flow`].
    #[inline]
    pub fn home(&self, flow: u8) -> usize {
        self.homes.get(usize::from(flow)).map_or(0, |home| usize::from(*home))
    }

    /// `core` will look at everything once more, and sleep if there is nothing.
    pub fn falls_asleep(&self, core: usize) {
        let Some(state) = self.states.get(core) else { return };
        state.sleep.store(ASLEEP, Ordering::Relaxed);
        full_barrier();
    }

    /// The same, for a core that also wants to be woken when packets come back to it.
    pub fn falls_asleep_hungry(&self, core: usize) {
        let Some(state) = self.states.get(core) else { return };
        state.sleep.store(HUNGRY, Ordering::Relaxed);
        full_barrier();
    }

    /// `core` is awake.
    #[inline]
    pub fn wakes(&self, core: usize) {
        if let Some(state) = self.states.get(core) {
            state.sleep.store(AWAKE, Ordering::Relaxed);
        }
    }

    /// Which of `sent` (bit n for core n), to whom something was sent, and of `returned`, to whom
    /// packets were given back, sleep and must be interrupted by the caller, who is the only one
    /// that was told to.
    #[inline]
    pub fn sleepers(&self, sent: u64, returned: u64) -> u64 {
        if sent | returned == 0 {
            return 0;
        }
        full_barrier();
        let mut sleepers = 0;
        let mut left = sent | returned;
        while left != 0 {
            let core = left.trailing_zeros() as usize;
            left &= left - 1;
            let Some(state) = self.states.get(core) else { break };
            let bit = 1 << core;
            let wanted = match state.sleep.load(Ordering::Relaxed) {
                AWAKE => false,
                ASLEEP => sent & bit != 0,
                _ => true,
            };
            // Just one of those who see the sleeper wakes it.
            if wanted && state.sleep.swap(AWAKE, Ordering::Relaxed) != AWAKE {
                sleepers |= bit;
            }
        }
        sleepers
    }

    /// Makes the counters of `core` known to all.
    pub(crate) fn publish(&self, core: usize, counters: Counters) {
        if let Some(state) = self.states.get(core) {
            // A core has one graph: it does this once.
            let _ = state.counters.set(counters);
        }
    }

    /// The counters at `index` of each core that has published, with the core's number.
    pub(crate) fn counters(
        &self,
        index: usize,
    ) -> impl Iterator<Item = (usize, &'static dyn CounterSet)> {
        self.states.iter().enumerate().filter_map(move |(core, state)| {
            let (_, set) = state.counters.get()?.get(index)?;
            Some((core, *set))
        })
    }

    /// The `number`th thing of the type `T` that was shared, or `make` as that; see
    /// [`Context::share`](crate::Context::share).
    pub(crate) fn share<T: Any + Send + Sync>(
        &self,
        number: usize,
        make: impl FnOnce() -> T,
    ) -> &'static T {
        let mut before = 0;
        let mut at = &self.shared;
        while let Some(node) = at.0.get() {
            if let Some(value) = node.value.downcast_ref::<T>() {
                if before == number {
                    return value;
                }
                before += 1;
            }
            at = &node.next;
        }
        let value: &'static T = Box::leak(Box::new(make()));
        // The first core has built its graph before another begins, so nobody was faster.
        let _ = at.0.set(Node { value, next: Shared::default() });
        value
    }
}

/// Which flows belong to a core.
#[derive(Clone, Copy, Debug)]
pub struct Home {
    cores: &'static Cores,
    core: usize,
    pins: &'static [Pin],
}

impl Home {
    /// Those of `core`, one of `cores`, but for the services that are pinned.
    pub const fn new(cores: &'static Cores, core: usize, pins: &'static [Pin]) -> Self {
        Self { cores, core, pins }
    }

    /// The core of the flow numbered `flow`, of which packets of `protocol` are sent to `port` of
    /// this host.
    #[inline]
    pub fn of(&self, flow: u8, protocol: Protocol, port: u16) -> usize {
        let pin = self.pins.iter().find(|pin| (pin.port, pin.protocol) == (port, protocol));
        // The last core, where there are fewer than the manifest says.
        pin.map_or_else(|| self.cores.home(flow), |pin| pin.core.min(self.cores.count() - 1))
    }

    /// Whether what `remote` sends to `local` over `protocol` arrives at this core.
    pub fn has(&self, protocol: Protocol, local: SocketAddr, remote: SocketAddr) -> bool {
        let number = || flow::flow(local.ip(), local.port(), remote.ip(), remote.port());
        self.cores.count() == 1 || self.of(number(), protocol, local.port()) == self.core
    }
}

/// A list to which things are added at the end only.
#[derive(Default)]
struct Shared(Once<Node>);

struct Node {
    value: &'static (dyn Any + Send + Sync),
    next: Shared,
}

impl fmt::Debug for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cores").field("count", &self.count()).finish_non_exhaustive()
    }
}
