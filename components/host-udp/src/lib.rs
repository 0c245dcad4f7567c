//! Datagrams over the sockets of the host that an image runs on as a process.
//!
//! [`HostUdp`] stands where the `udp` component stands in a guest, and keeps the same contract
//! ([`UdpPort`]). No call waits: sockets are nonblocking, and one `epoll` or `kqueue` descriptor,
//! through mio, wakes the process. A datagram is read into a packet and written from one; the
//! host alone copies it.
//!
//! On a host with several addresses and `bind` unspecified, the host chooses the address that an
//! answer comes from. Whom the host asks for names, its `/etc/resolv.conf` says. Errors that the
//! network reports for a datagram are the host's affair.

#![forbid(unsafe_code)]

mod names;
#[cfg(test)]
mod tests;

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use waitless::device::Platform;
use waitless::log::{Level, Log};
use waitless::network::names::NameServers;
use waitless::packet::{CAPACITY, ChecksumState, HEADROOM};
use waitless::{
    BindError, Component, Context, CounterSet, Duration, InitError, Inspect, Instant, Mailbox,
    Packet, Pool, Protocol, Socket, UdpPort,
};

/// How to use the host's sockets.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The host's address to receive on.
    pub bind: IpAddr,
}

/// The host's UDP.
pub struct HostUdp {
    config: &'static Config,
    platform: &'static dyn Platform,
    log: Log,
    /// `None` before `init`.
    poll: Option<Poll>,
    events: Events,
    /// `None` in a place whose port was given back.
    bound: Vec<Option<Bound>>,
    /// Whom the host asks for names.
    names: NameServers,
    /// When to look for packets again after there were none.
    packets_at: Instant,
    counters: &'static Counters,
}

/// A port that somebody claimed. Its place is its token.
struct Bound {
    socket: UdpSocket,
    /// The image's port.
    port: u16,
    address: IpAddr,
    /// Whether the host may have something for it: known to be false after it said so.
    may_read: bool,
    /// Whether the host may take something.
    may_write: bool,
    arrived: Mailbox,
    leaving: Mailbox,
}

/// Ports that can be claimed.
const BOUND_MAX: usize = 64;
/// How long to wait for packets before trying again.
const PACKETS_RETRY: Duration = Duration::from_millis(1);

impl HostUdp {
    /// The host's UDP, used as `config` says.
    pub fn new(config: &'static Config, cx: &mut Context) -> Self {
        Self {
            config,
            platform: cx.platform(),
            log: cx.log(),
            poll: None,
            events: Events::with_capacity(BOUND_MAX),
            bound: Vec::new(),
            names: NameServers::default(),
            packets_at: Instant::ZERO,
            counters: Counters::leak(),
        }
    }

    /// The address at which the host receives for `socket`.
    pub fn address(&self, socket: Socket) -> Option<SocketAddr> {
        self.bound.get(socket.0)?.as_ref()?.socket.local_addr().ok()
    }

    fn take_events(&mut self) {
        let Some(poll) = &mut self.poll else { return };
        if let Err(error) = poll.poll(&mut self.events, Some(std::time::Duration::ZERO)) {
            // An interrupted call left the events where they were.
            if error.kind() != ErrorKind::Interrupted {
                self.counters.poll_failed.add(1);
            }
            return;
        }
        for event in &self.events {
            if let Some(Some(bound)) = self.bound.get_mut(event.token().0) {
                bound.may_read |= event.is_readable() || event.is_error();
                bound.may_write |= event.is_writable() || event.is_error();
            }
        }
    }

    /// Opens the image's `port` at `address`, in a place of its own.
    fn open(&mut self, port: u16, address: SocketAddr) -> Result<Socket, BindError> {
        let place = self.bound.iter().position(Option::is_none).unwrap_or(self.bound.len());
        if place == BOUND_MAX {
            return Err(BindError::Full);
        }
        let (local, socket) = self.open_at(place, address).map_err(|error| {
            let text =
                format_args!("{address}: {error}; choose another port with --ports {port}=OTHER");
            self.log.write(Instant::ZERO, Level::Error, env!("CARGO_PKG_NAME"), text);
            BindError::Refused
        })?;
        let bound = Bound {
            socket,
            port: if port == 0 { local.port() } else { port },
            address: address.ip(),
            may_read: false,
            may_write: true,
            arrived: Mailbox::new(),
            leaving: Mailbox::new(),
        };
        match self.bound.get_mut(place) {
            Some(free) => *free = Some(bound),
            None => self.bound.push(Some(bound)),
        }
        Ok(Socket(place))
    }

    fn open_at(&self, place: usize, address: SocketAddr) -> io::Result<(SocketAddr, UdpSocket)> {
        let poll = self.poll.as_ref().ok_or(ErrorKind::NotConnected)?;
        let mut socket = UdpSocket::bind(address)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut socket, Token(place), both)?;
        Ok((socket.local_addr()?, socket))
    }
}

impl Bound {
    /// Reads until the host has nothing or the mailbox is full. `false` when there is no packet.
    fn read(&mut self, pool: Pool, counters: &Counters) -> bool {
        while self.may_read && !self.arrived.is_full() {
            let Some(mut packet) = pool.packet() else { return false };
            let Ok(room) = packet.extend(CAPACITY - HEADROOM) else { return false };
            let longest = room.len();
            match self.socket.recv_from(room) {
                Ok((length, from)) => {
                    // The host cuts what does not fit, without a word.
                    if length == longest {
                        counters.too_long.add(1);
                        continue;
                    }
                    packet.truncate(length);
                    self.label(&mut packet, from);
                    counters.received.add(1);
                    // The mailbox was just seen to have room.
                    let _ = self.arrived.push_back(packet);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.may_read = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    // An event tells when there is something again.
                    self.may_read = false;
                    counters.receive_failed.add(1);
                }
            }
        }
        true
    }

    fn label(&self, packet: &mut Packet, from: SocketAddr) {
        let info = packet.info_mut();
        info.remote = from.ip();
        info.remote_port = from.port();
        info.local = self.address;
        info.local_port = self.port;
        info.checksum = ChecksumState::Verified;
    }

    fn write(&mut self, counters: &Counters) {
        while self.may_write
            && let Some(packet) = self.leaving.pop_front()
        {
            let to = SocketAddr::new(packet.info().remote, packet.info().remote_port);
            match self.socket.send_to(packet.bytes(), to) {
                Ok(_) => counters.sent.add(1),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.may_write = false;
                    // There is room: it was just taken from there.
                    let _ = self.leaving.push_front(packet);
                }
                Err(_) => counters.send_failed.add(1),
            }
        }
    }
}

impl Component<()> for HostUdp {
    fn init(&mut self, _: &mut (), cx: &mut Context) -> Result<(), InitError> {
        let poll = Poll::new().map_err(|error| {
            waitless::error!(cx, "no epoll or kqueue: {error}");
            InitError("the host has no descriptor for it: raise the limit (ulimit -n)")
        })?;
        if !cx.platform().wake_on(poll.as_raw_fd()) {
            return Err(InitError("this platform has no sockets: use the udp component"));
        }
        self.poll = Some(poll);
        self.names = names::of_host();
        Ok(())
    }

    fn receive(&mut self, _: &mut (), cx: &mut Context) {
        self.take_events();
        for bound in self.bound.iter_mut().flatten() {
            if !bound.read(cx.pool(), self.counters) {
                self.counters.starved.add(1);
                self.packets_at = cx.now() + PACKETS_RETRY;
                return;
            }
        }
    }

    fn transmit(&mut self, _: &mut (), _: &mut Context) {
        for bound in self.bound.iter_mut().flatten() {
            bound.write(self.counters);
        }
    }

    fn deadline(&self) -> Instant {
        let mut deadline = Instant::NEVER;
        for bound in self.bound.iter().flatten() {
            if !bound.arrived.is_empty() || (bound.may_write && !bound.leaving.is_empty()) {
                return Instant::ZERO;
            }
            if bound.may_read {
                deadline = self.packets_at;
            }
        }
        deadline
    }
}

impl UdpPort for HostUdp {
    fn bind(&mut self, port: u16) -> Result<Socket, BindError> {
        if port != 0 && self.bound.iter().flatten().any(|bound| bound.port == port) {
            return Err(BindError::Taken);
        }
        let host_port = self.platform.host_port(Protocol::UDP, port);
        let address = SocketAddr::new(self.config.bind, host_port);
        self.open(port, address)
    }

    /// At whatever address of the host leads there: `bind` is for those who come to us.
    fn bind_towards(&mut self, remote: SocketAddr) -> Result<Socket, BindError> {
        let here = match remote.ip() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        self.open(0, SocketAddr::new(here, 0))
    }

    fn release(&mut self, socket: Socket) {
        let bound = self.bound.get_mut(socket.0).and_then(Option::take);
        if let (Some(mut bound), Some(poll)) = (bound, &self.poll) {
            // Closing it would do the same.
            let _ = poll.registry().deregister(&mut bound.socket);
        }
    }

    #[inline]
    fn recv(&mut self, socket: Socket) -> Option<Packet> {
        self.bound.get_mut(socket.0)?.as_mut()?.arrived.pop_front()
    }

    #[inline]
    fn send(&mut self, socket: Socket, datagram: Packet) -> Result<(), Packet> {
        let Some(Some(bound)) = self.bound.get_mut(socket.0) else { return Err(datagram) };
        bound.leaving.push_back(datagram)
    }

    fn local_port(&self, socket: Socket) -> u16 {
        self.bound.get(socket.0).and_then(Option::as_ref).map_or(0, |bound| bound.port)
    }

    fn name_servers(&self) -> Option<&NameServers> {
        Some(&self.names)
    }
}

impl Inspect for HostUdp {
    fn counters(&self) -> &'static dyn CounterSet {
        self.counters
    }
}

waitless::counters! {
    /// What happened on the host's sockets.
    struct Counters {
        /// Datagrams that arrived.
        counter received: datagrams,
        /// Datagrams that the host took.
        counter sent: datagrams,
        /// Datagrams dropped because they do not fit into a packet.
        counter too_long: datagrams,
        /// Datagrams dropped because the host would not send them.
        counter send_failed: datagrams,
        /// Times that the host reported an error instead of a datagram.
        counter receive_failed: times,
        /// Times that reading had to wait because there were no packets.
        counter starved: times,
        /// Times that the host could not say what is ready.
        counter poll_failed: times,
    }
}
