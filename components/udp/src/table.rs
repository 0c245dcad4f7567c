//! The bound ports: a table that only grows, with a hashed index.

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use waitless::{BindError, Packet, Random, Socket};

/// The first of the ports that are given out (RFC 6335 section 6).
const DYNAMIC: u16 = 49_152;
const DYNAMIC_COUNT: u16 = u16::MAX - DYNAMIC + 1;

/// No socket.
const EMPTY: u16 = u16::MAX;

/// The bound ports and what waits for them.
pub(crate) struct Table {
    bound: Vec<Bound>,
    /// Open addressing: the socket of a port is at its hash or, past other sockets, behind. Twice
    /// as long as there can be sockets, so there is always an end.
    index: Vec<u16>,
    limit: usize,
    queue: usize,
    random: Random,
    /// Datagrams that wait, in all queues.
    waiting: usize,
}

struct Bound {
    port: u16,
    queue: VecDeque<Packet>,
}

impl Table {
    /// A table for `limit` ports with `queue` datagrams each.
    pub fn new(limit: usize, queue: usize) -> Self {
        let limit = limit.clamp(1, usize::from(EMPTY));
        let index = vec![EMPTY; (2 * limit).next_power_of_two()];
        let random = Random::unseeded();
        Self { bound: Vec::new(), index, limit, queue: queue.max(1), random, waiting: 0 }
    }

    /// What free ports are chosen by.
    pub fn seed(&mut self, random: Random) {
        self.random = random;
    }

    /// Binds `port`, or a free one for 0, that nobody outside can guess (RFC 6056).
    pub fn bind(&mut self, port: u16) -> Result<Socket, BindError> {
        if self.bound.len() >= self.limit {
            return Err(BindError::Full);
        }
        let port = if port == 0 { self.free_port().ok_or(BindError::Full)? } else { port };
        if self.find(port).is_some() {
            return Err(BindError::Taken);
        }
        let socket = self.bound.len();
        let mut at = self.hash(port);
        while let Some(place) = self.index.get_mut(at) {
            if *place == EMPTY {
                *place = socket as u16;
                break;
            }
            at = (at + 1) & (self.index.len() - 1);
        }
        self.bound.push(Bound { port, queue: VecDeque::with_capacity(self.queue) });
        Ok(Socket(socket))
    }

    /// The socket that `port` is bound to.
    #[inline]
    pub fn find(&self, port: u16) -> Option<Socket> {
        let mut at = self.hash(port);
        loop {
            let socket = usize::from(*self.index.get(at)?);
            // An empty place leads behind the table's end.
            if self.bound.get(socket)?.port == port {
                return Some(Socket(socket));
            }
            at = (at + 1) & (self.index.len() - 1);
        }
    }

    /// Leaves a datagram for a socket; `Err` when too many wait.
    #[inline]
    pub fn push(&mut self, socket: Socket, datagram: Packet) -> Result<(), Packet> {
        match self.bound.get_mut(socket.0) {
            Some(bound) if bound.queue.len() < self.queue => {
                bound.queue.push_back(datagram);
                self.waiting += 1;
                Ok(())
            }
            _ => Err(datagram),
        }
    }

    /// The next datagram for a socket.
    #[inline]
    pub fn pop(&mut self, socket: Socket) -> Option<Packet> {
        let datagram = self.bound.get_mut(socket.0)?.queue.pop_front()?;
        self.waiting -= 1;
        Some(datagram)
    }

    /// The port of a socket; 0 when it is none of ours.
    #[inline]
    pub fn port(&self, socket: Socket) -> u16 {
        self.bound.get(socket.0).map_or(0, |bound| bound.port)
    }

    /// Datagrams that wait, in all queues.
    #[inline]
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    #[inline]
    fn hash(&self, port: u16) -> usize {
        let mixed = u32::from(port).wrapping_mul(0x9e37_79b1);
        (mixed >> 16) as usize & (self.index.len() - 1)
    }

    fn free_port(&mut self) -> Option<u16> {
        let start = self.random.below(u64::from(DYNAMIC_COUNT)) as u16;
        // One more than can be bound is enough.
        (0..=self.bound.len() as u16)
            .map(|step| DYNAMIC + (start + step) % DYNAMIC_COUNT)
            .find(|port| self.find(*port).is_none())
    }
}
