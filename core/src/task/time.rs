//! Waiting for time to pass.

use super::scheduler::GRANULARITY;
use super::{Scheduler, Task};
use crate::{Duration, Instant, Wheel};
use alloc::vec::Vec;
use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};
use pin_project_lite::pin_project;

/// Completes `duration` after it is first polled.
pub fn sleep(duration: Duration) -> Sleep {
    Sleep { wait: Wait::For(duration), timer: None }
}

/// Completes at `instant`, at once when that is past.
pub fn sleep_until(instant: Instant) -> Sleep {
    Sleep { wait: Wait::Until(instant), timer: None }
}

/// Runs `future` for at most `duration`, counted from the first poll; then drops it.
pub fn timeout<F: Future>(duration: Duration, future: F) -> Timeout<F> {
    Timeout { future, sleep: sleep(duration) }
}

/// Ticks every `period`, the first time after one `period`, counted from the first tick asked
/// for. Ticks that were missed are skipped, and the rhythm is kept.
pub fn interval(period: Duration) -> Interval {
    // A period of zero would tick for ever in one poll.
    let period = period.max(Duration::from_nanos(1));
    Interval { period, next: None }
}

/// What [`sleep`] and [`sleep_until`] return. Dropping it leaves no timer behind.
#[derive(Debug)]
#[must_use = "nothing sleeps until it is awaited"]
pub struct Sleep {
    wait: Wait,
    timer: Option<(&'static Scheduler, u32)>,
}

#[derive(Debug)]
enum Wait {
    For(Duration),
    Until(Instant),
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Some((scheduler, timer)) = self.timer {
            // Whoever polls may be another task than the last time.
            if !scheduler.has_fired(timer, Task::expect(cx)) {
                return Poll::Pending;
            }
            self.disarm();
            self.wait = Wait::Until(Instant::ZERO);
            return Poll::Ready(());
        }
        let task = Task::expect(cx);
        let scheduler = task.scheduler();
        let until = match self.wait {
            Wait::For(duration) => scheduler.now() + duration,
            Wait::Until(instant) => instant,
        };
        if until <= scheduler.now() {
            return Poll::Ready(());
        }
        self.timer = Some((scheduler, scheduler.arm(until, task)));
        Poll::Pending
    }
}

impl Sleep {
    fn disarm(&mut self) {
        if let Some((scheduler, timer)) = self.timer.take() {
            scheduler.disarm(timer);
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.disarm();
    }
}

pin_project! {
    /// What [`timeout`] returns.
    #[derive(Debug)]
    #[must_use = "nothing runs until it is awaited"]
    pub struct Timeout<F> {
        #[pin]
        future: F,
        #[pin]
        sleep: Sleep,
    }
}

/// The time was up before the future completed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Elapsed;

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        this.sleep.poll(cx).map(|()| Err(Elapsed))
    }
}

/// What [`interval`] returns.
#[derive(Debug)]
pub struct Interval {
    period: Duration,
    next: Option<Instant>,
}

impl Interval {
    /// Completes at the next tick and returns when that was due. Dropped before, it leaves that
    /// tick to the next one that is asked for.
    pub async fn tick(&mut self) -> Instant {
        let now = core::future::poll_fn(|cx| Poll::Ready(Task::expect(cx).scheduler().now())).await;
        let mut due = self.next.unwrap_or(now + self.period);
        if due < now {
            // Missed ones are skipped: the last one that is due counts.
            let missed = now.since(due).as_nanos() / self.period.as_nanos();
            due += self.period.times(missed);
        }
        // Who waits may be dropped; the tick is due all the same.
        self.next = Some(due);
        sleep_until(due).await;
        self.next = Some(due + self.period);
        due
    }
}

/// The timers of one scheduler: a wheel of keys, and whom each key wakes.
pub(super) struct Timers {
    wheel: Wheel,
    entries: Vec<Entry>,
    /// The first entry that is free.
    free: u32,
    armed: usize,
}

enum Entry {
    Armed(&'static Task),
    Fired,
    /// Free, and which one is free after it.
    Free(u32),
}

impl Timers {
    pub(super) fn new() -> Self {
        Self { wheel: Wheel::new(GRANULARITY), entries: Vec::new(), free: NONE, armed: 0 }
    }

    pub(super) fn arm(&mut self, at: Instant, task: &'static Task) -> u32 {
        let timer = match self.entries.get(self.free as usize) {
            Some(&Entry::Free(next)) => core::mem::replace(&mut self.free, next),
            _ => {
                self.entries.push(Entry::Free(NONE));
                self.entries.len() as u32 - 1
            }
        };
        self.entries[timer as usize] = Entry::Armed(task);
        self.wheel.set(timer, at);
        self.armed += 1;
        timer
    }

    /// The next timer that is due: whom it wakes.
    pub(super) fn pop(&mut self, now: Instant) -> Option<&'static Task> {
        let timer = self.wheel.pop(now)?;
        let entry = self.entries.get_mut(timer as usize)?;
        let Entry::Armed(task) = *entry else { return None };
        *entry = Entry::Fired;
        Some(task)
    }

    /// Whether a timer has fired. When it does later, it wakes `task`.
    pub(super) fn has_fired(&mut self, timer: u32, task: &'static Task) -> bool {
        match self.entries.get_mut(timer as usize) {
            Some(Entry::Armed(wakes)) => *wakes = task,
            Some(Entry::Fired) => return true,
            Some(Entry::Free(_)) | None => {}
        }
        false
    }

    pub(super) fn disarm(&mut self, timer: u32) {
        if let Some(entry) = self.entries.get_mut(timer as usize) {
            *entry = Entry::Free(self.free);
            self.free = timer;
            self.armed -= 1;
            self.wheel.cancel(timer);
        }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.wheel.deadline()
    }

    pub(super) fn armed(&self) -> usize {
        self.armed
    }
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time was up")
    }
}

const NONE: u32 = u32::MAX;
