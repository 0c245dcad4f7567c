//! What belongs to one core.

use crate::{Arch, heap};
use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering};
use waitless::Instant;
use waitless::counter::{Counter, CounterSet, Kind, Metric};

/// One core's state. A register of the core points to it, so interrupt handlers find it.
#[repr(C)]
pub struct Core<A: Arch> {
    /// The architecture's own part, at offset 0.
    pub local: A::Local,
    /// Interrupts so far.
    pub interrupts: AtomicU64,
    /// Those of the timer.
    pub alarms: AtomicU64,
    /// The core's number, from 0.
    pub number: usize,
    /// When the timer will interrupt, and `alarms` when it was set.
    alarm: Cell<(Instant, u64)>,
    /// How often the core went to sleep.
    sleeps: Counter,
}

// SAFETY: what is not `Sync` of its own is reached through `Arch::core` only, so by one core:
// `alarm` here, and the registers of the architecture's part, which each core has its own of.
unsafe impl<A: Arch> Sync for Core<A> {}

impl<A: Arch> Core<A> {
    /// Core `number`, whose timer is off.
    pub fn new(number: usize, local: A::Local) -> Self {
        Self {
            local,
            interrupts: AtomicU64::new(0),
            alarms: AtomicU64::new(0),
            number,
            alarm: Cell::new((Instant::NEVER, 0)),
            sleeps: Counter::new(),
        }
    }

    /// Halts until an interrupt or `deadline`, which `now` is before. Interrupts are off before
    /// and after, so none can come between the last look at the devices and the halt: it stays
    /// pending and ends the halt at once.
    pub(crate) fn sleep(&self, now: Instant, deadline: Instant) {
        self.wake_at(now, deadline);
        self.sleeps.add(1);
        A::halt(self);
    }

    /// Interrupts the core at `deadline` at the latest, maybe once before.
    ///
    /// Setting the timer is slow where it is emulated, and deadlines mostly move away. So a timer
    /// that is set for earlier stays, and is set again when it was in vain.
    fn wake_at(&self, now: Instant, deadline: Instant) {
        let alarms = self.alarms.load(Ordering::Relaxed);
        let (alarm, seen) = self.alarm.get();
        if alarm > deadline || seen != alarms {
            let timer = (deadline != Instant::NEVER).then(|| deadline.as_nanos());
            A::set_timer(self, now.as_nanos(), timer);
            self.alarm.set((deadline, alarms));
        }
    }
}

impl<A: Arch> CounterSet for Core<A> {
    fn count(&self) -> usize {
        3
    }

    fn metric(&self, index: usize) -> Option<Metric> {
        let interrupts = self.interrupts.load(Ordering::Relaxed);
        let sleeps = self.sleeps.get();
        let memory = if self.number == 0 { heap::size() } else { 0 };
        let all = [
            ("interrupts", "interrupts", "Interrupts taken.", Kind::Counter, interrupts),
            ("sleeps", "sleeps", "Times there was nothing to do.", Kind::Counter, sleeps),
            // All cores' together, so the first one shows it.
            ("memory", "bytes", "Memory of all allocations.", Kind::Gauge, memory),
        ];
        let (name, unit, help, kind, value) = *all.get(index)?;
        Some(Metric { name, unit, help, kind, value })
    }
}
