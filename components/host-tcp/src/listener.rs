//! Listening, and taking connections out of the host's queue.

use crate::connection::{self, Connection};
use crate::{Counters, DESCRIPTORS_RETRY, HostTcp};
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Token};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use waitless::log::Level;
use waitless::{BATCH, ListenError, Phase, Protocol, Service, Stream};

/// A port on which the host listens for a service.
pub struct Listener {
    socket: TcpListener,
    service: Service,
    /// The image's port.
    port: u16,
    /// Whether the host may have connections for it.
    pub is_ready: bool,
}

/// Listeners at the same time. A listener's place is its token; connections follow.
pub const LISTENERS_MAX: usize = 32;

impl Listener {
    /// Where the host listens.
    pub fn address(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()
    }
}

impl HostTcp {
    /// Lets the host listen for `service` on what stands for the image's `port`.
    pub(crate) fn start_listening(
        &mut self,
        service: Service,
        port: u16,
    ) -> Result<(), ListenError> {
        if port != 0 && self.listeners.iter().any(|listener| listener.port == port) {
            return Err(ListenError::Taken);
        }
        if self.listeners.len() == LISTENERS_MAX {
            return Err(ListenError::Full);
        }
        let host_port = self.platform.host_port(Protocol::TCP, port);
        let address = SocketAddr::new(self.config.bind, host_port);
        let socket = self.bind(address).map_err(|error| {
            let text = format_args!("{address}: {error}; {}", next_step(&error, port));
            self.log.write(self.now, Level::Error, env!("CARGO_PKG_NAME"), text);
            ListenError::Refused
        })?;
        self.listeners.push(Listener { socket, service, port, is_ready: false });
        Ok(())
    }

    fn bind(&self, address: SocketAddr) -> io::Result<TcpListener> {
        let poll = self.poll.as_ref().ok_or(ErrorKind::NotConnected)?;
        let mut socket = TcpListener::bind(address)?;
        let token = Token(self.listeners.len());
        poll.registry().register(&mut socket, token, Interest::READABLE)?;
        Ok(socket)
    }

    /// Takes at most a batch of connections out of the host's queues.
    pub(crate) fn accept(&mut self) {
        if self.now < self.descriptors_at {
            return;
        }
        let mut left = BATCH;
        for place in 0..self.listeners.len() {
            while left > 0
                && let Some(listener) = self.listeners.get_mut(place)
                && listener.is_ready
            {
                if self.table.is_full() {
                    self.counters.full.add(1);
                    return;
                }
                left -= 1;
                let service = listener.service;
                match listener.socket.accept() {
                    Ok((socket, peer)) => self.welcome(socket, peer, service),
                    Err(error) => self.accept_failed(place, &error),
                }
                if self.now < self.descriptors_at {
                    return;
                }
            }
        }
    }

    fn welcome(&mut self, socket: TcpStream, peer: SocketAddr, service: Service) {
        match self.enter(socket, peer, service, Phase::Open) {
            Ok(stream) => {
                self.counters.accepted.add(1);
                self.report(stream.index);
            }
            Err(_) => self.counters.accept_failed.add(1),
        }
    }

    fn accept_failed(&mut self, place: usize, error: &io::Error) {
        match error.kind() {
            ErrorKind::Interrupted => {}
            ErrorKind::WouldBlock => {
                if let Some(listener) = self.listeners.get_mut(place) {
                    listener.is_ready = false;
                }
            }
            _ if connection::is_exhausted(error) => {
                warn_once(self, error);
                self.counters.no_descriptors.add(1);
                self.descriptors_at = self.now + DESCRIPTORS_RETRY;
            }
            _ => self.counters.accept_failed.add(1),
        }
    }

    /// Puts a socket into the table. The table is not full.
    pub(crate) fn enter(
        &mut self,
        mut socket: TcpStream,
        peer: SocketAddr,
        service: Service,
        phase: Phase,
    ) -> io::Result<Stream> {
        let poll = self.poll.as_ref().ok_or(ErrorKind::NotConnected)?;
        // Packets are already as large as the service made them; waiting would only add delay.
        // A socket that does not know the option works without it.
        let _ = socket.set_nodelay(true);
        let token = Token(LISTENERS_MAX + self.table.next_index() as usize);
        let both = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut socket, token, both)?;
        let remains = self.table.remains();
        Ok(self.table.insert(Connection::new(socket, service, phase, peer, remains)))
    }
}

fn warn_once(tcp: &HostTcp, error: &io::Error) {
    let Counters { no_descriptors, .. } = tcp.counters;
    if no_descriptors.get() == 0 && tcp.log.level() >= Level::Warn {
        let text = format_args!("connections wait: {error}; raise the limit (ulimit -n)");
        tcp.log.write(tcp.now, Level::Warn, env!("CARGO_PKG_NAME"), text);
    }
}

/// What a person can do about a port that cannot be had.
fn next_step(error: &io::Error, port: u16) -> String {
    match error.kind() {
        ErrorKind::AddrInUse => {
            format!("end what listens there, or choose another port with --ports {port}=OTHER")
        }
        ErrorKind::PermissionDenied => {
            format!("ports below 1024 belong to root; choose another with --ports {port}=OTHER")
        }
        ErrorKind::AddrNotAvailable => "this host has no such address: change `bind`".into(),
        _ => "the host refuses".into(),
    }
}
