//! The futures themselves, each in a place of its own that is used again and again.

use super::room::{Filled, Place, Room};
use super::{Scheduler, Task};
use alloc::vec::Vec;
use core::fmt;
use core::task::Poll;

/// Futures of one type, by index. A place is allocated when it is first used and never moves;
/// after that, starting and ending a task allocates nothing.
pub struct Tasks<F> {
    scheduler: &'static Scheduler,
    places: Vec<(&'static Task, Place<F>)>,
    limit: u32,
}

impl<F: Future<Output = ()>> Tasks<F> {
    /// Room for up to `limit` tasks.
    pub fn new(limit: u32) -> Self {
        Self { scheduler: Scheduler::leak(limit), places: Vec::new(), limit }
    }

    /// Who keeps the tasks' timers and readiness.
    #[inline]
    pub fn scheduler(&self) -> &'static Scheduler {
        self.scheduler
    }

    /// How many tasks there may be.
    #[inline]
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// Makes one more place; `None` when there are as many as there may be.
    pub fn grow(&mut self) -> Option<&'static Task> {
        let index = u32::try_from(self.places.len()).ok().filter(|&index| index < self.limit)?;
        let task = Task::leak(self.scheduler, index);
        self.places.push((task, Place::new()));
        Some(task)
    }

    /// Starts `future` in place `index`, where none runs; it is polled when its turn comes.
    /// Does nothing when there is no such place.
    #[inline]
    pub fn start(&mut self, index: u32, future: F) {
        if let Some((_, place)) = self.places.get_mut(index as usize) {
            place.fill(|room| room.put(future));
            self.scheduler.make_ready(index);
        }
    }

    /// Starts the future that `fill` makes where it stays, and polls it at once; as [`poll`], says
    /// whether it is done.
    ///
    /// [`poll`]: Self::poll
    #[inline]
    pub fn begin(
        &mut self,
        index: u32,
        fill: impl for<'r> FnOnce(Room<'r, F>) -> Filled<'r, F>,
    ) -> bool {
        let Some((_, place)) = self.places.get_mut(index as usize) else { return false };
        place.fill(fill);
        self.poll(index)
    }

    /// Polls the task in place `index`; whether it is done, and its place free. A place without
    /// a task counts as not done.
    #[inline]
    pub fn poll(&mut self, index: u32) -> bool {
        let Some((task, place)) = self.places.get_mut(index as usize) else { return false };
        let Some(future) = place.get() else { return false };
        match future.poll(&mut task.context()) {
            Poll::Pending => false,
            Poll::Ready(()) => {
                place.clear();
                self.scheduler.make_unready(index);
                true
            }
        }
    }

    /// Drops the task in place `index` where it stands.
    #[inline]
    pub fn stop(&mut self, index: u32) {
        if let Some((_, place)) = self.places.get_mut(index as usize) {
            place.clear();
            self.scheduler.make_unready(index);
        }
    }

    /// Whether a task runs in place `index`.
    #[inline]
    pub fn is_running(&self, index: u32) -> bool {
        self.places.get(index as usize).is_some_and(|(_, place)| place.is_filled())
    }

    /// Polls up to `limit` ready tasks; how many it polled.
    pub fn run(&mut self, limit: usize) -> usize {
        for count in 0..limit {
            let Some(index) = self.scheduler.next_ready() else { return count };
            self.poll(index);
        }
        limit
    }
}

impl<F> fmt::Debug for Tasks<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Tasks");
        out.field("places", &self.places.len()).field("limit", &self.limit).finish_non_exhaustive()
    }
}
