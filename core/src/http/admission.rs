//! Who is served when there are more requests than places for tasks.
//!
//! A task costs memory and some packets, so there is a limit to them, and a client that does not
//! take its response, or does not send its body, holds one for as long as it is let. So when
//! three quarters of the places are taken, the port is asked to end the exchange with the slowest
//! client for each request that comes; the rest is kept for requests that are served at once. A
//! request that still finds no place, because all handlers are at work, waits for its turn, but
//! not for long: then it is told when to come again.

use super::server::Server;
use super::{Handler, HttpPorts, Response, Status};
use crate::{BATCH, Duration, Instant};

/// What a [`Server`] knows of its limit.
pub(super) struct Admission {
    /// Places that may be taken before slow clients have to go.
    calm: u32,
    /// How long a request may wait.
    patience: Duration,
    /// When it is worth looking for a slow client again.
    shed_at: Instant,
    /// When there is something to do for a request that waits.
    pub(super) retry_at: Instant,
}

impl Admission {
    pub(super) fn new(limit: u32, patience: Duration) -> Self {
        let calm = limit - limit / 4;
        Self { calm, patience, shed_at: Instant::ZERO, retry_at: Instant::NEVER }
    }
}

impl<H: Handler> Server<H> {
    /// Whether so many places are taken that slow clients have to go.
    #[inline]
    pub(super) fn is_crowded(&self) -> bool {
        let made = self.slots.len();
        made >= self.admission.calm as usize
            && made - self.free.len() >= self.admission.calm as usize
    }

    /// Has a port end an exchange with a slow client, if there is one.
    #[cold]
    #[inline(never)]
    pub(super) fn make_room<P: HttpPorts>(&mut self, below: &mut P, now: Instant) {
        if now < self.admission.shed_at {
            return;
        }
        let slow = if self.has_place() { SLOW } else { SLOW_WHEN_FULL };
        match (0..P::COUNT).find(|&port| below.shed(port, slow)) {
            Some(port) => {
                self.counters.shed.add(1);
                self.hear(port, below);
            }
            // Looking takes a while, and clients do not become slow in no time.
            None => self.admission.shed_at = now + LOOK_AGAIN,
        }
    }

    /// There is no place. Tells those to come again who have waited for long.
    #[cold]
    pub(super) fn put_off<P: HttpPorts>(&mut self, below: &mut P, now: Instant) {
        self.counters.waited.add(1);
        let mut left = BATCH;
        for port in 0..P::COUNT {
            while below.waiting(port) > 0 {
                let until = below.waiting_since(port) + self.admission.patience;
                if until > now || left == 0 {
                    self.admission.retry_at = self.admission.retry_at.min(until);
                    break;
                }
                left -= 1;
                self.decline(port, below);
            }
        }
        self.admission.retry_at = self.admission.retry_at.min(self.admission.shed_at.max(now));
    }

    /// Answers the next request of `port` without a task.
    fn decline<P: HttpPorts>(&mut self, port: usize, below: &mut P) {
        let Some((exchange, _)) = below.accept(port, NO_PLACE) else { return };
        self.counters.declined.add(1);
        let mut response = Response::plain(Status::SERVICE_UNAVAILABLE);
        response.add_field(self.pool, "Retry-After", RETRY_AFTER);
        if below.respond(port, exchange, response).is_err() {
            below.abort(port, exchange);
        }
    }
}

/// The tag of an exchange that has no task.
const NO_PLACE: u32 = u32::MAX;

/// How far behind a client is that has to go when places become few, and when there is none.
const SLOW: Duration = Duration::from_secs(1);
const SLOW_WHEN_FULL: Duration = Duration::from_millis(200);

/// When it is worth looking for slow clients again, after there were none.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// When a client that found no place should come again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
