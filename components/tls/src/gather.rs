//! Records that span packets, messages that span records, and what all of them may take together.
//!
//! Who sends the beginning of one may keep it waiting for as long as the connection is open, and
//! it is long. At the limit, another connection with the beginning of one gives way: the next
//! around the table, so that one that just began is not likely to be it; and first of those whose
//! handshake is not complete, so that who has not shown anything ends none of those that work.

use crate::Tls;
use crate::alert::Fault;
use crate::connection::Stage;
use crate::receive::{Progress, must_wait, surroundings};
use crate::role::Role;
use crate::session::Received;
use crate::wire::record::{HEADER, Header};
use waitless::{Context, Packet};

/// Bytes of such records for each packet of the core, all together: half of what those take.
const SHARE: usize = 1024;
/// Connections that are looked at for one that gives way.
const LOOKS: usize = 256;

impl<R: Role> Tls<R> {
    /// The beginning of a record has come, and fills no packet.
    pub(crate) fn begin_gathering(
        &mut self,
        place: u32,
        bytes: &[u8],
        cx: &mut Context,
    ) -> Progress {
        let Some(connection) = self.connections.get_mut(place as usize) else {
            return Progress::Failed(Fault::Internal);
        };
        connection.large = self.spares.pop().unwrap_or_default();
        if self.extend(place, bytes, cx) { Progress::On } else { Progress::Failed(Fault::Internal) }
    }

    /// Counts the handshake message that a connection has the beginning of. `false` where there is
    /// no memory for it.
    pub(crate) fn count(&mut self, place: u32, cx: &mut Context) -> bool {
        let Some(connection) = self.connections.get_mut(place as usize) else { return false };
        let now = connection.session.waiting();
        let before = core::mem::replace(&mut connection.counted, now);
        self.gathered = self.gathered.saturating_sub(before) + now;
        now <= before || self.has_room(place, 0, cx)
    }

    /// Whether there is memory for so many bytes more, where others have given way.
    fn has_room(&mut self, place: u32, bytes: usize, cx: &mut Context) -> bool {
        let all = cx.pool().count() * SHARE;
        // A quarter is for handshakes: who has completed one must not keep all others from it.
        let most = if self.is_complete(place) { all - all / 4 } else { all };
        while self.gathered + bytes > most && self.gives_way(place, cx) {}
        let room = self.gathered + bytes <= most;
        self.counters.crowded.add((!room).into());
        room
    }

    fn is_complete(&self, place: u32) -> bool {
        self.connections.get(place as usize).is_some_and(|it| it.session.is_complete())
    }

    /// Adds `bytes` to the record that a connection puts together. `false` where there is no memory
    /// for them.
    fn extend(&mut self, place: u32, bytes: &[u8], cx: &mut Context) -> bool {
        if !self.has_room(place, bytes.len(), cx) {
            return false;
        }
        let Some(connection) = self.connections.get_mut(place as usize) else { return false };
        if connection.large.try_reserve(bytes.len()).is_err() {
            return false;
        }
        connection.large.extend_from_slice(bytes);
        self.gathered += bytes.len();
        true
    }

    /// Bytes of records and messages that have not come whole, or were not read.
    #[cfg(test)]
    pub(crate) fn gathered(&self) -> usize {
        self.gathered
    }

    /// Ends a connection other than `place` that waits for the rest of something, if one is found.
    #[cold]
    fn gives_way(&mut self, place: u32, cx: &mut Context) -> bool {
        // Those that have completed it give way to their like alone, and behind the others.
        let ranks: &[bool] = if self.is_complete(place) { &[false, true] } else { &[false] };
        for &complete in ranks {
            for _ in 0..LOOKS.min(self.connections.len()) {
                self.hand = (self.hand + 1) % self.connections.len();
                let waits = self.connections.get(self.hand).is_some_and(|connection| {
                    matches!(connection.stage, Stage::Handshake | Stage::Open)
                        && connection.waits()
                        && connection.session.is_complete() == complete
                });
                if waits && self.hand != place as usize {
                    self.counters.crowded.add(1);
                    self.fail(self.hand as u32, Fault::Internal, cx);
                    return true;
                }
            }
        }
        false
    }

    /// Puts a record together that spans packets.
    pub(crate) fn gather(&mut self, place: u32, mut packet: Packet, cx: &mut Context) -> Progress {
        let early = self.wants_early(place);
        let (Some(connection), Some(shared)) =
            (self.connections.get_mut(place as usize), &mut self.shared)
        else {
            return Progress::Failed(Fault::Internal);
        };
        let have = connection.large.len();
        let wanted = match connection.large.first_chunk::<HEADER>() {
            None => HEADER,
            Some(header) => match Header::parse(header) {
                Ok(header) => match connection.session.check(header, shared) {
                    Ok(()) => HEADER + header.length,
                    Err(fault) => return Progress::Failed(fault),
                },
                Err(fault) => return Progress::Failed(fault),
            },
        };
        let missing = wanted.saturating_sub(have);
        let now = missing.min(packet.len());
        let completes = now == missing && wanted > HEADER;
        if completes && must_wait(connection, shared, wanted, &mut self.hellos) {
            self.counters.starved.add(u64::from(self.hellos > 0));
            connection.raw = Some(packet);
            return Progress::Waits;
        }
        if !self.extend(place, packet.bytes().get(..now).unwrap_or_default(), cx) {
            return Progress::Failed(Fault::Internal);
        }
        let (Some(connection), Some(shared)) =
            (self.connections.get_mut(place as usize), &mut self.shared)
        else {
            return Progress::Failed(Fault::Internal);
        };
        packet.trim_front(now);
        connection.raw = (!packet.is_empty()).then_some(packet);
        // A header that is complete now says how much more there is, perhaps nothing.
        let empty = connection.large.get(3..).is_some_and(|length| length == [0, 0]);
        if !completes && !empty {
            return Progress::On;
        }
        self.counters.received.add(1);
        let complete = connection.session.is_complete();
        let around = &mut surroundings(complete, !complete && shared.role.is_dated(), cx);
        around.early = early;
        let (session, large) = (&mut connection.session, &mut connection.large);
        let received = session.record(large, shared, around, &mut connection.out);
        if let Ok(Received::Data(range)) = received {
            if connection.is_early() {
                let memory = core::mem::take(&mut connection.large);
                let kept = connection.keep_early(memory.get(range), shared.pool);
                self.keep(memory);
                return self.kept(place, kept);
            }
            connection.plain = range;
            self.report(place);
            return Progress::On;
        }
        let memory = core::mem::take(&mut connection.large);
        self.keep(memory);
        self.heed(place, received, cx)
    }
}
