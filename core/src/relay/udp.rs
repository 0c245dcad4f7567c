//! The relay of UDP.

use super::{Outbox, Relay, RelayOver, Relaying};
use crate::{BindError, Context, CounterSet, Mailbox, Packet, Socket, UdpPort};
use alloc::vec::Vec;

/// Stands between UDP and what stands on it.
///
/// Ports are bound below in the sweep after they were asked for, so a port that cannot be had is
/// noticed late: that is logged and counted, and what is sent from it is dropped.
pub struct UdpRelay {
    /// A socket is the place here. Grows while the services start, up to [`SOCKETS`].
    bound: Vec<Bound>,
    /// How many of them UDP below has been asked for.
    asked: usize,
    /// The socket that is pulled for next.
    next: usize,
    outbox: Outbox<Socket>,
    overhead: usize,
    counters: &'static Counters,
}

struct Bound {
    port: u16,
    /// What it is called below; `None` before it is bound, and when it cannot be.
    below: Option<Socket>,
    arrived: Mailbox,
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
        Self { bound, asked: 0, next: 0, outbox, overhead: 28, counters }
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
        self.asked == self.bound.len()
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
        while let Some(bound) = self.bound.get_mut(self.asked) {
            self.asked += 1;
            match below.bind(bound.port) {
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
        self.overhead = below.overhead();
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
        if self.bound.len() == SOCKETS {
            return Err(BindError::Full);
        }
        self.bound.push(Bound { port, below: None, arrived: Mailbox::new() });
        Ok(Socket(self.bound.len() - 1))
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
}
