//! What answers requests.

use super::slot::Reply;
use super::{Behind, IntoResponse, Layer, Request};
use crate::task::{Filled, Room};
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use pin_project_lite::pin_project;

/// Answers requests: an `async fn` from [`Request`] to something that is [`IntoResponse`], or a
/// [`Router`](super::Router) of such.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not answer requests",
    note = "a handler is an `async fn(Request) -> impl IntoResponse`, or a `Router`"
)]
pub trait Handler: 'static {
    /// What answers one request. It gives the response to the request's exchange by itself.
    type Future: Future<Output = ()>;

    /// Begins to answer `request`, by a future in `room`.
    fn begin<'r>(&self, request: Request, room: Room<'r, Self::Future>)
    -> Filled<'r, Self::Future>;

    /// The same behind `layer`, which looks at each request first.
    fn behind<L: Layer>(self, layer: L) -> Behind<L, Self>
    where
        Self: Sized,
    {
        Behind { layer, handler: self }
    }
}

impl<F, A> Handler for F
where
    F: Fn(Request) -> A + 'static,
    A: Future<Output: IntoResponse>,
{
    type Future = Respond<A>;

    #[inline]
    fn begin<'r>(&self, request: Request, room: Room<'r, Respond<A>>) -> Filled<'r, Respond<A>> {
        let reply = request.reply();
        room.put(Respond { future: self(request), reply })
    }
}

pin_project! {
    /// Waits for a response and gives it to the exchange.
    #[must_use = "nothing runs until it is polled"]
    pub struct Respond<A> {
        #[pin]
        future: A,
        reply: Reply,
    }
}

impl<A: Future<Output: IntoResponse>> Future for Respond<A> {
    type Output = ();

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let output = ready!(this.future.poll(cx));
        this.reply.complete(output.into_response(this.reply.environment().pool));
        Poll::Ready(())
    }
}
