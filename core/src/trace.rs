//! Where a core's time goes, instance by instance: in graphs with `trace = true` in `[app]`, and in
//! no others.
//!
//! The generated sweep reads the processor's counter before the first instance's turn and after
//! each, so that a reading is the end of one turn and the start of the next. It costs a few dozen
//! cycles for each instance, both ways, and those are counted as the instance's own.

use crate::CounterSet;
use crate::counter::Both;
use crate::device::cycles;
use alloc::boxed::Box;

crate::counters! {
    /// The time of one instance.
    pub struct Spent {
        /// Cycles in `receive`, by the time stamp counter; on 64-bit Arm, ticks of the timer.
        counter sweep_receive: cycles,
        /// Cycles in `transmit`, by the time stamp counter; on 64-bit Arm, ticks of the timer.
        counter sweep_transmit: cycles,
    }
}

crate::counters! {
    /// The time of the loop itself.
    pub struct Between {
        /// Cycles between sweeps: of sleep, and of what the platform does.
        counter between: cycles,
        /// Sweeps.
        counter sweeps: sweeps,
    }
}

/// Takes the time of `N` instances in each sweep. A part of a generated graph.
pub struct Stopwatch<const N: usize> {
    last: u64,
    spent: [&'static Spent; N],
    between: &'static Between,
}

impl<const N: usize> Stopwatch<N> {
    /// One that has counted nothing.
    pub fn new() -> Self {
        let spent = core::array::from_fn(|_| Spent::leak());
        Self { last: cycles(), spent, between: Between::leak() }
    }

    /// A sweep begins.
    #[inline]
    pub fn start(&mut self) {
        let time = self.lap();
        self.between.between.add(time);
        self.between.sweeps.add(1);
    }

    /// The instance at `index` has received.
    #[inline]
    pub fn received(&mut self, index: usize) {
        let time = self.lap();
        if let Some(spent) = self.spent.get(index) {
            spent.sweep_receive.add(time);
        }
    }

    /// The instance at `index` has transmitted.
    #[inline]
    pub fn transmitted(&mut self, index: usize) {
        let time = self.lap();
        if let Some(spent) = self.spent.get(index) {
            spent.sweep_transmit.add(time);
        }
    }

    /// The counters of the instance at `index`, its own and its time. Called once for each.
    pub fn with(&self, index: usize, own: &'static dyn CounterSet) -> &'static dyn CounterSet {
        match self.spent.get(index) {
            Some(spent) => Box::leak(Box::new(Both(own, *spent))),
            None => own,
        }
    }

    /// The counters of the loop itself.
    pub fn between(&self) -> &'static dyn CounterSet {
        self.between
    }

    /// Cycles since the last reading. None when the counter went back: a thread may have moved to a
    /// processor whose counter is behind.
    #[inline]
    fn lap(&mut self) -> u64 {
        let now = cycles();
        let time = now.saturating_sub(self.last);
        self.last = now;
        time
    }
}

impl<const N: usize> Default for Stopwatch<N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cycle_belongs_to_somebody() {
        let mut watch = Stopwatch::<2>::new();
        let first = watch.last;
        for _ in 0..100 {
            watch.start();
            watch.received(0);
            watch.received(1);
            watch.transmitted(1);
            watch.transmitted(0);
        }
        let sets = [watch.with(0, &()), watch.with(1, &())];
        assert_eq!(sets.map(CounterSet::count), [2, 2]);
        let sums = sets.map(|set| {
            let value = |index| set.metric(index).map_or(0, |metric| metric.value);
            (value(0), value(1))
        });
        let between = watch.between();
        assert_eq!(between.metric(1).map(|metric| metric.value), Some(100));
        let between = between.metric(0).map_or(0, |metric| metric.value);
        let all = sums.iter().fold(between, |all, (up, down)| all + up + down);
        assert!(sums.iter().all(|(up, down)| *up > 0 && *down > 0), "{sums:?}");
        assert!(all >= watch.last - first, "{all} of {}", watch.last - first);
    }

    #[test]
    fn an_instance_keeps_its_own_counters() {
        crate::counters! {
            struct Own {
                /// Ours.
                counter own: packets,
            }
        }
        let own = Own::leak();
        own.own.add(7);
        let watch = Stopwatch::<1>::new();
        let names = |set: &'static dyn CounterSet| {
            (0..set.count()).filter_map(|at| set.metric(at)).map(|metric| metric.name).collect()
        };
        let all: alloc::vec::Vec<_> = names(watch.with(0, own));
        assert_eq!(all, ["own", "sweep_receive", "sweep_transmit"]);
        let none: alloc::vec::Vec<_> = names(watch.with(1, own));
        assert_eq!(none, ["own"]);
    }
}
