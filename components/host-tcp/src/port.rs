//! The contract of [`StreamPort`], method by method.

use crate::HostTcp;
use crate::connection::{self, SEGMENT, Window};
use mio::net::TcpStream;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use waitless::{ConnectError, ListenError, Packet, Phase, Service, Status, Stream, StreamPort};

/// Services that can attach.
const SERVICES_MAX: usize = 64;

impl StreamPort for HostTcp {
    fn attach(&mut self) -> Option<Service> {
        if self.news.len() == SERVICES_MAX {
            return None;
        }
        self.news.push(VecDeque::new());
        Some(Service(self.news.len() as u16 - 1))
    }

    fn listen(&mut self, service: Service, port: u16) -> Result<(), ListenError> {
        self.start_listening(service, port)
    }

    fn connect(&mut self, service: Service, remote: SocketAddr) -> Result<Stream, ConnectError> {
        if self.table.is_full() {
            return Err(ConnectError::Full);
        }
        if !is_host(remote) {
            return Err(ConnectError::BadAddress);
        }
        TcpStream::connect(remote)
            .and_then(|socket| self.enter(socket, remote, service, Phase::Opening))
            .map_err(|error| connect_error(&error))
    }

    fn news(&mut self, service: Service) -> Option<Stream> {
        let news = self.news.get_mut(usize::from(service.0))?;
        while let Some(index) = news.pop_front() {
            // A connection that was released meanwhile has no news for anybody.
            if let Some(connection) = self.table.at_mut(index)
                && connection.in_news
                && connection.service == service
            {
                connection.in_news = false;
                return Some(Stream { index, generation: self.table.generation(index) });
            }
        }
        None
    }

    fn status(&self, stream: Stream) -> Status {
        let Some(connection) = self.table.get(stream) else {
            return Status { finished: true, ..Status::default() };
        };
        Status {
            phase: connection.phase,
            readable: connection.arrived_bytes(),
            writable: connection.room(self.config.send_buffer as usize),
            unacknowledged: connection.queued_bytes(),
            finished: connection.is_finished,
            segment: SEGMENT,
        }
    }

    fn tag(&self, stream: Stream) -> Option<u32> {
        self.table.get(stream)?.tag
    }

    fn set_tag(&mut self, stream: Stream, tag: u32) {
        if let Some(connection) = self.table.get_mut(stream) {
            connection.tag = Some(tag);
        }
    }

    fn peer(&self, stream: Stream) -> Option<SocketAddr> {
        Some(self.table.get(stream)?.peer)
    }

    fn local(&self, stream: Stream) -> Option<SocketAddr> {
        self.table.get(stream)?.socket.as_ref()?.local_addr().ok()
    }

    #[inline]
    fn readable(&self, stream: Stream) -> &[u8] {
        self.table.get(stream).map_or(&[], |connection| connection.first_arrived())
    }

    #[inline]
    fn consume(&mut self, stream: Stream, count: usize) {
        if let Some(connection) = self.table.get_mut(stream) {
            connection.consume(count);
            self.want_read(stream.index);
        }
    }

    #[inline]
    fn recv(&mut self, stream: Stream) -> Option<Packet> {
        let packet = self.table.get_mut(stream)?.take_arrived()?;
        self.want_read(stream.index);
        Some(packet)
    }

    fn writable(&mut self, stream: Stream) -> &mut [u8] {
        let limit = self.config.send_buffer as usize;
        let Some(connection) = self.table.get_mut(stream) else { return &mut [] };
        match connection.open_window(self.pool, limit) {
            Window::Open => {}
            Window::Shut => return &mut [],
            Window::NoPacket => {
                if !connection.in_starved {
                    connection.in_starved = true;
                    self.starved.push_back(stream.index);
                }
                return &mut [];
            }
        }
        // A window that stays unused is given back by the next flush.
        self.want_flush(stream.index);
        self.table.get_mut(stream).map(|found| found.window(limit)).unwrap_or_default()
    }

    fn commit(&mut self, stream: Stream, count: usize) {
        if let Some(connection) = self.table.get_mut(stream) {
            connection.commit(count);
            self.want_flush(stream.index);
        }
    }

    fn send(&mut self, stream: Stream, packet: Packet) -> Result<(), Packet> {
        let Some(connection) = self.table.get_mut(stream) else { return Err(packet) };
        if packet.len() > connection.room(self.config.send_buffer as usize) {
            return Err(packet);
        }
        connection.push(packet);
        self.want_flush(stream.index);
        Ok(())
    }

    fn close(&mut self, stream: Stream) {
        if let Some(connection) = self.table.get_mut(stream) {
            connection.is_closing = true;
            self.want_flush(stream.index);
        }
    }

    fn abort(&mut self, stream: Stream) {
        if let Some(connection) = self.table.get_mut(stream) {
            connection.reset();
        }
    }

    fn release(&mut self, stream: Stream) {
        let Some(connection) = self.table.get_mut(stream) else { return };
        connection.release();
        if connection.socket.is_none() {
            return self.table.remove(stream.index);
        }
        connection.in_news = false;
        self.table.retire(stream.index);
        let generation = self.table.generation(stream.index);
        // Many that end at once must not be kept for as long as one may linger.
        if self.lingering.len() >= 2 * self.table.places() {
            let table = &self.table;
            self.lingering.retain(|(_, index, generation)| table.generation(*index) == *generation);
        }
        self.lingering.push_back((self.now + self.config.linger, stream.index, generation));
        // The host may have bytes that count as arrived before this.
        self.want_read(stream.index);
        self.want_flush(stream.index);
    }
}

/// Whether one host can be meant.
fn is_host(remote: SocketAddr) -> bool {
    let is_host = match remote.ip() {
        IpAddr::V4(ip) => !ip.is_multicast() && !ip.is_broadcast() && !ip.is_unspecified(),
        IpAddr::V6(ip) => !ip.is_multicast() && !ip.is_unspecified(),
    };
    is_host && remote.port() != 0
}

fn connect_error(error: &io::Error) -> ConnectError {
    match error.kind() {
        _ if connection::is_exhausted(error) => ConnectError::Full,
        ErrorKind::AddrNotAvailable | ErrorKind::AddrInUse => ConnectError::NoPort,
        ErrorKind::InvalidInput | ErrorKind::PermissionDenied => ConnectError::BadAddress,
        _ => ConnectError::NoRoute,
    }
}
