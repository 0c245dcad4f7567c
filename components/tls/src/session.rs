//! One connection's TLS: records in, content out, and records for the other end.

use crate::alert::{Alert, Fault};
use crate::client::Target;
use crate::crypto::Identity;
use crate::handshake::{Flight, Step, Surroundings};
use crate::record::Protection;
use crate::role::Role;
use crate::wire::codes::message::{self, KEY_UPDATE};
use crate::wire::record::{Content, HEADER, Header, PLAINTEXT_MAX, PROTECTION};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ops::Range;
use waitless::{Packet, Pool};

/// The state of one connection's TLS.
pub(crate) struct Session<R: Role> {
    /// Gone once the handshake is complete, unless something may follow that it must read.
    handshake: Option<Box<R::Handshake>>,
    complete: bool,
    /// Who the other end is, where that was found out beyond its name.
    peer: Option<Box<Identity>>,
    /// The beginning of a handshake message.
    partial: Vec<u8>,
    read: Option<Protection>,
    write: Option<Protection>,
    /// Bytes of early data that may still be skipped.
    skip: usize,
    /// Bytes of early data that may still come, while it is accepted.
    early: Option<usize>,
    /// An alert was said, which is the last word; after early data, that may be before the
    /// handshake is complete.
    silent: bool,
    /// Something came that only the other end can have made, or may come: early data.
    has_keys: bool,
    /// The most bytes of content in a record that the other end takes.
    limit: usize,
    /// Of middlebox compatibility, seen so far.
    change_cipher_specs: u8,
    /// Records that brought nothing, without data between them.
    idle_records: u8,
    /// Key updates without data between them.
    key_updates: u8,
    /// The other end wants our keys replaced.
    update_due: bool,
    /// The other end was asked to replace its keys.
    update_asked: bool,
}

/// What the sessions of one core share.
pub(crate) struct Shared<R> {
    pub(crate) role: R,
    pub(crate) flight: Flight,
    /// The most bytes of a handshake message.
    pub(crate) hello_limit: usize,
    pub(crate) pool: Pool,
}

/// What was in a record.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Received {
    /// Nothing for anybody else.
    Nothing,
    /// Data: these bytes of the record.
    Data(Range<usize>),
    /// The handshake is complete; whether it resumed an earlier connection.
    Complete(bool),
    /// Early data follows.
    Early,
    /// Another hello was asked for.
    Retried,
    /// The other end's keys were replaced.
    Updated,
    /// Nothing follows.
    End,
    /// The other end gives up.
    Alert(Alert),
}

/// Early data that is skipped at most: more than usual servers take. A server that takes some
/// skips twice as much.
const SKIP_MAX: usize = 64 << 10;
/// What a record that is skipped by such a server counts for at least, in bytes.
const SKIP_MIN: usize = 8;
/// change_cipher_spec records that are borne; a client sends one or two.
const CHANGE_CIPHER_SPECS_MAX: u8 = 4;
/// Bytes of the message with a client's certificates, where the limit for hellos is shorter.
const CERTIFICATES_MAX: usize = 32 << 10;
/// Records without content, and key updates without data, that are borne in a row.
const IDLE_MAX: u8 = 32;
/// A change_cipher_spec.
const CHANGE_CIPHER_SPEC: &[u8] = &[1];

impl<R: Role> Session<R> {
    /// A session whose handshake begins.
    pub(crate) fn new() -> Self {
        Self { handshake: Some(Box::default()), ..Self::over() }
    }

    /// A session that holds nothing, for a place that is free.
    pub(crate) const fn over() -> Self {
        Self {
            handshake: None,
            complete: false,
            peer: None,
            partial: Vec::new(),
            read: None,
            write: None,
            skip: 0,
            early: None,
            silent: false,
            has_keys: false,
            limit: PLAINTEXT_MAX,
            change_cipher_specs: 0,
            idle_records: 0,
            key_updates: 0,
            update_due: false,
            update_asked: false,
        }
    }

    pub(crate) const fn is_complete(&self) -> bool {
        self.complete
    }

    /// Whether early data is accepted now.
    pub(crate) const fn takes_early(&self) -> bool {
        R::EARLY && self.early.is_some()
    }

    /// Bytes of memory that a handshake message takes that has not come whole.
    pub(crate) const fn waiting(&self) -> usize {
        self.partial.capacity()
    }

    /// Forgets the beginning of a handshake message.
    pub(crate) fn drop_partial(&mut self) {
        self.partial = Vec::new();
    }

    pub(crate) fn peer(&self) -> Option<&Identity> {
        self.peer.as_deref()
    }

    /// Whether reading the next handshake message may take long: it needs public-key operations.
    /// A client's hello does, a server's, and certificates.
    pub(crate) const fn is_costly(&self) -> bool {
        let goes_on = !self.complete && self.handshake.is_some() && !self.takes_early();
        goes_on && (R::VERIFIES || self.read.is_none())
    }

    /// Says the first word, to `target`.
    pub(crate) fn begin(
        &mut self,
        target: Target,
        shared: &mut Shared<R>,
        around: &mut Surroundings<'_>,
        out: &mut Outbox,
    ) -> Result<(), Fault> {
        shared.flight.clear();
        let handshake = self.handshake.as_mut().ok_or(Fault::Internal)?;
        shared.role.begin(handshake, target, around, &mut shared.flight)?;
        self.perform(shared, out)?;
        out.antedate();
        Ok(())
    }

    /// Whether the record with `header` is one that could be of use.
    pub(crate) fn check(&self, header: Header, shared: &Shared<R>) -> Result<(), Fault> {
        // Before there are keys, nobody needs long records, and many could fill the memory.
        if self.read.is_none() && self.skip == 0 && header.length > shared.hello_limit {
            return Err(Fault::HandshakeTooLong);
        }
        Ok(())
    }

    /// Reads a whole record, header and all. What is to be sent is added to `out`.
    ///
    /// # Errors
    /// What the other end did wrong. The session must not be used then, but for its alert.
    pub(crate) fn record(
        &mut self,
        record: &mut [u8],
        shared: &mut Shared<R>,
        around: &mut Surroundings<'_>,
        out: &mut Outbox,
    ) -> Result<Received, Fault> {
        let (header, body) = record.split_first_chunk_mut::<HEADER>().ok_or(Fault::Internal)?;
        let outer = Header::parse(header)?.content;
        let protected = match (&mut self.read, outer) {
            (Some(read), Content::Data) => match read.open(header, body) {
                Ok(opened) => {
                    // What decrypts is no early data, nor is what follows it.
                    (self.skip, self.has_keys) = (0, true);
                    Some(opened)
                }
                Err(Fault::BadRecord) if self.skip > 0 => return self.skip(body.len()),
                Err(fault) => return Err(fault),
            },
            (None, Content::Data) if self.skip > 0 => return self.skip(body.len()),
            _ => None,
        };
        let is_protected = protected.is_some();
        let (content, length) = match protected {
            Some(opened) => (opened.content, opened.length),
            None => (outer, body.len()),
        };
        let content_bytes = body.get(..length).unwrap_or_default();
        if content != Content::Handshake && !self.partial.is_empty() {
            return Err(Fault::Interleaved);
        }
        match content {
            Content::ChangeCipherSpec => self.change_cipher_spec(content_bytes, is_protected),
            //= RFC 8446 5: once there are keys, only alerts of a client without them are in clear
            Content::Alert if is_protected || self.hears_clear_alerts() => {
                let received = alert(content_bytes)?;
                if received == Received::Nothing {
                    self.idle()?;
                }
                Ok(received)
            }
            Content::Handshake if is_protected || self.read.is_none() => {
                self.handshake_bytes(content_bytes, shared, around, out)
            }
            Content::Data if is_protected && (self.complete || self.takes_early()) => {
                self.count_early(length)?;
                if length == 0 {
                    self.idle()?;
                    return Ok(Received::Nothing);
                }
                (self.idle_records, self.key_updates) = (0, 0);
                Ok(Received::Data(HEADER..HEADER + length))
            }
            _ => Err(Fault::UnexpectedRecord),
        }
    }

    //= RFC 8446 4.2.10: of early data, what a ticket was good for, and no more
    fn count_early(&mut self, length: usize) -> Result<(), Fault> {
        if R::EARLY
            && let Some(left) = &mut self.early
        {
            *left = left.checked_sub(length).ok_or(Fault::TooMuchEarlyData)?;
        }
        Ok(())
    }

    fn skip(&mut self, length: usize) -> Result<Received, Fault> {
        // As much as is accepted otherwise, in whatever records, if these are not ever so many.
        let counts = match R::EARLY {
            true => length.saturating_sub(PROTECTION).max(SKIP_MIN),
            false => length.max(1),
        };
        self.skip = self.skip.checked_sub(counts).ok_or(Fault::TooMuchEarlyData)?;
        Ok(Received::Nothing)
    }

    fn idle(&mut self) -> Result<(), Fault> {
        self.idle_records += 1;
        if self.idle_records > IDLE_MAX { Err(Fault::TooManyEmptyRecords) } else { Ok(()) }
    }

    //= RFC 8446 5: dropped between the first hello and the client's Finished; otherwise refused
    fn change_cipher_spec(&mut self, content: &[u8], protected: bool) -> Result<Received, Fault> {
        let begun = self.handshake.as_ref().is_some_and(|handshake| !R::is_fresh(handshake));
        let expected = begun && !self.complete;
        self.change_cipher_specs = self.change_cipher_specs.saturating_add(1);
        let fits = content == CHANGE_CIPHER_SPEC && !protected && expected;
        if !fits || self.change_cipher_specs > CHANGE_CIPHER_SPECS_MAX {
            return Err(Fault::BadChangeCipherSpec);
        }
        Ok(Received::Nothing)
    }

    fn handshake_bytes(
        &mut self,
        bytes: &[u8],
        shared: &mut Shared<R>,
        around: &mut Surroundings<'_>,
        out: &mut Outbox,
    ) -> Result<Received, Fault> {
        if bytes.is_empty() {
            return Err(Fault::EmptyFragment);
        }
        let mut whole = core::mem::take(&mut self.partial);
        let mut rest = if whole.is_empty() {
            bytes
        } else {
            whole.try_reserve(bytes.len()).map_err(|_| Fault::Internal)?;
            whole.extend_from_slice(bytes);
            &whole
        };
        let mut received = Received::Nothing;
        // Each turn takes a message of four bytes at least.
        while let Some([kind, length @ ..]) = rest.first_chunk::<4>() {
            let [a, b, c] = *length;
            let length = u32::from_be_bytes([0, a, b, c]) as usize;
            if length > self.length_max(*kind, shared) {
                return Err(Fault::HandshakeTooLong);
            }
            // What can only be wrong is not waited for, and takes no memory.
            if self.handshake.is_none() && (*kind, length) != (KEY_UPDATE, 1) {
                return self.key_update(rest);
            }
            let Some((message, behind)) = rest.split_at_checked(4 + length) else { break };
            //= RFC 8446 5.1: what follows a change of keys is in another record
            if !behind.is_empty() && changes_keys(*kind) {
                return Err(Fault::DataAcrossKeyChange);
            }
            match self.message(message, shared, around, out)? {
                Received::Nothing => {}
                said => received = said,
            }
            rest = behind;
        }
        let left = rest.len();
        if left == whole.len() {
            self.partial = whole;
        } else {
            self.partial.try_reserve_exact(left).map_err(|_| Fault::Internal)?;
            self.partial.extend_from_slice(rest);
        }
        Ok(received)
    }

    /// The most bytes of a message of this kind. What vouches for a client may be longer than any
    /// hello; it comes when there are keys.
    fn length_max(&self, kind: u8, shared: &Shared<R>) -> usize {
        let shows = R::VERIFIES && !R::DIALS && self.read.is_some();
        let limit = if shows && kind == message::CERTIFICATE { CERTIFICATES_MAX } else { 0 };
        limit.max(shared.hello_limit)
    }

    fn message(
        &mut self,
        message: &[u8],
        shared: &mut Shared<R>,
        around: &mut Surroundings<'_>,
        out: &mut Outbox,
    ) -> Result<Received, Fault> {
        let updates = message.first() == Some(&KEY_UPDATE) && self.complete;
        let handshake = self.handshake.as_mut().filter(|_| !updates);
        let Some(handshake) = handshake else { return self.key_update(message) };
        shared.flight.clear();
        let read = shared.role.read(handshake, message, around, &mut shared.flight);
        // What is sent of a flight that failed would only confuse.
        read?;
        self.perform(shared, out)
    }

    /// Does what the flight says.
    fn perform(&mut self, shared: &mut Shared<R>, out: &mut Outbox) -> Result<Received, Fault> {
        let (pool, flight) = (shared.pool, &mut shared.flight);
        let (mut start, mut received) = (0, Received::Nothing);
        for step in core::mem::take(&mut flight.steps) {
            match step {
                Step::Send(_, end) => {
                    let said = !(R::EARLY && self.silent);
                    let bytes = flight.bytes.get(start..end).filter(|_| said).unwrap_or_default();
                    self.put(Content::Handshake, bytes, pool, out)?;
                    start = end;
                }
                Step::ChangeCipherSpec => {
                    out.put(Content::ChangeCipherSpec, CHANGE_CIPHER_SPEC, None, pool)?;
                }
                Step::WriteKeys(_, suite, secret) => {
                    self.write = Some(Protection::new(suite, secret));
                }
                Step::ReadKeys(_, suite, secret) => {
                    self.read = Some(Protection::new(suite, secret));
                    (self.skip, self.early) = (0, None);
                }
                Step::SkipEarlyData => self.skip = SKIP_MAX << usize::from(R::EARLY),
                Step::AcceptEarlyData(limit) if R::EARLY => {
                    (self.early, self.has_keys) = (Some(limit as usize), true);
                    self.peer = self.handshake.as_mut().and_then(|it| R::identity(it));
                    received = Received::Early;
                }
                Step::AcceptEarlyData(_) => {}
                //= RFC 8449 4: the limit counts the content's type
                Step::RecordLimit(limit) => {
                    self.limit = usize::from(limit).saturating_sub(1).min(PLAINTEXT_MAX);
                }
                Step::Retried => received = Received::Retried,
                Step::Complete(resumed) => {
                    self.complete = true;
                    self.peer = self.handshake.as_mut().and_then(|it| R::identity(it));
                    // A client of ours says nothing more that a handshake reads.
                    self.handshake.take_if(|_| !R::DIALS);
                    received = Received::Complete(resumed);
                }
            }
        }
        Ok(received)
    }

    /// Whether an alert in clear may be the other end's: a client may have no keys yet when a
    /// server has them, but not the other way round. Who has sent something early has keys: what
    /// is in clear there may be anybody's, who would say where it ends.
    const fn hears_clear_alerts(&self) -> bool {
        !self.has_keys && (!R::DIALS || self.read.is_none())
    }

    //= RFC 8446 4.6.3: the only message that a client may send later
    fn key_update(&mut self, message: &[u8]) -> Result<Received, Fault> {
        let asks = match message {
            [KEY_UPDATE, 0, 0, 1, 0] => false,
            [KEY_UPDATE, 0, 0, 1, 1] => true,
            [KEY_UPDATE, 0, 0, 1, _] => return Err(Fault::BadKeyUpdate),
            [KEY_UPDATE, ..] => return Err(Fault::VectorLength),
            _ => return Err(Fault::UnexpectedMessage),
        };
        self.key_updates += 1;
        if self.key_updates > IDLE_MAX {
            return Err(Fault::TooManyKeyUpdates);
        }
        if let Some(read) = &mut self.read {
            read.update();
        }
        self.update_asked = false;
        self.update_due |= asks;
        Ok(Received::Updated)
    }

    /// Sends `bytes` in as many records as it takes.
    fn put(
        &mut self,
        content: Content,
        bytes: &[u8],
        pool: Pool,
        out: &mut Outbox,
    ) -> Result<(), Fault> {
        for part in bytes.chunks(self.limit.min(out.content_max()).max(1)) {
            out.put(content, part, self.write.as_mut(), pool)?;
        }
        Ok(())
    }

    /// The most bytes of data that fit into a record that `out` sends in one piece.
    pub(crate) fn data_max(&self) -> usize {
        self.limit
    }

    /// Sends an alert. Who gets it knows what follows.
    pub(crate) fn alert(
        &mut self,
        alert: Alert,
        pool: Pool,
        out: &mut Outbox,
    ) -> Result<(), Fault> {
        let level = if alert == Alert::CLOSE_NOTIFY { 1 } else { 2 };
        self.silent = true;
        out.put(Content::Alert, &[level, alert.0], self.write.as_mut(), pool)
    }

    /// Protects the data in `packet`, in place: it becomes a record.
    pub(crate) fn seal(&mut self, packet: &mut Packet) -> Result<(), Fault> {
        let write = self.write.as_mut().ok_or(Fault::Internal)?;
        packet.append(&[Content::Data as u8]).map_err(|_| Fault::Internal)?;
        let (header, tag) = write.seal(packet.bytes_mut())?;
        packet.append(&tag).map_err(|_| Fault::Internal)?;
        packet.prepend(header).map_err(|_| Fault::Internal)
    }

    /// Replaces keys that were asked for or that are worn, before data is sent. Whether one was.
    pub(crate) fn refresh(&mut self, pool: Pool, out: &mut Outbox) -> Result<bool, Fault> {
        let ask = self.read.as_ref().is_some_and(Protection::is_worn) && !self.update_asked;
        let worn = self.write.as_ref().is_some_and(Protection::is_worn);
        if !(ask || worn || self.update_due) {
            return Ok(false);
        }
        let message = [KEY_UPDATE, 0, 0, 1, u8::from(ask)];
        out.put(Content::Handshake, &message, self.write.as_mut(), pool)?;
        if let Some(write) = &mut self.write {
            write.update();
        }
        (self.update_due, self.update_asked) = (false, self.update_asked | ask);
        Ok(true)
    }

    /// Behaves as if the other end had asked for new keys.
    #[cfg(test)]
    pub(crate) fn want_update(&mut self) {
        self.update_due = true;
    }

    /// Makes all keys look as worn as they may be.
    #[cfg(test)]
    pub(crate) fn wear(&mut self) {
        for protection in [&mut self.read, &mut self.write].into_iter().flatten() {
            protection.wear(crate::record::RECORDS_PER_KEY);
        }
    }
}

/// Whether what follows a message of this kind is protected by other keys.
const fn changes_keys(kind: u8) -> bool {
    matches!(
        kind,
        message::CLIENT_HELLO
            | message::SERVER_HELLO
            | message::END_OF_EARLY_DATA
            | message::FINISHED
            | message::KEY_UPDATE
    )
}

fn alert(content: &[u8]) -> Result<Received, Fault> {
    match content {
        [] => Err(Fault::EmptyFragment),
        [_, code] => Ok(match Alert(*code) {
            Alert::CLOSE_NOTIFY => Received::End,
            //= RFC 8446 6.1: a close_notify follows
            Alert::USER_CANCELED => Received::Nothing,
            alert => Received::Alert(alert),
        }),
        _ => Err(Fault::MalformedAlert),
    }
}

/// Records that are ready to be sent, several in a packet where they fit.
pub(crate) struct Outbox {
    packets: VecDeque<Packet>,
    /// Bytes of a packet that the stream below sends in one piece.
    segment: usize,
}

impl Outbox {
    pub(crate) fn new(segment: usize) -> Self {
        Self { packets: VecDeque::new(), segment: segment.clamp(256, 1400) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.packets.iter().map(Packet::len).sum()
    }

    pub(crate) fn pop(&mut self) -> Option<Packet> {
        self.packets.pop_front()
    }

    /// Puts a packet back that could not be sent.
    pub(crate) fn put_back(&mut self, packet: Packet) {
        self.packets.push_front(packet);
    }

    pub(crate) fn clear(&mut self) {
        self.packets.clear();
    }

    //= RFC 8446 5.1: the records of a first hello say that they are of TLS 1.0
    fn antedate(&mut self) {
        for packet in &mut self.packets {
            let mut rest = packet.bytes_mut();
            while let Some((header, behind)) = rest.split_first_chunk_mut::<HEADER>() {
                let [_, _, minor, high, low] = header;
                *minor = 1;
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                rest = behind.get_mut(length..).unwrap_or_default();
            }
        }
    }

    /// The most bytes of content that a packet carries.
    fn content_max(&self) -> usize {
        self.segment - HEADER - PROTECTION
    }

    /// Adds a record of `bytes`, which fit into a packet.
    fn put(
        &mut self,
        content: Content,
        bytes: &[u8],
        protection: Option<&mut Protection>,
        pool: Pool,
    ) -> Result<(), Fault> {
        let length = HEADER + bytes.len() + if protection.is_some() { PROTECTION } else { 0 };
        if self.packets.back().is_none_or(|last| last.len() + length > self.segment) {
            self.packets.push_back(pool.packet().ok_or(Fault::Internal)?);
        }
        let packet = self.packets.back_mut().ok_or(Fault::Internal)?;
        let room = packet.extend(length).map_err(|_| Fault::Internal)?;
        let (front, body) = room.split_first_chunk_mut::<HEADER>().ok_or(Fault::Internal)?;
        let (place, rest) = body.split_at_mut_checked(bytes.len()).ok_or(Fault::Internal)?;
        place.copy_from_slice(bytes);
        let Some(protection) = protection else {
            *front = Header::bytes(content, bytes.len() as u16);
            return Ok(());
        };
        if let Some(kind) = rest.first_mut() {
            *kind = content as u8;
        }
        let (inner, place) = body.split_at_mut_checked(bytes.len() + 1).ok_or(Fault::Internal)?;
        let (header, tag) = protection.seal(inner)?;
        *front = header;
        place.copy_from_slice(&tag);
        Ok(())
    }
}
