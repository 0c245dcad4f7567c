//! One connection: its session, the bytes that wait on either side, and where it is in its life.

use crate::client::Target;
use crate::role::Role;
use crate::session::{Outbox, Session};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::ops::Range;
use waitless::{Instant, Packet, Phase, Service, Stream};

/// The state of one connection.
pub(crate) struct Connection<R: Role> {
    pub(crate) stage: Stage,
    /// The stream below, as long as it was not given up.
    pub(crate) below: Stream,
    pub(crate) generation: u32,
    pub(crate) service: Service,
    pub(crate) tag: Option<u32>,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) session: Box<Session<R>>,
    /// Whom it is to, until that is told to the session.
    pub(crate) target: Option<Target>,
    /// Records to be sent, before anything of `data`.
    pub(crate) out: Outbox,
    /// Data to be sent, not protected yet.
    pub(crate) data: VecDeque<Packet>,
    pub(crate) data_bytes: usize,
    /// What the service may write into, and how much of it counts.
    pub(crate) window: Option<Packet>,
    pub(crate) committed: usize,
    /// What has arrived and was not looked at.
    pub(crate) raw: Option<Packet>,
    /// A record that spans packets: its beginning, or all of it with data at `plain`.
    pub(crate) large: Vec<u8>,
    pub(crate) plain: Range<usize>,
    /// Bytes of a handshake message that has not come whole, as far as they were counted.
    pub(crate) counted: usize,
    /// Data that was not taken; what is at `plain` stands behind it.
    pub(crate) inbox: VecDeque<Packet>,
    pub(crate) inbox_bytes: usize,
    /// Bytes that were read and thrown away.
    pub(crate) discarded: usize,
    /// What the stream below had not told to be acknowledged, when it was last asked.
    pub(crate) unacknowledged: usize,
    pub(crate) segment: usize,
    /// How it ended, for the service.
    pub(crate) end: Phase,
    /// What went wrong, where something did.
    pub(crate) failure: Option<&'static str>,
    pub(crate) flags: Flags,
    pub(crate) deadline: Instant,
}

/// What is the case of a connection.
#[derive(Clone, Copy, Default)]
pub(crate) struct Flags {
    /// The service knows it.
    pub(crate) reported: bool,
    /// Data came early, and the handshake is not complete. That stays so where the connection ends
    /// before: what was not read until then may be a copy for good.
    pub(crate) early: bool,
    /// The service has given it up.
    pub(crate) released: bool,
    /// The service wants it to be reset.
    pub(crate) aborted: bool,
    /// The service sends nothing more.
    pub(crate) closing: bool,
    /// The other end knows that.
    pub(crate) closed: bool,
    /// The other end sends nothing more.
    pub(crate) finished: bool,
    /// The service was refused, and waits for room.
    pub(crate) wants_room: bool,
    /// Reading has stopped until the service takes what there is.
    pub(crate) stalled: bool,
    /// The service found no packet to read into.
    pub(crate) starved: bool,
    pub(crate) in_news: bool,
    pub(crate) in_receive: bool,
    pub(crate) in_transmit: bool,
}

/// Where a connection is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    /// There is none in this place.
    Free,
    /// It is to be begun: there is no stream below yet.
    Wanted,
    /// The stream below is being opened.
    Opening,
    /// Its handshake goes on. The service does not know it.
    Handshake,
    /// Data passes.
    Open,
    /// An alert is on its way; what arrives is thrown away.
    Failed,
    /// The stream below was given up.
    Over,
}

/// Packets of data that wait to be taken.
pub(crate) const INBOX: usize = 8;
/// Bytes of data that wait to be protected.
pub(crate) const SEND_BUFFER: usize = 32 << 10;

impl<R: Role> Connection<R> {
    pub(crate) fn new(generation: u32) -> Self {
        Self {
            stage: Stage::Free,
            below: Stream::default(),
            generation,
            service: Service::default(),
            tag: None,
            peer: None,
            local: None,
            session: Box::new(Session::over()),
            target: None,
            out: Outbox::new(0),
            data: VecDeque::new(),
            data_bytes: 0,
            window: None,
            committed: 0,
            raw: None,
            large: Vec::new(),
            plain: 0..0,
            counted: 0,
            inbox: VecDeque::new(),
            inbox_bytes: 0,
            discarded: 0,
            unacknowledged: 0,
            segment: 0,
            end: Phase::Closed,
            failure: None,
            flags: Flags::default(),
            deadline: Instant::NEVER,
        }
    }

    /// Takes the place for the stream `below`.
    pub(crate) fn begin(&mut self, below: Stream, service: Service, segment: usize) {
        let queued = (self.flags.in_news, self.flags.in_receive, self.flags.in_transmit);
        self.stage = Stage::Handshake;
        self.below = below;
        self.service = service;
        self.tag = None;
        *self.session = Session::new();
        self.out = Outbox::new(segment);
        self.segment = segment;
        self.discarded = 0;
        self.unacknowledged = 0;
        self.end = Phase::Closed;
        (self.failure, self.target) = (None, None);
        // The place may still stand in a queue, from its last connection.
        let (in_news, in_receive, in_transmit) = queued;
        self.flags = Flags { in_news, in_receive, in_transmit, ..Flags::default() };
    }

    /// Gives back what it holds, keys first. Handles to it are not valid any more.
    pub(crate) fn clear(&mut self) -> Vec<u8> {
        *self.session = Session::over();
        self.generation = self.generation.wrapping_add(1);
        self.stage = Stage::Free;
        self.target = None;
        self.out.clear();
        self.drop_data();
        self.drop_arrived()
    }

    pub(crate) fn drop_data(&mut self) {
        self.data.clear();
        self.data_bytes = 0;
        self.window = None;
        self.committed = 0;
    }

    /// Drops what has come. What is left is the memory that counts, to be kept for others.
    #[must_use]
    pub(crate) fn drop_arrived(&mut self) -> Vec<u8> {
        self.raw = None;
        self.plain = 0..0;
        self.inbox.clear();
        self.inbox_bytes = 0;
        core::mem::take(&mut self.large)
    }

    /// Whether something has begun to come, and takes memory until it has come whole.
    pub(crate) fn waits(&self) -> bool {
        !self.large.is_empty() && self.plain.is_empty() || self.counted > 0
    }

    /// Bytes that the service can take.
    pub(crate) fn readable(&self) -> usize {
        self.inbox_bytes + self.plain.len()
    }

    /// Whether more may be decrypted.
    pub(crate) fn has_room(&self) -> bool {
        // Early data has a limit of its own, and behind it is what completes the handshake.
        self.is_early() || self.inbox.len() < INBOX && self.plain.is_empty()
    }

    /// Whether there is something to send, or to say.
    pub(crate) fn has_output(&self) -> bool {
        let data = !self.data.is_empty() || self.committed > 0;
        let end = self.flags.closing && !self.flags.closed;
        !self.out.is_empty() || data || end || self.flags.aborted || self.flags.released
    }

    /// Bytes that the service may queue.
    pub(crate) fn room(&self) -> usize {
        // Many small packets take as much memory as few large ones, so they are limited too.
        let may = self.stage == Stage::Open && !self.flags.closing && !self.flags.aborted;
        if !may || self.data.len() >= SEND_BUFFER / 1024 {
            return 0;
        }
        SEND_BUFFER.saturating_sub(self.data_bytes)
    }

    /// Moves what is committed of the window into the queue.
    pub(crate) fn close_window(&mut self) {
        if let Some(mut packet) = self.window.take()
            && self.committed > 0
        {
            packet.truncate(self.committed);
            self.data.push_back(packet);
        }
        self.committed = 0;
    }
}
