//! A request to another server, while it is put together and sent.

use super::body::{Nothing, Outgoing, Whole};
use super::exchange::Exchange;
use super::lines::{Announced, Lines, Said};
use super::place::{Place, check_target};
use super::pool::{Choice, Client};
use super::redirect::{Onward, is_of_body, is_secret, onward, resolve};
use super::{Answer, FetchError, Malformed, Source};
use crate::http::head::is_same_name;
use crate::http::wire::{NoPacket, is_host};
use crate::http::{FieldValue, Fields, IntoBody, Json, Length, Noted, Status, is_token};
use crate::task::{Task, sleep};
use crate::{Duration, Instant, Pool};
use alloc::string::String;
use core::fmt;
use core::future::poll_fn;
use core::task::Poll;
use serde::Serialize;

/// A request to another server. Nothing happens before it is [sent](Self::send).
///
/// Whatever text an app puts into a field, no server sees a field or a request more: what is not
/// allowed makes the request fail before anything is sent.
#[must_use = "nothing is sent before `send`"]
pub struct Fetch<'a, S = Nothing> {
    client: Option<&'static Client>,
    pool: Pool,
    method: &'a str,
    url: &'a str,
    host: Option<&'a str>,
    target: Option<&'a str>,
    fields: Option<Fields>,
    /// What the body is, unless a field says so.
    media: Option<&'a str>,
    has_agent: bool,
    body: Outgoing<S>,
    /// That of a body which comes bit by bit.
    length: Length,
    expects: bool,
    /// The protocol that is offered, and how long it may be silent.
    upgrade: Option<(&'a str, Duration)>,
    redirects: u8,
    within: Option<Duration>,
    bad: Option<FetchError>,
}

impl<'a> Fetch<'a> {
    pub(in crate::http) fn begin(
        client: Option<&'static Client>,
        pool: Pool,
        method: &'a str,
        url: &'a str,
    ) -> Self {
        Self {
            client,
            pool,
            method,
            url,
            host: None,
            target: None,
            fields: None,
            media: None,
            has_agent: false,
            body: Outgoing::Whole(Whole::None, 0),
            length: Length::None,
            expects: false,
            upgrade: None,
            redirects: 0,
            within: None,
            bad: None,
        }
    }

    /// The same with a body, and its media type, unless `Content-Type` is added as a field. It may
    /// be sent a second time: by a redirect, or where a kept connection turns out to be closed.
    pub fn body(mut self, media: &'a str, body: impl IntoBody) -> Self {
        match body.into_body(self.pool) {
            Some(body) => self.body = Outgoing::Whole(Whole::of(body), 0),
            None => self.spoil(FetchError::BadField),
        }
        self.media = Some(media);
        self
    }

    /// The same with `value` as a body of JSON.
    pub fn json(self, value: impl Serialize) -> Self {
        self.body("application/json", Json(value))
    }

    /// The same with a body that comes bit by bit, of a length that is known or not; without one
    /// where that is [`Length::None`].
    pub fn stream<S: Source>(self, source: S, length: Length) -> Fetch<'a, S> {
        let body = match length {
            Length::None => Outgoing::Whole(Whole::None, 0),
            Length::Known(_) | Length::Unknown => Outgoing::Parts(source, false),
        };
        self.with(body, length)
    }

    /// The same without a body, offering the server to go on with `protocol` (RFC 9110, section
    /// 7.8), whose bytes come from `source`, which is not asked before the server agrees. Where it
    /// does, the status is 101, and the answer's body are the bytes of the protocol, up to the end
    /// of the connection; who takes them, sends as well. It is given up when nothing passes either
    /// way for `silence`. Where the server does not agree, the answer is one like any other.
    pub fn upgrade<S: Source>(
        mut self,
        protocol: &'a str,
        source: S,
        silence: Duration,
    ) -> Fetch<'a, S> {
        let (name, version) = protocol.split_once('/').unwrap_or((protocol, "1"));
        if ![name, version].iter().all(|part| is_token(part.as_bytes())) {
            self.spoil(FetchError::BadField);
        }
        self.upgrade = Some((protocol, silence));
        self.with(Outgoing::Parts(source, false), Length::None)
    }

    fn with<S>(self, body: Outgoing<S>, length: Length) -> Fetch<'a, S> {
        Fetch {
            client: self.client,
            pool: self.pool,
            method: self.method,
            url: self.url,
            host: self.host,
            target: self.target,
            fields: self.fields,
            media: self.media,
            has_agent: self.has_agent,
            body,
            length,
            expects: self.expects,
            upgrade: self.upgrade,
            redirects: self.redirects,
            within: self.within,
            bad: self.bad,
        }
    }
}

impl<'a, S: Source> Fetch<'a, S> {
    /// The same with one more field. Framing is not yours: `Content-Length`,
    /// `Transfer-Encoding`, `Connection`, `Host`, `Expect` and some more make the request fail.
    pub fn header(mut self, name: &str, value: impl FieldValue) -> Self {
        self.has_agent |= is_same_name(name, "User-Agent");
        if OURS.iter().any(|ours| is_same_name(name, ours)) {
            self.spoil(FetchError::BadField);
        }
        if self.fields.is_none() {
            self.fields = Fields::new(self.pool);
        }
        if self.fields.as_mut().is_none_or(|fields| fields.add(name, value).is_err()) {
            self.spoil(FetchError::BadField);
        }
        self
    }

    /// The same with another method, of whatever name.
    pub fn method(mut self, name: &'a str) -> Self {
        self.method = name;
        self
    }

    /// The same, asked of a server in the name of another host: what `Host` says.
    pub fn host(mut self, host: &'a str) -> Self {
        if host.is_empty() || !is_host(host.as_bytes()) {
            self.spoil(FetchError::BadUrl("a host is a name or an address, and perhaps a port"));
        }
        self.host = Some(host);
        self
    }

    /// The same with another path and query than those of the URL; or `*`, for `OPTIONS`.
    pub fn target(mut self, target: &'a str) -> Self {
        if let Err(why) = check_target(target) {
            self.spoil(why);
        }
        self.target = Some(target);
        self
    }

    /// The same, with the body sent only when the server asks for it, or says nothing for a while
    /// (`Expect: 100-continue`, RFC 9110, section 10.1.1). Nothing is asked where there is none.
    pub fn expect_continue(mut self) -> Self {
        self.expects = true;
        self
    }

    /// The same, going on where an answer leads to, at most `limit` times (RFC 9110, section
    /// 15.4). `Authorization` and `Cookie` go to no other server. A body that comes bit by bit
    /// cannot be sent twice: where it would have to be, the answer is the one that leads
    /// elsewhere. From `https` none leads to `http`.
    pub fn redirects(mut self, limit: u8) -> Self {
        self.redirects = limit;
        self
    }

    /// The same, given up when the answer has not come to its end within `time` from now on;
    /// beside the times that the manifest sets for each part of it.
    pub fn within(mut self, time: Duration) -> Self {
        self.within = Some(time);
        self
    }

    /// Sends it, and waits for the head of the answer, whatever its status is.
    ///
    /// A request that may be repeated (RFC 9110, section 9.2.2) is sent again, once, when a kept
    /// connection turns out to be closed before any byte of an answer came.
    ///
    /// # Errors
    /// When there is no such head.
    pub async fn send(self) -> Result<Answer<S>, FetchError> {
        let client = self.client.ok_or(FetchError::NoClient)?;
        client.counters.requests.add(1);
        let answer = self.with_media().follow(client).await;
        match &answer {
            Ok(_) => client.counters.answers.add(1),
            Err(why) => client.count(*why),
        }
        answer
    }

    /// Says what the body is, where no field does.
    fn with_media(self) -> Self {
        let says_so = self.fields.as_ref().is_some_and(|it| it.noted().has(Noted::MEDIA));
        match self.media.filter(|_| !says_so) {
            Some(media) => self.header("Content-Type", media),
            None => self,
        }
    }

    /// Sends it, and on to where answers lead.
    async fn follow(mut self, client: &'static Client) -> Result<Answer<S>, FetchError> {
        if !is_token(self.method.as_bytes()) || self.method == "CONNECT" {
            return Err(FetchError::BadMethod);
        }
        if let Some(why) = self.bad {
            return Err(why);
        }
        let end = match self.within {
            Some(time) => now().await + time,
            None => Instant::NEVER,
        };
        let agent = if self.has_agent { "" } else { client.config.agent };
        let mut lines = Lines::new(self.fields.take())?;
        let mut moved: Option<String> = None;
        for followed in 0..=self.redirects {
            let place = Place::parse(moved.as_deref().unwrap_or(self.url))?;
            let body = announced(self.method, &self.body, self.length);
            let request = Request {
                said: Said {
                    method: self.method,
                    place: &place,
                    host: self.host,
                    target: self.target,
                    agent,
                    fields: &lines,
                    body,
                    //= RFC 9110 10.1.1: only where there is something to wait with
                    expects: self.expects && body.is_content(),
                    upgrade: self.upgrade.map(|(protocol, _)| protocol),
                },
                silence: self.upgrade.map_or(Duration::MAX, |(_, silence)| silence),
                end,
            };
            let mut answer = request.send(client, self.body).await?;
            let onward = onward(answer.status(), self.method).filter(|_| self.redirects > 0);
            let keeps = onward == Some(Onward::Same);
            let (Some(onward), true) = (onward, !keeps || answer.rewind()) else {
                return Ok(answer);
            };
            if followed == self.redirects {
                return Err(FetchError::RedirectsTooMany(self.redirects));
            }
            let location = answer.header("Location").ok_or(FetchError::RedirectLost)?;
            let url = resolve(&place, self.target.unwrap_or(place.target), location)?;
            let next = Place::parse(&url)?;
            if place.secure && !next.secure {
                return Err(FetchError::RedirectInsecure);
            }
            if !place.is_same_origin(&next) {
                //= RFC 9110 15.4: what is for one server alone goes to no other
                lines.remove(is_secret, self.pool)?;
                self.host = None;
            }
            // A short body is taken, so that the connection is of use again.
            answer.drain(DRAINED, now().await + DRAINED_WITHIN).await;
            self.body = match onward {
                Onward::Same => answer.into_body(),
                Onward::Get => {
                    (self.method, self.expects) = ("GET", false);
                    lines.remove(is_of_body, self.pool)?;
                    Outgoing::Whole(Whole::None, 0)
                }
            };
            self.target = None;
            client.counters.redirected.add(1);
            moved = Some(url);
        }
        Err(FetchError::RedirectsTooMany(self.redirects))
    }

    fn spoil(&mut self, why: FetchError) {
        self.bad.get_or_insert(why);
    }
}

/// A request that is put together, for one server.
struct Request<'a> {
    said: Said<'a>,
    /// How long another protocol may be silent.
    silence: Duration,
    end: Instant,
}

impl Request<'_> {
    async fn send<S: Source>(
        &self,
        client: &'static Client,
        mut body: Outgoing<S>,
    ) -> Result<Answer<S>, FetchError> {
        //= RFC 9110 9.2.2: only these may be repeated without being asked to
        let may_repeat = IDEMPOTENT.contains(&self.said.method);
        // What is taken from a stream can be sent once, so it does not go where it may be lost.
        let lasts = body.rewind_whole() || self.said.body == Announced::Nothing;
        let repeats = may_repeat && lasts;
        let mut choice = if repeats { Choice::Any } else { Choice::Recent };
        // Ends: the second connection is a new one.
        loop {
            let lease = client.lease(self.said.place, choice).await?;
            let kept = lease.kept;
            let mut exchange = self.begin(client, lease, body).await?;
            let why = match poll_fn(|cx| exchange.poll_head(cx)).await {
                Ok(parsed) => {
                    let head = loop {
                        match exchange.input.take_head(parsed.length, client.pool) {
                            Ok(head) => break head,
                            // Nobody tells when packets come back.
                            Err(NoPacket) => sleep(Duration::from_millis(1)).await,
                        }
                    };
                    let bare = self.said.method == "HEAD";
                    let answer = Answer::new(exchange, head, parsed, bare);
                    let agreed = answer.status() == Status::SWITCHING_PROTOCOLS;
                    let offered = self.said.upgrade.is_some_and(|offered| {
                        let said = answer.header_bytes("Upgrade").unwrap_or_default();
                        said.eq_ignore_ascii_case(offered.as_bytes())
                    });
                    //= RFC 9110 7.8: to what was offered, and to nothing else
                    return match agreed && !offered {
                        true => Err(Malformed::Upgrade.into()),
                        false => Ok(answer),
                    };
                }
                Err(why) => why,
            };
            let closed = matches!(why, FetchError::Closed { .. } | FetchError::Broken(_));
            let unheard = kept && closed && !exchange.heard;
            //= RFC 9112 9.3.1: once, and only where nothing of an answer has come
            if !(unheard && IDEMPOTENT.contains(&self.said.method) && exchange.rewind()) {
                return Err(why);
            }
            client.counters.retried.add(1);
            choice = Choice::New;
            body = exchange.into_body();
        }
    }

    /// Begins to send over the connection of `lease`.
    async fn begin<S: Source>(
        &self,
        client: &'static Client,
        lease: super::pool::Lease,
        body: Outgoing<S>,
    ) -> Result<Exchange<S>, FetchError> {
        if lease.kept {
            client.counters.reused.add(1);
        }
        let small = match &body {
            Outgoing::Whole(whole, _) if !self.said.expects => whole.bytes(),
            _ => None,
        };
        let (head, joined) = self.said.write(small.unwrap_or(&[]), client.pool)?;
        let joined = joined && small.is_some();
        let announced = self.said.body;
        let mut exchange = Exchange::new(client, lease, head, body, announced);
        exchange.end = self.end;
        if self.said.upgrade.is_some() {
            exchange.offer(self.silence);
        } else if joined || announced == Announced::Nothing {
            exchange.skip_body();
        } else if self.said.expects {
            exchange.expect_word(now().await + client.config.continue_timeout);
        }
        Ok(exchange)
    }
}

/// What is said of the length of `body`.
fn announced<S>(method: &str, body: &Outgoing<S>, length: Length) -> Announced {
    match body {
        Outgoing::Parts(..) => match length {
            Length::Known(length) => Announced::Length(length),
            Length::Unknown => Announced::Chunks,
            Length::None => Announced::Nothing,
        },
        Outgoing::Whole(whole, _) => match whole.length() {
            Some(length) => Announced::Length(length),
            //= RFC 9110 8.6: where a method has a meaning for a body, that there is none is said
            None if ["POST", "PUT", "PATCH"].contains(&method) => Announced::Length(0),
            None => Announced::Nothing,
        },
    }
}

impl<S> fmt::Debug for Fetch<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Fetch");
        out.field("method", &self.method).field("url", &self.url).finish_non_exhaustive()
    }
}

async fn now() -> Instant {
    poll_fn(|cx| Poll::Ready(Task::expect(cx).scheduler().now())).await
}

/// Methods that may be repeated.
const IDEMPOTENT: [&str; 6] = ["DELETE", "GET", "HEAD", "OPTIONS", "PUT", "TRACE"];

/// Fields that the client alone sends, beside those that [`Fields`] refuses.
const OURS: [&str; 7] =
    ["Expect", "Host", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Upgrade"];

/// Bytes of the body of an answer that leads elsewhere which are taken.
const DRAINED: usize = 4096;

/// How long that may take: what is asked for is elsewhere.
const DRAINED_WITHIN: Duration = Duration::from_millis(250);
