//! Which tasks are ready, and when timers fire.

use super::Task;
use super::time::Timers;
use crate::{Duration, Instant};
use alloc::boxed::Box;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The readiness and the timers of up to a fixed number of tasks, on one core.
pub struct Scheduler {
    now: Cell<Instant>,
    ready: Box<[Cell<u64>]>,
    ready_count: Cell<u32>,
    /// The word where the search for a ready task goes on, so that all get their turn.
    cursor: Cell<u32>,
    remote: Remote,
    timers: RefCell<Timers>,
}

/// Wake-ups that come through a [`Waker`](core::task::Waker), from whatever thread.
pub(super) struct Remote {
    any: AtomicBool,
    bits: Box<[AtomicU64]>,
}

impl Scheduler {
    /// A scheduler for the tasks 0 to `tasks` - 1, which lives as long as the image.
    pub fn leak(tasks: u32) -> &'static Self {
        let words = (tasks as usize).div_ceil(64);
        Box::leak(Box::new(Self {
            now: Cell::new(Instant::ZERO),
            ready: (0..words).map(|_| Cell::new(0)).collect(),
            ready_count: Cell::new(0),
            cursor: Cell::new(0),
            remote: Remote {
                any: AtomicBool::new(false),
                bits: (0..words).map(|_| AtomicU64::new(0)).collect(),
            },
            timers: RefCell::new(Timers::new()),
        }))
    }

    /// The time that tasks see.
    #[inline]
    pub fn now(&self) -> Instant {
        self.now.get()
    }

    /// Sets the time and makes ready whose timers fire, at most `limit` timers, and whom other
    /// threads have woken.
    #[inline]
    pub fn advance(&self, now: Instant, limit: usize) {
        self.now.set(now);
        if self.remote.any.load(Ordering::Relaxed) {
            self.collect_remote();
        }
        let mut timers = self.timers.borrow_mut();
        for _ in 0..limit {
            let Some(task) = timers.pop(now) else { break };
            task.wake();
        }
    }

    /// When [`advance`](Self::advance) must be called next, or [`Instant::ZERO`] when a task is
    /// ready.
    #[inline]
    pub fn deadline(&self) -> Instant {
        if self.ready_count.get() > 0 || self.remote.any.load(Ordering::Relaxed) {
            return Instant::ZERO;
        }
        self.timers.borrow().deadline()
    }

    /// How many tasks are ready.
    #[inline]
    pub fn ready(&self) -> u32 {
        self.ready_count.get()
    }

    /// Takes the next ready task, in turns.
    #[inline]
    pub fn next_ready(&self) -> Option<u32> {
        if self.ready_count.get() == 0 {
            return None;
        }
        // The usual case: the next one is in the word where the last one was.
        let cursor = self.cursor.get();
        let cell = self.ready.get(cursor as usize / 64)?;
        let bits = cell.get() & u64::MAX << (cursor % 64);
        if bits == 0 {
            return self.search();
        }
        Some(self.take(cursor / 64, bits.trailing_zeros(), cell))
    }

    #[inline]
    fn take(&self, word: u32, bit: u32, cell: &Cell<u64>) -> u32 {
        cell.set(cell.get() & !(1 << bit));
        self.ready_count.set(self.ready_count.get() - 1);
        let index = word * 64 + bit;
        let next = index + 1;
        self.cursor.set(if next >= self.ready.len() as u32 * 64 { 0 } else { next });
        index
    }

    fn search(&self) -> Option<u32> {
        let words = self.ready.len() as u32;
        // `cursor` counts tasks: the bits below it in its word come last, in a second visit.
        let cursor = self.cursor.get();
        let (first, below) = (cursor / 64, (1_u64 << (cursor % 64)) - 1);
        for step in 0..=words {
            let word = if first + step >= words { first + step - words } else { first + step };
            let cell = self.ready.get(word as usize)?;
            let mut bits = cell.get();
            if step == 0 {
                bits &= !below;
            }
            if bits != 0 {
                return Some(self.take(word, bits.trailing_zeros(), cell));
            }
        }
        None
    }

    /// Makes task `index` ready; does nothing for one that there is not.
    #[inline]
    pub fn make_ready(&self, index: u32) {
        let Some(cell) = self.ready.get(index as usize / 64) else { return };
        let bit = 1 << (index % 64);
        if cell.get() & bit == 0 {
            cell.set(cell.get() | bit);
            self.ready_count.set(self.ready_count.get() + 1);
        }
    }

    /// Takes task `index` off the ready ones.
    #[inline]
    pub(super) fn make_unready(&self, index: u32) {
        let Some(cell) = self.ready.get(index as usize / 64) else { return };
        let bit = 1 << (index % 64);
        if cell.get() & bit != 0 {
            cell.set(cell.get() & !bit);
            self.ready_count.set(self.ready_count.get() - 1);
        }
    }

    /// How many timers are armed.
    pub fn timers(&self) -> usize {
        self.timers.borrow().armed()
    }

    #[inline]
    pub(super) fn remote(&self) -> &Remote {
        &self.remote
    }

    pub(super) fn arm(&self, at: Instant, task: &'static Task) -> u32 {
        self.timers.borrow_mut().arm(at, task)
    }

    pub(super) fn has_fired(&self, timer: u32, task: &'static Task) -> bool {
        self.timers.borrow_mut().has_fired(timer, task)
    }

    pub(super) fn disarm(&self, timer: u32) {
        self.timers.borrow_mut().disarm(timer);
    }

    #[cold]
    fn collect_remote(&self) {
        // A swap, and one that acquires: the bits below are read after it, and it sees those of
        // all whose flag it takes back. A plain store could become visible only after them, and
        // would take back the flag of a wake-up whose bit was not seen.
        self.remote.any.swap(false, Ordering::AcqRel);
        for (word, bits) in (0_u32..).zip(&self.remote.bits) {
            // Acquire: what the waking thread did before is seen by the task that it woke.
            // Release: a bit that is set after this makes `any` true after it was made false.
            let mut bits = bits.swap(0, Ordering::AcqRel);
            while bits != 0 {
                self.make_ready(word * 64 + bits.trailing_zeros());
                bits &= bits - 1;
            }
        }
    }
}

impl Remote {
    pub(super) fn wake(&self, index: u32) {
        let Some(bits) = self.bits.get(index as usize / 64) else { return };
        bits.fetch_or(1 << (index % 64), Ordering::AcqRel);
        // A swap, so that whoever takes the flag back sees the bits of all who set it.
        self.any.swap(true, Ordering::AcqRel);
    }
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Scheduler");
        out.field("now", &self.now()).field("ready", &self.ready()).finish_non_exhaustive()
    }
}

/// How late a timer may fire.
pub(super) const GRANULARITY: Duration = Duration::from_micros(128);
