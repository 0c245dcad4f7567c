//! Sends clients of plain HTTP to the same place on HTTPS: every request is answered with 308
//! (RFC 9110 section 15.4.9), which keeps its method and body, and no handler sees it.
//!
//! Where to is what the client itself said: the host that it asked for, the path and the query. A
//! request that names no host is answered with 400.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
mod tests;

use waitless::http::{FieldValue, Fields, Head, IntoResponse, Response, Status};
use waitless::packet::NoRoom;
use waitless::{BATCH, Component, Context, CounterSet, Exchange, HttpPort, Inspect, Instant, Pool};

/// How a [`Redirect`] is set up.
#[derive(Debug)]
pub struct Config {
    /// The port that HTTPS is on.
    pub port: u16,
}

waitless::counters! {
    /// What a [`Redirect`] counts.
    pub struct Counters {
        /// Requests that were sent elsewhere.
        counter redirected: requests,
        /// Requests that named no host.
        counter nameless: requests,
    }
}

/// The component.
pub struct Redirect {
    config: &'static Config,
    counters: &'static Counters,
    pool: Pool,
    /// A response that there was no room for.
    waiting: Option<(Exchange, Response)>,
    /// Whether more requests may wait than one sweep answers.
    more: bool,
}

impl Redirect {
    /// One that answers every request of its port.
    pub fn new(config: &'static Config, cx: &mut Context) -> Self {
        let counters = Counters::leak();
        Self { config, counters, pool: cx.pool(), waiting: None, more: false }
    }

    fn answer(&self, head: &Head) -> Response {
        let host = host(head.authority());
        if host.is_empty() {
            self.counters.nameless.add(1);
            return Response::plain(Status::BAD_REQUEST);
        }
        self.counters.redirected.add(1);
        let place = Place { host, port: self.config.port, head };
        Response::plain(Status::PERMANENT_REDIRECT)
            .header("Location", place)
            .into_response(self.pool)
    }
}

impl<P: HttpPort> Component<P> for Redirect {
    fn receive(&mut self, below: &mut P, _: &mut Context) {
        // Nothing of an exchange is kept that its end could concern.
        for _ in 0..BATCH {
            if below.news().is_none() {
                break;
            }
        }
        for _ in 0..BATCH {
            let next = self.waiting.take().or_else(|| {
                let (exchange, head) = below.accept(0)?;
                Some((exchange, self.answer(&head)))
            });
            self.more = next.is_some();
            let Some((exchange, response)) = next else { return };
            if let Err(response) = below.respond(exchange, response) {
                self.waiting = Some((exchange, response));
                return;
            }
        }
    }

    fn deadline(&self) -> Instant {
        if self.more { Instant::ZERO } else { Instant::NEVER }
    }
}

impl Inspect for Redirect {
    fn counters(&self) -> &'static dyn CounterSet {
        self.counters
    }
}

/// The same as `head` asks for, on HTTPS.
struct Place<'a> {
    host: &'a str,
    port: u16,
    head: &'a Head,
}

impl FieldValue for Place<'_> {
    fn write(self, fields: &mut Fields) -> Result<(), NoRoom> {
        fields.append(b"https://")?;
        fields.append(self.host.as_bytes())?;
        if self.port != 443 {
            fields.append(b":")?;
            u64::from(self.port).write(fields)?;
        }
        match self.head.path_bytes() {
            // Of the server as a whole, which has no other name there.
            b"*" => fields.append(b"/")?,
            path => fields.append(path)?,
        }
        if let Some(query) = self.head.query() {
            fields.append(b"?")?;
            fields.append(query.as_bytes())?;
        }
        Ok(())
    }
}

/// The host of an authority, without its port.
fn host(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        // A colon within an address of IPv6 is in brackets, with more behind it.
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}
