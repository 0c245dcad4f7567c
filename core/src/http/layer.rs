//! What stands in front of handlers: checks that may answer themselves, and fields for every
//! response.

use super::slot::{EXTRA, LOST};
use super::{FieldValue, Fields, Handler, Request, Response, Status};
use crate::task::{Filled, OneOf, Room};
use core::future::{Ready, ready};

/// What looks at a request before its handler does: a function from `&mut Request`, or a type with
/// state of its own. Put in front of a handler or of a whole router by [`Handler::behind`].
pub trait Layer: 'static {
    /// Looks at `request`, and may add fields to its response by [`Request::respond_with`].
    ///
    /// # Errors
    /// The response, where the handler is not to be asked.
    fn before(&self, request: &mut Request) -> Result<(), Response>;
}

impl<F> Layer for F
where
    F: Fn(&mut Request) -> Result<(), Response> + 'static,
{
    #[inline]
    fn before(&self, request: &mut Request) -> Result<(), Response> {
        self(request)
    }
}

/// A handler behind a layer: what [`Handler::behind`] returns.
#[derive(Clone, Copy, Debug)]
pub struct Behind<L, H> {
    pub(super) layer: L,
    pub(super) handler: H,
}

impl<L: Layer, H: Handler> Handler for Behind<L, H> {
    /// The handler's future, where it was asked.
    type Future = OneOf<H::Future, Ready<()>>;

    #[inline]
    fn begin<'r>(
        &self,
        mut request: Request,
        room: Room<'r, Self::Future>,
    ) -> Filled<'r, Self::Future> {
        match self.layer.before(&mut request) {
            Ok(()) => room.first(|room| self.handler.begin(request, room)),
            Err(response) => {
                request.reply().complete(response);
                room.second(|room| room.put(ready(())))
            }
        }
    }
}

impl Request {
    /// Adds a field to the response, whoever gives it, streamed or not. What is not allowed in a
    /// field makes the response a 500; see [`IntoResponse::header`](super::IntoResponse::header).
    /// Where there is no packet for it, the response becomes a 503.
    pub fn respond_with(&self, name: &'static str, value: impl FieldValue) {
        let Some(slot) = self.reply().slot() else { return };
        let known = slot.extra.take();
        let Some(mut fields) = known.or_else(|| Fields::new(slot.pool)) else {
            return slot.set(EXTRA | LOST);
        };
        if fields.add(name, value).is_err() {
            fields.spoil();
        }
        slot.extra.set(Some(fields));
        slot.set(EXTRA);
    }
}

impl Response {
    /// The same with more fields, or a 500 where those are none.
    #[cold]
    pub(super) fn with_fields(mut self, more: Fields) -> Self {
        let extended = match &mut self.fields {
            Some(fields) => fields.extend(more),
            None if more.is_spoilt() => Err(crate::packet::NoRoom),
            None => {
                self.fields = Some(more);
                Ok(())
            }
        };
        match extended {
            Ok(()) => self,
            Err(_) => Self::failure(Status::INTERNAL_SERVER_ERROR),
        }
    }
}
