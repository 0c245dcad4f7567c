//! One connection: what it is doing, and what of its bytes was not used up.

use waitless::http::wire::Input;
use waitless::{Instant, Stream};

/// The state of one connection. An idle one has nothing beside this.
pub(crate) struct Connection {
    pub(crate) stream: Stream,
    /// The place of its exchange; [`NONE`] between two of them.
    pub(crate) exchange: u32,
    pub(crate) phase: Phase,
    pub(crate) receive_queued: bool,
    pub(crate) transmit_queued: bool,
    /// Something has arrived that was not asked for yet.
    pub(crate) unread: bool,
    /// Bytes that were read and thrown away.
    pub(crate) discarded: u32,
    pub(crate) input: Input,
    /// The deadline with which it was last listed among those whose head is not complete.
    pub(crate) listed: Instant,
    /// When something must have happened.
    pub(crate) deadline: Instant,
    /// When the timer fires: not after `deadline`.
    pub(crate) armed: Instant,
}

/// What a connection is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Phase {
    /// There is none in this place.
    #[default]
    Free,
    /// It waits for a head, or for the rest of one.
    Head,
    /// An exchange is going on.
    Exchange,
    /// The response was sent; what is left of the request's body is thrown away.
    Drain,
    /// It is closed on our side, and listens until the client has closed its own.
    Linger,
    /// It will be reset, once what was sent has had the time to arrive.
    CutOff,
    /// It must be reset.
    Abort,
}

impl Connection {
    pub(crate) fn new(stream: Stream) -> Self {
        Self {
            stream,
            exchange: NONE,
            phase: Phase::Head,
            receive_queued: false,
            transmit_queued: false,
            unread: false,
            discarded: 0,
            input: Input::Empty,
            listed: Instant::NEVER,
            deadline: Instant::NEVER,
            armed: Instant::NEVER,
        }
    }
}

/// No exchange.
pub(crate) const NONE: u32 = u32::MAX;

/// What an idle connection costs here, beside its four bytes in each queue and its timer.
const _: () = assert!(size_of::<Connection>() <= 64);
