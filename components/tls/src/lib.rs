//! TLS 1.3 on any stream (RFC 8446): it stands on a [`StreamPort`] and provides one, so that
//! whatever stands on TCP stands on TLS. [`Tls`] is a server, [`client::TlsClient`] a client.
//!
//! - **Three layers, none of which does input or output.** [`handshake`] turns messages into
//!   messages and secrets, [`record`] protects, and a session joins the two. [`client`] is the
//!   other end's handshake, and [`role`] what differs. [`key_schedule`] and [`wire`] serve all, and
//!   [`crypto`] is the seam to the primitives, which others have written.
//! - **In place.** Data is decrypted in the packet that it came in and encrypted in the packet
//!   that the service made. Only records that span packets are put together first.
//! - **Bounded.** Hellos, the time of a handshake, handshakes at once, records without content,
//!   early data, key updates: each has a limit. A sweep does few handshakes, so that new
//!   connections do not starve old ones.
//! - **Strict.** What the other end does wrong is answered with the alert that the RFC names,
//!   counted, and said in the log.
//!
//! A service hears of a connection once its handshake is complete. A stream that ends without
//! close_notify was cut off, and reads as reset.
//!
//! It speaks no older version. [`MutualTls`] is a server that asks its clients who they are, and
//! [`EarlyTls`] one that accepts early data, for services that can tell it from other data. Of
//! servers, certificates can be replaced while connections go on ([`waitless::CertificatePort`]).

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod alert;
mod call;
pub mod client;
mod connection;
pub mod crypto;
mod early;
mod gather;
pub mod handshake;
pub mod key_schedule;
mod pem;
mod port;
mod receive;
pub mod record;
mod replace;
pub mod role;
mod session;
#[cfg(test)]
mod tests;
mod transmit;
pub mod wire;

pub use handshake::{Chain, Staple};

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use connection::{Connection, Stage};
use handshake::{Flight, Server};
use role::{Limits, Role};
use session::Shared;
use waitless::{
    BATCH, Component, Context, CounterSet, Duration, InitError, Inspect, Instant, Phase, Service,
    StreamPort, Wheel,
};

/// How a [`Tls`] is set up.
#[derive(Debug)]
pub struct Config {
    /// Certificates with what vouches for them; the first is for clients that name none of them.
    pub certificate: &'static [Chain],
    /// The certificates' private keys, as PKCS#8 in DER.
    pub key: &'static [&'static [u8]],
    /// What issuers say of the certificates, in the same order; it is shown to clients that ask.
    pub ocsp: Option<&'static [Option<Staple>]>,
    /// Application protocols (ALPN), the favourite first; when there are none, it is ignored.
    pub alpn: &'static [&'static str],
    /// The most connections at a time, 1 to 1,000,000.
    pub connections: u32,
    /// The most connections at a time whose handshake is not complete, 1 to 100,000.
    pub handshakes: u32,
    /// How long a handshake may take, 100 ms to 10 min.
    pub handshake_timeout: Duration,
    /// The longest handshake message in bytes, 512 to 131,072.
    pub hello_limit: u64,
    /// Tickets that a client gets for later connections, 0 to 4.
    pub tickets: u8,
    /// How long a ticket is good for, 1 min to 7 days.
    pub ticket_lifetime: Duration,
    /// The most bytes of early data that a client may send, 1,024 to 65,536; with it, the server
    /// is an [`EarlyTls`].
    pub early_data: Option<u64>,
    /// Certificates of those who may vouch for clients, in DER; with them, the server is
    /// a [`MutualTls`].
    pub clients: Option<&'static [&'static [u8]]>,
    /// Whether a client must have a certificate then.
    pub client_certificate: ClientCertificate,
}

/// Whether clients that are asked for a certificate must have one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClientCertificate {
    /// Who has none is refused.
    Required,
    /// Who has none is served, and not known.
    Optional,
}

/// A server that asks its clients who they are.
pub type MutualTls = Tls<Server<true>>;

/// A server that accepts early data, by which whoever saw it can make it act twice.
pub type EarlyTls = Tls<Server<false, true>>;

/// A server that does both.
pub type EarlyMutualTls = Tls<Server<true, true>>;

waitless::counters! {
    /// What a [`Tls`] counts.
    pub struct Counters {
        /// Connections that were accepted.
        counter accepted: connections,
        /// Connections that were begun, by a client.
        counter begun: connections,
        /// Connections that are open, those in their handshake included.
        gauge open: connections,
        /// Connections whose handshake is not complete.
        gauge shaking: connections,
        /// Connections that were reset because there were too many.
        counter refused: connections,
        /// Handshakes that were completed.
        counter completed: handshakes,
        /// Completed handshakes that resumed an earlier connection.
        counter resumed: handshakes,
        /// Handshakes with early data that was accepted.
        counter early: handshakes,
        /// Handshakes with early data that was not accepted, though the server is one that does.
        counter early_refused: handshakes,
        /// Those of them whose hello had come before: somebody has sent it again.
        counter replayed: handshakes,
        /// Handshakes in which a second hello was asked for.
        counter retried: handshakes,
        /// Handshakes that took too long.
        counter timed_out: handshakes,
        /// Connections that ended with an alert of ours, because of a broken rule or of
        /// a certificate.
        counter faulty: connections,
        /// Connections that ended with an alert of the other end's.
        counter rejected: connections,
        /// Connections that ended because records that had not come whole took all the memory there
        /// is for them.
        counter crowded: connections,
        /// Connections that ended without close_notify.
        counter truncated: connections,
        /// Records that arrived.
        counter received: records,
        /// Records of data that were sent.
        counter sent: records,
        /// Keys that were replaced, in either direction.
        counter updated: keys,
        /// Times that something had to wait for a packet.
        counter starved: times,
    }
}

/// The component: a server, where nothing else is said.
pub struct Tls<R: Role = Server> {
    config: &'static R::Config,
    limits: Limits,
    counters: &'static Counters,
    /// What all connections share; `None` until there is entropy to make keys of.
    shared: Option<Shared<R>>,
    services: Vec<Attached>,
    /// Boxed, so that the table grows without moving them.
    #[expect(clippy::vec_box, reason = "they are large, and the table grows")]
    connections: Vec<Box<Connection<R>>>,
    free: Vec<u32>,
    /// Connections to read from although nothing new arrived.
    to_receive: VecDeque<u32>,
    /// Connections with something to send.
    to_transmit: VecDeque<u32>,
    /// Memory for records that span packets.
    spares: Vec<Vec<u8>>,
    /// Bytes of such records, and of messages that span records, of all connections.
    gathered: usize,
    /// The connection that is looked at next when these are too many.
    hand: usize,
    timers: Wheel,
    now: Instant,
    /// Hellos that this sweep may still answer.
    hellos: u8,
    /// Packets for early data that may come.
    promised: usize,
    /// Whether a service has attached or listened since the last sweep.
    news_above: bool,
}

/// A service, and what stands for it below.
struct Attached {
    below: Option<Service>,
    /// Ports to listen on that the stream below was not told.
    ports: Vec<u16>,
    /// Connections with news for it.
    news: VecDeque<u32>,
    /// Whether it can tell early data from other data.
    takes_early: bool,
}

/// Hellos that one sweep answers: each takes as long as thousands of records.
const HELLOS: u8 = 2;
/// How late a timeout may be.
const TICK: Duration = Duration::from_millis(16);
/// Memory for records that span packets, kept for the next ones.
const SPARES: usize = 16;

impl<R: Role> Tls<R> {
    /// A server that listens once its services do, or a client.
    pub fn new(config: &'static R::Config, _: &mut Context) -> Self {
        Self {
            config,
            limits: R::limits(config),
            counters: Counters::leak(),
            shared: None,
            services: Vec::new(),
            connections: Vec::new(),
            free: Vec::new(),
            to_receive: VecDeque::new(),
            to_transmit: VecDeque::new(),
            spares: Vec::new(),
            gathered: 0,
            hand: 0,
            timers: Wheel::new(TICK),
            now: Instant::ZERO,
            hellos: 0,
            promised: 0,
            news_above: false,
        }
    }

    fn queue_receive(&mut self, place: u32) {
        if let Some(connection) = self.connections.get_mut(place as usize)
            && !core::mem::replace(&mut connection.flags.in_receive, true)
        {
            self.to_receive.push_back(place);
        }
    }

    fn queue_transmit(&mut self, place: u32) {
        if let Some(connection) = self.connections.get_mut(place as usize)
            && !core::mem::replace(&mut connection.flags.in_transmit, true)
        {
            self.to_transmit.push_back(place);
        }
    }

    /// Tells the service of a connection that there is news.
    fn report(&mut self, place: u32) {
        let Some(connection) = self.connections.get_mut(place as usize) else { return };
        let known = connection.flags.reported && !connection.flags.released;
        if known
            && let Some(service) = self.services.get_mut(usize::from(connection.service.0))
            && !core::mem::replace(&mut connection.flags.in_news, true)
        {
            service.news.push_back(place);
        }
    }

    /// Expects the connection to have got further by `deadline`.
    fn set_deadline(&mut self, place: u32, deadline: Instant) {
        if let Some(connection) = self.connections.get_mut(place as usize) {
            connection.deadline = deadline;
            self.timers.set(place, deadline);
        }
    }

    /// Frees the place of a connection that neither side knows any more.
    fn forget(&mut self, place: u32) {
        let Some(connection) = self.connections.get_mut(place as usize) else { return };
        if connection.stage == Stage::Free {
            return;
        }
        self.gathered = self.gathered.saturating_sub(core::mem::take(&mut connection.counted));
        let memory = connection.clear();
        self.timers.cancel(place);
        self.free.push(place);
        self.counters.open.sub(1);
        self.keep(memory);
    }

    /// Keeps the memory of a record for the next one.
    fn keep(&mut self, mut memory: Vec<u8>) {
        self.gathered = self.gathered.saturating_sub(memory.len());
        memory.clear();
        if memory.capacity() > 0 && self.spares.len() < SPARES {
            self.spares.push(memory);
        }
    }

    /// Tells the stream below of services and ports that it does not know.
    #[cold]
    fn listen_below<S: StreamPort>(&mut self, below: &mut S, cx: &Context) {
        self.news_above = false;
        for service in &mut self.services {
            service.below = service.below.or_else(|| below.attach());
            let Some(there) = service.below else {
                waitless::error!(cx, "no more services fit below TLS: raise its limit");
                continue;
            };
            for port in service.ports.drain(..) {
                if let Err(why) = below.listen(there, port) {
                    waitless::error!(cx, "cannot listen to port {port} below TLS: {why:?}");
                }
            }
        }
    }
}

impl<R: Role, S: StreamPort> Component<S> for Tls<R> {
    fn init(&mut self, _: &mut S, cx: &mut Context) -> Result<(), InitError> {
        self.now = cx.now();
        self.shared = Some(Shared {
            role: R::new(self.config, cx)?,
            flight: Flight::default(),
            hello_limit: self.limits.message,
            pool: cx.pool(),
        });
        Ok(())
    }

    fn receive(&mut self, below: &mut S, cx: &mut Context) {
        self.now = cx.now();
        self.hellos = HELLOS;
        if self.news_above {
            self.listen_below(below, cx);
        }
        for service in 0..self.services.len() {
            for _ in 0..BATCH {
                let known = self.services.get(service).and_then(|service| service.below);
                let Some(stream) = known.and_then(|there| below.news(there)) else { break };
                self.hear(stream, Service(service as u16), below, cx);
            }
        }
        for _ in 0..BATCH.min(self.to_receive.len()) {
            let Some(place) = self.to_receive.pop_front() else { break };
            if let Some(connection) = self.connections.get_mut(place as usize) {
                connection.flags.in_receive = false;
            }
            self.read(place, below, cx);
        }
        for _ in 0..BATCH {
            let Some(place) = self.timers.pop(self.now) else { break };
            self.time_out(place, below);
        }
    }

    fn transmit(&mut self, below: &mut S, cx: &mut Context) {
        let mut left = BATCH;
        for _ in 0..BATCH.min(self.to_transmit.len()) {
            let Some(place) = self.to_transmit.pop_front() else { break };
            if let Some(connection) = self.connections.get_mut(place as usize) {
                connection.flags.in_transmit = false;
            }
            self.flush(place, &mut left, below, cx);
            if left == 0 {
                break;
            }
        }
    }

    fn deadline(&self) -> Instant {
        let idle = self.to_receive.is_empty()
            && self.to_transmit.is_empty()
            && !self.news_above
            && self.services.iter().all(|service| service.news.is_empty());
        if idle { self.timers.deadline() } else { Instant::ZERO }
    }
}

impl<R: Role> Inspect for Tls<R> {
    fn counters(&self) -> &'static dyn CounterSet {
        self.counters
    }
}

/// What the service sees of a stream that ended like this.
const fn ended(phase: Phase, finished: bool) -> Phase {
    match phase {
        // The end was agreed, but not by those who hold the keys.
        Phase::Closed if !finished => Phase::Reset,
        phase => phase,
    }
}
