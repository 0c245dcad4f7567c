//! Why there is no answer, or not all of one.

use crate::dial::{Broken, DialError};
use core::fmt;

/// Why there is no answer, or not all of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FetchError {
    /// A field that may not be sent: a name that is no token, or one that the client sets by
    /// itself, a value with a control character, more than
    /// [`Fields::LIMIT`](crate::http::Fields::LIMIT) bytes together; or there was no packet for it.
    BadField,
    /// The method is no token, or `CONNECT`.
    BadMethod,
    /// The URL is none that can be fetched, and this is what is wrong.
    BadUrl(&'static str),
    /// The body that was to be sent had another length than was said.
    BodyLength {
        /// Bytes that were announced.
        expected: u64,
        /// Bytes that came; of one that was too long, with the part that did not fit.
        came: u64,
    },
    /// The connection did not end in agreement.
    Broken(Broken),
    /// All connections were in use, for as long as one waits for one, or too many wait already.
    Busy,
    /// The server closed the connection before its answer was complete.
    Closed {
        /// Bytes of the body that had come; `None` before the head was complete.
        came: Option<u64>,
        /// Bytes of the body that should have come, where the head said so.
        expected: Option<u64>,
    },
    /// There is no connection.
    Dial(DialError),
    /// Something took too long.
    Late(Wait),
    /// The answer breaks a rule of HTTP.
    Malformed(Malformed),
    /// The image has no instance of `fetch`.
    NoClient,
    /// There is no memory for what came.
    NoMemory,
    /// The image has no instance of `dial` on one of `tls-client`, which `https` needs.
    NoTls,
    /// The body is no JSON, or not the one that was expected.
    NotJson,
    /// The body is no text in UTF-8.
    NotText,
    /// The answer leads elsewhere without saying where, or by a URL that cannot be fetched.
    RedirectLost,
    /// The answer leads from `https` to `http`.
    RedirectInsecure,
    /// Answers lead elsewhere more often than this.
    RedirectsTooMany(u8),
    /// The body is longer than this.
    TooLong(u64),
}

/// What a client waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wait {
    /// All of it: the time of [`Fetch::within`](super::Fetch::within) is up.
    All,
    /// The head of the answer.
    Answer,
    /// The next bytes of the answer's body.
    Body,
    /// A connection to the server.
    Connect,
    /// That the server takes what is sent.
    Send,
}

/// Which rule of HTTP an answer breaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Malformed {
    /// The chunked coding of the body is broken.
    Chunk,
    /// There is a transfer coding that was not asked for: something else than `chunked` alone.
    Coding,
    /// This byte stands where it may not in the lines of fields.
    Field {
        /// The byte.
        byte: u8,
        /// Its place in the head, from 0.
        at: u16,
    },
    /// The head is longer than this, in bytes.
    HeadTooLong(u16),
    /// `Content-Length` is not one number.
    Length,
    /// There are a `Content-Length` and a transfer coding, one of which is not true.
    LengthAndCoding,
    /// `Content-Length` says two different things.
    Lengths(u64, u64),
    /// An answer of HTTP/1.0 has a transfer coding.
    OldCoding,
    /// These bytes are not those that an answer begins with, `HTTP/`.
    NotHttp([u8; 8]),
    /// The status is not three digits from 100 on, but these.
    Status([u8; 3]),
    /// There is no line break, or no space, behind the status, but this byte.
    StatusLine(u8),
    /// There are more fields than this.
    TooManyFields(u16),
    /// More interim responses came than this before an answer.
    TooManyInterim(u8),
    /// The server goes on with another protocol, which was not asked for.
    Upgrade,
    /// The version is not 1 and a digit, but these.
    Version([u8; 3]),
}

impl From<Malformed> for FetchError {
    fn from(why: Malformed) -> Self {
        Self::Malformed(why)
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadField => "a field has a name or a value that may not be sent",
            Self::BadMethod => "the method is no token, or CONNECT",
            Self::BadUrl(why) => why,
            Self::BodyLength { expected, came } => {
                return write!(f, "a body of {expected} bytes was announced, and {came} came");
            }
            Self::Broken(why) => return why.fmt(f),
            Self::Busy => "all connections are in use",
            Self::Closed { came: None, .. } => "the server closed the connection without an answer",
            Self::Closed { came: Some(came), expected: None } => {
                return write!(f, "the server broke off behind {came} bytes of a body in chunks");
            }
            Self::Closed { came: Some(came), expected: Some(expected) } => {
                return write!(f, "the server broke off behind {came} of {expected} bytes");
            }
            Self::Dial(why) => return why.fmt(f),
            Self::Late(wait) => return wait.fmt(f),
            Self::Malformed(why) => return why.fmt(f),
            Self::NoClient => "this image has no instance of `fetch`",
            Self::NoMemory => "there is no memory for what came",
            Self::NoTls => "this image has no `dial` on `tls-client`, which https needs",
            Self::NotJson => "the body is not the JSON that it should be",
            Self::NotText => "the body is not text in UTF-8",
            Self::RedirectLost => "the answer leads elsewhere, and does not say where",
            Self::RedirectInsecure => "the answer leads from https to http",
            Self::RedirectsTooMany(limit) => {
                return write!(f, "answers lead elsewhere more than {limit} times");
            }
            Self::TooLong(limit) => return write!(f, "the body is longer than {limit} bytes"),
        })
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "all of it took too long",
            Self::Answer => "the server does not answer",
            Self::Body => "the server does not go on with its answer",
            Self::Connect => "connecting took too long",
            Self::Send => "the server does not take the request",
        })
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &[u8], f: &mut fmt::Formatter<'_>| write!(f, "{}", bytes.escape_ascii());
        match self {
            Self::Chunk => f.write_str("a chunk of the body is malformed"),
            Self::Coding => f.write_str("expected no transfer coding but chunked"),
            Self::Field { byte, at } => {
                write!(f, "byte {at} of the head is 0x{byte:02x}, which no field has there")
            }
            Self::HeadTooLong(limit) => write!(f, "the head is longer than {limit} bytes"),
            Self::Length => f.write_str("Content-Length is not one number"),
            Self::LengthAndCoding => {
                f.write_str("there are both Content-Length and Transfer-Encoding")
            }
            Self::Lengths(one, other) => {
                write!(f, "Content-Length says both {one} and {other}")
            }
            Self::OldCoding => f.write_str("an answer of HTTP/1.0 has a transfer coding"),
            Self::NotHttp(bytes) => {
                f.write_str("expected an answer that begins with HTTP/, and there came ")?;
                text(bytes, f)
            }
            Self::Status(bytes) => {
                f.write_str("expected a status of three digits, and there came ")?;
                text(bytes, f)
            }
            Self::StatusLine(byte) => {
                write!(f, "expected a space or a line break behind the status, not 0x{byte:02x}")
            }
            Self::TooManyFields(limit) => write!(f, "there are more than {limit} fields"),
            Self::TooManyInterim(limit) => {
                write!(f, "there are more than {limit} interim responses")
            }
            Self::Upgrade => {
                f.write_str("the server goes on with a protocol that nobody asked for")
            }
            Self::Version(bytes) => {
                f.write_str("expected HTTP/1.1 or HTTP/1.0, and there came HTTP/")?;
                text(bytes, f)
            }
        }
    }
}
