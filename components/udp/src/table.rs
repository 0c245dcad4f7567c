//! The bound ports: a table whose places are used again, with a hashed index.

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
    /// Places of `bound` whose port was given back.
    free: Vec<u16>,
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
    /// 0 in a place that is free.
    port: u16,
    queue: VecDeque<Packet>,
}

impl Table {
    /// A table for `limit` ports with `queue` datagrams each.
    pub fn new(limit: usize, queue: usize) -> Self {
        let limit = limit.clamp(1, usize::from(EMPTY));
        let index = vec![EMPTY; (2 * limit).next_power_of_two()];
        let random = Random::unseeded();
        let (bound, free) = (Vec::new(), Vec::new());
        Self { bound, free, index, limit, queue: queue.max(1), random, waiting: 0 }
    }

    /// What free ports are chosen by.
    pub fn seed(&mut self, random: Random) {
        self.random = random;
    }

    /// Binds `port`, or a free one for 0.
    pub fn bind(&mut self, port: u16) -> Result<Socket, BindError> {
        if port == 0 {
            return self.bind_free(|_| true);
        }
        if self.find(port).is_some() {
            return Err(BindError::Taken);
        }
        self.enter(port)
    }

    /// Binds a free port that `fits`, one that nobody outside can guess (RFC 6056).
    pub fn bind_free(&mut self, fits: impl Fn(u16) -> bool) -> Result<Socket, BindError> {
        let start = self.random.below(u64::from(DYNAMIC_COUNT)) as u16;
        let mut ports = (0..DYNAMIC_COUNT).map(|step| DYNAMIC + (start + step) % DYNAMIC_COUNT);
        let found = ports.find(|port| self.find(*port).is_none() && fits(*port));
        self.enter(found.ok_or(BindError::Full)?)
    }

    /// Gives a socket's port back, and drops what waits for it.
    pub fn release(&mut self, socket: Socket) {
        let Some(bound) = self.bound.get_mut(socket.0).filter(|bound| bound.port != 0) else {
            return;
        };
        self.waiting -= bound.queue.len();
        bound.queue.clear();
        let port = core::mem::take(&mut bound.port);
        self.remove(port, socket.0 as u16);
        self.free.push(socket.0 as u16);
    }

    /// A socket for `port`, which nobody has bound.
    fn enter(&mut self, port: u16) -> Result<Socket, BindError> {
        let socket = match self.free.pop() {
            Some(free) => usize::from(free),
            None if self.bound.len() >= self.limit => return Err(BindError::Full),
            None => {
                self.bound.push(Bound { port: 0, queue: VecDeque::with_capacity(self.queue) });
                // So that giving one back never allocates.
                self.free.reserve(self.bound.len());
                self.bound.len() - 1
            }
        };
        if let Some(bound) = self.bound.get_mut(socket) {
            bound.port = port;
        }
        self.insert(port, socket as u16);
        Ok(Socket(socket))
    }

    fn insert(&mut self, port: u16, socket: u16) {
        let mut at = self.hash(port);
        while let Some(place) = self.index.get_mut(at) {
            if *place == EMPTY {
                *place = socket;
                break;
            }
            at = (at + 1) & (self.index.len() - 1);
        }
    }

    /// Takes `port` of `socket` out of the index. What stands behind it without a gap is entered
    /// anew: it may have been pushed there.
    fn remove(&mut self, port: u16, socket: u16) {
        let mask = self.index.len() - 1;
        let mut at = self.hash(port);
        while self.index.get(at).is_some_and(|place| *place != socket && *place != EMPTY) {
            at = (at + 1) & mask;
        }
        // Bounded: the index always has an empty place.
        while let Some(place) = self.index.get_mut(at)
            && *place != EMPTY
        {
            let moved = core::mem::replace(place, EMPTY);
            if moved != socket {
                let port = self.bound.get(usize::from(moved)).map_or(0, |bound| bound.port);
                self.insert(port, moved);
            }
            at = (at + 1) & mask;
        }
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
}
