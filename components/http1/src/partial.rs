//! Heads that are not complete: what they may take, and who gives way when that is used up.
//!
//! A client that sends the beginning of a head may keep it waiting for `head_timeout`. It must not
//! keep a packet, which is large, and which TCP does not count any more; so what has come is moved
//! to memory of its size. For all of it together there is a limit: at it, the heads that have
//! waited the longest give way, so that those who complete theirs in time are served.

use crate::Http1;
use crate::connection::{Connection, Phase};
use waitless::http::Status;
use waitless::http::wire::{Budget, Input, NoMemory};
use waitless::{BATCH, Instant, Packet};

/// A connection with a head that was not complete, until when it had to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Partial {
    place: u32,
    deadline: Instant,
}

impl Partial {
    /// Whether it still waits for the rest of that head.
    fn waits(&self, connections: &[Connection]) -> bool {
        connections.get(self.place as usize).is_some_and(|connection| {
            connection.phase == Phase::Head
                && connection.deadline == self.deadline
                && matches!(connection.input, Input::Memory(_))
        })
    }
}

impl Http1 {
    /// The beginning of a head has come, and was read; what stood there before `was_blank` where
    /// it was none. `false` when there is no room for it, and the connection ends.
    #[cold]
    pub(crate) fn await_head(&mut self, place: u32, was_blank: bool) -> bool {
        // Who has sent no more than an empty line is as idle as before.
        if was_blank && !self.is_blank(place) {
            // Counted from the first byte on: later ones win no time.
            self.set_deadline(place, self.now + self.config.head_timeout);
        }
        self.make_room(place, |input, heads| input.settle(heads)) && self.list(place)
    }

    /// More of a head has come, in `packet`. `false` when there is no room for it, and the
    /// connection ends.
    #[cold]
    pub(crate) fn extend_head(&mut self, place: u32, packet: Packet) -> bool {
        self.make_room(place, |input, heads| input.extend(packet.bytes(), heads))
    }

    /// Does with the input of a connection what takes memory, and resets others for it.
    fn make_room(
        &mut self,
        place: u32,
        mut fill: impl FnMut(&mut Input, &'static Budget) -> Result<(), NoMemory>,
    ) -> bool {
        for _ in 0..BATCH {
            let Some(connection) = self.connections.get_mut(place as usize) else { return false };
            if connection.phase != Phase::Head {
                // It was the one that had waited the longest.
                return false;
            }
            if fill(&mut connection.input, self.heads).is_ok() {
                return true;
            }
            if !self.reset_longest() {
                break;
            }
        }
        self.counters.crowded.add(1);
        self.answer_instead(place, Status::SERVICE_UNAVAILABLE);
        false
    }

    /// Resets the connection whose head has been incomplete for the longest time, if there is one.
    fn reset_longest(&mut self) -> bool {
        while let Some(longest) = self.partial.pop_front() {
            if !longest.waits(&self.connections) {
                continue;
            }
            if let Some(connection) = self.connections.get_mut(longest.place as usize) {
                connection.phase = Phase::Abort;
                connection.input = Input::Empty;
            }
            self.counters.crowded.add(1);
            self.queue_transmit(longest.place);
            return true;
        }
        false
    }

    /// Lists a connection among those whose heads are not complete, unless it is.
    fn list(&mut self, place: u32) -> bool {
        let Some(connection) = self.connections.get_mut(place as usize) else { return false };
        let deadline = connection.deadline;
        if core::mem::replace(&mut connection.listed, deadline) == deadline {
            return true;
        }
        if self.partial.len() == self.partial.capacity() {
            // Those that are no such any more make room; or else, there is twice as much.
            let connections = &self.connections;
            self.partial.retain(|partial| partial.waits(connections));
            let live = self.partial.len();
            if live >= self.partial.capacity() / 2
                && self.partial.try_reserve(live + BATCH).is_err()
            {
                self.counters.crowded.add(1);
                self.answer_instead(place, Status::SERVICE_UNAVAILABLE);
                return false;
            }
        }
        self.partial.push_back(Partial { place, deadline });
        true
    }
}
