//! Early data on its way up: it is kept, all of it, until the service takes it, because behind it
//! comes what completes the handshake.

use crate::Tls;
use crate::alert::Fault;
use crate::connection::{Connection, Stage};
use crate::handshake::Refusal;
use crate::receive::{Progress, RESERVE as HELLO_RESERVE};
use crate::role::Role;
use crate::session::Shared;
use crate::wire::record::{HEADER, PROTECTION};
use waitless::{Context, Pool};

/// Packets that are left when early data is kept, beside those that the answer to a hello needs.
const RESERVE: usize = 4;
/// Bytes of it that a packet is sure to have room for.
const PIECE: usize = 1024;
/// Of the packets, one in so many may be promised to early data.
const SHARE: usize = 4;
/// What is around the content of a record.
const AROUND: usize = HEADER + PROTECTION;
/// Bytes of the message that ends early data.
const END: usize = 4;

impl<R: Role> Tls<R> {
    /// Whether early data of a connection may be accepted now: its service can tell it from other
    /// data, and there are packets to keep it in.
    pub(crate) fn wants_early(&self, place: u32) -> bool {
        let (Some(connection), Some(shared)) =
            (self.connections.get(place as usize), self.shared.as_ref().filter(|_| R::EARLY))
        else {
            return false;
        };
        let service = self.services.get(usize::from(connection.service.0));
        let packets = self.promised + packets(self.limits.early);
        service.is_some_and(|service| service.takes_early)
            && !shared.pool.is_short()
            && packets <= shared.pool.count() / SHARE
    }

    /// A connection has early data until [`ends_early`](Self::ends_early): the packets for all that
    /// may come of it are promised to it, so that many such connections do not take all there are.
    pub(crate) fn begins_early(&mut self) {
        self.promised += packets(self.limits.early);
    }

    pub(crate) fn ends_early(&mut self) {
        self.promised = self.promised.saturating_sub(packets(self.limits.early));
    }

    /// Early data was kept, where there was room.
    pub(crate) fn kept(&mut self, place: u32, kept: Option<()>) -> Progress {
        self.report(place);
        if kept.is_some() { Progress::On } else { Progress::Failed(Fault::Internal) }
    }

    /// Counts what became of the early data that a hello has announced, if it has.
    pub(crate) fn note_early(&mut self, cx: &Context) {
        let Some(shared) = self.shared.as_mut().filter(|_| R::EARLY) else { return };
        match shared.flight.early.take() {
            None => {}
            Some(Ok(())) => self.counters.early.add(1),
            Some(Err(why)) => {
                self.counters.early_refused.add(1);
                self.counters.replayed.add((why == Refusal::Replayed).into());
                waitless::debug!(cx, "early data is not accepted: {}", why.text());
            }
        }
    }
}

impl<R: Role> Connection<R> {
    /// Whether data came early and the handshake is not complete, also where it never will be.
    pub(crate) fn is_early(&self) -> bool {
        R::EARLY && self.flags.early
    }

    /// Whether data passes although the handshake goes on.
    pub(crate) fn is_open_early(&self) -> bool {
        self.stage == Stage::Open && self.is_early()
    }

    /// Whether a record of `length` bytes must wait for packets to keep its data in.
    pub(crate) fn lacks_room(&self, length: usize, shared: &Shared<R>) -> bool {
        if !self.session.takes_early() {
            return false;
        }
        let fits = self.inbox.back().is_some_and(|last| length <= last.tailroom() + AROUND);
        let wanted = match length <= AROUND + END {
            _ if fits => 0,
            // What ends it needs none, and is what others wait for. Data as short may need one.
            true => 1,
            false => length / PIECE + shared.role.longest_answer() / 1024 + HELLO_RESERVE + RESERVE,
        };
        shared.pool.available() < wanted
    }

    /// Keeps early data in as few packets as it takes: a client that sends it in many small
    /// records must not use up all that there are. `None` where it does not fit, which
    /// [`lacks_room`](Self::lacks_room) would have said before.
    pub(crate) fn keep_early(&mut self, data: Option<&[u8]>, pool: Pool) -> Option<()> {
        let mut data = data?;
        while !data.is_empty() {
            if self.inbox.back().is_none_or(|last| last.tailroom() == 0) {
                let mut packet = pool.packet()?;
                packet.reset(0);
                self.inbox.push_back(packet);
            }
            let last = self.inbox.back_mut()?;
            let (now, later) = data.split_at(data.len().min(last.tailroom()));
            last.append(now).ok()?;
            self.inbox_bytes += now.len();
            data = later;
        }
        Some(())
    }
}

/// The most packets that early data of `limit` bytes is kept in.
const fn packets(limit: usize) -> usize {
    limit / PIECE + 1
}
