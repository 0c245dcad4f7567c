//! Responses, and what can be made into one.

use super::{Date, Fields, Problem, Status, Validators, WithValidators};
use crate::{Packet, Pool};
use alloc::string::String;
use alloc::vec::Vec;

/// What goes back to the client: a status, fields and a body.
#[derive(Debug)]
pub struct Response {
    pub(super) status: Status,
    pub(super) content_type: Option<&'static str>,
    pub(super) fields: Option<Fields>,
    pub(super) length: Option<u64>,
    pub(super) body: Body,
    /// Whether it stands for another one, which could not be made. It then stays what it is.
    pub(super) failed: bool,
}

/// A response's body.
#[derive(Debug, Default)]
pub enum Body {
    /// There is none.
    #[default]
    Empty,
    /// The bytes of a packet and of what stands behind it.
    Packet(Packet),
    /// Bytes that live as long as the image. They are copied to packets piece by piece, as the
    /// client takes them.
    Static(&'static [u8]),
    /// Its parts follow.
    Stream,
}

/// What is known of the length of a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Length {
    /// So many bytes.
    Known(u64),
    /// It ends when it ends.
    Unknown,
    /// There is no body, not even an empty one.
    None,
}

impl Response {
    /// A response of `status` without a body.
    #[inline]
    pub const fn new(status: Status) -> Self {
        Self {
            status,
            content_type: None,
            fields: None,
            length: None,
            body: Body::Empty,
            failed: false,
        }
    }

    /// 200 OK, without a body as yet.
    #[inline]
    pub const fn ok() -> Self {
        Self::new(Status::OK)
    }

    /// The same with `body`.
    #[inline]
    #[must_use]
    pub fn body(mut self, body: Body) -> Self {
        if !self.failed {
            self.body = body;
        }
        self
    }

    /// The same with a `Content-Type`.
    #[inline]
    #[must_use]
    pub const fn content_type(mut self, content_type: &'static str) -> Self {
        if !self.failed {
            self.content_type = Some(content_type);
        }
        self
    }

    /// The same with the length in bytes of the body that will be streamed.
    #[inline]
    #[must_use]
    pub const fn length(mut self, length: u64) -> Self {
        if !self.failed {
            self.length = Some(length);
        }
        self
    }

    /// The status.
    #[inline]
    pub fn code(&self) -> Status {
        self.status
    }

    /// The body's `Content-Type`.
    #[inline]
    pub fn media_type(&self) -> Option<&'static str> {
        self.content_type
    }

    /// The field lines beside those that the port adds by itself. They were checked when they
    /// were added.
    #[inline]
    pub fn fields(&self) -> Option<&Fields> {
        self.fields.as_ref()
    }

    /// Has `Last-Modified`, where a date was added as such, say `now` at most.
    #[cold]
    pub fn cap_modified(&mut self, now: Date) {
        if let Some(fields) = &mut self.fields {
            fields.cap_modified(now);
        }
    }

    /// Takes them away.
    pub fn take_fields(&mut self) -> Option<Fields> {
        self.fields.take()
    }

    /// The body's length.
    #[inline]
    pub fn body_length(&self) -> Length {
        match &self.body {
            // The one such status whose framing does not say so by itself.
            _ if self.status == Status::RESET_CONTENT => Length::Known(0),
            _ if self.status.has_no_body() => Length::None,
            Body::Stream => self.length.map_or(Length::Unknown, Length::Known),
            Body::Empty => Length::Known(0),
            Body::Packet(packet) => Length::Known(packet.chain_len() as u64),
            Body::Static(bytes) => Length::Known(bytes.len() as u64),
        }
    }

    /// The body, to look at it.
    #[inline]
    pub fn body_ref(&self) -> &Body {
        &self.body
    }

    /// Takes the body away.
    #[inline]
    pub fn take_body(&mut self) -> Body {
        core::mem::take(&mut self.body)
    }

    /// Puts it back.
    #[inline]
    pub fn put_body(&mut self, body: Body) {
        self.body = body;
    }

    /// A response of `status` that says in words what it is.
    pub fn plain(status: Status) -> Self {
        let body = match status.has_no_body() {
            true => Body::Empty,
            false => Body::Static(status.reason().as_bytes()),
        };
        Self::new(status).content_type(TEXT).body(body)
    }

    /// What is sent instead of a response that cannot be made. What is still said of that one
    /// is not said of this.
    #[cold]
    pub(super) fn failure(status: Status) -> Self {
        let mut response = Self::plain(status);
        response.failed = true;
        response
    }

    /// The same with one more field, whose name is known only now: see
    /// [`IntoResponse::header`] for what makes it a 500.
    #[must_use]
    pub fn field(mut self, pool: Pool, name: &str, value: impl FieldValue) -> Self {
        self.add_field(pool, name, value);
        self
    }

    pub(super) fn add_field<V: FieldValue>(&mut self, pool: Pool, name: &str, value: V) {
        if self.failed {
            return;
        }
        if self.fields.is_none() {
            self.fields = Fields::new(pool);
        }
        let added = self.fields.as_mut().map(|fields| fields.add(name, value));
        if added != Some(Ok(())) {
            // A response without a field it needs is worse than none.
            *self = Self::failure(match added {
                None => Status::SERVICE_UNAVAILABLE,
                Some(_) => Status::INTERNAL_SERVER_ERROR,
            });
        }
    }
}

/// What a handler may return.
///
/// `pool` is where a body is put. When it is empty the response says so: 503. That one stays what
/// it is, whatever status, type or fields the other would have had.
pub trait IntoResponse {
    /// Makes it a response.
    fn into_response(self, pool: Pool) -> Response;

    /// The same with another status.
    fn status(self, status: Status) -> WithStatus<Self>
    where
        Self: Sized,
    {
        WithStatus(self, status)
    }

    /// The same with another `Content-Type`.
    fn media(self, content_type: &'static str) -> WithMedia<Self>
    where
        Self: Sized,
    {
        WithMedia(self, content_type)
    }

    /// The same with one more field. `name` is a token; a name or a value that is not allowed in
    /// a field makes the response a 500, and so do fields of more than [`Fields::LIMIT`] bytes
    /// together, or of more than the port allows.
    /// Framing is not yours: `Content-Length`, `Transfer-Encoding` and `Connection` are added by
    /// the port, and a 500 when you add them. `Date`, `Server`, `Strict-Transport-Security` and
    /// `Content-Type` are added unless you do, as for a message which somebody else has made
    /// (RFC 9110, section 6.6.1).
    fn header<V: FieldValue>(self, name: &'static str, value: V) -> WithField<Self, V>
    where
        Self: Sized,
    {
        WithField(self, name, value)
    }

    /// The same with `ETag` and `Last-Modified`, where `validators` have them.
    fn validators(self, validators: Validators<'_>) -> WithValidators<'_, Self>
    where
        Self: Sized,
    {
        WithValidators(self, validators)
    }
}

/// What [`IntoResponse::status`] returns.
#[derive(Clone, Copy, Debug)]
pub struct WithStatus<R>(R, Status);

/// What [`IntoResponse::media`] returns.
#[derive(Clone, Copy, Debug)]
pub struct WithMedia<R>(R, &'static str);

/// What [`IntoResponse::header`] returns.
#[derive(Clone, Copy, Debug)]
pub struct WithField<R, V>(R, &'static str, V);

/// Text, as `text/plain`.
#[derive(Clone, Copy, Debug)]
pub struct Text<T>(pub T);

/// A page, as `text/html`.
#[derive(Clone, Copy, Debug)]
pub struct Html<T>(pub T);

/// A value that can stand in a field.
pub trait FieldValue {
    /// Adds it to `fields`.
    fn write(self, fields: &mut Fields) -> Result<(), crate::packet::NoRoom>;
}

/// What a body can be made of.
pub trait IntoBody {
    /// Makes it a body; `None` when there are no packets, or not enough for it.
    fn into_body(self, pool: Pool) -> Option<Body>;
}

impl IntoResponse for Response {
    #[inline]
    fn into_response(self, _: Pool) -> Response {
        self
    }
}

impl IntoResponse for Status {
    fn into_response(self, _: Pool) -> Response {
        Response::plain(self)
    }
}

impl IntoResponse for () {
    fn into_response(self, _: Pool) -> Response {
        Response::new(Status::NO_CONTENT)
    }
}

impl IntoResponse for Packet {
    fn into_response(self, _: Pool) -> Response {
        Response::ok().content_type("application/octet-stream").body(Body::Packet(self))
    }
}

impl IntoResponse for &'static str {
    #[inline]
    fn into_response(self, pool: Pool) -> Response {
        Text(self).into_response(pool)
    }
}

impl IntoResponse for String {
    fn into_response(self, pool: Pool) -> Response {
        Text(self).into_response(pool)
    }
}

impl<T: IntoBody> IntoResponse for Text<T> {
    #[inline]
    fn into_response(self, pool: Pool) -> Response {
        with_body(self.0, TEXT, pool)
    }
}

impl<T: IntoBody> IntoResponse for Html<T> {
    #[inline]
    fn into_response(self, pool: Pool) -> Response {
        with_body(self.0, "text/html; charset=utf-8", pool)
    }
}

impl<R: IntoResponse> IntoResponse for (Status, R) {
    fn into_response(self, pool: Pool) -> Response {
        self.1.status(self.0).into_response(pool)
    }
}

/// `None` is 404.
impl<R: IntoResponse> IntoResponse for Option<R> {
    fn into_response(self, pool: Pool) -> Response {
        match self {
            Some(response) => response.into_response(pool),
            None => Response::plain(Status::NOT_FOUND),
        }
    }
}

impl<R: IntoResponse, E: IntoResponse> IntoResponse for Result<R, E> {
    #[inline]
    fn into_response(self, pool: Pool) -> Response {
        match self {
            Ok(response) => response.into_response(pool),
            Err(error) => error.into_response(pool),
        }
    }
}

impl<R: IntoResponse> IntoResponse for WithStatus<R> {
    fn into_response(self, pool: Pool) -> Response {
        let mut response = self.0.into_response(pool);
        if !response.failed {
            response.status = self.1;
        }
        response
    }
}

impl<R: IntoResponse> IntoResponse for WithMedia<R> {
    fn into_response(self, pool: Pool) -> Response {
        let mut response = self.0.into_response(pool);
        if !response.failed {
            response.content_type = Some(self.1);
        }
        response
    }
}

impl<R: IntoResponse, V: FieldValue> IntoResponse for WithField<R, V> {
    fn into_response(self, pool: Pool) -> Response {
        let mut response = self.0.into_response(pool);
        response.add_field(pool, self.1, self.2);
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self, _: Pool) -> Response {
        let body = Body::Static(self.reason.as_bytes());
        Response::new(self.status).content_type(TEXT).body(body)
    }
}

impl IntoResponse for core::convert::Infallible {
    fn into_response(self, _: Pool) -> Response {
        match self {}
    }
}

#[inline]
pub(super) fn with_body(body: impl IntoBody, content_type: &'static str, pool: Pool) -> Response {
    match body.into_body(pool) {
        Some(body) => Response::ok().content_type(content_type).body(body),
        None => Response::failure(Status::SERVICE_UNAVAILABLE),
    }
}

impl IntoBody for Body {
    fn into_body(self, _: Pool) -> Option<Body> {
        Some(self)
    }
}

impl IntoBody for Packet {
    fn into_body(self, _: Pool) -> Option<Body> {
        Some(Body::Packet(self))
    }
}

impl IntoBody for &'static str {
    #[inline]
    fn into_body(self, _: Pool) -> Option<Body> {
        Some(Body::Static(self.as_bytes()))
    }
}

impl IntoBody for &'static [u8] {
    #[inline]
    fn into_body(self, _: Pool) -> Option<Body> {
        Some(Body::Static(self))
    }
}

impl IntoBody for String {
    fn into_body(self, pool: Pool) -> Option<Body> {
        self.into_bytes().into_body(pool)
    }
}

impl IntoBody for Vec<u8> {
    fn into_body(self, pool: Pool) -> Option<Body> {
        let mut writer = super::Writer::new(pool);
        writer.write(&self);
        writer.into_body()
    }
}

impl<const N: usize> IntoBody for heapless::String<N> {
    fn into_body(self, pool: Pool) -> Option<Body> {
        let mut writer = super::Writer::new(pool);
        writer.write(self.as_bytes());
        writer.into_body()
    }
}

pub(super) const TEXT: &str = "text/plain; charset=utf-8";
