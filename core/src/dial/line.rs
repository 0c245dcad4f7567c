//! Where a handler and the component that dials meet.

use super::{Broken, DialError, TARGET_MAX};
use crate::ring::Ring;
use crate::task::Task;
use crate::{Packet, Pool};
use core::cell::{Cell, RefCell};
use core::fmt;
use core::net::SocketAddr;
use heapless::String;

/// One connection's mailboxes. It serves one after the other.
pub struct Line {
    index: u32,
    pub(super) pool: Pool,
    state: Cell<State>,
    host: RefCell<String<TARGET_MAX>>,
    port: Cell<u16>,
    /// The handler that waits for something here.
    task: Cell<Option<&'static Task>>,
    pub(super) incoming: Ring,
    pub(super) outgoing: Ring,
    pub(super) peer: Cell<Option<SocketAddr>>,
    /// The handler says that nothing follows what is in `outgoing`.
    pub(super) finished: Cell<bool>,
    /// Nothing follows what is in `incoming`.
    ended: Cell<bool>,
    pub(super) broken: Cell<Option<Broken>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Nobody has it.
    Free,
    /// A handler wants a connection.
    Calling,
    /// There is no connection, and the handler is to be told.
    Failed(DialError),
    /// There is a connection.
    Open,
    /// The handler is gone: what is in `outgoing` is still to be sent.
    Leaving,
}

/// What there is to do for a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work {
    /// Nothing: nobody has it.
    None,
    /// To connect, or to go on trying.
    Connect,
    /// To move packets.
    Carry,
    /// To send what is left, and then to give the connection up.
    Leave,
}

impl Line {
    pub(super) fn new(index: u32, pool: Pool) -> Self {
        Self {
            index,
            pool,
            state: Cell::new(State::Free),
            host: RefCell::new(String::new()),
            port: Cell::new(0),
            task: Cell::new(None),
            incoming: Ring::new(),
            outgoing: Ring::new(),
            peer: Cell::new(None),
            finished: Cell::new(false),
            ended: Cell::new(false),
            broken: Cell::new(None),
        }
    }

    /// Its number.
    #[inline]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// What there is to do for it.
    #[inline]
    pub fn work(&self) -> Work {
        match self.state.get() {
            State::Free | State::Failed(_) => Work::None,
            State::Calling => Work::Connect,
            State::Open => Work::Carry,
            State::Leaving => Work::Leave,
        }
    }

    /// Whom to connect to: lends the name or address to `look`, and gives the port.
    pub fn target<T>(&self, look: impl FnOnce(&str, u16) -> T) -> T {
        look(&self.host.borrow(), self.port.get())
    }

    /// There is a connection, to `peer`.
    pub fn open(&self, peer: SocketAddr) {
        if self.state.get() == State::Calling {
            self.peer.set(Some(peer));
            self.state.set(State::Open);
            self.wake();
        }
    }

    /// There is none.
    pub fn fail(&self, why: DialError) {
        if self.state.get() == State::Calling {
            self.state.set(State::Failed(why));
            self.wake();
        }
    }

    /// Whether [`deliver`](Self::deliver) would take a packet.
    #[inline]
    pub fn has_room(&self) -> bool {
        !self.incoming.is_full()
    }

    /// Gives the handler what has arrived. `Err` when there is no room.
    #[inline]
    pub fn deliver(&self, packet: Packet) -> Result<(), Packet> {
        self.incoming.push(packet)?;
        self.wake();
        Ok(())
    }

    /// The next packet to send.
    #[inline]
    pub fn take(&self) -> Option<Packet> {
        let packet = self.outgoing.pop()?;
        self.wake();
        Some(packet)
    }

    /// Puts back what was just [taken](Self::take) and could not be sent.
    #[inline]
    pub fn put_back(&self, packet: Packet) {
        self.outgoing.unpop(packet);
    }

    /// Whether all was taken, and nothing follows.
    #[inline]
    pub fn is_finished(&self) -> bool {
        self.finished.get() && self.outgoing.is_empty()
    }

    /// The other side sends nothing more.
    pub fn end(&self) {
        if !self.ended.replace(true) {
            self.wake();
        }
    }

    /// The connection ended otherwise than in agreement.
    pub fn break_off(&self, why: Broken) {
        self.broken.set(Some(why));
        self.outgoing.clear();
        self.end();
    }

    /// Makes it ready for another connection.
    pub fn reset(&self) {
        self.state.set(State::Free);
        self.task.set(None);
        self.incoming.clear();
        self.outgoing.clear();
    }

    pub(super) fn is_free(&self) -> bool {
        self.state.get() == State::Free
    }

    pub(super) fn begin(&self, host: &str, port: u16) {
        let mut room = self.host.borrow_mut();
        room.clear();
        // `split` has measured it.
        let _ = room.push_str(host);
        self.port.set(port);
        self.finished.set(false);
        self.ended.set(false);
        self.broken.set(None);
        self.peer.set(None);
        self.state.set(State::Calling);
    }

    /// What became of dialling.
    pub(super) fn outcome(&self) -> Option<Result<(), DialError>> {
        match self.state.get() {
            State::Open => Some(Ok(())),
            State::Failed(why) => Some(Err(why)),
            _ => None,
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.get()
    }

    /// The handler is gone.
    pub(super) fn leave(&self) {
        self.task.set(None);
        self.incoming.clear();
        match self.state.get() {
            // Nobody serves it.
            State::Failed(_) => self.reset(),
            _ => self.state.set(State::Leaving),
        }
    }

    pub(super) fn wait(&self, task: &'static Task) {
        self.task.set(Some(task));
    }

    pub(super) fn forget(&self) {
        self.task.set(None);
    }

    #[inline]
    fn wake(&self) {
        if let Some(task) = self.task.take() {
            task.wake();
        }
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("index", &self.index).finish_non_exhaustive()
    }
}
