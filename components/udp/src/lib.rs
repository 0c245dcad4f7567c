//! UDP: datagrams to and from bound ports.
//!
//! A datagram that arrives is checked, its header is stripped in place, and it waits in the queue
//! of its socket. One to send gets its header, and its checksum unless the card does that, on its
//! way to IP. The checksum is always sent, and checked where there is one; over IPv6 there must be.
//!
//! Not here: connected sockets, and passing on what ICMP says of a path, which is counted only.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod surroundings;
mod table;
#[cfg(test)]
mod tests;
mod wire;

use core::net::SocketAddr;
use surroundings::Surroundings;
use table::Table;
use waitless::checksum::Checksum;
use waitless::network::names::NameServers;
use waitless::packet::ChecksumState;
use waitless::{
    BATCH, BindError, Component, Context, CounterSet, InitError, Inspect, Instant, IpPort, Mailbox,
    Packet, PathErrorKind, Protocol, Random, Reject, Socket, UdpPort,
};
use wire::{CHECKSUM, HEADER, Header};

/// What the manifest may set.
#[derive(Debug)]
pub struct Config {
    /// How many ports can be bound, 1 to 1024.
    pub sockets: u16,
    /// How many datagrams wait at most for each, 1 to 1024.
    pub queue: u16,
}

/// UDP on one IP layer. Provides [`UdpPort`], stands on an [`IpPort`].
pub struct Udp {
    table: Table,
    /// Datagrams on their way to IP, without a header; `info` says from which port.
    down: Mailbox,
    surroundings: Surroundings,
    counters: &'static Counters,
}

waitless::counters! {
    /// What UDP counts. Datagrams received are those delivered and those dropped for one of the
    /// next reasons up to `queue_full`.
    pub(crate) struct Counters {
        /// Datagrams taken from IP.
        counter received: datagrams,
        /// Datagrams left for a service.
        counter delivered: datagrams,
        /// Datagrams too short to have a header.
        counter short: datagrams,
        /// Datagrams whose length is less than their header's, or more than arrived.
        counter bad_length: datagrams,
        /// Datagrams whose checksum is wrong.
        counter bad_checksum: datagrams,
        /// Datagrams to a port that nobody has bound.
        counter unbound: datagrams,
        /// Datagrams whose service did not collect the earlier ones.
        counter queue_full: datagrams,
        /// Datagrams given to IP.
        counter sent: datagrams,
        /// Datagrams to send to where no route leads.
        counter no_route: datagrams,
        /// Datagrams to send to port 0.
        counter no_port: datagrams,
        /// Datagrams to send that are longer than UDP can say, or in several pieces.
        counter too_long: datagrams,
        /// Datagrams to send without room for a header.
        counter no_room: datagrams,
        /// Datagrams sent that did not reach their host or port, as ICMP says.
        counter unreachable: messages,
        /// Datagrams sent that were too long for their path, as ICMP says.
        counter too_big: messages,
        /// Datagrams sent with which something else was wrong, as ICMP says.
        counter other_errors: messages,
    }
}

impl Udp {
    /// UDP without a bound port.
    pub fn new(config: &'static Config, cx: &mut Context) -> Self {
        let (sockets, queue) = (usize::from(config.sockets), usize::from(config.queue));
        Self {
            table: Table::new(sockets, queue),
            down: Mailbox::new(),
            surroundings: Surroundings::new(cx.home()),
            counters: Counters::leak(),
        }
    }

    #[inline]
    fn accept<I: IpPort>(&mut self, mut packet: Packet, ip: &mut I) {
        self.counters.received.add(1);
        let Some(header) = Header::parse(packet.bytes()) else {
            return self.counters.short.add(1);
        };
        let length = usize::from(header.length);
        if length < HEADER || length > packet.len() {
            return self.counters.bad_length.add(1);
        }
        packet.truncate(length);
        //= RFC 8200 8.1: only over IPv4 may there be none
        let missing = header.checksum == 0;
        let wrong = if missing { packet.info().remote.is_ipv6() } else { !is_intact(&packet) };
        if wrong {
            return self.counters.bad_checksum.add(1);
        }
        let Some(socket) = self.table.find(header.destination) else {
            self.counters.unbound.add(1);
            return ip.reject(Protocol::UDP, packet, Reject::Port);
        };
        packet.trim_front(HEADER);
        packet.info_mut().remote_port = header.source;
        packet.info_mut().local_port = header.destination;
        match self.table.push(socket, packet) {
            Ok(()) => self.counters.delivered.add(1),
            Err(_) => self.counters.queue_full.add(1),
        }
    }

    /// Gives a datagram to IP, which has room.
    #[inline]
    fn emit<I: IpPort>(&mut self, mut datagram: Packet, ip: &mut I) {
        let info = *datagram.info();
        if info.remote_port == 0 {
            return self.counters.no_port.add(1);
        }
        // What was received by broadcast goes back from an address of ours.
        let local =
            if ip.is_local(info.local) { Some(info.local) } else { ip.source_for(info.remote) };
        let Some(local) = local else {
            return self.counters.no_route.add(1);
        };
        let whole = HEADER + datagram.len();
        let Some(length) =
            u16::try_from(whole).ok().filter(|_| datagram.chain_len() + HEADER == whole)
        else {
            return self.counters.too_long.add(1);
        };
        let pseudo = Checksum::new().pseudo(local, info.remote, Protocol::UDP.0, length);
        let mut header =
            Header { source: info.local_port, destination: info.remote_port, length, checksum: 0 };
        let offload = ip.offloads().checksum;
        header.checksum = if offload {
            pseudo.folded()
        } else {
            let sum = pseudo.add(&header.bytes()).add(datagram.bytes()).finish();
            // Zero would say that there is none.
            if sum == 0 { 0xffff } else { sum }
        };
        if datagram.prepend(header.bytes()).is_err() {
            return self.counters.no_room.add(1);
        }
        datagram.info_mut().local = local;
        datagram.info_mut().checksum = ChecksumState::Unknown;
        if offload {
            datagram.request_checksum(0, CHECKSUM);
        }
        match ip.send(Protocol::UDP, datagram) {
            Ok(()) => self.counters.sent.add(1),
            Err(_) => self.counters.no_room.add(1),
        }
    }
}

/// Whether a datagram's checksum is right.
#[inline]
fn is_intact(packet: &Packet) -> bool {
    let info = packet.info();
    info.checksum != ChecksumState::Unknown
        || Checksum::new()
            .pseudo(info.remote, info.local, Protocol::UDP.0, packet.len() as u16)
            .add(packet.bytes())
            .is_valid()
}

impl<I: IpPort> Component<I> for Udp {
    fn init(&mut self, ip: &mut I, cx: &mut Context) -> Result<(), InitError> {
        self.table.seed(Random::new(cx.random.bytes()));
        self.surroundings.learn(ip);
        Ok(())
    }

    fn receive(&mut self, ip: &mut I, _: &mut Context) {
        if self.surroundings.are_old(ip) {
            self.surroundings.learn(ip);
        }
        for _ in 0..BATCH * I::LAYERS {
            let Some(packet) = ip.recv(Protocol::UDP) else { break };
            self.accept(packet, ip);
        }
        for _ in 0..BATCH {
            let Some(error) = ip.path_error(Protocol::UDP) else { break };
            match error.kind {
                PathErrorKind::Unreachable(_) => self.counters.unreachable.add(1),
                PathErrorKind::TooBig(_) => self.counters.too_big.add(1),
                PathErrorKind::TimeExceeded(_) | PathErrorKind::Parameter(_) => {
                    self.counters.other_errors.add(1);
                }
            }
        }
    }

    fn transmit(&mut self, ip: &mut I, _: &mut Context) {
        while ip.room() > 0
            && let Some(datagram) = self.down.pop_front()
        {
            self.emit(datagram, ip);
        }
    }

    fn deadline(&self) -> Instant {
        let idle = self.down.is_empty() && self.table.waiting() == 0;
        if idle { Instant::NEVER } else { Instant::ZERO }
    }
}

impl UdpPort for Udp {
    fn bind(&mut self, port: u16) -> Result<Socket, BindError> {
        self.table.bind(port)
    }

    fn bind_towards(&mut self, remote: SocketAddr) -> Result<Socket, BindError> {
        let surroundings = &self.surroundings;
        self.table.bind_free(|port| surroundings.is_home(port, remote))
    }

    fn release(&mut self, socket: Socket) {
        self.table.release(socket);
    }

    #[inline]
    fn recv(&mut self, socket: Socket) -> Option<Packet> {
        self.table.pop(socket)
    }

    #[inline]
    fn send(&mut self, socket: Socket, mut datagram: Packet) -> Result<(), Packet> {
        if self.down.is_full() {
            return Err(datagram);
        }
        let info = datagram.info_mut();
        if info.ip_header != 0 {
            // It was received: how it came is not how it goes.
            (info.hops, info.class, info.ip_header, info.broadcast) = (0, 0, 0, false);
        }
        info.local_port = self.table.port(socket);
        self.down.push_back(datagram)
    }

    #[inline]
    fn local_port(&self, socket: Socket) -> u16 {
        self.table.port(socket)
    }

    fn name_servers(&self) -> Option<&NameServers> {
        Some(self.surroundings.names())
    }
}

impl Inspect for Udp {
    fn counters(&self) -> &'static dyn CounterSet {
        self.counters
    }
}
