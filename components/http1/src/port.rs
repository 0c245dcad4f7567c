//! What the service above sees.

use crate::exchange::{self, Active, Outgoing, PIECE};
use crate::response::{Announced, HEAD_LONG, Lines, Now, Persistence, Template, continue_packet};
use crate::{Config, Http1};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use waitless::http::wire::chunked::{ChunkFrame, last_chunk};
use waitless::http::wire::{Framing, NoPacket};
use waitless::http::{Body, Fields, Head, Length, Noted, Response, Status};
use waitless::{Chunk, Duration, Exchange, HttpPort, Instant, Packet, Pool};

impl HttpPort for Http1 {
    #[inline]
    fn waiting(&self) -> usize {
        self.waiting
    }

    fn waiting_since(&self) -> Instant {
        let mut arrived = self.arrived.iter().filter_map(|&at| self.exchanges.get(at as usize));
        let first = arrived.find(|exchange| exchange.phase == exchange::Phase::Waiting);
        first.map_or(Instant::NEVER, |exchange| exchange.begun_at)
    }

    #[inline]
    fn accept(&mut self, tag: u32) -> Option<(Exchange, Head)> {
        while let Some(index) = self.arrived.pop_front() {
            let Some(exchange) = self.exchanges.get_mut(index as usize) else { continue };
            if exchange.phase == exchange::Phase::Dead {
                exchange.phase = exchange::Phase::Free;
                self.free_exchanges.push(index);
                continue;
            }
            self.waiting -= 1;
            exchange.phase = exchange::Phase::Open;
            exchange.tag = tag;
            let handle = Exchange { index, generation: exchange.generation };
            return exchange.head.take().map(|head| (handle, head));
        }
        None
    }

    #[inline]
    fn news(&mut self) -> Option<u32> {
        if let Some(tag) = self.gone.pop_front() {
            return Some(tag);
        }
        while let Some(index) = self.news.pop_front() {
            let Some(exchange) = self.exchanges.get_mut(index as usize) else { continue };
            exchange.news_queued = false;
            if exchange.phase == exchange::Phase::Open {
                return Some(exchange.tag);
            }
        }
        None
    }

    #[inline]
    fn is_gone(&self, exchange: Exchange) -> bool {
        self.exchanges.get(exchange.index as usize).is_none_or(|active| {
            active.generation != exchange.generation || active.phase != exchange::Phase::Open
        })
    }

    fn body(&mut self, exchange: Exchange) -> Chunk {
        self.take_early(exchange);
        let Some(active) = self.open(exchange) else { return Chunk::Aborted };
        let place = active.connection;
        let data = active.body.pop_front();
        if active.framing == Framing::Done {
            return data.map_or(Chunk::End, Chunk::Data);
        }
        active.asked = true;
        if active.expects && active.outgoing == Outgoing::Unanswered {
            active.continue_due = true;
            self.queue_transmit(place);
        }
        // There is room now.
        self.queue_receive_if_unread(place);
        data.map_or(Chunk::Pending, Chunk::Data)
    }

    fn trailers(&mut self, exchange: Exchange) -> Vec<u8> {
        self.open(exchange).map(|active| core::mem::take(&mut active.trailers)).unwrap_or_default()
    }

    #[inline]
    fn respond(&mut self, exchange: Exchange, mut response: Response) -> Result<(), Response> {
        let (pool, config, fixed) = (self.pool, self.config, self.fixed);
        let Some(active) = open(&mut self.exchanges, exchange) else { return Ok(()) };
        if active.outgoing != Outgoing::Unanswered {
            return Ok(());
        }
        let place = active.connection;
        let (date, template) = (self.date.as_ref(), &mut self.template);
        let composed = active.compose(&mut response, date, fixed, config, pool, template);
        let overlong = match composed {
            Ok(overlong) => overlong,
            Err(NoPacket) => {
                active.blocked = true;
                // What is missing is a packet, of which nobody tells: the next sweep asks again.
                self.counters.starved.add(1);
                self.tell(exchange.index);
                return Err(response);
            }
        };
        if active.complete {
            active.answered();
        }
        let upgraded = active.framing == Framing::UntilEnd;
        if overlong {
            self.counters.overlong.add(1);
        }
        if upgraded {
            self.counters.upgraded.add(1);
        }
        self.queue_transmit(place);
        Ok(())
    }

    #[inline]
    fn send(&mut self, exchange: Exchange, mut part: Packet) -> Result<(), Packet> {
        let pool = self.pool;
        let Some(active) = self.open(exchange) else { return Ok(()) };
        part.set_next(None);
        if part.is_empty() || active.without_body {
            // Its length still counts, so that `finish` can tell.
            if let Outgoing::Length(left) = &mut active.outgoing {
                *left = left.saturating_sub(part.len() as u64);
            }
            return Ok(());
        }
        // A chunk may take two places: its frame, where it has no headroom, and its data.
        // And where packets are few, one that waits for its client is enough.
        let enough = pool.is_short() && !active.is_drained();
        if enough || active.out.len() + 2 > exchange::OUTBOX {
            active.blocked = true;
            return Err(part);
        }
        let place = active.connection;
        match &mut active.outgoing {
            Outgoing::Unanswered => return Ok(()),
            Outgoing::UntilClose => {}
            Outgoing::Length(left) => {
                let Some(rest) = left.checked_sub(part.len() as u64) else {
                    // More than was announced would be read as the next response.
                    let tag = active.tag;
                    self.abort(exchange);
                    self.gone.push_back(tag);
                    return Ok(());
                };
                *left = rest;
            }
            Outgoing::Chunked(first) => {
                let frame = ChunkFrame::new(part.len(), *first);
                let frame = frame.bytes();
                match enough_headroom(&part, frame.len()) {
                    true => {
                        if let Ok(room) = part.grow_front(frame.len()) {
                            room.get_mut(..frame.len()).unwrap_or(&mut []).copy_from_slice(frame);
                        }
                    }
                    false => {
                        let Some(mut packet) = pool.packet() else {
                            self.counters.starved.add(1);
                            self.tell(exchange.index);
                            return Err(part);
                        };
                        let _ = packet.append(frame);
                        let _ = active.out.push_back(packet);
                    }
                }
                *first = false;
            }
        }
        if core::mem::take(&mut active.head_waits) {
            part = active.join_head(part);
        }
        let _ = active.out.push_back(part);
        self.queue_transmit(place);
        Ok(())
    }

    fn trail(&mut self, exchange: Exchange, trailers: Fields) {
        let limit = self.config.response_head_limit;
        let Some(active) = self.open(exchange) else { return };
        let fits = trailers.len() as u64 <= limit;
        if matches!(active.outgoing, Outgoing::Chunked(_)) && !active.without_body && fits {
            active.trail = Some(trailers);
        }
    }

    fn finish(&mut self, exchange: Exchange) {
        let Some(active) = self.open(exchange) else { return };
        match active.outgoing {
            Outgoing::Unanswered => return self.abort(exchange),
            Outgoing::Length(1..) if !active.without_body => return self.abort(exchange),
            Outgoing::Chunked(_) if !active.without_body => active.last_chunk_due = true,
            _ => active.complete = true,
        }
        let place = active.connection;
        active.answered();
        self.queue_transmit(place);
    }

    fn abort(&mut self, exchange: Exchange) {
        if self.open(exchange).is_some() {
            self.give_up(exchange.index);
        }
    }

    fn shed(&mut self, slow: Duration) -> bool {
        self.end_slowest(slow)
    }

    #[inline]
    fn peer(&self, exchange: Exchange) -> Option<SocketAddr> {
        let active = self.exchanges.get(exchange.index as usize)?;
        active.peer.filter(|_| active.generation == exchange.generation)
    }

    #[inline]
    fn identity(&mut self, exchange: Exchange) -> Option<Rc<str>> {
        self.open(exchange)?.identity.take()
    }

    fn is_secure(&self) -> bool {
        self.is_secure
    }
}

impl Http1 {
    #[inline]
    fn open(&mut self, exchange: Exchange) -> Option<&mut Active> {
        open(&mut self.exchanges, exchange)
    }

    /// What of the body has arrived with its head needs no further sweep.
    fn take_early(&mut self, exchange: Exchange) {
        let Some(active) = self.open(exchange) else { return };
        let place = active.connection;
        if !active.body.is_empty() || active.framing == Framing::Done {
            return;
        }
        let connection = self.connections.get_mut(place as usize);
        if let Some(part) = connection.and_then(|connection| connection.input.take_packet()) {
            self.take_part(place, exchange.index, part);
        }
    }

    fn queue_receive_if_unread(&mut self, place: u32) {
        let Some(connection) = self.connections.get(place as usize) else { return };
        if connection.unread || !connection.input.is_empty() {
            self.queue_receive(place);
        } else {
            self.await_body(place);
        }
    }
}

#[inline]
fn open(exchanges: &mut [Active], exchange: Exchange) -> Option<&mut Active> {
    let active = exchanges.get_mut(exchange.index as usize)?;
    let valid = active.generation == exchange.generation && active.phase == exchange::Phase::Open;
    valid.then_some(active)
}

impl Active {
    /// Queues a response. `Err`, and the response whole, when a packet is missing; whether its
    /// fields were too long.
    #[inline]
    fn compose(
        &mut self,
        response: &mut Response,
        date: Option<&Now>,
        fixed: &[u8],
        config: &Config,
        pool: Pool,
        template: &mut Template,
    ) -> Result<bool, NoPacket> {
        let streamed = matches!(response.body_ref(), Body::Stream);
        let upgrades = response.code() == Status::SWITCHING_PROTOCOLS;
        let without_body = self.is_bare || response.code().has_no_body() && !upgrades;
        let (length, outgoing) = match upgrades {
            true => (Announced::Nothing, Outgoing::UntilClose),
            false => self.framing_of(response, streamed),
        };
        if streamed {
            self.ask_for_body(response.code(), pool)?;
        }
        let goes_on = streamed && !self.expects || self.can_drain();
        let keep = self.keep_alive && outgoing != Outgoing::UntilClose && goes_on;
        let body = response.take_body();
        let added = response.fields().map_or(0, Fields::len);
        let mut lines = Lines {
            status: response.code(),
            date: date.map(|now| &now.line),
            fixed,
            media: response.media_type().filter(|_| !matches!(body, Body::Empty)),
            length,
            connection: self.persistence(response.code(), keep),
            fields: &[],
            ready: None,
        };
        if added == 0 {
            let ready = template.find(&lines);
            lines.ready = ready;
        } else {
            reconcile(&mut lines, response, date);
        }
        let head_length = lines.len() + added;
        if lines.len() > HEAD_LONG || head_length as u64 > config.response_head_limit {
            return self.compose_overlong(response, date, fixed, config, pool, template);
        }
        let body = if without_body { Body::Empty } else { body };
        if head_length > HEAD_LONG {
            let Some(head) = pool.packet() else {
                response.put_body(body);
                return Err(NoPacket);
            };
            self.queue_long_head(lines, head, response.take_fields(), body);
        } else {
            lines.fields = response.fields().map_or(&[], Fields::bytes);
            if let Err(body) = self.queue_response(&lines, head_length, body, pool) {
                response.put_body(body);
                return Err(NoPacket);
            }
        }
        if upgrades {
            // Whatever the client says from here on is the other protocol's.
            self.framing = Framing::UntilEnd;
        }
        self.without_body = without_body;
        self.outgoing = outgoing;
        self.keep_alive = keep;
        self.complete = !streamed;
        self.head_waits = streamed && self.lead.is_none();
        Ok(false)
    }

    /// Asks for the body of a client that waits for a word, before a streamed response of `status`.
    #[inline]
    fn ask_for_body(&mut self, status: Status, pool: Pool) -> Result<(), NoPacket> {
        // Whoever streams may read on, and then it would be too late to say so.
        // But who refuses, or sends elsewhere, does not want it (RFC 9110, section 10.1.1).
        if self.expects && self.framing != Framing::Done && status.class() < 3 {
            let packet = continue_packet(pool).ok_or(NoPacket)?;
            let _ = self.out.push_back(packet);
            self.expects = false;
        }
        Ok(())
    }

    /// What becomes of the connection behind a response with `status`, if it is kept and if not.
    #[inline]
    fn persistence(&self, status: Status, keep: bool) -> Persistence {
        match (keep, self.old_client) {
            _ if status == Status::SWITCHING_PROTOCOLS => Persistence::Upgraded,
            // RFC 9110, section 15.5.22: it names what to upgrade to; and whoever sends Upgrade
            // names that, whatever else is said of the connection.
            //= RFC 9110 7.8: only together with the option of the connection
            (true, false) if status == Status::UPGRADE_REQUIRED => Persistence::Upgraded,
            (true, true) if status == Status::UPGRADE_REQUIRED => Persistence::Offered,
            (false, _) if status == Status::UPGRADE_REQUIRED => Persistence::Refused,
            (false, _) => Persistence::Closed,
            (true, true) => Persistence::Kept,
            (true, false) => Persistence::Usual,
        }
    }

    /// Says so instead of a response with fields that no head has room for. The status says
    /// whose fault that is.
    #[cold]
    fn compose_overlong(
        &mut self,
        response: &mut Response,
        date: Option<&Now>,
        fixed: &[u8],
        config: &Config,
        pool: Pool,
        template: &mut Template,
    ) -> Result<bool, NoPacket> {
        *response = Response::new(Status::INTERNAL_SERVER_ERROR);
        self.compose(response, date, fixed, config, pool, template).map(|_| true)
    }

    /// Queues a head and its body, the body back when there is no packet for the head.
    #[inline]
    fn queue_response(
        &mut self,
        lines: &Lines<'_>,
        head_length: usize,
        body: Body,
        pool: Pool,
    ) -> Result<(), Body> {
        // The usual case: a body in one packet, with room for the head in front of it.
        if let Body::Packet(mut packet) = body {
            if !enough_headroom(&packet, head_length) || packet.len() + head_length > SEGMENT {
                let Some(head) = pool.packet() else { return Err(Body::Packet(packet)) };
                self.queue_head(lines, head_length, head);
                self.chain = Some(packet);
                return Ok(());
            }
            self.chain = packet.take_next();
            self.queue_head(lines, head_length, packet);
            return Ok(());
        }
        let Some(mut packet) = pool.packet() else { return Err(body) };
        if let Body::Static(bytes) = body {
            // As much as fits behind the head goes with it.
            let (now, later) = bytes.split_at(bytes.len().min(SEGMENT.saturating_sub(head_length)));
            let fits = enough_headroom(&packet, head_length) && packet.append(now).is_ok();
            self.source = if fits { later } else { bytes };
        }
        self.queue_head(lines, head_length, packet);
        Ok(())
    }

    /// Queues a head that takes several packets, and its body. The lines that the handler added
    /// are sent from where they stand.
    #[cold]
    fn queue_long_head(
        &mut self,
        lines: Lines<'_>,
        mut head: Packet,
        added: Option<Fields>,
        body: Body,
    ) {
        head.reset(HEAD_ROOM_LONG);
        let _ = lines.prepend(lines.len(), &mut head);
        if let Some(added) = added {
            // The empty line comes behind these.
            head.truncate(head.len().saturating_sub(2));
            head.set_next(Some(added.into_packets()));
        }
        // What asks the client to go on goes first.
        self.lead = Some(match self.out.pop_front() {
            Some(mut interim) => {
                interim.set_next(Some(head));
                interim
            }
            None => head,
        });
        match body {
            Body::Packet(packet) => self.chain = Some(packet),
            Body::Static(bytes) => self.source = bytes,
            Body::Empty | Body::Stream => {}
        }
    }

    /// Makes one packet of the head and the first part of a streamed body, where that is room
    /// enough and the head was not sent yet.
    fn join_head(&mut self, mut part: Packet) -> Packet {
        if self.out.len() != 1 {
            return part;
        }
        let Some(mut head) = self.out.pop_front() else { return part };
        if head.len() + part.len() <= SEGMENT - last_chunk(false, false).len() {
            if enough_headroom(&part, head.len())
                && let Ok(room) = part.grow_front(head.len())
            {
                room.get_mut(..head.len()).unwrap_or(&mut []).copy_from_slice(head.bytes());
                return part;
            }
            if head.append(part.bytes()).is_ok() {
                return head;
            }
        }
        let _ = self.out.push_front(head);
        part
    }

    /// Puts the head in front of what `packet` holds, which has room for it or is empty.
    #[inline]
    fn queue_head(&mut self, lines: &Lines<'_>, head_length: usize, mut packet: Packet) {
        if !enough_headroom(&packet, head_length) {
            packet.reset(HEAD_ROOM_LONG);
        }
        let _ = lines.prepend(head_length, &mut packet);
        let _ = self.out.push_back(packet);
    }

    /// What the head says of the body's length, and how the body is framed.
    #[inline]
    fn framing_of(&self, response: &Response, streamed: bool) -> (Announced, Outgoing) {
        match response.body_length() {
            Length::None => (Announced::Nothing, Outgoing::Length(0)),
            Length::Known(length) => {
                let left = if streamed { length } else { 0 };
                (Announced::Length(length), Outgoing::Length(left))
            }
            // An old client knows no chunks.
            Length::Unknown if self.old_client => (Announced::Nothing, Outgoing::UntilClose),
            Length::Unknown => (Announced::Chunked, Outgoing::Chunked(true)),
        }
    }
}

/// Leaves out what the fields of `response` say by themselves, and has them say nothing of the
/// future.
fn reconcile(lines: &mut Lines<'_>, response: &mut Response, date: Option<&Now>) {
    let Some(fields) = response.fields() else { return };
    let (noted, modified) = (fields.noted(), fields.modified());
    if noted != Noted::default() {
        lines.leave_out(noted);
    }
    if let Some(now) = date.filter(|now| now.unix < modified)
        && lines.date.is_some()
    {
        //= RFC 9110 8.8.2.1: not later than the message
        response.cap_modified(waitless::http::Date::from_unix(now.unix.into()));
    }
}

#[inline]
fn enough_headroom(packet: &Packet, length: usize) -> bool {
    packet.headroom() >= length + BELOW
}

/// Room for the headers below: of the device, Ethernet, IPv6 and TCP with options.
const BELOW: usize = 136;

/// The most bytes that leave as one packet: what a segment has room for on common paths.
const SEGMENT: usize = PIECE + 8;

/// Where the longest head that fits into one packet starts there.
const HEAD_ROOM_LONG: usize = HEAD_LONG + BELOW;

const _: () = assert!(HEAD_ROOM_LONG <= waitless::packet::CAPACITY);
const _: () = assert!(size_of::<Status>() == 2);
