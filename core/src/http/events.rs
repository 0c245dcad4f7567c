//! Server-sent events: a response that goes on for as long as there is something to tell (WHATWG
//! HTML, section 9.2).

use super::Integer;
use super::{BodyWriter, Finished, IntoResponse, Request, Response};
use crate::Duration;

/// A stream of events. Made by [`Request::events`].
#[derive(Debug)]
pub struct Events {
    body: BodyWriter,
}

/// An event: text, and what the client makes of it.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    data: &'a str,
    name: &'a str,
    id: &'a str,
    retry: Option<Duration>,
}

impl<'a> Event<'a> {
    /// An event that says `data`, which may have several lines.
    pub const fn new(data: &'a str) -> Self {
        Self { data, name: "", id: "", retry: None }
    }

    /// The same with a name; clients call it `message` otherwise. Only the first line of it counts.
    #[must_use]
    pub const fn name(mut self, name: &'a str) -> Self {
        self.name = name;
        self
    }

    /// The same with an identifier, which the client sends as `Last-Event-ID` when it comes back.
    /// Only the first line of it counts.
    #[must_use]
    pub const fn id(mut self, id: &'a str) -> Self {
        self.id = id;
        self
    }

    /// The same with the time after which the client comes back when it was cut off, in whole
    /// milliseconds.
    #[must_use]
    pub const fn retry(mut self, retry: Duration) -> Self {
        self.retry = Some(retry);
        self
    }
}

impl Request {
    /// Answers with a stream of events. Where the client goes away, the handler is dropped where
    /// it waits.
    pub fn events(&self) -> Events {
        let head = Response::ok().content_type("text/event-stream");
        let head = head.header("Cache-Control", "no-cache");
        Events { body: self.stream(head.into_response(self.pool())) }
    }
}

impl Events {
    /// Sends `event` at once.
    pub async fn send(&mut self, event: Event<'_>) {
        self.field("event", event.name).await;
        self.field("id", event.id).await;
        if let Some(retry) = event.retry {
            self.body.write(b"retry: ").await;
            self.body.write(Integer::new(retry.as_millis()).bytes()).await;
            self.body.write(b"\n").await;
        }
        // Each of the three breaks is one for the client.
        let mut rest = event.data;
        loop {
            let end = rest.find(['\r', '\n']);
            let (line, behind) = rest.split_at(end.unwrap_or(rest.len()));
            self.body.write(b"data: ").await;
            self.body.write(line.as_bytes()).await;
            self.body.write(b"\n").await;
            let behind = behind.strip_prefix("\r\n").or_else(|| behind.get(1..));
            match behind {
                Some(behind) if end.is_some() => rest = behind,
                _ => break,
            }
        }
        self.body.write(b"\n").await;
        self.body.flush().await;
    }

    /// Sends something that the client does not see, so that nobody between takes the connection
    /// for dead.
    pub async fn keep_alive(&mut self) {
        self.body.write(b":\n\n").await;
        self.body.flush().await;
    }

    /// Ends the stream. Clients come back after that: for good, they want a 204.
    pub async fn finish(self) -> Finished {
        self.body.finish().await
    }

    async fn field(&mut self, name: &str, value: &str) {
        let value = value.split(['\r', '\n', '\0']).next().unwrap_or("");
        if value.is_empty() {
            return;
        }
        for part in [name, ": ", value, "\n"] {
            self.body.write(part.as_bytes()).await;
        }
    }
}
