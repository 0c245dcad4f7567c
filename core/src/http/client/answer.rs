//! What a server answered: the head, and the body as it comes.

use super::body::Outgoing;
use super::exchange::Exchange;
use super::head::Parsed;
use super::{FetchError, Malformed, Nothing, Source, Wait};
use crate::http::head::{is_of_head, is_same_name, lines};
use crate::http::wire::{Framing, NoMemory, Taken, try_extend};
use crate::http::{HeadBytes, Length, Span, Status, Version};
use crate::task::Task;
use crate::{Instant, Packet};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::future::poll_fn;
use core::pin::pin;
use core::task::{Context, Poll};
use serde::de::DeserializeOwned;

/// What a server answered. It owns its head, so what it shows can be held across awaits.
///
/// Once the body was taken to its end, the connection serves another request. Dropped before
/// that, the connection is given up.
pub struct Answer<S = Nothing> {
    head: HeadBytes,
    parsed: Parsed,
    exchange: Exchange<S>,
    framing: Framing,
    /// Whether the end of the body is that of the connection.
    until_end: bool,
    length: Length,
    came: u64,
    trailers: Vec<u8>,
    /// Why there is nothing more, though the body was not complete.
    failed: Option<FetchError>,
}

impl<S: Source> Answer<S> {
    /// The answer of `head`, whose body is what `exchange` holds and gets. `bare` where only a
    /// head was asked for.
    pub(super) fn new(
        mut exchange: Exchange<S>,
        head: HeadBytes,
        parsed: Parsed,
        bare: bool,
    ) -> Self {
        let framing = match parsed.status {
            // What comes is another protocol's.
            Status::SWITCHING_PROTOCOLS => Framing::UntilEnd,
            _ if bare => Framing::Done,
            _ => parsed.body,
        };
        let length = match framing {
            Framing::Done => Length::None,
            Framing::Length(length) => Length::Known(length),
            Framing::Chunked(_) | Framing::UntilEnd => Length::Unknown,
        };
        if parsed.status.class() >= 4 && !parsed.keep_alive {
            //= RFC 9112 9.6: what follows is not wanted any more
            exchange.stop_sending();
        }
        let mut answer = Self {
            head,
            parsed,
            exchange,
            framing,
            until_end: framing == Framing::UntilEnd,
            length,
            came: 0,
            trailers: Vec::new(),
            failed: None,
        };
        answer.settle();
        answer
    }

    /// The status.
    pub fn status(&self) -> Status {
        self.parsed.status
    }

    /// What the server says the status means; often nothing.
    pub fn reason(&self) -> &str {
        core::str::from_utf8(self.slice(self.parsed.reason)).unwrap_or("")
    }

    /// The version that the server speaks.
    pub fn version(&self) -> Version {
        self.parsed.version
    }

    /// The fields in order, names as sent, values without white space around them.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        lines(self.slice(self.parsed.fields))
    }

    /// The value of the first field called `name`, in whatever case; `None` when there is none.
    pub fn header_bytes(&self, name: &str) -> Option<&[u8]> {
        self.fields().find(|(other, _)| is_same_name(other, name)).map(|(_, value)| value)
    }

    /// The same as text; `None` also when it is not UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        core::str::from_utf8(self.header_bytes(name)?).ok()
    }

    /// What was known of the body's length when it began.
    pub fn body_length(&self) -> Length {
        self.length
    }

    /// The next bytes of the body, as they come; `None` at its end.
    ///
    /// # Errors
    /// When the body does not come to its end; again and again, if one asks.
    pub async fn chunk(&mut self) -> Result<Option<Packet>, FetchError> {
        let chunk = poll_fn(|cx| self.poll_chunk(cx)).await;
        if let (Err(why), None) = (&chunk, self.failed) {
            self.fail(*why);
        }
        chunk
    }

    /// Waits for `other`, such as for a client that takes what came, and goes on meanwhile with
    /// what is sent to the server.
    pub async fn during<T>(&mut self, other: impl Future<Output = T>) -> T {
        let mut other = pin!(other);
        poll_fn(|cx| {
            // Why it cannot go on is found out when the next bytes are asked for.
            let _ = self.exchange.push(cx);
            other.as_mut().poll(cx)
        })
        .await
    }

    /// The trailer fields, which stand behind a body in chunks: those of which it is safe to
    /// believe a server. None before [`chunk`](Self::chunk) said that the body has ended.
    pub fn trailers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        lines(&self.trailers).filter(|(name, _)| !is_of_head(name))
    }

    /// The whole body, of at most `limit` bytes. Allocates.
    ///
    /// # Errors
    /// When the body is longer, or does not come to its end.
    pub async fn collect(&mut self, limit: usize) -> Result<Vec<u8>, FetchError> {
        let too_long = FetchError::TooLong(limit as u64);
        if matches!(self.length, Length::Known(length) if length > limit as u64) {
            return Err(too_long);
        }
        let mut all = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if all.len() + chunk.len() > limit {
                return Err(too_long);
            }
            try_extend(&mut all, chunk.bytes()).map_err(|NoMemory| FetchError::NoMemory)?;
        }
        Ok(all)
    }

    /// Takes the rest of a body of at most `limit` bytes that comes to its end before `until`, and
    /// nothing more of a longer one or a late one. What is not taken is nobody's failure.
    pub(super) async fn drain(&mut self, mut limit: usize, until: Instant) {
        if matches!(self.length, Length::Known(length) if length > limit as u64) {
            return;
        }
        self.exchange.unwatch();
        self.exchange.end = self.exchange.end.min(until);
        while let Ok(Some(chunk)) = poll_fn(|cx| self.poll_chunk(cx)).await {
            match limit.checked_sub(chunk.len()) {
                Some(left) => limit = left,
                None => return,
            }
        }
    }

    /// The same as text.
    ///
    /// # Errors
    /// Also when it is not UTF-8.
    pub async fn text(&mut self, limit: usize) -> Result<String, FetchError> {
        let bytes = self.collect(limit).await?;
        String::from_utf8(bytes).map_err(|_| FetchError::NotText)
    }

    /// The body, JSON of at most `limit` bytes, as a `T`; whatever its `Content-Type` says.
    ///
    /// # Errors
    /// Also when it is no JSON, or not that of a `T`.
    pub async fn json<T: DeserializeOwned>(&mut self, limit: usize) -> Result<T, FetchError> {
        let bytes = self.collect(limit).await?;
        serde_json::from_slice(&bytes).map_err(|_| FetchError::NotJson)
    }

    /// What was sent with the request.
    pub(super) fn into_body(self) -> Outgoing<S> {
        self.exchange.into_body()
    }

    /// Whether what was sent with the request can be sent again.
    pub(super) fn rewind(&mut self) -> bool {
        self.exchange.rewind()
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Packet>, FetchError>> {
        if let Some(why) = self.failed {
            return Poll::Ready(Err(why));
        }
        if self.framing == Framing::Done {
            return Poll::Ready(Ok(None));
        }
        // A server may answer before it has all of the request.
        let (_, mut moved) = self.exchange.push(cx);
        if let Some(why) = self.exchange.misfit() {
            return Poll::Ready(Err(why));
        }
        // Bounded: each turn takes a packet, of which there are only so many in the mailbox.
        loop {
            let part = match self.exchange.input.take_packet() {
                Some(part) => part,
                None => match self.exchange.poll_recv(cx) {
                    Poll::Ready(Ok(Some(part))) => part,
                    Poll::Ready(Ok(None)) => return Poll::Ready(self.end()),
                    Poll::Ready(Err(why)) => return Poll::Ready(Err(FetchError::Broken(why))),
                    Poll::Pending => {
                        let limit = match self.parsed.status {
                            Status::SWITCHING_PROTOCOLS => self.exchange.silence,
                            _ => self.exchange.config.body_timeout,
                        };
                        return self.exchange.watch(Wait::Body, limit, moved, cx);
                    }
                },
            };
            moved = true;
            self.exchange.unwatch();
            match self.framing.take(part, &mut self.trailers, self.exchange.pool) {
                Taken::Data(data, rest) => {
                    if let Some(rest) = rest {
                        self.exchange.input = crate::http::wire::Input::Packet(rest);
                    }
                    let data = data.filter(|data| !data.is_empty());
                    self.came += data.as_ref().map_or(0, |data| data.len() as u64);
                    if self.framing == Framing::Done {
                        self.settle();
                    }
                    if data.is_some() || self.framing == Framing::Done {
                        return Poll::Ready(Ok(data));
                    }
                }
                Taken::NoPacket(part) => {
                    self.exchange.input = crate::http::wire::Input::Packet(part);
                    // Nobody tells when packets come back.
                    Task::expect(cx).wake();
                    return Poll::Pending;
                }
                Taken::Malformed => return Poll::Ready(Err(Malformed::Chunk.into())),
            }
        }
    }

    /// The connection has ended.
    fn end(&mut self) -> Result<Option<Packet>, FetchError> {
        let expected = match (self.framing, self.length) {
            (Framing::UntilEnd | Framing::Done, _) => {
                self.framing = Framing::Done;
                self.settle();
                return Ok(None);
            }
            (_, Length::Known(length)) => Some(length),
            _ => None,
        };
        //= RFC 9112 8: a message that breaks off is incomplete
        Err(FetchError::Closed { came: Some(self.came), expected })
    }

    /// Counts why there is nothing more, and gives the connection up.
    fn fail(&mut self, why: FetchError) {
        if let Some(lease) = self.exchange.lease.take() {
            lease.client().count(why);
        }
        self.failed = Some(why);
    }

    /// Once the answer is complete: the connection serves another request, if it can.
    fn settle(&mut self) {
        if self.framing != Framing::Done {
            return;
        }
        let Some(lease) = self.exchange.lease.take() else { return };
        //= RFC 9112 6.3: bytes behind an answer are no other answer
        //= RFC 9112 9.3: kept only if both sides have said all, and neither that it is the end
        let reusable = self.parsed.keep_alive
            && !self.until_end
            && self.exchange.is_sent()
            && self.exchange.input.is_empty();
        if reusable {
            lease.keep();
        }
    }

    fn slice(&self, span: Span) -> &[u8] {
        let bytes = match &self.head {
            HeadBytes::Packet(packet) => packet.bytes(),
            HeadBytes::Memory(memory) => memory,
        };
        bytes.get(usize::from(span.start)..usize::from(span.end)).unwrap_or(&[])
    }
}

impl<S> fmt::Debug for Answer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Answer");
        out.field("status", &self.parsed.status).field("length", &self.length);
        out.finish_non_exhaustive()
    }
}
