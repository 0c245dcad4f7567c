//! One request on one connection: what is sent, and what comes back, up to the head of the answer.

use super::body::Outgoing;
use super::head::{Limits, Parsed, parse};
use super::lines::Announced;
use super::pool::{Client, Lease};
use super::{Config, FetchError, Malformed, Source, Wait};
use crate::dial::{Broken, Unsent};
use crate::http::Status;
use crate::http::wire::chunked::{ChunkFrame, last_chunk};
use crate::http::wire::{Budget, Input};
use crate::packet::HEADROOM;
use crate::task::{Sleep, Task, sleep_until};
use crate::{Duration, Instant, Packet, Pool};
use core::pin::Pin;
use core::task::{Context, Poll};

/// A request that is being sent, and its connection.
pub(super) struct Exchange<S> {
    pub lease: Option<Lease>,
    pub config: &'static Config,
    pub pool: Pool,
    /// What heads in memory count against.
    heads: &'static Budget,
    body: Outgoing<S>,
    /// What goes first, each packet behind the one before.
    lead: Option<Packet>,
    stage: Stage,
    framing: Sending,
    /// Why nothing more can be sent.
    broken: Option<Broken>,
    /// The body that was to be sent is not what was announced.
    misfit: Option<FetchError>,
    pub input: Input,
    /// Bytes of the input that are no end of a head.
    looked_at: usize,
    interim: u8,
    /// Whether any byte has come.
    pub heard: bool,
    clock: Option<Clock>,
    /// When all must be done.
    pub end: Instant,
    /// How long another protocol may be silent, where one is offered or spoken.
    pub silence: Duration,
}

/// How far sending is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// The body waits for a word from the server, up to this time.
    Word(Instant),
    /// What would be sent is another protocol's, and the server has not agreed to that.
    Offer,
    /// The body is being sent.
    Body,
    /// All was given to the connection.
    Done,
    /// The rest is not wanted.
    Unwanted,
}

/// How the body that is sent is framed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sending {
    /// So many bytes were announced, and so many have come.
    Length(u64, u64),
    /// In chunks; whether none was sent yet.
    Chunks(bool),
    /// As it is, up to the end of the connection.
    Raw,
}

/// A time that runs while one thing is waited for, without any progress.
#[derive(Debug)]
struct Clock {
    wait: Wait,
    sleep: Sleep,
}

/// What sending waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lacks {
    /// Nothing: all was sent, or cannot be.
    Nothing,
    /// Room in the connection.
    Room,
    /// The next part of the body.
    Part,
    /// A word from the server.
    Word,
}

impl<S: Source> Exchange<S> {
    /// Begins to send `head`, and `body` behind it unless that is in it.
    pub fn new(
        client: &'static Client,
        lease: Lease,
        head: Packet,
        body: Outgoing<S>,
        announced: Announced,
    ) -> Self {
        let framing = match announced {
            Announced::Nothing => Sending::Length(0, 0),
            Announced::Length(length) => Sending::Length(length, 0),
            Announced::Chunks => Sending::Chunks(true),
        };
        Self {
            lease: Some(lease),
            config: client.config,
            pool: client.pool,
            heads: &client.heads,
            body,
            lead: Some(head),
            stage: Stage::Body,
            framing,
            broken: None,
            misfit: None,
            input: Input::Empty,
            looked_at: 0,
            interim: 0,
            heard: false,
            clock: None,
            end: Instant::NEVER,
            silence: Duration::MAX,
        }
    }

    /// What there is to send is another protocol's, which may be silent for `silence`, and waits
    /// until the server agrees.
    pub fn offer(&mut self, silence: Duration) {
        (self.stage, self.framing) = (Stage::Offer, Sending::Raw);
        self.silence = silence;
    }

    /// All of it is in the head.
    pub fn skip_body(&mut self) {
        self.stage = Stage::Done;
    }

    /// The body waits until the server asks for it, or until `until`.
    pub fn expect_word(&mut self, until: Instant) {
        self.stage = Stage::Word(until);
    }

    /// Why what was to be sent cannot be.
    pub fn misfit(&self) -> Option<FetchError> {
        self.misfit
    }

    /// Makes what was to be sent ready to be sent again. Whether it could.
    pub fn rewind(&mut self) -> bool {
        self.body.rewind()
    }

    /// What was to be sent.
    pub fn into_body(self) -> Outgoing<S> {
        self.body
    }

    /// Whether all was sent, so that another request may follow.
    pub fn is_sent(&self) -> bool {
        self.stage == Stage::Done && self.lead.is_none() && self.broken.is_none()
    }

    /// Nothing more of the body is sent.
    pub fn stop_sending(&mut self) {
        if self.stage != Stage::Done {
            self.stage = Stage::Unwanted;
            self.lead = None;
        }
    }

    /// Goes on with sending, and then looks for the head of the answer.
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Parsed, FetchError>> {
        let (lacks, mut moved) = self.push(cx);
        if let Some(why) = self.misfit {
            return Poll::Ready(Err(why));
        }
        loop {
            match self.find_head() {
                Ok(Some(parsed)) => return Poll::Ready(Ok(parsed)),
                Ok(None) => {}
                Err(why) => return Poll::Ready(Err(why.into())),
            }
            match self.poll_recv(cx) {
                Poll::Ready(Ok(Some(packet))) => {
                    (self.heard, moved) = (true, true);
                    match self.input.is_empty() {
                        true => self.input = Input::Packet(packet),
                        false if self.input.extend(packet.bytes(), self.heads).is_err() => {
                            return Poll::Ready(Err(FetchError::NoMemory));
                        }
                        false => {}
                    }
                }
                Poll::Ready(Ok(None)) => {
                    return Poll::Ready(Err(FetchError::Closed { came: None, expected: None }));
                }
                Poll::Ready(Err(why)) => return Poll::Ready(Err(FetchError::Broken(why))),
                Poll::Pending => break,
            }
        }
        // What was asked for may have come meanwhile.
        if lacks == Lacks::Word && self.stage == Stage::Body {
            Task::expect(cx).wake();
            return Poll::Pending;
        }
        let (wait, limit) = match lacks {
            Lacks::Nothing => (Wait::Answer, self.config.answer_timeout),
            Lacks::Room => (Wait::Send, self.config.send_timeout),
            // Whoever makes the body up knows how long that may take.
            Lacks::Part | Lacks::Word => (Wait::All, Duration::MAX),
        };
        self.watch(wait, limit, moved, cx)
    }

    /// The next bytes that have come.
    pub fn poll_recv(&self, cx: &Context<'_>) -> Poll<Result<Option<Packet>, Broken>> {
        match self.lease.as_ref().and_then(Lease::connection) {
            Some(connection) => connection.poll_recv(cx),
            None => Poll::Ready(Ok(None)),
        }
    }

    /// Waits, and gives up when nothing has `moved` for `limit`.
    pub fn watch<T>(
        &mut self,
        wait: Wait,
        limit: Duration,
        moved: bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<T, FetchError>> {
        let now = Task::expect(cx).scheduler().now();
        let word = match self.stage {
            Stage::Word(until) => until,
            _ => Instant::NEVER,
        };
        let running = self.clock.as_mut().filter(|clock| !moved && clock.wait == wait);
        let clock = match running {
            Some(clock) => clock,
            None => {
                let until = (now + limit).min(self.end).min(word);
                self.clock.insert(Clock { wait, sleep: sleep_until(until) })
            }
        };
        if Pin::new(&mut clock.sleep).poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.clock = None;
        if now >= self.end {
            return Poll::Ready(Err(FetchError::Late(Wait::All)));
        }
        if now >= word {
            // A server that says nothing may still want the body.
            self.stage = Stage::Body;
            Task::expect(cx).wake();
            return Poll::Pending;
        }
        Poll::Ready(Err(FetchError::Late(wait)))
    }

    /// What was waited for has come.
    pub fn unwatch(&mut self) {
        self.clock = None;
    }

    /// The head, once it has come; interim ones are left out.
    fn find_head(&mut self) -> Result<Option<Parsed>, Malformed> {
        let limits = Limits {
            head: u16::try_from(self.config.head_limit).unwrap_or(u16::MAX),
            fields: self.config.field_limit,
        };
        // Bounded by the number of interim responses.
        loop {
            let bytes = self.input.bytes();
            let from = self.looked_at.min(bytes.len());
            let behind = bytes.get(from..).unwrap_or(&[]);
            // What is short is looked at whenever there is more of it, so that what is no HTTP at
            // all is told from what is slow; what is long, once it may be complete.
            let may_tell = bytes.len() < SHORT
                || bytes.len() >= limits.head.into()
                || behind.windows(4).any(|it| it == b"\r\n\r\n");
            self.looked_at = bytes.len().saturating_sub(3);
            if bytes.is_empty() || !may_tell {
                return Ok(None);
            }
            let Some(parsed) = parse(self.input.bytes_mut(), &limits)? else { return Ok(None) };
            if parsed.status == Status::SWITCHING_PROTOCOLS {
                if self.stage != Stage::Offer {
                    return Err(Malformed::Upgrade);
                }
                self.stage = Stage::Body;
                return Ok(Some(parsed));
            }
            if parsed.status.class() != 1 {
                if self.stage == Stage::Offer {
                    // The request was all of it.
                    self.stage = Stage::Done;
                }
                if matches!(self.stage, Stage::Word(_)) {
                    //= RFC 9110 10.1.1: a body that was refused is not sent
                    self.stage = Stage::Unwanted;
                }
                return Ok(Some(parsed));
            }
            //= RFC 9110 15.2: any number of interim responses, within reason
            self.interim += 1;
            if self.interim > INTERIM_MAX {
                return Err(Malformed::TooManyInterim(INTERIM_MAX));
            }
            if parsed.status == Status::CONTINUE && matches!(self.stage, Stage::Word(_)) {
                self.stage = Stage::Body;
            }
            self.input.consume(parsed.length);
            self.looked_at = 0;
        }
    }

    /// Sends what there is, as far as there is room: what it lacks, and whether anything moved.
    pub fn push(&mut self, cx: &mut Context<'_>) -> (Lacks, bool) {
        let mut moved = false;
        // Bounded by the room of the connection.
        loop {
            if self.broken.is_some() || self.misfit.is_some() {
                return (Lacks::Nothing, moved);
            }
            if let Some(mut packet) = self.lead.take() {
                let next = packet.take_next();
                match self.send(packet, cx) {
                    Ok(()) => (self.lead, moved) = (next, true),
                    Err(Unsent::Broken(why)) => self.broken = Some(why),
                    Err(Unsent::Full(mut packet)) => {
                        packet.set_next(next);
                        self.lead = Some(packet);
                        return (Lacks::Room, moved);
                    }
                }
                continue;
            }
            match self.stage {
                Stage::Offer | Stage::Done | Stage::Unwanted => return (Lacks::Nothing, moved),
                Stage::Word(_) => return (Lacks::Word, moved),
                Stage::Body => match self.body.poll_part(self.pool, cx) {
                    Poll::Pending => return (Lacks::Part, moved),
                    Poll::Ready(Some(part)) => self.frame(part),
                    Poll::Ready(None) => self.finish(),
                },
            }
        }
    }

    fn send(&mut self, packet: Packet, cx: &Context<'_>) -> Result<(), Unsent> {
        match self.lease.as_ref().and_then(Lease::connection) {
            Some(connection) => connection.try_send(packet, cx),
            None => Err(Unsent::Broken(Broken::Reset)),
        }
    }

    /// Makes a part of the body ready to be sent.
    fn frame(&mut self, mut part: Packet) {
        let length = part.chain_len();
        match &mut self.framing {
            Sending::Length(announced, came) => {
                *came += length as u64;
                if *came > *announced {
                    let (expected, came) = (*announced, *came);
                    self.misfit = Some(FetchError::BodyLength { expected, came });
                    return;
                }
                self.lead = Some(part);
            }
            Sending::Chunks(_) if length == 0 => {}
            Sending::Raw => self.lead = Some(part),
            Sending::Chunks(first) => {
                let frame = ChunkFrame::new(length, core::mem::replace(first, false));
                let frame = frame.bytes();
                let room = match part.headroom() >= frame.len() + BELOW {
                    true => part.grow_front(frame.len()).ok(),
                    false => None,
                };
                if let Some(room) = room.and_then(|room| room.get_mut(..frame.len())) {
                    room.copy_from_slice(frame);
                    self.lead = Some(part);
                    return;
                }
                // A packet that nothing fits in front of follows its frame.
                let Some(mut lead) = self.pool.packet() else {
                    self.misfit = Some(FetchError::Busy);
                    return;
                };
                lead.reset(HEADROOM);
                let _ = lead.append(frame);
                lead.set_next(Some(part));
                self.lead = Some(lead);
            }
        }
    }

    /// There are no more parts.
    fn finish(&mut self) {
        self.stage = Stage::Done;
        match self.framing {
            Sending::Length(expected, came) if came < expected => {
                self.misfit = Some(FetchError::BodyLength { expected, came });
            }
            Sending::Length(..) => {}
            Sending::Raw => {
                if let Some(connection) = self.lease.as_ref().and_then(Lease::connection) {
                    connection.say_all();
                }
            }
            Sending::Chunks(first) => match self.pool.packet() {
                Some(mut packet) => {
                    packet.reset(HEADROOM);
                    let _ = packet.append(last_chunk(first, false));
                    self.lead = Some(packet);
                }
                None => self.misfit = Some(FetchError::Busy),
            },
        }
    }
}

/// Room for the headers below.
const BELOW: usize = 136;

/// Bytes of a head that are looked at whenever one more has come.
const SHORT: usize = 1024;

/// Interim responses before an answer.
const INTERIM_MAX: u8 = 16;
