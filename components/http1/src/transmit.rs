//! The downward half: what is sent, and what follows when all of it is.

use crate::Http1;
use crate::connection::Phase;
use crate::exchange::{self, Outgoing};
use crate::parse::is_blank;
use crate::receive::DRAIN_LIMIT;
use crate::response::{Announced, Lines, Persistence, continue_packet};
use waitless::http::wire::chunked::last_chunk;
use waitless::http::wire::{Framing, Input};
use waitless::http::{Fields, Status};
use waitless::{Packet, StreamPort};

impl Http1 {
    /// Sends what a connection has to send, at most `left` packets.
    #[inline]
    pub(crate) fn flush<S: StreamPort>(&mut self, place: u32, left: &mut usize, below: &mut S) {
        let Some(connection) = self.connections.get_mut(place as usize) else { return };
        let (stream, index) = (connection.stream, connection.exchange);
        match connection.phase {
            Phase::Exchange => {}
            Phase::Abort => {
                below.abort(stream);
                below.release(stream);
                return self.forget(place);
            }
            _ => return,
        }
        let Some(exchange) = self.exchanges.get_mut(index as usize) else { return };
        if core::mem::take(&mut exchange.continue_due) && exchange.outgoing == Outgoing::Unanswered
        {
            match continue_packet(self.pool) {
                Some(packet) => {
                    let _ = exchange.out.push_back(packet);
                    exchange.expects = false;
                }
                None => return self.starve(place),
            }
        }
        let due = exchange.last_chunk_due && !exchange.out.is_full();
        if due && !exchange.push_last_chunk(self.pool) {
            return self.starve(place);
        }
        let mut sent = 0;
        let mut stalled = false;
        while *left > 0 {
            let Some(packet) = exchange.next_packet(self.pool) else { break };
            let length = packet.len();
            match below.send(stream, packet) {
                Ok(()) => {
                    sent += length;
                    *left -= 1;
                }
                Err(packet) => {
                    exchange.put_back(packet);
                    stalled = true;
                    break;
                }
            }
        }
        // The head goes first.
        exchange.head_waits &= sent == 0;
        let (drained, complete) = (exchange.is_drained(), exchange.complete);
        let more = if drained { exchange.last_chunk_due } else { !stalled };
        if sent > 0 && core::mem::take(&mut exchange.blocked) {
            self.tell(index);
        }
        if drained && complete {
            return self.conclude(place, below);
        }
        // Room is reported; until then, the client is waited for.
        self.note_sent(place, index, sent, stalled);
        if more {
            self.queue_transmit(place);
        }
    }

    /// There is no packet: goes on in the next sweep.
    #[cold]
    fn starve(&mut self, place: u32) {
        self.counters.starved.add(1);
        if let Some(connection) = self.connections.get(place as usize)
            && let Some(exchange) = self.exchanges.get_mut(connection.exchange as usize)
        {
            exchange.continue_due |= exchange.expects && exchange.asked;
        }
        self.queue_transmit(place);
    }

    /// The client took `sent` bytes of its response, and must take more before it goes on, or
    /// not.
    fn note_sent(&mut self, place: u32, index: u32, sent: usize, stalled: bool) {
        let (now, rate) = (self.now, self.rate());
        let Some(exchange) = self.exchanges.get_mut(index as usize) else { return };
        if sent > 0 {
            exchange.sending.earn(now, sent, rate, self.config.send_timeout);
        }
        match stalled {
            true => exchange.sending.wait(now),
            false => exchange.sending.pause(now),
        }
        self.watch(place);
    }

    /// The response was sent as a whole: on to the next request, or to the end.
    #[inline]
    pub(crate) fn conclude<S: StreamPort>(&mut self, place: u32, below: &mut S) {
        let Some(connection) = self.connections.get_mut(place as usize) else { return };
        let (stream, index) = (connection.stream, connection.exchange);
        let Some(exchange) = self.exchanges.get_mut(index as usize) else { return };
        if exchange.broken && exchange.outgoing == Outgoing::UntilClose {
            return self.cut_off(place, index, below);
        }
        let mut keep = exchange.keep_alive && exchange.outgoing != Outgoing::UntilClose;
        if exchange.framing != Framing::Done && keep {
            keep = exchange.can_drain();
            if keep && connection.phase != Phase::Drain {
                exchange.body.clear();
                exchange.sending.pause(self.now);
                exchange.reading.wait(self.now);
                connection.phase = Phase::Drain;
                connection.discarded = 0;
                self.watch(place);
                return self.queue_receive(place);
            }
        }
        if !keep {
            self.end_exchange(index);
            return self.close(place, stream, below);
        }
        connection.phase = Phase::Head;
        let has_input = !connection.input.is_empty();
        let has_begun = has_input && !is_blank(connection.input.bytes());
        connection.unread |= has_input;
        let look = connection.unread;
        self.end_exchange(index);
        match has_begun {
            true => self.set_deadline(place, self.now + self.config.head_timeout),
            false => self.expect_request(place),
        }
        if look {
            self.queue_receive(place);
        }
    }

    /// Ends a response that only the connection's end would end, and that is not complete: an end
    /// in agreement would make it look as if it were. What was sent before has some time to
    /// arrive, as a reset overtakes it.
    #[cold]
    fn cut_off<S: StreamPort>(&mut self, place: u32, index: u32, below: &mut S) {
        self.end_exchange(index);
        let Some(connection) = self.connections.get_mut(place as usize) else { return };
        if below.status(connection.stream).unacknowledged == 0 {
            connection.phase = Phase::Abort;
            return self.queue_transmit(place);
        }
        connection.phase = Phase::CutOff;
        self.set_deadline(place, self.now + self.config.linger);
    }

    /// Closes our side, and listens on, so that no reset overtakes the response.
    fn close<S: StreamPort>(&mut self, place: u32, stream: waitless::Stream, below: &mut S) {
        below.close(stream);
        let Some(connection) = self.connections.get_mut(place as usize) else { return };
        connection.phase = Phase::Linger;
        connection.discarded = 0;
        connection.input = Input::Empty;
        self.set_deadline(place, self.now + self.config.linger);
        self.queue_receive(place);
    }

    /// A whole response that says no, or just its head; `None` when there is no packet.
    pub(crate) fn refusal(&self, status: Status, without_body: bool) -> Option<Packet> {
        let mut packet = self.pool.packet()?;
        let body = status.reason().as_bytes();
        if !without_body {
            packet.append(body).ok()?;
        }
        let lines = Lines {
            status,
            date: self.date.as_ref().map(|now| &now.line),
            fixed: self.fixed,
            media: Some("text/plain; charset=utf-8"),
            length: Announced::Length(body.len() as u64),
            connection: Persistence::Closed,
            fields: &[],
            ready: None,
        };
        lines.prepend(lines.len(), &mut packet).ok()?;
        Some(packet)
    }
}

impl exchange::Active {
    /// Whether the connection can be kept when nobody reads the rest of the body.
    pub(crate) fn can_drain(&self) -> bool {
        match self.framing {
            Framing::Done => true,
            // A client that was not told to go on may send its body, or not: nobody knows.
            _ if self.expects => false,
            Framing::Length(left) => left <= DRAIN_LIMIT.into(),
            Framing::Chunked(_) => true,
            Framing::UntilEnd => false,
        }
    }

    /// Queues the end of a chunked body. Whether it could.
    pub(crate) fn push_last_chunk(&mut self, pool: waitless::Pool) -> bool {
        let first = self.outgoing == Outgoing::Chunked(true);
        let bytes = last_chunk(first, self.trail.is_some());
        let appended = self.out.back_mut().is_some_and(|last| last.append(bytes).is_ok());
        if !appended {
            let Some(mut packet) = pool.packet() else { return false };
            if packet.append(bytes).is_err() || self.out.push_back(packet).is_err() {
                return false;
            }
        }
        // Streamed bodies use the chain for nothing else.
        self.chain = self.trail.take().map(Fields::into_packets);
        self.last_chunk_due = false;
        self.complete = true;
        true
    }
}
