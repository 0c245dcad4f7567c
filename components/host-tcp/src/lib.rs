//! Byte streams over the sockets of the host that an image runs on as a process.
//!
//! [`HostTcp`] stands where the `tcp` component stands in a guest, and keeps the same contract
//! ([`StreamPort`](waitless::StreamPort)), so nothing above notices the difference.
//!
//! - **No call waits.** All sockets are nonblocking; one `epoll` or `kqueue` descriptor, through
//!   mio, wakes the process. Readiness is remembered, so a socket is not asked twice.
//! - **Bytes are copied by the host only**: reads go straight into packets, up to eight at a
//!   time; writes come straight from them, up to sixteen at a time.
//! - **Back-pressure goes through.** A service that does not read stops the reading of its
//!   socket, and the host's window closes; one that writes faster than the peer reads finds no
//!   room. A full table leaves new connections in the host's queue, and so does a process
//!   that has no descriptors left.
//!
//! What the host does not tell, this cannot know: bytes count as acknowledged once the host has
//! taken them, and a connection counts as closed once both directions have ended.

#![forbid(unsafe_code)]

mod connection;
mod listener;
mod port;
mod table;
#[cfg(test)]
mod tests;

use connection::{Flushed, Read};
use listener::Listener;
use mio::event::Event;
use mio::{Events, Poll};
use std::collections::VecDeque;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::time::Duration as HostDuration;
use table::Table;
use waitless::device::Platform;
use waitless::log::Log;
use waitless::{
    BATCH, Component, Context, CounterSet, Duration, InitError, Inspect, Instant, Phase, Pool,
};

/// How to use the host's sockets.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The host's address to listen on.
    pub bind: IpAddr,
    /// Connections at the same time.
    pub connections: u32,
    /// Bytes of a connection that wait here to be read, about.
    pub receive_buffer: u64,
    /// Bytes of a connection that wait here for the host.
    pub send_buffer: u64,
    /// How long a connection that was given up may take to send what is queued.
    pub linger: Duration,
}

/// The host's TCP.
pub struct HostTcp {
    config: &'static Config,
    pool: Pool,
    platform: &'static dyn Platform,
    log: Log,
    /// `None` before `init`.
    poll: Option<Poll>,
    events: Events,
    /// Of each service, the connections with news.
    news: Vec<VecDeque<u32>>,
    listeners: Vec<Listener>,
    table: Table,
    /// Connections that may have something to read, and room for it.
    readable: VecDeque<u32>,
    /// Connections that have something to send, or an end to tell.
    dirty: VecDeque<u32>,
    /// Connections whose service found no packet to write into.
    starved: VecDeque<u32>,
    /// Connections that were given up with bytes queued: when their time is over, where they
    /// are, and as which generation. In order, because each has the same time.
    lingering: VecDeque<(Instant, u32, u32)>,
    /// When to try again what the lack of packets or descriptors kept from being done.
    packets_at: Instant,
    descriptors_at: Instant,
    now: Instant,
    counters: &'static Counters,
}

/// Events taken from the host in one sweep; what is left wakes the process again.
const EVENTS: usize = 1024;
/// How long to wait for packets before trying again.
const PACKETS_RETRY: Duration = Duration::from_millis(1);
/// How long to wait for descriptors before trying again.
const DESCRIPTORS_RETRY: Duration = Duration::from_millis(100);

impl HostTcp {
    /// The host's TCP, used as `config` says.
    pub fn new(config: &'static Config, cx: &mut Context) -> Self {
        Self {
            config,
            pool: cx.pool(),
            platform: cx.platform(),
            log: cx.log(),
            poll: None,
            events: Events::with_capacity(EVENTS),
            news: Vec::new(),
            listeners: Vec::new(),
            table: Table::new(config.connections as usize),
            readable: VecDeque::new(),
            dirty: VecDeque::new(),
            starved: VecDeque::new(),
            lingering: VecDeque::new(),
            packets_at: Instant::ZERO,
            descriptors_at: Instant::ZERO,
            now: Instant::ZERO,
            counters: Counters::leak(),
        }
    }

    /// The addresses on which the host listens for this image.
    pub fn listening(&self) -> impl Iterator<Item = std::net::SocketAddr> {
        self.listeners.iter().filter_map(Listener::address)
    }

    /// Remembers what the host says is ready.
    fn take_events(&mut self) {
        let Some(poll) = &mut self.poll else { return };
        if let Err(error) = poll.poll(&mut self.events, Some(HostDuration::ZERO)) {
            // An interrupted call left the events where they were.
            if error.kind() != std::io::ErrorKind::Interrupted {
                self.counters.poll_failed.add(1);
            }
            return;
        }
        // Lent out, so that each event can change the rest; no event is lost or copied.
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            self.note(event);
        }
        self.events = events;
    }

    fn note(&mut self, event: &Event) {
        let token = event.token().0;
        if let Some(listener) = self.listeners.get_mut(token) {
            listener.is_ready = true;
            return;
        }
        let Some(index) = token.checked_sub(listener::LISTENERS_MAX) else { return };
        let index = index as u32;
        let Some(connection) = self.table.at_mut(index) else { return };
        let ended = event.is_error() || event.is_read_closed();
        if event.is_readable() || ended {
            connection.may_read = true;
            connection.peer_ended |= ended;
        }
        if event.is_writable() || event.is_error() || event.is_write_closed() {
            connection.may_write = true;
        }
        if connection.phase == Phase::Opening {
            match connection.finish_opening() {
                Ok(false) => return,
                Ok(true) => {
                    self.counters.connected.add(1);
                    self.report(index);
                }
                Err(error) => return self.fail(index, &error),
            }
        }
        self.want_read(index);
        self.want_flush(index);
    }

    /// Reads from up to a batch of connections.
    fn read(&mut self) {
        for _ in 0..self.readable.len().min(BATCH) {
            // Some packets are left to those who send, or nobody would ever free any.
            if self.pool.available() <= self.pool.count() / 8 {
                self.counters.starved.add(1);
                self.packets_at = self.now + PACKETS_RETRY;
                return;
            }
            let Some(index) = self.readable.pop_front() else { return };
            let Some(connection) = self.table.at_mut(index) else { continue };
            connection.in_readable = false;
            let outcome = connection.read(self.pool, self.config.receive_buffer as usize);
            match outcome {
                Ok(Read::Nothing) => {}
                Ok(Read::Bytes(count)) => {
                    self.counters.received.add(count as u64);
                    self.report(index);
                }
                Ok(Read::End) => {
                    self.report(index);
                    self.settle(index);
                }
                Ok(Read::Unwanted) => {
                    connection.reset();
                    self.table.remove(index);
                    self.counters.unwanted.add(1);
                    continue;
                }
                Err(error) => {
                    self.fail(index, &error);
                    continue;
                }
            }
            self.want_read(index);
        }
    }

    /// Writes what is queued, as far as the host takes it.
    fn flush(&mut self) {
        for _ in 0..self.dirty.len() {
            let Some(index) = self.dirty.pop_front() else { return };
            let Some(connection) = self.table.at_mut(index) else { continue };
            connection.in_dirty = false;
            match connection.flush() {
                Ok(Flushed { bytes, is_done }) => {
                    if bytes > 0 {
                        self.counters.sent.add(bytes as u64);
                        self.report(index);
                    }
                    if is_done {
                        self.settle(index);
                    } else {
                        self.want_flush(index);
                    }
                }
                Err(error) => self.fail(index, &error),
            }
        }
    }

    /// Ends a connection of which both directions have ended, and frees the place of one that
    /// was given up and has nothing left to send.
    fn settle(&mut self, index: u32) {
        let Some(connection) = self.table.at_mut(index) else { return };
        if !connection.is_shut {
            return;
        }
        if connection.is_released {
            // The host resets the connection if the peer sends on, and tells it the end if not;
            // but what arrived before must not count as unread, or the reset comes at once.
            if !connection.discard_arrived() {
                self.counters.unwanted.add(1);
                connection.reset();
            }
            self.table.remove(index);
        } else if connection.is_finished {
            connection.end(Phase::Closed);
            self.report(index);
        }
    }

    /// Ends a connection that failed.
    fn fail(&mut self, index: u32, error: &std::io::Error) {
        let Some(connection) = self.table.at_mut(index) else { return };
        if connection.socket.is_none() {
            return;
        }
        let phase = connection::phase_of(error);
        connection.end(phase);
        match phase {
            Phase::TimedOut => self.counters.timed_out.add(1),
            Phase::Unreachable => self.counters.unreachable.add(1),
            _ => self.counters.reset.add(1),
        }
        if connection.is_released {
            self.table.remove(index);
        } else {
            self.report(index);
        }
    }

    /// Cuts off what was given up long ago.
    fn expire(&mut self) {
        while let Some(&(at, index, generation)) = self.lingering.front()
            && at <= self.now
        {
            self.lingering.pop_front();
            if self.table.generation(index) == generation
                && let Some(connection) = self.table.at_mut(index)
                && connection.is_released
            {
                connection.reset();
                self.table.remove(index);
                self.counters.unsent.add(1);
            }
        }
    }

    /// Tells those who wanted a packet to write into that there are some again.
    fn feed(&mut self) {
        if self.pool.available() <= self.starved.len() {
            return;
        }
        while let Some(index) = self.starved.pop_front() {
            if let Some(connection) = self.table.at_mut(index) {
                connection.in_starved = false;
                self.report(index);
            }
        }
    }

    /// Tells the service of the connection that there is news.
    fn report(&mut self, index: u32) {
        let Some(connection) = self.table.at_mut(index) else { return };
        if connection.in_news || connection.is_released {
            return;
        }
        if let Some(news) = self.news.get_mut(usize::from(connection.service.0)) {
            connection.in_news = true;
            news.push_back(index);
        }
    }

    fn want_read(&mut self, index: u32) {
        let limit = self.config.receive_buffer as usize;
        if let Some(connection) = self.table.at_mut(index)
            && connection.may_read
            && !connection.in_readable
            && (connection.has_room(limit) || connection.is_released)
        {
            connection.in_readable = true;
            self.readable.push_back(index);
        }
    }

    fn want_flush(&mut self, index: u32) {
        if let Some(connection) = self.table.at_mut(index)
            && connection.may_write
            && !connection.in_dirty
            && connection.has_work()
        {
            connection.in_dirty = true;
            self.dirty.push_back(index);
        }
    }
}

impl Component<()> for HostTcp {
    fn init(&mut self, _: &mut (), cx: &mut Context) -> Result<(), InitError> {
        let poll = Poll::new().map_err(|error| {
            waitless::error!(cx, "no epoll or kqueue: {error}");
            InitError("the host has no descriptor for it: raise the limit (ulimit -n)")
        })?;
        if !cx.platform().wake_on(poll.as_raw_fd()) {
            return Err(InitError("this platform has no sockets: use the tcp component"));
        }
        self.poll = Some(poll);
        self.now = cx.now();
        Ok(())
    }

    fn receive(&mut self, _: &mut (), cx: &mut Context) {
        self.now = cx.now();
        self.take_events();
        self.accept();
        self.read();
        self.expire();
        self.feed();
        self.counters.open.set(self.table.len() as u64);
    }

    fn transmit(&mut self, _: &mut (), _: &mut Context) {
        self.flush();
    }

    fn deadline(&self) -> Instant {
        let has_news = self.news.iter().any(|news| !news.is_empty());
        if has_news || !self.dirty.is_empty() {
            return Instant::ZERO;
        }
        let mut deadline = self.lingering.front().map_or(Instant::NEVER, |entry| entry.0);
        if !self.readable.is_empty() {
            deadline = deadline.min(self.packets_at);
        }
        if !self.starved.is_empty() {
            deadline = deadline.min(self.now + PACKETS_RETRY);
        }
        if !self.table.is_full() && self.listeners.iter().any(|listener| listener.is_ready) {
            deadline = deadline.min(self.descriptors_at);
        }
        deadline
    }
}

impl Inspect for HostTcp {
    fn counters(&self) -> &'static dyn CounterSet {
        self.counters
    }
}

waitless::counters! {
    /// What happened on the host's sockets.
    struct Counters {
        /// Connections that are open, those that still send after they were given up included.
        gauge open: connections,
        /// Connections that others opened.
        counter accepted: connections,
        /// Connections that this image opened.
        counter connected: connections,
        /// Bytes that arrived.
        counter received: bytes,
        /// Bytes that the host took.
        counter sent: bytes,
        /// Connections that the other side reset or refused.
        counter reset: connections,
        /// Connections on which the other side stopped answering.
        counter timed_out: connections,
        /// Connections whose path failed.
        counter unreachable: connections,
        /// Connections reset because bytes arrived after they were given up.
        counter unwanted: connections,
        /// Connections cut off with bytes that the other side did not take in time.
        counter unsent: connections,
        /// Connections that ended while they were being accepted.
        counter accept_failed: connections,
        /// Times that a new connection had to wait because the table was full.
        counter full: times,
        /// Times that a new connection had to wait because the process had no descriptor left.
        counter no_descriptors: times,
        /// Times that reading had to wait because there were too few packets.
        counter starved: times,
        /// Times that the host could not say what is ready.
        counter poll_failed: times,
    }
}
