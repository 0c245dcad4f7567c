//! Ends before their time: what has taken too long, what breaks a rule, what its handler gives up.

use crate::connection::Phase;
use crate::exchange::{self, Outgoing};
use crate::parse::is_blank;
use crate::{CROWDED_FOR, Http1};
use waitless::http::Status;
use waitless::{Duration, Instant, StreamPort};

impl Http1 {
    /// Something has taken too long, or a timer has fired too early.
    pub(crate) fn time_out<S: StreamPort>(&mut self, place: u32, below: &mut S) {
        let Some(connection) = self.connections.get_mut(place as usize) else { return };
        connection.armed = Instant::NEVER;
        let (phase, stream) = (connection.phase, connection.stream);
        if matches!(phase, Phase::Exchange | Phase::Drain) {
            self.watch(place);
        }
        let deadline =
            self.connections.get(place as usize).map_or(Instant::NEVER, |it| it.deadline);
        if phase == Phase::Free {
            return;
        }
        if deadline > self.now {
            let taken = self.must_be_taken(place, deadline, below);
            if taken <= self.now {
                return self.end_idle(place, below);
            }
            self.set_deadline(place, deadline.min(taken));
            if let Some(connection) = self.connections.get_mut(place as usize) {
                connection.deadline = deadline;
            }
            return;
        }
        match phase {
            Phase::Free => {}
            Phase::Head if self.is_blank(place) => self.end_idle(place, below),
            Phase::Head => self.refuse(place, Status::REQUEST_TIMEOUT),
            Phase::Exchange => self.time_out_exchange(place),
            // The response was sent, and must not be lost for what the client did not send.
            Phase::Drain => self.end_drain(place, true, below),
            Phase::Linger if below.status(stream).unacknowledged > 0 => {
                // The path is slow or bad, and the end of the response is still on it: the
                // transport goes on with that alone, for as long as it does for orphans.
                below.release(stream);
                self.forget(place);
            }
            Phase::Linger | Phase::CutOff | Phase::Abort => {
                below.abort(stream);
                below.release(stream);
                self.forget(place);
            }
        }
    }

    /// By when a client that is idle until `deadline` must have taken the end of its last
    /// response, which is kept in packets as long as it does not; never, where it has.
    fn must_be_taken<S: StreamPort>(&self, place: u32, deadline: Instant, below: &S) -> Instant {
        let idle = self.connections.get(place as usize);
        let idle = idle.filter(|it| it.phase == Phase::Head && is_blank(it.input.bytes()));
        match idle {
            Some(idle) if below.status(idle.stream).unacknowledged > 0 => {
                deadline - self.config.idle_timeout + self.config.send_timeout
            }
            _ => Instant::NEVER,
        }
    }

    /// Whether no head has begun.
    pub(crate) fn is_blank(&self, place: u32) -> bool {
        self.connections.get(place as usize).is_some_and(|it| is_blank(it.input.bytes()))
    }

    /// Nothing was asked for any more.
    fn end_idle<S: StreamPort>(&mut self, place: u32, below: &mut S) {
        let Some(connection) = self.connections.get(place as usize) else { return };
        let stream = connection.stream;
        if below.status(stream).unacknowledged > 0 {
            // In all the time that it had, it did not even take the end of its response.
            self.counters.stalled.add(1);
            below.abort(stream);
        } else {
            self.counters.idled_out.add(1);
            below.close(stream);
        }
        below.release(stream);
        self.forget(place);
    }

    fn time_out_exchange(&mut self, place: u32) {
        let Some(connection) = self.connections.get_mut(place as usize) else { return };
        let Some(exchange) = self.exchanges.get(connection.exchange as usize) else { return };
        if exchange.sending.deadline() > self.now {
            return self.refuse(place, Status::REQUEST_TIMEOUT);
        }
        self.counters.stalled.add(1);
        connection.phase = Phase::Abort;
        self.queue_transmit(place);
    }

    /// Ends the open exchange with the slowest client. `false` when none is that slow.
    #[cold]
    pub(crate) fn end_slowest(&mut self, slow: Duration) -> bool {
        self.crowded_until = self.now + CROWDED_FOR;
        let (now, config) = (self.now, self.config);
        let open = self.exchanges.iter().filter(|it| it.phase == exchange::Phase::Open);
        let slowest = open.max_by_key(|exchange| exchange.slowness(now, config));
        let Some(exchange) = slowest.filter(|it| it.slowness(now, config) >= slow) else {
            return false;
        };
        let place = exchange.connection;
        self.counters.shed.add(1);
        if exchange.outgoing == Outgoing::Unanswered {
            self.answer_instead(place, Status::REQUEST_TIMEOUT);
            return true;
        }
        if let Some(connection) = self.connections.get_mut(place as usize) {
            let index = connection.exchange;
            connection.phase = Phase::Abort;
            self.end_exchange(index);
        }
        self.queue_transmit(place);
        true
    }

    /// Answers with `status`, because of what the client did, and closes. A response that was
    /// begun already breaks off.
    pub(crate) fn refuse(&mut self, place: u32, status: Status) {
        match status {
            Status::REQUEST_TIMEOUT => self.counters.too_slow.add(1),
            Status::CONTENT_TOO_LARGE
            | Status::URI_TOO_LONG
            | Status::REQUEST_HEADER_FIELDS_TOO_LARGE => self.counters.too_long.add(1),
            _ => self.counters.malformed.add(1),
        }
        self.answer_instead(place, status);
    }

    pub(crate) fn answer_instead(&mut self, place: u32, status: Status) {
        let Some(connection) = self.connections.get_mut(place as usize) else { return };
        let input = core::mem::take(&mut connection.input);
        let index = connection.exchange;
        let without_body = match self.exchanges.get(index as usize) {
            Some(exchange) if exchange.is_begun() => return self.finish_off(index),
            Some(exchange) => exchange.is_bare,
            None => input.bytes().trim_ascii_start().starts_with(b"HEAD "),
        };
        self.end_exchange(index);
        let Some(refusal) = self.refusal(status, without_body) else {
            if let Some(connection) = self.connections.get_mut(place as usize) {
                connection.phase = Phase::Abort;
            }
            return self.queue_transmit(place);
        };
        let index = self.begin_exchange(place, exchange::Phase::Answered);
        if let Some(exchange) = self.exchanges.get_mut(index as usize) {
            exchange.outgoing = Outgoing::UntilClose;
            exchange.complete = true;
            let _ = exchange.out.push_back(refusal);
        }
        self.set_deadline(place, Instant::NEVER);
        self.queue_transmit(place);
    }

    /// The client of an exchange whose response was begun broke a rule, or took too long. A
    /// response that is complete is left as it is; only the connection ends with it.
    fn finish_off(&mut self, index: u32) {
        let Some(exchange) = self.exchanges.get_mut(index as usize) else { return };
        if exchange.phase == exchange::Phase::Open {
            self.gone.push_back(exchange.tag);
            return self.break_off(index);
        }
        exchange.stop_reading(self.now);
        let place = exchange.connection;
        self.watch(place);
    }

    /// Ends a response that was begun where it is, so that its client sees that it is not
    /// complete: without its last chunk, or with fewer bytes than were announced, and then the
    /// connection's end. What was queued before is still sent.
    fn break_off(&mut self, index: u32) {
        let Some(exchange) = self.exchanges.get_mut(index as usize) else { return };
        self.counters.aborted.add(1);
        self.counters.broken_off.add(1);
        exchange.answered();
        exchange.stop_reading(self.now);
        exchange.complete = true;
        exchange.broken = true;
        let place = exchange.connection;
        self.watch(place);
        self.queue_transmit(place);
    }

    /// The service gives the exchange `index` up, which is open.
    pub(crate) fn give_up(&mut self, index: u32) {
        let Some(exchange) = self.exchanges.get_mut(index as usize) else { return };
        if exchange.is_begun() {
            return self.break_off(index);
        }
        exchange.answered();
        let place = exchange.connection;
        self.counters.aborted.add(1);
        self.answer_instead(place, Status::INTERNAL_SERVER_ERROR);
    }
}
