//! Several futures in one task, and giving way to other tasks.

use super::Task;
use core::pin::Pin;
use core::task::{Context, Poll};
use pin_project_lite::pin_project;

/// Runs both futures and completes when both have.
pub fn join<A: Future, B: Future>(first: A, second: B) -> Join<A, B> {
    Join { first, second, outputs: (None, None) }
}

/// Runs both futures until one completes, the first one where both do; then drops the other.
pub fn select<A: Future, B: Future>(first: A, second: B) -> Select<A, B> {
    Select { first, second }
}

/// Lets all other ready tasks run before this one goes on.
pub fn yield_now() -> Yield {
    Yield { yielded: false }
}

/// One of two things.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Either<A, B> {
    /// The first.
    First(A),
    /// The second.
    Second(B),
}

pin_project! {
    /// What [`join`] returns.
    #[must_use = "nothing runs until it is awaited"]
    pub struct Join<A: Future, B: Future> {
        #[pin]
        first: A,
        #[pin]
        second: B,
        outputs: (Option<A::Output>, Option<B::Output>),
    }
}

impl<A: Future, B: Future> Future for Join<A, B> {
    type Output = (A::Output, B::Output);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if this.outputs.0.is_none()
            && let Poll::Ready(output) = this.first.poll(cx)
        {
            this.outputs.0 = Some(output);
        }
        if this.outputs.1.is_none()
            && let Poll::Ready(output) = this.second.poll(cx)
        {
            this.outputs.1 = Some(output);
        }
        match core::mem::take(this.outputs) {
            (Some(first), Some(second)) => Poll::Ready((first, second)),
            unfinished => {
                *this.outputs = unfinished;
                Poll::Pending
            }
        }
    }
}

pin_project! {
    /// What [`select`] returns.
    #[derive(Debug)]
    #[must_use = "nothing runs until it is awaited"]
    pub struct Select<A, B> {
        #[pin]
        first: A,
        #[pin]
        second: B,
    }
}

impl<A: Future, B: Future> Future for Select<A, B> {
    type Output = Either<A::Output, B::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.first.poll(cx) {
            return Poll::Ready(Either::First(output));
        }
        this.second.poll(cx).map(Either::Second)
    }
}

/// What [`yield_now`] returns.
#[derive(Debug)]
#[must_use = "nothing happens until it is awaited"]
pub struct Yield {
    yielded: bool,
}

impl Future for Yield {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if core::mem::replace(&mut self.yielded, true) {
            return Poll::Ready(());
        }
        Task::expect(cx).wake();
        Poll::Pending
    }
}
