//! WebSocket: messages both ways on what began as a request (RFC 6455).
//!
//! No extensions are offered, so nothing is compressed. What breaks a rule closes the connection
//! with the code that says which.

mod frame;
mod handshake;
#[cfg(test)]
mod tests;

use super::wire::{NoMemory, try_extend};
use super::{BodyWriter, Finished, Request, Response, Upgraded};
use crate::task::timeout;
use crate::{Duration, Packet};
use alloc::vec::Vec;
use frame::{Header, Opcode, Partial, Utf8, head, unmask};

/// A connection that speaks WebSocket.
#[derive(Debug)]
pub struct WebSocket {
    line: Upgraded,
    limit: usize,
    /// How long the client may say nothing before it is asked, and again before it is given up.
    silence: Option<Duration>,
    /// What has arrived and was not looked at.
    input: Option<Packet>,
    partial: Partial,
    /// The frame whose payload is arriving, and how much of it has.
    frame: Option<(Header, u64)>,
    /// The message whose frames are arriving.
    message: Option<Message>,
    utf8: Utf8,
    control: heapless::Vec<u8, CONTROL>,
    protocol: Option<&'static str>,
    /// Whether our side has said that it is the end.
    closed: bool,
    /// Whether the client has.
    agreed: bool,
    close_code: Option<CloseCode>,
}

/// A message.
#[derive(Debug)]
pub struct Message {
    is_text: bool,
    payload: Payload,
}

/// Short messages stay in the packet that they came in, or in one of their own.
#[derive(Debug)]
enum Payload {
    Packet(Packet),
    Memory(Vec<u8>),
}

/// Why a connection is closed (RFC 6455, section 7.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: all was said.
    pub const NORMAL: Self = Self(1000);
    /// 1001: this end goes away.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: a rule was broken.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003: a kind of message that is not understood.
    pub const UNSUPPORTED: Self = Self(1003);
    /// 1007: text that is no UTF-8, or the like.
    pub const INVALID_DATA: Self = Self(1007);
    /// 1008: not allowed here.
    pub const POLICY: Self = Self(1008);
    /// 1009: a message that is too long, or longer than there is memory for.
    pub const TOO_LARGE: Self = Self(1009);
    /// 1011: something failed on this end.
    pub const INTERNAL_ERROR: Self = Self(1011);

    /// The code `number`; `None` for one that must not be sent.
    pub const fn new(number: u16) -> Option<Self> {
        match number {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(number)),
            _ => None,
        }
    }

    /// The number.
    pub const fn number(self) -> u16 {
        self.0
    }
}

impl Message {
    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        match &self.payload {
            Payload::Packet(packet) => packet.bytes(),
            Payload::Memory(memory) => memory,
        }
    }

    /// Its text; `None` where it is binary.
    pub fn text(&self) -> Option<&str> {
        // It was looked at as it came.
        if self.is_text { core::str::from_utf8(self.bytes()).ok() } else { None }
    }
}

impl WebSocket {
    /// Answers a client that wants to speak WebSocket, which may send messages of up to `limit`
    /// bytes. Of `protocols`, the first that the client lists is chosen. Whether the client's
    /// `Origin` may do so is the app's to ask before: browsers let any page connect.
    ///
    /// # Errors
    /// The response to answer with: 400 or 426 where the client does not ask as it should.
    pub fn accept(
        request: Request,
        protocols: &[&'static str],
        limit: usize,
    ) -> Result<Self, Response> {
        let (line, protocol) = handshake::accept(request, protocols)?;
        Ok(Self {
            line,
            limit,
            silence: None,
            input: None,
            partial: Partial::default(),
            frame: None,
            message: None,
            utf8: Utf8::default(),
            control: heapless::Vec::new(),
            protocol,
            closed: false,
            agreed: false,
            close_code: None,
        })
    }

    /// Has [`receive`](Self::receive) ping a client that says nothing for `silence`, and give up
    /// one that then says nothing for as long again. Without it, a silent client is kept until
    /// others have to wait for its place.
    #[must_use]
    pub fn silence(self, silence: Duration) -> Self {
        Self { silence: Some(silence), ..self }
    }

    /// The protocol that was chosen.
    pub fn protocol(&self) -> Option<&'static str> {
        self.protocol
    }

    /// The request that it began with.
    pub fn request(&self) -> &Request {
        self.line.request()
    }

    /// The code that the client closed with, once it has, if it gave one.
    pub fn close_code(&self) -> Option<CloseCode> {
        self.close_code
    }

    /// The next message; `None` at the end, whoever caused it. Pings are answered and the end is
    /// agreed on here. May be dropped while it waits for bytes: nothing is lost.
    pub async fn receive(&mut self) -> Option<Message> {
        while !self.closed {
            if self.input.is_none() {
                let Some(packet) = self.hear().await else {
                    self.closed = true;
                    break;
                };
                self.input = Some(packet);
            }
            match self.step().await {
                Ok(Some(message)) => return Some(message),
                Ok(None) => {}
                Err(code) => self.say_close(Some(code), "").await,
            }
        }
        None
    }

    /// Sends text.
    pub async fn send_text(&mut self, text: &str) {
        self.frame(Opcode::Text, text.as_bytes()).await;
    }

    /// Sends bytes.
    pub async fn send_binary(&mut self, bytes: &[u8]) {
        self.frame(Opcode::Binary, bytes).await;
    }

    /// Sends a message on, without a copy where it is short.
    pub async fn send(&mut self, message: Message) {
        let opcode = if message.is_text { Opcode::Text } else { Opcode::Binary };
        if self.closed {
            return;
        }
        let mut packet = match message.payload {
            Payload::Packet(packet) => packet,
            Payload::Memory(memory) => return self.frame(opcode, &memory).await,
        };
        let (head, count) = head(opcode, packet.len());
        match packet.grow_front(count) {
            Ok(room) => {
                for (place, byte) in room.iter_mut().zip(head.iter().take(count)) {
                    *place = *byte;
                }
                self.writer().send(packet).await;
            }
            Err(_) => self.frame(opcode, packet.bytes()).await,
        }
    }

    /// Asks the client to answer with up to 125 bytes of `bytes`. The answer is not reported: the
    /// connection ends where the client is gone.
    pub async fn ping(&mut self, bytes: &[u8]) {
        self.frame(Opcode::Ping, bytes.get(..CONTROL).unwrap_or(bytes)).await;
    }

    /// Says why it is the end, in up to 123 bytes, waits for the client to agree, a second at
    /// most, and ends the connection. To be called last, whoever caused the end.
    pub async fn close(mut self, code: CloseCode, reason: &str) -> Finished {
        if !self.closed {
            self.say_close(Some(code), reason).await;
            let _ = timeout(Duration::from_secs(1), self.await_close()).await;
        }
        self.line.finish().await
    }

    /// The next bytes; `None` at the end, and when the client was silent for too long.
    async fn hear(&mut self) -> Option<Packet> {
        let Some(silence) = self.silence else { return self.line.receive().await };
        if let Ok(heard) = timeout(silence, self.line.receive()).await {
            return heard;
        }
        self.ping(b"").await;
        timeout(silence, self.line.receive()).await.ok().flatten()
    }

    fn writer(&mut self) -> &mut BodyWriter {
        self.line.writer()
    }

    /// Looks at what is left of the input. A message, where that completes one.
    async fn step(&mut self) -> Result<Option<Message>, CloseCode> {
        let Some((header, seen)) = self.frame else {
            let Some(input) = &mut self.input else { return Ok(None) };
            let (used, header) = self.partial.take(input.bytes())?;
            input.trim_front(used);
            if let Some(header) = header {
                self.begin(&header)?;
                self.frame = Some((header, 0));
            }
            if self.input.as_ref().is_some_and(Packet::is_empty)
                && self.frame.is_none_or(|(header, _)| header.length > 0)
            {
                self.input = None;
            }
            return Ok(None);
        };
        let left = header.length - seen;
        let mut part = self.input.take();
        let have = part.as_ref().map_or(0, Packet::len);
        let count = usize::try_from(left).map_or(have, |left| left.min(have));
        if let Some(bytes) = part.as_mut().and_then(|part| part.bytes_mut().get_mut(..count)) {
            unmask(bytes, header.mask, seen);
        }
        let done = count as u64 == left;
        self.frame = if done { None } else { Some((header, seen + count as u64)) };
        if header.opcode.is_control() {
            let bytes = part.as_ref().and_then(|part| part.bytes().get(..count)).unwrap_or(&[]);
            // No more than fits: the header was looked at.
            let _ = self.control.extend_from_slice(bytes);
        } else if let Some(whole) = self.whole(&header, seen, count, &mut part) {
            return whole.map(Some);
        } else {
            let bytes = part.as_ref().and_then(|part| part.bytes().get(..count)).unwrap_or(&[]);
            //= RFC 6455 8.1: as soon as it shows
            if self.is_text() && !self.utf8.push(bytes) {
                return Err(CloseCode::INVALID_DATA);
            }
            self.append(part.as_ref(), count).map_err(|NoMemory| CloseCode::TOO_LARGE)?;
        }
        if let Some(mut part) = part
            && part.len() > count
        {
            part.trim_front(count);
            self.input = Some(part);
        }
        match done {
            true => self.end(&header).await,
            false => Ok(None),
        }
    }

    /// A header is complete: whether its frame may come now.
    fn begin(&mut self, header: &Header) -> Result<(), CloseCode> {
        if header.opcode.is_control() {
            self.control.clear();
            return Ok(());
        }
        //= RFC 6455 5.4: a message is continued, and nothing else, until it is complete
        let so_far = match (&self.message, header.opcode) {
            (None, Opcode::Text | Opcode::Binary) => 0,
            (Some(message), Opcode::Continuation) => message.bytes().len() as u64,
            _ => return Err(CloseCode::PROTOCOL_ERROR),
        };
        if so_far.saturating_add(header.length) > self.limit as u64 {
            return Err(CloseCode::TOO_LARGE);
        }
        if header.opcode != Opcode::Continuation {
            self.utf8 = Utf8::default();
            let payload = Payload::Memory(Vec::new());
            self.message = Some(Message { is_text: header.opcode == Opcode::Text, payload });
        }
        Ok(())
    }

    /// The usual case: a message of one frame, at the end of one packet. It stays there.
    fn whole(
        &mut self,
        header: &Header,
        seen: u64,
        count: usize,
        part: &mut Option<Packet>,
    ) -> Option<Result<Message, CloseCode>> {
        let is_whole = header.last
            && seen == 0
            && header.opcode != Opcode::Continuation
            && count as u64 == header.length
            && part.as_ref().is_some_and(|part| part.len() == count);
        let packet = if is_whole { part.take()? } else { return None };
        let is_text = self.message.take()?.is_text;
        match is_text && core::str::from_utf8(packet.bytes()).is_err() {
            true => Some(Err(CloseCode::INVALID_DATA)),
            false => Some(Ok(Message { is_text, payload: Payload::Packet(packet) })),
        }
    }

    fn is_text(&self) -> bool {
        self.message.as_ref().is_some_and(|message| message.is_text)
    }

    /// Adds the first `count` bytes of `part` to the message.
    fn append(&mut self, part: Option<&Packet>, count: usize) -> Result<(), NoMemory> {
        let bytes = part.and_then(|part| part.bytes().get(..count)).unwrap_or(&[]);
        let Some(message) = &mut self.message else { return Ok(()) };
        if let Payload::Packet(packet) = &mut message.payload {
            if packet.append(bytes).is_ok() {
                return Ok(());
            }
            let mut memory = Vec::new();
            try_extend(&mut memory, packet.bytes())?;
            message.payload = Payload::Memory(memory);
        }
        let Payload::Memory(memory) = &mut message.payload else { return Ok(()) };
        if memory.is_empty()
            && bytes.len() <= SHORT
            && let Some(packet) = short(part, bytes)
        {
            message.payload = Payload::Packet(packet);
            return Ok(());
        }
        try_extend(memory, bytes)
    }

    /// A frame is complete.
    async fn end(&mut self, header: &Header) -> Result<Option<Message>, CloseCode> {
        match header.opcode {
            Opcode::Pong => Ok(None),
            //= RFC 6455 5.5.2: with the same bytes, as soon as may be
            Opcode::Ping => {
                let bytes = core::mem::take(&mut self.control);
                self.frame(Opcode::Pong, &bytes).await;
                Ok(None)
            }
            //= RFC 6455 5.5.1: the same code goes back
            Opcode::Close => {
                let code = close_code(&self.control)?;
                self.close_code = code;
                self.agreed = true;
                self.say_close(code, "").await;
                Ok(None)
            }
            _ if !header.last => Ok(None),
            _ if self.is_text() && !self.utf8.is_complete() => Err(CloseCode::INVALID_DATA),
            _ => Ok(self.message.take()),
        }
    }

    /// Sends a close frame, and nothing after it.
    async fn say_close(&mut self, code: Option<CloseCode>, reason: &str) {
        let mut payload = heapless::Vec::<u8, CONTROL>::new();
        if let Some(code) = code {
            let _ = payload.extend_from_slice(&code.0.to_be_bytes());
            let end =
                (0..=reason.len().min(CONTROL - 2)).rev().find(|&at| reason.is_char_boundary(at));
            let reason = reason.get(..end.unwrap_or(0)).unwrap_or("");
            let _ = payload.extend_from_slice(reason.as_bytes());
        }
        self.frame(Opcode::Close, &payload).await;
        self.closed = true;
    }

    /// Reads on, for the client to see that what it sent was taken, until its own close frame.
    async fn await_close(&mut self) {
        while !self.agreed {
            if self.input.is_none() {
                self.input = self.line.receive().await;
                if self.input.is_none() {
                    return;
                }
            }
            // What it still says does not matter, and what breaks a rule ends it.
            match self.step().await {
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }

    async fn frame(&mut self, opcode: Opcode, bytes: &[u8]) {
        if self.closed {
            return;
        }
        let (head, count) = head(opcode, bytes.len());
        if bytes.len() <= SHORT {
            // In one piece: whoever stops waiting for this leaves no half a frame behind.
            let mut packet = self.writer().packet().await;
            let _ = packet.append(head.get(..count).unwrap_or(&head));
            let _ = packet.append(bytes);
            return self.writer().send(packet).await;
        }
        self.writer().write(head.get(..count).unwrap_or(&head)).await;
        self.writer().write(bytes).await;
        self.writer().flush().await;
    }
}

/// A packet of its own for a short piece; `None` when there is none.
fn short(part: Option<&Packet>, bytes: &[u8]) -> Option<Packet> {
    let mut packet = part?.pool().packet()?;
    packet.append(bytes).ok()?;
    Some(packet)
}

/// What a close frame says (RFC 6455, section 5.5.1).
fn close_code(payload: &[u8]) -> Result<Option<CloseCode>, CloseCode> {
    match payload {
        [] => Ok(None),
        [high, low, reason @ ..] => {
            //= RFC 6455 7.4: reserved codes, and those that nobody has defined, are refused
            let code = CloseCode::new(u16::from_be_bytes([*high, *low]));
            let code = code.ok_or(CloseCode::PROTOCOL_ERROR)?;
            match core::str::from_utf8(reason) {
                Ok(_) => Ok(Some(code)),
                Err(_) => Err(CloseCode::INVALID_DATA),
            }
        }
        [_] => Err(CloseCode::PROTOCOL_ERROR),
    }
}

/// The longest payload of a control frame.
const CONTROL: usize = 125;

/// A piece of a message that fits into a packet.
const SHORT: usize = 1440;
