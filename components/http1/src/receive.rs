//! The upward half: connections, heads and bodies that come in, and what has taken too long.

use crate::Http1;
use crate::connection::{Connection, Phase};
use crate::exchange;
use crate::parse::{Parsed, SHORT, is_blank, parse};
use alloc::rc::Rc;
use core::net::SocketAddr;
use waitless::http::wire::{Framing, Input, NoPacket, Taken};
use waitless::http::{Head, Length, Method, Status, Version};
use waitless::{BATCH, Instant, Packet, StreamPort};

impl Http1 {
    /// A connection has news.
    #[inline]
    pub(crate) fn hear<S: StreamPort>(&mut self, stream: waitless::Stream, below: &mut S) {
        let Some(place) = below.tag(stream) else { return self.accept_connection(stream, below) };
        let known = self.connections.get(place as usize);
        let Some(connection) = known.filter(|known| known.stream == stream) else { return };
        use waitless::Phase::{Open, Opening};
        match (below.status(stream).phase, connection.phase) {
            (_, Phase::Free) => {}
            (Opening | Open, _) => {
                // Room may have appeared, too.
                let has_output = match self.exchanges.get(connection.exchange as usize) {
                    Some(exchange) => !exchange.is_drained() || exchange.last_chunk_due,
                    None => false,
                };
                if has_output {
                    self.queue_transmit(place);
                }
                self.read(place, below);
            }
            // Everything was agreed, also that bytes may still have to be read.
            (waitless::Phase::Closed, Phase::Head) => self.read(place, below),
            _ => {
                below.release(stream);
                self.forget(place);
            }
        }
    }

    fn accept_connection<S: StreamPort>(&mut self, stream: waitless::Stream, below: &mut S) {
        let place = match self.free_connections.pop() {
            Some(place) => place,
            None if self.connections.len() >= self.config.connections as usize => {
                self.counters.refused.add(1);
                below.abort(stream);
                return below.release(stream);
            }
            None => {
                self.connections.push(Connection::new(stream));
                // Room for all that exist, so that giving one back never allocates.
                self.free_connections.reserve(self.connections.len());
                self.connections.len() as u32 - 1
            }
        };
        if let Some(connection) = self.connections.get_mut(place as usize) {
            // The place may still stand in a queue, from its last connection.
            let (receive_queued, transmit_queued) =
                (connection.receive_queued, connection.transmit_queued);
            *connection = Connection { receive_queued, transmit_queued, ..Connection::new(stream) };
        }
        below.set_tag(stream, place);
        self.counters.accepted.add(1);
        self.counters.open.add(1);
        self.set_deadline(place, self.now + self.config.idle_timeout);
        self.read(place, below);
    }

    /// Reads from a connection what its phase wants.
    #[inline]
    pub(crate) fn read<S: StreamPort>(&mut self, place: u32, below: &mut S) {
        let Some(connection) = self.connections.get_mut(place as usize) else { return };
        match connection.phase {
            Phase::Free | Phase::CutOff | Phase::Abort => {}
            Phase::Head => self.read_head(place, below),
            Phase::Exchange => {
                let wants_body = self
                    .exchanges
                    .get(connection.exchange as usize)
                    .is_some_and(|exchange| exchange.asked && exchange.framing != Framing::Done);
                // Whatever arrives now waits until it is wanted.
                connection.unread = true;
                if wants_body {
                    self.read_body(place, below);
                }
            }
            Phase::Drain => self.read_body(place, below),
            Phase::Linger => self.discard(place, below),
        }
    }

    /// Reads until there is a head, nothing more, or too much.
    #[inline]
    fn read_head<S: StreamPort>(&mut self, place: u32, below: &mut S) {
        let Some(connection) = self.connections.get_mut(place as usize) else { return };
        let stream = connection.stream;
        let has_input = !connection.input.is_empty();
        let was_blank = !has_input || is_blank(connection.input.bytes());
        // Otherwise what there is was looked at when it came.
        let look = core::mem::take(&mut connection.unread) && has_input;
        if look && self.try_head(place, below) {
            return;
        }
        for _ in 0..BATCH {
            let Some(packet) = below.recv(stream) else {
                return self.lack_of_head(place, was_blank, below);
            };
            let Some(connection) = self.connections.get_mut(place as usize) else { return };
            if connection.input.is_empty() {
                // The usual case: all of the head is in one packet.
                connection.input = Input::Packet(packet);
                if self.try_head(place, below) {
                    return;
                }
                continue;
            }
            let before = connection.input.bytes().len();
            let ends_line = before >= SHORT && packet.bytes().contains(&b'\n');
            if !self.extend_head(place, packet) {
                return;
            }
            let Some(connection) = self.connections.get_mut(place as usize) else { return };
            let after = connection.input.bytes().len();
            let limits = &self.limits;
            if limits.may_tell(before, after, ends_line) && self.try_head(place, below) {
                return;
            }
        }
        if self.await_head(place, was_blank) {
            self.queue_receive(place);
        }
    }

    /// Nothing more has arrived, and the head is not complete.
    #[inline(never)]
    fn lack_of_head<S: StreamPort>(&mut self, place: u32, was_blank: bool, below: &mut S) {
        let Some(connection) = self.connections.get_mut(place as usize) else { return };
        let stream = connection.stream;
        if below.status(stream).finished {
            // The client is done, perhaps in the middle of a head that nobody can answer.
            below.close(stream);
            below.release(stream);
            return self.forget(place);
        }
        if !connection.input.is_empty() {
            self.await_head(place, was_blank);
        }
    }

    /// Looks for a head in the input. Whether the connection has left the phase.
    #[inline(never)]
    fn try_head<S: StreamPort>(&mut self, place: u32, below: &mut S) -> bool {
        let Some(connection) = self.connections.get_mut(place as usize) else { return true };
        let bytes = connection.input.bytes();
        let parsed = match self.recent.find(bytes) {
            Some(parsed) => parsed,
            None => match parse(bytes, &self.limits) {
                Ok(Some(parsed)) => {
                    self.recent.remember(bytes, &parsed);
                    parsed
                }
                Ok(None) => return false,
                Err(status) => {
                    self.refuse(place, status);
                    return true;
                }
            },
        };
        let too_long = matches!((parsed.layout.body, self.config.body_limit),
            (Length::Known(length), Some(limit)) if length > limit);
        if too_long {
            self.refuse(place, Status::CONTENT_TOO_LARGE);
            return true;
        }
        let stream = connection.stream;
        let (early, status) = (below.is_early(stream), below.status(stream));
        let waits = early && !is_harmless(&parsed, connection.input.bytes());
        let goes_on = match status.phase {
            waitless::Phase::Open => true,
            // What waits would wait forever.
            waitless::Phase::Closed => !waits,
            _ => false,
        };
        if !goes_on {
            // The connection has ended, and that was not said or read yet.
            below.release(stream);
            self.forget(place);
            return true;
        }
        if waits {
            //= RFC 8470 3: it waits until the handshake is complete, which is news
            connection.unread = true;
            // The client has said all of it, and the port below gives the handshake its time.
            self.set_deadline(place, Instant::NEVER);
            return true;
        }
        match connection.input.take_head(parsed.length, self.pool) {
            Ok(bytes) => {
                connection.unread = status.readable > 0 || status.finished;
                let client = (below.peer(stream), below.identity(stream));
                let head = Head::new(bytes, parsed.layout).early(early);
                self.arrive(place, &parsed, head, client);
            }
            Err(NoPacket) => {
                connection.unread = true;
                self.counters.starved.add(1);
                self.queue_receive(place);
            }
        }
        true
    }

    /// A head is complete. `client` is where it came from, and of whom.
    #[inline(always)]
    fn arrive(
        &mut self,
        place: u32,
        parsed: &Parsed,
        head: Head,
        client: (Option<SocketAddr>, Option<Rc<str>>),
    ) {
        let index = self.begin_exchange(place, exchange::Phase::Waiting);
        let Some(exchange) = self.exchanges.get_mut(index as usize) else { return };
        exchange.framing = Framing::of(parsed.layout.body);
        exchange.keep_alive = parsed.keep_alive;
        exchange.expects = parsed.expects_continue;
        exchange.old_client = parsed.layout.version == Version::Http10;
        exchange.is_bare = parsed.layout.method == Method::Head;
        exchange.head = Some(head);
        (exchange.peer, exchange.identity) = client;
        self.arrived.push_back(index);
        self.waiting += 1;
        self.counters.requests.add(1);
        self.set_deadline(place, Instant::NEVER);
    }

    /// Reads the body as far as there is room for it, or to throw it away.
    pub(crate) fn read_body<S: StreamPort>(&mut self, place: u32, below: &mut S) {
        for _ in 0..BATCH {
            let Some(connection) = self.connections.get_mut(place as usize) else { return };
            let (stream, index) = (connection.stream, connection.exchange);
            let drains = connection.phase == Phase::Drain;
            let Some(exchange) = self.exchanges.get_mut(index as usize) else { return };
            if exchange.framing == Framing::Done {
                return self.body_is_complete(place, drains, below);
            }
            let enough = self.pool.is_short() && !exchange.body.is_empty();
            if enough || exchange.body.is_full() {
                exchange.reading.pause(self.now);
                return self.watch(place);
            }
            let Some(part) = connection.input.take_packet().or_else(|| below.recv(stream)) else {
                connection.unread = false;
                return self.lack_of_body(place, drains, below);
            };
            let length = part.len();
            match self.take_part(place, index, part) {
                Part::Taken => {}
                Part::Refused => return self.end_drain(place, drains, below),
                Part::Waits => return,
            }
            let rate = self.rate();
            if let Some(exchange) = self.exchanges.get_mut(index as usize) {
                exchange.reading.earn(self.now, length, rate, self.config.body_timeout);
            }
        }
        self.queue_receive(place);
    }

    /// Takes what has arrived, the next part of a body, and keeps what stands behind it.
    #[inline]
    pub(crate) fn take_part(&mut self, place: u32, index: u32, part: Packet) -> Part {
        let (Some(connection), Some(exchange)) =
            (self.connections.get_mut(place as usize), self.exchanges.get_mut(index as usize))
        else {
            return Part::Refused;
        };
        match exchange.framing.take(part, &mut exchange.trailers, self.pool) {
            Taken::Data(data, rest) => {
                if let Some(rest) = rest {
                    connection.input = Input::Packet(rest);
                }
                match data.is_none_or(|data| self.take_data(place, index, data)) {
                    true => Part::Taken,
                    false => Part::Refused,
                }
            }
            Taken::NoPacket(part) => {
                connection.input = Input::Packet(part);
                self.counters.starved.add(1);
                self.queue_receive(place);
                Part::Waits
            }
            Taken::Malformed => {
                if connection.phase != Phase::Drain {
                    self.refuse(place, Status::BAD_REQUEST);
                }
                Part::Refused
            }
        }
    }

    /// Bytes of a body have arrived. Whether more of them are welcome.
    fn take_data(&mut self, place: u32, index: u32, data: Packet) -> bool {
        let (Some(connection), Some(exchange)) =
            (self.connections.get_mut(place as usize), self.exchanges.get_mut(index as usize))
        else {
            return false;
        };
        exchange.received += data.len() as u64;
        // A client that sends its body does not wait for a word any more.
        exchange.expects = false;
        if connection.phase == Phase::Drain {
            connection.discarded = connection.discarded.saturating_add(data.len() as u32);
            return connection.discarded <= DRAIN_LIMIT;
        }
        let is_body = exchange.framing != Framing::UntilEnd;
        if !is_body {
            exchange.begun_at = self.now;
        }
        if is_body && self.config.body_limit.is_some_and(|limit| exchange.received > limit) {
            self.refuse(place, Status::CONTENT_TOO_LARGE);
            return false;
        }
        let _ = exchange.body.push_back(data);
        self.tell(index);
        true
    }

    /// What is thrown away is too much, or malformed: closes, now that the response was sent.
    pub(crate) fn end_drain<S: StreamPort>(&mut self, place: u32, drains: bool, below: &mut S) {
        let Some(connection) = self.connections.get(place as usize).filter(|_| drains) else {
            return;
        };
        if let Some(exchange) = self.exchanges.get_mut(connection.exchange as usize) {
            exchange.keep_alive = false;
        }
        self.conclude(place, below);
    }

    fn body_is_complete<S: StreamPort>(&mut self, place: u32, drains: bool, below: &mut S) {
        if drains {
            return self.conclude(place, below);
        }
        let Some(connection) = self.connections.get(place as usize) else { return };
        let index = connection.exchange;
        if let Some(exchange) = self.exchanges.get_mut(index as usize) {
            exchange.reading.pause(self.now);
        }
        self.watch(place);
        // The end may have come without data, and that is news, too.
        self.tell(index);
    }

    fn lack_of_body<S: StreamPort>(&mut self, place: u32, drains: bool, below: &mut S) {
        let Some(connection) = self.connections.get(place as usize) else { return };
        if below.status(connection.stream).finished {
            // The rest will never come. Who only throws it away has answered already; to others,
            // what there is must not pass for all of it.
            let index = connection.exchange;
            let upgraded =
                self.exchanges.get_mut(index as usize).filter(|it| it.framing == Framing::UntilEnd);
            match upgraded {
                Some(exchange) => {
                    exchange.framing = Framing::Done;
                    self.body_is_complete(place, drains, below);
                }
                None if drains => self.end_drain(place, drains, below),
                None => self.refuse(place, Status::BAD_REQUEST),
            }
        } else {
            self.await_body(place);
        }
    }

    /// The client must send more of its body.
    pub(crate) fn await_body(&mut self, place: u32) {
        let Some(connection) = self.connections.get(place as usize) else { return };
        if let Some(exchange) = self.exchanges.get_mut(connection.exchange as usize)
            && exchange.framing != Framing::UntilEnd
        {
            // How long the other protocol may be silent is its own affair.
            exchange.reading.wait(self.now);
        }
        self.watch(place);
    }

    /// Throws away what a client sends after we have closed our side.
    fn discard<S: StreamPort>(&mut self, place: u32, below: &mut S) {
        let Some(connection) = self.connections.get_mut(place as usize) else { return };
        let stream = connection.stream;
        for _ in 0..BATCH {
            let Some(packet) = below.recv(stream) else {
                if below.status(stream).finished {
                    below.release(stream);
                    self.forget(place);
                }
                return;
            };
            connection.discarded = connection.discarded.saturating_add(packet.len() as u32);
            if connection.discarded > LINGER_LIMIT {
                below.abort(stream);
                below.release(stream);
                return self.forget(place);
            }
        }
        self.queue_receive(place);
    }

    /// The service should look at an exchange again.
    pub(crate) fn tell(&mut self, index: u32) {
        let Some(exchange) = self.exchanges.get_mut(index as usize) else { return };
        if exchange.phase == exchange::Phase::Open
            && !core::mem::replace(&mut exchange.news_queued, true)
        {
            self.news.push_back(index);
        }
    }
}

/// What became of a part of a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    /// It was taken.
    Taken,
    /// There is no packet for what stands behind it: it comes again in the next sweep.
    Waits,
    /// It is too much, or malformed. Unless it was only thrown away, the exchange was refused.
    Refused,
}

/// Whether a request, whose head `bytes` begin with, may be acted on twice: its method says that
/// nothing is asked for but an answer (RFC 9110 section 9.2.1), and it stays with the protocol.
#[cold]
fn is_harmless(parsed: &Parsed, bytes: &[u8]) -> bool {
    const UPGRADE: &[u8] = b"Upgrade:";
    let head = bytes.get(..parsed.length).unwrap_or(bytes);
    let begins = |line: &[u8]| {
        line.get(..UPGRADE.len()).is_some_and(|name| name.eq_ignore_ascii_case(UPGRADE))
    };
    let is_safe = matches!(
        parsed.layout.method,
        Method::Get | Method::Head | Method::Options | Method::Trace
    );
    is_safe && !head.split(|byte| *byte == b'\n').any(begins)
}

/// Bytes of a body that are thrown away to keep a connection.
pub(crate) const DRAIN_LIMIT: u32 = 64 << 10;

/// Bytes that a connection that is being closed may still send.
const LINGER_LIMIT: u32 = 1 << 20;
