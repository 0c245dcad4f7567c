//! The upward half: connections, records that come in, and what has taken too long.

use crate::alert::{Alert, Fault};
use crate::connection::{Connection, Stage};
use crate::handshake::Surroundings;
use crate::role::Role;
use crate::session::{Received, Shared};
use crate::wire::record::{HEADER, Header};
use crate::{Tls, ended};
use waitless::{BATCH, Context, Duration, Packet, Phase, Service, Stream, StreamPort};

/// How long a client may take to hear an alert.
const LINGER: Duration = Duration::from_secs(2);
/// Bytes that a client may send after it did something wrong.
const DISCARD_MAX: usize = 256 << 10;
/// Packets that are left to others when a hello is answered.
pub(crate) const RESERVE: usize = 8;

/// How far a piece of what has arrived got.
pub(crate) enum Progress {
    /// It was used up, or a part of it was.
    On,
    /// There is no packet or no time for it now.
    Waits,
    /// It was wrong.
    Failed(Fault),
}

impl<R: Role> Tls<R> {
    /// A stream below has news.
    pub(crate) fn hear<S: StreamPort>(
        &mut self,
        stream: Stream,
        service: Service,
        below: &mut S,
        cx: &mut Context,
    ) {
        let Some(place) = below.tag(stream) else {
            if R::DIALS {
                // Nothing that was begun is without its number.
                return below.release(stream);
            }
            return self.accept(stream, service, below, cx);
        };
        let Some(connection) = self.connections.get_mut(place as usize) else { return };
        if connection.below != stream || matches!(connection.stage, Stage::Free | Stage::Over) {
            return;
        }
        let status = below.status(stream);
        connection.unacknowledged = status.unacknowledged;
        match status.phase {
            Phase::Opening => {}
            Phase::Open | Phase::Closed => {
                if connection.has_output() {
                    self.queue_transmit(place);
                }
                self.read(place, below, cx);
            }
            phase => self.end(place, phase, below),
        }
    }

    fn accept<S: StreamPort>(
        &mut self,
        stream: Stream,
        service: Service,
        below: &mut S,
        cx: &mut Context,
    ) {
        if self.is_full() {
            self.counters.refused.add(1);
            below.abort(stream);
            return below.release(stream);
        }
        let place = self.place();
        let Some(connection) = self.connections.get_mut(place as usize) else { return };
        connection.begin(stream, service, below.status(stream).segment);
        connection.peer = below.peer(stream);
        connection.local = below.local(stream);
        below.set_tag(stream, place);
        self.counters.accepted.add(1);
        self.counters.open.add(1);
        self.counters.shaking.add(1);
        self.set_deadline(place, self.now + self.limits.timeout);
        self.read(place, below, cx);
    }

    /// Reads from a connection as far as there is room for what comes.
    pub(crate) fn read<S: StreamPort>(&mut self, place: u32, below: &mut S, cx: &mut Context) {
        for _ in 0..BATCH {
            let Some(connection) = self.connections.get_mut(place as usize) else { return };
            match connection.stage {
                Stage::Free | Stage::Wanted | Stage::Over => return,
                Stage::Opening => return self.open(place, below, cx),
                Stage::Failed => return self.discard(place, below),
                // Early, what completes the handshake is still to come.
                Stage::Open
                    if connection.flags.released && !connection.is_early()
                        || connection.flags.finished =>
                {
                    return self.discard(place, below);
                }
                // The reader says when there is room.
                Stage::Open if !connection.has_room() => {
                    connection.flags.stalled = true;
                    if core::mem::take(&mut connection.flags.starved) {
                        self.report(place);
                    }
                    return;
                }
                Stage::Handshake | Stage::Open => {}
            }
            if connection.raw.is_none() {
                connection.raw = below.recv(connection.below);
            }
            let Some(packet) = connection.raw.take() else { return self.lack(place, below) };
            match self.take(place, packet, cx) {
                Progress::On => {}
                Progress::Waits => return self.queue_receive(place),
                Progress::Failed(fault) => self.fail(place, fault, cx),
            }
        }
        self.queue_receive(place);
    }

    /// Takes from `packet`, the next that has arrived, one record or what there is of it.
    fn take(&mut self, place: u32, packet: Packet, cx: &mut Context) -> Progress {
        let (Some(connection), Some(shared)) =
            (self.connections.get_mut(place as usize), &mut self.shared)
        else {
            return Progress::Failed(Fault::Internal);
        };
        if packet.is_empty() {
            return Progress::On;
        }
        if !connection.large.is_empty() {
            return self.gather(place, packet, cx);
        }
        let Some(header) = packet.bytes().first_chunk::<HEADER>() else {
            return self.begin_gathering(place, packet.bytes(), cx);
        };
        let length = match Header::parse(header) {
            Ok(header) => match connection.session.check(header, shared) {
                Ok(()) => HEADER + header.length,
                Err(fault) => return Progress::Failed(fault),
            },
            Err(fault) => return Progress::Failed(fault),
        };
        if packet.len() < length {
            return self.begin_gathering(place, packet.bytes(), cx);
        }
        if must_wait(connection, shared, length, &mut self.hellos) {
            self.counters.starved.add(u64::from(self.hellos > 0));
            connection.raw = Some(packet);
            return Progress::Waits;
        }
        self.take_whole(place, packet, length, cx)
    }

    /// Takes the first `length` bytes of `packet`, which are a whole record.
    fn take_whole(
        &mut self,
        place: u32,
        mut packet: Packet,
        length: usize,
        cx: &mut Context,
    ) -> Progress {
        let early = self.wants_early(place);
        let (Some(connection), Some(shared)) =
            (self.connections.get_mut(place as usize), &mut self.shared)
        else {
            return Progress::Failed(Fault::Internal);
        };
        // Data of a record that others follow needs a packet of its own.
        let behind = packet.len() - length;
        let spare = match behind > 0 && connection.session.is_complete() {
            false => None,
            true => match shared.pool.packet() {
                Some(spare) => Some(spare),
                None => {
                    self.counters.starved.add(1);
                    connection.raw = Some(packet);
                    return Progress::Waits;
                }
            },
        };
        self.counters.received.add(1);
        let complete = connection.session.is_complete();
        let around = &mut surroundings(complete, !complete && shared.role.is_dated(), cx);
        around.early = early;
        let record = packet.bytes_mut().get_mut(..length).unwrap_or_default();
        let received = connection.session.record(record, shared, around, &mut connection.out);
        let data = match received {
            Ok(Received::Data(range)) => range,
            other => {
                packet.trim_front(length);
                connection.raw = (behind > 0).then_some(packet);
                return self.heed(place, other, cx);
            }
        };
        if connection.is_early() {
            let kept = connection.keep_early(packet.bytes().get(data), shared.pool);
            packet.trim_front(length);
            connection.raw = Some(packet);
            return self.kept(place, kept);
        }
        match spare {
            None => {
                packet.truncate(data.end);
                packet.trim_front(data.start);
                connection.inbox_bytes += packet.len();
                connection.inbox.push_back(packet);
            }
            Some(mut spare) => {
                let bytes = packet.bytes().get(data).unwrap_or_default();
                if spare.tailroom() < bytes.len() {
                    spare.reset(0);
                }
                if spare.append(bytes).is_err() {
                    return Progress::Failed(Fault::Internal);
                }
                connection.inbox_bytes += spare.len();
                connection.inbox.push_back(spare);
                packet.trim_front(length);
                connection.raw = Some(packet);
            }
        }
        self.report(place);
        Progress::On
    }

    /// Does what follows from a record that brought no data.
    pub(crate) fn heed(
        &mut self,
        place: u32,
        received: Result<Received, Fault>,
        cx: &mut Context,
    ) -> Progress {
        self.note_early(cx);
        let Some(connection) = self.connections.get_mut(place as usize) else {
            return Progress::Failed(Fault::Internal);
        };
        match received {
            Ok(Received::Early) if R::EARLY => {
                connection.stage = Stage::Open;
                (connection.flags.reported, connection.flags.early) = (true, true);
                self.begins_early();
                self.report(place);
            }
            Ok(Received::Nothing | Received::Data(_) | Received::Early) => {}
            Ok(Received::Retried) => self.counters.retried.add(1),
            Ok(Received::Updated) => self.counters.updated.add(1),
            Ok(Received::Complete(resumed)) => {
                let was_early = R::EARLY && core::mem::take(&mut connection.flags.early);
                connection.stage = Stage::Open;
                connection.flags.reported = true;
                if was_early {
                    self.ends_early();
                }
                self.counters.shaking.sub(1);
                self.counters.completed.add(1);
                self.counters.resumed.add(resumed.into());
                self.set_deadline(place, waitless::Instant::NEVER);
                self.report(place);
            }
            Ok(Received::End) => {
                connection.flags.finished = true;
                if connection.stage == Stage::Handshake {
                    //= RFC 8446 6.1: each end says that it closes, also here
                    if let Some(shared) = &self.shared {
                        let (pool, out) = (shared.pool, &mut connection.out);
                        let _ = connection.session.alert(Alert::CLOSE_NOTIFY, pool, out);
                    }
                    connection.failure = Some("the other end closed instead of finishing");
                    self.enter_failed(place);
                }
                self.report(place);
            }
            Ok(Received::Alert(alert)) => {
                self.counters.rejected.add(1);
                waitless::debug!(cx, "the other end gave up: alert {}", alert.0);
                connection.failure = Some(alert.text());
                connection.out.clear();
                self.enter_failed(place);
            }
            Err(fault) => return Progress::Failed(fault),
        }
        self.queue_transmit(place);
        if self.count(place, cx) { Progress::On } else { Progress::Failed(Fault::Internal) }
    }

    /// Tells the other end what it did wrong. The connection ends.
    pub(crate) fn fail(&mut self, place: u32, fault: Fault, cx: &Context) {
        let (Some(connection), Some(shared)) =
            (self.connections.get_mut(place as usize), &mut self.shared)
        else {
            return;
        };
        self.counters.faulty.add(1);
        connection.failure = Some(fault.text());
        match shared.role.detail() {
            Some(detail) => {
                waitless::debug!(cx, "alert {}: {fault} ({detail})", fault.alert().0);
            }
            None => waitless::debug!(cx, "alert {}: {fault}", fault.alert().0),
        }
        // Without a packet, the client just sees the end.
        let _ = connection.session.alert(fault.alert(), shared.pool, &mut connection.out);
        self.enter_failed(place);
    }

    /// What is queued behind an alert would not be heard, and what follows does not count.
    fn enter_failed(&mut self, place: u32) {
        let Some(connection) = self.connections.get_mut(place as usize) else { return };
        let was_early = connection.is_open_early();
        if connection.stage == Stage::Handshake || was_early {
            self.counters.shaking.sub(1);
        }
        connection.stage = Stage::Failed;
        connection.end = Phase::Reset;
        connection.drop_data();
        let memory = connection.drop_arrived();
        connection.session.drop_partial();
        self.gathered = self.gathered.saturating_sub(core::mem::take(&mut connection.counted));
        if was_early {
            self.ends_early();
        }
        self.keep(memory);
        self.set_deadline(place, self.now + LINGER);
        self.report(place);
        self.queue_transmit(place);
    }

    /// Nothing more has arrived.
    fn lack<S: StreamPort>(&mut self, place: u32, below: &mut S) {
        let Some(connection) = self.connections.get_mut(place as usize) else { return };
        let status = below.status(connection.below);
        if !status.finished {
            return;
        }
        //= RFC 8446 6.1: an end without close_notify may be an attacker's doing
        if connection.stage == Stage::Open {
            self.counters.truncated.add(1);
        }
        self.end(place, Phase::Closed, below);
    }

    /// Throws away what arrives, until the other end has finished.
    fn discard<S: StreamPort>(&mut self, place: u32, below: &mut S) {
        let Some(connection) = self.connections.get_mut(place as usize) else { return };
        connection.raw = None;
        let stream = connection.below;
        for _ in 0..BATCH {
            let Some(packet) = below.recv(stream) else {
                let status = below.status(stream);
                let waits = !connection.out.is_empty() || !connection.flags.closed;
                if status.finished && !waits || status.phase == Phase::Closed {
                    self.end(place, Phase::Closed, below);
                }
                return;
            };
            connection.discarded = connection.discarded.saturating_add(packet.len());
            //= RFC 8446 6.1: data behind close_notify is ignored; but not forever
            if connection.discarded > DISCARD_MAX {
                below.abort(stream);
                return self.end(place, Phase::Reset, below);
            }
        }
        self.queue_receive(place);
    }

    /// Gives the stream below up. The service sees `phase`.
    pub(crate) fn end<S: StreamPort>(&mut self, place: u32, phase: Phase, below: &mut S) {
        let Some(connection) = self.connections.get_mut(place as usize) else { return };
        if connection.stage != Stage::Wanted {
            below.release(connection.below);
        }
        let was_early = connection.is_open_early();
        match connection.stage {
            Stage::Free | Stage::Over => return,
            Stage::Wanted | Stage::Opening | Stage::Handshake => {
                self.counters.shaking.sub(1);
                connection.end = ended(phase, false);
            }
            Stage::Open => {
                connection.end = ended(phase, connection.flags.finished);
                self.counters.shaking.sub(was_early.into());
            }
            Stage::Failed => {}
        }
        connection.stage = Stage::Over;
        connection.out.clear();
        connection.drop_data();
        connection.raw = None;
        let is_known = connection.flags.reported && !connection.flags.released;
        if was_early {
            self.ends_early();
        }
        self.timers.cancel(place);
        if is_known {
            self.report(place);
        } else {
            self.forget(place);
        }
    }

    /// A handshake took too long, or a client does not take what it was sent.
    pub(crate) fn time_out<S: StreamPort>(&mut self, place: u32, below: &mut S) {
        let Some(connection) = self.connections.get_mut(place as usize) else { return };
        if connection.deadline > self.now {
            let deadline = connection.deadline;
            return self.set_deadline(place, deadline);
        }
        match connection.stage {
            Stage::Free | Stage::Over => return,
            Stage::Wanted | Stage::Opening | Stage::Handshake => self.counters.timed_out.add(1),
            Stage::Open if connection.is_open_early() => self.counters.timed_out.add(1),
            Stage::Open | Stage::Failed => {}
        }
        if connection.stage != Stage::Wanted {
            below.abort(connection.below);
        }
        self.end(place, Phase::TimedOut, below);
    }
}

/// Whether the next record, of `length` bytes, must wait: for packets to answer it with or to keep
/// it in, or for a later sweep.
pub(crate) fn must_wait<R: Role>(
    connection: &Connection<R>,
    shared: &Shared<R>,
    length: usize,
    hellos: &mut u8,
) -> bool {
    if connection.lacks_room(length, shared) {
        return true;
    }
    if !connection.session.is_costly() {
        return false;
    }
    let packets = shared.role.longest_answer() / 1024 + RESERVE;
    if *hellos == 0 || shared.pool.available() < packets {
        return true;
    }
    *hellos -= 1;
    false
}

/// What the core lends for a message. The time of day is only looked at where it may be needed.
pub(crate) fn surroundings(complete: bool, dated: bool, cx: &mut Context) -> Surroundings<'_> {
    let unix_secs = if dated { time_of_day(cx) } else { None };
    let keys = if complete { None } else { Some(cx.system().keys()) };
    let keys = keys.filter(|keys| keys.is_watched());
    Surroundings { now: cx.now(), unix_secs, keys, early: false, random: &mut cx.random }
}

/// Seconds since 1970.
// By itself, so that an audit sees what asks the platform, and that no record of data does.
#[cold]
#[inline(never)]
fn time_of_day(cx: &Context) -> Option<u64> {
    cx.wall_clock()
}
