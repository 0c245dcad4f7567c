//! A task's waker: a pointer to the task's place, which lives as long as the image.
//!
//! One of the module's two files with `unsafe`, and this is the whole argument for it: the data
//! pointer of a waker with `VTABLE` was made from a `&'static Task` by `Task::leak`, because the
//! table is private to this file and nothing else here hands it out. So it is valid for ever;
//! nothing is counted and nothing is freed. Wakers may be cloned and sent to other threads, tasks
//! may not: so `Task::current` answers only to the one waker that stands in the task itself, by
//! its address, which [`Tasks`](super::Tasks) polls with. (Its one loophole: a poll that lends
//! its context to a scoped thread which in turn polls futures of this module. Do not.)

#![allow(unsafe_code, reason = "a raw waker is the only way to find one's own task")]

use super::Scheduler;
use alloc::boxed::Box;
use core::cell::OnceCell;
use core::fmt;
use core::task::{Context, RawWaker, RawWakerVTable, Waker};

/// One task's place in its [`Scheduler`]. Who has it may wake the task from the same core.
pub struct Task {
    scheduler: &'static Scheduler,
    index: u32,
    waker: OnceCell<Waker>,
}

impl Task {
    /// The place number `index`, which lives as long as the image.
    pub(super) fn leak(scheduler: &'static Scheduler, index: u32) -> &'static Self {
        let task: &'static Self =
            Box::leak(Box::new(Self { scheduler, index, waker: OnceCell::new() }));
        let raw = RawWaker::new((&raw const *task).cast(), &VTABLE);
        // SAFETY: the table's functions keep the contract of `RawWaker`: they touch nothing but
        // what may be touched from any thread, and there is nothing to count or free.
        let _ = task.waker.set(unsafe { Waker::from_raw(raw) });
        task
    }

    /// The task that is being polled with `cx`; `None` when that is none of ours.
    #[inline]
    pub fn current(cx: &Context<'_>) -> Option<&'static Self> {
        let waker = cx.waker();
        if !core::ptr::eq(waker.vtable(), &VTABLE) {
            return None;
        }
        // SAFETY: a waker with this table has a `&'static Task` as its data; see the head of
        // the file. `waker` of a task is set before anybody else sees the task.
        let task = unsafe { &*waker.data().cast::<Self>() };
        task.waker.get().is_some_and(|own| core::ptr::eq(own, waker)).then_some(task)
    }

    /// The same for a primitive that cannot do without.
    ///
    /// # Panics
    /// When a future of this module is polled by something else than [`Tasks`](super::Tasks).
    #[inline]
    pub(crate) fn expect(cx: &Context<'_>) -> &'static Self {
        Self::current(cx).unwrap_or_else(|| panic!("this future must be polled by a Waitless task"))
    }

    /// Who keeps this task's timers and readiness.
    #[inline]
    pub fn scheduler(&self) -> &'static Scheduler {
        self.scheduler
    }

    /// The task's number.
    #[inline]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Has the task polled. For its own core; others go through a [`Waker`].
    #[inline]
    pub fn wake(&self) {
        self.scheduler.make_ready(self.index);
    }

    /// The context to poll this task with.
    #[inline]
    pub(super) fn context(&self) -> Context<'_> {
        Context::from_waker(self.waker.get().unwrap_or(Waker::noop()))
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("index", &self.index).finish_non_exhaustive()
    }
}

// A `static`, not a constant: its address is what tells our wakers from others.
static VTABLE: RawWakerVTable = RawWakerVTable::new(
    |data| RawWaker::new(data, &VTABLE),
    wake_from_anywhere,
    wake_from_anywhere,
    |_| {},
);

/// May run on any thread, at any time: reads the task's two fields, which never change, and sets
/// an atomic bit.
fn wake_from_anywhere(data: *const ()) {
    // SAFETY: as in `current`; what is used of the task and of its scheduler is immutable or
    // atomic, so that it does not matter which thread this is.
    let (remote, index) = unsafe {
        let task = data.cast::<Task>();
        ((*task).scheduler.remote(), (*task).index)
    };
    remote.wake(index);
}
