//! Where a handler and the server meet: mailboxes for one exchange, which live as long as the
//! image and serve one exchange after the other.

use super::{Body, Fields, Files, Response, Status};
use crate::ring::Ring;
use crate::task::Task;
use crate::{Packet, Pool, System};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::net::SocketAddr;
use core::task::Poll;

pub(super) struct Slot {
    pub(super) task: &'static Task,
    pub(super) pool: Pool,
    pub(super) system: &'static System,
    pub(super) files: Files,
    /// How many exchanges this served before; who remembers another number talks to nobody.
    generation: Cell<u64>,
    flags: Cell<u16>,
    pub(super) peer: Cell<Option<SocketAddr>>,
    /// Who the client has shown to be.
    identity: Cell<Option<Rc<str>>>,
    response: RefCell<Option<Response>>,
    /// Fields for whatever response is given.
    pub(super) extra: Cell<Option<Fields>>,
    /// The trailer fields of the request, once its body has ended.
    pub(super) trailers: Cell<Vec<u8>>,
    /// Those of a streamed response.
    pub(super) response_trailers: Cell<Option<Fields>>,
    pub(super) incoming: Ring,
    pub(super) outgoing: Ring,
}

/// The handler has used up what came of the request's body.
pub(super) const WANTS_BODY: u16 = 1 << 0;
/// All of the request's body is in `incoming`, or was.
pub(super) const BODY_ENDED: u16 = 1 << 1;
/// The handler waits for room in `outgoing`.
pub(super) const WANTS_ROOM: u16 = 1 << 2;
/// The response was begun.
pub(super) const STARTED: u16 = 1 << 3;
/// The response's body is streamed.
pub(super) const STREAMED: u16 = 1 << 4;
/// All of the streamed body is in `outgoing`, or was.
pub(super) const FINISHED: u16 = 1 << 5;
/// The response cannot be completed.
pub(super) const BROKEN: u16 = 1 << 6;
/// Only the response's head is asked for.
pub(super) const HEAD_ONLY: u16 = 1 << 7;
/// There are trailer fields, of the request or of the response.
pub(super) const TRAILED: u16 = 1 << 8;
/// There are fields for whatever response is given.
pub(super) const EXTRA: u16 = 1 << 9;
/// The client has shown who it is.
pub(super) const KNOWN: u16 = 1 << 10;

/// For one of those there was no packet.
pub(super) const LOST: u16 = 1 << 11;

impl Slot {
    pub(super) fn new(
        task: &'static Task,
        pool: Pool,
        system: &'static System,
        files: Files,
    ) -> Self {
        Self {
            task,
            pool,
            system,
            files,
            generation: Cell::new(0),
            flags: Cell::new(0),
            peer: Cell::new(None),
            identity: Cell::new(None),
            response: RefCell::new(None),
            extra: Cell::new(None),
            trailers: Cell::new(Vec::new()),
            response_trailers: Cell::new(None),
            incoming: Ring::new(),
            outgoing: Ring::new(),
        }
    }

    #[inline]
    pub(super) fn reply(&'static self) -> Reply {
        Reply { slot: self, generation: self.generation.get() }
    }

    #[inline]
    pub(super) fn has(&self, flag: u16) -> bool {
        self.flags.get() & flag != 0
    }

    #[inline]
    pub(super) fn set(&self, flag: u16) {
        self.flags.set(self.flags.get() | flag);
    }

    #[inline]
    pub(super) fn clear(&self, flag: u16) {
        self.flags.set(self.flags.get() & !flag);
    }

    /// Remembers who the client has shown to be.
    #[inline]
    pub(super) fn know(&self, identity: Option<Rc<str>>) {
        if identity.is_some() {
            self.identity.set(identity);
            self.set(KNOWN);
        }
    }

    /// Who the client has shown to be.
    pub(super) fn identity(&self) -> Option<Rc<str>> {
        let identity = self.identity.take();
        self.identity.set(identity.clone());
        identity
    }

    /// Leaves a response for the server.
    #[inline(always)]
    pub(super) fn respond(&self, response: Response) {
        // An interim status would leave the client waiting for the final one.
        if response.status.class() == 1 {
            return self.give(Response::plain(Status::INTERNAL_SERVER_ERROR));
        }
        self.give(response);
    }

    /// Leaves a response for the server, of whatever status.
    #[inline(always)]
    pub(super) fn give(&self, response: Response) {
        if self.has(EXTRA) {
            return self.put(self.extended(response));
        }
        self.put(response);
    }

    /// A response with the fields that were added for whatever is given.
    #[cold]
    fn extended(&self, response: Response) -> Response {
        match self.extra.take() {
            // Without one of them it is worse than none.
            _ if self.has(LOST) => Response::failure(Status::SERVICE_UNAVAILABLE),
            Some(more) => response.with_fields(more),
            None => response,
        }
    }

    /// Leaves a response for the server, as it is. It is copied once: what lay there before is
    /// dropped where it is.
    #[inline(always)]
    pub(super) fn put(&self, response: Response) {
        // Nobody keeps a borrow of it.
        if let Ok(mut there) = self.response.try_borrow_mut() {
            *there = Some(response);
        }
    }

    /// Takes the response that was left.
    #[inline]
    pub(super) fn take_response(&self) -> Option<Response> {
        self.response.try_borrow_mut().ok()?.take()
    }

    /// Makes the slot ready for another exchange.
    #[inline]
    pub(super) fn reset(&self) {
        self.generation.set(self.generation.get().wrapping_add(1));
        if let Ok(mut response) = self.response.try_borrow_mut()
            && response.is_some()
        {
            *response = None;
        }
        if self.has(TRAILED | EXTRA | KNOWN) {
            self.identity.take();
            self.extra.take();
            self.trailers.take();
            self.response_trailers.take();
        }
        self.flags.set(0);
        self.incoming.clear();
        self.outgoing.clear();
    }
}

/// A handler's end of its slot. It outlives the exchange where a handler keeps it, and does
/// nothing then.
#[derive(Clone, Copy)]
pub(super) struct Reply {
    slot: &'static Slot,
    /// As wide as the rest of a request, which is moved by words.
    generation: u64,
}

impl Reply {
    /// The slot's environment, which is there whatever exchange the slot serves.
    #[inline]
    pub(super) fn environment(&self) -> &'static Slot {
        self.slot
    }

    /// The slot, as long as it serves this exchange.
    #[inline]
    pub(super) fn slot(&self) -> Option<&'static Slot> {
        (self.slot.generation.get() == self.generation).then_some(self.slot)
    }

    /// The next part of the request's body; where there is none yet, the server wakes the handler
    /// once there is.
    pub(super) fn poll_chunk(&self) -> Poll<Option<Packet>> {
        let Some(slot) = self.slot() else { return Poll::Ready(None) };
        if let Some(packet) = slot.incoming.pop() {
            return Poll::Ready(Some(packet));
        }
        if slot.has(BODY_ENDED) {
            return Poll::Ready(None);
        }
        slot.set(WANTS_BODY);
        Poll::Pending
    }

    /// The handler returned `response`.
    #[inline]
    pub(super) fn complete(&self, response: Response) {
        let Some(slot) = self.slot() else { return };
        let streamed = matches!(response.body_ref(), Body::Stream);
        match (slot.has(STARTED), streamed) {
            (false, false) => {
                slot.set(STARTED);
                slot.respond(response);
            }
            (true, true) => {}
            // It streams one response and returns another: the client must not take what it
            // got for all of it.
            (true, false) => slot.set(BROKEN),
            // A stream that was never opened.
            (false, true) => {
                slot.set(STARTED);
                slot.respond(Response::plain(Status::INTERNAL_SERVER_ERROR));
            }
        }
    }
}
