//! What services see: see [`StreamPort`].

use crate::client::Target;
use crate::connection::{Connection, Stage};
use crate::crypto::is_name;
use crate::record::OVERHEAD;
use crate::role::Role;
use crate::wire::record::PROTECTION;
use crate::{Attached, Tls};
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::net::SocketAddr;
use waitless::{ConnectError, ListenError, Packet, Phase, Service, Status, Stream, StreamPort};

/// The most services.
const SERVICES_MAX: usize = 64;
/// Bytes of data that a packet of a record that spanned packets carries.
const PIECE: usize = 1440;

impl<R: Role> StreamPort for Tls<R> {
    fn attach(&mut self) -> Option<Service> {
        if self.services.len() == SERVICES_MAX {
            return None;
        }
        self.news_above = true;
        self.services.push(Attached {
            below: None,
            ports: Vec::new(),
            news: VecDeque::new(),
            takes_early: false,
        });
        Some(Service(self.services.len() as u16 - 1))
    }

    fn listen(&mut self, service: Service, port: u16) -> Result<(), ListenError> {
        if R::DIALS {
            return Err(ListenError::Refused);
        }
        if self.services.iter().any(|service| service.ports.contains(&port)) {
            return Err(ListenError::Taken);
        }
        let service = self.services.get_mut(usize::from(service.0)).ok_or(ListenError::Refused)?;
        // The stream below is told in the next sweep.
        self.news_above = true;
        service.ports.push(port);
        Ok(())
    }

    fn connect(&mut self, service: Service, remote: SocketAddr) -> Result<Stream, ConnectError> {
        self.connect_to(service, remote, &remote.ip().to_string())
    }

    fn connect_to(
        &mut self,
        service: Service,
        remote: SocketAddr,
        name: &str,
    ) -> Result<Stream, ConnectError> {
        // RFC 6066 section 3: without the dot at the end.
        let name = name.strip_suffix('.').unwrap_or(name);
        if !R::DIALS || !is_name(name) || usize::from(service.0) >= self.services.len() {
            return Err(ConnectError::BadAddress);
        }
        let target = Target { name: name.into(), port: remote.port() };
        let place = self.begin(service, remote, target).ok_or(ConnectError::Full)?;
        let generation = self.connections.get(place as usize).map_or(0, |it| it.generation);
        Ok(Stream { index: place, generation })
    }

    fn is_secure(&self) -> bool {
        true
    }

    fn take_early(&mut self, service: Service) {
        if let Some(service) = self.services.get_mut(usize::from(service.0)) {
            service.takes_early = true;
        }
    }

    fn is_early(&self, stream: Stream) -> bool {
        self.of(stream).is_some_and(Connection::is_early)
    }

    fn identity(&self, stream: Stream) -> Option<Rc<str>> {
        Some(self.of(stream)?.session.peer()?.subject.clone())
    }

    fn failure(&self, stream: Stream) -> Option<&'static str> {
        self.of(stream)?.failure
    }

    #[inline]
    fn news(&mut self, service: Service) -> Option<Stream> {
        let news = &mut self.services.get_mut(usize::from(service.0))?.news;
        // Ends: each turn takes one off the list.
        while let Some(place) = news.pop_front() {
            let Some(connection) = self.connections.get_mut(place as usize) else { continue };
            connection.flags.in_news = false;
            let is_known = connection.flags.reported && !connection.flags.released;
            if is_known && connection.stage != Stage::Free && connection.service == service {
                return Some(Stream { index: place, generation: connection.generation });
            }
        }
        None
    }

    fn status(&self, stream: Stream) -> Status {
        let Some(connection) = self.of(stream) else {
            return Status { finished: true, ..Status::default() };
        };
        let phase = match connection.stage {
            Stage::Wanted | Stage::Opening | Stage::Handshake => Phase::Opening,
            Stage::Open => Phase::Open,
            Stage::Failed | Stage::Over | Stage::Free => connection.end,
        };
        let waiting = connection.data_bytes + connection.out.bytes();
        Status {
            phase,
            readable: connection.readable(),
            writable: connection.room(),
            unacknowledged: waiting + connection.unacknowledged,
            finished: connection.flags.finished || phase != Phase::Open,
            segment: connection.segment.saturating_sub(OVERHEAD),
        }
    }

    #[inline]
    fn tag(&self, stream: Stream) -> Option<u32> {
        self.of(stream)?.tag
    }

    fn set_tag(&mut self, stream: Stream, tag: u32) {
        if let Some(connection) = self.of_mut(stream) {
            connection.tag = Some(tag);
        }
    }

    fn peer(&self, stream: Stream) -> Option<SocketAddr> {
        self.of(stream)?.peer
    }

    fn local(&self, stream: Stream) -> Option<SocketAddr> {
        self.of(stream)?.local
    }

    fn readable(&self, stream: Stream) -> &[u8] {
        let Some(connection) = self.of(stream) else { return &[] };
        match connection.inbox.front() {
            Some(packet) => packet.bytes(),
            None => connection.large.get(connection.plain.clone()).unwrap_or_default(),
        }
    }

    fn consume(&mut self, stream: Stream, mut count: usize) {
        let Some(connection) = self.of_mut(stream) else { return };
        while let Some(packet) = connection.inbox.front_mut()
            && count > 0
        {
            let now = count.min(packet.len());
            packet.trim_front(now);
            count -= now;
            connection.inbox_bytes -= now;
            if packet.is_empty() {
                connection.inbox.pop_front();
            }
        }
        connection.plain.start = connection.plain.end.min(connection.plain.start + count);
        self.after_reading(stream.index);
    }

    fn recv(&mut self, stream: Stream) -> Option<Packet> {
        let pool = self.shared.as_ref()?.pool;
        let connection = self.of_mut(stream)?;
        if let Some(packet) = connection.inbox.pop_front() {
            connection.inbox_bytes -= packet.len();
            self.after_reading(stream.index);
            return Some(packet);
        }
        if connection.plain.is_empty() {
            return None;
        }
        let Some(mut packet) = pool.packet() else {
            // It is reported again, when there may be one.
            connection.flags.starved = true;
            self.queue_receive(stream.index);
            return None;
        };
        let count = connection.plain.len().min(PIECE);
        let start = connection.plain.start;
        let bytes = connection.large.get(start..start + count).unwrap_or_default();
        packet.append(bytes).ok()?;
        connection.plain.start += count;
        self.after_reading(stream.index);
        Some(packet)
    }

    fn writable(&mut self, stream: Stream) -> &mut [u8] {
        let Some(pool) = self.shared.as_ref().map(|shared| shared.pool) else { return &mut [] };
        let place = stream.index;
        let Some(connection) = self.of_mut(stream) else { return &mut [] };
        let room = connection.room();
        if room == 0 {
            connection.flags.wants_room = true;
            return &mut [];
        }
        if connection.window.as_ref().is_some_and(|window| window.len() == connection.committed) {
            connection.close_window();
        }
        if connection.window.is_none() {
            let window = pool.packet().and_then(|mut packet| {
                let length = connection.segment.saturating_sub(OVERHEAD).max(64);
                packet.extend(length.min(packet.tailroom() - PROTECTION)).ok()?;
                Some(packet)
            });
            connection.window = window;
            connection.flags.wants_room = connection.window.is_none();
        }
        // A window that stays unused is given back when what is queued is sent.
        self.queue_transmit(place);
        let Some(connection) = self.of_mut(stream) else { return &mut [] };
        let committed = connection.committed;
        let window = connection.window.as_mut().map(Packet::bytes_mut).unwrap_or_default();
        let window = window.get_mut(committed..).unwrap_or_default();
        let length = room.min(window.len());
        window.get_mut(..length).unwrap_or_default()
    }

    fn commit(&mut self, stream: Stream, count: usize) {
        let place = stream.index;
        let Some(connection) = self.of_mut(stream) else { return };
        let window = connection.window.as_ref().map_or(0, Packet::len);
        let count = count.min(window.saturating_sub(connection.committed));
        connection.committed += count;
        connection.data_bytes += count;
        connection.flags.wants_room |= connection.room() < PIECE;
        self.queue_transmit(place);
    }

    fn send(&mut self, stream: Stream, packet: Packet) -> Result<(), Packet> {
        let Some(connection) = self.of_mut(stream) else { return Err(packet) };
        if packet.len() > connection.room() {
            connection.flags.wants_room = true;
            return Err(packet);
        }
        connection.close_window();
        if !packet.is_empty() {
            connection.data_bytes += packet.len();
            connection.data.push_back(packet);
            connection.flags.wants_room |= connection.room() < PIECE;
        }
        self.queue_transmit(stream.index);
        Ok(())
    }

    fn close(&mut self, stream: Stream) {
        if let Some(connection) = self.of_mut(stream) {
            connection.flags.closing = true;
            self.queue_transmit(stream.index);
        }
    }

    fn abort(&mut self, stream: Stream) {
        let Some(connection) = self.of_mut(stream) else { return };
        connection.drop_data();
        let memory = connection.drop_arrived();
        connection.end = Phase::Closed;
        connection.flags.aborted = true;
        self.keep(memory);
        self.queue_transmit(stream.index);
    }

    fn release(&mut self, stream: Stream) {
        let Some(connection) = self.of_mut(stream) else { return };
        connection.flags.released = true;
        connection.tag = None;
        connection.generation = connection.generation.wrapping_add(1);
        let unread = connection.readable() > 0;
        let memory = connection.drop_arrived();
        self.keep(memory);
        let Some(connection) = self.connections.get_mut(stream.index as usize) else { return };
        if connection.stage == Stage::Over {
            return self.forget(stream.index);
        }
        // As a transport would: data that nobody will read resets the connection. One that does not
        // open is of no use to anybody; but an alert is still said.
        let opens = matches!(connection.stage, Stage::Wanted | Stage::Opening | Stage::Handshake);
        connection.flags.aborted |= unread || opens;
        self.queue_transmit(stream.index);
    }
}

impl<R: Role> Tls<R> {
    #[inline]
    fn of(&self, stream: Stream) -> Option<&Connection<R>> {
        let connection = self.connections.get(stream.index as usize)?;
        connection.is(stream).then_some(connection)
    }

    #[inline]
    fn of_mut(&mut self, stream: Stream) -> Option<&mut Connection<R>> {
        let connection = self.connections.get_mut(stream.index as usize)?;
        connection.is(stream).then_some(connection)
    }

    /// There may be room for more now.
    fn after_reading(&mut self, place: u32) {
        let Some(connection) = self.connections.get_mut(place as usize) else { return };
        if connection.plain.is_empty() && connection.plain.end > 0 {
            connection.plain = 0..0;
            let memory = core::mem::take(&mut connection.large);
            self.keep(memory);
        }
        let Some(connection) = self.connections.get_mut(place as usize) else { return };
        if connection.flags.stalled && connection.has_room() {
            connection.flags.stalled = false;
            self.queue_receive(place);
        }
    }
}

impl<R: Role> Connection<R> {
    /// Whether `stream` is this connection, and its service may use it.
    #[inline]
    fn is(&self, stream: Stream) -> bool {
        self.generation == stream.generation
            && self.flags.reported
            && !self.flags.released
            && self.stage != Stage::Free
    }
}
