//! Leaving HTTP behind: another protocol on the same connection (RFC 9110, section 7.8).

use super::head::is_same_name;
use super::slot::{STARTED, STREAMED};
use super::{Body, BodyWriter, Finished, IntoResponse, Length, Request, Response, Status, Version};
use crate::Packet;

/// A connection that speaks another protocol: bytes both ways, as they come.
#[derive(Debug)]
pub struct Upgraded {
    request: Request,
    writer: BodyWriter,
}

impl Request {
    /// Whether the client offers to go on with `protocol`, a name in whatever case.
    pub fn offers(&self, protocol: &str) -> bool {
        self.version() == Version::Http11
            && self.body_length() == Length::None
            && self.lists("Connection", "Upgrade")
            && self.lists("Upgrade", protocol)
    }

    /// Goes on with `protocol`, which the client [`offers`](Self::offers). `response` is 101
    /// whatever it says; its fields are sent, and its body is not. Where the client does not offer
    /// it, the response that says what it should have offered: 426.
    ///
    /// # Errors
    /// The response to answer with.
    pub fn upgrade(
        self,
        protocol: &'static str,
        response: impl IntoResponse,
    ) -> Result<Upgraded, Response> {
        let pool = self.pool();
        //= RFC 9110 7.8: to nothing that the client does not list
        //= RFC 9110 15.5.22: or it is told what it should
        if !self.offers(protocol) {
            let required = Response::plain(Status::UPGRADE_REQUIRED);
            return Err(required.header("Upgrade", protocol).into_response(pool));
        }
        let response = response.status(Status::SWITCHING_PROTOCOLS).header("Upgrade", protocol);
        let response = response.into_response(pool).body(Body::Stream);
        if response.code() != Status::SWITCHING_PROTOCOLS {
            // A field that is none, or no packet for it.
            return Err(Response::plain(response.code()));
        }
        if let Some(slot) = self.reply().slot() {
            if slot.has(STARTED) {
                return Err(Response::plain(Status::INTERNAL_SERVER_ERROR));
            }
            slot.set(STARTED | STREAMED);
            slot.give(response);
        }
        let writer = BodyWriter::new(self.reply());
        Ok(Upgraded { request: self, writer })
    }

    /// Whether a list in a field called `name` has `item`, in whatever case (RFC 9110, section
    /// 5.6.1).
    pub fn lists(&self, name: &str, item: &str) -> bool {
        let mut lists = self.head().fields().filter(|(other, _)| is_same_name(other, name));
        lists.any(|(_, value)| {
            let mut items = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
            items.any(|other| other.eq_ignore_ascii_case(item.as_bytes()))
        })
    }
}

impl Upgraded {
    /// The next bytes from the client; `None` when it says that there are no more. May be dropped
    /// while it waits: nothing is lost.
    pub async fn receive(&mut self) -> Option<Packet> {
        self.request.chunk().await
    }

    /// Where bytes to the client are written.
    pub fn writer(&mut self) -> &mut BodyWriter {
        &mut self.writer
    }

    /// The request that it began with.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// Sends the rest and ends the connection.
    pub async fn finish(self) -> Finished {
        self.writer.finish().await
    }
}
