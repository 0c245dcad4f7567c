//! Asynchronous tasks on one core: futures in place, wake-ups as bits, timers on a wheel.
//!
//! A [`Scheduler`] knows which tasks are ready and when timers fire; [`Tasks`] holds the futures.
//! Whoever runs them calls [`Scheduler::advance`] with the time once a sweep and then polls the
//! ready ones, as many as it wants. There is no global executor: what waits finds its own task
//! through the [`Waker`](core::task::Waker) it is polled with, which is an index in disguise.
//! So [`sleep`], [`timeout`], [`interval`] and the channels are plain functions, set a bit to wake
//! a task, and call nothing through a pointer.
//!
//! Everything here belongs to one core. Wakers may travel: a wake-up from elsewhere sets an
//! atomic bit, which the core sees in its next sweep.

mod channel;
mod combine;
mod room;
mod scheduler;
mod tasks;
#[cfg(test)]
mod tests;
mod time;
mod waker;

pub use channel::{OneshotReceiver, OneshotSender, Receiver, Refused, Sender, channel, oneshot};
pub use combine::{Either, Join, Select, Yield, join, select, yield_now};
pub use room::{Filled, OneOf, Room};
pub use scheduler::Scheduler;
pub use tasks::Tasks;
pub use time::{Elapsed, Interval, Sleep, Timeout, interval, sleep, sleep_until, timeout};
pub use waker::Task;
