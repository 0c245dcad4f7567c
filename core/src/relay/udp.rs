//! The relay of UDP.

use super::{Outbox, Relay, RelayOver, Relaying};
use crate::network::names::NameServers;
use crate::{BindError, Context, CounterSet, Mailbox, Packet, Socket, UdpPort};
use alloc::vec::Vec;
use core::net::SocketAddr;

/// Stands between UDP and what stands on it.
///
/// Ports are bound below in the sweep after they were asked for, so a port that cannot be had is
/// noticed late: that is logged and counted, and what is sent from it is dropped.
pub struct UdpRelay {
    /// A socket is the place here. Grows as ports are bound, up to [`SOCKETS`].
    bound: Vec<Bound>,
    /// How many of them have something to ask of UDP below.
    unsettled: usize,
    /// The socket that is pulled for next.
    next: usize,
    outbox: Outbox<Socket>,
    overhead: usize,
    names: Option<NameServers>,
    counters: &'static Counters,
}

struct Bound {
    port: u16,
    state: State,
    /// What it is called below; `None` before it is bound, and when it cannot be.
    below: Option<Socket>,
    arrived: Mailbox,
}

/// What UDP below has been told of a port.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing yet: it is to be bound, perhaps for the answers of somebody.
    Wanted(Option<SocketAddr>),
    /// All there is to tell.
    Settled,
    /// Not yet that it was given back.
    Returned,
    /// The place is free.
    Free,
}

/// Ports that may be bound through one relay.
const SOCKETS: usize = 64;

crate::counters! {
    /// What a relay could not pass on.
    struct Counters {
        /// Ports that could not be bound.
        counter binds_failed: ports,
        /// Datagrams sent from a port that could not be bound.
        counter unbound: datagrams,
    }
}

impl Default for UdpRelay {
    fn default() -> Self {
        let counters = Counters::leak();
        let (bound, outbox) = (Vec::new(), Outbox::default());
        Self { bound, unsettled: 0, next: 0, outbox, overhead: 28, names: None, counters }
    }
}

impl UdpRelay {
    /// Passes on which ports are wanted, and which were given back.
    #[cold]
    fn settle<U: UdpPort>(&mut self, below: &mut U, cx: &Context) {
        self.unsettled = 0;
        for bound in &mut self.bound {
            let asked = match bound.state {
                State::Settled | State::Free => continue,
                State::Returned => {
                    if let Some(socket) = bound.below.take() {
                        below.release(socket);
                    }
                    // Something may have come since.
                    bound.arrived.clear();
                    (bound.port, bound.state) = (0, State::Free);
                    continue;
                }
                State::Wanted(Some(remote)) => below.bind_towards(remote),
                State::Wanted(None) => below.bind(bound.port),
            };
            bound.state = State::Settled;
            match asked {
                Ok(socket) => {
                    bound.below = Some(socket);
                    bound.port = below.local_port(socket);
                }
                Err(why) => {
                    self.counters.binds_failed.add(1);
                    crate::error!(cx, "the UDP port {} cannot be bound: {why:?}", bound.port);
                }
            }
        }
    }

    fn enter(&mut self, port: u16, towards: Option<SocketAddr>) -> Result<Socket, BindError> {
        let free = self.bound.iter().position(|bound| bound.state == State::Free);
        if free.is_none() && self.bound.len() == SOCKETS {
            return Err(BindError::Full);
        }
        self.unsettled += 1;
        let state = State::Wanted(towards);
        if let Some((place, bound)) = free.and_then(|at| Some((at, self.bound.get_mut(at)?))) {
            (bound.port, bound.state) = (port, state);
            return Ok(Socket(place));
        }
        self.bound.push(Bound { port, state, below: None, arrived: Mailbox::new() });
        Ok(Socket(self.bound.len() - 1))
    }
}

impl Relay for UdpRelay {
    type Up = Socket;
    type Down = Socket;

    #[inline]
    fn has_room(&self, to: Socket) -> bool {
        self.bound.get(to.0).is_some_and(|bound| !bound.arrived.is_full())
    }

    #[inline]
    fn deliver(&mut self, to: Socket, datagram: Packet) -> Result<(), Packet> {
        match self.bound.get_mut(to.0) {
            Some(bound) => bound.arrived.push_back(datagram),
            None => Err(datagram),
        }
    }

    #[inline]
    fn outbox(&mut self) -> &mut Outbox<Socket> {
        &mut self.outbox
    }

    #[inline]
    fn is_idle(&self) -> bool {
        self.unsettled == 0
            && self.outbox.is_empty()
            && self.bound.iter().all(|bound| bound.arrived.is_empty())
    }

    fn counters(&self) -> &'static dyn CounterSet {
        self.counters
    }
}

impl<U: UdpPort> RelayOver<U> for UdpRelay {
    #[inline]
    fn refresh(&mut self, below: &mut U, cx: &mut Context) {
        if self.unsettled > 0 {
            self.settle(below, cx);
        }
        self.overhead = below.overhead();
        if below.name_servers() != self.names.as_ref() {
            self.names = below.name_servers().cloned();
        }
    }

    #[inline]
    fn pull(&mut self, below: &mut U) -> Option<(Socket, Packet)> {
        for _ in 0..self.bound.len() {
            self.next = if self.next + 1 < self.bound.len() { self.next + 1 } else { 0 };
            let Some(bound) = self.bound.get(self.next) else { continue };
            let Some(socket) = bound.below.filter(|_| !bound.arrived.is_full()) else { continue };
            if let Some(datagram) = below.recv(socket) {
                return Some((Socket(self.next), datagram));
            }
        }
        None
    }

    /// UDP does not say; what it refuses waits.
    #[inline]
    fn room_below(&self, _: &U) -> bool {
        true
    }

    #[inline]
    fn offer(&mut self, below: &mut U, to: Socket, datagram: Packet) -> Result<(), Packet> {
        match self.bound.get(to.0).and_then(|bound| bound.below) {
            Some(socket) => below.send(socket, datagram),
            None => {
                self.counters.unbound.add(1);
                Ok(())
            }
        }
    }
}

impl UdpPort for UdpRelay {
    fn bind(&mut self, port: u16) -> Result<Socket, BindError> {
        if port != 0 && self.bound.iter().any(|bound| bound.port == port) {
            return Err(BindError::Taken);
        }
        self.enter(port, None)
    }

    fn bind_towards(&mut self, remote: SocketAddr) -> Result<Socket, BindError> {
        self.enter(0, Some(remote))
    }

    fn release(&mut self, socket: Socket) {
        if let Some(bound) = self.bound.get_mut(socket.0)
            && matches!(bound.state, State::Wanted(_) | State::Settled)
        {
            bound.arrived.clear();
            bound.state = State::Returned;
            self.unsettled += 1;
        }
    }

    #[inline]
    fn recv(&mut self, socket: Socket) -> Option<Packet> {
        self.bound.get_mut(socket.0)?.arrived.pop_front()
    }

    #[inline]
    fn send(&mut self, socket: Socket, datagram: Packet) -> Result<(), Packet> {
        self.outbox.push(socket, datagram)
    }

    /// 0 for a free port, before one was found.
    #[inline]
    fn local_port(&self, socket: Socket) -> u16 {
        self.bound.get(socket.0).map_or(0, |bound| bound.port)
    }

    fn overhead(&self) -> usize {
        self.overhead
    }

    fn name_servers(&self) -> Option<&NameServers> {
        self.names.as_ref()
    }
}

#[diagnostic::do_not_recommend]
impl<T: Relaying<Relay: UdpPort>> UdpPort for T {
    fn bind(&mut self, port: u16) -> Result<Socket, BindError> {
        self.relay_mut().bind(port)
    }

    #[inline]
    fn recv(&mut self, socket: Socket) -> Option<Packet> {
        self.relay_mut().recv(socket)
    }

    #[inline]
    fn send(&mut self, socket: Socket, datagram: Packet) -> Result<(), Packet> {
        self.relay_mut().send(socket, datagram)
    }

    #[inline]
    fn local_port(&self, socket: Socket) -> u16 {
        self.relay().local_port(socket)
    }

    fn overhead(&self) -> usize {
        self.relay().overhead()
    }

    fn bind_towards(&mut self, remote: SocketAddr) -> Result<Socket, BindError> {
        self.relay_mut().bind_towards(remote)
    }

    fn release(&mut self, socket: Socket) {
        self.relay_mut().release(socket);
    }

    fn name_servers(&self) -> Option<&NameServers> {
        self.relay().name_servers()
    }
}
