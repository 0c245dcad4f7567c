//! A request's head: its bytes, and where in them everything is.

use super::wire::Memory;
use super::{Length, Method};
use crate::Packet;
use core::fmt;

/// The head of a request. It owns its bytes, usually the very packet that they arrived in, so
/// everything in it can be looked at for as long as the head is kept, across awaits too.
///
/// Whoever makes one vouches for the layout: a span that does not lie within the bytes reads as
/// empty. The fields stand as lines `name: value` with CR LF after each, whatever the version.
pub struct Head {
    bytes: HeadBytes,
    layout: Layout,
    /// Whether it may be a copy.
    early: bool,
}

/// What holds the bytes of a [`Head`].
#[derive(Debug)]
pub enum HeadBytes {
    /// The packet that they arrived in, or one that they were copied to.
    Packet(Packet),
    /// Memory of their own, for a head that did not arrive in one packet; more may stand behind it.
    Memory(Memory),
}

/// Where everything in a head is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// The method.
    pub method: Method,
    /// The version the request came with.
    pub version: Version,
    /// What is known of the body's length; [`Length::None`] when there is no body.
    pub body: Length,
    /// The method's name.
    pub name: Span,
    /// The whole target, as sent.
    pub target: Span,
    /// Host and port that the request is for; empty when nothing says.
    pub authority: Span,
    /// The target's path, which may be `*`; empty for a target that has none.
    pub path: Span,
    /// The target's query, without the question mark; `None` when there is no question mark.
    pub query: Option<Span>,
    /// The field lines.
    pub fields: Span,
    /// Whether it is for the scheme `https`.
    pub secure: bool,
}

/// A range of a head's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Span {
    /// The first byte.
    pub start: u16,
    /// Behind the last byte.
    pub end: u16,
}

/// The version of HTTP that a request came with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2.
    Http2,
    /// HTTP/3.
    Http3,
}

impl Head {
    /// A head of `bytes`, in which everything is where `layout` says.
    pub fn new(bytes: HeadBytes, layout: Layout) -> Self {
        Self { bytes, layout, early: false }
    }

    /// The same, marked as one that [may be a copy](crate::StreamPort::is_early), if it is.
    #[must_use]
    pub fn early(self, early: bool) -> Self {
        Self { early, ..self }
    }

    /// The method.
    #[inline]
    pub fn method(&self) -> Method {
        self.layout.method
    }

    /// The method's name, also for one that [`Method`] does not list.
    pub fn method_name(&self) -> &str {
        self.text(self.layout.name)
    }

    /// The version the request came with.
    #[inline]
    pub fn version(&self) -> Version {
        self.layout.version
    }

    /// Whether it is for the scheme `https`. Where something in front of the image ends TLS, it did
    /// not come by TLS: what did is another question, that
    /// [`HttpPort::is_secure`](crate::HttpPort::is_secure) answers.
    pub fn is_secure(&self) -> bool {
        self.layout.secure
    }

    /// Whether it may be a copy, as [`Request::is_early`](super::Request::is_early) says it.
    pub fn is_early(&self) -> bool {
        //= RFC 8470 5.1: whatever the field's value is
        self.early || self.field_bytes("Early-Data").is_some()
    }

    /// What is known of the body's length.
    #[inline]
    pub fn body(&self) -> Length {
        self.layout.body
    }

    /// The whole target, as sent.
    pub fn target(&self) -> &str {
        self.text(self.layout.target)
    }

    /// Host and port that the request is for; empty when nothing says.
    pub fn authority(&self) -> &str {
        self.text(self.layout.authority)
    }

    /// The target's path, percent-encoded as sent; `/` where the target has none, and of `OPTIONS`
    /// then `*`, the server as a whole.
    pub fn path(&self) -> &str {
        core::str::from_utf8(self.path_bytes()).unwrap_or("")
    }

    /// The bytes of the target's path; `/` or `*` where the target has none.
    #[inline]
    pub fn path_bytes(&self) -> &[u8] {
        match self.slice(self.layout.path) {
            // RFC 9112, section 3.2.4: what `OPTIONS http://h` means.
            [] if self.method() == Method::Options && self.layout.query.is_none() => b"*",
            [] => b"/",
            path => path,
        }
    }

    /// The target's query, without the question mark, percent-encoded as sent.
    pub fn query(&self) -> Option<&str> {
        Some(self.text(self.layout.query?))
    }

    /// The fields in order, names as sent, values without white space around them.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        lines(self.slice(self.layout.fields))
    }

    /// The value of the first field called `name`, in whatever case; `None` when there is none.
    pub fn field_bytes(&self, name: &str) -> Option<&[u8]> {
        self.fields().find(|(other, _)| is_same_name(other, name)).map(|(_, value)| value)
    }

    /// The same as text; `None` also when it is not UTF-8.
    pub fn field(&self, name: &str) -> Option<&str> {
        core::str::from_utf8(self.field_bytes(name)?).ok()
    }

    fn text(&self, span: Span) -> &str {
        core::str::from_utf8(self.slice(span)).unwrap_or("")
    }

    #[inline]
    fn slice(&self, span: Span) -> &[u8] {
        let bytes = match &self.bytes {
            HeadBytes::Packet(packet) => packet.bytes(),
            HeadBytes::Memory(memory) => memory,
        };
        bytes.get(usize::from(span.start)..usize::from(span.end)).unwrap_or(&[])
    }
}

/// The fields in `rest`, lines `name: value` with CR LF after each.
pub(super) fn lines(mut rest: &[u8]) -> impl Iterator<Item = (&str, &[u8])> {
    core::iter::from_fn(move || next_line(&mut rest))
}

// Once in an image, and not wherever somebody looks for a field.
#[inline(never)]
fn next_line<'a>(rest: &mut &'a [u8]) -> Option<(&'a str, &'a [u8])> {
    let colon = rest.iter().position(|&byte| byte == b':')?;
    let end = colon + rest.get(colon..)?.iter().position(|&byte| byte == b'\n')?;
    let (name, value) = (rest.get(..colon)?, rest.get(colon + 1..end)?);
    *rest = rest.get(end + 1..)?;
    Some((core::str::from_utf8(name).unwrap_or(""), value.trim_ascii()))
}

/// Whether two names of fields are the same, in whatever case (RFC 9110, section 5.1).
#[inline(never)] // as above
pub(super) fn is_same_name(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// Whether a field has no business behind a body, because somebody has relied on what the head
/// says of it: framing, routing, authentication and the like (RFC 9110, section 6.5.1).
pub(super) fn is_of_head(name: &str) -> bool {
    //= RFC 9110 6.5.1: what was decided by the head stays decided
    OF_HEAD.iter().any(|other| is_same_name(name, other))
}

const OF_HEAD: [&str; 23] = [
    "Authorization",
    "Cache-Control",
    "Connection",
    "Content-Encoding",
    "Content-Length",
    "Content-Range",
    "Content-Type",
    "Cookie",
    "Date",
    "Expect",
    "Host",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "If-Range",
    "If-Unmodified-Since",
    "Max-Forwards",
    "Proxy-Authorization",
    "Range",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
];

impl Span {
    /// The range from `start` up to `end`, `end` itself excluded; empty when either is above
    /// 65535.
    #[inline]
    pub fn new(start: usize, end: usize) -> Self {
        match (u16::try_from(start), u16::try_from(end)) {
            (Ok(start), Ok(end)) => Self { start, end },
            _ => Self::default(),
        }
    }

    /// Bytes in the range.
    #[inline]
    pub fn len(self) -> usize {
        usize::from(self.end.saturating_sub(self.start))
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Head");
        out.field("method", &self.method_name()).field("target", &self.target());
        out.field("version", &self.version()).field("body", &self.body()).finish_non_exhaustive()
    }
}
