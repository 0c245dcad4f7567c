//! One exchange: the body that comes in and the response that goes out.

use crate::Config;
use crate::patience::Patience;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use waitless::http::wire::Framing;
use waitless::http::{Fields, Head};
use waitless::{Duration, Instant, Mailbox, Packet, Pool};

/// The state of one exchange. Its place is used again and again.
pub(crate) struct Active {
    pub(crate) connection: u32,
    pub(crate) generation: u32,
    /// The service's number for it.
    pub(crate) tag: u32,
    pub(crate) phase: Phase,
    pub(crate) peer: Option<SocketAddr>,
    /// Who the client has shown to be, until the service has asked.
    pub(crate) identity: Option<Rc<str>>,
    pub(crate) head: Option<Head>,
    /// When the head was complete; of another protocol, when the client last said something.
    pub(crate) begun_at: Instant,
    /// The time that the client has left to send its body, and to take its response.
    pub(crate) reading: Patience,
    pub(crate) sending: Patience,
    pub(crate) framing: Framing,
    /// Bytes of the body so far.
    pub(crate) received: u64,
    /// What of the body has arrived and was not fetched.
    pub(crate) body: Mailbox<Packet, INBOX>,
    /// Its trailer fields, as far as they have arrived.
    pub(crate) trailers: Vec<u8>,
    /// The trailer fields of the response.
    pub(crate) trail: Option<Fields>,
    /// What is to be sent, in this order: `lead`, `out`, `chain`, `source`. A head that takes
    /// several packets leads.
    pub(crate) lead: Option<Packet>,
    pub(crate) out: Mailbox<Packet, OUTBOX>,
    pub(crate) chain: Option<Packet>,
    pub(crate) source: &'static [u8],
    pub(crate) outgoing: Outgoing,
    pub(crate) old_client: bool,
    /// Only the head was asked for.
    pub(crate) is_bare: bool,
    /// So it has no body, or its status has none.
    pub(crate) without_body: bool,
    pub(crate) keep_alive: bool,
    /// The service has asked for the body.
    pub(crate) asked: bool,
    /// The client waits for a word before it sends the body.
    pub(crate) expects: bool,
    /// The word must be sent now.
    pub(crate) continue_due: bool,
    /// The service was refused and waits for room.
    pub(crate) blocked: bool,
    pub(crate) news_queued: bool,
    /// All of the response is here, or was.
    pub(crate) complete: bool,
    /// The end of a chunked body is still to be queued.
    pub(crate) last_chunk_due: bool,
    /// The head of a streamed response is queued, and nothing of its body was.
    pub(crate) head_waits: bool,
    /// The response breaks off where it is.
    pub(crate) broken: bool,
}

/// Where an exchange is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// The place is free.
    Free,
    /// Its head waits to be accepted.
    Waiting,
    /// The client went away before the head was accepted. The place is free once it is found
    /// among those that wait.
    Dead,
    /// The service knows it.
    Open,
    /// The service is done with it.
    Answered,
}

/// How the response's body is framed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outgoing {
    /// There is no response yet.
    Unanswered,
    /// So many bytes are still to come from the service.
    Length(u64),
    /// In chunks; whether none was sent yet.
    Chunked(bool),
    /// It ends with the connection.
    UntilClose,
}

impl Active {
    pub(crate) fn new() -> Self {
        Self {
            connection: 0,
            generation: 0,
            tag: 0,
            phase: Phase::Free,
            peer: None,
            identity: None,
            head: None,
            begun_at: Instant::ZERO,
            reading: Patience::NONE,
            sending: Patience::NONE,
            framing: Framing::Done,
            received: 0,
            body: Mailbox::new(),
            trailers: Vec::new(),
            trail: None,
            lead: None,
            out: Mailbox::new(),
            chain: None,
            source: &[],
            outgoing: Outgoing::Unanswered,
            old_client: false,
            is_bare: false,
            without_body: false,
            keep_alive: false,
            asked: false,
            expects: false,
            continue_due: false,
            blocked: false,
            news_queued: false,
            complete: false,
            last_chunk_due: false,
            head_waits: false,
            broken: false,
        }
    }

    /// Takes the place for an exchange on `connection`.
    #[inline]
    pub(crate) fn begin(&mut self, connection: u32, phase: Phase) {
        self.generation = self.generation.wrapping_add(1);
        self.connection = connection;
        self.phase = phase;
        self.framing = Framing::Done;
        self.received = 0;
        self.outgoing = Outgoing::Unanswered;
        self.old_client = false;
        self.is_bare = false;
        self.keep_alive = false;
        self.asked = false;
        self.expects = false;
        self.continue_due = false;
        self.blocked = false;
        self.complete = false;
        self.last_chunk_due = false;
        self.head_waits = false;
        self.broken = false;
    }

    /// Gives back all that the exchange holds. Its handle is not valid any more.
    #[inline]
    pub(crate) fn end(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.phase = Phase::Free;
        self.head = None;
        // Almost always empty, which is cheaper to see than to clear.
        if !self.body.is_empty() {
            self.body.clear();
        }
        if !self.out.is_empty() {
            self.out.clear();
        }
        if !self.trailers.is_empty() {
            self.trailers = Vec::new();
        }
        self.trail = None;
        self.lead = None;
        self.chain = None;
        self.source = &[];
    }

    /// The service is done with it.
    #[inline]
    pub(crate) fn answered(&mut self) {
        self.phase = Phase::Answered;
        self.generation = self.generation.wrapping_add(1);
    }

    /// Nothing of the request is wanted any more, nor of any request after it.
    pub(crate) fn stop_reading(&mut self, now: Instant) {
        self.keep_alive = false;
        self.asked = false;
        self.continue_due = false;
        self.body.clear();
        self.reading.pause(now);
    }

    /// Whether anything of the response was sent, or may have been.
    pub(crate) fn is_begun(&self) -> bool {
        let only_head = self.head_waits && self.out.len() == 1;
        self.outgoing != Outgoing::Unanswered && !only_head
    }

    /// What of the client's time is used up, where it is waited for; of another protocol, how
    /// much longer than a body may take it has been silent.
    pub(crate) fn slowness(&self, now: Instant, config: &Config) -> Duration {
        let spent = |patience: &Patience, most: Duration| match patience.is_waiting() {
            true => most.minus(patience.left(now)),
            false => Duration::ZERO,
        };
        let reading = match self.framing {
            // It may be silent for as long as it likes, unless others have to wait.
            Framing::UntilEnd => now.since(self.begun_at).minus(config.body_timeout),
            _ => spent(&self.reading, config.body_timeout),
        };
        reading.max(spent(&self.sending, config.send_timeout))
    }

    /// Puts a packet back that could not be sent.
    pub(crate) fn put_back(&mut self, mut packet: Packet) {
        if let Some(lead) = self.lead.take() {
            packet.set_next(Some(lead));
        } else if let Err(full) = self.out.push_front(packet) {
            packet = full;
        } else {
            return;
        }
        self.lead = Some(packet);
    }

    /// Whether there is nothing to send now.
    #[inline]
    pub(crate) fn is_drained(&self) -> bool {
        self.out.is_empty() && self.chain.is_none() && self.source.is_empty() && self.lead.is_none()
    }

    /// The next packet to send.
    #[inline]
    pub(crate) fn next_packet(&mut self, pool: Pool) -> Option<Packet> {
        if let Some(mut packet) = self.lead.take() {
            self.lead = packet.take_next();
            return Some(packet);
        }
        if let Some(packet) = self.out.pop_front() {
            return Some(packet);
        }
        if let Some(mut packet) = self.chain.take() {
            self.chain = packet.take_next();
            return Some(packet);
        }
        if self.source.is_empty() {
            return None;
        }
        let mut packet = pool.packet()?;
        let (now, later) = self.source.split_at(self.source.len().min(PIECE));
        packet.append(now).ok()?;
        self.source = later;
        Some(packet)
    }
}

/// Packets of a body that wait to be fetched.
const INBOX: usize = 4;

/// Packets of a response that wait to be sent.
pub(crate) const OUTBOX: usize = 8;

/// Bytes of a body that one packet carries: what a segment has room for on common paths.
pub(crate) const PIECE: usize = 1440;
