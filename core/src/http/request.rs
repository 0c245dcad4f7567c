//! Requests, as a handler sees them.

use super::client::{Fetch, Incoming};
use super::head::is_same_name;
use super::response::TEXT;
use super::slot::{BROKEN, Reply, STARTED, STREAMED};
use super::wire::{NoMemory, try_extend};
use super::{Body, BodyWriter, Head, IntoResponse, Length, Method, Response, Status, Version, uri};
use crate::dial::{Connection, DialError};
use crate::task::{Sleep, sleep};
use crate::{Duration, Instant, Packet, Pool, System};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::fmt;
use core::future::poll_fn;
use core::net::SocketAddr;
use core::str::FromStr;

/// A request. It owns its head, so what it shows can be held across awaits.
pub struct Request {
    head: Head,
    pattern: &'static str,
    reply: Reply,
    trailers: Vec<u8>,
}

/// Why a request cannot be served: a status and a sentence for whoever sent it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The status to answer with.
    pub status: Status,
    /// What is wrong, and what would be right.
    pub reason: &'static str,
}

impl Request {
    #[inline]
    pub(super) fn new(head: Head, reply: Reply) -> Self {
        Self { head, pattern: "", reply, trailers: Vec::new() }
    }

    #[inline]
    pub(super) fn set_pattern(&mut self, pattern: &'static str) {
        self.pattern = pattern;
    }

    #[inline]
    pub(super) fn reply(&self) -> Reply {
        self.reply
    }

    /// The head.
    #[inline]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The method.
    #[inline]
    pub fn method(&self) -> Method {
        self.head.method()
    }

    /// The version of HTTP it came with.
    pub fn version(&self) -> Version {
        self.head.version()
    }

    /// The target's path, percent-encoded as sent.
    pub fn path(&self) -> &str {
        self.head.path()
    }

    /// Host and port that it is for; empty when nothing says.
    pub fn authority(&self) -> &str {
        self.head.authority()
    }

    /// Whether it came through a port whose `scheme` is `https`: over TLS, unless something in
    /// front of the image ends that.
    pub fn is_secure(&self) -> bool {
        self.head.is_secure()
    }

    /// Whether no other site sent it: `Origin` is absent, as it is where no browser was involved,
    /// or names the host that the request is for. Browsers let any page connect by WebSocket, and
    /// send forms anywhere; who trusts cookies asks this first.
    pub fn is_same_origin(&self) -> bool {
        let Some(origin) = self.head.field_bytes("Origin") else { return true };
        let host = [&b"http://"[..], b"https://"].iter().find_map(|it| origin.strip_prefix(*it));
        host.is_some_and(|host| host.eq_ignore_ascii_case(self.authority().as_bytes()))
    }

    /// The value of the first field called `name`, in whatever case; `None` when there is none,
    /// or when it is not UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.field(name)
    }

    /// The path parameter `name`: what stands at `{name}` in the route's pattern, decoded and
    /// parsed. What does not parse is a 400.
    pub fn param<T: FromStr>(&self, name: &str) -> Result<T, Problem> {
        uri::parameter(self.pattern, self.head.path(), name)
            .and_then(|text| parse(text, false))
            .ok_or(Problem::bad_request("a part of the path is not what it should be"))
    }

    /// What of the path stands at the end of the route's pattern, at `{name...}`, as sent; all
    /// of it, without its slash, where the pattern has no such end.
    pub fn rest(&self) -> Option<&str> {
        let last = self.pattern.rsplit('/').next().unwrap_or("");
        match last.strip_prefix('{').and_then(|last| last.strip_suffix("...}")) {
            Some(name) => uri::parameter(self.pattern, self.head.path(), name),
            None => self.head.path().strip_prefix('/'),
        }
    }

    /// The query parameter `name`, decoded and parsed. What is missing or does not parse is
    /// a 400.
    pub fn query<T: FromStr>(&self, name: &str) -> Result<T, Problem> {
        self.find_query(name)?.ok_or(Problem::bad_request("a query parameter is missing"))
    }

    /// The same, and `default` where it is missing.
    pub fn query_or<T: FromStr>(&self, name: &str, default: T) -> Result<T, Problem> {
        Ok(self.find_query(name)?.unwrap_or(default))
    }

    fn find_query<T: FromStr>(&self, name: &str) -> Result<Option<T>, Problem> {
        let query = self.head.query().unwrap_or("");
        let Some(text) = uri::query_parameter(query, name) else { return Ok(None) };
        let problem = Problem::bad_request("a query parameter is not what it should be");
        parse(text, true).map(Some).ok_or(problem)
    }

    /// What is known of the body's length.
    pub fn body_length(&self) -> Length {
        self.head.body()
    }

    /// Connects to `target`: `NAME:PORT`, `ADDRESS:PORT` or `[ADDRESS]:PORT`, over whichever
    /// version of IP answers first. For that the image needs an instance of `dial`.
    pub async fn connect(&self, target: &str) -> Result<Connection, DialError> {
        let dialer = self.system().dialer().ok_or(DialError::NoDialer)?;
        dialer.connect(target).await
    }

    /// The same with TLS, which makes sure of who the other end is: of the name or address in
    /// `target`. For that the image needs an instance of `dial` on one of `tls-client`.
    pub async fn connect_secure(&self, target: &str) -> Result<Connection, DialError> {
        let dialer = self.system().secure_dialer().ok_or(DialError::NoDialer)?;
        dialer.connect(target).await
    }

    /// Begins to ask another server for `url`: `http://example.org/path?query`. What is sent
    /// with it is added to what this returns, which then is [sent](Fetch::send). For that the
    /// image needs an instance of `fetch`.
    pub fn fetch<'a>(&self, method: Method, url: &'a str) -> Fetch<'a> {
        Fetch::begin(self.system().client(), self.pool(), method.name(), url)
    }

    /// The next bytes of the body, as they come; `None` at its end. When the body ends early,
    /// or breaks the rules of its encoding, the handler is dropped instead.
    pub async fn chunk(&mut self) -> Option<Packet> {
        let chunk = poll_fn(|_| self.reply.poll_chunk()).await;
        if chunk.is_none()
            && let Some(slot) = self.reply.slot()
            && slot.has(super::slot::TRAILED)
        {
            self.trailers.append(&mut slot.trailers.take());
        }
        chunk
    }

    /// The body, to be passed on to another server as it comes: see
    /// [`Fetch::stream`](Fetch::stream). Its trailer fields are left out.
    pub fn incoming(&self) -> Incoming {
        Incoming::new(self.reply)
    }

    /// The trailer fields, which stand behind a body (RFC 9110, section 6.5): those of which it
    /// is safe to believe a client. None before [`chunk`](Self::chunk) said that the body has
    /// ended.
    pub fn trailers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        super::head::lines(&self.trailers).filter(|(name, _)| !super::head::is_of_head(name))
    }

    /// The value of the first trailer field called `name`, in whatever case; `None` when there is
    /// none, or when it is not UTF-8.
    pub fn trailer(&self, name: &str) -> Option<&str> {
        let mut trailers = self.trailers();
        let (_, value) = trailers.find(|(other, _)| is_same_name(other, name))?;
        core::str::from_utf8(value).ok()
    }

    /// The whole body, of at most `limit` bytes; a longer one is a 413, and a 503 where
    /// there is not enough memory for it. Allocates.
    pub async fn collect(&mut self, limit: usize) -> Result<Vec<u8>, Problem> {
        let too_large =
            Problem { status: Status::CONTENT_TOO_LARGE, reason: "the body is too long" };
        if matches!(self.head.body(), Length::Known(length) if length > limit as u64) {
            return Err(too_large);
        }
        let mut all = Vec::new();
        while let Some(chunk) = self.chunk().await {
            if all.len() + chunk.len() > limit {
                return Err(too_large);
            }
            try_extend(&mut all, chunk.bytes()).map_err(|NoMemory| NO_MEMORY)?;
        }
        Ok(all)
    }

    /// Answers with `response` now, and with a body that is written bit by bit. A request has
    /// one response: a second stream breaks both. A client that waits to be asked for its body is
    /// asked first, unless the status is one from 300 on. Where only the head was asked for, by
    /// `HEAD`, the handler is dropped where it waits next.
    pub fn stream(&self, response: impl IntoResponse) -> BodyWriter {
        let response = response.into_response(self.pool()).body(Body::Stream);
        if let Some(slot) = self.reply.slot() {
            if slot.has(STARTED) {
                slot.set(BROKEN);
            } else {
                slot.set(STARTED | STREAMED);
                slot.respond(response);
            }
        }
        BodyWriter::new(self.reply)
    }

    /// A response of text: `request.text(format_args!("{a} and {b}"))`.
    // By itself, so that an audit sees what is formatted here and what elsewhere.
    #[inline(never)]
    pub fn text(&self, text: fmt::Arguments<'_>) -> Response {
        let mut writer = super::Writer::new(self.pool());
        let _ = fmt::Write::write_fmt(&mut writer, text);
        match writer.into_body() {
            Some(body) => Response::ok().content_type(TEXT).body(body),
            None => Response::failure(Status::SERVICE_UNAVAILABLE),
        }
    }

    /// The client's address.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.reply.slot()?.peer.get()
    }

    /// Who the client has shown to be, by a certificate that somebody who is trusted vouches for:
    /// its subject as in RFC 4514, such as `CN=alice,O=Example`. `None` where nobody asked, as
    /// everywhere but on a `tls` with `clients`, or where nothing was shown. A client that resumes
    /// a connection is who it was.
    pub fn identity(&self) -> Option<Rc<str>> {
        self.reply.slot()?.identity()
    }

    /// Whether somebody who saw the request pass may have sent it again, as it is: it came as early
    /// data of TLS 1.3, before its client had shown to be there, or a gateway before us says so by
    /// the field `Early-Data` (RFC 8470). Only requests with a safe method are handed over early.
    /// A handler for which it matters how often it is asked answers with
    /// [`TOO_EARLY`](Status::TOO_EARLY), and the client asks again when it cannot be a copy.
    pub fn is_early(&self) -> bool {
        self.head.is_early()
    }

    /// The image as a whole: its graph and the counters of its instances.
    pub fn system(&self) -> &'static System {
        self.reply.environment().system
    }

    /// The files that the manifest names for this instance.
    pub fn files(&self) -> super::Files {
        self.reply.environment().files
    }

    /// Where packets come from.
    pub fn pool(&self) -> Pool {
        self.reply.environment().pool
    }

    /// The time at the start of this sweep.
    pub fn now(&self) -> Instant {
        self.reply.environment().task.scheduler().now()
    }

    /// Waits for `duration`.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        sleep(duration)
    }
}

fn parse<T: FromStr>(text: &str, plus: bool) -> Option<T> {
    uri::decode(text, plus, &mut [0; PARAMETER])?.parse().ok()
}

impl Problem {
    /// 400 Bad Request, because of `reason`.
    pub const fn bad_request(reason: &'static str) -> Self {
        Self { status: Status::BAD_REQUEST, reason }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("head", &self.head).finish_non_exhaustive()
    }
}

/// What a client is told whose body there is no memory for.
const NO_MEMORY: Problem = Problem {
    status: Status::SERVICE_UNAVAILABLE,
    reason: "there is not enough memory for the body",
};

/// The most bytes of a parameter that has to be decoded.
const PARAMETER: usize = 512;
