//! HTTP for apps: requests, responses, a router, and the component that runs the handlers.
//!
//! A handler is an `async fn` from [`Request`] to something that is [`IntoResponse`]. A
//! [`Router`] picks the handler by method and path, and a [`Server`] stands on one or more
//! [`HttpPort`](crate::HttpPort)s and runs a task for each request, with the futures in place:
//! nothing here is boxed, called through a pointer or, once warmed up, allocated per request.
//!
//! ```
//! use waitless::http::{Handler, IntoResponse, Json, Problem, Request, Router};
//!
//! #[derive(serde::Serialize)]
//! struct Sum {
//!     sum: u64,
//! }
//!
//! async fn add(request: Request) -> Result<impl IntoResponse, Problem> {
//!     let (a, b): (u64, u64) = (request.param("a")?, request.query("b")?);
//!     Ok(Json(Sum { sum: a.wrapping_add(b) }))
//! }
//!
//! fn site() -> impl Handler {
//!     Router::new().get("/add/{a}", add)
//! }
//! # let _ = site();
//! ```
//!
//! When the client goes away, its handler is dropped where it waits. So reading and writing
//! bodies cannot fail from a handler's point of view.

mod admission;
mod body;
pub mod client;
mod conditional;
mod content;
mod date;
mod events;
mod fields;
mod files;
mod form;
mod handler;
mod head;
mod json;
mod layer;
mod method;
mod negotiation;
pub mod openmetrics;
mod ports;
mod range;
mod request;
mod response;
mod router;
mod server;
mod slot;
mod status;
#[cfg(test)]
mod tests;
mod upgrade;
mod uri;
mod websocket;
pub mod wire;
mod writer;

pub use body::{BodyWriter, Finished};
pub use conditional::{Tag, Validators, Verdict, WithValidators};
pub use content::{Content, Variant};
pub use date::Date;
pub use events::{Event, Events};
pub use fields::{Fields, Noted};
pub use files::{File, Files, files};
pub use handler::{Handler, Respond};
pub use head::{Head, HeadBytes, Layout, Span, Version};
pub use json::Json;
pub use layer::{Behind, Layer};
pub use method::{Method, Methods};
pub use negotiation::Coding;
pub use ports::HttpPorts;
pub use request::{Problem, Request};
pub use response::{
    Body, FieldValue, Html, IntoBody, IntoResponse, Length, Response, Text, WithField, WithMedia,
    WithStatus,
};
pub use router::{End, Found, Route, Router, Routes};
pub use server::{Server, ServerConfig};
pub use status::Status;
pub use upgrade::Upgraded;
pub use uri::decode;
pub use websocket::{CloseCode, Message, WebSocket};
pub use writer::{Integer, Writer};

/// Compiles the examples of docs/http.md.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/http.md")]
struct Guide;

/// Whether `bytes` are a token (RFC 9110, section 5.6.2): a method or a field's name.
#[inline]
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| TOKEN[usize::from(byte)])
}

/// Which bytes may stand in a token.
pub static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        let c = byte as u8;
        table[byte] = c.is_ascii_alphanumeric()
            || matches!(
                c,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        byte += 1;
    }
    table
};
