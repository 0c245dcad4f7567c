//! An HTTP/1.1 server on any stream: heads parsed where they arrived, bodies passed on as packets,
//! responses completed in the headroom of their bodies (RFC 9110, RFC 9112).
//!
//! It is strict, because requests are smuggled through what two parsers read differently: what
//! may be refused is refused, with the status that says why, and the connection is closed. Every
//! length, number and time has a limit. An idle connection costs the place in a table; buffers
//! are there only while an exchange needs them.
//!
//! It does not compress, cache or tunnel.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod connection;
mod end;
mod exchange;
mod parse;
mod partial;
mod patience;
mod port;
mod receive;
mod recent;
mod response;
#[cfg(test)]
mod tests;
mod transmit;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use connection::{Connection, NONE};
use exchange::Active;
use parse::Limits;
use partial::Partial;
use patience::{Patience, Rate};
use recent::Recent;
use response::Template;
use waitless::http::Date;
use waitless::http::wire::{Budget, Input};
use waitless::{
    BATCH, Component, Context, CounterSet, Duration, InitError, Inspect, Instant, Pool, Service,
    StreamPort, Wheel,
};

/// How an [`Http1`] is set up.
#[derive(Debug)]
pub struct Config {
    /// The port to listen on, 1 to 65535.
    pub port: u16,
    /// The scheme that requests come with.
    pub scheme: Scheme,
    /// The most connections at a time, 1 to 1,000,000.
    pub connections: u32,
    /// The longest head in bytes, 256 to 65,535.
    pub head_limit: u64,
    /// The longest request line in bytes, 64 to 65,535.
    pub line_limit: u64,
    /// The most fields, 1 to 1,000.
    pub field_limit: u16,
    /// The longest body in bytes; any length where there is none.
    pub body_limit: Option<u64>,
    /// How long a head may take, 100 ms to 1 h.
    pub head_timeout: Duration,
    /// How long a body may keep its handler waiting, 100 ms to 1 h.
    pub body_timeout: Duration,
    /// How long a connection may wait for its next request, 100 ms to 1 h.
    pub idle_timeout: Duration,
    /// How long a client may take nothing of its response, 100 ms to 1 h.
    pub send_timeout: Duration,
    /// Bytes a second, 1 to 2^20, that win back the time that a client takes to send a body or
    /// to take a response.
    pub rate_floor: Option<u64>,
    /// The longest head of a response in bytes, 1,024 to 65,535.
    pub response_head_limit: u64,
    /// How long a connection that is being closed still listens, up to 1 min.
    pub linger: Duration,
    /// The `Server` field of responses; none where this is empty.
    pub server: &'static str,
    /// How long clients are to come by TLS alone, as responses tell them; `None` to say nothing.
    /// Only with [`Scheme::Https`].
    pub hsts: Option<Duration>,
}

/// The scheme of the requests that come in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// Plain.
    Http,
    /// On TLS.
    Https,
}

waitless::counters! {
    /// What an [`Http1`] counts.
    pub struct Counters {
        /// Connections that were accepted.
        counter accepted: connections,
        /// Connections that are open.
        gauge open: connections,
        /// Connections that were reset because there were too many.
        counter refused: connections,
        /// Requests whose head was complete and well-formed.
        counter requests: requests,
        /// Requests that were answered here, with a status from 400 on, because of a broken rule.
        counter malformed: requests,
        /// Requests that were answered here because something was too long: 413, 414 or 431.
        counter too_long: requests,
        /// Requests that were answered here because they took too long: 408.
        counter too_slow: requests,
        /// Exchanges that ended before they were complete.
        counter aborted: exchanges,
        /// Connections that were closed because nothing was asked for any more.
        counter idled_out: connections,
        /// Connections that were reset because their client took next to nothing of its response.
        counter stalled: connections,
        /// Connections that ended before a head was complete, because heads took all the memory
        /// there is for them: those that had waited the longest were reset, and where there were
        /// none, the new one was answered with 503.
        counter crowded: connections,
        /// Exchanges that were ended because their client was slow and others had to wait.
        counter shed: exchanges,
        /// Responses that break off, because their handler did, or because the request's body
        /// turned out to be broken. Their clients can tell.
        counter broken_off: responses,
        /// Times that something had to wait for a packet.
        counter starved: times,
        /// Connections that speak another protocol since.
        counter upgraded: connections,
        /// Responses that became a 500 because their fields were too long.
        counter overlong: responses,
    }
}

/// The component.
pub struct Http1 {
    config: &'static Config,
    limits: Limits,
    recent: Recent,
    counters: &'static Counters,
    /// Lines that all responses have.
    fixed: &'static [u8],
    pool: Pool,
    service: Service,
    connections: Vec<Connection>,
    free_connections: Vec<u32>,
    exchanges: Vec<Active>,
    free_exchanges: Vec<u32>,
    /// Exchanges that wait to be accepted, some of them dead.
    arrived: VecDeque<u32>,
    /// How many of those are not dead.
    waiting: usize,
    /// The tags of exchanges that are gone, for the service to hear.
    gone: VecDeque<u32>,
    /// Exchanges with news.
    news: VecDeque<u32>,
    /// Connections to read from although nothing new arrived.
    to_receive: VecDeque<u32>,
    /// Connections with something to send, or to reset.
    to_transmit: VecDeque<u32>,
    /// Connections with heads that are not complete, those that have waited the longest first, and
    /// others that were such.
    partial: VecDeque<Partial>,
    /// What heads in memory count against.
    heads: &'static Budget,
    timers: Wheel,
    now: Instant,
    rate: Rate,
    /// Until when clients have to be faster than usual.
    crowded_until: Instant,
    date: Option<response::Now>,
    date_until: Instant,
    template: Template,
    /// Whether nobody on the way can read or change what passes.
    is_secure: bool,
}

impl Http1 {
    /// A server that listens once it is initialized.
    pub fn new(config: &'static Config, cx: &mut Context) -> Self {
        Self {
            config,
            recent: Recent::new(),
            limits: Limits {
                head: config.head_limit.min(65_535) as usize,
                line: config.line_limit.min(65_535) as usize,
                fields: config.field_limit.into(),
                secure: config.scheme == Scheme::Https,
            },
            counters: Counters::leak(),
            fixed: Box::leak(response::fixed_lines(config)),
            pool: cx.pool(),
            service: Service::default(),
            connections: Vec::new(),
            free_connections: Vec::new(),
            exchanges: Vec::new(),
            free_exchanges: Vec::new(),
            arrived: VecDeque::new(),
            waiting: 0,
            gone: VecDeque::new(),
            news: VecDeque::new(),
            to_receive: VecDeque::new(),
            to_transmit: VecDeque::new(),
            partial: VecDeque::new(),
            heads: Box::leak(Box::new(Budget::beside(cx.pool()))),
            timers: Wheel::new(TICK),
            now: Instant::ZERO,
            rate: Rate::at_least(config.rate_floor),
            crowded_until: Instant::ZERO,
            date: None,
            date_until: Instant::ZERO,
            template: Template::new(),
            is_secure: false,
        }
    }

    /// Asks for the time of day, at most once a second.
    #[cold]
    #[inline(never)]
    fn refresh_date(&mut self, cx: &Context) {
        self.date = cx.wall_clock().map(|unix| response::Now {
            unix: unix.try_into().unwrap_or(u32::MAX),
            line: Date::from_unix(unix).bytes(),
        });
        self.date_until = self.now + Duration::from_secs(1);
        self.template.forget();
    }

    #[inline]
    fn queue_receive(&mut self, place: u32) {
        if let Some(connection) = self.connections.get_mut(place as usize)
            && !core::mem::replace(&mut connection.receive_queued, true)
        {
            self.to_receive.push_back(place);
        }
    }

    #[inline]
    fn queue_transmit(&mut self, place: u32) {
        if let Some(connection) = self.connections.get_mut(place as usize)
            && !core::mem::replace(&mut connection.transmit_queued, true)
        {
            self.to_transmit.push_back(place);
        }
    }

    /// Expects something of a connection by `deadline`.
    #[inline]
    fn set_deadline(&mut self, place: u32, deadline: Instant) {
        let Some(connection) = self.connections.get_mut(place as usize) else { return };
        connection.deadline = deadline;
        // A timer that fires too early looks at the deadline again; so most are never moved.
        if deadline < connection.armed {
            connection.armed = deadline;
            self.timers.set(place, deadline);
        }
    }

    /// Expects the next request of a connection, and before that, that the client takes the end of
    /// its last response.
    #[inline]
    fn expect_request(&mut self, place: u32) {
        let (idle, send) = (self.config.idle_timeout, self.config.send_timeout);
        self.set_deadline(place, self.now + idle.min(send));
        if let Some(connection) = self.connections.get_mut(place as usize) {
            connection.deadline = self.now + idle;
        }
    }

    /// Gives the client of the connection in `place` the time that its exchange leaves it.
    #[inline]
    fn watch(&mut self, place: u32) {
        let Some(connection) = self.connections.get(place as usize) else { return };
        if let Some(exchange) = self.exchanges.get(connection.exchange as usize) {
            self.set_deadline(place, exchange.reading.deadline().min(exchange.sending.deadline()));
        }
    }

    /// What bytes win now.
    #[inline]
    fn rate(&self) -> Rate {
        if self.now < self.crowded_until { self.rate.raised(CROWDED) } else { self.rate }
    }

    /// A free place for an exchange of the connection in place `connection`.
    #[inline]
    fn begin_exchange(&mut self, connection: u32, phase: exchange::Phase) -> u32 {
        let place = self.free_exchanges.pop().unwrap_or_else(|| {
            self.exchanges.push(Active::new());
            // Room for all that exist, so that giving one back never allocates.
            self.free_exchanges.reserve(self.exchanges.len());
            self.exchanges.len() as u32 - 1
        });
        if let Some(exchange) = self.exchanges.get_mut(place as usize) {
            exchange.begin(connection, phase);
            exchange.reading = Patience::new(self.config.body_timeout);
            exchange.sending = Patience::new(self.config.send_timeout);
            exchange.begun_at = self.now;
        }
        if let Some(connection) = self.connections.get_mut(connection as usize) {
            connection.exchange = place;
            connection.phase = connection::Phase::Exchange;
        }
        place
    }

    /// Ends the exchange in `place` for its connection, and tells the service if it still
    /// counts on it.
    #[inline]
    fn end_exchange(&mut self, place: u32) {
        let Some(exchange) = self.exchanges.get_mut(place as usize) else { return };
        if let Some(connection) = self.connections.get_mut(exchange.connection as usize) {
            connection.exchange = NONE;
        }
        match exchange.phase {
            exchange::Phase::Free | exchange::Phase::Dead => return,
            exchange::Phase::Waiting => {
                exchange.end();
                exchange.phase = exchange::Phase::Dead;
                self.waiting -= 1;
                self.counters.aborted.add(1);
                return self.bury();
            }
            exchange::Phase::Open => {
                self.gone.push_back(exchange.tag);
                self.counters.aborted.add(1);
            }
            exchange::Phase::Answered => {}
        }
        exchange.end();
        self.free_exchanges.push(place);
    }

    /// Frees the places of the dead, once they are the most of those that wait: a service that
    /// accepts nobody for a while must not cost a place for each client that comes and goes.
    #[cold]
    fn bury(&mut self) {
        if self.arrived.len() <= 2 * self.waiting + BATCH {
            return;
        }
        let (exchanges, free) = (&mut self.exchanges, &mut self.free_exchanges);
        self.arrived.retain(|&index| match exchanges.get_mut(index as usize) {
            Some(exchange) if exchange.phase == exchange::Phase::Dead => {
                exchange.phase = exchange::Phase::Free;
                free.push(index);
                false
            }
            _ => true,
        });
    }

    /// Frees the place of a connection that was released.
    fn forget(&mut self, place: u32) {
        let Some(connection) = self.connections.get_mut(place as usize) else { return };
        let exchange = connection.exchange;
        connection.phase = connection::Phase::Free;
        connection.input = Input::Empty;
        connection.armed = Instant::NEVER;
        self.timers.cancel(place);
        self.end_exchange(exchange);
        self.free_connections.push(place);
        self.counters.open.sub(1);
    }
}

impl<S: StreamPort> Component<S> for Http1 {
    fn init(&mut self, below: &mut S, _: &mut Context) -> Result<(), InitError> {
        //= RFC 6797 7.2: not over anything but TLS
        if self.config.hsts.is_some() && self.config.scheme != Scheme::Https {
            return Err(InitError("`hsts` is for connections over TLS: set scheme = \"https\""));
        }
        let full = InitError("too many services stand on the stream port: raise its limit");
        self.service = below.attach().ok_or(full)?;
        below.take_early(self.service);
        // As the connections are, whatever the manifest's `scheme` says of the requests.
        self.is_secure = below.is_secure();
        below.listen(self.service, self.config.port).map_err(|error| {
            InitError(match error {
                waitless::ListenError::Taken => "the port is taken: choose another `port`",
                waitless::ListenError::Full => "too many listeners: raise the limit below",
                waitless::ListenError::Refused => {
                    "the host refuses the port: it is in use, or below 1024 and root's"
                }
            })
        })
    }

    fn receive(&mut self, below: &mut S, cx: &mut Context) {
        self.now = cx.now();
        if self.now >= self.date_until {
            self.refresh_date(cx);
        }
        for _ in 0..BATCH {
            let Some(stream) = below.news(self.service) else { break };
            self.hear(stream, below);
        }
        for _ in 0..BATCH.min(self.to_receive.len()) {
            let Some(place) = self.to_receive.pop_front() else { break };
            if let Some(connection) = self.connections.get_mut(place as usize) {
                connection.receive_queued = false;
            }
            self.read(place, below);
        }
        for _ in 0..BATCH {
            let Some(place) = self.timers.pop(self.now) else { break };
            self.time_out(place, below);
        }
    }

    fn transmit(&mut self, below: &mut S, _: &mut Context) {
        let mut left = BATCH;
        for _ in 0..BATCH.min(self.to_transmit.len()) {
            let Some(place) = self.to_transmit.pop_front() else { break };
            if let Some(connection) = self.connections.get_mut(place as usize) {
                connection.transmit_queued = false;
            }
            self.flush(place, &mut left, below);
            if left == 0 {
                break;
            }
        }
    }

    fn deadline(&self) -> Instant {
        let idle = self.to_receive.is_empty()
            && self.to_transmit.is_empty()
            && self.news.is_empty()
            && self.gone.is_empty();
        if idle { self.timers.deadline() } else { Instant::ZERO }
    }
}

impl Inspect for Http1 {
    fn counters(&self) -> &'static dyn CounterSet {
        self.counters
    }
}

/// How many times as fast clients have to be while others wait for a task, or just did.
const CROWDED: u64 = 64;

/// For how long after somebody had to wait.
const CROWDED_FOR: Duration = Duration::from_secs(10);

/// How late a timeout may be.
const TICK: Duration = Duration::from_millis(16);
