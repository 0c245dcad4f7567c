//! Bounded channels between tasks of one core.
//!
//! A channel allocates when it is made, and never again.

use super::Task;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::future::poll_fn;
use core::task::Poll;

/// A channel for many senders and one receiver that holds at most `bound` values, at least one.
pub fn channel<T>(bound: usize) -> (Sender<T>, Receiver<T>) {
    let bound = bound.max(1);
    let shared = Rc::new(Shared {
        values: RefCell::new(VecDeque::with_capacity(bound)),
        bound,
        senders: Cell::new(1),
        receiver_lives: Cell::new(true),
        receiver: Cell::new(None),
        blocked: RefCell::new(heapless::Deque::new()),
    });
    (Sender(shared.clone()), Receiver(shared))
}

/// A channel for one value.
pub fn oneshot<T>() -> (OneshotSender<T>, OneshotReceiver<T>) {
    let (sender, receiver) = channel(1);
    (OneshotSender(sender), OneshotReceiver(receiver))
}

/// The value comes back: the receiver is gone, or there is no room now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused<T> {
    /// There is no receiver any more.
    Closed(T),
    /// There is no room now.
    Full(T),
}

/// Sends into a [`channel`]. Clones send into the same one.
pub struct Sender<T>(Rc<Shared<T>>);

/// Receives from a [`channel`].
pub struct Receiver<T>(Rc<Shared<T>>);

/// Sends the one value of a [`oneshot`].
#[derive(Debug)]
pub struct OneshotSender<T>(Sender<T>);

/// Receives the one value of a [`oneshot`].
#[derive(Debug)]
pub struct OneshotReceiver<T>(Receiver<T>);

struct Shared<T> {
    values: RefCell<VecDeque<T>>,
    bound: usize,
    senders: Cell<usize>,
    receiver_lives: Cell<bool>,
    /// Who waits for a value.
    receiver: Cell<Option<&'static Task>>,
    /// Who waits for room. Whoever does not fit in here asks again by itself.
    blocked: RefCell<heapless::Deque<&'static Task, 16>>,
}

impl<T> Sender<T> {
    /// Sends `value` once there is room; gives it back when the receiver is gone.
    pub async fn send(&self, value: T) -> Result<(), T> {
        let mut waiting = Some(value);
        poll_fn(|cx| {
            let Some(value) = waiting.take() else { return Poll::Ready(Ok(())) };
            match self.try_send(value) {
                Ok(()) => Poll::Ready(Ok(())),
                Err(Refused::Closed(value)) => Poll::Ready(Err(value)),
                Err(Refused::Full(value)) => {
                    waiting = Some(value);
                    self.0.block(Task::expect(cx));
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Sends `value` if there is room now.
    pub fn try_send(&self, value: T) -> Result<(), Refused<T>> {
        if !self.0.receiver_lives.get() {
            return Err(Refused::Closed(value));
        }
        let mut values = self.0.values.borrow_mut();
        if values.len() == self.0.bound {
            return Err(Refused::Full(value));
        }
        values.push_back(value);
        self.0.wake_receiver();
        Ok(())
    }
}

impl<T> Receiver<T> {
    /// The next value once there is one; `None` when all were received and all senders are gone.
    pub async fn recv(&mut self) -> Option<T> {
        poll_fn(|cx| {
            if let Some(value) = self.try_recv() {
                return Poll::Ready(Some(value));
            }
            if self.0.senders.get() == 0 {
                return Poll::Ready(None);
            }
            self.0.receiver.set(Some(Task::expect(cx)));
            Poll::Pending
        })
        .await
    }

    /// The next value if there is one now.
    pub fn try_recv(&mut self) -> Option<T> {
        let value = self.0.values.borrow_mut().pop_front()?;
        self.0.wake_blocked();
        Some(value)
    }
}

impl<T> OneshotSender<T> {
    /// Sends `value`; gives it back when the receiver is gone.
    pub fn send(self, value: T) -> Result<(), T> {
        self.0.try_send(value).map_err(|(Refused::Closed(value) | Refused::Full(value))| value)
    }
}

impl<T> OneshotReceiver<T> {
    /// The value; `None` when the sender is gone without having sent it.
    pub async fn recv(mut self) -> Option<T> {
        self.0.recv().await
    }
}

impl<T> Shared<T> {
    fn wake_receiver(&self) {
        if let Some(task) = self.receiver.take() {
            task.wake();
        }
    }

    /// Wakes all: the one that waits longest may have been cancelled, and would wake nobody else.
    fn wake_blocked(&self) {
        let mut blocked = self.blocked.borrow_mut();
        while let Some(task) = blocked.pop_front() {
            task.wake();
        }
    }

    fn block(&self, task: &'static Task) {
        let mut blocked = self.blocked.borrow_mut();
        let waits = blocked.iter().any(|other| core::ptr::eq(*other, task));
        if !waits && blocked.push_back(task).is_err() {
            task.wake();
        }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.senders.set(self.0.senders.get() + 1);
        Self(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.senders.set(self.0.senders.get() - 1);
        if self.0.senders.get() == 0 {
            self.0.wake_receiver();
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.0.receiver_lives.set(false);
        self.0.wake_blocked();
        // What nobody will receive is dropped now, outside of the borrow: a value may own an end
        // of this very channel.
        drop(self.0.values.take());
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}
