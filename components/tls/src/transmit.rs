//! The downward half: data becomes records, and records go to the stream below.

use crate::Tls;
use crate::alert::{Alert, Fault};
use crate::connection::{Connection, Stage};
use crate::record::OVERHEAD;
use crate::role::Role;
use crate::wire::record::{HEADER, PROTECTION};
use waitless::{Context, Duration, Packet, Phase, Pool, StreamPort};

/// Room in front of a record for the headers of the layers below.
const BELOW: usize = 128;
/// How long a client may take to take the rest of what it was sent, after the service has gone.
const FLUSH: Duration = Duration::from_secs(60);
/// Packets that are kept for what must be said beside data.
const RESERVE: usize = 2;

/// What kept something from being sent.
enum Stop {
    /// There is no room below; it says when there is some.
    Full,
    /// There is no packet.
    Starved,
    /// This sweep has done enough.
    Enough,
    /// Something is wrong here.
    Failed(Fault),
}

impl<R: Role> Tls<R> {
    /// Sends what a connection has to send, at most `left` packets.
    pub(crate) fn flush<S: StreamPort>(
        &mut self,
        place: u32,
        left: &mut usize,
        below: &mut S,
        cx: &mut Context,
    ) {
        let Some(connection) = self.connections.get_mut(place as usize) else { return };
        let stream = connection.below;
        match connection.stage {
            Stage::Free | Stage::Over => return,
            Stage::Wanted if R::DIALS => return self.dial(place, below, cx),
            _ => {}
        }
        if connection.flags.aborted {
            below.abort(stream);
            return self.end(place, Phase::Closed, below);
        }
        connection.close_window();
        let stop = self.send(place, left, below);
        let Some(connection) = self.connections.get_mut(place as usize) else { return };
        connection.unacknowledged = below.status(stream).unacknowledged;
        if connection.flags.wants_room && connection.room() > 0 {
            connection.flags.wants_room = false;
            self.report(place);
        }
        match stop {
            None => self.finish(place, below, cx),
            Some(Stop::Full) => {
                let Some(connection) = self.connections.get(place as usize) else { return };
                let goes = connection.flags.released;
                if goes && connection.deadline == waitless::Instant::NEVER {
                    self.set_deadline(place, self.now + FLUSH);
                }
            }
            Some(Stop::Starved) => {
                self.counters.starved.add(1);
                self.queue_transmit(place);
            }
            Some(Stop::Enough) => self.queue_transmit(place),
            Some(Stop::Failed(fault)) => self.fail(place, fault, cx),
        }
    }

    /// Sends records that are ready, then makes more of data. What keeps it from going on, if
    /// anything does.
    fn send<S: StreamPort>(&mut self, place: u32, left: &mut usize, below: &mut S) -> Option<Stop> {
        let Some(shared) = &self.shared else { return Some(Stop::Failed(Fault::Internal)) };
        let connection = self.connections.get_mut(place as usize)?;
        loop {
            while let Some(packet) = connection.out.pop() {
                if *left == 0 {
                    connection.out.put_back(packet);
                    return Some(Stop::Enough);
                }
                if let Err(packet) = below.send(connection.below, packet) {
                    connection.out.put_back(packet);
                    return Some(Stop::Full);
                }
                *left -= 1;
            }
            let goes_on = connection.stage == Stage::Open && !connection.flags.closed;
            if !goes_on {
                return None;
            }
            if shared.pool.available() < RESERVE {
                return Some(Stop::Starved);
            }
            //= RFC 8446 4.6.3: before the next data
            match connection.session.refresh(shared.pool, &mut connection.out) {
                Ok(false) => {}
                Ok(true) => {
                    self.counters.updated.add(1);
                    continue;
                }
                Err(fault) => return Some(Stop::Failed(fault)),
            }
            match connection.next_record(shared.pool) {
                Ok(Some(record)) => {
                    self.counters.sent.add(1);
                    connection.out.put_back(record);
                }
                Ok(None) => return None,
                Err(stop) => return Some(stop),
            }
        }
    }

    /// Everything was sent: says so, where nothing follows.
    fn finish<S: StreamPort>(&mut self, place: u32, below: &mut S, cx: &mut Context) {
        let (Some(connection), Some(shared)) =
            (self.connections.get_mut(place as usize), &self.shared)
        else {
            return;
        };
        let stream = connection.below;
        let ends = connection.flags.closing || connection.flags.released;
        match connection.stage {
            Stage::Open if ends && !connection.flags.closed => {
                let said =
                    connection.session.alert(Alert::CLOSE_NOTIFY, shared.pool, &mut connection.out);
                if said.is_err() {
                    self.counters.starved.add(1);
                    return self.queue_transmit(place);
                }
                connection.flags.closed = true;
                // It is sent, and then this is reached again.
                return self.queue_transmit(place);
            }
            Stage::Open if connection.flags.closed => below.close(stream),
            Stage::Failed if !connection.flags.closed => {
                connection.flags.closed = true;
                below.close(stream);
            }
            _ => {}
        }
        let Some(connection) = self.connections.get_mut(place as usize) else { return };
        // Early, what is on its way to complete the handshake would meet a reset.
        if connection.stage == Stage::Open && connection.flags.released && !connection.is_early() {
            // Bytes that nobody has read would make the stream below reset, and lose the rest.
            for _ in 0..waitless::BATCH {
                let Some(packet) = below.recv(stream) else { break };
                drop(packet);
            }
            return self.end(place, Phase::Closed, below);
        }
        if connection.stage == Stage::Failed || connection.flags.closed {
            self.read(place, below, cx);
        }
    }
}

impl<R: Role> Connection<R> {
    /// Makes a record of the next data; `None` when there is none.
    fn next_record(&mut self, pool: Pool) -> Result<Option<Packet>, Stop> {
        let Some(mut packet) = self.data.pop_front() else { return Ok(None) };
        let length = packet.len();
        let limit = self.session.data_max();
        let in_place = length <= limit
            && packet.headroom() >= HEADER + BELOW
            && packet.tailroom() >= PROTECTION;
        if !in_place {
            let count = length.min(limit).min(self.segment.saturating_sub(OVERHEAD).max(64));
            let Some(mut copy) = pool.packet() else {
                self.data.push_front(packet);
                return Err(Stop::Starved);
            };
            // A segment always leaves room for the protection.
            let count = count.min(copy.tailroom() - PROTECTION);
            let bytes = packet.bytes().get(..count).unwrap_or_default();
            copy.append(bytes).map_err(|_| Stop::Failed(Fault::Internal))?;
            packet.trim_front(count);
            if !packet.is_empty() {
                self.data.push_front(packet);
            }
            packet = copy;
        }
        self.data_bytes -= packet.len();
        match self.session.seal(&mut packet) {
            Ok(()) => Ok(Some(packet)),
            Err(fault) => Err(Stop::Failed(fault)),
        }
    }
}
